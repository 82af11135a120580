/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who shall have which partition. `uniform` leaves each member what it has as far as its share
 * allows and evens out the rest; `range` gives each member a run of every topic's partitions, the
 * same run of topics with as many partitions. Both work on one array, the owner of each partition
 * of the group's topics, from which the members' targets are made.
 *
 *   A1 every partition of a topic that somebody is subscribed to has one owner, who is subscribed
 *   A2 uniform, all subscribed to the same: shares differ by one at most
 */
#include "consumer.h"
#include <stdlib.h>

enum { NOBODY = -1 };
/* Comparisons spent on evening out different subscriptions; what is left then is uneven. */
#define BALANCE_WORK 20000000U

struct assignment {
	struct consumer_group *c;
	struct consumer_member **members; /* in order of joining; range: of name */
	size_t member_count;
	int32_t *owner; /* by partition of the group's topics: index into members */
	size_t *load;   /* partitions of each member */
	bool *kept;     /* has one of those that are left over */
	/* the members subscribed to each topic: subscribers[from[t] .. from[t + 1]) */
	int32_t *subscribers;
	size_t *from;
};

bool assignor_exists(struct str name)
{
	return str_equal(name, STR("uniform")) || str_equal(name, STR("range"));
}

struct str consumer_assignor(const struct consumer_group *c)
{
	size_t uniform = 0, range = 0;
	LIST_EACH (&c->members, node, tmp) {
		const struct consumer_member *m = CONTAINER_OF(node, struct consumer_member, node);
		bool wants_range = m->assignor && str_equal(str_of(m->assignor), STR("range"));
		range += wants_range;
		uniform += m->assignor && !wants_range;
	}
	return range > uniform ? STR("range") : STR("uniform");
}

/* ---- set up ---------------------------------------------------------------------------------- */

static void assignment_release(struct assignment *a)
{
	mem_free(a->members);
	mem_free(a->owner);
	mem_free(a->load);
	mem_free(a->kept);
	mem_free(a->subscribers);
	mem_free(a->from);
}

static enum err fill_subscribers(struct assignment *a)
{
	struct consumer_group *c = a->c;
	size_t total = 0;
	for (size_t m = 0; m < a->member_count; m++) {
		const struct consumer_subscription *s = a->members[m]->subscription;
		for (size_t i = 0; i < s->topic_count; i++)
			a->from[s->topics[i] + 1]++;
		total += s->topic_count;
	}
	for (size_t t = 0; t < c->topic_count; t++)
		a->from[t + 1] += a->from[t];
	a->subscribers = mem_alloc((total + 1) * sizeof(*a->subscribers));
	size_t *at = mem_alloc((c->topic_count + 1) * sizeof(*at));
	if (!a->subscribers || !at) {
		mem_free(at);
		return ERR_NOMEM;
	}
	memcpy(at, a->from, (c->topic_count + 1) * sizeof(*at));
	for (size_t m = 0; m < a->member_count; m++) {
		const struct consumer_subscription *s = a->members[m]->subscription;
		for (size_t i = 0; i < s->topic_count; i++)
			a->subscribers[at[s->topics[i]]++] = (int32_t)m;
	}
	mem_free(at);
	return ERR_OK;
}

static int by_range_name(const void *x, const void *y)
{
	const struct consumer_member *a = *(struct consumer_member *const *)x,
	                             *b = *(struct consumer_member *const *)y;
	/* a static member's place does not change with its id */
	return strcmp(
	    a->instance_id ? a->instance_id : a->id, b->instance_id ? b->instance_id : b->id);
}

static enum err assignment_init(struct assignment *a, struct consumer_group *c, bool by_name)
{
	*a = (struct assignment){.c = c};
	a->members = mem_alloc((c->member_count + 1) * sizeof(struct consumer_member *));
	a->owner = mem_alloc((c->partition_count + 1) * sizeof(*a->owner));
	a->load = mem_calloc(c->member_count + 1, sizeof(*a->load));
	a->kept = mem_calloc(c->member_count + 1, sizeof(*a->kept));
	a->from = mem_calloc(c->topic_count + 2, sizeof(*a->from));
	if (!a->members || !a->owner || !a->load || !a->kept || !a->from)
		return ERR_NOMEM;
	LIST_EACH (&c->members, node, tmp)
		a->members[a->member_count++] = CONTAINER_OF(node, struct consumer_member, node);
	for (size_t p = 0; p < c->partition_count; p++)
		a->owner[p] = NOBODY;
	if (by_name) /* the subscribers of a topic are in the order of members */
		qsort(a->members, a->member_count, sizeof(struct consumer_member *), by_range_name);
	return fill_subscribers(a);
}

