/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lineage of one row: the version's own plan runs once more, in memory, over the part of its input
 * that can matter, one record at a time, and what changes the row is told. There is no index from
 * rows to records: the row's hidden sequences bound the range where they are exact (one stateful
 * node over an append-only input, or none); else the whole input is read again.
 */
#include "processor/proc.h"

struct explain {
	struct proc *proc;
	const struct reg_version *def;
	struct bytes key;
	uint64_t limit, total;
	enum err (*fn)(void *ctx, const struct proc_input_record *r);
	void *ctx;
	struct op_env env;
	struct op_tree *tree;
	struct feed *feed;
	uint64_t first, last; /* sequences to look at */
	/* of the record at work */
	bool touched;
	bool deleted;
	uint64_t count, count_before;
};

static enum err explain_sink(
    void *ctx, const struct batch *rows, const struct op_change *changes, uint32_t count)
{
	struct explain *x = ctx;
	(void)rows;
	for (uint32_t i = 0; i < count; i++) {
		if (!bytes_equal(changes[i].key, x->key))
			continue;
		x->touched = true;
		x->deleted = changes[i].deleted;
		x->count = changes[i].deleted ? 0 : changes[i].lineage.record_count;
	}
	return ERR_OK;
}

static void explain_op_error(void *ctx, const struct op_error *e)
{
	struct explain *x = ctx;
	feed_refused(x->feed, e);
}

static enum err explain_dead(void *ctx, const struct feed_dead *d)
{
	(void)ctx, (void)d; /* a dead letter then, a dead letter now */
	return ERR_OK;
}

static enum err tell(struct explain *x, struct proc_input_record *r, int effect)
{
	r->effect = effect;
	x->total++;
	return x->total <= x->limit ? x->fn(x->ctx, r) : ERR_OK;
}

/*
 * A record that replaced another in the row (a newer revision) took that away and added itself: it
 * is told twice, so that the effects add up to the row's records.
 */
static enum err explain_record(
    void *ctx, const struct decode_input *in, struct str topic, bool accepted)
{
	struct explain *x = ctx;
	if (!accepted || !x->touched)
		return ERR_OK;
	struct proc_input_record r = {.topic = topic,
	    .partition = in->partition,
	    .offset = in->record.offset,
	    .sequence = in->sequence,
	    .timestamp_ms = in->record.timestamp_ms,
	    .value = in->record.value};
	bool less = x->deleted || x->count < x->count_before;
	bool more = !x->deleted && x->count > x->count_before;
	x->touched = false;
	x->count_before = x->count;
	if (!more)
		TRY(tell(x, &r, -1));
	return less ? ERR_OK : tell(x, &r, 1);
}

/* ---- the range ------------------------------------------------------------------------------- */

static bool reads_retractions(const struct plan *p)
{
	if (p->stateful)
		for (uint32_t i = 0; i < p->input_count; i++)
			if (!p->inputs[i]->append_only)
				return true;
	for (uint32_t i = 0; i < p->input_count; i++)
		if (reads_retractions(p->inputs[i]))
			return true;
	return false;
}

static enum err find_range(struct explain *x, struct proc_snapshot *at)
{
	struct proc_row row;
	const struct view_plan *plan = x->def->plan;
	enum err err = proc_snapshot_find(at, x->key, &row);
	if (err == ERR_NOT_FOUND)
		return err_note(ERR_NOT_FOUND,
		    "view \"" STR_FMT "\" version %d has no row with that key",
		    STR_ARG(x->def->view->name), x->def->def.version);
	TRY(err);
	x->last = proc_snapshot_sequence(at);
	if (plan->state_count > 1 || reads_retractions(plan->root))
		return ERR_OK;
	x->first = row.first_sequence;
	x->last = row.last_sequence;
	return ERR_OK;
}

/* ---- the run --------------------------------------------------------------------------------- */

static enum err open_run(struct explain *x)
{
	x->env = (struct op_env){.ctx = x,
	    .sink = explain_sink,
	    .error = explain_op_error,
	    .memory_bytes = x->proc->env.limits.state_bytes};
	TRY(op_build(x->def->plan, &x->env, &x->tree));
	struct feed_options o = {.plan = x->def->plan,
	    .tree = x->tree,
	    .batch_rows = 1,
	    .one_by_one = true,
	    .dead = explain_dead,
	    .record = explain_record,
	    .ctx = x};
	return feed_new(&o, &x->feed);
}

static enum err open_scan(struct explain *x, struct log_scan **ret_scan)
{
	const struct definition *d = &x->def->def;
	struct log_scan_source *sources = mem_calloc(d->part_count + 1, sizeof(*sources));
	if (!sources)
		return ERR_NOMEM;
	for (size_t i = 0; i < d->part_count; i++) {
		const struct definition_part *p = &d->parts[i];
		sources[i] = (struct log_scan_source){
		    p->topic_id, p->partition, p->from > p->log_start ? p->from : p->log_start};
	}
	enum err err = log_scan_open(x->proc->options.log, sources, d->part_count, ret_scan);
	mem_free(sources);
	return err;
}

static enum err run_scan(struct explain *x, struct log_scan *scan)
{
	struct log_batch_view b;
	uint64_t stable;
	log_scan_limit(scan, x->last);
	for (;;) {
		enum err err = log_scan_next(scan, &b, &stable);
		if (err == ERR_AGAIN)
			return feed_flush(x->feed);
		if (err == ERR_CORRUPT) {
			err_clear(); /* a dead letter of the view, no part of any row */
			continue;
		}
		TRY(err);
		if (b.sequence >= x->first)
			TRY(feed_batch(x->feed, &b, x->def->def.parts[b.source].from));
	}
}

static enum err explain(struct explain *x)
{
	struct log_scan *scan = NULL;
	enum err err = open_run(x);
	if (err == ERR_OK)
		err = open_scan(x, &scan);
	if (err == ERR_OK)
		err = run_scan(x, scan);
	log_scan_close(scan);
	feed_free(x->feed);
	op_free(x->tree);
	return err;
}

enum err proc_explain_row(struct proc *p, struct proc_snapshot *at, struct bytes key,
    uint64_t limit, enum err (*fn)(void *ctx, const struct proc_input_record *r), void *ctx,
    uint64_t *ret_total)
{
	struct explain x = {.proc = p,
	    .def = proc_snapshot_def(at),
	    .key = key,
	    .limit = limit,
	    .fn = fn,
	    .ctx = ctx};
	TRY(find_range(&x, at));
	TRY(explain(&x));
	*ret_total = x.total;
	return ERR_OK;
}
