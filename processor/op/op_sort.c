/* SPDX-License-Identifier: Apache-2.0 */
/* ORDER BY and LIMIT of queries. Sort keeps all rows as bytes (rank, row) until the flush; with a
 * LIMIT right above it keeps at most twice as many as can be shown. */
#include "processor/op/op_node.h"

#include <stdlib.h>

struct sorted_row {
	struct bytes rank, row;
	uint64_t number; /* arrival: ties keep their order */
};
struct sort {
	struct op op;
	struct arena rows_arena, spare;
	struct sorted_row *rows;
	size_t count, capacity;
	uint64_t next_number;
	uint64_t wanted; /* rows that a LIMIT above can show; UINT64_MAX = all */
	struct writer scratch;
};

static int by_rank(const void *a, const void *b)
{
	const struct sorted_row *x = a, *y = b;
	int c = bytes_compare(x->rank, y->rank);
	return c ? c : (x->number > y->number) - (x->number < y->number);
}

static void write_rank(
    const struct plan *plan, const struct delta *d, uint32_t row, struct writer *w)
{
	for (uint32_t i = 0; i < plan->order_count; i++) {
		const struct plan_order *o = &plan->order[i];
		const struct vec *v = &d->b.cols[o->column];
		struct datum value = vec_get(v, row);
		size_t from = w->len;
		key_encode(w, v->type.id, value);
		if (w->err != ERR_OK)
			return;
		if (value.null)
			w->ptr[from] = o->nulls_first ? 0 : 2;
		for (size_t k = from + 1; o->descending && k < w->len; k++)
			w->ptr[k] = (uint8_t)~w->ptr[k];
	}
}

/* Drops what a LIMIT can never show; the survivors move to the spare arena. */
static enum err cut(struct sort *s)
{
	qsort(s->rows, s->count, sizeof *s->rows, by_rank);
	s->count = s->wanted;
	for (size_t i = 0; i < s->count; i++) {
		struct sorted_row *r = &s->rows[i];
		r->rank = arena_copy(&s->spare, r->rank);
		r->row = arena_copy(&s->spare, r->row);
		if (!r->rank.ptr || !r->row.ptr)
			return ERR_NOMEM;
	}
	struct arena old = s->rows_arena;
	s->rows_arena = s->spare;
	s->spare = old;
	arena_clear(&s->spare);
	return ERR_OK;
}

static enum err sort_row(struct sort *s, const struct delta *d, uint32_t row)
{
	if (s->count == s->capacity) {
		size_t capacity = s->capacity ? s->capacity * 2 : 256;
		struct sorted_row *grown = mem_realloc(s->rows, capacity * sizeof *grown);
		if (!grown)
			return ERR_NOMEM;
		s->rows = grown;
		s->capacity = capacity;
	}
	writer_clear(&s->scratch);
	write_rank(s->op.plan, d, row, &s->scratch);
	size_t rank_len = s->scratch.len;
	for (uint32_t c = 0; c < d->b.column_count; c++)
		if (d->b.cols[c].data)
			vec_write(&s->scratch, &d->b.cols[c], row);
		else /* nobody reads it */
			write_u8(&s->scratch, 0);
	TRY(s->scratch.err);
	struct bytes all = arena_copy(&s->rows_arena, writer_bytes(&s->scratch));
	if (!all.ptr)
		return ERR_NOMEM;
	s->rows[s->count++] = (struct sorted_row){bytes_slice(all, 0, rank_len),
	    bytes_slice(all, rank_len, all.len - rank_len), s->next_number++};
	return ERR_OK;
}

static enum err sort_push(struct op *op, struct delta *d)
{
	struct sort *s = (struct sort *)op;
	size_t limit = op->tree->env->memory_bytes;
	for (uint32_t r = 0; r < d->b.count; r++)
		TRY(sort_row(s, d, r));
	if (s->wanted < UINT64_MAX / 2 && s->count > 2 * s->wanted + BATCH_ROWS_MAX)
		TRY(cut(s));
	if (limit && s->rows_arena.used_bytes + s->capacity * sizeof *s->rows > limit)
		return err_note(
		    ERR_LIMIT, "ORDER BY needs more than %zu bytes: add a WHERE or a LIMIT", limit);
	return ERR_OK;
}

