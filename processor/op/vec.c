/* SPDX-License-Identifier: Apache-2.0 */
#include "processor/op/vec.h"

static const struct {
	const char *name;
	uint8_t width;
} types[TYPE_COUNT] = {
    [TYPE_UNKNOWN] = {"unknown", sizeof(struct str)},
    [TYPE_BOOL] = {"boolean", sizeof(uint8_t)},
    [TYPE_INT2] = {"smallint", sizeof(int64_t)},
    [TYPE_INT4] = {"integer", sizeof(int64_t)},
    [TYPE_INT8] = {"bigint", sizeof(int64_t)},
    [TYPE_FLOAT4] = {"real", sizeof(double)},
    [TYPE_FLOAT8] = {"double precision", sizeof(double)},
    [TYPE_NUMERIC] = {"numeric", sizeof(struct numeric)},
    [TYPE_TEXT] = {"text", sizeof(struct str)},
    [TYPE_BYTEA] = {"bytea", sizeof(struct str)},
    [TYPE_DATE] = {"date", sizeof(int64_t)},
    [TYPE_TIMESTAMP] = {"timestamp without time zone", sizeof(int64_t)},
    [TYPE_TIMESTAMPTZ] = {"timestamp with time zone", sizeof(int64_t)},
    [TYPE_INTERVAL] = {"interval", sizeof(struct interval)},
    [TYPE_UUID] = {"uuid", 16},
    [TYPE_JSONB] = {"jsonb", sizeof(struct str)},
};

const char *type_name(enum type_id id)
{
	ASSERT(id < TYPE_COUNT);
	return types[id].name;
}

bool type_equal(struct type a, struct type b)
{
	return a.id == b.id && a.precision == b.precision && a.scale == b.scale;
}

size_t type_width(enum type_id id)
{
	ASSERT(id < TYPE_COUNT);
	return types[id].width;
}

enum err vec_init(struct vec *v, struct arena *arena, struct type type, uint32_t count)
{
	void *data = arena_alloc(arena, (size_t)count * type_width(type.id));
	if (!data)
		return ERR_NOMEM;
	*v = (struct vec){.type = type, .data = data};
	return ERR_OK;
}

enum err vec_init_nulls(struct vec *v, struct arena *arena, uint32_t count)
{
	if (v->null)
		return ERR_OK;
	v->null = arena_calloc(arena, count ? count : 1, 1);
	return v->null ? ERR_OK : ERR_NOMEM;
}

enum err batch_init(struct batch *b, struct arena *arena, const struct type *column_types,
    uint32_t column_count, uint32_t count)
{
	struct batch made = {.count = count, .column_count = column_count, .arena = arena};
	made.cols = arena_calloc(arena, column_count ? column_count : 1, sizeof *made.cols);
	if (!made.cols)
		return ERR_NOMEM;
	for (uint32_t c = 0; c < column_count; c++)
		TRY(vec_init(&made.cols[c], arena, column_types[c], count));
	*b = made;
	return ERR_OK;
}

struct datum vec_get(const struct vec *v, uint32_t row)
{
	uint32_t r = vec_row(v, row);
	struct datum d = {.null = v->null && v->null[r]};
	if (d.null)
		return d;
	switch (v->type.id) {
	case TYPE_BOOL:
		d.b = v->b[r];
		break;
	case TYPE_INT2:
	case TYPE_INT4:
	case TYPE_INT8:
	case TYPE_DATE:
	case TYPE_TIMESTAMP:
	case TYPE_TIMESTAMPTZ:
		d.i = v->i[r];
		break;
	case TYPE_FLOAT4:
	case TYPE_FLOAT8:
		d.f = v->f[r];
		break;
	case TYPE_NUMERIC:
		d.num = v->num[r];
		break;
	case TYPE_UNKNOWN:
	case TYPE_TEXT:
	case TYPE_BYTEA:
	case TYPE_JSONB:
		d.s = v->s[r];
		break;
	case TYPE_INTERVAL:
		d.iv = v->iv[r];
		break;
	case TYPE_UUID:
		memcpy(d.uuid, v->uuid[r], 16);
		break;
	case TYPE_COUNT:
		ASSERT(false);
	}
	return d;
}

void vec_set(struct vec *v, uint32_t row, struct datum d)
{
	ASSERT(!v->constant || row == 0);
	if (v->null)
		v->null[row] = d.null;
	if (d.null) {
		ASSERT(v->null);
		return;
	}
	switch (v->type.id) {
	case TYPE_BOOL:
		v->b[row] = d.b;
		break;
	case TYPE_INT2:
	case TYPE_INT4:
	case TYPE_INT8:
	case TYPE_DATE:
	case TYPE_TIMESTAMP:
	case TYPE_TIMESTAMPTZ:
		v->i[row] = d.i;
		break;
	case TYPE_FLOAT4:
	case TYPE_FLOAT8:
		v->f[row] = d.f;
		break;
	case TYPE_NUMERIC:
		v->num[row] = d.num;
		break;
	case TYPE_UNKNOWN:
	case TYPE_TEXT:
	case TYPE_BYTEA:
	case TYPE_JSONB:
		v->s[row] = d.s;
		break;
	case TYPE_INTERVAL:
		v->iv[row] = d.iv;
		break;
	case TYPE_UUID:
		memcpy(v->uuid[row], d.uuid, 16);
		break;
	case TYPE_COUNT:
		ASSERT(false);
	}
}

/* `rows` ascends, so rows[i] >= i and moving forward never overwrites a row that is still needed.
 */
static void vec_keep(struct vec *v, const uint32_t *rows, uint32_t count)
{
	if (v->constant || !v->data)
		return;
	if (v->null)
		for (uint32_t i = 0; i < count; i++)
			v->null[i] = v->null[rows[i]];
	switch (type_width(v->type.id)) {
	case 1:
		for (uint32_t i = 0; i < count; i++)
			v->b[i] = v->b[rows[i]];
		break;
	case 8:
		for (uint32_t i = 0; i < count; i++)
			v->i[i] = v->i[rows[i]];
		break;
	case 16:
		for (uint32_t i = 0; i < count; i++)
			memmove(v->uuid[i], v->uuid[rows[i]], 16);
		break;
	default:
		for (uint32_t i = 0; i < count; i++)
			v->num[i] = v->num[rows[i]];
		break;
	}
}
_Static_assert(
    sizeof(struct str) == 16 && sizeof(struct interval) == 16, "vec_keep moves by width");
_Static_assert(sizeof(struct numeric) == 32, "vec_keep moves by width");

/* A projection may name one column twice; both then share their memory. */
static bool shares_earlier(const struct batch *b, uint32_t column)
{
	for (uint32_t c = 0; c < column; c++)
		if (b->cols[c].data == b->cols[column].data)
			return true;
	return false;
}

void batch_keep(struct batch *b, const uint32_t *rows, uint32_t count)
{
	ASSERT(count <= b->count);
	if (count == b->count)
		return;
	for (uint32_t c = 0; c < b->column_count; c++)
		if (!shares_earlier(b, c))
			vec_keep(&b->cols[c], rows, count);
	if (b->weight)
		for (uint32_t i = 0; i < count; i++)
			b->weight[i] = b->weight[rows[i]];
	if (b->origin)
		for (uint32_t i = 0; i < count; i++)
			b->origin[i] = b->origin[rows[i]];
	b->count = count;
}
