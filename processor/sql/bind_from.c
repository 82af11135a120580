/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FROM: one relation. A name is, in this order, a WITH query, a table (its topic's records) or a
 * view (inlined in a view, its rows in a query); else it is a subquery or a table function. Joins
 * are refused: they are not there yet.
 */
#include "processor/sql/sql_lex.h"
#include "processor/sql/sql_parse.h"

#include <stdio.h>

static const struct {
	const char *name;
	enum type_id type;
} hidden_columns[HIDDEN_COUNT] = {
    [HIDDEN_TOPIC] = {"_topic", TYPE_TEXT},
    [HIDDEN_PARTITION] = {"_partition", TYPE_INT4},
    [HIDDEN_OFFSET] = {"_offset", TYPE_INT8},
    [HIDDEN_TIMESTAMP] = {"_timestamp", TYPE_TIMESTAMPTZ},
    [HIDDEN_KEY] = {"_key", TYPE_TEXT},
    [HIDDEN_KEY_BYTES] = {"_key_bytes", TYPE_BYTEA},
    [HIDDEN_HEADERS] = {"_headers", TYPE_JSONB},
    [HIDDEN_INGEST_TIME] = {"_ingest_time", TYPE_TIMESTAMPTZ},
    [HIDDEN_SEQUENCE] = {"_sequence", TYPE_INT8},
    [HIDDEN_POS] = {"_pos", TYPE_INT4},
};

/* ---- sources --------------------------------------------------------------------------------- */

static enum err source_columns(struct binder *b, const struct table *t, struct rel *rel)
{
	uint32_t declared = t->column_count;
	rel->columns = bind_alloc(b, declared + HIDDEN_COUNT, sizeof *rel->columns);
	if (!rel->columns)
		return bind_nomem(b);
	for (uint32_t i = 0; i < declared; i++) {
		struct rel_column *c = &rel->columns[i];
		c->type = t->columns[i].type;
		c->role = t->event_time == (int32_t)i ? ROLE_EVENT_TIME : ROLE_NONE;
		TRY(bind_copy(b, t->columns[i].name, &c->name));
	}
	for (uint32_t i = 0; i < HIDDEN_COUNT; i++)
		rel->columns[declared + i] = (struct rel_column){str_of(hidden_columns[i].name),
		    type_of(hidden_columns[i].type), COL_HIDDEN, ROLE_NONE, 0, NULL};
	for (uint32_t i = 0; i < rel->plan->column_count; i++)
		rel->plan->columns[i] =
		    (struct plan_column){rel->columns[i].name, rel->columns[i].type};
	return ERR_OK;
}

static enum err count_source(struct binder *b)
{
	if (++b->totals->sources > BIND_SOURCES_MAX)
		return bind_fail(
		    b, -1, ERR_LIMIT, "the statement reads more than %d sources", BIND_SOURCES_MAX);
	return ERR_OK;
}

enum err bind_source(struct binder *b, const struct table *t, struct rel *ret_rel)
{
	struct rel rel = {.key_count = 3, .seq_unique = true};
	TRY(count_source(b));
	TRY(plan_new(b, PLAN_SOURCE, t->column_count + HIDDEN_COUNT, &rel.plan));
	rel.plan->table = t;
	TRY(source_columns(b, t, &rel));
	rel.keys = bind_alloc(b, rel.key_count, sizeof *rel.keys);
	if (!rel.keys)
		return bind_nomem(b);
	rel.keys[0] = t->column_count + HIDDEN_TOPIC;
	rel.keys[1] = t->column_count + HIDDEN_PARTITION;
	rel.keys[2] = t->column_count + HIDDEN_OFFSET;
	rel.seq = (int32_t)t->column_count + HIDDEN_SEQUENCE;
	rel.pos = (int32_t)t->column_count + HIDDEN_POS;
	*ret_rel = rel;
	return ERR_OK;
}

static enum err rows_columns(struct binder *b, const struct plan_columns *columns, struct rel *rel)
{
	rel->columns = bind_alloc(b, columns->count, sizeof *rel->columns);
	if (!rel->columns)
		return bind_nomem(b);
	for (uint32_t i = 0; i < columns->count; i++) {
		struct rel_column *c = &rel->columns[i];
		c->type = columns->columns[i].type;
		TRY(bind_copy(b, columns->columns[i].name, &c->name));
		rel->plan->columns[i] = (struct plan_column){c->name, c->type};
	}
	return ERR_OK;
}

/* Rows of one version, or of a diff. `key_count` of `keys` are a whole key, else all columns
 * complete an order. */
static enum err bind_rows(struct binder *b, const struct sql_view_info *info, int32_t diff_version,
    const struct plan_columns *columns, struct rel *ret_rel)
{
	struct rel rel = {.seq = -1, .pos = -1};
	bool keyed = info->keys_visible && diff_version == 0;
	TRY(count_source(b));
	TRY(plan_new(b, PLAN_ROWS, columns->count, &rel.plan));
	TRY(bind_copy(b, info->name, &rel.plan->view));
	rel.plan->version = info->version;
	rel.plan->diff_version = diff_version;
	TRY(rows_columns(b, columns, &rel));
	rel.key_count = keyed ? info->key_count : columns->count;
	rel.keys = bind_alloc(b, rel.key_count, sizeof *rel.keys);
	if (!rel.keys)
		return bind_nomem(b);
	for (uint32_t i = 0; i < rel.key_count; i++)
		rel.keys[i] = keyed ? info->keys[i] : i;
	*ret_rel = rel;
	return ERR_OK;
}

/* ---- names ----------------------------------------------------------------------------------- */

static enum err note_read(
    struct binder *b, struct str name, bool is_table, int32_t version, const uint8_t identity[32])
{
	for (uint32_t i = 0; i < b->read_count; i++)
		if (str_equal(b->reads[i].name, name) && b->reads[i].version == version)
			return ERR_OK;
	if (b->read_count == BIND_SOURCES_MAX)
		return bind_fail(b, -1, ERR_LIMIT, "the statement reads more than %d relations",
		    BIND_SOURCES_MAX);
	struct plan_read *r = &b->reads[b->read_count];
	TRY(bind_copy(b, name, &r->name));
	r->is_table = is_table;
	r->version = version;
	memcpy(r->identity, identity, sizeof r->identity);
	b->read_count++;
	return ERR_OK;
}

static enum err no_relation(struct binder *b, struct str name, int32_t location)
{
	struct str near = {NULL, 0};
	if (b->catalog && b->catalog->nearest)
		near = b->catalog->nearest(b->catalog->ctx, name);
	if (near.ptr)
		bind_hint(b, "did you mean %.*s?", STR_ARG(near));
	return bind_fail(
	    b, location, ERR_SQL_NAME, "relation \"%.*s\" does not exist", STR_ARG(name));
}

/* The SELECT of a view's SQL, by a binder of its own: other text, other catalog, same arena and
 * counts. */
static enum err inline_rel(
    struct binder *inner, const PgQuery__ParseResult *tree, struct rel *ret_rel)
{
	if (tree->n_stmts != 1 ||
	    tree->stmts[0]->stmt->node_case != PG_QUERY__NODE__NODE_CREATE_TABLE_AS_STMT)
		return bind_fail(inner, -1, ERR_SQL_SYNTAX, "no CREATE MATERIALIZED VIEW");
	return bind_view_rel(inner, tree->stmts[0]->stmt->create_table_as_stmt, ret_rel);
}

static enum err inline_view(
    struct binder *b, const struct sql_view_info *info, int32_t location, struct rel *ret_rel)
{
	struct sql_error error = {.err = ERR_OK};
	struct arena tree_arena;
	struct plan_read *reads = bind_alloc(b, BIND_SOURCES_MAX, sizeof *reads);
	if (!reads)
		return bind_nomem(b);
	if (b->inline_depth == BIND_INLINE_MAX)
		return bind_fail(
		    b, location, ERR_LIMIT, "views read views more than %d deep", BIND_INLINE_MAX);
	arena_init(&tree_arena, 64 * MIB);
	struct binder parser = {
	    .arena = &tree_arena, .error = &error, .input = info->sql, .totals = b->totals};
	struct binder inner = {.arena = b->arena,
	    .catalog = info->catalog ? info->catalog : b->catalog,
	    .error = &error,
	    .input = info->sql,
	    .mode = BIND_VIEW,
	    .inline_depth = b->inline_depth + 1,
	    .totals = b->totals,
	    .reads = reads};
	PgQuery__ParseResult *tree = NULL;
	enum err err = sql_tree(&parser, info->sql, &tree);
	if (err == ERR_OK)
		err = inline_rel(&inner, tree, ret_rel);
	arena_release(&tree_arena);
	if (err != ERR_OK && *error.hint)
		bind_hint(b, "%s", error.hint);
	if (err != ERR_OK)
		return bind_fail(b, location, err, "in view %.*s version %d: %s",
		    STR_ARG(info->name), info->version, error.message);
	return ERR_OK;
}

static enum err bind_view_name(
    struct binder *b, const struct sql_view_info *info, int32_t location, struct rel *ret_rel)
{
	TRY(note_read(b, info->name, false, info->version, info->identity));
	if (b->mode == BIND_VIEW)
		return inline_view(b, info, location, ret_rel);
	return bind_rows(
	    b, info, 0, &(struct plan_columns){info->columns, info->column_count}, ret_rel);
}

static enum err bind_table_name(
    struct binder *b, const struct table *t, int32_t location, struct rel *ret_rel)
{
	if (b->mode == BIND_QUERY) {
		bind_hint(b,
		    "queries read views: CREATE MATERIALIZED VIEW v AS SELECT ... FROM %.*s",
		    STR_ARG(t->name));
		return bind_not_yet(b, location, "reading a topic in a query is");
	}
	TRY(note_read(b, t->name, true, 0, t->identity));
	return bind_source(b, t, ret_rel);
}

static struct cte *find_cte(const struct binder *b, struct str name)
{
	for (struct cte *c = b->ctes; c; c = c->outer)
		if (str_equal(c->name, name))
			return c;
	return NULL;
}

static enum err bind_cte(struct binder *b, struct cte *c, struct rel *ret_rel)
{
	struct cte *saved = b->ctes;
	c->used = true;
	b->ctes = c->outer; /* it sees those before it, not itself */
	enum err err = bind_select(b, c->tree->ctequery->select_stmt, ret_rel);
	b->ctes = saved;
	TRY(err);
	return rel_rename(
	    b, ret_rel, c->tree->n_aliascolnames, c->tree->aliascolnames, c->tree->location);
}

enum err bind_name(struct binder *b, struct str name, int32_t location, struct rel *ret_rel)
{
	const struct table *t = NULL;
	struct sql_view_info info;
	memset(&info, 0, sizeof info);
	struct rel rel = {.plan = NULL};
	struct cte *c = find_cte(b, name);
	enum err err = ERR_NOT_FOUND;
	if (c) {
		TRY(bind_cte(b, c, &rel));
	} else if (b->catalog && (err = b->catalog->table(b->catalog->ctx, name, &t)) == ERR_OK) {
		TRY(bind_table_name(b, t, location, &rel));
	} else if (b->catalog && err == ERR_NOT_FOUND &&
	           (err = b->catalog->view(b->catalog->ctx, name, 0, &info)) == ERR_OK) {
		TRY(bind_view_name(b, &info, location, &rel));
	} else if (err == ERR_NOT_FOUND) {
		return no_relation(b, name, location);
	} else {
		return bind_fail(
		    b, location, err, "relation \"%.*s\": %s", STR_ARG(name), err_text(err));
	}
	TRY(bind_copy(b, name, &rel.alias));
	*ret_rel = rel;
	return ERR_OK;
}

/* ---- aliases --------------------------------------------------------------------------------- */

enum err rel_rename(
    struct binder *b, struct rel *rel, size_t count, PgQuery__Node *const *names, int32_t location)
{
	uint32_t at = 0;
	if (count == 0)
		return ERR_OK;
	TRY(rel_columns_copy(b, rel));
	for (size_t i = 0; i < count; i++, at++) {
		while (at < rel->plan->column_count && rel->columns[at].visibility != COL_VISIBLE)
			at++;
		if (at >= rel->plan->column_count)
			return bind_fail(b, location, ERR_SQL_SYNTAX,
			    "%zu columns are named, but there are only %zu", count, i);
		TRY(bind_copy(b, tree_string(names[i]), &rel->columns[at].name));
	}
	return ERR_OK;
}

/* Words of other dialects that the grammar takes for an alias, changing the meaning in silence. */
static enum err refuse_trap(struct binder *b, struct str alias, int32_t location)
{
	static const struct {
		const char *word, *hint;
	} traps[] = {
	    {"asof", "as-of joins are JOIN as_of(table, time)"},
	    {"anti", "write NOT EXISTS"},
	    {"semi", "write EXISTS"},
	    {"emit", "write WITH (emit = update) after the view's name"},
	    {"final", "write WITH (emit = final)"},
	    {"changes", "see kappa view watch"},
	};
	for (size_t i = 0; i < sizeof traps / sizeof *traps; i++) {
		if (!str_equal(alias, str_of(traps[i].word)))
			continue;
		int32_t at =
		    lex_find_alias(b->input, location > 0 ? (size_t)location : 0, traps[i].word);
		if (at < 0)
			return ERR_OK; /* it was quoted */
		bind_hint(b, "%s; to use it as an alias, quote it", traps[i].hint);
		return bind_fail(
		    b, at, ERR_SQL_SYNTAX, "\"%.*s\" would be an alias here", STR_ARG(alias));
	}
	return ERR_OK;
}

enum err bind_alias(
    struct binder *b, struct rel *rel, const PgQuery__Alias *alias, int32_t location)
{
	if (!alias)
		return ERR_OK;
	TRY(refuse_trap(b, str_of(alias->aliasname), location));
	TRY(bind_copy(b, str_of(alias->aliasname), &rel->alias));
	return rel_rename(b, rel, alias->n_colnames, alias->colnames, location);
}

/* ---- items ----------------------------------------------------------------------------------- */

static enum err bind_range_var(struct binder *b, const PgQuery__RangeVar *r, struct rel *ret_rel)
{
	struct rel rel = {.plan = NULL};
	if (*r->schemaname || *r->catalogname) {
		bind_hint(b, "write \"%s\" without a schema", r->relname);
		return bind_fail(b, r->location, ERR_SQL_UNSUPPORTED, "there are no schemas");
	}
	if (!r->inh)
		return bind_fail(b, r->location, ERR_SQL_UNSUPPORTED, "ONLY is not supported");
	if (r->alias)
		TRY(refuse_trap(b, str_of(r->alias->aliasname), r->location));
	TRY(bind_name(b, str_of(r->relname), r->location, &rel));
	TRY(bind_alias(b, &rel, r->alias, r->location));
	*ret_rel = rel;
	return ERR_OK;
}

static enum err bind_subselect(
    struct binder *b, const PgQuery__RangeSubselect *r, struct rel *ret_rel)
{
	struct rel rel = {.plan = NULL};
	int32_t at = tree_location(&r->base);
	if (r->lateral)
		return bind_not_yet(b, at, "LATERAL is");
	if (r->alias)
		TRY(refuse_trap(b, str_of(r->alias->aliasname), at));
	TRY(bind_select(b, r->subquery->select_stmt, &rel));
	rel.alias = (struct str){NULL, 0};
	TRY(bind_alias(b, &rel, r->alias, at));
	*ret_rel = rel;
	return ERR_OK;
}

static enum err bind_diff(struct binder *b, const PgQuery__FuncCall *f, struct rel *ret_rel)
{
	struct plan_columns columns = {NULL, 0};
	bool paired = false;
	if (!b->diff)
		return bind_not_yet(b, f->location, "diff() in a subquery or a view is");
	enum err err = sql_diff_columns(&b->diff[0], &b->diff[1], b->arena, &columns, &paired);
	if (err == ERR_NOMEM)
		return bind_nomem(b);
	if (err != ERR_OK)
		return bind_fail(b, f->location, err,
		    "the versions have neither the same visible key nor the same columns: they "
		    "cannot be compared");
	TRY(bind_rows(b, &b->diff[0], b->diff[1].version, &columns, ret_rel));
	ret_rel->alias = STR("diff");
	return ERR_OK;
}

static enum err bind_table_function(
    struct binder *b, const PgQuery__FuncCall *f, struct rel *ret_rel)
{
	static const char *const later[] = {"hop", "cumulate", "session", "as_of", "at", "lineage",
	    "generate_series", "unnest", "jsonb_array_elements", "jsonb_to_recordset"};
	struct str name = tree_name(f->n_funcname, f->funcname);
	char what[64];
	if (str_equal(name, STR("tumble")))
		return bind_window(b, f, ret_rel);
	if (str_equal(name, STR("diff")))
		return bind_diff(b, f, ret_rel);
	for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
		if (!str_equal(name, str_of(later[i])))
			continue;
		snprintf(what, sizeof what, "%s() is", later[i]);
		return bind_not_yet(b, f->location, what);
	}
	bind_hint(b,
	    "table functions: tumble(relation, column, interval '1 minute'), diff('view', 1, 2)");
	return bind_fail(
	    b, f->location, ERR_SQL_NAME, "table function %.*s() does not exist", STR_ARG(name));
}

