/* SPDX-License-Identifier: Apache-2.0 */
#include "test/sim/wire.h"
#include "test/sim/world.h"

enum { OUT_BYTES_MAX = 8 << 20, IN_BYTES_MAX = 32 << 20, ARENA_BYTES_MAX = 64 << 20 };

static void receive(struct wire *wire);
static void fail_calls(struct mail *mail);

void wire_init(struct wire *wire, struct world *w, const char *name, void (*down)(struct wire *))
{
	*wire = (struct wire){.w = w, .name = name, .fd = -1, .down = down};
	writer_init(&wire->out, OUT_BYTES_MAX);
	writer_init(&wire->busy, OUT_BYTES_MAX);
	writer_init(&wire->in, IN_BYTES_MAX);
	arena_init(&wire->arena, ARENA_BYTES_MAX);
	list_init(&wire->calls);
	wire->fail.run = fail_calls;
}

void wire_release(struct wire *wire)
{
	ASSERT(wire_is_idle(wire));
	writer_release(&wire->out);
	writer_release(&wire->busy);
	writer_release(&wire->in);
	arena_release(&wire->arena);
}

bool wire_is_idle(const struct wire *wire)
{
	return wire->fd < 0 && list_empty(&wire->calls) && !wire->failing;
}

/* ---- the end --------------------------------------------------------------------------------- */

static void fail_calls(struct mail *mail)
{
	struct wire *wire = CONTAINER_OF(mail, struct wire, fail);
	struct list_node *n;
	while ((n = list_pop_front(&wire->calls))) {
		struct wire_call *call = CONTAINER_OF(n, struct wire_call, node);
		call->response = NULL;
		call->done(call);
	}
	wire->failing = false;
	wire->down(wire);
}

static void finish_closing(struct wire *wire)
{
	if (!wire->closing || wire->fd < 0 || wire->sending || wire->receiving)
		return;
	enum err e = io_close(wire->w->io, wire->fd);
	if (e != ERR_OK)
		err_clear();
	wire->fd = -1;
	wire->closing = false;
	wire->failing = true;
	loop_defer(wire->w->loop, &wire->fail);
}

void wire_close(struct wire *wire)
{
	if (wire->fd < 0 || wire->closing)
		return;
	wire->closing = true;
	if (wire->sending)
		io_cancel(wire->w->io, &wire->send);
	if (wire->receiving)
		io_cancel(wire->w->io, &wire->recv);
	finish_closing(wire);
}

/* ---- sending --------------------------------------------------------------------------------- */

static void sent(struct io_req *req);

static void send_more(struct wire *wire)
{
	if (wire->sending || wire->closing || wire->fd < 0 || wire->out.len == 0)
		return;
	struct writer swap = wire->busy;
	wire->busy = wire->out;
	wire->out = swap;
	writer_clear(&wire->out);
	wire->send_iov = (struct iovec){wire->busy.ptr, wire->busy.len};
	wire->send = (struct io_req){
	    .op = IO_SEND, .fd = wire->fd, .iov = &wire->send_iov, .iov_count = 1, .done = sent};
	wire->sending = true;
	io_submit(wire->w->io, &wire->send);
}

static void sent(struct io_req *req)
{
	struct wire *wire = CONTAINER_OF(req, struct wire, send);
	wire->sending = false;
	if (req->err != ERR_OK)
		wire_close(wire);
	finish_closing(wire);
	send_more(wire);
}

static void encode(
    struct wire *wire, int32_t id, struct msg_form form, int16_t key, const void *body)
{
	struct msg_out out;
	msg_out_init(&out, OUT_BYTES_MAX);
	out.copy = true;
	write_u32_be(&out.w, 0);
	write_u16_be(&out.w, (uint16_t)key);
	write_u16_be(&out.w, (uint16_t)form.version);
	write_u32_be(&out.w, (uint32_t)id);
	write_u16_be(&out.w, 3);
	write_cstr(&out.w, "sim");
	if (form.flexible)
		write_u8(&out.w, 0);
	ASSERT(msg_encode(form, body, &out) == ERR_OK);
	writer_patch_u32_be(&out.w, 0, (uint32_t)(out.w.len - 4));
	write_bytes(&wire->out, writer_bytes(&out.w));
	ASSERT(wire->out.err == ERR_OK);
	msg_out_release(&out);
}

void wire_send_unanswered(struct wire *wire, int16_t key, int16_t version, const void *body)
{
	if (!wire_is_open(wire))
		return;
	encode(wire, ++wire->last_id, msg_request_form(msg_api_find(key), version), key, body);
	send_more(wire);
}

