/* SPDX-License-Identifier: Apache-2.0 */
/* Starts with a wall clock that is wrong, and right again: nothing goes for that. Simulated clock. */
#include "log/clock.h"
#include "log/engine.h"
#include "log/partition.h"
#include "test/lib/keyed_log.h"
#include <stdio.h>
#include <string.h>

#define assert_ok(expr) assert_int_equal((expr), ERR_OK)

#define DAY_NS   ((int64_t)86400 * S_NS)
#define MONTH_NS (30 * DAY_NS)

static struct keyed_log k;
static char events[512];

/* Keeps the names of the clock's events. */
static void listen(void *ctx, const char *line)
{
	const char *event = strstr(line, "event=clock_");
	(void)ctx;
	if (!event)
		return;
	size_t len = strcspn(event, " "), at = strlen(events);
	if (at + len + 2 < sizeof(events))
		snprintf(events + at, sizeof(events) - at, "%.*s ", (int)(len - 6), event + 6);
}

static int setup(void **state)
{
	(void)state;
	events[0] = '\0';
	return keyed_setup(&k, 5, listen);
}

static int teardown(void **state)
{
	(void)state;
	return keyed_teardown(&k);
}

/* The next start has a wall clock that differs by so much from this one's. */
static void restart(int64_t jump_ns)
{
	keyed_close(&k);
	keyed_fsck(&k, NULL, 0);
	sim_io_jump_clock(k.io, jump_ns);
	events[0] = '\0';
	keyed_open(&k);
}

/* An append of another topic is the newest record from then on. */
static void start_a_month_ahead(void)
{
	restart(MONTH_NS);
	assert_string_equal(events, "clock_gap ");
	keyed_put(&k, "other", "k", "v");
}

static void fill(const char *config)
{
	const char *const configs[] = {config, NULL};
	keyed_create(&k, "other", 1 << 20, (const char *const[]){NULL});
	keyed_create(&k, "t", 1 << 20, configs);
	for (int i = 0; i < 3; i++) {
		keyed_put(&k, "t", "k", "v");
		partition_roll_soon(keyed_partition(&k, "t"));
	}
}

static int64_t log_start(void)
{
	return keyed_partition(&k, "t")->log_start;
}

static void a_start_ahead_and_one_that_is_right_delete_nothing(void **state)
{
	(void)state;
	fill("retention.ms=604800000");
	start_a_month_ahead();
	keyed_sleep(&k, 300 * S_NS);
	assert_int_equal(log_start(), 0);
	restart(-MONTH_NS);
	assert_string_equal(events, "clock_behind ");
	keyed_sleep(&k, 300 * S_NS);
	assert_int_equal(log_start(), 0);
	keyed_sleep(&k, 6 * DAY_NS);
	assert_int_equal(log_start(), 0);
	/* time that really passes counts as before */
	keyed_sleep(&k, 2 * DAY_NS);
	assert_int_equal(log_start(), 3);
}

/* What was appended under a doubted clock does not vouch for it. */
static void each_start_ahead_is_doubted(void **state)
{
	(void)state;
	fill("retention.ms=604800000");
	start_a_month_ahead();
	for (int again = 0; again < 3; again++) {
		keyed_sleep(&k, 3000 * S_NS);
		assert_int_equal(log_start(), 0);
		restart(0);
		assert_string_equal(events, "clock_gap ");
		keyed_put(&k, "other", "k", "v");
	}
	/* right again, and wrong again */
	restart(-MONTH_NS);
	assert_string_equal(events, "clock_behind ");
	keyed_sleep(&k, 3 * 3600 * S_NS);
	start_a_month_ahead();
	keyed_sleep(&k, 3000 * S_NS);
	assert_int_equal(log_start(), 0);
	/* after an hour it is believed, and the next start has nothing to doubt */
	keyed_sleep(&k, 1000 * S_NS);
	assert_int_equal(log_start(), 3);
	restart(0);
	assert_string_equal(events, "");
}

static void create_compacted(const char *config)
{
	const char *const configs[] = {
	    "cleanup.policy=compact", "min.cleanable.dirty.ratio=0", config, NULL};
	keyed_create(&k, "other", 1 << 20, (const char *const[]){NULL});
	keyed_create(&k, "t", 1 << 20, configs);
}

