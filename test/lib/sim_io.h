/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The I/O seam on a simulated disk, network and clock: one thread, no waiting, everything drawn
 * from one seed, so that a failing run repeats exactly. What the disk may lose is in sim_disk.h;
 * here is the rest of the fault model:
 *
 *  T1  Time is virtual. It moves in io_sleep_ns and in io_poll, which jumps to the next completion
 *      or to its timeout; blocking calls take no time. Realtime may be made to jump
 *      (sim_io_jump_clock).
 *  T2  A request takes effect at the moment of its completion, latency_min..max after it was
 *      submitted, so requests in flight complete in any order. A poll without timeout in which
 *      nothing can ever happen is an error (ERR_TIMEOUT): the real thing would hang.
 *  T3  WRITE, before it fails, may have written a part (whole sectors); a failed sync loses data
 *      (F7).
 *  T4  RECV may return fewer bytes than are there, SEND may do its work in parts (short_ppm). A
 * socket buffers 64 KiB per direction; SEND waits for room. Bytes arrive in order or the connection
 * breaks (sim_io_break). Connections know nothing of each other: their bytes overtake; one may
 * stand still (sim_io_stall). T5  Faults: any call, by kind and number, fails with a given errno
 * (sim_io_fault); chaos_ppm makes calls fail at random with EIO. T6  A power cut (sim_io_cut_power)
 * executes a random subset of the WRITEs in flight, hands out the disk as the cut leaves it, and
 * makes every later call fail with EIO: the server can be torn down in the usual way without
 * changing anything. sim_io_kill is a process killed: the page cache survives. sim_io_fall_at does
 * either at a call, so also inside a blocking one.
 *
 * It checks what the real backends cannot: that a descriptor is closed only when its requests are
 * done, that O_DIRECT is aligned, that nothing is used after close (EBADF; numbers are reused
 * lowest first). Thread: one, but io_wake from any.
 */
#include "log/base/io.h"
#include "test/lib/sim_disk.h"

struct sim_options {
	uint64_t seed;
	int64_t latency_min_ns; /* of requests; both 0 = 20 us .. 2 ms */
	int64_t latency_max_ns;
	int64_t net_min_ns; /* of requests on sockets; both 0 = as above */
	int64_t net_max_ns;
	unsigned short_ppm;     /* chance per SEND that it is done in parts */
	unsigned writeback_ppm; /* chance per call that one dirty sector becomes durable */
	unsigned chaos_ppm;     /* chance per call of EIO */
	bool flush_lies;        /* an asynchronous flush does nothing and says that it has */
	bool refuse_direct;     /* IO_DIRECT is ERR_UNSUPPORTED */
	bool record;            /* keep the log of operations */
	int64_t realtime_ns;    /* the wall clock at the start; 0 = 2025-03-01 */
	/*
	 * The wall clock stands (sim_io_jump_clock moves it) and random bytes are drawn apart from
	 * latencies: what is written depends on what is done and not on how long it takes.
	 */
	bool still;
};

/* Borrows the disk, which outlives the io and is changed by it. */
MUST_USE enum err sim_io_new(
    struct sim_disk *disk, const struct sim_options *options, struct io **ret_io);
bool sim_io_is(const struct io *io);
struct sim_disk *sim_io_disk(struct io *io);
/* Descriptors that are open: 0 after a server has closed all it opened. */
size_t sim_io_open_count(struct io *io);

/* ---- faults ---------------------------------------------------------------------------------- */
/*
 * What a call of the seam is counted as; the asynchronous requests count as their blocking likes.
 */
