/* SPDX-License-Identifier: Apache-2.0 */
/* A batch that cannot be read is one dead letter of a view, all of it, and stays that. */
#include "log/frame.h"
#include "test/lib/log_files.h"
#include "test/lib/view_fixture.h"

static struct view_fixture f;

static void flip(void)
{
	struct log_files files = {.dir = f.data_dir};
	assert_int_equal(io_new("threads", &files.io), ERR_OK);
	log_files_flip(&files, log_files_segment("n-0", 0, ".log"),
	    SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES + 70, 1);
	io_free(files.io);
}

static void is_at(uint64_t records, uint64_t dead_letters, const char *rows)
{
	view_catch_up(&f, "numbers", 0);
	struct proc_version_status s = view_status(&f, "numbers", 0);
	assert_int_equal(s.records, records);
	assert_int_equal(s.dead_letters, dead_letters);
	assert_string_equal(view_rows(&f, "numbers", 0), rows);
}

/*
 * The place behind a hole was that of its second record: when the batch could be read again after
 * the next start, the view took all records of it but the first.
 */
static void a_batch_that_is_whole_again_stays_a_dead_letter(void **state)
{
	static const char *const three[] = {"{\"n\":1}", "{\"n\":2}", "{\"n\":3}"};
	static const char *const one[] = {"{\"n\":10}"};
	(void)state;
	view_start(&f, "threads");
	view_create_topic(&f, "n", 2);
	view_produce(&f, "n", 0, three, 3);
	view_produce(&f, "n", 1, one, 1);
	view_stop(&f);
	flip();
	view_start(&f, "threads");
	(void)view_sql(&f, "CREATE TABLE n (n bigint) WITH (topic = 'n', format = json);"
	                   "CREATE MATERIALIZED VIEW numbers AS SELECT n FROM n;");
	is_at(1, 1, "n\n10\n");
	view_stop(&f);
	flip();
	view_start(&f, "threads");
	is_at(1, 1, "n\n10\n");
	view_produce(&f, "n", 0, one, 1);
	is_at(2, 1, "n\n10\n10\n");
	/* a version that begins now has all of it */
	(void)view_sql(&f, "CALL rebuild('numbers')");
	view_catch_up(&f, "numbers", 2);
	struct proc_version_status s = view_status(&f, "numbers", 2);
	assert_int_equal(s.records, 5);
	assert_int_equal(s.dead_letters, 0);
	view_remove(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_batch_that_is_whole_again_stays_a_dead_letter),
	};
	return cmocka_run_group_tests_name("hole", tests, NULL, NULL);
}
