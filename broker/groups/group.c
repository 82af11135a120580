/* SPDX-License-Identifier: Apache-2.0 */
/* Life of a group and its rebalances: who has to be waited for, and for how long. See group.h for
 * states and rules. */
#include "group.h"

const struct group_limits group_limits_default = {
    .session_min_ms = 6000,
    .session_max_ms = 30 * 60 * 1000,
    .initial_delay_ms = 100,
    .members_max = GROUP_MEMBERS_MAX,
    .bytes_max = GROUP_BYTES_MAX,
};

const char *group_state_name(enum group_state state)
{
	static const char *const name[] = {
	    [GROUP_EMPTY] = "Empty",
	    [GROUP_PREPARING] = "PreparingRebalance",
	    [GROUP_COMPLETING] = "CompletingRebalance",
	    [GROUP_STABLE] = "Stable",
	};
	return name[state];
}

static struct group_member *member_of(struct list_node *node)
{
	return CONTAINER_OF(node, struct group_member, node);
}

/* ---- life ------------------------------------------------------------------------------------ */

enum err group_init(struct group *g, struct str name, const struct group_ops *ops,
    const struct group_limits *limits)
{
	char *copy = mem_strdup(name);
	if (!copy)
		return ERR_NOMEM;
	*g = (struct group){
	    .name = str_from(copy, name.len),
	    .ops = ops,
	    .limits = limits,
	    .next_due_ms = INT64_MAX,
	};
	list_init(&g->members);
	list_init(&g->pending);
	map_init(&g->by_id);
	map_init(&g->by_instance);
	map_init(&g->pending_by_id);
	map_init(&g->support);
	return ERR_OK;
}

void group_dissolve(struct group *g)
{
	LIST_EACH (&g->members, node, tmp)
		member_remove(g, member_of(node), ERR_REBALANCE_IN_PROGRESS);
	LIST_EACH (&g->pending, node, tmp2)
		pending_remove(g, CONTAINER_OF(node, struct group_pending, node));
	mem_free(g->protocol);
	g->protocol = NULL;
	g->state = GROUP_EMPTY;
	g->initial = false;
	g->leader_store_id = 0;
	g->sync_due_ms = 0;
	g->next_due_ms = INT64_MAX;
}

void group_release(struct group *g)
{
	LIST_EACH (&g->members, node, tmp) {
		struct group_member *m = member_of(node);
		ASSERT(!m->join_waiter && !m->sync_waiter);
		member_remove(g, m, ERR_CANCELLED);
	}
	LIST_EACH (&g->pending, node, tmp)
		pending_remove(g, CONTAINER_OF(node, struct group_pending, node));
	map_release(&g->by_id);
	map_release(&g->by_instance);
	map_release(&g->pending_by_id);
	ASSERT(g->support.count == 0);
	map_release(&g->support);
	mem_free((void *)(uintptr_t)g->name.ptr);
	mem_free(g->protocol_type);
	mem_free(g->protocol);
}

static void check_member(const struct group *g, struct group_member *m)
{
	ASSERT(map_get(&g->by_id, str_bytes(str_of(m->id))) == m);
	ASSERT(!m->instance_id || map_get(&g->by_instance, str_bytes(str_of(m->instance_id))) == m);
	ASSERT(!m->awaiting_join || g->state == GROUP_PREPARING);
	ASSERT(!m->awaiting_sync || g->state == GROUP_COMPLETING);
	ASSERT((m->awaiting_join || !m->join_waiter) && (m->awaiting_sync || !m->sync_waiter));
	ASSERT(!m->is_new || g->state == GROUP_PREPARING);
	if (g->state == GROUP_COMPLETING || g->state == GROUP_STABLE)
		ASSERT(member_supports(m, str_of(g->protocol)));
	if (!(m->awaiting_join && !m->is_new) && !m->awaiting_sync)
		ASSERT(g->next_due_ms <= m->session_due_ms);
}

