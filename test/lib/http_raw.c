/* SPDX-License-Identifier: Apache-2.0 */
#include "http_raw.h"
#include "test/lib/patience.h"
#include "test/lib/test.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

int http_raw_connect(uint16_t port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	struct timeval limit = {.tv_sec = PATIENCE_NS / S_NS};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	int on = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
	return fd;
}

void http_raw_send(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
		if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			return;
		assert_true(n > 0);
		bytes += n;
		len -= (size_t)n;
	}
}

struct text {
	char *ptr;
	size_t len;
};

static void text_add(struct text *t, const char *bytes, size_t len)
{
	t->ptr = realloc(t->ptr, t->len + len + 1);
	assert_non_null(t->ptr);
	memcpy(t->ptr + t->len, bytes, len);
	t->len += len;
	t->ptr[t->len] = '\0';
}

/* Adds up to `len` bytes from the socket; false when it ended before. */
static bool take(int fd, struct text *t, size_t len)
{
	char buf[65536];
	while (len > 0) {
		ssize_t n = recv(fd, buf, len < sizeof buf ? len : sizeof buf, 0);
		if (n <= 0) {
			assert_true(n == 0 || errno == ECONNRESET); /* not: timed out */
			return false;
		}
		text_add(t, buf, (size_t)n);
		len -= (size_t)n;
	}
	return true;
}

/* Adds bytes up to and with `end`. Byte by byte, so that nothing of the next answer is taken. */
static bool take_until(int fd, struct text *t, const char *end)
{
	size_t n = strlen(end);
	do {
		if (!take(fd, t, 1))
			return false;
	} while (t->len < n || memcmp(t->ptr + t->len - n, end, n) != 0);
	return true;
}

static bool read_chunks(int fd, struct text *body)
{
	for (;;) {
		struct text line = {0};
		bool ok = take_until(fd, &line, "\r\n");
		size_t len = ok ? strtoul(line.ptr, NULL, 16) : 0;
		free(line.ptr);
		if (!ok || (len > 0 && !take(fd, body, len)))
			return false;
		struct text end = {0};
		ok = take_until(fd, &end, "\r\n");
		free(end.ptr);
		if (!ok || len == 0)
			return ok;
	}
}

const char *http_raw_header(
    const struct http_raw_reply *reply, const char *name, char *buf, size_t len)
{
	size_t name_len = strlen(name);
	for (const char *line = reply->head; line; line = strstr(line, "\r\n")) {
		line += line == reply->head ? 0 : 2;
		if (strncasecmp(line, name, name_len) != 0 || line[name_len] != ':')
			continue;
		const char *value = line + name_len + 1;
		value += strspn(value, " ");
		snprintf(buf, len, "%.*s", (int)strcspn(value, "\r"), value);
		return buf;
	}
	return NULL;
}

void http_raw_read(int fd, bool head_only, struct http_raw_reply *ret_reply)
{
	struct text head = {0}, body = {0};
	char value[64];
	text_add(&head, "", 0);
	text_add(&body, "", 0);
	struct http_raw_reply reply = {.complete = take_until(fd, &head, "\r\n\r\n")};
	reply.head = head.ptr;
	if (reply.complete)
		reply.status = (int)strtol(head.ptr + strlen("HTTP/1.1 "), NULL, 10);
	if (reply.complete && !head_only && reply.status != 204) {
		if (http_raw_header(&reply, "Transfer-Encoding", value, sizeof value))
			reply.complete = read_chunks(fd, &body);
		else if (http_raw_header(&reply, "Content-Length", value, sizeof value))
			reply.complete = take(fd, &body, strtoul(value, NULL, 10));
		else
			take(fd, &body, SIZE_MAX);
	}
	reply.body = body.ptr;
	reply.body_len = body.len;
	*ret_reply = reply;
}

void http_raw_release(struct http_raw_reply *reply)
{
	free(reply->head);
	free(reply->body);
	*reply = (struct http_raw_reply){0};
}

struct http_raw_reply http_raw(uint16_t port, const char *request, ...)
{
	char *text;
	va_list args;
	va_start(args, request);
	int len = vasprintf(&text, request, args);
	va_end(args);
	assert_true(len >= 0);
	int fd = http_raw_connect(port);
	http_raw_send(fd, text, (size_t)len);
	struct http_raw_reply reply;
	http_raw_read(fd, strncmp(text, "HEAD ", 5) == 0, &reply);
	close(fd);
	free(text);
	return reply;
}
