/* SPDX-License-Identifier: Apache-2.0 */
#include "log/catalog.h"
#include "log/engine.h"
#include "log/frame.h"
#include "log/fsck.h"
#include "test/lib/log_lines.h"
#include "test/lib/seed.h"
#include "test/lib/tempdir.h"
#include <stdio.h>
#include <stdlib.h>

/*
 * A data directory with a topic `t` of one partition in four segments and a topic `u`, stopped
 * cleanly. Each test harms it and asks fsck.
 */
static struct log_server server;
enum { RECORDS = LOG_EXAMPLE_RECORDS };

static enum err fsck_with(bool repair)
{
	struct log_fsck_options options = {.repair_caches = repair};
	log_lines_clear();
	return log_fsck(server.io, server.dir, &options, log_lines_collect, NULL);
}

static enum err fsck(void)
{
	return fsck_with(false);
}

static int setup(void **state)
{
	(void)state;
	log_server_init(&server);
	log_example_fill(&server);
	log_server_close(&server);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	log_server_release(&server);
	err_clear();
	return 0;
}

static const char *path_of(const char *name)
{
	static char path[2][4096];
	static unsigned n;
	n ^= 1;
	snprintf(path[n], sizeof(path[n]), "%s/%s", server.dir, name);
	return path[n];
}

static const char *segment(int64_t base, const char *suffix)
{
	static char name[100];
	snprintf(name, sizeof(name), "topics/t-0/%020lld%s", (long long)base, suffix);
	return name;
}

static uint64_t size_of(const char *name)
{
	struct io_stat stat;
	assert_int_equal(io_stat(server.io, path_of(name), &stat), ERR_OK);
	return stat.size_bytes;
}

static void flip(const char *name, uint64_t at, uint8_t mask)
{
	int fd;
	uint8_t byte;
	assert_int_equal(io_open(server.io, path_of(name), 0, &fd), ERR_OK);
	assert_int_equal(io_pread_all(server.io, fd, &byte, 1, at), ERR_OK);
	byte ^= mask;
	assert_int_equal(io_pwrite(server.io, fd, &byte, 1, at), ERR_OK);
	assert_int_equal(io_close(server.io, fd), ERR_OK);
}

static void cut(const char *name, uint64_t size)
{
	int fd;
	assert_int_equal(io_open(server.io, path_of(name), 0, &fd), ERR_OK);
	assert_int_equal(io_truncate(server.io, fd, size), ERR_OK);
	assert_int_equal(io_close(server.io, fd), ERR_OK);
}

/* The base offset of segment number `n` of t-0. */
static int64_t base_of(size_t n)
{
	struct io_names names;
	int64_t base = -1;
	assert_int_equal(io_list(server.io, path_of("topics/t-0"), &names), ERR_OK);
	for (size_t i = 0; i < names.count && base < 0; i++)
		if (strstr(names.name[i], ".log") && n-- == 0)
			base = strtoll(names.name[i], NULL, 10);
	io_names_release(&names);
	assert_true(base >= 0);
	return base;
}

static bool found(const char *verdict)
{
	char text[64];
	snprintf(text, sizeof(text), "verdict=%s ", verdict);
	return strstr(log_lines, text) != NULL;
}

static void a_clean_directory_has_no_findings(void **state)
{
	(void)state;
	for (int again = 0; again < 2; again++) {
		assert_int_equal(fsck(), ERR_OK);
		log_lines_say("verdict=OK partitions=3 segments=");
		log_lines_say(" frames=27 ");
		log_lines_say(" findings=0");
	}
	log_server_open(&server);
	assert_non_null(log_server_read(&server, "t", 0, RECORDS - 1));
}

