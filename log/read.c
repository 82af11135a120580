/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_read: one request's walk, each step one function, any of which may have to wait:
 *
 *   read_load     the aborted transactions, for committed data (pool)
 *   read_begin    range checks, segment (at the call)
 *   read_locate   position: cursor of an earlier read, index in memory, index file (pool); when
 *                 that is missing, short or wrong, from the segment's first frame on (read_walk)
 *   read_pin      the segment's descriptor (pool)
 *   read_submit   the bytes (tail cache, what was read ahead, else I/O); once more when the first
 *                 batch is larger than what was read. What the page cache lacks is read past it by
 *                 the first who comes along a segment: DIRECT frames are not in it, and bringing
 *                 them in costs several times what reading them does. Who comes after him does
 *                 bring them in.
 *   read_parse    every frame verified, slices made
 *   read_answer   done, deferred to the end of the turn; what comes next is read ahead
 *
 * The segment is held from read_begin to read_answer, so retention cannot take it away.
 */
#include "log/engine.h"
#include "log/lookup.h"
#include "log/partition_drop.h"

#define READ_BYTES_MAX                                                                             \
	(4 * MIB) /* in one request unless one batch is larger: a callback stays short */
#define READ_BYTES_MIN  ((size_t)4096)
#define READ_DIRECT_MIN ((size_t)64 * KIB) /* less is read through the page cache */

struct read_op {
	struct log_read *req;
	struct log *log;
	struct segment *segment; /* held */
	int64_t limit;           /* exclusive: no batch from here on */
	int64_t from;            /* the offset asked for, or behind the hole that it is in */
	uint32_t pos;
	uint32_t end;     /* of the segment's visible bytes */
	size_t want;      /* bytes to read */
	size_t asked;     /* the same at first: what the next one will want */
	uint32_t next;    /* behind the last batch taken */
	size_t entry_len; /* of the first frame when the index told, else 0 */
	size_t skip;      /* what was read begins so many bytes before pos */
	bool pinned;
	bool cache_tried;
	bool follows; /* goes on where a read past the page cache ended */
	bool in_turn; /* goes on where a read ended, or begins a segment */
	bool direct_pinned, direct_failed;
	bool by_index; /* `pos` is what the index said */
	bool walking;  /* the index did not help: frame after frame from the segment's first */
	struct lookup lookup;
	struct descriptor_pin pin, direct_pin;
	struct ahead_wait ahead;
	struct log_producers_load load;
};

enum { READ_OP = 0, READ_NEXT = 1, READ_BLOCK = 2, READ_LOG = 3 };

static struct read_op *op_of(const struct log_read *req)
{
	return (struct read_op *)(uintptr_t)req->internal_[READ_OP];
}

/* ---- the answer ------------------------------------------------------------------------------ */

static void reads_finish(struct mail *mail)
{
	struct log *log = CONTAINER_OF(mail, struct log, reads);
	struct log_read *req = log->reads_first;
	log->reads_first = log->reads_last = NULL;
	while (req) {
		struct log_read *next = (struct log_read *)(uintptr_t)req->internal_[READ_NEXT];
		struct log_partition *p = req->partition;
		req->internal_[READ_NEXT] = 0;
		req->done(req);
		partition_unref(p);
		req = next;
	}
}

static void read_later(struct log *log, struct log_read *req)
{
	if (log->reads_last)
		log->reads_last->internal_[READ_NEXT] = (uintptr_t)req;
	else
		log->reads_first = req;
	if (!log->reads_last) {
		log->reads.run = reads_finish;
		loop_defer(log->loop, &log->reads);
	}
	log->reads_last = req;
}

static void read_let_go(struct read_op *op)
{
	if (op->pinned)
		descriptor_unpin(&op->segment->file);
	if (op->direct_pinned)
		descriptor_unpin(&op->segment->direct);
	if (op->segment)
		segment_unhold(op->segment);
	op->pinned = op->direct_pinned = op->follows = op->in_turn = false;
	op->segment = NULL;
}

