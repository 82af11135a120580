/* SPDX-License-Identifier: Apache-2.0 */
/* The driver of compaction and recompression: see compact.h for its states. */
#include "log/compact.h"
#include "log/catalog.h"
#include "log/compact_job.h"
#include "log/engine.h"
#include "log/recompress.h"

#define COMPACT_WAIT_NS (50 * MS_NS) /* between looks at the checkpoint record */
#define COMPACT_LIMITED_NS                                                                         \
	(300 * S_NS)                   /* something must wait: when to try that partition again    \
	                                */
#define COMPACT_FAILED_NS (600 * S_NS) /* the same after a failure */
#define COMPACT_SPACE_NS  (60 * S_NS)  /* the same on a full disk */
#define COMPACT_PAUSE_MAX (2 * S_NS)
enum { PARTITIONS_PER_TURN = 64 };

enum compact_state { IDLE, LOOKING, WAITING, WORKING, PAUSING, LEAVING };

struct compactor {
	struct log *log;
	enum compact_state state;
	struct loop_timer timer;
	struct mail next; /* the look goes on */
	/* LOOKING: where it is, by name because topics come and go; the best so far */
	int64_t interval_ns; /* from the end of one look to the next */
	size_t topic;
	int32_t partition;
	bool found;
	struct compact_plan best;
	struct partition_key best_key;
	/* the rest */
	struct compact_job *job;
	uint64_t need_sequence;
	struct pool_job step;
	int64_t step_ns;
};

static void look_start(struct compactor *c);

static void idle(struct compactor *c)
{
	c->state = IDLE;
	if (!c->log->closing)
		loop_timer_set(c->log->loop, &c->timer, loop_now_ns(c->log->loop) + c->interval_ns);
}

static void later(struct compactor *c, enum compact_state state, int64_t in_ns)
{
	c->state = state;
	loop_timer_set(c->log->loop, &c->timer, loop_now_ns(c->log->loop) + in_ns);
}

/* ---- the end of a job ------------------------------------------------------------------------ */

static void report(const struct compactor *c, const struct compact_job *j)
{
	const struct compact_stats *s = &j->stats;
	int64_t ms = (loop_now_ns(c->log->loop) - s->started_ns) / MS_NS;
	if (s->segments_after == 0)
		return;
	if (j->kind == COMPACT_CODEC) {
		metric_add(METRIC_RECOMPRESSED_IN, s->bytes_before);
		metric_add(METRIC_RECOMPRESSED_OUT, s->bytes_after);
		diag(DIAG_INFO, "recompressed",
		    "partition=%s segment=%lld codec=%s bytes_before=%llu bytes_after=%llu ms=%lld",
		    j->p->dir, (long long)j->inputs[0].base_offset, batch_codec_name(j->codec),
		    (unsigned long long)s->bytes_before, (unsigned long long)s->bytes_after,
		    (long long)ms);
		return;
	}
	metric_add(METRIC_COMPACTIONS, 1);
	metric_add(METRIC_COMPACTED_IN, s->bytes_before);
	metric_add(METRIC_COMPACTED_OUT, s->bytes_after);
	metric_add(METRIC_COMPACTED_RECORDS, s->records.records - s->records.kept);
	diag(DIAG_INFO, "compacted",
	    "partition=%s end=%lld segments_before=%u segments_after=%u bytes_before=%llu "
	    "bytes_after=%llu records_before=%llu records_after=%llu batches_gone=%llu keys=%zu "
	    "ms=%lld",
	    j->p->dir, (long long)j->limit, s->segments_before, s->segments_after,
	    (unsigned long long)s->bytes_before, (unsigned long long)s->bytes_after,
	    (unsigned long long)s->records.records, (unsigned long long)s->records.kept,
	    (unsigned long long)s->batches_gone, j->keys.count, (long long)ms);
}

/* When the partition is looked at again. */
static void rest_partition(const struct compactor *c, struct compact_job *j)
{
	struct log_partition *p = j->p;
	int64_t now = loop_now_ns(c->log->loop);
	bool whole = j->limit >= j->inputs[j->input_count - 1].end_offset;
	bool full = j->keys.slots && j->keys.count == j->keys.max;
	if (j->err == ERR_NOSPACE)
		p->compact_after_ns = now + COMPACT_SPACE_NS;
	else if (j->err != ERR_OK)
		p->compact_after_ns = now + COMPACT_FAILED_NS;
	else if (j->kind == COMPACT_KEYS && (j->limit <= j->first_dirty || (!whole && !full)))
		p->compact_after_ns = now + COMPACT_LIMITED_NS;
	if (j->kind == COMPACT_CODEC && j->err == ERR_OK && j->limit == 0)
		j->inputs[0].segment->codec_seen = j->codec + 1;
}

