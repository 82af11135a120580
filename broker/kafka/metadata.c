/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metadata: which topics there are and who leads their partitions. Topics
 * asked for by name are created first, where server and client allow it.
 */
#include "broker/auth/access.h"
#include "broker/kafka/handlers.h"
#include "broker/quotas/quotas.h"

/* ---- Metadata -------------------------------------------------------------------------------- */

/* State of a request that creates topics first. */
struct metadata {
	struct request *req;
	uint32_t pending;
	struct metadata_create {
		struct log_topic_req topic;
		struct metadata *owner;
		uint32_t index; /* in the request */
	} * creates;
	uint32_t create_count;
	enum err *errors; /* by index in the request: why it could not be created */
};

static bool fill_partitions(struct request *req, const struct log_topic *t,
    const struct nodes *nodes, struct metadata_response_topic *out)
{
	size_t count = (size_t)t->partition_count;
	out->partitions.at = request_new(req, &metadata_response_partition_shape, count);
	if (!out->partitions.at)
		return false;
	out->partitions.count = (uint32_t)count;
	for (uint32_t i = 0; i < count; i++) {
		struct metadata_response_partition *p = &out->partitions.at[i];
		struct log_partition *partition = log_partition_find(req->log, t, (int32_t)i);
		struct log_partition_status s = {0};
		if (partition)
			log_partition_status(partition, &s);
		p->partition_index = (int32_t)i;
		p->replica_nodes.at = p->isr_nodes.at = nodes_copies(nodes, t, (int32_t)i);
		p->replica_nodes.count = p->isr_nodes.count = nodes->count;
		p->leader_id = p->replica_nodes.at[0];
		p->leader_epoch = (int32_t)s.leader_epoch;
	}
	return true;
}

static bool fill_topic(struct request *req, const struct log_topic *t, const struct nodes *nodes,
    struct metadata_response_topic *out)
{
	const struct metadata_request *body = req->body;
	out->name = t->name;
	out->topic_id = t->id;
	out->is_internal = t->internal;
	if (body->include_topic_authorized_operations)
		out->topic_authorized_operations =
		    access_operations(req, ACL_TOPIC, t->name, OPERATIONS_TOPIC);
	return fill_partitions(req, t, nodes, out);
}

static bool fill_all(struct request *req, const struct nodes *nodes)
{
	struct metadata_response *r = req->response;
	size_t count = log_topic_count(req->log), cursor = 0;
	uint32_t n = 0;
	const struct log_topic *t;
	r->topics.at = request_new(req, &metadata_response_topic_shape, count);
	if (!r->topics.at)
		return false;
	while (n < count && (t = log_topic_next(req->log, &cursor))) {
		if (access_topic(req, t->name) != ERR_OK)
			continue;
		if (!fill_topic(req, t, nodes, &r->topics.at[n++]))
			return false;
	}
	r->topics.count = n;
	return true;
}

/* One that is asked for. `failed`: why it could not be created. */
static bool fill_one(struct request *req, const struct nodes *nodes,
    const struct metadata_request_topic *asked, enum err failed,
    struct metadata_response_topic *out)
{
	enum err err = ERR_OK;
	const struct log_topic *t = topic_named(req, asked->name, asked->topic_id, &err);
	if (t)
		return fill_topic(req, t, nodes, out);
	/* a topic that could not be created says why, unless it may be there by now */
	if (failed != ERR_OK && failed != ERR_TOPIC_EXISTS)
		err = failed;
	out->error_code = err_kafka(err);
	out->name = asked->name;
	if (!asked->name.ptr && req->version < 12)
		out->name = STR("");
	out->topic_id = asked->topic_id;
	return true;
}

/* Those asked for are a set, as in Kafka: who names one twice gets it once. */
static bool fill_named(struct request *req, const struct nodes *nodes, const enum err *errors)
{
	const struct metadata_request *body = req->body;
	struct metadata_response *r = req->response;
	uint32_t count = body->topics.count;
	struct map seen;
	bool ok = true;
	r->topics.at = request_new(req, &metadata_response_topic_shape, count);
	if (!r->topics.at)
		return false;
	map_init(&seen);
	for (uint32_t i = 0; ok && i < count; i++) {
		const struct metadata_request_topic *asked = &body->topics.at[i];
		struct bytes key = asked->name.ptr
		                       ? str_bytes(asked->name)
		                       : bytes_of(&asked->topic_id, sizeof(asked->topic_id));
		if (map_get(&seen, key))
			continue;
		ok = map_put(&seen, key, r) == ERR_OK &&
		     fill_one(req, nodes, asked, errors ? errors[i] : ERR_OK,
		         &r->topics.at[r->topics.count++]);
	}
	map_release(&seen);
	return ok;
}

