/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two passes before anything is written: SURVEY learns of producers and transactions from batch
 * headers, MAP of keys from records. Both lower the job's limit when they meet what has to wait: a
 * transaction that is still open, a full table.
 */
#include "log/compact_job.h"
#include "log/engine.h"
#include <stdio.h>
#include <stdlib.h>

/* ---- reading the inputs ---------------------------------------------------------------------- */

static enum err input_open(struct compact_job *j)
{
	const struct compact_input *in = &j->inputs[j->input];
	char path[LOG_PATH_MAX], name[SEGMENT_NAME_BYTES];
	int n = snprintf(path, sizeof(path), "%s/%s", j->dir,
	    segment_name_of(in->base_offset, in->file_generation, ".log", name));
	if (n < 0 || n >= LOG_PATH_MAX)
		return err_note(ERR_LIMIT, "%s: path too long", j->dir);
	TRY(io_open(j->io, path, IO_READONLY, &j->fd));
	segment_walk_file(&j->walk, j->fd, in->seed);
	segment_walk_range(&j->walk, SEGMENT_HEADER_BYTES, in->size);
	return ERR_OK;
}

static enum err input_close(struct compact_job *j)
{
	int fd = j->fd;
	j->fd = -1;
	return fd >= 0 ? io_close(j->io, fd) : ERR_OK;
}

enum err compact_next(
    struct compact_job *j, size_t end, struct frame *ret_frame, struct bytes *ret_batch)
{
	while (j->input < end) {
		if (j->fd < 0)
			TRY(input_open(j));
		enum err e = segment_walk_next(&j->walk, ret_frame, &j->pos, ret_batch);
		if (e == ERR_CORRUPT && j->walk.bad_header)
			j->pos = j->walk.pos;
		if (e == ERR_OK)
			j->step_bytes += FRAME_HEADER_BYTES + ret_frame->length;
		if (e != ERR_EOF)
			return e;
		TRY(input_close(j));
		j->input++;
	}
	return ERR_EOF;
}

void compact_rewind(struct compact_job *j, size_t input)
{
	ASSERT(j->fd < 0);
	j->input = input;
}

/* ---- producers ------------------------------------------------------------------------------- */

struct compact_producer *compact_producer(const struct compact_job *j, int64_t id)
{
	return map_get(&j->producers, bytes_of(&id, sizeof(id)));
}

static void producer_forget(struct compact_job *j)
{
	struct compact_producer *p =
	    CONTAINER_OF(list_pop_front(&j->silent), struct compact_producer, node);
	map_remove(&j->producers, bytes_of(&p->id, sizeof(p->id)));
	mem_free(p);
	j->forgotten = true;
}

/* The producer, as the one that was heard last. */
static enum err producer_make(struct compact_job *j, int64_t id, struct compact_producer **ret)
{
	struct compact_producer *p = compact_producer(j, id);
	if (p) {
		list_remove(&p->node);
	} else {
		if (j->producers.count >= j->producers_max)
			producer_forget(j);
		p = mem_calloc(1, sizeof(*p));
		if (!p)
			return ERR_NOMEM;
		p->id = id;
		p->epoch = -1;
		p->partial = j->forgotten;
		enum err e = map_put(&j->producers, bytes_of(&p->id, sizeof(p->id)), p);
		if (e != ERR_OK) {
			mem_free(p);
			return e;
		}
	}
	list_push_back(&j->silent, &p->node);
	*ret = p;
	return ERR_OK;
}

/* ---- transactions ---------------------------------------------------------------------------- */

enum err compact_open(struct compact_job *j, int64_t id, bool make, struct compact_open **ret)
{
	struct compact_open *o = map_get(&j->open, bytes_of(&id, sizeof(id)));
	*ret = o;
	if (o || !make)
		return ERR_OK;
	if (j->open.count >= COMPACT_OPEN_MAX)
		return ERR_LIMIT;
	o = mem_calloc(1, sizeof(*o));
	if (!o)
		return ERR_NOMEM;
	o->id = id;
	o->first = -1;
	enum err e = map_put(&j->open, bytes_of(&o->id, sizeof(o->id)), o);
	if (e != ERR_OK)
		mem_free(o);
	else
		*ret = o;
	return e;
}

