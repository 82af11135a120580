/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Producer state from the log. The newest snapshot that verifies and is not ahead of the log gives
 * a start; the frames behind it give the rest. Without any, the whole partition is read (its
 * headers are what counts). Runs on the pool over segments that are held, up to the ends they had
 * at the start: no idempotent batch is accepted meanwhile.
 *
 * A snapshot counts only where the batch before its offset is the one it was made behind. Else the
 * log has lost its end since and went on with other batches: what the snapshot knows of the lost
 * ones would be told to their producers as stored, and what came instead it does not know.
 */
#include "log/partition_load.h"
#include "log/engine.h"
#include "log/mend.h"
#include "log/partition_drop.h"
#include <stdio.h>

struct load_segment {
	struct segment *segment; /* held */
	uint32_t file_generation;
	int64_t base_offset;
	int64_t end_offset;
	uint64_t first_sequence, last_sequence; /* the first one: or a lower bound */
	bool bad_end;                           /* the last one is a guess */
	uint32_t size;
	struct frame_seed seed;
};
struct partition_load {
	struct pool_job job;
	struct log_partition *p;
	void (*done)(struct log_partition *p, enum err e);
	char dir[LOG_PATH_MAX];
	struct load_segment *segments;
	size_t count;
	int64_t log_start, end; /* of the partition */
	bool never_lost;        /* nothing, as far as is known */
	int64_t judging_ns;     /* what ages are judged by */
	struct snap_header snap;
	/* the last frame before the snapshot's offset: what it ends at, and its sequences (of a
	 * hole several); last_sequence 0 = not known */
	int64_t before_end;
	uint64_t before_first, before_last;
	struct producers producers;
	struct txns txns;
	struct damage_place *mended; /* frames that were written anew */
	size_t mended_count;
	bool passed_over; /* there were others that do not verify */
	enum err err;
};

static void load_clear(struct partition_load *l)
{
	producers_release(&l->producers);
	txns_release(&l->txns);
}

static enum err load_snap(struct partition_load *l, int64_t base)
{
	char path[LOG_PATH_MAX + SEGMENT_NAME_BYTES], name[SEGMENT_NAME_BYTES];
	struct bytes file;
	struct snap_header h;
	l->snap = (struct snap_header){0};
	snprintf(path, sizeof(path), "%s/%s", l->dir, segment_name(base, ".snap", name));
	TRY(io_read_file(l->p->log->io, path, snap_bytes_max(), &file));
	load_clear(l);
	enum err e = snap_decode(file, &l->producers, &l->txns, &h);
	mem_free((void *)(uintptr_t)file.ptr);
	TRY(e);
	if (!log_uuid_equal(h.topic_id, l->p->key.topic_id) || h.partition != l->p->key.partition)
		return err_note(ERR_CORRUPT, "%s: of another partition", path);
	if (h.offset > l->end)
		return ERR_NOT_FOUND; /* written at a roll whose last round was lost */
	l->snap = h;
	return ERR_OK;
}

/* Is the frame before the snapshot's offset the one it was made behind? */
static bool snap_holds(const struct partition_load *l)
{
	const struct snap_header *h = &l->snap;
	if (h->version < 3)
		return l->never_lost; /* it does not say */
	if (l->before_last > 0 && l->before_first <= h->sequence && h->sequence <= l->before_last)
		return true;
	if (l->before_last > 0 && l->before_end >= h->offset)
		return false;
	return l->never_lost; /* it cannot be read, or is missing */
}

/* What is known of it without a look at the frames of the snapshot's own segment. */
static void before_segment(struct partition_load *l, size_t at)
{
	const struct load_segment *s = &l->segments[at], *prev = at > 0 ? s - 1 : NULL;
	l->before_first = l->before_last = 0;
	l->before_end = s->base_offset;
	if (prev && !prev->bad_end) {
		l->before_first = l->before_last = prev->last_sequence;
		l->before_end = prev->end_offset;
	} else if (!prev && l->snap.offset == s->base_offset) {
		/* it was deleted, and all that was before this segment with it */
		l->before_last = s->first_sequence > 0 ? s->first_sequence - 1 : 0;
	}
}

