/* SPDX-License-Identifier: Apache-2.0 */
/* Idempotent producers: duplicates, order, epochs, and that all of it survives restarts. */
#include "log/partition_drop.h"
#include "test/lib/log_world.h"
#include <errno.h>
#include <stdio.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

static int64_t trimmed; /* log start of topic 1 */
static void configure(struct log_world *world)
{
	world->f.topics[1].config.segment_bytes = 6000;
	world->f.log_start[1][0] = trimmed;
}

static struct log_world w = {.configure = configure};

static int setup(void **state)
{
	trimmed = 0;
	return log_world_setup(state);
}

static void restart(bool clean)
{
	log_world_end(&w, clean ? WORLD_STOPPED : WORLD_KILLED);
	assert_ok(log_fixture_open(&w.f));
}

static enum err produce(
    int topic, int64_t id, int16_t epoch, int32_t sequence, int count, struct log_put *ret)
{
	struct log_put put;
	size_t len;
	uint8_t *batch = log_batch_from(id, epoch, sequence, (uint64_t)sequence + 1, count, &len);
	enum err e = log_put_wait(&w.f, topic, 0, batch, len, &put);
	if (ret)
		*ret = put;
	return e;
}

static void a_duplicate_is_answered_with_the_original(void **state)
{
	struct log_put first, again;
	(void)state;
	assert_ok(produce(0, 7, 0, 0, 3, NULL));
	assert_ok(produce(0, 7, 0, 3, 2, &first));
	log_put_ok(&w.f, 0, 0, 99, 1, 10);
	assert_ok(produce(0, 7, 0, 3, 2, &again));
	assert_true(again.req.duplicate);
	assert_int_equal(again.req.base_offset, first.req.base_offset);
	assert_int_equal(again.req.sequence, first.req.sequence);
	assert_int_equal(w.f.partitions[0][0]->log_end, 6);
}

static void duplicates_of_batches_in_flight_join_their_round(void **state)
{
	struct log_put puts[4];
	(void)state;
	for (int i = 0; i < 4; i++) { /* the last two repeat the first two, before any answer */
		size_t len;
		uint8_t *batch = log_batch_from(7, 0, i % 2 * 2, (uint64_t)i + 1, 2, &len);
		log_put_init(&puts[i], &w.f, 0, 0, batch, len);
		log_put_send(&puts[i]);
		if (i == 1)
			log_fixture_turn(&w.f); /* the first two are in the air by now */
	}
	for (int i = 0; i < 4; i++) {
		log_put_await(&puts[i]);
		assert_ok(puts[i].req.err);
		assert_int_equal(puts[i].req.duplicate, i >= 2);
		assert_int_equal(puts[i].req.base_offset, i % 2 * 2);
		assert_int_equal(puts[i].req.sequence, puts[i % 2].req.sequence);
		log_put_release(&puts[i]);
	}
	assert_int_equal(w.f.partitions[0][0]->log_end, 4);
}

static void the_last_five_batches_are_remembered(void **state)
{
	struct log_put put;
	(void)state;
	for (int i = 0; i < 8; i++)
		assert_ok(produce(0, 7, 0, i, 1, NULL));
	for (int i = 3; i < 8; i++) {
		assert_ok(produce(0, 7, 0, i, 1, &put));
		assert_int_equal(put.req.base_offset, i);
	}
	/* forgotten: not called a duplicate, which clients take for stored */
	assert_int_equal(produce(0, 7, 0, 2, 1, NULL), ERR_OUT_OF_ORDER_SEQUENCE);
	/* part of one that is known */
	assert_ok(produce(0, 9, 0, 5, 4, NULL));
	assert_int_equal(produce(0, 9, 0, 6, 2, NULL), ERR_DUPLICATE_SEQUENCE);
	assert_int_equal(produce(0, 9, 0, 2, 1, NULL), ERR_OUT_OF_ORDER_SEQUENCE);
	assert_int_equal(produce(0, 9, 0, 4, 2, NULL), ERR_OUT_OF_ORDER_SEQUENCE);
	assert_int_equal(w.f.partitions[0][0]->log_end, 12);
}

