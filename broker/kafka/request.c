/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request between connection and handler: header, decoding, dispatch, encoding of the answer
 * (request.h).
 */
#include "broker/auth/access.h"
#include "broker/auth/sasl.h"
#include "broker/kafka/server.h"
#include "broker/quotas/quotas.h"
#include <stdarg.h>
#include <stdio.h>

/* A response is bounded so that a small request cannot make a huge one (I7). */
#define RESPONSE_ARENA_MAX ((size_t)64 * MIB)
#define RESPONSE_BYTES_MAX ((size_t)100 * MIB)
/* Of a request that is not answered yet: less is not counted. */
#define PENDING_BYTES ((size_t)32 * KIB)
/* What is decoded of one that names little. */
#define NAMES_LITTLE_BYTES ((size_t)8 * KIB)

struct request *request_open(struct conn *c, struct frame *frame)
{
	ASSERT(frame->ptr && frame->have == frame->len);
	struct request *req = mem_calloc(1, sizeof(*req));
	if (!req) {
		broker_frame_give(c->broker, frame->ptr, frame->capacity);
		return NULL;
	}
	req->broker = c->broker;
	req->log = c->broker->log;
	req->loop = c->broker->loop;
	req->conn = c;
	req->principal = c->principal;
	req->peer = str_of(c->peer.host);
	req->received_ns = loop_now_ns(req->loop);
	req->trace = c->trace;
	req->frame = frame->ptr;
	req->frame_len = frame->len;
	req->frame_capacity = frame->capacity;
	c->in_bytes += frame->capacity;
	list_node_init(&req->node);
	arena_init(&req->arena, msg_arena_limit(frame->len));
	msg_out_init(&req->out, RESPONSE_BYTES_MAX);
	return req;
}

/* ---- memory of the answer -------------------------------------------------------------------- */

static void hold(struct request *req, size_t bytes)
{
	answers_take(req->broker, bytes);
	answers_give(req->broker, req->held);
	req->held = bytes;
}

/* While it is worked on, and while it waits, it is not for nothing either. */
static void hold_pending(struct request *req)
{
	if (!req->answered && req->arena.used_bytes > req->held + PENDING_BYTES)
		hold(req, req->arena.used_bytes);
}

static size_t out_memory(const struct request *req)
{
	return req->out.w.capacity + req->out.splice_capacity * sizeof(*req->out.splices);
}

void request_shed(struct request *req)
{
	if (!req->answered || req->release || req->out.splice_count > 0 ||
	    req->arena.used_bytes == 0)
		return;
	arena_release(&req->arena);
	req->response = req->user = NULL;
	hold(req, out_memory(req));
}

static void give_frame(struct request *req)
{
	uint8_t *frame = req->frame;
	req->frame = NULL;
	req->body = NULL;
	if (!frame)
		return;
	ASSERT(req->conn->in_bytes >= req->frame_capacity);
	req->conn->in_bytes -= req->frame_capacity;
	broker_frame_give(req->broker, frame, req->frame_capacity);
}

/* ---- time on the loop ------------------------------------------------------------------------ */

static bool time_matters(const struct request *req)
{
	return req->broker->quotas->set[QUOTA_REQUEST] > 0;
}

/* Runs a part of its handling, which may answer and even free it. */
static void run(struct request *req, void (*part)(struct request *req))
{
	struct broker *b = req->broker;
	if (!time_matters(req)) {
		part(req);
		return;
	}
	b->running = req; /* one that is at work further out, which is rare, ends its time here */
	b->running_ns = io_clock_ns(b->io, IO_CLOCK_MONOTONIC);
	part(req);
	if (b->running == req)
		req->busy_ns += io_clock_ns(b->io, IO_CLOCK_MONOTONIC) - b->running_ns;
	b->running = NULL;
}

void request_when_first(struct request *req, void (*turn)(struct request *req))
{
	ASSERT(!req->turn && !req->answered);
	if (list_first(&req->conn->requests) == &req->node || req->conn->closing)
		turn(req);
	else
		req->turn = turn;
}

void request_take_turn(struct request *req)
{
	void (*turn)(struct request * req) = req->turn;
	req->turn = NULL;
	run(req, turn);
}

static void charge_time(struct request *req)
{
	struct broker *b = req->broker;
	if (!time_matters(req))
		return;
	if (b->running == req) {
		req->busy_ns += io_clock_ns(b->io, IO_CLOCK_MONOTONIC) - b->running_ns;
		b->running = NULL; /* charged: what is left of it is sending */
	}
	(void)request_charge(req, QUOTA_REQUEST, (double)req->busy_ns);
}

