/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Writing behind: what INLINE frames put into the page cache of their segments is handed to the
 * disk in steady blocks, so that a checkpoint's flush finds little left to write. A flush of 64 MiB
 * in one go keeps the journal's flushes waiting behind it (measured: log/README.md). Only a hint to
 * the kernel: nothing is durable by it, and nothing depends on it.
 *
 *   a segment with a whole block goes at once, in order; smaller ones, the oldest first, when all
 * of them together exceed BEHIND_BYTES_MAX
 *
 * A segment in here is dirty, so its descriptor is pinned (checkpoint.h). Owner: the log, on the
 * loop.
 */
#include "log/base/base.h"

struct log;
struct segment;

#define BEHIND_BLOCK_BYTES (256 * KIB)
#define BEHIND_BYTES_MAX   (4 * MIB)
enum { BEHIND_REQUESTS = 2 /* at once */ };

struct behind {
	struct log *log;
	struct list ready, rest; /* struct segment */
	uint64_t rest_bytes;
	unsigned out;
	struct behind_request {
		struct io_req io;
		struct iovec range;      /* its length */
		struct segment *segment; /* held and pinned; NULL = free */
	} request[BEHIND_REQUESTS];
};
void behind_init(struct behind *b, struct log *log);
/* Bytes up to s->durable_size are in the page cache. */
void behind_add(struct behind *b, struct segment *s);
/* A flush takes care of what `s` has. */
void behind_forget(struct behind *b, struct segment *s);
