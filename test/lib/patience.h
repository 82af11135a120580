/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Tests that do not depend on how fast the machine is, nor on whom it serves besides. What must
 * come is waited for as long as nobody waits in vain; what must be quick is tried again, because a
 * program that is slow is slow each time; and what is about turns of a loop counts turns.
 */
#include "log/base/base.h"
#include "log/base/loop.h"
#include "log/base/metrics.h"

/* For what must come. A machine that is stopped for half a minute is no failure. */
#define PATIENCE_NS (120 * S_NS)
enum { PATIENCE_MS = 120000 };

/* Looks each millisecond; false: it is not so after PATIENCE_NS. */
bool becomes(bool (*is_so)(void *ctx), void *ctx);
/* The same of a counter or gauge that reaches `value`. */
bool metric_reaches(enum metric m, uint64_t value);
bool metric_falls(enum metric m, uint64_t value); /* to it, or below */

/*
 * The least of what up to `tries` calls return; the first that is below `enough_ns` is the last. A
 * call is a whole attempt, with all that might be in the way of it made anew.
 */
int64_t best_of(int tries, int64_t enough_ns, int64_t (*attempt_ns)(void));

/* How a counter rises with the turns of a loop that another thread runs. */
struct turn_watch {
	struct mail mail;
	struct loop *loop;
	enum metric metric;
	uint64_t last;
	uint64_t most;    /* in one turn */
	uint64_t turns;   /* in which it has risen */
	int64_t pause_ns; /* what each turn takes besides */
	bool over;
	struct gate ended;
};
/* pause_ns 0: turns are as long as they are; else as on a machine that is very slow. */
void turn_watch_start(struct turn_watch *w, struct loop *loop, enum metric m, int64_t pause_ns);
void turn_watch_stop(struct turn_watch *w);
void turn_watch_drop(struct loop *loop); /* one that a failed test has left */
