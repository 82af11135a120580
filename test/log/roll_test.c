/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A roll writes down who the producers are, which for many of them takes milliseconds: on the pool,
 * over the partition's own state, which nothing changes meanwhile.
 */
#include "log/partition.h"
#include "test/lib/log_fixture.h"
#include <stdio.h>
#include <time.h>

static int setup(void **state)
{
	int e = log_fixture_setup(state, "threads");
	if (*state)
		assert_ok(log_fixture_open(*state));
	return e;
}

static int64_t thread_cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * S_NS + t.tv_nsec;
}

static void put_from(struct log_put *put, struct log_fixture *f, int64_t id, int32_t sequence)
{
	size_t len;
	uint8_t *batch = log_batch_from(id, 0, sequence, (uint64_t)sequence + 1, 1, &len);
	log_put_init(put, f, 0, 0, batch, len);
}

/* The partition knows as many producers as it can, five batches of each. */
static struct log_partition *make_producers(struct log_fixture *f)
{
	struct log_partition *p = f->partitions[0][0];
	struct log_put put;
	put_from(&put, f, 0, 0);
	log_put_send(&put);
	log_put_await(&put);
	assert_ok(put.req.err);
	log_put_release(&put);
	struct batch_header h = {.base_offset = 0};
	for (h.producer_id = 1; h.producer_id < PRODUCERS_MAX; h.producer_id++) {
		assert_ok(producers_reserve(&p->producers, h.producer_id));
		for (h.base_sequence = 0; h.base_sequence < 5; h.base_sequence++)
			producers_note(&p->producers, &h, 1, f->log->clock.append_ns, -1);
	}
	return p;
}

static struct writer encode(const struct log_partition *p)
{
	const struct snap_header h = {.version = SNAP_VERSION,
	    .topic_id = p->key.topic_id,
	    .partition = p->key.partition,
	    .offset = p->log_end,
	    .sequence = p->stamped_sequence};
	struct writer out;
	writer_init(&out, snap_bytes_max());
	assert_ok(snap_encode(&p->producers, &p->txns, &h, &out));
	return out;
}

static struct bytes read_snap(const struct log_fixture *f, int64_t base)
{
	char path[400];
	struct bytes file;
	snprintf(
	    path, sizeof(path), "%s/topics/topic0-0/%020lld.snap", f->data_dir, (long long)base);
	assert_ok(io_read_file(f->io, path, snap_bytes_max(), &file));
	return file;
}

static void the_loop_turns_on_while_a_snapshot_is_made(void **state)
{
	LOG_FIXTURE;
	struct log_partition *p = make_producers(f);
	int64_t from = thread_cpu_ns(), longest = 0;
	struct writer want = encode(p);
	int64_t whole = thread_cpu_ns() - from;
	struct log_put put;
	partition_roll_soon(p);
	put_from(&put, f, 0, 1);
	struct log_append *req = &put.req;
	from = thread_cpu_ns();
	log_append(f->log, &req, 1, false);
	while (!put.done) {
		log_fixture_turn(f);
		int64_t now = thread_cpu_ns();
		longest = now - from > longest ? now - from : longest;
		from = now;
	}
	assert_ok(put.req.err);
	log_put_release(&put);
	if (longest > whole / 3)
		fail_msg("a turn of %lld us, the snapshot takes %lld", (long long)longest / 1000,
		    (long long)whole / 1000);
	assert_int_equal(p->segment_count, 2);
	struct bytes snap = read_snap(f, 1);
	assert_int_equal(snap.len, want.len);
	assert_memory_equal(snap.ptr, want.ptr, want.len);
	mem_free((void *)(uintptr_t)snap.ptr);
	writer_release(&want);
}

/* A roll forgets some of those who have been silent for a day, the next one goes on. */
static void silent_producers_are_forgotten_a_few_at_a_time(void **state)
{
	LOG_FIXTURE;
	struct log_partition *p = make_producers(f);
	size_t before = p->producers.count;
	LIST_EACH (&p->producers.lru, n, next)
		CONTAINER_OF(n, struct producer, lru)->last_ns -= 2 * PRODUCER_EXPIRY_NS;
	for (int32_t i = 1; i < 4; i++) {
		struct log_put put;
		partition_roll_soon(p);
		put_from(&put, f, PRODUCERS_MAX + 7, i);
		log_put_send(&put);
		log_put_await(&put);
		assert_ok(put.req.err);
		log_put_release(&put);
		assert_true(p->producers.count < before);
		assert_true(p->producers.count + 2000 > before);
		before = p->producers.count;
	}
}

/* DeleteRecords passes an aborted transaction while the snapshot that has it is written. */
static void what_is_deleted_during_a_roll_is_forgotten_behind_it(void **state)
{
	LOG_FIXTURE;
	struct log_partition *p = make_producers(f);
	struct batch_header h = {.producer_id = 1, .attributes = BATCH_ATTR_TRANSACTIONAL};
	const struct batch_marker m = {.producer_id = 1};
	log_put_ok(f, 0, 0, 2, 4, 10);
	for (h.base_offset = 0; h.base_offset < 4; h.base_offset += 2) {
		assert_ok(txns_promise(&p->txns, 1));
		txns_note(&p->txns, &h, 1, 1);
		assert_true(txns_end(&p->txns, &m, h.base_offset + 1));
	}
	struct writer want = encode(p);
	struct log_put put;
	partition_roll_soon(p);
	put_from(&put, f, 0, 1);
	struct log_append *req = &put.req;
	log_append(f->log, &req, 1, false);
	assert_true(p->frozen);
	partition_trim(p, 2);
	assert_int_equal(p->txns.aborted_count, 2);
	log_put_await(&put);
	assert_ok(put.req.err);
	log_put_release(&put);
	assert_false(p->frozen);
	assert_int_equal(p->txns.aborted_count, 1);
	assert_int_equal(p->txns.aborted[0].first_offset, 2);
	struct bytes snap = read_snap(f, 5);
	assert_int_equal(snap.len, want.len);
	assert_memory_equal(snap.ptr, want.ptr, want.len);
	mem_free((void *)(uintptr_t)snap.ptr);
	writer_release(&want);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, log_fixture_teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(the_loop_turns_on_while_a_snapshot_is_made),
	    TEST(silent_producers_are_forgotten_a_few_at_a_time),
	    TEST(what_is_deleted_during_a_roll_is_forgotten_behind_it),
	};
	return cmocka_run_group_tests_name("roll", tests, NULL, NULL);
}
