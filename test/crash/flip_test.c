/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rot (H6) and lost or foreign bytes at the end of a file (H7): every file of a reference
 * directory, bit by bit, length by length. Each time the log is opened and read from end to end;
 * the verdict is
 *
 *   SAME      every record is there with its bytes, nothing is damaged
 *   DETECTED  the start is refused, or a partition is damaged or a read says CORRUPT; whatever was
 *             read is right, and nothing is missing but in a partition that says so
 *   OLDER     the newest rounds are gone and nothing else: as if the directory had been copied
 *             before them. One copy cannot tell (proofs can): only for a cut journal after a kill
 *   SILENT    anything else: never allowed
 *
 * and must be one that the kind of file allows (kinds[]). No bit of a segment is harmless. Two
 * directories: after a clean stop, and killed with everything since the start in the journal, where
 * a segment's bytes are put back instead.
 *
 * FLIP_STRIDE=1 takes every bit; the default takes every 11th, sanitizer builds every 509th. Views
 * and the configuration file are not here: the log does not read them.
 */
#include "log/batch.h"
#include "test/crash/sweep.h"
#include "test/lib/log_fixture.h"
#include "test/lib/test.h"

#include <stdio.h>
#include <stdlib.h>

enum verdict { SAME = 1, DETECTED = 2, OLDER = 4, SILENT = 8 };
static const char *const verdict_names[] = {
    [SAME] = "same", [DETECTED] = "detected", [OLDER] = "OLDER", [SILENT] = "SILENT"};

/* What may come of a change, by the beginning or the end of the file's name. */
static const struct kind {
	const char *part;
	unsigned clean, killed;           /* of a flipped bit */
	unsigned clean_size, killed_size; /* of another length */
} kinds[] = {
    /* after a kill the journal has the frames, but not the segment's header */
    {".log", DETECTED, SAME | DETECTED, SAME | DETECTED, SAME | DETECTED},
    {".idx", SAME, SAME, SAME, SAME},
    {".snap", SAME, SAME, SAME, SAME},
    /* of a clean directory the journal holds nothing that is needed; else rot of an entry is taken
     * from the segments, which have it unless the cut did */
    {"journal-", SAME, SAME | DETECTED, SAME | DETECTED, SAME | DETECTED | OLDER},
    {"checkpoint-", SAME, SAME | DETECTED, SAME, SAME | DETECTED},
    {"lock", SAME, SAME, SAME, SAME},
};

static const struct kind *kind_of(const char *name)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (strstr(name, kinds[i].part))
			return &kinds[i];
	}
	fail_msg("%s: no such kind of file", name);
	return NULL;
}

/* ---- the reference --------------------------------------------------------------------------- */

static void fill(struct run *r)
{
	static const char *const segments[] = {"segment.bytes=6000", NULL};
	int a = run_topic_create(r, "a", 2, segments);
	for (int32_t i = 0; i < 5; i++) {
		run_append_from(r, a, 0, 7, i);
		run_append(r, a, 0, 2, 250);
		run_append(r, a, 1, 1, 150);
		run_drain(r);
	}
	run_rest(r, 1200 * MS_NS);
	run_append(r, a, 0, 1, 90);
	run_append_from(r, a, 1, 8, 0);
	run_drain(r);
	run_rest(r, 150 * MS_NS); /* D is restated: the last entry is a MARK */
}

static void fill_and_stop(struct run *r)
{
	fill(r);
	run_stop(r);
}

static const struct run_script clean_script = {.name = "clean", .play = fill_and_stop};
static const struct run_script killed_script = {.name = "killed", .play = fill};

/* ---- reading what is there ------------------------------------------------------------------- */

struct got {
	bool tag[RUN_BATCHES_MAX + 1];
	bool wrong;                       /* bytes that nobody sent, or twice */
	bool damaged[RUN_PARTITIONS_MAX]; /* and says so */
};

static void get_done(struct log_read *req)
{
	*(bool *)req->user = true;
}

