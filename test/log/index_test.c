/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rot of an index: it is a cache, so whatever one flipped bit makes of it, every record is found by
 * offset and by a scan, nothing is called damaged, and the file is right again after that.
 */
#include "test/lib/log_world.h"
#include <stdio.h>
#include <stdlib.h>

static void configure(struct log_world *world)
{
	world->f.topics[1].config.segment_bytes = 36000;
}

static struct log_world w = {.configure = configure};

static uint8_t byte_at(const char *path, uint64_t pos)
{
	uint8_t byte;
	int fd;
	assert_ok(io_open(w.io, path, IO_READONLY, &fd));
	assert_ok(io_pread_all(w.io, fd, &byte, 1, pos));
	assert_ok(io_close(w.io, fd));
	return byte;
}

static void flip(const char *path, uint64_t bit)
{
	log_world_flip(&w, path, bit / 8, (uint8_t)(1U << (bit % 8)));
}

/* ---- what is looked for ---- */

enum { BATCHES = 200 };
#define ACTIVE "/data/topics/topic0-0/00000000000000000000.idx"
#define SEALED "/data/topics/topic1-0/00000000000000000000.idx"

static void fill(int topic)
{
	for (int i = 0; i < BATCHES; i++)
		assert_int_equal(log_put_ok(&w.f, topic, 0, (uint64_t)i + 1, 1, 30), i);
}

static struct segment *first_segment(int topic)
{
	struct list_node *first = list_first(&w.f.partitions[topic][0]->segments);
	assert_non_null(first);
	ASSERT(first);
	return CONTAINER_OF(first, struct segment, node);
}

static uint64_t entry_bit(uint64_t number)
{
	return (INDEX_HEADER_BYTES + number * INDEX_ENTRY_BYTES) * 8;
}

/* Every record from `from` on, each once. */
static void assert_scanned(int topic, int64_t from)
{
	struct log_scan_source source = {w.f.topics[topic].id, 0, from};
	struct log_batch_view v;
	struct log_scan *scan;
	uint64_t stable;
	enum err e;
	assert_ok(log_scan_open(w.f.log, &source, 1, &scan));
	while ((e = log_scan_next(scan, &v, &stable)) == ERR_OK)
		assert_int_equal(v.base_offset, from++);
	assert_int_equal(e, ERR_AGAIN);
	assert_int_equal(from, BATCHES);
	log_scan_close(scan);
}

static void assert_whole(int topic)
{
	assert_int_equal(w.f.log->damaged_partitions, 0);
	assert_false(log_world_told(&w, "damaged"));
	assert_false(w.f.partitions[topic][0]->damaged);
}

static void find_done(struct log_find_time *req)
{
	*(bool *)req->user = true;
}

static int64_t find_time(int topic, int64_t ms, bool latest)
{
	bool done = false;
	struct log_find_time req = {.partition = w.f.partitions[topic][0],
	    .timestamp_ms = ms,
	    .latest = latest,
	    .user = &done,
	    .done = find_done};
	log_find_time(w.f.log, &req);
	while (!done)
		log_fixture_turn(&w.f);
	assert_ok(req.err);
	return req.offset;
}

static void sequence_done(struct log_find_sequence *req)
{
	*(bool *)req->user = true;
}

static int64_t find_sequence(int topic, uint64_t sequence)
{
	bool done = false;
	struct log_find_sequence req = {.partition = w.f.partitions[topic][0],
	    .sequence = sequence,
	    .user = &done,
	    .done = sequence_done};
	log_find_sequence(w.f.log, &req);
	while (!done)
		log_fixture_turn(&w.f);
	assert_ok(req.err);
	return req.offset;
}

/* ---- by offset ---- */

/* Bits of the entries that searches from anywhere look at. */
static void each_bit(int topic, const char *path, uint64_t entry, void (*look)(int topic))
{
	for (uint64_t i = 0; i < (uint64_t)INDEX_ENTRY_BYTES * 8; i += 3) {
		uint64_t bit = entry_bit(entry) + i;
		uint8_t was = byte_at(path, bit / 8);
		flip(path, bit);
		assert_ok(log_fixture_open(&w.f));
		look(topic);
		assert_whole(topic);
		log_world_end(&w, WORLD_STOPPED);
		if (byte_at(path, bit / 8) != was)
			flip(path, bit); /* one fault at a time */
	}
}

