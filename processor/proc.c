/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening and closing of the processor: definitions are read, bound and taken in, then each version
 * with data gets a run at the worker with the fewest. The log's loop tells when S_stable has moved;
 * workers do the rest.
 */
#include "processor/proc.h"
#include <stdio.h>

enum {
	DEFINITION_ARENA_BYTES_MAX = 64 << 20,
	KEEP_CHECK_MS = 1000,
	WORKERS_MAX = 64,
	KNOWN_WAIT_MS = 10,
	KNOWN_WAIT_MAX = 1000
};

int64_t proc_now_ms(const struct proc *p)
{
	return io_clock_ns(p->options.io, IO_CLOCK_REALTIME) / MS_NS;
}

/* ---- loading definitions --------------------------------------------------------------------- */

struct loading {
	struct list_node node;
	struct arena arena;
	struct definition def;
};

static enum err load_record(
    void *ctx, int32_t partition, struct bytes key, struct bytes value, int64_t timestamp_ms)
{
	struct proc *p = ctx;
	struct arena arena;
	(void)partition, (void)timestamp_ms;
	if (p->loaded)
		return ERR_OK; /* what this process wrote it has taken in already */
	arena_init(&arena, DEFINITION_ARENA_BYTES_MAX);
	struct loading *l = arena_calloc(&arena, 1, sizeof(*l));
	enum err err = l ? definition_read(key, value, &arena, &l->def) : ERR_NOMEM;
	if (err) {
		arena_release(&arena);
		return err;
	}
	l->arena = arena;
	list_push_back(&p->loading, &l->node);
	return ERR_OK;
}

static enum err take_in(struct proc *p, struct loading *l)
{
	struct registry *r = &p->registry;
	struct reg_table *table;
	struct reg_version *version;
	const struct definition *d = &l->def;
	if (d->kind == DEFINITION_ACTIVE)
		return registry_set_active(r, d);
	if (d->kind == DEFINITION_TABLE && d->dropped)
		registry_drop_table(r, d->name);
	else if (d->kind == DEFINITION_TABLE)
		return registry_add_table(r, d, &l->arena, &table);
	else if (d->dropped)
		registry_drop_version(r, d->name, d->version);
	else
		return registry_add_version(r, d, &l->arena, &version);
	return ERR_OK;
}

static enum err load_definitions(struct proc *p)
{
	static const struct log_table_ops ops = {.apply = load_record, .snapshot = NULL};
	list_init(&p->loading);
	enum err err = log_table_open(p->options.log, STR(DEFINITION_TOPIC), 1, &ops, p, &p->table);
	LIST_EACH (&p->loading, node, next) {
		struct loading *l = CONTAINER_OF(node, struct loading, node);
		if (err == ERR_OK)
			err = take_in(p, l);
		struct arena arena = l->arena; /* empty when it was taken over */
		arena_release(&arena);
	}
	p->loaded = true;
	return err;
}

/* ---- workers --------------------------------------------------------------------------------- */

/* On the loop, each time D has moved. */
static void stable_moved(void *ctx, uint64_t stable)
{
	struct proc *p = ctx;
	struct log_status st;
	log_status(p->options.log, &st);
	shared_store(&p->env.last_append_ns, (uint64_t)st.last_append_time_ns);
	shared_store(&p->env.stable, stable);
	for (unsigned i = 0; i < p->worker_count; i++)
		worker_news(p->workers[i]);
}

static void watch(void *arg)
{
	struct proc *p = arg;
	struct log_status st;
	log_status(p->options.log, &st);
	log_watch_stable(p->options.log, stable_moved, p);
	stable_moved(p, st.stable_sequence);
}

static void unwatch(void *arg)
{
	struct proc *p = arg;
	log_unwatch_stable(p->options.log, p);
}

void proc_set_watch(struct proc *p, const struct proc_watch *watch)
{
	watch_set(&p->env.watch, watch);
}

static enum err new_workers(struct proc *p)
{
	unsigned count = p->options.workers ? p->options.workers : 1;
	if (count > WORKERS_MAX)
		count = WORKERS_MAX;
	p->workers = mem_calloc(count, sizeof(struct worker *));
	if (!p->workers)
		return ERR_NOMEM;
	for (; p->worker_count < count; p->worker_count++)
		TRY(worker_new(&p->env, p->options.workers > 0, &p->workers[p->worker_count]));
	return ERR_OK;
}

enum err proc_start_run(struct proc *p, struct reg_version *v)
{
	struct worker *least = NULL;
	struct run *run;
	mutex_lock(&p->mutex);
	for (unsigned i = 0; i < p->worker_count; i++)
		if (!least || worker_load(p->workers[i]) < worker_load(least))
			least = p->workers[i];
	mutex_unlock(&p->mutex);
	TRY(run_start(least, v, &run));
	mutex_lock(&p->mutex);
	v->run = run;
	mutex_unlock(&p->mutex);
	worker_wake(least);
	return ERR_OK;
}

