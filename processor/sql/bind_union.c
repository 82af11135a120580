/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UNION [ALL], VALUES, and the one row of a SELECT without FROM.
 *
 * Every arm of a UNION ALL becomes a projection of one shape: the visible columns in their common
 * types, the arm's number, the keys of the arms, and the order of records where all have one. Arms
 * with keys of the same types share the key columns; else each has its own, NULL in the others'
 * rows.
 */
#include "processor/sql/bind.h"

struct arms {
	const PgQuery__SelectStmt **trees;
	struct rel *rels;
	uint32_t **visible; /* per arm: its visible columns */
	uint32_t count;
	uint32_t width; /* visible columns of each */
	struct type *types;
	bool share_keys;
	bool ordered; /* all have seq and pos */
};

/* ---- collecting ------------------------------------------------------------------------------ */

static bool is_union_all(const PgQuery__SelectStmt *x)
{
	bool bare = x->n_sort_clause == 0 && !x->limit_count && !x->limit_offset && !x->with_clause;
	return x->op == PG_QUERY__SET_OPERATION__SETOP_UNION && x->all && bare;
}

/* a UNION ALL b UNION ALL c leans left: the arms in the order of the text. */
static enum err collect_trees(struct binder *b, const PgQuery__SelectStmt *x, struct arms *a)
{
	uint32_t count = 2;
	const PgQuery__SelectStmt *left = x->larg;
	for (; x->all && is_union_all(left); left = left->larg)
		count++;
	if (count > BIND_SOURCES_MAX)
		return bind_fail(b, tree_location(&x->base), ERR_LIMIT,
		    "a UNION of more than %d SELECTs", BIND_SOURCES_MAX);
	a->trees = bind_alloc(b, count, sizeof *a->trees);
	a->rels = bind_alloc(b, count, sizeof *a->rels);
	a->visible = bind_alloc(b, count, sizeof(uint32_t *));
	if (!a->trees || !a->rels || !a->visible)
		return bind_nomem(b);
	a->count = count;
	const PgQuery__SelectStmt *at = x;
	for (uint32_t i = count; i-- > 1; at = at->larg)
		a->trees[i] = at->rarg;
	a->trees[0] = left;
	return ERR_OK;
}

static enum err visible_columns(struct binder *b, struct arms *a, uint32_t arm)
{
	const struct rel *rel = &a->rels[arm];
	uint32_t *visible = bind_alloc(b, rel->plan->column_count, sizeof *visible);
	uint32_t count = 0;
	if (!visible)
		return bind_nomem(b);
	for (uint32_t i = 0; i < rel->plan->column_count; i++)
		if (rel->columns[i].visibility == COL_VISIBLE)
			visible[count++] = i;
	if (arm > 0 && count != a->width)
		return bind_fail(b, tree_location(&a->trees[arm]->base), ERR_SQL_TYPE,
		    "each UNION query must have the same number of columns: %u and %u", a->width,
		    count);
	a->width = count;
	a->visible[arm] = visible;
	return ERR_OK;
}

static enum err bind_arms(struct binder *b, struct arms *a)
{
	a->ordered = true;
	a->share_keys = true;
	for (uint32_t i = 0; i < a->count; i++) {
		struct rel *rel = &a->rels[i], *first = &a->rels[0];
		b->open_literals = true;
		enum err err = bind_select(b, a->trees[i], rel);
		b->open_literals = false;
		TRY(err);
		TRY(visible_columns(b, a, i));
		a->ordered = a->ordered && rel->seq >= 0;
		a->share_keys = a->share_keys && rel->key_count == first->key_count;
		for (uint32_t k = 0; a->share_keys && k < rel->key_count; k++)
			a->share_keys = type_equal(
			    rel->columns[rel->keys[k]].type, first->columns[first->keys[k]].type);
	}
	return ERR_OK;
}

/* What column `column` of the arm is: a column, or a literal whose type is still open. */
static struct expr *arm_expr(struct binder *b, const struct arms *a, uint32_t arm, uint32_t column)
{
	const struct rel *rel = &a->rels[arm];
	const struct rel_column *c = &rel->columns[a->visible[arm][column]];
	if (c->literal)
		return expr_const(b, c->literal->type, c->literal->value, c->literal->location);
	return expr_column(b, a->visible[arm][column], c->type, c->location > 0 ? c->location : -1);
}

static enum err arm_types(struct binder *b, struct arms *a)
{
	struct expr **exprs = bind_alloc(b, a->count, sizeof(struct expr *));
	a->types = bind_alloc(b, a->width, sizeof *a->types);
	if (!exprs || !a->types)
		return bind_nomem(b);
	for (uint32_t c = 0; c < a->width; c++) {
		for (uint32_t i = 0; i < a->count; i++) {
			exprs[i] = arm_expr(b, a, i, c);
			if (!exprs[i])
				return bind_nomem(b);
		}
		TRY(common_type(b, exprs, a->count, "UNION", &a->types[c]));
	}
	return ERR_OK;
}

