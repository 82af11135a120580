/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Members of a group and the ids promised to future ones: their memory, lookup and answers. No
 * rules of rebalancing here, only that whoever goes answers its waiters first (G5).
 */
#include "group.h"
#include <stdio.h>

static const struct str no_text = {NULL, 0};

/* ---- protocols ------------------------------------------------------------------------------- */

bool member_supports(const struct group_member *m, struct str protocol)
{
	return protocols_have(m->protocols, m->protocol_count, protocol);
}

bool group_all_support(const struct group *g, struct str protocol)
{
	return support_count(&g->support, protocol) == g->member_count;
}

bool member_same_protocols(const struct group_member *m, const struct group_join *join)
{
	if (m->protocol_count != join->protocol_count)
		return false;
	for (size_t i = 0; i < m->protocol_count; i++) {
		if (!str_equal(m->protocols[i].name, join->protocols[i].name) ||
		    !bytes_equal(m->protocols[i].metadata, join->protocols[i].metadata))
			return false;
	}
	return true;
}

struct bytes group_member_metadata(const struct group *g, const struct group_member *m)
{
	struct str protocol = str_of(g->protocol);
	for (size_t i = 0; g->protocol && i < m->protocol_count; i++) {
		if (str_equal(m->protocols[i].name, protocol))
			return m->protocols[i].metadata;
	}
	return bytes_of("", 0);
}

/* ---- life ------------------------------------------------------------------------------------ */

/* Pays for `now` bytes instead of `before`. */
static enum err charge(struct group *g, size_t before, size_t now)
{
	struct budget *budget = g->limits->budget;
	if (now > before && g->bytes + (now - before) > g->limits->bytes_max)
		return ERR_GROUP_MAX_SIZE;
	if (budget && now > before && !budget_take(budget, now - before))
		return ERR_GROUP_MAX_SIZE;
	if (budget && now < before)
		budget_give(budget, before - now);
	g->bytes = g->bytes + now - before;
	return ERR_OK;
}

void member_free(struct group *g, struct group_member *m)
{
	if (!m)
		return;
	enum err ignored =
	    charge(g, m->protocol_bytes + m->assignment.len, 0); /* less never fails */
	(void)ignored;
	mem_free(m->id);
	mem_free(m->instance_id);
	mem_free(m->client_id);
	mem_free(m->client_host);
	mem_free(m->protocols);
	mem_free((void *)(uintptr_t)m->assignment.ptr);
	mem_free(m);
}

enum err member_new(struct group *g, const char *id, const struct group_join *join,
    struct group_member **ret_member)
{
	struct group_member *m = mem_calloc(1, sizeof *m);
	if (!m)
		return ERR_NOMEM;
	list_node_init(&m->node);
	m->is_new = true;
	m->id = mem_strdup(str_of(id));
	m->client_id = mem_strdup(join->client_id);
	m->client_host = mem_strdup(join->client_host);
	bool ok = m->id && m->client_id && m->client_host;
	if (join->instance_id.ptr) {
		m->instance_id = mem_strdup(join->instance_id);
		ok = ok && m->instance_id;
	}
	enum err err = ok ? member_update(g, m, join) : ERR_NOMEM;
	if (err != ERR_OK) {
		member_free(g, m);
		return err;
	}
	*ret_member = m;
	return ERR_OK;
}

enum err member_update(struct group *g, struct group_member *m, const struct group_join *join)
{
	struct group_protocol *copy;
	size_t len = protocols_len(join->protocols, join->protocol_count);
	TRY(charge(g, m->protocol_bytes, len));
	bool counted = list_linked(&m->node); /* a new member is counted when it is added */
	enum err err = protocols_copy(join->protocols, join->protocol_count, &copy);
	if (err == ERR_OK && counted) {
		err = support_add(&g->support, copy, join->protocol_count);
		if (err != ERR_OK)
			mem_free(copy);
	}
	if (err != ERR_OK) {
		enum err ignored = charge(g, len, m->protocol_bytes); /* what it was before */
		(void)ignored;
		return err;
	}
	if (counted)
		support_drop(&g->support, m->protocols, m->protocol_count);
	mem_free(m->protocols);
	m->protocols = copy;
	m->protocol_count = join->protocol_count;
	m->protocol_bytes = len;
	m->session_timeout_ms = join->session_timeout_ms;
	m->rebalance_timeout_ms = join->rebalance_timeout_ms;
	return ERR_OK;
}

