/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last pass over a plan: columns that nothing above needs are dropped (so sources decode and
 * state keeps only what is used), projections that change nothing are removed, nodes are numbered,
 * and the root gets its final shape.
 *
 * prune(p, need) returns the node that takes p's place, and for each old column that was needed its
 * new number. Nodes are not shared at this point, so they are changed in place; expressions may be,
 * so they are copied.
 */
#include "processor/sql/bind.h"

static const uint32_t NO_COLUMN = UINT32_MAX;

struct pruned {
	struct plan *plan;
	uint32_t *map; /* old column -> new column, NO_COLUMN = dropped */
};

static enum err prune(
    struct binder *b, struct plan *p, const uint8_t *need, bool keep, struct pruned *ret);

/* ---- helpers --------------------------------------------------------------------------------- */

static enum err remap(struct binder *b, struct expr **e, const uint32_t *map)
{
	if (!*e)
		return ERR_OK;
	*e = expr_remap(b->arena, *e, map);
	return *e ? ERR_OK : bind_nomem(b);
}

static enum err map_new(struct binder *b, uint32_t count, bool identity, uint32_t **ret_map)
{
	uint32_t *map = bind_alloc(b, count, sizeof *map);
	if (!map)
		return bind_nomem(b);
	for (uint32_t i = 0; i < count; i++)
		map[i] = identity ? i : NO_COLUMN;
	*ret_map = map;
	return ERR_OK;
}

/* A copy of `need` that more can be added to. */
static enum err need_copy(
    struct binder *b, const struct plan *p, const uint8_t *need, uint8_t **ret_need)
{
	uint8_t *copy = bind_alloc(b, p->column_count, 1);
	if (!copy)
		return bind_nomem(b);
	if (need && p->column_count > 0)
		memcpy(copy, need, p->column_count);
	*ret_need = copy;
	return ERR_OK;
}

/* For nodes whose columns are their input's. */
static enum err take_columns(struct binder *b, struct plan *p, struct pruned *input)
{
	p->inputs[0] = input->plan;
	p->column_count = input->plan->column_count;
	p->columns = bind_alloc(b, p->column_count, sizeof *p->columns);
	if (!p->columns)
		return bind_nomem(b);
	memcpy(p->columns, input->plan->columns, p->column_count * sizeof *p->columns);
	return ERR_OK;
}

/* ---- per kind -------------------------------------------------------------------------------- */

static enum err prune_leaf(
    struct binder *b, struct plan *p, const uint8_t *need, struct pruned *ret)
{
	TRY(need_copy(b, p, need, &p->column_needed));
	ret->plan = p;
	return map_new(b, p->column_count, true, &ret->map);
}

static enum err prune_filter(
    struct binder *b, struct plan *p, const uint8_t *need, struct pruned *ret)
{
	uint8_t *below = NULL;
	TRY(need_copy(b, p, need, &below));
	expr_mark(p->predicate, below);
	TRY(prune(b, p->inputs[0], below, false, ret));
	TRY(remap(b, &p->predicate, ret->map));
	TRY(take_columns(b, p, ret));
	ret->plan = p;
	return ERR_OK;
}

static bool is_identity(const struct plan *p)
{
	const struct plan *in = p->inputs[0];
	if (p->column_count != in->column_count)
		return false;
	for (uint32_t i = 0; i < p->column_count; i++)
		if (p->exprs[i]->kind != EXPR_COLUMN || p->exprs[i]->column != i ||
		    !str_equal(p->columns[i].name, in->columns[i].name) ||
		    !type_equal(p->columns[i].type, in->columns[i].type))
			return false;
	return true;
}

/* Two projections become one, unless an expression of the lower one would then be computed more
 * than once. */
static enum err merge_project(struct binder *b, struct plan *p)
{
	const struct plan *in = p->inputs[0];
	if (in->kind != PLAN_PROJECT)
		return ERR_OK;
	uint32_t *uses = bind_alloc(b, in->column_count, sizeof *uses);
	if (!uses)
		return bind_nomem(b);
	for (uint32_t i = 0; i < p->column_count; i++)
		expr_count(p->exprs[i], uses);
	for (uint32_t i = 0; i < in->column_count; i++)
		if (uses[i] > 1 && in->exprs[i]->kind != EXPR_COLUMN &&
		    in->exprs[i]->kind != EXPR_CONST)
			return ERR_OK;
	for (uint32_t i = 0; i < p->column_count; i++) {
		p->exprs[i] = expr_substitute(b->arena, p->exprs[i], in->exprs);
		if (!p->exprs[i])
			return bind_nomem(b);
	}
	p->inputs[0] = in->inputs[0];
	return ERR_OK;
}

