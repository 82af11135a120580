/* SPDX-License-Identifier: Apache-2.0 */
#include "log/frame.h"
#include "test/lib/log_server.h"
#include "test/lib/tempdir.h"
#include "test/lib/tree.h"
#include "test/lib/vector.h"
#include <stdio.h>
#include <stdlib.h>

#define GOLDEN_DIR "test/golden/log/"

/* The lines of a dump, joined by newlines. */
struct lines {
	struct writer text;
	size_t count;
};

static struct io *io;
static struct lines lines;

static void collect(void *ctx, struct str line)
{
	struct lines *l = ctx;
	assert_null(memchr(line.ptr, '\n', line.len));
	write_str(&l->text, line);
	write_u8(&l->text, '\n');
	l->count++;
}

static enum err dump(const char *path, bool deep, bool json)
{
	struct log_dump_options options = {.deep = deep, .json = json};
	writer_clear(&lines.text);
	lines.count = 0;
	err_clear();
	enum err err = log_dump_file(io, path, &options, collect, &lines);
	write_u8(&lines.text, 0);
	assert_int_equal(lines.text.err, ERR_OK);
	return err;
}

static const char *text(void)
{
	return (const char *)lines.text.ptr;
}

static size_t times(const char *what)
{
	size_t n = 0;
	for (const char *at = text(); (at = strstr(at, what)); at++)
		n++;
	return n;
}

static int setup(void **state)
{
	(void)state;
	assert_int_equal(io_new("threads", &io), ERR_OK);
	writer_init(&lines.text, 64 * MIB);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	writer_release(&lines.text);
	io_free(io);
	err_clear();
	return 0;
}

/* KAPPA_GOLDEN_WRITE=1 writes the expected texts. */
static void expect(const char *name, const char *dump_name, bool json)
{
	char path[256];
	struct bytes want;
	snprintf(path, sizeof(path), GOLDEN_DIR "%s", name);
	assert_int_equal(dump(path, true, json), ERR_OK);
	snprintf(path, sizeof(path), GOLDEN_DIR "%s", dump_name);
	if (getenv("KAPPA_GOLDEN_WRITE")) {
		struct bytes now = bytes_of(lines.text.ptr, lines.text.len - 1);
		assert_int_equal(io_write_file(io, path, now), ERR_OK);
	}
	assert_int_equal(io_read_file(io, path, MIB, &want), ERR_OK);
	if (!str_equal(bytes_str(want), str_of(text())))
		fail_msg("%s differs; now:\n%s", path, text());
	mem_free((void *)(uintptr_t)want.ptr);
}

static void the_golden_files_dump_as_expected(void **state)
{
	(void)state;
	expect("segment.log", "segment.log.txt", false);
	expect("segment.log", "segment.log.json", true);
	expect("segment.idx", "segment.idx.txt", false);
	expect("segment.snap", "segment.snap.txt", false);
	expect("journal-0", "journal-0.txt", false);
	expect("checkpoint-0", "checkpoint-0.txt", false);
}

static void every_file_of_the_golden_directory_dumps(void **state)
{
	struct tree tree;
	size_t files = 0;
	(void)state;
	tree_of_path("test/golden/directory", &tree);
	for (size_t i = 0; i < tree.count; i++) {
		char path[400];
		if (strncmp(tree.file[i].path, "topics/", 7) != 0 &&
		    strncmp(tree.file[i].path, "journal/", 8) != 0)
			continue;
		snprintf(path, sizeof(path), "test/golden/directory/%s", tree.file[i].path);
		for (int json = 0; json < 2; json++) {
			if (dump(path, true, json) != ERR_OK)
				fail_msg("%s: %s\n%s", path, err_chain(), text());
			assert_true(lines.count > 0);
			files++;
		}
	}
	assert_true(files > 60);
	tree_release(&tree);
}

