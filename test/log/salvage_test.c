/* SPDX-License-Identifier: Apache-2.0 */
#include "log/catalog.h"
#include "log/frame.h"
#include "test/lib/log_files.h"
#include "test/lib/log_lines.h"
#include "test/lib/tempdir.h"
#include <stdio.h>
#include <stdlib.h>

/*
 * A directory with topic `t` of one partition in four segments and topic `u` of two partitions.
 * Each test harms it, salvages it, and lets a server open what came out.
 */
static struct log_server server, copy;
static struct log_files files;
static char *out_parent;
static struct log_salvage_result result;
enum { RECORDS = LOG_EXAMPLE_RECORDS };

static const char *out_dir(void)
{
	static char path[4096];
	snprintf(path, sizeof(path), "%s/out", out_parent);
	return path;
}

static enum err salvage(void)
{
	const struct log_fsck_options options = {0};
	log_lines_clear();
	return log_salvage(
	    server.io, server.dir, out_dir(), &options, log_lines_collect, NULL, &result);
}

static enum err fsck_out(void)
{
	const struct log_fsck_options options = {0};
	log_lines_clear();
	return log_fsck(server.io, out_dir(), &options, log_lines_collect, NULL);
}

/* The salvaged directory, served. */
static void open_out(void)
{
	tempdir_remove(copy.dir);
	copy.dir = strdup(out_dir());
	copy.options.data_dir = copy.dir;
	log_server_open(&copy);
}

static int setup(void **state)
{
	(void)state;
	log_server_init(&server);
	log_server_init(&copy);
	out_parent = tempdir_new();
	log_example_fill(&server);
	log_server_append(&server, "u", 1, "two");
	log_server_close(&server);
	files = (struct log_files){server.io, server.dir};
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	log_server_release(&server);
	log_server_release(&copy);
	tempdir_remove(out_parent);
	err_clear();
	return 0;
}

/* Every offset of t-0 but [from, to) has its value; reading in the hole gives what follows it. */
static void check_values(int64_t from, int64_t to)
{
	for (int64_t offset = 0; offset < RECORDS; offset++) {
		if (offset >= from && offset < to)
			continue;
		const char *value = log_server_read(&copy, "t", 0, offset);
		assert_non_null(value);
		assert_int_equal(value[0], 'a' + offset);
	}
}

static void what_is_whole_comes_out_whole(void **state)
{
	(void)state;
	uint64_t before = log_files_hash(&files);
	assert_int_equal(salvage(), ERR_OK);
	assert_true(log_files_hash(&files) == before);
	assert_int_equal(result.holes, 0);
	assert_int_equal(result.frames, 28); /* and the catalog's two */
	assert_int_equal(fsck_out(), ERR_OK);
	log_lines_say(" findings=0");
	open_out();
	check_values(0, 0);
	assert_string_equal(log_server_read(&copy, "u", 1, 1), "two");
	assert_int_equal(log_server_append(&copy, "t", 0, "more"), RECORDS);
	assert_int_equal(log_server_append(&copy, "u", 1, "more"), 2);
	log_server_restart(&copy);
	assert_string_equal(log_server_read(&copy, "t", 0, RECORDS), "more");
	check_values(0, 0);
	log_server_close(&copy);
	assert_int_equal(fsck_out(), ERR_OK);
	log_lines_say(" findings=0");
}

static void check_hole(int64_t from, int64_t to)
{
	char want[200];
	snprintf(want, sizeof(want),
	    "verdict=GAP partition=t-0 first_offset=%lld last_offset=%lld ", (long long)from,
	    (long long)to - 1);
	log_lines_say(want);
	assert_int_equal(result.holes, 1);
	assert_int_equal(result.lost_offsets, to - from);
	assert_int_equal(fsck_out(), ERR_OK);
	log_lines_say(" findings=0");
	open_out();
	check_values(from, to);
	struct log_partition_status status = log_server_status(&copy, "t", 0);
	assert_int_equal(status.leader_epoch, 1);
	assert_false(status.damaged);
	assert_int_equal(status.log_start, 0);
	assert_int_equal(log_server_append(&copy, "t", 0, "more"), RECORDS);
}

static void a_bad_body_is_a_hole_of_one_batch(void **state)
{
	(void)state;
	int64_t base = log_files_base(&files, "t-0", 1);
	log_files_flip(&files, log_files_segment("t-0", base, ".log"),
	    SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES + 500, 4);
	uint64_t before = log_files_hash(&files);
	assert_int_equal(salvage(), ERR_OK);
	assert_true(log_files_hash(&files) == before);
	log_lines_say("verdict=DAMAGED partition=t-0");
	check_hole(base, base + 1);
}

