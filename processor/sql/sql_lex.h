/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A small scanner over SQL text, as PostgreSQL splits it. The grammar itself is libpg_query's; this
 * one exists for what its tree does not tell: how deep a statement nests (before it is parsed),
 * whether a name was quoted, where a bare word stands.
 */
#include "processor/sql/sql.h"

enum lex_kind {
	LEX_END,
	LEX_WORD,   /* unquoted identifier or keyword */
	LEX_QUOTED, /* "identifier" */
	LEX_STRING, /* '..', E'..', $tag$..$tag$ */
	LEX_NUMBER,
	LEX_SYMBOL, /* one character: operators come in pieces */
};
struct lex_token {
	enum lex_kind kind;
	struct str text;
	size_t pos; /* byte position in the input */
};
struct lex {
	struct str input;
	size_t pos;
};

/* The next token; LEX_END at the end, and again after it. Unterminated strings and comments reach
 * to the end. */
struct lex_token lex_next(struct lex *l);
/* Is the token this word, without regard to ASCII case? A quoted identifier never is. */
bool lex_is(const struct lex_token *t, const char *word);
/* Position of the first token at or after `pos`, skipping space and comments; input.len when there
 * is none. */
size_t lex_skip_space(struct str input, size_t pos);
/* Position of the first unquoted `word` at or after `pos`, -1 when there is none. */
int32_t lex_find(struct str input, size_t pos, const char *word);
/* The same, but only where it can be an alias: after a name, a closing parenthesis or AS. */
int32_t lex_find_alias(struct str input, size_t pos, const char *word);
/* False when an identifier is longer than the 63 bytes to which PostgreSQL's scanner would cut it
 * in silence. */
bool lex_names_ok(struct str input, size_t *ret_pos);
/*
 * An upper bound on the depth of the parse tree: parsers and everything that walks the tree recurse
 * about as deep. False when it exceeds what a thread's stack bears; *ret_pos is where. See
 * sql_lex.c for the bound.
 */
bool lex_depth_ok(struct str input, size_t *ret_pos);
