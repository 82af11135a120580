/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers. A whole body is built by the handler and handed over when it returns; a stream is a ring
 * that the handler fills and the event thread empties:
 *
 *   NONE --http_reply_body/take/problem--> WHOLE
 *   NONE --http_reply_stream--> STREAM --handler returned OK--> ENDED
 *                                      --error----------------> BROKEN (the client sees the cut)
 *
 * The connection is suspended while the ring is empty and resumed by the next write; the handler
 * waits while it is full.
 */
#include "door.h"
#include "log/base/json_write.h"
#include <stdio.h>
#include <strings.h>

/* What every answer carries unless the handler said otherwise. */
static const char *const default_header[][2] = {
    {"X-Content-Type-Options", "nosniff"},
    {"X-Frame-Options", "DENY"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"Content-Security-Policy",
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"},
    {"Cache-Control", "no-store"},
};

struct http_request *reply_request(struct http_reply *reply)
{
	return CONTAINER_OF(reply, struct http_request, reply);
}

void reply_release(struct http_reply *reply)
{
	for (size_t i = 0; i < reply->header_count; i++) {
		mem_free(reply->header[i].name);
		mem_free(reply->header[i].value);
	}
	writer_release(&reply->body);
	mem_free(reply->ring);
}

/* ---- handler's side -------------------------------------------------------------------------- */

enum err http_reply_header(struct http_reply *reply, const char *name, struct str value)
{
	ASSERT(reply->state == REPLY_NONE);
	if (reply->header_count == HTTP_REPLY_HEADERS_MAX)
		return err_note(ERR_LIMIT, "too many reply headers");
	for (size_t i = 0; i < value.len; i++) {
		if ((uint8_t)value.ptr[i] < 0x20 || value.ptr[i] == 0x7f)
			return err_note(ERR_INVALID, "control character in reply header %s", name);
	}
	struct reply_header_entry entry = {mem_strdup(str_of(name)), mem_strdup(value)};
	if (!entry.name || !entry.value) {
		mem_free(entry.name);
		mem_free(entry.value);
		return ERR_NOMEM;
	}
	reply->header[reply->header_count++] = entry;
	return ERR_OK;
}

static enum err begin(struct http_reply *reply, int status, const char *content_type)
{
	ASSERT(reply->state == REPLY_NONE && status >= 200 && status <= 599);
	if (content_type)
		TRY(http_reply_header(reply, MHD_HTTP_HEADER_CONTENT_TYPE, str_of(content_type)));
	reply->status = status;
	return ERR_OK;
}

enum err http_reply_take(
    struct http_reply *reply, int status, const char *content_type, struct writer *body)
{
	TRY(body->err);
	TRY(begin(reply, status, content_type));
	size_t limit = body->limit;
	writer_release(&reply->body);
	reply->body = *body;
	writer_init(body, limit);
	reply->state = REPLY_WHOLE;
	return ERR_OK;
}

enum err http_reply_body(
    struct http_reply *reply, int status, const char *content_type, struct bytes body)
{
	struct writer copy;
	writer_init(&copy, body.len);
	if (body.len)
		write_bytes(&copy, body);
	enum err e = http_reply_take(reply, status, content_type, &copy);
	writer_release(&copy);
	return e;
}

enum err http_reply_problem(struct http_reply *reply, enum err e, struct str detail)
{
	struct writer w;
	struct json_writer j;
	char type[96];
	snprintf(type, sizeof type, "urn:kappa:error:%s", err_name(e));
	if (!detail.ptr)
		detail = str_of(err_chain());
	writer_init(&w, MIB);
	json_write_init(&j, &w);
	json_object_begin(&j);
	json_key_str(&j, "type", str_of(type));
	json_key_str(&j, "title", str_of(err_text(e)));
	json_key_i64(&j, "status", err_http(e));
	json_key_str(&j, "detail", detail.len ? detail : str_of(err_text(e)));
	json_key_str(&j, "code", str_of(err_name(e)));
	json_object_end(&j);
	enum err result = http_reply_take(reply, err_http(e), "application/problem+json", &w);
	writer_release(&w);
	return result;
}

/* Under request.mutex. */
static void resume(struct http_request *r)
{
	if (!r->suspended || r->gone)
		return;
	r->suspended = false;
	MHD_resume_connection(r->connection);
}

enum err http_reply_stream(struct http_reply *reply, int status, const char *content_type)
{
	struct http_request *r = reply_request(reply);
	if (r->route && r->route->def.inline_)
		return err_note(ERR_BUG, "an inline route cannot stream");
	uint8_t *ring = mem_alloc(HTTP_STREAM_BYTES);
	if (!ring)
		return ERR_NOMEM;
	mutex_lock(&r->mutex);
	enum err e = begin(reply, status, content_type);
	if (e == ERR_OK) {
		reply->ring = ring;
		reply->state = REPLY_STREAM;
	}
	mutex_unlock(&r->mutex);
	if (e != ERR_OK)
		mem_free(ring);
	return e;
}

/* Copies what fits into the ring; under request.mutex. */
static size_t ring_put(struct http_reply *reply, struct bytes b)
{
	size_t room = HTTP_STREAM_BYTES - reply->used;
	size_t tail = (reply->head + reply->used) % HTTP_STREAM_BYTES;
	size_t len = b.len < room ? b.len : room;
	if (len > HTTP_STREAM_BYTES - tail)
		len = HTTP_STREAM_BYTES - tail;
	memcpy(reply->ring + tail, b.ptr, len);
	reply->used += len;
	return len;
}

/* One piece, with the time its client has for it. Under request.mutex. */
static enum err write_piece(struct http_request *r, struct bytes b)
{
	int64_t deadline = io_clock_ns(r->http->io, IO_CLOCK_MONOTONIC) + HTTP_TIMEOUT_S * S_NS;
	while (b.len) {
		if (r->gone || shared_load(&r->cancelled))
			return err_note(ERR_CANCELLED, "the client went away");
		size_t len = ring_put(&r->reply, b);
		b = bytes_slice(b, len, b.len - len);
		if (len)
			resume(r);
		if (len || !b.len)
			continue;
		int64_t left = deadline - io_clock_ns(r->http->io, IO_CLOCK_MONOTONIC);
		if (left <= 0)
			return err_note(ERR_TIMEOUT, "the client does not read");
		cond_wait_for(&r->room, &r->mutex, left < S_NS ? left : S_NS);
	}
	return ERR_OK;
}

enum err http_reply_write(struct http_reply *reply, struct bytes b)
{
	struct http_request *r = reply_request(reply);
	ASSERT(reply->state == REPLY_STREAM);
	if (reply->head_only)
		return ERR_CANCELLED;
	enum err e = ERR_OK;
	mutex_lock(&r->mutex);
	for (size_t at = 0; at < b.len && e == ERR_OK; at += STREAM_PIECE_BYTES)
		e = write_piece(r, bytes_slice(b, at, STREAM_PIECE_BYTES));
	mutex_unlock(&r->mutex);
	return e;
}

static void log_failure(struct http_request *r, enum err e)
{
	char path[300], detail[600];
	if (err_http(e) < 500 || e == ERR_CANCELLED || e == ERR_NOT_READY)
		return;
	diag(DIAG_WARN, "http_error", "method=" STR_FMT " path=%s code=%s detail=%s",
	    STR_ARG(r->method), diag_quote(path, sizeof path, r->path), err_name(e),
	    diag_quote(detail, sizeof detail, str_of(err_chain())));
}

/* A stream that failed before its first byte can still say so. */
static void forget_stream(struct http_request *r)
{
	mutex_lock(&r->mutex);
	if (r->reply.state == REPLY_STREAM && !r->reply.queued && r->reply.used == 0) {
		struct http_reply blank = {.head_only = r->reply.head_only};
		reply_release(&r->reply);
		r->reply = blank;
	}
	mutex_unlock(&r->mutex);
}

void reply_finish(struct http_request *r, enum err e)
{
	struct http_reply *reply = &r->reply;
	if (e == ERR_CANCELLED && reply->head_only)
		e = ERR_OK;
	if (e != ERR_OK) {
		log_failure(r, e);
		metric_add(METRIC_HTTP_ERRORS, 1);
		forget_stream(r);
	}
	enum err answered = ERR_OK;
	if (reply->state == REPLY_NONE)
		answered = e == ERR_OK
		               ? http_reply_body(reply, MHD_HTTP_NO_CONTENT, NULL, bytes_of("", 0))
		               : http_reply_problem(reply, e, (struct str){NULL, 0});
	mutex_lock(&r->mutex);
	if (answered != ERR_OK || (reply->state == REPLY_STREAM && e != ERR_OK)) {
		reply->state = REPLY_BROKEN;
		reply->used = 0;
	} else if (reply->state == REPLY_STREAM) {
		reply->state = REPLY_ENDED;
	}
	resume(r);
	mutex_unlock(&r->mutex);
}

/* ---- event thread's side --------------------------------------------------------------------- */

static ssize_t stream_read(void *arg, uint64_t pos, char *buf, size_t max)
{
	struct http_request *r = arg;
	struct http_reply *reply = &r->reply;
	ssize_t result = 0;
	(void)pos;
	mutex_lock(&r->mutex);
	if (reply->used > 0) {
		size_t len = reply->used < max ? reply->used : max;
		if (len > HTTP_STREAM_BYTES - reply->head)
			len = HTTP_STREAM_BYTES - reply->head;
		memcpy(buf, reply->ring + reply->head, len);
		reply->head = (reply->head + len) % HTTP_STREAM_BYTES;
		reply->used -= len;
		result = (ssize_t)len;
		cond_signal(&r->room);
	} else if (reply->state == REPLY_ENDED) {
		result = MHD_CONTENT_READER_END_OF_STREAM;
	} else if (reply->state == REPLY_BROKEN) {
		result = MHD_CONTENT_READER_END_WITH_ERROR;
	} else {
		r->suspended = true;
		MHD_suspend_connection(r->connection);
	}
	mutex_unlock(&r->mutex);
	return result;
}

static void stream_free(void *arg)
{
	http_request_unref(arg);
}

static struct MHD_Response *whole_response(struct http_reply *reply)
{
	size_t len;
	uint8_t *body = writer_take(&reply->body, &len);
	struct MHD_Response *response =
	    MHD_create_response_from_buffer_with_free_callback(len, body, mem_free);
	if (!response)
		mem_free(body);
	return response;
}

/* The response holds a reference: it may outlive the request. */
static struct MHD_Response *stream_response(struct http_request *r)
{
	mutex_lock(&r->mutex);
	r->refs++;
	r->reply.queued = true;
	mutex_unlock(&r->mutex);
	struct MHD_Response *response = MHD_create_response_from_callback(
	    MHD_SIZE_UNKNOWN, 32 * KIB, stream_read, r, stream_free);
	if (!response)
		http_request_unref(r);
	return response;
}

static bool add_headers(struct http_reply *reply, struct MHD_Response *response)
{
	bool ok = true;
	for (size_t i = 0; i < reply->header_count; i++)
		ok = ok && MHD_add_response_header(
		               response, reply->header[i].name, reply->header[i].value) == MHD_YES;
	for (size_t i = 0; i < sizeof default_header / sizeof *default_header; i++) {
		bool said = false;
		for (size_t k = 0; k < reply->header_count; k++)
			said = said || strcasecmp(reply->header[k].name, default_header[i][0]) == 0;
		if (!said)
			ok = ok && MHD_add_response_header(response, default_header[i][0],
			               default_header[i][1]) == MHD_YES;
	}
	return ok;
}

/* libmicrohttpd is called without request.mutex: it calls stream_read under a lock of its own. */
enum MHD_Result reply_queue(struct http_request *r)
{
	enum MHD_Result result = MHD_NO;
	mutex_lock(&r->mutex);
	enum reply_state state = r->reply.state;
	mutex_unlock(&r->mutex);
	ASSERT(state != REPLY_NONE);
	if (r->reply.status == 0)
		return MHD_NO; /* broken before anything could be said: hang up */
	struct MHD_Response *response =
	    state == REPLY_WHOLE ? whole_response(&r->reply) : stream_response(r);
	if (!response)
		return MHD_NO;
	if (add_headers(&r->reply, response))
		result = MHD_queue_response(r->connection, (unsigned)r->reply.status, response);
	MHD_destroy_response(response);
	return result;
}
