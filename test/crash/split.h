/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One enumeration in several processes at once: each sweeps its own pairs of a script and a seed
 * (split_has), writes what it has counted and what it is at into memory that all share, and the
 * parent adds it up. A failure in any of them ends the rest.
 */
#include "test/crash/sweep.h"

enum { SPLIT_JOBS_MAX = 64 };

/* Of one process; nobody else writes it, and it is read when that process has ended. */
struct split_part {
	int job, jobs;
	struct sweep_totals totals;
	double seconds;    /* CPU time */
	double elapsed;    /* of the sum: time on the wall */
	char at[96];       /* script and seed, for who dies without a word */
	char report[1024]; /* the first state that broke a promise; empty = none */
};
typedef void (*split_work)(void *ctx, struct split_part *part);

/* Is script number `index` with this seed swept by this process? Each is by exactly one. */
bool split_has(const struct split_part *part, size_t index, uint64_t seed);
/* Of `want` things to be done, how many are its own. */
uint64_t split_share(const struct split_part *part, uint64_t want);
/* sweep_script for one's own totals and report. */
bool split_sweep(
    struct split_part *part, size_t index, uint64_t seed, const struct sweep_limits *limits);
/* CRASH_JOBS, else `fallback`, 0 = one for each processor. */
int split_jobs(int fallback);
/*
 * Calls `work` in that many processes, in this one if it is one, and waits. False with the report
 * of whoever failed. ret_sum: totals and CPU seconds of all.
 */
bool split_run(int jobs, split_work work, void *ctx, struct split_part *ret_sum);
