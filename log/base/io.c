/* SPDX-License-Identifier: Apache-2.0 */
/* The seam itself: choosing a backend, forwarding the blocking half, and what is composed of it. */
#include "io.h"

#include "diag.h"
#include "io_posix.h"
#include "limits.h"
#include "mem.h"

#include <errno.h>
#include <stdio.h>

enum err io_new(const char *backend, struct io **ret_io)
{
	if (strcmp(backend, "threads") == 0)
		return io_threads_new(ret_io);
	if (strcmp(backend, "uring") == 0)
		return io_uring_new(ret_io);
	if (strcmp(backend, "auto") != 0)
		return err_note(
		    ERR_INVALID, "I/O backend \"%s\": choose uring, threads or auto", backend);
	size_t mark = err_mark();
	enum err e = io_uring_new(ret_io);
	if (e == ERR_OK || e == ERR_NOMEM)
		return e;
	char reason[256];
	diag(DIAG_WARN, "io_fallback", "backend=threads refused=uring reason=%s",
	    diag_quote(reason, sizeof(reason), str_of(err_chain())));
	err_rewind(mark);
	return io_threads_new(ret_io);
}

void io_free(struct io *io)
{
	if (io)
		io->ops->free(io);
}

/* ---- requests -------------------------------------------------------------------------------- */

static bool moves_bytes(enum io_op op)
{
	return op != IO_FDATASYNC && op != IO_WRITEBACK && op != IO_ACCEPT;
}

void io_req_begin(struct io_req *req)
{
	ASSERT(req->done && req->fd >= 0);
	ASSERT(!moves_bytes(req->op) ||
	       (req->iov && req->iov_count > 0 && req->iov_count <= IO_IOV_MAX));
	ASSERT(req->op != IO_WRITEBACK || req->iov);
	req->err = ERR_OK;
	req->sys_errno = 0;
	req->result = 0;
	req->moved = 0;
	req->next = req->prev = NULL;
	req->state = 0;
}

/*
 * `rest` is the remainder of the piece that was cut; the pieces after it go with the next call.
 * Short transfers are rare, so a call more costs less than a copy of the array in each request.
 */
int io_req_rest(struct io_req *req, const struct iovec **ret_iov)
{
	uint64_t skip = req->moved;
	int i = 0;
	while (i < req->iov_count && skip >= req->iov[i].iov_len) {
		skip -= req->iov[i].iov_len;
		i++;
	}
	if (skip == 0) {
		*ret_iov = req->iov + i;
		return req->iov_count - i;
	}
	const struct iovec *cut = &req->iov[i];
	req->rest = (struct iovec){(char *)cut->iov_base + skip, cut->iov_len - skip};
	*ret_iov = &req->rest;
	return 1;
}

static bool all_moved(const struct io_req *req)
{
	uint64_t len = 0;
	for (int i = 0; i < req->iov_count; i++)
		len += req->iov[i].iov_len;
	return req->moved >= len;
}

static bool fail(struct io_req *req, int sys_errno)
{
	req->sys_errno = sys_errno;
	req->err = err_from_errno(sys_errno);
	return true;
}

bool io_req_advance(struct io_req *req, int64_t outcome)
{
	/* a socket's EAGAIN never comes here: the backend waits for its readiness */
	if (outcome == -EINTR || (outcome == -EAGAIN && req->op <= IO_WRITEBACK))
		return false;
	if (outcome < 0)
		return fail(req, (int)-outcome);
	if (!moves_bytes(req->op)) {
		req->result = req->op == IO_ACCEPT ? outcome : 0;
		return true;
	}
	req->moved += (uint64_t)outcome;
	req->result = (int64_t)req->moved;
	if (req->op == IO_RECV || (req->op == IO_READ && outcome == 0) || all_moved(req))
		return true;
	/* a device or peer that takes nothing and reports nothing would be asked for ever */
	return outcome == 0 ? fail(req, EIO) : false;
}

