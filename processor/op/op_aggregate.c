/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GROUP BY and SELECT DISTINCT: rows in. A batch is taken as a whole: arguments and filters in
 * vectors, keys encoded and probed together, one loop per aggregate. When a sum of the batch might
 * overflow, rows go one at a time instead, each first tried on all aggregates: the row that
 * overflows is refused and leaves no trace.
 */
#include "processor/op/agg_group.h"

bool op_aggregate_can_fail(const struct plan *plan)
{
	for (uint32_t i = 0; i < plan->agg_count; i++) {
		const struct agg *g = &plan->aggs[i];
		bool adds = g->kind == AGG_SUM || g->kind == AGG_AVG;
		if (!adds)
			continue;
		struct type t = g->arg->type;
		/* 10^18 rows of 20 digits fit; a sum of integers overflows beyond 2^31 rows and
		 * then stops the view */
		bool roomy = t.id == TYPE_NUMERIC && t.precision > 0 && t.precision <= 20;
		if (t.id == TYPE_FLOAT4 || t.id == TYPE_FLOAT8 || t.id == TYPE_INTERVAL ||
		    (t.id == TYPE_NUMERIC && !roomy))
			return true;
	}
	return false;
}

/* ---- arguments ------------------------------------------------------------------------------- */

enum { SPAN_ROWS = 256 };

/* Rows [from, end) of the batch and the group of each. */
struct span {
	struct entry **entries;
	uint32_t from, end;
};

static uint8_t *mask_of(struct arena *a, uint32_t count)
{
	uint8_t *mask = arena_alloc(a, count + 1);
	if (mask)
		memset(mask, 1, count);
	return mask;
}

static enum err eval_slot(
    struct aggregate *a, struct delta *d, const struct agg *agg, struct slot_input *in)
{
	struct vec filter;
	uint32_t count = d->b.count;
	*in = (struct slot_input){.use = NULL};
	if (agg->filter) {
		TRY(op_eval(&a->op, agg->filter, d, NULL, &filter));
		in->use = mask_of(d->b.arena, count);
		if (!in->use)
			return ERR_NOMEM;
		for (uint32_t r = 0; r < count; r++)
			in->use[r] = !vec_is_null(&filter, r) && filter.b[vec_row(&filter, r)];
	}
	if (!agg->arg || agg->kind == AGG_COUNT_STAR)
		return ERR_OK;
	TRY(op_eval(&a->op, agg->arg, d, in->use, &in->v));
	if (!in->v.null)
		return ERR_OK;
	if (!in->use && !(in->use = mask_of(d->b.arena, count)))
		return ERR_NOMEM;
	for (uint32_t r = 0; r < count; r++)
		in->use[r] &= !vec_is_null(&in->v, r);
	return ERR_OK;
}

/* Evaluates all arguments; when rows failed, drops them and evaluates the rest again. */
static enum err eval_inputs(struct aggregate *a, struct delta *d)
{
	for (uint32_t i = 0; i < a->slot_count; i++)
		TRY(eval_slot(a, d, a->slots[i].agg, &a->inputs[i]));
	if (a->op.tree->errors.count == 0)
		return ERR_OK;
	TRY(op_drop_failed(&a->op, d));
	return d->b.count > 0 ? eval_inputs(a, d) : ERR_OK;
}

/* ---- one row --------------------------------------------------------------------------------- */

static enum err keep_shown(
    struct aggregate *a, struct group *g, const struct delta *d, uint32_t row)
{
	struct writer w;
	writer_init(&w, SIZE_MAX);
	for (uint32_t k = 0; k < a->key_count; k++) {
		const struct vec *v = &d->b.cols[a->keys[k]];
		datum_write(&w, v->type.id, vec_get(v, row));
	}
	enum err err = w.err;
	if (err == ERR_OK && !(g->shown = slab_alloc(&a->groups.slab, w.len)))
		err = ERR_NOMEM;
	if (err == ERR_OK) {
		memcpy(g->shown, w.ptr, w.len);
		g->shown_len = w.len;
	}
	writer_release(&w);
	return err;
}

