/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building the operators of a plan, and what the caller does with them. See op.h for the contract;
 * a record goes IDLE --op_begin_record--> RECORDING --op_row_error--> FAILED --op_end_record-->
 * IDLE (undone) RECORDING --op_end_record--> IDLE (sent)
 */
#include "processor/op/op_node.h"

#include <stdio.h>

/* ---- shared by the operators ----------------------------------------------------------------- */

void delta_keep(struct delta *d, const uint32_t *rows, uint32_t count)
{
	for (uint32_t i = 0; d->lineage && i < count; i++)
		d->lineage[i] = d->lineage[rows[i]];
	for (uint32_t i = 0; d->state && i < count; i++) {
		d->state[i] = d->state[rows[i]];
		d->inserted[i] = d->inserted[rows[i]];
		d->key[i] = d->key[rows[i]];
	}
	batch_keep(&d->b, rows, count);
}

struct op_lineage delta_lineage(const struct delta *d, uint32_t row)
{
	if (d->lineage)
		return d->lineage[row];
	if (!d->b.origin)
		return (struct op_lineage){0, 0, 0};
	return (struct op_lineage){d->b.origin[row].sequence, d->b.origin[row].sequence, 1};
}

void op_init(struct op *op, struct op_tree *t, const struct plan *plan, const char *name)
{
	op->tree = t;
	op->plan = plan;
	op->name = name;
	arena_init(&op->arena, SIZE_MAX);
}

static enum err query_error(const struct row_error *error)
{
	return err_note(error->err, "%s", error->message);
}

enum err op_row_error(struct op *op, const struct delta *d, const struct row_error *error)
{
	struct op_tree *t = op->tree;
	if (t->env->query)
		return query_error(error);
	const struct origin *origin = d->b.origin ? &d->b.origin[error->row] : NULL;
	if (!origin && t->has_record_origin)
		origin = &t->record;
	if (!t->recording && !d->b.origin) /* op_needs_records was not heeded */
		return err_note(ERR_BUG, "%s failed above state outside a record: %s", op->name,
		    error->message);
	if (t->recording && t->record_failed)
		return ERR_OK;
	t->record_failed = t->recording;
	t->env->error(
	    t->env->ctx, &(struct op_error){origin, op->name, error->err, error->message});
	return ERR_OK;
}

enum err op_drop_failed(struct op *op, struct delta *d)
{
	struct row_errors *errors = &op->tree->errors;
	if (errors->count == 0)
		return ERR_OK;
	uint32_t *keep = arena_alloc(d->b.arena, (d->b.count + 1) * sizeof *keep), kept = 0;
	uint8_t *failed = arena_calloc(d->b.arena, d->b.count + 1, 1);
	if (!keep || !failed)
		return ERR_NOMEM;
	for (uint32_t i = 0; i < errors->count; i++)
		failed[errors->errors[i].row] = 1;
	/* in the order of the rows, so that dead letters do not depend on how an expression was
	 * evaluated */
	for (uint32_t r = 0; r < d->b.count; r++) {
		if (!failed[r])
			keep[kept++] = r;
		for (uint32_t i = 0; failed[r] && i < errors->count; i++)
			if (errors->errors[i].row == r)
				TRY(op_row_error(op, d, &errors->errors[i]));
	}
	errors->count = 0;
	delta_keep(d, keep, kept);
	return ERR_OK;
}

enum err op_eval(struct op *op, const struct expr *e, struct delta *d, const uint8_t *active,
    struct vec *ret_vec)
{
	struct eval ev = {.arena = d->b.arena,
	    .errors = &op->tree->errors,
	    .count = d->b.count,
	    .active = active};
	return expr_eval(&ev, e, &d->b, ret_vec);
}

enum err op_delta_new(struct op *op, uint64_t rows, struct delta *ret_delta)
{
	uint64_t room = rows + 2;
	struct delta d = {.capacity = room < BATCH_ROWS_MAX ? (uint32_t)room : BATCH_ROWS_MAX};
	struct arena *a = &op->arena;
	struct type *types = arena_alloc(a, (op->plan->column_count + 1) * sizeof *types);
	if (!types)
		return ERR_NOMEM;
	for (uint32_t c = 0; c < op->plan->column_count; c++)
		types[c] = op->plan->columns[c].type;
	TRY(batch_init(&d.b, a, types, op->plan->column_count, d.capacity));
	for (uint32_t c = 0; c < op->plan->column_count; c++) {
		TRY(vec_init_nulls(&d.b.cols[c], a, d.capacity));
		if (op->plan->column_needed && !op->plan->column_needed[c])
			d.b.cols[c].data = NULL;
	}
	d.lineage = arena_calloc(a, d.capacity, sizeof *d.lineage);
	d.b.weight = arena_alloc(a, d.capacity * sizeof *d.b.weight);
	if (!d.lineage || !d.b.weight)
		return ERR_NOMEM;
	d.b.count = 0;
	*ret_delta = d;
	return ERR_OK;
}

