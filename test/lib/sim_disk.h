/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A simulated disk with a page cache in front: what a file system may do to data at a power cut,
 * written down. sim_io.h puts the I/O seam on top; a crash-state enumerator works on disks
 * directly:
 *
 *   struct sim_disk *d = sim_disk_new(0); for each op of a recorded run: sim_disk_apply(d, op);
 *   then sim_disk_each_crash(d, ..., recover and check)
 *
 * FAULT MODEL
 *  F1  Each file and directory has a cached state, which every reader sees, and a durable state,
 *      which a power cut leaves. Nothing but what follows moves the cached into the durable.
 *  F2  Content is written in sectors of 512 bytes. Until a sync of the file has returned, each
 *      sector written since the last one is a unit of its own: after the cut it has its new
 *      content, its old content, zeros, garbage, or the beginning of the new and the rest of the
 *      old (torn at any byte). Sectors of one write are independent: no order among them, nor among
 *      writes.
 *  F3  The size is a unit apart from the content: after the cut it is any size the file has had
 *      since the last sync. So an append may leave the size without the data (zeros, garbage) or
 *      the data without the size (invisible).
 *  F4  A name (created, renamed, removed) is durable after a sync of its directory, of both
 *      directories for a rename between two. Until then each such change is a unit, kept or lost
 *      independently of the others and of the file's content; a rename is atomic. A sync of the
 *      file does not make its name durable.
 *  F5  fdatasync and fsync are the same here: content and size.
 *  F6  Writeback: the kernel may make any dirty sector durable at any time (SIM_OP_WRITEBACK), so
 *      after two writes to one sector the first may be what survives.
 *  F7  A failed sync has made some dirty sectors durable and marks all of them clean: a later sync
 *      that succeeds does not write them. They are still read from the cache, and are gone after a
 *      cut.
 *  F8  Truncation makes the cut sectors dirty: when it is extended again before a sync, old content
 *      may come back.
 *  F9  A file that is full of holes takes no space; allocation fails with ENOSPC beyond the
 *      capacity.
 *  F10 A durable write (IO_WRITE_DURABLE) makes its own sectors durable and a size that has them,
 *      no other sector of the file. One that fails is a failed sync (F7).
 * Not in the model: rot at rest (sim_disk_flip, sim_disk_spoil), misdirected writes, a device that
 * lies about syncs (apply a log without its SIM_OP_SYNC entries), reordering across a sync that has
 * returned.
 *
 * Files are named by inode number; numbers are given in order of creation, so a log applied to a
 * fresh disk gives the same numbers. Memory comes from malloc, not mem_alloc: allocation faults are
 * for the code under test. Thread: one.
 */
#include "log/base/bytes.h"
#include "test/lib/sim_content.h"

enum { SIM_ROOT = 1 }; /* inode number of "/" */

enum sim_kind { SIM_FILE, SIM_DIRECTORY, SIM_LINK };

struct sim_entry {
	char *name;
	uint32_t inode;
	uint32_t len; /* of the name */
};
/* A directory's names, sorted; copied on write. */
struct sim_names {
	struct sim_entry *entry;
	size_t count;
	size_t capacity;
	uint32_t *refs; /* of the entries; NULL = not shared */
};

struct sim_inode {
	enum sim_kind kind;
	bool used;
	/* SIM_FILE */
	struct sim_content *cached;
	struct sim_content *durable;
	uint8_t *dirty; /* one byte per block of cached, one bit per sector */
	size_t dirty_blocks;
	size_t dirty_count; /* sectors */
	bool lost;          /* F7: clean sectors differ from the durable ones */
	uint64_t bad;       /* 1 + number of the block that cannot be read, 0 */
	uint64_t *sizes;    /* since the last sync, oldest first */
	size_t size_count;
	/* SIM_DIRECTORY */
	struct sim_names names;
	struct sim_names durable_names;
	/* SIM_LINK */
	char *target;
	uint32_t open_count; /* descriptors: keeps the inode alive */
	bool unlinked;       /* no name leads to it any more */
	bool space_given;    /* its blocks are not counted in used_bytes any more */
};

/* A change of names that is not durable yet. */
struct sim_name_op {
	uint32_t from_dir, to_dir; /* 0 = none: a creation has no from, a removal no to */
	char *from_name, *to_name;
	uint32_t inode;
	bool from_synced, to_synced;
};

struct sim_disk {
	struct sim_inode *inode; /* by number; 0 is unused */
	uint32_t inode_count;
	struct sim_name_op *name_op;
	size_t name_op_count;
	size_t name_op_capacity;
	uint64_t capacity_bytes; /* 0 = no limit */
	uint64_t used_bytes;     /* blocks of cached states */
};

