/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Diff of two versions of a view: both are brought to one sequence by a barrier, then their rows
 * are compared. Where both keys are visible and the same, rows are paired by key in one merge over
 * the two files; else (diff_bag.c) they are compared as multisets. Columns that only one version
 * has are shown, but change nothing.
 */
#include "replay/diff_bag.h"
#include "replay/state.h"

enum { DIFF_ARENA_BYTES_MAX = 16 << 20 };
#define DIFF_TIMEOUT_DEFAULT_NS (30 * S_NS)

struct diff {
	struct diff_rows *d;
	struct replay_diff *req;
	struct arena arena;
	struct sql_view_info info[2];
	struct plan_columns columns;
	bool paired;
	struct proc_snapshot *snap[2];
	struct writer key; /* of req->key */
	/* merge */
	struct proc_row row[2];
	bool end[2];
	struct datum *values;  /* one output row */
	int32_t *twin;         /* column of b with the name of a's column, -1 = none */
	struct writer text[2]; /* values of different types are compared as text */
};

/* ---- setting up ------------------------------------------------------------------------------ */

static enum err bind_columns(struct diff *x)
{
	const struct sql_catalog *catalog = proc_sql_catalog(x->d->replay->proc);
	TRY(catalog->view(catalog->ctx, x->req->view, x->req->a, &x->info[0]));
	TRY(catalog->view(catalog->ctx, x->req->view, x->req->b, &x->info[1]));
	enum err err =
	    sql_diff_columns(&x->info[0], &x->info[1], &x->arena, &x->columns, &x->paired);
	if (err == ERR_SQL_TYPE)
		return err_note(ERR_SQL_TYPE,
		    "versions %d and %d of \"" STR_FMT "\" have neither the same key nor the same"
		    " columns: their rows cannot be compared",
		    x->req->a, x->req->b, STR_ARG(x->req->view));
	TRY(err);
	x->values = arena_calloc(&x->arena, x->columns.count + 1u, sizeof(*x->values));
	x->twin = arena_calloc(&x->arena, x->info[0].column_count + 1u, sizeof(*x->twin));
	if (!x->values || !x->twin)
		return ERR_NOMEM;
	for (uint32_t i = 0; i < x->info[0].column_count; i++)
		x->twin[i] = sql_view_column(&x->info[1], x->info[0].columns[i].name);
	return x->d->columns ? x->d->columns(x->d->columns_ctx, &x->columns) : ERR_OK;
}

static enum err take_snapshots(struct diff *x)
{
	const int32_t versions[2] = {x->req->a, x->req->b};
	int64_t timeout_ns = x->req->timeout_ns ? x->req->timeout_ns : DIFF_TIMEOUT_DEFAULT_NS;
	TRY(proc_snapshot_at(
	    x->d->replay->proc, x->req->view, versions, 2, 0, timeout_ns, x->snap));
	x->req->counts =
	    (struct replay_diff_counts){.sequence = proc_snapshot_sequence(x->snap[0])};
	if (proc_snapshot_input_hash(x->snap[0]) != proc_snapshot_input_hash(x->snap[1]) &&
	    !x->req->different_input)
		return err_note(ERR_DIFFERENT_INPUT,
		    "versions %d and %d of \"" STR_FMT "\" did not read the same records"
		    " (another --from, or records that were deleted before one of them was made):"
		    " --different-input compares them all the same",
		    x->req->a, x->req->b, STR_ARG(x->req->view));
	if (!x->req->key.ptr)
		return ERR_OK;
	if (!x->paired)
		return err_note(ERR_INVALID,
		    "rows of these versions are not paired by key: --key cannot be used");
	return proc_snapshot_parse_key(x->snap[0], x->req->key, &x->key);
}

/* ---- merge by key ---------------------------------------------------------------------------- */

static enum err advance(struct diff *x, int side)
{
	enum err err = x->req->key.ptr ? ERR_EOF : proc_snapshot_next(x->snap[side], &x->row[side]);
	x->end[side] = err == ERR_EOF;
	return err == ERR_EOF ? ERR_OK : err;
}

