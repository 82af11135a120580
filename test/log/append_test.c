/* SPDX-License-Identifier: Apache-2.0 */
/* Appending, reading, waiting on the real backends: what a broker does with the log all day. */
#include "test/lib/log_fixture.h"
#include <stdio.h>
#include <stdlib.h>

static const char *backend;

static int setup(void **state)
{
	return log_fixture_setup(state, backend);
}

/* Reads everything of a partition and checks offsets; the number of records. */
static int64_t read_all(struct log_fixture *f, int topic, int partition, size_t max_bytes)
{
	struct log_partition_status st;
	struct log_read r;
	log_partition_status(f->partitions[topic][partition], &st);
	int64_t offset = st.log_start;
	while (offset < st.visible_end) {
		assert_ok(log_read_wait(f, topic, partition, offset, max_bytes, &r));
		assert_true(r.batch_count > 0);
		for (size_t i = 0; i < r.batch_count; i++) {
			struct batch_header h;
			assert_ok(batch_header_read(r.batches[i], &h));
			assert_int_equal(h.base_offset, offset);
			assert_true(log_batch_tag(r.batches[i]) > 0);
			offset += h.last_offset_delta + 1;
		}
		assert_int_equal(r.next_offset, offset);
		log_read_release(&r);
	}
	return offset - st.log_start;
}

static void what_is_appended_is_read_back(void **state)
{
	LOG_FIXTURE;
	assert_ok(log_fixture_open(f));
	assert_int_equal(log_put_ok(f, 0, 0, 1, 3, 100), 0);
	assert_int_equal(log_put_ok(f, 0, 0, 2, 1, 5000), 3);
	assert_int_equal(log_put_ok(f, 0, 1, 3, 2, 10), 0);
	assert_int_equal(read_all(f, 0, 0, MIB), 4);
	assert_int_equal(read_all(f, 0, 0, 1), 4);
	assert_int_equal(read_all(f, 0, 1, MIB), 2);
}

static void offsets_and_sequences_go_on_after_a_clean_stop(void **state)
{
	LOG_FIXTURE;
	struct log_put put;
	size_t len;
	assert_ok(log_fixture_open(f));
	for (uint64_t i = 1; i <= 100; i++)
		log_put_ok(f, (int)(i % 2), (int)(i % 3), i, (int)(i % 5) + 1, i * 10);
	uint64_t next = f->log->rounds.next_sequence;
	uint32_t epoch = f->log->epoch;
	int64_t ends[3];
	for (int p = 0; p < 3; p++)
		ends[p] = f->partitions[0][p]->visible_end;
	log_fixture_close(f);
	assert_ok(log_fixture_open(f));
	assert_int_equal(f->log->rounds.next_sequence, next);
	assert_int_equal(f->log->epoch, epoch + 1);
	for (int p = 0; p < 3; p++) {
		assert_int_equal(f->partitions[0][p]->visible_end, ends[p]);
		read_all(f, 0, p, 4096);
	}
	uint8_t *batch = log_batch_new(999, 1, 10, &len);
	assert_ok(log_put_wait(f, 0, 0, batch, len, &put));
	assert_int_equal(put.req.base_offset, ends[0]);
	assert_int_equal(put.req.sequence, next);
}

static void appends_of_one_turn_share_a_round(void **state)
{
	LOG_FIXTURE;
	struct log_put puts[16];
	assert_ok(log_fixture_open(f));
	log_put_ok(f, 0, 0, 1, 1, 10);
	uint64_t rounds = metric_value(METRIC_ROUNDS);
	for (int i = 0; i < 16; i++) {
		size_t len;
		uint8_t *batch = log_batch_new((uint64_t)i + 1, 1, 10, &len);
		log_put_init(&puts[i], f, 0, 0, batch, len);
		log_put_send(&puts[i]);
	}
	for (int i = 0; i < 16; i++) {
		log_put_await(&puts[i]);
		assert_ok(puts[i].req.err);
		assert_int_equal(puts[i].req.base_offset, 1 + i);
		assert_int_equal(puts[i].req.sequence, puts[0].req.sequence + (uint64_t)i);
		log_put_release(&puts[i]);
	}
	assert_int_equal(metric_value(METRIC_ROUNDS), rounds + 1);
}

