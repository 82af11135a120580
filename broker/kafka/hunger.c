/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that wait for memory for their frame. They stand in lines by the length of the frame,
 * shortest first, and are woken when there is room for them.
 *
 * Memory may not come back by itself: a client can begin a long request and send the rest of it
 * slowly, or not at all. While somebody has waited for PATIENCE_NS, frames that are far from being
 * whole are ended, first those which would hold the most memory for the longest time at the rate at
 * which they have come so far. Nobody is ended for being slow while there is memory.
 */
#include "broker/kafka/server.h"

static const int64_t RELIEF_NS = 250 * MS_NS; /* how often it is looked after those who wait */
static const int64_t PATIENCE_NS = S_NS;
static const int64_t GRACE_NS = S_NS; /* of a frame that has begun */
static const double SLOW_S = 5;       /* a frame that will be whole sooner is not ended */

static void on_relief(struct loop_timer *timer);

void hunger_init(struct hunger *h)
{
	for (size_t i = 0; i < HUNGER_LINES; i++)
		list_init(&h->line[i]);
	loop_timer_init(&h->relief, on_relief);
}

void hunger_stop(struct broker *b)
{
	loop_timer_cancel(b->loop, &b->hunger.relief);
}

void hunger_wait(struct conn *c)
{
	struct broker *b = c->broker;
	size_t line = 0;
	if (list_linked(&c->hungry))
		return;
	while (line + 1 < HUNGER_LINES && c->frame.len > FRAME_SMALL_BYTES << line)
		line++;
	if (c->hungry_ns == 0)
		c->hungry_ns = loop_now_ns(b->loop);
	list_push_back(&b->hunger.line[line], &c->hungry);
	if (!loop_timer_is_set(&b->hunger.relief) && !b->closing)
		loop_timer_set(b->loop, &b->hunger.relief, loop_now_ns(b->loop) + RELIEF_NS);
}

/* The time in which it could get nothing is not the client's. */
void hunger_served(struct conn *c)
{
	if (c->hungry_ns != 0)
		c->frame_ns += loop_now_ns(c->broker->loop) - c->hungry_ns;
	c->hungry_ns = 0;
}

void hunger_feed(struct broker *b)
{
	size_t promised = 0;
	bool over = b->frames.over == NULL; /* one gets what it needs whatever is left */
	for (size_t i = 0; i < HUNGER_LINES; i++) {
		struct list_node *n;
		while ((n = list_first(&b->hunger.line[i]))) {
			struct conn *c = CONTAINER_OF(n, struct conn, hungry);
			size_t need = frame_need(&c->frame);
			bool fits = promised + need <= frame_room(&b->frames, c->frame.len);
			if (!fits && !over)
				return; /* longer ones have less room */
			if (fits)
				promised += need;
			else
				over = false;
			list_remove(n);
			conn_wake(c);
		}
	}
}

/* ---- relief ---------------------------------------------------------------------------------- */

/* Since when the one has waited who waits for longest; *ret_want is what all those need to become
 * whole. */
static int64_t longest_wait(const struct broker *b, size_t *ret_want)
{
	int64_t since = INT64_MAX;
	*ret_want = 0;
	for (size_t i = 0; i < HUNGER_LINES; i++) {
		LIST_EACH (&b->hunger.line[i], n, tmp) {
			const struct conn *c = CONTAINER_OF(n, struct conn, hungry);
			since = c->hungry_ns < since ? c->hungry_ns : since;
			*ret_want += c->frame.len - c->frame.capacity;
		}
	}
	return since;
}

/* The memory that its frame holds, times the seconds for which it will at this rate; 0: it may
 * stay. */
static double burden(const struct conn *c, int64_t now)
{
	const struct frame *f = &c->frame;
	if (!f->ptr || c->closing || conn_paused(c))
		return 0;
	int64_t waited = c->hungry_ns ? now - c->hungry_ns : 0;
	int64_t age = now - c->frame_ns - waited;
	double left = (double)(f->len - f->have), have = (double)f->have + 1;
	double seconds = left / have * (double)age / (double)S_NS;
	double waits = (double)waited / (double)S_NS;
	if (waited == 0 && (age < GRACE_NS || seconds < SLOW_S))
		return 0;
	if (waited > 0 && waits < SLOW_S)
		return 0;
	return (double)f->capacity * (seconds + waits);
}

static size_t held_by(const struct conn *c)
{
	return c->frame.capacity;
}

static void relieve(struct broker *b, int64_t now)
{
	size_t want, most = b->frames.budget.limit_bytes / 8;
	int64_t since = longest_wait(b, &want);
	if (since == INT64_MAX || now - since < PATIENCE_NS)
		return;
	const struct relief r = {
	    .want = want < most ? want : most,
	    .burden = burden,
	    .held = held_by,
	    .reason = "its request comes slowly, and others wait for the memory",
	};
	(void)relief_give(b, &r);
}

static void on_relief(struct loop_timer *timer)
{
	struct broker *b = CONTAINER_OF(timer, struct broker, hunger.relief);
	int64_t now = loop_now_ns(b->loop);
	relieve(b, now);
	hunger_feed(b); /* nobody waits for ever beside memory that is there */
	for (size_t i = 0; i < HUNGER_LINES; i++) {
		if (!list_empty(&b->hunger.line[i])) {
			loop_timer_set(b->loop, timer, now + RELIEF_NS);
			return;
		}
	}
}