/* By retention, compaction, or a batch that turns out to be there already. */
static void a_roll_that_nothing_has_followed_is_no_finding(void **state)
{
	(void)state;
	log_server_open(&server);
	struct log_partition *p = log_partition_find(server.log, log_server_topic(&server, "t"), 0);
	uint64_t before = p->segment_count;
	for (int i = 0; i < 10000 && p->segment_count == before; i++) {
		partition_roll(p); /* when the producers are loaded */
		log_server_turn(&server);
	}
	assert_int_equal(p->segment_count, before + 1);
	log_server_close(&server);
	assert_int_equal(fsck(), ERR_OK);
	log_lines_say(" findings=0");
	log_server_open(&server);
	log_server_append(&server, "t", 0, "goes on");
	log_server_close(&server);
	assert_int_equal(fsck(), ERR_OK);
	log_lines_say(" findings=0");
}

static void a_served_directory_is_left_alone(void **state)
{
	(void)state;
	log_server_open(&server);
	assert_int_equal(fsck(), ERR_LOCKED);
	assert_string_equal(log_lines, "");
}

static void another_directory_is_refused(void **state)
{
	(void)state;
	struct log_fsck_options options = {0};
	assert_int_equal(
	    log_fsck(server.io, "/usr", &options, log_lines_collect, NULL), ERR_NOT_FOUND);
}

/* From here on the test looks at what kill -9 would leave of the running server now. */
static void kill_server(void)
{
	char *copy = log_server_copy(&server);
	log_server_close(&server);
	tempdir_remove(server.dir);
	server.dir = copy;
	server.options.data_dir = copy;
}

static void a_crash_leaves_only_what_the_next_start_puts_right(void **state)
{
	(void)state;
	log_server_open(&server);
	for (int i = 0; i < 5; i++)
		log_server_append(&server, "u", 0, "after the start");
	kill_server();
	assert_int_equal(fsck(), ERR_OK);
	assert_true(found("DISTRUST"));
	log_lines_say(" frames=32 ");
	assert_false(found("TORN_TAIL"));
}

static void frames_that_only_the_journal_has_are_repaired(void **state)
{
	(void)state;
	static const char name[] = "topics/u-0/00000000000000000000.log";
	log_server_open(&server);
	log_server_append(&server, "u", 0, "first");
	log_server_append(&server, "u", 0, "second");
	log_server_append(&server, "u", 0, "third");
	kill_server();
	/* what a power cut may leave: the journal is durable, the segment is not */
	uint64_t frame = (size_of(name) - SEGMENT_HEADER_BYTES) / 3;
	cut(name, size_of(name) - frame / 2);
	flip(name, SEGMENT_HEADER_BYTES + frame + 30, 1);
	assert_int_equal(fsck(), ERR_OK);
	log_lines_say("verdict=REPAIRED partition=u-0 segment=0 pos=");
	log_lines_say(" frames=30 ");
	log_lines_say(" findings=3"); /* and DISTRUST */
	log_server_open(&server);
	assert_string_equal(log_server_read(&server, "u", 0, 1), "second");
	assert_string_equal(log_server_read(&server, "u", 0, 2), "third");
}

static void a_bad_body_is_damaged_and_named(void **state)
{
	(void)state;
	int64_t base = base_of(1);
	char want[200];
	flip(segment(base, ".log"), SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES + 500, 4);
	assert_int_equal(fsck(), ERR_CORRUPT);
	snprintf(want, sizeof(want),
	    "verdict=DAMAGED partition=t-0 segment=%lld pos=4096 bytes=", (long long)base);
	assert_non_null(strstr(log_lines, want));
	snprintf(want, sizeof(want), " first_offset=%lld last_offset=%lld ", (long long)base,
	    (long long)base);
	assert_non_null(strstr(log_lines, want));
	log_lines_say(" frames=26 ");
	log_lines_say(" findings=1");
}

static void a_bad_header_is_damaged_and_the_index_leads_on(void **state)
{
	(void)state;
	flip(segment(base_of(1), ".log"), SEGMENT_HEADER_BYTES + 17, 1);
	assert_int_equal(fsck(), ERR_CORRUPT);
	assert_true(found("DAMAGED"));
	log_lines_say(" frames=26 ");
	log_lines_say(" findings=1");
}

