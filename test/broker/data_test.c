/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Producing and fetching over loopback with hand-made requests, on both I/O backends: what is
 * written comes back byte for byte, in every version; what must be refused is; waiting ends when it
 * should.
 */
#include "log/base/bytes.h"
#include "test/lib/kafka_pair.h"
#include "test/lib/patience.h"
#include "test/lib/test.h"
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* Equal apart from base offset and leader epoch, which the server stamps. */
static void assert_same_batch(struct bytes sent, struct bytes got, int64_t offset)
{
	struct batch_header h;
	assert_int_equal(sent.len, got.len);
	assert_int_equal(batch_header_read(got, &h), ERR_OK);
	assert_int_equal(h.base_offset, offset);
	assert_memory_equal(sent.ptr + 8, got.ptr + 8, 4);
	assert_memory_equal(sent.ptr + 16, got.ptr + 16, sent.len - 16);
}

/* ---- round trips ----------------------------------------------------------------------------- */

static void batches_come_back_byte_for_byte_in_every_version(void **state)
{
	(void)state;
	int64_t offset = 0;
	kafka_create(&c, "t", 2, NULL);
	for (int16_t v = 3; v <= 13; v++) {
		struct bytes batch = kafka_batch(&c, 1000, 7, "value");
		struct produce_response_partition p = kafka_produce(&c, v, "t", 1, batch);
		assert_int_equal(p.error_code, 0);
		assert_int_equal(p.base_offset, offset);
		if (v >= 5)
			assert_int_equal(p.log_start_offset, 0);
		for (int16_t f = 4; f <= 18; f++) {
			struct fetch_response_partition r = kafka_fetch(&c, "t",
			    (struct kafka_fetch){.version = f, .partition = 1, .offset = offset});
			assert_int_equal(r.error_code, 0);
			assert_int_equal(r.high_watermark, offset + 7);
			assert_int_equal(r.last_stable_offset, offset + 7);
			assert_same_batch(batch, kafka_fetched(&c, &r), offset);
		}
		offset += 7;
		kafka_client_clear(&c);
	}
}

static void compressed_batches_come_back_as_they_were_sent(void **state)
{
	(void)state;
	kafka_create(&c, "t", 1, NULL);
	int64_t offset = 0;
	for (int codec = BATCH_NONE; codec < BATCH_CODECS; codec++) {
		struct batch_builder b;
		struct writer w;
		batch_builder_init(&b, codec);
		for (int i = 0; i < 1000; i++)
			assert_int_equal(batch_builder_add(&b, i, str_bytes(STR("k")),
			                     str_bytes(STR("vvvvvv")), NULL, 0),
			    ERR_OK);
		writer_init(&w, MIB);
		assert_int_equal(batch_builder_finish(&b, &w), ERR_OK);
		struct produce_response_partition p =
		    kafka_produce(&c, 9, "t", 0, writer_bytes(&w));
		assert_int_equal(p.error_code, 0);
		assert_int_equal(p.base_offset, offset);
		struct fetch_response_partition r =
		    kafka_fetch(&c, "t", (struct kafka_fetch){.version = 12, .offset = offset});
		assert_same_batch(writer_bytes(&w), kafka_fetched(&c, &r), offset);
		offset += 1000;
		writer_release(&w);
		batch_builder_release(&b);
	}
}

static void what_was_acknowledged_is_there_after_a_restart(void **state)
{
	(void)state;
	kafka_create(&c, "t", 1, NULL);
	struct bytes batch = kafka_batch(&c, 0, 100, "value");
	for (int i = 0; i < 20; i++)
		assert_int_equal(kafka_produce(&c, 9, "t", 0, batch).base_offset, i * 100);
	pair_restart(NULL);
	struct fetch_response_partition r =
	    kafka_fetch(&c, "t", (struct kafka_fetch){.version = 12});
	assert_int_equal(r.high_watermark, 2000);
	assert_int_equal(kafka_count_records(kafka_fetched(&c, &r), 0), 2000);
	assert_int_equal(
	    kafka_produce(&c, 9, "t", 0, kafka_batch(&c, 0, 1, "x")).base_offset, 2000);
}

static void many_partitions_in_one_request_are_answered_each(void **state)
{
	(void)state;
	enum { COUNT = 50 };
	struct produce_request_partition p[COUNT];
	kafka_create(&c, "t", COUNT, NULL);
	for (int i = 0; i < COUNT; i++)
		p[i] = (struct produce_request_partition){
		    COUNT - 1 - i, kafka_batch(&c, i, i + 1, "v")};
	struct produce_request_topic t = {.name = STR("t"), .partition_data = {p, COUNT}};
	struct produce_request body = {.acks = 1, .topic_data = {&t, 1}};
	const struct produce_response *r = kafka_call(&c, API_PRODUCE, 9, &body);
	for (int i = 0; i < COUNT; i++) {
		assert_int_equal(r->responses.at[0].partition_responses.at[i].index, COUNT - 1 - i);
		assert_int_equal(r->responses.at[0].partition_responses.at[i].error_code, 0);
		assert_int_equal(kafka_list_offset(&c, 7, "t", COUNT - 1 - i, -1).offset, i + 1);
	}
}

/* ---- what is refused ------------------------------------------------------------------------- */

static int16_t produce_error(struct bytes batch)
{
	struct produce_response_partition p = kafka_produce(&c, 9, "t", 0, batch);
	if (p.error_code != 0) {
		assert_int_equal(p.base_offset, -1);
		assert_true(p.error_message.len > 0);
	}
	return p.error_code;
}

