/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The SQL front end: text -> statements -> bound plans. libpg_query's grammar (PostgreSQL 15);
 * everything else in it is refused with line, column and a hint. Pure: it reads names through
 * struct sql_catalog and touches neither log nor disk. Threads: any; parsing is thread-safe; a
 * catalog is called on the binding thread.
 */
#include "processor/sql/plan.h"

/* Where and why a statement was refused. */
struct sql_error {
	enum err err;
	int line, column; /* 1-based, in characters of the text given; 0 = none */
	char message[200];
	char hint[200];
};

/* What binding needs to know. Returned pointers live until the statement's arena is released. */
struct sql_view_info {
	struct str name;
	int32_t version;
	struct plan_column *columns; /* visible ones */
	uint32_t column_count;
	struct str
	    sql; /* the CREATE MATERIALIZED VIEW of that version: inlined when a view reads it */
	uint32_t *keys; /* visible columns that are its key */
	uint32_t key_count;
	bool keys_visible; /* they are the whole key (a one-row view: true with key_count 0) */
	/* What the names in `sql` meant when that version was created (struct plan_read); NULL =
	 * the same catalog. */
	const struct sql_catalog *catalog;
	uint8_t identity[32];
};
/* -1: no column of that name. */
int32_t sql_view_column(const struct sql_view_info *v, struct str name);
bool sql_view_is_key(const struct sql_view_info *v, uint32_t column);

struct sql_catalog {
	void *ctx;
	/* ERR_NOT_FOUND */
	enum err (*table)(void *ctx, struct str name, const struct table **ret_table);
	/* version 0 = the active one */
	enum err (*view)(
	    void *ctx, struct str name, int32_t version, struct sql_view_info *ret_info);
	/* nearest known name for "did you mean", or ptr NULL */
	struct str (*nearest)(void *ctx, struct str name);
};

enum sql_kind {
	SQL_CREATE_TABLE,
	SQL_CREATE_VIEW, /* MATERIALIZED */
	SQL_DROP,        /* table or materialized view */
	SQL_ALTER_VIEW,  /* SET (active_version = n) */
	SQL_QUERY,
	SQL_EXPLAIN, /* of a query or a view's SELECT: sql_bind_query, then plan_print */
	SQL_CALL,    /* rebuild(...), ... */
	SQL_DIFF,    /* SELECT ... FROM diff('v', a, b) ...: sql_bind_query; its source is PLAN_ROWS
	                with diff_version */
	SQL_SHOW_TABLES,
};
struct sql_option {
	struct str name;  /* lower case */
	struct str value; /* text form */
	int32_t location;
};
struct sql_arg {
	struct str name; /* ptr NULL = positional */
	struct datum value;
	struct type type;
};
struct sql_statement {
	enum sql_kind kind;
	struct str text; /* this statement's part of the input */
	int32_t start;   /* byte position of text in the input */
	struct str name; /* table, view, procedure */
	bool if_not_exists, if_exists, with_data;
	bool drop_table; /* DROP TABLE, else DROP MATERIALIZED VIEW */
	int32_t version; /* CREATE VIEW WITH (version = n), ALTER active_version; 0 = not given */
	struct sql_option *options; /* CREATE VIEW WITH (...), besides version; EXPLAIN (...) */
	uint32_t option_count;
	struct sql_arg *args; /* CALL; DIFF: view, version, version */
	uint32_t arg_count;
	void *tree; /* front end's own */
};
struct sql_script {
	struct arena arena;
	struct sql_statement *statements;
	uint32_t count;
	void *parse; /* front end's own */
};
/* Splits and classifies. On error *ret_error is filled and nothing needs releasing. `text` is
 * borrowed until release. */
MUST_USE enum err sql_parse(
    struct str text, struct sql_script *ret_script, struct sql_error *ret_error);
void sql_script_release(struct sql_script *s);

/* CREATE TABLE -> the contract. Lives in `arena`. */
MUST_USE enum err sql_bind_table(const struct sql_statement *s, const struct sql_catalog *catalog,
    struct arena *arena, struct table **ret_table, struct sql_error *ret_error);
/* CREATE MATERIALIZED VIEW -> plan over topics (views inlined). Lives in `arena`. */
MUST_USE enum err sql_bind_view(const struct sql_statement *s, const struct sql_catalog *catalog,
    struct arena *arena, struct view_plan **ret_plan, struct sql_error *ret_error);
/*
 * SELECT, EXPLAIN SELECT or a query FROM diff() -> plan over view rows. To read another version
 * than the active one, let catalog->view answer with it. EXPLAIN also takes tables, as a view's
 * SELECT would; then the plan's sources are PLAN_SOURCE.
 */
MUST_USE enum err sql_bind_query(const struct sql_statement *s, const struct sql_catalog *catalog,
    struct arena *arena, struct view_plan **ret_plan, struct sql_error *ret_error);
/* A predicate for --where over the columns of `table` (or of hidden columns): same grammar. */
MUST_USE enum err sql_bind_predicate(struct str text, const struct table *table,
    struct arena *arena, struct expr **ret_expr, struct sql_error *ret_error);
/*
 * The columns of diff(view, a, b): change, the key columns, then per other column NAME_v<a> and
 * NAME_v<b>, as far as the version has it. Rows are paired by key when both keys are visible, equal
 * in name and type (*ret_paired); else they are compared as multisets: change, then the columns,
 * which must be the same in both (ERR_SQL_TYPE).
 */
MUST_USE enum err sql_diff_columns(const struct sql_view_info *a, const struct sql_view_info *b,
    struct arena *arena, struct plan_columns *ret_columns, bool *ret_paired);
/* One line per node, indented. */
void plan_print(struct writer *out, const struct view_plan *plan);
