/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rot in view files (H6) and their ends cut off or longer (H7), on test/golden/directory as a kill
 * has left it (with a write-ahead log) and after a clean stop (without). A view file is a cache of
 * the log: after each flip and at each length the server starts, and the rows come to be those that
 * were there. What was not trusted is told (`rebuilt`); the table says which bytes that are.
 *
 * FLIP_STRIDE=1 takes every bit and every length (make flip), and then each line of the table must
 * have been met; the default takes every 499th.
 */
#include "test/lib/golden_world.h"

#include "processor/io/vfs.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum harm { BIT, CUT, ZEROS, GARBAGE };
static const char *const harm_names[] = {
    [BIT] = "flipped", [CUT] = "cut", [ZEROS] = "zeros behind", [GARBAGE] = "garbage behind"};

/* Two lines: either. */
struct want {
	enum harm harm;
	const char *region, *verdict, *why;
};
static const char again[] = "what it held is taken from the log again";
static const struct want wants[] = {
    {BIT, "database", "same: rebuilt", "each page is under its checksum"},
    {BIT, "write-ahead log: header", "same", again},
    {BIT, "write-ahead log: frame header", "same", again},
    {BIT, "write-ahead log: page", "same", again},
    {CUT, "database", "same: rebuilt", NULL},
    {CUT, "database", "same", "to nothing: as if it had never been"},
    {CUT, "write-ahead log: header", "same", again},
    {CUT, "write-ahead log: frame header", "same", again},
    {CUT, "write-ahead log: page", "same", again},
    {ZEROS, "database", "same: rebuilt", "not a whole page"},
    {ZEROS, "database", "same", "a page that was never written"},
    {GARBAGE, "database", "same: rebuilt", NULL},
    {ZEROS, "write-ahead log", "same", "no frame"},
    {GARBAGE, "write-ahead log", "same", "no frame"},
    {.region = NULL},
};
enum { SEEN_MAX = 64, MORE_MAX = 5000 };

static struct sim_disk *disk; /* the directory as it was */
static char *rows;            /* of the view */
static struct {
	enum harm harm;
	const char *region;
	char verdict[64];
	uint64_t count;
} seen[SEEN_MAX];
static unsigned failures;
static bool met[sizeof(wants) / sizeof(*wants)];

/* ---- what is where --------------------------------------------------------------------------- */

enum { WAL_HEADER = 32, WAL_FRAME_HEADER = 24 };

static bool is_wal(const char *name)
{
	return strstr(name, "-wal") != NULL;
}

static const char *region_of(const char *name, uint64_t at)
{
	if (!is_wal(name))
		return "database";
	if (at < WAL_HEADER)
		return "write-ahead log: header";
	at = (at - WAL_HEADER) % (WAL_FRAME_HEADER + VFS_PAGE_BYTES);
	return at < WAL_FRAME_HEADER ? "write-ahead log: frame header" : "write-ahead log: page";
}

/* ---- judging --------------------------------------------------------------------------------- */

static void judge(struct sim_disk *d, char *text, size_t len)
{
	struct golden_world w;
	golden_world_on(&w, d);
	enum err err = golden_world_try_open(&w);
	if (err != ERR_OK)
		snprintf(text, len, "refused: %s", err_name(err));
	else if (!golden_world_try_catch_up(&w))
		snprintf(text, len, "FAILED: %.40s", view_status(&w.f, GOLDEN_VIEW, 0).reason);
	else if (strcmp(view_rows(&w.f, GOLDEN_VIEW, 0), rows) != 0)
		snprintf(text, len, "OTHER ROWS");
	else
		snprintf(text, len, "same%s",
		    strstr(golden_world_said, "event=view_rebuilt") ? ": rebuilt" : "");
	golden_world_release(&w);
}

static void note(enum harm harm, const char *region, const char *verdict)
{
	int i = 0;
	while (i < SEEN_MAX && seen[i].region &&
	       (seen[i].harm != harm || strcmp(seen[i].region, region) != 0 ||
	           strcmp(seen[i].verdict, verdict) != 0))
		i++;
	assert_true(i < SEEN_MAX);
	seen[i].harm = harm;
	seen[i].region = region;
	snprintf(seen[i].verdict, sizeof(seen[i].verdict), "%s", verdict);
	seen[i].count++;
}

static void try_one(
    struct sim_disk *d, enum harm harm, const char *name, uint64_t at, const char *region)
{
	char verdict[64];
	bool good = false;
	judge(d, verdict, sizeof(verdict));
	note(harm, region, verdict);
	for (const struct want *w = wants; w->region; w++) {
		if (w->harm == harm && strcmp(w->region, region) == 0 &&
		    strcmp(w->verdict, verdict) == 0)
			good = met[w - wants] = true;
	}
	if (!good && failures++ < 20)
		printf("%s, %s %llu (%s): %s\n", name, harm_names[harm], (unsigned long long)at,
		    region, verdict);
}

