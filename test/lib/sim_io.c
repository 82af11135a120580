/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated backend: requests in flight, virtual time, faults, the end of the world. */
#include "log/base/io_posix.h"
#include "log/base/limits.h"
#include "test/lib/sim_state.h"
#include "test/lib/xmalloc.h"

static const int64_t EPOCH_NS = 1740787200 * (int64_t)1000000000; /* 2025-03-01T00:00:00Z */

/* ---- calls and faults ------------------------------------------------------------------------ */

/* F6: now and then a dirty sector of some file becomes durable. */
static void maybe_write_back(struct sim_io *s)
{
	if (s->options.writeback_ppm == 0 ||
	    prng_below(&s->prng, 1000000) >= s->options.writeback_ppm)
		return;
	uint32_t count = s->disk->inode_count, start = (uint32_t)prng_below(&s->prng, count);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t inode = (start + i) % count;
		struct sim_inode *n = &s->disk->inode[inode];
		if (!n->used || n->dirty_count == 0)
			continue;
		uint64_t sector = prng_below(&s->prng, n->dirty_blocks * SIM_SECTORS_PER_BLOCK);
		if (!sim_next_dirty(n, &sector)) {
			sector = 0;
			(void)sim_next_dirty(n, &sector);
		}
		struct sim_op op = {.kind = SIM_OP_WRITEBACK, .inode = inode, .pos = sector};
		(void)sim_apply(s, &op);
		return;
	}
}

/* The end that was planned for this call, if it is the one. */
static void maybe_fall(struct sim_io *s)
{
	if (s->fall_in == 0 || --s->fall_in > 0)
		return;
	s->fallen = s->fall_kills ? sim_io_kill(&s->base, s->fall_seed)
	                          : sim_io_cut_power(&s->base, s->fall_seed);
}

int sim_call(struct sim_io *s, enum sim_call call)
{
	s->calls[__builtin_ctz((unsigned)call)]++;
	if (!s->dead)
		maybe_fall(s);
	if (s->dead)
		return EIO;
	maybe_write_back(s);
	struct sim_fault *f = &s->fault;
	if (f->nth > 0 && (f->calls & (unsigned)call)) {
		/* nth stays at 1 while the fault strikes */
		bool strikes = f->nth == 1 && (f->count == 0 || s->fault_hits < f->count);
		if (f->nth > 1)
			f->nth--;
		if (strikes) {
			s->fault_hits++;
			s->fault_call = call;
			return f->sys_errno;
		}
	}
	bool chaos = s->options.chaos_ppm > 0 && (call & SIM_CALL_FILES);
	return chaos && prng_below(&s->prng, 1000000) < s->options.chaos_ppm ? EIO : 0;
}

int sim_call_blocking(struct sim_io *s, enum sim_call call)
{
	int fate = sim_call(s, call);
	return fate == EINTR || fate == EAGAIN || fate == SIM_SHORT ? 0 : fate;
}

size_t sim_part(struct sim_io *s, size_t len)
{
	bool whole = len < 2 || s->options.short_ppm == 0 ||
	             prng_below(&s->prng, 1000000) >= s->options.short_ppm;
	return whole ? len : 1 + (size_t)prng_below(&s->prng, len - 1);
}

void sim_io_fault(struct io *io, struct sim_fault fault)
{
	sim_of(io)->fault = fault;
	sim_of(io)->fault_hits = 0;
	sim_of(io)->fault_call = (enum sim_call)0;
}

uint64_t sim_io_fault_hits(struct io *io)
{
	return sim_of(io)->fault_hits;
}

enum sim_call sim_io_fault_call(struct io *io)
{
	return sim_of(io)->fault_call;
}

uint64_t sim_io_calls(struct io *io, unsigned calls)
{
	uint64_t sum = 0;
	for (unsigned bit = 0; bit < 32; bit++)
		sum += calls >> bit & 1 ? sim_of(io)->calls[bit] : 0;
	return sum;
}