void group_check(const struct group *g)
{
	size_t members = 0, joining = 0, pending = 0, bytes = 0;
	bool leader_found = false;
	LIST_EACH (&g->members, node, tmp) {
		struct group_member *m = member_of(node);
		check_member(g, m);
		members++;
		joining += m->awaiting_join;
		bytes += m->protocol_bytes + m->assignment.len;
		leader_found = leader_found || m == g->leader;
	}
	LIST_EACH (&g->pending, node, tmp2) {
		pending++;
		ASSERT(g->next_due_ms <= CONTAINER_OF(node, struct group_pending, node)->due_ms);
	}
	ASSERT(
	    members == g->member_count && members == g->by_id.count && joining == g->joining_count);
	ASSERT(pending == g->pending_by_id.count && members + pending <= g->limits->members_max);
	ASSERT(bytes == g->bytes && bytes <= g->limits->bytes_max);
	ASSERT(members ? leader_found : !g->leader);
	ASSERT(g->state != GROUP_EMPTY || (members == 0 && !g->protocol));
	ASSERT(
	    g->state == GROUP_EMPTY || g->state == GROUP_PREPARING || (members > 0 && g->protocol));
	ASSERT(g->state != GROUP_PREPARING || g->next_due_ms <= g->rebalance_due_ms);
	size_t cursor = 0;
	const struct protocol_support *support;
	while ((support = map_next(&g->support, &cursor))) {
		size_t knowing = 0;
		LIST_EACH (&g->members, node, tmp3)
			knowing += member_supports(member_of(node), str_of(support->name));
		ASSERT(knowing == support->members && knowing > 0);
	}
	ASSERT(g->leader_store_id == 0 || g->state == GROUP_COMPLETING);
}

void group_due(struct group *g, int64_t due_ms)
{
	if (due_ms < g->next_due_ms)
		g->next_due_ms = due_ms;
}

static void enter(struct group *g, enum group_state state, int64_t now_ms)
{
	g->state = state;
	g->state_since_ms = now_ms;
}

static uint64_t store(struct group *g)
{
	uint64_t id = ++g->store_id;
	g->ops->store(g, id);
	return id;
}

/* ---- protocol vote --------------------------------------------------------------------------- */

/* What a member likes best among the candidates. */
static size_t vote_of(const struct group_member *m, const struct str *candidates, size_t count)
{
	for (size_t i = 0; i < m->protocol_count; i++) {
		for (size_t c = 0; c < count; c++) {
			if (str_equal(m->protocols[i].name, candidates[c]))
				return c;
		}
	}
	return count;
}

struct str group_select_protocol(const struct group *g)
{
	struct str candidates[GROUP_PROTOCOLS_MAX];
	size_t votes[GROUP_PROTOCOLS_MAX + 1] = {0}, count = 0, best = 0;
	struct list_node *first = list_first(&g->members);
	const struct group_member *m = first ? member_of(first) : NULL;
	for (size_t i = 0; m && i < m->protocol_count; i++) {
		if (group_all_support(g, m->protocols[i].name))
			candidates[count++] = m->protocols[i].name;
	}
	if (count == 0)
		return (struct str){NULL, 0};
	LIST_EACH (&g->members, node, tmp)
		votes[vote_of(member_of(node), candidates, count)]++;
	for (size_t c = 1; c < count; c++) {
		if (votes[c] > votes[best])
			best = c;
	}
	return candidates[best];
}

/* ---- rebalance ------------------------------------------------------------------------------- */

static int64_t longest_rebalance_timeout(const struct group *g)
{
	int64_t longest = 0;
	LIST_EACH (&g->members, node, tmp) {
		int32_t ms = member_of(node)->rebalance_timeout_ms;
		longest = ms > longest ? ms : longest;
	}
	return longest;
}

static void fail_syncs(struct group *g, enum err e, int64_t now_ms)
{
	g->leader_store_id = 0;
	LIST_EACH (&g->members, node, tmp) {
		struct group_member *m = member_of(node);
		bool waited = m->awaiting_sync;
		member_answer_sync(g, m, e);
		if (waited) /* its session stood still while it waited */
			member_session_start(g, m, now_ms);
	}
}

void rebalance_prepare(struct group *g, int64_t now_ms)
{
	if (g->state != GROUP_PREPARING) {
		enum group_state before = g->state;
		int64_t longest = longest_rebalance_timeout(g);
		int64_t delay = g->limits->initial_delay_ms;
		enter(g, GROUP_PREPARING, now_ms);
		if (before == GROUP_COMPLETING)
			fail_syncs(g, ERR_REBALANCE_IN_PROGRESS, now_ms);
		g->sync_due_ms = 0;
		g->initial = before == GROUP_EMPTY && delay > 0;
		g->joined_since = false;
		g->initial_left_ms = longest > delay ? longest - delay : 0;
		g->rebalance_due_ms = now_ms + (g->initial ? delay : longest);
		group_due(g, g->rebalance_due_ms);
	}
	rebalance_try_complete(g, now_ms);
}

static void remove_absent(struct group *g)
{
	LIST_EACH (&g->members, node, tmp) {
		struct group_member *m = member_of(node);
		if (!m->awaiting_join && !m->instance_id)
			member_remove(g, m, ERR_UNKNOWN_MEMBER);
	}
}

