/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Dirty rows: what must be written at the next checkpoint, as (key, cells), in memory. Keys may
 * come several times; the last one counts. Sorted by key before they are written, because sorted
 * upserts are what SQLite is fast at. Thread: the version's worker.
 */
#include "log/base/base.h"

struct dirty_entry {
	uint64_t prefix; /* first 8 bytes of the key, big-endian: most comparisons end here */
	uint64_t key_pos, cells_pos;
	uint32_t key_len, cells_len;
	uint64_t order_deleted; /* order of arrival * 2 + deleted */
};
struct dirty {
	struct writer bytes;
	struct dirty_entry *entries;
	size_t count, capacity;
};
void dirty_init(struct dirty *d, size_t limit_bytes);
void dirty_release(struct dirty *d);
void dirty_clear(struct dirty *d); /* keeps the memory */
/*
 * One row: dirty_begin, the cells written to the writer it returns (none for a deletion),
 * dirty_end, which tells whether there was room (ERR_LIMIT, ERR_NOMEM: the row is not in).
 */
struct writer *dirty_begin(struct dirty *d, struct bytes key);
MUST_USE enum err dirty_end(struct dirty *d, bool deleted);
/* Bytes in use, for the limits of a checkpoint. */
size_t dirty_bytes(const struct dirty *d);
/* Sorts by key and drops all but the last entry of each key. */
void dirty_sort(struct dirty *d);
static inline struct bytes dirty_key(const struct dirty *d, const struct dirty_entry *e)
{
	return (struct bytes){d->bytes.ptr + e->key_pos, e->key_len};
}
static inline struct bytes dirty_cells(const struct dirty *d, const struct dirty_entry *e)
{
	return (struct bytes){d->bytes.ptr + e->cells_pos, e->cells_len};
}
static inline bool dirty_deleted(const struct dirty_entry *e)
{
	return (e->order_deleted & 1) != 0;
}
