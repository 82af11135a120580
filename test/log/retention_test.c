/* SPDX-License-Identifier: Apache-2.0 */
#include "log/retention.h"
#include "log/catalog_change.h"
#include "test/lib/log_server.h"
#include "test/lib/patience.h"
#include <stdio.h>

static struct log_server server;

static int setup(void **state)
{
	(void)state;
	log_server_init(&server);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	log_server_release(&server);
	err_clear();
	return 0;
}

/* 40 records of 8 KiB in segments of 64 KiB. */
static struct log_partition *fill(const char *const *configs)
{
	char value[8192];
	memset(value, 'v', sizeof(value));
	value[sizeof(value) - 1] = '\0';
	log_server_create(&server, "t", 1, configs);
	for (int i = 0; i < 40; i++)
		log_server_append(&server, "t", 0, value);
	return log_partition_find(server.log, log_server_topic(&server, "t"), 0);
}

static void run(void)
{
	struct retention *r = server.log->catalog->retention;
	retention_run(r);
	while (retention_busy(r))
		log_server_turn(&server);
}

static int64_t now_ns(void)
{
	return io_clock_ns(server.io, IO_CLOCK_REALTIME);
}

static int64_t log_start(void)
{
	return log_server_status(&server, "t", 0).log_start;
}

static void nothing_is_due_by_default(void **state)
{
	(void)state;
	const char *const configs[] = {"segment.bytes=65536", NULL};
	struct log_partition *p = fill(configs);
	assert_true(p->segment_count >= 5);
	run();
	assert_int_equal(log_start(), 0);
	assert_int_equal(retention_target(p, now_ns()), 0);
}

static void old_segments_go_by_append_time(void **state)
{
	(void)state;
	const char *const configs[] = {"segment.bytes=65536", "retention.ms=60000", NULL};
	struct log_partition *p = fill(configs);
	int64_t soon = now_ns() + 59 * S_NS, later = now_ns() + 61 * S_NS;
	assert_int_equal(retention_target(p, soon), 0);
	/* all sealed ones, but never the active one */
	int64_t target = retention_target(p, later);
	const struct segment *active = partition_active(p);
	ASSERT(active);
	assert_int_equal(target, active->base_offset);
	assert_true(target > 0 && target < 40);
	/* a clock that jumped back deletes nothing */
	assert_int_equal(retention_target(p, 0), 0);
}

static void whole_segments_go_until_the_size_fits(void **state)
{
	(void)state;
	const char *const configs[] = {"segment.bytes=65536", "retention.bytes=150000", NULL};
	struct log_partition *p = fill(configs);
	int64_t target = retention_target(p, now_ns());
	assert_true(target > 0);
	run();
	assert_int_equal(log_start(), target);
	struct log_partition_status status = log_server_status(&server, "t", 0);
	assert_in_range(status.size_bytes, 150000, 150000 + 65536 + 8192);
	assert_null(log_server_read(&server, "t", 0, target - 1));
	assert_non_null(log_server_read(&server, "t", 0, target));
	run();
	assert_int_equal(log_start(), target);
	for (int crash = 0; crash < 2; crash++) {
		if (crash)
			log_server_crash(&server);
		else
			log_server_restart(&server);
		assert_int_equal(log_start(), target);
		assert_null(log_server_read(&server, "t", 0, target - 1));
		assert_non_null(log_server_read(&server, "t", 0, 39));
	}
}

static void the_files_are_gone_only_after_log_start_is_durable(void **state)
{
	(void)state;
	const char *const configs[] = {"segment.bytes=65536", "retention.bytes=0", NULL};
	struct log_partition *p = fill(configs);
	char path[4096];
	struct io_stat stat;
	snprintf(path, sizeof(path), "%s/topics/t-0/00000000000000000000.log", server.dir);
	assert_int_equal(io_stat(server.io, path, &stat), ERR_OK);
	struct row_name name = {.kind = ROW_PARTITION, .id = p->topic->id};
	retention_run(server.log->catalog->retention);
	while (io_stat(server.io, path, &stat) == ERR_OK) {
		/* as long as the row is not applied, which is after it is durable, the file must be there */
		if (!catalog_kept(server.log->catalog, &name))
			assert_int_equal(log_start(), 0);
		log_server_turn(&server);
	}
	assert_non_null(catalog_kept(server.log->catalog, &name));
	const struct segment *active = partition_active(p);
	ASSERT(active);
	assert_int_equal(log_start(), active->base_offset);
}

