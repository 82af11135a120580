/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The Kafka door from inside: the broker, its connections and the memory they share. Private to
 * broker/. Thread: the loop's.
 */
#include "broker/auth/crypto_queue.h"
#include "broker/broker.h"
#include "broker/kafka/admission.h"
#include "broker/kafka/fetch_session.h"
#include "broker/kafka/request.h"
#include "broker/native/feed.h"

/* ---- buffers for request frames -------------------------------------------------------------- */
/*
 * Frames grow as their bytes arrive: never more than 4 times what has been received plus
 * FRAME_LEAST_BYTES is taken for one (I8). Large buffers are kept for reuse, because fresh memory
 * costs a page fault per 4 KiB.
 */
enum { FRAME_POOL_SLOTS = 32, FRAME_LEAST_BYTES = 512 };
#define FRAME_SMALL_BYTES   ((size_t)64 * KIB) /* up to here a part of the budget is theirs alone */
#define FRAME_EARNEST_BYTES ((size_t)1 * KIB)  /* received of one that gets a kept buffer */
#define FRAME_ROUND_BYTES   ((size_t)256 * KIB)
#define FRAME_POOL_MAX      ((size_t)4 * MIB)  /* the largest kept */
#define FRAME_POOL_BYTES    ((size_t)16 * MIB) /* all kept */

struct frame_pool {
	struct {
		uint8_t *ptr;
		size_t capacity;
	} slot[FRAME_POOL_SLOTS];
	size_t count;
	size_t bytes;
	struct budget budget; /* of frames in use */
	const uint8_t *over;  /* the one that has passed the limit; NULL: nobody has */
	size_t over_bytes;    /* by so much */
};
struct frame {
	uint8_t *ptr;
	size_t capacity;
	size_t len;  /* of the whole request */
	size_t have; /* received so far */
};
void frame_pool_init(struct frame_pool *pool, size_t budget_bytes);
void frame_pool_release(struct frame_pool *pool);
/*
 * Makes room for more bytes of `f` (ptr NULL: for its first), of which `waiting` are here already.
 * ERR_AGAIN: the budget is used up, try again when frames were given back; ERR_NOMEM.
 */
MUST_USE enum err frame_grow(struct frame_pool *pool, struct frame *f, size_t waiting);
void frame_give(struct frame_pool *pool, uint8_t *ptr, size_t capacity);
/* What is left of the budget for frames of this length, and how much `f` would take next. */
size_t frame_room(const struct frame_pool *pool, size_t len);
size_t frame_need(const struct frame *f);

/* ---- listener -------------------------------------------------------------------------------- */
struct listener {
	struct broker *broker;
	enum sp_framing framing;
	bool feed;                      /* connections are subscribers */
	struct broker_listener options; /* strings are copies */
	int32_t node_id;
	int fd; /* -1: not open */
	uint16_t port;
	bool accepting;
	struct io_req accept;
	int held; /* a client that waits for a place; -1: none */
	struct loop_timer accept_again;
};

/* ---- connection ------------------------------------------------------------------------------ */
enum { CONN_HEAD_BYTES = 4096 };
#define CONN_OUT_HIGH   ((size_t)4 * MIB)   /* answered, not sent: above it reading stops */
#define CONN_IN_HIGH    ((size_t)12 * MIB)  /* of requests not answered: above it reading stops */
#define CONN_SEND_BYTES ((size_t)1 * MIB)   /* of one send: a reader too slow for this is noticed */
#define CONN_SEND_SHORT ((size_t)256 * KIB) /* the same while memory for answers is short */
#define CONN_SLICE_NS   (MS_NS)             /* of the loop's time; then others have a turn */

