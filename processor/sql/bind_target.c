/* SPDX-License-Identifier: Apache-2.0 */
/* The select list: *, names of unnamed columns, and what ORDER BY, DISTINCT ON and GROUP BY mean by
 * a name or a number. */
#include "processor/sql/bind_select.h"

/* ---- names of unnamed columns: PostgreSQL's FigureColname ------------------------------------ */

static struct str figure_name(const PgQuery__Node *n, int *ret_strength);

static struct str figure_cast(const PgQuery__TypeCast *x, int *ret_strength)
{
	struct str name = figure_name(x->arg, ret_strength);
	if (*ret_strength > 1 || x->type_name->n_names == 0)
		return name;
	*ret_strength = 1;
	return tree_string(x->type_name->names[x->type_name->n_names - 1]);
}

static struct str figure_case(const PgQuery__CaseExpr *x, int *ret_strength)
{
	struct str name = {NULL, 0};
	if (x->defresult)
		name = figure_name(x->defresult, ret_strength);
	if (*ret_strength > 1)
		return name;
	*ret_strength = 1;
	return STR("case");
}

static struct str strong(struct str name, int *ret_strength)
{
	*ret_strength = 2;
	return name;
}

static struct str figure_name(const PgQuery__Node *n, int *ret_strength)
{
	*ret_strength = 0;
	if (!n)
		return (struct str){NULL, 0};
	if (n->node_case == PG_QUERY__NODE__NODE_COLUMN_REF)
		return strong(
		    tree_string(n->column_ref->fields[n->column_ref->n_fields - 1]), ret_strength);
	if (n->node_case == PG_QUERY__NODE__NODE_FUNC_CALL)
		return strong(tree_string(n->func_call->funcname[n->func_call->n_funcname - 1]),
		    ret_strength);
	if (n->node_case == PG_QUERY__NODE__NODE_TYPE_CAST)
		return figure_cast(n->type_cast, ret_strength);
	if (n->node_case == PG_QUERY__NODE__NODE_CASE_EXPR)
		return figure_case(n->case_expr, ret_strength);
	if (n->node_case == PG_QUERY__NODE__NODE_COALESCE_EXPR)
		return strong(STR("coalesce"), ret_strength);
	if (n->node_case == PG_QUERY__NODE__NODE_MIN_MAX_EXPR)
		return strong(n->min_max_expr->op == PG_QUERY__MIN_MAX_OP__IS_GREATEST
		                  ? STR("greatest")
		                  : STR("least"),
		    ret_strength);
	if (n->node_case == PG_QUERY__NODE__NODE_A_EXPR &&
	    n->a_expr->kind == PG_QUERY__A__EXPR__KIND__AEXPR_NULLIF)
		return strong(STR("nullif"), ret_strength);
	return (struct str){NULL, 0};
}

/* ---- the list -------------------------------------------------------------------------------- */

static enum err target_add(struct binder *b, struct select *s, const struct target *t)
{
	if (s->target_count >= VIEW_COLUMNS_MAX)
		return bind_fail(
		    b, t->location, ERR_LIMIT, "more than %d columns", VIEW_COLUMNS_MAX);
	TRY(bind_grow(b, &s->targets, s->target_count, &s->target_capacity, sizeof *s->targets));
	s->targets[s->target_count++] = *t;
	return ERR_OK;
}

/* *, t.* */
static enum err expand_star(struct binder *b, struct select *s, const PgQuery__ColumnRef *x)
{
	struct str table = x->n_fields > 1 ? tree_string(x->fields[0]) : (struct str){NULL, 0};
	if (s->tree->n_from_clause == 0)
		return bind_fail(b, x->location, ERR_SQL_SYNTAX, "SELECT * needs a FROM");
	if (x->n_fields > 2 || (table.ptr && (!s->in.alias.ptr || !str_equal(table, s->in.alias))))
		return bind_fail(b, x->location, ERR_SQL_NAME,
		    "missing FROM-clause entry for table \"%.*s\"", STR_ARG(table));
	for (uint32_t i = 0; i < s->in.plan->column_count; i++) {
		const struct rel_column *c = &s->in.columns[i];
		if (c->visibility != COL_VISIBLE)
			continue;
		struct target t = {.name = c->name, .location = x->location};
		t.expr = expr_column(b, i, c->type, x->location);
		if (!t.expr)
			return bind_nomem(b);
		TRY(target_add(b, s, &t));
	}
	return ERR_OK;
}

static bool is_star(const PgQuery__Node *n)
{
	if (!n || n->node_case != PG_QUERY__NODE__NODE_COLUMN_REF)
		return false;
	const PgQuery__ColumnRef *x = n->column_ref;
	return x->fields[x->n_fields - 1]->node_case == PG_QUERY__NODE__NODE_A_STAR;
}

static enum err bind_target(
    struct binder *b, struct select *s, const PgQuery__ResTarget *x, bool open)
{
	struct scope scope = {.rel = &s->in, .aggs = s->aggs, .clause = "SELECT"};
	struct target t = {.location = x->location};
	int strength = 0;
	struct str name = str_of(x->name);
	if (is_star(x->val))
		return expand_star(b, s, x->val->column_ref);
	TRY(bind_expr(b, &scope, x->val, &t.expr));
	if (!open)
		TRY(coerce_unknown(b, &scope, &t.expr));
	if (name.len == 0)
		name = figure_name(x->val, &strength);
	TRY(bind_copy(b, name.ptr ? name : STR("?column?"), &t.name));
	return target_add(b, s, &t);
}

