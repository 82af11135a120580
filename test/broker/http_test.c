/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP door against raw bytes: what it refuses and in which order, its limits, streams and
 * their back-pressure, and garbage. The clock is the real one plus `ahead_ns`, so that timeouts of
 * minutes can be tested.
 */
#include "broker/http.h"
#include "test/lib/http_raw.h"
#include "test/lib/patience.h"
#include "test/lib/seed.h"
#include "test/lib/test.h"
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOST  "Host: localhost\r\n"
#define WRITE HOST "X-Kappa: 1\r\nAuthorization: Bearer %s\r\n"

static struct {
	struct io *io;
	struct io_ops ops; /* the backend's with another clock */
	const struct io_ops *real;
	struct shared_u64 ahead_ns;
	char dir[64];
	char token_path[128];
	char token[65];
	struct http *http;
	uint16_t port;
	struct shared_u64 produced,
	    stopped; /* bytes an endless stream has written, streams that have ended */
	struct shared_u64 stream_end; /* why the last one did */
	struct gate open;
} door;

static int64_t clock_ns(struct io *io, enum io_clock clock)
{
	return door.real->clock_ns(io, clock) + (int64_t)shared_load(&door.ahead_ns);
}

/* ---- handlers ------------------------------------------------------------------------------ */

static enum err answer_text(struct http_reply *reply, const char *fmt, ...) PRINTF(2, 3);
static enum err answer_text(struct http_reply *reply, const char *fmt, ...)
{
	char text[512];
	va_list args;
	va_start(args, fmt);
	int len = vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	return http_reply_body(reply, 200, "text/plain", bytes_of(text, (size_t)len));
}

static enum err get_item(void *ctx, struct http_request *r, struct http_reply *reply)
{
	struct str name = http_param(r, "name"), rest = http_param(r, "*"), q = http_query(r, "q");
	return answer_text(reply, "%s name=" STR_FMT " rest=" STR_FMT " q=" STR_FMT "%s",
	    (const char *)ctx, STR_ARG(name), STR_ARG(rest), STR_ARG(q), q.ptr ? "" : "none");
}

static enum err post_echo(void *ctx, struct http_request *r, struct http_reply *reply)
{
	(void)ctx;
	return http_reply_body(reply, 201, "application/octet-stream", http_body(r));
}

static enum err get_rows(void *ctx, struct http_request *r, struct http_reply *reply)
{
	int64_t count = 0, fail_at = -1;
	(void)ctx;
	TRY(http_query_i64(r, "count", 0, INT64_MAX, &count));
	TRY(http_query_i64(r, "fail_at", 0, INT64_MAX, &fail_at));
	TRY(http_reply_stream(reply, 200, "application/x-ndjson"));
	for (int64_t i = 0; i < count; i++) {
		char line[64];
		if (i == fail_at)
			return err_note(ERR_CORRUPT, "row %lld is bad", (long long)i);
		int len = snprintf(line, sizeof line, "{\"row\":%09lld}\n", (long long)i);
		TRY(http_reply_write(reply, bytes_of(line, (size_t)len)));
	}
	return ERR_OK;
}

static enum err get_endless(void *ctx, struct http_request *r, struct http_reply *reply)
{
	static const uint8_t block[8192];
	enum err e = http_reply_stream(reply, 200, "application/octet-stream");
	(void)ctx;
	(void)r;
	while (e == ERR_OK) {
		e = http_reply_write(reply, bytes_of(block, sizeof block));
		shared_add(&door.produced, sizeof block);
	}
	shared_store(&door.stream_end, (uint64_t)e);
	shared_add(&door.stopped, 1);
	return e;
}

static enum err get_gate(void *ctx, struct http_request *r, struct http_reply *reply)
{
	(void)ctx;
	while (!gate_wait_for(&door.open, 20 * MS_NS)) {
		if (http_cancelled(r)) {
			shared_add(&door.stopped, 1);
			return ERR_CANCELLED;
		}
	}
	return answer_text(reply, "open");
}

static enum err get_failure(void *ctx, struct http_request *r, struct http_reply *reply)
{
	(void)ctx;
	(void)reply;
	return err_note(
	    ERR_UNKNOWN_TOPIC, "topic \"" STR_FMT "\" <script>", STR_ARG(http_param(r, "name")));
}

static enum err get_header(void *ctx, struct http_request *r, struct http_reply *reply)
{
	(void)ctx;
	struct str value = http_query(r, "value");
	enum err e = http_reply_header(reply, "Cache-Control", value);
	if (e != ERR_OK)
		return e;
	return answer_text(reply, "ok");
}

static char ctx_list[] = "list", ctx_one[] = "one", ctx_special[] = "special", ctx_rest[] = "rest";