/* What comes behind this answer, where who asks goes on past the page cache. */
static void read_on(struct read_op *op)
{
	uint32_t left = op->end - op->next;
	if (op->next == 0 || !op->follows || !op->in_turn || !op->direct_pinned ||
	    left < READ_DIRECT_MIN || op->asked < READ_DIRECT_MIN)
		return;
	uint32_t end = op->next + (op->asked < left ? (uint32_t)op->asked : left);
	if (io_uncached(op->log->io, op->segment->file.fd, op->next, end - op->next) > 0)
		ahead_start(&op->log->ahead, op->segment, op->next, end);
}

static void read_answer(struct read_op *op, enum err err)
{
	struct log_read *req = op->req;
	const struct log_partition *p = req->partition;
	/* deleted while it was read: which of its transactions were aborted is forgotten by now */
	if (err == ERR_OK && req->read_committed && req->offset < p->log_start)
		err = ERR_OFFSET_OUT_OF_RANGE;
	req->err = err;
	if (err == ERR_OK && req->read_committed)
		req->err = partition_read_aborted(req);
	req->visible_end = p->visible_end;
	req->stable_end = partition_stable_end(p);
	req->log_start = p->log_start;
	req->internal_[READ_OP] = 0;
	if (err == ERR_OK)
		read_on(op);
	read_let_go(op);
	read_later(op->log, req);
	op->log->reads_active--;
	mem_free(op);
}

static void buffer_give(struct log_read *req)
{
	struct tail_block *b = (struct tail_block *)(uintptr_t)req->internal_[READ_BLOCK];
	struct log *log = (struct log *)(uintptr_t)req->internal_[READ_LOG];
	if (b)
		tail_give(&log->tail, b);
	else
		mem_free(req->buffer);
	req->internal_[READ_BLOCK] = 0;
	req->buffer = NULL;
	req->buffer_len = 0;
}

static void block_take(struct read_op *op, struct tail_block *b)
{
	struct log_read *req = op->req;
	buffer_give(req);
	req->internal_[READ_BLOCK] = (uintptr_t)b;
	req->internal_[READ_LOG] = (uintptr_t)op->log;
	req->buffer = b->buf;
}

/*
 * Large buffers come from the tail cache's spare blocks: they are aligned, and fresh memory costs a
 * page fault per 4 KiB each time.
 */
static bool buffer_take(struct read_op *op, size_t len)
{
	struct log_read *req = op->req;
	buffer_give(req);
	if (len < READ_DIRECT_MIN) {
		req->buffer = mem_alloc(len);
		return req->buffer != NULL;
	}
	struct tail_block *b = tail_take(&op->log->tail, len);
	if (!b)
		return false;
	block_take(op, b);
	return true;
}

void log_read_release(struct log_read *req)
{
	buffer_give(req);
	mem_free(req->batches);
	mem_free(req->aborted);
	req->aborted = NULL;
	req->aborted_count = 0;
	req->batches = NULL;
	req->batch_count = 0;
}

/* ---- parsing --------------------------------------------------------------------------------- */

static enum err batches_add(struct log_read *req, size_t *capacity, struct bytes batch)
{
	if (req->batch_count == *capacity) {
		size_t more = *capacity ? *capacity * 2 : 16;
		struct bytes *grown = mem_realloc(req->batches, more * sizeof(*grown));
		if (!grown)
			return ERR_NOMEM;
		req->batches = grown;
		*capacity = more;
	}
	req->batches[req->batch_count++] = batch;
	req->bytes_total += batch.len;
	return ERR_OK;
}

