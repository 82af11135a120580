/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Consumer groups (KIP-848) over loopback with hand-made requests: what a restart keeps, who may
 * commit and fetch, and that a group is of one kind at a time.
 */
#include "test/lib/kafka_calls.h"
#include "test/lib/patience.h"
#include "test/lib/test.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct kafka_server server;
static struct kafka_client a;
static struct log_uuid topic;

static int start(void **state)
{
	(void)state;
	struct broker_options options = {.group_initial_delay_ms = -1};
	kafka_server_start(&server, "uring", &options);
	kafka_connect(&a, &server);
	topic = kafka_create(&a, "t", 4, NULL);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	kafka_disconnect(&a);
	kafka_server_remove(&server);
	return 0;
}

static void restart_with(const struct broker_options *options)
{
	kafka_disconnect(&a);
	kafka_server_stop(&server);
	kafka_server_start(&server, "uring", options);
	kafka_connect(&a, &server);
}

static void restart(void)
{
	restart_with(&(struct broker_options){.group_initial_delay_ms = -1});
}

/* ---- requests ------------------------------------------------------------------------------------ */

typedef const struct consumer_group_heartbeat_response *answer;

static struct str names[] = {{"t", 1}};

static struct consumer_group_heartbeat_request join_of(const char *member)
{
	static struct consumer_group_heartbeat_request_topic none;
	return (struct consumer_group_heartbeat_request){
	    .group_id = STR("g"),
	    .member_id = str_of(member),
	    .rebalance_timeout_ms = 30000,
	    .subscribed_topic_names = {names, 1},
	    .topic_partitions = {&none, 0},
	};
}

static answer send(const struct consumer_group_heartbeat_request *body)
{
	return kafka_call(&a, API_CONSUMER_GROUP_HEARTBEAT, 1, body);
}

static answer join(const char *member)
{
	struct consumer_group_heartbeat_request body = join_of(member);
	return send(&body);
}

static answer beat(const char *member, int32_t epoch)
{
	struct consumer_group_heartbeat_request body = {.group_id = STR("g"),
	    .member_id = str_of(member),
	    .member_epoch = epoch,
	    .rebalance_timeout_ms = -1};
	return send(&body);
}

/* Says that it owns partitions 0 to `count` of t. */
static answer beat_owning(const char *member, int32_t epoch, uint32_t count)
{
	int32_t partitions[] = {0, 1, 2, 3};
	struct consumer_group_heartbeat_request_topic owned = {
	    .topic_id = topic, .partitions = {partitions, count}};
	struct consumer_group_heartbeat_request body = {.group_id = STR("g"),
	    .member_id = str_of(member),
	    .member_epoch = epoch,
	    .rebalance_timeout_ms = -1,
	    .topic_partitions = {&owned, 1}};
	return send(&body);
}

static uint32_t assigned(answer r)
{
	assert_int_equal(r->error_code, 0);
	assert_non_null(r->assignment);
	return r->assignment->topic_partitions.count
	           ? r->assignment->topic_partitions.at[0].partitions.count
	           : 0;
}

static int16_t commit(int16_t version, const char *member, int32_t epoch, int32_t partition)
{
	struct offset_commit_request_partition p = {
	    .partition_index = partition, .committed_offset = 7, .committed_metadata = STR("")};
	struct offset_commit_request_topic t = {
	    .name = STR("t"), .topic_id = topic, .partitions = {&p, 1}};
	struct offset_commit_request body = {.group_id = STR("g"),
	    .generation_id_or_member_epoch = epoch,
	    .member_id = str_of(member),
	    .retention_time_ms = -1,
	    .topics = {&t, 1}};
	const struct offset_commit_response *r = kafka_call(&a, API_OFFSET_COMMIT, version, &body);
	return r->topics.at[0].partitions.at[0].error_code;
}

