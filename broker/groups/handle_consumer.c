/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ConsumerGroupHeartbeat, ConsumerGroupDescribe (KIP-848). A heartbeat is answered when what it has
 * seen of its group is durable, so a server that comes back knows all that it has told.
 */
#include "groups.h"
#include "owned.h"
#include "broker/auth/access.h"
#include "broker/kafka/groups.h"
#include "broker/kafka/handlers.h"

/* ---- what is asked --------------------------------------------------------------------------- */

static bool is_empty_text(struct str s)
{
	return s.ptr && s.len == 0;
}

static enum err check_join(const struct request *req)
{
	const struct consumer_group_heartbeat_request *body = req->body;
	if (body->member_id.len == 0 && req->version >= 1)
		return err_note(ERR_INVALID_REQUEST, "MemberId can't be empty.");
	if (body->rebalance_timeout_ms < 0)
		return err_note(
		    ERR_INVALID_REQUEST, "RebalanceTimeoutMs must be provided in first request.");
	if (!body->topic_partitions.at || body->topic_partitions.count > 0)
		return err_note(
		    ERR_INVALID_REQUEST, "TopicPartitions must be empty when (re-)joining.");
	if (!body->subscribed_topic_names.at && body->subscribed_topic_regex.len == 0)
		return err_note(ERR_INVALID_REQUEST,
		    "Either SubscribedTopicNames or SubscribedTopicRegex must be set when "
		    "(re-)joining.");
	return ERR_OK;
}

static enum err check_heartbeat(const struct request *req)
{
	const struct consumer_group_heartbeat_request *body = req->body;
	if (body->group_id.len == 0)
		return err_note(ERR_INVALID_REQUEST, "GroupId can't be empty.");
	if (is_empty_text(body->instance_id))
		return err_note(ERR_INVALID_REQUEST, "InstanceId can't be empty.");
	if (is_empty_text(body->rack_id))
		return err_note(ERR_INVALID_REQUEST, "RackId can't be empty.");
	if (body->member_epoch < CONSUMER_LEAVES_SOON)
		return err_note(
		    ERR_INVALID_REQUEST, "MemberEpoch is invalid: %d.", body->member_epoch);
	if (body->rebalance_timeout_ms < -1)
		return err_note(ERR_INVALID_REQUEST, "RebalanceTimeoutMs is invalid.");
	if (body->member_epoch == 0)
		return check_join(req);
	if (body->member_id.len == 0)
		return err_note(ERR_INVALID_REQUEST, "MemberId can't be empty.");
	if (body->member_epoch == CONSUMER_LEAVES_SOON && !body->instance_id.ptr)
		return err_note(ERR_INVALID_REQUEST, "InstanceId can't be null.");
	return ERR_OK;
}

/* A pattern is not refused for what it matches: of that it finds what the client may describe. */
static enum err check_topics(const struct request *req)
{
	const struct consumer_group_heartbeat_request *body = req->body;
	for (uint32_t i = 0; i < body->subscribed_topic_names.count; i++)
		TRY(access_topic(req, body->subscribed_topic_names.at[i]));
	return ERR_OK;
}

static enum err find_topics(struct request *req, struct owned_topic **ret_topics)
{
	const struct consumer_group_heartbeat_request *body = req->body;
	size_t count = body->topic_partitions.count, total = 0;
	for (size_t t = 0; t < count; t++)
		total += body->topic_partitions.at[t].partitions.count;
	TRY(owned_check(req->log, count, total));
	struct owned_topic *topics = mem_alloc((count + 1) * sizeof(*topics));
	if (!topics)
		return ERR_NOMEM;
	for (size_t t = 0; t < count; t++) {
		const struct consumer_group_heartbeat_request_topic *from =
		    &body->topic_partitions.at[t];
		topics[t] = (struct owned_topic){log_topic_by_id(req->log, from->topic_id),
		    from->partitions.at, from->partitions.count};
	}
	*ret_topics = topics;
	return ERR_OK;
}

