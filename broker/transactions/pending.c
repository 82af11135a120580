/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Offsets that open transactions will commit. In memory they stay encoded, as they were stored: a
 * commit decodes them once, and a look-up only where a group has some.
 */
#include "transactions.h"

/* Those of one group, of whatever transaction. */
struct pending_list {
	struct list list; /* struct pending_group, by by_group */
	struct str group; /* behind the struct; the map's key */
};

static struct pending_list *list_of(struct transactions *ts, struct str group)
{
	struct pending_list *l = map_get(&ts->by_group, str_bytes(group));
	if (l)
		return l;
	l = mem_calloc(1, sizeof(*l) + group.len + 1);
	if (!l)
		return NULL;
	if (group.len > 0)
		memcpy(l + 1, group.ptr, group.len);
	l->group = str_from(l + 1, group.len);
	list_init(&l->list);
	if (map_put(&ts->by_group, str_bytes(l->group), l) == ERR_OK)
		return l;
	mem_free(l);
	return NULL;
}

struct pending_group *pending_of(const struct transaction *t, struct str group)
{
	LIST_EACH (&t->pending, n, next) {
		struct pending_group *p = CONTAINER_OF(n, struct pending_group, node);
		if (str_equal(p->group, group))
			return p;
	}
	return NULL;
}

void pending_free(struct pending_group *p)
{
	struct transactions *ts = p->of->all;
	struct pending_list *l = map_get(&ts->by_group, str_bytes(p->group));
	list_remove(&p->node);
	list_remove(&p->by_group);
	if (l && list_empty(&l->list)) {
		map_remove(&ts->by_group, str_bytes(l->group));
		mem_free(l);
	}
	mem_free(p);
}

static enum err pending_new(struct transaction *t, struct str group, struct bytes value)
{
	struct pending_list *l = list_of(t->all, group);
	struct pending_group *p = mem_calloc(1, sizeof(*p) + group.len + value.len);
	if (!l || !p) {
		mem_free(p);
		return ERR_NOMEM;
	}
	uint8_t *at = (uint8_t *)(p + 1);
	memcpy(at, value.ptr, value.len);
	p->value = bytes_of(at, value.len);
	if (group.len > 0)
		memcpy(at + value.len, group.ptr, group.len);
	p->group = str_from(at + value.len, group.len);
	p->of = t;
	list_push_back(&t->pending, &p->node);
	list_push_back(&l->list, &p->by_group);
	return ERR_OK;
}

enum err pending_apply(struct transactions *ts, struct str id, struct str group, struct bytes value)
{
	struct transaction *t = transaction_find(ts, id);
	struct pending_group *old = t ? pending_of(t, group) : NULL;
	if (value.ptr && !t)
		return err_note(ERR_CORRUPT, "offsets of transaction " STR_FMT ", which is unknown",
		    STR_ARG(id));
	if (value.ptr)
		TRY(pending_new(t, group, value));
	if (old)
		pending_free(old);
	if (t)
		transaction_settle(t);
	return ERR_OK;
}

/* ---- what is not stable ---------------------------------------------------------------------- */

/* How a topic's partition is named in maps; ptr NULL: no memory. */
static struct bytes offset_key(struct arena *arena, struct str topic, int32_t partition)
{
	uint8_t *key = arena_alloc(arena, 4 + topic.len);
	if (!key)
		return (struct bytes){NULL, 0};
	put_u32_be(key, (uint32_t)partition);
	if (topic.len > 0)
		memcpy(key + 4, topic.ptr, topic.len);
	return bytes_of(key, 4 + topic.len);
}

static enum err set_add(struct pending_set *set, struct bytes value)
{
	struct pending_offsets_value v;
	struct arena arena;
	arena_init(&arena, msg_arena_limit(value.len));
	enum err e = pending_value_read(value, &arena, &v);
	for (uint32_t i = 0; e == ERR_OK && i < v.offsets.count; i++) {
		const struct pending_offsets_value_offset *o = &v.offsets.at[i];
		struct bytes key = offset_key(&set->arena, o->topic, o->partition);
		e = key.ptr ? map_put(&set->at, key, set) : ERR_NOMEM;
	}
	arena_release(&arena);
	return e;
}

