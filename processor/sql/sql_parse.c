/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text -> statements. Text is checked before libpg_query sees it (length, UTF-8, NUL, depth: see
 * sql_lex.c), because its parser takes a C string and recurses without a limit. The tree is
 * unpacked into the script's arena, so nothing of it is freed piece by piece.
 *
 * libpg_query keeps one memory context per thread; a thread-exit destructor frees it. Never call
 * pg_query_exit.
 */
#include "processor/sql/sql_parse.h"

#include "processor/sql/sql_lex.h"

#include <pg_query.h>

/* A node of 2 bytes of text takes about 300 bytes: 10 MiB for the longest text. */
#define PARSE_ARENA_MAX (64 * MIB)

/* Byte position of the first character that is not UTF-8; text.len = none. */
static size_t first_bad_character(struct str text)
{
	size_t pos = 0, len = 0;
	for (; pos < text.len; pos += len) {
		for (len = 1; len < 4 && pos + len < text.len; len++)
			if (((uint8_t)text.ptr[pos + len] & 0xc0) != 0x80)
				break;
		if (!str_is_utf8(str_from(text.ptr + pos, len)))
			return pos;
	}
	return pos;
}

static enum err refuse_text(struct binder *b, struct str text)
{
	if (text.len > SQL_TEXT_MAX)
		return bind_fail(b, -1, ERR_LIMIT, "SQL text of %zu bytes: the limit is %d",
		    text.len, SQL_TEXT_MAX);
	const char *nul = text.len ? memchr(text.ptr, '\0', text.len) : NULL;
	if (nul)
		return bind_fail(
		    b, (int32_t)(nul - text.ptr), ERR_SQL_SYNTAX, "SQL text contains a NUL byte");
	size_t pos = first_bad_character(text);
	if (pos < text.len)
		return bind_fail(b, (int32_t)pos, ERR_SQL_SYNTAX, "SQL text is not valid UTF-8");
	if (!lex_depth_ok(text, &pos))
		return bind_fail(b, (int32_t)pos, ERR_LIMIT, "the statement nests too deeply");
	if (!lex_names_ok(text, &pos))
		return bind_fail(b, (int32_t)pos, ERR_LIMIT, "a name is longer than 63 bytes");
	return ERR_OK;
}

/* libpg_query gives a position in characters, 1-based, 0 = none. */
static int32_t byte_position(struct str text, int chars)
{
	if (chars <= 0)
		return -1;
	int seen = 0;
	for (size_t i = 0; i < text.len; i++)
		if (((uint8_t)text.ptr[i] & 0xc0) != 0x80 && ++seen == chars)
			return (int32_t)i;
	return (int32_t)text.len;
}

/* Statements of other dialects that people will type. */
static void hint_foreign(struct binder *b, struct str text)
{
	static const struct {
		const char *word, *hint;
	} words[] = {
	    {"watermark", "write WITH (event_time = column, watermark_delay = '5 s')"},
	    {"emit", "write WITH (emit = update) after the view's name"},
	    {"replace", "there is no OR REPLACE: write WITH (version = n) for a new version beside "
	                "the live one"},
	    {"source", "write CREATE TABLE name (columns) WITH (topic = '...')"},
	    {"sink", "sinks are publications: CREATE PUBLICATION name FOR TABLE view WITH (...)"},
	    {"qualify", "filter in an outer SELECT"},
	    {"descriptor", "write FROM tumble(relation, column, interval '1 minute')"},
	    {"tumbling", "write FROM tumble(relation, column, interval '1 minute')"},
	    {"anti", "write NOT EXISTS"},
	    {"semi", "write EXISTS"},
	    {"asof", "as-of joins are JOIN as_of(table, time)"},
	    {"user", "user is a reserved word: write \"user\""},
	    {"offset", "offset is a reserved word: write \"offset\", or _offset for the record's"},
	};
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (lex_find(text, 0, words[i].word) >= 0) {
			bind_hint(b, "%s", words[i].hint);
			return;
		}
}

static enum err syntax_error(struct binder *b, const PgQueryError *e, struct str text)
{
	bool memory = e->message && strstr(e->message, "out of memory") != NULL;
	if (!memory)
		hint_foreign(b, text);
	return bind_fail(b, byte_position(text, e->cursorpos), memory ? ERR_NOMEM : ERR_SQL_SYNTAX,
	    "%s", e->message ? e->message : "syntax error");
}

static void *unpack_alloc(void *arena, size_t len)
{
	return arena_alloc(arena, len);
}

static void unpack_free(void *arena, void *ptr)
{
	(void)arena;
	(void)ptr;
}

static enum err parse_tree(struct binder *b, struct str text, PgQuery__ParseResult **ret_tree)
{
	char *cstr = arena_cstr(b->arena, text);
	if (!cstr)
		return bind_nomem(b);
	PgQueryProtobufParseResult result = pg_query_parse_protobuf(cstr);
	enum err err = ERR_OK;
	if (result.error) {
		err = syntax_error(b, result.error, text);
	} else {
		ProtobufCAllocator allocator = {unpack_alloc, unpack_free, b->arena};
		*ret_tree = pg_query__parse_result__unpack(
		    &allocator, result.parse_tree.len, (const uint8_t *)result.parse_tree.data);
		err = *ret_tree ? ERR_OK : bind_nomem(b);
	}
	pg_query_free_protobuf_parse_result(result);
	return err;
}

enum err sql_tree(struct binder *b, struct str text, PgQuery__ParseResult **ret_tree)
{
	TRY(refuse_text(b, text));
	return parse_tree(b, text, ret_tree);
}

static enum err parse_statements(struct binder *b, struct sql_script *script, struct str text)
{
	PgQuery__ParseResult *tree = NULL;
	TRY(sql_tree(b, text, &tree));
	script->parse = tree;
	script->statements = bind_alloc(b, tree->n_stmts, sizeof *script->statements);
	if (!script->statements)
		return bind_nomem(b);
	for (size_t i = 0; i < tree->n_stmts; i++) {
		const PgQuery__RawStmt *raw = tree->stmts[i];
		size_t end =
		    raw->stmt_len > 0 ? (size_t)(raw->stmt_location + raw->stmt_len) : text.len;
		size_t start = lex_skip_space(text, (size_t)raw->stmt_location);
		struct sql_statement *s = &script->statements[script->count];
		s->start = (int32_t)start;
		s->text = str_from(text.ptr + start, end - start);
		while (s->text.len && strchr(" \t\r\n\f\v", s->text.ptr[s->text.len - 1]))
			s->text.len--;
		TRY(sql_classify(b, raw->stmt, s));
		script->count++;
	}
	return ERR_OK;
}

enum err sql_parse(struct str text, struct sql_script *ret_script, struct sql_error *ret_error)
{
	struct sql_script script = {.count = 0};
	memset(ret_error, 0, sizeof *ret_error);
	arena_init(&script.arena, PARSE_ARENA_MAX);
	struct binder b = {.arena = &script.arena, .error = ret_error, .input = text};
	struct bind_totals totals = {0, 0};
	b.totals = &totals;
	enum err err = parse_statements(&b, &script, text);
	if (err != ERR_OK) {
		arena_release(&script.arena);
		return err;
	}
	*ret_script = script;
	return ERR_OK;
}

void sql_script_release(struct sql_script *s)
{
	if (!s)
		return;
	arena_release(&s->arena);
	s->statements = NULL;
	s->count = 0;
	s->parse = NULL;
}