static enum err start_runs(struct proc *p)
{
	LIST_EACH (&p->registry.views, node, next) {
		struct reg_view *view = CONTAINER_OF(node, struct reg_view, node);
		struct reg_version *v = NULL;
		while ((v = registry_next_version(view, v)) != NULL)
			if (v->def.with_data)
				TRY(proc_start_run(p, v));
		proc_link_current(p, view);
	}
	return ERR_OK;
}

static void keeper_main(void *arg)
{
	struct proc *p = arg;
	while (!gate_wait_for(&p->keeper_stop, KEEP_CHECK_MS * MS_NS))
		proc_keep_check(p);
	struct io *io = p->options.io;
	gate_open(&p->keeper_done);
	io_wake(io); /* proc_close turns the loop while it waits */
}

/* ---- life cycle ------------------------------------------------------------------------------ */

static void set_defaults(struct proc *p)
{
	struct proc_options *o = &p->options;
	struct version_limits *l = &p->env.limits;
	o->query_timeout_ns = o->query_timeout_ns ? o->query_timeout_ns : 30 * S_NS;
	o->query_rows_max = o->query_rows_max ? o->query_rows_max : 10000000;
	l->batch_rows = o->batch_rows ? o->batch_rows : 2048;
	if (l->batch_rows > BATCH_ROWS_MAX)
		l->batch_rows = BATCH_ROWS_MAX;
	l->checkpoint_ns = o->checkpoint_ns ? o->checkpoint_ns : S_NS;
	l->checkpoint_keys = o->checkpoint_keys ? o->checkpoint_keys : 100000;
	l->state_bytes = o->state_bytes ? o->state_bytes : GIB;
	p->env.log = o->log;
	p->env.io = o->io;
	p->env.mutex = &p->mutex;
	p->env.changed = &p->changed;
}

static enum err open_views_dir(struct proc *p)
{
	size_t len = strlen(p->options.data_dir) + sizeof("/views");
	p->views_dir = mem_alloc(len);
	if (!p->views_dir)
		return ERR_NOMEM;
	(void)snprintf(p->views_dir, len, "%s/views", p->options.data_dir);
	p->env.views_dir = p->views_dir;
	return io_mkdir_all(p->options.io, p->views_dir);
}

static enum err open_all(struct proc *p)
{
	TRY(open_views_dir(p));
	TRY(vfs_new(p->options.io, &p->vfs));
	p->env.vfs = p->vfs;
	TRY(load_definitions(p));
	TRY(new_workers(p));
	loop_call(log_loop(p->options.log), watch, p);
	p->watching = true;
	TRY(start_runs(p));
	if (p->options.workers > 0)
		TRY(thread_start(&p->keeper, "kappa-keep", keeper_main, p));
	metric_collector_add(proc_collect_metrics, p);
	return ERR_OK;
}

enum err proc_open(const struct proc_options *options, struct proc **ret_proc)
{
	struct proc *p = mem_calloc(1, sizeof(*p));
	if (!p)
		return ERR_NOMEM;
	p->options = *options;
	mutex_init(&p->mutex);
	mutex_init(&p->ddl);
	mutex_init(&p->files);
	mutex_init(&p->barriers);
	watch_init(&p->env.watch);
	cond_init(&p->changed);
	gate_init(&p->keeper_stop);
	gate_init(&p->keeper_done);
	list_init(&p->loading);
	registry_init(&p->registry, &p->mutex);
	set_defaults(p);
	enum err err = open_all(p);
	if (err) {
		proc_close(p);
		return err;
	}
	*ret_proc = p;
	return ERR_OK;
}

/* Forgets the runs that the workers are about to free. */
static void forget_runs(struct proc *p)
{
	LIST_EACH (&p->registry.views, node, next) {
		struct reg_view *view = CONTAINER_OF(node, struct reg_view, node);
		LIST_EACH (&view->versions, vnode, vnext)
			CONTAINER_OF(vnode, struct reg_version, node)->run = NULL;
	}
}

void proc_close(struct proc *p)
{
	if (!p)
		return;
	struct loop *loop = log_loop(p->options.log);
	metric_collector_remove(proc_collect_metrics, p);
	gate_open(&p->keeper_stop);
	if (p->keeper.started)
		loop_wait(loop, &p->keeper_done);
	thread_join(&p->keeper);
	if (p->watching)
		loop_call(loop, unwatch, p);
	mutex_lock(&p->mutex);
	forget_runs(p);
	mutex_unlock(&p->mutex);
	for (unsigned i = 0; i < p->worker_count; i++)
		worker_free(p->workers[i]);
	mem_free(p->workers);
	if (p->table)
		log_table_close(p->table);
	registry_release(&p->registry);
	vfs_free(p->vfs);
	mem_free(p->views_dir);
	gate_release(&p->keeper_stop);
	gate_release(&p->keeper_done);
	cond_release(&p->changed);
	watch_release(&p->env.watch);
	mutex_release(&p->barriers);
	mutex_release(&p->files);
	mutex_release(&p->ddl);
	mutex_release(&p->mutex);
	mem_free(p);
}

