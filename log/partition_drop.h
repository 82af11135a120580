/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Letting go of segments and partitions: see partition_drop.c. */
#include "log/partition.h"

/* Drops segments wholly below `offset`. */
void partition_skip(struct log_partition *p, int64_t offset);
/* A lease or read lets go; a segment that is GONE is dropped by the last. */
void segment_unhold(struct segment *s);
/* A checkpoint has flushed it: the same. */
void segment_flushed(struct segment *s);
/* A deleted partition has nothing queued or in flight any more: its directory goes to the trash. */
void partition_delete_ready(struct log_partition *p);
/* Empties what trash/ holds from earlier, on the pool. Start-up. */
void trash_start(struct log *log);
