/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SELECT -> relation. Clauses are bound in PostgreSQL's order: FROM, WHERE, the list, GROUP BY,
 * HAVING, DISTINCT ON, ORDER BY; the plan is
 *
 *     source or relation -> FILTER (WHERE) -> [PROJECT] AGGREGATE -> FILTER (HAVING) -> PROJECT
 * (list and junk)
 *       -> DISTINCT | DISTINCT_ON -> SORT -> LIMIT
 *
 * Keys and the order of records travel along as internal columns.
 */
#include "processor/sql/bind_select.h"
#include "processor/sql/sql_lex.h"

static enum err refuse_clauses(struct binder *b, const PgQuery__SelectStmt *x)
{
	int32_t at = tree_location(&x->base);
	if (x->n_locking_clause > 0)
		return bind_fail(
		    b, at, ERR_SQL_UNSUPPORTED, "FOR UPDATE and FOR SHARE are not supported");
	if (x->n_window_clause > 0)
		return bind_not_yet(
		    b, node_location(x->window_clause[0]), "window functions (OVER) are");
	if (x->into_clause)
		return bind_fail(b, tree_location(&x->into_clause->base), ERR_SQL_UNSUPPORTED,
		    "SELECT INTO is not supported");
	return ERR_OK;
}

static enum err select_where(struct binder *b, struct select *s)
{
	struct scope scope = {.rel = &s->in, .clause = "WHERE"};
	struct expr *e = NULL;
	if (!s->tree->where_clause)
		return ERR_OK;
	TRY(bind_condition(b, &scope, s->tree->where_clause, &e));
	return rel_filter(b, &s->in, e);
}

static enum err select_having(struct binder *b, struct select *s)
{
	struct scope scope = {.rel = &s->in, .aggs = s->aggs, .clause = "HAVING"};
	if (!s->tree->having_clause)
		return ERR_OK;
	return bind_condition(b, &scope, s->tree->having_clause, &s->having);
}

static enum err select_bind(struct binder *b, struct select *s)
{
	TRY(refuse_clauses(b, s->tree));
	bool open = b->open_literals;
	b->open_literals = false;
	TRY(bind_from(b, s->tree, &s->in));
	TRY(select_where(b, s));
	b->open_literals = open;
	TRY(select_targets(b, s));
	TRY(select_groups(b, s));
	TRY(select_having(b, s));
	/* DISTINCT ON looks at the order, which may add targets of its own first */
	TRY(select_order(b, s));
	return select_distinct_on(b, s);
}

static struct rel_column target_column(const struct select *s, const struct target *t)
{
	struct rel_column c = {.name = t->name, .type = t->expr->type, .location = t->location};
	c.visibility = t->junk ? COL_INTERNAL : COL_VISIBLE;
	if (t->expr->kind == EXPR_COLUMN)
		c.role = s->in.columns[t->expr->column].role;
	if (t->expr->type.id == TYPE_UNKNOWN)
		c.literal = t->expr;
	return c;
}

static enum err select_project(struct binder *b, struct select *s, struct rel *ret_rel)
{
	struct project p = {.count = 0};
	struct rel in = s->in;
	if (s->distinct) { /* equal rows become one: nothing that tells them apart is carried */
		in.key_count = 0;
		in.seq = in.pos = -1;
	}
	for (uint32_t i = 0; i < s->target_count; i++) {
		if (s->distinct && s->targets[i].junk)
			return bind_fail(b, s->targets[i].location, ERR_SQL_SYNTAX,
			    "for SELECT DISTINCT, ORDER BY expressions must appear in select list");
		TRY(project_add(b, &p, s->targets[i].expr, target_column(s, &s->targets[i])));
	}
	return project_finish(b, &p, &in, ret_rel);
}

static enum err bind_simple(struct binder *b, const PgQuery__SelectStmt *x, struct rel *ret_rel)
{
	struct select *s = bind_alloc(b, 1, sizeof *s);
	struct agg_list *aggs = bind_alloc(b, 1, sizeof *aggs);
	struct rel rel;
	if (!s || !aggs)
		return bind_nomem(b);
	s->tree = x;
	s->aggs = aggs;
	TRY(select_bind(b, s));
	if (s->group_count > 0 || x->n_group_clause > 0 || aggs->count > 0 || s->having) {
		TRY(select_aggregate(b, s));
		if (s->having)
			TRY(rel_filter(b, &s->in, s->having));
	}
	TRY(select_project(b, s, &rel));
	rel.alias = (struct str){NULL, 0};
	TRY(select_tail(b, s, &rel));
	*ret_rel = rel;
	return ERR_OK;
}