/* The leader must be one who has joined; false when nobody has. */
static bool elect_leader(struct group *g)
{
	if (g->leader->awaiting_join)
		return true;
	LIST_EACH (&g->members, node, tmp) {
		struct group_member *m = member_of(node);
		if (m->awaiting_join) {
			g->leader = m;
			return true;
		}
	}
	return false;
}

struct group_join_result group_join_ok(const struct group *g, const struct group_member *m)
{
	return (struct group_join_result){
	    .err = ERR_OK,
	    .member_id = str_of(m->id),
	    .generation = g->generation,
	    .protocol_type = str_of(g->protocol_type),
	    .protocol = str_of(g->protocol),
	    .leader = str_of(g->leader->id),
	    .with_members = m == g->leader,
	};
}

static void become_empty(struct group *g, int64_t now_ms)
{
	mem_free(g->protocol);
	g->protocol = NULL;
	enter(g, GROUP_EMPTY, now_ms);
	store(g);
}

static void start_generation(struct group *g, char *protocol, int64_t now_ms)
{
	mem_free(g->protocol);
	g->protocol = protocol;
	enter(g, GROUP_COMPLETING, now_ms);
	g->sync_due_ms = now_ms + longest_rebalance_timeout(g);
	group_due(g, g->sync_due_ms);
	LIST_EACH (&g->members, node, tmp) {
		struct group_member *m = member_of(node);
		m->is_new = false;
		m->synced = false;
		member_session_start(g, m, now_ms);
		struct group_join_result result = group_join_ok(g, m);
		member_answer_join(g, m, &result);
	}
}

static void rebalance_wait_again(struct group *g, int64_t now_ms)
{
	int64_t wait_ms = longest_rebalance_timeout(g);
	g->initial = false;
	g->rebalance_due_ms = now_ms + (wait_ms > 0 ? wait_ms : 1000);
	group_due(g, g->rebalance_due_ms);
}

static void rebalance_complete(struct group *g, int64_t now_ms)
{
	ASSERT(g->state == GROUP_PREPARING);
	remove_absent(g);
	if (g->member_count > 0 && !elect_leader(g)) {
		rebalance_wait_again(g, now_ms); /* only static members, all away */
		return;
	}
	if (g->member_count == 0) {
		g->generation++;
		become_empty(g, now_ms);
		return;
	}
	struct str chosen = group_select_protocol(g);
	ASSERT(chosen.ptr);
	char *protocol = mem_strdup(chosen);
	if (!protocol) {
		rebalance_wait_again(g, now_ms);
		return;
	}
	g->generation++;
	start_generation(g, protocol, now_ms);
}

void rebalance_try_complete(struct group *g, int64_t now_ms)
{
	if (g->state == GROUP_PREPARING && !g->initial && g->joining_count == g->member_count &&
	    list_empty(&g->pending))
		rebalance_complete(g, now_ms);
}

/* ---- time ------------------------------------------------------------------------------------ */

/* One who waits for the group's answer need not send heartbeats; a new one only for so long. */
static bool session_runs(const struct group_member *m)
{
	return m->is_new || !(m->awaiting_join || m->awaiting_sync);
}

static bool expire_sessions(struct group *g, int64_t now_ms)
{
	bool any = false;
	LIST_EACH (&g->members, node, tmp) {
		struct group_member *m = member_of(node);
		if (session_runs(m) && m->session_due_ms <= now_ms) {
			member_remove(g, m, ERR_UNKNOWN_MEMBER);
			any = true;
		}
	}
	return any;
}

static bool expire_pending(struct group *g, int64_t now_ms)
{
	bool any = false;
	LIST_EACH (&g->pending, node, tmp) {
		struct group_pending *p = CONTAINER_OF(node, struct group_pending, node);
		if (p->due_ms <= now_ms) {
			pending_remove(g, p);
			any = true;
		}
	}
	return any;
}

static bool expire_syncs(struct group *g, int64_t now_ms)
{
	bool any = false;
	if (g->sync_due_ms == 0 || g->sync_due_ms > now_ms)
		return false;
	g->sync_due_ms = 0;
	LIST_EACH (&g->members, node, tmp) {
		struct group_member *m = member_of(node);
		if (!m->synced) {
			member_remove(g, m, ERR_UNKNOWN_MEMBER);
			any = true;
		}
	}
	return any;
}

static void rebalance_timer(struct group *g, int64_t now_ms)
{
	if (g->initial && g->joined_since && g->initial_left_ms > 0) {
		int64_t delay = g->limits->initial_delay_ms;
		delay = delay < g->initial_left_ms ? delay : g->initial_left_ms;
		g->initial_left_ms -= delay;
		g->joined_since = false;
		g->rebalance_due_ms = now_ms + delay;
		return;
	}
	rebalance_complete(g, now_ms);
}

