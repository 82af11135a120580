/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Fetch sessions (KIP-227): the server remembers what a consumer fetches, so that a request names
 * only what has changed since the last one, and an answer only what has news. So does its work: a
 * partition of which all has been told and read rests, watched, until it changes or the request
 * names it; a fetch looks at the others. Thread: the loop's.
 *
 * A session is made by a full request of epoch 0, its requests count on from 1 and wrap to 1; epoch
 * -1, or a full request that names it, ends it. A session is in use by one fetch at a time, from
 * its start to its answer. It belongs to the principal that made it: to others it is not there.
 * There are fetch_sessions_max of them at most and FETCH_SESSION_BYTES in all; when no slot is
 * free, the one that was not used for longest goes, if that is FETCH_SESSION_REST_NS ago; otherwise
 * the request is answered without one (session id 0), which clients take for "send full requests".
 */
#include "broker/kafka/request.h"

#define FETCH_SESSION_BYTES ((size_t)32 * MIB)
/* Kafka's min.incremental.fetch.session.eviction.ms */
#define FETCH_SESSION_REST_NS (120 * S_NS)

struct fetch_session_topic {
	struct log_uuid id; /* zero: by name */
	struct str name;    /* ptr NULL: by id; otherwise behind this struct */
	uint32_t parts;
};
struct fetch_session_part {
	struct list_node node;  /* session->parts; not of one that rests: */
	struct log_watch watch; /* that does, or has changed since */
	uint64_t seen_bytes;    /* log_readable_bytes when it began to */
	struct fetch_session_topic *topic;
	struct {
		const struct fetch_session_topic *topic;
		int64_t partition;
	} key; /* of session->index */
	/* as asked for last */
	int64_t fetch_offset;
	int32_t current_leader_epoch, max_bytes;
	/* as told last; -1: tell again */
	int64_t high_watermark, log_start_offset;
};
struct fetch_session {
	struct list_node node; /* sessions->by_use */
	int32_t id, epoch;     /* of its next request */
	bool by_id;            /* its topics are named by id */
	bool used;             /* by a fetch; `ended` then frees it at its end */
	bool ended;
	int64_t used_ns;
	size_t bytes;
	struct map topics; /* name or id -> fetch_session_topic */
	struct map index;  /* fetch_session_part.key -> fetch_session_part */
	/* to be looked at, in the order in which they are served: those that gave data go to the
	 * end */
	struct list parts;
	struct log_watches watches; /* of the others; awaited by its fetch */
	struct fetch *fetch;        /* then */
	int8_t isolation;           /* what they have been looked at with, and by what rights */
	uint64_t rights;
	struct str principal; /* behind this struct */
};
struct fetch_sessions {
	struct map by_id;   /* fetch_session.id -> fetch_session */
	struct list by_use; /* longest unused first */
	size_t bytes;       /* of all */
	uint32_t max;
};
void fetch_sessions_init(struct fetch_sessions *all); /* `max` is the caller's to set */
/* Nothing may be in use. */
void fetch_sessions_release(struct fetch_sessions *all);

/*
 * What the fetch `req` is about: a session with the request's changes made, to be given back by
 * fetch_session_end, or NULL: just the request. ERR_FETCH_SESSION_NOT_FOUND,
 * ERR_FETCH_SESSION_EPOCH, ERR_FETCH_SESSION_TOPIC_ID.
 */
MUST_USE enum err fetch_session_begin(
    const struct request *req, struct fetch_session **ret_session);
void fetch_session_end(struct fetch_sessions *all, struct fetch_session *s);
/* One in use, made by the request that is answered: its client is not told of it. It still has to
 * be given back. */
void fetch_session_revoke(struct fetch_sessions *all, struct fetch_session *s);
/* The waiter of `watches` (fetch.c). */
void fetch_changed(struct log_waiter *waiter);
/* The next one that has changed while it rested, which is over; NULL: none. */
struct fetch_session_part *fetch_session_changed(struct fetch_session *s);
/* All there is has been told of `part`, which is partition `p`, and read: it rests. */
void fetch_session_rest(
    struct fetch_session_part *part, struct log_partition *p, uint64_t seen_bytes);
/* True when the answer must name `part`, given what it would say; remembers that. */
bool fetch_session_tell(struct fetch_session *s, struct fetch_session_part *part,
    const struct fetch_response_partition *out);
