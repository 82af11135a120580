/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST /v1/groups/{group}/reset {"topic": T, "to": OFFSETSPEC place, "partition": N, "dry_run":
 * true}: moves the committed offsets of a group without members. All partitions unless one is
 * named; offsets are clipped to what the log has. Answers [{group, topic, partition, from, to}];
 * dry_run only answers.
 */
#include "broker/http/observe.h"
#include "log/base/json.h"
#include "log/base/json_write.h"
#include "log/base/offsetspec.h"

struct reset_row {
	int32_t partition;
	int64_t from, to; /* from -1: nothing was committed */
};

struct reset {
	struct broker *b;
	struct str group, topic;
	struct offset_point to;
	int64_t only; /* -1 = all partitions */
	bool dry_run;
	struct reset_row *rows;
	size_t count;
	/* the put */
	struct offsets_put put;
	struct gate gate;
	enum err err;
};

/* ---- what is asked --------------------------------------------------------------------------- */

static enum err parse_body(struct reset *r, struct http_request *request, struct arena *arena)
{
	static const struct json_path_spec specs[] = {{.path = {"topic", 5}, .exact_case = true},
	    {.path = {"to", 2}, .exact_case = true}, {.path = {"partition", 9}, .exact_case = true},
	    {.path = {"dry_run", 7}, .exact_case = true}};
	struct json_value v[4];
	struct json_paths *paths;
	struct str to;
	int64_t now_ms = io_clock_ns(r->b->io, IO_CLOCK_REALTIME) / MS_NS;
	TRY(json_paths_new(specs, 4, &paths));
	enum err err = json_scan(paths, bytes_str(http_body(request)), v);
	json_paths_free(paths);
	TRY(err);
	if (v[0].kind != JSON_STRING || (v[1].kind != JSON_STRING && v[1].kind != JSON_NUMBER))
		return err_note(ERR_INVALID, "the body needs \"topic\" and \"to\"");
	TRY(json_unescape(arena, v[0], &r->topic));
	to = v[1].text;
	if (v[1].kind == JSON_STRING)
		TRY(json_unescape(arena, v[1], &to));
	TRY(offset_point_parse(to, now_ms, &r->to));
	if (r->to.kind == OFFSET_STORED)
		return err_note(ERR_INVALID, "\"stored\" is where the group is already");
	if (v[2].kind == JSON_NUMBER && (!str_to_i64(v[2].text, &r->only) || r->only < 0))
		return err_note(ERR_INVALID, "\"partition\" must be a partition's number");
	if (v[2].kind != JSON_NUMBER && v[2].kind != JSON_ABSENT && v[2].kind != JSON_NULL)
		return err_note(ERR_INVALID, "\"partition\" must be a partition's number");
	r->dry_run = v[3].kind == JSON_TRUE;
	return ERR_OK;
}

static enum err target(
    struct reset *r, const struct seen_topic *t, int32_t partition, int64_t *ret_to)
{
	const struct log_partition_status *p = &t->parts[partition];
	int64_t to = p->log_start;
	if (r->to.kind == OFFSET_END)
		to = p->visible_end;
	else if (r->to.kind == OFFSET_AT)
		to = r->to.value;
	else if (r->to.kind == OFFSET_BEFORE_END)
		to = p->visible_end - r->to.value;
	else if (r->to.kind == OFFSET_AFTER_START)
		to = p->log_start + r->to.value;
	else if (r->to.kind == OFFSET_TIME)
		TRY(observe_time(r->b, t->name, partition, r->to.value, &to));
	to = to > p->visible_end ? p->visible_end : to;
	*ret_to = to < p->log_start ? p->log_start : to;
	return ERR_OK;
}

static int64_t committed(const struct seen_group *g, struct str topic, int32_t partition)
{
	for (size_t i = 0; g && i < g->offset_count; i++) {
		if (g->offsets[i].partition == partition && str_equal(g->offsets[i].topic, topic))
			return g->offsets[i].committed;
	}
	return -1;
}

