/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * engine: `struct log` from inside: what the parts of the commit log share. log.c opens it in this
 * order:
 *
 *   engine_open   lock, checkpoint record, directories, journal replay: afterwards appends and
 * reads work catalog_open  topics and partitions (partition_open adopts the directories that
 * recovery found) engine_serve  reports what the catalog did not adopt (ORPHAN), starts the timers
 *
 * Everything here belongs to the loop's thread.
 */
#include "log/ahead.h"
#include "log/behind.h"
#include "log/checkpoint.h"
#include "log/clock.h"
#include "log/descriptor.h"
#include "log/dirlock.h"
#include "log/index_check.h"
#include "log/journal.h"
#include "log/log.h"
#include "log/partition.h"
#include "log/round.h"
#include "log/tail.h"

struct catalog;
struct log_scan;
struct scrub;

struct log_watcher {
	void (*fn)(void *ctx, uint64_t stable_sequence);
	void *ctx;
};

struct log {
	struct loop *loop;
	struct io *io;
	struct log_options options; /* numbers resolved; strings are the two below */
	char *data_dir;
	char *journal_dir;
	struct dirlock lock;
	struct dirlock journal_lock; /* of a journal directory outside of data_dir */
	bool journal_outside;
	uint32_t epoch; /* server epoch: +1 per start, durable before the first append */
	bool recovered; /* recovery went through, its end is durable: a stop may write CLEAN */
	bool failed;    /* a flush failed: nothing is acknowledged any more */
	bool closing;
	uint32_t damaged_partitions;
	uint32_t unread_partitions;

	struct map partitions;     /* struct partition_key -> struct log_partition; adopted or still
	                              only found */
	struct map directories;    /* name in <data>/topics -> struct log_partition */
	struct recovery *recovery; /* what recovery knows until engine_serve; recovery.c's */
	struct catalog *catalog;   /* catalog.c's */
	struct scrub *scrub;       /* NULL = off */
	struct list scrub_queue;   /* struct log_partition, all; scrub.c: those to come are first */

	uint64_t durable_sequence; /* D */
	struct checkpoint_gap
	    gaps[CHECKPOINT_GAPS_MAX + 1]; /* burnt, and not yet named by the catalog */
	uint32_t gap_count;
	int64_t last_append_time_ns; /* of the newest durable batch */
	struct log_watcher watchers[LOG_WATCHERS_MAX];
	struct list scans;          /* struct log_scan: woken when D moves */
	struct list txn_partitions; /* struct log_partition with open transactions */
	struct list firing;         /* struct log_waiter whose time has come */
	struct mail fire;
	bool fire_posted;

	struct clock clock;
	struct journal journal;
	struct rounds rounds;
	struct checkpointer checkpointer;
	struct index_spare index_spare; /* given back by the checkpointer */
	struct descriptors descriptors;
	struct tail tail;
	struct behind behind;
	struct ahead ahead;
	bool direct_refused;       /* the file system takes no O_DIRECT: every frame is INLINE */
	uint64_t producer_id_next; /* log_producer_id; < producer_id_reserved */
	uint64_t producer_id_reserved;   /* durable bound */
	struct list producer_id_waiting; /* struct log_producer_id_req */
	struct list producer_id_done;
	struct mail ids;
	bool ids_posted;
	bool stopped;
	unsigned drops;       /* jobs that unlink or write files by name, queued or on the pool */
	struct list dropping; /* struct segment_drop */
	bool drop_busy;
	struct log_read *reads_first, *reads_last; /* to be answered */
	struct mail reads;
	unsigned reads_active;
	/* index_check.c: indexes are checked behind, one partition after the other */
	struct log_partition *index_sweeping; /* referenced */
	size_t index_cursor;
	struct index_wait index_swept;
};

/* Everything of log_open but the catalog; tests of the engine stop here. Same errors. */
MUST_USE enum err engine_open(
    struct loop *loop, const struct log_options *options, struct log **ret_log);
/* After the partitions are adopted: reports orphans, starts periodic work. */
void engine_serve(struct log *log);
/* Waits for the round in flight and the pool, writes CLEAN; nothing is accepted any more. Twice is
 * once. */
void engine_stop(struct log *log);
/* Stops, then frees. `log` may be NULL or half open. */
void engine_close(struct log *log);
/*
 * A disk that lied: stops acknowledging for good, with one event; `why` is the cause. Everything
 * queued ends with ERR_IO. The server sees log_status().failed and exits non-zero.
 */
void engine_fail(struct log *log, enum err why, const char *what);
/* S_stable of all partitions together: D, or what is before the oldest open transaction. */
uint64_t engine_stable(const struct log *log);
/* S_stable may have moved: watchers and scans hear of it. */
void engine_announce(struct log *log);
/* D has moved to `sequence`. */
void engine_durable(struct log *log, uint64_t sequence, int64_t append_time_ns);
/* Producer ids: is an entry wanted that reserves more, what bound it carries, and that it is
 * durable. */
bool engine_reserve_wanted(const struct log *log);
uint64_t engine_reserve_bound(const struct log *log);
void engine_reserved(struct log *log, uint64_t bound);
void producer_ids_abort(struct log *log);
/* "<data>/<a>/<b>" and so on into buf; ERR_LIMIT when it does not fit. */
enum { LOG_PATH_MAX = 4096 };
MUST_USE enum err engine_path(const struct log *log, char *buf, const char *fmt, ...) PRINTF(3, 4);
