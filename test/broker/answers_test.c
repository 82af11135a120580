/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients that ask for much and do not read their answers, and one that does: it goes on, and the
 * memory of the answers has a bound.
 */
#include "test/lib/kafka_pair.h"
#include "test/lib/patience.h"
#include "test/lib/test.h"
#include "broker/kafka/server.h"
#include "log/base/metrics.h"
#include <stdio.h>
#include <stdlib.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum { TRIES = 5 }; /* of what a busy machine may spoil */

static struct kafka_client *lazy;
static int lazy_count;

/* Clients of which each has asked `asks` times by `ask`, all at once; lazy ones have small buffers. */
static void open_clients(int count, int asks, void (*ask)(struct kafka_client *),
    void (*connect)(struct kafka_client *, const struct kafka_server *))
{
	struct rlimit limit;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	lazy = calloc((size_t)count, sizeof(*lazy));
	lazy_count = count;
	for (int i = 0; i < count; i++) {
		connect(&lazy[i], &server);
		for (int k = 0; k < asks; k++)
			ask(&lazy[i]);
	}
}

static void open_lazy(int count, int asks, void (*ask)(struct kafka_client *))
{
	open_clients(count, asks, ask, kafka_connect_small);
}

static void close_lazy(void)
{
	for (int i = 0; i < lazy_count; i++)
		kafka_disconnect(&lazy[i]);
	free(lazy);
	lazy = NULL;
}

static int64_t now_ns(void)
{
	return io_clock_ns(server.io, IO_CLOCK_MONOTONIC);
}

/* The slowest of some calls of a client that reads what it gets. */
static int64_t slowest(int count, void (*call)(void))
{
	int64_t worst = 0;
	for (int i = 0; i < count; i++) {
		int64_t begin = now_ns();
		call();
		int64_t took = now_ns() - begin;
		worst = took > worst ? took : worst;
		kafka_client_clear(&c);
		io_sleep_ns(server.io, 10 * MS_NS);
	}
	return worst;
}

/* The most that answers hold from now on, once that is `least`. */
static size_t most_held(size_t least, int64_t for_ns)
{
	size_t most = 0;
	assert_true(metric_reaches(METRIC_ANSWER_BYTES, least));
	for (int64_t end = now_ns() + for_ns; now_ns() < end; io_sleep_ns(server.io, MS_NS)) {
		size_t held = (size_t)metric_value(METRIC_ANSWER_BYTES);
		most = held > most ? held : most;
	}
	return most;
}

/* ---- fetches --------------------------------------------------------------------------------- */

static void ask_for_records(struct kafka_client *client)
{
	kafka_fetch_send(client, "t",
	    (struct kafka_fetch){.version = 11, .partition_max_bytes = 16 * (int32_t)MIB});
}

static void fetch_one(void)
{
	struct fetch_response_partition r = kafka_fetch(
	    &c, "u", (struct kafka_fetch){.version = 11, .partition_max_bytes = (int32_t)MIB});
	assert_int_equal(kafka_count_records(kafka_fetched(&c, &r), 0), 1);
}

/* Beside a thousand that do not read. */
static int64_t slowest_fetch(void)
{
	const size_t budget = 16 * MIB;
	open_lazy(1000, 200, ask_for_records);
	size_t most = most_held(budget / 2, 3 * S_NS);
	int64_t worst = slowest(50, fetch_one);
	printf("# slowest fetch beside 1,000: %lld ms, at most %zu KiB held\n",
	    (long long)(worst / MS_NS), most / KIB);
	assert_true(most <= budget + MIB);
	close_lazy();
	return worst;
}

/* Who had to wait for others to be ended would wait for seconds. */
static void a_thousand_that_do_not_read_their_fetches_hold_up_nobody(void **state)
{
	(void)state;
	pair_restart(&(struct broker_options){.answer_budget_bytes = 16 * MIB});
	kafka_create(&c, "t", 1, NULL);
	kafka_create(&c, "u", 1, NULL);
	for (int i = 0; i < 60; i++) {
		kafka_produce(&c, 9, "t", 0, kafka_bulk(&c, 1000, 16000));
		kafka_produce(&c, 9, "t", 0, kafka_bulk(&c, 1000, 64000));
		kafka_client_clear(&c);
	}
	kafka_produce(&c, 9, "u", 0, kafka_batch(&c, 0, 1, "v"));
	assert_true(best_of(TRIES, S_NS, slowest_fetch) < S_NS);
}

static void ask_for_a_byte(struct kafka_client *client)
{
	kafka_fetch_send(
	    client, "t", (struct kafka_fetch){.version = 11, .partition_max_bytes = 1});
}

