/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One client connection: bytes to requests, answers to bytes.
 *
 * States: OPEN -> (conn_close) CLOSING -> (conn_reap) freed. While OPEN at most one receive and one
 * send are under way. Everything that may let a connection go on calls conn_wake; conn_step then
 * does, in this order, all that can be done: send answers, cut requests out of what was received,
 * receive.
 *
 * Invariants:
 *   C1  answers leave in the order in which requests arrived: only a run of answered requests at
 *       the head of `requests` is sent.
 *   C2  reading stops (so TCP pushes back) while KAFKA_PIPELINE_MAX requests are in flight,
 *       CONN_OUT_HIGH bytes wait to be sent, CONN_IN_HIGH bytes of requests wait for their answers,
 *       or no memory is to be had for the frame under way (`hungry`) or for the answer to it
 *       (`crowded`), or while it is being decided whether the client is who it says (sasl.h), and
 *       until the next turn of the loop when this one has taken CONN_SLICE_NS (`yielding`).
 *   C3  the connection outlives its requests and its io_reqs.
 */
#include "broker/auth/auth.h"
#include "broker/auth/sasl.h"
#include "broker/kafka/conn_tls.h"
#include "broker/quotas/quotas.h"
#include <stdio.h>

enum { REQUEST_HEADER_MIN = 8 };

static struct request *request_of(struct list_node *n)
{
	return CONTAINER_OF(n, struct request, node);
}

/* ---- sending --------------------------------------------------------------------------------- */

/* Piece i of an answer: writer bytes and splices in turn, beginning and ending with writer bytes.
 */
static struct bytes out_piece(const struct msg_out *out, size_t i)
{
	if (i % 2 == 1)
		return out->splices[i / 2].bytes;
	size_t from = i == 0 ? 0 : out->splices[i / 2 - 1].at;
	size_t to = i / 2 == out->splice_count ? out->w.len : out->splices[i / 2].at;
	return bytes_of(out->w.ptr + from, to - from);
}
static size_t out_pieces(const struct msg_out *out)
{
	return out->w.len == 0 ? 0 : 2 * out->splice_count + 1;
}

/* Collects the next iovec from the cursor on and moves the cursor behind it. */
static int collect(struct conn *c, struct iovec *iov)
{
	size_t total = 0, most = c->tls ? CONN_TLS_SEND_BYTES : CONN_SEND_BYTES;
	if (answers_are_short(c->broker) && most > CONN_SEND_SHORT)
		most = CONN_SEND_SHORT;
	int count = 0;
	c->sent_after = 0;
	LIST_EACH (&c->requests, n, tmp) {
		struct request *req = request_of(n);
		if (!req->answered)
			break;
		size_t pieces = out_pieces(&req->out);
		for (; c->send_piece < pieces; c->send_piece++, c->send_pos = 0) {
			struct bytes b = out_piece(&req->out, c->send_piece);
			size_t left = b.len - c->send_pos, room = most - total;
			size_t take = left < room ? left : room;
			if (left == 0)
				continue;
			if (take == 0 || count == IO_IOV_MAX)
				return count;
			/* the seam only reads what it sends; iovec has no const */
			iov[count++] =
			    (struct iovec){(void *)(uintptr_t)(b.ptr + c->send_pos), take};
			total += take;
			if (take < left) {
				c->send_pos += take;
				return count;
			}
		}
		c->send_piece = c->send_pos = 0;
		c->sent_after++;
	}
	return count;
}

/* Frees the first request, and gives the next its turn. */
static void pop_request(struct conn *c)
{
	struct list_node *first = list_pop_front(&c->requests);
	ASSERT(first);
	struct request *req = request_of(first);
	ASSERT(req->answered && c->in_flight > 0);
	size_t len = msg_out_len(&req->out);
	ASSERT(c->out_bytes >= len);
	c->out_bytes -= len;
	c->in_flight--;
	request_free(req);
	struct list_node *next = list_first(&c->requests);
	if (next && request_of(next)->turn && !c->closing)
		request_take_turn(request_of(next));
}

static void on_sent(struct io_req *io)
{
	struct conn *c = CONTAINER_OF(io, struct conn, send);
	loop_assert_owner(c->broker->loop);
	c->sending = false;
	mem_free(c->send_iov);
	c->send_iov = NULL;
	if (c->tls)
		conn_tls_sent(c);
	if (io->err != ERR_OK)
		conn_close(c, io->err, "send failed");
	c->active_ns = loop_now_ns(c->broker->loop);
	for (; c->sent_after > 0; c->sent_after--)
		pop_request(c);
	answers_taken(c);
	conn_wake(c);
}