static void a_bad_frame_header_is_a_hole_of_one_batch(void **state)
{
	(void)state;
	int64_t base = log_files_base(&files, "t-0", 2);
	log_files_flip(
	    &files, log_files_segment("t-0", base, ".log"), SEGMENT_HEADER_BYTES + 17, 1);
	assert_int_equal(salvage(), ERR_OK);
	check_hole(base, base + 1);
}

static void a_bad_segment_header_is_a_hole_of_the_segment(void **state)
{
	(void)state;
	for (size_t n = 0; n < 2; n++) { /* the first one, too */
		int64_t from = log_files_base(&files, "t-0", n),
		        to = log_files_base(&files, "t-0", n + 1);
		const char *name = log_files_segment("t-0", from, ".log");
		log_files_flip(&files, name, 40, 1);
		assert_int_equal(salvage(), ERR_OK);
		check_hole(from, to);
		log_files_flip(&files, name, 40, 1);
		log_server_release(&copy);
		log_server_init(&copy);
	}
}

static void a_missing_segment_is_a_hole(void **state)
{
	(void)state;
	int64_t from = log_files_base(&files, "t-0", 1), to = log_files_base(&files, "t-0", 2);
	log_files_unlink(&files, log_files_segment("t-0", from, ".log"));
	assert_int_equal(salvage(), ERR_OK);
	check_hole(from, to);
}

static void the_offsets_of_a_lost_end_are_not_used_again(void **state)
{
	(void)state;
	int64_t last = log_files_base(&files, "t-0", 3);
	log_files_unlink(&files, log_files_segment("t-0", last, ".log"));
	assert_int_equal(salvage(), ERR_OK);
	check_hole(last, RECORDS);
}

static void a_lost_partition_goes_on_behind_its_end(void **state)
{
	(void)state;
	log_files_unlink_directory(&files, "topics/u-1");
	assert_int_equal(salvage(), ERR_OK);
	log_lines_say("verdict=GAP partition=u-1 first_offset=0 last_offset=1 what=all");
	assert_int_equal(result.holes, 1);
	open_out();
	check_values(0, 0);
	assert_int_equal(log_server_append(&copy, "u", 1, "three"), 2);
	log_server_restart(&copy);
	assert_string_equal(log_server_read(&copy, "u", 1, 2), "three");
}

static void topics_without_a_catalog_come_back_by_name(void **state)
{
	(void)state;
	log_files_unlink_directory(&files, "topics/__kappa_catalog-0");
	assert_int_equal(salvage(), ERR_OK);
	log_lines_say("verdict=ORPHAN topic=t partitions=1 action=adopted");
	log_lines_say("verdict=ORPHAN topic=u partitions=2 action=adopted");
	open_out();
	check_values(0, 0);
	assert_string_equal(log_server_read(&copy, "u", 1, 0), "one");
}

static void frames_of_the_journal_are_copied_too(void **state)
{
	(void)state;
	static const char name[] = "topics/u-0/00000000000000000000.log";
	log_server_open(&server);
	log_server_append(&server, "u", 0, "first");
	log_server_append(&server, "u", 0, "second");
	log_server_kill(&server);
	files.dir = server.dir;
	log_files_resize(&files, name, SEGMENT_HEADER_BYTES + 10);
	assert_int_equal(salvage(), ERR_OK);
	assert_int_equal(result.holes, 0);
	open_out();
	assert_string_equal(log_server_read(&copy, "u", 0, 0), "first");
	assert_string_equal(log_server_read(&copy, "u", 0, 1), "second");
}

static void a_directory_without_a_journal_gives_all_its_frames(void **state)
{
	(void)state;
	log_files_unlink_directory(&files, "journal");
	assert_int_equal(salvage(), ERR_OK);
	assert_int_equal(result.holes, 0);
	open_out();
	check_values(0, 0);
	assert_int_equal(log_server_append(&copy, "t", 0, "more"), RECORDS);
}

