/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections over loopback, on both I/O backends: framing, order, limits, hostile and slow
 * clients. Nothing here needs a topic.
 */
#include "test/lib/kafka_server.h"
#include "test/lib/patience.h"
#include "test/lib/test.h"
#include "broker/kafka/request.h"
#include "broker/kafka/server.h"
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct kafka_server server;
static const char *backend = "uring";

/* Lines of diag while it is looked at. */
static struct writer lines;
static struct mutex lines_mutex;
static void keep_line(void *ctx, const char *line)
{
	(void)ctx;
	mutex_lock(&lines_mutex);
	write_cstr(&lines, line);
	mutex_unlock(&lines_mutex);
}
static bool was_said(const char *text)
{
	mutex_lock(&lines_mutex);
	bool found = lines.len > 0 && memmem(lines.ptr, lines.len, text, strlen(text));
	mutex_unlock(&lines_mutex);
	return found;
}

static int start(void **state)
{
	(void)state;
	writer_init(&lines, MIB);
	diag_set_sink(keep_line, NULL);
	kafka_server_start(&server, backend, &(struct broker_options){.cluster_id = "test"});
	return 0;
}

static int stop(void **state)
{
	(void)state;
	kafka_server_remove(&server);
	diag_set_sink(NULL, NULL);
	writer_release(&lines);
	return 0;
}

static void restart_with(const struct broker_options *options)
{
	kafka_server_remove(&server);
	kafka_server_start(&server, backend, options);
}

static const struct api_versions_request hello = {
    .client_software_name = {"test", 4}, .client_software_version = {"1.0", 3}};

static void call_hello(struct kafka_client *c)
{
	const struct api_versions_response *r = kafka_call(c, API_API_VERSIONS, 3, &hello);
	assert_int_equal(r->error_code, 0);
}

/* ---- what is spoken -------------------------------------------------------------------------- */

static void api_versions_lists_exactly_what_is_served(void **state)
{
	(void)state;
	struct kafka_client c;
	kafka_connect(&c, &server);
	for (int16_t v = 0; v <= 4; v++) {
		const struct api_versions_response *r = kafka_call(&c, API_API_VERSIONS, v, &hello);
		size_t rows = 0;
		assert_int_equal(r->error_code, 0);
		for (const struct dispatch_row *row; (row = dispatch_at(rows)); rows++) {
			assert_int_equal(r->api_keys.at[rows].api_key, row->key);
			assert_int_equal(r->api_keys.at[rows].max_version, row->max);
		}
		assert_int_equal(r->api_keys.count, rows);
		assert_int_equal(r->api_keys.at[0].api_key, API_PRODUCE);
		assert_int_equal(r->api_keys.at[0].min_version, 0);
	}
	kafka_disconnect(&c);
}

static void served_versions_are_within_the_message_table(void **state)
{
	(void)state;
	const struct dispatch_row *row;
	for (size_t i = 0; (row = dispatch_at(i)); i++) {
		const struct msg_api *api = msg_api_find(row->key);
		assert_non_null(api);
		assert_true(row->min >= api->min && row->max <= api->max && row->min <= row->max);
		if (i > 0)
			assert_true(dispatch_at(i - 1)->key < row->key);
	}
}

static void unknown_version_of_api_versions_is_answered_in_version_0(void **state)
{
	(void)state;
	struct kafka_client c;
	kafka_connect(&c, &server);
	/* version 99: header and then something that cannot be understood */
	kafka_send_raw(&c, bytes_of("\0\0\0\x12"
	                            "\0\x12"
	                            "\0\x63"
	                            "\0\0\0\x07"
	                            "\0\x02zz"
	                            "\xff\xff\xff\xff\xff\xff",
	                       22));
	const struct api_versions_response *r = kafka_receive(&c, API_API_VERSIONS, 0);
	assert_int_equal(c.received_id, 7);
	assert_int_equal(r->error_code, 35);
	bool has_itself = false;
	for (uint32_t i = 0; i < r->api_keys.count; i++)
		has_itself |= r->api_keys.at[i].api_key == API_API_VERSIONS;
	assert_true(has_itself);
	call_hello(&c); /* the connection goes on */
	kafka_disconnect(&c);
}

