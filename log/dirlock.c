/* SPDX-License-Identifier: Apache-2.0 */
/* See dirlock.h. */
#include "log/dirlock.h"
#include <stdio.h>

static enum err path_in(char *buf, const char *dir, const char *name)
{
	int n = snprintf(buf, IO_PATH_MAX, "%s/%s", dir, name);
	return n > 0 && n < IO_PATH_MAX ? ERR_OK : err_note(ERR_LIMIT, "%s: path too long", dir);
}

static enum err lock_directory(struct io *io, const char *dir, bool shared, int *ret_fd)
{
	size_t mark = err_mark();
	TRY(io_open(io, dir, IO_DIRECTORY, ret_fd));
	enum err err = io_lock(io, *ret_fd, shared);
	if (err != ERR_UNSUPPORTED)
		return err;
	diag(DIAG_WARN, "directory_lock",
	    "dir=%s what=\"the file system does not lock directories: do not remove the file "
	    "lock\"",
	    dir);
	err_rewind(mark);
	err = io_close(io, *ret_fd);
	*ret_fd = -1;
	return err;
}

static enum err lock_file(struct io *io, const char *dir, bool shared, int *ret_fd)
{
	char path[IO_PATH_MAX];
	TRY(path_in(path, dir, "lock"));
	TRY(io_open(io, path, shared ? IO_READONLY : IO_CREATE, ret_fd));
	return io_lock(io, *ret_fd, shared);
}

enum err dirlock_take(struct io *io, const char *dir, enum dirlock_use use, struct dirlock *ret)
{
	bool shared = use == DIRLOCK_READ;
	*ret = DIRLOCK_NONE;
	enum err err = lock_directory(io, dir, shared, &ret->dir_fd);
	size_t mark = err_mark();
	if (err == ERR_OK)
		err = lock_file(io, dir, shared, &ret->file_fd);
	bool not_mine = err == ERR_NOT_FOUND || err == ERR_PERMISSION;
	if (shared && not_mine && ret->dir_fd >= 0 && ret->file_fd < 0) {
		err_rewind(mark);
		err = ERR_OK;
	}
	return err == ERR_LOCKED ? err_note(err, "%s is held by another server or command", dir)
	                         : err;
}

static enum err has(struct io *io, const char *dir, const char *name, bool *ret_has)
{
	char path[IO_PATH_MAX];
	struct io_stat stat;
	size_t mark = err_mark();
	TRY(path_in(path, dir, name));
	enum err err = io_stat(io, path, &stat);
	*ret_has |= err == ERR_OK;
	if (err == ERR_NOT_FOUND)
		err_rewind(mark);
	return err == ERR_NOT_FOUND ? ERR_OK : err;
}

enum err dirlock_take_data(
    struct io *io, const char *data_dir, enum dirlock_use use, struct dirlock *ret)
{
	bool is_one = false;
	*ret = DIRLOCK_NONE;
	TRY(has(io, data_dir, "lock", &is_one));
	if (!is_one)
		TRY(has(io, data_dir, "topics", &is_one));
	if (!is_one)
		return err_note(ERR_NOT_FOUND,
		    "%s is not a data directory (it has neither lock nor topics)", data_dir);
	return dirlock_take(io, data_dir, use, ret);
}

enum err dirlock_unfinished(struct io *io, const char *dir, const char *what)
{
	char path[IO_PATH_MAX], text[128];
	TRY(path_in(path, dir, "unfinished"));
	int n =
	    snprintf(text, sizeof(text), "%s is writing this directory, or did not end\n", what);
	return io_write_file(io, path, bytes_of(text, (size_t)n));
}

enum err dirlock_finish(struct io *io, const char *dir)
{
	char path[IO_PATH_MAX];
	TRY(path_in(path, dir, "unfinished"));
	TRY(io_unlink(io, path));
	return io_fsync_dir(io, dir);
}

enum err dirlock_finished(struct io *io, const char *dir)
{
	bool unfinished = false;
	TRY(has(io, dir, "unfinished", &unfinished));
	return unfinished ? err_note(ERR_REFUSED,
	                        "%s was not written to the end (its file `unfinished`): remove it, "
	                        "and write it again",
	                        dir)
	                  : ERR_OK;
}

static void give_back(struct io *io, int *fd)
{
	if (*fd >= 0 && io_close(io, *fd) != ERR_OK) {
		diag(DIAG_WARN, "unlock", "error=\"%s\"", err_chain());
		err_clear();
	}
	*fd = -1;
}

void dirlock_release(struct io *io, struct dirlock *lock)
{
	give_back(io, &lock->file_fd);
	give_back(io, &lock->dir_fd);
}