static enum err bind_range_function(
    struct binder *b, const PgQuery__RangeFunction *r, struct rel *ret_rel)
{
	struct rel rel = {.plan = NULL};
	int32_t at = tree_location(&r->base);
	bool plain = r->n_functions == 1 &&
	             r->functions[0]->node_case == PG_QUERY__NODE__NODE_LIST &&
	             r->functions[0]->list->n_items >= 1 &&
	             r->functions[0]->list->items[0]->node_case == PG_QUERY__NODE__NODE_FUNC_CALL;
	if (!plain || r->is_rowsfrom || r->ordinality || r->n_coldeflist > 0 || r->lateral)
		return bind_fail(
		    b, at, ERR_SQL_UNSUPPORTED, "this form of a table function is not supported");
	if (r->alias)
		TRY(refuse_trap(b, str_of(r->alias->aliasname), at));
	TRY(bind_table_function(b, r->functions[0]->list->items[0]->func_call, &rel));
	TRY(bind_alias(b, &rel, r->alias, at));
	*ret_rel = rel;
	return ERR_OK;
}

/* The word JOIN of the innermost join, which is the first in the text. */
static enum err refuse_join(struct binder *b, const PgQuery__JoinExpr *j)
{
	while (j->larg && j->larg->node_case == PG_QUERY__NODE__NODE_JOIN_EXPR)
		j = j->larg->join_expr;
	int32_t from = node_location(j->larg);
	int32_t at = lex_find(b->input, from > 0 ? (size_t)from : 0, "join");
	return bind_not_yet(b, at, "joins are");
}