/* ---- log of operations ----------------------------------------------------------------------- */

static void record(struct sim_io *s, const struct sim_op *op)
{
	struct sim_oplog *l = &s->log;
	if (l->count == l->capacity) {
		l->capacity = l->capacity ? l->capacity * 2 : 256;
		l->op = xrealloc(l->op, l->capacity * sizeof(*l->op));
	}
	struct sim_op copy = *op;
	if (op->data.len > 0) {
		uint8_t *data = xmalloc(op->data.len);
		memcpy(data, op->data.ptr, op->data.len);
		copy.data.ptr = data;
	}
	copy.name = op->name ? xstrdup(op->name) : NULL;
	copy.to_name = op->to_name ? xstrdup(op->to_name) : NULL;
	l->op[l->count++] = copy;
}

static void release_log(struct sim_oplog *l)
{
	for (size_t i = 0; i < l->count; i++) {
		if (l->op[i].data.len > 0)
			free((void *)(uintptr_t)l->op[i].data.ptr);
		free((void *)(uintptr_t)l->op[i].name);
		free((void *)(uintptr_t)l->op[i].to_name);
	}
	free(l->op);
}

int sim_apply(struct sim_io *s, const struct sim_op *op)
{
	int failed = sim_disk_apply(s->disk, op);
	if (!failed && s->options.record)
		record(s, op);
	return failed;
}

size_t sim_io_op_count(struct io *io)
{
	return sim_of(io)->log.count;
}

const struct sim_op *sim_io_op(struct io *io, size_t index)
{
	ASSERT(index < sim_of(io)->log.count);
	return &sim_of(io)->log.op[index];
}

/* ---- descriptors ----------------------------------------------------------------------------- */

struct sim_fd *sim_fd_get(struct sim_io *s, int fd)
{
	if (fd < SIM_FD_FIRST || (size_t)(fd - SIM_FD_FIRST) >= s->fd_count)
		return NULL;
	struct sim_fd *f = &s->fds[fd - SIM_FD_FIRST];
	return f->kind == SIM_FD_FREE ? NULL : f;
}

int sim_fd_new(struct sim_io *s, enum sim_fd_kind kind)
{
	size_t i = 0;
	while (i < s->fd_count && s->fds[i].kind != SIM_FD_FREE)
		i++;
	if (i == s->fd_count) {
		s->fds = xrealloc(s->fds, (s->fd_count * 2 + 8) * sizeof(*s->fds));
		memset(s->fds + s->fd_count, 0, (s->fd_count + 8) * sizeof(*s->fds));
		s->fd_count = s->fd_count * 2 + 8;
	}
	s->fds[i] = (struct sim_fd){.kind = kind};
	return SIM_FD_FIRST + (int)i;
}

size_t sim_io_open_count(struct io *io)
{
	size_t count = 0;
	for (size_t i = 0; i < sim_of(io)->fd_count; i++)
		count += sim_of(io)->fds[i].kind != SIM_FD_FREE;
	return count;
}

static void close_fd(struct sim_io *s, struct sim_fd *f)
{
	/* its number would be given to another file while the request still means this one */
	ASSERT(f->requests == 0);
	if (f->kind == SIM_FD_INODE)
		sim_disk_close(s->disk, f->inode);
	else
		sim_net_close(s, f);
	f->kind = SIM_FD_FREE;
}

static enum err sim_close(struct io *io, int fd)
{
	struct sim_io *s = sim_of(io);
	struct sim_fd *f = sim_fd_get(s, fd);
	errno = f ? sim_call_blocking(s, SIM_CALL_CLOSE) : EBADF;
	if (f)
		close_fd(s, f);
	return errno ? err_sys("close fd %d", fd) : ERR_OK;
}

/* ---- requests -------------------------------------------------------------------------------- */

enum { WAITING = 1, FLYING = 2, CANCELLED = 4 };

static bool is_file_op(enum io_op op)
{
	return op <= IO_WRITEBACK;
}

