/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files and directories of the simulated backend: paths, descriptors, and their operations on the
 * disk.
 */
#include "log/base/limits.h"
#include "log/base/mem.h"
#include "test/lib/sim_state.h"
#include "test/lib/xmalloc.h"

#include <stdio.h>

enum { NAME_MAX_LEN = 255, LINKS_MAX = 8 };

/* ---- paths ----------------------------------------------------------------------------------- */

struct place {
	uint32_t dir;
	char name[NAME_MAX_LEN + 1]; /* empty: the root */
	uint32_t inode;              /* 0: nothing there */
};

static int walk(struct sim_io *s, uint32_t dir, const char *path, bool follow, struct place *ret);

/* Goes on where a link points to. */
static int walk_link(struct sim_io *s, uint32_t dir, uint32_t link, struct place *ret)
{
	static unsigned depth;
	if (depth == LINKS_MAX)
		return ELOOP;
	const char *target = s->disk->inode[link].target;
	depth++;
	int failed = walk(s, target[0] == '/' ? (uint32_t)SIM_ROOT : dir, target, true, ret);
	depth--;
	return failed;
}

/* Takes the next name of *path, empty at its end. */
static int next_name(const char **path, struct str *ret_name)
{
	while (**path == '/')
		++*path;
	struct str name = {*path, 0};
	while (name.ptr[name.len] != '\0' && name.ptr[name.len] != '/')
		name.len++;
	if (name.len > NAME_MAX_LEN)
		return ENAMETOOLONG;
	*path += name.len;
	while (**path == '/')
		++*path;
	*ret_name = name;
	return 0;
}

static int walk(struct sim_io *s, uint32_t dir, const char *path, bool follow, struct place *ret)
{
	struct place at;
	at.dir = at.inode = dir;
	at.name[0] =
	    '\0'; /* the rest of it is nobody's business: paths are walked by the million */
	while (*path) {
		struct str name;
		int failed = next_name(&path, &name);
		if (failed)
			return failed;
		if (name.len == 0 || str_equal(name, STR(".")))
			continue;
		if (str_equal(name, STR("..")))
			return EINVAL; /* nobody should climb */
		if (!at.inode)
			return ENOENT;
		if (s->disk->inode[at.inode].kind != SIM_DIRECTORY)
			return ENOTDIR;
		at.dir = at.inode;
		memcpy(at.name, name.ptr, name.len);
		at.name[name.len] = '\0';
		at.inode = sim_disk_lookup(s->disk, at.dir, name);
		bool is_link = at.inode && s->disk->inode[at.inode].kind == SIM_LINK;
		if (is_link && (follow || *path)) {
			failed = walk_link(s, at.dir, at.inode, &at);
			if (failed)
				return failed;
		}
	}
	*ret = at;
	return 0;
}

static int find(struct sim_io *s, const char *path, bool follow, struct place *ret)
{
	return *path ? walk(s, SIM_ROOT, path, follow, ret) : ENOENT;
}

/* The place of something that must exist. */
static int find_existing(struct sim_io *s, const char *path, struct place *ret)
{
	int failed = find(s, path, true, ret);
	return failed ? failed : ret->inode ? 0 : ENOENT;
}

static enum err result(int failed, const char *what, const char *path)
{
	errno = failed;
	return failed ? err_sys("%s %s", what, path) : ERR_OK;
}

static enum err fd_result(int failed, const char *what, int fd)
{
	errno = failed;
	return failed ? err_sys("%s fd %d", what, fd) : ERR_OK;
}

/* ---- opening --------------------------------------------------------------------------------- */

static int open_place(struct sim_io *s, const char *path, unsigned flags, struct place *at)
{
	int failed = find(s, path, !(flags & IO_EXCLUSIVE), at);
	if (failed)
		return failed;
	if (!at->inode && !(flags & IO_CREATE))
		return ENOENT;
	if (at->inode && (flags & IO_EXCLUSIVE))
		return EEXIST;
	if (!at->inode) {
		struct sim_op op = {.kind = SIM_OP_CREATE, .inode = at->dir, .name = at->name};
		failed = sim_apply(s, &op);
		at->inode = failed ? 0 : sim_disk_lookup(s->disk, at->dir, str_of(at->name));
		return failed;
	}
	bool directory = s->disk->inode[at->inode].kind == SIM_DIRECTORY;
	if (!directory && (flags & IO_DIRECTORY))
		return ENOTDIR;
	return directory && !(flags & IO_DIRECTORY) ? EISDIR : 0;
}

