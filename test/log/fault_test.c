/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that fail: every call of the I/O seam, one after the other, with EIO and with ENOSPC; every allocation; a disk that
 * is full and has room again. The server may refuse, fail and stop, but it never hangs, never crashes, and what it
 * acknowledged is there after the next start.
 */
#include "test/lib/log_fixture.h"
#include "test/lib/sim_io.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct world {
	struct sim_disk *disk;
	struct io *io;
	struct log_fixture f;
	uint64_t seed;
	int64_t acked[2][2]; /* exclusive end of what was acknowledged, per topic and partition */
};
static struct world w;

static void quiet(void *ctx, const char *line)
{
	(void)ctx;
	(void)line;
}

static int64_t log_start[2]; /* of topic 1 */

static void world_io(void)
{
	struct sim_options o = {.seed = w.seed, .latency_min_ns = 10 * US_NS, .latency_max_ns = 200 * US_NS};
	assert_ok(sim_io_new(w.disk, &o, &w.io));
	log_fixture_init_io(&w.f, w.io, "/data");
	w.f.options.journal_bytes = MIB;
	w.f.options.checkpoint_ns = 20 * MS_NS;
	w.f.topics[1].config.segment_bytes = 6000;
	for (int p = 0; p < 2; p++)
		w.f.log_start[1][p] = log_start[p];
}

static void world_new(uint64_t capacity)
{
	memset(&w, 0, sizeof(w));
	memset(log_start, 0, sizeof(log_start));
	w.seed = 1;
	map_set_seed(1);
	w.disk = sim_disk_new(capacity);
	world_io();
}

static void world_cut(bool kill)
{
	struct sim_disk *after = kill ? sim_io_kill(w.io, ++w.seed) : sim_io_cut_power(w.io, ++w.seed);
	log_fixture_release(&w.f);
	io_free(w.io);
	sim_disk_free(w.disk);
	w.disk = after;
}

static int group_setup(void **state)
{
	(void)state;
	if (!getenv("V")) diag_set_sink(quiet, NULL);
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	diag_set_sink(NULL, NULL);
	return 0;
}

/* ---- a script that comes by every call ---- */

static bool try_append(int topic, int partition, uint64_t tag)
{
	struct log_put put;
	size_t len;
	uint8_t *batch = log_batch_new(tag, 1, 800, &len);
	if (!batch)
		return false;
	if (log_put_wait(&w.f, topic, partition, batch, len, &put) != ERR_OK)
		return false;
	w.acked[topic][partition] = put.req.base_offset + 1;
	return true;
}

static void try_read(int topic, int partition, int64_t offset)
{
	struct log_read r;
	if (log_read_wait(&w.f, topic, partition, offset, 4000, &r) == ERR_OK)
		for (size_t i = 0; i < r.batch_count; i++)
			assert_true(log_batch_tag(r.batches[i]) > 0);
	log_read_release(&r);
}

static void script(void)
{
	if (log_fixture_open(&w.f) != ERR_OK)
		return;
	for (uint64_t i = 1; i <= 24; i++) {
		try_append((int)(i % 2), (int)(i / 2 % 2), i);
		if (i % 5 == 0)
			try_read(1, 0, 0);
		if (i == 12)
			io_sleep_ns(w.io, 150 * MS_NS); /* checkpoints, D restated */
		log_fixture_turn(&w.f);
	}
	log_fixture_close(&w.f);
}

static void check_acked(void)
{
	struct log_read r;
	enum err e = log_fixture_open(&w.f);
	if (e != ERR_OK)
		fail_msg("%s: %s", err_name(e), err_chain());
	for (int t = 0; t < 2; t++)
		for (int p = 0; p < 2; p++) {
			assert_true(w.f.partitions[t][p]->visible_end >= w.acked[t][p]);
			for (int64_t offset = 0; offset < w.f.partitions[t][p]->visible_end; offset = r.next_offset) {
				assert_ok(log_read_wait(&w.f, t, p, offset, 4000, &r));
				assert_true(r.batch_count > 0);
				log_read_release(&r);
			}
		}
	log_fixture_close(&w.f);
}

