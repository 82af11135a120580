/* SPDX-License-Identifier: Apache-2.0 */
#include "log/engine.h"
#include "log/index.h"
#include "log/journal.h"
#include "test/lib/bad_sectors.h"
#include "test/lib/log_files.h"
#include "test/lib/log_lines.h"
#include "test/lib/tempdir.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/*
 * fsck, salvage and a start on a disk that does not read in places: topic `t` of one partition in four
 * segments of 8,000-byte records, and `u`. What can be read is judged and comes out.
 */
static struct log_server server, copy;
static struct log_files files;
static char *out_parent;
static struct log_salvage_result result;
enum { RECORDS = LOG_EXAMPLE_RECORDS, BLOCK = 4096 };

static enum err fsck(void)
{
	const struct log_fsck_options options = {0};
	log_lines_clear();
	return log_fsck(server.io, server.dir, &options, log_lines_collect, NULL);
}

static enum err salvage(void)
{
	static char path[4096];
	const struct log_fsck_options options = {.journal_bytes = JOURNAL_BYTES_MIN};
	snprintf(path, sizeof(path), "%s/out", out_parent);
	log_lines_clear();
	enum err e =
	    log_salvage(server.io, server.dir, path, &options, log_lines_collect, NULL, &result);
	tempdir_remove(copy.dir);
	copy.dir = strdup(path);
	copy.options.data_dir = copy.dir;
	return e;
}

