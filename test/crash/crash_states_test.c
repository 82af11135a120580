/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every state in which a power cut may leave the disk, after every operation of every script
 * (sweep.h, scripts.c): a million distinct ones. What each of them is checked for is in outcome.h.
 *
 *   CRASH_STATES=N       how many; CRASH_SCRIPT=NAME only this script; KAPPA_TEST_SEED=N;
 *                        CRASH_JOBS=N processes at once, by default one for each processor
 *   make crash STATES=N  the same without an end, with progress (crash_main.c)
 */
#include "test/crash/split.h"
#include "test/lib/seed.h"
#include "test/lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#define STATES       1000000
#define STATES_SMALL 10000 /* sanitizer builds */

static int group_setup(void **state)
{
	(void)state;
	sweep_quiet();
	return 0;
}

static uint64_t wanted(void)
{
	const char *text = getenv("CRASH_STATES");
	if (text)
		return strtoull(text, NULL, 10);
	return getenv("KAPPA_TEST_SMALL") ? STATES_SMALL : STATES;
}

static bool selected(const struct run_script *s)
{
	const char *only = getenv("CRASH_SCRIPT");
	return !only || strcmp(only, s->name) == 0;
}

static const struct run_script *script_named(const char *name)
{
	for (size_t i = 0; i < run_script_count; i++) {
		if (strcmp(run_scripts[i].name, name) == 0)
			return &run_scripts[i];
	}
	fail_msg("no script %s", name);
	return NULL;
}

/* Few cuts, but after every operation. */
static void sweep_lightly(const char *name)
{
	struct sweep_totals t = {.states = 0};
	char report[1024];
	if (!sweep_script(script_named(name), 1, &sweep_limits_light, &t, report, sizeof(report)))
		fail_msg("%s", report);
	assert_true(t.states > 100);
}

/* ---- found by the enumeration ---------------------------------------------------------------- */

/*
 * The last entry of a full journal had no room for its copy, and a start that had been cut short
 * needed room for another: refused with NOSPACE.
 */
static void a_start_has_room_for_the_copy_of_the_last_entry(void **state)
{
	(void)state;
	sweep_lightly("laps");
}

/*
 * A torn entry at the beginning of a file kept its number as the file's newest, which no checkpoint
 * would ever cover: the start waited for ever.
 */
static void a_torn_entry_gives_its_file_back(void **state)
{
	(void)state;
	sweep_lightly("appends");
}

/*
 * A snapshot of producers and transactions was taken at a roll while a marker was in flight: of
 * that transaction it knew no end, and after a start readers of committed data were shown what had
 * been aborted.
 */
static void what_was_aborted_at_a_roll_is_not_shown(void **state)
{
	(void)state;
	sweep_lightly("transactions");
}

/*
 * When compaction had taken an aborted transaction with its marker, readers of committed data were
 * told of it all the same, waited for the marker and passed over what its producer committed later.
 */
static void what_is_committed_behind_a_compacted_abort_is_shown(void **state)
{
	(void)state;
	sweep_lightly("compacted_transactions");
}

/* ---- all of them ----------------------------------------------------------------------------- */

/* All scripts with one seed after the other, until there are enough: a process's share of it. */
static void sweep_share(void *ctx, struct split_part *part)
{
	uint64_t seed = *(uint64_t *)ctx, want = split_share(part, wanted()), idle = 0;
	const struct sweep_totals *t = &part->totals;
	for (; t->states < want && idle < 4 * (uint64_t)part->jobs; seed++) {
		uint64_t before = t->states;
		for (size_t i = 0; i < run_script_count && t->states < want; i++) {
			struct sweep_limits limits = *sweep_limits_of(i, seed);
			limits.states = want - t->states;
			if (selected(&run_scripts[i]) && split_has(part, i, seed) &&
			    !split_sweep(part, i, seed, &limits))
				return;
		}
		/* one script alone is not each seed's */
		idle = t->states > before ? 0 : idle + 1;
	}
}

static void every_cut_keeps_what_was_promised(void **state)
{
	uint64_t seed = test_seed(1);
	struct split_part sum;
	(void)state;
	if (!split_run(split_jobs(0), sweep_share, &seed, &sum))
		fail_msg("%s", sum.report);
	printf("%llu states, %llu recoveries, %llu outcomes, %llu cuts in recovery: %.1f CPU-s, "
	       "%.0f states/s of CPU; %.1f s in %d processes\n",
	    (unsigned long long)sum.totals.states, (unsigned long long)sum.totals.recoveries,
	    (unsigned long long)sum.totals.outcomes, (unsigned long long)sum.totals.recovery_cuts,
	    sum.seconds, (double)sum.totals.states / sum.seconds, sum.elapsed, sum.jobs);
	assert_true(sum.totals.states >= wanted());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_start_has_room_for_the_copy_of_the_last_entry),
	    cmocka_unit_test(a_torn_entry_gives_its_file_back),
	    cmocka_unit_test(what_was_aborted_at_a_roll_is_not_shown),
	    cmocka_unit_test(what_is_committed_behind_a_compacted_abort_is_shown),
	    cmocka_unit_test(every_cut_keeps_what_was_promised),
	};
	return cmocka_run_group_tests_name("crash_states", tests, group_setup, NULL);
}