static void a_gap_in_a_producers_sequence_is_refused(void **state)
{
	(void)state;
	assert_ok(produce(0, 7, 0, 0, 5, NULL));
	assert_int_equal(produce(0, 7, 0, 6, 1, NULL), ERR_OUT_OF_ORDER_SEQUENCE);
	assert_int_equal(produce(0, 7, 0, 3, 5, NULL), ERR_OUT_OF_ORDER_SEQUENCE);
	assert_ok(produce(0, 7, 0, 5, 1, NULL));
	assert_ok(produce(0, 8, 0, 17, 1, NULL)); /* unknown: its past may have been deleted */
}

static void epochs_fence_older_ones(void **state)
{
	(void)state;
	assert_ok(produce(0, 7, 2, 0, 1, NULL));
	assert_int_equal(produce(0, 7, 1, 1, 1, NULL), ERR_INVALID_PRODUCER_EPOCH);
	assert_int_equal(produce(0, 7, 3, 1, 1, NULL), ERR_OUT_OF_ORDER_SEQUENCE);
	assert_ok(produce(0, 7, 3, 0, 1, NULL));
	assert_int_equal(produce(0, 7, 2, 1, 1, NULL), ERR_INVALID_PRODUCER_EPOCH);
}

static void sequences_wrap_to_zero(void **state)
{
	(void)state;
	assert_ok(produce(0, 7, 0, INT32_MAX - 1, 3, NULL)); /* ends at 0 */
	assert_ok(produce(0, 7, 0, 1, 1, NULL));
	assert_int_equal(produce(0, 7, 0, INT32_MAX, 1, NULL), ERR_DUPLICATE_SEQUENCE);
}

static void the_state_survives_a_restart(void **state)
{
	struct log_put put;
	(void)state;
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 20;
		     i++) /* topic 1 rolls often: snapshots and frames behind them */
			assert_ok(produce(1, 7, 0, round * 20 + i, 1, NULL));
		restart(round % 2 == 0);
		int32_t last = round * 20 + 19;
		assert_ok(produce(1, 7, 0, last, 1, &put));
		assert_true(put.req.duplicate);
		assert_int_equal(put.req.base_offset, last);
		assert_int_equal(produce(1, 7, 0, last + 2, 1, NULL), ERR_OUT_OF_ORDER_SEQUENCE);
	}
}

static void the_state_survives_the_loss_of_its_snapshots(void **state)
{
	struct log_put put;
	struct io_names names;
	char path[256];
	(void)state;
	for (int i = 0; i < 60; i++)
		assert_ok(produce(1, 7, 0, i, 1, NULL));
	log_fixture_close(&w.f);
	assert_ok(io_list(w.io, "/data/topics/topic1-0", &names));
	int damaged = 0;
	for (size_t i = 0; i < names.count; i++) {
		int64_t base;
		int fd;
		if (!segment_name_parse(names.name[i], ".snap", &base))
			continue;
		snprintf(path, sizeof(path), "/data/topics/topic1-0/%s", names.name[i]);
		assert_ok(io_open(w.io, path, 0, &fd));
		assert_ok(io_pwrite(w.io, fd, "rot", 3, 70));
		assert_ok(io_close(w.io, fd));
		damaged++;
	}
	io_names_release(&names);
	assert_true(damaged > 1);
	restart(true);
	assert_ok(produce(1, 7, 0, 57, 1, &put));
	assert_int_equal(put.req.base_offset, 57);
	assert_ok(produce(1, 7, 0, 60, 1, NULL));
}

