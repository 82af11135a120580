/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that name much, or the same again and again: what they cost grows with their length, and
 * with nothing else besides. Each keeps the loop for a fraction of a second; with a walk over all that
 * is there for each thing named it takes minutes.
 */
#include "test/lib/kafka_pair.h"
#include "test/lib/patience.h"
#include "test/lib/test.h"
#include "broker/auth/acl.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const int64_t BUSY_NS = 10 * S_NS; /* of a processor */

static void *call_soon(int16_t key, int16_t version, const void *body)
{
	int64_t begin = kafka_server_busy_ns(&server);
	void *r = kafka_call(&c, key, version, body);
	int64_t took = kafka_server_busy_ns(&server) - begin;
	printf("# %s: %lld ms\n", msg_api_find(key)->name, (long long)(took / MS_NS));
	assert_true(took < BUSY_NS);
	return r;
}

static struct str *names(int count, char letter)
{
	struct str *all = calloc((size_t)count, sizeof(*all));
	for (int i = 0; i < count; i++) {
		char *text = arena_printf(&c.arena, "%c%05d", letter, i);
		assert_non_null(text);
		all[i] = str_of(text);
	}
	return all;
}

static void *many(size_t size, int count, const void *one)
{
	char *all = malloc(size * (size_t)count);
	assert_non_null(all);
	for (int i = 0; i < count; i++)
		memcpy(all + (size_t)i * size, one, size);
	return all;
}

/* ---- access lists ---------------------------------------------------------------------------- */

static void create_acls(int count)
{
	struct create_acls_request_creation *all = calloc((size_t)count, sizeof(*all));
	struct str *name = names(count, 't');
	for (int i = 0; i < count; i++)
		all[i] = (struct create_acls_request_creation){.resource_type = ACL_TOPIC,
		    .resource_name = name[i],
		    .resource_pattern_type = ACL_LITERAL,
		    .principal = STR("User:a"),
		    .host = STR("*"),
		    .operation = ACL_READ,
		    .permission_type = ACL_ALLOW};
	struct create_acls_request body = {.creations = {all, (uint32_t)count}};
	const struct create_acls_response *r = kafka_call(&c, API_CREATE_ACLS, 2, &body);
	assert_int_equal(r->results.at[count - 1].error_code, 0);
	free(all);
	free(name);
}

static const struct delete_acls_response *delete_acls(struct delete_acls_request_filter one, int n)
{
	void *all = many(sizeof(one), n, &one);
	struct delete_acls_request body = {.filters = {all, (uint32_t)n}};
	const struct delete_acls_response *r = call_soon(API_DELETE_ACLS, 2, &body);
	free(all);
	return r;
}

static void many_filters_of_access_lists(void **state)
{
	(void)state;
	enum { ACLS = 5000 };
	struct delete_acls_request_filter all = {.resource_type_filter = ACL_RESOURCE_ANY,
	    .pattern_type_filter = ACL_PATTERN_ANY,
	    .principal_filter = STR("User:bbbbbbbbbbbbbbbbbbbbbbb"),
	    .operation = ACL_OPERATION_ANY,
	    .permission_type = ACL_PERMISSION_ANY};
	struct delete_acls_request_filter one = all;
	one.resource_type_filter = ACL_TOPIC;
	one.pattern_type_filter = ACL_LITERAL;
	one.resource_name_filter = STR("t00007");
	one.principal_filter = STR("User:a");
	create_acls(ACLS);
	/* all of them for each filter: refused, and nothing is deleted */
	const struct delete_acls_response *r = delete_acls(all, 100000);
	assert_int_equal(r->filter_results.at[0].error_code, 42);
	assert_int_equal(r->filter_results.at[99999].error_code, 42);
	/* a few are looked for everywhere */
	r = delete_acls(all, 10);
	assert_int_equal(r->filter_results.at[9].error_code, 0);
	assert_int_equal(r->filter_results.at[9].matching_acls.count, 0);
	/* those that name one thing are looked for there */
	r = delete_acls(one, 50000);
	assert_int_equal(r->filter_results.at[0].matching_acls.count, 1);
	assert_int_equal(r->filter_results.at[49999].matching_acls.count, 1);
	r = delete_acls(one, 1);
	assert_int_equal(r->filter_results.at[0].matching_acls.count, 0);
	one.resource_name_filter = STR("t00008");
	r = delete_acls(one, 1);
	assert_int_equal(r->filter_results.at[0].matching_acls.count, 1);
}