struct conn {
	struct broker *broker;
	struct listener *listener; /* NULL: came in by another door */
	struct list_node node;     /* broker->conns */
	struct list_node hungry;   /* broker->hunger: wants room for its frame */
	int64_t hungry_ns;         /* since when; 0: it does not */
	struct list_node crowded;  /* broker->answers: a whole request waits for such memory */
	int64_t crowded_ns;        /* since when; 0: it does not */
	int64_t step_ns;           /* start of its turn on the loop */
	bool yielding;             /* the turn was long enough: it goes on in the next */
	bool unshed;               /* there are answers that hold more than is sent */
	struct mail mail;          /* runs conn_step */
	bool mailed;
	bool closing;
	bool receiving, sending;
	bool resting; /* over a quota: nothing is read until `rest` fires */
	struct loop_timer rest;
	bool greeted, greeting_sent; /* of the native door's handshake */
	int fd;                      /* -1 once closed */
	uint32_t in_flight;          /* requests in the list */
	uint32_t principal;
	char *user;                /* "User:NAME"; NULL: has not said who it is */
	struct list_node stranger; /* admission.strangers, until admitted */
	struct admission_peer *counted;
	bool admitted;          /* requests of every kind are served; else see sasl.h */
	bool last;              /* closes when what is answered has been sent */
	unsigned mechanism;     /* BROKER_SASL_: how it was admitted */
	struct sasl *sasl;      /* NULL: no conversation is under way */
	int64_t session_end_ns; /* 0 = none */
	int64_t again_ns;       /* start of the last conversation */
	int64_t opened_ns;
	struct list requests; /* struct request, in order of arrival; freed when sent */
	struct list produces; /* struct produce, in order of arrival, until given to the log */
	size_t out_bytes;     /* answered, not sent */
	size_t in_bytes;      /* memory of requests not yet answered */
	int64_t active_ns;    /* last byte either way, or since when there is something to send */
	int64_t frame_ns;     /* the current frame's first byte, later by what it has been hungry */
	int64_t send_ns;      /* start of the current send */
	struct io_req recv, send;
	struct iovec recv_iov[2];
	struct iovec *send_iov;
	/* where the next send starts: in the first request, byte `send_pos` of this piece */
	size_t send_piece, send_pos;
	size_t sent_after;    /* requests that the send under way completes */
	struct conn_tls *tls; /* NULL: plain */
	struct frame frame;
	struct sp_trace trace; /* of `frame` */
	size_t head_pos, head_len;
	struct io_address local, peer;
	uint8_t head[CONN_HEAD_BYTES];
};
_Static_assert(sizeof(struct conn) <= 8 * KIB, "an idle connection stays under 16 KiB");

/* Takes `fd`. ERR_NOMEM. */
MUST_USE enum err conn_open(struct listener *l, int fd);
/*
 * For conn_tls.c: where the next plain bytes go (*ret_count 0: nowhere, for want of memory or
 * because the connection has ended), and that so many have come.
 */
void conn_places(struct conn *c, struct iovec places[2], int *ret_count);
void conn_came(struct conn *c, size_t len);
/* Cuts requests out of what has come and hands them on. */
void conn_parse(struct conn *c);
/* Whether nothing may be read now (conn.c C2). */
bool conn_paused(const struct conn *c);
/* Ends it: no further request is read, answers not yet sent are dropped. Safe to call at any time,
 * twice too. */
void conn_close(struct conn *c, enum err why, const char *reason);
/* Lets it go on: something it may wait for has happened. */
void conn_wake(struct conn *c);
/* Whether its credentials are being verified, or wait for that. */
bool conn_is_decided(const struct conn *c);
/* Something has come from the client. */
void conn_heard(struct conn *c);
/* Reads nothing more from it until then (KIP-219). */
void conn_rest(struct conn *c, int64_t until_ns);
/* Where its client came in, or would have: the first. */
const struct listener *conn_listener(const struct conn *c);
/* Who the client is, as access lists name it. */
struct str conn_principal(const struct conn *c);
/* Its request has been answered. */
void conn_answered(struct request *req);

/* The listener's, also for what it sends. */
enum sp_framing conn_framing(const struct conn *c);

/* ---- memory that others wait for (relief.c) -------------------------------------------------- */
struct relief {
	size_t want; /* bytes */
	/* of all that are open; 0: it may stay */
	double (*burden)(const struct conn *c, int64_t now_ns);
	size_t (*held)(const struct conn *c);
	const char *reason; /* told in the event */
};
/* Ends those who burden the server most until `want` bytes are free. How many. */
size_t relief_give(struct broker *b, const struct relief *relief);

/* ---- those who wait for memory for their frame (hunger.c) ------------------------------------ */
enum { HUNGER_LINES = 13 }; /* frames up to 64 KiB, 128 KiB, 256 KiB ... */
struct hunger {
	struct list line[HUNGER_LINES]; /* conn->hungry */
	struct loop_timer relief;
};
void hunger_init(struct hunger *hunger);
void hunger_stop(struct broker *b);
/* It waits until hunger_feed finds room for it. */
void hunger_wait(struct conn *c);
/* It has got what it waited for, if it did. */
void hunger_served(struct conn *c);
/* There may be room: wakes those whom it is enough for. */
void hunger_feed(struct broker *b);

