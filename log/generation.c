/* SPDX-License-Identifier: Apache-2.0 */
/* See generation.h. */
#include "log/generation.h"
#include "log/around.h"
#include "log/engine.h"
#include <stdio.h>
#include <stdlib.h>

bool generation_unfinished(const char *name)
{
	static const char *const suffix[] = {".log.new", ".idx.new"};
	int64_t base;
	uint32_t generation;
	for (size_t i = 0; i < sizeof(suffix) / sizeof(suffix[0]); i++)
		if (segment_name_parse_of(name, suffix[i], &base, &generation))
			return true;
	return false;
}

static enum err file_path(const char *dir, const char *name, char *buf)
{
	int n = snprintf(buf, LOG_PATH_MAX, "%s/%s", dir, name);
	return n > 0 && n < LOG_PATH_MAX ? ERR_OK : err_note(ERR_LIMIT, "%s: path too long", dir);
}

/* What a file stands for. A header that does not verify, or cannot be read, stands for nothing: the
 * reader says so. */
static enum err read_end(
    struct io *io, const char *dir, const char *name, struct generation_file *file)
{
	char path[LOG_PATH_MAX], topic[TOPIC_NAME_MAX + 1];
	struct segment_header h;
	int fd, tries = 0;
	TRY(file_path(dir, name, path));
	size_t mark = err_mark();
	enum err e;
	do {
		e = io_open(io, path, IO_READONLY, &fd);
		if (e != ERR_OK)
			continue;
		e = segment_file_header(io, fd, topic, &h);
		enum err closed = io_close(io, fd);
		e = e == ERR_OK ? closed : e;
	} while (around_again(path, e, tries++));
	if (e == ERR_OK && h.base_offset == file->base_offset && h.generation == file->generation)
		file->end_offset = h.rewrite.end_offset;
	if (e == ERR_NEWER_FORMAT || !around_stops(e)) {
		err_rewind(mark); /* met again when the segment is read */
		e = ERR_OK;
	}
	return e;
}

static int file_order(const void *a, const void *b)
{
	const struct generation_file *x = a, *y = b;
	if (x->base_offset != y->base_offset)
		return x->base_offset > y->base_offset ? 1 : -1;
	return (x->generation > y->generation) - (x->generation < y->generation);
}

/* The first file with that base offset, or the first behind it. */
static size_t first_at(const struct generations *g, int64_t base)
{
	size_t low = 0, high = g->count;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (g->files[mid].base_offset < base)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* A file stands for the older generations in its range: what was merged into it, as far as it is
 * still there. */
static void mark_superseded(struct generations *g)
{
	for (size_t i = 0; i < g->count; i++) {
		const struct generation_file *f = &g->files[i];
		int64_t end = f->end_offset > f->base_offset ? f->end_offset : f->base_offset + 1;
		for (size_t j = first_at(g, f->base_offset);
		     f->end_offset > 0 && j < g->count && g->files[j].base_offset < end; j++)
			g->files[j].superseded |= g->files[j].generation < f->generation;
	}
}

enum err generations_read(
    struct io *io, const char *dir, const struct io_names *names, struct generations *ret)
{
	struct generations g = {.files = mem_calloc(names->count + 1, sizeof(*g.files))};
	bool any = false;
	enum err e = g.files ? ERR_OK : ERR_NOMEM;
	for (size_t i = 0; i < names->count && e == ERR_OK; i++) {
		struct generation_file *f = &g.files[g.count];
		if (!segment_name_parse_of(names->name[i], ".log", &f->base_offset, &f->generation))
			continue;
		f->name = i;
		g.count++;
		if (f->generation > 0)
			e = read_end(io, dir, names->name[i], f);
		any |= f->end_offset > 0;
	}
	if (g.count > 1)
		qsort(g.files, g.count, sizeof(*g.files), file_order);
	if (any && e == ERR_OK)
		mark_superseded(&g);
	if (e != ERR_OK) {
		generations_release(&g);
		return e;
	}
	*ret = g;
	return ERR_OK;
}

void generations_release(struct generations *g)
{
	mem_free(g->files);
	*g = (struct generations){0};
}

static enum err unlink_name(struct io *io, const char *dir, const char *name)
{
	char path[LOG_PATH_MAX];
	TRY(file_path(dir, name, path));
	enum err e = io_unlink(io, path);
	if (e != ERR_NOT_FOUND)
		return e;
	err_clear();
	return ERR_OK;
}

/* The .log last: as long as it is there the next start comes here again. */
static enum err unlink_superseded(
    struct io *io, const char *dir, const struct generations *g, const struct generation_file *f)
{
	char name[SEGMENT_NAME_BYTES];
	bool base_stays = false;
	for (size_t i = first_at(g, f->base_offset);
	     i < g->count && g->files[i].base_offset == f->base_offset; i++)
		base_stays |= !g->files[i].superseded;
	if (!base_stays)
		TRY(unlink_name(io, dir, segment_name(f->base_offset, ".snap", name)));
	TRY(unlink_name(io, dir, segment_name_of(f->base_offset, f->generation, ".idx", name)));
	return unlink_name(io, dir, segment_name_of(f->base_offset, f->generation, ".log", name));
}

/* An index of a later generation whose segment never got its name. */
static bool is_lone_index(const struct generations *g, const char *name)
{
	int64_t base;
	uint32_t generation;
	if (!segment_name_parse_of(name, ".idx", &base, &generation) || generation == 0)
		return false;
	for (size_t i = first_at(g, base); i < g->count && g->files[i].base_offset == base; i++)
		if (g->files[i].generation == generation)
			return false;
	return true;
}

enum err generations_clean(
    struct io *io, const char *dir, const struct io_names *names, bool *ret_any)
{
	struct generations g;
	bool any = false;
	TRY(generations_read(io, dir, names, &g));
	enum err e = ERR_OK;
	for (size_t i = 0; i < names->count && e == ERR_OK; i++) {
		if (!generation_unfinished(names->name[i]) && !is_lone_index(&g, names->name[i]))
			continue;
		any = true;
		e = unlink_name(io, dir, names->name[i]);
	}
	for (size_t i = 0; i < g.count && e == ERR_OK; i++) {
		if (!g.files[i].superseded)
			continue;
		any = true;
		diag(DIAG_INFO, "superseded", "dir=%s segment=%lld generation=%u", dir,
		    (long long)g.files[i].base_offset, g.files[i].generation);
		e = unlink_superseded(io, dir, &g, &g.files[i]);
	}
	generations_release(&g);
	TRY(e);
	*ret_any = any;
	return any ? io_fsync_dir(io, dir) : ERR_OK;
}