static void bad_batches_are_refused_and_leave_nothing(void **state)
{
	(void)state;
	kafka_create(&c, "t", 1, (const char *[]){"max.message.bytes", "2000", NULL});
	struct bytes good = kafka_batch(&c, 0, 3, "value");
	uint8_t bad[4096];
	memcpy(bad, good.ptr, good.len);
	bad[good.len - 1] ^= 1; /* CRC */
	assert_int_equal(produce_error(bytes_of(bad, good.len)), 2);
	assert_int_equal(produce_error(bytes_slice(good, 0, good.len - 1)), 87);
	assert_int_equal(produce_error(bytes_slice(good, 0, 20)), 87);
	assert_int_equal(produce_error(bytes_of("", 0)), 87);
	assert_int_equal(produce_error(kafka_bulk(&c, 100, 3000)), 10);
	memcpy(bad, good.ptr, good.len);
	memcpy(bad + good.len, good.ptr, good.len); /* two batches where one must be */
	assert_int_not_equal(produce_error(bytes_of(bad, 2 * good.len)), 0);
	memcpy(bad, good.ptr, good.len);
	bad[22] |= BATCH_ATTR_TRANSACTIONAL;
	assert_int_equal(produce_error(bytes_of(bad, good.len)), 48);
	assert_int_equal(kafka_produce(&c, 9, "none", 0, good).error_code, 3);
	assert_int_equal(kafka_produce(&c, 9, "t", 1, good).error_code, 3);
	assert_int_equal(kafka_produce(&c, 9, "t", -1, good).error_code, 3);
	assert_int_equal(kafka_produce(&c, 13, "none", 0, good).error_code, 100);
	assert_int_equal(kafka_produce(&c, 9, "__kappa_cluster", 0, good).error_code, 17);
	assert_int_equal(kafka_list_offset(&c, 7, "t", 0, -1).offset, 0);
	assert_int_equal(produce_error(good), 0);
}

/* As Kafka 4.3.1: with what is wrong inside a batch goes the real log start, else -1. */
static void refusals_have_kafkas_codes_and_log_starts(void **state)
{
	static const struct {
		const char *what;
		size_t at;
		uint8_t byte;
		int16_t code;
		int64_t log_start;
		bool crc; /* is made right again */
	} cases[] = {
	    {"magic 0", 16, 0, 87, -1, true},
	    {"magic 1", 16, 1, 87, -1, true},
	    {"magic 3", 16, 3, 87, -1, true},
	    {"longer than it is", 11, 0xff, 87, -1, true},
	    {"base offset", 7, 77, 87, 2, true},
	    {"no gzip", 22, BATCH_GZIP, -1, 2, true},
	    {"no snappy", 22, BATCH_SNAPPY, -1, 2, true},
	    {"no lz4", 22, BATCH_LZ4, -1, 2, true},
	    {"no zstd", 22, BATCH_ZSTD, -1, 2, true},
	    {"last offset delta", 26, 9, 87, 2, true},
	    {"control batch", 22, BATCH_ATTR_CONTROL, 87, 2, true},
	    {"append time", 22, BATCH_ATTR_APPEND_TIME, 32, 2, true},
	    {"wrong CRC", 61, 0x55, 2, -1, false},
	};
	(void)state;
	kafka_create(&c, "t", 1, NULL);
	assert_int_equal(produce_error(kafka_batch(&c, 0, 3, "value")), 0);
	struct delete_records_request_partition cut = {0, 2};
	struct delete_records_request_topic t = {.name = STR("t"), .partitions = {&cut, 1}};
	struct delete_records_request body = {.topics = {&t, 1}, .timeout_ms = 5000};
	(void)kafka_call(&c, API_DELETE_RECORDS, 2, &body);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bytes good = kafka_batch(&c, 0, 3, "value");
		uint8_t *bad = (uint8_t *)(uintptr_t)good.ptr; /* the client's arena */
		bad[cases[i].at] = cases[i].byte;
		if (cases[i].crc)
			put_u32_be(bad + 17, crc32c(bytes_slice(good, 21, good.len)));
		struct produce_response_partition p = kafka_produce(&c, 9, "t", 0, good);
		if (p.error_code != cases[i].code || p.log_start_offset != cases[i].log_start)
			fail_msg("%s: %d, log start %lld", cases[i].what, p.error_code,
			    (long long)p.log_start_offset);
		assert_true(p.error_message.len > 0);
	}
	assert_int_equal(
	    kafka_produce(&c, 9, "none", 0, kafka_batch(&c, 0, 1, "v")).log_start_offset, -1);
	assert_int_equal(kafka_list_offset(&c, 7, "t", 0, -1).offset, 3);
}

static void keyless_records_on_a_compacted_topic_are_named(void **state)
{
	(void)state;
	struct batch_builder b;
	struct writer w;
	kafka_create(&c, "t", 1, (const char *[]){"cleanup.policy", "compact", NULL});
	batch_builder_init(&b, BATCH_NONE);
	struct bytes null = {NULL, 0};
	assert_int_equal(batch_builder_add(&b, 0, str_bytes(STR("k")), null, NULL, 0), ERR_OK);
	assert_int_equal(batch_builder_add(&b, 0, null, str_bytes(STR("v")), NULL, 0), ERR_OK);
	assert_int_equal(batch_builder_add(&b, 0, str_bytes(STR("k")), null, NULL, 0), ERR_OK);
	assert_int_equal(batch_builder_add(&b, 0, null, str_bytes(STR("v")), NULL, 0), ERR_OK);
	writer_init(&w, MIB);
	assert_int_equal(batch_builder_finish(&b, &w), ERR_OK);
	struct produce_response_partition p = kafka_produce(&c, 9, "t", 0, writer_bytes(&w));
	assert_int_equal(p.error_code, 87);
	assert_int_equal(p.record_errors.count, 2);
	assert_int_equal(p.record_errors.at[0].batch_index, 1);
	assert_int_equal(p.record_errors.at[1].batch_index, 3);
	writer_release(&w);
	batch_builder_release(&b);
}

