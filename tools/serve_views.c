/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP routes of views: statements, versions, rows, diff, lineage, dead letters. Handlers run on
 * the HTTP door's workers and may block; each answers rows through serve_rows or one JSON object.
 */
#include "log/base/json_write.h"
#include "tools/serve.h"
#include "tools/serve_rows.h"

enum { ANSWER_MAX = 64 << 20 };

/* A name in a static table, where a compound literal is not allowed. */
#define COL(literal)                                                                               \
	{                                                                                          \
		literal, sizeof(literal) - 1                                                       \
	}

static struct datum text_datum(struct str s)
{
	return (struct datum){.null = !s.ptr, .s = s};
}
static struct datum int_datum(int64_t i)
{
	return (struct datum){.i = i};
}

/* ---- statements ------------------------------------------------------------------------------ */

static bool query_flag(struct http_request *r, const char *name)
{
	struct str v = http_query(r, name);
	return v.ptr && !str_equal(v, STR("0")) && !str_equal(v, STR("false"));
}

/* POST /v1/sql?execute=1&format=: the statements of the body, in order; one that gives rows must be
 * the last. */
static enum err post_sql(void *ctx, struct http_request *r, struct http_reply *reply)
{
	struct serve *s = ctx;
	struct serve_rows rows;
	struct sql_script script;
	struct sql_error error = {0};
	struct proc_execute how = {
	    .execute_plans = query_flag(r, "execute"), .principal = STR("http")};
	TRY(serve_rows_init(&rows, r, reply));
	enum err e = sql_parse(bytes_str(http_body(r)), &script, &error);
	if (e == ERR_OK) {
		for (uint32_t i = 0; e == ERR_OK && i < script.count; i++) {
			if (rows.streaming) {
				e = err_note(ERR_SQL_UNSUPPORTED,
				    "a statement follows one that gives rows: send them apart");
				break;
			}
			e = replay_execute(
			    s->replay, &script.statements[i], &how, &rows.sink, &error);
		}
		sql_script_release(&script);
	}
	e = serve_rows_end(&rows, e, &error);
	serve_rows_release(&rows);
	return e;
}

/* GET /v1/views/{view}/rows?version=&sql=&format= */
static enum err get_rows(void *ctx, struct http_request *r, struct http_reply *reply)
{
	struct serve *s = ctx;
	struct serve_rows rows;
	struct sql_error error = {0};
	int64_t version = 0;
	TRY(http_query_i64(r, "version", 1, INT32_MAX, &version));
	TRY(serve_rows_init(&rows, r, reply));
	enum err e = proc_query(s->proc, http_param(r, "view"), (int32_t)version,
	    http_query(r, "sql"), &rows.sink, &error);
	e = serve_rows_end(&rows, e, &error);
	serve_rows_release(&rows);
	return e;
}

/* ---- versions -------------------------------------------------------------------------------- */

static const struct proc_column version_columns[] = {{COL("view"), {.id = TYPE_TEXT}},
    {COL("version"), {.id = TYPE_INT8}}, {COL("active"), {.id = TYPE_BOOL}},
    {COL("state"), {.id = TYPE_TEXT}}, {COL("lag_seconds"), {.id = TYPE_FLOAT8}},
    {COL("rows"), {.id = TYPE_INT8}}, {COL("dead_letters"), {.id = TYPE_INT8}},
    {COL("position"), {.id = TYPE_INT8}}, {COL("logic"), {.id = TYPE_TEXT}}};
enum { VERSION_COLUMNS = sizeof version_columns / sizeof *version_columns };

struct version_list {
	struct serve_rows *rows;
	struct str only; /* ptr NULL = all views */
	bool found;
};

static void hex32(const uint8_t *in, char *out)
{
	static const char digits[] = "0123456789abcdef";
	for (int i = 0; i < 32; i++) {
		out[2 * i] = digits[in[i] >> 4];
		out[2 * i + 1] = digits[in[i] & 15];
	}
	out[64] = 0;
}

static double seconds(int64_t ns)
{
	return (double)ns / (double)S_NS;
}

static enum err version_row(void *ctx, const struct proc_version_status *v)
{
	struct version_list *list = ctx;
	char logic[65];
	if (list->only.ptr && !str_equal(list->only, str_of(v->view)))
		return ERR_OK;
	list->found = true;
	hex32(v->logic, logic);
	const struct datum row[VERSION_COLUMNS] = {text_datum(str_of(v->view)),
	    int_datum(v->version), {.b = v->active}, text_datum(str_of(proc_state_name(v->state))),
	    {.f = seconds(v->lag_ns)}, int_datum((int64_t)v->rows),
	    int_datum((int64_t)v->dead_letters), int_datum((int64_t)v->position),
	    text_datum(str_of(logic))};
	return list->rows->sink.row(list->rows, row, VERSION_COLUMNS);
}