enum err op_delta_with_state(struct op *op, struct delta *d)
{
	d->b.weight = NULL;
	d->state = arena_calloc(&op->arena, d->capacity, sizeof *d->state);
	d->inserted = arena_calloc(&op->arena, d->capacity, sizeof *d->inserted);
	d->key = arena_calloc(&op->arena, d->capacity, sizeof *d->key);
	return d->state && d->inserted && d->key ? ERR_OK : ERR_NOMEM;
}

enum err op_delta_send(struct op *op, struct delta *d, bool end)
{
	if (!end && d->b.count + 2 <= d->capacity)
		return ERR_OK;
	bool sinks_state = d->state != NULL;
	if (d->b.count > 0)
		TRY(op->out->push(op->out, d));
	if (end)
		return ERR_OK;
	/* what a record sent is held until it ends */
	if (!op->tree->recording)
		arena_clear(&op->arena);
	TRY(op_delta_new(op, d->capacity, d));
	return sinks_state ? op_delta_with_state(op, d) : ERR_OK;
}

/* ---- facts about the plan -------------------------------------------------------------------- */

static bool is_stateful(const struct plan *p)
{
	return p->kind == PLAN_AGGREGATE || p->kind == PLAN_DISTINCT_ON || p->kind == PLAN_DISTINCT;
}

static bool node_can_fail(const struct plan *p)
{
	bool fails = p->kind == PLAN_FILTER && p->predicate->can_fail;
	for (uint32_t i = 0; p->kind == PLAN_PROJECT && i < p->column_count; i++)
		fails = fails || p->exprs[i]->can_fail;
	for (uint32_t i = 0; p->kind == PLAN_AGGREGATE && i < p->agg_count; i++) {
		fails = fails || (p->aggs[i].arg && p->aggs[i].arg->can_fail);
		fails = fails || (p->aggs[i].filter && p->aggs[i].filter->can_fail);
	}
	return fails || (p->kind == PLAN_AGGREGATE && op_aggregate_can_fail(p));
}

struct facts {
	bool any_state, any_fails, fails_above_state;
};

static struct facts facts_of(const struct plan *p)
{
	struct facts f = {0};
	for (uint32_t i = 0; i < p->input_count; i++) {
		struct facts in = facts_of(p->inputs[i]);
		f.any_state |= in.any_state;
		f.any_fails |= in.any_fails;
		f.fails_above_state |= in.fails_above_state;
	}
	bool fails = node_can_fail(p);
	f.fails_above_state |= fails && f.any_state;
	f.any_fails |= fails;
	f.any_state |= is_stateful(p);
	return f;
}

/* Two sources over one topic: a record that one of them refuses must not count in the other. */
static bool shares_topic(const struct view_plan *plan, bool any_fails)
{
	for (uint32_t i = 0; i < plan->source_count; i++)
		for (uint32_t k = 0; k < i; k++) {
			const struct table *a = plan->sources[i]->table,
			                   *b = plan->sources[k]->table;
			if (a && b && str_equal(a->topic, b->topic) && (a != b || any_fails))
				return true;
		}
	return false;
}

/* The column of `below` that column `c` of `top` passes on unchanged; -1 when it is computed. */
static int64_t passed_column(const struct plan *top, const struct plan *below, uint32_t c)
{
	for (; top != below; top = top->inputs[0]) {
		if (top->exprs[c]->kind != EXPR_COLUMN)
			return -1;
		c = top->exprs[c]->column;
	}
	return c;
}

/* May the state of the topmost stateful node travel with the rows? Their keys must be the same
 * bytes. */
static int32_t find_row_state(const struct view_plan *plan)
{
	const struct plan *p = plan->root;
	while (p->kind == PLAN_PROJECT)
		p = p->inputs[0];
	if (!is_stateful(p))
		return -1;
	uint32_t key_count = p->kind == PLAN_DISTINCT ? p->column_count : p->key_count;
	if (plan->key_count != key_count)
		return -1;
	for (uint32_t k = 0; k < key_count; k++) {
		uint32_t want = p->kind == PLAN_DISTINCT_ON ? p->keys[k] : k;
		if (passed_column(plan->root, p, plan->keys[k]) != want)
			return -1;
	}
	return (int32_t)p->state_id;
}

/* ---- building -------------------------------------------------------------------------------- */

static uint32_t count_nodes(const struct plan *p)
{
	uint32_t n = 1;
	for (uint32_t i = 0; i < p->input_count; i++)
		n += count_nodes(p->inputs[i]);
	return n;
}

