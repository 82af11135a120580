/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The loop's timers: an intrusive pairing heap (Fredman, Sedgewick, Sleator, Tarjan 1986) ordered
 * by due time, then by the order of setting. Nothing is allocated, so nothing fails; add is O(1),
 * removal O(log n) amortised. Private to log/base. Thread: the loop's.
 */
#include "loop.h"

struct timers {
	struct loop_timer *root;
	uint64_t last_order;
};

static inline struct loop_timer *timers_first(const struct timers *t)
{
	return t->root;
}
/* due_ns is set, the timer is not in the heap. */
void timers_add(struct timers *t, struct loop_timer *timer);
/* It is in the heap. */
void timers_remove(struct timers *t, struct loop_timer *timer);
