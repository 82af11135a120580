/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The only place of the tree where pthread_ and atomics appear. Threads own things and talk by mail
 * (loop.h); what is here serves the few that must block: SQLite workers, HTTP callbacks, the
 * service pool.
 */
#include "err.h"
#include <pthread.h>

struct thread {
	pthread_t id;
	bool started;
};
/*
 * Starts `fn(arg)` on a new thread named `name` (15 characters at most). Signals are blocked in it.
 */
MUST_USE enum err thread_start(
    struct thread *t, const char *name, void (*fn)(void *arg), void *arg);
void thread_join(struct thread *t); /* no-op when not started */
/* An id unique to the calling thread, for owner assertions. */
uint64_t thread_self(void);

struct mutex {
	pthread_mutex_t m;
};
struct cond {
	pthread_cond_t c;
};
void mutex_init(struct mutex *m);
void mutex_release(struct mutex *m);
void mutex_lock(struct mutex *m);
void mutex_unlock(struct mutex *m);
void cond_init(struct cond *c);
void cond_release(struct cond *c);
void cond_wait(struct cond *c, struct mutex *m);
/* False when `timeout_ns` (relative, monotonic) passed first. Spurious wake-ups return true. */
bool cond_wait_for(struct cond *c, struct mutex *m, int64_t timeout_ns);
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);

/*
 * A gate opens once; any number of threads wait for it. Opening has release, waiting acquire order.
 */
struct gate {
	struct mutex m;
	struct cond c;
	bool open;
};
void gate_init(struct gate *g);
void gate_release(struct gate *g);
void gate_open(struct gate *g);
void gate_wait(struct gate *g);
bool gate_wait_for(struct gate *g, int64_t timeout_ns); /* false = timed out */
bool gate_is_open(struct gate *g);

/*
 * Flags and counters shared by threads. Loads acquire, stores release, add is relaxed (a count, not
 * a lock).
 */
struct shared_u64 {
	uint64_t v;
};
uint64_t shared_load(const struct shared_u64 *s);
void shared_store(struct shared_u64 *s, uint64_t value);
uint64_t shared_add(struct shared_u64 *s, uint64_t n); /* returns the value before */
