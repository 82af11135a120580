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

enum { WORLD_ROT_MAX = 8 };
/* Where a bit was flipped. */
struct world_rot {
	struct log_uuid topic_id;
	int32_t partition;
	int64_t segment;
	uint32_t generation;
	uint32_t pos; /* of the frame */
};

/* What is drawn once per seed: some seeds have much of one thing and nothing of another. */
struct world_plan {
	int lives;
	int producers, consumers, subscribers, transactors;
	bool transactors_share;
	/* bit n: topics named t<n>; no topic is of two of these, but what is compacted may rot, and
	 * of t0, which views read, it is all there may be */
	unsigned lazy;     /* have opted out of durability */
	unsigned keyed;    /* are compacted */
	unsigned expires;  /* lose what is old or too much */
	unsigned rots;     /* lie where bits flip by themselves */
	bool journal_rots; /* so does the journal, between lives */
	bool caches_rot;   /* bits flip in indexes and producer snapshots of all others */
	int64_t tombstones_ms, retention_ms, retention_bytes;
	int codec[WORLD_TOPICS]; /* that sealed segments are recompressed with; 0 = none */
	unsigned alters;         /* percent of the admin's steps */
	bool keeper;             /* what a server does by itself comes often */
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
	uint64_t segment_bytes, journal_bytes;
	uint32_t record_bytes_max;
	int records_max; /* per batch */
	int64_t pace_ns; /* between an actor's steps */
};

struct producer;
struct fetcher;
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
	bool served;                 /* a start has succeeded */
	bool reopened;               /* the very last life: nothing new happens */
	bool stopping;               /* actors start nothing new */
	bool scarce;                 /* the disk has an end in this life, until room is made */
	struct loop_timer room;
	bool faulty;              /* a fault is armed or has struck in this life */
	int64_t realtime_ns;      /* the wall clock goes on from life to life */
	uint64_t keeper_calm;     /* turns until the keeper does something again */
	uint64_t durable_seen;    /* D as it was last looked at */
	struct prng journal_prng; /* of its own: seeds without that do what they did */
	bool journal_bad;         /* an entry is, and no start has been beyond it */
	bool journal_unread;      /* the disk does not read all of it: a start may be refused */
	bool unclean;             /* it was killed or the power was cut since a start was through */
	bool falls_by_kill;       /* at the planned call; else by a power cut */
	bool over;                /* what was lost was told */
	unsigned journal_rots;
	struct world_rot rot[WORLD_ROT_MAX];
	size_t rot_count;
	bool hashing; /* the trace goes into `history` instead of to the terminal */
	uint64_t history;
	struct producer *producers[WORLD_PRODUCERS_MAX];
	struct fetcher *consumers[WORLD_CONSUMERS_MAX];
	struct subscriber *subscribers[WORLD_SUBSCRIBERS_MAX];
	struct transactor *transactors[WORLD_TRANSACTORS_MAX];
	struct admin *admin;
	struct views *views;
	/* for the report */
	uint64_t batches_acked, records_seen, commits_acked, checkpoints_checked, cuts, calls,
	    steps;
};

/* TRACE_HASH: *ret_history is a hash of every line of the trace. */
enum world_trace { TRACE_NONE, TRACE_PRINT, TRACE_HASH };
/* Runs one seed from the first start to the last stop. Returns when no rule was broken. */
void world_run(
    uint64_t seed, enum world_trace how, char *report, size_t report_len, uint64_t *ret_history);

/* Each seed draws more rot and compaction, and rot beside transactions: another plan than without. */
void world_rot_more(bool more);
bool world_rots_more(void);

/* Is the topic of that name among `topics`, one of the plan's sets? */
static inline bool world_is(unsigned topics, const char *topic)
{
	return topics >> (topic[1] - '0') & 1;
}
static inline bool world_is_lazy(const struct world *w, const char *topic)
{
	return world_is(w->plan.lazy, topic);
}
static inline uint64_t below(struct world *w, uint64_t bound)
{
	return prng_below(&w->prng, bound);
}
static inline bool chance(struct world *w, unsigned percent)
{
	return below(w, 100) < percent;
}
/* FNV-1a. */
static inline uint64_t hash_bytes(const void *bytes, size_t len, uint64_t seed)
{
	uint64_t hash = seed ^ 0xcbf29ce484222325ull;
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3ull;
	return hash;
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

/* ---- keeper.c: what a server does by itself, sooner; and rot --------------------------------- */
void keeper_step(struct world *w);
/* The disk ages between two lives, or beside the server. */
void keeper_rot(struct world *w);
void keeper_rot_cache(struct world *w);
/* All that is due is done: compaction has been everywhere, and retention. */
void keeper_settle(struct world *w);
/* After the scrubber has been everywhere: all that is bad on the disk is known. */
void keeper_finish(struct world *w);
/* How many of the batches that have rotted are bad now: none is out of the journal again. */
size_t keeper_bad(struct world *w);

/* ---- journal_rot.c ------------------------------------------------------------------------------ */
/* Something of the journal becomes bad, perhaps. */
void journal_rot(struct world *w);
/* A start was tried: has it told of a loss that is allowed? The server is done with then. */
bool journal_rot_told(struct world *w, enum err opened, bool dead);

/* ---- disk_check.c: the directory as fsck finds it -------------------------------------------- */
/* Between two lives: what a cut may leave is all there is. `stopped`: after a clean stop. */
void disk_check(struct world *w, bool stopped);
/* All of it becomes part of the seed's history; with KAPPA_SIM_DISK of its trace, too. */
void disk_tell(struct world *w);

/* ---- actors: begin with a life, rest when it ends -------------------------------------------- */
void producer_new(struct world *w, int number);
void producer_start(struct producer *p);
void producer_stop(struct producer *p);
bool producer_is_done(const struct producer *p);    /* nothing is left to be acknowledged */
bool producer_is_resting(const struct producer *p); /* after stop: nothing is under way */
void producer_free(struct producer *p);

void fetcher_new(struct world *w, int number);
void fetcher_start(struct fetcher *c);
void fetcher_stop(struct fetcher *c);
bool fetcher_is_done(const struct fetcher *c);    /* has read every partition to its end */
bool fetcher_is_resting(const struct fetcher *c); /* after stop: nothing is under way */
void fetcher_free(struct fetcher *c);

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
