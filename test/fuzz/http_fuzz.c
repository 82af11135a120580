/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes to the HTTP door, over a socket: it answers or closes, and serves the next. In the input a
 * zero byte ends a write, so that requests come in pieces.
 */
#include "test/fuzz/fuzz.h"
#include "test/lib/tempdir.h"
#include "broker/http.h"
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static enum err echo(void *ctx, struct http_request *r, struct http_reply *reply)
{
	int64_t n = 0;
	(void)ctx;
	TRY(http_query_i64(r, "n", 0, 1000, &n));
	(void)http_header(r, "X-Some");
	(void)http_param(r, "name");
	(void)http_query(r, "q");
	return http_reply_body(reply, 200, "text/plain", http_body(r));
}

static struct http *http;
static struct io *io;
static char *dir;

static void end(void)
{
	http_close(http);
	io_free(io);
	tempdir_remove(dir);
}

static uint16_t door(void)
{
	static char path[300];
	static const struct http_route routes[] = {
	    {.method = "GET", .pattern = "/items/{name}", .handler = echo, .inline_ = true},
	    {.method = "POST",
	        .pattern = "/items",
	        .handler = echo,
	        .inline_ = true,
	        .body_max = 1000},
	    {.method = "GET", .pattern = "/files/*", .handler = echo, .inline_ = true},
	};
	if (http)
		return http_port(http);
	struct http_options options = {.token_path = path};
	dir = tempdir_new();
	snprintf(path, sizeof(path), "%s/token", dir);
	atexit(end);
	diag_set_level(DIAG_ERROR);
	ASSERT(io_new("threads", &io) == ERR_OK);
	options.io = io;
	ASSERT(http_open(&options, &http) == ERR_OK);
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
		ASSERT(http_route(http, &routes[i]) == ERR_OK);
	return http_port(http);
}

static int dial(uint16_t port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ASSERT(fd >= 0);
	fuzz_connect(fd, (struct sockaddr *)&sa, sizeof(sa));
	return fd;
}

void http_fuzz(struct bytes in)
{
	ssize_t n = 0;
	int fd = dial(door());
	while (in.len > 0 && n >= 0) {
		const uint8_t *zero = memchr(in.ptr, 0, in.len);
		size_t part = zero ? (size_t)(zero - in.ptr) : in.len;
		n = send(fd, in.ptr, part, MSG_NOSIGNAL);
		in = bytes_slice(in, part + (zero != NULL), in.len);
	}
	shutdown(fd, SHUT_WR);
	fuzz_drain(fd);
	close(fd);
}

void http_seeds(void (*emit)(void *ctx, struct bytes in), void *ctx)
{
	const struct str seeds[] = {
	    STR("GET /items/a%2fb?n=3&q=%e4+x HTTP/1.1\r\nHost: localhost\r\nX-Some: y\r\n\r\n"),
	    STR("POST /items HTTP/1.1\r\nHost: localhost\r\nX-Kappa: 1\r\nAuthorization: Bearer "
	        "0\r\n"
	        "Content-Length: 5\r\n\r\nhello"),
	    STR("POST /items HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
	        "5\r\nhello\r\n0\r\n\r\n"),
	    STR("GET /files/../x/%00 HTTP/1.0\r\nHost: [::1]:80\r\nOrigin: http://localhost\r\n\r\n"
	        "HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n"),
	    STR("GE\0T /re\0ady HTTP/1.1\r\nHo\0st: localhost\r\nExpect: 100-continue\r\n\r\n")};
	for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++)
		emit(ctx, str_bytes(seeds[i]));
}
