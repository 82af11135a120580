/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular expressions through PCRE2 with limits on work, depth and memory: a pattern that explodes
 * makes its record a dead letter, never the server slow. As in PostgreSQL a dot matches a newline
 * and $ only the end, unless flag n; other than there alternatives are tried in order and the first
 * match wins, not the longest.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "processor/op/func_list.h"
#include "processor/op/utf8.h"

#include <pcre2.h>

#define BODY(name)                                                                                 \
	void func_##name(                                                                          \
	    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)

enum { MATCH_LIMIT = 250000, DEPTH_LIMIT = 20000, HEAP_LIMIT_KIB = 16384, PATTERN_MAX = 65536 };

/* A compiled pattern, kept while rows bring the same one. */
struct regex {
	struct eval *ev;
	pcre2_general_context *memory;
	pcre2_match_context *limits;
	pcre2_compile_context *compile;
	struct str pattern, flags;
	uint32_t extra; /* options on top of the usual ones */
	uint32_t options;
	bool compiled; /* code is for this pattern; NULL when the pattern is bad */
	bool global;
	pcre2_code *code;
	pcre2_match_data *match;
	char message[96];
};

static void *regex_alloc(size_t len, void *ctx)
{
	(void)ctx;
	return mem_alloc(len);
}
static void regex_free(void *ptr, void *ctx)
{
	(void)ctx;
	mem_free(ptr);
}

static bool regex_init(struct regex *x, struct eval *ev)
{
	*x = (struct regex){.ev = ev};
	x->memory = pcre2_general_context_create(regex_alloc, regex_free, NULL);
	x->limits = x->memory ? pcre2_match_context_create(x->memory) : NULL;
	x->compile = x->memory ? pcre2_compile_context_create(x->memory) : NULL;
	if (!x->limits || !x->compile) {
		ev->fatal = ERR_NOMEM;
		return false;
	}
	pcre2_set_match_limit(x->limits, MATCH_LIMIT);
	pcre2_set_depth_limit(x->limits, DEPTH_LIMIT);
	pcre2_set_heap_limit(x->limits, HEAP_LIMIT_KIB);
	pcre2_set_max_pattern_length(x->compile, PATTERN_MAX);
	return true;
}

static void regex_drop_code(struct regex *x)
{
	pcre2_match_data_free(x->match);
	pcre2_code_free(x->code);
	x->match = NULL;
	x->code = NULL;
	x->compiled = false;
}

static void regex_release(struct regex *x)
{
	regex_drop_code(x);
	pcre2_match_context_free(x->limits);
	pcre2_compile_context_free(x->compile);
	pcre2_general_context_free(x->memory);
}

/* Flag letters of the regexp_ functions; false for an unknown one. */
static bool regex_flags(struct str flags, uint32_t *options, bool *global)
{
	for (size_t i = 0; i < flags.len; i++) {
		switch (flags.ptr[i]) {
		case 'i':
			*options |= PCRE2_CASELESS;
			break;
		case 'c':
			*options &= ~(uint32_t)PCRE2_CASELESS;
			break;
		case 'g':
			*global = true;
			break;
		case 'n':
		case 'm':
			*options &= ~(uint32_t)(PCRE2_DOTALL | PCRE2_DOLLAR_ENDONLY);
			*options |= PCRE2_MULTILINE;
			break;
		case 's':
			*options |= PCRE2_DOTALL | PCRE2_DOLLAR_ENDONLY;
			*options &= ~(uint32_t)PCRE2_MULTILINE;
			break;
		case 'x':
			*options |= PCRE2_EXTENDED;
			break;
		case 'q':
			*options = (*options & PCRE2_CASELESS) | PCRE2_LITERAL | PCRE2_UTF;
			break;
		default:
			return false;
		}
	}
	return true;
}

