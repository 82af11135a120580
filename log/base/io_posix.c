/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files and directories of the blocking half. What POSIX leaves to the caller is done here once:
 * short transfers, EINTR and EAGAIN are continued, descriptors close on exec, files are 0600 and
 * directories 0700. A failed fsync is never repeated (but one that a signal ended): the kernel may
 * have marked the pages clean, so a second one would lie.
 */
#include "io_posix.h"

#include "limits.h"
#include "mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_cachestat
#define SYS_cachestat 451 /* on every machine (alpha excepted, which has no kappa) */
#endif

/* What a call says that has not begun, and that the next one need not say. */
static bool is_over(int sys_errno)
{
	return sys_errno == EINTR || sys_errno == EAGAIN;
}

/* What an open descriptor is of, for a message: its path, where the system says it. Valid until the
 * thread's next call; errno stays. */
static const char *name_of(int fd)
{
	static _Thread_local char name[256];
	char link[40];
	int saved = errno;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, name, sizeof(name) - 1);
	if (n > 0)
		name[n] = '\0';
	else
		snprintf(name, sizeof(name), "fd %d", fd);
	errno = saved;
	return name;
}

static enum err not_regular(const char *path)
{
	return err_note(ERR_CORRUPT, "open %s: not a regular file", path);
}

/*
 * Whatever stands in the place of a file is not waited for, and not read: a FIFO that nobody
 * writes, a device. Afterwards the descriptor blocks as others do, or io_uring would refuse to
 * wait for the disk.
 */
static enum err regular_or_close(int fd, const char *path, int mode)
{
	struct stat st;
	enum err e = ERR_OK;
	if (fstat(fd, &st) < 0)
		e = err_sys("stat %s", path);
	else if (!S_ISREG(st.st_mode))
		e = not_regular(path);
	else if (fcntl(fd, F_SETFL, mode & O_DIRECT) < 0)
		e = err_sys("open %s", path);
	if (e != ERR_OK)
		(void)close(fd);
	return e;
}

enum err posix_open(struct io *io, const char *path, unsigned flags, int *ret_fd)
{
	(void)io;
	ASSERT(!(flags & IO_EXCLUSIVE) || (flags & IO_CREATE));
	bool read_only = (flags & (IO_READONLY | IO_DIRECTORY)) != 0;
	int mode = O_CLOEXEC | O_NOCTTY | (read_only ? O_RDONLY : O_RDWR);
	mode |= flags & IO_CREATE ? O_CREAT : 0;
	mode |= flags & IO_EXCLUSIVE ? O_EXCL : 0;
	mode |= flags & IO_DIRECT ? O_DIRECT : 0;
	mode |= flags & IO_DIRECTORY ? O_DIRECTORY : O_NONBLOCK;
	int fd;
	do {
		fd = open(path, mode, 0600);
	} while (fd < 0 && errno == EINTR);
	if (fd >= 0) {
		if (!(flags & IO_DIRECTORY))
			TRY(regular_or_close(fd, path, mode));
		*ret_fd = fd;
		return ERR_OK;
	}
	if (errno == EISDIR || errno == ENXIO) /* a directory; a socket */
		return not_regular(path);
	if (errno != EINVAL || !(flags & IO_DIRECT))
		return err_sys("open %s", path);
	/*
	 * Linux creates the file before it refuses O_DIRECT: leave none behind for the second try
	 */
	if (flags & IO_EXCLUSIVE)
		(void)unlink(path);
	return err_note(ERR_UNSUPPORTED, "open %s: the file system refuses O_DIRECT", path);
}

enum err posix_close(struct io *io, int fd)
{
	(void)io;
	/* Linux has closed the descriptor even when it says EINTR */
	if (close(fd) < 0 && errno != EINTR)
		return err_sys("close fd %d", fd);
	return ERR_OK;
}

enum err posix_pread(struct io *io, int fd, void *buf, size_t len, uint64_t pos, size_t *ret_len)
{
	(void)io;
	size_t done = 0;
	while (done < len) {
		ssize_t n = pread(fd, (char *)buf + done, len - done, (off_t)(pos + done));
		if (n < 0 && is_over(errno))
			continue;
		if (n < 0)
			return err_sys(
			    "read %s pos %llu len %zu", name_of(fd), (unsigned long long)pos, len);
		if (n == 0)
			break;
		done += (size_t)n;
	}
	*ret_len = done;
	return ERR_OK;
}

enum err posix_pwrite(struct io *io, int fd, const void *buf, size_t len, uint64_t pos)
{
	(void)io;
	size_t done = 0;
	while (done < len) {
		ssize_t n = pwrite(fd, (const char *)buf + done, len - done, (off_t)(pos + done));
		if (n < 0 && is_over(errno))
			continue;
		if (n < 0)
			return err_sys(
			    "write %s pos %llu len %zu", name_of(fd), (unsigned long long)pos, len);
		if (n == 0)
			return err_note(ERR_IO, "write %s pos %llu: nothing written", name_of(fd),
			    (unsigned long long)(pos + done));
		done += (size_t)n;
	}
	return ERR_OK;
}

