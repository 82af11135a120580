/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Indexes during recovery. While it runs, a segment's durable_size says how far its index covers
 * it, and end_offset, last_sequence, last_link belong to the frame before that. An index file is
 * believed as far as its last entry in range agrees with the frame it points to; what is missing is
 * made from the frames.
 *
 * A start with thousands of small segments must not wait for a frame of each of them to come from
 * the disk. A sealed index was written after its segment was durable, and has a checksum over all
 * of it: when that and the size of the segment are right, it is believed without a look at the
 * frames. Their rot is found as in the middle of any segment: by who reads them, and by the
 * scrubber.
 */
#include "log/batch.h"
#include "log/engine.h"
#include "log/recovery.h"
#include <stdio.h>

enum { INDEX_READ_BYTES = 16384 };

int64_t recovery_max_timestamp(const struct frame *f, struct bytes batch)
{
	struct batch_header h;
	bool records = (f->flags & (FRAME_PAD | FRAME_HOLE)) == 0 &&
	               batch_header_read(batch, &h) == ERR_OK && h.count > 0;
	return records ? h.max_timestamp_ms : -1;
}

enum err recovery_index_frame(
    struct segment *s, const struct frame *f, int64_t max_timestamp_ms, uint32_t pos)
{
	uint32_t len = FRAME_HEADER_BYTES + f->length;
	ASSERT(pos == s->durable_size);
	if (f->flags & FRAME_PAD) {
		s->durable_size = pos + len;
		s->last_link = f->link;
		return ERR_OK;
	}
	TRY(index_promise(&s->index));
	index_push(&s->index, (struct index_entry){.base_offset = f->base_offset,
	                          .pos = pos,
	                          .len = len,
	                          .max_timestamp_ms = max_timestamp_ms,
	                          .sequence = f->sequence});
	s->bad_end = false;
	s->durable_size = pos + len;
	s->end_offset = f->base_offset + (int64_t)f->last_offset_delta + 1;
	s->last_sequence = f->sequence;
	s->last_link = f->link;
	s->last_append_ns = f->append_time_ns;
	return ERR_OK;
}

enum err recovery_index_hole(struct segment *s, uint32_t pos, uint32_t end)
{
	/* nobody knows the sequence that was there, but that they ascend */
	uint64_t sequence = s->last_sequence + 1;
	if (sequence < s->first_sequence)
		sequence = s->first_sequence;
	partition_damaged(s->partition, s, pos, "does not verify");
	TRY(index_promise(&s->index));
	index_push(&s->index, (struct index_entry){.base_offset = s->end_offset,
	                          .pos = pos,
	                          .len = end - pos,
	                          .max_timestamp_ms = -1,
	                          .sequence = sequence});
	s->last_sequence = sequence;
	s->bad_end = true;
	s->durable_size = end;
	return ERR_OK;
}

static enum err index_walk(
    struct recovery *r, struct segment *s, int fd, uint32_t end, uint64_t *ret_frames)
{
	struct segment_walk w;
	struct frame f;
	struct bytes batch;
	struct around around;
	uint32_t pos;
	segment_walk_init(&w, r->log->io, fd, s->seed, 0);
	w.holes = true;
	segment_walk_range(&w, s->durable_size, end);
	w.want_pads = true;
	recovery_around(s, &around);
	w.around = &around;
	enum err e = ERR_OK;
	*ret_frames = 0;
	while (e == ERR_OK) {
		e = segment_walk_next(&w, &f, &pos, &batch);
		if (e == ERR_OK || (e == ERR_CORRUPT && w.pos > s->durable_size)) {
			if (e == ERR_CORRUPT)
				partition_damaged(s->partition, s, pos, err_chain());
			e = recovery_index_frame(s, &f, recovery_max_timestamp(&f, batch), pos);
			*ret_frames += !(f.flags & FRAME_PAD);
		}
	}
	segment_walk_release(&w);
	if (e == ERR_CORRUPT)
		return recovery_index_hole(s, s->durable_size, end);
	return e == ERR_EOF ? ERR_OK : e;
}

/* ---- the file -------------------------------------------------------------------------------- */

/* An open index file, and its beginning: of thousands of small segments that is all of it. */
struct index_file {
	struct io *io;
	int fd;
	size_t len; /* of `head` */
	uint8_t head[INDEX_READ_BYTES];
};

static enum err entry_read(const struct index_file *x, uint64_t number, struct index_entry *ret)
{
	uint64_t at = INDEX_HEADER_BYTES + number * INDEX_ENTRY_BYTES;
	uint8_t raw[INDEX_ENTRY_BYTES];
	if (at + sizeof(raw) <= x->len)
		memcpy(raw, x->head + at, sizeof(raw));
	else
		TRY(io_pread_all(x->io, x->fd, raw, sizeof(raw), at));
	*ret = index_entry_decode(raw);
	return ERR_OK;
}

