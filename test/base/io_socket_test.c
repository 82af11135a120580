/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening, accepting, receiving and sending, on each backend; the client's end is in the same
 * test.
 */
#include "test/lib/io_fixture.h"
#include "test/lib/patience.h"

#include "test/lib/connect.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct pair {
	int listener;
	int server; /* accepted */
	int client;
	uint16_t port;
};

static int accept_one(struct io_fixture *f, int listener)
{
	struct io_call c;
	io_call_init(&c, IO_ACCEPT, listener, NULL, 0);
	assert_ok(io_call_run(f, &c));
	assert_true(c.req.result >= 0);
	return (int)c.req.result;
}

static void open_pair(struct io_fixture *f, struct pair *p)
{
	assert_ok(io_listen(f->io, "127.0.0.1", 0, &p->listener, &p->port));
	assert_true(p->port > 0);
	assert_ok(test_connect(f->io, p->port, &p->client));
	p->server = accept_one(f, p->listener);
}

static void close_pair(struct io_fixture *f, struct pair *p)
{
	if (p->client >= 0)
		assert_ok(io_close(f->io, p->client));
	if (p->server >= 0)
		assert_ok(io_close(f->io, p->server));
	assert_ok(io_close(f->io, p->listener));
}

static void send_text(struct io_fixture *f, int fd, const char *text)
{
	char buf[64];
	struct io_call c;
	size_t len = strlen(text);
	memcpy(buf, text, len);
	io_call_init(&c, IO_SEND, fd, buf, len);
	assert_ok(io_call_run(f, &c));
	assert_int_equal(c.req.result, len);
}

/* The rest of `text` arrives, in however many pieces, after `got` bytes have. */
static void recv_rest(struct io_fixture *f, int fd, const char *text, size_t got)
{
	while (got < strlen(text)) {
		char buf[64];
		struct io_call c;
		io_call_init(&c, IO_RECV, fd, buf, sizeof(buf));
		assert_ok(io_call_run(f, &c));
		assert_in_range(c.req.result, 1, strlen(text) - got);
		assert_memory_equal(buf, text + got, (size_t)c.req.result);
		got += (size_t)c.req.result;
	}
}

static void what_is_sent_arrives_in_both_directions(struct io_fixture *f)
{
	struct pair p;
	open_pair(f, &p);
	char buf[64];
	struct io_call c;
	send_text(f, p.client, "ping");
	recv_rest(f, p.server, "ping", 0);
	/* received before it is sent */
	io_call_init(&c, IO_RECV, p.client, buf, sizeof(buf));
	io_submit(f->io, &c.req);
	io_settle(f);
	assert_int_equal(c.done, 0);
	send_text(f, p.server, "pong!");
	io_call_wait(f, &c);
	assert_ok(c.req.err);
	assert_in_range(c.req.result, 1, 5);
	assert_memory_equal(buf, "pong!", (size_t)c.req.result);
	recv_rest(f, p.client, "pong!", (size_t)c.req.result);
	close_pair(f, &p);
}

static void an_accept_waits_for_its_client(struct io_fixture *f)
{
	struct pair p;
	assert_ok(io_listen(f->io, "127.0.0.1", 0, &p.listener, &p.port));
	struct io_call c;
	io_call_init(&c, IO_ACCEPT, p.listener, NULL, 0);
	io_submit(f->io, &c.req);
	io_settle(f);
	assert_int_equal(c.done, 0);
	assert_ok(test_connect(f->io, p.port, &p.client));
	io_call_wait(f, &c);
	assert_ok(c.req.err);
	p.server = (int)c.req.result;
	send_text(f, p.client, "x");
	close_pair(f, &p);
}