static int64_t landing_ns(struct sim_io *s, const struct io_req *req)
{
	bool net = !is_file_op(req->op) && s->options.net_max_ns > 0;
	int64_t min = net ? s->options.net_min_ns : s->options.latency_min_ns;
	int64_t max = net ? s->options.net_max_ns : s->options.latency_max_ns;
	int64_t due = s->now_ns + min + (int64_t)prng_below(&s->prng, (uint64_t)(max - min) + 1);
	const struct sim_fd *f = sim_fd_get(s, req->fd);
	int64_t stalled = f && f->kind == SIM_FD_STREAM ? sim_net_stalled_until(f) : 0;
	return stalled > due && !s->dead ? stalled : due;
}

void sim_take_off(struct sim_io *s, struct io_req *req, int fail)
{
	if (s->flight_count == s->flight_capacity) {
		s->flight_capacity = s->flight_capacity ? s->flight_capacity * 2 : 64;
		s->flights = xrealloc(s->flights, s->flight_capacity * sizeof(*s->flights));
	}
	req->state = FLYING;
	s->flights[s->flight_count++] =
	    (struct sim_flight){req, landing_ns(s, req), s->flight_order++, fail};
}

static void start(struct sim_io *s, struct io_req *req)
{
	struct sim_fd *f = sim_fd_get(s, req->fd);
	if (!f || (is_file_op(req->op) != (f->kind == SIM_FD_INODE))) {
		sim_take_off(s, req, f ? EINVAL : EBADF);
	} else if (s->dead || is_file_op(req->op)) {
		sim_take_off(s, req, s->dead ? EIO : 0);
	} else {
		req->state = WAITING;
		sim_net_submit(s, f, req);
	}
}

static void sim_submit(struct io *io, struct io_req *req)
{
	struct sim_io *s = sim_of(io);
	io_req_begin(req);
	s->pending++;
	struct sim_fd *f = sim_fd_get(s, req->fd);
	if (f)
		f->requests++;
	start(s, req);
}

static void finish(struct sim_io *s, struct io_req *req)
{
	struct sim_fd *f = sim_fd_get(s, req->fd);
	if (f) {
		ASSERT(f->requests > 0);
		f->requests--;
	}
	s->pending--;
	req->state = 0;
	io_req_done(req);
}

static void land(struct sim_io *s, struct sim_flight flight)
{
	struct io_req *req = flight.req;
	int64_t outcome = -flight.fail;
	if (req->state & CANCELLED)
		outcome = -ECANCELED;
	else if (!flight.fail && is_file_op(req->op))
		outcome = sim_file_effect(s, req);
	else if (!flight.fail)
		outcome = sim_net_effect(s, req);
	/* EAGAIN: somebody else took what it was woken for */
	if (outcome != -EAGAIN && io_req_advance(req, outcome))
		finish(s, req);
	else
		start(s, req);
}

static void sim_cancel(struct io *io, struct io_req *req)
{
	struct sim_io *s = sim_of(io);
	if (req->state & WAITING) {
		bool mine = sim_net_cancel(s, req);
		ASSERT(mine);
		sim_take_off(s, req, ECANCELED);
	} else if (req->state & FLYING) {
		/* a cancellation may come too late */
		if (!is_file_op(req->op) || prng_below(&s->prng, 2))
			req->state |= CANCELLED;
	}
}

/* The index of the next flight to land, or flight_count. */
static size_t next_flight(const struct sim_io *s)
{
	size_t best = 0;
	for (size_t i = 1; i < s->flight_count; i++) {
		const struct sim_flight *a = &s->flights[i], *b = &s->flights[best];
		if (a->due_ns < b->due_ns || (a->due_ns == b->due_ns && a->order < b->order))
			best = i;
	}
	return best;
}

