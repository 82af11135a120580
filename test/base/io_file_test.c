/* SPDX-License-Identifier: Apache-2.0 */
/* Files and directories of the blocking half, on each backend. */
#include "test/lib/io_fixture.h"

#include <stdio.h>
#include <sys/stat.h>

static int open_file(struct io_fixture *f, const char *name, unsigned flags)
{
	int fd = -1;
	assert_ok(io_open(f->io, io_path(f, name), flags, &fd));
	return fd;
}

static void write_text(struct io_fixture *f, const char *name, const char *text)
{
	int fd = open_file(f, name, IO_CREATE);
	assert_ok(io_truncate(f->io, fd, 0));
	assert_ok(io_pwrite(f->io, fd, text, strlen(text), 0));
	assert_ok(io_close(f->io, fd));
}

static void assert_text(struct io_fixture *f, const char *name, const char *text)
{
	struct bytes content;
	assert_ok(io_read_file(f->io, io_path(f, name), 1 << 20, &content));
	assert_true(bytes_equal(content, str_bytes(str_of(text))));
	mem_free((void *)(uintptr_t)content.ptr);
}

static void what_is_written_is_read_at_its_position(struct io_fixture *f)
{
	int fd = open_file(f, "a", IO_CREATE);
	char buf[16] = {0};
	size_t got = 99;
	assert_ok(io_pwrite(f->io, fd, "world", 5, 6));
	assert_ok(io_pwrite(f->io, fd, "hello ", 6, 0));
	assert_ok(io_pread(f->io, fd, buf, sizeof(buf), 0, &got));
	assert_int_equal(got, 11);
	assert_memory_equal(buf, "hello world", 11);
	assert_ok(io_pread(f->io, fd, buf, sizeof(buf), 11, &got));
	assert_int_equal(got, 0);
	assert_ok(io_pread(f->io, fd, buf, sizeof(buf), 1000, &got));
	assert_int_equal(got, 0);
	assert_ok(io_pread_all(f->io, fd, buf, 5, 6));
	assert_memory_equal(buf, "world", 5);
	assert_int_equal(io_pread_all(f->io, fd, buf, 6, 6), ERR_EOF);
	assert_ok(io_fdatasync(f->io, fd));
	assert_ok(io_fsync(f->io, fd));
	assert_ok(io_close(f->io, fd));
}

static void a_hole_reads_as_zeros(struct io_fixture *f)
{
	int fd = open_file(f, "hole", IO_CREATE);
	assert_ok(io_pwrite(f->io, fd, "x", 1, 100000));
	uint8_t buf[64], zeros[64] = {0};
	memset(buf, 1, sizeof(buf));
	assert_ok(io_pread_all(f->io, fd, buf, sizeof(buf), 50000));
	assert_memory_equal(buf, zeros, sizeof(zeros));
	assert_ok(io_close(f->io, fd));
}

static void opening_says_what_is_missing_or_in_the_way(struct io_fixture *f)
{
	int fd = -7;
	err_clear();
	assert_int_equal(io_open(f->io, io_path(f, "missing"), 0, &fd), ERR_NOT_FOUND);
	assert_non_null(strstr(err_chain(), "missing"));
	assert_int_equal(io_open(f->io, io_path(f, "no/such"), IO_CREATE, &fd), ERR_NOT_FOUND);
	write_text(f, "there", "x");
	assert_int_equal(
	    io_open(f->io, io_path(f, "there"), IO_CREATE | IO_EXCLUSIVE, &fd), ERR_EXISTS);
	assert_int_equal(io_open(f->io, io_path(f, "there"), IO_DIRECTORY, &fd), ERR_NOT_FOUND);
	assert_int_equal(io_open(f->io, io_path(f, "there/below"), 0, &fd), ERR_NOT_FOUND);
	assert_int_equal(io_open(f->io, f->dir, 0, &fd), ERR_CORRUPT);
	assert_int_equal(io_open(f->io, f->dir, IO_READONLY, &fd), ERR_CORRUPT);
	assert_non_null(strstr(err_chain(), "not a regular file"));
	assert_int_equal(fd, -7);
	err_clear();
}