/* GET /v1/views and GET /v1/views/{view}/versions */
static enum err get_versions(void *ctx, struct http_request *r, struct http_reply *reply)
{
	struct serve *s = ctx;
	struct serve_rows rows;
	struct proc_version_status status;
	struct str view = http_param(r, "view");
	if (view.ptr)
		TRY(proc_version_status(
		    s->proc, view, 0, &status)); /* unknown: not found, before the stream begins */
	TRY(serve_rows_init(&rows, r, reply));
	struct version_list list = {.rows = &rows, .only = view};
	enum err e = rows.sink.columns(&rows, version_columns, VERSION_COLUMNS);
	if (e == ERR_OK)
		e = proc_versions(s->proc, version_row, &list);
	e = serve_rows_end(&rows, e, NULL);
	serve_rows_release(&rows);
	return e;
}

static void write_status(struct json_writer *j, const struct proc_version_status *v)
{
	char logic[65];
	hex32(v->logic, logic);
	json_key_str(j, "view", str_of(v->view));
	json_key_i64(j, "version", v->version);
	json_key_bool(j, "active", v->active);
	json_key_str(j, "state", str_of(proc_state_name(v->state)));
	json_key_str(j, "reason", v->reason[0] ? str_of(v->reason) : (struct str){0});
	json_key_double(j, "lag_seconds", seconds(v->lag_ns));
	json_key_u64(j, "rows", v->rows);
	json_key_u64(j, "dead_letters", v->dead_letters);
	json_key_u64(j, "records", v->records);
	json_key_u64(j, "position", v->position);
	json_key_u64(j, "stable", v->stable);
	json_key_u64(j, "done", v->input_done);
	json_key_u64(j, "total", v->input_total);
	json_key_double(j, "rate", v->rate);
	json_key_str(j, "logic", str_of(logic));
	json_key_bool(j, "from_start", v->from_start);
}

/*
 * GET /v1/views/{view}/versions/{version}?lag_ms=&timeout_ms=: the status; with lag_ms after
 * waiting until the lag is that small or the time is over. Version "active" names the active one.
 */
static enum err get_version(void *ctx, struct http_request *r, struct http_reply *reply)
{
	struct serve *s = ctx;
	struct str view = http_param(r, "view"), number = http_param(r, "version");
	int64_t version = 0, lag_ms = -1, timeout_ms = 1000;
	if (!str_equal(number, STR("active")) &&
	    (!str_to_i64(number, &version) || version < 1 || version > INT32_MAX))
		return err_note(
		    ERR_INVALID, "version " STR_FMT ": a number or 'active'", STR_ARG(number));
	TRY(http_query_i64(r, "lag_ms", 0, INT32_MAX, &lag_ms));
	TRY(http_query_i64(r, "timeout_ms", 0, 20000, &timeout_ms));
	struct proc_version_status status;
	if (lag_ms >= 0) {
		enum err e = replay_wait(s->replay, view, (int32_t)version, lag_ms * MS_NS,
		    timeout_ms * MS_NS, NULL, NULL);
		if (e != ERR_OK && e != ERR_TIMEOUT)
			return e;
		err_clear();
	}
	TRY(proc_version_status(s->proc, view, (int32_t)version, &status));
	struct writer w, sql;
	struct json_writer j;
	writer_init(&w, ANSWER_MAX);
	writer_init(&sql, ANSWER_MAX);
	enum err e = proc_version_sql(s->proc, view, (int32_t)version, &sql);
	json_write_init(&j, &w);
	json_object_begin(&j);
	write_status(&j, &status);
	json_key_str(&j, "sql", bytes_str(writer_bytes(&sql)));
	json_object_end(&j);
	write_u8(&w, '\n');
	if (e == ERR_OK)
		e = http_reply_take(reply, 200, "application/json", &w);
	writer_release(&sql);
	writer_release(&w);
	return e;
}

static enum err answer_version(struct http_reply *reply, struct str view, int32_t version)
{
	struct writer w;
	struct json_writer j;
	writer_init(&w, ANSWER_MAX);
	json_write_init(&j, &w);
	json_object_begin(&j);
	json_key_str(&j, "view", view);
	json_key_i64(&j, "version", version);
	json_object_end(&j);
	write_u8(&w, '\n');
	enum err e = http_reply_take(reply, 200, "application/json", &w);
	writer_release(&w);
	return e;
}

/* POST /v1/views/{view}/versions?from=: the body is the CREATE MATERIALIZED VIEW of the new logic.
 */
