/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Views over t0: statements between two turns of the loop, and every checkpoint compared with what
 * a few lines of C make of the same records. A statement that was answered holds after any end; of
 * one that was not, either is right.
 */
#include "test/sim/views.h"
#include "test/lib/xmalloc.h"

#include <stdio.h>
#include <stdlib.h>

static const char table_sql[] = "CREATE TABLE s0 (k text NOT NULL, v bigint NOT NULL) "
                                "WITH (topic = 't0', format = json)";
static const struct {
	const char *name, *sql;
} defs[WORLD_VIEWS_MAX] = {
    [VIEW_SUM] = {"v_sum", "CREATE MATERIALIZED VIEW v_sum AS "
                           "SELECT k, count(*) AS n, sum(v)::bigint AS s FROM s0 GROUP BY k"},
    [VIEW_ALL] = {"v_all", "CREATE MATERIALIZED VIEW v_all AS SELECT k, v FROM s0 WHERE v >= 0"},
    [VIEW_LAST] = {"v_last",
        "CREATE MATERIALIZED VIEW v_last AS SELECT DISTINCT ON (k) k, v FROM s0 "
        "ORDER BY k, _sequence DESC, _pos DESC"},
    [VIEW_RANGE] = {"v_range", "CREATE MATERIALIZED VIEW v_range AS SELECT k, min(v) AS a, "
                               "max(v) AS b, count(DISTINCT v) AS d FROM s0 GROUP BY k"},
};

enum { UNKNOWN = -1 }; /* a version */

struct views {
	bool table, table_maybe; /* there; perhaps there */
	struct {
		bool there, maybe;
		int32_t active, active_maybe; /* 0 = nothing is in doubt */
		int32_t before;               /* where a rollback goes; 0 = nobody knows */
	} view[WORLD_VIEWS_MAX];
	uint64_t calm_until; /* turns: what costs much is not done in every one */
};

/* ---- statements ------------------------------------------------------------------------------ */

static enum err no_row(void *ctx, const struct datum *values, uint32_t count)
{
	(void)ctx, (void)values, (void)count;
	return ERR_OK;
}

static enum err no_columns(void *ctx, const struct proc_column *columns, uint32_t count)
{
	(void)ctx, (void)columns, (void)count;
	return ERR_OK;
}

static enum err execute(struct world *w, const char *sql)
{
	const struct proc_sink sink = {.columns = no_columns, .row = no_row};
	const struct proc_execute how = {.execute_plans = true, .principal = STR("sim")};
	struct sql_script script;
	struct sql_error e = {0};
	err_clear();
	enum err err = sql_parse(str_of(sql), &script, &e);
	if (err != ERR_OK)
		violated("bug", "%s: %s", sql, e.message);
	err = replay_execute(w->replay, &script.statements[0], &how, &sink, &e);
	sql_script_release(&script);
	trace(w, "sql", "%s: %s %s", sql, err_name(err), err ? e.message : "");
	return err;
}

/* An error must have a reason: the end of the world, a failing call, or the one expected here. */
static bool worked(struct world *w, const char *what, enum err err, enum err expected)
{
	bool trouble = sim_io_is_dead(w->io) || w->faulty || w->scarce;
	if (err != ERR_OK && err != expected && !trouble)
		violated("statement", "%s: %s: %s", what, err_name(err), err_chain());
	err_clear();
	return err == ERR_OK && !sim_io_is_dead(w->io);
}

static void create_table(struct world *w, struct views *v)
{
	bool maybe = v->table_maybe;
	v->table_maybe = true;
	if (worked(w, "CREATE TABLE", execute(w, table_sql), maybe ? ERR_EXISTS : ERR_OK))
		v->table = true;
}

static void create_view(struct world *w, struct views *v, int i)
{
	bool maybe = v->view[i].maybe;
	v->view[i].maybe = true;
	if (!worked(w, defs[i].name, execute(w, defs[i].sql), maybe ? ERR_EXISTS : ERR_OK))
		return;
	v->view[i].there = true;
	v->view[i].active = 1;
}

