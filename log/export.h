/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Writing one partition as Kafka 3.x and 4.x keep it on disk. Formats: Kafka's OffsetIndex,
 * TimeIndex, AbortedTxn, ProducerSnapshot message version 1, CheckpointFile.
 *
 *   <base>.log        the batches, byte for byte
 *   <base>.index      every 4096 bytes or more: last offset of a batch - base, its position
 *   <base>.timeindex  greatest timestamp so far, last offset of its batch - base
 *   <base>.txnindex   aborted transactions, only where there are any
 *   <base>.snapshot   producers as of base; one at the end too
 *
 * A batch goes out whole, so where the log starts inside of one a file beside the partitions'
 * directories says so (starts.h).
 */
#include "log/batch.h"
#include "log/offline.h"

struct export_epoch {
	int32_t epoch;
	int64_t start;
};
struct export_part {
	struct io *io;
	char dir[LOG_PATH_MAX];
	uint64_t segment_bytes;
	bool roll; /* set by the caller: the next batch begins a segment */
	int fd;    /* of the .log; -1 = none */
	int64_t first_base, base, next_offset; /* first_base: of the first segment */
	uint64_t pos;
	struct writer log, index, timeindex, txnindex; /* log: bytes not yet written */
	uint64_t written;
	uint64_t index_pos; /* where the last entry of the index points */
	int64_t max_ms, max_offset, indexed_ms;
	struct map producers; /* struct export_producer by id */
	struct export_epoch *epochs;
	size_t epoch_count, epoch_capacity;
	uint64_t batches, bytes, segments;
};
/* Makes `dir` (ERR_EXISTS). */
MUST_USE enum err export_part_open(
    struct export_part *e, struct io *io, const char *dir, uint64_t segment_bytes, int64_t start);
MUST_USE enum err export_part_batch(struct export_part *e, struct bytes batch);
/* The last files, leader-epoch-checkpoint, partition.metadata; none durable. What is appended there
 * begins at log_end. */
MUST_USE enum err export_part_close(
    struct export_part *e, struct log_uuid topic_id, int64_t log_end);
void export_part_release(struct export_part *e);
