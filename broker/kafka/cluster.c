/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests about the server itself: what it speaks, where it is, and that it coordinates every
 * group.
 */
#include "broker/auth/access.h"
#include "broker/kafka/handlers.h"
#include "broker/kafka/transactions.h"
#include <stdio.h>

/* ---- shared by the handlers ------------------------------------------------------------------ */

struct str broker_cluster_id(const struct broker *b)
{
	return str_of(b->options.cluster_id);
}

const struct log_topic *topic_named(
    const struct request *req, struct str name, struct log_uuid id, enum err *ret_err)
{
	bool by_id = !log_uuid_is_zero(id);
	const struct log_topic *t =
	    by_id ? log_topic_by_id(req->log, id) : log_topic_find(req->log, name);
	/* who may not know of a topic does not learn whether it is there */
	struct str named = t ? t->name : by_id ? (struct str){NULL, 0} : name;
	enum err denied = named.ptr ? access_topic(req, named) : ERR_OK;
	if (denied != ERR_OK) {
		*ret_err = denied;
		err_clear();
		return NULL;
	}
	if (t)
		return t;
	/* a version that has ids but no name says so even for the zero id */
	if (by_id || !name.ptr)
		*ret_err = ERR_UNKNOWN_TOPIC_ID;
	else
		*ret_err =
		    log_topic_name_check(name) == ERR_OK ? ERR_UNKNOWN_TOPIC : ERR_INVALID_TOPIC;
	err_clear();
	return NULL;
}

struct str request_error_text(struct request *req, enum err err)
{
	const char *chain = err_chain();
	if (chain[0])
		return request_text(req, "%s: %s", err_text(err), chain);
	return request_text(req, "%s", err_text(err));
}

/* ---- ApiVersions ----------------------------------------------------------------------------- */

/* KIP-511: letters, digits, and . - inside. */
static bool is_software_name(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];
		bool plain =
		    (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		bool inner = i > 0 && i + 1 < s.len && (c == '.' || c == '-');
		if (!plain && !inner)
			return false;
	}
	return s.len > 0;
}

/*
 * What this server can do that clients ask for by name, at its highest level once and for all:
 * group.version 1 is the consumer protocol (KIP-848), transaction.version 2 the epoch that rises
 * with each transaction (KIP-890). A feature whose minimum is 0 is not for those before version 4
 * (KAFKA-17011).
 */
static const struct feature {
	struct str name;
	int16_t level;
} features[] = {
    {{"group.version", 13}, 1},
    {{"transaction.version", 19}, 2},
};
enum { FEATURE_COUNT = sizeof(features) / sizeof(features[0]) };

static bool fill_features(struct request *req)
{
	struct api_versions_response *r = req->response;
	r->finalized_features_epoch = 0;
	r->finalized_features.at =
	    request_new(req, &api_versions_response_finalized_shape, FEATURE_COUNT);
	r->supported_features.at =
	    request_new(req, &api_versions_response_supported_shape, FEATURE_COUNT);
	if (!r->finalized_features.at || !r->supported_features.at)
		return false;
	r->finalized_features.count = FEATURE_COUNT;
	r->supported_features.count = req->version >= 4 ? FEATURE_COUNT : 0;
	for (size_t i = 0; i < FEATURE_COUNT; i++) {
		const struct feature *f = &features[i];
		r->finalized_features.at[i] = (struct api_versions_response_finalized){
		    .name = f->name, .max_version_level = f->level, .min_version_level = f->level};
		r->supported_features.at[i] = (struct api_versions_response_supported){
		    .name = f->name, .min_version = 0, .max_version = f->level};
	}
	return true;
}

/* Levels stand: what is asked for must be what is there. */
static enum err update_check(const struct update_features_request_update *u)
{
	for (size_t i = 0; i < FEATURE_COUNT; i++) {
		if (!str_equal(u->feature, features[i].name))
			continue;
		if (u->max_version_level == features[i].level)
			return ERR_OK;
		return err_note(ERR_UPDATE_VERSION,
		    STR_FMT " stays at %d in this version of the server", STR_ARG(u->feature),
		    features[i].level);
	}
	return err_note(
	    ERR_UPDATE_VERSION, "feature " STR_FMT " is not known", STR_ARG(u->feature));
}

/* All of them or none: the first that cannot be is the answer, in every version, as Kafka 4's. */
void handle_update_features(struct request *req)
{
	const struct update_features_request *body = req->body;
	struct update_features_response *r = req->response;
	uint32_t count = body->feature_updates.count;
	enum err err = ERR_OK;
	r->results.at = request_new(req, &update_features_response_result_shape, count);
	if (!r->results.at) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	for (uint32_t i = 0; i < count && err == ERR_OK; i++) {
		r->results.at[r->results.count++].feature = body->feature_updates.at[i].feature;
		err = update_check(&body->feature_updates.at[i]);
	}
	if (err != ERR_OK) {
		r->results.count = 0;
		r->error_code = err_kafka(err);
		r->error_message = request_error_text(req, err);
		err_clear();
	}
	request_answer(req);
}

void handle_api_versions(struct request *req)
{
	const struct api_versions_request *body = req->body;
	struct api_versions_response *r = req->response;
	size_t count = 0;
	if (req->version < 0)
		r->error_code = err_kafka(ERR_UNSUPPORTED_VERSION);
	if (req->version >= 3 && (!is_software_name(body->client_software_name) ||
	                             !is_software_name(body->client_software_version))) {
		r->error_code = err_kafka(ERR_INVALID_REQUEST);
		request_answer(req);
		return;
	}
	while (dispatch_at(count))
		count++;
	r->api_keys.at = request_new(req, &api_versions_response_key_shape, count);
	if (!r->api_keys.at || !fill_features(req)) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	r->api_keys.count = (uint32_t)count;
	for (size_t i = 0; i < count; i++) {
		const struct dispatch_row *row = dispatch_at(i);
		r->api_keys.at[i] =
		    (struct api_versions_response_key){row->key, row->advertised_min, row->max};
	}
	request_answer(req);
}

