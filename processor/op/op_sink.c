/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last operator: turns weighted rows into inserts, replacements and deletions by key. A -1
 * directly followed by a +1 of the same key is one replacement. While a record is in progress its
 * changes are held; they stay valid because no operator clears its rows before the record ends.
 */
#include "processor/op/op_node.h"

struct held {
	struct batch rows;
	struct op_change *changes;
	uint32_t count;
};
struct sink {
	struct op op;
	struct held *held;
	uint32_t held_count, held_capacity;
};

static void sink_free(struct op *op)
{
	struct sink *s = (struct sink *)op;
	mem_free(s->held);
	mem_free(s);
}

static enum err hold(
    struct sink *s, const struct delta *d, struct op_change *changes, uint32_t count)
{
	if (s->held_count == s->held_capacity) {
		uint32_t capacity = s->held_capacity ? s->held_capacity * 2 : 8;
		struct held *grown = mem_realloc(s->held, capacity * sizeof *grown);
		if (!grown)
			return ERR_NOMEM;
		s->held = grown;
		s->held_capacity = capacity;
	}
	s->held[s->held_count++] = (struct held){d->b, changes, count};
	return ERR_OK;
}

static enum err deliver(
    struct sink *s, const struct delta *d, struct op_change *changes, uint32_t count)
{
	const struct op_env *env = s->op.tree->env;
	if (count == 0)
		return ERR_OK;
	return s->op.tree->recording ? hold(s, d, changes, count)
	                             : env->sink(env->ctx, &d->b, changes, count);
}

enum err op_sink_end(struct op *op, bool accepted)
{
	struct sink *s = (struct sink *)op;
	const struct op_env *env = op->tree->env;
	for (uint32_t i = 0; accepted && i < s->held_count; i++)
		TRY(env->sink(env->ctx, &s->held[i].rows, s->held[i].changes, s->held[i].count));
	s->held_count = 0;
	return ERR_OK;
}

static struct bytes row_key(const struct key_batch *k, uint32_t row)
{
	return bytes_of(k->bytes + k->at[row], k->at[row + 1] - k->at[row]);
}

/* Rows whose state travels with them: key and kind of change are known already. */
static uint32_t changes_with_state(const struct delta *d, struct op_change *to)
{
	for (uint32_t r = 0; r < d->b.count; r++)
		to[r] = (struct op_change){.deleted = !d->state[r].ptr,
		    .inserted = d->inserted[r],
		    .row = r,
		    .key = d->key[r],
		    .lineage = delta_lineage(d, r),
		    .state = d->state[r]};
	return d->b.count;
}

static uint32_t changes_by_weight(
    const struct delta *d, const struct key_batch *k, struct op_change *to)
{
	uint32_t n = 0;
	for (uint32_t r = 0; r < d->b.count; r++) {
		struct op_change c = {
		    .row = r, .key = row_key(k, r), .lineage = delta_lineage(d, r)};
		if (delta_weight(d, r) > 0) {
			c.inserted = true;
			to[n++] = c;
			continue;
		}
		bool replaced = r + 1 < d->b.count && delta_weight(d, r + 1) > 0 &&
		                bytes_equal(c.key, row_key(k, r + 1));
		c.deleted = !replaced;
		if (replaced) {
			c.row = ++r;
			c.key = row_key(k, r);
			c.lineage = delta_lineage(d, r);
		}
		to[n++] = c;
	}
	return n;
}

static uint32_t changes_of_query(const struct delta *d, struct op_change *to)
{
	for (uint32_t r = 0; r < d->b.count; r++)
		to[r] = (struct op_change){.inserted = true,
		    .row = r,
		    .key = {(const uint8_t *)"", 0},
		    .lineage = delta_lineage(d, r)};
	return d->b.count;
}

static enum err sink_push(struct op *op, struct delta *d)
{
	const struct view_plan *plan = op->tree->plan;
	struct op_change *changes = arena_alloc(d->b.arena, (d->b.count + 1) * sizeof *changes);
	struct key_batch keys;
	if (!changes)
		return ERR_NOMEM;
	if (op->tree->env->query)
		return deliver((struct sink *)op, d, changes, changes_of_query(d, changes));
	if (d->state)
		return deliver((struct sink *)op, d, changes, changes_with_state(d, changes));
	TRY(keys_of(d->b.arena, &d->b, plan->keys, plan->key_count, &keys));
	return deliver((struct sink *)op, d, changes, changes_by_weight(d, &keys, changes));
}

enum err op_sink_new(struct op_tree *t, struct op **ret_op)
{
	struct sink *s = mem_calloc(1, sizeof *s);
	if (!s)
		return ERR_NOMEM;
	op_init(&s->op, t, NULL, "sink");
	s->op.push = sink_push;
	s->op.free = sink_free;
	*ret_op = &s->op;
	return ERR_OK;
}