/* The first batch of an answer comes whole, whatever was asked for (KIP-74). */
static void large_first_batches_are_within_the_budget(void **state)
{
	(void)state;
	enum { COUNT = 100 };
	const char *large[] = {"max.message.bytes", "3000000", NULL};
	const size_t budget = 16 * MIB;
	pair_restart(&(struct broker_options){.answer_budget_bytes = budget});
	kafka_create(&c, "t", 1, large);
	kafka_produce(&c, 9, "t", 0, kafka_bulk(&c, 1000, 2500000));
	open_lazy(COUNT, 4, ask_for_a_byte);
	size_t most = most_held(budget / 2 + 1, S_NS);
	printf("# %d first batches: at most %zu KiB held\n", COUNT, most / KIB);
	assert_true(most <= budget + 6 * MIB);
	close_lazy();
}

/* ---- other answers --------------------------------------------------------------------------- */

static void ask_for_everything(struct kafka_client *client)
{
	struct metadata_request all = {.topics = {NULL, 0}};
	kafka_send(client, API_METADATA, 1, &all);
}

static void describe(void)
{
	struct metadata_request_topic t = {.name = STR("t")};
	struct metadata_request body = {.topics = {&t, 1}};
	const struct metadata_response *r = kafka_call(&c, API_METADATA, 1, &body);
	assert_int_equal(r->topics.at[0].partitions.count, 3000);
}

static int64_t slowest_describe(void)
{
	const size_t budget = 8 * MIB;
	open_lazy(1000, 100, ask_for_everything);
	size_t most = most_held(budget / 2, 3 * S_NS);
	int64_t worst = slowest(50, describe);
	printf("# slowest Metadata beside 1,000: %lld ms, at most %zu KiB held\n",
	    (long long)(worst / MS_NS), most / KIB);
	assert_true(most <= budget + 2 * MIB);
	close_lazy();
	return worst;
}

static void a_thousand_that_do_not_read_what_they_asked_hold_up_nobody(void **state)
{
	(void)state;
	pair_restart(&(struct broker_options){.answer_budget_bytes = 8 * MIB});
	kafka_create(&c, "t", 3000, NULL);
	assert_true(best_of(TRIES, 2 * S_NS, slowest_describe) < 2 * S_NS);
}

/* An answer that is not there yet keeps those behind it: they are held as well. */
static void wait_long(struct kafka_client *client)
{
	kafka_fetch_send(client, "u",
	    (struct kafka_fetch){.version = 11, .min_bytes = 1000000, .max_wait_ms = 60000});
}

static void ask_behind_a_long_wait(struct kafka_client *client)
{
	wait_long(client);
	for (int i = 0; i < 20; i++)
		ask_for_everything(client);
}

static void who_holds_answers_back_is_ended_when_others_wait(void **state)
{
	(void)state;
	pair_restart(&(struct broker_options){.answer_budget_bytes = MIB});
	kafka_create(&c, "t", 3000, NULL);
	kafka_create(&c, "u", 1, NULL);
	uint64_t before = metric_value(METRIC_ANSWERS_ENDED);
	open_lazy(20, 1, ask_behind_a_long_wait);
	assert_true(metric_reaches(METRIC_ANSWER_BYTES, MIB));
	describe();
	assert_true(metric_value(METRIC_ANSWERS_ENDED) > before);
	close_lazy();
}

/* Turns that are longer than the time between two reliefs: one comes when the answer is made and
 * not sent. */
static void who_has_waited_in_line_is_not_ended_for_it(void **state)
{
	(void)state;
	static struct turn_watch ended;
	pair_restart(&(struct broker_options){.answer_budget_bytes = MIB});
	kafka_create(&c, "t", 3000, NULL);
	kafka_create(&c, "u", 1, NULL);
	open_lazy(20, 1, ask_behind_a_long_wait);
	assert_true(metric_reaches(METRIC_ANSWER_BYTES, MIB));
	turn_watch_start(&ended, server.loop, METRIC_ANSWERS_ENDED, 300 * MS_NS);
	describe();
	describe();
	turn_watch_stop(&ended);
	assert_true(ended.turns > 0);
	close_lazy();
}

/* ---- requests that name much ----------------------------------------------------------------- */

enum { NAMED = 3000 };

/* Nothing is written: the answer says so of each partition. */
static void produce_to_many(struct kafka_client *client)
{
	static struct produce_request_partition part[NAMED];
	struct produce_request_topic t = {.name = STR("none"), .partition_data = {part, NAMED}};
	struct produce_request body = {.acks = -1, .timeout_ms = 5000, .topic_data = {&t, 1}};
	kafka_send(client, API_PRODUCE, 3, &body);
}

