/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A group's own record: what survives a restart. Members are written only when their assignments
 * are those of this generation (STABLE, or COMPLETING with the leader's assignment waiting for this
 * very record); any other state is written as EMPTY at its generation, so that nobody meets an
 * assignment of an older one after a restart. Members without a leader are to rebalance: they have
 * just come from the consumer protocol (migrate.c), and what the last one held is nobody's.
 */
#include "groups.h"

static void fill_member(
    const struct group *g, const struct group_member *m, struct group_metadata_value_member *out)
{
	*out = (struct group_metadata_value_member){
	    .member_id = str_of(m->id),
	    .group_instance_id = str_of(m->instance_id),
	    .client_id = str_of(m->client_id),
	    .client_host = str_of(m->client_host),
	    .rebalance_timeout = m->rebalance_timeout_ms,
	    .session_timeout = m->session_timeout_ms,
	    .subscription = group_member_metadata(g, m),
	    .assignment = m->assignment.ptr ? m->assignment : bytes_of("", 0),
	};
}

static bool has_assignments(const struct group *g)
{
	return g->state == GROUP_STABLE ||
	       (g->state == GROUP_COMPLETING && g->leader_store_id != 0);
}

enum err entry_group_rows(struct group_entry *e, struct row_list *list, bool settled)
{
	const struct group *g = &e->group;
	struct group_metadata_value value = {
	    .protocol_type = g->protocol_type ? str_of(g->protocol_type) : STR(""),
	    .generation = g->generation,
	    .current_state_timestamp = e->state_ms,
	};
	struct group_metadata_value_member *members =
	    mem_calloc(g->member_count + 1, sizeof(*members));
	if (!members)
		return ERR_NOMEM;
	value.members.at = members;
	if (has_assignments(g)) {
		value.protocol = str_of(g->protocol);
		value.leader = settled ? str_of(g->leader->id) : (struct str){NULL, 0};
		LIST_EACH (&g->members, node, tmp)
			fill_member(g, CONTAINER_OF(node, struct group_member, node),
			    &members[value.members.count++]);
	}
	row_list_group(list, g->name, &value);
	consumer_rows_drop(e, list); /* of the consumer group it was */
	mem_free(members);
	return ERR_OK;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void store_now(struct group_entry *e);

static void store_end(struct group_entry *e, enum err err)
{
	uint64_t id = e->storing_id;
	e->storing = false;
	e->groups->puts--;
	if (err != ERR_OK)
		diag(DIAG_WARN, "group_store_failed", "err=%s generation=%d", err_name(err),
		    e->group.generation);
	group_stored(&e->group, id, err, groups_now_ms(e->groups));
	if (e->next_store_id && !e->storing)
		store_now(e);
	entry_settle(e);
}

static void on_stored(struct log_table_put *put)
{
	struct group_entry *e = CONTAINER_OF(put, struct group_entry, store);
	store_end(e, put->err);
}

static void on_store_failed(struct mail *mail)
{
	struct group_entry *e = CONTAINER_OF(mail, struct group_entry, store_failed);
	store_end(e, e->store_err);
}

static enum err submit(struct group_entry *e)
{
	struct row_list list;
	const struct log_row *rows;
	row_list_init(&list);
	enum err err = entry_group_rows(e, &list, true);
	if (err == ERR_OK)
		err = row_list_rows(&list, &rows);
	if (err == ERR_OK) {
		e->store = (struct log_table_put){.partition = entry_partition(e),
		    .rows = rows,
		    .row_count = list.count,
		    .done = on_stored};
		log_table_put(e->groups->table, &e->store);
	}
	row_list_release(&list);
	return err;
}

static void store_now(struct group_entry *e)
{
	ASSERT(!e->storing);
	e->storing = true;
	e->storing_id = e->next_store_id;
	e->next_store_id = 0;
	e->groups->puts++;
	e->store_err = submit(e);
	if (e->store_err == ERR_OK)
		return;
	e->store_failed.run = on_store_failed; /* never from inside */
	loop_defer(e->groups->loop, &e->store_failed);
}

void entry_store(struct group *group, uint64_t store_id)
{
	struct group_entry *e = CONTAINER_OF(group, struct group_entry, group);
	e->state_ms = groups_wall_ms(e->groups);
	e->next_store_id = store_id;
	if (!e->storing)
		store_now(e);
}

/* ---- reading --------------------------------------------------------------------------------- */

static enum err restore_members(struct group_entry *e, const struct group_metadata_value *value)
{
	for (uint32_t i = 0; i < value->members.count; i++) {
		const struct group_metadata_value_member *from = &value->members.at[i];
		struct group_restore_member m = {
		    .id = from->member_id,
		    .instance_id = from->group_instance_id,
		    .client_id = from->client_id,
		    .client_host = from->client_host,
		    .session_timeout_ms = from->session_timeout,
		    .rebalance_timeout_ms = from->rebalance_timeout < 0 ? from->session_timeout
		                                                        : from->rebalance_timeout,
		    .subscription = from->subscription,
		    .assignment = from->assignment,
		};
		TRY(group_restore_member(&e->group, &m));
	}
	TRY(group_restore_end(&e->group, value->leader, groups_now_ms(e->groups)));
	if (e->group.member_count > 0 && !value->leader.ptr)
		rebalance_prepare(&e->group, groups_now_ms(e->groups));
	return ERR_OK;
}

enum err entry_restore(struct group_entry *e, struct bytes stored)
{
	struct group_metadata_value value;
	struct arena arena;
	arena_init(&arena, msg_arena_limit(stored.len));
	enum err err = row_group_read(stored, &arena, &value);
	if (err == ERR_OK) {
		struct group_restore r = {
		    .protocol_type = value.protocol_type,
		    .protocol = value.protocol,
		    .leader = value.leader,
		    .generation = value.generation,
		};
		err = group_restore_begin(&e->group, &r);
		e->state_ms = value.current_state_timestamp >= 0 ? value.current_state_timestamp
		                                                 : e->state_ms;
	}
	if (err == ERR_OK)
		err = restore_members(e, &value);
	arena_release(&arena);
	return err == ERR_OK ? ERR_OK : err_note(err, "group " STR_FMT, STR_ARG(e->group.name));
}
