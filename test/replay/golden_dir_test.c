/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test/golden/directory is a whole data directory of this format, with every form that is on disk
 * (test/lib/golden_world.h lists them): today's program must open, check and read it to the byte,
 * and write it again as it is. A change here is a change of the format: it needs a new version
 * number, and the old directory stays beside the new one. Only where the order or the number of
 * writes has changed, and no file reads differently, is it made anew:
 *
 *   KAPPA_GOLDEN_WRITE=1 build/release/test/replay/golden_dir_test
 *
 * test/e2e/log_format_test.py reads the same files with nothing of this program.
 */
#include "test/lib/format_again.h"
#include "test/lib/golden_world.h"

#include "log/checkpoint.h"
#include "processor/io/vfs.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#define OK(expr) assert_int_equal((expr), ERR_OK)
#define EXPECTED "test/golden/directory."

static bool writing(void)
{
	return getenv("KAPPA_GOLDEN_WRITE") != NULL;
}

/* A text beside the directory. */
static void expect(const char *name, const struct writer *now)
{
	char path[200];
	struct io *io;
	struct bytes want;
	snprintf(path, sizeof(path), EXPECTED "%s", name);
	OK(io_new("threads", &io));
	if (writing())
		OK(io_write_file(io, path, writer_bytes(now)));
	OK(io_read_file(io, path, MIB, &want));
	if (want.len != now->len || memcmp(want.ptr, now->ptr, want.len) != 0)
		fail_msg("%s differs; now:\n%.*s", path, (int)now->len, (const char *)now->ptr);
	mem_free((void *)(uintptr_t)want.ptr);
	io_free(io);
}

/* ---- writing --------------------------------------------------------------------------------- */

/*
 * A page of a view file has what SQLite's version left: its number is in the first page, and so
 * that page's checksum.
 */
static bool other_sqlite(const struct tree_file *f)
{
	enum { VERSION_AT = 96 };
	return strstr(f->path, ".db") && !f->is_link && f->content.len > VERSION_AT + 4 &&
	       get_u32_be(f->content.ptr + VERSION_AT) != (uint32_t)sqlite3_libversion_number();
}

static void compare(const struct tree *golden, const struct tree *now)
{
	for (size_t i = 0; i < now->count; i++) {
		const struct tree_file *a = tree_find(golden, now->file[i].path),
		                       *b = &now->file[i];
		if (!a)
			fail_msg("%s is new", b->path);
		if (other_sqlite(a))
			continue;
		size_t at = 0,
		       len = a->content.len < b->content.len ? a->content.len : b->content.len;
		while (at < len && a->content.ptr[at] == b->content.ptr[at])
			at++;
		if (a->content.len != b->content.len || at < len)
			fail_msg("%s is written differently from byte %zu on: %zu bytes, %zu now",
			    b->path, at, a->content.len, b->content.len);
	}
	for (size_t i = 0; i < golden->count; i++) {
		if (!tree_find(now, golden->file[i].path))
			fail_msg("%s is not written any more", golden->file[i].path);
	}
}

static void this_program_writes_the_directory_to_the_byte(void **state)
{
	struct golden_world w;
	struct tree now, golden;
	(void)state;
	golden_world_play(&w);
	tree_of_disk(w.disk, golden_world_dir(&w), &now);
	if (writing())
		tree_to_path(&now, GOLDEN_DIRECTORY);
	tree_of_path(GOLDEN_DIRECTORY, &golden);
	compare(&golden, &now);
	tree_release(&golden);
	tree_release(&now);
	golden_world_release(&w);
}

