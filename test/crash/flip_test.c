/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rot (H6) and lost or foreign bytes at the end of a file (H7): every file of reference
 * directories, bit by bit, length by length. Each time the log is opened, read from end to end and
 * batch by batch, and each producer comes again (flip_read.c). The tables of flip_wants.c say for
 * each region of each file (regions.h) exactly what must come of it, and why a bit without a
 * verdict is harmless.
 *
 *   clean, killed   segments, indexes, snapshots, journal, checkpoints, catalog: after a clean
 * stop, and after a kill with everything since the last checkpoint in the journal forms compacted
 * and recompressed generations, holes, DIRECT frames and padding, transactions: both ways, too
 *   outside         the two text files that tie a journal on another disk to its log
 *
 * FLIP_STRIDE=1 takes every bit (make flip), and then each line of the tables must have been met;
 * the default takes every 11th, sanitizer builds every 509th. FLIP_LARGE: a directory of 1 MiB;
 * after a change of anything but an index a quarter of its batches is looked for alone, in turn.
 * FLIP_FILES=.idx: only files with that in their names.
 * View files: test/replay/flip_views_test.c; kappa.conf: test/tools/config_flip_test.c.
 */
#include "test/crash/flip.h"
#include "test/crash/sweep.h"
#include "test/lib/log_fixture.h"
#include "test/lib/test.h"

#include <stdio.h>
#include <stdlib.h>

enum { SEEN_MAX = 256, LOOK_FOR_NTH = 4 };

/* ---- the directories ------------------------------------------------------------------------- */

/* The last journal entry that the newest checkpoint covers; where what is behind it begins. */
static uint64_t covered, since[RUN_TOPICS_MAX][RUN_PARTITIONS_MAX];

static uint64_t active_size(const struct run *r, int topic, int partition)
{
	const struct log_topic *t = log_topic_by_id(r->log, r->topics[topic].id);
	ASSERT(t);
	const struct segment *s = partition_active(log_partition_find(r->log, t, partition));
	ASSERT(s);
	return s->size;
}

/* Everything so far is in its segment; what follows is in the journal. */
static void checkpoint(struct run *r)
{
	run_rest(r, 1200 * MS_NS);
	for (int t = 0; t < r->topic_count; t++) {
		for (int p = 0; p < r->topics[t].partitions; p++)
			since[t][p] = active_size(r, t, p);
	}
}

static void restate(struct run *r)
{
	run_drain(r);
	run_rest(r, 150 * MS_NS); /* D is restated: the last entry is a MARK */
	covered = r->log->journal.checkpoint_number;
	for (int t = 0; t < r->topic_count; t++) {
		for (int p = 0; p < r->topics[t].partitions; p++) {
			if (active_size(r, t, p) == since[t][p]) /* the journal has no image */
				since[t][p] = UINT64_MAX;
		}
	}
}

static void fill(struct run *r)
{
	static const char *const small[] = {"segment.bytes=6000", NULL};
	static const char *const mib[] = {"segment.bytes=80000", NULL};
	bool large = getenv("FLIP_LARGE") != NULL; /* a directory of 1 MiB */
	int a = run_topic_create(r, "a", 2, large ? mib : small);
	for (int32_t i = 0; i < (large ? 60 : 5); i++) {
		run_append_from(r, a, 0, 7, i);
		run_append(r, a, 0, 2, large ? 4000 : 250);
		run_append(r, a, 1, 1, large ? 4000 : 150);
		run_drain(r);
	}
	checkpoint(r);
	run_append(r, a, 0, 1, 90);
	run_append_from(r, a, 1, 8, 0);
	restate(r);
}

static void fill_forms(struct run *r)
{
	static const char *const compact[] = {
	    "cleanup.policy=compact", "segment.bytes=4800", "min.cleanable.dirty.ratio=0", NULL};
	static const char *const lz4[] = {"compression.type=lz4", "segment.bytes=5000", NULL};
	static const char *const small[] = {"segment.bytes=5200", NULL};
	int c = run_topic_create(r, "c", 1, compact), l = run_topic_create(r, "l", 1, lz4);
	int t = run_topic_create(r, "t", 1, small), d = run_topic_create(r, "d", 1, NULL);
	for (int i = 0; i < 3; i++) {
		run_append_keys(r, c, 0, i % 2 ? "ab" : "aB");
		run_append_txn(r, 0, c, 0, "ab");
		run_append_keys(r, l, 0, "abcdefgh");
		run_append_txn(r, 1, t, 0, "abc");
		run_append(r, d, 0, 1, i == 1 ? 1100 : 60);
		run_txn_end(r, 0, i > 0);
		run_txn_end(r, 1, i != 1);
		run_drain(r);
	}
	run_append_keys(r, c, 0, "abcdef");
	run_append_keys(r, c, 0, "c");
	run_append_keys(r, l, 0, "a");
	run_append_txn(r, 2, t, 0, "xyz");
	run_drain(r);
	run_rest(r, 1200 * MS_NS);
	run_compact(r);
	checkpoint(r);
	run_append(r, d, 0, 1, 1200); /* DIRECT: its bytes are not in the journal */
	run_append_txn(r, 1, t, 0, "e");
	restate(r);
}

