/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metadata and administration over loopback with hand-made requests, on both I/O backends.
 */
#include "test/lib/kafka_pair.h"
#include "test/lib/test.h"
#include <stdio.h>
#include <sys/statvfs.h>

/* ---- Metadata -------------------------------------------------------------------------------- */

static const struct metadata_response *metadata_of(int16_t version, const char *topic, bool create)
{
	struct metadata_request_topic t = {.name = str_of(topic)};
	struct metadata_request body = {.topics = {&t, 1}, .allow_auto_topic_creation = create};
	return kafka_call(&c, API_METADATA, version, &body);
}

static void metadata_names_this_server_in_every_version(void **state)
{
	(void)state;
	kafka_create(&c, "t", 3, NULL);
	for (int16_t v = 0; v <= 13; v++) {
		const struct metadata_response *r = metadata_of(v, "t", false);
		assert_int_equal(r->brokers.count, 1);
		assert_int_equal(r->brokers.at[0].node_id, 1);
		assert_int_equal(r->brokers.at[0].port, server.port);
		assert_true(str_equal(r->brokers.at[0].host, STR("127.0.0.1")));
		if (v >= 1)
			assert_int_equal(r->controller_id, 1);
		if (v >= 2)
			assert_int_equal(r->cluster_id.len, 22);
		assert_int_equal(r->topics.count, 1);
		assert_int_equal(r->topics.at[0].error_code, 0);
		assert_int_equal(r->topics.at[0].partitions.count, 3);
		for (int32_t i = 0; i < 3; i++) {
			const struct metadata_response_partition *p =
			    &r->topics.at[0].partitions.at[i];
			assert_int_equal(p->partition_index, i);
			assert_int_equal(p->leader_id, 1);
			assert_int_equal(p->replica_nodes.count, 1);
			assert_int_equal(p->isr_nodes.at[0], 1);
		}
		if (v >= 10)
			assert_false(log_uuid_is_zero(r->topics.at[0].topic_id));
	}
}

static void metadata_of_all_topics_has_each_once(void **state)
{
	(void)state;
	kafka_create(&c, "a", 1, NULL);
	kafka_create(&c, "b", 2, NULL);
	for (int16_t v = 0; v <= 13; v++) {
		struct metadata_request body = {.topics = {NULL, 0}};
		const struct metadata_response *r = kafka_call(&c, API_METADATA, v, &body);
		int found = 0;
		for (uint32_t i = 0; i < r->topics.count; i++) {
			bool internal =
			    r->topics.at[i].name.len > 2 && r->topics.at[i].name.ptr[0] == '_';
			if (v >= 1)
				assert_int_equal(r->topics.at[i].is_internal, internal);
			found += !internal;
		}
		assert_int_equal(found, 2);
	}
	/* an empty list is none, but in version 0 */
	struct metadata_request_topic nothing[1];
	struct metadata_request body = {.topics = {nothing, 0}};
	const struct metadata_response *r = kafka_call(&c, API_METADATA, 9, &body);
	assert_int_equal(r->topics.count, 0);
}

static void asking_for_a_topic_creates_it_where_allowed(void **state)
{
	(void)state;
	pair_restart(&(struct broker_options){.default_partitions = 4});
	assert_int_equal(metadata_of(9, "made", false)->topics.at[0].error_code, 3);
	const struct metadata_response *r = metadata_of(9, "made", true);
	assert_int_equal(r->topics.at[0].error_code, 0);
	assert_int_equal(r->topics.at[0].partitions.count, 4);
	/* version 3 has no flag: it means yes */
	assert_int_equal(metadata_of(3, "made-too", false)->topics.at[0].error_code, 0);
	assert_int_equal(metadata_of(9, "bad name", true)->topics.at[0].error_code, 17);
	assert_int_equal(metadata_of(9, "__kappa_internal", true)->topics.at[0].error_code, 3);
	pair_restart(&(struct broker_options){.no_auto_create = true});
	assert_int_equal(metadata_of(9, "never", true)->topics.at[0].error_code, 3);
	assert_int_equal(metadata_of(9, "made", true)->topics.at[0].error_code, 0);
}

static void metadata_finds_topics_by_id(void **state)
{
	(void)state;
	struct log_uuid id = kafka_create(&c, "t", 1, NULL);
	struct metadata_request_topic t = {.topic_id = id};
	struct metadata_request body = {.topics = {&t, 1}};
	const struct metadata_response *r = kafka_call(&c, API_METADATA, 12, &body);
	assert_int_equal(r->topics.at[0].error_code, 0);
	assert_true(str_equal(r->topics.at[0].name, STR("t")));
	t.topic_id.b[3] ^= 1;
	r = kafka_call(&c, API_METADATA, 12, &body);
	assert_int_equal(r->topics.at[0].error_code, 100);
	assert_null(r->topics.at[0].name.ptr);
}

