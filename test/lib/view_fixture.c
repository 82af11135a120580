/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/view_fixture.h"
#include "log/batch.h"
#include "test/lib/quakes.h"
#include "test/lib/tempdir.h"
#include <stdio.h>

/* ---- life cycle -------------------------------------------------------------------- */

static enum err open_all(struct view_fixture *f)
{
	struct log_options log_options = f->log_options;
	log_options.data_dir = f->data_dir;
	if (log_options.journal_bytes == 0)
		log_options.journal_bytes = JOURNAL_BYTES_MIN;
	if (!f->given_io)
		TRY(io_new(f->backend, &f->io));
	TRY(loop_new(f->io, f->given_io ? 0 : 1, &f->loop));
	TRY(log_open(f->loop, &log_options, &f->log));
	f->options.log = f->log;
	f->options.io = f->io;
	f->options.data_dir = f->data_dir;
	TRY(proc_open(&f->options, &f->proc));
	return replay_open(f->proc, f->log, &f->replay);
}

static void close_all(struct view_fixture *f)
{
	replay_close(f->replay);
	proc_close(f->proc);
	if (f->log)
		log_close(f->log);
	f->replay = NULL;
	f->proc = NULL;
	f->log = NULL;
}

static void note_error(struct view_fixture *f, enum err err)
{
	f->err = err;
	(void)snprintf(f->why, sizeof(f->why), "%s: %s", err_name(err), err_chain());
}

static void serve(void *arg)
{
	struct view_fixture *f = arg;
	f->err = ERR_OK;
	enum err err = open_all(f);
	if (err)
		note_error(f, err);
	gate_open(&f->ready);
	if (err == ERR_OK)
		ASSERT(loop_run(f->loop) == ERR_OK);
	close_all(f);
}

static void init_writers(struct view_fixture *f)
{
	if (f->out.limit == 0) {
		writer_init(&f->out, 256 * MIB);
		writer_init(&f->messages, MIB);
	}
	if (f->options.checkpoint_ns == 0)
		f->options.checkpoint_ns = 20 * MS_NS; /* tests wait for checkpoints */
}

void view_start(struct view_fixture *f, const char *backend)
{
	init_writers(f);
	if (!f->dir)
		f->dir = tempdir_new();
	(void)snprintf(f->data_dir, sizeof(f->data_dir), "%s/data", f->dir);
	f->backend = backend;
	if (f->options.workers == 0)
		f->options.workers = 1;
	gate_init(&f->ready);
	assert_int_equal(thread_start(&f->thread, "view-server", serve, f), ERR_OK);
	gate_wait(&f->ready);
	gate_release(&f->ready);
	if (f->err)
		fail_msg("the server did not start: %s", f->why);
}

enum err view_try_start_on(struct view_fixture *f, struct io *io, const char *data_dir)
{
	init_writers(f);
	f->io = io;
	f->given_io = true;
	f->options.workers = 0;
	(void)snprintf(f->data_dir, sizeof(f->data_dir), "%s", data_dir);
	enum err err = open_all(f);
	if (err) {
		note_error(f, err);
		close_all(f);
		loop_free(f->loop);
		f->loop = NULL;
	}
	return err;
}

void view_start_on(struct view_fixture *f, struct io *io, const char *data_dir)
{
	if (view_try_start_on(f, io, data_dir) != ERR_OK)
		fail_msg("the server did not start: %s", f->why);
}

void view_stop(struct view_fixture *f)
{
	if (!f->loop)
		return;
	if (f->given_io) {
		close_all(f);
	} else {
		loop_stop(f->loop);
		thread_join(&f->thread);
	}
	loop_free(f->loop);
	if (!f->given_io)
		io_free(f->io);
	f->loop = NULL;
}

void view_remove(struct view_fixture *f)
{
	view_stop(f);
	if (f->dir)
		tempdir_remove(f->dir);
	f->dir = NULL;
	writer_release(&f->out);
	writer_release(&f->messages);
}

/* ---- topics ------------------------------------------------------------------------ */

struct topic_call {
	struct view_fixture *f;
	struct log_topic_req req;
	struct gate done;
};

static void topic_done(struct log_topic_req *req)
{
	gate_open(&CONTAINER_OF(req, struct topic_call, req)->done);
}

static void submit_topic(void *arg)
{
	struct topic_call *c = arg;
	log_topic_submit(c->f->log, &c->req);
}

static void change_topic(
    struct view_fixture *f, enum log_topic_op op, const char *name, int32_t partitions)
{
	struct topic_call c = {.f = f,
	    .req = {
	        .op = op, .name = str_of(name), .partition_count = partitions, .done = topic_done}};
	gate_init(&c.done);
	loop_call(f->loop, submit_topic, &c);
	loop_wait(f->loop, &c.done);
	gate_release(&c.done);
	if (c.req.err)
		fail_msg("topic %s: %s %s", name, err_name(c.req.err), c.req.message);
}

