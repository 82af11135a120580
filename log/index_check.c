/* SPDX-License-Identifier: Apache-2.0 */
/* Checking the file of an index, and making it right from the frames, on the pool. See
 * index_check.h. */
#include "log/index_check.h"
#include "log/batch.h"
#include "log/engine.h"
#include "log/partition_drop.h"
#include "log/recovery.h"
#include <stdio.h>

enum { CHECK_ENTRIES = 512 /* of the file at once */ };

struct index_checking {
	struct pool_job job;
	struct log *log;
	struct segment *s; /* held */
	struct list waiting;
	char *log_path, *idx_path;
	/* what the job works on: the entries that were in the file when it was started */
	uint64_t count;
	uint32_t end;  /* of their frames, padding included */
	bool complete; /* they are all that the segment will have: it can be sealed */
	struct index_header header;
	/* what came of it */
	enum err err;
	bool wrong;  /* an entry is not what its frame says */
	bool uneven; /* there are more or fewer frames than entries */
	bool unread; /* the disk does not read the file: nothing of it is known */
	bool repaired, sealed;
	bool replaced;  /* it is another file now */
	int64_t max_ms; /* of the last entry */
	uint64_t sum;   /* not complete: of the entries, as they are now */
};

/* ---- on the pool ----------------------------------------------------------------------------- */

/* *ret_good: the file is what was written, by its checksum. That of a segment which is appended to
 * has none. */
static enum err file_verify(struct index_checking *c, int idx, bool *ret_good)
{
	struct io *io = c->log->io;
	uint8_t raw[INDEX_HEADER_BYTES];
	struct index_header h = {0};
	uint64_t hash;
	*ret_good = false;
	enum err e = io_pread_all(io, idx, raw, sizeof(raw), 0);
	if (e == ERR_OK)
		e = index_header_decode(raw, &h);
	if (e == ERR_OK && (h.flags & INDEX_SEALED) && h.count == c->count) {
		e = index_file_hash(io, idx, c->count, &hash);
		*ret_good = c->sealed = e == ERR_OK && hash == h.entries_hash;
	}
	c->unread = e == ERR_IO;
	if (e == ERR_OK || e == ERR_CORRUPT || e == ERR_EOF || e == ERR_NEWER_FORMAT) {
		err_clear();
		return ERR_OK;
	}
	return e;
}

/* The entry of the next frame; `have` is what the file says, which has to do where the frame does
 * not verify. */
static enum err entry_next(
    struct segment_walk *w, struct index_entry have, int64_t *offset, struct index_entry *ret)
{
	struct frame f;
	struct bytes batch;
	uint32_t pos, before = w->pos;
	enum err e = segment_walk_next(w, &f, &pos, &batch);
	if (e == ERR_CORRUPT && w->bad_header) {
		/* offsets go on from the frame before, or behind a hole */
		bool follows =
		    w->pos > before ? have.base_offset >= *offset : have.base_offset == *offset;
		if (have.pos != w->pos || !follows || have.len > w->end - w->pos ||
		    have.len < FRAME_HEADER_BYTES)
			return e;
		segment_walk_range(w, w->pos + have.len, w->end);
		if (have.max_timestamp_ms > ret->max_timestamp_ms)
			ret->max_timestamp_ms = have.max_timestamp_ms;
		have.max_timestamp_ms = ret->max_timestamp_ms;
		*ret = have;
		*offset = -1; /* the next frame tells */
		err_clear();
		return ERR_OK;
	}
	if (e != ERR_OK && e != ERR_CORRUPT)
		return e;
	int64_t ms = e == ERR_OK ? recovery_max_timestamp(&f, batch) : have.max_timestamp_ms;
	*ret = (struct index_entry){.base_offset = f.base_offset,
	    .pos = pos,
	    .len = FRAME_HEADER_BYTES + f.length,
	    .max_timestamp_ms = ms > ret->max_timestamp_ms ? ms : ret->max_timestamp_ms,
	    .sequence = f.sequence};
	*offset = f.base_offset + (int64_t)f.last_offset_delta + 1;
	err_clear();
	return ERR_OK;
}

/* Every entry against its frame, and as many frames as entries; with `repair` what is not right is
 * written. */
