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

/* The header of a frame of one record, and with it the index: the rest of the file is a hole. */
static void lose_from(const char *dir, unsigned frame)
{
	struct log_files files = {.dir = f.data_dir};
	assert_int_equal(io_new("threads", &files.io), ERR_OK);
	const char *log = log_files_segment(dir, 0, ".log");
	uint64_t len = (log_files_size(&files, log) - SEGMENT_HEADER_BYTES) / (frame + 1);
	log_files_flip(&files, log, SEGMENT_HEADER_BYTES + frame * len + 40, 1);
	log_files_unlink(&files, log_files_segment(dir, 0, ".idx"));
	io_free(files.io);
}

static enum err write_letter(void *ctx, const struct proc_dead_letter *d)
{
	struct writer *w = ctx;
	write_printf(w, "%d/%lld %s, ", d->partition, (long long)d->offset, err_name(d->reason));
	return w->err;
}

/* In any order: of one sequence there is none. */
static void letters_are(const char *one, const char *other)
{
	struct writer w;
	writer_init(&w, KIB);
	assert_int_equal(proc_dead_letters(f.proc, STR("numbers"), 0, (struct str){0}, UINT64_MAX,
	                     write_letter, &w),
	    ERR_OK);
	write_u8(&w, 0);
	const char *text = (const char *)w.ptr;
	assert_non_null(strstr(text, one));
	assert_non_null(strstr(text, other));
	assert_int_equal(strlen(text), strlen(one) + strlen(other) + 4);
	writer_release(&w);
}

/*
 * The sequence of a hole is a lower bound where its frame and the index are gone: another hole may
 * have the same, and a batch whose records are dead letters, too. One took the place of the other.
 */
static void holes_of_one_sequence_are_dead_letters_each(void **state)
{
	static const char *const good[] = {"{\"n\":1}"}, *const bad[] = {"{\"n\":\"x\"}"};
	(void)state;
	view_start(&f, "threads");
	view_create_topic(&f, "n", 3);
	view_produce(&f, "n", 1, good, 1);
	view_produce(&f, "n", 2, bad, 1); /* what is lost of n-1 is behind its first, as it is */
	view_produce(&f, "n", 1, good, 1);
	view_stop(&f);
	lose_from("n-1", 1);
	view_start(&f, "threads");
	(void)view_sql(&f, "CREATE TABLE n (n bigint) WITH (topic = 'n', format = json);"
	                   "CREATE MATERIALIZED VIEW numbers AS SELECT n FROM n;");
	is_at(1, 2, "n\n1\n");
	letters_are("1/1 DAMAGED", "2/0 BAD_VALUE");
	view_stop(&f);
	lose_from("n-2", 0);
	view_start(&f, "threads");
	(void)view_sql(&f, "CALL rebuild('numbers')");
	view_catch_up(&f, "numbers", 2);
	(void)view_sql(&f, "CALL promote('numbers', 2)");
	is_at(1, 2, "n\n1\n");
	letters_are("1/1 DAMAGED", "2/0 DAMAGED");
	view_remove(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_batch_that_is_whole_again_stays_a_dead_letter),
	    cmocka_unit_test(holes_of_one_sequence_are_dead_letters_each),
	};
	return cmocka_run_group_tests_name("hole", tests, NULL, NULL);
}
