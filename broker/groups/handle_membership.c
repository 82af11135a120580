/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JoinGroup, SyncGroup, Heartbeat, LeaveGroup. A join or sync that waits is a waiter of its group;
 * when its connection goes the group forgets the waiter, not the member.
 */
#include "groups.h"
#include "broker/kafka/groups.h"
#include "broker/kafka/server.h"

enum err groups_wire_error(enum err e)
{
	/* what went wrong on our side is worth another try */
	static const enum err ours[] = {
	    ERR_NOMEM, ERR_IO, ERR_NOSPACE, ERR_AGAIN, ERR_CLOSED, ERR_DAMAGED, ERR_LIMIT};
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
		if (e == ours[i])
			return ERR_COORDINATOR_NOT_AVAILABLE;
	}
	return e == ERR_MESSAGE_TOO_LARGE ? ERR_COMMIT_TOO_LARGE : e;
}

static void on_closed(struct request *req)
{
	struct group_entry *e = req->user;
	group_forget_waiter(&e->group, req);
	request_answer(req);
}

/* A group for a member who is new, or who must be known to it. */
static enum err find_group(
    struct request *req, struct str group_id, bool may_make, struct group_entry **ret_entry)
{
	if (group_id.len == 0)
		return ERR_INVALID_GROUP;
	struct group_entry *e = entry_find(req->broker->groups, group_id);
	if (!e && may_make)
		return entry_make(req->broker->groups, group_id, ret_entry);
	bool members = e && e->consumer && e->consumer->member_count > 0;
	if (!e || (e->consumer && !may_make && !members))
		return ERR_UNKNOWN_MEMBER;
	if (!members)
		TRY(consumer_entry_end(e));
	*ret_entry = e;
	return ERR_OK;
}

/* ---- JoinGroup ------------------------------------------------------------------------------- */

static bool fill_members(struct request *req, const struct group *g, struct join_group_response *r)
{
	r->members.at = request_new(req, &join_group_response_member_shape, g->member_count);
	if (!r->members.at)
		return false;
	LIST_EACH (&g->members, node, tmp) {
		const struct group_member *m = CONTAINER_OF(node, struct group_member, node);
		struct join_group_response_member *out = &r->members.at[r->members.count++];
		out->member_id = str_of(m->id);
		out->group_instance_id = str_of(m->instance_id);
		out->metadata = group_member_metadata(g, m);
	}
	return true;
}

static void answer_join(
    struct request *req, const struct group *g, const struct group_join_result *result)
{
	struct join_group_response *r = req->response;
	bool ok = result->err == ERR_OK;
	req->closed = NULL;
	r->error_code = err_kafka(groups_wire_error(result->err));
	r->generation_id = result->generation;
	r->member_id = result->member_id.ptr ? result->member_id : STR("");
	r->leader = ok ? result->leader : STR("");
	r->protocol_type = ok ? result->protocol_type : (struct str){NULL, 0};
	r->protocol_name =
	    ok ? result->protocol : (req->version >= 7 ? (struct str){NULL, 0} : STR(""));
	r->skip_assignment = result->skip_assignment;
	if (result->with_members && !fill_members(req, g, r)) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	request_answer(req);
}

void membership_joined(struct group *group, void *waiter, const struct group_join_result *result)
{
	answer_join(waiter, group, result);
}

static struct group_protocol *copy_protocols(
    struct request *req, const struct join_group_request *body)
{
	struct group_protocol *protocols =
	    request_alloc(req, body->protocols.count * sizeof(*protocols));
	for (uint32_t i = 0; protocols && i < body->protocols.count; i++) {
		protocols[i].name = body->protocols.at[i].name;
		protocols[i].metadata = body->protocols.at[i].metadata;
	}
	return protocols;
}

void handle_join_group(struct request *req)
{
	const struct join_group_request *body = req->body;
	struct group_entry *e = NULL;
	struct group_protocol *protocols = copy_protocols(req, body);
	struct str host = request_text(req, "/" STR_FMT, STR_ARG(req->peer));
	enum err err = protocols && host.ptr ? ERR_OK : ERR_NOMEM;
	if (err == ERR_OK)
		err = find_group(req, body->group_id, body->member_id.len == 0, &e);
	if (err != ERR_OK) {
		struct group_join_result refused = {
		    .err = err, .member_id = body->member_id, .generation = -1};
		answer_join(req, NULL, &refused);
		return;
	}
	struct group_join join = {
	    .member_id = body->member_id,
	    .instance_id = body->group_instance_id,
	    .client_id = req->client_id.ptr ? req->client_id : STR(""),
	    .client_host = host,
	    .protocol_type = body->protocol_type,
	    .session_timeout_ms = body->session_timeout_ms,
	    .rebalance_timeout_ms =
	        req->version >= 1 ? body->rebalance_timeout_ms : body->session_timeout_ms,
	    .protocols = protocols,
	    .protocol_count = body->protocols.count,
	    .require_known_id = req->version >= 4,
	    .may_skip_assignment = req->version >= 9,
	    .waiter = req,
	};
	if (e->consumer) {
		classic_join(req, e, &join);
		return;
	}
	req->user = e;
	req->closed = on_closed;
	group_join(&e->group, &join, groups_now_ms(e->groups));
	entry_settle(e);
}

