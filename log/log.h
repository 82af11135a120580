/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * log: the commit log. Segmented, partitioned, durable by commit rounds (architecture: one journal
 * entry and one fdatasync for everything appended since the last round), in one server-wide order,
 * the sequence.
 *
 * Threads: one log belongs to the thread of its loop; functions are for that thread unless marked
 * [any thread] or [worker]. Asynchronous requests are caller-owned structs whose `done` is called
 * exactly once, on the loop, never from inside the call that started them. Ends of a partition:
 * log_start <= durable_end <= visible_end <= log_end (I2). An offset is a record number in its
 * partition; a sequence is a batch number over all partitions, from 1, without gap (I1).
 */
#include "log/base/base.h"

struct log;
struct log_partition;

struct log_uuid {
	uint8_t b[16];
};
static inline bool log_uuid_equal(struct log_uuid a, struct log_uuid b)
{
	return memcmp(a.b, b.b, 16) == 0;
}
static inline bool log_uuid_is_zero(struct log_uuid a)
{
	return log_uuid_equal(a, (struct log_uuid){{0}});
}

/* ---- life cycle ------------------------------------------------------------------------------ */

struct log_options {
	const char *data_dir; /* created if missing; locked */
	/* An absolute path; NULL = where the last start had it, at first data_dir/journal. A
	 * directory outside of data_dir is locked and marked as this log's (journal_where.h). */
	const char *journal_dir;
	uint64_t
	    journal_bytes; /* all four files together; JOURNAL_BYTES_MIN at least; 0 = default */
	uint64_t checkpoint_bytes; /* lazily written bytes that start a checkpoint; 0 = 64 MiB */
	int64_t checkpoint_ns;     /* its longest distance; 0 = 5 s */
	size_t append_queue_bytes; /* bytes accepted but not yet durable (I7); 0 = 64 MiB; beyond:
	                              ERR_AGAIN */
	/* Batches from this size on, a quarter of it while rounds are large, go to their segment
	 * alone, past the page cache (DIRECT); 0 = default, SIZE_MAX = none. */
	size_t direct_bytes;
	size_t compact_map_bytes; /* compaction's table of keys, 24 bytes each; 0 = 32 MiB. Full: a
	                             partition takes several passes */
	size_t compact_producers; /* compaction holds at once; 0 = as many as a partition knows.
	                             Of more, what they may need of their batches stays */
	size_t open_files_max;    /* segment descriptors kept open; 0 = 512 */
	uint64_t scrub_bytes_per_second; /* verifying the whole log in the background; 0 = off */
	int64_t scrub_rest_ns;           /* between two passes; 0 = 1 h */
	bool unfinished; /* a tool's own: open what it has not written to the end (`unfinished`) */
	const char *accept_lost_suffix; /* a reason, which outlives the log: start although
	                                    partitions end before D */
};

/*
 * Recovers and opens. Blocks. A program whose files are limited (RLIMIT_FSIZE) ignores SIGXFSZ
 * before: signals are its own, and writes of this thread raise it. Refuses with ERR_LOCKED,
 * ERR_NEWER_FORMAT, ERR_NO_JOURNAL, ERR_LOST_SUFFIX, ERR_OVERLAP, ERR_NOSPACE, ERR_IO; everything
 * less is repaired or contained, with a diag event and metric per verdict (reliability: recovery
 * verdicts).
 */
MUST_USE enum err log_open(
    struct loop *loop, const struct log_options *options, struct log **ret_log);
/*
 * Before log_close, when nothing else ends: on a full disk a round may wait for room for ever. What
 * waits is answered with ERR_IO, nothing is taken any more, and the next start does the rest from
 * the journal. Nothing happens while there is room.
 */
void log_give_up(struct log *log);
/* Waits for the round in flight, writes CLEAN, closes. Blocks (turns the loop). Appends still
 * queued end with ERR_CLOSED. */
void log_close(struct log *log);
struct loop *log_loop(const struct log *log);

