/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the Kafka-side verbs share: a librdkafka handle from the flags, errors, metadata and places.
 * Works against any Kafka-protocol broker. One thread: the command's.
 */
#include "log/base/offsetspec.h"
#include "tools/cli.h"
#include <librdkafka/rdkafka.h>

enum { KCLIENT_TIMEOUT_MS = 10000 };

/* A producer or consumer handle with -b, -X, -F applied and `pairs` (key, value, ..., NULL) beneath
 * them. */
MUST_USE enum err kclient_new(
    const struct cli *cli, rd_kafka_type_t type, const char *const *pairs, rd_kafka_t **ret_rk);
/* A producer whose delivery reports go to `on_delivery` with `opaque`. */
MUST_USE enum err kclient_new_producer(const struct cli *cli, const char *const *pairs,
    void (*on_delivery)(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque), void *opaque,
    rd_kafka_t **ret_rk);
/* Maps a librdkafka error and puts its text on the chain. */
enum err kclient_err(rd_kafka_resp_err_t e, const char *text);
/* ERR_UNKNOWN_TOPIC unless the topic is there. Never creates it. The caller destroys with
 * rd_kafka_metadata_destroy. */
MUST_USE enum err kclient_topic(
    rd_kafka_t *rk, const char *topic, const struct rd_kafka_metadata **ret_md);
/* All topics. */
MUST_USE enum err kclient_topics(rd_kafka_t *rk, const struct rd_kafka_metadata **ret_md);
/*
 * Resolves a place in each of the partitions of `list` (topic and partition set) into
 * list->elems[i].offset. `fallback` serves OFFSET_NONE. Places outside a partition are clipped to
 * it. OFFSET_STORED needs a group: ERR_INVALID.
 */
MUST_USE enum err kclient_resolve(
    rd_kafka_t *rk, struct offset_point place, rd_kafka_topic_partition_list_t *list);
/* Waits for one admin result of `type`; the caller destroys the event. */
MUST_USE enum err kclient_admin_wait(
    rd_kafka_queue_t *queue, rd_kafka_event_type_t type, rd_kafka_event_t **ret_event);
int64_t kclient_now_ms(void);
/* True after SIGINT or SIGTERM, once kclient_catch_signals has been called. */
bool kclient_interrupted(void);
void kclient_catch_signals(void);