static void job_end(struct compactor *c)
{
	struct compact_job *j = c->job;
	c->job = NULL;
	report(c, j);
	rest_partition(c, j);
	if (j->err == ERR_OK && j->kind == COMPACT_KEYS && j->limit <= j->first_dirty)
		diag(DIAG_WARN, "compact_waits", "partition=%s offset=%lld", j->p->dir,
		    (long long)j->limit);
	compact_job_free(j);
	if (c->log->closing || c->log->failed)
		idle(c);
	else
		look_start(c); /* what else is there? */
}

static void leave_run(struct pool_job *job)
{
	struct compactor *c = CONTAINER_OF(job, struct compactor, step);
	compact_job_abandon(c->job);
}

static void leave_done(struct pool_job *job)
{
	job_end(CONTAINER_OF(job, struct compactor, step));
}

static void leave(struct compactor *c, enum err why)
{
	struct compact_job *j = c->job;
	bool unsure = j->out.io && j->out.unsure;
	j->err = why;
	if (why != ERR_CANCELLED)
		diag(why == ERR_NOSPACE ? DIAG_WARN : DIAG_ERROR, "compact_failed",
		    "partition=%s offset=%lld err=%s", j->p->dir,
		    (long long)(j->input < j->input_count ? j->inputs[j->input].base_offset
		                                          : j->limit),
		    err_name(why));
	if (unsure) /* whether the new name is there for good nobody knows: as after any failed
	               flush */
		engine_fail(c->log, why, "the directory of a new generation could not be flushed");
	c->state = LEAVING;
	c->step = (struct pool_job){.run = leave_run, .done = leave_done};
	if (pool_submit(c->log->loop, &c->step) != ERR_OK)
		later(c, LEAVING, COMPACT_WAIT_NS);
}

/* ---- steps ----------------------------------------------------------------------------------- */

static enum err step(struct compact_job *j)
{
	switch (j->phase) {
	case COMPACT_SURVEY:
		return j->kind == COMPACT_KEYS ? compact_survey_step(j) : recompress_survey_step(j);
	case COMPACT_MAP:
		return compact_map_step(j);
	case COMPACT_CLEAN:
		return compact_clean_step(j);
	case COMPACT_DONE:
		break;
	}
	return ERR_EOF;
}

static void step_run(struct pool_job *job)
{
	struct compactor *c = CONTAINER_OF(job, struct compactor, step);
	int64_t from = io_clock_ns(c->log->io, IO_CLOCK_MONOTONIC);
	err_clear();
	c->job->err = step(c->job);
	if (c->job->err != ERR_OK && c->job->err != ERR_EOF)
		diag(DIAG_WARN, "compact_step", "partition=%s error=\"%s\"", c->job->p->dir,
		    err_chain());
	c->step_ns = io_clock_ns(c->log->io, IO_CLOCK_MONOTONIC) - from;
}

/* The phase is over. */
static void phase_next(struct compact_job *j)
{
	j->err = ERR_OK;
	if (j->phase == COMPACT_SURVEY)
		j->phase = j->kind == COMPACT_KEYS ? COMPACT_MAP : COMPACT_CLEAN;
	else
		j->phase++;
	bool nothing = j->kind == COMPACT_KEYS ? j->limit <= j->first_dirty : j->limit == 0;
	if (nothing)
		j->phase = COMPACT_DONE;
	if (j->phase == COMPACT_CLEAN)
		j->stats.batches = 0;
}

static bool cancelled(const struct compactor *c)
{
	return c->log->closing || c->log->failed || c->job->p->state != PARTITION_OPEN;
}

static void step_done(struct pool_job *job)
{
	struct compactor *c = CONTAINER_OF(job, struct compactor, step);
	struct compact_job *j = c->job;
	if (j->err == ERR_EOF)
		phase_next(j);
	if (j->err == ERR_CORRUPT)
		partition_damaged(j->p, j->inputs[j->input].segment, j->pos, "compaction");
	if (j->err != ERR_OK) {
		leave(c, j->err);
		return;
	}
	if (j->finished && j->p->state == PARTITION_OPEN && compact_swap(j) != ERR_OK)
		j->err = ERR_OK; /* no memory just now, or a roll: tried again before the next step
		                  */
	if (cancelled(c))
		leave(c, ERR_CANCELLED);
	else if (j->phase == COMPACT_DONE)
		job_end(c);
	else
		later(c, PAUSING, c->step_ns < COMPACT_PAUSE_MAX ? c->step_ns : COMPACT_PAUSE_MAX);
}

static void step_start(struct compactor *c)
{
	if (cancelled(c)) {
		leave(c, ERR_CANCELLED);
		return;
	}
	if (c->job->finished && compact_swap(c->job) != ERR_OK) {
		later(c, PAUSING, COMPACT_WAIT_NS);
		return;
	}
	c->state = WORKING;
	c->step = (struct pool_job){.run = step_run, .done = step_done};
	if (pool_submit(c->log->loop, &c->step) != ERR_OK)
		later(c, PAUSING, COMPACT_WAIT_NS);
}

