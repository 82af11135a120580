/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door itself: opening and closing, libmicrohttpd's callbacks (all on its one event thread). A
 * refused request's body is read on and thrown away while it is small, so that the client gets to
 * read the answer instead of a reset connection.
 */
#include "door.h"
#include <stdio.h>

/* ---- callbacks of the event thread ----------------------------------------------------------- */

static void enter_phase(
    struct http_request *r, enum connection_phase phase, struct http_request *running)
{
	struct http *http = r->http;
	mutex_lock(&http->mutex);
	r->socket->phase = phase;
	r->socket->since_ns = io_clock_ns(http->io, IO_CLOCK_MONOTONIC);
	r->socket->request = running;
	mutex_unlock(&http->mutex);
}

static void *on_uri(void *arg, const char *uri, struct MHD_Connection *connection)
{
	(void)connection;
	return http_request_new(arg, uri);
}

/* The door decodes targets itself (uri.c). */
static size_t on_unescape(void *arg, struct MHD_Connection *connection, char *s)
{
	(void)arg;
	(void)connection;
	return strlen(s);
}

static enum err find_route(struct http_request *r)
{
	char allow[64];
	if (r->bad_target)
		return err_note(ERR_INVALID_REQUEST, "malformed request target");
	switch (route_match(r->http, r, allow, sizeof allow)) {
	case ROUTE_FOUND:
		return ERR_OK;
	case ROUTE_NO_METHOD:
		TRY(http_reply_header(&r->reply, MHD_HTTP_HEADER_ALLOW, str_of(allow)));
		return err_note(ERR_METHOD_NOT_ALLOWED, "allowed here: %s", allow);
	case ROUTE_NO_PATH:
	default:
		return err_note(ERR_NOT_FOUND, "there is nothing at this path");
	}
}

/* Bytes of body announced; UINT64_MAX = not announced (chunked). */
static uint64_t announced_length(struct http_request *r)
{
	uint64_t len = 0;
	struct str text = http_header(r, MHD_HTTP_HEADER_CONTENT_LENGTH);
	if (http_header(r, MHD_HTTP_HEADER_TRANSFER_ENCODING).ptr ||
	    (text.ptr && !str_to_u64(text, &len)))
		return UINT64_MAX;
	return len;
}

static enum err check_head(struct http_request *r, uint64_t length)
{
	TRY(guard_check(r));
	TRY(find_route(r));
	r->body.limit = r->route->def.body_max;
	if (length != UINT64_MAX && length > r->route->def.body_max)
		return err_note(
		    ERR_BODY_TOO_LARGE, "at most %zu bytes here", r->route->def.body_max);
	return ERR_OK;
}

static enum MHD_Result on_head(
    struct http_request *r, struct MHD_Connection *connection, const char *method)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	if (!info || !info->socket_context)
		return MHD_NO;
	r->seen_head = true;
	r->connection = connection;
	r->socket = info->socket_context;
	r->reply.head_only = strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
	r->method = r->reply.head_only ? STR("GET") : arena_copy_str(&r->arena, str_of(method));
	if (!r->method.ptr)
		return MHD_NO;
	enter_phase(r, PHASE_BODY, NULL);
	metric_add(METRIC_HTTP_REQUESTS, 1);
	err_clear();
	uint64_t length = announced_length(r);
	enum err e = check_head(r, length);
	if (e == ERR_OK)
		return MHD_YES;
	if (e == ERR_UNAUTHORIZED &&
	    http_reply_header(&r->reply, "WWW-Authenticate", STR("Bearer")) != ERR_OK)
		return MHD_NO;
	r->refused = true;
	reply_finish(r, e);
	/* an early answer makes libmicrohttpd close the connection */
	bool early = http_header(r, MHD_HTTP_HEADER_EXPECT).ptr ||
	             (length != UINT64_MAX && length > BODY_OVERRUN_BYTES);
	return early ? reply_queue(r) : MHD_YES;
}

static enum MHD_Result on_body(struct http_request *r, struct bytes part)
{
	r->body_seen += part.len;
	if (!r->refused)
		write_bytes(&r->body, part);
	if (!r->refused && r->body.err != ERR_OK) {
		err_clear();
		enum err e = r->body.err == ERR_LIMIT ? ERR_BODY_TOO_LARGE : r->body.err;
		r->refused = true;
		reply_finish(r, err_note(e, "at most %zu bytes here", r->route->def.body_max));
		writer_release(&r->body);
		writer_init(&r->body, 0);
	}
	size_t max = r->route ? r->route->def.body_max : 0;
	return r->refused && r->body_seen > max + BODY_OVERRUN_BYTES ? MHD_NO : MHD_YES;
}

static enum MHD_Result on_end(struct http_request *r)
{
	if (r->refused || r->submitted)
		return reply_queue(r);
	r->submitted = true;
	enter_phase(r, PHASE_ANSWER, r);
	if (r->route->def.inline_) {
		err_clear();
		reply_finish(r, r->route->def.handler(r->route->def.ctx, r, &r->reply));
		return reply_queue(r);
	}
	if (work_submit(r))
		return MHD_YES;
	reply_finish(r, ERR_CLOSED);
	return reply_queue(r);
}