static void advertised_address_is_what_clients_are_told(void **state)
{
	(void)state;
	static const struct broker_listener listener = {
	    .advertised_host = "kappa.example", .advertised_port = 7777};
	pair_restart(
	    &(struct broker_options){.listeners = &listener, .listener_count = 1, .node_id = 9});
	const struct metadata_response *r = metadata_of(9, "x", true);
	assert_true(str_equal(r->brokers.at[0].host, STR("kappa.example")));
	assert_int_equal(r->brokers.at[0].port, 7777);
	assert_int_equal(r->brokers.at[0].node_id, 9);
	assert_int_equal(r->topics.at[0].partitions.at[0].leader_id, 9);
}

static void cluster_id_stays_with_the_data(void **state)
{
	(void)state;
	char id[32];
	struct describe_cluster_request body = {
	    .endpoint_type = 1, .include_cluster_authorized_operations = true};
	const struct describe_cluster_response *r = kafka_call(&c, API_DESCRIBE_CLUSTER, 2, &body);
	assert_int_equal(r->error_code, 0);
	assert_int_equal(r->cluster_id.len, 22);
	assert_true(r->cluster_authorized_operations > 0);
	snprintf(id, sizeof(id), STR_FMT, STR_ARG(r->cluster_id));
	pair_restart(NULL);
	for (int16_t v = 0; v <= 2; v++) {
		r = kafka_call(&c, API_DESCRIBE_CLUSTER, v, &body);
		assert_true(str_equal(r->cluster_id, str_of(id)));
		assert_int_equal(r->brokers.count, 1);
	}
	body.endpoint_type = 2;
	r = kafka_call(&c, API_DESCRIBE_CLUSTER, 1, &body);
	assert_int_equal(r->error_code, 115);
}

static void groups_and_transactions_are_coordinated_here(void **state)
{
	(void)state;
	struct str keys[2] = {STR("g1"), STR("g2")};
	for (int16_t v = 0; v <= 6; v++) {
		struct find_coordinator_request body = {
		    .key = STR("g"), .coordinator_keys = {keys, 2}};
		const struct find_coordinator_response *r =
		    kafka_call(&c, API_FIND_COORDINATOR, v, &body);
		if (v < 4) {
			assert_int_equal(r->error_code, 0);
			assert_int_equal(r->port, server.port);
		} else {
			assert_int_equal(r->coordinators.count, 2);
			assert_true(str_equal(r->coordinators.at[1].key, STR("g2")));
			assert_int_equal(r->coordinators.at[1].node_id, 1);
		}
		if (v == 0)
			continue;
		body.key_type = 1;
		r = kafka_call(&c, API_FIND_COORDINATOR, v, &body);
		assert_int_equal(v < 4 ? r->error_code : r->coordinators.at[0].error_code, 0);
		body.key_type = 2;
		r = kafka_call(&c, API_FIND_COORDINATOR, v, &body);
		assert_int_equal(v < 4 ? r->error_code : r->coordinators.at[0].error_code, 42);
	}
}

/* ---- topics ---------------------------------------------------------------------------------- */

static struct create_topics_response_topic create_one(
    struct create_topics_request_topic t, int16_t version)
{
	struct create_topics_request body = {.topics = {&t, 1}, .timeout_ms = 1000};
	const struct create_topics_response *r = kafka_call(&c, API_CREATE_TOPICS, version, &body);
	assert_int_equal(r->topics.count, 1);
	return r->topics.at[0];
}

static void topics_are_created_in_every_version(void **state)
{
	(void)state;
	for (int16_t v = 2; v <= 7; v++) {
		char name[8];
		snprintf(name, sizeof(name), "t%d", v);
		/* three copies are asked for by habit; there is one, and that is what is said */
		struct create_topics_response_topic t = create_one(
		    (struct create_topics_request_topic){
		        .name = str_of(name), .num_partitions = 2, .replication_factor = 3},
		    v);
		assert_int_equal(t.error_code, 0);
		if (v < 5)
			continue;
		assert_int_equal(t.num_partitions, 2);
		assert_int_equal(t.replication_factor, 1);
		assert_true(t.configs.count > 10);
	}
	assert_int_equal(metadata_of(9, "t2", false)->topics.at[0].partitions.count, 2);
}

