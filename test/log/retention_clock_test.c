/* SPDX-License-Identifier: Apache-2.0 */
/* Retention by time, on the simulated clock. */
#include "log/engine.h"
#include "test/lib/keyed_log.h"

static struct keyed_log k;

static int setup(void **state)
{
	(void)state;
	return keyed_setup(&k, 3, NULL);
}

static int teardown(void **state)
{
	(void)state;
	return keyed_teardown(&k);
}

static void fill(const char *retention, const char *policy)
{
	const char *const configs[] = {retention, policy, NULL};
	keyed_create(&k, "t", 1 << 20, configs);
	for (int i = 0; i < 3; i++)
		keyed_put(&k, "t", "k", "v");
}

static int64_t log_start(void)
{
	return keyed_partition(&k, "t")->log_start;
}

/* Also of a topic that nobody appends to any more: its last segment is rolled, then it goes. */
static void old_records_go_from_an_idle_topic(void **state)
{
	(void)state;
	fill("retention.ms=120000", NULL);
	keyed_sleep(&k, 100 * S_NS);
	assert_int_equal(log_start(), 0);
	keyed_sleep(&k, 200 * S_NS);
	assert_int_equal(log_start(), 3);
	assert_int_equal(keyed_partition(&k, "t")->size_bytes, SEGMENT_HEADER_BYTES);
	keyed_sleep(&k, 600 * S_NS);
	assert_int_equal(keyed_partition(&k, "t")->segment_count, 1);
	for (int again = 0; again < 2; again++) {
		assert_int_equal(keyed_put(&k, "t", "k", "v"), 3 + again);
		keyed_close(&k);
		keyed_fsck(&k, NULL, 0);
		keyed_open(&k);
		assert_int_equal(log_start(), 3);
	}
}

static void a_clock_that_jumps_ahead_deletes_nothing(void **state)
{
	(void)state;
	fill("retention.ms=86400000", NULL);
	partition_roll_soon(keyed_partition(&k, "t"));
	keyed_put(&k, "t", "k", "v");
	sim_io_jump_clock(k.io, (int64_t)30 * 86400 * S_NS);
	keyed_sleep(&k, 300 * S_NS);
	assert_int_equal(log_start(), 0);
	assert_int_equal(keyed_put(&k, "t", "k", "v"), 4);
	/* time that really passes does */
	keyed_sleep(&k, (int64_t)2 * 86400 * S_NS);
	assert_int_equal(log_start(), 5);
}

static void a_clock_that_jumps_back_deletes_nothing(void **state)
{
	(void)state;
	fill("retention.ms=86400000", NULL);
	sim_io_jump_clock(k.io, -(int64_t)30 * 86400 * S_NS);
	keyed_sleep(&k, 300 * S_NS);
	assert_int_equal(log_start(), 0);
	sim_io_jump_clock(k.io, (int64_t)30 * 86400 * S_NS);
	keyed_sleep(&k, 300 * S_NS);
	assert_int_equal(log_start(), 0);
}

/* Set back for a month and right again: time goes on where it is. */
static void a_clock_that_was_set_back_and_right_again_is_believed(void **state)
{
	(void)state;
	fill("retention.ms=86400000", NULL);
	sim_io_jump_clock(k.io, -(int64_t)30 * 86400 * S_NS);
	keyed_sleep(&k, 300 * S_NS);
	keyed_put(&k, "t", "k", "v");
	sim_io_jump_clock(k.io, (int64_t)30 * 86400 * S_NS);
	keyed_sleep(&k, (int64_t)2 * 86400 * S_NS);
	assert_int_equal(log_start(), 4);
}

/* Nobody can tell a server that was off for a month from one whose clock is wrong. */
static void a_start_far_behind_the_newest_record_deletes_nothing_for_an_hour(void **state)
{
	(void)state;
	fill("retention.ms=86400000", NULL);
	keyed_close(&k);
	sim_io_jump_clock(k.io, (int64_t)30 * 86400 * S_NS);
	keyed_open(&k);
	keyed_sleep(&k, 3000 * S_NS);
	assert_int_equal(log_start(), 0);
	keyed_sleep(&k, 1000 * S_NS);
	assert_int_equal(log_start(), 3);
}

/* More than one pass takes from a partition at once; by size, too, with the clock in doubt. */
static void many_segments_go_in_one_pass(void **state)
{
	(void)state;
	fill("retention.ms=86400000", NULL);
	for (int i = 0; i < 600; i++) {
		partition_roll_soon(keyed_partition(&k, "t"));
		keyed_put(&k, "t", "k", "v");
	}
	assert_true(keyed_partition(&k, "t")->segment_count > 600);
	keyed_sleep(&k, 86400 * S_NS - 100 * S_NS);
	assert_int_equal(log_start(), 0);
	keyed_sleep(&k, 170 * S_NS);
	assert_int_equal(log_start(), 603);
	assert_int_equal(keyed_partition(&k, "t")->segment_count, 1);
}

static void for_ever_is_for_ever(void **state)
{
	(void)state;
	fill("retention.ms=-1", NULL);
	keyed_sleep(&k, (int64_t)400 * 86400 * S_NS);
	assert_int_equal(log_start(), 0);
}

/* cleanup.policy=compact alone: retention.ms is for topics that delete. */
static void a_compacted_topic_keeps_its_keys(void **state)
{
	(void)state;
	fill("retention.ms=1000", "cleanup.policy=compact");
	keyed_sleep(&k, (int64_t)2 * 86400 * S_NS);
	assert_int_equal(log_start(), 0);
}

static void compact_and_delete_does_both(void **state)
{
	(void)state;
	fill("retention.ms=600000", "cleanup.policy=compact,delete");
	partition_roll_soon(keyed_partition(&k, "t"));
	keyed_put(&k, "t", "other", "v");
	keyed_compact(&k);
	assert_string_equal(keyed_read_text(&k), "2:k=v 3:other=v");
	keyed_sleep(&k, 900 * S_NS);
	assert_int_equal(log_start(), 4);
	keyed_close(&k);
	keyed_fsck(&k, NULL, 0);
	keyed_open(&k);
	assert_int_equal(log_start(), 4);
	assert_int_equal(keyed_put(&k, "t", "k", "v"), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(old_records_go_from_an_idle_topic, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        a_clock_that_jumps_ahead_deletes_nothing, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        a_clock_that_jumps_back_deletes_nothing, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        a_clock_that_was_set_back_and_right_again_is_believed, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        a_start_far_behind_the_newest_record_deletes_nothing_for_an_hour, setup, teardown),
	    cmocka_unit_test_setup_teardown(many_segments_go_in_one_pass, setup, teardown),
	    cmocka_unit_test_setup_teardown(for_ever_is_for_ever, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_compacted_topic_keeps_its_keys, setup, teardown),
	    cmocka_unit_test_setup_teardown(compact_and_delete_does_both, setup, teardown),
	};
	return cmocka_run_group_tests_name("retention_clock", tests, NULL, NULL);
}
