/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The keyed state of one operator: a hash table of entries (key bytes -> native state of fixed
 * width) that is a write-back cache of one state table of the op_store.
 *
 * States of an entry, by flags:
 *   clean            the store has the same bytes, or nothing when the state is empty
 *   ENTRY_DIRTY      changed since the last checkpoint; in table->dirty; never evicted
 *   ENTRY_CHANGED    changed since the last flush; in table->changed; never evicted
 *   ENTRY_SENT       downstream has a row for this key (as of the last flush)
 *   ENTRY_STORED     the store has bytes under this key (as of the last checkpoint)
 *   ENTRY_SAVED      in the undo log of the record being processed
 *   ENTRY_PASSING    kept only until the next checkpoint: nobody looks it up (changes of multisets)
 * Changes go: table_find -> table_touch (saves what undo and flush need) -> the caller changes the
 * state.
 */
#include "processor/op/op.h"
#include "processor/op/slab.h"

enum {
	ENTRY_DIRTY = 1,
	ENTRY_CHANGED = 2,
	ENTRY_SENT = 4,
	ENTRY_STORED = 8,
	ENTRY_SAVED = 16,
	ENTRY_PASSING = 32,
	ENTRY_USED = 64, /* since the last sweep: the clock's reference bit */
};
struct entry {
	uint64_t hash;
	uint32_t key_len;
	uint32_t flags;
	struct bytes old; /* image of the row downstream has, from the first change to the flush;
	                     NULL = none */
};
_Static_assert(sizeof(struct entry) % 16 == 0, "native state behind it is 16-byte aligned");

struct state_table;
/* What a kind of state can do. `ctx` is the operator. */
struct table_kind {
	size_t width; /* bytes of native state, zeroed when an entry is made; a multiple of 16 */
	void (*release)(void *ctx, struct entry *e); /* frees what the state points to */
	void (*reset)(
	    void *ctx, struct entry *e); /* to what read expects; multisets stay: see undone */
	void (*write)(void *ctx, const struct entry *e, struct writer *w); /* exact state bytes */
	enum err (*read)(
	    void *ctx, struct entry *e, struct reader *r); /* into new or reset state */
	bool (*empty)(
	    void *ctx, const struct entry *e); /* nothing to store: the key is to be deleted */
	/* The image for entry.old, from `arena`; NULL when the operator needs none. */
	enum err (*image)(void *ctx, struct entry *e, struct arena *arena, struct bytes *ret_image);
	/* After undo has put the state back: corrects the multiset that a part belongs to. NULL =
	 * nothing to do. */
	enum err (*undone)(void *ctx, struct entry *e);
};

struct slot {
	uint64_t hash;
	struct entry *entry; /* NULL = free */
};
struct entry_list {
	struct entry **items;
	size_t count, capacity;
};
/* Lists go over entries that the cache has forgotten: asks for one that is to come. */
static inline void prefetch_entry(const struct entry_list *l, size_t index)
{
	if (index >= l->count)
		return;
	__builtin_prefetch(l->items[index]);
	__builtin_prefetch((const uint8_t *)l->items[index] + 64);
}
struct undo {
	struct entry *entry;
	uint32_t flags;
	struct bytes old, state; /* state: its bytes before the record */
};
struct state_table {
	const struct table_kind *kind;
	void *ctx;
	const struct op_store *store; /* NULL = memory only */
	uint32_t state_id;
	bool with_rows; /* stored with the sink's rows: put and del are not called */
	bool complete;  /* what is not in memory is not in the store either */
	bool recording; /* between begin and end of a record */
	struct slab slab;
	struct slot *slots;
	size_t capacity, count;
	size_t hand; /* of the clock */
	bool stuck;  /* what is left is dirty: no eviction before the next checkpoint */
	struct entry_list dirty, changed;
	struct undo *undo;
	size_t undo_count, undo_capacity;
	struct arena undo_arena, old_arena;
	struct writer scratch;
	uint64_t lookups, evicted;
};

/* The key follows the entry, then, aligned, the state: what a probe looks at shares a cache line.
 */
static inline struct bytes entry_key(const struct entry *e)
{
	return bytes_of((const uint8_t *)e + sizeof *e, e->key_len);
}
static inline void *entry_state(const struct entry *e)
{
	return (uint8_t *)(uintptr_t)e + sizeof *e + ((e->key_len + 15u) & ~15u);
}

void table_init(struct state_table *t, const struct table_kind *kind, void *ctx);
/* Says where its bytes are kept: from env, under this number. */
void table_bind(struct state_table *t, const struct op_env *env, uint32_t state_id);
void table_release(struct state_table *t);

/* Keys of a batch: `at` has count + 1 positions in `bytes`. */
struct key_batch {
	uint8_t *bytes;
	uint32_t *at;
	uint64_t *hash;
	uint32_t count;
};
/* Encodes the given columns of each row and hashes them. ERR_NOMEM; ERR_LIMIT when the keys of one
 * batch pass 4 GiB. */
MUST_USE enum err keys_of(struct arena *a, const struct batch *b, const uint32_t *columns,
    uint32_t column_count, struct key_batch *ret_keys);
uint64_t table_hash(struct bytes key);

/* The entry of each key in [from, end), from memory, the store, or made new (empty). ERR_NOMEM,
 * ERR_CORRUPT, errors of the store. */
MUST_USE enum err table_find(struct state_table *t, const struct key_batch *keys, uint32_t from,
    uint32_t end, struct entry **ret_entries);
MUST_USE enum err table_find_one(struct state_table *t, struct bytes key, struct entry **ret_entry);
/* The same without asking the store: the caller knows that it does not matter. */
MUST_USE enum err table_make(struct state_table *t, struct bytes key, struct entry **ret_entry);

/* Before the first change of an entry's state since flush, checkpoint or the record's begin. */
MUST_USE enum err table_touch_slow(struct state_table *t, struct entry *e);
MUST_USE static inline enum err table_touch(struct state_table *t, struct entry *e)
{
	const uint32_t done = ENTRY_DIRTY | ENTRY_CHANGED;
	if ((e->flags & done) == done && (!t->recording || e->flags & ENTRY_SAVED))
		return ERR_OK;
	return table_touch_slow(t, e);
}
/* After a flush: forgets the list of changed entries and their images. */
void table_flushed(struct state_table *t);

void table_begin(struct state_table *t);
void table_commit(struct state_table *t);
MUST_USE enum err table_undo(struct state_table *t);

/* Writes what changed, in key order, and counts it as clean. */
MUST_USE enum err table_checkpoint(struct state_table *t);
/* The state bytes of one entry, valid until the next call. */
MUST_USE enum err table_state_bytes(
    struct state_table *t, const struct entry *e, struct bytes *ret_state);
/* Reads the table from the store until `limit_bytes` are used in it; then or at the end returns. */
MUST_USE enum err table_load(struct state_table *t, size_t limit_bytes);
/* Drops clean entries until at most `target_bytes` are used, as far as there are any. */
void table_evict(struct state_table *t, size_t target_bytes);
static inline size_t table_bytes(const struct state_table *t)
{
	return t->slab.used_bytes + t->capacity * sizeof(struct slot);
}