static int setup(void **state)
{
	(void)state;
	log_server_init(&server);
	log_server_init(&copy);
	out_parent = tempdir_new();
	log_example_fill(&server);
	log_server_close(&server);
	files = (struct log_files){server.io, server.dir};
	bad_sectors_install(server.io, server.dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (server.log)
		log_server_close(&server); /* its threads read */
	bad_sectors_remove(server.io);
	log_server_release(&server);
	log_server_release(&copy);
	tempdir_remove(out_parent);
	err_clear();
	return 0;
}

/* File name of the nth segment of t-0, and its first offset. */
static const char *segment(size_t n, const char *suffix, int64_t *ret_base)
{
	*ret_base = log_files_base(&files, "t-0", n);
	return log_files_segment("t-0", *ret_base, suffix);
}

/* The first offset of the first segment behind offset `after`; RECORDS: there is none. */
static int64_t next_base(int64_t after)
{
	int64_t base = after + 1;
	while (base < RECORDS && !log_files_exist(&files, log_files_segment("t-0", base, ".log")))
		base++;
	return base;
}

static int64_t last_base(void)
{
	int64_t base = 0;
	while (next_base(base) < RECORDS)
		base = next_base(base);
	assert_true(base > RECORDS / 2);
	return base;
}

/* What came out is served: every record but [from, to). */
static void served_but(int64_t from, int64_t to)
{
	log_server_open(&copy);
	for (int64_t offset = 0; offset < RECORDS; offset++) {
		const char *value = log_server_read(&copy, "t", 0, offset);
		if (offset >= from && offset < to)
			continue;
		assert_non_null(value);
		assert_int_equal(value[0], 'a' + offset);
	}
	assert_string_equal(log_server_read(&copy, "u", 1, 0), "one");
	assert_int_equal(log_server_append(&copy, "t", 0, "more"), RECORDS);
	log_server_close(&copy);
}

/* The third record of a segment has a bad sector in its middle: it alone is lost. */
static void a_bad_sector_costs_the_records_in_it(void **state)
{
	(void)state;
	int64_t base;
	char text[160];
	const char *name = segment(1, ".log", &base);
	bad_sectors_add(name, 5 * BLOCK + 100, 5 * BLOCK + 200);
	assert_int_equal(fsck(), ERR_CORRUPT);
	snprintf(text, sizeof(text),
	    "verdict=DAMAGED partition=t-0 segment=%lld pos=%d bytes=%d reason=\"cannot be read\"",
	    (long long)base, 5 * BLOCK, BLOCK);
	log_lines_say(text);
	snprintf(text, sizeof(text),
	    " first_offset=%lld last_offset=%lld reason=\"cannot be read\"", (long long)base + 2,
	    (long long)base + 2);
	log_lines_say(text);
	log_lines_say(" findings=2");
	assert_int_equal(salvage(), ERR_OK);
	assert_int_equal(result.lost_offsets, 1);
	served_but(base + 2, base + 3);
}

/* It takes a frame's header, in a sealed segment: the index says where the next one is. */
static void behind_a_header_the_index_leads_on(void **state)
{
	(void)state;
	int64_t base;
	const char *name = segment(2, ".log", &base);
	bad_sectors_add(name, BLOCK, BLOCK + 1); /* the first frame */
	assert_int_equal(fsck(), ERR_CORRUPT);
	log_lines_say("reason=\"cannot be read\"");
	assert_int_equal(salvage(), ERR_OK);
	assert_int_equal(result.lost_offsets, 1);
	served_but(base, base + 1);
}

/* The index does not read either: the next header that verifies is looked for. */
static void without_an_index_the_next_header_is_looked_for(void **state)
{
	(void)state;
	int64_t base;
	char log[300];
	snprintf(log, sizeof(log), "%s", segment(2, ".log", &base));
	bad_sectors_add(log, BLOCK, BLOCK + 1);
	bad_sectors_add(segment(2, ".idx", &base), 0, UINT64_MAX);
	assert_int_equal(fsck(), ERR_CORRUPT);
	log_lines_say("verdict=REBUILT");
	log_lines_say("file=idx reason=\"cannot be read\"");
	assert_int_equal(salvage(), ERR_OK);
	assert_int_equal(result.lost_offsets, 1);
	served_but(base, base + 1);
}

/* The last segment, whose index is not written to its end. */
static void behind_a_bad_sector_of_the_last_segment_it_goes_on(void **state)
{
	(void)state;
	int64_t base = last_base();
	log_files_unlink(&files, log_files_segment("t-0", base, ".idx"));
	bad_sectors_add(log_files_segment("t-0", base, ".log"), BLOCK, BLOCK + 1);
	assert_int_equal(fsck(), ERR_CORRUPT);
	assert_int_equal(salvage(), ERR_OK);
	assert_int_equal(result.lost_offsets, 1);
	served_but(base, base + 1);
}

/* Several at once, one of them over the header of a segment. */
static void every_place_that_does_not_read_is_told(void **state)
{
	(void)state;
	int64_t base, end;
	char text[160];
	bad_sectors_add(segment(0, ".log", &base), 2 * BLOCK, 2 * BLOCK + 1);
	bad_sectors_add(segment(2, ".log", &base), 5 * BLOCK, 8 * BLOCK);
	const char *name = segment(1, ".log", &base);
	bad_sectors_add(name, 0, BLOCK);
	(void)segment(2, ".log", &end);
	assert_int_equal(fsck(), ERR_CORRUPT);
	snprintf(text, sizeof(text),
	    "verdict=DAMAGED partition=t-0 segment=%lld reason=\"cannot be read\"",
	    (long long)base);
	log_lines_say(text);
	log_lines_say(" bytes=4096 reason=\"cannot be read\"");
	log_lines_say(" bytes=12288 reason=\"cannot be read\"");
	assert_int_equal(salvage(), ERR_OK);
	assert_true(result.lost_offsets >= end - base + 2);
	assert_true(result.frames > 10);
	log_server_open(&copy);
	assert_string_equal(log_server_read(&copy, "u", 1, 0), "one");
	assert_int_equal(log_server_append(&copy, "t", 0, "more"), RECORDS);
}

/* Nothing of a checkpoint record: which one is newest is not known, so nothing is called torn. */
static void a_record_that_does_not_read_cuts_nothing(void **state)
{
	(void)state;
	bad_sectors_add("journal/checkpoint-0", 0, UINT64_MAX);
	bad_sectors_add("journal/checkpoint-1", 0, UINT64_MAX);
	assert_int_equal(fsck(), ERR_CORRUPT);
	log_lines_say("verdict=NO_JOURNAL what=checkpoint file=journal/");
	log_lines_say("reason=\"cannot be read\"");
	log_lines_say_not("TORN");
	assert_int_equal(salvage(), ERR_OK);
	assert_int_equal(result.lost_offsets, 0);
	served_but(0, 0);
}

static void a_journal_that_does_not_read_cuts_nothing(void **state)
{
	(void)state;
	for (unsigned i = 0; i < JOURNAL_FILES; i++) {
		char name[16], path[32];
		snprintf(path, sizeof(path), "journal/%s", journal_file_name(i, name));
		bad_sectors_add(path, i == 0 ? 0 : JOURNAL_BLOCK, UINT64_MAX);
	}
	assert_int_equal(fsck(), ERR_CORRUPT);
	log_lines_say("verdict=NO_JOURNAL file=journal/");
	log_lines_say("verdict=JOURNAL_ROT file=journal/");
	log_lines_say_not("TORN");
	log_lines_say_not("what=missing");
	assert_int_equal(salvage(), ERR_OK);
	assert_int_equal(result.lost_offsets, 0);
	served_but(0, 0);
}

/* ---- a start --------------------------------------------------------------------------------- */

/* Records of t that are served; all of u is. */
static int served(void)
{
	int count = 0;
	for (int64_t offset = 0; offset < RECORDS; offset++) {
		const char *value;
		if (log_server_try_read(&server, "t", 0, offset, &value) != ERR_OK)
			continue;
		assert_int_equal(value[0], 'a' + offset);
		count++;
	}
	err_clear();
	assert_string_equal(log_server_read(&server, "u", 1, 0), "one");
	return count;
}

static enum err append(const char *topic)
{
	int64_t offset;
	return log_server_try_append(&server, topic, 0, "more", &offset);
}

static unsigned quarantined(const char *prefix)
{
	struct io_names names;
	unsigned count = 0;
	if (!log_files_exist(&files, "quarantine"))
		return 0;
	assert_int_equal(io_list(server.io, log_files_path(&files, "quarantine"), &names), ERR_OK);
	for (size_t i = 0; i < names.count; i++)
		count += strncmp(names.name[i], prefix, strlen(prefix)) == 0;
	io_names_release(&names);
	return count;
}

/* It is a cache: who reads by offset finds the frame without it. (What a start found is written
 * anew, but a long one is not read there.) */
static void a_fetch_does_without_an_index_that_does_not_read(void **state)
{
	(void)state;
	log_server_open(&server);
	assert_int_equal(served(), RECORDS);
	for (int64_t base = 0; base < RECORDS; base = next_base(base))
		bad_sectors_add(
		    log_files_segment("t-0", base, ".idx"), INDEX_HEADER_BYTES, UINT64_MAX);
	for (int64_t offset = RECORDS - 1; offset >= 0; offset--) {
		const char *value;
		assert_int_equal(log_server_try_read(&server, "t", 0, offset, &value), ERR_OK);
		assert_int_equal(value[0], 'a' + offset);
	}
	assert_true(bad_sectors_struck() > 0);
	assert_false(log_server_status(&server, "t", 0).damaged);
}

static void time_found(struct log_find_time *find)
{
	*(bool *)find->user = true;
}

/* One that a start does not read is checked behind it, by who meets it or by the sweep: it is made
 * of the frames then, beside those who read. */
static void an_index_that_does_not_read_is_replaced(void **state)
{
	(void)state;
	log_server_open(&server);
	struct log_partition *p = log_partition_find(server.log, log_server_topic(&server, "t"), 0);
	for (int64_t base = 0; base < last_base(); base = next_base(base)) {
		struct segment *s = partition_segment_of(p, base);
		bad_sectors_add(log_files_segment("t-0", base, ".idx"), 0, UINT64_MAX);
		index_doubt(s);
		while (!s->index.trusted) {
			assert_int_equal(append("u"), ERR_OK);
			assert_false(s->index.bad);
		}
	}
	assert_true(bad_sectors_struck() > 0);
	bool done = false;
	struct log_find_time find = {
	    .partition = p, .timestamp_ms = 1, .user = &done, .done = time_found};
	log_find_time(server.log, &find);
	while (!done)
		log_server_turn(&server);
	assert_int_equal(find.err, ERR_OK);
	assert_int_equal(find.offset, 0);
	assert_int_equal(served(), RECORDS);
	log_server_close(&server);
	assert_int_equal(fsck(), ERR_OK);
	log_lines_say(" findings=0");
}

/* Any index, of whichever segment: it is made again, and the old one is out of the way. */
static void a_start_sets_an_index_aside_that_does_not_read(void **state)
{
	(void)state;
	for (int64_t base = 0; base < RECORDS; base = next_base(base)) {
		unsigned before = quarantined("index-");
		bad_sectors_clear();
		bad_sectors_add(log_files_segment("t-0", base, ".idx"), 0, UINT64_MAX);
		assert_int_equal(fsck(), ERR_OK);
		log_lines_say("file=idx reason=\"cannot be read\" action=next_start");
		log_server_open(&server);
		assert_int_equal(served(), RECORDS);
		assert_int_equal(append("u"), ERR_OK);
		assert_int_equal(quarantined("index-"), before + 1);
		log_server_close(&server);
	}
	bad_sectors_clear();
	assert_int_equal(fsck(), ERR_OK);
	log_server_open(&server);
	assert_int_equal(served(), RECORDS);
	assert_int_equal(append("t"), ERR_OK);
}

/* What stands in its place is no file. */
static void a_start_sets_aside_what_is_no_index(void **state)
{
	(void)state;
	for (int64_t base = 0; base < RECORDS; base = next_base(base)) {
		const char *name = log_files_segment("t-0", base, ".idx");
		if (log_files_exist(&files, name))
			log_files_unlink(&files, name);
		assert_int_equal(io_mkdir(server.io, log_files_path(&files, name)), ERR_OK);
	}
	assert_int_equal(fsck(), ERR_OK);
	log_lines_say("file=idx reason=\"cannot be opened\" action=next_start");
	log_server_open(&server);
	assert_int_equal(served(), RECORDS);
	assert_int_equal(append("t"), ERR_OK);
	log_server_restart(&server);
	assert_int_equal(served(), RECORDS);
	log_server_close(&server);
	assert_int_equal(fsck(), ERR_OK);
	log_lines_say(" findings=0");
}

/* The header of a segment in the middle: its records are not served, the others are; and they are
 * again when it reads. */
static void a_header_that_does_not_read_costs_its_segment(void **state)
{
	(void)state;
	int64_t base;
	const char *name = segment(1, ".log", &base);
	bad_sectors_add(name, 0, 1);
	assert_int_equal(fsck(), ERR_CORRUPT);
	log_lines_say("verdict=DAMAGED partition=t-0");
	uint64_t errors = metric_value(METRIC_READ_ERRORS);
	log_server_open(&server);
	assert_true(metric_value(METRIC_READ_ERRORS) > errors);
	assert_int_equal(served(), RECORDS - (next_base(base) - base));
	assert_int_equal(append("t"), ERR_DAMAGED);
	assert_int_equal(append("u"), ERR_OK);
	log_server_close(&server);
	bad_sectors_clear();
	log_server_open(&server);
	assert_int_equal(served(), RECORDS);
	assert_int_equal(append("t"), ERR_OK);
}

/* What is in the journal still would be let go by the next checkpoint. */
static void what_the_journal_has_for_a_segment_waits_until_that_reads(void **state)
{
	(void)state;
	const char *const configs[] = {"segment.bytes=65536", NULL};
	char value[8000];
	struct loop *loop;
	struct log *log;
	memset(value, 'w', sizeof(value));
	value[sizeof(value) - 1] = '\0';
	log_server_open(&server);
	log_server_create(&server, "w", 1, configs);
	for (int i = 0; i < RECORDS; i++)
		log_server_append(&server, "w", 0, value);
	log_server_kill(&server);
	files.dir = server.dir;
	bad_sectors_remove(server.io);
	bad_sectors_install(server.io, server.dir);
	bad_sectors_add(log_files_segment("w-0", log_files_base(&files, "w-0", 1), ".log"), 0, 1);
	assert_int_equal(loop_new(server.io, 2, &loop), ERR_OK);
	assert_int_equal(log_open(loop, &server.options, &log), ERR_IO);
	assert_non_null(strstr(err_chain(), "topics/w-0 has a segment that cannot be read"));
	loop_free(loop);
	bad_sectors_clear();
	log_server_open(&server);
	for (int i = 0; i < RECORDS; i++)
		assert_string_equal(log_server_read(&server, "w", 0, i), value);
	assert_int_equal(log_server_append(&server, "w", 0, "more"), RECORDS);
}

/* A later generation whose header does not read stands for nothing, and takes nothing away. */
static void a_generation_that_does_not_read_replaces_nothing(void **state)
{
	(void)state;
	bad_sectors_add("topics/t-0/00000000000000000000.g1.log", 0, 1);
	assert_int_equal(io_write_file(server.io,
	                     log_files_path(&files, "topics/t-0/00000000000000000000.g1.log"),
	                     str_bytes(STR("something"))),
	    ERR_OK);
	assert_int_equal(fsck(), ERR_CORRUPT);
	log_server_open(&server);
	assert_int_equal(served(), RECORDS);
	assert_int_equal(append("u"), ERR_OK);
}

/* Frames of the last segment, with and without its index. */
static void a_start_goes_on_behind_a_bad_sector_of_the_last_segment(void **state)
{
	(void)state;
	int64_t base = last_base();
	bad_sectors_add(log_files_segment("t-0", base, ".log"), BLOCK, BLOCK + 1);
	log_server_open(&server);
	assert_in_range(served(), base, RECORDS);
	assert_int_equal(append("u"), ERR_OK);
	log_server_close(&server);
	log_files_unlink(&files, log_files_segment("t-0", base, ".idx"));
	assert_int_equal(fsck(), ERR_CORRUPT);
	log_server_open(&server);
	assert_in_range(served(), base, RECORDS);
	assert_int_equal(append("t"), ERR_DAMAGED);
	assert_int_equal(append("u"), ERR_OK);
}

/* Where the partition ends cannot be known then: nothing is started, and who is to act is told. */
static void without_the_last_header_there_is_no_start(void **state)
{
	(void)state;
	struct loop *loop;
	struct log *log;
	const char *name = log_files_segment("t-0", last_base(), ".log");
	bad_sectors_add(name, 0, 1);
	assert_int_equal(fsck(), ERR_CORRUPT);
	err_clear();
	assert_int_equal(loop_new(server.io, 2, &loop), ERR_OK);
	assert_int_equal(log_open(loop, &server.options, &log), ERR_IO);
	assert_non_null(strstr(err_chain(), name));
	assert_non_null(strstr(err_chain(), "fsck --salvage"));
	loop_free(loop);
	bad_sectors_clear();
	log_server_open(&server);
	assert_int_equal(served(), RECORDS);
	assert_int_equal(append("t"), ERR_OK);
}

/* ---- what is no file ------------------------------------------------------------------------- */

/* A FIFO that nobody writes, in the place of the file. */
static void fifo(const char *name)
{
	if (log_files_exist(&files, name))
		log_files_unlink(&files, name);
	assert_int_equal(mkfifo(log_files_path(&files, name), 0600), 0);
}

static void nobody_waits_for_a_cache_that_is_no_file(void **state)
{
	(void)state;
	for (int64_t base = 0; base < RECORDS; base = next_base(base)) {
		fifo(log_files_segment("t-0", base, ".idx"));
		fifo(log_files_segment("t-0", base, ".snap"));
	}
	assert_int_equal(fsck(), ERR_OK);
	log_lines_say("file=idx reason=\"cannot be opened\" action=next_start");
	log_lines_say(".snap reason=");
	log_server_open(&server);
	assert_int_equal(served(), RECORDS);
	assert_int_equal(append("t"), ERR_OK);
}

static void a_segment_that_is_no_file_is_damaged_and_stays(void **state)
{
	(void)state;
	int64_t base;
	char name[300];
	snprintf(name, sizeof(name), "%s", segment(1, ".log", &base));
	fifo(name);
	assert_int_equal(fsck(), ERR_CORRUPT);
	log_lines_say("verdict=DAMAGED partition=t-0");
	log_lines_say("not a regular file");
	assert_int_equal(salvage(), ERR_OK);
	assert_int_equal(result.lost_offsets, next_base(base) - base);
	log_server_open(&server);
	assert_int_equal(served(), RECORDS - (next_base(base) - base));
	assert_int_equal(append("t"), ERR_DAMAGED);
	assert_int_equal(append("u"), ERR_OK);
	log_server_close(&server);
	assert_true(log_files_exist(&files, name));
}

static void nothing_is_started_with_a_journal_that_is_no_file(void **state)
{
	static const char *const names[] = {"journal/journal-1", "journal/checkpoint-0", "lock"};
	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct loop *loop;
		struct log *log;
		char aside[64];
		snprintf(aside, sizeof(aside), "%s.aside", names[i]);
		assert_int_equal(io_rename(server.io, log_files_path(&files, names[i]),
		                     log_files_path(&files, aside)),
		    ERR_OK);
		fifo(names[i]);
		assert_int_equal(fsck(), ERR_CORRUPT);
		log_lines_clear();
		assert_int_equal(loop_new(server.io, 2, &loop), ERR_OK);
		assert_int_not_equal(log_open(loop, &server.options, &log), ERR_OK);
		assert_non_null(strstr(err_chain(), names[i]));
		loop_free(loop);
		log_files_unlink(&files, names[i]);
		assert_int_equal(io_rename(server.io, log_files_path(&files, aside),
		                     log_files_path(&files, names[i])),
		    ERR_OK);
	}
	log_server_open(&server);
	assert_int_equal(served(), RECORDS);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(a_bad_sector_costs_the_records_in_it),
	    TEST(behind_a_header_the_index_leads_on),
	    TEST(without_an_index_the_next_header_is_looked_for),
	    TEST(behind_a_bad_sector_of_the_last_segment_it_goes_on),
	    TEST(every_place_that_does_not_read_is_told),
	    TEST(a_record_that_does_not_read_cuts_nothing),
	    TEST(a_journal_that_does_not_read_cuts_nothing),
	    TEST(a_start_sets_an_index_aside_that_does_not_read),
	    TEST(a_fetch_does_without_an_index_that_does_not_read),
	    TEST(an_index_that_does_not_read_is_replaced),
	    TEST(a_start_sets_aside_what_is_no_index),
	    TEST(a_header_that_does_not_read_costs_its_segment),
	    TEST(what_the_journal_has_for_a_segment_waits_until_that_reads),
	    TEST(a_generation_that_does_not_read_replaces_nothing),
	    TEST(a_start_goes_on_behind_a_bad_sector_of_the_last_segment),
	    TEST(without_the_last_header_there_is_no_start),
	    TEST(nobody_waits_for_a_cache_that_is_no_file),
	    TEST(a_segment_that_is_no_file_is_damaged_and_stays),
	    TEST(nothing_is_started_with_a_journal_that_is_no_file),
	};
	return cmocka_run_group_tests_name("unread", tests, NULL, NULL);
}