static void before_frame(struct partition_load *l, const struct frame *f, struct bytes body)
{
	struct frame_hole hole;
	l->before_end = f->base_offset + (int64_t)f->last_offset_delta + 1;
	l->before_first = l->before_last = f->sequence;
	if ((f->flags & FRAME_HOLE) && frame_hole_decode(f, body, &hole) == ERR_OK)
		l->before_first = hole.first_sequence;
	err_clear();
}

/* Notes the batch of one frame; those of no producer and those already in the snapshot are passed
 * over. */
static enum err load_batch(struct partition_load *l, const struct frame *f, struct bytes batch)
{
	struct batch_header h;
	if ((f->flags & FRAME_HOLE) || batch_header_read(batch, &h) != ERR_OK || h.producer_id < 0)
		return ERR_OK;
	TRY(producers_reserve(&l->producers, h.producer_id));
	TRY(txns_load(&l->txns, &h, batch, f->sequence, f->append_time_ns));
	if (l->txns.aborted_count >= TXN_ABORTED_MAX)
		txns_prune(&l->txns, l->log_start);
	const struct producer *known = producers_find(&l->producers, h.producer_id);
	if (known && known->epoch > h.producer_epoch)
		return ERR_OK;
	int64_t stamped = (h.attributes & BATCH_ATTR_APPEND_TIME) ? h.max_timestamp_ms : -1;
	producers_note(&l->producers, &h, f->sequence, f->append_time_ns, stamped);
	return ERR_OK;
}

/* Without memory the partition stays as it is until a start. */
static void load_mended(struct partition_load *l, const struct mend_walk *m)
{
	struct damage_place *grown;
	if (m->mended_count == 0)
		return;
	grown = mem_realloc(l->mended, (l->mended_count + m->mended_count) * sizeof(*grown));
	if (!grown)
		return;
	l->mended = grown;
	for (unsigned i = 0; i < m->mended_count; i++)
		l->mended[l->mended_count++] =
		    (struct damage_place){m->piece.base_offset, m->mended[i]};
}

static enum err load_frames(struct partition_load *l, const struct load_segment *s)
{
	char name[SEGMENT_NAME_BYTES];
	const struct log_partition *p = l->p;
	struct scrub_piece where = {.io = p->log->io,
	    .journal_dir = p->log->journal_dir,
	    .topic_id = p->key.topic_id,
	    .partition = p->key.partition,
	    .base_offset = s->base_offset,
	    .seed = s->seed,
	    .pos = SEGMENT_HEADER_BYTES,
	    .end = s->size};
	struct mend_walk m;
	struct frame f;
	struct bytes batch;
	uint32_t pos;
	int fd;

	if (s->size <= SEGMENT_HEADER_BYTES)
		return ERR_OK;
	int n = snprintf(where.path, sizeof(where.path), "%s/%s", l->dir,
	    segment_name_of(s->base_offset, s->file_generation, ".log", name));
	if (n < 0 || (size_t)n >= sizeof(where.path))
		return err_note(ERR_LIMIT, "path of a segment in %s", l->dir);
	TRY(io_open(p->log->io, where.path, IO_READONLY, &fd));
	mend_walk_init(&m, &where, fd);
	m.walk.holes = true;
	enum err e = ERR_OK;
	while (e == ERR_OK || e == ERR_CORRUPT) {
		e = mend_walk_next(&m, &f, &pos, &batch);
		l->passed_over |= e == ERR_CORRUPT;
		bool placed = e == ERR_OK || (e == ERR_CORRUPT && !m.walk.bad_header);
		if (placed && f.base_offset < l->snap.offset)
			before_frame(l, &f, e == ERR_OK ? batch : (struct bytes){NULL, 0});
		else if (e == ERR_OK)
			e = load_batch(l, &f, batch);
		else if (e == ERR_CORRUPT && mend_walk_may_be_marker(&m, &f))
			txns_unsure(&l->txns);
	}
	load_mended(l, &m);
	mend_walk_release(&m);
	enum err closed = io_close(p->log->io, fd);
	return e == ERR_EOF ? closed : e;
}

/* ---- what a snapshot has and the log has not ------------------------------------------------- */

