/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way into a round: log_append queues a set, admission checks it as a whole (partitions ready,
 * room, space) and then stamps and copies each batch, once, into the round's entry. Before the
 * first batch of a set is stamped everything that can fail has been tried, so a set is never half
 * in.
 */
#include "log/batch.h"
#include "log/engine.h"
#include "log/partition_drop.h"

static struct log_append *req_of(struct list_node *n)
{
	return CONTAINER_OF(n, struct log_append, node);
}

/* ---- checks ---------------------------------------------------------------------------------- */

struct set_check {
	size_t bytes; /* of the frames that will go in */
	size_t frames;
	bool again;
	bool failed;
	bool internal; /* all of them are the server's own */
};

static bool req_idempotent(const struct batch_header *h)
{
	return h->producer_id >= 0;
}

static enum err req_check(struct log_append *req)
{
	struct log_partition *p = req->partition;
	struct batch_header h;
	if (p->state == PARTITION_OPEN && p->topic->internal && !req->internal)
		return err_note(ERR_INVALID_TOPIC, "%s is internal", p->dir);
	TRY(batch_header_read(bytes_of(req->batch, req->batch_len), &h));
	if (h.last_offset_delta < 0 || (size_t)h.length + 12 != req->batch_len)
		return err_note(ERR_CORRUPT_MESSAGE, "not exactly one record batch");
	return partition_ready(p, FRAME_HEADER_BYTES + req->batch_len, req_idempotent(&h));
}

static struct set_check set_check(struct rounds *rs, struct list_node *first)
{
	struct set_check c = {.internal = true};
	struct list_node *n = first;
	for (uint64_t left = req_of(first)->internal_[ROUND_REQ_LEFT]; left > 0;
	     left--, n = n->next) {
		struct log_append *req = req_of(n);
		ASSERT(req->internal_[ROUND_REQ_LEFT] == left);
		if (req->partition->blocked_pass == rs->pass) {
			c.again = true;
			continue;
		}
		err_clear();
		req->err = req_check(req);
		if (req->err == ERR_AGAIN) {
			c.again = true;
		} else if (req->err != ERR_OK) {
			c.failed = true;
		} else {
			c.bytes += FRAME_HEADER_BYTES + req->batch_len;
			c.frames++;
			c.internal &= req->internal;
		}
	}
	return c;
}

/* ---- room ------------------------------------------------------------------------------------ */

size_t round_entry_bytes(const struct round *r, size_t more_bytes, size_t more_frames)
{
	size_t items = r->frame_count + more_frames;
	size_t tails = r->stretch_count +
	               more_frames; /* at most: each frame may be the first of its segment */
	size_t all = r->used + more_bytes + items * JOURNAL_ITEM_BYTES +
	             tails * (ROUND_TAIL_BLOCK + JOURNAL_ITEM_BYTES);
	return (all + JOURNAL_BLOCK - 1) / JOURNAL_BLOCK * JOURNAL_BLOCK;
}

enum err round_reserve(struct round *r, size_t need)
{
	if (!r->frames) {
		r->frames = mem_calloc(ROUND_FRAMES_MAX, sizeof(*r->frames));
		if (!r->frames)
			return ERR_NOMEM;
	}
	if (need <= r->capacity)
		return ERR_OK;
	size_t capacity = need > r->rounds->round_bytes ? need : r->rounds->round_bytes;
	uint8_t *grown = mem_alloc_aligned(IO_DIRECT_ALIGN, capacity);
	if (!grown)
		return ERR_NOMEM;
	if (r->frame_count > 0)
		memcpy(grown, r->buf, r->used);
	mem_free(r->buf);
	r->buf = grown;
	r->capacity = capacity;
	return ERR_OK;
}