static void acks_other_than_minus_one_to_one_are_refused(void **state)
{
	(void)state;
	kafka_create(&c, "t", 1, NULL);
	struct produce_request_partition p = {0, kafka_batch(&c, 0, 1, "v")};
	struct produce_request_topic t = {.name = STR("t"), .partition_data = {&p, 1}};
	struct produce_request body = {.acks = 2, .topic_data = {&t, 1}};
	const struct produce_response *r = kafka_call(&c, API_PRODUCE, 9, &body);
	assert_int_equal(r->responses.at[0].partition_responses.at[0].error_code, 21);
}

static void acks_0_is_not_answered_but_written(void **state)
{
	(void)state;
	kafka_create(&c, "t", 1, NULL);
	struct produce_request_partition p = {0, kafka_batch(&c, 0, 5, "v")};
	struct produce_request_topic t = {.name = STR("t"), .partition_data = {&p, 1}};
	struct produce_request body = {.acks = 0, .topic_data = {&t, 1}};
	kafka_send(&c, API_PRODUCE, 7, &body);
	kafka_send(&c, API_PRODUCE, 7, &body);
	/* the next answer is to the next question */
	assert_int_equal(kafka_list_offset(&c, 7, "t", 0, -2).error_code, 0);
	int64_t end = 0;
	for (int i = 0; i < 100 && end < 10; i++)
		end = kafka_list_offset(&c, 7, "t", 0, -1).offset;
	assert_int_equal(end, 10);
	/* refused: the connection closes, which is all that can be said */
	p.index = 77;
	kafka_send(&c, API_PRODUCE, 7, &body);
	assert_true(kafka_is_closed(&c));
}

/* ---- idempotent producers -------------------------------------------------------------------- */

static int64_t new_producer_id(void)
{
	struct init_producer_id_request body = {.producer_id = -1, .producer_epoch = -1};
	const struct init_producer_id_response *r = kafka_call(&c, API_INIT_PRODUCER_ID, 4, &body);
	assert_int_equal(r->error_code, 0);
	assert_int_equal(r->producer_epoch, 0);
	return r->producer_id;
}

static void producer_ids_are_never_given_twice(void **state)
{
	(void)state;
	int64_t a = new_producer_id(), b = new_producer_id();
	assert_true(a >= 0 && b > a);
	pair_restart(NULL);
	assert_true(new_producer_id() > b);
}

static void duplicate_is_answered_with_its_first_offset(void **state)
{
	(void)state;
	kafka_create(&c, "t", 1, NULL);
	int64_t id = new_producer_id();
	struct bytes first = kafka_batch_of(&c, 0, 3, id, 0),
	             second = kafka_batch_of(&c, 3, 2, id, 3);
	assert_int_equal(kafka_produce(&c, 9, "t", 0, first).base_offset, 0);
	assert_int_equal(kafka_produce(&c, 9, "t", 0, second).base_offset, 3);
	struct produce_response_partition again = kafka_produce(&c, 9, "t", 0, first);
	assert_int_equal(again.error_code, 0);
	assert_int_equal(again.base_offset, 0);
	assert_int_equal(kafka_list_offset(&c, 7, "t", 0, -1).offset, 5);
	/* a gap in the sequence */
	assert_int_equal(
	    kafka_produce(&c, 9, "t", 0, kafka_batch_of(&c, 9, 1, id, 9)).error_code, 45);
}

/* Compressed batches are checked on the pool and small plain ones at once: the order must not
 * depend on it. */
static void pipelined_batches_of_a_producer_keep_their_order(void **state)
{
	(void)state;
	enum { COUNT = 60 };
	kafka_create(&c, "t", 1, NULL);
	int64_t id = new_producer_id();
	for (int i = 0; i < COUNT; i++) {
		struct batch_builder b;
		struct writer w;
		batch_builder_init(&b, i % 3 == 0   ? BATCH_LZ4
		                       : i % 3 == 1 ? BATCH_NONE
		                                    : BATCH_ZSTD);
		b.producer_id = id;
		b.producer_epoch = 0;
		b.base_sequence = i * 10;
		for (int j = 0; j < 10; j++)
			assert_int_equal(batch_builder_add(&b, 1, str_bytes(STR("k")),
			                     str_bytes(STR("value")), NULL, 0),
			    ERR_OK);
		writer_init(&w, MIB);
		assert_int_equal(batch_builder_finish(&b, &w), ERR_OK);
		struct produce_request_partition p = {0, writer_bytes(&w)};
		struct produce_request_topic t = {.name = STR("t"), .partition_data = {&p, 1}};
		struct produce_request body = {.acks = -1, .topic_data = {&t, 1}};
		kafka_send(&c, API_PRODUCE, 9, &body);
		writer_release(&w);
		batch_builder_release(&b);
	}
	for (int i = 0; i < COUNT; i++) {
		const struct produce_response *r = kafka_receive(&c, API_PRODUCE, 9);
		assert_int_equal(r->responses.at[0].partition_responses.at[0].error_code, 0);
		assert_int_equal(r->responses.at[0].partition_responses.at[0].base_offset, i * 10);
	}
}

