/* SPDX-License-Identifier: Apache-2.0 */
/* The checkpointer: flushes segments and their indexes on the pool, then records. See checkpoint.h
 * for the states. */
#include "log/engine.h"
#include "log/partition_drop.h"
#include "log/recovery.h"
#include <stdio.h>

#define CHECKPOINT_RETRY_NS   (100 * MS_NS)
#define CHECKPOINT_ROOM_BYTES (64 * KIB) /* of each record's file, at least */
#define SPARE_INTERVAL_NS     (20 * MS_NS)
enum {
	FLUSH_JOBS = 4,  /* at once */
	SPARE_BLOCKS = 8 /* given back in a turn: 13 MB are gone in half a second */
};

struct checkpoint_flush {
	struct pool_job job;
	struct checkpointer *c;
	struct segment *s; /* held and pinned */
	bool index;        /* there are entries to write */
	bool seal;
	uint64_t sum;       /* index.sum; out: with those written */
	bool summed;        /* it is of all entries of the file */
	bool doubt;         /* out: not sealed, for its entries are not those that were written */
	bool named;         /* either of these: holds the name */
	enum err err;       /* of the segment: fatal */
	enum err index_err; /* of the index: a cache */
	char index_path[LOG_PATH_MAX];
	char dir[LOG_PATH_MAX];
};

static void flush_next(struct checkpointer *c);
static void flushes_ended(struct checkpointer *c);

static void checkpoint_due(struct loop_timer *timer)
{
	struct checkpointer *c = CONTAINER_OF(timer, struct checkpointer, timer);
	checkpoint_start(c);
}

/*
 * What a checkpoint's indexes had in memory is the next one's where appends go on, and the system's
 * again soon where they do not, a little in each turn.
 */
static void spare_due(struct loop_timer *timer)
{
	struct checkpointer *c = CONTAINER_OF(timer, struct checkpointer, spare_timer);
	index_spare_shrink(&c->log->index_spare, SPARE_BLOCKS);
	if (c->log->index_spare.count > 0)
		loop_timer_set(
		    c->log->loop, &c->spare_timer, loop_now_ns(c->log->loop) + SPARE_INTERVAL_NS);
}

void checkpointer_init(struct checkpointer *c, struct log *log)
{
	*c = (struct checkpointer){.log = log};
	list_init(&c->dirty);
	list_init(&c->flushing);
	writer_init(&c->record, SIZE_MAX);
	loop_timer_init(&c->timer, checkpoint_due);
	loop_timer_init(&c->spare_timer, spare_due);
}

/* Lets go of what was never flushed: only after a failure. */
static void segments_undirty(struct list *list)
{
	struct list_node *n;
	while ((n = list_pop_front(list))) {
		struct segment *s = CONTAINER_OF(n, struct segment, dirty_node);
		s->dirty = false;
		behind_forget(&s->partition->log->behind, s);
		descriptor_unpin(&s->file);
		segment_flushed(s);
	}
}

void checkpointer_release(struct checkpointer *c)
{
	if (!c->log)
		return;
	ASSERT(c->state == CHECKPOINT_IDLE);
	loop_timer_cancel(c->log->loop, &c->timer);
	loop_timer_cancel(c->log->loop, &c->spare_timer);
	segments_undirty(&c->dirty);
	writer_release(&c->record);
}

/* ---- marking --------------------------------------------------------------------------------- */

static void dirty_add(struct checkpointer *c, struct segment *s)
{
	if (list_empty(&c->dirty))
		loop_timer_set(c->log->loop, &c->timer,
		    loop_now_ns(c->log->loop) + c->log->options.checkpoint_ns);
	list_push_back(&c->dirty, &s->dirty_node);
	c->dirty_count++;
}

static void mark_dirty(struct checkpointer *c, struct segment *s)
{
	if (s->dirty)
		return;
	s->dirty = true;
	descriptor_hold(&s->file);
	dirty_add(c, s);
}

void checkpoint_dirty(struct checkpointer *c, struct segment *s, uint64_t len)
{
	mark_dirty(c, s);
	c->dirty_bytes += len;
	if (c->dirty_bytes >= c->log->options.checkpoint_bytes)
		checkpoint_start(c);
}

