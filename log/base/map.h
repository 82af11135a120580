/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Hash map from byte strings to pointers: open addressing, XXH3-64 seeded per process (so a client
 * cannot choose colliding keys), at most 3/4 full. Keys are borrowed: the value usually owns them.
 * Iteration order is not specified; whoever prints sorts. Thread: the owner's.
 */
#include "mem.h"

struct map_slot;
struct map {
	struct map_slot *slots;
	size_t capacity;
	size_t count;
};

void map_init(struct map *m);
void map_release(struct map *m); /* frees the table, not the values */
/* The value under `key`, or NULL. */
void *map_get(const struct map *m, struct bytes key);
/* Inserts or replaces; `key` must outlive the entry. value must not be NULL. */
MUST_USE enum err map_put(struct map *m, struct bytes key, void *value);
/* Removes and returns the value, or NULL. */
void *map_remove(struct map *m, struct bytes key);
/*
 * Iteration: start with *cursor = 0; NULL at the end. Removing the returned entry is allowed,
 * inserting is not.
 */
void *map_next(const struct map *m, size_t *cursor);
/* XXH3-64 of `key` under the process seed. */
uint64_t map_hash(struct bytes key);
/* Simulation: a fixed seed makes the iteration order repeatable. Before the first map is filled. */
void map_set_seed(uint64_t seed);
