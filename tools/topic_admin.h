/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A topic's administration by the Kafka protocol: one request, one answer, against any broker.
 * One thread: the command's.
 */
#include "tools/kclient.h"

MUST_USE enum err topic_admin_create(rd_kafka_t *rk, rd_kafka_NewTopic_t *topic);
MUST_USE enum err topic_admin_delete(rd_kafka_t *rk, const char *name);
/* Partitions are added until there are `count`. */
MUST_USE enum err topic_admin_grow(rd_kafka_t *rk, const char *name, int count);

/* What DescribeConfigs answers about one topic; the entries live until the release. */
struct topic_configs {
	rd_kafka_event_t *event;
	const rd_kafka_ConfigEntry_t **entries;
	size_t count;
};
MUST_USE enum err topic_configs_read(
    rd_kafka_t *rk, const char *name, struct topic_configs *ret_configs);
void topic_configs_release(struct topic_configs *configs);
/* NULL = the broker knows no such key. */
const rd_kafka_ConfigEntry_t *topic_configs_find(const struct topic_configs *c, struct str key);
/* The keys in `wanted` (a topic resource) become the whole set that the topic has of its own. */
MUST_USE enum err topic_configs_write(rd_kafka_t *rk, rd_kafka_ConfigResource_t *wanted);
