/* SPDX-License-Identifier: Apache-2.0 */
/* Scans in sequence order, from a worker thread while the loop appends. */
#include "test/lib/log_fixture.h"
#include <stdio.h>
#include <stdlib.h>

static const char *backend;

static int setup(void **state)
{
	return log_fixture_setup(state, backend);
}

enum { SOURCES = 6 };
static size_t sources_of(struct log_fixture *f, struct log_scan_source *s)
{
	for (int i = 0; i < SOURCES; i++)
		s[i] = (struct log_scan_source){f->topics[i % 2].id, i / 2, 0};
	return SOURCES;
}

/* Everything up to what is stable now, in order; the last sequence. */
static uint64_t scan_all(struct log_scan *scan, uint64_t last, size_t *count)
{
	struct log_batch_view v;
	uint64_t stable = 0;
	enum err e;
	while ((e = log_scan_next(scan, &v, &stable)) == ERR_OK) {
		assert_true(v.sequence > last);
		last = v.sequence;
		assert_true(log_batch_tag(v.batch) > 0);
		++*count;
	}
	assert_int_equal(e, ERR_AGAIN);
	assert_true(stable >= last);
	return stable;
}

static void a_scan_returns_every_batch_in_sequence_order(void **state)
{
	LOG_FIXTURE;
	struct log_scan_source s[SOURCES];
	struct log_scan *scan;
	size_t count = 0;
	f->topics[0].config.segment_bytes = 8000;
	f->topics[1].config.segment_bytes = 30000;
	assert_ok(log_fixture_open(f));
	for (uint64_t i = 1; i <= 300; i++)
		log_put_ok(f, (int)(i % 2), (int)(i * 7 % 3), i, (int)(i % 3) + 1, i % 500);
	assert_ok(log_scan_open(f->log, s, sources_of(f, s), &scan));
	uint64_t stable = scan_all(scan, 0, &count);
	assert_int_equal(count, 300);
	assert_int_equal(stable, f->log->durable_sequence);
	for (uint64_t i = 301; i <= 400; i++) {
		log_put_ok(f, (int)(i % 2), (int)(i * 7 % 3), i, 1, 100);
		if (i % 10 == 0)
			stable = scan_all(scan, stable, &count);
	}
	assert_int_equal(count, 400);
	assert_false(log_scan_wait(scan, MS_NS));
	log_scan_close(scan);
}

static void a_scan_begins_at_the_offset_it_was_given(void **state)
{
	LOG_FIXTURE;
	struct log_scan_source s = {f->topics[0].id, 0, 0};
	struct log_batch_view v;
	struct log_scan *scan;
	uint64_t stable;
	f->topics[0].config.segment_bytes = 10000;
	assert_ok(log_fixture_open(f));
	for (uint64_t i = 1; i <= 100; i++)
		log_put_ok(f, 0, 0, i, 5, 100);
	for (int run = 0; run < 2; run++) { /* index in memory, then in files */
		for (int64_t from = 0; from < 500; from += 7) {
			s.from_offset = from;
			assert_ok(log_scan_open(f->log, &s, 1, &scan));
			assert_ok(log_scan_next(scan, &v, &stable));
			assert_int_equal(v.base_offset, from / 5 * 5);
			log_scan_close(scan);
		}
		log_fixture_close(f);
		assert_ok(log_fixture_open(f));
	}
	s.from_offset = 500;
	assert_ok(log_scan_open(f->log, &s, 1, &scan));
	assert_int_equal(log_scan_next(scan, &v, &stable), ERR_AGAIN);
	log_put_ok(f, 0, 0, 500, 1, 1);
	assert_ok(log_scan_next(scan, &v, &stable));
	assert_int_equal(v.base_offset, 500);
	log_scan_close(scan);
	s.from_offset = 1000;
	assert_int_equal(log_scan_open(f->log, &s, 1, &scan), ERR_OFFSET_OUT_OF_RANGE);
	s.partition = 99;
	assert_int_equal(log_scan_open(f->log, &s, 1, &scan), ERR_SOURCE_GONE);
}

