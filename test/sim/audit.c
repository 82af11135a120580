/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads everything the log has, in the order of the server, through the scan that views use, and
 * compares it with the model: which topics there are, that offsets and sequences are dense or their
 * holes named, what was acknowledged, and that what was ever shown is still the same.
 */
#include "log/catalog_row.h"
#include "test/lib/xmalloc.h"
#include "test/sim/world.h"

enum { SOURCES_MAX = 256, HOLES_MAX = 256 };

struct range {
	uint64_t first, last;
};

struct audit {
	struct world *w;
	struct log_scan_source source[SOURCES_MAX];
	struct log_partition_status status[SOURCES_MAX];
	uint32_t topic[SOURCES_MAX]; /* UINT32_MAX: internal */
	int64_t next[SOURCES_MAX];
	size_t count, batches;
	uint64_t last; /* sequence */
	bool holes_allowed;
	bool holes_named; /* by GAP rows of the catalog, and by nothing else */
	size_t catalog;   /* its source */
	struct range hole[HOLES_MAX], gap[HOLES_MAX];
	size_t hole_count, gap_count;
};

static void check_expiry(struct world *w, uint32_t topic, const struct log_partition_status *st)
{
	const struct world_plan *p = &w->plan;
	struct model_limits l = {.retention_ms = p->retention_ms,
	    .retention_bytes = p->retention_bytes,
	    .now_ns = p->clock_jumps ? 0 : io_clock_ns(w->io, IO_CLOCK_REALTIME),
	    .size_bytes = st->size_bytes};
	model_expiry_check(&w->model, topic, st->partition, &l);
}

static void add_partitions(struct audit *a, const struct log_topic *t, uint32_t topic)
{
	struct model *m = &a->w->model;
	for (int32_t i = 0; i < t->partition_count; i++) {
		const struct log_partition *p = log_partition_find(a->w->log, t, i);
		size_t n = a->count++;
		ASSERT(p && n < SOURCES_MAX);
		log_partition_status(p, &a->status[n]);
		const struct log_partition_status *st = &a->status[n];
		a->topic[n] = topic;
		a->next[n] = st->log_start;
		a->source[n] = (struct log_scan_source){t->id, i, st->log_start};
		if (log_uuid_equal(t->id, CATALOG_TOPIC_ID))
			a->catalog = n;
		a->holes_allowed |= st->log_start > 0;
		if (topic == UINT32_MAX)
			continue;
		if (st->damaged && !model_has_rot(m, topic, i))
			violated(
			    "damaged", STR_FMT "-%d, and nothing was rotten", STR_ARG(t->name), i);
		model_watermark(
		    m, topic, i, m->topic[topic].partition[i].high_watermark, st->visible_end);
		model_stable(m, topic, i, m->topic[topic].partition[i].stable, st->stable_end);
		model_start(m, topic, i, st->log_start);
		check_expiry(a->w, topic, st);
		if (st->log_start < m->topic[topic].partition[i].start_acked)
			violated("trim", STR_FMT "-%d begins at %lld again", STR_ARG(t->name), i,
			    (long long)st->log_start);
	}
}

static void find_topics(struct audit *a)
{
	struct world *w = a->w;
	bool seen[MODEL_TOPICS_MAX] = {false};
	size_t cursor = 0;
	const struct log_topic *t;
	while ((t = log_topic_next(w->log, &cursor))) {
		uint32_t topic = UINT32_MAX;
		if (!t->internal) {
			topic = model_topic_seen(&w->model, t->name, t->id, t->partition_count);
			seen[topic] = true;
		}
		add_partitions(a, t, topic);
	}
	model_topics_end(&w->model, seen);
	for (uint32_t i = 0; i < w->model.topic_count; i++)
		a->holes_allowed |= w->model.topic[i].delete_sent;
	/* of markers, of what was aborted, of what compaction took, of what has rotted */
	a->holes_allowed |= w->plan.transactors > 0 || w->plan.keyed > 0 || w->plan.rots > 0;
	a->holes_named = !a->holes_allowed;
	a->holes_allowed |= w->plan.lazy > 0; /* what was told and lost */
}

/* ---- sequences that were burnt --------------------------------------------------------------- */

static void note_gap(struct audit *a, const struct record *r)
{
	struct row_name name = row_name_parse(r->key);
	struct range g;
	if (name.kind != ROW_GAP || !r->value.ptr)
		return;
	if (gap_row_parse(r->value, &g.first, &g.last) != ERR_OK)
		violated("gap", "a row that cannot be read");
	if (g.last > 0 && a->gap_count < HOLES_MAX)
		a->gap[a->gap_count++] = g;
}

static void take_catalog(struct audit *a, struct bytes batch)
{
	struct record_iter it;
	struct record r;
	struct writer scratch;
	writer_init(&scratch, 64 * MIB);
	enum err e = record_iter_open(&it, batch, &scratch, 64 * MIB);
	while (e == ERR_OK && (e = record_iter_next(&it, &r)) == ERR_OK)
		note_gap(a, &r);
	writer_release(&scratch);
	err_clear();
}

