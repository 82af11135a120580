/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Rows of __consumer_offsets in Kafka's own formats, written and read through the message table:
 *   key v1 (group, topic, partition) -> OffsetCommitValue v3; v1 when it has an expiry of its own
 *   key v2 (group)                   -> GroupMetadataValue v3
 * and those of consumer groups, see consumer_rows.h.
 *
 * Every version up to 4 of both values is read, so that Kafka's own segments can be taken over.
 */
#include "broker/kafka/codec.h"

/* ---- writing: a list of rows for one log_table_put ------------------------------------------- */
struct row_list {
	struct msg_out out; /* keys and values, one behind the other */
	struct row_span {
		size_t key, key_len, value, value_len;
		bool tombstone;
	} * spans;
	size_t count, capacity;
	struct log_row *rows;
	enum err err; /* sticky */
};
void row_list_init(struct row_list *list);
void row_list_release(struct row_list *list);
/* A key or value: a message behind its version as int16; message NULL: a tombstone's value. */
struct row_half {
	const struct msg_shape *shape;
	const void *message;
	int version;
	bool flexible;
};
void row_list_add(struct row_list *list, struct row_half key, struct row_half value);
/* Key and value as they are; value NULL = tombstone. */
void row_list_raw(struct row_list *list, struct bytes key, struct bytes value);
/* value NULL = tombstone */
void row_list_offset(struct row_list *list, const struct offset_commit_key *key,
    const struct offset_commit_value *value);
void row_list_group(
    struct row_list *list, struct str group, const struct group_metadata_value *value);
/* The rows, valid until the list changes. */
MUST_USE enum err row_list_rows(struct row_list *list, const struct log_row **ret_rows);

/* ---- reading --------------------------------------------------------------------------------- */
enum row_kind { ROW_OFFSET, ROW_GROUP, ROW_UNKNOWN };
/* ROW_UNKNOWN: a key version from the future. ERR_CORRUPT. Strings are borrowed from `key`. */
MUST_USE enum err row_key_read(
    struct bytes key, enum row_kind *ret_kind, struct offset_commit_key *ret_key);
MUST_USE enum err row_offset_read(
    struct bytes value, struct arena *arena, struct offset_commit_value *ret_value);
MUST_USE enum err row_group_read(
    struct bytes value, struct arena *arena, struct group_metadata_value *ret_value);
