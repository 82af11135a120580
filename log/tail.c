/* SPDX-License-Identifier: Apache-2.0 */
/* The tail cache: see tail.h. It has at most a few dozen blocks, so a search is a walk. */
#include "log/tail.h"

static struct tail_block *block_of(struct list_node *n)
{
	ASSERT(n);
	return CONTAINER_OF(n, struct tail_block, node);
}

/* ---- slabs ----------------------------------------------------------------------------------- */

enum { SLAB_UNITS = 64 };
_Static_assert(TAIL_SLAB_BYTES / TAIL_BLOCK_UNIT == SLAB_UNITS, "a bit per unit");
_Static_assert(TAIL_BLOCK_UNIT % IO_DIRECT_ALIGN == 0, "blocks are aligned");

static uint64_t units_mask(size_t at, size_t count)
{
	return (count >= SLAB_UNITS ? UINT64_MAX : (UINT64_C(1) << count) - 1) << at;
}

static struct tail_slab *slab_new(struct tail *t, size_t bytes)
{
	struct tail_slab *s = mem_calloc(1, sizeof(*s));
	size_t len = (bytes + MEM_LARGE_PAGE - 1) / MEM_LARGE_PAGE * MEM_LARGE_PAGE;
	if (!s)
		return NULL;
	s->len = len < TAIL_SLAB_BYTES ? TAIL_SLAB_BYTES : len;
	s->mem = mem_alloc_pages(s->len);
	if (!s->mem) {
		mem_free(s);
		return NULL;
	}
	list_push_back(&t->slabs, &s->node);
	return s;
}

/* Units in a row that are free; SLAB_UNITS = there are none. */
static size_t slab_find(const struct tail_slab *s, size_t count)
{
	for (size_t at = 0; at + count <= SLAB_UNITS; at++)
		if ((s->used & units_mask(at, count)) == 0)
			return at;
	return SLAB_UNITS;
}

/* Cuts the block's memory: the first slab with room has it, so that the last ones become empty. */
static bool block_cut(struct tail *t, struct tail_block *b)
{
	size_t count = b->capacity / TAIL_BLOCK_UNIT, at = SLAB_UNITS;
	LIST_EACH (&t->slabs, n, next) {
		b->slab = CONTAINER_OF(n, struct tail_slab, node);
		at = slab_find(b->slab, count);
		if (at < SLAB_UNITS)
			break;
	}
	if (at == SLAB_UNITS) {
		b->slab = slab_new(t, b->capacity);
		if (!b->slab)
			return false;
		at = 0;
	}
	b->slab->used |= units_mask(at, count);
	b->buf = b->slab->mem + at * TAIL_BLOCK_UNIT;
	return true;
}

static void block_free(struct tail_block *b)
{
	struct tail_slab *s = b->slab;
	size_t at = (size_t)(b->buf - s->mem) / TAIL_BLOCK_UNIT;
	uint64_t mask = units_mask(at, b->capacity / TAIL_BLOCK_UNIT);
	ASSERT((s->used & mask) == mask);
	s->used &= ~mask;
	if (s->used == 0) {
		list_remove(&s->node);
		mem_free_pages(s->mem, s->len);
		mem_free(s);
	}
	mem_free(b);
}

/* ---- blocks ---------------------------------------------------------------------------------- */

void tail_init(struct tail *t)
{
	*t = (struct tail){0};
	list_init(&t->slabs);
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
	ASSERT(list_empty(&t->slabs));
	t->cached_bytes = t->spare_bytes = 0;
}

static struct tail_block *block_new(struct tail *t, size_t len)
{
	struct tail_block *b = mem_calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	b->capacity = (len + TAIL_BLOCK_UNIT - 1) / TAIL_BLOCK_UNIT * TAIL_BLOCK_UNIT;
	if (!block_cut(t, b)) {
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
	for (struct list_node *n = t->spare.head.prev; n != &t->spare.head; n = n->prev) {
		struct tail_block *b = block_of(n);
		if (!block_fits(b, len))
			continue;
		list_remove(&b->node);
		t->spare_bytes -= b->capacity;
		return b;
	}
	return block_new(t, len);
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

void tail_keep(struct tail *t, struct tail_block *b, const struct segment *s, int64_t now_ns)
{
	size_t most = now_ns < t->read_until_ns ? TAIL_BYTES_MAX : TAIL_BYTES_IDLE;
	ASSERT(!list_linked(&b->node) && b->len > 0 && b->len <= b->capacity);
	b->segment = s;
	list_push_back(&t->cached, &b->node);
	t->cached_bytes += b->capacity;
	while (t->cached_bytes > most)
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
