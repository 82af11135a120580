/* SPDX-License-Identifier: Apache-2.0 */
#include "log/batch.h"
#include "log/offline.h"
#include "test/lib/log_server.h"

/*
 * Partitions near the last offset there is. No append gets there; a directory that was made of
 * another's files may say so, and one append to it ended the server.
 */
static struct log_server server;
static int64_t start;

static int setup(void **state)
{
	(void)state;
	log_server_init(&server);
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

static enum err put_rows(void *ctx, struct log *log)
{
	const struct catalog_partition_row row = {
	    .topic_id = uuid_random(server.io), .log_start = start};
	const struct offline_topic topic = {.name = STR("t"), .id = row.topic_id, .partitions = 1};
	(void)ctx;
	TRY(offline_put_early(log, &row));
	return offline_put_topic(log, &topic);
}

/* The server with a topic t whose only partition is empty and begins at `offset`. */
static void open_at(int64_t offset)
{
	const struct offline_open open = {
	    .io = server.io, .data_dir = server.dir, .journal_bytes = JOURNAL_BYTES_MIN};
	start = offset;
	assert_int_equal(offline_with_log(&open, put_rows, NULL), ERR_OK);
	log_server_open(&server);
	assert_int_equal(log_server_status(&server, "t", 0).log_end, offset);
}

static enum err append(void)
{
	return log_server_try_append(&server, "t", 0, "one", NULL);
}

static void done(struct log_append *req)
{
	*(bool *)req->user = true;
}

static enum err end_transaction(void)
{
	const struct batch_marker marker = {.producer_id = 7, .commit = true};
	bool answered = false;
	struct writer out;
	writer_init(&out, BATCH_MARKER_BYTES);
	assert_int_equal(batch_marker_build(&marker, 2000, &out), ERR_OK);
	struct log_append req = {
	    .partition = log_partition_find(server.log, log_server_topic(&server, "t"), 0),
	    .batch = out.ptr,
	    .batch_len = out.len,
	    .internal = true,
	    .user = &answered,
	    .done = done,
	};
	struct log_append *reqs = &req;
	log_append(server.log, &reqs, 1, false);
	while (!answered)
		log_server_turn(&server);
	writer_release(&out);
	return req.err;
}

static void records_are_refused_behind_the_last_offset_for_them(void **state)
{
	(void)state;
	open_at(OFFSET_END_MAX - 1);
	assert_int_equal(append(), ERR_OK);
	assert_int_equal(append(), ERR_OK);
	assert_int_equal(append(), ERR_POLICY_VIOLATION);
	assert_non_null(strstr(err_chain(), "no offsets are left"));
	assert_int_equal(end_transaction(), ERR_OK); /* its readers wait */
	log_server_crash(&server);
	assert_int_equal(log_server_status(&server, "t", 0).log_end, OFFSET_END_MAX + 2);
	assert_string_equal(log_server_read(&server, "t", 0, OFFSET_END_MAX), "one");
	assert_int_equal(append(), ERR_POLICY_VIOLATION);
}

static void nothing_is_written_behind_the_greatest_offset(void **state)
{
	(void)state;
	open_at(INT64_MAX - 1);
	assert_int_equal(append(), ERR_POLICY_VIOLATION);
	assert_int_equal(end_transaction(), ERR_POLICY_VIOLATION);
	log_server_restart(&server);
	assert_int_equal(append(), ERR_POLICY_VIOLATION);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(records_are_refused_behind_the_last_offset_for_them),
	    TEST(nothing_is_written_behind_the_greatest_offset),
	};
	diag_set_level(DIAG_ERROR);
	return cmocka_run_group_tests_name("offset_end", tests, NULL, NULL);
}
