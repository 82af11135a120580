/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GROUP BY. Targets, HAVING and ORDER BY are bound over the input, aggregates standing as columns
 * from COLUMN_AGG on. Here they are rewritten over the aggregate's output: what equals a grouping
 * expression becomes its column, an aggregate becomes its column, and any other column of the input
 * is PostgreSQL's "must appear in the GROUP BY clause".
 */
#include "processor/sql/bind_select.h"

#include <stdio.h>

enum err check_key_type(struct binder *b, struct type type, int32_t location, const char *what)
{
	if (type.id != TYPE_JSONB)
		return ERR_OK;
	bind_hint(b, "take a field out of it with ->>, or cast it to text");
	return bind_fail(b, location, ERR_SQL_UNSUPPORTED, "jsonb is not supported in %s", what);
}

enum err select_groups(struct binder *b, struct select *s)
{
	const PgQuery__SelectStmt *x = s->tree;
	s->groups = bind_alloc(b, x->n_group_clause, sizeof(struct expr *));
	if (!s->groups)
		return bind_nomem(b);
	if (x->group_distinct)
		return bind_not_yet(b, node_location(x->group_clause[0]), "GROUP BY DISTINCT is");
	for (size_t i = 0; i < x->n_group_clause; i++) {
		struct expr *e = NULL;
		TRY(select_group_expr(b, s, x->group_clause[i], &e));
		TRY(check_key_type(b, e->type, node_location(x->group_clause[i]), "GROUP BY"));
		bool known = false;
		for (uint32_t k = 0; k < s->group_count && !known; k++)
			known = expr_equal(s->groups[k], e);
		if (!known)
			s->groups[s->group_count++] = e;
	}
	return ERR_OK;
}

/* ---- rewriting ------------------------------------------------------------------------------- */

static enum err must_group(struct binder *b, const struct select *s, const struct expr *e)
{
	const struct rel *in = &s->in;
	char table[80] = "";
	if (in->alias.ptr)
		snprintf(table, sizeof table, "%.*s.",
		    (int)(in->alias.len < 63 ? in->alias.len : 63), in->alias.ptr);
	return bind_fail(b, e->location, ERR_SQL_SYNTAX,
	    "column \"%s%.*s\" must appear in the GROUP BY clause or be used in an aggregate "
	    "function",
	    table, STR_ARG(in->columns[e->column].name));
}

static enum err rewrite(
    struct binder *b, const struct select *s, const struct expr *e, struct expr **ret_expr)
{
	for (uint32_t i = 0; i < s->group_count; i++)
		if (expr_equal(s->groups[i], e)) {
			*ret_expr = expr_column(b, i, e->type, e->location);
			return *ret_expr ? ERR_OK : bind_nomem(b);
		}
	if (e->kind == EXPR_COLUMN && e->column < COLUMN_AGG)
		return must_group(b, s, e);
	struct expr *copy = bind_alloc(b, 1, sizeof *copy);
	if (!copy)
		return bind_nomem(b);
	*copy = *e;
	if (e->kind == EXPR_COLUMN)
		copy->column = s->group_count + (e->column - COLUMN_AGG);
	copy->args = bind_alloc(b, e->arg_count, sizeof(struct expr *));
	if (!copy->args)
		return bind_nomem(b);
	for (uint32_t i = 0; i < e->arg_count; i++)
		TRY(rewrite(b, s, e->args[i], &copy->args[i]));
	*ret_expr = copy;
	return ERR_OK;
}

/* ---- the node -------------------------------------------------------------------------------- */

/* The grouping expressions as columns of the input: itself when they are plain columns, else a
 * projection that appends them. */
static enum err group_input(struct binder *b, struct select *s, uint32_t *keys, struct rel *ret_in)
{
	struct project p = {.count = 0};
	bool plain = true;
	for (uint32_t i = 0; i < s->group_count; i++) {
		plain = plain && s->groups[i]->kind == EXPR_COLUMN;
		keys[i] = s->groups[i]->column;
	}
	*ret_in = s->in;
	if (plain)
		return ERR_OK;
	for (uint32_t i = 0; i < s->in.plan->column_count; i++) {
		struct expr *e = expr_column(b, i, s->in.columns[i].type, -1);
		if (!e)
			return bind_nomem(b);
		TRY(project_add(b, &p, e, s->in.columns[i]));
	}
	for (uint32_t i = 0; i < s->group_count; i++) {
		struct rel_column c = {.name = STR("group"), .visibility = COL_INTERNAL};
		if (s->groups[i]->kind == EXPR_COLUMN)
			continue;
		keys[i] = p.count;
		TRY(project_add(b, &p, s->groups[i], c));
	}
	return project_finish(b, &p, &s->in, ret_in);
}

static enum err aggregate_columns(
    struct binder *b, const struct select *s, const struct rel *in, struct rel *out)
{
	struct plan *p = out->plan;
	out->columns = bind_alloc(b, p->column_count, sizeof *out->columns);
	out->keys = bind_alloc(b, s->group_count, sizeof *out->keys);
	if (!out->columns || !out->keys)
		return bind_nomem(b);
	for (uint32_t i = 0; i < s->group_count; i++) {
		out->columns[i] = in->columns[p->keys[i]];
		out->keys[i] = i;
	}
	for (uint32_t i = 0; i < s->aggs->count; i++)
		out->columns[s->group_count + i] =
		    (struct rel_column){.name = s->aggs->names[i], .type = s->aggs->aggs[i].type};
	for (uint32_t i = 0; i < p->column_count; i++) {
		out->columns[i].visibility = COL_INTERNAL; /* reached by rewriting, not by name */
		p->columns[i] = (struct plan_column){out->columns[i].name, out->columns[i].type};
	}
	return ERR_OK;
}

static enum err aggregate_node(struct binder *b, struct select *s, struct rel *ret_rel)
{
	struct rel in, out = {.seq = -1, .pos = -1, .key_count = s->group_count};
	uint32_t *keys = bind_alloc(b, s->group_count, sizeof *keys);
	struct plan *p = NULL;
	if (!keys)
		return bind_nomem(b);
	TRY(group_input(b, s, keys, &in));
	TRY(plan_new(b, PLAN_AGGREGATE, s->group_count + s->aggs->count, &p));
	p->inputs = bind_alloc(b, 1, sizeof(struct plan *));
	p->aggs = bind_alloc(b, s->aggs->count, sizeof *p->aggs);
	if (!p->inputs || !p->aggs)
		return bind_nomem(b);
	p->inputs[0] = in.plan;
	p->input_count = 1;
	p->append_only = !plan_reads_topic(in.plan); /* a query sees each group once */
	p->stateful = true;
	p->keys = keys;
	p->key_count = s->group_count;
	if (s->aggs->count > 0)
		memcpy(p->aggs, s->aggs->aggs, s->aggs->count * sizeof *p->aggs);
	p->agg_count = s->aggs->count;
	out.plan = p;
	TRY(aggregate_columns(b, s, &in, &out));
	*ret_rel = out;
	return ERR_OK;
}

enum err select_aggregate(struct binder *b, struct select *s)
{
	struct rel out;
	for (uint32_t i = 0; i < s->target_count; i++)
		TRY(rewrite(b, s, s->targets[i].expr, &s->targets[i].expr));
	if (s->having)
		TRY(rewrite(b, s, s->having, &s->having));
	TRY(aggregate_node(b, s, &out));
	s->in = out;
	return ERR_OK;
}
