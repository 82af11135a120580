/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Worker threads, see worker.h. What happens to one run is in run.c.
 */
#include "processor/run.h"

enum {
	SLICE_LIVE_MS = 50, /* a live version that does not get idle */
	SLICE_REBUILD_MS = 20,
	IDLE_WAIT_MS = 1000,
};

struct command {
	struct list_node node;
	void (*fn)(void *arg);
	void *arg;
	struct gate done;
};

struct worker {
	struct worker_env *env;
	struct thread thread;
	bool threaded;
	struct mutex mutex; /* protects the next five */
	struct cond wake;
	struct list commands;
	bool woken, stop, has_runs;
	struct gate ended;
	struct list runs; /* the worker's thread; its length under env->mutex */
	uint32_t run_count;
};

static void worker_main(void *arg);

enum err worker_new(struct worker_env *env, bool threaded, struct worker **ret_worker)
{
	struct worker *w = mem_calloc(1, sizeof(*w));
	if (!w)
		return ERR_NOMEM;
	w->env = env;
	w->threaded = threaded;
	mutex_init(&w->mutex);
	cond_init(&w->wake);
	list_init(&w->commands);
	list_init(&w->runs);
	gate_init(&w->ended);
	enum err err = threaded ? thread_start(&w->thread, "kappa-view", worker_main, w) : ERR_OK;
	if (err) {
		w->threaded = false;
		worker_free(w);
		return err;
	}
	*ret_worker = w;
	return ERR_OK;
}

static void close_runs(struct worker *w)
{
	LIST_EACH (&w->runs, node, next)
		run_close(CONTAINER_OF(node, struct run, node), true);
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	mutex_lock(&w->mutex);
	w->stop = true;
	cond_signal(&w->wake);
	mutex_unlock(&w->mutex);
	if (w->threaded)
		loop_wait(
		    log_loop(w->env->log), &w->ended); /* last checkpoints may need the loop */
	else
		close_runs(w);
	thread_join(&w->thread);
	for (struct list_node *n; (n = list_pop_front(&w->runs)) != NULL;)
		run_free(CONTAINER_OF(n, struct run, node));
	gate_release(&w->ended);
	cond_release(&w->wake);
	mutex_release(&w->mutex);
	mem_free(w);
}

void worker_wake(struct worker *w)
{
	mutex_lock(&w->mutex);
	w->woken = true;
	cond_signal(&w->wake);
	mutex_unlock(&w->mutex);
}

void worker_news(struct worker *w)
{
	mutex_lock(&w->mutex);
	/* a run that is added from here on sees the news: add_run takes the mutex first */
	if (w->has_runs) {
		w->woken = true;
		cond_signal(&w->wake);
	}
	mutex_unlock(&w->mutex);
}

void worker_call(struct worker *w, void (*fn)(void *arg), void *arg)
{
	if (!w->threaded) {
		fn(arg);
		return;
	}
	struct command c = {.fn = fn, .arg = arg};
	list_node_init(&c.node);
	gate_init(&c.done);
	mutex_lock(&w->mutex);
	list_push_back(&w->commands, &c.node);
	w->woken = true;
	cond_signal(&w->wake);
	mutex_unlock(&w->mutex);
	loop_wait(log_loop(w->env->log), &c.done); /* the worker may be waiting for the loop */
	gate_release(&c.done);
}

static void run_commands(struct worker *w)
{
	for (;;) {
		mutex_lock(&w->mutex);
		struct list_node *n = list_pop_front(&w->commands);
		mutex_unlock(&w->mutex);
		if (!n)
			return;
		struct command *c = CONTAINER_OF(n, struct command, node);
		c->fn(c->arg);
		gate_open(&c->done);
		io_wake(w->env->io); /* the loop's thread may be the one that waits, turning it */
	}
}

static void note_runs(struct worker *w)
{
	mutex_lock(&w->mutex);
	w->has_runs = !list_empty(&w->runs);
	mutex_unlock(&w->mutex);
}

void worker_add_run(struct worker *w, struct run *r)
{
	list_push_back(&w->runs, &r->node);
	note_runs(w);
	mutex_lock(w->env->mutex);
	w->run_count++;
	mutex_unlock(w->env->mutex);
}

void worker_remove_run(struct worker *w, struct run *r)
{
	list_remove(&r->node);
	note_runs(w);
	mutex_lock(w->env->mutex);
	w->run_count--;
	mutex_unlock(w->env->mutex);
}

uint32_t worker_load(const struct worker *w)
{
	return w->run_count;
}

struct worker_env *worker_env(const struct worker *w)
{
	return w->env;
}

/* ---- turns ----------------------------------------------------------------------------------- */

/* One slice for each run that is live (or is not); true when one of them has more to do. */
static bool turn_runs(struct worker *w, bool live)
{
	bool more = false;
	LIST_EACH (&w->runs, node, next) {
		struct run *r = CONTAINER_OF(node, struct run, node);
		if (run_is_live(r) == live)
			more |= run_turn(r, (live ? SLICE_LIVE_MS : SLICE_REBUILD_MS) * MS_NS);
	}
	return more;
}

bool worker_turn(struct worker *w)
{
	run_commands(w);
	bool more = turn_runs(w, true);
	return turn_runs(w, false) || more;
}

static int64_t next_due_ns(const struct worker *w)
{
	int64_t due = IDLE_WAIT_MS * MS_NS;
	LIST_EACH (&w->runs, node, next) {
		int64_t d = run_due_ns(CONTAINER_OF(node, struct run, node));
		due = d < due ? d : due;
	}
	return due;
}

/* False when it is time to stop. */
static bool wait_for_work(struct worker *w, bool more)
{
	int64_t due = more ? 0 : next_due_ns(w);
	mutex_lock(&w->mutex);
	if (!w->woken && !w->stop && due > 0)
		(void)cond_wait_for(&w->wake, &w->mutex, due);
	w->woken = false;
	bool stop = w->stop && list_empty(&w->commands);
	mutex_unlock(&w->mutex);
	return !stop;
}

static void worker_main(void *arg)
{
	struct worker *w = arg;
	struct io *io = w->env->io;
	bool more = false;
	while (wait_for_work(w, more))
		more = worker_turn(w);
	close_runs(w);
	gate_open(&w->ended);
	io_wake(io);
}
