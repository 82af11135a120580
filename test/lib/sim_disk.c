/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of a simulated disk and the operations on it; what a power cut makes of it is in
 * sim_crash.c.
 */
#include "test/lib/sim_disk.h"

#include "log/base/prng.h"
#include "test/lib/sim_names.h"
#include "test/lib/xmalloc.h"

#include <errno.h>

/* ---- inodes ---------------------------------------------------------------------------------- */

static uint32_t new_inode(struct sim_disk *d, enum sim_kind kind)
{
	uint32_t number = d->inode_count++;
	/* powers of two, so that the array need not remember its capacity */
	if ((number & (number - 1)) == 0)
		d->inode =
		    xrealloc(d->inode, (number ? (size_t)number * 2 : 1) * sizeof(*d->inode));
	d->inode[number] = (struct sim_inode){.kind = kind, .used = true};
	if (kind == SIM_FILE) {
		d->inode[number].cached = sim_content_new();
		d->inode[number].durable = sim_content_ref(d->inode[number].cached);
	}
	return number;
}

/* The cached blocks of a file that nobody can reach any more are free, whatever is durable. */
static void give_space(struct sim_disk *d, struct sim_inode *n)
{
	if (n->cached && !n->space_given)
		d->used_bytes -= sim_content_blocks(n->cached) * SIM_BLOCK;
	n->space_given = true;
}

static void unlinked(struct sim_disk *d, uint32_t inode)
{
	struct sim_inode *n = &d->inode[inode];
	n->unlinked = true;
	if (n->open_count == 0)
		give_space(d, n);
}

void sim_disk_open(struct sim_disk *d, uint32_t inode)
{
	sim_disk_inode(d, inode)->open_count++;
}

void sim_disk_close(struct sim_disk *d, uint32_t inode)
{
	struct sim_inode *n = sim_disk_inode(d, inode);
	ASSERT(n->open_count > 0);
	if (--n->open_count == 0 && n->unlinked)
		give_space(d, n);
}

static void inode_release(struct sim_disk *d, struct sim_inode *n)
{
	give_space(d, n);
	sim_content_unref(n->cached);
	sim_content_unref(n->durable);
	free(n->dirty);
	free(n->sizes);
	sim_names_release(&n->names);
	sim_names_release(&n->durable_names);
	free(n->target);
	*n = (struct sim_inode){.used = false};
}

struct sim_disk *sim_disk_new(uint64_t capacity_bytes)
{
	struct sim_disk *d = xcalloc(1, sizeof(*d));
	d->capacity_bytes = capacity_bytes;
	new_inode(d, SIM_FILE); /* number 0 names nothing */
	inode_release(d, &d->inode[0]);
	uint32_t root = new_inode(d, SIM_DIRECTORY);
	ASSERT(root == SIM_ROOT);
	return d;
}

void sim_name_op_release(struct sim_name_op *op)
{
	free(op->from_name);
	free(op->to_name);
}

void sim_disk_free(struct sim_disk *d)
{
	if (!d)
		return;
	for (uint32_t i = 0; i < d->inode_count; i++)
		inode_release(d, &d->inode[i]);
	for (size_t i = 0; i < d->name_op_count; i++)
		sim_name_op_release(&d->name_op[i]);
	free(d->name_op);
	free(d->inode);
	free(d);
}

struct sim_inode *sim_disk_inode(struct sim_disk *d, uint32_t inode)
{
	ASSERT(inode < d->inode_count && d->inode[inode].used);
	return &d->inode[inode];
}

static void *duplicate(const void *from, size_t len)
{
	if (!from)
		return NULL;
	void *copy = xmalloc(len);
	memcpy(copy, from, len);
	return copy;
}

static void inode_clone(struct sim_inode *to, struct sim_inode *from)
{
	*to = *from;
	if (from->cached) {
		sim_content_ref(from->cached);
		sim_content_ref(from->durable);
	}
	to->dirty = duplicate(from->dirty, from->dirty_blocks);
	to->sizes = NULL;
	if (from->size_count > 0) {
		size_t capacity = 1; /* as add_size grows it */
		while (capacity < from->size_count)
			capacity *= 2;
		to->sizes = xmalloc(capacity * sizeof(*to->sizes));
		memcpy(to->sizes, from->sizes, from->size_count * sizeof(*to->sizes));
	}
	sim_names_copy(&to->names, &from->names);
	sim_names_copy(&to->durable_names, &from->durable_names);
	to->target = from->target ? xstrdup(from->target) : NULL;
}

