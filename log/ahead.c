/* SPDX-License-Identifier: Apache-2.0 */
/* Reading ahead: see ahead.h. There are a dozen reads at most, so a search is a walk. */
#include "log/ahead.h"
#include "log/engine.h"
#include "log/partition_drop.h"

struct ahead_read {
	struct list_node node;
	struct ahead *ahead;
	struct segment *segment; /* held, its direct descriptor pinned */
	uint32_t from;           /* where the next read begins */
	uint32_t pos, len;       /* what is read: whole blocks */
	struct tail_block *block;
	bool busy;
	bool unwanted; /* dropped when it comes back */
	int64_t since_ns;
	struct ahead_wait *wait;
	struct iovec iov;
	struct io_req io;
};

static struct ahead_read *read_of(struct list_node *n)
{
	return CONTAINER_OF(n, struct ahead_read, node);
}

static void read_free(struct ahead_read *r)
{
	list_remove(&r->node);
	r->ahead->bytes -= r->block ? r->block->capacity : 0;
	if (r->block)
		tail_give(&r->ahead->log->tail, r->block);
	mem_free(r);
}

static void read_drop(struct ahead_read *r)
{
	struct segment *s = r->segment;
	ASSERT(!r->busy && !r->wait);
	read_free(r);
	descriptor_unpin(&s->direct);
	segment_unhold(s);
}

/* Drops what was there before `before_ns`. */
static void drop_old(struct ahead *a, int64_t before_ns)
{
	LIST_EACH (&a->reads, n, next) {
		struct ahead_read *r = read_of(n);
		if (!r->busy && r->since_ns <= before_ns)
			read_drop(r);
	}
}

static void keep_ended(struct loop_timer *timer)
{
	struct ahead *a = CONTAINER_OF(timer, struct ahead, timer);
	int64_t now = loop_now_ns(a->log->loop);
	drop_old(a, now - AHEAD_KEEP_NS);
	if (!list_empty(&a->reads))
		loop_timer_set(a->log->loop, &a->timer, now + AHEAD_KEEP_NS);
}

void ahead_init(struct ahead *a, struct log *log)
{
	*a = (struct ahead){.log = log};
	list_init(&a->reads);
	loop_timer_init(&a->timer, keep_ended);
}

void ahead_stop(struct ahead *a)
{
	ASSERT(a->log->closing);
	loop_timer_cancel(a->log->loop, &a->timer);
	drop_old(a, INT64_MAX);
}

static void read_done(struct io_req *io)
{
	struct ahead_read *r = CONTAINER_OF(io, struct ahead_read, io);
	struct log *log = r->ahead->log;
	struct ahead_wait *wait = r->wait;
	r->busy = false;
	r->wait = NULL;
	r->since_ns = loop_now_ns(log->loop);
	log->reads_active--;
	if (io->err != ERR_OK || io->result != (int64_t)r->len || r->unwanted || log->closing) {
		err_clear();
		read_drop(r);
	} else if (!loop_timer_is_set(&r->ahead->timer)) {
		loop_timer_set(log->loop, &r->ahead->timer, r->since_ns + AHEAD_KEEP_NS);
	}
	if (wait) {
		wait->read = NULL;
		wait->woken(wait);
	}
}

static struct ahead_read *read_find(struct ahead *a, const struct segment *s, uint32_t from)
{
	LIST_EACH (&a->reads, n, next)
		if (read_of(n)->segment == s && read_of(n)->from == from)
			return read_of(n);
	return NULL;
}

static void read_submit(struct ahead_read *r)
{
	struct log *log = r->ahead->log;
	struct segment *s = r->segment;
	s->holds++;
	descriptor_hold(&s->direct);
	log->reads_active++;
	r->busy = true;
	r->iov = (struct iovec){r->block->buf, r->len};
	r->io = (struct io_req){.op = IO_READ,
	    .fd = s->direct.fd,
	    .pos = r->pos,
	    .iov = &r->iov,
	    .iov_count = 1,
	    .done = read_done};
	io_submit(log->io, &r->io);
}

void ahead_start(struct ahead *a, struct segment *s, uint32_t from, uint32_t end)
{
	uint32_t pos = from / IO_DIRECT_ALIGN * IO_DIRECT_ALIGN,
	         stop = end / IO_DIRECT_ALIGN * IO_DIRECT_ALIGN;
	ASSERT(end <= s->size && s->direct.state == DESCRIPTOR_OPEN);
	if (a->log->closing || s->gone || stop <= from || a->bytes >= AHEAD_BYTES_MAX ||
	    stop - pos > AHEAD_BYTES_MAX - a->bytes || read_find(a, s, from))
		return;
	struct ahead_read *r = mem_calloc(1, sizeof(*r));
	struct tail_block *block = r ? tail_take(&a->log->tail, stop - pos) : NULL;
	if (!block) {
		mem_free(r);
		return;
	}
	*r = (struct ahead_read){
	    .ahead = a, .segment = s, .from = from, .pos = pos, .len = stop - pos, .block = block};
	a->bytes += block->capacity;
	list_push_back(&a->reads, &r->node);
	read_submit(r);
}

bool ahead_take(struct ahead *a, const struct segment *s, uint32_t from, struct ahead_wait *wait,
    struct ahead_bytes *ret_bytes)
{
	struct ahead_read *r = read_find(a, s, from);
	*ret_bytes = (struct ahead_bytes){0};
	if (!r || r->wait || r->unwanted)
		return false; /* a second one reads by itself */
	if (r->busy) {
		r->wait = wait;
		wait->read = r;
		return true;
	}
	*ret_bytes = (struct ahead_bytes){r->block, r->pos, r->len};
	a->bytes -= r->block->capacity;
	r->block = NULL;
	struct segment *held = r->segment;
	read_free(r);
	segment_unhold(held);
	return true;
}

void ahead_forget(struct ahead *a, const struct segment *s)
{
	LIST_EACH (&a->reads, n, next) {
		struct ahead_read *r = read_of(n);
		if (r->segment != s)
			continue;
		if (r->busy)
			r->unwanted = !r->wait;
		else
			read_drop(r);
	}
}