static void add_lineage(struct op_lineage *to, struct op_lineage l, int32_t weight)
{
	if (weight < 0) {
		to->record_count -= l.record_count;
		return;
	}
	if (to->record_count == 0 || l.first_sequence < to->first_sequence)
		to->first_sequence = l.first_sequence;
	if (l.last_sequence > to->last_sequence)
		to->last_sequence = l.last_sequence;
	to->record_count += l.record_count;
}

/* Counts the row into its group, which is about to change. */
static enum err enter(struct aggregate *a, struct entry *e, const struct delta *d, uint32_t row)
{
	struct group *g = group_of(e);
	int32_t weight = delta_weight(d, row);
	if (a->distinct && !a->retracts && g->rows > 0)
		return ERR_OK;
	TRY(table_touch(&a->groups, e));
	if (g->rows + weight < 0)
		return err_note(ERR_CORRUPT, "a row is taken out of a group that it is not in");
	if (a->shows_key && !g->shown)
		TRY(keep_shown(a, g, d, row));
	if (!a->distinct || g->rows == 0)
		add_lineage(&g->lineage, delta_lineage(d, row), weight);
	g->rows += weight;
	if (g->rows == 0)
		g->lineage = (struct op_lineage){0, 0, 0};
	return ERR_OK;
}

/* One row on its way into its group. */
struct step {
	struct entry *e;
	uint32_t row;
	int32_t weight;
	bool try;
};
static enum err slot_row(struct aggregate *a, uint32_t slot, const struct step *x)
{
	const struct agg_slot *s = &a->slots[slot];
	const struct slot_input *in = &a->inputs[slot];
	struct agg_value v = {.weight = x->weight, .try = x->try};
	if (in->use && !in->use[x->row])
		return ERR_OK;
	if (in->v.data)
		v.value = vec_get(&in->v, x->row);
	if (s->keeps_bag) {
		if (x->try)
			return ERR_OK;
		TRY(group_bag_add(a, x->e, s, v.value, x->weight));
		return agg_slot_from_bag(s, slot_state(s, x->e), &a->groups.slab);
	}
	if (s->part != 0) {
		TRY(group_member_add(a, x->e, s, &v));
		if (v.weight == 0)
			return ERR_OK;
	}
	return agg_slot_add(s, slot_state(s, x->e), &a->groups.slab, &v);
}

static enum err refuse(
    struct aggregate *a, struct delta *d, uint32_t row, const struct agg_slot *s, enum err err)
{
	struct row_error e = {.row = row, .err = err};
	static const char text[] = "an aggregate of this group would leave its type's range";
	memcpy(e.message, text, sizeof text);
	if (!d->b.origin && !a->op.tree->recording && !a->op.tree->env->query)
		return err_note(err, "sum of %s above other state overflows", type_name(s->arg));
	return op_row_error(&a->op, d, &e);
}

/* ERR_OK: taken; the row's own error otherwise, or a fatal one: *ret_slot tells which aggregate it
 * was, NULL = fatal. */
static enum err take_row(struct aggregate *a, struct delta *d, struct entry *e, uint32_t row,
    const struct agg_slot **ret_slot)
{
	struct step x = {e, row, delta_weight(d, row), true};
	*ret_slot = NULL;
	for (uint32_t i = 0; i < a->slot_count; i++) {
		if (!a->slots[i].can_fail)
			continue;
		enum err err = slot_row(a, i, &x);
		if (err == ERR_NUMERIC_OVERFLOW)
			*ret_slot = &a->slots[i];
		TRY(err);
	}
	TRY(enter(a, e, d, row));
	x.try = false;
	for (uint32_t i = 0; i < a->slot_count; i++)
		TRY(slot_row(a, i, &x));
	return ERR_OK;
}