void checkpoint_forget(struct checkpointer *c, struct segment *s)
{
	if (!s->dirty)
		return;
	list_remove(&s->dirty_node);
	c->dirty_count--;
	s->dirty = false;
	behind_forget(&c->log->behind, s);
	descriptor_unpin(&s->file);
}

void checkpoint_take_back(struct checkpointer *c, struct segment *s)
{
	ASSERT(s->dirty && !list_linked(&s->dirty_node));
	if (s->index.fresh.count > 0 || (s->sealed && !s->index_sealed)) {
		dirty_add(c, s);
		return;
	}
	s->dirty = false;
	descriptor_unpin(&s->file);
}

void checkpoint_seal(struct checkpointer *c, struct segment *s)
{
	ASSERT(s->sealed);
	if (s->file.state == DESCRIPTOR_OPEN)
		mark_dirty(c, s);
}

static uint64_t index_growth(const struct list *segments)
{
	uint64_t bytes = 0;
	LIST_EACH (segments, n, next) {
		const struct index *x = &CONTAINER_OF(n, struct segment, dirty_node)->index;
		bytes += INDEX_HEADER_BYTES + ROUND_TAIL_BLOCK +
		         (x->writing.count + x->fresh.count) * INDEX_ENTRY_BYTES;
	}
	return bytes;
}

uint64_t checkpoint_growth(const struct checkpointer *c)
{
	return index_growth(&c->dirty) + index_growth(&c->flushing) +
	       c->jobs * (uint64_t)(2 * ROUND_TAIL_BLOCK);
}

/* ---- the record ------------------------------------------------------------------------------ */

static void encode_row(struct writer *out, const struct log_partition *p, const struct segment *s)
{
	uint8_t row[CHECKPOINT_ROW_BYTES] = {0};
	struct checkpoint_row r = {.topic_id = p->key.topic_id,
	    .partition = p->key.partition,
	    .log_end = p->durable_end,
	    .segment = s->base_offset,
	    .segment_end = s->durable_size,
	    .last_sequence = s->durable_sequence,
	    .last_link = s->durable_link,
	    .transactions =
	        p->txns.used ? 1 + (uint64_t)txns_stable_end(&p->txns, p->durable_end) : 0};
	if (p->log->recovery && p->lost_suffix) {
		/* accepted, and not named yet (gap.c): a start after one that is cut short here
		 * must miss it, too */
		r.log_end = p->lost_end;
		r.last_link = 0;
		if (p->lost_to_sequence > 0)
			r.last_sequence = p->lost_to_sequence;
	}
	checkpoint_row_encode(&r, row);
	write_bytes(out, bytes_of(row, sizeof(row)));
}

/*
 * Until the catalog has said what it misses, the record keeps what it said of partitions that are
 * gone or end too early: a start that is refused must not make the next one believe.
 */
static void encode_missing(struct checkpointer *c)
{
	struct recovery_row *row;
	size_t cursor = 0;
	while (c->log->recovery && (row = map_next(&c->log->recovery->rows, &cursor))) {
		const struct log_partition *p = partition_by_key(c->log, row->key);
		bool gone = p && p->lost_suffix && list_empty(&p->segments);
		if (p && p->verdict == ERR_OK && !gone)
			continue;
		uint8_t out[CHECKPOINT_ROW_BYTES];
		struct checkpoint_row r = {.topic_id = row->key.topic_id,
		    .partition = row->key.partition,
		    .log_end = row->log_end,
		    .segment = row->segment,
		    .segment_end = row->segment_end,
		    .last_sequence = row->last_sequence,
		    .last_link = row->last_link,
		    .transactions = row->transactions};
		checkpoint_row_encode(&r, out);
		write_bytes(&c->record, bytes_of(out, sizeof(out)));
		c->header.row_count++;
	}
}

/*
 * One more than a record takes is there only for as long as a start needs to name them (gap.c); a
 * cut in that moment makes one of the last two, with what lies between them.
 */