static void a_bad_segment_header_is_damaged(void **state)
{
	(void)state;
	flip(segment(base_of(1), ".log"), 40, 1);
	assert_int_equal(fsck(), ERR_CORRUPT);
	assert_true(found("DAMAGED"));
	assert_false(found("MISSING_SEGMENT"));
}

static void a_missing_segment_is_named(void **state)
{
	(void)state;
	char want[100];
	int64_t from = base_of(1), to = base_of(2) - 1;
	assert_int_equal(io_unlink(server.io, path_of(segment(from, ".log"))), ERR_OK);
	assert_int_equal(fsck(), ERR_CORRUPT);
	snprintf(want, sizeof(want), "verdict=MISSING_SEGMENT partition=t-0 from=%lld to=%lld",
	    (long long)from, (long long)to);
	assert_non_null(strstr(log_lines, want));
}

static void a_lost_end_is_named(void **state)
{
	(void)state;
	int64_t last = base_of(3);
	cut(segment(last, ".log"), size_of(segment(last, ".log")) - 1);
	assert_int_equal(fsck(), ERR_CORRUPT);
	assert_true(found("LOST_SUFFIX") || found("DAMAGED"));
	cut(segment(last, ".log"), SEGMENT_HEADER_BYTES);
	assert_int_equal(fsck(), ERR_CORRUPT);
	assert_true(found("LOST_SUFFIX"));
	assert_int_equal(io_unlink(server.io, path_of(segment(last, ".log"))), ERR_OK);
	assert_int_equal(fsck(), ERR_CORRUPT);
	assert_true(found("LOST_SUFFIX"));
}

static void a_torn_tail_is_harmless(void **state)
{
	(void)state;
	int64_t last = base_of(3);
	uint64_t size = size_of(segment(last, ".log"));
	cut(segment(last, ".log"), size + 5000);
	assert_int_equal(fsck(), ERR_OK);
	assert_false(found("TORN_TAIL")); /* zeros are room */
	flip(segment(last, ".log"), size + 4000, 1);
	assert_int_equal(fsck(), ERR_OK);
	assert_true(found("TORN_TAIL"));
}

static void bad_caches_are_removed_when_asked(void **state)
{
	(void)state;
	int64_t base = base_of(1);
	struct io_stat stat;
	flip(segment(base, ".idx"), 64 + 40, 1);
	assert_int_equal(fsck(), ERR_OK);
	assert_true(found("REBUILT"));
	assert_int_equal(io_stat(server.io, path_of(segment(base, ".idx")), &stat), ERR_OK);
	assert_int_equal(fsck_with(true), ERR_OK);
	assert_int_equal(io_stat(server.io, path_of(segment(base, ".idx")), &stat), ERR_NOT_FOUND);
	log_server_open(&server);
	for (int64_t offset = 0; offset < RECORDS; offset++)
		assert_int_equal(log_server_read(&server, "t", 0, offset)[0], 'a' + offset);
	log_server_close(&server);
	assert_int_equal(fsck(), ERR_OK);
}

static void remove_directory(const char *name)
{
	struct io_names names;
	assert_int_equal(io_list(server.io, path_of(name), &names), ERR_OK);
	for (size_t i = 0; i < names.count; i++) {
		char file[300];
		snprintf(file, sizeof(file), "%s/%s", name, names.name[i]);
		assert_int_equal(io_unlink(server.io, path_of(file)), ERR_OK);
	}
	io_names_release(&names);
	assert_int_equal(io_rmdir(server.io, path_of(name)), ERR_OK);
}

static void a_lost_directory_is_named(void **state)
{
	(void)state;
	remove_directory("topics/u-1");
	assert_int_equal(fsck(), ERR_CORRUPT);
	log_lines_say("verdict=LOST_SUFFIX partition=u-1 log_end=1 ");
}