/* ---- FindCoordinator ------------------------------------------------------------------------- */

enum { KEY_TYPE_GROUP, KEY_TYPE_TRANSACTION };

/* What is wrong with asking for the coordinator of such a key; ERR_OK: it is this server. */
static enum err coordinator_error(int8_t key_type)
{
	if (key_type == KEY_TYPE_GROUP || key_type == KEY_TYPE_TRANSACTION)
		return ERR_OK;
	return err_note(ERR_INVALID_REQUEST, "unknown key type %d", key_type);
}

static enum err key_error(const struct request *req, int8_t key_type, struct str key)
{
	TRY(coordinator_error(key_type));
	return key_type == KEY_TYPE_GROUP ? access_group(req, key)
	                                  : access_transactional_id(req, key);
}

static void fill_coordinator(struct request *req, const struct node *node,
    struct find_coordinator_response_coordinator *c, enum err err)
{
	bool ok = err == ERR_OK;
	c->node_id = ok ? node->id : -1;
	c->host = ok ? node->endpoint.host : STR("");
	c->port = ok ? node->endpoint.port : -1;
	c->error_code = err_kafka(err);
	c->error_message = ok ? (struct str){NULL, 0} : request_error_text(req, err);
}

void handle_find_coordinator(struct request *req)
{
	const struct find_coordinator_request *body = req->body;
	struct find_coordinator_response *r = req->response;
	struct find_coordinator_response_coordinator one = {0};
	struct nodes nodes;
	bool single = req->version < 4;
	uint32_t count = body->coordinator_keys.count;
	r->coordinators.at = request_new(req, &find_coordinator_response_coordinator_shape, count);
	if (!r->coordinators.at || !request_nodes(req, &nodes)) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	fill_coordinator(req, nodes_coordinator(&nodes, body->key), &one,
	    single ? key_error(req, body->key_type, body->key) : ERR_OK);
	r->error_code = one.error_code;
	r->error_message = one.error_message;
	r->node_id = one.node_id;
	r->host = one.host;
	r->port = one.port;
	r->coordinators.count = count;
	for (uint32_t i = 0; i < count; i++) {
		struct str key = body->coordinator_keys.at[i];
		fill_coordinator(req, nodes_coordinator(&nodes, key), &r->coordinators.at[i],
		    key_error(req, body->key_type, key));
		r->coordinators.at[i].key = key;
	}
	request_answer(req);
}

/* ---- DescribeCluster ------------------------------------------------------------------------- */

void handle_describe_cluster(struct request *req)
{
	const struct describe_cluster_request *body = req->body;
	struct describe_cluster_response *r = req->response;
	struct nodes nodes;
	r->endpoint_type = body->endpoint_type;
	r->cluster_id = broker_cluster_id(req->broker);
	if (body->endpoint_type != 1) { /* 1 = brokers; controllers cannot be asked here */
		r->error_code = 115;    /* MISMATCHED_ENDPOINT_TYPE */
		r->error_message = STR("this listener is for brokers");
		request_answer(req);
		return;
	}
	if (!request_nodes(req, &nodes) ||
	    !(r->brokers.at =
	            request_new(req, &describe_cluster_response_broker_shape, nodes.count))) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	r->controller_id = nodes.at[0].id;
	r->brokers.count = nodes.count;
	for (uint32_t i = 0; i < nodes.count; i++) {
		r->brokers.at[i].broker_id = nodes.at[i].id;
		r->brokers.at[i].host = nodes.at[i].endpoint.host;
		r->brokers.at[i].port = nodes.at[i].endpoint.port;
	}
	if (body->include_cluster_authorized_operations)
		r->cluster_authorized_operations =
		    access_operations(req, ACL_CLUSTER, ACL_CLUSTER_NAME, OPERATIONS_CLUSTER);
	request_answer(req);
}

/* ---- InitProducerId -------------------------------------------------------------------------- */

struct init_producer_id {
	struct log_producer_id_req id;
	struct request *req;
};

static void on_producer_id(struct log_producer_id_req *id)
{
	struct init_producer_id *state = CONTAINER_OF(id, struct init_producer_id, id);
	struct init_producer_id_response *r = state->req->response;
	bool ok = id->err == ERR_OK;
	r->error_code = err_kafka(id->err);
	r->producer_id = ok ? id->producer_id : -1;
	r->producer_epoch = ok ? 0 : -1;
	request_answer(state->req);
}

/* An idempotent producer gets a fresh id each time, also when it says which one it had (KIP-360).
 */
void handle_init_producer_id(struct request *req)
{
	const struct init_producer_id_request *body = req->body;
	if (body->transactional_id.ptr) {
		handle_init_transaction(req);
		return;
	}
	struct init_producer_id_response *r = req->response;
	/* who may write to a topic may do so idempotently (KIP-679) */
	if (access_cluster(req) != ERR_OK && !access_allows_some(req, ACL_WRITE, ACL_TOPIC)) {
		r->error_code = err_kafka(ERR_CLUSTER_DENIED);
		r->producer_epoch = -1;
		request_answer(req);
		return;
	}
	struct init_producer_id *state = request_alloc(req, sizeof(*state));
	if (!state) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	state->req = req;
	state->id.done = on_producer_id;
	log_producer_id(req->log, &state->id);
}
