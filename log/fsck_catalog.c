/* SPDX-License-Identifier: Apache-2.0 */
/* fsck of the catalog: its rows as the log has them, topics without data, data without a topic. */
#include "log/fsck.h"

/* ---- rows ------------------------------------------------------------------------------------ */

static enum err put_row(struct fsck *f, const struct record *r)
{
	struct fsck_row *row = NULL;
	if (!r->key.ptr || r->key.len == 0)
		return ERR_OK;
	if (r->value.ptr) {
		row = mem_alloc(sizeof(*row) + r->key.len + r->value.len);
		if (!row)
			return ERR_NOMEM;
		memcpy(row->data, r->key.ptr, r->key.len);
		memcpy(row->data + r->key.len, r->value.ptr, r->value.len);
		row->key = bytes_of(row->data, r->key.len);
		row->value = bytes_of(row->data + r->key.len, r->value.len);
	}
	if (!row && row_name_parse(r->key).kind == ROW_TOPIC)
		f->sequences.deleted = true;
	mem_free(map_remove(&f->rows, r->key));
	if (!row)
		return ERR_OK;
	enum err err = map_put(&f->rows, row->key, row);
	if (err != ERR_OK)
		mem_free(row);
	return err;
}

enum err fsck_catalog_batch(struct fsck *f, struct bytes batch)
{
	struct writer scratch;
	struct record_iter it;
	struct record r;
	f->catalog_read = true;
	writer_init(&scratch, BATCH_BYTES_MAX);
	enum err err = record_iter_open(&it, batch, &scratch, BATCH_BYTES_MAX);
	while (err == ERR_OK) {
		err = record_iter_next(&it, &r);
		if (err == ERR_OK)
			err = put_row(f, &r);
	}
	writer_release(&scratch);
	if (err == ERR_EOF)
		return ERR_OK;
	if (err == ERR_NOMEM)
		return err;
	fsck_find(f, ERR_DAMAGED, "partition=" CATALOG_TOPIC_NAME "-0 reason=\"%s\"", err_chain());
	err_clear();
	return ERR_OK;
}

/* NULL: there is none. */
static enum err row_find(
    const struct fsck *f, const struct row_name *name, const struct fsck_row **ret_row)
{
	struct writer text;
	writer_init(&text, KIB);
	row_name_write(&text, name);
	enum err err = text.err;
	if (err == ERR_OK)
		*ret_row = map_get(&f->rows, writer_bytes(&text));
	writer_release(&text);
	return err;
}

enum err fsck_log_start(const struct fsck *f, struct partition_key key, int64_t *ret_log_start)
{
	const struct row_name name = {
	    .kind = ROW_PARTITION, .id = key.topic_id, .partition = key.partition};
	const struct fsck_row *row;
	int64_t log_start = 0;
	uint32_t epoch;
	TRY(row_find(f, &name, &row));
	if (row && partition_row_parse(row->value, &log_start, &epoch) != ERR_OK)
		err_clear(); /* told when the rows are read */
	*ret_log_start = log_start;
	return ERR_OK;
}

enum err fsck_gap_named(
    const struct fsck *f, struct partition_key key, struct fsck_range offsets, bool *ret_named)
{
	const struct row_name name = {.kind = ROW_GAP,
	    .id = key.topic_id,
	    .partition = key.partition,
	    .from = (int64_t)offsets.from};
	const struct fsck_row *row;
	int64_t to = 0;
	TRY(row_find(f, &name, &row));
	if (row && gap_row_to(row->value, &to) != ERR_OK)
		err_clear();
	*ret_named = row && to >= (int64_t)offsets.to;
	return ERR_OK;
}

/* ---- topics ---------------------------------------------------------------------------------- */

static enum err add_topic(struct fsck *f, const struct fsck_topic *topic)
{
	struct fsck_topic *copy = map_get(&f->topics, bytes_of(topic->id.b, sizeof(topic->id.b)));
	if (copy)
		return ERR_OK;
	copy = mem_alloc(sizeof(*copy));
	if (!copy)
		return ERR_NOMEM;
	*copy = *topic;
	enum err err = map_put(&f->topics, bytes_of(copy->id.b, sizeof(copy->id.b)), copy);
	if (err != ERR_OK)
		mem_free(copy);
	return err;
}

