/* SPDX-License-Identifier: Apache-2.0 */
/* Producer state: the checks of idempotent batches. See producer.h for the rules. */
#include "log/producer.h"

void producers_init(struct producers *ps)
{
	*ps = (struct producers){0};
	list_init(&ps->lru);
}

void producers_release(struct producers *ps)
{
	struct list_node *n;
	while ((n = list_pop_front(&ps->lru)))
		mem_free(CONTAINER_OF(n, struct producer, lru));
	for (size_t i = 0; ps->maps && i < PRODUCER_MAPS; i++)
		map_release(&ps->maps[i]);
	mem_free(ps->maps);
	producers_init(ps);
}

/* The list of a set must be re-anchored when the set moves. */
void producers_move(struct producers *to, struct producers *from)
{
	struct list_node *n;
	producers_release(to);
	to->maps = from->maps;
	to->count = from->count;
	from->maps = NULL;
	from->count = 0;
	while ((n = list_pop_front(&from->lru)))
		list_push_back(&to->lru, n);
}

static struct bytes producer_key(const int64_t *id)
{
	return bytes_of(id, sizeof(*id));
}

/* By other bits of the hash than the map goes by. */
static struct map *map_of(const struct producers *ps, int64_t id)
{
	return &ps->maps[map_hash(producer_key(&id)) >> 60 & (PRODUCER_MAPS - 1)];
}

struct producer *producers_find(const struct producers *ps, int64_t id)
{
	return ps->maps ? map_get(map_of(ps, id), producer_key(&id)) : NULL;
}

const struct producer *producers_next(const struct producers *ps, size_t *cursor)
{
	enum { SHIFT = 56 }; /* what is below is the map's own */
	for (size_t i = *cursor >> SHIFT; ps->maps && i < PRODUCER_MAPS; i++) {
		size_t at = *cursor & (((size_t)1 << SHIFT) - 1);
		const struct producer *p = map_next(&ps->maps[i], &at);
		*cursor = p ? i << SHIFT | at : (i + 1) << SHIFT;
		if (p)
			return p;
	}
	return NULL;
}

static void producer_forget(struct producers *ps, struct producer *p)
{
	map_remove(map_of(ps, p->id), producer_key(&p->id));
	ps->count--;
	list_remove(&p->lru);
	mem_free(p);
	ps->changed = true;
}

enum err producers_reserve(struct producers *ps, int64_t producer_id)
{
	if (producers_find(ps, producer_id))
		return ERR_OK;
	struct list_node *oldest;
	while (ps->count >= PRODUCERS_MAX && (oldest = list_first(&ps->lru))) {
		producer_forget(ps, CONTAINER_OF(oldest, struct producer, lru));
		metric_add(METRIC_PRODUCERS_FORGOTTEN, ps->loaded); /* at a start it was before */
	}
	if (!ps->maps)
		ps->maps = mem_calloc(PRODUCER_MAPS, sizeof(*ps->maps));
	if (!ps->maps)
		return ERR_NOMEM;
	struct producer *p = mem_calloc(1, sizeof(*p));
	if (!p)
		return ERR_NOMEM;
	p->id = producer_id;
	p->epoch = -1; /* unknown until its first batch */
	list_node_init(&p->lru);
	enum err e = map_put(map_of(ps, p->id), producer_key(&p->id), p);
	if (e != ERR_OK) {
		mem_free(p);
		return e;
	}
	list_push_back(&ps->lru, &p->lru);
	ps->count++;
	return ERR_OK;
}

void producers_unreserve(struct producers *ps, int64_t producer_id)
{
	struct producer *p = producers_find(ps, producer_id);
	if (p && p->epoch < 0)
		producer_forget(ps, p);
}

/* Sequences wrap from 2^31-1 to 0. */
static int32_t sequence_add(int32_t sequence, int32_t n)
{
	return (int32_t)(((uint32_t)sequence + (uint32_t)n) & INT32_MAX);
}

static int32_t batch_last_sequence(const struct batch_header *h)
{
	return sequence_add(h->base_sequence, h->last_offset_delta);
}

/* True when `sequence` is behind `last` by less than half the circle. */
static bool sequence_before(int32_t sequence, int32_t last)
{
	uint32_t ahead = ((uint32_t)sequence - (uint32_t)last) & INT32_MAX;
	return ahead == 0 || ahead > INT32_MAX / 2;
}

static enum err check_known(
    const struct producer *p, const struct batch_header *h, struct producer_batch *ret)
{
	int32_t last = batch_last_sequence(h);
	for (unsigned i = 0; i < p->count; i++) {
		const struct producer_batch *b = &p->batch[i];
		if (b->first_sequence == h->base_sequence && b->last_sequence == last) {
			*ret = *b;
			return ERR_EXISTS;
		}
	}
	int32_t newest = p->batch[p->count - 1].last_sequence;
	if (h->base_sequence == sequence_add(newest, 1))
		return ERR_OK;
	/* older than the oldest kept: nobody knows whether it was stored, and clients take this
	 * error for success */
	if (sequence_before(last, newest) &&
	    !sequence_before(h->base_sequence, sequence_add(p->batch[0].first_sequence, INT32_MAX)))
		return err_note(ERR_DUPLICATE_SEQUENCE,
		    "producer %lld: sequence %d was stored before (last is %d)",
		    (long long)h->producer_id, h->base_sequence, newest);
	return err_note(ERR_OUT_OF_ORDER_SEQUENCE, "producer %lld: sequence %d does not follow %d",
	    (long long)h->producer_id, h->base_sequence, newest);
}