static void regex_compile(struct regex *x, struct str pattern, struct str flags)
{
	regex_drop_code(x);
	x->pattern = pattern;
	x->flags = flags;
	x->compiled = true;
	x->global = false;
	x->options =
	    PCRE2_UTF | PCRE2_DOTALL | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C | x->extra;
	int code = 0;
	PCRE2_SIZE at = 0;
	if (!regex_flags(flags, &x->options, &x->global)) {
		strncpy(x->message, "invalid regular expression option", sizeof x->message - 1);
	} else {
		x->code = pcre2_compile(
		    (PCRE2_SPTR)pattern.ptr, pattern.len, x->options, &code, &at, x->compile);
		if (!x->code)
			pcre2_get_error_message(code, (PCRE2_UCHAR *)x->message, sizeof x->message);
	}
	if (code == PCRE2_ERROR_HEAP_FAILED || code == PCRE2_ERROR_NOMEMORY)
		x->ev->fatal = ERR_NOMEM;
	x->match = x->code ? pcre2_match_data_create_from_pattern(x->code, x->memory) : NULL;
	if (x->code && !x->match)
		x->ev->fatal = ERR_NOMEM;
}

/* Compiles the row's pattern, unless it is the one of the row before. False after recording the
 * row's error. */
static bool regex_use(
    struct regex *x, struct vec *out, uint32_t row, struct str pattern, struct str flags)
{
	if (!x->compiled || !str_equal(pattern, x->pattern) || !str_equal(flags, x->flags))
		regex_compile(x, pattern, flags);
	if (x->ev->fatal == ERR_OK && !x->code)
		func_fail(
		    x->ev, out, row, ERR_BAD_VALUE, "invalid regular expression: %s", x->message);
	return x->ev->fatal == ERR_OK && x->code;
}

enum found { FOUND, NOT_FOUND, FAILED };
static enum found regex_find(
    struct regex *x, struct vec *out, uint32_t row, struct str s, size_t from)
{
	int rc = pcre2_match(x->code, (PCRE2_SPTR)s.ptr, s.len, from, 0, x->match, x->limits);
	if (rc >= 0)
		return FOUND;
	if (rc == PCRE2_ERROR_NOMATCH)
		return NOT_FOUND;
	if (rc == PCRE2_ERROR_MATCHLIMIT || rc == PCRE2_ERROR_DEPTHLIMIT ||
	    rc == PCRE2_ERROR_HEAPLIMIT)
		func_fail(
		    x->ev, out, row, ERR_MATCH_LIMIT, "regular expression takes too many steps");
	else if (rc == PCRE2_ERROR_NOMEMORY)
		x->ev->fatal = ERR_NOMEM;
	else
		func_fail(x->ev, out, row, ERR_BAD_VALUE,
		    "regular expression cannot be applied: the text is not UTF-8");
	return FAILED;
}

/* Group `group` of the last match; ptr NULL when it took no part. */
static struct str regex_group(const struct regex *x, struct str s, uint32_t group)
{
	const PCRE2_SIZE *at = pcre2_get_ovector_pointer(x->match);
	if (group >= pcre2_get_ovector_count(x->match) || at[2 * group] == PCRE2_UNSET)
		return (struct str){NULL, 0};
	size_t from = at[2 * group], end = at[2 * group + 1];
	/* \K may put the start behind the end */
	return str_from(s.ptr + from, end > from ? end - from : 0);
}

enum { NEGATE = 1, FOLD_CASE = 2 };
static void matches(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out, unsigned how)
{
	struct regex x;
	if (!regex_init(&x, ev)) {
		regex_release(&x);
		return;
	}
	x.extra = how & FOLD_CASE ? PCRE2_CASELESS : 0;
	EACH_ROW (ev, out, r) {
		struct str flags = call->arg_count == 3 ? arg_s(&args[2], r) : STR("");
		if (!regex_use(&x, out, r, arg_s(&args[1], r), flags))
			continue;
		enum found f = regex_find(&x, out, r, arg_s(&args[0], r), 0);
		if (f != FAILED)
			out->b[r] = (f == FOUND) != (how & NEGATE);
	}
	regex_release(&x);
}

BODY(text_regex)
{
	matches(ev, call, args, out, 0);
}

BODY(text_not_regex)
{
	matches(ev, call, args, out, NEGATE);
}

BODY(text_iregex)
{
	matches(ev, call, args, out, FOLD_CASE);
}

BODY(text_not_iregex)
{
	matches(ev, call, args, out, FOLD_CASE | NEGATE);
}

BODY(regexp_like)
{
	matches(ev, call, args, out, 0);
}

/* The first group when the pattern has one and `group_first`, else the whole match; NULL without
 * one. */