/* What the member says it owns, in order. */
static enum err read_owned(struct request *req, struct consumer_parts *ret_owned)
{
	const struct consumer_group_heartbeat_request *body = req->body;
	struct owned_topic *topics = NULL;
	enum err e = find_topics(req, &topics);
	if (e == ERR_OK)
		e = owned_parts(
		    req->log, topics, body->topic_partitions.count, &req->arena, ret_owned);
	mem_free(topics);
	return e;
}

/* ---- the answer ------------------------------------------------------------------------------ */

/* Topics with their partitions, of a set in order, in each of the shapes that answers have. */
struct topic_span {
	size_t from, count;
};
static size_t next_topic(const struct consumer_parts *set, struct topic_span *span)
{
	size_t from = span->from + span->count, end = from;
	while (end < set->count && log_uuid_equal(set->at[end].topic, set->at[from].topic))
		end++;
	*span = (struct topic_span){from, end - from};
	return span->count;
}

static size_t count_topics(const struct consumer_parts *set)
{
	struct topic_span span = {0};
	size_t count = 0;
	while (next_topic(set, &span))
		count++;
	return count;
}

static int32_t *partitions_of(
    struct request *req, const struct consumer_parts *set, struct topic_span span)
{
	int32_t *partitions = request_alloc(req, (span.count + 1) * sizeof(*partitions));
	for (size_t i = 0; partitions && i < span.count; i++)
		partitions[i] = set->at[span.from + i].partition;
	return partitions;
}

static bool fill_assignment(struct request *req, const struct consumer_member *m)
{
	struct consumer_group_heartbeat_response *r = req->response;
	struct topic_span span = {0};
	r->assignment = request_new(req, &consumer_group_heartbeat_response_assignment_shape, 1);
	if (!r->assignment)
		return false;
	r->assignment->topic_partitions.at = request_new(
	    req, &consumer_group_heartbeat_response_topic_shape, count_topics(&m->assigned));
	if (!r->assignment->topic_partitions.at)
		return false;
	while (next_topic(&m->assigned, &span)) {
		struct consumer_group_heartbeat_response_topic *out =
		    &r->assignment->topic_partitions.at[r->assignment->topic_partitions.count++];
		out->topic_id = m->assigned.at[span.from].topic;
		out->partitions.at = partitions_of(req, &m->assigned, span);
		out->partitions.count = (uint32_t)span.count;
		if (!out->partitions.at)
			return false;
	}
	return true;
}

static void refuse(struct request *req, enum err e)
{
	struct consumer_group_heartbeat_response *r = req->response;
	msg_init(&consumer_group_heartbeat_response_shape, r);
	r->error_code = err_kafka(groups_wire_error(e));
	r->error_message = request_error_text(req, e);
	request_answer(req);
}

struct heartbeat_wait {
	struct consumer_waiter waiter;
	struct request *req;
};

static void on_durable(struct consumer_waiter *w, enum err e)
{
	struct heartbeat_wait *wait = CONTAINER_OF(w, struct heartbeat_wait, waiter);
	if (e != ERR_OK)
		refuse(wait->req, e);
	else
		request_answer(wait->req);
}

static bool fill_heartbeat(
    struct request *req, const struct group_entry *e, const struct consumer_answer *answer)
{
	const struct consumer_group_heartbeat_request *body = req->body;
	struct consumer_group_heartbeat_response *r = req->response;
	struct str id = answer->member ? str_of(answer->member->id) : body->member_id;
	r->member_id = arena_copy_str(&req->arena, id); /* the member may go before the answer */
	r->member_epoch = answer->epoch;
	r->heartbeat_interval_ms = answer->member ? e->limits.heartbeat_interval_ms : 0;
	return r->member_id.ptr &&
	       (!answer->with_assignment || fill_assignment(req, answer->member));
}

