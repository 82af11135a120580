/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multisets of rows, see diff_bag.h. An entry's key is the row's order-preserving encoding, so
 * equal rows meet and a sort of the keys is a sort of the rows; beside it stand the values as they
 * were (the encoding forgets 1.0 from 1.00).
 */
#include "replay/diff_bag.h"
#include <stdlib.h>

struct bag_entry {
	struct bytes key;
	struct bytes values; /* datum_write of each, behind a null flag */
	uint64_t occurrences[2];
	struct bag_entry *next;
};

void diff_bag_init(struct diff_bag *b, const struct plan_column *columns, uint32_t column_count)
{
	*b = (struct diff_bag){.columns = columns, .column_count = column_count};
	arena_init(&b->arena, DIFF_BAG_BYTES_MAX);
	map_init(&b->map);
	writer_init(&b->row, DIFF_BAG_BYTES_MAX);
}

void diff_bag_release(struct diff_bag *b)
{
	map_release(&b->map);
	arena_release(&b->arena);
	writer_release(&b->row);
}

static enum err add_entry(
    struct diff_bag *b, const struct datum *values, struct bag_entry **ret_entry)
{
	struct bag_entry *e = arena_calloc(&b->arena, 1, sizeof(*e));
	struct bytes key = arena_copy(&b->arena, writer_bytes(&b->row));
	writer_clear(&b->row);
	for (uint32_t i = 0; i < b->column_count; i++) {
		write_u8(&b->row, values[i].null);
		if (!values[i].null)
			datum_write(&b->row, b->columns[i].type.id, values[i]);
	}
	struct bytes copy = arena_copy(&b->arena, writer_bytes(&b->row));
	if (!e || (!key.ptr && key.len > 0) || !copy.ptr || b->row.err)
		return err_note(ERR_LIMIT, "too many rows to compare without a common key");
	e->key = key;
	e->values = copy;
	e->next = b->first;
	TRY(map_put(&b->map, e->key, e));
	b->first = e;
	b->count++;
	*ret_entry = e;
	return ERR_OK;
}

enum err diff_bag_add(struct diff_bag *b, int side, const struct datum *values)
{
	writer_clear(&b->row);
	for (uint32_t i = 0; i < b->column_count; i++)
		key_encode(&b->row, b->columns[i].type.id, values[i]);
	if (b->row.err)
		return b->row.err;
	struct bag_entry *e = map_get(&b->map, writer_bytes(&b->row));
	if (!e)
		TRY(add_entry(b, values, &e));
	ASSERT(e);
	e->occurrences[side]++;
	return ERR_OK;
}

static int compare_entries(const void *a, const void *b)
{
	const struct bag_entry *const *x = a, *const *y = b;
	return bytes_compare((*x)->key, (*y)->key);
}

static enum err send_entry(struct diff_bag *b, const struct bag_entry *e, struct datum *values,
    enum err (*fn)(void *ctx, enum diff_change change, const struct datum *values, uint32_t count),
    void *ctx)
{
	struct reader r = reader_of(e->values);
	for (uint32_t i = 0; i < b->column_count; i++) {
		values[i] = (struct datum){.null = read_u8(&r) != 0};
		if (!values[i].null)
			TRY(datum_read(&r, b->columns[i].type.id, &values[i]));
	}
	uint64_t in_a = e->occurrences[0], in_b = e->occurrences[1],
	         both = in_a < in_b ? in_a : in_b;
	for (uint64_t i = 0; i < both; i++)
		TRY(fn(ctx, DIFF_SAME, values, b->column_count));
	for (uint64_t i = both; i < in_a; i++)
		TRY(fn(ctx, DIFF_REMOVED, values, b->column_count));
	for (uint64_t i = both; i < in_b; i++)
		TRY(fn(ctx, DIFF_ADDED, values, b->column_count));
	return ERR_OK;
}

enum err diff_bag_walk(struct diff_bag *b,
    enum err (*fn)(void *ctx, enum diff_change change, const struct datum *values, uint32_t count),
    void *ctx)
{
	struct bag_entry **sorted = mem_calloc(b->count + 1, sizeof(struct bag_entry *));
	struct datum *values = mem_calloc(b->column_count + 1u, sizeof(*values));
	enum err err = sorted && values ? ERR_OK : ERR_NOMEM;
	size_t n = 0;
	for (struct bag_entry *e = b->first; e && err == ERR_OK; e = e->next)
		sorted[n++] = e;
	if (err == ERR_OK)
		qsort(sorted, n, sizeof(struct bag_entry *), compare_entries);
	for (size_t i = 0; i < n && err == ERR_OK; i++)
		err = send_entry(b, sorted[i], values, fn, ctx);
	mem_free(sorted);
	mem_free(values);
	return err;
}