static enum err take_rows(struct aggregate *a, struct delta *d, const struct span *x)
{
	const struct agg_slot *which;
	for (uint32_t r = x->from; r < x->end; r++) {
		enum err err = take_row(a, d, x->entries[r], r, &which);
		if (err != ERR_OK && which)
			err = refuse(a, d, r, which, err);
		TRY(err);
	}
	return ERR_OK;
}

/* ---- many rows ------------------------------------------------------------------------------- */

static struct slot_rows rows_of(
    const struct aggregate *a, const struct delta *d, const struct span *x, uint32_t slot)
{
	const struct slot_input *in = &a->inputs[slot];
	return (struct slot_rows){x->entries, &in->v, in->use, d->b.weight, x->from, x->end};
}

static bool all_safe(const struct aggregate *a, const struct delta *d, const struct span *x)
{
	for (uint32_t i = 0; i < a->slot_count; i++) {
		struct slot_rows rows = rows_of(a, d, x, i);
		if (!agg_slot_safe(&a->slots[i], &rows))
			return false;
	}
	return true;
}

/* Rows from topics, all added, without keys that need showing: the loop of most views. */
static enum err enter_records(struct aggregate *a, struct delta *d, const struct span *x)
{
	for (uint32_t r = x->from; r < x->end; r++) {
		struct entry *e = x->entries[r];
		struct group *g = group_of(e);
		uint64_t sequence = d->b.origin[r].sequence;
		TRY(table_touch(&a->groups, e));
		if (g->rows == 0 || sequence < g->lineage.first_sequence)
			g->lineage.first_sequence = sequence;
		if (sequence > g->lineage.last_sequence)
			g->lineage.last_sequence = sequence;
		g->lineage.record_count++;
		g->rows++;
	}
	return ERR_OK;
}

static enum err take_span(struct aggregate *a, struct delta *d, const struct span *x)
{
	bool plain = d->b.origin && !d->b.weight && !d->lineage && !a->distinct && !a->shows_key;
	if (plain)
		TRY(enter_records(a, d, x));
	for (uint32_t r = x->from; !plain && r < x->end; r++)
		TRY(enter(a, x->entries[r], d, r));
	for (uint32_t i = 0; i < a->slot_count; i++) {
		const struct agg_slot *s = &a->slots[i];
		struct slot_rows rows = rows_of(a, d, x, i);
		if (s->part == 0 && agg_slot_add_rows(s, &rows))
			continue;
		if (s->part != 0 && !s->keeps_bag) {
			TRY(group_members_add(a, d->b.arena, s, &rows));
			continue;
		}
		for (uint32_t r = x->from; r < x->end; r++) {
			struct step step = {x->entries[r], r, delta_weight(d, r), false};
			TRY(slot_row(a, i, &step));
		}
	}
	return ERR_OK;
}

/* In spans whose groups stay in the first-level cache from the probe to the last aggregate. */
static enum err aggregate_push(struct op *op, struct delta *d)
{
	struct aggregate *a = (struct aggregate *)op;
	struct key_batch keys;
	TRY(eval_inputs(a, d));
	if (d->b.count == 0)
		return ERR_OK;
	struct span x = {arena_alloc(d->b.arena, d->b.count * sizeof *x.entries), 0, 0};
	if (!x.entries)
		return ERR_NOMEM;
	TRY(keys_of(d->b.arena, &d->b, a->keys, a->key_count, &keys));
	for (; x.from < d->b.count; x.from = x.end) {
		x.end = d->b.count - x.from < SPAN_ROWS ? d->b.count : x.from + SPAN_ROWS;
		TRY(table_find(&a->groups, &keys, x.from, x.end, x.entries));
		TRY(all_safe(a, d, &x) ? take_span(a, d, &x) : take_rows(a, d, &x));
	}
	return ERR_OK;
}

/* ---- life cycle ------------------------------------------------------------------------------ */

static void aggregate_free(struct op *op)
{
	struct aggregate *a = (struct aggregate *)op;
	if (a->groups.kind)
		table_release(&a->groups);
	if (a->parts.kind)
		table_release(&a->parts);
	writer_release(&a->key);
	mem_free(a->slots);
	mem_free(a->inputs);
	mem_free(a->keys);
	mem_free(a);
}

