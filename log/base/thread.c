/* SPDX-License-Identifier: Apache-2.0 */
#include "thread.h"

#include "limits.h"
#include "mem.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

struct start {
	void (*fn)(void *arg);
	void *arg;
	char name[16];
};

static void *trampoline(void *arg)
{
	struct start s = *(struct start *)arg;
	mem_free(arg);
	pthread_setname_np(pthread_self(), s.name);
	s.fn(s.arg);
	return NULL;
}

enum err thread_start(struct thread *t, const char *name, void (*fn)(void *arg), void *arg)
{
	struct start *s = mem_alloc(sizeof(*s));
	if (!s)
		return err_note(ERR_NOMEM, "thread %s", name);
	s->fn = fn;
	s->arg = arg;
	snprintf(s->name, sizeof(s->name), "%s", name);
	/* the new thread inherits the mask of its maker */
	sigset_t all, before;
	sigfillset(&all);
	ASSERT(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
	int rc = pthread_create(&t->id, NULL, trampoline, s);
	ASSERT(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
	if (rc != 0) {
		mem_free(s);
		errno = rc;
		return err_sys("start thread %s", name);
	}
	t->started = true;
	return ERR_OK;
}

void thread_join(struct thread *t)
{
	if (!t->started)
		return;
	ASSERT(pthread_join(t->id, NULL) == 0);
	t->started = false;
}

uint64_t thread_self(void)
{
	static uint64_t last;
	static _Thread_local uint64_t mine;
	/* relaxed: only uniqueness counts, nothing is published by the number */
	if (mine == 0)
		mine = __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
	return mine;
}

/* ---- mutex, condition ------------------------------------------------------------------------ */

void mutex_init(struct mutex *m)
{
	ASSERT(pthread_mutex_init(&m->m, NULL) == 0);
}

void mutex_release(struct mutex *m)
{
	ASSERT(pthread_mutex_destroy(&m->m) == 0);
}

void mutex_lock(struct mutex *m)
{
	ASSERT(pthread_mutex_lock(&m->m) == 0);
}

void mutex_unlock(struct mutex *m)
{
	ASSERT(pthread_mutex_unlock(&m->m) == 0);
}

void cond_init(struct cond *c)
{
	pthread_condattr_t attr;
	ASSERT(pthread_condattr_init(&attr) == 0);
	ASSERT(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
	ASSERT(pthread_cond_init(&c->c, &attr) == 0);
	pthread_condattr_destroy(&attr);
}

void cond_release(struct cond *c)
{
	ASSERT(pthread_cond_destroy(&c->c) == 0);
}

void cond_wait(struct cond *c, struct mutex *m)
{
	ASSERT(pthread_cond_wait(&c->c, &m->m) == 0);
}

static int64_t monotonic_ns(void)
{
	struct timespec ts;
	ASSERT(clock_gettime(CLOCK_MONOTONIC, &ts) == 0);
	return ts.tv_sec * S_NS + ts.tv_nsec;
}

static bool cond_wait_until(struct cond *c, struct mutex *m, int64_t due_ns)
{
	struct timespec ts = {.tv_sec = due_ns / S_NS, .tv_nsec = due_ns % S_NS};
	int rc = pthread_cond_timedwait(&c->c, &m->m, &ts);
	ASSERT(rc == 0 || rc == ETIMEDOUT);
	return rc == 0;
}

/* The moment `timeout_ns` from now, held back from overflow. */
static int64_t due_after(int64_t timeout_ns)
{
	int64_t now = monotonic_ns();
	if (timeout_ns < 0)
		return now;
	return timeout_ns > INT64_MAX - now ? INT64_MAX : now + timeout_ns;
}

bool cond_wait_for(struct cond *c, struct mutex *m, int64_t timeout_ns)
{
	return cond_wait_until(c, m, due_after(timeout_ns));
}

void cond_signal(struct cond *c)
{
	ASSERT(pthread_cond_signal(&c->c) == 0);
}

void cond_broadcast(struct cond *c)
{
	ASSERT(pthread_cond_broadcast(&c->c) == 0);
}

/* ---- gate ------------------------------------------------------------------------------------ */

void gate_init(struct gate *g)
{
	mutex_init(&g->m);
	cond_init(&g->c);
	g->open = false;
}

void gate_release(struct gate *g)
{
	cond_release(&g->c);
	mutex_release(&g->m);
}

/* Broadcast under the lock: a waiter may release the gate as soon as it can take the lock. */
void gate_open(struct gate *g)
{
	mutex_lock(&g->m);
	g->open = true;
	cond_broadcast(&g->c);
	mutex_unlock(&g->m);
}

void gate_wait(struct gate *g)
{
	mutex_lock(&g->m);
	while (!g->open)
		cond_wait(&g->c, &g->m);
	mutex_unlock(&g->m);
}

bool gate_wait_for(struct gate *g, int64_t timeout_ns)
{
	int64_t due = due_after(timeout_ns);
	mutex_lock(&g->m);
	while (!g->open && cond_wait_until(&g->c, &g->m, due))
		;
	bool open = g->open;
	mutex_unlock(&g->m);
	return open;
}

bool gate_is_open(struct gate *g)
{
	mutex_lock(&g->m);
	bool open = g->open;
	mutex_unlock(&g->m);
	return open;
}

/* ---- shared ---------------------------------------------------------------------------------- */

/*
 * Acquire: pairs with the release in shared_store, so what was written before the store is seen
 * here.
 */
uint64_t shared_load(const struct shared_u64 *s)
{
	return __atomic_load_n(&s->v, __ATOMIC_ACQUIRE);
}

/* Release: pairs with the acquire in shared_load. */
void shared_store(struct shared_u64 *s, uint64_t value)
{
	__atomic_store_n(&s->v, value, __ATOMIC_RELEASE);
}

/* Relaxed: a count; nothing else is published by it. */
uint64_t shared_add(struct shared_u64 *s, uint64_t n)
{
	return __atomic_fetch_add(&s->v, n, __ATOMIC_RELAXED);
}
