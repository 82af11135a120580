/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The tail cache: the newest DIRECT frames stay in the memory they were written from. They went
 * past the page cache, so a fetch that follows the producers would read the disk for what this
 * process still holds. Bounded; the oldest goes first. INLINE frames are in the page cache anyway.
 *
 * While nobody reads, only the last few are kept, for who waits for the next one: memory that was
 * written a moment ago is still in the processor's caches, and a frame of 1 MiB that is copied to
 * it, summed and handed to the disk takes a tenth less time (log/README.md). For the same reason
 * the block that was given back last is taken first.
 *
 * Blocks are cut from slabs of large pages: the kernel pins and the disk gets one piece instead of
 * 257, another sixth of the time of 1 MiB.
 *
 * A block is one DIRECT frame with the padding behind it, aligned for O_DIRECT:
 *
 *   SPARE    memory kept for the next one            tail_give
 *   FILLING  in a round, its stretch owns it         tail_take
 *   CACHED   written, durable, found by tail_find    tail_keep
 *
 * Owner: the log, on the loop.
 */
#include "log/base/base.h"

struct segment;

#define TAIL_BYTES_MAX  (16 * MIB) /* CACHED */
#define TAIL_BYTES_IDLE (2 * MIB)  /* the same when nobody has read for TAIL_READ_NS */
#define TAIL_READ_NS    (10 * S_NS)
#define TAIL_SPARE_MAX  (8 * MIB)
#define TAIL_BLOCK_UNIT (64 * KIB) /* capacities are multiples: blocks of one use fit the next */
#define TAIL_SLAB_BYTES (4 * MIB)  /* 64 units; a larger block has a slab of its own */

struct tail_slab {
	struct list_node node;
	uint8_t *mem;
	size_t len;
	uint64_t used; /* a bit per unit; all of them: one block has it */
};

struct tail_block {
	struct list_node node;
	const struct segment *segment; /* CACHED */
	uint32_t pos, len;             /* in the segment, multiples of IO_DIRECT_ALIGN */
	size_t capacity;
	uint8_t *buf; /* aligned to IO_DIRECT_ALIGN */
	struct tail_slab *slab;
};
struct tail {
	struct list slabs;
	struct list cached; /* oldest first */
	struct list spare;
	size_t cached_bytes, spare_bytes; /* capacities */
	int64_t read_until_ns;            /* readers count until then; monotonic */
};
void tail_init(struct tail *t);
void tail_release(struct tail *t);
/* A block for `len` bytes; NULL without memory. */
struct tail_block *tail_take(struct tail *t, size_t len);
void tail_give(struct tail *t, struct tail_block *b);
/* The block's bytes are in `s` from b->pos on. */
void tail_keep(struct tail *t, struct tail_block *b, const struct segment *s, int64_t now_ns);
/* Somebody reads the log. */
static inline void tail_reader(struct tail *t, int64_t now_ns)
{
	t->read_until_ns = now_ns + TAIL_READ_NS;
}
/* The bytes of `s` from `pos` on as far as one block has them; len 0 = none. Borrowed for this
 * turn. */
struct bytes tail_find(const struct tail *t, const struct segment *s, uint32_t pos);
/* `s` goes away. */
void tail_forget(struct tail *t, const struct segment *s);
