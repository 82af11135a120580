/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loopback sockets in memory. A stream's socket holds the bytes that its peer has sent and it has
 * not received. A request that cannot go on waits in the socket; whoever makes it possible sends it
 * on its way again.
 */
#include "log/base/io_posix.h"
#include "log/base/limits.h"
#include "test/lib/sim_state.h"
#include "test/lib/xmalloc.h"

#include <stdio.h>

enum { BUFFER_BYTES = 65536, BACKLOG_MAX = 1024 };

struct sim_socket {
	uint16_t port, peer_port;
	/* listener */
	struct io_req *accept;
	struct sim_socket **queue; /* connected, not accepted */
	size_t queue_count;
	/* stream */
	struct sim_socket *peer; /* NULL once it has closed */
	uint8_t *in;
	size_t in_len;
	bool eof;   /* nothing follows what is in `in` */
	bool reset; /* ... but ECONNRESET */
	int64_t stalled_until_ns;
	struct io_req *recv, *send;
};

static void wake(struct sim_io *s, struct io_req **slot)
{
	struct io_req *req = *slot;
	*slot = NULL;
	if (req)
		sim_take_off(s, req, 0);
}

static struct sim_socket *new_socket(uint16_t port, uint16_t peer_port)
{
	struct sim_socket *k = xcalloc(1, sizeof(*k));
	k->port = port;
	k->peer_port = peer_port;
	return k;
}

/* ---- listening and connecting ---------------------------------------------------------------- */

static struct sim_socket *listener_on(struct sim_io *s, uint16_t port)
{
	for (size_t i = 0; i < s->fd_count; i++) {
		if (s->fds[i].kind == SIM_FD_LISTENER && s->fds[i].socket->port == port)
			return s->fds[i].socket;
	}
	return NULL;
}

static bool is_local(const char *host)
{
	static const char *const names[] = {"", "localhost", "127.0.0.1", "0.0.0.0", "::", "::1"};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (strcmp(host, names[i]) == 0)
			return true;
	}
	return false;
}

enum err sim_listen(struct io *io, const char *host, uint16_t port, int *ret_fd, uint16_t *ret_port)
{
	struct sim_io *s = sim_of(io);
	errno = sim_call(s, SIM_CALL_LISTEN);
	if (errno == 0 && !is_local(host))
		return err_note(
		    ERR_NOT_FOUND, "listen on %s:%u: not simulated", host, (unsigned)port);
	if (errno == 0 && port > 0 && listener_on(s, port))
		errno = EADDRINUSE;
	if (errno != 0)
		return err_sys("listen on %s:%u", host, (unsigned)port);
	while (port == 0 || listener_on(s, port))
		port = s->next_port++;
	int fd = sim_fd_new(s, SIM_FD_LISTENER);
	sim_fd_get(s, fd)->socket = new_socket(port, 0);
	*ret_fd = fd;
	*ret_port = port;
	return ERR_OK;
}

enum err sim_io_connect(struct io *io, uint16_t port, int *ret_fd)
{
	struct sim_io *s = sim_of(io);
	struct sim_socket *listener = listener_on(s, port);
	errno = s->dead || !listener || listener->queue_count == BACKLOG_MAX ? ECONNREFUSED : 0;
	if (errno != 0)
		return err_sys("connect to port %u", (unsigned)port);
	uint16_t own_port = s->next_port++;
	struct sim_socket *client = new_socket(own_port, port),
	                  *server = new_socket(port, own_port);
	client->peer = server;
	server->peer = client;
	if (!listener->queue)
		listener->queue = xcalloc(BACKLOG_MAX, sizeof(struct sim_socket *));
	listener->queue[listener->queue_count++] = server;
	wake(s, &listener->accept);
	int fd = sim_fd_new(s, SIM_FD_STREAM);
	sim_fd_get(s, fd)->socket = client;
	*ret_fd = fd;
	return ERR_OK;
}