static void a_closed_peer_is_an_empty_receive(struct io_fixture *f)
{
	struct pair p;
	open_pair(f, &p);
	char buf[8];
	struct io_call c;
	io_call_init(&c, IO_RECV, p.server, buf, sizeof(buf));
	io_submit(f->io, &c.req);
	io_settle(f);
	assert_ok(io_close(f->io, p.client));
	p.client = -1;
	io_call_wait(f, &c);
	assert_ok(c.req.err);
	assert_int_equal(c.req.result, 0);
	close_pair(f, &p);
}

static void a_send_to_a_closed_peer_fails_and_kills_nobody(struct io_fixture *f)
{
	struct pair p;
	open_pair(f, &p);
	assert_ok(io_close(f->io, p.client));
	p.client = -1;
	static uint8_t block[65536];
	struct iovec pieces[2] = {{block, 100}, {block, 1000}};
	enum err e = ERR_OK;
	/* the first may be taken before the reset arrives */
	for (int i = 0; i < 10 && e == ERR_OK; i++) {
		struct io_call c;
		io_call_init(&c, IO_SEND, p.server, block, sizeof(block));
		if (i % 2) {
			c.req.iov = pieces;
			c.req.iov_count = 2;
		}
		e = io_call_run(f, &c);
		io_settle(f);
	}
	assert_int_equal(e, ERR_CLOSED);
	close_pair(f, &p);
}

static void a_large_send_waits_for_its_reader_and_arrives_whole(struct io_fixture *f)
{
	struct pair p;
	open_pair(f, &p);
	size_t len = 12 * MIB;
	uint8_t *data = mem_alloc(len), *back = mem_alloc(len);
	assert_true(data && back);
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i >> 12 ^ i);
	/* pieces of uneven length, so that cuts fall inside them */
	struct iovec iov[100];
	size_t at = 0;
	for (size_t i = 0; i < 100; i++) {
		size_t piece = i == 99 ? len - at : i * 997 + 1;
		iov[i] = (struct iovec){data + at, piece};
		at += piece;
	}
	struct io_call send;
	io_call_init(&send, IO_SEND, p.server, NULL, 0);
	send.req.iov = iov;
	send.req.iov_count = 100;
	io_submit(f->io, &send.req);
	io_settle(f);
	assert_int_equal(send.done, 0);
	for (size_t got = 0; got < len;) {
		struct io_call recv;
		size_t part = len - got < 100000 ? len - got : 100000;
		io_call_init(&recv, IO_RECV, p.client, back + got, part);
		assert_ok(io_call_run(f, &recv));
		assert_true(recv.req.result > 0);
		got += (size_t)recv.req.result;
	}
	io_call_wait(f, &send);
	assert_ok(send.req.err);
	assert_true(send.req.result == (int64_t)len);
	assert_true(memcmp(data, back, len) == 0);
	mem_free(data);
	mem_free(back);
	close_pair(f, &p);
}

static void sending_and_receiving_on_one_socket_do_not_wait_for_each_other(struct io_fixture *f)
{
	struct pair p;
	open_pair(f, &p);
	char in[8];
	uint8_t *big = mem_calloc(1, 16 * MIB);
	assert_non_null(big);
	struct io_call recv, send;
	io_call_init(&recv, IO_RECV, p.server, in, sizeof(in));
	io_call_init(&send, IO_SEND, p.server, big, 16 * MIB);
	assert_int_equal(io_untaken(f->io, p.server), 0);
	io_submit(f->io, &send.req);
	io_submit(f->io, &recv.req);
	io_settle(f);
	assert_true(io_untaken(f->io, p.server) > 0);
	assert_int_equal(io_untaken(f->io, -1), SIZE_MAX);
	send_text(f, p.client, "go on");
	io_call_wait(f, &recv);
	assert_ok(recv.req.err);
	recv_rest(f, p.server, "go on", (size_t)recv.req.result);
	assert_int_equal(send.done, 0);
	io_cancel(f->io, &send.req);
	io_call_wait(f, &send);
	assert_int_equal(send.req.err, ERR_CANCELLED);
	mem_free(big);
	close_pair(f, &p);
}