bool proc_step(struct proc *p)
{
	bool moved = false;
	ASSERT(p->options.workers == 0);
	for (unsigned i = 0; i < p->worker_count; i++)
		moved |= worker_turn(p->workers[i]);
	proc_keep_check(p);
	return moved;
}

void proc_pause(struct proc *p, int64_t ns)
{
	if (p->options.workers == 0)
		(void)proc_step(p);
	else
		io_sleep_ns(p->options.io, ns);
}

/* ---- shared helpers -------------------------------------------------------------------------- */

const struct sql_catalog *proc_sql_catalog(struct proc *p)
{
	return &p->registry.catalog;
}

enum err proc_sql_error(struct sql_error *e, enum err err)
{
	if (err && e->err == ERR_OK) {
		e->err = err;
		const char *chain = err_chain();
		(void)snprintf(
		    e->message, sizeof(e->message), "%s", chain[0] ? chain : err_text(err));
	}
	return err;
}

enum err proc_message(const struct proc_sink *sink, const char *fmt, ...)
{
	char text[600];
	va_list args;
	if (!sink->message)
		return ERR_OK;
	va_start(args, fmt);
	int len = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (len < 0)
		return ERR_BUG;
	return sink->message(
	    sink->ctx, str_from(text, (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1));
}

enum err proc_find_version(
    struct proc *p, struct str view, int32_t version, struct reg_version **ret_version)
{
	struct reg_version *v = registry_version(&p->registry, view, version);
	if (v) {
		*ret_version = v;
		return ERR_OK;
	}
	if (registry_view(&p->registry, view))
		return err_note(ERR_NOT_FOUND, "view \"" STR_FMT "\" has no version %d",
		    STR_ARG(view), version);
	struct str near = registry_nearest(&p->registry, view);
	if (near.ptr)
		return err_note(ERR_NOT_FOUND,
		    "there is no view \"" STR_FMT "\": did you mean \"" STR_FMT "\"?",
		    STR_ARG(view), STR_ARG(near));
	return err_note(ERR_NOT_FOUND, "there is no view \"" STR_FMT "\"", STR_ARG(view));
}

enum err proc_wait_known(struct proc *p, struct str name)
{
	for (int i = 0; i < KNOWN_WAIT_MAX; i++) {
		bool known = true;
		mutex_lock(&p->mutex);
		struct reg_view *view = registry_view(&p->registry, name);
		for (struct reg_version *v = view ? registry_next_version(view, NULL) : NULL; v;
		     v = registry_next_version(view, v))
			known &= !v->run || v->run->known;
		mutex_unlock(&p->mutex);
		if (known)
			return ERR_OK;
		proc_pause(p, KNOWN_WAIT_MS * MS_NS);
	}
	return err_note(
	    ERR_AGAIN, "the versions of \"" STR_FMT "\" are still being opened", STR_ARG(name));
}

/* A version whose rows can be read, and what its file must be; under `files`. */
static enum err readable(struct proc *p, struct str view, int32_t version,
    struct reg_version **ret_version, struct store_spec *ret_spec)
{
	struct reg_version *v = NULL;
	mutex_lock(&p->mutex);
	enum err err = proc_find_version(p, view, version, &v);
	if (err == ERR_OK && !v->plan)
		err = err_note(ERR_REFUSED, "view \"" STR_FMT "\" version %d: %s", STR_ARG(view),
		    v->def.version, v->problem);
	if (err == ERR_OK && !v->run)
		err = err_note(ERR_REFUSED,
		    "view \"" STR_FMT "\" version %d has no data: CALL rebuild('" STR_FMT
		    "', version => %d) starts it",
		    STR_ARG(view), v->def.version, STR_ARG(view), v->def.version);
	if (err == ERR_OK) {
		*ret_spec = run_store_spec(v->run);
		*ret_version = v;
	}
	mutex_unlock(&p->mutex);
	return err;
}

enum err proc_open_reader(struct proc *p, struct str view, int32_t version,
    struct reg_version **ret_version, struct store_reader **ret_reader)
{
	struct reg_version *v = NULL;
	struct store_reader *reader = NULL;
	struct store_spec spec;
	TRY(proc_wait_known(p, view));
	mutex_lock(&p->files);
	enum err err = readable(p, view, version, &v, &spec);
	if (err == ERR_OK)
		err = store_reader_open(&spec, &reader);
	mutex_unlock(&p->files);
	if (err == ERR_OK && store_reader_head(reader)->checkpoint == 0) {
		store_reader_close(reader);
		err = ERR_AGAIN;
	}
	if (err == ERR_AGAIN)
		return err_note(
		    ERR_AGAIN, "view \"" STR_FMT "\" has no checkpoint yet", STR_ARG(view));
	TRY(err);
	*ret_version = v;
	*ret_reader = reader;
	return ERR_OK;
}
