/* SPDX-License-Identifier: Apache-2.0 */
/* Room in the round that collects: the buffer of its entry, and its stretches, the bytes of one
 * segment each. All of it is made before the first batch of a set is stamped. */
#include "log/engine.h"
#include "log/partition_drop.h"

/* ---- the entry ------------------------------------------------------------------------------- */

size_t round_entry_bytes(const struct round *r, size_t more_bytes, size_t more_frames)
{
	size_t items = r->frame_count + more_frames;
	size_t tails = r->stretch_count +
	               more_frames; /* at most: each frame may be the first of its segment */
	size_t all = r->used + more_bytes + items * JOURNAL_ITEM_BYTES +
	             tails * (ROUND_TAIL_BLOCK + JOURNAL_ITEM_BYTES);
	return (all + JOURNAL_BLOCK - 1) / JOURNAL_BLOCK * JOURNAL_BLOCK;
}

size_t round_copy_bytes(const struct round *r)
{
	return r->direct_bytes > 0 ? round_entry_bytes(r, r->direct_bytes, 0) : 0;
}

enum err round_reserve(struct round *r, size_t need)
{
	if (need <= r->capacity)
		return ERR_OK;
	size_t capacity = need > r->rounds->round_bytes ? need : r->rounds->round_bytes;
	uint8_t *grown = mem_alloc_aligned(IO_DIRECT_ALIGN, capacity);
	if (!grown)
		return ERR_NOMEM;
	if (r->frame_count > 0)
		memcpy(grown, r->buf, r->used);
	mem_free(r->buf);
	r->buf = grown;
	r->capacity = capacity;
	return ERR_OK;
}

/* ---- stretches ------------------------------------------------------------------------------- */

enum err rounds_stretch_reserve(struct round_stretch *st, int more)
{
	int need = st->iov_count + more;
	if (need <= st->iov_capacity)
		return ERR_OK;
	int capacity = st->iov_capacity ? st->iov_capacity : 4;
	while (capacity < need)
		capacity *= 2;
	struct iovec *grown = mem_realloc(st->iov, (size_t)capacity * sizeof(*grown));
	if (!grown)
		return ERR_NOMEM;
	st->iov = grown;
	st->iov_capacity = capacity;
	return ERR_OK;
}

enum err rounds_stock_add(struct rounds *rs, int frames)
{
	struct list_node *n = list_pop_front(&rs->free_stretches);
	struct round_stretch *st =
	    n ? CONTAINER_OF(n, struct round_stretch, node) : mem_calloc(1, sizeof(*st));
	if (!st)
		return ERR_NOMEM;
	*st = (struct round_stretch){.iov = st->iov,
	    .iov_capacity = st->iov_capacity,
	    .first = ROUND_NO_FRAME,
	    .last = ROUND_NO_FRAME};
	list_node_init(&st->node);
	list_node_init(&st->retry);
	list_init(&st->blocks);
	list_push_front(&rs->stock, &st->node);
	return rounds_stretch_reserve(st, frames);
}

void rounds_stock_return(struct rounds *rs)
{
	struct list_node *n;
	while ((n = list_pop_front(&rs->stock)))
		list_push_back(&rs->free_stretches, n);
	round_blocks_return(rs);
}

void rounds_stretch_free(struct rounds *rs, struct round_stretch *st)
{
	struct log_partition *p = st->partition;
	ASSERT(list_empty(&st->blocks));
	list_remove(&st->node);
	st->round->stretch_count--;
	if (p->stretch == st)
		p->stretch = NULL;
	descriptor_unpin(&st->segment->file);
	if (st->direct)
		descriptor_unpin(&st->segment->direct);
	segment_unhold(st->segment);
	partition_unref(p);
	list_push_back(&rs->free_stretches, &st->node);
}

struct round_stretch *rounds_stretch_current(struct rounds *rs, struct log_partition *p)
{
	struct round_stretch *st = p->stretch;
	return st && st->round == rounds_collecting(rs) && st->segment == partition_active(p)
	           ? st
	           : NULL;
}

struct round_stretch *rounds_stretch_for(struct rounds *rs, struct log_partition *p, bool direct)
{
	struct round *r = rounds_collecting(rs);
	struct segment *s = partition_active(p);
	struct round_stretch *st = rounds_stretch_current(rs, p);
	if (st && st->direct == direct)
		return st;
	struct list_node *n = list_pop_front(&rs->stock);
	ASSERT(n && s);
	st = CONTAINER_OF(n, struct round_stretch, node);
	st->round = r;
	st->partition = p;
	st->segment = s;
	st->from = st->to = p->next_pos;
	st->direct = direct;
	st->lazy = p->topic->config.durability != LOG_DURABILITY_FSYNC;
	partition_ref(p);
	s->holds++;
	descriptor_hold(&s->file);
	if (direct)
		descriptor_hold(&s->direct);
	list_push_back(&r->stretches, &st->node);
	r->stretch_count++;
	p->stretch = st;
	return st;
}