static void bad_client_software_name_is_an_invalid_request(void **state)
{
	(void)state;
	struct kafka_client c;
	struct api_versions_request bad = {{"a b", 3}, {"1", 1}};
	kafka_connect(&c, &server);
	const struct api_versions_response *r = kafka_call(&c, API_API_VERSIONS, 3, &bad);
	assert_int_equal(r->error_code, 42);
	bad.client_software_name = STR("-x");
	r = kafka_call(&c, API_API_VERSIONS, 4, &bad);
	assert_int_equal(r->error_code, 42);
	kafka_disconnect(&c);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void assert_refused(struct bytes b, const char *event)
{
	struct kafka_client c;
	kafka_connect(&c, &server);
	uint64_t before = metric_value(METRIC_BAD_FRAMES);
	kafka_send_raw(&c, b);
	assert_true(kafka_is_closed(&c));
	kafka_disconnect(&c);
	assert_int_equal(metric_value(METRIC_BAD_FRAMES), before + 1);
	assert_true(was_said(event));
}

static void garbage_closes_the_connection_with_one_line(void **state)
{
	(void)state;
	assert_refused(bytes_of("GET / HTTP/1.1\r\n\r\n", 18), "event=kafka_connection_closed");
}

static void length_over_the_limit_closes(void **state)
{
	(void)state;
	assert_refused(bytes_of("\x06\x40\x00\x01", 4), "length");
	assert_refused(bytes_of("\xff\xff\xff\xff", 4), "length");
	assert_refused(bytes_of("\0\0\0\x03", 4), "length");
}

static void unknown_api_and_unserved_version_close(void **state)
{
	(void)state;
	assert_refused(bytes_of("\0\0\0\x0a\x03\xe7\0\0\0\0\0\x01\xff\xff", 14), "api key 999");
	assert_refused(bytes_of("\0\0\0\x0a\0\0\0\x02\0\0\0\x01\xff\xff", 14), "Produce version 2");
	assert_refused(
	    bytes_of("\0\0\0\x0a\0\x03\0\x0e\0\0\0\x01\xff\xff", 14), "Metadata version 14");
}

/* Kafka ignores them, and librdkafka 2.0 sends some. */
static void bytes_after_the_end_of_a_request_are_ignored(void **state)
{
	(void)state;
	struct kafka_client c;
	kafka_connect(&c, &server);
	kafka_send_raw(&c, bytes_of("\0\0\0\x0d\0\x12\0\0\0\0\0\x09\xff\xff\1\2\3", 17));
	const struct api_versions_response *r = kafka_receive(&c, API_API_VERSIONS, 0);
	assert_int_equal(c.received_id, 9);
	assert_int_equal(r->error_code, 0);
	call_hello(&c);
	kafka_disconnect(&c);
}

static void header_cut_short_closes(void **state)
{
	(void)state;
	assert_refused(bytes_of("\0\0\0\x0a\0\x12\0\0\0\0\0\x01\0\x05", 14), "header");
	assert_refused(bytes_of("\0\0\0\x0a\0\x12\0\0\0\0\0\x01\xff\xfe", 14), "header");
}

static void header_with_millions_of_tags_closes(void **state)
{
	(void)state;
	struct writer w;
	writer_init(&w, 64 * MIB);
	write_bytes(&w, bytes_of("\0\0\0\0\0\x12\0\x03\0\0\0\x01\xff\xff", 14));
	write_uvarint64(&w, 20000000);
	memset(writer_reserve(&w, 10000000), 0, 10000000);
	writer_patch_u32_be(&w, 0, (uint32_t)(w.len - 4));
	assert_refused(writer_bytes(&w), "tagged fields");
	writer_release(&w);
}

static void others_are_served_while_one_is_refused(void **state)
{
	(void)state;
	struct kafka_client honest;
	kafka_connect(&honest, &server);
	call_hello(&honest);
	assert_refused(bytes_of("\xff\xff\xff\xff", 4), "length");
	call_hello(&honest);
	kafka_disconnect(&honest);
}

/* ---- order and flow -------------------------------------------------------------------------- */

static void pipelined_requests_are_answered_in_order(void **state)
{
	(void)state;
	enum { COUNT = 3 * KAFKA_PIPELINE_MAX };
	struct kafka_client c;
	kafka_connect(&c, &server);
	for (int i = 0; i < COUNT; i++)
		kafka_send(&c, API_API_VERSIONS, (int16_t)(i % 5), &hello);
	for (int i = 0; i < COUNT; i++) {
		kafka_receive(&c, API_API_VERSIONS, (int16_t)(i % 5));
		assert_int_equal(c.received_id, i + 1);
		kafka_client_clear(&c);
	}
	kafka_disconnect(&c);
}

static void request_may_arrive_byte_by_byte(void **state)
{
	(void)state;
	struct kafka_client c;
	const char request[] = "\0\0\0\x0a\0\x12\0\0\0\0\0\x2a\xff\xff";
	kafka_connect(&c, &server);
	for (size_t i = 0; i < 14; i++) {
		kafka_send_raw(&c, bytes_of(request + i, 1));
		usleep(1000);
	}
	kafka_receive(&c, API_API_VERSIONS, 0);
	assert_int_equal(c.received_id, 42);
	kafka_disconnect(&c);
}

/* A request of `len` bytes that is understood: a client id and an unknown tag to fill it. */
static void write_long(struct writer *w, size_t len)
{
	writer_init(w, 128 * MIB);
	write_bytes(w, bytes_of("\0\0\0\0\0\x12\0\x03\0\0\0\x09\xff\xff\0"
	                        "\x02"
	                        "a"
	                        "\x02"
	                        "1"
	                        "\x01\x05",
	                   21));
	write_uvarint64(w, len);
	memset(writer_reserve(w, len), 'x', len);
	writer_patch_u32_be(w, 0, (uint32_t)(w->len - 4));
}

static void send_long(struct kafka_client *c, size_t len)
{
	struct writer w;
	write_long(&w, len);
	kafka_send_raw(c, writer_bytes(&w));
	writer_release(&w);
}

static void long_requests_arrive_whole(void **state)
{
	(void)state;
	static const size_t sizes[] = {
	    1, 4000, 4096, 65000, 65536, 70000, 300000, 1000000, 5000000, 16000000};
	struct kafka_client c;
	kafka_connect(&c, &server);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		send_long(&c, sizes[i]);
		const struct api_versions_response *r = kafka_receive(&c, API_API_VERSIONS, 3);
		assert_int_equal(r->error_code, 0);
		kafka_client_clear(&c);
	}
	kafka_disconnect(&c);
}

