/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * How a consumed record is printed: the percent language of -f, or one JSON object per line
 * {topic, partition, offset, timestamp, key, value, headers} (interface.md "Records in files").
 */
#include "tools/cli.h"
#include <librdkafka/rdkafka.h>

/*
 * %t topic %p partition %o offset %k key %v or %s value %S value length %h headers (k=v,k=v) %d
 * time (unix ms), %d{strftime[FORMAT]} (UTC), %% percent; \n \t \r \\ \0. ERR_INVALID for anything
 * else, found before the first record.
 */
MUST_USE enum err record_format_check(const char *format);
void record_format_write(struct writer *w, const char *format, const rd_kafka_message_t *m);
/* A value that is JSON stays JSON, else value_base64; text keys as strings, else key_base64; null
 * is null. */
void record_json_write(struct writer *w, const rd_kafka_message_t *m);