static void stopped(struct run *r)
{
	run_stop(r);
	covered = UINT64_MAX;
	memset(since, 0xff, sizeof(since));
}

static void fill_and_stop(struct run *r)
{
	fill(r);
	stopped(r);
}

static void fill_outside(struct run *r)
{
	fill(r);
	stopped(r);
	r->options.journal_dir = NULL; /* a start finds it by what the two files say */
}

static void fill_forms_and_stop(struct run *r)
{
	fill_forms(r);
	stopped(r);
}

struct directory {
	struct run_script script;
	bool clean, no_large;
	const struct flip_want *const *wants; /* besides flip_wants; NULL = none */
	unsigned stride;                      /* times the usual one */
};
static const struct directory clean_directory = {.script = {.name = "clean", .play = fill_and_stop},
                                  .clean = true},
                              killed_directory = {.script = {.name = "killed", .play = fill}},
                              clean_forms = {.script = {.name = "clean forms",
                                                 .play = fill_forms_and_stop,
                                                 .journal_bytes = 192 * KIB,
                                                 .direct_bytes = 1000},
                                  .clean = true,
                                  .no_large = true,
                                  .wants = flip_wants_forms,
                                  .stride = 7},
                              killed_forms = {.script = {.name = "killed forms",
                                                  .play = fill_forms,
                                                  .journal_bytes = 192 * KIB,
                                                  .direct_bytes = 1000},
                                  .no_large = true,
                                  .wants = flip_wants_forms,
                                  .stride = 7},
                              outside_directory = {.script = {.name = "outside",
                                                       .play = fill_outside,
                                                       .journal_dir = "/j"},
                                  .clean = true,
                                  .no_large = true,
                                  .wants = flip_wants_outside};

/* ---- sweeps ---------------------------------------------------------------------------------- */

struct tally {
	const struct directory *dir;
	const struct run *run;
	struct flip_reference *reference;
	struct region_file file;
	struct told usual;
	struct seen {
		const char *region;
		char verdict[160];
		uint64_t count;
	} seen[SEEN_MAX];
	int seen_count;
	uint64_t all, failures;
	bool met[2][FLIP_HARMS][FLIP_WANTS_MAX]; /* lines of the tables; of the directory's own */
};

static void note(struct tally *t, const char *region, const char *verdict)
{
	int i = 0;
	t->all++;
	while (i < t->seen_count &&
	       (strcmp(t->seen[i].region, region) != 0 || strcmp(t->seen[i].verdict, verdict) != 0))
		i++;
	if (i == t->seen_count) {
		ASSERT(i < SEEN_MAX);
		t->seen[t->seen_count++] = (struct seen){.region = region};
		snprintf(t->seen[i].verdict, sizeof(t->seen[i].verdict), "%s", verdict);
	}
	t->seen[i].count++;
}

static bool meet(struct tally *t, const struct flip_want *wants, bool *met, const char *region,
    const char *verdict)
{
	bool any = false;
	for (const struct flip_want *w = wants; w->region; w++) {
		const char *want = t->dir->clean ? w->clean : w->killed;
		if (strcmp(w->region, region) == 0 && want && strcmp(want, verdict) == 0)
			any = met[w - wants] = true;
	}
	return any;
}

static bool expected(struct tally *t, const char *region, const char *verdict, enum flip_harm harm)
{
	bool own = t->dir->wants && meet(t, t->dir->wants[harm], t->met[1][harm], region, verdict);
	return meet(t, flip_wants[harm], t->met[0][harm], region, verdict) || own;
}

/* A line that nothing comes to is not true. */
static unsigned lines_not_met(const struct tally *t, enum flip_harm harm)
{
	unsigned count = 0;
	const struct flip_want *wants = t->dir->wants ? t->dir->wants[harm] : flip_wants[harm];
	const bool *met = t->met[t->dir->wants != NULL][harm];
	for (const struct flip_want *w = wants; w->region; w++) {
		const char *want = t->dir->clean ? w->clean : w->killed;
		if (!want || w->why == flip_large_only || met[w - wants])
			continue;
		printf("nothing comes to: %s, %s\n", w->region, want);
		count++;
	}
	return count;
}

