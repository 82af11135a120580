/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An end that is lost: refused until somebody accepts it, named then (I1), and nothing that speaks
 * of it comes back to life.
 */
#include "log/catalog_row.h"
#include "log/engine.h"
#include "log/gap.h"
#include "test/lib/log_files.h"
#include "test/lib/log_fixture.h"
#include "test/lib/log_lines.h"
#include <stdio.h>

static struct log_server server;
static struct log_files files;
enum { RECORDS = 20, LEFT = 15, START = 18 };

#define SEGMENT "topics/t-0/00000000000000000000.log"

static int setup(void **state)
{
	(void)state;
	log_server_init(&server);
	files = (struct log_files){server.io, server.dir};
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	log_server_release(&server);
	err_clear();
	return 0;
}

/* ---- steps ----------------------------------------------------------------------------------- */

struct trim_call {
	struct log_trim req;
	bool done;
};

static void trim_done(struct log_trim *req)
{
	CONTAINER_OF(req, struct trim_call, req)->done = true;
}

static struct log_partition *partition(void)
{
	return log_partition_find(server.log, log_server_topic(&server, "t"), 0);
}

static void trim(int64_t offset)
{
	struct trim_call call = {
	    .req = {.partition = partition(), .offset = offset, .done = trim_done}};
	log_trim(server.log, &call.req);
	while (!call.done)
		log_server_turn(&server);
	assert_int_equal(call.req.err, ERR_OK);
}

/* Where frame number n of the segment begins. */
static uint64_t frame_at(uint64_t n)
{
	uint64_t pos = SEGMENT_HEADER_BYTES;
	int fd;
	assert_int_equal(
	    io_open(server.io, log_files_path(&files, SEGMENT), IO_READONLY, &fd), ERR_OK);
	while (n-- > 0) {
		uint8_t raw[FRAME_HEADER_BYTES];
		assert_int_equal(io_pread_all(server.io, fd, raw, sizeof(raw), pos), ERR_OK);
		pos += FRAME_HEADER_BYTES + get_u32_le(raw + 8);
	}
	assert_int_equal(io_close(server.io, fd), ERR_OK);
	return pos;
}

/* Records in t, as many of another topic between them; then the stop, and t lacks its end. */
static void lose(int64_t log_start, uint64_t left)
{
	log_server_create(&server, "t", 1, NULL);
	log_server_create(&server, "u", 1, NULL);
	for (int i = 0; i < RECORDS; i++) {
		log_server_append(&server, "t", 0, "value");
		log_server_append(&server, "u", 0, "value");
	}
	if (log_start > 0)
		trim(log_start);
	log_server_close(&server);
	log_files_resize(&files, SEGMENT, frame_at(left));
}

static enum err try_open(void)
{
	struct loop *loop;
	struct log *log;
	server.options.data_dir = server.dir;
	assert_int_equal(loop_new(server.io, 1, &loop), ERR_OK);
	enum err e = log_open(loop, &server.options, &log);
	if (e == ERR_OK)
		log_close(log);
	loop_free(loop);
	return e;
}

static void accept(void)
{
	assert_int_equal(try_open(), ERR_LOST_SUFFIX);
	assert_int_equal(try_open(), ERR_LOST_SUFFIX); /* which is not forgotten */
	server.options.accept_lost_suffix = "test";
	log_server_open(&server);
	server.options.accept_lost_suffix = NULL;
}

static enum err fsck(void)
{
	struct log_fsck_options options = {0};
	log_lines_clear();
	return log_fsck(server.io, server.dir, &options, log_lines_collect, NULL);
}

static enum err rebuild(void)
{
	const struct log_fsck_options options = {.journal_bytes = JOURNAL_BYTES_MIN};
	log_files_unlink_directory(&files, "journal");
	log_lines_clear();
	return log_rebuild_journal(server.io, server.dir, &options, log_lines_collect, NULL);
}

