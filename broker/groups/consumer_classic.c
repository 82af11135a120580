/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Members of a consumer group that speak the classic protocol, and the members of a classic group
 * that becomes a consumer group. Each step such a member is asked for (to join again, to fetch what
 * it is assigned) is to be done within its rebalance timeout.
 */
#include "consumer.h"

/* ---- joining --------------------------------------------------------------------------------- */

/* As in a classic group: one protocol stays that all of them know. */
static bool protocols_fit(const struct consumer_group *c, const struct consumer_speech *speech)
{
	for (size_t i = 0; i < speech->protocol_count; i++) {
		if (support_count(&c->support, speech->protocols[i].name) == c->classic_count)
			return true;
	}
	return false;
}

static enum err join_new(struct consumer_group *c, const struct consumer_beat *beat, char **ret_id,
    struct consumer_member **ret_member)
{
	if (beat->member_id.len == 0 && !beat->instance_id.ptr && ret_id) {
		*ret_id = consumer_make_id(c); /* whoever comes with an id is let in */
		return *ret_id ? ERR_MEMBER_ID_REQUIRED : ERR_NOMEM;
	}
	return consumer_member_new(c, beat->member_id, beat, ret_member);
}

/* The member that joins: as it was, or a new one. */
static enum err joining(struct consumer_group *c, const struct consumer_beat *beat, char **ret_id,
    struct consumer_member **ret_member, bool *ret_changed)
{
	struct consumer_member *m = consumer_find(c, beat->member_id);
	if (beat->instance_id.ptr) {
		struct consumer_member *owner =
		    map_get(&c->by_instance, str_bytes(beat->instance_id));
		if (beat->member_id.len > 0 && !owner)
			return ERR_UNKNOWN_MEMBER;
		if (beat->member_id.len > 0 && owner != m)
			return ERR_FENCED_INSTANCE;
		if (owner && owner != m)
			TRY(consumer_come_back(c, owner, beat->member_id));
		m = owner;
	}
	if (m) {
		*ret_member = m;
		return consumer_member_update(c, m, beat, ret_changed);
	}
	*ret_changed = true;
	return join_new(c, beat, ret_id, ret_member);
}

enum err consumer_join(struct consumer_group *c, const struct consumer_beat *beat, char **ret_id,
    int64_t now_ms, struct consumer_answer *ret_answer)
{
	struct consumer_member *m;
	bool changed = false;
	ASSERT(beat->classic);
	if (!protocols_fit(c, beat->classic))
		return ERR_INCONSISTENT_GROUP_PROTOCOL;
	TRY(joining(c, beat, ret_id, &m, &changed));
	m->classic->join_due_ms = 0;
	m->classic->sync_due_ms = now_ms + m->rebalance_timeout_ms;
	consumer_due(c, m->classic->sync_due_ms);
	return consumer_step(c, m, beat, changed, now_ms, ret_answer);
}

/* ---- the rest of the classic protocol -------------------------------------------------------- */

/* Of either protocol. */
static enum err find_any(const struct consumer_group *c, struct str member_id,
    struct str instance_id, struct consumer_member **ret_member)
{
	struct consumer_member *m = consumer_find(c, member_id);
	if (instance_id.ptr) {
		struct consumer_member *owner = map_get(&c->by_instance, str_bytes(instance_id));
		if (owner && owner != m)
			return ERR_FENCED_INSTANCE;
		m = owner;
	}
	*ret_member = m;
	return m ? ERR_OK : ERR_UNKNOWN_MEMBER;
}

static enum err find(const struct consumer_group *c, struct str member_id, struct str instance_id,
    struct consumer_member **ret_member)
{
	TRY(find_any(c, member_id, instance_id, ret_member));
	return (*ret_member)->classic ? ERR_OK : ERR_UNKNOWN_MEMBER;
}

static void ask_to_join(struct consumer_group *c, struct consumer_member *m, int64_t now_ms)
{
	if (m->classic->join_due_ms)
		return;
	m->classic->join_due_ms = now_ms + m->rebalance_timeout_ms;
	consumer_due(c, m->classic->join_due_ms);
}

