/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The HTTP door: one listener (libmicrohttpd) on which rooms register routes. The door parses,
 * guards and limits; a route's handler only answers. Every request passes, in this order: Host
 * allow-list (421), on writes Origin and X-Kappa (403), token (401), path (404), method (405), body
 * limit (413). A write is every method but GET and HEAD. Refusals and errors are RFC 9457 problem
 * documents {type, title, status, detail, code}, code = err_name(). There is no CORS.
 *
 * Threads: http_open, http_close, http_route and http_set_ready: any thread. Handlers run on the
 * door's own worker threads (HTTP_WORKERS_MAX, started as needed), one request each, and may block:
 * they reach what the log loop owns by loop_call or mail. Bounds: connections, workers, header
 * bytes (32 KiB), body bytes (per route), one stream buffer of HTTP_STREAM_BYTES per streamed
 * answer. A client that stalls for HTTP_TIMEOUT_S loses its connection.
 */
#include "log/base/base.h"

enum {
	HTTP_CONNECTIONS_MAX = 1000,
	HTTP_WORKERS_MAX = 128,    /* each streamed answer takes one while it lasts */
	HTTP_TIMEOUT_S = 30,       /* without any progress */
	HTTP_HEAD_TIMEOUT_S = 60,  /* from the first byte awaited to the end of the header */
	HTTP_BODY_TIMEOUT_S = 120, /* for the whole body */
	HTTP_PARAMS_MAX = 8,       /* {name} segments of a pattern */
	HTTP_QUERY_MAX = 32,       /* query parameters of a request */
	HTTP_REPLY_HEADERS_MAX = 16,
};
#define HTTP_BODY_DEFAULT (1 * MIB)
#define HTTP_STREAM_BYTES (256 * KIB)

struct http;
struct http_request;
struct http_reply;

struct http_options {
	struct io *io;          /* borrowed: token file, clock, randomness */
	const char *host;       /* address to bind; NULL = 127.0.0.1 */
	uint16_t port;          /* 0 = any free one: http_port */
	const char *token_path; /* required; the file is made with mode 0600 when missing */
	/* Host names accepted besides localhost, 127.0.0.1, [::1] and `host` (without port): NULL
	 * or NULL-terminated */
	const char *const *allowed_hosts;
	/* Whether reads need the token on loopback too, but for /health and /ready, because whoever
	 * reads here passes by the access lists; NULL: never. Called for each request, on any
	 * thread. */
	bool (*guard_reads)(void *ctx);
	void *guard_ctx;
};

/*
 * Binds, reads or makes the token (256 random bits as 64 hexadecimal digits), starts serving
 * /health and /ready. Errors: ADDRESS_IN_USE, INVALID (host), PERMISSION (token file readable by
 * others), IO, NOMEM.
 */
MUST_USE enum err http_open(const struct http_options *options, struct http **ret_http);
/* Stops accepting, cancels running requests (http_cancelled, ERR_CANCELLED from writes), waits for
 * their handlers. */
void http_close(struct http *http);
uint16_t http_port(const struct http *http);
/* "host:port" as bound; valid until http_close. */
const char *http_address(const struct http *http);
/* The token; valid until http_close. */
struct str http_token(const struct http *http);
/* /ready answers 503 until this was set. */
void http_set_ready(struct http *http, bool ready);
/* What /health asks, on the event thread: must not block. An error is answered 503 with the chain.
 */
void http_set_health(struct http *http, enum err (*check)(void *ctx), void *ctx);

/* ---- routes ---------------------------------------------------------------------------------- */

/*
 * Answers one request through `reply`: once, by http_reply_body, http_reply_take or
 * http_reply_stream. An error returned before that becomes a problem document with this thread's
 * error chain as detail; after a stream has begun it breaks the connection, so that the client sees
 * that the answer is cut. ERR_OK without an answer is 204.
 */
typedef enum err (*http_handler)(void *ctx, struct http_request *request, struct http_reply *reply);

struct http_route {
	const char *method; /* "GET" (serves HEAD too), "POST", "PUT", "PATCH" or "DELETE" */
	/*
	 * Segments separated by '/': literal, {name} for exactly one non-empty segment, or a last
	 * segment "*" for any rest behind that slash (also empty), read with http_param(r, "*").
	 * Literal segments win over {name}, {name} over "*".
	 */
	const char *pattern;
	http_handler handler;
	void *ctx;
	size_t body_max; /* bytes; 0 = HTTP_BODY_DEFAULT */
	bool inline_;    /* runs on the event thread: must not block, answers with a whole body */
};
/* Strings are copied. ERR_EXISTS for the same method and pattern, ERR_INVALID for a malformed
 * pattern. */
MUST_USE enum err http_route(struct http *http, const struct http_route *route);

/* ---- request: valid until the handler returns ------------------------------------------------ */

struct str http_method(const struct http_request *r); /* HEAD is given as GET */
/* As sent, still percent-encoded, without the query. */
struct str http_path(const struct http_request *r);
/* Decoded {name} segment or "*" rest of the matched pattern. ptr NULL when the pattern has none of
 * that name. */
struct str http_param(const struct http_request *r, const char *name);
/* Decoded query parameter, the first of that name; ptr NULL when absent. */
struct str http_query(const struct http_request *r, const char *name);
/* The same as a number: *ret_value untouched when absent; ERR_INVALID (noted) when it is not one in
 * [min, max]. */
MUST_USE enum err http_query_i64(
    const struct http_request *r, const char *name, int64_t min, int64_t max, int64_t *ret_value);
/* ptr NULL when absent; names compare without case. */
struct str http_header(struct http_request *r, const char *name);
struct bytes http_body(const struct http_request *r);
/* The client is gone or the door is closing: stop working. Looked at once a second. Cheap. */
bool http_cancelled(const struct http_request *r);

/* ---- reply ----------------------------------------------------------------------------------- */

/* Before the body. Replaces a default (security) header of that name. ERR_LIMIT, ERR_INVALID (CR or
 * LF inside). */
MUST_USE enum err http_reply_header(struct http_reply *reply, const char *name, struct str value);
/* A whole answer; `body` is copied. */
MUST_USE enum err http_reply_body(
    struct http_reply *reply, int status, const char *content_type, struct bytes body);
/* The same, taking the writer's buffer (the writer is empty afterwards). A writer with an error
 * answers that error. */
MUST_USE enum err http_reply_take(
    struct http_reply *reply, int status, const char *content_type, struct writer *body);
/* A problem document; detail ptr NULL = this thread's error chain. Status is err_http(e). */
MUST_USE enum err http_reply_problem(struct http_reply *reply, enum err e, struct str detail);
/*
 * Begins an answer of unknown length (chunked). http_reply_write copies into the stream buffer and
 * waits while it is full (back-pressure): ERR_CANCELLED when the client is gone, the door closes or
 * the request was HEAD; ERR_TIMEOUT when the client took less than 64 KiB in HTTP_TIMEOUT_S. The
 * answer is complete when the handler returns ERR_OK.
 */
MUST_USE enum err http_reply_stream(struct http_reply *reply, int status, const char *content_type);
MUST_USE enum err http_reply_write(struct http_reply *reply, struct bytes b);
