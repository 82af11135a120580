/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The entries of an index that are in memory: an array that grows in blocks, so that no turn of the
 * loop moves it, and none gives all of it back to the system at once (13 MB behind a checkpoint
 * of small batches). A run of a few entries is one piece of the heap.
 *
 *   GROWING  a run has the block                             index_run_reserve
 *   SPARE    the next run that grows takes it, or the system
 *            gets it, some at a time                         index_run_release, index_spare_shrink
 */
#include "log/base/base.h"

enum {
	INDEX_BLOCK_BYTES = 65536,
	INDEX_BLOCK = 2048 /* entries of a block */
};

struct index_entry {
	int64_t base_offset;
	uint32_t pos;             /* of the frame header in the segment */
	uint32_t len;             /* frame header and batch */
	int64_t max_timestamp_ms; /* of all records in the segment up to this frame */
	uint64_t sequence;
};
_Static_assert(sizeof(struct index_entry) * INDEX_BLOCK == INDEX_BLOCK_BYTES, "no rest");

/* Blocks that nobody has, linked through their first bytes. Of one thread. */
struct index_spare {
	void *first;
	size_t count;
};
/* Gives up to `blocks` of them back to the system. */
void index_spare_shrink(struct index_spare *spare, size_t blocks);

struct index_run {
	struct index_entry *few;    /* while capacity < INDEX_BLOCK */
	struct index_entry **block; /* then; the last may be in use in part */
	size_t count, capacity;
};
static inline struct index_entry *index_run_at(const struct index_run *run, size_t i)
{
	return run->capacity < INDEX_BLOCK ? &run->few[i]
	                                   : &run->block[i / INDEX_BLOCK][i % INDEX_BLOCK];
}
/* Makes room for `need` entries in all; `spare` may be NULL. ERR_NOMEM: the run is as it was, or
 * has more room. */
MUST_USE enum err index_run_reserve(struct index_run *run, size_t need, struct index_spare *spare);
/* Empties it; its blocks go to `spare`, or with NULL to the system. */
void index_run_release(struct index_run *run, struct index_spare *spare);
