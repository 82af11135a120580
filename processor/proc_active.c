/* SPDX-License-Identifier: Apache-2.0 */
/* Which version of a view is active, what is dropped, and when: promote, rollback, DROP, keep
 * windows. */
#include "processor/proc.h"
#include "processor/run.h"
#include <stdio.h>

/* ---- current.db ------------------------------------------------------------------------------ */

/* A link for people: kappa itself follows the record, so a failure here is only told. */
void proc_link_current(struct proc *p, const struct reg_view *view)
{
	char target[32], path[1200], temp[1210];
	struct reg_version *v = NULL;
	mutex_lock(&p->mutex);
	v = registry_version(&p->registry, view->name, 0);
	const char *file = v && v->run ? v->run->path : NULL;
	int dir_len = file ? (int)(strrchr(file, '/') - file) : 0;
	bool fits = file && snprintf(path, sizeof(path), "%.*s/current.db", dir_len, file) <
	                        (int)sizeof(path);
	if (fits)
		(void)snprintf(target, sizeof(target), "v%d.db", v->def.version);
	mutex_unlock(&p->mutex);
	if (!fits)
		return;
	(void)snprintf(temp, sizeof(temp), "%s.new", path);
	struct io *io = p->options.io;
	enum err err = io_unlink(io, temp);
	if (err == ERR_OK || err == ERR_NOT_FOUND)
		err = io_symlink(io, target, temp);
	if (err == ERR_OK)
		err = io_rename(io, temp, path);
	if (err)
		diag(DIAG_WARN, "view_link", "path=%s error=%s", path, err_name(err));
	err_clear();
}

/* ---- dropping -------------------------------------------------------------------------------- */

enum err proc_drop_version_locked(struct proc *p, struct reg_version *v)
{
	struct definition d = {
	    .kind = DEFINITION_VIEW, .name = v->view->name, .version = v->def.version};
	TRY(proc_put_tombstone(p, &d));
	mutex_lock(&p->barriers);
	mutex_lock(&p->files);
	mutex_lock(&p->mutex);
	struct run *run = v->run;
	v->run = NULL;
	mutex_unlock(&p->mutex);
	registry_drop_version(&p->registry, v->view->name, v->def.version);
	if (run)
		run_drop(run);
	mutex_unlock(&p->files);
	mutex_unlock(&p->barriers);
	return ERR_OK;
}

static enum err drop_one(struct proc *p, struct str view, int32_t version)
{
	struct reg_version *v = NULL;
	mutex_lock(&p->mutex);
	enum err err = proc_find_version(p, view, version, &v);
	bool active = err == ERR_OK && v->view->active == v->def.version;
	mutex_unlock(&p->mutex);
	TRY(err);
	if (active)
		return err_note(ERR_REFUSED,
		    "version %d of \"" STR_FMT
		    "\" is the active one: promote another first, or drop"
		    " the view",
		    version, STR_ARG(view));
	return proc_drop_version_locked(p, v);
}

enum err proc_version_drop(struct proc *p, struct str view, int32_t version)
{
	if (version <= 0)
		return err_note(ERR_INVALID, "which version of \"" STR_FMT "\"?", STR_ARG(view));
	mutex_lock(&p->ddl);
	enum err err = drop_one(p, view, version);
	mutex_unlock(&p->ddl);
	return err;
}

static enum err refuse_read(struct proc *p, const struct plan_read *read)
{
	mutex_lock(&p->mutex);
	struct reg_version *v = registry_reader_of(&p->registry, read);
	enum err err = ERR_OK;
	if (v && !str_equal(v->view->name, read->name))
		err = err_note(ERR_REFUSED,
		    "view \"" STR_FMT "\" version %d reads \"" STR_FMT "\": drop that first",
		    STR_ARG(v->view->name), v->def.version, STR_ARG(read->name));
	mutex_unlock(&p->mutex);
	return err;
}

