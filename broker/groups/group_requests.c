/* SPDX-License-Identifier: Apache-2.0 */
/* What members ask of their group: join, sync, heartbeat, leave, and whether they may commit. */
#include "group.h"

/* ---- join ------------------------------------------------------------------------------------ */

static void refuse_join(
    struct group *g, const struct group_join *join, struct str member_id, enum err e)
{
	struct group_join_result result = {.err = e, .member_id = member_id, .generation = -1};
	g->ops->joined(g, join->waiter, &result);
}

/* Kafka's supportsProtocols: some protocol of the join is one that all present members support. */
static bool protocols_fit(const struct group *g, const struct group_join *join)
{
	if (join->protocol_type.len == 0 || join->protocol_count == 0)
		return false;
	if (g->member_count == 0)
		return true;
	if (!str_equal(str_of(g->protocol_type), join->protocol_type))
		return false;
	for (size_t i = 0; i < join->protocol_count; i++) {
		if (group_all_support(g, join->protocols[i].name))
			return true;
	}
	return false;
}

/* Ids are kept as C strings. */
static bool is_text(struct str s)
{
	return s.len == 0 || (!memchr(s.ptr, '\0', s.len) && str_is_utf8(s));
}

enum err group_join_check(const struct group_limits *limits, const struct group_join *join)
{
	if (join->session_timeout_ms < limits->session_min_ms ||
	    join->session_timeout_ms > limits->session_max_ms)
		return ERR_INVALID_SESSION_TIMEOUT;
	if (join->protocol_count > GROUP_PROTOCOLS_MAX || join->rebalance_timeout_ms < 0)
		return ERR_INVALID_REQUEST;
	if (!is_text(join->client_id) || !is_text(join->client_host) ||
	    !is_text(join->instance_id) || !is_text(join->protocol_type))
		return ERR_INVALID_REQUEST;
	for (size_t i = 0; i < join->protocol_count; i++) {
		if (!is_text(join->protocols[i].name))
			return ERR_INVALID_REQUEST;
	}
	return ERR_OK;
}

static enum err set_protocol_type(struct group *g, struct str type)
{
	char *copy = mem_strdup(type);
	if (!copy)
		return ERR_NOMEM;
	mem_free(g->protocol_type);
	g->protocol_type = copy;
	return ERR_OK;
}

static void add_member(
    struct group *g, const char *id, const struct group_join *join, int64_t now_ms)
{
	struct group_member *m = NULL;
	enum err e = g->member_count == 0 ? set_protocol_type(g, join->protocol_type) : ERR_OK;
	if (e == ERR_OK)
		e = member_new(g, id, join, &m);
	if (e == ERR_OK)
		e = member_add(g, m);
	if (e != ERR_OK) {
		member_free(g, m);
		refuse_join(g, join, str_of(id), e);
		return;
	}
	if (g->state == GROUP_PREPARING && g->initial)
		g->joined_since = true;
	m->session_due_ms = now_ms + GROUP_NEW_MEMBER_MS;
	group_due(g, m->session_due_ms);
	/* first the state, then the waiter: nobody waits outside PREPARING */
	if (g->state != GROUP_PREPARING) {
		m->awaiting_join =
		    true; /* counted, so that the rebalance does not complete without it */
		g->joining_count++;
		m->join_waiter = join->waiter;
		rebalance_prepare(g, now_ms);
		return;
	}
	member_await_join(g, m, join->waiter);
	rebalance_try_complete(g, now_ms);
}

static void update_member(
    struct group *g, struct group_member *m, const struct group_join *join, int64_t now_ms)
{
	enum err e = member_update(g, m, join);
	if (e != ERR_OK) {
		refuse_join(g, join, str_of(m->id), e);
		return;
	}
	member_await_join(g, m, join->waiter);
	rebalance_prepare(g, now_ms);
}

/*
 * A static member has come back under a new id (KIP-345). In a STABLE group whose protocol stays
 * the same it takes its old assignment over without a rebalance. Before JoinGroup v9 a leader is
 * then told its former id as the leader's, so that it does not compute assignments nobody waits
 * for; v9 says skip_assignment instead (KIP-814).
 */
