/* SPDX-License-Identifier: Apache-2.0 */
/* Digests and encodings of bytes. */
#include "processor/op/func_list.h"

#include <openssl/evp.h>
#include <strings.h>

#define BODY(name)                                                                                 \
	void func_##name(                                                                          \
	    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)

static const char hex_digits[] = "0123456789abcdef";

static char *put_hex(char *to, const uint8_t *from, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		*to++ = hex_digits[from[i] >> 4];
		*to++ = hex_digits[from[i] & 15];
	}
	return to;
}

static void digest(
    struct eval *ev, const struct vec *args, struct vec *out, const EVP_MD *md, bool hex)
{
	EACH_ROW (ev, out, r) {
		struct str s = arg_s(&args[0], r);
		uint8_t sum[EVP_MAX_MD_SIZE];
		unsigned len = 0;
		if (!md || EVP_Digest(s.ptr, s.len, sum, &len, md, NULL) != 1) {
			func_fail(ev, out, r, ERR_UNSUPPORTED,
			    "this digest is switched off in the crypto library");
			continue;
		}
		char *to = func_alloc(ev, (size_t)len * 2);
		if (!to)
			return;
		if (hex)
			put_hex(to, sum, len);
		else
			memcpy(to, sum, len);
		out->s[r] = str_from(to, hex ? (size_t)len * 2 : len);
	}
}

#define DIGEST(name, md, hex)                                                                      \
	BODY(name)                                                                                 \
	{                                                                                          \
		(void)call;                                                                        \
		digest(ev, args, out, md(), hex);                                                  \
	}
DIGEST(md5, EVP_md5, true)
DIGEST(sha224, EVP_sha224, false)
DIGEST(sha256, EVP_sha256, false)
DIGEST(sha384, EVP_sha384, false)
DIGEST(sha512, EVP_sha512, false)

/* ---- encode, decode -------------------------------------------------------------------------- */

enum encoding { ENCODING_NONE, ENCODING_HEX, ENCODING_BASE64, ENCODING_ESCAPE };

static enum encoding encoding_by_name(struct str s)
{
	static const char *const names[] = {"", "hex", "base64", "escape"};
	for (int e = ENCODING_HEX; e <= ENCODING_ESCAPE; e++)
		if (s.len == strlen(names[e]) && strncasecmp(s.ptr, names[e], s.len) == 0)
			return (enum encoding)e;
	return ENCODING_NONE;
}

/* Lines of 76 characters, as RFC 2045 and PostgreSQL. */
static void encode_base64(struct writer *w, struct str s)
{
	static const char alphabet[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t column = 0;
	for (size_t i = 0; i < s.len; i += 3) {
		size_t n = s.len - i < 3 ? s.len - i : 3;
		uint32_t v = (uint32_t)(uint8_t)s.ptr[i] << 16;
		v |= n > 1 ? (uint32_t)(uint8_t)s.ptr[i + 1] << 8 : 0;
		v |= n > 2 ? (uint8_t)s.ptr[i + 2] : 0;
		if (column == 76) {
			write_u8(w, '\n');
			column = 0;
		}
		char four[4] = {alphabet[v >> 18], alphabet[v >> 12 & 63],
		    n > 1 ? alphabet[v >> 6 & 63] : '=', n > 2 ? alphabet[v & 63] : '='};
		write_str(w, str_from(four, 4));
		column += 4;
	}
}

static void encode_escape(struct writer *w, struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = (uint8_t)s.ptr[i];
		if (c == 0 || c >= 0x80)
			write_printf(w, "\\%03o", c);
		else if (c == '\\')
			write_cstr(w, "\\\\");
		else
			write_u8(w, c);
	}
}

