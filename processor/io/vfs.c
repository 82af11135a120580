/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SQLite VFS over the I/O seam, see vfs.h.
 *
 * One `struct node` per path that is open in this process: its descriptor is shared by all handles,
 * because closing any descriptor of a file drops this process's fcntl locks on it. For the same
 * reason a node's descriptor is closed, and a node looked up, under the VFS's mutex, and after the
 * handle of SQLite's own VFS (`under`) that holds the locks.
 *
 *     handle -> node -> seam descriptor      data of the database, its write-ahead log and journal
 *            -> under (database only)        locks and shared memory, by SQLite's default VFS; sim:
 * node->locks
 */
#include "processor/io/vfs.h"
#include "processor/io/vfs_lock.h"
#include <stdio.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

struct node {
	struct list_node link;
	char *path;
	int fd;
	uint32_t refs;
	bool created; /* its directory entry is not yet durable */
	struct vfs_locks locks;
};

struct vfs {
	sqlite3_vfs base; /* pAppData = this */
	struct io *io;
	sqlite3_vfs *under; /* NULL: locks and shared memory are in memory */
	struct mutex mutex; /* protects nodes and their locks */
	struct list nodes;
	char name[40];
};

struct handle {
	sqlite3_file base; /* first: SQLite's view */
	struct vfs *vfs;
	struct node *node;
	sqlite3_file *under;
	struct vfs_holder holder;
	uint64_t stamp;
	bool database;
	uint8_t *page; /* scratch: a page with its checksum */
};

static struct handle *handle_of(sqlite3_file *f)
{
	return (struct handle *)(void *)f;
}

static struct vfs *vfs_of(sqlite3_vfs *v)
{
	return (struct vfs *)v->pAppData;
}

static int sqlite_code(enum err err, int other)
{
	if (err == ERR_OK)
		return SQLITE_OK;
	if (err == ERR_NOSPACE)
		return SQLITE_FULL;
	return err == ERR_NOMEM ? SQLITE_IOERR_NOMEM : other;
}

/* ---- pages ----------------------------------------------------------------------------------- */

static uint64_t page_hash(const uint8_t *page, uint64_t pos)
{
	return XXH3_64bits_withSeed(page, VFS_PAGE_BYTES - 8, pos);
}

static void page_seal(uint8_t *page, uint64_t pos, uint64_t stamp)
{
	put_u64_le(page + VFS_PAGE_BYTES - 16, stamp);
	put_u64_le(page + VFS_PAGE_BYTES - 8, page_hash(page, pos));
}

static bool page_is_zero(const uint8_t *page)
{
	return page[0] == 0 && memcmp(page, page + 1, VFS_PAGE_BYTES - 1) == 0;
}

static bool page_verifies(const uint8_t *page, uint64_t pos)
{
	return get_u64_le(page + VFS_PAGE_BYTES - 8) == page_hash(page, pos) || page_is_zero(page);
}

