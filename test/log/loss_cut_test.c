/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A start that accepts a lost end is cut short at each of its calls, by a kill and by a power cut.
 * The next one misses the end still, or the catalog names it; and once it has been accepted nothing
 * tells the lost batches as stored, however long the log is again.
 */
#include "log/engine.h"
#include "log/gap.h"
#include "test/lib/keyed_log.h"
#include <stdio.h>

enum { RECORDS = 20, LEFT = 15 };

#define SEGMENT         "/data/topics/t-0/00000000000000000000.log"
#define SNAP            "/data/topics/t-0/00000000000000000000.snap"
#define assert_ok(expr) assert_int_equal((expr), ERR_OK)

static struct sim_disk *base; /* t has lost its end */

/* One record of an idempotent producer. */
static enum err produce(struct keyed_log *k, int64_t id, int32_t sequence, struct log_append *ret)
{
	const struct keyed_record record = {.key = "k", .value = "v"};
	const struct keyed_how how = {.producer_id = id, .sequence = sequence};
	return keyed_try_append(k, "t", &record, 1, &how, ret);
}

static void cut(struct keyed_log *k, uint64_t frames)
{
	uint64_t pos = SEGMENT_HEADER_BYTES;
	uint8_t raw[FRAME_HEADER_BYTES];
	int fd;
	assert_ok(io_open(k->io, SEGMENT, 0, &fd));
	while (frames-- > 0) {
		assert_ok(io_pread_all(k->io, fd, raw, sizeof(raw), pos));
		pos += FRAME_HEADER_BYTES + get_u32_le(raw + 8);
	}
	assert_ok(io_truncate(k->io, fd, pos));
	assert_ok(io_fsync(k->io, fd));
	assert_ok(io_close(k->io, fd));
}

static int setup(void **state)
{
	struct keyed_log k;
	struct log_append req;
	(void)state;
	keyed_setup(&k, 1, NULL);
	keyed_create(&k, "t", MIB, NULL);
	keyed_create(&k, "u", MIB, NULL);
	for (int32_t i = 0; i < RECORDS; i++) {
		assert_ok(produce(&k, 7, i, &req));
		keyed_put(&k, "u", "k", "v");
	}
	keyed_close(&k);
	cut(&k, LEFT);
	base = sim_disk_clone(k.disk);
	return keyed_teardown(&k);
}

static int teardown(void **state)
{
	(void)state;
	sim_disk_free(base);
	return 0;
}

static enum err try_open(struct keyed_log *k, const char *accept)
{
	k->options.accept_lost_suffix = accept;
	assert_ok(loop_new(k->io, 0, &k->loop));
	enum err e = log_open(k->loop, &k->options, &k->log);
	if (e == ERR_OK)
		return e;
	k->log = NULL;
	loop_free(k->loop);
	k->loop = NULL;
	return e;
}

static void check_named(struct keyed_log *k)
{
	const struct log_partition *p = keyed_partition(k, "t");
	struct io_stat st;
	assert_int_equal(p->log_end, LEFT);
	assert_true(p->leader_epoch >= 1);
	assert_true(gap_is_named(k->log, p->key, LEFT, RECORDS));
	assert_int_equal(io_stat(k->io, SNAP, &st), ERR_NOT_FOUND);
	err_clear();
}

/* As long as it was, by others; then another power cut. */
static void check_goes_on(struct keyed_log *k, uint64_t seed)
{
	struct log_append req;
	struct keyed_log after;
	assert_ok(produce(k, 8, 0, &req));
	for (int32_t i = 0; i < RECORDS - LEFT + 2; i++)
		assert_ok(produce(k, 9, i, &req));
	keyed_init_disk(&after, sim_io_cut_power(k->io, seed), seed);
	keyed_open(&after);
	assert_ok(produce(&after, 8, 0, &req));
	assert_true(req.duplicate);
	assert_int_equal(req.base_offset, LEFT);
	assert_int_equal(produce(&after, 7, RECORDS - 1, &req), ERR_OUT_OF_ORDER_SEQUENCE);
	assert_ok(produce(&after, 7, LEFT, &req));
	assert_false(req.duplicate);
	keyed_release(&after);
}

/* What is left of a start that was cut short, whose disk this takes. */
static void check_fallen(struct sim_disk *disk, uint64_t seed)
{
	struct keyed_log k;
	keyed_init_disk(&k, sim_disk_clone(disk), seed);
	enum err e = try_open(&k, NULL);
	if (e == ERR_OK)
		check_named(&k);
	else
		assert_int_equal(e, ERR_LOST_SUFFIX);
	keyed_release(&k);
	err_clear();
	keyed_init_disk(&k, disk, seed);
	assert_ok(try_open(&k, "test"));
	check_named(&k);
	check_goes_on(&k, seed);
	keyed_release(&k);
}

/* Falls at call `nth` of a start that accepts; NULL: it came to its end before. */
static struct sim_disk *fall(uint64_t nth, bool kill)
{
	struct keyed_log k;
	keyed_init_disk(&k, sim_disk_clone(base), nth);
	sim_io_fall_at(k.io, nth, kill, nth);
	enum err e = try_open(&k, "test");
	sim_io_fall_at(k.io, 0, kill, nth);
	struct sim_disk *fallen = sim_io_fallen(k.io);
	assert_true(fallen || e == ERR_OK);
	keyed_release(&k);
	err_clear();
	return fallen;
}

static void nowhere(void *ctx, const char *line)
{
	(void)ctx;
	(void)line;
}

static void an_accepted_loss_is_missed_or_named_wherever_a_start_is_cut_short(void **state)
{
	(void)state;
	diag_set_sink(nowhere, NULL);
	for (int kill = 0; kill < 2; kill++) {
		struct sim_disk *fallen;
		uint64_t nth = 1;
		for (; (fallen = fall(nth, kill)); nth++)
			check_fallen(fallen, nth);
		assert_true(nth > 60);
	}
	diag_set_sink(NULL, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
	        an_accepted_loss_is_missed_or_named_wherever_a_start_is_cut_short, setup, teardown),
	};
	return cmocka_run_group_tests_name("loss_cut", tests, NULL, NULL);
}