static void see(const struct run *run, struct got *got, struct bytes batch)
{
	struct record_iter it;
	struct record rec;
	uint64_t tag = 0;
	bool good = record_iter_open(&it, batch, NULL, 0) == ERR_OK &&
	            record_iter_next(&it, &rec) == ERR_OK && str_to_u64(bytes_str(rec.key), &tag) &&
	            tag > 0 && tag <= (uint64_t)run->batch_count;
	const struct run_batch *b = &run->batches[good ? tag : 0];
	if (!good || got->tag[tag] || b->len != batch.len ||
	    memcmp(batch.ptr, b->bytes, b->len) != 0)
		got->wrong = true;
	else
		got->tag[tag] = true;
}

static void read_all(
    const struct run *run, struct run_world *w, int p, struct log_partition *part, struct got *got)
{
	struct log_partition_status st;
	log_partition_status(part, &st);
	got->damaged[p] = st.damaged;
	for (int64_t at = st.log_start; at < st.visible_end;) {
		bool done = false;
		struct log_read req = {.partition = part,
		    .offset = at,
		    .max_bytes = 64 * KIB,
		    .user = &done,
		    .done = get_done};
		log_read(w->log, &req);
		for (int i = 0; !done && i < 1000; i++)
			assert_ok(loop_step(w->loop, 10 * MS_NS));
		assert_true(done);
		if (req.err != ERR_OK || req.batch_count == 0) {
			got->damaged[p] = true;
			at++; /* a client goes on behind what it cannot have */
		} else {
			for (size_t i = 0; i < req.batch_count; i++)
				see(run, got, req.batches[i]);
			got->wrong |= req.next_offset <= at;
			at = req.next_offset > at ? req.next_offset : at + 1;
		}
		log_read_release(&req);
	}
}

static enum verdict judge(const struct run *run, struct sim_disk *d)
{
	struct run_world w;
	struct got got = {.wrong = false};
	if (run_world_open(run, d, false, &w) != ERR_OK) {
		err_clear();
		return DETECTED;
	}
	const struct log_topic *t = log_topic_by_id(w.log, run->topics[0].id);
	for (int p = 0; t && p < t->partition_count; p++)
		read_all(run, &w, p, log_partition_find(w.log, t, p), &got);
	bool failed = w.log->failed, some = w.log->damaged_partitions > 0;
	run_world_kill(&w);
	enum verdict v = SAME;
	uint64_t newest = 0, gone = UINT64_MAX; /* sequences: there; gone without a word */
	for (int tag = 1; tag <= run->batch_count; tag++) {
		const struct run_batch *b = &run->batches[tag];
		if (got.tag[tag] && b->sequence > newest)
			newest = b->sequence;
		if (!got.tag[tag] && t && got.damaged[b->partition])
			v = DETECTED;
		else if (!got.tag[tag] && b->sequence < gone)
			gone = b->sequence;
	}
	if (gone != UINT64_MAX)
		return gone > newest && !got.wrong && !failed && t ? OLDER : SILENT;
	for (int p = 0; p < 2; p++)
		some |= got.damaged[p];
	return got.wrong || failed ? SILENT : some ? DETECTED : v;
}

/* ---- sweeps ---------------------------------------------------------------------------------- */

struct tally {
	const struct run *run;
	const char *name; /* of the file */
	uint32_t inode;
	bool clean;
	uint64_t count[SILENT + 1];
	uint64_t all;
};

static void try_one(
    struct tally *t, struct sim_disk *d, unsigned allowed, const char *what, uint64_t at)
{
	enum verdict v = judge(t->run, d);
	sim_disk_free(d);
	t->count[v]++;
	t->all++;
	if (!(v & allowed))
		fail_msg("%s directory, %s, %s %llu: %s", t->clean ? "clean" : "killed", t->name,
		    what, (unsigned long long)at, verdict_names[v]);
}

static uint64_t stride(uint64_t usual, uint64_t small)
{
	const char *text = getenv("FLIP_STRIDE");
	return text ? strtoull(text, NULL, 10) : getenv("KAPPA_TEST_SMALL") ? small : usual;
}