enum err sim_open(struct io *io, const char *path, unsigned flags, int *ret_fd)
{
	struct sim_io *s = sim_of(io);
	struct place at;
	int failed = sim_call_blocking(s, SIM_CALL_OPEN);
	if (!failed && (flags & IO_DIRECT) && s->options.refuse_direct)
		return err_note(ERR_UNSUPPORTED, "open %s: the file system refuses O_DIRECT", path);
	if (!failed)
		failed = open_place(s, path, flags, &at);
	if (failed == EISDIR)
		return err_note(ERR_CORRUPT, "open %s: not a regular file", path);
	if (failed)
		return result(failed, "open", path);
	int fd = sim_fd_new(s, SIM_FD_INODE);
	struct sim_fd *f = sim_fd_get(s, fd);
	f->inode = at.inode;
	f->read_only = (flags & (IO_READONLY | IO_DIRECTORY)) != 0;
	f->direct = (flags & IO_DIRECT) != 0;
	sim_disk_open(s->disk, at.inode);
	*ret_fd = fd;
	return ERR_OK;
}

/* ---- reading and writing --------------------------------------------------------------------- */

/* The descriptor of a regular file, or NULL with *ret_errno. */
static struct sim_fd *file_of(struct sim_io *s, int fd, bool to_write, int *ret_errno)
{
	struct sim_fd *f = sim_fd_get(s, fd);
	if (!f || f->kind != SIM_FD_INODE || (to_write && f->read_only)) {
		*ret_errno = EBADF;
		return NULL;
	}
	if (s->disk->inode[f->inode].kind != SIM_FILE) {
		*ret_errno = EISDIR;
		return NULL;
	}
	return f;
}

static bool aligned(const struct sim_fd *f, const void *buf, size_t len, uint64_t pos)
{
	return !f->direct || (((uintptr_t)buf | len | pos) & (IO_DIRECT_ALIGN - 1)) == 0;
}

static int read_piece(
    struct sim_io *s, const struct sim_fd *f, struct iovec piece, uint64_t pos, size_t *ret_len)
{
	if (!aligned(f, piece.iov_base, piece.iov_len, pos))
		return EINVAL;
	if (sim_inode_is_bad(&s->disk->inode[f->inode], pos, piece.iov_len))
		return EIO;
	const struct sim_content *c = s->disk->inode[f->inode].cached;
	*ret_len = sim_content_read(c, piece.iov_base, piece.iov_len, pos);
	return 0;
}

/* What fits is written, as a kernel does before it says that the disk is full. */
static int write_fitting(struct sim_io *s, struct sim_op op)
{
	int failed = sim_apply(s, &op);
	size_t len = op.data.len;
	while (failed == ENOSPC && (len /= 2) >= SIM_BLOCK) {
		op.data.len = len & ~(size_t)(SIM_BLOCK - 1);
		if (sim_apply(s, &op) == 0)
			break;
	}
	return failed;
}

static int write_piece(
    struct sim_io *s, const struct sim_fd *f, struct iovec piece, uint64_t pos, int fault)
{
	if (!aligned(f, piece.iov_base, piece.iov_len, pos))
		return EINVAL;
	struct sim_op op = {.kind = SIM_OP_WRITE,
	    .inode = f->inode,
	    .pos = pos,
	    .data = bytes_of(piece.iov_base, piece.iov_len)};
	if (!fault)
		return write_fitting(s, op);
	/* T3: a part of it, in whole sectors */
	op.data.len = prng_below(&s->prng, piece.iov_len / SIM_SECTOR + 1) * SIM_SECTOR;
	if (!s->dead && op.data.len > 0)
		(void)sim_apply(s, &op);
	return fault;
}

static int sync_inode(struct sim_io *s, uint32_t inode, int fault)
{
	struct sim_op op = {.kind = SIM_OP_SYNC, .inode = inode};
	if (fault && !s->dead && s->disk->inode[inode].kind == SIM_FILE) {
		op.kind = SIM_OP_SYNC_LOST;
		op.pos = prng_u64(&s->prng);
		(void)sim_apply(s, &op);
	}
	return fault ? fault : sim_apply(s, &op);
}

