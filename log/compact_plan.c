/* SPDX-License-Identifier: Apache-2.0 */
/* What there is to compact or recompress in a partition, and the job that does it. */
#include "log/compact_job.h"
#include "log/engine.h"
#include "log/partition_drop.h"
#include "log/recompress.h"

/* ---- which segments -------------------------------------------------------------------------- */

/* Never written again, durable, and before the one that a checkpoint record must name (K4). */
static bool settled(const struct segment *s, const struct segment *durable)
{
	return s != durable && s->sealed && !s->dirty && !s->gone && s->frames_pending == 0 &&
	       s->size == s->durable_size && s->size > SEGMENT_HEADER_BYTES;
}

bool compact_may_rewrite(const struct log_partition *p)
{
	return p->state == PARTITION_OPEN && p->topic && !p->topic->internal && !p->damaged &&
	       !p->deleting && p->dir_exists;
}

struct segment *compact_settled(const struct log_partition *p, const struct segment *after)
{
	const struct segment *durable = partition_durable_segment(p);
	const struct list_node *n = after ? after->node.next : p->segments.head.next;
	if (n == &p->segments.head)
		return NULL;
	struct segment *s = CONTAINER_OF((struct list_node *)(uintptr_t)n, struct segment, node);
	return settled(s, durable) ? s : NULL;
}

uint64_t compact_plan_sequence(const struct log_partition *p)
{
	const struct segment *durable = partition_durable_segment(p);
	return durable ? durable->durable_sequence : 0;
}

static bool too_young(const struct segment *s, const struct log_topic_config *c, int64_t now_ns)
{
	const struct clock *clock = &s->partition->log->clock;
	int64_t lag_ms = c->min_compaction_lag_ms;
	return lag_ms > 0 &&
	       clock_age_ns(clock, s->last_append_ns, s->noted_ns, now_ns) / MS_NS < lag_ms;
}

/* What an offset that compaction has not seen begins with; = end_offset: it has seen all. */
static int64_t clean_end_of(const struct segment *s)
{
	return s->rewrite.clean_end > s->base_offset ? s->rewrite.clean_end : s->base_offset;
}

static bool overdue(const struct log_topic_config *c, int64_t dirty_since_ns, int64_t now_ns)
{
	return (now_ns - dirty_since_ns) / MS_NS >= c->max_compaction_lag_ms;
}

bool compact_plan_keys(struct log_partition *p, int64_t now_ns, struct compact_plan *ret_plan)
{
	if (!compact_may_rewrite(p) || !(p->topic->config.cleanup & LOG_CLEANUP_COMPACT))
		return false;
	const struct log_topic_config *c = &p->topic->config;
	uint64_t clean = 0, dirty = 0;
	int64_t since_ns = 0, before_ns = 0;
	struct segment *s = NULL;
	while ((s = compact_settled(p, s)) && !too_young(s, c, now_ns)) {
		if (dirty == 0 && clean_end_of(s) >= s->end_offset) {
			clean += s->size;
		} else {
			if (dirty == 0)
				since_ns = before_ns ? before_ns : s->last_append_ns;
			dirty += s->size;
		}
		before_ns = s->last_append_ns;
	}
	if (dirty == 0)
		return false;
	double ratio = (double)dirty / (double)(clean + dirty);
	bool late = overdue(c, since_ns, now_ns);
	if (ratio <= c->min_cleanable_ratio && !late)
		return false;
	*ret_plan = (struct compact_plan){
	    .kind = COMPACT_KEYS, .p = p, .urgency = late ? 2.0 + ratio : 1.0 + ratio};
	return true;
}

/* ---- the job --------------------------------------------------------------------------------- */

static void input_add(struct compact_job *j, struct segment *s)
{
	s->holds++;
	j->inputs[j->input_count++] = (struct compact_input){.segment = s,
	    .base_offset = s->base_offset,
	    .end_offset = s->end_offset,
	    .clean_end = s->rewrite.clean_end,
	    .first_sequence = s->first_sequence,
	    .last_sequence = s->last_sequence,
	    .end_link = s->last_link,
	    .original_bytes = s->rewrite.original_bytes ? s->rewrite.original_bytes : s->size,
	    .size = s->size,
	    .generation = s->generation,
	    .file_generation = s->file_generation,
	    .seed = s->seed,
	    .created_ns = s->created_ns};
}