/* Responses of every api call it the same. */
static void tell_throttle(struct request *req)
{
	const struct msg_shape *shape = req->api->response;
	for (uint16_t i = 0; req->throttle_ms > 0 && i < shape->field_count; i++)
		if (strcmp(shape->fields[i].name, "throttle_time_ms") == 0)
			memcpy((uint8_t *)req->response + shape->fields[i].offset,
			    &req->throttle_ms, sizeof(req->throttle_ms));
}

void request_free(struct request *req)
{
	if (!req)
		return;
	ASSERT(req->answered);
	if (req->broker->running == req)
		req->broker->running = NULL;
	if (req->release)
		req->release(req);
	give_frame(req);
	msg_out_release(&req->out);
	arena_release(&req->arena);
	hold(req, 0);
	mem_free(req);
}

/* ---- header and dispatch --------------------------------------------------------------------- */

static enum err skip_tags(struct reader *r)
{
	uint32_t count = read_uvarint32(r);
	if (count > KAFKA_UNKNOWN_TAGS_MAX)
		return err_note(ERR_INVALID_REQUEST, "request header with %u tagged fields", count);
	for (uint32_t i = 0; i < count && !r->bad; i++) {
		(void)read_uvarint32(r);
		uint32_t len = read_uvarint32(r);
		if (len > reader_left(r))
			r->bad = true;
		read_skip(r, r->bad ? 0 : len);
	}
	return r->bad ? err_note(ERR_INVALID_REQUEST, "request header too short") : ERR_OK;
}

static enum err read_client_id(struct request *req, struct reader *r)
{
	int16_t len = read_i16_be(r);
	if (len >= 0)
		req->client_id = bytes_str(read_bytes(r, (size_t)len));
	if (r->bad || len < -1)
		return err_note(ERR_INVALID_REQUEST, "request header too short");
	return ERR_OK;
}

/* ApiVersions in a version we do not speak is answered in version 0 (KIP-511), so that the client
 * can try again. */
static bool is_future_api_versions(int16_t key, int16_t version, const struct dispatch_row *row)
{
	return key == API_API_VERSIONS && row && version > row->max;
}

static enum err decode_body(struct request *req, struct reader *r)
{
	struct msg_form form = msg_request_form(req->api, req->version);
	TRY(read_client_id(req, r));
	req->body = arena_calloc(&req->arena, 1, req->api->request->size);
	if (!req->body)
		return ERR_LIMIT;
	if (req->version < 0)
		return ERR_OK; /* is_future_api_versions */
	if (form.flexible)
		TRY(skip_tags(r));
	/* Bytes behind the body are ignored, as Kafka does: librdkafka 2.0 leaves three in an
	 * OffsetFetch for all topics. */
	return msg_decode(form, r, &req->arena, req->body);
}

static enum err decode(struct request *req, const struct dispatch_row **ret_row)
{
	struct reader r = reader_of(bytes_of(req->frame, req->frame_len));
	int16_t key = read_i16_be(&r);
	req->version = read_i16_be(&r);
	req->correlation_id = read_i32_be(&r);
	req->api = msg_api_find(key);
	const struct dispatch_row *row = dispatch_find(key);
	if (r.bad || !req->api || !row)
		return err_note(ERR_UNSUPPORTED_VERSION, "api key %d is not served", key);
	TRY(sasl_admits(req->conn, key));
	if (is_future_api_versions(key, req->version, row))
		req->version = -1;
	else if (req->version < row->min || req->version > row->max)
		return err_note(ERR_UNSUPPORTED_VERSION, "%s version %d is not served",
		    req->api->name, req->version);
	TRY(decode_body(req, &r));
	hold_pending(req);
	*ret_row = row;
	return ERR_OK;
}

bool request_names_little(const struct frame *frame)
{
	struct reader r = reader_of(bytes_of(frame->ptr, frame->len));
	int16_t key = read_i16_be(&r);
	struct request peek = {.api = msg_api_find(key), .version = read_i16_be(&r)};
	const struct dispatch_row *row = dispatch_find(key);
	read_skip(&r, sizeof(peek.correlation_id));
	/* what is refused is soon done */
	if (r.bad || !row || peek.version < row->min || peek.version > row->max)
		return true;
	size_t mark = err_mark();
	arena_init(&peek.arena, NAMES_LITTLE_BYTES);
	enum err err = decode_body(&peek, &r);
	arena_release(&peek.arena);
	err_rewind(mark);
	return err != ERR_LIMIT;
}

static void dispatch(struct request *req)
{
	const struct dispatch_row *row = NULL;
	err_clear();
	if (sasl_expects_token(req->conn)) {
		sasl_token(req);
		return;
	}
	enum err err = decode(req, &row);
	if (err != ERR_OK) {
		metric_add(METRIC_BAD_FRAMES, 1);
		request_fail(req, err);
		return;
	}
	req->arena.limit_bytes += RESPONSE_ARENA_MAX;
	req->response = arena_alloc(&req->arena, req->api->response->size);
	if (!req->response) {
		request_fail(req, ERR_NOMEM);
		return;
	}
	msg_init(req->api->response, req->response);
	err = access_admit(req);
	if (err == ERR_OK)
		row->handle(req);
	else if (err != ERR_CANCELLED)
		request_fail(req, err);
}

