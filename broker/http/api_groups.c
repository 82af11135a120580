/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /v1/groups, /v1/groups/{group}, /v1/groups/{group}/lag. Lag in seconds is the age of the
 * first record not yet committed; it is read from the log, for LAG_READS_MAX partitions of a
 * request.
 */
#include "broker/http/observe.h"
#include "log/base/json_write.h"
#include "log/batch.h"

enum { BODY_BYTES_MAX = 64 * 1024 * 1024, LAG_READS_MAX = 1000 };

/* ---- lag ------------------------------------------------------------------------------------- */

static enum err record_time(const struct log_read *read, int64_t offset, int64_t *ret_ms)
{
	struct writer scratch;
	struct record_iter it;
	struct record r;
	if (read->batch_count == 0)
		return ERR_OFFSET_OUT_OF_RANGE;
	writer_init(&scratch, BATCH_BYTES_MAX);
	enum err err = record_iter_open(&it, read->batches[0], &scratch, BATCH_BYTES_MAX);
	while (err == ERR_OK) {
		err = record_iter_next(&it, &r);
		if (err == ERR_OK && r.offset >= offset) {
			*ret_ms = r.timestamp_ms;
			break;
		}
	}
	writer_release(&scratch);
	return err;
}

/* -1 when it cannot be told. */
static double lag_seconds(struct broker *b, const struct seen_offset *o, int *reads_left)
{
	struct log_read read;
	int64_t time_ms = -1;
	int64_t from = o->committed > o->log_start ? o->committed : o->log_start;
	if (o->committed < 0 || o->end < 0)
		return -1;
	if (from >= o->end)
		return 0;
	if (--*reads_left < 0)
		return -1;
	struct observe_read what = {o->topic, o->partition, from, 1};
	enum err err = observe_read(b, &what, &read);
	if (err != ERR_OK)
		return -1;
	err = record_time(&read, from, &time_ms);
	log_read_release(&read);
	int64_t now_ms = io_clock_ns(b->io, IO_CLOCK_REALTIME) / MS_NS;
	if (err != ERR_OK || time_ms < 0)
		return -1;
	return now_ms > time_ms ? (double)(now_ms - time_ms) / 1000 : 0;
}

static void write_number(struct json_writer *j, const char *key, int64_t value)
{
	json_key(j, str_of(key));
	if (value < 0)
		json_null(j);
	else
		json_i64(j, value);
}

static void write_lag(struct broker *b, struct json_writer *j, const struct seen_group *g)
{
	int reads_left = LAG_READS_MAX;
	for (size_t i = 0; i < g->offset_count; i++) {
		const struct seen_offset *o = &g->offsets[i];
		bool known = o->committed >= 0 && o->end >= 0;
		double seconds = lag_seconds(b, o, &reads_left);
		json_object_begin(j);
		json_key_str(j, "group", g->name);
		json_key_str(j, "topic", o->topic);
		json_key_i64(j, "partition", o->partition);
		write_number(j, "committed", o->committed);
		write_number(j, "end", o->end);
		write_number(j, "lag",
		    !known                  ? -1
		    : o->end > o->committed ? o->end - o->committed
		                            : 0);
		json_key(j, STR("lag_seconds"));
		if (seconds < 0)
			json_null(j);
		else
			json_double(j, seconds);
		json_key_str(j, "member", o->member);
		json_object_end(j);
	}
}

/* ---- groups ---------------------------------------------------------------------------------- */

static void write_head(struct json_writer *j, const struct seen_group *g)
{
	json_key_str(j, "group", g->name);
	json_key_str(j, "state", g->state);
	json_key_str(j, "protocol", g->protocol);
	json_key_i64(j, "members", (int64_t)g->member_count);
}

static void write_list(struct broker *b, struct json_writer *j, const struct seen_group *groups)
{
	(void)b;
	json_array_begin(j);
	for (const struct seen_group *g = groups; g; g = g->next) {
		json_object_begin(j);
		write_head(j, g);
		json_object_end(j);
	}
	json_array_end(j);
}

static void write_group(struct broker *b, struct json_writer *j, const struct seen_group *g)
{
	json_object_begin(j);
	write_head(j, g);
	json_key_str(j, "protocol_type", g->protocol_type);
	json_key_i64(j, "generation", g->generation);
	json_key_str(j, "leader", g->leader);
	json_key(j, STR("member_list"));
	json_array_begin(j);
	for (size_t i = 0; i < g->member_count; i++) {
		const struct seen_member *m = &g->members[i];
		json_object_begin(j);
		json_key_str(j, "member", m->id);
		json_key_str(j, "instance", m->instance_id);
		json_key_str(j, "client_id", m->client_id);
		json_key_str(j, "client_host", m->client_host);
		json_key_i64(j, "session_timeout_ms", m->session_timeout_ms);
		json_key_i64(j, "rebalance_timeout_ms", m->rebalance_timeout_ms);
		json_object_end(j);
	}
	json_array_end(j);
	json_key(j, STR("offsets"));
	json_array_begin(j);
	write_lag(b, j, g);
	json_array_end(j);
	json_object_end(j);
}

static void write_lag_list(struct broker *b, struct json_writer *j, const struct seen_group *g)
{
	json_array_begin(j);
	write_lag(b, j, g);
	json_array_end(j);
}

typedef void (*group_view)(struct broker *b, struct json_writer *j, const struct seen_group *g);

static enum err answer(struct broker *b, struct str only, group_view view, struct http_reply *reply)
{
	struct arena arena;
	struct seen_group *groups = NULL;
	struct writer w;
	struct json_writer j;
	arena_init(&arena, OBSERVE_BYTES_MAX);
	writer_init(&w, BODY_BYTES_MAX);
	json_write_init(&j, &w);
	enum err err = observe_groups(b, only, &arena, &groups);
	if (err == ERR_OK) {
		view(b, &j, groups);
		err_clear(); /* a lag that could not be read is null */
		err = http_reply_take(reply, 200, "application/json", &w);
	}
	writer_release(&w);
	arena_release(&arena);
	return err;
}

static enum err get_groups(void *ctx, struct http_request *request, struct http_reply *reply)
{
	(void)request;
	return answer(ctx, (struct str){NULL, 0}, write_list, reply);
}

static enum err get_group(void *ctx, struct http_request *request, struct http_reply *reply)
{
	return answer(ctx, http_param(request, "group"), write_group, reply);
}

static enum err get_lag(void *ctx, struct http_request *request, struct http_reply *reply)
{
	return answer(ctx, http_param(request, "group"), write_lag_list, reply);
}

enum err api_groups_routes(struct broker *b, struct http *http)
{
	const struct http_route routes[] = {
	    {.method = "GET", .pattern = "/v1/groups", .handler = get_groups, .ctx = b},
	    {.method = "GET", .pattern = "/v1/groups/{group}", .handler = get_group, .ctx = b},
	    {.method = "GET", .pattern = "/v1/groups/{group}/lag", .handler = get_lag, .ctx = b},
	};
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
		TRY(http_route(http, &routes[i]));
	return ERR_OK;
}
