/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A subscriber: OPEN -> (close_subscriber) CLOSING -> (reap) freed. It is owned by its receive and
 * its send; the last one to come back frees it.
 */
#include "broker/kafka/server.h"

struct feed_message {
	struct mail mail; /* until it has been queued */
	struct broker *broker;
	uint32_t refs;
	size_t len;
	uint8_t bytes[];
};

struct subscriber {
	struct list_node node;
	struct listener *listener;
	int fd;
	bool closing, receiving, sending, greeting_sent, greeted;
	size_t first, count; /* of the queue, a ring */
	size_t queued_bytes;
	int64_t send_ns;
	struct io_req recv, send;
	struct iovec recv_iov, send_iov[2];
	size_t got; /* of the greeting */
	uint8_t in[SP_GREETING_BYTES], prefix[SP_LENGTH_BYTES_MAX];
	struct feed_message *queue[FEED_QUEUE];
};

static void message_unref(struct feed_message *m)
{
	ASSERT(m->refs > 0);
	if (--m->refs == 0)
		mem_free(m);
}

static struct feed_message *queue_pop(struct subscriber *s)
{
	ASSERT(s->count > 0);
	struct feed_message *m = s->queue[s->first];
	s->first = (s->first + 1) % FEED_QUEUE;
	s->count--;
	s->queued_bytes -= m->len;
	return m;
}

/* ---- end ------------------------------------------------------------------------------------- */

static void reap(struct subscriber *s)
{
	struct broker *b = s->listener->broker;
	if (!s->closing || s->receiving || s->sending)
		return;
	while (s->count > 0)
		message_unref(queue_pop(s));
	list_remove(&s->node);
	enum err err = io_close(b->io, s->fd); /* nothing can be done about a failure */
	(void)err;
	mem_free(s);
}

static void close_subscriber(struct subscriber *s, const char *reason)
{
	struct broker *b = s->listener->broker;
	if (s->closing)
		return;
	s->closing = true;
	if (reason)
		diag(DIAG_WARN, "feed_closed", "reason=\"%s\"", reason);
	if (s->greeted)
		shared_add(&b->feed.count, (uint64_t)-1);
	if (s->receiving)
		io_cancel(b->io, &s->recv);
	if (s->sending)
		io_cancel(b->io, &s->send);
}

/* ---- sending --------------------------------------------------------------------------------- */

static void send_next(struct subscriber *s);

static void on_sent(struct io_req *io)
{
	struct subscriber *s = CONTAINER_OF(io, struct subscriber, send);
	s->sending = false;
	if (!s->greeting_sent)
		s->greeting_sent = true;
	else
		message_unref(queue_pop(s));
	if (io->err != ERR_OK) {
		err_clear();
		close_subscriber(s, NULL);
	}
	send_next(s);
	reap(s);
}

static void send_next(struct subscriber *s)
{
	struct broker *b = s->listener->broker;
	int pieces = 1;
	if (s->closing || s->sending || (s->greeting_sent && s->count == 0))
		return;
	if (!s->greeting_sent) {
		s->send_iov[0] = (struct iovec){sp_greeting(SP_PUB), SP_GREETING_BYTES};
	} else {
		struct feed_message *m = s->queue[s->first];
		size_t prefix = sp_length_put(s->prefix, s->listener->framing, m->len);
		s->send_iov[0] = (struct iovec){s->prefix, prefix};
		s->send_iov[pieces++] = (struct iovec){m->bytes, m->len};
	}
	s->sending = true;
	s->send_ns = loop_now_ns(b->loop);
	s->send = (struct io_req){
	    .op = IO_SEND, .fd = s->fd, .iov = s->send_iov, .iov_count = pieces, .done = on_sent};
	io_submit(b->io, &s->send);
}

/* ---- receiving: a greeting, then nothing but the end ----------------------------------------- */

static void receive(struct subscriber *s);

static void on_received(struct io_req *io)
{
	struct subscriber *s = CONTAINER_OF(io, struct subscriber, recv);
	s->receiving = false;
	if (io->err != ERR_OK || io->result == 0) {
		err_clear();
		close_subscriber(s, NULL);
	} else if (s->greeted) {
		close_subscriber(s, "a subscriber has nothing to say");
	} else {
		s->got += (size_t)io->result;
		bool whole = s->got == SP_GREETING_BYTES;
		if (whole && !sp_greeting_is(bytes_of(s->in, s->got), SP_SUB)) {
			close_subscriber(s, "it does not speak SUB");
		} else if (whole && !s->closing) {
			s->greeted = true;
			shared_add(&s->listener->broker->feed.count, 1);
		}
		receive(s);
	}
	reap(s);
}