static void encode_gaps(struct checkpointer *c)
{
	const struct log *log = c->log;
	c->header.gap_count =
	    log->gap_count < CHECKPOINT_GAPS_MAX ? log->gap_count : CHECKPOINT_GAPS_MAX;
	for (uint32_t i = 0; i < c->header.gap_count; i++) {
		struct checkpoint_gap gap = log->gaps[i];
		uint8_t bytes[CHECKPOINT_GAP_BYTES];
		if (i + 1 == CHECKPOINT_GAPS_MAX)
			gap.last = log->gaps[log->gap_count - 1].last;
		checkpoint_gap_encode(&gap, bytes);
		write_bytes(&c->record, bytes_of(bytes, sizeof(bytes)));
	}
}

static enum err encode_record(struct checkpointer *c)
{
	struct log_partition *p;
	size_t cursor = 0;
	writer_clear(&c->record);
	if (!writer_reserve(&c->record, CHECKPOINT_HEADER_BYTES))
		return c->record.err;
	c->header.row_count = 0;
	while ((p = map_next(&c->log->partitions, &cursor))) {
		const struct segment *s = partition_durable_segment(p);
		if (p->state == PARTITION_DELETED || !s ||
		    (c->log->recovery && p->verdict != ERR_OK))
			continue;
		encode_row(&c->record, p, s);
		c->header.row_count++;
	}
	encode_missing(c);
	encode_gaps(c);
	TRY(c->record.err);
	checkpoint_header_encode(&c->header, c->record.ptr, c->record.len);
	return ERR_OK;
}

static enum err record_write(struct checkpointer *c)
{
	struct io *io = c->log->io;
	char path[LOG_PATH_MAX], name[16];
	int fd;
	int n = snprintf(path, sizeof(path), "%s/%s", c->log->journal_dir,
	    checkpoint_file_name((unsigned)((c->header.counter - 1) % CHECKPOINT_SLOTS), name));
	ASSERT(n > 0 && n < LOG_PATH_MAX);
	size_t mark = err_mark();
	enum err e = io_open(io, path, 0, &fd);
	if (e == ERR_NOT_FOUND) {
		err_rewind(mark);
		e = io_open(io, path, IO_CREATE, &fd);
		c->unnamed = true;
	}
	TRY(e);
	e = io_pwrite(io, fd, c->record.ptr, c->record.len, 0);
	if (e == ERR_OK)
		e = io_fdatasync(io, fd);
	enum err closed = io_close(io, fd);
	TRY(e);
	TRY(closed);
	if (!c->unnamed && c->header.counter > CHECKPOINT_SLOTS)
		return ERR_OK;
	TRY(io_fsync_dir(io, c->log->journal_dir));
	c->unnamed = false;
	return ERR_OK;
}

static enum err reserve_slot(struct log *log, unsigned slot, uint64_t len)
{
	struct io *io = log->io;
	char path[LOG_PATH_MAX], name[16];
	int fd;
	int n = snprintf(
	    path, sizeof(path), "%s/%s", log->journal_dir, checkpoint_file_name(slot, name));
	if (n < 0 || (size_t)n >= sizeof(path))
		return err_note(ERR_LIMIT, "%s: path too long", log->journal_dir);
	TRY(io_open(io, path, IO_CREATE, &fd));
	enum err e = io_fallocate(io, fd, 0, len);
	if (e == ERR_UNSUPPORTED) { /* then a full disk is met when it is there */
		err_clear();
		e = ERR_OK;
	}
	if (e == ERR_OK)
		e = io_fsync(io, fd);
	enum err closed = io_close(io, fd);
	return e == ERR_OK ? closed : e;
}

enum err checkpoint_reserve(struct log *log, uint64_t rows)
{
	uint64_t len = CHECKPOINT_HEADER_BYTES + 2 * rows * CHECKPOINT_ROW_BYTES;
	if (len < CHECKPOINT_ROOM_BYTES)
		len = CHECKPOINT_ROOM_BYTES;
	for (unsigned slot = 0; slot < CHECKPOINT_SLOTS; slot++)
		TRY(reserve_slot(log, slot, len));
	return io_fsync_dir(log->io, log->journal_dir);
}