enum err vfs_verify(struct io *io, const char *path, struct vfs_verdict *ret_verdict)
{
	struct vfs_verdict v = {0};
	enum { CHUNK = 64 };
	int fd;
	TRY(io_open(io, path, IO_READONLY, &fd));
	uint8_t *buf = mem_alloc(CHUNK * VFS_PAGE_BYTES);
	enum err err = buf ? ERR_OK : ERR_NOMEM;
	size_t len = CHUNK * VFS_PAGE_BYTES;
	while (err == ERR_OK && len == CHUNK * VFS_PAGE_BYTES) {
		err = io_pread(io, fd, buf, CHUNK * VFS_PAGE_BYTES, v.pages * VFS_PAGE_BYTES, &len);
		for (size_t at = 0; err == ERR_OK && at < len; at += VFS_PAGE_BYTES) {
			uint64_t pos = v.pages++ * VFS_PAGE_BYTES;
			if (len - at < VFS_PAGE_BYTES || !page_verifies(buf + at, pos)) {
				v.bad_page = v.pages;
				err = err_note(ERR_CORRUPT, "%s: page %llu does not verify", path,
				    (unsigned long long)v.pages);
				break;
			}
			uint64_t stamp = get_u64_le(buf + at + VFS_PAGE_BYTES - 16);
			v.max_stamp = stamp > v.max_stamp ? stamp : v.max_stamp;
		}
	}
	mem_free(buf);
	enum err close_err = io_close(io, fd);
	*ret_verdict = v;
	return err ? err : close_err;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static struct node *node_find(struct vfs *v, const char *path)
{
	LIST_EACH (&v->nodes, link, next) {
		struct node *n = CONTAINER_OF(link, struct node, link);
		if (strcmp(n->path, path) == 0)
			return n;
	}
	return NULL;
}

static enum err node_new(struct vfs *v, const char *path, unsigned io_flags, struct node **ret_node)
{
	struct io_stat st;
	bool exists = io_stat(v->io, path, &st) == ERR_OK;
	err_clear();
	struct node *n = mem_calloc(1, sizeof(*n));
	char *copy = mem_strdup(str_of(path));
	enum err err = n && copy ? io_open(v->io, path, io_flags, &n->fd) : ERR_NOMEM;
	if (err) {
		mem_free(n);
		mem_free(copy);
		return err;
	}
	n->path = copy;
	n->created = !exists;
	n->refs = 1;
	list_push_back(&v->nodes, &n->link);
	*ret_node = n;
	return ERR_OK;
}

static enum err node_ref(struct vfs *v, const char *path, unsigned io_flags, struct node **ret_node)
{
	mutex_lock(&v->mutex);
	struct node *n = node_find(v, path);
	enum err err = ERR_OK;
	if (n)
		n->refs++;
	else
		err = node_new(v, path, io_flags, &n);
	mutex_unlock(&v->mutex);
	if (err == ERR_OK)
		*ret_node = n;
	return err;
}

static enum err node_unref(struct vfs *v, struct node *n)
{
	enum err err = ERR_OK;
	mutex_lock(&v->mutex);
	ASSERT(n->refs > 0);
	if (--n->refs == 0) {
		list_remove(&n->link);
		err = io_close(v->io, n->fd);
		vfs_locks_release(&n->locks);
		mem_free(n->path);
		mem_free(n);
	}
	mutex_unlock(&v->mutex);
	return err;
}

/* The directory of `path` into buf; "." when it has none. */
static enum err sync_directory(struct vfs *v, const char *path)
{
	const char *slash = strrchr(path, '/');
	if (!slash)
		return io_fsync_dir(v->io, ".");
	char *dir = mem_strdup(str_from(path, slash == path ? 1 : (size_t)(slash - path)));
	if (!dir)
		return ERR_NOMEM;
	enum err err = io_fsync_dir(v->io, dir);
	mem_free(dir);
	return err;
}

/* ---- file methods ---------------------------------------------------------------------------- */

static int file_close(sqlite3_file *f)
{
	struct handle *h = handle_of(f);
	struct vfs *v = h->vfs;
	if (h->under) {
		if (h->under->pMethods)
			(void)h->under->pMethods->xClose(h->under);
		mem_free(h->under);
	} else {
		mutex_lock(&v->mutex);
		(void)vfs_unlock(&h->node->locks, &h->holder, SQLITE_LOCK_NONE);
		vfs_shm_drop(&h->node->locks, &h->holder);
		mutex_unlock(&v->mutex);
	}
	mem_free(h->page);
	enum err err = node_unref(v, h->node);
	h->base.pMethods = NULL;
	return sqlite_code(err, SQLITE_IOERR_CLOSE);
}

/* Reads the page that holds [pos, pos + len) and hands out that part of it, once it verifies. */
static int read_page(struct handle *h, uint8_t *out, size_t len, uint64_t pos)
{
	uint64_t page_pos = pos - pos % VFS_PAGE_BYTES;
	size_t within = (size_t)(pos - page_pos), got;
	uint8_t *page = len == VFS_PAGE_BYTES ? out : h->page;
	enum err err = io_pread(h->vfs->io, h->node->fd, page, VFS_PAGE_BYTES, page_pos, &got);
	if (err)
		return sqlite_code(err, SQLITE_IOERR_READ);
	if (got == 0) {
		memset(out, 0, len);
		return SQLITE_IOERR_SHORT_READ;
	}
	if (got < VFS_PAGE_BYTES || !page_verifies(page, page_pos)) {
		diag(DIAG_ERROR, "view_page_corrupt", "file=%s page=%llu", h->node->path,
		    (unsigned long long)(page_pos / VFS_PAGE_BYTES + 1));
		return SQLITE_IOERR_DATA;
	}
	if (page != out)
		memcpy(out, page + within, len);
	return SQLITE_OK;
}

static int file_read(sqlite3_file *f, void *buf, int amount, sqlite3_int64 pos)
{
	struct handle *h = handle_of(f);
	size_t len = (size_t)amount, got;
	uint64_t at = (uint64_t)pos;
	if (h->database) {
		if (at % VFS_PAGE_BYTES + len > VFS_PAGE_BYTES)
			return SQLITE_IOERR_DATA; /* a page size that is not ours: the header lies
			                           */
		return read_page(h, buf, len, at);
	}
	enum err err = io_pread(h->vfs->io, h->node->fd, buf, len, at, &got);
	if (err)
		return sqlite_code(err, SQLITE_IOERR_READ);
	if (got == len)
		return SQLITE_OK;
	memset((uint8_t *)buf + got, 0, len - got);
	return SQLITE_IOERR_SHORT_READ;
}

static int file_write(sqlite3_file *f, const void *buf, int amount, sqlite3_int64 pos)
{
	struct handle *h = handle_of(f);
	const void *from = buf;
	if (h->database) {
		if (amount != VFS_PAGE_BYTES || pos % VFS_PAGE_BYTES != 0)
			return SQLITE_IOERR_WRITE;
		memcpy(h->page, buf, VFS_PAGE_BYTES);
		page_seal(h->page, (uint64_t)pos, h->stamp);
		from = h->page;
	}
	enum err err = io_pwrite(h->vfs->io, h->node->fd, from, (size_t)amount, (uint64_t)pos);
	return sqlite_code(err, SQLITE_IOERR_WRITE);
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	struct handle *h = handle_of(f);
	return sqlite_code(
	    io_truncate(h->vfs->io, h->node->fd, (uint64_t)size), SQLITE_IOERR_TRUNCATE);
}

static int file_sync(sqlite3_file *f, int flags)
{
	(void)flags;
	struct handle *h = handle_of(f);
	enum err err = io_fdatasync(h->vfs->io, h->node->fd);
	if (err)
		return sqlite_code(err, SQLITE_IOERR_FSYNC);
	if (!h->node->created)
		return SQLITE_OK;
	err = sync_directory(h->vfs, h->node->path);
	if (err == ERR_OK)
		h->node->created = false;
	return sqlite_code(err, SQLITE_IOERR_DIR_FSYNC);
}

static int file_size(sqlite3_file *f, sqlite3_int64 *ret_size)
{
	struct handle *h = handle_of(f);
	struct io_stat st;
	enum err err = io_fstat(h->vfs->io, h->node->fd, &st);
	if (err == ERR_OK)
		*ret_size = (sqlite3_int64)st.size_bytes;
	return sqlite_code(err, SQLITE_IOERR_FSTAT);
}

static int file_lock(sqlite3_file *f, int level)
{
	struct handle *h = handle_of(f);
	if (h->under)
		return h->under->pMethods->xLock(h->under, level);
	mutex_lock(&h->vfs->mutex);
	int rc = vfs_lock(&h->node->locks, &h->holder, level);
	mutex_unlock(&h->vfs->mutex);
	return rc;
}

static int file_unlock(sqlite3_file *f, int level)
{
	struct handle *h = handle_of(f);
	if (h->under)
		return h->under->pMethods->xUnlock(h->under, level);
	mutex_lock(&h->vfs->mutex);
	int rc = vfs_unlock(&h->node->locks, &h->holder, level);
	mutex_unlock(&h->vfs->mutex);
	return rc;
}

static int file_check_reserved(sqlite3_file *f, int *ret_reserved)
{
	struct handle *h = handle_of(f);
	if (h->under)
		return h->under->pMethods->xCheckReservedLock(h->under, ret_reserved);
	mutex_lock(&h->vfs->mutex);
	*ret_reserved = h->node->locks.reserved != NULL;
	mutex_unlock(&h->vfs->mutex);
	return SQLITE_OK;
}

static int file_control(sqlite3_file *f, int op, void *arg)
{
	struct handle *h = handle_of(f);
	switch (op) {
	case VFS_FCNTL_STAMP:
		memcpy(&h->stamp, arg, sizeof(h->stamp));
		return SQLITE_OK;
	case SQLITE_FCNTL_LOCKSTATE:
	case SQLITE_FCNTL_HAS_MOVED:
	case SQLITE_FCNTL_LAST_ERRNO:
		return h->under ? h->under->pMethods->xFileControl(h->under, op, arg)
		                : SQLITE_NOTFOUND;
	default:
		return SQLITE_NOTFOUND;
	}
}

static int file_sector_size(sqlite3_file *f)
{
	(void)f;
	return 4096;
}

static int file_characteristics(sqlite3_file *f)
{
	(void)f;
	return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static int file_shm_map(sqlite3_file *f, int region, int bytes, int extend, void volatile **ret_ptr)
{
	struct handle *h = handle_of(f);
	if (h->under)
		return h->under->pMethods->xShmMap(h->under, region, bytes, extend, ret_ptr);
	mutex_lock(&h->vfs->mutex);
	int rc = vfs_shm_map(&h->node->locks, region, bytes, extend, ret_ptr);
	mutex_unlock(&h->vfs->mutex);
	return rc;
}

static int file_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
	struct handle *h = handle_of(f);
	if (h->under)
		return h->under->pMethods->xShmLock(h->under, offset, n, flags);
	mutex_lock(&h->vfs->mutex);
	int rc = vfs_shm_lock(&h->node->locks, &h->holder, offset, n, flags);
	mutex_unlock(&h->vfs->mutex);
	return rc;
}

static void file_shm_barrier(sqlite3_file *f)
{
	struct handle *h = handle_of(f);
	if (h->under) {
		h->under->pMethods->xShmBarrier(h->under);
		return;
	}
	mutex_lock(&h->vfs->mutex); /* a lock and its release order memory between threads */
	mutex_unlock(&h->vfs->mutex);
}

static int file_shm_unmap(sqlite3_file *f, int delete)
{
	struct handle *h = handle_of(f);
	if (h->under)
		return h->under->pMethods->xShmUnmap(h->under, delete);
	mutex_lock(&h->vfs->mutex);
	vfs_shm_drop(&h->node->locks, &h->holder);
	mutex_unlock(&h->vfs->mutex);
	return SQLITE_OK;
}

static const sqlite3_io_methods file_methods = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
    .xShmMap = file_shm_map,
    .xShmLock = file_shm_lock,
    .xShmBarrier = file_shm_barrier,
    .xShmUnmap = file_shm_unmap,
};