static void a_silent_producer_is_forgotten_after_a_day(void **state)
{
	struct producers ps;
	struct producer_batch original;
	struct batch_header h = {.producer_id = 1, .producer_epoch = 0, .base_sequence = 0};
	(void)state;
	producers_init(&ps);
	ps.loaded = true;
	for (h.producer_id = 1; h.producer_id <= 10; h.producer_id++) {
		assert_ok(producers_check(&ps, &h, &original));
		assert_ok(producers_reserve(&ps, h.producer_id));
		producers_note(&ps, &h, 1, h.producer_id * 3600 * S_NS, -1);
	}
	producers_expire(&ps, PRODUCER_EXPIRY_NS + 3 * 3600 * S_NS, SIZE_MAX);
	assert_int_equal(ps.count, 7);
	h.producer_id = 5;
	assert_int_equal(producers_check(&ps, &h, &original), ERR_EXISTS);
	producers_release(&ps);
}

static void too_many_producers_push_out_the_oldest(void **state)
{
	struct producers ps;
	struct producer_batch original;
	struct batch_header h = {.producer_epoch = 0, .base_sequence = 0};
	(void)state;
	uint64_t before = metric_value(METRIC_PRODUCERS_FORGOTTEN);
	producers_init(&ps);
	ps.loaded = true;
	for (h.producer_id = 0; h.producer_id < PRODUCERS_MAX + 10; h.producer_id++) {
		assert_ok(producers_check(&ps, &h, &original));
		assert_ok(producers_reserve(&ps, h.producer_id));
		producers_note(&ps, &h, 1, 1, -1);
	}
	assert_int_equal(ps.count, PRODUCERS_MAX);
	assert_int_equal(metric_value(METRIC_PRODUCERS_FORGOTTEN) - before, 10);
	h.producer_id = PRODUCERS_MAX + 9;
	assert_int_equal(producers_check(&ps, &h, &original), ERR_EXISTS);
	const struct producer *p;
	size_t cursor = 0, seen = 0;
	int64_t sum = 0;
	while ((p = producers_next(&ps, &cursor))) {
		sum += p->id;
		seen++;
	}
	assert_int_equal(seen, PRODUCERS_MAX);
	assert_int_equal(sum, (int64_t)PRODUCERS_MAX * (PRODUCERS_MAX + 19) / 2);
	for (size_t i = 0; i < PRODUCER_MAPS; i++) /* none grows with much more than its part */
		assert_true(ps.maps[i].count < 2 * (size_t)PRODUCERS_MAX / PRODUCER_MAPS);
	producers_release(&ps);
}

static void what_was_sent_behind_a_refused_batch_waits_for_it(void **state)
{
	(void)state;
	/* the first segment cannot be made: the first batches of the producer are refused */
	sim_io_fault(w.io, (struct sim_fault){.calls = SIM_CALL_OPEN, .nth = 1, .sys_errno = EIO});
	assert_int_equal(produce(0, 7, 0, 0, 3, NULL), ERR_IO);
	assert_int_equal(produce(0, 7, 0, 3, 2, NULL), ERR_IO);
	sim_io_fault(w.io, (struct sim_fault){0});
	assert_int_equal(produce(0, 7, 0, 5, 2, NULL), ERR_OUT_OF_ORDER_SEQUENCE);
	assert_int_equal(produce(0, 7, 0, 3, 2, NULL), ERR_OUT_OF_ORDER_SEQUENCE);
	assert_ok(produce(0, 8, 0, 5, 1, NULL)); /* no matter of other producers */
	assert_ok(produce(0, 7, 0, 0, 3, NULL));
	assert_ok(produce(0, 7, 0, 3, 2, NULL));
	assert_ok(produce(0, 7, 0, 5, 2, NULL));
	assert_int_equal(w.f.partitions[0][0]->refusals.map.count, 0);
}

