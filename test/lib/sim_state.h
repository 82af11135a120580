/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Inside the simulated backend: what sim_io.c, sim_files.c and sim_net.c share. */
#include "log/base/list.h"
#include "log/base/prng.h"
#include "log/base/thread.h"
#include "test/lib/sim_io.h"
#include "test/lib/sim_names.h"

#include <errno.h>

struct sim_socket;

enum sim_fd_kind { SIM_FD_FREE, SIM_FD_INODE, SIM_FD_LISTENER, SIM_FD_STREAM };
struct sim_fd {
	enum sim_fd_kind kind;
	uint32_t inode;
	bool read_only;
	bool direct;
	bool locked, shared;
	unsigned requests; /* submitted, not done */
	struct sim_socket *socket;
};

/* A request on its way: it takes effect and completes at due_ns. */
struct sim_flight {
	struct io_req *req;
	int64_t due_ns;
	uint64_t order;
	int fail; /* complete with this errno instead */
};

struct sim_oplog {
	struct sim_op *op;
	size_t count, capacity;
};

struct sim_io {
	struct io base;
	struct sim_disk *disk;
	struct sim_options options;
	struct prng prng;
	struct prng random;  /* options.still */
	int64_t now_ns;      /* monotonic and boottime */
	int64_t realtime_ns; /* offset of the wall clock */
	struct shared_u64 woken;
	bool dead;
	struct sim_fd *fds;
	size_t fd_count;
	struct sim_flight *flights;
	size_t flight_count, flight_capacity;
	uint64_t flight_order;
	size_t pending; /* requests between submit and done, in flight or waiting for a socket */
	struct sim_fault fault;
	uint64_t fault_hits;
	enum sim_call fault_call;
	uint64_t calls[32]; /* by bit of enum sim_call */
	struct sim_oplog log;
	uint16_t next_port;
	uint64_t fall_in; /* calls until the end; 0 = none is planned */
	uint64_t fall_seed;
	bool fall_kills;
	struct sim_disk *fallen;
};

static inline struct sim_io *sim_of(struct io *io)
{
	return CONTAINER_OF(io, struct sim_io, base);
}

/* No number of a real descriptor, so that a stray system call fails. */
enum { SIM_FD_FIRST = 1000 };

/* Counts the call of a request and decides its fate: 0, or the errno it must fail with. */
int sim_call(struct sim_io *s, enum sim_call call);
/* The same for a blocking call, which goes on after what is over by itself. */
int sim_call_blocking(struct sim_io *s, enum sim_call call);
/* Applies to the disk and records. 0 or errno. */
int sim_apply(struct sim_io *s, const struct sim_op *op);
/* The open descriptor, or NULL. */
struct sim_fd *sim_fd_get(struct sim_io *s, int fd);
/* A new descriptor of this kind, the lowest free number. */
int sim_fd_new(struct sim_io *s, enum sim_fd_kind kind);
/* A part of `len` bytes, by short_ppm; never nothing. */
size_t sim_part(struct sim_io *s, size_t len);
/* Sends a request on its way, or to its failure. */
void sim_take_off(struct sim_io *s, struct io_req *req, int fail);

/* sim_files.c */
enum err sim_open(struct io *io, const char *path, unsigned flags, int *ret_fd);
enum err sim_pread(struct io *io, int fd, void *buf, size_t len, uint64_t pos, size_t *ret_len);
enum err sim_pwrite(struct io *io, int fd, const void *buf, size_t len, uint64_t pos);
enum err sim_sync(struct io *io, int fd);
enum err sim_sync_all(struct io *io, int fd);
enum err sim_truncate(struct io *io, int fd, uint64_t size_bytes);
enum err sim_fallocate(struct io *io, int fd, uint64_t pos, uint64_t len);
enum err sim_pread_now(struct io *io, int fd, void *buf, size_t len, uint64_t pos);
void sim_prefetch(struct io *io, int fd, uint64_t pos, size_t len);
size_t sim_uncached(struct io *io, int fd, uint64_t pos, size_t len);
enum err sim_stat(struct io *io, const char *path, struct io_stat *ret_stat);
enum err sim_fstat(struct io *io, int fd, struct io_stat *ret_stat);
enum err sim_mkdir(struct io *io, const char *path);
enum err sim_rename(struct io *io, const char *from, const char *to);
enum err sim_symlink(struct io *io, const char *target, const char *path);
enum err sim_unlink(struct io *io, const char *path);
enum err sim_rmdir(struct io *io, const char *path);
enum err sim_fsync_dir(struct io *io, const char *path);
enum err sim_list(struct io *io, const char *path, struct io_names *ret_names);
enum err sim_real_path(struct io *io, const char *path, char *buf);
enum err sim_lock(struct io *io, int fd, bool shared);
enum err sim_space(
    struct io *io, const char *path, uint64_t *ret_free_bytes, uint64_t *ret_total_bytes);
/* The effect of a file request: bytes moved or -errno. */
int64_t sim_file_effect(struct sim_io *s, struct io_req *req);

/* sim_net.c */
enum err sim_listen(
    struct io *io, const char *host, uint16_t port, int *ret_fd, uint16_t *ret_port);
enum err sim_address(struct io *io, int fd, bool peer, struct io_address *ret_address);
size_t sim_untaken(struct io *io, int fd);
/* Waits at the socket or takes off. */
void sim_net_submit(struct sim_io *s, struct sim_fd *f, struct io_req *req);
/* True when the request was waiting at its socket and is the caller's again. */
bool sim_net_cancel(struct sim_io *s, struct io_req *req);
/*
 * The effect of a socket request: bytes moved, a descriptor, -errno, or -EAGAIN when it waits
 * again.
 */
int64_t sim_net_effect(struct sim_io *s, struct io_req *req);
void sim_net_close(struct sim_io *s, struct sim_fd *f);
/* When this socket may move again. */
int64_t sim_net_stalled_until(const struct sim_fd *f);
/* Everything that waits fails with EIO. */
void sim_net_unplug(struct sim_io *s);