static void connection_closed_by_the_client_leaves_nothing(void **state)
{
	(void)state;
	for (int i = 0; i < 50; i++) {
		struct kafka_client c;
		kafka_connect(&c, &server);
		if (i % 3 == 1)
			kafka_send_raw(&c, bytes_of("\0\0\x10\0abc", 7));
		if (i % 3 == 2)
			kafka_send(&c, API_API_VERSIONS, 0, &hello);
		kafka_disconnect(&c);
	}
	assert_true(metric_falls(METRIC_CONNECTIONS, 0));
}

static void client_that_never_reads_stops_being_read(void **state)
{
	(void)state;
	struct kafka_client c;
	uint64_t before = metric_value(METRIC_REQUESTS);
	kafka_connect(&c, &server);
	int small = 4096;
	setsockopt(c.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	struct timeval timeout = {1, 0};
	setsockopt(c.fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	const char request[] = "\0\0\0\x0a\0\x12\0\0\0\0\0\x2a\xff\xff";
	struct writer w;
	writer_init(&w, MIB);
	for (int i = 0; i < 10000; i++)
		write_bytes(&w, bytes_of(request, 14));
	size_t sent = 0;
	for (int i = 0; i < 2000; i++) {
		ssize_t n = send(c.fd, w.ptr, w.len, MSG_NOSIGNAL);
		if (n < (ssize_t)w.len)
			break;
		sent += (size_t)n;
	}
	/* 280 MB could have been sent: the server took only what fits into its limits and the
	 * socket buffers */
	assert_true(sent < 100 * MIB);
	assert_true(metric_value(METRIC_REQUESTS) - before < 200000);
	writer_release(&w);
	kafka_disconnect(&c);
}

/* ---- limits ---------------------------------------------------------------------------------- */

static void connections_over_the_limit_are_closed_at_once(void **state)
{
	(void)state;
	struct kafka_client c[4];
	restart_with(&(struct broker_options){.cluster_id = "test", .connections_max = 3});
	for (int i = 0; i < 4; i++) {
		kafka_connect(&c[i], &server);
		if (i < 3)
			call_hello(&c[i]);
	}
	assert_true(kafka_is_closed(&c[3]));
	assert_true(was_said("kafka_connection_refused"));
	kafka_disconnect(&c[0]);
	assert_true(metric_falls(METRIC_CONNECTIONS, 2));
	kafka_disconnect(&c[3]);
	kafka_connect(&c[3], &server);
	call_hello(&c[3]);
	for (int i = 1; i < 4; i++)
		kafka_disconnect(&c[i]);
}

static void idle_and_stalled_connections_are_closed(void **state)
{
	(void)state;
	struct kafka_client idle, stalled;
	restart_with(
	    &(struct broker_options){.cluster_id = "test", .idle_ns = S_NS, .stall_ns = S_NS});
	kafka_connect(&idle, &server);
	kafka_connect(&stalled, &server);
	kafka_send_raw(&stalled, bytes_of("\0\0\0\x40"
	                                  "abc",
	                             7));
	assert_true(kafka_is_closed(&idle));
	assert_true(kafka_is_closed(&stalled));
	assert_true(was_said("stopped in the middle"));
	kafka_disconnect(&idle);
	kafka_disconnect(&stalled);
}

static void claimed_lengths_take_no_memory(void **state)
{
	(void)state;
	enum { COUNT = 200 };
	static struct kafka_client c[COUNT];
	size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
	for (int i = 0; i < COUNT; i++) {
		kafka_connect(&c[i], &server);
		kafka_send_raw(&c[i], bytes_of("\x06\0\0\0"
		                               "x",
		                          5)); /* "100 MB follow" */
	}
	assert_true(metric_reaches(METRIC_CONNECTIONS, COUNT));
	usleep(100000);
	size_t after = mallinfo2().uordblks + mallinfo2().hblkhd;
	assert_int_equal(metric_value(METRIC_CONNECTIONS), COUNT);
	assert_true(after - before < COUNT * (4 * 5 + 512 + 16 * KIB));
	for (int i = 0; i < COUNT; i++)
		kafka_disconnect(&c[i]);
}

static void two_thousand_idle_connections_take_16_kib_each_at_most(void **state)
{
	(void)state;
	enum { COUNT = 2000 };
	static struct kafka_client c[COUNT];
	assert_true(metric_falls(METRIC_CONNECTIONS, 0));
	size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
	for (int i = 0; i < COUNT; i++) {
		kafka_connect(&c[i], &server);
		call_hello(&c[i]);
		arena_release(&c[i].arena);
	}
	size_t after = mallinfo2().uordblks + mallinfo2().hblkhd;
	assert_int_equal(metric_value(METRIC_CONNECTIONS), COUNT);
	print_message("%zu bytes per idle connection\n", (after - before) / COUNT);
	assert_true(after - before <= COUNT * 16 * KIB);
	for (int i = 0; i < COUNT; i++)
		kafka_disconnect(&c[i]);
}

static void frames_beyond_the_budget_wait_their_turn(void **state)
{
	(void)state;
	enum { COUNT = 8 };
	struct kafka_client c[COUNT];
	restart_with(&(struct broker_options){
	    .cluster_id = "test", .request_bytes_max = 4 * MIB, .request_budget_bytes = 8 * MIB});
	for (int i = 0; i < COUNT; i++)
		kafka_connect(&c[i], &server);
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < COUNT; i++)
			send_long(&c[i], 3 * MIB);
		for (int i = 0; i < COUNT; i++)
			kafka_receive(&c[i], API_API_VERSIONS, 3);
	}
	for (int i = 0; i < COUNT; i++)
		kafka_disconnect(&c[i]);
}