static void waiting_requests_can_be_cancelled_and_the_socket_goes_on(struct io_fixture *f)
{
	struct pair p;
	open_pair(f, &p);
	char buf[8];
	struct io_call recv, accept;
	for (int i = 0; i < 3; i++) {
		io_call_init(&recv, IO_RECV, p.server, buf, sizeof(buf));
		io_call_init(&accept, IO_ACCEPT, p.listener, NULL, 0);
		io_submit(f->io, &recv.req);
		io_submit(f->io, &accept.req);
		if (i > 0)
			io_settle(f);
		io_cancel(f->io, &recv.req);
		io_cancel(f->io, &accept.req);
		io_call_wait(f, &recv);
		io_call_wait(f, &accept);
		assert_int_equal(recv.req.err, ERR_CANCELLED);
		assert_int_equal(accept.req.err, ERR_CANCELLED);
	}
	io_settle(f);
	assert_int_equal(recv.done, 1);
	send_text(f, p.client, "still");
	io_call_init(&recv, IO_RECV, p.server, buf, sizeof(buf));
	assert_ok(io_call_run(f, &recv));
	recv_rest(f, p.server, "still", (size_t)recv.req.result);
	/* cancelling what is done changes nothing */
	io_cancel(f->io, &recv.req);
	io_settle(f);
	assert_int_equal(recv.done, 1);
	assert_ok(recv.req.err);
	close_pair(f, &p);
}

enum { IDLE = 300 };

static void many_idle_connections_wait_and_each_gets_its_own_bytes(struct io_fixture *f)
{
	static struct pair pairs[IDLE];
	static struct io_call recvs[IDLE];
	static char bufs[IDLE][4];
	uint16_t port;
	int listener;
	assert_ok(io_listen(f->io, "127.0.0.1", 0, &listener, &port));
	for (size_t i = 0; i < IDLE; i++) {
		assert_ok(test_connect(f->io, port, &pairs[i].client));
		pairs[i].server = accept_one(f, listener);
		io_call_init(&recvs[i], IO_RECV, pairs[i].server, bufs[i], 4);
		io_submit(f->io, &recvs[i].req);
	}
	io_settle(f);
	for (size_t i = 0; i < IDLE; i++)
		assert_int_equal(recvs[i].done, 0);
	for (size_t i = 1; i < IDLE; i += 2) {
		char text[2] = {(char)('a' + i % 26), 0};
		send_text(f, pairs[i].client, text);
		io_call_wait(f, &recvs[i]);
		assert_int_equal(recvs[i].req.result, 1);
		assert_int_equal(bufs[i][0], text[0]);
	}
	for (size_t i = 0; i < IDLE; i++) {
		if (i % 2 == 0) {
			assert_int_equal(recvs[i].done, 0);
			io_cancel(f->io, &recvs[i].req);
			io_call_wait(f, &recvs[i]);
		}
		assert_ok(io_close(f->io, pairs[i].client));
		assert_ok(io_close(f->io, pairs[i].server));
	}
	assert_ok(io_close(f->io, listener));
}

static void a_reused_descriptor_number_starts_afresh(struct io_fixture *f)
{
	/* the second connection gets the number of the first */
	struct pair p;
	open_pair(f, &p);
	for (int i = 0; i < 5; i++) {
		char buf[8];
		struct io_call c;
		io_call_init(&c, IO_RECV, p.server, buf, sizeof(buf));
		io_submit(f->io, &c.req);
		io_settle(f);
		io_cancel(f->io, &c.req);
		io_call_wait(f, &c);
		assert_ok(io_close(f->io, p.server));
		assert_ok(io_close(f->io, p.client));
		assert_ok(test_connect(f->io, p.port, &p.client));
		p.server = accept_one(f, p.listener);
		io_call_init(&c, IO_RECV, p.server, buf, sizeof(buf));
		io_submit(f->io, &c.req);
		io_settle(f);
		assert_int_equal(c.done, 0);
		send_text(f, p.client, "abc");
		io_call_wait(f, &c);
		assert_ok(c.req.err);
		recv_rest(f, p.server, "abc", (size_t)c.req.result);
	}
	close_pair(f, &p);
}

