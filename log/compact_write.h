/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A new generation of a segment being written: <base>.g<N>.log.new and .idx.new, frame by frame
 * with links of its own; batches that are left out become holes. segment_out_finish makes both
 * files durable and gives them their names: from then on the new generation counts (generation.h).
 * Blocking: the service pool.
 */
#include "log/segment.h"

struct segment_out {
	struct io *io;
	const char *dir; /* borrowed: of the partition, whole path */
	struct segment_header header;
	struct frame_seed seed;
	int fd, idx;                /* -1 = not open */
	struct writer buf, entries; /* not written yet */
	uint64_t pos, idx_pos;      /* where they go */
	uint64_t link;
	int64_t max_timestamp_ms;
	int64_t max_timestamp_offset; /* of the first batch with it; -1 */
	int64_t last_append_ns;
	uint64_t entry_count;
	uint32_t size;
	/* batches left out since the last frame */
	struct frame hole; /* of the last of them */
	int64_t hole_base;
	struct frame_hole hole_body; /* batches 0 = none */
	uint64_t holes;
	bool unsure; /* named, but whether for good is not known: the directory could not be flushed
	              */
};
/* `header` is complete but for its seed, which is drawn here; topic_name is borrowed. */
MUST_USE enum err segment_out_begin(
    struct segment_out *o, struct io *io, const char *dir, const struct segment_header *header);
/* One batch; `from` is its frame in the old file, whose sequence, epoch, principal and times stay.
 */
MUST_USE enum err segment_out_batch(
    struct segment_out *o, const struct frame *from, struct bytes batch);
/* The batch of `from` is left out; or, with body, a hole that is there already. */
MUST_USE enum err segment_out_hole(
    struct segment_out *o, const struct frame *from, const struct frame_hole *body);
/* Flushes, names, flushes the directory. The header's end must have been reached. */
MUST_USE enum err segment_out_finish(struct segment_out *o);
/* Closes; unlinks what was not finished. Takes a zeroed one. */
void segment_out_release(struct segment_out *o);
