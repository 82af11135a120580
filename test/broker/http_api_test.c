/* SPDX-License-Identifier: Apache-2.0 */
/* What the HTTP door says of topics, records, groups and metrics of a living server. */
#include "broker/http.h"
#include "test/lib/http_raw.h"
#include "test/lib/kafka_calls.h"
#include "test/lib/test.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static struct kafka_server server;
static struct kafka_client c;
static struct http *http;
static char token_path[256];

static int start(void **state)
{
	(void)state;
	kafka_server_start(&server, "uring", NULL);
	kafka_connect(&c, &server);
	snprintf(token_path, sizeof token_path, "%s/http.token", server.dir);
	struct http_options options = {.io = server.io, .token_path = token_path};
	assert_int_equal(http_open(&options, &http), ERR_OK);
	assert_int_equal(broker_http_attach(server.broker, http), ERR_OK);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	http_close(http);
	broker_http_detach(server.broker);
	kafka_disconnect(&c);
	kafka_server_remove(&server);
	return 0;
}

static struct http_raw_reply get(const char *target)
{
	return http_raw(http_port(http), "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", target);
}

static struct http_raw_reply post(const char *target, const char *body)
{
	return http_raw(http_port(http),
	    "POST %s HTTP/1.1\r\nHost: localhost\r\nX-Kappa: 1\r\nAuthorization: Bearer " STR_FMT
	    "\r\nContent-Length: %zu\r\n\r\n%s",
	    target, STR_ARG(http_token(http)), strlen(body), body);
}

static void has(struct http_raw_reply reply, int status, const char *part)
{
	if (reply.status != status || !strstr(reply.body, part))
		print_error(
		    "expected %d with %s, got %d:\n%s\n", status, part, reply.status, reply.body);
	assert_int_equal(reply.status, status);
	assert_non_null(strstr(reply.body, part));
	http_raw_release(&reply);
}

static void is(struct http_raw_reply reply, const char *body)
{
	assert_int_equal(reply.status, 200);
	assert_true(reply.complete);
	assert_string_equal(reply.body, body);
	http_raw_release(&reply);
}

/* One record with a header, of this time. */
static void produce(
    const char *topic, int32_t partition, int64_t time_ms, struct bytes key, struct bytes value)
{
	struct batch_builder b;
	struct writer w;
	struct log_row header = {bytes_of("h", 1), bytes_of("\xff", 1)};
	batch_builder_init(&b, BATCH_LZ4);
	writer_init(&w, MIB);
	assert_int_equal(batch_builder_add(&b, time_ms, key, value, &header, 1), ERR_OK);
	assert_int_equal(batch_builder_finish(&b, &w), ERR_OK);
	assert_int_equal(kafka_produce(&c, 7, topic, partition, writer_bytes(&w)).error_code, 0);
	batch_builder_release(&b);
	writer_release(&w);
}

#define B(text) bytes_of(text, sizeof(text) - 1)

static void commit(const char *group, const char *topic, int64_t offset)
{
	struct offset_commit_request_partition p = {.committed_offset = offset};
	struct offset_commit_request_topic t = {.name = str_of(topic), .partitions = {&p, 1}};
	struct offset_commit_request body = {.group_id = str_of(group),
	    .generation_id_or_member_epoch = -1,
	    .retention_time_ms = -1,
	    .topics = {&t, 1}};
	const struct offset_commit_response *r = kafka_call(&c, API_OFFSET_COMMIT, 8, &body);
	assert_int_equal(r->topics.at[0].partitions.at[0].error_code, 0);
}

/* ---- topics -------------------------------------------------------------------------------- */

