/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CLEAN: the inputs once more, group by group, into new generations. What becomes of a batch:
 *
 *   behind the limit        as it is
 *   marker of a transaction stays while a batch of it was met, or while it tells its producer's
 * epoch; then it gets a delete horizon, and goes when that has passed of an aborted one without
 * records any other               its newest records; tombstones until the delete horizon
 *
 * A batch without records goes too, unless its sequence is among the last that the producer's
 * duplicates are known by and the producer is not yet forgotten.
 */
#include "log/compact_job.h"
#include "log/engine.h"
#include <stdio.h>

/* ---- groups ---------------------------------------------------------------------------------- */

/* Neighbours whose sum is no larger than a segment; one at least. Recompression merges nothing. */
static size_t group_end(const struct compact_job *j)
{
	size_t end = j->group + 1;
	uint64_t bytes = j->inputs[j->group].size;
	while (j->kind == COMPACT_KEYS && end < j->input_count &&
	       j->inputs[end].base_offset < j->limit) {
		bytes += j->inputs[end].size - SEGMENT_HEADER_BYTES;
		if (bytes > j->segment_bytes)
			break;
		end++;
	}
	return end;
}

static enum err previous_link(struct compact_job *j, uint64_t *ret_link)
{
	const struct compact_input *in = &j->inputs[j->group];
	char path[LOG_PATH_MAX], name[SEGMENT_NAME_BYTES], topic[TOPIC_NAME_MAX + 1];
	struct segment_header h;
	int fd;
	int n = snprintf(path, sizeof(path), "%s/%s", j->dir,
	    segment_name_of(in->base_offset, in->file_generation, ".log", name));
	ASSERT(n > 0 && n < LOG_PATH_MAX);
	TRY(io_open(j->io, path, IO_READONLY, &fd));
	enum err e = segment_file_header(j->io, fd, topic, &h);
	enum err closed = io_close(j->io, fd);
	TRY(e);
	*ret_link = h.previous_link;
	return closed;
}

/* Both are there until the old ones go; compaction is not what fills the disk. */
static enum err space_check(struct compact_job *j)
{
	uint64_t free_bytes, total, need = 0;
	for (size_t i = j->group; i < j->group_end; i++)
		need += j->inputs[i].size;
	TRY(io_space(j->io, j->dir, &free_bytes, &total));
	uint64_t reserve = total / 16 < 64 * MIB ? total / 16 : 64 * MIB;
	if (free_bytes < reserve || free_bytes - reserve < need)
		return err_note(
		    ERR_NOSPACE, "%llu bytes for a new generation", (unsigned long long)need);
	return ERR_OK;
}

static enum err group_begin(struct compact_job *j)
{
	const struct compact_input *first = &j->inputs[j->group];
	struct segment_header h = {.format_version = SEGMENT_VERSION_REWRITTEN,
	    .topic_id = j->p->key.topic_id,
	    .topic_name = str_from(j->topic_name, j->topic_name_len),
	    .partition = j->p->key.partition,
	    .base_offset = first->base_offset,
	    .first_sequence = first->first_sequence,
	    .epoch = j->epoch};
	j->group_end = group_end(j);
	j->gone_count = 0;
	const struct compact_input *last = &j->inputs[j->group_end - 1];
	for (size_t i = j->group; i < j->group_end; i++) {
		h.rewrite.original_bytes += j->inputs[i].original_bytes;
		if (j->inputs[i].generation >= h.generation)
			h.generation = j->inputs[i].generation + 1;
	}
	h.rewrite.end_offset = last->end_offset;
	h.rewrite.last_sequence = last->last_sequence;
	h.rewrite.end_link = last->end_link;
	h.rewrite.clean_end = j->limit < last->end_offset ? j->limit : last->end_offset;
	if (j->kind == COMPACT_CODEC)
		h.rewrite.clean_end = last->clean_end;
	h.rewrite.written_ns = j->later_ns;
	h.rewrite.codec = j->codec >= 0 ? (uint16_t)j->codec : SEGMENT_AS_SENT;
	TRY(space_check(j));
	TRY(previous_link(j, &h.previous_link));
	return segment_out_begin(&j->out, j->io, j->dir, &h);
}

