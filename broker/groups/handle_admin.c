/* SPDX-License-Identifier: Apache-2.0 */
/* ListGroups, DescribeGroups, DeleteGroups. */
#include "groups.h"
#include "broker/auth/access.h"
#include "broker/kafka/groups.h"
#include "broker/kafka/handlers.h"
#include <stdlib.h>

/* ---- ListGroups ------------------------------------------------------------------------------ */

void handle_list_groups(struct request *req)
{
	struct groups *g = req->broker->groups;
	struct list_groups_response *r = req->response;
	r->groups.at = request_new(req, &list_groups_response_group_shape, g->entry_count);
	if (!r->groups.at) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	const struct list_groups_request *body = req->body;
	struct asked_words states = {
	    .at = body->states_filter.at, .count = body->states_filter.count, .any_case = true};
	struct asked_words types = {
	    .at = body->types_filter.at, .count = body->types_filter.count, .any_case = true};
	bool all = access_cluster(req) == ERR_OK;
	LIST_EACH (&g->entries, node, tmp) {
		const struct group_entry *e = CONTAINER_OF(node, struct group_entry, node);
		if (entry_is_vacant(e) || !asked_word(&states, entry_state_name(e)) ||
		    !asked_word(&types, entry_type_name(e)) ||
		    !request_coordinates(req, e->group.name) ||
		    !(all || access_group(req, e->group.name) == ERR_OK))
			continue;
		struct list_groups_response_group *out = &r->groups.at[r->groups.count++];
		out->group_id = e->group.name;
		out->protocol_type = entry_protocol_type(e);
		out->group_state = str_of(entry_state_name(e));
		out->group_type = str_of(entry_type_name(e));
	}
	request_answer(req);
}

/* ---- DescribeGroups -------------------------------------------------------------------------- */

static bool describe_members(
    struct request *req, const struct group *g, struct describe_groups_response_group *out)
{
	bool stable = g->state == GROUP_STABLE;
	out->members.at = request_new(req, &describe_groups_response_member_shape, g->member_count);
	if (!out->members.at)
		return false;
	LIST_EACH (&g->members, node, tmp) {
		const struct group_member *m = CONTAINER_OF(node, struct group_member, node);
		struct describe_groups_response_member *to = &out->members.at[out->members.count++];
		to->member_id = str_of(m->id);
		to->group_instance_id = str_of(m->instance_id);
		to->client_id = str_of(m->client_id);
		to->client_host = str_of(m->client_host);
		to->member_metadata = stable ? group_member_metadata(g, m) : bytes_of("", 0);
		to->member_assignment =
		    stable && m->assignment.ptr ? m->assignment : bytes_of("", 0);
	}
	return true;
}

static bool describe(
    struct request *req, struct str name, struct describe_groups_response_group *out)
{
	const struct describe_groups_request *body = req->body;
	const struct group_entry *e = entry_find(req->broker->groups, name);
	out->group_id = name;
	out->group_state = STR("Dead");
	out->protocol_type = out->protocol_data = STR("");
	out->members.at = request_new(req, &describe_groups_response_member_shape, 0);
	enum err denied = access_group(req, name);
	if (denied != ERR_OK) {
		out->error_code = err_kafka(denied);
		out->group_state = STR("");
		return out->members.at != NULL;
	}
	if (body->include_authorized_operations)
		out->authorized_operations =
		    access_operations(req, ACL_GROUP, name, OPERATIONS_GROUP);
	if (!e || entry_is_vacant(e) || e->consumer) {
		if (req->version >= 6) {
			out->error_code = err_kafka(ERR_GROUP_NOT_FOUND);
			out->error_message = request_text(req,
			    e && e->consumer ? "Group " STR_FMT " is not a classic group."
			                     : "Group " STR_FMT " not found.",
			    STR_ARG(name));
		}
		return out->members.at != NULL;
	}
	out->group_state = str_of(group_state_name(e->group.state));
	if (e->group.protocol_type)
		out->protocol_type = str_of(e->group.protocol_type);
	if (e->group.state == GROUP_STABLE)
		out->protocol_data = str_of(e->group.protocol);
	return describe_members(req, &e->group, out);
}