/* The nth call fails (and `count` - 1 after it). False when the script has not so many calls. */
static bool sweep_one(uint64_t nth, uint64_t count, int sys_errno)
{
	world_new(0);
	sim_io_fault(w.io, (struct sim_fault){.calls = SIM_CALL_FILES, .nth = nth, .count = count,
	    .sys_errno = sys_errno});
	script();
	bool hit = sim_io_fault_hits(w.io) > 0;
	world_cut(nth % 2 == 0);
	world_io();
	check_acked();
	world_cut(true);
	sim_disk_free(w.disk);
	return hit;
}

static void sweep(uint64_t count, int sys_errno)
{
	uint64_t nth = 1;
	while (sweep_one(nth, count, sys_errno))
		nth++;
	assert_true(nth > 200); /* the script is not empty */
}

static void any_call_may_fail_with_eio(void **state)
{
	(void)state;
	sweep(1, EIO);
}

static void any_call_may_fail_with_enospc(void **state)
{
	(void)state;
	sweep(1, ENOSPC);
}

static void all_calls_may_fail_from_any_on(void **state)
{
	(void)state;
	sweep(0, EIO);
}

/*
 * Starts that were cut off before their journal was filled, then one that is stopped while a call of the filling fails:
 * CLEAN has no room where it would go next, and nobody makes any.
 */
static bool stop_one(unsigned starts, uint64_t nth)
{
	world_new(0);
	for (unsigned i = 0; i < starts; i++) {
		w.f.options.journal_bytes = 64 * KIB;
		assert_ok(log_fixture_open(&w.f));
		world_cut(false);
		world_io();
	}
	w.f.options.journal_bytes = 64 * KIB;
	sim_io_fault(w.io, (struct sim_fault){.calls = SIM_CALL_FILES, .nth = nth, .count = 1, .sys_errno = EIO});
	if (log_fixture_open(&w.f) == ERR_OK)
		log_fixture_close(&w.f);
	bool hit = sim_io_fault_hits(w.io) > 0;
	world_cut(nth % 2 == 0);
	world_io();
	check_acked();
	world_cut(true);
	sim_disk_free(w.disk);
	return hit;
}

static void a_stop_ends_without_room_for_its_mark(void **state)
{
	(void)state;
	for (unsigned starts = 0; starts < 8; starts++)
		for (uint64_t nth = 1; stop_one(starts, nth); nth++)
			;
}

/* ---- memory ---- */

enum { MEMORY_PUTS = 12 };

/* Appends and reads while the nth allocation fails; how many were made. */
static uint64_t memory_script(uint64_t nth)
{
	struct log_put puts[MEMORY_PUTS];
	struct log_read r;
	for (uint64_t i = 0; i < MEMORY_PUTS; i++) {
		size_t len;
		uint8_t *batch = i % 3 ? log_batch_new(i + 1, 1, 800, &len) : log_batch_from(7, 0, (int32_t)i, i + 1, 1, &len);
		log_put_init(&puts[i], &w.f, 1, (int)(i % 2), batch, len);
	}
	mem_fail_at(nth);
	for (int i = 0; i < MEMORY_PUTS; i++) {
		log_put_send(&puts[i]);
		log_put_await(&puts[i]);
		(void)log_read_wait(&w.f, 1, i % 2, 0, 4000, &r); /* it may fail, it must answer */
		log_read_release(&r);
		io_sleep_ns(w.io, 10 * MS_NS);
	}
	uint64_t made = mem_fail_count();
	mem_fail_at(0);
	for (int i = 0; i < MEMORY_PUTS; i++) {
		if (puts[i].req.err == ERR_OK)
			w.acked[1][i % 2] = puts[i].req.base_offset + 1;
		log_put_release(&puts[i]);
	}
	return made;
}

static void any_allocation_may_fail(void **state)
{
	uint64_t made = UINT64_MAX, nth = 0;
	(void)state;
	while (++nth <= made) {
		world_new(0);
		assert_ok(log_fixture_open(&w.f));
		made = memory_script(nth);
		log_fixture_close(&w.f);
		check_acked();
		world_cut(true);
		sim_disk_free(w.disk);
	}
	assert_true(nth > 100);
}

