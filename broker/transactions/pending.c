/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Offsets that open transactions will commit (pending.h). In memory they stay encoded, as they were
 * stored; beside them stands for which partitions of a group there are any.
 */
#include "transactions.h"

/* One partition for which something is pending, or was cut. */
struct pending_slot {
	struct bytes key; /* partition i32 big-endian, topic; behind this struct */
	uint32_t holders; /* transactions */
	int64_t newest;   /* order of what was written last, by any of them */
	int64_t cut;      /* smaller orders are void; 0 = none */
};

/* What is pending of one group, of whatever transaction. */
struct pending_list {
	struct transactions *all;
	struct list list; /* struct pending_group, by by_group */
	struct map slots; /* struct pending_slot */
	size_t live;      /* of them: something is pending that a commit would not skip */
	unsigned writers;
	struct list waiting; /* struct transaction_op: ends, for the writers */
	struct mail wake;
	bool woken;
	struct str group; /* behind the struct; the map's key */
};

/* ---- slots ----------------------------------------------------------------------------------- */

/* The key for a look-up, in a buffer of 4 + TOPIC_NAME_MAX bytes; longer names are nobody's. */
static struct bytes key_of(uint8_t *buf, struct str topic, int32_t partition)
{
	size_t len = topic.len <= TOPIC_NAME_MAX ? topic.len : 0;
	put_u32_be(buf, (uint32_t)partition);
	if (len > 0)
		memcpy(buf + 4, topic.ptr, len);
	return bytes_of(buf, 4 + len);
}

static struct str topic_of(const struct pending_slot *s)
{
	return bytes_str(bytes_slice(s->key, 4, s->key.len - 4));
}

static int32_t partition_of(const struct pending_slot *s)
{
	return (int32_t)get_u32_be(s->key.ptr);
}

static struct pending_slot *slot_find(
    const struct pending_list *l, struct str topic, int32_t partition)
{
	uint8_t buf[4 + TOPIC_NAME_MAX];
	return map_get(&l->slots, key_of(buf, topic, partition));
}

/* NULL: no memory. */
static struct pending_slot *slot_make(struct pending_list *l, struct str topic, int32_t partition)
{
	uint8_t buf[4 + TOPIC_NAME_MAX];
	struct bytes key = key_of(buf, topic, partition);
	struct pending_slot *s = map_get(&l->slots, key);
	if (s)
		return s;
	s = mem_calloc(1, sizeof(*s) + key.len);
	if (!s)
		return NULL;
	memcpy(s + 1, key.ptr, key.len);
	s->key = bytes_of(s + 1, key.len);
	s->newest = -1;
	if (map_put(&l->slots, s->key, s) == ERR_OK)
		return s;
	mem_free(s);
	return NULL;
}

static bool slot_is_live(const struct pending_slot *s)
{
	return s->holders > 0 && s->newest >= s->cut;
}

/* Without holders it says nothing; while rows are read one may still come. */
static void slot_settle(struct pending_list *l, struct pending_slot *s)
{
	if (s->holders > 0 || (s->cut > 0 && l->all->loading))
		return;
	(void)map_remove(&l->slots, s->key);
	mem_free(s);
}

static void slot_hold(struct pending_list *l, struct pending_slot *s, int64_t order)
{
	l->live -= slot_is_live(s);
	s->holders++;
	s->newest = order > s->newest ? order : s->newest;
	l->live += slot_is_live(s);
}

static void slot_release(struct pending_list *l, struct pending_slot *s)
{
	ASSERT(s->holders > 0);
	l->live -= slot_is_live(s);
	s->holders--;
	l->live += slot_is_live(s);
	slot_settle(l, s);
}

/* ---- lists ----------------------------------------------------------------------------------- */

static struct pending_list *list_find(const struct transactions *ts, struct str group)
{
	return map_get(&ts->by_group, str_bytes(group));
}

/* NULL: no memory. */
static struct pending_list *list_make(struct transactions *ts, struct str group)
{
	struct pending_list *l = list_find(ts, group);
	if (l)
		return l;
	l = mem_calloc(1, sizeof(*l) + group.len + 1);
	if (!l)
		return NULL;
	if (group.len > 0)
		memcpy(l + 1, group.ptr, group.len);
	l->all = ts;
	l->group = str_from(l + 1, group.len);
	list_init(&l->list);
	list_init(&l->waiting);
	map_init(&l->slots);
	if (map_put(&ts->by_group, str_bytes(l->group), l) == ERR_OK)
		return l;
	mem_free(l);
	return NULL;
}

