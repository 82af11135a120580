/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The I/O backend for kernels that refuse io_uring: file requests go to helper threads (helpers.h),
 * sockets to epoll. A read that the page cache can serve, and a socket call that need not wait, are
 * done at once in submit; they still complete from the next poll.
 *
 * Where a request is (req->state) and what moves it:
 *   READY    in `ready`, has its result                 submit, socket_event, helpers_take -> poll
 *            runs done
 *   PARKED   in watches[fd], waits for the socket       submit -> socket_event or cancel
 *   HELPER   with the helpers (queued, running, done)   submit -> helpers_take or cancel
 *
 * Invariants:
 *  1. A parked request's descriptor is in the epoll set, edge-triggered: after EAGAIN the next edge
 *     retries it. The kernel drops a closed descriptor from the set by itself, so each parking adds
 *     it again.
 *  2. `pending` counts the requests between submit and done.
 */
#include "helpers.h"
#include "io_posix.h"
#include "limits.h"
#include "list.h"
#include "mem.h"

#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HELPER_THREADS = 6, EVENTS_PER_POLL = 128 };
enum { READY = 1, PARKED, HELPER };

/* What waits on one descriptor. */
struct watch {
	struct io_req *in;  /* RECV or ACCEPT */
	struct io_req *out; /* SEND */
};

struct io_threads {
	struct io base;
	struct helpers *helpers;
	int epoll;
	int wake_fd;
	bool no_pwait2; /* before Linux 5.11 */
	struct watch *watches;
	size_t watch_count;
	struct io_req *ready;
	struct io_req **ready_tail;
	size_t ready_count;
	size_t pending;
};

static struct io_threads *self(struct io *io)
{
	return CONTAINER_OF(io, struct io_threads, base);
}

static void make_ready(struct io_threads *t, struct io_req *req)
{
	req->state = READY;
	req->next = NULL;
	*t->ready_tail = req;
	t->ready_tail = &req->next;
	t->ready_count++;
}

static void make_failed(struct io_threads *t, struct io_req *req, int sys_errno)
{
	(void)io_req_advance(req, -sys_errno);
	make_ready(t, req);
}

/* ---- sockets --------------------------------------------------------------------------------- */

