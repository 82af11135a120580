/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole server under seeds: KAPPA_SIM_SEEDS of them (2,000; shorter with KAPPA_TEST_SMALL),
 * from KAPPA_TEST_SEED on (1), and those that have found something before.
 */
#include "test/lib/test.h"
#include "test/sim/campaign.h"
#include "test/sim/mutant.h"

#include "test/sim/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { REPEATED = 12 };
enum { SEEDS = 2000, SEEDS_SMALL = 60, MUTANT_SEEDS = 300, SECONDS_MAX = 150 };

static uint64_t number(const char *name, uint64_t fallback)
{
	const char *text = getenv(name);
	return text ? strtoull(text, NULL, 10) : fallback;
}

static void no_rule_is_broken_under_any_seed(void **state)
{
	(void)state;
	uint64_t count =
	    number("KAPPA_SIM_SEEDS", getenv("KAPPA_TEST_SMALL") ? SEEDS_SMALL : SEEDS);
	uint64_t first = number("KAPPA_TEST_SEED", 1);
	struct campaign c = {
	    .first = first, .last = first + count - 1, .jobs = 2, .seconds_max = SECONDS_MAX};
	campaign_run(&c);
	printf(
	    "%llu seeds, %.1f seeds/s\n", (unsigned long long)c.done, (double)c.done / c.seconds);
	if (c.failed > 0)
		fail_msg("%llu of %llu seeds; the first: %llu, \"%s\": %s",
		    (unsigned long long)c.failed, (unsigned long long)c.done,
		    (unsigned long long)c.first_failed, c.rule, c.text);
	/* a machine that is busy with other things does fewer, and says so above */
	assert_in_range(c.done, count < SEEDS_SMALL / 2 ? count : SEEDS_SMALL / 2, count);
}

/*
 * Seeds that have found something. What a seed does changes with the simulation, so each finding
 * has a test of its own as well; they stay here because they are good seeds. 5    a fetch whose
 * share of the memory budget could never be had was not answered 176  the empty segment of a roll
 * that had failed made the next start refuse the directory
 */
static void seeds_that_found_something_find_nothing_now(void **state)
{
	static const uint64_t seeds[] = {5, 25, 32, 56, 176};
	(void)state;
	for (size_t i = 0; i < sizeof(seeds) / sizeof(*seeds); i++) {
		struct campaign c = {.first = seeds[i], .last = seeds[i]};
		campaign_run(&c);
		if (c.failed > 0)
			fail_msg(
			    "seed %llu: \"%s\": %s", (unsigned long long)seeds[i], c.rule, c.text);
	}
}

/* A server that is known to be bad is found, by the rule that it breaks or one near it. */
static void known_bad_servers_are_found(void **state)
{
	(void)state;
	for (int m = MUTANT_NONE + 1; m < MUTANT_COUNT; m++) {
		struct campaign c = {.first = 1,
		    .last = MUTANT_SEEDS,
		    .jobs = 2,
		    .stop_at_first = true,
		    .mutant = m};
		campaign_run(&c);
		if (c.failed == 0)
			fail_msg("%d seeds do not see that %s", MUTANT_SEEDS, mutant_name(m));
		printf("%s: rule \"%s\" at seed %llu: %s\n", mutant_name(m), c.rule,
		    (unsigned long long)c.first_failed, c.text);
	}
}

/* ---- a seed is the same run each time -------------------------------------------------------- */

static char self[4096];

/* What another process makes of a seed: a hash of every event with its time. */
static void history(uint64_t seed, char *ret, size_t len)
{
	char command[4200];
	snprintf(command, sizeof(command), "KAPPA_SIM_HISTORY=%llu '%s'", (unsigned long long)seed,
	    self);
	FILE *f = popen(command, "r");
	assert_non_null(f);
	char *line = fgets(ret, (int)len, f);
	int status = pclose(f);
	if (!line || status != 0 || strncmp(ret, "history ", 8) != 0)
		fail_msg("%s: status %d", command, status);
}

static int tell_history(uint64_t seed)
{
	char report[400];
	uint64_t hash = 0;
	world_run(seed, TRACE_HASH, report, sizeof(report), &hash);
	printf("history %016llx %s\n", (unsigned long long)hash, report);
	return EXIT_SUCCESS;
}

static void a_seed_repeats_exactly(void **state)
{
	uint64_t first = number("KAPPA_TEST_SEED", 1);
	(void)state;
	for (uint64_t seed = first; seed < first + REPEATED; seed++) {
		char once[500], again[500];
		history(seed, once, sizeof(once));
		history(seed, again, sizeof(again));
		assert_string_equal(once, again);
	}
}

int main(void)
{
	const char *seed = getenv("KAPPA_SIM_HISTORY");
	if (seed)
		return tell_history(strtoull(seed, NULL, 10));
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	self[n > 0 ? n : 0] = '\0';
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_seed_repeats_exactly),
	    cmocka_unit_test(seeds_that_found_something_find_nothing_now),
	    cmocka_unit_test(known_bad_servers_are_found),
	    cmocka_unit_test(no_rule_is_broken_under_any_seed),
	};
	return cmocka_run_group_tests_name("sim", tests, NULL, NULL);
}
