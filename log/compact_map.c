/* SPDX-License-Identifier: Apache-2.0 */
/* Open addressing with linear probing; see compact_map.h. Slot: hash 16 bytes, offset + 1 u64. */
#include "log/compact_map.h"
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { SLOTS_MIN = 64, HASH_BYTES = 16 };
_Static_assert(COMPACT_SECRET_BYTES >= XXH3_SECRET_SIZE_MIN, "long enough for XXH3");
_Static_assert(HASH_BYTES + 8 == COMPACT_SLOT_BYTES, "hash and offset");

enum err compact_map_init(struct compact_map *m, struct io *io, uint64_t keys, size_t bytes_max)
{
	uint64_t slots = keys + keys / 3 + SLOTS_MIN;
	if (slots > bytes_max / COMPACT_SLOT_BYTES)
		slots = bytes_max / COMPACT_SLOT_BYTES;
	if (slots < SLOTS_MIN)
		slots = SLOTS_MIN;
	*m = (struct compact_map){.capacity = (size_t)slots, .max = (size_t)(slots - slots / 4)};
	m->slots = mem_calloc(m->capacity, COMPACT_SLOT_BYTES);
	if (!m->slots)
		return ERR_NOMEM;
	io_random(io, m->secret, sizeof(m->secret));
	return ERR_OK;
}

void compact_map_release(struct compact_map *m)
{
	mem_free(m->slots);
	*m = (struct compact_map){0};
}

/* The slot of the key, or the empty one where it belongs. */
static uint8_t *slot_of(const struct compact_map *m, struct bytes key, uint8_t hash[HASH_BYTES])
{
	XXH128_hash_t h = XXH3_128bits_withSecret(key.ptr, key.len, m->secret, sizeof(m->secret));
	put_u64_le(hash, h.low64);
	put_u64_le(hash + 8, h.high64);
	size_t at = (size_t)(h.low64 % m->capacity);
	for (;;) {
		uint8_t *slot = m->slots + at * COMPACT_SLOT_BYTES;
		if (get_u64_le(slot + HASH_BYTES) == 0 || memcmp(slot, hash, HASH_BYTES) == 0)
			return slot;
		at = at + 1 == m->capacity ? 0 : at + 1;
	}
}

bool compact_map_put(struct compact_map *m, struct bytes key, int64_t offset)
{
	uint8_t hash[HASH_BYTES];
	ASSERT(offset >= 0);
	uint8_t *slot = slot_of(m, key, hash);
	if (get_u64_le(slot + HASH_BYTES) == 0) {
		if (m->count == m->max)
			return false;
		m->count++;
		memcpy(slot, hash, HASH_BYTES);
	}
	put_u64_le(slot + HASH_BYTES, (uint64_t)offset + 1);
	return true;
}

int64_t compact_map_get(const struct compact_map *m, struct bytes key)
{
	uint8_t hash[HASH_BYTES];
	return (int64_t)get_u64_le(slot_of(m, key, hash) + HASH_BYTES) - 1;
}