/* ---- operations ------------------------------------------------------------------------------ */
enum sim_op_kind {
	SIM_OP_CREATE, /* file `name` in directory `inode` */
	SIM_OP_MKDIR,
	SIM_OP_SYMLINK, /* `data` is the target */
	SIM_OP_UNLINK,  /* `name` in `inode`, not a directory */
	SIM_OP_RMDIR,
	SIM_OP_RENAME,     /* `name` in `inode` becomes `to_name` in `to_dir` */
	SIM_OP_WRITE,      /* `data` to `inode` at `pos` */
	SIM_OP_TRUNCATE,   /* to size `pos` */
	SIM_OP_ALLOCATE,   /* up to `pos` */
	SIM_OP_SYNC,       /* file or directory `inode` */
	SIM_OP_SYNC_RANGE, /* F10; `len` bytes of the file at `pos` */
	SIM_OP_SYNC_LOST,  /* F7; `pos` seeds which sectors were written */
	SIM_OP_WRITEBACK,  /* sector number `pos` of `inode` */
};
struct sim_op {
	enum sim_op_kind kind;
	uint32_t inode;
	uint32_t to_dir;
	uint64_t pos;
	uint64_t len;
	struct bytes data;
	const char *name;
	const char *to_name;
};

struct sim_disk *sim_disk_new(uint64_t capacity_bytes);
struct sim_disk *sim_disk_clone(const struct sim_disk *disk);
void sim_disk_free(struct sim_disk *disk); /* NULL is allowed */
/*
 * 0 or an errno: ENOENT, EEXIST, ENOTEMPTY, EISDIR, ENOTDIR, ENOSPC, EINVAL. The operation is
 * borrowed.
 */
int sim_disk_apply(struct sim_disk *disk, const struct sim_op *op);
/* The inode under `name` (not NUL-terminated), 0 = none. */
uint32_t sim_disk_lookup(const struct sim_disk *disk, uint32_t dir, struct str name);
/* A descriptor refers to the inode, or no longer does. */
void sim_disk_open(struct sim_disk *disk, uint32_t inode);
void sim_disk_close(struct sim_disk *disk, uint32_t inode);
void sim_disk_close_all(struct sim_disk *disk);
struct sim_inode *sim_disk_inode(struct sim_disk *disk, uint32_t inode);
/* Rot: flips one bit of a file's content, cached and durable. */
void sim_disk_flip(struct sim_disk *disk, uint32_t inode, uint64_t bit);
/* A latent sector error: reads of the block of 4096 bytes with `pos` fail with EIO, until all of it
 * is written in one piece. One of each file at most: the last. */
void sim_disk_spoil(struct sim_disk *disk, uint32_t inode, uint64_t pos);
/* Does a read of [pos, pos + len) fail? */
bool sim_inode_is_bad(const struct sim_inode *n, uint64_t pos, uint64_t len);
/* Forgets inodes that no name, pending change or descriptor refers to. */
void sim_disk_collect(struct sim_disk *disk);

/* ---- power cuts ------------------------------------------------------------------------------ */
enum sim_unit_kind { SIM_UNIT_NAME, SIM_UNIT_SIZE, SIM_UNIT_SECTOR };
struct sim_unit {
	enum sim_unit_kind kind;
	uint32_t inode;
	uint64_t at; /* NAME: index of name_op; SIZE: how many sizes; SECTOR: its number */
};
/*
 * What becomes of a unit. NAME: LOST or KEPT. SIZE: LOST = the durable size, KEPT = the newest, n
 * >= 2 = the (n - 2)th of `sizes`. SECTOR: any.
 */
enum { SIM_LOST = 0, SIM_KEPT = 1, SIM_ZEROS = 2, SIM_GARBAGE = 3, SIM_TORN = 4 };

/* The units of what is not durable, in a malloc'd array. */
struct sim_unit *sim_disk_units(const struct sim_disk *disk, size_t *ret_count);
/*
 * The disk after a cut with these choices, one per unit; `seed` gives garbage and places of
 * tearing.
 */
struct sim_disk *sim_disk_crash(
    const struct sim_disk *disk, const uint32_t *choices, uint64_t seed);
/* The same with choices drawn from `seed`. */
struct sim_disk *sim_disk_crash_random(const struct sim_disk *disk, uint64_t seed);
/*
 * Calls `check` with the disk after each cut that is tried: all subsets of the units when there are
 * at most `exhaustive_max` (<= 16), else none, each one alone, each one missing, prefixes and
 * suffixes (of over 64 units a sample drawn from `seed`); then all kept but one sector that is
 * zeros, garbage or torn, or one size that is older; then `random_count` mixtures drawn from
 * `seed`. `check` borrows the disk; false ends the enumeration. Returns the number of disks tried.
 */
struct sim_crash_plan {
	unsigned exhaustive_max;
	unsigned random_count;
	uint64_t seed;
};
typedef bool (*sim_crash_check)(void *ctx, struct sim_disk *after);
uint64_t sim_disk_each_crash(const struct sim_disk *disk, const struct sim_crash_plan *plan,
    sim_crash_check check, void *ctx);
