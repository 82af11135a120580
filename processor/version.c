/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a running version and its turns, see version.h.
 *
 *   version_open    store -> operators -> feed -> input; a fresh view is flushed once, because an
 * aggregate without GROUP BY has a row over no records version_turn    batch by batch: apply_batch,
 * take_hole, follow_catalog, reach_end reach_end       everything up to S_stable, or the barrier,
 * has been applied: barriers are answered here, and the first time a version gets here at the live
 * end it is ready
 */
#include "log/batch.h"
#include "log/catalog.h"
#include "processor/version_parts.h"

enum { TURN_CHECK_BATCHES = 16 };    /* batches between looks at the clock */
#define HOLE_POS ((uint32_t)1 << 31) /* no batch has so many records */

int64_t version_now_ns(const struct version *v)
{
	return io_clock_ns(v->spec.io, IO_CLOCK_MONOTONIC);
}

const struct version_view *version_view(const struct version *v)
{
	return &v->view;
}

/* ---- opening --------------------------------------------------------------------------------- */

static void op_failed(void *ctx, const struct op_error *e)
{
	struct version *v = ctx;
	feed_refused(v->feed, e);
}

static enum err open_operators(struct version *v)
{
	bool empty = store_head(v->store)->checkpoint == 0;
	v->env = (struct op_env){.ctx = v,
	    .sink = version_sink,
	    .error = op_failed,
	    .store = store_ops(v->store),
	    .store_empty = empty,
	    .memory_bytes = v->spec.limits.state_bytes};
	TRY(op_build(v->spec.plan, &v->env, &v->tree));
	TRY(store_prepare(v->store, op_row_state(v->tree)));
	if (!empty)
		TRY(op_load(v->tree));
	struct feed_options o = {.plan = v->spec.plan,
	    .tree = v->tree,
	    .batch_rows = v->spec.limits.batch_rows,
	    .dead = version_dead,
	    .ctx = v};
	v->fresh = empty;
	return feed_new(&o, &v->feed);
}

static void count_reason(void *ctx, struct str reason, uint64_t count)
{
	struct version *v = ctx;
	char name[40];
	enum err err;
	if (reason.len >= sizeof(name))
		return;
	memcpy(name, reason.ptr, reason.len);
	name[reason.len] = '\0';
	if (err_by_name(name, &err))
		v->view.reasons[err] = count;
}

static enum err load_reasons(struct version *v)
{
	struct store_reader *r;
	if (v->view.head.dead_letters == 0)
		return ERR_OK;
	TRY(store_reader_open(&v->spec.store, &r));
	enum err err = store_dead_letter_counts(r, count_reason, v);
	store_reader_close(r);
	return err;
}

static enum err open_all(struct version *v)
{
	TRY(store_open(&v->spec.store, &v->store));
	v->view.head = *store_head(v->store);
	v->view.applied = v->told = v->view.head.sequence;
	v->view.applied_time_ns = v->view.head.time_ns;
	v->records_before = v->view.head.records + v->view.head.dead_letters;
	if (v->view.head.ready)
		TRY(store_set_durable(v->store, true));
	TRY(input_load(v));
	TRY(input_open(v)); /* before the operators: a view ahead of the log need not be loaded */
	TRY(open_operators(v));
	TRY(load_reasons(v));
	return v->fresh ? version_checkpoint(v) : ERR_OK;
}

enum err version_open(const struct version_spec *spec, struct version **ret_version)
{
	struct version *v = mem_calloc(1, sizeof(*v));
	if (!v)
		return ERR_NOMEM;
	v->spec = *spec;
	dirty_init(&v->rows, VERSION_ROWS_BYTES_MAX);
	dirty_init(&v->dead, VERSION_ROWS_BYTES_MAX);
	enum err err = open_all(v);
	if (err) {
		v->broken = true;
		(void)version_close(v, false);
		return err;
	}
	v->rate_at_ns = version_now_ns(v);
	v->rate_records = v->view.head.records;
	*ret_version = v;
	return ERR_OK;
}

enum err version_close(struct version *v, bool checkpoint)
{
	if (!v)
		return ERR_OK;
	enum err err = checkpoint && !v->broken ? version_checkpoint(v) : ERR_OK;
	log_scan_close(v->scan);
	feed_free(v->feed);
	op_free(v->tree);
	store_close(v->store);
	dirty_release(&v->rows);
	dirty_release(&v->dead);
	mem_free(v->parts);
	mem_free(v);
	return err;
}

/* ---- batches --------------------------------------------------------------------------------- */

/* Records that wait in the feed may still die: accepted is all minus dead. */
void version_count(struct version *v)
{
	v->view.head.records =
	    v->records_before + feed_records(v->feed) - v->view.head.dead_letters;
}

static void note_change(struct version *v)
{
	if (v->oldest_ns == 0)
		v->oldest_ns = version_now_ns(v);
	v->moved = true;
}

static void moved_to(
    struct version *v, struct version_part *p, int64_t next_offset, const struct log_batch_view *b)
{
	p->next_offset = next_offset;
	p->moved = true;
	v->view.applied = b->sequence;
	v->view.applied_time_ns = b->append_time_ns;
	note_change(v);
}

static enum err apply_batch(
    struct version *v, struct version_part *p, const struct log_batch_view *b)
{
	uint64_t before = feed_records(v->feed);
	TRY(feed_batch(v->feed, b, p->next_offset));
	v->view.head.input_bytes += b->batch.len;
	version_count(v);
	metric_add(METRIC_VIEW_RECORDS, feed_records(v->feed) - before);
	moved_to(v, p, b->end_offset, b);
	return ERR_OK;
}