BODY(bytea_encode)
{
	(void)call;
	struct writer w;
	writer_init(&w, FUNC_TEXT_MAX);
	EACH_ROW (ev, out, r) {
		struct str s = arg_s(&args[0], r);
		enum encoding e = encoding_by_name(arg_s(&args[1], r));
		if (e == ENCODING_NONE) {
			func_fail(ev, out, r, ERR_BAD_VALUE,
			    "unknown encoding; there are hex, base64 and escape");
			continue;
		}
		if (e == ENCODING_BASE64)
			encode_base64(&w, s);
		else if (e == ENCODING_ESCAPE)
			encode_escape(&w, s);
		else
			for (size_t i = 0; i < s.len; i++) {
				char two[2];
				put_hex(two, (const uint8_t *)s.ptr + i, 1);
				write_str(&w, str_from(two, 2));
			}
		out->s[r] = func_take(ev, out, r, &w);
	}
	writer_release(&w);
}

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool decode_base64(struct str s, char *to, size_t *ret_len)
{
	uint32_t v = 0;
	int have = 0, padding = 0;
	size_t n = 0;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];
		if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
			continue;
		int six = c == '=' && have >= 2 ? 0 : base64_value(c);
		if (six < 0 || (padding > 0 && c != '='))
			return false;
		padding += c == '=';
		v = v << 6 | (uint32_t)six;
		if (++have < 4)
			continue;
		to[n++] = (char)(v >> 16);
		if (padding < 2)
			to[n++] = (char)(v >> 8);
		if (padding < 1)
			to[n++] = (char)v;
		have = 0;
		v = 0;
	}
	*ret_len = n;
	return have == 0;
}

/* Hex and escape are bytea's own input, with and without its "\x". */
static enum err decode_text(struct arena *a, struct str s, enum encoding e, struct str *ret)
{
	if (e == ENCODING_BASE64) {
		char *to = arena_alloc(a, s.len + 3);
		size_t len = 0;
		if (!to)
			return ERR_NOMEM;
		if (!decode_base64(s, to, &len))
			return ERR_BAD_VALUE;
		*ret = str_from(to, len);
		return ERR_OK;
	}
	struct datum d;
	struct str input = s;
	if (e == ENCODING_HEX) {
		char *prefixed = arena_alloc(a, s.len + 2);
		if (!prefixed)
			return ERR_NOMEM;
		memcpy(prefixed, "\\x", 2);
		memcpy(prefixed + 2, s.ptr, s.len);
		input = str_from(prefixed, s.len + 2);
	} else if (s.len >= 2 && memcmp(s.ptr, "\\x", 2) == 0) {
		return ERR_BAD_VALUE;
	}
	TRY(datum_from_text(a, (struct type){.id = TYPE_BYTEA}, input, &d));
	*ret = d.s;
	return ERR_OK;
}

BODY(bytea_decode)
{
	(void)call;
	EACH_ROW (ev, out, r) {
		enum encoding e = encoding_by_name(arg_s(&args[1], r));
		enum err err = e == ENCODING_NONE
		                   ? ERR_BAD_VALUE
		                   : decode_text(ev->arena, arg_s(&args[0], r), e, &out->s[r]);
		if (err == ERR_NOMEM)
			ev->fatal = err;
		else if (err != ERR_OK)
			func_fail(ev, out, r, err,
			    e == ENCODING_NONE
			        ? "unknown encoding; there are hex, base64 and escape"
			        : "the text is not well-formed in this encoding");
	}
}

static bool is_utf8_name(struct str s)
{
	return (s.len == 4 && strncasecmp(s.ptr, "utf8", 4) == 0) ||
	       (s.len == 5 && strncasecmp(s.ptr, "utf-8", 5) == 0);
}

BODY(convert_from)
{
	(void)call;
	EACH_ROW (ev, out, r) {
		struct str s = arg_s(&args[0], r);
		if (!is_utf8_name(arg_s(&args[1], r)))
			func_fail(ev, out, r, ERR_BAD_VALUE, "only UTF8 is known");
		else if (!str_is_utf8(s) || memchr(s.ptr, 0, s.len))
			func_fail(ev, out, r, ERR_BAD_VALUE, "the bytes are not UTF-8 text");
		else
			out->s[r] = s;
	}
}

BODY(convert_to)
{
	(void)call;
	EACH_ROW (ev, out, r) {
		if (is_utf8_name(arg_s(&args[1], r)))
			out->s[r] = arg_s(&args[0], r);
		else
			func_fail(ev, out, r, ERR_BAD_VALUE, "only UTF8 is known");
	}
}