static void look_by_offset(int topic)
{
	static const int64_t offsets[] = {60, 199, 3, 101, 99, 150, 100, 120, 30};
	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++)
		log_world_assert_readable(&w, topic, offsets[i], offsets[i] + 1);
	assert_scanned(topic, 60);
	assert_scanned(topic, 101);
	assert_scanned(topic, 99);
}

static void a_bit_of_an_active_index_hides_no_record(void **state)
{
	(void)state;
	fill(0);
	log_world_end(&w, WORLD_STOPPED);
	each_bit(0, ACTIVE, 100, look_by_offset);
	each_bit(0, ACTIVE, 60, look_by_offset);
}

static void a_bit_of_a_sealed_index_hides_no_record(void **state)
{
	(void)state;
	fill(1);
	assert_true(w.f.partitions[1][0]->segment_count > 1);
	log_world_end(&w, WORLD_STOPPED);
	each_bit(1, SEALED, 100, look_by_offset);
}

/* A start walks from the first batch of what was open: the index tells where that is. */
static void look_for_transaction(int topic)
{
	assert_int_equal(partition_stable_end(w.f.partitions[topic][0]), 100);
}

static void append_open(int topic)
{
	struct batch_builder b;
	struct writer out;
	size_t len;
	batch_builder_init(&b, BATCH_NONE);
	b.producer_id = 7;
	b.producer_epoch = 0;
	b.base_sequence = 0;
	b.attributes = BATCH_ATTR_TRANSACTIONAL;
	writer_init(&out, MIB);
	assert_ok(batch_builder_add(&b, 1101, str_bytes(STR("101")), str_bytes(STR("v")), NULL, 0));
	assert_ok(batch_builder_finish(&b, &out));
	batch_builder_release(&b);
	uint8_t *batch = writer_take(&out, &len);
	assert_ok(log_put_wait(&w.f, topic, 0, batch, len, NULL));
}

static void a_bit_of_an_index_hides_no_open_transaction(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++)
		log_put_ok(&w.f, 0, 0, (uint64_t)i + 1, 1, 30);
	append_open(0);
	for (int i = 101; i < BATCHES; i++)
		log_put_ok(&w.f, 0, 0, (uint64_t)i + 1, 1, 30);
	look_for_transaction(0);
	log_world_end(&w, WORLD_STOPPED);
	for (uint64_t entry = 98; entry < 103; entry++)
		each_bit(0, ACTIVE, entry, look_for_transaction);
}

/* Timestamps are 1001 + offset, sequences 1 + offset. */
static void look_by_time(int topic)
{
	static const int64_t offsets[] = {60, 199, 3, 101, 99, 150, 100, 120, 30};
	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		assert_int_equal(find_time(topic, 1001 + offsets[i], false), offsets[i]);
		assert_int_equal(find_sequence(topic, (uint64_t)offsets[i] + 1), offsets[i]);
	}
	assert_int_equal(find_time(topic, 1001 + BATCHES, false), -1);
	assert_int_equal(find_time(topic, 0, true), BATCHES - 1);
}

static void a_bit_of_an_active_index_hides_no_time(void **state)
{
	(void)state;
	fill(0);
	log_world_end(&w, WORLD_STOPPED);
	each_bit(0, ACTIVE, 100, look_by_time);
	each_bit(0, ACTIVE, BATCHES - 1, look_by_time);
}

static void a_bit_of_a_sealed_index_hides_no_time(void **state)
{
	(void)state;
	fill(1);
	uint64_t last = (uint64_t)first_segment(1)->end_offset - 1;
	log_world_end(&w, WORLD_STOPPED);
	each_bit(1, SEALED, 100, look_by_time);
	each_bit(1, SEALED, last, look_by_time);
}