/* ---- the shape of an arm --------------------------------------------------------------------- */

static enum err arm_visible(struct binder *b, const struct arms *a, uint32_t arm, struct project *p)
{
	for (uint32_t c = 0; c < a->width; c++) {
		struct rel_column column = a->rels[0].columns[a->visible[0][c]];
		struct expr *e = arm_expr(b, a, arm, c);
		if (!e)
			return bind_nomem(b);
		TRY(coerce(b, NULL, &e, a->types[c], levels_implicit()));
		for (uint32_t i = 1; i < a->count; i++)
			if (a->rels[i].columns[a->visible[i][c]].role != column.role)
				column.role = ROLE_NONE;
		column.literal = NULL;
		e->type = a->types[c]; /* numeric(12,2) as one arm's numeric */
		TRY(project_add(b, p, e, column));
	}
	return ERR_OK;
}

static enum err add_internal(struct binder *b, struct project *p, struct str name, struct expr *e)
{
	struct rel_column c = {.name = name, .visibility = COL_INTERNAL};
	return e ? project_add(b, p, e, c) : bind_nomem(b);
}

/* Column `column` of `from` in the rows of that arm, NULL of its type in the others. */
static enum err add_carried(
    struct binder *b, struct project *p, const struct rel *from, uint32_t column, bool own)
{
	const struct rel_column *c = &from->columns[column];
	return add_internal(
	    b, p, c->name, own ? expr_column(b, column, c->type, -1) : expr_null(b, c->type, -1));
}

static enum err arm_keys(struct binder *b, const struct arms *a, uint32_t arm, struct project *p)
{
	const struct rel *rel = &a->rels[arm];
	struct datum number = {.i = arm};
	TRY(add_internal(b, p, STR("_branch"), expr_const(b, type_of(TYPE_INT4), number, -1)));
	for (uint32_t i = 0; i < (a->share_keys ? 1 : a->count); i++) {
		const struct rel *from = a->share_keys ? rel : &a->rels[i];
		for (uint32_t k = 0; k < from->key_count; k++)
			TRY(add_carried(b, p, from, from->keys[k], a->share_keys || i == arm));
	}
	if (!a->ordered)
		return ERR_OK;
	TRY(add_carried(b, p, rel, (uint32_t)rel->seq, true));
	return add_carried(b, p, rel, (uint32_t)rel->pos, true);
}

static enum err arm_node(struct binder *b, const struct arms *a, uint32_t arm, struct rel *ret_rel)
{
	struct project p = {.count = 0};
	struct rel bare = a->rels[arm];
	bare.key_count = 0; /* they are put in by hand, at the same place in every arm */
	bare.seq = bare.pos = -1;
	TRY(arm_visible(b, a, arm, &p));
	TRY(arm_keys(b, a, arm, &p));
	return project_finish(b, &p, &bare, ret_rel);
}

static enum err union_node(struct binder *b, const struct arms *a, struct rel *ret_rel)
{
	struct rel out = {.seq = -1, .pos = -1}, arm;
	for (uint32_t i = 0; i < a->count; i++) {
		TRY(arm_node(b, a, i, &arm));
		if (i == 0) {
			TRY(plan_new(b, PLAN_UNION_ALL, arm.plan->column_count, &out.plan));
			out.plan->inputs = bind_alloc(b, a->count, sizeof(struct plan *));
			if (!out.plan->inputs)
				return bind_nomem(b);
			memcpy(out.plan->columns, arm.plan->columns,
			    arm.plan->column_count * sizeof *arm.plan->columns);
			out.columns = arm.columns;
		}
		out.plan->inputs[out.plan->input_count++] = arm.plan;
		out.plan->append_only = out.plan->append_only && arm.plan->append_only;
	}
	uint32_t after_keys = out.plan->column_count - (a->ordered ? 2 : 0);
	out.key_count = after_keys - a->width;
	out.keys = bind_alloc(b, out.key_count, sizeof *out.keys);
	if (!out.keys)
		return bind_nomem(b);
	for (uint32_t i = 0; i < out.key_count; i++)
		out.keys[i] = a->width + i;
	if (a->ordered) {
		out.seq = (int32_t)after_keys;
		out.pos = (int32_t)after_keys + 1;
	}
	*ret_rel = out;
	return ERR_OK;
}

/* Drops what is not visible. */
static enum err only_visible(struct binder *b, struct rel *rel)
{
	struct project p = {.count = 0};
	struct rel bare = *rel;
	bare.key_count = 0;
	bare.seq = bare.pos = -1;
	for (uint32_t i = 0; i < rel->plan->column_count; i++) {
		if (rel->columns[i].visibility != COL_VISIBLE)
			continue;
		struct expr *e = expr_column(b, i, rel->columns[i].type, -1);
		if (!e)
			return bind_nomem(b);
		TRY(project_add(b, &p, e, rel->columns[i]));
	}
	return project_finish(b, &p, &bare, rel);
}

