/* SPDX-License-Identifier: Apache-2.0 */
/* Key bytes of whole batches. Columns of fixed width without NULLs, the usual case of numbers and
 * times, are written column by column at a fixed stride; anything else row by row. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "processor/op/state_table.h"

static uint64_t seed(void)
{
	static const uint8_t probe[1] = {0};
	return map_hash(bytes_of(probe, 1)); /* the process's own seed, without learning it */
}

uint64_t table_hash(struct bytes key)
{
	return XXH3_64bits_withSeed(key.ptr, key.len, seed());
}

static size_t fixed_width(enum type_id type)
{
	return type_is_whole(type) ? 9 : type == TYPE_BOOL ? 2 : type == TYPE_UUID ? 17 : 0;
}

/* Columns of a batch that make a key. */
struct key_columns {
	const struct batch *b;
	const uint32_t *columns;
	uint32_t count;
};
static const struct vec *key_column(const struct key_columns *k, uint32_t c)
{
	return &k->b->cols[k->columns[c]];
}

/* Bytes of a row's key when all are equally long; 0 otherwise. */
static size_t stride_of(const struct key_columns *from)
{
	size_t stride = 0;
	for (uint32_t c = 0; c < from->count; c++) {
		const struct vec *v = key_column(from, c);
		size_t width = fixed_width(v->type.id);
		if (width == 0 || v->null)
			return 0;
		stride += width;
	}
	return stride;
}

static void put_column(uint8_t *to, size_t stride, const struct vec *v, uint32_t count)
{
	size_t step = !v->constant;
	if (type_is_whole(v->type.id)) {
		for (uint32_t r = 0; r < count; r++, to += stride) {
			to[0] = 1;
			put_u64_be(to + 1, (uint64_t)v->i[r * step] ^ (uint64_t)1 << 63);
		}
		return;
	}
	for (uint32_t r = 0; r < count; r++, to += stride)
		(void)key_put(to, v->type.id, vec_get(v, r));
}

static enum err keys_fixed(
    struct arena *a, const struct key_columns *from, size_t stride, struct key_batch *k)
{
	uint32_t rows = from->b->count;
	k->bytes = arena_alloc(a, stride * rows);
	if (!k->bytes)
		return ERR_NOMEM;
	size_t at = 0;
	for (uint32_t c = 0; c < from->count; c++) {
		put_column(k->bytes + at, stride, key_column(from, c), rows);
		at += fixed_width(key_column(from, c)->type.id);
	}
	for (uint32_t r = 0; r <= rows; r++)
		k->at[r] = (uint32_t)(r * stride);
	return ERR_OK;
}

static bool is_slice(enum type_id t)
{
	return t == TYPE_TEXT || t == TYPE_BYTEA || t == TYPE_JSONB || t == TYPE_UNKNOWN;
}

static enum err keys_bound(const struct key_columns *from, size_t *ret_bytes)
{
	size_t total = 0;
	for (uint32_t c = 0; c < from->count; c++) {
		const struct vec *v = key_column(from, c);
		if (!is_slice(v->type.id)) {
			total += (size_t)from->b->count * KEY_FIXED_MAX;
			continue;
		}
		for (uint32_t r = 0; r < from->b->count; r++)
			total += vec_is_null(v, r) ? 1 : 2 * v->s[vec_row(v, r)].len + 3;
	}
	if (total > UINT32_MAX)
		return err_note(ERR_LIMIT, "the keys of one batch need %zu bytes", total);
	*ret_bytes = total;
	return ERR_OK;
}

static enum err keys_rows(struct arena *a, const struct key_columns *from, struct key_batch *k)
{
	size_t bound = 0;
	TRY(keys_bound(from, &bound));
	k->bytes = arena_alloc(a, bound);
	if (!k->bytes)
		return ERR_NOMEM;
	uint8_t *to = k->bytes;
	for (uint32_t r = 0; r < from->b->count; r++) {
		k->at[r] = (uint32_t)(to - k->bytes);
		for (uint32_t c = 0; c < from->count; c++) {
			const struct vec *v = key_column(from, c);
			to = key_put(to, v->type.id, vec_get(v, r));
		}
	}
	k->at[from->b->count] = (uint32_t)(to - k->bytes);
	ASSERT((size_t)(to - k->bytes) <= bound);
	return ERR_OK;
}

enum err keys_of(struct arena *a, const struct batch *b, const uint32_t *columns,
    uint32_t column_count, struct key_batch *ret_keys)
{
	struct key_batch k = {.count = b->count};
	struct key_columns from = {b, columns, column_count};
	size_t stride = stride_of(&from);
	k.at = arena_alloc(a, (b->count + 1) * sizeof *k.at);
	k.hash = arena_alloc(a, b->count * sizeof *k.hash);
	if (!k.at || !k.hash)
		return ERR_NOMEM;
	TRY(stride > 0 ? keys_fixed(a, &from, stride, &k) : keys_rows(a, &from, &k));
	uint64_t s = seed();
	for (uint32_t r = 0; r < b->count; r++)
		k.hash[r] = XXH3_64bits_withSeed(k.bytes + k.at[r], k.at[r + 1] - k.at[r], s);
	*ret_keys = k;
	return ERR_OK;
}
