/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The blocking half of the I/O seam on POSIX calls, shared by the uring and threads backends.
 * Private to log/base. Each function keeps the contract of its namesake in io.h and may be called
 * from any thread.
 */
#include "io.h"

enum err posix_open(struct io *io, const char *path, unsigned flags, int *ret_fd);
enum err posix_close(struct io *io, int fd);
enum err posix_pread(struct io *io, int fd, void *buf, size_t len, uint64_t pos, size_t *ret_len);
enum err posix_pwrite(struct io *io, int fd, const void *buf, size_t len, uint64_t pos);
enum err posix_fdatasync(struct io *io, int fd);
enum err posix_fsync(struct io *io, int fd);
enum err posix_sync_all(struct io *io, int fd);
enum err posix_truncate(struct io *io, int fd, uint64_t size_bytes);
enum err posix_fallocate_range(struct io *io, int fd, uint64_t pos, uint64_t len);
enum err posix_pread_now(struct io *io, int fd, void *buf, size_t len, uint64_t pos);
void posix_prefetch(struct io *io, int fd, uint64_t pos, size_t len);
size_t posix_uncached(struct io *io, int fd, uint64_t pos, size_t len);
enum err posix_stat(struct io *io, const char *path, struct io_stat *ret_stat);
enum err posix_fstat(struct io *io, int fd, struct io_stat *ret_stat);
enum err posix_mkdir(struct io *io, const char *path);
enum err posix_rename(struct io *io, const char *from, const char *to);
enum err posix_symlink(struct io *io, const char *target, const char *path);
enum err posix_unlink(struct io *io, const char *path);
enum err posix_rmdir(struct io *io, const char *path);
enum err posix_fsync_dir(struct io *io, const char *path);
enum err posix_list(struct io *io, const char *path, struct io_names *ret_names);
enum err posix_real_path(struct io *io, const char *path, char *buf);
enum err posix_lock(struct io *io, int fd, bool shared);
enum err posix_space(
    struct io *io, const char *path, uint64_t *ret_free_bytes, uint64_t *ret_total_bytes);
enum err posix_listen(
    struct io *io, const char *host, uint16_t port, int *ret_fd, uint16_t *ret_port);
enum err posix_address(struct io *io, int fd, bool peer, struct io_address *ret_address);
size_t posix_untaken(struct io *io, int fd);
int64_t posix_clock_ns(struct io *io, enum io_clock clock);
void posix_random(struct io *io, void *buf, size_t len);
void posix_sleep_ns(struct io *io, int64_t ns);

/* The blocking members of struct io_ops, for a backend's table; all but listen. */
#define IO_POSIX_BLOCKING_OPS                                                                      \
	.open = posix_open, .close = posix_close, .pread = posix_pread, .pwrite = posix_pwrite,    \
	.fdatasync = posix_fdatasync, .fsync = posix_fsync, .sync_all = posix_sync_all,            \
	.truncate = posix_truncate, .fallocate = posix_fallocate_range,                            \
	.pread_now = posix_pread_now, .prefetch = posix_prefetch, .uncached = posix_uncached,      \
	.stat = posix_stat, .fstat = posix_fstat, .mkdir = posix_mkdir, .rename = posix_rename,    \
	.link_symbolic = posix_symlink, .unlink = posix_unlink, .rmdir = posix_rmdir,              \
	.fsync_dir = posix_fsync_dir, .list = posix_list, .real_path = posix_real_path,            \
	.lock = posix_lock, .space = posix_space, .address = posix_address,                        \
	.untaken = posix_untaken, .clock_ns = posix_clock_ns, .random = posix_random,              \
	.sleep_ns = posix_sleep_ns

/* ---- what backends do alike with a request --------------------------------------------------- */
/*
 * Checks what the caller promised (op, iovec count) and resets the backend's and the result fields.
 */
void io_req_begin(struct io_req *req);
/*
 * The iovec not yet moved: *ret_iov points into the request where a piece was cut, else into the
 * caller's array. Returns the number of pieces, 0 when all is moved.
 */
int io_req_rest(struct io_req *req, const struct iovec **ret_iov);
/*
 * Takes the outcome of one system call: bytes moved or -errno. True when the request has its
 * result; false when the rest must be submitted (a short transfer, EINTR, EAGAIN of a file).
 */
bool io_req_advance(struct io_req *req, int64_t outcome);
void io_req_cancelled(struct io_req *req);
/* Hands the request back to its owner. A failed file request leaves a note in the chain. */
void io_req_done(struct io_req *req);
/* Reads the clocks of a turn. */
void io_turn_begin(struct io *io);
/* Tunes an accepted socket (TCP_NODELAY). */
void io_socket_prepare(int fd);

MUST_USE enum err io_threads_new(struct io **ret_io);
MUST_USE enum err io_uring_new(struct io **ret_io);