/* ---- VFS methods ----------------------------------------------------------------------------- */

/* Opens SQLite's own handle on the database, for its locks. */
static int open_under(struct handle *h, sqlite3_filename path, int flags)
{
	sqlite3_vfs *under = h->vfs->under;
	h->under = mem_calloc(1, (size_t)under->szOsFile);
	if (!h->under)
		return SQLITE_NOMEM;
	int out = 0;
	return under->xOpen(under, path, h->under, flags, &out);
}

static int vfs_open_file(
    sqlite3_vfs *base, sqlite3_filename path, sqlite3_file *f, int flags, int *ret_flags)
{
	struct vfs *v = vfs_of(base);
	struct handle *h = handle_of(f);
	*h = (struct handle){.vfs = v, .database = (flags & SQLITE_OPEN_MAIN_DB) != 0};
	if (!path) /* temporary files: connections keep theirs in memory */
		return SQLITE_CANTOPEN;
	unsigned io_flags = (flags & SQLITE_OPEN_CREATE ? IO_CREATE : 0u) |
	                    (flags & SQLITE_OPEN_EXCLUSIVE ? IO_EXCLUSIVE : 0u) |
	                    (flags & SQLITE_OPEN_READONLY ? IO_READONLY : 0u);
	if (h->database) { /* read-only connections need to write the shared memory, and share the
		              descriptor */
		io_flags &= ~(unsigned)IO_READONLY;
		h->page = mem_alloc(VFS_PAGE_BYTES);
		if (!h->page)
			return SQLITE_NOMEM;
	}
	enum err err = node_ref(v, path, io_flags, &h->node);
	if (err) {
		mem_free(h->page);
		return sqlite_code(err, SQLITE_CANTOPEN);
	}
	int rc = h->database && v->under ? open_under(h, path, flags) : SQLITE_OK;
	h->base.pMethods = &file_methods;
	if (rc != SQLITE_OK) {
		(void)file_close(f);
		return rc;
	}
	if (ret_flags)
		*ret_flags = flags;
	return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *base, const char *path, int sync)
{
	struct vfs *v = vfs_of(base);
	enum err err = io_unlink(v->io, path);
	if (err == ERR_NOT_FOUND)
		return SQLITE_IOERR_DELETE_NOENT;
	if (err == ERR_OK && sync)
		err = sync_directory(v, path);
	return sqlite_code(err, SQLITE_IOERR_DELETE);
}

