/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of what each api does to what, as Kafka has it, and the checks over it. Invariant A2
 * (auth.h): an api that is not here is refused as soon as anything is restricted.
 */
#include "broker/auth/access.h"
#include "broker/auth/auth.h"
#include "broker/kafka/server.h"

enum access_way {
	ACCESS_FREE = 1, /* tells nothing that is worth hiding */
	ACCESS_PARTS,    /* the handler asks, part by part */
	/* settled here: the one resource of the request; a refusal is the answer's error code */
	ACCESS_CLUSTER,
	ACCESS_GROUP,
	ACCESS_TRANSACTION,
};
struct access_rule {
	int16_t key;
	uint8_t way;
	uint8_t topic, group, cluster, transactional_id; /* operation; 0: touches none */
	uint16_t name_at, error_at;                      /* in the body, in the response */
};

#define ERROR_AT(response)      .error_at = offsetof(struct response, error_code)
#define TRANSACTION_AT(request) .name_at = offsetof(struct request, transactional_id)
#define GROUP_AT(request)       .name_at = offsetof(struct request, group_id)

static const struct access_rule rules[] = {
    {API_PRODUCE, ACCESS_PARTS, .topic = ACL_WRITE, .transactional_id = ACL_WRITE},
    {API_FETCH, ACCESS_PARTS, .topic = ACL_READ},
    {API_LIST_OFFSETS, ACCESS_PARTS, .topic = ACL_DESCRIBE},
    {API_METADATA, ACCESS_PARTS, .topic = ACL_DESCRIBE},
    {API_OFFSET_COMMIT, ACCESS_PARTS, .topic = ACL_READ, .group = ACL_READ},
    {API_OFFSET_FETCH, ACCESS_PARTS, .topic = ACL_DESCRIBE, .group = ACL_DESCRIBE},
    {API_FIND_COORDINATOR, ACCESS_PARTS, .group = ACL_DESCRIBE, .transactional_id = ACL_DESCRIBE},
    {API_JOIN_GROUP, ACCESS_GROUP, .group = ACL_READ, GROUP_AT(join_group_request),
        ERROR_AT(join_group_response)},
    {API_HEARTBEAT, ACCESS_GROUP, .group = ACL_READ, GROUP_AT(heartbeat_request),
        ERROR_AT(heartbeat_response)},
    {API_LEAVE_GROUP, ACCESS_GROUP, .group = ACL_READ, GROUP_AT(leave_group_request),
        ERROR_AT(leave_group_response)},
    {API_SYNC_GROUP, ACCESS_GROUP, .group = ACL_READ, GROUP_AT(sync_group_request),
        ERROR_AT(sync_group_response)},
    {API_DESCRIBE_GROUPS, ACCESS_PARTS, .group = ACL_DESCRIBE},
    {API_LIST_GROUPS, ACCESS_PARTS, .group = ACL_DESCRIBE, .cluster = ACL_DESCRIBE},
    {.key = API_API_VERSIONS, .way = ACCESS_FREE},
    {.key = API_SASL_HANDSHAKE, .way = ACCESS_FREE}, /* sasl.h says when */
    {.key = API_SASL_AUTHENTICATE, .way = ACCESS_FREE},
    {API_CREATE_TOPICS, ACCESS_PARTS, .topic = ACL_CREATE, .cluster = ACL_CREATE},
    {API_DELETE_TOPICS, ACCESS_PARTS, .topic = ACL_DELETE},
    {API_DELETE_RECORDS, ACCESS_PARTS, .topic = ACL_DELETE},
    {API_INIT_PRODUCER_ID, ACCESS_PARTS, .cluster = ACL_IDEMPOTENT_WRITE,
        .transactional_id = ACL_WRITE},
    {API_OFFSET_FOR_LEADER_EPOCH, ACCESS_PARTS, .topic = ACL_DESCRIBE},
    {API_ADD_PARTITIONS_TO_TXN, ACCESS_PARTS, .topic = ACL_WRITE, .transactional_id = ACL_WRITE},
    {API_ADD_OFFSETS_TO_TXN, ACCESS_TRANSACTION, .group = ACL_READ, .transactional_id = ACL_WRITE,
        TRANSACTION_AT(add_offsets_to_txn_request), ERROR_AT(add_offsets_to_txn_response)},
    {API_END_TXN, ACCESS_TRANSACTION, .transactional_id = ACL_WRITE,
        TRANSACTION_AT(end_txn_request), ERROR_AT(end_txn_response)},
    {API_WRITE_TXN_MARKERS, ACCESS_PARTS, .cluster = ACL_ALTER},
    {API_TXN_OFFSET_COMMIT, ACCESS_PARTS, .topic = ACL_READ, .group = ACL_READ,
        .transactional_id = ACL_WRITE},
    {API_DESCRIBE_ACLS, ACCESS_CLUSTER, .cluster = ACL_DESCRIBE, ERROR_AT(describe_acls_response)},
    {API_CREATE_ACLS, ACCESS_PARTS, .cluster = ACL_ALTER},
    {API_DELETE_ACLS, ACCESS_PARTS, .cluster = ACL_ALTER},
    {API_DESCRIBE_CONFIGS, ACCESS_PARTS, .topic = ACL_DESCRIBE_CONFIGS,
        .group = ACL_DESCRIBE_CONFIGS, .cluster = ACL_DESCRIBE_CONFIGS},
    {API_ALTER_CONFIGS, ACCESS_PARTS, .topic = ACL_ALTER_CONFIGS, .group = ACL_ALTER_CONFIGS,
        .cluster = ACL_ALTER_CONFIGS},
    {API_DESCRIBE_LOG_DIRS, ACCESS_CLUSTER, .cluster = ACL_DESCRIBE,
        ERROR_AT(describe_log_dirs_response)},
    {API_CREATE_PARTITIONS, ACCESS_PARTS, .topic = ACL_ALTER},
    {API_DELETE_GROUPS, ACCESS_PARTS, .group = ACL_DELETE},
    {API_ELECT_LEADERS, ACCESS_PARTS, .cluster = ACL_ALTER},
    {API_ALTER_PARTITION_REASSIGNMENTS, ACCESS_CLUSTER, .cluster = ACL_ALTER,
        ERROR_AT(alter_partition_reassignments_response)},
    {API_LIST_PARTITION_REASSIGNMENTS, ACCESS_CLUSTER, .cluster = ACL_DESCRIBE,
        ERROR_AT(list_partition_reassignments_response)},
    {API_INCREMENTAL_ALTER_CONFIGS, ACCESS_PARTS, .topic = ACL_ALTER_CONFIGS,
        .group = ACL_ALTER_CONFIGS, .cluster = ACL_ALTER_CONFIGS},
    {API_OFFSET_DELETE, ACCESS_GROUP, .group = ACL_DELETE, .topic = ACL_READ,
        GROUP_AT(offset_delete_request), ERROR_AT(offset_delete_response)},
    {API_DESCRIBE_CLIENT_QUOTAS, ACCESS_CLUSTER, .cluster = ACL_DESCRIBE_CONFIGS,
        ERROR_AT(describe_client_quotas_response)},
    {API_ALTER_CLIENT_QUOTAS, ACCESS_PARTS, .cluster = ACL_ALTER_CONFIGS},
    {API_UPDATE_FEATURES, ACCESS_CLUSTER, .cluster = ACL_ALTER, ERROR_AT(update_features_response)},
    {API_DESCRIBE_PRODUCERS, ACCESS_PARTS, .topic = ACL_READ},
    {API_DESCRIBE_TRANSACTIONS, ACCESS_PARTS, .transactional_id = ACL_DESCRIBE},
    {API_LIST_TRANSACTIONS, ACCESS_PARTS, .transactional_id = ACL_DESCRIBE},
    {.key = API_DESCRIBE_CLUSTER, .way = ACCESS_FREE},
    {API_DESCRIBE_USER_SCRAM_CREDENTIALS, ACCESS_CLUSTER, .cluster = ACL_DESCRIBE,
        ERROR_AT(describe_user_scram_credentials_response)},
    {API_ALTER_USER_SCRAM_CREDENTIALS, ACCESS_PARTS, .cluster = ACL_ALTER},
    {API_CONSUMER_GROUP_HEARTBEAT, ACCESS_GROUP, .group = ACL_READ, .topic = ACL_DESCRIBE,
        GROUP_AT(consumer_group_heartbeat_request), ERROR_AT(consumer_group_heartbeat_response)},
    {API_CONSUMER_GROUP_DESCRIBE, ACCESS_PARTS, .group = ACL_DESCRIBE, .topic = ACL_DESCRIBE},
    {API_LIST_CONFIG_RESOURCES, ACCESS_CLUSTER, .cluster = ACL_DESCRIBE_CONFIGS,
        ERROR_AT(list_config_resources_response)},
    {API_DESCRIBE_TOPIC_PARTITIONS, ACCESS_PARTS, .topic = ACL_DESCRIBE},
};