/* ---- SyncGroup ------------------------------------------------------------------------------- */

static void answer_sync(struct request *req, const struct group_sync_result *result)
{
	struct sync_group_response *r = req->response;
	req->closed = NULL;
	r->error_code = err_kafka(groups_wire_error(result->err));
	r->protocol_type = result->protocol_type;
	r->protocol_name = result->protocol;
	r->assignment = result->assignment.ptr ? result->assignment : bytes_of("", 0);
	request_answer(req);
}

void membership_synced(struct group *group, void *waiter, const struct group_sync_result *result)
{
	(void)group;
	answer_sync(waiter, result);
}

void handle_sync_group(struct request *req)
{
	const struct sync_group_request *body = req->body;
	struct group_entry *e = NULL;
	struct group_sync_result refused = {0};
	struct group_assignment *list = request_alloc(req, body->assignments.count * sizeof(*list));
	bool named = body->protocol_type.ptr && body->protocol_name.ptr;
	if (req->version >= 5 && !named) /* they may be null on the wire, and may not be left out */
		refused.err = ERR_INCONSISTENT_GROUP_PROTOCOL;
	else
		refused.err = list ? find_group(req, body->group_id, false, &e) : ERR_NOMEM;
	if (refused.err != ERR_OK) {
		answer_sync(req, &refused);
		return;
	}
	if (e->consumer) {
		classic_sync(req, e);
		return;
	}
	for (uint32_t i = 0; i < body->assignments.count; i++) {
		list[i].member_id = body->assignments.at[i].member_id;
		list[i].assignment = body->assignments.at[i].assignment;
	}
	struct group_sync sync = {
	    .member_id = body->member_id,
	    .instance_id = body->group_instance_id,
	    .generation = body->generation_id,
	    .protocol_type = body->protocol_type,
	    .protocol = body->protocol_name,
	    .assignments = list,
	    .assignment_count = body->assignments.count,
	    .waiter = req,
	};
	req->user = e;
	req->closed = on_closed;
	group_sync(&e->group, &sync, groups_now_ms(e->groups));
	entry_settle(e);
}

/* ---- Heartbeat, LeaveGroup ------------------------------------------------------------------- */

static enum err heartbeat(struct group_entry *e, const struct heartbeat_request *body)
{
	int64_t now_ms = groups_now_ms(e->groups);
	if (!e->consumer)
		return group_heartbeat(&e->group, body->member_id, body->group_instance_id,
		    body->generation_id, now_ms);
	enum err err = consumer_heartbeat(
	    e->consumer, body->member_id, body->group_instance_id, body->generation_id, now_ms);
	consumer_store(e, NULL);
	return err;
}

void handle_heartbeat(struct request *req)
{
	const struct heartbeat_request *body = req->body;
	struct heartbeat_response *r = req->response;
	struct group_entry *e = NULL;
	enum err err = find_group(req, body->group_id, false, &e);
	if (err == ERR_OK) {
		err = heartbeat(e, body);
		entry_settle(e);
	}
	r->error_code = err_kafka(groups_wire_error(err));
	request_answer(req);
}

/* A member that speaks the consumer protocol leaves by its heartbeat; an administrator removes one
 * here. */
static enum err leave_one(struct group_entry *e, struct str member_id, struct str instance_id)
{
	if (!e)
		return ERR_UNKNOWN_MEMBER;
	if (!e->consumer)
		return group_leave(&e->group, member_id, instance_id, groups_now_ms(e->groups));
	return consumer_leave(e->consumer, member_id, instance_id);
}

static bool leave_members(struct request *req, struct group_entry *e)
{
	const struct leave_group_request *body = req->body;
	struct leave_group_response *r = req->response;
	r->members.at = request_new(req, &leave_group_response_member_shape, body->members.count);
	if (!r->members.at)
		return false;
	r->members.count = body->members.count;
	for (uint32_t i = 0; i < body->members.count; i++) {
		const struct leave_group_request_member *m = &body->members.at[i];
		struct leave_group_response_member *out = &r->members.at[i];
		out->member_id = m->member_id;
		out->group_instance_id = m->group_instance_id;
		out->error_code = err_kafka(leave_one(e, m->member_id, m->group_instance_id));
	}
	return true;
}

void handle_leave_group(struct request *req)
{
	const struct leave_group_request *body = req->body;
	struct leave_group_response *r = req->response;
	const struct str no_instance = {NULL, 0};
	struct group_entry *e = NULL;
	bool room = true;
	enum err err = body->group_id.len ? ERR_OK : ERR_INVALID_GROUP;
	if (err == ERR_OK) {
		e = entry_find(req->broker->groups, body->group_id);
		err = e || req->version >= 3 ? ERR_OK : ERR_UNKNOWN_MEMBER;
	}
	if (err == ERR_OK && !e) {
		room = leave_members(req, NULL);
	} else if (err == ERR_OK) {
		if (req->version >= 3)
			room = leave_members(req, e);
		else
			err = leave_one(e, body->member_id, no_instance);
		if (e->consumer)
			consumer_store(e, NULL);
		entry_settle(e);
	}
	r->error_code = err_kafka(err);
	if (room)
		request_answer(req);
	else
		request_fail(req, ERR_LIMIT);
}
