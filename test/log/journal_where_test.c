/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A journal on another disk: each way in which data directory, journal directory and configuration
 * can disagree. The whole of it with a server: test/e2e/journal_dir_test.py; its two files bit by
 * bit: test/crash/flip_test.c.
 */
#include "log/journal_where.h"
#include "test/lib/log_files.h"
#include "test/lib/tempdir.h"
#include "test/lib/test.h"
#include <stdio.h>

#define ID    "6f3c2b1a-0000-4000-8000-000000000001"
#define OTHER "6f3c2b1a-0000-4000-8000-000000000002"

static struct io *io;
static struct log_files root;
static char data[300], outside[300]; /* <root>/data, <root>/j */
static struct journal_where where;

static int setup(void **state)
{
	(void)state;
	if (io_new("threads", &io) != ERR_OK)
		return -1;
	root = (struct log_files){io, tempdir_new()};
	snprintf(data, sizeof(data), "%s/data", root.dir);
	snprintf(outside, sizeof(outside), "%s/j", root.dir);
	where = (struct journal_where){.lock = DIRLOCK_NONE};
	return io_mkdir_all(io, log_files_path(&root, "data/topics")) == ERR_OK ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	journal_where_release(io, &where);
	tempdir_remove((char *)(uintptr_t)root.dir);
	io_free(io);
	err_clear();
	return 0;
}

static void put(const char *directory, const char *name, const char *text)
{
	char path[100];
	assert_int_equal(io_mkdir_all(io, log_files_path(&root, directory)), ERR_OK);
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	assert_int_equal(
	    io_write_file(io, log_files_path(&root, path), bytes_of(text, strlen(text))), ERR_OK);
}

static void put_location(const char *id)
{
	char text[400];
	snprintf(text, sizeof(text), "dir=%s\nid=%s\n", outside, id);
	put("data", "journal.location", text);
}

static void put_owner(const char *id)
{
	char text[400];
	snprintf(text, sizeof(text), "data=%s\nid=%s\n", data, id);
	put("j", "owner", text);
}

/* Both doors say the same: that of a start, and that of tools. */
static void refused(const char *configured, enum err want, const char *says)
{
	for (int tool = 0; tool < 2; tool++) {
		enum err e = tool ? journal_where_find(io, data, configured, &where)
		                  : journal_where_take(io, data, configured, &where);
		if (e != want || !strstr(err_chain(), says))
			fail_msg(
			    "%s (%s), not %s (%s)", err_name(e), err_chain(), err_name(want), says);
		err_clear();
	}
}

static void taken(const char *configured, const char *dir)
{
	assert_int_equal(journal_where_take(io, data, configured, &where), ERR_OK);
	assert_string_equal(where.dir, dir);
	journal_where_release(io, &where);
	assert_int_equal(journal_where_find(io, data, configured, &where), ERR_OK);
	assert_string_equal(where.dir, dir);
}

static void a_path_is_absolute_and_not_too_long(void **state)
{
	static char path[LOG_PATH_MAX + 10];
	(void)state;
	memset(path, 'x', LOG_PATH_MAX - 10);
	refused(path, ERR_LIMIT, "");
	path[0] = '/';
	refused(path, ERR_LIMIT, "");
	refused("j", ERR_INVALID, "an absolute path is needed");
	memset(path, 'x', LOG_PATH_MAX);
	assert_int_equal(journal_where_take(io, path, NULL, &where), ERR_LIMIT);
	assert_int_equal(journal_where_find(io, path, NULL, &where), ERR_LIMIT);
}

static void without_configuration_it_is_inside(void **state)
{
	char inside[400];
	(void)state;
	snprintf(inside, sizeof(inside), "%s/journal", data);
	taken(NULL, inside);
	assert_false(where.outside);
	assert_true(log_files_exist(&root, "data/journal"));
	assert_int_equal(journal_where_note(io, data, &where), ERR_OK);
	assert_false(log_files_exist(&root, "data/journal.location"));
	taken(inside, inside);
}

static void a_first_start_ties_the_two_together(void **state)
{
	char slashes[400];
	(void)state;
	snprintf(slashes, sizeof(slashes), "%s//", outside);
	taken(slashes, outside);
	assert_true(where.outside && !log_uuid_is_zero(where.id));
	assert_true(
	    log_files_exist(&root, "j/owner") && log_files_exist(&root, "data/journal.location"));
	struct log_uuid id = where.id;
	taken(outside, outside);
	taken(NULL, outside);
	assert_true(log_uuid_equal(where.id, id));
}

static void one_start_has_it(void **state)
{
	struct journal_where second;
	(void)state;
	assert_int_equal(journal_where_take(io, data, outside, &where), ERR_OK);
	assert_int_equal(journal_where_take(io, data, outside, &second), ERR_LOCKED);
	assert_non_null(strstr(err_chain(), "is held by another server"));
	journal_where_release(io, &second);
	assert_int_equal(journal_where_find(io, data, NULL, &second), ERR_OK); /* reads only */
}

static void a_journal_inside_is_not_left_behind(void **state)
{
	(void)state;
	put("data/journal", "journal-0", "");
	assert_int_equal(journal_where_take(io, data, outside, &where), ERR_NO_JOURNAL);
	assert_non_null(strstr(err_chain(), "move its files to"));
	put("j", "journal-0", "");
	assert_int_equal(journal_where_take(io, data, outside, &where), ERR_REFUSED);
	assert_non_null(strstr(err_chain(), "take the one away"));
	/* a tool that is told nothing better looks at the one that is certain */
	assert_int_equal(journal_where_find(io, data, outside, &where), ERR_OK);
	assert_false(where.outside);
}