static void a_compacted_topic_is_not_trimmed(void **state)
{
	(void)state;
	const char *const configs[] = {
	    "segment.bytes=65536", "retention.bytes=0", "cleanup.policy=compact", NULL};
	struct log_partition *p = fill(configs);
	assert_int_equal(retention_target(p, now_ns() + 3600 * S_NS), 0);
	const char *const both[] = {
	    "segment.bytes=65536", "retention.bytes=0", "cleanup.policy=compact,delete", NULL};
	assert_int_equal(
	    log_server_change(&server, LOG_TOPIC_SET_CONFIG, "t", 0, both, NULL), ERR_OK);
	assert_true(retention_target(p, now_ns()) > 0);
}

static void what_a_scan_holds_stays_until_it_is_returned(void **state)
{
	(void)state;
	const char *const configs[] = {"segment.bytes=65536", NULL};
	fill(configs);
	struct log_scan_source source = {.topic_id = log_server_topic(&server, "t")->id};
	struct log_scan *scan;
	struct log_batch_view view;
	uint64_t stable;
	char path[4096];
	struct io_stat stat;
	snprintf(path, sizeof(path), "%s/topics/t-0/00000000000000000000.log", server.dir);
	assert_int_equal(log_scan_open(server.log, &source, 1, &scan), ERR_OK);
	assert_int_equal(log_scan_next(scan, &view, &stable), ERR_OK);
	const char *const none[] = {"segment.bytes=65536", "retention.bytes=0", NULL};
	assert_int_equal(
	    log_server_change(&server, LOG_TOPIC_SET_CONFIG, "t", 0, none, NULL), ERR_OK);
	run();
	assert_true(log_start() > 0);
	for (int i = 0; i < 20; i++)
		log_server_turn(&server);
	assert_int_equal(io_stat(server.io, path, &stat), ERR_OK);
	log_scan_close(scan);
	int64_t until = io_clock_ns(server.io, IO_CLOCK_MONOTONIC) + PATIENCE_NS;
	while (io_stat(server.io, path, &stat) == ERR_OK &&
	       io_clock_ns(server.io, IO_CLOCK_MONOTONIC) < until)
		log_server_turn(&server);
	assert_int_equal(io_stat(server.io, path, &stat), ERR_NOT_FOUND);
}

static void a_topic_deleted_during_a_pass_is_no_harm(void **state)
{
	(void)state;
	const char *const configs[] = {"segment.bytes=65536", "retention.bytes=0", NULL};
	fill(configs);
	retention_run(server.log->catalog->retention);
	assert_int_equal(log_server_change(&server, LOG_TOPIC_DELETE, "t", 0, NULL, NULL), ERR_OK);
	while (retention_busy(server.log->catalog->retention))
		log_server_turn(&server);
	log_server_restart(&server);
	assert_null(log_server_topic(&server, "t"));
}

static void a_stop_during_a_pass_is_clean(void **state)
{
	(void)state;
	const char *const configs[] = {"segment.bytes=65536", "retention.bytes=0", NULL};
	fill(configs);
	retention_run(server.log->catalog->retention);
	log_server_restart(&server);
	retention_run(server.log->catalog->retention);
	log_server_turn(&server);
	log_server_restart(&server);
	assert_non_null(log_server_read(&server, "t", 0, 39));
}

/* ---- log_trim ---- */

struct trim_call {
	struct log_trim req;
	bool done;
};

static void trim_done(struct log_trim *req)
{
	CONTAINER_OF(req, struct trim_call, req)->done = true;
}

static enum err trim(struct log_partition *p, int64_t offset)
{
	struct trim_call call = {.req = {.partition = p, .offset = offset, .done = trim_done}};
	log_trim(server.log, &call.req);
	assert_false(call.done);
	while (!call.done)
		log_server_turn(&server);
	if (call.req.err == ERR_OK)
		assert_int_equal(call.req.log_start, log_start());
	return call.req.err;
}

