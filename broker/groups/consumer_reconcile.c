/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One step of a member towards its target. What it holds and shall not must be revoked first, and
 * counts as held until its heartbeat says which partitions it owns and these are not among them; a
 * heartbeat that says nothing about them confirms nothing. Then it gets what is free of the rest
 * and moves to the target's epoch; what another member still holds it gets at a later heartbeat.
 * The sets are in order, so a step is one walk over them.
 */
#include "consumer.h"

/* What a step would make of the member. */
struct next {
	struct consumer_parts assigned, revoking;
	bool gains;      /* assigned has what the member does not hold */
	bool unreleased; /* some of the target is still another's */
};

static void next_release(struct next *n)
{
	consumer_parts_release(&n->assigned);
	consumer_parts_release(&n->revoking);
}

static enum err next_init(struct next *n, const struct consumer_member *m)
{
	size_t count = m->assigned.count + m->target.count + 1;
	*n = (struct next){0};
	n->assigned.at = mem_alloc(count * sizeof(*n->assigned.at));
	n->revoking.at = mem_alloc((m->assigned.count + 1) * sizeof(*n->revoking.at));
	if (n->assigned.at && n->revoking.at)
		return ERR_OK;
	next_release(n);
	return ERR_NOMEM;
}

static void take(struct consumer_parts *set, const struct consumer_part *part)
{
	set->at[set->count++] = *part;
}

/* What to do with one that is to be had and is not. */
static void want_part(struct consumer_group *c, struct consumer_member *m, struct next *n,
    const struct consumer_part *part)
{
	const struct consumer_slot *slot = consumer_slot(c, part->topic, part->partition);
	if (!slot || (slot->owner && slot->owner != m)) {
		n->unreleased = true;
		return;
	}
	struct consumer_part mine = *part;
	mine.epoch = c->target_epoch;
	take(&n->assigned, &mine);
	n->gains = true;
}

/* Merges `assigned` and `target`: both, only assigned, only target. */
static void compute(struct consumer_group *c, struct consumer_member *m, struct next *n)
{
	size_t i = 0, k = 0;
	while (i < m->assigned.count || k < m->target.count) {
		int order = i == m->assigned.count ? 1
		            : k == m->target.count
		                ? -1
		                : consumer_part_order(&m->assigned.at[i], &m->target.at[k]);
		if (order == 0) {
			take(&n->assigned, &m->assigned.at[i]);
			i++, k++;
		} else if (order < 0) {
			take(&n->revoking, &m->assigned.at[i++]);
		} else {
			want_part(c, m, n, &m->target.at[k++]);
		}
	}
}

static bool owns_any(const struct consumer_parts *owned, const struct consumer_parts *set)
{
	if (!owned)
		return set->count > 0; /* it has not said */
	for (size_t i = 0; i < set->count; i++) {
		if (consumer_parts_find(owned, set->at[i].topic, set->at[i].partition))
			return true;
	}
	return false;
}

static void own_all(
    struct consumer_group *c, const struct consumer_parts *set, struct consumer_member *owner)
{
	for (size_t i = 0; i < set->count; i++) {
		struct consumer_slot *slot =
		    consumer_slot(c, set->at[i].topic, set->at[i].partition);
		ASSERT(slot);
		slot->owner = owner;
	}
}

/* Without those gained: an earlier set of the target's own partitions. */
static void drop_gains(struct next *n, const struct consumer_member *m)
{
	size_t kept = 0;
	for (size_t i = 0; i < n->assigned.count; i++) {
		const struct consumer_part *part = &n->assigned.at[i];
		if (consumer_parts_find(&m->assigned, part->topic, part->partition))
			n->assigned.at[kept++] = *part;
	}
	n->assigned.count = kept;
}

static void set_epoch(struct consumer_member *m, int32_t epoch)
{
	if (m->epoch == epoch)
		return;
	m->previous_epoch = m->epoch;
	m->epoch = epoch;
}

static void put(struct consumer_group *c, struct consumer_member *m, struct next *n)
{
	own_all(c, &m->assigned, NULL);
	own_all(c, &m->revoking, NULL);
	consumer_parts_release(&m->assigned);
	consumer_parts_release(&m->revoking);
	m->assigned = n->assigned;
	m->revoking = n->revoking;
	own_all(c, &m->assigned, m);
	own_all(c, &m->revoking, m);
	*n = (struct next){0};
	m->current_dirty = c->dirty = true;
}

enum err consumer_reconcile(struct consumer_group *c, struct consumer_member *m,
    const struct consumer_parts *owned, bool *ret_changed)
{
	struct next n;
	enum consumer_state before = m->state;
	int32_t epoch = m->epoch;
	bool had_revoking = m->revoking.count > 0;
	*ret_changed = false;
	if (m->state == CONSUMER_STABLE && m->epoch == c->target_epoch)
		return ERR_OK;
	if (m->state == CONSUMER_UNREVOKED && owns_any(owned, &m->revoking))
		return ERR_OK;
	TRY(next_init(&n, m));
	compute(c, m, &n);
	if (n.revoking.count > 0 && owns_any(owned, &n.revoking)) {
		drop_gains(&n, m);
		m->state = CONSUMER_UNREVOKED;
		*ret_changed = true;
	} else {
		n.revoking.count = 0;
		*ret_changed = n.gains || n.assigned.count != m->assigned.count;
		m->state = n.unreleased ? CONSUMER_UNRELEASED : CONSUMER_STABLE;
		set_epoch(m, c->target_epoch);
	}
	if (*ret_changed || had_revoking || m->state != before || m->epoch != epoch)
		put(c, m, &n);
	next_release(&n);
	return ERR_OK;
}
