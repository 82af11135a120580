/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the journal takes of a disk (journal.c): it is refused where it does not fit, its zeros stop
 * before the reserve of appends, and a start on a disk that is full of them takes some back. With a
 * real file system: test/e2e/full_disk_test.py.
 */
#include "test/lib/log_fixture.h"
#include "test/lib/sim_io.h"

#include <stdio.h>
#include <stdlib.h>

enum { DISK_MIB = 64, RESERVE_MIB = 4 /* a sixteenth */, JOURNAL_MIB = 24 };

static struct sim_disk *disk;
static struct io *io;
static struct log_fixture f;
static uint64_t seed;

static void open_io(void)
{
	const struct sim_options o = {.seed = ++seed};
	assert_ok(sim_io_new(disk, &o, &io));
	log_fixture_init_io(&f, io, "/data");
	f.options.journal_bytes = JOURNAL_MIB * MIB;
}

static int setup(void **state)
{
	(void)state;
	disk = sim_disk_new(DISK_MIB * MIB);
	open_io();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	log_fixture_release(&f);
	io_free(io);
	sim_disk_free(disk);
	err_clear();
	return 0;
}

static uint64_t room(void)
{
	uint64_t left, total;
	assert_ok(io_space(io, "/", &left, &total));
	return left;
}

/* Somebody else takes the disk but for `leave` bytes. */
static void others_take(uint64_t leave)
{
	enum { PIECE = 64 * 1024 };
	uint8_t *bytes = calloc(1, PIECE);
	int fd;
	uint64_t left = room(), size = 0;
	assert_ok(io_open(io, "/others", IO_CREATE, &fd));
	for (; left > leave + PIECE; left = room(), size += PIECE)
		assert_ok(io_pwrite(io, fd, bytes, PIECE, size));
	if (left > leave)
		assert_ok(io_pwrite(io, fd, bytes, (size_t)(left - leave), size));
	assert_ok(io_close(io, fd));
	free(bytes);
}

static void until_filled(void)
{
	for (int i = 0; i < 100000 && f.log->journal.filling; i++)
		log_fixture_turn(&f);
	assert_false(f.log->journal.filling);
}

static void a_journal_that_does_not_fit_is_refused_with_both_figures(void **state)
{
	char figure[32];
	(void)state;
	f.options.journal_bytes = (DISK_MIB - 2 * RESERVE_MIB) * MIB;
	others_take(room() - 16 * KIB);
	assert_int_equal(log_fixture_open(&f), ERR_NOSPACE);
	snprintf(figure, sizeof(figure), "%llu bytes free", (unsigned long long)room());
	assert_non_null(strstr(err_chain(), figure));
	snprintf(figure, sizeof(figure), "takes %llu and leaves %llu",
	    (unsigned long long)f.options.journal_bytes, (unsigned long long)2 * RESERVE_MIB * MIB);
	assert_non_null(strstr(err_chain(), figure));
	assert_non_null(strstr(err_chain(), "kappa.journal.bytes"));
	err_clear();
	f.options.journal_bytes -= MIB;
	assert_ok(log_fixture_open(&f));
	log_put_ok(&f, 0, 0, 1, 1, 800);
}

static void its_zeros_stop_before_the_reserve(void **state)
{
	(void)state;
	assert_ok(log_fixture_open(&f));
	others_take((2 * RESERVE_MIB + 1) * MIB);
	until_filled();
	assert_true(room() >= 2 * RESERVE_MIB * MIB - 64 * KIB);
	assert_true(room() < (2 * RESERVE_MIB + 1) * MIB);
	for (uint64_t i = 0; i < 200; i++)
		log_put_ok(&f, 0, 0, i + 1, 1, 800);
	log_fixture_close(&f);
	assert_ok(log_fixture_open(&f));
	until_filled();
	assert_true(room() >= 2 * RESERVE_MIB * MIB - MIB);
	log_put_ok(&f, 0, 0, 999, 1, 800);
}

/* Filled while there was room; then others took the rest, ballast and all. */
static void a_start_on_a_full_disk_takes_zeros_back(void **state)
{
	int64_t end = 0;
	(void)state;
	for (int life = 0; life < 4; life++) {
		assert_ok(log_fixture_open(&f));
		assert_int_equal(f.partitions[0][0]->durable_end, end);
		until_filled();
		for (uint64_t i = 0; i < 30; i++)
			end = log_put_ok(&f, 0, 0, i + 1, 1, 800) + 1;
		if (life % 2) { /* killed; then by a power cut */
			struct sim_disk *after =
			    life == 1 ? sim_io_kill(io, seed) : sim_io_cut_power(io, seed);
			log_fixture_release(&f);
			io_free(io);
			sim_disk_free(disk);
			disk = after;
			open_io();
		} else {
			log_fixture_close(&f);
		}
		others_take(0);
		assert_ok(log_fixture_open(&f));
		assert_int_equal(f.partitions[0][0]->durable_end, end);
		assert_true(room() >= (2 * RESERVE_MIB - 1) * MIB);
		until_filled();
		end = log_put_ok(&f, 0, 0, 777, 1, 800) + 1;
		log_fixture_close(&f);
		assert_ok(io_unlink(io, "/others"));
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_journal_that_does_not_fit_is_refused_with_both_figures),
	    TEST(its_zeros_stop_before_the_reserve),
	    TEST(a_start_on_a_full_disk_takes_zeros_back),
	};
	return cmocka_run_group_tests_name("journal_space", tests, NULL, NULL);
}