static enum err prune_project(
    struct binder *b, struct plan *p, const uint8_t *need, bool keep, struct pruned *ret)
{
	struct pruned in;
	uint8_t *below = NULL;
	uint32_t count = 0, *map = NULL;
	TRY(need_copy(b, p->inputs[0], NULL, &below));
	TRY(map_new(b, p->column_count, false, &map));
	for (uint32_t i = 0; i < p->column_count; i++)
		if (need[i])
			expr_mark(p->exprs[i], below);
	TRY(prune(b, p->inputs[0], below, false, &in));
	for (uint32_t i = 0; i < p->column_count; i++) {
		if (!need[i])
			continue;
		map[i] = count;
		p->exprs[count] = p->exprs[i];
		p->columns[count] = p->columns[i];
		TRY(remap(b, &p->exprs[count], in.map));
		count++;
	}
	p->column_count = count;
	p->inputs[0] = in.plan;
	TRY(merge_project(b, p));
	ret->map = map;
	/* nothing is computed, or nothing at all: count(*) needs no columns */
	ret->plan = !keep && (count == 0 || is_identity(p)) ? p->inputs[0] : p;
	return ERR_OK;
}

static enum err prune_aggs(
    struct binder *b, struct plan *p, const uint8_t *need, uint8_t *below, uint32_t *map)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < p->agg_count; i++) {
		uint32_t column = p->key_count + i;
		if (!need[column])
			continue;
		map[column] = p->key_count + kept;
		p->columns[p->key_count + kept] = p->columns[column];
		p->aggs[kept++] = p->aggs[i];
		if (p->aggs[kept - 1].arg)
			expr_mark(p->aggs[kept - 1].arg, below);
		if (p->aggs[kept - 1].filter)
			expr_mark(p->aggs[kept - 1].filter, below);
	}
	p->agg_count = kept;
	p->column_count = p->key_count + kept;
	return map ? ERR_OK : bind_nomem(b);
}

static enum err prune_aggregate(
    struct binder *b, struct plan *p, const uint8_t *need, struct pruned *ret)
{
	struct pruned in;
	uint8_t *below = NULL;
	uint32_t *map = NULL;
	TRY(need_copy(b, p->inputs[0], NULL, &below));
	TRY(map_new(b, p->column_count, true, &map));
	for (uint32_t i = 0; i < p->key_count; i++)
		below[p->keys[i]] = 1;
	TRY(prune_aggs(b, p, need, below, map));
	TRY(prune(b, p->inputs[0], below, false, &in));
	p->inputs[0] = in.plan;
	for (uint32_t i = 0; i < p->key_count; i++)
		p->keys[i] = in.map[p->keys[i]];
	for (uint32_t i = 0; i < p->agg_count; i++) {
		TRY(remap(b, &p->aggs[i].arg, in.map));
		TRY(remap(b, &p->aggs[i].filter, in.map));
	}
	ret->plan = p;
	ret->map = map;
	return ERR_OK;
}

/* Of DISTINCT_ON's columns those that are read above it: by the others it only orders. */
static enum err needed_above(
    struct binder *b, struct plan *p, const uint8_t *need, uint32_t count, const uint32_t *map)
{
	TRY(need_copy(b, p, NULL, &p->column_needed));
	for (uint32_t i = 0; i < count; i++)
		if (need[i])
			p->column_needed[map[i]] = 1;
	return ERR_OK;
}

/* DISTINCT_ON, DISTINCT, SORT, LIMIT. Keys may be shared with the relation: they are copied. */
static enum err prune_ordered(
    struct binder *b, struct plan *p, const uint8_t *need, struct pruned *ret)
{
	uint8_t *below = NULL;
	uint32_t column_count = p->column_count;
	TRY(need_copy(b, p, need, &below));
	if (p->kind == PLAN_DISTINCT)
		memset(below, 1, p->column_count);
	for (uint32_t i = 0; i < p->key_count; i++)
		below[p->keys[i]] = 1;
	for (uint32_t i = 0; i < p->order_count; i++)
		below[p->order[i].column] = 1;
	TRY(prune(b, p->inputs[0], below, p->kind == PLAN_DISTINCT, ret));
	uint32_t *keys = bind_alloc(b, p->key_count, sizeof *keys);
	if (!keys)
		return bind_nomem(b);
	for (uint32_t i = 0; i < p->key_count; i++)
		keys[i] = ret->map[p->keys[i]];
	p->keys = keys;
	for (uint32_t i = 0; i < p->order_count; i++)
		p->order[i].column = ret->map[p->order[i].column];
	TRY(take_columns(b, p, ret));
	ret->plan = p;
	return p->kind == PLAN_DISTINCT_ON ? needed_above(b, p, need, column_count, ret->map)
	                                   : ERR_OK;
}

