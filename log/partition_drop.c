/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking away: segments below the log start, and whole partitions. Nothing is unlinked on the loop,
 * and nothing that a lease or a read in flight holds: a segment that is GONE is unlinked by whoever
 * lets go of it last.
 *
 * A deleted partition's directory is renamed to trash/ first, so that its name is free, and emptied
 * behind.
 */
#include "log/engine.h"
#include "log/partition_drop.h"
#include "log/recovery.h"
#include <stdio.h>

/* ---- one segment ----------------------------------------------------------------------------- */

/* One at a time, oldest first. */
struct segment_drop {
	struct list_node node; /* log->dropping */
	struct pool_job job;
	struct log *log;
	struct log_partition *p; /* the segment's reference */
	struct segment *segment;
	char dir[LOG_PATH_MAX];
};

/* Cuts a file piece by piece before unlinking it: freeing a gigabyte at once stops the file system
 * for long. */
static enum err unlink_piecemeal(struct io *io, const char *path)
{
	enum { PIECE_MIB = 64 };
	struct io_stat st;
	int fd;
	TRY(io_open(io, path, 0, &fd));
	enum err e = io_fstat(io, fd, &st);
	/* the name first: a segment that is half gone must not be found by a start */
	if (e == ERR_OK)
		e = io_unlink(io, path);
	uint64_t size = e == ERR_OK ? st.size_bytes : 0;
	while (e == ERR_OK && size > PIECE_MIB * MIB) {
		size -= PIECE_MIB * MIB;
		e = io_truncate(io, fd, size);
	}
	enum err closed = io_close(io, fd);
	return e == ERR_OK ? closed : e;
}

static void drop_run(struct pool_job *job)
{
	struct segment_drop *d = CONTAINER_OF(job, struct segment_drop, job);
	char path[LOG_PATH_MAX + SEGMENT_NAME_BYTES], names[3][SEGMENT_NAME_BYTES];
	segment_name(d->segment->base_offset, ".snap", names[0]);
	segment_file_name(d->segment, ".idx", names[1]);
	segment_file_name(d->segment, ".log", names[2]);
	for (size_t i = d->segment->keep_snap ? 1 : 0; i < 3; i++) {
		err_clear();
		snprintf(path, sizeof(path), "%s/%s", d->dir, names[i]);
		enum err e = unlink_piecemeal(d->log->io, path);
		if (e != ERR_OK && e != ERR_NOT_FOUND)
			diag(
			    DIAG_WARN, "segment_unlink", "path=%s error=\"%s\"", path, err_chain());
	}
	/* No start needs it: what comes back is below the log start, or a generation has taken its
	 * place. But space that was given back is not taken again by a power cut. */
	if (io_fsync_dir(d->log->io, d->dir) != ERR_OK)
		diag(DIAG_WARN, "segment_unlink", "dir=%s error=\"%s\"", d->dir, err_chain());
}

static void drop_done(struct pool_job *job);

static void drop_next(struct log *log)
{
	struct list_node *n = list_first(&log->dropping);
	if (!n || log->drop_busy)
		return;
	struct segment_drop *d = CONTAINER_OF(n, struct segment_drop, node);
	d->job = (struct pool_job){.run = drop_run, .done = drop_done};
	log->drop_busy = pool_submit(log->loop, &d->job) == ERR_OK;
	if (!log->drop_busy)
		drop_done(
		    &d->job); /* the files stay; the next start drops them, below the log start */
}

static void drop_done(struct pool_job *job)
{
	struct segment_drop *d = CONTAINER_OF(job, struct segment_drop, job);
	struct log *log = d->log;
	list_remove(&d->node);
	segment_free(d->segment);
	partition_name_release(d->p);
	partition_unref(d->p);
	mem_free(d);
	log->drops--;
	log->drop_busy = false;
	drop_next(log);
}