enum err sim_address(struct io *io, int fd, bool peer, struct io_address *ret_address)
{
	struct sim_io *s = sim_of(io);
	const struct sim_fd *f = sim_fd_get(s, fd);
	errno = !f ? EBADF : f->kind == SIM_FD_INODE ? ENOTSOCK : s->dead ? EIO : 0;
	if (errno == 0 && peer && f->kind == SIM_FD_LISTENER)
		errno = ENOTCONN;
	if (errno != 0)
		return err_sys("address of fd %d", fd);
	struct io_address address = {.port = peer ? f->socket->peer_port : f->socket->port};
	snprintf(address.host, sizeof(address.host), "127.0.0.1");
	*ret_address = address;
	return ERR_OK;
}

size_t sim_untaken(struct io *io, int fd)
{
	struct sim_io *s = sim_of(io);
	const struct sim_fd *f = sim_fd_get(s, fd);
	if (!f || f->kind != SIM_FD_STREAM)
		return SIZE_MAX;
	return f->socket->peer ? f->socket->peer->in_len : 0;
}

/* ---- closing and breaking -------------------------------------------------------------------- */

/* The other side hears that nothing follows. */
static void part(struct sim_io *s, struct sim_socket *k, bool reset)
{
	struct sim_socket *peer = k->peer;
	k->peer = NULL;
	if (!peer)
		return;
	peer->peer = NULL;
	peer->eof = true;
	peer->reset = reset;
	wake(s, &peer->recv);
	wake(s, &peer->send);
}

static void free_socket(struct sim_io *s, struct sim_socket *k)
{
	for (size_t i = 0; i < k->queue_count; i++)
		free_socket(s, k->queue[i]);
	/* closing with bytes unread is a reset, as in TCP */
	part(s, k, k->in_len > 0);
	free(k->queue);
	free(k->in);
	free(k);
}

void sim_net_close(struct sim_io *s, struct sim_fd *f)
{
	free_socket(s, f->socket);
	f->socket = NULL;
}

void sim_io_break(struct io *io, int fd)
{
	struct sim_io *s = sim_of(io);
	struct sim_fd *f = sim_fd_get(s, fd);
	ASSERT(f && f->kind == SIM_FD_STREAM);
	struct sim_socket *k = f->socket;
	if (k->peer)
		k->peer->in_len = 0;
	part(s, k, true);
	k->in_len = 0;
	k->eof = k->reset = true;
	wake(s, &k->recv);
	wake(s, &k->send);
}

int64_t sim_net_stalled_until(const struct sim_fd *f)
{
	const struct sim_socket *k = f->socket;
	int64_t peer = k->peer ? k->peer->stalled_until_ns : 0;
	return peer > k->stalled_until_ns ? peer : k->stalled_until_ns;
}

void sim_io_stall(struct io *io, int fd, int64_t for_ns)
{
	struct sim_io *s = sim_of(io);
	struct sim_fd *f = sim_fd_get(s, fd);
	ASSERT(f && f->kind == SIM_FD_STREAM);
	f->socket->stalled_until_ns = s->now_ns + for_ns;
}

void sim_net_unplug(struct sim_io *s)
{
	for (size_t i = 0; i < s->fd_count; i++) {
		struct sim_fd *f = &s->fds[i];
		if (f->kind != SIM_FD_LISTENER && f->kind != SIM_FD_STREAM)
			continue;
		struct io_req **slots[] = {&f->socket->accept, &f->socket->recv, &f->socket->send};
		for (size_t n = 0; n < 3; n++) {
			if (*slots[n])
				sim_take_off(s, *slots[n], EIO);
			*slots[n] = NULL;
		}
	}
}

/* ---- requests -------------------------------------------------------------------------------- */

static struct io_req **slot_of(struct sim_socket *k, enum io_op op)
{
	return op == IO_ACCEPT ? &k->accept : op == IO_RECV ? &k->recv : &k->send;
}

