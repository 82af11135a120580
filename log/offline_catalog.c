/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of the catalog of a directory that nobody serves, put by the log itself. See offline.h. */
#include "log/catalog_change.h"
#include "log/engine.h"
#include "log/offline.h"

enum err offline_with_log(
    const struct offline_open *open, enum err (*fn)(void *ctx, struct log *log), void *ctx)
{
	const struct log_options options = {
	    .data_dir = open->data_dir,
	    .journal_dir = open->journal_dir,
	    .journal_bytes = open->journal_bytes,
	    .accept_lost_suffix = open->accept_lost_suffix,
	    .unfinished = open->unfinished,
	};
	struct loop *loop;
	struct log *log;
	TRY(loop_new(open->io, 0, &loop)); /* nothing else is to go on meanwhile */
	enum err err = log_open(loop, &options, &log);
	if (err == ERR_OK) {
		if (fn)
			err = fn(ctx, log);
		bool failed = log->failed;
		log_close(log);
		if (err == ERR_OK && failed)
			err = err_note(ERR_IO, "%s: a flush failed", open->data_dir);
	}
	loop_free(loop);
	return err;
}

static enum err topic_row(struct writer *text, const struct offline_topic *topic)
{
	struct topic_row row = {.id = topic->id, .partitions = topic->partitions};
	TRY(topic_settings_parse(topic->configs, topic->config_count, &row.settings));
	topic_row_write(text, &row);
	topic_settings_release(&row.settings);
	return text->err;
}

enum err offline_put_topic(struct log *log, const struct offline_topic *topic)
{
	struct row_name name = {.kind = ROW_TOPIC, .topic = topic->name};
	struct writer key, value;
	TRY(log_topic_name_check(topic->name));
	writer_init(&key, KIB);
	writer_init(&value, 64 * KIB);
	row_name_write(&key, &name);
	enum err err = key.err != ERR_OK ? key.err : topic_row(&value, topic);
	if (err == ERR_OK) {
		const struct log_row row = {writer_bytes(&key), writer_bytes(&value)};
		err = log_table_put_wait(log->catalog->table, 0, &row, 1);
	}
	writer_release(&key);
	writer_release(&value);
	return err;
}

enum err offline_put_early(struct log *log, const struct catalog_partition_row *partition)
{
	struct row_name name = {
	    .kind = ROW_PARTITION, .id = partition->topic_id, .partition = partition->partition};
	struct writer key, value;
	writer_init(&key, KIB);
	writer_init(&value, KIB);
	row_name_write(&key, &name);
	partition_row_write(&value, partition);
	enum err err = key.err != ERR_OK ? key.err : value.err;
	if (err == ERR_OK) {
		const struct log_row row = {writer_bytes(&key), writer_bytes(&value)};
		err = log_table_put_wait(log->catalog->table, 0, &row, 1);
	}
	writer_release(&key);
	writer_release(&value);
	return err;
}

struct waiting_row {
	struct catalog_partition_row row;
	bool done;
};

static void row_done(struct catalog_partition_row *row)
{
	CONTAINER_OF(row, struct waiting_row, row)->done = true;
}

enum err offline_put_partition(struct log *log, const struct catalog_partition_row *row)
{
	struct waiting_row w = {.row = *row};
	w.row.done = row_done;
	catalog_put_partition(log, &w.row);
	while (!w.done)
		TRY(loop_step(log->loop, 10 * MS_NS));
	return w.row.err;
}