void view_create_topic(struct view_fixture *f, const char *name, int32_t partitions)
{
	change_topic(f, LOG_TOPIC_CREATE, name, partitions);
}

void view_add_partitions(struct view_fixture *f, const char *name, int32_t total)
{
	change_topic(f, LOG_TOPIC_ADD_PARTITIONS, name, total);
}

void view_delete_topic(struct view_fixture *f, const char *name)
{
	change_topic(f, LOG_TOPIC_DELETE, name, 0);
}

/* ---- records ----------------------------------------------------------------------- */

struct append_call {
	struct view_fixture *f;
	struct str topic;
	int32_t partition;
	struct log_append req;
	struct log_append *reqs[1];
	struct gate done;
};

static void append_done(struct log_append *req)
{
	gate_open(&CONTAINER_OF(req, struct append_call, req)->done);
}

static void submit_append(void *arg)
{
	struct append_call *c = arg;
	const struct log_topic *t = log_topic_find(c->f->log, c->topic);
	c->req.partition = t ? log_partition_find(c->f->log, t, c->partition) : NULL;
	if (!c->req.partition) {
		c->req.err = ERR_UNKNOWN_TOPIC;
		gate_open(&c->done);
		return;
	}
	log_append(c->f->log, c->reqs, 1, false);
}

static void build_batch(struct writer *w, const char *const *values, size_t count, int64_t time_ms)
{
	struct batch_builder b;
	batch_builder_init(&b, BATCH_NONE);
	for (size_t i = 0; i < count; i++) {
		struct bytes value = {
		    (const uint8_t *)values[i], values[i] ? strlen(values[i]) : 0};
		assert_int_equal(
		    batch_builder_add(&b, time_ms, (struct bytes){NULL, 0}, value, NULL, 0),
		    ERR_OK);
	}
	assert_int_equal(batch_builder_finish(&b, w), ERR_OK);
	batch_builder_release(&b);
}

enum err view_try_produce(struct view_fixture *f, const char *topic, int32_t partition,
    const char *const *values, size_t count)
{
	struct writer w;
	writer_init(&w, 64 * MIB);
	build_batch(&w, values, count, io_clock_ns(f->io, IO_CLOCK_REALTIME) / MS_NS);
	struct append_call c = {.f = f,
	    .topic = str_of(topic),
	    .partition = partition,
	    .req = {.batch = w.ptr, .batch_len = w.len, .done = append_done}};
	c.reqs[0] = &c.req;
	gate_init(&c.done);
	loop_call(f->loop, submit_append, &c);
	loop_wait(f->loop, &c.done);
	gate_release(&c.done);
	writer_release(&w);
	return c.req.err;
}

void view_produce(struct view_fixture *f, const char *topic, int32_t partition,
    const char *const *values, size_t count)
{
	enum err err = view_try_produce(f, topic, partition, values, count);
	if (err)
		fail_msg("produce to %s-%d: %s", topic, partition, err_name(err));
}

/* ---- statements -------------------------------------------------------------------- */

static enum err add_text(void *ctx, struct str text)
{
	write_str(ctx, text);
	return ERR_OK;
}

struct csv_sink {
	struct proc_sink sink;
	struct view_fixture *f;
	const struct proc_sink *text;
};

static enum err csv_columns(void *ctx, const struct proc_column *columns, uint32_t count)
{
	struct csv_sink *s = ctx;
	return s->text->columns(s->text->ctx, columns, count);
}

static enum err csv_row(void *ctx, const struct datum *values, uint32_t count)
{
	struct csv_sink *s = ctx;
	return s->text->row(s->text->ctx, values, count);
}

static enum err csv_message(void *ctx, struct str text)
{
	struct csv_sink *s = ctx;
	write_str(&s->f->messages, text);
	write_u8(&s->f->messages, '\n');
	return ERR_OK;
}

static enum err run_statement(
    struct view_fixture *f, const struct sql_statement *s, const char *query_view, int32_t version)
{
	struct proc_text *text;
	struct sql_error e = {0};
	struct proc_execute how = {.execute_plans = true, .principal = STR("test")};
	TRY(proc_text_new(PROC_CSV, add_text, &f->out, &text));
	struct csv_sink sink = {.f = f, .text = proc_text_sink(text)};
	sink.sink = (struct proc_sink){
	    .ctx = &sink, .columns = csv_columns, .row = csv_row, .message = csv_message};
	writer_clear(&f->out);
	err_clear();
	enum err err = s ? replay_execute(f->replay, s, &how, &sink.sink, &e)
	                 : proc_query(f->proc, str_of(query_view), version, (struct str){NULL, 0},
	                       &sink.sink, &e);
	if (err == ERR_OK)
		err = proc_text_finish(text);
	proc_text_free(text);
	if (err)
		(void)snprintf(f->why, sizeof(f->why), "%s: %d:%d: %s %s", err_name(err), e.line,
		    e.column, e.message, e.hint);
	return err;
}