/* ---- one batch ------------------------------------------------------------------------------- */

struct keeping {
	struct compact_job *job;
	bool aborted;
	bool tombstones;
};

static bool keeps(void *ctx, const struct record *r)
{
	const struct keeping *k = ctx;
	if (k->aborted || !r->key.ptr)
		return false;
	if (compact_map_get(&k->job->keys, r->key) > r->offset)
		return false;
	return r->value.ptr || k->tombstones;
}

static bool horizon_passed(const struct compact_job *j, const struct batch_header *h)
{
	int64_t horizon_ms;
	return batch_delete_horizon(h, &horizon_ms) && j->now_ns / MS_NS >= horizon_ms;
}

static int64_t new_horizon_ms(const struct compact_job *j)
{
	int64_t now_ms = j->later_ns / MS_NS;
	return j->delete_retention_ms < INT64_MAX - now_ms ? now_ms + j->delete_retention_ms
	                                                   : INT64_MAX;
}

/* Is this the producer's epoch, and has it not been silent so long that it is forgotten? */
static bool is_active(
    const struct compact_job *j, const struct compact_producer *p, const struct batch_header *h)
{
	return p->epoch == h->producer_epoch && j->now_ns - p->last_ns < PRODUCER_EXPIRY_NS;
}

/* Nothing is known of the producer but that it is not forgotten, if it has sent nothing since. */
static bool is_unknown(
    const struct compact_job *j, const struct compact_producer *p, const struct frame *f)
{
	return j->forgotten && !p && j->now_ns - f->append_time_ns < PRODUCER_EXPIRY_NS;
}

static bool carries_sequence(
    const struct compact_job *j, const struct batch_header *h, const struct frame *f)
{
	const struct compact_producer *p =
	    h->producer_id < 0 ? NULL : compact_producer(j, h->producer_id);
	if (h->producer_id < 0 || is_unknown(j, p, f))
		return h->producer_id >= 0;
	if (!p || !is_active(j, p, h))
		return false;
	for (unsigned i = 0; i < p->count; i++)
		if (p->kept[i] == f->sequence)
			return true;
	return p->partial && p->count < PRODUCER_BATCHES_KEPT &&
	       (p->count == 0 || f->sequence < p->kept[0]) &&
	       j->now_ns - f->append_time_ns < PRODUCER_EXPIRY_NS;
}

/* Does the marker tell the epoch of its producer? */
static bool carries_epoch(
    const struct compact_job *j, const struct batch_header *h, const struct frame *f)
{
	const struct compact_producer *p = compact_producer(j, h->producer_id);
	return is_unknown(j, p, f) || (p && is_active(j, p, h) && p->last_control == f->sequence);
}

static enum err leave_out(struct compact_job *j, const struct frame *f)
{
	j->stats.batches_gone++;
	return segment_out_hole(&j->out, f, NULL);
}

/* Writes what batch_rewrite made of it. */
static enum err put(
    struct compact_job *j, const struct frame *f, struct bytes batch, enum batch_outcome outcome)
{
	return segment_out_batch(
	    &j->out, f, outcome == BATCH_CHANGED ? writer_bytes(&j->rewriter.out) : batch);
}

/* The partition forgets its transaction when the group is swapped in; without memory it does not.
 */
static void note_gone(struct compact_job *j, struct bytes batch, int64_t offset)
{
	struct batch_marker m;
	if (!batch_marker_read(batch, &m) || m.commit)
		return;
	if (j->gone_count == j->gone_capacity) {
		size_t capacity = j->gone_capacity ? 2 * j->gone_capacity : 64;
		int64_t *grown = mem_realloc(j->gone, capacity * sizeof(*grown));
		if (!grown)
			return;
		j->gone = grown;
		j->gone_capacity = capacity;
	}
	j->gone[j->gone_count++] = offset;
}

static enum err leave_out_marker(struct compact_job *j, const struct frame *f, struct bytes batch)
{
	note_gone(j, batch, f->base_offset);
	return leave_out(j, f);
}

