/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A recorded run: a script drives a whole log (log_open) on the simulated disk; every operation on
 * the disk is kept with its data, and every promise with the number of operations that had been
 * done when it was made. A cut after operation i must keep what was promised at or before i, and
 * may show nothing that was asked for after it.
 *
 * Times are counts of operations; RUN_NEVER = not in this run. Thread: one.
 */
#include "log/base/prng.h"
#include "log/engine.h"
#include "test/lib/sim_io.h"

#define RUN_NEVER SIZE_MAX
enum {
	RUN_BATCHES_MAX = 256, /* tags 1.. */
	RUN_TOPICS_MAX = 16,
	RUN_PARTITIONS_MAX = 4,
	RUN_KEYS = 4,
	RUN_PUTS_MAX = 128,
	RUN_TRIMS_MAX = 16,
	RUN_ENDS_MAX = 2048,
	RUN_LIVES_MAX = 32,
	RUN_ALTERS_MAX = 16,
	RUN_RECORDS_MAX = 8, /* of a keyed batch */
	RUN_PRODUCERS = 3,   /* with transactions */
	RUN_COMMITS_MAX = 16,
	RUN_CONFIGS_MAX = 5,
};

/* One life of a topic: a name that is made again is another. */
struct run_topic {
	char name[16];
	char config[RUN_CONFIGS_MAX][32]; /* "key=value" */
	int partitions;
	bool lazy;      /* its acknowledgement promises less */
	bool compacted; /* records may go once run_compact was asked for */
	bool rewritten; /* compacted, or its batches may get another codec */
	bool altered;
	int imported;  /* batches that came from Kafka; 0 = it was created */
	int grow_from; /* partitions before run_grow; 0 = not grown */
	size_t create_asked, created, delete_asked, deleted, grow_asked, grown;
	struct log_uuid id; /* once created */
	struct log_topic_req req;
	struct str pairs[RUN_CONFIGS_MAX][2];
	struct run *run;
};
enum run_marker { RUN_DATA, RUN_ABORT, RUN_COMMIT };
struct run_batch {
	struct run *run;
	int topic, partition, count;
	int set;                        /* > 0: all or none with the others of this number */
	char keys[RUN_RECORDS_MAX + 1]; /* of its records, capitals: tombstones; "" = not keyed */
	bool transactional;
	enum run_marker marker;
	int ended_by; /* the marker that ends its transaction: tag; 0 = none */
	size_t sent, acked;
	size_t kept_from; /* of a lazy topic: from here on it is durable all the same */
	bool in_doubt; /* of a lazy topic: a kill may have taken it, and its offset been given again
	                */
	int64_t offset;
	uint64_t sequence;
	uint8_t *bytes; /* as the log has stamped them */
	size_t len;
	int64_t producer; /* -1 = none */
	int16_t producer_epoch;
	int32_t producer_sequence;
	struct log_append req;
};
/* A producer with transactions, and the end of one: markers, and a row about it, in one round. */
struct run_producer {
	int16_t epoch;
	int32_t next[RUN_TOPICS_MAX][RUN_PARTITIONS_MAX];
	bool open[RUN_TOPICS_MAX][RUN_PARTITIONS_MAX];
	int64_t ended; /* transactions; the value of its row */
};
struct run_commit {
	struct run *run;
	struct log_commit commit;
	struct log_append appends[RUN_TOPICS_MAX * RUN_PARTITIONS_MAX];
	int tags[RUN_TOPICS_MAX * RUN_PARTITIONS_MAX];
	int put;      /* -1 = no table */
	bool refused; /* where something fails: it comes again */
};
struct run_trim {
	struct run *run;
	int topic, partition;
	int64_t offset;
	size_t asked, done;
	struct log_trim req;
};
struct run_alter {
	int topic;
	uint64_t segment_bytes;
	size_t asked, done;
};
struct run_put {
	struct run *run;
	int key, set;  /* set: as of batches */
	int64_t value; /* 0 = tombstone */
	size_t asked, done;
	char key_text[8], text[400];
	struct log_row row;
	struct log_table_put put;
};
/* An end that somebody could see; topic RUN_D: D, RUN_EPOCH: the server's epoch. */
enum { RUN_D = -1, RUN_EPOCH = -2 };
struct run_end {
	int topic, partition;
	bool stable; /* the last stable offset */
	size_t at;
	int64_t end;
};