/* K4: a record that names a later segment than those that are to be rewritten. */
static void job_wait(struct compactor *c)
{
	struct checkpointer *cp = &c->log->checkpointer;
	if (cancelled(c) || cp->recorded_sequence >= c->need_sequence) {
		step_start(c);
		return;
	}
	checkpoint_start(cp);
	later(c, WAITING, COMPACT_WAIT_NS);
}

/* ---- looking --------------------------------------------------------------------------------- */

static void job_start(struct compactor *c)
{
	struct log *log = c->log;
	struct log_partition *p = partition_by_key(log, c->best_key);
	enum err e = ERR_NOT_FOUND;
	/* it was found in another turn of the loop */
	int64_t now_ns = clock_judging(&log->clock);
	bool still =
	    p && (compact_plan_keys(p, now_ns, &c->best) || compact_plan_codec(p, &c->best));
	c->found = false;
	if (still)
		e = compact_job_new(&c->best, now_ns, &c->job);
	if (e != ERR_OK) {
		if (e != ERR_NOT_FOUND)
			diag(DIAG_WARN, "compact_failed", "err=%s", err_name(e));
		idle(c);
		return;
	}
	c->need_sequence = compact_plan_sequence(p);
	job_wait(c);
}

static void look_at(struct compactor *c, struct log_partition *p)
{
	struct compact_plan plan = {0};
	if (p->compact_after_ns > loop_now_ns(c->log->loop))
		return;
	if (!compact_plan_keys(p, clock_judging(&c->log->clock), &plan) &&
	    !compact_plan_codec(p, &plan))
		return;
	if (c->found && c->best.urgency >= plan.urgency)
		return;
	c->found = true;
	c->best = plan;
	c->best_key = p->key;
}

static void look_next(struct mail *mail)
{
	struct compactor *c = CONTAINER_OF(mail, struct compactor, next);
	for (int n = 0; n < PARTITIONS_PER_TURN; n++) {
		size_t cursor = c->topic;
		const struct log_topic *topic = log_topic_next(c->log, &cursor);
		if (c->log->failed || c->log->closing || c->log->rounds.no_space || !topic) {
			if (c->found && !c->log->closing && !c->log->failed)
				job_start(c);
			else
				idle(c);
			return;
		}
		bool wanted = (topic->config.cleanup & LOG_CLEANUP_COMPACT) ||
		              recompress_codec(&topic->config) >= 0;
		struct log_partition *p = NULL;
		if (wanted && !topic->internal)
			p = log_partition_find(c->log, topic, c->partition++);
		if (p) {
			look_at(c, p);
			continue;
		}
		c->topic = cursor;
		c->partition = 0;
	}
	loop_defer(c->log->loop, &c->next);
}

static void look_start(struct compactor *c)
{
	c->state = LOOKING;
	c->topic = 0;
	c->partition = 0;
	c->found = false;
	loop_defer(c->log->loop, &c->next);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void timer_fired(struct loop_timer *timer)
{
	struct compactor *c = CONTAINER_OF(timer, struct compactor, timer);
	switch (c->state) {
	case IDLE:
		look_start(c);
		break;
	case WAITING:
		job_wait(c);
		break;
	case PAUSING:
		step_start(c);
		break;
	case LEAVING:
		leave(c, ERR_CANCELLED);
		break;
	case LOOKING:
	case WORKING:
		ASSERT(!"a timer that nobody set");
	}
}

void compactor_run(struct compactor *c)
{
	loop_assert_owner(c->log->loop);
	if (c->state != IDLE)
		return;
	loop_timer_cancel(c->log->loop, &c->timer);
	look_start(c);
}

void compactor_interval_set(struct compactor *c, int64_t interval_ns)
{
	loop_assert_owner(c->log->loop);
	ASSERT(interval_ns > 0);
	c->interval_ns = interval_ns;
	if (c->state == IDLE)
		idle(c);
}

bool compactor_busy(const struct compactor *c)
{
	return c->state != IDLE;
}

enum err compactor_new(struct log *log, struct compactor **ret_compactor)
{
	struct compactor *c = mem_calloc(1, sizeof(*c));
	if (!c)
		return ERR_NOMEM;
	c->log = log;
	c->next.run = look_next;
	c->interval_ns = COMPACT_INTERVAL_NS;
	loop_timer_init(&c->timer, timer_fired);
	idle(c);
	*ret_compactor = c;
	return ERR_OK;
}

void compactor_free(struct compactor *c)
{
	if (!c)
		return;
	ASSERT(!c->job);
	loop_timer_cancel(c->log->loop, &c->timer);
	mem_free(c);
}