static void add_routes(struct http *http)
{
	const struct http_route routes[] = {
	    {.method = "GET", .pattern = "/items", .handler = get_item, .ctx = ctx_list},
	    {.method = "GET", .pattern = "/items/{name}", .handler = get_item, .ctx = ctx_one},
	    {.method = "GET", .pattern = "/items/special", .handler = get_item, .ctx = ctx_special},
	    {.method = "GET", .pattern = "/items/*", .handler = get_item, .ctx = ctx_rest},
	    {.method = "POST", .pattern = "/echo", .handler = post_echo, .body_max = 4 * MIB},
	    {.method = "PUT", .pattern = "/echo", .handler = post_echo, .body_max = 100},
	    {.method = "DELETE", .pattern = "/echo", .handler = post_echo},
	    {.method = "GET", .pattern = "/rows", .handler = get_rows},
	    {.method = "GET", .pattern = "/endless", .handler = get_endless},
	    {.method = "GET", .pattern = "/gate", .handler = get_gate},
	    {.method = "GET", .pattern = "/failure/{name}", .handler = get_failure},
	    {.method = "GET", .pattern = "/header", .handler = get_header},
	};
	for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
		assert_int_equal(http_route(http, &routes[i]), ERR_OK);
}

/* ---- fixture ------------------------------------------------------------------------------- */

static void discard_line(void *ctx, const char *line)
{
	(void)ctx;
	(void)line;
}

static enum err open_door(void)
{
	static const char *const hosts[] = {"Kappa.Example", NULL};
	struct http_options options = {
	    .io = door.io, .token_path = door.token_path, .allowed_hosts = hosts};
	enum err e = http_open(&options, &door.http);
	if (e != ERR_OK)
		return e;
	door.port = http_port(door.http);
	memcpy(door.token, http_token(door.http).ptr, 64);
	add_routes(door.http);
	return ERR_OK;
}

static int start(void **state)
{
	(void)state;
	memset(&door, 0, sizeof door);
	diag_set_sink(discard_line, NULL);
	assert_int_equal(io_new("threads", &door.io), ERR_OK);
	door.real = door.io->ops;
	door.ops = *door.real;
	door.ops.clock_ns = clock_ns;
	door.io->ops = &door.ops;
	snprintf(door.dir, sizeof door.dir, "/tmp/kappa-http-XXXXXX");
	assert_non_null(mkdtemp(door.dir));
	snprintf(door.token_path, sizeof door.token_path, "%s/http.token", door.dir);
	gate_init(&door.open);
	assert_int_equal(open_door(), ERR_OK);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	http_close(door.http);
	gate_release(&door.open);
	unlink(door.token_path);
	rmdir(door.dir);
	io_free(door.io);
	diag_set_sink(NULL, NULL);
	return 0;
}

static void expect(struct http_raw_reply reply, int status, const char *body_part)
{
	if (reply.status != status || !strstr(reply.body, body_part))
		print_error("expected %d with \"%s\", got:\n%s%s\n", status, body_part, reply.head,
		    reply.body);
	assert_int_equal(reply.status, status);
	assert_non_null(strstr(reply.body, body_part));
	assert_null(strstr(reply.head, "Access-Control-"));
	http_raw_release(&reply);
}

static void wait_for(const struct shared_u64 *counter, uint64_t value)
{
	for (int ms = 0; ms < PATIENCE_MS && shared_load(counter) < value; ms += 10)
		usleep(10000);
	assert_true(shared_load(counter) >= value);
}

/* ---- token --------------------------------------------------------------------------------- */