/* Too long to be checked before a start serves: that comes behind, and the file is right again. */
static void a_long_sealed_index_is_checked_behind(void **state)
{
	uint8_t was;
	const uint64_t bit = entry_bit(700) + 8 * 16 + 3; /* timestamp */
	(void)state;
	for (int i = 0; i < 1000; i++)
		log_put_ok(&w.f, 0, 0, (uint64_t)(i < 999 ? i : 998) + 1, 1, 30);
	partition_roll_soon(w.f.partitions[0][0]);
	log_put_ok(&w.f, 0, 0, 1, 1, 30);
	log_world_end(&w, WORLD_STOPPED);
	was = byte_at(ACTIVE, bit / 8);
	for (int run = 0; run < 3; run++) {
		flip(ACTIVE, bit);
		assert_ok(log_fixture_open(&w.f));
		assert_false(log_world_told(&w, "rebuilt"));
		if (run == 0) /* by who asks */
			assert_int_equal(find_time(0, 1001 + 700, false), 700);
		if (run == 1) /* by itself */
			for (int i = 0; i < 200; i++)
				log_fixture_turn(&w.f);
		if (run == 2) /* by an offset that was not there */
			index_doubt(first_segment(0));
		log_world_end(&w, WORLD_STOPPED);
		assert_int_equal(byte_at(ACTIVE, bit / 8), was);
	}
	assert_ok(log_fixture_open(&w.f));
	assert_int_equal(find_time(0, 1001 + 700, false), 700);
	assert_false(log_world_told(&w, "index_bad"));
}

/* What was adopted unchecked is not sealed: a checksum would make it right for ever. */
static void an_active_index_that_rotted_is_checked_before_it_is_sealed(void **state)
{
	(void)state;
	fill(0);
	log_world_end(&w, WORLD_STOPPED);
	flip(ACTIVE, entry_bit(100) + 8 * 16 + 9);
	assert_ok(log_fixture_open(&w.f));
	partition_roll_soon(w.f.partitions[0][0]);
	log_put_ok(&w.f, 0, 0, 1, 1, 30);
	log_world_end(&w, WORLD_STOPPED);
	assert_ok(log_fixture_open(&w.f));
	assert_int_equal(find_time(0, 1101, false), 100);
	const struct segment *s = first_segment(0);
	assert_true(s->index_sealed && s->index.trusted);
}

/* While it is in use: what was right at the start need not be right for ever. */
static void an_index_that_rots_under_a_server_damages_nothing(void **state)
{
	(void)state;
	fill(0);
	log_world_end(&w, WORLD_STOPPED);
	assert_ok(log_fixture_open(&w.f));
	for (uint64_t i = 0; i < BATCHES; i++) {
		flip(ACTIVE, entry_bit(i) + 2);         /* offsets */
		flip(ACTIVE, entry_bit(i) + 8 * 9 + 1); /* positions */
	}
	for (int64_t i = BATCHES;
	     i-- > 0;) /* backwards: no read knows where the one before ended */
		log_world_assert_readable(&w, 0, i, i + 1);
	assert_scanned(0, 77);
	assert_whole(0);
	assert_true(log_world_told(&w, "index_bad"));
	log_put_ok(&w.f, 0, 0, 1, 1, 1);
}

/* ... and a search by time does not end at an offset that its segment does not have. */
static void an_entry_that_rots_after_its_check_is_checked_again(void **state)
{
	(void)state;
	fill(0);
	log_world_end(&w, WORLD_STOPPED);
	assert_ok(log_fixture_open(&w.f));
	assert_int_equal(find_time(0, 1001 + 100, false), 100);
	for (uint64_t bit = 8; bit < 64; bit += 5) { /* of the offset, beyond the segment's end */
		flip(ACTIVE, entry_bit(100) + bit);
		assert_int_equal(find_time(0, 1001 + 100, false), 100);
	}
	assert_true(log_world_told(&w, "rebuilt"));
	assert_whole(0);
}

/* ---- the file ---- */