static void every_file_reads_back_and_is_written_again_to_the_byte(void **state)
{
	struct tree golden;
	struct format_forms n = {0};
	struct io *io;
	(void)state;
	OK(io_new("threads", &io));
	tree_of_path(GOLDEN_DIRECTORY, &golden);
	for (size_t i = 0; i < golden.count; i++) {
		char path[4096];
		const struct tree_file *f = &golden.file[i];
		snprintf(path, sizeof(path), GOLDEN_DIRECTORY "/%s", f->path);
		bool log_file =
		    strncmp(f->path, "topics/", 7) == 0 || strncmp(f->path, "journal/", 8) == 0;
		assert_int_equal(format_again(io, path, f->content, &n), log_file);
	}
	/* every form is in it */
	assert_true(n.segments > 0 && n.rewritten > 0 && n.recompressed > 0 && n.frames > 0);
	assert_true(n.direct > 0 && n.pads > 0 && n.holes > 0 && n.empty_batches > 0);
	assert_true(n.markers > 0 && n.horizons > 0 && n.compressed > 0);
	assert_true(n.indexes > n.sealed && n.sealed > 0);
	assert_true(n.snaps > 0 && n.open_txns > 0 && n.aborted_txns > 0);
	assert_true(n.rounds > 0 && n.marks > 0 && n.cleans > 0 && n.copies > 0);
	assert_true(n.tails > 0 && n.direct_items > 0);
	assert_int_equal(n.records, CHECKPOINT_SLOTS);
	assert_non_null(tree_find(&golden, "views/per_product/v1.db"));
	bool quarantine = false;
	for (size_t i = 0; i < golden.count; i++)
		quarantine |= strncmp(golden.file[i].path, "quarantine/", 11) == 0;
	assert_true(quarantine);
	tree_release(&golden);
	io_free(io);
}

/* ---- reading --------------------------------------------------------------------------------- */

static void load(struct golden_world *w)
{
	struct tree golden;
	tree_of_path(GOLDEN_DIRECTORY, &golden);
	golden_world_load(w, &golden);
	tree_release(&golden);
}

static void collect(void *ctx, struct str line)
{
	write_str(ctx, line);
	write_u8(ctx, '\n');
}

static void fsck(struct golden_world *w, struct writer *out)
{
	const struct log_fsck_options options = {0};
	const struct sim_options o = {.seed = 1};
	struct io *io;
	OK(sim_io_new(w->disk, &o, &io));
	enum err err = log_fsck(io, GOLDEN_DATA, &options, collect, out);
	if (err != ERR_OK)
		fail_msg("fsck: %s: %s\n%.*s", err_name(err), err_chain(), (int)out->len,
		    (const char *)out->ptr);
	io_free(io);
}

static void fsck_says_what_a_start_will_do(void **state)
{
	struct golden_world w;
	struct writer lines;
	(void)state;
	writer_init(&lines, MIB);
	load(&w);
	fsck(&w, &lines);
	expect("fsck.txt", &lines);
	writer_release(&lines);
	golden_world_release(&w);
}

static void read_everything(struct golden_world *w)
{
	struct writer text;
	writer_init(&text, MIB);
	golden_world_contents(w, &text);
	expect("contents.txt", &text);
	writer_clear(&text);
	golden_world_catch_up(w);
	write_cstr(&text, view_rows(&w->f, GOLDEN_VIEW, 0));
	expect("rows.csv", &text);
	writer_release(&text);
}

static void records_rows_and_ends_are_those_that_were_there(void **state)
{
	struct golden_world w;
	struct writer lines;
	(void)state;
	load(&w);
	golden_world_open(&w);
	read_everything(&w);
	keyed_put(&w.k, "plain", "and", "more");
	golden_world_stop(&w);
	writer_init(&lines, MIB);
	fsck(&w, &lines);
	writer_release(&lines);
	golden_world_open(&w);
	golden_world_release(&w);
}

static void view_files_are_read_with_what_they_hold(void **state)
{
	struct golden_world w;
	struct vfs_verdict verdict;
	(void)state;
	load(&w);
	const struct sim_options o = {.seed = 1};
	OK(sim_io_new(w.disk, &o, &w.io));
	OK(vfs_verify(w.io, GOLDEN_DATA "/views/per_product/v1.db", &verdict));
	assert_true(verdict.pages > 3);
	io_free(w.io);
	w.io = NULL;
	golden_world_open(&w);
	golden_world_catch_up(&w);
	assert_null(strstr(golden_world_said, "view_rebuilt"));
	golden_world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(this_program_writes_the_directory_to_the_byte),
	    cmocka_unit_test(every_file_reads_back_and_is_written_again_to_the_byte),
	    cmocka_unit_test(fsck_says_what_a_start_will_do),
	    cmocka_unit_test(records_rows_and_ends_are_those_that_were_there),
	    cmocka_unit_test(view_files_are_read_with_what_they_hold),
	};
	return cmocka_run_group_tests_name("golden_dir", tests, NULL, NULL);
}