/* ---- users ----------------------------------------------------------------------------------- */

static void many_deletions_of_users(void **state)
{
	(void)state;
	enum { USERS = 10000, AGAIN = 200000 };
	struct str *name = names(USERS, 'u');
	struct alter_user_scram_credentials_request_upsertion *up = calloc(USERS, sizeof(*up));
	struct alter_user_scram_credentials_request_deletion *del =
	    calloc(USERS + AGAIN, sizeof(*del));
	static uint8_t secret[32];
	for (int i = 0; i < USERS; i++)
		up[i] = (struct alter_user_scram_credentials_request_upsertion){.name = name[i],
		    .mechanism = 1,
		    .iterations = 4096,
		    .salt = bytes_of(secret, 16),
		    .salted_password = bytes_of(secret, 32)};
	struct alter_user_scram_credentials_request body = {.upsertions = {up, USERS}};
	const struct alter_user_scram_credentials_response *r =
	    call_soon(API_ALTER_USER_SCRAM_CREDENTIALS, 0, &body);
	assert_int_equal(r->results.count, USERS);
	assert_int_equal(r->results.at[0].error_code, 0);
	kafka_client_clear(&c);
	free(name);
	name = names(USERS, 'u');
	for (int i = 0; i < USERS + AGAIN; i++)
		del[i] = (struct alter_user_scram_credentials_request_deletion){
		    .name = name[i < USERS ? i : USERS - 1], .mechanism = 1};
	body = (struct alter_user_scram_credentials_request){.deletions = {del, USERS + AGAIN}};
	r = call_soon(API_ALTER_USER_SCRAM_CREDENTIALS, 0, &body);
	assert_int_equal(r->results.count, USERS);
	assert_int_equal(r->results.at[0].error_code, 0);
	assert_int_equal(r->results.at[USERS - 1].error_code, 92);
	/* both mechanisms of one user are two things */
	struct alter_user_scram_credentials_request_deletion two[] = {
	    {name[USERS - 1], 1}, {name[USERS - 1], 2}};
	body = (struct alter_user_scram_credentials_request){.deletions = {two, 2}};
	r = kafka_call(&c, API_ALTER_USER_SCRAM_CREDENTIALS, 0, &body);
	assert_int_equal(r->results.at[0].error_code, 91);
	free(name);
	free(up);
	free(del);
}

/* ---- groups and transactions ----------------------------------------------------------------- */

static void commit_by(struct kafka_client *client, const char *group)
{
	struct offset_commit_request_partition p = {
	    .committed_offset = 1, .committed_leader_epoch = -1};
	struct offset_commit_request_topic t = {.name = STR("t"), .partitions = {&p, 1}};
	struct offset_commit_request body = {.group_id = str_of(group),
	    .generation_id_or_member_epoch = -1,
	    .member_id = STR(""),
	    .topics = {&t, 1}};
	const struct offset_commit_response *r = kafka_call(client, API_OFFSET_COMMIT, 7, &body);
	assert_int_equal(r->topics.at[0].partitions.at[0].error_code, 0);
}

static void commit(const char *group)
{
	commit_by(&c, group);
}

