/* SPDX-License-Identifier: Apache-2.0 */
/* Writing behind: see behind.h. */
#include "log/behind.h"
#include "log/engine.h"
#include "log/partition_drop.h"

void behind_init(struct behind *b, struct log *log)
{
	*b = (struct behind){.log = log};
	list_init(&b->ready);
	list_init(&b->rest);
}

/* Whole pages that nobody has asked to be written; the last one will be written on. */
static uint32_t behind_bytes(const struct segment *s)
{
	uint32_t end = s->durable_size / IO_DIRECT_ALIGN * IO_DIRECT_ALIGN;
	return end > s->behind_from ? end - s->behind_from : 0;
}

static void behind_run(struct behind *b);

static void request_done(struct io_req *io)
{
	struct behind_request *r = CONTAINER_OF(io, struct behind_request, io);
	struct segment *s = r->segment;
	struct log *log = s->partition->log;
	/* its error is nobody's: the checkpoint's flush meets it too, and says so */
	err_clear();
	r->segment = NULL;
	log->behind.out--;
	descriptor_unpin(&s->file);
	segment_unhold(s);
	behind_run(&log->behind);
}

static void request_start(struct behind *b, struct behind_request *r, struct segment *s)
{
	uint32_t len = behind_bytes(s);
	list_remove(&s->behind_node);
	if (len == 0)
		return;
	r->segment = s;
	r->range = (struct iovec){NULL, len};
	r->io = (struct io_req){.op = IO_WRITEBACK,
	    .fd = s->file.fd,
	    .pos = s->behind_from,
	    .iov = &r->range,
	    .iov_count = 1,
	    .done = request_done};
	s->behind_from += len;
	s->holds++;
	descriptor_hold(&s->file);
	b->out++;
	io_submit(b->log->io, &r->io);
}

static struct segment *behind_next(struct behind *b)
{
	struct list_node *n = list_first(&b->ready);
	if (n)
		return CONTAINER_OF(n, struct segment, behind_node);
	n = b->rest_bytes > BEHIND_BYTES_MAX ? list_first(&b->rest) : NULL;
	if (!n)
		return NULL;
	struct segment *s = CONTAINER_OF(n, struct segment, behind_node);
	b->rest_bytes -= s->behind_counted;
	s->behind_counted = 0;
	return s;
}

static void behind_run(struct behind *b)
{
	for (int i = 0; i < BEHIND_REQUESTS && !b->log->failed; i++) {
		struct segment *s = NULL;
		if (!b->request[i].segment)
			s = behind_next(b);
		if (s)
			request_start(b, &b->request[i], s);
	}
}

void behind_add(struct behind *b, struct segment *s)
{
	ASSERT(s->dirty);
	uint32_t len = behind_bytes(s);
	if (len == 0)
		return;
	b->rest_bytes -= s->behind_counted;
	s->behind_counted = len < BEHIND_BLOCK_BYTES ? len : 0;
	b->rest_bytes += s->behind_counted;
	if (s->behind_counted == 0) {
		list_remove(&s->behind_node);
		list_push_back(&b->ready, &s->behind_node);
	} else if (!list_linked(&s->behind_node)) {
		list_push_back(&b->rest, &s->behind_node);
	}
	behind_run(b);
}

void behind_forget(struct behind *b, struct segment *s)
{
	list_remove(&s->behind_node);
	b->rest_bytes -= s->behind_counted;
	s->behind_counted = 0;
	s->behind_from = s->durable_size / IO_DIRECT_ALIGN * IO_DIRECT_ALIGN;
}
