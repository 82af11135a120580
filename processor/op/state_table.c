/* SPDX-License-Identifier: Apache-2.0 */
#include "processor/op/state_table.h"

#include <stdlib.h>

enum { SLOTS_MIN = 64, PROBE_BLOCK = 256 };
#define SCRATCH_MAX ((size_t)1 << 30)

void table_init(struct state_table *t, const struct table_kind *kind, void *ctx)
{
	ASSERT(kind->width % 16 == 0);
	*t = (struct state_table){.kind = kind, .ctx = ctx};
	slab_init(&t->slab);
	arena_init(&t->undo_arena, SIZE_MAX);
	arena_init(&t->old_arena, SIZE_MAX);
	writer_init(&t->scratch, SCRATCH_MAX);
}

void table_bind(struct state_table *t, const struct op_env *env, uint32_t state_id)
{
	t->store = env->store;
	t->state_id = state_id;
	t->complete = !env->store || env->store_empty;
}

static size_t entry_len(const struct state_table *t, const struct entry *e)
{
	return (size_t)((uint8_t *)entry_state(e) - (const uint8_t *)e) + t->kind->width;
}

static void entry_free(struct state_table *t, struct entry *e)
{
	t->kind->release(t->ctx, e);
	slab_free(&t->slab, e, entry_len(t, e));
}

void table_release(struct state_table *t)
{
	/* all that entries point to is in the slab too */
	mem_free(t->slots);
	mem_free(t->dirty.items);
	mem_free(t->changed.items);
	mem_free(t->undo);
	arena_release(&t->undo_arena);
	arena_release(&t->old_arena);
	writer_release(&t->scratch);
	slab_release(&t->slab);
}

/* ---- slots ----------------------------------------------------------------------------------- */

static enum err grow(struct state_table *t)
{
	size_t capacity = t->capacity ? t->capacity * 2 : SLOTS_MIN, mask = capacity - 1;
	struct slot *slots = mem_calloc(capacity, sizeof *slots);
	if (!slots)
		return ERR_NOMEM;
	for (size_t i = 0; i < t->capacity; i++) {
		if (!t->slots[i].entry)
			continue;
		size_t at = t->slots[i].hash & mask;
		while (slots[at].entry)
			at = (at + 1) & mask;
		slots[at] = t->slots[i];
	}
	mem_free(t->slots);
	t->slots = slots;
	t->capacity = capacity;
	t->hand = 0;
	return ERR_OK;
}

static enum err insert(struct state_table *t, struct entry *e)
{
	if (t->count + 1 > t->capacity / 4 * 3)
		TRY(grow(t));
	size_t mask = t->capacity - 1, at = e->hash & mask;
	while (t->slots[at].entry)
		at = (at + 1) & mask;
	t->slots[at] = (struct slot){e->hash, e};
	t->count++;
	return ERR_OK;
}

/* Frees slot `at` and moves the rest of its cluster back, so that every probe still ends at an
 * empty slot. */
static void free_slot(struct state_table *t, size_t at)
{
	size_t mask = t->capacity - 1;
	for (size_t next = (at + 1) & mask; t->slots[next].entry; next = (next + 1) & mask) {
		size_t home = t->slots[next].hash & mask;
		if (((next - home) & mask) >= ((next - at) & mask)) {
			t->slots[at] = t->slots[next];
			at = next;
		}
	}
	t->slots[at].entry = NULL;
	t->count--;
}

static void drop(struct state_table *t, struct entry *e)
{
	size_t mask = t->capacity - 1, at = e->hash & mask;
	while (t->slots[at].entry != e)
		at = (at + 1) & mask;
	free_slot(t, at);
	entry_free(t, e);
}

