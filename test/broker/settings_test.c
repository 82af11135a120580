/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings that change while the server runs, over loopback: which are taken and which refused, who
 * is asked first, that each has its effect at once, and after a restart, and loses it again.
 */
#include "broker/kafka/handlers.h"
#include "broker/settings/settings.h"
#include "test/lib/kafka_calls.h"
#include "test/lib/test.h"
#include <stdio.h>
#include <unistd.h>

enum { OK = 0, INVALID_CONFIG = 40, INVALID_REQUEST = 42, TOO_LARGE = 10, UNKNOWN_MEMBER = 25 };

static struct kafka_server server;
static struct kafka_client c;
static enum group_migration migration;

static struct broker_options options(void)
{
	return (struct broker_options){.group_initial_delay_ms = -1,
	    .group_migration = migration,
	    .consumer_session_min_ms = 200,
	    .consumer_heartbeat_min_ms = 100};
}

static int start(void **state)
{
	struct broker_options o = options();
	(void)state;
	kafka_server_start(&server, "uring", &o);
	kafka_connect(&c, &server);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	kafka_disconnect(&c);
	kafka_server_remove(&server);
	return 0;
}

static void restart(void)
{
	struct broker_options o = options();
	kafka_disconnect(&c);
	kafka_server_stop(&server);
	kafka_server_start(&server, "uring", &o);
	kafka_connect(&c, &server);
}

/* ---- requests -------------------------------------------------------------------------------- */

static int16_t change(int8_t type, const char *name, const char *key, int8_t op, const char *value)
{
	struct incremental_alter_configs_request_config config = {str_of(key), op, str_of(value)};
	struct incremental_alter_configs_request_resource resource = {
	    type, str_of(name), {&config, 1}};
	struct incremental_alter_configs_request body = {.resources = {&resource, 1}};
	const struct incremental_alter_configs_response *r =
	    kafka_call(&c, API_INCREMENTAL_ALTER_CONFIGS, 1, &body);
	assert_int_equal(r->responses.count, 1);
	return r->responses.at[0].error_code;
}

static int16_t set(int8_t type, const char *name, const char *key, const char *value)
{
	return change(type, name, key, SETTING_SET, value);
}

static int16_t take(int8_t type, const char *name, const char *key)
{
	return change(type, name, key, SETTING_DELETE, NULL);
}

static const struct describe_configs_response_result *describe(int8_t type, const char *name)
{
	struct describe_configs_request_resource resource = {
	    .resource_type = type, .resource_name = str_of(name)};
	struct describe_configs_request body = {
	    .resources = {&resource, 1}, .include_synonyms = true};
	const struct describe_configs_response *r = kafka_call(&c, API_DESCRIBE_CONFIGS, 4, &body);
	assert_int_equal(r->results.at[0].error_code, 0);
	return &r->results.at[0];
}

static struct describe_configs_response_config shown(int8_t type, const char *name, const char *key)
{
	const struct describe_configs_response_result *r = describe(type, name);
	for (uint32_t i = 0; i < r->configs.count; i++) {
		if (str_equal(r->configs.at[i].name, str_of(key)))
			return r->configs.at[i];
	}
	fail_msg("%s is not there", key);
	return (struct describe_configs_response_config){0};
}

static void assert_shown(
    int8_t type, const char *name, const char *key, const char *value, int8_t source)
{
	struct describe_configs_response_config is = shown(type, name, key);
	assert_true(str_equal(is.value, str_of(value)));
	assert_int_equal(is.config_source, source);
	assert_false(is.read_only);
	assert_true(str_equal(is.synonyms.at[0].value, is.value));
}

/* ---- the broker's ---------------------------------------------------------------------------- */

static void defaults_of_topics_change_at_once_and_come_back(void **state)
{
	(void)state;
	kafka_create(&c, "t", 1, NULL);
	kafka_create(&c, "own", 1, (const char *[]){"max.message.bytes", "50000", NULL});
	assert_int_equal(set(RESOURCE_BROKER, "1", "message.max.bytes", "1000"), OK);
	assert_shown(RESOURCE_BROKER, "1", "message.max.bytes", "1000", CONFIG_SOURCE_SET_BROKER);
	assert_int_equal(
	    kafka_produce(&c, 9, "t", 0, kafka_bulk(&c, 1000, 5000)).error_code, TOO_LARGE);
	assert_int_equal(kafka_produce(&c, 9, "own", 0, kafka_bulk(&c, 1000, 5000)).error_code, OK);
	restart();
	assert_int_equal(
	    kafka_produce(&c, 9, "t", 0, kafka_bulk(&c, 1000, 5000)).error_code, TOO_LARGE);
	assert_int_equal(take(RESOURCE_BROKER, "1", "message.max.bytes"), OK);
	assert_int_equal(kafka_produce(&c, 9, "t", 0, kafka_bulk(&c, 1000, 5000)).error_code, OK);
	assert_shown(RESOURCE_BROKER, "1", "message.max.bytes", "1048588", CONFIG_SOURCE_BROKER);
}

