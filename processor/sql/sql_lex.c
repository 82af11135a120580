/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bound on depth: libpg_query's output functions and protobuf-c recurse with the tree,
 * about 1.1 KiB of stack per level, and check nothing. A tree cannot be deeper than the tokens that
 * stand open: within one pair of parentheses (or CASE .. END), the tokens since the last separator
 * that makes a flat list (comma, AND, OR, WHEN, THEN, ELSE, semicolon), plus the words that chain
 * over such separators (UNION, INTERSECT, EXCEPT, JOIN, BETWEEN), each counted as a few; summed
 * over the pairs that are open. That counts too much, never too little.
 */
#include "processor/sql/sql_lex.h"

enum {
	LEX_NEST_MAX = 200,   /* parentheses, brackets and CASEs */
	LEX_DEPTH_MAX = 2000, /* tokens open: 2.2 MiB of stack at worst */
	LEX_CHAIN_COST = 4,
	LEX_NAME_MAX = 63, /* PostgreSQL's NAMEDATALEN - 1 */
};

static char at(const struct lex *l, size_t pos)
{
	return pos < l->input.len ? l->input.ptr[pos] : '\0';
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_word_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) != 0;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
	return is_word_start(c) || is_digit(c) || c == '$';
}

static size_t skip_line(const struct lex *l, size_t pos)
{
	while (pos < l->input.len && at(l, pos) != '\n' && at(l, pos) != '\r')
		pos++;
	return pos;
}

/* Comments nest. */
static size_t skip_block(const struct lex *l, size_t pos)
{
	size_t depth = 0;
	while (pos < l->input.len) {
		if (at(l, pos) == '/' && at(l, pos + 1) == '*') {
			depth++;
			pos += 2;
		} else if (at(l, pos) == '*' && at(l, pos + 1) == '/') {
			pos += 2;
			if (--depth == 0)
				return pos;
		} else {
			pos++;
		}
	}
	return pos;
}

static size_t skip_space(const struct lex *l, size_t pos)
{
	for (;;) {
		if (is_space(at(l, pos)) && pos < l->input.len)
			pos++;
		else if (at(l, pos) == '-' && at(l, pos + 1) == '-')
			pos = skip_line(l, pos);
		else if (at(l, pos) == '/' && at(l, pos + 1) == '*')
			pos = skip_block(l, pos);
		else
			return pos;
	}
}

size_t lex_skip_space(struct str input, size_t pos)
{
	struct lex l = {input, pos};
	return skip_space(&l, pos);
}

/* From the opening quote to behind the closing one; the quote doubled stands for itself. */
static size_t skip_quoted(const struct lex *l, size_t pos, bool backslash)
{
	char quote = at(l, pos++);
	while (pos < l->input.len) {
		char c = at(l, pos);
		if (c == '\\' && backslash) {
			pos += 2;
		} else if (c != quote) {
			pos++;
		} else if (at(l, pos + 1) == quote) {
			pos += 2;
		} else {
			return pos + 1;
		}
	}
	return l->input.len;
}

/* 'a' <newline> 'b' is one string, and an escape string stays one: the second part has backslashes
 * too. */
static size_t skip_string(const struct lex *l, size_t pos, bool backslash)
{
	pos = skip_quoted(l, pos, backslash);
	for (;;) {
		size_t next = pos;
		bool newline = false;
		for (;; next++) {
			if (at(l, next) == '-' && at(l, next + 1) == '-')
				next = skip_line(l, next);
			if (next >= l->input.len || !is_space(at(l, next)))
				break;
			newline |= at(l, next) == '\n' || at(l, next) == '\r';
		}
		if (!newline || at(l, next) != '\'')
			return pos;
		pos = skip_quoted(l, next, backslash);
	}
}

/* $tag$ .. $tag$; 0 when `pos` does not open one. */
static size_t skip_dollar(const struct lex *l, size_t pos)
{
	size_t end = pos + 1;
	if (is_digit(at(l, end)))
		return 0;
	while (is_word_start(at(l, end)) || is_digit(at(l, end)))
		end++;
	if (at(l, end) != '$')
		return 0;
	size_t tag = end + 1 - pos;
	for (size_t p = end + 1; p + tag <= l->input.len; p++)
		if (memcmp(l->input.ptr + p, l->input.ptr + pos, tag) == 0)
			return p + tag;
	return l->input.len;
}

static size_t skip_number(const struct lex *l, size_t pos)
{
	while (is_word(at(l, pos)) || at(l, pos) == '.')
		pos++;
	return pos;
}