static int16_t fetch(const char *member, int32_t epoch)
{
	struct offset_fetch_request_group group = {
	    .group_id = STR("g"), .member_id = str_of(member), .member_epoch = epoch};
	struct offset_fetch_request body = {.groups = {&group, 1}};
	const struct offset_fetch_response *r = kafka_call(&a, API_OFFSET_FETCH, 9, &body);
	return r->groups.at[0].error_code;
}

static const struct consumer_group_describe_response_group *describe(int16_t version)
{
	struct str g = STR("g");
	struct consumer_group_describe_request body = {.group_ids = {&g, 1}};
	const struct consumer_group_describe_response *r =
	    kafka_call(&a, API_CONSUMER_GROUP_DESCRIBE, version, &body);
	assert_int_equal(r->groups.count, 1);
	return &r->groups.at[0];
}

static struct join_group_request_protocol range = {{"range", 5}, {(const uint8_t *)"sub", 3}};

static int16_t join_classic(void)
{
	struct join_group_request body = {.group_id = STR("g"),
	    .session_timeout_ms = 10000,
	    .rebalance_timeout_ms = 20000,
	    .member_id = STR(""),
	    .protocol_type = STR("consumer"),
	    .protocols = {&range, 1}};
	const struct join_group_response *r = kafka_call(&a, API_JOIN_GROUP, 3, &body);
	return r->error_code;
}

static const struct list_groups_response *list(const char *type)
{
	struct str t = str_of(type);
	struct list_groups_request body = {.types_filter = {&t, 1}};
	return kafka_call(&a, API_LIST_GROUPS, 5, &body);
}

/* ---- tests --------------------------------------------------------------------------------------- */

static void partitions_move_from_one_member_to_another(void **state)
{
	(void)state;
	answer r = join("x");
	assert_int_equal(assigned(r), 4);
	assert_true(str_equal(r->member_id, STR("x")));
	assert_int_equal(r->member_epoch, 1);
	assert_int_equal(r->heartbeat_interval_ms, 5000);
	assert_int_equal(assigned(join("y")), 0);
	assert_int_equal(assigned(beat_owning("x", 1, 4)), 2);
	assert_null(beat("y", 2)->assignment);
	assert_int_equal(describe(1)->members.count, 2);
	answer x = beat_owning("x", 1, 0);
	assert_int_equal(x->member_epoch, 2);
	assert_int_equal(assigned(beat("y", 2)), 2);
	const struct consumer_group_describe_response_group *g = describe(1);
	assert_true(str_equal(g->group_state, STR("Stable")));
	assert_true(str_equal(g->assignor_name, STR("uniform")));
	assert_int_equal(g->group_epoch, 2);
	assert_int_equal(g->assignment_epoch, 2);
	assert_int_equal(g->members.at[0].member_type, 1);
	assert_int_equal(g->members.at[0].assignment.topic_partitions.at[0].partitions.count, 2);
	assert_int_equal(
	    g->members.at[1].target_assignment.topic_partitions.at[0].partitions.count, 2);
	assert_true(str_equal(
	    g->members.at[1].target_assignment.topic_partitions.at[0].topic_name, STR("t")));
	assert_int_equal(beat("x", -1)->member_epoch, -1);
	assert_int_equal(assigned(beat("y", 2)), 4);
}

static void version_0_makes_the_member_id(void **state)
{
	(void)state;
	struct consumer_group_heartbeat_request body = join_of("");
	answer r = kafka_call(&a, API_CONSUMER_GROUP_HEARTBEAT, 0, &body);
	assert_int_equal(assigned(r), 4);
	assert_int_equal(r->member_id.len, 22);
	r = kafka_call(&a, API_CONSUMER_GROUP_HEARTBEAT, 1, &body);
	assert_int_equal(r->error_code, 42);
	assert_null(r->assignment);
	assert_true(r->error_message.len > 0);
}

