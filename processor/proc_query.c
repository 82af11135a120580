/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statements and queries. A query is the second walk over rows of views: its PLAN_ROWS sources are
 * read from the files at their last checkpoint and pushed through the same operators as a view's
 * records (op_env.query). Time and rows are limited.
 */
#include "processor/proc.h"
#include "processor/query_range.h"
#include <stdio.h>

enum { QUERY_ARENA_BYTES_MAX = 256 << 20, QUERY_MEMORY_BYTES = 1 << 30, QUERY_BATCH_ROWS = 1024 };

struct query {
	struct proc *proc;
	const struct view_plan *plan;
	const struct proc_sink *sink;
	struct op_env env;
	struct op_tree *tree;
	int64_t end_ns; /* monotonic */
	uint64_t rows_read, rows_sent;
	struct datum *values; /* of one result row */
	/* the batch being filled */
	uint32_t source_id;
	const struct plan *source;
	struct arena arena;
	struct batch batch;
	bool stop; /* a LIMIT has all its rows */
};

/* ---- results --------------------------------------------------------------------------------- */

static enum err query_sink(
    void *ctx, const struct batch *rows, const struct op_change *changes, uint32_t count)
{
	struct query *q = ctx;
	uint32_t columns = q->plan->visible_count;
	for (uint32_t i = 0; i < count; i++) {
		ASSERT(!changes[i].deleted);
		if (++q->rows_sent > q->proc->options.query_rows_max)
			return err_note(ERR_LIMIT,
			    "the result has more than %llu rows: add a LIMIT",
			    (unsigned long long)q->proc->options.query_rows_max);
		for (uint32_t k = 0; k < columns; k++)
			q->values[k] = vec_get(&rows->cols[k], changes[i].row);
		TRY(q->sink->row(q->sink->ctx, q->values, columns));
	}
	return ERR_OK;
}

static void query_error(void *ctx, const struct op_error *e)
{
	(void)ctx, (void)e; /* in a query the error comes back from op_push or op_flush */
}

static enum err send_columns(const struct query *q)
{
	uint32_t count = q->plan->visible_count;
	struct proc_column *columns = mem_calloc(count + 1u, sizeof(*columns));
	if (!columns)
		return ERR_NOMEM;
	for (uint32_t i = 0; i < count; i++)
		columns[i] = (struct proc_column){
		    q->plan->root->columns[i].name, q->plan->root->columns[i].type};
	enum err err = q->sink->columns(q->sink->ctx, columns, count);
	mem_free(columns);
	return err;
}

/* ---- rows in --------------------------------------------------------------------------------- */

static enum err begin_batch(struct query *q)
{
	uint32_t count = q->source->column_count;
	arena_clear(&q->arena);
	struct type *types = arena_calloc(&q->arena, count + 1u, sizeof(*types));
	if (!types)
		return ERR_NOMEM;
	for (uint32_t i = 0; i < count; i++)
		types[i] = q->source->columns[i].type;
	TRY(batch_init(&q->batch, &q->arena, types, count, QUERY_BATCH_ROWS));
	for (uint32_t i = 0; i < count; i++)
		TRY(vec_init_nulls(&q->batch.cols[i], &q->arena, QUERY_BATCH_ROWS));
	q->batch.count = 0;
	return ERR_OK;
}

static enum err push_batch(struct query *q)
{
	if (q->batch.count == 0)
		return ERR_OK;
	TRY(op_push(q->tree, q->source_id, &q->batch));
	q->stop = op_done(q->tree);
	if (io_clock_ns(q->proc->options.io, IO_CLOCK_MONOTONIC) > q->end_ns)
		return err_note(ERR_TIMEOUT, "the query was stopped after %lld s",
		    (long long)(q->proc->options.query_timeout_ns / S_NS));
	return begin_batch(q);
}

static enum err take_row(void *ctx, const struct datum *values, uint32_t count)
{
	struct query *q = ctx;
	struct batch *b = &q->batch;
	ASSERT(count >= b->column_count);
	for (uint32_t i = 0; i < b->column_count; i++) {
		struct datum d;
		TRY(datum_copy(&q->arena, b->cols[i].type.id, values[i], &d));
		vec_set(&b->cols[i], b->count, d);
	}
	q->rows_read++;
	return ++b->count == QUERY_BATCH_ROWS ? push_batch(q) : ERR_OK;
}

static enum err walk_view(struct query *q, struct store_reader *reader, const struct reg_version *v)
{
	struct key_range range;
	struct store_row row;
	key_range_init(&range);
	enum err err = key_range_find(&range, q->plan, q->source, v->plan);
	if (err == ERR_OK)
		err = store_rows_begin(reader, key_range_from(&range), key_range_to(&range));
	while (err == ERR_OK && !q->stop) {
		err = store_rows_next(reader, &row);
		if (err == ERR_OK)
			err = take_row(q, row.values, v->plan->visible_count);
	}
	key_range_release(&range);
	return err == ERR_EOF ? ERR_OK : err;
}