/* A frame at this very place of the index: is it a marker, or the hole that took it? */
static bool is_hole(struct io *io, int fd, const struct load_segment *s, uint32_t pos)
{
	uint8_t raw[FRAME_HEADER_BYTES];
	struct frame f;
	size_t mark = err_mark();
	enum err e = io_pread_all(io, fd, raw, sizeof(raw), pos);
	if (e != ERR_OK)
		diag(DIAG_WARN, "index_read", "frame at %u: %s", pos, err_chain());
	bool hole =
	    e == ERR_OK && frame_decode(raw, s->seed, &f) == ERR_OK && (f.flags & FRAME_HOLE);
	err_rewind(mark); /* what cannot be read stays as the snapshot has it */
	return hole;
}

struct forgetting {
	struct partition_load *l;
	const struct load_segment *s;
	int log_fd;
	int64_t *gone; /* room for all */
	size_t gone_count;
	size_t at; /* of the aborted ones: the next that ended at or behind the entry */
};

/* Those with markers before `offset`, which ascends as they do. True: there is one at it. */
static bool forget_before(struct forgetting *x, int64_t offset)
{
	const struct txns *t = &x->l->txns;
	for (; x->at < t->aborted_count && t->aborted[x->at].last_offset < offset; x->at++)
		x->gone[x->gone_count++] = t->aborted[x->at].last_offset;
	return x->at < t->aborted_count && t->aborted[x->at].last_offset == offset;
}

/* The one at `offset`: its marker is there unless a hole is. */
static void forget_at(struct forgetting *x, int64_t offset, bool hole)
{
	if (hole)
		x->gone[x->gone_count++] = offset;
	x->at++;
}

/* The frames say it when no index does. */
static enum err forget_by_frames(struct forgetting *x)
{
	struct segment_walk w;
	struct frame f;
	struct bytes body;
	uint32_t pos;
	enum err e;
	segment_walk_init(&w, x->l->p->log->io, x->log_fd, x->s->seed, 0);
	segment_walk_range(&w, SEGMENT_HEADER_BYTES, x->s->size);
	w.check_body = false;
	w.holes = true;
	while ((e = segment_walk_next(&w, &f, &pos, &body)) == ERR_OK) {
		if (forget_before(x, f.base_offset))
			forget_at(x, f.base_offset, (f.flags & FRAME_HOLE) != 0);
	}
	segment_walk_release(&w);
	return e == ERR_EOF ? ERR_OK : e;
}

/* Only an index that is whole says that something is not there. */
static enum err forget_by_index(struct forgetting *x, int fd)
{
	enum { ENTRIES = 2048 };
	struct io *io = x->l->p->log->io;
	uint8_t head[INDEX_HEADER_BYTES];
	struct index_header h;
	uint64_t hash = 0;
	TRY(io_pread_all(io, fd, head, sizeof(head), 0));
	TRY(index_header_decode(head, &h));
	if (!(h.flags & INDEX_SEALED) || h.base_offset != x->s->base_offset ||
	    h.generation != x->s->file_generation)
		return ERR_CORRUPT;
	TRY(index_file_hash(io, fd, h.count, &hash));
	if (hash != h.entries_hash)
		return ERR_CORRUPT;
	uint8_t *raw = mem_alloc((size_t)ENTRIES * INDEX_ENTRY_BYTES);
	enum err e = raw ? ERR_OK : ERR_NOMEM;
	for (uint64_t i = 0; i < h.count && e == ERR_OK; i += ENTRIES) {
		uint64_t n = h.count - i < ENTRIES ? h.count - i : ENTRIES;
		e = io_pread_all(io, fd, raw, (size_t)n * INDEX_ENTRY_BYTES,
		    INDEX_HEADER_BYTES + i * INDEX_ENTRY_BYTES);
		for (uint64_t k = 0; k < n && e == ERR_OK; k++) {
			struct index_entry entry = index_entry_decode(raw + k * INDEX_ENTRY_BYTES);
			if (forget_before(x, entry.base_offset))
				forget_at(
				    x, entry.base_offset, is_hole(io, x->log_fd, x->s, entry.pos));
		}
	}
	mem_free(raw);
	return e;
}