static void replace_static(
    struct group *g, struct group_member *m, const struct group_join *join, int64_t now_ms)
{
	char *new_id = member_make_id(g, join->instance_id);
	char *old_leader = mem_strdup(str_of(g->leader->id));
	enum err e = new_id && old_leader ? member_replace_id(g, m, new_id) : ERR_NOMEM;
	mem_free(new_id);
	if (e == ERR_OK)
		e = member_update(g, m, join);
	if (e != ERR_OK) {
		refuse_join(g, join, join->member_id, e);
		mem_free(old_leader);
		return;
	}
	if (g->state == GROUP_STABLE && str_equal(group_select_protocol(g), str_of(g->protocol))) {
		struct group_join_result result = group_join_ok(g, m);
		result.with_members = result.with_members && join->may_skip_assignment;
		result.skip_assignment = result.with_members;
		result.leader = join->may_skip_assignment ? result.leader : str_of(old_leader);
		member_session_start(g, m, now_ms);
		g->ops->store(g, ++g->store_id);
		g->ops->joined(g, join->waiter, &result);
	} else {
		member_await_join(g, m, join->waiter);
		rebalance_prepare(g, now_ms);
	}
	mem_free(old_leader);
}

static void promise_id(
    struct group *g, const char *id, const struct group_join *join, int64_t now_ms)
{
	enum err e = pending_add(g, id, now_ms + join->session_timeout_ms);
	refuse_join(g, join, str_of(id), e == ERR_OK ? ERR_MEMBER_ID_REQUIRED : e);
}

static void join_new(struct group *g, const struct group_join *join, int64_t now_ms)
{
	struct group_member *known =
	    join->instance_id.ptr ? map_get(&g->by_instance, str_bytes(join->instance_id)) : NULL;
	if (known) {
		replace_static(g, known, join, now_ms);
		return;
	}
	if (g->member_count + g->pending_by_id.count >= g->limits->members_max) {
		refuse_join(g, join, join->member_id, ERR_GROUP_MAX_SIZE);
		return;
	}
	char *id = member_make_id(g, join->instance_id.ptr ? join->instance_id : join->client_id);
	if (!id)
		refuse_join(g, join, join->member_id, ERR_NOMEM);
	else if (join->require_known_id && !join->instance_id.ptr)
		promise_id(g, id, join, now_ms);
	else
		add_member(g, id, join, now_ms);
	mem_free(id);
}

/* Does this join of a present member start a rebalance? Else it repeats a question that has been
 * answered. */
static bool needs_rebalance(
    const struct group *g, const struct group_member *m, const struct group_join *join)
{
	if (g->state == GROUP_PREPARING || !member_same_protocols(m, join))
		return true;
	return g->state == GROUP_STABLE && m == g->leader;
}

static void join_known(struct group *g, const struct group_join *join, int64_t now_ms)
{
	struct group_pending *p = pending_find(g, join->member_id);
	if (p && !join->instance_id.ptr) {
		char *id = p->id;
		p->id = NULL;
		map_remove(&g->pending_by_id, str_bytes(str_of(id)));
		list_remove(&p->node);
		mem_free(p);
		add_member(g, id, join, now_ms);
		mem_free(id);
		return;
	}
	struct group_member *m = NULL;
	enum err e = member_validate(g, join->member_id, join->instance_id, &m);
	if (e != ERR_OK) {
		refuse_join(g, join, join->member_id, e);
		return;
	}
	if (needs_rebalance(g, m, join)) {
		update_member(g, m, join, now_ms);
		return;
	}
	struct group_join_result result = group_join_ok(g, m);
	member_session_start(g, m, now_ms);
	g->ops->joined(g, join->waiter, &result);
}

void group_join(struct group *g, const struct group_join *join, int64_t now_ms)
{
	enum err e = group_join_check(g->limits, join);
	if (e == ERR_OK && !protocols_fit(g, join))
		e = ERR_INCONSISTENT_GROUP_PROTOCOL;
	if (e != ERR_OK)
		refuse_join(g, join, join->member_id, e);
	else if (join->member_id.len == 0)
		join_new(g, join, now_ms);
	else
		join_known(g, join, now_ms);
}

/* ---- sync ------------------------------------------------------------------------------------ */

/*
 * What a member gets that its leader forgot: for consumers an assignment of version 0 with no topic
 * and no user data. Java's consumer throws at an empty one.
 */
static struct bytes nothing_assigned(const struct group *g)
{
	static const uint8_t consumer[] = {0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff};
	return str_equal(str_of(g->protocol_type), STR("consumer"))
	           ? bytes_of(consumer, sizeof consumer)
	           : bytes_of("", 0);
}

static enum err take_assignments(struct group *g, const struct group_sync *sync)
{
	LIST_EACH (&g->members, node, tmp)
		TRY(member_set_assignment(
		    g, CONTAINER_OF(node, struct group_member, node), nothing_assigned(g)));
	for (size_t i = 0; i < sync->assignment_count; i++) {
		struct group_member *m = group_member_find(g, sync->assignments[i].member_id);
		if (m && sync->assignments[i].assignment.len)
			TRY(member_set_assignment(g, m, sync->assignments[i].assignment));
	}
	return ERR_OK;
}