static enum err make_op(struct op_tree *t, const struct plan *p, struct op **ret_op)
{
	switch (p->kind) {
	case PLAN_FILTER:
		return op_filter_new(t, p, ret_op);
	case PLAN_PROJECT:
		return op_project_new(t, p, ret_op);
	case PLAN_AGGREGATE:
	case PLAN_DISTINCT:
		return op_aggregate_new(t, p, ret_op);
	case PLAN_DISTINCT_ON:
		return op_distinct_on_new(t, p, ret_op);
	case PLAN_UNION_ALL:
		return op_union_new(t, p, ret_op);
	case PLAN_SORT:
		return op_sort_new(t, p, ret_op);
	case PLAN_LIMIT:
		return op_limit_new(t, p, ret_op);
	case PLAN_VALUES:
		return op_values_new(t, p, ret_op);
	case PLAN_SOURCE:
	case PLAN_ROWS:
		break;
	}
	ASSERT(false);
	return ERR_BUG;
}

/* Builds the inputs of `p` and then `p` itself; `out` is connected to whoever made the rows. */
static enum err build(struct op_tree *t, const struct plan *p, struct op **ret_op)
{
	struct op *inputs[64], *op = NULL;
	if (p->input_count > 64)
		return err_note(ERR_SQL_UNSUPPORTED, "UNION ALL of more than 64 parts");
	for (uint32_t i = 0; i < p->input_count; i++) {
		const struct plan *in = p->inputs[i];
		inputs[i] = NULL;
		if (in->kind != PLAN_SOURCE && in->kind != PLAN_ROWS)
			TRY(build(t, in, &inputs[i]));
	}
	TRY(make_op(t, p, &op));
	t->ops[t->op_count++] = op;
	for (uint32_t i = 0; i < 2; i++)
		if (op->tables[i])
			t->tables[op->tables[i]->state_id] = op->tables[i];
	for (uint32_t i = 0; i < p->input_count; i++) {
		if (inputs[i])
			inputs[i]->out = op;
		else
			t->sources[p->inputs[i]->source_id] = op;
	}
	*ret_op = op;
	return ERR_OK;
}

static enum err build_all(struct op_tree *t)
{
	struct op *root = NULL, *sink;
	const struct plan *p = t->plan->root;
	if (p->kind != PLAN_SOURCE && p->kind != PLAN_ROWS)
		TRY(build(t, p, &root));
	TRY(op_sink_new(t, &sink));
	t->ops[t->op_count++] = sink;
	if (root)
		root->out = sink;
	else
		t->sources[p->source_id] = sink;
	return ERR_OK;
}

enum err op_build(const struct view_plan *plan, const struct op_env *env, struct op_tree **ret_tree)
{
	struct op_tree *t = mem_calloc(1, sizeof *t);
	if (!t)
		return ERR_NOMEM;
	struct facts facts = facts_of(plan->root);
	t->plan = plan;
	t->env = env;
	t->row_state = env->query ? -1 : find_row_state(plan);
	t->needs_records = !env->query && (plan->fails_above_state || facts.fails_above_state ||
	                                      shares_topic(plan, facts.any_fails));
	arena_init(&t->scratch, SIZE_MAX);
	t->ops = mem_calloc(count_nodes(plan->root) + 1, sizeof(struct op *));
	t->sources = mem_calloc(plan->source_count + 1, sizeof(struct op *));
	t->tables = mem_calloc(2 * plan->state_count + 1, sizeof(struct state_table *));
	t->table_count = 2 * plan->state_count;
	enum err err = t->ops && t->sources && t->tables ? build_all(t) : ERR_NOMEM;
	if (err != ERR_OK) {
		op_free(t);
		return err;
	}
	*ret_tree = t;
	return ERR_OK;
}

void op_free(struct op_tree *t)
{
	if (!t)
		return;
	for (uint32_t i = 0; i < t->op_count; i++) {
		arena_release(&t->ops[i]->arena);
		t->ops[i]->free(t->ops[i]);
	}
	mem_free(t->ops);
	mem_free(t->sources);
	mem_free(t->tables);
	row_errors_release(&t->errors);
	arena_release(&t->scratch);
	mem_free(t);
}

/* ---- tables of all operators ----------------------------------------------------------------- */