/* ---- a full disk ---- */

static unsigned fill_disk(void)
{
	unsigned taken = 0;
	for (uint64_t i = 1; i < 100000; i++) {
		if (!try_append(1, (int)(i % 2), i))
			return taken;
		taken++;
	}
	fail_msg("the disk is never full");
	return 0;
}

static void turn_until_space(void)
{
	struct log_status st = {.no_space = true};
	for (int i = 0; i < 1000 && st.no_space; i++) {
		log_fixture_turn(&w.f);
		st.no_space = w.f.log->rounds.no_space;
	}
	assert_false(st.no_space);
}

static void a_full_disk_refuses_appends_and_serves_the_rest(void **state)
{
	struct log_put put;
	struct log_read r;
	size_t len;
	(void)state;
	world_new(4 * MIB);
	assert_ok(log_fixture_open(&w.f));
	unsigned taken = fill_disk();
	assert_true(taken > 100);
	assert_true(w.f.log->rounds.no_space);
	assert_false(w.f.log->failed);
	uint8_t *batch = log_batch_new(1, 1, 100, &len);
	assert_int_equal(log_put_wait(&w.f, 0, 0, batch, len, &put), ERR_NOSPACE);
	assert_ok(log_read_wait(&w.f, 1, 0, 10, 4000, &r)); /* fetches go on */
	assert_true(r.batch_count > 0);
	log_read_release(&r);
	partition_trim(w.f.partitions[1][0], w.acked[1][0] / 2); /* so does retention, and that ends it */
	turn_until_space();
	unsigned more = fill_disk();
	if (more <= 20)
		fail_msg("%u then %u", taken, more);
	partition_trim(w.f.partitions[1][1], w.acked[1][1] / 2);
	turn_until_space();
	assert_true(try_append(1, 0, 1));
	log_fixture_close(&w.f);
	world_cut(true);
	sim_disk_free(w.disk);
}

static void a_full_disk_recovers_and_fills_again(void **state)
{
	(void)state;
	world_new(4 * MIB);
	for (int round = 0; round < 6; round++) {
		assert_ok(log_fixture_open(&w.f));
		fill_disk();
		for (int p = 0; p < 2; p++) {
			struct log_partition *part = w.f.partitions[1][p];
			assert_true(part->visible_end >= w.acked[1][p]);
			assert_false(part->damaged);
			if (round % 2)
				log_start[p] = part->log_start + (w.acked[1][p] - part->log_start) / 2;
			if (round % 2)
				partition_trim(part, log_start[p]);
		}
		if (round % 2)
			turn_until_space();
		world_cut(round % 3 == 0);
		world_io();
	}
	assert_ok(log_fixture_open(&w.f));
	for (int p = 0; p < 2; p++)
		assert_true(w.f.partitions[1][p]->visible_end >= w.acked[1][p]);
	log_fixture_close(&w.f);
	world_cut(true);
	sim_disk_free(w.disk);
}

/* Each try failed with a note, and all of them were the chain of whatever failed next. */
static void a_write_without_room_is_tried_again_without_a_word(void **state)
{
	struct log_put put;
	size_t len;
	(void)state;
	world_new(0);
	assert_ok(log_fixture_open(&w.f));
	log_put_ok(&w.f, 1, 0, 1, 1, 100);
	err_clear();
	const struct sim_fault full = {
	    .calls = SIM_CALL_WRITE, .nth = 2 /* behind the journal's */, .count = 40, .sys_errno = ENOSPC};
	sim_io_fault(w.io, full);
	uint8_t *batch = log_batch_new(2, 1, 100, &len);
	log_put_init(&put, &w.f, 1, 0, batch, len);
	log_put_send(&put);
	for (int i = 0; i < 10000 && sim_io_fault_hits(w.io) < 30; i++)
		log_fixture_turn(&w.f);
	assert_true(sim_io_fault_hits(w.io) >= 30);
	assert_string_equal(err_chain(), "");
	log_put_await(&put);
	assert_ok(put.req.err);
	log_put_release(&put);
	log_fixture_close(&w.f);
	world_cut(true);
	sim_disk_free(w.disk);
}