/* Of a transfer that is cut short: bytes that are moved, in whole blocks where it is direct. */
static uint64_t short_of(struct sim_io *s, const struct sim_fd *f, uint64_t len)
{
	uint64_t unit = f->direct ? IO_DIRECT_ALIGN : 1, units = len / unit;
	return units < 2 ? len : unit * (1 + prng_below(&s->prng, units - 1));
}

/* What is not moved yet, all of it or the beginning. */
static int64_t transfer(struct sim_io *s, const struct sim_fd *f, struct io_req *req, int fault)
{
	uint64_t done = 0, skip = req->moved, most = UINT64_MAX, len = 0;
	bool writes = req->op != IO_READ;
	int failed = 0;
	for (int i = 0; i < req->iov_count; i++)
		len += req->iov[i].iov_len;
	if (fault == SIM_SHORT) {
		most = short_of(s, f, len - skip);
		fault = 0;
	}
	for (int i = 0; i < req->iov_count && !failed && done < most; i++) {
		struct iovec piece = req->iov[i];
		uint64_t cut = skip < piece.iov_len ? skip : piece.iov_len;
		skip -= cut;
		piece.iov_base = (char *)piece.iov_base + cut;
		piece.iov_len -= cut;
		if (piece.iov_len > most - done)
			piece.iov_len = (size_t)(most - done);
		size_t got = piece.iov_len;
		if (got == 0)
			continue;
		uint64_t pos = req->pos + req->moved + done;
		if (writes)
			failed = write_piece(s, f, piece, pos, fault);
		else
			failed = fault ? fault : read_piece(s, f, piece, pos, &got);
		done += failed ? 0 : got;
		if (got < piece.iov_len)
			break;
	}
	if (failed || writes || most != UINT64_MAX)
		return failed ? -failed : (int64_t)done;
	/* a short read was the end of the file: said at once, not asked again */
	req->moved += done;
	req->result = (int64_t)req->moved;
	return 0;
}

/* F10: what a durable write has just moved. */
static int64_t sync_moved(
    struct sim_io *s, const struct sim_fd *f, const struct io_req *req, int64_t moved)
{
	struct sim_op op = {.kind = SIM_OP_SYNC_RANGE,
	    .inode = f->inode,
	    .pos = req->pos + req->moved,
	    .len = (uint64_t)moved};
	int fate = sim_call(s, SIM_CALL_SYNC);
	if (fate == SIM_SHORT || fate == EINTR || fate == EAGAIN)
		fate = 0; /* those end the write, not the sync behind it */
	if (fate)
		return -sync_inode(s, f->inode, fate);
	return s->options.flush_lies || sim_apply(s, &op) == 0 ? moved : -EIO;
}

int64_t sim_file_effect(struct sim_io *s, struct io_req *req)
{
	int failed = 0;
	bool writes = req->op == IO_WRITE || req->op == IO_WRITE_DURABLE;
	struct sim_fd *f = file_of(s, req->fd, writes, &failed);
	if (!f)
		return -failed;
	if (req->op == IO_FDATASYNC) {
		int fate = sim_call(s, SIM_CALL_SYNC);
		if (fate == EINTR || fate == EAGAIN)
			return -fate; /* not begun */
		fate = fate == SIM_SHORT ? 0 : fate;
		return s->options.flush_lies ? -fate : -sync_inode(s, f->inode, fate);
	}
	if (req->op == IO_WRITEBACK)
		return 0; /* a hint; F6 makes sectors durable at any time anyway */
	int fault = sim_call(s, req->op == IO_READ ? SIM_CALL_READ : SIM_CALL_WRITE);
	if (fault == EINTR || fault == EAGAIN)
		return -fault;
	int64_t moved = transfer(s, f, req, fault);
	return req->op == IO_WRITE_DURABLE && moved > 0 ? sync_moved(s, f, req, moved) : moved;
}

static enum err pread_as(
    struct io *io, enum sim_call call, int fd, struct iovec to, uint64_t pos, size_t *ret_len)
{
	struct sim_io *s = sim_of(io);
	int failed = 0;
	size_t got = 0;
	struct sim_fd *f = file_of(s, fd, false, &failed);
	if (f)
		failed = sim_call_blocking(s, call);
	if (!failed)
		failed = read_piece(s, f, to, pos, &got);
	if (!failed)
		*ret_len = got;
	return fd_result(failed, "read", fd);
}

