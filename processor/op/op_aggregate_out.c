/* SPDX-License-Identifier: Apache-2.0 */
/* GROUP BY and SELECT DISTINCT: changes out, once per flush and changed group. */
#include "processor/op/agg_group.h"

static enum err put_keys(struct aggregate *a, struct delta *d, const struct entry *e)
{
	const struct group *g = group_of(e);
	bool shown = g->shown != NULL;
	struct reader r = reader_of(shown ? bytes_of(g->shown, g->shown_len) : entry_key(e));
	for (uint32_t k = 0; k < a->key_count; k++) {
		struct vec *v = &d->b.cols[k];
		struct datum value;
		TRY(shown ? datum_read(&r, v->type.id, &value)
		          : key_decode(&r, &a->op.arena, v->type.id, &value));
		/* a key has lost trailing zeros that numeric(p,s) always shows */
		if (!value.null && v->type.id == TYPE_NUMERIC && v->type.precision > 0)
			TRY(numeric_round(value.num, v->type.scale, &value.num));
		vec_set(v, d->b.count, value);
	}
	return ERR_OK;
}

static enum err put_results(struct aggregate *a, struct delta *d, const struct entry *e)
{
	for (uint32_t i = 0; i < a->slot_count; i++) {
		const struct agg_slot *s = &a->slots[i];
		struct datum value;
		/* a multiset may lose the value before the rows are read */
		TRY(datum_copy(
		    &a->op.arena, s->agg->type.id, agg_slot_result(s, slot_state(s, e)), &value));
		vec_set(&d->b.cols[a->key_count + i], d->b.count, value);
	}
	return ERR_OK;
}

static void put_nulls(struct aggregate *a, struct delta *d)
{
	for (uint32_t i = 0; i < a->slot_count; i++)
		vec_set(&d->b.cols[a->key_count + i], d->b.count, (struct datum){.null = true});
}

/* The row as downstream has it, from the image made before the first change. */
static enum err put_old(struct aggregate *a, struct delta *d, const struct entry *e)
{
	struct reader r = reader_of(e->old);
	struct bytes lineage = read_bytes(&r, sizeof(struct op_lineage));
	if (r.bad)
		return ERR_BUG;
	TRY(put_keys(a, d, e));
	memcpy(&d->lineage[d->b.count], lineage.ptr, lineage.len);
	for (uint32_t i = 0; i < a->slot_count; i++) {
		struct datum value;
		TRY(datum_read(&r, a->slots[i].agg->type.id, &value));
		vec_set(&d->b.cols[a->key_count + i], d->b.count, value);
	}
	d->b.weight[d->b.count++] = -1;
	return ERR_OK;
}

static enum err put_new(struct aggregate *a, struct delta *d, const struct entry *e)
{
	TRY(put_keys(a, d, e));
	TRY(put_results(a, d, e));
	d->lineage[d->b.count] = group_of(e)->lineage;
	d->b.weight[d->b.count++] = 1;
	return ERR_OK;
}

static enum err send_entry(struct aggregate *a, struct delta *d, struct entry *e, bool there)
{
	if (e->flags & ENTRY_SENT)
		TRY(put_old(a, d, e));
	return there ? put_new(a, d, e) : ERR_OK;
}

/* With its state, as one change: the sink replaces by key. */
static enum err send_with_state(struct aggregate *a, struct delta *d, struct entry *e, bool there)
{
	struct bytes state = {NULL, 0};
	bool had = e->flags & ENTRY_SENT;
	if (!there && !had)
		return ERR_OK;
	TRY(put_keys(a, d, e));
	if (there) {
		TRY(put_results(a, d, e));
		TRY(table_state_bytes(&a->groups, e, &state));
		state = arena_copy(&a->op.arena, state);
		if (!state.ptr)
			return ERR_NOMEM;
	} else {
		put_nulls(a, d);
	}
	d->state[d->b.count] = state;
	d->inserted[d->b.count] = there && !had;
	d->key[d->b.count] = entry_key(e);
	d->lineage[d->b.count++] = group_of(e)->lineage;
	return ERR_OK;
}

static enum err begin(struct aggregate *a, struct delta *d)
{
	TRY(op_delta_new(&a->op, 2 * a->groups.changed.count, d));
	return a->with_rows ? op_delta_with_state(&a->op, d) : ERR_OK;
}

/* Without GROUP BY there is a row from the start. */
static enum err want_global(struct aggregate *a)
{
	struct entry *e;
	if (a->key_count > 0 || a->distinct)
		return ERR_OK;
	TRY(table_find_one(&a->groups, bytes_of("", 0), &e));
	return e->flags & (ENTRY_SENT | ENTRY_CHANGED) ? ERR_OK : table_touch(&a->groups, e);
}

enum err aggregate_send(struct aggregate *a)
{
	struct delta d;
	TRY(want_global(a));
	if (a->op.tables[1])
		table_flushed(&a->parts);
	if (a->groups.changed.count == 0)
		return ERR_OK;
	TRY(begin(a, &d));
	for (size_t i = 0; i < a->groups.changed.count; i++) {
		struct entry *e = a->groups.changed.items[i];
		bool there = !a->group_kind.empty(a, e);
		TRY(a->with_rows ? send_with_state(a, &d, e, there) : send_entry(a, &d, e, there));
		e->flags = there ? e->flags | ENTRY_SENT : e->flags & ~(uint32_t)ENTRY_SENT;
		TRY(op_delta_send(&a->op, &d, false));
	}
	TRY(op_delta_send(&a->op, &d, true));
	table_flushed(&a->groups);
	return ERR_OK;
}