static void record_run(struct pool_job *job)
{
	struct checkpointer *c = CONTAINER_OF(job, struct checkpointer, job);
	err_clear();
	c->err = record_write(c);
}

static void checkpoint_end(struct checkpointer *c)
{
	c->state = CHECKPOINT_IDLE;
	rounds_kick(&c->log->rounds);
	if (c->no_room)
		loop_timer_set(c->log->loop, &c->timer, c->retry_ns);
	else if (c->wanted)
		checkpoint_start(c);
	else if (!list_empty(&c->dirty))
		loop_timer_set(c->log->loop, &c->timer,
		    loop_now_ns(c->log->loop) + c->log->options.checkpoint_ns);
}

static void record_done(struct pool_job *job)
{
	struct checkpointer *c = CONTAINER_OF(job, struct checkpointer, job);
	if (c->err == ERR_OK) {
		c->counter = c->header.counter;
		c->recorded_sequence = c->header.sequence;
		c->recorded_clean = c->header.clean;
		c->no_room = false;
		c->log->journal.checkpoint_number = c->header.number;
	} else if (c->err == ERR_NOSPACE) {
		if (!c->no_room) /* the older record holds; the next tries again */
			diag(DIAG_WARN, "checkpoint", "error=%s dir=%s", err_name(c->err),
			    c->log->journal_dir);
		c->no_room = true;
		c->retry_ns = loop_now_ns(c->log->loop) + CHECKPOINT_RETRY_NS;
		rounds_space_lost(&c->log->rounds);
	} else {
		engine_fail(c->log, c->err, "checkpoint record");
	}
	checkpoint_end(c);
}

static void record_start(struct checkpointer *c)
{
	c->state = CHECKPOINT_RECORDING;
	c->header.counter = c->counter + 1;
	c->header.written_ns = loop_realtime_ns(c->log->loop);
	c->err = encode_record(c);
	c->job = (struct pool_job){.run = record_run, .done = record_done};
	enum err e = c->err;
	if (e == ERR_OK) /* c->err is the job's from here on */
		e = pool_submit(c->log->loop, &c->job);
	if (e != ERR_OK) {
		c->err = e;
		diag(DIAG_WARN, "checkpoint", "error=%s", err_name(e));
		checkpoint_end(c);
	}
}

/* ---- flushing -------------------------------------------------------------------------------- */

/* Makes `h` one that vouches for the entries: they have to be those that were written, and still to
 * be so after they have been hashed. */
static enum err index_seal(
    struct io *io, int fd, struct checkpoint_flush *f, uint64_t count, struct index_header *h)
{
	const struct segment *s = f->s;
	uint8_t head[INDEX_HEADER_BYTES];
	uint64_t sum = 0;
	h->flags = INDEX_SEALED;
	h->count = count;
	h->segment_bytes = s->size;
	h->last_append_ns = s->last_append_ns;
	h->end_offset = s->end_offset;
	TRY(index_file_hash(io, fd, count, &h->entries_hash));
	TRY(index_file_sum(io, fd, count, &sum));
	f->doubt = !f->summed || sum != f->sum;
	if (f->doubt)
		return ERR_OK;
	index_header_encode(h, head);
	return io_pwrite(io, fd, head, sizeof(head), 0);
}

static enum err index_flush(struct io *io, struct checkpoint_flush *f)
{
	struct segment *s = f->s;
	uint8_t head[INDEX_HEADER_BYTES];
	struct index_header h = {
	    .version = INDEX_VERSION, .base_offset = s->base_offset, .generation = s->generation};
	uint64_t count = s->index.file_count + s->index.writing.count;
	int fd;
	TRY(io_open(io, f->index_path, IO_CREATE, &fd));
	enum err e = ERR_OK;
	if (s->index.file_count == 0) {
		/* of a file that did not hold nothing stays: behind the entries it would make the
		 * new one look cut or foreign at each start */
		e = io_truncate(io, fd, 0);
		index_header_encode(&h, head);
	}
	if (e == ERR_OK && s->index.file_count == 0) {
		e = io_pwrite(io, fd, head, sizeof(head), 0);
	}
	if (e == ERR_OK && f->index)
		e = index_write(io, fd, s->index.file_count, &s->index.writing, &f->sum);
	if (e == ERR_OK && f->seal)
		e = index_seal(io, fd, f, count, &h);
	if (e == ERR_OK)
		e = io_fdatasync(io, fd);
	enum err closed = io_close(io, fd);
	TRY(e);
	TRY(closed);
	return s->index.file_count == 0 ? io_fsync_dir(io, f->dir) : ERR_OK; /* a new name */
}

