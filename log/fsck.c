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

static void print_line(struct fsck *f)
{
	struct writer json;
	struct bytes line = writer_bytes(&f->line);
	if (f->line.err != ERR_OK || !f->print)
		return;
	if (!f->options.json) {
		f->print(f->ctx, bytes_str(line));
		return;
	}
	writer_init(&json, MIB);
	fsck_json(&json, bytes_str(line));
	if (json.err == ERR_OK)
		f->print(f->ctx, bytes_str(writer_bytes(&json)));
	writer_release(&json);
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
	bool harmless = is_harmless(verdict);
	if (!harmless)
		f->bad = true;
	f->lossy |=
	    verdict == ERR_DAMAGED || verdict == ERR_LOST_SUFFIX || verdict == ERR_MISSING_SEGMENT;
	if (!harmless || !f->sink || !f->sink->wants)
		print_line(f);
}

void fsck_tell(const struct fsck_teller *to, enum err verdict, const char *fmt, ...)
{
	struct fsck lines = {.options = {.json = to->json}, .print = to->print, .ctx = to->ctx};
	char text[900];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	writer_init(&lines.line, MIB);
	fsck_find(&lines, verdict, "%s", text);
	writer_release(&lines.line);
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

enum err fsck_journal_path(const struct fsck *f, char *buf, const char *name)
{
	int n = snprintf(buf, LOG_PATH_MAX, "%s/%s", f->where.dir, name);
	return n > 0 && n < LOG_PATH_MAX ? ERR_OK : err_note(ERR_LIMIT, "path too long");
}

enum err fsck_list_topics(const struct fsck *f, struct io_names *ret_names)
{
	char path[LOG_PATH_MAX];
	TRY(fsck_path(f, path, "topics"));
	enum err err = io_list(f->io, path, ret_names);
	if (err != ERR_NOT_FOUND)
		return err;
	err_clear();
	*ret_names = (struct io_names){0};
	return ERR_OK;
}

static enum dirlock_use lock_use(const struct fsck *f)
{
	bool reads = f->sink ? f->sink->only_reads : !f->options.repair_caches;
	return reads ? DIRLOCK_READ : DIRLOCK_WRITE;
}

/* A directory that is not there, or is another log's, is a finding and not looked at. */
static enum err find_journal(struct fsck *f)
{
	enum err err = journal_where_find(f->io, f->data_dir, f->options.journal_dir, &f->where);
	if (err == ERR_OK)
		return journal_where_lock(f->io, &f->where, lock_use(f));
	if (err != ERR_NO_JOURNAL && err != ERR_REFUSED && err != ERR_CORRUPT)
		return err;
	f->no_journal = err;
	fsck_find(f, ERR_NO_JOURNAL, "what=directory dir=\"%s\" reason=\"%s\"", f->where.dir,
	    err_chain());
	err_clear();
	return ERR_OK;
}

static enum err run(struct fsck *f)
{
	TRY(find_journal(f));
	if (f->sink && f->sink->begin)
		TRY(f->sink->begin(f->sink->ctx, f));
	fsck_measure(f);
	if (f->no_journal == ERR_OK)
		TRY(fsck_journal(f));
	if (f->sink && f->sink->journal)
		TRY(f->sink->journal(f->sink->ctx, f));
	TRY(fsck_partitions(f));
	if (!f->sink || !f->sink->wants) {
		TRY(fsck_catalog(f));
		TRY(fsck_sequences(f));
		TRY(fsck_quarantine(f));
	}
	if (f->sink && f->sink->finish)
		TRY(f->sink->finish(f->sink->ctx, f));
	fsck_find(f, ERR_OK, "partitions=%llu segments=%llu frames=%llu bytes=%llu findings=%llu",
	    (unsigned long long)f->partitions, (unsigned long long)f->segments,
	    (unsigned long long)f->frames_read, (unsigned long long)f->bytes,
	    (unsigned long long)f->findings);
	return f->bad && !f->sink
	           ? err_note(ERR_CORRUPT, "%s: not everything is served", f->data_dir)
	           : ERR_OK;
}

static void release(struct fsck *f)
{
	size_t cursor = 0;
	struct fsck_end *end;
	for (unsigned i = 0; i < JOURNAL_FILES; i++)
		if (f->journal_fd[i] >= 0 && io_close(f->io, f->journal_fd[i]) != ERR_OK)
			diag(DIAG_WARN, "fsck_close", "file=%u", i);
	journal_where_release(f->io, &f->where);
	while ((end = map_next(&f->ends, &cursor)))
		mem_free(end);
	map_release(&f->ends);
	fsck_catalog_release(f);
	fsck_sequences_release(f);
	checkpoint_record_release(&f->record);
	mem_free(f->frames);
	mem_free(f->images);
	for (size_t i = 0; i < f->found_count; i++)
		mem_free(f->found[i].dir);
	mem_free(f->found);
	writer_release(&f->line);
	mem_free(f);
}

static struct fsck *fsck_new(struct io *io, const char *data_dir)
{
	struct fsck *f = mem_calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->io = io;
	f->data_dir = data_dir;
	f->where.lock = DIRLOCK_NONE;
	writer_init(&f->line, MIB);
	map_init(&f->ends);
	map_init(&f->topics);
	map_init(&f->rows);
	for (unsigned i = 0; i < JOURNAL_FILES; i++)
		f->journal_fd[i] = -1;
	return f;
}

enum err fsck_walk(struct io *io, const char *data_dir, const struct log_fsck_options *options,
    const struct fsck_sink *sink, log_print print, void *ctx)
{
	struct dirlock lock;
	struct fsck *f = fsck_new(io, data_dir);
	if (!f)
		return ERR_NOMEM;
	f->options = *options;
	f->sink = sink;
	f->print = print;
	f->ctx = ctx;
	enum err err = dirlock_take_data(io, data_dir, lock_use(f), &lock);
	if (err == ERR_LOCKED)
		err_note(err, "%s: stop its server first", data_dir);
	if (err == ERR_OK)
		err = dirlock_finished(io, data_dir);
	if (err == ERR_OK)
		err = run(f);
	release(f);
	dirlock_release(io, &lock);
	return err;
}

enum err log_fsck(struct io *io, const char *data_dir, const struct log_fsck_options *options,
    log_print print, void *ctx)
{
	return fsck_walk(io, data_dir, options, NULL, print, ctx);
}
