/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The newest offset of each key, in bounded memory: a table of 24 bytes per key, 16 of them the
 * key's 128-bit XXH3 under a secret of this table (two keys that collide would lose one of them, so
 * nobody may be able to choose such keys). Never shrinks, never grows, nothing is removed. Any
 * thread, one at a time.
 */
#include "log/base/base.h"

enum { COMPACT_SLOT_BYTES = 24, COMPACT_SECRET_BYTES = 192 };

struct compact_map {
	uint8_t *slots;
	size_t capacity, count, max; /* slots; max: 3/4 of them */
	uint8_t secret[COMPACT_SECRET_BYTES];
};
/* For up to `keys` keys, in at most `bytes_max`. ERR_NOMEM. */
MUST_USE enum err compact_map_init(
    struct compact_map *m, struct io *io, uint64_t keys, size_t bytes_max);
void compact_map_release(struct compact_map *m);
/* Notes that `key` has a record at `offset`, which is not below any noted before. False: it is a
 * new key and there is no room. */
bool compact_map_put(struct compact_map *m, struct bytes key, int64_t offset);
/* The newest offset of `key`, -1 when it was not noted. */
int64_t compact_map_get(const struct compact_map *m, struct bytes key);