/* ---- versions -------------------------------------------------------------------------------- */

const char *view_name(enum view_kind kind)
{
	return defs[kind].name;
}

static int view_number(const char *name)
{
	for (int i = 0; i < WORLD_VIEWS_MAX; i++)
		if (strcmp(defs[i].name, name) == 0)
			return i;
	violated("statement", "there is a view %s", name);
}

static enum err add_version(void *ctx, const struct proc_version_status *s)
{
	struct view_list *l = ctx;
	if (l->count < VIEW_VERSIONS_MAX)
		l->version[l->count++] = *s;
	return ERR_OK;
}

static void list_versions(struct world *w, struct view_list *l)
{
	l->count = 0;
	if (proc_versions(w->proc, add_version, l) != ERR_OK)
		violated("statement", "the list of versions: %s", err_chain());
}

static void rebuild(struct world *w, struct views *v, int i)
{
	struct replay_rebuild req = {.view = str_of(defs[i].name),
	    .sql = str_of(defs[i].sql),
	    .from = STR("start"),
	    .principal = STR("sim")};
	enum err err = replay_rebuild(w->replay, &req);
	trace(w, "sql", "rebuild of %s: %s, version %d", defs[i].name, err_name(err), req.version);
	(void)v;
	(void)worked(w, "rebuild", err, ERR_REFUSED);
}

/* Half of them as a statement: that keeps the version before for a rollback. */
static enum err do_promote(struct world *w, const struct proc_version_status *s)
{
	char sql[400];
	if (chance(w, 50)) {
		int64_t keep_ns = chance(w, 50) ? -1 : (int64_t)below(w, 100) * MS_NS;
		return replay_promote(
		    w->replay, str_of(s->view), s->version, keep_ns, STR("simulation"));
	}
	snprintf(sql, sizeof(sql), "ALTER MATERIALIZED VIEW %s SET (active_version = %d)", s->view,
	    s->version);
	return execute(w, sql);
}

static void promote(struct world *w, struct views *v, const struct proc_version_status *s)
{
	int i = view_number(s->view);
	v->view[i].active_maybe = s->version;
	enum err err = do_promote(w, s);
	trace(w, "sql", "promote %s version %d: %s", s->view, s->version, err_name(err));
	if (!worked(w, "promote", err, ERR_REFUSED))
		return;
	v->view[i].before = v->view[i].active;
	v->view[i].active = s->version;
	v->view[i].active_maybe = 0;
}

/* Back to the version before the last promote, as long as it is kept. */
static void rollback(struct world *w, struct views *v, int i)
{
	int32_t version = 0;
	if (v->view[i].active_maybe == 0)
		v->view[i].active_maybe = v->view[i].before ? v->view[i].before : UNKNOWN;
	enum err err =
	    replay_rollback(w->replay, str_of(defs[i].name), STR("simulation"), &version);
	trace(w, "sql", "rollback of %s: %s, version %d", defs[i].name, err_name(err), version);
	if (!worked(w, "rollback", err, ERR_REFUSED))
		return;
	if (v->view[i].before != 0 && version != v->view[i].before)
		violated("statement", "%s went back to version %d, %d was active before",
		    defs[i].name, version, v->view[i].before);
	v->view[i].active = version;
	v->view[i].before = v->view[i].active_maybe = 0;
}

