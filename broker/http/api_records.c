/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /v1/topics/{topic}/records?partition=&offset=&at=&limit=: records as NDJSON, one partition
 * after the other, streamed with one read's worth of memory. partition  default: all offset where
 * to begin in each: an OFFSETSPEC place (start, end, N, -N, +N, @TIME); default start at         a
 * TIME: the same as offset=@TIME limit      records in all, 1 to 1,000,000; default 100 A line has
 * topic, partition, offset, timestamp (unix ms), key or key_base64, value (as JSON where it is
 * JSON) or value_base64, headers [{key, value or value_base64}].
 */
#include "broker/auth/users.h"
#include "broker/http/observe.h"
#include "log/base/json_write.h"
#include "log/base/json.h"
#include "log/base/offsetspec.h"
#include "log/batch.h"

enum { READ_BYTES = 1024 * 1024, LINE_BYTES_MAX = 512 * 1024 * 1024, LIMIT_MAX = 1000000 };

struct browse {
	struct broker *b;
	struct http_request *request;
	struct http_reply *reply;
	struct offset_point from;
	int64_t left; /* records still to be written */
	struct writer line, scratch;
};

/* ---- one record ------------------------------------------------------------------------------ */

/* Between tokens JSON may hold line ends; a line of NDJSON may not. */
static void write_json_on_one_line(struct json_writer *j, struct writer *scratch, struct str text)
{
	writer_clear(scratch);
	write_str(scratch, text);
	for (size_t i = 0; i < scratch->len; i++) {
		if (scratch->ptr[i] == '\n' || scratch->ptr[i] == '\r')
			scratch->ptr[i] = ' ';
	}
	if (scratch->err == ERR_OK)
		json_raw(j, bytes_str(writer_bytes(scratch)));
	else
		json_null(j);
}

static void write_text(
    struct json_writer *j, const char *key, const char *base64_key, struct bytes b)
{
	bool text = !b.ptr || str_is_utf8(bytes_str(b));
	json_key(j, str_of(text ? key : base64_key));
	if (text)
		json_str(j, bytes_str(b));
	else
		json_base64(j, b);
}

static void write_value(struct browse *w, struct json_writer *j, struct bytes value)
{
	if (!value.ptr) {
		json_key(j, STR("value"));
		json_null(j);
	} else if (json_is_valid(bytes_str(value))) {
		json_key(j, STR("value"));
		write_json_on_one_line(j, &w->scratch, bytes_str(value));
	} else {
		json_key(j, STR("value_base64"));
		json_base64(j, value);
	}
}

static void write_headers(struct json_writer *j, const struct record *r)
{
	struct reader headers = reader_of(r->headers);
	struct str key;
	struct bytes value;
	json_key(j, STR("headers"));
	json_array_begin(j);
	(void)read_varint32(&headers); /* the count */
	for (int32_t i = 0; i < r->header_count; i++) {
		if (record_header_next(&headers, &key, &value) != ERR_OK)
			break;
		json_object_begin(j);
		json_key_str(j, "key", key);
		write_text(j, "value", "value_base64", value);
		json_object_end(j);
	}
	json_array_end(j);
}

static enum err write_record(
    struct browse *w, struct str topic, int32_t partition, const struct record *r)
{
	struct json_writer j;
	writer_clear(&w->line);
	json_write_init(&j, &w->line);
	json_object_begin(&j);
	json_key_str(&j, "topic", topic);
	json_key_i64(&j, "partition", partition);
	json_key_i64(&j, "offset", r->offset);
	json_key_i64(&j, "timestamp", r->timestamp_ms);
	write_text(&j, "key", "key_base64", r->key);
	write_value(w, &j, r->value);
	write_headers(&j, r);
	json_object_end(&j);
	write_u8(&w->line, '\n');
	TRY(w->line.err);
	return http_reply_write(w->reply, writer_bytes(&w->line));
}

/* ---- batches and partitions ------------------------------------------------------------------ */

static enum err write_batch(
    struct browse *w, const struct observe_read *at, struct bytes batch, struct writer *unpacked)
{
	struct record_iter it;
	struct record r;
	TRY(record_iter_open(&it, batch, unpacked, BATCH_BYTES_MAX));
	if (it.header.attributes & BATCH_ATTR_CONTROL)
		return ERR_OK;
	enum err err = ERR_OK;
	while (w->left > 0 && err == ERR_OK) {
		err = record_iter_next(&it, &r);
		if (err != ERR_OK || r.offset < at->offset)
			continue;
		err = write_record(w, at->topic, at->partition, &r);
		w->left--;
	}
	return err == ERR_EOF ? ERR_OK : err;
}

