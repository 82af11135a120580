/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Putting frames of the journal back into their segments (always, after a stop that was not clean:
 * what the page cache says about dirty pages is not believed), and then step 4: each partition's
 * end, and what is behind it.
 */
#include "log/batch.h"
#include "log/engine.h"
#include "log/recovery.h"
#include <stdio.h>

#define REPLAY_BUFFER_BYTES (256 * KIB) /* of one partition, before it is written */
#define REPLAY_BUFFERED_MAX (32 * MIB)  /* of all */

/* ---- descriptors ----------------------------------------------------------------------------- */

/* Flushes and closes everything that is open: more partitions are written than descriptors allowed.
 */
static enum err release_all(struct recovery *r)
{
	TRY(recovery_flush(r));
	TRY(recovery_flush_segments(r));
	recovery_flushed_forget(r);
	return ERR_OK;
}

enum err recovery_open(struct recovery *r, struct segment *s, int *ret_fd)
{
	char path[LOG_PATH_MAX], name[SEGMENT_NAME_BYTES];
	int fd;
	if (s->file.state != DESCRIPTOR_OPEN) {
		if (descriptors_full(&r->log->descriptors))
			TRY(release_all(r));
		TRY(partition_path(s->partition, segment_file_name(s, ".log", name), path));
		TRY(io_open(r->log->io, path, 0, &fd));
		descriptor_adopt(&s->file, fd);
		checkpoint_dirty(&r->log->checkpointer, s, 0);
		descriptor_unpin(&s->file);
	} else {
		checkpoint_dirty(&r->log->checkpointer, s, 0);
	}
	*ret_fd = s->file.fd;
	return ERR_OK;
}

/* ---- frames ---------------------------------------------------------------------------------- */

static enum err replay_write(struct recovery *r, struct replay *rp)
{
	int fd;
	if (rp->buf.len == 0)
		return ERR_OK;
	size_t len = rp->buf.len;
	TRY(recovery_open(r, rp->segment, &fd));
	if (rp->buf.len == 0)
		return ERR_OK; /* opening it flushed everything */
	TRY(io_pwrite(r->log->io, fd, rp->buf.ptr, len, rp->buf_pos));
	r->buffered -= len;
	writer_clear(&rp->buf);
	return ERR_OK;
}

enum err recovery_flush(struct recovery *r)
{
	struct log_partition *p;
	size_t cursor = 0;
	while ((p = map_next(&r->log->partitions, &cursor))) {
		struct replay *rp = p->replay;
		if (!rp || rp->buf.len == 0)
			continue;
		/* when there is no descriptor left not through recovery_open: that comes here again
		 */
		char path[LOG_PATH_MAX], name[SEGMENT_NAME_BYTES];
		int fd;
		bool mine = rp->segment->file.state != DESCRIPTOR_OPEN &&
		            descriptors_full(&r->log->descriptors);
		if (!mine)
			TRY(recovery_open(r, rp->segment, &fd));
		if (mine) {
			TRY(partition_path(p, segment_file_name(rp->segment, ".log", name), path));
			TRY(io_open(r->log->io, path, 0, &fd));
		}
		enum err e = io_pwrite(r->log->io, fd, rp->buf.ptr, rp->buf.len, rp->buf_pos);
		if (e == ERR_OK && mine)
			e = io_fdatasync(r->log->io, fd);
		if (mine && io_close(r->log->io, fd) != ERR_OK)
			e = e == ERR_OK ? ERR_IO : e;
		TRY(e);
		r->buffered -= rp->buf.len;
		writer_clear(&rp->buf);
	}
	return ERR_OK;
}

struct segment *recovery_segment(const struct log_partition *p, int64_t base_offset)
{
	/* from the newest: what the journal has is among the last of thousands */
	for (struct list_node *n = p->segments.head.prev; n != &p->segments.head; n = n->prev) {
		struct segment *s = CONTAINER_OF(n, struct segment, node);
		if (s->base_offset <= base_offset)
			return s->base_offset == base_offset ? s : NULL;
	}
	return NULL;
}