static inline bool key_is(const struct entry *e, const uint8_t *key, size_t len)
{
	if (e->key_len != len)
		return false;
	const uint8_t *have = entry_key(e).ptr;
	if (len >= 8 && len <= 16) {
		uint64_t a, b, c, d;
		memcpy(&a, have, 8);
		memcpy(&b, key, 8);
		memcpy(&c, have + len - 8, 8);
		memcpy(&d, key + len - 8, 8);
		return ((a ^ b) | (c ^ d)) == 0;
	}
	return memcmp(have, key, len) == 0;
}

static struct entry *probe(const struct state_table *t, struct bytes key, uint64_t hash)
{
	if (t->capacity == 0)
		return NULL;
	size_t mask = t->capacity - 1;
	for (size_t at = hash & mask; t->slots[at].entry; at = (at + 1) & mask)
		if (t->slots[at].hash == hash && key_is(t->slots[at].entry, key.ptr, key.len))
			return t->slots[at].entry;
	return NULL;
}

/* ---- finding --------------------------------------------------------------------------------- */

static enum err entry_new(
    struct state_table *t, struct bytes key, uint64_t hash, struct entry **ret_entry)
{
	if (key.len > UINT32_MAX)
		return err_note(ERR_LIMIT, "a key of %zu bytes", key.len);
	struct entry *e =
	    slab_alloc(&t->slab, sizeof *e + ((key.len + 15) & ~(size_t)15) + t->kind->width);
	if (!e)
		return ERR_NOMEM;
	*e = (struct entry){.hash = hash, .key_len = (uint32_t)key.len};
	memset(entry_state(e), 0, t->kind->width);
	memcpy((uint8_t *)e + sizeof *e, key.ptr, key.len);
	*ret_entry = e;
	return ERR_OK;
}

static enum err read_state(struct state_table *t, struct entry *e, struct bytes value)
{
	struct reader r = reader_of(value);
	TRY(t->kind->read(t->ctx, e, &r));
	if (r.bad || reader_left(&r) > 0)
		return err_note(
		    ERR_CORRUPT, "state table %u holds an entry that cannot be read", t->state_id);
	return ERR_OK;
}

static enum err fill_from_store(struct state_table *t, struct entry *e)
{
	struct bytes value;
	if (t->complete || !t->store)
		return ERR_OK;
	t->lookups++;
	enum err err = t->store->lookup(t->store->ctx, t->state_id, entry_key(e), &value);
	if (err == ERR_NOT_FOUND) {
		err_clear();
		return ERR_OK;
	}
	TRY(err);
	e->flags |= ENTRY_STORED | ENTRY_SENT;
	return read_state(t, e, value);
}

static enum err find_or_make(
    struct state_table *t, struct bytes key, uint64_t hash, bool ask, struct entry **ret_entry)
{
	struct entry *e = probe(t, key, hash);
	if (e) {
		e->flags |= ENTRY_USED;
		*ret_entry = e;
		return ERR_OK;
	}
	TRY(entry_new(t, key, hash, &e));
	enum err err = ask ? fill_from_store(t, e) : ERR_OK;
	if (err == ERR_OK)
		err = insert(t, e);
	if (err != ERR_OK) {
		entry_free(t, e);
		return err;
	}
	*ret_entry = e;
	return ERR_OK;
}

enum err table_find_one(struct state_table *t, struct bytes key, struct entry **ret_entry)
{
	return find_or_make(t, key, table_hash(key), true, ret_entry);
}

enum err table_make(struct state_table *t, struct bytes key, struct entry **ret_entry)
{
	return find_or_make(t, key, table_hash(key), false, ret_entry);
}

/* Cache misses of a block of rows overlap: first the slots, then the entries they point to. */
static void prefetch(
    const struct state_table *t, const struct key_batch *k, uint32_t from, uint32_t end)
{
	size_t mask = t->capacity - 1;
	for (uint32_t r = from; r < end; r++)
		__builtin_prefetch(&t->slots[k->hash[r] & mask]);
	for (uint32_t r = from; r < end; r++) {
		const struct slot *slot = &t->slots[k->hash[r] & mask];
		const struct entry *e =
		    slot->hash == k->hash[r] ? slot->entry : slot[(k->hash[r] & mask) < mask].entry;
		__builtin_prefetch(e);
		__builtin_prefetch((const uint8_t *)e + 64);
	}
}