enum err sim_pread(struct io *io, int fd, void *buf, size_t len, uint64_t pos, size_t *ret_len)
{
	return pread_as(io, SIM_CALL_READ, fd, (struct iovec){buf, len}, pos, ret_len);
}

enum err sim_pwrite(struct io *io, int fd, const void *buf, size_t len, uint64_t pos)
{
	struct sim_io *s = sim_of(io);
	int failed = 0;
	struct sim_fd *f = file_of(s, fd, true, &failed);
	struct iovec piece = {NULL, len};
	memcpy(&piece.iov_base, &buf, sizeof(buf)); /* only read */
	if (f && len > 0)
		failed = write_piece(s, f, piece, pos, sim_call_blocking(s, SIM_CALL_WRITE));
	return fd_result(failed, "write", fd);
}

enum err sim_sync(struct io *io, int fd)
{
	struct sim_io *s = sim_of(io);
	struct sim_fd *f = sim_fd_get(s, fd);
	if (!f || f->kind != SIM_FD_INODE)
		return fd_result(EBADF, "fsync", fd);
	return fd_result(sync_inode(s, f->inode, sim_call_blocking(s, SIM_CALL_SYNC)), "fsync", fd);
}

/* One after the other: a cut in between finds some of it durable. */
enum err sim_sync_all(struct io *io, int fd)
{
	struct sim_io *s = sim_of(io);
	const struct sim_fd *f = sim_fd_get(s, fd);
	if (!f || f->kind != SIM_FD_INODE)
		return fd_result(EBADF, "syncfs", fd);
	int fault = sim_call_blocking(s, SIM_CALL_SYNC), failed = fault;
	for (uint32_t i = SIM_ROOT; i < s->disk->inode_count; i++) {
		if (!s->disk->inode[i].used || s->disk->inode[i].kind == SIM_LINK)
			continue;
		int one = sync_inode(s, i, fault);
		failed = failed ? failed : one;
	}
	return fd_result(failed, "syncfs", fd);
}

enum err sim_truncate(struct io *io, int fd, uint64_t size_bytes)
{
	struct sim_io *s = sim_of(io);
	int failed = 0;
	struct sim_fd *f = file_of(s, fd, true, &failed);
	if (f)
		failed = sim_call_blocking(s, SIM_CALL_TRUNCATE);
	struct sim_op op = {.kind = SIM_OP_TRUNCATE, .inode = f ? f->inode : 0, .pos = size_bytes};
	return fd_result(failed ? failed : sim_apply(s, &op), "truncate", fd);
}

enum err sim_fallocate(struct io *io, int fd, uint64_t pos, uint64_t len)
{
	struct sim_io *s = sim_of(io);
	int failed = 0;
	struct sim_fd *f = file_of(s, fd, true, &failed);
	if (f)
		failed = len == 0 ? EINVAL : sim_call_blocking(s, SIM_CALL_ALLOCATE);
	struct sim_op op = {.kind = SIM_OP_ALLOCATE, .inode = f ? f->inode : 0, .pos = pos + len};
	return fd_result(failed ? failed : sim_apply(s, &op), "allocate", fd);
}

enum err sim_pread_now(struct io *io, int fd, void *buf, size_t len, uint64_t pos)
{
	size_t got = 0;
	TRY(pread_as(io, SIM_CALL_READ_NOW, fd, (struct iovec){buf, len}, pos, &got));
	return got == len ? ERR_OK : ERR_AGAIN;
}

void sim_prefetch(struct io *io, int fd, uint64_t pos, size_t len)
{
	int failed = 0;
	ASSERT(file_of(sim_of(io), fd, false, &failed));
	(void)pos;
	(void)len;
}

/* Whatever a page cache may say. */
size_t sim_uncached(struct io *io, int fd, uint64_t pos, size_t len)
{
	struct sim_io *s = sim_of(io);
	int failed = 0;
	ASSERT(file_of(s, fd, false, &failed));
	(void)pos;
	return prng_below(&s->prng, 2) * len;
}

/* ---- state ----------------------------------------------------------------------------------- */

