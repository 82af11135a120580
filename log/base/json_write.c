/* SPDX-License-Identifier: Apache-2.0 */
#include "json_write.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { JSON_LEVEL_OBJECT = 1, JSON_LEVEL_FILLED = 2 };

void json_write_init(struct json_writer *j, struct writer *out)
{
	*j = (struct json_writer){.out = out};
}

bool json_write_done(const struct json_writer *j)
{
	return j->depth == 0 && !j->after_key && j->out->err == ERR_OK;
}

/* What stands before a value: nothing after a key or at the top, a comma between array elements. */
static void before_value(struct json_writer *j)
{
	if (j->after_key) {
		j->after_key = false;
		return;
	}
	if (j->depth == 0)
		return;
	uint8_t *level = &j->level[j->depth - 1];
	ASSERT(!(*level & JSON_LEVEL_OBJECT));
	if (*level & JSON_LEVEL_FILLED)
		write_u8(j->out, ',');
	*level |= JSON_LEVEL_FILLED;
}

static void begin(struct json_writer *j, uint8_t kind, char open)
{
	before_value(j);
	ASSERT(j->depth < JSON_WRITE_DEPTH_MAX);
	j->level[j->depth++] = kind;
	write_u8(j->out, (uint8_t)open);
}

static void end(struct json_writer *j, uint8_t kind, char close)
{
	ASSERT(j->depth > 0 && !j->after_key);
	ASSERT((j->level[j->depth - 1] & JSON_LEVEL_OBJECT) == kind);
	j->depth--;
	write_u8(j->out, (uint8_t)close);
}

void json_object_begin(struct json_writer *j)
{
	begin(j, JSON_LEVEL_OBJECT, '{');
}

void json_object_end(struct json_writer *j)
{
	end(j, JSON_LEVEL_OBJECT, '}');
}

void json_array_begin(struct json_writer *j)
{
	begin(j, 0, '[');
}

void json_array_end(struct json_writer *j)
{
	end(j, 0, ']');
}

/* ---- text ------------------------------------------------------------------------------------ */

/* Length of the well-formed UTF-8 sequence at p (RFC 3629, table 3-7 of Unicode), 0 when there is
 * none. */
static size_t utf8_len(const uint8_t *p, size_t left)
{
	uint8_t c = p[0];
	if (c < 0x80)
		return 1;
	size_t len = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
	if (c < 0xc2 || c > 0xf4 || left < len)
		return 0;
	/* the second byte excludes overlong forms, surrogates and anything above U+10FFFF */
	uint8_t low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
	uint8_t high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	return len;
}

static void escape_control(struct writer *out, uint8_t c)
{
	static const char hex[] = "0123456789abcdef";
	char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
	size_t len = 2;
	switch (c) {
	case '"':
	case '\\':
		text[1] = (char)c;
		break;
	case '\n':
		text[1] = 'n';
		break;
	case '\r':
		text[1] = 'r';
		break;
	case '\t':
		text[1] = 't';
		break;
	default:
		len = 6;
	}
	write_bytes(out, bytes_of(text, len));
}

