/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Compaction: of topics with cleanup.policy=compact only the newest record of each key is kept, as
 * Kafka defines it; and recompression (recompress.h), which rides with it. One partition at a time,
 * the dirtiest first, in steps of COMPACT_STEP_BYTES on the service pool with a pause as long as
 * the step behind each, so at most half a core is spent; the loop chooses, and swaps in what is
 * done. What is done to a partition: compact_job.h. Loop's thread.
 *
 *   IDLE      until the timer
 *   LOOKING   over all partitions, a piece per turn                     look_next
 *   WAITING   for a checkpoint record that the job needs (K4)           job_wait
 *   WORKING   a step is with the pool                                   step_done
 *   PAUSING   between two steps                                         timer_fired
 *   LEAVING   the pool closes and unlinks what a stop or a failure left open
 *
 * Internal tables (the catalog, consumer offsets, transactions) are not compacted here: the server
 * knows their live rows and writes a snapshot of them at each roll (table_snapshot.c), which bounds
 * them tighter than any dirty ratio.
 */
#include "log/log.h"

#define COMPACT_INTERVAL_NS (15 * S_NS) /* Kafka: log.cleaner.backoff.ms */

struct compactor;
MUST_USE enum err compactor_new(struct log *log, struct compactor **ret_compactor);
/* Nothing of a job is left (engine_stop has drained it). Takes NULL. */
void compactor_free(struct compactor *c);
/* Looks now, whatever the timer says (tests, a disk that is nearly full). */
void compactor_run(struct compactor *c);
/* How long it rests between two looks; at the start COMPACT_INTERVAL_NS. */
void compactor_interval_set(struct compactor *c, int64_t interval_ns);
/* Not idle: looking, or a job is under way. */
bool compactor_busy(const struct compactor *c);