void handle_describe_groups(struct request *req)
{
	const struct describe_groups_request *body = req->body;
	struct describe_groups_response *r = req->response;
	r->groups.at = request_new(req, &describe_groups_response_group_shape, body->groups.count);
	bool ok = r->groups.at != NULL;
	for (uint32_t i = 0; ok && i < body->groups.count; i++) {
		ok = describe(req, body->groups.at[i], &r->groups.at[i]);
		r->groups.count++;
	}
	if (ok)
		request_answer(req);
	else
		request_fail(req, ERR_LIMIT);
}

/* ---- DeleteGroups ---------------------------------------------------------------------------- */

struct group_deletes {
	struct request *req;
	uint32_t pending;
	struct group_delete {
		struct drop drop;
		struct group_deletes *owner;
		uint32_t index;
	} * deletes;
};

static void deletes_end(struct group_deletes *d)
{
	if (--d->pending == 0)
		request_answer(d->req);
}

static void on_deleted(struct drop *drop)
{
	struct group_delete *del = CONTAINER_OF(drop, struct group_delete, drop);
	struct delete_groups_response *r = del->owner->req->response;
	r->results.at[del->index].error_code = err_kafka(groups_wire_error(drop->err));
	deletes_end(del->owner);
}

static enum err check_delete(
    const struct groups *g, struct str name, struct group_entry **ret_entry)
{
	struct group_entry *e = entry_find(g, name);
	if (e && !entry_is_empty(e))
		return ERR_NON_EMPTY_GROUP;
	if (e && e->round.storing) /* rows that nobody knows yet to write tombstones for */
		return err_note(ERR_COORDINATOR_NOT_AVAILABLE, "the group is being stored");
	if (!e || entry_is_vacant(e))
		return ERR_GROUP_NOT_FOUND;
	*ret_entry = e;
	return ERR_OK;
}

static enum err start_delete(struct group_deletes *d, struct group_delete *del, uint32_t index)
{
	const struct delete_groups_response *r = d->req->response;
	struct str name = r->results.at[index].group_id;
	struct drop_choice everything = {.whole = true};
	struct group_entry *e = NULL;
	TRY(access_group(d->req, name));
	TRY(check_delete(d->req->broker->groups, name, &e));
	*del = (struct group_delete){.owner = d, .index = index, .drop.done = on_deleted};
	d->pending++;
	pending_cut_init(&del->drop.cut, d->req->broker->transactions, name);
	pending_cut_all(&del->drop.cut);
	drop_start(&del->drop, e, &everything);
	return ERR_OK;
}

/* Those asked for are a set, as in Kafka. */
void handle_delete_groups(struct request *req)
{
	struct map seen;
	const struct delete_groups_request *body = req->body;
	struct delete_groups_response *r = req->response;
	uint32_t count = body->groups_names.count;
	struct group_deletes *d = request_alloc(req, sizeof(*d));
	struct group_delete *deletes = request_alloc(req, count * sizeof(*deletes));
	r->results.at = request_new(req, &delete_groups_response_result_shape, count);
	if (!d || !deletes || !r->results.at) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	map_init(&seen);
	*d = (struct group_deletes){.req = req, .pending = 1, .deletes = deletes};
	for (uint32_t i = 0; i < count; i++) {
		struct str name = body->groups_names.at[i];
		if (map_get(&seen, str_bytes(name)))
			continue;
		uint32_t index = r->results.count++;
		enum err err = map_put(&seen, str_bytes(name), d);
		r->results.at[index].group_id = name;
		if (err == ERR_OK)
			err = start_delete(d, &deletes[index], index);
		r->results.at[index].error_code = err_kafka(err);
	}
	map_release(&seen);
	deletes_end(d);
}