enum err view_try_sql(struct view_fixture *f, const char *sql)
{
	struct sql_script script;
	struct sql_error e = {0};
	enum err err = sql_parse(str_of(sql), &script, &e);
	writer_clear(&f->messages);
	if (err) {
		(void)snprintf(f->why, sizeof(f->why), "%s: %d:%d: %s %s", err_name(err), e.line,
		    e.column, e.message, e.hint);
		return err;
	}
	for (uint32_t i = 0; i < script.count && err == ERR_OK; i++)
		err = run_statement(f, &script.statements[i], NULL, 0);
	sql_script_release(&script);
	return err;
}

static const char *out_text(struct view_fixture *f)
{
	write_u8(&f->out, 0);
	assert_int_equal(f->out.err, ERR_OK);
	return (const char *)f->out.ptr;
}

const char *view_sql(struct view_fixture *f, const char *sql)
{
	if (view_try_sql(f, sql) != ERR_OK)
		fail_msg("%s\n%s", sql, f->why);
	return out_text(f);
}

const char *view_rows(struct view_fixture *f, const char *view, int32_t version)
{
	if (run_statement(f, NULL, view, version) != ERR_OK)
		fail_msg("rows of %s version %d: %s", view, version, f->why);
	return out_text(f);
}

/* ---- versions ---------------------------------------------------------------------- */

struct proc_version_status view_status(struct view_fixture *f, const char *view, int32_t version)
{
	struct proc_version_status s;
	if (proc_version_status(f->proc, str_of(view), version, &s) != ERR_OK)
		fail_msg("status of %s: %s", view, err_chain());
	return s;
}

static void read_stable(void *arg)
{
	void **a = arg;
	struct log_status st;
	log_status(((struct view_fixture *)a[0])->log, &st);
	*(uint64_t *)a[1] = st.stable_sequence;
}

void view_catch_up(struct view_fixture *f, const char *view, int32_t version)
{
	uint64_t stable = 0;
	void *arg[2] = {f, &stable};
	loop_call(f->loop, read_stable, arg);
	for (int i = 0; i < 60000; i++) {
		struct proc_version_status s = view_status(f, view, version);
		if (s.state == PROC_READY && s.position >= stable)
			return;
		if (s.state == PROC_FAILED || s.state == PROC_SOURCE_GONE)
			fail_msg("%s version %d is %s: %s", view, s.version,
			    proc_state_name(s.state), s.reason);
		proc_pause(f->proc, MS_NS);
	}
	fail_msg("%s version %d did not catch up in 60 s", view, version);
}

const char *view_root(struct view_fixture *f, const char *view, int32_t version, char *buf)
{
	struct proc_snapshot *s;
	uint8_t root[32];
	int32_t versions[1] = {version};
	if (version == 0)
		versions[0] = view_status(f, view, 0).version;
	if (proc_snapshot_at(f->proc, str_of(view), versions, 1, 0, 30 * S_NS, &s) != ERR_OK)
		fail_msg("snapshot of %s: %s", view, err_chain());
	assert_int_equal(proc_snapshot_root(s, root), ERR_OK);
	proc_snapshot_close(s);
	for (int i = 0; i < 32; i++)
		(void)snprintf(buf + 2 * i, 3, "%02x", root[i]);
	return buf;
}

/* ---- quakes ------------------------------------------------------------------------ */

void view_produce_quakes(
    struct view_fixture *f, struct quakes *q, size_t count, int32_t partitions, size_t batch_max)
{
	const char **values = mem_calloc(batch_max, sizeof(*values));
	while (count > 0) {
		size_t n = (size_t)prng_below(&q->prng, batch_max) + 1, first = q->count;
		n = n < count ? n : count;
		for (size_t i = 0; i < n; i++)
			(void)quakes_next(q);
		for (size_t i = 0; i < n; i++) /* the array may have moved while it grew */
			values[i] = q->all[first + i].null ? NULL : q->all[first + i].text;
		view_produce(
		    f, "quakes", (int32_t)prng_below(&q->prng, (uint64_t)partitions), values, n);
		count -= n;
	}
	mem_free(values);
}