static void nobody_waits_for_what_is_no_file(struct io_fixture *f)
{
	static const unsigned flags[] = {0, IO_READONLY, IO_CREATE};
	struct bytes content;
	int fd = -7;
	assert_int_equal(mkfifo(io_path(f, "fifo"), 0600), 0);
	assert_ok(io_symlink(f->io, "/dev/zero", io_path(f, "zero")));
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		err_clear();
		assert_int_equal(io_open(f->io, io_path(f, "fifo"), flags[i], &fd), ERR_CORRUPT);
		assert_non_null(strstr(err_chain(), "fifo: not a regular file"));
		assert_int_equal(io_open(f->io, io_path(f, "zero"), flags[i], &fd), ERR_CORRUPT);
	}
	assert_int_equal(io_read_file(f->io, io_path(f, "fifo"), 100, &content), ERR_CORRUPT);
	assert_int_equal(fd, -7);
	err_clear();
}

static void a_read_only_descriptor_refuses_writes(struct io_fixture *f)
{
	write_text(f, "ro", "text");
	int fd = open_file(f, "ro", IO_READONLY);
	assert_int_not_equal(io_pwrite(f->io, fd, "x", 1, 0), ERR_OK);
	assert_int_not_equal(io_truncate(f->io, fd, 0), ERR_OK);
	assert_ok(io_close(f->io, fd));
	assert_text(f, "ro", "text");
	err_clear();
}

static void truncation_cuts_and_extends_with_zeros(struct io_fixture *f)
{
	int fd = open_file(f, "t", IO_CREATE);
	struct io_stat st;
	assert_ok(io_pwrite(f->io, fd, "abcdef", 6, 0));
	assert_ok(io_truncate(f->io, fd, 3));
	assert_ok(io_truncate(f->io, fd, 5));
	assert_ok(io_fstat(f->io, fd, &st));
	assert_int_equal(st.size_bytes, 5);
	char buf[5];
	assert_ok(io_pread_all(f->io, fd, buf, 5, 0));
	assert_memory_equal(buf, "abc\0\0", 5);
	assert_ok(io_close(f->io, fd));
}

static void prefetch_changes_nothing(struct io_fixture *f)
{
	char got[5] = {0};
	size_t len;
	int fd = open_file(f, "ahead", IO_CREATE);
	assert_int_equal(io_pwrite(f->io, fd, "bytes", 5, 0), ERR_OK);
	io_prefetch(f->io, fd, 0, 4096);
	io_prefetch(f->io, fd, 1 << 20, 4096);
	assert_int_equal(io_pread(f->io, fd, got, 5, 0, &len), ERR_OK);
	assert_memory_equal(got, "bytes", 5);
	assert_int_equal(io_close(f->io, fd), ERR_OK);
}

static void uncached_is_not_what_was_just_written(struct io_fixture *f)
{
	char page[8192] = {1};
	int fd = open_file(f, "cached", IO_CREATE);
	assert_int_equal(io_pwrite(f->io, fd, page, sizeof(page), 0), ERR_OK);
	size_t lacks = io_uncached(f->io, fd, 0, sizeof(page));
	assert_true(lacks <= sizeof(page));
	if (strcmp(io_name(f->io), "sim") != 0) /* that one says anything */
		assert_int_equal(lacks, 0);
	assert_int_equal(io_uncached(f->io, fd, 0, 0), 0);
	assert_int_equal(io_close(f->io, fd), ERR_OK);
}

static void pread_now_has_all_or_says_again(struct io_fixture *f)
{
	char got[5] = {0};
	int fd = open_file(f, "now", IO_CREATE);
	assert_int_equal(io_pwrite(f->io, fd, "bytes", 5, 0), ERR_OK);
	enum err e = io_pread_now(f->io, fd, got, 5, 0);
	assert_true(e == ERR_OK || e == ERR_AGAIN); /* AGAIN: the file system cannot tell */
	if (e == ERR_OK)
		assert_memory_equal(got, "bytes", 5);
	assert_int_equal(io_pread_now(f->io, fd, got, 5, 1), ERR_AGAIN);
	assert_int_equal(io_pread_now(f->io, fd, got, 5, 4096), ERR_AGAIN);
	assert_int_equal(io_close(f->io, fd), ERR_OK);
}

