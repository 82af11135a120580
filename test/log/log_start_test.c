/* SPDX-License-Identifier: Apache-2.0 */
#include "log/batch.h"
#include "test/lib/log_files.h"
#include "test/lib/log_lines.h"
#include "test/lib/log_server.h"
#include "test/lib/tempdir.h"
#include <stdio.h>

/*
 * Where the log of a partition starts, on its way out of a Kafka log directory and into one: a file
 * beside the partitions' directories says so, for files and batches stay whole. d-0 has batches of
 * ten records, ten in 0.log and ten in 100.log.
 */
#define STARTS "log-start-offset-checkpoint"
enum { END = 200 };
static struct log_server server;
static struct log_files kafka;

static void write_text(const char *name, const char *text)
{
	assert_int_equal(
	    io_write_file(server.io, log_files_path(&kafka, name), bytes_of(text, strlen(text))),
	    ERR_OK);
}

static void add_batch(struct writer *w, int64_t base)
{
	struct batch_builder b;
	size_t at = w->len;
	batch_builder_init(&b, BATCH_NONE);
	for (int i = 0; i < 10; i++) {
		char value[32];
		int n = snprintf(value, sizeof(value), "v%lld", (long long)base + i);
		assert_int_equal(batch_builder_add(&b, 1790000000000 + base, bytes_of("k", 1),
		                     bytes_of(value, (size_t)n), NULL, 0),
		    ERR_OK);
	}
	assert_int_equal(batch_builder_finish(&b, w), ERR_OK);
	batch_builder_release(&b);
	put_u64_be(w->ptr + at, (uint64_t)base);
}

static void make_partition(const char *name)
{
	assert_int_equal(io_mkdir(server.io, log_files_path(&kafka, name)), ERR_OK);
	for (int64_t base = 0; base < END; base += 100) {
		char path[300];
		struct writer w;
		writer_init(&w, MIB);
		for (int64_t k = 0; k < 100; k += 10)
			add_batch(&w, base + k);
		snprintf(path, sizeof(path), "%s/%020lld.log", name, (long long)base);
		assert_int_equal(
		    io_write_file(server.io, log_files_path(&kafka, path), writer_bytes(&w)),
		    ERR_OK);
		writer_release(&w);
	}
}

static int setup(void **state)
{
	(void)state;
	log_server_init(&server);
	log_server_close(&server);
	kafka = (struct log_files){server.io, tempdir_new()};
	make_partition("d-0");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	log_server_release(&server);
	tempdir_remove((char *)(uintptr_t)kafka.dir);
	err_clear();
	return 0;
}

static enum err import_as(const char *path, const char *as)
{
	const struct log_import_options options = {.as = as, .journal_bytes = JOURNAL_BYTES_MIN};
	char from[300];
	snprintf(from, sizeof(from), "%s/%s", kafka.dir, path);
	log_lines_clear();
	err_clear();
	return log_import(server.io, from, server.dir, &options, log_lines_collect, NULL);
}

static enum err export_to(const char *topic, const char *out)
{
	const struct log_export_options options = {.partition = -1};
	log_lines_clear();
	err_clear();
	return log_export(server.io, server.dir, topic, log_files_path(&kafka, out), &options,
	    log_lines_collect, NULL);
}

static void file_says(const char *name, const char *text)
{
	struct bytes b;
	assert_int_equal(io_read_file(server.io, log_files_path(&kafka, name), MIB, &b), ERR_OK);
	assert_int_equal(b.len, strlen(text));
	assert_memory_equal(b.ptr, text, b.len);
	mem_free((void *)(uintptr_t)b.ptr);
}

static void begins_at(const char *topic, int64_t start, int64_t end)
{
	const struct log_fsck_options options = {0};
	char value[32];
	log_server_open(&server);
	assert_int_equal(log_server_status(&server, topic, 0).log_start, start);
	assert_int_equal(log_server_status(&server, topic, 0).log_end, end);
	assert_null(log_server_read(&server, topic, 0, start - 1));
	if (start < END) {
		snprintf(value, sizeof(value), "v%lld", (long long)start);
		assert_string_equal(log_server_read(&server, topic, 0, start), value);
	}
	log_server_close(&server);
	log_lines_clear();
	assert_int_equal(
	    log_fsck(server.io, server.dir, &options, log_lines_collect, NULL), ERR_OK);
	log_lines_say(" findings=0");
}

static void deleted_records_do_not_come_back(void **state)
{
	(void)state;
	write_text(STARTS, "0\n3\nd 1 7\nd 0 15\nd-0 0 199\n");
	assert_int_equal(import_as("", NULL), ERR_OK);
	log_lines_say(" batches=20 ");
	log_lines_say(" log_start=15 log_end=200");
	begins_at("d", 15, END);
	assert_int_equal(export_to("d", "out"), ERR_OK);
	assert_true(log_files_exist(&kafka, "out/d-0/00000000000000000010.log"));
	file_says("out/" STARTS, "0\n1\nd 0 15\n");
	assert_int_equal(import_as("out", "again"), ERR_OK);
	begins_at("again", 15, END);
}

