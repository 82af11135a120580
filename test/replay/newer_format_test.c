/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a later version may have written: test/golden/directory with one field of one file changed
 * and the checksums over it put right. A log whose truth is not understood is not opened, and the
 * error names the version. A snapshot is made again, as one that is bad.
 */
#include "test/lib/golden_world.h"
#include "test/lib/patience.h"

#include "log/checkpoint.h"
#include "log/frame.h"
#include "log/index.h"
#include "log/journal.h"
#include "log/producer.h"
#include "processor/io/vfs.h"

#include <stdio.h>
#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define OK(expr) assert_int_equal((expr), ERR_OK)
static struct tree tree; /* the golden directory, bent */
static struct golden_world w;

static int setup(void **state)
{
	(void)state;
	tree_of_path(GOLDEN_DIRECTORY, &tree);
	w = (struct golden_world){.disk = NULL};
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	golden_world_release(&w);
	tree_release(&tree);
	return 0;
}

static bool ends(const char *path, const char *suffix)
{
	size_t len = strlen(path), n = strlen(suffix);
	return len >= n && strcmp(path + len - n, suffix) == 0;
}

/* File number `n` of a directory with this suffix; from the end when n < 0. */
static uint8_t *file(const char *dir, const char *suffix, int n, size_t *ret_len)
{
	int met = 0;
	for (size_t i = 0; i < tree.count; i++) {
		size_t k = n < 0 ? tree.count - 1 - i : i;
		const struct tree_file *f = &tree.file[k];
		if (strncmp(f->path, dir, strlen(dir)) != 0 || !ends(f->path, suffix) ||
		    met++ != (n < 0 ? -1 - n : n))
			continue;
		*ret_len = f->content.len;
		return (uint8_t *)(uintptr_t)f->content.ptr;
	}
	fail_msg("no %s*%s", dir, suffix);
	return NULL;
}

static void bend16(uint8_t *b, size_t at, unsigned value, uint64_t seed, size_t hash_at)
{
	put_u16_le(b + at, (uint16_t)value);
	put_u64_le(b + hash_at, XXH3_64bits_withSeed(b, hash_at, seed));
}

static void opens_with(enum err want, const char *says)
{
	golden_world_load(&w, &tree);
	enum err err = golden_world_try_open(&w);
	if (err != want)
		fail_msg("%s instead of %s: %s", err_name(err), err_name(want),
		    err == ERR_OK ? "opened" : w.f.why);
	if (says && !strstr(w.f.why, says))
		fail_msg("no \"%s\" in: %s", says, w.f.why);
}

/* ---- segments -------------------------------------------------------------------------------- */

#define SEGMENT_SEED UINT64_C(0x474553415050414b)

static void segment(const char *dir, int n)
{
	size_t len;
	uint8_t *b = file(dir, ".log", n, &len);
	bend16(b, 8, SEGMENT_VERSION_REWRITTEN + 1, SEGMENT_SEED, SEGMENT_HEADER_BYTES - 8);
	opens_with(ERR_NEWER_FORMAT, "segment format 3, this program reads up to 2");
}

static void a_newer_segment_is_refused_with_its_version(void **state)
{
	(void)state;
	segment("topics/plain-0/", -1);
}

static void a_newer_segment_of_the_catalog_is_refused(void **state)
{
	(void)state;
	segment("topics/__kappa_catalog-0/", -1);
}

/* The first frame of a sealed segment, at a u16. */
static void frame(size_t at, unsigned value)
{
	size_t len;
	struct segment_header h;
	uint8_t *b = file("topics/plain-0/", ".log", 0, &len);
	OK(segment_header_decode(b, &h));
	bend16(b + SEGMENT_HEADER_BYTES, at, value, frame_seed_of(h.seed).header,
	    FRAME_HEADER_BYTES - 8);
}

/* A start does not read what is sealed: who reads or checks is told. */
static void collect(void *ctx, struct str line)
{
	write_str(ctx, line);
	write_u8(ctx, '\n');
}

