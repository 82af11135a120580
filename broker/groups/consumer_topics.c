/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a consumer group is subscribed to: subscriptions, shared by the members that want the same,
 * the topics they come to, and the slots that say who holds which partition.
 */
#include "consumer.h"
#include <stdlib.h>

/* ---- subscriptions --------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
	const struct str *x = a, *y = b;
	return bytes_compare(str_bytes(*x), str_bytes(*y));
}

/* In order, without twins. */
static size_t sort_names(struct str *names, size_t count)
{
	size_t kept = 0;
	if (count)
		qsort(names, count, sizeof(*names), by_name);
	for (size_t i = 0; i < count; i++) {
		if (kept == 0 || !str_equal(names[kept - 1], names[i]))
			names[kept++] = names[i];
	}
	return kept;
}

static void subscription_free(struct consumer_group *c, struct consumer_subscription *s)
{
	if (!s)
		return;
	size_t bytes = s->key.len;
	if (c->limits->budget)
		budget_give(c->limits->budget, bytes);
	c->bytes -= bytes;
	consumer_pattern_drop(c, s->finds);
	mem_free((void *)(uintptr_t)s->key.ptr);
	mem_free(s->names);
	mem_free(s->topics);
	mem_free(s);
}

static void append(uint8_t **at, struct str s)
{
	put_u32_be(*at, (uint32_t)s.len);
	if (s.len)
		memcpy(*at + 4, s.ptr, s.len);
	*at += 4 + s.len;
}

/* Pattern, who looks by it, then names, each behind its length. */
static enum err make_key(const struct str *names, size_t count, struct str pattern,
    struct str viewer, struct str *ret_key)
{
	size_t len = 8 + pattern.len + viewer.len;
	for (size_t i = 0; i < count; i++)
		len += 4 + names[i].len;
	uint8_t *key = mem_alloc(len), *at = key;
	if (!key)
		return ERR_NOMEM;
	append(&at, pattern);
	append(&at, viewer);
	for (size_t i = 0; i < count; i++)
		append(&at, names[i]);
	*ret_key = str_from(key, len);
	return ERR_OK;
}

static enum err charge(struct consumer_group *c, size_t bytes)
{
	if (c->bytes + bytes > c->limits->bytes_max ||
	    (c->limits->budget && !budget_take(c->limits->budget, bytes)))
		return err_note(ERR_GROUP_MAX_SIZE, "subscriptions of %zu bytes", c->bytes);
	c->bytes += bytes;
	return ERR_OK;
}

/* Takes `key` and `names`, also on failure. */
static enum err subscription_new(struct consumer_group *c, struct str key, struct str *names,
    size_t count, struct consumer_subscription **ret_subscription)
{
	struct consumer_subscription *s = mem_calloc(1, sizeof(*s));
	enum err e = s ? charge(c, key.len) : ERR_NOMEM;
	if (e != ERR_OK) {
		mem_free(s);
		mem_free((void *)(uintptr_t)key.ptr);
		mem_free(names);
		return e;
	}
	s->key = key;
	s->names = names;
	s->name_count = count;
	list_node_init(&s->node);
	/* from now on all points into the key */
	struct reader r = reader_of(str_bytes(key));
	struct str pattern = bytes_str(read_bytes(&r, read_u32_be(&r)));
	s->viewer = bytes_str(read_bytes(&r, read_u32_be(&r)));
	for (size_t i = 0; i < count; i++)
		names[i] = bytes_str(read_bytes(&r, read_u32_be(&r)));
	if (pattern.len) {
		s->pattern = pattern;
		e = consumer_pattern_hold(c, pattern, s->viewer, &s->finds);
	}
	if (e == ERR_OK)
		e = map_put(&c->by_key, str_bytes(s->key), s);
	if (e != ERR_OK) {
		subscription_free(c, s);
		return e;
	}
	list_push_back(&c->subscriptions, &s->node);
	c->topics_stale = true;
	*ret_subscription = s;
	return ERR_OK;
}

/* Names and pattern that hold from now on: those of the heartbeat, else those before. */
static enum err wanted(const struct consumer_beat *beat, const struct consumer_subscription *before,
    struct str **ret_names, size_t *ret_count)
{
	const struct str *from = beat->names ? beat->names : before ? before->names : NULL;
	size_t count = beat->names ? beat->name_count : before ? before->name_count : 0;
	if (count > CONSUMER_TOPICS_MAX)
		return err_note(ERR_INVALID_REQUEST, "subscription to %zu topics", count);
	struct str *names = mem_alloc((count + 1) * sizeof(*names));
	if (!names)
		return ERR_NOMEM;
	if (count)
		memcpy(names, from, count * sizeof(*names));
	*ret_count = sort_names(names, count);
	*ret_names = names;
	return ERR_OK;
}

