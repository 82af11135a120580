/* SPDX-License-Identifier: Apache-2.0 */
/* See compact_write.h. */
#include "log/compact_write.h"
#include "log/batch.h"
#include "log/engine.h"
#include <stdio.h>

#define OUT_BUFFER_BYTES MIB
enum { OUT_ENTRIES_BYTES = 64 * 1024 };

static enum err out_path(const struct segment_out *o, const char *suffix, char *buf)
{
	char name[SEGMENT_NAME_BYTES];
	int n = snprintf(buf, LOG_PATH_MAX, "%s/%s", o->dir,
	    segment_name_of(o->header.base_offset, o->header.generation, suffix, name));
	return n > 0 && n < LOG_PATH_MAX ? ERR_OK
	                                 : err_note(ERR_LIMIT, "%s: path too long", o->dir);
}

enum err segment_out_begin(
    struct segment_out *o, struct io *io, const char *dir, const struct segment_header *header)
{
	char path[LOG_PATH_MAX];
	ASSERT(header->generation > 0 && header->format_version == SEGMENT_VERSION_REWRITTEN);
	*o = (struct segment_out){.io = io, .dir = dir, .header = *header, .fd = -1, .idx = -1};
	o->max_timestamp_ms = o->max_timestamp_offset = -1;
	o->size = SEGMENT_HEADER_BYTES;
	o->link = header->previous_link;
	o->idx_pos = INDEX_HEADER_BYTES;
	writer_init(&o->buf, SIZE_MAX);
	writer_init(&o->entries, SIZE_MAX);
	io_random(io, o->header.seed, sizeof(o->header.seed));
	o->seed = frame_seed_of(o->header.seed);
	TRY(out_path(o, ".log.new", path));
	TRY(io_open(io, path, IO_CREATE, &o->fd));
	TRY(io_truncate(io, o->fd, 0));
	TRY(out_path(o, ".idx.new", path));
	TRY(io_open(io, path, IO_CREATE, &o->idx));
	TRY(io_truncate(io, o->idx, 0));
	uint8_t *block = writer_reserve(&o->buf, SEGMENT_HEADER_BYTES);
	if (!block)
		return o->buf.err;
	segment_header_encode(&o->header, block);
	return ERR_OK;
}

static enum err out_flush(struct segment_out *o, bool all)
{
	if (o->buf.len >= OUT_BUFFER_BYTES || (all && o->buf.len > 0)) {
		TRY(io_pwrite(o->io, o->fd, o->buf.ptr, o->buf.len, o->pos));
		o->pos += o->buf.len;
		writer_clear(&o->buf);
	}
	if (o->entries.len >= OUT_ENTRIES_BYTES || (all && o->entries.len > 0)) {
		TRY(io_pwrite(o->io, o->idx, o->entries.ptr, o->entries.len, o->idx_pos));
		o->idx_pos += o->entries.len;
		writer_clear(&o->entries);
	}
	return ERR_OK;
}

/* One frame with its index entry. `f` has all but link and checksums. */
static enum err out_frame(struct segment_out *o, struct frame *f, struct bytes body)
{
	uint32_t len = FRAME_HEADER_BYTES + f->length;
	if (len > SEGMENT_BYTES_MAX - o->size)
		return err_note(ERR_LIMIT, "segment %lld generation %u would be too large",
		    (long long)o->header.base_offset, o->header.generation);
	uint8_t *at = writer_reserve(&o->buf, FRAME_HEADER_BYTES);
	if (!at)
		return o->buf.err;
	frame_encode(f, o->seed, o->link, body, at);
	write_bytes(&o->buf, body);
	struct index_entry entry = {.base_offset = f->base_offset,
	    .pos = o->size,
	    .len = len,
	    .max_timestamp_ms = o->max_timestamp_ms,
	    .sequence = f->sequence};
	at = writer_reserve(&o->entries, INDEX_ENTRY_BYTES);
	if (at)
		index_entry_encode(&entry, at);
	TRY(o->entries.err);
	TRY(o->buf.err);
	o->link = f->link;
	o->size += len;
	o->entry_count++;
	o->last_append_ns = f->append_time_ns;
	return out_flush(o, false);
}

/* Writes the hole that has gathered, in pieces that an offset delta can tell. */
static enum err hole_end(struct segment_out *o)
{
	uint8_t body[FRAME_HOLE_BYTES];
	if (o->hole_body.batches == 0)
		return ERR_OK;
	struct frame f = o->hole;
	int64_t last = f.base_offset + (int64_t)f.last_offset_delta;
	f.version = FRAME_VERSION_HOLE;
	f.flags = FRAME_HOLE;
	f.length = FRAME_HOLE_BYTES;
	f.principal = 0;
	f.base_offset = o->hole_base;
	f.last_offset_delta = (uint32_t)(last - o->hole_base);
	frame_hole_encode(&o->hole_body, body);
	o->hole_body.batches = 0;
	o->holes++;
	return out_frame(o, &f, bytes_of(body, sizeof(body)));
}