/* The whole file, and back; `len` as it is. */
static size_t file_read(const char *path, uint8_t *buf, size_t capacity)
{
	size_t len;
	int fd;
	assert_ok(io_open(w.io, path, IO_READONLY, &fd));
	assert_ok(io_pread(w.io, fd, buf, capacity, 0, &len));
	assert_ok(io_close(w.io, fd));
	return len;
}

static void file_write(const char *path, const uint8_t *buf, size_t len)
{
	int fd;
	assert_ok(io_open(w.io, path, 0, &fd));
	assert_ok(io_truncate(w.io, fd, len));
	assert_ok(io_pwrite(w.io, fd, buf, len, 0));
	assert_ok(io_fsync(w.io, fd));
	assert_ok(io_close(w.io, fd));
}

/*
 * One entry is missing: those behind it stand in others' places, and a check that writes what it
 * has seen so far would spoil the rest. It leaves them, says so, and the next start begins anew.
 */
static void an_index_with_an_entry_too_few_is_left_and_made_anew(void **state)
{
	static uint8_t was[65536], now[65536];
	const size_t gone = INDEX_HEADER_BYTES + (size_t)100 * INDEX_ENTRY_BYTES;
	bool done = false;
	struct log_find_time req = {.timestamp_ms = 1151, .user = &done, .done = find_done};
	(void)state;
	fill(0);
	log_world_end(&w, WORLD_STOPPED);
	size_t len = file_read(ACTIVE, was, sizeof(was));
	assert_int_equal(len, INDEX_HEADER_BYTES + (size_t)BATCHES * INDEX_ENTRY_BYTES);
	memcpy(now, was, len);
	memmove(now + gone, now + gone + INDEX_ENTRY_BYTES, len - gone - INDEX_ENTRY_BYTES);
	file_write(ACTIVE, now, len - INDEX_ENTRY_BYTES);
	assert_ok(log_fixture_open(&w.f));
	req.partition = w.f.partitions[0][0];
	log_find_time(w.f.log, &req);
	while (!done)
		log_fixture_turn(&w.f);
	assert_int_equal(req.err, ERR_CORRUPT);
	assert_non_null(strstr(w.events, "more frames than entries"));
	look_by_offset(0);
	assert_whole(0);
	log_world_end(&w, WORLD_STOPPED);
	uint8_t after[sizeof(now)];
	size_t left = file_read(ACTIVE, after, sizeof(after));
	assert_int_equal(left, len - INDEX_ENTRY_BYTES);
	assert_memory_equal(
	    after + INDEX_HEADER_BYTES, now + INDEX_HEADER_BYTES, left - INDEX_HEADER_BYTES);
	assert_ok(log_fixture_open(&w.f));
	assert_true(log_world_told(&w, "rebuilt"));
	look_by_time(0);
	log_world_end(&w, WORLD_STOPPED);
	left = file_read(ACTIVE, after, sizeof(after));
	assert_int_equal(left, len);
	assert_memory_equal(after, was, len);
}

/* ---- every bit of the index that has no checksum ---- */

enum { FEW = 7 };

static void look_at_few(void)
{
	log_world_assert_readable(&w, 0, 0, FEW);
	for (int64_t i = 0; i < FEW; i++) {
		assert_int_equal(find_time(0, 1001 + i, false), i);
		assert_int_equal(find_sequence(0, (uint64_t)i + 1), i);
	}
	assert_int_equal(find_time(0, 1001 + FEW, false), -1);
	assert_int_equal(find_time(0, 0, true), FEW - 1);
	assert_int_equal(first_segment(0)->index.max_timestamp_ms, 1000 + FEW);
	assert_int_equal(w.f.partitions[0][0]->log_end, FEW);
	assert_whole(0);
}

/*
 * The index of the last segment has no checksum over its entries, and needs none: whatever one bit
 * of its file says, no search by offset, time or sequence, no end and no maximum comes of it, and
 * the file is right again after that.
 */