static void fsck_says(enum err want, const char *says)
{
	const struct sim_options o = {.seed = 1};
	const struct log_fsck_options options = {0};
	struct writer lines;
	writer_init(&lines, MIB);
	golden_world_load(&w, &tree);
	OK(sim_io_new(w.disk, &o, &w.io));
	enum err err = log_fsck(w.io, GOLDEN_DATA, &options, collect, &lines);
	io_free(w.io);
	w.io = NULL;
	write_u8(&lines, 0);
	if (err != want)
		fail_msg("fsck: %s: %s\n%s", err_name(err), err_chain(), (char *)lines.ptr);
	if (!strstr((char *)lines.ptr, says))
		fail_msg("no \"%s\" in:\n%s", says, (char *)lines.ptr);
	writer_release(&lines);
}

static void a_newer_frame_is_told_with_its_version(void **state)
{
	(void)state;
	frame(4, FRAME_VERSION_HOLE + 1);
	fsck_says(ERR_NEWER_FORMAT, "frame version 3, this program reads up to 2");
}

static void a_frame_with_an_unknown_flag_is_told(void **state)
{
	(void)state;
	frame(6, 8);
	fsck_says(ERR_NEWER_FORMAT, "flags 8, this program knows 7");
}

/* ---- caches ---------------------------------------------------------------------------------- */

#define INDEX_SEED UINT64_C(0x786469617070616b)
#define SNAP_SEED  UINT64_C(0x706e73617070616b)

static void opens_and_reads(void)
{
	struct writer text;
	opens_with(ERR_OK, NULL);
	writer_init(&text, MIB);
	golden_world_contents(&w, &text);
	assert_true(text.len > 1000);
	writer_release(&text);
}

/* A server that goes back and forth between two versions would make it again each time. */
static void a_newer_index_is_refused_with_its_version(void **state)
{
	size_t len;
	(void)state;
	bend16(file("topics/plain-0/", ".idx", 0, &len), 4, INDEX_VERSION + 1, INDEX_SEED,
	    INDEX_HEADER_BYTES - 8);
	opens_with(ERR_NEWER_FORMAT, "index format 2, this program reads up to 1");
}

static void an_index_with_an_unknown_flag_is_refused(void **state)
{
	size_t len;
	(void)state;
	bend16(file("topics/txn-0/", ".idx", 0, &len), 6, 3, INDEX_SEED, INDEX_HEADER_BYTES - 8);
	opens_with(ERR_NEWER_FORMAT, "index flags 3, this program knows 1");
}

static void a_newer_snapshot_is_made_again(void **state)
{
	size_t len;
	(void)state;
	for (int n = 0; n < 2; n++)
		bend16(file(n ? "topics/plain-0/" : "topics/txn-0/", ".snap", -1, &len), 4,
		    SNAP_VERSION + 1, SNAP_SEED, SNAP_HEADER_BYTES - 8);
	opens_and_reads();
	/* 103 has its transaction open, 104 has not */
	struct log_partition_status st;
	log_partition_status(keyed_partition(&w.k, "txn"), &st);
	assert_true(st.stable_end < st.visible_end);
}

/* ---- the journal ----------------------------------------------------------------------------- */

#define JOURNAL_SEED UINT64_C(0x6c6e726a6170706b)

static void a_newer_journal_is_refused_with_its_version(void **state)
{
	size_t len;
	(void)state;
	bend16(file("journal/", "journal-2", 0, &len), 4, JOURNAL_VERSION + 1, JOURNAL_SEED,
	    JOURNAL_BLOCK - 8);
	opens_with(ERR_NEWER_FORMAT, "journal format 2, this program reads up to 1");
}

/* The newest entry of all files, at a u16. */
static void entry(size_t at, unsigned value)
{
	uint8_t *newest = NULL;
	struct journal_seed newest_seed = {0};
	uint64_t number = 0;
	for (unsigned i = 0; i < JOURNAL_FILES; i++) {
		char name[16];
		size_t len;
		struct journal_header h;
		struct journal_entry e;
		uint8_t *b = file("journal/", journal_file_name(i, name), 0, &len);
		OK(journal_header_decode(b, &h));
		struct journal_seed seed = journal_seed_of(h.secret);
		for (size_t pos = JOURNAL_BLOCK; pos < len; pos += JOURNAL_BLOCK) {
			if (journal_entry_decode(b + pos, seed, len - pos, &e) == ERR_OK &&
			    e.number > number) {
				number = e.number;
				newest = b + pos;
				newest_seed = seed;
			}
		}
	}
	err_clear();
	assert_non_null(newest);
	bend16(newest, at, value, newest_seed.header, JOURNAL_ENTRY_HEADER_BYTES - 8);
}