static void the_token_is_made_once_and_private(void **state)
{
	(void)state;
	struct stat st;
	assert_int_equal(stat(door.token_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(strspn(door.token, "0123456789abcdef"), 64);
	char first[65];
	memcpy(first, door.token, 65);
	http_close(door.http);
	assert_int_equal(open_door(), ERR_OK);
	assert_string_equal(door.token, first);
}

static void a_token_file_others_can_read_is_refused(void **state)
{
	(void)state;
	http_close(door.http);
	door.http = NULL;
	assert_int_equal(chmod(door.token_path, 0640), 0);
	assert_int_equal(open_door(), ERR_PERMISSION);
	assert_int_equal(chmod(door.token_path, 0600), 0);
	assert_int_equal(truncate(door.token_path, 20), 0);
	assert_int_equal(open_door(), ERR_INVALID);
}

static void a_port_in_use_is_an_error(void **state)
{
	(void)state;
	struct http_options options = {
	    .io = door.io, .token_path = door.token_path, .port = door.port};
	struct http *second = NULL;
	assert_int_equal(http_open(&options, &second), ERR_ADDRESS_IN_USE);
	assert_null(second);
}

/* ---- guards -------------------------------------------------------------------------------- */

static void only_known_host_names_are_served(void **state)
{
	(void)state;
	static const struct {
		const char *host;
		int status;
	} cases[] = {
	    {"localhost", 200},
	    {"LocalHost:9644", 200},
	    {"127.0.0.1:1", 200},
	    {"[::1]:80", 200},
	    {"kappa.example", 200},
	    {"evil.example", 421},
	    {"localhost.evil.example", 421},
	    {"localhos", 421},
	    {"", 421},
	    {"[::1", 421},
	    {"localhost:80x", 421},
	    {"127.0.0.1.", 421},
	    {"user@localhost", 421},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		expect(
		    http_raw(door.port, "GET /items HTTP/1.1\r\nHost: %s\r\n\r\n", cases[i].host),
		    cases[i].status, "");
	expect(http_raw(door.port, "GET /items HTTP/1.1\r\n\r\n"), 400, "");
	expect(http_raw(door.port, "GET /items HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n"),
	    400, "");
}

static void refusals_come_in_order(void **state)
{
	(void)state;
	uint16_t p = door.port;
	expect(http_raw(p, "POST /nowhere HTTP/1.1\r\nHost: evil\r\nContent-Length: 0\r\n\r\n"),
	    421, "WRONG_HOST");
	expect(http_raw(p, "POST /nowhere HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n"), 403,
	    "CROSS_SITE");
	expect(http_raw(
	           p, "POST /nowhere HTTP/1.1\r\n" HOST "X-Kappa: 1\r\nContent-Length: 0\r\n\r\n"),
	    401, "UNAUTHORIZED");
	expect(
	    http_raw(p, "POST /nowhere HTTP/1.1\r\n" WRITE "Content-Length: 0\r\n\r\n", door.token),
	    404, "NOT_FOUND");
	expect(
	    http_raw(p, "POST /items HTTP/1.1\r\n" WRITE "Content-Length: 0\r\n\r\n", door.token),
	    405, "METHOD_NOT_ALLOWED");
	expect(
	    http_raw(p, "POST /echo HTTP/1.1\r\n" WRITE "Content-Length: 2\r\n\r\nhi", door.token),
	    201, "hi");
	expect(http_raw(p, "OPTIONS /items HTTP/1.1\r\n" HOST "Origin: http://evil\r\n\r\n"), 403,
	    "CROSS_SITE");
}

static void a_write_from_another_site_is_refused(void **state)
{
	(void)state;
	static const struct {
		const char *origin;
		int status;
	} cases[] = {
	    {"http://evil.example", 403},
	    {"null", 403},
	    {"https://localhost:9644", 403},
	    {"http://localhost", 403},
	    {"http://localhost:9644.evil", 403},
	    {"http://localhost:9644", 201},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		expect(http_raw(door.port,
		           "POST /echo HTTP/1.1\r\nHost: localhost:9644\r\nX-Kappa: 1\r\nOrigin: "
		           "%s\r\n"
		           "Authorization: Bearer %s\r\nContent-Length: 0\r\n\r\n",
		           cases[i].origin, door.token),
		    cases[i].status, "");
	expect(
	    http_raw(door.port,
	        "DELETE /echo HTTP/1.1\r\n" HOST "X-Kappa: 2\r\nAuthorization: Bearer %s\r\n\r\n",
	        door.token),
	    403, "X-Kappa");
}

static void a_token_must_be_whole_and_right(void **state)
{
	(void)state;
	char wrong[65];
	memcpy(wrong, door.token, 65);
	wrong[63] = wrong[63] == '0' ? '1' : '0';
	const char *const bad[] = {
	    wrong, "", "x", "0000000000000000000000000000000000000000000000000000000000000000"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct http_raw_reply reply =
		    http_raw(door.port, "DELETE /echo HTTP/1.1\r\n" WRITE "\r\n", bad[i]);
		char value[64];
		assert_string_equal(
		    http_raw_header(&reply, "WWW-Authenticate", value, sizeof value), "Bearer");
		expect(reply, 401, "UNAUTHORIZED");
	}
	expect(
	    http_raw(door.port,
	        "DELETE /echo HTTP/1.1\r\n" HOST "X-Kappa: 1\r\nAuthorization: Bearer %s0\r\n\r\n",
	        door.token),
	    401, "");
	expect(http_raw(door.port,
	           "DELETE /echo HTTP/1.1\r\n" HOST "X-Kappa: 1\r\nAuthorization: Basic %s\r\n\r\n",
	           door.token),
	    401, "");
	expect(http_raw(door.port, "DELETE /echo HTTP/1.1\r\n" WRITE "\r\n", door.token), 201, "");
}

/* ---- routes and answers -------------------------------------------------------------------- */

static void ready_waits_for_recovery(void **state)
{
	(void)state;
	expect(http_raw(door.port, "GET /health HTTP/1.1\r\n" HOST "\r\n"), 200, "ok");
	expect(http_raw(door.port, "GET /ready HTTP/1.1\r\n" HOST "\r\n"), 503, "NOT_READY");
	http_set_ready(door.http, true);
	expect(http_raw(door.port, "GET /ready HTTP/1.1\r\n" HOST "\r\n"), 200, "ready");
	expect(http_raw(door.port, "GET /metrics HTTP/1.1\r\n" HOST "\r\n"), 200,
	    "kappa_http_requests_total");
}

static enum err unwell(void *ctx)
{
	(void)ctx;
	return err_note(ERR_DAMAGED, "3 partitions are damaged");
}

static void health_says_what_is_wrong(void **state)
{
	(void)state;
	http_set_health(door.http, unwell, NULL);
	expect(http_raw(door.port, "GET /health HTTP/1.1\r\n" HOST "\r\n"), 503,
	    "3 partitions are damaged");
}

/* An address of this machine that is not loopback; false when there is none. */
static bool outer_address(char *buf, size_t len)
{
	struct ifaddrs *all;
	bool found = false;
	assert_int_equal(getifaddrs(&all), 0);
	for (struct ifaddrs *a = all; a && !found; a = a->ifa_next) {
		struct sockaddr_in v4;
		if (!a->ifa_addr || a->ifa_addr->sa_family != AF_INET)
			continue;
		memcpy(&v4, a->ifa_addr, sizeof v4);
		found = ntohl(v4.sin_addr.s_addr) >> 24 != 127;
		if (found)
			inet_ntop(AF_INET, &v4.sin_addr, buf, (socklen_t)len);
	}
	freeifaddrs(all);
	return found;
}

static int status_from(const char *host, uint16_t port, const char *request)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct http_raw_reply reply;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(inet_pton(AF_INET, host, &to.sin_addr), 1);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
	http_raw_send(fd, request, strlen(request));
	http_raw_read(fd, false, &reply);
	int status = reply.status;
	http_raw_release(&reply);
	close(fd);
	return status;
}

static void beyond_loopback_reads_need_the_token_too(void **state)
{
	(void)state;
	char host[64], text[300];
	if (!outer_address(host, sizeof host))
		skip();
	http_close(door.http);
	struct http_options options = {.io = door.io, .token_path = door.token_path, .host = host};
	assert_int_equal(http_open(&options, &door.http), ERR_OK);
	uint16_t port = http_port(door.http);
	add_routes(door.http);
	assert_int_equal(status_from(host, port, "GET /items HTTP/1.1\r\n" HOST "\r\n"), 401);
	assert_int_equal(status_from(host, port, "GET /health HTTP/1.1\r\n" HOST "\r\n"), 200);
	snprintf(text, sizeof text,
	    "GET /items HTTP/1.1\r\nHost: %s:%u\r\nAuthorization: Bearer %s\r\n\r\n", host,
	    (unsigned)port, door.token);
	assert_int_equal(status_from(host, port, text), 200);
}

static void the_most_literal_route_wins(void **state)
{
	(void)state;
	static const struct {
		const char *target;
		const char *body;
	} cases[] = {
	    {"/items", "list name= rest= q=none"},
	    {"/items?q=a%20b+c", "list name= rest= q=a b c"},
	    {"/items/special", "special name= rest= q=none"},
	    {"/items/one?q=", "one name=one rest= q="},
	    {"/items/a%2Fb%3f", "one name=a/b? rest= q=none"},
	    {"/items/gr%C3%BC%C3%9F", "one name=gr\xc3\xbc\xc3\x9f rest="},
	    {"/items/", "rest name= rest= q=none"},
	    {"/items/a/b/", "rest name= rest=a/b/ q=none"},
	    {"/items/special/x", "rest name= rest=special/x q=none"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		expect(http_raw(door.port, "GET %s HTTP/1.1\r\n" HOST "\r\n", cases[i].target), 200,
		    cases[i].body);
}

static void malformed_targets_are_bad_requests(void **state)
{
	(void)state;
	static const char *const targets[] = {
	    "/items/%zz",
	    "/items/%4",
	    "/items/%",
	    "/items/%00",
	    "/items/%ff",
	    "/items/../metrics",
	    "/items/%2e%2e",
	    "/items/./x",
	    "*",
	    "http://localhost/items",
	    "items",
	    "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17",
	    "/items?q=%",
	    "/items?a&b&c&d&e&f&g&h&i&j&k&l&m&n&o&p&q&r&s&t&u&v&w&x&y&z&1&2&3&4&5&6&7&8",
	};
	for (size_t i = 0; i < sizeof targets / sizeof *targets; i++)
		expect(http_raw(door.port, "GET %s HTTP/1.1\r\n" HOST "\r\n", targets[i]), 400,
		    "INVALID_REQUEST");
}

static void an_unknown_method_names_the_known_ones(void **state)
{
	(void)state;
	char value[64];
	struct http_raw_reply reply = http_raw(door.port, "GET /echo HTTP/1.1\r\n" HOST "\r\n");
	assert_string_equal(
	    http_raw_header(&reply, "Allow", value, sizeof value), "POST, PUT, DELETE");
	expect(reply, 405, "METHOD_NOT_ALLOWED");
	reply = http_raw(door.port, "DELETE /rows HTTP/1.1\r\n" WRITE "\r\n", door.token);
	assert_string_equal(http_raw_header(&reply, "Allow", value, sizeof value), "GET, HEAD");
	expect(reply, 405, "");
}

static void head_answers_without_a_body(void **state)
{
	(void)state;
	char value[64];
	struct http_raw_reply reply = http_raw(door.port, "HEAD /items HTTP/1.1\r\n" HOST "\r\n");
	assert_string_equal(http_raw_header(&reply, "Content-Length", value, sizeof value), "23");
	expect(reply, 200, "");
	expect(http_raw(door.port, "HEAD /rows?count=5 HTTP/1.1\r\n" HOST "\r\n"), 200, "");
	expect(http_raw(door.port, "HEAD /nowhere HTTP/1.1\r\n" HOST "\r\n"), 404, "");
}

static void an_error_is_a_problem_document(void **state)
{
	(void)state;
	char value[64];
	struct http_raw_reply reply =
	    http_raw(door.port, "GET /failure/x%%22%%0A HTTP/1.1\r\n" HOST "\r\n");
	assert_string_equal(http_raw_header(&reply, "Content-Type", value, sizeof value),
	    "application/problem+json");
	assert_string_equal(
	    http_raw_header(&reply, "X-Content-Type-Options", value, sizeof value), "nosniff");
	assert_non_null(http_raw_header(&reply, "Content-Security-Policy", value, sizeof value));
	assert_string_equal(reply.body,
	    "{\"type\":\"urn:kappa:error:UNKNOWN_TOPIC\",\"title\":\"unknown topic or "
	    "partition\",\"status\":404,"
	    "\"detail\":\"topic \\\"x\\\"\\n\\\" <script>\",\"code\":\"UNKNOWN_TOPIC\"}");
	expect(reply, 404, "");
}

static void a_handler_may_replace_a_header_but_not_split_it(void **state)
{
	(void)state;
	char value[64];
	struct http_raw_reply reply =
	    http_raw(door.port, "GET /header?value=max-age%%3D60 HTTP/1.1\r\n" HOST "\r\n");
	assert_string_equal(
	    http_raw_header(&reply, "Cache-Control", value, sizeof value), "max-age=60");
	expect(reply, 200, "ok");
	reply =
	    http_raw(door.port, "GET /header?value=a%%0d%%0aSet-Cookie:x HTTP/1.1\r\n" HOST "\r\n");
	assert_null(strstr(reply.head, "Set-Cookie"));
	expect(reply, 400, "INVALID");
}

/* ---- bodies -------------------------------------------------------------------------------- */

static void a_chunked_body_arrives_whole(void **state)
{
	(void)state;
	expect(http_raw(door.port,
	           "POST /echo HTTP/1.1\r\n" WRITE "Transfer-Encoding: chunked\r\n\r\n"
	           "5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\nTrailer: z\r\n\r\n",
	           door.token),
	    201, "hello, world");
}

static void a_body_over_the_limit_is_refused(void **state)
{
	(void)state;
	char big[301];
	memset(big, 'x', 300);
	big[300] = '\0';
	expect(http_raw(door.port, "PUT /echo HTTP/1.1\r\n" WRITE "Content-Length: 300\r\n\r\n%s",
	           door.token, big),
	    413, "BODY_TOO_LARGE");
	expect(http_raw(door.port,
	           "PUT /echo HTTP/1.1\r\n" WRITE "Transfer-Encoding: chunked\r\n\r\n"
	           "12c\r\n%s\r\n0\r\n\r\n",
	           door.token, big),
	    413, "BODY_TOO_LARGE");
	/* far too large: refused before the body is sent */
	expect(
	    http_raw(door.port,
	        "PUT /echo HTTP/1.1\r\n" WRITE "Content-Length: 99999999999\r\n\r\n", door.token),
	    413, "at most 100 bytes");
	/* chunked without end: cut */
	int fd = http_raw_connect(door.port);
	char head[400];
	int len = snprintf(head, sizeof head,
	    "PUT /echo HTTP/1.1\r\n" WRITE "Transfer-Encoding: chunked\r\n\r\n", door.token);
	http_raw_send(fd, head, (size_t)len);
	for (int i = 0; i < 20000; i++) {
		http_raw_send(fd, "12c\r\n", 5);
		http_raw_send(fd, big, 300);
		http_raw_send(fd, "\r\n", 2);
	}
	struct http_raw_reply reply;
	http_raw_read(fd, false, &reply);
	assert_int_equal(reply.status, 0);
	http_raw_release(&reply);
	close(fd);
}

static void an_ambiguous_length_is_refused(void **state)
{
	(void)state;
	expect(http_raw(door.port,
	           "POST /echo HTTP/1.1\r\n" WRITE
	           "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
	           "0\r\n\r\n",
	           door.token),
	    400, "");
	expect(http_raw(door.port,
	           "POST /echo HTTP/1.1\r\n" WRITE
	           "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
	           door.token),
	    400, "");
}

static void a_large_body_arrives_whole(void **state)
{
	(void)state;
	size_t len = 3 * MIB;
	char *body = malloc(len), head[400];
	for (size_t i = 0; i < len; i++)
		body[i] = (char)('a' + i % 26);
	int fd = http_raw_connect(door.port);
	int head_len = snprintf(head, sizeof head,
	    "POST /echo HTTP/1.1\r\n" WRITE "Content-Length: %zu\r\n\r\n", door.token, len);
	http_raw_send(fd, head, (size_t)head_len);
	http_raw_send(fd, body, len);
	struct http_raw_reply reply;
	http_raw_read(fd, false, &reply);
	assert_int_equal(reply.body_len, len);
	assert_memory_equal(reply.body, body, len);
	expect(reply, 201, "");
	free(body);
	close(fd);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
	(void)state;
	int fd = http_raw_connect(door.port);
	char text[4000] = "";
	for (int i = 0; i < 20; i++)
		snprintf(text + strlen(text), sizeof text - strlen(text),
		    "GET /items/n%d HTTP/1.1\r\n" HOST "\r\n"
		    "GET /nowhere HTTP/1.1\r\n" HOST "\r\n",
		    i);
	http_raw_send(fd, text, strlen(text));
	for (int i = 0; i < 20; i++) {
		struct http_raw_reply reply;
		char name[32];
		snprintf(name, sizeof name, "one name=n%d rest=", i);
		http_raw_read(fd, false, &reply);
		expect(reply, 200, name);
		http_raw_read(fd, false, &reply);
		expect(reply, 404, "NOT_FOUND");
	}
	close(fd);
}

/* ---- streams ------------------------------------------------------------------------------- */

static void a_stream_gives_every_row_in_order(void **state)
{
	(void)state;
	enum { ROWS = 100000, ROW_BYTES = 18 };
	struct http_raw_reply reply =
	    http_raw(door.port, "GET /rows?count=%d HTTP/1.1\r\n" HOST "\r\n", ROWS);
	assert_true(reply.complete);
	assert_int_equal(reply.body_len, (size_t)ROWS * ROW_BYTES);
	for (int i = 0; i < ROWS; i++)
		assert_int_equal(strtol(reply.body + i * ROW_BYTES + 7, NULL, 10), i);
	expect(reply, 200, "");
}

static void a_stream_that_fails_is_seen_to_be_cut(void **state)
{
	(void)state;
	struct http_raw_reply reply =
	    http_raw(door.port, "GET /rows?count=50000&fail_at=40000 HTTP/1.1\r\n" HOST "\r\n");
	assert_false(reply.complete);
	expect(reply, 200, "");
	/* before the first row there is still time to say why */
	expect(http_raw(door.port, "GET /rows?count=5&fail_at=0 HTTP/1.1\r\n" HOST "\r\n"), 500,
	    "row 0 is bad");
	expect(http_raw(door.port, "GET /rows?count=x HTTP/1.1\r\n" HOST "\r\n"), 400,
	    "query parameter count");
}

static void a_reader_that_stops_holds_the_writer_back(void **state)
{
	(void)state;
	int fd = http_raw_connect(door.port);
	int small = 8192;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	const char *get = "GET /endless HTTP/1.1\r\n" HOST "\r\n";
	http_raw_send(fd, get, strlen(get));
	wait_for(&door.produced, HTTP_STREAM_BYTES);
	uint64_t before = 0;
	while (shared_load(&door.produced) != before) { /* until it stands still */
		before = shared_load(&door.produced);
		usleep(300000);
	}
	assert_true(before < 16 * MIB); /* ring and socket buffers, nothing more */
	assert_int_equal(shared_load(&door.stopped), 0);
	close(fd);
	wait_for(&door.stopped, 1);
	assert_int_equal(shared_load(&door.stream_end), ERR_CANCELLED);
}

static void a_reader_that_never_reads_loses_its_stream(void **state)
{
	(void)state;
	int fd = http_raw_connect(door.port);
	const char *get = "GET /endless HTTP/1.1\r\n" HOST "\r\n";
	http_raw_send(fd, get, strlen(get));
	wait_for(&door.produced, HTTP_STREAM_BYTES);
	usleep(500000);
	shared_store(&door.ahead_ns, (uint64_t)(HTTP_TIMEOUT_S + 1) * S_NS);
	wait_for(&door.stopped, 1);
	/* by its writer, or with its connection: whoever looks first */
	uint64_t end = shared_load(&door.stream_end);
	assert_true(end == ERR_TIMEOUT || end == ERR_CANCELLED);
	close(fd);
}

static void a_client_that_hangs_up_cancels_its_handler(void **state)
{
	(void)state;
	int fd = http_raw_connect(door.port);
	const char *get = "GET /gate HTTP/1.1\r\n" HOST "\r\n";
	http_raw_send(fd, get, strlen(get));
	usleep(50000);
	close(fd);
	wait_for(&door.stopped, 1);
}

static void blocked_handlers_do_not_block_the_door(void **state)
{
	(void)state;
	enum { CLIENTS = HTTP_WORKERS_MAX + 8 };
	int fd[CLIENTS];
	const char *get = "GET /gate HTTP/1.1\r\n" HOST "\r\n";
	for (int i = 0; i < CLIENTS; i++) {
		fd[i] = http_raw_connect(door.port);
		http_raw_send(fd[i], get, strlen(get));
		if (i == HTTP_WORKERS_MAX / 2)
			expect(http_raw(door.port, "GET /items HTTP/1.1\r\n" HOST "\r\n"), 200,
			    "list");
	}
	expect(http_raw(door.port, "GET /health HTTP/1.1\r\n" HOST "\r\n"), 200, "ok");
	gate_open(&door.open);
	for (int i = 0; i < CLIENTS; i++) {
		struct http_raw_reply reply;
		http_raw_read(fd[i], false, &reply);
		expect(reply, 200, "open");
		close(fd[i]);
	}
}

static void closing_ends_what_is_running(void **state)
{
	(void)state;
	int fd[3];
	const char *get[3] = {"GET /gate HTTP/1.1\r\n" HOST "\r\n",
	    "GET /endless HTTP/1.1\r\n" HOST "\r\n", "GET /ga"};
	for (int i = 0; i < 3; i++) {
		fd[i] = http_raw_connect(door.port);
		http_raw_send(fd[i], get[i], strlen(get[i]));
	}
	wait_for(&door.produced, 1);
	http_close(door.http);
	door.http = NULL;
	wait_for(&door.stopped, 2);
	for (int i = 0; i < 3; i++)
		close(fd[i]);
}

/* ---- slow and hostile ---------------------------------------------------------------------- */

static void expect_hang_up(int fd)
{
	struct http_raw_reply reply;
	http_raw_read(fd, false, &reply);
	assert_int_equal(reply.status, 0);
	http_raw_release(&reply);
	close(fd);
}

static void a_request_that_dribbles_is_cut(void **state)
{
	(void)state;
	int head = http_raw_connect(door.port), body = http_raw_connect(door.port);
	char text[400];
	int len = snprintf(text, sizeof text,
	    "POST /echo HTTP/1.1\r\n" WRITE "Content-Length: 10\r\n\r\nab", door.token);
	http_raw_send(head, text, 20);
	http_raw_send(body, text, (size_t)len);
	usleep(100000);
	shared_store(&door.ahead_ns, (uint64_t)(HTTP_HEAD_TIMEOUT_S + 1) * S_NS);
	expect_hang_up(head);
	http_raw_send(body, "c", 1); /* its time is longer */
	shared_store(&door.ahead_ns, (uint64_t)(HTTP_BODY_TIMEOUT_S + HTTP_HEAD_TIMEOUT_S) * S_NS);
	expect_hang_up(body);
	expect(http_raw(door.port, "GET /items HTTP/1.1\r\n" HOST "\r\n"), 200, "list");
}

static void a_request_in_single_bytes_is_understood(void **state)
{
	(void)state;
	int fd = http_raw_connect(door.port);
	const char *get = "GET /items/slow HTTP/1.1\r\n" HOST "\r\n";
	for (size_t i = 0; i < strlen(get); i++)
		http_raw_send(fd, get + i, 1);
	struct http_raw_reply reply;
	http_raw_read(fd, false, &reply);
	expect(reply, 200, "one name=slow");
	close(fd);
}

static void too_long_a_header_is_refused(void **state)
{
	(void)state;
	char *big = malloc(200000);
	memset(big, 'a', 199999);
	big[199999] = '\0';
	struct http_raw_reply reply =
	    http_raw(door.port, "GET /items HTTP/1.1\r\n" HOST "X: %s\r\n\r\n", big);
	assert_true(reply.status == 431 || reply.status == 413 || reply.status == 0);
	http_raw_release(&reply);
	reply = http_raw(door.port, "GET /%s HTTP/1.1\r\n" HOST "\r\n", big);
	assert_true(reply.status == 414 || reply.status == 0);
	http_raw_release(&reply);
	free(big);
	expect(http_raw(door.port, "GET /items HTTP/1.1\r\n" HOST "\r\n"), 200, "list");
}

static void garbage_does_not_hurt_the_door(void **state)
{
	(void)state;
	struct prng prng;
	prng_init(&prng, test_seed(421));
	for (int round = 0; round < 1500; round++) {
		char text[500];
		int len = snprintf(text, sizeof text,
		    "POST /echo?a=b%%20c HTTP/1.1\r\n" WRITE "Transfer-Encoding: chunked\r\n\r\n"
		    "5\r\nhello\r\n0\r\n\r\nGET /items/x HTTP/1.1\r\n" HOST "\r\n",
		    door.token);
		for (uint64_t n = prng_below(&prng, 6); n > 0; n--)
			text[prng_below(&prng, (uint64_t)len)] = (char)prng_u64(&prng);
		size_t cut = prng_below(&prng, 3) ? (size_t)len : prng_below(&prng, (uint64_t)len);
		int fd = http_raw_connect(door.port);
		http_raw_send(fd, text, cut);
		if (prng_below(&prng, 2))
			shutdown(fd, SHUT_WR);
		char buf[512];
		if (prng_below(&prng, 2) && cut == (size_t)len)
			recv(fd, buf, sizeof buf, MSG_DONTWAIT);
		close(fd);
	}
	expect(http_raw(door.port, "GET /items HTTP/1.1\r\n" HOST "\r\n"), 200, "list");
}

static void routes_are_checked_when_added(void **state)
{
	(void)state;
	struct http_route route = {.method = "GET", .pattern = "/items", .handler = get_item};
	assert_int_equal(http_route(door.http, &route), ERR_EXISTS);
	static const char *const bad[] = {
	    "items", "", "/a/*/b", "/{1}/{2}/{3}/{4}/{5}/{6}/{7}/{8}/{9}"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		route.pattern = bad[i];
		assert_int_equal(http_route(door.http, &route), ERR_INVALID);
	}
	route = (struct http_route){.method = "OPTIONS", .pattern = "/new", .handler = get_item};
	assert_int_equal(http_route(door.http, &route), ERR_INVALID);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, start, stop)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(the_token_is_made_once_and_private),
	    CASE(a_token_file_others_can_read_is_refused),
	    CASE(a_port_in_use_is_an_error),
	    CASE(only_known_host_names_are_served),
	    CASE(refusals_come_in_order),
	    CASE(a_write_from_another_site_is_refused),
	    CASE(a_token_must_be_whole_and_right),
	    CASE(ready_waits_for_recovery),
	    CASE(health_says_what_is_wrong),
	    CASE(beyond_loopback_reads_need_the_token_too),
	    CASE(the_most_literal_route_wins),
	    CASE(malformed_targets_are_bad_requests),
	    CASE(an_unknown_method_names_the_known_ones),
	    CASE(head_answers_without_a_body),
	    CASE(an_error_is_a_problem_document),
	    CASE(a_handler_may_replace_a_header_but_not_split_it),
	    CASE(a_chunked_body_arrives_whole),
	    CASE(a_body_over_the_limit_is_refused),
	    CASE(an_ambiguous_length_is_refused),
	    CASE(a_large_body_arrives_whole),
	    CASE(pipelined_requests_are_answered_in_order),
	    CASE(a_stream_gives_every_row_in_order),
	    CASE(a_stream_that_fails_is_seen_to_be_cut),
	    CASE(a_reader_that_stops_holds_the_writer_back),
	    CASE(a_reader_that_never_reads_loses_its_stream),
	    CASE(a_client_that_hangs_up_cancels_its_handler),
	    CASE(blocked_handlers_do_not_block_the_door),
	    CASE(closing_ends_what_is_running),
	    CASE(a_request_that_dribbles_is_cut),
	    CASE(a_request_in_single_bytes_is_understood),
	    CASE(too_long_a_header_is_refused),
	    CASE(garbage_does_not_hurt_the_door),
	    CASE(routes_are_checked_when_added),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
