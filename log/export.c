/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_export: the partitions of a topic as Kafka log directories. The log itself is opened for it,
 * so that what is written is what a server would serve; a damaged partition is refused.
 */
#include "log/export.h"
#include "log/fsck.h"
#include <stdio.h>

struct export
{
	struct io *io;
	const char *topic, *out;
	int32_t partition;
	struct fsck_teller teller;
	struct log *log;
	struct log_partition *p;
	int64_t segment; /* of ours, whose batches are written: cut where ours is */
	struct export_part part;
};

static enum err visit(void *ctx, const struct frame *frame, struct bytes batch)
{
	struct export *x = ctx;
	const struct segment *s = partition_segment_of(x->p, frame->base_offset);
	x->part.roll = s && s->base_offset != x->segment;
	x->segment = s ? s->base_offset : x->segment;
	return export_part_batch(&x->part, batch);
}

static enum err export_partition(struct export *x, const struct log_topic *topic, int32_t number)
{
	struct log_partition *p = log_partition_find(x->log, topic, number);
	char dir[LOG_PATH_MAX];
	x->p = p;
	x->segment = -1;
	int n = snprintf(dir, sizeof(dir), "%s/%s-%d", x->out, x->topic, number);
	if (n < 0 || (size_t)n >= sizeof(dir))
		return err_note(ERR_LIMIT, "%s: path too long", x->out);
	enum err err =
	    export_part_open(&x->part, x->io, dir, topic->config.segment_bytes, p->log_start);
	if (err == ERR_OK)
		err = partition_walk(p, p->log_start, visit, x);
	if (err == ERR_OK)
		err = export_part_close(&x->part, topic->id);
	if (err == ERR_OK)
		fsck_tell(&x->teller, ERR_OK,
		    "partition=%s-%d action=exported batches=%llu bytes=%llu segments=%llu "
		    "log_start=%lld log_end=%lld",
		    x->topic, number, (unsigned long long)x->part.batches,
		    (unsigned long long)x->part.bytes, (unsigned long long)x->part.segments,
		    (long long)p->log_start, (long long)p->log_end);
	export_part_release(&x->part);
	return err;
}

static enum err export_topic(void *ctx, struct log *log)
{
	struct export *x = ctx;
	const struct log_topic *topic = log_topic_find(log, str_of(x->topic));
	if (!topic || x->partition >= topic->partition_count)
		return err_note(ERR_UNKNOWN_TOPIC, "there is no %s", x->topic);
	x->log = log;
	TRY(io_mkdir_all(x->io, x->out));
	int32_t from = x->partition < 0 ? 0 : x->partition;
	int32_t to = x->partition < 0 ? topic->partition_count : x->partition + 1;
	for (int32_t i = from; i < to; i++)
		TRY(export_partition(x, topic, i));
	return io_fsync_dir(x->io, x->out);
}

enum err log_export(struct io *io, const char *data_dir, const char *topic, const char *out_dir,
    const struct log_export_options *options, log_print print, void *ctx)
{
	const struct offline_open open = {.io = io, .data_dir = data_dir};
	struct export x = {.io = io,
	    .topic = topic,
	    .out = out_dir,
	    .partition = options->partition,
	    .teller = {options->json, print, ctx}};
	char path[LOG_PATH_MAX];
	struct io_stat stat;
	int n = snprintf(path, sizeof(path), "%s/lock", data_dir);
	if (n < 0 || (size_t)n >= sizeof(path))
		return err_note(ERR_LIMIT, "path too long");
	enum err err = io_stat(io, path, &stat);
	if (err == ERR_NOT_FOUND)
		return err_note(err, "%s is not a data directory (it has no lock file)", data_dir);
	TRY(err);
	return offline_with_log(&open, export_topic, &x);
}