/* Moves the clock to the next event within the timeout. False when nothing can ever happen. */
static bool wait_for_event(struct sim_io *s, int64_t timeout_ns)
{
	if (shared_load(&s->woken)) {
		shared_store(&s->woken, 0);
		return true;
	}
	bool for_ever = timeout_ns < 0 || timeout_ns > INT64_MAX - s->now_ns;
	int64_t until = for_ever ? INT64_MAX : s->now_ns + timeout_ns;
	size_t i = next_flight(s);
	if (i < s->flight_count && s->flights[i].due_ns < until)
		until = s->flights[i].due_ns;
	if (until == INT64_MAX)
		return false;
	if (until > s->now_ns)
		s->now_ns = until;
	return true;
}

static enum err sim_poll(struct io *io, int64_t timeout_ns)
{
	struct sim_io *s = sim_of(io);
	if (!wait_for_event(s, timeout_ns))
		return err_note(
		    ERR_TIMEOUT, "simulation: waiting for ever, and nothing is under way");
	io_turn_begin(io);
	uint64_t last = s->flight_order;
	while (s->flight_count > 0) {
		size_t i = next_flight(s);
		struct sim_flight flight = s->flights[i];
		if (flight.due_ns > s->now_ns || flight.order >= last)
			break;
		s->flights[i] = s->flights[--s->flight_count];
		land(s, flight);
	}
	return ERR_OK;
}

static void sim_wake(struct io *io)
{
	shared_store(&sim_of(io)->woken, 1);
}

/* ---- power, process, clock ------------------------------------------------------------------- */

void sim_io_unplug(struct io *io)
{
	struct sim_io *s = sim_of(io);
	if (s->dead)
		return;
	s->dead = true;
	for (size_t i = 0; i < s->flight_count; i++)
		s->flights[i].fail = s->flights[i].fail ? s->flights[i].fail : EIO;
	sim_net_unplug(s);
}

/* The disk with some of what was in flight done to it, wholly or in part. */
static struct sim_disk *disk_in_mid_air(struct sim_io *s, struct prng *p)
{
	struct sim_disk *d = sim_disk_clone(s->disk);
	for (size_t i = 0; i < s->flight_count; i++) {
		struct io_req *req = s->flights[i].req;
		const struct sim_fd *f = sim_fd_get(s, req->fd);
		bool writes = (req->op == IO_WRITE || req->op == IO_WRITE_DURABLE) && f &&
		              f->kind == SIM_FD_INODE && !f->read_only;
		if (!writes || s->flights[i].fail || prng_below(p, 2))
			continue;
		uint64_t at = req->pos;
		/* piece by piece, and perhaps not to the end */
		for (int piece = 0; piece < req->iov_count && prng_below(p, 8) > 0; piece++) {
			struct bytes data =
			    bytes_of(req->iov[piece].iov_base, req->iov[piece].iov_len);
			struct sim_op op = {
			    .kind = SIM_OP_WRITE, .inode = f->inode, .pos = at, .data = data};
			if (sim_disk_apply(d, &op) != 0)
				break;
			at += data.len;
		}
	}
	return d;
}

struct sim_disk *sim_io_cut_power(struct io *io, uint64_t seed)
{
	struct prng p;
	prng_init(&p, seed);
	struct sim_disk *d = disk_in_mid_air(sim_of(io), &p);
	struct sim_disk *after = sim_disk_crash_random(d, prng_u64(&p));
	sim_disk_free(d);
	sim_io_unplug(io);
	return after;
}

struct sim_disk *sim_io_kill(struct io *io, uint64_t seed)
{
	struct prng p;
	prng_init(&p, seed);
	struct sim_disk *d = disk_in_mid_air(sim_of(io), &p);
	sim_disk_close_all(d);
	sim_io_unplug(io);
	return d;
}

void sim_io_fall_at(struct io *io, uint64_t nth, bool kill, uint64_t seed)
{
	struct sim_io *s = sim_of(io);
	s->fall_in = nth;
	s->fall_kills = kill;
	s->fall_seed = seed;
}

bool sim_io_is_dead(const struct io *io)
{
	return ((const struct sim_io *)io)->dead;
}