struct sim_disk *sim_disk_clone(const struct sim_disk *d)
{
	struct sim_disk *copy = xcalloc(1, sizeof(*copy));
	*copy = *d;
	size_t capacity = 1;
	while (capacity < d->inode_count)
		capacity *= 2;
	copy->inode = xmalloc(capacity * sizeof(*copy->inode));
	for (uint32_t i = 0; i < d->inode_count; i++)
		inode_clone(&copy->inode[i], &d->inode[i]);
	copy->name_op_capacity = d->name_op_count;
	copy->name_op =
	    d->name_op_count ? duplicate(d->name_op, d->name_op_count * sizeof(*d->name_op)) : NULL;
	for (size_t i = 0; i < d->name_op_count; i++) {
		struct sim_name_op *op = &copy->name_op[i];
		op->from_name = op->from_name ? xstrdup(op->from_name) : NULL;
		op->to_name = op->to_name ? xstrdup(op->to_name) : NULL;
	}
	return copy;
}

/* ---- content --------------------------------------------------------------------------------- */

static void add_size(struct sim_inode *n, uint64_t size_bytes)
{
	if (n->size_count > 0 && n->sizes[n->size_count - 1] == size_bytes)
		return;
	if ((n->size_count & (n->size_count - 1)) == 0)
		n->sizes =
		    xrealloc(n->sizes, (n->size_count ? n->size_count * 2 : 1) * sizeof(*n->sizes));
	n->sizes[n->size_count++] = size_bytes;
}

static void mark_dirty(struct sim_inode *n, uint64_t pos, uint64_t len)
{
	if (len == 0)
		return;
	uint64_t last = (pos + len - 1) / SIM_SECTOR;
	size_t blocks = (size_t)(last / SIM_SECTORS_PER_BLOCK) + 1;
	if (blocks > n->dirty_blocks) {
		n->dirty = xrealloc(n->dirty, blocks);
		memset(n->dirty + n->dirty_blocks, 0, blocks - n->dirty_blocks);
		n->dirty_blocks = blocks;
	}
	for (uint64_t s = pos / SIM_SECTOR; s <= last; s++) {
		uint8_t *mask = &n->dirty[s / SIM_SECTORS_PER_BLOCK];
		uint8_t bit = (uint8_t)(1u << s % SIM_SECTORS_PER_BLOCK);
		n->dirty_count += !(*mask & bit);
		*mask |= bit;
	}
}

bool sim_next_dirty(const struct sim_inode *n, uint64_t *sector)
{
	for (uint64_t s = *sector; s / SIM_SECTORS_PER_BLOCK < n->dirty_blocks; s++) {
		uint8_t mask = n->dirty[s / SIM_SECTORS_PER_BLOCK];
		if (mask == 0) {
			s |= SIM_SECTORS_PER_BLOCK - 1;
			continue;
		}
		if (mask & (1u << s % SIM_SECTORS_PER_BLOCK)) {
			*sector = s;
			return true;
		}
	}
	return false;
}

static void clear_dirty(struct sim_inode *n)
{
	if (n->dirty_count > 0)
		memset(n->dirty, 0, n->dirty_blocks);
	n->dirty_count = 0;
	n->size_count = 0;
}

/* The space that `extra` more blocks take: false when there is none. */
static bool take_space(struct sim_disk *d, uint64_t extra_blocks)
{
	uint64_t used = d->used_bytes + extra_blocks * SIM_BLOCK;
	if (d->capacity_bytes > 0 && extra_blocks > 0 && used > d->capacity_bytes)
		return false;
	d->used_bytes = used;
	return true;
}

static int apply_write(struct sim_disk *d, struct sim_inode *n, const struct sim_op *op)
{
	if (op->data.len == 0)
		return 0;
	if (!take_space(d, sim_content_missing(n->cached, op->pos, op->data.len)))
		return ENOSPC;
	uint64_t before = n->cached->size_bytes;
	uint64_t bad = (n->bad - 1) * SIM_BLOCK;
	if (n->bad > 0 && op->pos <= bad && bad + SIM_BLOCK <= op->pos + op->data.len)
		n->bad = 0; /* written to another place by the device */
	sim_content_write(&n->cached, op->data.ptr, op->data.len, op->pos);
	/* a write behind the end dirties what lies between as far as it shares a sector */
	mark_dirty(n, op->pos, op->data.len);
	if (n->cached->size_bytes != before)
		add_size(n, n->cached->size_bytes);
	return 0;
}

