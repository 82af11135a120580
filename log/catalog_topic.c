/* SPDX-License-Identifier: Apache-2.0 */
/* Topics in memory: their configuration, their partitions, and how they are found. */
#include "log/catalog_change.h"

/* ---- configuration --------------------------------------------------------------------------- */

static const struct topic_settings no_defaults;

static const struct topic_settings *defaults_of(const struct catalog *c, bool internal)
{
	return internal ? &no_defaults : &c->defaults;
}

enum err topic_view_new(
    struct catalog *c, bool internal, struct topic_settings *settings, struct topic_view *ret_view)
{
	struct topic_view v = {0};
	size_t count = 0;
	for (size_t id = 0; id < TOPIC_CONFIG_COUNT; id++)
		count += settings->value[id] != NULL;
	v.settings = mem_alloc(sizeof(*v.settings));
	v.pairs = mem_calloc(count + 1, sizeof(v.pairs[0]));
	if (!v.settings || !v.pairs) {
		mem_free(v.settings);
		mem_free(v.pairs);
		return ERR_NOMEM;
	}
	*v.settings = *settings;
	*settings = (struct topic_settings){0};
	for (enum topic_config_id id = 0; id < TOPIC_CONFIG_COUNT; id++)
		if (v.settings->value[id]) {
			v.pairs[v.pair_count][0] = str_of(topic_config_key(id));
			v.pairs[v.pair_count++][1] = str_of(v.settings->value[id]);
		}
	v.config = topic_settings_decode(v.settings, defaults_of(c, internal));
	*ret_view = v;
	return ERR_OK;
}

void topic_view_release(struct topic_view *v)
{
	if (v->settings)
		topic_settings_release(v->settings);
	mem_free(v->settings);
	mem_free(v->pairs);
	*v = (struct topic_view){0};
}

void topic_view_set(struct topic *t, struct topic_view *v)
{
	topic_view_release(&t->view);
	t->view = *v;
	*v = (struct topic_view){0};
	t->pub.config = t->view.config;
	t->pub.set_configs = t->view.pairs;
	t->pub.set_config_count = t->view.pair_count;
}

const struct str (*topic_internal_configs(bool table, size_t *ret_count))[2]
{
	static const struct str history[][2] = {
	    {{"retention.ms", 12}, {"-1", 2}},
	    {{"retention.bytes", 15}, {"-1", 2}},
	    {{"max.message.bytes", 17}, {"16777216", 8}},
	};
	/* small segments, so that a start reads little; trimmed by snapshots */
	static const struct str rows[][2] = {
	    {{"retention.ms", 12}, {"-1", 2}},
	    {{"retention.bytes", 15}, {"-1", 2}},
	    {{"max.message.bytes", 17}, {"16777216", 8}},
	    {{"segment.bytes", 13}, {"16777216", 8}},
	    {{"cleanup.policy", 14}, {"compact", 7}},
	};
	*ret_count = table ? sizeof(rows) / sizeof(rows[0]) : sizeof(history) / sizeof(history[0]);
	return table ? rows : history;
}

enum err log_default_config_set(struct log *log, struct str key, struct str value)
{
	struct catalog *c = log->catalog;
	loop_assert_owner(log->loop);
	TRY(topic_settings_set(&c->defaults, key, value));
	for (size_t i = 0; i < c->count; i++) {
		struct topic *t = c->sorted[i];
		t->view.config =
		    topic_settings_decode(t->view.settings, defaults_of(c, t->pub.internal));
		t->pub.config = t->view.config;
	}
	return ERR_OK;
}

static enum err copy_text(const char *text, char *buf, size_t len)
{
	size_t text_len = strlen(text);
	if (text_len >= len)
		return err_note(ERR_LIMIT, "value of %zu bytes", text_len);
	memcpy(buf, text, text_len + 1);
	return ERR_OK;
}

enum err log_topic_config_get(
    const struct log_topic *topic, struct str key, char *buf, size_t len, bool *ret_is_set)
{
	enum topic_config_id id;
	const struct topic *t = topic_of(topic);
	if (!topic_config_by_key(key, &id))
		return err_note(ERR_INVALID_CONFIG, "unknown key");
	const struct topic_settings *defaults = defaults_of(t->log->catalog, topic->internal);
	const char *text = topic_settings_get(t->view.settings, defaults, id, ret_is_set);
	return copy_text(text, buf, len);
}

enum err log_default_config_get(const struct log *log, struct str key, char *buf, size_t len)
{
	enum topic_config_id id;
	if (!topic_config_by_key(key, &id))
		return err_note(ERR_INVALID_CONFIG, "unknown key");
	return copy_text(
	    topic_settings_get(&no_defaults, &log->catalog->defaults, id, NULL), buf, len);
}

/* ---- partitions ------------------------------------------------------------------------------ */

/* What the catalog says of a partition, 0 and 0 when nothing. */
static enum err partition_row_of(
    const struct topic *t, int32_t partition, int64_t *log_start, uint32_t *epoch)
{
	struct row_name name = {.kind = ROW_PARTITION, .id = t->pub.id, .partition = partition};
	const struct catalog_kept *kept = catalog_kept(t->log->catalog, &name);
	*log_start = 0;
	*epoch = 0;
	return kept ? partition_row_parse(kept->value, log_start, epoch) : ERR_OK;
}

enum err topic_partitions_open(
    struct topic *t, int32_t from, int32_t to, struct log_partition **out)
{
	for (int32_t i = from; i < to; i++) {
		int64_t log_start;
		uint32_t epoch;
		enum err err = partition_row_of(t, i, &log_start, &epoch);
		if (err == ERR_OK)
			err = partition_open(t->log, &t->pub, i, log_start, epoch, &out[i]);
		if (err != ERR_OK) {
			topic_partitions_close(out, from, i);
			return err_note(err, "partition " STR_FMT "-%d", STR_ARG(t->pub.name), i);
		}
	}
	return ERR_OK;
}

