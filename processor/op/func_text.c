/* SPDX-License-Identifier: Apache-2.0 */
/* Text functions that return a slice of their argument or rewrite it in place of equal length.
 * Characters are code points; case is ASCII, as PostgreSQL under "C". */
#include "processor/op/func_list.h"
#include "processor/op/utf8.h"

#define BODY(name)                                                                                 \
	void func_##name(                                                                          \
	    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)

/* ---- lengths --------------------------------------------------------------------------------- */

BODY(text_length)
{
	(void)call;
	EACH_ROW (ev, out, r)
		out->i[r] = (int64_t)utf8_count(arg_s(&args[0], r));
}

BODY(octet_length)
{
	(void)call;
	EACH_ROW (ev, out, r)
		out->i[r] = (int64_t)arg_s(&args[0], r).len;
}

BODY(bit_length)
{
	(void)call;
	EACH_ROW (ev, out, r)
		out->i[r] = (int64_t)arg_s(&args[0], r).len * 8;
}

/* ---- case ------------------------------------------------------------------------------------ */

static bool is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}
static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}
static char to_lower(char c, bool first)
{
	(void)first;
	return is_upper(c) ? (char)(c + 32) : c;
}
static char to_upper(char c, bool first)
{
	(void)first;
	return is_lower(c) ? (char)(c - 32) : c;
}
static char to_title(char c, bool first)
{
	return first ? to_upper(c, true) : to_lower(c, false);
}

/* Rewrites byte by byte; `first` is true at the start of a word (letters and digits). */
static void change_case(
    struct eval *ev, const struct vec *args, struct vec *out, char (*change)(char, bool))
{
	EACH_ROW (ev, out, r) {
		struct str s = arg_s(&args[0], r);
		char *to = func_alloc(ev, s.len);
		if (!to)
			return;
		bool first = true;
		for (size_t i = 0; i < s.len; i++) {
			to[i] = change(s.ptr[i], first);
			first =
			    !is_upper(to[i]) && !is_lower(to[i]) && !(to[i] >= '0' && to[i] <= '9');
		}
		out->s[r] = str_from(to, s.len);
	}
}

BODY(text_lower)
{
	(void)call;
	change_case(ev, args, out, to_lower);
}

BODY(text_upper)
{
	(void)call;
	change_case(ev, args, out, to_upper);
}

BODY(text_initcap)
{
	(void)call;
	change_case(ev, args, out, to_title);
}

BODY(text_reverse)
{
	(void)call;
	EACH_ROW (ev, out, r) {
		struct str s = arg_s(&args[0], r);
		char *to = func_alloc(ev, s.len);
		if (!to)
			return;
		for (size_t i = 0, n; i < s.len; i += n) {
			n = utf8_char_len(str_from(s.ptr + i, s.len - i));
			memcpy(to + s.len - i - n, s.ptr + i, n);
		}
		out->s[r] = str_from(to, s.len);
	}
}

/* ---- slices ---------------------------------------------------------------------------------- */

/* Characters [from, end), 1-based, clipped. */
static struct str slice(struct str s, int64_t from, int64_t end, bool bytes)
{
	if (from < 1)
		from = 1;
	if (end <= from)
		return str_from(s.ptr, 0);
	size_t start = (size_t)from - 1, count = (size_t)(end - from);
	if (bytes) {
		start = start < s.len ? start : s.len;
		return str_from(s.ptr + start, count < s.len - start ? count : s.len - start);
	}
	start = utf8_offset(s, start);
	struct str rest = str_from(s.ptr + start, s.len - start);
	return str_from(rest.ptr, utf8_offset(rest, count));
}

static void substring(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out, bool bytes)
{
	EACH_ROW (ev, out, r) {
		int64_t from = arg_i(&args[1], r), end = INT64_MAX;
		if (call->arg_count == 3) {
			int64_t len = arg_i(&args[2], r);
			if (len < 0) {
				func_fail(ev, out, r, ERR_BAD_VALUE,
				    "negative substring length not allowed");
				continue;
			}
			end = from + len;
		}
		out->s[r] = slice(arg_s(&args[0], r), from, end, bytes);
	}
}

BODY(text_substring)
{
	substring(ev, call, args, out, false);
}

BODY(bytea_substring)
{
	substring(ev, call, args, out, true);
}

BODY(text_left)
{
	(void)call;
	EACH_ROW (ev, out, r) {
		struct str s = arg_s(&args[0], r);
		int64_t n = arg_i(&args[1], r);
		if (n < 0)
			n += (int64_t)utf8_count(s);
		out->s[r] = slice(s, 1, n + 1, false);
	}
}