static enum err read_view(struct query *q)
{
	struct store_reader *reader;
	struct reg_version *v;
	TRY(proc_open_reader(q->proc, q->source->view, q->source->version, &v, &reader));
	enum err err = walk_view(q, reader, v);
	store_reader_close(reader);
	return err;
}

static enum err read_source(struct query *q, uint32_t id, const struct proc_rows *rows)
{
	q->source = q->plan->sources[id];
	q->source_id = id;
	if (q->source->kind != PLAN_ROWS)
		return err_note(ERR_SQL_UNSUPPORTED,
		    "a query reads views, not topics: make a view of table \"" STR_FMT "\"",
		    STR_ARG(q->source->table->name));
	TRY(begin_batch(q));
	if (q->source->diff_version == 0)
		TRY(read_view(q));
	else if (rows)
		TRY(rows->rows(rows->ctx, q->source, take_row, q));
	else
		return err_note(ERR_UNSUPPORTED, "diff() is not available here");
	return q->stop ? ERR_OK : push_batch(q);
}

/* ---- running --------------------------------------------------------------------------------- */

static enum err run_query(struct query *q, const struct proc_rows *rows)
{
	q->values = mem_calloc(q->plan->visible_count + 1u, sizeof(*q->values));
	if (!q->values)
		return ERR_NOMEM;
	q->env = (struct op_env){.ctx = q,
	    .sink = query_sink,
	    .error = query_error,
	    .query = true,
	    .memory_bytes = QUERY_MEMORY_BYTES};
	TRY(op_build(q->plan, &q->env, &q->tree));
	TRY(send_columns(q));
	for (uint32_t i = 0; i < q->plan->source_count && !q->stop; i++)
		TRY(read_source(q, i, rows));
	return op_flush(q->tree);
}

enum err proc_run_plan(struct proc *p, const struct view_plan *plan, const struct proc_rows *rows,
    const struct proc_sink *sink)
{
	struct query q = {.proc = p, .plan = plan, .sink = sink};
	q.end_ns = io_clock_ns(p->options.io, IO_CLOCK_MONOTONIC) + p->options.query_timeout_ns;
	arena_init(&q.arena, QUERY_ARENA_BYTES_MAX);
	enum err err = run_query(&q, rows);
	op_free(q.tree);
	arena_release(&q.arena);
	mem_free(q.values);
	return err;
}

enum err proc_explain_plan(const struct view_plan *plan, const struct proc_sink *sink)
{
	struct writer w;
	writer_init(&w, MIB);
	plan_print(&w, plan);
	enum err err = w.err;
	if (err == ERR_OK && sink->message)
		err = sink->message(sink->ctx, bytes_str(writer_bytes(&w)));
	writer_release(&w);
	return err;
}

enum err proc_select(struct proc *p, const struct sql_statement *s, const struct proc_sink *sink,
    struct sql_error *ret_error)
{
	struct arena arena;
	struct view_plan *plan;
	arena_init(&arena, QUERY_ARENA_BYTES_MAX);
	enum err err = sql_bind_query(s, &p->registry.catalog, &arena, &plan, ret_error);
	if (err == ERR_OK && s->kind == SQL_EXPLAIN)
		err = proc_explain_plan(plan, sink);
	else if (err == ERR_OK)
		err = proc_run_plan(p, plan, NULL, sink);
	arena_release(&arena);
	return err;
}

/* ---- one view pinned to a version ------------------------------------------------------------ */

struct pinned {
	const struct sql_catalog *under;
	struct str view;
	int32_t version;
};

static enum err pinned_table(void *ctx, struct str name, const struct table **ret_table)
{
	const struct pinned *p = ctx;
	return p->under->table(p->under->ctx, name, ret_table);
}

static enum err pinned_view(
    void *ctx, struct str name, int32_t version, struct sql_view_info *ret_info)
{
	const struct pinned *p = ctx;
	if (version == 0 && str_equal(name, p->view))
		version = p->version;
	return p->under->view(p->under->ctx, name, version, ret_info);
}

static struct str pinned_nearest(void *ctx, struct str name)
{
	const struct pinned *p = ctx;
	return p->under->nearest(p->under->ctx, name);
}

