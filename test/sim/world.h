/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A whole server in one thread, seen by simulated clients: log, Kafka door, groups and views on the
 * simulated disk, network and clock (test/lib/sim_io.h), for several lives that end in power cuts,
 * kills, faults and clean stops. Everything is drawn from one seed, so a seed repeats exactly with
 * the same build. model.h knows what was sent, acknowledged and seen; each rule that is broken ends
 * the process with the rule's name (violated).
 *
 * One process runs one seed (campaign.h forks): nothing global is left over from the seed before.
 */
#include "broker/broker.h"
#include "log/base/prng.h"
#include "replay/replay.h"
#include "test/sim/model.h"
#include "test/sim/wire.h"

enum {
	WORLD_PRODUCERS_MAX = 6,
	WORLD_CONSUMERS_MAX = 4,
	WORLD_SUBSCRIBERS_MAX = 4,
	WORLD_VIEWS_MAX = 4,
	WORLD_TRANSACTORS_MAX = 3,
	WORLD_TOPICS = 3, /* names: the first is never deleted */
};

/* How a life may end. */
enum world_end { END_CLEAN, END_POWER, END_KILL };

/* What is drawn once per seed: some seeds have much of one thing and nothing of another. */
struct world_plan {
	int lives;
	int producers, consumers, subscribers, transactors;
	bool transactors_share;
	unsigned lazy; /* bit n: topics named t<n> have opted out of durability; never t0 */
	bool admin, stranger, views, deletions, trims, partitions_grow;
	int64_t life_ns;
	int64_t latency_max_ns, net_max_ns;
	unsigned writeback_ppm, short_ppm;
	bool refuse_direct;
	unsigned break_percent; /* per tick of an actor */
	unsigned stall_percent;
	unsigned worker_lag; /* one turn of the views in so many of the loop */
	unsigned faults;     /* percent of lives with an I/O fault */
	uint64_t capacity_bytes;
	bool clock_jumps, small_queue;
	uint64_t segment_bytes;
	uint32_t record_bytes_max;
	int records_max; /* per batch */
	int64_t pace_ns; /* between an actor's steps */
};

struct producer;
struct consumer;
struct subscriber;
struct transactor;
struct admin;
struct views;

struct world {
	uint64_t seed;
	bool trace;
	int life;
	bool last_life; /* no faults, everything must come to its end */
	struct prng prng;
	struct world_plan plan;
	struct model model;
	struct sim_disk *disk;
	struct io *io;
	struct loop *loop;
	struct log *log;
	struct proc *proc;
	struct replay *replay;
	struct broker *broker;
	uint16_t port;
	struct sim_disk *disk_after; /* what the end of this life has left */
	bool reopened;               /* the very last life: nothing new happens */
	bool stopping;               /* actors start nothing new */
	bool scarce;                 /* the disk has an end in this life, until room is made */
	struct loop_timer room;
	bool faulty; /* a fault is armed or has struck in this life */
	struct producer *producers[WORLD_PRODUCERS_MAX];
	struct consumer *consumers[WORLD_CONSUMERS_MAX];
	struct subscriber *subscribers[WORLD_SUBSCRIBERS_MAX];
	struct transactor *transactors[WORLD_TRANSACTORS_MAX];
	struct admin *admin;
	struct views *views;
	/* for the report */
	uint64_t batches_acked, records_seen, commits_acked, checkpoints_checked, cuts, calls,
	    steps;
};

/* Runs one seed from the first start to the last stop. Returns when no rule was broken. */
void world_run(uint64_t seed, bool trace, char *report, size_t report_len);

/* Have topics of that name opted out of durability? */
static inline bool world_is_lazy(const struct world *w, const char *topic)
{
	return w->plan.lazy >> (topic[1] - '0') & 1;
}
static inline uint64_t below(struct world *w, uint64_t bound)
{
	return prng_below(&w->prng, bound);
}
static inline bool chance(struct world *w, unsigned percent)
{
	return below(w, 100) < percent;
}
int64_t world_now_ns(const struct world *w);
/* One line of the trace, with the virtual time. */
void trace(struct world *w, const char *who, const char *fmt, ...) PRINTF(3, 4);
/* Says which rule is broken and ends the process. */
_Noreturn void violated(const char *rule, const char *fmt, ...) PRINTF(2, 3);
/* The first actor that has something left to do. */
const char *world_who_is_not_done(const struct world *w);
/* Turns the loop, and now and then the views. */
void world_turn(struct world *w, int64_t timeout_ns);

/* ---- server.c: one life of the server -------------------------------------------------------- */
/* Anything but ERR_OK: nothing is open. */
MUST_USE enum err server_open(struct world *w);
void server_close(struct world *w);

/* ---- audit.c: the log read directly, against the model --------------------------------------- */
void audit_log(struct world *w);
/* A life begins: what topics that opted out have lost with the one before. */
void audit_losses(struct world *w);
/* ... what must not get lost any more. */
void audit_flushed(struct world *w);

/* ---- actors: begin with a life, rest when it ends -------------------------------------------- */
void producer_new(struct world *w, int number);
void producer_start(struct producer *p);
void producer_stop(struct producer *p);
bool producer_is_done(const struct producer *p);    /* nothing is left to be acknowledged */
bool producer_is_resting(const struct producer *p); /* after stop: nothing is under way */
void producer_free(struct producer *p);

void consumer_new(struct world *w, int number);
void consumer_start(struct consumer *c);
void consumer_stop(struct consumer *c);
bool consumer_is_done(const struct consumer *c);    /* has read every partition to its end */
bool consumer_is_resting(const struct consumer *c); /* after stop: nothing is under way */
void consumer_free(struct consumer *c);

void subscriber_new(struct world *w, int number);
void subscriber_start(struct subscriber *m);
void subscriber_stop(struct subscriber *m);
bool subscriber_is_done(const struct subscriber *m);
bool subscriber_is_resting(const struct subscriber *m); /* after stop: nothing is under way */
void subscriber_free(struct subscriber *m);

void transactor_new(struct world *w, int number);
void transactor_start(struct transactor *t);
void transactor_stop(struct transactor *t);
bool transactor_is_done(const struct transactor *t);    /* no transaction is open */
bool transactor_is_resting(const struct transactor *t); /* after stop: nothing is under way */
void transactor_free(struct transactor *t);

void admin_new(struct world *w);
void admin_start(struct admin *a);
void admin_stop(struct admin *a);
bool admin_is_done(const struct admin *a);
bool admin_is_resting(const struct admin *a); /* after stop: nothing is under way */
void admin_free(struct admin *a);

/* Statements, given between two turns of the loop. */
void views_new(struct world *w);
void views_step(struct world *w);
void views_audit(struct world *w);  /* checkpoints against the model */
void views_finish(struct world *w); /* ... after catching up, and against a rebuild */
void views_free(struct views *v);