static void try_one(struct tally *t, struct sim_disk *d, enum flip_harm harm, const char *region,
    const char *what, uint64_t at)
{
	char verdict[160];
	flip_judge(t->reference, d, &t->usual, verdict, sizeof(verdict));
	sim_disk_free(d);
	note(t, region, verdict);
	if (expected(t, region, verdict, harm) || t->failures++ >= 20)
		return;
	printf("%s directory, %s/%s, %s %llu (%s): %s\n", t->dir->script.name, t->file.dir_name,
	    t->file.name, what, (unsigned long long)at, region, verdict);
}

static bool every_one(void)
{
	const char *text = getenv("FLIP_STRIDE");
	return text && strtoull(text, NULL, 10) == 1 && !getenv("FLIP_FILES");
}

static uint64_t stride(const struct tally *t, uint64_t usual, uint64_t small)
{
	const char *text = getenv("FLIP_STRIDE");
	uint64_t factor = t->dir->stride ? t->dir->stride : 1;
	return text ? strtoull(text, NULL, 10)
	            : (getenv("KAPPA_TEST_SMALL") ? small : usual) * factor;
}

static void flip_bits(struct tally *t)
{
	struct regions r;
	uint64_t bits = t->run->disk->inode[t->file.inode].cached->size_bytes * 8,
	         step = stride(t, 11, 509);
	regions_init(&r, &t->file);
	for (uint64_t bit = 0; bit < bits; bit += step) {
		struct sim_disk *d = sim_disk_clone(t->run->disk);
		sim_disk_flip(d, t->file.inode, bit);
		try_one(t, d, FLIP_BIT, regions_at(&r, bit / 8), "bit", bit);
	}
	regions_release(&r);
}

static void change_length(struct tally *t)
{
	uint64_t size = t->run->disk->inode[t->file.inode].cached->size_bytes,
	         step = stride(t, 7, 401);
	struct regions r;
	regions_init(&r, &t->file);
	for (uint64_t len = 0; len < size; len += step) {
		struct sim_disk *d = sim_disk_clone(t->run->disk);
		struct sim_op op = {.kind = SIM_OP_TRUNCATE, .inode = t->file.inode, .pos = len};
		assert_int_equal(sim_disk_apply(d, &op), 0);
		try_one(t, d, FLIP_CUT, regions_at(&r, len), "cut to length", len);
	}
	for (uint64_t more = 1; more < 4200; more += step * 7) {
		for (int garbage = 0; garbage < 2; garbage++) {
			uint8_t bytes[4200];
			const char *region = regions_behind(&r, garbage);
			struct sim_disk *d = sim_disk_clone(t->run->disk);
			for (size_t i = 0; i < sizeof(bytes); i++)
				bytes[i] = garbage ? (uint8_t)(i * 167 + more) : 0;
			struct sim_op op = {.kind = SIM_OP_WRITE,
			    .inode = t->file.inode,
			    .pos = size,
			    .data = bytes_of(bytes, (size_t)more)};
			assert_int_equal(sim_disk_apply(d, &op), 0);
			try_one(t, d, FLIP_LONGER, region,
			    garbage ? "garbage behind it:" : "zeros behind it:", more);
		}
	}
	regions_release(&r);
}

/* "t-1": where its frames begin that the journal has too. */
static uint64_t since_in(const struct run *run, const char *dir_name)
{
	for (int t = 0; t < run->topic_count; t++) {
		size_t len = strlen(run->topics[t].name);
		if (strncmp(dir_name, run->topics[t].name, len) == 0 && dir_name[len] == '-')
			return since[t][dir_name[len + 1] - '0'];
	}
	return UINT64_MAX;
}

/* Not asked for; of a journal elsewhere: the rest has been seen. */
static bool passed_over(const struct tally *t, const char *name)
{
	const char *files = getenv("FLIP_FILES");
	if (files && !strstr(name, files))
		return true;
	return t->dir->script.journal_dir && strcmp(name, "journal.location") != 0 &&
	       strcmp(name, "owner") != 0;
}

