/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A partition: its segments, ends, producers and waiters. It is found on disk by recovery
 * (directory-driven: the segment header names topic id and partition) or made by the catalog, and
 * becomes usable when the catalog opens it:
 *
 *   FOUND    recovery saw its directory; only the journal's frames were put back       recovery.c
 *   OPEN     appends, reads, waiters partition_open DELETED  directory goes to trash/; queued
 * requests end with ERR_UNKNOWN_TOPIC      partition_delete
 *
 * The directory <data>/topics/<topic>-<partition> is made, on the pool, with the first append.
 *
 * Invariants: log_start <= durable_end <= visible_end <= log_end (I2); offsets are dense (I1);
 * segments are contiguous in base offset; `next` (where the collecting round appends) runs ahead of
 * the active segment's `size`.
 */
#include "log/damage.h"
#include "log/producer.h"
#include "log/segment.h"

struct partition_key {
	struct log_uuid topic_id;
	int32_t partition;
};
_Static_assert(sizeof(struct partition_key) == 20, "hashed as bytes");

enum partition_state { PARTITION_FOUND, PARTITION_OPEN, PARTITION_DELETED };

/* The segments in their order, for searching: partition_find.c. */
struct segment_place {
	struct segment *segment;
	int64_t max_before_ms; /* greatest in the segments before it, INT64_MIN = none */
};
struct segment_order {
	struct segment_place *at;
	size_t count, capacity;
	bool stale;
};
void segment_order_release(struct segment_order *o);

/* What keeps appends to this partition waiting; all are jobs on the pool. */
enum partition_task {
	PARTITION_CREATING = 1, /* directory or next segment */
	PARTITION_OPENING = 2,  /* the active segment's descriptor */
	PARTITION_LOADING = 4,  /* producer state */
};

struct log_partition {
	struct partition_key key; /* first: the map's key */
	struct log *log;
	const struct log_topic *topic; /* NULL until opened and after deletion */
	char *dir; /* "<topic>-<partition>", name of its directory in <data>/topics */
	bool dir_exists;
	enum partition_state state;
	enum err verdict;  /* of recovery: why it cannot be opened, ERR_OK */
	unsigned refs;     /* requests, log_partition_ref, the map's own; freed at 0 */
	unsigned tasks;    /* enum partition_task bits under way */
	enum err task_err; /* how the last one failed: told to the append that waits first */
	struct descriptor_pin opening;
	struct segment *opening_segment;
	bool opening_direct;
	bool roll_soon;
	bool indexes_checked; /* none of its segments' indexes is unchecked: index_check.h */
	bool damaged;
	struct damage damage; /* where */
	bool unread; /* the disk has failed a read of it, and the scrubber not read it since */
	uint32_t unread_pass; /* of the scrubber, then */
	bool row_under_way;   /* catalog_partition.c: in the batch that is being put */
	uint32_t leader_epoch;
	int64_t log_start, durable_end, visible_end, log_end;
	int64_t max_timestamp_ms, max_timestamp_offset;
	uint64_t size_bytes; /* of its segments, headers and visible frames */
	/* of batches since the start, and those of them that are visible: log_readable_bytes */
	uint64_t stamped_bytes, visible_bytes;

	struct list segments; /* struct segment, by base offset; the last is ACTIVE unless empty */
	uint32_t segment_count;
	struct segment_order order;
	/* where the collecting round appends; equal to the active segment's ends when nothing is in
	 * flight */
	uint32_t next_pos;
	uint64_t next_link;
	uint64_t stamped_sequence; /* of the last batch before log_end; 0 = none is there */
	unsigned queued;           /* requests in rounds.waiting */
	unsigned frames_pending;   /* stamped, their round not complete */
	unsigned markers_pending;  /* of these: how their transactions end is noted only then */
	/* jobs that write to its files or unlink them by name, partition_drop.h: the directory
	 * keeps it until they have ended */
	unsigned name_holds;
	uint64_t blocked_pass;         /* rounds.c: pass in which it was found blocked */
	struct round_stretch *stretch; /* rounds.c: its bytes in the collecting round */