static enum err set_room(struct rounds *rs, const struct set_check *c)
{
	struct round *r = rounds_collecting(rs);
	size_t need = round_entry_bytes(r, c->bytes, c->frames);
	if (r->frame_count > 0 &&
	    (need > rs->round_bytes || r->frame_count + c->frames > ROUND_FRAMES_MAX)) {
		rs->full = true;
		return ERR_AGAIN;
	}
	if (need > journal_entry_max(&rs->log->journal))
		return err_note(ERR_MESSAGE_TOO_LARGE,
		    "%zu bytes do not fit into a journal file of %llu", need,
		    (unsigned long long)rs->log->journal.file_bytes);
	TRY(round_reserve(r, need));
	return rounds_space_take(rs, c->bytes + c->frames * INDEX_ENTRY_BYTES, c->internal);
}

/* ---- stretches ------------------------------------------------------------------------------- */

static enum err stretch_reserve(struct round_stretch *st, int more)
{
	int need = st->iov_count + more;
	if (need <= st->iov_capacity)
		return ERR_OK;
	int capacity = st->iov_capacity ? st->iov_capacity : 4;
	while (capacity < need)
		capacity *= 2;
	struct iovec *grown = mem_realloc(st->iov, (size_t)capacity * sizeof(*grown));
	if (!grown)
		return ERR_NOMEM;
	st->iov = grown;
	st->iov_capacity = capacity;
	return ERR_OK;
}

static struct round_stretch *stretch_new(struct rounds *rs)
{
	struct list_node *n = list_pop_front(&rs->free_stretches);
	struct round_stretch *st =
	    n ? CONTAINER_OF(n, struct round_stretch, node) : mem_calloc(1, sizeof(*st));
	if (!st)
		return NULL;
	*st = (struct round_stretch){.iov = st->iov,
	    .iov_capacity = st->iov_capacity,
	    .first = ROUND_NO_FRAME,
	    .last = ROUND_NO_FRAME};
	list_node_init(&st->node);
	list_node_init(&st->retry);
	return st;
}

void rounds_stretch_free(struct rounds *rs, struct round_stretch *st)
{
	struct log_partition *p = st->partition;
	list_remove(&st->node);
	st->round->stretch_count--;
	if (p->stretch == st)
		p->stretch = NULL;
	descriptor_unpin(&st->segment->file);
	segment_unhold(st->segment);
	partition_unref(p);
	list_push_back(&rs->free_stretches, &st->node);
}

/* The stretch of p's active segment in the collecting round, with room for `more` frames. */
static enum err stretch_of(
    struct rounds *rs, struct log_partition *p, int more, struct round_stretch **ret)
{
	struct round *r = rounds_collecting(rs);
	struct segment *s = partition_active(p);
	struct round_stretch *st = p->stretch;
	if (!st || st->round != r || st->segment != s) {
		st = stretch_new(rs);
		if (!st)
			return ERR_NOMEM;
		st->round = r;
		st->partition = p;
		st->segment = s;
		st->from = st->to = p->next_pos;
		st->lazy = p->topic->config.durability != LOG_DURABILITY_FSYNC;
		partition_ref(p);
		s->holds++;
		descriptor_hold(&s->file);
		list_push_back(&r->stretches, &st->node);
		r->stretch_count++;
		p->stretch = st;
	}
	TRY(stretch_reserve(st, more));
	*ret = st;
	return ERR_OK;
}

/* ---- stamping -------------------------------------------------------------------------------- */

static void stretch_add(struct round *r, struct round_stretch *st, uint32_t frame)
{
	const struct round_frame *f = &r->frames[frame];
	if (st->last == ROUND_NO_FRAME)
		st->first = frame;
	else
		r->frames[st->last].next = frame;
	st->last = frame;
	ASSERT(st->to == f->pos);
	st->to += f->len;
	struct iovec *last = st->iov_count ? &st->iov[st->iov_count - 1] : NULL;
	if (last && (uintptr_t)last->iov_base + last->iov_len == f->at)
		last->iov_len += f->len;
	else
		st->iov[st->iov_count++] = (struct iovec){(void *)(uintptr_t)f->at, f->len};
}

