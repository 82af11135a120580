/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Tables from inside: an internal topic whose records are the rows of an in-memory table (log.h,
 * log_table_*).
 *
 * Snapshot. When the active segment of a partition has been rolled, and at least as much was put as
 * the last snapshot was long, all live rows are written again and log_start moves to the first of
 * them:
 *
 *   IDLE      puts go straight to the log
 *   DRAINING  a roll was noticed: puts wait until those in flight are applied    table_look
 *   WRITING   rows as of now are appended, one batch after the other             snapshot_start
 *   IDLE      puts go on; log_start becomes durable, older segments go           snapshot_end
 *
 * Invariants
 *   T1 rows are applied in offset order, at load and live, after they are durable
 *   T2 nothing is put between the moment a snapshot's rows are taken and its last batch: a row of
 *      it is never older than one before it in the log
 *   T3 log_start moves only after the whole snapshot is durable: whatever happens in between, a
 *      load finds either the old segments or a whole snapshot behind log_start
 * All writes to a table's topic go through the table.
 */
#include "log/batch.h"
#include "log/catalog.h"
#include "log/engine.h"

enum table_state { TABLE_IDLE, TABLE_DRAINING, TABLE_WRITING };

struct table_part {
	struct log_table *table;
	int32_t index;
	enum table_state state;
	struct log_partition *partition;
	unsigned in_flight;              /* puts given to the log and not yet answered */
	struct list waiting;             /* struct log_table_put, by append.node */
	int64_t segment_base;            /* of the active segment when last looked at */
	uint64_t put_bytes;              /* since the last snapshot */
	uint64_t snapshot_bytes;         /* length of the last snapshot */
	struct table_snapshot *snapshot; /* WRITING */
};
struct log_table {
	struct log *log;
	struct topic *topic;
	struct log_table_ops ops;
	void *ctx;
	unsigned in_flight; /* over all partitions, and requests of the table's own */
	bool closed;        /* freed with the last answer */
	struct list failed; /* struct log_table_put: done is due */
	struct mail failed_mail;
	bool failed_posted;
	int32_t part_count;
	struct table_part part[];
};

/* Loads an existing topic's rows (blocks) and makes the table. Its partitions are open. */
MUST_USE enum err table_attach(struct log *log, struct topic *topic,
    const struct log_table_ops *ops, void *ctx, struct log_table **ret_table);
/* ---- table.c and table_snapshot.c ------------------------------------------------------------ */
void table_submit(struct table_part *part, struct log_table_put *put);
/* Builds the batch of a put, whose `table` is set: its append is ready. */
MUST_USE enum err table_prepare(struct log_table_put *put);
/* Takes that back. */
void table_unprepare(struct log_table_put *put);
static inline struct table_part *table_part_of(const struct log_table_put *put)
{
	return &put->table->part[put->partition];
}
/* commit.c: its tables may be idle now. */
void commit_submit(struct log_commit *c);
/* Looks whether a snapshot is due, and goes on with one that is. After each answer. */
void table_look(struct table_part *part);
/* Frees a closed table with nothing under way. */
void table_settle(struct log_table *table);