static void topics_are_listed_with_their_size(void **state)
{
	(void)state;
	char expected[256];
	has(get("/health"), 200, "ok");
	kafka_create(&c, "b", 2, NULL);
	kafka_create(&c, "a", 1, (const char *const[]){"retention.ms", "-1", NULL});
	assert_int_equal(kafka_produce(&c, 7, "b", 1, kafka_batch(&c, 0, 7, "v")).error_code, 0);
	struct http_raw_reply reply = get("/v1/topics");
	assert_int_equal(reply.status, 200);
	assert_int_equal(reply.body[0], '[');
	char *a = strstr(reply.body, "{\"name\":\"a\",\"id\":\""),
	     *b = strstr(reply.body, "{\"name\":\"b\"");
	assert_non_null(a);
	assert_non_null(b);
	assert_non_null(strstr(a, "\"partitions\":1,\"records\":0,\"bytes\":"));
	assert_non_null(strstr(b, "\"partitions\":2,\"records\":7,\"bytes\":"));
	assert_non_null(strstr(b, "\"internal\":false}"));
	assert_non_null(strstr(reply.body, "\"name\":\"__consumer_offsets\""));
	http_raw_release(&reply);
	has(get("/v1/topics/b"), 200,
	    "{\"partition\":1,\"start\":0,\"end\":7,\"stable_end\":7,\"durable_end\":7,");
	has(get("/v1/topics/a"), 200,
	    "\"retention.ms\":{\"value\":\"-1\",\"set\":true,\"obeyed\":true}");
	has(get("/v1/topics/b/segments"), 200,
	    "{\"partition\":1,\"base_offset\":0,\"end_offset\":7,");
	has(get("/v1/topics/none"), 404, "\"code\":\"UNKNOWN_TOPIC\"");
	snprintf(expected, sizeof expected, "\"retention.ms\":{\"value\":\"%s\",\"set\":false",
	    "604800000");
	has(get("/v1/topics/b"), 200, expected);
}

/* ---- records ------------------------------------------------------------------------------- */

static void records_come_as_one_json_object_per_line(void **state)
{
	(void)state;
	kafka_create(&c, "r", 2, NULL);
	produce("r", 0, 1000, B("k"), B("{\"a\" :\n 1}"));
	produce("r", 0, 2000, B("\xff"), B("not json"));
	produce("r", 1, 3000, (struct bytes){NULL, 0}, (struct bytes){NULL, 0});
	is(get("/v1/topics/r/records"),
	    "{\"topic\":\"r\",\"partition\":0,\"offset\":0,\"timestamp\":1000,\"key\":\"k\","
	    "\"value\":{\"a\" :  1},\"headers\":[{\"key\":\"h\",\"value_base64\":\"/w==\"}]}\n"
	    "{\"topic\":\"r\",\"partition\":0,\"offset\":1,\"timestamp\":2000,\"key_base64\":\"/"
	    "w==\","
	    "\"value_base64\":\"bm90IGpzb24=\",\"headers\":[{\"key\":\"h\",\"value_base64\":\"/"
	    "w==\"}]}\n"
	    "{\"topic\":\"r\",\"partition\":1,\"offset\":0,\"timestamp\":3000,\"key\":null,"
	    "\"value\":null,\"headers\":[{\"key\":\"h\",\"value_base64\":\"/w==\"}]}\n");
}

static int64_t lines(struct http_raw_reply reply)
{
	int64_t n = 0;
	assert_int_equal(reply.status, 200);
	assert_true(reply.complete);
	for (size_t i = 0; i < reply.body_len; i++)
		n += reply.body[i] == '\n';
	http_raw_release(&reply);
	return n;
}

