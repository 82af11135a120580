/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index of a segment: entries in memory until a checkpoint writes them, searches in memory and
 * in the file.
 *
 *   file header  magic u32 | version u16 | flags u16 | base offset i64 | count u64 | segment bytes
 * u32 | generation u32 | last append i64 | entries XXH3 u64 | end offset i64 | header XXH3 u64;
 * count to end offset are 0 until the segment is sealed
 *   entry        base offset i64 | pos u32 | len u32 | running maximum timestamp i64 | sequence u64
 */
#include "log/index.h"
#define XXH_INLINE_ALL
#include <xxhash.h>

#define INDEX_SEED UINT64_C(0x786469617070616b) /* "kappaidx" */
enum {
	INDEX_HASH = INDEX_HEADER_BYTES - 8,
	INDEX_PAGE = 128 /* entries read at once while searching */
};

void index_header_encode(const struct index_header *h, uint8_t *out)
{
	memset(out, 0, INDEX_HEADER_BYTES);
	put_u32_le(out, INDEX_MAGIC);
	put_u16_le(out + 4, h->version);
	put_u16_le(out + 6, h->flags);
	put_u64_le(out + 8, (uint64_t)h->base_offset);
	put_u64_le(out + 16, h->count);
	put_u32_le(out + 24, h->segment_bytes);
	put_u32_le(out + 28, h->generation);
	put_u64_le(out + 32, (uint64_t)h->last_append_ns);
	put_u64_le(out + 40, h->entries_hash);
	put_u64_le(out + 48, (uint64_t)h->end_offset);
	put_u64_le(out + INDEX_HASH, XXH3_64bits_withSeed(out, INDEX_HASH, INDEX_SEED));
}

enum err index_header_decode(const uint8_t *in, struct index_header *ret_header)
{
	struct index_header h = {
	    .version = get_u16_le(in + 4),
	    .flags = get_u16_le(in + 6),
	    .base_offset = (int64_t)get_u64_le(in + 8),
	    .count = get_u64_le(in + 16),
	    .segment_bytes = get_u32_le(in + 24),
	    .generation = get_u32_le(in + 28),
	    .last_append_ns = (int64_t)get_u64_le(in + 32),
	    .entries_hash = get_u64_le(in + 40),
	    .end_offset = (int64_t)get_u64_le(in + 48),
	};
	if (get_u32_le(in) != INDEX_MAGIC)
		return err_note(ERR_CORRUPT, "index header: not an index file");
	if (get_u64_le(in + INDEX_HASH) != XXH3_64bits_withSeed(in, INDEX_HASH, INDEX_SEED))
		return err_note(ERR_CORRUPT, "index header: checksum does not verify");
	if (h.version > INDEX_VERSION)
		return err_note(ERR_NEWER_FORMAT, "index format %u, this program reads up to %u",
		    h.version, INDEX_VERSION);
	if (h.version == 0)
		return err_note(ERR_CORRUPT, "index header: version 0");
	if (h.flags & ~INDEX_SEALED)
		return err_note(ERR_NEWER_FORMAT, "index flags %u, this program knows %u", h.flags,
		    INDEX_SEALED);
	*ret_header = h;
	return ERR_OK;
}

void index_entry_encode(const struct index_entry *e, uint8_t *out)
{
	put_u64_le(out, (uint64_t)e->base_offset);
	put_u32_le(out + 8, e->pos);
	put_u32_le(out + 12, e->len);
	put_u64_le(out + 16, (uint64_t)e->max_timestamp_ms);
	put_u64_le(out + 24, e->sequence);
}

struct index_entry index_entry_decode(const uint8_t *in)
{
	return (struct index_entry){
	    .base_offset = (int64_t)get_u64_le(in),
	    .pos = get_u32_le(in + 8),
	    .len = get_u32_le(in + 12),
	    .max_timestamp_ms = (int64_t)get_u64_le(in + 16),
	    .sequence = get_u64_le(in + 24),
	};
}

uint64_t index_bytes_hash(struct bytes entries)
{
	return XXH3_64bits_withSeed(entries.ptr, entries.len, INDEX_SEED);
}

enum err index_file_hash(struct io *io, int fd, uint64_t count, uint64_t *ret_hash)
{
	enum { CHUNK = 65536 };
	uint8_t *buf = mem_alloc(CHUNK);
	XXH3_state_t *state = mem_alloc_aligned(64, sizeof(XXH3_state_t));
	enum err e = buf && state ? ERR_OK : ERR_NOMEM;
	if (e == ERR_OK) {
		/* without it a reset believes what a state that was here before left of its seed */
		XXH3_INITSTATE(state);
		XXH3_64bits_reset_withSeed(state, INDEX_SEED);
	}
	for (uint64_t done = 0, all = count * INDEX_ENTRY_BYTES; e == ERR_OK && done < all;) {
		size_t n = all - done < CHUNK ? (size_t)(all - done) : CHUNK;
		e = io_pread_all(io, fd, buf, n, INDEX_HEADER_BYTES + done);
		if (e == ERR_OK)
			XXH3_64bits_update(state, buf, n);
		done += n;
	}
	if (e == ERR_OK)
		*ret_hash = XXH3_64bits_digest(state);
	mem_free(buf);
	mem_free(state);
	return e;
}

