/* SPDX-License-Identifier: Apache-2.0 */
/* Heartbeats, leaving, timers, checking and restoring of a consumer group. See consumer.h. */
#include "consumer.h"

const struct consumer_limits consumer_limits_default = {
    .session_timeout_ms = 45000,
    .heartbeat_interval_ms = 5000,
    .members_max = 10000,
    .bytes_max = GROUP_BYTES_MAX,
};

static struct consumer_member *member_of(struct list_node *node)
{
	return CONTAINER_OF(node, struct consumer_member, node);
}

/* ---- life ------------------------------------------------------------------------------------ */

void consumer_init(
    struct consumer_group *c, const struct consumer_ops *ops, const struct consumer_limits *limits)
{
	*c = (struct consumer_group){
	    .ops = ops, .limits = limits, .next_due_ms = INT64_MAX, .topics_stale = true};
	list_init(&c->members);
	list_init(&c->subscriptions);
	list_init(&c->patterns);
	map_init(&c->by_id);
	map_init(&c->by_instance);
	map_init(&c->by_key);
	map_init(&c->by_pattern);
	map_init(&c->slots);
	map_init(&c->support);
}

void consumer_release(struct consumer_group *c)
{
	size_t cursor = 0;
	void *slot;
	LIST_EACH (&c->members, node, tmp)
		consumer_member_remove(c, member_of(node));
	while ((slot = map_next(&c->slots, &cursor)))
		mem_free(slot);
	map_release(&c->by_id);
	map_release(&c->by_instance);
	map_release(&c->by_key);
	ASSERT(c->by_pattern.count == 0);
	map_release(&c->by_pattern);
	map_release(&c->slots);
	ASSERT(c->support.count == 0);
	map_release(&c->support);
	mem_free(c->topics);
}

struct consumer_member *consumer_find(const struct consumer_group *c, struct str member_id)
{
	return map_get(&c->by_id, str_bytes(member_id));
}

const char *consumer_state_name(const struct consumer_group *c)
{
	if (c->member_count == 0)
		return "Empty";
	if (c->epoch > c->target_epoch)
		return "Assigning";
	LIST_EACH (&c->members, node, tmp) {
		const struct consumer_member *m = member_of(node);
		if (m->state != CONSUMER_STABLE || m->epoch != c->target_epoch)
			return "Reconciling";
	}
	return "Stable";
}

void consumer_mark_all(struct consumer_group *c)
{
	c->epoch_dirty = c->target_epoch_dirty = c->removed = c->dirty = true;
	LIST_EACH (&c->members, node, tmp) {
		struct consumer_member *m = member_of(node);
		m->metadata_dirty = m->target_dirty = m->current_dirty = true;
	}
}

/* ---- timers ---------------------------------------------------------------------------------- */

void consumer_due(struct consumer_group *c, int64_t due_ms)
{
	if (due_ms < c->next_due_ms)
		c->next_due_ms = due_ms;
}

/* The first of its deadlines. */
static int64_t deadline(const struct consumer_member *m)
{
	const int64_t others[] = {m->rebalance_due_ms, m->classic ? m->classic->join_due_ms : 0,
	    m->classic ? m->classic->sync_due_ms : 0};
	int64_t first = m->session_due_ms;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (others[i] && others[i] < first)
			first = others[i];
	}
	return first;
}

void consumer_session_start(struct consumer_group *c, struct consumer_member *m, int64_t now_ms)
{
	m->session_due_ms =
	    now_ms + (m->classic ? m->classic->session_timeout_ms : c->limits->session_timeout_ms);
	consumer_due(c, m->session_due_ms);
}

/*
 * A member that is to revoke something has its rebalance timeout for it, from when it was told. One
 * that speaks the classic protocol has it for each of its steps (consumer_classic.c), and from when
 * it has joined again and still names what it was to revoke: not anew with each time it does so.
 */
static void rebalance_start(
    struct consumer_group *c, struct consumer_member *m, bool told, int64_t now_ms)
{
	if (m->state != CONSUMER_UNREVOKED || (m->classic && told)) {
		m->rebalance_due_ms = 0;
		return;
	}
	if (!told && m->rebalance_due_ms)
		return;
	m->rebalance_due_ms = now_ms + m->rebalance_timeout_ms;
	consumer_due(c, m->rebalance_due_ms);
}

void consumer_raise_epoch(struct consumer_group *c)
{
	c->epoch++;
	c->epoch_dirty = c->dirty = true;
}

