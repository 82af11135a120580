/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Putting a new generation in the place of the segments it stands for. From here on reads begin in
 * the new one; what has begun in the old ones ends there, and whoever lets go of one last unlinks
 * it.
 */
#include "log/compact_job.h"
#include "log/engine.h"
#include "log/partition_drop.h"

/* ---- the swap -------------------------------------------------------------------------------- */

static enum err swap_segment(const struct compact_job *j, struct segment **ret_segment)
{
	const struct segment_out *o = &j->out;
	const struct compact_input *last = &j->inputs[j->group_end - 1];
	struct segment *s;
	TRY(segment_new(j->p, &o->header, &s));
	s->size = s->durable_size = o->size;
	s->end_offset = o->header.rewrite.end_offset;
	s->last_sequence = s->durable_sequence = o->header.rewrite.last_sequence;
	s->last_link = s->durable_link = o->header.rewrite.end_link;
	s->last_append_ns = o->last_append_ns;
	s->noted_ns = last->segment->noted_ns;
	s->file_generation = o->header.generation;
	s->created_ns = j->inputs[j->group].created_ns;
	s->index.file_count = o->entry_count;
	s->index.max_timestamp_ms = o->max_timestamp_ms;
	s->index_sealed = s->sealed = true;
	ASSERT(
	    s->end_offset == last->end_offset && s->base_offset == j->inputs[j->group].base_offset);
	*ret_segment = s;
	return ERR_OK;
}

enum err compact_swap(struct compact_job *j)
{
	struct log_partition *p = j->p;
	struct segment *s;
	loop_assert_owner(p->log->loop);
	ASSERT(j->finished && j->group < j->group_end);
	if (p->frozen)
		return ERR_AGAIN;
	TRY(swap_segment(j, &s));
	j->finished = false;
	partition_swap_begin(p, s, j->inputs[j->group].segment);
	for (size_t i = j->group; i < j->group_end; i++) {
		struct compact_input *in = &j->inputs[i];
		in->swapped = true;
		j->stats.segments_before++;
		j->stats.bytes_before += in->size;
		partition_swap_out(in->segment, s);
	}
	/* what read_aborted would not tell of any more (read_concerns) */
	if (txns_drop_aborted(&p->txns, j->gone, j->gone_count) > 0)
		p->producers.changed = true;
	j->stats.segments_after++;
	j->stats.bytes_after += s->size;
	rounds_space_charge(&p->log->rounds, s->size);
	bool latest =
	    p->max_timestamp_offset >= s->base_offset && p->max_timestamp_offset < s->end_offset;
	if (s->end_offset <= p->log_start)
		partition_skip(p, p->log_start); /* retention has overtaken it */
	else if (latest)
		partition_latest(p); /* the record may have been one of those that went */
	segment_out_release(&j->out);
	return ERR_OK;
}