/* The log finds that much room for appends on the disk; 0: as much as it likes. */
static void leave_room(uint64_t room)
{
	uint64_t free_bytes, total;
	w.disk->capacity_bytes = 0;
	assert_ok(io_space(w.io, w.f.log->data_dir, &free_bytes, &total));
	uint64_t used = total - free_bytes + checkpoint_growth(&w.f.log->checkpointer);
	w.disk->capacity_bytes = room ? (used + room) * 16 / 15 : 0;
	round_space_first(&w.f.log->rounds);
}

/* Producer 1 appends to a new segment: the length of that one's snapshot, 0 = it has none. */
static uint64_t roll(int32_t sequence)
{
	char path[LOG_PATH_MAX], name[SEGMENT_NAME_BYTES];
	struct log_partition *p = w.f.partitions[1][0];
	struct io_stat st;
	int64_t base = p->log_end;
	partition_roll_soon(p);
	assert_ok(produce(1, 1, 0, sequence, 1, NULL));
	const struct segment *s = partition_segment_of(p, base);
	assert_true(s && s->base_offset == base);
	assert_ok(partition_path(p, segment_name(base, ".snap", name), path));
	enum err e = io_stat(w.io, path, &st);
	assert_true(e == ERR_OK || e == ERR_NOT_FOUND);
	err_clear();
	return e == ERR_OK ? st.size_bytes : 0;
}

/*
 * The snapshot of a roll is paid for, and one that has no room is left out, also half of one: the
 * append is taken, and who the producers are is known all the same.
 */
static void a_snapshot_is_in_the_space_budget(void **state)
{
	enum { PRODUCERS = 600 };
	struct log_put put;
	(void)state;
	for (int i = 1; i <= PRODUCERS; i++)
		assert_ok(produce(1, i, 0, 0, 1, NULL));
	struct rounds *rs = &w.f.log->rounds;
	leave_room(0);
	int64_t looked_ns = rs->space_looked_ns, before = rs->space_bytes;
	uint64_t len = roll(1);
	assert_true(len > PRODUCERS * 50);
	assert_int_equal(rs->space_looked_ns, looked_ns);
	assert_true(before - rs->space_bytes >= (int64_t)len);

	leave_room(len + 40000); /* less than these may take */
	assert_int_equal(roll(2), 0);
	assert_false(rs->no_space);
	log_world_assert_told(&w, "snapshot_left_out", true);
	leave_room(0);

	restart(false);
	assert_ok(produce(1, PRODUCERS, 0, 0, 1, &put));
	assert_true(put.req.duplicate);
	assert_ok(produce(1, 1, 0, 2, 1, &put));
	assert_true(put.req.duplicate);
	assert_true(roll(3) > 0);

	/* each write of the roll in turn finds the disk full: no half snapshot stays */
	struct log_partition *p = w.f.partitions[1][0];
	for (int nth = 1; nth <= 2; nth++) {
		const struct sim_fault full = {
		    .calls = SIM_CALL_WRITE, .nth = (uint64_t)nth, .count = 1, .sys_errno = ENOSPC};
		int64_t base = p->log_end;
		char path[LOG_PATH_MAX], name[SEGMENT_NAME_BYTES];
		struct io_stat st;
		rs = &w.f.log->rounds;
		sim_io_fault(w.io, full);
		partition_roll_soon(p);
		enum err e = produce(1, 1, 0, 3 + nth, 1, NULL);
		assert_ok(partition_path(p, segment_name(base, ".snap", name), path));
		bool there = io_stat(w.io, path, &st) == ERR_OK;
		assert_true(!there || st.size_bytes >= len);
		if (nth == 1) {
			assert_ok(e);
			assert_false(there);
		}
		err_clear();
		while (rs->no_space)
			log_fixture_turn(&w.f);
		if (e != ERR_OK)
			assert_ok(produce(1, 1, 0, 3 + nth, 1, NULL));
	}
}

