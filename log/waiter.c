/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiters on a partition's visible end, and watches. A waiter is in one of two lists, its
 * partition's or the log's `firing`, or in none: so cancelling is removing. Firing runs from one
 * deferred mail. A watch is in its partition's list, in its set's, or in none.
 */
#include "log/engine.h"

static void waiters_fire(struct mail *mail)
{
	struct log *log = CONTAINER_OF(mail, struct log, fire);
	struct list_node *n;
	log->fire_posted = false;
	while ((n = list_pop_front(&log->firing))) {
		struct log_waiter *w = CONTAINER_OF(n, struct log_waiter, node);
		w->fire(w);
	}
}

static void waiter_due(struct log *log, struct log_waiter *w)
{
	list_remove(&w->node);
	list_push_back(&log->firing, &w->node);
	if (log->fire_posted)
		return;
	log->fire_posted = true;
	log->fire.run = waiters_fire;
	loop_defer(log->loop, &log->fire);
}

void log_waiter_init(struct log_waiter *w, void (*fire)(struct log_waiter *w))
{
	*w = (struct log_waiter){.fire = fire};
	list_node_init(&w->node);
}

static int64_t waiter_end(const struct log_partition *p, const struct log_waiter *w)
{
	return w->committed ? partition_stable_end(p) : p->visible_end;
}

void log_wait(struct log_partition *p, int64_t offset, struct log_waiter *w)
{
	loop_assert_owner(p->log->loop);
	ASSERT(!list_linked(&w->node) && w->fire);
	w->offset = offset;
	if (waiter_end(p, w) > offset || p->state == PARTITION_DELETED)
		waiter_due(p->log, w);
	else
		list_push_back(&p->waiters, &w->node);
}

void log_wait_cancel(struct log_waiter *w)
{
	list_remove(&w->node);
}

/* ---- watches --------------------------------------------------------------------------------- */

void log_watches_init(struct log_watches *all, void (*fire)(struct log_waiter *w))
{
	*all = (struct log_watches){0};
	list_init(&all->changed);
	log_waiter_init(&all->waiter, fire);
}

void log_watch_init(struct log_watch *w, struct log_watches *all)
{
	list_node_init(&w->node);
	w->of = all;
}

static void watch_tell(struct log *log, struct log_watch *w)
{
	struct log_watches *all = w->of;
	list_remove(&w->node);
	list_push_back(&all->changed, &w->node);
	if (all->awaited)
		waiter_due(log, &all->waiter);
	all->awaited = false;
}

void log_watch(struct log_partition *p, struct log_watch *w)
{
	loop_assert_owner(p->log->loop);
	ASSERT(!list_linked(&w->node) && w->of);
	list_push_back(&p->watches, &w->node);
	if (p->state == PARTITION_DELETED)
		watch_tell(p->log, w);
}

void log_watch_cancel(struct log_watch *w)
{
	list_remove(&w->node);
}

void log_watches_wait(struct log *log, struct log_watches *all)
{
	loop_assert_owner(log->loop);
	ASSERT(!all->awaited && !list_linked(&all->waiter.node));
	if (list_empty(&all->changed))
		all->awaited = true;
	else
		waiter_due(log, &all->waiter);
}

void log_watches_cancel(struct log_watches *all)
{
	all->awaited = false;
	log_wait_cancel(&all->waiter);
}

/* ---- when something has happened ------------------------------------------------------------- */

void partition_changed(struct log_partition *p)
{
	LIST_EACH (&p->watches, n, next)
		watch_tell(p->log, CONTAINER_OF(n, struct log_watch, node));
}

void partition_wake(struct log_partition *p)
{
	LIST_EACH (&p->waiters, n, next) {
		struct log_waiter *w = CONTAINER_OF(n, struct log_waiter, node);
		if (waiter_end(p, w) > w->offset || p->state == PARTITION_DELETED)
			waiter_due(p->log, w);
	}
	partition_changed(p);
}
