/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Reading ahead: who reads a segment past the page cache, one request behind the other, finds the
 * next bytes in memory, or on their way, when it asks for them: the disk works while the former
 * answer is sent and used. What is read ahead is bytes of the file and nothing more: frames are
 * verified by the read that takes them, and what failed is read again by it, which then says so.
 *
 *   BUSY    on its way from the disk                        ahead_start
 *   READY   there; the read that begins at `from` takes it  ahead_take
 *
 * One that nobody takes is dropped after AHEAD_KEEP_NS, or when its segment goes. Where
 * AHEAD_BYTES_MAX are in memory nothing more is read ahead: taking it from others would only have
 * them read twice. Holds its segment, and the pin of its descriptor. Owner: the log, on the loop.
 */
#include "log/tail.h"

struct log;

#define AHEAD_BYTES_MAX (12 * MIB)
#define AHEAD_KEEP_NS   (500 * MS_NS)

struct ahead {
	struct log *log;
	struct list reads; /* struct ahead_read, oldest first */
	size_t bytes;      /* capacities of their blocks */
	struct loop_timer timer;
};
/* Somebody who came for what is BUSY. */
struct ahead_wait {
	struct ahead_read *read;                /* NULL: does not wait */
	void (*woken)(struct ahead_wait *wait); /* it is READY, or gone: asks again */
};
/* What is taken; the caller gives the block back with tail_give. */
struct ahead_bytes {
	struct tail_block *block; /* NULL: there is nothing, or the wait is begun */
	uint32_t pos;             /* in the segment, of the block's first byte */
	uint32_t len;
};

void ahead_init(struct ahead *a, struct log *log);
/* Nothing is kept from here on; what is BUSY counts as a read under way. */
void ahead_stop(struct ahead *a);
/* The next read of `s` begins at `from` and wants the bytes up to `end`: both visible. The direct
 * descriptor of `s` is open. A hint: without room or memory nothing happens. */
void ahead_start(struct ahead *a, struct segment *s, uint32_t from, uint32_t end);
/* What begins at `from`. The pin of the direct descriptor goes to the caller with it. False: there
 * is none, and none on its way. */
bool ahead_take(struct ahead *a, const struct segment *s, uint32_t from, struct ahead_wait *wait,
    struct ahead_bytes *ret_bytes);
/* `s` goes away. */
void ahead_forget(struct ahead *a, const struct segment *s);
