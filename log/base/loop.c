/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One turn: wait and run completions (io_poll), due timers, mail, inline jobs, deferred mail.
 *
 * Invariants:
 *  1. What is to be run is taken from its queue one by one, never from a private list, so that a
 *     callback which turns the loop (loop_wait at start-up and in simulation) finds the rest.
 *  2. Each phase runs at most what was queued when it began: no phase can starve the others.
 *  3. The loop sleeps only when every queue is empty; `asleep` is set under the mail lock after
 *     looking, and whoever posts to a sleeping loop wakes it.
 */
#include "loop.h"

#include "limits.h"
#include "mem.h"
#include "metrics.h"
#include "pool.h"
#include "timers.h"

struct queue {
	struct mail *head;
	struct mail **tail;
	size_t count;
};

struct loop {
	struct io *io;
	struct shared_u64 owner; /* thread_self() of whoever turns it */
	struct shared_u64 stop;
	uint64_t turns;
	struct timers timers;
	struct queue mail; /* taken from the inbox, not yet run */
	struct queue deferred;
	struct pool *pool;

	struct mutex mutex; /* covers what follows */
	struct queue inbox;
	bool asleep;
};

static void queue_init(struct queue *q)
{
	*q = (struct queue){.tail = &q->head};
}

static void queue_push(struct queue *q, struct mail *mail)
{
	mail->next = NULL;
	*q->tail = mail;
	q->tail = &mail->next;
	q->count++;
}

static struct mail *queue_pop(struct queue *q)
{
	struct mail *mail = q->head;
	if (!mail)
		return NULL;
	q->head = mail->next;
	if (!q->head)
		q->tail = &q->head;
	q->count--;
	return mail;
}

/* Appends all of `from`, which is empty afterwards. */
static void queue_move(struct queue *to, struct queue *from)
{
	if (!from->head)
		return;
	*to->tail = from->head;
	to->tail = from->tail;
	to->count += from->count;
	queue_init(from);
}

enum err loop_new(struct io *io, unsigned pool_threads, struct loop **ret_loop)
{
	struct loop *loop = mem_calloc(1, sizeof(*loop));
	if (!loop)
		return err_note(ERR_NOMEM, "loop");
	enum err e = pool_new(loop, pool_threads, &loop->pool);
	if (e != ERR_OK) {
		mem_free(loop);
		return e;
	}
	loop->io = io;
	io->turn_monotonic_ns = io_clock_ns(io, IO_CLOCK_MONOTONIC);
	io->turn_realtime_ns = io_clock_ns(io, IO_CLOCK_REALTIME);
	queue_init(&loop->mail);
	queue_init(&loop->deferred);
	queue_init(&loop->inbox);
	mutex_init(&loop->mutex);
	shared_store(&loop->owner, thread_self());
	*ret_loop = loop;
	return ERR_OK;
}

static size_t take_inbox(struct loop *loop)
{
	mutex_lock(&loop->mutex);
	size_t count = loop->inbox.count;
	queue_move(&loop->mail, &loop->inbox);
	mutex_unlock(&loop->mutex);
	return count;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	loop_own(loop);
	pool_free(loop->pool);
	loop->pool = NULL;
	struct mail *mail;
	do {
		take_inbox(loop);
		queue_move(&loop->mail, &loop->deferred);
		mail = queue_pop(&loop->mail);
		if (mail)
			mail->run(mail);
	} while (mail);
	mutex_release(&loop->mutex);
	mem_free(loop);
}

void loop_disown(struct loop *loop)
{
	loop_assert_owner(loop);
	io_detach(loop->io);
	shared_store(&loop->owner, 0);
}

void loop_own(struct loop *loop)
{
	shared_store(&loop->owner, thread_self());
}

struct io *loop_io(struct loop *loop)
{
	return loop->io;
}

bool loop_is_owner(const struct loop *loop)
{
	return shared_load(&loop->owner) == thread_self();
}

void loop_assert_owner(const struct loop *loop)
{
	ASSERT(loop_is_owner(loop));
}

int64_t loop_now_ns(const struct loop *loop)
{
	return loop->io->turn_monotonic_ns;
}

uint64_t loop_turns(const struct loop *loop)
{
	return loop->turns;
}

int64_t loop_realtime_ns(const struct loop *loop)
{
	return loop->io->turn_realtime_ns;
}

/* ---- one turn -------------------------------------------------------------------------------- */

/* How long io_poll may wait: not at all when something is queued, at most until the next timer. */
static int64_t wait_of(struct loop *loop, int64_t timeout_ns)
{
	bool busy = loop->mail.head || loop->deferred.head || pool_has_inline(loop->pool);
	mutex_lock(&loop->mutex);
	busy = busy || loop->inbox.head;
	loop->asleep = !busy;
	mutex_unlock(&loop->mutex);
	if (busy)
		return 0;
	const struct loop_timer *next = timers_first(&loop->timers);
	if (!next)
		return timeout_ns;
	int64_t left = next->due_ns - io_clock_ns(loop->io, IO_CLOCK_MONOTONIC);
	if (left < 0)
		left = 0;
	return timeout_ns < 0 || left < timeout_ns ? left : timeout_ns;
}