/* Every file below `dir`. */
static void each_file(
    struct tally *t, uint32_t dir, const char *dir_name, void (*fn)(struct tally *t))
{
	const struct sim_names *names = &t->run->disk->inode[dir].names;
	for (size_t i = 0; i < names->count; i++) {
		uint32_t inode = names->entry[i].inode;
		const char *name = names->entry[i].name;
		if (t->run->disk->inode[inode].kind == SIM_DIRECTORY) {
			each_file(t, inode, name, fn);
			continue;
		}
		if (passed_over(t, name))
			continue;
		t->file = (struct region_file){.disk = t->run->disk,
		    .inode = inode,
		    .dir = dir,
		    .dir_name = dir_name,
		    .name = name,
		    .checkpoint = covered,
		    .since = since_in(t->run, dir_name)};
		/* an index is wrong about single batches, a log or journal about what it has */
		bool some = getenv("FLIP_LARGE") && !strstr(name, ".idx");
		flip_look_for(t->reference, some ? LOOK_FOR_NTH : 1);
		fn(t);
	}
}

static void report(const struct tally *t, double started)
{
	printf("%s: %llu changes, %.1f CPU-s\n", t->dir->script.name, (unsigned long long)t->all,
	    sweep_clock() - started);
	for (int i = 0; i < t->seen_count; i++)
		printf("  %8llu %-32s %s\n", (unsigned long long)t->seen[i].count,
		    t->seen[i].region, t->seen[i].verdict);
}

static void sweep(const struct directory *dir, void (*fn)(struct tally *t))
{
	static struct tally t;
	struct run_script played = dir->script;
	struct told none = {.last = ""};
	char verdict[160];
	if (getenv("FLIP_LARGE") && dir->no_large)
		skip();
	if (getenv("FLIP_LARGE"))
		played.journal_bytes = 256 * KIB;
	struct run *run = run_play(&played, 1);
	double started = sweep_clock();
	sim_disk_close_all(run->disk);
	struct flip_reference *ref = flip_reference_new(run);
	t = (struct tally){.dir = dir, .run = run, .reference = ref};
	struct sim_disk *as_it_is = sim_disk_clone(run->disk);
	flip_judge(ref, as_it_is, &none, verdict, sizeof(verdict));
	sim_disk_free(as_it_is);
	t.usual = told;
	each_file(&t, SIM_ROOT, "", fn);
	report(&t, started);
	flip_reference_free(ref);
	run_free(run);
	assert_int_equal(t.failures, 0);
	if (!every_one())
		return;
	unsigned not_met = fn == flip_bits
	                       ? lines_not_met(&t, FLIP_BIT)
	                       : lines_not_met(&t, FLIP_CUT) + lines_not_met(&t, FLIP_LONGER);
	assert_int_equal(not_met, 0);
}

#define SWEEP(name, directory, fn)                                                                 \
	static void name(void **state)                                                             \
	{                                                                                          \
		(void)state;                                                                       \
		sweep(&(directory), fn);                                                           \
	}
SWEEP(each_bit_of_a_clean_directory, clean_directory, flip_bits)
SWEEP(each_bit_of_a_killed_directory, killed_directory, flip_bits)
SWEEP(each_bit_of_every_form, clean_forms, flip_bits)
SWEEP(each_bit_of_every_form_after_a_kill, killed_forms, flip_bits)
SWEEP(each_bit_of_what_says_where_the_journal_is, outside_directory, flip_bits)
SWEEP(each_length_of_a_clean_directorys_files, clean_directory, change_length)
SWEEP(each_length_of_a_killed_directorys_files, killed_directory, change_length)
SWEEP(each_length_of_every_form, clean_forms, change_length)
SWEEP(each_length_of_every_form_after_a_kill, killed_forms, change_length)
SWEEP(each_length_of_what_says_where_the_journal_is, outside_directory, change_length)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_bit_of_a_clean_directory),
	    cmocka_unit_test(each_bit_of_a_killed_directory),
	    cmocka_unit_test(each_bit_of_every_form),
	    cmocka_unit_test(each_bit_of_every_form_after_a_kill),
	    cmocka_unit_test(each_bit_of_what_says_where_the_journal_is),
	    cmocka_unit_test(each_length_of_a_clean_directorys_files),
	    cmocka_unit_test(each_length_of_a_killed_directorys_files),
	    cmocka_unit_test(each_length_of_every_form),
	    cmocka_unit_test(each_length_of_every_form_after_a_kill),
	    cmocka_unit_test(each_length_of_what_says_where_the_journal_is),
	};
	const char *only = getenv("FLIP_ONLY"); /* a part of a name */
	char pattern[100];
	sweep_quiet();
	if (only) {
		snprintf(pattern, sizeof(pattern), "*%s*", only);
		cmocka_set_test_filter(pattern);
	}
	return cmocka_run_group_tests_name("flip", tests, NULL, NULL);
}
