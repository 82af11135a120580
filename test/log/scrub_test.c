/* SPDX-License-Identifier: Apache-2.0 */
#include "log/base/metrics.h"
#include "log/engine.h"
#include "log/frame.h"
#include "log/scrub.h"
#include "test/lib/log_files.h"
#include "test/lib/log_lines.h"
#include "test/lib/patience.h"
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* A server whose scrubber reads 100 MB a second and rests 50 ms; filled by log_example_fill_t. */
static struct log_server server;
static struct log_files files;
enum { RECORDS = LOG_EXAMPLE_RECORDS, VALUE_BYTES = LOG_EXAMPLE_VALUE_BYTES };

static int setup(void **state)
{
	(void)state;
	log_server_init(&server);
	log_example_fill_t(&server);
	log_server_close(&server);
	files = (struct log_files){server.io, server.dir};
	server.options.scrub_bytes_per_second = 100000000;
	server.options.scrub_rest_ns = 50 * MS_NS;
	metrics_reset();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	log_server_release(&server);
	err_clear();
	return 0;
}

/* Turns the loop until the metric passes `value`. */
static void await(enum metric m, uint64_t value)
{
	int64_t until = io_clock_ns(server.io, IO_CLOCK_MONOTONIC) + PATIENCE_NS;
	while (metric_value(m) < value) {
		assert_true(io_clock_ns(server.io, IO_CLOCK_MONOTONIC) < until);
		assert_int_equal(loop_step(server.loop, 20 * MS_NS), ERR_OK);
	}
}

static void the_whole_log_is_read_again_and_again(void **state)
{
	(void)state;
	log_server_open(&server);
	await(METRIC_SCRUB_BYTES, 3 * (uint64_t)RECORDS * VALUE_BYTES);
	assert_int_equal(metric_value(METRIC_SCRUB_ERRORS), 0);
	assert_int_equal(log_server_status(&server, "t", 0).damaged, false);
	log_server_close(&server);
	assert_true(log_files_exist(&files, "scrub"));
	log_server_open(&server); /* stopped in the middle of a pass, and again */
}

static void the_rate_is_kept(void **state)
{
	(void)state;
	server.options.scrub_bytes_per_second = 400000;
	log_server_open(&server);
	int64_t began = io_clock_ns(server.io, IO_CLOCK_MONOTONIC);
	await(METRIC_SCRUB_BYTES, (uint64_t)RECORDS * VALUE_BYTES);
	int64_t took = io_clock_ns(server.io, IO_CLOCK_MONOTONIC) - began;
	/* all but the last piece, of at most one segment, have been waited for */
	assert_true(took > ((int64_t)RECORDS * VALUE_BYTES - 70000) * S_NS / 400000);
}

/* The page cache gives up what it has of an open file; 0 where it cannot, or nobody can tell. */
static size_t leave_cache(int fd, size_t len)
{
	assert_int_equal(fdatasync(fd), 0);
	assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	return io_uncached(server.io, fd, 0, len);
}