/* ---- memory ---------------------------------------------------------------------------------- */

void index_init(struct index *x, struct index_spare *spare)
{
	*x = (struct index){.max_timestamp_ms = -1, .trusted = true, .spare = spare};
}

void index_release(struct index *x)
{
	index_run_release(&x->writing, x->spare);
	index_run_release(&x->fresh, x->spare);
	index_init(x, x->spare);
}

enum err index_promise(struct index *x)
{
	TRY(index_run_reserve(&x->fresh, x->fresh.count + x->promised + 1, x->spare));
	x->promised++;
	return ERR_OK;
}

void index_push(struct index *x, struct index_entry e)
{
	ASSERT(x->promised > 0 && x->fresh.count < x->fresh.capacity);
	ASSERT(x->fresh.count == 0 ||
	       index_run_at(&x->fresh, x->fresh.count - 1)->sequence < e.sequence);
	x->promised--;
	if (e.max_timestamp_ms < x->max_timestamp_ms)
		e.max_timestamp_ms = x->max_timestamp_ms;
	x->max_timestamp_ms = e.max_timestamp_ms;
	*index_run_at(&x->fresh, x->fresh.count++) = e;
}

bool index_write_begin(struct index *x)
{
	struct index_run next = {0};
	if (x->writing.count > 0)
		return true; /* left from an attempt that failed */
	if (x->fresh.count == 0 || index_run_reserve(&next, x->promised + 1, x->spare) != ERR_OK)
		return false;
	index_run_release(&x->writing, x->spare);
	x->writing = x->fresh;
	x->fresh = next;
	return true;
}

bool index_raise(struct index *x, int64_t max_ms)
{
	if (index_count(x) == x->file_count)
		x->max_timestamp_ms = max_ms;
	for (size_t i = 0; i < x->fresh.count; i++)
		if (index_run_at(&x->fresh, i)->max_timestamp_ms < max_ms)
			index_run_at(&x->fresh, i)->max_timestamp_ms = max_ms;
	if (x->max_timestamp_ms < max_ms)
		x->max_timestamp_ms = max_ms;
	return x->writing.count == 0;
}

void index_write_end(struct index *x, bool ok)
{
	if (ok) {
		x->file_count += x->writing.count;
		index_run_release(&x->writing, x->spare);
		return;
	}
	/* Back in front of what came meanwhile; without memory for that, the file's entries are
	 * made again at the next open. */
	size_t all = x->writing.count + x->fresh.count;
	if (index_run_reserve(&x->writing, all + x->promised + 1, x->spare) != ERR_OK)
		return; /* stays in `writing`: the next attempt begins with it */
	for (size_t i = 0; i < x->fresh.count; i++)
		*index_run_at(&x->writing, x->writing.count++) = *index_run_at(&x->fresh, i);
	ASSERT(x->writing.count == all);
	index_run_release(&x->fresh, x->spare);
	x->fresh = x->writing;
	x->writing = (struct index_run){0};
}

/* ---- search ---------------------------------------------------------------------------------- */

/* True when the entry wanted is `e` or one before it. */
static bool probe_at_or_before(struct index_probe probe, const struct index_entry *e)
{
	switch (probe.by) {
	case INDEX_BY_OFFSET:
		return e->base_offset >
		       (int64_t)probe.key; /* the last not greater is before this one */
	case INDEX_BY_TIMESTAMP:
		return e->max_timestamp_ms >= (int64_t)probe.key;
	case INDEX_BY_SEQUENCE:
		return e->sequence >= probe.key;
	}
	return false;
}