static int apply_truncate(struct sim_disk *d, struct sim_inode *n, uint64_t size_bytes)
{
	uint64_t before = n->cached->size_bytes;
	if (size_bytes == before)
		return 0;
	uint64_t blocks = sim_content_blocks(n->cached);
	sim_content_resize(&n->cached, size_bytes);
	d->used_bytes -= (blocks - sim_content_blocks(n->cached)) * SIM_BLOCK;
	if (size_bytes < before)
		mark_dirty(n, size_bytes, before - size_bytes);
	add_size(n, size_bytes);
	return 0;
}

static int apply_allocate(struct sim_disk *d, struct sim_inode *n, uint64_t end)
{
	if (!take_space(d, sim_content_missing(n->cached, 0, end)))
		return ENOSPC;
	sim_content_allocate(&n->cached, end);
	if (end > n->cached->size_bytes) {
		sim_content_own(&n->cached)->size_bytes = end;
		add_size(n, end);
	}
	return 0;
}

static void sync_file(struct sim_inode *n)
{
	uint64_t sector = 0;
	if (!n->lost) {
		sim_content_unref(n->durable);
		n->durable = sim_content_ref(n->cached);
	} else {
		/* what an earlier failed sync lost is not written by this one */
		for (; sim_next_dirty(n, &sector); sector++)
			sim_content_copy_sector(&n->durable, n->cached, sector);
		sim_content_resize(&n->durable, n->cached->size_bytes);
	}
	clear_dirty(n);
}

/* F10 */
static void sync_range(struct sim_inode *n, uint64_t pos, uint64_t len)
{
	uint64_t end = pos + len, kept = n->durable->size_bytes, outside = end / SIM_SECTOR,
	         first = 0;
	bool all = !n->lost && n->size_count == 0 && kept == n->cached->size_bytes &&
	           !sim_next_dirty(n, &outside) &&
	           (!sim_next_dirty(n, &first) || first >= pos / SIM_SECTOR);
	if (all) { /* the same for less */
		sync_file(n);
		return;
	}
	for (uint64_t s = pos / SIM_SECTOR; sim_next_dirty(n, &s) && s * SIM_SECTOR < end; s++) {
		sim_content_copy_sector(&n->durable, n->cached, s);
		n->dirty[s / SIM_SECTORS_PER_BLOCK] &= (uint8_t) ~(1u << s % SIM_SECTORS_PER_BLOCK);
		n->dirty_count--;
	}
	sim_content_own(&n->durable)->size_bytes = kept;
	if (kept < end)
		sim_content_resize(&n->durable, end);
	size_t left = 0;
	for (size_t i = 0; i < n->size_count; i++)
		if (n->sizes[i] > end)
			n->sizes[left++] = n->sizes[i];
	n->size_count = left;
}

static void sync_lost(struct sim_inode *n, uint64_t seed)
{
	struct prng p;
	prng_init(&p, seed);
	uint64_t sector = 0;
	for (; sim_next_dirty(n, &sector); sector++) {
		if (prng_below(&p, 2))
			sim_content_copy_sector(&n->durable, n->cached, sector);
		else
			n->lost = true;
	}
	if (n->size_count > 0) {
		if (prng_below(&p, 2))
			sim_content_resize(&n->durable, n->cached->size_bytes);
		else
			n->lost = true;
	}
	clear_dirty(n);
}

static void write_back(struct sim_inode *n, uint64_t sector)
{
	/* the sector stays dirty: until a sync returns there is no promise */
	uint64_t size = n->durable->size_bytes;
	sim_content_copy_sector(&n->durable, n->cached, sector);
	sim_content_own(&n->durable)->size_bytes = size;
}

void sim_disk_flip(struct sim_disk *d, uint32_t inode, uint64_t bit)
{
	struct sim_inode *n = sim_disk_inode(d, inode);
	struct sim_content **both[] = {&n->cached, &n->durable};
	uint8_t bytes[SIM_SECTOR];
	for (size_t i = 0; i < 2; i++) {
		uint64_t sector = bit / 8 / SIM_SECTOR;
		sim_content_get_sector(*both[i], sector, bytes);
		bytes[bit / 8 % SIM_SECTOR] ^= (uint8_t)(1u << bit % 8);
		sim_content_put_sector(both[i], sector, bytes);
	}
}

