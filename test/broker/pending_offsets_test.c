/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Offsets that wait for a transaction, and what others do meanwhile to the same group: what comes
 * later wins, without a restart between, with one, and after kill -9.
 */
#include "broker/kafka/server.h"
#include "test/lib/kafka_pair.h"
#include "test/lib/patience.h"
#include "test/lib/test.h"

#include <stdio.h>
#include <unistd.h>

/* ---- calls ----------------------------------------------------------------------------------- */

struct who {
	const char *name;
	int64_t id;
	int16_t epoch;
};

static struct who init(const char *name)
{
	struct init_producer_id_request body = {.transactional_id = str_of(name),
	    .transaction_timeout_ms = 600000,
	    .producer_id = -1,
	    .producer_epoch = -1};
	const struct init_producer_id_response *r = kafka_call(&c, API_INIT_PRODUCER_ID, 5, &body);
	assert_int_equal(r->error_code, 0);
	return (struct who){name, r->producer_id, r->producer_epoch};
}

static void end(struct who *w, bool commit)
{
	struct end_txn_request body = {.transactional_id = str_of(w->name),
	    .producer_id = w->id,
	    .producer_epoch = w->epoch,
	    .committed = commit};
	const struct end_txn_response *r = kafka_call(&c, API_END_TXN, 5, &body);
	assert_int_equal(r->error_code, 0);
	w->epoch = r->producer_epoch;
}

/* Of group g, topic t. */
static void pend(const struct who *w, int32_t partition, int64_t offset)
{
	struct txn_offset_commit_request_partition p = {.partition_index = partition,
	    .committed_offset = offset,
	    .committed_metadata = STR("txn")};
	struct txn_offset_commit_request_topic t = {.name = STR("t"), .partitions = {&p, 1}};
	struct txn_offset_commit_request body = {.transactional_id = str_of(w->name),
	    .group_id = STR("g"),
	    .producer_id = w->id,
	    .producer_epoch = w->epoch,
	    .generation_id = -1,
	    .topics = {&t, 1}};
	const struct txn_offset_commit_response *r =
	    kafka_call(&c, API_TXN_OFFSET_COMMIT, 5, &body);
	assert_int_equal(r->topics.at[0].partitions.at[0].error_code, 0);
}

static void plain_of(const char *group, int32_t partition, int64_t offset)
{
	struct offset_commit_request_partition p = {
	    .partition_index = partition, .committed_offset = offset, .committed_leader_epoch = -1};
	struct offset_commit_request_topic t = {.name = STR("t"), .partitions = {&p, 1}};
	struct offset_commit_request body = {.group_id = str_of(group),
	    .generation_id_or_member_epoch = -1,
	    .retention_time_ms = -1,
	    .topics = {&t, 1}};
	const struct offset_commit_response *r = kafka_call(&c, API_OFFSET_COMMIT, 8, &body);
	assert_int_equal(r->topics.at[0].partitions.at[0].error_code, 0);
}

static void plain(int32_t partition, int64_t offset)
{
	plain_of("g", partition, offset);
}

/* -88: it may change. */
static int64_t committed_of(const char *group, int32_t partition)
{
	struct offset_fetch_request_topic t = {
	    .name = STR("t"), .partition_indexes = {&partition, 1}};
	struct offset_fetch_request body = {
	    .group_id = str_of(group), .topics = {&t, 1}, .require_stable = true};
	const struct offset_fetch_response *r = kafka_call(&c, API_OFFSET_FETCH, 7, &body);
	const struct offset_fetch_response_partition *p = &r->topics.at[0].partitions.at[0];
	return p->error_code ? -p->error_code : p->committed_offset;
}

static int64_t committed(int32_t partition)
{
	return committed_of("g", partition);
}

static int delete_group(void)
{
	struct str name = STR("g");
	struct delete_groups_request body = {.groups_names = {&name, 1}};
	const struct delete_groups_response *r = kafka_call(&c, API_DELETE_GROUPS, 2, &body);
	return r->results.at[0].error_code;
}

