/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/kafka_server.h"
#include "log/partition.h"
#include "test/lib/patience.h"
#include "test/lib/tempdir.h"
#include "test/lib/test.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* ---- server ---------------------------------------------------------------------------------- */

static enum err open_all(struct kafka_server *s)
{
	struct log_options log_options = {
	    .data_dir = s->dir, .journal_bytes = JOURNAL_BYTES_MIN * 4};
	TRY(io_new(s->backend, &s->io));
	TRY(loop_new(s->io, 2, &s->loop));
	TRY(log_open(s->loop, &log_options, &s->log));
	TRY(broker_open(s->loop, s->log, &s->options, &s->broker));
	s->port = broker_port(s->broker, 0);
	return ERR_OK;
}

static void serve(void *arg)
{
	struct kafka_server *s = arg;
	s->err = open_all(s);
	if (s->err != ERR_OK)
		snprintf(s->why, sizeof(s->why), "%s: %s", err_name(s->err), err_chain());
	gate_open(&s->ready);
	if (s->err != ERR_OK)
		return;
	ASSERT(loop_run(s->loop) == ERR_OK);
	broker_close(s->broker);
	log_close(s->log);
}

void kafka_server_start(
    struct kafka_server *s, const char *backend, const struct broker_options *options)
{
	static const struct broker_options defaults;
	char *dir = s->dir ? s->dir : tempdir_new();
	*s = (struct kafka_server){.backend = backend, .options = options ? *options : defaults};
	s->dir = dir;
	gate_init(&s->ready);
	assert_int_equal(thread_start(&s->thread, "kafka-server", serve, s), ERR_OK);
	gate_wait(&s->ready);
	gate_release(&s->ready);
	if (s->err != ERR_OK)
		fail_msg("the server did not start: %s", s->why);
}

void kafka_server_stop(struct kafka_server *s)
{
	if (!s->loop)
		return;
	turn_watch_drop(s->loop);
	loop_stop(s->loop);
	thread_join(&s->thread);
	loop_free(s->loop);
	io_free(s->io);
	s->loop = NULL;
}

void kafka_server_remove(struct kafka_server *s)
{
	kafka_server_stop(s);
	tempdir_remove(s->dir);
	s->dir = NULL;
}

static void read_busy(void *arg)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	*(int64_t *)arg = (int64_t)t.tv_sec * S_NS + t.tv_nsec;
}

int64_t kafka_server_busy_ns(const struct kafka_server *s)
{
	int64_t busy_ns;
	loop_call(s->loop, read_busy, &busy_ns);
	return busy_ns;
}

struct damage_call {
	struct log *log;
	const char *topic;
	int32_t partition;
	bool damaged;
};

static void set_damaged(void *ctx)
{
	const struct damage_call *d = ctx;
	const struct log_topic *t = log_topic_find(d->log, str_of(d->topic));
	log_partition_find(d->log, t, d->partition)->damaged = d->damaged;
}

void kafka_server_damage(struct kafka_server *s, const char *topic, int32_t partition, bool damaged)
{
	struct damage_call d = {s->log, topic, partition, damaged};
	loop_call(s->loop, set_damaged, &d);
}

/* ---- client ---------------------------------------------------------------------------------- */

/* What it may receive before it reads, as the option of a socket; 0: as usual. */
static void connect_to(struct kafka_client *c, const struct kafka_server *s, int buffer)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(s->port)};
	struct timeval timeout = {PATIENCE_NS / S_NS, 0};
	int on = 1;
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	*c = (struct kafka_client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	assert_true(c->fd >= 0);
	setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (buffer > 0)
		setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
	if (connect(c->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		fail_msg("connect: %s", strerror(errno));
	arena_init(&c->arena, GIB);
}

void kafka_connect(struct kafka_client *c, const struct kafka_server *s)
{
	connect_to(c, s, 0);
}

void kafka_connect_small(struct kafka_client *c, const struct kafka_server *s)
{
	connect_to(c, s, 4096);
}

void kafka_disconnect(struct kafka_client *c)
{
	close(c->fd);
	c->fd = -1;
	arena_release(&c->arena);
}

void kafka_client_clear(struct kafka_client *c)
{
	arena_clear(&c->arena);
}

void kafka_send_raw(struct kafka_client *c, struct bytes b)
{
	while (b.len > 0) {
		ssize_t n = send(c->fd, b.ptr, b.len, MSG_NOSIGNAL);
		if (n < 0)
			fail_msg("send: %s", strerror(errno));
		b = bytes_slice(b, (size_t)n, b.len);
	}
}

void kafka_send(struct kafka_client *c, int16_t key, int16_t version, const void *body)
{
	const struct msg_api *api = msg_api_find(key);
	struct msg_form form = msg_request_form(api, version);
	struct msg_out out;
	msg_out_init(&out, 256 * MIB);
	out.copy = true;
	write_u32_be(&out.w, 0);
	write_u16_be(&out.w, (uint16_t)key);
	write_u16_be(&out.w, (uint16_t)version);
	write_u32_be(&out.w, (uint32_t)++c->correlation_id);
	write_u16_be(&out.w, 4);
	write_cstr(&out.w, "test");
	if (form.flexible)
		write_u8(&out.w, 0);
	assert_int_equal(msg_encode(form, body, &out), ERR_OK);
	writer_patch_u32_be(&out.w, 0, (uint32_t)(out.w.len - 4));
	kafka_send_raw(c, writer_bytes(&out.w));
	msg_out_release(&out);
}

void kafka_receive_raw(struct kafka_client *c, uint8_t *at, size_t len)
{
	while (len > 0) {
		ssize_t n = recv(c->fd, at, len, 0);
		if (n < 0 && errno == EINTR)
			continue; /* it was stopped for a while */
		if (n <= 0)
			fail_msg("recv: %s", n < 0 ? strerror(errno) : "closed by the server");
		at += n;
		len -= (size_t)n;
	}
}

void *kafka_receive(struct kafka_client *c, int16_t key, int16_t version)
{
	const struct msg_api *api = msg_api_find(key);
	struct msg_form form = msg_response_form(api, version);
	uint8_t prefix[4];
	kafka_receive_raw(c, prefix, sizeof(prefix));
	uint32_t len = get_u32_be(prefix);
	assert_true(len >= 4 && len < 256 * MIB);
	uint8_t *frame = arena_alloc(&c->arena, len);
	void *message = arena_calloc(&c->arena, 1, api->response->size);
	assert_non_null(frame);
	kafka_receive_raw(c, frame, len);
	struct reader r = reader_of(bytes_of(frame, len));
	c->received_id = read_i32_be(&r);
	if (form.flexible && key != API_API_VERSIONS)
		assert_int_equal(read_u8(&r), 0);
	enum err err = msg_decode(form, &r, &c->arena, message);
	if (err != ERR_OK)
		fail_msg("%s version %d: %s", api->name, version, err_chain());
	assert_int_equal(reader_left(&r), 0);
	return message;
}

void *kafka_call(struct kafka_client *c, int16_t key, int16_t version, const void *body)
{
	kafka_send(c, key, version, body);
	void *response = kafka_receive(c, key, version);
	assert_int_equal(c->received_id, c->correlation_id);
	return response;
}

bool kafka_readable(struct kafka_client *c, int timeout_ms)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};
	return poll(&p, 1, timeout_ms) > 0;
}

bool kafka_is_closed(struct kafka_client *c)
{
	uint8_t byte;
	if (!kafka_readable(c, PATIENCE_MS))
		return false;
	ssize_t n = recv(c->fd, &byte, 1, 0);
	return n == 0 || (n < 0 && errno == ECONNRESET);
}