/* A later generation begins below `base` and stands for it. */
static bool segment_stands_for(const struct log_partition *p, int64_t base)
{
	LIST_EACH (&p->segments, n, next) {
		const struct segment *s = CONTAINER_OF(n, struct segment, node);
		if (s->base_offset <= base && base < s->rewrite.end_offset)
			return true;
	}
	return false;
}

/* A frame of a partition or segment that is not there: deleted since, or lost. Who opens the
 * partition decides. */
static enum err frame_homeless(
    struct recovery *r, struct log_partition *p, const struct journal_item *item)
{
	if (p && p->replay->unread)
		return err_note(ERR_IO,
		    "topics/%s has a segment that cannot be read, and the journal records for "
		    "segment %lld: make it readable, or take what can be read with fsck --salvage",
		    p->dir, (long long)item->segment);
	struct segment *oldest = p && !list_empty(&p->segments)
	                             ? CONTAINER_OF(list_first(&p->segments), struct segment, node)
	                             : NULL;
	if (oldest && item->segment < oldest->base_offset)
		return ERR_OK; /* below the log start by now */
	/* Segments below the log start go in any order, as readers give them back: whether one in
	 * the middle is missed is said where the log start is known (recovery_check_segments). */
	if (p && partition_active(p) && item->segment < partition_active(p)->base_offset)
		return ERR_OK;
	if (p && segment_stands_for(p, item->segment))
		return ERR_OK; /* merged into another one, which was flushed then */
	/* who accepts that hears of it where its end is settled, from the row */
	if (p && p->verdict == ERR_OK && !r->log->options.accept_lost_suffix) {
		p->verdict = ERR_LOST_SUFFIX;
		recovery_verdict(ERR_LOST_SUFFIX, "partition=%s segment=%lld what=missing", p->dir,
		    (long long)item->segment);
	}
	struct recovery_row row = {.key = {item->topic_id, item->partition},
	    .log_end = item->segment + 1,
	    .segment = item->segment,
	    .segment_end = item->pos + item->len,
	    .last_sequence = item->sequence};
	return recovery_row_put(r, &row);
}

static enum err replay_begin(
    struct recovery *r, struct log_partition *p, struct segment *s, uint32_t pos)
{
	struct replay *rp = p->replay;
	int fd;
	TRY(replay_write(r, rp));
	rp->segment = s;
	rp->touched = true;
	s->replayed = true;
	if (s->durable_size >= pos)
		return ERR_OK;
	/* What is before the journal's first frame must be in the segment. */
	TRY(recovery_open(r, s, &fd));
	TRY(recovery_index(r, s, fd, pos));
	return ERR_OK;
}

/* The block that the next frames share with what was durable: it may be garbage. */
static enum err replay_tail(struct recovery *r, struct log_partition *p, struct segment *s,
    const uint8_t *bytes, const struct journal_item *item)
{
	uint32_t end = item->pos + item->len;
	int fd;
	if (s->durable_size >= end)
		return ERR_OK; /* the replay has come by here already */
	TRY(recovery_open(r, s, &fd));
	TRY(io_pwrite(r->log->io, fd, bytes, item->len, item->pos));
	if (s->size < end)
		s->size = end;
	return replay_begin(r, p, s, end);
}

static void replay_note(struct replay *rp, const struct frame *f, const struct batch_header *h)
{
	if ((h->attributes & BATCH_ATTR_TRANSACTIONAL) == 0 || rp->transactional)
		return;
	rp->transactional = true;
	rp->txn_from = f->base_offset;
}