/* A signal ends the waiting, not the error that a write left behind: that is told by the next. */
static int sync_whole(int fd, int (*sync)(int fd))
{
	int rc;
	do {
		rc = sync(fd);
	} while (rc < 0 && errno == EINTR);
	return rc;
}

enum err posix_fdatasync(struct io *io, int fd)
{
	(void)io;
	return sync_whole(fd, fdatasync) < 0 ? err_sys("fdatasync %s", name_of(fd)) : ERR_OK;
}

enum err posix_fsync(struct io *io, int fd)
{
	(void)io;
	return sync_whole(fd, fsync) < 0 ? err_sys("fsync %s", name_of(fd)) : ERR_OK;
}

enum err posix_sync_all(struct io *io, int fd)
{
	(void)io;
	return sync_whole(fd, syncfs) < 0 ? err_sys("syncfs %s", name_of(fd)) : ERR_OK;
}

enum err posix_truncate(struct io *io, int fd, uint64_t size_bytes)
{
	(void)io;
	int rc;
	do {
		rc = ftruncate(fd, (off_t)size_bytes);
	} while (rc < 0 && errno == EINTR);
	if (rc < 0)
		return err_sys("truncate %s to %llu", name_of(fd), (unsigned long long)size_bytes);
	return ERR_OK;
}

enum err posix_fallocate_range(struct io *io, int fd, uint64_t pos, uint64_t len)
{
	(void)io;
	int rc;
	do {
		rc = fallocate(fd, 0, (off_t)pos, (off_t)len);
	} while (rc < 0 && errno == EINTR);
	if (rc < 0)
		return err_sys("allocate %s pos %llu len %llu", name_of(fd),
		    (unsigned long long)pos, (unsigned long long)len);
	return ERR_OK;
}

enum err posix_pread_now(struct io *io, int fd, void *buf, size_t len, uint64_t pos)
{
	struct iovec iov = {buf, len};
	(void)io;
	/* whatever it says but "all of it", a read that may wait says better */
	ssize_t n = preadv2(fd, &iov, 1, (off_t)pos, RWF_NOWAIT);
	return n == (ssize_t)len ? ERR_OK : ERR_AGAIN;
}

void posix_prefetch(struct io *io, int fd, uint64_t pos, size_t len)
{
	(void)io;
	(void)posix_fadvise(fd, (off_t)pos, (off_t)len, POSIX_FADV_WILLNEED); /* a hint */
}

/* cachestat, since Linux 6.5; not in every libc. */
size_t posix_uncached(struct io *io, int fd, uint64_t pos, size_t len)
{
	struct {
		uint64_t pos, len;
	} range = {pos, len};
	struct {
		uint64_t cached, dirty, writeback, evicted, recently_evicted;
	} pages;
	(void)io;
	if (len == 0 || syscall(SYS_cachestat, fd, &range, &pages, 0u) != 0)
		return 0;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t all = (pos + len - 1) / page - pos / page + 1;
	if (pages.cached >= all)
		return 0;
	uint64_t lacks = (all - pages.cached) * page;
	return lacks < len ? (size_t)lacks : len;
}

static struct io_stat stat_of(const struct stat *st)
{
	return (struct io_stat){
	    .size_bytes = (uint64_t)st->st_size,
	    .allocated_bytes = (uint64_t)st->st_blocks * 512,
	    .is_directory = S_ISDIR(st->st_mode),
	    .is_link = S_ISLNK(st->st_mode),
	    .device = (uint64_t)st->st_dev,
	    .inode = (uint64_t)st->st_ino,
	};
}

enum err posix_stat(struct io *io, const char *path, struct io_stat *ret_stat)
{
	(void)io;
	struct stat st;
	if (lstat(path, &st) < 0)
		return err_sys("stat %s", path);
	bool is_link = S_ISLNK(st.st_mode);
	if (is_link && stat(path, &st) < 0 && errno != ENOENT)
		return err_sys("stat %s", path);
	*ret_stat = stat_of(&st);
	ret_stat->is_link = is_link;
	return ERR_OK;
}

enum err posix_fstat(struct io *io, int fd, struct io_stat *ret_stat)
{
	(void)io;
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_sys("stat %s", name_of(fd));
	*ret_stat = stat_of(&st);
	return ERR_OK;
}

enum err posix_mkdir(struct io *io, const char *path)
{
	(void)io;
	return mkdir(path, 0700) < 0 ? err_sys("mkdir %s", path) : ERR_OK;
}

enum err posix_rename(struct io *io, const char *from, const char *to)
{
	(void)io;
	return rename(from, to) < 0 ? err_sys("rename %s to %s", from, to) : ERR_OK;
}

enum err posix_symlink(struct io *io, const char *target, const char *path)
{
	(void)io;
	return symlink(target, path) < 0 ? err_sys("symlink %s to %s", path, target) : ERR_OK;
}

enum err posix_unlink(struct io *io, const char *path)
{
	(void)io;
	return unlink(path) < 0 ? err_sys("unlink %s", path) : ERR_OK;
}