struct log_status {
	uint64_t durable_sequence; /* D */
	uint64_t
	    stable_sequence; /* S_stable: what views may read; = D while no transaction is open */
	uint64_t next_sequence;
	uint32_t server_epoch;
	int64_t last_append_time_ns; /* of the newest durable batch, wall clock */
	bool failed;   /* a flush failed: nothing is acknowledged any more; the server must exit
	                  non-zero */
	bool no_space; /* appends are refused with ERR_NOSPACE until there is room again */
	uint32_t damaged_partitions;
	uint32_t unread_partitions; /* the disk has failed a read of them, and the scrubber has not
	                               read them since */
};
void log_status(const struct log *log, struct log_status *ret_status);
/* Bytes of the data directory's file system: free for us, and all. Asks it, which may take long.
 * [any thread] */
MUST_USE enum err log_space(const struct log *log, uint64_t *ret_free, uint64_t *ret_total);
/*
 * The two times, ns of the wall clock. What is kept for later is stamped with the first: it never
 * goes back and follows no jump ahead. Ages of what was stamped are measured by the second: a wall
 * clock that is or was wrong makes things stay longer and takes nothing away.
 */
int64_t log_time_ns(struct log *log);
int64_t log_judging_time_ns(struct log *log);
/* Called on the loop each time D (and with it S_stable) has moved. At most LOG_WATCHERS_MAX. */
enum { LOG_WATCHERS_MAX = 8 };
void log_watch_stable(struct log *log, void (*fn)(void *ctx, uint64_t stable_sequence), void *ctx);
void log_unwatch_stable(struct log *log, void *ctx);

/* ---- topics (catalog) ------------------------------------------------------------------------ */

enum log_cleanup { LOG_CLEANUP_DELETE = 1, LOG_CLEANUP_COMPACT = 2 };
enum log_timestamp_type { LOG_TIME_CREATE, LOG_TIME_APPEND };
enum log_durability { LOG_DURABILITY_FSYNC, LOG_DURABILITY_INTERVAL, LOG_DURABILITY_NONE };

/* Decoded per-topic configuration; the defaults come from the server's. Table:
 * log/topic_config.def. */
struct log_topic_config {
	unsigned cleanup;        /* LOG_CLEANUP_ bits */
	int64_t retention_ms;    /* -1 = for ever */
	int64_t retention_bytes; /* per partition, -1 = any */
	uint64_t segment_bytes;
	int64_t segment_ms;
	uint32_t max_message_bytes;
	enum log_timestamp_type timestamp_type;
	int64_t timestamp_before_ms, timestamp_after_ms; /* CreateTime may differ from now */
	enum log_durability durability;
	int compression; /* -1 = producer, else enum batch_codec */
	int64_t delete_retention_ms;
	int64_t min_compaction_lag_ms, max_compaction_lag_ms;
	double min_cleanable_ratio;
	int64_t flush_ms, flush_messages;
	bool damaged_writable; /* appends to a damaged partition are taken */
};

struct log_topic {
	struct log_uuid id;
	struct str name; /* valid while the topic exists */
	int32_t partition_count;
	uint64_t born; /* log_topics_version when it came into this process */
	bool internal; /* its name is reserved: clients cannot produce to it */
	struct log_topic_config config;
	/* explicitly set keys only, "key=value" pairs for DescribeConfigs; both arrays belong to
	 * the topic */
	struct str (*set_configs)[2];
	size_t set_config_count;
};

/* NULL when unknown. Pointers stay valid until the loop's current callback returns. */
const struct log_topic *log_topic_find(const struct log *log, struct str name);
const struct log_topic *log_topic_by_id(const struct log *log, struct log_uuid id);
/* Iteration in name order: start with *cursor = 0; NULL at the end. */
const struct log_topic *log_topic_next(const struct log *log, size_t *cursor);
size_t log_topic_count(const struct log *log);
/* Rises when a topic comes, goes or gets partitions; counts from 0 at each start. */
uint64_t log_topics_version(const struct log *log);
/* ERR_INVALID_TOPIC unless 1..249 of [a-zA-Z0-9._-], not "." or "..". */
MUST_USE enum err log_topic_name_check(struct str name);
/* Names of the server's own topics: __kappa_*, __consumer_offsets, __transaction_state. Others that
 * begin with __ are anybody's, as with Kafka: tools have theirs there. */
bool log_topic_name_reserved(struct str name);