/* Waiting for their segment when the disk is found full: all are refused, the first is noted. */
static void what_waited_when_the_disk_became_full_keeps_its_order(void **state)
{
	struct log_put put[3];
	size_t len;
	(void)state;
	for (int i = 0; i < 3; i++) {
		uint8_t *batch = log_batch_from(7, 0, i * 2, (uint64_t)i + 1, 2, &len);
		log_put_init(&put[i], &w.f, 0, 0, batch, len);
		struct log_append *req = &put[i].req;
		log_append(w.f.log, &req, 1, false);
	}
	rounds_space_lost(&w.f.log->rounds);
	for (int i = 0; i < 3; i++) {
		log_put_await(&put[i]);
		assert_int_equal(put[i].req.err, ERR_NOSPACE);
		log_put_release(&put[i]);
	}
	while (w.f.log->rounds.no_space)
		log_fixture_turn(&w.f);
	assert_int_equal(produce(0, 7, 0, 4, 2, NULL), ERR_OUT_OF_ORDER_SEQUENCE);
	assert_int_equal(produce(0, 7, 0, 2, 2, NULL), ERR_OUT_OF_ORDER_SEQUENCE);
	assert_ok(produce(0, 7, 0, 0, 2, NULL));
	assert_ok(produce(0, 7, 0, 2, 2, NULL));
	assert_ok(produce(0, 7, 0, 4, 2, NULL));
}

static void the_caller_may_refuse_a_batch_in_its_place(void **state)
{
	size_t len;
	(void)state;
	uint8_t *batch = log_batch_from(7, 0, 0, 1, 2, &len);
	log_append_refused(w.f.partitions[0][0], bytes_of(batch, len), ERR_LIMIT);
	mem_free(batch);
	assert_int_equal(produce(0, 7, 0, 2, 2, NULL), ERR_OUT_OF_ORDER_SEQUENCE);
	assert_ok(produce(0, 7, 0, 0, 2, NULL));
	assert_ok(produce(0, 7, 0, 2, 2, NULL));
}

static void a_new_epoch_does_not_wait_for_a_refused_batch(void **state)
{
	(void)state;
	sim_io_fault(w.io, (struct sim_fault){.calls = SIM_CALL_OPEN, .nth = 1, .sys_errno = EIO});
	assert_int_equal(produce(0, 7, 0, 4, 3, NULL), ERR_IO);
	sim_io_fault(w.io, (struct sim_fault){0});
	assert_int_equal(produce(0, 7, 0, 7, 3, NULL), ERR_OUT_OF_ORDER_SEQUENCE);
	assert_ok(produce(0, 7, 1, 0, 3, NULL));
	assert_ok(produce(0, 7, 1, 3, 3, NULL));
}

static void of_refused_batches_the_first_is_waited_for(void **state)
{
	struct refusals rf;
	struct batch_header h = {.producer_id = 7, .base_sequence = INT32_MAX};
	(void)state;
	refusals_init(&rf);
	refusals_note(&rf, &h);
	h.base_sequence = 4; /* behind it: sequences wrap */
	refusals_note(&rf, &h);
	assert_int_equal(refusals_check(&rf, &h), ERR_OUT_OF_ORDER_SEQUENCE);
	h.base_sequence = INT32_MAX;
	assert_ok(refusals_check(&rf, &h));
	for (h.producer_id = 8; h.producer_id < 8 + REFUSALS_MAX; h.producer_id++)
		refusals_note(&rf, &h);
	assert_int_equal(rf.map.count, REFUSALS_MAX);
	h.base_sequence = 4;
	h.producer_id = 7; /* pushed out by the last */
	assert_ok(refusals_check(&rf, &h));
	h.producer_id = 8;
	assert_int_equal(refusals_check(&rf, &h), ERR_OUT_OF_ORDER_SEQUENCE);
	refusals_clear(&rf, 8);
	assert_ok(refusals_check(&rf, &h));
	refusals_release(&rf);
}