static void many_filters_of_groups(void **state)
{
	(void)state;
	enum { GROUPS = 200, FILTERS = 1500000 };
	char name[32];
	kafka_create(&c, "t", 1, NULL);
	for (int i = 0; i < GROUPS; i++) {
		snprintf(name, sizeof(name), "g%d", i);
		commit(name);
		kafka_client_clear(&c);
	}
	struct str *states = many(sizeof(struct str), FILTERS, &STR("nowhere"));
	struct list_groups_request body = {.states_filter = {states, FILTERS}};
	const struct list_groups_response *r = call_soon(API_LIST_GROUPS, 4, &body);
	assert_int_equal(r->groups.count, 0);
	states[FILTERS - 1] = STR("empty");
	r = call_soon(API_LIST_GROUPS, 4, &body);
	assert_int_equal(r->groups.count, GROUPS);
	struct list_groups_request types = {.types_filter = {states, FILTERS}};
	r = call_soon(API_LIST_GROUPS, 5, &types);
	assert_int_equal(r->groups.count, 0);
	states[FILTERS - 1] = STR("Classic");
	r = call_soon(API_LIST_GROUPS, 5, &types);
	assert_int_equal(r->groups.count, GROUPS);
	free(states);
}

static void the_same_group_deleted_often(void **state)
{
	(void)state;
	enum { TIMES = 100000 };
	kafka_create(&c, "t", 1, NULL);
	commit("ggggggg");
	struct str *again = many(sizeof(struct str), TIMES, &STR("ggggggg"));
	struct delete_groups_request body = {.groups_names = {again, TIMES}};
	const struct delete_groups_response *r = call_soon(API_DELETE_GROUPS, 2, &body);
	assert_int_equal(r->results.count, 1); /* they are a set, as in Kafka */
	assert_int_equal(r->results.at[0].error_code, 0);
	free(again);
}

static struct init_producer_id_response init(const char *id)
{
	struct init_producer_id_request body = {.transactional_id = str_of(id),
	    .transaction_timeout_ms = 60000,
	    .producer_id = -1,
	    .producer_epoch = -1};
	const struct init_producer_id_response *r = kafka_call(&c, API_INIT_PRODUCER_ID, 4, &body);
	assert_int_equal(r->error_code, 0);
	return *r;
}

static void many_filters_of_transactions(void **state)
{
	(void)state;
	enum { TRANSACTIONS = 200, FILTERS = 1500000 };
	char name[32];
	int64_t last = 0;
	for (int i = 0; i < TRANSACTIONS; i++) {
		snprintf(name, sizeof(name), "x%d", i);
		last = init(name).producer_id;
		kafka_client_clear(&c);
	}
	int64_t none = 1LL << 60;
	int64_t *ids = many(sizeof(int64_t), FILTERS, &none);
	struct list_transactions_request body = {
	    .producer_id_filters = {ids, FILTERS}, .duration_filter = -1};
	const struct list_transactions_response *r = call_soon(API_LIST_TRANSACTIONS, 1, &body);
	assert_int_equal(r->transaction_states.count, 0);
	ids[FILTERS - 1] = last;
	r = call_soon(API_LIST_TRANSACTIONS, 1, &body);
	assert_int_equal(r->transaction_states.count, 1);
	struct str *states = many(sizeof(struct str), FILTERS, &STR("nowhere"));
	body = (struct list_transactions_request){
	    .state_filters = {states, FILTERS}, .duration_filter = -1};
	states[0] = STR("Empty");
	r = call_soon(API_LIST_TRANSACTIONS, 1, &body);
	assert_int_equal(r->transaction_states.count, TRANSACTIONS);
	free(ids);
	free(states);
}