enum log_topic_op {
	LOG_TOPIC_CREATE,
	LOG_TOPIC_DELETE,
	LOG_TOPIC_ADD_PARTITIONS,
	LOG_TOPIC_SET_CONFIG
};
/*
 * One durable change of the catalog: `done` after its record is durable and directories exist.
 * CREATE: name, partition_count, configs. DELETE: name. ADD_PARTITIONS: name, partition_count = new
 * total. SET_CONFIG: name, configs = the whole new set. validate_only stops before the record.
 * Errors: TOPIC_EXISTS, INVALID_TOPIC, INVALID_PARTITIONS, INVALID_CONFIG (chain says which),
 * UNKNOWN_TOPIC, LIMIT, NOSPACE. name and configs are borrowed until done.
 */
struct log_topic_req {
	enum log_topic_op op;
	struct str name;
	int32_t partition_count;
	const struct str (*configs)[2];
	size_t config_count;
	bool internal;
	bool validate_only;
	enum err err;
	char message[160]; /* what was wrong, for the client */
	struct log_uuid ret_id;
	struct list_node node; /* log's */
	struct log *log;       /* log's */
	void (*done)(struct log_topic_req *req);
};
void log_topic_submit(struct log *log, struct log_topic_req *req);

/* Configuration keys with their defaults, for DescribeConfigs: index from 0; false past the end. */
struct log_config_entry {
	const char *key;
	const char *type; /* "long", "int", "string", "list", "boolean" */
	const char *doc;
	bool obeyed; /* false: accepted, stored, without effect yet */
};
bool log_topic_config_entry(size_t index, struct log_config_entry *ret_entry);
/* The value in force for `key`, as text, into buf; *ret_is_set tells whether the topic set it. */
MUST_USE enum err log_topic_config_get(
    const struct log_topic *topic, struct str key, char *buf, size_t len, bool *ret_is_set);
/* Server-wide default for topics that do not set the key, existing ones too ("log.segment.bytes"
 * forms are mapped by the caller). */
MUST_USE enum err log_default_config_set(struct log *log, struct str key, struct str value);
/* How long compaction rests when it has found nothing to do, from now on; 15 s at the start. */
void log_compact_interval_set(struct log *log, int64_t interval_ns);
/* Whether a topic, or the server as its default, may have that value: INVALID_CONFIG, NOMEM. */
MUST_USE enum err log_config_check(struct str key, struct str value);
/* The default in force for `key` of topics that do not set it, as text, into buf. */
MUST_USE enum err log_default_config_get(
    const struct log *log, struct str key, char *buf, size_t len);

/* ---- partitions ------------------------------------------------------------------------------ */

/* NULL when the topic has no such partition. Valid until the loop's current callback returns; hold
 * with ref. */
struct log_partition *log_partition_find(
    const struct log *log, const struct log_topic *topic, int32_t partition);
/* Keeps the object (not the data: a deleted partition answers ERR_UNKNOWN_TOPIC) until the matching
 * unref. */
void log_partition_ref(struct log_partition *p);
void log_partition_unref(struct log_partition *p);

struct log_partition_status {
	const struct log_topic *topic; /* NULL: the topic was deleted meanwhile */
	int32_t partition;
	int64_t log_start;   /* first offset still there */
	int64_t visible_end; /* high watermark: exclusive end of what fetch may show */
	int64_t durable_end;
	int64_t stable_end; /* last stable offset: = visible_end while no transaction is open */
	int64_t log_end;
	uint32_t leader_epoch;
	int64_t max_timestamp_ms;     /* -1 when empty */
	int64_t max_timestamp_offset; /* of the first record with it, batch granularity */
	uint64_t size_bytes;
	uint32_t segment_count;
	bool damaged; /* produce is refused unless the topic has damaged_writable, good ranges are
	                 served */
};
void log_partition_status(const struct log_partition *p, struct log_partition_status *ret_status);
/* Segments for `topic describe --segments`; false past the end. */
struct log_segment_status {
	int64_t base_offset, end_offset;
	uint64_t first_sequence, size_bytes;
	int64_t max_timestamp_ms;
	uint32_t generation;     /* 0 = as appended; else compaction or recompression wrote it */
	uint64_t original_bytes; /* of what it stands for, as appended */
	bool compacted;          /* compaction has seen all of it */
	int codec;               /* its batches were recompressed with, -1 = as sent */
};
bool log_segment_status(
    const struct log_partition *p, size_t index, struct log_segment_status *ret_status);

