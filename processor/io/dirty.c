/* SPDX-License-Identifier: Apache-2.0 */
/* Dirty rows in memory, see dirty.h. */
#include "processor/io/dirty.h"
#include <stdlib.h>

void dirty_init(struct dirty *d, size_t limit_bytes)
{
	*d = (struct dirty){0};
	writer_init(&d->bytes, limit_bytes);
}

void dirty_release(struct dirty *d)
{
	writer_release(&d->bytes);
	mem_free(d->entries);
	*d = (struct dirty){0};
}

void dirty_clear(struct dirty *d)
{
	writer_clear(&d->bytes);
	d->count = 0;
}

size_t dirty_bytes(const struct dirty *d)
{
	return d->bytes.len + d->count * sizeof(*d->entries);
}

static enum err reserve_entry(struct dirty *d)
{
	if (d->count < d->capacity)
		return ERR_OK;
	size_t capacity = d->capacity ? d->capacity * 2 : 1024;
	struct dirty_entry *entries = mem_realloc(d->entries, capacity * sizeof(*entries));
	if (!entries)
		return ERR_NOMEM;
	d->entries = entries;
	d->capacity = capacity;
	return ERR_OK;
}

static uint64_t key_prefix(struct bytes key)
{
	uint8_t first[8] = {0};
	if (key.len >= 8)
		return get_u64_be(key.ptr);
	for (size_t i = 0; i < key.len; i++)
		first[i] = key.ptr[i];
	return get_u64_be(first);
}

struct writer *dirty_begin(struct dirty *d, struct bytes key)
{
	enum err err = reserve_entry(d);
	if (err) {
		if (d->bytes.err == ERR_OK)
			d->bytes.err = err;
		return &d->bytes;
	}
	d->entries[d->count] = (struct dirty_entry){.prefix = key_prefix(key),
	    .key_pos = d->bytes.len,
	    .key_len = (uint32_t)key.len,
	    .cells_pos = d->bytes.len + key.len};
	write_bytes(&d->bytes, key);
	return &d->bytes;
}

enum err dirty_end(struct dirty *d, bool deleted)
{
	if (d->bytes.err)
		return err_note(d->bytes.err, "rows that wait for a checkpoint");
	struct dirty_entry *e = &d->entries[d->count];
	e->cells_len = (uint32_t)(d->bytes.len - e->cells_pos);
	e->order_deleted = (uint64_t)d->count * 2 + deleted;
	d->count++;
	return ERR_OK;
}

static int compare_entries(const void *a, const void *b, void *ctx)
{
	const struct dirty_entry *x = a, *y = b;
	const struct dirty *d = ctx;
	if (x->prefix != y->prefix)
		return x->prefix < y->prefix ? -1 : 1;
	int by_key = bytes_compare(dirty_key(d, x), dirty_key(d, y));
	if (by_key != 0)
		return by_key;
	return x->order_deleted < y->order_deleted ? -1 : 1;
}

static bool is_sorted(const struct dirty *d)
{
	for (size_t i = 1; i < d->count; i++)
		if (d->entries[i - 1].prefix >= d->entries[i].prefix &&
		    compare_entries(&d->entries[i - 1], &d->entries[i], (void *)(uintptr_t)d) > 0)
			return false;
	return true;
}

void dirty_sort(struct dirty *d)
{
	if (!is_sorted(d))
		qsort_r(d->entries, d->count, sizeof(*d->entries), compare_entries, d);
	size_t kept = 0;
	for (size_t i = 0; i < d->count; i++) {
		const struct dirty_entry *e = &d->entries[i];
		const struct dirty_entry *next = i + 1 < d->count ? e + 1 : NULL;
		if (next && next->prefix == e->prefix &&
		    bytes_equal(dirty_key(d, e), dirty_key(d, next)))
			continue;
		d->entries[kept++] = *e;
	}
	d->count = kept;
}