static enum err forget_in(struct partition_load *l, const struct load_segment *s, int64_t end)
{
	struct forgetting x = {.l = l, .s = s, .log_fd = -1};
	char path[LOG_PATH_MAX + SEGMENT_NAME_BYTES], name[SEGMENT_NAME_BYTES];
	struct io *io = l->p->log->io;
	const struct txns *t = &l->txns;
	int fd = -1;
	x.at = txn_aborted_from(t->aborted, t->aborted_count, s->base_offset);
	if (x.at == t->aborted_count || t->aborted[x.at].last_offset >= end)
		return ERR_OK;
	x.gone = mem_alloc(t->aborted_count * sizeof(*x.gone));
	if (!x.gone)
		return ERR_NOMEM;
	size_t mark = err_mark();
	snprintf(path, sizeof(path), "%s/%s", l->dir,
	    segment_name_of(s->base_offset, s->file_generation, ".log", name));
	enum err e = io_open(io, path, IO_READONLY, &x.log_fd);
	snprintf(path, sizeof(path), "%s/%s", l->dir,
	    segment_name_of(s->base_offset, s->file_generation, ".idx", name));
	size_t first = x.at;
	enum err indexed = e == ERR_OK ? io_open(io, path, IO_READONLY, &fd) : e;
	if (indexed == ERR_OK)
		indexed = forget_by_index(&x, fd);
	if (indexed != ERR_OK && indexed != ERR_NOT_FOUND && indexed != ERR_CORRUPT)
		diag(DIAG_WARN, "index_read", "path=%s error=\"%s\"", path, err_chain());
	if (e == ERR_OK && indexed != ERR_OK) {
		x.at = first;
		x.gone_count = 0;
		e = forget_by_frames(&x);
	}
	while (e == ERR_OK && x.at < t->aborted_count && t->aborted[x.at].last_offset < end)
		x.gone[x.gone_count++] = t->aborted[x.at++].last_offset;
	if (e == ERR_OK)
		txns_drop_aborted(&l->txns, x.gone, x.gone_count);
	else if (e != ERR_NOT_FOUND && e != ERR_NOMEM)
		diag(DIAG_WARN, "aborted_kept", "path=%s error=\"%s\"", path, err_chain());
	err_rewind(mark);
	/* nothing was written */
	if (fd >= 0)
		(void)!io_close(io, fd);
	if (x.log_fd >= 0)
		(void)!io_close(io, x.log_fd);
	mem_free(x.gone);
	return e == ERR_NOMEM ? e : ERR_OK;
}

