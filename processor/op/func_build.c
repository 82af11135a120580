/* SPDX-License-Identifier: Apache-2.0 */
/* Text functions that build new text, within func_text_limit. */
#include "processor/op/func_list.h"
#include "processor/op/utf8.h"

#include <stdio.h>

#define BODY(name)                                                                                 \
	void func_##name(                                                                          \
	    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)

static void too_long(struct eval *ev, struct vec *out, uint32_t row, size_t limit)
{
	func_fail(ev, out, row, ERR_LIMIT, "text would be longer than %zu bytes", limit);
}

/* ---- joining --------------------------------------------------------------------------------- */

BODY(text_concat)
{
	(void)call;
	EACH_ROW (ev, out, r) {
		struct str a = arg_s(&args[0], r), b = arg_s(&args[1], r);
		if (a.len + b.len > FUNC_TEXT_MAX) {
			too_long(ev, out, r, FUNC_TEXT_MAX);
			continue;
		}
		char *to = func_alloc(ev, a.len + b.len);
		if (!to)
			return;
		memcpy(to, a.ptr, a.len);
		memcpy(to + a.len, b.ptr, b.len);
		out->s[r] = str_from(to, a.len + b.len);
	}
}

/* The value as `||` and concat print it: a boolean as in its cast for ||, as output for concat. */
static void write_value(struct writer *w, const struct vec *v, uint32_t row, bool cast)
{
	struct datum d = vec_get(v, row);
	if (cast && v->type.id == TYPE_BOOL)
		write_cstr(w, d.b ? "true" : "false");
	else
		datum_to_text(w, v->type.id, d);
}

BODY(any_concat)
{
	(void)call;
	struct writer w;
	writer_init(&w, FUNC_TEXT_MAX);
	EACH_ROW (ev, out, r) {
		write_value(&w, &args[0], r, true);
		write_value(&w, &args[1], r, true);
		out->s[r] = func_take(ev, out, r, &w);
	}
	writer_release(&w);
}

/* NULL arguments are skipped; the separator is only between those that are there. */
static void join(struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out,
    bool separated)
{
	struct writer w;
	writer_init(&w, FUNC_TEXT_MAX);
	EACH_ROW (ev, out, r) {
		w.limit = func_text_limit(call, args, r);
		if (separated && vec_is_null(&args[0], r)) {
			func_null(ev, out, r);
			continue;
		}
		bool first = true;
		for (uint32_t a = separated; a < call->arg_count; a++) {
			if (vec_is_null(&args[a], r))
				continue;
			if (separated && !first)
				write_str(&w, arg_s(&args[0], r));
			write_value(&w, &args[a], r, false);
			first = false;
		}
		out->s[r] = func_take(ev, out, r, &w);
	}
	writer_release(&w);
}

BODY(concat)
{
	join(ev, call, args, out, false);
}

BODY(concat_ws)
{
	join(ev, call, args, out, true);
}

BODY(text_repeat)
{
	EACH_ROW (ev, out, r) {
		struct str s = arg_s(&args[0], r);
		int64_t n = arg_i(&args[1], r);
		size_t times = n > 0 && s.len > 0 ? (size_t)n : 0;
		size_t limit = func_text_limit(call, args, r);
		if (times > 0 && times > limit / s.len) {
			too_long(ev, out, r, limit);
			continue;
		}
		char *to = func_alloc(ev, times * s.len);
		if (!to)
			return;
		for (size_t i = 0; i < times; i++)
			memcpy(to + i * s.len, s.ptr, s.len);
		out->s[r] = str_from(to, times * s.len);
	}
}

/* ---- padding --------------------------------------------------------------------------------- */

static void pad(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out, bool left)
{
	struct writer w;
	writer_init(&w, FUNC_TEXT_MAX);
	EACH_ROW (ev, out, r) {
		w.limit = func_text_limit(call, args, r);
		struct str s = arg_s(&args[0], r),
		           fill = call->arg_count == 3 ? arg_s(&args[2], r) : STR(" ");
		int64_t want = arg_i(&args[1], r) > 0 ? arg_i(&args[1], r) : 0;
		int64_t have = (int64_t)utf8_count(s), fill_chars = (int64_t)utf8_count(fill);
		if (have >= want || fill.len == 0) {
			out->s[r] = str_from(s.ptr, utf8_offset(s, (size_t)want));
			continue;
		}
		if (!left)
			write_str(&w, s);
		for (int64_t missing = want - have; missing > 0 && w.err == ERR_OK;
		     missing -= fill_chars)
			write_str(&w, missing >= fill_chars
			                  ? fill
			                  : str_from(fill.ptr, utf8_offset(fill, (size_t)missing)));
		if (left)
			write_str(&w, s);
		out->s[r] = func_take(ev, out, r, &w);
	}
	writer_release(&w);
}

BODY(text_lpad)
{
	pad(ev, call, args, out, true);
}

BODY(text_rpad)
{
	pad(ev, call, args, out, false);
}

/* ---- replacing ------------------------------------------------------------------------------- */

