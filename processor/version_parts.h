/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of a running version share. */
#include "processor/watch.h"

enum {
	VERSION_ROWS_BYTES_MAX = 1 << 30, /* dirty rows in memory, hard */
	VERSION_ROWS_BYTES = 64 << 20,    /* ... that start a checkpoint */
	VERSION_DEAD_BYTES = 16 << 20,
	VERSION_REBUILD_KEYS = 16, /* a rebuild checkpoints this many times more rarely: */
	VERSION_REBUILD_AGE = 5,   /* the log can recompute what a crash takes */
};

/* One partition of the input. */
struct version_part {
	struct log_uuid topic_id;
	int32_t partition;
	int64_t next_offset;
	bool moved; /* since the last checkpoint */
};

struct version {
	struct version_spec spec;
	struct store *store;
	struct op_env env;
	struct op_tree *tree;
	struct feed *feed;
	struct log_scan *scan;
	struct version_part *parts;
	size_t part_count, part_capacity;
	struct dirty rows, dead;
	int64_t row_delta;       /* of `rows` */
	uint64_t records_before; /* taken before it was opened, the dead ones included */
	struct version_barrier *barrier;
	uint64_t told;     /* sequence of the last checkpoint that changed rows */
	bool fresh;        /* the row of an aggregate over nothing has not been sent */
	bool moved;        /* anything that a checkpoint would change */
	bool broken;       /* only version_close is left */
	int64_t oldest_ns; /* monotonic: when the first uncommitted change was applied */
	int64_t rate_at_ns;
	uint64_t rate_records;
	struct version_view view;
};

int64_t version_now_ns(const struct version *v);
void version_count(struct version *v); /* brings head.records up to date */
/* version_input.c: the partitions, and the scan over them. */
MUST_USE enum err input_load(struct version *v); /* recorded input and stored positions */
MUST_USE enum err input_open(struct version *v); /* (re)opens the scan, new partitions included */
/* Part of a scan's source index; NULL: the catalog. */
struct version_part *input_part(struct version *v, uint32_t source);

/* version_checkpoint.c */
enum err version_sink(
    void *ctx, const struct batch *rows, const struct op_change *changes, uint32_t count);
enum err version_dead(void *ctx, const struct feed_dead *d);
bool checkpoint_is_due(struct version *v);
