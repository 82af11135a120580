/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Access lists over loopback: the requests that keep them, and every api before them. The one
 * client is User:ANONYMOUS; restarts make it a super user or take that away.
 */
#include "test/lib/kafka_pair.h"
#include "broker/auth/access.h"
#include "broker/auth/acl.h"
#include "broker/groups/consumer.h"
#include "broker/kafka/server.h"
#include "test/lib/test.h"
#include <stdlib.h>

static const struct broker_options ruled = {
    .super_users = "User:x;User:ANONYMOUS", .allow_if_no_acl = -1};
static const struct broker_options closed = {.allow_if_no_acl = -1};

/* ---- keeping entries ------------------------------------------------------------------------- */

typedef struct create_acls_request_creation entry;

static entry grant(enum acl_resource resource, const char *name, enum acl_operation op)
{
	return (entry){.resource_type = (int8_t)resource,
	    .resource_name = str_of(name),
	    .resource_pattern_type = ACL_LITERAL,
	    .principal = STR("User:ANONYMOUS"),
	    .host = STR("*"),
	    .operation = (int8_t)op,
	    .permission_type = ACL_ALLOW};
}

static int16_t add(entry e)
{
	struct create_acls_request body = {.creations = {&e, 1}};
	const struct create_acls_response *r = kafka_call(&c, API_CREATE_ACLS, 3, &body);
	assert_int_equal(r->results.count, 1);
	return r->results.at[0].error_code;
}

static uint32_t count_acls(int16_t version, const char *name)
{
	struct describe_acls_request body = {.resource_type_filter = ACL_RESOURCE_ANY,
	    .pattern_type_filter = ACL_PATTERN_ANY,
	    .operation = ACL_OPERATION_ANY,
	    .permission_type = ACL_PERMISSION_ANY};
	if (name)
		body.resource_name_filter = str_of(name);
	const struct describe_acls_response *r = kafka_call(&c, API_DESCRIBE_ACLS, version, &body);
	uint32_t n = 0;
	assert_int_equal(r->error_code, 0);
	for (uint32_t i = 0; i < r->resources.count; i++)
		n += r->resources.at[i].acls.count;
	return n;
}

static uint32_t drop(int16_t version, const char *name)
{
	struct delete_acls_request_filter f = {.resource_type_filter = ACL_RESOURCE_ANY,
	    .pattern_type_filter = ACL_PATTERN_ANY,
	    .operation = ACL_OPERATION_ANY,
	    .permission_type = ACL_PERMISSION_ANY,
	    .resource_name_filter = str_of(name)};
	struct delete_acls_request body = {.filters = {&f, 1}};
	const struct delete_acls_response *r = kafka_call(&c, API_DELETE_ACLS, version, &body);
	assert_int_equal(r->filter_results.count, 1);
	assert_int_equal(r->filter_results.at[0].error_code, 0);
	return r->filter_results.at[0].matching_acls.count;
}

static void entries_are_kept_over_a_restart_and_deleted_by_filter(void **state)
{
	entry other = grant(ACL_GROUP, "g", ACL_READ), prefix = grant(ACL_TOPIC, "t", ACL_WRITE);
	(void)state;
	prefix.resource_pattern_type = ACL_PREFIXED;
	assert_int_equal(add(grant(ACL_TOPIC, "t", ACL_READ)), 0);
	assert_int_equal(add(grant(ACL_TOPIC, "t", ACL_READ)), 0);
	assert_int_equal(add(prefix), 0);
	assert_int_equal(add(other), 0);
	pair_restart(NULL);
	for (int16_t v = 1; v <= 3; v++) {
		assert_int_equal(count_acls(v, NULL), 3);
		assert_int_equal(count_acls(v, "t"), 2);
		assert_int_equal(drop(v, "nothing"), 0);
		assert_int_equal(drop(v, "t"), 2);
		assert_int_equal(count_acls(v, NULL), 1);
		assert_int_equal(add(grant(ACL_TOPIC, "t", ACL_READ)), 0);
		assert_int_equal(add(prefix), 0);
	}
	assert_int_equal(drop(3, "t"), 2);
	pair_restart(NULL);
	assert_int_equal(count_acls(3, NULL), 1);
}