static void a_limit_stops_a_scan_before_the_next_sequence(void **state)
{
	LOG_FIXTURE;
	struct log_scan_source s[SOURCES];
	struct log_scan *scan;
	size_t count = 0;
	assert_ok(log_fixture_open(f));
	for (uint64_t i = 1; i <= 60; i++)
		log_put_ok(f, (int)(i % 2), (int)(i % 3), i, 1, 10);
	assert_ok(log_scan_open(f->log, s, sources_of(f, s), &scan));
	log_scan_limit(scan, 25);
	assert_int_equal(scan_all(scan, 0, &count), 25);
	assert_int_equal(count, 25);
	log_scan_limit(scan, UINT64_MAX);
	assert_int_equal(scan_all(scan, 25, &count), 60);
	assert_int_equal(count, 60);
	log_scan_close(scan);
}

/* ---- with a thread of its own ---- */

struct worker {
	struct log_fixture *f;
	struct thread thread;
	struct shared_u64 stop_at; /* 0 = not known yet */
	struct shared_u64 done;
	size_t count;
	uint64_t last;
	bool ordered;
};

static void worker_run(void *arg)
{
	struct worker *w = arg;
	struct log_scan_source s[SOURCES];
	struct log_scan *scan;
	struct log_batch_view v;
	uint64_t stable = 0;
	w->ordered = true;
	if (log_scan_open(w->f->log, s, sources_of(w->f, s), &scan) != ERR_OK)
		return;
	for (;;) {
		enum err e = log_scan_next(scan, &v, &stable);
		if (e == ERR_OK) {
			w->ordered &= v.sequence > w->last;
			w->last = v.sequence;
			w->count++;
			continue;
		}
		if (e != ERR_AGAIN)
			break;
		uint64_t stop = shared_load(&w->stop_at);
		if (stop && stable >= stop)
			break;
		log_scan_wait(scan, 20 * MS_NS);
	}
	log_scan_close(scan);
	shared_store(&w->done, 1);
}

static void a_worker_follows_while_the_loop_appends(void **state)
{
	LOG_FIXTURE;
	struct worker w = {.f = f};
	f->topics[0].config.segment_bytes = 20000;
	assert_ok(log_fixture_open(f));
	assert_ok(thread_start(&w.thread, "scan", worker_run, &w));
	for (uint64_t i = 1; i <= 1000; i++)
		log_put_ok(f, (int)(i % 2), (int)(i * 7 % 3), i, 1, 200);
	shared_store(&w.stop_at, f->log->durable_sequence);
	while (!shared_load(&w.done))
		log_fixture_turn(f);
	thread_join(&w.thread);
	assert_true(w.ordered);
	assert_int_equal(w.count, 1000);
}

static void a_leased_segment_outlives_retention(void **state)
{
	LOG_FIXTURE;
	struct log_scan_source s = {f->topics[0].id, 0, 0};
	struct log_scan *scan;
	size_t count = 0;
	f->topics[0].config.segment_bytes = 10000;
	assert_ok(log_fixture_open(f));
	for (uint64_t i = 1; i <= 100; i++)
		log_put_ok(f, 0, 0, i, 1, 900);
	assert_ok(log_scan_open(f->log, &s, 1, &scan));
	struct log_batch_view v;
	uint64_t stable;
	assert_ok(log_scan_next(scan, &v, &stable));
	partition_trim(f->partitions[0][0], 5);
	assert_int_equal(f->partitions[0][0]->log_start, 5);
	count = 1;
	scan_all(scan, v.sequence, &count); /* the segment is whole and the next ones follow */
	assert_int_equal(count, 100);
	log_scan_close(scan);
	partition_trim(f->partitions[0][0], 50);
	while (f->log->drops > 0)
		log_fixture_turn(f);
	struct log_read r;
	assert_int_equal(log_read_wait(f, 0, 0, 49, 1, &r), ERR_OFFSET_OUT_OF_RANGE);
	assert_ok(log_read_wait(f, 0, 0, 50, 1, &r));
	assert_int_equal(r.batch_count, 1);
	log_read_release(&r);
	assert_int_equal(log_scan_open(f->log, &s, 1, &scan), ERR_OFFSET_OUT_OF_RANGE);
}