/*
 * Moves log_start to `offset` (-1: to visible_end), durably, and deletes the segments wholly below
 * it as soon as nothing reads them. At or below log_start: ERR_OK, nothing changes. Never beyond
 * the durable end. Errors: OFFSET_OUT_OF_RANGE (above visible_end), POLICY_VIOLATION
 * (cleanup.policy without delete), INVALID_TOPIC (the server's own), UNKNOWN_TOPIC (deleted),
 * NOMEM, and those of an append.
 */
struct log_trim {
	struct log_partition *partition;
	int64_t offset;
	enum err err;
	int64_t log_start; /* now */
	struct mail mail;  /* the log's own */
	void *user;
	void (*done)(struct log_trim *req);
};
void log_trim(struct log *log, struct log_trim *req);

/* ---- transactions ---------------------------------------------------------------------------- */

/*
 * A batch with the transactional attribute opens a transaction of its producer in its partition; a
 * marker (control batch, batch_marker_build in batch.h, appended with `internal`) ends it. Whether
 * a producer may write a transaction is the caller's to know. Until the marker is durable
 * stable_end and S_stable stay before its first batch.
 */
struct log_txn {
	const struct log_topic *topic;
	int32_t partition;
	int64_t producer_id;
	int16_t producer_epoch;
	int64_t first_offset;
	uint64_t first_sequence;
	int64_t started_ns; /* append time of its first batch */
};
/* The one that holds back S_stable; false: none is open. */
bool log_txn_oldest(const struct log *log, struct log_txn *ret_txn);
/* The open one of a producer; false: it has none. */
bool log_txn_open(const struct log_partition *p, int64_t producer_id, struct log_txn *ret_txn);

/*
 * The producers that a partition knows. log_producers_load: true when they are there, else they are
 * loaded and `done` is called. log_producer_next: from *cursor = 0 until false.
 */
struct log_producers_load {
	struct list_node node;
	enum err err;
	void (*done)(struct log_producers_load *load);
};
bool log_producers_load(struct log_partition *p, struct log_producers_load *load);
struct log_producer {
	int64_t producer_id;
	int16_t producer_epoch;
	int32_t last_sequence; /* -1: none since its epoch began */
	int64_t last_ns;       /* append time */
};
bool log_producer_next(
    const struct log_partition *p, size_t *cursor, struct log_producer *ret_producer);

/* ---- append ---------------------------------------------------------------------------------- */

/*
 * One RecordBatch v2. It has been validated (batch_check in batch.h) by the caller; the log stamps
 * base offset, leader epoch (and append time where the topic asks) into `batch` in place, checks
 * the producer's sequence (idempotence: the last PRODUCER_BATCHES_KEPT batches), and answers when
 * the batch is as durable as the topic says. A duplicate is answered with the original's offset,
 * together with the original's round. Errors: AGAIN (queue full), NOSPACE, DAMAGED, CLOSED,
 * UNKNOWN_TOPIC (deleted), MESSAGE_TOO_LARGE, OUT_OF_ORDER_SEQUENCE, INVALID_PRODUCER_EPOCH,
 * UNKNOWN_PRODUCER, IO.
 */
struct log_append {
	struct log_partition *partition;
	uint8_t *batch; /* whole RecordBatch; borrowed and modified until done */
	size_t batch_len;
	uint32_t principal; /* id of the authenticated principal, 0 = none */
	bool internal;      /* server-written: may go to internal topics, may be a control batch */
	bool from_zero; /* a producer of which nothing is known here has to start at sequence 0 */
	/* results */
	enum err err;
	int64_t base_offset;
	int64_t append_time_ms; /* -1 unless the topic stamps append time */
	int64_t log_start;
	uint64_t sequence;
	bool duplicate;
	/* the log's own from submit to done */
	struct list_node node;
	uint64_t internal_[4];
	void *user;
	void (*done)(struct log_append *req);
};
/* All `count` batches in ONE round: durable together or not at all. Each gets its own done.
 * Requests that fail their checks do not stop the others unless all_or_none. */