static void one_brokers_setting_counts_before_all_brokers(void **state)
{
	(void)state;
	assert_int_equal(set(RESOURCE_BROKER, "", "log.retention.ms", "1000000"), OK);
	assert_shown(
	    RESOURCE_BROKER, "1", "log.retention.ms", "1000000", CONFIG_SOURCE_SET_BROKERS);
	assert_int_equal(describe(RESOURCE_BROKER, "")->configs.count, 1);
	assert_int_equal(set(RESOURCE_BROKER, "1", "log.retention.ms", "2000000"), OK);
	struct describe_configs_response_config is =
	    shown(RESOURCE_BROKER, "1", "log.retention.ms");
	assert_true(str_equal(is.value, STR("2000000")));
	assert_int_equal(is.synonyms.count, 3);
	assert_true(str_equal(is.synonyms.at[1].value, STR("1000000")));
	assert_true(str_equal(is.synonyms.at[2].value, STR("604800000")));
	assert_shown(RESOURCE_BROKER, "", "log.retention.ms", "1000000", CONFIG_SOURCE_SET_BROKERS);
	assert_int_equal(take(RESOURCE_BROKER, "1", "log.retention.ms"), OK);
	assert_shown(
	    RESOURCE_BROKER, "1", "log.retention.ms", "1000000", CONFIG_SOURCE_SET_BROKERS);
}

static void lists_are_appended_to(void **state)
{
	(void)state;
	assert_int_equal(
	    change(RESOURCE_BROKER, "1", "log.cleanup.policy", SETTING_APPEND, "compact"), OK);
	assert_shown(
	    RESOURCE_BROKER, "1", "log.cleanup.policy", "delete,compact", CONFIG_SOURCE_SET_BROKER);
	assert_int_equal(
	    change(RESOURCE_BROKER, "1", "log.cleanup.policy", SETTING_SUBTRACT, "delete"), OK);
	assert_shown(
	    RESOURCE_BROKER, "1", "log.cleanup.policy", "compact", CONFIG_SOURCE_SET_BROKER);
	assert_int_equal(
	    change(RESOURCE_BROKER, "1", "log.retention.ms", SETTING_APPEND, "1"), INVALID_CONFIG);
}