/* The segment is out of its partition's list, held by nobody and not dirty. */
static void segment_drop(struct segment *s)
{
	struct log_partition *p = s->partition;
	struct segment_drop *d = NULL;
	ASSERT(s->gone && s->holds == 0 && !s->dirty);
	descriptor_discard(&s->file);
	descriptor_discard(&s->direct);
	descriptor_discard(&s->index_file);
	if (p->state == PARTITION_OPEN) /* else it went to the trash with its directory */
		d = mem_calloc(1, sizeof(*d));
	if (!d || engine_path(p->log, d->dir, "topics/%s", p->dir) != ERR_OK) {
		mem_free(d); /* the files stay; the next start drops them, below the log start */
		segment_free(s);
		partition_unref(p);
		return;
	}
	d->log = p->log;
	d->p = p;
	d->segment = s;
	list_push_back(&p->log->dropping, &d->node);
	p->log->drops++;
	partition_name_hold(p);
	drop_next(p->log);
}

void segment_unhold(struct segment *s)
{
	ASSERT(s->holds > 0);
	s->holds--;
	if (s->gone && s->holds == 0 && !s->dirty)
		segment_drop(s);
}

void segment_flushed(struct segment *s)
{
	ASSERT(!s->dirty);
	if (s->gone && s->holds == 0)
		segment_drop(s);
}

static void segment_remove(struct segment *s)
{
	struct log_partition *p = s->partition;
	list_remove(&s->node);
	p->segment_count--;
	p->size_bytes -= s->size;
	for (size_t i = 0; i < sizeof(p->cursors) / sizeof(p->cursors[0]); i++)
		if (p->cursors[i].segment == s)
			p->cursors[i].segment = NULL;
	ahead_forget(&p->log->ahead, s);
	s->gone = true;
	partition_ref(p); /* a segment out of the list keeps its partition */
	if (s->holds == 0 && !s->dirty)
		segment_drop(s);
}

void partition_swap_begin(
    struct log_partition *p, struct segment *s, const struct segment *first_old)
{
	struct list_node *at = p->segments.head.next;
	/* what retention took meanwhile is out of the list: then the new one is the first */
	for (struct list_node *n = at; n != &p->segments.head; n = n->next)
		if (CONTAINER_OF(n, struct segment, node)->base_offset < first_old->base_offset)
			at = n->next;
	list_insert_before(at, &s->node);
	p->segment_count++;
	p->size_bytes += s->size;
	p->order.stale = true;
}

void partition_swap_out(struct segment *old, const struct segment *s)
{
	if (old->gone)
		return;
	old->keep_snap = old->base_offset == s->base_offset;
	segment_remove(old);
}

void partition_skip(struct log_partition *p, int64_t offset)
{
	LIST_EACH (&p->segments, n, next) {
		struct segment *s = CONTAINER_OF(n, struct segment, node);
		if (!s->sealed || s->end_offset > offset || s->frames_pending)
			break; /* the active one stays: it carries on the offsets */
		segment_remove(s);
	}
}

void partition_trim(struct log_partition *p, int64_t offset)
{
	loop_assert_owner(p->log->loop);
	if (offset <= p->log_start)
		return;
	ASSERT(offset <= p->durable_end);
	p->log_start = offset;
	if (!p->frozen) /* else when the roll is through */
		txns_prune(&p->txns, offset);
	partition_skip(p, offset);
	if (p->max_timestamp_offset < offset)
		partition_latest(p);
	partition_changed(p);
}

/* ---- a whole partition ----------------------------------------------------------------------- */

static const char *trash_id(struct partition_key key, char *buf)
{
	for (int i = 0; i < 16; i++)
		snprintf(buf + 2 * i, 3, "%02x", key.topic_id.b[i]);
	return buf;
}

/* What was renamed stays so. */
static enum err trash_sync(struct io *io, const struct log *log)
{
	char parent[LOG_PATH_MAX];
	TRY(engine_path(log, parent, "trash"));
	TRY(io_fsync_dir(io, parent));
	TRY(engine_path(log, parent, "topics"));
	return io_fsync_dir(io, parent);
}

