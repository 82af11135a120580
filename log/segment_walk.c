/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of a segment file one after the other, read in large pieces and verified. */
#include "log/segment.h"

enum { WALK_READ_BYTES = 1024 * 1024 };

void segment_walk_init(
    struct segment_walk *w, struct io *io, int fd, struct frame_seed seed, size_t read_bytes)
{
	*w = (struct segment_walk){
	    .io = io,
	    .fd = fd,
	    .seed = seed,
	    .pos = SEGMENT_HEADER_BYTES,
	    .end = SEGMENT_HEADER_BYTES,
	    .check_body = true,
	    .read_bytes = read_bytes ? read_bytes : WALK_READ_BYTES,
	};
}

void segment_walk_release(struct segment_walk *w)
{
	mem_free(w->buf);
	w->buf = NULL;
	w->len = w->capacity = 0;
}

void segment_walk_range(struct segment_walk *w, uint32_t pos, uint32_t end)
{
	ASSERT(pos >= SEGMENT_HEADER_BYTES && pos <= end);
	if (pos < w->buf_pos || pos > w->buf_pos + w->len)
		w->len = 0;
	w->pos = pos;
	w->end = end;
}

void segment_walk_file(struct segment_walk *w, int fd, struct frame_seed seed)
{
	w->fd = fd;
	w->seed = seed;
	w->len = 0;
}

/* Makes [pos, pos + len) addressable. The caller has checked that it ends at or before w->end. */
static enum err walk_need(struct segment_walk *w, size_t len, const uint8_t **ret)
{
	if (w->len == 0 || w->pos < w->buf_pos || w->pos + len > w->buf_pos + w->len) {
		size_t want = w->read_bytes > len ? w->read_bytes : len;
		size_t room = w->end - w->pos;
		if (want > room)
			want = room;
		if (want > w->capacity) {
			size_t capacity = want > w->read_bytes ? want : w->read_bytes;
			uint8_t *grown = mem_alloc_aligned(64, capacity);
			if (!grown)
				return ERR_NOMEM;
			mem_free(w->buf);
			w->buf = grown;
			w->capacity = capacity;
		}
		w->buf_pos = w->pos;
		w->len = 0;
		const struct around_read from = {w->io, w->fd, w->pos};
		TRY(around_pread(w->around, &from, w->buf, want, &w->len));
		if (w->len < len)
			return err_note(ERR_CORRUPT, "segment ends at %llu, in the frame at %u",
			    (unsigned long long)w->buf_pos + w->len, w->pos);
	}
	*ret = w->buf + (w->pos - w->buf_pos);
	return ERR_OK;
}

enum err segment_walk_next(
    struct segment_walk *w, struct frame *ret_frame, uint32_t *ret_pos, struct bytes *ret_batch)
{
	while (w->pos < w->end) {
		const uint8_t *at;
		struct frame f;
		w->bad_header = true; /* until it has proved good */
		if (w->end - w->pos < FRAME_HEADER_BYTES)
			return err_note(ERR_CORRUPT, "frame at %u: cut short", w->pos);
		TRY(walk_need(w, FRAME_HEADER_BYTES, &at));
		enum err e = frame_decode(at, w->seed, &f);
		if (e != ERR_OK)
			return err_note(e, "frame at %u", w->pos);
		size_t len = FRAME_HEADER_BYTES + (size_t)f.length;
		if (len > w->end - w->pos)
			return err_note(ERR_CORRUPT, "frame at %u: %zu bytes pass the end %u",
			    w->pos, len, w->end);
		TRY(walk_need(w, len, &at));
		struct bytes body = bytes_of(at + FRAME_HEADER_BYTES, f.length);
		uint32_t pos = w->pos;
		w->bad_header = false;
		w->pos += (uint32_t)len;
		if ((f.flags & FRAME_PAD) && !w->want_pads)
			continue; /* its bytes say nothing: rot in them is no reader's */
		e = w->check_body ? frame_check_body(&f, w->seed, body) : ERR_OK;
		if ((f.flags & FRAME_HOLE) && !w->holes && e == ERR_OK)
			continue;
		*ret_frame = f;
		*ret_pos = pos;
		*ret_batch = body;
		return e == ERR_OK ? ERR_OK : err_note(e, "frame at %u", pos);
	}
	return ERR_EOF;
}

enum err segment_check_file(struct io *io, int fd, struct frame_seed seed)
{
	uint8_t raw[SEGMENT_HEADER_BYTES];
	struct segment_header h;
	TRY(io_pread_all(io, fd, raw, sizeof(raw), 0));
	TRY(segment_header_decode(raw, &h));
	struct frame_seed found = frame_seed_of(h.seed);
	bool same = found.header == seed.header && found.body == seed.body;
	return same ? ERR_OK : err_note(ERR_NOT_FOUND, "fd %d is another segment", fd);
}

bool segment_frame_holds(
    struct io *io, int fd, struct frame_seed seed, uint32_t pos, int64_t offset)
{
	uint8_t raw[FRAME_HEADER_BYTES];
	struct frame f;
	size_t mark = err_mark();
	if (pos < SEGMENT_HEADER_BYTES)
		return false;
	enum err e = io_pread_all(io, fd, raw, sizeof(raw), pos);
	if (e != ERR_OK && e != ERR_EOF) /* the caller walks, and may have more luck */
		diag(DIAG_WARN, "frame_read", "pos=%u error=\"%s\"", pos, err_chain());
	bool good = e == ERR_OK && frame_decode(raw, seed, &f) == ERR_OK &&
	            !(f.flags & FRAME_PAD) && f.base_offset <= offset &&
	            offset <= f.base_offset + (int64_t)f.last_offset_delta;
	err_rewind(mark);
	return good;
}
