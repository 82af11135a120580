/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The I/O backend on io_uring. Requests are queued by submit, handed to the kernel by poll (or when
 * the submission queue is full), and run their `done` from poll.
 *
 * Where a request is (req->state) and what moves it:
 *   BACKLOG   waits here for room                     submit -> start (via drain_backlog) or cancel
 *   KERNEL    one SQE of it is queued or in flight    start -> reap
 *   FINISHED  has its result, is not handed back yet  cancel in the backlog, or reap while the ring
 *             is given up -> poll runs done
 * and two flags on KERNEL: POLLING (the SQE is a poll for readiness, the call itself follows) and
 * CANCELLING.
 *
 * The ring and its thread. Completions that wait until the thread asks for them cost no interrupt
 * of it (IORING_SETUP_DEFER_TASKRUN: a fifth of the time of one writer's append, log/README.md),
 * but then the ring serves one thread only, from the moment it is enabled to its end. So it is made
 * disabled, the first poll enables it for its thread, and detach gives it up: what is in the kernel
 * is taken back (cancelled, or waited for) and kept in the backlog for the ring that the next poll
 * makes. Kernels before 6.1 have rings for any thread; detach does nothing to those.
 *
 * Invariants:
 *  1. Nothing is linked or drained: the kernel may complete in any order, and the caller submits a
 *     flush only after the writes it covers have completed. A short result is resubmitted here
 *     before the caller hears of it.
 *  2. At most FILES_MAX file requests are in the kernel, so their completions fit the completion
 *     queue. Waiting RECVs and ACCEPTs are as many as there are connections: a burst beyond the
 *     queue is kept by the kernel (IORING_FEAT_NODROP); its count of dropped completions is
 *     asserted to be zero.
 *  3. A request whose cancellation was asked for is never resubmitted.
 *  4. `sqes` counts what the kernel owes a completion; a ring is given up when it is 0.
 *  5. The kernel takes all it needs from msghdr and iovec when it consumes the SQE
 *     (IORING_FEAT_SUBMIT_STABLE): one msghdr per SQE slot is enough.
 */
#include "io_posix.h"
#include "limits.h"
#include "list.h"
#include "mem.h"
#include "thread.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SQ_ENTRIES = 256, CQ_ENTRIES = 4096, FILES_MAX = 1024 };
_Static_assert(FILES_MAX < CQ_ENTRIES / 2, "file completions leave room for sockets");
enum {
	BACKLOG = 1,
	KERNEL = 2,
	FINISHED = 4,
	POLLING = 8,
	CANCELLING = 16,
	CANCEL_QUEUED = 32,
	PUNT = 64, /* not inline: the last try said EAGAIN */
};

/* user_data of what is not a request: pointers are larger. */
enum { DATA_IGNORE = 0, DATA_WAKE = 1 };

struct req_list {
	struct io_req *first, *last;
};

struct io_ring {
	struct io base;
	struct io_uring ring;
	int wake_fd;
	bool wake_armed;
	bool woken;      /* while the ring was given up: the next poll does not wait */
	bool open;       /* there is a ring */
	bool one_thread; /* it serves one thread */
	bool enabled;    /* that is `thread` */
	bool leaving;    /* being given up: nothing is started */
	uint64_t thread; /* thread_self() */
	size_t sqes;     /* made and not completed */
	size_t pending;  /* requests between submit and done */
	size_t files;    /* READ, WRITE, FDATASYNC in the kernel */
	struct req_list backlog;
	struct req_list finished;
	struct req_list cancels; /* in the kernel, their cancel SQE is still to be made */
	struct msghdr msgs[SQ_ENTRIES];
};

/*
 * What the wake-up reads: nobody looks at it, and the kernel may write it while a ring goes away.
 */
static uint64_t wake_sink;

static struct io_ring *self(struct io *io)
{
	return CONTAINER_OF(io, struct io_ring, base);
}

static void list_add(struct req_list *l, struct io_req *req)
{
	req->next = NULL;
	req->prev = l->last;
	if (l->last)
		l->last->next = req;
	else
		l->first = req;
	l->last = req;
}

static void list_take(struct req_list *l, struct io_req *req)
{
	if (req->prev)
		req->prev->next = req->next;
	else
		l->first = req->next;
	if (req->next)
		req->next->prev = req->prev;
	else
		l->last = req->prev;
	req->next = req->prev = NULL;
}

static bool is_file_op(enum io_op op)
{
	return op <= IO_WRITEBACK;
}

/*
 * A free SQE; when the queue is full it is handed over first. NULL when the kernel takes none just
 * now.
 */
static struct io_uring_sqe *get_sqe(struct io_ring *u)
{
	if (!u->open)
		return NULL;
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
	if (!sqe) {
		/* EBUSY and EAGAIN mean: reap first. EBADFD: not enabled yet. poll does both. */
		(void)io_uring_submit(&u->ring);
		sqe = io_uring_get_sqe(&u->ring);
	}
	u->sqes += sqe != NULL;
	return sqe;
}

/* ---- preparing ------------------------------------------------------------------------------- */

/*
 * The length of a one-piece transfer: an SQE has 32 bits, the rest follows as after a short result.
 */
static unsigned piece_len(const struct iovec *iov)
{
	return iov->iov_len > GIB ? (unsigned)GIB : (unsigned)iov->iov_len;
}

static void prepare_file(struct io_uring_sqe *sqe, struct io_req *req)
{
	const struct iovec *iov;
	if (req->op == IO_FDATASYNC) {
		io_uring_prep_fsync(sqe, req->fd, IORING_FSYNC_DATASYNC);
		return;
	}
	if (req->op == IO_WRITEBACK) {
		io_uring_prep_sync_file_range(
		    sqe, req->fd, piece_len(req->iov), req->pos, SYNC_FILE_RANGE_WRITE);
		return;
	}
	int count = io_req_rest(req, &iov);
	uint64_t pos = req->pos + req->moved;
	if (count != 1 && req->op == IO_READ)
		io_uring_prep_readv(sqe, req->fd, iov, (unsigned)count, pos);
	else if (count != 1)
		io_uring_prep_writev(sqe, req->fd, iov, (unsigned)count, pos);
	else if (req->op == IO_READ)
		io_uring_prep_read(sqe, req->fd, iov->iov_base, piece_len(iov), pos);
	else
		io_uring_prep_write(sqe, req->fd, iov->iov_base, piece_len(iov), pos);
	sqe->rw_flags = req->op == IO_WRITE_DURABLE ? RWF_DSYNC : 0;
	if (req->state & PUNT)
		sqe->flags |= IOSQE_ASYNC;
}

static void prepare_message(struct io_ring *u, struct io_uring_sqe *sqe, struct io_req *req)
{
	const struct iovec *iov;
	int count = io_req_rest(req, &iov);
	if (count == 1 && req->op == IO_RECV) {
		io_uring_prep_recv(sqe, req->fd, iov->iov_base, piece_len(iov), 0);
	} else if (count == 1) {
		io_uring_prep_send(
		    sqe, req->fd, iov->iov_base, piece_len(iov), MSG_NOSIGNAL | MSG_WAITALL);
	} else {
		struct msghdr *msg = &u->msgs[sqe - u->ring.sq.sqes];
		*msg = (struct msghdr){.msg_iovlen = (size_t)count};
		memcpy(&msg->msg_iov, &iov, sizeof(iov)); /* the kernel does not write to it */
		if (req->op == IO_RECV)
			io_uring_prep_recvmsg(sqe, req->fd, msg, 0);
		else
			io_uring_prep_sendmsg(sqe, req->fd, msg, MSG_NOSIGNAL | MSG_WAITALL);
	}
}

/* Makes the request's next SQE. False when there is none to be had. */
static bool start(struct io_ring *u, struct io_req *req)
{
	struct io_uring_sqe *sqe = get_sqe(u);
	if (!sqe)
		return false;
	if (req->state & POLLING)
		io_uring_prep_poll_add(sqe, req->fd, req->op == IO_SEND ? POLLOUT : POLLIN);
	else if (is_file_op(req->op))
		prepare_file(sqe, req);
	else if (req->op == IO_ACCEPT)
		io_uring_prep_accept(sqe, req->fd, NULL, NULL, SOCK_CLOEXEC);
	else
		prepare_message(u, sqe, req);
	io_uring_sqe_set_data(sqe, req);
	req->state = (req->state & (POLLING | PUNT)) | KERNEL;
	u->files += is_file_op(req->op);
	return true;
}

static void start_or_wait(struct io_ring *u, struct io_req *req)
{
	bool room = !is_file_op(req->op) || u->files < FILES_MAX;
	if (room && !u->leaving && !u->backlog.first && start(u, req))
		return;
	req->state = (req->state & (POLLING | PUNT)) | BACKLOG;
	list_add(&u->backlog, req);
}

static void drain_backlog(struct io_ring *u)
{
	struct io_req *req;
	while ((req = u->backlog.first)) {
		if (is_file_op(req->op) && u->files >= FILES_MAX)
			return;
		list_take(&u->backlog, req);
		if (start(u, req))
			continue;
		/* back to its place at the head */
		req->next = u->backlog.first;
		if (req->next)
			req->next->prev = req;
		else
			u->backlog.last = req;
		u->backlog.first = req;
		return;
	}
}

static void drain_cancels(struct io_ring *u)
{
	struct io_req *req;
	while ((req = u->cancels.first)) {
		struct io_uring_sqe *sqe = get_sqe(u);
		if (!sqe)
			return;
		io_uring_prep_cancel(sqe, req, 0);
		io_uring_sqe_set_data64(sqe, DATA_IGNORE);
		list_take(&u->cancels, req);
		req->state &= ~(unsigned)CANCEL_QUEUED;
	}
}

static void arm_wake(struct io_ring *u)
{
	if (u->wake_armed)
		return;
	struct io_uring_sqe *sqe = get_sqe(u);
	if (!sqe)
		return;
	io_uring_prep_read(sqe, u->wake_fd, &wake_sink, sizeof(wake_sink), 0);
	io_uring_sqe_set_data64(sqe, DATA_WAKE);
	u->wake_armed = true;
}

/* ---- completing ------------------------------------------------------------------------------ */

static void finish(struct io_ring *u, struct io_req *req)
{
	u->pending--;
	req->state = 0;
	if (req->op == IO_ACCEPT && req->err == ERR_OK)
		io_socket_prepare((int)req->result);
	io_req_done(req);
}

/*
 * What one completion means for its request: true when it is finished, false when its rest must go
 * on.
 */
static bool judge(struct io_req *req, int res)
{
	bool cancelling = req->state & CANCELLING;
	bool polled = req->state & POLLING;
	req->state &= ~(unsigned)(POLLING | PUNT);
	if (polled && res >= 0)
		res = -EINTR; /* ready: now the call itself */
	else if (res == -EAGAIN && !is_file_op(req->op))
		req->state |= POLLING; /* O_NONBLOCK: the kernel does not wait for it */
	else if (res == -EAGAIN)
		req->state |= PUNT;
	else if (res == -ECANCELED && !cancelling)
		res = -EINTR; /* its submitting thread has ended */
	if (res == -EAGAIN || (res == -ECONNABORTED && req->op == IO_ACCEPT))
		res = -EINTR;
	if (io_req_advance(req, res))
		return true;
	if (cancelling)
		io_req_cancelled(req);
	return cancelling;
}

static void reap(struct io_ring *u, uint64_t data, int res)
{
	ASSERT(u->sqes > 0);
	u->sqes--;
	if (data == DATA_IGNORE)
		return;
	if (data == DATA_WAKE) {
		u->wake_armed = false;
		u->woken = u->leaving && res >= 0;
		return;
	}
	struct io_req *req = (struct io_req *)(uintptr_t)data;
	ASSERT(req->state & KERNEL);
	u->files -= is_file_op(req->op);
	if (req->state & CANCEL_QUEUED) {
		list_take(&u->cancels, req);
		req->state &= ~(unsigned)CANCEL_QUEUED;
	}
	if (!judge(req, res)) {
		start_or_wait(u, req);
	} else if (u->leaving) {
		req->state = FINISHED;
		list_add(&u->finished, req);
	} else {
		finish(u, req);
	}
}

static void reap_ring(struct io_ring *u)
{
	for (unsigned left = io_uring_cq_ready(&u->ring); left > 0; left--) {
		struct io_uring_cqe *cqe;
		if (io_uring_peek_cqe(&u->ring, &cqe) != 0)
			break;
		uint64_t data = cqe->user_data;
		int res = cqe->res;
		/* before the callback, which may poll */
		io_uring_cqe_seen(&u->ring, cqe);
		reap(u, data, res);
	}
}

/* Runs what was complete when it began, so that timers and mail get their turn. */
static void reap_ready(struct io_ring *u)
{
	reap_ring(u);
	struct io_req *last = u->finished.last, *req;
	while (last && (req = u->finished.first)) {
		list_take(&u->finished, req);
		finish(u, req);
		if (req == last)
			break;
	}
}

/* ---- the ring -------------------------------------------------------------------------------- */

static int set_up(struct io_uring *ring)
{
	/* no interrupts for completions of a thread that will enter anyway: 6.1, 5.19 */
	static const unsigned more[] = {IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER |
	                                    IORING_SETUP_R_DISABLED | IORING_SETUP_TASKRUN_FLAG |
	                                    IORING_SETUP_SUBMIT_ALL,
	    IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL, 0};
	int rc = -EINVAL;
	for (size_t i = 0; i < sizeof(more) / sizeof(*more) && rc == -EINVAL; i++) {
		struct io_uring_params params = {
		    .flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | more[i],
		    .cq_entries = CQ_ENTRIES,
		};
		rc = io_uring_queue_init_params(SQ_ENTRIES, ring, &params);
	}
	return rc;
}

static enum err open_ring(struct io_ring *u)
{
	int rc = set_up(&u->ring);
	if (rc < 0) {
		errno = -rc;
		(void)err_sys("io_uring_setup");
		return err_note(ERR_UNSUPPORTED, "io_uring is refused here");
	}
	/* 5.11: timeouts without SQEs, sockets without worker threads, no lost completions */
	unsigned needed = IORING_FEAT_EXT_ARG | IORING_FEAT_FAST_POLL | IORING_FEAT_NODROP |
	                  IORING_FEAT_SUBMIT_STABLE;
	u->open = (u->ring.features & needed) == needed;
	u->one_thread = (u->ring.flags & IORING_SETUP_DEFER_TASKRUN) != 0;
	if (u->open)
		return ERR_OK;
	io_uring_queue_exit(&u->ring);
	return err_note(ERR_UNSUPPORTED, "io_uring of this kernel is too old (5.11 is needed)");
}

/* The calling thread is the ring's from here on. */
static enum err attach(struct io_ring *u)
{
	if (u->enabled) {
		ASSERT(u->thread == thread_self()); /* who turned before has not detached */
		return ERR_OK;
	}
	if (!u->open)
		TRY(open_ring(u));
	if (!u->one_thread)
		return ERR_OK;
	/* liburing 2.3 declares io_uring_enable_rings and does not export it */
	int rc =
	    io_uring_register((unsigned)u->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
	if (rc < 0) {
		errno = -rc;
		return err_sys("io_uring_register");
	}
	u->thread = thread_self();
	u->enabled = true;
	return ERR_OK;
}

static void cancel_all(struct io_ring *u)
{
	struct io_uring_sqe *sqe = get_sqe(u);
	if (!sqe)
		return;
	io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
	io_uring_sqe_set_data64(sqe, DATA_IGNORE);
}

static void uring_detach(struct io *io)
{
	struct io_ring *u = self(io);
	struct __kernel_timespec soon = {.tv_nsec = 10 * MS_NS};
	struct io_uring_cqe *cqe;
	if (!u->enabled)
		return;
	ASSERT(u->thread == thread_self());
	u->leaving = true;
	for (int rc = -ETIME; u->sqes > 0;) {
		if (rc == -ETIME)
			cancel_all(u); /* again, for what was between two places the last time */
		rc = io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1, &soon, NULL);
		reap_ring(u);
	}
	u->leaving = false;
	ASSERT(u->files == 0 && !u->cancels.first && !u->wake_armed);
	io_uring_queue_exit(&u->ring);
	u->open = u->enabled = false;
}

/* ---- operations ------------------------------------------------------------------------------ */

static void uring_submit(struct io *io, struct io_req *req)
{
	struct io_ring *u = self(io);
	io_req_begin(req);
	u->pending++;
	start_or_wait(u, req);
}

static void uring_cancel(struct io *io, struct io_req *req)
{
	struct io_ring *u = self(io);
	if (req->state & BACKLOG) {
		list_take(&u->backlog, req);
		io_req_cancelled(req);
		req->state = FINISHED;
		list_add(&u->finished, req);
	} else if ((req->state & KERNEL) && !(req->state & CANCELLING)) {
		req->state |= CANCELLING | CANCEL_QUEUED;
		list_add(&u->cancels, req);
	}
}

/* Hands the queue to the kernel and waits; 0 or -errno. */
static int enter(struct io_ring *u, int64_t timeout_ns)
{
	struct io_uring_cqe *cqe;
	if (timeout_ns == 0) {
		int rc = io_uring_sq_ready(&u->ring) > 0 ? io_uring_submit(&u->ring) : 0;
		/* lets the kernel run what it has deferred to us and flush what did not fit */
		(void)io_uring_peek_cqe(&u->ring, &cqe);
		return rc < 0 ? rc : 0;
	}
	struct __kernel_timespec ts = {timeout_ns / S_NS, timeout_ns % S_NS};
	return io_uring_submit_and_wait_timeout(
	    &u->ring, &cqe, 1, timeout_ns < 0 ? NULL : &ts, NULL);
}

static enum err uring_poll(struct io *io, int64_t timeout_ns)
{
	struct io_ring *u = self(io);
	TRY(attach(u));
	arm_wake(u);
	drain_backlog(u);
	drain_cancels(u);
	/* what could not be handed over needs completions first, and those may be here already */
	bool stuck = u->cancels.first || (u->backlog.first && u->files < FILES_MAX);
	bool ready = stuck || u->woken || u->finished.first || io_uring_cq_ready(&u->ring) > 0;
	u->woken = false;
	int rc = enter(u, ready || !u->wake_armed ? 0 : timeout_ns);
	if ((rc == -EAGAIN || rc == -EBUSY) && io_uring_cq_ready(&u->ring) == 0)
		posix_sleep_ns(io, MS_NS); /* short of kernel memory, nothing to reap */
	else if (rc < 0 && rc != -EAGAIN && rc != -EBUSY && rc != -ETIME && rc != -EINTR) {
		errno = -rc;
		return err_sys("io_uring_enter");
	}
	ASSERT(IO_URING_READ_ONCE(*u->ring.cq.koverflow) == 0);
	io_turn_begin(io);
	reap_ready(u);
	return ERR_OK;
}

/* Async-signal-safe. */
static void uring_wake(struct io *io)
{
	uint64_t one = 1;
	int saved = errno;
	ssize_t ignored = write(self(io)->wake_fd, &one, sizeof(one));
	(void)ignored;
	errno = saved;
}

/*
 * The kernel waits for a blocking socket without blocking anybody; O_NONBLOCK would cost a poll per
 * call.
 */
static enum err uring_listen(
    struct io *io, const char *host, uint16_t port, int *ret_fd, uint16_t *ret_port)
{
	int fd;
	uint16_t got_port;
	TRY(posix_listen(io, host, port, &fd, &got_port));
	if (fcntl(fd, F_SETFL, 0) < 0) {
		enum err e = err_sys("fcntl listener");
		close(fd);
		return e;
	}
	*ret_fd = fd;
	*ret_port = got_port;
	return ERR_OK;
}

static void uring_free(struct io *io)
{
	struct io_ring *u = self(io);
	ASSERT(u->pending == 0);
	if (u->open)
		io_uring_queue_exit(&u->ring);
	close(u->wake_fd);
	mem_free(u);
}

static const struct io_ops uring_ops = {
    .name = "uring",
    .free = uring_free,
    .submit = uring_submit,
    .cancel = uring_cancel,
    .poll = uring_poll,
    .detach = uring_detach,
    .wake = uring_wake,
    .listen = uring_listen,
    IO_POSIX_BLOCKING_OPS,
};

enum err io_uring_new(struct io **ret_io)
{
	struct io_ring *u = mem_calloc(1, sizeof(*u));
	if (!u)
		return err_note(ERR_NOMEM, "I/O backend uring");
	u->base.ops = &uring_ops;
	/* blocking: with O_NONBLOCK the kernel would not wait for it */
	u->wake_fd = eventfd(0, EFD_CLOEXEC);
	enum err e = u->wake_fd < 0 ? err_sys("eventfd") : open_ring(u);
	if (e != ERR_OK) {
		if (u->wake_fd >= 0)
			close(u->wake_fd);
		mem_free(u);
		return e;
	}
	io_turn_begin(&u->base);
	*ret_io = &u->base;
	return ERR_OK;
}