static enum err beat(
    struct request *req, struct consumer_group *c, struct consumer_answer *ret_answer)
{
	const struct consumer_group_heartbeat_request *body = req->body;
	struct consumer_parts owned = {0};
	struct str host = request_text(req, "/" STR_FMT, STR_ARG(req->peer));
	struct str viewer = access_viewer(req);
	if (!host.ptr || !viewer.ptr)
		return ERR_NOMEM;
	TRY(read_owned(req, &owned));
	struct consumer_beat b = {
	    .member_id = body->member_id,
	    .instance_id = body->instance_id,
	    .rack_id = body->rack_id,
	    .client_id = req->client_id.ptr ? req->client_id : STR(""),
	    .client_host = host,
	    .epoch = body->member_epoch,
	    .rebalance_timeout_ms = body->rebalance_timeout_ms,
	    .names = body->subscribed_topic_names.at,
	    .name_count = body->subscribed_topic_names.count,
	    .pattern = body->subscribed_topic_regex,
	    .viewer = viewer,
	    .assignor = body->server_assignor,
	    .owned = body->topic_partitions.at ? &owned : NULL,
	};
	return consumer_beat(c, &b, groups_now_ms(req->broker->groups), ret_answer);
}

static enum err find_consumers(
    struct request *req, struct group_entry **ret_entry, struct consumer_group **ret_consumer)
{
	const struct consumer_group_heartbeat_request *body = req->body;
	struct group_entry *e = entry_find(req->broker->groups, body->group_id);
	if (body->member_epoch == 0) {
		if (!e)
			TRY(entry_make(req->broker->groups, body->group_id, &e));
		*ret_entry = e;
		return consumer_entry_prepare(e, ret_consumer);
	}
	if (!e || !e->consumer)
		return err_note(ERR_GROUP_NOT_FOUND, "there is no such consumer group");
	*ret_entry = e;
	*ret_consumer = e->consumer;
	return ERR_OK;
}

void handle_consumer_group_heartbeat(struct request *req)
{
	struct group_entry *e = NULL;
	struct consumer_group *c = NULL;
	struct consumer_answer answer = {0};
	struct heartbeat_wait *wait = request_alloc(req, sizeof(*wait));
	bool waits = false;
	enum err err = wait ? check_heartbeat(req) : ERR_NOMEM;
	if (err == ERR_OK)
		err = check_topics(req);
	if (err == ERR_OK)
		err = find_consumers(req, &e, &c);
	if (err == ERR_OK) {
		err = beat(req, c, &answer);
		if (err == ERR_OK)
			consumer_entry_keep(e, c);
		else
			consumer_entry_discard(e, c);
		if (err == ERR_OK && !fill_heartbeat(req, e, &answer))
			err = ERR_NOMEM;
		if (err == ERR_OK) {
			wait->req = req;
			wait->waiter.done = on_durable;
			list_node_init(&wait->waiter.node);
		}
		if (e->consumer)
			waits = consumer_store(e, err == ERR_OK ? &wait->waiter : NULL);
	}
	if (err != ERR_OK)
		refuse(req, err);
	else if (!waits)
		request_answer(req);
	if (e)
		entry_settle(e);
}

/* ---- ConsumerGroupDescribe ------------------------------------------------------------------- */

typedef struct consumer_group_describe_response_topic described_topic;
typedef struct consumer_group_describe_response_target_topic described_target;
_Static_assert(sizeof(described_topic) == sizeof(described_target), "assignment and target");

static bool describe_parts(struct request *req, const struct consumer_parts *set,
    described_topic **ret_topics, uint32_t *ret_count)
{
	struct topic_span span = {0};
	described_topic *topics =
	    request_new(req, &consumer_group_describe_response_topic_shape, count_topics(set));
	uint32_t count = 0;
	while (topics && next_topic(set, &span)) {
		const struct log_topic *topic = log_topic_by_id(req->log, set->at[span.from].topic);
		if (!topic)
			continue; /* deleted; the members have not heard of it yet */
		described_topic *out = &topics[count++];
		out->topic_id = topic->id;
		out->topic_name = arena_copy_str(&req->arena, topic->name);
		out->partitions.at = partitions_of(req, set, span);
		out->partitions.count = (uint32_t)span.count;
		if (!out->partitions.at || !out->topic_name.ptr)
			return false;
	}
	*ret_topics = topics;
	*ret_count = count;
	return topics != NULL;
}