static void segments_roll_by_size_and_reads_cross_them(void **state)
{
	LOG_FIXTURE;
	struct log_segment_status seg;
	f->topics[0].config.segment_bytes = 20000;
	assert_ok(log_fixture_open(f));
	for (uint64_t i = 1; i <= 50; i++)
		log_put_ok(f, 0, 0, i, 2, 1000);
	assert_true(f->partitions[0][0]->segment_count > 3);
	assert_int_equal(read_all(f, 0, 0, 3000), 100);
	int64_t end = 0;
	for (size_t i = 0; log_segment_status(f->partitions[0][0], i, &seg); i++) {
		assert_int_equal(seg.base_offset, end);
		end = seg.end_offset;
	}
	assert_int_equal(end, 100);
	log_fixture_close(f);
	assert_ok(log_fixture_open(f));
	assert_int_equal(read_all(f, 0, 0, MIB), 100);
	assert_int_equal(log_put_ok(f, 0, 0, 51, 1, 10), 100);
}

static void a_read_in_the_middle_of_a_batch_returns_the_whole_batch(void **state)
{
	LOG_FIXTURE;
	struct log_read r;
	struct batch_header h;
	assert_ok(log_fixture_open(f));
	for (uint64_t i = 1; i <= 30; i++)
		log_put_ok(f, 0, 0, i, 10, 100);
	assert_ok(log_read_wait(f, 0, 0, 155, 1, &r));
	assert_int_equal(r.batch_count, 1);
	assert_ok(batch_header_read(r.batches[0], &h));
	assert_int_equal(h.base_offset, 150);
	assert_int_equal(r.next_offset, 160);
	log_read_release(&r);
	assert_ok(log_read_wait(f, 0, 0, 300, 1, &r)); /* at the end */
	assert_int_equal(r.batch_count, 0);
	log_read_release(&r);
	assert_int_equal(log_read_wait(f, 0, 0, 301, 1, &r), ERR_OFFSET_OUT_OF_RANGE);
	log_read_release(&r);
}

static unsigned fired;
static void waiter_fired(struct log_waiter *w)
{
	(void)w;
	fired++;
}

static void a_waiter_fires_once_when_the_end_passes_its_offset(void **state)
{
	LOG_FIXTURE;
	struct log_waiter at_0, at_5, cancelled, late;
	assert_ok(log_fixture_open(f));
	fired = 0;
	log_waiter_init(&at_0, waiter_fired);
	log_waiter_init(&at_5, waiter_fired);
	log_waiter_init(&cancelled, waiter_fired);
	log_waiter_init(&late, waiter_fired);
	log_wait(f->partitions[0][0], 0, &at_0);
	log_wait(f->partitions[0][0], 5, &at_5);
	log_wait(f->partitions[0][0], 0, &cancelled);
	log_wait_cancel(&cancelled);
	log_put_ok(f, 0, 0, 1, 5, 10);
	log_fixture_turn(f);
	assert_int_equal(fired, 1);
	log_put_ok(f, 0, 0, 2, 1, 10);
	log_fixture_turn(f);
	assert_int_equal(fired, 2);
	log_wait(f->partitions[0][0], 3,
	    &late); /* already there: at once, but not from inside the call */
	assert_int_equal(fired, 2);
	log_fixture_turn(f);
	assert_int_equal(fired, 3);
}

