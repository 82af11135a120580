/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The I/O seam: files, directories, sockets, clocks and randomness behind one struct of functions,
 * with three implementations that pass the same tests (test/base/io_*_test.c):
 *   uring    io_uring for the asynchronous half (default)
 *   threads  helper threads with pread/pwrite/fdatasync, epoll for sockets (where io_uring is
 *            refused)
 *   sim      test/lib/sim_io.c: a seeded disk, network and clock that lose, tear, reorder and fail
 *
 * Asynchronous requests are caller-owned `struct io_req`, submitted on the loop's thread, completed
 * exactly once, on the loop's thread, from io_poll. Buffers and the request stay untouched until
 * then.
 *   READ, WRITE   the whole range or an error: short results, EINTR and EAGAIN are resubmitted
 *                 here. READ at the end of file completes with result < len and ERR_OK.
 *   WRITE_DURABLE a WRITE whose bytes, and the size they need, are durable when it completes: one
 *                 trip where WRITE and FDATASYNC take two. It says nothing of other bytes of the
 *                 file. After an error nothing is known, as with FDATASYNC: no second try.
 *   RECV          at least one byte, or result 0 when the peer closed.
 *   SEND          all bytes of the iovec or an error.
 *   ACCEPT        the new descriptor is close-on-exec, with TCP_NODELAY, and for use through the
 *                 seam alone (whether it has O_NONBLOCK is the backend's business).
 *   FDATASYNC     submit only after the writes it must cover have completed: nothing is linked or
 *                 drained.
 *   WRITEBACK     a hint: begin to write what the page cache has of [pos, pos + iov_len); nothing
 * is durable by it. Done when it has begun. At most one RECV, one SEND and one ACCEPT wait on a
 * descriptor at a time. A descriptor is closed only after its requests have completed (cancel
 * first): its number would be given to another file. Requests may be submitted from `done`; a
 * request that completes at once still completes from a later io_poll.
 *
 * Blocking functions (below) may be called from any thread; the loop's thread calls them only while
 * starting and stopping. All functions add the path or handle to the error chain.
 */
#include "bytes.h"
#include <sys/uio.h>

struct io;

enum io_op {
	IO_READ,
	IO_WRITE,
	IO_WRITE_DURABLE,
	IO_FDATASYNC,
	IO_WRITEBACK,
	IO_ACCEPT,
	IO_RECV,
	IO_SEND
};

struct io_req {
	enum io_op op;
	int fd;
	uint64_t pos;            /* READ, WRITE(_DURABLE): byte position in the file */
	const struct iovec *iov; /* those, RECV, SEND: borrowed until done */
	int iov_count;           /* at most IO_IOV_MAX */
	/* results, valid in `done` */
	enum err err;
	int sys_errno;  /* the errno behind err, 0 if none */
	int64_t result; /* bytes moved; ACCEPT: the new descriptor */
	/* backend's own, from submit to done */
	struct io_req *next, *prev;
	uint64_t moved;
	struct iovec rest;
	uint32_t state;
	/* last, as everywhere */
	void (*done)(struct io_req *req);
};
enum { IO_IOV_MAX = 1024 };

/*
 * Flags of io_open, any combination. What is there and is not a regular file (a directory without
 * IO_DIRECTORY, a FIFO, a device) is ERR_CORRUPT, at once.
 */
enum {
	IO_CREATE = 1,    /* create if missing (mode 0600) */
	IO_EXCLUSIVE = 2, /* with IO_CREATE: ERR_EXISTS if it is there */
	IO_READONLY = 4,
	/*
	 * O_DIRECT: buffers, positions, lengths multiples of IO_DIRECT_ALIGN; ERR_UNSUPPORTED where
	 * refused
	 */
	IO_DIRECT = 8,
	IO_DIRECTORY = 16, /* read-only, ERR_NOT_FOUND when it is not a directory */
};
enum { IO_DIRECT_ALIGN = 4096 };

/* Of the file behind a symbolic link, with is_link set; of the link itself when it dangles. */
struct io_stat {
	uint64_t size_bytes;
	uint64_t allocated_bytes;
	bool is_directory;
	bool is_link;
	uint64_t device, inode; /* together: which one it is, under whatever name */
};

/* One end of a socket, numeric. */
struct io_address {
	char host[64];
	uint16_t port;
};

enum io_clock { IO_CLOCK_REALTIME, IO_CLOCK_MONOTONIC, IO_CLOCK_BOOTTIME };

/* A list of names, sorted by bytes, without "." and "..": release with io_names_release. */
struct io_names {
	char **name;
	size_t count;
};

struct io_ops {
	const char *name; /* "uring", "threads", "sim" */
	void (*free)(struct io *io);
	void (*submit)(struct io *io, struct io_req *req);
	void (*cancel)(struct io *io, struct io_req *req);
	enum err (*poll)(struct io *io, int64_t timeout_ns);
	void (*detach)(struct io *io); /* NULL: any thread may poll */
	void (*wake)(struct io *io);
	enum err (*open)(struct io *io, const char *path, unsigned flags, int *ret_fd);
	enum err (*close)(struct io *io, int fd);
	enum err (*pread)(
	    struct io *io, int fd, void *buf, size_t len, uint64_t pos, size_t *ret_len);
	enum err (*pwrite)(struct io *io, int fd, const void *buf, size_t len, uint64_t pos);
	enum err (*fdatasync)(struct io *io, int fd);
	enum err (*fsync)(struct io *io, int fd);
	enum err (*sync_all)(struct io *io, int fd);
	enum err (*truncate)(struct io *io, int fd, uint64_t size_bytes);
	enum err (*fallocate)(struct io *io, int fd, uint64_t pos, uint64_t len);
	enum err (*pread_now)(struct io *io, int fd, void *buf, size_t len, uint64_t pos);
	void (*prefetch)(struct io *io, int fd, uint64_t pos, size_t len);
	size_t (*uncached)(struct io *io, int fd, uint64_t pos, size_t len);
	enum err (*stat)(struct io *io, const char *path, struct io_stat *ret_stat);
	enum err (*fstat)(struct io *io, int fd, struct io_stat *ret_stat);
	enum err (*mkdir)(struct io *io, const char *path);
	enum err (*rename)(struct io *io, const char *from, const char *to);
	enum err (*link_symbolic)(struct io *io, const char *target, const char *path);
	enum err (*unlink)(struct io *io, const char *path);
	enum err (*rmdir)(struct io *io, const char *path);
	enum err (*fsync_dir)(struct io *io, const char *path);
	enum err (*list)(struct io *io, const char *path, struct io_names *ret_names);
	enum err (*real_path)(struct io *io, const char *path, char *buf);
	enum err (*lock)(struct io *io, int fd, bool shared);
	enum err (*space)(
	    struct io *io, const char *path, uint64_t *ret_free_bytes, uint64_t *ret_total_bytes);
	enum err (*listen)(
	    struct io *io, const char *host, uint16_t port, int *ret_fd, uint16_t *ret_port);
	enum err (*address)(struct io *io, int fd, bool peer, struct io_address *ret_address);
	size_t (*untaken)(struct io *io, int fd);
	int64_t (*clock_ns)(struct io *io, enum io_clock clock);
	void (*random)(struct io *io, void *buf, size_t len);
	void (*sleep_ns)(struct io *io, int64_t ns);
};

/*
 * Backends embed this first. The times are those of the current turn: read by each io_poll when its
 * wait is over, before the first completion runs.
 */
struct io {
	const struct io_ops *ops;
	int64_t turn_monotonic_ns;
	int64_t turn_realtime_ns;
};

/*
 * Opens a backend by name: "uring", "threads", or "auto", which tries uring and falls back to
 * threads with one diag line (event=io_fallback). ERR_UNSUPPORTED when the kernel refuses it,
 * ERR_INVALID for another name.
 */
MUST_USE enum err io_new(const char *backend, struct io **ret_io);
/* Every request must have completed: cancel what waits for a peer, and poll. NULL is allowed. */
void io_free(struct io *io);
static inline const char *io_name(const struct io *io)
{
	return io->ops->name;
}

/* ---- asynchronous: loop thread --------------------------------------------------------------- */
static inline void io_submit(struct io *io, struct io_req *req)
{
	io->ops->submit(io, req);
}
/* Asks for an early end: the request still completes once, with its result or ERR_CANCELLED. */
static inline void io_cancel(struct io *io, struct io_req *req)
{
	io->ops->cancel(io, req);
}
/*
 * Submits what is queued, waits up to timeout_ns (0 = do not wait, < 0 = for ever) and runs
 * completions.
 */
static inline enum err io_poll(struct io *io, int64_t timeout_ns)
{
	return io->ops->poll(io, timeout_ns);
}
/*
 * The thread that polls ends or stops doing so, and calls this last: another may poll from then on.
 * Requests under way stay so, and nothing completes before the next poll. May wait for the disk.
 */
static inline void io_detach(struct io *io)
{
	if (io->ops->detach)
		io->ops->detach(io);
}
/* Makes a poll in progress, or the next one, return. Any thread. */
static inline void io_wake(struct io *io)
{
	io->ops->wake(io);
}

/* ---- blocking: any thread -------------------------------------------------------------------- */
MUST_USE enum err io_open(struct io *io, const char *path, unsigned flags, int *ret_fd);
MUST_USE enum err io_close(struct io *io, int fd);
/* Reads up to len bytes; *ret_len < len only at the end of file. */
MUST_USE enum err io_pread(
    struct io *io, int fd, void *buf, size_t len, uint64_t pos, size_t *ret_len);
/* Reads exactly len bytes, else ERR_EOF. */
MUST_USE enum err io_pread_all(struct io *io, int fd, void *buf, size_t len, uint64_t pos);
MUST_USE enum err io_pwrite(struct io *io, int fd, const void *buf, size_t len, uint64_t pos);
MUST_USE enum err io_fdatasync(struct io *io, int fd);
MUST_USE enum err io_fsync(struct io *io, int fd);
/*
 * Everything on the file system of `fd`, whose ever it is: contents, sizes and names. Errors of
 * writes are told as far as they come after the open of `fd`, which is a directory's (Linux 5.8).
 */
MUST_USE enum err io_sync_all(struct io *io, int fd);
MUST_USE enum err io_truncate(struct io *io, int fd, uint64_t size_bytes);
MUST_USE enum err io_fallocate(struct io *io, int fd, uint64_t pos, uint64_t len);
/*
 * Reads exactly len bytes if the page cache has them all, without waiting for the disk: ERR_AGAIN
 * otherwise, and where the system cannot tell. The loop's thread may call it at any time.
 */
MUST_USE enum err io_pread_now(struct io *io, int fd, void *buf, size_t len, uint64_t pos);
/* A hint: begin to read [pos, pos + len) into the page cache, so that io_pread need not wait. */
void io_prefetch(struct io *io, int fd, uint64_t pos, size_t len);
/*
 * How many bytes of [pos, pos + len), within the file, the page cache does not have; 0 where the
 * system cannot tell. The loop's thread may call it at any time.
 */
size_t io_uncached(struct io *io, int fd, uint64_t pos, size_t len);
/* ERR_NOT_FOUND when there is nothing. */
MUST_USE enum err io_stat(struct io *io, const char *path, struct io_stat *ret_stat);
MUST_USE enum err io_fstat(struct io *io, int fd, struct io_stat *ret_stat);
MUST_USE enum err io_mkdir(struct io *io, const char *path); /* mode 0700; ERR_EXISTS */
/*
 * Replaces `to` if it is there. Durable after io_fsync_dir of the directory (of both, when they
 * differ).
 */
MUST_USE enum err io_rename(struct io *io, const char *from, const char *to);
MUST_USE enum err io_symlink(struct io *io, const char *target, const char *path);
MUST_USE enum err io_unlink(struct io *io, const char *path);
MUST_USE enum err io_rmdir(struct io *io, const char *path);
MUST_USE enum err io_fsync_dir(struct io *io, const char *path);
MUST_USE enum err io_list(struct io *io, const char *path, struct io_names *ret_names);
void io_names_release(struct io_names *names);
/* The directory that holds `path`: the part of it before its last name, or ".". */
struct str io_parent(const char *path);
/* The absolute path of what is there, without links; buf of IO_PATH_MAX. ERR_NOT_FOUND. */
enum { IO_PATH_MAX = 4096 };
MUST_USE enum err io_real_path(struct io *io, const char *path, char *buf);
/*
 * Advisory lock of a file or directory until the descriptor is closed, alone or shared with others
 * that share it; not waiting: ERR_LOCKED. ERR_UNSUPPORTED: not of a directory, on this file system.
 */
MUST_USE enum err io_lock(struct io *io, int fd, bool shared);
MUST_USE enum err io_space(
    struct io *io, const char *path, uint64_t *ret_free_bytes, uint64_t *ret_total_bytes);
/*
 * Listens on host:port: a name or numeric address, "" for all interfaces; port 0 = any free one.
 * A host that begins with '/' is the path of a local socket (mode 0600, the port is 0): one that
 * nobody listens on any more is replaced; who closes it unlinks the path. ERR_ADDRESS_IN_USE,
 * ERR_INVALID (path too long).
 */
MUST_USE enum err io_listen(
    struct io *io, const char *host, uint16_t port, int *ret_fd, uint16_t *ret_port);
/* Our end of a socket (peer false) or the other one; a local socket's has no host. */
MUST_USE enum err io_address(struct io *io, int fd, bool peer, struct io_address *ret_address);
/* Bytes that were sent and that the other end has no place for yet; SIZE_MAX when nobody knows. */
size_t io_untaken(struct io *io, int fd);
int64_t io_clock_ns(struct io *io, enum io_clock clock);
void io_random(struct io *io, void *buf, size_t len); /* from the kernel; aborts if it cannot */
void io_sleep_ns(struct io *io, int64_t ns);

/* ---- composed of the above ------------------------------------------------------------------- */
/*
 * mkdir of `path` and each missing parent, each followed by fsync of its parent directory. ERR_OK
 * when it is there; its name is durable then too, whoever made it, unless the parent is not ours to
 * sync.
 */
MUST_USE enum err io_mkdir_all(struct io *io, const char *path);
/*
 * Does `path` lead into the directory `dir`, which is there, or to it, through whatever links and
 * mounts? ret_below of IO_PATH_MAX, when it does: what is left of it in there, "" for `dir` itself.
 * The end of `path` need not be there, but must not climb then: ERR_INVALID.
 */
MUST_USE enum err io_path_below(
    struct io *io, const char *path, const char *dir, bool *ret_in, char *ret_below);
/* The whole file into a heap buffer (mem_free); ERR_LIMIT beyond limit_bytes. */
MUST_USE enum err io_read_file(
    struct io *io, const char *path, size_t limit_bytes, struct bytes *ret_content);
/* A new file (ERR_EXISTS), not durable. */
MUST_USE enum err io_put_file(struct io *io, const char *path, struct bytes content);
/* Replaces a file atomically and durably: write `path`.tmp, fsync, rename, fsync directory. */
MUST_USE enum err io_write_file(struct io *io, const char *path, struct bytes content);
