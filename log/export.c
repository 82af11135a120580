/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_export: the partitions of a topic as Kafka log directories. It is the walk of fsck with a
 * sink, over the catalog and that topic: what a start would put back out of the journal is exported
 * too, and nothing is written to the data directory, which may be read-only. What a server would
 * not serve whole is refused.
 */
#include "log/export.h"
#include "log/fsck.h"
#include "log/starts.h"
#include "log/topic_config.h"
#include <stdio.h>

struct export
{
	struct io *io;
	const char *topic, *out;
	int32_t partition; /* -1 = all */
	struct fsck_teller teller;
	/* by the catalog, once its rows are read */
	bool known;
	struct log_uuid id;
	int32_t partitions;
	uint64_t segment_bytes;
	bool *written; /* of each partition */
	int out_fd;    /* of `out`, locked, and what is flushed: -1 = not yet */
	struct starts starts;
	/* the one that is read */
	bool open, bad_before;
	int64_t lowest, log_start, log_end;
	struct partition_key key;
	struct export_part part;
};

/* ---- the topic ------------------------------------------------------------------------------- */

static const struct topic_settings standard; /* nothing is set */

static enum err read_topic(struct export *x, const struct fsck *f)
{
	const struct row_name name = {.kind = ROW_TOPIC, .topic = str_of(x->topic)};
	struct topic_row row;
	struct writer key;
	if (log_topic_name_check(name.topic) != ERR_OK)
		return err_note(ERR_UNKNOWN_TOPIC, "there is no %s", x->topic);
	writer_init(&key, KIB);
	row_name_write(&key, &name);
	enum err err = key.err;
	const struct fsck_row *found = err == ERR_OK ? map_get(&f->rows, writer_bytes(&key)) : NULL;
	writer_release(&key);
	TRY(err);
	if (!found)
		return err_note(ERR_UNKNOWN_TOPIC, "there is no %s", x->topic);
	TRY(topic_row_parse(found->value, &row));
	const struct log_topic_config config = topic_settings_decode(&row.settings, &standard);
	topic_settings_release(&row.settings);
	x->id = row.id;
	x->partitions = row.partitions;
	x->segment_bytes = config.segment_bytes;
	return ERR_OK;
}

/* One at a time: it has a file that speaks of all topics. */
static enum err open_out(struct export *x)
{
	TRY(io_mkdir_all(x->io, x->out));
	TRY(io_open(x->io, x->out, IO_DIRECTORY, &x->out_fd));
	size_t mark = err_mark();
	enum err err = io_lock(x->io, x->out_fd, false);
	if (err == ERR_LOCKED)
		return err_note(ERR_REFUSED, "%s: another export writes there", x->out);
	if (err != ERR_OK && err != ERR_UNSUPPORTED)
		return err;
	err_rewind(mark); /* a file system need not lock directories */
	return starts_read(x->io, x->out, &x->starts);
}

static void close_out(struct export *x)
{
	if (x->out_fd >= 0 && io_close(x->io, x->out_fd) != ERR_OK) {
		diag(DIAG_WARN, "export_close", "dir=%s", x->out);
		err_clear();
	}
	starts_release(&x->starts);
}

static enum err know_topic(struct export *x, const struct fsck *f)
{
	if (x->known)
		return ERR_OK;
	if (strcmp(x->topic, CATALOG_TOPIC_NAME) == 0) {
		x->id = CATALOG_TOPIC_ID;
		x->partitions = 1;
		x->segment_bytes = topic_settings_decode(&standard, &standard).segment_bytes;
	} else {
		TRY(read_topic(x, f));
	}
	if (x->partition >= x->partitions)
		return err_note(ERR_UNKNOWN_TOPIC, "%s has %d partitions", x->topic, x->partitions);
	x->written = mem_calloc((size_t)x->partitions, sizeof(*x->written));
	if (!x->written)
		return ERR_NOMEM;
	x->known = true;
	return open_out(x);
}

static bool is_asked_for(const struct export *x, struct partition_key key)
{
	return log_uuid_equal(key.topic_id, x->id) && key.partition < x->partitions &&
	       (x->partition < 0 || x->partition == key.partition);
}

/* ---- the walk -------------------------------------------------------------------------------- */

static enum err export_journal(void *ctx, struct fsck *f)
{
	(void)ctx;
	bool known = f->no_journal == ERR_OK && f->record_found && !f->ends_unknown;
	return known ? ERR_OK
	             : err_note(ERR_NO_JOURNAL,
	                   "where the partitions of %s end is not known: see `kappa fsck`",
	                   f->data_dir);
}

/* The rows are known when the first directory behind the catalog's comes. */
static enum err export_wants(void *ctx, struct fsck *f, struct partition_key key, bool *ret_wanted)
{
	struct export *x = ctx;
	bool catalog = log_uuid_equal(key.topic_id, CATALOG_TOPIC_ID);
	if (!catalog || strcmp(x->topic, CATALOG_TOPIC_NAME) == 0)
		TRY(know_topic(x, f));
	*ret_wanted = catalog || is_asked_for(x, key);
	return ERR_OK;
}

static enum err export_partition(void *ctx, struct fsck *f, const char *dir, int64_t lowest)
{
	struct export *x = ctx;
	(void)dir;
	x->bad_before = f->bad;
	x->lowest = lowest;
	return ERR_OK;
}

/* Of a partition; until all of them are durable another one, which is nobody's partition. */
static enum err part_dir(const struct export *x, int32_t partition, bool done, char *buf)
{
	int n = snprintf(buf, LOG_PATH_MAX, "%s/%s-%d%s", x->out, x->topic, partition,
	    done ? "" : ".unfinished");
	return n > 0 && n < LOG_PATH_MAX ? ERR_OK
	                                 : err_note(ERR_LIMIT, "%s: path too long", x->out);
}

