/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalog at open and close, and its rows. What a row means while the
 * server runs is done by whoever put it, after it is durable (catalog_change.c); at open all rows
 * are read first and then interpreted, so that a topic which a later row deletes is never opened.
 *
 * Rows that this version does not know are kept and written into snapshots: going back to a newer
 * server loses nothing.
 */
#include "log/catalog_change.h"
#include "log/compact.h"
#include "log/retention.h"

/* ---- rows ------------------------------------------------------------------------------------ */

static struct catalog_kept *kept_new(struct bytes key, struct bytes value)
{
	struct catalog_kept *kept = mem_alloc(sizeof(*kept) + key.len + value.len);
	if (!kept)
		return NULL;
	memcpy(kept->data, key.ptr, key.len);
	if (value.len > 0)
		memcpy(kept->data + key.len, value.ptr, value.len);
	kept->key = bytes_of(kept->data, key.len);
	kept->value = bytes_of(kept->data + key.len, value.len);
	return kept;
}

static enum err apply_row(
    void *ctx, int32_t partition, struct bytes key, struct bytes value, int64_t timestamp_ms)
{
	struct catalog *c = ctx;
	(void)timestamp_ms;
	if (partition != 0 || key.len == 0)
		return err_note(ERR_CORRUPT, "catalog row without a name");
	struct catalog_kept *kept = NULL;
	if (value.ptr) {
		kept = kept_new(key, value);
		if (!kept)
			return ERR_NOMEM;
	}
	struct catalog_kept *old = map_remove(&c->rows, key);
	mem_free(old);
	if (!kept)
		return ERR_OK;
	enum err err = map_put(&c->rows, kept->key, kept);
	if (err != ERR_OK)
		mem_free(kept);
	return err;
}

/* Topics first: a reader that begins at a snapshot meets a topic before what refers to it. */
static void snapshot_rows(void *ctx, int32_t partition,
    void (*emit)(void *emit_ctx, struct bytes key, struct bytes value), void *emit_ctx)
{
	struct catalog *c = ctx;
	ASSERT(partition == 0);
	for (int topics = 1; topics >= 0; topics--) {
		size_t cursor = 0;
		struct catalog_kept *kept;
		while ((kept = map_next(&c->rows, &cursor)))
			if ((row_name_parse(kept->key).kind == ROW_TOPIC) == topics)
				emit(emit_ctx, kept->key, kept->value);
	}
}

const struct catalog_kept *catalog_kept(const struct catalog *c, const struct row_name *name)
{
	/*
	 * no memory is taken: a name that could not be written would be taken for absent, and a
	 * log_start would be lost
	 */
	uint8_t room[KIB];
	struct writer key = {.ptr = room, .capacity = sizeof(room), .limit = sizeof(room)};
	row_name_write(&key, name);
	ASSERT(key.err == ERR_OK);
	return map_get(&c->rows, writer_bytes(&key));
}

/* ---- open ------------------------------------------------------------------------------------ */

/* Makes the topic and its partitions usable; takes row->settings. */
static enum err adopt_topic(struct catalog *c, struct str name, struct topic_row *row)
{
	struct topic *t;
	TRY(topic_new(c, name, row, &t));
	enum err err = topic_partitions_open(t, 0, t->pub.partition_count, t->partitions);
	if (err != ERR_OK) {
		topic_free(t);
		return err;
	}
	err = topic_by_id(c, t->pub.id)
	          ? err_note(ERR_CORRUPT, "two topics have the id of " STR_FMT, STR_ARG(name))
	          : topic_link(c, t);
	if (err != ERR_OK) {
		topic_partitions_close(t->partitions, 0, t->pub.partition_count);
		topic_free(t);
		return err;
	}
	topic_publish(c, t);
	return ERR_OK;
}

/* The catalog's own topic, which no row describes. */
static enum err adopt_self(struct catalog *c)
{
	size_t count;
	const struct str(*configs)[2] = topic_internal_configs(true, &count);
	struct topic_row row = {.id = CATALOG_TOPIC_ID, .partitions = 1};
	TRY(topic_settings_parse(configs, count, &row.settings));
	enum err err = adopt_topic(c, STR(CATALOG_TOPIC_NAME), &row);
	topic_settings_release(&row.settings);
	if (err == ERR_OK)
		c->self = topic_by_name(c, STR(CATALOG_TOPIC_NAME));
	return err;
}

