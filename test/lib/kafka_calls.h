/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The usual requests as one call each, for tests that are about something else. */
#include "test/lib/kafka_server.h"
#include "log/batch.h"

/* Creates a topic and asserts that it worked; `configs` may be NULL: pairs "key", "value", ended by
 * NULL. Returns its id. */
struct log_uuid kafka_create(
    struct kafka_client *c, const char *topic, int32_t partitions, const char *const *configs);
struct log_uuid kafka_topic_id(struct kafka_client *c, const char *topic);

/* `count` records "key-N" -> `value` from the number `first` on, timestamps first + N; lives in the
 * client's arena. */
struct bytes kafka_batch(struct kafka_client *c, int64_t first, int count, const char *value);
/* The same from an idempotent producer. */
struct bytes kafka_batch_of(
    struct kafka_client *c, int64_t first, int count, int64_t producer_id, int32_t sequence);
/* One batch of records of `size` bytes each, about `total` bytes. */
struct bytes kafka_bulk(struct kafka_client *c, size_t size, size_t total);

/* The one partition's answer. */
struct produce_response_partition kafka_produce(struct kafka_client *c, int16_t version,
    const char *topic, int32_t partition, struct bytes batch);

struct kafka_fetch {
	int16_t version;
	int32_t partition;
	int32_t partitions; /* so many, from `partition` on; 0 = 1 */
	int64_t offset;
	int32_t max_wait_ms, min_bytes, max_bytes, partition_max_bytes; /* 0 = 0, 1, 1 GiB, 1 MiB */
	int8_t isolation;
	int32_t replica_id; /* 0 = -1 */
};
void kafka_fetch_send(struct kafka_client *c, const char *topic, struct kafka_fetch f);
struct fetch_response_partition kafka_fetch_receive(struct kafka_client *c, int16_t version);
struct fetch_response_partition kafka_fetch(
    struct kafka_client *c, const char *topic, struct kafka_fetch f);
/* All bytes of a fetched partition, and the number of records in them; checks that offsets are
 * dense from `first`. */
struct bytes kafka_fetched(struct kafka_client *c, const struct fetch_response_partition *p);
int64_t kafka_count_records(struct bytes batches, int64_t first);

struct list_offsets_response_partition kafka_list_offset(
    struct kafka_client *c, int16_t version, const char *topic, int32_t partition, int64_t time);