/* No transaction that is open now began before this offset; INT64_MAX: there never was any. */
static int64_t transactions_from(
    const struct recovery *r, const struct log_partition *p, const struct recovery_row *row)
{
	int64_t from = INT64_MAX;
	if (row && row->transactions > 0)
		from = (int64_t)(row->transactions - 1);
	if (p->replay->transactional && p->replay->txn_from < from)
		from = p->replay->txn_from;
	int64_t known = row ? row->log_end : 0;
	return r->rot && known < from ? known : from;
}

/* Its bytes were durable in the segment before the round was: what is not there is lost, not torn.
 */
static enum err replay_direct(
    struct recovery *r, struct segment *s, const struct journal_item *item)
{
	struct frame f;
	struct batch_header h;
	struct replay *rp = s->partition->replay;
	TRY(replay_write(r, rp)); /* so that what follows is contiguous again */
	if (s->durable_size != item->pos) {
		partition_damaged(
		    s->partition, s, item->pos, "the journal's frame is out of place");
		return ERR_OK;
	}
	err_clear();
	enum err e = recovery_direct_frame(r, s, item, false, &f, &h);
	if (e == ERR_IO) {
		partition_unread(s->partition, s, item->pos, e);
		e = ERR_CORRUPT;
	}
	if (e == ERR_CORRUPT && (item->flags & FRAME_PAD)) {
		partition_damaged(s->partition, s, item->pos, err_chain());
		s->durable_size = item->pos + item->len; /* no record is lost with it */
		return ERR_OK;
	}
	if (e == ERR_CORRUPT)
		return recovery_index_hole(s, item->pos, item->pos + item->len);
	TRY(e);
	TRY(recovery_index_frame(s, &f, h.count > 0 ? h.max_timestamp_ms : -1, item->pos));
	replay_note(rp, &f, &h);
	if (f.append_time_ns > r->last_append_ns)
		r->last_append_ns = f.append_time_ns;
	return ERR_OK;
}

enum err recovery_frame(
    struct recovery *r, const struct journal_found *found, const struct journal_item *item)
{
	struct partition_key key = {item->topic_id, item->partition};
	struct log_partition *p = partition_by_key(r->log, key);
	struct segment *s = p ? recovery_segment(p, item->segment) : NULL;
	struct batch_header h;
	struct frame f;
	if (!s)
		return item->kind == JOURNAL_FRAME ? frame_homeless(r, p, item) : ERR_OK;
	if (s->generation > 0)
		return ERR_OK; /* written from what was flushed: the journal's frames are older */
	struct replay *rp = p->replay;
	const uint8_t *bytes = found->buf + item->at;
	if (item->kind == JOURNAL_TAIL)
		return replay_tail(r, p, s, bytes, item);
	if (s->durable_size >= item->pos + item->len)
		return ERR_OK; /* a COPY of what was put back */
	if (s != rp->segment || s->durable_size < item->pos)
		TRY(replay_begin(r, p, s, item->pos));
	if (item->flags & FRAME_DIRECT)
		return replay_direct(r, s, item);
	if (s->durable_size != item->pos || frame_decode(bytes, s->seed, &f) != ERR_OK ||
	    FRAME_HEADER_BYTES + f.length != item->len) {
		partition_damaged(
		    p, s, item->pos, "the journal's frame does not belong to this segment");
		return ERR_OK;
	}
	struct bytes batch = bytes_of(bytes + FRAME_HEADER_BYTES, f.length);
	TRY(recovery_index_frame(s, &f, recovery_max_timestamp(&f, batch), item->pos));
	if (batch_header_read(batch, &h) == ERR_OK)
		replay_note(rp, &f, &h);
	if (rp->buf.len == 0)
		rp->buf_pos = item->pos;
	ASSERT(rp->buf_pos + rp->buf.len == item->pos);
	write_bytes(&rp->buf, bytes_of(bytes, item->len));
	TRY(rp->buf.err);
	r->buffered += item->len;
	r->frames++;
	r->bytes += item->len;
	if (f.append_time_ns > r->last_append_ns)
		r->last_append_ns = f.append_time_ns;
	if (rp->buf.len >= REPLAY_BUFFER_BYTES)
		TRY(replay_write(r, rp));
	return r->buffered >= REPLAY_BUFFERED_MAX ? recovery_flush(r) : ERR_OK;
}

