/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shape: `child` is the first child, `sibling` the next child of the same parent, `prev` the
 * sibling before or, for the first child, the parent. The root has neither prev nor sibling.
 */
#include "timers.h"

static bool before(const struct loop_timer *a, const struct loop_timer *b)
{
	return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

/* Makes the later root the first child of the earlier one. Both are roots; either may be NULL. */
static struct loop_timer *meld(struct loop_timer *a, struct loop_timer *b)
{
	if (!a || !b)
		return a ? a : b;
	if (before(b, a)) {
		struct loop_timer *swap = a;
		a = b;
		b = swap;
	}
	b->prev = a;
	b->sibling = a->child;
	if (a->child)
		a->child->prev = b;
	a->child = b;
	return a;
}

/* Melds a list of siblings into one root: pairs from the left, then the pairs from the right. */
static struct loop_timer *meld_siblings(struct loop_timer *first)
{
	struct loop_timer *pairs = NULL;
	while (first) {
		struct loop_timer *a = first, *b = a->sibling;
		first = b ? b->sibling : NULL;
		a->sibling = a->prev = NULL;
		if (b)
			b->sibling = b->prev = NULL;
		a = meld(a, b);
		a->sibling = pairs;
		pairs = a;
	}
	struct loop_timer *root = NULL;
	while (pairs) {
		struct loop_timer *next = pairs->sibling;
		pairs->sibling = NULL;
		root = meld(root, pairs);
		pairs = next;
	}
	return root;
}

void timers_add(struct timers *t, struct loop_timer *timer)
{
	ASSERT(timer->order == 0);
	timer->order = ++t->last_order;
	timer->child = timer->sibling = timer->prev = NULL;
	t->root = meld(t->root, timer);
}

void timers_remove(struct timers *t, struct loop_timer *timer)
{
	ASSERT(timer->order != 0);
	struct loop_timer *rest = meld_siblings(timer->child);
	if (timer == t->root) {
		t->root = rest;
	} else {
		if (timer->prev->child == timer)
			timer->prev->child = timer->sibling;
		else
			timer->prev->sibling = timer->sibling;
		if (timer->sibling)
			timer->sibling->prev = timer->prev;
		t->root = meld(t->root, rest);
	}
	timer->child = timer->sibling = timer->prev = NULL;
	timer->order = 0;
}