static void without_deep_there_are_no_records(void **state)
{
	(void)state;
	assert_int_equal(dump(GOLDEN_DIR "segment.log", false, false), ERR_OK);
	assert_int_equal(times("kind=frame "), 3);
	assert_int_equal(times("kind=record "), 0);
	assert_int_equal(times("kind=batch "), 0);
}

static void other_files_are_refused(void **state)
{
	(void)state;
	assert_int_equal(dump("Makefile", false, false), ERR_INVALID);
	assert_int_equal(dump(GOLDEN_DIR "nothing", false, false), ERR_NOT_FOUND);
	assert_int_equal(dump("/dev/null", false, false), ERR_CORRUPT);
}

/* ---- damage ---- */

static char *dir;
static char log_path[300], idx_path[300];

static struct bytes golden(const char *name)
{
	char path[256];
	struct bytes b;
	snprintf(path, sizeof(path), GOLDEN_DIR "%s", name);
	assert_int_equal(io_read_file(io, path, MIB, &b), ERR_OK);
	return b;
}

static void put_file(const char *path, struct bytes b)
{
	int fd;
	assert_int_equal(io_open(io, path, IO_CREATE, &fd), ERR_OK);
	assert_int_equal(io_truncate(io, fd, 0), ERR_OK);
	if (b.len > 0)
		assert_int_equal(io_pwrite(io, fd, b.ptr, b.len, 0), ERR_OK);
	assert_int_equal(io_close(io, fd), ERR_OK);
}

static int setup_damage(void **state)
{
	setup(state);
	dir = tempdir_new();
	snprintf(log_path, sizeof(log_path), "%s/00000000000000001000.log", dir);
	snprintf(idx_path, sizeof(idx_path), "%s/00000000000000001000.idx", dir);
	return 0;
}

static int teardown_damage(void **state)
{
	tempdir_remove(dir);
	return teardown(state);
}

static void a_bad_body_is_named_and_the_dump_goes_on(void **state)
{
	(void)state;
	struct bytes seg = golden("segment.log");
	uint8_t *bent = (uint8_t *)(uintptr_t)seg.ptr;
	bent[SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES + 70] ^= 1;
	put_file(log_path, seg);
	assert_int_equal(dump(log_path, true, false), ERR_CORRUPT);
	assert_int_equal(times("kind=frame "), 3);
	assert_int_equal(times("kind=damage pos=4096 err=CORRUPT"), 1);
	assert_int_equal(times("kind=damage"), 1);
	assert_int_equal(times("kind=record "), 2); /* of the two good batches */
	mem_free(bent);
}

static void behind_a_bad_header_the_index_leads_on(void **state)
{
	(void)state;
	struct bytes seg = golden("segment.log"), idx = golden("segment.idx");
	uint8_t *bent = (uint8_t *)(uintptr_t)seg.ptr;
	bent[SEGMENT_HEADER_BYTES + 20] ^= 1;
	put_file(log_path, seg);
	assert_int_equal(dump(log_path, false, false), ERR_CORRUPT);
	assert_int_equal(times("kind=frame "), 0);
	put_file(idx_path, idx);
	assert_int_equal(dump(log_path, false, false), ERR_CORRUPT);
	assert_int_equal(times("kind=frame "), 2);
	assert_int_equal(times("kind=damage pos=4096"), 1);
	mem_free(bent);
	mem_free((void *)(uintptr_t)idx.ptr);
}

static void every_flip_is_told_and_every_cut_ends_well(void **state)
{
	(void)state;
	static const char *const names[] = {
	    "segment.log", "segment.idx", "segment.snap", "checkpoint-0", "journal-0"};
	for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
		struct bytes b = golden(names[n]);
		uint8_t *bent = (uint8_t *)(uintptr_t)b.ptr;
		size_t step = b.len > 10000 ? 97 : b.len > 1000 ? 13 : 1;
		for (size_t at = 0; at < b.len; at += at >= 4096 && b.len < 8192 ? 1 : step) {
			put_file(log_path, bytes_of(b.ptr, at));
			enum err err = dump(log_path, true, true);
			/* a segment and a journal may end with any frame or entry */
			assert_true(err == ERR_OK || err == ERR_CORRUPT || err == ERR_INVALID);
			assert_true(err != ERR_OK || n == 0 || n == 4);
			bent[at] ^= (uint8_t)(1u << at % 8);
			put_file(log_path, b);
			err = dump(log_path, true, false);
			bool entry_lost = n == 4 && times("kind=journal_entry ") < 2;
			if (err == ERR_OK && !entry_lost)
				fail_msg("%s: a flip at %zu was not told", names[n], at);
			bent[at] ^= (uint8_t)(1u << at % 8);
		}
		mem_free(bent);
	}
}