/* What was answered is so. */
static void check_list(struct world *w, struct views *v, const struct view_list *l)
{
	bool seen[WORLD_VIEWS_MAX] = {false};
	for (size_t n = 0; n < l->count; n++) {
		const struct proc_version_status *s = &l->version[n];
		int i = view_number(s->view);
		seen[i] = true;
		if (!v->view[i].maybe)
			violated("statement", "nobody created %s", s->view);
		if (s->state == PROC_FAILED && !w->faulty && !w->scarce)
			violated(
			    "view", "%s version %d has failed: %s", s->view, s->version, s->reason);
		if (!s->active || v->view[i].active == 0 || s->version == v->view[i].active)
			continue;
		if (s->version != v->view[i].active_maybe && v->view[i].active_maybe != UNKNOWN)
			violated("statement", "version %d of %s is active, not %d", s->version,
			    s->view, v->view[i].active);
		v->view[i].active = s->version;
		v->view[i].before = 0;
	}
	for (int i = 0; i < WORLD_VIEWS_MAX; i++) {
		if (v->view[i].there && !seen[i])
			violated("statement", "%s was created, and is gone", defs[i].name);
		v->view[i].there |= seen[i];
		if (seen[i] && v->view[i].active == 0)
			v->view[i].active = 1;
	}
}

/* ---- checkpoints ----------------------------------------------------------------------------- */

static void audit_version(struct world *w, const struct proc_version_status *s)
{
	struct proc_snapshot *snapshot;
	struct log_status st;
	enum err err = proc_snapshot_last(w->proc, str_of(s->view), s->version, &snapshot);
	log_status(w->log, &st); /* opening it may have waited for the version's first turn */
	bool dropped = err == ERR_NOT_FOUND && !s->active; /* its time was up */
	if (err == ERR_AGAIN || err == ERR_REFUSED || dropped || sim_io_is_dead(w->io)) {
		if (err == ERR_OK)
			proc_snapshot_close(snapshot);
		err_clear();
		return; /* nothing is committed yet, it is not fed, or cannot be read any more */
	}
	if (err != ERR_OK)
		violated("view", "%s version %d: %s: %s", s->view, s->version, err_name(err),
		    err_chain());
	uint64_t at = proc_snapshot_sequence(snapshot);
	if (at > st.durable_sequence)
		violated("phantom", "%s version %d shows sequence %llu, durable is %llu", s->view,
		    s->version, (unsigned long long)at, (unsigned long long)st.durable_sequence);
	view_compare(w, view_number(s->view), s->version, snapshot);
	proc_snapshot_close(snapshot);
	w->checkpoints_checked++;
}