enum sim_call {
	SIM_CALL_OPEN = 1 << 0,
	SIM_CALL_CLOSE = 1 << 1,
	SIM_CALL_READ = 1 << 2,
	SIM_CALL_WRITE = 1 << 3,
	SIM_CALL_SYNC = 1 << 4, /* fdatasync, fsync */
	SIM_CALL_SYNC_DIR = 1 << 5,
	SIM_CALL_TRUNCATE = 1 << 6,
	SIM_CALL_ALLOCATE = 1 << 7,
	SIM_CALL_STAT = 1 << 8,
	SIM_CALL_NAMES = 1 << 9, /* mkdir, rename, symlink, unlink, rmdir */
	SIM_CALL_LIST = 1 << 10,
	SIM_CALL_LOCK = 1 << 11,
	SIM_CALL_SPACE = 1 << 12,
	SIM_CALL_READ_NOW = 1 << 13, /* of what the page cache has */
	SIM_CALL_LISTEN = 1 << 14,
	SIM_CALL_ACCEPT = 1 << 15,
	SIM_CALL_RECV = 1 << 16,
	SIM_CALL_SEND = 1 << 17,
	SIM_CALL_FILES = (1 << 14) - 1,
	SIM_CALL_ANY = (1 << 18) - 1,
};
/*
 * In place of an errno: READ and WRITE move a part of their bytes and say so. Like EINTR and EAGAIN
 * it is for the requests; the blocking calls go on by themselves, as those of io_posix.c do
 * (test/base/io_fault_test.c), so there it strikes without effect.
 */
enum { SIM_SHORT = 1 << 16 };
struct sim_fault {
	unsigned calls; /* set of enum sim_call */
	uint64_t nth;   /* the nth such call from now fails (1 = the next); 0 = no fault */
	uint64_t count; /* so many in a row; 0 = all from then on */
	int sys_errno;
};
/* Arms one fault in place of the last. */
void sim_io_fault(struct io *io, struct sim_fault fault);
/*
 * How often the armed fault has struck. A test over all call sites raises nth until this stays 0.
 */
uint64_t sim_io_fault_hits(struct io *io);
/* The kind of the call that it struck last; 0 = none. */
enum sim_call sim_io_fault_call(struct io *io);
/* Calls of these kinds so far. */
uint64_t sim_io_calls(struct io *io, unsigned calls);

/* ---- power, process, clock ------------------------------------------------------------------- */
/* The caller frees the disk returned; the io's own disk stays as it is. */
struct sim_disk *sim_io_cut_power(struct io *io, uint64_t seed);
struct sim_disk *sim_io_kill(struct io *io, uint64_t seed);
/*
 * The same before the nth call of the seam from now (1 = the next; 0 = never): what was done until
 * then counts, the call itself fails.
 */
void sim_io_fall_at(struct io *io, uint64_t nth, bool kill, uint64_t seed);
/* The power is gone, the process killed, the io unplugged. */
bool sim_io_is_dead(const struct io *io);
/* The disk that the fall has left, once: the caller frees it. NULL: not yet, or taken already. */
struct sim_disk *sim_io_fallen(struct io *io);
/*
 * Only the end of the io: each later call fails with EIO, requests in flight complete without
 * effect.
 */
void sim_io_unplug(struct io *io);
/* Moves CLOCK_REALTIME against the other clocks. */
void sim_io_jump_clock(struct io *io, int64_t by_ns);

/* ---- log of operations (options.record) ------------------------------------------------------ */
/*
 * What has been done to the disk, in order, with its data: applied to a disk as it was at the
 * start, ...
 */
size_t sim_io_op_count(struct io *io);
/*
 * ... the first n operations give the disk as it was then. Borrowed until the next call of the io.
 */
const struct sim_op *sim_io_op(struct io *io, size_t index);

/* ---- network --------------------------------------------------------------------------------- */
/*
 * The client's end of a connection to a listener of this io: for io_submit and io_close.
 * ERR_CONNECT.
 */
MUST_USE enum err sim_io_connect(struct io *io, uint16_t port, int *ret_fd);
/* Breaks a connection: both ends get ECONNRESET, bytes under way are lost. */
void sim_io_break(struct io *io, int fd);
/* Nothing moves on this connection, in either direction, for that long. */
void sim_io_stall(struct io *io, int fd, int64_t for_ns);
