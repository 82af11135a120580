/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The catalog from inside: its state, and the queue of changes. Changes are made one at a time,
 * each in these steps; a failure before the row is durable undoes what was prepared and answers
 * with the error:
 *
 *   prepare   check, allocate everything that the last step needs           change_start
 *   durable   one batch of rows in the catalog's table                      change_put
 *   publish   link into the maps (cannot fail), answer                      change_publish
 *   DELETE then lets the engine move the directories to trash/, and removes the trash row
 *                                                                           change_deleted
 */
#include "log/catalog_row.h"
#include "log/table.h"

/* A live row, as it stands in the table. */
struct catalog_kept {
	struct bytes key, value;
	uint8_t data[];
};

struct catalog_delete {
	struct partition_delete_req req;
	struct catalog *catalog;
};
struct catalog_change {
	struct log_topic_req *req; /* NULL = none under way */
	struct topic *topic;
	struct topic_view view;            /* SET_CONFIG: the new one */
	struct log_partition **partitions; /* ADD_PARTITIONS: all of them, the old ones first */
	struct catalog_delete *deletes;
	int32_t deletes_left;
	bool delete_failed;
	struct log_table_put put;
};

struct catalog {
	struct log *log;
	struct log_table *table;
	struct topic *self;
	struct map by_name, by_id; /* struct topic */
	struct topic **sorted;     /* live ones, by name */
	size_t count, capacity;
	int64_t partition_total;
	uint64_t topics_version;
	struct map rows; /* struct catalog_kept by key: the table */
	struct topic_settings defaults;
	struct list queue; /* struct log_topic_req: theirs, so the callers' limits bound it */
	struct mail queue_mail;
	bool queue_posted;
	struct catalog_change change;
	struct list rows_waiting; /* struct catalog_partition_row: theirs, as above */
	struct list rows_put;     /* of them: under way, in one batch */
	struct log_table_put put;
	struct mail rows_mail;
	bool rows_posted;
	unsigned trims; /* struct log_trim to be answered */
	struct retention *retention;
	struct compactor *compactor;
	bool closing;
};

/* ---- topics in memory: catalog_topic.c ------------------------------------------------------- */
/* Takes `settings` (emptied) on success. */
MUST_USE enum err topic_view_new(
    struct catalog *c, bool internal, struct topic_settings *settings, struct topic_view *ret_view);
void topic_view_release(struct topic_view *v);
/* Makes `v` the topic's; takes it. */
void topic_view_set(struct topic *t, struct topic_view *v);
/*
 * Configuration of an internal topic, which follows no defaults of the server. table: it is trimmed
 * by snapshots.
 */
const struct str (*topic_internal_configs(bool table, size_t *ret_count))[2];
/* A topic that is not live yet; takes row->settings. Its partitions are not open yet. */
MUST_USE enum err topic_new(
    struct catalog *c, struct str name, struct topic_row *row, struct topic **ret_topic);
void topic_free(struct topic *t);
/* Opens partitions from..to-1 into `out` (index 0 is partition 0); on failure none is open. */
MUST_USE enum err topic_partitions_open(
    struct topic *t, int32_t from, int32_t to, struct log_partition **out);
void topic_partitions_close(struct log_partition **partitions, int32_t from, int32_t to);
/* Into the maps, not live yet; room in `sorted` is made. */
MUST_USE enum err topic_link(struct catalog *c, struct topic *t);
void topic_unlink(struct catalog *c, struct topic *t);
void topic_publish(struct catalog *c, struct topic *t);
void topic_unpublish(struct catalog *c, struct topic *t);
/* Also finds those that are not live. */
struct topic *topic_by_name(const struct catalog *c, struct str name);
struct topic *topic_by_id(const struct catalog *c, struct log_uuid id);

/* ---- catalog.c ------------------------------------------------------------------------------- */
/* The live row of that name, NULL when there is none. */
const struct catalog_kept *catalog_kept(const struct catalog *c, const struct row_name *name);

/* ---- catalog_partition.c --------------------------------------------------------------------- */
void catalog_rows_run(struct mail *mail);

/* ---- catalog_change.c ------------------------------------------------------------------------ */
void change_queue_run(struct mail *mail);