static void bad_heartbeats_are_refused(void **state)
{
	(void)state;
	struct consumer_group_heartbeat_request body = join_of("x");
	body.group_id = STR("");
	assert_int_equal(send(&body)->error_code, 42);
	body = join_of("x");
	body.rebalance_timeout_ms = -1;
	assert_int_equal(send(&body)->error_code, 42);
	body = join_of("x");
	body.topic_partitions.at = NULL;
	assert_int_equal(send(&body)->error_code, 42);
	body = join_of("x");
	body.subscribed_topic_names.at = NULL;
	body.subscribed_topic_names.count = 0;
	assert_int_equal(send(&body)->error_code, 42);
	body.subscribed_topic_regex = STR("(?=t)t");
	assert_int_equal(send(&body)->error_code, 128);
	body = join_of("x");
	body.server_assignor = STR("mine");
	assert_int_equal(send(&body)->error_code, 112);
	assert_int_equal(beat("x", -3)->error_code, 42);
	assert_int_equal(beat("x", -2)->error_code, 42);
	assert_int_equal(beat("x", 1)->error_code, 69);
	assert_int_equal(describe(0)->error_code, 69);
	join("x");
	assert_int_equal(beat("z", 1)->error_code, 25);
	assert_int_equal(beat("x", 9)->error_code, 110);
}

static void a_group_survives_a_restart(void **state)
{
	(void)state;
	join("x");
	join("y");
	beat_owning("x", 1, 4);
	int32_t epoch = describe(1)->group_epoch;
	assert_int_equal(commit(9, "x", 1, 0), 0);
	restart();
	const struct consumer_group_describe_response_group *g = describe(1);
	assert_int_equal(g->error_code, 0);
	assert_int_equal(g->group_epoch, epoch);
	assert_int_equal(g->members.count, 2);
	assert_true(str_equal(g->group_state, STR("Reconciling")));
	/* x still has to let two of them go before y may have them */
	assert_null(beat("y", 2)->assignment);
	assert_int_equal(beat_owning("x", 1, 0)->member_epoch, 2);
	assert_int_equal(assigned(beat("y", 2)), 2);
	assert_int_equal(fetch("x", 2), 0);
	restart();
	assert_true(str_equal(describe(1)->group_state, STR("Stable")));
	assert_int_equal(beat("x", -1)->error_code, 0);
	assert_int_equal(beat("y", -1)->error_code, 0);
	restart(); /* without its members: their rows are gone */
	g = describe(1);
	assert_int_equal(g->members.count, 0);
	assert_true(str_equal(g->group_state, STR("Empty")));
	assert_true(g->group_epoch > epoch);
}

static void offsets_are_for_members_of_the_epoch(void **state)
{
	(void)state;
	join("x");
	assert_int_equal(commit(9, "x", 1, 0), 0);
	assert_int_equal(commit(10, "x", 1, 0), 0);
	assert_int_equal(commit(8, "x", 1, 0), 35);
	assert_int_equal(commit(9, "x", 2, 0), 113);
	assert_int_equal(commit(9, "z", 1, 0), 25);
	assert_int_equal(commit(9, "", -1, 0), 25);
	assert_int_equal(fetch("x", 1), 0);
	assert_int_equal(fetch("x", 0), 113);
	assert_int_equal(fetch("z", 1), 25);
	struct offset_fetch_request old = {.group_id = STR("g")}; /* before version 9 nobody says */
	const struct offset_fetch_response *r = kafka_call(&a, API_OFFSET_FETCH, 7, &old);
	assert_int_equal(r->error_code, 0);
	assert_int_equal(r->topics.count, 1);
	beat("x", -1);
	assert_int_equal(commit(9, "", -1, 0), 0); /* it is empty */
}

static void a_group_is_of_one_kind_at_a_time(void **state)
{
	(void)state;
	join("x");
	assert_int_equal(join_classic(), 23);
	assert_int_equal(list("consumer")->groups.count, 1);
	assert_int_equal(list("classic")->groups.count, 0);
	struct str g = STR("g");
	struct describe_groups_request body = {.groups = {&g, 1}};
	const struct describe_groups_response *d = kafka_call(&a, API_DESCRIBE_GROUPS, 6, &body);
	assert_int_equal(d->groups.at[0].error_code, 69);
	struct delete_groups_request del = {.groups_names = {&g, 1}};
	const struct delete_groups_response *dr = kafka_call(&a, API_DELETE_GROUPS, 2, &del);
	assert_int_equal(dr->results.at[0].error_code, 68);
	beat("x", -1);
	assert_int_equal(join_classic(), 0); /* empty: it becomes a classic one */
	assert_int_equal(list("classic")->groups.count, 1);
	assert_int_equal(join("x")->error_code, 69);
	assert_int_equal(describe(1)->error_code, 69);
}

