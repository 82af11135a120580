/* SPDX-License-Identifier: Apache-2.0 */
#include "mem.h"

#include "limits.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

/*
 * Fault injection is per thread, so that a test can fail its own calls while a pool thread goes on.
 */
static _Thread_local uint64_t fail_nth;
static _Thread_local uint64_t fail_count;

static bool must_fail(void)
{
	fail_count++;
	return __builtin_expect(fail_nth != 0, 0) && fail_count == fail_nth;
}

void mem_fail_at(uint64_t nth)
{
	fail_nth = nth;
	fail_count = 0;
}

uint64_t mem_fail_count(void)
{
	return fail_count;
}

void *mem_alloc(size_t len)
{
	return must_fail() ? NULL : malloc(len ? len : 1);
}

void *mem_calloc(size_t count, size_t len)
{
	size_t total;
	if (must_fail() || __builtin_mul_overflow(count, len, &total))
		return NULL;
	return calloc(1, total ? total : 1);
}

void *mem_realloc(void *ptr, size_t len)
{
	return must_fail() ? NULL : realloc(ptr, len ? len : 1);
}

void *mem_alloc_aligned(size_t alignment, size_t len)
{
	ASSERT(alignment > 0 && (alignment & (alignment - 1)) == 0);
	if (must_fail())
		return NULL;
	void *ptr = NULL;
	if (alignment < sizeof(void *))
		alignment = sizeof(void *);
	return posix_memalign(&ptr, alignment, len ? len : 1) == 0 ? ptr : NULL;
}

void *mem_alloc_pages(size_t len)
{
	ASSERT(len > 0 && len % MEM_LARGE_PAGE == 0);
	size_t all = len + MEM_LARGE_PAGE;
	if (must_fail())
		return NULL;
	uint8_t *map = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		return NULL;
	size_t before = -(uintptr_t)map % MEM_LARGE_PAGE;
	if (before > 0)
		(void)munmap(map, before);
	if (all - before > len)
		(void)munmap(map + before + len, all - before - len);
	(void)madvise(map + before, len, MADV_HUGEPAGE); /* a hint: small pages do as well */
	return map + before;
}

void mem_free_pages(void *ptr, size_t len)
{
	if (ptr)
		ASSERT(munmap(ptr, len) == 0);
}

void *mem_map(size_t len)
{
	ASSERT(len > 0);
	if (must_fail())
		return NULL;
	void *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return map == MAP_FAILED ? NULL : map;
}

void mem_unmap(void *ptr, size_t len)
{
	mem_free_pages(ptr, len);
}

void mem_free(void *ptr)
{
	free(ptr);
}

char *mem_strdup(struct str s)
{
	if (s.len == SIZE_MAX)
		return NULL;
	char *copy = mem_alloc(s.len + 1);
	if (!copy)
		return NULL;
	if (s.len > 0)
		memcpy(copy, s.ptr, s.len);
	copy[s.len] = '\0';
	return copy;
}

/* ---- arena ----------------------------------------------------------------------------------- */

/* Newest block first; the last of the list is the first that was made. */
struct arena_block {
	struct arena_block *next;
	size_t len; /* with this header */
};
enum { ARENA_ALIGN = 16, ARENA_HEADER = 16 };
_Static_assert(sizeof(struct arena_block) <= ARENA_HEADER, "blocks start aligned");
#define ARENA_BLOCK_MIN  (4 * KIB)
#define ARENA_BLOCK_MAX  (1 * MIB)
#define ARENA_BLOCK_KEPT (64 * KIB) /* arena_clear gives larger first blocks back */

void arena_init(struct arena *a, size_t limit_bytes)
{
	*a = (struct arena){.limit_bytes = limit_bytes};
}

void arena_release(struct arena *a)
{
	for (struct arena_block *b = a->head, *next; b; b = next) {
		next = b->next;
		mem_free(b);
	}
	*a = (struct arena){.limit_bytes = a->limit_bytes};
}

void arena_clear(struct arena *a)
{
	struct arena_block *b = a->head;
	while (b && b->next) {
		struct arena_block *next = b->next;
		mem_free(b);
		b = next;
	}
	a->head = b;
	if (!b || b->len > ARENA_BLOCK_KEPT) {
		arena_release(a);
		return;
	}
	a->used_bytes = b->len;
	a->at = (uint8_t *)b + ARENA_HEADER;
	a->end = (uint8_t *)b + b->len;
}

void *arena_alloc_slow(struct arena *a, size_t len)
{
	if (len > SIZE_MAX - ARENA_HEADER - ARENA_ALIGN)
		return NULL;
	size_t need = ((len + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1)) + ARENA_HEADER;
	size_t left = a->limit_bytes - a->used_bytes;
	if (need > left)
		return NULL;
	size_t size = a->head ? a->head->len * 2 : ARENA_BLOCK_MIN;
	if (size < ARENA_BLOCK_MIN)
		size = ARENA_BLOCK_MIN;
	if (size > ARENA_BLOCK_MAX)
		size = ARENA_BLOCK_MAX;
	if (size > left)
		size = left;
	if (size < need)
		size = need;
	struct arena_block *b = mem_alloc(size);
	if (!b)
		return NULL;
	*b = (struct arena_block){a->head, size};
	a->head = b;
	a->used_bytes += size;
	uint8_t *ptr = (uint8_t *)b + ARENA_HEADER;
	a->at = ptr + (need - ARENA_HEADER);
	a->end = (uint8_t *)b + size;
	return ptr;
}

void *arena_calloc(struct arena *a, size_t count, size_t len)
{
	size_t total;
	if (__builtin_mul_overflow(count, len, &total))
		return NULL;
	void *ptr = arena_alloc(a, total);
	if (ptr)
		memset(ptr, 0, total);
	return ptr;
}

struct bytes arena_copy(struct arena *a, struct bytes b)
{
	uint8_t *ptr = arena_alloc(a, b.len);
	if (!ptr)
		return (struct bytes){NULL, 0};
	if (b.len > 0)
		memcpy(ptr, b.ptr, b.len);
	return (struct bytes){ptr, b.len};
}

struct str arena_copy_str(struct arena *a, struct str s)
{
	return bytes_str(arena_copy(a, str_bytes(s)));
}

char *arena_cstr(struct arena *a, struct str s)
{
	char *ptr = s.len < SIZE_MAX ? arena_alloc(a, s.len + 1) : NULL;
	if (!ptr)
		return NULL;
	if (s.len > 0)
		memcpy(ptr, s.ptr, s.len);
	ptr[s.len] = '\0';
	return ptr;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int len = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	char *ptr = len < 0 ? NULL : arena_alloc(a, (size_t)len + 1);
	if (ptr)
		vsnprintf(ptr, (size_t)len + 1, fmt, again);
	va_end(again);
	return ptr;
}