static void records_begin_where_asked(void **state)
{
	(void)state;
	kafka_create(&c, "r", 2, NULL);
	for (int32_t p = 0; p < 2; p++) {
		for (int i = 0; i < 4; i++) /* batches of 100, timestamps as offsets */
			assert_int_equal(
			    kafka_produce(&c, 7, "r", p, kafka_batch(&c, 100 * i, 100, "v"))
			        .error_code,
			    0);
	}
	assert_int_equal(lines(get("/v1/topics/r/records")), 100);
	assert_int_equal(lines(get("/v1/topics/r/records?limit=1000000")), 800);
	assert_int_equal(lines(get("/v1/topics/r/records?limit=401&partition=1")), 400);
	assert_int_equal(lines(get("/v1/topics/r/records?offset=end")), 0);
	assert_int_equal(lines(get("/v1/topics/r/records?offset=-5")), 10);
	assert_int_equal(lines(get("/v1/topics/r/records?offset=%2B390&partition=0")), 10);
	assert_int_equal(lines(get("/v1/topics/r/records?offset=350&partition=0")), 50);
	assert_int_equal(lines(get("/v1/topics/r/records?offset=99999999&partition=0")), 0);
	assert_int_equal(lines(get("/v1/topics/r/records?at=395&partition=0")), 5);
	has(get("/v1/topics/r/records?offset=350&limit=1&partition=0"), 200, "\"offset\":350,");
	has(get("/v1/topics/r/records?partition=2"), 404, "has 2 partitions");
	has(get("/v1/topics/none/records"), 404, "UNKNOWN_TOPIC");
	has(get("/v1/topics/r/records?limit=0"), 400, "limit");
	has(get("/v1/topics/r/records?offset=what"), 400, "INVALID");
	has(get("/v1/topics/r/records?offset=1&at=2"), 400, "exclude");
	has(get("/v1/topics/r/records?where=x"), 501, "NOT_YET");
}

/* ---- groups -------------------------------------------------------------------------------- */

static void groups_and_their_lag_are_shown(void **state)
{
	(void)state;
	kafka_create(&c, "t", 1, NULL);
	kafka_produce(&c, 7, "t", 0, kafka_batch(&c, 1000000, 10, "v"));
	is(get("/v1/groups"), "[]");
	commit("g1", "t", 4);
	commit("g0", "t", 10);
	is(get("/v1/groups"),
	    "[{\"group\":\"g0\",\"state\":\"Empty\",\"protocol\":null,\"members\":0},"
	    "{\"group\":\"g1\",\"state\":\"Empty\",\"protocol\":null,\"members\":0}]");
	struct http_raw_reply reply = get("/v1/groups/g1/lag");
	const char *head =
	    "[{\"group\":\"g1\",\"topic\":\"t\",\"partition\":0,\"committed\":4,\"end\":10,"
	    "\"lag\":6,\"lag_seconds\":";
	assert_memory_equal(reply.body, head, strlen(head));
	double seconds = strtod(reply.body + strlen(head), NULL);
	double expected = (double)time(NULL) - 1000.004;
	assert_true(seconds > expected - 60 && seconds < expected + 60);
	http_raw_release(&reply);
	is(get("/v1/groups/g0/lag"),
	    "[{\"group\":\"g0\",\"topic\":\"t\",\"partition\":0,\"committed\":10,"
	    "\"end\":10,\"lag\":0,\"lag_seconds\":0,\"member\":null}]");
	has(get("/v1/groups/none"), 404, "\"code\":\"GROUP_NOT_FOUND\"");
}

static struct join_group_response *join(struct kafka_client *client, const char *group)
{
	static const uint8_t metadata[] = {0, 0, 0, 0, 0, 1, 0, 1, 't', 0xff, 0xff, 0xff, 0xff};
	struct join_group_request_protocol range = {
	    STR("range"), bytes_of(metadata, sizeof metadata)};
	struct join_group_request body = {
	    .group_id = str_of(group),
	    .session_timeout_ms = 600000,
	    .rebalance_timeout_ms = 600000,
	    .protocol_type = STR("consumer"),
	    .protocols = {&range, 1},
	};
	return kafka_call(client, API_JOIN_GROUP, 3, &body);
}