/* A topic or a deleted one; other rows tell nothing here. */
static enum err read_row(struct fsck *f, const struct fsck_row *row)
{
	struct row_name name = row_name_parse(row->key);
	struct fsck_topic topic = {.id = name.id};
	struct topic_row parsed;
	struct trash_row trash;
	enum err err;
	if (name.kind == ROW_TOPIC) {
		err = topic_row_parse(row->value, &parsed);
		if (err == ERR_OK) {
			topic.id = parsed.id;
			topic.partitions = parsed.partitions;
			memcpy(topic.name, name.topic.ptr, name.topic.len);
			topic_settings_release(&parsed.settings);
		}
	} else if (name.kind == ROW_TRASH) {
		err = trash_row_parse(row->value, &trash);
		if (err == ERR_OK) {
			topic.partitions = trash.partitions;
			topic.trash = true;
		}
	} else {
		return ERR_OK;
	}
	if (err == ERR_OK)
		return add_topic(f, &topic);
	if (err == ERR_NOMEM)
		return err;
	fsck_find(f, ERR_DAMAGED, "row=\"" STR_FMT "\" reason=\"%s\"", STR_ARG(bytes_str(row->key)),
	    err_chain());
	err_clear();
	return ERR_OK;
}

static const struct fsck_topic *topic_of_key(const struct fsck *f, struct partition_key key)
{
	const struct fsck_topic *t =
	    map_get(&f->topics, bytes_of(key.topic_id.b, sizeof(key.topic_id.b)));
	return t && key.partition < t->partitions ? t : NULL;
}

/* Directories that no topic has: never deleted, listed. */
static void find_orphans(struct fsck *f)
{
	char id[UUID_TEXT_BYTES];
	for (size_t i = 0; i < f->found_count; i++)
		if (!topic_of_key(f, f->found[i].key))
			fsck_find(f, ERR_ORPHAN,
			    "directory=%s topic_id=%s partition=%d reason=\"no topic in the "
			    "catalog "
			    "has this id\"",
			    f->found[i].dir, uuid_format(f->found[i].key.topic_id, id),
			    f->found[i].key.partition);
}

/* Partitions that had records and have no directory. */
static void find_lost(struct fsck *f)
{
	size_t cursor = 0;
	const struct fsck_end *end;
	while ((end = map_next(&f->ends, &cursor))) {
		const struct fsck_topic *t = topic_of_key(f, end->key);
		if (end->found || end->log_end == 0 || !t || t->trash)
			continue;
		if (fsck_frame_at(f, end->key, 0, SEGMENT_HEADER_BYTES))
			continue; /* the journal has its first frame: the next start puts it back */
		fsck_find(f, ERR_LOST_SUFFIX,
		    "partition=%s-%d log_end=%lld reason=\"its directory is gone\"", t->name,
		    end->key.partition, (long long)end->log_end);
	}
}

enum err fsck_catalog(struct fsck *f)
{
	struct partition_key self = {.topic_id = CATALOG_TOPIC_ID};
	struct fsck_topic catalog = {
	    .id = self.topic_id, .partitions = 1, .name = CATALOG_TOPIC_NAME};
	TRY(add_topic(f, &catalog));
	size_t cursor = 0;
	const struct fsck_row *row;
	while ((row = map_next(&f->rows, &cursor)))
		TRY(read_row(f, row));
	find_orphans(f);
	find_lost(f);
	return ERR_OK;
}

void fsck_catalog_release(struct fsck *f)
{
	size_t cursor = 0;
	void *entry;
	while ((entry = map_next(&f->rows, &cursor)))
		mem_free(entry);
	cursor = 0;
	while ((entry = map_next(&f->topics, &cursor)))
		mem_free(entry);
	map_release(&f->rows);
	map_release(&f->topics);
}
