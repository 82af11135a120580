/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values as bytes whose memcmp order is SQL's order, NULLs last. Each value is self-delimiting, so
 * keys of several columns are the concatenation, and a key is a prefix of the keys of its parts. On
 * disk in view files: the format is fixed. tag u8: 1 = value, 2 = NULL; then boolean u8 0 or 1
 *   integers, date, times u64 big-endian, sign bit flipped
 *   real, double          u64 big-endian of the bits; negative numbers inverted, others with the
 * sign bit set; -0 as 0, every NaN as ff..ff numeric               u8 sign (0 negative, 1 zero, 2
 * positive); unless zero: u8 position of the first digit + 64, 16 bytes big-endian: the digits as
 * an integer of 38; both inverted when negative text, bytea, jsonb    the bytes, 00 as 00 ff, then
 * 00 01 interval              12 bytes big-endian: its length in us with 30-day months, plus 2^95
 *   uuid                  16 bytes
 */
#include "processor/op/datetime.h"
#include "processor/op/numeric.h"
#include "processor/op/vec.h"

enum { TAG_VALUE = 1, TAG_NULL = 2, NUMERIC_BIAS = 64 };
#define SIGN_BIT ((uint64_t)1 << 63)

static uint64_t double_bits(double f)
{
	uint64_t bits;
	if (f != f)
		return UINT64_MAX;
	if (f == 0)
		f = 0; /* -0 */
	memcpy(&bits, &f, sizeof bits);
	return bits & SIGN_BIT ? ~bits : bits | SIGN_BIT;
}

static double double_of_bits(uint64_t bits)
{
	double f;
	bits = bits & SIGN_BIT ? bits & ~SIGN_BIT : ~bits;
	memcpy(&f, &bits, sizeof f);
	return f;
}

static uint8_t *put_u64(uint8_t *to, uint64_t v)
{
	put_u64_be(to, v);
	return to + 8;
}

static uint8_t *put_numeric(uint8_t *to, struct numeric n)
{
	bool negative = n.mantissa < 0;
	uint128 m = negative ? -(uint128)n.mantissa : (uint128)n.mantissa;
	*to++ = m == 0 ? 1 : negative ? 0 : 2;
	if (m == 0)
		return to;
	int digits = numeric_digits(m);
	m *= numeric_pow10(NUMERIC_DIGITS_MAX - digits);
	uint8_t place = (uint8_t)(digits - n.scale + NUMERIC_BIAS);
	*to++ = negative ? (uint8_t)~place : place;
	if (negative)
		m = ~m;
	to = put_u64(to, (uint64_t)(m >> 64));
	return put_u64(to, (uint64_t)m);
}

static void decode_numeric(struct reader *r, struct numeric *ret)
{
	*ret = (struct numeric){0, 0};
	uint8_t sign = read_u8(r);
	if (sign == 1)
		return;
	uint8_t place = read_u8(r);
	uint128 m = (uint128)read_u64_be(r) << 64;
	m |= read_u64_be(r);
	if (sign == 0) {
		place = (uint8_t)~place;
		m = ~m;
	}
	int scale = NUMERIC_DIGITS_MAX - ((int)place - NUMERIC_BIAS);
	if (sign > 2 || numeric_digits(m) != NUMERIC_DIGITS_MAX || scale < 0) {
		r->bad = true;
		return;
	}
	while (scale > 0 && m % 10 == 0) {
		m /= 10;
		scale--;
	}
	if (scale > NUMERIC_DIGITS_MAX)
		r->bad = true;
	else
		*ret = (struct numeric){sign == 0 ? -(int128)m : (int128)m, scale};
}

static uint8_t *put_slice(uint8_t *to, struct str s)
{
	while (s.len > 0) {
		const char *zero = memchr(s.ptr, 0, s.len);
		size_t run = zero ? (size_t)(zero - s.ptr) : s.len;
		memcpy(to, s.ptr, run);
		to += run;
		if (!zero)
			break;
		*to++ = 0;
		*to++ = 0xff;
		s = str_from(s.ptr + run + 1, s.len - run - 1);
	}
	*to++ = 0;
	*to++ = 1;
	return to;
}

static enum err decode_slice(struct reader *r, struct arena *a, struct str *ret)
{
	size_t end = r->pos, zeros = 0;
	while (end + 1 < r->len && !(r->ptr[end] == 0 && r->ptr[end + 1] == 1)) {
		if (r->ptr[end] == 0) {
			zeros++;
			if (r->ptr[end + 1] != 0xff)
				r->bad = true;
			end++;
		}
		end++;
	}
	if (r->bad || end + 1 >= r->len) {
		r->bad = true;
		return ERR_OK;
	}
	const uint8_t *from = r->ptr + r->pos;
	size_t len = end - r->pos;
	char *to = arena_alloc(a, len);
	if (!to)
		return ERR_NOMEM;
	size_t n = 0;
	for (size_t i = 0; i < len; i++) {
		to[n++] = (char)from[i];
		i += from[i] == 0;
	}
	ASSERT(n == len - zeros);
	r->pos = end + 2;
	*ret = str_from(to, n);
	return ERR_OK;
}

