/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One record batch written anew: without some of its records, with a delete horizon, in another
 * codec. What stays as it was, whatever is removed (Kafka's rules): base offset, last offset delta,
 * leader epoch, producer id, epoch and base sequence, the offsets and timestamps of the records.
 * Any thread, one at a time.
 */
#include "log/batch.h"

struct batch_rewriter {
	struct writer plain; /* decompressed records, then those of them that are kept */
	struct writer out;   /* the new batch */
};
void batch_rewriter_init(struct batch_rewriter *w);
void batch_rewriter_release(struct batch_rewriter *w);
/* Gives back what a large batch took, before the next one. */
void batch_rewriter_trim(struct batch_rewriter *w);

/* What is wanted of a batch. */
struct batch_change {
	bool (*keep)(void *ctx, const struct record *record); /* NULL = every record */
	void *ctx;
	int codec; /* enum batch_codec to recompress with when that is smaller; -1 = its own */
	int64_t horizon_ms; /* delete horizon for a batch that keeps a tombstone and has none; -1 */
	bool force_horizon; /* for a batch without tombstones too (control batches) */
};
enum batch_outcome {
	BATCH_SAME,    /* keep the bytes as they are */
	BATCH_CHANGED, /* w->out holds the new batch */
	BATCH_EMPTY,   /* no record is kept */
};
struct batch_counts {
	uint64_t records, kept;
};
/*
 * Adds to *counts. The batch has been verified; what does not parse all the same is
 * ERR_CORRUPT_MESSAGE. A batch that is empty already is BATCH_EMPTY.
 */
MUST_USE enum err batch_rewrite(struct batch_rewriter *w, struct bytes batch,
    const struct batch_change *change, enum batch_outcome *ret_outcome,
    struct batch_counts *counts);
/* The batch without records that carries on its producer's sequence, into w->out. */
MUST_USE enum err batch_empty(struct batch_rewriter *w, struct bytes batch);
/* The time from which a batch's tombstones may go; false when none is set. */
static inline bool batch_delete_horizon(const struct batch_header *h, int64_t *ret_ms)
{
	*ret_ms = h->base_timestamp_ms;
	return (h->attributes & BATCH_ATTR_DELETE_HORIZON) != 0;
}