static void a_watch_tells_once_that_something_has_changed(void **state)
{
	LOG_FIXTURE;
	struct log_watches all;
	struct log_watch w[3];
	assert_ok(log_fixture_open(f));
	fired = 0;
	log_watches_init(&all, waiter_fired);
	for (int i = 0; i < 3; i++) {
		log_watch_init(&w[i], &all);
		log_watch(f->partitions[0][i % 2], &w[i]);
	}
	log_watch_cancel(&w[2]);
	log_put_ok(f, 0, 0, 1, 5, 10);
	log_put_ok(f, 0, 0, 2, 5, 10);
	log_fixture_turn(f);
	assert_int_equal(fired, 0); /* nobody waits */
	assert_true(list_pop_front(&all.changed) == &w[0].node);
	assert_true(list_empty(&all.changed));
	log_watches_wait(f->log, &all);
	log_watch(f->partitions[0][0], &w[0]);
	log_watch(f->partitions[0][0], &w[2]);
	log_put_ok(f, 0, 0, 3, 1, 10);
	log_put_ok(f, 0, 1, 4, 1, 10);
	log_fixture_turn(f);
	assert_int_equal(fired, 1); /* once for all */
	for (int i = 0; i < 3; i++)
		assert_true(list_linked(&w[i].node));
	assert_true(list_last(&all.changed) == &w[1].node);
	log_watches_wait(f->log, &all); /* they are there yet */
	assert_int_equal(fired, 1);
	log_fixture_turn(f);
	assert_int_equal(fired, 2);
	log_watches_wait(f->log, &all);
	log_watches_cancel(&all);
	log_fixture_turn(f);
	assert_int_equal(fired, 2);
	for (int i = 0; i < 3; i++)
		log_watch_cancel(&w[i]);
}

static void a_second_open_of_one_directory_is_refused(void **state)
{
	LOG_FIXTURE;
	struct log_fixture other;
	assert_ok(log_fixture_open(f));
	struct io *io;
	assert_ok(io_new(backend, &io));
	log_fixture_init_io(&other, io, f->data_dir);
	other.own_io = true;
	assert_int_equal(log_fixture_open(&other), ERR_LOCKED);
	other.own_io = false;
	log_fixture_release(&other);
	io_free(io);
	log_put_ok(f, 0, 0, 1, 1, 1);
}

static void descriptors_stay_under_their_limit(void **state)
{
	LOG_FIXTURE;
	f->options.open_files_max = 3;
	assert_ok(log_fixture_open(f));
	for (uint64_t i = 1; i <= 64; i++)
		log_put_ok(f, (int)(i % LOG_FIXTURE_TOPICS), (int)(i / 4 % LOG_FIXTURE_PARTITIONS),
		    i, 1, 100);
	assert_true(f->log->descriptors.open <= 4); /* one more while it is made */
	for (int t = 0; t < LOG_FIXTURE_TOPICS; t++)
		for (int p = 0; p < LOG_FIXTURE_PARTITIONS; p++)
			assert_int_equal(read_all(f, t, p, MIB), 4);
}

static unsigned found;
static void find_done(struct log_find_time *req)
{
	(void)req;
	found++;
}

static int64_t find(struct log_fixture *f, int64_t time_ms)
{
	struct log_find_time req = {
	    .partition = f->partitions[0][0], .timestamp_ms = time_ms, .done = find_done};
	found = 0;
	log_find_time(f->log, &req);
	while (!found)
		log_fixture_turn(f);
	assert_ok(req.err);
	return req.offset;
}

static void a_time_is_found_at_its_first_record(void **state)
{
	LOG_FIXTURE;
	f->topics[0].config.segment_bytes = 4000;
	assert_ok(log_fixture_open(f));
	assert_int_equal(find(f, 0), -1);
	for (uint64_t tag = 1; tag < 100; tag++) /* timestamp 1000 + tag */
		log_put_ok(f, 0, 0, tag, 2, 50);
	for (int run = 0; run < 2; run++) {
		assert_int_equal(find(f, 0), 0);
		assert_int_equal(find(f, 1001), 0);
		assert_int_equal(find(f, 1002), 2);
		assert_int_equal(find(f, 1050), 98);
		assert_int_equal(find(f, 1099), 196);
		assert_int_equal(find(f, 1100), -1);
		struct log_partition_status st;
		log_partition_status(f->partitions[0][0], &st);
		assert_int_equal(st.max_timestamp_ms, 1099);
		assert_int_equal(st.max_timestamp_offset, 196);
		log_fixture_close(f);
		assert_ok(log_fixture_open(f));
	}
}

static void sequence_done(struct log_find_sequence *req)
{
	(void)req;
	found++;
}

static int64_t find_sequence(struct log_fixture *f, uint64_t sequence, uint64_t *ret_found)
{
	struct log_find_sequence req = {
	    .partition = f->partitions[0][0], .sequence = sequence, .done = sequence_done};
	found = 0;
	log_find_sequence(f->log, &req);
	while (!found)
		log_fixture_turn(f);
	assert_ok(req.err);
	*ret_found = req.found_sequence;
	return req.offset;
}