static enum MHD_Result on_access(void *arg, struct MHD_Connection *connection, const char *url,
    const char *method, const char *version, const char *data, size_t *data_len, void **request)
{
	struct http_request *r = *request;
	(void)arg;
	(void)url;
	(void)version;
	if (!r)
		return MHD_NO;
	if (!r->seen_head)
		return on_head(r, connection, method);
	if (*data_len == 0)
		return on_end(r);
	enum MHD_Result result = on_body(r, bytes_of(data, *data_len));
	*data_len = 0;
	return result;
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **request,
    enum MHD_RequestTerminationCode how)
{
	struct http_request *r = *request;
	(void)arg;
	(void)connection;
	(void)how;
	if (!r)
		return;
	*request = NULL;
	if (r->socket)
		enter_phase(r, PHASE_HEAD, NULL);
	mutex_lock(&r->mutex);
	r->gone = true;
	shared_store(&r->cancelled, 1);
	cond_signal(&r->room);
	mutex_unlock(&r->mutex);
	http_request_unref(r);
}

static void connection_started(struct http *http, struct MHD_Connection *connection, void **socket)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct http_connection *c = info ? mem_calloc(1, sizeof *c) : NULL;
	if (!c)
		return; /* its first request is refused: on_head */
	c->fd = info->connect_fd;
	c->since_ns = io_clock_ns(http->io, IO_CLOCK_MONOTONIC);
	mutex_lock(&http->mutex);
	list_push_back(&http->connections, &c->node);
	metric_set(METRIC_HTTP_CONNECTIONS, (int64_t)++http->connection_count);
	mutex_unlock(&http->mutex);
	*socket = c;
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **socket,
    enum MHD_ConnectionNotificationCode what)
{
	struct http *http = arg;
	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		connection_started(http, connection, socket);
		return;
	}
	struct http_connection *c = *socket;
	if (!c)
		return;
	mutex_lock(&http->mutex);
	list_remove(&c->node);
	metric_set(METRIC_HTTP_CONNECTIONS, (int64_t)--http->connection_count);
	mutex_unlock(&http->mutex);
	mem_free(c);
	*socket = NULL;
}

__attribute__((format(printf, 2, 0))) static void on_log(void *arg, const char *fmt, va_list args)
{
	char line[300], quoted[400];
	(void)arg;
	vsnprintf(line, sizeof line, fmt, args);
	line[strcspn(line, "\n")] = '\0';
	diag(DIAG_DEBUG, "http", "message=%s", diag_quote(quoted, sizeof quoted, str_of(line)));
}

/* ---- open, close ----------------------------------------------------------------------------- */

static enum err start_daemon(struct http *http, const struct http_options *options)
{
	int fd;
	TRY(io_listen(http->io, http->host, options->port, &fd, &http->port));
	/* poll, not epoll: 0.9.75 with edge-triggered epoll loses the end of a connection whose
	 * request it has just resumed, and keeps its socket until the timeout; HTTP_CONNECTIONS_MAX
	 * are few enough */
	http->daemon = MHD_start_daemon(
	    MHD_USE_POLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL,
	    NULL, on_access, http, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
	    MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
	    (unsigned)HTTP_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP_TIMEOUT_S,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, 64 * KIB, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
	    NULL, MHD_OPTION_NOTIFY_CONNECTION, on_connection, http, MHD_OPTION_URI_LOG_CALLBACK,
	    on_uri, http, MHD_OPTION_UNESCAPE_CALLBACK, on_unescape, NULL, MHD_OPTION_END);
	bool v6 = strchr(http->host, ':') != NULL;
	snprintf(http->address, sizeof http->address, "%s%s%s:%u", v6 ? "[" : "", http->host,
	    v6 ? "]" : "", (unsigned)http->port);
	if (http->daemon)
		return ERR_OK;
	enum err ignored = io_close(http->io, fd);
	(void)ignored;
	return err_note(ERR_SYS, "cannot start the HTTP server on %s", http->address);
}

static void http_free(struct http *http)
{
	LIST_EACH (&http->routes, node, tmp) {
		list_remove(node);
		route_free(CONTAINER_OF(node, struct route, node));
	}
	ASSERT(list_empty(&http->queue));
	guard_release(http);
	cond_release(&http->work);
	cond_release(&http->tick);
	mutex_release(&http->mutex);
	mem_free(http->host);
	mem_free(http);
}

enum err http_open(const struct http_options *options, struct http **ret_http)
{
	struct http *http = mem_calloc(1, sizeof *http);
	if (!http)
		return ERR_NOMEM;
	http->io = options->io;
	mutex_init(&http->mutex);
	cond_init(&http->work);
	cond_init(&http->tick);
	list_init(&http->routes);
	list_init(&http->connections);
	list_init(&http->queue);
	http->host = mem_strdup(str_of(options->host ? options->host : "127.0.0.1"));
	enum err e = http->host ? guard_open(http, options) : ERR_NOMEM;
	if (e == ERR_OK)
		e = work_open(http);
	if (e == ERR_OK)
		e = builtin_routes(http);
	if (e == ERR_OK)
		e = start_daemon(http, options);
	if (e != ERR_OK) {
		work_close(http);
		http_free(http);
		return e;
	}
	*ret_http = http;
	return ERR_OK;
}

void http_close(struct http *http)
{
	if (!http)
		return;
	work_close(http);
	MHD_stop_daemon(http->daemon);
	http_free(http);
}

uint16_t http_port(const struct http *http)
{
	return http->port;
}

const char *http_address(const struct http *http)
{
	return http->address;
}

struct str http_token(const struct http *http)
{
	return str_from(http->token, HTTP_TOKEN_CHARS);
}

void http_set_health(struct http *http, enum err (*check)(void *ctx), void *ctx)
{
	mutex_lock(&http->mutex);
	http->health = check;
	http->health_ctx = ctx;
	mutex_unlock(&http->mutex);
}

void http_set_ready(struct http *http, bool ready)
{
	shared_store(&http->ready, ready);
}
