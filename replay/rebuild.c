/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rebuilds: a new version of a view beside the live one, over all of its input or from a place on.
 * And CALL rebuild(), promote(), rollback().
 */
#include "replay/state.h"
#include <stdio.h>

enum { REBUILD_ARENA_BYTES_MAX = 64 << 20 };

/* ---- --from ---------------------------------------------------------------------------------- */

struct part_look {
	struct replay *replay;
	struct log_uuid topic;
	int32_t count;
	struct log_partition_status *parts; /* heap */
	enum err err;
};

static void look_at_parts(void *arg)
{
	struct part_look *l = arg;
	const struct log_topic *t = log_topic_by_id(l->replay->log, l->topic);
	if (!t) {
		l->err = ERR_SOURCE_GONE;
		return;
	}
	l->count = t->partition_count;
	l->parts = mem_calloc((size_t)l->count, sizeof(*l->parts));
	if (!l->parts) {
		l->err = ERR_NOMEM;
		return;
	}
	for (int32_t i = 0; i < l->count; i++)
		log_partition_status(log_partition_find(l->replay->log, t, i), &l->parts[i]);
}

static enum err resolve_part(struct replay *r, const struct offset_point *p,
    const struct part_look *l, int32_t i, int64_t *ret_offset)
{
	int64_t start = l->parts[i].log_start, end = l->parts[i].durable_end, offset = start;
	switch (p->kind) {
	case OFFSET_NONE:
	case OFFSET_START:
		break;
	case OFFSET_END:
		offset = end;
		break;
	case OFFSET_AT:
		offset = p->value;
		break;
	case OFFSET_BEFORE_END:
		offset = p->value > end - start ? start : end - p->value;
		break;
	case OFFSET_AFTER_START:
		offset = p->value > end - start ? end : start + p->value;
		break;
	case OFFSET_TIME:
		TRY(log_scan_find_append_time(r->log, l->topic, i, p->value * MS_NS, &offset));
		break;
	case OFFSET_STORED:
		return err_note(
		    ERR_INVALID, "'stored' is a place of a consumer group, not of a view");
	}
	*ret_offset = offset < start ? start : offset > end ? end : offset;
	return ERR_OK;
}

struct from_list {
	struct arena *arena;
	struct log_scan_source *sources;
	size_t count, capacity;
};

static enum err add_source(
    struct from_list *list, struct log_uuid topic, int32_t partition, int64_t offset)
{
	if (list->count == list->capacity) {
		size_t capacity = list->capacity ? list->capacity * 2 : 16;
		struct log_scan_source *s = arena_calloc(list->arena, capacity, sizeof(*s));
		if (!s)
			return ERR_NOMEM;
		if (list->count > 0)
			memcpy(s, list->sources, list->count * sizeof(*s));
		list->sources = s;
		list->capacity = capacity;
	}
	list->sources[list->count++] = (struct log_scan_source){topic, partition, offset};
	return ERR_OK;
}

static enum err resolve_topic(
    struct replay *r, const struct offset_point *p, struct log_uuid topic, struct from_list *list)
{
	struct part_look l = {.replay = r, .topic = topic};
	loop_call(log_loop(r->log), look_at_parts, &l);
	enum err err = l.err;
	if (err == ERR_SOURCE_GONE)
		err = err_note(err, "a topic that the view reads was deleted");
	for (int32_t i = 0; i < l.count && err == ERR_OK; i++) {
		int64_t offset = 0;
		err = resolve_part(r, p, &l, i, &offset);
		if (err == ERR_OK)
			err = add_source(list, topic, i, offset);
	}
	mem_free(l.parts);
	return err;
}

enum err replay_resolve_from(struct replay *r, struct str from, const struct log_uuid *topics,
    size_t count, struct arena *arena, struct proc_input *ret_input)
{
	struct offset_point p = {OFFSET_START, 0};
	struct from_list list = {.arena = arena};
	if (from.ptr)
		TRY(offset_point_parse(from, replay_now_ms(r), &p));
	struct proc_input input = {.from_start = p.kind == OFFSET_START};
	for (size_t i = 0; i < count && !input.from_start; i++)
		TRY(resolve_topic(r, &p, topics[i], &list));
	input.from = list.sources;
	input.from_count = list.count;
	*ret_input = input;
	return ERR_OK;
}

/* ---- rebuild --------------------------------------------------------------------------------- */

static enum err rebuild_statement(
    struct replay *r, struct replay_rebuild *req, const struct sql_statement *s)
{
	struct arena arena;
	struct log_uuid *topics;
	size_t count;
	struct proc_input input;
	if (!str_equal(s->name, req->view))
		return err_note(ERR_INVALID,
		    "the statement creates \"" STR_FMT "\", not \"" STR_FMT "\"", STR_ARG(s->name),
		    STR_ARG(req->view));
	arena_init(&arena, REBUILD_ARENA_BYTES_MAX);
	enum err err = proc_sources(r->proc, s, &arena, &topics, &count, &req->error);
	if (err == ERR_OK)
		err = replay_resolve_from(r, req->from, topics, count, &arena, &input);
	if (err == ERR_OK) {
		input.principal = req->principal;
		err = proc_version_create(
		    r->proc, s, req->version, &input, &req->version, &req->error);
	}
	arena_release(&arena);
	return err;
}

static enum err rebuild(struct replay *r, struct replay_rebuild *req)
{
	struct proc_version_status s;
	struct sql_script script;
	TRY(proc_version_status(
	    r->proc, req->view, 0, &s)); /* a rebuild is of something that is there */
	TRY(sql_parse(req->sql, &script, &req->error));
	enum err err = ERR_OK;
	if (script.count != 1 || script.statements[0].kind != SQL_CREATE_VIEW)
		err = err_note(ERR_INVALID, "one CREATE MATERIALIZED VIEW is expected");
	if (err == ERR_OK)
		err = rebuild_statement(r, req, &script.statements[0]);
	sql_script_release(&script);
	return err;
}

