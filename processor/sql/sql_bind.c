/* SPDX-License-Identifier: Apache-2.0 */
/* The doors: views, queries, predicates. Each sets up a binder, binds a relation, finishes the plan
 * and hashes its logic. */
#include "processor/sql/sql_lex.h"
#include "processor/sql/sql_parse.h"

#include <stdio.h>

struct bind_run {
	struct binder b;
	struct bind_totals totals;
	struct sql_view_info diff[2];
};

static enum err run_init(struct bind_run *r, const struct sql_catalog *catalog, struct arena *arena,
    struct sql_error *error)
{
	memset(r, 0, sizeof *r);
	memset(error, 0, sizeof *error);
	r->b.arena = arena;
	r->b.catalog = catalog;
	r->b.error = error;
	r->b.totals = &r->totals;
	r->b.reads = arena_calloc(arena, BIND_SOURCES_MAX, sizeof *r->b.reads);
	return r->b.reads ? ERR_OK : bind_nomem(&r->b);
}

/* The whole text that was parsed, from one of its statements. */
static struct str input_of(const struct sql_statement *s)
{
	return str_from(s->text.ptr - s->start, (size_t)s->start + s->text.len);
}

/* Logic = what is computed (tree) from what (identities); not its name, version or how it was
 * written. */
static enum err identify(struct binder *b, const PgQuery__Node *query, size_t name_count,
    PgQuery__Node *const *names, uint8_t ret_identity[32])
{
	struct tree_hash *h = NULL;
	if (tree_hash_new(&h) != ERR_OK)
		return bind_nomem(b);
	tree_hash_add(h, &query->base);
	for (size_t i = 0; i < name_count; i++)
		tree_hash_add_bytes(h, str_bytes(tree_string(names[i])));
	for (uint32_t i = 0; i < b->read_count; i++)
		tree_hash_add_bytes(h, bytes_of(b->reads[i].identity, sizeof b->reads[i].identity));
	tree_hash_finish(h, ret_identity);
	return ERR_OK;
}

/* ---- views ----------------------------------------------------------------------------------- */

static enum err check_names(struct binder *b, const struct rel *rel)
{
	for (uint32_t i = 0; i < rel->plan->column_count; i++) {
		const struct rel_column *c = &rel->columns[i];
		for (uint32_t k = 0; k < i && c->visibility == COL_VISIBLE; k++) {
			if (rel->columns[k].visibility != COL_VISIBLE ||
			    !str_equal(rel->columns[k].name, c->name))
				continue;
			bind_hint(b, "give one of them another name with AS");
			return bind_fail(b, c->location > 0 ? c->location : -1, ERR_SQL_AMBIGUOUS,
			    "column \"%.*s\" specified more than once", STR_ARG(c->name));
		}
	}
	return ERR_OK;
}

enum err bind_view_rel(struct binder *b, const PgQuery__CreateTableAsStmt *x, struct rel *ret_rel)
{
	struct rel rel;
	if (x->query->node_case != PG_QUERY__NODE__NODE_SELECT_STMT)
		return bind_fail(
		    b, node_location(x->query), ERR_SQL_UNSUPPORTED, "a view is a SELECT");
	TRY(bind_select(b, x->query->select_stmt, &rel));
	TRY(rel_rename(b, &rel, x->into->n_col_names, x->into->col_names, x->into->rel->location));
	TRY(check_names(b, &rel));
	*ret_rel = rel;
	return ERR_OK;
}

static enum err option_one_of(
    struct binder *b, const struct sql_option *o, const char *now, const char *const *later)
{
	char what[96];
	if (str_equal(o->value, str_of(now)))
		return ERR_OK;
	for (; *later; later++)
		if (str_equal(o->value, str_of(*later))) {
			snprintf(what, sizeof what, "%.*s = %s is", STR_ARG(o->name), *later);
			return bind_not_yet(b, o->location, what);
		}
	return bind_fail(b, o->location, ERR_SQL_NAME, "unknown value \"%.*s\" of option \"%.*s\"",
	    STR_ARG(o->value), STR_ARG(o->name));
}