static void receive(struct subscriber *s)
{
	struct broker *b = s->listener->broker;
	if (s->closing)
		return;
	s->recv_iov = s->greeted ? (struct iovec){s->in, 1}
	                         : (struct iovec){s->in + s->got, SP_GREETING_BYTES - s->got};
	s->receiving = true;
	s->recv = (struct io_req){
	    .op = IO_RECV, .fd = s->fd, .iov = &s->recv_iov, .iov_count = 1, .done = on_received};
	io_submit(b->io, &s->recv);
}

enum err feed_open(struct listener *l, int fd)
{
	struct broker *b = l->broker;
	size_t count = 0;
	LIST_EACH (&b->feed.subscribers, n, tmp)
		count++;
	if (count >= FEED_SUBSCRIBERS_MAX) {
		diag(DIAG_WARN, "feed_refused", "reason=subscribers_max limit=%d",
		    FEED_SUBSCRIBERS_MAX);
		return ERR_LIMIT;
	}
	struct subscriber *s = mem_calloc(1, sizeof(*s));
	if (!s)
		return ERR_NOMEM;
	s->listener = l;
	s->fd = fd;
	s->send_ns = loop_now_ns(b->loop);
	list_push_back(&b->feed.subscribers, &s->node);
	send_next(s);
	receive(s);
	return ERR_OK;
}

void feed_sweep(struct broker *b, int64_t now_ns)
{
	LIST_EACH (&b->feed.subscribers, n, tmp) {
		struct subscriber *s = CONTAINER_OF(n, struct subscriber, node);
		if ((s->sending || !s->greeted) && now_ns - s->send_ns > b->options.stall_ns)
			close_subscriber(s, "does not read what it subscribed to");
	}
}

void feed_close_all(struct broker *b)
{
	LIST_EACH (&b->feed.subscribers, n, tmp)
		close_subscriber(CONTAINER_OF(n, struct subscriber, node), NULL);
}

bool feed_is_busy(const struct broker *b)
{
	return !list_empty(&b->feed.subscribers) || shared_load(&b->feed.pending) > 0;
}

/* ---- messages -------------------------------------------------------------------------------- */

static void queue_push(struct subscriber *s, struct feed_message *m)
{
	if (s->closing || !s->greeted)
		return;
	if (s->count == FEED_QUEUE ||
	    (s->count > 0 && s->queued_bytes + m->len > FEED_QUEUE_BYTES)) {
		metric_add(METRIC_FEED_DROPPED, 1);
		return;
	}
	s->queue[(s->first + s->count++) % FEED_QUEUE] = m;
	s->queued_bytes += m->len;
	m->refs++;
	metric_add(METRIC_FEED_MESSAGES, 1);
	send_next(s);
}

static void deliver(struct mail *mail)
{
	struct feed_message *m = CONTAINER_OF(mail, struct feed_message, mail);
	struct broker *b = m->broker;
	LIST_EACH (&b->feed.subscribers, n, tmp)
		queue_push(CONTAINER_OF(n, struct subscriber, node), m);
	shared_add(&b->feed.pending, (uint64_t)-1);
	message_unref(m);
}

bool broker_has_subscribers(const struct broker *b)
{
	return shared_load(&b->feed.count) > 0;
}

void broker_publish(struct broker *b, struct str topic, struct bytes payload)
{
	size_t len = topic.len + 1 + payload.len;
	if (!broker_has_subscribers(b))
		return;
	struct feed_message *m =
	    shared_load(&b->feed.pending) < FEED_PENDING ? mem_alloc(sizeof(*m) + len) : NULL;
	if (!m) {
		metric_add(METRIC_FEED_DROPPED, 1);
		return;
	}
	*m = (struct feed_message){.mail.run = deliver, .broker = b, .refs = 1, .len = len};
	memcpy(m->bytes, topic.ptr, topic.len);
	m->bytes[topic.len] = 0;
	if (payload.len > 0)
		memcpy(m->bytes + topic.len + 1, payload.ptr, payload.len);
	shared_add(&b->feed.pending, 1);
	loop_post(b->loop, &m->mail);
}
