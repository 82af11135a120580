/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A view version at its worker: opening, turning, failing.
 *
 *   OPENING  dirty_open: version_open at the next turn
 *   TURNING  version != NULL
 *   WAITING  a failure that may pass (full disk, no memory, a lock): opened again after a while,
 * from its last checkpoint REBUILT  a file that cannot be trusted, or is ahead of the log: removed,
 * with an event, and opened again, empty STOPPED  SOURCE_GONE, or FAILED with a reason; its rows
 * stay readable
 */
#include "processor/run.h"
#include <stdio.h>

enum { RETRY_FIRST_MS = 500, RETRY_LAST_MS = 30000, REBUILDS_MAX = 3 };

struct store_spec run_store_spec(const struct run *r)
{
	const struct reg_version *def = r->def;
	const struct worker_env *env = worker_env(r->worker);
	return (struct store_spec){.vfs = env->vfs,
	    .io = env->io,
	    .path = r->path,
	    .view = def->view->name,
	    .version = def->def.version,
	    .logic = def->plan->identity,
	    .input_hash = def->input_hash,
	    .columns = def->plan->root->columns,
	    .column_count = def->plan->visible_count,
	    .state_count = def->plan->state_count};
}

static void publish(struct run *r, enum proc_version_state state, const char *reason)
{
	struct worker_env *env = worker_env(r->worker);
	mutex_lock(env->mutex);
	r->state = state;
	r->known = true;
	if (reason != r->reason)
		(void)snprintf(r->reason, sizeof(r->reason), "%s", reason);
	if (r->version)
		r->view = *version_view(r->version);
	r->barrier_done = r->barrier && r->barrier->done;
	cond_broadcast(env->changed);
	mutex_unlock(env->mutex);
}

bool run_is_live(const struct run *r)
{
	return r->version && version_view(r->version)->head.ready;
}

static int64_t now_ns(const struct run *r)
{
	return io_clock_ns(worker_env(r->worker)->io, IO_CLOCK_MONOTONIC);
}

/* ---- failures -------------------------------------------------------------------------------- */

static bool may_pass(enum err err)
{
	return err == ERR_NOSPACE || err == ERR_NOMEM || err == ERR_LOCKED || err == ERR_AGAIN ||
	       err == ERR_TIMEOUT;
}

static void close_version(struct run *r, bool checkpoint)
{
	if (!r->version)
		return;
	version_set_barrier(r->version, NULL);
	enum err err = version_close(r->version, checkpoint);
	r->version = NULL;
	if (err)
		diag(DIAG_WARN, "view_close", "view=" STR_FMT " version=%d error=%s",
		    STR_ARG(r->def->view->name), r->def->def.version, err_name(err));
}

/* Removes the file, so that the version is built again from the log. */
static void discard(struct run *r, enum err cause)
{
	char reason[160];
	close_version(r, false);
	diag(DIAG_WARN, "view_rebuilt", "view=" STR_FMT " version=%d verdict=%s reason=%s",
	    STR_ARG(r->def->view->name), r->def->def.version, err_name(cause),
	    diag_quote(reason, sizeof(reason), str_of(err_chain())));
	metric_add(METRIC_REBUILT_FILES, 1);
	r->rebuilds++;
	enum err err = store_remove(worker_env(r->worker)->io, r->path);
	if (err) {
		publish(r, PROC_FAILED, err_chain());
		return;
	}
	r->dirty_open = true;
}

static void failed(struct run *r, enum err err)
{
	bool distrusted = err == ERR_CORRUPT || err == ERR_VIEW_AHEAD;
	enum proc_version_state now = r->view.head.ready ? PROC_READY : PROC_REBUILDING;
	if (distrusted && r->rebuilds < REBUILDS_MAX) {
		discard(r, err);
		return;
	}
	close_version(r, false);
	if (may_pass(err)) {
		int64_t wait_ms = (int64_t)RETRY_FIRST_MS << (r->failures < 6 ? r->failures : 6);
		r->failures++;
		r->retry_at_ns =
		    now_ns(r) + (wait_ms < RETRY_LAST_MS ? wait_ms : RETRY_LAST_MS) * MS_NS;
		publish(r, now, err_chain());
	} else {
		publish(r, err == ERR_SOURCE_GONE ? PROC_SOURCE_GONE : PROC_FAILED, err_chain());
	}
	char reason[240];
	diag(DIAG_ERROR, "view_failed", "view=" STR_FMT " version=%d error=%s retried=%s reason=%s",
	    STR_ARG(r->def->view->name), r->def->def.version, err_name(err),
	    may_pass(err) ? "yes" : "no", diag_quote(reason, sizeof(reason), str_of(err_chain())));
}

/* ---- turns ----------------------------------------------------------------------------------- */

static enum err open_version(struct run *r)
{
	struct worker_env *env = worker_env(r->worker);
	struct version_spec spec = {.log = env->log,
	    .io = env->io,
	    .last_append_ns = &env->last_append_ns,
	    .store = run_store_spec(r),
	    .plan = r->def->plan,
	    .parts = r->def->def.parts,
	    .part_count = r->def->def.part_count,
	    .limits = env->limits,
	    .watch = &env->watch};
	TRY(version_open(&spec, &r->version));
	if (r->barrier)
		version_set_barrier(r->version, r->barrier);
	publish(r, version_view(r->version)->head.ready ? PROC_READY : PROC_REBUILDING, "");
	return ERR_OK;
}

static bool try_open(struct run *r)
{
	if (r->retry_at_ns != 0 && now_ns(r) >= r->retry_at_ns)
		r->dirty_open = true;
	if (!r->dirty_open)
		return false;
	r->dirty_open = false;
	r->retry_at_ns = 0;
	err_clear();
	enum err err = open_version(r);
	if (err)
		failed(r, err);
	return r->version != NULL || r->dirty_open;
}