static enum err query_text(struct proc *p, const struct pinned *pinned, struct str sql,
    const struct proc_sink *sink, struct sql_error *ret_error)
{
	const struct sql_catalog catalog = {.ctx = (void *)(uintptr_t)pinned,
	    .table = pinned_table,
	    .view = pinned_view,
	    .nearest = pinned_nearest};
	struct sql_script script;
	struct arena arena;
	struct view_plan *plan;
	TRY(sql_parse(sql, &script, ret_error));
	arena_init(&arena, QUERY_ARENA_BYTES_MAX);
	enum err err = ERR_OK;
	if (script.count != 1 || script.statements[0].kind != SQL_QUERY)
		err = err_note(ERR_INVALID, "one SELECT is expected here");
	if (err == ERR_OK)
		err = sql_bind_query(&script.statements[0], &catalog, &arena, &plan, ret_error);
	if (err == ERR_OK)
		err = proc_run_plan(p, plan, NULL, sink);
	arena_release(&arena);
	sql_script_release(&script);
	return err;
}

/* SELECT * FROM "view", with quotes doubled. */
static void write_select_all(struct writer *w, struct str view)
{
	write_cstr(w, "SELECT * FROM \"");
	for (size_t i = 0; i < view.len; i++) {
		if (view.ptr[i] == '"')
			write_u8(w, '"');
		write_u8(w, (uint8_t)view.ptr[i]);
	}
	write_u8(w, '"');
}

enum err proc_query(struct proc *p, struct str view, int32_t version, struct str sql,
    const struct proc_sink *sink, struct sql_error *ret_error)
{
	struct pinned pinned = {.under = &p->registry.catalog, .view = view, .version = version};
	struct reg_version *v;
	struct writer w;
	*ret_error = (struct sql_error){0};
	mutex_lock(&p->mutex);
	enum err err = proc_find_version(p, view, version, &v);
	mutex_unlock(&p->mutex);
	if (err)
		return proc_sql_error(ret_error, err);
	writer_init(&w, 64 * KIB);
	if (!sql.ptr)
		write_select_all(&w, view);
	err = w.err ? w.err
	            : query_text(
	                  p, &pinned, sql.ptr ? sql : bytes_str(writer_bytes(&w)), sink, ret_error);
	writer_release(&w);
	return proc_sql_error(ret_error, err);
}

/* ---- statements ------------------------------------------------------------------------------ */

static enum err show_tables(struct proc *p, const struct proc_sink *sink)
{
	static const struct type text = {TYPE_TEXT, 0, 0};
	const struct proc_column columns[3] = {
	    {STR("name"), text}, {STR("kind"), text}, {STR("source"), text}};
	TRY(sink->columns(sink->ctx, columns, 3));
	enum err err = ERR_OK;
	mutex_lock(&p->ddl); /* entries are not freed; what is dropped is only marked */
	LIST_EACH (&p->registry.tables, node, next) {
		struct reg_table *t = CONTAINER_OF(node, struct reg_table, node);
		const struct datum row[3] = {
		    {.s = t->name}, {.s = STR("table")}, {.s = t->table->topic}};
		if (!t->dropped && err == ERR_OK)
			err = sink->row(sink->ctx, row, 3);
	}
	LIST_EACH (&p->registry.views, node, next) {
		struct reg_view *v = CONTAINER_OF(node, struct reg_view, node);
		char source[40];
		(void)snprintf(source, sizeof(source), "version %d", v->active);
		const struct datum row[3] = {
		    {.s = v->name}, {.s = STR("view")}, {.s = str_of(source)}};
		if (registry_next_version(v, NULL) && err == ERR_OK)
			err = sink->row(sink->ctx, row, 3);
	}
	mutex_unlock(&p->ddl);
	return err;
}

static enum err execute(struct proc *p, const struct sql_statement *s,
    const struct proc_execute *how, const struct proc_sink *sink, struct sql_error *ret_error)
{
	switch (s->kind) {
	case SQL_CREATE_TABLE:
	case SQL_CREATE_VIEW:
	case SQL_DROP: {
		mutex_lock(&p->ddl);
		enum err err =
		    s->kind == SQL_CREATE_TABLE  ? proc_create_table(p, s, how, sink, ret_error)
		    : s->kind == SQL_CREATE_VIEW ? proc_create_view(p, s, how, sink, ret_error)
		                                 : proc_drop(p, s, how, sink);
		mutex_unlock(&p->ddl);
		return err;
	}
	case SQL_QUERY:
	case SQL_EXPLAIN:
		return proc_select(p, s, sink, ret_error);
	case SQL_SHOW_TABLES:
		return show_tables(p, sink);
	case SQL_ALTER_VIEW:
	case SQL_CALL:
	case SQL_DIFF:
		return err_note(ERR_UNSUPPORTED, "this statement belongs to replay");
	}
	return ERR_BUG;
}

enum err proc_execute(struct proc *p, const struct sql_statement *s, const struct proc_execute *how,
    const struct proc_sink *sink, struct sql_error *ret_error)
{
	*ret_error = (struct sql_error){0};
	return proc_sql_error(ret_error, execute(p, s, how, sink, ret_error));
}
