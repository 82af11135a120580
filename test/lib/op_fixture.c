/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/op_fixture.h"

#include "test/lib/test.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- sorted map ------------------------------------------------------------------ */

/* Test memory is not the code's under test: allocation failures are not injected here. */
static struct bytes own(struct bytes b)
{
	uint8_t *copy = malloc(b.len + 1);
	if (!copy)
		abort();
	if (b.len > 0)
		memcpy(copy, b.ptr, b.len);
	return bytes_of(copy, b.len);
}

static void disown(struct bytes b)
{
	free((void *)(uintptr_t)b.ptr);
}

static size_t position(const struct kv_map *m, uint32_t table, struct bytes key, bool *ret_found)
{
	size_t from = 0, to = m->count;
	while (from < to) {
		size_t mid = (from + to) / 2;
		const struct kv *k = &m->items[mid];
		int c =
		    table != k->table ? (table > k->table ? 1 : -1) : bytes_compare(key, k->key);
		if (c == 0) {
			*ret_found = true;
			return mid;
		}
		if (c > 0)
			from = mid + 1;
		else
			to = mid;
	}
	*ret_found = false;
	return from;
}

void kv_set(struct kv_map *m, uint32_t table, struct bytes key, struct bytes value)
{
	bool found;
	size_t at = position(m, table, key, &found);
	if (found) {
		disown(m->items[at].value);
		m->items[at].value = own(value);
		return;
	}
	if (m->count == m->capacity) {
		m->capacity = m->capacity ? m->capacity * 2 : 64;
		m->items = realloc(m->items, m->capacity * sizeof *m->items);
		if (!m->items)
			abort();
	}
	memmove(&m->items[at + 1], &m->items[at], (m->count - at) * sizeof *m->items);
	m->items[at] = (struct kv){table, own(key), own(value)};
	m->count++;
}

bool kv_get(const struct kv_map *m, uint32_t table, struct bytes key, struct bytes *ret_value)
{
	bool found;
	size_t at = position(m, table, key, &found);
	if (found)
		*ret_value = m->items[at].value;
	return found;
}

void kv_del(struct kv_map *m, uint32_t table, struct bytes key)
{
	bool found;
	size_t at = position(m, table, key, &found);
	if (!found)
		return;
	disown(m->items[at].key);
	disown(m->items[at].value);
	m->count--;
	memmove(&m->items[at], &m->items[at + 1], (m->count - at) * sizeof *m->items);
}

void kv_release(struct kv_map *m)
{
	for (size_t i = 0; i < m->count; i++) {
		disown(m->items[i].key);
		disown(m->items[i].value);
	}
	free(m->items);
	*m = (struct kv_map){0};
}

static void kv_copy(struct kv_map *to, const struct kv_map *from)
{
	kv_release(to);
	for (size_t i = 0; i < from->count; i++)
		kv_set(to, from->items[i].table, from->items[i].key, from->items[i].value);
}

/* ---- op_store -------------------------------------------------------------------- */

static bool is_row_state(const struct op_fixture *f, uint32_t table)
{
	return f->tree && op_row_state(f->tree) == (int32_t)table;
}

static enum err store_lookup(void *ctx, uint32_t table, struct bytes key, struct bytes *ret_value)
{
	struct op_fixture *f = ctx;
	const struct kv_map *m = is_row_state(f, table) ? &f->committed : &f->tables;
	return kv_get(m, table, key, ret_value) ? ERR_OK : ERR_NOT_FOUND;
}

static enum err store_scan(
    void *ctx, uint32_t table, struct bytes prefix, op_scan_fn fn, void *fn_ctx)
{
	struct op_fixture *f = ctx;
	const struct kv_map *m = is_row_state(f, table) ? &f->committed : &f->tables;
	bool found;
	for (size_t i = position(m, table, prefix, &found);
	     i < m->count && m->items[i].table == table; i++) {
		const struct kv *k = &m->items[i];
		if (k->key.len < prefix.len ||
		    (prefix.len && memcmp(k->key.ptr, prefix.ptr, prefix.len) != 0))
			break;
		TRY(fn(fn_ctx, k->key, k->value));
	}
	return ERR_OK;
}

static void check_order(struct op_fixture *f, uint32_t table, struct bytes key)
{
	assert_true(f->in_checkpoint);
	assert_false(is_row_state(f, table));
	assert_true(table >= f->last_table);
	if (table == f->last_table && f->last_key.ptr)
		assert_true(bytes_compare(key, f->last_key) > 0);
	disown(f->last_key);
	f->last_table = table;
	f->last_key = own(key);
}