/* Nothing is told of a loss that has been accepted, whatever the next stop is. */
static void check_goes_on(int64_t end)
{
	struct log_partition_status st = log_server_status(&server, "t", 0);
	assert_int_equal(st.log_end, end);
	uint32_t epoch = st.leader_epoch;
	log_server_kill(&server); /* before a checkpoint of what is in segments */
	files.dir = server.dir;
	for (int64_t n = 0; n < 4; n++) {
		assert_int_equal(fsck(), ERR_OK);
		log_lines_say_not("verdict=GAP");
		log_lines_say_not("verdict=LOST_SUFFIX");
		log_server_open(&server);
		st = log_server_status(&server, "t", 0);
		assert_int_equal(st.log_end, end + n / 2);
		assert_int_equal(st.leader_epoch, epoch);
		if (n % 2) {
			assert_int_equal(log_server_append(&server, "t", 0, "more"), end + n / 2);
			assert_string_equal(log_server_read(&server, "t", 0, end + n / 2), "more");
		}
		log_server_close(&server);
	}
}

/* ---- an accepted loss ------------------------------------------------------------------------ */

static void an_accepted_loss_names_offsets_and_sequences(void **state)
{
	(void)state;
	lose(0, LEFT);
	assert_int_equal(fsck(), ERR_CORRUPT);
	log_lines_say("verdict=LOST_SUFFIX partition=t-0");
	accept();
	assert_true(gap_is_named(server.log, partition()->key, LEFT, RECORDS));
	assert_false(gap_is_named(server.log, partition()->key, LEFT, RECORDS + 1));
	assert_false(gap_is_named(server.log, partition()->key, LEFT + 1, RECORDS));
	assert_int_equal(log_server_status(&server, "t", 0).leader_epoch, 1);
	assert_int_equal(log_server_status(&server, "u", 0).leader_epoch, 0);
	check_goes_on(LEFT);
	assert_int_equal(fsck(), ERR_OK);
	log_lines_say(" missing=5 in_holes=5 named=5 deleted_or_lost=0");
}

/* Accepted by a start that did not come as far as naming it: the next one knows it still. */
static void a_loss_is_missed_until_it_is_named(void **state)
{
	struct loop *loop;
	struct log *log;
	(void)state;
	lose(0, LEFT);
	server.options.data_dir = server.dir;
	server.options.accept_lost_suffix = "test";
	for (int i = 0; i < 2; i++) {
		assert_int_equal(loop_new(server.io, 1, &loop), ERR_OK);
		assert_int_equal(engine_open(loop, &server.options, &log), ERR_OK);
		engine_close(log);
		loop_free(loop);
	}
	server.options.accept_lost_suffix = NULL;
	assert_int_equal(fsck(), ERR_CORRUPT);
	log_lines_say("verdict=LOST_SUFFIX partition=t-0 log_end=20 found=15");
	accept();
	assert_true(gap_is_named(server.log, partition()->key, LEFT, RECORDS));
	check_goes_on(LEFT);
}

static void a_lost_directory_is_named_when_it_is_accepted(void **state)
{
	(void)state;
	lose(0, LEFT);
	log_files_unlink_directory(&files, "topics/t-0");
	accept();
	assert_true(gap_is_named(server.log, partition()->key, 0, RECORDS));
	assert_int_equal(log_server_status(&server, "t", 0).leader_epoch, 1);
	check_goes_on(0);
	assert_int_equal(fsck(), ERR_OK);
	log_lines_say(" missing=20 in_holes=20 named=20 deleted_or_lost=0");
}

/* ---- snapshots of producers ------------------------------------------------------------------ */

#define SNAP "topics/t-0/00000000000000000000.snap"

static void produced(struct log_append *req)
{
	*(bool *)req->user = true;
}