static enum err bind_item(struct binder *b, const PgQuery__Node *n, struct rel *ret_rel)
{
	if (n->node_case == PG_QUERY__NODE__NODE_RANGE_VAR)
		return bind_range_var(b, n->range_var, ret_rel);
	if (n->node_case == PG_QUERY__NODE__NODE_RANGE_SUBSELECT)
		return bind_subselect(b, n->range_subselect, ret_rel);
	if (n->node_case == PG_QUERY__NODE__NODE_RANGE_FUNCTION)
		return bind_range_function(b, n->range_function, ret_rel);
	if (n->node_case == PG_QUERY__NODE__NODE_JOIN_EXPR)
		return refuse_join(b, n->join_expr);
	return bind_fail(
	    b, node_location(n), ERR_SQL_UNSUPPORTED, "this form of FROM is not supported");
}

/* Traps first: `a ASOF JOIN b` should say so rather than that joins are not there. */
static enum err refuse_trap_in_join(struct binder *b, const PgQuery__Node *n)
{
	while (n && n->node_case == PG_QUERY__NODE__NODE_JOIN_EXPR)
		n = n->join_expr->larg;
	if (!n || n->node_case != PG_QUERY__NODE__NODE_RANGE_VAR || !n->range_var->alias)
		return ERR_OK;
	return refuse_trap(b, str_of(n->range_var->alias->aliasname), n->range_var->location);
}

enum err bind_from(struct binder *b, const PgQuery__SelectStmt *x, struct rel *ret_rel)
{
	if (x->n_from_clause == 0) {
		TRY(bind_no_source(b, tree_location(&x->base)));
		return bind_one_row(b, ret_rel);
	}
	TRY(refuse_trap_in_join(b, x->from_clause[0]));
	if (x->n_from_clause > 1)
		return bind_not_yet(
		    b, node_location(x->from_clause[1]), "joins (several relations in FROM) are");
	return bind_item(b, x->from_clause[0], ret_rel);
}