static enum err clean_marker(
    struct compact_job *j, const struct frame *f, struct bytes batch, const struct batch_header *h)
{
	struct compact_open *o;
	enum batch_outcome outcome = BATCH_SAME;
	struct batch_counts counts = {0};
	TRY(compact_open(j, h->producer_id, false, &o));
	bool seen = o && o->seen;
	compact_open_end(j, h->producer_id);
	if (h->producer_id < 0 || seen || carries_epoch(j, h, f))
		return put(j, f, batch, BATCH_SAME);
	if (horizon_passed(j, h))
		return leave_out_marker(j, f, batch);
	const struct batch_change change = {
	    .codec = -1, .horizon_ms = new_horizon_ms(j), .force_horizon = true};
	TRY(batch_rewrite(&j->rewriter, batch, &change, &outcome, &counts));
	return outcome == BATCH_EMPTY ? leave_out_marker(j, f, batch) : put(j, f, batch, outcome);
}

static enum err clean_records(
    struct compact_job *j, const struct frame *f, struct bytes batch, const struct batch_header *h)
{
	struct keeping k = {.job = j, .tombstones = !horizon_passed(j, h)};
	enum batch_outcome outcome;
	TRY(compact_aborted(j, h, &k.aborted));
	if (h->attributes & BATCH_ATTR_TRANSACTIONAL) {
		struct compact_open *o;
		TRY(compact_open(j, h->producer_id, true, &o));
		o->seen = true;
	}
	const struct batch_change change = {
	    .keep = keeps, .ctx = &k, .codec = j->codec, .horizon_ms = new_horizon_ms(j)};
	TRY(batch_rewrite(&j->rewriter, batch, &change, &outcome, &j->stats.records));
	if (outcome != BATCH_EMPTY)
		return put(j, f, batch, outcome);
	if (!carries_sequence(j, h, f))
		return leave_out(j, f);
	TRY(batch_empty(&j->rewriter, batch));
	return put(j, f, batch, BATCH_CHANGED);
}

/* Only another codec. */
static enum err recode(
    struct compact_job *j, const struct frame *f, struct bytes batch, const struct batch_header *h)
{
	enum batch_outcome outcome = BATCH_SAME;
	const struct batch_change change = {.codec = j->codec, .horizon_ms = -1};
	if (j->codec >= 0 && batch_codec(h) != j->codec && h->count > 0 &&
	    !(h->attributes & BATCH_ATTR_CONTROL))
		TRY(batch_rewrite(&j->rewriter, batch, &change, &outcome, &j->stats.records));
	return put(j, f, batch, outcome);
}

static enum err clean_frame(struct compact_job *j, const struct frame *f, struct bytes body)
{
	struct frame_hole hole;
	struct batch_header h;
	if (f->flags & FRAME_HOLE) {
		TRY(frame_hole_decode(f, body, &hole));
		return segment_out_hole(&j->out, f, &hole);
	}
	j->stats.batches++;
	TRY(batch_header_read(body, &h));
	if (j->kind == COMPACT_CODEC)
		return recode(j, f, body, &h);
	if (f->base_offset >= j->limit)
		return put(j, f, body, BATCH_SAME);
	if (h.attributes & BATCH_ATTR_CONTROL)
		return clean_marker(j, f, body, &h);
	return clean_records(j, f, body, &h);
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void clean_begin(struct compact_job *j)
{
	compact_rewind(j, 0);
	compact_aborted_rewind(j);
	j->walk.check_body = true;
	j->walk.holes = true;
	j->group = j->group_end = 0;
}

enum err compact_clean_step(struct compact_job *j)
{
	struct frame f;
	struct bytes body;
	j->step_bytes = 0;
	if (!j->walk.holes)
		clean_begin(j);
	if (!j->out.io) {
		j->group = j->group_end;
		if (j->group == j->input_count || j->inputs[j->group].base_offset >= j->limit)
			return ERR_EOF;
		TRY(group_begin(j));
	}
	while (j->step_bytes < COMPACT_STEP_BYTES) {
		enum err e = compact_next(j, j->group_end, &f, &body);
		if (e == ERR_EOF) {
			TRY(segment_out_finish(&j->out));
			j->finished = true;
			return ERR_OK;
		}
		TRY(e);
		TRY(clean_frame(j, &f, body));
		batch_rewriter_trim(&j->rewriter);
	}
	return ERR_OK;
}