/* Gives offset and sequence, and copies the frame into the entry. Nothing here can fail. */
static void req_stamp(
    struct rounds *rs, struct log_append *req, struct round_stretch *st, struct batch_header *h)
{
	struct round *r = rounds_collecting(rs);
	struct log_partition *p = req->partition;
	int64_t now = rounds_clock(rs);
	bool append_time = p->topic->config.timestamp_type == LOG_TIME_APPEND;
	uint32_t at = (uint32_t)r->used;
	uint8_t *out = r->buf + at;
	struct frame f = {
	    .version = FRAME_VERSION,
	    .length = (uint32_t)req->batch_len,
	    .principal = req->principal,
	    .sequence = rs->next_sequence++,
	    .base_offset = p->log_end,
	    .last_offset_delta = (uint32_t)h->last_offset_delta,
	    .server_epoch = rs->log->epoch,
	    .append_time_ns = now,
	    .durable_when_written = rs->log->durable_sequence,
	};
	h->base_offset = p->log_end;
	batch_stamp(req->batch, p->log_end, (int32_t)p->leader_epoch);
	if (append_time) {
		h->max_timestamp_ms = now / MS_NS;
		batch_stamp_append_time(req->batch, req->batch_len, h->max_timestamp_ms);
	}
	memcpy(out + FRAME_HEADER_BYTES, req->batch, req->batch_len);
	frame_encode(&f, st->segment->seed, p->next_link,
	    bytes_of(out + FRAME_HEADER_BYTES, req->batch_len), out);

	if (r->frame_count == 0)
		r->first_sequence = f.sequence;
	r->last_sequence = f.sequence;
	struct round_frame *rf = &r->frames[r->frame_count];
	*rf = (struct round_frame){.req = req,
	    .next = ROUND_NO_FRAME,
	    .at = at,
	    .len = FRAME_HEADER_BYTES + f.length,
	    .pos = p->next_pos,
	    .records = f.last_offset_delta + 1,
	    .sequence = f.sequence,
	    .frame_hash = f.header_hash,
	    .link = f.link,
	    .base_offset = f.base_offset,
	    .append_ns = now,
	    .max_timestamp_ms = h->max_timestamp_ms,
	    .append_time = append_time,
	    .control = (h->attributes & BATCH_ATTR_CONTROL) != 0,
	    .stretch = st};
	r->used += rf->len;
	p->log_end += rf->records;
	p->next_pos += rf->len;
	p->next_link = f.link;
	p->frames_pending++;
	st->segment->frames_pending++;
	stretch_add(r, st, r->frame_count++);
	if (req_idempotent(h))
		partition_note_producer(p, h, f.sequence, now);
	if (st->lazy && (rs->lazy_bound == 0 || f.sequence + SEQUENCE_RESERVE / 2 > rs->lazy_bound))
		rs->lazy_wanted = true;
	req->sequence = f.sequence;
	req->base_offset = f.base_offset;
	req->append_time_ms = append_time ? h->max_timestamp_ms : -1;
}

/* A batch seen before: answered with the original, at once or with the original's round. */
static void req_duplicate(
    struct rounds *rs, struct log_append *req, const struct producer_batch *original)
{
	struct round *r = rounds_collecting(rs);
	req->duplicate = true;
	req->base_offset = original->base_offset;
	req->sequence = original->sequence;
	req->append_time_ms = original->append_time_ms;
	req->log_start = req->partition->log_start;
	if (original->sequence <= rs->log->durable_sequence) {
		rounds_answer(rs, req, ERR_OK);
		return;
	}
	if (r->frame_count == 0 || original->sequence < r->first_sequence)
		r = &rs->round[rs->collecting ^ 1];
	ASSERT(original->sequence >= r->first_sequence && original->sequence <= r->last_sequence);
	list_push_back(&r->duplicates, &req->node);
}

static void req_admit(struct rounds *rs, struct log_append *req)
{
	struct log_partition *p = req->partition;
	struct producer_batch original;
	struct round_stretch *st;
	struct batch_header h;
	enum err e = stretch_of(rs, p, 1, &st); /* reserved: cannot fail */
	ASSERT(e == ERR_OK);
	e = batch_header_read(bytes_of(req->batch, req->batch_len), &h);
	ASSERT(e == ERR_OK);
	if (req_idempotent(&h))
		e = partition_check_producer(p, &h, &original);
	if (e == ERR_OK) {
		req_stamp(rs, req, st, &h);
		return;
	}
	st->segment->index.promised--;
	if (e == ERR_EXISTS)
		req_duplicate(rs, req, &original);
	else
		rounds_answer(rs, req, e);
}