static void the_state_outlives_its_records_at_a_power_cut(void **state)
{
	const char *first = "/data/topics/topic1-0/00000000000000000000.log";
	struct log_put put;
	for (uint64_t seed = 1; seed <= 8; seed++) {
		assert_ok(produce(1, 7, 0, 0, 3, NULL));
		for (int i = 0; i < 40; i++)
			assert_ok(produce(1, 8, 0, i, 1, NULL));
		struct log_partition *p = w.f.partitions[1][0];
		bool there = true;
		trimmed = p->durable_end;
		partition_trim(p, trimmed);
		for (int i = 0; i < 100 && there; i++) {
			struct io_stat st;
			io_sleep_ns(w.io, 50 * MS_NS);
			log_fixture_turn(&w.f);
			there = io_stat(w.io, first, &st) == ERR_OK;
		}
		assert_false(there);
		w.options.seed = seed;
		log_world_end(&w, WORLD_CUT);
		assert_ok(log_fixture_open(&w.f));
		assert_ok(produce(1, 7, 0, 0, 3, &put)); /* its answer was lost: once is enough */
		assert_true(put.req.duplicate);
		assert_int_equal(put.req.base_offset, 0);
		log_world_teardown(state);
		setup(state);
	}
}

/* What a roll left that failed behind its snapshot is longer than the snapshot of the next try. */
static void a_roll_that_is_tried_again_leaves_nothing_of_the_first_snapshot(void **state)
{
	static uint8_t old[5000];
	struct log_segment_status seg;
	char path[128], name[SEGMENT_NAME_BYTES];
	struct bytes file;
	(void)state;
	memset(old, 0xaa, sizeof(old));
	for (int32_t i = 0; i < 60; i++) {
		int fd;
		assert_ok(produce(1, 7, 0, i, 1, NULL));
		snprintf(path, sizeof(path), "/data/topics/topic1-0/%s",
		    segment_name(i + 2, ".snap", name));
		assert_ok(io_open(w.io, path, IO_CREATE, &fd));
		assert_ok(io_pwrite(w.io, fd, old, sizeof(old), 0));
		assert_ok(io_close(w.io, fd));
	}
	assert_true(log_segment_status(w.f.partitions[1][0], 1, &seg));
	snprintf(path, sizeof(path), "/data/topics/topic1-0/%s",
	    segment_name(seg.base_offset, ".snap", name));
	assert_ok(io_read_file(w.io, path, 10000, &file));
	assert_true(file.len < sizeof(old));
	mem_free((void *)(uintptr_t)file.ptr);
}

static void an_all_or_none_set_is_refused_whole(void **state)
{
	struct log_put puts[3];
	struct log_append *reqs[3];
	(void)state;
	assert_ok(produce(0, 7, 0, 0, 1, NULL));
	for (int i = 0; i < 3; i++) {
		size_t len;
		uint8_t *batch =
		    i == 1 ? log_batch_from(7, 0, 5, 9, 1, &len) : log_batch_new(10, 1, 10, &len);
		log_put_init(&puts[i], &w.f, i == 1 ? 0 : 1, i, batch, len);
		if (i == 1)
			puts[i].req.partition = w.f.partitions[0][0];
		reqs[i] = &puts[i].req;
	}
	log_append(w.f.log, reqs, 3, true);
	for (int i = 0; i < 3; i++) {
		log_put_await(&puts[i]);
		assert_int_not_equal(puts[i].req.err, ERR_OK);
	}
	for (int i = 0; i < 3; i++)
		puts[i].done = 0;
	log_append(w.f.log, reqs, 3, false); /* the same without: the good ones go in */
	for (int i = 0; i < 3; i++) {
		log_put_await(&puts[i]);
		assert_int_equal(puts[i].req.err, i == 1 ? ERR_OUT_OF_ORDER_SEQUENCE : ERR_OK);
		log_put_release(&puts[i]);
	}
}

/* ---- a lost end ------------------------------------------------------------------------------ */

