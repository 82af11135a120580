/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Recovery: from what is on disk to partitions whose ends are known, before anything is served. It
 * is directory-driven: it needs no catalog. The verdicts are those of err.def; each is a diag event
 * of the same name in lower case.
 *
 *   1 checkpoint record   epoch, where the journal goes on, where each partition ended
 *   2 directories         segment headers and files of every partition (recovery_scan.c)
 *   3 journal             entries behind the checkpoint are put back into their segments
 * (recovery_journal.c) 4 ends                what lies behind a partition's end goes to quarantine/
 * and is cut 5 new epoch           recorded before the first append
 *
 * Running it twice gives the same: nothing it cuts was acknowledged, and it writes only what the
 * journal has.
 */
#include "log/around.h"
#include "log/checkpoint.h"
#include "log/partition.h"

enum recovery_step {
	RECOVERY_BEGIN,
	RECOVERY_SCANNED,
	RECOVERY_REPLAYED,
	RECOVERY_SETTLED,
	RECOVERY_FLUSHED,
	RECOVERY_RECORDED,
	RECOVERY_STEPS
};
/* Sequences that a bad journal entry had, and how many of them segments have. */
struct recovery_lost {
	uint64_t first, last, found;
};

struct recovery {
	struct log *log;
	struct checkpoint_record record;
	bool record_found;
	bool clean;            /* the last stop was clean: nothing is rewritten */
	bool rot;              /* a journal entry before the last is bad */
	bool unread;           /* the directory looked at has a segment that cannot be read */
	struct map rows;       /* struct partition_key -> struct recovery_row */
	uint64_t number;       /* of the last good journal entry */
	unsigned journal_file; /* where the next one goes */
	uint64_t journal_pos;
	uint64_t sequence; /* D */
	uint64_t producer_ids;
	uint64_t lazy_bound;
	int64_t last_append_ns;
	uint32_t epoch;         /* greatest seen */
	uint64_t frames, bytes; /* put back */
	size_t buffered;        /* bytes in replay buffers */
	struct recovery_lost *lost;
	size_t lost_count, lost_capacity;
	struct list flushed; /* struct segment: durable, but for their indexes: still dirty */
	int64_t step_ns[RECOVERY_STEPS]; /* when each step ended */
};

/* What is known of a partition's durable end before the journal is looked at. */
struct recovery_row {
	struct partition_key key; /* first: the map's key */
	int64_t log_end;
	int64_t segment;
	uint32_t segment_end;
	uint64_t last_sequence;
	uint64_t last_link;
	uint64_t transactions; /* as in checkpoint_row */
};

/* A partition while recovery works on it: its durable end as far as known. */
struct replay {
	struct segment *segment; /* the journal's frames go to */
	bool touched;            /* the journal had frames */
	bool unread;             /* the header of a segment could not be read */
	bool transactional;      /* ... of transactions */
	int64_t txn_from;        /* the first of those */
	struct writer buf;       /* bytes for `segment` from buf_pos on */
	uint32_t buf_pos;
};

/* Steps 1 to 5. Blocks. On failure the caller calls recovery_free too. */
MUST_USE enum err recovery_run(struct log *log);
void recovery_free(struct recovery *r);
/* Partition `key` has no directory: ERR_LOST_SUFFIX when it is known to have had records. */
MUST_USE enum err recovery_check_absent(struct log *log, struct partition_key key, const char *dir);

/*
 * Are the segments of an adopted partition contiguous, from log_start on (INT64_MAX = not known)?
 * A hole is MISSING: the partition is damaged, the rest is served. ERR_OVERLAP. Asked when the log
 * start is known: below it files may come and go.
 */
MUST_USE enum err recovery_check_segments(struct log_partition *p, int64_t log_start);

/* ---- between the files of recovery ----------------------------------------------------------- */

/* recovery_scan.c: step 2 */
MUST_USE enum err recovery_scan(struct recovery *r);
/* recovery_journal.c: step 3 */
MUST_USE enum err recovery_journal(struct recovery *r);
struct journal_item;
struct journal_found;
struct journal_entry;
struct batch_header;
/* recovery_replay.c: one frame of a good entry; what is buffered; step 4 for one partition */
MUST_USE enum err recovery_frame(
    struct recovery *r, const struct journal_found *f, const struct journal_item *item);
MUST_USE enum err recovery_flush(struct recovery *r);
/* recovery_lost.c: a bad entry had these; after step 4, ERR_LOST_SUFFIX when not all of them are in
 * segments, no partition is DAMAGED, and nobody accepts it. */