/* ---- sets ------------------------------------------------------------------------------------ */

#define SET_EACH(first, req, left)                                                                 \
	for (struct log_append *req = req_of(first), *next_ = req_of(req->node.next); left > 0;    \
	     left--, req = next_, next_ = req_of(req->node.next))

/* Makes all the room that stamping needs, so that it cannot fail half way. */
static enum err set_reserve(struct rounds *rs, struct list_node *first, size_t frames)
{
	enum err e = ERR_OK;
	uint64_t left = req_of(first)->internal_[ROUND_REQ_LEFT];
	SET_EACH(first, req, left)
	{
		struct round_stretch *st;
		if (req->err != ERR_OK)
			continue;
		e = stretch_of(rs, req->partition, (int)frames, &st);
		if (e == ERR_OK)
			e = index_promise(&st->segment->index);
		if (e != ERR_OK)
			break;
		req->internal_[ROUND_REQ_PROMISED] = 1;
	}
	if (e == ERR_OK)
		return ERR_OK;
	left = req_of(first)->internal_[ROUND_REQ_LEFT];
	SET_EACH(first, req, left)
	{
		struct segment *s = partition_active(req->partition);
		if (req->internal_[ROUND_REQ_PROMISED] && s)
			s->index.promised--;
		req->internal_[ROUND_REQ_PROMISED] = 0;
	}
	return e;
}

/* Would the producers' state take every request of an all_or_none set? */
static enum err set_rehearse(struct list_node *first)
{
	uint64_t left = req_of(first)->internal_[ROUND_REQ_LEFT];
	SET_EACH(first, req, left)
	{
		struct producer_batch original;
		struct batch_header h;
		TRY(req->err);
		TRY(batch_header_read(bytes_of(req->batch, req->batch_len), &h));
		if (!req_idempotent(&h))
			continue;
		enum err e = partition_check_producer(req->partition, &h, &original);
		if (e != ERR_OK && e != ERR_EXISTS)
			return e;
	}
	return ERR_OK;
}

/* Stretches that were reserved but got nothing (duplicates, refusals) hold their segment no longer.
 */
static void stretches_prune(struct rounds *rs)
{
	struct round *r = rounds_collecting(rs);
	LIST_EACH (&r->stretches, n, next) {
		struct round_stretch *st = CONTAINER_OF(n, struct round_stretch, node);
		if (st->first == ROUND_NO_FRAME)
			rounds_stretch_free(rs, st);
	}
}

/* Takes a set out of the queue: every request is answered or in the round. */
static void set_take(struct rounds *rs, struct list_node *first, enum err refuse)
{
	bool prune = false;
	uint64_t left = req_of(first)->internal_[ROUND_REQ_LEFT];
	SET_EACH(first, req, left)
	{
		struct log_partition *p = req->partition;
		list_remove(&req->node);
		p->queued--;
		uint32_t before = rounds_collecting(rs)->frame_count;
		if (req->err != ERR_OK || refuse != ERR_OK)
			rounds_answer(rs, req, req->err != ERR_OK ? req->err : refuse);
		else
			req_admit(rs, req);
		prune |= rounds_collecting(rs)->frame_count == before;
		partition_delete_ready(p);
	}
	if (prune)
		stretches_prune(rs);
}

/* ERR_OK: the set is out of the queue. ERR_AGAIN: it waits, and so do later ones of its partitions.
 */
static enum err set_admit(struct rounds *rs, struct list_node *first)
{
	bool atomic = req_of(first)->internal_[ROUND_REQ_ATOMIC] != 0;
	struct set_check c = set_check(rs, first);
	enum err refuse = ERR_OK;