/* One record of the client's own time; the error code. */
static int16_t produce_at(const char *topic, int64_t ms)
{
	struct batch_builder b;
	struct writer w;
	batch_builder_init(&b, BATCH_NONE);
	assert_int_equal(
	    batch_builder_add(&b, ms, str_bytes(STR("k")), str_bytes(STR("v")), NULL, 0), ERR_OK);
	writer_init(&w, MIB);
	assert_int_equal(batch_builder_finish(&b, &w), ERR_OK);
	struct produce_response_partition r = kafka_produce(&c, 9, topic, 0, writer_bytes(&w));
	assert_int_equal(r.record_errors.count, r.error_code ? 1 : 0);
	writer_release(&w);
	batch_builder_release(&b);
	return r.error_code;
}

static void times_far_from_now_are_refused(void **state)
{
	(void)state;
	const int64_t now = (int64_t)time(NULL) * 1000, day = 86400000;
	kafka_create(&c, "usual", 1, NULL);
	assert_int_equal(produce_at("usual", now), 0);
	assert_int_equal(produce_at("usual", now - 4000 * day), 0);
	assert_int_equal(produce_at("usual", -1), 0);
	assert_int_equal(produce_at("usual", now + 3000000), 0);
	assert_int_equal(produce_at("usual", now + 2 * day), 32);
	kafka_create(&c, "narrow", 1,
	    (const char *[]){"message.timestamp.before.max.ms", "1000000",
	        "message.timestamp.after.max.ms", "9223372036854775807", NULL});
	assert_int_equal(produce_at("narrow", now), 0);
	assert_int_equal(produce_at("narrow", now - day), 32);
	assert_int_equal(produce_at("narrow", now + 4000 * day), 0);
	kafka_create(
	    &c, "ours", 1, (const char *[]){"message.timestamp.type", "LogAppendTime", NULL});
	assert_int_equal(produce_at("ours", now + 2 * day), 0);
}

/* ---- fetch ----------------------------------------------------------------------------------- */

static int64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void zstd_is_not_sent_to_those_who_cannot_read_it(void **state)
{
	(void)state;
	kafka_create(&c, "t", 1, (const char *[]){"compression.type", "zstd", NULL});
	kafka_produce(&c, 9, "t", 0, kafka_batch(&c, 0, 2, "v"));
	struct kafka_fetch f = {.version = 9};
	struct fetch_response_partition r = kafka_fetch(&c, "t", f);
	assert_int_equal(r.error_code, 76);
	assert_int_equal(r.records.count, 0);
	f.version = 10;
	r = kafka_fetch(&c, "t", f);
	assert_int_equal(kafka_count_records(kafka_fetched(&c, &r), 0), 2);
}

static void fetch_inside_a_batch_returns_the_whole_batch(void **state)
{
	(void)state;
	kafka_create(&c, "t", 1, NULL);
	kafka_produce(&c, 9, "t", 0, kafka_batch(&c, 0, 10, "v"));
	struct fetch_response_partition r =
	    kafka_fetch(&c, "t", (struct kafka_fetch){.version = 11, .offset = 7});
	assert_int_equal(kafka_count_records(kafka_fetched(&c, &r), 0), 10);
}

static void first_batch_comes_whatever_its_size_and_then_limits_hold(void **state)
{
	(void)state;
	kafka_create(&c, "t", 1, NULL);
	for (int i = 0; i < 10; i++)
		kafka_produce(&c, 9, "t", 0, kafka_bulk(&c, 1000, 100000));
	struct fetch_response_partition r = kafka_fetch(
	    &c, "t", (struct kafka_fetch){.version = 11, .max_bytes = 1, .partition_max_bytes = 1});
	assert_int_equal(kafka_count_records(kafka_fetched(&c, &r), 0), 100);
	r = kafka_fetch(&c, "t", (struct kafka_fetch){.version = 11, .max_bytes = 350000});
	assert_int_equal(kafka_count_records(kafka_fetched(&c, &r), 0), 300);
	r = kafka_fetch(
	    &c, "t", (struct kafka_fetch){.version = 11, .partition_max_bytes = 250000});
	assert_int_equal(kafka_count_records(kafka_fetched(&c, &r), 0), 200);
}

static void fetch_waits_for_data_and_ends_when_it_comes(void **state)
{
	(void)state;
	struct kafka_client producer;
	kafka_create(&c, "t", 1, NULL);
	kafka_connect(&producer, &server);
	kafka_fetch_send(&c, "t", (struct kafka_fetch){.version = 11, .max_wait_ms = 600000});
	assert_false(kafka_readable(&c, 200));
	kafka_produce(&producer, 9, "t", 0, kafka_batch(&producer, 0, 3, "v"));
	struct fetch_response_partition r = kafka_fetch_receive(&c, 11);
	assert_int_equal(kafka_count_records(kafka_fetched(&c, &r), 0), 3);
	kafka_disconnect(&producer);
}

