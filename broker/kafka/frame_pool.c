/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for request frames (server.h). Invariants:
 *   P1  budget.used_bytes is the capacity of all frames in use; kept buffers are not in it.
 *       It passes the limit by one frame at most: the first that finds it used up is `over` until
 * it is given back. Without that, frames that have arrived in part could hold the whole budget and
 * wait for each other. P2  a frame's capacity is at most 4 times its received bytes plus 64 KiB,
 * unless a kept buffer served it: that memory was there already.
 */
#include "broker/kafka/server.h"

void frame_pool_init(struct frame_pool *pool, size_t budget_bytes)
{
	*pool = (struct frame_pool){.budget = {budget_bytes, 0}};
}

void frame_pool_release(struct frame_pool *pool)
{
	ASSERT(pool->budget.used_bytes == 0);
	for (size_t i = 0; i < pool->count; i++)
		mem_free(pool->slot[i].ptr);
	pool->count = pool->bytes = 0;
}

/* The smallest kept buffer that holds `len`, or -1. */
static ssize_t pool_find(const struct frame_pool *pool, size_t len)
{
	ssize_t best = -1;
	for (size_t i = 0; i < pool->count; i++) {
		if (pool->slot[i].capacity < len)
			continue;
		if (best < 0 || pool->slot[i].capacity < pool->slot[best].capacity)
			best = (ssize_t)i;
	}
	return best;
}

/* Moves what has arrived into a kept buffer that holds the whole frame. */
static void move_to_slot(struct frame_pool *pool, struct frame *f, size_t slot)
{
	uint8_t *old = f->ptr;
	size_t old_capacity = f->capacity;
	if (f->have > 0)
		memcpy(pool->slot[slot].ptr, old, f->have);
	f->ptr = pool->slot[slot].ptr;
	f->capacity = pool->slot[slot].capacity;
	pool->bytes -= f->capacity;
	pool->slot[slot] = pool->slot[--pool->count];
	mem_free(old);
	budget_give(&pool->budget, old_capacity);
}

static size_t next_capacity(const struct frame *f)
{
	size_t justified = 4 * f->have + FRAME_FIRST_BYTES;
	size_t want = f->len;
	if (want > FRAME_FIRST_BYTES && want <= FRAME_POOL_MAX)
		want = (want + FRAME_ROUND_BYTES - 1) / FRAME_ROUND_BYTES * FRAME_ROUND_BYTES;
	return want < justified ? want : justified;
}

enum err frame_grow(struct frame_pool *pool, struct frame *f)
{
	ASSERT(f->have == f->capacity && f->have < f->len);
	ssize_t slot = f->len > FRAME_FIRST_BYTES ? pool_find(pool, f->len) : -1;
	size_t capacity = slot >= 0 ? pool->slot[slot].capacity : next_capacity(f);
	size_t more = slot >= 0 ? capacity : capacity - f->capacity;
	bool over = pool->over && pool->over == f->ptr;
	ASSERT(capacity > f->capacity);
	if (!budget_take(&pool->budget, more)) {
		if (pool->over && !over)
			return ERR_AGAIN;
		over = true;
		pool->budget.used_bytes += more;
	}
	if (slot >= 0) {
		move_to_slot(pool, f, (size_t)slot);
	} else {
		uint8_t *grown = mem_realloc(f->ptr, capacity);
		if (!grown) {
			budget_give(&pool->budget, more);
			return ERR_NOMEM;
		}
		f->ptr = grown;
		f->capacity = capacity;
	}
	if (over)
		pool->over = f->ptr;
	return ERR_OK;
}

void frame_give(struct frame_pool *pool, uint8_t *ptr, size_t capacity)
{
	if (!ptr)
		return;
	budget_give(&pool->budget, capacity);
	if (pool->over == ptr)
		pool->over = NULL;
	if (capacity > FRAME_FIRST_BYTES && capacity <= FRAME_POOL_MAX &&
	    pool->count < FRAME_POOL_SLOTS && pool->bytes + capacity <= FRAME_POOL_BYTES) {
		pool->slot[pool->count].ptr = ptr;
		pool->slot[pool->count++].capacity = capacity;
		pool->bytes += capacity;
		return;
	}
	mem_free(ptr);
}
