/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for request frames (server.h). Invariants:
 *   P1  budget.used_bytes and over_bytes are the capacity of all frames in use; kept buffers are
 * not in it. Frames above FRAME_SMALL_BYTES leave an eighth of the budget to the small ones. Beyond
 * it goes one frame at a time: the first that finds it used up is `over` until it is given back, as
 * else frames that have arrived in part could hold the whole budget and wait for each other.
 *   P2  a frame's capacity is at most 4 times its received bytes plus FRAME_LEAST_BYTES, unless a
 * kept buffer serves one of which FRAME_EARNEST_BYTES have arrived: that memory was there already.
 */
#include "broker/kafka/server.h"

void frame_pool_init(struct frame_pool *pool, size_t budget_bytes)
{
	*pool = (struct frame_pool){.budget = {budget_bytes, 0}};
}

void frame_pool_release(struct frame_pool *pool)
{
	ASSERT(pool->budget.used_bytes == 0 && pool->over_bytes == 0);
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

/* ---- what is taken --------------------------------------------------------------------------- */

size_t frame_room(const struct frame_pool *pool, size_t len)
{
	size_t limit = pool->budget.limit_bytes;
	if (len > FRAME_SMALL_BYTES)
		limit -= limit / 8;
	return pool->budget.used_bytes < limit ? limit - pool->budget.used_bytes : 0;
}

static void give_back(struct frame_pool *pool, const uint8_t *ptr, size_t capacity)
{
	if (pool->over && pool->over == ptr) {
		capacity -= pool->over_bytes;
		pool->over = NULL;
		pool->over_bytes = 0;
	}
	budget_give(&pool->budget, capacity);
}

/* ---- growing --------------------------------------------------------------------------------- */

static size_t next_capacity(const struct frame *f, size_t waiting)
{
	size_t justified = 4 * (f->have + waiting);
	size_t want = f->len;
	if (justified < FRAME_LEAST_BYTES)
		justified = FRAME_LEAST_BYTES;
	if (want > FRAME_SMALL_BYTES && want <= FRAME_POOL_MAX)
		want = (want + FRAME_ROUND_BYTES - 1) / FRAME_ROUND_BYTES * FRAME_ROUND_BYTES;
	return want < justified ? want : justified;
}

size_t frame_need(const struct frame *f)
{
	return next_capacity(f, f->ptr ? 0 : CONN_HEAD_BYTES) - f->capacity;
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

/* A kept buffer for it, charged; false: there is none, or not for it. */
static bool take_slot(struct frame_pool *pool, struct frame *f, size_t waiting)
{
	bool is_over = pool->over && pool->over == f->ptr;
	if (f->len <= FRAME_SMALL_BYTES || f->have + waiting < FRAME_EARNEST_BYTES || is_over)
		return false;
	ssize_t slot = pool_find(pool, f->len);
	if (slot < 0 || pool->slot[slot].capacity > frame_room(pool, f->len))
		return false;
	pool->budget.used_bytes += pool->slot[slot].capacity;
	move_to_slot(pool, f, (size_t)slot);
	return true;
}

enum err frame_grow(struct frame_pool *pool, struct frame *f, size_t waiting)
{
	ASSERT(f->have == f->capacity && f->have < f->len);
	if (take_slot(pool, f, waiting))
		return ERR_OK;
	size_t capacity = next_capacity(f, waiting), more = capacity - f->capacity;
	ASSERT(capacity > f->capacity && capacity - f->have >= waiting);
	bool is_over = pool->over && pool->over == f->ptr;
	bool fits = !is_over && more <= frame_room(pool, f->len);
	if (!fits && !is_over && pool->over)
		return ERR_AGAIN;
	uint8_t *grown = mem_realloc(f->ptr, capacity);
	if (!grown)
		return ERR_NOMEM;
	f->ptr = grown;
	f->capacity = capacity;
	if (fits) {
		pool->budget.used_bytes += more;
	} else {
		pool->over = grown;
		pool->over_bytes += more;
	}
	return ERR_OK;
}

void frame_give(struct frame_pool *pool, uint8_t *ptr, size_t capacity)
{
	if (!ptr)
		return;
	give_back(pool, ptr, capacity);
	if (capacity > FRAME_SMALL_BYTES && capacity <= FRAME_POOL_MAX &&
	    pool->count < FRAME_POOL_SLOTS && pool->bytes + capacity <= FRAME_POOL_BYTES) {
		pool->slot[pool->count].ptr = ptr;
		pool->slot[pool->count++].capacity = capacity;
		pool->bytes += capacity;
		return;
	}
	mem_free(ptr);
}
