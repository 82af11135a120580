/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One view version at work: scan of its input -> feed -> operators -> checkpoint into its store. No
 * thread of its own: the worker that owns it calls version_turn again and again.
 *
 *   V1  what a checkpoint commits (rows, state, dead letters, positions, head) is the view over
 * exactly the input up to head.sequence; between checkpoints everything newer is only in memory. V2
 * a version never reads past S_stable, nor past its barrier. V3  batches are applied in sequence
 * order over all partitions, those added later included: a change of the catalog is a batch in the
 * same order (scan of CATALOG_TOPIC_ID), and no partition has records before its own.
 *
 * States: NEW -> version_open -> RUNNING (rebuilding, then ready) -> version_close. An error of
 * version_turn leaves it good for version_close only; whoever owns it decides whether to open it
 * again.
 */
#include "processor/definition.h"
#include "processor/feed.h"
#include "processor/io/store_reader.h"

struct watch;
struct version_limits {
	uint32_t batch_rows;
	int64_t checkpoint_ns;
	uint32_t checkpoint_keys;
	size_t state_bytes;
};
/* All borrowed until version_close. */
struct version_spec {
	struct log *log;
	struct io *io;
	const struct shared_u64
	    *last_append_ns;     /* append time of the newest durable batch, as last announced */
	struct store_spec store; /* path, columns, identity */
	const struct view_plan *plan;
	const struct definition_part *parts; /* recorded input */
	size_t part_count;
	struct version_limits limits;
	struct watch *watch; /* told of changed rows */
};

/* What others may know of it; copied out by the worker. */
struct version_view {
	struct store_head head; /* counts as of now, place as of the last checkpoint (or as far as
	                           nothing changed since) */
	uint64_t applied;       /* in memory */
	int64_t applied_time_ns;
	bool caught_up;              /* `applied` was all there was at the last look */
	bool pinned;                 /* a reader keeps the write-ahead log from being trimmed */
	double rate;                 /* records per second over about the last second */
	uint64_t checkpoints;        /* since it was opened */
	uint64_t reasons[ERR_COUNT]; /* dead letters by reason */
};

/* Stops a version at one place. Caller-owned. */
struct version_barrier {
	bool hold;         /* stand still where it is */
	uint64_t sequence; /* else go on up to here, checkpoint, open a reader, and on */
	bool done;
	struct store_reader *reader; /* result, caller closes */
};

struct version;
/* Opens the store (ERR_CORRUPT: remove the file and open again), the operators and the scan.
 * ERR_SOURCE_GONE, ERR_VIEW_AHEAD, ERR_OFFSET_OUT_OF_RANGE, ERR_NEWER_FORMAT, ERR_NOSPACE, ... */
MUST_USE enum err version_open(const struct version_spec *spec, struct version **ret_version);
/* With checkpoint = true everything applied is committed first. Takes NULL. */
enum err version_close(struct version *v, bool checkpoint);

enum version_turned {
	VERSION_MORE, /* the budget is used up */
	VERSION_IDLE, /* nothing more to read now */
};
/* Reads and applies for at most about budget_ns, takes checkpoints that are due. */
MUST_USE enum err version_turn(
    struct version *v, int64_t budget_ns, enum version_turned *ret_turned);
MUST_USE enum err version_checkpoint(struct version *v);
/* NULL lifts it. At most one. */
void version_set_barrier(struct version *v, struct version_barrier *barrier);
/* Nanoseconds until a checkpoint is due; INT64_MAX when nothing waits for one. */
int64_t version_due_ns(const struct version *v);
const struct version_view *version_view(const struct version *v);