/* What was taken under a larger max.message.bytes is read under a smaller one. */
static void larger_batches_of_before_are_fetched(void **state)
{
	(void)state;
	const char *large[] = {"max.message.bytes", "300000", NULL};
	kafka_create(&c, "t", 1, large);
	struct bytes batch = kafka_bulk(&c, 1000, 250000);
	assert_int_equal(kafka_produce(&c, 9, "t", 0, batch).error_code, 0);
	struct incremental_alter_configs_request_config set = {
	    .name = STR("max.message.bytes"), .value = STR("10000")};
	struct incremental_alter_configs_request_resource topic = {
	    .resource_type = 2, .resource_name = STR("t"), .configs = {&set, 1}};
	struct incremental_alter_configs_request body = {.resources = {&topic, 1}};
	const struct incremental_alter_configs_response *r =
	    kafka_call(&c, API_INCREMENTAL_ALTER_CONFIGS, 1, &body);
	assert_int_equal(r->responses.at[0].error_code, 0);
	assert_int_equal(kafka_produce(&c, 9, "t", 0, batch).error_code, 10);
	kafka_produce(&c, 9, "t", 0, kafka_batch(&c, 250, 1, "v"));
	struct fetch_response_partition p = kafka_fetch(
	    &c, "t", (struct kafka_fetch){.version = 11, .offset = 7, .partition_max_bytes = 100});
	struct bytes got = kafka_fetched(&c, &p);
	assert_int_equal(got.len, batch.len);
	assert_int_equal(kafka_count_records(got, 0), 250);
}

/* A fetch of two partitions that waits for `min_bytes` of both together. */
static void fetch_both(int32_t min_bytes, int32_t partition_max_bytes)
{
	struct fetch_request_partition parts[2];
	struct fetch_request_topic t = {.topic = STR("t"), .partitions = {parts, 2}};
	struct fetch_request body;
	msg_init(&fetch_request_shape, &body);
	for (int i = 0; i < 2; i++) {
		msg_init(&fetch_request_partition_shape, &parts[i]);
		parts[i].partition = i;
		parts[i].partition_max_bytes = partition_max_bytes;
	}
	body.topics.at = &t;
	body.topics.count = 1;
	body.max_wait_ms = 60000;
	body.min_bytes = min_bytes;
	body.max_bytes = (int32_t)GIB;
	body.replica_id = -1;
	kafka_send(&c, API_FETCH, 11, &body);
}

static size_t both_bytes(void)
{
	const struct fetch_response *r = kafka_receive(&c, API_FETCH, 11);
	struct fetch_response_partition *p = r->responses.at[0].partitions.at;
	assert_int_equal(r->responses.at[0].partitions.count, 2);
	return kafka_fetched(&c, &p[0]).len + kafka_fetched(&c, &p[1]).len;
}

/* What comes while it waits is counted, whichever partition it comes to. */
static void fetch_counts_what_comes(void **state)
{
	(void)state;
	struct kafka_client producer;
	kafka_connect(&producer, &server);
	kafka_create(&c, "t", 2, NULL);
	size_t one = kafka_bulk(&c, 1000, 1000).len;
	fetch_both((int32_t)(4 * one), MIB);
	for (int i = 0; i < 4; i++) {
		assert_false(kafka_readable(&c, 50));
		kafka_produce(&producer, 9, "t", i % 2, kafka_bulk(&producer, 1000, 1000));
	}
	assert_int_equal(both_bytes(), 4 * one);
	/* what a partition may not give does not count */
	fetch_both((int32_t)(5 * one), (int32_t)one);
	for (int i = 0; i < 20; i++)
		kafka_produce(&producer, 9, "t", 1, kafka_bulk(&producer, 1000, 1000));
	assert_false(kafka_readable(&c, 200));
	struct delete_topics_request_topic gone = {.name = STR("t")};
	struct delete_topics_request body = {.topics = {&gone, 1}, .timeout_ms = 5000};
	kafka_call(&producer, API_DELETE_TOPICS, 6, &body);
	const struct fetch_response *r = kafka_receive(&c, API_FETCH, 11);
	assert_int_equal(r->responses.at[0].partitions.at[0].error_code, 3);
	kafka_disconnect(&producer);
}

static void fetch_waits_for_min_bytes(void **state)
{
	(void)state;
	struct kafka_client producer;
	kafka_create(&c, "t", 1, NULL);
	kafka_connect(&producer, &server);
	kafka_fetch_send(
	    &c, "t", (struct kafka_fetch){.version = 11, .max_wait_ms = 600000, .min_bytes = 5000});
	for (int i = 0; i < 4; i++)
		kafka_produce(&producer, 9, "t", 0, kafka_bulk(&producer, 100, 1000));
	assert_false(kafka_readable(&c, 200));
	kafka_produce(&producer, 9, "t", 0, kafka_bulk(&producer, 100, 1000));
	struct fetch_response_partition r = kafka_fetch_receive(&c, 11);
	assert_int_equal(kafka_count_records(kafka_fetched(&c, &r), 0), 50);
	/* too little, but the time is up */
	int64_t began = now_ms();
	r = kafka_fetch(&c, "t",
	    (struct kafka_fetch){
	        .version = 11, .offset = 40, .max_wait_ms = 300, .min_bytes = 50000});
	assert_true(now_ms() - began >= 150);
	assert_true(kafka_fetched(&c, &r).len > 0);
	kafka_disconnect(&producer);
}

static void fetch_at_the_end_waits_its_time_and_is_empty(void **state)
{
	(void)state;
	kafka_create(&c, "t", 1, NULL);
	int64_t began = now_ms();
	struct fetch_response_partition r =
	    kafka_fetch(&c, "t", (struct kafka_fetch){.version = 11, .max_wait_ms = 300});
	assert_true(now_ms() - began >= 150);
	assert_int_equal(r.error_code, 0);
	assert_int_equal(r.high_watermark, 0);
	assert_int_equal(kafka_fetched(&c, &r).len, 0);
}