static void refusals_leave_nothing_behind(void **state)
{
	(void)state;
	const struct log_fsck_options options = {0};
	char inside[4096];
	snprintf(inside, sizeof(inside), "%s/out", server.dir);
	assert_int_equal(
	    log_salvage(server.io, server.dir, inside, &options, log_lines_collect, NULL, &result),
	    ERR_INVALID);
	/* ... under another name, or of itself */
	char link[4096];
	snprintf(link, sizeof(link), "%s/link", out_parent);
	assert_int_equal(io_symlink(server.io, server.dir, link), ERR_OK);
	snprintf(inside, sizeof(inside), "%s/link/./topics/out", out_parent);
	assert_int_equal(
	    log_salvage(server.io, server.dir, inside, &options, log_lines_collect, NULL, &result),
	    ERR_INVALID);
	assert_non_null(strstr(err_chain(), "lies in the directory that is read"));
	assert_int_equal(
	    log_salvage(server.io, link, server.dir, &options, log_lines_collect, NULL, &result),
	    ERR_INVALID);
	assert_int_equal(io_unlink(server.io, link), ERR_OK);
	assert_int_equal(
	    log_salvage(server.io, "/usr", out_dir(), &options, log_lines_collect, NULL, &result),
	    ERR_NOT_FOUND);
	assert_int_equal(
	    log_salvage(server.io, server.dir, "/usr", &options, log_lines_collect, NULL, &result),
	    ERR_EXISTS);
	log_server_open(&server);
	assert_int_equal(salvage(), ERR_LOCKED);
	log_server_close(&server);
	assert_int_equal(salvage(), ERR_OK); /* the refused one made an empty directory at most */
}

/* ---- --rebuild-journal ---- */

static enum err rebuild(void)
{
	const struct log_fsck_options options = {0};
	log_lines_clear();
	return log_rebuild_journal(server.io, server.dir, &options, log_lines_collect, NULL);
}

static void check_server(void)
{
	log_server_open(&server);
	for (int64_t offset = 0; offset < RECORDS; offset++)
		assert_int_equal(log_server_read(&server, "t", 0, offset)[0], 'a' + offset);
	assert_string_equal(log_server_read(&server, "u", 1, 1), "two");
}

static void a_new_journal_is_made_out_of_the_frames(void **state)
{
	(void)state;
	assert_int_equal(rebuild(), ERR_REFUSED); /* it has one */
	for (int way = 0; way < 3; way++) {
		if (way == 0)
			log_files_unlink_directory(&files, "journal");
		if (way == 1)
			log_files_unlink(&files, "journal/journal-1");
		if (way == 2)
			for (int i = 0; i < 4; i++) {
				char name[40];
				snprintf(name, sizeof(name), "journal/journal-%d", i);
				log_files_flip(&files, name, 20, 1);
			}
		assert_int_equal(rebuild(), ERR_OK);
		log_lines_say("verdict=OK action=rebuilt what=journal durable_at_least=");
		log_lines_say("unknown=lost_suffix");
		check_server();
		assert_int_equal(log_server_append(&server, "u", 0, "more"), way);
		log_server_close(&server);
		const struct log_fsck_options options = {0};
		log_lines_clear();
		assert_int_equal(
		    log_fsck(server.io, server.dir, &options, log_lines_collect, NULL), ERR_OK);
		log_lines_say(way == 0 ? " findings=0" : "file=quarantine/journal-");
	}
}

static void take_killed(void)
{
	char *killed = log_server_copy(&server);
	log_server_close(&server);
	tempdir_remove(server.dir);
	server.dir = killed;
	server.options.data_dir = killed;
	files.dir = killed;
}

static void frames_behind_the_last_record_stay(void **state)
{
	(void)state;
	log_server_open(&server);
	for (int i = 0; i < 5; i++)
		log_server_append(&server, "u", 0, "acknowledged");
	take_killed();
	log_files_unlink(&files, "journal/journal-3");
	assert_int_equal(rebuild(), ERR_OK);
	check_server();
	assert_string_equal(log_server_read(&server, "u", 0, 4), "acknowledged");
	assert_int_equal(log_server_append(&server, "u", 0, "more"), 5);
}

static void what_only_a_readable_part_of_the_journal_has_is_put_back(void **state)
{
	(void)state;
	static const char name[] = "topics/u-0/00000000000000000000.log";
	log_server_open(&server);
	log_server_append(&server, "u", 0, "first");
	log_server_append(&server, "u", 0, "second");
	take_killed();
	log_files_resize(&files, name, SEGMENT_HEADER_BYTES + 10);
	log_files_unlink(&files, "journal/journal-3");
	assert_int_equal(rebuild(), ERR_OK);
	log_lines_say(" from_journal=2");
	log_server_open(&server);
	assert_string_equal(log_server_read(&server, "u", 0, 0), "first");
	assert_string_equal(log_server_read(&server, "u", 0, 1), "second");
}