static void fallocate_extends_and_keeps_what_is_there(struct io_fixture *f)
{
	int fd = open_file(f, "alloc", IO_CREATE);
	struct io_stat st;
	assert_ok(io_pwrite(f->io, fd, "abc", 3, 0));
	enum err e = io_fallocate(f->io, fd, 0, 65536);
	if (e == ERR_UNSUPPORTED) {
		/* a file system may refuse, never half-do it */
		assert_ok(io_fstat(f->io, fd, &st));
		assert_int_equal(st.size_bytes, 3);
	} else {
		assert_ok(e);
		assert_ok(io_fstat(f->io, fd, &st));
		assert_int_equal(st.size_bytes, 65536);
		assert_true(st.allocated_bytes >= 65536);
	}
	char buf[3];
	assert_ok(io_pread_all(f->io, fd, buf, 3, 0));
	assert_memory_equal(buf, "abc", 3);
	assert_ok(io_close(f->io, fd));
	err_clear();
}

static void a_listing_is_sorted_and_without_dots(struct io_fixture *f)
{
	write_text(f, "b", "");
	write_text(f, "a", "");
	write_text(f, "B", "");
	assert_ok(io_mkdir(f->io, io_path(f, "c")));
	struct io_names names;
	assert_ok(io_list(f->io, f->dir, &names));
	assert_int_equal(names.count, 4);
	static const char *const expected[] = {"B", "a", "b", "c"};
	for (size_t i = 0; i < 4; i++)
		assert_string_equal(names.name[i], expected[i]);
	io_names_release(&names);
	io_names_release(&names);
	assert_ok(io_list(f->io, io_path(f, "c"), &names));
	assert_int_equal(names.count, 0);
	io_names_release(&names);
	assert_int_equal(io_list(f->io, io_path(f, "missing"), &names), ERR_NOT_FOUND);
	assert_int_equal(io_list(f->io, io_path(f, "a"), &names), ERR_NOT_FOUND);
	err_clear();
}

static void listing_many_names_survives_each_failed_allocation(struct io_fixture *f)
{
	for (int i = 0; i < 50; i++) {
		char name[16];
		snprintf(name, sizeof(name), "n%02d", i);
		write_text(f, name, "");
	}
	unsigned failed = 0;
	enum err e;
	for (uint64_t nth = 1;; nth++) {
		struct io_names names = {NULL, 0};
		mem_fail_at(nth);
		e = io_list(f->io, f->dir, &names);
		mem_fail_at(0);
		if (e == ERR_OK) {
			assert_int_equal(names.count, 50);
			io_names_release(&names);
			break;
		}
		assert_int_equal(e, ERR_NOMEM);
		assert_null(names.name);
		failed++;
	}
	assert_true(failed >= 51);
	err_clear();
}

static void directories_are_made_removed_and_refused(struct io_fixture *f)
{
	struct io_stat st;
	assert_ok(io_mkdir(f->io, io_path(f, "d")));
	assert_int_equal(io_mkdir(f->io, io_path(f, "d")), ERR_EXISTS);
	assert_int_equal(io_mkdir(f->io, io_path(f, "no/such")), ERR_NOT_FOUND);
	assert_ok(io_stat(f->io, io_path(f, "d"), &st));
	assert_true(st.is_directory && !st.is_link);
	write_text(f, "d/file", "x");
	assert_int_equal(io_rmdir(f->io, io_path(f, "d")), ERR_REFUSED);
	assert_ok(io_unlink(f->io, io_path(f, "d/file")));
	assert_ok(io_fsync_dir(f->io, io_path(f, "d")));
	assert_ok(io_rmdir(f->io, io_path(f, "d")));
	assert_int_equal(io_stat(f->io, io_path(f, "d"), &st), ERR_NOT_FOUND);
	assert_int_equal(io_unlink(f->io, io_path(f, "d")), ERR_NOT_FOUND);
	assert_int_equal(io_fsync_dir(f->io, io_path(f, "d")), ERR_NOT_FOUND);
	err_clear();
}

static void mkdir_all_makes_what_is_missing_and_accepts_what_is_there(struct io_fixture *f)
{
	struct io_stat st;
	err_clear();
	assert_ok(io_mkdir_all(f->io, io_path(f, "x/y//z/")));
	assert_ok(io_mkdir_all(f->io, io_path(f, "x/y/z")));
	assert_ok(io_stat(f->io, io_path(f, "x/y/z"), &st));
	assert_true(st.is_directory);
	assert_string_equal(err_chain(), "");
	write_text(f, "file", "x");
	assert_int_not_equal(io_mkdir_all(f->io, io_path(f, "file")), ERR_OK);
	assert_int_not_equal(io_mkdir_all(f->io, io_path(f, "file/below")), ERR_OK);
	err_clear();
}