static enum err prune_union(
    struct binder *b, struct plan *p, const uint8_t *need, struct pruned *ret)
{
	struct pruned in = {NULL, NULL};
	for (uint32_t i = 0; i < p->input_count; i++) {
		ASSERT(p->inputs[i]->kind == PLAN_PROJECT);
		TRY(prune(b, p->inputs[i], need, true, &in));
		p->inputs[i] = in.plan;
	}
	p->column_count = in.plan->column_count;
	memcpy(p->columns, p->inputs[0]->columns, p->column_count * sizeof *p->columns);
	ret->plan = p;
	ret->map = in.map;
	return ERR_OK;
}

static enum err prune(
    struct binder *b, struct plan *p, const uint8_t *need, bool keep, struct pruned *ret)
{
	switch (p->kind) {
	case PLAN_SOURCE:
	case PLAN_ROWS:
	case PLAN_VALUES:
		return prune_leaf(b, p, need, ret);
	case PLAN_FILTER:
		return prune_filter(b, p, need, ret);
	case PLAN_PROJECT:
		return prune_project(b, p, need, keep, ret);
	case PLAN_AGGREGATE:
		return prune_aggregate(b, p, need, ret);
	case PLAN_DISTINCT_ON:
	case PLAN_DISTINCT:
	case PLAN_SORT:
	case PLAN_LIMIT:
		return prune_ordered(b, p, need, ret);
	case PLAN_UNION_ALL:
		return prune_union(b, p, need, ret);
	}
	return bind_fail(b, -1, ERR_BUG, "unknown plan node %d", (int)p->kind);
}

/* ---- numbering and properties ---------------------------------------------------------------- */

/* sum of integers cannot overflow its type within 2^32 rows of one group; numeric and floating sums
 * can. */
static bool agg_can_fail(const struct agg *a)
{
	bool adds = a->kind == AGG_SUM || a->kind == AGG_AVG;
	enum type_id t = a->arg ? a->arg->type.id : TYPE_UNKNOWN;
	bool wide = t == TYPE_NUMERIC || t == TYPE_FLOAT4 || t == TYPE_FLOAT8 || t == TYPE_INTERVAL;
	return (adds && wide) || (a->arg && a->arg->can_fail) || (a->filter && a->filter->can_fail);
}

static bool node_can_fail(const struct plan *p)
{
	if (p->kind == PLAN_FILTER && p->predicate->can_fail)
		return true;
	for (uint32_t i = 0; p->kind == PLAN_PROJECT && i < p->column_count; i++)
		if (p->exprs[i]->can_fail)
			return true;
	for (uint32_t i = 0; i < p->agg_count; i++)
		if (agg_can_fail(&p->aggs[i]))
			return true;
	return false;
}

/* Numbers nodes, parents before inputs. Returns whether the subtree keeps state. */
static bool number(struct view_plan *v, struct plan *p)
{
	bool below = false;
	if (p->stateful)
		p->state_id = v->state_count++;
	if (p->kind == PLAN_SOURCE || p->kind == PLAN_ROWS) {
		ASSERT(v->source_count < BIND_SOURCES_MAX);
		p->source_id = v->source_count;
		v->sources[v->source_count++] = p;
	}
	for (uint32_t i = 0; i < p->input_count; i++)
		below |= number(v, p->inputs[i]);
	v->fails_above_state |= below && node_can_fail(p);
	return below || p->stateful;
}

/* ---- the root -------------------------------------------------------------------------------- */

struct root {
	uint32_t *columns; /* of rel: visible ones, then hidden keys */
	uint32_t count;
	uint32_t visible;
};

static enum err root_columns(
    struct binder *b, const struct rel *rel, bool with_keys, struct root *root)
{
	root->columns = bind_alloc(b, rel->plan->column_count, sizeof *root->columns);
	if (!root->columns)
		return bind_nomem(b);
	for (uint32_t i = 0; i < rel->plan->column_count; i++)
		if (rel->columns[i].visibility == COL_VISIBLE)
			root->columns[root->count++] = i;
	root->visible = root->count;
	for (uint32_t k = 0; with_keys && k < rel->key_count; k++) {
		bool known = false;
		for (uint32_t i = 0; i < root->count && !known; i++)
			known = root->columns[i] == rel->keys[k];
		if (!known)
			root->columns[root->count++] = rel->keys[k];
	}
	if (root->visible > VIEW_COLUMNS_MAX)
		return bind_fail(b, -1, ERR_LIMIT, "more than %d columns", VIEW_COLUMNS_MAX);
	return ERR_OK;
}

