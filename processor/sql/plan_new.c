/* SPDX-License-Identifier: Apache-2.0 */
/* Making plan nodes and relations. */
#include "processor/sql/bind.h"

void *bind_alloc(struct binder *b, size_t count, size_t len)
{
	return arena_calloc(b->arena, count ? count : 1, len);
}

enum err bind_grow(struct binder *b, void *items, uint32_t count, uint32_t *capacity, size_t len)
{
	void *old = NULL;
	if (count < *capacity)
		return ERR_OK;
	uint32_t grown = *capacity ? *capacity * 2 : 16;
	void *larger = bind_alloc(b, grown, len);
	if (!larger)
		return bind_nomem(b);
	memcpy(&old, items, sizeof old);
	if (count > 0)
		memcpy(larger, old, count * len);
	memcpy(items, &larger, sizeof larger);
	*capacity = grown;
	return ERR_OK;
}

enum err bind_copy(struct binder *b, struct str s, struct str *ret_copy)
{
	struct str copy = arena_copy_str(b->arena, s);
	if (s.len == 0)
		copy = s.ptr ? STR("") : (struct str){NULL, 0};
	else if (!copy.ptr)
		return bind_nomem(b);
	*ret_copy = copy;
	return ERR_OK;
}

enum err plan_new(
    struct binder *b, enum plan_kind kind, uint32_t column_count, struct plan **ret_plan)
{
	if (++b->totals->nodes > BIND_NODES_MAX)
		return bind_fail(
		    b, -1, ERR_LIMIT, "the plan has more than %d nodes", BIND_NODES_MAX);
	struct plan *p = bind_alloc(b, 1, sizeof *p);
	if (!p)
		return bind_nomem(b);
	p->kind = kind;
	p->columns = bind_alloc(b, column_count, sizeof *p->columns);
	p->column_count = column_count;
	p->append_only = true;
	p->limit = -1;
	if (!p->columns)
		return bind_nomem(b);
	*ret_plan = p;
	return ERR_OK;
}

static enum err set_input(struct binder *b, struct plan *p, struct plan *input)
{
	p->inputs = bind_alloc(b, 1, sizeof(struct plan *));
	if (!p->inputs)
		return bind_nomem(b);
	p->inputs[0] = input;
	p->input_count = 1;
	p->append_only = input->append_only;
	return ERR_OK;
}

enum err plan_over(
    struct binder *b, enum plan_kind kind, struct plan *input, struct plan **ret_plan)
{
	struct plan *p = NULL;
	TRY(plan_new(b, kind, input->column_count, &p));
	memcpy(p->columns, input->columns, input->column_count * sizeof *p->columns);
	TRY(set_input(b, p, input));
	*ret_plan = p;
	return ERR_OK;
}

bool plan_reads_topic(const struct plan *p)
{
	bool reads = p->kind == PLAN_SOURCE;
	for (uint32_t i = 0; i < p->input_count; i++)
		reads = reads || plan_reads_topic(p->inputs[i]);
	return reads;
}

enum err rel_filter(struct binder *b, struct rel *rel, struct expr *predicate)
{
	struct plan *p = NULL;
	TRY(plan_over(b, PLAN_FILTER, rel->plan, &p));
	p->predicate = predicate;
	rel->plan = p;
	return ERR_OK;
}

enum err rel_columns_copy(struct binder *b, struct rel *rel)
{
	uint32_t count = rel->plan->column_count;
	struct rel_column *columns = bind_alloc(b, count, sizeof *columns);
	if (!columns)
		return bind_nomem(b);
	memcpy(columns, rel->columns, count * sizeof *columns);
	rel->columns = columns;
	return ERR_OK;
}

/* ---- projections ----------------------------------------------------------------------------- */

enum err project_add(struct binder *b, struct project *p, struct expr *e, struct rel_column column)
{
	uint32_t capacity = p->capacity;
	TRY(bind_grow(b, &p->exprs, p->count, &capacity, sizeof(struct expr *)));
	TRY(bind_grow(b, &p->columns, p->count, &p->capacity, sizeof *p->columns));
	column.type = e->type;
	p->exprs[p->count] = e;
	p->columns[p->count++] = column;
	return ERR_OK;
}

enum err project_column(struct binder *b, struct project *p, const struct rel *rel, uint32_t column,
    uint32_t *ret_index)
{
	for (uint32_t i = 0; i < p->count; i++)
		if (p->exprs[i]->kind == EXPR_COLUMN && p->exprs[i]->column == column) {
			*ret_index = i;
			return ERR_OK;
		}
	const struct rel_column *from = &rel->columns[column];
	struct expr *e = expr_column(b, column, from->type, -1);
	if (!e)
		return bind_nomem(b);
	struct rel_column internal = *from;
	internal.visibility = COL_INTERNAL;
	TRY(project_add(b, p, e, internal));
	*ret_index = p->count - 1;
	return ERR_OK;
}

static enum err carry_order(
    struct binder *b, struct project *p, const struct rel *in, struct rel *out)
{
	uint32_t index = 0;
	out->seq = out->pos = -1;
	if (in->seq < 0)
		return ERR_OK;
	TRY(project_column(b, p, in, (uint32_t)in->seq, &index));
	out->seq = (int32_t)index;
	TRY(project_column(b, p, in, (uint32_t)in->pos, &index));
	out->pos = (int32_t)index;
	return ERR_OK;
}

enum err project_finish(
    struct binder *b, struct project *p, const struct rel *in, struct rel *ret_rel)
{
	struct rel out = *in;
	out.keys = bind_alloc(b, in->key_count, sizeof *out.keys);
	if (!out.keys)
		return bind_nomem(b);
	for (uint32_t i = 0; i < in->key_count; i++)
		TRY(project_column(b, p, in, in->keys[i], &out.keys[i]));
	TRY(carry_order(b, p, in, &out));
	TRY(plan_new(b, PLAN_PROJECT, p->count, &out.plan));
	TRY(set_input(b, out.plan, in->plan));
	out.plan->exprs = p->exprs;
	out.columns = p->columns;
	for (uint32_t i = 0; i < p->count; i++)
		out.plan->columns[i] = (struct plan_column){p->columns[i].name, p->columns[i].type};
	*ret_rel = out;
	return ERR_OK;
}