enum err select_targets(struct binder *b, struct select *s)
{
	bool open =
	    b->open_literals && s->tree->n_distinct_clause == 0 && s->tree->n_sort_clause == 0;
	b->open_literals = false;
	for (size_t i = 0; i < s->tree->n_target_list; i++)
		TRY(bind_target(b, s, s->tree->target_list[i]->res_target, open));
	if (s->target_count == 0)
		return bind_fail(
		    b, tree_location(&s->tree->base), ERR_SQL_SYNTAX, "SELECT needs columns");
	s->visible_count = s->target_count;
	return ERR_OK;
}

/* ---- references to it ------------------------------------------------------------------------ */

static struct str bare_name(const PgQuery__Node *n)
{
	if (n->node_case != PG_QUERY__NODE__NODE_COLUMN_REF || n->column_ref->n_fields != 1)
		return (struct str){NULL, 0};
	return tree_string(n->column_ref->fields[0]);
}

/* -1 = none. Two of one name are fine when they are the same expression. */
static enum err find_by_name(struct binder *b, const struct select *s, struct str name,
    const PgQuery__Node *n, int32_t *ret_target)
{
	*ret_target = -1;
	for (uint32_t i = 0; i < s->visible_count && name.ptr; i++) {
		if (!str_equal(s->targets[i].name, name))
			continue;
		if (*ret_target >= 0 &&
		    !expr_equal(s->targets[*ret_target].expr, s->targets[i].expr))
			return bind_fail(b, node_location(n), ERR_SQL_AMBIGUOUS,
			    "\"%.*s\" is ambiguous", STR_ARG(name));
		if (*ret_target < 0)
			*ret_target = (int32_t)i;
	}
	return ERR_OK;
}

/* A plain integer is an ordinal; other plain constants are refused, as in PostgreSQL. -1 = no
 * constant. */
static enum err find_by_ordinal(struct binder *b, const struct select *s, const PgQuery__Node *n,
    const char *clause, int32_t *ret_target)
{
	*ret_target = -1;
	if (n->node_case != PG_QUERY__NODE__NODE_A_CONST)
		return ERR_OK;
	const PgQuery__AConst *c = n->a_const;
	if (c->isnull || c->val_case != PG_QUERY__A__CONST__VAL_IVAL)
		return bind_fail(
		    b, c->location, ERR_SQL_SYNTAX, "non-integer constant in %s", clause);
	if (c->ival->ival < 1 || (uint32_t)c->ival->ival > s->visible_count)
		return bind_fail(b, c->location, ERR_SQL_NAME,
		    "%s position %d is not in select list", clause, c->ival->ival);
	*ret_target = c->ival->ival - 1;
	return ERR_OK;
}

enum err select_find_target(struct binder *b, struct select *s, const PgQuery__Node *n,
    const char *clause, uint32_t *ret_target)
{
	struct scope scope = {.rel = &s->in, .aggs = s->aggs, .clause = clause};
	struct target t = {.location = node_location(n), .junk = true};
	int32_t found = -1;
	int strength = 0;
	struct str name = figure_name(n, &strength);
	TRY(find_by_name(b, s, bare_name(n), n, &found));
	if (found < 0)
		TRY(find_by_ordinal(b, s, n, clause, &found));
	if (found >= 0) {
		*ret_target = (uint32_t)found;
		return ERR_OK;
	}
	TRY(bind_expr(b, &scope, n, &t.expr));
	TRY(coerce_unknown(b, &scope, &t.expr));
	for (uint32_t i = 0; i < s->target_count; i++)
		if (expr_equal(s->targets[i].expr, t.expr)) {
			*ret_target = i;
			return ERR_OK;
		}
	*ret_target = s->target_count;
	TRY(bind_copy(b, name.ptr ? name : STR("?column?"), &t.name));
	return target_add(b, s, &t);
}

/* Does it contain an aggregate of this SELECT? */
static bool has_agg(const struct expr *e)
{
	if (e->kind == EXPR_COLUMN)
		return e->column >= COLUMN_AGG;
	for (uint32_t i = 0; i < e->arg_count; i++)
		if (has_agg(e->args[i]))
			return true;
	return false;
}

enum err select_group_expr(
    struct binder *b, struct select *s, const PgQuery__Node *n, struct expr **ret_expr)
{
	struct scope scope = {.rel = &s->in, .clause = "GROUP BY"};
	struct str name = bare_name(n);
	int32_t found = -1;
	if (n->node_case == PG_QUERY__NODE__NODE_GROUPING_SET)
		return bind_not_yet(b, node_location(n), "ROLLUP, CUBE and GROUPING SETS are");
	if (name.ptr && rel_find(&s->in, name) == -1)
		TRY(find_by_name(b, s, name, n, &found));
	if (found < 0)
		TRY(find_by_ordinal(b, s, n, "GROUP BY", &found));
	if (found >= 0 && has_agg(s->targets[found].expr))
		return bind_fail(b, node_location(n), ERR_SQL_SYNTAX,
		    "aggregate functions are not allowed in GROUP BY");
	if (found >= 0) {
		*ret_expr = s->targets[found].expr;
		return ERR_OK;
	}
	TRY(bind_expr(b, &scope, n, ret_expr));
	return coerce_unknown(b, &scope, ret_expr);
}