static const struct access_rule *rule_of(const struct request *req)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		if (rules[i].key == req->api->key)
			return &rules[i];
	}
	return NULL;
}

/* ---- questions ------------------------------------------------------------------------------- */

static struct acl_query query_of(const struct request *req, enum acl_operation operation,
    enum acl_resource resource, struct str name)
{
	const struct conn *c = req->conn;
	return (struct acl_query){.principal = conn_principal(c),
	    .host = str_of(c->peer.host),
	    .operation = operation,
	    .resource = resource,
	    .name = name};
}

bool access_allows(const struct request *req, enum acl_operation operation,
    enum acl_resource resource, struct str name)
{
	const struct auth *auth = req->broker->auth;
	if (!auth_restricts(auth))
		return true;
	struct acl_query q = query_of(req, operation, resource, name);
	return auth_allows(auth, &q);
}

bool access_allows_some(
    const struct request *req, enum acl_operation operation, enum acl_resource resource)
{
	const struct auth *auth = req->broker->auth;
	if (!auth_restricts(auth))
		return true;
	struct acl_query q = query_of(req, operation, resource, STR(""));
	return auth_allows_some(auth, &q);
}

int32_t access_operations(
    const struct request *req, enum acl_resource resource, struct str name, int32_t operations)
{
	int32_t allowed = 0;
	if (!auth_restricts(req->broker->auth))
		return operations;
	for (int op = ACL_READ; op <= ACL_IDEMPOTENT_WRITE; op++) {
		if ((operations & 1 << op) &&
		    access_allows(req, (enum acl_operation)op, resource, name))
			allowed |= 1 << op;
	}
	return allowed;
}