void log_append(struct log *log, struct log_append *const *reqs, size_t count, bool all_or_none);

/*
 * The caller refuses a batch in its place, for now: what its producer has sent behind it must not
 * be taken before it has come again. (The log notes by itself what it refuses.)
 */
void log_append_refused(struct log_partition *p, struct bytes batch, enum err why);

/* A fresh producer id, unique for the life of the data directory (reserved durably in blocks).
 * `done` on the loop. */
struct log_producer_id_req {
	enum err err;
	int64_t producer_id;
	struct list_node node;
	struct log_append append;
	void (*done)(struct log_producer_id_req *req);
};
void log_producer_id(struct log *log, struct log_producer_id_req *req);

/* ---- read ------------------------------------------------------------------------------------ */

/*
 * Reads whole batches from the one that contains `offset`, up to visible_end (or stable_end with
 * read_committed), at most max_bytes but always at least one batch when there is one (KIP-74),
 * never past a segment's end in one request. The slices in `batches` point into a buffer that
 * belongs to the request until log_read_release. Every frame's checksums are verified.
 * ERR_OFFSET_OUT_OF_RANGE below log_start or above log_end; at the end: ERR_OK with batch_count 0.
 * A damaged range: ERR_CORRUPT (Kafka CORRUPT_MESSAGE), the rest of the partition goes on.
 */
struct log_read {
	struct log_partition *partition;
	int64_t offset;
	size_t max_bytes;
	bool read_committed;
	/* results */
	enum err err;
	struct bytes
	    *batches; /* RecordBatch v2 each, without frame headers, adjacent ones not merged */
	size_t batch_count;
	size_t bytes_total;
	int64_t next_offset; /* of the record after the last returned */
	struct log_aborted {
		int64_t producer_id, first_offset;
	} * aborted; /* read_committed: transactions whose batches, from first_offset to the
	                producer's next ABORT marker, are not to be shown; NULL = none */
	size_t aborted_count;
	int64_t visible_end, stable_end, log_start; /* at the time of the read */
	/* the log's own */
	void *buffer;
	size_t buffer_len;
	struct io_req io;
	struct iovec iov;
	uint64_t internal_[4];
	void *user;
	void (*done)(struct log_read *req);
};
void log_read(struct log *log, struct log_read *req);
/* After done: frees the buffer, the slices and the list of aborted transactions. */
void log_read_release(struct log_read *req);

/* A waiter: `fire` once, on the loop, when visible_end (with `committed`: stable_end) passes
 * `offset` (at once, deferred, if it has) or the partition is deleted. Embedded by a fetch; cancel
 * is safe at any time. */
struct log_waiter {
	struct list_node node;
	int64_t offset;
	bool committed;
	void (*fire)(struct log_waiter *w);
};
void log_waiter_init(struct log_waiter *w, void (*fire)(struct log_waiter *w));
void log_wait(struct log_partition *p, int64_t offset, struct log_waiter *w);
void log_wait_cancel(struct log_waiter *w);
/*
 * A watch costs nothing until its partition is another one than log_partition_status last told: an
 * end has moved, or it is deleted. Then it stands in `changed` of its set, once, and whoever looks
 * there may set it again. Who waits for that is told by the set's waiter: `fire` once, on the loop,
 * deferred. Cancel is safe at any time.
 */
struct log_watches {
	struct list changed; /* struct log_watch */
	bool awaited;
	struct log_waiter waiter;
};
struct log_watch {
	struct list_node node; /* the partition's, or in changed */
	struct log_watches *of;
};
void log_watches_init(struct log_watches *all, void (*fire)(struct log_waiter *w));
void log_watch_init(struct log_watch *w, struct log_watches *all);
void log_watch(struct log_partition *p, struct log_watch *w);
void log_watch_cancel(struct log_watch *w);
void log_watches_wait(struct log *log, struct log_watches *all);
void log_watches_cancel(struct log_watches *all);
/*
 * Bytes of batches up to visible_end (`committed`: stable_end) that have come since the start: how
 * much two of them differ by has become readable in between. When a transaction ends that was open
 * at the start it is more.
 */
