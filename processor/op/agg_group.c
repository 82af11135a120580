/* SPDX-License-Identifier: Apache-2.0 */
#include "processor/op/agg_group.h"

/* ---- groups in their table ------------------------------------------------------------------- */

static void group_release(void *ctx, struct entry *e)
{
	struct aggregate *a = ctx;
	struct group *g = group_of(e);
	slab_free(&a->groups.slab, g->shown, g->shown_len);
	g->shown = NULL;
	for (uint32_t i = 0; i < a->slot_count; i++)
		agg_slot_release(&a->slots[i], slot_state(&a->slots[i], e), &a->groups.slab);
}

static void group_reset(void *ctx, struct entry *e)
{
	struct aggregate *a = ctx;
	struct group *g = group_of(e);
	slab_free(&a->groups.slab, g->shown, g->shown_len);
	memset(g, 0, sizeof *g);
	for (uint32_t i = 0; i < a->slot_count; i++)
		agg_slot_reset(&a->slots[i], slot_state(&a->slots[i], e), &a->groups.slab);
}

static void group_write(void *ctx, const struct entry *e, struct writer *w)
{
	const struct aggregate *a = ctx;
	const struct group *g = group_of(e);
	write_u8(w, AGG_STATE_VERSION);
	write_uvarint64(w, (uint64_t)g->rows);
	write_uvarint64(w, g->lineage.first_sequence);
	write_uvarint64(w, g->lineage.last_sequence - g->lineage.first_sequence);
	write_uvarint64(w, g->lineage.record_count);
	if (a->shows_key) {
		write_uvarint64(w, g->shown_len);
		write_bytes(w, bytes_of(g->shown, g->shown_len));
	}
	for (uint32_t i = 0; i < a->slot_count; i++)
		agg_slot_write(&a->slots[i], slot_state(&a->slots[i], e), w);
}

static enum err read_shown(struct aggregate *a, struct group *g, struct reader *r)
{
	uint64_t len = read_uvarint64(r);
	struct bytes shown = read_bytes(r, len);
	if (r->bad || shown.len == 0)
		return ERR_OK;
	g->shown = slab_alloc(&a->groups.slab, shown.len);
	if (!g->shown)
		return ERR_NOMEM;
	memcpy(g->shown, shown.ptr, shown.len);
	g->shown_len = shown.len;
	return ERR_OK;
}

static enum err group_read(void *ctx, struct entry *e, struct reader *r)
{
	struct aggregate *a = ctx;
	struct group *g = group_of(e);
	uint8_t version = read_u8(r);
	if (version != AGG_STATE_VERSION)
		return err_note(ERR_NEWER_FORMAT, "aggregate state of version %u", version);
	g->rows = (int64_t)read_uvarint64(r);
	g->lineage.first_sequence = read_uvarint64(r);
	g->lineage.last_sequence = g->lineage.first_sequence + read_uvarint64(r);
	g->lineage.record_count = read_uvarint64(r);
	if (a->shows_key)
		TRY(read_shown(a, g, r));
	for (uint32_t i = 0; i < a->slot_count; i++)
		TRY(agg_slot_read(&a->slots[i], slot_state(&a->slots[i], e), &a->groups.slab, r));
	return ERR_OK;
}

/* The one row of an aggregate without GROUP BY is there even over nothing. */
static bool group_empty(void *ctx, const struct entry *e)
{
	const struct aggregate *a = ctx;
	return group_of(e)->rows == 0 && a->key_count > 0;
}

/* The row downstream has: lineage, then the results as datum bytes. Its key is the entry's. */
static enum err group_image(
    void *ctx, struct entry *e, struct arena *arena, struct bytes *ret_image)
{
	struct aggregate *a = ctx;
	struct writer w;
	if (a->with_rows)
		return ERR_OK;
	writer_init(&w, SIZE_MAX);
	write_bytes(&w, bytes_of(&group_of(e)->lineage, sizeof(struct op_lineage)));
	for (uint32_t i = 0; i < a->slot_count; i++)
		datum_write(&w, a->slots[i].agg->type.id,
		    agg_slot_result(&a->slots[i], slot_state(&a->slots[i], e)));
	struct bytes copy =
	    w.err == ERR_OK ? arena_copy(arena, writer_bytes(&w)) : (struct bytes){NULL, 0};
	writer_release(&w);
	if (!copy.ptr)
		return ERR_NOMEM;
	*ret_image = copy;
	return ERR_OK;
}

void group_kind_init(struct table_kind *kind, size_t slots_width)
{
	*kind = (struct table_kind){.width = GROUP_WIDTH + slots_width,
	    .release = group_release,
	    .reset = group_reset,
	    .write = group_write,
	    .read = group_read,
	    .empty = group_empty,
	    .image = group_image};
}