BODY(text_replace)
{
	struct writer w;
	writer_init(&w, FUNC_TEXT_MAX);
	EACH_ROW (ev, out, r) {
		w.limit = func_text_limit(call, args, r);
		struct str s = arg_s(&args[0], r), from = arg_s(&args[1], r),
		           to = arg_s(&args[2], r);
		const char *at = s.ptr, *end = s.ptr + s.len, *hit;
		out->s[r] = s;
		if (from.len == 0 || !memmem(s.ptr, s.len, from.ptr, from.len))
			continue;
		for (; (hit = memmem(at, (size_t)(end - at), from.ptr, from.len));
		     at = hit + from.len) {
			write_str(&w, str_from(at, (size_t)(hit - at)));
			write_str(&w, to);
		}
		write_str(&w, str_from(at, (size_t)(end - at)));
		out->s[r] = func_take(ev, out, r, &w);
	}
	writer_release(&w);
}

/* Number of the character in `set`, -1 when it is not there. */
static int64_t index_in(struct str set, struct str c)
{
	int64_t index = 0;
	for (size_t i = 0, n; i < set.len; i += n, index++) {
		n = utf8_char_len(str_from(set.ptr + i, set.len - i));
		if (n == c.len && memcmp(set.ptr + i, c.ptr, n) == 0)
			return index;
	}
	return -1;
}

BODY(text_translate)
{
	struct writer w;
	writer_init(&w, FUNC_TEXT_MAX);
	EACH_ROW (ev, out, r) {
		w.limit = func_text_limit(call, args, r);
		struct str s = arg_s(&args[0], r), from = arg_s(&args[1], r),
		           to = arg_s(&args[2], r);
		for (size_t i = 0, n; i < s.len; i += n) {
			n = utf8_char_len(str_from(s.ptr + i, s.len - i));
			struct str c = str_from(s.ptr + i, n);
			int64_t index = index_in(from, c);
			if (index >= 0) { /* the character at the same place, or nothing */
				size_t at = utf8_offset(to, (size_t)index);
				c = str_from(to.ptr + at, to.len - at);
				c.len = c.len > 0 ? utf8_char_len(c) : 0;
			}
			write_str(&w, c);
		}
		out->s[r] = func_take(ev, out, r, &w);
	}
	writer_release(&w);
}

BODY(text_overlay)
{
	struct writer w;
	writer_init(&w, FUNC_TEXT_MAX);
	EACH_ROW (ev, out, r) {
		w.limit = func_text_limit(call, args, r);
		struct str s = arg_s(&args[0], r), with = arg_s(&args[1], r);
		int64_t from = arg_i(&args[2], r),
		        len = call->arg_count == 4 ? arg_i(&args[3], r) : (int64_t)utf8_count(with);
		if (from <= 0) {
			func_fail(
			    ev, out, r, ERR_BAD_VALUE, "negative substring length not allowed");
			continue;
		}
		int64_t resume = from - 1 + len > 0 ? from - 1 + len : 0;
		size_t cut = utf8_offset(s, (size_t)(from - 1)),
		       again = utf8_offset(s, (size_t)resume);
		write_str(&w, str_from(s.ptr, cut));
		write_str(&w, with);
		write_str(&w, str_from(s.ptr + again, s.len - again));
		out->s[r] = func_take(ev, out, r, &w);
	}
	writer_release(&w);
}

/* ---- characters and numbers ------------------------------------------------------------------ */

BODY(text_chr)
{
	(void)call;
	EACH_ROW (ev, out, r) {
		int64_t cp = arg_i(&args[0], r);
		char *to = func_alloc(ev, 4);
		if (!to)
			return;
		if (cp <= 0 || cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000)) {
			func_fail(ev, out, r, ERR_BAD_VALUE, "no character has code %ld", cp);
			continue;
		}
		size_t n = 0;
		if (cp < 0x80) {
			to[n++] = (char)cp;
		} else {
			int tail = cp < 0x800 ? 1 : cp < 0x10000 ? 2 : 3;
			to[n++] = (char)((tail == 1      ? 0xc0
			                     : tail == 2 ? 0xe0
			                                 : 0xf0) |
			                 cp >> (6 * tail));
			while (tail-- > 0)
				to[n++] = (char)(0x80 | (cp >> (6 * tail) & 0x3f));
		}
		out->s[r] = str_from(to, n);
	}
}

static void to_hex(struct eval *ev, const struct vec *args, struct vec *out, uint64_t mask)
{
	EACH_ROW (ev, out, r) {
		char *to = func_alloc(ev, 20);
		if (!to)
			return;
		int n = snprintf(to, 20, "%lx", (uint64_t)arg_i(&args[0], r) & mask);
		out->s[r] = str_from(to, (size_t)n);
	}
}

BODY(int4_to_hex)
{
	(void)call;
	to_hex(ev, args, out, UINT32_MAX);
}

BODY(int8_to_hex)
{
	(void)call;
	to_hex(ev, args, out, UINT64_MAX);
}
