/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A round in the air: the journal entry and the segment writes, their completions, and what
 * follows. See round.h for the states; the way in is round_admit.c.
 */
#include "log/batch.h"
#include "log/engine.h"
#include "log/partition_drop.h"

#define MARK_NS (100 * MS_NS) /* from the last round to the entry that restates D */

/* ---- answers --------------------------------------------------------------------------------- */

static void rounds_finish(struct mail *mail)
{
	struct rounds *rs = CONTAINER_OF(mail, struct rounds, finish);
	struct list_node *n;
	rs->finish_posted = false;
	while ((n = list_pop_front(&rs->finished))) {
		struct log_append *req = CONTAINER_OF(n, struct log_append, node);
		struct log_partition *p = req->partition;
		req->done(req);
		partition_unref(p);
	}
}

void rounds_answer(struct rounds *rs, struct log_append *req, enum err err)
{
	ASSERT(!list_linked(&req->node));
	req->err = err;
	rs->accepted_bytes -= req->internal_[ROUND_REQ_ACCEPTED];
	req->internal_[ROUND_REQ_ACCEPTED] = 0;
	list_push_back(&rs->finished, &req->node);
	if (rs->finish_posted)
		return;
	rs->finish_posted = true;
	rs->finish.run = rounds_finish;
	loop_defer(rs->log->loop, &rs->finish);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void rounds_start_mail(struct mail *mail)
{
	struct rounds *rs = CONTAINER_OF(mail, struct rounds, start);
	rs->start_posted = false;
	rounds_start(rs);
}

void rounds_start_later(struct rounds *rs)
{
	if (rs->start_posted || rs->busy)
		return; /* when busy, the round in flight starts the next */
	rs->start_posted = true;
	rs->start.run = rounds_start_mail;
	loop_defer(rs->log->loop, &rs->start);
}

static void mark_due(struct loop_timer *timer)
{
	struct rounds *rs = CONTAINER_OF(timer, struct rounds, mark_timer);
	rs->mark_now = true;
	rounds_start(rs);
}

static void round_clear(struct round *r)
{
	if (r->capacity > 2 * r->rounds->round_bytes) { /* after a large append that went alone */
		mem_free(r->buf);
		r->buf = NULL;
		r->capacity = 0;
	}
	r->state = ROUND_COLLECTING;
	r->used = JOURNAL_ENTRY_HEADER_BYTES;
	r->frame_count = 0;
	r->first_sequence = r->last_sequence = 0;
	r->direct_bytes = 0;
	r->small = 0;
	r->writes_left = r->flushes_left = 0;
	r->failed = r->entry_durable = false;
	r->tails = 0;
	ASSERT(r->airborne == 0 && r->stretch_count == 0 && list_empty(&r->stretches) &&
	       list_empty(&r->duplicates));
}

enum err rounds_init(struct rounds *rs, struct log *log)
{
	*rs = (struct rounds){.log = log};
	list_init(&rs->waiting);
	list_init(&rs->free_stretches);
	list_init(&rs->stock);
	list_init(&rs->blocks);
	list_init(&rs->retry);
	list_init(&rs->finished);
	rs->round_bytes = JOURNAL_ROUND_BYTES_MAX;
	if (rs->round_bytes > log->options.journal_bytes / JOURNAL_FILES / 4)
		rs->round_bytes = (size_t)(log->options.journal_bytes / JOURNAL_FILES / 4);
	rs->direct_max = ROUND_DIRECT_MAX;
	if (rs->direct_max > log->options.journal_bytes / JOURNAL_FILES / 4)
		rs->direct_max = (size_t)(log->options.journal_bytes / JOURNAL_FILES / 4);
	for (int i = 0; i < 2; i++) {
		rs->round[i].rounds = rs;
		list_init(&rs->round[i].stretches);
		list_init(&rs->round[i].duplicates);
		round_clear(&rs->round[i]);
	}
	loop_timer_init(&rs->mark_timer, mark_due);
	round_space_init(rs);
	return ERR_OK;
}

void rounds_release(struct rounds *rs)
{
	struct list_node *n;
	if (!rs->log)
		return;
	loop_timer_cancel(rs->log->loop, &rs->mark_timer);
	loop_timer_cancel(rs->log->loop, &rs->space_timer);
	for (int i = 0; i < 2; i++) {
		ASSERT(rs->round[i].airborne == 0);
		mem_free(rs->round[i].buf);
		mem_free(rs->round[i].frames);
	}
	while ((n = list_pop_front(&rs->free_stretches))) {
		struct round_stretch *st = CONTAINER_OF(n, struct round_stretch, node);
		mem_free(st->iov);
		mem_free(st);
	}
}

bool rounds_idle(const struct rounds *rs)
{
	return !rs->busy && list_empty(&rs->waiting) &&
	       rs->round[rs->collecting].frame_count == 0 && list_empty(&rs->finished);
}

void rounds_kick(struct rounds *rs)
{
	if (rs->log->failed) {
		rounds_abort(rs, ERR_IO);
		return;
	}
	if (!list_empty(&rs->waiting))
		rounds_scan(rs);
	rounds_start_later(rs);
}

/* ---- becoming visible and durable ------------------------------------------------------------ */

/* One frame is in its segment for all to read. */
static void frame_visible(struct round_stretch *st, const struct round_frame *f)
{
	struct log_partition *p = st->partition;
	struct segment *s = st->segment;
	ASSERT(s->size == f->pos && p->visible_end == f->base_offset);
	s->size += f->len;
	s->last_link = f->link;
	p->size_bytes += f->len;
	if (f->flags & FRAME_PAD)
		return;
	p->visible_bytes += f->len - FRAME_HEADER_BYTES;
	s->end_offset = p->visible_end = f->base_offset + f->records;
	s->last_sequence = f->sequence;
	s->last_append_ns = f->append_ns;
	s->noted_ns = loop_now_ns(p->log->loop);
	index_push(&s->index, (struct index_entry){.base_offset = f->base_offset,
	                          .pos = f->pos,
	                          .len = f->len,
	                          .max_timestamp_ms = f->max_timestamp_ms,
	                          .sequence = f->sequence});
	if (f->max_timestamp_ms > p->max_timestamp_ms) {
		p->max_timestamp_ms = f->max_timestamp_ms;
		p->max_timestamp_offset = f->base_offset;
	}
	metric_add(METRIC_APPEND_RECORDS, f->records);
	metric_add(METRIC_APPEND_BYTES, f->len - FRAME_HEADER_BYTES);
}

static void frame_answer(struct rounds *rs, struct round_frame *f, enum err err)
{
	struct log_append *req = f->req;
	f->req = NULL;
	if (!req)
		return;
	ASSERT(err != ERR_OK ||
	       req->base_offset == f->base_offset); /* reply offset = written offset */
	req->log_start = req->partition->log_start;
	rounds_answer(rs, req, err);
}

static void stretch_visible(struct round_stretch *st)
{
	struct round *r = st->round;
	ASSERT(!st->visible);
	st->visible = true;
	for (uint32_t i = st->first; i != ROUND_NO_FRAME; i = r->frames[i].next)
		frame_visible(st, &r->frames[i]);
	partition_wake(st->partition);
}

/* Its records that anybody can read, and that a power cut may take. */
static void note_not_durable(const struct round_stretch *st, int sign)
{
	const struct round *r = st->round;
	const struct round_frame *last = &r->frames[st->last];
	r->rounds->not_durable +=
	    sign * (last->base_offset + last->records - r->frames[st->first].base_offset);
	ASSERT(r->rounds->not_durable >= 0);
	metric_set(METRIC_NOT_DURABLE, r->rounds->not_durable);
}

void round_written_lazy(struct round_stretch *st)
{
	struct round *r = st->round;
	struct rounds *rs = r->rounds;
	if (r->frames[st->last].sequence >= rs->lazy_bound)
		return; /* its sequences are not reserved yet: it waits as the others do */
	if (r->frames[st->first].base_offset != st->partition->visible_end ||
	    r->frames[st->first].pos != st->segment->size)
		return; /* what comes before it is still being written */
	stretch_visible(st);
	note_not_durable(st, 1);
	for (uint32_t i = st->first; i != ROUND_NO_FRAME; i = r->frames[i].next)
		frame_answer(rs, &r->frames[i], ERR_OK);
}

static void stretch_durable(struct round_stretch *st)
{
	struct log_partition *p = st->partition;
	struct round *r = st->round;
	if (st->visible)
		note_not_durable(st, -1);
	else
		stretch_visible(st);
	uint64_t replay_bytes = 0;
	for (uint32_t i = st->first; i != ROUND_NO_FRAME; i = r->frames[i].next) {
		const struct round_frame *f = &r->frames[i];
		replay_bytes += st->direct ? ROUND_DIRECT_REPLAY : f->len;
		p->frames_pending--;
		st->segment->frames_pending--;
		if (f->control) {
			p->markers_pending--;
			partition_note_marker(p,
			    bytes_of(
			        r->buf + f->at + FRAME_HEADER_BYTES, f->len - FRAME_HEADER_BYTES),
			    f->base_offset);
		}
		if (!(f->flags & FRAME_PAD))
			st->segment->durable_sequence = f->sequence;
	}
	const struct round_frame *last = &r->frames[st->last];
	ASSERT(p->durable_end <= last->base_offset + last->records);
	p->durable_end = last->base_offset + last->records;
	st->segment->durable_size = st->to;
	st->segment->durable_link = last->link;
	/* what is DIRECT is durable: only its index entries wait for the checkpoint, and a start
	 * after a kill would look at each frame */
	struct log *log = r->rounds->log;
	checkpoint_dirty(&log->checkpointer, st->segment, replay_bytes);
	if (!st->direct && st->segment->dirty)
		behind_add(&log->behind, st->segment);
}

/* ---- the end of a round ---------------------------------------------------------------------- */

static void round_answer_all(struct round *r, enum err err)
{
	struct rounds *rs = r->rounds;
	struct list_node *n;
	for (uint32_t i = 0; i < r->frame_count; i++)
		frame_answer(rs, &r->frames[i], err);
	while ((n = list_pop_front(&r->duplicates)))
		rounds_answer(rs, CONTAINER_OF(n, struct log_append, node), err);
}

static void round_release_stretches(struct round *r)
{
	struct list_node *n;
	bool keep = !r->failed && r->state != ROUND_COLLECTING;
	while ((n = list_first(&r->stretches))) {
		struct round_stretch *st = CONTAINER_OF(n, struct round_stretch, node);
		struct log_partition *p = st->partition;
		partition_ref(p);
		round_direct_end(st, keep);
		rounds_stretch_free(r->rounds, st);
		partition_delete_ready(p);
		partition_unref(p);
	}
}

static void round_complete(struct round *r)
{
	struct rounds *rs = r->rounds;
	struct log *log = rs->log;

	journal_placed(&log->journal, r->entry_len, r->number);
	LIST_EACH (&r->stretches, n, next)
		stretch_durable(CONTAINER_OF(n, struct round_stretch, node));
	round_answer_all(r, ERR_OK);
	if (r->lazy_bound > rs->lazy_bound)
		rs->lazy_bound = r->lazy_bound;
	metric_add(METRIC_ROUNDS, 1);
	engine_reserved(log, r->producer_ids);
	if (r->frame_count > 0) {
		metric_add(METRIC_APPENDS, r->last_sequence - r->first_sequence + 1);
		engine_durable(log, r->last_sequence, r->frames[r->frame_count - 1].append_ns);
		loop_timer_set(log->loop, &rs->mark_timer, loop_now_ns(log->loop) + MARK_NS);
	}
}

/* What waits for room on the disk waits no longer. */
static void retry_drop(struct rounds *rs)
{
	while (list_pop_front(&rs->retry))
		;
}

static void round_failed(struct round *r)
{
	for (uint32_t i = 0; i < r->frame_count; i++) {
		struct round_stretch *st = r->frames[i].stretch;
		st->partition->frames_pending--;
		st->partition->markers_pending -= r->frames[i].control;
		st->segment->frames_pending--;
		if (!st->visible && !(r->frames[i].flags & FRAME_PAD))
			st->segment->index.promised--;
	}
	round_answer_all(r, ERR_IO);
}

void round_landed(struct round *r)
{
	struct rounds *rs = r->rounds;
	if (r->airborne > 0 || (!r->failed && (!r->entry_durable || !list_empty(&rs->retry))))
		return;
	if (r->failed) {
		retry_drop(rs);
		round_failed(r);
	} else {
		round_complete(r);
	}
	round_release_stretches(r);
	round_clear(r);
	rs->busy = false;
	rs->full = rs->direct_full = false;
	if (rs->log->failed) {
		rounds_abort(rs, ERR_IO);
		return;
	}
	checkpoint_between(&rs->log->checkpointer);
	rounds_scan(rs);
	rounds_start(rs);
}

void rounds_give_up(struct rounds *rs)
{
	struct round *r = &rs->round[rs->collecting ^ 1];
	if (!rs->busy || list_empty(&rs->retry))
		return;
	r->failed = true;
	round_landed(r);
}

/* ---- completions ----------------------------------------------------------------------------- */

void round_write_tails(struct round *r)
{
	if (!r->entry_durable || r->flushes_left > 0 || r->failed)
		return;
	LIST_EACH (&r->stretches, n, next) {
		struct round_stretch *st = CONTAINER_OF(n, struct round_stretch, node);
		if (st->tail_len > 0)
			round_submit_stretch(st);
	}
}

static void entry_durable(struct round *r)
{
	metric_observe_ns(
	    METRIC_FSYNC, io_clock_ns(r->rounds->log->io, IO_CLOCK_MONOTONIC) - r->flush_ns);
	r->entry_durable = true;
	round_write_tails(r);
}

static void entry_flushed(struct io_req *io)
{
	struct round *r = CONTAINER_OF(io, struct round, io);
	struct log *log = r->rounds->log;
	r->airborne--;
	if (io->err != ERR_OK) {
		/* Never a second flush: the kernel may have marked the pages clean (reliability
		 * rule 6). */
		r->failed = true;
		engine_fail(log, io->err, "flush of the journal");
	} else {
		entry_durable(r);
	}
	round_landed(r);
}

static void entry_written(struct io_req *io)
{
	struct round *r = CONTAINER_OF(io, struct round, io);
	struct log *log = r->rounds->log;
	r->airborne--;
	if (io->err != ERR_OK || io->result != (int64_t)r->entry_len) {
		r->failed = true;
		engine_fail(log, io->err == ERR_OK ? ERR_IO : io->err, "write of the journal");
		round_landed(r);
		return;
	}
	if (r->one_trip)
		entry_durable(r);
	else
		round_written(r);
	round_landed(r);
}

void round_written(struct round *r)
{
	struct log *log = r->rounds->log;
	ASSERT(r->writes_left > 0);
	if (--r->writes_left > 0 || r->failed)
		return;
	r->state = ROUND_FLUSHING;
	r->flush_ns = io_clock_ns(log->io, IO_CLOCK_MONOTONIC);
	r->io = (struct io_req){.op = IO_FDATASYNC, .fd = r->fd, .done = entry_flushed};
	r->airborne++;
	io_submit(log->io, &r->io);
	round_direct_flush(r);
}

static void stretch_written(struct io_req *io)
{
	struct round_stretch *st = CONTAINER_OF(io, struct round_stretch, io);
	struct round *r = st->round;
	r->airborne--;
	if (io->err == ERR_NOSPACE && !r->failed) {
		list_push_back(&r->rounds->retry, &st->retry);
		rounds_space_lost(r->rounds);
		err_clear(); /* it is told as no_space; each try would add its own */
		return;
	}
	st->iov_done += io->iov_count;
	if (io->err == ERR_OK && st->iov_done < st->iov_count) {
		round_submit_stretch(st);
		return;
	}
	if (io->err != ERR_OK) {
		r->failed = true;
		engine_fail(r->rounds->log, io->err, "write of a segment");
	} else if (st->lazy && !r->failed) {
		round_written_lazy(st);
	}
	if (st->direct && r->one_trip) {
		r->flushes_left--;
		round_write_tails(r);
	} else if (st->direct) {
		round_written(r);
	}
	round_landed(r);
}

void round_submit_stretch(struct round_stretch *st)
{
	struct rounds *rs = st->round->rounds;
	uint64_t pos = st->from;
	for (int i = 0; i < st->iov_done; i++)
		pos += st->iov[i].iov_len;
	int count = st->iov_count - st->iov_done;
	st->io =
	    (struct io_req){.op = st->direct && st->round->one_trip ? IO_WRITE_DURABLE : IO_WRITE,
	        .fd = st->direct ? st->segment->direct.fd : st->segment->file.fd,
	        .pos = pos,
	        .done = stretch_written,
	        .iov = st->iov + st->iov_done,
	        .iov_count = count < IO_IOV_MAX ? count : IO_IOV_MAX};
	st->round->airborne++;
	io_submit(rs->log->io, &st->io);
}

/* ---- the start ------------------------------------------------------------------------------- */

static void entry_items(const struct round *r, uint8_t *out)
{
	LIST_EACH (&r->stretches, n, next) {
		const struct round_stretch *st = CONTAINER_OF(n, struct round_stretch, node);
		if (st->tail_len == 0)
			continue;
		struct journal_item item = {.kind = JOURNAL_TAIL,
		    .topic_id = st->partition->key.topic_id,
		    .partition = st->partition->key.partition,
		    .segment = st->segment->base_offset,
		    .pos = st->from - st->tail_len,
		    .len = st->tail_len,
		    .at = st->tail_at};
		journal_item_encode(&item, out);
		out += JOURNAL_ITEM_BYTES;
	}
	for (uint32_t i = 0; i < r->frame_count; i++) {
		const struct round_frame *f = &r->frames[i];
		const struct log_partition *p = f->stretch->partition;
		struct journal_item item = {.kind = JOURNAL_FRAME,
		    .flags = f->flags,
		    .topic_id = p->key.topic_id,
		    .partition = p->key.partition,
		    .segment = f->stretch->segment->base_offset,
		    .pos = f->pos,
		    .len = f->len,
		    .at = f->at,
		    .sequence = (f->flags & FRAME_PAD) ? 0 : f->sequence,
		    .frame_hash = f->frame_hash};
		journal_item_encode(&item, out + (size_t)i * JOURNAL_ITEM_BYTES);
	}
}

static enum journal_kind round_kind(const struct round *r)
{
	if (r->frame_count > 0)
		return JOURNAL_ROUND;
	return r->clean ? JOURNAL_CLEAN : JOURNAL_MARK;
}

static void round_seal(struct round *r)
{
	struct rounds *rs = r->rounds;
	struct log *log = rs->log;
	uint32_t items = r->frame_count + r->tails;
	struct journal_entry e = {
	    .version = JOURNAL_VERSION,
	    .kind = (uint16_t)round_kind(r),
	    .length = (uint32_t)r->entry_len,
	    .used = (uint32_t)(r->used + (size_t)items * JOURNAL_ITEM_BYTES),
	    .items_at = (uint32_t)r->used,
	    .item_count = items,
	    .epoch = log->epoch,
	    .number = r->number,
	    .first_sequence = r->frame_count > 0 ? r->first_sequence : log->durable_sequence + 1,
	    .last_sequence = r->frame_count > 0 ? r->last_sequence : log->durable_sequence,
	    .checkpoint_number = log->journal.checkpoint_number,
	    .producer_ids = r->producer_ids,
	    .lazy_bound = r->lazy_bound,
	    .written_ns = loop_realtime_ns(log->loop),
	};
	entry_items(r, r->buf + r->used);
	journal_entry_seal(&e, log->journal.seed, r->buf);
}

static size_t block_up(size_t len)
{
	return (len + JOURNAL_BLOCK - 1) / JOURNAL_BLOCK * JOURNAL_BLOCK;
}

/* The journal's write alone, or with one more: then each is made durable in one trip. More of them
 * would wait for each other's flushes, and who opted out does not wait for any. */
static bool round_one_trip(const struct round *r)
{
	unsigned direct = 0;
	if (r->direct_bytes == 0)
		return true;
	LIST_EACH (&r->stretches, n, next) {
		const struct round_stretch *st = CONTAINER_OF(n, struct round_stretch, node);
		if (st->direct && (st->lazy || ++direct > 1))
			return false;
	}
	return true;
}

static void round_submit(struct round *r)
{
	struct log *log = r->rounds->log;
	bool checkpoint;
	r->state = ROUND_WRITING;
	r->entry_len = block_up(r->used + (size_t)(r->frame_count + r->tails) * JOURNAL_ITEM_BYTES);
	enum err e = journal_place(&log->journal, r->entry_len, &r->fd, &r->pos, &checkpoint);
	ASSERT(e == ERR_OK); /* rounds_start found a place for the longest it could become */
	round_seal(r);
	r->one_trip = round_one_trip(r);
	r->writes_left = 1;
	r->flush_ns = io_clock_ns(log->io, IO_CLOCK_MONOTONIC);
	r->iov = (struct iovec){r->buf, r->entry_len};
	r->io = (struct io_req){.op = r->one_trip ? IO_WRITE_DURABLE : IO_WRITE,
	    .fd = r->fd,
	    .pos = r->pos,
	    .iov = &r->iov,
	    .iov_count = 1,
	    .done = entry_written};
	r->airborne++;
	io_submit(log->io, &r->io);
	LIST_EACH (&r->stretches, n, next) {
		struct round_stretch *st = CONTAINER_OF(n, struct round_stretch, node);
		ASSERT(st->first != ROUND_NO_FRAME);
		r->writes_left += st->direct;
		r->flushes_left += st->direct && r->one_trip;
		for (int i = 0; i < st->iov_count && !st->direct; i++)
			st->iov[i].iov_base = r->buf + (uintptr_t)st->iov[i].iov_base;
	}
	LIST_EACH (&r->stretches, n, next) {
		struct round_stretch *st = CONTAINER_OF(n, struct round_stretch, node);
		if (st->tail_len == 0)
			round_submit_stretch(st);
	}
}

/* ---- tails ----------------------------------------------------------------------------------- */

static void tail_read(struct io_req *io)
{
	struct round_stretch *st = CONTAINER_OF(io, struct round_stretch, io);
	struct round *r = st->round;
	r->airborne--;
	if (io->err != ERR_OK || io->result != (int64_t)st->tail_len) {
		r->failed = true;
		engine_fail(r->rounds->log, io->err == ERR_OK ? ERR_IO : io->err,
		    "read of a segment's last block");
	}
	if (r->airborne > 0)
		return;
	if (r->failed)
		round_landed(r);
	else
		round_submit(r);
}

/* Finds out which stretches need an image, gives it a place in the entry and starts reading it. */
static void tails_start(struct round *r)
{
	struct log *log = r->rounds->log;
	r->state = ROUND_TAILS;
	LIST_EACH (&r->stretches, n, next) {
		struct round_stretch *st = CONTAINER_OF(n, struct round_stretch, node);
		if (st->partition->stretch == st)
			st->partition->stretch = NULL;
		/* a direct one shares no block with anything */
		if (st->direct || st->segment->tail_number > log->checkpointer.started_number)
			continue;
		st->segment->tail_number = r->number;
		st->tail_len = st->from % ROUND_TAIL_BLOCK;
		if (st->tail_len == 0)
			continue;
		st->tail_at = (uint32_t)r->used;
		r->used += st->tail_len;
		r->tails++;
		st->tail_iov = (struct iovec){r->buf + st->tail_at, st->tail_len};
		st->io = (struct io_req){.op = IO_READ,
		    .fd = st->segment->file.fd,
		    .pos = st->from - st->tail_len,
		    .iov = &st->tail_iov,
		    .iov_count = 1,
		    .done = tail_read};
		r->airborne++;
		io_submit(log->io, &st->io);
	}
	if (r->airborne == 0)
		round_submit(r);
}

static bool round_wanted(const struct rounds *rs, const struct round *r)
{
	return r->frame_count > 0 || rs->clean_now || rs->mark_now ||
	       engine_reserve_wanted(rs->log);
}

void rounds_start(struct rounds *rs)
{
	struct log *log = rs->log;
	struct round *r = rounds_collecting(rs);
	bool checkpoint = false;

	if (rs->busy || log->failed || !round_wanted(rs, r))
		return;
	size_t longest = round_entry_bytes(r, 0, 0);
	if (round_reserve(r, longest) != ERR_OK) {
		ASSERT(r->frame_count == 0); /* admission made room for frames */
		loop_timer_set(log->loop, &rs->mark_timer, loop_now_ns(log->loop) + MARK_NS);
		return; /* what waits for a round without frames would wait for ever */
	}
	/* recovery must find room for a copy of the entry with its DIRECT frames right behind it */
	enum err e = journal_place(
	    &log->journal, longest + round_copy_bytes(r), &r->fd, &r->pos, &checkpoint);
	if (e != ERR_OK) {
		ASSERT(e == ERR_AGAIN);
		if (checkpoint)
			checkpoint_start(&log->checkpointer);
		return; /* whoever makes room kicks */
	}
	r->number = log->journal.next_number;
	r->producer_ids = engine_reserve_bound(log);
	r->lazy_bound = rs->lazy_wanted ? rs->next_sequence + SEQUENCE_RESERVE : rs->lazy_bound;
	r->clean = rs->clean_now && r->frame_count == 0;
	rs->lazy_wanted = rs->mark_now = false;
	rs->clean_now &= !r->clean;
	loop_timer_cancel(log->loop, &rs->mark_timer);
	rs->last_bytes = r->used + r->direct_bytes;
	if (r->small > 0)
		rs->shared = ROUND_SHARED_FOR;
	else if (rs->shared > 0)
		rs->shared--;
	rs->busy = true;
	rs->collecting ^= 1;
	rs->full = rs->direct_full = false;
	tails_start(r);
	if (!list_empty(&rs->waiting))
		rounds_scan(rs);
}

static enum err rounds_turn(struct rounds *rs, const bool *wanted)
{
	struct log *log = rs->log;
	rounds_start(rs);
	while (
	    (rs->busy || (*wanted && (log->journal.filling || rs->start_posted))) && !log->failed)
		TRY(loop_step(log->loop, 10 * MS_NS));
	if (log->failed)
		return err_note(ERR_IO, "the journal cannot be written");
	return *wanted ? err_note(ERR_AGAIN, "no room in the journal") : ERR_OK;
}

/* One entry without frames; never waits for room that nobody is making. */
static enum err rounds_write(struct rounds *rs, bool *wanted)
{
	*wanted = true;
	enum err e = rounds_turn(rs, wanted);
	if (e == ERR_AGAIN) {
		err_clear();
		e = checkpoint_finish(&rs->log->checkpointer, false); /* gives back all of it */
		e = e == ERR_OK ? rounds_turn(rs, wanted) : e;
	}
	*wanted = false;
	return e;
}

enum err rounds_write_clean(struct rounds *rs)
{
	ASSERT(rounds_idle(rs));
	rs->lazy_bound = 0; /* nothing is in flight: no sequence above D was told to anybody */
	return rounds_write(rs, &rs->clean_now);
}

enum err rounds_write_mark(struct rounds *rs)
{
	return rounds_write(rs, &rs->mark_now);
}

void rounds_fail(struct rounds *rs)
{
	struct round *r = rounds_collecting(rs);
	rounds_abort(rs, ERR_IO);
	round_failed(r);
	round_release_stretches(r);
	round_clear(r);
}