/* Each id takes all the steps that a pattern has; others are served meanwhile. */
static void a_pattern_for_many_transactions_leaves_turns_to_others(void **state)
{
	(void)state;
	enum { TRANSACTIONS = 2000, AT_ONCE = 100 };
	kafka_create(&c, "t", 1, NULL);
	struct kafka_client other;
	char name[64];
	struct init_producer_id_request body = {
	    .transaction_timeout_ms = 60000, .producer_id = -1, .producer_epoch = -1};
	for (int i = 0; i < TRANSACTIONS; i++) {
		snprintf(name, sizeof(name), "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa%d", i);
		body.transactional_id = str_of(name);
		kafka_send(&c, API_INIT_PRODUCER_ID, 4, &body);
		for (int k = 0; i % AT_ONCE == AT_ONCE - 1 && k < AT_ONCE; k++) {
			const struct init_producer_id_response *r =
			    kafka_receive(&c, API_INIT_PRODUCER_ID, 4);
			assert_int_equal(r->error_code, 0);
		}
	}
	kafka_connect(&other, &server);
	struct list_transactions_request slow = {
	    .duration_filter = -1, .transactional_id_pattern = STR("(a+)+[b-c]")};
	const struct list_transactions_response *r;
	bool overtaken = false; /* another has been frozen in between, or not */
	for (int i = 0; i < 5 && !overtaken; i++) {
		kafka_send(&c, API_LIST_TRANSACTIONS, 2, &slow);
		kafka_send(&c, API_LIST_TRANSACTIONS, 2, &slow);
		commit_by(&other, "g");
		overtaken = !kafka_readable(&c, 0);
		r = kafka_receive(&c, API_LIST_TRANSACTIONS, 2);
		assert_int_equal(r->transaction_states.count, 0);
		kafka_receive(&c, API_LIST_TRANSACTIONS, 2);
	}
	assert_true(overtaken);
	/* who goes meanwhile is forgotten */
	kafka_send(&other, API_LIST_TRANSACTIONS, 2, &slow);
	kafka_disconnect(&other);
	slow.transactional_id_pattern = STR("a+7");
	r = kafka_call(&c, API_LIST_TRANSACTIONS, 2, &slow);
	assert_int_equal(r->transaction_states.count, 1);
}

/* Offsets that a transaction will commit, asked for as stable ones. */
static void many_offsets_that_are_not_stable(void **state)
{
	(void)state;
	enum { COUNT = 6000 };
	kafka_create(&c, "t", COUNT, NULL);
	struct init_producer_id_response p = init("x");
	struct add_offsets_to_txn_request add = {.transactional_id = STR("x"),
	    .producer_id = p.producer_id,
	    .producer_epoch = p.producer_epoch,
	    .group_id = STR("g")};
	const struct add_offsets_to_txn_response *added =
	    kafka_call(&c, API_ADD_OFFSETS_TO_TXN, 3, &add);
	assert_int_equal(added->error_code, 0);
	struct txn_offset_commit_request_partition *parts = calloc(COUNT, sizeof(*parts));
	int32_t *indexes = calloc(COUNT, sizeof(*indexes));
	for (int i = 0; i < COUNT; i++) {
		parts[i] = (struct txn_offset_commit_request_partition){.partition_index = i,
		    .committed_offset = 7,
		    .committed_leader_epoch = -1,
		    .committed_metadata = STR("")};
		indexes[i] = i;
	}
	struct txn_offset_commit_request_topic t = {
	    .name = STR("t"), .partitions = {parts, COUNT / 2}};
	struct txn_offset_commit_request body = {.transactional_id = STR("x"),
	    .group_id = STR("g"),
	    .producer_id = p.producer_id,
	    .producer_epoch = p.producer_epoch,
	    .generation_id = -1,
	    .member_id = STR(""),
	    .topics = {&t, 1}};
	const struct txn_offset_commit_response *r = call_soon(API_TXN_OFFSET_COMMIT, 3, &body);
	assert_int_equal(r->topics.at[0].partitions.at[COUNT / 2 - 1].error_code, 0);
	struct offset_fetch_request_topic ask = {
	    .name = STR("t"), .partition_indexes = {indexes, COUNT}};
	struct offset_fetch_request fetch = {
	    .group_id = STR("g"), .topics = {&ask, 1}, .require_stable = true};
	const struct offset_fetch_response *got = call_soon(API_OFFSET_FETCH, 7, &fetch);
	assert_int_equal(got->topics.at[0].partitions.at[0].error_code, 88);
	assert_int_equal(got->topics.at[0].partitions.at[COUNT / 2 - 1].error_code, 88);
	assert_int_equal(got->topics.at[0].partitions.at[COUNT / 2].error_code, 0);
	/* more of it are as unstable as the first */
	t.partitions.at = parts + COUNT / 2;
	r = call_soon(API_TXN_OFFSET_COMMIT, 3, &body);
	assert_int_equal(r->topics.at[0].partitions.at[COUNT / 2 - 1].error_code, 0);
	got = call_soon(API_OFFSET_FETCH, 7, &fetch);
	assert_int_equal(got->topics.at[0].partitions.at[COUNT - 1].error_code, 88);
	struct end_txn_request end = {.transactional_id = STR("x"),
	    .producer_id = p.producer_id,
	    .producer_epoch = p.producer_epoch,
	    .committed = true};
	const struct end_txn_response *ended = kafka_call(&c, API_END_TXN, 3, &end);
	assert_int_equal(ended->error_code, 0);
	for (int64_t left = PATIENCE_MS; left > 0; left -= 20) {
		got = kafka_call(&c, API_OFFSET_FETCH, 7, &fetch);
		if (got->topics.at[0].partitions.at[0].error_code == 0)
			break;
		io_sleep_ns(server.io, 20 * MS_NS);
	}
	assert_int_equal(got->topics.at[0].partitions.at[COUNT - 1].error_code, 0);
	assert_int_equal(got->topics.at[0].partitions.at[COUNT - 1].committed_offset, 7);
	free(parts);
	free(indexes);
}

