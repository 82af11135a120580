/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Consumer groups as rows of __consumer_offsets: see consumer_rows.c for which and when. */
#include "broker/groups/consumer.h"
#include "broker/groups/rows.h"

/* Versions of keys. */
enum consumer_row {
	CONSUMER_ROW_GROUP = 3,
	CONSUMER_ROW_MEMBER = 5,
	CONSUMER_ROW_TARGET_EPOCH = 6,
	CONSUMER_ROW_TARGET = 7,
	CONSUMER_ROW_CURRENT = 8,
};
static inline bool consumer_row_is(int16_t version)
{
	return version == CONSUMER_ROW_GROUP ||
	       (version >= CONSUMER_ROW_MEMBER && version <= CONSUMER_ROW_CURRENT);
}

/* A row for all that is not stored as it is. Tombstones of members that have gone are not among
 * them. */
MUST_USE enum err consumer_rows(
    struct row_list *list, struct str group, const struct consumer_group *c);
/* They are on their way. */
void consumer_rows_clean(struct consumer_group *c);

/* ERR_CORRUPT. *ret_member has ptr NULL for a row of the group. Borrowed from `key`. */
MUST_USE enum err consumer_row_key(
    struct bytes key, enum consumer_row *ret_row, struct str *ret_group, struct str *ret_member);
/* One row into a group being restored: the rows of its members (CONSUMER_ROW_MEMBER) before those
 * of what they have. Then consumer_restored. */
MUST_USE enum err consumer_row_read(
    struct consumer_group *c, enum consumer_row row, struct str member, struct bytes value);