/* An upper bound of the pieces ready to go. */
static size_t ready_pieces(const struct conn *c)
{
	size_t pieces = 0;
	LIST_EACH (&c->requests, n, tmp) {
		const struct request *req = request_of(n);
		if (!req->answered || pieces >= IO_IOV_MAX)
			break;
		pieces += out_pieces(&req->out);
	}
	return pieces < IO_IOV_MAX ? pieces : IO_IOV_MAX;
}

/* The native door's handshake: each side sends its greeting at once. */
static void send_greeting(struct conn *c)
{
	c->send_iov = mem_alloc(sizeof(*c->send_iov));
	if (!c->send_iov) {
		conn_close(c, ERR_NOMEM, "no memory to send");
		return;
	}
	*c->send_iov = (struct iovec){sp_greeting(SP_REP), SP_GREETING_BYTES};
	c->greeting_sent = c->sending = true;
	c->send_ns = loop_now_ns(c->broker->loop);
	c->send = (struct io_req){
	    .op = IO_SEND, .fd = c->fd, .iov = c->send_iov, .iov_count = 1, .done = on_sent};
	io_submit(c->broker->io, &c->send);
}

static void flush(struct conn *c)
{
	if (!c->greeting_sent && conn_framing(c) != SP_NONE) {
		send_greeting(c);
		return;
	}
	struct list_node *first = list_first(&c->requests);
	bool ready = first && request_of(first)->answered;
	if (c->sending || (!ready && !conn_tls_pending(c)))
		return;
	size_t pieces = ready_pieces(c);
	struct iovec *iov = mem_alloc((pieces + 1) * sizeof(*iov));
	if (!iov) {
		conn_close(c, ERR_NOMEM, "no memory to send");
		return;
	}
	int count = collect(c, iov);
	enum err err = c->tls ? conn_tls_seal(c, iov, count, &count) : ERR_OK;
	if (err != ERR_OK) {
		mem_free(iov);
		conn_close(c, err, "cannot encrypt");
		return;
	}
	if (count == 0) { /* only requests without an answer */
		mem_free(iov);
		for (; c->sent_after > 0; c->sent_after--)
			pop_request(c);
		return;
	}
	c->send_iov = iov;
	c->sending = true;
	c->send_ns = loop_now_ns(c->broker->loop);
	c->send = (struct io_req){
	    .op = IO_SEND, .fd = c->fd, .iov = iov, .iov_count = count, .done = on_sent};
	io_submit(c->broker->io, &c->send);
}

/* ---- receiving ------------------------------------------------------------------------------- */

bool conn_paused(const struct conn *c)
{
	return c->closing || c->resting || c->last || c->yielding || sasl_decides(c) ||
	       list_linked(&c->crowded) || c->in_flight >= KAFKA_PIPELINE_MAX ||
	       c->out_bytes >= CONN_OUT_HIGH || c->in_bytes >= CONN_IN_HIGH;
}

/* What of the frame there is memory for. */
static size_t frame_end(const struct frame *f)
{
	return f->capacity < f->len ? f->capacity : f->len;
}

static void on_received(struct io_req *io)
{
	struct conn *c = CONTAINER_OF(io, struct conn, recv);
	loop_assert_owner(c->broker->loop);
	c->receiving = false;
	if (io->err != ERR_OK) {
		conn_close(c, io->err, "receive failed");
	} else if (io->result == 0) {
		bool inside = c->frame.ptr || c->head_len > c->head_pos;
		conn_close(c, inside ? ERR_EOF : ERR_OK,
		    "closed by the client in the middle of a request");
	} else {
		conn_heard(c);
		conn_came(c, (size_t)io->result);
	}
	conn_wake(c);
}

void conn_heard(struct conn *c)
{
	c->active_ns = loop_now_ns(c->broker->loop);
	admission_heard(c);
}

void conn_came(struct conn *c, size_t len)
{
	if (c->frame.ptr) {
		size_t room = frame_end(&c->frame) - c->frame.have;
		size_t part = room < len ? room : len;
		c->frame.have += part;
		len -= part;
	}
	c->head_len += len;
	ASSERT(c->head_len <= CONN_HEAD_BYTES);
}

/* True when the frame has room for its next bytes, of which so many are in the head; else the
 * connection waits, or ends. */
