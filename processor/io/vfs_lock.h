/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Locks and shared memory of one database file inside this process: what fcntl and mmap are to
 * SQLite's own VFS, for the sim backend. Rules as in sqlite3.h (xLock, xShmLock). The caller holds
 * the VFS's mutex.
 */
#include "log/base/base.h"
#include <sqlite3.h>

enum { VFS_SHM_REGIONS_MAX = 64 };

struct vfs_locks {
	uint32_t shared;      /* handles that hold SHARED or more */
	const void *reserved; /* the handle with RESERVED or more; NULL = none */
	bool pending;         /* the reserved handle waits for readers to go, or is alone */
	uint32_t shm_shared[SQLITE_SHM_NLOCK];
	const void *shm_exclusive[SQLITE_SHM_NLOCK];
	void *region[VFS_SHM_REGIONS_MAX];
	int region_bytes;
};
/* What one handle holds. */
struct vfs_holder {
	int level;                          /* SQLITE_LOCK_NONE .. EXCLUSIVE */
	uint16_t shm_shared, shm_exclusive; /* a bit per slot */
};
void vfs_locks_release(struct vfs_locks *l);
int vfs_lock(struct vfs_locks *l, struct vfs_holder *h, int level);
int vfs_unlock(struct vfs_locks *l, struct vfs_holder *h, int level);
int vfs_shm_lock(struct vfs_locks *l, struct vfs_holder *h, int offset, int n, int flags);
int vfs_shm_map(
    struct vfs_locks *l, int region, int region_bytes, int extend, void volatile **ret_ptr);
/* Drops everything the handle holds. */
void vfs_shm_drop(struct vfs_locks *l, struct vfs_holder *h);