static struct io_stat stat_of(const struct sim_disk *disk, uint32_t inode)
{
	const struct sim_inode *n = &disk->inode[inode];
	struct io_stat st = {.is_directory = n->kind == SIM_DIRECTORY,
	    .is_link = n->kind == SIM_LINK,
	    .device = 1,
	    .inode = inode};
	if (n->kind == SIM_FILE) {
		st.size_bytes = n->cached->size_bytes;
		st.allocated_bytes = sim_content_blocks(n->cached) * SIM_BLOCK;
	}
	return st;
}

enum err sim_stat(struct io *io, const char *path, struct io_stat *ret_stat)
{
	struct sim_io *s = sim_of(io);
	struct place link, at;
	int failed = sim_call_blocking(s, SIM_CALL_STAT);
	if (!failed)
		failed = find(s, path, false, &link);
	if (!failed && !link.inode)
		failed = ENOENT;
	if (failed)
		return result(failed, "stat", path);
	bool is_link = s->disk->inode[link.inode].kind == SIM_LINK;
	if (is_link && find_existing(s, path, &at) == 0)
		link = at;
	*ret_stat = stat_of(s->disk, link.inode);
	ret_stat->is_link = is_link;
	return ERR_OK;
}

enum err sim_fstat(struct io *io, int fd, struct io_stat *ret_stat)
{
	struct sim_io *s = sim_of(io);
	struct sim_fd *f = sim_fd_get(s, fd);
	int failed = f && f->kind == SIM_FD_INODE ? sim_call_blocking(s, SIM_CALL_STAT) : EBADF;
	if (!failed)
		*ret_stat = stat_of(s->disk, f->inode);
	return fd_result(failed, "stat", fd);
}

/* Name by name; where one is a link, its target comes in its place. */
static int resolve(struct sim_io *s, const char *path, char *real)
{
	char rest[2 * IO_PATH_MAX], more[2 * IO_PATH_MAX];
	unsigned links = 0;
	snprintf(rest, sizeof(rest), "%s", path);
	real[0] = '\0';
	for (const char *at = rest;;) {
		struct str name;
		struct place p;
		size_t len = strlen(real);
		int failed = next_name(&at, &name);
		if (failed || name.len == 0)
			return failed;
		snprintf(real + len, IO_PATH_MAX - len, "/%.*s", (int)name.len, name.ptr);
		failed = find(s, real, false, &p);
		if (failed || !p.inode)
			return failed ? failed : ENOENT;
		const struct sim_inode *n = &s->disk->inode[p.inode];
		if (n->kind != SIM_LINK)
			continue;
		if (links++ == LINKS_MAX)
			return ELOOP;
		snprintf(more, sizeof(more), "%s/%s", n->target, at);
		real[n->target[0] == '/' ? 0 : len] = '\0';
		memcpy(rest, more, sizeof(rest));
		at = rest;
	}
}

enum err sim_real_path(struct io *io, const char *path, char *buf)
{
	struct sim_io *s = sim_of(io);
	char real[IO_PATH_MAX];
	int failed = sim_call_blocking(s, SIM_CALL_STAT);
	if (!failed)
		failed = resolve(s, path, real);
	if (!failed)
		snprintf(buf, IO_PATH_MAX, "%s", real[0] ? real : "/");
	return result(failed, "resolve", path);
}

enum err sim_lock(struct io *io, int fd, bool shared)
{
	struct sim_io *s = sim_of(io);
	struct sim_fd *f = sim_fd_get(s, fd);
	int failed = f && f->kind == SIM_FD_INODE ? sim_call_blocking(s, SIM_CALL_LOCK) : EBADF;
	if (failed)
		return fd_result(failed, "lock", fd);
	for (size_t i = 0; i < s->fd_count; i++) {
		const struct sim_fd *other = &s->fds[i];
		if (other != f && other->kind == SIM_FD_INODE && other->inode == f->inode &&
		    other->locked && !(shared && other->shared))
			return err_note(ERR_LOCKED, "lock fd %d", fd);
	}
	f->locked = true;
	f->shared = shared;
	return ERR_OK;
}

