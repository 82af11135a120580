/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Limits on everything, with the reason where there is one. Reaching a limit is an error answered
 * to the one who caused it (I7). Relations between limits are asserted where they matter.
 */
#define KIB   ((size_t)1024)
#define MIB   (1024 * KIB)
#define GIB   (1024 * MIB)
#define US_NS ((int64_t)1000)
#define MS_NS (1000 * US_NS)
#define S_NS  (1000 * MS_NS)

enum {
	POOL_QUEUE_MAX = 65536,       /* jobs */
	TOPIC_NAME_MAX = 249,         /* Kafka: file names end in -<partition>.log */
	TOPIC_PARTITIONS_MAX = 10000, /* per topic */
	LOG_PARTITIONS_MAX = 100000,  /* per server */
	FRAME_HEADER_BYTES = 80,
	SEGMENT_HEADER_BYTES = 4096,
	INDEX_ENTRY_BYTES = 32,
	PRODUCER_BATCHES_KEPT = 5,   /* Kafka: batches an idempotent producer has in flight */
	KAFKA_UNKNOWN_TAGS_MAX = 64, /* tagged fields per structure; see CVE-2026-111115 */
	KAFKA_PIPELINE_MAX = 256,    /* requests in flight per connection */
	GROUP_MEMBERS_MAX = 10000,
	VIEW_COLUMNS_MAX = 1600, /* PostgreSQL's own limit */
	JSON_DEPTH_MAX = 128,
	NUMERIC_DIGITS_MAX = 38,
};
/* Where a partition has to end for another append; what is above is room for the rounds that began,
 * and for the ends of its open transactions. */
#define OFFSET_END_MAX        ((int64_t)1 << 62)
#define SEGMENT_BYTES_MAX     ((uint64_t)2147483647) /* positions are u32, Kafka's are i32 */
#define SEGMENT_BYTES_DEFAULT ((uint64_t)1 << 30)
#define BATCH_BYTES_DEFAULT   ((size_t)1048588) /* Kafka: message.max.bytes */
#define BATCH_BYTES_MAX       (64 * MIB)        /* hard ceiling of message.max.bytes */
#define REQUEST_BYTES_MAX     (100 * MIB)       /* Kafka: socket.request.max.bytes */
#define REQUEST_OTHER_MAX     (16 * MIB)        /* one without records: not Produce */
#define REQUEST_PREAUTH_MAX   (64 * KIB)
#define JOURNAL_BYTES_DEFAULT ((uint64_t)256 << 20)
#define JOURNAL_BYTES_MIN     ((uint64_t)4 << 20)
#define JOURNAL_BYTES_MAX     ((uint64_t)64 << 30) /* all of it may have to be read at a start */
#define SEQUENCE_RESERVE      ((uint64_t)1 << 20)  /* sequences reserved per journal record */
#define INLINE_CHECK_BYTES    (64 * KIB)           /* larger, compressed: on the pool */
#define DECOMPRESS_RATIO_MAX  ((size_t)16)         /* output <= max.message.bytes * 16 */