static int64_t socket_call(struct io_req *req)
{
	int64_t outcome;
	if (req->op == IO_ACCEPT) {
		outcome = accept4(req->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		/* a client that has gone already is none of the listener's business */
		return outcome < 0 ? (errno == ECONNABORTED ? -EINTR : -errno) : outcome;
	}
	const struct iovec *iov;
	int count = io_req_rest(req, &iov);
	struct msghdr msg = {.msg_iovlen = (size_t)count};
	memcpy(&msg.msg_iov, &iov, sizeof(iov)); /* the kernel does not write to it */
	if (req->op == IO_SEND)
		outcome = sendmsg(req->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	else
		outcome = recvmsg(req->fd, &msg, MSG_DONTWAIT);
	return outcome < 0 ? -errno : outcome;
}

/* Goes as far as the socket allows. False when the request must wait for it. */
static bool socket_try(struct io_req *req)
{
	int64_t outcome;
	do {
		outcome = socket_call(req);
		if (outcome == -EAGAIN)
			return false;
	} while (!io_req_advance(req, outcome));
	if (req->op == IO_ACCEPT && req->err == ERR_OK)
		io_socket_prepare((int)req->result);
	return true;
}

static bool reserve_watch(struct io_threads *t, int fd)
{
	size_t need = (size_t)fd + 1;
	if (need <= t->watch_count)
		return true;
	size_t count = t->watch_count ? t->watch_count : 64;
	while (count < need)
		count *= 2;
	struct watch *grown = mem_realloc(t->watches, count * sizeof(*grown));
	if (!grown)
		return false;
	memset(grown + t->watch_count, 0, (count - t->watch_count) * sizeof(*grown));
	t->watches = grown;
	t->watch_count = count;
	return true;
}

static struct io_req **watch_of(struct io_threads *t, const struct io_req *req)
{
	struct watch *w = &t->watches[req->fd];
	return req->op == IO_SEND ? &w->out : &w->in;
}

static void submit_socket(struct io_threads *t, struct io_req *req)
{
	if (socket_try(req)) {
		make_ready(t, req);
		return;
	}
	if (!reserve_watch(t, req->fd)) {
		make_failed(t, req, ENOMEM);
		return;
	}
	struct epoll_event ev = {
	    .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
	    .data.fd = req->fd,
	};
	if (epoll_ctl(t->epoll, EPOLL_CTL_ADD, req->fd, &ev) < 0 && errno != EEXIST) {
		make_failed(t, req, errno);
		return;
	}
	struct io_req **slot = watch_of(t, req);
	ASSERT(!*slot);
	*slot = req;
	req->state = PARKED;
}

static void retry(struct io_threads *t, struct io_req **slot)
{
	struct io_req *req = *slot;
	if (!req || !socket_try(req))
		return;
	*slot = NULL;
	make_ready(t, req);
}

static void socket_event(struct io_threads *t, const struct epoll_event *ev)
{
	if (ev->data.fd == t->wake_fd) {
		uint64_t count;
		/* EAGAIN when another poll was faster */
		ssize_t ignored = read(t->wake_fd, &count, sizeof(count));
		(void)ignored;
		return;
	}
	if ((size_t)ev->data.fd >= t->watch_count)
		return;
	struct watch *w = &t->watches[ev->data.fd];
	/* errors and hang-ups answer both directions */
	uint32_t broken = EPOLLERR | EPOLLHUP;
	if (ev->events & (EPOLLIN | EPOLLRDHUP | broken))
		retry(t, &w->in);
	if (ev->events & (EPOLLOUT | broken))
		retry(t, &w->out);
}

/* ---- operations ------------------------------------------------------------------------------ */

static void threads_submit(struct io *io, struct io_req *req)
{
	struct io_threads *t = self(io);
	io_req_begin(req);
	t->pending++;
	if (req->op == IO_RECV || req->op == IO_SEND || req->op == IO_ACCEPT) {
		submit_socket(t, req);
		return;
	}
	if (req->op == IO_READ && helpers_read_cached(req)) {
		make_ready(t, req);
		return;
	}
	req->state = HELPER;
	size_t mark = err_mark();
	enum err e = helpers_add(t->helpers, req);
	if (e != ERR_OK) {
		/* said again by io_req_done */
		err_rewind(mark);
		make_failed(t, req, e == ERR_NOMEM ? ENOMEM : EAGAIN);
	}
}

static void threads_cancel(struct io *io, struct io_req *req)
{
	struct io_threads *t = self(io);
	bool taken = false;
	if (req->state == PARKED) {
		struct io_req **slot = watch_of(t, req);
		ASSERT(*slot == req);
		*slot = NULL;
		taken = true;
	} else if (req->state == HELPER) {
		taken = helpers_cancel(t->helpers, req);
	}
	if (!taken)
		return;
	io_req_cancelled(req);
	make_ready(t, req);
}

static int wait_ms(int64_t timeout_ns)
{
	if (timeout_ns < 0)
		return -1;
	int64_t ms = timeout_ns / MS_NS + (timeout_ns % MS_NS != 0);
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

static int wait_events(struct io_threads *t, struct epoll_event *events, int64_t timeout_ns)
{
	if (timeout_ns > 0 && !t->no_pwait2) {
		struct timespec ts = {timeout_ns / S_NS, timeout_ns % S_NS};
		int n = epoll_pwait2(t->epoll, events, EVENTS_PER_POLL, &ts, NULL);
		if (n >= 0 || (errno != ENOSYS && errno != EPERM))
			return n;
		t->no_pwait2 = true;
	}
	return epoll_wait(t->epoll, events, EVENTS_PER_POLL, wait_ms(timeout_ns));
}

static enum err threads_poll(struct io *io, int64_t timeout_ns)
{
	struct io_threads *t = self(io);
	struct epoll_event events[EVENTS_PER_POLL];
	/* before the wait: from here on a helper that finishes wakes us */
	bool finished = helpers_before_wait(t->helpers);
	int n = wait_events(t, events, finished || t->ready ? 0 : timeout_ns);
	if (n < 0 && errno != EINTR)
		return err_sys("epoll_wait");
	io_turn_begin(io);
	for (int i = 0; i < n; i++)
		socket_event(t, &events[i]);
	struct io_req *req = helpers_take(t->helpers);
	while (req) {
		struct io_req *next = req->next;
		make_ready(t, req);
		req = next;
	}
	/*
	 * what becomes ready meanwhile waits for the next poll, so that timers and mail get their
	 * turn
	 */
	for (size_t left = t->ready_count; left > 0 && t->ready; left--) {
		req = t->ready;
		t->ready = req->next;
		if (!t->ready)
			t->ready_tail = &t->ready;
		t->ready_count--;
		t->pending--;
		io_req_done(req);
	}
	return ERR_OK;
}

/* An eventfd counter, so that a wake before the wait is not lost. Async-signal-safe. */
static void threads_wake(struct io *io)
{
	uint64_t one = 1;
	int saved = errno;
	/* EAGAIN when the counter is full: then a wake is on its way already */
	ssize_t ignored = write(self(io)->wake_fd, &one, sizeof(one));
	(void)ignored;
	errno = saved;
}

static void threads_free(struct io *io)
{
	struct io_threads *t = self(io);
	ASSERT(t->pending == 0);
	helpers_free(t->helpers);
	if (t->epoll >= 0)
		close(t->epoll);
	if (t->wake_fd >= 0)
		close(t->wake_fd);
	mem_free(t->watches);
	mem_free(t);
}

static const struct io_ops threads_ops = {
    .name = "threads",
    .free = threads_free,
    .submit = threads_submit,
    .cancel = threads_cancel,
    .poll = threads_poll,
    .wake = threads_wake,
    .listen = posix_listen,
    IO_POSIX_BLOCKING_OPS,
};

static enum err threads_open_descriptors(struct io_threads *t)
{
	t->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (t->epoll < 0)
		return err_sys("epoll_create1");
	t->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->wake_fd < 0)
		return err_sys("eventfd");
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = t->wake_fd};
	if (epoll_ctl(t->epoll, EPOLL_CTL_ADD, t->wake_fd, &ev) < 0)
		return err_sys("epoll_ctl");
	return ERR_OK;
}

enum err io_threads_new(struct io **ret_io)
{
	struct io_threads *t = mem_calloc(1, sizeof(*t));
	if (!t)
		return err_note(ERR_NOMEM, "I/O backend threads");
	t->base.ops = &threads_ops;
	t->epoll = t->wake_fd = -1;
	t->ready_tail = &t->ready;
	enum err e = threads_open_descriptors(t);
	if (e == ERR_OK)
		e = helpers_new(&t->base, HELPER_THREADS, &t->helpers);
	if (e != ERR_OK) {
		threads_free(&t->base);
		return e;
	}
	io_turn_begin(&t->base);
	*ret_io = &t->base;
	return ERR_OK;
}