static void client_that_leaves_while_it_waits_is_forgotten(void **state)
{
	(void)state;
	kafka_create(&c, "t", 1, NULL);
	for (int i = 0; i < 20; i++) {
		struct kafka_client waiting;
		kafka_connect(&waiting, &server);
		kafka_fetch_send(
		    &waiting, "t", (struct kafka_fetch){.version = 11, .max_wait_ms = 60000});
		if (i % 2)
			usleep(2000);
		kafka_disconnect(&waiting);
	}
	assert_true(metric_falls(METRIC_CONNECTIONS, 1));
	assert_int_equal(kafka_produce(&c, 9, "t", 0, kafka_batch(&c, 0, 1, "v")).error_code, 0);
}

/* A Fetch at the end of "t" that waits, with `len` bytes behind its body, which are ignored. */
static void write_long_fetch(struct writer *w, int32_t id, uint32_t max_wait_ms, size_t len)
{
	size_t at = w->len;
	write_u32_be(w, 0);
	write_u16_be(w, API_FETCH);
	write_u16_be(w, 4);
	write_u32_be(w, (uint32_t)id);
	write_u16_be(w, UINT16_MAX); /* no client id */
	write_u32_be(w, UINT32_MAX); /* a consumer */
	write_u32_be(w, max_wait_ms);
	write_u32_be(w, 1);
	write_u32_be(w, MIB);
	write_u8(w, 0);
	write_u32_be(w, 1);
	write_bytes(w, bytes_of("\0\1t", 3));
	write_u32_be(w, 1);
	write_u32_be(w, 0);
	write_u64_be(w, 0);
	write_u32_be(w, MIB);
	memset(writer_reserve(w, len), 0, len);
	writer_patch_u32_be(w, at, (uint32_t)(w->len - at - 4));
}

static void requests_that_wait_stop_the_reading_when_they_are_large(void **state)
{
	(void)state;
	enum { COUNT = 30 };
	struct timeval block = {0, 500000}, for_ever = {0, 0};
	struct kafka_client w;
	struct writer all;
	kafka_create(&c, "t", 1, NULL);
	kafka_connect(&w, &server);
	writer_init(&all, 128 * MIB);
	for (int i = 0; i < COUNT; i++)
		write_long_fetch(&all, i, i == 0 ? 60000 : 0, 3 * MIB);
	setsockopt(w.fd, SOL_SOCKET, SO_SNDTIMEO, &block, sizeof(block));
	size_t sent = 0;
	ssize_t n;
	while (sent < all.len && (n = send(w.fd, all.ptr + sent, all.len - sent, MSG_NOSIGNAL)) > 0)
		sent += (size_t)n;
	/* 12 MiB of requests, one more, and what the kernel keeps for both ends of a connection */
	print_message("%zu of %zu bytes were taken while the first waits\n", sent, all.len);
	assert_true(sent < all.len / 2);
	kafka_produce(&c, 9, "t", 0, kafka_batch(&c, 0, 1, "v")); /* ends the wait */
	setsockopt(w.fd, SOL_SOCKET, SO_SNDTIMEO, &for_ever, sizeof(for_ever));
	kafka_send_raw(&w, bytes_slice(writer_bytes(&all), sent, all.len));
	for (int i = 0; i < COUNT; i++) {
		struct fetch_response_partition p = kafka_fetch_receive(&w, 4);
		assert_int_equal(w.received_id, i);
		assert_int_equal(p.error_code, 0);
		kafka_client_clear(&w);
	}
	writer_release(&all);
	kafka_disconnect(&w);
}

static void bad_fetches_are_answered_at_once(void **state)
{
	(void)state;
	kafka_create(&c, "t", 1, NULL);
	kafka_produce(&c, 9, "t", 0, kafka_batch(&c, 0, 5, "v"));
	struct kafka_fetch f = {.version = 11, .offset = 6, .max_wait_ms = 60000};
	assert_int_equal(kafka_fetch(&c, "t", f).error_code, 1);
	f.offset = -1;
	assert_int_equal(kafka_fetch(&c, "t", f).error_code, 1);
	f.offset = 0;
	assert_int_equal(kafka_fetch(&c, "none", f).error_code, 3);
	f.partition = 9;
	assert_int_equal(kafka_fetch(&c, "t", f).error_code, 3);
	f.version = 13;
	assert_int_equal(kafka_fetch(&c, "none", f).error_code, 100);
	/* who says that he is a follower wants to see what is not durable */
	f = (struct kafka_fetch){.version = 4, .replica_id = 5, .max_wait_ms = 60000};
	assert_int_equal(kafka_fetch(&c, "t", f).error_code, 31);
}

static void leader_epochs_and_sessions_that_do_not_fit_are_refused(void **state)
{
	(void)state;
	struct fetch_request_partition p;
	struct fetch_request_topic t = {.topic = STR("t"), .partitions = {&p, 1}};
	struct fetch_request body;
	kafka_create(&c, "t", 1, NULL);
	msg_init(&fetch_request_partition_shape, &p);
	msg_init(&fetch_request_shape, &body);
	body.topics.at = &t;
	body.topics.count = 1;
	p.current_leader_epoch = 7;
	const struct fetch_response *r = kafka_call(&c, API_FETCH, 11, &body);
	assert_int_equal(r->responses.at[0].partitions.at[0].error_code, 75);
	body.session_id = 99;
	body.session_epoch = 3;
	r = kafka_call(&c, API_FETCH, 11, &body);
	assert_int_equal(r->error_code, 70);
}

