/* SPDX-License-Identifier: Apache-2.0 */
#include "log/generation.h"
#include "log/engine.h"
#include "test/lib/sim_io.h"
#include "test/lib/test.h"
#include <stdio.h>
#include <time.h>

static struct sim_disk *disk;
static struct io *io;

static int setup(void **state)
{
	(void)state;
	struct sim_options o = {.seed = 1};
	disk = sim_disk_new(0);
	assert_int_equal(sim_io_new(disk, &o, &io), ERR_OK);
	assert_int_equal(io_mkdir(io, "/p"), ERR_OK);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	io_free(io);
	sim_disk_free(disk);
	err_clear();
	return 0;
}

/* A file with a segment header; end 0: of generation 0, without what it stands for. */
static void put(const char *name, int64_t base, uint32_t generation, int64_t end)
{
	char path[128];
	uint8_t block[SEGMENT_HEADER_BYTES];
	int fd;
	struct segment_header h = {
	    .format_version = end > 0 ? SEGMENT_VERSION_REWRITTEN : SEGMENT_VERSION,
	    .topic_id = {{1}},
	    .topic_name = STR("t"),
	    .base_offset = base,
	    .generation = generation,
	    .rewrite = {.end_offset = end},
	};
	segment_header_encode(&h, block);
	snprintf(path, sizeof(path), "/p/%s", name);
	assert_int_equal(io_open(io, path, IO_CREATE, &fd), ERR_OK);
	assert_int_equal(io_pwrite(io, fd, block, sizeof(block), 0), ERR_OK);
	assert_int_equal(io_close(io, fd), ERR_OK);
}

/* What is left after cleaning, names separated by blanks. */
static const char *cleaned(bool expect_any)
{
	static char text[1024];
	struct io_names names;
	bool any;
	assert_int_equal(io_list(io, "/p", &names), ERR_OK);
	assert_int_equal(generations_clean(io, "/p", &names, &any), ERR_OK);
	assert_int_equal(any, expect_any);
	io_names_release(&names);
	assert_int_equal(io_list(io, "/p", &names), ERR_OK);
	text[0] = '\0';
	for (size_t i = 0; i < names.count; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? " " : "",
		    names.name[i]);
	io_names_release(&names);
	return text;
}

#define N(n) "0000000000000000000" #n