struct rest {
	struct thread thread;
	struct kafka_client c;
	struct writer frame;
	size_t sent;
};

static void send_rest(void *arg)
{
	struct rest *r = arg;
	kafka_send_raw(&r->c, bytes_slice(writer_bytes(&r->frame), r->sent, r->frame.len));
}

/* Together more than the budget, each less than what it needs: somebody has to get through. */
static void frames_that_hold_the_budget_in_parts_do_not_wait_for_each_other(void **state)
{
	(void)state;
	enum { COUNT = 8 };
	struct rest *r = mem_calloc(COUNT, sizeof(*r));
	restart_with(&(struct broker_options){
	    .cluster_id = "test", .request_bytes_max = 4 * MIB, .request_budget_bytes = 8 * MIB});
	for (int i = 0; i < COUNT; i++) {
		kafka_connect(&r[i].c, &server);
		write_long(&r[i].frame, 3 * MIB);
		r[i].sent = MIB;
		kafka_send_raw(&r[i].c, bytes_of(r[i].frame.ptr, r[i].sent));
	}
	usleep(200000); /* what can be taken is taken */
	for (int i = 0; i < COUNT; i++)
		assert_int_equal(thread_start(&r[i].thread, "rest", send_rest, &r[i]), ERR_OK);
	for (int i = 0; i < COUNT; i++) {
		thread_join(&r[i].thread);
		kafka_receive(&r[i].c, API_API_VERSIONS, 3);
		kafka_disconnect(&r[i].c);
		writer_release(&r[i].frame);
	}
	mem_free(r);
}

/* A request of `len` bytes that begins with `part` of them. */
static void begin_long(struct kafka_client *c, size_t len, size_t part)
{
	struct writer w;
	kafka_connect(c, &server);
	write_long(&w, len);
	kafka_send_raw(c, bytes_of(w.ptr, part));
	writer_release(&w);
}