void consumer_tick(struct consumer_group *c, int64_t now_ms)
{
	bool gone = false;
	if (now_ms < c->next_due_ms)
		return;
	c->next_due_ms = INT64_MAX;
	LIST_EACH (&c->members, node, tmp) {
		struct consumer_member *m = member_of(node);
		if (deadline(m) <= now_ms) {
			consumer_member_remove(c, m);
			gone = true;
			continue;
		}
		consumer_due(c, deadline(m));
	}
	if (gone)
		consumer_raise_epoch(c);
}

/* ---- who is it ------------------------------------------------------------------------------- */

static bool owns_subset(const struct consumer_parts *owned, const struct consumer_parts *assigned)
{
	for (size_t i = 0; owned && i < owned->count; i++) {
		if (!consumer_parts_find(assigned, owned->at[i].topic, owned->at[i].partition))
			return false;
	}
	return owned != NULL;
}

/* The member's epoch, or the one before when the answer that raised it may have been lost. */
static enum err check_epoch(const struct consumer_member *m, const struct consumer_beat *beat)
{
	if (beat->epoch == m->epoch)
		return ERR_OK;
	if (beat->epoch < m->epoch && beat->epoch == m->previous_epoch &&
	    owns_subset(beat->owned, &m->assigned))
		return ERR_OK;
	return err_note(ERR_FENCED_MEMBER_EPOCH, "epoch %d, the member is at %d; join again",
	    beat->epoch, m->epoch);
}

/* The member a heartbeat of one that is there already comes from. */
static enum err known_member(const struct consumer_group *c, const struct consumer_beat *beat,
    struct consumer_member **ret_member)
{
	struct consumer_member *m = consumer_find(c, beat->member_id);
	if (beat->instance_id.ptr) {
		struct consumer_member *owner =
		    map_get(&c->by_instance, str_bytes(beat->instance_id));
		if (!owner)
			return ERR_UNKNOWN_MEMBER;
		if (owner != m)
			return ERR_FENCED_INSTANCE;
	}
	if (!m)
		return ERR_UNKNOWN_MEMBER;
	*ret_member = m;
	return ERR_OK;
}

/* ---- joining --------------------------------------------------------------------------------- */

/* It holds nothing, whatever we thought: it has said so by joining. */
static void start_over(struct consumer_group *c, struct consumer_member *m)
{
	consumer_member_drop(c, m, true);
	m->state = CONSUMER_STABLE;
	m->epoch = m->previous_epoch = 0;
}

enum err consumer_come_back(struct consumer_group *c, struct consumer_member *m, struct str id)
{
	if (!str_equal(str_of(m->id), id)) {
		if (consumer_find(c, id))
			return err_note(ERR_INVALID_REQUEST, "that is another member's id");
		TRY(consumer_member_rename(c, m, id));
	}
	consumer_member_drop(c, m, false);
	m->state = CONSUMER_STABLE;
	m->previous_epoch = m->epoch = 0;
	return ERR_OK;
}

/* The instance is there: it is back, or takes the place of its own of the classic protocol, which
 * says nothing when it goes. */
static enum err join_static(
    struct consumer_group *c, struct consumer_member *m, const struct consumer_beat *beat)
{
	bool same = str_equal(str_of(m->id), beat->member_id);
	if (m->epoch == CONSUMER_LEAVES_SOON || (m->classic && !same))
		return consumer_come_back(c, m, beat->member_id);
	if (!same)
		return err_note(ERR_UNRELEASED_INSTANCE, "another member is using it");
	start_over(c, m);
	return ERR_OK;
}

static enum err join(struct consumer_group *c, const struct consumer_beat *beat,
    struct consumer_member **ret_member, bool *ret_changed)
{
	struct consumer_member *m = consumer_find(c, beat->member_id);
	struct consumer_member *owner =
	    beat->instance_id.ptr ? map_get(&c->by_instance, str_bytes(beat->instance_id)) : NULL;
	if (owner) {
		TRY(join_static(c, owner, beat));
		m = owner;
	} else if (m) {
		if (beat->instance_id.ptr || m->instance_id)
			return err_note(ERR_INVALID_REQUEST, "a member keeps its instance id");
		start_over(c, m);
	} else {
		TRY(consumer_member_new(c, beat->member_id, beat, &m));
		*ret_changed = true;
		*ret_member = m;
		return ERR_OK;
	}
	*ret_member = m;
	return consumer_member_update(c, m, beat, ret_changed);
}

/* ---- leaving --------------------------------------------------------------------------------- */