static enum err entries_walk(struct index_checking *c, int idx, struct segment_walk *w, bool repair)
{
	uint8_t have[CHECK_ENTRIES * INDEX_ENTRY_BYTES], want[sizeof(have)];
	struct index_entry e = {.max_timestamp_ms = -1};
	int64_t offset = c->header.base_offset;
	struct io *io = c->log->io;
	for (uint64_t done = 0; done < c->count;) {
		uint64_t at = INDEX_HEADER_BYTES + done * INDEX_ENTRY_BYTES;
		size_t n = c->count - done < CHECK_ENTRIES ? (size_t)(c->count - done)
		                                           : CHECK_ENTRIES,
		       len;
		memset(have, 0, sizeof(have));
		TRY(io_pread(io, idx, have, n * INDEX_ENTRY_BYTES, at, &len));
		for (size_t i = 0; i < n; i++) {
			enum err next = entry_next(
			    w, index_entry_decode(have + i * INDEX_ENTRY_BYTES), &offset, &e);
			c->uneven = next == ERR_EOF;
			if (c->uneven)
				return err_note(ERR_CORRUPT, "there are fewer frames than entries");
			TRY(next);
			index_entry_encode(&e, want + i * INDEX_ENTRY_BYTES);
		}
		bool same = memcmp(have, want, n * INDEX_ENTRY_BYTES) == 0;
		c->wrong |= !same;
		if (!same && repair)
			TRY(io_pwrite(io, idx, want, n * INDEX_ENTRY_BYTES, at));
		done += n;
	}
	c->max_ms = e.max_timestamp_ms;
	struct frame f;
	struct bytes batch;
	uint32_t pos;
	enum err end = segment_walk_next(w, &f, &pos, &batch);
	c->uneven = end == ERR_OK || (end == ERR_CORRUPT && !w->bad_header);
	if (c->uneven)
		return err_note(ERR_CORRUPT, "there are more frames than entries");
	return end == ERR_EOF ? ERR_OK : end;
}

static enum err frames_walk(struct index_checking *c, int idx, bool repair)
{
	struct segment_walk w;
	int fd;
	TRY(io_open(c->log->io, c->log_path, IO_READONLY, &fd));
	segment_walk_init(&w, c->log->io, fd, c->s->seed, 0);
	segment_walk_range(&w, SEGMENT_HEADER_BYTES, c->end);
	w.holes = true;
	enum err e = entries_walk(c, idx, &w, repair);
	segment_walk_release(&w);
	enum err closed = io_close(c->log->io, fd);
	TRY(e);
	err_clear();
	return closed;
}

/*
 * All is looked at before anything is written. With another number of frames the entries do not
 * stand in their places, and nothing is made right here: without its header the next start makes
 * the file anew from the frames.
 */
static enum err file_repair(struct index_checking *c, int idx)
{
	static const uint8_t none[INDEX_HEADER_BYTES];
	enum err e = frames_walk(c, idx, false);
	if (c->uneven) {
		TRY(io_pwrite(c->log->io, idx, none, sizeof(none), 0));
		TRY(io_fdatasync(c->log->io, idx));
	}
	TRY(e);
	if (!c->wrong)
		return ERR_OK;
	c->repaired = true;
	return frames_walk(c, idx, true);
}

static enum err file_seal(struct index_checking *c, int idx)
{
	uint8_t raw[INDEX_HEADER_BYTES];
	TRY(index_file_hash(c->log->io, idx, c->count, &c->header.entries_hash));
	index_header_encode(&c->header, raw);
	TRY(io_truncate(
	    c->log->io, idx, INDEX_HEADER_BYTES + c->count * (uint64_t)INDEX_ENTRY_BYTES));
	TRY(io_pwrite(c->log->io, idx, raw, sizeof(raw), 0));
	c->sealed = true;
	return ERR_OK;
}

static enum err check_file(struct index_checking *c, int idx)
{
	bool good;
	TRY(file_verify(c, idx, &good));
	if (!good)
		TRY(file_repair(c, idx));
	if (!c->complete)
		TRY(index_file_sum(c->log->io, idx, c->count, &c->sum));
	if (c->complete && !(good && c->sealed))
		TRY(file_seal(c, idx));
	else if (good)
		return ERR_OK;
	return io_fdatasync(c->log->io, idx);
}

static enum err check_path(struct index_checking *c)
{
	int idx;
	err_clear();
	TRY(io_open(c->log->io, c->idx_path, IO_CREATE, &idx));
	enum err e = check_file(c, idx);
	enum err closed = io_close(c->log->io, idx);
	return e == ERR_OK ? closed : e;
}

static enum err make_anew(struct index_checking *c, const char *path)
{
	struct io *io = c->log->io;
	int idx;
	TRY(io_open(io, path, IO_CREATE, &idx));
	enum err e = io_truncate(io, idx, 0); /* of an earlier life */
	if (e == ERR_OK)
		e = file_repair(c, idx);
	if (e == ERR_OK)
		e = file_seal(c, idx);
	if (e == ERR_OK)
		e = io_fdatasync(io, idx);
	enum err closed = io_close(io, idx);
	return e == ERR_OK ? closed : e;
}

