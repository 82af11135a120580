/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each call site and each allocation of each script fails once (faults.h).
 *
 *   FAULT_STRIDE=1   every site (make faults); else a sample, a smaller one in a sanitizer build
 *   FAULT_SCRIPT=NAME FAULT_KIND=NAME FAULT_SITE=N   only these; FAULT_VERBOSE: what the log says
 */
#include "test/crash/faults.h"
#include "test/crash/sweep.h"
#include "test/crash/told.h"
#include "test/lib/test.h"

#include <stdio.h>
#include <stdlib.h>

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);
	return text ? strtoull(text, NULL, 10) : otherwise;
}

static bool selected(const char *name, const char *value)
{
	const char *text = getenv(name);
	return !text || strcmp(text, value) == 0;
}

static void sweep_kind(enum fault_kind kind)
{
	static uint64_t turn;
	struct fault_totals t = {.sites = 0};
	double started = sweep_clock();
	uint64_t stride =
	    getenv("FAULT_SITE") ? 0 : number("FAULT_STRIDE", getenv("KAPPA_TEST_SMALL") ? 41 : 3);
	unsigned failures = 0;
	for (size_t i = 0; i < run_script_count; i++) {
		const struct run_script *s = &run_scripts[i];
		if (!selected("FAULT_SCRIPT", s->name) ||
		    !selected("FAULT_KIND", fault_names[kind]))
			continue;
		uint64_t first = stride ? 1 + turn++ % stride : 1;
		failures += faults_sweep(s, kind, number("FAULT_SITE", first), stride, &t);
	}
	printf("%s: %llu of %llu sites, %llu struck, %llu told: %.1f CPU-s\n", fault_names[kind],
	    (unsigned long long)t.played, (unsigned long long)t.sites, (unsigned long long)t.struck,
	    (unsigned long long)t.told, sweep_clock() - started);
	assert_int_equal(failures, 0);
}

static void any_call_may_fail_with_eio(void **state)
{
	(void)state;
	sweep_kind(FAULT_EIO);
}

static void any_call_may_fail_with_enospc(void **state)
{
	(void)state;
	sweep_kind(FAULT_ENOSPC);
}

static void a_signal_is_seen_by_nobody(void **state)
{
	(void)state;
	sweep_kind(FAULT_EINTR);
}

static void a_call_that_asks_to_be_made_again_is_seen_by_nobody(void **state)
{
	(void)state;
	sweep_kind(FAULT_EAGAIN);
}

static void a_short_transfer_is_seen_by_nobody(void **state)
{
	(void)state;
	sweep_kind(FAULT_SHORT);
}

static void any_open_may_fail_for_lack_of_descriptors(void **state)
{
	(void)state;
	sweep_kind(FAULT_EMFILE);
}

/* ---- found by the sweeps --------------------------------------------------------------------- */

/* Each site of one script and kind. */
static void no_site_breaks(const char *name, enum fault_kind kind)
{
	struct fault_totals t = {.sites = 0};
	unsigned failures = 1;
	for (size_t i = 0; i < run_script_count; i++) {
		if (strcmp(run_scripts[i].name, name) == 0)
			failures = faults_sweep(&run_scripts[i], kind, 1, 1, &t);
	}
	assert_int_equal(failures, 0);
}

/*
 * The newest checkpoint record could not be opened, and the one before it was believed: what had
 * been acknowledged between them was cut as torn.
 */
static void a_record_that_cannot_be_read_is_not_taken_for_torn(void **state)
{
	(void)state;
	no_site_breaks("producers", FAULT_EMFILE);
}

/* A directory that stayed where it was refused appends to the next topic of its name: EXISTS. */
static void a_topic_that_is_deleted_gives_its_name_back(void **state)
{
	(void)state;
	no_site_breaks("topics", FAULT_EIO);
}

/*
 * The stop of a start that had come through recovery, and not through the catalog, wrote a record
 * with the ends from before recovery: the next start cut what the journal had put back, the row of
 * a log start whose segments were gone already.
 */
static void a_start_that_is_refused_behind_recovery_writes_no_record(void **state)
{
	(void)state;
	no_site_breaks("trims", FAULT_MEMORY);
}

/*
 * A start takes away a segment that was made for a round which never came. Its name came back at a
 * power cut after the sequence it was made with had been given again, and passed for one that was
 * born: what lay before it was called missing.
 */
static void a_segment_that_a_start_took_away_does_not_come_back(void **state)
{
	(void)state;
	no_site_breaks("rebuilds", FAULT_EIO);
}

enum { LAP_FILE = 7 }; /* entries of 4 KiB in a file of the journal */

/* A lap and more of the journal behind a checkpoint, at each place of it. */
static int lap_before;
static void lap(struct run *r)
{
	int a = run_topic_create(r, "a", 1, NULL);
	for (int i = 0; i < lap_before; i++) {
		run_append(r, a, 0, 1, 20);
		run_drain(r);
	}
	run_rest(r, 1200 * MS_NS);
	for (int i = 0; i < 4 * LAP_FILE - 2; i++) {
		run_append(r, a, 0, 1, 20);
		run_drain(r);
	}
}

/*
 * The checkpoint's place was the end of a journal file, so all of the file was free, and the
 * journal came round to it before the next checkpoint: a start looked only behind the place, and
 * what had been acknowledged since was gone.
 */
static void a_journal_that_comes_round_to_the_checkpoints_file_is_read(void **state)
{
	static const struct run_script script = {
	    .name = "lap", .play = lap, .journal_bytes = 128 * KIB};
	struct sweep_limits limits = sweep_limits_light;
	struct sweep_totals t = {.states = 0};
	char report[1024];
	(void)state;
	for (lap_before = 1; lap_before <= LAP_FILE; lap_before++) {
		if (!sweep_script(&script, 1, &limits, &t, report, sizeof(report)))
			fail_msg("%d before: %s", lap_before, report);
	}
}

static void any_allocation_may_fail(void **state)
{
	(void)state;
	sweep_kind(FAULT_MEMORY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_signal_is_seen_by_nobody),
	    cmocka_unit_test(a_call_that_asks_to_be_made_again_is_seen_by_nobody),
	    cmocka_unit_test(a_short_transfer_is_seen_by_nobody),
	    cmocka_unit_test(any_call_may_fail_with_eio),
	    cmocka_unit_test(any_call_may_fail_with_enospc),
	    cmocka_unit_test(any_open_may_fail_for_lack_of_descriptors),
	    cmocka_unit_test(any_allocation_may_fail),
	    cmocka_unit_test(a_record_that_cannot_be_read_is_not_taken_for_torn),
	    cmocka_unit_test(a_topic_that_is_deleted_gives_its_name_back),
	    cmocka_unit_test(a_start_that_is_refused_behind_recovery_writes_no_record),
	    cmocka_unit_test(a_segment_that_a_start_took_away_does_not_come_back),
	    cmocka_unit_test(a_journal_that_comes_round_to_the_checkpoints_file_is_read),
	};
	sweep_quiet();
	told_verbose = getenv("FAULT_VERBOSE") != NULL;
	return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