	struct producers producers;
	struct refusals refusals;  /* batches of producers that will come again */
	bool frozen;               /* a roll's job reads producers and txns: nobody changes them */
	struct txns txns;          /* the open ones always, the aborted ones with the producers */
	struct list_node txn_node; /* log->txn_partitions: something is open */
	struct list load_waiting;  /* struct log_producers_load */
	struct list waiters;       /* struct log_waiter */
	struct list watches;       /* struct log_watch */
	/* where the last reads ended, so that the next ones need no index (offset -> pos) */
	struct partition_cursor {
		int64_t offset;
		struct segment *segment;
		uint32_t pos;
		bool direct; /* its reader goes past the page cache */
	} cursors[8];
	unsigned cursor_next;
	struct partition_delete_req *deleting;
	struct list_node scrub_node; /* log->scrub_queue */
	uint32_t scrub_pass;         /* the last one that is through with it: scrub.c */
	int64_t scrub_from; /* segments from this base offset on are still to come in this pass */
	int64_t compact_after_ns; /* compact.c: not before (loop's clock) */
	struct replay *replay;    /* recovery.h: while recovery works on it */
	bool lost_suffix; /* its end is gone, which nothing names yet; opened only when accepted */
	int64_t lost_from, lost_end; /* offsets, exclusive: what there was before */
	uint64_t lost_sequence,
	    lost_to_sequence; /* its batches had some of these; 0, 0 = unknown */
};

/* ---- for the catalog ------------------------------------------------------------------------- */

/*
 * Makes partition `partition` of `topic` usable: adopts the directory that recovery found, else
 * starts empty. Does not block (apart from start-up). log_start: 0 or what the catalog has;
 * segments wholly below are dropped. `topic` must stay valid until partition_delete or
 * partition_close. ERR_EXISTS: a directory of that name holds another topic's data (an orphan).
 * ERR_LOST_SUFFIX, ERR_MISSING_SEGMENT, ERR_OVERLAP as verdicts of recovery.
 */
MUST_USE enum err partition_open(struct log *log, const struct log_topic *topic, int32_t partition,
    int64_t log_start, uint32_t leader_epoch, struct log_partition **ret_partition);
/* At log_close: frees. Nothing may be in flight. */
void partition_close(struct log_partition *p);

/*
 * The topic is deleted (its record is durable): appends and reads end with ERR_UNKNOWN_TOPIC,
 * waiters fire, the directory is renamed to trash/<topic id>-<partition> and its name is free again
 * when `done` is called; unlinking goes on behind.
 */
struct partition_delete_req {
	struct log_partition *partition;
	enum err err;
	struct pool_job job; /* the partition's own */
	void (*done)(struct partition_delete_req *req);
};
void partition_delete(struct log *log, struct partition_delete_req *req);
/* Deletes a directory that recovery found and the catalog knows as deleted. Blocks; start-up only.
 */
MUST_USE enum err partition_trash_found(
    struct log *log, struct log_uuid topic_id, int32_t partition);
/* What recovery found and nobody has opened yet: start with *cursor = 0, NULL at the end. */
struct log_partition *partition_found_next(struct log *log, size_t *cursor);

/* Moves log_start to `offset` (<= durable_end), which must be durable in the catalog, and drops the
 * segments wholly below as soon as no lease holds them. */
void partition_trim(struct log_partition *p, int64_t offset);
/*
 * The record with the greatest timestamp may be gone: looks for the one that has it now. What whole
 * segments have is known at once; a segment that the log start lies in is read, and until then the
 * answer may be too small.
 */
void partition_latest(struct log_partition *p);
/* Rolls the active segment at the next append (snapshots of tables, retention by time). */
void partition_roll_soon(struct log_partition *p);
/* Rolls it now, unless it is empty or something is in flight. */
void partition_roll(struct log_partition *p);
/* Segment number `index` from the oldest, NULL past the end. */
struct segment *partition_segment(const struct log_partition *p, size_t index);

/*
 * Blocking walk over all batches of a partition from `offset` to durable_end at start-up (catalog,
 * tables): fn's error stops it and is returned. A damaged frame: ERR_CORRUPT.
 */
typedef enum err (*partition_visit)(void *ctx, const struct frame *frame, struct bytes batch);
MUST_USE enum err partition_walk(
    struct log_partition *p, int64_t offset, partition_visit fn, void *ctx);

/* ---- inside the engine ----------------------------------------------------------------------- */

/*
 * Can `len` bytes of a batch (frame header and padding included) be appended now? ERR_AGAIN: a task
 * was started (or is under way) that calls rounds_kick when it ends; else UNKNOWN_TOPIC, DAMAGED,
 * or how the task failed. With ERR_OK the active segment has room and is open.
 */
MUST_USE enum err partition_ready(
    struct log_partition *p, size_t len, bool idempotent, bool direct);
/* A request of it has left the queue. */
void partition_unqueue(struct log_partition *p);
/*
 * Who needs producers or aborted transactions waits until they are loaded: `done` later, unless
 * partition_loaded already. Every answer comes, also for a partition that is deleted meanwhile.
 */