/* Nothing to read, nothing due, nobody waits for it to stand somewhere. */
static bool is_idle(const struct run *r)
{
	const struct version_view *v = version_view(r->version);
	bool wanted = r->barrier && !r->barrier->done;
	return v->caught_up && v->applied >= shared_load(&worker_env(r->worker)->stable) &&
	       !wanted && version_due_ns(r->version) > 0;
}

bool run_turn(struct run *r, int64_t budget_ns)
{
	if (!r->version && !try_open(r))
		return false;
	if (!r->version)
		return true; /* its file was discarded: again */
	if (is_idle(r))
		return false;
	enum version_turned turned = VERSION_IDLE;
	err_clear();
	enum err err = version_turn(r->version, budget_ns, &turned);
	if (err) {
		failed(r, err);
		return r->dirty_open;
	}
	if (version_view(r->version)->checkpoints > 0)
		r->failures = 0;
	publish(r, version_view(r->version)->head.ready ? PROC_READY : PROC_REBUILDING, "");
	return turned == VERSION_MORE;
}

int64_t run_due_ns(const struct run *r)
{
	if (r->version)
		return version_due_ns(r->version);
	if (r->dirty_open)
		return 0;
	if (r->retry_at_ns == 0)
		return INT64_MAX;
	int64_t due = r->retry_at_ns - now_ns(r);
	return due > 0 ? due : 0;
}

/* ---- life cycle ------------------------------------------------------------------------------ */

void run_close(struct run *r, bool checkpoint)
{
	err_clear();
	close_version(r, checkpoint);
}

void run_free(struct run *r)
{
	if (!r)
		return;
	ASSERT(!r->version);
	mem_free(r->path);
	mem_free(r);
}

static void start_on_worker(void *arg)
{
	struct run *r = arg;
	worker_add_run(r->worker, r);
}

/* The directory of a view's files: its name, with each byte that is not plain as %XX. */
static enum err view_directory(struct writer *w, const char *views_dir, struct str view)
{
	write_printf(w, "%s/", views_dir);
	for (size_t i = 0; i < view.len; i++) {
		unsigned char ch = (unsigned char)view.ptr[i];
		bool plain = (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9') || ch == '_' ||
		             ch == '-' || (ch >= 'A' && ch <= 'Z') || (ch == '.' && i > 0);
		if (plain)
			write_u8(w, ch);
		else
			write_printf(w, "%%%02X", ch);
	}
	return w->err;
}

static enum err make_path(struct run *r)
{
	struct worker_env *env = worker_env(r->worker);
	struct writer w;
	writer_init(&w, 4096);
	enum err err = view_directory(&w, env->views_dir, r->def->view->name);
	write_u8(&w, 0);
	if (err == ERR_OK)
		err = w.err;
	if (err == ERR_OK)
		err = io_mkdir_all(env->io, (const char *)w.ptr);
	if (err == ERR_OK) {
		w.len--;
		write_printf(&w, "/v%d.db", r->def->def.version);
		err = w.err;
	}
	if (err == ERR_OK) {
		r->path = mem_strdup(bytes_str(writer_bytes(&w)));
		err = r->path ? ERR_OK : ERR_NOMEM;
	}
	writer_release(&w);
	return err;
}

enum err run_start(struct worker *w, struct reg_version *def, struct run **ret_run)
{
	struct run *r = mem_calloc(1, sizeof(*r));
	if (!r)
		return ERR_NOMEM;
	list_node_init(&r->node);
	r->worker = w;
	r->def = def;
	r->dirty_open = true;
	enum err err = make_path(r);
	if (err) {
		run_free(r);
		return err;
	}
	if (def->plan) {
		r->state = PROC_REBUILDING;
	} else {
		r->state = PROC_FAILED;
		r->known = true;
		r->dirty_open = false;
		(void)snprintf(r->reason, sizeof(r->reason), "%s", def->problem);
	}
	worker_call(w, start_on_worker, r);
	*ret_run = r;
	return ERR_OK;
}

static void drop_on_worker(void *arg)
{
	struct run *r = arg;
	close_version(r, false);
	worker_remove_run(r->worker, r);
	enum err err = store_remove(worker_env(r->worker)->io, r->path);
	if (err)
		diag(DIAG_WARN, "view_file_left", "path=%s error=%s", r->path, err_name(err));
}

void run_drop(struct run *r)
{
	worker_call(r->worker, drop_on_worker, r);
	run_free(r);
}

struct barrier_call {
	struct run *run;
	struct version_barrier *barrier;
	uint64_t applied;
	enum err err;
};

static void barrier_on_worker(void *arg)
{
	struct barrier_call *c = arg;
	struct run *r = c->run;
	struct worker_env *env = worker_env(r->worker);
	r->barrier = c->barrier;
	mutex_lock(env->mutex);
	r->barrier_done = false;
	mutex_unlock(env->mutex);
	if (r->version) {
		version_set_barrier(r->version, NULL);
		if (c->barrier)
			version_set_barrier(r->version, c->barrier);
		c->applied = version_view(r->version)->applied;
	} else if (c->barrier) {
		c->err = r->dirty_open || r->retry_at_ns != 0 ? ERR_OK : ERR_REFUSED;
	}
}

enum err run_set_barrier(struct run *r, struct version_barrier *barrier, uint64_t *ret_applied)
{
	struct barrier_call c = {.run = r, .barrier = barrier};
	worker_call(r->worker, barrier_on_worker, &c);
	if (c.err)
		return err_note(c.err, "view \"" STR_FMT "\" version %d does not run: %s",
		    STR_ARG(r->def->view->name), r->def->def.version, r->reason);
	*ret_applied = c.applied;
	return ERR_OK;
}
