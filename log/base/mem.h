/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Heap, arenas and memory budgets. All allocation of the tree goes through mem_alloc and friends,
 * so that a test can make the Nth allocation fail. Results are NULL on failure; callers return
 * ERR_NOMEM. mem_free takes NULL. Threads: any for the heap; an arena or budget belongs to its
 * owner's thread.
 */
#include "bytes.h"

void *mem_alloc(size_t len);                /* uninitialised */
void *mem_calloc(size_t count, size_t len); /* zeroed; overflow-checked */
void *mem_realloc(void *ptr, size_t len);
void *mem_alloc_aligned(size_t alignment, size_t len); /* power of two; release with mem_free */
void mem_free(void *ptr);
/*
 * Zeros, aligned to MEM_LARGE_PAGE and a multiple of it, in large pages where the system has them:
 * for buffers that the kernel pins again and again. Release with mem_free_pages and the same `len`.
 */
#define MEM_LARGE_PAGE ((size_t)2 << 20)
void *mem_alloc_pages(size_t len);
void mem_free_pages(void *ptr, size_t len);
/* Zeros in pages of the system's own size, which has them back as soon as they are released, with
 * the same `len`: a heap keeps them, or gives back many of them at a moment of its choice. */
void *mem_map(size_t len);
void mem_unmap(void *ptr, size_t len);
char *mem_strdup(struct str s); /* NUL-terminated copy */

/*
 * Tests: the allocation number `nth` from now (1 = the next) fails on this thread; 0 turns it off.
 */
void mem_fail_at(uint64_t nth);
/* Allocations made by this thread since mem_fail_at was called. */
uint64_t mem_fail_count(void);

/* ---- arena: many small allocations with one end ---------------------------------------------- */
/*
 * Blocks double from 4 KiB to 1 MiB; an allocation larger than that gets its own. used_bytes is the
 * memory held, blocks' headers included, and never passes limit_bytes. arena_clear keeps the first
 * block (if <= 64 KiB).
 */
struct arena_block;
struct arena {
	struct arena_block *head;
	uint8_t *at;
	uint8_t *end;
	size_t used_bytes;
	size_t limit_bytes;
};

void arena_init(struct arena *a, size_t limit_bytes);
void arena_release(struct arena *a);
void arena_clear(struct arena *a);
void *arena_alloc_slow(struct arena *a, size_t len);
/*
 * 16-byte aligned, uninitialised; NULL when the limit or the heap is exhausted. len 0 gives a valid
 * pointer.
 */
static inline void *arena_alloc(struct arena *a, size_t len)
{
	size_t need = (len + 15) & ~(size_t)15;
	if (__builtin_expect(need < len || !a->at || (size_t)(a->end - a->at) < need, 0))
		return arena_alloc_slow(a, len);
	uint8_t *ptr = a->at;
	a->at += need;
	return ptr;
}
void *arena_calloc(struct arena *a, size_t count, size_t len);
struct bytes arena_copy(struct arena *a, struct bytes b); /* ptr NULL on failure when b.len > 0 */
struct str arena_copy_str(struct arena *a, struct str s);
char *arena_cstr(struct arena *a, struct str s); /* NUL-terminated */
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF(2, 3);

/* ---- budget: a shared ceiling on bytes held -------------------------------------------------- */
struct budget {
	size_t limit_bytes;
	size_t used_bytes;
};
/* Takes `len` from the budget; false (nothing taken) when it would pass the limit. */
static inline bool budget_take(struct budget *b, size_t len)
{
	if (b->used_bytes > b->limit_bytes || len > b->limit_bytes - b->used_bytes)
		return false;
	b->used_bytes += len;
	return true;
}
static inline void budget_give(struct budget *b, size_t len)
{
	ASSERT(len <= b->used_bytes);
	b->used_bytes -= len;
}
