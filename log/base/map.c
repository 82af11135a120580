/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linear probing over a power of two of slots, with the full hash in each slot so that a probe
 * compares keys only when 64 bits agree. Removal shifts the rest of the cluster back: there are no
 * tombstones, and a map that shrinks and grows for years probes as short as a new one.
 *
 * Invariants: (1) at most 3/4 of the slots are used, so each probe ends at an empty one; (2) no
 * empty slot lies between an entry's home slot and its place.
 */
#include "map.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

struct map_slot {
	uint64_t hash;
	struct bytes key;
	void *value; /* NULL = empty */
};
enum { MAP_CAPACITY_MIN = 8 };

static uint64_t seed;

/* Before main, so that no lookup pays for it and no two threads race. */
__attribute__((constructor)) static void seed_from_kernel(void)
{
	ssize_t got;
	do {
		got = getrandom(&seed, sizeof(seed), 0);
	} while (got < 0 && errno == EINTR);
	if (got != (ssize_t)sizeof(seed))
		abort();
}

void map_set_seed(uint64_t new_seed)
{
	seed = new_seed;
}

uint64_t map_hash(struct bytes key)
{
	return XXH3_64bits_withSeed(key.len ? (const void *)key.ptr : "", key.len, seed);
}

void map_init(struct map *m)
{
	*m = (struct map){NULL, 0, 0};
}

void map_release(struct map *m)
{
	mem_free(m->slots);
	map_init(m);
}

/* The slot of `key`, or the empty slot where it belongs. Needs capacity > 0. */
static size_t find_slot(const struct map *m, struct bytes key, uint64_t hash)
{
	size_t mask = m->capacity - 1;
	size_t i = hash & mask;
	for (;; i = (i + 1) & mask) {
		const struct map_slot *s = &m->slots[i];
		if (!s->value || (s->hash == hash && bytes_equal(s->key, key)))
			return i;
	}
}

void *map_get(const struct map *m, struct bytes key)
{
	if (m->count == 0)
		return NULL;
	return m->slots[find_slot(m, key, map_hash(key))].value;
}

static enum err grow(struct map *m)
{
	size_t capacity = m->capacity ? m->capacity * 2 : MAP_CAPACITY_MIN;
	struct map_slot *slots = mem_calloc(capacity, sizeof(*slots));
	if (!slots)
		return err_note(ERR_NOMEM, "map of %zu slots", capacity);
	for (size_t i = 0; i < m->capacity; i++) {
		const struct map_slot *s = &m->slots[i];
		if (!s->value)
			continue;
		size_t at = s->hash & (capacity - 1);
		while (slots[at].value)
			at = (at + 1) & (capacity - 1);
		slots[at] = *s;
	}
	mem_free(m->slots);
	m->slots = slots;
	m->capacity = capacity;
	return ERR_OK;
}

enum err map_put(struct map *m, struct bytes key, void *value)
{
	ASSERT(value);
	uint64_t hash = map_hash(key);
	if (m->capacity > 0) {
		struct map_slot *s = &m->slots[find_slot(m, key, hash)];
		if (s->value) {
			/* the old key may belong to the old value */
			s->key = key;
			s->value = value;
			return ERR_OK;
		}
	}
	if (m->count + 1 > m->capacity / 4 * 3)
		TRY(grow(m));
	m->slots[find_slot(m, key, hash)] = (struct map_slot){hash, key, value};
	m->count++;
	return ERR_OK;
}

void *map_remove(struct map *m, struct bytes key)
{
	if (m->count == 0)
		return NULL;
	size_t mask = m->capacity - 1;
	size_t hole = find_slot(m, key, map_hash(key));
	void *value = m->slots[hole].value;
	if (!value)
		return NULL;
	for (size_t i = (hole + 1) & mask; m->slots[i].value; i = (i + 1) & mask) {
		/* an entry may fill the hole unless its home lies behind it */
		size_t home = m->slots[i].hash & mask;
		if (((i - home) & mask) >= ((i - hole) & mask)) {
			m->slots[hole] = m->slots[i];
			hole = i;
		}
	}
	m->slots[hole] = (struct map_slot){0, {NULL, 0}, NULL};
	m->count--;
	return value;
}

/*
 * Downwards from an empty slot: a removal moves only entries that lie above the removed one up to
 * the next empty slot, and those have been visited. The start is remembered in the upper half of
 * the cursor, because removals make further slots empty.
 */
void *map_next(const struct map *m, size_t *cursor)
{
	_Static_assert(sizeof(size_t) == 8, "the cursor holds two 32-bit positions");
	if (m->count == 0)
		return NULL;
	size_t mask = m->capacity - 1;
	size_t start = *cursor >> 32;
	size_t step = *cursor & UINT32_MAX;
	if (step == 0) {
		ASSERT(m->capacity <= UINT32_MAX);
		while (m->slots[start].value)
			start++;
	}
	while (++step < m->capacity) {
		const struct map_slot *s = &m->slots[(start - step) & mask];
		if (s->value) {
			*cursor = start << 32 | step;
			return s->value;
		}
	}
	*cursor = start << 32 | (m->capacity - 1);
	return NULL;
}
