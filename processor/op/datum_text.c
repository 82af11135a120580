/* SPDX-License-Identifier: Apache-2.0 */
/* The input and output functions of the types. */
#include "processor/op/datetime.h"
#include "processor/op/float_text.h"
#include "processor/op/json_text.h"
#include "processor/op/numeric.h"

#include <strings.h>

/* ---- output ---------------------------------------------------------------------------------- */

static void put_i64(struct writer *w, int64_t v)
{
	char buf[24], *end = buf + sizeof buf, *at = end;
	uint64_t m = v < 0 ? -(uint64_t)v : (uint64_t)v;
	do
		*--at = (char)('0' + m % 10);
	while (m /= 10);
	if (v < 0)
		*--at = '-';
	write_str(w, str_from(at, (size_t)(end - at)));
}

static void put_hex(struct writer *w, struct bytes b)
{
	static const char hex[] = "0123456789abcdef";
	uint8_t *to = writer_reserve(w, b.len * 2);
	for (size_t i = 0; to && i < b.len; i++) {
		to[2 * i] = (uint8_t)hex[b.ptr[i] >> 4];
		to[2 * i + 1] = (uint8_t)hex[b.ptr[i] & 15];
	}
}

static void put_uuid(struct writer *w, const uint8_t uuid[16])
{
	static const uint8_t parts[][2] = {{0, 4}, {4, 2}, {6, 2}, {8, 2}, {10, 6}};
	for (int i = 0; i < 5; i++) {
		if (i > 0)
			write_u8(w, '-');
		put_hex(w, bytes_of(uuid + parts[i][0], parts[i][1]));
	}
}

void datum_to_text(struct writer *w, enum type_id type, struct datum d)
{
	char buf[FLOAT_TEXT_MAX];
	ASSERT(!d.null);
	switch (type) {
	case TYPE_BOOL:
		write_u8(w, d.b ? 't' : 'f');
		break;
	case TYPE_INT2:
	case TYPE_INT4:
	case TYPE_INT8:
		put_i64(w, d.i);
		break;
	case TYPE_FLOAT4:
		write_str(w, str_from(buf, float4_to_text(buf, (float)d.f)));
		break;
	case TYPE_FLOAT8:
		write_str(w, str_from(buf, float8_to_text(buf, d.f)));
		break;
	case TYPE_NUMERIC:
		numeric_to_text(w, d.num);
		break;
	case TYPE_UNKNOWN:
	case TYPE_TEXT:
	case TYPE_JSONB:
		write_str(w, d.s);
		break;
	case TYPE_BYTEA:
		write_cstr(w, "\\x");
		put_hex(w, str_bytes(d.s));
		break;
	case TYPE_DATE:
		date_to_text(w, d.i);
		break;
	case TYPE_TIMESTAMP:
		timestamp_to_text(w, d.i, false);
		break;
	case TYPE_TIMESTAMPTZ:
		timestamp_to_text(w, d.i, true);
		break;
	case TYPE_INTERVAL:
		interval_to_text(w, d.iv);
		break;
	case TYPE_UUID:
		put_uuid(w, d.uuid);
		break;
	case TYPE_COUNT:
		ASSERT(false);
	}
}

/* ---- input ----------------------------------------------------------------------------------- */

static struct str trim(struct str s)
{
	while (s.len > 0 && (s.ptr[0] == ' ' || (s.ptr[0] >= '\t' && s.ptr[0] <= '\r')))
		s = str_from(s.ptr + 1, s.len - 1);
	while (s.len > 0 &&
	       (s.ptr[s.len - 1] == ' ' || (s.ptr[s.len - 1] >= '\t' && s.ptr[s.len - 1] <= '\r')))
		s.len--;
	return s;
}

/* Unique prefixes of true, false, yes, no, on, off; 1 and 0. */
static enum err bool_from_text(struct str s, bool *ret)
{
	static const struct {
		const char *word;
		size_t min;
		bool value;
	} words[] = {{"true", 1, true}, {"false", 1, false}, {"yes", 1, true}, {"no", 1, false},
	    {"on", 2, true}, {"off", 2, false}, {"1", 1, true}, {"0", 1, false}};
	s = trim(s);
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (s.len >= words[i].min && s.len <= strlen(words[i].word) &&
		    strncasecmp(s.ptr, words[i].word, s.len) == 0) {
			*ret = words[i].value;
			return ERR_OK;
		}
	return ERR_BAD_VALUE;
}

static enum err int_from_text(struct str s, enum type_id type, int64_t *ret)
{
	s = trim(s);
	bool negative = s.len > 0 && s.ptr[0] == '-';
	size_t i = s.len > 0 && (s.ptr[0] == '-' || s.ptr[0] == '+');
	bool overflow = false;
	int64_t v = 0;
	if (i == s.len)
		return ERR_BAD_VALUE;
	for (; i < s.len; i++) {
		int digit = s.ptr[i] - '0';
		if (digit < 0 || digit > 9)
			return ERR_BAD_VALUE;
		/* downwards, since the lowest int64 has no positive counterpart */
		overflow = overflow || __builtin_mul_overflow(v, 10, &v) ||
		           __builtin_sub_overflow(v, digit, &v);
	}
	if (!negative)
		overflow = overflow || __builtin_sub_overflow((int64_t)0, v, &v);
	if (overflow || (type == TYPE_INT2 && v != (int16_t)v) ||
	    (type == TYPE_INT4 && v != (int32_t)v))
		return ERR_NUMERIC_OVERFLOW;
	*ret = v;
	return ERR_OK;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9'                 ? c - '0'
	       : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
	                                            : -1;
}