static void entries_that_mean_nothing_are_refused_and_the_others_kept(void **state)
{
	entry e[3] = {grant(ACL_TOPIC, "a", ACL_READ), grant(ACL_TOPIC, "", ACL_READ),
	    grant(ACL_TOPIC, "b", ACL_READ)};
	struct create_acls_request body = {.creations = {e, 3}};
	(void)state;
	for (int16_t v = 1; v <= 3; v++) {
		const struct create_acls_response *r = kafka_call(&c, API_CREATE_ACLS, v, &body);
		assert_int_equal(r->results.count, 3);
		assert_int_equal(r->results.at[0].error_code, 0);
		assert_int_equal(r->results.at[1].error_code, err_kafka(ERR_INVALID_REQUEST));
		assert_true(r->results.at[1].error_message.len > 0);
		assert_int_equal(r->results.at[2].error_code, 0);
		assert_int_equal(count_acls(v, NULL), 2);
	}
}

/* ---- topics ---------------------------------------------------------------------------------- */

static int16_t produce_error(const char *topic)
{
	return kafka_produce(&c, 7, topic, 0, kafka_batch(&c, 0, 1, "v")).error_code;
}

static int16_t fetch_error(const char *topic)
{
	return kafka_fetch(&c, topic, (struct kafka_fetch){.version = 11}).error_code;
}

static void without_authentication_only_named_resources_are_restricted(void **state)
{
	entry everybody = grant(ACL_TOPIC, "t", ACL_WRITE);
	(void)state;
	kafka_create(&c, "t", 1, NULL);
	kafka_create(&c, "free", 1, NULL);
	everybody.principal = STR("User:*");
	everybody.permission_type = ACL_DENY;
	assert_int_equal(add(everybody), 0);
	assert_int_equal(produce_error("t"), 29);
	assert_int_equal(fetch_error("t"), 29);
	assert_int_equal(produce_error("free"), 0);
	assert_int_equal(fetch_error("free"), 0);
	assert_int_equal(drop(3, "t"), 1);
	assert_int_equal(produce_error("t"), 0);
	assert_int_equal(fetch_error("t"), 0);
}

static uint32_t listed_topics(int16_t version)
{
	struct metadata_request body = {0};
	const struct metadata_response *r = kafka_call(&c, API_METADATA, version, &body);
	uint32_t n = 0;
	for (uint32_t i = 0; i < r->topics.count; i++)
		n += !r->topics.at[i].is_internal;
	return n;
}

static int16_t metadata_error(int16_t version, const char *topic, struct log_uuid id, bool create)
{
	struct metadata_request_topic t = {.name = str_of(topic), .topic_id = id};
	struct metadata_request body = {.topics = {&t, 1}, .allow_auto_topic_creation = create};
	const struct metadata_response *r = kafka_call(&c, API_METADATA, version, &body);
	assert_int_equal(r->topics.count, 1);
	assert_int_equal(r->topics.at[0].partitions.count, r->topics.at[0].error_code == 0);
	return r->topics.at[0].error_code;
}

static void topics_that_may_not_be_described_are_hidden(void **state)
{
	const struct log_uuid none = {{0}};
	struct log_uuid id;
	(void)state;
	pair_restart(&ruled);
	id = kafka_create(&c, "seen", 1, NULL);
	id = kafka_create(&c, "hidden", 1, NULL);
	assert_int_equal(add(grant(ACL_TOPIC, "seen", ACL_READ)), 0);
	assert_int_equal(add(grant(ACL_TOPIC, "made", ACL_DESCRIBE)), 0);
	assert_int_equal(add(grant(ACL_TOPIC, "makable", ACL_CREATE)), 0);
	assert_int_equal(add(grant(ACL_TOPIC, "makable", ACL_DESCRIBE)), 0);
	assert_int_equal(listed_topics(9), 2);
	pair_restart(&closed);
	for (int16_t v = 1; v <= 13; v++) {
		assert_int_equal(listed_topics(v), 1);
		assert_int_equal(metadata_error(v, "seen", none, true), 0);
		assert_int_equal(metadata_error(v, "hidden", none, true), 29);
		assert_int_equal(metadata_error(v, "not-there", none, true), 29);
		assert_int_equal(metadata_error(v, "made", none, true), 29);
	}
	assert_int_equal(metadata_error(12, NULL, id, false), 29);
	assert_int_equal(metadata_error(9, "makable", none, true), 0);
}