static void topics_that_cannot_be_are_refused_with_a_reason(void **state)
{
	(void)state;
	struct create_topics_request_topic t = {
	    .name = STR("t"), .num_partitions = 1, .replication_factor = 1};
	assert_int_equal(create_one(t, 7).error_code, 0);
	struct create_topics_response_topic r = create_one(t, 7);
	assert_int_equal(r.error_code, 36);
	assert_true(r.error_message.len > 0);
	t.name = STR("no good");
	assert_int_equal(create_one(t, 7).error_code, 17);
	t.name = STR("u");
	t.num_partitions = 0;
	assert_int_equal(create_one(t, 7).error_code, 37);
	t.num_partitions = 2000000;
	assert_int_equal(create_one(t, 7).error_code, 37);
	t.num_partitions = 1;
	t.replication_factor = 0;
	assert_int_equal(create_one(t, 7).error_code, 38);
	t.replication_factor = -1;
	struct create_topics_request_config config = {STR("retention.ms"), STR("soon")};
	t.configs.at = &config;
	t.configs.count = 1;
	r = create_one(t, 7);
	assert_int_equal(r.error_code, 40);
	assert_non_null(memmem(r.error_message.ptr, r.error_message.len, "retention.ms", 12));
	config.name = STR("retention.m");
	config.value = STR("1");
	assert_int_equal(create_one(t, 7).error_code, 40);
	assert_int_equal(metadata_of(9, "u", false)->topics.at[0].error_code, 3);
}

static void two_topics_of_one_name_in_a_request_are_both_refused(void **state)
{
	(void)state;
	struct create_topics_request_topic t[3] = {
	    {.name = STR("x"), .num_partitions = 1, .replication_factor = 1},
	    {.name = STR("y"), .num_partitions = 1, .replication_factor = 1},
	    {.name = STR("x"), .num_partitions = 2, .replication_factor = 1}};
	struct create_topics_request body = {.topics = {t, 3}};
	const struct create_topics_response *r = kafka_call(&c, API_CREATE_TOPICS, 5, &body);
	assert_int_equal(r->topics.at[0].error_code, 42);
	assert_int_equal(r->topics.at[1].error_code, 0);
	assert_int_equal(r->topics.at[2].error_code, 42);
}

static void validating_creates_nothing(void **state)
{
	(void)state;
	struct create_topics_request_topic t = {
	    .name = STR("t"), .num_partitions = -1, .replication_factor = -1};
	struct create_topics_request body = {.topics = {&t, 1}, .validate_only = true};
	const struct create_topics_response *r = kafka_call(&c, API_CREATE_TOPICS, 7, &body);
	assert_int_equal(r->topics.at[0].error_code, 0);
	assert_int_equal(r->topics.at[0].num_partitions, 1);
	assert_int_equal(metadata_of(9, "t", false)->topics.at[0].error_code, 3);
}

static void assignments_say_how_many_partitions_there_are(void **state)
{
	(void)state;
	int32_t broker = 1;
	struct create_topics_request_assignment a[2] = {{0, {&broker, 1}}, {1, {&broker, 1}}};
	struct create_topics_request_topic t = {.name = STR("t"),
	    .num_partitions = -1,
	    .replication_factor = -1,
	    .assignments = {a, 2}};
	assert_int_equal(create_one(t, 7).num_partitions, 2);
	t.name = STR("u");
	a[1].partition_index = 5;
	assert_int_equal(create_one(t, 7).error_code, 39);
	a[1].partition_index = 0;
	assert_int_equal(create_one(t, 7).error_code, 39);
	int32_t brokers[2] = {1, 1};
	a[1].partition_index = 1;
	a[1].broker_ids.at = brokers;
	a[1].broker_ids.count = 2;
	assert_int_equal(create_one(t, 7).error_code, 39);
	brokers[1] = -1;
	assert_int_equal(create_one(t, 7).error_code, 39);
	brokers[0] = brokers[1] = 99;
	a[1].broker_ids.count = 1;
	assert_int_equal(create_one(t, 7).error_code, 39);
	brokers[1] = 1; /* other copies than that here are of no consequence */
	a[1].broker_ids.count = 2;
	assert_int_equal(create_one(t, 7).error_code, 0);
}

