/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Transactions of one partition, as the log sees them: batches with the transactional attribute
 * open one for their producer, a control batch (marker) ends it.
 *
 *   none --transactional batch stamped--> OPEN --marker durable--> none, remembered when aborted
 *
 * The open ones hold back the last stable offset and, through their first sequence, S_stable: both
 * are known before anything is served. Recovery walks the frames from the last stable offset of the
 * checkpoint record on. The aborted ones are what a reader of committed data must pass over; they
 * are loaded with the producers (partition_load.c), by the first who asks.
 *
 * Invariants
 *   X1 a producer has one open transaction at most; they are in order of first offset and sequence
 *   X2 an entry of the aborted list never changes; the offsets of their markers never descend
 *   X3 a transaction that is not open and not in the list is committed
 *   X4 open + aborted <= TXN_ABORTED_MAX: a partition that reaches it takes no new transaction
 *   X5 the marker of each aborted one is in the log: retention and compaction take both, and a
 *      load forgets what a snapshot has besides
 *   X6 one whose marker cannot be read counts as aborted: nobody is shown what may have been
 *      aborted. A frame of a marker's size that does not verify may have ended any that were open,
 *      and so may what is lost with a bad header: the next batch of such a producer begins another
 *   X7 a frame that could not be read for a start or a load is not read later: the walk takes it
 *      out of the journal, and nothing else gives it back (mend.h). A batch that nobody can read
 *      holds nothing back; those of its transaction that can be read do
 */
#include "log/batch.h"

enum {
	/* bytes of a marker's batch; its timestamp may have been told from another base since */
	TXN_MARKER_MIN = BATCH_HEADER_BYTES + 17,
	TXN_MARKER_MAX = TXN_MARKER_MIN + 9,
	TXN_OPEN_MAX = 10000,
	TXN_ABORTED_MAX = 262144, /* per partition, 32 bytes each */
	TXN_SNAP_OPEN_BYTES = 40,
	TXN_SNAP_ABORTED_BYTES = 32,
};

struct txn_open {
	int64_t producer_id; /* first: the map's key */
	struct list_node node;
	int64_t first_offset;
	uint64_t first_sequence;
	uint64_t first_bytes; /* partition->stamped_bytes before it; 0: it was open at the start */
	int64_t started_ns;   /* append time of its first batch */
	int16_t epoch;
	bool unsure; /* something that may have been its marker could not be read */
};
struct txn_aborted {
	int64_t producer_id;
	int64_t first_offset;
	int64_t last_offset;   /* of the marker */
	int64_t stable_offset; /* nothing aborted later begins before it */
};
struct txns {
	struct map by_id; /* struct txn_open; also those promised, while a set is admitted */
	struct list open; /* by first offset */
	struct txn_aborted *aborted;
	size_t aborted_count, aborted_capacity;
	bool used;      /* the partition has had a transactional batch */
	size_t guessed; /* load: aborted by X6 */
};

void txns_init(struct txns *t);
void txns_release(struct txns *t);
/*
 * May this batch be appended? INVALID_TXN_STATE (a batch outside the producer's own open
 * transaction), POLICY_VIOLATION (X4). `log_start`: what was aborted below it is forgotten first.
 */
MUST_USE enum err txns_check(struct txns *t, const struct batch_header *h, int64_t log_start);
/* Makes room, so that txns_note and the end of the transaction cannot fail: NOMEM. */
MUST_USE enum err txns_promise(struct txns *t, int64_t producer_id);
/* The room is not needed: no batch of it has been stamped. */
void txns_unpromise(struct txns *t, int64_t producer_id);
/* A batch of a producer has been stamped, or found at a load: opens; ends an unsure one (X6). */
void txns_note(struct txns *t, const struct batch_header *h, uint64_t sequence, int64_t append_ns);
/* The marker at `offset` is durable: true when it ended an open transaction. */
bool txns_end(struct txns *t, const struct batch_marker *m, int64_t offset);
/* A frame of the log at a load: all three. `batch` belongs to `h`. NOMEM. */
MUST_USE enum err txns_load(struct txns *t, const struct batch_header *h, struct bytes batch,
    uint64_t sequence, int64_t append_ns);
/* A load cannot read a frame that may be a marker (X6). */
void txns_unsure(struct txns *t);
/* A load has come to `end`: what it has as open and `known`, who knows that, has not, was ended by
 * something that it could not read. What `known` has as open for longer was read by it: the load
 * has guessed for nothing. */
void txns_end_unknown(struct txns *t, const struct txns *known, int64_t end);
/* `from` was loaded up to where `t` knows what is open: its aborted ones are those of `t`. NOMEM.
 */
MUST_USE enum err txns_take_aborted(struct txns *t, struct txns *from);
void txns_forget_aborted(struct txns *t);
/* Aborted ones that ended below `log_start` are forgotten. */
void txns_prune(struct txns *t, int64_t log_start);
/*
 * Those whose markers lay at these offsets, ascending, are forgotten: compaction has taken the
 * markers, which it does when nothing else of their transactions is left. How many they were.
 */
size_t txns_drop_aborted(struct txns *t, const int64_t *offsets, size_t count);
/* The open one of a producer; NULL: it has none. */
const struct txn_open *txns_open_of(const struct txns *t, int64_t producer_id);
static inline const struct txn_open *txns_oldest(const struct txns *t)
{
	struct list_node *n = list_first(&t->open);
	return n ? CONTAINER_OF(n, struct txn_open, node) : NULL;
}
static inline struct txn_open *txns_newest(const struct txns *t)
{
	return list_empty(&t->open) ? NULL : CONTAINER_OF(t->open.head.prev, struct txn_open, node);
}
/* `end`, or the first offset of the oldest open transaction before it. */
int64_t txns_stable_end(const struct txns *t, int64_t end);

/* ---- lookups in a list of aborted ones (X2): any thread that has a copy ---------------------- */

/* Index of the first that ended at or behind `offset`. */
size_t txn_aborted_from(const struct txn_aborted *list, size_t count, int64_t offset);
/* Does the batch of `producer_id` at `offset` belong to one of them? */
bool txn_is_aborted(
    const struct txn_aborted *list, size_t count, int64_t producer_id, int64_t offset);

/* ---- in the snapshot ------------------------------------------------------------------------- */
/* Counts, open ones, aborted ones. */
void txns_encode(const struct txns *t, struct writer *out);
/* Into an empty set; `t` may be NULL (verify only). CORRUPT, NOMEM. */
MUST_USE enum err txns_decode(struct reader *r, struct txns *t);