static enum err sort_flush(struct op *op)
{
	struct sort *s = (struct sort *)op;
	struct delta d;
	if (s->count == 0)
		return ERR_OK;
	qsort(s->rows, s->count, sizeof *s->rows, by_rank);
	TRY(op_delta_new(op, s->count, &d));
	for (size_t i = 0; i < s->count && !op->tree->done; i++) {
		struct reader r = reader_of(s->rows[i].row);
		for (uint32_t c = 0; c < op->plan->column_count; c++) {
			struct datum value;
			TRY(datum_read(&r, d.b.cols[c].type.id, &value));
			vec_set(&d.b.cols[c], d.b.count, value);
		}
		d.b.weight[d.b.count++] = 1;
		TRY(op_delta_send(op, &d, false));
	}
	TRY(op_delta_send(op, &d, true));
	s->count = 0;
	return ERR_OK;
}

static void sort_free(struct op *op)
{
	struct sort *s = (struct sort *)op;
	arena_release(&s->rows_arena);
	arena_release(&s->spare);
	writer_release(&s->scratch);
	mem_free(s->rows);
	mem_free(s);
}

/* The rows that a LIMIT above `sort` can show, through projections. */
static uint64_t rows_wanted(const struct plan *p, const struct plan *sort)
{
	uint64_t wanted = UINT64_MAX;
	for (; p != sort; p = p->inputs[0]) {
		if (p->kind == PLAN_LIMIT && p->limit >= 0)
			wanted = (uint64_t)p->limit + (uint64_t)(p->offset > 0 ? p->offset : 0);
		else if (p->kind != PLAN_PROJECT || p->input_count != 1)
			wanted = UINT64_MAX;
		if (p->input_count != 1)
			return UINT64_MAX;
	}
	return wanted;
}

enum err op_sort_new(struct op_tree *t, const struct plan *plan, struct op **ret_op)
{
	struct sort *s = mem_calloc(1, sizeof *s);
	if (!s)
		return ERR_NOMEM;
	op_init(&s->op, t, plan, "sort");
	s->op.push = sort_push;
	s->op.flush = sort_flush;
	s->op.free = sort_free;
	s->wanted = rows_wanted(t->plan->root, plan);
	arena_init(&s->rows_arena, SIZE_MAX);
	arena_init(&s->spare, SIZE_MAX);
	writer_init(&s->scratch, UINT32_MAX);
	*ret_op = &s->op;
	return ERR_OK;
}

/* ---- LIMIT, OFFSET --------------------------------------------------------------------------- */

struct limit {
	struct op op;
	uint64_t seen;
};

static enum err limit_push(struct op *op, struct delta *d)
{
	struct limit *l = (struct limit *)op;
	uint64_t from = op->plan->offset > 0 ? (uint64_t)op->plan->offset : 0;
	uint64_t end = op->plan->limit < 0 ? UINT64_MAX : from + (uint64_t)op->plan->limit;
	uint32_t *keep = arena_alloc(d->b.arena, (d->b.count + 1) * sizeof *keep), kept = 0;
	if (!keep)
		return ERR_NOMEM;
	for (uint32_t r = 0; r < d->b.count; r++, l->seen++)
		if (l->seen >= from && l->seen < end)
			keep[kept++] = r;
	/* what is not asked for any more need not be read, unless something else reads along */
	op->tree->done = op->tree->done || (l->seen >= end && op->out->plan == NULL);
	if (kept == 0)
		return ERR_OK;
	delta_keep(d, keep, kept);
	return op->out->push(op->out, d);
}

static void limit_free(struct op *op)
{
	mem_free(op);
}

enum err op_limit_new(struct op_tree *t, const struct plan *plan, struct op **ret_op)
{
	struct limit *l = mem_calloc(1, sizeof *l);
	if (!l)
		return ERR_NOMEM;
	op_init(&l->op, t, plan, "limit");
	l->op.push = limit_push;
	l->op.free = limit_free;
	*ret_op = &l->op;
	return ERR_OK;
}