struct sim_disk *sim_io_fallen(struct io *io)
{
	struct sim_disk *fallen = sim_of(io)->fallen;
	sim_of(io)->fallen = NULL;
	return fallen;
}

void sim_io_jump_clock(struct io *io, int64_t by_ns)
{
	sim_of(io)->realtime_ns += by_ns;
}

static int64_t sim_clock_ns(struct io *io, enum io_clock clock)
{
	struct sim_io *s = sim_of(io);
	if (clock != IO_CLOCK_REALTIME)
		return s->now_ns;
	return s->realtime_ns + (s->options.still ? 0 : s->now_ns);
}

static void sim_random(struct io *io, void *buf, size_t len)
{
	struct sim_io *s = sim_of(io);
	struct prng *prng = s->options.still ? &s->random : &s->prng;
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)prng_u64(prng);
}

static void sim_sleep_ns(struct io *io, int64_t ns)
{
	sim_of(io)->now_ns += ns > 0 ? ns : 0;
}

/* ---- life cycle ------------------------------------------------------------------------------ */

static void sim_free(struct io *io)
{
	struct sim_io *s = sim_of(io);
	ASSERT(s->pending == 0);
	for (size_t i = 0; i < s->fd_count; i++) {
		if (s->fds[i].kind != SIM_FD_FREE)
			close_fd(s, &s->fds[i]);
	}
	release_log(&s->log);
	sim_disk_free(s->fallen);
	free(s->flights);
	free(s->fds);
	free(s);
}

static const struct io_ops sim_ops = {
    .name = "sim",
    .free = sim_free,
    .submit = sim_submit,
    .cancel = sim_cancel,
    .poll = sim_poll,
    .wake = sim_wake,
    .open = sim_open,
    .close = sim_close,
    .pread = sim_pread,
    .pwrite = sim_pwrite,
    .fdatasync = sim_sync,
    .fsync = sim_sync,
    .sync_all = sim_sync_all,
    .truncate = sim_truncate,
    .fallocate = sim_fallocate,
    .pread_now = sim_pread_now,
    .prefetch = sim_prefetch,
    .uncached = sim_uncached,
    .stat = sim_stat,
    .fstat = sim_fstat,
    .mkdir = sim_mkdir,
    .rename = sim_rename,
    .link_symbolic = sim_symlink,
    .unlink = sim_unlink,
    .rmdir = sim_rmdir,
    .fsync_dir = sim_fsync_dir,
    .list = sim_list,
    .real_path = sim_real_path,
    .lock = sim_lock,
    .space = sim_space,
    .listen = sim_listen,
    .address = sim_address,
    .untaken = sim_untaken,
    .clock_ns = sim_clock_ns,
    .random = sim_random,
    .sleep_ns = sim_sleep_ns,
};

enum err sim_io_new(struct sim_disk *disk, const struct sim_options *options, struct io **ret_io)
{
	struct sim_io *s = xcalloc(1, sizeof(*s));
	s->base.ops = &sim_ops;
	s->disk = disk;
	s->options = *options;
	if (s->options.latency_max_ns == 0) {
		s->options.latency_min_ns = 20 * US_NS;
		s->options.latency_max_ns = 2 * MS_NS;
	}
	ASSERT(s->options.latency_min_ns >= 0);
	ASSERT(s->options.latency_min_ns <= s->options.latency_max_ns);
	ASSERT(s->options.net_min_ns >= 0 && s->options.net_min_ns <= s->options.net_max_ns);
	prng_init(&s->prng, options->seed);
	prng_init(&s->random, options->seed);
	s->now_ns = S_NS;
	s->realtime_ns = options->realtime_ns ? options->realtime_ns - s->now_ns : EPOCH_NS;
	s->next_port = 40000;
	io_turn_begin(&s->base);
	*ret_io = &s->base;
	return ERR_OK;
}

bool sim_io_is(const struct io *io)
{
	return io->ops == &sim_ops;
}

struct sim_disk *sim_io_disk(struct io *io)
{
	return sim_of(io)->disk;
}