static void a_rename_replaces_its_target(struct io_fixture *f)
{
	struct io_stat st;
	write_text(f, "old", "old");
	write_text(f, "new", "new");
	assert_ok(io_rename(f->io, io_path(f, "new"), io_path(f, "old")));
	assert_text(f, "old", "new");
	assert_int_equal(io_stat(f->io, io_path(f, "new"), &st), ERR_NOT_FOUND);
	assert_int_equal(io_rename(f->io, io_path(f, "new"), io_path(f, "x")), ERR_NOT_FOUND);
	assert_ok(io_mkdir(f->io, io_path(f, "dir")));
	write_text(f, "dir/inside", "kept");
	assert_ok(io_rename(f->io, io_path(f, "dir"), io_path(f, "moved")));
	assert_text(f, "moved/inside", "kept");
	err_clear();
}

static void an_open_file_outlives_its_name(struct io_fixture *f)
{
	int fd = open_file(f, "gone", IO_CREATE);
	assert_ok(io_pwrite(f->io, fd, "abc", 3, 0));
	assert_ok(io_unlink(f->io, io_path(f, "gone")));
	write_text(f, "gone", "another");
	char buf[3];
	assert_ok(io_pread_all(f->io, fd, buf, 3, 0));
	assert_memory_equal(buf, "abc", 3);
	assert_ok(io_close(f->io, fd));
}

static void links_are_seen_as_links_and_followed(struct io_fixture *f)
{
	struct io_stat st;
	write_text(f, "v1.db", "one");
	assert_ok(io_symlink(f->io, "v1.db", io_path(f, "current.db")));
	assert_int_equal(io_symlink(f->io, "v1.db", io_path(f, "current.db")), ERR_EXISTS);
	assert_text(f, "current.db", "one");
	assert_ok(io_stat(f->io, io_path(f, "current.db"), &st));
	assert_true(st.is_link && !st.is_directory);
	assert_int_equal(st.size_bytes, 3);
	assert_ok(io_unlink(f->io, io_path(f, "v1.db")));
	assert_ok(io_stat(f->io, io_path(f, "current.db"), &st));
	assert_true(st.is_link);
	assert_ok(io_unlink(f->io, io_path(f, "current.db")));
	assert_ok(io_mkdir(f->io, io_path(f, "real")));
	assert_ok(io_symlink(f->io, "real", io_path(f, "way")));
	assert_ok(io_stat(f->io, io_path(f, "way"), &st));
	assert_true(st.is_link && st.is_directory);
	err_clear();
}

static void write_file_replaces_the_whole_and_leaves_no_temporary(struct io_fixture *f)
{
	assert_ok(io_write_file(f->io, io_path(f, "conf"), bytes_of("a long first content", 20)));
	assert_ok(io_write_file(f->io, io_path(f, "conf"), bytes_of("short", 5)));
	assert_text(f, "conf", "short");
	assert_ok(io_write_file(f->io, io_path(f, "empty"), bytes_of(NULL, 0)));
	assert_text(f, "empty", "");
	struct io_names names;
	assert_ok(io_list(f->io, f->dir, &names));
	assert_int_equal(names.count, 2);
	io_names_release(&names);
}

static void read_file_refuses_more_than_its_limit(struct io_fixture *f)
{
	write_text(f, "six", "123456");
	struct bytes content = {NULL, 77};
	assert_int_equal(io_read_file(f->io, io_path(f, "six"), 5, &content), ERR_LIMIT);
	assert_int_equal(io_read_file(f->io, io_path(f, "none"), 5, &content), ERR_NOT_FOUND);
	mem_fail_at(1);
	assert_int_equal(io_read_file(f->io, io_path(f, "six"), 6, &content), ERR_NOMEM);
	mem_fail_at(0);
	assert_int_equal(content.len, 77);
	assert_ok(io_read_file(f->io, io_path(f, "six"), 6, &content));
	assert_int_equal(content.len, 6);
	mem_free((void *)(uintptr_t)content.ptr);
	err_clear();
}