static void another_logs_journal_is_refused(void **state)
{
	(void)state;
	put("j", "journal-0", "");
	refused(outside, ERR_REFUSED, "is empty: it is another log's");
	put_owner(OTHER);
	refused(outside, ERR_REFUSED, "has the journal of another log");
	put_location(ID);
	refused(outside, ERR_REFUSED, "by journal.location");
	refused(NULL, ERR_REFUSED, "by journal.location");
	put_owner(ID);
	taken(outside, outside);
}

static void a_disk_that_is_not_mounted_is_not_a_new_journal(void **state)
{
	(void)state;
	put("data/topics/t-0", "00000000000000000000.log", "");
	refused(outside, ERR_NO_JOURNAL, "is that disk mounted?");
	assert_false(log_files_exist(&root, "j"));
	put_location(ID);
	refused(outside, ERR_NO_JOURNAL, "journal.location says");
	refused(NULL, ERR_NO_JOURNAL, "journal.location says");
	assert_false(log_files_exist(&root, "j"));
}

/* The administrator has moved the files: the path that was configured wins, by the id. */
static void it_may_be_moved_and_moved_back(void **state)
{
	char moved[400], inside[400];
	(void)state;
	snprintf(moved, sizeof(moved), "%s/k", root.dir);
	snprintf(inside, sizeof(inside), "%s/journal", data);
	taken(outside, outside);
	put("j", "journal-0", "");
	assert_int_equal(io_rename(io, outside, moved), ERR_OK);
	assert_int_equal(journal_where_take(io, data, moved, &where), ERR_OK);
	assert_string_equal(where.dir, moved);
	journal_where_release(io, &where);
	taken(NULL, moved);
	assert_int_equal(io_rename(io, moved, inside), ERR_OK);
	taken(inside, inside);
	assert_false(log_files_exist(&root, "data/journal.location"));
	assert_false(log_files_exist(&root, "data/journal/owner"));
	taken(NULL, inside);
}

static void not_there(const char *below, const char *says)
{
	char dir[400];
	snprintf(dir, sizeof(dir), "%s%s%s", data, below[0] ? "/" : "", below);
	assert_int_equal(journal_where_take(io, data, dir, &where), ERR_INVALID_CONFIG);
	assert_non_null(strstr(err_chain(), says));
	assert_false(log_files_exist(&root, "data/journal.location"));
	err_clear();
}

/* What is there the server empties or renames, whatever name leads to it. */
static void of_the_data_directory_it_has_only_its_own_part(void **state)
{
	char link[400], to[420];
	(void)state;
	not_there("", "is all of the data directory");
	not_there("trash/j", "is trash/j of the data directory");
	not_there("topics/t-0", "is topics/t-0 of");
	not_there("views", "is views of");
	not_there("topics/../quarantine/j/", "is quarantine/j of");
	assert_false(log_files_exist(&root, "data/trash"));
	snprintf(link, sizeof(link), "%s/link", root.dir);
	assert_int_equal(io_symlink(io, data, link), ERR_OK);
	snprintf(to, sizeof(to), "%s/trash", link);
	assert_int_equal(journal_where_take(io, data, to, &where), ERR_INVALID_CONFIG);
	assert_int_equal(journal_where_take(io, link, data, &where), ERR_INVALID_CONFIG);
	/* a link in the place of the one that is allowed */
	snprintf(link, sizeof(link), "%s/journal", data);
	snprintf(to, sizeof(to), "%s/topics/j", data);
	assert_int_equal(io_mkdir_all(io, to), ERR_OK);
	assert_int_equal(io_symlink(io, to, link), ERR_OK);
	assert_int_equal(journal_where_take(io, data, NULL, &where), ERR_INVALID_CONFIG);
	assert_non_null(strstr(err_chain(), "is topics/j of"));
	assert_int_equal(io_unlink(io, link), ERR_OK);
	assert_int_equal(io_rmdir(io, to), ERR_OK);
	/* beside it, and one whose name begins like the data directory's */
	snprintf(to, sizeof(to), "%s2", data);
	taken(to, to);
}

static void a_path_that_is_not_there_yet_does_not_climb(void **state)
{
	char dir[400];
	(void)state;
	snprintf(dir, sizeof(dir), "%s/none/../data/trash", root.dir);
	assert_int_equal(journal_where_take(io, data, dir, &where), ERR_INVALID);
}

static void a_note_that_says_too_little_is_corrupt(void **state)
{
	static const char *const bad[] = {
	    "", "id=" ID "\n", "dir=/j\n", "dir=/j\nid=7\n", "dir=\nid=" ID, "dir=/j\nid=\n", "di"};
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put("data", "journal.location", bad[i]);
		refused(outside, ERR_CORRUPT, "id= and dir= are expected");
	}
	put_location(ID);
	put("j", "owner", "id=" ID "\n");
	refused(outside, ERR_CORRUPT, "id= and data= are expected");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_path_is_absolute_and_not_too_long),
	    TEST(without_configuration_it_is_inside),
	    TEST(a_first_start_ties_the_two_together),
	    TEST(one_start_has_it),
	    TEST(a_journal_inside_is_not_left_behind),
	    TEST(another_logs_journal_is_refused),
	    TEST(a_disk_that_is_not_mounted_is_not_a_new_journal),
	    TEST(it_may_be_moved_and_moved_back),
	    TEST(of_the_data_directory_it_has_only_its_own_part),
	    TEST(a_path_that_is_not_there_yet_does_not_climb),
	    TEST(a_note_that_says_too_little_is_corrupt),
	};
	return cmocka_run_group_tests_name("journal_where", tests, NULL, NULL);
}