#define SEGMENT_0 "/data/topics/topic0-0/00000000000000000000.log"
#define SNAP_0    "/data/topics/topic0-0/00000000000000000000.snap"
enum { WRITTEN = 20, LEFT = 15 };

/* Producer 7 has written, and its last batches are gone: a snapshot knows them. */
static void lose_end(void)
{
	struct log_read r;
	for (int32_t i = 0; i < WRITTEN; i++)
		assert_ok(produce(0, 7, 0, i, 1, NULL));
	uint64_t end = SEGMENT_HEADER_BYTES;
	for (int64_t i = 0; i < LEFT; i++) {
		assert_ok(log_read_wait(&w.f, 0, 0, i, 1, &r));
		end += FRAME_HEADER_BYTES + r.batches[0].len;
		log_read_release(&r);
	}
	log_world_end(&w, WORLD_STOPPED);
	log_world_cut(&w, SEGMENT_0, end);
	w.f.options.accept_lost_suffix = "test";
	assert_ok(log_fixture_open(&w.f));
	w.f.options.accept_lost_suffix = NULL;
}

/* The same file as version 2 had it, without the sequence. */
static void snap_make_old(const char *path)
{
	struct bytes file;
	struct producers ps;
	struct txns txns;
	struct snap_header h;
	const uint64_t seed = UINT64_C(0x706e73617070616b);
	assert_ok(io_read_file(w.io, path, MIB, &file));
	uint8_t *raw = (uint8_t *)(uintptr_t)file.ptr, *body = raw + SNAP_HEADER_BYTES;
	size_t len = file.len - SNAP_HEADER_BYTES - 8;
	memmove(body, body + 8, len);
	put_u16_le(raw + 4, 2);
	put_u64_le(raw + 48, XXH3_64bits_withSeed(body, len, seed));
	put_u64_le(raw + 56, XXH3_64bits_withSeed(raw, 56, seed));
	file.len -= 8;
	producers_init(&ps);
	txns_init(&txns);
	assert_ok(snap_decode(file, &ps, &txns, &h));
	assert_int_equal(h.version, 2);
	producers_release(&ps);
	txns_release(&txns);
	assert_ok(io_unlink(w.io, path));
	assert_ok(io_write_file(w.io, path, file));
	mem_free(raw);
}

/* The log is as long again as the snapshot says, with batches of others; who was lost is not told
 * as stored, and who came instead is known. */
static void others_go_on(void)
{
	assert_ok(produce(0, 8, 0, 0, 1, NULL));
	for (int32_t i = LEFT + 1; i < WRITTEN + 5; i++)
		assert_ok(produce(0, 9, 0, i - LEFT - 1, 1, NULL));
	log_world_end(&w, WORLD_KILLED);
	assert_ok(log_fixture_open(&w.f));
}

static void check_others(void)
{
	struct log_put put;
	assert_ok(produce(0, 8, 0, 0, 1, &put));
	assert_true(put.req.duplicate);
	assert_int_equal(put.req.base_offset, LEFT);
	assert_int_equal(produce(0, 7, 0, WRITTEN - 1, 1, &put), ERR_OUT_OF_ORDER_SEQUENCE);
	assert_ok(produce(0, 7, 0, LEFT, 1, &put));
	assert_false(put.req.duplicate);
	assert_int_equal(put.req.base_offset, WRITTEN + 5);
	assert_ok(produce(0, 7, 0, LEFT - 1, 1, &put));
	assert_true(put.req.duplicate);
	assert_int_equal(put.req.base_offset, LEFT - 1);
}

static void a_snapshot_of_lost_batches_does_not_come_back_to_life(void **state)
{
	struct io_stat st;
	(void)state;
	lose_end();
	others_go_on();
	assert_ok(io_stat(w.io, SNAP_0, &st)); /* this is the engine alone: gap.c takes it away */
	check_others();
	log_world_assert_told(&w, "rebuilt", true);
}

