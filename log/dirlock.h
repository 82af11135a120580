/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Who has a directory: the data directory, or a journal's outside of it. Two locks of the system
 * (flock), which end with the process that has them, however it ends:
 *
 *   the directory itself    holds whatever becomes of names in it
 *   the file `lock` in it   is what earlier versions take, and where a file system does not lock
 *                           directories (one event, `directory_lock`)
 *
 * Who writes has both alone; who only reads shares them with others that do, and goes without the
 * file where it is not there or not his to open: on a file system that is read-only, or another's.
 */
#include "log/base/base.h"

struct dirlock {
	int dir_fd, file_fd; /* -1 = not held */
};
#define DIRLOCK_NONE                                                                               \
	(struct dirlock)                                                                           \
	{                                                                                          \
		-1, -1                                                                             \
	}
enum dirlock_use { DIRLOCK_WRITE, DIRLOCK_READ };

/* `dir` is there. ERR_LOCKED: somebody else has it. *ret is to be released after a failure too. */
MUST_USE enum err dirlock_take(
    struct io *io, const char *dir, enum dirlock_use use, struct dirlock *ret);
/* For offline tools: of a data directory, ERR_NOT_FOUND when it is none. */
MUST_USE enum err dirlock_take_data(
    struct io *io, const char *data_dir, enum dirlock_use use, struct dirlock *ret);
/*
 * The file `unfinished`: a tool (`what`: "a salvage") is writing the directory. Made durably before
 * the first byte, taken away durably when all the others are. ERR_REFUSED: it is there.
 */
MUST_USE enum err dirlock_unfinished(struct io *io, const char *dir, const char *what);
MUST_USE enum err dirlock_finish(struct io *io, const char *dir);
MUST_USE enum err dirlock_finished(struct io *io, const char *dir);
void dirlock_release(struct io *io, struct dirlock *lock);