static bool describe_member(struct request *req, const struct consumer_member *m,
    struct consumer_group_describe_response_member *out)
{
	const struct consumer_subscription *s = m->subscription;
	described_topic *targets;
	out->member_id = str_of(m->id);
	out->instance_id = str_of(m->instance_id);
	out->rack_id = str_of(m->rack_id);
	out->member_epoch = m->epoch;
	out->client_id = str_of(m->client_id);
	out->client_host = str_of(m->client_host);
	out->subscribed_topic_names.at = s->names;
	out->subscribed_topic_names.count = (uint32_t)s->name_count;
	out->subscribed_topic_regex = s->pattern;
	out->member_type = m->classic ? 0 : 1;
	if (!describe_parts(req, &m->assigned, &out->assignment.topic_partitions.at,
	        &out->assignment.topic_partitions.count) ||
	    !describe_parts(
	        req, &m->target, &targets, &out->target_assignment.topic_partitions.count))
		return false;
	out->target_assignment.topic_partitions.at = (void *)targets; /* alike, asserted above */
	return true;
}

/* Who may not describe a topic of the group is not told who reads it. */
static enum err check_visible(const struct request *req, const struct consumer_group *c)
{
	for (size_t i = 0; i < c->topic_count; i++) {
		const struct log_topic *topic = log_topic_by_id(req->log, c->topics[i].id);
		if (topic)
			TRY(access_topic(req, topic->name));
	}
	LIST_EACH (&c->subscriptions, node, tmp) {
		const struct consumer_subscription *s =
		    CONTAINER_OF(node, struct consumer_subscription, node);
		for (size_t i = 0; i < s->name_count; i++)
			TRY(access_topic(req, s->names[i]));
	}
	return ERR_OK;
}

static bool describe_group(
    struct request *req, struct str name, struct consumer_group_describe_response_group *out)
{
	const struct consumer_group_describe_request *body = req->body;
	const struct group_entry *e = entry_find(req->broker->groups, name);
	out->group_id = name;
	out->group_state = out->assignor_name = STR("");
	out->members.at = request_new(req, &consumer_group_describe_response_member_shape,
	    e && e->consumer ? e->consumer->member_count : 0);
	enum err denied = access_group(req, name);
	if (denied == ERR_OK && e && e->consumer)
		denied = check_visible(req, e->consumer);
	if (denied != ERR_OK) {
		out->error_code = err_kafka(denied);
		return out->members.at != NULL;
	}
	if (!e || !e->consumer) {
		out->error_code = err_kafka(ERR_GROUP_NOT_FOUND);
		out->error_message = request_text(req,
		    e ? "Group " STR_FMT " is not a consumer group."
		      : "Group " STR_FMT " not found.",
		    STR_ARG(name));
		return out->members.at != NULL;
	}
	out->group_state = str_of(entry_state_name(e));
	out->group_epoch = e->consumer->epoch;
	out->assignment_epoch = e->consumer->target_epoch;
	out->assignor_name = consumer_assignor(e->consumer);
	if (body->include_authorized_operations)
		out->authorized_operations =
		    access_operations(req, ACL_GROUP, name, OPERATIONS_GROUP);
	if (!out->members.at)
		return false;
	LIST_EACH (&e->consumer->members, node, tmp) {
		if (!describe_member(req, CONTAINER_OF(node, struct consumer_member, node),
		        &out->members.at[out->members.count++]))
			return false;
	}
	return true;
}

void handle_consumer_group_describe(struct request *req)
{
	const struct consumer_group_describe_request *body = req->body;
	struct consumer_group_describe_response *r = req->response;
	r->groups.at =
	    request_new(req, &consumer_group_describe_response_group_shape, body->group_ids.count);
	bool ok = r->groups.at != NULL;
	for (uint32_t i = 0; ok && i < body->group_ids.count; i++) {
		ok = describe_group(req, body->group_ids.at[i], &r->groups.at[i]);
		r->groups.count++;
	}
	if (ok)
		request_answer(req);
	else
		request_fail(req, ERR_LIMIT);
}
