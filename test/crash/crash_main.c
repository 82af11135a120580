/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash_main STATES [SECONDS [SEED [SCRIPT]]]: the enumeration of crash_states_test.c without its
 * bound, beginning with SCRIPT, with a line of progress every ten seconds. Ends at so many states
 * or CPU seconds (0 = no bound), or at the first state that breaks a promise, which it describes;
 * exit status 1 then. CRASH_JOBS=N processes at once (0 = one for each processor) share the states;
 * each has the CPU seconds for itself.
 */
#include "test/crash/split.h"

#include <stdio.h>
#include <stdlib.h>

struct campaign {
	double states, seconds;
	uint64_t seed;
	size_t first; /* script */
};

static void progress(const struct split_part *part, uint64_t seed, double seconds)
{
	const struct sweep_totals *t = &part->totals;
	if (part->jobs > 1)
		printf("%d of %d, ", part->job + 1, part->jobs);
	printf(
	    "seed %llu: %.3g states, %.3g recoveries, %llu cuts in recovery, %.0f CPU-s, %.0f/s\n",
	    (unsigned long long)seed, (double)t->states, (double)t->recoveries,
	    (unsigned long long)t->recovery_cuts, seconds, (double)t->states / seconds);
	fflush(stdout);
}

static size_t script_named(const char *name)
{
	for (size_t i = 0; i < run_script_count; i++) {
		if (strcmp(run_scripts[i].name, name) == 0)
			return i;
	}
	fprintf(stderr, "no script %s\n", name);
	exit(2);
}

/* The share of one process: first little of each script, then all of it, seed after seed. */
static void work(void *ctx, struct split_part *part)
{
	const struct campaign *c = ctx;
	uint64_t seed = c->seed, want = split_share(part, (uint64_t)c->states);
	double started = sweep_clock(), said = started;
	for (bool light = true;; seed += !light, light = false) {
		for (size_t n = 0; n < run_script_count; n++) {
			size_t i = (c->first + n) % run_script_count;
			struct sweep_limits limits =
			    light ? sweep_limits_light : *sweep_limits_of(i, seed);
			double spent = sweep_clock() - started;
			bool over =
			    part->totals.states >= want || (c->seconds > 0 && spent > c->seconds);
			if (over || started + spent - said > 10) {
				progress(part, seed, spent);
				said = started + spent;
			}
			if (over)
				return;
			limits.states = want - part->totals.states;
			limits.seconds = c->seconds > 0 ? c->seconds - spent : 0;
			if (split_has(part, i, seed) && !split_sweep(part, i, seed, &limits))
				return;
		}
	}
}

int main(int argc, char **argv)
{
	struct campaign c = {.states = argc > 1 ? strtod(argv[1], NULL) : 1e9, /* as people write */
	    .seconds = argc > 2 ? strtod(argv[2], NULL) : 0,
	    .seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1,
	    .first = argc > 4 ? script_named(argv[4]) : 0};
	struct split_part sum;
	if (!split_run(split_jobs(1), work, &c, &sum)) {
		printf("%s\n", sum.report);
		return 1;
	}
	if (sum.jobs > 1)
		printf("%.3g states, %.3g recoveries, %llu cuts in recovery, %.0f CPU-s, %.0f s\n",
		    (double)sum.totals.states, (double)sum.totals.recoveries,
		    (unsigned long long)sum.totals.recovery_cuts, sum.seconds, sum.elapsed);
	return 0;
}
