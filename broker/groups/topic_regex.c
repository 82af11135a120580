/* SPDX-License-Identifier: Apache-2.0 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "topic_regex.h"

#include <pcre2.h>

enum {
	WORK_LIMIT = 100000,
	DEPTH_LIMIT = 1000,
	HEAP_LIMIT_KIB = 1024,
	WORKSPACE_INTS = 4096,
	COMPILED_MAX = 1 << 20
};

struct topic_regex {
	pcre2_general_context *memory;
	pcre2_match_context *limits;
	pcre2_code *code;
	pcre2_match_data *match;
	int workspace[WORKSPACE_INTS];
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

/* ---- what RE2 does not have ------------------------------------------------------------------ */

static bool is_one_of(char c, const char *set)
{
	return c && strchr(set, c);
}

/* Behind "(?": a name, or flags and then ':' or ')'. */
static bool is_group_head(const char *p, const char *end)
{
	if (end - p >= 2 && p[0] == 'P' && p[1] == '<')
		return true;
	while (p < end && is_one_of(*p, "imsU-"))
		p++;
	return p < end && (*p == ':' || *p == ')');
}

/* RE2's escapes; letters it does not know it refuses too. */
static bool is_escape(char c)
{
	bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
	bool digit = c >= '0' && c <= '9';
	return letter ? is_one_of(c, "AbBzdDsSwWpPafnrtvxQE") : !digit || c == '0';
}

static size_t quoted_end(struct str s, size_t at)
{
	while (at + 1 < s.len && !(s.ptr[at] == '\\' && s.ptr[at + 1] == 'E'))
		at++;
	return at + 1 < s.len ? at + 2 : s.len;
}

/* Behind an escape at `at`, with the {...} of a class or code point by name. */
static size_t escape_end(struct str s, size_t at)
{
	if (s.ptr[at + 1] == 'Q')
		return quoted_end(s, at + 2);
	if (!is_one_of(s.ptr[at + 1], "pPx") || at + 2 >= s.len || s.ptr[at + 2] != '{')
		return at + 2;
	const char *end = memchr(s.ptr + at, '}', s.len - at);
	return end ? (size_t)(end - s.ptr) + 1 : s.len;
}

/* *at is at a '[': behind the class. Escapes in it are checked. */
static bool skip_class(struct str s, size_t *at)
{
	size_t i = *at + 1;
	if (i < s.len && s.ptr[i] == '^')
		i++;
	if (i < s.len && s.ptr[i] == ']')
		i++;
	for (; i < s.len && s.ptr[i] != ']'; i++) {
		if (s.ptr[i] == '\\' && (++i >= s.len || !is_escape(s.ptr[i])))
			return false;
		if (s.ptr[i] == '[' && i + 1 < s.len && s.ptr[i + 1] == ':') {
			while (i + 1 < s.len && !(s.ptr[i] == ':' && s.ptr[i + 1] == ']'))
				i++;
			i++;
		}
	}
	*at = i + 1;
	return true;
}

/* True when nothing in the pattern is beyond RE2; else *ret_at is where. Whether it is well formed
 * PCRE2 says. */
static bool is_re2(struct str s, size_t *ret_at)
{
	size_t i = 0;
	bool counted =
	    false; /* the last thing was a repetition: "*+" and its like are possessive */
	while (i < s.len) {
		*ret_at = i;
		char c = s.ptr[i];
		bool repeats = is_one_of(c, "*+?") || (c == '}' && i > 0);
		if (counted && c == '+')
			return false;
		counted = repeats;
		if (c == '\\') {
			if (i + 1 >= s.len || !is_escape(s.ptr[i + 1]))
				return false;
			i = escape_end(s, i);
		} else if (c == '[') {
			if (!skip_class(s, &i))
				return false;
		} else if (c == '(' && i + 1 < s.len && is_one_of(s.ptr[i + 1], "?*")) {
			if (s.ptr[i + 1] == '*' || !is_group_head(s.ptr + i + 2, s.ptr + s.len))
				return false;
			i += 2;
		} else {
			i++;
		}
	}
	return true;
}

/* ---- compiling and matching ------------------------------------------------------------------ */

static enum err compile(struct topic_regex *x, struct str pattern)
{
	int code = 0;
	PCRE2_SIZE at = 0;
	size_t size = 0;
	pcre2_compile_context *context = pcre2_compile_context_create(x->memory);
	if (!context)
		return ERR_NOMEM;
	pcre2_set_parens_nest_limit(context, 100);
	x->code = pcre2_compile((PCRE2_SPTR)pattern.ptr, pattern.len,
	    PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C |
	        PCRE2_NO_AUTO_CAPTURE | PCRE2_DOLLAR_ENDONLY,
	    &code, &at, context);
	pcre2_compile_context_free(context);
	if (!x->code) {
		char text[96] = "";
		pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof text);
		return err_note(ERR_INVALID_REGEX, "%s at byte %zu", text, (size_t)at);
	}
	if (pcre2_pattern_info(x->code, PCRE2_INFO_SIZE, &size) != 0 || size > COMPILED_MAX)
		return err_note(ERR_INVALID_REGEX, "the expression is too large");
	x->match = pcre2_match_data_create_from_pattern(x->code, x->memory);
	return x->match ? ERR_OK : ERR_NOMEM;
}

enum err topic_regex_new(struct str pattern, struct topic_regex **ret_regex)
{
	size_t at = 0;
	if (!str_is_utf8(pattern))
		return err_note(ERR_INVALID_REGEX, "the expression is not UTF-8");
	if (!is_re2(pattern, &at))
		return err_note(ERR_INVALID_REGEX, "not in RE2's syntax at byte %zu", at);
	struct topic_regex *x = mem_calloc(1, sizeof(*x));
	if (!x)
		return ERR_NOMEM;
	x->memory = pcre2_general_context_create(regex_alloc, regex_free, NULL);
	x->limits = x->memory ? pcre2_match_context_create(x->memory) : NULL;
	enum err e = ERR_NOMEM;
	if (x->limits) {
		pcre2_set_match_limit(x->limits, WORK_LIMIT);
		pcre2_set_depth_limit(x->limits, DEPTH_LIMIT);
		pcre2_set_heap_limit(x->limits, HEAP_LIMIT_KIB);
		e = compile(x, pattern);
	}
	if (e != ERR_OK) {
		topic_regex_free(x);
		return e;
	}
	*ret_regex = x;
	return ERR_OK;
}

void topic_regex_free(struct topic_regex *x)
{
	if (!x)
		return;
	pcre2_match_data_free(x->match);
	pcre2_code_free(x->code);
	pcre2_match_context_free(x->limits);
	pcre2_general_context_free(x->memory);
	mem_free(x);
}

enum err topic_regex_match(struct topic_regex *x, struct str name, bool *ret_matches)
{
	int rc = pcre2_dfa_match(x->code, (PCRE2_SPTR)name.ptr, name.len, 0, 0, x->match, x->limits,
	    x->workspace, WORKSPACE_INTS);
	if (rc == PCRE2_ERROR_NOMEMORY)
		return ERR_NOMEM;
	if (rc < 0 && rc != PCRE2_ERROR_NOMATCH)
		return err_note(ERR_INVALID_REGEX, "the expression takes too much work");
	*ret_matches = rc >= 0;
	return ERR_OK;
}