static void producers_of_one_partition_asked_for_often(void **state)
{
	(void)state;
	enum { PRODUCERS = 3000, TIMES = 400000 };
	kafka_create(&c, "t", 1, NULL);
	for (int i = 0; i < PRODUCERS; i++) {
		struct produce_response_partition p =
		    kafka_produce(&c, 9, "t", 0, kafka_batch_of(&c, 0, 1, 1000 + i, 0));
		assert_int_equal(p.error_code, 0);
		kafka_client_clear(&c);
	}
	int32_t *indexes = calloc(TIMES, sizeof(*indexes));
	struct describe_producers_request_topic t = {
	    .name = STR("t"), .partition_indexes = {indexes, TIMES}};
	struct describe_producers_request body = {.topics = {&t, 1}};
	int64_t begin = kafka_server_busy_ns(&server);
	kafka_send(&c, API_DESCRIBE_PRODUCERS, 0, &body);
	assert_true(kafka_is_closed(&c)); /* no such answer fits */
	int64_t took = kafka_server_busy_ns(&server) - begin;
	printf("# DescribeProducers: %lld ms\n", (long long)(took / MS_NS));
	assert_true(took < BUSY_NS);
	free(indexes);
}

/* ---- fetches --------------------------------------------------------------------------------- */

/* In a test that serves from its own process this is what all together take. */
static int64_t cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * S_NS + t.tv_nsec;
}

static int64_t cost_of_appends(int count)
{
	int64_t begin = cpu_ns();
	for (int i = 0; i < count; i++) {
		assert_int_equal(
		    kafka_produce(&c, 9, "t", 5, kafka_batch(&c, 0, 1, "v")).error_code, 0);
		kafka_client_clear(&c);
	}
	return (cpu_ns() - begin) / count;
}

static void fetches_that_name_much_are_not_walked_at_each_append(void **state)
{
	(void)state;
	enum { PARTITIONS = 10000, FETCHES = 30 };
	static struct kafka_client waiting[FETCHES];
	const struct kafka_fetch much = {.version = 4,
	    .partitions = PARTITIONS,
	    .max_wait_ms = 300000,
	    .min_bytes = (int32_t)GIB};
	pair_restart(&(struct broker_options){.answer_budget_bytes = 2 * GIB});
	kafka_create(&c, "t", PARTITIONS, NULL);
	int64_t alone = cost_of_appends(100);
	for (int i = 0; i < FETCHES; i++) {
		kafka_connect(&waiting[i], &server);
		kafka_fetch_send(&waiting[i], "t", much);
	}
	io_sleep_ns(server.io, S_NS);
	int64_t beside = cost_of_appends(100);
	printf("# CPU of an append: %lld us, beside %d fetches of %d partitions %lld us\n",
	    (long long)(alone / US_NS), FETCHES, PARTITIONS, (long long)(beside / US_NS));
	assert_true(beside < alone + 5 * MS_NS); /* a walk takes 10 ms */
	for (int i = 0; i < FETCHES; i++) {
		assert_false(kafka_readable(&waiting[i], 0));
		kafka_disconnect(&waiting[i]);
	}
}