/* ---- step 4 ---------------------------------------------------------------------------------- */

/* Where the durable bytes of `s` end, by record and journal. */
static uint32_t known_end(const struct recovery *r, const struct segment *s)
{
	const struct recovery_row *row = recovery_row(r, s->partition->key);
	if (s->replayed)
		return s->durable_size;
	if (s->generation > 0)
		return s->size; /* whole and durable before it got its name */
	if (row && s->base_offset < row->segment)
		return s->size;
	if (row && s->base_offset == row->segment)
		return row->segment_end;
	return SEGMENT_HEADER_BYTES;
}

/* Frames behind the known end that the bad journal entry may have held: those at or below D that
 * verify stay. */
static enum err walk_on(struct recovery *r, struct segment *s, int fd)
{
	struct segment_walk w;
	struct frame f;
	struct bytes batch;
	uint32_t pos;
	uint64_t kept = 0;
	segment_walk_init(&w, r->log->io, fd, s->seed, 0);
	segment_walk_range(&w, s->durable_size, s->size);
	w.want_pads = true;
	enum err e;
	while ((e = segment_walk_next(&w, &f, &pos, &batch)) == ERR_OK) {
		if (f.sequence > r->sequence ||
		    frame_check_link(&f, s->seed, s->last_link) != ERR_OK)
			break;
		e = recovery_index_frame(s, &f, recovery_max_timestamp(&f, batch), pos);
		if (e != ERR_OK)
			break;
		kept += !(f.flags & FRAME_PAD);
	}
	segment_walk_release(&w);
	if (kept > 0)
		recovery_verdict(ERR_REPAIRED, "partition=%s segment=%lld what=frames count=%llu",
		    s->partition->dir, (long long)s->base_offset, (unsigned long long)kept);
	return e == ERR_OK || e == ERR_EOF || e == ERR_CORRUPT ? ERR_OK : e;
}

static enum err cut_tail(struct recovery *r, struct segment *s)
{
	char name[160], id[40];
	int fd;
	recovery_verdict(ERR_TORN_TAIL, "partition=%s segment=%lld pos=%u bytes=%u",
	    s->partition->dir, (long long)s->base_offset, s->durable_size,
	    s->size - s->durable_size);
	for (int i = 0; i < 16; i++)
		snprintf(id + 2 * i, 3, "%02x", s->partition->key.topic_id.b[i]);
	snprintf(name, sizeof(name), "torn_tail-%s-%d-%lld-%u", id, s->partition->key.partition,
	    (long long)s->base_offset, s->durable_size);
	TRY(recovery_open(r, s, &fd));
	TRY(recovery_quarantine(r, name, fd, s->durable_size, s->size));
	/* durable with all that is dirty, before the record of this start (recovery_flush.c) */
	return io_truncate(r->log->io, fd, s->durable_size);
}

/* Indexes the frames of `s` up to its known end; where that is gone, as far as they go. */
static enum err settle_frames(struct recovery *r, struct segment *s, uint32_t end)
{
	char path[LOG_PATH_MAX], name[SEGMENT_NAME_BYTES];
	int fd;
	bool lost = end > s->size && !s->replayed, taken = false;
	if (!lost)
		TRY(recovery_index_sealed(s, end, &taken));
	if (taken)
		return ERR_OK;
	TRY(partition_path(s->partition, segment_file_name(s, ".log", name), path));
	TRY(io_open(r->log->io, path, IO_READONLY, &fd));
	enum err e = ERR_OK;
	if (!lost)
		e = recovery_index(r, s, fd, end);
	if (e == ERR_OK && (lost || (r->rot && s->size > s->durable_size)))
		e = walk_on(r, s, fd);
	enum err closed = io_close(r->log->io, fd);
	TRY(e);
	return closed;
}