static enum err leave(
    struct consumer_group *c, const struct consumer_beat *beat, struct consumer_answer *ret_answer)
{
	struct consumer_member *m;
	TRY(known_member(c, beat, &m));
	*ret_answer = (struct consumer_answer){.epoch = beat->epoch};
	if (beat->epoch == CONSUMER_LEAVES_SOON) {
		if (!m->instance_id)
			return err_note(ERR_INVALID_REQUEST, "only a static member comes back");
		consumer_member_drop(c, m, false);
		m->state = CONSUMER_STABLE;
		m->epoch = m->previous_epoch = CONSUMER_LEAVES_SOON;
		return ERR_OK;
	}
	consumer_member_remove(c, m);
	consumer_raise_epoch(c);
	return ERR_OK;
}

enum err consumer_evict(struct consumer_group *c, struct str instance_id)
{
	struct consumer_member *m = map_get(&c->by_instance, str_bytes(instance_id));
	if (!m)
		return ERR_UNKNOWN_MEMBER;
	consumer_member_remove(c, m);
	consumer_raise_epoch(c);
	return ERR_OK;
}

/* ---- heartbeat ------------------------------------------------------------------------------- */

/* A new target when the group has changed since the last one. */
static enum err update_target(struct consumer_group *c, bool changed)
{
	enum err e = consumer_refresh(c, &changed);
	if (changed) /* even if the topics could not be looked up: they are stale then */
		consumer_raise_epoch(c);
	TRY(e);
	if (c->target_epoch == c->epoch)
		return ERR_OK;
	TRY(assignor_run(c));
	c->target_epoch = c->epoch;
	c->target_epoch_dirty = c->dirty = true;
	return ERR_OK;
}

/* All that a member may leave out because it has not changed is there. */
static bool is_full(const struct consumer_beat *beat)
{
	return beat->epoch == 0 || (beat->rebalance_timeout_ms >= 0 && beat->owned &&
	                               (beat->names || beat->pattern.ptr));
}

enum err consumer_step(struct consumer_group *c, struct consumer_member *m,
    const struct consumer_beat *beat, bool changed, int64_t now_ms,
    struct consumer_answer *ret_answer)
{
	bool moved = false;
	consumer_session_start(c, m, now_ms);
	TRY(update_target(c, changed));
	TRY(consumer_reconcile(c, m, beat->owned, &moved));
	rebalance_start(c, m, moved, now_ms);
	*ret_answer = (struct consumer_answer){
	    .member = m, .epoch = m->epoch, .with_assignment = moved || is_full(beat)};
	return ERR_OK;
}

enum err consumer_beat(struct consumer_group *c, const struct consumer_beat *beat, int64_t now_ms,
    struct consumer_answer *ret_answer)
{
	struct consumer_member *m;
	bool changed = false;
	if (beat->epoch < 0)
		return leave(c, beat, ret_answer);
	if (beat->epoch == 0) {
		TRY(join(c, beat, &m, &changed));
	} else {
		TRY(known_member(c, beat, &m));
		TRY(check_epoch(m, beat));
		TRY(consumer_member_update(c, m, beat, &changed));
	}
	return consumer_step(c, m, beat, changed, now_ms, ret_answer);
}

/* ---- offsets --------------------------------------------------------------------------------- */

enum err consumer_stale(const struct consumer_member *m)
{
	return m->classic ? ERR_ILLEGAL_GENERATION : ERR_STALE_MEMBER_EPOCH;
}

enum err consumer_validate(const struct consumer_group *c, struct str member_id, int32_t epoch,
    const struct consumer_member **ret_member)
{
	const struct consumer_member *m = consumer_find(c, member_id);
	if (!m)
		return ERR_UNKNOWN_MEMBER;
	if (epoch > m->epoch || epoch < 0)
		return consumer_stale(m);
	*ret_member = m;
	return ERR_OK;
}

enum err consumer_may_commit(
    const struct consumer_member *m, int32_t epoch, struct log_uuid topic, int32_t partition)
{
	if (epoch == m->epoch)
		return ERR_OK;
	const struct consumer_part *part = consumer_parts_find(&m->assigned, topic, partition);
	if (!part)
		part = consumer_parts_find(&m->revoking, topic, partition);
	return part && epoch >= part->epoch ? ERR_OK : consumer_stale(m);
}

/* ---- restoring ------------------------------------------------------------------------------- */