static void room_made_ahead_is_not_damage(void **state)
{
	(void)state;
	struct bytes seg = golden("segment.log");
	struct writer w;
	writer_init(&w, MIB);
	write_bytes(&w, seg);
	memset(writer_reserve(&w, 10000), 0, 10000);
	put_file(log_path, writer_bytes(&w));
	assert_int_equal(dump(log_path, false, false), ERR_OK);
	assert_int_equal(times("kind=room pos=4784 bytes=10000"), 1);
	w.ptr[w.len - 1] = 1;
	put_file(log_path, writer_bytes(&w));
	assert_int_equal(dump(log_path, false, false), ERR_CORRUPT);
	assert_int_equal(times("kind=damage pos=4784"), 1);
	writer_release(&w);
	mem_free((void *)(uintptr_t)seg.ptr);
}

static void hostile_text_stays_on_its_line(void **state)
{
	(void)state;
	struct log_server server;
	char path[400];
	log_server_init(&server);
	log_server_create(&server, "t", 1, NULL);
	log_server_append(&server, "t", 0, "a\nkind=frame pos=1 \"quoted\" \x1b[31m");
	log_server_append(&server, "t", 0, "\xff\xfe");
	log_server_append(&server, "t", 0, "");
	log_server_close(&server);
	snprintf(path, sizeof(path), "%s/topics/t-0/00000000000000000000.log", server.dir);
	assert_int_equal(dump(path, true, false), ERR_OK);
	assert_int_equal(times("kind=record "), 3);
	assert_non_null(
	    strstr(text(), "value=\"a\\nkind=frame pos=1 \\\"quoted\\\" \\u001b[31m\""));
	assert_non_null(strstr(text(), "value_base64=\"//4=\""));
	assert_non_null(strstr(text(), "value=\"\""));
	assert_int_equal(dump(path, true, true), ERR_OK);
	assert_int_equal(times("{\"kind\":\"record\""), 3);
	/* what the server wrote: journal, checkpoint, index, the catalog */
	static const char *const names[] = {"journal/journal-0", "journal/checkpoint-0",
	    "journal/checkpoint-1", "topics/__kappa_catalog-0/00000000000000000000.log",
	    "topics/t-0/00000000000000000000.idx"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", server.dir, names[i]);
		enum err err = dump(path, true, false);
		if (err != ERR_OK)
			print_message(
			    "%s: %s: %s\n%s", names[i], err_name(err), err_chain(), text());
		assert_int_equal(err, ERR_OK);
	}
	log_server_open(&server);
	log_server_release(&server);
}

#define TEST(fn)   cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define DAMAGE(fn) cmocka_unit_test_setup_teardown(fn, setup_damage, teardown_damage)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(the_golden_files_dump_as_expected),
	    TEST(every_file_of_the_golden_directory_dumps),
	    TEST(without_deep_there_are_no_records),
	    TEST(other_files_are_refused),
	    DAMAGE(a_bad_body_is_named_and_the_dump_goes_on),
	    DAMAGE(behind_a_bad_header_the_index_leads_on),
	    DAMAGE(every_flip_is_told_and_every_cut_ends_well),
	    DAMAGE(room_made_ahead_is_not_damage),
	    TEST(hostile_text_stays_on_its_line),
	};
	diag_set_level(DIAG_ERROR);
	return cmocka_run_group_tests_name("dump", tests, NULL, NULL);
}