static void run_timers(struct loop *loop)
{
	int64_t now = loop_now_ns(loop);
	uint64_t last = loop->timers.last_order;
	struct loop_timer *timer;
	/* a timer that sets itself again for now waits for the next turn */
	while (
	    (timer = timers_first(&loop->timers)) && timer->due_ns <= now && timer->order <= last) {
		timers_remove(&loop->timers, timer);
		timer->fire(timer);
	}
}

static void run_queue(struct queue *q, size_t at_most)
{
	struct mail *mail;
	while (at_most-- > 0 && (mail = queue_pop(q)))
		mail->run(mail);
}

enum err loop_step(struct loop *loop, int64_t timeout_ns)
{
	struct io *io = loop->io;
	if (shared_load(&loop->owner) == 0)
		loop_own(loop);
	loop_assert_owner(loop);
	loop->turns++;
	TRY(io_poll(io, wait_of(loop, timeout_ns)));
	int64_t began = io->turn_monotonic_ns;
	mutex_lock(&loop->mutex);
	loop->asleep = false;
	mutex_unlock(&loop->mutex);
	run_timers(loop);
	size_t posted = take_inbox(loop);
	if (posted > 0)
		metric_add(METRIC_MAIL, posted);
	run_queue(&loop->mail, loop->mail.count);
	pool_run_inline(loop->pool);
	run_queue(&loop->deferred, loop->deferred.count);
	metric_observe_ns(METRIC_LOOP_STALL, io_clock_ns(io, IO_CLOCK_MONOTONIC) - began);
	return ERR_OK;
}

enum err loop_run(struct loop *loop)
{
	enum err e = ERR_OK;
	while (e == ERR_OK && !shared_load(&loop->stop))
		e = loop_step(loop, -1);
	io_detach(loop->io);
	if (e == ERR_OK)
		shared_store(&loop->stop, 0);
	return e;
}

/* The flag is stored before the wake: a poll that misses the flag is ended by the wake. */
void loop_stop(struct loop *loop)
{
	shared_store(&loop->stop, 1);
	io_wake(loop->io);
}

/* ---- mail ------------------------------------------------------------------------------------ */

void loop_post(struct loop *loop, struct mail *mail)
{
	mutex_lock(&loop->mutex);
	queue_push(&loop->inbox, mail);
	bool wake = loop->asleep;
	loop->asleep = false;
	mutex_unlock(&loop->mutex);
	/* the owner looks into the inbox after the completion it is running */
	if (wake && !loop_is_owner(loop))
		io_wake(loop->io);
}

void loop_defer(struct loop *loop, struct mail *mail)
{
	loop_assert_owner(loop);
	queue_push(&loop->deferred, mail);
}

struct call {
	struct mail mail;
	void (*fn)(void *arg);
	void *arg;
	struct gate done;
};

static void run_call(struct mail *mail)
{
	struct call *call = CONTAINER_OF(mail, struct call, mail);
	call->fn(call->arg);
	gate_open(&call->done);
}

void loop_call(struct loop *loop, void (*fn)(void *arg), void *arg)
{
	if (loop_is_owner(loop)) {
		fn(arg);
		return;
	}
	struct call call = {.mail.run = run_call, .fn = fn, .arg = arg};
	gate_init(&call.done);
	loop_post(loop, &call.mail);
	gate_wait(&call.done);
	gate_release(&call.done);
}

void loop_wait(struct loop *loop, struct gate *gate)
{
	if (!loop_is_owner(loop)) {
		gate_wait(gate);
		return;
	}
	while (!gate_is_open(gate))
		ASSERT(loop_step(loop, -1) == ERR_OK);
}

/* ---- timers ---------------------------------------------------------------------------------- */

void loop_timer_init(struct loop_timer *timer, void (*fire)(struct loop_timer *timer))
{
	*timer = (struct loop_timer){.fire = fire};
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t due_ns)
{
	loop_assert_owner(loop);
	ASSERT(timer->fire);
	if (loop_timer_is_set(timer))
		timers_remove(&loop->timers, timer);
	timer->due_ns = due_ns;
	timers_add(&loop->timers, timer);
}

void loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
	loop_assert_owner(loop);
	if (loop_timer_is_set(timer))
		timers_remove(&loop->timers, timer);
}

enum err pool_submit(struct loop *loop, struct pool_job *job)
{
	loop_assert_owner(loop);
	job->loop = loop;
	return pool_add(loop->pool, job);
}
