/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Escapes of JSON strings. The scanner has checked that they are well formed; what they mean may
 * still be no text: a NUL, half of a surrogate pair.
 */
#include "json_paths.h"

static uint32_t hex4(const char *p)
{
	uint32_t v = 0;
	for (int i = 0; i < 4; i++) {
		char c = p[i];
		uint32_t d = c <= '9' ? (uint32_t)(c - '0') : (uint32_t)((c | 32) - 'a' + 10);
		v = v << 4 | d;
	}
	return v;
}

static size_t utf8_put(char *out, uint32_t c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xC0 | c >> 6);
		out[1] = (char)(0x80 | (c & 63));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xE0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 63));
		out[2] = (char)(0x80 | (c & 63));
		return 3;
	}
	out[0] = (char)(0xF0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 63));
	out[2] = (char)(0x80 | (c >> 6 & 63));
	out[3] = (char)(0x80 | (c & 63));
	return 4;
}

/* At "\uXXXX" (already checked as hex): the code point, with its low surrogate where there is one.
 */
static enum err unescape_unicode(const char **at, const char *end, uint32_t *ret_c)
{
	uint32_t c = hex4(*at + 2);
	*at += 6;
	if (c == 0)
		return err_note(ERR_BAD_VALUE, "\\u0000 cannot be text");
	if (c >= 0xD800 && c < 0xDC00) {
		if (end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u')
			return err_note(ERR_BAD_VALUE, "a lone surrogate cannot be text");
		uint32_t low = hex4(*at + 2);
		if (low < 0xDC00 || low > 0xDFFF)
			return err_note(ERR_BAD_VALUE, "a lone surrogate cannot be text");
		*at += 6;
		c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
	} else if (c >= 0xDC00 && c <= 0xDFFF) {
		return err_note(ERR_BAD_VALUE, "a lone surrogate cannot be text");
	}
	*ret_c = c;
	return ERR_OK;
}

static char unescape_char(char c)
{
	switch (c) {
	case 'b':
		return '\b';
	case 'f':
		return '\f';
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	default:
		return c;
	}
}

enum err json_unescape_to(struct str text, char *out, size_t *ret_len)
{
	size_t len = 0;
	const char *at = text.ptr, *end = text.ptr + text.len;
	while (at < end) {
		if (*at != '\\') {
			out[len++] = *at++;
			continue;
		}
		if (at[1] == 'u') {
			uint32_t c = 0;
			TRY(unescape_unicode(&at, end, &c));
			len += utf8_put(out + len, c);
			continue;
		}
		out[len++] = unescape_char(at[1]);
		at += 2;
	}
	*ret_len = len;
	return ERR_OK;
}

enum err json_unescape(struct arena *a, struct json_value v, struct str *ret_text)
{
	ASSERT(v.kind == JSON_STRING);
	if (!v.ascii && !str_is_utf8(v.text))
		return err_note(ERR_BAD_VALUE, "text is not UTF-8");
	if (!v.escaped) {
		*ret_text = v.text;
		return ERR_OK;
	}
	char *out = arena_alloc(a, v.text.len);
	if (!out)
		return ERR_NOMEM;
	size_t len;
	TRY(json_unescape_to(v.text, out, &len));
	*ret_text = (struct str){out, len};
	return ERR_OK;
}
