/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash_main STATES [SECONDS [SEED [SCRIPT]]]: the enumeration of crash_states_test.c without its
 * bound, beginning with SCRIPT, with a line of progress every ten seconds. Ends at so many states
 * or CPU seconds (0 = no bound), or at the first state that breaks a promise, which it describes;
 * exit status 1 then.
 */
#include "test/crash/sweep.h"

#include <stdio.h>
#include <stdlib.h>

static void progress(const struct sweep_totals *t, uint64_t seed, double seconds)
{
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

int main(int argc, char **argv)
{
	double want = argc > 1 ? strtod(argv[1], NULL) : 1e9; /* 1e9 is a way to write it */
	double bound = argc > 2 ? strtod(argv[2], NULL) : 0;
	uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
	struct sweep_totals t = {.states = 0};
	size_t first = argc > 4 ? script_named(argv[4]) : 0;
	double started = sweep_clock(), said = started;
	sweep_quiet();
	for (bool light = true;; seed += !light, light = false) {
		for (size_t n = 0; n < run_script_count; n++) {
			size_t i = (first + n) % run_script_count;
			char report[1024];
			struct sweep_limits limits =
			    light ? sweep_limits_light : *sweep_limits_of(i, seed);
			double now = sweep_clock();
			bool over =
			    (double)t.states >= want || (bound > 0 && now - started > bound);
			if (over || now - said > 10) {
				progress(&t, seed, now - started);
				said = now;
			}
			if (over)
				return 0;
			limits.states = (uint64_t)(want - (double)t.states);
			limits.seconds = bound > 0 ? bound - (now - started) : 0;
			if (!sweep_script(
			        &run_scripts[i], seed, &limits, &t, report, sizeof(report))) {
				printf("%s\n", report);
				return 1;
			}
		}
	}
}
