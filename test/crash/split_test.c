/* SPDX-License-Identifier: Apache-2.0 */
/* Several processes count what one would, and nothing that goes wrong in any of them is lost. */
#include "test/crash/split.h"
#include "test/lib/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { JOBS = 3, SEEDS = 40 };

static void each_script_and_seed_is_of_exactly_one_process(void **state)
{
	size_t most = 0, least = SIZE_MAX, count[JOBS] = {0};
	(void)state;
	for (size_t i = 0; i < run_script_count; i++) {
		for (uint64_t seed = 1; seed <= SEEDS; seed++) {
			int takers = 0;
			for (int j = 0; j < JOBS; j++) {
				struct split_part part = {.job = j, .jobs = JOBS};
				bool takes = split_has(&part, i, seed);
				takers += takes;
				count[j] += takes;
			}
			assert_int_equal(takers, 1);
		}
	}
	for (int j = 0; j < JOBS; j++) {
		most = count[j] > most ? count[j] : most;
		least = count[j] < least ? count[j] : least;
	}
	assert_true(most < least + least / 4);
}

static void the_shares_are_the_whole(void **state)
{
	(void)state;
	for (uint64_t want = 0; want < 10; want++) {
		uint64_t sum = 0;
		for (int j = 0; j < JOBS; j++) {
			struct split_part part = {.job = j, .jobs = JOBS};
			sum += split_share(&part, want);
		}
		assert_int_equal(sum, want);
	}
}

static void count(void *ctx, struct split_part *part)
{
	(void)ctx;
	part->totals.states = 10 + (uint64_t)part->job;
	part->totals.recoveries = 1;
}

static void what_they_count_is_added_up(void **state)
{
	struct split_part sum;
	(void)state;
	assert_true(split_run(JOBS, count, NULL, &sum));
	assert_int_equal(sum.totals.states, 10 + 11 + 12);
	assert_int_equal(sum.totals.recoveries, JOBS);
	assert_int_equal(sum.jobs, JOBS);
	assert_true(split_run(1, count, NULL, &sum));
	assert_int_equal(sum.totals.states, 10);
}

/* One finds something, the others would go on for ever. */
static void find(void *ctx, struct split_part *part)
{
	(void)ctx;
	while (part->job != 1)
		pause();
	snprintf(part->report, sizeof(part->report), "script x, seed 7: lost");
}

static void what_one_finds_ends_all(void **state)
{
	struct split_part sum;
	(void)state;
	assert_false(split_run(JOBS, find, NULL, &sum));
	assert_string_equal(sum.report, "script x, seed 7: lost");
}

static void die(void *ctx, struct split_part *part)
{
	(void)ctx;
	snprintf(part->at, sizeof(part->at), "script y, seed 9");
	if (part->job == 2)
		abort();
}

static void who_dies_is_named_with_what_it_was_at(void **state)
{
	struct split_part sum;
	(void)state;
	assert_false(split_run(JOBS, die, NULL, &sum));
	assert_string_equal(sum.report, "process 3 of 3 ended by signal 6 at script y, seed 9");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_script_and_seed_is_of_exactly_one_process),
	    cmocka_unit_test(the_shares_are_the_whole),
	    cmocka_unit_test(what_they_count_is_added_up),
	    cmocka_unit_test(what_one_finds_ends_all),
	    cmocka_unit_test(who_dies_is_named_with_what_it_was_at),
	};
	return cmocka_run_group_tests_name("split", tests, NULL, NULL);
}
