/* SPDX-License-Identifier: Apache-2.0 */
/* See conn_tls.h; the states are those of tls.h. */
#include "broker/kafka/conn_tls.h"
#include "broker/auth/auth.h"
#include "broker/kafka/tls.h"

enum { PRINCIPAL_MAX = 4096 };

struct conn_tls {
	struct conn *conn;
	struct tls *tls;
	struct crypto_work work;
	bool busy;
	struct iovec space;
	uint8_t *sending;
	bool lingering, lingered; /* see linger */
	struct loop_timer linger_end;
};

static const int64_t LINGER_NS = S_NS;

static void on_handshake_done(struct crypto_work *work);
static void on_linger_end(struct loop_timer *timer);

/* ---- life cycle ------------------------------------------------------------------------------ */

enum err conn_tls_open(struct conn *c)
{
	struct conn_tls *t = mem_calloc(1, sizeof(*t));
	bool ask = c->listener->options.protocol == BROKER_SSL;
	if (!t)
		return ERR_NOMEM;
	size_t door = (size_t)(c->listener - c->broker->listeners);
	ASSERT(door < BROKER_LISTENERS_MAX && c->broker->tls[door] && !c->admitted);
	t->conn = c;
	list_node_init(&t->work.node);
	loop_timer_init(&t->linger_end, on_linger_end);
	enum err err = tls_new(c->broker->tls[door], ask, &t->tls);
	if (err != ERR_OK) {
		mem_free(t);
		return err;
	}
	c->tls = t;
	return ERR_OK;
}

void conn_tls_free(struct conn_tls *t)
{
	if (!t)
		return;
	ASSERT(!t->busy);
	loop_timer_cancel(t->conn->broker->loop, &t->linger_end);
	tls_free(t->tls);
	mem_free(t->sending);
	mem_free(t);
}

bool conn_tls_busy(const struct conn *c)
{
	return c->tls && c->tls->busy;
}

void conn_tls_close(struct conn *c)
{
	if (conn_tls_busy(c) && crypto_withdraw(&c->tls->work))
		c->tls->busy = false;
}

/* What there is to say to the client is said, then the connection goes. */
static void fail(struct conn *c)
{
	char reason[400];
	const char *text = tls_failure(c->tls->tls);
	diag(DIAG_WARN, "kafka_tls_failed", "peer=%s:%u reason=%s", c->peer.host, c->peer.port,
	    diag_quote(reason, sizeof(reason), str_of(text)));
	metric_add(METRIC_TLS_FAILURES, 1);
	c->last = true;
	conn_wake(c);
}

/* ---- handshake ------------------------------------------------------------------------------- */

static void run_handshake(struct crypto_work *work)
{
	struct conn_tls *t = CONTAINER_OF(work, struct conn_tls, work);
	tls_handshake(t->tls);
}

static void start_handshake(struct conn *c)
{
	struct conn_tls *t = c->tls;
	t->busy = true;
	t->work.run = run_handshake;
	t->work.done = on_handshake_done;
	crypto_submit(&c->broker->crypto, str_of(c->peer.host), STR(""), &t->work);
}

/* At an SSL listener the certificate says who the client is, if it sent one. */
static enum err admit(struct conn *c)
{
	struct writer w;
	bool sent = false;
	if (c->listener->options.protocol != BROKER_SSL)
		return ERR_OK; /* SASL asks */
	writer_init(&w, PRINCIPAL_MAX);
	write_cstr(&w, "User:");
	enum err err = tls_peer(c->tls->tls, &w, &sent);
	if (err == ERR_OK && sent) {
		c->user = mem_strdup(bytes_str(writer_bytes(&w)));
		err = c->user ? w.err : ERR_NOMEM;
		if (err == ERR_OK && auth_is_reserved(str_of(c->user)))
			err = err_note(ERR_UNAUTHORIZED, "nobody comes in as %s", c->user);
	}
	writer_release(&w);
	c->admitted = err == ERR_OK;
	if (c->admitted)
		admission_known(c);
	return err;
}

static void on_handshake_done(struct crypto_work *work)
{
	struct conn_tls *t = CONTAINER_OF(work, struct conn_tls, work);
	struct conn *c = t->conn;
	t->busy = false;
	conn_wake(c);
	if (c->closing)
		return;
	err_clear();
	if (work->err != ERR_OK)
		conn_close(c, work->err, "no room for a TLS handshake");
	else if (tls_state(t->tls) == TLS_FAILED)
		fail(c);
	else if (tls_state(t->tls) == TLS_OPEN) {
		enum err err = admit(c);
		metric_add(METRIC_TLS_HANDSHAKES, 1);
		if (err != ERR_OK)
			conn_close(c, err, "certificate");
	}
}

/* ---- receiving ------------------------------------------------------------------------------- */