static void spoil_indexes(const struct log_fixture *f)
{
	char path[4096];
	struct io_names names;
	snprintf(path, sizeof(path), "%s/topics/topic0-0", f->data_dir);
	assert_ok(io_list(f->io, path, &names));
	for (size_t i = 0; i < names.count; i++) {
		int fd;
		uint8_t raw[8] = {0x77};
		if (!strstr(names.name[i], ".idx"))
			continue;
		snprintf(path, sizeof(path), "%s/topics/topic0-0/%s", f->data_dir, names.name[i]);
		assert_ok(io_open(f->io, path, 0, &fd));
		assert_ok(io_pwrite(f->io, fd, raw, sizeof(raw),
		    64 + 8)); /* position and length of the first entry */
		assert_ok(io_close(f->io, fd));
	}
	io_names_release(&names);
}

static void a_sequence_is_found_at_its_batch(void **state)
{
	LOG_FIXTURE;
	uint64_t seen;
	f->topics[0].config.segment_bytes = 4000;
	assert_ok(log_fixture_open(f));
	assert_int_equal(find_sequence(f, 1, &seen), -1);
	for (uint64_t tag = 1; tag <= 99;
	     tag++) { /* sequences 1, 3, 5 ... here, the others there */
		log_put_ok(f, 0, 0, tag, 2, 50);
		log_put_ok(f, 0, 1, tag, 1, 50);
	}
	assert_true(f->partitions[0][0]->segment_count > 5);
	for (int run = 0; run < 3; run++) {
		for (uint64_t sequence = 0; sequence <= 197; sequence++) {
			uint64_t want = sequence | 1;
			assert_int_equal(find_sequence(f, sequence, &seen), (int64_t)want - 1);
			assert_int_equal(seen, want);
		}
		assert_int_equal(find_sequence(f, 198, &seen), -1);
		assert_int_equal(seen, 0);
		if (run == 1) {
			spoil_indexes(f); /* under the open log: an entry is never believed */
			continue;
		}
		log_fixture_close(f);
		assert_ok(log_fixture_open(f));
	}
}

static unsigned ids_done;
static void id_done(struct log_producer_id_req *req)
{
	assert_ok(req->err);
	ids_done++;
}

static int64_t next_id(struct log_fixture *f)
{
	struct log_producer_id_req req = {.done = id_done};
	ids_done = 0;
	log_producer_id(f->log, &req);
	while (!ids_done)
		log_fixture_turn(f);
	return req.producer_id;
}

static void producer_ids_are_never_given_twice(void **state)
{
	LOG_FIXTURE;
	int64_t last = -1;
	for (int run = 0; run < 3; run++) {
		assert_ok(log_fixture_open(f));
		for (int i = 0; i < 700; i++) {
			int64_t id = next_id(f);
			assert_true(id > last);
			last = id;
		}
		log_fixture_close(f);
	}
}

static void an_append_larger_than_the_journal_allows_is_refused(void **state)
{
	LOG_FIXTURE;
	size_t len;
	f->topics[0].config.segment_bytes = 8 << 20;
	assert_ok(log_fixture_open(f));
	uint8_t *batch = log_batch_new(1, 1, 2 * MIB, &len);
	assert_int_equal(log_put_wait(f, 0, 0, batch, len, NULL), ERR_MESSAGE_TOO_LARGE);
	batch = log_batch_new(1, 1, 900 * KIB, &len);
	assert_ok(log_put_wait(f, 0, 0, batch, len, NULL));
	for (uint64_t i = 2; i < 20; i++) /* many laps of the journal */
		log_put_ok(f, 0, 0, i, 1, 700 * KIB);
	assert_int_equal(read_all(f, 0, 0, MIB), 19);
}