void partition_load_and(struct log_partition *p, struct log_producers_load *w);
/* Fills in the aborted transactions with batches among those read. */
MUST_USE enum err partition_read_aborted(struct log_read *req);
static inline bool partition_aborted_known(const struct log_partition *p)
{
	return p->producers.loaded || !p->txns.used;
}
/* Damaged, and its topic does not want records all the same. Of an open one. */
static inline bool partition_blocked(const struct log_partition *p)
{
	return p->damaged && !p->topic->config.damaged_writable;
}
/* Exclusive end of what a reader of committed data may see. */
static inline int64_t partition_stable_end(const struct log_partition *p)
{
	int64_t end = txns_stable_end(&p->txns, p->visible_end);
	return end > p->log_start ? end : p->log_start;
}
/* The same as a sequence, inclusive, if all else is stable up to `sequence`. */
static inline uint64_t partition_stable_sequence(const struct log_partition *p, uint64_t sequence)
{
	const struct txn_open *oldest = txns_oldest(&p->txns);
	return oldest && oldest->first_sequence <= sequence ? oldest->first_sequence - 1 : sequence;
}
/* A batch of a producer: may it be appended? See producers_check and txns_check. */
MUST_USE enum err partition_check_producer(
    struct log_partition *p, const struct batch_header *h, struct producer_batch *ret_original);
/* It may: makes room, so that noting it cannot fail (NOMEM); takes that back from one not noted. */
MUST_USE enum err partition_promise_producer(struct log_partition *p, const struct batch_header *h);
void partition_unpromise_producer(struct log_partition *p, const struct batch_header *h);
/* It was stamped. */
void partition_note_producer(
    struct log_partition *p, const struct batch_header *h, uint64_t sequence, int64_t append_ns);
/* It could not be taken, for `err`: the producer will send it again, unless the batch is at fault.
 */
void partition_note_refused(struct log_partition *p, struct bytes batch, enum err err);
/* A control batch of it is durable. */
void partition_note_marker(struct log_partition *p, struct bytes batch, int64_t offset);
/* Replaces the last of a segment's producer snapshots, at a clean stop. Blocks. */
void partition_snap(struct log_partition *p);

MUST_USE enum err partition_new(
    struct log *log, struct partition_key key, struct str dir, struct log_partition **ret_p);
/* Its name and id are free again; the object stays for those who hold it. */
void partition_unregister(struct log_partition *p);
struct log_partition *partition_by_key(const struct log *log, struct partition_key key);
void partition_ref(struct log_partition *p);
void partition_unref(struct log_partition *p);
static inline struct segment *partition_active(const struct log_partition *p)
{
	return list_empty(&p->segments) ? NULL
	                                : CONTAINER_OF(p->segments.head.prev, struct segment, node);
}
/* The segment that holds the last durable frame, else the oldest; NULL when there is none. */
struct segment *partition_durable_segment(const struct log_partition *p);
/* The segment that holds `offset`: the last that begins at or before it, and is not empty. NULL. */
struct segment *partition_segment_of(struct log_partition *p, int64_t offset);
/* The first that begins at `base_offset` or behind it, also an empty one; NULL past the last. */
struct segment *partition_segment_from(struct log_partition *p, int64_t base_offset);
/* The last that begins at or before `sequence`, else the first; NULL when there is none. */
struct segment *partition_segment_of_sequence(struct log_partition *p, uint64_t sequence);
/* One whose index was not checked since the start; NULL. */
struct segment *partition_index_unchecked(struct log_partition *p);
/* The first with a timestamp at or after `timestamp_ms`; NULL. */
struct segment *partition_segment_of_time(struct log_partition *p, int64_t timestamp_ms);
/* "<data>/topics/<dir>/<name>" */
MUST_USE enum err partition_path(const struct log_partition *p, const char *name, char *buf);
/* What there was from its end up to offset `to`, the last batch with `last_sequence` (0 = not
 * known), is gone: to be named before it is served (gap.c). */
void partition_lose(struct log_partition *p, int64_t to, uint64_t last_sequence);
/* Ends have moved: waiters fire, and watches tell. */
void partition_wake(struct log_partition *p);
/* Those of readers have not, but what is told of it: watches tell. */
void partition_changed(struct log_partition *p);
/* The disk has failed a read: that range fails, the rest is served. Metric; health is red until the
 * scrubber has read all of the partition. */
void partition_unread(struct log_partition *p, const struct segment *s, uint32_t pos, enum err why);
/* A pass of the scrubber that began behind the last failure has read it. */
void partition_read_again(struct log_partition *p);
/* A bad frame was met: events, metric; produce is refused from now on, also after a restart unless
 * it verifies then (damage.h). */
void partition_damaged(
    struct log_partition *p, const struct segment *s, uint32_t pos, const char *what);
/* All that was known to be bad has been put right: produce is taken again. */
void partition_undamaged(struct log_partition *p);
