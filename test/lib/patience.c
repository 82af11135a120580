/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/patience.h"
#include <time.h>

/* ---- waiting --------------------------------------------------------------------------------- */

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * S_NS + t.tv_nsec;
}

bool becomes(bool (*is_so)(void *ctx), void *ctx)
{
	const struct timespec ms = {0, MS_NS};
	for (int64_t end = now_ns() + PATIENCE_NS; !is_so(ctx); nanosleep(&ms, NULL))
		if (now_ns() > end)
			return false;
	return true;
}

struct aim {
	enum metric metric;
	uint64_t value;
};

static bool is_reached(void *ctx)
{
	const struct aim *aim = ctx;
	return metric_value(aim->metric) >= aim->value;
}

static bool is_passed(void *ctx)
{
	const struct aim *aim = ctx;
	return metric_value(aim->metric) <= aim->value;
}

bool metric_reaches(enum metric m, uint64_t value)
{
	struct aim aim = {m, value};
	return becomes(is_reached, &aim);
}

bool metric_falls(enum metric m, uint64_t value)
{
	struct aim aim = {m, value};
	return becomes(is_passed, &aim);
}

int64_t best_of(int tries, int64_t enough_ns, int64_t (*attempt_ns)(void))
{
	int64_t best = INT64_MAX;
	for (int i = 0; i < tries && best >= enough_ns; i++) {
		int64_t took = attempt_ns();
		best = took < best ? took : best;
	}
	return best;
}

/* ---- turns ----------------------------------------------------------------------------------- */

static struct turn_watch *watching;

static void on_turn(struct mail *mail)
{
	struct turn_watch *w = CONTAINER_OF(mail, struct turn_watch, mail);
	uint64_t value = metric_value(w->metric), risen = value - w->last;
	w->last = value;
	w->most = risen > w->most ? risen : w->most;
	w->turns += risen > 0;
	if (w->pause_ns > 0)
		io_sleep_ns(loop_io(w->loop), w->pause_ns);
	if (w->over)
		gate_open(&w->ended);
	else
		loop_post(w->loop, mail);
}

void turn_watch_start(struct turn_watch *w, struct loop *loop, enum metric m, int64_t pause_ns)
{
	*w = (struct turn_watch){.mail.run = on_turn,
	    .loop = loop,
	    .metric = m,
	    .last = metric_value(m),
	    .pause_ns = pause_ns};
	gate_init(&w->ended);
	watching = w;
	loop_post(loop, &w->mail);
}

static void end(void *arg)
{
	((struct turn_watch *)arg)->over = true;
}

void turn_watch_stop(struct turn_watch *w)
{
	loop_call(w->loop, end, w);
	gate_wait(&w->ended);
	gate_release(&w->ended);
	watching = NULL;
}

void turn_watch_drop(struct loop *loop)
{
	if (watching && watching->loop == loop)
		turn_watch_stop(watching);
}
