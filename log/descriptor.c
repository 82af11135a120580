/* SPDX-License-Identifier: Apache-2.0 */
/* The descriptor cache: see descriptor.h. */
#include "log/descriptor.h"
#include "log/engine.h"

struct descriptor_close {
	struct pool_job job;
	struct descriptors *cache;
	int fd;
};

void descriptors_init(struct descriptors *c, struct log *log, size_t max)
{
	*c = (struct descriptors){.log = log, .max = max};
	list_init(&c->idle);
}

void descriptor_init(struct descriptor *d, struct descriptors *cache, unsigned flags)
{
	*d = (struct descriptor){.fd = -1, .cache = cache, .flags = flags};
	list_node_init(&d->idle_node);
	list_init(&d->waiting);
}

bool descriptors_full(const struct descriptors *c)
{
	return c->open >= c->max && list_empty(&c->idle);
}

static void close_now(struct descriptors *c, int fd)
{
	if (io_close(c->log->io, fd) != ERR_OK) {
		diag(DIAG_WARN, "segment_close", "error=\"%s\"", err_chain());
		err_clear();
	}
}

static void close_run(struct pool_job *job)
{
	struct descriptor_close *x = CONTAINER_OF(job, struct descriptor_close, job);
	close_now(x->cache, x->fd);
}

static void close_done(struct pool_job *job)
{
	struct descriptor_close *x = CONTAINER_OF(job, struct descriptor_close, job);
	x->cache->closing--;
	mem_free(x);
}

/* Closes on the pool; right here when there is no memory or room for that. */
static void close_later(struct descriptors *c, int fd)
{
	struct descriptor_close *x = mem_calloc(1, sizeof(*x));
	if (!x) {
		close_now(c, fd);
		return;
	}
	*x = (struct descriptor_close){
	    .job = {.run = close_run, .done = close_done}, .cache = c, .fd = fd};
	c->closing++;
	if (pool_submit(c->log->loop, &x->job) != ERR_OK) {
		close_now(c, fd);
		c->closing--;
		mem_free(x);
	}
}

static void descriptor_close(struct descriptor *d, bool later)
{
	ASSERT(d->state == DESCRIPTOR_OPEN && d->pins == 0);
	if (later)
		close_later(d->cache, d->fd);
	else
		close_now(d->cache, d->fd);
	list_remove(&d->idle_node);
	d->fd = -1;
	d->wanted = false;
	d->state = DESCRIPTOR_CLOSED;
	d->cache->open--;
}

static void descriptors_trim(struct descriptors *c)
{
	LIST_EACH (&c->idle, n, next) {
		struct descriptor *d = CONTAINER_OF(n, struct descriptor, idle_node);
		if (c->open <= c->max)
			break;
		if (!d->wanted)
			descriptor_close(d, true);
	}
}

void descriptor_release(struct descriptor *d)
{
	ASSERT(d->pins == 0 && d->state != DESCRIPTOR_OPENING && list_empty(&d->waiting));
	if (d->state == DESCRIPTOR_OPEN)
		descriptor_close(d, false);
}

void descriptor_discard(struct descriptor *d)
{
	ASSERT(d->pins == 0 && d->state != DESCRIPTOR_OPENING);
	if (d->state == DESCRIPTOR_OPEN)
		descriptor_close(d, true);
}

static void open_run(struct pool_job *job)
{
	struct descriptor *d = CONTAINER_OF(job, struct descriptor, job);
	err_clear();
	d->err = io_open(d->cache->log->io, d->path, d->flags, &d->fd);
	if (d->err != ERR_OK && !((d->flags & IO_DIRECT) && d->err == ERR_UNSUPPORTED))
		diag(DIAG_ERROR, "segment_open", "path=%s error=\"%s\"", d->path, err_chain());
}

static void open_done(struct pool_job *job)
{
	struct descriptor *d = CONTAINER_OF(job, struct descriptor, job);
	struct list waiting;
	struct list_node *n;
	enum err e = d->err;

	loop_assert_owner(d->cache->log->loop);
	mem_free(d->path);
	d->path = NULL;
	list_init(&waiting);
	while ((n = list_pop_front(&d->waiting)))
		list_push_back(&waiting, n);
	if (e == ERR_OK) {
		d->state = DESCRIPTOR_OPEN;
		d->pins = 0;
	} else {
		d->state = DESCRIPTOR_CLOSED;
		d->fd = -1;
		d->cache->open--;
	}
	/* all at once, so that a callback cannot close it under the next; the last of them may let
	 * go of a segment that is gone, and of the descriptor with it */
	ASSERT(!list_empty(&waiting));
	LIST_EACH (&waiting, w, next)
		d->pins += e == ERR_OK;
	while ((n = list_pop_front(&waiting))) {
		struct descriptor_pin *pin = CONTAINER_OF(n, struct descriptor_pin, node);
		pin->err = e;
		pin->done(pin);
	}
}

static void descriptor_failed(struct mail *mail)
{
	struct descriptor *d = CONTAINER_OF(mail, struct descriptor, failed);
	open_done(&d->job);
}

bool descriptor_pin(struct descriptor *d, const char *path, struct descriptor_pin *pin)
{
	loop_assert_owner(d->cache->log->loop);
	if (d->state == DESCRIPTOR_OPEN) {
		if (d->pins++ == 0)
			list_remove(&d->idle_node);
		pin->err = ERR_OK;
		return true;
	}
	list_push_back(&d->waiting, &pin->node);
	if (d->state == DESCRIPTOR_OPENING)
		return false;
	d->state = DESCRIPTOR_OPENING;
	d->cache->open++;
	descriptors_trim(d->cache);
	d->path = mem_strdup(str_of(path));
	d->job = (struct pool_job){.run = open_run, .done = open_done};
	/* d->err is the job's from here on */
	enum err e = d->path ? pool_submit(d->cache->log->loop, &d->job) : ERR_NOMEM;
	if (e != ERR_OK) { /* told through the loop, never from inside this call */
		d->err = e;
		mem_free(d->path);
		d->path = NULL;
		d->failed.run = descriptor_failed;
		loop_defer(d->cache->log->loop, &d->failed);
	}
	return false;
}

void descriptor_adopt(struct descriptor *d, int fd)
{
	ASSERT(d->state == DESCRIPTOR_CLOSED && fd >= 0);
	d->fd = fd;
	d->state = DESCRIPTOR_OPEN;
	d->pins = 1;
	d->cache->open++;
	descriptors_trim(d->cache);
}

void descriptor_want(struct descriptor *d, bool wanted)
{
	d->wanted = wanted;
	if (!wanted)
		descriptors_trim(d->cache);
}

void descriptor_hold(struct descriptor *d)
{
	ASSERT(d->state == DESCRIPTOR_OPEN);
	d->wanted = false;
	if (d->pins++ == 0)
		list_remove(&d->idle_node);
}

void descriptor_unpin(struct descriptor *d)
{
	ASSERT(d->state == DESCRIPTOR_OPEN && d->pins > 0);
	if (--d->pins > 0)
		return;
	list_push_back(&d->cache->idle, &d->idle_node);
	descriptors_trim(d->cache);
}
