/* SPDX-License-Identifier: Apache-2.0 */
/* Blocking sockets with a deadline, and the framing on them. */
#include "broker/libkappa/client.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

int64_t wire_now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / MS_NS;
}

/* Waits until the socket is ready for `events`. */
static int wait_for(const struct wire *w, short events, int64_t deadline_ms)
{
	for (;;) {
		struct pollfd p = {.fd = w->fd, .events = events};
		int64_t left = deadline_ms < 0 ? -1 : deadline_ms - wire_now_ms();
		if (deadline_ms >= 0 && left <= 0)
			return KAPPA_TIMEOUT;
		int rc = poll(&p, 1, left > INT32_MAX ? INT32_MAX : (int)left);
		if (rc > 0)
			return 0;
		if (rc < 0 && errno != EINTR)
			return KAPPA_CONNECT;
	}
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static int send_all(struct wire *w, struct bytes b, int64_t deadline_ms)
{
	while (b.len > 0) {
		ssize_t n = send(w->fd, b.ptr, b.len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0) {
			b = bytes_slice(b, (size_t)n, b.len);
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return KAPPA_CONNECT;
		int rc = wait_for(w, POLLOUT, deadline_ms);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* TIMEOUT: nothing has been taken. */
static int receive_all(struct wire *w, uint8_t *at, size_t len, int64_t deadline_ms)
{
	for (bool begun = false; len > 0;) {
		ssize_t n = recv(w->fd, at, len, MSG_DONTWAIT);
		if (n > 0) {
			at += n;
			len -= (size_t)n;
			begun = true;
			continue;
		}
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			return KAPPA_CONNECT;
		int rc = wait_for(w, POLLIN, deadline_ms);
		if (rc != 0)
			return begun ? KAPPA_CONNECT : rc;
	}
	return 0;
}

int wire_send(struct wire *w, const struct bytes *pieces, size_t count, int64_t deadline_ms)
{
	uint8_t prefix[SP_LENGTH_BYTES_MAX];
	uint64_t len = 0;
	for (size_t i = 0; i < count; i++)
		len += pieces[i].len;
	size_t prefix_len = sp_length_put(prefix, w->framing, len);
	int rc = send_all(w, bytes_of(prefix, prefix_len), deadline_ms);
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = send_all(w, pieces[i], deadline_ms);
	return rc;
}

int wire_receive(struct wire *w, struct writer *buffer, int64_t deadline_ms)
{
	enum { STEP = 1 << 20 };
	uint8_t prefix[SP_LENGTH_BYTES_MAX], want[SP_LENGTH_BYTES_MAX];
	size_t prefix_len = sp_length_put(want, w->framing, 0);
	writer_clear(buffer);
	int rc = receive_all(w, prefix, prefix_len, deadline_ms);
	if (rc != 0)
		return rc;
	uint64_t left = get_u64_be(prefix + prefix_len - 8);
	if (prefix_len == SP_LENGTH_BYTES_MAX && prefix[0] != want[0])
		return KAPPA_PROTOCOL;
	if (left > WIRE_MESSAGE_MAX)
		return KAPPA_PROTOCOL;
	/* memory follows the bytes that have come */
	while (rc == 0 && left > 0) {
		size_t part = left < STEP ? (size_t)left : STEP;
		uint8_t *at = writer_reserve(buffer, part);
		if (!at)
			return KAPPA_NOMEM;
		rc = receive_all(w, at, part, deadline_ms);
		left -= part;
	}
	return rc;
}

/* ---- connecting ------------------------------------------------------------------------------ */

static int connect_to(struct wire *w, const struct sockaddr *sa, socklen_t len, int64_t deadline_ms)
{
	int on = 1, failed = 0;
	socklen_t size = sizeof(failed);
	w->fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (w->fd < 0)
		return KAPPA_CONNECT;
	if (sa->sa_family != AF_UNIX) /* only tuning */
		(void)setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(w->fd, sa, len) == 0)
		return 0;
	int rc = errno == EINPROGRESS ? wait_for(w, POLLOUT, deadline_ms) : KAPPA_CONNECT;
	if (rc == 0 && (getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &failed, &size) < 0 || failed != 0))
		rc = KAPPA_CONNECT;
	return rc;
}

static int connect_path(struct wire *w, const char *path, int64_t deadline_ms)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(sa.sun_path))
		return KAPPA_INVALID;
	memcpy(sa.sun_path, path, strlen(path) + 1);
	w->framing = SP_IPC;
	return connect_to(w, (const struct sockaddr *)&sa, sizeof(sa), deadline_ms);
}

static int connect_host(struct wire *w, const char *text, int64_t deadline_ms)
{
	char host[256];
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : 0;
	if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (len == 0 || len >= sizeof(host))
		return KAPPA_INVALID;
	snprintf(host, sizeof(host), "%.*s", (int)len, text);
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *list;
	if (getaddrinfo(host, colon + 1, &hints, &list) != 0)
		return KAPPA_CONNECT;
	int rc = KAPPA_CONNECT;
	w->framing = SP_TCP;
	for (const struct addrinfo *ai = list; ai && rc != 0; ai = ai->ai_next) {
		wire_close(w);
		rc = connect_to(w, ai->ai_addr, ai->ai_addrlen, deadline_ms);
	}
	freeaddrinfo(list);
	return rc;
}

static int greet(
    struct wire *w, enum sp_protocol mine, enum sp_protocol theirs, int64_t deadline_ms)
{
	uint8_t in[SP_GREETING_BYTES];
	int rc = send_all(w, bytes_of(sp_greeting(mine), SP_GREETING_BYTES), deadline_ms);
	if (rc == 0)
		rc = receive_all(w, in, sizeof(in), deadline_ms);
	if (rc == 0 && !sp_greeting_is(bytes_of(in, sizeof(in)), theirs))
		rc = KAPPA_PROTOCOL;
	return rc;
}

int wire_open(struct wire *w, const char *url, enum sp_protocol mine, enum sp_protocol theirs,
    int64_t deadline_ms)
{
	int rc = KAPPA_INVALID;
	*w = (struct wire){.fd = -1};
	if (strncmp(url, "ipc:///", 7) == 0)
		rc = connect_path(w, url + 6, deadline_ms);
	else if (strncmp(url, "tcp://", 6) == 0)
		rc = connect_host(w, url + 6, deadline_ms);
	if (rc == 0)
		rc = greet(w, mine, theirs, deadline_ms);
	if (rc != 0)
		wire_close(w);
	return rc;
}

void wire_close(struct wire *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}