static void what_would_have_no_effect_is_refused(void **state)
{
	static const struct {
		int8_t type;
		const char *name, *key, *value;
		int16_t error;
	} cases[] = {
	    {RESOURCE_BROKER, "1", "num.partitions", "3", INVALID_REQUEST},
	    {RESOURCE_BROKER, "1", "sasl.kerberos.min.time.before.relogin", "1", INVALID_CONFIG},
	    {RESOURCE_BROKER, "1", "consumer.session.timeout.ms", "50000", INVALID_CONFIG},
	    {RESOURCE_BROKER, "1", "max.connections", "0", INVALID_REQUEST},
	    {RESOURCE_BROKER, "1", "max.connections", "many", INVALID_REQUEST},
	    {RESOURCE_BROKER, "1", "log.retention.ms", "-2", INVALID_REQUEST},
	    {RESOURCE_BROKER, "2", "max.connections", "10", INVALID_REQUEST},
	    {RESOURCE_GROUP, "", "consumer.session.timeout.ms", "50000", INVALID_REQUEST},
	    {RESOURCE_GROUP, "g", "max.connections", "10", INVALID_CONFIG},
	    {RESOURCE_GROUP, "g", "share.session.timeout.ms", "50000", INVALID_CONFIG},
	    {RESOURCE_GROUP, "g", "consumer.session.timeout.ms", "60001", INVALID_CONFIG},
	    {RESOURCE_GROUP, "g", "consumer.heartbeat.interval.ms", "99", INVALID_CONFIG},
	    {RESOURCE_BROKER_LOGGER, "1", "kafka", "DEBUG", INVALID_REQUEST},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(set(cases[i].type, cases[i].name, cases[i].key, cases[i].value),
		    cases[i].error);
	assert_true(shown(RESOURCE_BROKER, "1", "num.partitions").read_only);
	/* what nobody can have set is not set, as tools want it that clean up behind themselves */
	assert_int_equal(take(RESOURCE_BROKER, "1", "leader.replication.throttled.rate"), OK);
	assert_int_equal(take(RESOURCE_GROUP, "g", "max.connections"), OK);
	assert_int_equal(take(RESOURCE_BROKER, "1", "num.partitions"), INVALID_REQUEST);
}

static void altering_replaces_what_was_set(void **state)
{
	(void)state;
	assert_int_equal(set(RESOURCE_BROKER, "1", "log.retention.ms", "2000000"), OK);
	struct alter_configs_request_config config = {STR("log.segment.bytes"), STR("2000000")};
	struct alter_configs_request_resource resource = {RESOURCE_BROKER, STR("1"), {&config, 1}};
	struct alter_configs_request body = {.resources = {&resource, 1}, .validate_only = true};
	const struct alter_configs_response *r = kafka_call(&c, API_ALTER_CONFIGS, 2, &body);
	assert_int_equal(r->responses.at[0].error_code, OK);
	assert_shown(RESOURCE_BROKER, "1", "log.retention.ms", "2000000", CONFIG_SOURCE_SET_BROKER);
	body.validate_only = false;
	r = kafka_call(&c, API_ALTER_CONFIGS, 2, &body);
	assert_int_equal(r->responses.at[0].error_code, OK);
	assert_shown(RESOURCE_BROKER, "1", "log.retention.ms", "604800000", CONFIG_SOURCE_BROKER);
	assert_shown(
	    RESOURCE_BROKER, "1", "log.segment.bytes", "2000000", CONFIG_SOURCE_SET_BROKER);
}

static void connections_are_limited_from_now_on(void **state)
{
	struct kafka_client more;
	(void)state;
	assert_int_equal(set(RESOURCE_BROKER, "1", "max.connections.per.ip", "1"), OK);
	kafka_connect(&more, &server);
	assert_true(kafka_is_closed(&more));
	kafka_disconnect(&more);
	assert_int_equal(take(RESOURCE_BROKER, "1", "max.connections.per.ip"), OK);
	kafka_connect(&more, &server);
	assert_int_equal(set(RESOURCE_BROKER, "1", "max.connections", "2"), OK);
	struct kafka_client third;
	kafka_connect(&third, &server);
	assert_true(kafka_is_closed(&third));
	kafka_disconnect(&third);
	kafka_disconnect(&more);
	assert_int_equal(take(RESOURCE_BROKER, "1", "max.connections"), OK);
}

/* ---- a group's ------------------------------------------------------------------------------- */

static const struct consumer_group_heartbeat_response *beat(const char *group, int32_t epoch)
{
	static struct consumer_group_heartbeat_request_topic none;
	static struct str names[] = {{"t", 1}};
	struct consumer_group_heartbeat_request body = {.group_id = str_of(group),
	    .member_id = STR("m"),
	    .member_epoch = epoch,
	    .rebalance_timeout_ms = epoch == 0 ? 30000 : -1};
	if (epoch == 0) {
		body.subscribed_topic_names.at = names;
		body.subscribed_topic_names.count = 1;
		body.topic_partitions.at = &none;
	}
	return kafka_call(&c, API_CONSUMER_GROUP_HEARTBEAT, 1, &body);
}

static void groups_have_their_own_session_and_interval(void **state)
{
	(void)state;
	kafka_create(&c, "t", 1, NULL);
	assert_shown(
	    RESOURCE_GROUP, "g", "consumer.session.timeout.ms", "45000", CONFIG_SOURCE_DEFAULT);
	assert_int_equal(set(RESOURCE_GROUP, "g", "consumer.heartbeat.interval.ms", "6000"), OK);
	assert_int_equal(set(RESOURCE_GROUP, "h", "consumer.heartbeat.interval.ms", "6000"), OK);
	assert_int_equal(beat("g", 0)->heartbeat_interval_ms, 6000);
	assert_int_equal(beat("h", 0)->heartbeat_interval_ms, 6000);
	assert_int_equal(beat("other", 0)->heartbeat_interval_ms, 5000);
	assert_int_equal(set(RESOURCE_GROUP, "g", "consumer.session.timeout.ms", "300"), OK);
	restart();
	assert_shown(
	    RESOURCE_GROUP, "g", "consumer.session.timeout.ms", "300", CONFIG_SOURCE_GROUP);
	assert_int_equal(beat("h", 1)->heartbeat_interval_ms, 6000);
	assert_int_equal(beat("other", 1)->error_code, OK);
	usleep(900 * 1000);
	assert_int_equal(beat("g", 1)->error_code, UNKNOWN_MEMBER);
	assert_int_equal(beat("other", 1)->error_code, OK);
	assert_int_equal(take(RESOURCE_GROUP, "g", "consumer.session.timeout.ms"), OK);
	assert_int_equal(take(RESOURCE_GROUP, "g", "consumer.heartbeat.interval.ms"), OK);
	const struct consumer_group_heartbeat_response *again = beat("g", 0);
	assert_int_equal(again->heartbeat_interval_ms, 5000);
	usleep(900 * 1000);
	assert_int_equal(beat("g", again->member_epoch)->error_code, OK);
}

static void groups_with_settings_are_listed_once(void **state)
{
	(void)state;
	assert_int_equal(set(RESOURCE_GROUP, "g", "consumer.session.timeout.ms", "50000"), OK);
	assert_int_equal(set(RESOURCE_GROUP, "g", "consumer.heartbeat.interval.ms", "6000"), OK);
	assert_int_equal(set(RESOURCE_GROUP, "h", "consumer.heartbeat.interval.ms", "6000"), OK);
	int8_t type = RESOURCE_GROUP;
	struct list_config_resources_request body = {.resource_types = {&type, 1}};
	const struct list_config_resources_response *r =
	    kafka_call(&c, API_LIST_CONFIG_RESOURCES, 1, &body);
	assert_int_equal(r->config_resources.count, 2);
}

/* ---- a setting of the configuration file -------------------------------------------------------- */

#define POLICY "group.consumer.migration.policy"

static void check_policy(const char *name, const char *value)
{
	struct str key = STR(POLICY);
	struct describe_configs_request_resource broker = {
	    .resource_type = 4, .resource_name = str_of(name), .configuration_keys = {&key, 1}};
	struct describe_configs_request describe = {.resources = {&broker, 1}};
	const struct describe_configs_response *r =
	    kafka_call(&c, API_DESCRIBE_CONFIGS, 4, &describe);
	assert_int_equal(r->results.at[0].error_code, 0);
	assert_int_equal(r->results.at[0].configs.count, value ? 1 : 0);
	if (!value)
		return;
	const struct describe_configs_response_config *is = &r->results.at[0].configs.at[0];
	assert_true(str_equal(is->value, str_of(value)));
	assert_true(is->read_only);
}

/* Both requests, for this broker and for all: it is of the configuration file. */
static void check_policy_stays(const char *name)
{
	struct incremental_alter_configs_request_config set = {
	    .name = STR(POLICY), .value = STR("disabled")};
	struct incremental_alter_configs_request_resource some = {
	    .resource_type = 4, .resource_name = str_of(name), .configs = {&set, 1}};
	struct incremental_alter_configs_request change = {.resources = {&some, 1}};
	const struct incremental_alter_configs_response *a =
	    kafka_call(&c, API_INCREMENTAL_ALTER_CONFIGS, 1, &change);
	assert_int_equal(a->responses.at[0].error_code, 42);
	struct alter_configs_request_config all = {STR(POLICY), STR("disabled")};
	struct alter_configs_request_resource whole = {
	    .resource_type = 4, .resource_name = str_of(name), .configs = {&all, 1}};
	struct alter_configs_request replace = {.resources = {&whole, 1}};
	const struct alter_configs_response *b = kafka_call(&c, API_ALTER_CONFIGS, 2, &replace);
	assert_int_equal(b->responses.at[0].error_code, 42);
}

static void the_migration_policy_is_shown_and_stays_as_configured(void **state)
{
	(void)state;
	check_policy("1", "bidirectional");
	check_policy("", NULL); /* nothing is set for all brokers, as in Kafka */
	migration = GROUP_MIGRATION_UPGRADE;
	restart();
	migration = GROUP_MIGRATION_BOTH;
	check_policy("1", "upgrade");
	check_policy_stays("1");
	check_policy_stays("");
	check_policy("1", "upgrade");
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    EACH (defaults_of_topics_change_at_once_and_come_back),
	    EACH (one_brokers_setting_counts_before_all_brokers),
	    EACH (lists_are_appended_to),
	    EACH (what_would_have_no_effect_is_refused),
	    EACH (altering_replaces_what_was_set),
	    EACH (connections_are_limited_from_now_on),
	    EACH (groups_have_their_own_session_and_interval),
	    EACH (groups_with_settings_are_listed_once),
	    EACH (the_migration_policy_is_shown_and_stays_as_configured),
	};
	diag_set_level(DIAG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