static int delete_offset(int32_t partition)
{
	struct offset_delete_request_partition p = {partition};
	struct offset_delete_request_topic t = {.name = STR("t"), .partitions = {&p, 1}};
	struct offset_delete_request body = {.group_id = STR("g"), .topics = {&t, 1}};
	const struct offset_delete_response *r = kafka_call(&c, API_OFFSET_DELETE, 0, &body);
	return r->error_code ? r->error_code : r->topics.at[0].partitions.at[0].error_code;
}

/* Whether ListGroups has the group, as DescribeGroups must say too. */
static bool is_there(void)
{
	struct list_groups_request list = {0};
	struct str name = STR("g");
	struct describe_groups_request body = {.groups = {&name, 1}};
	const struct describe_groups_response *d = kafka_call(&c, API_DESCRIBE_GROUPS, 5, &body);
	const struct list_groups_response *r = kafka_call(&c, API_LIST_GROUPS, 5, &list);
	bool found = false;
	for (uint32_t i = 0; i < r->groups.count; i++) {
		if (!str_equal(r->groups.at[i].group_id, name))
			continue;
		found = true;
		assert_true(str_equal(r->groups.at[i].group_state, STR("Empty")));
		assert_true(str_equal(r->groups.at[i].group_type, STR("classic")));
	}
	assert_true(str_equal(d->groups.at[0].group_state, found ? STR("Empty") : STR("Dead")));
	return found;
}

/* ---- what happens in between ----------------------------------------------------------------- */

static enum { STAY, RESTART, CRASH } between;

static void pass_time(void)
{
	if (between == RESTART)
		pair_restart(NULL);
	else if (between == CRASH)
		pair_crash(NULL);
}