static void an_empty_classic_group_becomes_one_of_consumers(void **state)
{
	(void)state;
	assert_int_equal(commit(7, "", -1, 0), 0); /* an offset makes a group */
	assert_int_equal(list("classic")->groups.count, 1);
	assert_int_equal(assigned(join("x")), 4);
	assert_int_equal(list("consumer")->groups.count, 1);
	assert_int_equal(fetch("x", 1), 0);
	restart();
	assert_int_equal(list("consumer")->groups.count, 1);
	beat("x", -1);
	struct str g = STR("g");
	struct delete_groups_request del = {.groups_names = {&g, 1}};
	const struct delete_groups_response *dr = kafka_call(&a, API_DELETE_GROUPS, 2, &del);
	assert_int_equal(dr->results.at[0].error_code, 0);
	restart();
	assert_int_equal(list("consumer")->groups.count, 0);
	assert_int_equal(describe(1)->error_code, 69);
}

/* It joins, leaves and is deleted before any of it is durable. */
static void a_group_is_deleted_while_it_is_stored(void **state)
{
	(void)state;
	struct str g = STR("g");
	struct delete_groups_request del = {.groups_names = {&g, 1}};
	for (int i = 0; i < 50; i++) {
		assert_int_equal(commit(7, "", -1, 0), 0);
		struct consumer_group_heartbeat_request body = join_of("x");
		kafka_send(&a, API_CONSUMER_GROUP_HEARTBEAT, 1, &body);
		body.member_epoch = -1;
		kafka_send(&a, API_CONSUMER_GROUP_HEARTBEAT, 1, &body);
		kafka_send(&a, API_DELETE_GROUPS, 2, &del);
		for (int k = 0; k < 2; k++) {
			answer r = kafka_receive(&a, API_CONSUMER_GROUP_HEARTBEAT, 1);
			assert_int_equal(r->error_code, 0);
		}
		const struct delete_groups_response *dr = kafka_receive(&a, API_DELETE_GROUPS, 2);
		while (dr->results.at[0].error_code == 15)
			dr = kafka_call(&a, API_DELETE_GROUPS, 2, &del);
		assert_int_equal(dr->results.at[0].error_code, 0);
		assert_int_equal(list("consumer")->groups.count, 0);
		assert_int_equal(list("classic")->groups.count, 0);
	}
	restart();
	assert_int_equal(list("consumer")->groups.count, 0);
}

static void offsets_of_what_is_subscribed_stay(void **state)
{
	(void)state;
	join("x");
	commit(9, "x", 1, 0);
	struct offset_delete_request_partition p = {0};
	struct offset_delete_request_topic t = {.name = STR("t"), .partitions = {&p, 1}};
	struct offset_delete_request body = {.group_id = STR("g"), .topics = {&t, 1}};
	const struct offset_delete_response *r = kafka_call(&a, API_OFFSET_DELETE, 0, &body);
	assert_int_equal(r->topics.at[0].partitions.at[0].error_code, 86);
	beat("x", -1);
	r = kafka_call(&a, API_OFFSET_DELETE, 0, &body);
	assert_int_equal(r->topics.at[0].partitions.at[0].error_code, 0);
}

static int64_t committed(const char *name)
{
	int32_t zero = 0;
	struct offset_fetch_request_topic t = {
	    .name = str_of(name), .partition_indexes = {&zero, 1}};
	struct offset_fetch_request body = {.group_id = STR("g"), .topics = {&t, 1}};
	const struct offset_fetch_response *r = kafka_call(&a, API_OFFSET_FETCH, 7, &body);
	return r->topics.at[0].partitions.at[0].committed_offset;
}