/* 95 bits hold every interval: 2^31 months of 30 days, 2^31 days and 2^63 us are below 2^73. */
static uint8_t *put_interval(uint8_t *to, struct interval iv)
{
	uint128 v = (uint128)(interval_span(iv) + ((int128)1 << 95));
	put_u32_be(to, (uint32_t)(v >> 64));
	return put_u64(to + 4, (uint64_t)v);
}

static void decode_interval(struct reader *r, struct interval *ret)
{
	uint128 v = (uint128)read_u32_be(r) << 64;
	v |= read_u64_be(r);
	if (!interval_of_span((int128)v - ((int128)1 << 95), ret))
		r->bad = true;
}

uint8_t *key_put(uint8_t *to, enum type_id type, struct datum d)
{
	*to++ = d.null ? TAG_NULL : TAG_VALUE;
	if (d.null)
		return to;
	switch (type) {
	case TYPE_BOOL:
		*to++ = d.b;
		return to;
	case TYPE_INT2:
	case TYPE_INT4:
	case TYPE_INT8:
	case TYPE_DATE:
	case TYPE_TIMESTAMP:
	case TYPE_TIMESTAMPTZ:
		return put_u64(to, (uint64_t)d.i ^ SIGN_BIT);
	case TYPE_FLOAT4:
	case TYPE_FLOAT8:
		return put_u64(to, double_bits(d.f));
	case TYPE_NUMERIC:
		return put_numeric(to, d.num);
	case TYPE_UNKNOWN:
	case TYPE_TEXT:
	case TYPE_BYTEA:
	case TYPE_JSONB:
		return put_slice(to, d.s);
	case TYPE_INTERVAL:
		return put_interval(to, d.iv);
	case TYPE_UUID:
		memcpy(to, d.uuid, 16);
		return to + 16;
	case TYPE_COUNT:
		break;
	}
	ASSERT(false);
	return to;
}

size_t key_bound(enum type_id type, struct datum d)
{
	bool slice =
	    type == TYPE_TEXT || type == TYPE_BYTEA || type == TYPE_JSONB || type == TYPE_UNKNOWN;
	return slice && !d.null ? 2 * d.s.len + 3 : KEY_FIXED_MAX;
}

void key_encode(struct writer *w, enum type_id type, struct datum d)
{
	size_t bound = key_bound(type, d);
	uint8_t *to = writer_reserve(w, bound);
	if (to)
		w->len -= bound - (size_t)(key_put(to, type, d) - to);
}

void vec_write_key(struct writer *w, const struct vec *v, uint32_t row)
{
	uint32_t at = vec_row(v, row);
	if (!type_is_whole(v->type.id) || (v->null && v->null[at])) {
		key_encode(w, v->type.id, vec_get(v, row));
		return;
	}
	uint8_t *to = writer_reserve(w, 9);
	if (to) {
		*to = TAG_VALUE;
		(void)put_u64(to + 1, (uint64_t)v->i[at] ^ SIGN_BIT);
	}
}

static enum err decode_value(struct reader *r, struct arena *a, enum type_id type, struct datum *d)
{
	switch (type) {
	case TYPE_BOOL: {
		uint8_t b = read_u8(r);
		r->bad |= b > 1;
		d->b = b == 1;
		break;
	}
	case TYPE_INT2:
	case TYPE_INT4:
	case TYPE_INT8:
	case TYPE_DATE:
	case TYPE_TIMESTAMP:
	case TYPE_TIMESTAMPTZ:
		d->i = (int64_t)(read_u64_be(r) ^ SIGN_BIT);
		break;
	case TYPE_FLOAT4:
	case TYPE_FLOAT8:
		d->f = double_of_bits(read_u64_be(r));
		break;
	case TYPE_NUMERIC:
		decode_numeric(r, &d->num);
		break;
	case TYPE_UNKNOWN:
	case TYPE_TEXT:
	case TYPE_BYTEA:
	case TYPE_JSONB:
		return decode_slice(r, a, &d->s);
	case TYPE_INTERVAL:
		decode_interval(r, &d->iv);
		break;
	case TYPE_UUID: {
		struct bytes b = read_bytes(r, 16);
		if (b.len == 16)
			memcpy(d->uuid, b.ptr, 16);
		break;
	}
	case TYPE_COUNT:
		ASSERT(false);
	}
	return ERR_OK;
}

enum err key_decode(struct reader *r, struct arena *a, enum type_id type, struct datum *ret_datum)
{
	struct datum d = {.null = false};
	uint8_t tag = read_u8(r);
	d.null = tag == TAG_NULL;
	if (tag == TAG_VALUE)
		TRY(decode_value(r, a, type, &d));
	if (r->bad || (tag != TAG_VALUE && tag != TAG_NULL))
		return err_note(ERR_CORRUPT, "key bytes do not hold a %s", type_name(type));
	*ret_datum = d;
	return ERR_OK;
}
