/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The log loop: one thread that runs completions of the I/O seam, timers, mail from other threads
 * and deferred calls, in that order, again and again. It never blocks; a turn over 1 ms is visible
 * in kappa_loop_stall_seconds. Everything the loop's thread owns is touched there only:
 * loop_assert_owner first in each mutating function.
 *
 * The service pool runs jobs that may block (mkdir + fsync, unlink, decompression); `done` comes
 * back as mail. Under the sim backend the pool runs jobs inline from loop_step, so a whole server
 * is one thread.
 */
#include "io.h"
#include "list.h"
#include "thread.h"

struct loop;

/* ---- mail: the way into the loop from any thread --------------------------------------------- */
/* Caller-owned; must stay alive until `run` has been called; may be posted again from `run` on. */
struct mail {
	struct mail *next;
	void (*run)(struct mail *mail);
};

/* Caller-owned; intrusive, so that setting one never fails. Cancel before the memory goes away. */
struct loop_timer {
	int64_t due_ns; /* monotonic */
	uint64_t order; /* of setting: decides between equal due times; 0 = not set */
	struct loop_timer *child, *sibling, *prev;
	void (*fire)(struct loop_timer *timer);
};

struct pool_job {
	struct mail mail;
	struct loop *loop;
	void (*run)(struct pool_job *job);  /* on a pool thread */
	void (*done)(struct pool_job *job); /* back on the loop */
};

/* Does not own io. pool_threads may be 0 (jobs run inline in loop_step: sim). */
MUST_USE enum err loop_new(struct io *io, unsigned pool_threads, struct loop **ret_loop);
/*
 * After loop_run has returned, by the last thread that uses the loop. Joins the pool after its
 * queue is empty and runs the mail that is left. NULL is allowed.
 */
void loop_free(struct loop *loop);
struct io *loop_io(struct loop *loop);

/*
 * One thread owns a loop: first the one that made it. To let another thread turn it, loop_disown
 * before that thread starts; it takes the loop with its first loop_run or loop_step. When its
 * loop_run has returned and it has ended, loop_own takes the loop back (loop_free does so itself);
 * after loop_step it disowns the loop first. Turning a loop that another thread owns aborts.
 */
void loop_disown(struct loop *loop);
void loop_own(struct loop *loop);
/* Runs until loop_stop. The calling thread must be or becomes the owner, and may end then. */
MUST_USE enum err loop_run(struct loop *loop);
/* One turn: at most timeout_ns of waiting, < 0 = until something happens. Owner as in loop_run. */
MUST_USE enum err loop_step(struct loop *loop, int64_t timeout_ns);
/* Makes loop_run return after the current turn. Any thread, and signal handlers. */
void loop_stop(struct loop *loop);
void loop_assert_owner(const struct loop *loop);
bool loop_is_owner(const struct loop *loop);

/* Any thread. In order per poster; runs in the next turn when posted by mail itself. */
void loop_post(struct loop *loop, struct mail *mail);
/* Runs fn(arg) on the loop and waits for its return. On the loop's own thread it runs at once. */
void loop_call(struct loop *loop, void (*fn)(void *arg), void *arg);
/*
 * Waits until `gate` opens: for threads that started something asynchronous on the loop. On the
 * loop's own thread (start-up, sim) it turns the loop until then.
 */
void loop_wait(struct loop *loop, struct gate *gate);

/* ---- loop thread only ------------------------------------------------------------------------ */
int64_t loop_now_ns(const struct loop *loop);      /* monotonic, read once per turn */
uint64_t loop_turns(const struct loop *loop);      /* begun so far */
int64_t loop_realtime_ns(const struct loop *loop); /* wall clock, read once per turn */
void loop_timer_init(struct loop_timer *timer, void (*fire)(struct loop_timer *timer));
static inline bool loop_timer_is_set(const struct loop_timer *timer)
{
	return timer->order != 0;
}
/* Moves it if it is set. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t due_ns);
void loop_timer_cancel(struct loop *loop, struct loop_timer *timer);
/*
 * Runs `mail` later in this turn, after completions, timers and posted mail have run; when called
 * by deferred mail, in the next turn.
 */
void loop_defer(struct loop *loop, struct mail *mail);
/*
 * Queues a job on the service pool; jobs start in this order. Pool threads start when first needed.
 * ERR_LIMIT when POOL_QUEUE_MAX wait already; an error of thread_start when there is no thread at
 * all.
 */
MUST_USE enum err pool_submit(struct loop *loop, struct pool_job *job);