static void an_offset_is_found_by_append_time(void **state)
{
	LOG_FIXTURE;
	int64_t times[50], offset;
	f->topics[0].config.segment_bytes = 3000;
	assert_ok(log_fixture_open(f));
	for (uint64_t i = 0; i < 50; i++) {
		log_put_ok(f, 0, 0, i + 1, 2, 100);
		times[i] = f->log->last_append_time_ns;
		io_sleep_ns(f->io, MS_NS);
	}
	for (int i = 0; i < 50; i++) {
		assert_ok(log_scan_find_append_time(f->log, f->topics[0].id, 0, times[i], &offset));
		assert_int_equal(offset, 2 * i);
	}
	assert_ok(log_scan_find_append_time(f->log, f->topics[0].id, 0, 0, &offset));
	assert_int_equal(offset, 0);
	assert_ok(log_scan_find_append_time(f->log, f->topics[0].id, 0, INT64_MAX, &offset));
	assert_int_equal(offset, 100);
}

enum { TIMED = 50 };

/* Batches a millisecond apart, in segments of ten or so; their times. */
static void fill_timed(struct log_fixture *f, int64_t *ret_times)
{
	f->topics[0].config.segment_bytes = 8000;
	assert_ok(log_fixture_open(f));
	for (uint64_t i = 0; i < TIMED; i++) {
		log_put_ok(f, 0, 0, i + 1, 2, 100);
		ret_times[i] = f->log->last_append_time_ns;
		io_sleep_ns(f->io, MS_NS);
	}
}

static void each_time_finds_its_batch(struct log_fixture *f, const int64_t *times)
{
	int64_t offset;
	for (int i = 0; i < TIMED; i++) {
		assert_ok(log_scan_find_append_time(f->log, f->topics[0].id, 0, times[i], &offset));
		assert_int_equal(offset, 2 * i);
	}
	assert_ok(log_scan_find_append_time(f->log, f->topics[0].id, 0, INT64_MAX, &offset));
	assert_int_equal(offset, 2 * TIMED);
}

static void an_offset_is_found_by_append_time_after_a_start(void **state)
{
	LOG_FIXTURE;
	int64_t times[TIMED];
	fill_timed(f, times);
	log_fixture_close(f);
	assert_ok(log_fixture_open(f)); /* entries are in the files now */
	each_time_finds_its_batch(f, times);
}

/* An index is a cache: what it says is never the answer, and its lack is none either. */
static void a_bad_index_does_not_mislead_a_search_by_append_time(void **state)
{
	LOG_FIXTURE;
	int64_t times[TIMED];
	char path[400];
	fill_timed(f, times);
	for (int harm = 0; harm < 4; harm++) {
		struct io_stat st;
		int fd;
		log_fixture_close(f);
		assert_ok(log_fixture_open(f));
		snprintf(path, sizeof(path), "%s/topics/topic0-0/%020d.idx", f->data_dir, 0);
		assert_ok(io_stat(f->io, path, &st));
		assert_true(st.size_bytes > INDEX_HEADER_BYTES + 4 * INDEX_ENTRY_BYTES);
		assert_ok(io_open(f->io, path, 0, &fd));
		/* another place, another frame's place, no entries, no file */
		if (harm == 0)
			assert_ok(io_pwrite(f->io, fd, "\xff\x0f", 2, INDEX_HEADER_BYTES + 40));
		else if (harm == 1)
			assert_ok(
			    io_pwrite(f->io, fd, "\0\x10\0", 4, INDEX_HEADER_BYTES + 3 * 32 + 8));
		else if (harm == 2)
			assert_ok(io_truncate(f->io, fd, INDEX_HEADER_BYTES + 10));
		else
			assert_ok(io_unlink(f->io, path));
		assert_ok(io_close(f->io, fd));
		each_time_finds_its_batch(f, times);
	}
}

