/* SPDX-License-Identifier: Apache-2.0 */
/* Reading around what cannot be read. See around.h. */
#include "log/around.h"

enum { AROUND_BLOCK = 4096 };

bool around_again(const char *path, enum err err, int tries)
{
	if (err != ERR_IO)
		return false;
	diag(DIAG_WARN, "read_again", "path=%s error=\"%s\"", path, err_chain());
	if (tries > 0)
		return false;
	err_clear();
	return true;
}

struct hole {
	const struct around *around;
	uint64_t from, to; /* not told yet; equal: none */
	bool any;
};

static void hole_tell(struct hole *h)
{
	if (h->to > h->from)
		h->around->unread(h->around->ctx, h->from, h->to - h->from);
	h->from = h->to = 0;
}

static void hole_add(struct hole *h, uint64_t pos, uint64_t len)
{
	if (h->to != pos)
		hole_tell(h);
	if (h->to == h->from)
		h->from = pos;
	h->to = pos + len;
	h->any = true;
}

/* Up to the end of the file: what is unreadable there must not seem to be more. */
static enum err read_blocks(
    struct hole *h, const struct around_read *from, uint8_t *buf, size_t len, size_t *ret_len)
{
	struct io_stat st;
	TRY(io_fstat(from->io, from->fd, &st));
	uint64_t end = from->pos + len < st.size_bytes ? from->pos + len : st.size_bytes;
	uint64_t pos = from->pos;
	while (pos < end) {
		uint64_t next = (pos / AROUND_BLOCK + 1) * AROUND_BLOCK;
		size_t n = (size_t)((next < end ? next : end) - pos), got = 0;
		size_t room = (size_t)(next - pos); /* whole blocks, for O_DIRECT */
		room = room < from->pos + len - pos ? room : (size_t)(from->pos + len - pos);
		uint8_t *at = buf + (pos - from->pos);
		size_t mark = err_mark();
		enum err e = io_pread(from->io, from->fd, at, room, pos, &got);
		if (e == ERR_IO) {
			err_rewind(mark);
			memset(at, 0, n);
			hole_add(h, pos, n);
		} else if (e != ERR_OK) {
			return e;
		} else if (got < n) {
			end = pos + got; /* it became shorter */
			n = got;
		}
		pos += n;
	}
	*ret_len = pos > from->pos ? (size_t)(pos - from->pos) : 0;
	return ERR_OK;
}

enum err around_pread(const struct around *around, const struct around_read *from, void *buf,
    size_t len, size_t *ret_len)
{
	struct hole h = {.around = around};
	size_t mark = err_mark();
	enum err e = io_pread(from->io, from->fd, buf, len, from->pos, ret_len);
	if (e != ERR_IO || !around)
		return e;
	err_rewind(mark);
	TRY(read_blocks(&h, from, buf, len, ret_len));
	hole_tell(&h);
	if (!h.any)
		diag(DIAG_WARN, "read_again", "pos=%llu bytes=%zu", (unsigned long long)from->pos,
		    len);
	return ERR_OK;
}
