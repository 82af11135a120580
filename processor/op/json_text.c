/* SPDX-License-Identifier: Apache-2.0 */
#include "processor/op/json_text.h"

struct cursor {
	const char *at, *end;
};

static void skip_blanks(struct cursor *c)
{
	while (
	    c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\n' || *c->at == '\r'))
		c->at++;
}

static bool take(struct cursor *c, char want)
{
	if (c->at == c->end || *c->at != want)
		return false;
	c->at++;
	return true;
}

/* From the opening quote to behind the closing one; escapes are only stepped over. */
static bool skip_string(struct cursor *c)
{
	if (!take(c, '"'))
		return false;
	while (c->at < c->end) {
		unsigned char ch = (unsigned char)*c->at++;
		if (ch == '"')
			return true;
		if (ch < 0x20)
			return false;
		if (ch == '\\' && c->at++ == c->end)
			return false;
	}
	return false;
}

static bool is_digit(const struct cursor *c)
{
	return c->at < c->end && *c->at >= '0' && *c->at <= '9';
}

static bool skip_digits(struct cursor *c)
{
	const char *from = c->at;
	while (is_digit(c))
		c->at++;
	return c->at > from;
}

static bool skip_number(struct cursor *c)
{
	take(c, '-');
	if (!take(c, '0') && !skip_digits(c))
		return false;
	if (take(c, '.') && !skip_digits(c))
		return false;
	if (take(c, 'e') || take(c, 'E')) {
		if (!take(c, '-'))
			take(c, '+');
		return skip_digits(c);
	}
	return true;
}

static bool skip_word(struct cursor *c, const char *word)
{
	size_t len = strlen(word);
	if ((size_t)(c->end - c->at) < len || memcmp(c->at, word, len) != 0)
		return false;
	c->at += len;
	return true;
}

static bool skip_scalar(struct cursor *c)
{
	if (c->at == c->end)
		return false;
	switch (*c->at) {
	case '"':
		return skip_string(c);
	case 't':
		return skip_word(c, "true");
	case 'f':
		return skip_word(c, "false");
	case 'n':
		return skip_word(c, "null");
	default:
		return skip_number(c);
	}
}

/* Key and colon of an object's member. */
static bool skip_key(struct cursor *c)
{
	skip_blanks(c);
	if (!skip_string(c))
		return false;
	skip_blanks(c);
	return take(c, ':');
}

/* After a value: climbs out of what it closes. Returns false on malformed text; *depth 0 = done. */
static bool close_levels(struct cursor *c, const char *open, int *depth)
{
	while (*depth > 0) {
		char closing = open[*depth - 1] == '{' ? '}' : ']';
		skip_blanks(c);
		if (take(c, ','))
			return closing == ']' || skip_key(c);
		if (!take(c, closing))
			return false;
		(*depth)--;
	}
	return true;
}

/* One whole value. No recursion: what is open stands in a small array. */
static bool skip_value(struct cursor *c)
{
	char open[JSON_DEPTH_MAX];
	int depth = 0;
	do {
		skip_blanks(c);
		if (c->at < c->end && (*c->at == '{' || *c->at == '[')) {
			if (depth == JSON_DEPTH_MAX)
				return false;
			open[depth++] = *c->at++;
			skip_blanks(c);
			if (take(c, open[depth - 1] == '{' ? '}' : ']')) {
				depth--;
			} else {
				if (open[depth - 1] == '{' && !skip_key(c))
					return false;
				continue;
			}
		} else if (!skip_scalar(c)) {
			return false;
		}
		if (!close_levels(c, open, &depth))
			return false;
	} while (depth > 0);
	return true;
}

/* ---- strings --------------------------------------------------------------------------------- */

static int hex4(const char *at, const char *end)
{
	int v = 0;
	if (end - at < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		char ch = at[i];
		int digit = ch >= '0' && ch <= '9'                 ? ch - '0'
		            : (ch | 32) >= 'a' && (ch | 32) <= 'f' ? (ch | 32) - 'a' + 10
		                                                   : -1;
		if (digit < 0)
			return -1;
		v = v * 16 + digit;
	}
	return v;
}

static char *put_utf8(char *to, int cp)
{
	if (cp < 0x80) {
		*to++ = (char)cp;
		return to;
	}
	if (cp < 0x800) {
		*to++ = (char)(0xc0 | cp >> 6);
	} else {
		if (cp < 0x10000) {
			*to++ = (char)(0xe0 | cp >> 12);
		} else {
			*to++ = (char)(0xf0 | cp >> 18);
			*to++ = (char)(0x80 | (cp >> 12 & 0x3f));
		}
		*to++ = (char)(0x80 | (cp >> 6 & 0x3f));
	}
	*to++ = (char)(0x80 | (cp & 0x3f));
	return to;
}

/* The code point after "\u", surrogate pairs joined; -1 for NUL, lone surrogates and bad digits. */
static int take_code_point(const char **at, const char *end)
{
	int cp = hex4(*at, end);
	if (cp <= 0 || (cp >= 0xdc00 && cp < 0xe000))
		return -1;
	*at += 4;
	if (cp < 0xd800 || cp >= 0xe000)
		return cp;
	if (end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u')
		return -1;
	int low = hex4(*at + 2, end);
	if (low < 0xdc00 || low >= 0xe000)
		return -1;
	*at += 6;
	return 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
}

/* `s` is between the quotes; `to` has room for s.len bytes (unescaping never grows). Returns the
 * end, NULL when malformed. */
static char *unescape(struct str s, char *to)
{
	static const char from[] = "\"\\/bfnrt", plain[] = "\"\\/\b\f\n\r\t";
	const char *at = s.ptr, *end = s.ptr + s.len;
	while (at < end) {
		if (*at != '\\') {
			*to++ = *at++;
			continue;
		}
		if (++at == end)
			return NULL;
		char kind = *at++;
		const char *simple = kind ? strchr(from, kind) : NULL;
		if (simple) {
			*to++ = plain[simple - from];
			continue;
		}
		int cp = kind == 'u' ? take_code_point(&at, end) : -1;
		if (cp < 0)
			return NULL;
		to = put_utf8(to, cp);
	}
	return to;
}

static bool string_is_valid(struct str s)
{
	char small[256];
	if (!str_is_utf8(s))
		return false;
	if (!memchr(s.ptr, '\\', s.len))
		return true;
	char *buf = s.len <= sizeof small ? small : mem_alloc(s.len);
	bool ok = buf && unescape(s, buf);
	if (buf != small)
		mem_free(buf);
	return ok;
}

/* ---- questions ------------------------------------------------------------------------------- */

bool json_text_valid(struct str doc)
{
	struct cursor c = {doc.ptr, doc.ptr + doc.len};
	if (!skip_value(&c))
		return false;
	skip_blanks(&c);
	if (c.at != c.end)
		return false;
	/* the structure holds: now each string, keys too */
	for (c.at = doc.ptr; (c.at = memchr(c.at, '"', (size_t)(c.end - c.at)));) {
		const char *from = c.at + 1;
		if (!skip_string(&c) || !string_is_valid(str_from(from, (size_t)(c.at - 1 - from))))
			return false;
	}
	return true;
}

enum json_text_kind json_text_kind(struct str doc)
{
	struct cursor c = {doc.ptr, doc.ptr + doc.len};
	skip_blanks(&c);
	if (c.at == c.end)
		return JSON_TEXT_NONE;
	switch (*c.at) {
	case '{':
		return JSON_TEXT_OBJECT;
	case '[':
		return JSON_TEXT_ARRAY;
	case '"':
		return JSON_TEXT_STRING;
	case 't':
	case 'f':
		return JSON_TEXT_BOOL;
	case 'n':
		return JSON_TEXT_NULL;
	default:
		return JSON_TEXT_NUMBER;
	}
}

static bool key_matches(struct str raw, struct str key)
{
	char small[256];
	if (!memchr(raw.ptr, '\\', raw.len))
		return str_equal(raw, key);
	char *buf = raw.len <= sizeof small ? small : mem_alloc(raw.len);
	char *end = buf ? unescape(raw, buf) : NULL;
	bool same = end && str_equal(str_from(buf, (size_t)(end - buf)), key);
	if (buf != small)
		mem_free(buf);
	return same;
}

struct str json_text_member(struct str doc, struct str key)
{
	struct cursor c = {doc.ptr, doc.ptr + doc.len};
	struct str found = {NULL, 0};
	skip_blanks(&c);
	if (!take(&c, '{'))
		return found;
	skip_blanks(&c);
	while (c.at < c.end && *c.at == '"') {
		const char *name = c.at + 1;
		if (!skip_string(&c))
			break;
		struct str raw = str_from(name, (size_t)(c.at - 1 - name));
		skip_blanks(&c);
		if (!take(&c, ':'))
			break;
		skip_blanks(&c);
		const char *value = c.at;
		if (!skip_value(&c))
			break;
		if (key_matches(raw, key))
			found = str_from(value, (size_t)(c.at - value));
		skip_blanks(&c);
		if (!take(&c, ','))
			break;
		skip_blanks(&c);
	}
	return found;
}

/* The element number `index`, or the count of all when index < 0. */
static int64_t walk_array(struct str doc, int64_t index, struct str *ret_element)
{
	struct cursor c = {doc.ptr, doc.ptr + doc.len};
	int64_t n = 0;
	skip_blanks(&c);
	if (!take(&c, '['))
		return 0;
	skip_blanks(&c);
	while (c.at < c.end && *c.at != ']') {
		const char *value = c.at;
		if (!skip_value(&c))
			break;
		if (n++ == index) {
			*ret_element = str_from(value, (size_t)(c.at - value));
			break;
		}
		skip_blanks(&c);
		if (!take(&c, ','))
			break;
		skip_blanks(&c);
	}
	return n;
}

int64_t json_text_length(struct str array)
{
	return walk_array(array, -1, NULL);
}

struct str json_text_element(struct str doc, int64_t index)
{
	struct str found = {NULL, 0};
	if (index < 0)
		index += json_text_length(doc);
	if (index >= 0)
		walk_array(doc, index, &found);
	return found;
}

enum err json_text_as_text(struct arena *a, struct str value, struct str *ret_text)
{
	enum json_text_kind kind = json_text_kind(value);
	if (kind == JSON_TEXT_NULL || kind == JSON_TEXT_NONE) {
		*ret_text = (struct str){NULL, 0};
		return ERR_OK;
	}
	if (kind != JSON_TEXT_STRING) {
		*ret_text = value;
		return ERR_OK;
	}
	struct cursor c = {value.ptr, value.ptr + value.len};
	skip_blanks(&c);
	const char *from = c.at + 1;
	if (!skip_string(&c))
		return ERR_BAD_VALUE;
	struct str raw = str_from(from, (size_t)(c.at - 1 - from));
	if (memchr(raw.ptr, '\\', raw.len)) {
		char *buf = arena_alloc(a, raw.len);
		if (!buf)
			return ERR_NOMEM;
		char *end = unescape(raw, buf);
		if (!end)
			return ERR_BAD_VALUE;
		raw = str_from(buf, (size_t)(end - buf));
	}
	*ret_text = raw;
	return ERR_OK;
}

void json_text_quote(struct writer *w, struct str s)
{
	write_u8(w, '"');
	size_t from = 0;
	for (size_t i = 0; i < s.len; i++) {
		unsigned char ch = (unsigned char)s.ptr[i];
		const char *escape = ch == '"'    ? "\\\""
		                     : ch == '\\' ? "\\\\"
		                     : ch == '\n' ? "\\n"
		                     : ch == '\t' ? "\\t"
		                     : ch == '\r' ? "\\r"
		                     : ch == '\b' ? "\\b"
		                     : ch == '\f' ? "\\f"
		                                  : NULL;
		if (!escape && ch >= 0x20)
			continue;
		write_str(w, str_from(s.ptr + from, i - from));
		if (escape)
			write_cstr(w, escape);
		else
			write_printf(w, "\\u%04x", ch);
		from = i + 1;
	}
	write_str(w, str_from(s.ptr + from, s.len - from));
	write_u8(w, '"');
}