static bool wants(const struct consumer_member *m, size_t topic)
{
	size_t from = 0, end = m->subscription->topic_count;
	while (from < end) {
		size_t at = from + (end - from) / 2;
		if (m->subscription->topics[at] == topic)
			return true;
		if (m->subscription->topics[at] < topic)
			from = at + 1;
		else
			end = at;
	}
	return false;
}

static void give(struct assignment *a, size_t partition, int32_t member)
{
	int32_t before = a->owner[partition];
	if (before != NOBODY)
		a->load[before]--;
	if (member != NOBODY)
		a->load[member]++;
	a->owner[partition] = member;
}

/* ---- uniform --------------------------------------------------------------------------------- */

/* What members were to have and still can. */
static void keep_targets(struct assignment *a)
{
	for (size_t m = 0; m < a->member_count; m++) {
		const struct consumer_parts *target = &a->members[m]->target;
		for (size_t i = 0; i < target->count; i++) {
			const struct consumer_part *part = &target->at[i];
			size_t t = consumer_topic_index(a->c, part->topic);
			if (t == SIZE_MAX || part->partition >= a->c->topics[t].partition_count ||
			    !wants(a->members[m], t))
				continue;
			size_t p = a->c->topics[t].first + (size_t)part->partition;
			if (a->owner[p] == NOBODY)
				give(a, p, (int32_t)m);
		}
	}
}

/* Takes from who has more than its share; one more each may keep `extra` of them. */
static void trim_loads(struct assignment *a, size_t share, size_t *extra)
{
	for (size_t p = a->c->partition_count; p-- > 0;) {
		int32_t m = a->owner[p];
		if (m != NOBODY && a->load[m] > share + 1)
			give(a, p, NOBODY);
	}
	for (size_t p = a->c->partition_count; p-- > 0;) {
		int32_t m = a->owner[p];
		if (m == NOBODY || a->load[m] != share + 1)
			continue;
		if (a->kept[m])
			continue;
		if (*extra > 0) {
			a->kept[m] = true;
			--*extra;
		} else {
			give(a, p, NOBODY);
		}
	}
}

/* All want the same: everybody's share is known beforehand. What is free is dealt round and round,
 * so that a topic is spread. */
static void share_evenly(struct assignment *a)
{
	size_t n = a->member_count, m = 0, missing = 0;
	size_t share = a->c->partition_count / n, extra = a->c->partition_count % n;
	trim_loads(a, share, &extra);
	for (size_t i = 0; i < n; i++)
		missing += a->load[i] < share ? share - a->load[i] : 0;
	for (size_t p = 0; p < a->c->partition_count; p++) {
		if (a->owner[p] != NOBODY)
			continue;
		size_t room_under = missing > 0 ? share : share + 1;
		while (a->load[m] >= room_under)
			m = (m + 1) % n;
		missing -= missing > 0;
		give(a, p, (int32_t)m);
		m = (m + 1) % n;
	}
}

static int32_t least_loaded(const struct assignment *a, size_t topic)
{
	int32_t best = NOBODY;
	for (size_t i = a->from[topic]; i < a->from[topic + 1]; i++) {
		int32_t m = a->subscribers[i];
		if (best == NOBODY || a->load[m] < a->load[best])
			best = m;
	}
	return best;
}