/* How many entries lie before `end`; the last of them. */
static enum err entries_before(const struct index_file *x, uint64_t count, uint32_t end,
    uint64_t *ret_count, struct index_entry *ret_last)
{
	uint64_t low = 0, high = count;
	struct index_entry e;
	while (low < high) {
		uint64_t mid = low + (high - low) / 2;
		TRY(entry_read(x, mid, &e));
		if (e.pos < end && e.len <= end - e.pos)
			low = mid + 1;
		else
			high = mid;
	}
	if (low > 0)
		TRY(entry_read(x, low - 1, ret_last));
	*ret_count = low;
	return ERR_OK;
}

/* The frame an entry points to must be the one it says. */
static enum err entry_agrees(
    struct recovery *r, struct segment *s, int fd, const struct index_entry *e, struct frame *ret)
{
	uint8_t raw[FRAME_HEADER_BYTES];
	enum err read = io_pread_all(r->log->io, fd, raw, sizeof(raw), e->pos);
	if (read == ERR_IO) /* of the segment, not of the index: the walk tells it */
		return err_note(ERR_CORRUPT, "the frame at %u cannot be read", e->pos);
	TRY(read);
	TRY(frame_decode(raw, s->seed, ret));
	if (ret->base_offset != e->base_offset || ret->sequence != e->sequence ||
	    FRAME_HEADER_BYTES + ret->length != e->len)
		return err_note(ERR_CORRUPT, "index entry and frame at %u disagree", e->pos);
	return ERR_OK;
}

static enum err file_adopt(struct recovery *r, struct segment *s, int fd, int idx, uint32_t end)
{
	struct io *io = r->log->io;
	struct index_file x = {.io = io, .fd = idx};
	struct index_header h;
	struct index_entry last = {0}, first;
	struct frame f;
	uint64_t count;

	TRY(io_pread(io, idx, x.head, sizeof(x.head), 0, &x.len));
	if (x.len < INDEX_HEADER_BYTES)
		return err_note(ERR_EOF, "index is shorter than its header");
	TRY(index_header_decode(x.head, &h));
	struct io_stat st = {.size_bytes = x.len};
	if (x.len == sizeof(x.head))
		TRY(io_fstat(io, idx, &st));
	uint64_t all = (st.size_bytes - INDEX_HEADER_BYTES) / INDEX_ENTRY_BYTES;
	bool sealed = (h.flags & INDEX_SEALED) != 0, whole = x.len < sizeof(x.head);
	if (h.base_offset != s->base_offset || h.generation != s->generation ||
	    (sealed && h.count != all))
		return err_note(ERR_CORRUPT, "index is of another segment or cut");
	if (sealed && whole &&
	    index_bytes_hash(bytes_of(
	        x.head + INDEX_HEADER_BYTES, (size_t)all * INDEX_ENTRY_BYTES)) != h.entries_hash)
		return err_note(ERR_CORRUPT, "checksum of the index does not verify");
	TRY(entries_before(&x, all, end, &count, &last));
	if (count > 0) {
		TRY(entry_read(&x, 0, &first));
		if (first.pos < SEGMENT_HEADER_BYTES || first.base_offset != s->base_offset)
			return err_note(ERR_CORRUPT, "index does not begin where the segment does");
		TRY(entry_agrees(r, s, fd, &last, &f));
	}
	if (count < all || st.size_bytes != INDEX_HEADER_BYTES + all * INDEX_ENTRY_BYTES)
		TRY(io_truncate(io, idx, INDEX_HEADER_BYTES + count * INDEX_ENTRY_BYTES));
	if (count == 0)
		return ERR_OK;
	s->index.file_count = count;
	s->index.max_timestamp_ms = last.max_timestamp_ms;
	s->index_sealed = sealed && count == all;
	s->index.trusted = sealed && whole;
	s->durable_size = last.pos + last.len;
	s->end_offset = f.base_offset + (int64_t)f.last_offset_delta + 1;
	s->last_sequence = f.sequence;
	s->last_link = f.link;
	s->last_append_ns = f.append_time_ns;
	return ERR_OK;
}

/* The header and the last entry of a whole sealed index; *ret_whole false: it is not one, or too
 * large for one read. */
static enum err sealed_read(struct index_file *x, bool *ret_whole, struct index_header *ret_header,
    struct index_entry *ret_last)
{
	struct index_header h;
	*ret_whole = false;
	TRY(io_pread(x->io, x->fd, x->head, sizeof(x->head), 0, &x->len));
	if (x->len < INDEX_HEADER_BYTES + INDEX_ENTRY_BYTES || x->len == sizeof(x->head))
		return ERR_OK;
	struct bytes entries = bytes_of(x->head + INDEX_HEADER_BYTES, x->len - INDEX_HEADER_BYTES);
	if (index_header_decode(x->head, &h) != ERR_OK || !(h.flags & INDEX_SEALED) ||
	    entries.len / INDEX_ENTRY_BYTES != h.count || entries.len % INDEX_ENTRY_BYTES != 0 ||
	    index_bytes_hash(entries) != h.entries_hash)
		return ERR_OK;
	*ret_last = index_entry_decode(entries.ptr + entries.len - INDEX_ENTRY_BYTES);
	*ret_header = h;
	*ret_whole = true;
	return ERR_OK;
}