uint64_t log_readable_bytes(const struct log_partition *p, bool committed);

/*
 * Lookup by time (asynchronous: it may read a batch): the first RECORD with timestamp >=
 * timestamp_ms; not found: offset -1. The special times of ListOffsets (-1, -2, -3) are answered
 * from log_partition_status.
 */
struct log_find_time {
	struct log_partition *partition;
	int64_t timestamp_ms;
	bool latest; /* the greatest that the partition has, instead */
	enum err err;
	int64_t offset;       /* -1: none */
	int64_t found_ms;     /* that record's timestamp, -1 */
	struct log_read read; /* the log's own */
	void *user;
	void (*done)(struct log_find_time *req);
};
void log_find_time(struct log *log, struct log_find_time *req);

/*
 * Lookup by sequence (asynchronous: it may read the index file): the first batch of the partition
 * with a sequence >= `sequence` that a reader may see. O(log n) in the bytes of the partition, as
 * all lookups. Without memory for it `done` is called from inside.
 */
struct log_find_sequence {
	struct log_partition *partition;
	uint64_t sequence;
	enum err err;
	int64_t offset;          /* of its first record; -1: none */
	uint64_t found_sequence; /* 0: none */
	void *user;
	void (*done)(struct log_find_sequence *req);
};
void log_find_sequence(struct log *log, struct log_find_sequence *req);

/* ---- scan: reading in sequence order from a worker (leases inside) --------------------------- */

/*
 * A merged reader over partitions, in sequence order, never past their S_stable: min(D, what is
 * before the oldest transaction open in one of them). It returns committed data only: control
 * batches and those of aborted transactions are passed over, live and in rebuilds alike. It takes
 * leases on
 * immutable slices of segments from the loop and reads them itself through the seam's blocking
 * functions; retention unlinks only what no lease holds. [worker]: all functions on one thread that
 * is not the loop's (under sim: the loop's).
 */
struct log_scan;
struct log_scan_source {
	struct log_uuid topic_id;
	int32_t partition;
	int64_t from_offset;
};
struct log_batch_view {
	struct log_uuid topic_id;
	uint32_t source; /* index into the sources given to log_scan_open */
	int32_t partition;
	uint64_t sequence;
	int64_t base_offset; /* first record of the batch; records before from_offset are the
	                        caller's to skip */
	int64_t end_offset;  /* behind its last record, or behind the hole */
	int64_t append_time_ns;
	uint32_t principal;
	struct bytes batch; /* RecordBatch v2, verified; valid until the next log_scan_next */
};
/* Partitions that appear later (ADD_PARTITIONS) are not in the scan: reopen. ERR_SOURCE_GONE,
 * ERR_OFFSET_OUT_OF_RANGE. */
MUST_USE enum err log_scan_open(struct log *log, const struct log_scan_source *sources,
    size_t count, struct log_scan **ret_scan);
void log_scan_close(struct log_scan *scan);
/*
 * The next batch in sequence order. ERR_AGAIN: everything up to *ret_stable has been returned (so
 * the caller's position is *ret_stable). ERR_CORRUPT names a damaged batch in the chain and skips
 * it at the next call (ret_view tells source, sequence and offsets of the hole). ERR_SOURCE_GONE:
 * topic deleted.
 */
MUST_USE enum err log_scan_next(
    struct log_scan *scan, struct log_batch_view *ret_view, uint64_t *ret_stable);
/* Stops before the first batch with a greater sequence (bounded replays, barriers); UINT64_MAX =
 * none. */
void log_scan_limit(struct log_scan *scan, uint64_t last_sequence);
/* Waits until S_stable passes what was last returned, the timeout ends or log_scan_wake is called.
 */
bool log_scan_wait(struct log_scan *scan, int64_t timeout_ns);
void log_scan_wake(struct log_scan *scan); /* [any thread] */
/* Offset of the first batch in `source` whose append time >= time_ns, or its end. For --from @TIME.
 */
MUST_USE enum err log_scan_find_append_time(struct log *log, struct log_uuid topic_id,
    int32_t partition, int64_t time_ns, int64_t *ret_offset);

/* ---- tables: internal topics as durable key-value state -------------------------------------- */