void compact_open_end(struct compact_job *j, int64_t id)
{
	mem_free(map_remove(&j->open, bytes_of(&id, sizeof(id))));
}

void compact_aborted_rewind(struct compact_job *j)
{
	struct compact_open *o;
	size_t cursor = 0;
	while ((o = map_next(&j->open, &cursor)))
		mem_free(o);
	map_release(&j->open);
	map_init(&j->open);
	j->aborted_at = 0;
}

enum err compact_aborted(struct compact_job *j, const struct batch_header *h, bool *ret_aborted)
{
	struct compact_open *o;
	while (
	    j->aborted_at < j->aborted_count && j->aborted[j->aborted_at].first <= h->base_offset) {
		const struct compact_aborted *a = &j->aborted[j->aborted_at];
		if (a->until > h->base_offset) { /* else it has ended before this pass began */
			TRY(compact_open(j, a->producer_id, true, &o));
			o->aborted_until = a->until;
		}
		j->aborted_at++;
	}
	*ret_aborted = false;
	if (!(h->attributes & BATCH_ATTR_TRANSACTIONAL))
		return ERR_OK;
	TRY(compact_open(j, h->producer_id, false, &o));
	*ret_aborted = o && h->base_offset < o->aborted_until;
	return ERR_OK;
}

static void producer_batch(
    struct compact_producer *p, const struct batch_header *h, uint64_t sequence)
{
	if (h->base_sequence < 0)
		return;
	if (p->count == PRODUCER_BATCHES_KEPT)
		memmove(p->kept, p->kept + 1, (PRODUCER_BATCHES_KEPT - 1) * sizeof(p->kept[0]));
	else
		p->count++;
	p->kept[p->count - 1] = sequence;
}

static enum err aborted_add(struct compact_job *j, struct compact_aborted a)
{
	if (j->aborted_count == COMPACT_ABORTED_MAX)
		return ERR_LIMIT;
	if (j->aborted_count == j->aborted_capacity) {
		size_t capacity = j->aborted_capacity ? j->aborted_capacity * 2 : 64;
		struct compact_aborted *grown = mem_realloc(j->aborted, capacity * sizeof(*grown));
		if (!grown)
			return ERR_NOMEM;
		j->aborted = grown;
		j->aborted_capacity = capacity;
	}
	j->aborted[j->aborted_count++] = a;
	return ERR_OK;
}

/* Key of a control record: version i16, type i16 (0 abort, 1 commit; others end no transaction). */
static enum err marker_type(struct compact_job *j, struct bytes batch, int *ret_type)
{
	struct record_iter it;
	struct record r;
	*ret_type = -1;
	TRY(record_iter_open(&it, batch, &j->rewriter.plain, BATCH_PLAIN_MAX));
	enum err e = record_iter_next(&it, &r);
	if (e == ERR_EOF)
		return ERR_OK; /* emptied by a compaction before this one */
	TRY(e);
	if (r.key.ptr && r.key.len >= 4)
		*ret_type = get_u16_be(r.key.ptr + 2);
	return ERR_OK;
}

static enum err survey_marker(
    struct compact_job *j, struct compact_producer *p, const struct frame *f, struct bytes batch)
{
	int type;
	TRY(marker_type(j, batch, &type));
	p->last_control = f->sequence;
	if (type != 0 && type != 1)
		return ERR_OK;
	struct compact_open *o;
	TRY(compact_open(j, p->id, false, &o));
	int64_t first = o ? o->first : -1;
	compact_open_end(j, p->id);
	if (type == 1 || first < 0)
		return ERR_OK;
	return aborted_add(j, (struct compact_aborted){p->id, first, f->base_offset});
}

static enum err survey_batch(struct compact_job *j, const struct frame *f, struct bytes batch)
{
	struct batch_header h;
	struct compact_producer *p;
	TRY(batch_header_read(batch, &h));
	if (h.producer_id < 0)
		return ERR_OK;
	TRY(producer_make(j, h.producer_id, &p));
	if (h.producer_epoch > p->epoch) {
		p->partial &= p->epoch < 0; /* a new epoch has nothing before it */
		p->count = 0;
		p->epoch = h.producer_epoch;
	}
	p->last_ns = f->append_time_ns;
	if (h.attributes & BATCH_ATTR_CONTROL)
		return survey_marker(j, p, f, batch);
	if (h.producer_epoch == p->epoch)
		producer_batch(p, &h, f->sequence);
	if (!(h.attributes & BATCH_ATTR_TRANSACTIONAL))
		return ERR_OK;
	struct compact_open *o;
	TRY(compact_open(j, h.producer_id, true, &o));
	if (o->first < 0)
		o->first = f->base_offset;
	return ERR_OK;
}