/* The usual case: the key is there, at its home slot. */
static inline struct entry *probe_home(
    const struct state_table *t, const struct key_batch *k, uint32_t row)
{
	const struct slot *slot = &t->slots[k->hash[row] & (t->capacity - 1)];
	if (slot->hash != k->hash[row] || !slot->entry)
		return NULL;
	return key_is(slot->entry, k->bytes + k->at[row], k->at[row + 1] - k->at[row]) ? slot->entry
	                                                                               : NULL;
}

enum err table_find(struct state_table *t, const struct key_batch *keys, uint32_t from,
    uint32_t end, struct entry **ret_entries)
{
	for (uint32_t stop; from < end; from = stop) {
		stop = end - from < PROBE_BLOCK ? end : from + PROBE_BLOCK;
		if (t->capacity > 4096)
			prefetch(t, keys, from, stop);
		for (uint32_t r = from; r < stop; r++) {
			struct entry *e = t->capacity > 0 ? probe_home(t, keys, r) : NULL;
			if (e) {
				if (!(e->flags & ENTRY_USED))
					e->flags |= ENTRY_USED;
				ret_entries[r] = e;
				continue;
			}
			struct bytes key =
			    bytes_of(keys->bytes + keys->at[r], keys->at[r + 1] - keys->at[r]);
			TRY(find_or_make(t, key, keys->hash[r], true, &ret_entries[r]));
		}
	}
	return ERR_OK;
}

/* ---- changes --------------------------------------------------------------------------------- */

static enum err list_add(struct entry_list *l, struct entry *e)
{
	if (l->count == l->capacity) {
		size_t capacity = l->capacity ? l->capacity * 2 : 64;
		struct entry **grown = mem_realloc(l->items, capacity * sizeof(struct entry *));
		if (!grown)
			return ERR_NOMEM;
		l->items = grown;
		l->capacity = capacity;
	}
	l->items[l->count++] = e;
	return ERR_OK;
}

enum err table_state_bytes(struct state_table *t, const struct entry *e, struct bytes *ret_state)
{
	writer_clear(&t->scratch);
	t->kind->write(t->ctx, e, &t->scratch);
	if (t->scratch.err != ERR_OK) {
		enum err err = t->scratch.err;
		writer_release(&t->scratch);
		writer_init(&t->scratch, SCRATCH_MAX);
		return err;
	}
	*ret_state = writer_bytes(&t->scratch);
	return ERR_OK;
}

static enum err save(struct state_table *t, struct entry *e)
{
	struct bytes state;
	if (t->undo_count == t->undo_capacity) {
		size_t capacity = t->undo_capacity ? t->undo_capacity * 2 : 16;
		struct undo *grown = mem_realloc(t->undo, capacity * sizeof *grown);
		if (!grown)
			return ERR_NOMEM;
		t->undo = grown;
		t->undo_capacity = capacity;
	}
	TRY(table_state_bytes(t, e, &state));
	struct bytes copy = arena_copy(&t->undo_arena, state);
	if (!copy.ptr)
		return ERR_NOMEM;
	t->undo[t->undo_count++] = (struct undo){e, e->flags, e->old, copy};
	e->flags |= ENTRY_SAVED;
	return ERR_OK;
}

enum err table_touch_slow(struct state_table *t, struct entry *e)
{
	if (t->recording && !(e->flags & ENTRY_SAVED))
		TRY(save(t, e));
	if (!(e->flags & ENTRY_CHANGED)) {
		if (e->flags & ENTRY_SENT && t->kind->image)
			TRY(t->kind->image(t->ctx, e, &t->old_arena, &e->old));
		TRY(list_add(&t->changed, e));
		e->flags |= ENTRY_CHANGED;
	}
	if (!(e->flags & ENTRY_DIRTY)) {
		TRY(list_add(&t->dirty, e));
		e->flags |= ENTRY_DIRTY;
	}
	return ERR_OK;
}