void sim_disk_spoil(struct sim_disk *d, uint32_t inode, uint64_t pos)
{
	sim_disk_inode(d, inode)->bad = 1 + pos / SIM_BLOCK;
}

bool sim_inode_is_bad(const struct sim_inode *n, uint64_t pos, uint64_t len)
{
	uint64_t from = (n->bad - 1) * SIM_BLOCK;
	return n->bad > 0 && pos < from + SIM_BLOCK && from < pos + len;
}

/* ---- names ----------------------------------------------------------------------------------- */

uint32_t sim_disk_lookup(const struct sim_disk *d, uint32_t dir, struct str name)
{
	const struct sim_inode *n = &d->inode[dir];
	return n->kind == SIM_DIRECTORY ? sim_names_get(&n->names, name) : 0;
}

static void add_name_op(struct sim_disk *d, struct sim_name_op op)
{
	if (d->name_op_count == d->name_op_capacity) {
		d->name_op_capacity = d->name_op_capacity ? d->name_op_capacity * 2 : 16;
		d->name_op = xrealloc(d->name_op, d->name_op_capacity * sizeof(*d->name_op));
	}
	d->name_op[d->name_op_count++] = op;
}

static int apply_create(struct sim_disk *d, const struct sim_op *op, enum sim_kind kind)
{
	if (sim_disk_lookup(d, op->inode, str_of(op->name)))
		return EEXIST;
	uint32_t inode = new_inode(d, kind);
	if (kind == SIM_LINK) {
		d->inode[inode].target = xcalloc(1, op->data.len + 1);
		memcpy(d->inode[inode].target, op->data.ptr, op->data.len);
	}
	sim_names_put(&sim_disk_inode(d, op->inode)->names, str_of(op->name), inode);
	add_name_op(d, (struct sim_name_op){.to_dir = op->inode,
	                   .to_name = xstrdup(op->name),
	                   .inode = inode,
	                   .from_synced = true});
	return 0;
}

static int apply_remove(struct sim_disk *d, const struct sim_op *op, bool directory)
{
	uint32_t inode = sim_disk_lookup(d, op->inode, str_of(op->name));
	if (!inode)
		return ENOENT;
	const struct sim_inode *n = &d->inode[inode];
	if (directory != (n->kind == SIM_DIRECTORY))
		return directory ? ENOTDIR : EISDIR;
	if (directory && n->names.count > 0)
		return ENOTEMPTY;
	sim_names_remove(&sim_disk_inode(d, op->inode)->names, str_of(op->name));
	unlinked(d, inode);
	add_name_op(d, (struct sim_name_op){.from_dir = op->inode,
	                   .from_name = xstrdup(op->name),
	                   .inode = inode,
	                   .to_synced = true});
	return 0;
}

static int apply_rename(struct sim_disk *d, const struct sim_op *op)
{
	uint32_t inode = sim_disk_lookup(d, op->inode, str_of(op->name));
	uint32_t target = sim_disk_lookup(d, op->to_dir, str_of(op->to_name));
	if (!inode)
		return ENOENT;
	if (inode == target)
		return 0;
	bool directory = d->inode[inode].kind == SIM_DIRECTORY;
	if (target && directory != (d->inode[target].kind == SIM_DIRECTORY))
		return directory ? ENOTDIR : EISDIR;
	if (target && directory && d->inode[target].names.count > 0)
		return ENOTEMPTY;
	if (target)
		unlinked(d, target);
	sim_names_remove(&sim_disk_inode(d, op->inode)->names, str_of(op->name));
	sim_names_put(&sim_disk_inode(d, op->to_dir)->names, str_of(op->to_name), inode);
	add_name_op(d, (struct sim_name_op){.from_dir = op->inode,
	                   .from_name = xstrdup(op->name),
	                   .to_dir = op->to_dir,
	                   .to_name = xstrdup(op->to_name),
	                   .inode = inode});
	return 0;
}

void sim_name_op_commit(struct sim_disk *d, const struct sim_name_op *op)
{
	if (op->from_dir && d->inode[op->from_dir].used) {
		struct sim_names *names = &d->inode[op->from_dir].durable_names;
		if (sim_names_get(names, str_of(op->from_name)) == op->inode)
			sim_names_remove(names, str_of(op->from_name));
	}
	if (op->to_dir && d->inode[op->to_dir].used)
		sim_names_put(&d->inode[op->to_dir].durable_names, str_of(op->to_name), op->inode);
}