static void a_partition_names_the_member_that_reads_it(void **state)
{
	(void)state;
	static const uint8_t assignment[] = {0, 0, 0, 0, 0, 1, 0, 1, 't', 0, 0, 0, 2, 0, 0, 0, 0, 0,
	    0, 0, 1, 0xff, 0xff, 0xff, 0xff};
	char expected[300];
	kafka_create(&c, "t", 2, NULL);
	kafka_produce(&c, 7, "t", 1, kafka_batch(&c, 0, 3, "v"));
	commit("g", "t", 0);
	const struct join_group_response *me = join(&c, "g");
	struct sync_group_request_assignment mine = {
	    me->member_id, bytes_of(assignment, sizeof assignment)};
	struct sync_group_request sync = {.group_id = STR("g"),
	    .generation_id = me->generation_id,
	    .member_id = me->member_id,
	    .assignments = {&mine, 1}};
	const struct sync_group_response *synced = kafka_call(&c, API_SYNC_GROUP, 3, &sync);
	assert_int_equal(synced->error_code, 0);
	snprintf(expected, sizeof expected,
	    "[{\"group\":\"g\",\"topic\":\"t\",\"partition\":0,\"committed\":0,\"end\":0,\"lag\":0,"
	    "\"lag_seconds\":0,\"member\":\"" STR_FMT
	    "\"},{\"group\":\"g\",\"topic\":\"t\",\"partition\":1,"
	    "\"committed\":null,\"end\":3,\"lag\":null,\"lag_seconds\":null,\"member\":\"" STR_FMT
	    "\"}]",
	    STR_ARG(me->member_id), STR_ARG(me->member_id));
	is(get("/v1/groups/g/lag"), expected);
	has(get("/v1/groups"), 200,
	    "{\"group\":\"g\",\"state\":\"Stable\",\"protocol\":\"range\",\"members\":1}");
	has(get("/v1/groups/g"), 200, "\"client_host\":\"/127.0.0.1\"");
	has(post("/v1/groups/g/reset", "{\"topic\":\"t\",\"to\":\"start\"}"), 409,
	    "NON_EMPTY_GROUP");
}