MUST_USE enum err recovery_lost_add(struct recovery *r, uint64_t first, uint64_t last);
MUST_USE enum err recovery_check_lost(struct recovery *r);
/* partition_txn.c: finds the open transactions, none of which begins before `from`. */
MUST_USE enum err recovery_transactions(struct recovery *r, struct log_partition *p, int64_t from);
MUST_USE enum err recovery_settle(struct recovery *r, struct log_partition *p);
/* recovery_flush.c: makes every dirty segment durable, all at once. Their indexes are written by
 * the first checkpoint after the start: recovery_flushed_return makes it theirs again. */
MUST_USE enum err recovery_flush_segments(struct recovery *r);
void recovery_flushed_return(struct recovery *r);
/* Or lets go of them: there are more than descriptors. */
void recovery_flushed_forget(struct recovery *r);
/* recovery_index.c: makes the index of `s` cover its frames up to `end`, from its file as far as
 * that is right, else from the frames (REBUILT). A frame that does not verify becomes an entry all
 * the same, and the partition is DAMAGED. */
MUST_USE enum err recovery_index(struct recovery *r, struct segment *s, int fd, uint32_t end);
/*
 * A sealed segment whose index file says all of it: ends and links are taken from there and from
 * the header of the segment behind it, no frame is read. False: recovery_index is to be asked.
 */
MUST_USE enum err recovery_index_sealed(struct segment *s, uint32_t end, bool *ret_taken);
/* Adds the entry of one frame to the index in memory; padding only moves the end. */
MUST_USE enum err recovery_index_frame(
    struct segment *s, const struct frame *f, int64_t max_timestamp_ms, uint32_t pos);
/* The greatest timestamp of a frame's batch, -1 when it has no record. */
int64_t recovery_max_timestamp(const struct frame *f, struct bytes batch);
/* A range that does not verify keeps its place: reads of it find it, fail, and go on behind it. */
MUST_USE enum err recovery_index_hole(struct segment *s, uint32_t pos, uint32_t end);
/* recovery_direct.c: does a DIRECT frame stand in its segment? Its header, with `deep` its body
 * too. ERR_CORRUPT: no, the chain says why. *ret_batch: the header of its batch, of padding zeros.
 */
MUST_USE enum err recovery_direct_frame(struct recovery *r, struct segment *s,
    const struct journal_item *item, bool deep, struct frame *ret_frame,
    struct batch_header *ret_batch);
/* What replaying this entry will read of its DIRECT frames: the disk begins with it. */
MUST_USE enum err recovery_direct_ahead(struct recovery *r, const struct journal_found *f);
/* The DIRECT frames of the last entry: ERR_CORRUPT when one does not verify (TORN_ROUND). */
MUST_USE enum err recovery_direct_last(struct recovery *r, const struct journal_found *f);
/* How much longer a COPY of the entry is, which has the bytes of DIRECT frames too. */
uint32_t recovery_copy_more(const struct journal_found *f);
/* The COPY into `out` (length + more bytes): `ret` is its header but for number and checksums. */
MUST_USE enum err recovery_copy(
    struct recovery *r, const struct journal_found *f, uint8_t *out, struct journal_entry *ret);
/* Reads of `s` go on behind what cannot be read, which counts; `ret` is to stay where it is. */
void recovery_around(struct segment *s, struct around *ret);
/* recovery_short.c: frames of `s` up to `end` were durable and are not there */
MUST_USE enum err recovery_short_segment(struct recovery *r, struct segment *s, uint32_t end);
/* Is the partition's end where the record says it was? */
void recovery_short(struct recovery *r, struct log_partition *p, const struct recovery_row *row);
/*
 * A partition's directory has frames up to offset `end`: takes away the snapshots of producers that
 * know more. Durable then.
 */
MUST_USE enum err recovery_forget(struct io *io, const char *dir, int64_t end);
struct segment *recovery_segment(const struct log_partition *p, int64_t base_offset);
/* The row of a partition, NULL when there is none. */
struct recovery_row *recovery_row(const struct recovery *r, struct partition_key key);
MUST_USE enum err recovery_row_put(struct recovery *r, const struct recovery_row *row);
/* One verdict: a diag event of that name and its counter. `where` is logfmt. */
/* What a refusal by ERR_LOST_SUFFIX says one can do. */
#define LOG_LOST_SUFFIX_HELP "restore it, or start with --accept-lost-suffix REASON"
void recovery_verdict(enum err verdict, const char *where, ...) PRINTF(2, 3);
/* Copies [pos, end) of a file to the beginning of another; less when it ends before. */
MUST_USE enum err recovery_copy_range(struct io *io, int from, int to, uint64_t pos, uint64_t end);
/* Copies bytes to quarantine/NAME. */
MUST_USE enum err recovery_quarantine(
    struct recovery *r, const char *name, int fd, uint64_t pos, uint64_t end);
/* The segment's descriptor, open for writing and pinned; the segment is dirty. */
MUST_USE enum err recovery_open(struct recovery *r, struct segment *s, int *ret_fd);