	if (!c.again && c.frames > 0 && !(atomic && c.failed)) {
		refuse = set_room(rs, &c);
		if (refuse == ERR_OK && atomic)
			refuse = set_rehearse(first);
		if (refuse == ERR_OK)
			refuse = set_reserve(rs, first, c.frames);
	} else if (!c.again && atomic && c.failed) {
		refuse = ERR_CANCELLED;
	}
	if (c.again || refuse == ERR_AGAIN) {
		uint64_t left = req_of(first)->internal_[ROUND_REQ_LEFT];
		SET_EACH(first, req, left)
		req->partition->blocked_pass = rs->pass;
		return ERR_AGAIN;
	}
	set_take(rs, first, refuse);
	return ERR_OK;
}

void rounds_scan(struct rounds *rs)
{
	if (rs->scanning) { /* called from a task that ended at once */
		rs->scan_again = true;
		return;
	}
	rs->scanning = true;
	do {
		rs->scan_again = false;
		rs->pass++;
		struct list_node *n = rs->waiting.head.next;
		while (n != &rs->waiting.head && !rs->full) {
			struct list_node *first = n;
			for (uint64_t left = req_of(first)->internal_[ROUND_REQ_LEFT]; left > 0;
			     left--)
				n = n->next;
			(void)set_admit(rs, first); /* ERR_AGAIN: it stays */
		}
	} while (rs->scan_again);
	rs->scanning = false;
}

void rounds_abort(struct rounds *rs, enum err err)
{
	struct list_node *n;
	while ((n = list_pop_front(&rs->waiting))) {
		struct log_append *req = req_of(n);
		req->partition->queued--;
		rounds_answer(rs, req, err);
		partition_delete_ready(req->partition);
	}
}

/* ---- the public call ------------------------------------------------------------------------- */

static enum err append_refused(const struct log *log, size_t bytes, size_t count, bool internal)
{
	const struct rounds *rs = &log->rounds;
	if (log->failed)
		return ERR_IO;
	if (log->closing)
		return ERR_CLOSED;
	if (count > ROUND_FRAMES_MAX)
		return err_note(
		    ERR_LIMIT, "%zu batches in one append, at most %d", count, ROUND_FRAMES_MAX);
	if (rs->no_space && !internal)
		return ERR_NOSPACE;
	if (rs->accepted_bytes > 0 && bytes > log->options.append_queue_bytes - rs->accepted_bytes)
		return ERR_AGAIN;
	return ERR_OK;
}

/* True when nothing that waits must come first. */
static bool may_pass(const struct rounds *rs, struct log_append *const *reqs, size_t count)
{
	if (list_empty(&rs->waiting))
		return true;
	for (size_t i = 0; i < count; i++)
		if (reqs[i]->partition->queued > 0)
			return false;
	return !rs->full;
}

void log_append(struct log *log, struct log_append *const *reqs, size_t count, bool all_or_none)
{
	struct rounds *rs = &log->rounds;
	size_t bytes = 0;

	loop_assert_owner(log->loop);
	ASSERT(count > 0);
	bool internal = true;
	for (size_t i = 0; i < count; i++) {
		bytes += reqs[i]->batch_len;
		internal &= reqs[i]->internal;
	}
	enum err refuse = append_refused(log, bytes, count, internal);
	bool direct = refuse == ERR_OK && may_pass(rs, reqs, count);
	for (size_t i = 0; i < count; i++) {
		struct log_append *req = reqs[i];
		ASSERT(req->partition->log == log && req->done);
		req->err = ERR_OK;
		req->base_offset = req->append_time_ms = -1;
		req->log_start = req->partition->log_start;
		req->sequence = 0;
		req->duplicate = false;
		memset(req->internal_, 0, sizeof(req->internal_));
		list_node_init(&req->node);
		partition_ref(req->partition);
		if (refuse != ERR_OK) {
			rounds_answer(rs, req, refuse);
			continue;
		}
		req->internal_[ROUND_REQ_LEFT] = count - i;
		req->internal_[ROUND_REQ_ATOMIC] = all_or_none;
		req->internal_[ROUND_REQ_ACCEPTED] = req->batch_len;
		rs->accepted_bytes += req->batch_len;
		req->partition->queued++;
		list_push_back(&rs->waiting, &req->node);
	}
	if (direct) {
		rs->pass++;
		if (set_admit(rs, &reqs[0]->node) == ERR_OK)
			rounds_start_later(rs);
	}
}
