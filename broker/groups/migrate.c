/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A group with members changes from the classic protocol to the consumer protocol when the first
 * member of that comes, and back when the last one has gone (KIP-848). Nobody has to stop: members
 * keep their ids and what they hold, and speak the protocol they came with.
 *
 * The way there happens beside the group, around the heartbeat that asks for it, which may still be
 * refused. The way back is part of the round that stores that the last one has gone. Either is one
 * batch of rows, tombstones for what the group was among them. The record written on the way back
 * has the members with what they hold, and no leader: a rebalance is due, after a restart as well.
 */
#include "embedded.h"
#include "groups.h"
#include <strings.h>

/* ---- policy ---------------------------------------------------------------------------------- */

static const char *const names[] = {
    [GROUP_MIGRATION_BOTH] = "bidirectional",
    [GROUP_MIGRATION_UPGRADE] = "upgrade",
    [GROUP_MIGRATION_DOWNGRADE] = "downgrade",
    [GROUP_MIGRATION_DISABLED] = "disabled",
};

const char *group_migration_name(enum group_migration policy)
{
	return names[policy];
}

enum err group_migration_parse(const char *name, enum group_migration *ret_policy)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcasecmp(name, names[i]) == 0) {
			*ret_policy = (enum group_migration)i;
			return ERR_OK;
		}
	}
	return err_note(ERR_INVALID_CONFIG,
	    "group.consumer.migration.policy=%s: bidirectional, upgrade, downgrade or disabled",
	    name);
}

/* ---- there ----------------------------------------------------------------------------------- */

static enum err check_upgrade(const struct group_entry *e)
{
	enum group_migration policy = e->groups->options.migration;
	const struct group *g = &e->group;
	if (policy != GROUP_MIGRATION_BOTH && policy != GROUP_MIGRATION_UPGRADE)
		return err_note(ERR_GROUP_NOT_FOUND,
		    "the group's members use the classic protocol, and "
		    "group.consumer.migration.policy does not allow to change that");
	if (!g->protocol_type || !str_equal(str_of(g->protocol_type), STR("consumer")))
		return err_note(ERR_GROUP_NOT_FOUND, "the group is not one of consumers");
	if (g->member_count >= e->limits.members_max)
		return err_note(ERR_GROUP_NOT_FOUND, "%zu members", g->member_count);
	return ERR_OK;
}

/* Assignors that every client has keep in an assignment nothing that the server needs. librdkafka's
 * cooperative-sticky puts a copy of the subscription's data there. */
static bool is_common_assignor(struct str name)
{
	const struct str common[] = {
	    STR("range"), STR("roundrobin"), STR("sticky"), STR("cooperative-sticky")};
	for (size_t i = 0; i < sizeof(common) / sizeof(common[0]); i++) {
		if (str_equal(name, common[i]))
			return true;
	}
	return false;
}

static enum err read_member(const struct group_entry *e, const struct group_member *m,
    struct arena *arena, struct consumer_beat *beat, struct consumer_parts *ret_parts)
{
	struct embedded_subscription s;
	bool user_data = false;
	TRY(embedded_subscription_read(m->protocols[0].metadata, e->groups->log, arena, &s));
	if (m->assignment.len)
		TRY(embedded_assignment_read(
		    m->assignment, e->groups->log, arena, ret_parts, &user_data));
	if (user_data && !(e->group.protocol && is_common_assignor(str_of(e->group.protocol))))
		return err_note(ERR_INCONSISTENT_GROUP_PROTOCOL,
		    "an assignor of their own, whose data would be lost");
	beat->names = s.names;
	beat->name_count = s.name_count;
	beat->rack_id = s.rack_id;
	return ERR_OK;
}

static enum err take_member(
    const struct group_entry *e, const struct group_member *m, struct consumer_group *c)
{
	const struct consumer_speech speech = {
	    m->session_timeout_ms, m->protocols, m->protocol_count};
	struct consumer_parts parts = {0};
	struct consumer_beat beat = {
	    .member_id = str_of(m->id),
	    .instance_id = str_of(m->instance_id),
	    .client_id = str_of(m->client_id),
	    .client_host = str_of(m->client_host),
	    .rebalance_timeout_ms = m->rebalance_timeout_ms,
	    .classic = &speech,
	};
	struct arena arena;
	arena_init(&arena, 2 * msg_arena_limit(m->protocols[0].metadata.len + m->assignment.len));
	enum err err = read_member(e, m, &arena, &beat, &parts);
	if (err == ERR_OK)
		err = consumer_take(c, &beat, &parts, groups_now_ms(e->groups));
	arena_release(&arena);
	return err == ERR_INCONSISTENT_GROUP_PROTOCOL
	           ? err_note(ERR_GROUP_NOT_FOUND, "the group's members use the classic protocol, "
	                                           "with what this server does not understand")
	           : err;
}

/* By the first of its protocols, as what it subscribes to: the others say the same of it. */
static enum err take_owned(
    const struct group_entry *e, const struct group_member *m, struct consumer_group *c)
{
	struct embedded_subscription s;
	struct arena arena;
	arena_init(&arena, 2 * msg_arena_limit(m->protocols[0].metadata.len));
	enum err err =
	    embedded_subscription_read(m->protocols[0].metadata, e->groups->log, &arena, &s);
	if (err == ERR_OK && s.owned.count)
		err = consumer_take_owned(c, str_of(m->id), &s.owned);
	arena_release(&arena);
	return err;
}

