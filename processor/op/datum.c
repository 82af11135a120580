/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scalars: order, copies, and their bytes inside operator state. State bytes of a datum:
 *   tag u8: 0 = NULL, 1 = value (boolean: 1 = false, 2 = true), then
 *   integers, date, timestamps  zigzag varint        float   8 bytes, little-endian IEEE 754
 *   numeric  scale u8, sign u8, mantissa as varint low 64, varint high 64
 *   text, bytea, jsonb  varint length, bytes          interval  3 zigzag varints: months, days, us
 *   uuid  16 bytes
 */
#include "processor/op/datetime.h"
#include "processor/op/numeric.h"
#include "processor/op/vec.h"

static int compare_i64(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

static int compare_f64(double a, double b)
{
	bool a_nan = a != a, b_nan = b != b;
	if (a_nan || b_nan)
		return (int)a_nan - (int)b_nan;
	return (a > b) - (a < b);
}

int datum_compare(enum type_id type, struct datum a, struct datum b)
{
	ASSERT(!a.null && !b.null);
	switch (type) {
	case TYPE_BOOL:
		return (int)a.b - (int)b.b;
	case TYPE_INT2:
	case TYPE_INT4:
	case TYPE_INT8:
	case TYPE_DATE:
	case TYPE_TIMESTAMP:
	case TYPE_TIMESTAMPTZ:
		return compare_i64(a.i, b.i);
	case TYPE_FLOAT4:
	case TYPE_FLOAT8:
		return compare_f64(a.f, b.f);
	case TYPE_NUMERIC:
		return numeric_compare(a.num, b.num);
	case TYPE_INTERVAL:
		return interval_compare(a.iv, b.iv);
	case TYPE_UUID:
		return memcmp(a.uuid, b.uuid, 16);
	case TYPE_UNKNOWN:
	case TYPE_TEXT:
	case TYPE_BYTEA:
	case TYPE_JSONB:
	case TYPE_COUNT:
		break;
	}
	return bytes_compare(str_bytes(a.s), str_bytes(b.s));
}

static bool type_is_slice(enum type_id type)
{
	return type == TYPE_TEXT || type == TYPE_BYTEA || type == TYPE_JSONB ||
	       type == TYPE_UNKNOWN;
}

enum err datum_copy(struct arena *a, enum type_id type, struct datum in, struct datum *ret_datum)
{
	if (!in.null && type_is_slice(type)) {
		in.s = arena_copy_str(a, in.s);
		if (!in.s.ptr)
			return ERR_NOMEM;
	}
	*ret_datum = in;
	return ERR_OK;
}

static void write_double(struct writer *w, double f)
{
	uint64_t bits;
	memcpy(&bits, &f, sizeof bits);
	write_u64_le(w, bits);
}

static void write_numeric(struct writer *w, struct numeric n)
{
	uint128 m = n.mantissa < 0 ? -(uint128)n.mantissa : (uint128)n.mantissa;
	write_u8(w, (uint8_t)n.scale);
	write_u8(w, n.mantissa < 0);
	write_uvarint64(w, (uint64_t)m);
	write_uvarint64(w, (uint64_t)(m >> 64));
}

void datum_write(struct writer *w, enum type_id type, struct datum d)
{
	if (d.null || type == TYPE_BOOL) {
		write_u8(w, d.null ? 0 : (uint8_t)(1 + d.b));
		return;
	}
	write_u8(w, 1);
	switch (type) {
	case TYPE_INT2:
	case TYPE_INT4:
	case TYPE_INT8:
	case TYPE_DATE:
	case TYPE_TIMESTAMP:
	case TYPE_TIMESTAMPTZ:
		write_varint64(w, d.i);
		break;
	case TYPE_FLOAT4:
	case TYPE_FLOAT8:
		write_double(w, d.f);
		break;
	case TYPE_NUMERIC:
		write_numeric(w, d.num);
		break;
	case TYPE_UNKNOWN:
	case TYPE_TEXT:
	case TYPE_BYTEA:
	case TYPE_JSONB:
		write_uvarint64(w, d.s.len);
		write_str(w, d.s);
		break;
	case TYPE_INTERVAL:
		write_varint64(w, d.iv.months);
		write_varint64(w, d.iv.days);
		write_varint64(w, d.iv.us);
		break;
	case TYPE_UUID:
		write_bytes(w, bytes_of(d.uuid, 16));
		break;
	case TYPE_BOOL:
	case TYPE_COUNT:
		ASSERT(false);
	}
}

void vec_write(struct writer *w, const struct vec *v, uint32_t row)
{
	uint32_t at = vec_row(v, row);
	if (!type_is_whole(v->type.id) || (v->null && v->null[at])) {
		datum_write(w, v->type.id, vec_get(v, row));
		return;
	}
	enum { ROOM = 11 };
	uint64_t value = zigzag_encode(v->i[at]);
	uint8_t *to = writer_reserve(w, ROOM), *from = to;
	if (!to)
		return;
	*to++ = 1;
	for (; value >= 0x80; value >>= 7)
		*to++ = (uint8_t)(value | 0x80);
	*to++ = (uint8_t)value;
	w->len -= ROOM - (size_t)(to - from);
}

static double read_double(struct reader *r)
{
	uint64_t bits = read_u64_le(r);
	double f;
	memcpy(&f, &bits, sizeof f);
	return f;
}

static struct numeric read_numeric(struct reader *r)
{
	uint8_t scale = read_u8(r), negative = read_u8(r);
	uint128 m = read_uvarint64(r);
	m |= (uint128)read_uvarint64(r) << 64;
	if (scale > NUMERIC_DIGITS_MAX || negative > 1 || m >= numeric_pow10(NUMERIC_DIGITS_MAX)) {
		r->bad = true;
		return (struct numeric){0, 0};
	}
	return (struct numeric){negative ? -(int128)m : (int128)m, scale};
}

static struct interval read_interval(struct reader *r)
{
	int64_t months = read_varint64(r), days = read_varint64(r);
	if (months != (int32_t)months || days != (int32_t)days)
		r->bad = true;
	return (struct interval){read_varint64(r), (int32_t)days, (int32_t)months};
}

static void read_value(struct reader *r, enum type_id type, struct datum *d)
{
	switch (type) {
	case TYPE_INT2:
	case TYPE_INT4:
	case TYPE_INT8:
	case TYPE_DATE:
	case TYPE_TIMESTAMP:
	case TYPE_TIMESTAMPTZ:
		d->i = read_varint64(r);
		break;
	case TYPE_FLOAT4:
	case TYPE_FLOAT8:
		d->f = read_double(r);
		break;
	case TYPE_NUMERIC:
		d->num = read_numeric(r);
		break;
	case TYPE_UNKNOWN:
	case TYPE_TEXT:
	case TYPE_BYTEA:
	case TYPE_JSONB: {
		uint64_t len = read_uvarint64(r);
		d->s = bytes_str(read_bytes(r, len));
		break;
	}
	case TYPE_INTERVAL:
		d->iv = read_interval(r);
		break;
	case TYPE_UUID: {
		struct bytes b = read_bytes(r, 16);
		if (b.len == 16)
			memcpy(d->uuid, b.ptr, 16);
		break;
	}
	case TYPE_BOOL:
	case TYPE_COUNT:
		ASSERT(false);
	}
}

enum err datum_read(struct reader *r, enum type_id type, struct datum *ret_datum)
{
	struct datum d = {.null = false};
	uint8_t tag = read_u8(r);
	d.null = tag == 0;
	if (type == TYPE_BOOL)
		d.b = tag == 2;
	else if (tag == 1)
		read_value(r, type, &d);
	if (r->bad || tag > (type == TYPE_BOOL ? 2 : 1))
		return err_note(ERR_CORRUPT, "state bytes do not hold a %s", type_name(type));
	*ret_datum = d;
	return ERR_OK;
}

enum err vec_read(struct reader *r, struct vec *v, uint32_t row)
{
	struct datum d;
	if (type_is_whole(v->type.id) && reader_left(r) > 0 && r->ptr[r->pos] == 1) {
		r->pos++;
		v->i[row] = read_varint64(r);
		if (v->null)
			v->null[row] = 0;
		return r->bad ? err_note(ERR_CORRUPT, "state bytes do not hold a %s",
		                    type_name(v->type.id))
		              : ERR_OK;
	}
	TRY(datum_read(r, v->type.id, &d));
	vec_set(v, row, d);
	return ERR_OK;
}