enum err consumer_restore_member(struct consumer_group *c, const struct consumer_restore *from,
    struct consumer_member **ret_member)
{
	struct consumer_beat beat = {
	    .member_id = from->id,
	    .instance_id = from->instance_id,
	    .rack_id = from->rack_id,
	    .client_id = from->client_id,
	    .client_host = from->client_host,
	    .rebalance_timeout_ms = from->rebalance_timeout_ms,
	    .names = from->names,
	    .name_count = from->name_count,
	    .pattern = from->pattern,
	    .viewer = from->viewer,
	    .assignor = from->assignor,
	    .classic = from->classic,
	};
	if (from->id.len == 0 || consumer_find(c, from->id) ||
	    (from->instance_id.ptr && map_get(&c->by_instance, str_bytes(from->instance_id))))
		return err_note(ERR_CORRUPT, "two members with one id");
	if (beat.assignor.ptr && !assignor_exists(beat.assignor))
		beat.assignor = (struct str){NULL, 0}; /* one of Kafka's that is not ours */
	return consumer_member_new(c, from->id, &beat, ret_member);
}

static enum err restore_parts(
    struct consumer_group *c, struct consumer_member *m, const struct consumer_parts *set)
{
	for (size_t i = 0; i < set->count; i++) {
		struct consumer_slot *slot;
		TRY(consumer_slot_make(c, &set->at[i], &slot));
		if (slot->owner)
			return err_note(ERR_CORRUPT, "a partition of members %s and %s",
			    slot->owner->id, m->id);
		slot->owner = m;
	}
	return ERR_OK;
}

enum err consumer_restored(struct consumer_group *c, int64_t now_ms)
{
	c->epoch_dirty = c->target_epoch_dirty = c->removed = c->dirty = false;
	consumer_patterns_restored(c);
	LIST_EACH (&c->members, node, tmp) {
		struct consumer_member *m = member_of(node);
		TRY(restore_parts(c, m, &m->assigned));
		TRY(restore_parts(c, m, &m->revoking));
		m->metadata_dirty = m->target_dirty = m->current_dirty = false;
		consumer_session_start(c, m, now_ms);
		rebalance_start(c, m, true, now_ms);
	}
	return ERR_OK;
}

/* ---- checking -------------------------------------------------------------------------------- */

static size_t check_parts(const struct consumer_group *c, const struct consumer_member *m,
    const struct consumer_parts *set)
{
	for (size_t i = 0; i < set->count; i++) {
		const struct consumer_slot *slot =
		    consumer_slot(c, set->at[i].topic, set->at[i].partition);
		ASSERT(slot && slot->owner == m); /* N1 */
		ASSERT(i == 0 || consumer_part_order(&set->at[i - 1], &set->at[i]) < 0);
	}
	return set->count;
}

/* One of its protocols is known to all that speak the classic protocol. */
static bool has_common(const struct consumer_group *c, const struct consumer_member *m)
{
	for (size_t i = 0; i < m->classic->protocol_count; i++) {
		if (support_count(&c->support, m->classic->protocols[i].name) == c->classic_count)
			return true;
	}
	return false;
}

void consumer_check(const struct consumer_group *c)
{
	size_t held = 0, owned = 0, members = 0, targets = 0, instances = 0, classic = 0,
	       cursor = 0;
	const struct consumer_slot *slot;
	ASSERT(c->target_epoch <= c->epoch); /* N2 */
	LIST_EACH (&c->members, node, tmp) {
		const struct consumer_member *m = member_of(node);
		held += check_parts(c, m, &m->assigned) + check_parts(c, m, &m->revoking);
		targets += m->target.count;
		members++;
		instances += m->instance_id != NULL;
		ASSERT(consumer_find(c, str_of(m->id)) == m);
		ASSERT(!m->instance_id ||
		       map_get(&c->by_instance, str_bytes(str_of(m->instance_id))) == m); /* N4 */
		ASSERT(m->epoch <= c->target_epoch);                                      /* N2 */
		ASSERT(m->state == CONSUMER_UNREVOKED || m->revoking.count == 0);         /* N3 */
		ASSERT(deadline(m) >= c->next_due_ms);                                    /* N5 */
		classic += m->classic != NULL;
		ASSERT(!m->classic || has_common(c, m)); /* N7 */
		ASSERT(c->dirty || !(m->metadata_dirty || m->target_dirty || m->current_dirty));
	}
	while ((slot = map_next(&c->slots, &cursor)))
		owned += slot->owner != NULL;
	ASSERT(held == owned); /* N1 */
	ASSERT(members == c->member_count && members == c->by_id.count);
	ASSERT(instances == c->by_instance.count);
	ASSERT(classic == c->classic_count && (classic > 0 || c->support.count == 0));
	if (c->epoch == c->target_epoch && !c->topics_stale && members > 0)
		ASSERT(targets == c->partition_count); /* N6 */
}