static enum err post_version(void *ctx, struct http_request *r, struct http_reply *reply)
{
	struct serve *s = ctx;
	struct replay_rebuild req = {.view = http_param(r, "view"),
	    .sql = bytes_str(http_body(r)),
	    .from = http_query(r, "from"),
	    .principal = STR("http")};
	enum err e = replay_rebuild(s->replay, &req);
	if (e == ERR_OK)
		return answer_version(reply, req.view, req.version);
	struct serve_rows rows;
	TRY(serve_rows_init(&rows, r, reply));
	e = serve_rows_end(&rows, e, &req.error);
	serve_rows_release(&rows);
	return e;
}

/* POST /v1/views/{view}/promote?version=&keep_ms=&reason= */
static enum err post_promote(void *ctx, struct http_request *r, struct http_reply *reply)
{
	struct serve *s = ctx;
	int64_t version = 0, keep_ms = -1;
	TRY(http_query_i64(r, "version", 1, INT32_MAX, &version));
	TRY(http_query_i64(r, "keep_ms", 0, INT64_MAX / MS_NS, &keep_ms));
	if (!version)
		return err_note(ERR_INVALID, "version is needed");
	TRY(replay_promote(s->replay, http_param(r, "view"), (int32_t)version,
	    keep_ms < 0 ? -1 : keep_ms * MS_NS, http_query(r, "reason")));
	return answer_version(reply, http_param(r, "view"), (int32_t)version);
}

/* POST /v1/views/{view}/rollback?reason= */
static enum err post_rollback(void *ctx, struct http_request *r, struct http_reply *reply)
{
	struct serve *s = ctx;
	int32_t version = 0;
	TRY(replay_rollback(s->replay, http_param(r, "view"), http_query(r, "reason"), &version));
	return answer_version(reply, http_param(r, "view"), version);
}

/* ---- diff and lineage ------------------------------------------------------------------------ */

static void diff_summary(struct writer *w, const struct replay_diff *d)
{
	struct json_writer j;
	json_write_init(&j, w);
	json_object_begin(&j);
	json_key_str(&j, "view", d->view);
	json_key_i64(&j, "a", d->a);
	json_key_i64(&j, "b", d->b);
	json_key_u64(&j, "sequence", d->counts.sequence);
	json_key_u64(&j, "added", d->counts.added);
	json_key_u64(&j, "removed", d->counts.removed);
	json_key_u64(&j, "changed", d->counts.changed);
	json_key_u64(&j, "same", d->counts.same);
	json_object_end(&j);
}

/* GET /v1/views/{view}/diff?a=&b=&key=&different_input=1&format=&summary=1 */
static enum err get_diff(void *ctx, struct http_request *r, struct http_reply *reply)
{
	struct serve *s = ctx;
	struct serve_rows rows;
	int64_t a = 0, b = 0;
	TRY(http_query_i64(r, "a", 1, INT32_MAX, &a));
	TRY(http_query_i64(r, "b", 1, INT32_MAX, &b));
	if (!a || !b)
		return err_note(ERR_INVALID, "a and b, two versions, are needed");
	struct replay_diff d = {.view = http_param(r, "view"),
	    .a = (int32_t)a,
	    .b = (int32_t)b,
	    .key = http_query(r, "key"),
	    .different_input = query_flag(r, "different_input")};
	TRY(serve_rows_init(&rows, r, reply));
	enum err e = replay_diff(s->replay, &d, &rows.sink);
	if (e == ERR_OK && query_flag(r, "summary")) {
		struct writer w;
		writer_init(&w, ANSWER_MAX);
		diff_summary(&w, &d);
		e = serve_rows_summary(&rows, bytes_str(writer_bytes(&w)));
		writer_release(&w);
	}
	e = serve_rows_end(&rows, e, NULL);
	serve_rows_release(&rows);
	return e;
}

/* GET /v1/views/{view}/explain?key=&version=&limit= */
static enum err get_explain(void *ctx, struct http_request *r, struct http_reply *reply)
{
	struct serve *s = ctx;
	int64_t version = 0, limit = 100;
	struct str key = http_query(r, "key");
	TRY(http_query_i64(r, "version", 1, INT32_MAX, &version));
	TRY(http_query_i64(r, "limit", 0, INT32_MAX, &limit));
	struct writer w;
	writer_init(&w, ANSWER_MAX);
	enum err e = replay_explain_row(
	    s->replay, http_param(r, "view"), (int32_t)version, key, (uint64_t)limit, &w);
	write_u8(&w, '\n');
	if (e == ERR_OK)
		e = http_reply_take(reply, 200, "application/json", &w);
	writer_release(&w);
	return e;
}

/* ---- dead letters ---------------------------------------------------------------------------- */