enum err bind_union(struct binder *b, const PgQuery__SelectStmt *x, struct rel *ret_rel)
{
	struct arms a = {.count = 0};
	struct rel rel;
	b->open_literals = false;
	TRY(collect_trees(b, x, &a));
	TRY(bind_arms(b, &a));
	TRY(arm_types(b, &a));
	TRY(union_node(b, &a, &rel));
	if (!x->all) {
		TRY(only_visible(b, &rel));
		TRY(rel_distinct(b, &rel));
	}
	TRY(bind_tail(b, x, &rel));
	*ret_rel = rel;
	return ERR_OK;
}

/* ---- constant rows --------------------------------------------------------------------------- */

enum err bind_no_source(struct binder *b, int32_t location)
{
	if (b->mode != BIND_VIEW)
		return ERR_OK;
	bind_hint(b, "a view computes its rows from records");
	return bind_fail(
	    b, location, ERR_SQL_UNSUPPORTED, "a SELECT in a view must read a table or a view");
}

enum err bind_one_row(struct binder *b, struct rel *ret_rel)
{
	struct rel rel = {.seq = -1, .pos = -1};
	TRY(plan_new(b, PLAN_VALUES, 0, &rel.plan));
	rel.plan->row_count = 1;
	rel.columns = bind_alloc(b, 0, sizeof *rel.columns);
	rel.keys = bind_alloc(b, 0, sizeof *rel.keys);
	if (!rel.columns || !rel.keys)
		return bind_nomem(b);
	*ret_rel = rel;
	return ERR_OK;
}

/* Binds all rows, row by row; every row as long as the first. */
static enum err values_exprs(
    struct binder *b, const PgQuery__SelectStmt *x, uint32_t width, struct expr **exprs)
{
	struct scope scope = {.clause = "VALUES"};
	for (size_t r = 0; r < x->n_values_lists; r++) {
		const PgQuery__List *row = x->values_lists[r]->list;
		if (row->n_items != width)
			return bind_fail(b, node_location(x->values_lists[r]), ERR_SQL_SYNTAX,
			    "VALUES lists must all be the same length");
		for (uint32_t c = 0; c < width; c++)
			TRY(bind_expr(b, &scope, row->items[c], &exprs[r * width + c]));
	}
	return ERR_OK;
}

static enum err values_column(struct binder *b, struct plan *p, uint32_t column)
{
	struct expr **cells = bind_alloc(b, p->row_count, sizeof(struct expr *));
	struct type type = {TYPE_UNKNOWN, 0, 0};
	char *name = arena_printf(b->arena, "column%u", column + 1);
	if (!cells || !name)
		return bind_nomem(b);
	for (uint32_t r = 0; r < p->row_count; r++)
		cells[r] = p->exprs[r * p->column_count + column];
	TRY(common_type(b, cells, p->row_count, "VALUES", &type));
	for (uint32_t r = 0; r < p->row_count; r++) {
		struct expr **e = &p->exprs[r * p->column_count + column];
		TRY(coerce(b, NULL, e, type, levels_implicit()));
		if ((*e)->kind != EXPR_CONST)
			return bind_fail(b, (*e)->location, ERR_SQL_TYPE, "VALUES takes constants");
	}
	p->columns[column] = (struct plan_column){str_of(name), type};
	return ERR_OK;
}

enum err bind_values(struct binder *b, const PgQuery__SelectStmt *x, struct rel *ret_rel)
{
	struct rel rel = {.seq = -1, .pos = -1};
	uint32_t width = (uint32_t)x->values_lists[0]->list->n_items;
	b->open_literals = false;
	TRY(bind_no_source(b, node_location(x->values_lists[0])));
	if (width > VIEW_COLUMNS_MAX)
		return bind_fail(b, -1, ERR_LIMIT, "more than %d columns", VIEW_COLUMNS_MAX);
	TRY(plan_new(b, PLAN_VALUES, width, &rel.plan));
	rel.plan->row_count = (uint32_t)x->n_values_lists;
	rel.plan->exprs = bind_alloc(b, (size_t)width * rel.plan->row_count, sizeof(struct expr *));
	rel.columns = bind_alloc(b, width, sizeof *rel.columns);
	rel.keys = bind_alloc(b, width, sizeof *rel.keys);
	if (!rel.plan->exprs || !rel.columns || !rel.keys)
		return bind_nomem(b);
	TRY(values_exprs(b, x, width, rel.plan->exprs));
	for (uint32_t c = 0; c < width; c++) {
		TRY(values_column(b, rel.plan, c));
		rel.columns[c] = (struct rel_column){
		    .name = rel.plan->columns[c].name, .type = rel.plan->columns[c].type};
		rel.keys[c] = c;
	}
	rel.key_count = width;
	TRY(bind_tail(b, x, &rel));
	*ret_rel = rel;
	return ERR_OK;
}