static enum err store_put(void *ctx, uint32_t table, struct bytes key, struct bytes value)
{
	struct op_fixture *f = ctx;
	check_order(f, table, key);
	kv_set(&f->tables, table, key, value);
	return ERR_OK;
}

static enum err store_del(void *ctx, uint32_t table, struct bytes key)
{
	struct op_fixture *f = ctx;
	check_order(f, table, key);
	kv_del(&f->tables, table, key);
	return ERR_OK;
}

/* ---- sink ------------------------------------------------------------------------ */

static void print_row(
    struct op_fixture *f, struct writer *w, const struct batch *b, const struct op_change *c)
{
	for (uint32_t i = 0; i < f->plan->visible_count; i++) {
		struct datum d = vec_get(&b->cols[i], c->row);
		if (i > 0)
			write_u8(w, '|');
		if (d.null)
			write_cstr(w, "~");
		else
			datum_to_text(w, b->cols[i].type.id, d);
	}
	if (f->with_lineage)
		write_printf(w, " [%lu..%lu %lu]", c->lineage.first_sequence,
		    c->lineage.last_sequence, c->lineage.record_count);
}

static enum err take(
    void *ctx, const struct batch *rows, const struct op_change *changes, uint32_t count)
{
	struct op_fixture *f = ctx;
	assert_true(count <= BATCH_ROWS_MAX);
	for (uint32_t i = 0; i < count; i++) {
		const struct op_change *c = &changes[i];
		struct bytes old;
		struct writer w;
		if (f->env.query) {
			print_row(f, &f->output, rows, c);
			write_u8(&f->output, '\n');
			continue;
		}
		bool there = kv_get(&f->rows, 0, c->key, &old);
		assert_int_equal(c->deleted || !c->inserted, there);
		assert_int_equal(op_row_state(f->tree) >= 0 && !c->deleted, c->state.ptr != NULL);
		if (c->deleted) {
			kv_del(&f->rows, 0, c->key);
			kv_del(&f->states, (uint32_t)op_row_state(f->tree), c->key);
			continue;
		}
		writer_init(&w, MIB);
		print_row(f, &w, rows, c);
		kv_set(&f->rows, 0, c->key, writer_bytes(&w));
		if (c->state.ptr)
			kv_set(&f->states, (uint32_t)op_row_state(f->tree), c->key, c->state);
		writer_release(&w);
	}
	return ERR_OK;
}

static void note_error(void *ctx, const struct op_error *e)
{
	struct op_fixture *f = ctx;
	f->errors++;
	f->last_error = e->err;
	snprintf(f->last_message, sizeof f->last_message, "%s: %s", e->op, e->message);
}

/* ---- running --------------------------------------------------------------------- */

static void init(
    struct op_fixture *f, const struct view_plan *plan, size_t memory_bytes, bool query)
{
	*f = (struct op_fixture){.plan = plan};
	f->store = (struct op_store){f, store_lookup, store_scan, store_put, store_del};
	f->env = (struct op_env){.ctx = f,
	    .sink = take,
	    .error = note_error,
	    .store = query ? NULL : &f->store,
	    .store_empty = true,
	    .query = query,
	    .memory_bytes = memory_bytes};
	writer_init(&f->output, 64 * MIB);
	arena_init(&f->arena, 1 * GIB);
	arena_init(&f->batches, 1 * GIB);
	assert_int_equal(op_build(plan, &f->env, &f->tree), ERR_OK);
}

void op_fixture_init(struct op_fixture *f, const struct view_plan *plan, size_t memory_bytes)
{
	init(f, plan, memory_bytes, false);
}

void op_fixture_query(struct op_fixture *f, const struct view_plan *plan)
{
	init(f, plan, 0, true);
}

void op_fixture_release(struct op_fixture *f)
{
	op_free(f->tree);
	kv_release(&f->rows);
	kv_release(&f->states);
	kv_release(&f->committed);
	kv_release(&f->tables);
	disown(f->last_key);
	writer_release(&f->output);
	arena_release(&f->arena);
	arena_release(&f->batches);
}

static struct datum hidden_value(const struct op_input *in, uint32_t hidden)
{
	struct datum d = {.null = false};
	switch ((enum hidden_column)hidden) {
	case HIDDEN_TOPIC:
		d.s = STR("t");
		break;
	case HIDDEN_OFFSET:
		d.i = (int64_t)in->sequence * 100 + in->pos;
		break;
	case HIDDEN_SEQUENCE:
		d.i = (int64_t)in->sequence;
		break;
	case HIDDEN_POS:
		d.i = in->pos;
		break;
	case HIDDEN_PARTITION:
		d.i = 0;
		break;
	case HIDDEN_TIMESTAMP:
	case HIDDEN_INGEST_TIME:
		d.i = (int64_t)in->sequence * 1000000;
		break;
	case HIDDEN_KEY:
	case HIDDEN_KEY_BYTES:
	case HIDDEN_HEADERS:
	case HIDDEN_COUNT:
		d.null = true;
	}
	return d;
}