enum err consumer_sync(struct consumer_group *c, const struct group_sync *sync, int64_t now_ms,
    const struct consumer_member **ret_member)
{
	struct consumer_member *m;
	TRY(find(c, sync->member_id, sync->instance_id, &m));
	if (sync->generation != m->epoch)
		return ERR_ILLEGAL_GENERATION;
	if (sync->protocol_type.ptr && !str_equal(sync->protocol_type, STR("consumer")))
		return ERR_INCONSISTENT_GROUP_PROTOCOL;
	if (sync->protocol.ptr && !str_equal(sync->protocol, m->classic->protocols[0].name))
		return ERR_INCONSISTENT_GROUP_PROTOCOL;
	/* one that is to revoke learns here what it keeps, and joins again when it has */
	if (c->epoch > m->epoch && m->state != CONSUMER_UNREVOKED) {
		ask_to_join(c, m, now_ms);
		return ERR_REBALANCE_IN_PROGRESS;
	}
	m->classic->sync_due_ms = 0;
	consumer_session_start(c, m, now_ms);
	*ret_member = m;
	return ERR_OK;
}

/* Is all that it is still to get free by now? */
static bool is_released(const struct consumer_group *c, const struct consumer_member *m)
{
	for (size_t i = 0; i < m->target.count; i++) {
		const struct consumer_part *part = &m->target.at[i];
		const struct consumer_slot *slot = consumer_slot(c, part->topic, part->partition);
		if (!slot || (slot->owner && slot->owner != m))
			return false;
	}
	return true;
}

enum err consumer_heartbeat(struct consumer_group *c, struct str member_id, struct str instance_id,
    int32_t generation, int64_t now_ms)
{
	struct consumer_member *m;
	bool changed = false;
	TRY(find(c, member_id, instance_id, &m));
	if (generation != m->epoch)
		return ERR_ILLEGAL_GENERATION;
	consumer_session_start(c, m, now_ms);
	enum err e = consumer_refresh(c, &changed);
	if (changed)
		consumer_raise_epoch(c);
	TRY(e);
	if (m->epoch == c->epoch && m->state != CONSUMER_UNREVOKED &&
	    !(m->state == CONSUMER_UNRELEASED && is_released(c, m)))
		return ERR_OK;
	ask_to_join(c, m, now_ms);
	return ERR_REBALANCE_IN_PROGRESS;
}

enum err consumer_leave(struct consumer_group *c, struct str member_id, struct str instance_id)
{
	struct consumer_member *m;
	if (member_id.len == 0 && instance_id.ptr)
		return consumer_evict(c, instance_id);
	TRY(find_any(c, member_id, instance_id, &m));
	consumer_member_remove(c, m);
	consumer_raise_epoch(c);
	return ERR_OK;
}

/* ---- a classic group's members --------------------------------------------------------------- */

void consumer_take_epoch(struct consumer_group *c, int32_t epoch)
{
	ASSERT(c->member_count == 0 && c->epoch == 0);
	c->epoch = c->target_epoch = epoch;
}

static enum err take_parts(
    struct consumer_group *c, struct consumer_member *m, const struct consumer_parts *parts)
{
	size_t len = parts->count * sizeof(*parts->at);
	m->assigned.at = mem_alloc(len ? len : 1);
	m->target.at = mem_alloc(len ? len : 1);
	if (!m->assigned.at || !m->target.at)
		return ERR_NOMEM;
	for (size_t i = 0; i < parts->count; i++) {
		struct consumer_slot *slot;
		TRY(consumer_slot_make(c, &parts->at[i], &slot));
		if (slot->owner)
			continue; /* its leader gave it twice */
		slot->owner = m;
		m->assigned.at[m->assigned.count] = parts->at[i];
		m->assigned.at[m->assigned.count++].epoch = m->epoch;
		m->target.at[m->target.count++] = parts->at[i];
	}
	return ERR_OK;
}

enum err consumer_take(struct consumer_group *c, const struct consumer_beat *beat,
    const struct consumer_parts *parts, int64_t now_ms)
{
	struct consumer_member *m;
	TRY(consumer_member_new(c, beat->member_id, beat, &m));
	m->epoch = m->previous_epoch = c->epoch;
	consumer_session_start(c, m, now_ms);
	return take_parts(c, m, parts);
}

enum err consumer_take_owned(
    struct consumer_group *c, struct str member_id, const struct consumer_parts *owned)
{
	struct consumer_member *m = consumer_find(c, member_id);
	ASSERT(m && m->classic && m->revoking.count == 0);
	m->revoking.at = mem_alloc((owned->count + 1) * sizeof(*m->revoking.at));
	if (!m->revoking.at)
		return ERR_NOMEM;
	for (size_t i = 0; i < owned->count; i++) {
		struct consumer_slot *slot;
		TRY(consumer_slot_make(c, &owned->at[i], &slot));
		if (slot->owner)
			continue; /* by `assigned` it is its own or another's */
		slot->owner = m;
		m->state = CONSUMER_UNREVOKED;
		m->revoking.at[m->revoking.count] = owned->at[i];
		m->revoking.at[m->revoking.count++].epoch = m->epoch;
	}
	return ERR_OK;
}