static int16_t create_error(const char *topic)
{
	struct create_topics_request_topic t = {
	    .name = str_of(topic), .num_partitions = 1, .replication_factor = 1};
	struct create_topics_request body = {.topics = {&t, 1}, .timeout_ms = 5000};
	const struct create_topics_response *r = kafka_call(&c, API_CREATE_TOPICS, 7, &body);
	return r->topics.at[0].error_code;
}

static int16_t delete_error(const char *topic)
{
	struct delete_topics_request_topic t = {.name = str_of(topic)};
	struct delete_topics_request body = {.topics = {&t, 1}, .timeout_ms = 5000};
	const struct delete_topics_response *r = kafka_call(&c, API_DELETE_TOPICS, 6, &body);
	return r->responses.at[0].error_code;
}

static int16_t partitions_error(const char *topic)
{
	struct create_partitions_request_topic t = {.name = str_of(topic), .count = 2};
	struct create_partitions_request body = {.topics = {&t, 1}};
	const struct create_partitions_response *r =
	    kafka_call(&c, API_CREATE_PARTITIONS, 3, &body);
	return r->results.at[0].error_code;
}

static int16_t records_error(const char *topic)
{
	struct delete_records_request_partition p = {.offset = 0};
	struct delete_records_request_topic t = {.name = str_of(topic), .partitions = {&p, 1}};
	struct delete_records_request body = {.topics = {&t, 1}};
	const struct delete_records_response *r = kafka_call(&c, API_DELETE_RECORDS, 2, &body);
	return r->topics.at[0].partitions.at[0].error_code;
}

static int16_t epoch_error(const char *topic)
{
	struct offset_for_leader_epoch_request_partition p = {.current_leader_epoch = -1};
	struct offset_for_leader_epoch_request_topic t = {
	    .topic = str_of(topic), .partitions = {&p, 1}};
	struct offset_for_leader_epoch_request body = {.replica_id = -1, .topics = {&t, 1}};
	const struct offset_for_leader_epoch_response *r =
	    kafka_call(&c, API_OFFSET_FOR_LEADER_EPOCH, 4, &body);
	return r->topics.at[0].partitions.at[0].error_code;
}

static int16_t list_error(const char *topic)
{
	return kafka_list_offset(&c, 7, topic, 0, -1).error_code;
}

static int16_t configs_error(int8_t type, const char *name)
{
	struct describe_configs_request_resource res = {
	    .resource_type = type, .resource_name = str_of(name)};
	struct describe_configs_request body = {.resources = {&res, 1}};
	const struct describe_configs_response *r = kafka_call(&c, API_DESCRIBE_CONFIGS, 4, &body);
	return r->results.at[0].error_code;
}

static int16_t alter_error(int8_t type, const char *name)
{
	struct incremental_alter_configs_request_config set = {
	    .name = STR("retention.ms"), .value = STR("1000000")};
	struct incremental_alter_configs_request_resource res = {
	    .resource_type = type, .resource_name = str_of(name), .configs = {&set, 1}};
	struct incremental_alter_configs_request body = {.resources = {&res, 1}};
	const struct incremental_alter_configs_response *r =
	    kafka_call(&c, API_INCREMENTAL_ALTER_CONFIGS, 1, &body);
	return r->responses.at[0].error_code;
}

static int16_t pages_error(const char *topic)
{
	struct describe_topic_partitions_request_topic t = {.name = str_of(topic)};
	struct describe_topic_partitions_request body = {
	    .topics = {&t, 1}, .response_partition_limit = 10};
	const struct describe_topic_partitions_response *r =
	    kafka_call(&c, API_DESCRIBE_TOPIC_PARTITIONS, 0, &body);
	return r->topics.at[0].error_code;
}

static int16_t describe_topic_configs(const char *topic)
{
	return configs_error(2, topic);
}

static int16_t alter_topic_configs(const char *topic)
{
	return alter_error(2, topic);
}

