/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Producer state of one partition: idempotence as Kafka does it. Per producer id the epoch and the
 * last PRODUCER_BATCHES_KEPT batches. The log is the truth: the state is rebuilt from the newest
 * good .snap and the frames behind it; it is loaded with the first idempotent append after a start.
 *
 * Rules (Kafka's ProducerAppendInfo): a batch seen before is a duplicate and gets the original's
 * offset; a lower epoch is INVALID_PRODUCER_EPOCH; a higher epoch must start at sequence 0; within
 * an epoch sequences are dense (they wrap from 2^31-1 to 0); an unknown producer may start anywhere
 * (its past may have been deleted), unless the append says from_zero (log.h). A producer that was
 * silent for 24 h is forgotten.
 *
 * One rule more than Kafka has: a batch that the log could not take (a full disk, a full queue, a
 * failed call) comes again, and until then those that were sent behind it must not begin the
 * producer's sequence here: the retry would be taken for stored. They are OUT_OF_ORDER_SEQUENCE.
 */
#include "log/batch.h"
#include "log/txn.h"

enum { PRODUCERS_MAX = 65536 /* per partition: the least recently used is forgotten */ };
/*
 * Ids from here on are no server's: a batch that claims one says nothing of which are free. With it
 * the next id would soon be negative.
 */
#define PRODUCER_ID_BOUND  ((int64_t)1 << 62)
#define PRODUCER_EXPIRY_NS ((int64_t)86400 * S_NS)

struct producer_batch {
	int32_t first_sequence, last_sequence;
	int64_t base_offset;
	uint64_t sequence; /* the log's */
	int64_t append_time_ms;
};
struct producer {
	int64_t id; /* first: the map's key */
	struct list_node lru;
	int64_t last_ns; /* append time of its last batch */
	int16_t epoch;
	uint8_t count;
	struct producer_batch batch[PRODUCER_BATCHES_KEPT]; /* oldest first */
};
/* A map that grows moves all it has: one of 16, so that no turn of the loop moves all of them. */
enum { PRODUCER_MAPS = 16 };
struct producers {
	struct map *maps; /* PRODUCER_MAPS of them by a hash of the id; NULL while there is none */
	size_t count;
	struct list lru; /* least recently used first */
	bool loaded;     /* false: load before the first check */
	bool changed;    /* since the last snapshot */
};

/* Raises the next free id above one that is in use; negative: no id. */
static inline void producer_id_used(uint64_t *next, int64_t id)
{
	if (id >= 0 && id < PRODUCER_ID_BOUND && (uint64_t)id >= *next)
		*next = (uint64_t)id + 1;
}

void producers_init(struct producers *ps);
void producers_release(struct producers *ps);
/* All of `from` into `to`, whatever was there goes. */
void producers_move(struct producers *to, struct producers *from);
/* NULL: it is not known. One that room was made for, and that has noted nothing, has epoch -1. */
struct producer *producers_find(const struct producers *ps, int64_t id);
/* Each of them, from *cursor = 0; NULL at the end. */
const struct producer *producers_next(const struct producers *ps, size_t *cursor);
/*
 * Checks a batch of an idempotent producer (h->producer_id >= 0). ERR_OK: new, call
 * producers_reserve, and producers_note after stamping. ERR_EXISTS: a duplicate, *ret_original is
 * it. Errors: OUT_OF_ORDER_SEQUENCE, INVALID_PRODUCER_EPOCH, DUPLICATE_SEQUENCE (stored, but too
 * long ago to know where).
 */
MUST_USE enum err producers_check(
    const struct producers *ps, const struct batch_header *h, struct producer_batch *ret_original);
/* Records an accepted batch (also while loading). h->base_offset is stamped. */
void producers_note(struct producers *ps, const struct batch_header *h, uint64_t sequence,
    int64_t append_ns, int64_t append_time_ms);
/* Makes room for one producer, so that producers_note cannot fail: NOMEM. */
MUST_USE enum err producers_reserve(struct producers *ps, int64_t producer_id);
/* The room that was made is not needed: nothing was noted of this producer since. */
void producers_unreserve(struct producers *ps, int64_t producer_id);
/* Forgets who has been silent, `max` of them at most. */
void producers_expire(struct producers *ps, int64_t now_ns, size_t max);
/* True when nothing is known of the batch's producer in its epoch, so that it may start anywhere.
 */
bool producers_would_begin(const struct producers *ps, const struct batch_header *h);

/* ---- refused batches ------------------------------------------------------------------------- */
enum { REFUSALS_MAX = 4096 /* per partition: the oldest is forgotten */ };
/* Per producer the first batch that the log could not take. Apart from the producers, which may not
 * be loaded yet. */
struct refusals {
	struct map map;
	struct list order; /* oldest first */
};

void refusals_init(struct refusals *rf);
void refusals_release(struct refusals *rf);
/* h was refused and will come again. Without memory it is not noted: then it is as in Kafka. */
void refusals_note(struct refusals *rf, const struct batch_header *h);
/* OUT_OF_ORDER_SEQUENCE: an earlier batch of the producer was refused and has not come again. */
MUST_USE enum err refusals_check(const struct refusals *rf, const struct batch_header *h);
/* A batch of the producer was accepted: from now on its sequence is known. */
void refusals_clear(struct refusals *rf, int64_t producer_id);

/* ---- .snap: checksummed cache ---------------------------------------------------------------- */
enum {
	SNAP_MAGIC = 0x4e53504b /* "KPSN" */,
	SNAP_VERSION = 3 /* 1: without transactions, 2: without the sequence */,
	SNAP_HEADER_BYTES = 64
};
struct snap_header {
	uint16_t version;
	struct log_uuid topic_id;
	int32_t partition;
	int64_t offset; /* state as of here, exclusive */
	uint64_t count; /* producers */
	/*
	 * Of the last batch before `offset`: a log that has another one there is not the one that
	 * this was made of. 0 = there was none, or an old version that does not say.
	 */
	uint64_t sequence;
};
/* Appends the whole file's bytes to out. */
MUST_USE enum err snap_encode(const struct producers *ps, const struct txns *txns,
    const struct snap_header *h, struct writer *out);
/* At most so many bytes: of these. */
size_t snap_bytes(const struct producers *ps, const struct txns *txns);
/* The longest a snapshot can be. */
size_t snap_bytes_max(void);
/* Reads a snapshot into empty sets. ERR_CORRUPT, ERR_NEWER_FORMAT. Both may be NULL (fsck: header
 * only, all verified). */
MUST_USE enum err snap_decode(
    struct bytes file, struct producers *ps, struct txns *txns, struct snap_header *ret_header);