/*
 * An internal topic whose records are the truth of an in-memory table ("the log is the only
 * truth"). At open all live records are applied in offset order (partitions one after the other). A
 * table with `snapshot` writes a snapshot of its live rows at each segment roll, after which older
 * segments are deletable, so start-up is bounded; history tables (snapshot == NULL) keep
 * everything. Records are visible to Kafka clients like any topic's.
 */
struct log_table;
struct log_table_ops {
	/* value.ptr == NULL: tombstone. Key and value are borrowed. An error is corruption: the
	 * table refuses to open. */
	enum err (*apply)(void *ctx, int32_t partition, struct bytes key, struct bytes value,
	    int64_t timestamp_ms);
	/* Calls emit once per live row of `partition`. NULL for history tables. */
	void (*snapshot)(void *ctx, int32_t partition,
	    void (*emit)(void *emit_ctx, struct bytes key, struct bytes value), void *emit_ctx);
};
/* Creates the topic if missing. Blocks; call before serving. */
MUST_USE enum err log_table_open(struct log *log, struct str topic, int32_t partition_count,
    const struct log_table_ops *ops, void *ctx, struct log_table **ret_table);
void log_table_close(struct log_table *table);

struct log_row {
	struct bytes key;
	struct bytes value; /* ptr NULL = tombstone */
};
/* One batch of rows into one partition of the table, atomically. After it is durable each row is
 * applied (ops->apply), then done is called. Rows are copied at the call. */
struct log_table_put {
	int32_t partition;
	const struct log_row *rows;
	size_t row_count;
	int64_t timestamp_ms; /* 0 = now */
	enum err err;
	uint64_t sequence;
	struct log_table *table;   /* the log's own; of a commit: the caller's */
	struct log_commit *commit; /* the log's own */
	struct log_append append;  /* the log's own */
	void *user;
	void (*done)(struct log_table_put *put);
};
void log_table_put(struct log_table *table, struct log_table_put *put);
/*
 * Rows of several tables and batches of several partitions, all in ONE round: durable together or
 * not at all. Of each put `table`, `partition`, `rows`, `row_count` and `timestamp_ms` are given;
 * of each append `partition`, `batch` and `batch_len`, with `internal` set. Applied, then `done`
 * once; err is the first refusal (see log_append). A commit may be of log_commit_max batches; with
 * more it may be MESSAGE_TOO_LARGE.
 */
struct log_commit {
	struct log_table_put *puts;
	size_t put_count;
	struct log_append *appends;
	size_t append_count;
	enum err err;
	/* the log's own */
	struct log *log;
	struct log_append **reqs;
	size_t pending;
	struct mail mail;
	void *user;
	void (*done)(struct log_commit *c);
};
void log_commit(struct log *log, struct log_commit *c);
size_t log_commit_max(const struct log *log);
/* Puts from another thread (or start-up) and waits until durable and applied. [any thread] */
MUST_USE enum err log_table_put_wait(
    struct log_table *table, int32_t partition, const struct log_row *rows, size_t count);

/* ---- offline: dump and fsck ------------------------------------------------------------------ */

/* Called once per finding or line; text is one logfmt line without newline. */
typedef void (*log_print)(void *ctx, struct str line);
struct log_dump_options {
	bool deep; /* records too */
	bool json;
};
/* Any file of a data directory (.log .idx .snap journal): recognised by its own header. */
MUST_USE enum err log_dump_file(struct io *io, const char *path,
    const struct log_dump_options *options, log_print print, void *ctx);
struct log_fsck_options {
	bool repair_caches;      /* rebuild .idx and .snap that are bad */
	bool json;               /* lines are JSON objects */
	const char *journal_dir; /* by configuration; NULL = as the data directory says */
	uint64_t journal_bytes;  /* of the one that a salvage or rebuild makes; 0 = default */
	/* called now and then, may be NULL: bytes of segments read, and of all */
	void (*progress)(void *ctx, uint64_t done, uint64_t total);
	void *progress_ctx;
};
/*
 * Verifies a data directory that no server holds (else ERR_LOCKED): every frame, link, index entry
 * and journal entry; prints one line per finding with its verdict. ERR_OK when everything is served
 * (REBUILT, REPAIRED, TORN_* are only lines), else ERR_CORRUPT.
 */