static void data_without_a_catalog_are_orphans(void **state)
{
	(void)state;
	remove_directory("topics/__kappa_catalog-0");
	assert_int_equal(fsck(), ERR_CORRUPT);
	assert_true(found("ORPHAN"));
	log_lines_say("verdict=LOST_SUFFIX partition=__kappa_catalog-0 ");
}

static void a_missing_journal_is_named(void **state)
{
	(void)state;
	assert_int_equal(io_unlink(server.io, path_of("journal/journal-2")), ERR_OK);
	assert_int_equal(fsck(), ERR_CORRUPT);
	log_lines_say("verdict=NO_JOURNAL file=journal/journal-2");
	remove_directory("journal");
	assert_int_equal(fsck(), ERR_CORRUPT);
	log_lines_say("what=checkpoint");
}

/* Bits that mean nothing: names say where. */
static bool harmless(const char *name, uint64_t at)
{
	if (strstr(name, "journal-"))
		return at >= 4096;                  /* covered by the checkpoint, or zeros */
	return strstr(name, "checkpoint-") != NULL; /* the other record may be the newer one */
}

static void sweep(const char *dir, const char *file, struct prng *prng)
{
	char name[600];
	snprintf(name, sizeof(name), "%s/%s", dir, file);
	uint64_t size = size_of(name);
	for (int n = 0; n < 12 && size > 0; n++) {
		uint64_t at =
		    n < 4 ? prng_below(prng, size < 4300 ? size : 4300) : prng_below(prng, size);
		uint8_t mask = (uint8_t)(1u << prng_below(prng, 8));
		flip(name, at, mask);
		enum err err = fsck();
		assert_true(err == ERR_OK || err == ERR_CORRUPT || err == ERR_NEWER_FORMAT);
		if (strstr(log_lines, " findings=0") && !harmless(name, at))
			fail_msg("%s: a flip at %llu was not told", name, (unsigned long long)at);
		bool segment_file = strstr(name, ".log") != NULL;
		if (segment_file && err == ERR_OK)
			fail_msg("%s: a flip at %llu is called harmless:\n%s", name,
			    (unsigned long long)at, log_lines);
		flip(name, at, mask);
	}
}