#define EACH_TABLE(t, table)                                                                       \
	for (uint32_t i_##table = 0; i_##table < (t)->table_count; i_##table++)                    \
		for (struct state_table *table = (t)->tables[i_##table]; table; table = NULL)

static size_t memory_used(const struct op_tree *t)
{
	size_t used = 0;
	EACH_TABLE (t, table)
		used += table_bytes(table);
	return used;
}

/* Every table gives up the same share. */
static enum err fit_memory(struct op_tree *t)
{
	size_t limit = t->env->memory_bytes, used = limit ? memory_used(t) : 0;
	if (used <= limit)
		return ERR_OK;
	if (!t->env->store)
		return err_note(ERR_LIMIT, "the state of this query passes %zu bytes", limit);
	size_t percent = limit - limit / 8 > 0 ? (limit - limit / 8) / (used / 100 + 1) : 0;
	EACH_TABLE (t, table)
		table_evict(table, table_bytes(table) / 100 * percent);
	return ERR_OK;
}

enum err op_load(struct op_tree *t)
{
	size_t limit = t->env->memory_bytes ? t->env->memory_bytes : SIZE_MAX;
	EACH_TABLE (t, table) {
		size_t used = memory_used(t);
		TRY(table_load(table, used < limit ? limit - used + table_bytes(table) : 0));
	}
	return ERR_OK;
}

int32_t op_row_state(const struct op_tree *t)
{
	return t->row_state;
}

static void add_stats(const struct state_table *table, struct op_stats *s)
{
	s->entries += table->count;
	s->dirty += table->dirty.count;
	s->memory_bytes += table_bytes(table);
	s->lookups += table->lookups;
	s->evicted += table->evicted;
}

void op_stats(const struct op_tree *t, struct op_stats *ret_stats)
{
	struct op_stats s = {0};
	EACH_TABLE (t, table)
		add_stats(table, &s);
	*ret_stats = s;
}

void op_state_stats(const struct op_tree *t, uint32_t state_id, struct op_stats *ret_stats)
{
	struct op_stats s = {0};
	EACH_TABLE (t, table)
		if (table->state_id % t->plan->state_count == state_id)
			add_stats(table, &s);
	*ret_stats = s;
}

/* ---- running --------------------------------------------------------------------------------- */

enum err op_push(struct op_tree *t, uint32_t source_id, struct batch *batch)
{
	ASSERT(source_id < t->plan->source_count && batch->count <= BATCH_ROWS_MAX);
	struct op *op = t->sources[source_id];
	if (batch->count == 0 || t->done || (t->recording && t->record_failed))
		return ERR_OK;
	if (t->recording && batch->origin && !t->has_record_origin) {
		t->record = batch->origin[0];
		t->has_record_origin = true;
	}
	struct delta d = {.b = *batch};
	d.b.arena = &t->scratch;
	enum err err = op->push(op, &d);
	if (!t->recording)
		arena_clear(&t->scratch);
	TRY(err);
	return t->env->memory_bytes && !t->recording ? fit_memory(t) : ERR_OK;
}

static enum err flush_all(struct op_tree *t)
{
	for (uint32_t i = 0; i < t->op_count; i++) {
		struct op *op = t->ops[i];
		if (!op->flush || (t->recording && t->record_failed))
			continue;
		TRY(op->flush(op));
		if (!t->recording)
			arena_clear(&op->arena);
	}
	return ERR_OK;
}

enum err op_flush(struct op_tree *t)
{
	ASSERT(!t->recording);
	return flush_all(t);
}

bool op_done(const struct op_tree *t)
{
	return t->done;
}

bool op_needs_records(const struct op_tree *t)
{
	return t->needs_records;
}

void op_begin_record(struct op_tree *t)
{
	ASSERT(!t->recording);
	t->recording = true;
	t->record_failed = false;
	t->has_record_origin = false;
	EACH_TABLE (t, table)
		table_begin(table);
}

static enum err end_record(struct op_tree *t, bool accepted)
{
	struct op *sink = t->ops[t->op_count - 1];
	EACH_TABLE (t, table) {
		if (accepted)
			table_commit(table);
		else
			TRY(table_undo(table));
	}
	TRY(op_sink_end(sink, accepted));
	t->recording = false;
	t->record_failed = false;
	for (uint32_t i = 0; i < t->op_count; i++)
		if (t->ops[i]->arena.head)
			arena_clear(&t->ops[i]->arena);
	arena_clear(&t->scratch);
	return t->env->memory_bytes ? fit_memory(t) : ERR_OK;
}

enum err op_end_record(struct op_tree *t, bool *ret_accepted)
{
	ASSERT(t->recording);
	TRY(flush_all(t));
	bool accepted = !t->record_failed;
	TRY(end_record(t, accepted));
	*ret_accepted = accepted;
	return ERR_OK;
}

enum err op_abort_record(struct op_tree *t)
{
	ASSERT(t->recording);
	return end_record(t, false);
}

enum err op_checkpoint(struct op_tree *t)
{
	ASSERT(!t->recording);
	EACH_TABLE (t, table)
		TRY(table_checkpoint(table));
	return t->env->memory_bytes ? fit_memory(t) : ERR_OK;
}