enum err recovery_index_sealed(struct segment *s, uint32_t end, bool *ret_taken)
{
	struct index_file x = {.io = s->partition->log->io};
	struct index_header h = {0};
	struct index_entry last = {0};
	char path[LOG_PATH_MAX], name[SEGMENT_NAME_BYTES];
	bool whole = false;
	*ret_taken = false;
	if (!s->sealed || end != s->size || s->durable_size != SEGMENT_HEADER_BYTES)
		return ERR_OK;
	const struct segment *next = CONTAINER_OF(s->node.next, struct segment, node);
	size_t mark = err_mark();
	TRY(partition_path(s->partition, segment_file_name(s, ".idx", name), path));
	enum err e;
	int tries = 0;
	do {
		e = io_open(x.io, path, IO_READONLY, &x.fd);
		if (e != ERR_OK)
			continue;
		e = sealed_read(&x, &whole, &h, &last);
		enum err closed = io_close(x.io, x.fd);
		e = e == ERR_OK ? closed : e;
	} while (around_again(path, e, tries++));
	if (e != ERR_OK && around_stops(e))
		return e;
	err_rewind(mark); /* recovery_index says what is wrong with it */
	if (!whole || h.base_offset != s->base_offset || h.generation != s->generation ||
	    h.segment_bytes != end || h.end_offset <= last.base_offset ||
	    h.end_offset != next->base_offset)
		return ERR_OK;
	s->index.file_count = h.count;
	s->index.max_timestamp_ms = last.max_timestamp_ms;
	s->index_sealed = true;
	s->durable_size = end;
	s->end_offset = h.end_offset;
	s->last_sequence = last.sequence;
	s->last_link = next->previous_link;
	s->last_append_ns = h.last_append_ns;
	*ret_taken = true;
	return ERR_OK;
}

/* *ret_usable false: it cannot be opened or read, and cannot be expected to take a new content. */
static enum err index_adopt(
    struct recovery *r, struct segment *s, int fd, uint32_t end, bool *ret_usable)
{
	int idx, tries = 0;
	enum err e;
	char path[LOG_PATH_MAX], name[SEGMENT_NAME_BYTES];
	TRY(partition_path(s->partition, segment_file_name(s, ".idx", name), path));
	do {
		e = io_open(r->log->io, path, 0, &idx);
		*ret_usable = e == ERR_OK || e == ERR_NOT_FOUND;
		if (e != ERR_OK)
			continue;
		e = file_adopt(r, s, fd, idx, end);
		*ret_usable = e == ERR_OK || e == ERR_CORRUPT || e == ERR_EOF;
		enum err closed = io_close(r->log->io, idx);
		e = e == ERR_OK ? closed : e;
	} while (around_again(path, e, tries++));
	return e;
}

/* To quarantine/, whatever it is (a directory, too): the name is free for a new one. */
static enum err index_aside(struct recovery *r, const struct segment *s)
{
	const struct log_partition *p = s->partition;
	struct log *log = r->log;
	char from[LOG_PATH_MAX], to[LOG_PATH_MAX], name[SEGMENT_NAME_BYTES], id[40], why[512];
	snprintf(why, sizeof(why), "%s", err_chain());
	for (int i = 0; i < 16; i++)
		snprintf(id + 2 * i, 3, "%02x", p->key.topic_id.b[i]);
	TRY(partition_path(p, segment_file_name(s, ".idx", name), from));
	TRY(engine_path(log, to, "quarantine"));
	TRY(io_mkdir_all(log->io, to));
	TRY(engine_path(log, to, "quarantine/index-%s-%d-%lld-g%u-epoch%u", id, p->key.partition,
	    (long long)s->base_offset, s->file_generation, r->epoch));
	diag(DIAG_WARN, "index_aside", "path=%s to=%s error=\"%s\"", from, to, why);
	enum err e = io_rename(log->io, from, to);
	if (e != ERR_OK)
		return err_note(
		    e, "%s: cannot be read, nor moved away; it is a cache: remove it", from);
	err_clear();
	return ERR_OK;
}

enum err recovery_index(struct recovery *r, struct segment *s, int fd, uint32_t end)
{
	uint64_t frames;
	if (s->durable_size >= end)
		return ERR_OK;
	bool first = s->durable_size == SEGMENT_HEADER_BYTES;
	if (first) {
		bool usable;
		err_clear();
		enum err e = index_adopt(r, s, fd, end, &usable);
		if (e != ERR_OK && around_stops(e))
			return e;
		if (!usable)
			TRY(index_aside(r, s));
	}
	if (s->durable_size == end)
		return ERR_OK;
	uint32_t from = s->durable_size;
	TRY(index_walk(r, s, fd, end, &frames));
	if (frames == 0 && !s->partition->damaged)
		return ERR_OK; /* only padding: it has no entry */
	recovery_verdict(first ? ERR_REBUILT : ERR_REPAIRED,
	    "partition=%s segment=%lld what=%s from=%u to=%u frames=%llu", s->partition->dir,
	    (long long)s->base_offset, first ? "index" : "frames", from, end,
	    (unsigned long long)frames);
	return ERR_OK;
}
