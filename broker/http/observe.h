/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What HTTP handlers and collectors see of topics and groups: copies, gathered on the loop in
 * slices of OBSERVE_SLICE items, so that no call keeps the loop busy for long. A topic or group
 * that goes meanwhile is left out, one that comes may be. [any thread but the loop's, while the
 * loop runs]
 */
#include "broker/groups/groups.h"
#include "broker/kafka/server.h"

enum { OBSERVE_SLICE = 128 };
#define OBSERVE_BYTES_MAX (256 * MIB)

struct seen_topic {
	struct seen_topic *next;
	struct str name;
	struct log_uuid id;
	bool internal;
	enum log_durability durability;
	int32_t partition_count;
	struct log_partition_status *parts; /* their `topic` is not to be used */
};
/* In order of name. `only` ptr NULL = all; else ERR_UNKNOWN_TOPIC when there is none of this name.
 */
MUST_USE enum err observe_topics(
    struct broker *b, struct str only, struct arena *arena, struct seen_topic **ret_topics);

struct seen_member {
	struct str id, instance_id, client_id, client_host;
	int32_t session_timeout_ms, rebalance_timeout_ms;
	struct bytes assignment;
};
/* A partition the group has committed for, or that one of its members is assigned. */
struct seen_offset {
	struct str topic;
	int32_t partition;
	int64_t committed;      /* -1 = nothing */
	int64_t log_start, end; /* -1 when the partition is gone */
	int64_t commit_ms;
	struct str metadata;
	struct str member; /* its id; ptr NULL = nobody's */
};
struct seen_group {
	struct seen_group *next;
	struct str name, state, protocol_type, protocol, leader;
	int32_t generation;
	size_t member_count, offset_count;
	struct seen_member *members;
	struct seen_offset *offsets; /* by topic and partition */
};
/* In order of name. `only` as above, else ERR_GROUP_NOT_FOUND. */
MUST_USE enum err observe_groups(
    struct broker *b, struct str only, struct arena *arena, struct seen_group **ret_groups);

/* Reads from one partition; waits for it. *ret_read is released by the caller (log_read_release).
 */
struct observe_read {
	struct str topic;
	int32_t partition;
	int64_t offset;
	size_t max_bytes;
};
MUST_USE enum err observe_read(
    struct broker *b, const struct observe_read *what, struct log_read *ret_read);
/* Offset of the first record with this time or later; the end when there is none. */
MUST_USE enum err observe_time(
    struct broker *b, struct str topic, int32_t partition, int64_t time_ms, int64_t *ret_offset);

/* ---- the routes and collectors, by file ------------------------------------------------------ */
MUST_USE enum err api_topics_routes(struct broker *b, struct http *http);
MUST_USE enum err api_records_routes(struct broker *b, struct http *http);
MUST_USE enum err api_groups_routes(struct broker *b, struct http *http);
MUST_USE enum err api_users_routes(struct broker *b, struct http *http);
MUST_USE enum err api_reset_routes(struct broker *b, struct http *http);
/* A metric_collector; ctx is the broker. */
void exporter_collect(void *ctx, struct writer *out);
