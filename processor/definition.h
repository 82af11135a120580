/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Definitions as they stand in the history topic `__kappa_views`: which tables and view versions
 * there are, what input a version was given, and which version is active. Keys and values are lines
 * of text, so that any Kafka client can read them:
 *
 *   table/NAME         kappa-table/v1               view/NAME/VERSION   kappa-view/v1
 *                      topic UUID                                       logic 64 HEX
 *                      principal P                                      principal P
 *                                                                       input start|offsets
 *                      CREATE TABLE ...                                 part UUID PARTITION FROM
 * LOG_START active/NAME        kappa-active/v1                                  reads table|view
 * VERSION IDENTITY NAME version N                                        data yes|no previous M
 *                      keep_until_ms T                                  CREATE MATERIALIZED VIEW
 * ... principal P
 *
 *                      reason
 *
 * A blank line stands before the free text at the end. A tombstone drops a table or a version.
 * VERSIONs count from 1. Pure functions of bytes: any thread.
 */
#include "log/log.h"
#include "processor/sql/plan.h"

#define DEFINITION_TOPIC "__kappa_views"
enum { DEFINITION_BYTES_MAX = 1 << 20, DEFINITION_PARTS_MAX = 100000 };

/* One partition of a source: where the version starts to read, and where the log started then. */
struct definition_part {
	struct log_uuid topic_id;
	int32_t partition;
	int64_t from;
	int64_t log_start;
};
enum definition_kind { DEFINITION_TABLE, DEFINITION_VIEW, DEFINITION_ACTIVE };
struct definition {
	enum definition_kind kind;
	struct str name;
	int32_t version; /* VIEW; ACTIVE: the active one */
	bool dropped;    /* a tombstone: only kind, name and version count */
	struct str principal;
	struct str text;          /* the SQL; ACTIVE: the reason */
	struct log_uuid topic_id; /* TABLE */
	uint8_t logic[32];        /* VIEW */
	bool from_start, with_data;
	struct definition_part *parts;
	size_t part_count;
	struct plan_read *reads;
	size_t read_count;
	int32_t previous;      /* ACTIVE: 0 = there is none to go back to */
	int64_t keep_until_ms; /* ACTIVE: how long `previous` stays fed */
};
/* Appends key and value. ERR_INVALID for names with control characters. */
MUST_USE enum err definition_write(
    const struct definition *d, struct writer *key, struct writer *value);
/* Everything is copied to the arena. ERR_CORRUPT with the line at fault, ERR_NEWER_FORMAT. */
MUST_USE enum err definition_read(
    struct bytes key, struct bytes value, struct arena *arena, struct definition *ret_definition);
/* Names that fit into keys, lines and file names: no control characters, at most 255 bytes, not
 * empty. */
MUST_USE enum err definition_name_check(struct str name);
/* Hash of an input (topics, and parts that do not start at 0), equal for inputs that hold the same
 * records. */
uint64_t definition_input_hash(const struct definition_part *parts, size_t count);