/* After each change: the group knows whether something is pending, and nothing is kept in vain. */
static enum err list_settle(struct pending_list *l)
{
	struct groups *g = l->all->groups;
	struct group_entry *e = entry_find(g, l->group);
	enum err err = ERR_OK;
	if (!e && l->live > 0)
		err = entry_make(g, l->group, &e);
	bool was = e && e->awaits_commit;
	if (e)
		e->awaits_commit = l->live > 0;
	if (was && l->live == 0 && e->puts == 0 && !e->storing)
		entry_settle(e);
	if (list_empty(&l->list) && l->slots.count == 0 && l->writers == 0 && !l->woken &&
	    list_empty(&l->waiting)) {
		map_remove(&l->all->by_group, str_bytes(l->group));
		map_release(&l->slots);
		mem_free(l);
	}
	return err;
}

/* ---- what a transaction has ------------------------------------------------------------------ */

struct pending_group *pending_of(const struct transaction *t, struct str group)
{
	LIST_EACH (&t->pending, n, next) {
		struct pending_group *p = CONTAINER_OF(n, struct pending_group, node);
		if (str_equal(p->in->group, group))
			return p;
	}
	return NULL;
}

struct str pending_group_name(const struct pending_group *p)
{
	return p->in->group;
}

static void unlink_and_free(struct pending_group *p)
{
	list_remove(&p->node);
	list_remove(&p->by_group);
	for (size_t i = 0; i < p->slot_count; i++)
		slot_release(p->in, p->slots[i]);
	mem_free(p->slots);
	mem_free(p);
}

void pending_free(struct pending_group *p)
{
	struct pending_list *l = p->in;
	unlink_and_free(p);
	enum err err = list_settle(l);
	ASSERT(err == ERR_OK); /* nothing was made */
}

static enum err hold_all(struct pending_group *p, const struct pending_offsets_value *v)
{
	p->slots = mem_calloc(v->offsets.count + 1, sizeof(struct pending_slot *));
	if (!p->slots)
		return ERR_NOMEM;
	for (uint32_t i = 0; i < v->offsets.count; i++) {
		const struct pending_offsets_value_offset *o = &v->offsets.at[i];
		struct pending_slot *s = slot_make(p->in, o->topic, o->partition);
		if (!s)
			return ERR_NOMEM;
		slot_hold(p->in, s, o->order);
		p->slots[p->slot_count++] = s;
		if (p->in->all->order <= o->order)
			p->in->all->order = o->order + 1;
	}
	return ERR_OK;
}

static enum err pending_new(struct transaction *t, struct pending_list *l, struct bytes value)
{
	struct pending_offsets_value v;
	struct arena arena;
	struct pending_group *p = mem_calloc(1, sizeof(*p) + value.len);
	if (!p)
		return ERR_NOMEM;
	memcpy(p + 1, value.ptr, value.len);
	p->value = bytes_of(p + 1, value.len);
	p->of = t;
	p->in = l;
	list_push_back(&t->pending, &p->node);
	list_push_back(&l->list, &p->by_group);
	arena_init(&arena, msg_arena_limit(value.len));
	enum err err = pending_value_read(value, &arena, &v);
	if (err == ERR_OK)
		err = hold_all(p, &v);
	arena_release(&arena);
	if (err != ERR_OK)
		unlink_and_free(p);
	return err;
}

enum err pending_apply(struct transactions *ts, struct str id, struct str group, struct bytes value)
{
	struct transaction *t = transaction_find(ts, id);
	struct pending_group *old = t ? pending_of(t, group) : NULL;
	if (value.ptr && !t)
		return err_note(ERR_CORRUPT, "offsets of transaction " STR_FMT ", which is unknown",
		    STR_ARG(id));
	if (!value.ptr && !old)
		return ERR_OK;
	struct pending_list *l = list_make(ts, group);
	enum err err = l ? ERR_OK : ERR_NOMEM;
	if (err == ERR_OK && value.ptr)
		err = pending_new(t, l, value);
	if (err == ERR_OK && old)
		unlink_and_free(old);
	if (l) {
		enum err settled = list_settle(l);
		err = err == ERR_OK ? settled : err;
	}
	transaction_settle(t);
	return err;
}

bool transactions_pending(
    const struct transactions *ts, struct str group, struct str topic, int32_t partition)
{
	const struct pending_list *l = ts ? list_find(ts, group) : NULL;
	const struct pending_slot *s = l && l->live > 0 ? slot_find(l, topic, partition) : NULL;
	return s && slot_is_live(s);
}

/* ---- cuts ------------------------------------------------------------------------------------ */