static const struct {
	int16_t (*call)(const char *topic);
	enum acl_operation needs;
} topic_calls[] = {
    {produce_error, ACL_WRITE},
    {fetch_error, ACL_READ},
    {list_error, ACL_DESCRIBE},
    {epoch_error, ACL_DESCRIBE},
    {pages_error, ACL_DESCRIBE},
    {describe_topic_configs, ACL_DESCRIBE_CONFIGS},
    {alter_topic_configs, ACL_ALTER_CONFIGS},
    {records_error, ACL_DELETE},
    {partitions_error, ACL_ALTER},
    {delete_error, ACL_DELETE},
    {create_error, ACL_CREATE},
};

static void each_topic_api_needs_its_operation_and_no_more(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(topic_calls) / sizeof(topic_calls[0]); i++) {
		pair_restart(&ruled);
		create_error("t"); /* may be there */
		(void)drop(3, "t");
		pair_restart(&closed);
		assert_int_equal(topic_calls[i].call("t"), 29);
		pair_restart(&ruled);
		for (int op = ACL_READ; op <= ACL_IDEMPOTENT_WRITE; op++) {
			entry e = grant(ACL_TOPIC, "t", (enum acl_operation)op);
			if (op == (int)topic_calls[i].needs)
				continue;
			e.principal = STR("User:somebody-else");
			assert_int_equal(add(e), 0);
		}
		if (topic_calls[i].call == create_error)
			assert_int_equal(delete_error("t"), 0);
		assert_int_equal(add(grant(ACL_TOPIC, "t", topic_calls[i].needs)), 0);
		pair_restart(&closed);
		assert_int_equal(topic_calls[i].call("t"), 0);
	}
}

/* ---- groups, cluster ------------------------------------------------------------------------- */

static int16_t join_error(const char *group)
{
	struct join_group_request_protocol p = {.name = STR("range"), .metadata = bytes_of("", 0)};
	struct join_group_request body = {.group_id = str_of(group),
	    .session_timeout_ms = 600000,
	    .rebalance_timeout_ms = 600000,
	    .member_id = STR(""),
	    .protocol_type = STR("consumer"),
	    .protocols = {&p, 1}};
	const struct join_group_response *r = kafka_call(&c, API_JOIN_GROUP, 5, &body);
	return r->error_code;
}

/* Partitions that the one member of `group` is assigned; it comes with a pattern when its epoch is
 * 0. */
static uint32_t assigned_by_pattern(const char *pattern, int32_t *epoch)
{
	static struct consumer_group_heartbeat_request_topic none;
	struct consumer_group_heartbeat_request body = {.group_id = STR("patterns"),
	    .member_id = STR("m"),
	    .member_epoch = *epoch,
	    .rebalance_timeout_ms = 60000,
	    .subscribed_topic_regex = pattern ? str_of(pattern) : (struct str){NULL, 0},
	    .topic_partitions = {&none, 0}};
	const struct consumer_group_heartbeat_response *r =
	    kafka_call(&c, API_CONSUMER_GROUP_HEARTBEAT, 1, &body);
	uint32_t n = 0;
	assert_int_equal(r->error_code, 0);
	*epoch = r->member_epoch;
	for (uint32_t i = 0; r->assignment && i < r->assignment->topic_partitions.count; i++)
		n += r->assignment->topic_partitions.at[i].partitions.count;
	return n;
}