/* Batches of producer 7 in t, which a snapshot knows; then their end is gone. */
static void lose_of_producer(void)
{
	log_server_create(&server, "t", 1, NULL);
	for (int32_t i = 0; i < RECORDS; i++) {
		bool done = false;
		size_t len;
		uint8_t *batch = log_batch_from(7, 0, i, (uint64_t)i + 1, 1, &len);
		struct log_append req = {.partition = partition(),
		    .batch = batch,
		    .batch_len = len,
		    .user = &done,
		    .done = produced};
		struct log_append *reqs = &req;
		log_append(server.log, &reqs, 1, false);
		while (!done)
			log_server_turn(&server);
		assert_int_equal(req.err, ERR_OK);
		mem_free(batch);
	}
	log_server_close(&server);
	log_files_resize(&files, SEGMENT, frame_at(LEFT));
	assert_true(log_files_exist(&files, SNAP));
}

static void an_accepted_loss_leaves_no_snapshot_of_it(void **state)
{
	(void)state;
	lose_of_producer();
	assert_int_equal(try_open(), ERR_LOST_SUFFIX);
	assert_true(log_files_exist(&files, SNAP)); /* the end may be restored */
	accept();
	assert_false(log_files_exist(&files, SNAP));
	check_goes_on(LEFT);
}

static void a_rebuild_leaves_no_snapshot_of_a_lost_end(void **state)
{
	(void)state;
	lose_of_producer();
	assert_int_equal(rebuild(), ERR_OK);
	assert_false(log_files_exist(&files, SNAP));
	log_server_open(&server);
	assert_int_equal(log_server_append(&server, "t", 0, "more"), LEFT);
}

/* ---- a log start behind the end that is left --------------------------------------------------- */

static void an_end_below_the_log_start_is_accepted(void **state)
{
	(void)state;
	lose(START, LEFT);
	assert_int_equal(fsck(), ERR_CORRUPT);
	log_lines_say("verdict=LOST_SUFFIX partition=t-0 segment=0");
	accept();
	assert_true(gap_is_named(server.log, partition()->key, LEFT, RECORDS));
	assert_int_equal(log_server_status(&server, "t", 0).log_start, START);
	check_goes_on(START);
}

static void an_end_below_the_log_start_is_told_where_no_record_knows_it(void **state)
{
	(void)state;
	lose(START, LEFT);
	assert_int_equal(rebuild(), ERR_CORRUPT);
	log_lines_say("verdict=LOST_SUFFIX partition=t-0 log_start=18 found=15");
	assert_int_equal(fsck(), ERR_CORRUPT);
	log_lines_say("verdict=LOST_SUFFIX partition=t-0 log_start=18 found=15");
	accept();
	assert_true(gap_is_named(server.log, partition()->key, LEFT, START));
	check_goes_on(START);
}

/* Not one frame is left in the last segment: the next one begins at the log start all the same. */
static void an_empty_segment_below_the_log_start_is_passed_over(void **state)
{
	for (int without_record = 0; without_record < 2; without_record++) {
		lose(START, 0);
		if (without_record)
			assert_int_equal(rebuild(), ERR_CORRUPT);
		accept();
		check_goes_on(START);
		log_server_open(&server);
		assert_int_equal(partition_segment(partition(), 0)->base_offset, START);
		log_server_close(&server);
		assert_false(log_files_exist(&files, SEGMENT)); /* below the log start */
		assert_int_equal(teardown(state), 0);
		assert_int_equal(setup(state), 0);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(an_accepted_loss_names_offsets_and_sequences),
	    TEST(a_loss_is_missed_until_it_is_named),
	    TEST(a_lost_directory_is_named_when_it_is_accepted),
	    TEST(an_accepted_loss_leaves_no_snapshot_of_it),
	    TEST(a_rebuild_leaves_no_snapshot_of_a_lost_end),
	    TEST(an_end_below_the_log_start_is_accepted),
	    TEST(an_end_below_the_log_start_is_told_where_no_record_knows_it),
	    TEST(an_empty_segment_below_the_log_start_is_passed_over),
	};
	return cmocka_run_group_tests_name("loss", tests, NULL, NULL);
}
