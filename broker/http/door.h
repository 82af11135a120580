/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Inside of the HTTP door. One request's walk:
 *
 *   MHD event thread                              worker thread
 *   on_uri         http_request_new, target parsed
 *   access (head)  guard_check, route_match  -> refusal, or body follows
 *   access (body)  collected up to the route's limit
 *   access (end)   work_submit, connection suspended -> handler -> reply_* -> reply_finish
 *   access (again) reply_queue                <- connection resumed (a stream: at its first write)
 *   stream_read    takes from the buffer      <-> http_reply_write fills it
 *   completed      http_request_unref             http_request_unref
 *
 * Locks, outer to inner: http.mutex, request.mutex, libmicrohttpd's own. The event thread never
 * waits for a worker. A suspended connection is resumed exactly once: `suspended` changes only
 * under request.mutex.
 */
#include "broker/http.h"
#include <microhttpd.h>

enum { ROUTE_SEGMENTS_MAX = 16, HTTP_TOKEN_CHARS = 64 };
#define STREAM_PIECE_BYTES  (64 * KIB) /* what a client must take within HTTP_TIMEOUT_S */
#define REQUEST_ARENA_BYTES (256 * KIB)
#define BODY_OVERRUN_BYTES  (1 * MIB) /* of a too large chunked body read on only to answer 413 */

struct route {
	struct list_node node;
	struct http_route def; /* method and pattern are owned copies */
	struct str segment[ROUTE_SEGMENTS_MAX];
	size_t segment_count;
	bool rest; /* the last segment is "*" */
};

enum connection_phase { PHASE_HEAD, PHASE_BODY, PHASE_ANSWER };

/* One accepted socket, from MHD's start to its close notice. */
struct http_connection {
	struct list_node node;
	int fd;
	enum connection_phase phase;
	int64_t since_ns;             /* start of the phase */
	struct http_request *request; /* in PHASE_ANSWER */
};

enum reply_state {
	REPLY_NONE,   /* nothing said yet */
	REPLY_WHOLE,  /* status and body are set */
	REPLY_STREAM, /* streaming, handler still at work */
	REPLY_ENDED,  /* streaming, the handler is done */
	REPLY_BROKEN, /* streaming, cut by an error */
};

struct reply_header_entry {
	char *name;
	char *value;
};

struct http_reply {
	enum reply_state state;
	int status;
	const char *content_type;
	struct reply_header_entry header[HTTP_REPLY_HEADERS_MAX];
	size_t header_count;
	struct writer body;
	/* stream: ring of HTTP_STREAM_BYTES, `used` bytes from `head` */
	uint8_t *ring;
	size_t head, used;
	bool queued;    /* the stream's header is on its way */
	bool head_only; /* HEAD: a stream has no reader */
};

struct http_request {
	struct http *http;
	struct MHD_Connection
	    *connection; /* MHD's side only; the worker may use it under mutex while !gone */
	struct http_connection *socket;
	struct list_node node; /* in http.queue */
	struct arena arena;
	/* parsed target */
	bool bad_target;
	char *target;    /* as sent */
	struct str path; /* in target */
	struct str segment[ROUTE_SEGMENTS_MAX];
	size_t segment_count; /* ROUTE_SEGMENTS_MAX + 1 = more */
	struct str query[HTTP_QUERY_MAX][2];
	size_t query_count;
	/* head */
	bool seen_head;
	bool refused;   /* the answer is ready, what is left of the body is thrown away */
	bool submitted; /* a worker has or had it */
	struct str method;
	const struct route *route;
	struct str rest; /* what "*" matched, decoded */
	struct writer body;
	uint64_t body_seen;
	/* shared by both threads, under mutex */
	struct mutex mutex;
	struct cond room; /* ring drained, or gone */
	unsigned refs;
	bool suspended;
	bool gone; /* completed or cancelled: nobody reads any more */
	struct shared_u64 cancelled;
	struct http_reply reply;
};

struct http {
	struct io *io;
	struct MHD_Daemon *daemon;
	uint16_t port;
	char *host;
	char address[280];
	char token[HTTP_TOKEN_CHARS + 1];
	bool (*guard_reads)(void *ctx); /* NULL: never */
	void *guard_ctx;
	char **allowed_host; /* lower case, without port; NULL-terminated */
	struct shared_u64 ready;
	struct mutex mutex; /* everything below */
	enum err (*health)(void *ctx);
	void *health_ctx;
	struct list routes;
	struct list connections;
	size_t connection_count;
	struct list queue; /* requests for workers */
	struct cond work;
	struct cond tick;
	size_t queued, idle_workers, worker_count;
	struct thread worker[HTTP_WORKERS_MAX];
	struct thread sweeper;
	bool closing;
};

/* uri.c */
/* Splits and decodes the target into r->path, segment and query; sets bad_target for what is no
 * valid target. */
void uri_parse(struct http_request *r);

/* route.c */
enum route_match { ROUTE_FOUND, ROUTE_NO_PATH, ROUTE_NO_METHOD };
/* Finds the best route for r->segment and r->method; sets r->route and r->rest. ROUTE_NO_METHOD:
 * the methods there are go to allow. */
enum route_match route_match(
    struct http *http, struct http_request *r, char *allow, size_t allow_len);
void route_free(struct route *route);
/* The name inside "{name}"; ptr NULL for a literal. */
struct str route_segment_name(struct str segment);

/* guard.c */
MUST_USE enum err guard_open(struct http *http, const struct http_options *options);
void guard_release(struct http *http);
/* Host, Origin and X-Kappa, token. Notes the reason. */
MUST_USE enum err guard_check(struct http_request *r);

/* reply.c */
void reply_release(struct http_reply *reply);
/* Hands the finished or started answer to libmicrohttpd. Event thread. */
enum MHD_Result reply_queue(struct http_request *r);
/* After the handler: turns `e` into an answer where there is none, ends a stream, resumes the
 * connection. Worker, or inline. */
void reply_finish(struct http_request *r, enum err e);
struct http_request *reply_request(struct http_reply *reply);

/* work.c */
MUST_USE enum err work_open(struct http *http);
/* Cancels and waits for all; no request is suspended afterwards. */
void work_close(struct http *http);
/* Suspends the connection and queues the request; false when the door is closing. Event thread. */
MUST_USE bool work_submit(struct http_request *r);

/* request.c */
/* With one reference; NULL when out of memory. */
struct http_request *http_request_new(struct http *http, const char *target);
void http_request_unref(struct http_request *r);

/* builtin.c */
MUST_USE enum err builtin_routes(struct http *http);