static bool balance_once(struct assignment *a, uint64_t *work)
{
	bool moved = false;
	for (size_t t = 0; t < a->c->topic_count; t++) {
		size_t first = a->c->topics[t].first;
		for (int32_t i = 0; i < a->c->topics[t].partition_count; i++) {
			*work += a->from[t + 1] - a->from[t];
			if (*work > BALANCE_WORK)
				return false;
			int32_t best = least_loaded(a, t), now = a->owner[first + (size_t)i];
			if (a->load[now] <= a->load[best] + 1)
				continue;
			give(a, first + (size_t)i, best);
			moved = true;
		}
	}
	return moved;
}

/* Members want different things: each partition goes where least is, then from more to less. Each
 * move makes the sum of squares smaller, so it ends. */
static void share_by_load(struct assignment *a)
{
	uint64_t work = 0;
	for (size_t t = 0; t < a->c->topic_count; t++) {
		size_t first = a->c->topics[t].first;
		for (int32_t i = 0; i < a->c->topics[t].partition_count; i++) {
			if (a->owner[first + (size_t)i] == NOBODY)
				give(a, first + (size_t)i, least_loaded(a, t));
		}
	}
	while (balance_once(a, &work)) {
	}
}

static void uniform(struct assignment *a)
{
	keep_targets(a);
	struct list_node *only = list_first(&a->c->subscriptions);
	if (only && only->next == &a->c->subscriptions.head)
		share_evenly(a);
	else
		share_by_load(a);
}

/* ---- range ----------------------------------------------------------------------------------- */

static void range(struct assignment *a)
{
	for (size_t t = 0; t < a->c->topic_count; t++) {
		size_t n = a->from[t + 1] - a->from[t];
		size_t count = (size_t)a->c->topics[t].partition_count, next = 0;
		for (size_t i = 0; i < n; i++) {
			size_t share = count / n + (i < count % n);
			for (size_t k = 0; k < share; k++)
				give(a, a->c->topics[t].first + next++,
				    a->subscribers[a->from[t] + i]);
		}
	}
}

/* ---- the targets ----------------------------------------------------------------------------- */

static bool same_parts(const struct consumer_parts *a, const struct consumer_parts *b)
{
	for (size_t i = 0; a->count == b->count && i < a->count; i++) {
		if (consumer_part_order(&a->at[i], &b->at[i]) != 0)
			return false;
	}
	return a->count == b->count;
}

/* Room for every member's new target, or nothing at all. */
static struct consumer_parts *new_targets(const struct assignment *a)
{
	struct consumer_parts *targets = mem_calloc(a->member_count + 1, sizeof(*targets));
	bool ok = targets != NULL;
	for (size_t m = 0; ok && m < a->member_count; m++) {
		targets[m].at = mem_alloc((a->load[m] + 1) * sizeof(*targets[m].at));
		ok = targets[m].at != NULL;
	}
	if (ok)
		return targets;
	for (size_t m = 0; targets && m < a->member_count; m++)
		mem_free(targets[m].at);
	mem_free(targets);
	return NULL;
}

static enum err set_targets(struct assignment *a)
{
	struct consumer_parts *targets = new_targets(a);
	if (!targets)
		return ERR_NOMEM;
	for (size_t t = 0; t < a->c->topic_count; t++) {
		const struct consumer_topic *topic = &a->c->topics[t];
		for (int32_t p = 0; p < topic->partition_count; p++) {
			int32_t m = a->owner[topic->first + (size_t)p];
			ASSERT(m != NOBODY);
			targets[m].at[targets[m].count++] =
			    (struct consumer_part){.topic = topic->id, .partition = p};
		}
	}
	for (size_t m = 0; m < a->member_count; m++) {
		struct consumer_member *member = a->members[m];
		if (!same_parts(&member->target, &targets[m]))
			member->target_dirty = a->c->dirty = true;
		consumer_parts_release(&member->target);
		member->target = targets[m];
	}
	mem_free(targets);
	return ERR_OK;
}

enum err assignor_run(struct consumer_group *c)
{
	struct assignment a;
	bool ranges = str_equal(consumer_assignor(c), STR("range"));
	enum err e = assignment_init(&a, c, ranges);
	if (e == ERR_OK && ranges)
		range(&a);
	else if (e == ERR_OK && a.member_count > 0)
		uniform(&a);
	if (e == ERR_OK)
		e = set_targets(&a);
	assignment_release(&a);
	return e;
}