/*
 * The disk does not read the file, twice: out of the frames comes another one, which takes its name
 * when it is whole. A start does the same with one that it reads.
 */
static enum err file_replace(struct index_checking *c)
{
	struct io *io = c->log->io;
	char path[LOG_PATH_MAX], dir[LOG_PATH_MAX];
	struct str parent = io_parent(c->idx_path);
	int n = snprintf(path, sizeof(path), "%s.tmp", c->idx_path),
	    m = snprintf(dir, sizeof(dir), STR_FMT, STR_ARG(parent));
	if (n < 0 || n >= LOG_PATH_MAX || m < 0 || m >= LOG_PATH_MAX)
		return err_note(ERR_LIMIT, "%s: path too long", c->idx_path);
	diag(DIAG_WARN, "index_unread", "path=%s error=\"%s\"", c->idx_path, err_chain());
	err_clear();
	c->sealed = false;
	enum err e = make_anew(c, path);
	if (e == ERR_OK)
		e = io_rename(io, path, c->idx_path);
	if (e == ERR_OK) {
		c->replaced = true;
		return io_fsync_dir(io, dir);
	}
	size_t mark = err_mark();
	if (io_unlink(io, path) != ERR_OK) /* what is left is for the next try */
		diag(DIAG_WARN, "index_unlink", "path=%s error=\"%s\"", path, err_chain());
	err_rewind(mark);
	return e;
}

static void check_run(struct pool_job *job)
{
	struct index_checking *c = CONTAINER_OF(job, struct index_checking, job);
	c->err = check_path(c);
	if (c->err == ERR_IO && c->unread && c->complete)
		c->err = check_path(c);
	if (c->err == ERR_IO && c->unread && c->complete)
		c->err = file_replace(c);
	if (c->err != ERR_OK)
		diag(DIAG_WARN, "index_bad", "path=%s error=\"%s\"", c->idx_path, err_chain());
}

/* ---- on the loop ----------------------------------------------------------------------------- */

static void check_free(struct index_checking *c)
{
	mem_free(c->log_path);
	mem_free(c->idx_path);
	mem_free(c);
}

/* False: searches may still have the file that was there before; it is closed with the next check.
 */
static bool file_is_current(struct index_checking *c)
{
	struct segment *s = c->s;
	s->index_replaced |= c->replaced;
	if (s->index_replaced && s->index_file.state != DESCRIPTOR_OPENING) {
		descriptor_discard(&s->index_file);
		s->index_replaced = false;
	}
	return !s->index_replaced;
}

static void check_apply(struct index_checking *c)
{
	struct segment *s = c->s;
	struct log_partition *p = s->partition;
	struct index *x = &s->index;
	bool current = file_is_current(c);
	x->trusted = c->err == ERR_OK && current;
	x->bad = c->err == ERR_CORRUPT;
	if (c->err != ERR_OK)
		return;
	s->index_sealed |= c->sealed;
	if (!c->complete && c->count == x->file_count) {
		x->sum = c->sum;
		x->summed = c->count;
	}
	if (!c->repaired)
		return;
	/* a checkpoint that is writing what comes behind may bring in too small a maximum */
	x->trusted = index_raise(x, c->max_ms) && current;
	recovery_verdict(ERR_REBUILT, "partition=%s segment=%lld what=index entries=%llu", p->dir,
	    (long long)s->base_offset, (unsigned long long)c->count);
	p->order.stale = true;
	if (p->state == PARTITION_OPEN && !s->gone)
		partition_latest(p);
}

static void check_done(struct pool_job *job)
{
	struct index_checking *c = CONTAINER_OF(job, struct index_checking, job);
	struct log *log = c->log;
	struct segment *s = c->s;
	struct list_node *n;
	s->checking = NULL;
	check_apply(c);
	while ((n = list_pop_front(&c->waiting))) {
		struct index_wait *w = CONTAINER_OF(n, struct index_wait, node);
		w->err = c->err;
		w->done(w);
	}
	check_free(c);
	partition_name_release(s->partition);
	segment_unhold(s);
	log->reads_active--;
}

static enum err paths_make(struct index_checking *c)
{
	const struct segment *s = c->s;
	char path[LOG_PATH_MAX], name[SEGMENT_NAME_BYTES];
	TRY(partition_path(s->partition, segment_file_name(s, ".log", name), path));
	c->log_path = mem_strdup(str_of(path));
	TRY(partition_path(s->partition, segment_file_name(s, ".idx", name), path));
	c->idx_path = mem_strdup(str_of(path));
	return c->log_path && c->idx_path ? ERR_OK : ERR_NOMEM;
}

