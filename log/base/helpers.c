/* SPDX-License-Identifier: Apache-2.0 */
#include "helpers.h"

#include "io_posix.h"
#include "list.h"
#include "mem.h"
#include "thread.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { THREADS_MAX = 16 };

struct helpers {
	struct io *io;
	unsigned threads_max;
	unsigned threads_started;
	struct thread threads[THREADS_MAX];

	struct mutex mutex; /* covers what follows */
	struct cond work;
	struct io_req *queue, *queue_last; /* doubly linked: cancel takes from the middle */
	size_t queued;
	struct io_req *finished;
	struct io_req **finished_tail;
	unsigned idle;
	bool waiting; /* the loop's thread sleeps or is about to */
	bool stop;
};

static int64_t file_call(struct io_req *req)
{
	ssize_t n;
	if (req->op == IO_FDATASYNC) {
		n = fdatasync(req->fd);
		return n < 0 ? -errno : 0;
	}
	if (req->op == IO_WRITEBACK) {
		n = sync_file_range(
		    req->fd, (off_t)req->pos, (off_t)req->iov->iov_len, SYNC_FILE_RANGE_WRITE);
		return n < 0 ? -errno : 0;
	}
	const struct iovec *iov;
	int count = io_req_rest(req, &iov);
	off_t pos = (off_t)(req->pos + req->moved);
	if (req->op == IO_READ)
		n = preadv(req->fd, iov, count, pos);
	else if (req->op == IO_WRITE)
		n = pwritev(req->fd, iov, count, pos);
	else
		n = pwritev2(req->fd, iov, count, pos, RWF_DSYNC);
	return n < 0 ? -errno : n;
}

static void run(struct io_req *req)
{
	while (!io_req_advance(req, file_call(req)))
		;
}

bool helpers_read_cached(struct io_req *req)
{
	/* direct reads have no cache to be served from, and would wait for the disk here */
	int flags = fcntl(req->fd, F_GETFL);
	if (flags < 0 || (flags & O_DIRECT))
		return false;
	ssize_t n = preadv2(req->fd, req->iov, req->iov_count, (off_t)req->pos, RWF_NOWAIT);
	if (n <= 0)
		return false;
	if (io_req_advance(req, n))
		return true;
	/* partly cached: a helper reads the whole */
	req->moved = 0;
	return false;
}

/* With the lock held. */
static void queue_remove(struct helpers *h, struct io_req *req)
{
	if (req->prev)
		req->prev->next = req->next;
	else
		h->queue = req->next;
	if (req->next)
		req->next->prev = req->prev;
	else
		h->queue_last = req->prev;
	req->next = req->prev = NULL;
	h->queued--;
}

static void queue_push(struct helpers *h, struct io_req *req)
{
	req->next = NULL;
	req->prev = h->queue_last;
	if (h->queue_last)
		h->queue_last->next = req;
	else
		h->queue = req;
	h->queue_last = req;
	h->queued++;
}

/* With the lock held; gives it up while the request runs. */
static void serve_one(struct helpers *h)
{
	struct io_req *req = h->queue;
	queue_remove(h, req);
	mutex_unlock(&h->mutex);
	run(req);
	mutex_lock(&h->mutex);
	*h->finished_tail = req;
	h->finished_tail = &req->next;
	bool wake = h->waiting;
	h->waiting = false;
	if (wake)
		io_wake(h->io);
}

static void serve(void *arg)
{
	struct helpers *h = arg;
	mutex_lock(&h->mutex);
	while (!h->stop || h->queue) {
		if (h->queue) {
			serve_one(h);
			continue;
		}
		h->idle++;
		cond_wait(&h->work, &h->mutex);
		h->idle--;
	}
	mutex_unlock(&h->mutex);
}

enum err helpers_new(struct io *io, unsigned threads_max, struct helpers **ret_helpers)
{
	ASSERT(threads_max > 0 && threads_max <= THREADS_MAX);
	struct helpers *h = mem_calloc(1, sizeof(*h));
	if (!h)
		return err_note(ERR_NOMEM, "I/O helpers");
	h->io = io;
	h->threads_max = threads_max;
	h->finished_tail = &h->finished;
	mutex_init(&h->mutex);
	cond_init(&h->work);
	*ret_helpers = h;
	return ERR_OK;
}

void helpers_free(struct helpers *h)
{
	if (!h)
		return;
	mutex_lock(&h->mutex);
	h->stop = true;
	cond_broadcast(&h->work);
	mutex_unlock(&h->mutex);
	for (unsigned i = 0; i < h->threads_started; i++)
		thread_join(&h->threads[i]);
	cond_release(&h->work);
	mutex_release(&h->mutex);
	mem_free(h);
}

enum err helpers_add(struct helpers *h, struct io_req *req)
{
	mutex_lock(&h->mutex);
	bool more = h->threads_started < h->threads_max && h->idle <= h->queued;
	mutex_unlock(&h->mutex);
	if (more) {
		struct thread *t = &h->threads[h->threads_started];
		size_t mark = err_mark();
		enum err e = thread_start(t, "kappa-io", serve, h);
		if (e != ERR_OK && h->threads_started == 0)
			return e;
		/* fewer threads are slower, not wrong */
		if (e != ERR_OK)
			err_rewind(mark);
		else
			h->threads_started++;
	}
	mutex_lock(&h->mutex);
	queue_push(h, req);
	cond_signal(&h->work);
	mutex_unlock(&h->mutex);
	return ERR_OK;
}

bool helpers_cancel(struct helpers *h, struct io_req *req)
{
	mutex_lock(&h->mutex);
	bool queued = false;
	for (struct io_req *q = h->queue; q && !queued; q = q->next)
		queued = q == req;
	if (queued)
		queue_remove(h, req);
	mutex_unlock(&h->mutex);
	return queued;
}

bool helpers_before_wait(struct helpers *h)
{
	mutex_lock(&h->mutex);
	bool finished = h->finished;
	h->waiting = !finished;
	mutex_unlock(&h->mutex);
	return finished;
}

struct io_req *helpers_take(struct helpers *h)
{
	mutex_lock(&h->mutex);
	h->waiting = false;
	*h->finished_tail = NULL;
	struct io_req *first = h->finished;
	h->finished = NULL;
	h->finished_tail = &h->finished;
	mutex_unlock(&h->mutex);
	return first;
}