struct batch op_fixture_batch(
    struct op_fixture *f, struct arena *a, const struct op_input *rows, uint32_t count)
{
	const struct plan *source = f->plan->sources[rows[0].source];
	struct type *types = malloc((source->column_count + 1) * sizeof *types);
	struct batch b;
	for (uint32_t c = 0; c < source->column_count; c++)
		types[c] = source->columns[c].type;
	assert_int_equal(batch_init(&b, a, types, source->column_count, count), ERR_OK);
	free(types);
	bool topic = source->kind == PLAN_SOURCE;
	uint32_t declared = source->column_count - (topic ? HIDDEN_COUNT : 0);
	b.origin = topic ? arena_calloc(a, count, sizeof *b.origin) : NULL;
	b.weight = arena_calloc(a, count, sizeof *b.weight);
	bool weights = false;
	for (uint32_t r = 0; r < count; r++) {
		if (topic)
			b.origin[r] = (struct origin){rows[r].source, 0, (int64_t)rows[r].sequence,
			    rows[r].sequence, rows[r].pos};
		b.weight[r] = rows[r].weight;
		weights |= rows[r].weight != 1;
	}
	if (!weights)
		b.weight = NULL;
	for (uint32_t c = 0; c < source->column_count; c++) {
		if (source->column_needed && !source->column_needed[c]) {
			b.cols[c].data = NULL;
			continue;
		}
		assert_int_equal(vec_init_nulls(&b.cols[c], a, count), ERR_OK);
		for (uint32_t r = 0; r < count; r++)
			vec_set(&b.cols[c], r,
			    c < declared ? rows[r].values[c]
			                 : hidden_value(&rows[r], c - declared));
	}
	return b;
}

enum err op_fixture_push_raw(struct op_fixture *f, const struct op_input *rows, uint32_t count)
{
	struct batch b = op_fixture_batch(f, &f->batches, rows, count);
	return op_push(f->tree, rows[0].source, &b);
}

enum err op_fixture_try_push(struct op_fixture *f, const struct op_input *rows, uint32_t count)
{
	arena_clear(&f->batches);
	if (!op_needs_records(f->tree))
		return op_fixture_push_raw(f, rows, count);
	for (uint32_t r = 0; r < count; r++) {
		bool accepted;
		op_begin_record(f->tree);
		TRY(op_fixture_push_raw(f, &rows[r], 1));
		TRY(op_end_record(f->tree, &accepted));
	}
	return ERR_OK;
}

void op_fixture_push(struct op_fixture *f, const struct op_input *rows, uint32_t count)
{
	if (op_fixture_try_push(f, rows, count) != ERR_OK)
		fail_msg("push: %s", err_chain());
}

void op_fixture_flush(struct op_fixture *f)
{
	if (op_flush(f->tree) != ERR_OK)
		fail_msg("flush: %s", err_chain());
}

enum err op_fixture_try_checkpoint(struct op_fixture *f)
{
	TRY(op_flush(f->tree));
	f->in_checkpoint = true;
	f->last_table = 0;
	disown(f->last_key);
	f->last_key = (struct bytes){NULL, 0};
	TRY(op_checkpoint(f->tree));
	f->in_checkpoint = false;
	kv_copy(&f->committed, &f->states);
	return ERR_OK;
}

void op_fixture_checkpoint(struct op_fixture *f)
{
	if (op_fixture_try_checkpoint(f) != ERR_OK)
		fail_msg("checkpoint: %s", err_chain());
}

void op_fixture_restart(struct op_fixture *f, bool load)
{
	op_free(f->tree);
	f->tree = NULL;
	f->env.store_empty = false;
	assert_int_equal(op_build(f->plan, &f->env, &f->tree), ERR_OK);
	if (load)
		assert_int_equal(op_load(f->tree), ERR_OK);
}

const char *op_fixture_rows(struct op_fixture *f)
{
	struct writer w;
	writer_init(&w, 256 * MIB);
	for (size_t i = 0; i < f->rows.count; i++) {
		write_bytes(&w, f->rows.items[i].value);
		write_u8(&w, '\n');
	}
	assert_int_equal(w.err, ERR_OK);
	const char *text = arena_cstr(&f->arena, bytes_str(writer_bytes(&w)));
	writer_release(&w);
	assert_non_null(text);
	return text;
}