/* ---- sweeping -------------------------------------------------------------------------------- */

static uint64_t stride(uint64_t usual)
{
	const char *text = getenv("FLIP_STRIDE");
	return text ? strtoull(text, NULL, 10) : getenv("KAPPA_TEST_SMALL") ? usual * 16 : usual;
}

static struct sim_disk *with_length(uint32_t inode, uint64_t len)
{
	struct sim_disk *d = sim_disk_clone(disk);
	const struct sim_op op = {.kind = SIM_OP_TRUNCATE, .inode = inode, .pos = len};
	assert_int_equal(sim_disk_apply(d, &op), 0);
	return d;
}

static struct sim_disk *with_more(uint32_t inode, uint64_t size, size_t more, bool garbage)
{
	static uint8_t bytes[MORE_MAX];
	struct sim_disk *d = sim_disk_clone(disk);
	for (size_t i = 0; i < more; i++)
		bytes[i] = garbage ? (uint8_t)(i * 167 + more) : 0;
	const struct sim_op op = {
	    .kind = SIM_OP_WRITE, .inode = inode, .pos = size, .data = bytes_of(bytes, more)};
	assert_int_equal(sim_disk_apply(d, &op), 0);
	return d;
}

static void sweep_file(const char *name, uint32_t inode)
{
	uint64_t size = disk->inode[inode].cached->size_bytes;
	for (uint64_t bit = 0; bit < size * 8; bit += stride(499)) {
		struct sim_disk *d = sim_disk_clone(disk);
		sim_disk_flip(d, inode, bit);
		try_one(d, BIT, name, bit, region_of(name, bit / 8));
	}
	for (uint64_t len = 0; len < size; len += stride(211))
		try_one(with_length(inode, len), CUT, name, len, region_of(name, len));
	for (size_t more = 1; more < MORE_MAX; more += stride(211) * 7) {
		for (int garbage = 0; garbage < 2; garbage++)
			try_one(with_more(inode, size, more, garbage), garbage ? GARBAGE : ZEROS,
			    name, more, is_wal(name) ? "write-ahead log" : "database");
	}
}

static unsigned sweep(void)
{
	static const char *const below[] = {"data", "views", GOLDEN_VIEW};
	uint32_t dir = SIM_ROOT;
	unsigned files = 0;
	clock_t started = clock();
	for (int i = 0; i < 3; i++)
		dir = sim_disk_lookup(disk, dir, str_of(below[i]));
	const struct sim_names *names = &disk->inode[dir].names;
	memset(seen, 0, sizeof(seen));
	failures = 0;
	for (size_t i = 0; i < names->count; i++) {
		if (disk->inode[names->entry[i].inode].kind != SIM_FILE)
			continue;
		sweep_file(names->entry[i].name, names->entry[i].inode);
		files++;
	}
	printf("%.1f CPU-s\n", (double)(clock() - started) / CLOCKS_PER_SEC);
	for (int i = 0; i < SEEN_MAX && seen[i].region; i++)
		printf("  %8llu %-16s %-32s %s\n", (unsigned long long)seen[i].count,
		    harm_names[seen[i].harm], seen[i].region, seen[i].verdict);
	assert_int_equal(failures, 0);
	return files;
}

/* ---- the directories ------------------------------------------------------------------------- */

static int setup(void **state)
{
	struct golden_world w;
	struct tree tree;
	(void)state;
	tree_of_path(GOLDEN_DIRECTORY, &tree);
	golden_world_load(&w, &tree);
	tree_release(&tree);
	disk = sim_disk_clone(w.disk);
	golden_world_open(&w);
	golden_world_catch_up(&w);
	rows = strdup(view_rows(&w.f, GOLDEN_VIEW, 0));
	golden_world_release(&w);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sim_disk_free(disk);
	free(rows);
	return 0;
}

static void view_files_of_a_killed_server(void **state)
{
	(void)state;
	assert_int_equal(sweep(), 2);
}

static void view_files_after_a_clean_stop(void **state)
{
	struct golden_world w;
	(void)state;
	golden_world_on(&w, sim_disk_clone(disk));
	golden_world_open(&w);
	golden_world_catch_up(&w);
	golden_world_stop(&w);
	sim_disk_free(disk);
	disk = sim_disk_clone(w.disk);
	sim_disk_close_all(disk);
	golden_world_release(&w);
	assert_true(sweep() > 0);
	for (size_t i = 0; stride(2) == 1 && wants[i].region; i++) {
		if (!met[i])
			fail_msg("nothing comes to: %s, %s, %s", harm_names[wants[i].harm],
			    wants[i].region, wants[i].verdict);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(view_files_of_a_killed_server, setup, teardown),
	    cmocka_unit_test_setup_teardown(view_files_after_a_clean_stop, setup, teardown),
	};
	return cmocka_run_group_tests_name("flip_views", tests, NULL, NULL);
}