enum err sim_space(
    struct io *io, const char *path, uint64_t *ret_free_bytes, uint64_t *ret_total_bytes)
{
	struct sim_io *s = sim_of(io);
	struct place at;
	int failed = sim_call_blocking(s, SIM_CALL_SPACE);
	if (!failed)
		failed = find_existing(s, path, &at);
	if (failed)
		return result(failed, "statvfs", path);
	uint64_t total = s->disk->capacity_bytes ? s->disk->capacity_bytes : (uint64_t)1 << 40;
	*ret_total_bytes = total;
	*ret_free_bytes = s->disk->used_bytes < total ? total - s->disk->used_bytes : 0;
	return ERR_OK;
}

/* ---- names ----------------------------------------------------------------------------------- */

/* An operation on one name whose directory exists. */
static int change_name(struct sim_io *s, const char *path, enum sim_op_kind kind, struct bytes data)
{
	struct place at;
	int failed = sim_call_blocking(s, SIM_CALL_NAMES);
	if (!failed)
		failed = find(s, path, false, &at);
	if (failed)
		return failed;
	if (at.name[0] == '\0')
		return kind == SIM_OP_MKDIR ? EEXIST : EBUSY;
	struct sim_op op = {.kind = kind, .inode = at.dir, .name = at.name, .data = data};
	return sim_apply(s, &op);
}

enum err sim_mkdir(struct io *io, const char *path)
{
	return result(
	    change_name(sim_of(io), path, SIM_OP_MKDIR, bytes_of(NULL, 0)), "mkdir", path);
}

enum err sim_symlink(struct io *io, const char *target, const char *path)
{
	int failed = change_name(sim_of(io), path, SIM_OP_SYMLINK, str_bytes(str_of(target)));
	return result(failed, "symlink", path);
}

enum err sim_unlink(struct io *io, const char *path)
{
	return result(
	    change_name(sim_of(io), path, SIM_OP_UNLINK, bytes_of(NULL, 0)), "unlink", path);
}

enum err sim_rmdir(struct io *io, const char *path)
{
	return result(
	    change_name(sim_of(io), path, SIM_OP_RMDIR, bytes_of(NULL, 0)), "rmdir", path);
}

enum err sim_rename(struct io *io, const char *from, const char *to)
{
	struct sim_io *s = sim_of(io);
	struct place a, b;
	int failed = sim_call_blocking(s, SIM_CALL_NAMES);
	if (!failed)
		failed = find(s, from, false, &a);
	if (!failed)
		failed = find(s, to, false, &b);
	if (!failed && (a.name[0] == '\0' || b.name[0] == '\0'))
		failed = EBUSY;
	if (failed)
		return result(failed, "rename", from);
	struct sim_op op = {.kind = SIM_OP_RENAME,
	    .inode = a.dir,
	    .name = a.name,
	    .to_dir = b.dir,
	    .to_name = b.name};
	return result(sim_apply(s, &op), "rename", from);
}

enum err sim_fsync_dir(struct io *io, const char *path)
{
	struct sim_io *s = sim_of(io);
	struct place at;
	int fault = sim_call_blocking(s, SIM_CALL_SYNC_DIR);
	int failed = find_existing(s, path, &at);
	if (!failed && s->disk->inode[at.inode].kind != SIM_DIRECTORY)
		failed = ENOTDIR;
	if (!failed)
		failed = sync_inode(s, at.inode, fault);
	return result(failed, "fsync directory", path);
}

enum err sim_list(struct io *io, const char *path, struct io_names *ret_names)
{
	struct sim_io *s = sim_of(io);
	struct place at;
	int failed = sim_call_blocking(s, SIM_CALL_LIST);
	if (!failed)
		failed = find_existing(s, path, &at);
	if (!failed && s->disk->inode[at.inode].kind != SIM_DIRECTORY)
		failed = ENOTDIR;
	if (failed)
		return result(failed, "list", path);
	/* the caller's memory: from mem_alloc, and so it may fail */
	const struct sim_names *from = &s->disk->inode[at.inode].names;
	struct io_names names = {NULL, 0};
	names.name = mem_alloc(from->count * sizeof(*names.name));
	bool whole = names.name != NULL;
	while (whole && names.count < from->count) {
		names.name[names.count] = mem_strdup(str_of(from->entry[names.count].name));
		whole = names.name[names.count] != NULL;
		names.count += whole;
	}
	if (!whole) {
		io_names_release(&names);
		return err_note(ERR_NOMEM, "list %s", path);
	}
	*ret_names = names;
	return ERR_OK;
}
