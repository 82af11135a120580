/* SPDX-License-Identifier: Apache-2.0 */
/* What is gone is named: burnt sequences, given-up ends, and the leader epoch that tells consumers. */
#include "test/lib/log_server.h"

#include "log/catalog_change.h"
#include "log/catalog_row.h"
#include "log/engine.h"
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
	return 0;
}

static void a_crash_bumps_the_epoch_of_topics_that_do_not_wait(void **state)
{
	static const char *const lazy[] = {"kappa.durability=none", NULL};
	(void)state;
	log_server_create(&server, "fast", 1, lazy);
	log_server_create(&server, "safe", 1, NULL);
	log_server_append(&server, "fast", 0, "a");
	log_server_append(&server, "safe", 0, "b");
	log_server_crash(&server);
	assert_int_equal(log_server_status(&server, "fast", 0).leader_epoch, 1);
	assert_int_equal(log_server_status(&server, "safe", 0).leader_epoch, 0);
	assert_int_equal(server.log->gap_count, 0);
	assert_string_equal(log_server_read(&server, "safe", 0, 0), "b");
	log_server_append(&server, "fast", 0, "c");
	log_server_restart(&server); /* clean: nothing is lost, nothing changes */
	assert_int_equal(log_server_status(&server, "fast", 0).leader_epoch, 1);
	log_server_crash(&server); /* nothing was told since */
	assert_int_equal(log_server_status(&server, "fast", 0).leader_epoch, 1);
}

static void an_accepted_loss_is_named_and_bumps_the_epoch(void **state)
{
	char path[4096];
	int fd;
	(void)state;
	log_server_create(&server, "t", 1, NULL);
	for (int i = 0; i < 5; i++)
		log_server_append(&server, "t", 0, "value");
	log_server_close(&server);
	snprintf(path, sizeof(path), "%s/topics/t-0/00000000000000000000.log", server.dir);
	assert_int_equal(io_open(server.io, path, 0, &fd), ERR_OK);
	assert_int_equal(io_truncate(server.io, fd, SEGMENT_HEADER_BYTES + 300), ERR_OK);
	assert_int_equal(io_close(server.io, fd), ERR_OK);

	struct loop *loop;
	struct log *log;
	for (int i = 0; i < 2; i++) { /* refused, and the next start has not forgotten */
		assert_int_equal(loop_new(server.io, 1, &loop), ERR_OK);
		server.options.data_dir = server.dir;
		assert_int_equal(log_open(loop, &server.options, &log), ERR_LOST_SUFFIX);
		loop_free(loop);
	}
	server.options.accept_lost_suffix = "test";
	log_server_open(&server);
	assert_int_equal(log_server_status(&server, "t", 0).leader_epoch, 1);
	assert_true(log_server_status(&server, "t", 0).log_end < 5);
	server.options.accept_lost_suffix = NULL;
	log_server_restart(&server);
	assert_int_equal(log_server_status(&server, "t", 0).leader_epoch, 1);
	log_server_append(&server, "t", 0, "goes on");
}

static uint64_t catalog_end(void)
{
	return (uint64_t)log_server_status(&server, "__kappa_catalog", 0).log_end;
}

static uint64_t catalog_batches;
static enum err count_batch(void *ctx, const struct frame *frame, struct bytes batch)
{
	(void)ctx;
	(void)batch;
	catalog_batches += !(frame->flags & FRAME_HOLE);
	return ERR_OK;
}

static uint64_t count_catalog_batches(int64_t from)
{
	struct log_partition *p =
	    log_partition_find(server.log, log_server_topic(&server, "__kappa_catalog"), 0);
	catalog_batches = 0;
	assert_int_equal(partition_walk(p, from, count_batch, NULL), ERR_OK);
	return catalog_batches;
}

/*
 * Of thousands of partitions that do not wait, those that never had a record have lost none; the
 * others are named some hundred at a time, not each in a round of its own.
 */
static void only_partitions_with_records_are_named_and_together(void **state)
{
	enum { PARTITIONS = 900, USED = 300 };
	static const char *const lazy[] = {"kappa.durability=interval", NULL};
	(void)state;
	log_server_create(&server, "many", PARTITIONS, lazy);
	for (int i = 0; i < USED; i++)
		log_server_append(&server, "many", 3 * i, "a");
	int64_t end = (int64_t)catalog_end();
	log_server_crash(&server);
	for (int i = 0; i < PARTITIONS; i++)
		assert_int_equal(log_server_status(&server, "many", i).leader_epoch, i % 3 == 0);
	assert_int_equal(catalog_end() - (uint64_t)end, 2 * USED + 2);
	/* two for the partitions, one for what is burnt */
	assert_int_equal(count_catalog_batches(end), (USED + 255) / 256 + 1);
	assert_string_equal(log_server_read(&server, "many", 3, 0), "a");
}

static uint64_t frames, gap_sequences;
static unsigned gap_rows;

static enum err count_frame(void *ctx, const struct frame *frame, struct bytes batch)
{
	(void)ctx;
	(void)frame;
	(void)batch;
	frames++;
	return ERR_OK;
}

static void count_gaps(void)
{
	struct catalog_kept *kept;
	size_t cursor = 0;
	gap_sequences = gap_rows = 0;
	while ((kept = map_next(&server.log->catalog->rows, &cursor))) {
		struct row_name name = row_name_parse(kept->key);
		unsigned long long first, last;
		char text[200];
		if (name.kind != ROW_GAP || !log_uuid_equal(name.id, CATALOG_TOPIC_ID))
			continue;
		snprintf(text, sizeof(text), "%.*s", (int)kept->value.len,
		    (const char *)kept->value.ptr);
		const char *at = strstr(text, "first_sequence=");
		assert_non_null(at);
		assert_int_equal(
		    sscanf(at, "first_sequence=%llu last_sequence=%llu", &first, &last), 2);
		gap_rows++;
		gap_sequences += last - first + 1;
	}
}

/* More lives that end before a checkpoint than the record has room for gaps. */
static void every_gap_is_named_and_nothing_else(void **state)
{
	enum { LIVES = CHECKPOINT_GAPS_MAX + 12 };
	static const char *const lazy[] = {"kappa.durability=none", NULL};
	(void)state;
	log_server_create(&server, "fast", 1, lazy);
	for (int i = 0; i < LIVES; i++) {
		log_server_append(&server, "fast", 0, "a");
		log_server_crash(&server);
		assert_int_equal(server.log->gap_count, 0);
	}
	count_gaps();
	assert_int_equal(gap_rows, LIVES);
	const struct log_topic *t;
	size_t cursor = 0;
	while ((t = log_topic_next(server.log, &cursor)))
		assert_int_equal(
		    partition_walk(log_partition_find(server.log, t, 0), 0, count_frame, NULL),
		    ERR_OK);
	struct log_status st;
	log_status(server.log, &st);
	assert_int_equal(
	    frames + gap_sequences, st.next_sequence - 1); /* each is a batch or in one gap */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
	        a_crash_bumps_the_epoch_of_topics_that_do_not_wait, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        only_partitions_with_records_are_named_and_together, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        an_accepted_loss_is_named_and_bumps_the_epoch, setup, teardown),
	    cmocka_unit_test_setup_teardown(every_gap_is_named_and_nothing_else, setup, teardown),
	};
	return cmocka_run_group_tests_name("gap", tests, NULL, NULL);
}
