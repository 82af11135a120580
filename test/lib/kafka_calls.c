/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/kafka_calls.h"
#include "test/lib/test.h"
#include "test/lib/xmalloc.h"
#include <stdio.h>

struct log_uuid kafka_create(
    struct kafka_client *c, const char *topic, int32_t partitions, const char *const *configs)
{
	struct create_topics_request_config config[8] = {0};
	struct create_topics_request_topic t = {.name = str_of(topic),
	    .num_partitions = partitions,
	    .replication_factor = 1,
	    .configs.at = config};
	for (; configs && configs[0]; configs += 2)
		config[t.configs.count++] =
		    (struct create_topics_request_config){str_of(configs[0]), str_of(configs[1])};
	struct create_topics_request body = {.topics = {&t, 1}, .timeout_ms = 5000};
	const struct create_topics_response *r = kafka_call(c, API_CREATE_TOPICS, 7, &body);
	assert_int_equal(r->topics.count, 1);
	if (r->topics.at[0].error_code != 0)
		fail_msg("create %s: %d " STR_FMT, topic, r->topics.at[0].error_code,
		    STR_ARG(r->topics.at[0].error_message));
	return r->topics.at[0].topic_id;
}

struct log_uuid kafka_topic_id(struct kafka_client *c, const char *topic)
{
	struct metadata_request_topic t = {.name = str_of(topic)};
	struct metadata_request body = {.topics = {&t, 1}};
	const struct metadata_response *r = kafka_call(c, API_METADATA, 12, &body);
	assert_int_equal(r->topics.count, 1);
	return r->topics.at[0].topic_id;
}

static struct bytes finish_batch(struct kafka_client *c, struct batch_builder *b)
{
	struct writer w;
	writer_init(&w, 128 * MIB);
	assert_int_equal(batch_builder_finish(b, &w), ERR_OK);
	struct bytes out = arena_copy(&c->arena, writer_bytes(&w));
	assert_non_null(out.ptr);
	writer_release(&w);
	batch_builder_release(b);
	return out;
}

static void add_records(struct batch_builder *b, int64_t first, int count, const char *value)
{
	for (int i = 0; i < count; i++) {
		char key[32];
		snprintf(key, sizeof(key), "key-%lld", (long long)first + i);
		assert_int_equal(batch_builder_add(b, first + i, str_bytes(str_of(key)),
		                     str_bytes(str_of(value)), NULL, 0),
		    ERR_OK);
	}
}

struct bytes kafka_batch(struct kafka_client *c, int64_t first, int count, const char *value)
{
	struct batch_builder b;
	batch_builder_init(&b, BATCH_NONE);
	add_records(&b, first, count, value);
	return finish_batch(c, &b);
}

struct bytes kafka_batch_of(
    struct kafka_client *c, int64_t first, int count, int64_t producer_id, int32_t sequence)
{
	struct batch_builder b;
	batch_builder_init(&b, BATCH_NONE);
	b.producer_id = producer_id;
	b.producer_epoch = 0;
	b.base_sequence = sequence;
	add_records(&b, first, count, "v");
	return finish_batch(c, &b);
}

struct bytes kafka_bulk(struct kafka_client *c, size_t size, size_t total)
{
	struct batch_builder b;
	char *value = mem_alloc(size);
	memset(value, 'v', size);
	batch_builder_init(&b, BATCH_NONE);
	for (size_t n = 0; n + size <= total; n += size)
		assert_int_equal(
		    batch_builder_add(&b, 1, str_bytes(STR("k")), bytes_of(value, size), NULL, 0),
		    ERR_OK);
	mem_free(value);
	return finish_batch(c, &b);
}

struct produce_response_partition kafka_produce(struct kafka_client *c, int16_t version,
    const char *topic, int32_t partition, struct bytes batch)
{
	struct produce_request_partition p = {partition, batch};
	struct produce_request_topic t = {.name = str_of(topic), .partition_data = {&p, 1}};
	struct produce_request body = {.acks = -1, .timeout_ms = 5000, .topic_data = {&t, 1}};
	if (version >= 13)
		t.topic_id = kafka_topic_id(c, topic);
	const struct produce_response *r = kafka_call(c, API_PRODUCE, version, &body);
	assert_int_equal(r->responses.count, 1);
	assert_int_equal(r->responses.at[0].partition_responses.count, 1);
	assert_int_equal(r->responses.at[0].partition_responses.at[0].index, partition);
	return r->responses.at[0].partition_responses.at[0];
}