static bool wants_all(const struct request *req)
{
	const struct metadata_request *body = req->body;
	return !body->topics.at || (req->version == 0 && body->topics.count == 0);
}

static void answer_metadata(struct request *req, const enum err *errors)
{
	const struct metadata_request *body = req->body;
	struct metadata_response *r = req->response;
	struct nodes nodes;
	if (!request_nodes(req, &nodes) ||
	    !(r->brokers.at = request_new(req, &metadata_response_broker_shape, nodes.count))) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	r->brokers.count = nodes.count;
	for (uint32_t i = 0; i < nodes.count; i++) {
		r->brokers.at[i].node_id = nodes.at[i].id;
		r->brokers.at[i].host = nodes.at[i].endpoint.host;
		r->brokers.at[i].port = nodes.at[i].endpoint.port;
	}
	r->cluster_id = broker_cluster_id(req->broker);
	r->controller_id = nodes.at[0].id;
	if (body->include_cluster_authorized_operations)
		r->cluster_authorized_operations =
		    access_operations(req, ACL_CLUSTER, ACL_CLUSTER_NAME, OPERATIONS_CLUSTER);
	if (!(wants_all(req) ? fill_all(req, &nodes) : fill_named(req, &nodes, errors))) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	request_answer(req);
}

static void on_created(struct log_topic_req *topic)
{
	struct metadata_create *create = CONTAINER_OF(topic, struct metadata_create, topic);
	struct metadata *m = create->owner;
	m->errors[create->index] = topic->err;
	ASSERT(m->pending > 0);
	if (--m->pending == 0)
		answer_metadata(m->req, m->errors);
}

static bool is_to_create(struct request *req, const struct metadata_request_topic *asked)
{
	enum err err;
	return asked->name.ptr && log_uuid_is_zero(asked->topic_id) &&
	       !topic_named(req, asked->name, asked->topic_id, &err) && err == ERR_UNKNOWN_TOPIC &&
	       !log_topic_name_reserved(asked->name);
}

static bool may_create(const struct request *req, struct str name)
{
	return access_allows(req, ACL_CREATE, ACL_CLUSTER, ACL_CLUSTER_NAME) ||
	       access_allows(req, ACL_CREATE, ACL_TOPIC, name);
}

/* Who asks again gets the next. */
enum { CREATES_MAX = 200 };

static enum err add_missing(struct metadata *m, struct map *seen, uint32_t i)
{
	struct request *req = m->req;
	struct str name = ((const struct metadata_request *)req->body)->topics.at[i].name;
	if (m->create_count == CREATES_MAX || map_get(seen, str_bytes(name)))
		return ERR_OK;
	if (!may_create(req, name)) {
		m->errors[i] = ERR_TOPIC_DENIED;
		return ERR_OK;
	}
	TRY(map_put(seen, str_bytes(name), m));
	struct metadata_create *c = &m->creates[m->create_count++];
	c->owner = m;
	c->index = i;
	c->topic.op = LOG_TOPIC_CREATE;
	c->topic.name = name;
	c->topic.partition_count = req->broker->options.default_partitions;
	c->topic.done = on_created;
	return ERR_OK;
}

/* Prepares the creation of what is missing, each once and not too much at a time. */
static enum err create_missing(struct request *req, struct metadata *m)
{
	const struct metadata_request *body = req->body;
	uint32_t count = body->topics.count;
	m->req = req;
	m->errors = request_alloc(req, count * sizeof(*m->errors));
	if (!m->errors)
		return ERR_LIMIT;
	m->creates = request_alloc(req, CREATES_MAX * sizeof(*m->creates));
	if (!m->creates)
		return ERR_LIMIT;
	struct map seen;
	enum err err = ERR_OK;
	map_init(&seen);
	for (uint32_t i = 0; i < count && err == ERR_OK; i++)
		if (is_to_create(req, &body->topics.at[i]))
			err = add_missing(m, &seen, i);
	map_release(&seen);
	return err;
}

void handle_metadata(struct request *req)
{
	const struct metadata_request *body = req->body;
	bool creates = body->allow_auto_topic_creation && !req->broker->options.no_auto_create;
	if (wants_all(req) || !creates) {
		answer_metadata(req, NULL);
		return;
	}
	struct metadata *m = request_alloc(req, sizeof(*m));
	if (!m || create_missing(req, m) != ERR_OK) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	m->pending = m->create_count;
	if (m->pending == 0) {
		answer_metadata(req, m->errors);
		return;
	}
	(void)request_charge(
	    req, QUOTA_MUTATION, (double)m->create_count * req->broker->options.default_partitions);
	for (uint32_t i = 0; i < m->create_count; i++)
		log_topic_submit(req->log, &m->creates[i].topic);
}