static enum err settle_segment(struct recovery *r, struct segment *s)
{
	uint32_t end = known_end(r, s);
	int fd;
	if (end > s->size && !s->replayed)
		TRY(recovery_short_segment(r, s, end));
	TRY(settle_frames(r, s, end));
	if (s->size > s->durable_size && s->partition->verdict == ERR_OK)
		TRY(cut_tail(r, s));
	s->size = s->durable_size;
	s->durable_sequence = s->last_sequence;
	if (s->rewrite.end_offset > 0)
		s->last_link = s->rewrite.end_link;
	s->durable_link = s->last_link;
	if (s->index.fresh.count > 0)
		TRY(recovery_open(r, s, &fd));
	return ERR_OK;
}

/* A segment made for a roll whose round was torn: it starts behind the end. */
static enum err drop_unborn(struct recovery *r, struct segment *s)
{
	struct log_partition *p = s->partition;
	char path[LOG_PATH_MAX], name[SEGMENT_NAME_BYTES];
	TRY(partition_path(p, segment_file_name(s, ".log", name), path));
	TRY(io_unlink(r->log->io, path));
	TRY(partition_path(p, segment_name(s->base_offset, ".snap", name), path));
	enum err e = io_unlink(r->log->io, path);
	if (e != ERR_OK && e != ERR_NOT_FOUND)
		return e;
	/* before its sequence is given again: coming back then, it would pass for one that was born
	 */
	TRY(engine_path(r->log, path, "topics/%s", p->dir));
	TRY(io_fsync_dir(r->log->io, path));
	checkpoint_forget(&r->log->checkpointer, s);
	list_remove(&s->node);
	p->segment_count--;
	segment_free(s);
	return ERR_OK;
}

/*
 * Frames at the end of a segment are there and do not verify, and no index tells what they were:
 * the next segment, or the checkpoint record, knows where they end. That is damage, and no end that
 * got lost; and the segment is not empty, although no offset of it is known.
 */
static void settle_bad_ends(struct log_partition *p, const struct recovery_row *row)
{
	LIST_EACH (&p->segments, n, after) {
		struct segment *s = CONTAINER_OF(n, struct segment, node);
		const struct segment *next = NULL;
		if (n->next != &p->segments.head)
			next = CONTAINER_OF(n->next, struct segment, node);
		bool recorded =
		    row && s->base_offset == row->segment && s->durable_size == row->segment_end;
		if (!s->bad_end)
			continue;
		if (recorded && s->end_offset < row->log_end) {
			s->end_offset = row->log_end;
			s->last_sequence = s->durable_sequence = row->last_sequence;
			s->last_link = s->durable_link = row->last_link;
		} else if (next && s->end_offset < next->base_offset) {
			s->end_offset = next->base_offset;
			s->last_link = s->durable_link = next->previous_link;
		}
	}
}

/* Was burnt: what had it was lost with an earlier life. */
static bool is_burnt(const struct recovery *r, uint64_t sequence)
{
	for (uint64_t i = 0; i < r->record.header.gap_count; i++)
		if (r->record.gaps[i].first <= sequence && sequence <= r->record.gaps[i].last)
			return true;
	return false;
}

/*
 * Segments without frames at the end: at most one stays, and only where the log goes on. One whose
 * offsets the segment before it holds was made for a roll that failed: the log went on without it.
 */