/* ---- memory of answers (answers.c) ----------------------------------------------------------- */
#define ANSWER_LARGE_BYTES ((size_t)64 * KIB) /* held by a request that waits: others count more */
struct answers {
	struct budget budget;
	size_t over_bytes;   /* that first batches being read may have over what was taken */
	struct list crowded; /* conn->crowded, of those with nothing under way */
	struct list greedy;  /* of others */
	struct list starved; /* fetches */
	struct list gated;   /* fetches that wait only for the reads of others */
	int64_t pinched_ns;  /* since when somebody waits, while `relief` is set */
	struct loop_timer relief;
	struct mail wake;
	bool wake_queued;
};
void answers_init(struct answers *answers);
void answers_stop(struct broker *b);
/* Whether there is room for so much more of an answer to `c`. */
bool answers_fit(const struct conn *c, size_t len);
/* Whether the request that has come may be handled now; else the connection waits in line. */
bool answers_admit(struct conn *c);
/* What it was sent has gone: it may be spared now. */
void answers_taken(struct conn *c);
/* A fetch waits in `starved`. */
void answers_pinch(struct broker *b);
/* Whether somebody waits, or has just done so. */
bool answers_are_short(const struct broker *b);
/* Takes it, whatever is left, and gives it back; those who wait may go on then. */
void answers_take(struct broker *b, size_t len);
void answers_give(struct broker *b, size_t len);
/* Lets so many of the starved fetches try again (fetch.c). */
void fetch_wake(struct broker *b, int count);

/* ---- broker ---------------------------------------------------------------------------------- */
struct auth;
struct security;
struct tls_server;
struct groups;
struct quotas;
struct settings;
struct transactions;
struct broker {
	struct loop *loop;
	struct io *io;
	struct log *log;
	struct groups *groups;
	struct transactions *transactions;
	struct auth *auth;
	struct quotas *quotas;
	struct request *running; /* a handler of it is at work, since running_ns */
	int64_t running_ns;
	struct settings *settings;
	struct crypto_queue crypto;
	struct admission admission;
	/* of each listener of the options; NULL: it has no TLS */
	struct tls_server *tls[BROKER_LISTENERS_MAX];
	struct broker_tls_options tls_options[BROKER_LISTENERS_MAX]; /* strings are copies */
	struct jwks *jwks;                                           /* NULL: no bearer tokens */
	struct security *security;
	struct broker_health {
		struct loop_timer beat;
		struct shared_u64 beat_ns, failed, damaged, unread;
	} health;                      /* what the HTTP door says of the loop */
	struct broker_options options; /* with defaults filled in; strings are copies */
	struct listener listeners[BROKER_LISTENERS_MAX + 2];
	size_t listener_count; /* those of the options, then the native ones */
	struct feed feed;
	char *native_requests, *native_feeds; /* addresses; NULL: not served */
	bool closing;
	struct loop_timer sweep;
	struct list conns;
	uint32_t conn_count;
	struct hunger hunger;
	struct frame_pool frames;
	struct fetch_sessions fetch_sessions;
	struct answers answers;
	struct list append_waiting; /* produce requests whose turn with the log has not come */
	size_t append_bytes;        /* given to the log and not yet answered by it */
};

/*
 * Listens on one more address; nobody is accepted before start. The strings of `from` are copied.
 */
MUST_USE enum err listener_add(struct broker *b, const struct broker_listener *from,
    enum sp_framing framing, struct listener **ret_listener);
/* Adds the listeners of the native door. INVALID, REFUSED and the errors of io_listen. */
MUST_USE enum err native_open(struct broker *b, const struct broker_native *options);

/* Fills in options.cluster_id from the log, where it is made at the first start. Blocks. */
MUST_USE enum err cluster_id_open(struct broker *b);

/*
 * What listeners with TLS and SASL need from files, read at the start and again (security.c):
 * broker->tls, broker->tls_options, broker->jwks, and those strings of the options. Opening blocks.
 */
MUST_USE enum err security_open(struct broker *b, const struct broker_options *options);
void security_stop(struct broker *b);
bool security_busy(const struct broker *b);
void security_release(struct broker *b);

/* Gives a request's frame back and lets hungry connections go on. */
void broker_frame_give(struct broker *b, uint8_t *ptr, size_t capacity);

/* ---- request --------------------------------------------------------------------------------- */
/* Takes the frame over. NULL: out of memory, the frame is freed. */
struct request *request_open(struct conn *c, struct frame *frame);
/* Decodes and hands to the handler; refusals end in request_fail. */
void request_dispatch(struct request *req);
/* Whether so little is named in a whole request that its answer is short, however long what comes
 * with it. */
bool request_names_little(const struct frame *frame);
/* Runs what request_when_first was given. */
void request_take_turn(struct request *req);
/* Gives back what its answer was made from, where that is not what is sent. Not from its handler.
 */
void request_shed(struct request *req);
/* After it was sent or dropped. */
void request_free(struct request *req);
