/* SPDX-License-Identifier: Apache-2.0 */
/* Lookups by time when the record with the greatest timestamp is gone: deleted, or below the log
 * start of its batch. */
#include "test/lib/log_fixture.h"
#include <stdlib.h>

static struct log_fixture f;

static int setup(void **state)
{
	(void)state;
	memset(&f, 0, sizeof(f));
	return log_fixture_init(&f, "threads") ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	log_fixture_release(&f);
	return 0;
}

/* One batch with these timestamps. */
static void put(const int64_t *ms, int count, int codec)
{
	struct batch_builder b;
	struct writer out;
	size_t len;
	batch_builder_init(&b, codec);
	writer_init(&out, MIB);
	for (int i = 0; i < count; i++)
		assert_ok(batch_builder_add(
		    &b, ms[i], str_bytes(STR("k")), str_bytes(STR("value")), NULL, 0));
	assert_ok(batch_builder_finish(&b, &out));
	batch_builder_release(&b);
	uint8_t *batch = writer_take(&out, &len);
	assert_ok(log_put_wait(&f, 0, 0, batch, len, NULL));
}

static void put_one(int64_t ms)
{
	put(&ms, 1, BATCH_NONE);
}

static void find_done(struct log_find_time *req)
{
	*(bool *)req->user = true;
}

static int64_t find(int64_t ms)
{
	bool done = false;
	struct log_find_time req = {
	    .partition = f.partitions[0][0], .timestamp_ms = ms, .user = &done, .done = find_done};
	log_find_time(f.log, &req);
	while (!done)
		log_fixture_turn(&f);
	assert_ok(req.err);
	return req.offset;
}

static void trim(int64_t offset)
{
	partition_trim(f.partitions[0][0], offset);
	f.log_start[0][0] = offset; /* for the next start */
}

static void restart(void)
{
	log_fixture_close(&f);
	assert_ok(log_fixture_open(&f));
}

static void assert_latest(int64_t ms, int64_t offset)
{
	struct log_partition_status st;
	while (f.log->reads_active > 0)
		log_fixture_turn(&f);
	log_partition_status(f.partitions[0][0], &st);
	assert_int_equal(st.max_timestamp_ms, ms);
	assert_int_equal(st.max_timestamp_offset, offset);
	assert_int_equal(find(ms), offset);
}

static void a_time_is_found_behind_a_deleted_maximum(void **state)
{
	(void)state;
	assert_ok(log_fixture_open(&f));
	put_one(5000);
	for (int64_t ms = 1000; ms <= 9000; ms += 1000)
		put_one(ms);
	trim(1);
	for (int run = 0; run < 2; run++) {
		assert_int_equal(find(4000), 4);
		assert_int_equal(find(1), 1);
		assert_int_equal(find(5000), 5);
		assert_int_equal(find(9000), 9);
		assert_int_equal(find(9001), -1);
		assert_latest(9000, 9);
		restart();
	}
}

static void a_time_is_found_where_a_batch_has_its_maximum_below_the_log_start(void **state)
{
	static const int64_t first[] = {9000, 10, 20}, second[] = {30, 8000, 40};
	(void)state;
	assert_ok(log_fixture_open(&f));
	put(first, 3, BATCH_LZ4);
	put(second, 3, BATCH_NONE);
	put_one(7000);
	trim(1);
	for (int run = 0; run < 2; run++) {
		assert_int_equal(find(15), 2);
		assert_int_equal(find(25), 3);
		assert_int_equal(find(50), 4);
		assert_int_equal(find(8500), -1);
		assert_latest(8000, 4);
		restart();
	}
	trim(5);
	assert_latest(7000, 6);
	trim(7);
	assert_latest(-1, -1);
	put_one(3);
	assert_latest(3, 7);
}

/* The log start is in the first of several segments, or the one with the maximum is gone. */
static void the_latest_is_found_again_over_segments(void **state)
{
	(void)state;
	f.topics[0].config.segment_bytes = 4096 + 5 * 160;
	assert_ok(log_fixture_open(&f));
	put_one(100000);
	for (int64_t ms = 2; ms < 20; ms++)
		put_one(1000 * ms);
	put_one(50000);
	for (int64_t ms = 21; ms < 40; ms++)
		put_one(1000 * ms);
	assert_true(f.partitions[0][0]->segment_count > 4);
	assert_latest(100000, 0);
	trim(1);
	for (int run = 0; run < 2; run++) {
		assert_latest(50000, 19);
		assert_int_equal(find(38500), 19);
		assert_int_equal(find(60000), -1);
		restart();
	}
	trim(20);
	for (int run = 0; run < 2; run++) {
		assert_latest(39000, 38);
		assert_int_equal(find(25500), 25);
		assert_int_equal(find(45000), -1);
		restart();
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_time_is_found_behind_a_deleted_maximum),
	    TEST(a_time_is_found_where_a_batch_has_its_maximum_below_the_log_start),
	    TEST(the_latest_is_found_again_over_segments),
	};
	return cmocka_run_group_tests_name("time", tests, NULL, NULL);
}