static enum err part_open(struct export *x, const struct fsck *f, struct partition_key key)
{
	char dir[LOG_PATH_MAX];
	struct io_stat stat;
	TRY(part_dir(x, key.partition, true, dir));
	size_t mark = err_mark();
	enum err there = io_stat(x->io, dir, &stat);
	if (there != ERR_NOT_FOUND)
		return there == ERR_OK ? err_note(ERR_EXISTS, "%s is there", dir) : there;
	err_rewind(mark);
	TRY(part_dir(x, key.partition, false, dir));
	TRY(fsck_log_start(f, key, &x->log_start));
	x->log_end = x->log_start;
	x->key = key;
	x->open = true;
	return export_part_open(&x->part, x->io, dir, x->segment_bytes, x->log_start);
}

/* Where one of our segments begins one of Kafka's does. */
static enum err export_segment(
    void *ctx, struct fsck *f, const char *dir, const struct segment_header *h)
{
	struct export *x = ctx;
	const struct partition_key key = {h->topic_id, h->partition};
	(void)dir;
	if (!x->known || !is_asked_for(x, key))
		return ERR_OK; /* the catalog, read for its rows */
	if (!x->open)
		TRY(part_open(x, f, key));
	if (h->base_offset > x->log_end)
		x->log_end = h->base_offset;
	x->part.roll = true;
	return ERR_OK;
}

static enum err export_frame(void *ctx, const struct fsck_seen *seen)
{
	struct export *x = ctx;
	const struct frame *f = seen->frame;
	if (!x->open)
		return ERR_OK;
	if (!seen->whole || seen->fault)
		return err_note(ERR_CORRUPT, "%s segment %lld pos %u: %s", seen->dir,
		    (long long)seen->segment, seen->pos,
		    seen->fault ? seen->fault : "does not verify");
	int64_t end = f->base_offset + (int64_t)f->last_offset_delta + 1;
	if (end > x->log_end)
		x->log_end = end;
	if ((f->flags & FRAME_HOLE) || end <= x->log_start)
		return ERR_OK;
	return export_part_batch(&x->part, seen->body);
}

static enum err part_close(struct export *x)
{
	TRY(export_part_close(&x->part, x->id, x->log_end));
	bool inside = x->log_start > x->part.first_base;
	TRY(starts_set(&x->starts, str_of(x->topic), x->key.partition, inside ? x->log_start : 0));
	fsck_tell(&x->teller, ERR_OK,
	    "partition=%s-%d action=exported batches=%llu bytes=%llu segments=%llu "
	    "log_start=%lld log_end=%lld",
	    x->topic, x->key.partition, (unsigned long long)x->part.batches,
	    (unsigned long long)x->part.bytes, (unsigned long long)x->part.segments,
	    (long long)x->log_start, (long long)x->log_end);
	export_part_release(&x->part);
	x->open = false;
	x->written[x->key.partition] = true;
	return ERR_OK;
}

static enum err export_partition_end(
    void *ctx, struct fsck *f, const char *dir, const struct fsck_end *end)
{
	struct export *x = ctx;
	(void)end;
	if (!x->open)
		return ERR_OK;
	bool missing = x->lowest > x->log_start && !log_uuid_equal(x->id, CATALOG_TOPIC_ID);
	if (missing)
		return err_note(ERR_CORRUPT, "%s has no offsets from %lld to %lld", dir,
		    (long long)x->log_start, (long long)x->lowest - 1);
	if (f->bad && !x->bad_before)
		return err_note(ERR_CORRUPT, "%s is damaged", dir);
	return part_close(x);
}

/* Partitions without a directory are empty, or lost. */
static enum err export_finish(void *ctx, struct fsck *f)
{
	struct export *x = ctx;
	TRY(know_topic(x, f));
	for (int32_t i = 0; i < x->partitions; i++) {
		const struct partition_key key = {x->id, i};
		const struct fsck_end *end = fsck_end_of(f, key);
		if (x->written[i] || !is_asked_for(x, key))
			continue;
		if (end && end->log_end != 0)
			return err_note(ERR_CORRUPT, "%s-%d: its directory is gone", x->topic, i);
		TRY(part_open(x, f, key));
		TRY(part_close(x));
	}
	TRY(starts_write(x->io, x->out, &x->starts));
	TRY(io_sync_all(x->io, x->out_fd));
	for (int32_t i = 0; i < x->partitions; i++) {
		char from[LOG_PATH_MAX], to[LOG_PATH_MAX];
		if (!x->written[i])
			continue;
		TRY(part_dir(x, i, false, from));
		TRY(part_dir(x, i, true, to));
		TRY(io_rename(x->io, from, to));
	}
	return io_fsync_dir(x->io, x->out);
}

enum err log_export(struct io *io, const char *data_dir, const char *topic, const char *out_dir,
    const struct log_export_options *options, log_print print, void *ctx)
{
	struct export x = {.io = io,
	    .topic = topic,
	    .out = out_dir,
	    .partition = options->partition,
	    .out_fd = -1,
	    .teller = {options->json, print, ctx}};
	const struct fsck_sink sink = {
	    .ctx = &x,
	    .journal = export_journal,
	    .wants = export_wants,
	    .partition = export_partition,
	    .segment = export_segment,
	    .frame = export_frame,
	    .partition_end = export_partition_end,
	    .finish = export_finish,
	    .only_reads = true,
	    .reads_all = true,
	};
	const struct log_fsck_options walk = {.json = options->json};
	enum err err = fsck_walk(io, data_dir, &walk, &sink, print, ctx);
	if (x.open)
		export_part_release(&x.part);
	close_out(&x);
	mem_free(x.written);
	return err;
}
