/* SPDX-License-Identifier: Apache-2.0 */
#include "processor/op/slab.h"
#include <sys/mman.h>

struct slab_block {
	struct slab_block *next;
};

/* In front of a large block. */
struct slab_large {
	struct list_node node;
};
_Static_assert(sizeof(struct slab_large) == 16, "what follows is 16-byte aligned");

void slab_init(struct slab *s)
{
	*s = (struct slab){0};
	list_init(&s->large);
}

void slab_release(struct slab *s)
{
	for (struct slab_block *c = s->chunks, *next; c; c = next) {
		next = c->next;
		mem_free(c);
	}
	for (struct list_node *n; (n = list_pop_front(&s->large));)
		mem_free(CONTAINER_OF(n, struct slab_large, node));
	slab_init(s);
}

static void *large_alloc(struct slab *s, size_t size)
{
	struct slab_large *l = mem_alloc_aligned(16, sizeof *l + size);
	if (!l)
		return NULL;
	list_push_back(&s->large, &l->node);
	return l + 1;
}

static size_t round_up(size_t len)
{
	return len ? (len + 15) & ~(size_t)15 : 16;
}

/* What is left of the old chunk becomes a free block of its size. */
static bool new_chunk(struct slab *s)
{
	size_t left = (size_t)(s->end - s->at);
	bool huge = s->used_bytes >= SLAB_HUGE_FROM;
	size_t len = huge ? SLAB_HUGE : SLAB_CHUNK;
	struct slab_block *chunk = mem_alloc_aligned(huge ? len : 16, len);
	if (!chunk)
		return false;
	if (huge)
		(void)madvise(chunk, len, MADV_HUGEPAGE); /* a wish */
	if (left >= 16 && left <= SLAB_CLASS_MAX) {
		struct slab_block *rest = (struct slab_block *)(void *)s->at;
		rest->next = s->free[left / 16];
		s->free[left / 16] = rest;
	}
	chunk->next = s->chunks;
	s->chunks = chunk;
	s->at = (uint8_t *)chunk + 16;
	s->end = (uint8_t *)chunk + len;
	return true;
}

void *slab_alloc(struct slab *s, size_t len)
{
	size_t size = round_up(len);
	void *ptr;
	if (size > SLAB_CLASS_MAX) {
		ptr = large_alloc(s, size);
	} else if (s->free[size / 16]) {
		ptr = s->free[size / 16];
		s->free[size / 16] = s->free[size / 16]->next;
	} else {
		if ((size_t)(s->end - s->at) < size && !new_chunk(s))
			return NULL;
		ptr = s->at;
		s->at += size;
	}
	if (ptr)
		s->used_bytes += size;
	return ptr;
}

void slab_free(struct slab *s, void *ptr, size_t len)
{
	size_t size = round_up(len);
	if (!ptr)
		return;
	ASSERT(s->used_bytes >= size);
	s->used_bytes -= size;
	if (size > SLAB_CLASS_MAX) {
		struct slab_large *l = (struct slab_large *)ptr - 1;
		list_remove(&l->node);
		mem_free(l);
		return;
	}
	struct slab_block *b = ptr;
	b->next = s->free[size / 16];
	s->free[size / 16] = b;
}