static void damage_is_told_beside_the_new_journal(void **state)
{
	(void)state;
	int64_t base = log_files_base(&files, "t-0", 1);
	log_files_unlink_directory(&files, "journal");
	log_files_flip(&files, log_files_segment("t-0", base, ".log"),
	    SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES + 500, 4);
	assert_int_equal(rebuild(), ERR_CORRUPT);
	log_lines_say("verdict=DAMAGED partition=t-0");
	log_lines_say("action=rebuilt");
	log_server_open(&server);
	assert_string_equal(log_server_read(&server, "u", 1, 1), "two");
	assert_int_equal(log_server_read(&server, "t", 0, RECORDS - 1)[0], 'a' + RECORDS - 1);
}

static void an_end_that_an_old_record_knows_is_still_missed(void **state)
{
	(void)state;
	int64_t last = log_files_base(&files, "t-0", 3);
	log_files_unlink(&files, "journal/journal-0");
	log_files_unlink(&files, log_files_segment("t-0", last, ".log"));
	assert_int_equal(rebuild(), ERR_CORRUPT);
	log_lines_say("verdict=LOST_SUFFIX partition=t-0");
	struct loop *loop;
	struct log *log;
	assert_int_equal(loop_new(server.io, 2, &loop), ERR_OK);
	assert_int_equal(log_open(loop, &server.options, &log), ERR_LOST_SUFFIX);
	loop_free(loop);
}

/* ---- --adopt ---- */

static enum err adopt(const char *dir)
{
	const struct log_fsck_options options = {0};
	log_lines_clear();
	return log_adopt(server.io, server.dir, dir, &options, log_lines_collect, NULL);
}

static void an_orphan_gets_its_topic_back(void **state)
{
	(void)state;
	assert_int_equal(adopt("t-0"), ERR_EXISTS);
	assert_int_equal(adopt("nothing-0"), ERR_NOT_FOUND);
	assert_int_equal(adopt("../journal"), ERR_INVALID);
	log_files_unlink_directory(&files, "topics/__kappa_catalog-0");
	assert_int_equal(adopt("t-0"), ERR_OK);
	log_lines_say(
	    "verdict=OK action=adopted partition=t-0 topic=t partitions=1 log_start=0 log_end=24 "
	    "damaged=false");
	assert_int_equal(adopt("u-1"), ERR_OK);
	check_server();
	assert_int_equal(adopt("t-0"), ERR_LOCKED);
	assert_int_equal(log_server_append(&server, "u", 0, "zero"), 0);
	log_server_restart(&server);
	assert_string_equal(log_server_read(&server, "u", 0, 0), "zero");
}

static void a_directory_of_another_server_is_not_adopted(void **state)
{
	(void)state;
	char from[4096], to[4096];
	log_server_create(&copy, "foreign", 1, NULL);
	log_server_append(&copy, "foreign", 0, "value");
	log_server_close(&copy);
	snprintf(from, sizeof(from), "%s/topics/foreign-0", copy.dir);
	snprintf(to, sizeof(to), "%s/topics/foreign-0", server.dir);
	assert_int_equal(io_rename(server.io, from, to), ERR_OK);
	assert_int_equal(adopt("foreign-0"), ERR_REFUSED);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(what_is_whole_comes_out_whole),
	    TEST(a_bad_body_is_a_hole_of_one_batch),
	    TEST(a_bad_frame_header_is_a_hole_of_one_batch),
	    TEST(a_bad_segment_header_is_a_hole_of_the_segment),
	    TEST(a_missing_segment_is_a_hole),
	    TEST(the_offsets_of_a_lost_end_are_not_used_again),
	    TEST(a_lost_partition_goes_on_behind_its_end),
	    TEST(topics_without_a_catalog_come_back_by_name),
	    TEST(frames_of_the_journal_are_copied_too),
	    TEST(a_directory_without_a_journal_gives_all_its_frames),
	    TEST(refusals_leave_nothing_behind),
	    TEST(a_new_journal_is_made_out_of_the_frames),
	    TEST(frames_behind_the_last_record_stay),
	    TEST(what_only_a_readable_part_of_the_journal_has_is_put_back),
	    TEST(damage_is_told_beside_the_new_journal),
	    TEST(an_end_that_an_old_record_knows_is_still_missed),
	    TEST(an_orphan_gets_its_topic_back),
	    TEST(a_directory_of_another_server_is_not_adopted),
	};
	diag_set_level(DIAG_ERROR);
	return cmocka_run_group_tests_name("salvage", tests, NULL, NULL);
}