static enum err open_topic_row(
    struct catalog *c, const struct row_name *name, const struct catalog_kept *kept)
{
	struct topic_row row;
	enum err err = topic_row_parse(kept->value, &row);
	if (err == ERR_OK) {
		err = adopt_topic(c, name->topic, &row);
		topic_settings_release(&row.settings);
	}
	return err == ERR_OK ? ERR_OK : err_note(err, "topic " STR_FMT, STR_ARG(name->topic));
}

static enum err open_topics(struct catalog *c)
{
	size_t cursor = 0;
	struct catalog_kept *kept;
	while ((kept = map_next(&c->rows, &cursor))) {
		struct row_name name = row_name_parse(kept->key);
		if (name.kind == ROW_TOPIC)
			TRY(open_topic_row(c, &name, kept));
	}
	return ERR_OK;
}

/*
 * Moves what a deleted topic has left to trash; removes its row. One row at a time: *ret_more tells
 * there was one.
 */
static enum err empty_trash(struct catalog *c, bool *ret_more)
{
	size_t cursor = 0;
	struct catalog_kept *kept;
	while ((kept = map_next(&c->rows, &cursor))) {
		struct row_name name = row_name_parse(kept->key);
		struct trash_row trash;
		if (name.kind != ROW_TRASH)
			continue;
		TRY(trash_row_parse(kept->value, &trash));
		for (int32_t i = 0; i < trash.partitions; i++)
			TRY(partition_trash_found(c->log, name.id, i));
		struct bytes key = kept->key;
		const struct log_row row = {.key = key};
		TRY(log_table_put_wait(c->table, 0, &row, 1));
		*ret_more = true;
		return ERR_OK;
	}
	*ret_more = false;
	return ERR_OK;
}

/* Deleted topics first: their directories may bear the name of a topic that was made again. */
static enum err interpret(struct catalog *c)
{
	bool more;
	do
		TRY(empty_trash(c, &more));
	while (more);
	TRY(open_topics(c));
	TRY(retention_new(c->log, &c->retention));
	return compactor_new(c->log, &c->compactor);
}

enum err catalog_open(struct log *log)
{
	static const struct log_table_ops ops = {.apply = apply_row, .snapshot = snapshot_rows};
	struct catalog *c = mem_calloc(1, sizeof(*c));
	if (!c)
		return ERR_NOMEM;
	c->log = log;
	c->queue_mail.run = change_queue_run;
	c->rows_mail.run = catalog_rows_run;
	map_init(&c->by_name);
	map_init(&c->by_id);
	map_init(&c->rows);
	list_init(&c->queue);
	list_init(&c->rows_waiting);
	list_init(&c->rows_put);
	log->catalog = c;
	TRY(adopt_self(c));
	TRY(table_attach(log, c->self, &ops, c, &c->table));
	enum err err = interpret(c);
	return err == ERR_OK ? ERR_OK : err_note(err, "catalog");
}

/* ---- close ----------------------------------------------------------------------------------- */

/* Something of ours is still to be answered, or in a mail that the loop has. */
static bool catalog_busy(const struct catalog *c)
{
	return c->queue_posted || c->rows_posted || c->change.req || !list_empty(&c->rows_put) ||
	       c->trims > 0 || (c->table && c->table->in_flight > 0) ||
	       (c->retention && retention_busy(c->retention)) ||
	       (c->compactor && compactor_busy(c->compactor));
}

void catalog_close(struct log *log)
{
	struct catalog *c = log->catalog;
	if (!c)
		return;
	ASSERT(log->closing);
	/* each turn answers what is left with ERR_CLOSED */
	while (catalog_busy(c) && loop_step(log->loop, 0) == ERR_OK)
		;
	retention_free(c->retention);
	compactor_free(c->compactor);
	log_table_close(c->table);
	while (c->count > 0) {
		struct topic *t = c->sorted[c->count - 1];
		topic_unpublish(c, t);
		topic_unlink(c, t);
		topic_free(
		    t); /* its partitions go with the engine, once nothing of them is dirty */
	}
	size_t cursor = 0;
	struct catalog_kept *kept;
	while ((kept = map_next(&c->rows, &cursor)))
		mem_free(kept);
	map_release(&c->rows);
	map_release(&c->by_name);
	map_release(&c->by_id);
	topic_settings_release(&c->defaults);
	mem_free(c->sorted);
	mem_free(c);
	log->catalog = NULL;
}

void log_compact_interval_set(struct log *log, int64_t interval_ns)
{
	compactor_interval_set(log->catalog->compactor, interval_ns);
}