enum err pending_cut_apply(
    struct transactions *ts, const struct pending_cut_key *key, int64_t order)
{
	struct pending_list *l = list_find(ts, key->group);
	if (ts->order <= order)
		ts->order = order + 1;
	if (!l && ts->loading)
		l = list_make(ts, key->group);
	if (!l)
		return ts->loading ? ERR_NOMEM : ERR_OK; /* nothing is pending any more */
	struct pending_slot *s = slot_find(l, key->topic, key->partition);
	if (!s && ts->loading)
		s = slot_make(l, key->topic, key->partition);
	if (s) {
		l->live -= slot_is_live(s);
		s->cut = order > s->cut ? order : s->cut;
		l->live += slot_is_live(s);
	}
	enum err err = s || !ts->loading ? ERR_OK : ERR_NOMEM;
	enum err settled = list_settle(l);
	return err == ERR_OK ? settled : err;
}

void pending_loaded(struct transactions *ts)
{
	struct pending_list *l;
	struct pending_slot *s;
	size_t at = 0;
	while ((l = map_next(&ts->by_group, &at))) {
		size_t cursor = 0;
		while ((s = map_next(&l->slots, &cursor)))
			slot_settle(l, s);
		enum err err = list_settle(l);
		ASSERT(err == ERR_OK);
	}
}

void pending_cuts_each(const struct transactions *ts,
    void (*fn)(void *ctx, const struct pending_cut_key *key, int64_t order), void *ctx)
{
	const struct pending_list *l;
	const struct pending_slot *s;
	size_t at = 0;
	while ((l = map_next(&ts->by_group, &at))) {
		size_t cursor = 0;
		while ((s = map_next(&l->slots, &cursor))) {
			struct pending_cut_key key = {l->group, topic_of(s), partition_of(s)};
			if (s->cut > 0)
				fn(ctx, &key, s->cut);
		}
	}
}

static void wake(struct mail *mail)
{
	struct pending_list *l = CONTAINER_OF(mail, struct pending_list, wake);
	struct list now;
	struct list_node *n;
	l->woken = false;
	list_init(&now);
	while ((n = list_pop_front(&l->waiting)))
		list_push_back(&now, n);
	enum err err = list_settle(l);
	ASSERT(err == ERR_OK);
	while ((n = list_pop_front(&now)))
		transaction_write(CONTAINER_OF(n, struct transaction_op, node), true);
}

void pending_write_end(struct pending_list *l)
{
	ASSERT(l->writers > 0);
	l->writers--;
	if (l->writers == 0 && !list_empty(&l->waiting) && !l->woken) {
		l->woken = true;
		l->wake.run = wake;
		loop_defer(l->all->loop, &l->wake);
	}
	enum err err = list_settle(l);
	ASSERT(err == ERR_OK);
}

bool pending_must_wait(struct transaction_op *op)
{
	LIST_EACH (&op->t->pending, n, next) {
		struct pending_list *l = CONTAINER_OF(n, struct pending_group, node)->in;
		if (l->writers == 0)
			continue;
		list_push_back(&l->waiting, &op->node);
		return true;
	}
	return false;
}

static void cut_slot(struct pending_cut *cut, const struct pending_slot *s)
{
	struct pending_cut_key key = {cut->list->group, topic_of(s), partition_of(s)};
	if (s->holders > 0)
		pending_cut_row_add(&cut->rows, &key, cut->ts->order);
}

void pending_cut_init(struct pending_cut *cut, struct transactions *ts, struct str group)
{
	*cut = (struct pending_cut){.ts = ts, .list = ts ? list_find(ts, group) : NULL};
	row_list_init(&cut->rows);
}

void pending_cut_add(struct pending_cut *cut, struct str topic, int32_t partition)
{
	const struct pending_slot *s = cut->list ? slot_find(cut->list, topic, partition) : NULL;
	if (s)
		cut_slot(cut, s);
}

void pending_cut_all(struct pending_cut *cut)
{
	const struct pending_slot *s;
	size_t cursor = 0;
	while (cut->list && (s = map_next(&cut->list->slots, &cursor)))
		cut_slot(cut, s);
}

enum err pending_cut_begin(struct pending_cut *cut, struct log_table_put *ret_put)
{
	struct log_table_put put = {0};
	if (cut->rows.count > 0 || cut->rows.err != ERR_OK) {
		TRY(row_list_rows(&cut->rows, &put.rows));
		if (cut->ts->closing || !list_empty(&cut->list->waiting))
			return err_note(ERR_COORDINATOR_NOT_AVAILABLE,
			    "a transaction is committing offsets of the group");
		put.table = cut->ts->offsets;
		put.row_count = cut->rows.count;
		cut->ts->order++;
		cut->ts->changes++;
		cut->list->writers++;
		cut->writing = true;
	}
	*ret_put = put;
	return ERR_OK;
}