void topic_partitions_close(struct log_partition **partitions, int32_t from, int32_t to)
{
	for (int32_t i = from; i < to; i++)
		partition_close(partitions[i]);
}

struct log_partition *log_partition_find(
    const struct log *log, const struct log_topic *topic, int32_t partition)
{
	const struct topic *t = topic_of(topic);
	(void)log;
	return partition >= 0 && partition < topic->partition_count ? t->partitions[partition]
	                                                            : NULL;
}

struct log_partition *catalog_partition(
    const struct log *log, struct log_uuid topic_id, int32_t partition)
{
	const struct log_topic *topic = log_topic_by_id(log, topic_id);
	return topic ? log_partition_find(log, topic, partition) : NULL;
}

void catalog_each_partition(
    const struct log *log, void (*fn)(void *ctx, struct log_partition *p), void *ctx)
{
	const struct catalog *c = log->catalog;
	for (size_t i = 0; i < c->count; i++)
		for (int32_t n = 0; n < c->sorted[i]->pub.partition_count; n++)
			fn(ctx, c->sorted[i]->partitions[n]);
}

/* ---- topics ---------------------------------------------------------------------------------- */

enum err topic_new(
    struct catalog *c, struct str name, struct topic_row *row, struct topic **ret_topic)
{
	struct topic *t = mem_calloc(1, sizeof(*t));
	if (!t)
		return ERR_NOMEM;
	bool internal = log_topic_name_reserved(name);
	struct topic_view view;
	t->log = c->log;
	t->name = mem_strdup(name);
	t->partitions = mem_calloc((size_t)row->partitions, sizeof(struct log_partition *));
	if (!t->name || !t->partitions ||
	    topic_view_new(c, internal, &row->settings, &view) != ERR_OK) {
		topic_free(t);
		return ERR_NOMEM;
	}
	topic_view_set(t, &view);
	t->pub.id = row->id;
	t->pub.name = str_from(t->name, name.len);
	t->pub.partition_count = row->partitions;
	t->pub.internal = internal;
	*ret_topic = t;
	return ERR_OK;
}

void topic_free(struct topic *t)
{
	if (!t)
		return;
	topic_view_release(&t->view);
	mem_free(t->partitions);
	mem_free(t->name);
	mem_free(t);
}

static struct bytes id_bytes(const struct log_uuid *id)
{
	return bytes_of(id->b, sizeof(id->b));
}

enum err topic_link(struct catalog *c, struct topic *t)
{
	if (c->count == c->capacity) {
		size_t capacity = c->capacity == 0 ? 16 : c->capacity * 2;
		struct topic **sorted = mem_realloc(c->sorted, capacity * sizeof(struct topic *));
		if (!sorted)
			return ERR_NOMEM;
		c->sorted = sorted;
		c->capacity = capacity;
	}
	TRY(map_put(&c->by_name, str_bytes(t->pub.name), t));
	enum err err = map_put(&c->by_id, id_bytes(&t->pub.id), t);
	if (err != ERR_OK)
		map_remove(&c->by_name, str_bytes(t->pub.name));
	return err;
}

void topic_unlink(struct catalog *c, struct topic *t)
{
	ASSERT(!t->live);
	map_remove(&c->by_name, str_bytes(t->pub.name));
	map_remove(&c->by_id, id_bytes(&t->pub.id));
}

/* Where a name is, or would be, among the sorted ones. */
static size_t sorted_place(const struct catalog *c, struct str name)
{
	size_t low = 0, high = c->count;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (bytes_compare(str_bytes(c->sorted[mid]->pub.name), str_bytes(name)) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

void topic_publish(struct catalog *c, struct topic *t)
{
	size_t at = sorted_place(c, t->pub.name);
	ASSERT(!t->live && c->count < c->capacity);
	memmove(&c->sorted[at + 1], &c->sorted[at], (c->count - at) * sizeof(c->sorted[0]));
	c->sorted[at] = t;
	c->count++;
	c->partition_total += t->pub.partition_count;
	t->live = true;
	t->pub.born = ++c->topics_version;
}

void topic_unpublish(struct catalog *c, struct topic *t)
{
	size_t at = sorted_place(c, t->pub.name);
	ASSERT(t->live && at < c->count && c->sorted[at] == t);
	c->count--;
	memmove(&c->sorted[at], &c->sorted[at + 1], (c->count - at) * sizeof(c->sorted[0]));
	c->partition_total -= t->pub.partition_count;
	t->live = false;
	c->topics_version++;
}

struct topic *topic_by_name(const struct catalog *c, struct str name)
{
	return map_get(&c->by_name, str_bytes(name));
}

struct topic *topic_by_id(const struct catalog *c, struct log_uuid id)
{
	return map_get(&c->by_id, id_bytes(&id));
}

const struct log_topic *log_topic_find(const struct log *log, struct str name)
{
	const struct topic *t = topic_by_name(log->catalog, name);
	return t && t->live ? &t->pub : NULL;
}

const struct log_topic *log_topic_by_id(const struct log *log, struct log_uuid id)
{
	const struct topic *t = topic_by_id(log->catalog, id);
	return t && t->live ? &t->pub : NULL;
}

const struct log_topic *log_topic_next(const struct log *log, size_t *cursor)
{
	const struct catalog *c = log->catalog;
	return *cursor < c->count ? &c->sorted[(*cursor)++]->pub : NULL;
}

size_t log_topic_count(const struct log *log)
{
	return log->catalog->count;
}

uint64_t log_topics_version(const struct log *log)
{
	return log->catalog->topics_version;
}