static void note_hole(struct audit *a, uint64_t sequence)
{
	if (a->last + 1 == sequence)
		return;
	if (!a->holes_allowed)
		violated("dense", "sequence %llu follows %llu, and nothing was deleted",
		    (unsigned long long)sequence, (unsigned long long)a->last);
	if (a->hole_count < HOLES_MAX)
		a->hole[a->hole_count++] = (struct range){a->last + 1, sequence - 1};
}

/* Each burnt sequence is named, and no other one. */
static void check_gaps(struct audit *a)
{
	const struct model *m = &a->w->model;
	for (size_t i = 0; i < m->sequence_count; i++)
		for (size_t g = 0; g < a->gap_count; g++)
			if (m->sequence[i].sequence >= a->gap[g].first &&
			    m->sequence[i].sequence <= a->gap[g].last)
				violated("gap", "sequence %llu is there, and is named as burnt",
				    (unsigned long long)m->sequence[i].sequence);
	for (size_t i = 0; a->holes_named && i < a->hole_count; i++) {
		uint64_t at = a->hole[i].first;
		for (size_t g = 0; g < a->gap_count; g++)
			if (a->gap[g].first <= at && at <= a->gap[g].last) {
				at = a->gap[g].last + 1;
				g = SIZE_MAX; /* from the first again */
			}
		if (at <= a->hole[i].last)
			violated("gap", "sequences %llu to %llu are missing, %llu is not named",
			    (unsigned long long)a->hole[i].first,
			    (unsigned long long)a->hole[i].last, (unsigned long long)at);
	}
}

/* ---- batches --------------------------------------------------------------------------------- */

static void take_batch(struct audit *a, const struct log_batch_view *v)
{
	struct model *m = &a->w->model;
	uint32_t s = v->source;
	struct model_sequence q = {.sequence = v->sequence,
	    .topic = a->topic[s],
	    .partition = v->partition,
	    .base_offset = v->base_offset};
	int64_t end;
	note_hole(a, v->sequence);
	a->last = v->sequence;
	if (q.topic != UINT32_MAX) {
		end = model_seen(m, q.topic, v->partition, v->batch, &q.batch);
		if (batch_peek(v->batch.ptr).attributes & BATCH_ATTR_CONTROL)
			violated("aborted", "a scan shows a marker");
		model_committed_seen(m, q.batch);
		if (m->topic[q.topic].keyed && v->base_offset > a->next[s])
			a->next[s] = v->base_offset; /* model_keys_check says what may be gone */
		if (v->base_offset > a->next[s] && a->w->plan.transactors > 0) {
			model_hole(m, q.topic, v->partition, a->next[s], v->base_offset);
			a->next[s] = v->base_offset;
		}
	} else {
		struct batch_header h;
		if (batch_header_read(v->batch, &h) != ERR_OK)
			violated("acknowledged", "an internal batch that cannot be read");
		if (s == a->catalog)
			take_catalog(a, v->batch);
		end = h.base_offset + h.last_offset_delta + 1;
	}
	if (v->base_offset > a->next[s])
		violated("dense", "source %u: offset %lld follows %lld", s,
		    (long long)v->base_offset, (long long)a->next[s]);
	a->next[s] = end;
	model_sequence_seen(m, a->batches++, q);
	a->w->records_seen += (uint64_t)(end - v->base_offset);
}

/* A batch that cannot be read: exactly one that has rotted. */
static void take_damage(struct audit *a, const struct log_batch_view *v)
{
	struct model *m = &a->w->model;
	uint32_t s = v->source;
	const struct model_rot *r = NULL;
	bool user = a->topic[s] != UINT32_MAX;
	bool keyed = user && m->topic[a->topic[s]].keyed;
	if (user && !keyed && v->base_offset > a->next[s] && a->w->plan.transactors > 0) {
		model_hole(m, a->topic[s], v->partition, a->next[s], v->base_offset);
		a->next[s] = v->base_offset; /* behind markers, and what was aborted */
	}
	if (keyed && v->base_offset > a->next[s])
		a->next[s] = v->base_offset;
	if (keyed) /* a bad header: what compaction took before it is not told from it */
		r = model_rot_behind(m, a->topic[s], v->partition, a->next[s]);
	else if (user) /* DeleteRecords may have cut into it */
		r = model_rot_at(m, a->topic[s], v->partition, a->next[s]);
	if (keyed && r && r->base > a->next[s] && r->end == v->end_offset)
		a->next[s] = r->base;
	if (!r || (!keyed && v->base_offset < r->base) || a->next[s] < r->base ||
	    v->base_offset > a->next[s])
		violated("damaged", "partition %d offset %lld behind %lld: %s", v->partition,
		    (long long)v->base_offset, (long long)a->next[s], err_chain());
	if (v->sequence < a->last) /* it may be no more than a bound */
		violated("dense",
		    "the hole at partition %d offset %lld has sequence %llu behind %llu",
		    v->partition, (long long)v->base_offset, (unsigned long long)v->sequence,
		    (unsigned long long)a->last);
	a->next[s] = r->end;
	model_rot_told(m, r);
	err_clear();
}