static void topics_are_deleted_by_name_and_by_id(void **state)
{
	(void)state;
	kafka_create(&c, "a", 1, NULL);
	struct str names[2] = {STR("a"), STR("none")};
	struct delete_topics_request body = {.topic_names = {names, 2}};
	const struct delete_topics_response *r = kafka_call(&c, API_DELETE_TOPICS, 5, &body);
	assert_int_equal(r->responses.at[0].error_code, 0);
	assert_int_equal(r->responses.at[1].error_code, 3);
	assert_int_equal(metadata_of(9, "a", false)->topics.at[0].error_code, 3);

	struct delete_topics_request_topic t = {.topic_id = kafka_create(&c, "b", 1, NULL)};
	body = (struct delete_topics_request){.topics = {&t, 1}};
	r = kafka_call(&c, API_DELETE_TOPICS, 6, &body);
	assert_int_equal(r->responses.at[0].error_code, 0);
	assert_true(str_equal(r->responses.at[0].name, STR("b")));
	r = kafka_call(&c, API_DELETE_TOPICS, 6, &body);
	assert_int_equal(r->responses.at[0].error_code, 100);
	t = (struct delete_topics_request_topic){.name = STR("__kappa_catalog")};
	r = kafka_call(&c, API_DELETE_TOPICS, 6, &body);
	assert_int_equal(r->responses.at[0].error_code, 44);
}

static void topic_made_again_under_its_name_is_another(void **state)
{
	(void)state;
	struct log_uuid first = kafka_create(&c, "t", 1, NULL);
	kafka_produce(&c, 9, "t", 0, kafka_batch(&c, 0, 5, "v"));
	struct str name = STR("t");
	struct delete_topics_request body = {.topic_names = {&name, 1}};
	kafka_call(&c, API_DELETE_TOPICS, 5, &body);
	struct log_uuid second = kafka_create(&c, "t", 1, NULL);
	assert_false(log_uuid_equal(first, second));
	assert_int_equal(kafka_list_offset(&c, 7, "t", 0, -1).offset, 0);
	assert_int_equal(kafka_produce(&c, 9, "t", 0, kafka_batch(&c, 0, 5, "v")).base_offset, 0);
}

static int16_t grow(const char *topic, int32_t count, bool validate_only)
{
	struct create_partitions_request_topic t = {.name = str_of(topic), .count = count};
	struct create_partitions_request body = {.topics = {&t, 1}, .validate_only = validate_only};
	const struct create_partitions_response *r =
	    kafka_call(&c, API_CREATE_PARTITIONS, 3, &body);
	return r->results.at[0].error_code;
}

static void partitions_are_added_and_never_taken(void **state)
{
	(void)state;
	kafka_create(&c, "t", 2, NULL);
	assert_int_equal(grow("t", 5, true), 0);
	assert_int_equal(metadata_of(9, "t", false)->topics.at[0].partitions.count, 2);
	assert_int_equal(grow("t", 5, false), 0);
	assert_int_equal(metadata_of(9, "t", false)->topics.at[0].partitions.count, 5);
	assert_int_equal(grow("t", 5, false), 37);
	assert_int_equal(grow("t", 3, false), 37);
	assert_int_equal(grow("none", 3, false), 3);
	assert_int_equal(kafka_produce(&c, 9, "t", 4, kafka_batch(&c, 0, 1, "v")).error_code, 0);
}

/* ---- configuration --------------------------------------------------------------------------- */

static struct describe_configs_response_config config_of(
    int8_t type, const char *name, const char *key)
{
	struct describe_configs_request_resource resource = {
	    .resource_type = type, .resource_name = str_of(name)};
	struct describe_configs_request body = {
	    .resources = {&resource, 1}, .include_synonyms = true, .include_documentation = true};
	const struct describe_configs_response *r = kafka_call(&c, API_DESCRIBE_CONFIGS, 4, &body);
	assert_int_equal(r->results.at[0].error_code, 0);
	for (uint32_t i = 0; i < r->results.at[0].configs.count; i++) {
		if (str_equal(r->results.at[0].configs.at[i].name, str_of(key)))
			return r->results.at[0].configs.at[i];
	}
	fail_msg("%s is not among the configurations", key);
	return (struct describe_configs_response_config){0};
}

static void configurations_come_with_value_source_and_type(void **state)
{
	(void)state;
	kafka_create(&c, "t", 1, (const char *[]){"retention.ms", "12345", NULL});
	struct describe_configs_response_config f = config_of(2, "t", "retention.ms");
	assert_true(str_equal(f.value, STR("12345")));
	assert_int_equal(f.config_source, 1);
	assert_int_equal(f.config_type, 5);
	assert_int_equal(f.synonyms.count, 1);
	assert_true(f.documentation.len > 0);
	f = config_of(2, "t", "cleanup.policy");
	assert_true(str_equal(f.value, STR("delete")));
	assert_int_equal(f.config_source, 5);
	assert_int_equal(f.config_type, 7);
	f = config_of(4, "1", "num.partitions");
	assert_true(str_equal(f.value, STR("1")));
	assert_true(f.read_only);
}