static void listening_on_a_used_port_says_address_in_use(struct io_fixture *f)
{
	int a = -1, b = -7;
	uint16_t port = 0, again = 7;
	assert_ok(io_listen(f->io, "127.0.0.1", 0, &a, &port));
	err_clear();
	assert_int_equal(io_listen(f->io, "127.0.0.1", port, &b, &again), ERR_ADDRESS_IN_USE);
	assert_non_null(strstr(err_chain(), "127.0.0.1"));
	assert_int_equal(b, -7);
	assert_int_equal(again, 7);
	assert_ok(io_close(f->io, a));
	assert_ok(io_listen(f->io, "127.0.0.1", port, &a, &again));
	assert_int_equal(again, port);
	assert_ok(io_close(f->io, a));
	err_clear();
}

static void a_port_is_free_again_after_a_connection_was_closed(struct io_fixture *f)
{
	struct pair p;
	open_pair(f, &p);
	/* the server closes first: its end stays in TIME_WAIT */
	assert_ok(io_close(f->io, p.server));
	p.server = -1;
	uint16_t port = p.port;
	close_pair(f, &p);
	assert_ok(io_listen(f->io, "127.0.0.1", port, &p.listener, &p.port));
	assert_ok(io_close(f->io, p.listener));
}

static void nobody_listens_is_a_connect_error(struct io_fixture *f)
{
	int fd = -7;
	uint16_t port = 0;
	assert_ok(io_listen(f->io, "127.0.0.1", 0, &fd, &port));
	assert_ok(io_close(f->io, fd));
	fd = -7;
	assert_int_equal(test_connect(f->io, port, &fd), ERR_CONNECT);
	assert_int_equal(fd, -7);
	err_clear();
}

static void both_ends_know_their_addresses(struct io_fixture *f)
{
	struct pair p;
	open_pair(f, &p);
	struct io_address server, client, peer;
	assert_ok(io_address(f->io, p.server, false, &server));
	assert_string_equal(server.host, "127.0.0.1");
	assert_int_equal(server.port, p.port);
	assert_ok(io_address(f->io, p.client, false, &client));
	assert_ok(io_address(f->io, p.server, true, &peer));
	assert_string_equal(peer.host, "127.0.0.1");
	assert_int_equal(peer.port, client.port);
	close_pair(f, &p);
}

static void a_host_that_does_not_exist_is_refused(struct io_fixture *f)
{
	int fd = -7;
	uint16_t port = 7;
	assert_int_not_equal(io_listen(f->io, "256.1.2.3", 0, &fd, &port), ERR_OK);
	assert_int_equal(fd, -7);
	err_clear();
}

static void all_interfaces_include_loopback(struct io_fixture *f)
{
	struct pair p;
	assert_ok(io_listen(f->io, "", 0, &p.listener, &p.port));
	assert_ok(test_connect(f->io, p.port, &p.client));
	p.server = accept_one(f, p.listener);
	struct io_address peer;
	assert_ok(io_address(f->io, p.server, true, &peer));
	assert_string_equal(peer.host, "127.0.0.1");
	send_text(f, p.server, "hi");
	close_pair(f, &p);
}

