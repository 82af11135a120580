/* SPDX-License-Identifier: Apache-2.0 */
/* The tail cache: see tail.h. It has at most a few dozen blocks, so a search is a walk. */
#include "log/tail.h"

static struct tail_block *block_of(struct list_node *n)
{
	ASSERT(n);
	return CONTAINER_OF(n, struct tail_block, node);
}

static void block_free(struct tail_block *b)
{
	mem_free(b->buf);
	mem_free(b);
}

void tail_init(struct tail *t)
{
	*t = (struct tail){0};
	list_init(&t->cached);
	list_init(&t->spare);
}

void tail_release(struct tail *t)
{
	struct list_node *n;
	if (!t->cached.head.next)
		return; /* never initialised */
	while ((n = list_pop_front(&t->cached)) || (n = list_pop_front(&t->spare)))
		block_free(block_of(n));
	t->cached_bytes = t->spare_bytes = 0;
}

static struct tail_block *block_new(size_t len)
{
	struct tail_block *b = mem_calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	b->capacity = (len + TAIL_BLOCK_UNIT - 1) / TAIL_BLOCK_UNIT * TAIL_BLOCK_UNIT;
	b->buf = mem_alloc_aligned(IO_DIRECT_ALIGN, b->capacity);
	if (!b->buf) {
		mem_free(b);
		return NULL;
	}
	list_node_init(&b->node);
	return b;
}

/* Fits and wastes less than it holds. */
static bool block_fits(const struct tail_block *b, size_t len)
{
	return b->capacity >= len && b->capacity / 2 <= len + TAIL_BLOCK_UNIT;
}

struct tail_block *tail_take(struct tail *t, size_t len)
{
	LIST_EACH (&t->spare, n, next) {
		struct tail_block *b = block_of(n);
		if (!block_fits(b, len))
			continue;
		list_remove(&b->node);
		t->spare_bytes -= b->capacity;
		return b;
	}
	return block_new(len);
}

void tail_give(struct tail *t, struct tail_block *b)
{
	ASSERT(!list_linked(&b->node));
	b->segment = NULL;
	if (b->capacity > TAIL_SPARE_MAX) {
		block_free(b);
		return;
	}
	list_push_back(&t->spare, &b->node);
	t->spare_bytes += b->capacity;
	while (t->spare_bytes > TAIL_SPARE_MAX) {
		struct tail_block *oldest = block_of(list_pop_front(&t->spare));
		t->spare_bytes -= oldest->capacity;
		block_free(oldest);
	}
}

static void block_drop(struct tail *t, struct tail_block *b)
{
	list_remove(&b->node);
	t->cached_bytes -= b->capacity;
	tail_give(t, b);
}

void tail_keep(struct tail *t, struct tail_block *b, const struct segment *s)
{
	ASSERT(!list_linked(&b->node) && b->len > 0 && b->len <= b->capacity);
	b->segment = s;
	list_push_back(&t->cached, &b->node);
	t->cached_bytes += b->capacity;
	while (t->cached_bytes > TAIL_BYTES_MAX)
		block_drop(t, block_of(list_first(&t->cached)));
}

struct bytes tail_find(const struct tail *t, const struct segment *s, uint32_t pos)
{
	/* from the newest: that is where most reads are */
	for (struct list_node *n = t->cached.head.prev; n != &t->cached.head; n = n->prev) {
		const struct tail_block *b = block_of(n);
		if (b->segment == s && pos >= b->pos && pos - b->pos < b->len)
			return bytes_of(b->buf + (pos - b->pos), b->len - (pos - b->pos));
	}
	return (struct bytes){0};
}

void tail_forget(struct tail *t, const struct segment *s)
{
	LIST_EACH (&t->cached, n, next)
		if (block_of(n)->segment == s)
			block_drop(t, block_of(n));
}