static void a_newer_entry_is_refused_with_its_version(void **state)
{
	(void)state;
	entry(4, JOURNAL_VERSION + 1);
	opens_with(ERR_NEWER_FORMAT, "journal entry version 2, this program reads up to 1");
}

/* It may not be taken for a torn one: it was acknowledged. */
static void an_entry_of_an_unknown_kind_is_refused(void **state)
{
	(void)state;
	entry(6, JOURNAL_COPY + 1);
	opens_with(ERR_NEWER_FORMAT, "of kind 5, this program knows 4");
}

#define CHECKPOINT_SEED UINT64_C(0x706b6361707061)

static void record(size_t at, unsigned value)
{
	size_t len;
	for (int i = 0; i < CHECKPOINT_SLOTS; i++)
		bend16(file("journal/", "", i, &len), at, value, CHECKPOINT_SEED,
		    CHECKPOINT_HEADER_BYTES - 8);
}

static void a_newer_checkpoint_record_is_refused_with_its_version(void **state)
{
	(void)state;
	record(4, CHECKPOINT_VERSION + 1);
	opens_with(ERR_NEWER_FORMAT, "checkpoint format 2, this program reads up to 1");
}

static void a_checkpoint_record_with_an_unknown_flag_is_refused(void **state)
{
	(void)state;
	record(6, 2);
	opens_with(ERR_NEWER_FORMAT, "checkpoint flags 2, this program knows 1");
}

/* ---- views ----------------------------------------------------------------------------------- */

/* A clean stop leaves the file without a write-ahead log. */
static void a_newer_view_file_is_kept_and_said(void **state)
{
	enum { FORMAT_AT = 60 }; /* SQLite's user_version, big-endian */
	size_t len;
	(void)state;
	golden_world_load(&w, &tree);
	golden_world_open(&w);
	golden_world_stop(&w);
	tree_release(&tree);
	tree_of_disk(w.disk, golden_world_dir(&w), &tree);
	golden_world_release(&w);
	uint8_t *page = file("views/per_product/", "v1.db", 0, &len);
	put_u32_be(page + FORMAT_AT, 99);
	put_u64_le(page + VFS_PAGE_BYTES - 8, XXH3_64bits_withSeed(page, VFS_PAGE_BYTES - 8, 0));
	opens_with(ERR_OK, NULL);
	struct proc_version_status s = view_status(&w.f, "per_product", 1);
	for (int i = 0; i < PATIENCE_MS && s.state != PROC_FAILED; i++) {
		proc_pause(w.f.proc, MS_NS);
		s = view_status(&w.f, "per_product", 1);
	}
	assert_int_equal(s.state, PROC_FAILED);
	if (!strstr(s.reason, "view file format 99, this program knows 2"))
		fail_msg("reason: %s", s.reason);
	golden_world_stop(&w);
	struct tree after;
	tree_of_disk(w.disk, golden_world_dir(&w), &after);
	const struct tree_file *left = tree_find(&after, "views/per_product/v1.db");
	assert_non_null(left);
	assert_int_equal(get_u32_be(left->content.ptr + FORMAT_AT), 99);
	tree_release(&after);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_newer_segment_is_refused_with_its_version),
	    TEST(a_newer_segment_of_the_catalog_is_refused),
	    TEST(a_newer_frame_is_told_with_its_version),
	    TEST(a_frame_with_an_unknown_flag_is_told),
	    TEST(a_newer_index_is_refused_with_its_version),
	    TEST(an_index_with_an_unknown_flag_is_refused),
	    TEST(a_newer_snapshot_is_made_again),
	    TEST(a_newer_journal_is_refused_with_its_version),
	    TEST(a_newer_entry_is_refused_with_its_version),
	    TEST(an_entry_of_an_unknown_kind_is_refused),
	    TEST(a_newer_checkpoint_record_is_refused_with_its_version),
	    TEST(a_checkpoint_record_with_an_unknown_flag_is_refused),
	    TEST(a_newer_view_file_is_kept_and_said),
	};
	return cmocka_run_group_tests_name("newer_format", tests, NULL, NULL);
}