/* The number of entries in the run for which probe_at_or_before is false: they come first. */
static size_t probe_count(struct index_probe probe, const struct index_run *run)
{
	size_t low = 0, high = run->count;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (probe_at_or_before(probe, index_run_at(run, mid)))
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

/* From the number of entries before the boundary to the number of the entry wanted. */
static enum err probe_number(
    struct index_probe probe, uint64_t before, uint64_t count, uint64_t *ret_number)
{
	if (probe.by == INDEX_BY_OFFSET) {
		if (before == 0)
			return ERR_NOT_FOUND;
		*ret_number = before - 1;
		return ERR_OK;
	}
	if (before == count)
		return ERR_NOT_FOUND;
	*ret_number = before;
	return ERR_OK;
}

const struct index_entry *index_memory_entry(const struct index *x, uint64_t number)
{
	number -= x->file_count;
	return number < x->writing.count ? index_run_at(&x->writing, number)
	                                 : index_run_at(&x->fresh, number - x->writing.count);
}

enum err index_find_memory(const struct index *x, struct index_probe probe,
    struct index_entry *ret_entry, uint64_t *ret_number)
{
	size_t before = probe_count(probe, &x->writing);
	if (before == x->writing.count)
		before += probe_count(probe, &x->fresh);
	if (before == 0 && x->file_count > 0)
		return ERR_AGAIN;
	uint64_t number;
	TRY(probe_number(probe, x->file_count + before, index_count(x), &number));
	*ret_entry = *index_memory_entry(x, number);
	*ret_number = number;
	return ERR_OK;
}

struct index_source {
	struct io *io;
	int fd;
	bool now; /* only what the page cache has */
};

/* Reads entries [from, from + count) of the file. */
static enum err page_read(
    const struct index_source *x, uint64_t from, size_t count, struct index_entry *ret)
{
	uint8_t raw[INDEX_PAGE * INDEX_ENTRY_BYTES];
	ASSERT(count <= INDEX_PAGE);
	size_t len = count * INDEX_ENTRY_BYTES;
	uint64_t pos = INDEX_HEADER_BYTES + from * INDEX_ENTRY_BYTES;
	TRY(x->now ? io_pread_now(x->io, x->fd, raw, len, pos)
	           : io_pread_all(x->io, x->fd, raw, len, pos));
	for (size_t i = 0; i < count; i++)
		ret[i] = index_entry_decode(raw + i * INDEX_ENTRY_BYTES);
	return ERR_OK;
}

static enum err source_find(const struct index_source *x, uint64_t count, struct index_probe probe,
    struct index_entry *ret_entry, uint64_t *ret_number)
{
	struct index_entry page[INDEX_PAGE];
	uint64_t low = 0, high = count; /* the boundary is in [low, high] */

	while (high - low > INDEX_PAGE) {
		uint64_t mid = low + (high - low) / 2;
		TRY(page_read(x, mid, 1, page));
		if (probe_at_or_before(probe, page))
			high = mid;
		else
			low = mid + 1;
	}
	TRY(page_read(x, low, (size_t)(high - low), page));
	uint64_t number;
	struct index_run last = {.few = page, .count = (size_t)(high - low)};
	TRY(probe_number(probe, low + probe_count(probe, &last), count, &number));
	if (number < low || number >= high)
		TRY(page_read(x, number, 1, page));
	*ret_entry = number < low || number >= high ? page[0] : page[number - low];
	*ret_number = number;
	return ERR_OK;
}

enum err index_find_file(struct io *io, int fd, uint64_t count, struct index_probe probe,
    struct index_entry *ret_entry, uint64_t *ret_number)
{
	return source_find(
	    &(struct index_source){io, fd, false}, count, probe, ret_entry, ret_number);
}

enum err index_find_now(struct io *io, int fd, uint64_t count, struct index_probe probe,
    struct index_entry *ret_entry, uint64_t *ret_number)
{
	return source_find(
	    &(struct index_source){io, fd, true}, count, probe, ret_entry, ret_number);
}

/* Entry after entry, so that it goes on from any of them. */
static uint64_t sum_on(uint64_t sum, const uint8_t *raw, size_t count)
{
	for (size_t i = 0; i < count; i++)
		sum = XXH3_64bits_withSeed(raw + i * INDEX_ENTRY_BYTES, INDEX_ENTRY_BYTES, sum);
	return sum;
}

enum err index_file_sum(struct io *io, int fd, uint64_t count, uint64_t *ret_sum)
{
	uint8_t raw[512 * INDEX_ENTRY_BYTES];
	uint64_t sum = 0;
	for (uint64_t done = 0; done < count;) {
		size_t n = count - done < 512 ? (size_t)(count - done) : 512;
		TRY(io_pread_all(io, fd, raw, n * INDEX_ENTRY_BYTES,
		    INDEX_HEADER_BYTES + done * INDEX_ENTRY_BYTES));
		sum = sum_on(sum, raw, n);
		done += n;
	}
	*ret_sum = sum;
	return ERR_OK;
}

enum err index_write(
    struct io *io, int fd, uint64_t file_count, const struct index_run *run, uint64_t *sum)
{
	uint8_t raw[512 * INDEX_ENTRY_BYTES];
	for (size_t done = 0; done < run->count;) {
		size_t n = run->count - done < 512 ? run->count - done : 512;
		for (size_t i = 0; i < n; i++)
			index_entry_encode(
			    index_run_at(run, done + i), raw + i * INDEX_ENTRY_BYTES);
		TRY(io_pwrite(io, fd, raw, n * INDEX_ENTRY_BYTES,
		    INDEX_HEADER_BYTES + (file_count + done) * INDEX_ENTRY_BYTES));
		*sum = sum_on(*sum, raw, n);
		done += n;
	}
	return ERR_OK;
}