enum err replay_rebuild(struct replay *r, struct replay_rebuild *req)
{
	req->version = 0; /* what the statement names, else the next free one */
	req->error = (struct sql_error){0};
	enum err err = rebuild(r, req);
	if (err && req->error.err == ERR_OK) {
		const char *chain = err_chain();
		req->error.err = err;
		(void)snprintf(req->error.message, sizeof(req->error.message), "%s",
		    chain[0] ? chain : err_text(err));
	}
	TRY(err);
	struct replay_event e = {.event = "rebuild",
	    .view = req->view,
	    .version = req->version,
	    .principal = req->principal,
	    .from = req->from.ptr ? req->from : STR("start")};
	replay_record(r, &e);
	return ERR_OK;
}

/* ---- CALL ------------------------------------------------------------------------------------ */

struct call_args {
	struct str view, from, reason, keep;
	int32_t version;
};

static enum err text_arg(const struct sql_arg *a, struct str *ret_text)
{
	if (a->type.id != TYPE_TEXT || a->value.null)
		return err_note(ERR_SQL_TYPE, "argument " STR_FMT " is text",
		    STR_ARG(a->name.ptr ? a->name : STR("1")));
	*ret_text = a->value.s;
	return ERR_OK;
}

static enum err take_arg(const struct sql_arg *a, uint32_t position, struct call_args *out)
{
	struct str name = a->name.ptr     ? a->name
	                  : position == 0 ? STR("view")
	                  : position == 1 ? STR("version")
	                                  : STR("");
	if (str_equal(name, STR("view")))
		return text_arg(a, &out->view);
	if (str_equal(name, STR("from_offset")))
		return text_arg(a, &out->from);
	if (str_equal(name, STR("reason")))
		return text_arg(a, &out->reason);
	if (str_equal(name, STR("keep")))
		return text_arg(a, &out->keep);
	if (!str_equal(name, STR("version")))
		return err_note(
		    ERR_SQL_NAME, "there is no argument \"" STR_FMT "\"", STR_ARG(name));
	bool integer =
	    a->type.id == TYPE_INT4 || a->type.id == TYPE_INT8 || a->type.id == TYPE_INT2;
	if (!integer || a->value.null || a->value.i <= 0 || a->value.i > INT32_MAX)
		return err_note(ERR_SQL_TYPE, "version is a number from 1");
	out->version = (int32_t)a->value.i;
	return ERR_OK;
}

/* CALL rebuild(view [, version => n] [, from_offset => spec]): version n that was created WITH NO
 * DATA, else the active version's SQL as a new version. */
static enum err call_rebuild(struct replay *r, const struct call_args *a,
    const struct proc_execute *how, const struct proc_sink *sink, struct sql_error *ret_error)
{
	struct writer sql;
	struct proc_version_status s;
	bool named =
	    a->version != 0 && proc_version_status(r->proc, a->view, a->version, &s) == ERR_OK;
	writer_init(&sql, MIB);
	struct replay_rebuild req = {.view = a->view, .from = a->from, .principal = how->principal};
	enum err err = proc_version_sql(r->proc, a->view, named ? a->version : 0, &sql);
	struct sql_script script;
	if (err == ERR_OK)
		err = sql_parse(str_of((const char *)sql.ptr), &script, ret_error);
	if (err == ERR_OK) {
		struct sql_statement s2 = script.statements[0];
		s2.version = 0;
		req.version = a->version;
		err = rebuild_statement(r, &req, &s2);
		*ret_error = req.error;
		sql_script_release(&script);
	}
	writer_release(&sql);
	TRY(err);
	struct replay_event e = {.event = "rebuild",
	    .view = a->view,
	    .version = req.version,
	    .principal = how->principal,
	    .from = a->from.ptr ? a->from : STR("start")};
	replay_record(r, &e);
	char text[300];
	(void)snprintf(text, sizeof(text), "rebuild of \"" STR_FMT "\" version %d started",
	    STR_ARG(a->view), req.version);
	return sink->message ? sink->message(sink->ctx, str_of(text)) : ERR_OK;
}

enum err replay_call(struct replay *r, const struct sql_statement *s,
    const struct proc_execute *how, const struct proc_sink *sink, struct sql_error *ret_error)
{
	struct call_args a = {0};
	for (uint32_t i = 0; i < s->arg_count; i++)
		TRY(take_arg(&s->args[i], i, &a));
	if (!a.view.ptr)
		return err_note(
		    ERR_INVALID, "CALL " STR_FMT "('view', ...): which view?", STR_ARG(s->name));
	if (str_equal(s->name, STR("rebuild")))
		return call_rebuild(r, &a, how, sink, ret_error);
	if (str_equal(s->name, STR("promote"))) {
		int64_t keep_ns = -1;
		if (a.keep.ptr)
			TRY(duration_parse(a.keep, &keep_ns));
		TRY(replay_promote(r, a.view, a.version, keep_ns, a.reason));
		return sink->message ? sink->message(sink->ctx, STR("CALL")) : ERR_OK;
	}
	if (str_equal(s->name, STR("rollback"))) {
		int32_t version;
		TRY(replay_rollback(r, a.view, a.reason, &version));
		return sink->message ? sink->message(sink->ctx, STR("CALL")) : ERR_OK;
	}
	return err_note(ERR_SQL_NAME,
	    "there is no procedure \"" STR_FMT "\": rebuild, promote, rollback", STR_ARG(s->name));
}
