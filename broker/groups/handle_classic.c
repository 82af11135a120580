/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JoinGroup and SyncGroup of members of a consumer group that speak the classic protocol. Like a
 * heartbeat of the consumer protocol they are answered when what they have seen is durable. Nobody
 * is the leader: the server assigns.
 */
#include "embedded.h"
#include "groups.h"
#include "broker/kafka/server.h"

struct classic_wait {
	struct consumer_waiter waiter;
	struct request *req;
};

/* ---- JoinGroup ------------------------------------------------------------------------------- */

static void refuse_join(struct request *req, struct str member_id, enum err e)
{
	struct join_group_response *r = req->response;
	msg_init(&join_group_response_shape, r);
	r->error_code = err_kafka(groups_wire_error(e));
	r->generation_id = -1;
	r->member_id = member_id.ptr ? member_id : STR("");
	r->leader = STR("");
	r->protocol_name = req->version >= 7 ? (struct str){NULL, 0} : STR("");
	request_answer(req);
}

static void on_joined(struct consumer_waiter *w, enum err e)
{
	struct request *req = CONTAINER_OF(w, struct classic_wait, waiter)->req;
	const struct join_group_request *body = req->body;
	if (e != ERR_OK)
		refuse_join(req, body->member_id, e);
	else
		request_answer(req);
}

/* The member may go before the answer does. */
static bool fill_join(struct request *req, const struct consumer_member *m)
{
	struct join_group_response *r = req->response;
	r->generation_id = m->epoch;
	r->protocol_type = STR("consumer");
	r->protocol_name = arena_copy_str(&req->arena, m->classic->protocols[0].name);
	r->leader = STR("");
	r->member_id = arena_copy_str(&req->arena, str_of(m->id));
	return r->protocol_name.ptr && r->member_id.ptr;
}

static enum err join(struct request *req, struct group_entry *e, const struct group_join *from,
    struct consumer_answer *ret_answer, char **ret_id)
{
	const struct consumer_speech speech = {
	    from->session_timeout_ms, from->protocols, from->protocol_count};
	struct embedded_subscription s;
	TRY(group_join_check(e->group.limits, from));
	if (!str_equal(from->protocol_type, STR("consumer")) || from->protocol_count == 0)
		return ERR_INCONSISTENT_GROUP_PROTOCOL;
	TRY(embedded_subscription_read(
	    from->protocols[0].metadata, e->groups->log, &req->arena, &s));
	struct consumer_beat beat = {
	    .member_id = from->member_id,
	    .instance_id = from->instance_id,
	    .rack_id = s.rack_id,
	    .client_id = from->client_id,
	    .client_host = from->client_host,
	    .rebalance_timeout_ms = from->rebalance_timeout_ms,
	    .names = s.names,
	    .name_count = s.name_count,
	    .pattern = STR(""),
	    .owned = &s.owned,
	    .classic = &speech,
	};
	return consumer_join(e->consumer, &beat, from->require_known_id ? ret_id : NULL,
	    groups_now_ms(e->groups), ret_answer);
}

void classic_join(struct request *req, struct group_entry *e, const struct group_join *from)
{
	struct consumer_answer answer = {0};
	char *id = NULL;
	struct classic_wait *wait = request_alloc(req, sizeof(*wait));
	enum err err = wait ? join(req, e, from, &answer, &id) : ERR_NOMEM;
	if (err == ERR_OK && !fill_join(req, answer.member))
		err = ERR_NOMEM;
	if (err == ERR_OK) {
		wait->req = req;
		wait->waiter.done = on_joined;
		list_node_init(&wait->waiter.node);
	}
	bool waits = consumer_store(e, err == ERR_OK ? &wait->waiter : NULL);
	if (err != ERR_OK)
		refuse_join(req, id ? str_of(id) : from->member_id, err);
	else if (!waits)
		request_answer(req);
	mem_free(id);
	entry_settle(e);
}

/* ---- SyncGroup ------------------------------------------------------------------------------- */

static void refuse_sync(struct request *req, enum err e)
{
	struct sync_group_response *r = req->response;
	msg_init(&sync_group_response_shape, r);
	r->error_code = err_kafka(groups_wire_error(e));
	r->assignment = bytes_of("", 0);
	request_answer(req);
}

static void on_synced(struct consumer_waiter *w, enum err e)
{
	struct request *req = CONTAINER_OF(w, struct classic_wait, waiter)->req;
	if (e != ERR_OK)
		refuse_sync(req, e);
	else
		request_answer(req);
}

static enum err fill_sync(
    struct request *req, const struct group_entry *e, const struct consumer_member *m)
{
	const struct sync_group_request *body = req->body;
	struct sync_group_response *r = req->response;
	struct bytes assignment, copy;
	TRY(embedded_assignment_write(
	    &m->assigned, e->groups->log, m->classic->protocols[0].metadata, &assignment));
	copy = bytes_of(request_alloc(req, assignment.len), assignment.len);
	if (copy.ptr)
		memcpy((void *)(uintptr_t)copy.ptr, assignment.ptr, assignment.len);
	mem_free((void *)(uintptr_t)assignment.ptr);
	r->protocol_type = body->protocol_type;
	r->protocol_name = body->protocol_name;
	r->assignment = copy;
	return copy.ptr ? ERR_OK : ERR_NOMEM;
}

void classic_sync(struct request *req, struct group_entry *e)
{
	const struct sync_group_request *body = req->body;
	const struct consumer_member *m = NULL;
	struct classic_wait *wait = request_alloc(req, sizeof(*wait));
	const struct group_sync sync = {
	    .member_id = body->member_id,
	    .instance_id = body->group_instance_id,
	    .generation = body->generation_id,
	    .protocol_type = body->protocol_type,
	    .protocol = body->protocol_name,
	};
	enum err err =
	    wait ? consumer_sync(e->consumer, &sync, groups_now_ms(e->groups), &m) : ERR_NOMEM;
	if (err == ERR_OK)
		err = fill_sync(req, e, m);
	if (err == ERR_OK) {
		wait->req = req;
		wait->waiter.done = on_synced;
		list_node_init(&wait->waiter.node);
	}
	bool waits = consumer_store(e, err == ERR_OK ? &wait->waiter : NULL);
	if (err != ERR_OK)
		refuse_sync(req, err);
	else if (!waits)
		request_answer(req);
	entry_settle(e);
}
