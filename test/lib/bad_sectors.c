/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/bad_sectors.h"
#include "test/lib/test.h"

#include "log/base/base.h"

#include <stdio.h>

enum { SECTORS_MAX = 16, FILES_MAX = 1024 };

static struct {
	const struct io_ops *real;
	struct io_ops bent;
	const char *dir;
	struct {
		char name[96];
		uint64_t from, to;
	} sector[SECTORS_MAX];
	int count;
	char path[FILES_MAX][300]; /* by descriptor */
	unsigned struck;
} bad;

static enum err bad_open(struct io *io, const char *path, unsigned flags, int *ret_fd)
{
	enum err e = bad.real->open(io, path, flags, ret_fd);
	if (e != ERR_OK)
		return e;
	assert_true(*ret_fd < FILES_MAX);
	snprintf(bad.path[*ret_fd], sizeof(bad.path[0]), "%s", path);
	return ERR_OK;
}

static bool ends_in(const char *path, const char *name)
{
	size_t a = strlen(path), b = strlen(name);
	return a >= b && strcmp(path + a - b, name) == 0;
}

static bool is_bad(int fd, size_t len, uint64_t pos)
{
	for (int i = 0; i < bad.count; i++)
		if (strncmp(bad.path[fd], bad.dir, strlen(bad.dir)) == 0 &&
		    ends_in(bad.path[fd], bad.sector[i].name) && pos < bad.sector[i].to &&
		    pos + len > bad.sector[i].from)
			return true;
	return false;
}

static enum err bad_pread(
    struct io *io, int fd, void *buf, size_t len, uint64_t pos, size_t *ret_len)
{
	if (!is_bad(fd, len, pos))
		return bad.real->pread(io, fd, buf, len, pos, ret_len);
	bad.struck++;
	return err_note(ERR_IO, "read fd %d: a bad sector", fd);
}

/* The page cache has nothing of it. */
static enum err bad_pread_now(struct io *io, int fd, void *buf, size_t len, uint64_t pos)
{
	return is_bad(fd, len, pos) ? ERR_AGAIN : bad.real->pread_now(io, fd, buf, len, pos);
}

/* Another file has the name, and sectors of its own. */
static enum err bad_rename(struct io *io, const char *from, const char *to)
{
	TRY(bad.real->rename(io, from, to));
	for (int i = 0; i < bad.count; i++)
		if (strncmp(to, bad.dir, strlen(bad.dir)) == 0 && ends_in(to, bad.sector[i].name))
			bad.sector[i].from = bad.sector[i].to = 0;
	return ERR_OK;
}

void bad_sectors_install(struct io *io, const char *dir)
{
	bad.dir = dir;
	bad.real = io->ops;
	bad.bent = *io->ops;
	bad.bent.open = bad_open;
	bad.bent.pread = bad_pread;
	bad.bent.pread_now = bad_pread_now;
	bad.bent.rename = bad_rename;
	bad.count = 0;
	bad.struck = 0;
	io->ops = &bad.bent;
}

void bad_sectors_add(const char *name, uint64_t from, uint64_t to)
{
	assert_true(bad.count < SECTORS_MAX);
	snprintf(bad.sector[bad.count].name, sizeof(bad.sector[0].name), "%s", name);
	bad.sector[bad.count].from = from;
	bad.sector[bad.count++].to = to;
}

void bad_sectors_clear(void)
{
	bad.count = 0;
}

void bad_sectors_remove(struct io *io)
{
	if (bad.real)
		io->ops = bad.real;
	bad.real = NULL;
}

unsigned bad_sectors_struck(void)
{
	return bad.struck;
}
