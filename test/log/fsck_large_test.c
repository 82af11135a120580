/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A large region without one good frame: each place of it is told, from the index, and the time is
 * that of reading it, not the square of it.
 */
#include "test/lib/log_files.h"
#include "test/lib/log_server.h"
#include "test/lib/tempdir.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { FRAMES = 40000, AT_ONCE = 4000 };
static struct log_server server;
static struct log_files files;
static unsigned damaged, left;

static void was_appended(struct log_append *req)
{
	assert_int_equal(req->err, ERR_OK);
	left--;
}

static void fill(void)
{
	static struct log_append req[AT_ONCE];
	static uint8_t copies[AT_ONCE][128];
	struct batch_builder b;
	struct writer batch;
	struct log_partition *p = log_partition_find(server.log, log_server_topic(&server, "t"), 0);
	batch_builder_init(&b, BATCH_NONE);
	writer_init(&batch, sizeof(copies[0]));
	assert_int_equal(
	    batch_builder_add(&b, 1, str_bytes(STR("key")), str_bytes(STR("value")), NULL, 0),
	    ERR_OK);
	assert_int_equal(batch_builder_finish(&b, &batch), ERR_OK);
	for (int done = 0; done < FRAMES; done += AT_ONCE) {
		left = AT_ONCE;
		for (int i = 0; i < AT_ONCE; i++) {
			memcpy(copies[i], batch.ptr, batch.len);
			req[i] = (struct log_append){.partition = p,
			    .batch = copies[i],
			    .batch_len = batch.len,
			    .done = was_appended};
			log_append(server.log, (struct log_append *[]){&req[i]}, 1, false);
		}
		while (left > 0)
			log_server_turn(&server);
	}
	writer_release(&batch);
	batch_builder_release(&b);
}

static void zero_from(const char *name, uint64_t from)
{
	uint64_t size = log_files_size(&files, name);
	log_files_resize(&files, name, from);
	log_files_resize(&files, name, size);
}

static void count(void *ctx, struct str line)
{
	static const char text[] = "verdict=DAMAGED partition=t-0";
	(void)ctx;
	damaged += line.len > strlen(text) && memcmp(line.ptr, text, strlen(text)) == 0;
}

static double seconds_of_fsck(enum err want)
{
	const struct log_fsck_options options = {0};
	clock_t began = clock();
	damaged = 0;
	err_clear();
	assert_int_equal(log_fsck(server.io, server.dir, &options, count, NULL), want);
	return (double)(clock() - began) / CLOCKS_PER_SEC;
}

static void a_region_of_zeros_takes_no_square_of_time(void **state)
{
	(void)state;
	log_server_init(&server);
	log_server_create(&server, "t", 1, NULL);
	fill();
	log_server_close(&server);
	files = (struct log_files){server.io, server.dir};
	for (int i = 0; i < 4; i++) { /* the journal's copies go */
		char name[40];
		snprintf(name, sizeof(name), "journal/journal-%d", i);
		zero_from(name, 4096);
	}
	double whole = seconds_of_fsck(ERR_OK);
	zero_from("topics/t-0/00000000000000000000.log", SEGMENT_HEADER_BYTES);
	double zeros = seconds_of_fsck(ERR_CORRUPT);
	assert_true(damaged >= FRAMES);
	print_message("%.3f s whole, %.3f s zeros\n", whole, zeros);
	assert_true(zeros < 5 * whole + 0.2);
	char *parent = tempdir_new(), out[4096];
	snprintf(out, sizeof(out), "%s/out", parent);
	const struct log_fsck_options options = {.journal_bytes = JOURNAL_BYTES_MIN};
	struct log_salvage_result result;
	clock_t began = clock();
	assert_int_equal(
	    log_salvage(server.io, server.dir, out, &options, count, NULL, &result), ERR_OK);
	assert_int_equal(result.lost_offsets, FRAMES);
	double salvaged = (double)(clock() - began) / CLOCKS_PER_SEC;
	assert_true(salvaged < 5 * whole + 0.5);
	tempdir_remove(parent);
	log_server_release(&server);
	err_clear();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_region_of_zeros_takes_no_square_of_time),
	};
	diag_set_level(DIAG_ERROR);
	return cmocka_run_group_tests_name("fsck_large", tests, NULL, NULL);
}