static enum err aggregate_flush(struct op *op)
{
	return aggregate_send((struct aggregate *)op);
}

static bool prints_several_ways(struct type t)
{
	return t.id == TYPE_FLOAT4 || t.id == TYPE_FLOAT8 || t.id == TYPE_INTERVAL ||
	       (t.id == TYPE_NUMERIC && t.precision == 0);
}

static enum err init_slots(
    struct aggregate *a, const struct plan *plan, size_t *ret_width, bool *ret_parts)
{
	size_t width = 0;
	bool parts = false;
	for (uint32_t i = 0; i < a->slot_count; i++) {
		struct agg_slot *s = &a->slots[i];
		const struct agg *agg = &plan->aggs[i];
		bool set = agg->distinct &&
		           (agg->kind == AGG_COUNT || agg->kind == AGG_SUM || agg->kind == AGG_AVG);
		TRY(agg_slot_init(s, agg, a->retracts));
		s->offset = (uint32_t)(GROUP_WIDTH + width);
		if (set || s->keeps_bag) {
			if (i >= 255)
				return err_note(
				    ERR_SQL_UNSUPPORTED, "more than 254 aggregates in one SELECT");
			s->part = (uint8_t)(i + 1);
			parts = true;
		}
		a->has_bags |= s->keeps_bag;
		width += agg_slot_width(s);
	}
	*ret_width = width;
	*ret_parts = parts;
	return ERR_OK;
}

static enum err init_aggregate(struct aggregate *a, struct op_tree *t, const struct plan *plan)
{
	size_t width = 0;
	bool parts = false;
	a->distinct = plan->kind == PLAN_DISTINCT;
	a->slot_count = a->distinct ? 0 : plan->agg_count;
	a->key_count = a->distinct ? plan->column_count : plan->key_count;
	a->retracts = !plan->inputs[0]->append_only && !t->env->query;
	a->with_rows = t->row_state == (int32_t)plan->state_id && !t->env->query;
	a->slots = mem_calloc(a->slot_count + 1, sizeof *a->slots);
	a->inputs = mem_calloc(a->slot_count + 1, sizeof *a->inputs);
	a->keys = mem_calloc(a->key_count + 1, sizeof *a->keys);
	if (!a->slots || !a->inputs || !a->keys)
		return ERR_NOMEM;
	for (uint32_t k = 0; k < a->key_count; k++) {
		a->keys[k] = a->distinct ? k : plan->keys[k];
		a->shows_key |=
		    !a->retracts && prints_several_ways(plan->inputs[0]->columns[a->keys[k]].type);
	}
	TRY(init_slots(a, plan, &width, &parts));
	group_kind_init(&a->group_kind, width);
	table_init(&a->groups, &a->group_kind, a);
	table_bind(&a->groups, t->env, plan->state_id);
	a->groups.with_rows = a->with_rows;
	a->op.tables[0] = &a->groups;
	if (parts) {
		table_init(&a->parts, &member_kind, a);
		table_bind(&a->parts, t->env, plan->state_id + t->plan->state_count);
		a->op.tables[1] = &a->parts;
	}
	return ERR_OK;
}

enum err op_aggregate_new(struct op_tree *t, const struct plan *plan, struct op **ret_op)
{
	struct aggregate *a = mem_calloc(1, sizeof *a);
	if (!a)
		return ERR_NOMEM;
	op_init(&a->op, t, plan, plan->kind == PLAN_DISTINCT ? "distinct" : "aggregate");
	writer_init(&a->key, UINT32_MAX);
	a->op.push = aggregate_push;
	a->op.flush = aggregate_flush;
	a->op.free = aggregate_free;
	enum err err = init_aggregate(a, t, plan);
	if (err != ERR_OK) {
		aggregate_free(&a->op);
		return err;
	}
	*ret_op = &a->op;
	return ERR_OK;
}