struct lex_token lex_next(struct lex *l)
{
	size_t start = skip_space(l, l->pos), end = start + 1;
	struct lex_token t = {LEX_SYMBOL, {NULL, 0}, start};
	char c = at(l, start);
	if (start >= l->input.len) {
		t.kind = LEX_END;
		end = start = l->input.len;
	} else if (c == '\'') {
		t.kind = LEX_STRING;
		end = skip_string(l, start, false);
	} else if (c == '"') {
		t.kind = LEX_QUOTED;
		end = skip_quoted(l, start, false);
	} else if (c == '$' && skip_dollar(l, start) != 0) {
		t.kind = LEX_STRING;
		end = skip_dollar(l, start);
	} else if ((c == 'e' || c == 'E') && at(l, start + 1) == '\'') {
		t.kind = LEX_STRING;
		end = skip_string(l, start + 1, true);
	} else if (is_digit(c) || (c == '.' && is_digit(at(l, start + 1)))) {
		t.kind = LEX_NUMBER;
		end = skip_number(l, start);
	} else if (is_word_start(c)) {
		t.kind = LEX_WORD;
		while (is_word(at(l, end)))
			end++;
	}
	t.text = str_from(l->input.ptr + start, end - start);
	l->pos = end;
	return t;
}

bool lex_is(const struct lex_token *t, const char *word)
{
	if (t->kind != LEX_WORD && t->kind != LEX_SYMBOL)
		return false;
	for (size_t i = 0; i < t->text.len; i++) {
		char c = t->text.ptr[i];
		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if (c != word[i]) /* also at the end of `word`: no token has a NUL */
			return false;
	}
	return word[t->text.len] == '\0';
}

int32_t lex_find(struct str input, size_t pos, const char *word)
{
	struct lex l = {input, pos};
	for (;;) {
		struct lex_token t = lex_next(&l);
		if (t.kind == LEX_END)
			return -1;
		if (lex_is(&t, word))
			return (int32_t)t.pos;
	}
}

int32_t lex_find_alias(struct str input, size_t pos, const char *word)
{
	struct lex l = {input, pos};
	bool can = false;
	for (;;) {
		struct lex_token t = lex_next(&l);
		if (t.kind == LEX_END)
			return -1;
		if (can && lex_is(&t, word))
			return (int32_t)t.pos;
		can = t.kind == LEX_WORD || t.kind == LEX_QUOTED || lex_is(&t, ")");
	}
}

bool lex_names_ok(struct str input, size_t *ret_pos)
{
	struct lex l = {input, 0};
	for (;;) {
		struct lex_token t = lex_next(&l);
		size_t len = t.text.len;
		if (t.kind == LEX_END)
			return true;
		for (size_t i = 1; t.kind == LEX_QUOTED && i + 1 < t.text.len; i++)
			if (t.text.ptr[i] == '"' && t.text.ptr[++i] == '"')
				len--; /* doubled: one */
		if (t.kind == LEX_QUOTED && len >= 2)
			len -= 2;
		if ((t.kind == LEX_QUOTED || t.kind == LEX_WORD) && len > LEX_NAME_MAX) {
			*ret_pos = t.pos;
			return false;
		}
	}
}

/* ---- depth ----------------------------------------------------------------------------------- */

struct lex_level {
	uint32_t run;    /* tokens since the last separator */
	uint32_t chains; /* words that chain over separators */
	bool is_case;
};

static bool is_one_of(const struct lex_token *t, const char *const *words)
{
	for (; *words; words++)
		if (lex_is(t, *words))
			return true;
	return false;
}

static uint32_t level_depth(const struct lex_level *level)
{
	return level->run + level->chains * LEX_CHAIN_COST;
}

bool lex_depth_ok(struct str input, size_t *ret_pos)
{
	static const char *const flat[] = {",", ";", "and", "or", "when", "then", "else", NULL};
	static const char *const chain[] = {
	    "union", "intersect", "except", "join", "between", NULL};
	static const char *const open[] = {"(", "[", "case", NULL};
	static const char *const close[] = {")", "]", NULL};
	struct lex_level levels[LEX_NEST_MAX + 1] = {{0, 0, false}};
	uint32_t nest = 0, below = 0; /* below: depth of the levels under this one */
	struct lex l = {input, 0};
	for (;;) {
		struct lex_token t = lex_next(&l);
		struct lex_level *level = &levels[nest];
		if (t.kind == LEX_END)
			return true;
		level->run++;
		level->chains += is_one_of(&t, chain);
		if (is_one_of(&t, flat))
			level->run = 0;
		if (lex_is(&t, ";") && nest == 0)
			level->chains = 0;
		bool ends = is_one_of(&t, close) || (lex_is(&t, "end") && level->is_case);
		bool opens = is_one_of(&t, open);
		if ((opens && nest == LEX_NEST_MAX) || below + level_depth(level) > LEX_DEPTH_MAX) {
			*ret_pos = t.pos;
			return false;
		}
		if (opens) {
			below += level_depth(level);
			levels[++nest] = (struct lex_level){0, 0, lex_is(&t, "case")};
		} else if (ends && nest > 0) {
			nest--;
			below -= level_depth(&levels[nest]);
		}
	}
}
