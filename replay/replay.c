/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Doors of replay: life cycle, statements, promote and rollback, waiting. What was done is recorded
 * in the history topic
 * __kappa_replay, one JSON object per event.
 */
#include "replay/state.h"
#include <stdio.h>

enum { WAIT_POLL_MS = 20 };

static enum err ignore_record(
    void *ctx, int32_t partition, struct bytes key, struct bytes value, int64_t timestamp_ms)
{
	(void)ctx, (void)partition, (void)key, (void)value, (void)timestamp_ms;
	return ERR_OK;
}

enum err replay_open(struct proc *proc, struct log *log, struct replay **ret_replay)
{
	static const struct log_table_ops ops = {.apply = ignore_record, .snapshot = NULL};
	struct replay *r = mem_calloc(1, sizeof(*r));
	if (!r)
		return ERR_NOMEM;
	*r = (struct replay){.proc = proc, .log = log, .io = loop_io(log_loop(log))};
	enum err err = log_table_open(log, STR(REPLAY_TOPIC), 1, &ops, r, &r->history);
	if (err) {
		mem_free(r);
		return err;
	}
	*ret_replay = r;
	return ERR_OK;
}

void replay_close(struct replay *r)
{
	if (!r)
		return;
	log_table_close(r->history);
	mem_free(r);
}

int64_t replay_now_ms(const struct replay *r)
{
	return io_clock_ns(r->io, IO_CLOCK_REALTIME) / MS_NS;
}

/* ---- history --------------------------------------------------------------------------------- */

static void write_event(struct replay *r, const struct replay_event *e, struct writer *w)
{
	struct proc_version_status s;
	struct json_writer j;
	json_write_init(&j, w);
	json_object_begin(&j);
	json_key_str(&j, "event", str_of(e->event));
	json_key_str(&j, "view", e->view);
	json_key_i64(&j, "version", e->version);
	if (e->before)
		json_key_i64(&j, "before", e->before);
	json_key_i64(&j, "time_ms", replay_now_ms(r));
	json_key_str(&j, "principal", e->principal);
	json_key_str(&j, "reason", e->reason);
	if (e->from.ptr)
		json_key_str(&j, "from", e->from);
	if (proc_version_status(r->proc, e->view, e->version, &s) == ERR_OK) {
		json_key(&j, STR("logic"));
		json_hex(&j, bytes_of(s.logic, sizeof(s.logic)));
		json_key_u64(&j, "position", s.position);
		json_key_u64(&j, "rows", s.rows);
		json_key_u64(&j, "records", s.records);
		json_key_u64(&j, "dead_letters", s.dead_letters);
	}
	json_object_end(&j);
}

void replay_record(struct replay *r, const struct replay_event *e)
{
	struct writer key, value;
	writer_init(&key, 4 * KIB);
	writer_init(&value, 64 * KIB);
	write_str(&key, e->view);
	write_printf(&key, "/%d", e->version);
	write_event(r, e, &value);
	enum err err = key.err ? key.err : value.err;
	struct log_row row = {writer_bytes(&key), writer_bytes(&value)};
	if (err == ERR_OK)
		err = log_table_put_wait(r->history, 0, &row, 1);
	if (err)
		diag(DIAG_ERROR, "replay_history", "event=%s view=" STR_FMT " error=%s", e->event,
		    STR_ARG(e->view), err_name(err));
	err_clear();
	writer_release(&key);
	writer_release(&value);
}

/* ---- promote and rollback -------------------------------------------------------------------- */

enum err replay_promote(
    struct replay *r, struct str view, int32_t version, int64_t keep_ns, struct str reason)
{
	struct proc_version_status active = {0};
	TRY(proc_version_status(r->proc, view, 0, &active));
	struct proc_activation a = {.view = view,
	    .version = version,
	    .reason = reason,
	    .keep_ns = keep_ns < 0 ? REPLAY_KEEP_DEFAULT_NS : keep_ns};
	TRY(proc_set_active(r->proc, &a));
	struct replay_event e = {.event = "promote",
	    .view = view,
	    .version = version,
	    .before = active.version,
	    .reason = reason};
	replay_record(r, &e);
	return ERR_OK;
}

enum err replay_rollback(struct replay *r, struct str view, struct str reason, int32_t *ret_version)
{
	struct proc_version_status active = {0};
	int32_t previous;
	TRY(proc_version_status(r->proc, view, 0, &active));
	TRY(proc_previous_active(r->proc, view, &previous));
	struct proc_activation a = {
	    .view = view, .version = previous, .keep_ns = -1, .reason = reason, .rollback = true};
	TRY(proc_set_active(r->proc, &a));
	struct replay_event e = {.event = "rollback",
	    .view = view,
	    .version = previous,
	    .before = active.version,
	    .reason = reason};
	replay_record(r, &e);
	*ret_version = previous;
	return ERR_OK;
}