static enum err trash_rename(struct io *io, const struct log *log, const char *dir,
    struct partition_key key, char *ret_trash)
{
	char from[LOG_PATH_MAX], id[33];
	TRY(engine_path(log, from, "topics/%s", dir));
	TRY(engine_path(log, ret_trash, "trash"));
	enum err e = io_mkdir(io, ret_trash);
	if (e != ERR_OK && e != ERR_EXISTS)
		return e;
	if (e == ERR_OK)
		TRY(io_fsync_dir(io, log->data_dir));
	TRY(engine_path(log, ret_trash, "trash/%s-%d", trash_id(key, id), key.partition));
	e = io_rename(io, from, ret_trash);
	if (e != ERR_OK)
		return e == ERR_NOT_FOUND ? ERR_OK : e;
	return trash_sync(io, log);
}

static enum err trash_empty_one(struct io *io, const char *dir)
{
	struct io_names names;
	enum err e = io_list(io, dir, &names);
	if (e != ERR_OK)
		return e == ERR_NOT_FOUND ? ERR_OK : e;
	for (size_t i = 0; i < names.count && e == ERR_OK; i++) {
		char path[LOG_PATH_MAX + 512];
		snprintf(path, sizeof(path), "%s/%s", dir, names.name[i]);
		e = unlink_piecemeal(io, path);
	}
	io_names_release(&names);
	return e == ERR_OK ? io_rmdir(io, dir) : e;
}

struct trash_empty {
	struct pool_job job;
	struct log *log;
	char dir[LOG_PATH_MAX];
};

static void trash_run(struct pool_job *job)
{
	struct trash_empty *t = CONTAINER_OF(job, struct trash_empty, job);
	err_clear();
	if (trash_empty_one(t->log->io, t->dir) != ERR_OK)
		diag(DIAG_WARN, "trash", "dir=%s error=\"%s\"", t->dir, err_chain());
}

static void trash_done(struct pool_job *job)
{
	struct trash_empty *t = CONTAINER_OF(job, struct trash_empty, job);
	t->log->drops--;
	mem_free(t);
}

/* Empties one directory of trash/ behind; what cannot be done now is done at the next start. */
static void trash_empty(struct log *log, const char *dir)
{
	struct trash_empty *t = mem_calloc(1, sizeof(*t));
	if (!t)
		return;
	*t = (struct trash_empty){.job = {.run = trash_run, .done = trash_done}, .log = log};
	snprintf(t->dir, sizeof(t->dir), "%s", dir);
	if (pool_submit(log->loop, &t->job) != ERR_OK) {
		mem_free(t);
		return;
	}
	log->drops++;
}

/* As trash_rename makes them: "<topic id, 32 digits>-<partition>". */
static bool trash_name(const char *name)
{
	int64_t partition;
	size_t digits = strspn(name, "0123456789abcdef");
	return digits == 32 && name[32] == '-' && name[33] >= '0' && name[33] <= '9' &&
	       str_to_i64(str_of(name + 33), &partition) && partition < TOPIC_PARTITIONS_MAX;
}

void trash_start(struct log *log)
{
	char dir[LOG_PATH_MAX], path[LOG_PATH_MAX], quoted[300];
	struct io_names names;
	err_clear();
	enum err e = engine_path(log, dir, "trash");
	if (e == ERR_OK)
		e = io_list(log->io, dir, &names);
	if (e != ERR_OK && e != ERR_NOT_FOUND)
		diag(DIAG_WARN, "trash", "dir=%s error=\"%s\"", dir, err_chain());
	err_clear();
	if (e != ERR_OK)
		return;
	for (size_t i = 0; i < names.count; i++) {
		if (!trash_name(names.name[i]))
			diag(DIAG_WARN, "trash_foreign", "name=%s what=\"left alone\"",
			    diag_quote(quoted, sizeof(quoted), str_of(names.name[i])));
		else if (engine_path(log, path, "trash/%s", names.name[i]) == ERR_OK)
			trash_empty(log, path);
	}
	io_names_release(&names);
}

