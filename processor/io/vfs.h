/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * SQLite's way to the disk: a VFS over the I/O seam, so that view files see the same faults as the
 * log in tests, and so that no flipped bit is ever read as an answer.
 *
 * Each database page of VFS_PAGE_BYTES ends in VFS_RESERVED_BYTES that SQLite leaves alone:
 *     stamp u64 LE | XXH3-64 u64 LE, over the page up to and including the stamp, seeded with the
 * page's position A page whose checksum is wrong is not read: the statement fails with
 * SQLITE_IOERR_DATA. A page of zeros is one that was never written. The stamp is the checkpoint
 * number of the writer when the page was copied from the write-ahead log: vfs_verify can tell that
 * a database holds pages from a commit that its write-ahead log has lost. Frames in the write-ahead
 * log carry SQLite's own checksums.
 *
 * Locks and shared memory are SQLite's own (files, fcntl), so other SQLite programs may read while
 * kappa writes. Under the sim backend they live in memory, and only this process can open a file.
 * Threads: any; an SQLite connection is used by one thread at a time.
 */
#include "log/base/base.h"

enum { VFS_PAGE_BYTES = 4096, VFS_RESERVED_BYTES = 16 };

struct vfs;
/* Registers a VFS of its own over `io` (borrowed until vfs_free). */
MUST_USE enum err vfs_new(struct io *io, struct vfs **ret_vfs);
/* After the last connection has been closed. Takes NULL. */
void vfs_free(struct vfs *v);
/* For sqlite3_open_v2. */
const char *vfs_name(const struct vfs *v);

/* sqlite3_file_control(db, "main", VFS_FCNTL_STAMP, uint64_t *): stamp of pages written from now on
 * by this connection. */
enum { VFS_FCNTL_STAMP = 0x6b61 };

struct vfs_verdict {
	uint64_t pages;
	uint64_t bad_page; /* number, from 1; 0 = none */
	uint64_t max_stamp;
};
/* Reads every page of a database file. ERR_CORRUPT names the first page whose checksum is wrong. */
MUST_USE enum err vfs_verify(struct io *io, const char *path, struct vfs_verdict *ret_verdict);