enum err member_set_assignment(struct group *g, struct group_member *m, struct bytes assignment)
{
	uint8_t *copy = NULL;
	if (assignment.len) {
		copy = mem_alloc(assignment.len);
		if (!copy)
			return ERR_NOMEM;
		memcpy(copy, assignment.ptr, assignment.len);
	}
	enum err err = charge(g, m->assignment.len, assignment.len);
	if (err != ERR_OK) {
		mem_free(copy);
		return err;
	}
	mem_free((void *)(uintptr_t)m->assignment.ptr);
	m->assignment = bytes_of(copy, assignment.len);
	return ERR_OK;
}

enum err member_add(struct group *g, struct group_member *m)
{
	TRY(support_add(&g->support, m->protocols, m->protocol_count));
	enum err e = map_put(&g->by_id, str_bytes(str_of(m->id)), m);
	if (e == ERR_OK && m->instance_id) {
		e = map_put(&g->by_instance, str_bytes(str_of(m->instance_id)), m);
		if (e != ERR_OK)
			map_remove(&g->by_id, str_bytes(str_of(m->id)));
	}
	if (e != ERR_OK) {
		support_drop(&g->support, m->protocols, m->protocol_count);
		return e;
	}
	list_push_back(&g->members, &m->node);
	g->member_count++;
	if (!g->leader)
		g->leader = m;
	return ERR_OK;
}

void member_remove(struct group *g, struct group_member *m, enum err e)
{
	struct group_join_result gone = {.err = e, .member_id = str_of(m->id), .generation = -1};
	member_answer_join(g, m, &gone);
	member_answer_sync(g, m, e);
	map_remove(&g->by_id, str_bytes(str_of(m->id)));
	if (m->instance_id)
		map_remove(&g->by_instance, str_bytes(str_of(m->instance_id)));
	list_remove(&m->node);
	support_drop(&g->support, m->protocols, m->protocol_count);
	g->member_count--;
	if (g->leader == m) {
		struct list_node *first = list_first(&g->members);
		g->leader = first ? CONTAINER_OF(first, struct group_member, node) : NULL;
	}
	member_free(g, m);
}

enum err member_replace_id(struct group *g, struct group_member *m, const char *new_id)
{
	char *copy = mem_strdup(str_of(new_id));
	if (!copy || map_put(&g->by_id, str_bytes(str_of(copy)), m) != ERR_OK) {
		mem_free(copy);
		return ERR_NOMEM;
	}
	struct group_join_result fenced = {
	    .err = ERR_FENCED_INSTANCE, .member_id = str_of(m->id), .generation = -1};
	member_answer_join(g, m, &fenced);
	member_answer_sync(g, m, ERR_FENCED_INSTANCE);
	map_remove(&g->by_id, str_bytes(str_of(m->id)));
	mem_free(m->id);
	m->id = copy;
	return ERR_OK;
}

/* ---- lookup ---------------------------------------------------------------------------------- */

struct group_member *group_member_find(const struct group *g, struct str member_id)
{
	return map_get(&g->by_id, str_bytes(member_id));
}

enum err member_validate(const struct group *g, struct str member_id, struct str instance_id,
    struct group_member **ret_member)
{
	struct group_member *m = group_member_find(g, member_id);
	if (instance_id.ptr) {
		const struct group_member *owner = map_get(&g->by_instance, str_bytes(instance_id));
		if (!owner)
			return ERR_UNKNOWN_MEMBER;
		if (!str_equal(str_of(owner->id), member_id))
			return ERR_FENCED_INSTANCE;
	}
	if (!m)
		return ERR_UNKNOWN_MEMBER;
	*ret_member = m;
	return ERR_OK;
}