/* A snapshot may be older than the compaction that took markers of aborted transactions (X5). */
static enum err load_forget(struct partition_load *l)
{
	txns_prune(&l->txns, l->log_start);
	for (size_t i = 0; i < l->count && l->txns.aborted_count > 0; i++) {
		const struct load_segment *s = &l->segments[i];
		if (s->file_generation > 0)
			TRY(forget_in(
			    l, s, i + 1 < l->count ? l->segments[i + 1].base_offset : l->end));
	}
	return ERR_OK;
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* The newest snapshot of the first *at segments that can be read: *at is whose it is then. */
static bool load_newest(struct partition_load *l, size_t *at)
{
	bool found = false;
	while (*at > 0 && !found) {
		err_clear();
		enum err e = load_snap(l, l->segments[--*at].base_offset);
		found = e == ERR_OK;
		if (e != ERR_OK && e != ERR_NOT_FOUND) {
			metric_add(METRIC_REBUILT_FILES, 1);
			diag(DIAG_WARN, "rebuilt", "partition=%s what=snapshot error=\"%s\"",
			    l->p->dir, err_chain());
		}
	}
	if (!found) {
		load_clear(l);
		l->snap = (struct snap_header){0};
	}
	return found;
}

/* The frames behind the snapshot of segment `first`; before that, whether it holds. */
static enum err load_behind(struct partition_load *l, size_t first, bool *holds)
{
	const struct snap_header *h = &l->snap;
	bool inside = h->offset > l->segments[first].base_offset;
	before_segment(l, first);
	if (inside)
		TRY(load_frames(l, &l->segments[first]));
	*holds = snap_holds(l);
	for (size_t i = inside ? first + 1 : first; i < l->count && *holds; i++)
		if (i + 1 == l->count || l->segments[i + 1].base_offset > h->offset)
			TRY(load_frames(l, &l->segments[i]));
	return ERR_OK;
}

static enum err load_all(struct partition_load *l)
{
	size_t first = l->count;
	bool holds;
	while (load_newest(l, &first)) {
		TRY(load_forget(l));
		TRY(load_behind(l, first, &holds));
		if (holds)
			return ERR_OK;
		metric_add(METRIC_REBUILT_FILES, 1);
		diag(DIAG_WARN, "rebuilt", "partition=%s what=snapshot error=\"%s\"", l->p->dir,
		    "batches before its offset were lost");
	}
	for (size_t i = 0; i < l->count; i++)
		TRY(load_frames(l, &l->segments[i]));
	return ERR_OK;
}

static void load_run(struct pool_job *job)
{
	struct partition_load *l = CONTAINER_OF(job, struct partition_load, job);
	err_clear();
	l->err = load_all(l);
	producers_expire(&l->producers, l->judging_ns, SIZE_MAX);
	if (l->err != ERR_OK)
		diag(DIAG_ERROR, "producers_load", "partition=%s error=\"%s\"", l->p->dir,
		    err_chain());
}

static void load_free(struct partition_load *l)
{
	load_clear(l);
	mem_free(l->mended);
	mem_free(l->segments);
	mem_free(l);
}

static void load_done(struct pool_job *job)
{
	struct partition_load *l = CONTAINER_OF(job, struct partition_load, job);
	struct log_partition *p = l->p;
	void (*done)(struct log_partition *, enum err) = l->done;
	enum err e = l->err;
	for (size_t i = 0; i < l->count; i++)
		segment_unhold(l->segments[i].segment);
	/* put back later, they are not in what is known now */
	p->damage.lasting |= l->passed_over;
	for (size_t i = 0; i < l->mended_count; i++)
		damage_mended(p, l->mended[i].segment, l->mended[i].pos);
	if (e == ERR_OK) {
		txns_end_unknown(&l->txns, &p->txns, l->end);
		if (l->txns.guessed > 0)
			diag(DIAG_ERROR, "transactions_unsure",
			    "partition=%s count=%zu what=\"markers that cannot be read: taken for "
			    "aborted\"",
			    p->dir, l->txns.guessed);
		txns_forget_aborted(&p->txns);
		producers_move(&p->producers, &l->producers);
		e = txns_take_aborted(&p->txns, &l->txns);
		txns_prune(&p->txns, p->log_start);
		p->producers.loaded = e == ERR_OK;
	}
	load_free(l);
	done(p, e);
}

enum err partition_load_producers(
    struct log_partition *p, void (*done)(struct log_partition *p, enum err e))
{
	struct partition_load *l = mem_calloc(1, sizeof(*l));
	if (!l)
		return ERR_NOMEM;
	l->job = (struct pool_job){.run = load_run, .done = load_done};
	l->p = p;
	l->done = done;
	l->end = p->visible_end;
	l->log_start = p->log_start;
	l->never_lost = p->leader_epoch == 0;
	l->judging_ns = clock_judging(&p->log->clock);
	producers_init(&l->producers);
	txns_init(&l->txns);
	l->segments = mem_calloc(p->segment_count + 1, sizeof(*l->segments));
	enum err e = l->segments ? engine_path(p->log, l->dir, "topics/%s", p->dir) : ERR_NOMEM;
	if (e != ERR_OK) {
		load_free(l);
		return e;
	}
	LIST_EACH (&p->segments, n, next) {
		struct segment *s = CONTAINER_OF(n, struct segment, node);
		s->holds++;
		l->segments[l->count++] = (struct load_segment){.segment = s,
		    .file_generation = s->file_generation,
		    .base_offset = s->base_offset,
		    .end_offset = s->end_offset,
		    .first_sequence = s->first_sequence,
		    .last_sequence = s->last_sequence,
		    .bad_end = s->bad_end,
		    .size = s->size,
		    .seed = s->seed};
	}
	e = pool_submit(p->log->loop, &l->job);
	if (e != ERR_OK) {
		for (size_t i = 0; i < l->count; i++)
			segment_unhold(l->segments[i].segment);
		load_free(l);
	}
	return e;
}
