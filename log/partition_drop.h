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
/*
 * For as long as a job may open its files by name to write or unlink: a deleted partition's name is
 * not given to another before, whose files they would be then. The caller keeps the partition alive
 * (a segment that is held does). No such job is begun for one that is DELETED. Who only reads may
 * be given another partition's file, which does not verify under the secret of his own.
 */
void partition_name_hold(struct log_partition *p);
void partition_name_release(struct log_partition *p);
/* A deleted partition has nothing queued or in flight any more, and nobody holds its name: its
 * directory goes to the trash. */
void partition_delete_ready(struct log_partition *p);
/* Empties what trash/ holds of ours from earlier, on the pool; other names stay. Start-up. */
void trash_start(struct log *log);