/* A call or an allocation of a run that fails, counted over all its lives; see faults.h. */
struct run_fault {
	struct sim_fault call;
	uint64_t allocation; /* 1 = the first; 0 = none */
};

struct run {
	uint64_t seed;
	struct prng prng;
	struct sim_options sim;
	struct log_options options;
	struct sim_disk *disk;
	struct io *io;
	struct loop *loop;
	struct log *log;
	struct log_table *table;
	int64_t rows[RUN_KEYS]; /* as applied */
	bool with_table;
	/* lives of the server; the operations stay in their io until run_free */
	struct io *lives[RUN_LIVES_MAX];
	size_t life_ops[RUN_LIVES_MAX]; /* operations before it */
	int life_count;
	const struct sim_op **ops; /* all of them, once the run has ended */
	size_t op_count;
	/* what was asked for and promised */
	struct run_batch batches[RUN_BATCHES_MAX + 1];
	struct run_topic topics[RUN_TOPICS_MAX];
	struct run_trim trims[RUN_TRIMS_MAX];
	struct run_alter alters[RUN_ALTERS_MAX];
	struct run_put puts[RUN_PUTS_MAX];
	struct run_end ends[RUN_ENDS_MAX];
	struct run_producer producers[RUN_PRODUCERS];
	struct run_commit commits[RUN_COMMITS_MAX];
	int batch_count, topic_count, trim_count, put_count, end_count, set_count, commit_count;
	int alter_count, out_count;
	size_t compact_asked; /* the first time */
	int pending;          /* requests not answered */
	bool killing;         /* what is answered now may be an error */
	/* a run in which something fails: refusals are answers, and who gave up is started again */
	bool faulty;
	struct run_fault fault;
	uint64_t calls;       /* of the seam, in lives that have ended */
	uint64_t hits;        /* the fault has struck */
	enum sim_call struck; /* and what */
	uint64_t allocations; /* counted so far, while not counting */
	unsigned refused;     /* answers that were errors, and starts */
	enum err error;       /* the last of them */
	char problem[256];    /* what no failing call excuses; empty = nothing */
};

/* A script: a name and what it does between opening and the end of the run. */
struct run_script {
	const char *name;
	void (*play)(struct run *run);
	bool table;   /* opens the table */
	bool rare;    /* whole only with every fourth seed, else little of it */
	bool cutless; /* not for the enumerator: what it does is no server's */
	bool scrub;   /* the scrubber is on */
	bool quick;   /* half of the requests are done at once: some while the pool works */
	uint64_t journal_bytes; /* 0 = 64 KiB */
	size_t open_files_max;  /* 0 = default */
	size_t direct_bytes;    /* 0 = default: no batch is that large */
	bool refuse_direct;
	const char *journal_dir; /* NULL = in the data directory */
};
extern const struct run_script run_scripts[];
extern const size_t run_script_count;
/* scripts_tools.c */
void script_alters(struct run *run);
void script_lookups(struct run *run);
void script_scrubs(struct run *run);
void script_fscks(struct run *run);
void script_salvages(struct run *run);
void script_rebuilds(struct run *run);
void script_exports(struct run *run);
void script_imports(struct run *run);

/* Plays a script to its end. NULL for lack of nothing: a script that cannot be played is a bug. */
struct run *run_play(const struct run_script *script, uint64_t seed);
/*
 * The same with something that fails, and without a record of the operations: all promises have
 * time 0. It ends with a log that is open and takes appends again, or with a problem.
 */
struct run *run_play_faulty(
    const struct run_script *script, uint64_t seed, const struct run_fault *fault);
void run_free(struct run *run);
/* Operations so far. */
size_t run_now(const struct run *run);
/* Opens a log on `disk` in a world of its own, as the run does; for recovery. */
struct run_world {
	struct io *io;
	struct loop *loop;
	struct log *log;
	struct log_table *table;
	int64_t rows[RUN_KEYS];
};
MUST_USE enum err run_world_open(
    const struct run *run, struct sim_disk *disk, bool record, struct run_world *ret_world);