static enum err write_partition(struct browse *w, struct observe_read at, struct writer *unpacked)
{
	while (w->left > 0 && !http_cancelled(w->request)) {
		struct log_read read;
		TRY(observe_read(w->b, &at, &read));
		enum err err = ERR_OK;
		for (size_t i = 0; i < read.batch_count && err == ERR_OK && w->left > 0; i++)
			err = write_batch(w, &at, read.batches[i], unpacked);
		bool end = read.batch_count == 0 || read.next_offset <= at.offset;
		at.offset = read.next_offset;
		log_read_release(&read);
		TRY(err);
		if (end)
			return ERR_OK;
	}
	return ERR_OK;
}

static enum err start_offset(
    struct browse *w, const struct seen_topic *t, int32_t partition, int64_t *ret_offset)
{
	const struct log_partition_status *p = &t->parts[partition];
	int64_t offset = p->log_start;
	switch (w->from.kind) {
	case OFFSET_END:
		offset = p->visible_end;
		break;
	case OFFSET_AT:
		offset = w->from.value;
		break;
	case OFFSET_BEFORE_END:
		offset = p->visible_end - w->from.value;
		break;
	case OFFSET_AFTER_START:
		offset = p->log_start + w->from.value;
		break;
	case OFFSET_TIME:
		TRY(observe_time(w->b, t->name, partition, w->from.value, &offset));
		break;
	case OFFSET_NONE:
	case OFFSET_START:
	case OFFSET_STORED:
	default:
		break;
	}
	if (offset > p->visible_end)
		offset = p->visible_end;
	*ret_offset = offset > p->log_start ? offset : p->log_start;
	return ERR_OK;
}

static enum err write_topic(struct browse *w, const struct seen_topic *t, int64_t only)
{
	struct writer unpacked;
	enum err err = ERR_OK;
	if (only >= t->partition_count)
		return err_note(ERR_UNKNOWN_TOPIC, "topic " STR_FMT " has %d partitions",
		    STR_ARG(t->name), t->partition_count);
	TRY(http_reply_stream(w->reply, 200, "application/x-ndjson"));
	writer_init(&unpacked, BATCH_BYTES_MAX);
	for (int32_t i = 0; i < t->partition_count && err == ERR_OK && w->left > 0; i++) {
		struct observe_read at = {t->name, i, 0, READ_BYTES};
		if (only >= 0 && i != only)
			continue;
		err = start_offset(w, t, i, &at.offset);
		if (err == ERR_OK)
			err = write_partition(w, at, &unpacked);
	}
	writer_release(&unpacked);
	return err;
}

static enum err parse_query(struct browse *w, int64_t *ret_only)
{
	int64_t now_ms = io_clock_ns(w->b->io, IO_CLOCK_REALTIME) / MS_NS;
	struct str offset = http_query(w->request, "offset"), at = http_query(w->request, "at");
	if (http_query(w->request, "where").ptr)
		return err_note(ERR_NOT_YET, "where is not served here; use POST /v1/sql");
	TRY(http_query_i64(w->request, "partition", 0, INT32_MAX, ret_only));
	TRY(http_query_i64(w->request, "limit", 1, LIMIT_MAX, &w->left));
	if (offset.ptr && at.ptr)
		return err_note(ERR_INVALID, "offset and at exclude each other");
	if (offset.ptr)
		TRY(offset_point_parse(offset, now_ms, &w->from));
	if (at.ptr) {
		w->from.kind = OFFSET_TIME;
		TRY(time_parse(at, now_ms, &w->from.value));
	}
	if (w->from.kind == OFFSET_STORED)
		return err_note(
		    ERR_INVALID, "stored is the place of a group, and there is none here");
	return ERR_OK;
}

static enum err get_records(void *ctx, struct http_request *request, struct http_reply *reply)
{
	struct browse w = {.b = ctx, .request = request, .reply = reply, .left = 100};
	struct arena arena;
	struct seen_topic *t = NULL;
	int64_t only = -1;
	if (str_equal(http_param(request, "topic"), USERS_TOPIC))
		return err_note(ERR_PERMISSION, "credentials are shown to nobody");
	TRY(parse_query(&w, &only));
	arena_init(&arena, OBSERVE_BYTES_MAX);
	writer_init(&w.line, LINE_BYTES_MAX);
	writer_init(&w.scratch, BATCH_BYTES_MAX);
	enum err err = observe_topics(w.b, http_param(request, "topic"), &arena, &t);
	if (err == ERR_OK)
		err = write_topic(&w, t, only);
	writer_release(&w.line);
	writer_release(&w.scratch);
	arena_release(&arena);
	return err;
}

enum err api_records_routes(struct broker *b, struct http *http)
{
	const struct http_route route = {
	    .method = "GET",
	    .pattern = "/v1/topics/{topic}/records",
	    .handler = get_records,
	    .ctx = b,
	};
	return http_route(http, &route);
}