static void records_are_deleted_up_to_an_offset(void **state)
{
	(void)state;
	const char *const configs[] = {"segment.bytes=65536", NULL};
	struct log_partition *p = fill(configs);
	unsigned segments = p->segment_count;
	assert_int_equal(trim(p, 10), ERR_OK);
	assert_int_equal(log_start(), 10);
	assert_null(log_server_read(&server, "t", 0, 9));
	assert_non_null(log_server_read(&server, "t", 0, 10));
	assert_true(p->segment_count < segments);
	assert_int_equal(trim(p, 5), ERR_OK); /* nothing comes back */
	assert_int_equal(log_start(), 10);
	assert_int_equal(trim(p, 41), ERR_OFFSET_OUT_OF_RANGE);
	assert_int_equal(trim(p, -2), ERR_OFFSET_OUT_OF_RANGE);
	log_server_crash(&server);
	p = log_partition_find(server.log, log_server_topic(&server, "t"), 0);
	assert_int_equal(log_start(), 10);
	assert_int_equal(trim(p, -1), ERR_OK);
	assert_int_equal(log_start(), 40);
	assert_int_equal(log_server_append(&server, "t", 0, "next"), 40);
	log_server_restart(&server);
	assert_int_equal(log_start(), 40);
	assert_string_equal(log_server_read(&server, "t", 0, 40), "next");
}

static void only_topics_that_delete_can_be_trimmed(void **state)
{
	(void)state;
	const char *const configs[] = {"cleanup.policy=compact", NULL};
	log_server_create(&server, "t", 1, configs);
	log_server_append(&server, "t", 0, "x");
	const struct log_topic *own = log_server_topic(&server, "__kappa_catalog");
	struct log_partition *p = log_partition_find(server.log, log_server_topic(&server, "t"), 0);
	assert_int_equal(trim(p, 1), ERR_POLICY_VIOLATION);
	assert_int_equal(trim(log_partition_find(server.log, own, 0), 1), ERR_INVALID_TOPIC);
	log_partition_ref(p);
	assert_int_equal(log_server_change(&server, LOG_TOPIC_DELETE, "t", 0, NULL, NULL), ERR_OK);
	struct trim_call call = {.req = {.partition = p, .offset = 1, .done = trim_done}};
	log_trim(server.log, &call.req);
	while (!call.done)
		log_server_turn(&server);
	assert_int_equal(call.req.err, ERR_UNKNOWN_TOPIC);
	log_partition_unref(p);
}

static void requests_at_the_same_time_never_move_log_start_back(void **state)
{
	(void)state;
	static const int64_t offsets[] = {3, 20, 7, 15};
	struct trim_call call[4];
	struct log_partition *p = fill(NULL);
	for (int i = 0; i < 4; i++) {
		call[i] = (struct trim_call){
		    .req = {.partition = p, .offset = offsets[i], .done = trim_done}};
		log_trim(server.log, &call[i].req);
	}
	for (int i = 0; i < 4; i++) {
		while (!call[i].done)
			log_server_turn(&server);
		assert_int_equal(call[i].req.err, ERR_OK);
	}
	assert_int_equal(log_start(), 20);
	log_server_restart(&server);
	assert_int_equal(log_start(), 20);
}

static void what_waits_at_the_stop_is_answered(void **state)
{
	(void)state;
	struct trim_call call[4];
	struct log_partition *p = fill(NULL);
	for (int i = 0; i < 4; i++) {
		call[i] =
		    (struct trim_call){.req = {.partition = p, .offset = 5 + i, .done = trim_done}};
		log_trim(server.log, &call[i].req);
	}
	log_server_restart(&server);
	int64_t kept = 0;
	for (int i = 0; i < 4; i++) {
		assert_true(call[i].done);
		assert_true(call[i].req.err == ERR_OK || call[i].req.err == ERR_CLOSED);
		if (call[i].req.err == ERR_OK)
			kept = 5 + i;
	}
	assert_true(log_start() >= kept);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(nothing_is_due_by_default),
	    TEST(old_segments_go_by_append_time),
	    TEST(whole_segments_go_until_the_size_fits),
	    TEST(the_files_are_gone_only_after_log_start_is_durable),
	    TEST(a_compacted_topic_is_not_trimmed),
	    TEST(what_a_scan_holds_stays_until_it_is_returned),
	    TEST(a_topic_deleted_during_a_pass_is_no_harm),
	    TEST(a_stop_during_a_pass_is_clean),
	    TEST(records_are_deleted_up_to_an_offset),
	    TEST(only_topics_that_delete_can_be_trimmed),
	    TEST(requests_at_the_same_time_never_move_log_start_back),
	    TEST(what_waits_at_the_stop_is_answered),
	};
	diag_set_level(DIAG_ERROR);
	return cmocka_run_group_tests_name("retention", tests, NULL, NULL);
}