static void flip_bits(struct tally *t)
{
	const struct kind *k = kind_of(t->name);
	uint64_t bits = t->run->disk->inode[t->inode].cached->size_bytes * 8,
	         step = stride(11, 509);
	for (uint64_t bit = 0; bit < bits; bit += step) {
		struct sim_disk *d = sim_disk_clone(t->run->disk);
		sim_disk_flip(d, t->inode, bit);
		try_one(t, d, t->clean ? k->clean : k->killed, "bit", bit);
	}
}

static void change_length(struct tally *t)
{
	const struct kind *k = kind_of(t->name);
	uint64_t size = t->run->disk->inode[t->inode].cached->size_bytes, step = stride(7, 401);
	unsigned allowed = t->clean ? k->clean_size : k->killed_size;
	for (uint64_t len = 0; len < size; len += step) {
		struct sim_disk *d = sim_disk_clone(t->run->disk);
		struct sim_op op = {.kind = SIM_OP_TRUNCATE, .inode = t->inode, .pos = len};
		assert_int_equal(sim_disk_apply(d, &op), 0);
		try_one(t, d, allowed, "cut to length", len);
	}
	for (uint64_t more = 1; more < 4200; more += step * 7) {
		for (int garbage = 0; garbage < 2; garbage++) {
			uint8_t bytes[4200];
			struct sim_disk *d = sim_disk_clone(t->run->disk);
			for (size_t i = 0; i < sizeof(bytes); i++)
				bytes[i] = garbage ? (uint8_t)(i * 167 + more) : 0;
			struct sim_op op = {.kind = SIM_OP_WRITE,
			    .inode = t->inode,
			    .pos = size,
			    .data = bytes_of(bytes, (size_t)more)};
			assert_int_equal(sim_disk_apply(d, &op), 0);
			try_one(t, d, allowed,
			    garbage ? "garbage behind it:" : "zeros behind it:", more);
		}
	}
}

/* Every file below `dir`. */
static void each_file(struct tally *t, uint32_t dir, void (*fn)(struct tally *t))
{
	const struct sim_names *names = &t->run->disk->inode[dir].names;
	for (size_t i = 0; i < names->count; i++) {
		uint32_t inode = names->entry[i].inode;
		if (t->run->disk->inode[inode].kind == SIM_DIRECTORY) {
			each_file(t, inode, fn);
			continue;
		}
		t->name = names->entry[i].name;
		t->inode = inode;
		fn(t);
	}
}

static void sweep(const struct run_script *script, void (*fn)(struct tally *t))
{
	struct run *run = run_play(script, 1);
	struct tally t = {.run = run, .clean = script == &clean_script};
	double started = sweep_clock();
	sim_disk_close_all(run->disk);
	each_file(&t, SIM_ROOT, fn);
	printf("%s: %llu changes: %llu detected, %llu the same, %llu older; %.1f CPU-s\n",
	    script->name, (unsigned long long)t.all, (unsigned long long)t.count[DETECTED],
	    (unsigned long long)t.count[SAME], (unsigned long long)t.count[OLDER],
	    sweep_clock() - started);
	assert_true(t.count[SAME] > 0 && t.count[DETECTED] > 0);
	run_free(run);
}

static void each_bit_of_a_clean_directory(void **state)
{
	(void)state;
	sweep(&clean_script, flip_bits);
}

static void each_bit_of_a_killed_directory(void **state)
{
	(void)state;
	sweep(&killed_script, flip_bits);
}

static void each_length_of_a_clean_directorys_files(void **state)
{
	(void)state;
	sweep(&clean_script, change_length);
}

static void each_length_of_a_killed_directorys_files(void **state)
{
	(void)state;
	sweep(&killed_script, change_length);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_bit_of_a_clean_directory),
	    cmocka_unit_test(each_bit_of_a_killed_directory),
	    cmocka_unit_test(each_length_of_a_clean_directorys_files),
	    cmocka_unit_test(each_length_of_a_killed_directorys_files),
	};
	sweep_quiet();
	return cmocka_run_group_tests_name("flip", tests, NULL, NULL);
}
