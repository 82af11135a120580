/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/topics, /v1/topics/{topic}, /v1/topics/{topic}/segments. */
#include "broker/http/observe.h"
#include "log/base/json_write.h"
#include "log/batch.h"

enum { BODY_BYTES_MAX = 64 * 1024 * 1024 };

static void write_id(struct json_writer *j, struct log_uuid id)
{
	char text[37], *at = text;
	static const char hex[] = "0123456789abcdef";
	for (size_t i = 0; i < sizeof(id.b); i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*at++ = '-';
		*at++ = hex[id.b[i] >> 4];
		*at++ = hex[id.b[i] & 15];
	}
	json_key_str(j, "id", str_from(text, 36));
}

static void write_head(struct json_writer *j, const struct seen_topic *t)
{
	int64_t records = 0;
	uint64_t bytes = 0;
	for (int32_t i = 0; i < t->partition_count; i++) {
		records += t->parts[i].visible_end - t->parts[i].log_start;
		bytes += t->parts[i].size_bytes;
	}
	json_key_str(j, "name", t->name);
	write_id(j, t->id);
	json_key_i64(j, "partitions", t->partition_count);
	json_key_i64(j, "records", records);
	json_key_u64(j, "bytes", bytes);
	json_key_bool(j, "internal", t->internal);
}

static enum err get_topics(void *ctx, struct http_request *request, struct http_reply *reply)
{
	struct arena arena;
	struct seen_topic *topics = NULL;
	struct writer w;
	struct json_writer j;
	(void)request;
	arena_init(&arena, OBSERVE_BYTES_MAX);
	writer_init(&w, BODY_BYTES_MAX);
	json_write_init(&j, &w);
	enum err err = observe_topics(ctx, (struct str){NULL, 0}, &arena, &topics);
	json_array_begin(&j);
	for (const struct seen_topic *t = topics; t; t = t->next) {
		json_object_begin(&j);
		write_head(&j, t);
		json_object_end(&j);
	}
	json_array_end(&j);
	if (err == ERR_OK)
		err = http_reply_take(reply, 200, "application/json", &w);
	writer_release(&w);
	arena_release(&arena);
	return err;
}

/* ---- one topic ------------------------------------------------------------------------------- */

static void write_partition(
    struct json_writer *j, int32_t index, const struct log_partition_status *p)
{
	json_object_begin(j);
	json_key_i64(j, "partition", index);
	json_key_i64(j, "start", p->log_start);
	json_key_i64(j, "end", p->visible_end);
	json_key_i64(j, "stable_end", p->stable_end);
	json_key_i64(j, "durable_end", p->durable_end);
	json_key_i64(j, "records", p->visible_end - p->log_start);
	json_key_u64(j, "bytes", p->size_bytes);
	json_key_u64(j, "segments", p->segment_count);
	json_key_u64(j, "leader_epoch", p->leader_epoch);
	json_key_i64(j, "max_timestamp", p->max_timestamp_ms);
	json_key_bool(j, "damaged", p->damaged);
	json_object_end(j);
}

struct config_walk {
	struct broker *b;
	struct str topic;
	struct json_writer *j;
	enum err err;
};

/* On the loop: a topic has a few dozen keys. */
static void write_configs(void *arg)
{
	struct config_walk *w = arg;
	const struct log_topic *t = log_topic_find(w->b->log, w->topic);
	struct log_config_entry entry;
	w->err = t ? ERR_OK : ERR_UNKNOWN_TOPIC;
	for (size_t i = 0; t && log_topic_config_entry(i, &entry); i++) {
		char value[256];
		bool set = false;
		enum err err =
		    log_topic_config_get(t, str_of(entry.key), value, sizeof(value), &set);
		if (err != ERR_OK)
			w->err = err;
		json_key(w->j, str_of(entry.key));
		json_object_begin(w->j);
		json_key_str(w->j, "value", err == ERR_OK ? str_of(value) : (struct str){NULL, 0});
		json_key_bool(w->j, "set", set);
		json_key_bool(w->j, "obeyed", entry.obeyed);
		json_object_end(w->j);
	}
}