/* An old one does not say what it was made behind: it counts where nothing was ever lost. */
static void an_old_snapshot_counts_only_where_nothing_was_lost(void **state)
{
	struct log_put put;
	(void)state;
	lose_end();
	snap_make_old(SNAP_0);
	others_go_on();
	w.f.partitions[0][0]->leader_epoch = 1; /* gap.c has named the loss */
	check_others();
	for (int32_t i = 0; i < 60; i++)
		assert_ok(produce(1, 7, 0, i, 1, NULL));
	struct log_segment_status seg;
	char path[128], name[SEGMENT_NAME_BYTES];
	size_t last = w.f.partitions[1][0]->segment_count - 1;
	assert_true(log_segment_status(w.f.partitions[1][0], last, &seg));
	snprintf(path, sizeof(path), "/data/topics/topic1-0/%s",
	    segment_name(seg.base_offset, ".snap", name));
	log_world_end(&w, WORLD_STOPPED);
	snap_make_old(path);
	assert_ok(log_fixture_open(&w.f));
	assert_ok(produce(1, 7, 0, 59, 1, &put));
	assert_true(put.req.duplicate);
	log_world_assert_told(&w, "rebuilt", false);
}

/* What retention took, and where the segments end: a good snapshot is believed everywhere. */
static void a_snapshot_holds_wherever_its_batch_was(void **state)
{
	struct log_put put;
	(void)state;
	for (int32_t i = 0; i < 60; i++) {
		assert_ok(produce(1, 7, 0, i, 1, NULL));
		w.f.partitions[1][0]->leader_epoch = 1;
		restart(i % 3 > 0);
		w.f.partitions[1][0]->leader_epoch = 1; /* nothing is believed without a look */
		struct log_segment_status seg;
		const struct log_partition *p = w.f.partitions[1][0];
		assert_true(log_segment_status(p, p->segment_count - 1, &seg));
		if (i % 5 == 4)
			trimmed = seg.base_offset;
		assert_ok(produce(1, 7, 0, i, 1, &put));
		assert_true(put.req.duplicate);
		assert_int_equal(put.req.base_offset, i);
		log_world_assert_told(&w, "rebuilt", false);
	}
	assert_true(trimmed > 40);
}

#define TEST(name) cmocka_unit_test_prestate_setup_teardown(name, setup, log_world_teardown, &w)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_duplicate_is_answered_with_the_original),
	    TEST(duplicates_of_batches_in_flight_join_their_round),
	    TEST(the_last_five_batches_are_remembered),
	    TEST(a_gap_in_a_producers_sequence_is_refused),
	    TEST(epochs_fence_older_ones),
	    TEST(sequences_wrap_to_zero),
	    TEST(the_state_survives_a_restart),
	    TEST(the_state_survives_the_loss_of_its_snapshots),
	    TEST(a_silent_producer_is_forgotten_after_a_day),
	    TEST(too_many_producers_push_out_the_oldest),
	    TEST(what_was_sent_behind_a_refused_batch_waits_for_it),
	    TEST(a_snapshot_is_in_the_space_budget),
	    TEST(what_waited_when_the_disk_became_full_keeps_its_order),
	    TEST(the_caller_may_refuse_a_batch_in_its_place),
	    TEST(a_new_epoch_does_not_wait_for_a_refused_batch),
	    TEST(of_refused_batches_the_first_is_waited_for),
	    TEST(the_state_outlives_its_records_at_a_power_cut),
	    TEST(a_roll_that_is_tried_again_leaves_nothing_of_the_first_snapshot),
	    TEST(an_all_or_none_set_is_refused_whole),
	    TEST(a_snapshot_of_lost_batches_does_not_come_back_to_life),
	    TEST(an_old_snapshot_counts_only_where_nothing_was_lost),
	    TEST(a_snapshot_holds_wherever_its_batch_was),
	};
	return cmocka_run_group_tests_name("producer", tests, NULL, NULL);
}
