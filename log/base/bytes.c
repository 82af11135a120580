/* SPDX-License-Identifier: Apache-2.0 */
#include "bytes.h"

#include "mem.h"

#include <stdarg.h>
#include <stdio.h>

int bytes_compare(struct bytes a, struct bytes b)
{
	size_t common = a.len < b.len ? a.len : b.len;
	int order = common ? memcmp(a.ptr, b.ptr, common) : 0;
	if (order != 0)
		return order;
	return a.len < b.len ? -1 : a.len > b.len;
}

struct bytes bytes_slice(struct bytes b, size_t from, size_t len)
{
	if (from > b.len)
		from = b.len;
	if (len > b.len - from)
		len = b.len - from;
	return (struct bytes){b.ptr ? b.ptr + from : NULL, len};
}

/* ---- text ------------------------------------------------------------------------------------ */

/*
 * Length of the well-formed multi-byte sequence at p, 0 when malformed (RFC 3629, table of section
 * 4).
 */
static size_t utf8_sequence(const uint8_t *p, size_t left)
{
	uint8_t lead = p[0];
	size_t len = lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
	if (len == 0 || len > left)
		return 0;
	uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
	uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++) {
		if ((p[i] & 0xC0) != 0x80)
			return 0;
	}
	return len;
}

bool str_is_utf8(struct str s)
{
	const uint8_t *p = (const uint8_t *)s.ptr;
	size_t at = 0;
	while (at < s.len) {
		if (s.len - at >= 8 && (get_u64_le(p + at) & 0x8080808080808080u) == 0) {
			at += 8;
			continue;
		}
		if (p[at] < 0x80) {
			at++;
			continue;
		}
		size_t len = utf8_sequence(p + at, s.len - at);
		if (len == 0)
			return false;
		at += len;
	}
	return true;
}

bool str_to_u64(struct str s, uint64_t *ret_value)
{
	if (s.len == 0)
		return false;
	uint64_t value = 0;
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] < '0' || s.ptr[i] > '9')
			return false;
		uint64_t digit = (uint64_t)(s.ptr[i] - '0');
		if (__builtin_mul_overflow(value, 10u, &value) ||
		    __builtin_add_overflow(value, digit, &value))
			return false;
	}
	*ret_value = value;
	return true;
}

bool str_to_i64(struct str s, int64_t *ret_value)
{
	bool negative = s.len > 0 && s.ptr[0] == '-';
	struct str digits = {s.ptr + (negative ? 1 : 0), s.len - (negative ? 1 : 0)};
	uint64_t value;
	if (!str_to_u64(digits, &value))
		return false;
	uint64_t limit = (uint64_t)INT64_MAX + (negative ? 1 : 0);
	if (value > limit)
		return false;
	*ret_value = negative ? (int64_t)(0 - value) : (int64_t)value;
	return true;
}

/* ---- reader: varints of more than one byte --------------------------------------------------- */

uint64_t read_uvarint_slow(struct reader *r, unsigned bits)
{
	uint64_t value = 0;
	for (unsigned shift = 0; shift < bits; shift += 7) {
		const uint8_t *p = reader_take(r, 1);
		if (!p)
			return 0;
		uint64_t group = *p & 0x7Fu;
		unsigned room = bits - shift;
		if (room < 7 && group >> room != 0)
			break;
		value |= group << shift;
		if (*p < 0x80)
			return value;
	}
	r->bad = true;
	return 0;
}

struct uvarint uvarint_at_slow(const uint8_t *p, size_t left)
{
	struct reader r = reader_of(bytes_of(p, left));
	uint64_t value = read_uvarint64(&r);
	return r.bad ? (struct uvarint){0, 0} : (struct uvarint){value, r.pos};
}

/* ---- writer ---------------------------------------------------------------------------------- */

void writer_init(struct writer *w, size_t limit)
{
	*w = (struct writer){.limit = limit};
}

void writer_release(struct writer *w)
{
	mem_free(w->ptr);
	*w = (struct writer){.limit = w->limit};
}

void writer_clear(struct writer *w)
{
	w->len = 0;
	w->err = ERR_OK;
}

uint8_t *writer_take(struct writer *w, size_t *ret_len)
{
	if (w->err != ERR_OK) {
		writer_release(w);
		return NULL;
	}
	uint8_t *ptr = w->ptr;
	*ret_len = w->len;
	*w = (struct writer){.limit = w->limit};
	return ptr;
}

uint8_t *writer_reserve_slow(struct writer *w, size_t len)
{
	if (w->err != ERR_OK)
		return NULL;
	if (len > w->limit || w->len > w->limit - len) {
		w->err = ERR_LIMIT;
		return NULL;
	}
	size_t need = w->len + len;
	if (need > w->capacity || !w->ptr) {
		size_t capacity = w->capacity > w->limit / 2 ? w->limit : w->capacity * 2;
		if (capacity < 64)
			capacity = w->limit < 64 ? w->limit : 64;
		if (capacity < need)
			capacity = need;
		uint8_t *ptr = mem_realloc(w->ptr, capacity);
		if (!ptr) {
			w->err = ERR_NOMEM;
			return NULL;
		}
		w->ptr = ptr;
		w->capacity = capacity;
	}
	uint8_t *at = w->ptr + w->len;
	w->len = need;
	return at;
}

void write_bytes(struct writer *w, struct bytes b)
{
	if (b.len == 0)
		return;
	uint8_t *at = writer_reserve(w, b.len);
	if (at)
		memcpy(at, b.ptr, b.len);
}

void write_str(struct writer *w, struct str s)
{
	write_bytes(w, str_bytes(s));
}

void write_cstr(struct writer *w, const char *s)
{
	write_bytes(w, bytes_of(s, strlen(s)));
}

void write_printf(struct writer *w, const char *fmt, ...)
{
	va_list ap, again;
	if (w->err != ERR_OK)
		return;
	va_start(ap, fmt);
	va_copy(again, ap);
	char small[256];
	int len = vsnprintf(small, sizeof(small), fmt, ap);
	va_end(ap);
	if (len < 0) {
		w->err = ERR_INVALID;
	} else if ((size_t)len < sizeof(small)) {
		write_bytes(w, bytes_of(small, (size_t)len));
	} else {
		/* vsnprintf needs room for its NUL, which is given back */
		char *at = (char *)writer_reserve(w, (size_t)len + 1);
		if (at) {
			vsnprintf(at, (size_t)len + 1, fmt, again);
			w->len--;
		}
	}
	va_end(again);
}

void write_uvarint64(struct writer *w, uint64_t v)
{
	uint8_t *at = writer_reserve(w, uvarint_len(v));
	if (!at)
		return;
	while (v >= 0x80) {
		*at++ = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	*at = (uint8_t)v;
}

void write_varint64(struct writer *w, int64_t v)
{
	write_uvarint64(w, zigzag_encode(v));
}

void writer_patch_u32_be(struct writer *w, size_t pos, uint32_t v)
{
	if (w->err != ERR_OK)
		return;
	ASSERT(pos <= w->len && w->len - pos >= 4);
	put_u32_be(w->ptr + pos, v);
}
