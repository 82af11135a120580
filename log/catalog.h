/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The catalog: which topics and partitions exist. It is a table over the internal topic
 * `__kappa_catalog` (one partition, id CATALOG_TOPIC_ID), whose rows are lines of text so that any
 * Kafka client can read them:
 *
 *   topic/NAME              id=UUID, partitions=N, config.KEY=VALUE ...; tombstone = deleted
 *   partition/UUID/N        log_start=OFFSET, leader_epoch=E; only when it differs from 0 and 0
 *   trash/UUID              name=NAME, partitions=N; deleted, its directories may still be there
 *   gap/UUID/N/FROM         to=OFFSET, first_sequence=S, last_sequence=S; records gone for ever
 *
 * A topic is its id, a random UUID v4: data directories, frames and views refer to ids, never to
 * names. Directories of an id that is neither a topic nor in trash are ORPHANS: never deleted here.
 * Thread: the loop's.
 *
 * A partition's directory is made with its first append, so an empty topic has none.
 *
 * How log.c and recovery use it: log_open recovers the journal and the segments (which name topic
 * id and partition in their headers), then calls catalog_open, which opens the catalog's own
 * partition, reads it, builds the topics and opens each partition by partition_open; what it does
 * not open is an orphan.
 */
#include "log/log.h"

/* The catalog's own topic: fixed, because it is found before anything is known. */
#define CATALOG_TOPIC_NAME "__kappa_catalog"
extern const struct log_uuid CATALOG_TOPIC_ID;

struct topic_settings;

/* What a topic's configuration is, in the forms that others want it. */
struct topic_view {
	struct topic_settings *settings; /* as set; owned */
	struct str (*pairs)[2];          /* the same as pairs, pointing into settings; owned */
	size_t pair_count;
	struct log_topic_config config;
};
/* A topic with its partitions; `pub` is what the public functions return a pointer to. */
struct topic {
	struct log_topic pub; /* first */
	struct log *log;
	char *name;                        /* owns pub.name */
	struct topic_view view;            /* owns pub.config and pub.set_configs */
	struct log_partition **partitions; /* pub.partition_count of them */
	bool live;                         /* false: lookups do not find it */
};
static inline struct topic *topic_of(const struct log_topic *t)
{
	/* const is for those outside; pub is first */
	return (struct topic *)(uintptr_t)t;
}

/* Stored by the log in `struct log` as `catalog`. */
struct catalog;

/*
 * Blocks (turns the loop). Called once by log_open when appends and reads work. Sets log->catalog.
 */
MUST_USE enum err catalog_open(struct log *log);
/*
 * Frees the topics; the engine frees the partitions after it. After the last round; takes a log
 * whose catalog_open failed.
 */
void catalog_close(struct log *log);
/* The partition of a topic id; NULL when there is none. */
struct log_partition *catalog_partition(
    const struct log *log, struct log_uuid topic_id, int32_t partition);
/*
 * Calls fn for each partition of each topic, the catalog's own included. Nothing may be created or
 * deleted in fn.
 */
void catalog_each_partition(
    const struct log *log, void (*fn)(void *ctx, struct log_partition *p), void *ctx);

/*
 * One durable row about a partition: `done` on the loop after its round. Retention, tables and
 * log_trim put log_start here before anything is unlinked; recovery puts the bumped leader epoch
 * and the GAP. Neither log_start nor leader_epoch ever goes back: a lower one is replaced by what
 * the catalog has. Rows that wait at the same time go into one batch, up to CATALOG_ROWS_MAX.
 */
enum { CATALOG_ROWS_MAX = 256 };
struct catalog_partition_row {
	struct log_uuid topic_id;
	int32_t partition;
	int64_t log_start;
	uint32_t leader_epoch;
	bool gap; /* also write gap/UUID/N/gap_from */
	int64_t gap_from, gap_to;
	uint64_t gap_first_sequence, gap_last_sequence;
	enum err err;
	struct list_node node; /* the catalog's own */
	void *user;
	void (*done)(struct catalog_partition_row *row);
};
void catalog_put_partition(struct log *log, struct catalog_partition_row *row);

/* Text form of an id, 8-4-4-4-12 hexadecimal digits. buf has UUID_TEXT_BYTES (with NUL). */
enum { UUID_TEXT_BYTES = 37 };
const char *uuid_format(struct log_uuid id, char *buf);
bool uuid_parse(struct str text, struct log_uuid *ret_id);
struct log_uuid uuid_random(struct io *io); /* version 4, RFC 9562 */