static void delete_run(struct pool_job *job)
{
	struct partition_delete_req *req = CONTAINER_OF(job, struct partition_delete_req, job);
	struct log_partition *p = req->partition;
	char trash[LOG_PATH_MAX];
	/* twice: a directory that stays keeps its name from the next topic until a start */
	req->err = p->dir_exists ? ERR_AGAIN : ERR_OK;
	for (int tries = 0; tries < 2 && req->err != ERR_OK; tries++) {
		err_clear();
		req->err = trash_rename(p->log->io, p->log, p->dir, p->key, trash);
		if (req->err != ERR_OK)
			diag(DIAG_ERROR, "topic_delete", "partition=%s error=\"%s\"", p->dir,
			    err_chain());
	}
}

static void delete_done(struct pool_job *job)
{
	struct partition_delete_req *req = CONTAINER_OF(job, struct partition_delete_req, job);
	struct log_partition *p = req->partition;
	struct log *log = p->log;
	LIST_EACH (&p->segments, n, next) {
		struct segment *s = CONTAINER_OF(n, struct segment, node);
		segment_remove(s);
	}
	char path[LOG_PATH_MAX], id[33];
	if (req->err == ERR_OK && p->dir_exists &&
	    engine_path(log, path, "trash/%s-%d", trash_id(p->key, id), p->key.partition) == ERR_OK)
		trash_empty(log, path);
	partition_unregister(p);
	partition_unref(p); /* the map's */
	req->done(req);
}

static void delete_deferred(struct mail *mail)
{
	delete_done(CONTAINER_OF(mail, struct pool_job, mail));
}

void partition_name_hold(struct log_partition *p)
{
	loop_assert_owner(p->log->loop);
	p->name_holds++;
}

void partition_name_release(struct log_partition *p)
{
	ASSERT(p->name_holds > 0);
	p->name_holds--;
	partition_delete_ready(p);
}

void partition_delete_ready(struct log_partition *p)
{
	struct partition_delete_req *req = p->deleting;
	if (!req || p->tasks != 0 || p->queued > 0 || p->frames_pending > 0 || p->name_holds > 0)
		return;
	p->deleting = NULL;
	req->job = (struct pool_job){.run = delete_run, .done = delete_done};
	if (pool_submit(p->log->loop, &req->job) != ERR_OK) {
		/* The pool's queue is full: rename here rather than leave a deleted topic under its
		 * name. */
		delete_run(&req->job);
		req->job.mail.run = delete_deferred;
		loop_defer(p->log->loop, &req->job.mail);
	}
}

void partition_delete(struct log *log, struct partition_delete_req *req)
{
	struct log_partition *p = req->partition;
	loop_assert_owner(log->loop);
	ASSERT(p->state == PARTITION_OPEN && !p->deleting);
	p->state = PARTITION_DELETED;
	if (list_linked(&p->txn_node)) {
		list_remove(&p->txn_node);
		engine_announce(log); /* its transaction holds nobody back any more */
	}
	if (p->damaged)
		log->damaged_partitions--;
	partition_read_again(p);
	p->topic = NULL;
	p->deleting = req;
	partition_wake(p);
	rounds_kick(
	    &log->rounds); /* queued appends end; when nothing is in flight the rename starts */
	partition_delete_ready(p);
}

enum err partition_trash_found(struct log *log, struct log_uuid topic_id, int32_t partition)
{
	struct partition_key key = {.topic_id = topic_id, .partition = partition};
	struct log_partition *p = partition_by_key(log, key);
	char trash[LOG_PATH_MAX];
	if (!p) {
		/* renamed by a life that was killed then, perhaps: a power cut must not bring it
		 * back once its row is gone */
		enum err e = trash_sync(log->io, log);
		if (e != ERR_NOT_FOUND)
			return e;
		err_clear(); /* there is no trash */
		return ERR_OK;
	}
	ASSERT(p->state == PARTITION_FOUND);
	TRY(trash_rename(log->io, log, p->dir, p->key, trash));
	trash_empty(log, trash);
	partition_close(p);
	return ERR_OK;
}