static void a_pattern_finds_what_its_member_may_describe_and_tells_nothing_else(void **state)
{
	(void)state;
	static const char *const patterns[] = {"rv-.*", "rv-s.*", "rv-secret", "rv-x.*"};
	static const uint32_t found[] = {1, 0, 0, 0};
	int32_t epoch;
	pair_restart(&ruled);
	create_error("rv-a");
	create_error("rv-secret");
	assert_int_equal(add(grant(ACL_GROUP, "patterns", ACL_READ)), 0);
	assert_int_equal(add(grant(ACL_TOPIC, "rv-a", ACL_DESCRIBE)), 0);
	assert_int_equal(add(grant(ACL_TOPIC, "rv-late", ACL_CREATE)), 0);
	assert_int_equal(add(grant(ACL_CLUSTER, "kafka-cluster", ACL_ALTER)), 0);
	pair_restart(&closed);
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		epoch = 0;
		assert_int_equal(assigned_by_pattern(patterns[i], &epoch), found[i]);
		epoch = CONSUMER_LEAVES;
		(void)assigned_by_pattern(NULL, &epoch);
	}
	epoch = 0;
	assert_int_equal(assigned_by_pattern("rv-.*", &epoch), 1);
	assert_int_equal(create_error("rv-late"), 0); /* which it may not describe */
	assert_int_equal(assigned_by_pattern("rv-.*", &epoch), 1);
	/* who it is is stored with it: a restart changes nothing */
	int32_t before = epoch;
	pair_restart(&closed);
	assert_int_equal(assigned_by_pattern("rv-.*", &epoch), 1);
	assert_int_equal(epoch, before);
	/* lists change under it */
	assert_int_equal(add(grant(ACL_TOPIC, "rv-secret", ACL_READ)), 0);
	assert_int_equal(assigned_by_pattern("rv-.*", &epoch), 2);
	assert_int_equal(drop(3, "rv-secret"), 1);
	assert_int_equal(assigned_by_pattern("rv-.*", &epoch), 1);
}

static int16_t coordinator_error(const char *group)
{
	struct str key = str_of(group);
	struct find_coordinator_request old = {.key = key}, body = {.coordinator_keys = {&key, 1}};
	const struct find_coordinator_response *r = kafka_call(&c, API_FIND_COORDINATOR, 2, &old);
	int16_t error = r->error_code;
	r = kafka_call(&c, API_FIND_COORDINATOR, 4, &body);
	assert_int_equal(r->coordinators.at[0].error_code, error);
	return error;
}

static int16_t commit_error(const char *group)
{
	struct offset_commit_request_partition p = {
	    .committed_offset = 0, .committed_leader_epoch = -1, .committed_metadata = STR("")};
	struct offset_commit_request_topic t = {.name = STR("t"), .partitions = {&p, 1}};
	struct offset_commit_request body = {.group_id = str_of(group),
	    .generation_id_or_member_epoch = -1,
	    .member_id = STR(""),
	    .topics = {&t, 1}};
	const struct offset_commit_response *r = kafka_call(&c, API_OFFSET_COMMIT, 8, &body);
	return r->topics.at[0].partitions.at[0].error_code;
}

/* For all topics: how many the answer has. */
static int16_t committed_error(const char *group, uint32_t *ret_topics)
{
	struct offset_fetch_request_group g = {.group_id = str_of(group)};
	struct offset_fetch_request body = {.groups = {&g, 1}};
	const struct offset_fetch_response *r = kafka_call(&c, API_OFFSET_FETCH, 8, &body);
	*ret_topics = r->groups.at[0].topics.count;
	return r->groups.at[0].error_code;
}

static int16_t heartbeat_error(const char *group)
{
	struct heartbeat_request body = {.group_id = str_of(group), .member_id = STR("m")};
	const struct heartbeat_response *r = kafka_call(&c, API_HEARTBEAT, 4, &body);
	return r->error_code;
}

static int16_t describe_group_error(const char *group)
{
	struct str name = str_of(group);
	struct describe_groups_request body = {.groups = {&name, 1}};
	const struct describe_groups_response *r = kafka_call(&c, API_DESCRIBE_GROUPS, 5, &body);
	return r->groups.at[0].error_code;
}

static int16_t delete_group_error(const char *group)
{
	struct str name = str_of(group);
	struct delete_groups_request body = {.groups_names = {&name, 1}};
	const struct delete_groups_response *r = kafka_call(&c, API_DELETE_GROUPS, 2, &body);
	return r->results.at[0].error_code;
}

static uint32_t listed_groups(void)
{
	struct list_groups_request body = {0};
	const struct list_groups_response *r = kafka_call(&c, API_LIST_GROUPS, 4, &body);
	return r->groups.count;
}

