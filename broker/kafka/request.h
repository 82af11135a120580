/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One Kafka request on its way: framed and decoded by the connection, filled in by a handler,
 * encoded by request_answer. A handler is `void handle_x(struct request *req)`, registered in
 * dispatch.c with one row per api; ApiVersions advertises exactly those rows.
 *
 * Life: RECEIVED -> (dispatch) HANDLED -> (request_answer) ANSWERED -> (bytes sent or connection
 * gone) freed. A handler answers exactly once, before it returns or later; between the two the
 * request, its body and its arena stay where they are, whatever happens to the connection. Requests
 * of one connection are handled as they arrive, several at a time, and answered on the wire in the
 * order of arrival. Thread: the loop's, like everything in broker/kafka.
 */
#include "broker/kafka/codec.h"
#include "broker/native/sp.h"

struct broker;
struct conn;
struct request;

typedef void (*request_handler)(struct request *req);

struct request {
	/* for the handler */
	struct broker *broker;
	struct log *log;
	struct loop *loop;
	struct conn *conn;
	const struct msg_api *api;
	int16_t version;
	int32_t correlation_id;
	struct str client_id; /* ptr NULL = null */
	uint32_t principal;   /* of the connection; 0 = nobody */
	struct str peer;      /* address of the other end, "127.0.0.1" */
	struct arena arena;   /* freed with the request; use request_alloc */
	void *body;           /* the api's request struct; the handler may modify it */
	void *response;       /* its response struct, holding the defaults: fill it in, answer */
	int64_t received_ns;  /* monotonic */
	int32_t throttle_ms;  /* over a quota: told in the answer, where its version has a field for
	                         it */
	int64_t busy_ns; /* time it has taken on the loop, while somebody has a quota of that */

	/* a handler that answers later may set these */
	void *user;
	/* The connection is gone: stop waiting and call request_answer soon (or from here). At most
	 * once. */
	void (*closed)(struct request *req);
	/* Memory is short, and it waits for something by its client's wish: answer with what there
	 * is. */
	void (*hurry)(struct request *req);
	/* After the response has been sent or dropped: give back what its slices point into. */
	void (*release)(struct request *req);
	/* Set by request_when_first. */
	void (*turn)(struct request *req);

	/* the connection's own */
	struct list_node node;
	struct sp_trace trace; /* native door: goes back with the answer */
	uint8_t *frame;        /* header and body, borrowed by `body`; given back when answered */
	size_t frame_len, frame_capacity;
	struct msg_out out; /* length prefix, header, body */
	size_t held;    /* of broker->answers: what its answer is made of, then `out` and what is
	                       kept with it */
	size_t fetched; /* the same, for the batches that are spliced in */
	bool answered;  /* `out` is complete; empty when nothing is to be sent */
};

/* Encodes req->response; the connection sends it when its turn comes. The body is not touched
 * afterwards. */
void request_answer(struct request *req);
/* For when no answer can be built or deserved: closes the connection with one diag line naming
 * `why`. Counts as the answer. */
void request_fail(struct request *req, enum err why);
/* Answers with these bytes behind a length, without header: SASL tokens of old clients. */
void request_answer_raw(struct request *req, struct bytes token);
/* Produce with acks = 0: the request ends without a response. */
void request_end_silently(struct request *req);

/*
 * Runs `turn` (at once, or later) when every earlier request of the connection has been answered
 * and sent: for requests with large answers, so that a connection never holds more than one.
 */
void request_when_first(struct request *req, void (*turn)(struct request *req));

/* Zeroed memory that lives as long as the request; NULL when the response would grow over its
 * limit. */
void *request_alloc(struct request *req, size_t len);
/* `count` elements of a response array, initialised to defaults; NULL as above (then
 * request_fail(req, ERR_LIMIT)). */
void *request_new(struct request *req, const struct msg_shape *shape, size_t count);
/* A formatted string in the arena; ptr NULL when it is exhausted, which nullable fields bear. */
struct str request_text(struct request *req, const char *fmt, ...) PRINTF(2, 3);

/* ---- dispatch -------------------------------------------------------------------------------- */
struct dispatch_row {
	int16_t key;
	int8_t min, max; /* served */
	int8_t advertised_min;
	request_handler handle;
};
/* NULL when the api is not served. */
const struct dispatch_row *dispatch_find(int16_t key);
/* Rows in order of key; NULL past the end. */
const struct dispatch_row *dispatch_at(size_t index);