static void produce_one(void)
{
	kafka_produce(&c, 9, "u", 0, kafka_batch(&c, 0, 1, "v"));
}

static void produces_that_name_much_are_within_the_budget(void **state)
{
	(void)state;
	pair_restart(&(struct broker_options){.answer_budget_bytes = 8 * MIB});
	kafka_create(&c, "u", 1, NULL);
	open_lazy(300, 8, produce_to_many);
	size_t most = most_held(MIB / 2, 2 * S_NS);
	int64_t worst = slowest(50, produce_one);
	printf("# slowest produce beside 300 that name %d partitions: %lld ms, at most %zu KiB\n",
	    NAMED, (long long)(worst / MS_NS), most / KIB);
	assert_true(most <= 11 * MIB);
	close_lazy();
}

/* Each is short, but they are many. */
static void produce_to_some(struct kafka_client *client)
{
	static struct produce_request_partition part[200];
	struct produce_request_topic t = {.name = STR("none"), .partition_data = {part, 200}};
	struct produce_request body = {.acks = -1, .timeout_ms = 5000, .topic_data = {&t, 1}};
	kafka_send(client, API_PRODUCE, 8, &body);
}

static void short_answers_that_nobody_takes_do_not_add_up(void **state)
{
	(void)state;
	pair_restart(&(struct broker_options){.answer_budget_bytes = MIB});
	kafka_create(&c, "u", 1, NULL);
	open_lazy(100, 80, produce_to_some);
	size_t most = most_held(MIB / 2, 2 * S_NS);
	int64_t worst = slowest(50, produce_one);
	printf("# slowest produce beside 100: %lld ms, at most %zu KiB\n",
	    (long long)(worst / MS_NS), most / KIB);
	assert_true(most <= MIB + 100 * 64 * KIB);
	close_lazy();
}

/* Records without keys, where there have to be keys: each has an error of its own. */
static void produce_keyless(struct kafka_client *client)
{
	static struct bytes batch;
	if (!batch.ptr) {
		static uint8_t copy[256 * 1024];
		struct batch_builder b;
		struct writer w;
		batch_builder_init(&b, BATCH_NONE);
		for (int i = 0; i < 20000; i++)
			assert_int_equal(batch_builder_add(&b, 1, (struct bytes){NULL, 0},
			                     bytes_of("v", 1), NULL, 0),
			    ERR_OK);
		writer_init(&w, sizeof(copy));
		assert_int_equal(batch_builder_finish(&b, &w), ERR_OK);
		memcpy(copy, w.ptr, w.len);
		batch = bytes_of(copy, w.len);
		writer_release(&w);
		batch_builder_release(&b);
	}
	struct produce_request_partition part = {0, batch};
	struct produce_request_topic t = {.name = STR("k"), .partition_data = {&part, 1}};
	struct produce_request body = {.acks = -1, .timeout_ms = 5000, .topic_data = {&t, 1}};
	kafka_send(client, API_PRODUCE, 9, &body);
}

static void errors_of_many_records_are_within_the_budget(void **state)
{
	(void)state;
	const char *compact[] = {"cleanup.policy", "compact", NULL};
	pair_restart(&(struct broker_options){.answer_budget_bytes = 4 * MIB});
	kafka_create(&c, "k", 1, compact);
	kafka_create(&c, "u", 1, NULL);
	open_lazy(50, 4, produce_keyless);
	size_t most = most_held(MIB, 3 * S_NS);
	int64_t worst = slowest(20, produce_one);
	printf("# slowest produce beside 50 with keyless records: %lld ms, at most %zu KiB\n",
	    (long long)(worst / MS_NS), most / KIB);
	assert_true(most <= 5 * MIB);
	close_lazy();
}

/* What a fetch that waits has of the partitions that it names. */
static void wait_for_many(struct kafka_client *client)
{
	kafka_fetch_send(client, "m",
	    (struct kafka_fetch){.version = 4,
	        .partitions = NAMED,
	        .max_wait_ms = 300000,
	        .min_bytes = (int32_t)GIB});
}