static enum err drop_table(struct proc *p, const struct sql_statement *s,
    const struct proc_execute *how, const struct proc_sink *sink)
{
	struct definition d = {.kind = DEFINITION_TABLE, .name = s->name};
	struct plan_read read = {.name = s->name, .is_table = true};
	mutex_lock(&p->mutex);
	bool found = registry_table(&p->registry, s->name) != NULL;
	mutex_unlock(&p->mutex);
	if (!found && s->if_exists)
		return proc_message(
		    sink, "there is no table \"" STR_FMT "\", nothing was done", STR_ARG(s->name));
	if (!found)
		return err_note(
		    ERR_NOT_FOUND, "there is no table \"" STR_FMT "\"", STR_ARG(s->name));
	TRY(refuse_read(p, &read));
	if (!how->execute_plans) {
		TRY(proc_message(sink,
		    "would drop table \"" STR_FMT "\"; its topic and records stay",
		    STR_ARG(s->name)));
		return err_note(ERR_REFUSED, "nothing was done: run it with --execute");
	}
	TRY(proc_put_tombstone(p, &d));
	registry_drop_table(&p->registry, s->name);
	return proc_message(sink, "DROP TABLE");
}

/* Some version of the view that is still there; NULL = none. */
static struct reg_version *any_version(struct proc *p, struct str name)
{
	mutex_lock(&p->mutex);
	struct reg_view *view = registry_view(&p->registry, name);
	struct reg_version *v = view ? registry_next_version(view, NULL) : NULL;
	mutex_unlock(&p->mutex);
	return v;
}

static enum err tell_drop(struct proc *p, struct str name, const struct proc_sink *sink)
{
	for (struct reg_version *v = any_version(p, name); v;) {
		uint64_t rows = 0, letters = 0;
		mutex_lock(&p->mutex);
		if (v->run) {
			rows = v->run->view.head.rows;
			letters = v->run->view.head.dead_letters;
		}
		struct reg_version *next = registry_next_version(v->view, v);
		mutex_unlock(&p->mutex);
		TRY(proc_message(sink,
		    "would drop view \"" STR_FMT "\" version %d: %llu rows, %llu dead letters",
		    STR_ARG(name), v->def.version, (unsigned long long)rows,
		    (unsigned long long)letters));
		v = next;
	}
	return err_note(ERR_REFUSED, "nothing was done: run it with --execute");
}

static enum err drop_view(struct proc *p, const struct sql_statement *s,
    const struct proc_execute *how, const struct proc_sink *sink)
{
	struct plan_read read = {.name = s->name, .is_table = false, .version = 0};
	struct reg_version *v = any_version(p, s->name);
	if (!v && s->if_exists)
		return proc_message(
		    sink, "there is no view \"" STR_FMT "\", nothing was done", STR_ARG(s->name));
	if (!v) {
		mutex_lock(&p->mutex);
		enum err err = proc_find_version(p, s->name, 0, &v);
		mutex_unlock(&p->mutex);
		return err;
	}
	TRY(refuse_read(p, &read));
	if (!how->execute_plans)
		return tell_drop(p, s->name, sink);
	for (; v; v = any_version(p, s->name))
		TRY(proc_drop_version_locked(p, v));
	return proc_message(sink, "DROP MATERIALIZED VIEW");
}

enum err proc_drop(struct proc *p, const struct sql_statement *s, const struct proc_execute *how,
    const struct proc_sink *sink)
{
	return s->drop_table ? drop_table(p, s, how, sink) : drop_view(p, s, how, sink);
}

/* ---- promote and rollback -------------------------------------------------------------------- */