void transactions_pending(
    const struct transactions *ts, struct str group, struct pending_set *ret_set)
{
	const struct pending_list *l = map_get(&ts->by_group, str_bytes(group));
	*ret_set = (struct pending_set){.all = false};
	map_init(&ret_set->at);
	arena_init(&ret_set->arena, SIZE_MAX);
	if (!l)
		return;
	LIST_EACH (&l->list, n, next)
		ret_set->all |=
		    set_add(ret_set, CONTAINER_OF(n, struct pending_group, by_group)->value) !=
		    ERR_OK;
	err_clear();
}

bool pending_set_has(struct pending_set *set, struct str topic, int32_t partition)
{
	uint8_t key[4 + TOPIC_NAME_MAX];
	if (set->all || topic.len > TOPIC_NAME_MAX)
		return set->all;
	put_u32_be(key, (uint32_t)partition);
	if (topic.len > 0)
		memcpy(key + 4, topic.ptr, topic.len);
	return map_get(&set->at, bytes_of(key, 4 + topic.len)) != NULL;
}

void pending_set_release(struct pending_set *set)
{
	map_release(&set->at);
	arena_release(&set->arena);
}

/* ---- rows ------------------------------------------------------------------------------------ */

struct merge {
	struct map seen; /* partition and topic -> anything */
	struct arena arena;
	struct pending_offsets_value all;
};

/* The newest of each partition counts: called with the newest first. NOMEM. */
static enum err merge_add(
    struct merge *m, const struct pending_offsets_value_offset *from, size_t count)
{
	for (size_t i = count; i-- > 0;) {
		struct bytes k = offset_key(&m->arena, from[i].topic, from[i].partition);
		if (!k.ptr)
			return ERR_NOMEM;
		if (map_get(&m->seen, k))
			continue;
		TRY(map_put(&m->seen, k, m));
		m->all.offsets.at[m->all.offsets.count++] = from[i];
	}
	return ERR_OK;
}

enum err pending_add_row(const struct transaction_op *op, struct row_list *list)
{
	const struct pending_group *old = pending_of(op->t, op->group);
	struct pending_offsets_value before = {0};
	struct merge m = {0};
	map_init(&m.seen);
	arena_init(&m.arena, SIZE_MAX);
	enum err e = old ? pending_value_read(old->value, &m.arena, &before) : ERR_OK;
	size_t count = op->offset_count + before.offsets.count;
	if (e == ERR_OK) {
		m.all.offsets.at = arena_alloc(&m.arena, (count + 1) * sizeof(*m.all.offsets.at));
		e = m.all.offsets.at ? ERR_OK : ERR_NOMEM;
	}
	if (e == ERR_OK)
		e = merge_add(&m, op->offsets, op->offset_count);
	if (e == ERR_OK)
		e = merge_add(&m, before.offsets.at, before.offsets.count);
	if (e == ERR_OK)
		pending_row_add(list, op->t->id, op->group, &m.all);
	map_release(&m.seen);
	arena_release(&m.arena);
	TRY(e);
	TRY(list->err);
	if (list->spans[list->count - 1].value_len > TRANSACTION_PENDING_BYTES)
		return err_note(ERR_COMMIT_TOO_LARGE, "offsets of %zu bytes in one transaction",
		    list->spans[list->count - 1].value_len);
	return ERR_OK;
}

enum err pending_offset_rows(const struct pending_group *p, struct row_list *list)
{
	struct pending_offsets_value v;
	struct arena arena;
	arena_init(&arena, msg_arena_limit(p->value.len));
	enum err e = pending_value_read(p->value, &arena, &v);
	for (uint32_t i = 0; e == ERR_OK && i < v.offsets.count; i++) {
		const struct pending_offsets_value_offset *o = &v.offsets.at[i];
		struct offset_commit_key key = {
		    .group = p->group, .topic = o->topic, .partition = o->partition};
		struct offset_commit_value value = {.offset = o->offset,
		    .leader_epoch = o->leader_epoch,
		    .metadata = o->metadata,
		    .commit_timestamp = o->commit_timestamp,
		    .expire_timestamp = -1};
		row_list_offset(list, &key, &value);
	}
	arena_release(&arena);
	return e;
}
