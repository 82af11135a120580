/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which segment of a partition to look in, in O(log n): an array beside the list of segments, made
 * again when the list has changed. The list is the truth; whoever changes it need not know of the
 * array: a segment that comes or goes changes their number, a replaced one is `gone` or was made
 * since (segment_new and segment_free mark the array stale).
 */
#include "log/partition.h"

void segment_order_release(struct segment_order *o)
{
	mem_free(o->at);
	*o = (struct segment_order){.stale = true};
}

static bool order_holds(const struct log_partition *p)
{
	return !p->order.stale && p->order.count == p->segment_count;
}

static enum err order_room(struct segment_order *o, size_t count)
{
	if (count <= o->capacity)
		return ERR_OK;
	size_t capacity = count + count / 2 + 16;
	struct segment_place *grown = mem_realloc(o->at, capacity * sizeof(*grown));
	if (!grown)
		return ERR_NOMEM;
	o->at = grown;
	o->capacity = capacity;
	return ERR_OK;
}

/* ERR_NOMEM: the list must do. */
static enum err order_make(struct log_partition *p)
{
	struct segment_order *o = &p->order;
	int64_t max_ms = INT64_MIN;
	bool settled = true;
	TRY(order_room(o, p->segment_count));
	o->count = 0;
	LIST_EACH (&p->segments, n, next) {
		struct segment *s = CONTAINER_OF(n, struct segment, node);
		ASSERT(o->count < o->capacity);
		o->at[o->count++] = (struct segment_place){s, max_ms};
		if (s->index.max_timestamp_ms > max_ms)
			max_ms = s->index.max_timestamp_ms;
		/* its timestamps still grow: right for now, not for the next time */
		if (n->next != &p->segments.head && s->frames_pending > 0)
			settled = false;
	}
	ASSERT(o->count == p->segment_count);
	o->stale = !settled;
	return ERR_OK;
}

enum segment_key { BY_OFFSET, BY_SEQUENCE, BY_TIME };

/* Does the place lie behind the last segment that begins at or before the key? */
static bool lies_behind(const struct segment_place *at, enum segment_key by, uint64_t key)
{
	if (by == BY_OFFSET)
		return at->segment->base_offset > (int64_t)key;
	if (by == BY_SEQUENCE)
		return at->segment->first_sequence > key;
	return at->max_before_ms >= (int64_t)key;
}

/* The last segment that does not lie behind the key; NULL when all do. */
static struct segment *order_find(struct log_partition *p, enum segment_key by, uint64_t key)
{
	const struct segment_order *o = &p->order;
	size_t low = 0, high = o->count;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (lies_behind(&o->at[mid], by, key))
			high = mid;
		else
			low = mid + 1;
	}
	return low > 0 ? o->at[low - 1].segment : NULL;
}

/* Without memory for the array. */
static struct segment *list_find(const struct log_partition *p, enum segment_key by, uint64_t key)
{
	struct segment_place at = {NULL, INT64_MIN};
	struct segment *found = NULL;
	LIST_EACH (&p->segments, n, next) {
		at.segment = CONTAINER_OF(n, struct segment, node);
		if (lies_behind(&at, by, key))
			break;
		found = at.segment;
		if (found->index.max_timestamp_ms > at.max_before_ms)
			at.max_before_ms = found->index.max_timestamp_ms;
	}
	return found;
}

static struct segment *find(struct log_partition *p, enum segment_key by, uint64_t key)
{
	for (int again = 0; again < 2; again++) {
		if (!order_holds(p) && order_make(p) != ERR_OK)
			break;
		struct segment *s = order_find(p, by, key);
		if (!s || !s->gone)
			return s;
		p->order.stale = true; /* it was replaced by another */
	}
	err_clear();
	return list_find(p, by, key);
}

static struct segment *before(const struct log_partition *p, const struct segment *s)
{
	return s->node.prev == &p->segments.head ? NULL
	                                         : CONTAINER_OF(s->node.prev, struct segment, node);
}

struct segment *partition_segment_of(struct log_partition *p, int64_t offset)
{
	struct segment *s = partition_active(p);
	if (s && (s->base_offset > offset || s->size == SEGMENT_HEADER_BYTES))
		s = find(p, BY_OFFSET, (uint64_t)offset); /* not where most reads are */
	while (s && s->size == SEGMENT_HEADER_BYTES)
		s = before(p, s); /* empty: at most one, made ahead */
	return s;
}

struct segment *partition_segment_from(struct log_partition *p, int64_t base_offset)
{
	struct list_node *n = list_first(&p->segments);
	if (!n || partition_active(p)->base_offset < base_offset)
		return NULL;
	struct segment *s = CONTAINER_OF(n, struct segment, node);
	if (s->base_offset >= base_offset)
		return s;
	s = find(p, BY_OFFSET, (uint64_t)base_offset); /* there is one behind it: see above */
	return s->base_offset >= base_offset ? s : CONTAINER_OF(s->node.next, struct segment, node);
}

struct segment *partition_segment_of_sequence(struct log_partition *p, uint64_t sequence)
{
	struct segment *s = find(p, BY_SEQUENCE, sequence);
	if (!s && !list_empty(&p->segments))
		s = CONTAINER_OF(list_first(&p->segments), struct segment, node);
	return s;
}

struct segment *partition_segment_of_time(struct log_partition *p, int64_t timestamp_ms)
{
	struct segment *s = find(p, BY_TIME, (uint64_t)timestamp_ms);
	return s && s->index.max_timestamp_ms >= timestamp_ms ? s : NULL;
}