/*
 * A damaged batch: its records are nobody's rows, so they are a dead letter, once. Its sequence may
 * be a lower bound, under which there are other letters: as its position it has a number among the
 * version's holes, behind all that a batch can have.
 */
static enum err take_hole(struct version *v, const struct log_batch_view *b)
{
	struct version_part *p = input_part(v, b->source);
	if (!p || b->base_offset < p->next_offset)
		return ERR_OK;
	struct decode_input in = {.record = {.offset = b->base_offset},
	    .sequence = b->sequence,
	    .pos = HOLE_POS + (uint32_t)v->view.reasons[ERR_DAMAGED],
	    .partition = b->partition,
	    .append_time_ns = b->append_time_ns};
	struct feed_dead d = {.topic_id = b->topic_id,
	    .topic = STR(""),
	    .in = &in,
	    .op = "read",
	    .reason = ERR_DAMAGED,
	    .message = "the log is damaged here: the records of this batch cannot be read"};
	for (uint32_t i = 0; i < v->spec.plan->source_count; i++)
		if (log_uuid_equal(v->spec.plan->sources[i]->table->topic_id, b->topic_id))
			d.topic = v->spec.plan->sources[i]->table->topic;
	TRY(feed_flush(v->feed));
	v->records_before++;
	TRY(version_dead(v, &d));
	/* all of it: the batch may be whole again at the next start, and half of it is nobody's */
	moved_to(v, p, b->end_offset, b);
	return ERR_OK;
}

/* ---- the end --------------------------------------------------------------------------------- */

static void measure_rate(struct version *v, int64_t now_ns)
{
	int64_t passed = now_ns - v->rate_at_ns;
	if (passed < S_NS)
		return;
	v->view.rate = (double)(v->view.head.records - v->rate_records) * 1e9 / (double)passed;
	v->rate_at_ns = now_ns;
	v->rate_records = v->view.head.records;
}

/* From here on each commit is durable, this one first. */
static enum err become_ready(struct version *v)
{
	TRY(store_set_durable(v->store, true));
	v->view.head.ready = true;
	v->moved = true;
	return version_checkpoint(v);
}

static enum err answer_barrier(struct version *v)
{
	struct version_barrier *b = v->barrier;
	if (!b || b->hold || b->done || v->view.applied < b->sequence)
		return ERR_OK;
	ASSERT(v->view.applied == b->sequence);
	v->moved = true; /* the head must say so, whatever else has changed */
	TRY(version_checkpoint(v));
	TRY(store_reader_open(&v->spec.store, &b->reader));
	b->done = true;
	return ERR_OK;
}

static enum err reach_end(struct version *v, uint64_t stable)
{
	uint64_t limit = v->barrier && !v->barrier->hold ? v->barrier->sequence : UINT64_MAX;
	bool live = stable <= limit;
	uint64_t reached = live ? stable : limit;
	TRY(feed_flush(v->feed));
	if (reached > v->view.applied) {
		v->view.applied = reached;
		/* nothing of ours in between: the place moves without a transaction */
		if (!v->moved)
			v->view.head.sequence = reached;
	}
	if (live) {
		v->view.applied_time_ns = (int64_t)shared_load(v->spec.last_append_ns);
		if (!v->moved)
			v->view.head.time_ns = v->view.applied_time_ns;
	}
	v->view.caught_up = live;
	if (live && !v->view.head.ready)
		TRY(become_ready(v));
	TRY(answer_barrier(v));
	if (v->moved && checkpoint_is_due(v))
		return version_checkpoint(v);
	return ERR_OK;
}

void version_set_barrier(struct version *v, struct version_barrier *barrier)
{
	ASSERT(!v->barrier || !barrier || v->barrier == barrier);
	v->barrier = barrier;
	if (v->scan)
		log_scan_limit(v->scan, barrier && !barrier->hold ? barrier->sequence : UINT64_MAX);
}

/* ---- turns ----------------------------------------------------------------------------------- */

static enum err take_batch(struct version *v, const struct log_batch_view *b)
{
	struct version_part *p = input_part(v, b->source);
	v->view.caught_up = false;
	if (p)
		return apply_batch(v, p, b);
	TRY(feed_flush(v->feed)); /* the scan is about to be replaced, perhaps */
	return input_open(v);
}

static enum err step(struct version *v, enum version_turned *ret_turned)
{
	struct log_batch_view b;
	uint64_t stable = 0;
	enum err err = log_scan_next(v->scan, &b, &stable);
	*ret_turned = VERSION_MORE;
	if (err == ERR_AGAIN) {
		*ret_turned = VERSION_IDLE;
		return reach_end(v, stable);
	}
	if (err == ERR_CORRUPT) {
		diag(DIAG_ERROR, "view_input_damaged", "partition=%d offset=%lld sequence=%llu",
		    b.partition, (long long)b.base_offset, (unsigned long long)b.sequence);
		err_clear();
		return take_hole(v, &b);
	}
	TRY(err);
	TRY(take_batch(v, &b));
	return checkpoint_is_due(v) ? version_checkpoint(v) : ERR_OK;
}

enum err version_turn(struct version *v, int64_t budget_ns, enum version_turned *ret_turned)
{
	ASSERT(!v->broken);
	int64_t end_ns = version_now_ns(v) + budget_ns;
	enum version_turned turned = VERSION_MORE;
	if (v->barrier && v->barrier->hold) {
		*ret_turned = VERSION_IDLE;
		return ERR_OK;
	}
	for (int i = 1; turned == VERSION_MORE; i++) {
		enum err err = step(v, &turned);
		if (err) {
			v->broken = true;
			return err;
		}
		if (i % TURN_CHECK_BATCHES == 0 && version_now_ns(v) >= end_ns)
			break;
	}
	measure_rate(v, version_now_ns(v));
	*ret_turned = turned;
	return ERR_OK;
}