static enum err option_append_only(
    struct binder *b, const struct sql_option *o, const struct rel *rel)
{
	if (str_equal(o->value, STR("false")))
		return ERR_OK;
	if (!str_equal(o->value, STR("true")))
		return bind_fail(b, o->location, ERR_SQL_TYPE, "append_only is true or false");
	if (rel->plan->append_only)
		return ERR_OK;
	bind_hint(b, "rows of aggregates and of last-wins DISTINCT ON change");
	return bind_fail(
	    b, o->location, ERR_REFUSED, "append_only = true, but rows of this view can change");
}

static enum err view_option(struct binder *b, const struct sql_option *o, const struct rel *rel)
{
	static const char *const known[] = {
	    "version", "emit", "late", "append_only", "allowed_lateness", "state_ttl", "unbounded"};
	static const char *const emit_later[] = {"final", NULL};
	static const char *const late_later[] = {"drop", "dlq", NULL};
	char what[96];
	if (str_equal(o->name, STR("emit")))
		return option_one_of(b, o, "update", emit_later);
	if (str_equal(o->name, STR("late")))
		return option_one_of(b, o, "update", late_later);
	if (str_equal(o->name, STR("append_only")))
		return option_append_only(b, o, rel);
	struct nearest n;
	nearest_init(&n, o->name);
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		if (str_equal(o->name, str_of(known[i]))) {
			snprintf(what, sizeof what, "option %s is", known[i]);
			return bind_not_yet(b, o->location, what);
		}
		nearest_offer(&n, str_of(known[i]));
	}
	if (n.best.ptr)
		bind_hint(b, "did you mean %.*s?", STR_ARG(n.best));
	return bind_fail(b, o->location, ERR_SQL_NAME, "unknown option \"%.*s\"", STR_ARG(o->name));
}

static enum err bind_view(
    struct binder *b, const struct sql_statement *s, struct view_plan **ret_plan)
{
	const PgQuery__CreateTableAsStmt *x =
	    ((const PgQuery__Node *)s->tree)->create_table_as_stmt;
	struct rel rel;
	struct view_plan *plan = NULL;
	TRY(bind_view_rel(b, x, &rel));
	for (uint32_t i = 0; i < s->option_count; i++)
		TRY(view_option(b, &s->options[i], &rel));
	TRY(plan_finish(b, &rel, &plan));
	TRY(identify(b, x->query, x->into->n_col_names, x->into->col_names, plan->identity));
	*ret_plan = plan;
	return ERR_OK;
}

enum err sql_bind_view(const struct sql_statement *s, const struct sql_catalog *catalog,
    struct arena *arena, struct view_plan **ret_plan, struct sql_error *ret_error)
{
	struct bind_run r;
	ASSERT(s->kind == SQL_CREATE_VIEW);
	TRY(run_init(&r, catalog, arena, ret_error));
	r.b.input = input_of(s);
	r.b.mode = BIND_VIEW;
	return bind_view(&r.b, s, ret_plan);
}

/* ---- queries --------------------------------------------------------------------------------- */

static enum err find_versions(struct bind_run *r, const struct sql_statement *s)
{
	for (uint32_t i = 0; i < 2; i++) {
		int32_t version = (int32_t)s->args[i + 1].value.i;
		enum err err = r->b.catalog->view(r->b.catalog->ctx, s->name, version, &r->diff[i]);
		if (err == ERR_NOT_FOUND)
			return bind_fail(&r->b, s->start, ERR_SQL_NAME,
			    "there is no version %d of a view \"%.*s\"", version, STR_ARG(s->name));
		if (err != ERR_OK)
			return bind_fail(&r->b, s->start, err, "view \"%.*s\" version %d: %s",
			    STR_ARG(s->name), version, err_text(err));
	}
	r->b.diff = r->diff;
	return ERR_OK;
}

static enum err bind_query(
    struct binder *b, const PgQuery__Node *query, struct view_plan **ret_plan)
{
	struct rel rel;
	struct view_plan *plan = NULL;
	TRY(bind_select(b, query->select_stmt, &rel));
	TRY(plan_finish(b, &rel, &plan));
	TRY(identify(b, query, 0, NULL, plan->identity));
	*ret_plan = plan;
	return ERR_OK;
}