static enum err take_members(const struct group_entry *e, struct consumer_group *c)
{
	consumer_take_epoch(c, e->group.generation);
	if (e->group.member_count == 0)
		return ERR_OK;
	TRY(check_upgrade(e));
	LIST_EACH (&e->group.members, node, tmp)
		TRY(take_member(e, CONTAINER_OF(node, struct group_member, node), c));
	LIST_EACH (&e->group.members, node, tmp2)
		TRY(take_owned(e, CONTAINER_OF(node, struct group_member, node), c));
	return ERR_OK;
}

enum err consumer_entry_prepare(struct group_entry *e, struct consumer_group **ret_consumer)
{
	*ret_consumer = e->consumer;
	if (e->consumer)
		return ERR_OK;
	if (e->storing || e->next_store_id || e->round.storing)
		return err_note(ERR_COORDINATOR_NOT_AVAILABLE, "the group is being stored");
	TRY(consumer_new(e, ret_consumer));
	enum err err = take_members(e, *ret_consumer);
	if (err != ERR_OK) {
		diag(DIAG_INFO, "group_not_upgraded", "reason=\"%s\"", err_chain());
		consumer_free(*ret_consumer);
	}
	return err;
}

void consumer_entry_keep(struct group_entry *e, struct consumer_group *c)
{
	if (e->consumer == c)
		return;
	ASSERT(!e->consumer);
	if (c->classic_count > 0) {
		diag(
		    DIAG_INFO, "group_upgraded", "members=%zu epoch=%d", c->member_count, c->epoch);
		consumer_mark_all(c);
	}
	group_dissolve(&e->group);
	e->consumer = c;
}

void consumer_entry_discard(const struct group_entry *e, struct consumer_group *c)
{
	if (e->consumer != c)
		consumer_free(c);
}

/* ---- and back -------------------------------------------------------------------------------- */

static bool is_due(const struct group_entry *e)
{
	const struct consumer_group *c = e->consumer;
	enum group_migration policy = e->groups->options.migration;
	return c->classic_count > 0 && c->classic_count == c->member_count &&
	       c->member_count <= e->group.limits->members_max &&
	       (policy == GROUP_MIGRATION_BOTH || policy == GROUP_MIGRATION_DOWNGRADE);
}

/* One that all of them know (N7), as the first of them likes it. */
static struct str common_protocol(const struct consumer_group *c)
{
	struct list_node *first = list_first(&c->members);
	const struct consumer_classic *classic =
	    first ? CONTAINER_OF(first, struct consumer_member, node)->classic : NULL;
	for (size_t i = 0; classic && i < classic->protocol_count; i++) {
		struct str name = classic->protocols[i].name;
		if (support_count(&c->support, name) == c->classic_count)
			return name;
	}
	return (struct str){NULL, 0};
}

static enum err give_member(struct group_entry *e, const struct consumer_member *m)
{
	struct group_restore_member to = {
	    .id = str_of(m->id),
	    .instance_id = str_of(m->instance_id),
	    .client_id = m->client_id ? str_of(m->client_id) : STR(""),
	    .client_host = m->client_host ? str_of(m->client_host) : STR(""),
	    .session_timeout_ms = m->classic->session_timeout_ms,
	    .rebalance_timeout_ms = m->rebalance_timeout_ms,
	    .protocols = m->classic->protocols,
	    .protocol_count = m->classic->protocol_count,
	};
	TRY(embedded_assignment_write(
	    &m->assigned, e->groups->log, m->classic->protocols[0].metadata, &to.assignment));
	enum err err = group_restore_member(&e->group, &to);
	mem_free((void *)(uintptr_t)to.assignment.ptr);
	return err;
}

/* Members that are where the group is keep their generation: the epoch rose only now, by the last
 * one's going. */
static enum err give_members(struct group_entry *e)
{
	struct consumer_group *c = e->consumer;
	struct group_restore r = {.protocol_type = STR("consumer"),
	    .protocol = common_protocol(c),
	    .generation = c->target_epoch};
	if (!r.protocol.ptr)
		return err_note(ERR_INCONSISTENT_GROUP_PROTOCOL, "no protocol that all know");
	TRY(group_restore_begin(&e->group, &r));
	LIST_EACH (&c->members, node, tmp)
		TRY(give_member(e, CONTAINER_OF(node, struct consumer_member, node)));
	return group_restore_end(&e->group, (struct str){NULL, 0}, groups_now_ms(e->groups));
}

bool consumer_entry_downgrade(struct group_entry *e)
{
	if (!is_due(e))
		return false;
	enum err err = give_members(e);
	if (err != ERR_OK) {
		diag(DIAG_WARN, "group_not_downgraded", "err=%s", err_name(err));
		group_dissolve(&e->group);
		return false;
	}
	diag(DIAG_INFO, "group_downgraded", "members=%zu generation=%d", e->group.member_count,
	    e->group.generation);
	consumer_free(e->consumer);
	e->consumer = NULL;
	e->state_ms = groups_wall_ms(e->groups);
	return true;
}