void table_flushed(struct state_table *t)
{
	for (size_t i = 0; i < t->changed.count; i++) {
		prefetch_entry(&t->changed, i + 8);
		t->changed.items[i]->flags &= ~(uint32_t)ENTRY_CHANGED;
		t->changed.items[i]->old = (struct bytes){NULL, 0};
	}
	t->changed.count = 0;
	if (!t->recording)
		arena_clear(&t->old_arena);
}

/* ---- records --------------------------------------------------------------------------------- */

void table_begin(struct state_table *t)
{
	ASSERT(!t->recording && t->undo_count == 0);
	ASSERT(t->changed.count == 0); /* what was pushed before the bracket has been flushed */
	t->recording = true;
}

void table_commit(struct state_table *t)
{
	for (size_t i = 0; i < t->undo_count; i++)
		t->undo[i].entry->flags &= ~(uint32_t)ENTRY_SAVED;
	t->undo_count = 0;
	t->recording = false;
	if (t->undo_arena.head)
		arena_clear(&t->undo_arena);
	if (t->changed.count == 0 && t->old_arena.head)
		arena_clear(&t->old_arena);
}

/* An entry stays DIRTY: writing the same bytes again does no harm, and it is in the list. */
static enum err undo_one(struct state_table *t, const struct undo *u)
{
	struct entry *e = u->entry;
	t->kind->reset(t->ctx, e);
	TRY(read_state(t, e, u->state));
	e->flags = (u->flags & ~(uint32_t)ENTRY_CHANGED) | (e->flags & ENTRY_DIRTY);
	e->old = (struct bytes){NULL, 0};
	return t->kind->undone ? t->kind->undone(t->ctx, e) : ERR_OK;
}

enum err table_undo(struct state_table *t)
{
	ASSERT(t->recording);
	table_flushed(t);
	for (size_t i = t->undo_count; i > 0; i--)
		TRY(undo_one(t, &t->undo[i - 1]));
	table_commit(t);
	return ERR_OK;
}

/* ---- checkpoint ------------------------------------------------------------------------------ */

/* Eight bytes of the key, behind those that all keys share, decide nearly always. */
struct sort_key {
	uint64_t prefix;
	struct entry *entry;
};

static int by_key(const void *a, const void *b)
{
	const struct sort_key *x = a, *y = b;
	if (x->prefix != y->prefix)
		return x->prefix < y->prefix ? -1 : 1;
	return bytes_compare(entry_key(x->entry), entry_key(y->entry));
}

static uint64_t key_prefix(struct bytes key, size_t skip)
{
	uint8_t front[8] = {0};
	struct bytes part = bytes_slice(key, skip, sizeof front);
	if (part.len > 0)
		memcpy(front, part.ptr, part.len);
	return get_u64_be(front);
}

/* Whether the list is in key order already, as it is where keys ascend by arrival; and how many
 * bytes all keys begin with. */
static bool in_order(const struct entry_list *l, size_t *ret_shared)
{
	bool sorted = true;
	struct bytes first = entry_key(l->items[0]);
	size_t shared = first.len;
	for (size_t i = 1; i < l->count; i++) {
		struct bytes key = entry_key(l->items[i]);
		size_t n = 0, end = key.len < shared ? key.len : shared;
		prefetch_entry(l, i + 8);
		while (n < end && key.ptr[n] == first.ptr[n])
			n++;
		shared = n;
		sorted = sorted && bytes_compare(entry_key(l->items[i - 1]), key) < 0;
	}
	*ret_shared = shared;
	return sorted;
}