/* The next read goes on at `pos`. */
static void cursor_put(struct read_op *op, uint32_t pos)
{
	struct log_partition *p = op->req->partition;
	size_t count = sizeof(p->cursors) / sizeof(p->cursors[0]);
	p->cursors[p->cursor_next] = (struct partition_cursor){.offset = op->req->next_offset,
	    .segment = op->segment,
	    .pos = pos,
	    .direct = op->follows};
	p->cursor_next = (unsigned)((p->cursor_next + 1) % count);
}

static bool read_submit(struct read_op *op);

/* From the first frame on: an index is a cache, and what it says is not what the log is. */
static void read_walk(struct read_op *op)
{
	diag(DIAG_WARN, "index_bad", "partition=%s segment=%lld offset=%lld reason=\"%s\"",
	    op->req->partition->dir, (long long)op->segment->base_offset, (long long)op->from,
	    err_chain());
	err_clear();
	index_doubt(op->segment);
	op->by_index = false;
	op->walking = true;
	op->pos = SEGMENT_HEADER_BYTES;
	op->entry_len = 0;
}

/*
 * No frame with the offset where the index file says: true when the index may be at fault, and the
 * read goes on from the segment's first frame. Where damage is known already and the index was
 * checked it is the frame: who asks again and again for what is damaged does not have the whole
 * segment read each time.
 */
static bool read_index_lied(struct read_op *op)
{
	const struct index *x = &op->segment->index;
	if (!op->by_index || op->req->batch_count > 0 ||
	    (op->req->partition->damaged && (x->trusted || x->bad)))
		return false;
	read_walk(op);
	op->want = op->end - op->pos < READ_BYTES_MAX ? op->end - op->pos : READ_BYTES_MAX;
	return true;
}

/* A frame that does not verify. What comes before it is still a good answer. */
static enum err read_bad(struct read_op *op, uint32_t pos, int64_t next_offset)
{
	struct log_read *req = op->req;
	partition_damaged(req->partition, op->segment, pos, err_chain());
	if (req->batch_count > 0)
		return ERR_OK;
	req->next_offset = next_offset;
	return err_note(
	    ERR_CORRUPT, "partition %s offset %lld", req->partition->dir, (long long)req->offset);
}

/*
 * No batch in what was read. ERR_AGAIN: only a hole that compaction left, or padding; read on at
 * op->pos. ERR_EOF: the hole reaches to the end of the segment.
 */
static enum err read_nothing(struct read_op *op, size_t at, bool pad)
{
	const struct segment *s = op->segment;
	if (op->from > op->req->offset && op->from >= s->end_offset)
		return ERR_EOF;
	bool on = op->from > op->req->offset || pad || op->walking;
	if (on && at > 0 && op->pos + at < op->end) {
		op->pos += (uint32_t)at;
		size_t want = op->want > READ_BYTES_MIN ? op->want : READ_BYTES_MIN;
		op->want = op->end - op->pos < want ? op->end - op->pos : want;
		return ERR_AGAIN;
	}
	err_note(ERR_CORRUPT, "segment %lld ends before offset %lld", (long long)s->base_offset,
	    (long long)op->from);
	if (read_index_lied(op))
		return ERR_AGAIN;
	return read_bad(op, op->pos, s->end_offset);
}

/*
 * ERR_AGAIN: the first batch is longer than the buffer, or there was none yet; op->want says how
 * much to read. ERR_EOF: the next segment has it.
 */