static void names_carry_the_generation(void **state)
{
	(void)state;
	char buf[SEGMENT_NAME_BYTES];
	int64_t base;
	uint32_t g;
	assert_string_equal(segment_name_of(42, 0, ".log", buf), "00000000000000000042.log");
	assert_string_equal(segment_name_of(42, 3, ".idx", buf), "00000000000000000042.g3.idx");
	assert_true(segment_name_parse_of("00000000000000000042.g3.idx", ".idx", &base, &g));
	assert_int_equal(base, 42);
	assert_int_equal(g, 3);
	assert_true(segment_name_parse_of("00000000000000000042.log", ".log", &base, &g));
	assert_int_equal(g, 0);
	static const char *const bad[] = {"00000000000000000042.g0.log",
	    "00000000000000000042.g03.log", "00000000000000000042.g.log",
	    "00000000000000000042.g+3.log", "0000000000000000042.g3.log",
	    "00000000000000000042.g4294967296.log", "00000000000000000042.g3x.log",
	    "00000000000000000042.g-1.log", "00000000000000000042.g3", "x"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(segment_name_parse_of(bad[i], ".log", &base, &g));
	assert_true(generation_unfinished("00000000000000000042.g3.log.new"));
	assert_true(generation_unfinished("00000000000000000042.g3.idx.new"));
	assert_false(generation_unfinished("00000000000000000042.g3.log"));
}

static void a_directory_without_generations_is_left_alone(void **state)
{
	(void)state;
	put(N(0) ".log", 0, 0, 0);
	put(N(5) ".log", 5, 0, 0);
	put(N(5) ".idx", 5, 0, 0);
	put("people.log", 0, 0, 0);
	assert_string_equal(cleaned(false), N(0) ".log " N(5) ".idx " N(5) ".log people.log");
}

static void the_newest_generation_counts_with_all_it_stands_for(void **state)
{
	(void)state;
	put(N(0) ".log", 0, 0, 0);
	put(N(0) ".idx", 0, 0, 0);
	put(N(0) ".snap", 0, 0, 0);
	put(N(0) ".g1.log", 0, 1, 5);
	put(N(0) ".g2.log", 0, 2, 9);
	put(N(0) ".g2.idx", 0, 2, 9);
	put(N(5) ".log", 5, 0, 0);
	put(N(5) ".idx", 5, 0, 0);
	put(N(5) ".snap", 5, 0, 0);
	put(N(9) ".log", 9, 0, 0);
	assert_string_equal(
	    cleaned(true), N(0) ".g2.idx " N(0) ".g2.log " N(0) ".snap " N(9) ".log");
	assert_string_equal(
	    cleaned(false), N(0) ".g2.idx " N(0) ".g2.log " N(0) ".snap " N(9) ".log");
}

/* Two of each file, and each fourth is merged with the next. From `first` on. */
static void put_generations(struct io_names *names, int first, int count)
{
	enum { STEP = 10 };
	char buf[SEGMENT_NAME_BYTES];
	for (int i = first; i < first + count; i++) {
		bool merged = i % 4 == 0, gone = i % 4 == 1;
		segment_name_of(i * STEP, 0, ".log", buf);
		names->name[2 * i] = mem_strdup(str_of(buf));
		segment_name_of(i * STEP, gone ? 1 : 2, ".log", buf);
		names->name[2 * i + 1] = mem_strdup(str_of(buf));
		put(buf, i * STEP, gone ? 1 : 2, (int64_t)(i + (merged ? 2 : 1)) * STEP);
	}
	names->count = (size_t)2 * (size_t)(first + count);
}

/* The least time of a processor that a few readings of them have taken. */
static double time_of_reading(struct io_names *names)
{
	double least = 1e9;
	for (int tries = 0; tries < 5; tries++) {
		struct generations g;
		size_t left = 0;
		clock_t began = clock();
		assert_int_equal(generations_read(io, "/p", names, &g), ERR_OK);
		double took = (double)(clock() - began) / CLOCKS_PER_SEC;
		least = took < least ? took : least;
		assert_int_equal(g.count, names->count);
		for (size_t i = 0; i < g.count; i++) {
			const struct generation_file *f = &g.files[i];
			bool counts = f->generation == 2;
			assert_true(i == 0 || g.files[i - 1].base_offset <= f->base_offset);
			assert_int_equal(f->superseded, !counts);
			left += counts;
		}
		assert_int_equal(left, names->count / 2 * 3 / 4);
		generations_release(&g);
	}
	return least;
}

/* As many as a start may meet of a partition, each compacted: no square of them. Sixteen times as
 * many take about as much longer; the square of that would be 256. */
static void thousands_of_generations_are_told_apart(void **state)
{
	enum { FILES = 20000, FEW = FILES / 16 };
	struct io_names names = {.name = mem_calloc((size_t)2 * FILES, sizeof(char *))};
	(void)state;
	assert_non_null(names.name);
	put_generations(&names, 0, FEW);
	double few = time_of_reading(&names);
	put_generations(&names, FEW, FILES - FEW);
	double all = time_of_reading(&names);
	print_message("%d files: %.4f s, %d: %.4f s\n", 2 * FEW, few, 2 * FILES, all);
	assert_true(all < 80 * few);
	io_names_release(&names);
}

static void what_was_never_finished_goes(void **state)
{
	(void)state;
	put(N(0) ".log", 0, 0, 0);
	put(N(0) ".g1.log.new", 0, 1, 5);
	put(N(0) ".g1.idx.new", 0, 1, 5);
	put(N(0) ".g1.idx", 0, 1, 5);
	assert_string_equal(cleaned(true), N(0) ".log");
}

/* A name that its header does not bear out supersedes nothing: the old file is still good. */
static void a_bad_generation_supersedes_nothing(void **state)
{
	(void)state;
	int fd;
	put(N(0) ".log", 0, 0, 0);
	put(N(0) ".g1.log", 0, 1, 5);
	assert_int_equal(io_open(io, "/p/" N(0) ".g1.log", 0, &fd), ERR_OK);
	assert_int_equal(io_pwrite(io, fd, "x", 1, 100), ERR_OK);
	assert_int_equal(io_close(io, fd), ERR_OK);
	put(N(5) ".log", 5, 0, 0);
	put(N(5) ".g2.log", 5, 7, 9);
	assert_string_equal(
	    cleaned(false), N(0) ".g1.log " N(0) ".log " N(5) ".g2.log " N(5) ".log");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(names_carry_the_generation, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        a_directory_without_generations_is_left_alone, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        the_newest_generation_counts_with_all_it_stands_for, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        thousands_of_generations_are_told_apart, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_was_never_finished_goes, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_bad_generation_supersedes_nothing, setup, teardown),
	};
	return cmocka_run_group_tests_name("generation", tests, NULL, NULL);
}