static void many_megabytes_are_taken_in_turns_and_let_small_batches_pass(void **state)
{
	LOG_FIXTURE;
	enum { LARGE = 12 };
	struct log_put large[LARGE], small;
	size_t len;
	f->options.journal_bytes = 64 * MIB; /* 4 MiB of DIRECT frames in a round */
	f->topics[0].config.segment_bytes = 64 << 20;
	assert_ok(log_fixture_open(f));
	log_put_ok(f, 0, 0, 1, 1, 900 * KIB);
	log_put_ok(f, 1, 0, 1, 1, 10);
	for (int i = 0; i < LARGE; i++) {
		uint8_t *batch = log_batch_new((uint64_t)i + 2, 1, 900 * KIB, &len);
		log_put_init(&large[i], f, 0, 0, batch, len);
		log_append(f->log, &(struct log_append *){&large[i].req}, 1, false);
	}
	assert_true(f->log->rounds.turn_bytes >= ROUND_TURN_BYTES);
	assert_true(f->log->rounds.turn_bytes < ROUND_TURN_BYTES + len);
	assert_false(list_empty(&f->log->rounds.waiting));
	uint8_t *batch = log_batch_new(2, 1, 10, &len);
	log_put_init(&small, f, 1, 0, batch, len);
	log_append(f->log, &(struct log_append *){&small.req}, 1, false);
	log_put_await(&small);
	assert_ok(small.req.err);
	assert_int_equal(large[LARGE - 1].done, 0); /* its round has not come */
	for (int i = 0; i < LARGE; i++) {
		log_put_await(&large[i]);
		assert_ok(large[i].req.err);
		assert_int_equal(large[i].req.base_offset, i + 1);
		log_put_release(&large[i]);
	}
	log_put_release(&small);
	assert_int_equal(read_all(f, 0, 0, MIB), LARGE + 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, log_fixture_teardown)
/* More partitions in one set than files may be open: those opened first wait for the last one. */
static void a_set_may_span_more_partitions_than_files_are_open(void **state)
{
	struct log_fixture *f = *state;
	struct log_put puts[LOG_FIXTURE_PARTITIONS];
	struct log_append *reqs[LOG_FIXTURE_PARTITIONS];
	log_fixture_close(f);
	f->options.open_files_max = 2;
	assert_ok(log_fixture_open(f));
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < LOG_FIXTURE_PARTITIONS; i++) {
			size_t len;
			uint8_t *batch =
			    log_batch_new((uint64_t)(round * 10 + i + 1), 1, 100, &len);
			log_put_init(&puts[i], f, 0, i, batch, len);
			reqs[i] = &puts[i].req;
		}
		log_append(f->log, reqs, LOG_FIXTURE_PARTITIONS, round % 2 == 0);
		for (int i = 0; i < LOG_FIXTURE_PARTITIONS; i++) {
			log_put_await(&puts[i]);
			assert_ok(puts[i].req.err);
			log_put_release(&puts[i]);
		}
		/* a checkpoint lets go of what was written: closed again */
		checkpoint_start(&f->log->checkpointer);
		while (f->log->checkpointer.state != CHECKPOINT_IDLE)
			log_fixture_turn(f);
		assert_in_range(f->log->descriptors.open, 0, 2);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_set_may_span_more_partitions_than_files_are_open),
	    TEST(what_is_appended_is_read_back),
	    TEST(offsets_and_sequences_go_on_after_a_clean_stop),
	    TEST(appends_of_one_turn_share_a_round),
	    TEST(segments_roll_by_size_and_reads_cross_them),
	    TEST(a_read_in_the_middle_of_a_batch_returns_the_whole_batch),
	    TEST(a_waiter_fires_once_when_the_end_passes_its_offset),
	    TEST(a_watch_tells_once_that_something_has_changed),
	    TEST(a_second_open_of_one_directory_is_refused),
	    TEST(descriptors_stay_under_their_limit),
	    TEST(a_time_is_found_at_its_first_record),
	    TEST(a_sequence_is_found_at_its_batch),
	    TEST(producer_ids_are_never_given_twice),
	    TEST(an_append_larger_than_the_journal_allows_is_refused),
	    TEST(many_megabytes_are_taken_in_turns_and_let_small_batches_pass),
	};
	int failed = 0;
	backend = "uring";
	failed += cmocka_run_group_tests_name("uring", tests, NULL, NULL);
	backend = "threads";
	failed += cmocka_run_group_tests_name("threads", tests, NULL, NULL);
	return failed;
}