/* Files below it, which Kafka had not come to unlink, are not even read. */
static void files_below_the_log_start_are_passed_over(void **state)
{
	(void)state;
	write_text(STARTS, "0\n1\nd 0 100\n");
	log_files_flip(&kafka, "d-0/00000000000000000000.log", 70, 1);
	assert_int_equal(
	    import_as("d-0/", NULL), ERR_OK); /* one partition: the file is beside it */
	log_lines_say(" batches=10 ");
	begins_at("d", 100, END);
	assert_int_equal(export_to("d", "out"), ERR_OK);
	assert_false(log_files_exist(&kafka, "out/" STARTS)); /* the file's name says it */
}

/* Kafka drops such files when it starts, and goes on at the log start. */
static void a_log_start_behind_the_end_is_the_end(void **state)
{
	(void)state;
	write_text(STARTS, "0\n1\nd 0 300\n");
	assert_int_equal(import_as("", NULL), ERR_OK);
	begins_at("d", 300, 300);
	assert_int_equal(export_to("d", "out"), ERR_OK);
	assert_true(log_files_exist(&kafka, "out/d-0/00000000000000000300.log"));
	assert_int_equal(import_as("out", "again"), ERR_OK);
	begins_at("again", 300, 300);
	log_server_open(&server);
	assert_int_equal(log_server_append(&server, "d", 0, "next"), 300);
}

static void what_says_no_log_starts_is_refused(void **state)
{
	static const char *const bad[] = {"", "0\n", "1\n0\n", "0\n2\nd 0 15\n", "0\n1\nd 0\n",
	    "0\n1\nd 0 -1\n", "0\n1\nd x 15\n", "0\n1\nd 0 15 16\n", "0\n0\nd 0 15\n",
	    "0\n1\n 0 15\n", "0\n1\nd 3000000000 15\n"};
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		write_text(STARTS, bad[i]);
		if (import_as("", NULL) != ERR_CORRUPT)
			fail_msg("taken: %s", bad[i]);
		assert_non_null(strstr(err_chain(), "/" STARTS " line "));
	}
	write_text(STARTS, "0\n1\nd 0 9223372036854775807");
	assert_int_equal(import_as("", NULL), ERR_LIMIT);
	write_text(STARTS, "0\n1\nd 0 15"); /* the last line's end is not asked for */
	assert_int_equal(import_as("", NULL), ERR_OK);
	begins_at("d", 15, END);
}

/* Of others it is kept, and what it said of a former d-0 is not. */
static void an_export_keeps_what_is_said_of_other_partitions(void **state)
{
	(void)state;
	assert_int_equal(import_as("", NULL), ERR_OK);
	assert_int_equal(io_mkdir(server.io, log_files_path(&kafka, "out")), ERR_OK);
	write_text("out/" STARTS, "0\n1\nnonsense\n");
	assert_int_equal(export_to("d", "out"), ERR_CORRUPT);
	assert_false(log_files_exist(&kafka, "out/d-0"));
	write_text("out/" STARTS, "0\n3\nd 1 7\nd 0 150\nother 0 9\n");
	assert_int_equal(export_to("d", "out"), ERR_OK);
	file_says("out/" STARTS, "0\n2\nd 1 7\nother 0 9\n");
}

static void one_export_at_a_time_writes_to_a_directory(void **state)
{
	int fd;
	(void)state;
	assert_int_equal(import_as("", NULL), ERR_OK);
	assert_int_equal(io_mkdir(server.io, log_files_path(&kafka, "out")), ERR_OK);
	assert_int_equal(
	    io_open(server.io, log_files_path(&kafka, "out"), IO_DIRECTORY, &fd), ERR_OK);
	assert_int_equal(io_lock(server.io, fd, false), ERR_OK);
	assert_int_equal(export_to("d", "out"), ERR_REFUSED);
	assert_int_equal(io_close(server.io, fd), ERR_OK);
	assert_int_equal(export_to("d", "out"), ERR_OK);
}

/* An empty last file says where the next record goes. */
static void an_end_behind_the_last_batch_stays_the_end(void **state)
{
	(void)state;
	write_text("d-0/00000000000000000500.log", "");
	assert_int_equal(import_as("", NULL), ERR_OK);
	log_lines_say(" log_start=0 log_end=500");
	assert_int_equal(export_to("d", "out"), ERR_OK);
	log_lines_say(" segments=3 log_start=0 log_end=500");
	assert_true(log_files_exist(&kafka, "out/d-0/00000000000000000500.log"));
	assert_int_equal(import_as("out", "again"), ERR_OK);
	log_server_open(&server);
	assert_int_equal(log_server_append(&server, "again", 0, "next"), 500);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(deleted_records_do_not_come_back),
	    TEST(files_below_the_log_start_are_passed_over),
	    TEST(a_log_start_behind_the_end_is_the_end),
	    TEST(what_says_no_log_starts_is_refused),
	    TEST(an_export_keeps_what_is_said_of_other_partitions),
	    TEST(one_export_at_a_time_writes_to_a_directory),
	    TEST(an_end_behind_the_last_batch_stays_the_end),
	};
	diag_set_level(DIAG_ERROR);
	return cmocka_run_group_tests_name("log_start", tests, NULL, NULL);
}
