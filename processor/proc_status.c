/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of view versions: status, dead letters, their SQL, metrics. */
#include "processor/proc.h"
#include <stdio.h>

const char *proc_state_name(enum proc_version_state s)
{
	static const char *const names[] = {"rebuilding", "ready", "source_gone", "failed"};
	return names[s];
}

/* ---- status ---------------------------------------------------------------------------------- */

/* Under mutex: what stands in memory. */
static void fill_status(
    const struct proc *p, const struct reg_version *v, struct proc_version_status *s)
{
	*s = (struct proc_version_status){.version = v->def.version,
	    .active = v->view->active == v->def.version,
	    .state = PROC_REBUILDING,
	    .stable = shared_load(&p->env.stable),
	    .from_start = v->def.from_start,
	    .input_hash = v->input_hash};
	(void)snprintf(s->view, sizeof(s->view), STR_FMT, STR_ARG(v->view->name));
	memcpy(s->logic, v->def.logic, sizeof(s->logic));
	if (!v->run) {
		(void)snprintf(
		    s->reason, sizeof(s->reason), "created WITH NO DATA: CALL rebuild() starts it");
		return;
	}
	const struct version_view *x = &v->run->view;
	int64_t newest_ns = (int64_t)shared_load(&p->env.last_append_ns);
	s->state = v->run->state;
	(void)snprintf(s->reason, sizeof(s->reason), "%s", v->run->reason);
	s->rows = x->head.rows;
	s->dead_letters = x->head.dead_letters;
	s->records = x->head.records;
	s->position = x->head.sequence;
	s->position_time_ns = x->head.time_ns;
	s->lag_ns = s->position >= s->stable || newest_ns < x->head.time_ns
	                ? 0
	                : newest_ns - x->head.time_ns;
	s->input_done = x->head.input_bytes;
	s->rate = x->rate;
}

struct size_look {
	struct proc *proc;
	const struct reg_version *v;
	uint64_t bytes;
	uint64_t first_sequence;
};

static void look_at_part(struct size_look *l, const struct definition_part *part)
{
	const struct log *log = l->proc->options.log;
	const struct log_topic *t = log_topic_by_id(log, part->topic_id);
	struct log_partition *p = t ? log_partition_find(log, t, part->partition) : NULL;
	struct log_partition_status st;
	struct log_segment_status seg;
	if (!p)
		return;
	log_partition_status(p, &st);
	l->bytes += st.size_bytes;
	for (size_t i = 0; log_segment_status(p, i, &seg); i++) {
		if (seg.end_offset <= part->from && part->from > 0)
			continue;
		if (l->first_sequence == 0 || seg.first_sequence < l->first_sequence)
			l->first_sequence = seg.first_sequence;
		return;
	}
}

static void look_at_sizes(void *arg)
{
	struct size_look *l = arg;
	for (size_t i = 0; i < l->v->def.part_count; i++)
		look_at_part(l, &l->v->def.parts[i]);
}

/* Registry entries are never freed, so `v` may be used without the mutex. */
static void fill_input(struct proc *p, const struct reg_version *v, struct proc_version_status *s)
{
	struct size_look l = {.proc = p, .v = v};
	loop_call(log_loop(p->options.log), look_at_sizes, &l);
	s->first_sequence = l.first_sequence;
	s->input_total = l.bytes > s->input_done ? l.bytes : s->input_done;
	if (s->state == PROC_READY && s->lag_ns == 0)
		s->input_total = s->input_done;
}

enum err proc_version_status(
    struct proc *p, struct str view, int32_t version, struct proc_version_status *ret_status)
{
	struct reg_version *v = NULL;
	struct proc_version_status s;
	mutex_lock(&p->mutex);
	enum err err = proc_find_version(p, view, version, &v);
	if (err == ERR_OK)
		fill_status(p, v, &s);
	mutex_unlock(&p->mutex);
	TRY(err);
	fill_input(p, v, &s);
	*ret_status = s;
	return ERR_OK;
}

/* The version that comes after `last` by name and number; NULL = none. Under mutex. */
static struct reg_version *next_by_name(struct proc *p, const struct reg_version *last)
{
	struct reg_version *best = NULL;
	LIST_EACH (&p->registry.views, node, next) {
		struct reg_view *view = CONTAINER_OF(node, struct reg_view, node);
		int after =
		    last ? bytes_compare(str_bytes(view->name), str_bytes(last->view->name)) : 1;
		int before =
		    best ? bytes_compare(str_bytes(view->name), str_bytes(best->view->name)) : -1;
		if (after < 0 || before > 0)
			continue;
		for (struct reg_version *v = registry_next_version(view, NULL); v;
		     v = registry_next_version(view, v)) {
			bool later = after > 0 || v->def.version > last->def.version;
			bool earlier = before < 0 || !best || v->def.version < best->def.version ||
			               best->view != view;
			if (later && earlier) {
				best = v;
				before = 0;
			}
		}
	}
	return best;
}

enum err proc_versions(
    struct proc *p, enum err (*fn)(void *ctx, const struct proc_version_status *s), void *ctx)
{
	struct reg_version *v = NULL;
	for (;;) {
		struct proc_version_status s;
		mutex_lock(&p->mutex);
		v = next_by_name(p, v);
		if (v)
			fill_status(p, v, &s);
		mutex_unlock(&p->mutex);
		if (!v)
			return ERR_OK;
		fill_input(p, v, &s);
		TRY(fn(ctx, &s));
	}
}