static enum err read_parse(struct read_op *op)
{
	struct log_read *req = op->req;
	struct segment *s = op->segment;
	size_t at = 0, taken = 0, capacity = 0;
	bool pad = false;
	err_clear();
	while (req->buffer_len - at >= FRAME_HEADER_BYTES) {
		const uint8_t *raw = (const uint8_t *)req->buffer + op->skip + at;
		struct frame f;
		enum err e = frame_decode(raw, s->seed, &f);
		if (e != ERR_OK && at == 0 && read_index_lied(op))
			return ERR_AGAIN;
		if (e != ERR_OK)
			return read_bad(op, op->pos + (uint32_t)at, req->next_offset);
		size_t len = FRAME_HEADER_BYTES + (size_t)f.length;
		pad = (f.flags & FRAME_PAD) != 0;
		int64_t next = f.base_offset + (pad ? 0 : (int64_t)f.last_offset_delta + 1);
		if (f.base_offset >= op->limit && !pad)
			break;
		if (len > req->buffer_len - at) {
			if (req->batch_count > 0 || (op->walking && at > 0))
				break;
			bool cut = req->buffer_len < op->want; /* the file is shorter than it was */
			op->want = at + len;
			if (!cut && op->pos + op->want <= op->end)
				return ERR_AGAIN;
			err_note(ERR_CORRUPT, "frame of %zu bytes is cut off", len);
			return read_bad(op, op->pos + (uint32_t)at, next);
		}
		struct bytes batch = bytes_of(raw + FRAME_HEADER_BYTES, f.length);
		bool empty = (f.flags & (FRAME_PAD | FRAME_HOLE)) != 0;
		if ((f.flags & FRAME_HOLE) && next > op->from) {
			if (frame_check_body(&f, s->seed, batch) != ERR_OK)
				return read_bad(op, op->pos + (uint32_t)at, next);
			if (req->batch_count == 0)
				op->from = next;
		}
		if (!empty && next > op->from) {
			if (req->batch_count > 0 && req->bytes_total + batch.len > req->max_bytes)
				break;
			if (f.base_offset > op->from && req->batch_count == 0) {
				err_note(ERR_CORRUPT, "index points behind offset %lld",
				    (long long)op->from);
				if (read_index_lied(op))
					return ERR_AGAIN;
				return read_bad(op, op->pos + (uint32_t)at, f.base_offset);
			}
			if (frame_check_body(&f, s->seed, batch) != ERR_OK)
				return read_bad(op, op->pos + (uint32_t)at, next);
			TRY(batches_add(req, &capacity, batch));
			req->next_offset = next;
			taken = at + len;
		}
		at += len;
	}
	if (req->batch_count > 0) { /* holes behind the last batch are the next read's */
		op->next = op->pos + (uint32_t)taken;
		cursor_put(op, op->next);
	}
	metric_add(METRIC_FETCH_BYTES, req->bytes_total);
	return req->batch_count > 0 ? ERR_OK : read_nothing(op, at, pad);
}

/* ---- reading --------------------------------------------------------------------------------- */

static void read_segment(struct read_op *op);

/* Nothing but a hole up to the end of the segment. */
static void read_next_segment(struct read_op *op)
{
	log_read_release(op->req);
	read_let_go(op);
	read_segment(op);
}

static void read_done(struct io_req *io)
{
	struct log_read *req = CONTAINER_OF(io, struct log_read, io);
	struct read_op *op = op_of(req);
	if (req->partition->state == PARTITION_DELETED) {
		read_answer(op, ERR_UNKNOWN_TOPIC); /* it may have been another topic's file */
		return;
	}
	if (io->err != ERR_OK) {
		partition_unread(req->partition, op->segment, op->pos, io->err);
		read_answer(op, io->err);
		return;
	}
	size_t got = (size_t)io->result > op->skip ? (size_t)io->result - op->skip : 0;
	req->buffer_len = got < op->want ? got : op->want;
	enum err e = read_parse(op);
	if (e == ERR_EOF) {
		read_next_segment(op);
		return;
	}
	if (e == ERR_AGAIN && read_submit(op))
		return;
	if (e == ERR_AGAIN)
		e = ERR_NOMEM;
	if (e != ERR_OK) {
		int64_t next = req->next_offset;
		log_read_release(req);
		req->next_offset = next;
		req->bytes_total = 0;
	}
	read_answer(op, e);
}