static void flush_run(struct pool_job *job)
{
	struct checkpoint_flush *f = CONTAINER_OF(job, struct checkpoint_flush, job);
	struct io *io = f->c->log->io;
	err_clear();
	f->err = io_fdatasync(io, f->s->file.fd);
	if (f->err == ERR_OK && f->named)
		f->index_err = index_flush(io, f);
	if (f->index_err != ERR_OK)
		diag(DIAG_WARN, "index_write", "path=%s error=\"%s\"", f->index_path, err_chain());
}

static void flush_ended(struct checkpointer *c, struct segment *s)
{
	descriptor_unpin(&s->file);
	segment_unhold(s);
	c->jobs--;
	if (!list_empty(&c->flushing))
		flush_next(c);
	if (c->jobs > 0 || c->state != CHECKPOINT_FLUSHING)
		return;
	flushes_ended(c);
}

/* Every flush has returned. */
static void flushes_ended(struct checkpointer *c)
{
	if (c->err == ERR_OK && !c->retreated) {
		record_start(c);
		return;
	}
	if (c->err != ERR_OK && !c->log->failed)
		engine_fail(c->log, c->err, "flush of a segment");
	checkpoint_end(c);
}

static void flush_done(struct pool_job *job)
{
	struct checkpoint_flush *f = CONTAINER_OF(job, struct checkpoint_flush, job);
	struct checkpointer *c = f->c;
	struct segment *s = f->s;
	if (f->err != ERR_OK)
		c->err = f->err;
	bool ok = f->err == ERR_OK && f->index_err == ERR_OK;
	if (f->index) {
		index_write_end(&s->index, ok);
		if (ok && f->summed) {
			s->index.sum = f->sum;
			s->index.summed = s->index.file_count;
		}
	}
	if (c->log->index_spare.count > 0 && !loop_timer_is_set(&c->spare_timer))
		spare_due(&c->spare_timer);
	s->index_sealed |= f->seal && ok && !f->doubt;
	s->index.trusted &= !f->doubt;
	if (f->named)
		partition_name_release(s->partition);
	mem_free(f);
	if (s->sealed && !s->index_sealed && !s->index.trusted && s->frames_pending == 0)
		index_doubt(s); /* that seals it */
	flush_ended(c, s);
}

/* Not now: the segments that are left stay dirty, and the timer tries again. */
static void checkpoint_retreat(struct checkpointer *c)
{
	struct list_node *n;
	while ((n = list_pop_front(&c->flushing)))
		list_push_back(&c->dirty, n);
	c->retreated = true;
}

/* Takes the next segments of the list; when the job cannot be made, everything that is left waits
 * for the next checkpoint. */
