/* SPDX-License-Identifier: Apache-2.0 */
/* One piece of a scrub: reading, checking, and what the journal can do about it. See scrub.h. */
#include "log/engine.h"
#include "log/scrub.h"
#include <stdio.h>

#define SCRUB_PIECE_BYTES MIB

struct piece_buf {
	uint8_t *ptr; /* aligned */
	size_t capacity, len;
	uint64_t from; /* position in the file */
};

/* ---- reading --------------------------------------------------------------------------------- */

/*
 * Through the page cache only what it has some of: dirty pages would have to be written first. What
 * is not there stays out, or the next consumer would find it and go on through the page cache, at
 * several times the price (read.c).
 */
static enum err cached_open(const struct scrub_piece *p, int *ret_fd)
{
	size_t len = p->end - p->pos < SCRUB_PIECE_BYTES ? p->end - p->pos : SCRUB_PIECE_BYTES;
	int fd;
	TRY(io_open(p->io, p->path, IO_READONLY, &fd));
	if (io_uncached(p->io, fd, p->pos, len) < len) {
		*ret_fd = fd;
		return ERR_OK;
	}
	enum err closed = io_close(p->io, fd);
	return closed == ERR_OK ? ERR_AGAIN : closed;
}

static enum err piece_open(const struct scrub_piece *p, int *ret_fd)
{
	enum err err = p->cached ? cached_open(p, ret_fd) : ERR_AGAIN;
	if (err != ERR_AGAIN)
		return err;
	err = io_open(p->io, p->path, IO_READONLY | IO_DIRECT, ret_fd);
	if (err != ERR_UNSUPPORTED)
		return err;
	err_clear();
	return io_open(p->io, p->path, IO_READONLY, ret_fd);
}

/* At least `want` bytes from `pos`, or up to the end of the file. */
static enum err piece_fill(
    struct scrub_piece *p, int fd, struct piece_buf *b, uint32_t pos, size_t want)
{
	const uint64_t align = IO_DIRECT_ALIGN;
	b->from = pos / align * align;
	size_t len = (size_t)((pos - b->from + want + align - 1) / align * align);
	if (len > b->capacity) {
		mem_free(b->ptr);
		b->ptr = mem_alloc_aligned(IO_DIRECT_ALIGN, len);
		b->capacity = b->ptr ? len : 0;
		if (!b->ptr)
			return ERR_NOMEM;
	}
	enum err err = io_pread(p->io, fd, b->ptr, len, b->from, &b->len);
	p->unread = err == ERR_IO;
	p->bytes += err == ERR_OK ? b->len : 0;
	return err;
}

/* ---- one frame ------------------------------------------------------------------------------- */

/* Checks the frame at `pos`. ERR_AGAIN: *ret_len bytes from there are needed. */
static enum err check_frame(
    const struct scrub_piece *p, const struct piece_buf *b, uint32_t pos, size_t *ret_len)
{
	size_t at = (size_t)(pos - b->from), left = b->len > at ? b->len - at : 0;
	struct frame f;
	*ret_len = FRAME_HEADER_BYTES;
	if (left < FRAME_HEADER_BYTES)
		return ERR_AGAIN;
	TRY(frame_decode(b->ptr + at, p->seed, &f));
	*ret_len = FRAME_HEADER_BYTES + (size_t)f.length;
	if (*ret_len > p->end - pos)
		return err_note(ERR_CORRUPT, "frame passes the end");
	if (left < *ret_len)
		return ERR_AGAIN;
	return frame_check_body(&f, p->seed, bytes_of(b->ptr + at + FRAME_HEADER_BYTES, f.length));
}

/* ---- repair ---------------------------------------------------------------------------------- */

static bool is_ours(const struct scrub_piece *p, const struct journal_item *item)
{
	return item->kind == JOURNAL_FRAME && !(item->flags & FRAME_DIRECT) &&
	       item->pos == p->bad_pos && item->segment == p->base_offset &&
	       item->partition == p->partition && log_uuid_equal(item->topic_id, p->topic_id);
}

/* The journal's bytes for the place must verify under the segment's own secret. */
static bool verifies(const struct scrub_piece *p, struct bytes raw)
{
	struct frame f;
	bool good =
	    raw.len >= FRAME_HEADER_BYTES && raw.len <= p->end - p->bad_pos &&
	    frame_decode(raw.ptr, p->seed, &f) == ERR_OK &&
	    FRAME_HEADER_BYTES + (size_t)f.length == raw.len &&
	    frame_check_body(&f, p->seed, bytes_slice(raw, FRAME_HEADER_BYTES, raw.len)) == ERR_OK;
	err_clear();
	return good;
}

static enum err rewrite(struct scrub_piece *p, struct bytes raw)
{
	int fd;
	TRY(io_open(p->io, p->path, 0, &fd));
	enum err err = io_pwrite(p->io, fd, raw.ptr, raw.len, p->bad_pos);
	if (err == ERR_OK)
		err = io_fdatasync(p->io, fd);
	enum err closed = io_close(p->io, fd);
	TRY(err);
	TRY(closed);
	p->finding = SCRUB_REPAIRED;
	p->next_pos = p->bad_pos + (uint32_t)raw.len;
	return ERR_OK;
}