static void tiny_fetch_budget_slows_down_but_serves_everyone(void **state)
{
	(void)state;
	enum { COUNT = 8 };
	struct kafka_client reader[COUNT];
	pair_restart(&(struct broker_options){.answer_budget_bytes = 256 * KIB});
	kafka_create(&c, "t", 1, NULL);
	for (int i = 0; i < 10; i++)
		kafka_produce(&c, 9, "t", 0, kafka_bulk(&c, 1000, 200000));
	for (int i = 0; i < COUNT; i++)
		kafka_connect(&reader[i], &server);
	for (int64_t at = 0; at < 2000;) {
		struct kafka_fetch f = {
		    .version = 11, .offset = at, .partition_max_bytes = 200 * 1024};
		for (int i = 0; i < COUNT; i++)
			kafka_fetch_send(&reader[i], "t", f);
		int64_t count = 0;
		for (int i = 0; i < COUNT; i++) {
			struct fetch_response_partition r = kafka_fetch_receive(&reader[i], 11);
			count = kafka_count_records(kafka_fetched(&reader[i], &r), at);
			assert_true(count > 0);
		}
		at += count;
	}
	for (int i = 0; i < COUNT; i++)
		kafka_disconnect(&reader[i]);
}

static void who_reads_is_served_beside_many_who_do_not(void **state)
{
	(void)state;
	enum { COUNT = 20 };
	struct kafka_client lazy[COUNT];
	int small = 4096;
	/* the lazy ones are not closed by themselves */
	pair_restart(&(struct broker_options){
	    .answer_budget_bytes = 16 * MIB, .stall_ns = 10 * PATIENCE_NS});
	kafka_create(&c, "t", 1, NULL);
	for (int i = 0; i < 100; i++)
		kafka_produce(&c, 9, "t", 0, kafka_bulk(&c, 1000, 64000));
	for (int i = 0; i < COUNT; i++) {
		kafka_connect(&lazy[i], &server);
		setsockopt(lazy[i].fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
		kafka_fetch_send(&lazy[i], "t",
		    (struct kafka_fetch){.version = 11, .partition_max_bytes = 4 * MIB});
	}
	usleep(300000);
	for (int64_t at = 0; at < 3000;) {
		struct fetch_response_partition r = kafka_fetch(&c, "t",
		    (struct kafka_fetch){
		        .version = 11, .offset = at, .partition_max_bytes = 4 * MIB});
		int64_t count = kafka_count_records(kafka_fetched(&c, &r), at);
		assert_true(count > 0);
		at += count;
		kafka_client_clear(&c);
	}
	for (int i = 0; i < COUNT; i++)
		kafka_disconnect(&lazy[i]);
}

/* ---- offsets --------------------------------------------------------------------------------- */

static void list_offsets_answers_all_special_times(void **state)
{
	(void)state;
	kafka_create(&c, "t", 1, NULL);
	for (int16_t v = 1; v <= 11; v++) {
		assert_int_equal(kafka_list_offset(&c, v, "t", 0, -1).offset, 0);
		assert_int_equal(kafka_list_offset(&c, v, "t", 0, -2).offset, 0);
	}
	assert_int_equal(kafka_list_offset(&c, 7, "t", 0, -3).offset, -1);
	/* timestamps 1000..1009 and 500..509: the greatest is not the last */
	kafka_produce(&c, 9, "t", 0, kafka_batch(&c, 1000, 10, "v"));
	kafka_produce(&c, 9, "t", 0, kafka_batch(&c, 500, 10, "v"));
	struct list_offsets_response_partition p = kafka_list_offset(&c, 7, "t", 0, -3);
	assert_int_equal(p.error_code, 0);
	assert_int_equal(p.offset, 9);
	assert_int_equal(p.timestamp, 1009);
	assert_int_equal(kafka_list_offset(&c, 6, "t", 0, -3).error_code, 35);
	assert_int_equal(kafka_list_offset(&c, 8, "t", 0, -4).offset, 0);
	assert_int_equal(kafka_list_offset(&c, 9, "t", 0, -5).offset, -1);
	assert_int_equal(kafka_list_offset(&c, 10, "t", 0, -6).error_code, 35);
	assert_int_equal(kafka_list_offset(&c, 11, "t", 0, -6).offset, -1);
	assert_int_equal(kafka_list_offset(&c, 11, "t", 0, -7).error_code, 35);
	assert_int_equal(kafka_list_offset(&c, 11, "none", 0, -1).error_code, 3);
	assert_int_equal(kafka_list_offset(&c, 11, "t", 1, -1).error_code, 3);
}

static void a_partition_named_twice_has_no_offset(void **state)
{
	(void)state;
	struct list_offsets_request_partition p[] = {
	    {.partition_index = 0, .timestamp = -1, .current_leader_epoch = -1},
	    {.partition_index = 1, .timestamp = -1, .current_leader_epoch = -1},
	    {.partition_index = 0, .timestamp = -2, .current_leader_epoch = -1},
	    {.partition_index = 7, .timestamp = -2, .current_leader_epoch = -1}};
	struct list_offsets_request_topic t[] = {
	    {.name = STR("t"), .partitions = {p, 4}}, {.name = STR("t"), .partitions = {p + 3, 1}}};
	struct list_offsets_request body = {.replica_id = -1, .topics = {t, 2}};
	kafka_create(&c, "t", 2, NULL);
	for (int16_t v = 1; v <= 7; v++) {
		const struct list_offsets_response *r = kafka_call(&c, API_LIST_OFFSETS, v, &body);
		assert_int_equal(r->topics.at[0].partitions.count, 3);
		assert_int_equal(r->topics.at[0].partitions.at[0].error_code, 42);
		assert_int_equal(r->topics.at[0].partitions.at[0].offset, -1);
		assert_int_equal(r->topics.at[0].partitions.at[1].error_code, 0);
		assert_int_equal(r->topics.at[0].partitions.at[1].offset, 0);
		assert_int_equal(r->topics.at[0].partitions.at[2].partition_index, 7);
		assert_int_equal(r->topics.at[0].partitions.at[2].error_code, 42);
		assert_int_equal(r->topics.at[1].partitions.count, 0);
		kafka_client_clear(&c);
	}
}

static void list_offsets_finds_the_first_record_at_or_after_a_time(void **state)
{
	(void)state;
	kafka_create(&c, "t", 1, NULL);
	for (int i = 0; i < 50; i++)
		kafka_produce(
		    &c, 9, "t", 0, kafka_batch(&c, i * 100, 10, "v")); /* i*100 .. i*100+9 */
	for (int i = 0; i < 50; i++) {
		struct list_offsets_response_partition p =
		    kafka_list_offset(&c, 5, "t", 0, i * 100 + 4);
		assert_int_equal(p.offset, i * 10 + 4);
		assert_int_equal(p.timestamp, i * 100 + 4);
		p = kafka_list_offset(&c, 5, "t", 0, i * 100 - 50);
		if (i > 0) {
			assert_int_equal(p.offset, i * 10);
			assert_int_equal(p.timestamp, i * 100);
		}
	}
	struct list_offsets_response_partition none = kafka_list_offset(&c, 5, "t", 0, 1000000);
	assert_int_equal(none.error_code, 0);
	assert_int_equal(none.offset, -1);
	assert_int_equal(none.timestamp, -1);
}

static void end_of_the_current_leader_epoch_is_the_end_of_the_log(void **state)
{
	(void)state;
	kafka_create(&c, "t", 1, NULL);
	kafka_produce(&c, 9, "t", 0, kafka_batch(&c, 0, 5, "v"));
	struct offset_for_leader_epoch_request_partition p = {.current_leader_epoch = -1};
	struct offset_for_leader_epoch_request_topic t = {.topic = STR("t"), .partitions = {&p, 1}};
	struct offset_for_leader_epoch_request body = {.replica_id = -1, .topics = {&t, 1}};
	for (int16_t v = 2; v <= 4; v++) {
		p.leader_epoch = 0;
		const struct offset_for_leader_epoch_response *r =
		    kafka_call(&c, API_OFFSET_FOR_LEADER_EPOCH, v, &body);
		assert_int_equal(r->topics.at[0].partitions.at[0].error_code, 0);
		assert_int_equal(r->topics.at[0].partitions.at[0].leader_epoch, 0);
		assert_int_equal(r->topics.at[0].partitions.at[0].end_offset, 5);
		p.leader_epoch = 3;
		r = kafka_call(&c, API_OFFSET_FOR_LEADER_EPOCH, v, &body);
		assert_int_equal(r->topics.at[0].partitions.at[0].end_offset, -1);
	}
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, pair_start, pair_stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    EACH (batches_come_back_byte_for_byte_in_every_version),
	    EACH (compressed_batches_come_back_as_they_were_sent),
	    EACH (times_far_from_now_are_refused),
	    EACH (zstd_is_not_sent_to_those_who_cannot_read_it),
	    EACH (what_was_acknowledged_is_there_after_a_restart),
	    EACH (many_partitions_in_one_request_are_answered_each),
	    EACH (bad_batches_are_refused_and_leave_nothing),
	    EACH (refusals_have_kafkas_codes_and_log_starts),
	    EACH (keyless_records_on_a_compacted_topic_are_named),
	    EACH (acks_other_than_minus_one_to_one_are_refused),
	    EACH (acks_0_is_not_answered_but_written),
	    EACH (producer_ids_are_never_given_twice),
	    EACH (duplicate_is_answered_with_its_first_offset),
	    EACH (pipelined_batches_of_a_producer_keep_their_order),
	    EACH (fetch_inside_a_batch_returns_the_whole_batch),
	    EACH (first_batch_comes_whatever_its_size_and_then_limits_hold),
	    EACH (fetch_waits_for_data_and_ends_when_it_comes),
	    EACH (fetch_waits_for_min_bytes),
	    EACH (fetch_counts_what_comes),
	    EACH (larger_batches_of_before_are_fetched),
	    EACH (fetch_at_the_end_waits_its_time_and_is_empty),
	    EACH (client_that_leaves_while_it_waits_is_forgotten),
	    EACH (requests_that_wait_stop_the_reading_when_they_are_large),
	    EACH (bad_fetches_are_answered_at_once),
	    EACH (leader_epochs_and_sessions_that_do_not_fit_are_refused),
	    EACH (tiny_fetch_budget_slows_down_but_serves_everyone),
	    EACH (who_reads_is_served_beside_many_who_do_not),
	    EACH (list_offsets_answers_all_special_times),
	    EACH (a_partition_named_twice_has_no_offset),
	    EACH (list_offsets_finds_the_first_record_at_or_after_a_time),
	    EACH (end_of_the_current_leader_epoch_is_the_end_of_the_log),
	};
	int failed = cmocka_run_group_tests_name("uring", tests, NULL, NULL);
	pair_backend = "threads";
	failed += cmocka_run_group_tests_name("threads", tests, NULL, NULL);
	return failed;
}