static int vfs_access(sqlite3_vfs *base, const char *path, int flags, int *ret_found)
{
	struct io_stat st;
	enum err err = io_stat(vfs_of(base)->io, path, &st);
	err_clear();
	*ret_found = err == ERR_OK &&
	             (flags != SQLITE_ACCESS_EXISTS || st.is_directory || st.size_bytes > 0);
	return SQLITE_OK;
}

static int vfs_full_path(sqlite3_vfs *base, const char *path, int len, char *out)
{
	struct vfs *v = vfs_of(base);
	if (v->under)
		return v->under->xFullPathname(v->under, path, len, out);
	return snprintf(out, (size_t)len, "%s", path) < len ? SQLITE_OK : SQLITE_CANTOPEN;
}

static int vfs_random(sqlite3_vfs *base, int len, char *out)
{
	io_random(vfs_of(base)->io, out, (size_t)len);
	return len;
}

static int vfs_sleep(sqlite3_vfs *base, int us)
{
	io_sleep_ns(vfs_of(base)->io, us * US_NS);
	return us;
}

static int vfs_now_ms(sqlite3_vfs *base, sqlite3_int64 *ret_ms)
{
	const int64_t julian_epoch_ms = 210866760000000; /* 1970-01-01 in Julian milliseconds */
	*ret_ms = julian_epoch_ms + io_clock_ns(vfs_of(base)->io, IO_CLOCK_REALTIME) / MS_NS;
	return SQLITE_OK;
}