static void a_search_by_append_time_in_no_partition_says_so(void **state)
{
	LOG_FIXTURE;
	int64_t offset = 7;
	struct log_uuid nobody = {{9}};
	assert_ok(log_fixture_open(f));
	assert_int_equal(log_scan_find_append_time(f->log, nobody, 0, 0, &offset), ERR_SOURCE_GONE);
	assert_int_equal(offset, 7);
	assert_ok(log_scan_find_append_time(f->log, f->topics[0].id, 0, 0, &offset));
	assert_int_equal(offset, 0);
}

/* ---- damage ---------------------------------------------------------------------------------- */

enum { BAD = 4 /* of ten or so in the first segment, two offsets each */ };

static void index_write_at(
    struct log_fixture *f, const char *path, uint64_t at, uint64_t value, size_t len)
{
	int fd;
	uint8_t raw[8];
	put_u64_le(raw, value);
	assert_ok(io_open(f->io, path, 0, &fd));
	assert_ok(io_pwrite(f->io, fd, raw, len, at));
	assert_ok(io_close(f->io, fd));
}

static struct index_entry index_entry_at(struct log_fixture *f, const char *path, uint64_t number)
{
	int fd;
	uint8_t raw[INDEX_ENTRY_BYTES];
	assert_ok(io_open(f->io, path, IO_READONLY, &fd));
	assert_ok(io_pread_all(
	    f->io, fd, raw, sizeof(raw), INDEX_HEADER_BYTES + number * INDEX_ENTRY_BYTES));
	assert_ok(io_close(f->io, fd));
	return index_entry_decode(raw);
}

/* What is done to the index beside a bad frame header. */
enum harm { NONE, NO_FILE, CUT, BACKWARDS, FAR_OFFSET, OTHER_OFFSET, FAR_SEQUENCE, HARMS };

static void harm_index(struct log_fixture *f, const char *path, enum harm harm)
{
	uint64_t bad = INDEX_HEADER_BYTES + BAD * INDEX_ENTRY_BYTES, next = bad + INDEX_ENTRY_BYTES;
	int fd;
	switch ((int)harm) {
	case NO_FILE:
		assert_ok(io_unlink(f->io, path));
		break;
	case CUT:
		assert_ok(io_open(f->io, path, 0, &fd));
		assert_ok(io_truncate(f->io, fd, INDEX_HEADER_BYTES + 10));
		assert_ok(io_close(f->io, fd));
		break;
	case BACKWARDS:
		index_write_at(f, path, next + 8, SEGMENT_HEADER_BYTES, 4);
		break;
	case FAR_OFFSET:
		index_write_at(f, path, next, UINT64_C(1) << 40, 8);
		break;
	case OTHER_OFFSET:
		index_write_at(f, path, next, 2 * BAD + 6, 8);
		break;
	case FAR_SEQUENCE:
		index_write_at(f, path, bad + 24, UINT64_C(1) << 40, 8);
		break;
	}
}

/* Every batch that is shown, by half its offset; the scan comes to its end. */
static void scan_damaged(
    struct log_fixture *f, bool *ret_shown, int64_t *ret_hole, int64_t *ret_end)
{
	struct log_scan_source s = {f->topics[0].id, 0, 0};
	struct log_batch_view v;
	struct log_scan *scan;
	uint64_t stable;
	enum err e;
	int64_t next = 0;
	memset(ret_shown, 0, TIMED);
	*ret_hole = -1;
	assert_ok(log_scan_open(f->log, &s, 1, &scan));
	while ((e = log_scan_next(scan, &v, &stable)) == ERR_OK || e == ERR_CORRUPT) {
		assert_true(v.base_offset >= next);
		next = v.base_offset + 1;
		if (e == ERR_OK)
			ret_shown[v.base_offset / 2] = true;
		else if (*ret_hole < 0)
			*ret_hole = v.base_offset;
		assert_true(*ret_end == 0 || next <= *ret_end);
		err_clear();
	}
	assert_int_equal(e, ERR_AGAIN);
	log_scan_close(scan);
}

/* One by one: the batch, or that it cannot be read; where the bad frame is not, and later, the
 * batch. */