static const struct proc_column dlq_columns[] = {{COL("id"), {.id = TYPE_TEXT}},
    {COL("topic"), {.id = TYPE_TEXT}}, {COL("partition"), {.id = TYPE_INT8}},
    {COL("offset"), {.id = TYPE_INT8}}, {COL("sequence"), {.id = TYPE_INT8}},
    {COL("view"), {.id = TYPE_TEXT}}, {COL("version"), {.id = TYPE_INT8}},
    {COL("operator"), {.id = TYPE_TEXT}}, {COL("reason"), {.id = TYPE_TEXT}},
    {COL("message"), {.id = TYPE_TEXT}}, {COL("time"), {.id = TYPE_TIMESTAMPTZ}},
    {COL("key"), {.id = TYPE_TEXT}}, {COL("value_base64"), {.id = TYPE_TEXT}}};
enum { DLQ_COLUMNS = sizeof dlq_columns / sizeof *dlq_columns };

struct dlq_list {
	struct serve_rows *rows;
	struct str view;
	uint64_t count;
};

static struct str base64(struct writer *w, struct bytes b)
{
	struct json_writer j;
	if (!b.ptr)
		return (struct str){0};
	json_write_init(&j, w);
	json_base64(&j, b);
	return str_from(w->ptr + 1, w->len - 2); /* without the quotes */
}

static enum err dlq_row(void *ctx, const struct proc_dead_letter *d)
{
	struct dlq_list *list = ctx;
	char id[TOPIC_NAME_MAX + 48];
	struct writer value, key;
	if (!list->count++)
		TRY(list->rows->sink.columns(list->rows, dlq_columns, DLQ_COLUMNS));
	snprintf(id, sizeof id, STR_FMT "/%d/%lld", STR_ARG(d->topic), d->partition,
	    (long long)d->offset);
	writer_init(&value, ANSWER_MAX);
	writer_init(&key, ANSWER_MAX);
	struct str key_text = bytes_str(d->key);
	if (d->key.ptr && !str_is_utf8(key_text))
		key_text = base64(&key, d->key);
	const struct datum row[DLQ_COLUMNS] = {text_datum(str_of(id)), text_datum(d->topic),
	    int_datum(d->partition), int_datum(d->offset), int_datum((int64_t)d->sequence),
	    text_datum(list->view), int_datum(d->version), text_datum(d->op),
	    text_datum(str_of(err_name(d->reason))), text_datum(d->message), int_datum(d->time_us),
	    text_datum(key_text), text_datum(base64(&value, d->value))};
	enum err e = value.err ? value.err : list->rows->sink.row(list->rows, row, DLQ_COLUMNS);
	writer_release(&value);
	writer_release(&key);
	return e;
}

/* GET /v1/dlq/{view}?id=&version=&limit=&format= */
static enum err get_dlq(void *ctx, struct http_request *r, struct http_reply *reply)
{
	struct serve *s = ctx;
	struct serve_rows rows;
	int64_t version = 0, limit = INT64_MAX;
	struct str id = http_query(r, "id");
	TRY(http_query_i64(r, "version", 1, INT32_MAX, &version));
	TRY(http_query_i64(r, "limit", 1, INT64_MAX, &limit));
	TRY(serve_rows_init(&rows, r, reply));
	struct dlq_list list = {.rows = &rows, .view = http_param(r, "view")};
	enum err e = proc_dead_letters(
	    s->proc, list.view, (int32_t)version, id, (uint64_t)limit, dlq_row, &list);
	if (e == ERR_OK && !list.count)
		e = id.ptr
		        ? err_note(ERR_NOT_FOUND, "there is no dead letter " STR_FMT, STR_ARG(id))
		        : rows.sink.columns(&rows, dlq_columns, DLQ_COLUMNS);
	e = serve_rows_end(&rows, e, NULL);
	serve_rows_release(&rows);
	return e;
}

enum err serve_view_routes(struct serve *s)
{
	const struct http_route routes[] = {
	    {.method = "POST", .pattern = "/v1/sql", .handler = post_sql},
	    {.method = "GET", .pattern = "/v1/views", .handler = get_versions},
	    {.method = "GET", .pattern = "/v1/views/{view}/versions", .handler = get_versions},
	    {.method = "POST", .pattern = "/v1/views/{view}/versions", .handler = post_version},
	    {.method = "GET",
	        .pattern = "/v1/views/{view}/versions/{version}",
	        .handler = get_version},
	    {.method = "GET", .pattern = "/v1/views/{view}/rows", .handler = get_rows},
	    {.method = "GET", .pattern = "/v1/views/{view}/diff", .handler = get_diff},
	    {.method = "GET", .pattern = "/v1/views/{view}/explain", .handler = get_explain},
	    {.method = "POST", .pattern = "/v1/views/{view}/promote", .handler = post_promote},
	    {.method = "POST", .pattern = "/v1/views/{view}/rollback", .handler = post_rollback},
	    {.method = "GET", .pattern = "/v1/dlq/{view}", .handler = get_dlq},
	};
	for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
		struct http_route route = routes[i];
		route.ctx = s;
		TRY(http_route(s->http, &route));
	}
	return ERR_OK;
}