/* An operation that the table does not have for this api is nobody's. */
static bool ruled(
    const struct request *req, size_t operation_at, enum acl_resource resource, struct str name)
{
	const struct access_rule *rule = rule_of(req);
	uint8_t operation = rule ? *((const uint8_t *)rule + operation_at) : 0;
	if (!auth_restricts(req->broker->auth))
		return true;
	if (operation == 0)
		return auth_is_super(req->broker->auth, conn_principal(req->conn));
	return access_allows(req, operation, resource, name);
}

/* With what is in there, passwords could be tried out at leisure: the log's own, whoever asks. */
static bool is_secret(const struct request *req, struct str name)
{
	return req->api->key == API_FETCH && str_equal(name, USERS_TOPIC);
}

enum err access_topic(const struct request *req, struct str name)
{
	bool ok = !is_secret(req, name) &&
	          ruled(req, offsetof(struct access_rule, topic), ACL_TOPIC, name);
	return ok ? ERR_OK : ERR_TOPIC_DENIED;
}

enum err access_group(const struct request *req, struct str name)
{
	bool ok = ruled(req, offsetof(struct access_rule, group), ACL_GROUP, name);
	return ok ? ERR_OK : ERR_GROUP_DENIED;
}

enum err access_transactional_id(const struct request *req, struct str name)
{
	bool ok =
	    ruled(req, offsetof(struct access_rule, transactional_id), ACL_TRANSACTIONAL_ID, name);
	return ok ? ERR_OK : ERR_TRANSACTIONAL_ID;
}

enum err access_cluster(const struct request *req)
{
	bool ok = ruled(req, offsetof(struct access_rule, cluster), ACL_CLUSTER, ACL_CLUSTER_NAME);
	return ok ? ERR_OK : ERR_CLUSTER_DENIED;
}

struct str access_viewer(struct request *req)
{
	const struct auth *auth = req->broker->auth;
	struct str principal = conn_principal(req->conn);
	if (!auth_restricts(auth) || auth_is_super(auth, principal))
		return STR("");
	struct str host = auth->acls.hosts ? str_of(req->conn->peer.host) : STR("");
	return request_text(req, STR_FMT "\n" STR_FMT, STR_ARG(host), STR_ARG(principal));
}

/* ---- before the handler ---------------------------------------------------------------------- */

static enum err settle(struct request *req, const struct access_rule *rule)
{
	struct str name = {NULL, 0};
	enum err err = ERR_OK;
	if (rule->way >= ACCESS_GROUP)
		memcpy(&name, (const uint8_t *)req->body + rule->name_at, sizeof(name));
	if (rule->way == ACCESS_CLUSTER) {
		err = access_cluster(req);
	} else if (rule->way == ACCESS_GROUP) {
		err = access_group(req, name);
	} else if (rule->way == ACCESS_TRANSACTION) {
		err = access_transactional_id(req, name);
	}
	if (err == ERR_OK)
		return ERR_OK;
	int16_t code = err_kafka(err);
	memcpy((uint8_t *)req->response + rule->error_at, &code, sizeof(code));
	request_answer(req);
	return ERR_CANCELLED;
}

enum err access_admit(struct request *req)
{
	const struct auth *auth = req->broker->auth;
	if (!auth_restricts(auth))
		return ERR_OK;
	const struct access_rule *rule = rule_of(req);
	if (rule)
		return settle(req, rule);
	return auth_is_super(auth, conn_principal(req->conn)) ? ERR_OK : ERR_PERMISSION;
}
