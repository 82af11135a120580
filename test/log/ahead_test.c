/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading ahead on a simulated disk: who reads in turn finds the next bytes, whoever else comes for
 * them reads the same, what nobody takes is given back, and nothing is served unverified.
 */
#include "test/lib/log_world.h"
#include <stdio.h>

enum { LARGE = 3000, COUNT = 900, ASKED = 100 * KIB };
#define SEGMENT_0 "/data/topics/topic0-0/00000000000000000000.log"

static void configure(struct log_world *world)
{
	world->f.options.direct_bytes = 2000;
	world->f.topics[1].config.segment_bytes = 1200000;
}

static struct log_world w = {.configure = configure};

/* COUNT records, and a server that has none of them in memory. */
static void fill_and_restart(int topic)
{
	for (int i = 0; i < COUNT; i++)
		assert_int_equal(log_put_ok(&w.f, topic, 0, (uint64_t)i + 1, 1, LARGE), i);
	log_world_end(&w, WORLD_STOPPED);
	assert_ok(log_fixture_open(&w.f));
}

static void assert_tags(const struct log_read *r, int64_t offset)
{
	assert_true(r->batch_count > 0);
	for (size_t i = 0; i < r->batch_count; i++)
		assert_int_equal(log_batch_tag(r->batches[i]), offset + (int64_t)i + 1);
	assert_int_equal(r->next_offset, offset + (int64_t)r->batch_count);
}

static int64_t read_from(int topic, int64_t offset)
{
	struct log_read r;
	assert_ok(log_read_wait(&w.f, topic, 0, offset, ASKED, &r));
	assert_tags(&r, offset);
	log_read_release(&r);
	return r.next_offset;
}

/* Reads in turn until something is read ahead; where the next read goes on. */
static int64_t read_until_ahead(int topic, int64_t offset)
{
	while (list_empty(&w.f.log->ahead.reads) && offset < COUNT)
		offset = read_from(topic, offset);
	assert_false(list_empty(&w.f.log->ahead.reads));
	return offset;
}

static bool busy(void)
{
	return w.f.log->reads_active > 0;
}

static void who_reads_in_turn_finds_the_next_bytes(void **state)
{
	const struct ahead *ahead = &w.f.log->ahead;
	int taken = 0;
	(void)state;
	fill_and_restart(0);
	ahead = &w.f.log->ahead;
	for (int64_t at = 0; at < COUNT;) {
		bool there = !list_empty(&ahead->reads);
		const struct list_node *first = ahead->reads.head.next;
		for (int i = 0; there && at % 2 && busy(); i++)
			log_fixture_turn(&w.f); /* READY; else it comes while BUSY */
		at = read_from(0, at);
		taken += there && ahead->reads.head.next != first;
		assert_true(ahead->bytes <= AHEAD_BYTES_MAX);
	}
	assert_true(taken > 5);
}

static void what_nobody_takes_is_given_back(void **state)
{
	(void)state;
	fill_and_restart(0);
	read_until_ahead(0, 0);
	int64_t started = loop_now_ns(w.f.loop);
	while (!list_empty(&w.f.log->ahead.reads)) {
		log_fixture_turn(&w.f);
		assert_true(loop_now_ns(w.f.loop) - started < 4 * AHEAD_KEEP_NS);
	}
	assert_int_equal(w.f.log->ahead.bytes, 0);
}

struct two {
	struct log_read req;
	unsigned *left;
};

static void two_done(struct log_read *req)
{
	--*CONTAINER_OF(req, struct two, req)->left;
}

static void who_come_for_the_same_bytes_read_the_same(void **state)
{
	enum { READERS = 3 };
	(void)state;
	fill_and_restart(0);
	for (int64_t at = 0; at < COUNT / 2;) {
		struct two two[READERS];
		unsigned left = READERS;
		at = read_until_ahead(0, at);
		if (at % 2)
			while (busy())
				log_fixture_turn(&w.f);
		for (int i = 0; i < READERS; i++) {
			two[i] = (struct two){.left = &left};
			two[i].req = (struct log_read){.partition = w.f.partitions[0][0],
			    .offset = at,
			    .max_bytes = i == 1 ? 1 : ASKED,
			    .done = two_done};
			log_read(w.f.log, &two[i].req);
		}
		for (int i = 0; left > 0 && i < 10000; i++)
			log_fixture_turn(&w.f);
		assert_int_equal(left, 0);
		for (int i = 0; i < READERS; i++) {
			assert_ok(two[i].req.err);
			assert_tags(&two[i].req, at);
			log_read_release(&two[i].req);
		}
		at = two[0].req.next_offset;
	}
}

static void rot_in_it_is_found(void **state)
{
	struct io_stat st;
	uint8_t byte;
	int fd;
	(void)state;
	fill_and_restart(0);
	int64_t at = read_until_ahead(0, 0);
	while (busy())
		log_fixture_turn(&w.f); /* the bytes in memory are whole: they are served */
	assert_ok(io_open(w.io, SEGMENT_0, 0, &fd));
	assert_ok(io_fstat(w.io, fd, &st));
	for (uint64_t pos = 3000; pos < st.size_bytes; pos += 4096) { /* everywhere */
		assert_ok(io_pread_all(w.io, fd, &byte, 1, pos));
		byte ^= 0x10;
		assert_ok(io_pwrite(w.io, fd, &byte, 1, pos));
	}
	assert_ok(io_fsync(w.io, fd));
	assert_ok(io_close(w.io, fd));
	at = read_from(0, at);
	for (int i = 0; i < 3; i++) {
		struct log_read r;
		assert_int_equal(log_read_wait(&w.f, 0, 0, at, ASKED, &r), ERR_CORRUPT);
		log_read_release(&r);
		at = r.next_offset;
	}
}

static void a_segment_goes_with_what_was_read_of_it(void **state)
{
	(void)state;
	fill_and_restart(1);
	for (int way = 0; way < 2; way++) {
		struct log_partition *p = w.f.partitions[1][0];
		int64_t at = read_until_ahead(1, p->log_start);
		const struct segment *s = partition_segment_of(p, at);
		assert_non_null(s);
		ASSERT(s && s != partition_active(p));
		while (way && busy())
			log_fixture_turn(&w.f);
		size_t before = p->segment_count;
		partition_trim(p, s->end_offset);
		assert_true(p->segment_count < before);
		for (int i = 0; i < 200 && w.f.log->ahead.bytes > 0; i++)
			log_fixture_turn(&w.f);
		assert_int_equal(w.f.log->ahead.bytes, 0);
		assert_true(loop_now_ns(w.f.loop) > 0);
	}
	read_until_ahead(1, w.f.partitions[1][0]->log_start);
	/* and a stop with something on its way: teardown */
}

#define TEST(name)                                                                                 \
	cmocka_unit_test_prestate_setup_teardown(name, log_world_setup, log_world_teardown, &w)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(who_reads_in_turn_finds_the_next_bytes),
	    TEST(what_nobody_takes_is_given_back),
	    TEST(who_come_for_the_same_bytes_read_the_same),
	    TEST(rot_in_it_is_found),
	    TEST(a_segment_goes_with_what_was_read_of_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