static void limit_to(struct compact_job *j, int64_t offset)
{
	if (offset < j->limit)
		j->limit = offset;
}

static int aborted_order(const void *a, const void *b)
{
	const struct compact_aborted *x = a, *y = b;
	return (x->first > y->first) - (x->first < y->first);
}

/* All is seen: nothing from the first open transaction on. */
static void survey_end(struct compact_job *j)
{
	const struct compact_open *o;
	size_t cursor = 0;
	while ((o = map_next(&j->open, &cursor)))
		limit_to(j, o->first);
	if (j->aborted_count > 1)
		qsort(j->aborted, j->aborted_count, sizeof(*j->aborted), aborted_order);
}

/* Nothing more is read: the rest of the inputs must wait for another time. */
static enum err stop_at(struct compact_job *j, int64_t offset)
{
	limit_to(j, offset);
	j->input = j->input_count;
	return input_close(j);
}

enum err compact_survey_step(struct compact_job *j)
{
	struct frame f;
	struct bytes batch;
	j->step_bytes = 0;
	while (j->step_bytes < COMPACT_STEP_BYTES) {
		enum err e = compact_next(j, j->input_count, &f, &batch);
		if (e == ERR_OK && !(f.flags & FRAME_HOLE)) {
			e = survey_batch(j, &f, batch);
			if (e == ERR_LIMIT)
				e = stop_at(j, f.base_offset);
		}
		if (e == ERR_EOF)
			survey_end(j);
		TRY(e);
	}
	return ERR_OK;
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* ERR_LIMIT: the table is full. */
static enum err map_batch(struct compact_job *j, struct bytes batch)
{
	struct record_iter it;
	struct record r;
	enum err e;
	TRY(record_iter_open(&it, batch, &j->rewriter.plain, BATCH_PLAIN_MAX));
	while ((e = record_iter_next(&it, &r)) == ERR_OK)
		if (r.key.ptr && r.offset >= j->first_dirty &&
		    !compact_map_put(&j->keys, r.key, r.offset))
			return ERR_LIMIT;
	return e == ERR_EOF ? ERR_OK : e;
}

static enum err map_begin(struct compact_job *j)
{
	size_t input = 0;
	while (input < j->input_count && j->inputs[input].end_offset <= j->first_dirty)
		input++;
	compact_rewind(j, input);
	compact_aborted_rewind(j);
	j->walk.check_body = true;
	uint64_t keys = j->limit > j->first_dirty ? (uint64_t)(j->limit - j->first_dirty) : 0;
	return compact_map_init(&j->keys, j->io, keys, j->map_bytes);
}

enum err compact_map_step(struct compact_job *j)
{
	struct frame f;
	struct bytes batch;
	struct batch_header h;
	if (!j->keys.slots)
		TRY(map_begin(j));
	j->step_bytes = 0;
	while (j->step_bytes < COMPACT_STEP_BYTES) {
		TRY(compact_next(j, j->input_count, &f, &batch));
		if (f.base_offset >= j->limit) {
			TRY(stop_at(j, j->limit));
			continue;
		}
		if (f.flags & FRAME_HOLE)
			continue;
		TRY(batch_header_read(batch, &h));
		bool aborted, control = (h.attributes & BATCH_ATTR_CONTROL) != 0;
		TRY(compact_aborted(j, &h, &aborted));
		if (control)
			compact_open_end(j, h.producer_id);
		bool skip = aborted || control ||
		            f.base_offset + (int64_t)f.last_offset_delta < j->first_dirty;
		enum err e = skip ? ERR_OK : map_batch(j, batch);
		batch_rewriter_trim(&j->rewriter);
		if (e == ERR_LIMIT)
			e = stop_at(j, f.base_offset);
		TRY(e);
	}
	return ERR_OK;
}
