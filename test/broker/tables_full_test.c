/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of groups and of transactional ids are full: who is told what, and what frees a place. */
#include "broker/kafka/server.h"
#include "broker/transactions/transactions.h"
#include "test/lib/kafka_pair.h"
#include "test/lib/patience.h"
#include "test/lib/test.h"
#include <stdio.h>

enum { POLICY_VIOLATION = 44, GROUP_MAX_SIZE = 81, ROOM = 3 };

static int commit(const char *group)
{
	struct offset_commit_request_partition p = {.committed_offset = 1};
	struct offset_commit_request_topic t = {.name = STR("t"), .partitions = {&p, 1}};
	struct offset_commit_request body = {.group_id = str_of(group),
	    .generation_id_or_member_epoch = -1,
	    .retention_time_ms = -1,
	    .topics = {&t, 1}};
	const struct offset_commit_response *r = kafka_call(&c, API_OFFSET_COMMIT, 8, &body);
	return r->topics.at[0].partitions.at[0].error_code;
}

static int join(const char *group)
{
	struct join_group_request_protocol p = {.name = STR("range")};
	struct join_group_request body = {.group_id = str_of(group),
	    .session_timeout_ms = 10000,
	    .rebalance_timeout_ms = 10000,
	    .protocol_type = STR("consumer"),
	    .protocols = {&p, 1}};
	const struct join_group_response *r = kafka_call(&c, API_JOIN_GROUP, 5, &body);
	return r->error_code;
}

static int heartbeat(const char *group)
{
	struct str topic = STR("t");
	struct consumer_group_heartbeat_request_topic none = {0};
	struct consumer_group_heartbeat_request body = {.group_id = str_of(group),
	    .member_id = STR("AAAAAAAAAAAAAAAAAAAAAA"),
	    .rebalance_timeout_ms = 60000,
	    .subscribed_topic_names = {&topic, 1},
	    .topic_partitions = {&none, 0}};
	const struct consumer_group_heartbeat_response *r =
	    kafka_call(&c, API_CONSUMER_GROUP_HEARTBEAT, 1, &body);
	return r->error_code;
}

static int delete_group(const char *group)
{
	struct str name = str_of(group);
	struct delete_groups_request body = {.groups_names = {&name, 1}};
	const struct delete_groups_response *r = kafka_call(&c, API_DELETE_GROUPS, 2, &body);
	return r->results.at[0].error_code;
}

static struct init_producer_id_response init(const char *id)
{
	struct init_producer_id_request body = {.transactional_id = str_of(id),
	    .transaction_timeout_ms = 600000,
	    .producer_id = -1,
	    .producer_epoch = -1};
	const struct init_producer_id_response *r = kafka_call(&c, API_INIT_PRODUCER_ID, 5, &body);
	return *r;
}

static int init_id(const char *id)
{
	return init(id).error_code;
}

/* The transaction `id` will commit an offset of the group. */
static int pend(const char *id, const char *group)
{
	struct init_producer_id_response who = init(id);
	struct txn_offset_commit_request_partition p = {.committed_offset = 1};
	struct txn_offset_commit_request_topic t = {.name = STR("t"), .partitions = {&p, 1}};
	struct txn_offset_commit_request body = {.transactional_id = str_of(id),
	    .group_id = str_of(group),
	    .producer_id = who.producer_id,
	    .producer_epoch = who.producer_epoch,
	    .generation_id = -1,
	    .topics = {&t, 1}};
	const struct txn_offset_commit_response *r =
	    kafka_call(&c, API_TXN_OFFSET_COMMIT, 5, &body);
	return r->topics.at[0].partitions.at[0].error_code;
}

/* No error that clients try again after: that there is no room does not pass. */
static void a_new_group_is_refused_for_good(void **state)
{
	(void)state;
	pair_restart(&(struct broker_options){.groups_max = ROOM});
	kafka_create(&c, "t", 1, NULL);
	assert_int_equal(commit("a"), 0);
	assert_int_equal(commit("b"), 0);
	assert_int_equal(commit("c"), 0);
	assert_int_equal(metric_value(METRIC_GROUPS), ROOM);
	assert_int_equal(commit("d"), GROUP_MAX_SIZE);
	assert_int_equal(join("d"), GROUP_MAX_SIZE);
	assert_int_equal(heartbeat("d"), GROUP_MAX_SIZE);
	assert_int_equal(commit("a"), 0); /* those that are there go on */
	assert_int_equal(delete_group("b"), 0);
	assert_int_equal(metric_value(METRIC_GROUPS), ROOM - 1);
	assert_int_equal(commit("d"), 0);
	assert_int_equal(commit("b"), GROUP_MAX_SIZE);
}