static enum err plan(struct reset *r, struct arena *arena)
{
	struct seen_topic *t = NULL;
	struct seen_group *g = NULL;
	TRY(observe_topics(r->b, r->topic, arena, &t));
	TRY(observe_groups(r->b, r->group, arena, &g));
	if (g->member_count > 0)
		return err_note(ERR_NON_EMPTY_GROUP, "stop its %zu members first", g->member_count);
	if (r->only >= t->partition_count)
		return err_note(
		    ERR_UNKNOWN_TOPIC, "the topic has %d partitions", t->partition_count);
	r->rows = arena_calloc(arena, (size_t)t->partition_count, sizeof(*r->rows));
	if (!r->rows)
		return ERR_NOMEM;
	for (int32_t i = 0; i < t->partition_count; i++) {
		if (r->only >= 0 && i != r->only)
			continue;
		struct reset_row *row = &r->rows[r->count++];
		row->partition = i;
		row->from = committed(g, r->topic, i);
		TRY(target(r, t, i, &row->to));
	}
	return ERR_OK;
}

/* ---- doing it -------------------------------------------------------------------------------- */

static void put_done(struct offsets_put *put)
{
	struct reset *r = CONTAINER_OF(put, struct reset, put);
	r->err = put->err;
	gate_open(&r->gate);
}

static void add_rows(struct reset *r)
{
	for (size_t i = 0; i < r->count; i++) {
		struct offset_commit_key key = {
		    .group = r->group, .topic = r->topic, .partition = r->rows[i].partition};
		struct offset_commit_value value = {
		    .offset = r->rows[i].to,
		    .leader_epoch = -1,
		    .metadata = STR(""),
		    .commit_timestamp = groups_wall_ms(r->b->groups),
		    .expire_timestamp = -1,
		};
		offsets_put_add(&r->put, &key, &value);
	}
}

static enum err put_start(struct reset *r)
{
	struct group_entry *e = entry_find(r->b->groups, r->group);
	if (!e)
		return ERR_GROUP_NOT_FOUND;
	if (!entry_is_empty(e))
		return ERR_NON_EMPTY_GROUP;
	offsets_put_init(&r->put, e);
	add_rows(r);
	r->put.done = put_done;
	enum err err = offsets_put_start(&r->put);
	if (err != ERR_OK)
		offsets_put_release(&r->put);
	return err;
}

static void put_on_loop(void *arg)
{
	struct reset *r = arg;
	r->err = put_start(r);
	if (r->err != ERR_OK)
		gate_open(&r->gate);
}

static enum err execute(struct reset *r)
{
	gate_init(&r->gate);
	loop_call(r->b->loop, put_on_loop, r);
	gate_wait(&r->gate);
	gate_release(&r->gate);
	return r->err;
}

static enum err answer(const struct reset *r, struct http_reply *reply)
{
	struct writer w;
	struct json_writer j;
	writer_init(&w, 16 * MIB);
	json_write_init(&j, &w);
	json_array_begin(&j);
	for (size_t i = 0; i < r->count; i++) {
		json_object_begin(&j);
		json_key_str(&j, "group", r->group);
		json_key_str(&j, "topic", r->topic);
		json_key_i64(&j, "partition", r->rows[i].partition);
		json_key(&j, STR("from"));
		if (r->rows[i].from < 0)
			json_null(&j);
		else
			json_i64(&j, r->rows[i].from);
		json_key_i64(&j, "to", r->rows[i].to);
		json_object_end(&j);
	}
	json_array_end(&j);
	enum err err = http_reply_take(reply, 200, "application/json", &w);
	writer_release(&w);
	return err;
}

static enum err post_reset(void *ctx, struct http_request *request, struct http_reply *reply)
{
	struct reset r = {.b = ctx, .group = http_param(request, "group"), .only = -1};
	struct arena arena;
	arena_init(&arena, OBSERVE_BYTES_MAX);
	enum err err = parse_body(&r, request, &arena);
	if (err == ERR_OK)
		err = plan(&r, &arena);
	if (err == ERR_OK && !r.dry_run && r.count > 0)
		err = execute(&r);
	if (err == ERR_OK)
		err = answer(&r, reply);
	arena_release(&arena);
	return err;
}

enum err api_reset_routes(struct broker *b, struct http *http)
{
	const struct http_route route = {
	    .method = "POST",
	    .pattern = "/v1/groups/{group}/reset",
	    .handler = post_reset,
	    .ctx = b,
	    .body_max = 64 * KIB,
	};
	return http_route(http, &route);
}
