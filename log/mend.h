/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A walk over the frames of a segment for what they say of producers and transactions.
 *
 * What is made of a frame here must stay true: a batch that was passed over as unreadable, and is
 * read later, would be shown as if its transaction had never been. So what does not verify is
 * looked for in the journal first, and written anew where that has it (REPAIRED): nothing but the
 * journal brings back bytes later. Behind a header that is lost the walk goes on where the index
 * says, as readers do. [any thread; the start, or the pool over segments that are held]
 */
#include "log/scrub.h"

/* Each search reads the whole journal: of a segment that is bad all over the rest is lost. */
enum { MEND_TRIES = 32 };
struct mend_walk {
	struct segment_walk walk;
	struct scrub_piece piece;    /* which segment */
	uint32_t mended[MEND_TRIES]; /* places that were */
	unsigned mended_count;
	unsigned tries; /* times that the journal was searched */
};
/* The frames [pos, end) of the segment that `where` names, whose file is open as `fd`. */
void mend_walk_init(struct mend_walk *m, const struct scrub_piece *where, int fd);
void mend_walk_release(struct mend_walk *m);
/*
 * As segment_walk_next, but the walk goes on after ERR_CORRUPT: *ret_frame is lost, its header is
 * good unless walk.bad_header.
 */
MUST_USE enum err mend_walk_next(
    struct mend_walk *m, struct frame *ret_frame, uint32_t *ret_pos, struct bytes *ret_batch);
/* Of a frame that is lost: may it have been the end of a transaction? */
bool mend_walk_may_be_marker(const struct mend_walk *m, const struct frame *f);