static void flush_next(struct checkpointer *c)
{
	while (c->jobs < FLUSH_JOBS && !list_empty(&c->flushing)) {
		struct checkpoint_flush *f = mem_alloc(sizeof(*f)); /* mostly room for paths */
		struct segment *s =
		    CONTAINER_OF(list_first(&c->flushing), struct segment, dirty_node);
		char name[SEGMENT_NAME_BYTES];
		enum err e = f ? partition_path(s->partition, segment_file_name(s, ".idx", name),
		                     f->index_path)
		               : ERR_NOMEM;
		if (e == ERR_OK)
			e = engine_path(c->log, f->dir, "topics/%s", s->partition->dir);
		if (e == ERR_OK) {
			f->job = (struct pool_job){.run = flush_run, .done = flush_done};
			f->c = c;
			f->s = s;
			f->err = f->index_err = ERR_OK;
			f->sum = s->index.sum;
			f->summed = s->index.summed == s->index.file_count;
			f->doubt = false;
			/* of a deleted topic the index is nobody's, and its name may be another's
			 */
			bool live = s->partition->state != PARTITION_DELETED;
			f->index = live && index_write_begin(&s->index);
			f->seal = live && s->sealed && !s->index_sealed && s->frames_pending == 0 &&
			          s->index.fresh.count == 0 && s->index.trusted;
			f->named = f->index || f->seal;
			e = pool_submit(c->log->loop, &f->job);
			if (e != ERR_OK && f->index)
				index_write_end(&s->index, false);
		}
		if (e != ERR_OK) {
			mem_free(f);
			diag(DIAG_WARN, "checkpoint", "error=%s", err_name(e));
			checkpoint_retreat(c);
			return;
		}
		list_remove(&s->dirty_node);
		behind_forget(&c->log->behind, s);
		s->dirty = false; /* its pin is the job's now */
		s->holds++;
		if (f->named)
			partition_name_hold(s->partition);
		c->jobs++;
	}
}

void checkpoint_start(struct checkpointer *c)
{
	struct log *log = c->log;
	struct list_node *n;
	loop_assert_owner(log->loop);
	/* a start that was refused behind recovery has closed partitions whose ends moved since the
	 * rows of encode_missing: its record would cut them */
	if (log->failed || (log->closing && log->recovery))
		return;
	if (c->no_room && c->state == CHECKPOINT_IDLE && loop_now_ns(log->loop) < c->retry_ns) {
		c->wanted = false;
		loop_timer_set(log->loop, &c->timer, c->retry_ns);
		return;
	}
	c->wanted = c->state != CHECKPOINT_IDLE || log->rounds.busy;
	if (c->wanted)
		return;
	loop_timer_cancel(log->loop, &c->timer);
	c->state = CHECKPOINT_FLUSHING;
	c->err = ERR_OK;
	c->retreated = false;
	c->header = (struct checkpoint_header){
	    .version = CHECKPOINT_VERSION,
	    .clean = c->clean,
	    .epoch = log->epoch,
	    .number = log->journal.next_number - 1,
	    .journal_file = log->journal.current,
	    .journal_pos = log->journal.pos,
	    .sequence = log->durable_sequence,
	    .producer_ids = log->producer_id_reserved,
	    .lazy_bound = log->rounds.lazy_bound,
	    .last_append_ns = log->last_append_time_ns,
	};
	c->started_number = c->header.number;
	while ((n = list_pop_front(&c->dirty)))
		list_push_back(&c->flushing, n);
	c->dirty_count = 0;
	c->dirty_bytes = 0;
	if (list_empty(&c->flushing)) {
		record_start(c);
		return;
	}
	flush_next(c);
	if (c->jobs == 0)
		flushes_ended(c);
}

void checkpoint_between(struct checkpointer *c)
{
	if (c->wanted && c->state == CHECKPOINT_IDLE)
		checkpoint_start(c);
}

enum err checkpoint_finish(struct checkpointer *c, bool clean)
{
	struct log *log = c->log;
	uint64_t before = c->counter;
	c->clean = clean;
	bool started = false;
	while (!log->failed &&
	       (c->state != CHECKPOINT_IDLE || c->wanted || !started || !list_empty(&c->dirty))) {
		if (c->state == CHECKPOINT_IDLE && !c->wanted) {
			if (started && c->counter == before)
				break; /* it was tried and did not work */
			started = true;
			checkpoint_start(c);
		}
		TRY(loop_step(log->loop, 10 * MS_NS));
	}
	c->clean = false;
	while (c->state != CHECKPOINT_IDLE)
		TRY(loop_step(log->loop, 10 * MS_NS));
	if (log->failed)
		return ERR_IO;
	if (c->counter == before)
		return err_note(c->err != ERR_OK ? c->err : ERR_AGAIN, "checkpoint");
	return ERR_OK;
}