static void assert_served(size_t len)
{
	struct kafka_client c;
	kafka_connect(&c, &server);
	send_long(&c, len);
	kafka_receive(&c, API_API_VERSIONS, 3);
	kafka_disconnect(&c);
}

/* Many who claim long requests and send nothing of them: what they claim is not taken. */
static void claims_stop_nobody(void **state)
{
	(void)state;
	enum { COUNT = 300 };
	static struct kafka_client c[COUNT];
	restart_with(&(struct broker_options){
	    .cluster_id = "test", .request_bytes_max = 4 * MIB, .request_budget_bytes = 8 * MIB});
	for (int i = 0; i < COUNT; i++)
		begin_long(&c[i], 3 * MIB, 8);
	assert_served(100);
	assert_served(MIB);
	assert_true(!was_said("comes slowly"));
	for (int i = 0; i < COUNT; i++)
		kafka_disconnect(&c[i]);
}

static void see_hunger(void *arg)
{
	*(bool *)arg = loop_timer_is_set(&server.broker->hunger.relief);
}

/* Somebody waits for memory. */
static bool is_hungry(void *ctx)
{
	bool hungry;
	(void)ctx;
	loop_call(server.loop, see_hunger, &hungry);
	return hungry;
}

/* True when short requests were served before anybody was ended for being slow, which is done
 * after a second. */
static bool short_ones_pass(void)
{
	enum { COUNT = 60 };
	static struct kafka_client c[COUNT];
	restart_with(&(struct broker_options){
	    .cluster_id = "test", .request_bytes_max = 4 * MIB, .request_budget_bytes = 8 * MIB});
	for (int i = 0; i < COUNT; i++)
		begin_long(&c[i], 3 * MIB, 50000 + 1000 * (size_t)i);
	assert_true(becomes(is_hungry, NULL));
	assert_served(100);
	assert_served(60000);
	bool passed = !was_said("comes slowly");
	assert_served(2 * MIB);
	assert_true(was_said("comes slowly"));
	for (int i = 0; i < COUNT; i++)
		kafka_disconnect(&c[i]);
	return passed;
}

/* Those who do send, enough for the whole budget, and then stop: short requests pass them, long
 * ones wait until the slowest are ended. */
static void those_who_stop_with_the_budget_in_hand_are_ended(void **state)
{
	(void)state;
	int tries = 10; /* a busy machine may need the second, too */
	while (!short_ones_pass())
		assert_true(--tries > 0);
}

static void server_stops_while_clients_are_connected(void **state)
{
	(void)state;
	struct kafka_client c;
	kafka_connect(&c, &server);
	call_hello(&c);
	kafka_server_stop(&server);
	assert_true(kafka_is_closed(&c));
	kafka_disconnect(&c);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(int argc, char **argv)
{
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	const struct CMUnitTest tests[] = {
	    EACH (api_versions_lists_exactly_what_is_served),
	    EACH (served_versions_are_within_the_message_table),
	    EACH (unknown_version_of_api_versions_is_answered_in_version_0),
	    EACH (bad_client_software_name_is_an_invalid_request),
	    EACH (garbage_closes_the_connection_with_one_line),
	    EACH (length_over_the_limit_closes),
	    EACH (unknown_api_and_unserved_version_close),
	    EACH (bytes_after_the_end_of_a_request_are_ignored),
	    EACH (header_cut_short_closes),
	    EACH (header_with_millions_of_tags_closes),
	    EACH (others_are_served_while_one_is_refused),
	    EACH (pipelined_requests_are_answered_in_order),
	    EACH (request_may_arrive_byte_by_byte),
	    EACH (long_requests_arrive_whole),
	    EACH (connection_closed_by_the_client_leaves_nothing),
	    EACH (client_that_never_reads_stops_being_read),
	    EACH (connections_over_the_limit_are_closed_at_once),
	    EACH (idle_and_stalled_connections_are_closed),
	    EACH (claimed_lengths_take_no_memory),
	    EACH (two_thousand_idle_connections_take_16_kib_each_at_most),
	    EACH (frames_beyond_the_budget_wait_their_turn),
	    EACH (frames_that_hold_the_budget_in_parts_do_not_wait_for_each_other),
	    EACH (claims_stop_nobody),
	    EACH (those_who_stop_with_the_budget_in_hand_are_ended),
	    EACH (server_stops_while_clients_are_connected),
	};
	mutex_init(&lines_mutex);
	int failed = cmocka_run_group_tests_name("uring", tests, NULL, NULL);
	backend = "threads";
	failed += cmocka_run_group_tests_name("threads", tests, NULL, NULL);
	mutex_release(&lines_mutex);
	return failed;
}
