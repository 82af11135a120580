/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LIKE without regular expressions. A constant pattern of the common shapes (abc, abc%, %abc,
 * %abc%) is a comparison or one memmem; the rest runs the usual two-pointer match, which goes back
 * to the last % only, with a limit on steps.
 */
#include "processor/op/func_list.h"
#include "processor/op/utf8.h"

#define BODY(name)                                                                                 \
	void func_##name(                                                                          \
	    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)

enum { LIKE_STEPS_MAX = 10000000 };
enum like_shape { LIKE_GENERAL, LIKE_EXACT, LIKE_PREFIX, LIKE_SUFFIX, LIKE_INSIDE };

struct like {
	struct str pattern;
	enum like_shape shape;
	struct str literal;
	bool fold;
};

static char fold_char(char c, bool fold)
{
	return fold && c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static struct like like_prepare(struct str pattern, bool fold)
{
	struct like l = {.pattern = pattern, .fold = fold};
	struct str s = pattern;
	bool front = s.len > 0 && s.ptr[0] == '%', back = s.len > front && s.ptr[s.len - 1] == '%';
	s = str_from(s.ptr + front, s.len - front - back);
	if (fold || memchr(s.ptr, '%', s.len) || memchr(s.ptr, '_', s.len) ||
	    memchr(s.ptr, '\\', s.len))
		return l;
	l.literal = s;
	l.shape = front && back ? LIKE_INSIDE
	          : front       ? LIKE_SUFFIX
	          : back        ? LIKE_PREFIX
	                        : LIKE_EXACT;
	return l;
}

/* A cursor over the pattern: what it wants at `at`. */
enum want { WANT_END, WANT_ANY_RUN, WANT_ANY_CHAR, WANT_BYTE, WANT_BAD };
static enum want want_at(struct str p, size_t at, char *ret_byte, size_t *ret_next)
{
	if (at == p.len)
		return WANT_END;
	*ret_next = at + 1;
	*ret_byte = p.ptr[at];
	if (p.ptr[at] == '%')
		return WANT_ANY_RUN;
	if (p.ptr[at] == '_')
		return WANT_ANY_CHAR;
	if (p.ptr[at] != '\\')
		return WANT_BYTE;
	if (at + 1 == p.len)
		return WANT_BAD; /* ends with the escape character */
	*ret_byte = p.ptr[at + 1];
	*ret_next = at + 2;
	return WANT_BYTE;
}

static enum err like_general(const struct like *l, struct str s, bool *ret_match)
{
	size_t at = 0, i = 0, after_run = SIZE_MAX, run_from = 0, steps = 0;
	for (;;) {
		char byte = 0;
		size_t next = 0;
		if (++steps > LIKE_STEPS_MAX)
			return ERR_MATCH_LIMIT;
		enum want want = want_at(l->pattern, at, &byte, &next);
		if (want == WANT_BAD && i < s.len)
			return ERR_BAD_VALUE; /* at the end of the text PostgreSQL does not look */
		if (want == WANT_ANY_RUN) {
			at = after_run = next;
			run_from = i;
			continue;
		}
		if (want == WANT_END && i == s.len) {
			*ret_match = true;
			return ERR_OK;
		}
		if (want == WANT_ANY_CHAR && i < s.len) {
			i += utf8_char_len(str_from(s.ptr + i, s.len - i));
			at = next;
			continue;
		}
		if (want == WANT_BYTE && i < s.len &&
		    fold_char(s.ptr[i], l->fold) == fold_char(byte, l->fold)) {
			i++;
			at = next;
			continue;
		}
		if (after_run == SIZE_MAX || run_from >= s.len) {
			*ret_match = false;
			return ERR_OK;
		}
		/* the last % takes one character more */
		run_from += utf8_char_len(str_from(s.ptr + run_from, s.len - run_from));
		i = run_from;
		at = after_run;
	}
}

static enum err like_match(const struct like *l, struct str s, bool *ret_match)
{
	struct str lit = l->literal;
	switch (l->shape) {
	case LIKE_EXACT:
		*ret_match = str_equal(s, lit);
		return ERR_OK;
	case LIKE_PREFIX:
		*ret_match = s.len >= lit.len && memcmp(s.ptr, lit.ptr, lit.len) == 0;
		return ERR_OK;
	case LIKE_SUFFIX:
		*ret_match =
		    s.len >= lit.len && memcmp(s.ptr + s.len - lit.len, lit.ptr, lit.len) == 0;
		return ERR_OK;
	case LIKE_INSIDE:
		*ret_match = lit.len == 0 || memmem(s.ptr, s.len, lit.ptr, lit.len) != NULL;
		return ERR_OK;
	case LIKE_GENERAL:
		break;
	}
	return like_general(l, s, ret_match);
}

static void like(struct eval *ev, const struct vec *args, struct vec *out, bool fold, bool negate)
{
	struct like l = {.pattern = {NULL, 0}};
	EACH_ROW (ev, out, r) {
		struct str pattern = arg_s(&args[1], r);
		bool match = false;
		if (l.pattern.ptr != pattern.ptr || l.pattern.len != pattern.len)
			l = like_prepare(pattern, fold);
		enum err e = like_match(&l, arg_s(&args[0], r), &match);
		if (e == ERR_BAD_VALUE)
			func_fail(ev, out, r, e, "LIKE pattern must not end with escape character");
		else if (e != ERR_OK)
			func_fail(ev, out, r, e, "LIKE pattern takes too many steps");
		else
			out->b[r] = match != negate;
	}
}

BODY(text_like)
{
	(void)call;
	like(ev, args, out, false, false);
}

BODY(text_not_like)
{
	(void)call;
	like(ev, args, out, false, true);
}

BODY(text_ilike)
{
	(void)call;
	like(ev, args, out, true, false);
}

BODY(text_not_ilike)
{
	(void)call;
	like(ev, args, out, true, true);
}

/* LIKE .. ESCAPE: rewrites the pattern to use a backslash. */
BODY(like_escape)
{
	(void)call;
	struct writer w;
	writer_init(&w, FUNC_TEXT_MAX);
	EACH_ROW (ev, out, r) {
		struct str p = arg_s(&args[0], r), escape = arg_s(&args[1], r);
		if (utf8_count(escape) > 1) {
			func_fail(ev, out, r, ERR_BAD_VALUE,
			    "invalid escape string: it must be empty or one character");
			continue;
		}
		bool escaped = false;
		for (size_t i = 0, n; i < p.len; i += n) {
			n = utf8_char_len(str_from(p.ptr + i, p.len - i));
			struct str c = str_from(p.ptr + i, n);
			if (!escaped && escape.len > 0 && str_equal(c, escape)) {
				write_u8(&w, '\\');
				escaped = true;
				continue;
			}
			if (!escaped && str_equal(c, STR("\\")))
				write_u8(&w, '\\');
			write_str(&w, c);
			escaped = false;
		}
		out->s[r] = func_take(ev, out, r, &w);
	}
	writer_release(&w);
}