static enum err bytea_from_hex(struct str s, char *to, size_t *ret_len)
{
	size_t n = 0;
	for (size_t i = 2; i < s.len; i++) {
		if (s.ptr[i] == ' ' || (s.ptr[i] >= '\t' && s.ptr[i] <= '\r'))
			continue;
		int hi = hex_digit(s.ptr[i]), lo = i + 1 < s.len ? hex_digit(s.ptr[i + 1]) : -1;
		if (hi < 0 || lo < 0)
			return ERR_BAD_VALUE;
		to[n++] = (char)(hi * 16 + lo);
		i++;
	}
	*ret_len = n;
	return ERR_OK;
}

/* Plain bytes, \\ and \ooo. */
static enum err bytea_from_escapes(struct str s, char *to, size_t *ret_len)
{
	size_t n = 0;
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] != '\\') {
			to[n++] = s.ptr[i];
			continue;
		}
		if (i + 1 < s.len && s.ptr[i + 1] == '\\') {
			to[n++] = '\\';
			i++;
			continue;
		}
		int v = 0;
		for (size_t k = 1; k <= 3; k++) {
			int digit = i + k < s.len ? s.ptr[i + k] - '0' : -1;
			if (digit < 0 || digit > (k == 1 ? 3 : 7))
				return ERR_BAD_VALUE;
			v = v * 8 + digit;
		}
		to[n++] = (char)v;
		i += 3;
	}
	*ret_len = n;
	return ERR_OK;
}

static enum err bytea_from_text(struct arena *a, struct str s, struct str *ret)
{
	char *to = arena_alloc(a, s.len);
	size_t len;
	if (!to)
		return ERR_NOMEM;
	if (s.len >= 2 && s.ptr[0] == '\\' && s.ptr[1] == 'x')
		TRY(bytea_from_hex(s, to, &len));
	else
		TRY(bytea_from_escapes(s, to, &len));
	*ret = str_from(to, len);
	return ERR_OK;
}

/* 32 hex digits, a hyphen allowed after each group of four, braces around. */
static enum err uuid_from_text(struct str s, uint8_t ret[16])
{
	uint8_t uuid[16];
	if (s.len >= 2 && s.ptr[0] == '{' && s.ptr[s.len - 1] == '}')
		s = str_from(s.ptr + 1, s.len - 2);
	size_t at = 0;
	for (int i = 0; i < 16; i++) {
		int hi = at < s.len ? hex_digit(s.ptr[at]) : -1,
		    lo = at + 1 < s.len ? hex_digit(s.ptr[at + 1]) : -1;
		if (hi < 0 || lo < 0)
			return ERR_BAD_VALUE;
		uuid[i] = (uint8_t)(hi * 16 + lo);
		at += 2;
		if (i % 2 == 1 && i < 15 && at < s.len && s.ptr[at] == '-')
			at++;
	}
	if (at != s.len)
		return ERR_BAD_VALUE;
	memcpy(ret, uuid, 16);
	return ERR_OK;
}

static enum err text_from_text(struct arena *a, struct type type, struct str s, struct str *ret)
{
	if (type.precision > 0) {
		size_t chars = 0, cut = s.len;
		for (size_t i = 0; i < s.len; i++)
			if (((unsigned char)s.ptr[i] & 0xc0) != 0x80 &&
			    chars++ == (size_t)type.precision)
				cut = i;
		for (size_t i = cut; i < s.len; i++)
			if (s.ptr[i] != ' ')
				return ERR_BAD_VALUE;
		s.len = cut;
	}
	*ret = arena_copy_str(a, s);
	return ret->ptr ? ERR_OK : ERR_NOMEM;
}

enum err datum_from_text(
    struct arena *a, struct type type, struct str text, struct datum *ret_datum)
{
	struct datum d = {.null = false};
	enum err e = ERR_BAD_VALUE;
	switch (type.id) {
	case TYPE_BOOL:
		e = bool_from_text(text, &d.b);
		break;
	case TYPE_INT2:
	case TYPE_INT4:
	case TYPE_INT8:
		e = int_from_text(text, type.id, &d.i);
		break;
	case TYPE_FLOAT4:
		e = float4_from_text(text, &d.f);
		break;
	case TYPE_FLOAT8:
		e = float8_from_text(text, &d.f);
		break;
	case TYPE_NUMERIC:
		e = numeric_from_text(text, type, &d.num);
		break;
	case TYPE_UNKNOWN:
	case TYPE_TEXT:
		e = text_from_text(a, type, text, &d.s);
		break;
	case TYPE_BYTEA:
		e = bytea_from_text(a, text, &d.s);
		break;
	case TYPE_DATE:
		e = date_from_text(text, &d.i);
		break;
	case TYPE_TIMESTAMP:
	case TYPE_TIMESTAMPTZ:
		e = timestamp_from_text(text, type.id == TYPE_TIMESTAMPTZ, &d.i);
		break;
	case TYPE_INTERVAL:
		e = interval_from_text(text, &d.iv);
		break;
	case TYPE_UUID:
		e = uuid_from_text(text, d.uuid);
		break;
	case TYPE_JSONB:
		d.s = arena_copy_str(a, text);
		e = !json_text_valid(text) ? ERR_BAD_VALUE : d.s.ptr ? ERR_OK : ERR_NOMEM;
		break;
	case TYPE_COUNT:
		ASSERT(false);
	}
	if (e == ERR_OK)
		*ret_datum = d;
	return e;
}