void request_dispatch(struct request *req)
{
	run(req, dispatch);
}

/* ---- answers --------------------------------------------------------------------------------- */

/* The head of a frame; the length is not known yet. */
static void begin_frame(struct request *req)
{
	enum sp_framing framing = conn_framing(req->conn);
	if (framing == SP_NONE)
		write_u32_be(&req->out.w, 0);
	else
		sp_head_write(&req->out.w, framing, &req->trace);
}

static enum err end_frame(struct request *req)
{
	enum sp_framing framing = conn_framing(req->conn);
	size_t len = msg_out_len(&req->out);
	if (req->out.w.err != ERR_OK || len > INT32_MAX)
		return req->out.w.err != ERR_OK ? req->out.w.err : ERR_LIMIT;
	if (framing == SP_NONE)
		writer_patch_u32_be(&req->out.w, 0, (uint32_t)(len - 4));
	else
		sp_head_patch(&req->out.w, framing, len);
	return ERR_OK;
}

static enum err encode(struct request *req)
{
	struct writer *w = &req->out.w;
	/* version -1: see is_future_api_versions */
	int16_t version = req->version < 0 ? 0 : req->version;
	struct msg_form form = msg_response_form(req->api, version);
	begin_frame(req);
	write_u32_be(w, (uint32_t)req->correlation_id);
	if (form.flexible && req->api->key != API_API_VERSIONS)
		write_u8(w, 0);
	TRY(msg_encode(form, req->response, &req->out));
	return end_frame(req);
}

void request_answer(struct request *req)
{
	ASSERT(!req->answered && req->response);
	if (req->conn->closing) {
		request_end_silently(req);
		return;
	}
	charge_time(req);
	tell_throttle(req);
	enum err err = encode(req);
	if (err != ERR_OK) {
		request_fail(req, err);
		return;
	}
	metric_add(METRIC_REQUESTS, 1);
	if (req->out.has_error)
		metric_add(METRIC_REQUEST_ERRORS, 1);
	metric_observe_ns(METRIC_REQUEST, loop_now_ns(req->loop) - req->received_ns);
	req->answered = true;
	give_frame(req);
	hold(req, out_memory(req) + req->arena.used_bytes);
	conn_answered(req);
}

void request_answer_raw(struct request *req, struct bytes token)
{
	ASSERT(!req->answered);
	begin_frame(req);
	write_bytes(&req->out.w, token);
	enum err err = end_frame(req);
	if (err != ERR_OK) {
		request_fail(req, err);
		return;
	}
	req->answered = true;
	give_frame(req);
	conn_answered(req);
}

void request_end_silently(struct request *req)
{
	ASSERT(!req->answered);
	charge_time(req);
	/* the other end of REQ/REP waits for a reply, even where Kafka has none */
	if (conn_framing(req->conn) != SP_NONE && !req->conn->closing) {
		begin_frame(req);
		if (end_frame(req) != ERR_OK) {
			request_fail(req, ERR_NOMEM);
			return;
		}
	}
	req->answered = true;
	req->turn = NULL;
	give_frame(req);
	conn_answered(req);
}

void request_fail(struct request *req, enum err why)
{
	ASSERT(!req->answered);
	msg_out_release(&req->out);
	msg_out_init(&req->out, RESPONSE_BYTES_MAX);
	/* first, so that closing does not come back to this request */
	req->answered = true;
	req->turn = NULL;
	conn_close(req->conn, why, req->api ? req->api->name : "unknown request");
	give_frame(req);
	conn_answered(req);
}

/* ---- memory ---------------------------------------------------------------------------------- */

void *request_alloc(struct request *req, size_t len)
{
	void *at = arena_calloc(&req->arena, 1, len ? len : 1);
	hold_pending(req);
	return at;
}

void *request_new(struct request *req, const struct msg_shape *shape, size_t count)
{
	void *at = msg_new_array(shape, count, &req->arena);
	hold_pending(req);
	return at;
}

struct str request_text(struct request *req, const char *fmt, ...)
{
	char few[512], *text = few;
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int len = vsnprintf(few, sizeof(few), fmt, ap);
	if (len >= (int)sizeof(few)) {
		text = arena_alloc(&req->arena, (size_t)len + 1);
		len = text ? vsnprintf(text, (size_t)len + 1, fmt, again) : -1;
	}
	va_end(again);
	va_end(ap);
	if (len < 0)
		return (struct str){NULL, 0};
	struct str s = str_from(text, (size_t)len);
	return text == few ? arena_copy_str(&req->arena, s) : s;
}