static void on_received(struct io_req *io)
{
	struct conn *c = CONTAINER_OF(io, struct conn, recv);
	loop_assert_owner(c->broker->loop);
	c->receiving = false;
	if (io->err != ERR_OK) {
		conn_close(c, io->err, "receive failed");
	} else if (io->result == 0) {
		conn_close(c, c->frame.ptr ? ERR_EOF : ERR_OK, "closed by the client");
	} else {
		conn_heard(c);
		tls_received(c->tls->tls, (size_t)io->result);
	}
	conn_wake(c);
}

static void receive(struct conn *c)
{
	struct conn_tls *t = c->tls;
	t->space = tls_space(t->tls);
	if (t->space.iov_len == 0) {
		conn_close(c, ERR_NOMEM, "no memory to receive");
		return;
	}
	c->receiving = true;
	c->recv = (struct io_req){
	    .op = IO_RECV, .fd = c->fd, .iov = &t->space, .iov_count = 1, .done = on_received};
	io_submit(c->broker->io, &c->recv);
}

/* True when plain bytes came. */
static bool decrypt(struct conn *c)
{
	struct iovec places[2];
	int count;
	conn_places(c, places, &count);
	if (count == 0)
		return false;
	size_t got = tls_read(c->tls->tls, places[0].iov_base, places[0].iov_len);
	if (got == 0)
		return false;
	conn_came(c, got);
	conn_parse(c);
	return true;
}

void conn_tls_receive(struct conn *c)
{
	struct conn_tls *t = c->tls;
	/* while more is being received, nothing is left to decrypt */
	while (!c->receiving && !conn_paused(c) && !list_linked(&c->hungry)) {
		enum tls_state state = tls_state(t->tls);
		if (state == TLS_HANDSHAKE && tls_has_input(t->tls)) {
			start_handshake(c);
			return;
		}
		if (state == TLS_OPEN && decrypt(c))
			continue;
		if (tls_state(t->tls) == TLS_FAILED)
			fail(c);
		else if (tls_state(t->tls) == TLS_ENDED)
			conn_close(c, ERR_OK, "ended by the client");
		else if (!c->closing && !list_linked(&c->hungry) && !tls_has_input(t->tls))
			receive(c);
		return;
	}
}

/* ---- sending --------------------------------------------------------------------------------- */

bool conn_tls_pending(const struct conn *c)
{
	return c->tls && tls_pending(c->tls->tls) > 0;
}

enum err conn_tls_seal(struct conn *c, struct iovec *iov, int count, int *ret_count)
{
	struct conn_tls *t = c->tls;
	ASSERT(!t->sending && !t->busy);
	for (int i = 0; i < count; i++)
		TRY(tls_write(t->tls, bytes_of(iov[i].iov_base, iov[i].iov_len)));
	size_t len = 0;
	t->sending = tls_take(t->tls, &len);
	iov[0] = (struct iovec){t->sending, len};
	*ret_count = t->sending ? 1 : 0;
	return ERR_OK;
}

void conn_tls_sent(struct conn *c)
{
	mem_free(c->tls->sending);
	c->tls->sending = NULL;
}

static void on_linger_end(struct loop_timer *timer)
{
	struct conn_tls *t = CONTAINER_OF(timer, struct conn_tls, linger_end);
	t->lingered = true;
	conn_wake(t->conn);
}

static void on_discarded(struct io_req *io)
{
	struct conn *c = CONTAINER_OF(io, struct conn, recv);
	c->receiving = false;
	if (io->err != ERR_OK || io->result == 0)
		c->tls->lingered = true;
	conn_wake(c);
}

/*
 * Closed with bytes unread, the connection would be reset, and the reset would take the alert away
 * from a client that has not read it yet. So what still comes is thrown away until the client ends
 * it, for a second at most. True when that is over.
 */
static bool linger(struct conn *c)
{
	struct conn_tls *t = c->tls;
	if (t->lingered || c->closing)
		return true;
	if (!t->lingering)
		loop_timer_set(
		    c->broker->loop, &t->linger_end, loop_now_ns(c->broker->loop) + LINGER_NS);
	t->lingering = true;
	if (!c->receiving) {
		t->space =
		    (struct iovec){c->head, CONN_HEAD_BYTES}; /* nothing is parsed any more */
		c->receiving = true;
		c->recv = (struct io_req){.op = IO_RECV,
		    .fd = c->fd,
		    .iov = &t->space,
		    .iov_count = 1,
		    .done = on_discarded};
		io_submit(c->broker->io, &c->recv);
	}
	return false;
}

bool conn_tls_finished(struct conn *c)
{
	if (c->tls->busy)
		return false;
	tls_shutdown(c->tls->tls);
	if (!c->sending && tls_pending(c->tls->tls) == 0)
		return tls_state(c->tls->tls) != TLS_FAILED || linger(c);
	if (!c->sending)
		conn_wake(c); /* to send it */
	return false;
}