BODY(text_right)
{
	(void)call;
	EACH_ROW (ev, out, r) {
		struct str s = arg_s(&args[0], r);
		int64_t n = arg_i(&args[1], r), skip = n < 0 ? -n : (int64_t)utf8_count(s) - n;
		out->s[r] = slice(s, skip + 1, INT64_MAX, false);
	}
}

BODY(text_split_part)
{
	(void)call;
	EACH_ROW (ev, out, r) {
		struct str s = arg_s(&args[0], r), by = arg_s(&args[1], r);
		int64_t want = arg_i(&args[2], r);
		if (want == 0) {
			func_fail(ev, out, r, ERR_BAD_VALUE, "field position must not be zero");
			continue;
		}
		if (want < 0) { /* from the end: count the parts first */
			int64_t parts = 1;
			const char *at = s.ptr, *end = s.ptr + s.len, *hit;
			for (; by.len > 0 && s.len > 0 &&
			       (hit = memmem(at, (size_t)(end - at), by.ptr, by.len));
			     at = hit + by.len)
				parts++;
			want += parts + 1;
		}
		const char *at = s.ptr, *end = s.ptr + s.len, *hit = NULL;
		out->s[r] = str_from(s.ptr, 0);
		for (int64_t part = 1; want > 0 && s.len > 0; part++, at = hit + by.len) {
			hit = by.len > 0 ? memmem(at, (size_t)(end - at), by.ptr, by.len) : NULL;
			if (part == want)
				out->s[r] = str_from(at, (size_t)((hit ? hit : end) - at));
			if (part == want || !hit)
				break;
		}
	}
}

/* ---- trim ------------------------------------------------------------------------------------ */

static bool set_has(struct str set, struct str c)
{
	for (size_t i = 0, n; i < set.len; i += n) {
		n = utf8_char_len(str_from(set.ptr + i, set.len - i));
		if (n == c.len && memcmp(set.ptr + i, c.ptr, n) == 0)
			return true;
	}
	return false;
}

enum { FRONT = 1, BACK = 2 };
static void trim(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out, int ends)
{
	bool front = ends & FRONT, back = ends & BACK;
	EACH_ROW (ev, out, r) {
		struct str s = arg_s(&args[0], r),
		           set = call->arg_count == 2 ? arg_s(&args[1], r) : STR(" ");
		while (front && s.len > 0) {
			size_t n = utf8_char_len(s);
			if (!set_has(set, str_from(s.ptr, n)))
				break;
			s = str_from(s.ptr + n, s.len - n);
		}
		while (back && s.len > 0) {
			size_t n = 1;
			while (n < s.len && !utf8_is_lead(s.ptr[s.len - n]))
				n++;
			if (!set_has(set, str_from(s.ptr + s.len - n, n)))
				break;
			s.len -= n;
		}
		out->s[r] = s;
	}
}

BODY(text_btrim)
{
	trim(ev, call, args, out, FRONT | BACK);
}

BODY(text_ltrim)
{
	trim(ev, call, args, out, FRONT);
}

BODY(text_rtrim)
{
	trim(ev, call, args, out, BACK);
}

/* ---- searching ------------------------------------------------------------------------------- */

BODY(text_position)
{
	(void)call;
	EACH_ROW (ev, out, r) {
		struct str s = arg_s(&args[0], r), what = arg_s(&args[1], r);
		const char *hit = s.len >= what.len && what.len > 0
		                      ? memmem(s.ptr, s.len, what.ptr, what.len)
		                      : NULL;
		if (hit)
			out->i[r] = (int64_t)utf8_count(str_from(s.ptr, (size_t)(hit - s.ptr))) + 1;
		else
			out->i[r] = what.len == 0; /* nothing is at the beginning */
	}
}

BODY(text_starts_with)
{
	(void)call;
	EACH_ROW (ev, out, r) {
		struct str s = arg_s(&args[0], r), what = arg_s(&args[1], r);
		out->b[r] = s.len >= what.len && memcmp(s.ptr, what.ptr, what.len) == 0;
	}
}

/* Code point of the first character; 0 for the empty text. */
BODY(text_ascii)
{
	(void)call;
	EACH_ROW (ev, out, r) {
		struct str s = arg_s(&args[0], r);
		unsigned lead = s.len > 0 ? (unsigned char)s.ptr[0] : 0;
		size_t n = s.len > 0 ? utf8_char_len(s) : 0;
		unsigned cp = n <= 1   ? lead
		              : n == 2 ? lead & 0x1f
		              : n == 3 ? lead & 0x0f
		                       : lead & 0x07;
		for (size_t i = 1; i < n; i++)
			cp = cp << 6 | ((unsigned char)s.ptr[i] & 0x3f);
		out->i[r] = cp;
	}
}