static bool frame_has_room(struct conn *c, size_t waiting)
{
	if (c->frame.have < c->frame.capacity)
		return true;
	enum err err = frame_grow(&c->broker->frames, &c->frame, waiting);
	if (err == ERR_OK)
		hunger_served(c);
	else if (err == ERR_AGAIN)
		hunger_wait(c);
	else
		conn_close(c, err, "no memory for a request");
	return err == ERR_OK;
}

void conn_places(struct conn *c, struct iovec places[2], int *ret_count)
{
	int count = 0;
	*ret_count = 0;
	bool in_frame = c->frame.ptr != NULL;
	if (in_frame) {
		if (!frame_has_room(c, 0))
			return;
		places[count++] = (struct iovec){
		    c->frame.ptr + c->frame.have, frame_end(&c->frame) - c->frame.have};
	}
	/* what follows a frame goes to the head: one system call for its end and the next one's
	 * start */
	if (!in_frame || c->frame.capacity >= c->frame.len) {
		ASSERT(c->head_len < CONN_HEAD_BYTES);
		places[count++] =
		    (struct iovec){c->head + c->head_len, CONN_HEAD_BYTES - c->head_len};
	}
	*ret_count = count;
}

static void receive(struct conn *c)
{
	int count;
	if (c->tls) {
		conn_tls_receive(c);
		return;
	}
	if (c->receiving || conn_paused(c) || list_linked(&c->hungry))
		return;
	conn_places(c, c->recv_iov, &count);
	if (count == 0)
		return;
	c->receiving = true;
	c->recv = (struct io_req){.op = IO_RECV,
	    .fd = c->fd,
	    .iov = c->recv_iov,
	    .iov_count = count,
	    .done = on_received};
	io_submit(c->broker->io, &c->recv);
}

static void refuse_frame(struct conn *c, const char *reason)
{
	metric_add(METRIC_BAD_FRAMES, 1);
	conn_close(c, ERR_INVALID_REQUEST, reason);
}

/* What stands before a request's bytes. False: more bytes are needed, or it was refused. */
static bool read_head(struct conn *c, size_t *ret_head, uint64_t *ret_len)
{
	struct bytes in = bytes_of(c->head + c->head_pos, c->head_len - c->head_pos);
	enum sp_framing framing = conn_framing(c);
	if (framing == SP_NONE && in.len >= 4) {
		*ret_head = 4;
		*ret_len = get_u32_be(in.ptr);
		return true;
	}
	if (framing != SP_NONE && !c->greeted && in.len >= SP_GREETING_BYTES) {
		c->greeted = sp_greeting_is(in, SP_REQ);
		if (!c->greeted) {
			refuse_frame(c, "it does not speak REQ");
			return false;
		}
		c->head_pos += SP_GREETING_BYTES;
		in = bytes_slice(in, SP_GREETING_BYTES, in.len);
	}
	if (framing == SP_NONE || !c->greeted)
		return false;
	enum err err = sp_head_read(framing, in, ret_head, ret_len, &c->trace);
	if (err == ERR_INVALID_REQUEST)
		refuse_frame(c, "not a message of REQ");
	return err == ERR_OK;
}

/* Starts a frame from the bytes in the head. False: more bytes or memory are needed, or it was
 * refused. */
static bool start_frame(struct conn *c)
{
	size_t head;
	uint64_t len;
	if (!read_head(c, &head, &len))
		return false;
	uint32_t min = sasl_expects_token(c) ? 1 : REQUEST_HEADER_MIN;
	size_t max = c->admitted ? c->broker->options.request_bytes_max : REQUEST_PREAUTH_MAX;
	if (len < min || len > max) {
		refuse_frame(c, "a length that no request has");
		return false;
	}
	size_t left = c->head_len - c->head_pos - head, part = left < len ? left : len;
	c->frame = (struct frame){.len = len};
	if (!frame_has_room(c, part))
		return false;
	c->head_pos += head;
	c->frame_ns = loop_now_ns(c->broker->loop);
	ASSERT(part <= c->frame.capacity);
	memcpy(c->frame.ptr, c->head + c->head_pos, part);
	c->head_pos += part;
	c->frame.have = part;
	return true;
}

/* Only records are as long as that. */
static bool is_too_long(const struct frame *f)
{
	return f->len > REQUEST_OTHER_MAX && f->have >= 2 && get_u16_be(f->ptr) != API_PRODUCE;
}

/* Many requests may have come at once, and each may take long: others have a turn between. */
static void yield_when_late(struct conn *c)
{
	struct broker *b = c->broker;
	if (io_clock_ns(b->io, IO_CLOCK_MONOTONIC) - c->step_ns < CONN_SLICE_NS)
		return;
	c->yielding = true;
	conn_wake(c);
}