static void read_damaged(struct log_fixture *f, int64_t in_first)
{
	for (int64_t offset = 0; offset < 2 * TIMED; offset += 2) {
		struct log_read r;
		enum err e = log_read_wait(f, 0, 0, offset, 1, &r);
		if (e == ERR_OK) {
			assert_int_equal(r.batch_count, 1);
			assert_int_equal(log_batch_tag(r.batches[0]), offset / 2 + 1);
		} else {
			assert_int_equal(e, ERR_CORRUPT);
			assert_in_range(offset, 2 * BAD, in_first - 1);
		}
		assert_true(e != ERR_OK || offset != 2 * BAD);
		log_read_release(&r);
		err_clear();
	}
}

/* By its time each batch is found, or the place that may have been it. */
static void search_damaged(struct log_fixture *f, const int64_t *times)
{
	for (int i = 0; i < TIMED; i++) {
		int64_t offset;
		assert_ok(log_scan_find_append_time(f->log, f->topics[0].id, 0, times[i], &offset));
		if (offset != 2 * i && (i < BAD || offset != 2 * BAD))
			fail_msg("batch %d: offset %lld", i, (long long)offset);
	}
}

static void a_bad_frame_header_beside_a_bad_index_ends_no_scan(void **state)
{
	LOG_FIXTURE;
	int64_t times[TIMED], hole, end = 2 * TIMED;
	bool shown[TIMED];
	char log[400], idx[400];
	fill_timed(f, times);
	log_fixture_close(f);
	assert_ok(log_fixture_open(f));
	snprintf(log, sizeof(log), "%s/topics/topic0-0/%020d.log", f->data_dir, 0);
	snprintf(idx, sizeof(idx), "%s/topics/topic0-0/%020d.idx", f->data_dir, 0);
	struct bytes was;
	assert_ok(io_read_file(f->io, idx, MIB, &was));
	uint32_t pos = index_entry_at(f, idx, BAD).pos;
	int64_t in_first = f->partitions[0][0]->segment_count > 1
	                       ? partition_segment(f->partitions[0][0], 1)->base_offset
	                       : 0;
	assert_in_range(in_first, 2 * BAD + 8, TIMED);
	index_write_at(f, log, pos, 0, 8); /* magic, version, flags */
	for (int harm = NONE; harm < HARMS; harm++) {
		assert_ok(io_write_file(f->io, idx, was));
		harm_index(f, idx, (enum harm)harm);
		scan_damaged(f, shown, &hole, &end);
		read_damaged(f, in_first);
		search_damaged(f, times);
		assert_int_equal(hole, 2 * BAD);
		for (int i = 0; i < TIMED; i++) {
			bool known = harm == NONE || harm == OTHER_OFFSET || harm == FAR_SEQUENCE;
			bool behind = i > BAD && 2 * i < in_first; /* only the index knows where */
			if (shown[i] != (i != BAD && (known || !behind)))
				fail_msg("harm %d: batch %d is %sshown", harm, i,
				    shown[i] ? "" : "not ");
		}
	}
	mem_free((void *)(uintptr_t)was.ptr);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, log_fixture_teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_scan_returns_every_batch_in_sequence_order),
	    TEST(a_scan_begins_at_the_offset_it_was_given),
	    TEST(a_limit_stops_a_scan_before_the_next_sequence),
	    TEST(a_worker_follows_while_the_loop_appends),
	    TEST(a_leased_segment_outlives_retention),
	    TEST(an_offset_is_found_by_append_time),
	    TEST(an_offset_is_found_by_append_time_after_a_start),
	    TEST(a_bad_index_does_not_mislead_a_search_by_append_time),
	    TEST(a_search_by_append_time_in_no_partition_says_so),
	    TEST(a_bad_frame_header_beside_a_bad_index_ends_no_scan),
	};
	int failed = 0;
	backend = "uring";
	failed += cmocka_run_group_tests_name("uring", tests, NULL, NULL);
	backend = "threads";
	failed += cmocka_run_group_tests_name("threads", tests, NULL, NULL);
	return failed;
}