static void groups_are_closed_to_those_who_may_not_read_them(void **state)
{
	uint32_t topics;
	(void)state;
	pair_restart(&ruled);
	kafka_create(&c, "t", 1, NULL);
	assert_int_equal(commit_error("g"), 0);
	assert_int_equal(add(grant(ACL_TOPIC, "t", ACL_READ)), 0);
	pair_restart(&closed);
	assert_int_equal(join_error("g"), 30);
	assert_int_equal(heartbeat_error("g"), 30);
	assert_int_equal(coordinator_error("g"), 30);
	assert_int_equal(commit_error("g"), 30);
	assert_int_equal(committed_error("g", &topics), 30);
	assert_int_equal(topics, 0);
	assert_int_equal(describe_group_error("g"), 30);
	assert_int_equal(delete_group_error("g"), 30);
	assert_int_equal(listed_groups(), 0);
	pair_restart(&ruled);
	assert_int_equal(add(grant(ACL_GROUP, "g", ACL_READ)), 0);
	pair_restart(&closed);
	assert_int_equal(join_error("g"), 79);
	assert_int_equal(heartbeat_error("g"), 25);
	assert_int_equal(coordinator_error("g"), 0);
	assert_int_equal(commit_error("g"), 0);
	assert_int_equal(committed_error("g", &topics), 0);
	assert_int_equal(topics, 1);
	assert_int_equal(describe_group_error("g"), 0);
	assert_int_equal(delete_group_error("g"), 30);
	assert_int_equal(listed_groups(), 1);
	pair_restart(&ruled);
	assert_int_equal(drop(3, "t"), 1);
	pair_restart(&closed);
	assert_int_equal(commit_error("g"), 29);
	assert_int_equal(committed_error("g", &topics), 0);
	assert_int_equal(topics, 0);
}

static int16_t producer_error(void)
{
	struct init_producer_id_request body = {.producer_id = -1, .producer_epoch = -1};
	const struct init_producer_id_response *r = kafka_call(&c, API_INIT_PRODUCER_ID, 4, &body);
	return r->error_code;
}

static int16_t dirs_error(void)
{
	struct describe_log_dirs_request body = {0};
	const struct describe_log_dirs_response *r =
	    kafka_call(&c, API_DESCRIBE_LOG_DIRS, 4, &body);
	assert_int_equal(r->results.count, r->error_code == 0);
	return r->error_code;
}

static void cluster_apis_need_the_cluster(void **state)
{
	struct describe_acls_request all = {.resource_type_filter = 1,
	    .pattern_type_filter = 1,
	    .operation = 1,
	    .permission_type = 1};
	const struct describe_acls_response *acls;
	(void)state;
	pair_restart(&closed);
	assert_int_equal(add(grant(ACL_TOPIC, "t", ACL_READ)), 31);
	acls = kafka_call(&c, API_DESCRIBE_ACLS, 3, &all);
	assert_int_equal(acls->error_code, 31);
	assert_int_equal(producer_error(), 31);
	assert_int_equal(dirs_error(), 31);
	assert_int_equal(configs_error(4, "1"), 31);
	assert_int_equal(alter_error(4, "1"), 31);
	pair_restart(&ruled);
	assert_int_equal(count_acls(3, NULL), 0);
	assert_int_equal(add(grant(ACL_TOPIC, "any", ACL_WRITE)), 0);
	assert_int_equal(add(grant(ACL_CLUSTER, "kafka-cluster", ACL_DESCRIBE)), 0);
	pair_restart(&closed);
	assert_int_equal(producer_error(), 0);
	assert_int_equal(dirs_error(), 0);
	assert_int_equal(count_acls(3, NULL), 2);
	assert_int_equal(add(grant(ACL_TOPIC, "t", ACL_READ)), 31);
	assert_int_equal(create_error("t"), 29);
}

/* ---- transactions ---------------------------------------------------------------------------- */

static int16_t init_error(void)
{
	struct init_producer_id_request body = {.transactional_id = STR("x"),
	    .transaction_timeout_ms = 600000,
	    .producer_id = -1,
	    .producer_epoch = -1};
	const struct init_producer_id_response *r = kafka_call(&c, API_INIT_PRODUCER_ID, 4, &body);
	return r->error_code;
}