static void configurations_of_what_is_not_there_are_an_error(void **state)
{
	(void)state;
	struct str key = STR("retention.ms");
	struct describe_configs_request_resource resource[4] = {{2, STR("none"), {NULL, 0}},
	    {4, STR("77"), {NULL, 0}}, {99, STR("x"), {NULL, 0}}, {2, STR("t"), {&key, 1}}};
	kafka_create(&c, "t", 1, NULL);
	struct describe_configs_request body = {.resources = {resource, 4}};
	for (int16_t v = 1; v <= 4; v++) {
		const struct describe_configs_response *r =
		    kafka_call(&c, API_DESCRIBE_CONFIGS, v, &body);
		assert_int_equal(r->results.at[0].error_code, 3);
		assert_int_equal(r->results.at[1].error_code, 42);
		assert_int_equal(r->results.at[2].error_code, 42);
		assert_int_equal(r->results.at[3].configs.count, 1);
		assert_int_equal(r->results.at[3].configs.at[0].synonyms.count, 0);
	}
}

static int16_t increment(const char *key, int8_t operation, const char *value)
{
	struct incremental_alter_configs_request_config config = {
	    str_of(key), operation, str_of(value)};
	struct incremental_alter_configs_request_resource resource = {2, STR("t"), {&config, 1}};
	struct incremental_alter_configs_request body = {.resources = {&resource, 1}};
	const struct incremental_alter_configs_response *r =
	    kafka_call(&c, API_INCREMENTAL_ALTER_CONFIGS, 1, &body);
	assert_int_equal(r->responses.count, 1);
	return r->responses.at[0].error_code;
}

/* A resource and a key of it are changed once: nothing is, if they are named twice. */
static void what_a_configuration_request_names_twice_is_refused(void **state)
{
	(void)state;
	struct incremental_alter_configs_request_config twice[2] = {
	    {STR("retention.ms"), 0, STR("5000000")}, {STR("retention.ms"), 0, STR("6000000")}};
	struct incremental_alter_configs_request_resource r[3] = {
	    {2, STR("t"), {twice, 2}}, {2, STR("u"), {twice, 1}}, {2, STR("u"), {twice, 1}}};
	struct incremental_alter_configs_request body = {.resources = {r, 3}};
	kafka_create(&c, "t", 1, NULL);
	kafka_create(&c, "u", 1, NULL);
	const struct incremental_alter_configs_response *a =
	    kafka_call(&c, API_INCREMENTAL_ALTER_CONFIGS, 1, &body);
	for (int i = 0; i < 3; i++)
		assert_int_equal(a->responses.at[i].error_code, 42);
	assert_true(str_equal(a->responses.at[2].resource_name, STR("u")));
	struct alter_configs_request_config one = {STR("retention.ms"), STR("5000000")};
	struct alter_configs_request_resource all[2] = {
	    {2, STR("u"), {&one, 1}}, {2, STR("u"), {&one, 1}}};
	struct alter_configs_request whole = {.resources = {all, 2}};
	const struct alter_configs_response *b = kafka_call(&c, API_ALTER_CONFIGS, 2, &whole);
	assert_int_equal(b->responses.at[0].error_code, 42);
	assert_int_equal(b->responses.at[1].error_code, 42);
	assert_int_equal(config_of(2, "t", "retention.ms").config_source, 5);
	assert_int_equal(config_of(2, "u", "retention.ms").config_source, 5);
	assert_int_equal(increment("retention.ms", 0, NULL), 42);
}

static void configurations_change_by_setting_deleting_and_list_edits(void **state)
{
	(void)state;
	kafka_create(&c, "t", 1, (const char *[]){"retention.ms", "12345", NULL});
	assert_int_equal(increment("segment.bytes", 0, "1000000"), 0);
	assert_true(str_equal(config_of(2, "t", "segment.bytes").value, STR("1000000")));
	assert_true(str_equal(config_of(2, "t", "retention.ms").value, STR("12345")));
	assert_int_equal(increment("retention.ms", 1, NULL), 0);
	assert_int_equal(config_of(2, "t", "retention.ms").config_source, 5);
	assert_int_equal(increment("cleanup.policy", 2, "compact"), 0);
	assert_true(str_equal(config_of(2, "t", "cleanup.policy").value, STR("delete,compact")));
	assert_int_equal(increment("cleanup.policy", 3, "delete"), 0);
	assert_true(str_equal(config_of(2, "t", "cleanup.policy").value, STR("compact")));
	assert_int_equal(increment("retention.ms", 2, "5"), 40);
	assert_int_equal(increment("retention.ms", 0, "x"), 40);
	assert_int_equal(increment("no.such.key", 0, "x"), 40);
	assert_int_equal(increment("retention.ms", 9, "x"), 42);
}