static void a_failed_flush_is_the_end(void **state)
{
	struct log_put put;
	size_t len;
	(void)state;
	world_new(0);
	assert_ok(log_fixture_open(&w.f));
	assert_true(try_append(0, 0, 1));
	uint64_t syncs = sim_io_calls(w.io, SIM_CALL_SYNC);
	sim_io_fault(w.io, (struct sim_fault){.calls = SIM_CALL_SYNC, .nth = 1, .count = 1, .sys_errno = EIO});
	uint8_t *batch = log_batch_new(2, 1, 10, &len);
	assert_int_equal(log_put_wait(&w.f, 0, 0, batch, len, &put), ERR_IO);
	assert_true(w.f.log->failed);
	batch = log_batch_new(3, 1, 10, &len);
	assert_int_equal(log_put_wait(&w.f, 0, 0, batch, len, &put), ERR_IO);
	for (int i = 0; i < 50; i++)
		log_fixture_turn(&w.f);
	log_fixture_close(&w.f);
	assert_int_equal(sim_io_calls(w.io, SIM_CALL_SYNC), syncs + 1); /* never a second one */
	world_cut(false);
	world_io();
	check_acked();
	world_cut(true);
	sim_disk_free(w.disk);
}

/*
 * A roll that fails, and whose file cannot be taken away either: the append is told of the disk, and the
 * next one rolls.
 */
static void what_a_failed_roll_leaves_is_in_nobodys_way(void **state)
{
	struct log_put put;
	int fd;
	(void)state;
	world_new(0);
	assert_ok(log_fixture_open(&w.f));
	struct log_partition *p = w.f.partitions[1][0];
	char path[100], name[SEGMENT_NAME_BYTES];
	assert_true(try_append(1, 0, 1));
	snprintf(path, sizeof(path), "/data/topics/%s/%s", p->dir, segment_name(p->log_end, ".log", name));
	assert_ok(io_open(w.io, path, IO_CREATE | IO_EXCLUSIVE, &fd));
	assert_ok(io_pwrite(w.io, fd, "torn", 4, 0));
	assert_ok(io_close(w.io, fd));
	partition_roll_soon(p);
	assert_true(try_append(1, 0, 2));
	assert_int_equal(p->segment_count, 2);
	/* with frames in it, it is nobody's to take away */
	snprintf(path, sizeof(path), "/data/topics/%s/%s", p->dir, segment_name(p->log_end, ".log", name));
	assert_ok(io_open(w.io, path, IO_CREATE | IO_EXCLUSIVE, &fd));
	assert_ok(io_truncate(w.io, fd, SEGMENT_HEADER_BYTES + 1));
	assert_ok(io_close(w.io, fd));
	partition_roll_soon(p);
	size_t len;
	uint8_t *batch = log_batch_new(102, 1, 800, &len);
	assert_int_equal(log_put_wait(&w.f, 1, 0, batch, len, &put), ERR_EXISTS);
	assert_ok(io_unlink(w.io, path));
	assert_true(try_append(1, 0, 103));
	log_fixture_close(&w.f);
	world_cut(true);
	sim_disk_free(w.disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_failed_roll_leaves_is_in_nobodys_way),
		cmocka_unit_test(any_call_may_fail_with_eio),
		cmocka_unit_test(any_call_may_fail_with_enospc),
		cmocka_unit_test(all_calls_may_fail_from_any_on),
		cmocka_unit_test(a_stop_ends_without_room_for_its_mark),
		cmocka_unit_test(any_allocation_may_fail),
		cmocka_unit_test(a_full_disk_refuses_appends_and_serves_the_rest),
		cmocka_unit_test(a_full_disk_recovers_and_fills_again),
		cmocka_unit_test(a_write_without_room_is_tried_again_without_a_word),
		cmocka_unit_test(a_failed_flush_is_the_end),
	};
	return cmocka_run_group_tests_name("fault", tests, group_setup, group_teardown);
}