static int vfs_now(sqlite3_vfs *base, double *ret_days)
{
	sqlite3_int64 ms;
	(void)vfs_now_ms(base, &ms);
	*ret_days = (double)ms / 86400000.0;
	return SQLITE_OK;
}

static int vfs_last_error(sqlite3_vfs *base, int len, char *out)
{
	(void)base, (void)len, (void)out;
	return 0;
}

enum err vfs_new(struct io *io, struct vfs **ret_vfs)
{
	static struct shared_u64 serial;
	struct vfs *v = mem_calloc(1, sizeof(*v));
	if (!v)
		return ERR_NOMEM;
	v->io = io;
	v->under = strcmp(io_name(io), "sim") == 0 ? NULL : sqlite3_vfs_find("unix");
	if (!v->under && strcmp(io_name(io), "sim") != 0) {
		mem_free(v);
		return err_note(ERR_UNSUPPORTED, "this SQLite has no 'unix' VFS");
	}
	mutex_init(&v->mutex);
	list_init(&v->nodes);
	(void)snprintf(
	    v->name, sizeof(v->name), "kappa-%llu", (unsigned long long)shared_add(&serial, 1));
	v->base = (sqlite3_vfs){.iVersion = 2,
	    .szOsFile = sizeof(struct handle),
	    .mxPathname = 1024,
	    .zName = v->name,
	    .pAppData = v,
	    .xOpen = vfs_open_file,
	    .xDelete = vfs_delete,
	    .xAccess = vfs_access,
	    .xFullPathname = vfs_full_path,
	    .xRandomness = vfs_random,
	    .xSleep = vfs_sleep,
	    .xCurrentTime = vfs_now,
	    .xGetLastError = vfs_last_error,
	    .xCurrentTimeInt64 = vfs_now_ms};
	if (sqlite3_vfs_register(&v->base, 0) != SQLITE_OK) {
		mutex_release(&v->mutex);
		mem_free(v);
		return ERR_NOMEM;
	}
	*ret_vfs = v;
	return ERR_OK;
}

void vfs_free(struct vfs *v)
{
	if (!v)
		return;
	ASSERT(list_empty(&v->nodes));
	(void)sqlite3_vfs_unregister(&v->base);
	mutex_release(&v->mutex);
	mem_free(v);
}

const char *vfs_name(const struct vfs *v)
{
	return v->name;
}