static enum err drop_all_unborn(struct recovery *r, struct log_partition *p)
{
	struct list_node *first = list_first(&p->segments);
	ASSERT(first);
	struct segment *end = CONTAINER_OF(first, struct segment, node), *kept = NULL;
	LIST_EACH (&p->segments, n, next) {
		struct segment *s = CONTAINER_OF(n, struct segment, node);
		if (s->size > SEGMENT_HEADER_BYTES)
			end = s;
		else if (s != end && s->base_offset < end->end_offset)
			TRY(drop_unborn(r, s));
	}
	for (struct list_node *n = end->node.next, *next = n->next; n != &p->segments.head;
	     n = next, next = n->next) {
		struct segment *s = CONTAINER_OF(n, struct segment, node);
		/* all that was there when it was made is durable: the log ends here, and what is
		 * between went below the log start. Not so where an earlier life lost the end. */
		bool born =
		    s->first_sequence <= r->sequence + 1 && !is_burnt(r, s->first_sequence - 1);
		if (!kept && (s->base_offset == end->end_offset || born))
			kept = s;
		else
			TRY(drop_unborn(r, s));
	}
	return ERR_OK;
}

enum err recovery_check_segments(struct log_partition *p, int64_t log_start)
{
	struct segment *before = NULL;
	struct list_node *first = list_first(&p->segments);
	struct segment *oldest = first ? CONTAINER_OF(first, struct segment, node) : NULL;
	if (oldest && oldest->base_offset > log_start) {
		recovery_verdict(ERR_MISSING_SEGMENT, "partition=%s from=%lld to=%lld", p->dir,
		    (long long)log_start, (long long)oldest->base_offset);
		partition_damaged(
		    p, oldest, SEGMENT_HEADER_BYTES, "records behind the log start are missing");
	}
	LIST_EACH (&p->segments, n, next) {
		struct segment *s = CONTAINER_OF(n, struct segment, node);
		if (before && before->end_offset < s->base_offset) {
			recovery_verdict(ERR_MISSING_SEGMENT, "partition=%s from=%lld to=%lld",
			    p->dir, (long long)before->end_offset, (long long)s->base_offset);
			partition_damaged(
			    p, s, SEGMENT_HEADER_BYTES, "records before this segment are missing");
		}
		if (before && before->end_offset > s->base_offset) {
			recovery_verdict(ERR_OVERLAP, "partition=%s end=%lld base=%lld", p->dir,
			    (long long)before->end_offset, (long long)s->base_offset);
			return err_note(ERR_OVERLAP, "two segments of %s hold offset %lld", p->dir,
			    (long long)s->base_offset);
		}
		before = s;
	}
	return ERR_OK;
}

static enum err read_first_append(struct recovery *r, struct segment *s)
{
	char path[LOG_PATH_MAX], name[SEGMENT_NAME_BYTES];
	uint8_t raw[FRAME_HEADER_BYTES];
	struct frame f;
	int fd;
	if (s->size == SEGMENT_HEADER_BYTES)
		return ERR_OK;
	TRY(partition_path(s->partition, segment_file_name(s, ".log", name), path));
	TRY(io_open(r->log->io, path, IO_READONLY, &fd));
	enum err e = io_pread_all(r->log->io, fd, raw, sizeof(raw), SEGMENT_HEADER_BYTES);
	if (e == ERR_OK && frame_decode(raw, s->seed, &f) == ERR_OK)
		s->created_ns = f.append_time_ns;
	if (e == ERR_IO) { /* who reads its records finds it; its age counts from now */
		partition_unread(s->partition, s, SEGMENT_HEADER_BYTES, e);
		e = ERR_OK;
	}
	enum err closed = io_close(r->log->io, fd);
	return e == ERR_OK ? closed : e;
}

static enum err find_in_file(
    struct recovery *r, struct segment *s, struct index_probe probe, struct index_entry *ret)
{
	char path[LOG_PATH_MAX], name[SEGMENT_NAME_BYTES];
	uint64_t number;
	int fd;
	TRY(partition_path(s->partition, segment_file_name(s, ".idx", name), path));
	TRY(io_open(r->log->io, path, IO_READONLY, &fd));
	enum err e = index_find_file(r->log->io, fd, s->index.file_count, probe, ret, &number);
	enum err closed = io_close(r->log->io, fd);
	TRY(closed);
	if (e == ERR_NOT_FOUND) /* then it is the first of those in memory */
		return index_find_memory(
		    &s->index, (struct index_probe){INDEX_BY_SEQUENCE, 0}, ret, &number);
	return e;
}