enum err posix_rmdir(struct io *io, const char *path)
{
	(void)io;
	return rmdir(path) < 0 ? err_sys("rmdir %s", path) : ERR_OK;
}

enum err posix_fsync_dir(struct io *io, const char *path)
{
	int fd;
	TRY(posix_open(io, path, IO_DIRECTORY, &fd));
	enum err e = sync_whole(fd, fsync) < 0 ? err_sys("fsync directory %s", path) : ERR_OK;
	if (close(fd) < 0 && errno != EINTR && e == ERR_OK)
		e = err_sys("close directory %s", path);
	return e;
}

/* ---- directory listing ----------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum err names_add(struct io_names *names, size_t *capacity, const char *name)
{
	if (names->count == *capacity) {
		size_t more = *capacity ? *capacity * 2 : 32;
		char **grown = mem_realloc(names->name, more * sizeof(*grown));
		if (!grown)
			return ERR_NOMEM;
		names->name = grown;
		*capacity = more;
	}
	char *copy = mem_strdup(str_of(name));
	if (!copy)
		return ERR_NOMEM;
	names->name[names->count++] = copy;
	return ERR_OK;
}

static enum err names_read(DIR *dir, struct io_names *names, const char *path)
{
	size_t capacity = 0;
	for (;;) {
		errno = 0;
		const struct dirent *entry = readdir(dir);
		if (!entry)
			return errno ? err_sys("list %s", path) : ERR_OK;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (names_add(names, &capacity, entry->d_name) != ERR_OK)
			return err_note(ERR_NOMEM, "list %s", path);
	}
}

enum err posix_list(struct io *io, const char *path, struct io_names *ret_names)
{
	(void)io;
	DIR *dir = opendir(path);
	if (!dir)
		return err_sys("list %s", path);
	struct io_names names = {NULL, 0};
	enum err e = names_read(dir, &names, path);
	closedir(dir);
	if (e != ERR_OK) {
		io_names_release(&names);
		return e;
	}
	if (names.count > 1)
		qsort(names.name, names.count, sizeof(*names.name), compare_names);
	*ret_names = names;
	return ERR_OK;
}

enum err posix_real_path(struct io *io, const char *path, char *buf)
{
	char *real = realpath(path, NULL);
	(void)io;
	if (!real)
		return err_sys("resolve %s", path);
	size_t len = strlen(real);
	if (len < IO_PATH_MAX)
		memcpy(buf, real, len + 1);
	free(real); /* libc's */
	return len < IO_PATH_MAX ? ERR_OK : err_note(ERR_LIMIT, "%s: path too long", path);
}

/* Where flock is made of locks on bytes (NFS), a directory has none to lock. */
static bool is_directory(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

enum err posix_lock(struct io *io, int fd, bool shared)
{
	(void)io;
	int rc;
	do {
		rc = flock(fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB);
	} while (rc < 0 && errno == EINTR);
	if (rc == 0)
		return ERR_OK;
	int why = errno;
	if (why == EWOULDBLOCK)
		return err_note(ERR_LOCKED, "lock %s", name_of(fd));
	if (why != EIO && why != ENOLCK && is_directory(fd))
		return err_note(ERR_UNSUPPORTED, "lock %s", name_of(fd));
	errno = why;
	return err_sys("lock %s", name_of(fd));
}

enum err posix_space(
    struct io *io, const char *path, uint64_t *ret_free_bytes, uint64_t *ret_total_bytes)
{
	(void)io;
	struct statvfs st;
	if (statvfs(path, &st) < 0)
		return err_sys("statvfs %s", path);
	*ret_free_bytes = (uint64_t)st.f_bavail * st.f_frsize;
	*ret_total_bytes = (uint64_t)st.f_blocks * st.f_frsize;
	return ERR_OK;
}

/* ---- clock, randomness ----------------------------------------------------------------------- */

int64_t posix_clock_ns(struct io *io, enum io_clock clock)
{
	(void)io;
	static const clockid_t ids[] = {
	    [IO_CLOCK_REALTIME] = CLOCK_REALTIME,
	    [IO_CLOCK_MONOTONIC] = CLOCK_MONOTONIC,
	    [IO_CLOCK_BOOTTIME] = CLOCK_BOOTTIME,
	};
	struct timespec ts;
	ASSERT(clock_gettime(ids[clock], &ts) == 0);
	return ts.tv_sec * S_NS + ts.tv_nsec;
}

void posix_random(struct io *io, void *buf, size_t len)
{
	(void)io;
	size_t done = 0;
	while (done < len) {
		ssize_t n = getrandom((char *)buf + done, len - done, 0);
		ASSERT(n > 0 || (n < 0 && errno == EINTR));
		done += n > 0 ? (size_t)n : 0;
	}
}

void posix_sleep_ns(struct io *io, int64_t ns)
{
	(void)io;
	if (ns <= 0)
		return;
	struct timespec ts = {.tv_sec = ns / S_NS, .tv_nsec = ns % S_NS};
	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, &ts) == EINTR)
		;
}