/* Takes the bytes from the tail cache if it has them; the first batch is in one block, whole. */
static bool read_cached(struct read_op *op)
{
	struct log_read *req = op->req;
	struct bytes have = tail_find(&op->log->tail, op->segment, op->pos);
	if (have.len == 0 || op->cache_tried)
		return false;
	op->cache_tried = true;
	size_t len = have.len < op->want ? have.len : op->want;
	if (!buffer_take(op, len))
		return false;
	memcpy(req->buffer, have.ptr, len);
	op->skip = 0;
	op->want = len;
	req->io.err = ERR_OK;
	req->io.result = (int64_t)len;
	read_done(&req->io);
	return true;
}

static void ahead_woken(struct ahead_wait *wait)
{
	struct read_op *op = CONTAINER_OF(wait, struct read_op, ahead);
	if (!read_submit(op))
		read_answer(op, ERR_NOMEM);
}

/* Takes what was read ahead for this one, now or when it comes. */
static bool read_ahead(struct read_op *op)
{
	struct log_read *req = op->req;
	struct ahead_bytes have;
	op->ahead.woken = ahead_woken;
	if (!ahead_take(&op->log->ahead, op->segment, op->pos, &op->ahead, &have))
		return false;
	if (!have.block)
		return true;
	if (op->direct_pinned)
		descriptor_unpin(&op->segment->direct); /* what was read ahead brings its own */
	op->direct_pinned = op->follows = true;
	block_take(op, have.block);
	op->skip = op->pos - have.pos;
	if (op->want > have.len - op->skip)
		op->want = have.len - op->skip;
	req->io.err = ERR_OK;
	req->io.result = (int64_t)have.len;
	read_done(&req->io);
	return true;
}

static bool read_start(struct read_op *op, int fd, uint32_t pos, size_t len)
{
	struct log_read *req = op->req;
	if (!buffer_take(op, len))
		return false;
	op->skip = op->pos - pos;
	req->iov = (struct iovec){req->buffer, len};
	req->io = (struct io_req){.op = IO_READ,
	    .fd = fd,
	    .pos = pos,
	    .iov = &req->iov,
	    .iov_count = 1,
	    .done = read_done};
	io_submit(op->log->io, &req->io);
	return true;
}

/* Whole blocks of what is visible: the file may end behind it, in the middle of one. */
static uint32_t direct_end(const struct read_op *op)
{
	uint64_t end = op->pos + (uint64_t)op->want + IO_DIRECT_ALIGN - 1;
	if (end > op->end)
		end = op->end;
	return (uint32_t)(end / IO_DIRECT_ALIGN * IO_DIRECT_ALIGN);
}

/*
 * Any page that lacks will do: a read through the page cache that misses has the kernel read ahead,
 * 8 MiB on many disks, so that all that follows is found there, at eight times the price.
 */
static bool direct_wanted(const struct read_op *op)
{
	const struct segment *s = op->segment;
	uint32_t end = direct_end(op);
	if (op->direct_failed || op->log->direct_refused || (s->read_direct && !op->follows))
		return false;
	/* the second time it is one batch, which must be there whole */
	bool whole = !op->direct_pinned || end >= op->pos + op->want;
	return whole && end > op->pos && end - op->pos >= READ_DIRECT_MIN &&
	       io_uncached(op->log->io, s->file.fd, op->pos, op->want) > 0;
}

static bool read_direct(struct read_op *op)
{
	uint32_t from = op->pos / IO_DIRECT_ALIGN * IO_DIRECT_ALIGN, end = direct_end(op);
	op->segment->read_direct = op->follows = true;
	if (op->want > end - op->pos)
		op->want = end - op->pos;
	return read_start(op, op->segment->direct.fd, from, end - from);
}

static void direct_opened(struct descriptor_pin *pin)
{
	struct read_op *op = CONTAINER_OF(pin, struct read_op, direct_pin);
	op->direct_pinned = pin->err == ERR_OK;
	op->direct_failed = !op->direct_pinned; /* it is read the other way */
	err_clear();
	if (!read_submit(op))
		read_answer(op, ERR_NOMEM);
}