/* F4: what concerns this directory alone, or was waiting for it, becomes durable. */
static void sync_directory(struct sim_disk *d, uint32_t dir)
{
	size_t kept = 0;
	for (size_t i = 0; i < d->name_op_count; i++) {
		struct sim_name_op *op = &d->name_op[i];
		op->from_synced |= op->from_dir == dir;
		op->to_synced |= op->to_dir == dir;
		if (op->from_synced && op->to_synced) {
			sim_name_op_commit(d, op);
			sim_name_op_release(op);
		} else {
			d->name_op[kept++] = *op;
		}
	}
	d->name_op_count = kept;
}

/* ---- collecting ------------------------------------------------------------------------------ */

static void reach(const struct sim_disk *d, uint32_t inode, uint8_t *seen)
{
	if (seen[inode] || !d->inode[inode].used)
		return;
	seen[inode] = 1;
	const struct sim_inode *n = &d->inode[inode];
	for (size_t i = 0; i < n->names.count; i++)
		reach(d, n->names.entry[i].inode, seen);
	for (size_t i = 0; i < n->durable_names.count; i++)
		reach(d, n->durable_names.entry[i].inode, seen);
}

void sim_disk_collect(struct sim_disk *d)
{
	uint8_t *seen = xcalloc(d->inode_count, 1);
	reach(d, SIM_ROOT, seen);
	for (size_t i = 0; i < d->name_op_count; i++) {
		const struct sim_name_op *op = &d->name_op[i];
		reach(d, op->inode, seen);
		if (op->from_dir)
			reach(d, op->from_dir, seen);
		if (op->to_dir)
			reach(d, op->to_dir, seen);
	}
	for (uint32_t i = 1; i < d->inode_count; i++) {
		if (d->inode[i].open_count > 0)
			reach(d, i, seen);
	}
	for (uint32_t i = 1; i < d->inode_count; i++) {
		if (!seen[i] && d->inode[i].used)
			inode_release(d, &d->inode[i]);
	}
	free(seen);
}

void sim_disk_close_all(struct sim_disk *d)
{
	for (uint32_t i = 1; i < d->inode_count; i++) {
		struct sim_inode *n = &d->inode[i];
		n->open_count = 0;
		if (n->unlinked)
			give_space(d, n);
	}
	sim_disk_collect(d);
}

/* ---- apply ----------------------------------------------------------------------------------- */

static int apply_to_file(struct sim_disk *d, const struct sim_op *op)
{
	struct sim_inode *n = sim_disk_inode(d, op->inode);
	if (n->kind != SIM_FILE)
		return EISDIR;
	if (op->kind == SIM_OP_WRITE)
		return apply_write(d, n, op);
	if (op->kind == SIM_OP_TRUNCATE)
		return apply_truncate(d, n, op->pos);
	if (op->kind == SIM_OP_ALLOCATE)
		return apply_allocate(d, n, op->pos);
	if (op->kind == SIM_OP_SYNC_RANGE)
		sync_range(n, op->pos, op->len);
	else if (op->kind == SIM_OP_SYNC_LOST)
		sync_lost(n, op->pos);
	else if (op->kind == SIM_OP_WRITEBACK)
		write_back(n, op->pos);
	return 0;
}

int sim_disk_apply(struct sim_disk *d, const struct sim_op *op)
{
	switch (op->kind) {
	case SIM_OP_CREATE:
		return apply_create(d, op, SIM_FILE);
	case SIM_OP_MKDIR:
		return apply_create(d, op, SIM_DIRECTORY);
	case SIM_OP_SYMLINK:
		return apply_create(d, op, SIM_LINK);
	case SIM_OP_UNLINK:
		return apply_remove(d, op, false);
	case SIM_OP_RMDIR:
		return apply_remove(d, op, true);
	case SIM_OP_RENAME:
		return apply_rename(d, op);
	case SIM_OP_SYNC:
		if (sim_disk_inode(d, op->inode)->kind == SIM_DIRECTORY)
			sync_directory(d, op->inode);
		else
			sync_file(sim_disk_inode(d, op->inode));
		return 0;
	case SIM_OP_WRITE:
	case SIM_OP_TRUNCATE:
	case SIM_OP_ALLOCATE:
	case SIM_OP_SYNC_RANGE:
	case SIM_OP_SYNC_LOST:
	case SIM_OP_WRITEBACK:
		break;
	}
	return apply_to_file(d, op);
}