void pending_cut_end(struct pending_cut *cut)
{
	row_list_release(&cut->rows);
	row_list_init(&cut->rows);
	if (!cut->writing)
		return;
	cut->writing = false;
	cut->ts->changes--;
	pending_write_end(cut->list);
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* How a topic's partition is named in a map of the moment; ptr NULL: no memory. */
static struct bytes offset_key(struct arena *arena, const struct pending_offsets_value_offset *o)
{
	uint8_t *key = arena_alloc(arena, 4 + TOPIC_NAME_MAX);
	return key ? key_of(key, o->topic, o->partition) : (struct bytes){NULL, 0};
}

struct merge {
	struct map seen; /* partition and topic -> anything */
	struct arena arena;
	struct pending_offsets_value all;
	const struct pending_list *list; /* NULL: what is added is new */
	int64_t order;                   /* of that */
};

/* The newest of each partition counts: called with the newest first. NOMEM. */
static enum err merge_add(
    struct merge *m, const struct pending_offsets_value_offset *from, size_t count)
{
	for (size_t i = count; i-- > 0;) {
		const struct pending_slot *s =
		    m->list ? slot_find(m->list, from[i].topic, from[i].partition) : NULL;
		if (s && from[i].order < s->cut)
			continue;
		struct bytes k = offset_key(&m->arena, &from[i]);
		if (!k.ptr)
			return ERR_NOMEM;
		if (map_get(&m->seen, k))
			continue;
		TRY(map_put(&m->seen, k, m));
		struct pending_offsets_value_offset *to =
		    &m->all.offsets.at[m->all.offsets.count++];
		*to = from[i];
		if (!m->list)
			to->order = m->order;
	}
	return ERR_OK;
}

/* What the op adds, then what was there before. */
static enum err merge_both(
    struct merge *m, const struct transaction_op *op, const struct pending_group *old)
{
	struct pending_offsets_value before = {0};
	if (old)
		TRY(pending_value_read(old->value, &m->arena, &before));
	size_t count = op->offset_count + before.offsets.count;
	m->all.offsets.at = arena_alloc(&m->arena, (count + 1) * sizeof(*m->all.offsets.at));
	if (!m->all.offsets.at)
		return ERR_NOMEM;
	TRY(merge_add(m, op->offsets, op->offset_count));
	m->list = old ? old->in : NULL;
	return old ? merge_add(m, before.offsets.at, before.offsets.count) : ERR_OK;
}

enum err pending_add_row(const struct transaction_op *op, struct row_list *list)
{
	struct merge m = {.order = op->t->all->order++};
	map_init(&m.seen);
	arena_init(&m.arena, SIZE_MAX);
	enum err e = merge_both(&m, op, pending_of(op->t, op->group));
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

/* Its topic is gone, though one of its name may be there. */
static bool is_orphan(const struct transactions *ts, const struct pending_offsets_value_offset *o)
{
	static const struct log_uuid unknown; /* of version 0 */
	const struct log_topic *t = log_topic_find(ts->log, o->topic);
	return !log_uuid_equal(o->topic_id, unknown) && (!t || !log_uuid_equal(t->id, o->topic_id));
}

static void commit_one(const struct pending_group *p, const struct pending_offsets_value_offset *o,
    struct row_list *list, struct row_list *cuts)
{
	const struct pending_slot *s = slot_find(p->in, o->topic, o->partition);
	ASSERT(s);
	if (o->order < s->cut || is_orphan(p->in->all, o))
		return;
	struct offset_commit_key key = {
	    .group = p->in->group, .topic = o->topic, .partition = o->partition};
	struct offset_commit_value value = {.offset = o->offset,
	    .leader_epoch = o->leader_epoch,
	    .metadata = o->metadata,
	    .commit_timestamp = o->commit_timestamp,
	    .expire_timestamp = -1};
	row_list_offset(list, &key, &value);
	/* what others have for it under a smaller order comes too late from now on */
	struct pending_cut_key cut = {p->in->group, o->topic, o->partition};
	if (s->holders > 1)
		pending_cut_row_add(cuts, &cut, o->order + 1);
}

enum err pending_offset_rows(const struct pending_group *p, struct row_list *list,
    struct row_list *cuts, struct pending_list **ret_written)
{
	struct pending_offsets_value v;
	struct arena arena;
	size_t before = cuts->count;
	arena_init(&arena, msg_arena_limit(p->value.len));
	enum err e = pending_value_read(p->value, &arena, &v);
	for (uint32_t i = 0; e == ERR_OK && i < v.offsets.count; i++)
		commit_one(p, &v.offsets.at[i], list, cuts);
	arena_release(&arena);
	TRY(e);
	*ret_written = NULL;
	if (cuts->count > before) {
		p->in->writers++;
		*ret_written = p->in;
	}
	return ERR_OK;
}
