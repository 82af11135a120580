/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known to be damaged stays known: whoever found it, over clean stops and kills, until the
 * bytes verify again. Reads that the disk fails are counted, and make the log say so.
 */
#include "log/base/metrics.h"
#include "log/frame.h"
#include "test/lib/log_files.h"
#include "test/lib/log_lines.h"
#include "test/lib/log_fixture.h"
#include "test/lib/sim_io.h"
#include "test/lib/patience.h"
#include <stdio.h>

/* Filled by log_example_fill_t. */
static struct log_server server;
static struct log_files files;
enum { RECORDS = LOG_EXAMPLE_RECORDS };
#define LIST "topics/t-0/damaged"

static int setup(void **state)
{
	(void)state;
	log_server_init(&server);
	log_example_fill_t(&server);
	log_server_close(&server);
	files = (struct log_files){server.io, server.dir};
	for (int i = 0; i < 4; i++) { /* the journal's copies go */
		char name[40];
		snprintf(name, sizeof(name), "journal/journal-%d", i);
		uint64_t size = log_files_size(&files, name);
		log_files_resize(&files, name, 4096);
		log_files_resize(&files, name, size);
	}
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

static void flip(void)
{
	int64_t base = log_files_base(&files, "t-0", 1);
	log_files_flip(&files, log_files_segment("t-0", base, ".log"),
	    SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES + 500, 4);
}

static void was_read(struct log_read *req)
{
	*(bool *)req->user = true;
}

/* Reads the first record of the second segment. */
static enum err read_it(void)
{
	bool done = false;
	const struct log_topic *t = log_server_topic(&server, "t");
	struct log_read req = {.partition = log_partition_find(server.log, t, 0),
	    .offset = log_files_base(&files, "t-0", 1),
	    .max_bytes = 1,
	    .user = &done,
	    .done = was_read};
	log_read(server.log, &req);
	while (!done)
		log_server_turn(&server);
	enum err e = req.err;
	log_read_release(&req);
	return e;
}

static bool damaged(void)
{
	return log_server_status(&server, "t", 0).damaged;
}

static void await_list(bool there)
{
	int64_t until = io_clock_ns(server.io, IO_CLOCK_MONOTONIC) + PATIENCE_NS;
	while (log_files_exist(&files, LIST) != there &&
	       io_clock_ns(server.io, IO_CLOCK_MONOTONIC) < until)
		assert_int_equal(loop_step(server.loop, 10 * MS_NS), ERR_OK);
	assert_int_equal(log_files_exist(&files, LIST), there);
}

static void assert_blocked(void)
{
	int64_t offset;
	assert_true(damaged());
	assert_int_equal(log_server_try_append(&server, "t", 0, "x", &offset), ERR_DAMAGED);
	assert_int_equal(log_server_read(&server, "t", 0, 0)[0], 'a'); /* the rest is served */
	assert_int_equal(log_server_read(&server, "t", 0, RECORDS - 1)[0], 'a' + RECORDS - 1);
}

/* ---- who has found it ------------------------------------------------------------------------- */

static void what_a_fetch_has_found_is_known_to_the_next_start(void **state)
{
	(void)state;
	log_server_open(&server);
	flip();
	assert_false(damaged());
	assert_int_equal(read_it(), ERR_CORRUPT);
	assert_blocked();
	log_server_close(&server); /* at once */
	for (int i = 0; i < 2; i++) {
		log_server_open(&server);
		assert_blocked();
		log_server_close(&server);
	}
}

static void what_a_fetch_has_found_is_known_after_a_kill(void **state)
{
	(void)state;
	log_server_open(&server);
	flip();
	assert_int_equal(read_it(), ERR_CORRUPT);
	await_list(true);
	log_server_crash(&server);
	files.dir = server.dir;
	assert_blocked();
}

static void what_the_scrubber_has_found_is_known_to_the_next_start(void **state)
{
	(void)state;
	server.options.scrub_bytes_per_second = 100000000;
	server.options.scrub_rest_ns = 50 * MS_NS;
	log_server_open(&server);
	flip();
	await_list(true);
	assert_blocked();
	log_server_close(&server);
	server.options.scrub_bytes_per_second = 0;
	log_server_open(&server);
	assert_blocked();
}

/* The index that it makes has the place in it: the start after reads no frame. */
static void what_a_start_has_found_is_known_to_the_next_one(void **state)
{
	(void)state;
	int64_t base = log_files_base(&files, "t-0", 1);
	flip();
	log_files_unlink(&files, log_files_segment("t-0", base, ".idx"));
	log_server_open(&server);
	assert_blocked();
	log_server_close(&server);
	assert_true(log_files_exist(&files, log_files_segment("t-0", base, ".idx")));
	log_server_open(&server);
	assert_blocked();
}

/* Where the last frame of a segment file begins. */
static uint64_t last_frame(const char *name)
{
	uint8_t head[FRAME_HEADER_BYTES];
	uint64_t size = log_files_size(&files, name), pos = SEGMENT_HEADER_BYTES, last = pos;
	int fd;
	assert_int_equal(
	    io_open(server.io, log_files_path(&files, name), IO_READONLY, &fd), ERR_OK);
	for (; pos < size; pos += FRAME_HEADER_BYTES + get_u32_le(head + 8)) {
		last = pos;
		assert_int_equal(io_pread_all(server.io, fd, head, sizeof(head), pos), ERR_OK);
	}
	assert_int_equal(io_close(server.io, fd), ERR_OK);
	return last;
}

/* Nothing but the checkpoint record says where it ends, and that is exact: no lost suffix. */
static void a_bad_header_at_the_very_end_is_damage_of_its_partition(void **state)
{
	(void)state;
	int64_t base = log_files_base(&files, "t-0", 3);
	const char *name = log_files_segment("t-0", base, ".log");
	log_files_flip(&files, name, last_frame(name) + 17, 1);
	for (int i = 0; i < 2; i++) {
		int64_t offset;
		log_server_open(&server);
		assert_true(damaged());
		assert_int_equal(log_server_status(&server, "t", 0).log_end, RECORDS);
		assert_int_equal(log_server_try_append(&server, "t", 0, "x", &offset), ERR_DAMAGED);
		assert_int_equal(
		    log_server_read(&server, "t", 0, RECORDS - 2)[0], 'a' + RECORDS - 2);
		log_server_close(&server);
	}
	log_server_open(&server); /* the others go on */
	log_server_create(&server, "u", 1, NULL);
	assert_true(log_server_append(&server, "u", 0, "x") == 0);
}

/* ---- its end ---------------------------------------------------------------------------------- */

static void what_verifies_again_is_no_damage(void **state)
{
	(void)state;
	log_server_open(&server);
	flip();
	assert_int_equal(read_it(), ERR_CORRUPT);
	log_server_close(&server);
	assert_true(log_files_exist(&files, LIST));
	flip(); /* from a backup */
	log_server_open(&server);
	assert_false(damaged());
	assert_int_equal(read_it(), ERR_OK);
	assert_true(log_server_append(&server, "t", 0, "more") == RECORDS);
	await_list(false);
}

static void nothing_is_written_where_nothing_is_damaged(void **state)
{
	(void)state;
	log_server_open(&server);
	log_server_append(&server, "t", 0, "more");
	log_server_close(&server);
	assert_false(log_files_exist(&files, LIST));
}

/* It said that there was something. */
static void a_list_that_does_not_verify_counts(void **state)
{
	(void)state;
	log_server_open(&server);
	flip();
	assert_int_equal(read_it(), ERR_CORRUPT);
	log_server_close(&server);
	uint64_t size = log_files_size(&files, LIST);
	assert_int_equal(size, 96);
	log_files_flip(&files, LIST, 40, 1);
	for (int i = 0; i < 3; i++) {
		log_server_open(&server);
		assert_blocked();
		log_server_close(&server);
	}
	log_files_resize(&files, LIST, 50);
	log_server_open(&server);
	assert_blocked();
	assert_int_equal(read_it(), ERR_CORRUPT); /* found again: the list is written anew */
	log_server_close(&server);
	assert_int_equal(log_files_size(&files, LIST), 96);
}

static void a_topic_may_go_on_taking_records(void **state)
{
	static const char *const on[] = {
	    "segment.bytes=65536", "kappa.damaged.writable=true", NULL};
	(void)state;
	log_server_open(&server);
	flip();
	assert_int_equal(read_it(), ERR_CORRUPT);
	assert_blocked();
	assert_int_equal(
	    log_server_change(&server, LOG_TOPIC_SET_CONFIG, "t", 0, on, NULL), ERR_OK);
	assert_true(log_server_append(&server, "t", 0, "more") == RECORDS);
	log_server_restart(&server);
	assert_true(damaged());
	assert_true(log_server_append(&server, "t", 0, "more") == RECORDS + 1);
	assert_int_equal(read_it(), ERR_CORRUPT);
}

/* ---- a disk that does not read ---------------------------------------------------------------- */

static struct log_fixture f;

static uint32_t unread(void)
{
	struct log_status status;
	log_status(f.log, &status);
	return status.unread_partitions;
}

static void a_read_that_the_disk_fails_is_counted_and_told(void **state)
{
	(void)state;
	struct sim_disk *disk = sim_disk_new(0);
	struct sim_options o = {.seed = 1};
	struct io *io;
	struct log_read r;
	metrics_reset();
	assert_ok(sim_io_new(disk, &o, &io));
	log_fixture_init_io(&f, io, "/data");
	f.options.scrub_bytes_per_second = 1000000;
	f.options.scrub_rest_ns = 5 * S_NS;
	assert_ok(log_fixture_open(&f));
	log_put_ok(&f, 0, 0, 1, 1, 30);
	assert_int_equal(unread(), 0);
	sim_io_fault(
	    io, (struct sim_fault){
	            .calls = SIM_CALL_READ, .nth = 1, .count = 1, .sys_errno = 5 /* EIO */});
	assert_int_equal(log_read_wait(&f, 0, 0, 0, 1, &r), ERR_IO);
	assert_int_equal(sim_io_fault_hits(io), 1);
	log_read_release(&r);
	assert_int_equal(metric_value(METRIC_READ_ERRORS), 1);
	assert_int_equal(unread(), 1);
	assert_false(f.partitions[0][0]->damaged);
	log_put_ok(&f, 0, 0, 2, 1, 30); /* it goes on */
	assert_ok(log_read_wait(&f, 0, 0, 0, 1, &r));
	log_read_release(&r);
	assert_int_equal(unread(), 1); /* one that works says nothing of the disk */
	for (int i = 0; i < 10000 && unread() > 0; i++)
		log_fixture_turn(&f);
	assert_int_equal(unread(), 0); /* the scrubber has read all of it */
	log_fixture_release(&f);
	io_free(io);
	sim_disk_free(disk);
}

static void a_scan_that_the_disk_fails_is_counted_and_told(void **state)
{
	(void)state;
	struct sim_disk *disk = sim_disk_new(0);
	struct sim_options o = {.seed = 1};
	struct log_batch_view v;
	struct log_scan *scan;
	struct io *io;
	uint64_t stable;
	metrics_reset();
	assert_ok(sim_io_new(disk, &o, &io));
	log_fixture_init_io(&f, io, "/data");
	assert_ok(log_fixture_open(&f));
	log_put_ok(&f, 0, 0, 1, 1, 30);
	struct log_scan_source source = {f.topics[0].id, 0, 0};
	assert_ok(log_scan_open(f.log, &source, 1, &scan));
	/* the second read: the first is of the segment's header, which nobody needs */
	sim_io_fault(
	    io, (struct sim_fault){
	            .calls = SIM_CALL_READ, .nth = 2, .count = 1, .sys_errno = 5 /* EIO */});
	assert_int_equal(log_scan_next(scan, &v, &stable), ERR_IO);
	assert_int_equal(sim_io_fault_hits(io), 1);
	assert_int_equal(metric_value(METRIC_READ_ERRORS), 1);
	assert_int_equal(unread(), 1);
	assert_ok(log_scan_next(scan, &v, &stable)); /* tried again */
	assert_int_equal(v.base_offset, 0);
	assert_int_equal(metric_value(METRIC_READ_ERRORS), 1);
	log_scan_close(scan);
	log_fixture_release(&f);
	io_free(io);
	sim_disk_free(disk);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(what_a_fetch_has_found_is_known_to_the_next_start),
	    TEST(what_a_fetch_has_found_is_known_after_a_kill),
	    TEST(what_the_scrubber_has_found_is_known_to_the_next_start),
	    TEST(what_a_start_has_found_is_known_to_the_next_one),
	    TEST(a_bad_header_at_the_very_end_is_damage_of_its_partition),
	    TEST(what_verifies_again_is_no_damage),
	    TEST(nothing_is_written_where_nothing_is_damaged),
	    TEST(a_list_that_does_not_verify_counts),
	    TEST(a_topic_may_go_on_taking_records),
	    cmocka_unit_test(a_read_that_the_disk_fails_is_counted_and_told),
	    cmocka_unit_test(a_scan_that_the_disk_fails_is_counted_and_told),
	};
	diag_set_level(DIAG_ERROR);
	return cmocka_run_group_tests_name("damage", tests, NULL, NULL);
}