static void check_describe(struct index_checking *c)
{
	const struct segment *s = c->s;
	const struct index *x = &s->index;
	c->count = x->file_count;
	c->end = s->size;
	if (x->writing.count > 0)
		c->end = index_run_at(&x->writing, 0)->pos;
	else if (x->fresh.count > 0)
		c->end = index_run_at(&x->fresh, 0)->pos;
	c->complete = s->sealed && s->frames_pending == 0 && c->count == index_count(x);
	c->header = (struct index_header){.version = INDEX_VERSION,
	    .flags = INDEX_SEALED,
	    .base_offset = s->base_offset,
	    .count = c->count,
	    .segment_bytes = s->size,
	    .generation = s->generation,
	    .last_append_ns = s->last_append_ns,
	    .end_offset = s->end_offset};
}

static enum err check_start(struct segment *s)
{
	struct log *log = s->partition->log;
	if (s->partition->state == PARTITION_DELETED)
		return ERR_UNKNOWN_TOPIC;
	struct index_checking *c = mem_calloc(1, sizeof(*c));
	if (!c)
		return ERR_NOMEM;
	c->log = log;
	c->s = s;
	c->job = (struct pool_job){.run = check_run, .done = check_done};
	list_init(&c->waiting);
	check_describe(c);
	enum err e = paths_make(c);
	if (e == ERR_OK)
		e = pool_submit(log->loop, &c->job);
	if (e != ERR_OK) {
		check_free(c);
		return e;
	}
	s->checking = c;
	s->holds++;
	partition_name_hold(s->partition);
	log->reads_active++;
	return ERR_OK;
}

bool index_verify(struct segment *s, struct index_wait *w)
{
	loop_assert_owner(s->partition->log->loop);
	w->err = ERR_OK;
	if (s->index.trusted || s->index.file_count == 0)
		return true;
	if (s->index.bad)
		w->err =
		    err_note(ERR_CORRUPT, "index of segment %lld: its frames do not verify either",
		        (long long)s->base_offset);
	else if (!s->checking)
		w->err = check_start(s);
	if (w->err != ERR_OK)
		return true;
	list_node_init(&w->node);
	list_push_back(&s->checking->waiting, &w->node);
	return false;
}

void index_doubt(struct segment *s)
{
	struct log *log = s->partition->log;
	s->index.trusted = false;
	s->partition->indexes_checked = false;
	if (s->checking || s->gone || s->index.bad || log->closing ||
	    s->partition->state != PARTITION_OPEN)
		return;
	if (check_start(s) != ERR_OK)
		err_clear(); /* whoever needs it starts it */
}

/* ---- after a start --------------------------------------------------------------------------- */

static void swept(struct index_wait *w)
{
	struct log *log = CONTAINER_OF(w, struct log, index_swept);
	index_sweep(log);
}

struct segment *partition_index_unchecked(struct log_partition *p)
{
	if (p->indexes_checked)
		return NULL;
	LIST_EACH (&p->segments, n, next) {
		struct segment *s = CONTAINER_OF(n, struct segment, node);
		if (!s->index.trusted && !s->index.bad && s->index.file_count > 0)
			return s;
	}
	p->indexes_checked = true;
	return NULL;
}

/* That of the last segment has no checksum: its frames are not read before somebody asks. */
static struct segment *sealed_unchecked(const struct log_partition *p)
{
	LIST_EACH (&p->segments, n, next) {
		struct segment *s = CONTAINER_OF(n, struct segment, node);
		if (s->index_sealed && !s->index.trusted && !s->index.bad)
			return s;
	}
	return NULL;
}

void index_sweep(struct log *log)
{
	while (!log->closing) {
		struct log_partition *p = log->index_sweeping;
		struct segment *s = p && p->state == PARTITION_OPEN ? sealed_unchecked(p) : NULL;
		if (!s) {
			if (p)
				partition_unref(p);
			p = map_next(&log->partitions, &log->index_cursor);
			log->index_sweeping = p;
			if (!p)
				return;
			partition_ref(p);
			continue;
		}
		log->index_swept.done = swept;
		if (!index_verify(s, &log->index_swept))
			return;
		if (log->index_swept.err != ERR_OK && !s->index.bad) {
			err_clear(); /* whoever needs it tries again */
			break;
		}
	}
	if (log->index_sweeping)
		partition_unref(log->index_sweeping);
	log->index_sweeping = NULL;
}