/* True: read_submit comes again when it is open. */
static bool direct_open(struct read_op *op)
{
	char path[LOG_PATH_MAX], name[SEGMENT_NAME_BYTES];
	struct segment *s = op->segment;
	op->direct_failed =
	    partition_path(s->partition, segment_file_name(s, ".log", name), path) != ERR_OK;
	if (op->direct_failed)
		return false;
	op->direct_pin.done = direct_opened;
	op->direct_pinned = descriptor_pin(&s->direct, path, &op->direct_pin);
	return !op->direct_pinned;
}

/* False when there is no memory. */
static bool read_submit(struct read_op *op)
{
	if (read_cached(op) || read_ahead(op))
		return true;
	if (direct_wanted(op)) {
		if (!op->direct_pinned && direct_open(op))
			return true;
		if (op->direct_pinned)
			return read_direct(op);
	}
	return read_start(op, op->segment->file.fd, op->pos, op->want);
}

static void read_sized(struct read_op *op)
{
	const struct log_read *req = op->req;
	size_t want = req->max_bytes < READ_BYTES_MAX ? req->max_bytes : READ_BYTES_MAX;
	if (op->walking)
		want = READ_BYTES_MAX;
	if (want < READ_BYTES_MIN)
		want = READ_BYTES_MIN;
	if (want < op->entry_len)
		want = op->entry_len;
	if (want > op->end - op->pos)
		want = op->end - op->pos;
	op->want = op->asked = want;
	if (!read_submit(op))
		read_answer(op, ERR_NOMEM);
}

static void pin_done(struct descriptor_pin *pin)
{
	struct read_op *op = CONTAINER_OF(pin, struct read_op, pin);
	op->pinned = pin->err == ERR_OK;
	if (op->pinned)
		read_sized(op);
	else
		read_answer(op,
		    op->req->partition->state == PARTITION_DELETED ? ERR_UNKNOWN_TOPIC : pin->err);
}

static void read_pin(struct read_op *op)
{
	char path[LOG_PATH_MAX], name[SEGMENT_NAME_BYTES];
	struct segment *s = op->segment;
	enum err e = partition_path(s->partition, segment_file_name(s, ".log", name), path);
	if (e != ERR_OK) {
		read_answer(op, e);
		return;
	}
	op->pin.done = pin_done;
	if (descriptor_pin(&s->file, path, &op->pin))
		pin_done(&op->pin);
}

/* ---- where ----------------------------------------------------------------------------------- */

static void located(struct lookup *l)
{
	struct read_op *op = CONTAINER_OF(l, struct read_op, lookup);
	if (op->req->partition->state == PARTITION_DELETED) {
		read_answer(op, ERR_UNKNOWN_TOPIC); /* its files went away meanwhile */
		return;
	}
	if (l->err != ERR_OK && l->err != ERR_NOT_FOUND && l->err != ERR_EOF && l->err != ERR_IO) {
		read_answer(op, l->err);
		return;
	}
	if (l->err == ERR_IO) { /* the frames are another file */
		err_note(ERR_IO, "the index cannot be read");
		read_walk(op);
	} else if (l->err != ERR_OK || l->entry.pos < SEGMENT_HEADER_BYTES ||
	           l->entry.pos >= op->end || l->entry.len > op->end - l->entry.pos) {
		err_note(ERR_CORRUPT, "no such entry, or one out of range");
		read_walk(op);
	} else {
		op->by_index = true;
		op->pos = l->entry.pos;
		op->entry_len = l->entry.len;
	}
	read_pin(op);
}