static void inputs_for_keys(struct compact_job *j)
{
	const struct log_topic_config *c = &j->p->topic->config;
	struct segment *s = NULL;
	j->first_dirty = -1;
	while ((s = compact_settled(j->p, s)) && !too_young(s, c, j->now_ns)) {
		if (j->first_dirty < 0 && clean_end_of(s) < s->end_offset)
			j->first_dirty = clean_end_of(s);
		input_add(j, s);
	}
}

static enum err job_fill(struct compact_job *j, const struct compact_plan *plan)
{
	struct log_partition *p = plan->p;
	const struct log_topic *topic = p->topic;
	TRY(engine_path(p->log, j->dir, "topics/%s", p->dir));
	ASSERT(topic->name.len <= TOPIC_NAME_MAX);
	memcpy(j->topic_name, topic->name.ptr, topic->name.len);
	j->topic_name_len = topic->name.len;
	j->codec = recompress_codec(&topic->config);
	j->segment_bytes = topic->config.segment_bytes;
	j->delete_retention_ms = topic->config.delete_retention_ms;
	j->inputs = mem_calloc(p->segment_count + 1, sizeof(*j->inputs));
	if (!j->inputs)
		return ERR_NOMEM;
	if (j->kind == COMPACT_KEYS)
		inputs_for_keys(j);
	else
		input_add(j, plan->segment);
	if (j->input_count == 0)
		return ERR_NOT_FOUND;
	j->limit = j->inputs[j->input_count - 1].end_offset;
	return ERR_OK;
}

enum err compact_job_new(
    const struct compact_plan *plan, int64_t now_ns, struct compact_job **ret_job)
{
	struct log_partition *p = plan->p;
	struct log *log = p->log;
	struct compact_job *j = mem_calloc(1, sizeof(*j));
	if (!j)
		return ERR_NOMEM;
	*j = (struct compact_job){.kind = plan->kind,
	    .p = p,
	    .io = log->io,
	    .now_ns = now_ns,
	    .later_ns = clock_append(&log->clock),
	    .map_bytes = log->options.compact_map_bytes,
	    .producers_max = log->options.compact_producers,
	    .epoch = log->epoch,
	    .fd = -1};
	j->stats.started_ns = loop_now_ns(log->loop);
	map_init(&j->producers);
	map_init(&j->open);
	list_init(&j->silent);
	batch_rewriter_init(&j->rewriter);
	segment_walk_init(&j->walk, j->io, -1, (struct frame_seed){0}, 0);
	partition_ref(p);
	partition_name_hold(p);
	log->drops++;
	enum err e = job_fill(j, plan);
	if (e != ERR_OK) {
		compact_job_free(j);
		return e;
	}
	*ret_job = j;
	return ERR_OK;
}

void compact_job_abandon(struct compact_job *j)
{
	int fd = j->fd;
	j->fd = -1;
	if (fd >= 0 && io_close(j->io, fd) != ERR_OK)
		diag(DIAG_WARN, "segment_close", "error=\"%s\"", err_chain());
	segment_out_release(&j->out);
}

void compact_job_free(struct compact_job *j)
{
	struct log_partition *p = j->p;
	struct compact_producer *producer;
	size_t cursor = 0;
	ASSERT(j->fd < 0 && !j->out.io);
	while ((producer = map_next(&j->producers, &cursor)))
		mem_free(producer);
	map_release(&j->producers);
	compact_aborted_rewind(j);
	map_release(&j->open);
	mem_free(j->aborted);
	mem_free(j->gone);
	compact_map_release(&j->keys);
	segment_walk_release(&j->walk);
	batch_rewriter_release(&j->rewriter);
	for (size_t i = 0; i < j->input_count; i++)
		segment_unhold(j->inputs[i].segment);
	mem_free(j->inputs);
	mem_free(j);
	p->log->drops--;
	partition_name_release(p);
	partition_unref(p);
}