static enum err get_topic(void *ctx, struct http_request *request, struct http_reply *reply)
{
	struct arena arena;
	struct seen_topic *t = NULL;
	struct writer w;
	struct json_writer j;
	arena_init(&arena, OBSERVE_BYTES_MAX);
	writer_init(&w, BODY_BYTES_MAX);
	json_write_init(&j, &w);
	struct config_walk configs = {ctx, http_param(request, "topic"), &j, ERR_OK};
	enum err err = observe_topics(ctx, configs.topic, &arena, &t);
	if (err == ERR_OK) {
		json_object_begin(&j);
		write_head(&j, t);
		json_key(&j, STR("partition_list"));
		json_array_begin(&j);
		for (int32_t i = 0; i < t->partition_count; i++)
			write_partition(&j, i, &t->parts[i]);
		json_array_end(&j);
		json_key(&j, STR("config"));
		json_object_begin(&j);
		loop_call(configs.b->loop, write_configs, &configs);
		json_object_end(&j);
		json_object_end(&j);
		err = configs.err;
	}
	if (err == ERR_OK)
		err = http_reply_take(reply, 200, "application/json", &w);
	writer_release(&w);
	arena_release(&arena);
	return err;
}

/* ---- segments -------------------------------------------------------------------------------- */

struct segment_walk {
	struct broker *b;
	struct str topic;
	int32_t partition;
	size_t next;
	struct json_writer *j;
	bool done;
};

static void write_segments(void *arg)
{
	struct segment_walk *w = arg;
	const struct log_topic *t = log_topic_find(w->b->log, w->topic);
	struct log_partition *p = t ? log_partition_find(w->b->log, t, w->partition) : NULL;
	struct log_segment_status s;
	w->done = !p;
	for (int i = 0; i < OBSERVE_SLICE && !w->done; i++) {
		if (!log_segment_status(p, w->next++, &s)) {
			w->done = true;
			return;
		}
		json_object_begin(w->j);
		json_key_i64(w->j, "partition", w->partition);
		json_key_i64(w->j, "base_offset", s.base_offset);
		json_key_i64(w->j, "end_offset", s.end_offset);
		json_key_u64(w->j, "first_sequence", s.first_sequence);
		json_key_u64(w->j, "bytes", s.size_bytes);
		json_key_i64(w->j, "max_timestamp", s.max_timestamp_ms);
		json_key_u64(w->j, "generation", s.generation);
		json_key_u64(w->j, "original_bytes", s.original_bytes);
		json_key_bool(w->j, "compacted", s.compacted);
		json_key_str(
		    w->j, "codec", str_of(s.codec < 0 ? "producer" : batch_codec_name(s.codec)));
		json_object_end(w->j);
	}
}

static enum err get_segments(void *ctx, struct http_request *request, struct http_reply *reply)
{
	struct arena arena;
	struct seen_topic *t = NULL;
	struct writer w;
	struct json_writer j;
	struct broker *b = ctx;
	arena_init(&arena, OBSERVE_BYTES_MAX);
	writer_init(&w, BODY_BYTES_MAX);
	json_write_init(&j, &w);
	enum err err = observe_topics(b, http_param(request, "topic"), &arena, &t);
	json_array_begin(&j);
	for (int32_t i = 0; err == ERR_OK && i < t->partition_count; i++) {
		struct segment_walk walk = {.b = b, .topic = t->name, .partition = i, .j = &j};
		while (!walk.done)
			loop_call(b->loop, write_segments, &walk);
	}
	json_array_end(&j);
	if (err == ERR_OK)
		err = http_reply_take(reply, 200, "application/json", &w);
	writer_release(&w);
	arena_release(&arena);
	return err;
}

enum err api_topics_routes(struct broker *b, struct http *http)
{
	const struct http_route routes[] = {
	    {.method = "GET", .pattern = "/v1/topics", .handler = get_topics, .ctx = b},
	    {.method = "GET", .pattern = "/v1/topics/{topic}", .handler = get_topic, .ctx = b},
	    {.method = "GET",
	        .pattern = "/v1/topics/{topic}/segments",
	        .handler = get_segments,
	        .ctx = b},
	};
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
		TRY(http_route(http, &routes[i]));
	return ERR_OK;
}