static int begin(void **state)
{
	pair_start(state);
	kafka_create(&c, "t", 3, NULL);
	return 0;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void a_later_plain_commit_wins(void **state)
{
	(void)state;
	struct who w = init("tx");
	plain(0, 1);
	for (int i = 0; i < 3; i++)
		pend(&w, i, 5 + i);
	assert_int_equal(committed(0), -88);
	pass_time();
	plain(0, 20);
	plain(1, 21);
	assert_int_equal(committed(0), 20); /* nothing will change that */
	assert_int_equal(committed(2), -88);
	pend(&w, 1, 30); /* later again */
	assert_int_equal(committed(1), -88);
	pass_time();
	assert_int_equal(committed(0), 20);
	assert_int_equal(committed(1), -88);
	end(&w, true);
	assert_int_equal(committed(0), 20);
	assert_int_equal(committed(1), 30);
	assert_int_equal(committed(2), 7);
	pass_time();
	assert_int_equal(committed(0), 20);
	assert_int_equal(committed(1), 30);
	assert_int_equal(committed(2), 7);
	/* what was void is so for one transaction */
	pend(&w, 0, 40);
	end(&w, true);
	assert_int_equal(committed(0), 40);
	/* an abort leaves what was committed meanwhile */
	pend(&w, 0, 50);
	plain(0, 41);
	pass_time();
	end(&w, false);
	assert_int_equal(committed(0), 41);
}

static void a_group_with_nothing_but_pending_offsets_is_one(void **state)
{
	(void)state;
	struct who w = init("tx");
	assert_false(is_there());
	assert_int_equal(delete_group(), 69);
	pend(&w, 0, 5);
	assert_true(is_there());
	pass_time();
	assert_true(is_there());
	end(&w, false);
	assert_false(is_there());
	pend(&w, 0, 6);
	assert_int_equal(delete_group(), 0);
	assert_false(is_there());
	assert_int_equal(delete_group(), 69);
	pass_time();
	assert_false(is_there());
	end(&w, true);
	assert_false(is_there());
	assert_int_equal(committed(0), -1);
	pass_time();
	assert_false(is_there());
	pend(&w, 0, 7);
	end(&w, true);
	assert_int_equal(committed(0), 7);
}

static void a_deleted_group_does_not_come_back_with_the_commit(void **state)
{
	(void)state;
	struct who w = init("tx");
	plain(0, 1);
	plain(1, 2);
	pend(&w, 0, 5);
	pend(&w, 2, 6);
	pass_time();
	assert_int_equal(delete_group(), 0);
	pass_time();
	assert_false(is_there());
	pend(&w, 1, 9); /* of the next group of that name */
	assert_true(is_there());
	end(&w, true);
	assert_int_equal(committed(0), -1);
	assert_int_equal(committed(1), 9);
	assert_int_equal(committed(2), -1);
}

static void deleted_offsets_do_not_come_back_with_the_commit(void **state)
{
	(void)state;
	struct who w = init("tx");
	plain(0, 1);
	pend(&w, 0, 5);
	pend(&w, 1, 6);
	pend(&w, 2, 7);
	assert_int_equal(delete_offset(0), 0);
	assert_int_equal(delete_offset(1), 0);
	pass_time();
	assert_int_equal(committed(0), -1);
	end(&w, true);
	assert_int_equal(committed(0), -1);
	assert_int_equal(committed(1), -1);
	assert_int_equal(committed(2), 7);
}

/* The one that was pending last wins, whichever transaction ends last. */
static void of_two_transactions_the_later_offset_wins(void **state)
{
	(void)state;
	struct who a = init("a"), b = init("b");
	pend(&a, 0, 5);
	pend(&b, 0, 6);
	pend(&b, 1, 7);
	pend(&a, 1, 8);
	pass_time();
	end(&b, true);
	assert_int_equal(committed(0), 6);
	assert_int_equal(committed(1), -88);
	pass_time();
	end(&a, true);
	assert_int_equal(committed(0), 6);
	assert_int_equal(committed(1), 8);
	pend(&a, 0, 10);
	pend(&b, 0, 11);
	pass_time();
	end(&b, false);
	end(&a, true);
	assert_int_equal(committed(0), 10);
}

/* Both are under way when the server sees them. */
static void a_commit_beside_the_end_leaves_the_later_one(void **state)
{
	(void)state;
	struct who w = init("tx");
	struct kafka_client other;
	kafka_connect(&other, &server);
	for (int i = 0; i < 50; i++) {
		pend(&w, 0, 2 * i);
		struct offset_commit_request_partition p = {
		    .committed_offset = 2 * i + 1, .committed_leader_epoch = -1};
		struct offset_commit_request_topic t = {.name = STR("t"), .partitions = {&p, 1}};
		struct offset_commit_request body = {.group_id = STR("g"),
		    .generation_id_or_member_epoch = -1,
		    .retention_time_ms = -1,
		    .topics = {&t, 1}};
		struct end_txn_request done = {.transactional_id = STR("tx"),
		    .producer_id = w.id,
		    .producer_epoch = w.epoch,
		    .committed = true};
		kafka_send(&other, API_OFFSET_COMMIT, 8, &body);
		kafka_send(&c, API_END_TXN, 5, &done);
		const struct offset_commit_response *r =
		    kafka_receive(&other, API_OFFSET_COMMIT, 8);
		const struct end_txn_response *e = kafka_receive(&c, API_END_TXN, 5);
		assert_int_equal(e->error_code, 0);
		w.epoch = e->producer_epoch;
		int error = r->topics.at[0].partitions.at[0].error_code;
		/* refused: the transaction waits already for one that was before */
		assert_true(error == 0 || error == 15);
		assert_int_equal(committed(0), error ? 2 * i : 2 * i + 1);
	}
	kafka_disconnect(&other);
}

static void what_was_meant_for_a_deleted_topic_is_not_for_the_next_one(void **state)
{
	(void)state;
	struct who w = init("tx");
	pend(&w, 0, 5);
	struct delete_topics_request_topic t = {.name = STR("t")};
	struct delete_topics_request body = {.topics = {&t, 1}, .timeout_ms = 5000};
	const struct delete_topics_response *r = kafka_call(&c, API_DELETE_TOPICS, 6, &body);
	assert_int_equal(r->responses.at[0].error_code, 0);
	kafka_create(&c, "t", 3, NULL);
	pass_time();
	pend(&w, 1, 6);
	end(&w, true);
	assert_int_equal(committed(0), -1);
	assert_int_equal(committed(1), 6);
}

/* Old offsets of groups without members go; not while a newer one waits for its transaction. */
static void offsets_do_not_expire_while_a_transaction_has_newer_ones(void **state)
{
	struct broker_options quick = {.offsets_retention_ms = 1, .offsets_check_interval_ms = 20};
	(void)state;
	struct who w = init("tx");
	plain(0, 1);
	pend(&w, 0, 5);
	plain_of("other", 0, 1);
	pair_restart(&quick);
	for (int i = 0; i < PATIENCE_MS / 20 && committed_of("other", 0) != -1; i++)
		usleep(20000);
	assert_int_equal(committed_of("other", 0), -1);
	plain_of("other", 0, 1); /* and once more: all groups have been looked at since */
	for (int i = 0; i < PATIENCE_MS / 20 && committed_of("other", 0) != -1; i++)
		usleep(20000);
	assert_int_equal(committed_of("other", 0), -1);
	assert_int_equal(committed(0), -88);
	end(&w, false);
	for (int i = 0; i < PATIENCE_MS / 20 && committed(0) != -1; i++)
		usleep(20000);
	assert_int_equal(committed(0), -1);
}

/* ---- members of both protocols --------------------------------------------------------------- */

struct member {
	char id[64];
	int32_t epoch;
	struct log_uuid topic;
	uint32_t holds;
};

/* At epoch 0 it joins, later it says that it has partition 0 only. What it is to have is in
 * m->holds. */
static void join_consumer(struct member *m)
{
	static struct str names[] = {{"t", 1}};
	static int32_t first[1];
	struct consumer_group_heartbeat_request_topic owned = {
	    .topic_id = m->topic, .partitions = {first, 1}};
	struct consumer_group_heartbeat_request body = {.group_id = STR("g"),
	    .member_id = str_of(m->id),
	    .member_epoch = m->epoch,
	    .rebalance_timeout_ms = 60000,
	    .subscribed_topic_names = {names, 1},
	    .topic_partitions = {&owned, m->epoch > 0}};
	const struct consumer_group_heartbeat_response *r =
	    kafka_call(&c, API_CONSUMER_GROUP_HEARTBEAT, 1, &body);
	assert_int_equal(r->error_code, 0);
	m->epoch = r->member_epoch;
	if (r->assignment && r->assignment->topic_partitions.count == 1) {
		m->topic = r->assignment->topic_partitions.at[0].topic_id;
		m->holds = r->assignment->topic_partitions.at[0].partitions.count;
	}
}

static int16_t join_classic(struct member *m)
{
	static const uint8_t subscription[] = {0, 0, 0, 0, 0, 1, 0, 1, 't', 0xff, 0xff, 0xff, 0xff};
	struct join_group_request_protocol p = {
	    STR("range"), bytes_of(subscription, sizeof(subscription))};
	struct join_group_request body = {.group_id = STR("g"),
	    .session_timeout_ms = 60000,
	    .rebalance_timeout_ms = 60000,
	    .member_id = str_of(m->id),
	    .protocol_type = STR("consumer"),
	    .protocols = {&p, 1}};
	const struct join_group_response *r = kafka_call(&c, API_JOIN_GROUP, 9, &body);
	snprintf(m->id, sizeof(m->id), STR_FMT, STR_ARG(r->member_id));
	m->epoch = r->generation_id;
	return r->error_code;
}

/* Of partitions 0 up to `count`; what the first is told. */
static int pend_several(const struct who *w, const struct member *m, int32_t epoch, uint32_t count)
{
	struct txn_offset_commit_request_partition p[3];
	for (int32_t i = 0; i < 3; i++)
		p[i] = (struct txn_offset_commit_request_partition){
		    .partition_index = i, .committed_offset = 5, .committed_metadata = STR("")};
	struct txn_offset_commit_request_topic t = {.name = STR("t"), .partitions = {p, count}};
	struct txn_offset_commit_request body = {.transactional_id = str_of(w->name),
	    .group_id = STR("g"),
	    .producer_id = w->id,
	    .producer_epoch = w->epoch,
	    .generation_id = epoch,
	    .member_id = str_of(m->id),
	    .topics = {&t, 1}};
	const struct txn_offset_commit_response *r =
	    kafka_call(&c, API_TXN_OFFSET_COMMIT, 5, &body);
	return r->topics.at[0].partitions.at[0].error_code;
}

static int pend_as(const struct who *w, const struct member *m, int32_t epoch)
{
	return pend_several(w, m, epoch, 1);
}

/* By their epoch, or an older one for what they have held since; what the errors are is Kafka's. */
static void members_of_both_protocols_commit_in_transactions(void **state)
{
	struct member m[2] = {{.id = "x"}}, nobody = {.id = "nobody"}, unsaid = {.id = ""};
	(void)state;
	struct who w = init("tx");
	join_consumer(&m[0]);
	assert_int_equal(m[0].holds, 3);
	int32_t old = m[0].epoch;
	assert_int_equal(join_classic(&m[1]), 79);
	assert_int_equal(join_classic(&m[1]), 0); /* the group is mixed now */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pend_as(&w, &m[i], m[i].epoch + 1), 22);
		assert_int_equal(pend_as(&w, &m[i], m[i].epoch - 1), 22);
		assert_int_equal(pend_as(&w, &m[i], -1), 22);
		assert_int_equal(committed(0), -1);
		assert_int_equal(pend_as(&w, &m[i], m[i].epoch), 0);
		assert_int_equal(committed(0), -88);
		end(&w, false);
	}
	join_consumer(&m[0]); /* gives up two */
	assert_true(m[0].epoch > old && m[0].holds < 3);
	assert_int_equal(pend_several(&w, &m[0], old, 3), 22);
	assert_int_equal(committed(0), -1); /* one that it may not refuses all */
	assert_int_equal(pend_as(&w, &m[0], old), 0);
	assert_int_equal(committed(0), -88);
	end(&w, false);
	assert_int_equal(pend_as(&w, &nobody, m[0].epoch), 25);
	assert_int_equal(pend_as(&w, &unsaid, -1), 0); /* before version 3 nobody said */
	assert_int_equal(pend_as(&w, &m[1], m[1].epoch), 0);
	end(&w, true);
	assert_int_equal(committed(0), 5);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, begin, pair_stop)

int main(void)
{
	const struct CMUnitTest anyhow[] = {
	    EACH (a_later_plain_commit_wins),
	    EACH (a_group_with_nothing_but_pending_offsets_is_one),
	    EACH (a_deleted_group_does_not_come_back_with_the_commit),
	    EACH (deleted_offsets_do_not_come_back_with_the_commit),
	    EACH (of_two_transactions_the_later_offset_wins),
	    EACH (what_was_meant_for_a_deleted_topic_is_not_for_the_next_one),
	};
	const struct CMUnitTest once[] = {
	    EACH (a_commit_beside_the_end_leaves_the_later_one),
	    EACH (offsets_do_not_expire_while_a_transaction_has_newer_ones),
	    EACH (members_of_both_protocols_commit_in_transactions),
	};
	int failed = cmocka_run_group_tests_name("going on", anyhow, NULL, NULL);
	between = RESTART;
	failed += cmocka_run_group_tests_name("restart", anyhow, NULL, NULL);
	between = CRASH;
	failed += cmocka_run_group_tests_name("kill", anyhow, NULL, NULL);
	return failed + cmocka_run_group_tests_name("once", once, NULL, NULL);
}
