/* SPDX-License-Identifier: Apache-2.0 */
/* Retention by time and size: see retention.h. */
#include "log/retention.h"
#include "log/engine.h"

struct retention {
	struct log *log;
	struct loop_timer timer;
	struct mail next; /* goes on with the pass, a piece per turn of the loop */
	bool busy;
	bool putting; /* `row` is under way */
	bool freed;
	/* where the pass is: by name, because topics come and go meanwhile */
	size_t topic;
	int32_t partition;
	uint64_t trimmed; /* partitions, in this pass */
	struct catalog_partition_row row;
};
enum { PARTITIONS_PER_TURN = 256, RETENTION_PIECE = 256 /* segments at once */ };

static bool too_old(const struct segment *s, int64_t retention_ms, int64_t now_ns)
{
	if (retention_ms < 0 || s->last_append_ns <= 0 || retention_ms > INT64_MAX / MS_NS)
		return false;
	const struct clock *c = &s->partition->log->clock;
	return clock_age_ns(c, s->last_append_ns, s->noted_ns, now_ns) > retention_ms * MS_NS;
}

int64_t retention_target(const struct log_partition *p, int64_t now_ns)
{
	const struct log_topic_config *config = &p->topic->config;
	int64_t target = p->log_start;
	uint64_t left = p->size_bytes;
	unsigned count = 0;
	if (!(config->cleanup & LOG_CLEANUP_DELETE))
		return target;
	LIST_EACH (&p->segments, n, next) {
		const struct segment *s = CONTAINER_OF(n, struct segment, node);
		if (!s->sealed || s->end_offset > p->durable_end || count++ == RETENTION_PIECE)
			return target;
		bool too_large = config->retention_bytes >= 0 &&
		                 left - s->size >= (uint64_t)config->retention_bytes;
		if (!too_large && !too_old(s, config->retention_ms, now_ns))
			return target;
		left -= s->size;
		if (s->end_offset > target)
			target = s->end_offset;
	}
	return target;
}

static void go_on(struct retention *r)
{
	loop_defer(r->log->loop, &r->next);
}

static void row_done(struct catalog_partition_row *row)
{
	struct retention *r = CONTAINER_OF(row, struct retention, row);
	r->putting = false;
	if (r->freed) {
		mem_free(r);
		return;
	}
	if (r->log->closing) {
		r->busy = false;
		return;
	}
	struct log_partition *p = catalog_partition(r->log, row->topic_id, row->partition);
	if (row->err == ERR_OK && p) {
		partition_trim(p, row->log_start);
		r->trimmed++;
	} else if (row->err != ERR_OK) {
		diag(DIAG_WARN, "retention_failed", "err=%s", err_name(row->err));
		r->partition++; /* the next pass tries again */
	}
	go_on(r);
}

/* Starts the row of this partition; false when there is nothing to delete. */
static bool trim_one(struct retention *r, struct log_partition *p)
{
	int64_t now_ns = clock_judging(&r->log->clock);
	int64_t target = retention_target(p, now_ns);
	struct segment *active = partition_active(p);
	/* nobody appends any more: rolled now, it goes with the next pass */
	if ((p->topic->config.cleanup & LOG_CLEANUP_DELETE) && active &&
	    too_old(active, p->topic->config.retention_ms, now_ns))
		partition_roll(p);
	if (target <= p->log_start)
		return false;
	r->row = (struct catalog_partition_row){
	    .topic_id = p->topic->id,
	    .partition = p->key.partition,
	    .log_start = target,
	    .leader_epoch = p->leader_epoch,
	    .done = row_done,
	};
	r->putting = true;
	catalog_put_partition(r->log, &r->row);
	return true;
}

static void pass_end(struct retention *r)
{
	r->busy = false;
	loop_timer_set(r->log->loop, &r->timer, loop_now_ns(r->log->loop) + RETENTION_INTERVAL_NS);
	if (r->trimmed > 0)
		diag(DIAG_INFO, "retention", "partitions=%llu", (unsigned long long)r->trimmed);
}

static void pass_next(struct mail *mail)
{
	struct retention *r = CONTAINER_OF(mail, struct retention, next);
	for (int n = 0; n < PARTITIONS_PER_TURN; n++) {
		size_t cursor = r->topic;
		const struct log_topic *topic = log_topic_next(r->log, &cursor);
		if (!topic || r->log->failed || r->log->closing) {
			pass_end(r);
			return;
		}
		struct log_partition *p = log_partition_find(r->log, topic, r->partition);
		if (!p) {
			r->topic = cursor;
			r->partition = 0;
			continue;
		}
		if (trim_one(r, p))
			return; /* it comes again: this may have been a piece of what is due */
		r->partition++;
	}
	go_on(r);
}

void retention_run(struct retention *r)
{
	loop_assert_owner(r->log->loop);
	if (r->busy)
		return;
	r->busy = true;
	r->topic = 0;
	r->partition = 0;
	r->trimmed = 0;
	go_on(r);
}

bool retention_busy(const struct retention *r)
{
	return r->busy;
}

static void timer_fired(struct loop_timer *timer)
{
	retention_run(CONTAINER_OF(timer, struct retention, timer));
}

enum err retention_new(struct log *log, struct retention **ret_retention)
{
	struct retention *r = mem_calloc(1, sizeof(*r));
	if (!r)
		return ERR_NOMEM;
	r->log = log;
	r->next.run = pass_next;
	loop_timer_init(&r->timer, timer_fired);
	loop_timer_set(log->loop, &r->timer, loop_now_ns(log->loop) + RETENTION_INTERVAL_NS);
	*ret_retention = r;
	return ERR_OK;
}

void retention_free(struct retention *r)
{
	if (!r)
		return;
	loop_timer_cancel(r->log->loop, &r->timer);
	ASSERT(!r->busy || r->putting || r->log->closing);
	r->freed = r->putting;
	if (!r->putting)
		mem_free(r);
}