static void offsets_of_what_is_left_expire_beside_members(void **state)
{
	(void)state;
	struct offset_commit_request_partition p = {.committed_offset = 7};
	struct offset_commit_request_topic t = {.name = STR("left"), .partitions = {&p, 1}};
	struct offset_commit_request body = {.group_id = STR("g"),
	    .generation_id_or_member_epoch = 1,
	    .member_id = STR("x"),
	    .retention_time_ms = -1,
	    .topics = {&t, 1}};
	kafka_create(&a, "left", 1, NULL);
	join("x");
	assert_int_equal(commit(9, "x", 1, 0), 0);
	const struct offset_commit_response *r = kafka_call(&a, API_OFFSET_COMMIT, 9, &body);
	assert_int_equal(r->topics.at[0].partitions.at[0].error_code, 0);
	restart_with(&(struct broker_options){.group_initial_delay_ms = -1,
	    .offsets_retention_ms = 50,
	    .offsets_check_interval_ms = 50});
	for (int ms = 0; ms < PATIENCE_MS && committed("left") >= 0; ms += 20)
		usleep(20000);
	assert_int_equal(committed("left"), -1);
	assert_int_equal(committed("t"), 7);
	assert_int_equal(beat("x", 1)->error_code, 0);
}

static int16_t remove_member(const char *group, const char *id, struct str instance)
{
	struct leave_group_request_member m = {
	    .member_id = str_of(id), .group_instance_id = instance};
	struct leave_group_request body = {.group_id = str_of(group), .members = {&m, 1}};
	const struct leave_group_response *r = kafka_call(&a, API_LEAVE_GROUP, 5, &body);
	assert_int_equal(r->error_code, 0);
	assert_int_equal(r->members.count, 1);
	return r->members.at[0].error_code;
}

static void an_administrator_removes_members(void **state)
{
	(void)state;
	const struct str none = {NULL, 0};
	struct consumer_group_heartbeat_request body = join_of("x");
	body.instance_id = STR("i");
	assert_int_equal(assigned(send(&body)), 4);
	join("y");
	assert_int_equal(remove_member("none", "x", none), 25);
	assert_int_equal(remove_member("g", "z", none), 25);
	assert_int_equal(remove_member("g", "y", STR("i")), 82);
	assert_int_equal(remove_member("g", "y", none), 0);
	assert_int_equal(describe(1)->members.count, 1);
	assert_int_equal(remove_member("g", "", STR("i")), 0);
	assert_int_equal(describe(1)->members.count, 0);
}

static void the_feature_is_finalized(void **state)
{
	(void)state;
	struct api_versions_request body = {
	    .client_software_name = STR("x"), .client_software_version = STR("1")};
	const struct api_versions_response *r = kafka_call(&a, API_API_VERSIONS, 4, &body);
	bool found = false;
	for (uint32_t i = 0; i < r->finalized_features.count; i++)
		found =
		    found || (str_equal(r->finalized_features.at[i].name, STR("group.version")) &&
		                 r->finalized_features.at[i].max_version_level == 1);
	assert_true(found);
	assert_int_equal(r->finalized_features_epoch, 0);
}

#define ONE(f) cmocka_unit_test_setup_teardown(f, start, stop)
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    ONE(partitions_move_from_one_member_to_another),
	    ONE(version_0_makes_the_member_id),
	    ONE(bad_heartbeats_are_refused),
	    ONE(a_group_survives_a_restart),
	    ONE(offsets_are_for_members_of_the_epoch),
	    ONE(a_group_is_of_one_kind_at_a_time),
	    ONE(an_empty_classic_group_becomes_one_of_consumers),
	    ONE(a_group_is_deleted_while_it_is_stored),
	    ONE(offsets_of_what_is_subscribed_stay),
	    ONE(offsets_of_what_is_left_expire_beside_members),
	    ONE(an_administrator_removes_members),
	    ONE(the_feature_is_finalized),
	};
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
