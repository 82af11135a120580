/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The request target: path segments and query parameters, percent-decoded one by one, so that an
 * encoded slash stays inside its segment. Only the origin form ("/path?query") is served. A bad
 * escape, an encoded NUL, text that is not UTF-8 or a dot segment makes the whole target bad:
 * nothing is guessed.
 */
#include "door.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The byte of "%hh" at p; -1 when it is malformed or NUL. */
static int unescape(const char *p, size_t left)
{
	if (left < 3)
		return -1;
	int high = hex_digit(p[1]), low = hex_digit(p[2]);
	if (high < 0 || low < 0 || high + low == 0)
		return -1;
	return high << 4 | low;
}

/* Decodes into the arena; `plus` reads '+' as a space (queries). */
static bool decode(struct arena *arena, struct str in, bool plus, struct str *ret_out)
{
	char *out = arena_alloc(arena, in.len + 1);
	if (!out)
		return false;
	size_t len = 0;
	for (size_t i = 0; i < in.len; i++) {
		char c = in.ptr[i];
		if (c == '+' && plus) {
			c = ' ';
		} else if (c == '%') {
			int byte = unescape(in.ptr + i, in.len - i);
			if (byte < 0)
				return false;
			c = (char)byte;
			i += 2;
		}
		out[len++] = c;
	}
	out[len] = '\0';
	*ret_out = str_from(out, len);
	return str_is_utf8(*ret_out);
}

/* Cuts the part before `sep` off *rest; the separator goes too. */
static struct str cut(struct str *rest, char sep)
{
	const char *at = rest->len ? memchr(rest->ptr, sep, rest->len) : NULL;
	size_t len = at ? (size_t)(at - rest->ptr) : rest->len;
	struct str part = str_from(rest->ptr, len);
	size_t skip = at ? len + 1 : len;
	*rest = str_from(rest->ptr + skip, rest->len - skip);
	return part;
}

static bool parse_path(struct http_request *r)
{
	struct str rest = str_from(r->path.ptr + 1, r->path.len - 1);
	bool more = true;
	while (more) {
		more = rest.len && memchr(rest.ptr, '/', rest.len);
		struct str segment;
		if (!decode(&r->arena, cut(&rest, '/'), false, &segment))
			return false;
		if (str_equal(segment, STR(".")) || str_equal(segment, STR("..")))
			return false;
		if (r->segment_count == ROUTE_SEGMENTS_MAX)
			return false;
		r->segment[r->segment_count++] = segment;
	}
	return true;
}

static bool parse_query(struct http_request *r, struct str rest)
{
	while (rest.len) {
		struct str pair = cut(&rest, '&');
		if (!pair.len)
			continue;
		if (r->query_count == HTTP_QUERY_MAX)
			return false;
		struct str name = cut(&pair, '=');
		struct str *entry = r->query[r->query_count++];
		if (!decode(&r->arena, name, true, &entry[0]) ||
		    !decode(&r->arena, pair, true, &entry[1]))
			return false;
	}
	return true;
}

void uri_parse(struct http_request *r)
{
	struct str rest = str_of(r->target);
	r->path = cut(&rest, '?');
	r->bad_target =
	    r->path.len == 0 || r->path.ptr[0] != '/' || !parse_path(r) || !parse_query(r, rest);
}
