/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Committed offsets of one group in memory: what apply() made of the records. An offset remembers
 * the id of the topic it was committed for, so that a topic made anew under the old name does not
 * inherit it; its tombstone follows when the sweep comes by.
 */
#include "groups.h"
#include <stdlib.h>

/* One block: the struct, its key, its metadata. */
static struct offset *offset_new(
    const struct offset_commit_key *key, const struct offset_commit_value *value)
{
	size_t key_len = 4 + key->topic.len;
	struct offset *o = mem_calloc(1, sizeof(*o) + key_len + value->metadata.len);
	if (!o)
		return NULL;
	uint8_t *at = (uint8_t *)(o + 1);
	put_u32_be(at, (uint32_t)key->partition);
	memcpy(at + 4, key->topic.ptr, key->topic.len);
	if (value->metadata.len)
		memcpy(at + key_len, value->metadata.ptr, value->metadata.len);
	*o = (struct offset){
	    .key = bytes_of(at, key_len),
	    .topic = str_from(at + 4, key->topic.len),
	    .partition = key->partition,
	    .offset = value->offset,
	    .leader_epoch = value->leader_epoch,
	    .metadata = str_from(at + key_len, value->metadata.len),
	    .commit_ms = value->commit_timestamp,
	    .expire_ms = value->expire_timestamp,
	};
	return o;
}

/* The map's key for a look-up, in a buffer of TOPIC_NAME_MAX + 4 bytes; longer names are nobody's.
 */
static struct bytes key_of(uint8_t *buf, struct str topic, int32_t partition)
{
	size_t len = topic.len <= TOPIC_NAME_MAX ? topic.len : 0;
	put_u32_be(buf, (uint32_t)partition);
	if (len)
		memcpy(buf + 4, topic.ptr, len);
	return bytes_of(buf, 4 + len);
}

static void forget(struct group_entry *e, struct bytes key)
{
	struct offset *o = map_remove(&e->offsets, key);
	if (!o)
		return;
	e->groups->offset_count--;
	mem_free(o);
}

enum err offset_apply(struct group_entry *e, const struct offset_commit_key *key,
    const struct offset_commit_value *value)
{
	uint8_t buf[TOPIC_NAME_MAX + 4];
	if (key->topic.len == 0 || key->topic.len > TOPIC_NAME_MAX)
		return err_note(
		    ERR_CORRUPT, "offset of a topic with a name of %zu bytes", key->topic.len);
	if (!value) {
		forget(e, key_of(buf, key->topic, key->partition));
		return ERR_OK;
	}
	struct offset *o = offset_new(key, value);
	if (!o)
		return ERR_NOMEM;
	const struct log_topic *topic = log_topic_find(e->groups->log, key->topic);
	if (topic)
		o->topic_id = topic->id;
	forget(e, o->key);
	enum err err = map_put(&e->offsets, o->key, o);
	if (err != ERR_OK) {
		mem_free(o);
		return err;
	}
	e->groups->offset_count++;
	return ERR_OK;
}

bool offset_is_orphan(const struct groups *g, const struct offset *o)
{
	const struct log_topic *topic = log_topic_find(g->log, o->topic);
	return !topic || !log_uuid_equal(topic->id, o->topic_id);
}

const struct offset *entry_offset(const struct group_entry *e, struct str topic, int32_t partition)
{
	uint8_t buf[TOPIC_NAME_MAX + 4];
	const struct offset *o = map_get(&e->offsets, key_of(buf, topic, partition));
	return o && !offset_is_orphan(e->groups, o) ? o : NULL;
}

static int by_topic_and_partition(const void *a, const void *b)
{
	const struct offset *x = *(const struct offset *const *)a,
	                    *y = *(const struct offset *const *)b;
	int order = bytes_compare(str_bytes(x->topic), str_bytes(y->topic));
	return order ? order : (x->partition > y->partition) - (x->partition < y->partition);
}

enum err entry_offsets(
    const struct group_entry *e, const struct offset ***ret_offsets, size_t *ret_count)
{
	const struct offset **all =
	    mem_alloc((e->offsets.count + 1) * sizeof(const struct offset *));
	size_t count = 0, cursor = 0;
	const struct offset *o;
	if (!all)
		return ERR_NOMEM;
	while ((o = map_next(&e->offsets, &cursor))) {
		if (!offset_is_orphan(e->groups, o))
			all[count++] = o;
	}
	qsort(all, count, sizeof(const struct offset *), by_topic_and_partition);
	*ret_offsets = all;
	*ret_count = count;
	return ERR_OK;
}

void offset_to_rows(const struct group_entry *e, const struct offset *o, struct row_list *list)
{
	struct offset_commit_key key = {
	    .group = e->group.name, .topic = o->topic, .partition = o->partition};
	struct offset_commit_value value = {
	    .offset = o->offset,
	    .leader_epoch = o->leader_epoch,
	    .metadata = o->metadata,
	    .commit_timestamp = o->commit_ms,
	    .expire_timestamp = o->expire_ms,
	};
	row_list_offset(list, &key, &value);
}

enum err entry_may_commit(struct group_entry *e, const struct commit_claim *claim,
    const struct consumer_member **ret_member)
{
	*ret_member = NULL;
	if (!e->consumer)
		return group_may_commit(&e->group, claim->member_id, claim->instance_id,
		    claim->epoch, groups_now_ms(e->groups));
	if (claim->epoch < 0 && e->consumer->member_count == 0)
		return ERR_OK; /* one that manages its partitions itself, or an administrator */
	if (claim->epoch < 0 && claim->in_transaction && claim->member_id.len == 0 &&
	    !claim->instance_id.ptr)
		return ERR_OK; /* before version 3 transactions did not say */
	TRY(consumer_validate(e->consumer, claim->member_id, claim->epoch, ret_member));
	return claim->in_transaction || claim->knows_epochs || (*ret_member)->classic
	           ? ERR_OK
	           : err_note(ERR_UNSUPPORTED_VERSION, "members of a consumer group use version 9");
}

void offsets_release(struct group_entry *e)
{
	size_t cursor = 0;
	struct offset *o;
	while ((o = map_next(&e->offsets, &cursor))) {
		e->groups->offset_count--;
		mem_free(o);
	}
	map_release(&e->offsets);
}