static void recompute_due(struct group *g)
{
	g->next_due_ms = INT64_MAX;
	LIST_EACH (&g->members, node, tmp) {
		if (session_runs(member_of(node)))
			group_due(g, member_of(node)->session_due_ms);
	}
	LIST_EACH (&g->pending, node, tmp2)
		group_due(g, CONTAINER_OF(node, struct group_pending, node)->due_ms);
	if (g->state == GROUP_PREPARING)
		group_due(g, g->rebalance_due_ms);
	if (g->sync_due_ms)
		group_due(g, g->sync_due_ms);
}

void group_tick(struct group *g, int64_t now_ms)
{
	bool removed = expire_sessions(g, now_ms);
	bool unpromised = expire_pending(g, now_ms);
	if (g->state == GROUP_COMPLETING || g->state == GROUP_STABLE)
		removed = expire_syncs(g, now_ms) || removed;
	if (removed && g->state != GROUP_EMPTY)
		rebalance_prepare(g, now_ms);
	else if (unpromised)
		rebalance_try_complete(g, now_ms);
	if (g->state == GROUP_PREPARING && g->rebalance_due_ms <= now_ms)
		rebalance_timer(g, now_ms);
	recompute_due(g);
}

/* ---- storage --------------------------------------------------------------------------------- */

void group_stored(struct group *g, uint64_t store_id, enum err e, int64_t now_ms)
{
	if (store_id != g->leader_store_id || g->state != GROUP_COMPLETING)
		return; /* overtaken by another rebalance, or nobody waits for it */
	g->leader_store_id = 0;
	if (e != ERR_OK) {
		fail_syncs(g, e, now_ms);
		rebalance_prepare(g, now_ms);
		return;
	}
	enter(g, GROUP_STABLE, now_ms);
	LIST_EACH (&g->members, node, tmp) {
		struct group_member *m = member_of(node);
		if (m->awaiting_sync)
			member_session_start(g, m, now_ms);
		member_answer_sync(g, m, ERR_OK);
	}
}

enum err group_restore_begin(struct group *g, const struct group_restore *r)
{
	ASSERT(g->state == GROUP_EMPTY && g->member_count == 0);
	mem_free(g->protocol_type);
	mem_free(g->protocol);
	bool typed = r->protocol_type.len > 0;
	g->protocol_type = typed ? mem_strdup(r->protocol_type) : NULL;
	g->protocol = r->protocol.ptr ? mem_strdup(r->protocol) : NULL;
	g->generation = r->generation;
	g->state_since_ms = r->state_since_ms;
	return (typed && !g->protocol_type) || (r->protocol.ptr && !g->protocol) ? ERR_NOMEM
	                                                                         : ERR_OK;
}

enum err group_restore_member(struct group *g, const struct group_restore_member *from)
{
	if (!g->protocol || group_member_find(g, from->id) || from->id.len == 0 ||
	    (from->instance_id.ptr && map_get(&g->by_instance, str_bytes(from->instance_id))))
		return err_note(ERR_CORRUPT, "member of group " STR_FMT, STR_ARG(g->name));
	struct group_protocol protocol = {str_of(g->protocol), from->subscription};
	struct group_join join = {
	    .instance_id = from->instance_id,
	    .client_id = from->client_id,
	    .client_host = from->client_host,
	    .session_timeout_ms = from->session_timeout_ms,
	    .rebalance_timeout_ms = from->rebalance_timeout_ms,
	    .protocols = from->protocols ? from->protocols : &protocol,
	    .protocol_count = from->protocols ? from->protocol_count : 1,
	};
	char *id = mem_strdup(from->id);
	struct group_member *m = NULL;
	enum err e = id ? member_new(g, id, &join, &m) : ERR_NOMEM;
	mem_free(id);
	if (e == ERR_OK)
		e = member_set_assignment(g, m, from->assignment);
	if (e == ERR_OK)
		e = member_add(g, m);
	if (e != ERR_OK) {
		member_free(g, m);
		return e;
	}
	m->is_new = false;
	m->synced = true;
	return ERR_OK;
}

enum err group_restore_end(struct group *g, struct str leader, int64_t now_ms)
{
	if (g->member_count == 0) {
		mem_free(g->protocol);
		g->protocol = NULL;
		return ERR_OK;
	}
	if (!g->protocol_type)
		return err_note(ERR_CORRUPT, "group " STR_FMT " has members and no protocol type",
		    STR_ARG(g->name));
	struct group_member *m = leader.ptr ? group_member_find(g, leader) : NULL;
	g->leader = m ? m : g->leader;
	g->state = GROUP_STABLE;
	LIST_EACH (&g->members, node, tmp)
		member_session_start(g, member_of(node), now_ms);
	return ERR_OK;
}