static enum err sort_dirty(struct entry_list *l)
{
	size_t shared;
	if (l->count < 2 || in_order(l, &shared))
		return ERR_OK;
	struct sort_key *keys = mem_alloc(l->count * sizeof *keys);
	if (!keys)
		return ERR_NOMEM;
	for (size_t i = 0; i < l->count; i++) {
		prefetch_entry(l, i + 8);
		keys[i] =
		    (struct sort_key){key_prefix(entry_key(l->items[i]), shared), l->items[i]};
	}
	qsort(keys, l->count, sizeof *keys, by_key);
	for (size_t i = 0; i < l->count; i++)
		l->items[i] = keys[i].entry;
	mem_free(keys);
	return ERR_OK;
}

static enum err store_one(struct state_table *t, const struct entry *e, bool empty)
{
	struct bytes state;
	if (!t->store || t->with_rows)
		return ERR_OK;
	if (empty) {
		bool known_absent = !(e->flags & (ENTRY_STORED | ENTRY_PASSING));
		return known_absent ? ERR_OK
		                    : t->store->del(t->store->ctx, t->state_id, entry_key(e));
	}
	TRY(table_state_bytes(t, e, &state));
	return t->store->put(t->store->ctx, t->state_id, entry_key(e), state);
}

enum err table_checkpoint(struct state_table *t)
{
	ASSERT(t->changed.count == 0 && !t->recording);
	if (t->store && !t->with_rows)
		TRY(sort_dirty(&t->dirty));
	for (size_t i = 0; i < t->dirty.count; i++) {
		struct entry *e = t->dirty.items[i];
		prefetch_entry(&t->dirty, i + 8);
		bool empty = t->kind->empty(t->ctx, e);
		TRY(store_one(t, e, empty));
		e->flags &= ~(uint32_t)(ENTRY_DIRTY | ENTRY_STORED);
		if (!empty)
			e->flags |= ENTRY_STORED;
		if (empty || e->flags & ENTRY_PASSING)
			drop(t, e);
	}
	t->dirty.count = 0;
	t->stuck = false;
	return ERR_OK;
}

struct load {
	struct state_table *t;
	size_t limit_bytes;
	bool full;
};

static enum err load_one(void *ctx, struct bytes key, struct bytes value)
{
	struct load *l = ctx;
	struct entry *e;
	if (table_bytes(l->t) + key.len + value.len > l->limit_bytes) {
		l->full = true;
		return ERR_LIMIT;
	}
	TRY(table_make(l->t, key, &e));
	e->flags |= ENTRY_STORED | ENTRY_SENT;
	return read_state(l->t, e, value);
}

enum err table_load(struct state_table *t, size_t limit_bytes)
{
	struct load l = {t, limit_bytes, false};
	if (!t->store || t->complete)
		return ERR_OK;
	enum err err =
	    t->store->scan(t->store->ctx, t->state_id, (struct bytes){NULL, 0}, load_one, &l);
	if (l.full) {
		err_clear();
		return ERR_OK;
	}
	TRY(err);
	t->complete = true;
	return ERR_OK;
}

/* ---- eviction -------------------------------------------------------------------------------- */

void table_evict(struct state_table *t, size_t target_bytes)
{
	const uint32_t pinned = ENTRY_DIRTY | ENTRY_CHANGED | ENTRY_SAVED;
	if (!t->store || t->capacity == 0 || t->stuck)
		return;
	/* twice around at most: once to clear the reference bits */
	for (size_t steps = 2 * t->capacity;
	     steps > 0 && table_bytes(t) > target_bytes && t->count > 0; steps--) {
		size_t at = t->hand & (t->capacity - 1);
		struct entry *e = t->slots[at].entry;
		if (!e || e->flags & pinned) {
			t->hand++;
		} else if (e->flags & ENTRY_USED) {
			e->flags &= ~(uint32_t)ENTRY_USED;
			t->hand++;
		} else {
			t->complete = t->complete && !(e->flags & ENTRY_STORED);
			free_slot(t, at); /* the next of its cluster may have moved here */
			entry_free(t, e);
			t->evicted++;
		}
	}
	t->stuck = table_bytes(t) > target_bytes;
}
