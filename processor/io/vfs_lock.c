/* SPDX-License-Identifier: Apache-2.0 */
/* In-process locks and shared memory for SQLite, see vfs_lock.h. */
#include "processor/io/vfs_lock.h"

void vfs_locks_release(struct vfs_locks *l)
{
	for (size_t i = 0; i < VFS_SHM_REGIONS_MAX; i++)
		mem_free(l->region[i]);
	*l = (struct vfs_locks){0};
}

int vfs_lock(struct vfs_locks *l, struct vfs_holder *h, int level)
{
	if (h->level >= level)
		return SQLITE_OK;
	if (h->level == SQLITE_LOCK_NONE) {
		if (l->pending)
			return SQLITE_BUSY;
		l->shared++;
		h->level = SQLITE_LOCK_SHARED;
	}
	if (level == SQLITE_LOCK_SHARED)
		return SQLITE_OK;
	if (l->reserved && l->reserved != h)
		return SQLITE_BUSY;
	l->reserved = h;
	if (level == SQLITE_LOCK_RESERVED) {
		h->level = SQLITE_LOCK_RESERVED;
		return SQLITE_OK;
	}
	l->pending = true;
	h->level = SQLITE_LOCK_PENDING;
	if (level == SQLITE_LOCK_PENDING)
		return SQLITE_OK;
	if (l->shared > 1)
		return SQLITE_BUSY;
	h->level = SQLITE_LOCK_EXCLUSIVE;
	return SQLITE_OK;
}

int vfs_unlock(struct vfs_locks *l, struct vfs_holder *h, int level)
{
	ASSERT(level <= SQLITE_LOCK_SHARED);
	if (h->level <= level)
		return SQLITE_OK;
	if (h->level >= SQLITE_LOCK_RESERVED) {
		ASSERT(l->reserved == h);
		l->reserved = NULL;
		l->pending = false;
	}
	if (level == SQLITE_LOCK_NONE) {
		ASSERT(l->shared > 0);
		l->shared--;
	}
	h->level = level;
	return SQLITE_OK;
}

static bool slot_is_free(
    const struct vfs_locks *l, const struct vfs_holder *h, int slot, bool exclusive)
{
	uint32_t own = (h->shm_shared >> slot) & 1u;
	if (l->shm_exclusive[slot] && l->shm_exclusive[slot] != h)
		return false;
	return !exclusive || l->shm_shared[slot] == own;
}

static void slot_take(struct vfs_locks *l, struct vfs_holder *h, int slot, bool exclusive)
{
	uint16_t bit = (uint16_t)(1u << slot);
	if (exclusive) {
		l->shm_exclusive[slot] = h;
		h->shm_exclusive |= bit;
	} else if (!(h->shm_shared & bit)) {
		l->shm_shared[slot]++;
		h->shm_shared |= bit;
	}
}

static void slot_give(struct vfs_locks *l, struct vfs_holder *h, int slot)
{
	uint16_t bit = (uint16_t)(1u << slot);
	if (h->shm_exclusive & bit)
		l->shm_exclusive[slot] = NULL;
	if (h->shm_shared & bit)
		l->shm_shared[slot]--;
	h->shm_exclusive = (uint16_t)(h->shm_exclusive & ~bit);
	h->shm_shared = (uint16_t)(h->shm_shared & ~bit);
}

int vfs_shm_lock(struct vfs_locks *l, struct vfs_holder *h, int offset, int n, int flags)
{
	bool exclusive = (flags & SQLITE_SHM_EXCLUSIVE) != 0;
	ASSERT(offset >= 0 && n > 0 && offset + n <= SQLITE_SHM_NLOCK);
	if (flags & SQLITE_SHM_UNLOCK) {
		for (int i = offset; i < offset + n; i++)
			slot_give(l, h, i);
		return SQLITE_OK;
	}
	for (int i = offset; i < offset + n; i++)
		if (!slot_is_free(l, h, i, exclusive))
			return SQLITE_BUSY;
	for (int i = offset; i < offset + n; i++)
		slot_take(l, h, i, exclusive);
	return SQLITE_OK;
}

int vfs_shm_map(
    struct vfs_locks *l, int region, int region_bytes, int extend, void volatile **ret_ptr)
{
	*ret_ptr = NULL;
	if (region >= VFS_SHM_REGIONS_MAX)
		return SQLITE_FULL;
	if (!l->region[region]) {
		if (!extend)
			return SQLITE_OK;
		l->region[region] = mem_calloc(1, (size_t)region_bytes);
		if (!l->region[region])
			return SQLITE_NOMEM;
		l->region_bytes = region_bytes;
	}
	ASSERT(l->region_bytes == region_bytes);
	*ret_ptr = l->region[region];
	return SQLITE_OK;
}

void vfs_shm_drop(struct vfs_locks *l, struct vfs_holder *h)
{
	for (int i = 0; i < SQLITE_SHM_NLOCK; i++)
		slot_give(l, h, i);
}