void wire_send(struct wire *wire, struct wire_call *call, const void *body)
{
	list_node_init(&call->node);
	list_push_back(&wire->calls, &call->node);
	call->wire = wire;
	call->id = ++wire->last_id;
	call->response = NULL;
	call->sent_ns = loop_now_ns(wire->w->loop);
	wire->w->calls++;
	if (wire_is_open(wire)) {
		encode(wire, call->id, msg_request_form(msg_api_find(call->key), call->version),
		    call->key, body);
		send_more(wire);
	} else if (wire->fd < 0 && !wire->failing) {
		wire->failing = true;
		loop_defer(wire->w->loop, &wire->fail);
	}
}

void wire_send_raw(struct wire *wire, struct bytes bytes)
{
	if (!wire_is_open(wire))
		return;
	wire->garbage_sent = true;
	write_bytes(&wire->out, bytes);
	send_more(wire);
}

/* ---- receiving ------------------------------------------------------------------------------- */

/* C1 of conn.c: answers come in the order of the requests. */
static struct wire_call *next_call(struct wire *wire, int32_t id)
{
	struct list_node *n = list_pop_front(&wire->calls);
	struct wire_call *call = n ? CONTAINER_OF(n, struct wire_call, node) : NULL;
	if (!call || call->id != id)
		violated("answers", "%s: an answer with id %d, and %d was expected", wire->name, id,
		    call ? call->id : -1);
	return call;
}

static void take_frame(struct wire *wire, struct bytes frame)
{
	struct reader r = reader_of(frame);
	int32_t id = read_i32_be(&r);
	if (wire->closing || wire->garbage_sent)
		return;
	struct wire_call *call = next_call(wire, id);
	const struct msg_api *api = msg_api_find(call->key);
	struct msg_form form = msg_response_form(api, call->version);
	if (form.flexible && call->key != API_API_VERSIONS)
		(void)read_u8(&r);
	arena_clear(&wire->arena);
	call->response = arena_calloc(&wire->arena, 1, api->response->size);
	ASSERT(call->response);
	enum err e = msg_decode(form, &r, &wire->arena, call->response);
	if (e != ERR_OK || reader_left(&r) > 0)
		violated("answers", "%s: %s version %d: %s, %zu bytes are left", wire->name,
		    api->name, call->version, err_name(e), reader_left(&r));
	call->done(call);
}

static void take_frames(struct wire *wire)
{
	size_t pos = 0;
	while (wire->in.len - pos >= 4) {
		size_t len = get_u32_be(wire->in.ptr + pos);
		if (len > IN_BYTES_MAX)
			violated("answers", "%s: a frame of %zu bytes", wire->name, len);
		if (wire->in.len - pos - 4 < len)
			break;
		take_frame(wire, bytes_of(wire->in.ptr + pos + 4, len));
		pos += 4 + len;
	}
	memmove(wire->in.ptr, wire->in.ptr + pos, wire->in.len - pos);
	wire->in.len -= pos;
}

static void received(struct io_req *req)
{
	struct wire *wire = CONTAINER_OF(req, struct wire, recv);
	wire->receiving = false;
	bool more = req->err == ERR_OK && req->result > 0;
	if (more && !wire->closing) {
		write_bytes(&wire->in, bytes_of(wire->chunk, (size_t)req->result));
		ASSERT(wire->in.err == ERR_OK);
		take_frames(wire);
	} else if (!more) {
		wire_close(wire);
	}
	finish_closing(wire);
	receive(wire);
}

static void receive(struct wire *wire)
{
	if (wire->fd < 0 || wire->closing || wire->receiving)
		return;
	wire->recv_iov = (struct iovec){wire->chunk, sizeof(wire->chunk)};
	wire->recv = (struct io_req){.op = IO_RECV,
	    .fd = wire->fd,
	    .iov = &wire->recv_iov,
	    .iov_count = 1,
	    .done = received};
	wire->receiving = true;
	io_submit(wire->w->io, &wire->recv);
}

bool wire_open(struct wire *wire)
{
	ASSERT(wire_is_idle(wire));
	if (sim_io_connect(wire->w->io, wire->w->port, &wire->fd) != ERR_OK) {
		err_clear();
		wire->fd = -1;
		return false;
	}
	writer_clear(&wire->out);
	writer_clear(&wire->busy);
	writer_clear(&wire->in);
	wire->closing = wire->garbage_sent = false;
	receive(wire);
	return true;
}