/* A few names are a few topics, however often they are said. */
static void topics_named_twice_are_told_once(void **state)
{
	enum { COUNT = 600 };
	static struct metadata_request_topic named[COUNT];
	struct metadata_request body = {.topics = {named, COUNT}};
	(void)state;
	kafka_create(&c, "t", 100, NULL);
	for (int i = 0; i < COUNT; i++)
		named[i].name = i % 2 ? STR("t") : STR("a b");
	for (int16_t v = 1; v <= 9; v += 4) {
		const struct metadata_response *r = kafka_call(&c, API_METADATA, v, &body);
		assert_int_equal(r->topics.count, 2);
		assert_int_equal(r->topics.at[0].error_code, 17);
		assert_int_equal(r->topics.at[1].partitions.count, 100);
		kafka_client_clear(&c);
	}
}

/* The loop is not held up by a request of 1.3 MB: it took 39 s. */
static void a_hundred_thousand_unknown_keys_are_refused_at_once(void **state)
{
	enum { COUNT = 100000 };
	static char names[COUNT][16];
	static struct incremental_alter_configs_request_config inc[COUNT];
	static struct alter_configs_request_config all[COUNT];
	struct incremental_alter_configs_request_resource ir = {2, STR("t"), {inc, COUNT}};
	struct alter_configs_request_resource ar = {2, STR("t"), {all, COUNT}};
	struct incremental_alter_configs_request ibody = {.resources = {&ir, 1}};
	struct alter_configs_request abody = {.resources = {&ar, 1}};
	(void)state;
	kafka_create(&c, "t", 1, NULL);
	for (int i = 0; i < COUNT; i++) {
		snprintf(names[i], sizeof(names[i]), "k%08d", i);
		inc[i].name = all[i].name = str_of(names[i]);
		inc[i].value = all[i].value = STR("1");
	}
	int64_t before = kafka_server_busy_ns(&server);
	const struct incremental_alter_configs_response *i =
	    kafka_call(&c, API_INCREMENTAL_ALTER_CONFIGS, 1, &ibody);
	assert_int_equal(i->responses.at[0].error_code, 40);
	const struct alter_configs_response *a = kafka_call(&c, API_ALTER_CONFIGS, 2, &abody);
	assert_int_equal(a->responses.at[0].error_code, 40);
	assert_true(kafka_server_busy_ns(&server) - before < 10 * S_NS);
	/* one that is unknown spoils the others, though it be taken back */
	inc[1].name = inc[0].name;
	inc[1].config_operation = 1;
	inc[2].name = STR("retention.ms");
	ir.configs.count = 3;
	i = kafka_call(&c, API_INCREMENTAL_ALTER_CONFIGS, 1, &ibody);
	assert_int_equal(i->responses.at[0].error_code, 40);
	assert_int_equal(config_of(2, "t", "retention.ms").config_source, 5);
}

static void altering_replaces_the_whole_set(void **state)
{
	(void)state;
	kafka_create(&c, "t", 1,
	    (const char *[]){"retention.ms", "12345", "segment.bytes", "1000000", NULL});
	struct alter_configs_request_config config = {STR("segment.bytes"), STR("2000000")};
	struct alter_configs_request_resource resource = {2, STR("t"), {&config, 1}};
	struct alter_configs_request body = {.resources = {&resource, 1}, .validate_only = true};
	const struct alter_configs_response *r = kafka_call(&c, API_ALTER_CONFIGS, 2, &body);
	assert_int_equal(r->responses.at[0].error_code, 0);
	assert_true(str_equal(config_of(2, "t", "segment.bytes").value, STR("1000000")));
	body.validate_only = false;
	kafka_call(&c, API_ALTER_CONFIGS, 0, &body);
	assert_true(str_equal(config_of(2, "t", "segment.bytes").value, STR("2000000")));
	assert_int_equal(config_of(2, "t", "retention.ms").config_source, 5);
	resource.resource_type = 4;
	r = kafka_call(&c, API_ALTER_CONFIGS, 1, &body);
	assert_int_equal(r->responses.at[0].error_code, 42);
}

