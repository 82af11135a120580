/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Loading a partition's producer state from its newest good .snap and the frames behind it, on the
 * pool. */
#include "log/partition.h"

/* Starts the job; `done` on the loop. Idempotent appends must wait until then. */
MUST_USE enum err partition_load_producers(
    struct log_partition *p, void (*done)(struct log_partition *p, enum err e));