/* What is stored is read whatever the limit is now. */
static void a_start_has_room_for_all_that_is_stored(void **state)
{
	(void)state;
	kafka_create(&c, "t", 1, NULL);
	assert_int_equal(commit("a"), 0);
	assert_int_equal(commit("b"), 0);
	assert_int_equal(pend("x", "pending"), 0);
	assert_int_equal(pend("y", "aborted"), 0);
	assert_int_equal(init_id("y"), 0); /* aborts: the group is gone, its rows are read yet */
	assert_int_equal(metric_value(METRIC_GROUPS), 3);
	pair_restart(&(struct broker_options){.groups_max = 1, .transactional_ids_max = 1});
	assert_int_equal(metric_value(METRIC_GROUPS), 3);
	assert_int_equal(metric_value(METRIC_TRANSACTIONAL_IDS), 2);
	assert_int_equal(commit("a"), 0);
	assert_int_equal(commit("b"), 0);
	assert_int_equal(commit("c"), GROUP_MAX_SIZE);
	assert_int_equal(init_id("x"), 0);
	assert_int_equal(init_id("y"), 0);
	assert_int_equal(init_id("z"), POLICY_VIOLATION);
}

static void a_new_transactional_id_is_refused_for_good(void **state)
{
	(void)state;
	pair_restart(&(struct broker_options){.transactional_ids_max = ROOM});
	assert_int_equal(init_id("a"), 0);
	assert_int_equal(init_id("b"), 0);
	assert_int_equal(init_id("c"), 0);
	assert_int_equal(metric_value(METRIC_TRANSACTIONAL_IDS), ROOM);
	assert_int_equal(init_id("d"), POLICY_VIOLATION);
	assert_int_equal(init_id("a"), 0);
}

/* From now on each round of the table rolls its segment: a snapshot follows, and what it says
 * again goes. */
static void roll_states(void *arg)
{
	struct log *log = arg;
	const struct log_topic *states = log_topic_find(log, STR("__transaction_state"));
	((struct log_topic *)(uintptr_t)states)->config.segment_bytes = 14;
}

/* Its rows in both tables are there yet, or only those of its offsets. */
static void an_id_that_has_expired_is_gone(void **state)
{
	(void)state;
	char other[16] = "";
	kafka_create(&c, "t", 1, NULL);
	assert_int_equal(pend("x", "g"), 0);
	assert_int_equal(init_id("x"), 0); /* aborts */
	pair_restart(&(struct broker_options){.transaction_expiry_ms = 1});
	assert_true(metric_falls(METRIC_TRANSACTIONAL_IDS, 0));
	pair_restart(NULL);
	assert_int_equal(metric_value(METRIC_TRANSACTIONAL_IDS), 0);
	loop_call(server.loop, roll_states, server.log);
	for (int i = 0;
	     !other[0] || transaction_partition(str_of(other)) != transaction_partition(STR("x"));
	     i++)
		snprintf(other, sizeof other, "y%d", i);
	for (int i = 0; i < 20; i++)
		assert_int_equal(init_id(other), 0);
	pair_restart(NULL);
	assert_int_equal(metric_value(METRIC_TRANSACTIONAL_IDS), 1);
	assert_int_equal(metric_value(METRIC_GROUPS), 0);
	assert_int_equal(pend("x", "g"), 0);
}

int main(void)
{
	pair_backend = "uring";
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_new_group_is_refused_for_good, pair_start, pair_stop),
	    cmocka_unit_test_setup_teardown(
	        a_start_has_room_for_all_that_is_stored, pair_start, pair_stop),
	    cmocka_unit_test_setup_teardown(an_id_that_has_expired_is_gone, pair_start, pair_stop),
	    cmocka_unit_test_setup_teardown(
	        a_new_transactional_id_is_refused_for_good, pair_start, pair_stop),
	};
	return cmocka_run_group_tests_name("broker/tables_full_test", tests, NULL, NULL);
}