/* A random UUID (RFC 4122, version 4) behind the prefix, as Kafka makes them. */
char *member_make_id(struct group *g, struct str prefix)
{
	uint8_t r[16];
	g->ops->random(g, r, sizeof r);
	r[6] = (uint8_t)((r[6] & 0x0f) | 0x40);
	r[8] = (uint8_t)((r[8] & 0x3f) | 0x80);
	char uuid[37], *at = uuid;
	for (size_t i = 0; i < sizeof r; i++) {
		bool dash = i == 4 || i == 6 || i == 8 || i == 10;
		at +=
		    snprintf(at, sizeof uuid - (size_t)(at - uuid), dash ? "-%02x" : "%02x", r[i]);
	}
	char *id = mem_alloc(prefix.len + sizeof uuid + 1);
	if (!id)
		return NULL;
	if (prefix.len)
		memcpy(id, prefix.ptr, prefix.len);
	id[prefix.len] = '-';
	memcpy(id + prefix.len + 1, uuid, sizeof uuid);
	return id;
}

/* ---- answers --------------------------------------------------------------------------------- */

void member_answer_join(
    struct group *g, struct group_member *m, const struct group_join_result *result)
{
	if (!m->awaiting_join)
		return;
	void *waiter = m->join_waiter;
	m->awaiting_join = false;
	m->join_waiter = NULL;
	g->joining_count--;
	if (waiter)
		g->ops->joined(g, waiter, result);
}

void member_answer_sync(struct group *g, struct group_member *m, enum err e)
{
	if (!m->awaiting_sync)
		return;
	void *waiter = m->sync_waiter;
	m->awaiting_sync = false;
	m->sync_waiter = NULL;
	struct group_sync_result result = {.err = e, .protocol_type = no_text, .protocol = no_text};
	if (e == ERR_OK) {
		result.protocol_type = str_of(g->protocol_type);
		result.protocol = str_of(g->protocol);
		result.assignment = m->assignment;
	}
	if (waiter)
		g->ops->synced(g, waiter, &result);
}

void member_await_join(struct group *g, struct group_member *m, void *waiter)
{
	struct group_join_result again = {
	    .err = ERR_REBALANCE_IN_PROGRESS, .member_id = str_of(m->id), .generation = -1};
	member_answer_join(g, m, &again);
	m->awaiting_join = true;
	m->join_waiter = waiter;
	g->joining_count++;
}

void member_await_sync(struct group *g, struct group_member *m, void *waiter)
{
	member_answer_sync(g, m, ERR_REBALANCE_IN_PROGRESS);
	m->awaiting_sync = true;
	m->sync_waiter = waiter;
	m->synced = true;
}

void member_session_start(struct group *g, struct group_member *m, int64_t now_ms)
{
	m->session_due_ms = now_ms + m->session_timeout_ms;
	group_due(g, m->session_due_ms);
}

/* ---- pending ids ----------------------------------------------------------------------------- */

enum err pending_add(struct group *g, const char *id, int64_t due_ms)
{
	struct group_pending *p = mem_calloc(1, sizeof *p);
	if (!p)
		return ERR_NOMEM;
	p->id = mem_strdup(str_of(id));
	p->due_ms = due_ms;
	if (!p->id || map_put(&g->pending_by_id, str_bytes(str_of(p->id)), p) != ERR_OK) {
		mem_free(p->id);
		mem_free(p);
		return ERR_NOMEM;
	}
	list_push_back(&g->pending, &p->node);
	group_due(g, due_ms);
	return ERR_OK;
}

struct group_pending *pending_find(const struct group *g, struct str id)
{
	return map_get(&g->pending_by_id, str_bytes(id));
}

void pending_remove(struct group *g, struct group_pending *p)
{
	map_remove(&g->pending_by_id, str_bytes(str_of(p->id)));
	list_remove(&p->node);
	mem_free(p->id);
	mem_free(p);
}
