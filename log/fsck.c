/* SPDX-License-Identifier: Apache-2.0 */
/* log_fsck: the lock, the order of the checks, and the lines. See fsck.h. */
#include "log/fsck.h"
#include "log/engine.h"
#include <stdarg.h>
#include <stdio.h>

/* What is served after the next start, whatever was found. */
static bool is_harmless(enum err verdict)
{
	return verdict == ERR_OK || verdict == ERR_REBUILT || verdict == ERR_REPAIRED ||
	       verdict == ERR_TORN_ROUND || verdict == ERR_TORN_TAIL || verdict == ERR_DISTRUST ||
	       verdict == ERR_GAP;
}

void fsck_find(struct fsck *f, enum err verdict, const char *fmt, ...)
{
	char text[1024];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	writer_clear(&f->line);
	write_printf(&f->line, "verdict=%s %s", err_name(verdict), text);
	if (verdict != ERR_OK)
		f->findings++;
	if (!is_harmless(verdict))
		f->bad = true;
	if (f->line.err == ERR_OK)
		f->print(f->ctx, bytes_str(writer_bytes(&f->line)));
}

enum err fsck_path(const struct fsck *f, char *buf, const char *fmt, ...)
{
	char name[LOG_PATH_MAX];
	va_list args;
	va_start(args, fmt);
	int n = vsnprintf(name, sizeof(name), fmt, args);
	va_end(args);
	if (n < 0 || (size_t)n >= sizeof(name))
		return err_note(ERR_LIMIT, "path too long");
	int all = snprintf(buf, LOG_PATH_MAX, "%s/%s", f->data_dir, name);
	if (all < 0 || all >= LOG_PATH_MAX)
		return err_note(ERR_LIMIT, "path too long");
	return ERR_OK;
}

static enum err run(struct fsck *f)
{
	TRY(fsck_journal(f));
	TRY(fsck_partitions(f));
	TRY(fsck_catalog(f));
	fsck_find(f, ERR_OK, "partitions=%llu segments=%llu frames=%llu bytes=%llu findings=%llu",
	    (unsigned long long)f->partitions, (unsigned long long)f->segments,
	    (unsigned long long)f->frames_read, (unsigned long long)f->bytes,
	    (unsigned long long)f->findings);
	return f->bad ? err_note(ERR_CORRUPT, "%s: not everything is served", f->data_dir) : ERR_OK;
}

static void release(struct fsck *f)
{
	size_t cursor = 0;
	struct fsck_end *end;
	for (unsigned i = 0; i < JOURNAL_FILES; i++)
		if (f->journal_fd[i] >= 0 && io_close(f->io, f->journal_fd[i]) != ERR_OK)
			diag(DIAG_WARN, "fsck_close", "file=%u", i);
	while ((end = map_next(&f->ends, &cursor)))
		mem_free(end);
	map_release(&f->ends);
	fsck_catalog_release(f);
	checkpoint_record_release(&f->record);
	mem_free(f->frames);
	mem_free(f->images);
	mem_free(f->found);
	writer_release(&f->line);
	mem_free(f);
}

static enum err locked_run(struct io *io, const char *data_dir,
    const struct log_fsck_options *options, log_print print, void *ctx)
{
	struct fsck *f = mem_calloc(1, sizeof(*f));
	if (!f)
		return ERR_NOMEM;
	f->io = io;
	f->data_dir = data_dir;
	f->options = *options;
	f->print = print;
	f->ctx = ctx;
	writer_init(&f->line, MIB);
	map_init(&f->ends);
	map_init(&f->topics);
	map_init(&f->rows);
	for (unsigned i = 0; i < JOURNAL_FILES; i++)
		f->journal_fd[i] = -1;
	enum err err = run(f);
	release(f);
	return err;
}

enum err log_fsck(struct io *io, const char *data_dir, const struct log_fsck_options *options,
    log_print print, void *ctx)
{
	char path[LOG_PATH_MAX];
	int fd;
	int n = snprintf(path, sizeof(path), "%s/lock", data_dir);
	if (n < 0 || (size_t)n >= sizeof(path))
		return err_note(ERR_LIMIT, "path too long");
	enum err err = io_open(io, path, IO_READONLY, &fd);
	if (err == ERR_NOT_FOUND)
		return err_note(err, "%s is not a data directory (it has no lock file)", data_dir);
	TRY(err);
	err = io_lock(io, fd);
	if (err == ERR_LOCKED)
		err_note(err, "%s is held by a running server; stop it first", data_dir);
	if (err == ERR_OK)
		err = locked_run(io, data_dir, options, print, ctx);
	enum err closed = io_close(io, fd);
	return err != ERR_OK ? err : closed;
}