static bool is_plain(uint8_t c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

void json_write_escaped(struct writer *out, struct str s)
{
	const uint8_t *p = (const uint8_t *)s.ptr;
	size_t from = 0, i = 0;
	while (i < s.len) {
		size_t len = is_plain(p[i]) ? 1 : p[i] >= 0x80 ? utf8_len(p + i, s.len - i) : 0;
		if (len > 0) {
			i += len;
			continue;
		}
		if (i > from)
			write_bytes(out, bytes_of(p + from, i - from));
		if (p[i] < 0x80)
			escape_control(out, p[i]);
		else
			write_cstr(out, "\xef\xbf\xbd");
		from = ++i;
	}
	if (i > from)
		write_bytes(out, bytes_of(p + from, i - from));
}

static void quoted(struct json_writer *j, struct str s)
{
	write_u8(j->out, '"');
	json_write_escaped(j->out, s);
	write_u8(j->out, '"');
}

void json_key(struct json_writer *j, struct str key)
{
	ASSERT(j->depth > 0 && !j->after_key);
	uint8_t *level = &j->level[j->depth - 1];
	ASSERT(*level & JSON_LEVEL_OBJECT);
	if (*level & JSON_LEVEL_FILLED)
		write_u8(j->out, ',');
	*level |= JSON_LEVEL_FILLED;
	quoted(j, key);
	write_u8(j->out, ':');
	j->after_key = true;
}

void json_str(struct json_writer *j, struct str s)
{
	if (!s.ptr) {
		json_null(j);
		return;
	}
	before_value(j);
	quoted(j, s);
}

/* ---- numbers and the rest -------------------------------------------------------------------- */

void json_i64(struct json_writer *j, int64_t v)
{
	before_value(j);
	write_printf(j->out, "%lld", (long long)v);
}

void json_u64(struct json_writer *j, uint64_t v)
{
	before_value(j);
	write_printf(j->out, "%llu", (unsigned long long)v);
}

void json_double(struct json_writer *j, double v)
{
	if (isnan(v)) {
		json_str(j, STR("NaN"));
		return;
	}
	if (isinf(v)) {
		json_str(j, v > 0 ? STR("Infinity") : STR("-Infinity"));
		return;
	}
	char text[40];
	/* any 15 digits survive a normal double; a subnormal one has fewer to offer */
	for (int digits = fabs(v) < DBL_MIN ? 1 : 15; digits <= 17; digits++) {
		snprintf(text, sizeof text, "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	before_value(j);
	write_cstr(j->out, text);
}

void json_bool(struct json_writer *j, bool v)
{
	before_value(j);
	write_cstr(j->out, v ? "true" : "false");
}

void json_null(struct json_writer *j)
{
	before_value(j);
	write_cstr(j->out, "null");
}

void json_raw(struct json_writer *j, struct str text)
{
	ASSERT(text.len > 0);
	before_value(j);
	write_str(j->out, text);
}

void json_base64(struct json_writer *j, struct bytes b)
{
	static const char digit[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	if (!b.ptr) {
		json_null(j);
		return;
	}
	before_value(j);
	write_u8(j->out, '"');
	for (size_t i = 0; i < b.len; i += 3) {
		size_t n = b.len - i < 3 ? b.len - i : 3;
		uint32_t v = (uint32_t)b.ptr[i] << 16;
		v |= n > 1 ? (uint32_t)b.ptr[i + 1] << 8 : 0;
		v |= n > 2 ? b.ptr[i + 2] : 0;
		char text[4] = {digit[v >> 18], digit[v >> 12 & 63],
		    n > 1 ? digit[v >> 6 & 63] : '=', n > 2 ? digit[v & 63] : '='};
		write_bytes(j->out, bytes_of(text, sizeof text));
	}
	write_u8(j->out, '"');
}

void json_hex(struct json_writer *j, struct bytes b)
{
	static const char hex[] = "0123456789abcdef";
	before_value(j);
	write_u8(j->out, '"');
	for (size_t i = 0; i < b.len; i++) {
		char text[2] = {hex[b.ptr[i] >> 4], hex[b.ptr[i] & 15]};
		write_bytes(j->out, bytes_of(text, sizeof text));
	}
	write_u8(j->out, '"');
}

void json_key_str(struct json_writer *j, const char *key, struct str s)
{
	json_key(j, str_of(key));
	json_str(j, s);
}

void json_key_i64(struct json_writer *j, const char *key, int64_t v)
{
	json_key(j, str_of(key));
	json_i64(j, v);
}

void json_key_u64(struct json_writer *j, const char *key, uint64_t v)
{
	json_key(j, str_of(key));
	json_u64(j, v);
}

void json_key_double(struct json_writer *j, const char *key, double v)
{
	json_key(j, str_of(key));
	json_double(j, v);
}

void json_key_bool(struct json_writer *j, const char *key, bool v)
{
	json_key(j, str_of(key));
	json_bool(j, v);
}
