/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Partitions as a client names them, topic by topic, made a set. What that costs is bounded by what
 * there is and not by what is named: a topic is named once, with no more partitions than it has.
 */
#include "broker/groups/consumer.h"

struct owned_topic {
	const struct log_topic *topic; /* NULL: there is none; its partitions are left out */
	const int32_t *partitions;
	uint32_t count;
};

/* How many topics a client may name: all there are, and some that it has not heard the end of. */
MUST_USE enum err owned_check(const struct log *log, size_t topics, size_t partitions);
/* In the arena; reorders `topics`. Partitions that a topic has not are left out.
 * ERR_INVALID_REQUEST: more than there is. */
MUST_USE enum err owned_parts(const struct log *log, struct owned_topic *topics, size_t count,
    struct arena *arena, struct consumer_parts *ret_parts);