/* ---- parts ----------------------------------------------------------------------------------- */

static void member_release(void *ctx, struct entry *e)
{
	(void)ctx;
	(void)e;
}

static void member_reset(void *ctx, struct entry *e)
{
	(void)ctx;
	((struct member *)entry_state(e))->count = 0;
}

static void member_write(void *ctx, const struct entry *e, struct writer *w)
{
	(void)ctx;
	write_uvarint64(w, (uint64_t)((struct member *)entry_state(e))->count);
}

static enum err member_read(void *ctx, struct entry *e, struct reader *r)
{
	(void)ctx;
	((struct member *)entry_state(e))->count = (int64_t)read_uvarint64(r);
	return ERR_OK;
}

static bool member_empty(void *ctx, const struct entry *e)
{
	(void)ctx;
	return ((struct member *)entry_state(e))->count == 0;
}

/* A change of a multiset was taken back: the multiset, which lives in its group, follows. */
static enum err member_undone(void *ctx, struct entry *e)
{
	struct aggregate *a = ctx;
	const struct member *m = entry_state(e);
	struct bytes key = entry_key(e);
	struct entry *group;
	if (!(e->flags & ENTRY_PASSING))
		return ERR_OK;
	TRY(table_make(&a->groups, bytes_slice(key, 0, m->group_len), &group));
	for (uint32_t i = 0; i < a->slot_count; i++) {
		const struct agg_slot *s = &a->slots[i];
		int64_t *loaded;
		if (s->part != key.ptr[m->group_len])
			continue;
		struct bytes own = bytes_slice(key, m->group_len + 1, key.len - m->group_len - 1);
		struct bag *bag = agg_slot_bag(s, slot_state(s, group), &loaded);
		TRY(bag_set(bag, &a->groups.slab, own, (struct bytes){NULL, 0}, m->count));
	}
	return ERR_OK;
}

const struct table_kind member_kind = {.width = sizeof(struct member),
    .release = member_release,
    .reset = member_reset,
    .write = member_write,
    .read = member_read,
    .empty = member_empty,
    .undone = member_undone};

static struct bytes part_prefix(
    struct aggregate *a, const struct entry *e, const struct agg_slot *s)
{
	writer_clear(&a->key);
	write_bytes(&a->key, entry_key(e));
	write_u8(&a->key, s->part);
	return writer_bytes(&a->key);
}

enum err group_part_key(struct aggregate *a, const struct entry *e, const struct agg_slot *s,
    struct datum d, struct bytes *ret_key)
{
	(void)part_prefix(a, e, s);
	if (s->keeps_bag)
		agg_bag_key(&a->key, s->arg, d);
	else
		key_encode(&a->key, s->arg, d);
	if (a->key.err != ERR_OK)
		return a->key.err;
	*ret_key = writer_bytes(&a->key);
	return ERR_OK;
}

struct bag_load {
	struct bag *bag;
	struct slab *slab;
	size_t prefix_len;
};

static enum err load_member(void *ctx, struct bytes key, struct bytes value)
{
	struct bag_load *l = ctx;
	struct reader r = reader_of(value);
	int64_t count = (int64_t)read_uvarint64(&r);
	if (r.bad || reader_left(&r) > 0 || key.len < l->prefix_len)
		return err_note(ERR_CORRUPT, "a member of a multiset cannot be read");
	struct bytes own = bytes_slice(key, l->prefix_len, key.len - l->prefix_len);
	return bag_set(l->bag, l->slab, own, (struct bytes){NULL, 0}, count);
}

enum err group_load_bag(struct aggregate *a, struct entry *e, const struct agg_slot *s)
{
	int64_t *loaded;
	struct bag *bag = agg_slot_bag(s, slot_state(s, e), &loaded);
	if (*loaded)
		return ERR_OK;
	struct bytes prefix = part_prefix(a, e, s);
	struct bag_load l = {bag, &a->groups.slab, prefix.len};
	const struct op_store *store = a->parts.store;
	TRY(a->key.err);
	/* a group that has changed since the checkpoint is in memory with its multiset, so the
	 * store's is the current one */
	if (store && e->flags & ENTRY_STORED) {
		a->parts.lookups++;
		TRY(store->scan(store->ctx, a->parts.state_id, prefix, load_member, &l));
	}
	*loaded = 1;
	return ERR_OK;
}

