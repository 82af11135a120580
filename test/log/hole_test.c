/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bad frame header behind a hole that compaction has left: who walks over the file passes over
 * the hole first, and must not take what is behind it for a frame that it was given.
 */
#include "log/engine.h"
#include "log/partition.h"
#include "test/lib/keyed_log.h"
#include "test/lib/test.h"

static struct keyed_log k;

/* Offsets 0 to 3 are a hole, 4 is the newest that compaction has seen of its key. */
static int setup(void **state)
{
	static const char *const configs[] = {
	    "cleanup.policy=compact", "min.cleanable.dirty.ratio=0.0", NULL};
	(void)state;
	keyed_init(&k, 1, false);
	keyed_create(&k, "t", 1 << 20, configs);
	for (int i = 0; i < 5; i++)
		keyed_put(&k, "t", "a", "old");
	keyed_put(&k, "t", "u", "behind it");
	partition_roll(keyed_partition(&k, "t"));
	keyed_put(&k, "t", "a", "new");
	keyed_sleep(&k, S_NS);
	keyed_compact(&k);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	keyed_release(&k);
	return 0;
}

/* A bit of the header of the frame behind the hole. */
static void flip(void)
{
	struct log_partition *p = keyed_partition(&k, "t");
	struct segment *s = partition_segment(p, 0);
	char path[LOG_PATH_MAX], name[SEGMENT_NAME_BYTES];
	uint8_t raw[FRAME_HEADER_BYTES];
	struct frame f;
	int fd;
	assert_int_equal(s->file_generation, 1);
	assert_int_equal(partition_path(p, segment_file_name(s, ".log", name), path), ERR_OK);
	assert_int_equal(io_open(k.io, path, 0, &fd), ERR_OK);
	assert_int_equal(io_pread_all(k.io, fd, raw, sizeof(raw), SEGMENT_HEADER_BYTES), ERR_OK);
	assert_int_equal(frame_decode(raw, s->seed, &f), ERR_OK);
	assert_true(f.flags & FRAME_HOLE);
	assert_int_equal(f.last_offset_delta, 3);
	uint64_t at = SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES + f.length + 20;
	assert_int_equal(io_pread_all(k.io, fd, raw, 1, at), ERR_OK);
	raw[0] ^= 4;
	assert_int_equal(io_pwrite(k.io, fd, raw, 1, at), ERR_OK);
	assert_int_equal(io_close(k.io, fd), ERR_OK);
}

/* What was asked for up to the bad batch's end is missing, and what is behind it is there. */
static void check_scan(void)
{
	struct log_scan *scan;
	struct log_batch_view v;
	uint64_t stable;
	struct log_partition *p = keyed_partition(&k, "t");
	struct log_scan_source source = {p->key.topic_id, 0, 0};
	assert_int_equal(log_scan_open(k.log, &source, 1, &scan), ERR_OK);
	assert_int_equal(log_scan_next(scan, &v, &stable), ERR_CORRUPT);
	assert_int_equal(v.base_offset, 0);
	assert_int_equal(v.end_offset, 5);
	assert_true(v.sequence > 0);
	uint64_t last = v.sequence;
	for (int64_t offset = 5; offset < 7; offset++) {
		assert_int_equal(log_scan_next(scan, &v, &stable), ERR_OK);
		assert_int_equal(v.base_offset, offset);
		assert_true(v.sequence > last);
		last = v.sequence;
	}
	assert_int_equal(log_scan_next(scan, &v, &stable), ERR_AGAIN);
	log_scan_close(scan);
	err_clear();
}

/* It was named twice: as one offset with sequence 0, and as it is. */
static void a_bad_header_behind_a_hole_is_one_damaged_range(void **state)
{
	(void)state;
	flip();
	check_scan();
}

static void take_line(void *ctx, struct str line)
{
	(void)ctx, (void)line;
}

/* Only the index knows where the next frame is: what it says of the bad one was made up anew. */
static void the_index_of_such_a_segment_is_left_as_it_is(void **state)
{
	struct log_fsck_options options = {.repair_caches = true};
	(void)state;
	flip();
	keyed_close(&k);
	assert_int_equal(
	    log_fsck(k.io, k.options.data_dir, &options, take_line, NULL), ERR_CORRUPT);
	err_clear();
	keyed_open(&k);
	check_scan();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
	        a_bad_header_behind_a_hole_is_one_damaged_range, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        the_index_of_such_a_segment_is_left_as_it_is, setup, teardown),
	};
	return cmocka_run_group_tests_name("log/hole_test", tests, NULL, NULL);
}
