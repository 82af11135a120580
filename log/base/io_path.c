/* SPDX-License-Identifier: Apache-2.0 */
/* Where a path leads: the one question that names alone do not answer. */
#include "io.h"

#include "limits.h"
#include "mem.h"

#include <stdio.h>

/* A path in two: `real` is what is there of it, without links; `rest` what is not. */
struct parts {
	char real[IO_PATH_MAX];
	char head[IO_PATH_MAX];
	const char *rest; /* into the caller's path */
};

static bool climbs(const char *rest)
{
	for (const char *at = rest; *at;) {
		size_t len = strcspn(at, "/");
		if ((len == 1 && at[0] == '.') || (len == 2 && at[0] == '.' && at[1] == '.'))
			return true;
		at += len;
		at += strspn(at, "/");
	}
	return false;
}

/* Cuts the last name off; what is left of "name" is ".", of "/name" it is "/". */
static void cut_last(char *path)
{
	struct str parent = io_parent(path);
	memmove(path, parent.ptr, parent.len);
	path[parent.len] = '\0';
}

static enum err split(struct io *io, const char *path, struct parts *p)
{
	struct io_stat stat;
	enum err err;
	size_t mark = err_mark();
	if (snprintf(p->head, sizeof(p->head), "%s", path) >= IO_PATH_MAX)
		return err_note(ERR_LIMIT, "%s: path too long", path);
	while ((err = io_stat(io, p->head, &stat)) == ERR_NOT_FOUND) {
		if (strcmp(p->head, "/") == 0 || strcmp(p->head, ".") == 0)
			return err;
		cut_last(p->head);
		err_rewind(mark);
	}
	TRY(err);
	size_t len = strcmp(p->head, ".") == 0 && path[0] != '.' ? 0 : strlen(p->head);
	p->rest = path + len;
	p->rest += strspn(p->rest, "/");
	if (climbs(p->rest))
		return err_note(ERR_INVALID, "%s: no . or .. behind what is there", path);
	return io_real_path(io, p->head, p->real);
}

static enum err is_same(struct io *io, const char *path, const struct io_stat *as, bool *ret_same)
{
	struct io_stat stat;
	TRY(io_stat(io, path, &stat));
	*ret_same = stat.device == as->device && stat.inode == as->inode;
	return ERR_OK;
}

static enum err join(char *buf, const char *a, const char *b)
{
	size_t len = strlen(b);
	while (len > 0 && b[len - 1] == '/')
		len--;
	int n = snprintf(buf, IO_PATH_MAX, "%s%s%.*s", a, *a && len > 0 ? "/" : "", (int)len, b);
	return n >= 0 && n < IO_PATH_MAX ? ERR_OK : err_note(ERR_LIMIT, "%s: path too long", b);
}

enum err io_path_below(
    struct io *io, const char *path, const char *dir, bool *ret_in, char *ret_below)
{
	struct io_stat want;
	struct parts p;
	TRY(io_stat(io, dir, &want));
	TRY(split(io, path, &p));
	/* every directory on the way, the last first */
	memcpy(p.head, p.real, strlen(p.real) + 1);
	for (;;) {
		TRY(is_same(io, p.head, &want, ret_in));
		size_t len = strlen(p.head);
		if (*ret_in) {
			const char *below = p.real + len;
			return join(ret_below, below + strspn(below, "/"), p.rest);
		}
		if (len <= 1)
			return ERR_OK;
		cut_last(p.head);
	}
}