static enum err repair_from(struct scrub_piece *p, struct journal_iter *it)
{
	struct journal_found found;
	enum err err;
	while ((err = journal_iter_next(it, &found)) == ERR_OK) {
		p->bytes += found.entry.length;
		for (uint32_t i = 0; found.good && i < found.entry.item_count; i++) {
			struct journal_item item = journal_found_item(&found, i);
			struct bytes raw = {found.buf + item.at, item.len};
			if (is_ours(p, &item) && verifies(p, raw))
				return rewrite(p, raw);
		}
	}
	return err == ERR_EOF ? ERR_OK : err;
}

/* The server writes the journal meanwhile: an entry counts only as far as it verifies. */
void scrub_mend(struct scrub_piece *p)
{
	p->finding = SCRUB_DAMAGED;
	for (unsigned file = 0; file < JOURNAL_FILES && p->finding == SCRUB_DAMAGED; file++) {
		char path[LOG_PATH_MAX], name[16];
		struct journal_iter it;
		int n = snprintf(
		    path, sizeof(path), "%s/%s", p->journal_dir, journal_file_name(file, name));
		if (n < 0 || (size_t)n >= sizeof(path))
			return;
		enum err err = journal_iter_open(&it, p->io, path, 0);
		if (err == ERR_OK) {
			err = repair_from(p, &it);
			journal_iter_release(&it);
		}
		if (err != ERR_OK)
			diag(DIAG_WARN, "scrub_journal", "path=%s error=\"%s\"", path, err_chain());
		err_clear();
	}
}

/* ---- behind a bad place ---------------------------------------------------------------------- */

uint32_t scrub_index_behind(const struct scrub_piece *p)
{
	char path[LOG_PATH_MAX];
	uint8_t raw[INDEX_ENTRY_BYTES];
	struct io_stat stat;
	uint32_t found = p->end;
	int fd;
	size_t len = strlen(p->path);
	memcpy(path, p->path, len + 1);
	memcpy(path + len - 4, ".idx", 4);
	if (io_open(p->io, path, IO_READONLY, &fd) != ERR_OK)
		return found;
	uint64_t low = 0, high = 0;
	if (io_fstat(p->io, fd, &stat) == ERR_OK && stat.size_bytes > INDEX_HEADER_BYTES)
		high = (stat.size_bytes - INDEX_HEADER_BYTES) / INDEX_ENTRY_BYTES;
	while (low < high) {
		uint64_t mid = low + (high - low) / 2;
		if (io_pread_all(p->io, fd, raw, sizeof(raw),
		        INDEX_HEADER_BYTES + mid * INDEX_ENTRY_BYTES) != ERR_OK)
			break;
		struct index_entry e = index_entry_decode(raw);
		if (e.pos > p->bad_pos && e.pos < p->end) {
			found = e.pos;
			high = mid;
		} else if (e.pos > p->bad_pos) {
			high = mid;
		} else {
			low = mid + 1;
		}
	}
	if (io_close(p->io, fd) != ERR_OK)
		found = p->end;
	err_clear();
	return found;
}

static void bad_frame(struct scrub_piece *p, uint32_t pos, size_t len)
{
	snprintf(p->why, sizeof(p->why), "%s", err_chain());
	err_clear();
	p->bad_pos = pos;
	scrub_mend(p);
	if (p->finding == SCRUB_REPAIRED)
		return;
	bool header = len > FRAME_HEADER_BYTES && len <= p->end - pos;
	p->next_pos = header ? pos + (uint32_t)len : scrub_index_behind(p);
}

/* ---- the piece ------------------------------------------------------------------------------- */

static enum err read_frames(struct scrub_piece *p, int fd, struct piece_buf *b)
{
	uint32_t pos = p->pos;
	size_t len;
	TRY(piece_fill(p, fd, b, pos, SCRUB_PIECE_BYTES));
	while (pos < p->end) {
		enum err err = check_frame(p, b, pos, &len);
		if (err == ERR_AGAIN && pos > p->pos)
			break; /* with the next piece */
		if (err == ERR_AGAIN) {
			TRY(piece_fill(p, fd, b, pos, len));
			err = check_frame(p, b, pos, &len);
		}
		if (err == ERR_AGAIN)
			err = err_note(ERR_CORRUPT, "the file ends in a frame");
		if (err != ERR_OK) {
			bad_frame(p, pos, len);
			return ERR_OK;
		}
		pos += (uint32_t)len;
	}
	p->next_pos = pos;
	return ERR_OK;
}

void scrub_read(struct scrub_piece *p)
{
	struct piece_buf b = {0};
	int fd;
	err_clear();
	p->bytes = 0;
	p->unread = false;
	p->finding = SCRUB_GOOD;
	p->next_pos = p->end;
	p->err = piece_open(p, &fd);
	if (p->err != ERR_OK)
		return;
	p->err = read_frames(p, fd, &b);
	(void)!io_close(p->io, fd); /* nothing was written */
	mem_free(b.ptr);
}
