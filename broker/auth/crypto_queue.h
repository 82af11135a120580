/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Arithmetic that takes milliseconds (PBKDF2, TLS handshakes) on the service pool, one piece at a
 * time: strangers can ask for it, and the pool has other work. Addresses take turns, so that one
 * which asks for much delays the others by one piece each time: there is a lane for each (those
 * whose hash is the same share it). Within it the names take turns that its clients say they have:
 * who guesses the password of one delays the others behind the same address by one piece as well.
 * First come first served for the same name.
 *
 * A lane has half of a processor, of which 2 s may come at once: whoever guesses at however many
 * names from one address leaves the rest to others and to the server. Only what its pieces took
 * counts, so a piece is begun while anything is left. Thread: the loop's, but for `run`.
 */
#include "log/base/base.h"

enum { CRYPTO_LANES = 256, CRYPTO_NAMES = 16 };
#define CRYPTO_BURST_NS (2 * S_NS)
#define CRYPTO_SHARE    2 /* one part in so many of a processor */

struct crypto_lane {
	struct list names[CRYPTO_NAMES]; /* struct crypto_work */
	uint32_t last;                   /* of the names: had its turn */
	int64_t left_ns;                 /* of processor time; 0 and below: it rests */
	int64_t at_ns;                   /* when that was so */
};
struct crypto_queue {
	struct loop *loop;
	struct crypto_lane lanes[CRYPTO_LANES];
	uint32_t last; /* the lane that had its turn */
	bool running;
	int64_t burst_ns, share; /* as above, or a test's */
	struct loop_timer rest;
};
/* Caller-owned; stays until `done`. At most one per connection, so the queue is bounded. */
struct crypto_work {
	struct crypto_queue *queue;
	struct crypto_lane *lane;
	struct list_node node;
	struct pool_job job;
	int64_t cost_ns;                       /* that it took */
	enum err err;                          /* not ERR_OK: `run` was not called */
	void (*run)(struct crypto_work *work); /* [pool thread] */
	void (*done)(struct crypto_work *work);
};
void crypto_queue_init(struct crypto_queue *q, struct loop *loop);
/* Nothing may be in it. */
void crypto_queue_release(struct crypto_queue *q);
/* For a client at this address that says it is `name` (len 0: nobody yet). `done` may come before
 * this returns. */
void crypto_submit(
    struct crypto_queue *q, struct str address, struct str name, struct crypto_work *work);
/* True when it had not begun: neither `run` nor `done` will be called. */
bool crypto_withdraw(struct crypto_work *work);