enum err sql_bind_query(const struct sql_statement *s, const struct sql_catalog *catalog,
    struct arena *arena, struct view_plan **ret_plan, struct sql_error *ret_error)
{
	struct bind_run r;
	const PgQuery__Node *n = s->tree;
	ASSERT(s->kind == SQL_QUERY || s->kind == SQL_EXPLAIN || s->kind == SQL_DIFF);
	TRY(run_init(&r, catalog, arena, ret_error));
	r.b.input = input_of(s);
	r.b.mode = s->kind == SQL_EXPLAIN ? BIND_EXPLAIN : BIND_QUERY;
	if (s->kind == SQL_DIFF)
		TRY(find_versions(&r, s));
	return bind_query(&r.b, s->kind == SQL_EXPLAIN ? n->explain_stmt->query : n, ret_plan);
}

/* ---- diff ------------------------------------------------------------------------------------ */

int32_t sql_view_column(const struct sql_view_info *v, struct str name)
{
	for (uint32_t i = 0; i < v->column_count; i++)
		if (str_equal(v->columns[i].name, name))
			return (int32_t)i;
	return -1;
}

bool sql_view_is_key(const struct sql_view_info *v, uint32_t column)
{
	for (uint32_t i = 0; i < v->key_count; i++)
		if (v->keys[i] == column)
			return true;
	return false;
}

static bool same_keys(const struct sql_view_info *a, const struct sql_view_info *b)
{
	if (!a->keys_visible || !b->keys_visible || a->key_count != b->key_count)
		return false;
	for (uint32_t i = 0; i < a->key_count; i++) {
		const struct plan_column *ca = &a->columns[a->keys[i]],
		                         *cb = &b->columns[b->keys[i]];
		if (!str_equal(ca->name, cb->name) || ca->type.id != cb->type.id)
			return false;
	}
	return true;
}

static bool same_columns(const struct sql_view_info *a, const struct sql_view_info *b)
{
	if (a->column_count != b->column_count)
		return false;
	for (uint32_t i = 0; i < a->column_count; i++)
		if (!str_equal(a->columns[i].name, b->columns[i].name) ||
		    a->columns[i].type.id != b->columns[i].type.id)
			return false;
	return true;
}

static bool add_versioned(
    struct arena *arena, struct plan_columns *out, const struct sql_view_info *v, int32_t column)
{
	if (column < 0)
		return true;
	const struct plan_column *c = &v->columns[column];
	char *name = arena_printf(arena, "%.*s_v%d", STR_ARG(c->name), v->version);
	out->columns[out->count++] = (struct plan_column){str_of(name), c->type};
	return name != NULL;
}

/* Key columns, then the others: in the order of a, then those only b has. */
static enum err paired_columns(const struct sql_view_info *a, const struct sql_view_info *b,
    struct arena *arena, struct plan_columns *out)
{
	bool ok = true;
	for (uint32_t i = 0; i < a->key_count; i++)
		out->columns[out->count++] = a->columns[a->keys[i]];
	for (uint32_t i = 0; i < a->column_count; i++) {
		if (sql_view_is_key(a, i))
			continue;
		ok = ok && add_versioned(arena, out, a, (int32_t)i);
		ok = ok && add_versioned(arena, out, b, sql_view_column(b, a->columns[i].name));
	}
	for (uint32_t i = 0; i < b->column_count; i++)
		if (!sql_view_is_key(b, i) && sql_view_column(a, b->columns[i].name) < 0)
			ok = ok && add_versioned(arena, out, b, (int32_t)i);
	return ok ? ERR_OK : ERR_NOMEM;
}

enum err sql_diff_columns(const struct sql_view_info *a, const struct sql_view_info *b,
    struct arena *arena, struct plan_columns *ret_columns, bool *ret_paired)
{
	struct plan_columns out = {NULL, 0};
	bool paired = same_keys(a, b);
	if (!paired && !same_columns(a, b))
		return ERR_SQL_TYPE;
	out.columns =
	    arena_calloc(arena, 1 + (size_t)a->column_count + b->column_count, sizeof *out.columns);
	if (!out.columns)
		return ERR_NOMEM;
	out.columns[out.count++] = (struct plan_column){STR("change"), type_of(TYPE_TEXT)};
	for (uint32_t i = 0; i < a->column_count && !paired; i++)
		out.columns[out.count++] = a->columns[i];
	if (paired)
		TRY(paired_columns(a, b, arena, &out));
	*ret_columns = out;
	*ret_paired = paired;
	return ERR_OK;
}