static void every_sampled_bit_of_every_file_is_told(void **state)
{
	(void)state;
	static const char *const dirs[] = {
	    "topics/t-0", "topics/u-1", "topics/__kappa_catalog-0", "journal"};
	struct prng prng;
	prng_init(&prng, test_seed(31));
	for (size_t d = 0; d < sizeof(dirs) / sizeof(dirs[0]); d++) {
		struct io_names names;
		assert_int_equal(io_list(server.io, path_of(dirs[d]), &names), ERR_OK);
		for (size_t i = 0; i < names.count; i++)
			sweep(dirs[d], names.name[i], &prng);
		io_names_release(&names);
	}
	assert_int_equal(fsck(), ERR_OK); /* everything is back as it was */
	log_lines_say(" findings=0");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
/* ---- sequences over all partitions ---- */

/* The next start refuses it with the same words. */
static void lost_topics_are_the_loss_of_each_partition(void **state)
{
	(void)state;
	assert_int_equal(io_rename(server.io, path_of("topics"), path_of("gone")), ERR_OK);
	assert_int_equal(fsck(), ERR_CORRUPT);
	log_lines_say("verdict=LOST_SUFFIX partition=__kappa_catalog-0 ");
	log_lines_say("segments=0 frames=0");
	struct loop *loop;
	struct log *log;
	assert_int_equal(loop_new(server.io, 2, &loop), ERR_OK);
	assert_int_equal(log_open(loop, &server.options, &log), ERR_LOST_SUFFIX);
	loop_free(loop);
}

struct steps {
	uint64_t done, total, count;
};

static void step(void *ctx, uint64_t done, uint64_t total)
{
	struct steps *s = ctx;
	assert_true(done >= s->done && done <= total && total >= s->total);
	*s = (struct steps){done, total, s->count + 1};
}

static void progress_is_told_up_to_all_there_is(void **state)
{
	struct steps steps = {0};
	const struct log_fsck_options options = {.progress = step, .progress_ctx = &steps};
	const struct log_fsck_options json = {
	    .json = true, .progress = step, .progress_ctx = &steps};
	uint64_t all = 0;
	(void)state;
	for (size_t n = 0; n < 4; n++)
		all += size_of(segment(base_of(n), ".log"));
	log_lines_clear();
	assert_int_equal(
	    log_fsck(server.io, server.dir, &options, log_lines_collect, NULL), ERR_OK);
	assert_true(steps.count > 4 && steps.done == steps.total && steps.total > all);
	/* a file among the directories, and none of them at all */
	assert_int_equal(
	    io_write_file(server.io, path_of("topics/notes"), str_bytes(STR("x"))), ERR_OK);
	steps = (struct steps){0};
	assert_int_equal(
	    log_fsck(server.io, server.dir, &options, log_lines_collect, NULL), ERR_OK);
	assert_true(steps.total > all);
	assert_int_equal(io_rename(server.io, path_of("topics"), path_of("gone")), ERR_OK);
	steps = (struct steps){0};
	log_lines_clear();
	assert_int_equal(
	    log_fsck(server.io, server.dir, &json, log_lines_collect, NULL), ERR_CORRUPT);
	log_lines_say("{\"verdict\":\"LOST_SUFFIX\",\"partition\":\"__kappa_catalog-0\",");
}

static void lines_may_be_json(void **state)
{
	const struct log_fsck_options options = {.json = true};
	(void)state;
	flip(segment(0, ".log"), 4096 + 200, 1);
	assert_int_equal(io_mkdir_all(server.io, path_of("quarantine")), ERR_OK);
	assert_int_equal(
	    io_write_file(server.io, path_of("quarantine/7"), str_bytes(STR("not ours"))), ERR_OK);
	log_lines_clear();
	assert_int_equal(
	    log_fsck(server.io, server.dir, &options, log_lines_collect, NULL), ERR_CORRUPT);
	log_lines_say("{\"verdict\":\"DAMAGED\",\"partition\":\"t-0\",\"segment\":0,\"pos\":4096,");
	log_lines_say(
	    "\"file\":\"quarantine/7\",\"bytes\":8,\"reason\":\"not put here by this program\"}");
	log_lines_say("{\"verdict\":\"OK\",\"partitions\":3,");
}

/* Reasons quote paths, keys and each other: all of it is the value. */
static void a_line_becomes_json_word_by_word(void **state)
{
	static const struct {
		const char *line, *json;
	} each[] = {
	    {"verdict=OK count=-3 large=18446744073709551615 word=a",
	        "{\"verdict\":\"OK\",\"count\":-3,\"large\":18446744073709551615,\"word\":\"a\"}"},
	    {"reason=\"say \"this\" now\" file=12 partition=3",
	        "{\"reason\":\"say \\\"this\\\" now\",\"file\":\"12\",\"partition\":\"3\"}"},
	    {"reason=\"a \" b\" c\" next_key=1", "{\"reason\":\"a \\\" b\\\" c\",\"next_key\":1}"},
	    {"reason=\"\" empty= x=1", "{\"reason\":\"\",\"empty\":\"\",\"x\":1}"},
	    {"no pair", "{}"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
		struct writer out;
		writer_init(&out, KIB);
		fsck_json(&out, str_of(each[i].line));
		assert_int_equal(out.err, ERR_OK);
		write_u8(&out, 0);
		assert_string_equal((const char *)out.ptr, each[i].json);
		writer_release(&out);
	}
}

static void every_sequence_is_a_batch_or_named(void **state)
{
	static const char *const none[] = {"kappa.durability=none", NULL};
	(void)state;
	assert_int_equal(fsck(), ERR_OK);
	log_lines_say(
	    "verdict=OK sequences=27 last=27 missing=0 in_holes=0 named=0 deleted_or_lost=0");
	log_server_open(&server);
	log_server_create(&server, "fast", 1, none);
	log_server_append(&server, "fast", 0, "a");
	log_server_crash(&server); /* burns what it had reserved */
	log_server_append(&server, "u", 0, "b");
	log_server_close(&server);
	assert_int_equal(fsck(), ERR_OK);
	log_lines_say(" deleted_or_lost=0");
	log_lines_say_not("missing=0 ");
	log_lines_say(" findings=0");
}

static void a_hole_that_nothing_names_is_told(void **state)
{
	(void)state;
	log_server_open(&server);
	server.log->rounds.next_sequence += 5;
	log_server_append(&server, "u", 0, "behind the hole");
	log_server_close(&server);
	assert_int_equal(fsck(), ERR_OK);
	log_lines_say("verdict=GAP sequences=5 behind=1 reason=");
	log_lines_say(" missing=5 in_holes=0 named=0 deleted_or_lost=5");
	log_server_open(&server);
	struct log_topic_req req;
	assert_int_equal(log_server_change(&server, LOG_TOPIC_DELETE, "t", 0, NULL, &req), ERR_OK);
	log_server_close(&server);
	assert_int_equal(fsck(), ERR_OK); /* now they may have been of records that were deleted */
	log_lines_say_not("verdict=GAP");
}

static void a_sequence_that_two_have_is_damage(void **state)
{
	(void)state;
	struct bytes file;
	assert_int_equal(io_mkdir(server.io, path_of("topics/copy-0")), ERR_OK);
	assert_int_equal(io_read_file(server.io, path_of(segment(0, ".log")), MIB, &file), ERR_OK);
	assert_int_equal(
	    io_write_file(server.io, path_of("topics/copy-0/00000000000000000000.log"), file),
	    ERR_OK);
	mem_free((void *)(uintptr_t)file.ptr);
	assert_int_equal(fsck(), ERR_CORRUPT);
	log_lines_say("reason=\"another batch has this sequence\"");
	log_lines_say("verdict=DAMAGED partition=");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_clean_directory_has_no_findings),
	    TEST(a_roll_that_nothing_has_followed_is_no_finding),
	    TEST(lost_topics_are_the_loss_of_each_partition),
	    TEST(progress_is_told_up_to_all_there_is),
	    TEST(lines_may_be_json),
	    TEST(a_line_becomes_json_word_by_word),
	    TEST(every_sequence_is_a_batch_or_named),
	    TEST(a_hole_that_nothing_names_is_told),
	    TEST(a_sequence_that_two_have_is_damage),
	    TEST(a_served_directory_is_left_alone),
	    TEST(another_directory_is_refused),
	    TEST(a_crash_leaves_only_what_the_next_start_puts_right),
	    TEST(frames_that_only_the_journal_has_are_repaired),
	    TEST(a_bad_body_is_damaged_and_named),
	    TEST(a_bad_header_is_damaged_and_the_index_leads_on),
	    TEST(a_bad_segment_header_is_damaged),
	    TEST(a_missing_segment_is_named),
	    TEST(a_lost_end_is_named),
	    TEST(a_torn_tail_is_harmless),
	    TEST(bad_caches_are_removed_when_asked),
	    TEST(a_lost_directory_is_named),
	    TEST(data_without_a_catalog_are_orphans),
	    TEST(a_missing_journal_is_named),
	    TEST(every_sampled_bit_of_every_file_is_told),
	};
	diag_set_level(DIAG_ERROR);
	return cmocka_run_group_tests_name("fsck", tests, NULL, NULL);
}