/* A clean stop, and the next start, on the same io. */
void run_world_stop(struct run_world *world);
MUST_USE enum err run_world_start(const struct run *run, struct run_world *world);
/* Ends it as kill -9 would: nothing more is written. */
void run_world_kill(struct run_world *world);

/* ---- what scripts do ------------------------------------------------------------------------- */

/* configs: some "key=value", NULL-terminated; waits. */
int run_topic_create(struct run *run, const char *name, int partitions, const char *const *configs);
void run_topic_delete(struct run *run, int topic);
/* Asks and goes on; run_drain waits. */
void run_topic_delete_start(struct run *run, int topic);
void run_alter(struct run *run, int topic, uint64_t segment_bytes); /* its whole configuration */
void run_grow(struct run *run, int topic, int partitions);
int run_append(struct run *run, int topic, int partition, int count, size_t value_len);
/* `n` batches of one record into partitions 0.. of the topics in turn, all or none. */
void run_append_set(struct run *run, const int *topics, int n, size_t value_len);
void run_append_from(struct run *run, int topic, int partition, int64_t producer, int32_t sequence);
/* Sends batch `tag` once more: the answer must be the first one's. */
void run_append_again(struct run *run, int tag);
/* Records with these keys, one letter each; a capital is a tombstone. */
int run_append_keys(struct run *run, int topic, int partition, const char *keys);
/* The same within the transaction of producer 0..RUN_PRODUCERS - 1, which it begins if need be. */
int run_append_txn(struct run *run, int producer, int topic, int partition, const char *keys);
/* A marker into each partition of its transaction and, with a table, a row: one log_commit. */
void run_txn_end(struct run *run, int producer, bool commit);
void run_compact(struct run *run); /* everything that is due; waits */
void run_compact_start(struct run *run);
void run_retain(struct run *run, int topic, int partition); /* a pass of retention; waits */
void run_trim(struct run *run, int topic, int partition, int64_t offset);
void run_put(struct run *run, int key, int64_t value);
/* The table's next put goes into a new segment, and a snapshot follows. */
void run_roll_table(struct run *run);
struct run_batch *run_batch_new(struct run *run, int topic, int partition, int count);
void run_batch_send(struct run *run, struct run_batch *batch);
/* Takes a place for a put of this row, which the caller submits. */
struct run_put *run_put_new(struct run *run, int key, int64_t value);
void run_turns(struct run *run, int turns);
void run_drain(struct run *run);            /* until everything is answered */
void run_settle(struct run *run);           /* the same, and what was refused stays so */
void run_revive(struct run *run);           /* starts it again where it has given up */
void run_commits_again(struct run *run);    /* ends of transactions that were refused */
void run_rest(struct run *run, int64_t ns); /* time passes with turns: checkpoints, marks */
void run_stop(struct run *run);             /* clean; then run_start */
void run_kill(struct run *run);
void run_start(struct run *run);
/* ---- tools, while nobody serves: run_tools.c ------------------------------------------------- */
void run_fsck(struct run *run);
/* Into a new directory, which is opened and held to all promises. */
void run_salvage(struct run *run);
/* The journal is taken away and made again. */
void run_rebuild(struct run *run);
void run_export(struct run *run, int topic);
/* `n` batches in a Kafka log directory, as topic `name`; then run_start: the topic. */
int run_import(struct run *run, const char *name, int n, size_t value_len);
/* Imports it from where run_import has put it; TOPIC_EXISTS. */
MUST_USE enum err run_import_once(const struct run *run, struct io *io, const char *name);
/* Finds each batch of the partition by offset, sequence and time. */
void run_lookups(struct run *run, int topic, int partition);
/* A program in a life of its own, in which things may fail; its error. */
enum err run_tool(
    struct run *run, const char *what, enum err (*tool)(struct run *run, void *ctx), void *ctx);
/* The same without faults, and nobody's business. */
void run_prepare(struct run *run, void (*prepare)(struct run *run, void *ctx), void *ctx);

/* What no failing call excuses; the first one stands. */
void run_problem(struct run *run, const char *fmt, ...) PRINTF(2, 3);
/* An answer of the log. ERR_OK, or a refusal that this run may take. */
void run_answer(struct run *run, enum err err, const char *what);
/* Between these nothing that is allocated is made to fail: it is the harness's own. */
void run_own_begin(struct run *run);
void run_own_end(struct run *run);