static void answer_sync(struct group *g, void *waiter, enum err e)
{
	struct group_sync_result result = {.err = e};
	g->ops->synced(g, waiter, &result);
}

static enum err check_sync(
    const struct group *g, const struct group_sync *sync, struct group_member **ret_member)
{
	TRY(member_validate(g, sync->member_id, sync->instance_id, ret_member));
	if (sync->generation != g->generation)
		return ERR_ILLEGAL_GENERATION;
	if (sync->protocol_type.ptr && !str_equal(sync->protocol_type, str_of(g->protocol_type)))
		return ERR_INCONSISTENT_GROUP_PROTOCOL;
	if (g->state == GROUP_PREPARING)
		return ERR_REBALANCE_IN_PROGRESS;
	if (sync->protocol.ptr && !str_equal(sync->protocol, str_of(g->protocol)))
		return ERR_INCONSISTENT_GROUP_PROTOCOL;
	return ERR_OK;
}

void group_sync(struct group *g, const struct group_sync *sync, int64_t now_ms)
{
	struct group_member *m = NULL;
	enum err e = check_sync(g, sync, &m);
	if (e != ERR_OK) {
		answer_sync(g, sync->waiter, e);
		return;
	}
	if (g->state == GROUP_STABLE) {
		m->synced = true;
		member_session_start(g, m, now_ms);
		struct group_sync_result result = {.protocol_type = str_of(g->protocol_type),
		    .protocol = str_of(g->protocol),
		    .assignment = m->assignment};
		g->ops->synced(g, sync->waiter, &result);
		return;
	}
	ASSERT(g->state == GROUP_COMPLETING);
	if (m == g->leader && g->leader_store_id == 0) {
		e = take_assignments(g, sync);
		if (e != ERR_OK) {
			answer_sync(g, sync->waiter, e);
			rebalance_prepare(g, now_ms);
			return;
		}
		g->leader_store_id = ++g->store_id;
		g->ops->store(g, g->leader_store_id);
	}
	member_await_sync(g, m, sync->waiter);
}

/* ---- heartbeat, commit, leave ---------------------------------------------------------------- */

enum err group_heartbeat(struct group *g, struct str member_id, struct str instance_id,
    int32_t generation, int64_t now_ms)
{
	struct group_member *m = NULL;
	TRY(member_validate(g, member_id, instance_id, &m));
	if (generation != g->generation)
		return ERR_ILLEGAL_GENERATION;
	if (!m->is_new)
		member_session_start(g, m, now_ms);
	return g->state == GROUP_PREPARING ? ERR_REBALANCE_IN_PROGRESS : ERR_OK;
}

enum err group_may_commit(struct group *g, struct str member_id, struct str instance_id,
    int32_t generation, int64_t now_ms)
{
	/* a client that manages its partitions itself; one that makes its own member id names it
	 * also then */
	if (generation < 0 && g->state == GROUP_EMPTY)
		return ERR_OK;
	if (generation < 0 && member_id.len == 0 && !instance_id.ptr)
		return ERR_UNKNOWN_MEMBER;
	enum err e = group_heartbeat(g, member_id, instance_id, generation, now_ms);
	if (e == ERR_REBALANCE_IN_PROGRESS)
		return ERR_OK; /* the last chance to commit what the old assignment consumed */
	if (e == ERR_OK && g->state == GROUP_COMPLETING)
		return ERR_REBALANCE_IN_PROGRESS;
	return e;
}

enum err group_leave(struct group *g, struct str member_id, struct str instance_id, int64_t now_ms)
{
	struct group_member *m = NULL;
	struct group_pending *p = pending_find(g, member_id);
	if (p && !instance_id.ptr) {
		pending_remove(g, p);
		rebalance_try_complete(g, now_ms);
		return ERR_OK;
	}
	if (member_id.len == 0 && instance_id.ptr) {
		m = map_get(&g->by_instance, str_bytes(instance_id));
		if (!m)
			return ERR_UNKNOWN_MEMBER;
	} else {
		TRY(member_validate(g, member_id, instance_id, &m));
	}
	member_remove(g, m, ERR_UNKNOWN_MEMBER);
	rebalance_prepare(g, now_ms);
	return ERR_OK;
}

void group_forget_waiter(struct group *g, void *waiter)
{
	LIST_EACH (&g->members, node, tmp) {
		struct group_member *m = CONTAINER_OF(node, struct group_member, node);
		if (m->join_waiter == waiter)
			m->join_waiter = NULL;
		if (m->sync_waiter == waiter)
			m->sync_waiter = NULL;
	}
}
