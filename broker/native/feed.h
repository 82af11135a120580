/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Feeds of the native door: messages to everybody who has subscribed (PUB/SUB). A message is its
 * topic, a zero byte and the payload; subscribers choose topics by prefix, on their side. A feed
 * tells what happens and may miss some: a subscriber has a queue, and what does not fit into it is
 * dropped and counted. The log and the views are what one can rely on. Thread: the loop's, but for
 * broker_publish and broker_has_subscribers.
 */
#include "broker/native/sp.h"

enum {
	FEED_SUBSCRIBERS_MAX = 64,
	FEED_QUEUE = 8192,    /* messages per subscriber */
	FEED_PENDING = 16384, /* messages on their way to the loop */
};
#define FEED_QUEUE_BYTES ((size_t)4 * MIB) /* per subscriber */

struct broker;
struct listener;
struct feed {
	struct list subscribers;
	struct shared_u64 count;   /* of subscribers that have said so */
	struct shared_u64 pending; /* messages not yet queued */
};

/* Takes `fd`. LIMIT, NOMEM. */
MUST_USE enum err feed_open(struct listener *l, int fd);
/* Ends subscribers that do not read. */
void feed_sweep(struct broker *b, int64_t now_ns);
void feed_close_all(struct broker *b);
/* True while there are subscribers or messages under way. */
bool feed_is_busy(const struct broker *b);