enum err group_bag_add(
    struct aggregate *a, struct entry *e, const struct agg_slot *s, struct datum d, int32_t weight)
{
	int64_t *loaded;
	struct bytes key;
	struct entry *part;
	TRY(group_load_bag(a, e, s));
	TRY(group_part_key(a, e, s, d, &key));
	struct bytes own = bytes_slice(key, e->key_len + 1, key.len - e->key_len - 1);
	struct bag *bag = agg_slot_bag(s, slot_state(s, e), &loaded);
	int64_t count = bag_count(bag, own), now = count + weight;
	if (now < 0)
		return err_note(ERR_CORRUPT, "a value is taken out of min or max that is not in");
	TRY(table_make(&a->parts, key, &part));
	struct member *m = entry_state(part);
	if (!(part->flags & ENTRY_DIRTY)) { /* just made: it takes the count that the store has */
		part->flags |= ENTRY_PASSING;
		m->count = count;
		m->group_len = e->key_len;
	}
	TRY(table_touch(&a->parts, part));
	m->count = now;
	return bag_set(bag, &a->groups.slab, own, (struct bytes){NULL, 0}, now);
}

/* Counts a value in or out; *ret_delta says whether it appeared (+1) or vanished (-1). */
static enum err count_member(
    struct aggregate *a, struct entry *part, int32_t weight, bool try, int32_t *ret_delta)
{
	struct member *m = entry_state(part);
	int64_t now = m->count + weight;
	if (now < 0)
		return err_note(
		    ERR_CORRUPT, "a value is taken out of a DISTINCT set that is not in");
	*ret_delta = (now > 0) - (m->count > 0);
	/* over append-only input a member needs no count */
	if (try || (!a->retracts && *ret_delta == 0))
		return ERR_OK;
	TRY(table_touch(&a->parts, part));
	m->count = a->retracts ? now : 1;
	return ERR_OK;
}

enum err group_member_add(
    struct aggregate *a, const struct entry *e, const struct agg_slot *s, struct agg_value *v)
{
	struct bytes key;
	struct entry *part;
	TRY(group_part_key(a, e, s, v->value, &key));
	TRY(table_find_one(&a->parts, key, &part));
	return count_member(a, part, v->weight, v->try, &v->weight);
}

static enum err member_keys(struct arena *arena, const struct agg_slot *s,
    const struct slot_rows *rows, struct key_batch *ret_keys)
{
	uint32_t count = rows->end - rows->from;
	struct key_batch k = {.count = 0};
	size_t bound = 0;
	for (uint32_t r = rows->from; r < rows->end; r++)
		if (!rows->use || rows->use[r])
			bound +=
			    rows->entries[r]->key_len + 1 + key_bound(s->arg, vec_get(rows->v, r));
	if (bound > UINT32_MAX)
		return err_note(ERR_LIMIT, "the members of one batch need %zu bytes", bound);
	k.bytes = arena_alloc(arena, bound);
	k.at = arena_alloc(arena, (count + 1) * sizeof *k.at);
	k.hash = arena_alloc(arena, count * sizeof *k.hash);
	if (!k.bytes || !k.at || !k.hash)
		return ERR_NOMEM;
	uint8_t *to = k.bytes;
	for (uint32_t r = rows->from; r < rows->end; r++) {
		struct bytes group = entry_key(rows->entries[r]);
		if (rows->use && !rows->use[r])
			continue;
		uint8_t *from = to;
		k.at[k.count] = (uint32_t)(to - k.bytes);
		memcpy(to, group.ptr, group.len);
		to[group.len] = s->part;
		to = key_put(to + group.len + 1, s->arg, vec_get(rows->v, r));
		k.hash[k.count++] = table_hash(bytes_of(from, (size_t)(to - from)));
	}
	k.at[k.count] = (uint32_t)(to - k.bytes);
	*ret_keys = k;
	return ERR_OK;
}

enum err group_members_add(struct aggregate *a, struct arena *arena, const struct agg_slot *s,
    const struct slot_rows *rows)
{
	struct key_batch keys = {0};
	TRY(member_keys(arena, s, rows, &keys));
	struct entry **parts = arena_alloc(arena, (keys.count + 1) * sizeof *parts);
	if (!parts)
		return ERR_NOMEM;
	TRY(table_find(&a->parts, &keys, 0, keys.count, parts));
	uint32_t next = 0;
	for (uint32_t r = rows->from; r < rows->end; r++) {
		struct agg_value v = {.weight = 0};
		if (rows->use && !rows->use[r])
			continue;
		int32_t weight = rows->weight ? rows->weight[r] : 1;
		TRY(count_member(a, parts[next++], weight, false, &v.weight));
		if (v.weight == 0)
			continue;
		v.value = vec_get(rows->v, r);
		TRY(agg_slot_add(s, slot_state(s, rows->entries[r]), &a->groups.slab, &v));
	}
	return ERR_OK;
}