/* ---- waiting --------------------------------------------------------------------------------- */

static enum err stopped(const struct proc_version_status *s)
{
	return err_note(s->state == PROC_SOURCE_GONE ? ERR_SOURCE_GONE : ERR_REFUSED,
	    "view \"%s\" version %d stopped (%s): %s", s->view, s->version,
	    proc_state_name(s->state), s->reason);
}

enum err replay_wait(struct replay *r, struct str view, int32_t version, int64_t lag_ns,
    int64_t timeout_ns, enum err (*progress)(void *ctx, const struct proc_version_status *s),
    void *ctx)
{
	int64_t start_ns = io_clock_ns(r->io, IO_CLOCK_MONOTONIC), told_ns = start_ns;
	for (;;) {
		struct proc_version_status s;
		TRY(proc_version_status(r->proc, view, version, &s));
		if (s.state == PROC_READY && s.lag_ns <= lag_ns)
			return ERR_OK;
		if (s.state == PROC_FAILED || s.state == PROC_SOURCE_GONE)
			return stopped(&s);
		int64_t now_ns = io_clock_ns(r->io, IO_CLOCK_MONOTONIC);
		if (now_ns - start_ns >= timeout_ns)
			return err_note(ERR_TIMEOUT,
			    "view \"%s\" version %d is %s, %.3f s behind, after %.1f s", s.view,
			    s.version, proc_state_name(s.state), (double)s.lag_ns / 1e9,
			    (double)(now_ns - start_ns) / 1e9);
		if (progress && now_ns - told_ns >= S_NS) {
			TRY(progress(ctx, &s));
			told_ns = now_ns;
		}
		proc_pause(r->proc, WAIT_POLL_MS * MS_NS);
	}
}

/* ---- statements ------------------------------------------------------------------------------ */

static enum err rows_of_diff(
    void *ctx, const struct plan *source, proc_take_row take, void *take_ctx)
{
	struct replay *r = ctx;
	struct replay_diff req = {.view = source->view,
	    .a = source->version,
	    .b = source->diff_version,
	    .with_same = true};
	struct diff_rows d = {.replay = r, .req = &req, .take = take, .take_ctx = take_ctx};
	return diff_run(&d);
}

static enum err select_diff(struct replay *r, const struct sql_statement *s,
    const struct proc_sink *sink, struct sql_error *ret_error)
{
	const struct proc_rows rows = {.ctx = r, .rows = rows_of_diff};
	struct arena arena;
	struct view_plan *plan;
	arena_init(&arena, 64 * MIB);
	enum err err = sql_bind_query(s, proc_sql_catalog(r->proc), &arena, &plan, ret_error);
	if (err == ERR_OK)
		err = proc_run_plan(r->proc, plan, &rows, sink);
	arena_release(&arena);
	return err;
}

static enum err send_message(const struct proc_sink *sink, const char *text)
{
	return sink->message ? sink->message(sink->ctx, str_of(text)) : ERR_OK;
}

static enum err alter_view(
    struct replay *r, const struct sql_statement *s, const struct proc_sink *sink)
{
	TRY(replay_promote(r, s->name, s->version, -1, STR("ALTER MATERIALIZED VIEW")));
	return send_message(sink, "ALTER MATERIALIZED VIEW");
}

static enum err execute(struct replay *r, const struct sql_statement *s,
    const struct proc_execute *how, const struct proc_sink *sink, struct sql_error *ret_error)
{
	if (s->kind == SQL_DIFF)
		return select_diff(r, s, sink, ret_error);
	if (s->kind == SQL_ALTER_VIEW)
		return alter_view(r, s, sink);
	if (s->kind == SQL_CALL)
		return replay_call(r, s, how, sink, ret_error);
	return proc_execute(r->proc, s, how, sink, ret_error);
}

enum err replay_execute(struct replay *r, const struct sql_statement *s,
    const struct proc_execute *how, const struct proc_sink *sink, struct sql_error *ret_error)
{
	*ret_error = (struct sql_error){0};
	enum err err = execute(r, s, how, sink, ret_error);
	if (err && ret_error->err == ERR_OK) {
		const char *chain = err_chain();
		ret_error->err = err;
		(void)snprintf(ret_error->message, sizeof(ret_error->message), "%s",
		    chain[0] ? chain : err_text(err));
	}
	return err;
}