/* Hidden names must not collide with visible ones: whoever stores rows uses them. */
static enum err hidden_name(
    struct binder *b, const struct plan *p, uint32_t upto, struct str wish, struct str *ret_name)
{
	struct str name = wish;
	for (uint32_t i = 0; i < upto; i++) {
		if (!str_equal(p->columns[i].name, name))
			continue;
		char *longer = arena_printf(b->arena, "_%.*s", STR_ARG(name));
		if (!longer)
			return bind_nomem(b);
		name = str_of(longer);
		i = UINT32_MAX; /* and from the start again */
	}
	*ret_name = name;
	return ERR_OK;
}

static enum err root_names(
    struct binder *b, const struct rel *rel, const struct root *root, struct plan *p)
{
	for (uint32_t i = 0; i < root->count; i++) {
		const struct rel_column *c = &rel->columns[root->columns[i]];
		p->columns[i].name = c->name;
		if (i >= root->visible)
			TRY(hidden_name(b, p, i, c->name, &p->columns[i].name));
	}
	return ERR_OK;
}

/* Exactly the root's columns in their order: by a projection on top where the plan has others. */
static enum err root_shape(
    struct binder *b, const struct rel *rel, const struct root *root, struct pruned *top)
{
	struct plan *p = top->plan, *project = NULL;
	bool same = p->column_count == root->count;
	for (uint32_t i = 0; i < root->count && same; i++)
		same = top->map[root->columns[i]] == i;
	if (same)
		return root_names(b, rel, root, p);
	TRY(plan_over(b, PLAN_PROJECT, p, &project));
	project->columns = bind_alloc(b, root->count, sizeof *project->columns);
	project->exprs = bind_alloc(b, root->count, sizeof(struct expr *));
	if (!project->columns || !project->exprs)
		return bind_nomem(b);
	project->column_count = root->count;
	for (uint32_t i = 0; i < root->count; i++) {
		uint32_t from = top->map[root->columns[i]];
		project->columns[i] = p->columns[from];
		project->exprs[i] = expr_column(b, from, p->columns[from].type, -1);
		if (!project->exprs[i])
			return bind_nomem(b);
	}
	TRY(merge_project(b, project));
	top->plan = project;
	return root_names(b, rel, root, project);
}

static enum err root_keys(
    struct binder *b, const struct rel *rel, const struct root *root, struct view_plan *v)
{
	v->keys = bind_alloc(b, rel->key_count, sizeof *v->keys);
	if (!v->keys)
		return bind_nomem(b);
	v->keys_visible = true;
	for (uint32_t k = 0; k < rel->key_count; k++) {
		uint32_t i = 0;
		while (root->columns[i] != rel->keys[k])
			i++;
		v->keys[v->key_count++] = i;
		v->keys_visible = v->keys_visible && i < root->visible;
	}
	return ERR_OK;
}

enum err plan_finish(struct binder *b, const struct rel *rel, struct view_plan **ret_plan)
{
	struct root root = {.count = 0};
	struct pruned top;
	bool is_view = b->mode == BIND_VIEW;
	struct view_plan *v = bind_alloc(b, 1, sizeof *v);
	uint8_t *need = bind_alloc(b, rel->plan->column_count, 1);
	if (!v || !need)
		return bind_nomem(b);
	TRY(root_columns(b, rel, is_view, &root));
	for (uint32_t i = 0; i < root.count; i++)
		need[root.columns[i]] = 1;
	TRY(prune(b, rel->plan, need, false, &top));
	TRY(root_shape(b, rel, &root, &top));
	v->arena = b->arena;
	v->root = top.plan;
	v->visible_count = root.visible;
	v->reads = b->reads;
	v->read_count = b->read_count;
	v->sources = bind_alloc(b, BIND_SOURCES_MAX, sizeof(struct plan *));
	if (!v->sources)
		return bind_nomem(b);
	if (is_view)
		TRY(root_keys(b, rel, &root, v));
	number(v, v->root);
	v->window_end = -1;
	for (uint32_t i = 0; i < root.count; i++)
		if (rel->columns[root.columns[i]].role == ROLE_WINDOW_END && v->window_end < 0)
			v->window_end = (int32_t)i;
	*ret_plan = v;
	return ERR_OK;
}
