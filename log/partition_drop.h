/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Letting go of segments and partitions: see partition_drop.c. */
#include "log/partition.h"

/* Drops segments wholly below `offset`. */
void partition_skip(struct log_partition *p, int64_t offset);
/* A later generation takes the place of segments: first it goes in before the first of them that is
 * still there, then each of them goes out, unlinked as soon as nothing reads it. */
void partition_swap_begin(
    struct log_partition *p, struct segment *s, const struct segment *first_old);
void partition_swap_out(struct segment *old, const struct segment *s);
/* A lease or read lets go; a segment that is GONE is dropped by the last. */
void segment_unhold(struct segment *s);
/* A checkpoint has flushed it: the same. */
void segment_flushed(struct segment *s);
/* A deleted partition has nothing queued or in flight any more: its directory goes to the trash. */
void partition_delete_ready(struct log_partition *p);
/* Empties what trash/ holds from earlier, on the pool. Start-up. */
void trash_start(struct log *log);