/* ---- predicates ------------------------------------------------------------------------------ */

#define PREDICATE_PREFIX "SELECT WHERE ("

/* The text stands in parentheses: it must not close them. */
static bool closes_parentheses(struct str text, size_t *ret_pos)
{
	struct lex l = {text, 0};
	for (int64_t depth = 0;;) {
		struct lex_token t = lex_next(&l);
		if (t.kind == LEX_END)
			return false;
		depth += lex_is(&t, "(") - lex_is(&t, ")");
		if (depth < 0) {
			*ret_pos = t.pos;
			return true;
		}
	}
}

static enum err bind_predicate(
    struct binder *b, struct arena *tree_arena, const struct table *table, struct expr **ret_expr)
{
	struct binder parser = *b;
	PgQuery__ParseResult *tree = NULL;
	struct rel rel;
	parser.arena = tree_arena;
	TRY(sql_tree(&parser, b->input, &tree));
	if (tree->n_stmts != 1 ||
	    tree->stmts[0]->stmt->node_case != PG_QUERY__NODE__NODE_SELECT_STMT ||
	    !tree->stmts[0]->stmt->select_stmt->where_clause)
		return bind_fail(b, -1, ERR_SQL_SYNTAX, "not a condition");
	TRY(bind_source(b, table, &rel));
	struct scope scope = {.rel = &rel, .clause = "WHERE"};
	return bind_condition(b, &scope, tree->stmts[0]->stmt->select_stmt->where_clause, ret_expr);
}

/* The newline ends a comment that the text may end with. NUL bytes stay: they are refused with
 * their position. */
static enum err wrap_predicate(struct arena *arena, struct str text, struct str *ret_wrapped)
{
	const size_t prefix = sizeof PREDICATE_PREFIX - 1;
	char *wrapped = arena_alloc(arena, prefix + text.len + 2);
	if (!wrapped)
		return ERR_NOMEM;
	memcpy(wrapped, PREDICATE_PREFIX, prefix);
	if (text.len > 0)
		memcpy(wrapped + prefix, text.ptr, text.len);
	memcpy(wrapped + prefix + text.len, "\n)", 2);
	*ret_wrapped = str_from(wrapped, prefix + text.len + 2);
	return ERR_OK;
}

/* Positions in the wrapped text -> positions in what was given. */
static void unwrap_error(struct sql_error *e, struct str text)
{
	int lines = 1;
	for (size_t i = 0; i < text.len; i++)
		lines += text.ptr[i] == '\n';
	if (e->line > lines)
		sql_error_at(e, text, (int32_t)text.len);
	else if (e->line == 1)
		e->column -= (int)sizeof PREDICATE_PREFIX - 1;
}

enum err sql_bind_predicate(struct str text, const struct table *table, struct arena *arena,
    struct expr **ret_expr, struct sql_error *ret_error)
{
	static const struct table no_columns = {.event_time = -1};
	struct bind_run r;
	struct arena tree_arena;
	size_t pos = 0;
	TRY(run_init(&r, NULL, arena, ret_error));
	r.b.input = text;
	if (text.len > SQL_TEXT_MAX / 2)
		return bind_fail(&r.b, -1, ERR_LIMIT, "a condition of %zu bytes: the limit is %d",
		    text.len, SQL_TEXT_MAX / 2);
	if (closes_parentheses(text, &pos))
		return bind_fail(
		    &r.b, (int32_t)pos, ERR_SQL_SYNTAX, "syntax error at or near \")\"");
	arena_init(&tree_arena, 64 * MIB);
	enum err err = wrap_predicate(&tree_arena, text, &r.b.input);
	if (err != ERR_OK)
		err = bind_nomem(&r.b);
	else
		err = bind_predicate(&r.b, &tree_arena, table ? table : &no_columns, ret_expr);
	if (err != ERR_OK)
		unwrap_error(ret_error, text);
	arena_release(&tree_arena);
	return err;
}