void kafka_fetch_send(struct kafka_client *c, const char *topic, struct kafka_fetch f)
{
	const int32_t count = f.partitions ? f.partitions : 1;
	struct fetch_request_partition *p = xcalloc((size_t)count, sizeof(*p));
	struct fetch_request_topic t = {.topic = str_of(topic), .partitions = {p, (uint32_t)count}};
	struct fetch_request body;
	for (int32_t i = 0; i < count; i++) {
		msg_init(&fetch_request_partition_shape, &p[i]);
		p[i].partition = f.partition + i;
		p[i].fetch_offset = f.offset;
		p[i].partition_max_bytes =
		    f.partition_max_bytes ? f.partition_max_bytes : (int32_t)MIB;
	}
	msg_init(&fetch_request_shape, &body);
	body.max_wait_ms = f.max_wait_ms;
	body.min_bytes = f.min_bytes ? f.min_bytes : 1;
	body.max_bytes = f.max_bytes ? f.max_bytes : (int32_t)GIB;
	body.isolation_level = f.isolation;
	body.replica_id = f.replica_id ? f.replica_id : -1;
	body.topics.at = &t;
	body.topics.count = 1;
	if (f.version >= 13)
		t.topic_id = kafka_topic_id(c, topic);
	kafka_send(c, API_FETCH, f.version, &body);
	free(p);
}

struct fetch_response_partition kafka_fetch_receive(struct kafka_client *c, int16_t version)
{
	const struct fetch_response *r = kafka_receive(c, API_FETCH, version);
	assert_int_equal(r->error_code, 0);
	assert_int_equal(r->session_id, 0);
	assert_int_equal(r->responses.count, 1);
	assert_int_equal(r->responses.at[0].partitions.count, 1);
	return r->responses.at[0].partitions.at[0];
}

struct fetch_response_partition kafka_fetch(
    struct kafka_client *c, const char *topic, struct kafka_fetch f)
{
	kafka_fetch_send(c, topic, f);
	return kafka_fetch_receive(c, f.version);
}

struct bytes kafka_fetched(struct kafka_client *c, const struct fetch_response_partition *p)
{
	struct writer w;
	writer_init(&w, GIB);
	assert_non_null(p->records.at);
	for (uint32_t i = 0; i < p->records.count; i++)
		write_bytes(&w, p->records.at[i]);
	struct bytes all = arena_copy(&c->arena, writer_bytes(&w));
	writer_release(&w);
	return all;
}

int64_t kafka_count_records(struct bytes batches, int64_t first)
{
	int64_t next = first;
	while (batches.len > 0) {
		struct batch_header h;
		assert_int_equal(batch_header_read(batches, &h), ERR_OK);
		assert_int_equal(h.base_offset, next);
		next += h.last_offset_delta + 1;
		size_t len = (size_t)h.length + 12;
		assert_true(len <= batches.len);
		batches = bytes_slice(batches, len, batches.len);
	}
	return next - first;
}

struct list_offsets_response_partition kafka_list_offset(
    struct kafka_client *c, int16_t version, const char *topic, int32_t partition, int64_t time)
{
	struct list_offsets_request_partition p = {
	    .partition_index = partition, .current_leader_epoch = -1, .timestamp = time};
	struct list_offsets_request_topic t = {.name = str_of(topic), .partitions = {&p, 1}};
	struct list_offsets_request body = {.replica_id = -1, .topics = {&t, 1}};
	const struct list_offsets_response *r = kafka_call(c, API_LIST_OFFSETS, version, &body);
	assert_int_equal(r->topics.count, 1);
	assert_int_equal(r->topics.at[0].partitions.count, 1);
	return r->topics.at[0].partitions.at[0];
}