enum err proc_version_sql(struct proc *p, struct str view, int32_t version, struct writer *ret_sql)
{
	struct reg_version *v = NULL;
	mutex_lock(&p->mutex);
	enum err err = proc_find_version(p, view, version, &v);
	mutex_unlock(&p->mutex);
	TRY(err);
	write_str(ret_sql, v->def.text);
	write_u8(ret_sql, 0);
	return ret_sql->err;
}

/* ---- dead letters ---------------------------------------------------------------------------- */

struct letters {
	int32_t version;
	struct str id; /* ptr NULL = all */
	uint64_t limit, sent;
	enum err (*fn)(void *ctx, const struct proc_dead_letter *d);
	void *ctx;
};

static bool has_id(const struct store_dead_letter *d, struct str id)
{
	char text[TOPIC_NAME_MAX + 48];
	int len = snprintf(text, sizeof(text), STR_FMT "/%d/%lld", STR_ARG(d->topic), d->partition,
	    (long long)d->offset);
	return str_equal(str_from(text, (size_t)len), id);
}

static enum err send_letter(void *ctx, const struct store_dead_letter *d)
{
	struct letters *l = ctx;
	char reason[40];
	enum err err = ERR_BUG;
	if (l->id.ptr && !has_id(d, l->id))
		return ERR_OK;
	if (l->sent == l->limit)
		return ERR_EOF;
	l->sent++;
	(void)snprintf(reason, sizeof(reason), STR_FMT, STR_ARG(d->reason));
	(void)err_by_name(reason, &err);
	struct proc_dead_letter out = {.topic = d->topic,
	    .partition = d->partition,
	    .offset = d->offset,
	    .sequence = d->sequence,
	    .version = l->version,
	    .op = d->op,
	    .reason = err,
	    .message = d->message,
	    .time_us = d->time_us,
	    .key = d->key,
	    .value = d->value};
	return l->fn(l->ctx, &out);
}

enum err proc_dead_letters(struct proc *p, struct str view, int32_t version, struct str id,
    uint64_t limit, enum err (*fn)(void *ctx, const struct proc_dead_letter *d), void *ctx)
{
	struct reg_version *v;
	struct store_reader *reader;
	TRY(proc_open_reader(p, view, version, &v, &reader));
	struct letters l = {
	    .version = v->def.version, .id = id, .limit = limit, .fn = fn, .ctx = ctx};
	enum err err = store_dead_letters(reader, send_letter, &l);
	store_reader_close(reader);
	if (err == ERR_EOF && l.sent == l.limit)
		err = ERR_OK;
	if (err == ERR_OK && id.ptr && l.sent == 0)
		return err_note(ERR_NOT_FOUND, "view \"" STR_FMT "\" has no dead letter " STR_FMT,
		    STR_ARG(view), STR_ARG(id));
	return err;
}

/* ---- metrics --------------------------------------------------------------------------------- */

struct sample_set {
	struct proc *proc;
	struct writer *out;
	const char *name;
	double (*value)(const struct proc_version_status *s);
};

static double freshness(const struct proc_version_status *s)
{
	return (double)s->lag_ns / 1e9;
}
static double progress(const struct proc_version_status *s)
{
	if (s->state == PROC_READY || s->input_total == 0)
		return 1;
	return (double)s->input_done / (double)s->input_total;
}
static double row_count(const struct proc_version_status *s)
{
	return (double)s->rows;
}
static double is_running(const struct proc_version_status *s)
{
	return s->state == PROC_READY || s->state == PROC_REBUILDING;
}

static enum err write_sample(void *ctx, const struct proc_version_status *s)
{
	const struct sample_set *set = ctx;
	char version[16];
	(void)snprintf(version, sizeof(version), "%d", s->version);
	const struct str labels[2][2] = {
	    {STR("view"), str_of(s->view)}, {STR("version"), str_of(version)}};
	metrics_sample(set->out, set->name, labels, 2, set->value(s));
	return set->out->err;
}

static void write_reasons(struct proc *p, struct writer *out)
{
	write_cstr(out, "# HELP kappa_dlq_records Dead letters of the active version, by reason\n"
	                "# TYPE kappa_dlq_records gauge\n");
	mutex_lock(&p->mutex);
	LIST_EACH (&p->registry.views, node, next) {
		struct reg_view *view = CONTAINER_OF(node, struct reg_view, node);
		struct reg_version *v = registry_version(&p->registry, view->name, 0);
		for (int e = 0; v && v->run && e < ERR_COUNT; e++) {
			if (v->run->view.reasons[e] == 0)
				continue;
			const struct str labels[2][2] = {{STR("view"), view->name},
			    {STR("reason"), str_of(err_name((enum err)e))}};
			metrics_sample(
			    out, "kappa_dlq_records", labels, 2, (double)v->run->view.reasons[e]);
		}
	}
	mutex_unlock(&p->mutex);
}

void proc_collect_metrics(void *ctx, struct writer *out)
{
	static const struct {
		const char *name, *help;
		double (*value)(const struct proc_version_status *s);
	} gauges[] = {
	    {"kappa_view_freshness_seconds",
	        "Append time of the newest durable record minus that of the view's position",
	        freshness},
	    {"kappa_view_rebuild_progress_ratio", "Part of its input that a view version has read",
	        progress},
	    {"kappa_view_rows", "Rows of a view version", row_count},
	    {"kappa_view_running", "1 when a view version is kept up to date", is_running},
	};
	for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++) {
		struct sample_set set = {ctx, out, gauges[i].name, gauges[i].value};
		write_printf(out, "# HELP %s %s\n# TYPE %s gauge\n", gauges[i].name, gauges[i].help,
		    gauges[i].name);
		if (proc_versions(ctx, write_sample, &set) != ERR_OK)
			err_clear();
	}
	write_reasons(ctx, out);
}
