/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flush at the end of recovery. What the journal put back is in many files, and each fdatasync
 * waits for the disk: so they are handed over together, and a start takes a few flushes' time
 * instead of one per segment. Only segments count: an index is a cache, and writing it (a new file,
 * its flush, the directory's) can wait until the log is served.
 */
#include "log/engine.h"
#include "log/recovery.h"

enum { FLUSHES_MAX = 64 /* at once */ };

struct flush {
	struct io_req io;
	struct segment *segment; /* NULL = free */
	struct recovery *r;
	enum err *err;
	unsigned *out;
};

static void flush_done(struct io_req *io)
{
	struct flush *f = CONTAINER_OF(io, struct flush, io);
	if (io->err != ERR_OK && *f->err == ERR_OK)
		*f->err = err_note(io->err, "flush of segment %lld of %s",
		    (long long)f->segment->base_offset, f->segment->partition->dir);
	list_push_back(&f->r->flushed, &f->segment->dirty_node);
	f->segment = NULL;
	--*f->out;
}

static void flush_submit(struct flush *f, struct segment *s)
{
	f->segment = s;
	f->io = (struct io_req){.op = IO_FDATASYNC, .fd = s->file.fd, .done = flush_done};
	++*f->out;
	io_submit(f->r->log->io, &f->io);
}

enum err recovery_flush_segments(struct recovery *r)
{
	struct checkpointer *c = &r->log->checkpointer;
	struct flush *flush = mem_calloc(FLUSHES_MAX, sizeof(*flush));
	enum err err = ERR_OK, turned = ERR_OK;
	unsigned out = 0;
	if (!flush)
		return ERR_NOMEM;
	loop_timer_cancel(r->log->loop, &c->timer); /* no checkpoint before recovery has ended */
	while (turned == ERR_OK && (out > 0 || (err == ERR_OK && !list_empty(&c->dirty)))) {
		for (int i = 0; i < FLUSHES_MAX && err == ERR_OK && !list_empty(&c->dirty); i++) {
			struct list_node *n = flush[i].segment ? NULL : list_pop_front(&c->dirty);
			if (!n)
				continue;
			c->dirty_count--;
			flush[i] = (struct flush){.r = r, .err = &err, .out = &out};
			flush_submit(&flush[i], CONTAINER_OF(n, struct segment, dirty_node));
		}
		if (out > 0)
			turned = loop_step(r->log->loop, 10 * MS_NS);
	}
	TRY(turned); /* the requests are still the kernel's */
	mem_free(flush);
	if (err != ERR_OK)
		engine_fail(r->log, err, "flush of a segment"); /* never a second one */
	return err;
}

void recovery_flushed_return(struct recovery *r)
{
	struct list_node *n;
	while ((n = list_pop_front(&r->flushed)))
		checkpoint_take_back(
		    &r->log->checkpointer, CONTAINER_OF(n, struct segment, dirty_node));
}

void recovery_flushed_forget(struct recovery *r)
{
	struct list_node *n;
	while ((n = list_pop_front(&r->flushed))) {
		struct segment *s = CONTAINER_OF(n, struct segment, dirty_node);
		s->dirty = false;
		descriptor_unpin(&s->file);
	}
}