void io_req_cancelled(struct io_req *req)
{
	fail(req, ECANCELED);
}

static const char *const op_names[] = {
    "read", "write", "durable write", "fdatasync", "writeback", "accept", "recv", "send"};

void io_req_done(struct io_req *req)
{
	bool file = req->op <= IO_WRITEBACK;
	if (req->err != ERR_OK && file) {
		errno = req->sys_errno;
		(void)err_sys(
		    "%s fd %d pos %llu", op_names[req->op], req->fd, (unsigned long long)req->pos);
	}
	req->done(req);
}

void io_turn_begin(struct io *io)
{
	io->turn_monotonic_ns = io->ops->clock_ns(io, IO_CLOCK_MONOTONIC);
	io->turn_realtime_ns = io->ops->clock_ns(io, IO_CLOCK_REALTIME);
}

/* ---- blocking -------------------------------------------------------------------------------- */

enum err io_open(struct io *io, const char *path, unsigned flags, int *ret_fd)
{
	return io->ops->open(io, path, flags, ret_fd);
}

enum err io_close(struct io *io, int fd)
{
	return io->ops->close(io, fd);
}

enum err io_pread(struct io *io, int fd, void *buf, size_t len, uint64_t pos, size_t *ret_len)
{
	return io->ops->pread(io, fd, buf, len, pos, ret_len);
}

enum err io_pread_all(struct io *io, int fd, void *buf, size_t len, uint64_t pos)
{
	size_t got;
	TRY(io->ops->pread(io, fd, buf, len, pos, &got));
	if (got < len)
		return err_note(ERR_EOF, "read fd %d pos %llu: %zu of %zu bytes", fd,
		    (unsigned long long)pos, got, len);
	return ERR_OK;
}

enum err io_pwrite(struct io *io, int fd, const void *buf, size_t len, uint64_t pos)
{
	return io->ops->pwrite(io, fd, buf, len, pos);
}

enum err io_fdatasync(struct io *io, int fd)
{
	return io->ops->fdatasync(io, fd);
}

enum err io_fsync(struct io *io, int fd)
{
	return io->ops->fsync(io, fd);
}

enum err io_sync_all(struct io *io, int fd)
{
	return io->ops->sync_all(io, fd);
}

enum err io_truncate(struct io *io, int fd, uint64_t size_bytes)
{
	return io->ops->truncate(io, fd, size_bytes);
}

enum err io_fallocate(struct io *io, int fd, uint64_t pos, uint64_t len)
{
	return io->ops->fallocate(io, fd, pos, len);
}

enum err io_pread_now(struct io *io, int fd, void *buf, size_t len, uint64_t pos)
{
	return io->ops->pread_now(io, fd, buf, len, pos);
}

void io_prefetch(struct io *io, int fd, uint64_t pos, size_t len)
{
	io->ops->prefetch(io, fd, pos, len);
}

size_t io_uncached(struct io *io, int fd, uint64_t pos, size_t len)
{
	return io->ops->uncached(io, fd, pos, len);
}

enum err io_stat(struct io *io, const char *path, struct io_stat *ret_stat)
{
	return io->ops->stat(io, path, ret_stat);
}

enum err io_fstat(struct io *io, int fd, struct io_stat *ret_stat)
{
	return io->ops->fstat(io, fd, ret_stat);
}

enum err io_mkdir(struct io *io, const char *path)
{
	return io->ops->mkdir(io, path);
}

enum err io_rename(struct io *io, const char *from, const char *to)
{
	return io->ops->rename(io, from, to);
}

enum err io_symlink(struct io *io, const char *target, const char *path)
{
	return io->ops->link_symbolic(io, target, path);
}

enum err io_unlink(struct io *io, const char *path)
{
	return io->ops->unlink(io, path);
}

enum err io_rmdir(struct io *io, const char *path)
{
	return io->ops->rmdir(io, path);
}