static void roll(void)
{
	partition_roll_soon(keyed_partition(&k, "t"));
	keyed_put(&k, "t", "last", "x");
}

/* What was stamped years ahead, and what is stamped behind it, is as old as this server is sure of. */
static void times_far_ahead_keep_nothing_for_years(void **state)
{
	(void)state;
	sim_io_jump_clock(k.io, 120 * MONTH_NS);
	restart(0);
	fill("retention.ms=604800000");
	restart(-120 * MONTH_NS);
	assert_string_equal(events, "clock_behind ");
	keyed_sleep(&k, 3 * DAY_NS);
	keyed_put(&k, "t", "k", "v");
	partition_roll_soon(keyed_partition(&k, "t"));
	keyed_put(&k, "t", "k", "v");
	keyed_sleep(&k, 3 * DAY_NS);
	assert_int_equal(log_start(), 0);
	keyed_sleep(&k, 2 * DAY_NS);
	assert_int_equal(log_start(), 2); /* the fourth is in the segment of the third */
	keyed_sleep(&k, 3 * DAY_NS);
	assert_int_equal(log_start(), 5);
	assert_int_equal(keyed_put(&k, "t", "k", "v"), 5);
}

/* A new generation is not found at the start: its records are as young as they were. */
static void compaction_makes_nothing_older(void **state)
{
	(void)state;
	sim_io_jump_clock(k.io, 120 * MONTH_NS);
	restart(0);
	create_compacted("min.compaction.lag.ms=604800000");
	restart(-120 * MONTH_NS);
	keyed_sleep(&k, 6 * DAY_NS);
	keyed_put(&k, "t", "a", "1");
	keyed_put(&k, "t", "a", "2");
	roll();
	keyed_sleep(&k, 2 * DAY_NS);
	keyed_compact(&k);
	assert_string_equal(keyed_read_text(&k), "0:a=1 1:a=2 2:last=x");
	keyed_sleep(&k, 6 * DAY_NS);
	keyed_compact(&k);
	assert_string_equal(keyed_read_text(&k), "1:a=2 2:last=x");
	const struct segment *s = partition_segment(keyed_partition(&k, "t"), 0);
	assert_non_null(s);
	assert_int_equal(s->file_generation, 1);
	assert_in_range(loop_now_ns(k.loop) - s->noted_ns, 8 * DAY_NS, 8 * DAY_NS + 3600 * S_NS);
}

/* A note that cannot be read is none. */
static void a_spoilt_note_is_passed_over(void **state)
{
	(void)state;
	fill("retention.ms=604800000");
	start_a_month_ahead();
	char path[LOG_PATH_MAX];
	assert_ok(engine_path(k.log, path, "clock"));
	assert_ok(io_write_file(k.io, path, str_bytes(STR("witness_ns=?\n"))));
	restart(-MONTH_NS);
	assert_string_equal(events, "clock_behind ");
	keyed_sleep(&k, 300 * S_NS);
	assert_int_equal(log_start(), 0);
}

static void records_are_stamped_by_a_clock_that_is_right_again(void **state)
{
	(void)state;
	fill("message.timestamp.type=LogAppendTime");
	start_a_month_ahead();
	restart(-MONTH_NS);
	int64_t now_ms = io_clock_ns(k.io, IO_CLOCK_REALTIME) / MS_NS;
	keyed_put(&k, "t", "k", "v");
	keyed_read_text(&k);
	assert_int_equal(k.rows.count, 4);
	assert_in_range(k.rows.row[3].timestamp_ms, now_ms, now_ms + 60000);
	/* append times do not go back: they are the order of the log */
	struct log_status st;
	log_status(k.log, &st);
	assert_true(st.last_append_time_ns > io_clock_ns(k.io, IO_CLOCK_REALTIME) + MONTH_NS / 2);
	/* a small step back is none for the records either */
	keyed_sleep(&k, MONTH_NS + DAY_NS);
	keyed_put(&k, "t", "k", "v");
	sim_io_jump_clock(k.io, -600 * S_NS);
	keyed_sleep(&k, S_NS);
	keyed_put(&k, "t", "k", "v");
	keyed_read_text(&k);
	assert_true(k.rows.count >= 2);
	const struct keyed_row *last = &k.rows.row[k.rows.count - 1];
	assert_true(last->timestamp_ms >= last[-1].timestamp_ms);
}