/* The first batch with the partition's greatest timestamp; where the disk does not say it, the
 * first of its segment. */
static enum err find_max_timestamp(struct recovery *r, struct log_partition *p)
{
	struct segment *at = NULL;
	LIST_EACH (&p->segments, n, next) {
		struct segment *s = CONTAINER_OF(n, struct segment, node);
		p->size_bytes += s->size;
		if (s->index.max_timestamp_ms > p->max_timestamp_ms) {
			p->max_timestamp_ms = s->index.max_timestamp_ms;
			at = s;
		}
	}
	if (!at)
		return ERR_OK;
	struct index_probe probe = {INDEX_BY_TIMESTAMP, (uint64_t)p->max_timestamp_ms};
	struct index_entry entry = {0};
	uint64_t number;
	enum err e = index_find_memory(&at->index, probe, &entry, &number);
	if (e == ERR_AGAIN)
		e = find_in_file(r, at, probe, &entry);
	if (e != ERR_OK && around_stops(e))
		return e;
	if (e != ERR_OK && e != ERR_NOT_FOUND && e != ERR_AGAIN) {
		metric_add(METRIC_READ_ERRORS, 1);
		diag(DIAG_WARN, "index_read", "partition=%s segment=%lld error=\"%s\"", p->dir,
		    (long long)at->base_offset, err_chain());
		err_clear();
	}
	p->max_timestamp_offset = e == ERR_OK ? entry.base_offset : at->base_offset;
	return ERR_OK;
}

/* An empty segment may have been made by a server that was killed before its file and names were
 * durable. */
static enum err make_durable(struct recovery *r, struct segment *s)
{
	char path[LOG_PATH_MAX];
	int fd;
	TRY(recovery_open(r, s, &fd));
	TRY(io_fsync(r->log->io, fd));
	TRY(engine_path(r->log, path, "topics/%s", s->partition->dir));
	TRY(io_fsync_dir(r->log->io, path));
	TRY(engine_path(r->log, path, "topics"));
	return io_fsync_dir(r->log->io, path);
}

enum err recovery_settle(struct recovery *r, struct log_partition *p)
{
	const struct recovery_row *row = recovery_row(r, p->key);
	LIST_EACH (&p->segments, n, next)
		TRY(settle_segment(r, CONTAINER_OF(n, struct segment, node)));
	settle_bad_ends(p, row);
	if (p->verdict == ERR_OK)
		TRY(drop_all_unborn(r, p));
	struct segment *active = partition_active(p);
	struct list_node *first = list_first(&p->segments);
	ASSERT(active && first);
	active->sealed = false;
	p->roll_soon = active->generation > 0; /* what was behind it is gone: never appended to */
	if (active->size == SEGMENT_HEADER_BYTES && !r->clean)
		TRY(make_durable(r, active));
	p->log_start = CONTAINER_OF(first, struct segment, node)->base_offset;
	p->log_end = p->visible_end = p->durable_end = active->end_offset;
	p->next_pos = active->size;
	p->next_link = active->last_link;
	LIST_EACH (&p->segments, n, next) {
		const struct segment *s = CONTAINER_OF(n, struct segment, node);
		if (s->last_sequence > 0)
			p->stamped_sequence = s->last_sequence;
	}
	recovery_short(r, p, row);
	TRY(damage_check(r, p));
	TRY(read_first_append(r, active));
	TRY(find_max_timestamp(r, p));
	TRY(recovery_transactions(r, p, transactions_from(r, p, row)));
	writer_release(&p->replay->buf);
	mem_free(p->replay);
	p->replay = NULL;
	return ERR_OK;
}