enum err io_fsync_dir(struct io *io, const char *path)
{
	return io->ops->fsync_dir(io, path);
}

enum err io_list(struct io *io, const char *path, struct io_names *ret_names)
{
	return io->ops->list(io, path, ret_names);
}

void io_names_release(struct io_names *names)
{
	for (size_t i = 0; i < names->count; i++)
		mem_free(names->name[i]);
	mem_free(names->name);
	*names = (struct io_names){NULL, 0};
}

enum err io_real_path(struct io *io, const char *path, char *buf)
{
	return io->ops->real_path(io, path, buf);
}

enum err io_lock(struct io *io, int fd, bool shared)
{
	return io->ops->lock(io, fd, shared);
}

enum err io_space(
    struct io *io, const char *path, uint64_t *ret_free_bytes, uint64_t *ret_total_bytes)
{
	return io->ops->space(io, path, ret_free_bytes, ret_total_bytes);
}

enum err io_listen(struct io *io, const char *host, uint16_t port, int *ret_fd, uint16_t *ret_port)
{
	return io->ops->listen(io, host, port, ret_fd, ret_port);
}

enum err io_address(struct io *io, int fd, bool peer, struct io_address *ret_address)
{
	return io->ops->address(io, fd, peer, ret_address);
}

size_t io_untaken(struct io *io, int fd)
{
	return io->ops->untaken(io, fd);
}

int64_t io_clock_ns(struct io *io, enum io_clock clock)
{
	return io->ops->clock_ns(io, clock);
}

void io_random(struct io *io, void *buf, size_t len)
{
	io->ops->random(io, buf, len);
}

void io_sleep_ns(struct io *io, int64_t ns)
{
	io->ops->sleep_ns(io, ns);
}

/* ---- composed -------------------------------------------------------------------------------- */

struct str io_parent(const char *path)
{
	size_t len = strlen(path);
	while (len > 1 && path[len - 1] == '/')
		len--;
	while (len > 0 && path[len - 1] != '/')
		len--;
	while (len > 1 && path[len - 1] == '/')
		len--;
	return len == 0 ? STR(".") : str_from(path, len);
}

static enum err sync_parent(struct io *io, const char *path)
{
	char *parent = mem_strdup(io_parent(path));
	if (!parent)
		return err_note(ERR_NOMEM, "fsync the parent of %s", path);
	enum err e = io_fsync_dir(io, parent);
	mem_free(parent);
	return e;
}

/*
 * The name of a directory that is there: who made it may have been killed before the sync. Where a
 * sync is not allowed or not known, it is somebody else's name.
 */
static enum err sync_found(struct io *io, const char *path)
{
	size_t mark = err_mark();
	enum err e = sync_parent(io, path);
	if (e != ERR_PERMISSION && e != ERR_INVALID && e != ERR_UNSUPPORTED)
		return e;
	err_rewind(mark);
	return ERR_OK;
}

/* *made: in, its parent was made here; out, it was itself. */
static enum err mkdir_durably(struct io *io, const char *path, bool *made)
{
	struct io_stat st;
	size_t mark = err_mark();
	enum err e = io_stat(io, path, &st);
	if (e == ERR_OK && !st.is_directory)
		return err_note(ERR_EXISTS, "%s is not a directory", path);
	if (e == ERR_OK)
		*made = false;
	if (e != ERR_NOT_FOUND)
		return e;
	err_rewind(mark);
	char *parent = mem_strdup(io_parent(path));
	if (!parent)
		return err_note(ERR_NOMEM, "mkdir %s", path);
	/* first: of what is found at the next start only the last name may be not durable */
	e = *made ? ERR_OK : sync_found(io, parent);
	mem_free(parent);
	TRY(e);
	e = io_mkdir(io, path);
	if (e == ERR_EXISTS) { /* made meanwhile, or a link to nothing */
		TRY(io_stat(io, path, &st));
		if (!st.is_directory)
			return err_note(ERR_EXISTS, "%s is not a directory", path);
		err_rewind(mark);
	}
	if (e != ERR_OK && e != ERR_EXISTS)
		return e;
	*made = true;
	return sync_parent(io, path);
}

