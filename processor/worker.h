/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Workers: threads that own running versions. A worker turns its live versions until they are idle,
 * then gives each rebuild a time slice, and sleeps when nothing is left: so a rebuild slows a live
 * version by one slice at most, and a version that fails stops alone.
 *
 * A `run` is a version definition at its worker. What others may know of it is copied out under the
 * owner's mutex after each turn; everything else is touched by the worker alone, through
 * worker_call. Without threads (sim) a worker is turned by worker_turn on the caller's thread.
 */
#include "processor/processor.h"
#include "processor/registry.h"
#include "processor/version.h"
#include "processor/watch.h"

struct worker;
/* Shared by all workers. */
struct worker_env {
	struct log *log;
	struct io *io;
	struct vfs *vfs;
	const char *views_dir;
	struct version_limits limits;
	struct mutex *mutex; /* protects what runs publish */
	struct watch watch;
	struct cond *changed; /* broadcast when something was published that others may wait for */
	struct shared_u64 stable; /* S_stable, as last announced by the loop */
	struct shared_u64
	    last_append_ns; /* append time of the newest durable batch, announced before `stable` */
};
MUST_USE enum err worker_new(struct worker_env *env, bool threaded, struct worker **ret_worker);
/* Last checkpoints, joins, frees the runs. Takes NULL. */
void worker_free(struct worker *w);
/* Something concerns it: any thread. */
void worker_wake(struct worker *w);
/* S_stable has moved: wakes it if it has runs. Any thread. */
void worker_news(struct worker *w);
/* Runs fn(arg) on the worker's thread between two turns and waits for its return. Never from a
 * worker's thread. */
void worker_call(struct worker *w, void (*fn)(void *arg), void *arg);
/* Without threads: one turn; true when something moved. */
bool worker_turn(struct worker *w);
uint32_t worker_load(const struct worker *w); /* runs it has; under env->mutex */

struct run {
	struct list_node node; /* of the worker */
	struct worker *worker;
	struct reg_version *def;
	char *path;
	struct version *version; /* NULL: closed */
	struct version_barrier *barrier;
	int64_t retry_at_ns; /* 0 = no retry is planned */
	uint32_t failures, rebuilds;
	bool dirty_open; /* it must be opened (again) */
	/* published, under env->mutex */
	enum proc_version_state state;
	bool known; /* false until it was opened, or failed to */
	char reason[200];
	struct version_view view;
	bool barrier_done;
};
/* Gives a version to the worker, which opens it. The run belongs to the worker. */
MUST_USE enum err run_start(struct worker *w, struct reg_version *def, struct run **ret_run);
/* Closes the version, removes its file and frees the run. */
void run_drop(struct run *r);
/* What its store must be; borrows from the run and its definition. */
struct store_spec run_store_spec(const struct run *r);
/* Sets or lifts (NULL) a barrier, on the worker. Afterwards barrier->sequence is where the version
 * stands, when it holds; ERR_NOT_FOUND-like failures (state, reason) when the version is not
 * running. */
MUST_USE enum err run_set_barrier(
    struct run *r, struct version_barrier *barrier, uint64_t *ret_applied);