static enum err check_promotable(
    struct proc *p, const struct proc_activation *a, int32_t *ret_active)
{
	struct reg_version *v = NULL;
	mutex_lock(&p->mutex);
	enum err err = a->version > 0 ? proc_find_version(p, a->view, a->version, &v)
	                              : err_note(ERR_INVALID, "which version of \"" STR_FMT "\"?",
	                                    STR_ARG(a->view));
	if (err == ERR_OK && v->view->active == a->version)
		err = err_note(ERR_REFUSED, "version %d of \"" STR_FMT "\" is active already",
		    a->version, STR_ARG(a->view));
	if (err == ERR_OK && (!v->run || v->run->state != PROC_READY))
		err = err_note(ERR_REFUSED, "version %d of \"" STR_FMT "\" is not ready: %s",
		    a->version, STR_ARG(a->view),
		    v->run ? proc_state_name(v->run->state) : "it has no data");
	if (err == ERR_OK)
		*ret_active = v->view->active;
	mutex_unlock(&p->mutex);
	return err;
}

static enum err set_active(struct proc *p, const struct proc_activation *a)
{
	int32_t before = 0;
	TRY(check_promotable(p, a, &before));
	bool drop = !a->rollback && a->keep_ns == 0 && before != 0;
	struct definition d = {.kind = DEFINITION_ACTIVE,
	    .name = a->view,
	    .version = a->version,
	    .previous = a->rollback || drop ? 0 : before,
	    .text = a->reason,
	    .principal = a->principal};
	if (d.previous != 0 && a->keep_ns > 0)
		d.keep_until_ms = proc_now_ms(p) + a->keep_ns / MS_NS;
	TRY(proc_put_definition(p, &d, NULL));
	TRY(registry_set_active(&p->registry, &d));
	mutex_lock(&p->mutex);
	struct reg_view *view = registry_view(&p->registry, a->view);
	struct reg_version *old = drop ? registry_version(&p->registry, a->view, before) : NULL;
	mutex_unlock(&p->mutex);
	proc_link_current(p, view);
	diag(DIAG_INFO, a->rollback ? "view_rollback" : "view_promote",
	    "view=" STR_FMT " version=%d before=%d", STR_ARG(a->view), a->version, before);
	return old ? proc_drop_version_locked(p, old) : ERR_OK;
}

enum err proc_set_active(struct proc *p, const struct proc_activation *a)
{
	mutex_lock(&p->ddl);
	enum err err = set_active(p, a);
	mutex_unlock(&p->ddl);
	return err;
}

enum err proc_previous_active(struct proc *p, struct str view, int32_t *ret_version)
{
	struct reg_version *v = NULL;
	mutex_lock(&p->mutex);
	enum err err = proc_find_version(p, view, 0, &v);
	if (err == ERR_OK && v->view->previous == 0)
		err = err_note(ERR_REFUSED,
		    "view \"" STR_FMT
		    "\" has no version to go back to: nothing was promoted since, or"
		    " its keep window is over",
		    STR_ARG(view));
	if (err == ERR_OK)
		*ret_version = v->view->previous;
	mutex_unlock(&p->mutex);
	return err;
}

/* ---- keep windows ---------------------------------------------------------------------------- */

static struct reg_version *over_keep(struct proc *p)
{
	struct reg_version *found = NULL;
	int64_t now_ms = proc_now_ms(p);
	mutex_lock(&p->mutex);
	LIST_EACH (&p->registry.views, node, next) {
		struct reg_view *view = CONTAINER_OF(node, struct reg_view, node);
		if (view->previous != 0 && view->keep_until_ms != 0 &&
		    view->keep_until_ms <= now_ms && !found)
			found = registry_version(&p->registry, view->name, view->previous);
	}
	mutex_unlock(&p->mutex);
	return found;
}

void proc_keep_check(struct proc *p)
{
	if (!over_keep(p))
		return;
	mutex_lock(&p->ddl);
	for (struct reg_version *v = over_keep(p); v; v = over_keep(p)) {
		diag(DIAG_INFO, "view_keep_over", "view=" STR_FMT " version=%d",
		    STR_ARG(v->view->name), v->def.version);
		enum err err = proc_drop_version_locked(p, v);
		if (err) {
			diag(DIAG_WARN, "view_keep_failed", "view=" STR_FMT " version=%d error=%s",
			    STR_ARG(v->view->name), v->def.version, err_name(err));
			err_clear();
			break; /* again at the next check */
		}
	}
	mutex_unlock(&p->ddl);
}