enum err io_mkdir_all(struct io *io, const char *path)
{
	char *prefix = mem_strdup(str_of(path));
	if (!prefix)
		return err_note(ERR_NOMEM, "mkdir %s", path);
	enum err e = ERR_OK;
	bool made = false;
	for (size_t i = 1; prefix[0] && e == ERR_OK; i++) {
		char c = prefix[i];
		if (c != '/' && c != '\0')
			continue;
		prefix[i] = '\0';
		if (prefix[i - 1] != '/')
			e = mkdir_durably(io, prefix, &made);
		if (c == '\0')
			break;
		prefix[i] = c;
	}
	mem_free(prefix);
	if (e == ERR_OK && !made)
		e = sync_found(io, path);
	return e;
}

static enum err read_open_file(struct io *io, int fd, size_t limit_bytes, struct bytes *ret_content)
{
	struct io_stat st;
	TRY(io_fstat(io, fd, &st));
	if (st.size_bytes > limit_bytes)
		return err_note(ERR_LIMIT, "%llu bytes, at most %zu are read",
		    (unsigned long long)st.size_bytes, limit_bytes);
	size_t len = (size_t)st.size_bytes;
	uint8_t *buf = mem_alloc(len);
	if (!buf)
		return err_note(ERR_NOMEM, "%zu bytes", len);
	size_t got;
	enum err e = io_pread(io, fd, buf, len, 0, &got);
	if (e != ERR_OK) {
		mem_free(buf);
		return e;
	}
	*ret_content = bytes_of(buf, got);
	return ERR_OK;
}

enum err io_read_file(
    struct io *io, const char *path, size_t limit_bytes, struct bytes *ret_content)
{
	int fd;
	TRY(io_open(io, path, IO_READONLY, &fd));
	enum err e = read_open_file(io, fd, limit_bytes, ret_content);
	if (e != ERR_OK)
		err_note(e, "read %s", path);
	/* nothing was written: a failed close loses nothing */
	(void)!io_close(io, fd);
	return e;
}

static enum err write_new_file(struct io *io, const char *path, struct bytes content)
{
	int fd;
	TRY(io_open(io, path, IO_CREATE, &fd));
	enum err e = io_truncate(io, fd, 0);
	if (e == ERR_OK)
		e = io_pwrite(io, fd, content.ptr, content.len, 0);
	if (e == ERR_OK)
		e = io_fsync(io, fd);
	enum err closed = io_close(io, fd);
	return e != ERR_OK ? e : closed;
}

enum err io_put_file(struct io *io, const char *path, struct bytes content)
{
	int fd;
	TRY(io_open(io, path, IO_CREATE | IO_EXCLUSIVE, &fd));
	enum err e = content.len > 0 ? io_pwrite(io, fd, content.ptr, content.len, 0) : ERR_OK;
	enum err closed = io_close(io, fd);
	return e != ERR_OK ? e : closed;
}

enum err io_write_file(struct io *io, const char *path, struct bytes content)
{
	size_t len = strlen(path) + sizeof(".tmp");
	char *tmp = mem_alloc(len);
	char *parent = mem_strdup(io_parent(path));
	enum err e = tmp && parent ? ERR_OK : err_note(ERR_NOMEM, "write %s", path);
	if (e == ERR_OK) {
		snprintf(tmp, len, "%s.tmp", path);
		e = write_new_file(io, tmp, content);
	}
	if (e == ERR_OK)
		e = io_rename(io, tmp, path);
	if (e == ERR_OK)
		e = io_fsync_dir(io, parent);
	mem_free(parent);
	mem_free(tmp);
	return e;
}
