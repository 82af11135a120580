/* SPDX-License-Identifier: Apache-2.0 */
/* Frames for who keeps what they say. See mend.h. */
#include "log/mend.h"
#include "log/recovery.h"
#include "log/txn.h"

void mend_walk_init(struct mend_walk *m, const struct scrub_piece *where, int fd)
{
	ASSERT(where->pos >= SEGMENT_HEADER_BYTES && where->pos <= where->end);
	m->piece = *where;
	m->mended_count = 0;
	m->tries = 0;
	segment_walk_init(&m->walk, where->io, fd, where->seed, 0);
	segment_walk_range(&m->walk, where->pos, where->end);
}

void mend_walk_release(struct mend_walk *m)
{
	segment_walk_release(&m->walk);
}

/* True: the journal had it, and the walk comes to it again. */
static bool mend(struct mend_walk *m, uint32_t pos)
{
	struct scrub_piece *p = &m->piece;
	p->bad_pos = pos;
	p->finding = SCRUB_DAMAGED;
	/* the disk does not keep it? */
	bool again = m->mended_count > 0 && m->mended[m->mended_count - 1] == pos;
	if (!again && m->tries < MEND_TRIES)
		scrub_mend(p);
	if (++m->tries == MEND_TRIES)
		diag(DIAG_WARN, "mend_enough", "path=%s pos=%u tries=%d", p->path, pos, MEND_TRIES);
	err_clear();
	if (p->finding != SCRUB_REPAIRED)
		return false;
	recovery_verdict(ERR_REPAIRED, "path=%s pos=%u what=walk", p->path, pos);
	m->mended[m->mended_count++] = pos;
	segment_walk_file(&m->walk, m->walk.fd, m->walk.seed);
	segment_walk_range(&m->walk, pos, p->end);
	return true;
}

enum err mend_walk_next(
    struct mend_walk *m, struct frame *ret_frame, uint32_t *ret_pos, struct bytes *ret_batch)
{
	struct segment_walk *w = &m->walk;
	enum err e;
	while ((e = segment_walk_next(w, ret_frame, ret_pos, ret_batch)) == ERR_CORRUPT) {
		uint32_t pos = w->bad_header ? w->pos : *ret_pos;
		if (mend(m, pos))
			continue;
		if (w->bad_header)
			segment_walk_range(w, scrub_index_behind(&m->piece), m->piece.end);
		break;
	}
	return e;
}

bool mend_walk_may_be_marker(const struct mend_walk *m, const struct frame *f)
{
	return m->walk.bad_header ||
	       (f->last_offset_delta == 0 && !(f->flags & (FRAME_PAD | FRAME_HOLE)) &&
	           f->length >= TXN_MARKER_MIN && f->length <= TXN_MARKER_MAX);
}