/* Cuts requests out of what has arrived and hands them on. */
void conn_parse(struct conn *c)
{
	while (!conn_paused(c) && !list_linked(&c->hungry)) {
		if (!c->frame.ptr && !start_frame(c))
			break;
		if (is_too_long(&c->frame)) {
			refuse_frame(c, "a length that no request without records has");
			break;
		}
		if (c->frame.have < c->frame.len || !answers_admit(c))
			break;
		struct request *req = request_open(c, &c->frame);
		c->frame = (struct frame){0};
		if (!req) {
			conn_close(c, ERR_NOMEM, "no memory for a request");
			break;
		}
		list_push_back(&c->requests, &req->node);
		c->in_flight++;
		request_dispatch(req);
		yield_when_late(c);
	}
	if (c->head_pos > 0) {
		memmove(c->head, c->head + c->head_pos, c->head_len - c->head_pos);
		c->head_len -= c->head_pos;
		c->head_pos = 0;
	}
}

/* ---- life cycle ------------------------------------------------------------------------------ */

/* Frees a closing connection once nothing refers to it any more. */
static void reap(struct conn *c)
{
	struct broker *b = c->broker;
	if (c->receiving || c->sending || conn_tls_busy(c))
		return;
	if (c->fd >= 0) {
		enum err err = io_close(b->io, c->fd); /* nothing can be done about a failure */
		(void)err;
		c->fd = -1;
		broker_frame_give(b, c->frame.ptr, c->frame.capacity);
		c->frame = (struct frame){0};
	}
	LIST_EACH (&c->requests, n, tmp) {
		struct request *req = request_of(n);
		if (!req->answered)
			continue;
		list_remove(&req->node);
		c->in_flight--;
		request_free(req);
	}
	if (!list_empty(&c->requests))
		return; /* conn_answered comes back */
	ASSERT(c->in_flight == 0);
	list_remove(&c->node);
	b->conn_count--;
	metric_set(METRIC_CONNECTIONS, b->conn_count);
	admission_leave(c);
	sasl_free(c->sasl);
	conn_tls_free(c->tls);
	mem_free(c->user);
	mem_free(c);
}

static void shed(struct conn *c)
{
	c->unshed = false;
	LIST_EACH (&c->requests, n, tmp)
		request_shed(request_of(n));
}

static void conn_step(struct mail *mail)
{
	struct conn *c = CONTAINER_OF(mail, struct conn, mail);
	c->mailed = c->yielding = false;
	c->step_ns = io_clock_ns(c->broker->io, IO_CLOCK_MONOTONIC);
	if (c->unshed)
		shed(c);
	if (!c->closing && !conn_tls_busy(c)) {
		flush(c);
		conn_parse(c);
		receive(c);
	}
	if (c->last && list_empty(&c->requests) && (!c->tls || conn_tls_finished(c)))
		conn_close(c, ERR_OK, "nothing more is said to it");
	if (c->closing && !c->mailed)
		reap(c);
}

void conn_wake(struct conn *c)
{
	if (c->mailed)
		return;
	c->mailed = true;
	c->mail.run = conn_step;
	loop_defer(c->broker->loop, &c->mail);
}

bool conn_is_decided(const struct conn *c)
{
	return conn_tls_busy(c) || sasl_verifies(c);
}

const struct listener *conn_listener(const struct conn *c)
{
	bool kafka = c->listener && c->listener->framing == SP_NONE;
	return kafka ? c->listener : &c->broker->listeners[0];
}

enum sp_framing conn_framing(const struct conn *c)
{
	return c->listener ? c->listener->framing : SP_NONE;
}

struct str conn_principal(const struct conn *c)
{
	return c->user ? str_of(c->user) : AUTH_ANONYMOUS;
}

void conn_answered(struct request *req)
{
	struct conn *c = req->conn;
	loop_assert_owner(c->broker->loop);
	ASSERT(req->answered);
	if (c->out_bytes == 0) /* only now is there something to take */
		c->active_ns = loop_now_ns(c->broker->loop);
	c->out_bytes += msg_out_len(&req->out);
	c->unshed = true;
	conn_wake(c);
}

/* Access lists and Metadata know hosts: who comes by a local socket is on this one, and is told
 * where the Kafka door is for clients on it. */
