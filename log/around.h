/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Reading a file of which parts cannot be read: what offline tools and a start do, which are to go
 * on behind a bad sector. A server that is up does not: there a read that fails is the error of who
 * asked.
 *
 * A read that fails is made again block by block. What cannot be read then is told, and is zeros in
 * the buffer: those verify nowhere. [any thread]
 */
#include "log/base/base.h"

struct around {
	/* Nothing could be read of [pos, pos + len). */
	void (*unread)(void *ctx, uint64_t pos, uint64_t len);
	void *ctx;
};
/*
 * Is an error of opening or reading a file no answer about that file? All others are: it is bad, or
 * as good as that.
 */
static inline bool around_stops(enum err e)
{
	return e == ERR_NOMEM || e == ERR_LIMIT || e == ERR_NOSPACE || e == ERR_NEWER_FORMAT ||
	       e == ERR_CANCELLED;
}
/*
 * A read by path that failed: is it to be made again? Once, when it was ERR_IO, with the chain
 * empty; each failure leaves a line.
 */
bool around_again(const char *path, enum err err, int tries);
/* io, file and place of a read. */
struct around_read {
	struct io *io;
	int fd;
	uint64_t pos;
};
/*
 * As io_pread; `around` NULL: the same as that. ERR_IO only where the file's length is not to be
 * had.
 */
MUST_USE enum err around_pread(const struct around *around, const struct around_read *from,
    void *buf, size_t len, size_t *ret_len);