static void leads_to(
    struct io_fixture *f, const char *path, const char *dir, const char *want_below)
{
	char from[IO_PATH_MAX], to[IO_PATH_MAX], below[IO_PATH_MAX];
	bool in;
	snprintf(from, sizeof(from), "%s", io_path(f, path));
	snprintf(to, sizeof(to), "%s", io_path(f, dir));
	assert_ok(io_path_below(f->io, from, to, &in, below));
	assert_int_equal(in, want_below != NULL);
	if (in)
		assert_string_equal(below, want_below);
}

static void what_a_path_leads_to_is_known_through_links(struct io_fixture *f)
{
	char target[IO_PATH_MAX];
	bool in;
	assert_ok(io_mkdir_all(f->io, io_path(f, "d/e/f")));
	assert_ok(io_mkdir(f->io, io_path(f, "dd")));
	snprintf(target, sizeof(target), "%s", io_path(f, "d/e"));
	assert_ok(io_symlink(f->io, target, io_path(f, "absolute")));
	assert_ok(io_symlink(f->io, "absolute/f", io_path(f, "relative")));
	assert_ok(io_symlink(f->io, "nowhere", io_path(f, "dangling")));
	leads_to(f, "d", "d", "");
	leads_to(f, "d/", "d", "");
	leads_to(f, "d/e/f", "d", "e/f");
	leads_to(f, "dd", "d", NULL);
	leads_to(f, "d", "d/e", NULL);
	leads_to(f, "d/e/new", "d", "e/new");
	leads_to(f, "new/er", "d", NULL);
	leads_to(f, "absolute", "d", "e");
	leads_to(f, "absolute/new/er", "d", "e/new/er");
	leads_to(f, "relative", "d", "e/f");
	leads_to(f, "relative", "absolute", "f");
	leads_to(f, "relative/new", "relative", "new");
	snprintf(target, sizeof(target), "%s", io_path(f, "d"));
	assert_int_equal(
	    io_path_below(f->io, io_path(f, "new/../d"), target, &in, target), ERR_INVALID);
	assert_int_equal(io_real_path(f->io, io_path(f, "dangling"), target), ERR_NOT_FOUND);
	err_clear();
}

static void a_lock_excludes_another_descriptor_until_it_is_closed(struct io_fixture *f)
{
	int a = open_file(f, "lock", IO_CREATE), b = open_file(f, "lock", 0);
	assert_ok(io_lock(f->io, a, false));
	assert_int_equal(io_lock(f->io, b, false), ERR_LOCKED);
	assert_ok(io_lock(f->io, a, false));
	assert_ok(io_close(f->io, a));
	assert_ok(io_lock(f->io, b, false));
	assert_ok(io_close(f->io, b));
	err_clear();
}

static void a_lock_may_be_shared_and_be_of_a_directory(struct io_fixture *f)
{
	int fd[3];
	for (int i = 0; i < 3; i++)
		assert_ok(io_open(f->io, f->dir, IO_DIRECTORY, &fd[i]));
	assert_ok(io_lock(f->io, fd[0], true));
	assert_ok(io_lock(f->io, fd[1], true));
	assert_int_equal(io_lock(f->io, fd[2], false), ERR_LOCKED);
	assert_ok(io_close(f->io, fd[0]));
	assert_ok(io_close(f->io, fd[1]));
	assert_ok(io_lock(f->io, fd[2], false));
	assert_ok(io_open(f->io, f->dir, IO_DIRECTORY, &fd[0]));
	assert_int_equal(io_lock(f->io, fd[0], true), ERR_LOCKED);
	assert_ok(io_close(f->io, fd[0]));
	assert_ok(io_close(f->io, fd[2]));
	err_clear();
}

static void space_is_known(struct io_fixture *f)
{
	uint64_t free_bytes = 0, total_bytes = 0;
	assert_ok(io_space(f->io, f->dir, &free_bytes, &total_bytes));
	assert_true(total_bytes > 0 && free_bytes <= total_bytes);
	assert_int_equal(
	    io_space(f->io, io_path(f, "missing"), &free_bytes, &total_bytes), ERR_NOT_FOUND);
	err_clear();
}

