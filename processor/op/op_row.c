/* SPDX-License-Identifier: Apache-2.0 */
/* The operators without state: filter, project, UNION ALL, VALUES. */
#include "processor/op/op_node.h"

static void free_plain(struct op *op)
{
	mem_free(op);
}

static enum err new_plain(struct op_tree *t, const struct plan *plan, const char *name,
    enum err (*push)(struct op *, struct delta *), struct op **ret_op)
{
	struct op *op = mem_calloc(1, sizeof *op);
	if (!op)
		return ERR_NOMEM;
	op_init(op, t, plan, name);
	op->push = push;
	op->free = free_plain;
	*ret_op = op;
	return ERR_OK;
}

/* ---- filter ---------------------------------------------------------------------------------- */

static enum err filter_push(struct op *op, struct delta *d)
{
	struct vec v;
	TRY(op_eval(op, op->plan->predicate, d, NULL, &v));
	if (op->tree->errors.count > 0) { /* rare: without the failed rows, again */
		TRY(op_drop_failed(op, d));
		return d->b.count > 0 ? filter_push(op, d) : ERR_OK;
	}
	uint32_t *keep = arena_alloc(d->b.arena, (d->b.count + 1) * sizeof *keep), kept = 0;
	if (!keep)
		return ERR_NOMEM;
	for (uint32_t r = 0; r < d->b.count; r++) {
		uint32_t at = vec_row(&v, r);
		keep[kept] = r;
		kept += v.b[at] && !(v.null && v.null[at]);
	}
	if (kept == 0)
		return ERR_OK;
	delta_keep(d, keep, kept);
	return op->out->push(op->out, d);
}

enum err op_filter_new(struct op_tree *t, const struct plan *plan, struct op **ret_op)
{
	return new_plain(t, plan, "filter", filter_push, ret_op);
}

/* ---- project --------------------------------------------------------------------------------- */

static enum err project_push(struct op *op, struct delta *d)
{
	uint32_t columns = op->plan->column_count;
	struct vec *cols = arena_alloc(d->b.arena, (columns + 1) * sizeof *cols);
	if (!cols)
		return ERR_NOMEM;
	for (uint32_t c = 0; c < columns; c++)
		TRY(op_eval(op, op->plan->exprs[c], d, NULL, &cols[c]));
	d->b.cols = cols;
	d->b.column_count = columns;
	TRY(op_drop_failed(op, d));
	return d->b.count > 0 ? op->out->push(op->out, d) : ERR_OK;
}

enum err op_project_new(struct op_tree *t, const struct plan *plan, struct op **ret_op)
{
	return new_plain(t, plan, "project", project_push, ret_op);
}

/* ---- UNION ALL ------------------------------------------------------------------------------- */

static enum err union_push(struct op *op, struct delta *d)
{
	return op->out->push(op->out, d);
}

enum err op_union_new(struct op_tree *t, const struct plan *plan, struct op **ret_op)
{
	return new_plain(t, plan, "union all", union_push, ret_op);
}

/* ---- VALUES: its rows come with the first flush ---------------------------------------------- */

struct values {
	struct op op;
	bool sent;
};

static enum err values_flush(struct op *op)
{
	struct values *v = (struct values *)op;
	const struct plan *p = op->plan;
	struct delta d;
	if (v->sent)
		return ERR_OK;
	v->sent = true;
	TRY(op_delta_new(op, p->row_count, &d));
	for (uint32_t r = 0; r < p->row_count; r++) {
		for (uint32_t c = 0; c < p->column_count; c++) {
			const struct expr *e = p->exprs[r * p->column_count + c];
			ASSERT(e->kind == EXPR_CONST);
			vec_set(&d.b.cols[c], d.b.count, e->value);
		}
		d.b.weight[d.b.count++] = 1;
		TRY(op_delta_send(op, &d, r + 1 == p->row_count));
	}
	return ERR_OK;
}

enum err op_values_new(struct op_tree *t, const struct plan *plan, struct op **ret_op)
{
	struct values *v = mem_calloc(1, sizeof *v);
	if (!v)
		return ERR_NOMEM;
	op_init(&v->op, t, plan, "values");
	v->op.flush = values_flush;
	v->op.free = free_plain;
	*ret_op = &v->op;
	return ERR_OK;
}