static void no_bit_of_an_active_index_is_believed(void **state)
{
	static uint8_t was[KIB], now[KIB];
	const uint64_t step = getenv("KAPPA_TEST_SMALL") ? 5 : 1;
	(void)state;
	for (int i = 0; i < FEW; i++)
		assert_int_equal(log_put_ok(&w.f, 0, 0, (uint64_t)i + 1, 1, 30), i);
	log_world_end(&w, WORLD_STOPPED);
	size_t len = file_read(ACTIVE, was, sizeof(was));
	assert_int_equal(len, INDEX_HEADER_BYTES + FEW * INDEX_ENTRY_BYTES);
	for (uint64_t bit = 0; bit < len * 8; bit += step) {
		flip(ACTIVE, bit);
		assert_ok(log_fixture_open(&w.f));
		look_at_few();
		log_world_end(&w, WORLD_STOPPED);
		assert_int_equal(file_read(ACTIVE, now, sizeof(now)), len);
		assert_memory_equal(now, was, len);
	}
}

static void an_index_with_bytes_behind_it_is_rebuilt_once(void **state)
{
	static const uint8_t more[100] = {7};
	uint64_t size;
	struct io_stat st;
	int fd;
	(void)state;
	fill(1);
	log_world_end(&w, WORLD_STOPPED);
	assert_ok(io_open(w.io, SEALED, 0, &fd));
	assert_ok(io_fstat(w.io, fd, &st));
	size = st.size_bytes;
	assert_ok(io_pwrite(w.io, fd, more, sizeof(more), size));
	assert_ok(io_fsync(w.io, fd));
	assert_ok(io_close(w.io, fd));
	assert_ok(log_fixture_open(&w.f));
	assert_true(log_world_told(&w, "rebuilt"));
	log_world_end(&w, WORLD_STOPPED);
	assert_ok(io_stat(w.io, SEALED, &st));
	assert_int_equal(st.size_bytes, size);
	assert_ok(log_fixture_open(&w.f));
	assert_false(log_world_told(&w, "rebuilt"));
	look_by_offset(1);
	assert_whole(1);
}

/* A bit flips in the file of an index that is appended to: the seal does not vouch for it. */
static void a_seal_vouches_for_what_was_written(void **state)
{
	(void)state;
	enum { NUMBER = 5 };
	const uint64_t bit = entry_bit(NUMBER) + 16UL * 8; /* of its timestamp */
	int i = 0;
	for (; i < BATCHES / 4; i++)
		assert_int_equal(log_put_ok(&w.f, 1, 0, (uint64_t)i + 1, 1, 30), i);
	struct segment *s = first_segment(1);
	while (s->index.file_count <= NUMBER)
		log_fixture_turn(&w.f);
	uint8_t was = byte_at(SEALED, bit / 8);
	flip(SEALED, bit);
	for (; !s->sealed; i++)
		assert_int_equal(log_put_ok(&w.f, 1, 0, (uint64_t)i + 1, 1, 30), i);
	while (!s->index_sealed)
		log_fixture_turn(&w.f);
	assert_int_equal(byte_at(SEALED, bit / 8), was);
	log_world_assert_told(&w, "rebuilt", true);
	assert_whole(1);
}

#define TEST(name)                                                                                 \
	cmocka_unit_test_prestate_setup_teardown(name, log_world_setup, log_world_teardown, &w)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_bit_of_an_active_index_hides_no_record),
	    TEST(a_bit_of_a_sealed_index_hides_no_record),
	    TEST(a_bit_of_an_index_hides_no_open_transaction),
	    TEST(a_bit_of_an_active_index_hides_no_time),
	    TEST(a_bit_of_a_sealed_index_hides_no_time),
	    TEST(a_long_sealed_index_is_checked_behind),
	    TEST(an_active_index_that_rotted_is_checked_before_it_is_sealed),
	    TEST(an_index_that_rots_under_a_server_damages_nothing),
	    TEST(an_entry_that_rots_after_its_check_is_checked_again),
	    TEST(no_bit_of_an_active_index_is_believed),
	    TEST(an_index_with_bytes_behind_it_is_rebuilt_once),
	    TEST(an_index_with_an_entry_too_few_is_left_and_made_anew),
	    TEST(a_seal_vouches_for_what_was_written),
	};
	return cmocka_run_group_tests_name("index", tests, NULL, NULL);
}
