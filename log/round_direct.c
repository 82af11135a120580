/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DIRECT frames of a round: their memory, which is aligned and becomes the tail cache, and the
 * flush of their segments.
 *
 * Order (rule 1 of the append path, io_uring traps): the stretch's writes, all of them; then one
 * fdatasync of the segment; the journal's write and flush run beside. The segment file's name
 * became durable when it was created (segment_file_create), before anything could be appended to
 * it. Two stretches of one segment in a round are flushed once, behind the last of their writes.
 */
#include "log/batch.h"
#include "log/engine.h"

bool round_is_direct(const struct log_append *req)
{
	const struct log *log = req->partition->log;
	size_t from = log->options.direct_bytes;
	if (log->rounds.last_bytes >= from)
		from /= ROUND_DIRECT_BUSY;
	return req->batch_len >= from && !log->direct_refused &&
	       (batch_peek(req->batch).attributes & BATCH_ATTR_CONTROL) == 0;
}

uint32_t round_pad_bytes(uint32_t len)
{
	uint32_t over = len % ROUND_TAIL_BLOCK;
	if (over == 0)
		return 0;
	uint32_t pad = ROUND_TAIL_BLOCK - over;
	return pad >= FRAME_HEADER_BYTES ? pad : pad + ROUND_TAIL_BLOCK;
}

size_t round_direct_bytes(size_t batch_len)
{
	uint32_t len = (uint32_t)(FRAME_HEADER_BYTES + batch_len);
	return len + round_pad_bytes(len);
}

enum err round_block_reserve(struct rounds *rs, size_t batch_len)
{
	struct tail_block *b = tail_take(&rs->log->tail, round_direct_bytes(batch_len));
	if (!b)
		return ERR_NOMEM;
	list_push_back(&rs->blocks, &b->node);
	return ERR_OK;
}

void round_blocks_return(struct rounds *rs)
{
	struct list_node *n;
	while ((n = list_pop_front(&rs->blocks)))
		tail_give(&rs->log->tail, CONTAINER_OF(n, struct tail_block, node));
}

struct tail_block *round_block_use(struct rounds *rs, struct round_stretch *st, size_t batch_len)
{
	size_t len = round_direct_bytes(batch_len);
	struct tail_block *b = NULL;
	LIST_EACH (&rs->blocks, n, next) {
		b = CONTAINER_OF(n, struct tail_block, node);
		if (b->capacity >= len)
			break;
	}
	ASSERT(b && b->capacity >= len); /* its own is there unless a larger one is */
	list_remove(&b->node);
	b->pos = st->to;
	b->len = (uint32_t)len;
	ASSERT(b->pos % IO_DIRECT_ALIGN == 0 && b->len % IO_DIRECT_ALIGN == 0);
	ASSERT(st->iov_count < st->iov_capacity);
	st->iov[st->iov_count++] = (struct iovec){b->buf, b->len};
	list_push_back(&st->blocks, &b->node);
	return b;
}

static void segment_flush_done(struct io_req *io)
{
	struct round_stretch *st = CONTAINER_OF(io, struct round_stretch, io);
	struct round *r = st->round;
	r->airborne--;
	r->flushes_left--;
	if (io->err != ERR_OK) {
		/* As with the journal: never a second flush. */
		r->failed = true;
		engine_fail(r->rounds->log, io->err, "flush of a segment");
	}
	round_write_tails(r);
	round_landed(r);
}

void round_direct_flush(struct round *r)
{
	LIST_EACH (&r->stretches, n, next) {
		struct round_stretch *st = CONTAINER_OF(n, struct round_stretch, node);
		if (!st->direct || st->segment->direct_round == r->number)
			continue;
		st->segment->direct_round = r->number;
		st->io = (struct io_req){
		    .op = IO_FDATASYNC, .fd = st->segment->direct.fd, .done = segment_flush_done};
		r->airborne++;
		r->flushes_left++;
		io_submit(r->rounds->log->io, &st->io);
	}
}

void round_direct_end(struct round_stretch *st, bool keep)
{
	struct log *log = st->round->rounds->log;
	struct tail *t = &log->tail;
	struct list_node *n;
	while ((n = list_pop_front(&st->blocks))) {
		struct tail_block *b = CONTAINER_OF(n, struct tail_block, node);
		if (keep)
			tail_keep(t, b, st->segment, loop_now_ns(log->loop));
		else
			tail_give(t, b);
	}
}