/* Can the request do or learn something now? */
static bool can_go_on(const struct sim_socket *k, enum io_op op)
{
	if (op == IO_ACCEPT)
		return k->queue_count > 0;
	if (op == IO_RECV)
		return k->in_len > 0 || k->eof;
	return !k->peer || k->peer->in_len < BUFFER_BYTES;
}

void sim_net_submit(struct sim_io *s, struct sim_fd *f, struct io_req *req)
{
	if ((req->op == IO_ACCEPT) != (f->kind == SIM_FD_LISTENER)) {
		sim_take_off(s, req, EINVAL);
		return;
	}
	if (can_go_on(f->socket, req->op)) {
		sim_take_off(s, req, 0);
		return;
	}
	struct io_req **slot = slot_of(f->socket, req->op);
	ASSERT(!*slot);
	*slot = req;
}

bool sim_net_cancel(struct sim_io *s, struct io_req *req)
{
	struct sim_fd *f = sim_fd_get(s, req->fd);
	ASSERT(f && f->socket);
	struct io_req **slot = slot_of(f->socket, req->op);
	if (*slot != req)
		return false;
	*slot = NULL;
	return true;
}

static int64_t do_accept(struct sim_io *s, struct sim_socket *k)
{
	if (k->queue_count == 0)
		return -EAGAIN;
	struct sim_socket *accepted = k->queue[0];
	memmove(k->queue, k->queue + 1, --k->queue_count * sizeof(struct sim_socket *));
	int fd = sim_fd_new(s, SIM_FD_STREAM);
	sim_fd_get(s, fd)->socket = accepted;
	return fd;
}

static int64_t do_recv(struct sim_io *s, struct sim_socket *k, const struct iovec *iov, int count)
{
	if (k->in_len == 0)
		return k->reset ? -ECONNRESET : k->eof ? 0 : -EAGAIN;
	/* T4: now and then only the beginning of what is there */
	size_t take = k->in_len;
	if (prng_below(&s->prng, 4) == 0)
		take = 1 + prng_below(&s->prng, take);
	size_t done = 0;
	for (int i = 0; i < count && done < take; i++) {
		size_t n = iov[i].iov_len < take - done ? iov[i].iov_len : take - done;
		memcpy(iov[i].iov_base, k->in + done, n);
		done += n;
	}
	k->in_len -= done;
	memmove(k->in, k->in + done, k->in_len);
	if (k->peer)
		wake(s, &k->peer->send);
	return (int64_t)done;
}

static int64_t do_send(struct sim_io *s, struct sim_socket *k, const struct iovec *iov, int count)
{
	struct sim_socket *peer = k->peer;
	if (!peer)
		return k->reset ? -ECONNRESET : -EPIPE;
	if (!peer->in)
		peer->in = xmalloc(BUFFER_BYTES);
	size_t done = 0;
	for (int i = 0; i < count && peer->in_len < BUFFER_BYTES; i++) {
		size_t room = BUFFER_BYTES - peer->in_len;
		size_t n = iov[i].iov_len < room ? iov[i].iov_len : room;
		size_t part = sim_part(s, n);
		memcpy(peer->in + peer->in_len, iov[i].iov_base, part);
		peer->in_len += part;
		done += part;
		if (part < n)
			break;
	}
	wake(s, &peer->recv);
	return done > 0 ? (int64_t)done : -EAGAIN;
}

int64_t sim_net_effect(struct sim_io *s, struct io_req *req)
{
	static const enum sim_call calls[] = {
	    [IO_ACCEPT] = SIM_CALL_ACCEPT, [IO_RECV] = SIM_CALL_RECV, [IO_SEND] = SIM_CALL_SEND};
	struct sim_fd *f = sim_fd_get(s, req->fd);
	ASSERT(f && f->socket);
	int fault = sim_call(s, calls[req->op]);
	if (fault)
		return -fault;
	if (req->op == IO_ACCEPT)
		return do_accept(s, f->socket);
	const struct iovec *iov;
	int count = io_req_rest(req, &iov);
	return req->op == IO_RECV ? do_recv(s, f->socket, iov, count)
	                          : do_send(s, f->socket, iov, count);
}