static bool is_ended(const struct kafka_client *client)
{
	char byte;
	return recv(client->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0;
}

static void fetches_that_wait_for_much_are_within_the_budget(void **state)
{
	(void)state;
	const size_t budget = 8 * MIB;
	pair_restart(&(struct broker_options){.answer_budget_bytes = budget});
	kafka_create(&c, "t", 3000, NULL);
	kafka_create(&c, "m", NAMED, NULL);
	open_clients(60, 1, wait_for_many, kafka_connect);
	size_t most = most_held(budget / 2, S_NS);
	int64_t begin = now_ns();
	describe(); /* they would wait for minutes, and it with them */
	int64_t took = now_ns() - begin;
	printf("# Metadata beside 60 fetches of %d partitions: %lld ms, at most %zu KiB\n", NAMED,
	    (long long)(took / MS_NS), most / KIB);
	assert_true(most > budget / 2);
	assert_true(most <= budget + 4 * MIB);
	/* the last may wait: there is memory for them; on a machine that is slow, who is not
	 * answered for seconds while others wait is ended */
	int answered = 0, ended = 0;
	for (int i = 0; i < 60; i++) {
		if (!kafka_readable(&lazy[i], answered + ended < 40 ? 5000 : 20))
			continue;
		if (is_ended(&lazy[i])) {
			ended++;
			continue;
		}
		answered++;
		const struct fetch_response *r = kafka_receive(&lazy[i], API_FETCH, 4);
		assert_int_equal(r->responses.at[0].partitions.count, NAMED);
		assert_int_equal(r->responses.at[0].partitions.at[NAMED - 1].high_watermark, 0);
	}
	assert_true(answered > 0 && answered + ended >= 40);
	close_lazy();
}

/* ---- groups ---------------------------------------------------------------------------------- */

static void join(struct kafka_client *client)
{
	static struct join_group_request_protocol range = {
	    {"range", 5}, {(const uint8_t *)"sub", 3}};
	struct join_group_request body = {.group_id = STR("g"),
	    .session_timeout_ms = 60000,
	    .rebalance_timeout_ms = 60000,
	    .protocol_type = STR("consumer"),
	    .protocols = {&range, 1}};
	kafka_send(client, API_JOIN_GROUP, 3, &body);
}

static const struct join_group_response *joined(struct kafka_client *client)
{
	const struct join_group_response *r = kafka_receive(client, API_JOIN_GROUP, 3);
	assert_int_equal(r->error_code, 0);
	return r;
}

static void ask_for_assignment(struct kafka_client *client, const struct join_group_response *me,
    struct sync_group_request_assignment *all, uint32_t count)
{
	struct sync_group_request body = {.group_id = STR("g"),
	    .generation_id = me->generation_id,
	    .member_id = me->member_id,
	    .assignments = {all, count}};
	kafka_send(client, API_SYNC_GROUP, 3, &body);
}

enum { MEMBERS = 24 };

/* All have joined and wait for their assignments, behind a long wait that keeps them from the
 * sockets; the leader's request brings them all at once. */
static void assign_at_once(struct kafka_client *client, struct bytes assignment)
{
	struct sync_group_request_assignment all[MEMBERS];
	const struct join_group_response *leader = NULL;
	for (int i = 0; i < MEMBERS; i++) {
		const struct join_group_response *me = joined(&client[i]);
		wait_long(&client[i]);
		all[i] = (struct sync_group_request_assignment){me->member_id, assignment};
		if (me->members.count == 0)
			ask_for_assignment(&client[i], me, NULL, 0);
		else
			leader = me;
	}
	assert_non_null(leader);
	assert_int_equal(leader->members.count, MEMBERS);
	ask_for_assignment(&c, leader, all, MEMBERS);
	const struct sync_group_response *r = kafka_receive(&c, API_SYNC_GROUP, 3);
	assert_int_equal(r->error_code, 0);
}

static int64_t time_of_heartbeat(const struct join_group_response *me)
{
	struct heartbeat_request beat = {
	    .group_id = STR("g"), .generation_id = me->generation_id, .member_id = me->member_id};
	int64_t begin = now_ns();
	const struct heartbeat_response *alive = kafka_call(&c, API_HEARTBEAT, 1, &beat);
	assert_int_equal(alive->error_code, 0);
	return now_ns() - begin;
}

/* A member of "g" whose assignment is long asks for it on many connections, then tells that it is
 * alive. */
static int64_t heartbeat_beside_long_assignments(void)
{
	enum { COUNT = 100 };
	static uint8_t much[MIB];
	const size_t budget = 4 * MIB;
	pair_restart(&(struct broker_options){.answer_budget_bytes = budget});
	join(&c);
	const struct join_group_response *me = joined(&c);
	struct sync_group_request_assignment all = {me->member_id, bytes_of(much, sizeof(much))};
	ask_for_assignment(&c, me, &all, 1);
	const struct sync_group_response *r = kafka_receive(&c, API_SYNC_GROUP, 3);
	assert_int_equal(r->error_code, 0);
	open_lazy(COUNT, 1, wait_long);
	for (int i = 0; i < COUNT; i++)
		ask_for_assignment(&lazy[i], me, NULL, 0);
	size_t most = most_held(budget / 2 + 1, S_NS);
	printf("# %d assignments of %zu KiB: at most %zu KiB held\n", COUNT, sizeof(much) / KIB,
	    most / KIB);
	assert_true(most <= budget + sizeof(much) + 64 * KIB);
	int64_t took = time_of_heartbeat(me);
	const struct leave_group_request gone = {.group_id = STR("g"), .member_id = me->member_id};
	close_lazy();
	kafka_call(&c, API_LEAVE_GROUP, 1, &gone);
	return took;
}

/* A member may ask for its assignment on any number of connections. Those whose answers are short
 * go on: nobody is ended for them, which takes two seconds. */
static void assignments_asked_for_again_and_again_are_within_the_budget(void **state)
{
	(void)state;
	kafka_create(&c, "t", 3000, NULL);
	kafka_create(&c, "u", 1, NULL);
	assert_true(best_of(TRIES, S_NS, heartbeat_beside_long_assignments) < S_NS);
}

/* Answers that waited for something come whatever is left: what many have passed the budget by is
 * taken from many. */
static void many_answers_over_the_budget_are_ended_together(void **state)
{
	(void)state;
	static uint8_t much[150 * 1024];
	static struct turn_watch ended;
	pair_restart(&(struct broker_options){
	    .answer_budget_bytes = 256 * KIB, .group_initial_delay_ms = 3000});
	kafka_create(&c, "t", 3000, NULL);
	kafka_create(&c, "u", 1, NULL);
	open_lazy(MEMBERS, 1, join);
	assign_at_once(lazy, bytes_of(much, sizeof(much)));
	assert_true(metric_reaches(METRIC_ANSWER_BYTES, 3 * MIB));
	io_sleep_ns(server.io, 3 * S_NS); /* then each has taken nothing for long enough */
	turn_watch_start(&ended, server.loop, METRIC_ANSWERS_ENDED, 0);
	describe();
	turn_watch_stop(&ended);
	printf("# %llu ended in one turn, in %llu turns in all\n", (unsigned long long)ended.most,
	    (unsigned long long)ended.turns);
	assert_true(ended.most > MEMBERS / 2);
	close_lazy();
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void hold_packets(struct kafka_client *client, int on)
{
	assert_int_equal(setsockopt(client->fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on)), 0);
}

/* Many requests that come at once are answered in several turns: others have theirs between. */
static void many_requests_at_once_leave_turns_to_others(void **state)
{
	(void)state;
	enum { COUNT = 12 };
	static struct turn_watch answered;
	kafka_create(&c, "t", 10000, NULL);
	turn_watch_start(&answered, server.loop, METRIC_REQUESTS, 0);
	hold_packets(&c, 1);
	for (int i = 0; i < COUNT; i++)
		ask_for_everything(&c);
	hold_packets(&c, 0);
	for (int i = 0; i < COUNT; i++) {
		kafka_receive(&c, API_METADATA, 1);
		kafka_client_clear(&c);
	}
	turn_watch_stop(&answered);
	printf("# at most %llu of %d in one turn\n", (unsigned long long)answered.most, COUNT);
	assert_true(answered.most <= COUNT * 2 / 3);
}

#define EACH(f) cmocka_unit_test_setup_teardown(f, pair_start, pair_stop)

int main(int argc, char **argv)
{
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	static const char *const backends[] = {"uring", "threads"};
	const struct CMUnitTest tests[] = {
	    EACH (a_thousand_that_do_not_read_their_fetches_hold_up_nobody),
	    EACH (large_first_batches_are_within_the_budget),
	    EACH (a_thousand_that_do_not_read_what_they_asked_hold_up_nobody),
	    EACH (who_holds_answers_back_is_ended_when_others_wait),
	    EACH (produces_that_name_much_are_within_the_budget),
	    EACH (short_answers_that_nobody_takes_do_not_add_up),
	    EACH (errors_of_many_records_are_within_the_budget),
	    EACH (fetches_that_wait_for_much_are_within_the_budget),
	    EACH (who_has_waited_in_line_is_not_ended_for_it),
	    EACH (many_answers_over_the_budget_are_ended_together),
	    EACH (assignments_asked_for_again_and_again_are_within_the_budget),
	    EACH (many_requests_at_once_leave_turns_to_others),
	};
	int failed = 0;
	for (size_t i = 0; i < 2; i++) {
		pair_backend = backends[i];
		failed += cmocka_run_group_tests_name(pair_backend, tests, NULL, NULL);
	}
	return failed;
}