enum err consumer_subscribe(struct consumer_group *c, const struct consumer_beat *beat,
    const struct consumer_subscription *before, struct consumer_subscription **ret_subscription)
{
	struct str *names = NULL, key, none = {NULL, 0};
	size_t count = 0;
	struct str pattern = beat->pattern.ptr ? beat->pattern : before ? before->pattern : none;
	struct str viewer = beat->viewer.ptr ? beat->viewer : before ? before->viewer : none;
	if (pattern.len == 0)
		viewer = none;
	if (pattern.len > CONSUMER_PATTERN_MAX)
		return err_note(ERR_INVALID_REGEX, "an expression of %zu bytes", pattern.len);
	TRY(wanted(beat, before, &names, &count));
	enum err e = make_key(names, count, pattern, viewer, &key);
	if (e != ERR_OK) {
		mem_free(names);
		return e;
	}
	struct consumer_subscription *s = map_get(&c->by_key, str_bytes(key));
	if (s) {
		mem_free(names);
		mem_free((void *)(uintptr_t)key.ptr);
	} else {
		TRY(subscription_new(c, key, names, count, &s));
	}
	s->members++;
	*ret_subscription = s;
	return ERR_OK;
}

void consumer_unsubscribe(struct consumer_group *c, struct consumer_subscription *s)
{
	ASSERT(s->members > 0);
	if (--s->members > 0)
		return;
	map_remove(&c->by_key, str_bytes(s->key));
	list_remove(&s->node);
	subscription_free(c, s);
	c->topics_stale = true;
}

