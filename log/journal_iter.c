/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk over a journal file. It steps in blocks and not from entry to entry, so that a bad entry
 * does not hide good ones behind it, and a stale header (a lost write) does not hide what was
 * written over its body.
 */
#include "log/journal.h"

#define WINDOW_BYTES (8 * MIB)

static enum err iter_read_header(struct journal_iter *it, const char *path)
{
	struct io_stat st;
	TRY(io_fstat(it->io, it->fd, &st));
	it->file_bytes = st.size_bytes;
	if (st.size_bytes < JOURNAL_BLOCK)
		return err_note(ERR_CORRUPT, "%s: %llu bytes are no journal file", path,
		    (unsigned long long)st.size_bytes);
	it->capacity = st.size_bytes < WINDOW_BYTES ? (size_t)st.size_bytes : WINDOW_BYTES;
	it->buf = mem_alloc_aligned(IO_DIRECT_ALIGN, it->capacity);
	if (!it->buf)
		return ERR_NOMEM;
	TRY(io_pread_all(it->io, it->fd, it->buf, JOURNAL_BLOCK, 0));
	TRY(journal_header_decode(it->buf, &it->header));
	it->seed = journal_seed_of(it->header.secret);
	return ERR_OK;
}

/* Past the page cache, which has nothing of what was written past it and would read it in small
 * pieces; a file of odd length through it. */
static enum err iter_open_file(struct io *io, const char *path, int *ret_fd)
{
	struct io_stat st;
	int fd;
	size_t mark = err_mark();
	enum err e = io_open(io, path, IO_READONLY | IO_DIRECT, &fd);
	if (e == ERR_UNSUPPORTED) {
		err_rewind(mark);
		return io_open(io, path, IO_READONLY, ret_fd);
	}
	TRY(e);
	e = io_fstat(io, fd, &st);
	if (e == ERR_OK && st.size_bytes % IO_DIRECT_ALIGN == 0) {
		*ret_fd = fd;
		return ERR_OK;
	}
	enum err closed = io_close(io, fd);
	TRY(e);
	TRY(closed);
	return io_open(io, path, IO_READONLY, ret_fd);
}

enum err journal_iter_open(struct journal_iter *it, struct io *io, const char *path, uint64_t from)
{
	ASSERT(from % JOURNAL_BLOCK == 0);
	*it = (struct journal_iter){.io = io, .fd = -1, .pos = from ? from : JOURNAL_BLOCK};
	enum err e = iter_open_file(io, path, &it->fd);
	if (e == ERR_OK)
		e = iter_read_header(it, path);
	if (e != ERR_OK)
		journal_iter_release(it);
	return e;
}

void journal_iter_release(struct journal_iter *it)
{
	if (it->fd >= 0 && io_close(it->io, it->fd) != ERR_OK)
		diag(DIAG_WARN, "journal_close", "error=\"%s\"", err_chain());
	it->fd = -1;
	mem_free(it->buf);
	it->buf = NULL;
	it->len = it->capacity = 0;
}

/* Makes [pos, pos + len) of the file addressable at *ret; false in *ret_whole when the file ends
 * before. */
static enum err iter_window(
    struct journal_iter *it, uint64_t pos, size_t len, const uint8_t **ret, bool *ret_whole)
{
	if (pos + len > it->file_bytes) {
		*ret_whole = false;
		return ERR_OK;
	}
	if (pos < it->buf_pos || pos + len > it->buf_pos + it->len) {
		if (len > it->capacity) {
			uint8_t *grown = mem_alloc_aligned(IO_DIRECT_ALIGN, len);
			if (!grown)
				return ERR_NOMEM;
			mem_free(it->buf);
			it->buf = grown;
			it->capacity = len;
		}
		it->buf_pos = pos;
		it->len = 0;
		const struct around_read from = {it->io, it->fd, pos};
		TRY(around_pread(it->around, &from, it->buf, it->capacity, &it->len));
		if (it->len < len) {
			*ret_whole = false;
			return ERR_OK;
		}
	}
	*ret = it->buf + (pos - it->buf_pos);
	*ret_whole = true;
	return ERR_OK;
}

/* ERR_NOT_FOUND: no good header at `pos`. */
enum err journal_iter_at(struct journal_iter *it, uint64_t pos, struct journal_found *ret_found)
{
	const uint8_t *at = NULL;
	bool whole = false;
	struct journal_found f = {.pos = pos};

	TRY(iter_window(it, pos, JOURNAL_ENTRY_HEADER_BYTES, &at, &whole));
	if (!whole)
		return ERR_NOT_FOUND;
	enum err e = journal_entry_decode(at, it->seed, it->header.file_bytes - pos, &f.entry);
	if (e == ERR_CORRUPT)
		return ERR_NOT_FOUND;
	TRY(e);
	if (f.entry.number >= it->check_from) {
		TRY(iter_window(it, pos, f.entry.length, &at, &whole));
		if (whole) {
			f.buf = at;
			f.good =
			    journal_entry_check(&f.entry, it->seed, at, &f.items_good) == ERR_OK;
		}
	}
	*ret_found = f;
	return ERR_OK;
}

enum err journal_iter_next(struct journal_iter *it, struct journal_found *ret_found)
{
	while (it->pos + JOURNAL_BLOCK <= it->file_bytes && it->pos < it->header.file_bytes) {
		uint64_t pos = it->pos;
		enum err e = journal_iter_at(it, pos, ret_found);
		it->pos = pos + (e == ERR_OK && ret_found->good ? ret_found->entry.length
		                                                : JOURNAL_BLOCK);
		if (e != ERR_NOT_FOUND)
			return e;
	}
	return ERR_EOF;
}
