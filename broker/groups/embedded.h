/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The bytes that consumers of the classic protocol send each other through the coordinator
 * (protocol type "consumer"): what they subscribe to, what they are assigned. Newer versions than
 * ours are read as ours, as they are made to be. Partitions of topics that are not there are left
 * out.
 */
#include "broker/groups/consumer.h"

struct embedded_subscription {
	const struct str *names;
	size_t name_count;
	struct str rack_id; /* ptr NULL = none */
	struct consumer_parts owned;
};
/* In the arena, names borrowed from `from`. ERR_INCONSISTENT_GROUP_PROTOCOL: malformed. */
MUST_USE enum err embedded_subscription_read(struct bytes from, const struct log *log,
    struct arena *arena, struct embedded_subscription *ret_subscription);
/* *ret_user_data: an assignor has added something of its own. Errors as above. */
MUST_USE enum err embedded_assignment_read(struct bytes from, const struct log *log,
    struct arena *arena, struct consumer_parts *ret_parts, bool *ret_user_data);
/* For a member whose subscription is `subscription`: in that one's version. By mem_free. */
MUST_USE enum err embedded_assignment_write(const struct consumer_parts *parts,
    const struct log *log, struct bytes subscription, struct bytes *ret_assignment);