static void hostile_assignments_do_not_hurt(void **state)
{
	(void)state;
	static const uint8_t blobs[][16] = {
	    {0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 1, 't', 0x7f, 0xff, 0xff, 0xff, 0, 0, 0},
	    {0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
	    {0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0},
	    {0, 0, 0, 0, 0, 1, 0xff, 0xff, 't', 0, 0, 0, 1, 0, 0, 0},
	    {0},
	};
	for (size_t i = 0; i < sizeof blobs / sizeof blobs[0]; i++) {
		const struct join_group_response *me = join(&c, "g");
		struct sync_group_request_assignment mine = {me->member_id, bytes_of(blobs[i], 16)};
		struct sync_group_request sync = {.group_id = STR("g"),
		    .generation_id = me->generation_id,
		    .member_id = me->member_id,
		    .assignments = {&mine, 1}};
		kafka_call(&c, API_SYNC_GROUP, 3, &sync);
		struct http_raw_reply reply = get("/v1/groups/g/lag");
		assert_int_equal(reply.status, 200);
		http_raw_release(&reply);
		struct leave_group_request leave = {
		    .group_id = STR("g"), .member_id = me->member_id};
		kafka_call(&c, API_LEAVE_GROUP, 1, &leave);
	}
}

static void a_group_can_be_reset_after_a_look(void **state)
{
	(void)state;
	kafka_create(&c, "t", 1, NULL);
	kafka_produce(&c, 7, "t", 0, kafka_batch(&c, 0, 10, "v"));
	commit("g", "t", 10);
	const char *plan =
	    "[{\"group\":\"g\",\"topic\":\"t\",\"partition\":0,\"from\":10,\"to\":7}]";
	is(post("/v1/groups/g/reset", "{\"topic\":\"t\",\"to\":\"-3\",\"dry_run\":true}"), plan);
	has(get("/v1/groups/g/lag"), 200, "\"committed\":10,");
	is(post("/v1/groups/g/reset", "{\"topic\":\"t\",\"to\":\"-3\"}"), plan);
	has(get("/v1/groups/g/lag"), 200, "\"committed\":7,");
	has(post("/v1/groups/g/reset", "{\"topic\":\"t\",\"to\":4,\"partition\":0}"), 200,
	    "\"to\":4}");
	has(post("/v1/groups/g/reset", "{\"topic\":\"t\",\"to\":\"@6\"}"), 200, "\"to\":6}");
	has(post("/v1/groups/g/reset", "{\"topic\":\"t\",\"to\":999}"), 200, "\"to\":10}");
	has(post("/v1/groups/g/reset", "{\"topic\":\"t\",\"to\":\"stored\"}"), 400, "INVALID");
	has(post("/v1/groups/g/reset", "{\"topic\":\"t\"}"), 400, "needs");
	has(post("/v1/groups/g/reset", "{\"topic\":\"none\",\"to\":0}"), 404, "UNKNOWN_TOPIC");
	has(post("/v1/groups/none/reset", "{\"topic\":\"t\",\"to\":0}"), 404, "GROUP_NOT_FOUND");
	has(post("/v1/groups/g/reset", "{\"topic\":\"t\",\"to\":0,\"partition\":1}"), 404,
	    "1 partitions");
	has(post("/v1/groups/g/reset", "{\"topic\":\"t\",\"to\":0,\"partition\":-1}"), 400,
	    "partition");
	has(post("/v1/groups/g/reset", "not json"), 400, "BAD_JSON");
	kafka_disconnect(&c);
	kafka_connect(&c, &server);
	has(get("/v1/groups/g/lag"), 200, "\"committed\":10,");
}

/* ---- metrics ------------------------------------------------------------------------------- */

static void metrics_have_the_names_of_kafka_exporter(void **state)
{
	(void)state;
	kafka_create(&c, "t", 2, NULL);
	kafka_produce(&c, 7, "t", 0, kafka_batch(&c, 0, 10, "v"));
	commit("g\"\n\\", "t", 4);
	static const char *const expected[] = {
	    "# TYPE kafka_brokers gauge\nkafka_brokers 1\n",
	    "kafka_topic_partitions{topic=\"t\"} 2\n",
	    "kappa_topic_durability{durability=\"fsync\",topic=\"t\"} 1\n",
	    "kappa_topic_partition_durable_offset{partition=\"0\",topic=\"t\"}",
	    "kafka_topic_partition_current_offset{partition=\"0\",topic=\"t\"} 10\n",
	    "kafka_topic_partition_oldest_offset{partition=\"1\",topic=\"t\"} 0\n",
	    "kafka_consumergroup_current_offset{consumergroup=\"g\\\"\\n\\\\\",partition=\"0\","
	    "topic=\"t\"} 4\n",
	    "kafka_consumergroup_lag{consumergroup=\"g\\\"\\n\\\\\",partition=\"0\",topic=\"t\"} "
	    "6\n",
	    "kafka_consumergroup_lag_sum{consumergroup=\"g\\\"\\n\\\\\",topic=\"t\"} 6\n",
	    "kafka_consumergroup_members{consumergroup=\"g\\\"\\n\\\\\"} 0\n",
	    "# TYPE kappa_http_requests_total counter\n",
	};
	struct http_raw_reply reply = get("/metrics");
	assert_int_equal(reply.status, 200);
	for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
		if (!strstr(reply.body, expected[i]))
			fail_msg("missing: %s", expected[i]);
	}
	http_raw_release(&reply);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, start, stop)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(topics_are_listed_with_their_size),
	    CASE(records_come_as_one_json_object_per_line),
	    CASE(records_begin_where_asked),
	    CASE(groups_and_their_lag_are_shown),
	    CASE(a_partition_names_the_member_that_reads_it),
	    CASE(hostile_assignments_do_not_hurt),
	    CASE(a_group_can_be_reset_after_a_look),
	    CASE(metrics_have_the_names_of_kafka_exporter),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