MUST_USE enum err log_fsck(struct io *io, const char *data_dir,
    const struct log_fsck_options *options, log_print print, void *ctx);
/*
 * Copies every frame of a data directory that verifies (also out of its journal) into `out_dir`,
 * which is made and which a server can open; what is lost is a hole there, with a GAP row in the
 * catalog. The source is only read. Lines as of log_fsck. ERR_LOCKED; ERR_EXISTS: out_dir is not
 * empty; ERR_OK also when something is lost: ret_result->holes.
 */
struct log_salvage_result {
	uint64_t frames, bytes; /* copied */
	uint64_t holes;         /* ranges of offsets that are lost */
	int64_t lost_offsets;
	uint64_t skipped; /* frames that verify and whose offsets were there already */
};
MUST_USE enum err log_salvage(struct io *io, const char *data_dir, const char *out_dir,
    const struct log_fsck_options *options, log_print print, void *ctx,
    struct log_salvage_result *ret_result);
/*
 * A new journal and checkpoint record for a directory whose own are missing or unreadable, out of
 * what the frames say; the lines tell what cannot be known. The old files go to quarantine/.
 * ERR_REFUSED: they can be read. ERR_CORRUPT: done, and not everything is served.
 */
MUST_USE enum err log_rebuild_journal(struct io *io, const char *data_dir,
    const struct log_fsck_options *options, log_print print, void *ctx);
/*
 * Makes topics/`dir`, which no topic of the catalog has, a partition of the topic that its segment
 * headers name. ERR_NOT_FOUND, ERR_LOCKED; ERR_EXISTS: it belongs to a topic, or another one has
 * its name; ERR_REFUSED: it comes from another server. Errors of log_open.
 */
MUST_USE enum err log_adopt(struct io *io, const char *data_dir, const char *dir,
    const struct log_fsck_options *options, log_print print, void *ctx);
/*
 * Topics of a Kafka log directory (or one partition's directory) into a data directory that no
 * server holds; it is made if missing. Batches stay byte for byte, with their offsets. All or
 * nothing per topic. What was deleted up to a log start (log-start-offset-checkpoint beside the
 * partitions) stays deleted. Lines as of log_fsck: TORN_TAIL is what the end of a Kafka segment
 * had of a batch. ERR_TOPIC_EXISTS, ERR_LOCKED, ERR_CORRUPT: a bad batch before the end, or one
 * anywhere whose CRC is right and whose offsets do not ascend or whose records cannot be read;
 * ERR_MESSAGE_TOO_LARGE: a batch over 64 MiB; ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT: of before
 * Kafka 0.11.
 */
struct log_import_options {
	const char *topic; /* only this one; NULL = all but Kafka's own */
	const char *as;    /* its name here; NULL = the same */
	const struct str (*configs)[2];
	size_t config_count;
	uint64_t journal_bytes; /* of a new directory; 0 = default */
	bool json;
	/* called now and then, may be NULL: bytes of Kafka segments read, and of all of the topic
	 */
	void (*progress)(void *ctx, uint64_t done, uint64_t total);
	void *progress_ctx;
};
MUST_USE enum err log_import(struct io *io, const char *path, const char *data_dir,
    const struct log_import_options *options, log_print print, void *ctx);
/*
 * A topic of a data directory that no server holds, which is only read, as Kafka log directories
 * below `out_dir`:
 * <topic>-<p>/ with .log, .index, .timeindex, .txnindex, .snapshot, leader-epoch-checkpoint and
 * partition.metadata; <topic>-<p>.unfinished until all of it is durable. The log starts that lie
 * inside of a batch are put into `out_dir`/log-start-offset-checkpoint, which keeps what it has of
 * others; ERR_REFUSED: another export writes there. ERR_UNKNOWN_TOPIC, ERR_LOCKED, ERR_EXISTS,
 * ERR_CORRUPT (a damaged range), ERR_NO_JOURNAL.
 */
struct log_export_options {
	int32_t partition; /* -1 = all */
	bool json;
};
MUST_USE enum err log_export(struct io *io, const char *data_dir, const char *topic,
    const char *out_dir, const struct log_export_options *options, log_print print, void *ctx);
