/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsck --adopt TOPIC-P: a directory that no topic of the catalog has becomes that topic's partition
 * again. The log itself is opened, so that everything is recovered and judged as at a start; it
 * puts the topic's row, with the id and the name of the segment headers; then it is opened once
 * more, with the topic.
 */
#include "log/fsck.h"
#include "log/offline.h"
#include <stdio.h>

struct adopt {
	struct fsck print; /* only its lines */
	struct io *io;
	const char *data_dir;
	const char *dir;
	struct partition_key key;
	int32_t partitions;
	char name[TOPIC_NAME_MAX + 1];
};

/* ---- before anything is opened --------------------------------------------------------------- */

/* Id, partition and topic name, out of the first segment whose header verifies. */
static enum err read_identity(struct adopt *a)
{
	char path[LOG_PATH_MAX];
	struct io_names names;
	bool found = false;
	int n = snprintf(path, sizeof(path), "%s/topics/%s", a->data_dir, a->dir);
	if (n < 0 || (size_t)n >= sizeof(path) || strchr(a->dir, '/'))
		return err_note(ERR_INVALID, "%s is no name of a directory", a->dir);
	enum err err = io_list(a->io, path, &names);
	if (err == ERR_NOT_FOUND)
		return err_note(err, "there is no directory topics/%s", a->dir);
	TRY(err);
	for (size_t i = 0; i < names.count && err == ERR_OK && !found; i++) {
		struct segment_header h;
		int64_t base;
		uint32_t generation;
		int fd;
		if (!segment_name_parse_of(names.name[i], ".log", &base, &generation))
			continue;
		n = snprintf(
		    path, sizeof(path), "%s/topics/%s/%s", a->data_dir, a->dir, names.name[i]);
		if (n < 0 || (size_t)n >= sizeof(path))
			continue;
		err = io_open(a->io, path, IO_READONLY, &fd);
		if (err != ERR_OK)
			break;
		found = segment_file_header(a->io, fd, a->name, &h) == ERR_OK;
		err_clear();
		if (found)
			a->key = (struct partition_key){h.topic_id, h.partition};
		err = io_close(a->io, fd);
	}
	io_names_release(&names);
	TRY(err);
	return found ? ERR_OK
	             : err_note(ERR_CORRUPT, "topics/%s has no segment with a good header", a->dir);
}

/* A start cuts what neither record nor journal knows: it was never acknowledged here. */
static enum err adopt_journal(void *ctx, struct fsck *f)
{
	struct adopt *a = ctx;
	bool known = !f->record_found;
	const struct fsck_end *end = fsck_end_of(f, a->key);
	if (known || (end && end->segment_end > 0))
		return err_note(ERR_EOF, "known"); /* enough: the walk ends here */
	return err_note(ERR_REFUSED,
	    "neither checkpoint record nor journal know topics/%s: it is of another server. "
	    "Salvage "
	    "the directory it comes from",
	    a->dir);
}

static enum err check_known(struct adopt *a)
{
	const struct log_fsck_options quiet = {.journal_dir = a->print.options.journal_dir};
	const struct fsck_sink sink = {.ctx = a, .journal = adopt_journal};
	enum err err = fsck_walk(a->io, a->data_dir, &quiet, &sink, NULL, NULL);
	if (err == ERR_EOF) {
		err_clear();
		return ERR_OK;
	}
	return err;
}

/* ---- with the log open ----------------------------------------------------------------------- */

static enum err put_row(void *ctx, struct log *log)
{
	struct adopt *a = ctx;
	const struct log_topic *same = log_topic_by_id(log, a->key.topic_id);
	const struct log_topic *named = log_topic_find(log, str_of(a->name));
	const struct str(*configs)[2] = same ? (const struct str(*)[2])same->set_configs : NULL;
	if (same && a->key.partition < same->partition_count)
		return err_note(ERR_EXISTS, "topics/%s belongs to topic %s", a->dir, a->name);
	if (named && named != same)
		return err_note(ERR_EXISTS,
		    "there is another topic %s; delete it, or salvage this directory alone",
		    a->name);
	a->partitions = a->key.partition + 1;
	return offline_put_topic(
	    log, &(struct offline_topic){str_of(a->name), a->key.topic_id, a->partitions, configs,
	             same ? same->set_config_count : 0});
}

static enum err tell(void *ctx, struct log *log)
{
	struct adopt *a = ctx;
	const struct log_topic *topic = log_topic_by_id(log, a->key.topic_id);
	const struct log_partition *p =
	    topic ? log_partition_find(log, topic, a->key.partition) : NULL;
	struct log_partition_status s;
	if (!p)
		return err_note(ERR_BUG, "%s: the row was put and is not there", a->dir);
	log_partition_status(p, &s);
	fsck_find(&a->print, ERR_OK,
	    "action=adopted partition=%s topic=%s partitions=%d log_start=%lld log_end=%lld "
	    "damaged=%s",
	    a->dir, a->name, a->partitions, (long long)s.log_start, (long long)s.log_end,
	    s.damaged ? "true" : "false");
	return ERR_OK;
}

/* Without its directory the catalog's end is lost, and a start must be told that this is known. */
static enum err catalog_is_gone(const struct adopt *a, bool *ret_gone)
{
	char path[LOG_PATH_MAX];
	struct io_stat stat;
	int n = snprintf(path, sizeof(path), "%s/topics/" CATALOG_TOPIC_NAME "-0", a->data_dir);
	if (n < 0 || (size_t)n >= sizeof(path))
		return err_note(ERR_LIMIT, "path too long");
	enum err err = io_stat(a->io, path, &stat);
	*ret_gone = err == ERR_NOT_FOUND;
	if (err == ERR_NOT_FOUND)
		err_clear();
	return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static enum err adopt(struct adopt *a)
{
	struct journal_where where;
	struct offline_open open = {.io = a->io, .data_dir = a->data_dir};
	bool gone = false;
	TRY(journal_where_find(a->io, a->data_dir, a->print.options.journal_dir, &where));
	if (where.outside)
		open.journal_dir = where.dir;
	TRY(check_known(a)); /* first: it takes the lock, and knows what a data directory is */
	TRY(catalog_is_gone(a, &gone));
	if (gone)
		open.accept_lost_suffix = "fsck --adopt: the catalog is lost";
	TRY(offline_with_log(&open, put_row, a));
	open.accept_lost_suffix = NULL;
	return offline_with_log(&open, tell, a);
}

enum err log_adopt(struct io *io, const char *data_dir, const char *dir,
    const struct log_fsck_options *options, log_print print, void *ctx)
{
	struct adopt a = {
	    .print =
	        {.io = io, .data_dir = data_dir, .options = *options, .print = print, .ctx = ctx},
	    .io = io,
	    .data_dir = data_dir,
	    .dir = dir,
	};
	writer_init(&a.print.line, MIB);
	enum err err = read_identity(&a);
	if (err == ERR_OK)
		err = adopt(&a);
	writer_release(&a.print.line);
	return err;
}