/* ---- topics ---------------------------------------------------------------------------------- */

static void the_same_topic_asked_for_often_is_made_once(void **state)
{
	(void)state;
	enum { TIMES = 300000 };
	struct metadata_request_topic one = {.name = STR("a-topic-whose-name-is-rather-long")};
	struct metadata_request_topic *all = many(sizeof(one), TIMES, &one);
	struct metadata_request body = {.topics = {all, TIMES}, .allow_auto_topic_creation = true};
	const struct metadata_response *r = call_soon(API_METADATA, 9, &body);
	assert_int_equal(r->topics.count, 1);
	assert_int_equal(r->topics.at[0].error_code, 0);
	free(all);
}

/* More than that are not made by one request: who asks again gets the next. */
static void a_request_makes_so_many_topics(void **state)
{
	(void)state;
	enum { COUNT = 50000 };
	struct str *name = names(COUNT, 'n');
	struct metadata_request_topic *all = calloc(COUNT, sizeof(*all));
	uint32_t made = 0;
	for (int i = 0; i < COUNT; i++)
		all[i].name = name[i];
	struct metadata_request body = {.topics = {all, COUNT}, .allow_auto_topic_creation = true};
	const struct metadata_response *r = kafka_call(&c, API_METADATA, 9, &body);
	for (uint32_t i = 0; i < r->topics.count; i++) {
		made += r->topics.at[i].error_code == 0;
		assert_true(r->topics.at[i].error_code == 0 || r->topics.at[i].error_code == 3);
	}
	assert_int_equal(r->topics.count, COUNT);
	assert_int_equal(made, 200);
	free(name);
	free(all);
}

/* ---- frames ---------------------------------------------------------------------------------- */

static void only_records_come_in_requests_of_more_than_16_mib(void **state)
{
	(void)state;
	static uint8_t wire[4096];
	struct kafka_client other;
	put_u32_be(wire, 17 * MIB);
	put_u16_be(wire + 4, API_METADATA);
	put_u16_be(wire + 6, 9);
	kafka_connect(&other, &server);
	kafka_send_raw(&other, bytes_of(wire, sizeof(wire)));
	assert_true(kafka_is_closed(&other));
	kafka_disconnect(&other);
	put_u16_be(wire + 4, API_PRODUCE);
	kafka_connect(&other, &server);
	kafka_send_raw(&other, bytes_of(wire, sizeof(wire)));
	assert_false(kafka_readable(&other, 500)); /* waits for the rest */
	kafka_disconnect(&other);
}

#define EACH(f) cmocka_unit_test_setup_teardown(f, pair_start, pair_stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    EACH (many_filters_of_access_lists),
	    EACH (many_deletions_of_users),
	    EACH (many_filters_of_groups),
	    EACH (the_same_group_deleted_often),
	    EACH (many_filters_of_transactions),
	    EACH (a_pattern_for_many_transactions_leaves_turns_to_others),
	    EACH (fetches_that_name_much_are_not_walked_at_each_append),
	    EACH (many_offsets_that_are_not_stable),
	    EACH (producers_of_one_partition_asked_for_often),
	    EACH (the_same_topic_asked_for_often_is_made_once),
	    EACH (a_request_makes_so_many_topics),
	    EACH (only_records_come_in_requests_of_more_than_16_mib),
	};
	return cmocka_run_group_tests_name("long requests", tests, NULL, NULL);
}