/* Who found it there would go on through the page cache. */
static void what_the_page_cache_does_not_have_stays_out_of_it(void **state)
{
	(void)state;
	uint64_t pass = 0;
	struct io_names names;
	assert_int_equal(io_list(server.io, log_files_path(&files, "topics/t-0"), &names), ERR_OK);
	const char *last = NULL;
	for (size_t i = 0; i < names.count; i++) {
		char name[64];
		snprintf(name, sizeof(name), "topics/t-0/%s", names.name[i]);
		if (!strstr(name, ".log"))
			continue;
		pass += log_files_size(&files, name);
		last = log_files_path(&files, name); /* that one is not sealed */
	}
	io_names_release(&names);
	int fd = open(last, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	size_t len = (size_t)lseek(fd, 0, SEEK_END);
	log_server_open(&server);
	await(METRIC_SCRUB_BYTES, pass); /* what a start reads has been read */
	size_t lacks = leave_cache(fd, len);
	await(METRIC_SCRUB_BYTES, metric_value(METRIC_SCRUB_BYTES) + 2 * pass);
	assert_true(io_uncached(server.io, fd, 0, len) >= lacks);
	close(fd);
	if (lacks < len)
		skip();
}

/* Until the pass that is under way has ended, and another. */
static void await_pass(void)
{
	uint32_t until = scrub_pass(server.log->scrub) + 2;
	int64_t patience = io_clock_ns(server.io, IO_CLOCK_MONOTONIC) + PATIENCE_NS;
	while (scrub_pass(server.log->scrub) < until) {
		assert_true(io_clock_ns(server.io, IO_CLOCK_MONOTONIC) < patience);
		assert_int_equal(loop_step(server.loop, 20 * MS_NS), ERR_OK);
	}
}

/*
 * Which piece is next is not looked for from the start again: a pass looks once at each segment and
 * each partition, in turns that are bounded. The topic of one record each has its partitions read,
 * the one without any is passed over, and what is made or deleted meanwhile is in nobody's way.
 */
static void what_is_next_is_not_looked_for_from_the_start(void **state)
{
	enum { SEGMENTS = 200, EMPTY = 700 };
	static const char *const each[] = {"segment.bytes=14", NULL};
	(void)state;
	server.options.scrub_rest_ns = MS_NS;
	server.options.scrub_bytes_per_second = 10 * (uint64_t)GIB;
	log_server_open(&server);
	log_server_create(&server, "segments", 1, each);
	log_server_create(&server, "empty", EMPTY, NULL);
	for (int i = 0; i < SEGMENTS; i++)
		log_server_append(&server, "segments", 0, "value");
	assert_true(log_server_status(&server, "segments", 0).segment_count >= SEGMENTS);
	await_pass();

	uint64_t all = log_server_status(&server, "t", 0).segment_count +
	               log_server_status(&server, "segments", 0).segment_count;
	size_t cursor = 0;
	for (struct log_partition *p; (p = map_next(&server.log->partitions, &cursor)); all++)
		if (p->topic->internal)
			all += p->segment_count;
	uint32_t pass = scrub_pass(server.log->scrub);
	uint64_t before = scrub_looks(server.log->scrub).all,
	         read = metric_value(METRIC_SCRUB_BYTES);
	await_pass();
	struct scrub_looks looks = scrub_looks(server.log->scrub);
	uint64_t passes = scrub_pass(server.log->scrub) - pass;
	assert_true(passes >= 2);
	assert_in_range(looks.all - before, (passes - 1) * all, (passes + 1) * all);
	assert_in_range(looks.most, 100, 256);
	assert_true(metric_value(METRIC_SCRUB_BYTES) - read >= (uint64_t)RECORDS * VALUE_BYTES);

	log_server_change(&server, LOG_TOPIC_DELETE, "segments", 0, NULL, NULL);
	log_server_create(&server, "segments", 3, each);
	log_server_append(&server, "segments", 2, "value");
	await_pass();
	assert_int_equal(metric_value(METRIC_SCRUB_ERRORS), 0);
}

static void rot_is_damage_and_the_rest_is_served(void **state)
{
	(void)state;
	int64_t base = log_files_base(&files, "t-0", 1);
	log_server_open(&server);
	await(METRIC_SCRUB_BYTES, (uint64_t)RECORDS * VALUE_BYTES);
	assert_false(log_server_status(&server, "t", 0).damaged);
	log_files_flip(&files, log_files_segment("t-0", base, ".log"),
	    SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES + 500, 4);
	await(METRIC_SCRUB_ERRORS, 1);
	assert_true(log_server_status(&server, "t", 0).damaged);
	struct log_status status;
	log_status(server.log, &status);
	assert_int_equal(status.damaged_partitions, 1); /* health goes red by it */
	assert_int_equal(log_server_read(&server, "t", 0, base + 1)[0], 'a' + base + 1);
	assert_int_equal(log_server_read(&server, "t", 0, 0)[0], 'a');
	assert_int_equal(metric_value(METRIC_REPAIRED_FRAMES), 0);
}

static void behind_a_bad_header_the_index_leads_on(void **state)
{
	(void)state;
	int64_t base = log_files_base(&files, "t-0", 1);
	const char *name = log_files_segment("t-0", base, ".log");
	log_server_open(&server);
	log_files_flip(&files, name, SEGMENT_HEADER_BYTES + 17, 1);
	log_files_flip(&files, name, log_files_size(&files, name) - 100, 1);
	await(METRIC_SCRUB_ERRORS, 2); /* both of one pass, or of two: see the next line */
	assert_true(metric_value(METRIC_SCRUB_BYTES) < 2 * (uint64_t)RECORDS * VALUE_BYTES);
}

static void what_the_journal_still_has_is_put_back(void **state)
{
	(void)state;
	static const char name[] = "topics/t-0/00000000000000000000.log";
	metrics_reset();
	log_server_open(&server);
	/* the first segment's frames went through the journal that is still there */
	log_files_flip(&files, name, SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES + 500, 4);
	log_files_flip(&files, name, SEGMENT_HEADER_BYTES + 8150 + 17, 1);
	await(METRIC_SCRUB_ERRORS, 2);
	assert_int_equal(metric_value(METRIC_REPAIRED_FRAMES), 2);
	assert_false(log_server_status(&server, "t", 0).damaged);
	for (int64_t offset = 0; offset < RECORDS; offset++)
		assert_int_equal(log_server_read(&server, "t", 0, offset)[0], 'a' + offset);
	assert_true(log_server_append(&server, "t", 0, "more") == RECORDS);
}

/* A fetch has met the places first: produce is refused until both are put back, not longer. */
static void with_what_was_bad_put_back_produce_goes_on(void **state)
{
	(void)state;
	static const char name[] = "topics/t-0/00000000000000000000.log";
	const char *value;
	int64_t offset;
	server.options.scrub_rest_ns = S_NS;
	log_server_open(&server);
	await_pass();
	metrics_reset();
	log_files_flip(&files, name, SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES + 500, 4);
	log_files_flip(&files, name, SEGMENT_HEADER_BYTES + 8150 + 17, 1);
	assert_int_equal(log_server_try_read(&server, "t", 0, 0, &value), ERR_CORRUPT);
	assert_int_equal(log_server_try_read(&server, "t", 0, 1, &value), ERR_CORRUPT);
	assert_true(log_server_status(&server, "t", 0).damaged);
	assert_int_equal(log_server_try_append(&server, "t", 0, "more", &offset), ERR_DAMAGED);
	await(METRIC_REPAIRED_FRAMES, 1);
	while (metric_value(METRIC_REPAIRED_FRAMES) < 2) {
		assert_true(log_server_status(&server, "t", 0).damaged);
		log_server_turn(&server);
	}
	assert_false(log_server_status(&server, "t", 0).damaged);
	assert_int_equal(log_server_append(&server, "t", 0, "more"), RECORDS);
	log_server_close(&server);
	assert_false(log_files_exist(&files, "topics/t-0/damaged"));
}

/* What a start has found is not part of its ends and links: until the next one. */
static void what_a_start_found_stays_until_the_next(void **state)
{
	(void)state;
	static const char name[] = "topics/t-0/00000000000000000000.log";
	server.options.scrub_bytes_per_second = 0;
	log_server_open(&server);
	const char *value;
	int64_t offset;
	log_files_flip(&files, name, SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES + 500, 4);
	assert_int_equal(log_server_try_read(&server, "t", 0, 0, &value), ERR_CORRUPT);
	log_server_close(&server);
	assert_true(log_files_exist(&files, "topics/t-0/damaged"));
	server.options.scrub_bytes_per_second = 100000000;
	log_server_open(&server);
	await(METRIC_REPAIRED_FRAMES, 1);
	assert_int_equal(log_server_try_append(&server, "t", 0, "more", &offset), ERR_DAMAGED);
	log_server_close(&server);
	log_server_open(&server);
	assert_int_equal(log_server_append(&server, "t", 0, "more"), RECORDS);
}

/* Takes the journal's copies away: laps of other records. */
static int setup_without_journal(void **state)
{
	setup(state);
	for (int i = 0; i < 4; i++) {
		char name[40];
		snprintf(name, sizeof(name), "journal/journal-%d", i);
		uint64_t size = log_files_size(&files, name);
		log_files_resize(&files, name, 4096);
		log_files_resize(&files, name, size);
	}
	return 0;
}

#define TEST(fn)      cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define TEST_GONE(fn) cmocka_unit_test_setup_teardown(fn, setup_without_journal, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(the_whole_log_is_read_again_and_again),
	    TEST(the_rate_is_kept),
	    TEST(what_the_page_cache_does_not_have_stays_out_of_it),
	    TEST(what_is_next_is_not_looked_for_from_the_start),
	    TEST_GONE(rot_is_damage_and_the_rest_is_served),
	    TEST_GONE(behind_a_bad_header_the_index_leads_on),
	    TEST(what_the_journal_still_has_is_put_back),
	    TEST(with_what_was_bad_put_back_produce_goes_on),
	    TEST(what_a_start_found_stays_until_the_next),
	};
	diag_set_level(DIAG_ERROR);
	return cmocka_run_group_tests_name("scrub", tests, NULL, NULL);
}