static void accepted_sockets_do_not_delay_or_leak_or_block_the_loop(struct io_fixture *f)
{
	struct pair p;
	open_pair(f, &p);
	/* the ring waits for sockets by itself, and better without the flag */
	bool flag = strcmp(f->backend, "uring") != 0;
	assert_int_equal((fcntl(p.server, F_GETFL) & O_NONBLOCK) != 0, flag);
	assert_true(fcntl(p.server, F_GETFD) & FD_CLOEXEC);
	assert_int_equal((fcntl(p.listener, F_GETFL) & O_NONBLOCK) != 0, flag);
	assert_true(fcntl(p.listener, F_GETFD) & FD_CLOEXEC);
	int nodelay = 0;
	socklen_t len = sizeof(nodelay);
	assert_int_equal(getsockopt(p.server, IPPROTO_TCP, TCP_NODELAY, &nodelay, &len), 0);
	assert_int_equal(nodelay, 1);
	close_pair(f, &p);
}

/* ---- local sockets --------------------------------------------------------------------------- */

static int connect_path(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	assert_true(strlen(path) < sizeof(sa.sun_path));
	memcpy(sa.sun_path, path, strlen(path) + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
		return fd;
	close(fd);
	return -1;
}

static void a_local_socket_is_its_user_s_and_replaces_a_dead_one(struct io_fixture *f)
{
	const char *path = io_path(f, "local");
	struct io_address address;
	struct stat st;
	uint16_t port = 1;
	int first, second;
	assert_ok(io_listen(f->io, path, 0, &first, &port));
	assert_int_equal(port, 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(io_listen(f->io, path, 0, &second, &port), ERR_ADDRESS_IN_USE);
	err_clear();
	int client = connect_path(path);
	assert_true(client >= 0);
	int server = accept_one(f, first);
	assert_ok(io_address(f->io, server, true, &address));
	assert_string_equal(address.host, "");
	assert_int_equal(address.port, 0);
	assert_ok(io_close(f->io, server));
	close(client);
	/* as if the server had been killed: its path stays */
	assert_ok(io_close(f->io, first));
	assert_ok(io_listen(f->io, path, 0, &second, &port));
	client = connect_path(path);
	assert_true(client >= 0);
	close(client);
	assert_ok(io_close(f->io, second));
	assert_ok(io_unlink(f->io, path));
}

static void a_file_or_a_long_path_is_no_local_socket(struct io_fixture *f)
{
	char path[200];
	uint16_t port;
	int fd;
	snprintf(path, sizeof(path), "%s", io_path(f, "file"));
	assert_ok(io_write_file(f->io, path, str_bytes(STR("precious"))));
	assert_int_equal(io_listen(f->io, path, 0, &fd, &port), ERR_ADDRESS_IN_USE);
	assert_int_equal(access(path, F_OK), 0);
	memset(path + 1, 'x', 150);
	path[151] = 0;
	assert_int_equal(io_listen(f->io, path, 0, &fd, &port), ERR_INVALID);
	err_clear();
}

/* ---- another thread polls -------------------------------------------------------------------- */

enum { MOVED_WRITES = 40 };
struct moved {
	struct io_fixture *f;
	struct io_call recv, accept, cancelled, writes[MOVED_WRITES];
};

static bool moved_all(const struct moved *m)
{
	unsigned done = m->recv.done + m->accept.done + m->cancelled.done;
	for (size_t i = 0; i < MOVED_WRITES; i++)
		done += m->writes[i].done;
	return done == MOVED_WRITES + 3;
}

static void poll_elsewhere(void *arg)
{
	struct moved *m = arg;
	int64_t end = io_clock_ns(m->f->io, IO_CLOCK_MONOTONIC) + PATIENCE_NS;
	ASSERT(io_poll(m->f->io, -1) == ERR_OK); /* the wake from before */
	while (!moved_all(m) && io_clock_ns(m->f->io, IO_CLOCK_MONOTONIC) < end)
		ASSERT(io_poll(m->f->io, 10 * MS_NS) == ERR_OK);
	io_detach(m->f->io);
}

static void requests_under_way_go_on_when_another_thread_polls(struct io_fixture *f)
{
	struct moved m = {.f = f};
	struct thread t = {0};
	struct pair p, other;
	char in[8] = {0}, none[8];
	static uint8_t block[65536];
	int fd, client;
	open_pair(f, &p);
	open_pair(f, &other);
	assert_ok(io_open(f->io, io_path(f, "moved"), IO_CREATE, &fd));
	io_call_init(&m.recv, IO_RECV, p.server, in, sizeof(in));
	io_call_init(&m.cancelled, IO_RECV, other.server, none, sizeof(none));
	io_call_init(&m.accept, IO_ACCEPT, p.listener, NULL, 0);
	io_submit(f->io, &m.recv.req);
	io_submit(f->io, &m.cancelled.req);
	io_submit(f->io, &m.accept.req);
	assert_ok(io_poll(f->io, 0)); /* those wait in the kernel */
	io_cancel(f->io, &m.cancelled.req);
	for (size_t i = 0; i < MOVED_WRITES; i++) {
		io_call_init(
		    &m.writes[i], i % 2 ? IO_WRITE_DURABLE : IO_WRITE, fd, block, sizeof(block));
		io_call_at(&m.writes[i], i * sizeof(block));
		io_submit(f->io, &m.writes[i].req);
		if (i == MOVED_WRITES / 2)
			assert_ok(io_poll(f->io, 0));
	}
	unsigned before = m.recv.done + m.accept.done;
	io_wake(f->io);
	io_detach(f->io);
	assert_int_equal(before, 0);
	assert_ok(thread_start(&t, "elsewhere", poll_elsewhere, &m));
	assert_int_equal(write(p.client, "moved", 5), 5);
	assert_ok(test_connect(f->io, p.port, &client));
	thread_join(&t);
	assert_true(moved_all(&m));
	assert_int_equal(m.recv.req.result, 5);
	assert_memory_equal(in, "moved", 5);
	assert_int_equal(m.cancelled.req.err, ERR_CANCELLED);
	for (size_t i = 0; i < MOVED_WRITES; i++)
		assert_int_equal(m.writes[i].req.result, sizeof(block));
	what_is_sent_arrives_in_both_directions(f); /* on this thread again */
	assert_ok(io_close(f->io, (int)m.accept.req.result));
	assert_ok(io_close(f->io, client));
	assert_ok(io_close(f->io, fd));
	close_pair(f, &p);
	close_pair(f, &other);
	err_clear();
}

int main(void)
{
	static const struct io_case cases[] = {
	    IO_CASE(what_is_sent_arrives_in_both_directions),
	    IO_CASE(an_accept_waits_for_its_client),
	    IO_CASE(a_closed_peer_is_an_empty_receive),
	    IO_CASE(a_send_to_a_closed_peer_fails_and_kills_nobody),
	    IO_CASE(a_large_send_waits_for_its_reader_and_arrives_whole),
	    IO_CASE(sending_and_receiving_on_one_socket_do_not_wait_for_each_other),
	    IO_CASE(waiting_requests_can_be_cancelled_and_the_socket_goes_on),
	    IO_CASE(many_idle_connections_wait_and_each_gets_its_own_bytes),
	    IO_CASE(a_reused_descriptor_number_starts_afresh),
	    IO_CASE(listening_on_a_used_port_says_address_in_use),
	    IO_CASE(a_port_is_free_again_after_a_connection_was_closed),
	    IO_CASE(nobody_listens_is_a_connect_error),
	    IO_CASE(both_ends_know_their_addresses),
	    IO_CASE(a_host_that_does_not_exist_is_refused),
	    IO_CASE(all_interfaces_include_loopback),
	    IO_CASE_REAL(accepted_sockets_do_not_delay_or_leak_or_block_the_loop),
	    IO_CASE_REAL(a_local_socket_is_its_user_s_and_replaces_a_dead_one),
	    IO_CASE_REAL(a_file_or_a_long_path_is_no_local_socket),
	    IO_CASE_REAL(requests_under_way_go_on_when_another_thread_polls),
	    IO_CASES_END,
	};
	return io_cases_main(cases);
}
