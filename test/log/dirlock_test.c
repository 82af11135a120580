/* SPDX-License-Identifier: Apache-2.0 */
/* Who has a directory, and what does not let another one in. With servers: journal_dir_test.py. */
#include "log/dirlock.h"
#include "test/lib/log_files.h"
#include "test/lib/sim_io.h"
#include "test/lib/tempdir.h"
#include "test/lib/test.h"
#include <errno.h>

static struct io *io;
static struct log_files root;

static int setup(void **state)
{
	(void)state;
	if (io_new("threads", &io) != ERR_OK)
		return -1;
	root = (struct log_files){io, tempdir_new()};
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	tempdir_remove((char *)(uintptr_t)root.dir);
	io_free(io);
	err_clear();
	return 0;
}

static enum err try(enum dirlock_use use)
{
	struct dirlock lock;
	enum err err = dirlock_take(io, root.dir, use, &lock);
	dirlock_release(io, &lock);
	return err;
}

static void one_who_writes_has_it_alone(void **state)
{
	struct dirlock lock;
	(void)state;
	assert_int_equal(dirlock_take(io, root.dir, DIRLOCK_WRITE, &lock), ERR_OK);
	assert_int_equal(try(DIRLOCK_WRITE), ERR_LOCKED);
	assert_int_equal(try(DIRLOCK_READ), ERR_LOCKED);
	assert_non_null(strstr(err_chain(), root.dir));
	dirlock_release(io, &lock);
	assert_int_equal(try(DIRLOCK_WRITE), ERR_OK);
}

static void those_who_read_share_it(void **state)
{
	struct dirlock lock;
	(void)state;
	for (int file = 0; file < 2; file++) {
		assert_int_equal(dirlock_take(io, root.dir, DIRLOCK_READ, &lock), ERR_OK);
		assert_int_equal(lock.file_fd >= 0, file); /* who reads makes none */
		assert_int_equal(try(DIRLOCK_READ), ERR_OK);
		assert_int_equal(try(DIRLOCK_WRITE), ERR_LOCKED);
		dirlock_release(io, &lock);
		assert_int_equal(try(DIRLOCK_WRITE), ERR_OK);
	}
}

static void a_removed_lock_file_lets_nobody_in(void **state)
{
	struct dirlock lock;
	(void)state;
	assert_int_equal(dirlock_take(io, root.dir, DIRLOCK_WRITE, &lock), ERR_OK);
	assert_int_equal(io_unlink(io, log_files_path(&root, "lock")), ERR_OK);
	assert_int_equal(try(DIRLOCK_WRITE), ERR_LOCKED);
	assert_int_equal(try(DIRLOCK_READ), ERR_LOCKED);
	assert_false(log_files_exist(&root, "lock"));
	dirlock_release(io, &lock);
}

/* Versions before this one take the file alone. */
static void the_file_alone_keeps_others_out(void **state)
{
	int fd;
	(void)state;
	assert_int_equal(io_open(io, log_files_path(&root, "lock"), IO_CREATE, &fd), ERR_OK);
	assert_int_equal(io_lock(io, fd, false), ERR_OK);
	assert_int_equal(try(DIRLOCK_WRITE), ERR_LOCKED);
	assert_int_equal(try(DIRLOCK_READ), ERR_LOCKED);
	assert_int_equal(io_close(io, fd), ERR_OK);
	assert_int_equal(try(DIRLOCK_WRITE), ERR_OK);
}

static void what_is_no_data_directory_is_not_locked(void **state)
{
	struct dirlock lock;
	(void)state;
	assert_int_equal(dirlock_take_data(io, root.dir, DIRLOCK_WRITE, &lock), ERR_NOT_FOUND);
	assert_int_equal(lock.dir_fd, -1);
	assert_false(log_files_exist(&root, "lock"));
	assert_int_equal(io_mkdir(io, log_files_path(&root, "topics")), ERR_OK);
	assert_int_equal(dirlock_take_data(io, root.dir, DIRLOCK_WRITE, &lock), ERR_OK);
	dirlock_release(io, &lock);
}

/* ---- file systems that refuse: simulated ----------------------------------------------------- */

static enum err sim_take(enum dirlock_use use, struct sim_fault fault, struct dirlock *ret)
{
	const struct sim_options options = {.seed = 1};
	struct sim_disk *disk = sim_disk_new(0);
	struct io *sim;
	struct dirlock first;
	assert_int_equal(sim_io_new(disk, &options, &sim), ERR_OK);
	assert_int_equal(io_mkdir(sim, "/d"), ERR_OK);
	assert_int_equal(dirlock_take(sim, "/d", DIRLOCK_WRITE, &first), ERR_OK);
	dirlock_release(sim, &first);
	sim_io_fault(sim, fault);
	enum err err = dirlock_take(sim, "/d", use, ret);
	struct dirlock held = *ret;
	dirlock_release(sim, &held);
	assert_int_equal(sim_io_open_count(sim), 0);
	io_free(sim);
	sim_disk_free(disk);
	return err;
}

static void who_reads_needs_no_right_to_the_file(void **state)
{
	const struct sim_fault denied = {
	    .calls = SIM_CALL_OPEN, .nth = 2, .count = 1, .sys_errno = EACCES};
	const struct sim_fault broken = {
	    .calls = SIM_CALL_OPEN, .nth = 2, .count = 1, .sys_errno = EIO};
	struct dirlock lock;
	(void)state;
	assert_int_equal(sim_take(DIRLOCK_READ, denied, &lock), ERR_OK);
	assert_true(lock.dir_fd >= 0 && lock.file_fd < 0);
	assert_int_equal(sim_take(DIRLOCK_WRITE, denied, &lock), ERR_PERMISSION);
	assert_int_equal(sim_take(DIRLOCK_READ, broken, &lock), ERR_IO);
}

static void where_directories_are_not_locked_the_file_is(void **state)
{
	const struct sim_fault fault = {
	    .calls = SIM_CALL_LOCK, .nth = 1, .count = 1, .sys_errno = ENOSYS};
	struct dirlock lock;
	(void)state;
	for (int use = 0; use < 2; use++) {
		assert_int_equal(sim_take((enum dirlock_use)use, fault, &lock), ERR_OK);
		assert_true(lock.dir_fd < 0 && lock.file_fd >= 0);
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(one_who_writes_has_it_alone),
	    TEST(those_who_read_share_it),
	    TEST(a_removed_lock_file_lets_nobody_in),
	    TEST(the_file_alone_keeps_others_out),
	    TEST(what_is_no_data_directory_is_not_locked),
	    TEST(who_reads_needs_no_right_to_the_file),
	    TEST(where_directories_are_not_locked_the_file_is),
	};
	return cmocka_run_group_tests_name("dirlock", tests, NULL, NULL);
}