void views_audit(struct world *w)
{
	struct view_list l;
	list_versions(w, &l);
	check_list(w, w->views, &l);
	for (size_t i = 0; i < l.count; i++)
		audit_version(w, &l.version[i]);
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void act(struct world *w, struct views *v)
{
	struct view_list l;
	int i = (int)below(w, WORLD_VIEWS_MAX);
	uint64_t dice = below(w, 100);
	if (!v->table) {
		create_table(w, v);
		v->table |= v->table_maybe && !w->faulty && !sim_io_is_dead(w->io);
		return;
	}
	/* what a version finds that is made while a segment cannot be opened is not in the model */
	if (!v->view[i].there) {
		if (!w->faulty)
			create_view(w, v, i);
		return;
	}
	list_versions(w, &l);
	check_list(w, v, &l);
	const struct proc_version_status *s = l.count ? &l.version[below(w, l.count)] : NULL;
	if (dice < 15 && l.count < VIEW_VERSIONS_MAX / 2 && !w->faulty)
		rebuild(w, v, i);
	else if (dice < 40 && s && !s->active && s->state == PROC_READY)
		promote(w, v, s);
	else if (dice < 47)
		rollback(w, v, i);
	else if (dice < 70)
		(void)worked(w, "query",
		    execute(w, "SELECT k, n, s FROM v_sum WHERE n > 1 ORDER BY k"),
		    v->view[VIEW_SUM].there ? ERR_AGAIN : ERR_SQL_NAME);
	else if (!w->faulty && !sim_io_is_dead(w->io)) {
		audit_log(w);
		views_audit(w);
	}
}

void views_step(struct world *w)
{
	struct views *v = w->views;
	if (w->steps < v->calm_until || model_topic_named(&w->model, "t0") == UINT32_MAX)
		return;
	v->calm_until = w->steps + 20 + below(w, 400);
	act(w, v);
	err_clear();
}

/* ---- the end --------------------------------------------------------------------------------- */

static bool has_caught_up(struct world *w, const struct view_list *l)
{
	struct log_status st;
	log_status(w->log, &st);
	for (size_t i = 0; i < l->count; i++)
		if (l->version[i].state != PROC_READY ||
		    l->version[i].position < st.stable_sequence)
			return false;
	return true;
}

/* Its dead letters are to be read, so they must be in its file. */
static void commit_version(struct world *w, const struct proc_version_status *s)
{
	struct proc_snapshot *snapshot;
	int32_t version = s->version;
	enum err err =
	    proc_snapshot_at(w->proc, str_of(s->view), &version, 1, 0, 30 * S_NS, &snapshot);
	if (err != ERR_OK)
		violated("view", "a barrier over %s: %s: %s", s->view, err_name(err), err_chain());
	proc_snapshot_close(snapshot);
}

static void catch_up(struct world *w)
{
	struct view_list l;
	int64_t end = world_now_ns(w) + 60 * S_NS;
	for (list_versions(w, &l); !has_caught_up(w, &l); list_versions(w, &l)) {
		world_turn(w, MS_NS);
		(void)proc_step(w->proc);
		if (world_now_ns(w) > end)
			violated("progress", "%s version %d is %s at %llu after a minute: %s",
			    l.version[0].view, l.version[0].version,
			    proc_state_name(l.version[0].state),
			    (unsigned long long)l.version[0].position, l.version[0].reason);
	}
	/* I4: each record is a row's or a dead letter */
	for (size_t i = 0; i < l.count; i++) {
		if (model_has_rot(&w->model, model_topic_named(&w->model, "t0"), -1))
			commit_version(w, &l.version[i]);
		view_count(w, (enum view_kind)view_number(l.version[i].view), &l.version[i]);
	}
}

/* I5: a version made again from the log has the same root. */
static void compare_with_rebuild(struct world *w, int i)
{
	struct views *v = w->views;
	enum view_kind kind = (enum view_kind)i;
	int32_t versions[2] = {v->view[i].active, 0};
	struct proc_snapshot *s[2];
	uint8_t root[2][32];
	struct replay_rebuild req = {
	    .view = str_of(defs[i].name), .sql = str_of(defs[i].sql), .principal = STR("sim")};
	enum err err = replay_rebuild(w->replay, &req);
	if (err == ERR_REFUSED)
		return; /* another one is running */
	if (err != ERR_OK)
		violated("statement", "rebuild of %s: %s", defs[i].name, req.error.message);
	versions[1] = req.version;
	catch_up(w);
	err = proc_snapshot_at(w->proc, str_of(defs[i].name), versions, 2, 0, 30 * S_NS, s);
	if (err != ERR_OK)
		violated(
		    "view", "a barrier over %s: %s: %s", defs[i].name, err_name(err), err_chain());
	for (int n = 0; n < 2; n++) {
		if (proc_snapshot_root(s[n], root[n]) != ERR_OK)
			violated("view", "the root of %s: %s", defs[i].name, err_chain());
		proc_snapshot_close(s[n]);
	}
	/* who came before the rot has more */
	if (memcmp(root[0], root[1], 32) != 0 && view_same_holes(w, kind, versions[0], versions[1]))
		violated("view", "%s: versions %d and %d differ over the same log", defs[i].name,
		    versions[0], versions[1]);
}

void views_finish(struct world *w)
{
	struct views *v = w->views;
	catch_up(w);
	audit_log(w);
	views_audit(w);
	int i = (int)below(w, WORLD_VIEWS_MAX);
	if (!w->reopened && v->view[i].there && chance(w, 50)) {
		compare_with_rebuild(w, i);
		views_audit(w);
	}
}

void views_new(struct world *w)
{
	w->views = xcalloc(1, sizeof(*w->views));
}

void views_free(struct views *v)
{
	free(v);
}