static void direct_files_take_aligned_blocks(struct io_fixture *f)
{
	int fd = -1;
	enum err e =
	    io_open(f->io, io_path(f, "direct"), IO_CREATE | IO_EXCLUSIVE | IO_DIRECT, &fd);
	if (e == ERR_UNSUPPORTED) {
		/* refused: nothing may be left in the way of a buffered file */
		fd = open_file(f, "direct", IO_CREATE | IO_EXCLUSIVE);
	} else {
		assert_ok(e);
	}
	uint8_t *buf = mem_alloc_aligned(IO_DIRECT_ALIGN, 2 * IO_DIRECT_ALIGN);
	assert_non_null(buf);
	memset(buf, 'd', 2 * IO_DIRECT_ALIGN);
	assert_ok(io_pwrite(f->io, fd, buf, 2 * IO_DIRECT_ALIGN, 0));
	memset(buf, 0, 2 * IO_DIRECT_ALIGN);
	assert_ok(io_pread_all(f->io, fd, buf, IO_DIRECT_ALIGN, IO_DIRECT_ALIGN));
	assert_int_equal(buf[IO_DIRECT_ALIGN - 1], 'd');
	mem_free(buf);
	assert_ok(io_close(f->io, fd));
	err_clear();
}

static void files_belong_to_their_owner_alone(struct io_fixture *f)
{
	mode_t before = umask(0);
	write_text(f, "secret", "x");
	assert_ok(io_mkdir(f->io, io_path(f, "private")));
	umask(before);
	struct stat st;
	assert_int_equal(stat(io_path(f, "secret"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(stat(io_path(f, "private"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
}

static void clocks_advance_with_sleep_and_random_bytes_differ(struct io_fixture *f)
{
	int64_t mono = io_clock_ns(f->io, IO_CLOCK_MONOTONIC);
	int64_t boot = io_clock_ns(f->io, IO_CLOCK_BOOTTIME);
	int64_t real = io_clock_ns(f->io, IO_CLOCK_REALTIME);
	assert_true(real > 1000000000 * S_NS); /* after 2001 */
	io_sleep_ns(f->io, 3 * MS_NS);
	assert_true(io_clock_ns(f->io, IO_CLOCK_MONOTONIC) >= mono + 3 * MS_NS);
	assert_true(io_clock_ns(f->io, IO_CLOCK_BOOTTIME) >= boot + 3 * MS_NS);
	uint8_t a[32], b[32];
	io_random(f->io, a, sizeof(a));
	io_random(f->io, b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
}

int main(void)
{
	static const struct io_case cases[] = {
	    IO_CASE(what_is_written_is_read_at_its_position),
	    IO_CASE(a_hole_reads_as_zeros),
	    IO_CASE(opening_says_what_is_missing_or_in_the_way),
	    IO_CASE_REAL(nobody_waits_for_what_is_no_file),
	    IO_CASE(a_read_only_descriptor_refuses_writes),
	    IO_CASE(truncation_cuts_and_extends_with_zeros),
	    IO_CASE(prefetch_changes_nothing),
	    IO_CASE(uncached_is_not_what_was_just_written),
	    IO_CASE(pread_now_has_all_or_says_again),
	    IO_CASE(fallocate_extends_and_keeps_what_is_there),
	    IO_CASE(a_listing_is_sorted_and_without_dots),
	    IO_CASE(listing_many_names_survives_each_failed_allocation),
	    IO_CASE(directories_are_made_removed_and_refused),
	    IO_CASE(mkdir_all_makes_what_is_missing_and_accepts_what_is_there),
	    IO_CASE(a_rename_replaces_its_target),
	    IO_CASE(an_open_file_outlives_its_name),
	    IO_CASE(links_are_seen_as_links_and_followed),
	    IO_CASE(write_file_replaces_the_whole_and_leaves_no_temporary),
	    IO_CASE(read_file_refuses_more_than_its_limit),
	    IO_CASE(what_a_path_leads_to_is_known_through_links),
	    IO_CASE(a_lock_excludes_another_descriptor_until_it_is_closed),
	    IO_CASE(a_lock_may_be_shared_and_be_of_a_directory),
	    IO_CASE(space_is_known),
	    IO_CASE(direct_files_take_aligned_blocks),
	    IO_CASE_REAL(files_belong_to_their_owner_alone),
	    IO_CASE(clocks_advance_with_sleep_and_random_bytes_differ),
	    IO_CASES_END,
	};
	return io_cases_main(cases);
}