static bool next_batch(struct audit *a, struct log_scan *scan, uint64_t *ret_stable)
{
	struct log_batch_view v;
	enum err e = log_scan_next(scan, &v, ret_stable);
	if (e == ERR_OK)
		take_batch(a, &v);
	else if (e == ERR_CORRUPT && a->w->plan.rots > 0 && !sim_io_is_dead(a->w->io))
		take_damage(a, &v);
	else if (e != ERR_AGAIN && !sim_io_is_dead(a->w->io))
		violated("acknowledged", "the scan of everything fails: %s: %s", err_name(e),
		    err_chain());
	return e == ERR_OK || (e == ERR_CORRUPT && a->w->plan.rots > 0);
}

/* What is open anywhere holds the scan back everywhere. */
static void check_end(struct audit *a, size_t i)
{
	struct model *m = &a->w->model;
	struct log_txn open;
	int64_t end = a->next[i], durable = a->status[i].durable_end;
	int32_t partition = a->source[i].partition;
	bool user = a->topic[i] != UINT32_MAX, transactions = a->w->plan.transactors > 0;
	if (transactions && log_txn_oldest(a->w->log, &open))
		return;
	if (transactions && user && end < durable) {
		model_hole(m, a->topic[i], partition, end, durable);
		end = durable;
	}
	if (user && m->topic[a->topic[i]].keyed)
		end = durable;
	if (end < durable)
		violated("acknowledged",
		    "partition %d ends at %lld in the scan, at %lld for clients", partition,
		    (long long)end, (long long)durable);
	if (user && world_is_lazy(a->w, m->topic[a->topic[i]].name))
		end = a->status[i].visible_end; /* a scan ends at what is durable */
	if (user)
		model_walk_end(m, a->topic[i], partition, a->status[i].log_start, end);
}

/* ---- topics that opted out ------------------------------------------------------------------- */

static void each_lazy(struct world *w,
    void (*fn)(struct world *w, uint32_t topic, const struct log_partition_status *st))
{
	for (uint32_t t = 0; t < w->model.topic_count; t++) {
		const struct model_topic *topic = &w->model.topic[t];
		const struct log_topic *found =
		    world_is_lazy(w, topic->name) ? log_topic_by_id(w->log, topic->id) : NULL;
		for (int32_t i = 0; found && i < found->partition_count; i++) {
			struct log_partition_status st;
			log_partition_status(log_partition_find(w->log, found, i), &st);
			fn(w, t, &st);
		}
	}
}

static void flushed(struct world *w, uint32_t topic, const struct log_partition_status *st)
{
	struct model_partition *p = &w->model.topic[topic].partition[st->partition];
	if (st->durable_end > p->flushed)
		p->flushed = st->durable_end;
	p->leader_epoch = st->leader_epoch;
}

static void losses(struct world *w, uint32_t topic, const struct log_partition_status *st)
{
	struct model_partition *p = &w->model.topic[topic].partition[st->partition];
	bool lost = model_lost(&w->model, topic, st->partition, st->log_end);
	if (lost)
		trace(w, "loss", "%s-%d ends at %lld, epoch %u", w->model.topic[topic].name,
		    st->partition, (long long)st->log_end, st->leader_epoch);
	if (lost && st->leader_epoch <= p->leader_epoch)
		violated("gap", "%s-%d has lost what was known, and its epoch is still %u",
		    w->model.topic[topic].name, st->partition, st->leader_epoch);
}

void audit_flushed(struct world *w)
{
	each_lazy(w, flushed);
}

void audit_losses(struct world *w)
{
	if (w->plan.lazy > 0)
		each_lazy(w, losses);
}

void audit_log(struct world *w)
{
	struct audit *a = xcalloc(1, sizeof(*a));
	struct log_scan *scan;
	uint64_t stable = 0;
	a->w = w;
	a->catalog = SIZE_MAX;
	find_topics(a);
	enum err e = log_scan_open(w->log, a->source, a->count, &scan);
	model_walk_begin(&w->model);
	if (e == ERR_OK) {
		while (next_batch(a, scan, &stable))
			;
		log_scan_close(scan);
	} else if (!sim_io_is_dead(w->io)) {
		violated(
		    "acknowledged", "the scan of everything: %s: %s", err_name(e), err_chain());
	}
	if (!sim_io_is_dead(w->io)) {
		model_sequences_end(&w->model, a->batches, stable);
		for (size_t i = 0; i < a->count; i++)
			check_end(a, i);
		check_gaps(a);
	}
	model_walk_done(&w->model);
	free(a);
	err_clear();
}