/* Only the row of --key. */
static enum err find_one(struct diff *x, int side)
{
	enum err err = proc_snapshot_find(x->snap[side], writer_bytes(&x->key), &x->row[side]);
	x->end[side] = err == ERR_NOT_FOUND;
	if (err == ERR_NOT_FOUND)
		err_clear();
	return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static bool same_value(
    struct diff *x, struct type ta, struct datum a, struct type tb, struct datum b)
{
	if (a.null || b.null)
		return a.null == b.null;
	if (ta.id == tb.id)
		return datum_compare(ta.id, a, b) == 0;
	writer_clear(&x->text[0]);
	writer_clear(&x->text[1]);
	datum_to_text(&x->text[0], ta.id, a);
	datum_to_text(&x->text[1], tb.id, b);
	return bytes_equal(writer_bytes(&x->text[0]), writer_bytes(&x->text[1]));
}

static bool same_rows(struct diff *x)
{
	for (uint32_t i = 0; i < x->info[0].column_count; i++) {
		int32_t k = x->twin[i];
		if (k < 0 || sql_view_is_key(&x->info[0], i))
			continue;
		if (!same_value(x, x->info[0].columns[i].type, x->row[0].values[i],
		        x->info[1].columns[k].type, x->row[1].values[k]))
			return false;
	}
	return true;
}

/* The columns in the order of sql_diff_columns; a side that has no row gives NULLs. */
static enum err send_row(struct diff *x, const char *change, bool has_a, bool has_b)
{
	const struct datum null = {.null = true};
	const struct sql_view_info *a = &x->info[0], *b = &x->info[1];
	uint32_t n = 0;
	x->values[n++] = (struct datum){.s = str_of(change)};
	for (uint32_t i = 0; i < a->key_count; i++)
		x->values[n++] =
		    has_a ? x->row[0].values[a->keys[i]] : x->row[1].values[b->keys[i]];
	for (uint32_t i = 0; i < a->column_count; i++) {
		if (sql_view_is_key(a, i))
			continue;
		x->values[n++] = has_a ? x->row[0].values[i] : null;
		if (x->twin[i] >= 0)
			x->values[n++] = has_b ? x->row[1].values[x->twin[i]] : null;
	}
	for (uint32_t i = 0; i < b->column_count; i++)
		if (!sql_view_is_key(b, i) && sql_view_column(a, b->columns[i].name) < 0)
			x->values[n++] = has_b ? x->row[1].values[i] : null;
	ASSERT(n == x->columns.count);
	return x->d->take(x->d->take_ctx, x->values, n);
}

static enum err compare_pair(struct diff *x, int order)
{
	struct replay_diff_counts *c = &x->req->counts;
	if (order < 0) {
		c->removed++;
		return send_row(x, "removed", true, false);
	}
	if (order > 0) {
		c->added++;
		return send_row(x, "added", false, true);
	}
	if (!same_rows(x)) {
		c->changed++;
		return send_row(x, "changed", true, true);
	}
	c->same++;
	return x->req->with_same ? send_row(x, "same", true, true) : ERR_OK;
}

static enum err merge(struct diff *x)
{
	for (int side = 0; side < 2; side++)
		TRY(x->req->key.ptr ? find_one(x, side) : advance(x, side));
	while (!x->end[0] || !x->end[1]) {
		int order = x->end[0]   ? 1
		            : x->end[1] ? -1
		                        : bytes_compare(x->row[0].key, x->row[1].key);
		TRY(compare_pair(x, order));
		if (order <= 0)
			TRY(advance(x, 0));
		if (order >= 0)
			TRY(advance(x, 1));
	}
	return ERR_OK;
}

/* ---- multisets ------------------------------------------------------------------------------- */

static enum err send_bag_row(
    void *ctx, enum diff_change change, const struct datum *values, uint32_t count)
{
	static const char *const names[] = {"added", "removed", "same"};
	struct diff *x = ctx;
	struct replay_diff_counts *c = &x->req->counts;
	uint64_t *counts[] = {&c->added, &c->removed, &c->same};
	(*counts[change])++;
	if (change == DIFF_SAME && !x->req->with_same)
		return ERR_OK;
	x->values[0] = (struct datum){.s = str_of(names[change])};
	for (uint32_t i = 0; i < count; i++)
		x->values[i + 1] = values[i];
	return x->d->take(x->d->take_ctx, x->values, count + 1);
}

static enum err fill_bag(struct diff *x, struct diff_bag *bag, int side)
{
	for (;;) {
		enum err err = proc_snapshot_next(x->snap[side], &x->row[side]);
		if (err)
			return err == ERR_EOF ? ERR_OK : err;
		TRY(diff_bag_add(bag, side, x->row[side].values));
	}
}

static enum err compare_bags(struct diff *x)
{
	struct diff_bag bag;
	enum err err = ERR_OK;
	diff_bag_init(&bag, x->info[0].columns, x->info[0].column_count);
	for (int side = 0; side < 2 && err == ERR_OK; side++)
		err = fill_bag(x, &bag, side);
	if (err == ERR_OK)
		err = diff_bag_walk(&bag, send_bag_row, x);
	diff_bag_release(&bag);
	return err;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static enum err diff_all(struct diff *x)
{
	TRY(bind_columns(x));
	TRY(take_snapshots(x));
	return x->paired ? merge(x) : compare_bags(x);
}

enum err diff_run(struct diff_rows *d)
{
	struct diff *x = mem_calloc(1, sizeof(*x));
	if (!x)
		return ERR_NOMEM;
	x->d = d;
	x->req = d->req;
	arena_init(&x->arena, DIFF_ARENA_BYTES_MAX);
	writer_init(&x->key, MIB);
	writer_init(&x->text[0], 64 * MIB);
	writer_init(&x->text[1], 64 * MIB);
	enum err err = diff_all(x);
	proc_snapshot_close(x->snap[0]);
	proc_snapshot_close(x->snap[1]);
	writer_release(&x->key);
	writer_release(&x->text[0]);
	writer_release(&x->text[1]);
	arena_release(&x->arena);
	mem_free(x);
	return err;
}

/* ---- into a sink ----------------------------------------------------------------------------- */

static enum err sink_columns(void *ctx, const struct plan_columns *columns)
{
	const struct proc_sink *sink = ctx;
	struct proc_column *out = mem_calloc(columns->count + 1u, sizeof(*out));
	if (!out)
		return ERR_NOMEM;
	for (uint32_t i = 0; i < columns->count; i++)
		out[i] = (struct proc_column){columns->columns[i].name, columns->columns[i].type};
	enum err err = sink->columns(sink->ctx, out, columns->count);
	mem_free(out);
	return err;
}

static enum err sink_row(void *ctx, const struct datum *values, uint32_t count)
{
	const struct proc_sink *sink = ctx;
	return sink->row(sink->ctx, values, count);
}

enum err replay_diff(struct replay *r, struct replay_diff *req, const struct proc_sink *sink)
{
	struct diff_rows d = {.replay = r,
	    .req = req,
	    .take = sink_row,
	    .take_ctx = (void *)(uintptr_t)sink,
	    .columns = sink_columns,
	    .columns_ctx = (void *)(uintptr_t)sink};
	return diff_run(&d);
}