enum err producers_check(
    const struct producers *ps, const struct batch_header *h, struct producer_batch *ret_original)
{
	ASSERT(ps->loaded && h->producer_id >= 0);
	const struct producer *p = producers_find(ps, h->producer_id);
	if (!p || p->epoch < 0)
		return ERR_OK;
	if (h->producer_epoch < p->epoch)
		return err_note(ERR_INVALID_PRODUCER_EPOCH,
		    "producer %lld: epoch %d is older than %d", (long long)h->producer_id,
		    h->producer_epoch, p->epoch);
	if (h->base_sequence < 0) /* control batches have none */
		return ERR_OK;
	if (h->producer_epoch > p->epoch) {
		if (h->base_sequence != 0)
			return err_note(ERR_OUT_OF_ORDER_SEQUENCE,
			    "producer %lld: epoch %d must start at sequence 0, not %d",
			    (long long)h->producer_id, h->producer_epoch, h->base_sequence);
		return ERR_OK;
	}
	return p->count == 0 ? ERR_OK : check_known(p, h, ret_original);
}

void producers_note(struct producers *ps, const struct batch_header *h, uint64_t sequence,
    int64_t append_ns, int64_t append_time_ms)
{
	struct producer *p = producers_find(ps, h->producer_id);
	ASSERT(p && h->producer_epoch >= p->epoch);
	if (h->producer_epoch > p->epoch)
		p->count = 0;
	p->epoch = h->producer_epoch;
	p->last_ns = append_ns;
	list_remove(&p->lru);
	list_push_back(&ps->lru, &p->lru);
	ps->changed = true;
	if (h->base_sequence < 0)
		return;
	if (p->count == PRODUCER_BATCHES_KEPT)
		memmove(
		    &p->batch[0], &p->batch[1], (PRODUCER_BATCHES_KEPT - 1) * sizeof(p->batch[0]));
	else
		p->count++;
	p->batch[p->count - 1] = (struct producer_batch){
	    .first_sequence = h->base_sequence,
	    .last_sequence = batch_last_sequence(h),
	    .base_offset = h->base_offset,
	    .sequence = sequence,
	    .append_time_ms = append_time_ms,
	};
}

void producers_expire(struct producers *ps, int64_t now_ns, size_t max)
{
	LIST_EACH (&ps->lru, n, next) {
		struct producer *p = CONTAINER_OF(n, struct producer, lru);
		if (max-- == 0 || (p->epoch >= 0 && now_ns - p->last_ns < PRODUCER_EXPIRY_NS))
			return;
		producer_forget(ps, p);
	}
}

bool producers_would_begin(const struct producers *ps, const struct batch_header *h)
{
	const struct producer *p = producers_find(ps, h->producer_id);
	return !p || p->epoch < 0 || (p->epoch == h->producer_epoch && p->count == 0);
}

/* ---- refused batches ------------------------------------------------------------------------- */

struct refusal {
	int64_t producer_id; /* first: the map's key */
	struct list_node node;
	int32_t sequence;
	int16_t epoch;
};

static struct refusal *refusal_find(const struct refusals *rf, int64_t id)
{
	return rf->map.count > 0 ? map_get(&rf->map, producer_key(&id)) : NULL;
}

static void refusal_forget(struct refusals *rf, struct refusal *r)
{
	map_remove(&rf->map, producer_key(&r->producer_id));
	list_remove(&r->node);
	mem_free(r);
}

void refusals_init(struct refusals *rf)
{
	map_init(&rf->map);
	list_init(&rf->order);
}

void refusals_release(struct refusals *rf)
{
	struct list_node *n;
	while ((n = list_first(&rf->order)))
		refusal_forget(rf, CONTAINER_OF(n, struct refusal, node));
	map_release(&rf->map);
	refusals_init(rf);
}

void refusals_note(struct refusals *rf, const struct batch_header *h)
{
	struct refusal *r = refusal_find(rf, h->producer_id);
	if (h->base_sequence < 0)
		return;
	if (!r) {
		struct list_node *oldest = list_first(&rf->order);
		if (rf->map.count >= REFUSALS_MAX && oldest)
			refusal_forget(rf, CONTAINER_OF(oldest, struct refusal, node));
		r = mem_calloc(1, sizeof(*r));
		if (!r)
			return;
		r->producer_id = h->producer_id;
		list_node_init(&r->node);
		if (map_put(&rf->map, producer_key(&r->producer_id), r) != ERR_OK) {
			mem_free(r);
			return;
		}
		list_push_back(&rf->order, &r->node);
	} else if (h->producer_epoch < r->epoch ||
	           (h->producer_epoch == r->epoch &&
	               sequence_before(r->sequence, h->base_sequence))) {
		return; /* the first one is waited for */
	}
	r->epoch = h->producer_epoch;
	r->sequence = h->base_sequence;
}

enum err refusals_check(const struct refusals *rf, const struct batch_header *h)
{
	const struct refusal *r = refusal_find(rf, h->producer_id);
	if (!r || r->epoch != h->producer_epoch || h->base_sequence < 0 ||
	    sequence_before(h->base_sequence, r->sequence))
		return ERR_OK;
	return err_note(ERR_OUT_OF_ORDER_SEQUENCE,
	    "producer %lld: sequence %d was refused before and comes before %d",
	    (long long)h->producer_id, r->sequence, h->base_sequence);
}

void refusals_clear(struct refusals *rf, int64_t producer_id)
{
	struct refusal *r = refusal_find(rf, producer_id);
	if (r)
		refusal_forget(rf, r);
}