/* ---- WITH ------------------------------------------------------------------------------------ */

static enum err push_cte(struct binder *b, const PgQuery__CommonTableExpr *x)
{
	struct cte *c = bind_alloc(b, 1, sizeof *c);
	if (!c)
		return bind_nomem(b);
	if (x->search_clause || x->cycle_clause || !x->ctequery ||
	    x->ctequery->node_case != PG_QUERY__NODE__NODE_SELECT_STMT)
		return bind_fail(b, x->location, ERR_SQL_UNSUPPORTED, "WITH takes SELECTs");
	c->tree = x;
	c->outer = b->ctes;
	TRY(bind_copy(b, str_of(x->ctename), &c->name));
	b->ctes = c;
	return ERR_OK;
}

static enum err push_with(struct binder *b, const PgQuery__WithClause *w)
{
	if (!w)
		return ERR_OK;
	if (w->recursive)
		return bind_not_yet(b, w->location, "WITH RECURSIVE is");
	for (size_t i = 0; i < w->n_ctes; i++) {
		const PgQuery__CommonTableExpr *x = w->ctes[i]->common_table_expr;
		for (size_t k = 0; k < i; k++)
			if (strcmp(w->ctes[k]->common_table_expr->ctename, x->ctename) == 0)
				return bind_fail(b, x->location, ERR_SQL_AMBIGUOUS,
				    "WITH query name \"%s\" specified more than once", x->ctename);
		TRY(push_cte(b, x));
	}
	return ERR_OK;
}

/* A WITH query that nothing reads is bound all the same, for its errors. */
static enum err check_unused(struct binder *b, struct cte *until)
{
	struct cte *saved = b->ctes;
	for (struct cte *c = saved; c != until; c = c->outer) {
		struct rel ignored;
		if (c->used)
			continue;
		b->ctes = c->outer;
		enum err err = bind_select(b, c->tree->ctequery->select_stmt, &ignored);
		b->ctes = saved;
		TRY(err);
	}
	return ERR_OK;
}

/* ---- all forms ------------------------------------------------------------------------------- */

/* Where the word stands that joins the two sides: the last one before the right side. */
static int32_t set_op_location(
    const struct binder *b, const PgQuery__SelectStmt *x, const char *word)
{
	int32_t right = tree_location(&x->rarg->base), found = right;
	int32_t at = lex_find(b->input, 0, word);
	for (; at >= 0 && at < right; at = lex_find(b->input, (size_t)at + 1, word))
		found = at;
	return found;
}

static enum err bind_form(struct binder *b, const PgQuery__SelectStmt *x, struct rel *ret_rel)
{
	if (x->op == PG_QUERY__SET_OPERATION__SETOP_UNION)
		return bind_union(b, x, ret_rel);
	if (x->op == PG_QUERY__SET_OPERATION__SETOP_INTERSECT)
		return bind_not_yet(b, set_op_location(b, x, "intersect"), "INTERSECT is");
	if (x->op == PG_QUERY__SET_OPERATION__SETOP_EXCEPT)
		return bind_not_yet(b, set_op_location(b, x, "except"), "EXCEPT is");
	if (x->n_values_lists > 0)
		return bind_values(b, x, ret_rel);
	return bind_simple(b, x, ret_rel);
}

enum err bind_select(struct binder *b, const PgQuery__SelectStmt *x, struct rel *ret_rel)
{
	struct cte *saved = b->ctes;
	if (b->depth >= BIND_DEPTH_MAX)
		return bind_fail(b, tree_location(&x->base), ERR_LIMIT,
		    "queries nest deeper than %d", BIND_DEPTH_MAX);
	b->depth++;
	enum err err = push_with(b, x->with_clause);
	if (err == ERR_OK)
		err = bind_form(b, x, ret_rel);
	if (err == ERR_OK && x->with_clause)
		err = check_unused(b, saved);
	b->ctes = saved;
	b->depth--;
	return err;
}