/* ---- pages and sizes ------------------------------------------------------------------------- */

static void partitions_are_described_page_by_page(void **state)
{
	(void)state;
	kafka_create(&c, "b", 5, NULL);
	kafka_create(&c, "a", 3, NULL);
	struct describe_topic_partitions_request_topic t[4] = {
	    {STR("b")}, {STR("a")}, {STR("none")}, {STR("a")}};
	struct describe_topic_partitions_request body = {
	    .topics = {t, 4}, .response_partition_limit = 4};
	const struct describe_topic_partitions_response *r =
	    kafka_call(&c, API_DESCRIBE_TOPIC_PARTITIONS, 0, &body);
	assert_int_equal(r->topics.count, 2);
	assert_true(str_equal(r->topics.at[0].name, STR("a")));
	assert_int_equal(r->topics.at[0].partitions.count, 3);
	assert_int_equal(r->topics.at[1].partitions.count, 1);
	assert_non_null(r->topics.at[0].partitions.at[0].eligible_leader_replicas.at);
	assert_non_null(r->topics.at[0].partitions.at[0].last_known_elr.at);
	assert_non_null(r->next_cursor);
	assert_true(str_equal(r->next_cursor->topic_name, STR("b")));
	assert_int_equal(r->next_cursor->partition_index, 1);
	struct describe_topic_partitions_request_cursor cursor = {STR("b"), 1};
	body.cursor = &cursor;
	body.response_partition_limit = 100;
	r = kafka_call(&c, API_DESCRIBE_TOPIC_PARTITIONS, 0, &body);
	assert_int_equal(r->topics.count, 2);
	assert_int_equal(r->topics.at[0].partitions.count, 4);
	assert_int_equal(r->topics.at[0].partitions.at[0].partition_index, 1);
	assert_int_equal(r->topics.at[1].error_code, 3);
	assert_null(r->next_cursor);
	body.response_partition_limit = 0;
	r = kafka_call(&c, API_DESCRIBE_TOPIC_PARTITIONS, 0, &body);
	assert_int_equal(r->topics.count, 4);
	assert_int_equal(r->topics.at[0].error_code, 42);
	body.response_partition_limit = 1;
	cursor.partition_index = -1;
	r = kafka_call(&c, API_DESCRIBE_TOPIC_PARTITIONS, 0, &body);
	assert_int_equal(r->topics.at[3].error_code, 42);
	assert_int_equal(r->topics.at[3].partitions.count, 0);
}

static void sizes_grow_with_what_is_written(void **state)
{
	(void)state;
	kafka_create(&c, "t", 1, NULL);
	kafka_produce(&c, 9, "t", 0, kafka_bulk(&c, 1000, 100000));
	for (int16_t v = 1; v <= 5; v++) {
		struct describe_log_dirs_request body = {.topics = {NULL, 0}};
		const struct describe_log_dirs_response *r =
		    kafka_call(&c, API_DESCRIBE_LOG_DIRS, v, &body);
		bool found = false;
		assert_int_equal(r->results.count, 1);
		for (uint32_t i = 0; i < r->results.at[0].topics.count; i++) {
			const struct describe_log_dirs_response_topic *t =
			    &r->results.at[0].topics.at[i];
			if (!str_equal(t->name, STR("t")))
				continue;
			found = true;
			assert_true(t->partitions.at[0].partition_size >= 100000);
		}
		assert_true(found);
		int64_t total = r->results.at[0].total_bytes,
		        usable = r->results.at[0].usable_bytes;
		struct statvfs s;
		assert_int_equal(statvfs(server.dir, &s), 0);
		assert_int_equal(total, v < 4 ? -1 : (int64_t)(s.f_blocks * s.f_frsize));
		assert_in_range(usable + 1, v < 4 ? 0 : 1, v < 4 ? 0 : total);
	}
}

/* ---- DeleteRecords and ListConfigResources ---------------------------------------------------- */

static const struct delete_records_response_partition *delete_records(
    int16_t version, const char *topic, int32_t partition, int64_t offset)
{
	struct delete_records_request_partition p = {partition, offset};
	struct delete_records_request_topic t = {str_of(topic), {&p, 1}};
	struct delete_records_request body = {{&t, 1}, 1000};
	const struct delete_records_response *r =
	    kafka_call(&c, API_DELETE_RECORDS, version, &body);
	assert_int_equal(r->topics.count, 1);
	assert_int_equal(r->topics.at[0].partitions.count, 1);
	assert_int_equal(r->topics.at[0].partitions.at[0].partition_index, partition);
	return &r->topics.at[0].partitions.at[0];
}