static bool cursor_find(struct read_op *op)
{
	const struct log_partition *p = op->req->partition;
	const struct segment *s = op->segment;
	if (op->from == s->base_offset) {
		op->pos = SEGMENT_HEADER_BYTES;
		op->in_turn = true;
		return true;
	}
	for (size_t i = 0; i < sizeof(p->cursors) / sizeof(p->cursors[0]); i++) {
		if (p->cursors[i].segment == s && p->cursors[i].offset == op->from) {
			op->pos = p->cursors[i].pos;
			op->follows = p->cursors[i].direct;
			op->in_turn = true;
			return true;
		}
	}
	return false;
}

static void read_locate(struct read_op *op)
{
	struct index_probe probe = {INDEX_BY_OFFSET, (uint64_t)op->from};
	op->by_index = op->walking = false;
	if (cursor_find(op) && op->pos < op->end) {
		read_pin(op);
		return;
	}
	if (lookup_start(&op->lookup, op->segment, probe, located))
		located(&op->lookup);
}

/* ---- the call -------------------------------------------------------------------------------- */

/* The segment that holds op->from. */
static void read_segment(struct read_op *op)
{
	struct log_read *req = op->req;
	struct log_partition *p = req->partition;
	if (op->from >= op->limit) {
		read_answer(op, ERR_OK);
		return;
	}
	if (op->from < p->log_start) { /* deleted while the hole before it was read */
		read_answer(op, ERR_OFFSET_OUT_OF_RANGE);
		return;
	}
	struct segment *s = partition_segment_of(p, op->from);
	if (!s || op->from >= s->end_offset) {
		/* between two segments: what was there is MISSING */
		struct list_node *next = s ? s->node.next : list_first(&p->segments);
		req->next_offset = !next || next == &p->segments.head
		                       ? p->visible_end
		                       : CONTAINER_OF(next, struct segment, node)->base_offset;
		read_answer(op, err_note(ERR_CORRUPT, "partition %s: offset %lld is missing",
		                    p->dir, (long long)op->from));
		return;
	}
	s->holds++;
	op->segment = s;
	op->end = s->size;
	read_locate(op);
}

static void read_begin(struct read_op *op)
{
	struct log_read *req = op->req;
	struct log_partition *p = req->partition;
	if (p->state != PARTITION_OPEN) {
		read_answer(op, ERR_UNKNOWN_TOPIC);
		return;
	}
	if (req->offset < p->log_start || req->offset > p->log_end) {
		read_answer(op, ERR_OFFSET_OUT_OF_RANGE);
		return;
	}
	op->limit = req->read_committed ? partition_stable_end(p) : p->visible_end;
	op->from = req->offset;
	read_segment(op);
}

static void read_loaded(struct log_producers_load *w)
{
	struct read_op *op = CONTAINER_OF(w, struct read_op, load);
	if (w->err == ERR_OK)
		read_begin(op);
	else
		read_answer(op, w->err);
}

static void read_load(struct read_op *op)
{
	struct log_partition *p = op->req->partition;
	if (!op->req->read_committed || p->state != PARTITION_OPEN || partition_aborted_known(p)) {
		read_begin(op);
		return;
	}
	op->load.done = read_loaded;
	partition_load_and(p, &op->load);
}

void log_read(struct log *log, struct log_read *req)
{
	loop_assert_owner(log->loop);
	ASSERT(req->partition->log == log && req->done);
	req->batches = NULL;
	req->aborted = NULL;
	req->aborted_count = 0;
	req->buffer = NULL;
	req->batch_count = req->bytes_total = req->buffer_len = 0;
	req->next_offset = req->offset;
	memset(req->internal_, 0, sizeof(req->internal_));
	partition_ref(req->partition);
	struct read_op *op = mem_calloc(1, sizeof(*op));
	if (!op) {
		req->err = ERR_NOMEM;
		read_later(log, req);
		return;
	}
	op->req = req;
	op->log = log;
	req->internal_[READ_OP] = (uintptr_t)op;
	log->reads_active++;
	tail_reader(&log->tail, loop_now_ns(log->loop));
	read_load(op);
}