static void young_records_are_not_compacted_for_it(void **state)
{
	(void)state;
	create_compacted("min.compaction.lag.ms=604800000");
	keyed_put(&k, "t", "a", "1");
	keyed_put(&k, "t", "a", "2");
	roll();
	start_a_month_ahead();
	keyed_compact(&k);
	assert_string_equal(keyed_read_text(&k), "0:a=1 1:a=2 2:last=x");
	restart(-MONTH_NS);
	keyed_compact(&k);
	assert_string_equal(keyed_read_text(&k), "0:a=1 1:a=2 2:last=x");
	keyed_sleep(&k, 8 * DAY_NS);
	keyed_compact(&k);
	assert_string_equal(keyed_read_text(&k), "1:a=2 2:last=x");
}

static void a_tombstone_stays_its_time(void **state)
{
	(void)state;
	create_compacted("delete.retention.ms=172800000");
	keyed_put(&k, "t", "a", "1");
	keyed_put(&k, "t", "a", NULL);
	roll();
	keyed_compact(&k);
	assert_string_equal(keyed_read_text(&k), "1:a=- 2:last=x");
	start_a_month_ahead();
	roll();
	keyed_compact(&k);
	assert_string_equal(keyed_read_text(&k), "1:a=- 2:last=x 3:last=x");
	restart(-MONTH_NS);
	roll();
	keyed_compact(&k);
	assert_string_equal(keyed_read_text(&k), "1:a=- 3:last=x 4:last=x");
	keyed_sleep(&k, 3 * DAY_NS);
	roll();
	keyed_compact(&k);
	assert_string_equal(keyed_read_text(&k), "4:last=x 5:last=x");
}

/* First cleaned in the hour of doubt: if the clock was right, readers still have their time. */
static void a_horizon_set_in_doubt_counts_from_the_wall_clock(void **state)
{
	(void)state;
	create_compacted("delete.retention.ms=172800000");
	keyed_put(&k, "t", "a", "1");
	keyed_put(&k, "t", "a", NULL);
	roll();
	start_a_month_ahead();
	keyed_compact(&k);
	assert_string_equal(keyed_read_text(&k), "1:a=- 2:last=x");
	keyed_sleep(&k, DAY_NS);
	roll();
	keyed_compact(&k);
	assert_string_equal(keyed_read_text(&k), "1:a=- 2:last=x 3:last=x");
	keyed_sleep(&k, 2 * DAY_NS);
	roll();
	keyed_compact(&k);
	assert_string_equal(keyed_read_text(&k), "3:last=x 4:last=x");
}

static bool is_duplicate(int32_t sequence)
{
	const struct keyed_how how = {.producer_id = 7, .epoch = 0, .sequence = sequence};
	const struct keyed_record one = {"k", "v", 0};
	struct log_append req;
	assert_ok(keyed_try_append(&k, "t", &one, 1, &how, &req));
	return req.duplicate;
}

static void a_producer_is_known_all_the_same(void **state)
{
	(void)state;
	fill(NULL);
	assert_false(is_duplicate(0));
	start_a_month_ahead();
	assert_true(is_duplicate(0));
	partition_roll_soon(keyed_partition(&k, "t")); /* another look at who is too old */
	keyed_put(&k, "t", "k", "v");
	assert_true(is_duplicate(0));
	restart(-MONTH_NS);
	assert_true(is_duplicate(0));
	assert_false(is_duplicate(1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
	        a_start_ahead_and_one_that_is_right_delete_nothing, setup, teardown),
	    cmocka_unit_test_setup_teardown(each_start_ahead_is_doubted, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        times_far_ahead_keep_nothing_for_years, setup, teardown),
	    cmocka_unit_test_setup_teardown(compaction_makes_nothing_older, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_spoilt_note_is_passed_over, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        records_are_stamped_by_a_clock_that_is_right_again, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        young_records_are_not_compacted_for_it, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_tombstone_stays_its_time, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        a_horizon_set_in_doubt_counts_from_the_wall_clock, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_producer_is_known_all_the_same, setup, teardown),
	};
	return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