static int16_t join_transaction_error(void)
{
	int32_t index = 0;
	struct add_partitions_to_txn_request_topic t = {
	    .name = STR("t"), .partitions = {&index, 1}};
	struct add_partitions_to_txn_request body = {
	    .transactional_id = STR("x"), .topics = {&t, 1}};
	const struct add_partitions_to_txn_response *r =
	    kafka_call(&c, API_ADD_PARTITIONS_TO_TXN, 3, &body);
	return r->results_by_topic.at[0].results_by_partition.at[0].partition_error_code;
}

static int16_t join_offsets_error(void)
{
	struct add_offsets_to_txn_request body = {
	    .transactional_id = STR("x"), .group_id = STR("g")};
	const struct add_offsets_to_txn_response *r =
	    kafka_call(&c, API_ADD_OFFSETS_TO_TXN, 3, &body);
	return r->error_code;
}

static int16_t end_error(void)
{
	struct end_txn_request body = {.transactional_id = STR("x"), .committed = true};
	const struct end_txn_response *r = kafka_call(&c, API_END_TXN, 3, &body);
	return r->error_code;
}

static int16_t commit_in_transaction_error(void)
{
	struct txn_offset_commit_request_partition p = {.committed_leader_epoch = -1};
	struct txn_offset_commit_request_topic t = {.name = STR("t"), .partitions = {&p, 1}};
	struct txn_offset_commit_request body = {.transactional_id = STR("x"),
	    .group_id = STR("g"),
	    .generation_id = -1,
	    .member_id = STR(""),
	    .topics = {&t, 1}};
	const struct txn_offset_commit_response *r =
	    kafka_call(&c, API_TXN_OFFSET_COMMIT, 3, &body);
	return r->topics.at[0].partitions.at[0].error_code;
}

static int16_t describe_transaction_error(void)
{
	struct str id = STR("x");
	struct describe_transactions_request body = {.transactional_ids = {&id, 1}};
	const struct describe_transactions_response *r =
	    kafka_call(&c, API_DESCRIBE_TRANSACTIONS, 0, &body);
	return r->transaction_states.at[0].error_code;
}

static uint32_t listed_transactions(void)
{
	struct list_transactions_request body = {.duration_filter = -1};
	const struct list_transactions_response *r =
	    kafka_call(&c, API_LIST_TRANSACTIONS, 1, &body);
	return r->transaction_states.count;
}

static int16_t producers_error(void)
{
	int32_t index = 0;
	struct describe_producers_request_topic t = {
	    .name = STR("t"), .partition_indexes = {&index, 1}};
	struct describe_producers_request body = {.topics = {&t, 1}};
	const struct describe_producers_response *r =
	    kafka_call(&c, API_DESCRIBE_PRODUCERS, 0, &body);
	return r->topics.at[0].partitions.at[0].error_code;
}

static int16_t marker_error(void)
{
	int32_t index = 0;
	struct write_txn_markers_request_topic t = {
	    .name = STR("t"), .partition_indexes = {&index, 1}};
	struct write_txn_markers_request_marker m = {.producer_id = 1, .topics = {&t, 1}};
	struct write_txn_markers_request body = {.markers = {&m, 1}};
	const struct write_txn_markers_response *r =
	    kafka_call(&c, API_WRITE_TXN_MARKERS, 1, &body);
	return r->markers.at[0].topics.at[0].partitions.at[0].error_code;
}

/* The shape of GHSA-47w3-66wq-cpxg: the topic is allowed, the transactional id is not. */
static int16_t produce_as_transaction_error(void)
{
	struct produce_request_partition p = {.records = kafka_batch(&c, 0, 1, "v")};
	struct produce_request_topic t = {.name = STR("t"), .partition_data = {&p, 1}};
	struct produce_request body = {
	    .transactional_id = STR("x"), .acks = -1, .timeout_ms = 5000, .topic_data = {&t, 1}};
	const struct produce_response *r = kafka_call(&c, API_PRODUCE, 7, &body);
	return r->responses.at[0].partition_responses.at[0].error_code;
}