enum err segment_out_batch(struct segment_out *o, const struct frame *from, struct bytes batch)
{
	struct batch_header h;
	TRY(hole_end(o));
	TRY(batch_header_read(batch, &h));
	struct frame f = *from;
	f.flags = 0;
	f.length = (uint32_t)batch.len;
	if (h.count > 0 && h.max_timestamp_ms > o->max_timestamp_ms) {
		o->max_timestamp_ms = h.max_timestamp_ms;
		o->max_timestamp_offset = f.base_offset;
	}
	return out_frame(o, &f, batch);
}

enum err segment_out_hole(
    struct segment_out *o, const struct frame *from, const struct frame_hole *body)
{
	int64_t last = from->base_offset + (int64_t)from->last_offset_delta;
	const struct frame_hole one = {.first_sequence = from->sequence, .batches = 1};
	if (!body)
		body = &one;
	if (o->hole_body.batches > 0 && last - o->hole_base > INT32_MAX)
		TRY(hole_end(o));
	if (o->hole_body.batches == 0) {
		o->hole_base = from->base_offset;
		o->hole_body.first_sequence = body->first_sequence;
	}
	o->hole_body.batches += body->batches;
	o->hole = *from;
	return ERR_OK;
}

static enum err index_end(struct segment_out *o)
{
	uint8_t head[INDEX_HEADER_BYTES];
	struct index_header h = {.version = INDEX_VERSION,
	    .flags = INDEX_SEALED,
	    .base_offset = o->header.base_offset,
	    .count = o->entry_count,
	    .segment_bytes = o->size,
	    .generation = o->header.generation,
	    .last_append_ns = o->last_append_ns,
	    .end_offset = o->header.rewrite.end_offset};
	TRY(index_file_hash(o->io, o->idx, o->entry_count, &h.entries_hash));
	index_header_encode(&h, head);
	TRY(io_pwrite(o->io, o->idx, head, sizeof(head), 0));
	return io_fdatasync(o->io, o->idx);
}

static enum err out_rename(const struct segment_out *o, const char *suffix, const char *final)
{
	char from[LOG_PATH_MAX], to[LOG_PATH_MAX];
	TRY(out_path(o, suffix, from));
	TRY(out_path(o, final, to));
	return io_rename(o->io, from, to);
}

static enum err out_close(struct segment_out *o)
{
	enum err e = o->fd >= 0 ? io_close(o->io, o->fd) : ERR_OK;
	enum err idx = o->idx >= 0 ? io_close(o->io, o->idx) : ERR_OK;
	o->fd = o->idx = -1;
	return e == ERR_OK ? idx : e;
}

enum err segment_out_finish(struct segment_out *o)
{
	TRY(hole_end(o));
	TRY(out_flush(o, true));
	ASSERT(o->pos == o->size);
	TRY(index_end(o));
	TRY(io_fsync(o->io, o->fd));
	TRY(out_close(o));
	/* the segment last: without it the index is nobody's */
	TRY(out_rename(o, ".idx.new", ".idx"));
	TRY(out_rename(o, ".log.new", ".log"));
	o->unsure = true;
	TRY(io_fsync_dir(o->io, o->dir));
	o->unsure = false;
	return ERR_OK;
}

static void out_unlink(const struct segment_out *o, const char *suffix)
{
	char path[LOG_PATH_MAX];
	size_t mark = err_mark();
	enum err e = out_path(o, suffix, path);
	if (e == ERR_OK)
		e = io_unlink(o->io, path);
	if (e != ERR_OK && e != ERR_NOT_FOUND)
		diag(DIAG_WARN, "compact_leftover", "path=%s error=\"%s\"", path, err_chain());
	err_rewind(mark);
}

void segment_out_release(struct segment_out *o)
{
	if (!o->io)
		return;
	bool open = o->fd >= 0 || o->idx >= 0;
	if (out_close(o) != ERR_OK)
		diag(DIAG_WARN, "segment_close", "error=\"%s\"", err_chain());
	if (open) {
		out_unlink(o, ".log.new");
		out_unlink(o, ".idx.new");
	}
	writer_release(&o->buf);
	writer_release(&o->entries);
	*o = (struct segment_out){0};
}