static void read_addresses(struct conn *c)
{
	/* without addresses (the client has gone already) it is served all the same, and ends by
	 * itself */
	if (io_address(c->broker->io, c->fd, true, &c->peer) != ERR_OK ||
	    io_address(c->broker->io, c->fd, false, &c->local) != ERR_OK)
		err_clear();
	if (conn_framing(c) == SP_NONE)
		return;
	const struct listener *kafka = conn_listener(c);
	if (!c->peer.host[0])
		snprintf(c->peer.host, sizeof(c->peer.host), "127.0.0.1");
	c->local.port = kafka->port;
	snprintf(c->local.host, sizeof(c->local.host), "%s", kafka->options.host);
	if (!c->local.host[0] || strcmp(c->local.host, "0.0.0.0") == 0 ||
	    strcmp(c->local.host, "::") == 0)
		snprintf(c->local.host, sizeof(c->local.host), "127.0.0.1");
}

static void on_rested(struct loop_timer *timer)
{
	struct conn *c = CONTAINER_OF(timer, struct conn, rest);
	c->resting = false;
	c->active_ns = c->frame_ns = loop_now_ns(c->broker->loop);
	conn_wake(c);
}

void conn_rest(struct conn *c, int64_t until_ns)
{
	if (c->closing || (c->resting && c->rest.due_ns >= until_ns))
		return;
	c->resting = true;
	loop_timer_set(c->broker->loop, &c->rest, until_ns);
}

enum err conn_open(struct listener *l, int fd)
{
	struct broker *b = l->broker;
	struct conn *c = mem_calloc(1, sizeof(*c));
	if (!c)
		return ERR_NOMEM;
	c->broker = b;
	c->listener = l;
	c->fd = fd;
	c->admitted = l->options.protocol == BROKER_PLAINTEXT;
	if (broker_protocol_tls(l->options.protocol) && conn_tls_open(c) != ERR_OK) {
		mem_free(c);
		return ERR_NOMEM;
	}
	c->active_ns = c->opened_ns = loop_now_ns(b->loop);
	list_init(&c->requests);
	list_init(&c->produces);
	list_node_init(&c->node);
	list_node_init(&c->hungry);
	list_node_init(&c->crowded);
	loop_timer_init(&c->rest, on_rested);
	list_node_init(&c->stranger);
	read_addresses(c);
	int64_t wait_ns = 0;
	bool kafka = conn_framing(c) == SP_NONE && c->peer.host[0];
	enum err err =
	    kafka ? quota_connect(b->quotas, str_of(c->peer.host), c->opened_ns, &wait_ns) : ERR_OK;
	if (err != ERR_OK || admission_enter(c) != ERR_OK) {
		conn_tls_free(c->tls);
		mem_free(c);
		return ERR_LIMIT;
	}
	list_push_back(&b->conns, &c->node);
	b->conn_count++;
	metric_set(METRIC_CONNECTIONS, b->conn_count);
	if (wait_ns > 0)
		conn_rest(c, c->opened_ns + wait_ns);
	conn_wake(c);
	return ERR_OK;
}

/* Requests that wait are told; those behind a turn that never comes are ended here. */
static void tell_closed(struct conn *c)
{
	LIST_EACH (&c->requests, n, tmp) {
		struct request *req = request_of(n);
		if (req->answered)
			continue;
		if (req->turn) {
			req->turn = NULL;
			request_end_silently(req);
		} else if (req->closed) {
			void (*closed)(struct request *) = req->closed;
			req->closed = NULL;
			closed(req);
		}
	}
}

void conn_close(struct conn *c, enum err why, const char *reason)
{
	loop_assert_owner(c->broker->loop);
	if (c->closing)
		return;
	c->closing = true;
	/* a client that goes away is no event: it may do so at any time */
	if (why != ERR_OK && why != ERR_CLOSED && why != ERR_EOF && why != ERR_CANCELLED &&
	    why != ERR_IO) {
		char quoted[400];
		diag(DIAG_WARN, "kafka_connection_closed",
		    "peer=%s:%u err=%s reason=\"%s\" cause=%s", c->peer.host, c->peer.port,
		    err_name(why), reason, diag_quote(quoted, sizeof(quoted), str_of(err_chain())));
	}
	err_clear();
	list_remove(&c->hungry);
	list_remove(&c->crowded);
	loop_timer_cancel(c->broker->loop, &c->rest);
	admission_known(c); /* it makes no room by going */
	conn_tls_close(c);
	if (c->receiving)
		io_cancel(c->broker->io, &c->recv);
	if (c->sending)
		io_cancel(c->broker->io, &c->send);
	tell_closed(c);
	conn_wake(c);
}
