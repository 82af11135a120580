/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Small blocks of many sizes that come and go, for operator state: free lists per size class
 * (multiples of 16 up to SLAB_CLASS_MAX), carved from chunks; larger blocks are the heap's own, in
 * a list. slab_release gives everything back at once, so a table with millions of entries goes away
 * without being walked. Blocks are 16-byte aligned. The caller gives the length again when freeing,
 * so a small block has no header. One thread.
 */
#include "log/base/base.h"

enum { SLAB_CLASS_MAX = 1024, SLAB_CLASSES = SLAB_CLASS_MAX / 16 + 1, SLAB_CHUNK = 256 * 1024 };
/* A slab in use by more than this grows by huge pages: fewer faults, and fewer misses when keys are
 * looked up. */
enum { SLAB_HUGE = 2 << 20, SLAB_HUGE_FROM = 8 << 20 };
struct slab_block;
struct slab {
	struct slab_block *free[SLAB_CLASSES];
	struct slab_block *chunks;
	struct list large;
	uint8_t *at, *end; /* of the newest chunk */
	size_t used_bytes; /* in live blocks */
};
void slab_init(struct slab *s);
/* Frees every block. */
void slab_release(struct slab *s);
void *slab_alloc(struct slab *s, size_t len);          /* NULL when the heap is exhausted */
void slab_free(struct slab *s, void *ptr, size_t len); /* takes NULL */