static void transactions_need_their_id_and_what_they_touch(void **state)
{
	(void)state;
	pair_restart(&ruled);
	kafka_create(&c, "t", 1, NULL);
	assert_int_equal(init_error(), 0);
	assert_int_equal(add(grant(ACL_TOPIC, "t", ACL_WRITE)), 0);
	pair_restart(&closed);
	assert_int_equal(produce_error("t"), 0);
	assert_int_equal(produce_as_transaction_error(), 53);
	assert_int_equal(init_error(), 53);
	assert_int_equal(join_transaction_error(), 53);
	assert_int_equal(join_offsets_error(), 53);
	assert_int_equal(end_error(), 53);
	assert_int_equal(commit_in_transaction_error(), 53);
	assert_int_equal(describe_transaction_error(), 53);
	assert_int_equal(listed_transactions(), 0);
	assert_int_equal(producers_error(), 29);
	assert_int_equal(marker_error(), 31);
	pair_restart(&ruled);
	assert_int_equal(add(grant(ACL_TRANSACTIONAL_ID, "x", ACL_WRITE)), 0);
	assert_int_equal(drop(3, "t"), 1);
	pair_restart(&closed);
	assert_int_equal(init_error(), 0);
	assert_int_equal(join_transaction_error(), 29);
	assert_int_equal(join_offsets_error(), 30);
	assert_int_equal(commit_in_transaction_error(), 30);
	assert_int_not_equal(end_error(), 53);
	assert_int_equal(describe_transaction_error(), 0);
	assert_int_equal(listed_transactions(), 1);
	pair_restart(&ruled);
	assert_int_equal(add(grant(ACL_GROUP, "g", ACL_READ)), 0);
	pair_restart(&closed);
	assert_int_equal(commit_in_transaction_error(), 29);
}

static void authorized_operations_are_those_allowed(void **state)
{
	struct metadata_request_topic t = {.name = STR("t")};
	struct metadata_request body = {
	    .topics = {&t, 1}, .include_topic_authorized_operations = true};
	const struct metadata_response *r;
	(void)state;
	pair_restart(&ruled);
	kafka_create(&c, "t", 1, NULL);
	assert_int_equal(add(grant(ACL_TOPIC, "t", ACL_READ)), 0);
	r = kafka_call(&c, API_METADATA, 9, &body);
	assert_int_equal(r->topics.at[0].topic_authorized_operations, 0xdf8);
	pair_restart(&closed);
	r = kafka_call(&c, API_METADATA, 9, &body);
	assert_int_equal(
	    r->topics.at[0].topic_authorized_operations, 1 << ACL_READ | 1 << ACL_DESCRIBE);
}

/* A certificate's name may be 4 KiB; one cut short is somebody else's, whom other entries are for. */
static void who_looks_is_named_in_full(void **state)
{
	(void)state;
	char name[4001];
	pair_restart(&closed);
	memset(name, 'n', sizeof(name) - 1);
	memcpy(name, "User:", 5);
	name[sizeof(name) - 1] = 0;
	struct conn *conn = calloc(1, sizeof(*conn));
	conn->user = name;
	struct request req = {.conn = conn, .broker = server.broker};
	arena_init(&req.arena, MIB);
	struct str viewer = access_viewer(&req);
	assert_int_equal(viewer.len, sizeof(name));
	assert_memory_equal(viewer.ptr, "\nUser:", 6);
	assert_memory_equal(viewer.ptr + 1, name, sizeof(name) - 1);
	arena_release(&req.arena);
	free(conn);
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, pair_start, pair_stop)
	const struct CMUnitTest tests[] = {
	    EACH (entries_are_kept_over_a_restart_and_deleted_by_filter),
	    EACH (entries_that_mean_nothing_are_refused_and_the_others_kept),
	    EACH (without_authentication_only_named_resources_are_restricted),
	    EACH (topics_that_may_not_be_described_are_hidden),
	    EACH (each_topic_api_needs_its_operation_and_no_more),
	    EACH (groups_are_closed_to_those_who_may_not_read_them),
	    EACH (a_pattern_finds_what_its_member_may_describe_and_tells_nothing_else),
	    EACH (who_looks_is_named_in_full),
	    EACH (cluster_apis_need_the_cluster),
	    EACH (transactions_need_their_id_and_what_they_touch),
	    EACH (authorized_operations_are_those_allowed),
	};
	pair_backend = "threads";
	return cmocka_run_group_tests(tests, NULL, NULL);
}