static void records_can_be_deleted_up_to_an_offset(void **state)
{
	(void)state;
	kafka_create(&c, "t", 1, NULL);
	kafka_produce(&c, 9, "t", 0, kafka_batch(&c, 0, 5, "v"));
	for (int16_t v = 0; v <= 2; v++) {
		const struct delete_records_response_partition *p =
		    delete_records(v, "t", 0, v + 1);
		assert_int_equal(p->error_code, 0);
		assert_int_equal(p->low_watermark, v + 1);
	}
	assert_int_equal(delete_records(2, "t", 0, 1)->low_watermark, 3); /* never back */
	assert_int_equal(delete_records(2, "t", 0, 6)->error_code, 1);
	assert_int_equal(delete_records(2, "t", 0, -2)->error_code, 1);
	assert_int_equal(delete_records(2, "t", 1, 0)->error_code, 3);
	assert_int_equal(delete_records(2, "u", 0, 0)->error_code, 3);
	assert_int_equal(delete_records(2, "__kappa_catalog", 0, 0)->error_code, 17);
	assert_int_equal(delete_records(2, "t", 0, -1)->low_watermark, 5);
	pair_restart(NULL);
	assert_int_equal(delete_records(2, "t", 0, 0)->low_watermark, 5);
}

static void what_has_a_configuration_is_listed(void **state)
{
	(void)state;
	int8_t type = 2;
	struct list_config_resources_request body = {0};
	kafka_create(&c, "t", 1, NULL);
	const struct list_config_resources_response *r =
	    kafka_call(&c, API_LIST_CONFIG_RESOURCES, 0, &body);
	assert_int_equal(r->config_resources.count, 0);
	r = kafka_call(&c, API_LIST_CONFIG_RESOURCES, 1, &body);
	uint32_t all = r->config_resources.count;
	assert_true(all >= 2);
	assert_int_equal(r->config_resources.at[all - 1].resource_type, 4);
	assert_true(str_equal(r->config_resources.at[all - 1].resource_name, STR("1")));
	body.resource_types.at = &type;
	body.resource_types.count = 1;
	r = kafka_call(&c, API_LIST_CONFIG_RESOURCES, 1, &body);
	assert_int_equal(r->config_resources.count, all - 1);
	bool seen = false;
	for (uint32_t i = 0; i < r->config_resources.count; i++)
		seen |= str_equal(r->config_resources.at[i].resource_name, STR("t"));
	assert_true(seen);
	type = 3;
	r = kafka_call(&c, API_LIST_CONFIG_RESOURCES, 1, &body);
	assert_int_equal(r->error_code, 35);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, pair_start, pair_stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    EACH (metadata_names_this_server_in_every_version),
	    EACH (metadata_of_all_topics_has_each_once),
	    EACH (asking_for_a_topic_creates_it_where_allowed),
	    EACH (metadata_finds_topics_by_id),
	    EACH (advertised_address_is_what_clients_are_told),
	    EACH (cluster_id_stays_with_the_data),
	    EACH (groups_and_transactions_are_coordinated_here),
	    EACH (topics_are_created_in_every_version),
	    EACH (topics_that_cannot_be_are_refused_with_a_reason),
	    EACH (two_topics_of_one_name_in_a_request_are_both_refused),
	    EACH (validating_creates_nothing),
	    EACH (assignments_say_how_many_partitions_there_are),
	    EACH (topics_are_deleted_by_name_and_by_id),
	    EACH (topic_made_again_under_its_name_is_another),
	    EACH (partitions_are_added_and_never_taken),
	    EACH (configurations_come_with_value_source_and_type),
	    EACH (configurations_of_what_is_not_there_are_an_error),
	    EACH (configurations_change_by_setting_deleting_and_list_edits),
	    EACH (what_a_configuration_request_names_twice_is_refused),
	    EACH (topics_named_twice_are_told_once),
	    EACH (a_hundred_thousand_unknown_keys_are_refused_at_once),
	    EACH (altering_replaces_the_whole_set),
	    EACH (partitions_are_described_page_by_page),
	    EACH (sizes_grow_with_what_is_written),
	    EACH (records_can_be_deleted_up_to_an_offset),
	    EACH (what_has_a_configuration_is_listed),
	};
	int failed = cmocka_run_group_tests_name("uring", tests, NULL, NULL);
	pair_backend = "threads";
	failed += cmocka_run_group_tests_name("threads", tests, NULL, NULL);
	return failed;
}