static void extract(struct eval *ev, const struct vec *args, struct vec *out, bool group_first)
{
	struct regex x;
	if (!regex_init(&x, ev)) {
		regex_release(&x);
		return;
	}
	EACH_ROW (ev, out, r) {
		struct str s = arg_s(&args[0], r), part = {NULL, 0};
		if (!regex_use(&x, out, r, arg_s(&args[1], r), STR("")))
			continue;
		enum found f = regex_find(&x, out, r, s, 0);
		if (f == FAILED)
			continue;
		if (f == FOUND)
			part =
			    regex_group(&x, s, group_first && pcre2_get_ovector_count(x.match) > 1);
		if (part.ptr)
			out->s[r] = part;
		else
			func_null(ev, out, r);
	}
	regex_release(&x);
}

BODY(regex_substring)
{
	(void)call;
	extract(ev, args, out, true);
}

BODY(regexp_substr)
{
	(void)call;
	extract(ev, args, out, false);
}

/* Where to look next after the match that ended at `end`: an empty match steps one character on. */
static size_t next_start(struct str s, struct str match)
{
	size_t end = (size_t)(match.ptr - s.ptr) + match.len;
	if (match.len > 0)
		return end;
	return end < s.len ? end + utf8_char_len(str_from(s.ptr + end, s.len - end)) : s.len + 1;
}

BODY(regexp_count)
{
	(void)call;
	struct regex x;
	if (!regex_init(&x, ev)) {
		regex_release(&x);
		return;
	}
	EACH_ROW (ev, out, r) {
		struct str s = arg_s(&args[0], r);
		int64_t count = 0;
		enum found f = FOUND;
		if (!regex_use(&x, out, r, arg_s(&args[1], r), STR("")))
			continue;
		for (size_t from = 0;
		     from <= s.len && (f = regex_find(&x, out, r, s, from)) == FOUND; count++)
			from = next_start(s, regex_group(&x, s, 0));
		if (f != FAILED)
			out->i[r] = count;
	}
	regex_release(&x);
}

/* \1..\9 are groups, \& the whole match, \\ a backslash. */
static void write_replacement(
    struct writer *w, const struct regex *x, struct str s, struct str with)
{
	for (size_t i = 0; i < with.len; i++) {
		char c = with.ptr[i];
		if (c != '\\' || i + 1 == with.len) {
			write_u8(w, (uint8_t)c);
			continue;
		}
		c = with.ptr[++i];
		if (c >= '1' && c <= '9')
			write_str(w, regex_group(x, s, (uint32_t)(c - '0')));
		else if (c == '&')
			write_str(w, regex_group(x, s, 0));
		else if (c == '\\')
			write_u8(w, '\\');
		else
			i--, write_u8(w, '\\');
	}
}

static bool replace_row(
    struct regex *x, struct vec *out, uint32_t row, const struct vec *args, struct writer *w)
{
	struct str s = arg_s(&args[0], row), with = arg_s(&args[2], row);
	size_t copied = 0, from = 0;
	while (from <= s.len && w->err == ERR_OK) {
		enum found f = regex_find(x, out, row, s, from);
		if (f == FAILED)
			return false;
		if (f == NOT_FOUND)
			break;
		struct str match = regex_group(x, s, 0);
		size_t at = (size_t)(match.ptr - s.ptr);
		/* \K inside a lookbehind, which could break it, is off in PCRE2 */
		ASSERT(at >= copied);
		write_str(w, str_from(s.ptr + copied, at - copied));
		write_replacement(w, x, s, with);
		copied = at + match.len;
		from = next_start(s, match);
		if (!x->global)
			break;
	}
	write_str(w, str_from(s.ptr + copied, s.len - copied));
	return true;
}

BODY(regexp_replace)
{
	struct regex x;
	struct writer w;
	writer_init(&w, FUNC_TEXT_MAX);
	if (!regex_init(&x, ev)) {
		regex_release(&x);
		return;
	}
	EACH_ROW (ev, out, r) {
		struct str flags = call->arg_count == 4 ? arg_s(&args[3], r) : STR("");
		if (!regex_use(&x, out, r, arg_s(&args[1], r), flags))
			continue;
		if (replace_row(&x, out, r, args, &w))
			out->s[r] = func_take(ev, out, r, &w);
		else
			writer_clear(&w);
	}
	regex_release(&x);
	writer_release(&w);
}