static int by_index(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

/* What its pattern had found when topics were last looked up; before that it may be anything. */
static bool is_found(const struct consumer_subscription *s, size_t at)
{
	uint32_t index = (uint32_t)at;
	if (!s->finds || at == SIZE_MAX)
		return false;
	return !s->topics || bsearch(&index, s->topics, s->topic_count, sizeof(index), by_index);
}

bool consumer_is_subscribed(struct consumer_group *c, const struct log_topic *topic)
{
	size_t at = consumer_topic_index(c, topic->id);
	LIST_EACH (&c->subscriptions, node, tmp) {
		struct consumer_subscription *s =
		    CONTAINER_OF(node, struct consumer_subscription, node);
		if (is_found(s, at) ||
		    bsearch(&topic->name, s->names, s->name_count, sizeof(*s->names), by_name))
			return true;
	}
	return consumer_patterns_missed(c, topic);
}

/* ---- slots ----------------------------------------------------------------------------------- */

/* Topic id and partition lie side by side at the front of struct consumer_part. */
_Static_assert(offsetof(struct consumer_part, partition) == sizeof(struct log_uuid), "slot key");

static struct bytes slot_key(const struct consumer_part *part)
{
	return bytes_of(part, sizeof(struct log_uuid) + sizeof(int32_t));
}

struct consumer_slot *consumer_slot(
    const struct consumer_group *c, struct log_uuid topic, int32_t partition)
{
	struct consumer_part part = {.topic = topic, .partition = partition};
	return map_get(&c->slots, slot_key(&part));
}

enum err consumer_slot_make(
    struct consumer_group *c, const struct consumer_part *part, struct consumer_slot **ret_slot)
{
	struct consumer_slot *slot = map_get(&c->slots, slot_key(part));
	if (!slot) {
		slot = mem_calloc(1, sizeof(*slot));
		if (!slot)
			return ERR_NOMEM;
		slot->part = *part;
		if (map_put(&c->slots, slot_key(&slot->part), slot) != ERR_OK) {
			mem_free(slot);
			return ERR_NOMEM;
		}
	}
	*ret_slot = slot;
	return ERR_OK;
}

static enum err make_slots(struct consumer_group *c)
{
	c->mark++;
	for (size_t t = 0; t < c->topic_count; t++) {
		for (int32_t p = 0; p < c->topics[t].partition_count; p++) {
			struct consumer_part part = {.topic = c->topics[t].id, .partition = p};
			struct consumer_slot *slot;
			TRY(consumer_slot_make(c, &part, &slot));
			slot->mark = c->mark;
		}
	}
	return ERR_OK;
}

static void drop_slots(struct consumer_group *c)
{
	size_t cursor = 0;
	struct consumer_slot *slot;
	while ((slot = map_next(&c->slots, &cursor))) {
		if (slot->owner || slot->mark == c->mark)
			continue;
		map_remove(&c->slots, slot_key(&slot->part));
		mem_free(slot);
	}
}

/* ---- topics ---------------------------------------------------------------------------------- */

/* Topics being gathered. */
struct topic_list {
	struct consumer_topic *at;
	size_t count, capacity;
};

static enum err add_topic(struct topic_list *list, const struct log_topic *topic)
{
	if (list->count == list->capacity) {
		size_t capacity = list->capacity ? 2 * list->capacity : 16;
		struct consumer_topic *grown = mem_realloc(list->at, capacity * sizeof(*grown));
		if (!grown)
			return ERR_NOMEM;
		list->at = grown;
		list->capacity = capacity;
	}
	list->at[list->count++] =
	    (struct consumer_topic){.id = topic->id, .partition_count = topic->partition_count};
	return ERR_OK;
}

static int by_id(const void *a, const void *b)
{
	const struct consumer_topic *x = a, *y = b;
	return memcmp(x->id.b, y->id.b, sizeof(x->id.b));
}

static void sort_topics(struct topic_list *list)
{
	size_t kept = 0;
	if (list->count)
		qsort(list->at, list->count, sizeof(*list->at), by_id);
	for (size_t i = 0; i < list->count; i++) {
		if (kept == 0 || by_id(&list->at[kept - 1], &list->at[i]) != 0)
			list->at[kept++] = list->at[i];
	}
	list->count = kept;
}

static enum err gather_one(
    struct consumer_group *c, const struct consumer_subscription *s, struct topic_list *list)
{
	const struct log_topic *topic;
	for (size_t i = 0; i < s->name_count; i++) {
		topic = c->ops->topic_find(c, s->names[i]);
		if (topic)
			TRY(add_topic(list, topic));
	}
	for (size_t i = 0; s->finds && s->finds->looked && i < s->finds->count; i++) {
		const struct consumer_finding *f = &s->finds->found[i];
		topic = f->seen ? c->ops->topic_by_id(c, f->topic) : NULL;
		if (topic)
			TRY(add_topic(list, topic));
	}
	sort_topics(list);
	return ERR_OK;
}

size_t consumer_topic_index(const struct consumer_group *c, struct log_uuid id)
{
	struct consumer_topic wanted = {.id = id};
	const struct consumer_topic *found =
	    c->topic_count ? bsearch(&wanted, c->topics, c->topic_count, sizeof(wanted), by_id)
	                   : NULL;
	return found ? (size_t)(found - c->topics) : SIZE_MAX;
}

static enum err index_one(struct consumer_group *c, struct consumer_subscription *s)
{
	struct topic_list list = {0};
	enum err e = gather_one(c, s, &list);
	uint32_t *topics = e == ERR_OK ? mem_alloc((list.count + 1) * sizeof(*topics)) : NULL;
	if (topics) {
		for (size_t i = 0; i < list.count; i++)
			topics[i] = (uint32_t)consumer_topic_index(c, list.at[i].id);
		mem_free(s->topics);
		s->topics = topics;
		s->topic_count = list.count;
	}
	mem_free(list.at);
	return e == ERR_OK && !topics ? ERR_NOMEM : e;
}

static enum err gather_all(struct consumer_group *c, struct topic_list *list)
{
	size_t partitions = 0;
	LIST_EACH (&c->subscriptions, node, tmp) {
		TRY(gather_one(c, CONTAINER_OF(node, struct consumer_subscription, node), list));
	}
	sort_topics(list);
	for (size_t i = 0; i < list->count; i++) {
		list->at[i].first = partitions;
		partitions += (size_t)list->at[i].partition_count;
	}
	return partitions <= CONSUMER_PARTITIONS_MAX
	           ? ERR_OK
	           : err_note(ERR_LIMIT, "subscription to %zu partitions", partitions);
}

/* Of ids and counts, not of names: a topic that is made anew is another one. Never 0, which is "no
 * topics". */
static int64_t topics_hash(const struct topic_list *list)
{
	uint64_t hash = 0;
	for (size_t i = 0; i < list->count; i++) {
		uint8_t row[28];
		put_u64_be(row, hash);
		memcpy(row + 8, list->at[i].id.b, 16);
		put_u32_be(row + 24, (uint32_t)list->at[i].partition_count);
		/* FNV-1a: the same in every process, for it is stored */
		hash = 0xcbf29ce484222325U;
		for (size_t k = 0; k < sizeof(row); k++)
			hash = (hash ^ row[k]) * 0x100000001b3U;
	}
	return list->count && hash == 0 ? 1 : (int64_t)hash;
}

static enum err take_topics(struct consumer_group *c, struct topic_list *list)
{
	mem_free(c->topics);
	c->topics = list->at;
	c->topic_count = list->count;
	c->partition_count = 0;
	for (size_t i = 0; i < list->count; i++)
		c->partition_count += (size_t)list->at[i].partition_count;
	*list = (struct topic_list){0};
	TRY(make_slots(c));
	LIST_EACH (&c->subscriptions, node, tmp)
		TRY(index_one(c, CONTAINER_OF(node, struct consumer_subscription, node)));
	drop_slots(c);
	return ERR_OK;
}

enum err consumer_refresh(struct consumer_group *c, bool *ret_changed)
{
	struct topic_list list = {0};
	uint64_t version = c->ops->topics_version(c);
	uint64_t rights = c->ops->rights_version(c);
	if (!c->topics_stale && !c->patterns_behind && c->topics_version == version &&
	    c->rights_version == rights)
		return ERR_OK;
	c->topics_stale = true; /* until all of it is done */
	TRY(consumer_patterns_look(c));
	enum err e = gather_all(c, &list);
	int64_t hash = e == ERR_OK ? topics_hash(&list) : 0;
	if (e == ERR_OK)
		e = take_topics(c, &list);
	mem_free(list.at);
	TRY(e);
	c->topics_version = version;
	c->rights_version = rights;
	c->topics_stale = false;
	if (hash != c->topics_hash) {
		c->topics_hash = hash;
		*ret_changed = true;
	}
	return ERR_OK;
}
