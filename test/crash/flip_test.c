/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rot (H6) and lost or foreign bytes at the end of a file (H7): every file of a reference
 * directory, bit by bit, length by length. Each time the log is opened, read from end to end, and
 * each producer comes again; what comes of it is
 *
 *   same            every record is there with its bytes
 *   same, blocked   and yet a partition is DAMAGED: produce is refused
 *   lost            records are missing in a partition that says so; the rest is right
 *   refused: NAME   the start is
 *   older           the newest rounds are gone and nothing else: as if the directory had been
 * copied before them. One copy cannot tell (proofs can): only for a cut journal after a kill SILENT
 * anything else: never wanted
 *
 * with the verdicts that were told behind a colon. The tables below say for each region of each
 * file (regions.h) exactly what it must be, after a clean stop and after a kill with everything
 * since the last checkpoint in the journal, and why a bit without a verdict is harmless.
 *
 * FLIP_STRIDE=1 takes every bit (make flip), and then each line of the tables must have been met;
 * the default takes every 11th, sanitizer builds every 509th. FLIP_LARGE: a directory of 1 MiB.
 * View files: test/processor/vfs_test.c. The configuration has no checksum: a person writes it.
 */
#include "log/batch.h"
#include "test/crash/regions.h"
#include "test/crash/sweep.h"
#include "test/crash/told.h"
#include "test/lib/log_fixture.h"
#include "test/lib/test.h"
#include "test/lib/xmalloc.h"

#include <stdio.h>
#include <stdlib.h>

enum verdict { SAME, BLOCKED, LOST, OLDER, SILENT };
static const char *const verdict_names[] = {[SAME] = "same",
    [BLOCKED] = "same, blocked",
    [LOST] = "lost",
    [OLDER] = "older",
    [SILENT] = "SILENT"};
enum { SEEN_MAX = 256, WANTS_MAX = 64 };

/*
 * Which verdict each region must yield: what a reader finds, and what the start or the read says
 * beyond what it says of the directory as it was. NULL: this must not come. Two lines for a region:
 * either, and why says on what it depends. Bits without a verdict are harmless, and why says why.
 */
struct want {
	const char *region, *clean, *killed, *why;
};
static const char large_only[] = "only in the larger directory";
#define LOST_SEGMENT "lost: damaged+missing_segment"
#define LOST_END     "lost: damaged+rebuilt"
#define REFUSED      "refused: LOST_SUFFIX"

static const struct want flip_wants[] = {
    {"segment header", LOST_SEGMENT, LOST_SEGMENT, "no frame can be read without its secret"},
    {"frame header", "lost: damaged", "lost: damaged", NULL},
    {"batch", "lost: damaged", "lost: damaged", NULL},
    {"last frame: header", "lost: damaged", "lost: damaged", NULL},
    {"last frame: batch", "lost: damaged", "lost: damaged", NULL},
    {"active segment header", REFUSED, REFUSED, "the end of the log is not known"},
    {"active: frame header", "lost: damaged", NULL, NULL},
    {"active: frame header", NULL, "lost: damaged", large_only},
    {"active: frame header", NULL, "lost: damaged+rebuilt", large_only},
    {"active: batch", "lost: damaged", NULL, NULL},
    {"active: batch", NULL, "lost: damaged", large_only},
    {"active: last frame: header", "lost: damaged+rebuilt", NULL, "the record knows the end"},
    {"active: last frame: batch", "lost: damaged", NULL, NULL},
    {"frame since the checkpoint", NULL, "same", "written anew from the journal (DISTRUST)"},
    {"catalog: segment header", REFUSED, REFUSED, "without topics nothing is served"},
    {"catalog: last frame: header", "refused: CORRUPT", "refused: CORRUPT",
        "without topics nothing is served"},
    {"catalog: last frame: batch", "refused: CORRUPT", "refused: CORRUPT",
        "without topics nothing is served"},
    {"index header", "same: rebuilt", "same: rebuilt", NULL},
    {"index: last entry", "same: rebuilt", "same: rebuilt", NULL},
    {"index: last entry, timestamp", "same: rebuilt", "same: rebuilt", NULL},
    {"index: first entry", "same: rebuilt", "same: rebuilt", NULL},
    {"index: first entry, rest", "same: rebuilt", "same: rebuilt", NULL},
    {"index: entry", "same: rebuilt", "same: rebuilt", NULL},
    {"index: entry, rest", "same: rebuilt", "same: rebuilt", NULL},
    {"index: first entry", "same: index_bad+rebuilt", "same: index_bad+rebuilt",
        "of the active segment, met by an offset first"},
    {"index: entry", "same: index_bad+rebuilt", "same: index_bad+rebuilt", "as above"},
    {"index: entry, rest", "same: index_bad+rebuilt", "same: index_bad+rebuilt", "as above"},
    {"index: last entry, timestamp", "same", "same", "the catalog's: nobody searches it by time"},
    {"index: entry, rest", "same", "same", "as above"},
    {"active: frame header", "lost: damaged+index_bad", "lost: damaged+index_bad",
        "an offset that is not where the index says"},
    {"producer snapshot", "same: rebuilt", "same: rebuilt", "when a producer comes again"},
    {"older producer snapshot", "same", "same", "nobody reads it while there is a newer one"},
    {"journal file header", "same: journal_rot", "same: journal_rot", NULL},
    {"current journal file header", NULL, "same: journal_rot", NULL},
    {"old entry", "same", "same", "the checkpoint covers it"},
    {"unused journal", "same", "same", "zeros of before its first use"},
    {"entry without frames: header", NULL, "same: journal_rot", large_only},
    {"entry without frames: zeros", NULL, "same: journal_rot", large_only},
    {"entry: header", NULL, "same: journal_rot+repaired", NULL},
    {"entry: frames", NULL, "same: journal_rot+repaired", NULL},
    {"entry: items", NULL, "same: journal_rot+repaired", NULL},
    {"entry: zeros", NULL, "same: journal_rot+repaired", NULL},
    {"last entry: header", NULL, "same", "a MARK: it says nothing that others do not"},
    {"last entry: zeros", NULL, "same: torn_round", NULL},
    {"newest checkpoint", "same: distrust", "same", "torn while it was written: the one before"},
    {"older checkpoint", "same", "same", "nobody reads it while the newest is good"},
    {.region = NULL}};

static const struct want cut_wants[] = {{"segment header", LOST_SEGMENT, LOST_SEGMENT, NULL},
    {"frame header", LOST_END, LOST_END, NULL},
    {"frame header", LOST_SEGMENT, LOST_SEGMENT, "before the first: nothing to index"},
    {"batch", LOST_END, LOST_END, NULL}, {"last frame: header", LOST_END, LOST_END, NULL},
    {"last frame: header", LOST_SEGMENT, LOST_SEGMENT, "right before it: the index is good"},
    {"last frame: batch", LOST_END, LOST_END, NULL},
    {"active segment header", REFUSED, REFUSED, NULL},
    {"active: frame header", REFUSED, NULL, NULL},
    {"active: frame header", NULL, "lost: damaged+rebuilt", large_only},
    {"active: frame header", NULL, "lost: damaged", large_only},
    {"active: batch", REFUSED, NULL, NULL},
    {"active: batch", NULL, "lost: damaged+rebuilt", large_only},
    {"active: batch", NULL, "lost: damaged", large_only},
    {"old entry", NULL, "older: torn_tail", large_only},
    {"entry without frames: header", NULL, "older: torn_tail", large_only},
    {"entry without frames: zeros", NULL, "older: torn_tail", large_only},
    {"active: last frame: header", REFUSED, NULL, NULL},
    {"active: last frame: batch", REFUSED, NULL, NULL},
    {"frame since the checkpoint", NULL, "same", "from the journal"},
    {"catalog: segment header", REFUSED, REFUSED, NULL},
    {"catalog: last frame: header", REFUSED, REFUSED, NULL},
    {"catalog: last frame: batch", REFUSED, REFUSED, NULL},
    {"index header", "same: rebuilt", "same: rebuilt", NULL},
    {"index: first entry", "same: rebuilt", "same: rebuilt", NULL},
    {"index: first entry, rest", "same: rebuilt", "same: rebuilt", NULL},
    {"index: entry", "same: rebuilt", "same: rebuilt", NULL},
    {"index: entry, rest", "same: rebuilt", "same: rebuilt", NULL},
    {"index: last entry", "same: rebuilt", "same: rebuilt", NULL},
    {"index: last entry, timestamp", "same: rebuilt", "same: rebuilt", NULL},
    {"producer snapshot", "same: rebuilt", "same: rebuilt", NULL},
    {"older producer snapshot", "same", "same", "nobody reads it while there is a newer one"},
    {"journal file header", "same: journal_rot", "same: journal_rot", NULL},
    {"current journal file header", NULL, "older: journal_rot+torn_tail", NULL},
    {"old entry", "same", "same", "the checkpoint covers it"},
    {"unused journal", "same", "same", "zeros of before its first use"},
    /* one copy cannot tell a journal that was cut from an older one: proofs can */
    {"entry: header", NULL, "older: torn_tail", NULL},
    {"entry: frames", NULL, "older: torn_tail", NULL},
    {"entry: items", NULL, "older: torn_tail", NULL},
    {"entry: zeros", NULL, "older: torn_tail", NULL},
    {"last entry: header", NULL, "same", "a MARK: it says nothing that others do not"},
    {"last entry: zeros", NULL, "same", "a MARK: it says nothing that others do not"},
    {"newest checkpoint", "same: distrust", "same", "torn while it was written: the one before"},
    {"older checkpoint", "same", "same", "nobody reads it while the newest is good"},
    {.region = NULL}};

static const struct want longer_wants[] = {
    {"zeros behind a sealed segment", "same, blocked: damaged+rebuilt",
        "same, blocked: damaged+rebuilt", "it may have been frames"},
    {"garbage behind a sealed segment", "same, blocked: damaged+rebuilt",
        "same, blocked: damaged+rebuilt", "it may have been frames"},
    {"zeros behind the active segment", "same: torn_tail", "same: torn_tail", NULL},
    {"garbage behind the active segment", "same: torn_tail", "same: torn_tail", NULL},
    {"zeros behind an index", "same: rebuilt", "same: rebuilt", NULL},
    {"zeros behind an index", "same", "same", "less than an entry: cut off"},
    {"garbage behind an index", "same: rebuilt", "same: rebuilt", "sealed"},
    {"garbage behind an index", "same", "same", "of the active segment: cut off"},
    {"zeros behind a snapshot", "same: rebuilt", "same: rebuilt", NULL},
    {"garbage behind a snapshot", "same: rebuilt", "same: rebuilt", NULL},
    {"zeros behind a journal file", "same", "same", "its length is in its header"},
    {"garbage behind a journal file", "same", "same", "its length is in its header"},
    {"zeros behind the checkpoint", NULL, "same", "its length is in its header"},
    {"garbage behind the checkpoint", NULL, "same", "its length is in its header"},
    {"zeros behind the checkpoint", "same", NULL, "its length is in its header"},
    {"garbage behind the checkpoint", "same", NULL, "its length is in its header"},
    {"zeros behind an older file", "same", "same", "nobody reads it"},
    {"garbage behind an older file", "same", "same", "nobody reads it"},
    {"zeros behind another file", "same", "same", "the lock: its bytes say nothing"},
    {"garbage behind another file", "same", "same", "the lock: its bytes say nothing"},
    {.region = NULL}};

/* ---- the reference --------------------------------------------------------------------------- */

static uint64_t covered;  /* the last journal entry that the newest checkpoint covers */
static uint64_t since[2]; /* where what is behind it begins, per partition */

static uint64_t active_size(const struct run *r, int topic, int partition)
{
	const struct log_topic *t = log_topic_by_id(r->log, r->topics[topic].id);
	ASSERT(t);
	const struct segment *s = partition_active(log_partition_find(r->log, t, partition));
	ASSERT(s);
	return s->size;
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
	run_rest(r, 1200 * MS_NS);
	for (int p = 0; p < 2; p++)
		since[p] = active_size(r, a, p);
	run_append(r, a, 0, 1, 90);
	run_append_from(r, a, 1, 8, 0);
	run_drain(r);
	run_rest(r, 150 * MS_NS); /* D is restated: the last entry is a MARK */
	covered = r->log->journal.checkpoint_number;
}

static void fill_and_stop(struct run *r)
{
	fill(r);
	run_stop(r);
	covered = since[0] = since[1] = UINT64_MAX;
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

/* ---- one by one: by offset and by time, in no order ---- */

static bool at_offset(const struct run *run, struct run_world *w, struct log_partition *part,
    const struct run_batch *b)
{
	struct got got = {.wrong = false};
	bool done = false;
	struct log_read req = {.partition = part,
	    .offset = b->offset,
	    .max_bytes = 1,
	    .user = &done,
	    .done = get_done};
	log_read(w->log, &req);
	for (int i = 0; !done && i < 1000; i++)
		assert_ok(loop_step(w->loop, 10 * MS_NS));
	assert_true(done);
	if (req.err == ERR_OK && req.batch_count > 0)
		see(run, &got, req.batches[0]);
	log_read_release(&req);
	return got.tag[b - run->batches] && !got.wrong;
}

static void time_done(struct log_find_time *req)
{
	*(bool *)req->user = true;
}

/* Timestamps are 1000 + tag: they ascend with the offsets. */
static bool at_time(struct run_world *w, struct log_partition *part, int tag, int64_t offset)
{
	bool done = false;
	struct log_find_time req = {
	    .partition = part, .timestamp_ms = 1000 + tag, .user = &done, .done = time_done};
	log_find_time(w->log, &req);
	for (int i = 0; !done && i < 1000; i++)
		assert_ok(loop_step(w->loop, 10 * MS_NS));
	assert_true(done);
	return req.err == ERR_OK && req.offset == offset;
}

/* And scanned from the middle on, as a view would. */
static bool scanned(struct run_world *w, const struct run *run, const struct run_batch *b)
{
	struct log_scan_source source = {run->topics[0].id, b->partition, b->offset};
	struct log_batch_view v;
	struct log_scan *scan;
	uint64_t stable;
	if (log_scan_open(w->log, &source, 1, &scan) != ERR_OK)
		return false;
	enum err e = log_scan_next(scan, &v, &stable);
	bool good = e == ERR_OK && v.base_offset == b->offset && v.sequence == b->sequence;
	log_scan_close(scan);
	return good;
}

/* Nothing was lost in its partition: then each batch is found by itself. */
static bool found_alone(const struct run *run, struct run_world *w, const struct got *got)
{
	const struct log_topic *t = log_topic_by_id(w->log, run->topics[0].id);
	for (int i = 0; t && i < run->batch_count; i++) {
		int tag = 1 + (int)((unsigned)i * 7919U % (unsigned)run->batch_count);
		const struct run_batch *b = &run->batches[tag];
		struct log_partition *part = log_partition_find(w->log, t, b->partition);
		if (got->damaged[b->partition] || !got->tag[tag])
			continue;
		if (!at_offset(run, w, part, b) || !scanned(w, run, b) ||
		    !at_time(w, part, tag, b->offset))
			return false;
	}
	return true;
}

/* The last batch of each producer again, which loads what its partition knows of it. */
static void again_done(struct log_append *req)
{
	*(bool *)req->user = true;
}

static bool known_one(const struct run *run, struct run_world *w, const struct run_batch *b)
{
	bool done = false;
	const struct log_topic *t = log_topic_by_id(w->log, run->topics[0].id);
	struct log_append req = {.partition = log_partition_find(w->log, t, b->partition),
	    .batch = xmalloc(b->len),
	    .batch_len = b->len,
	    .user = &done,
	    .done = again_done};
	memcpy(req.batch, b->bytes, b->len);
	log_append(w->log, &(struct log_append *){&req}, 1, false);
	for (int i = 0; !done && i < 1000; i++)
		assert_ok(loop_step(w->loop, 10 * MS_NS));
	assert_true(done);
	free(req.batch);
	return req.err == ERR_OK && req.duplicate && req.base_offset == b->offset;
}

static bool known_again(const struct run *run, struct run_world *w, const struct got *got)
{
	bool asked[2] = {false, false};
	for (int tag = run->batch_count; tag > 0; tag--) {
		const struct run_batch *b = &run->batches[tag];
		if (b->producer < 0 || got->damaged[b->partition] || !got->tag[tag] ||
		    asked[b->partition])
			continue;
		asked[b->partition] = true;
		if (!known_one(run, w, b))
			return false;
	}
	return true;
}

static enum verdict compare(const struct run *run, struct run_world *w)
{
	struct got got = {.wrong = false};
	const struct log_topic *t = log_topic_by_id(w->log, run->topics[0].id);
	for (int p = 0; t && p < t->partition_count; p++)
		read_all(run, w, p, log_partition_find(w->log, t, p), &got);
	bool some = w->log->damaged_partitions > 0;
	uint64_t newest = 0, gone = UINT64_MAX; /* sequences: there; gone without a word */
	bool lost = false;
	for (int tag = 1; tag <= run->batch_count; tag++) {
		const struct run_batch *b = &run->batches[tag];
		if (got.tag[tag] && b->sequence > newest)
			newest = b->sequence;
		if (!got.tag[tag] && t && got.damaged[b->partition])
			lost = true;
		else if (!got.tag[tag] && b->sequence < gone)
			gone = b->sequence;
	}
	if (gone != UINT64_MAX)
		return gone > newest && !got.wrong && !w->log->failed && t ? OLDER : SILENT;
	some |= got.damaged[0] || got.damaged[1];
	if (!found_alone(run, w, &got))
		return SILENT;
	if (got.wrong || w->log->failed || !known_again(run, w, &got) || w->log->failed)
		return SILENT;
	return lost ? LOST : some ? BLOCKED : SAME;
}

/* What came of it, and the verdicts that were told beyond those of the directory as it was. */
static void judge(
    const struct run *run, struct sim_disk *d, const struct told *usual, char *text, size_t len)
{
	struct run_world w;
	told_clear();
	sweep_alive();
	enum err e = run_world_open(run, d, false, &w);
	if (e != ERR_OK) {
		snprintf(text, len, "refused: %s", err_name(e));
		err_clear();
		return;
	}
	enum verdict v = compare(run, &w);
	run_world_kill(&w);
	int n = snprintf(text, len, "%s", verdict_names[v]);
	told_names(usual, text + n + 2, len - (size_t)n - 2);
	if (text[n + 2])
		memcpy(text + n, ": ", 2);
}

/* ---- sweeps ---------------------------------------------------------------------------------- */

struct tally {
	const struct run *run;
	struct region_file file;
	bool clean;
	struct told usual;
	struct seen {
		const char *region;
		char verdict[160];
		uint64_t count;
	} seen[SEEN_MAX];
	int seen_count;
	uint64_t all, failures;
	bool met[2][WANTS_MAX]; /* lines of the table; of longer_wants */
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

static bool expected(
    struct tally *t, const char *region, const char *verdict, const struct want *wants)
{
	bool met = false;
	for (const struct want *w = wants; w->region; w++) {
		const char *want = t->clean ? w->clean : w->killed;
		if (strcmp(w->region, region) == 0 && want && strcmp(want, verdict) == 0)
			met = t->met[wants == longer_wants][w - wants] = true;
	}
	return met;
}

/* A line that nothing comes to is not true. */
static unsigned lines_not_met(const struct tally *t, const struct want *wants)
{
	unsigned count = 0;
	for (const struct want *w = wants; w->region; w++) {
		const char *want = t->clean ? w->clean : w->killed;
		if (!want || w->why == large_only || t->met[wants == longer_wants][w - wants])
			continue;
		printf("nothing comes to: %s, %s\n", w->region, want);
		count++;
	}
	return count;
}

static void try_one(struct tally *t, struct sim_disk *d, const struct want *wants,
    const char *region, const char *what, uint64_t at)
{
	char verdict[160];
	judge(t->run, d, &t->usual, verdict, sizeof(verdict));
	sim_disk_free(d);
	note(t, region, verdict);
	if (expected(t, region, verdict, wants) || t->failures++ >= 20)
		return;
	printf("%s directory, %s/%s, %s %llu (%s): %s\n", t->clean ? "clean" : "killed",
	    t->file.dir_name, t->file.name, what, (unsigned long long)at, region, verdict);
}

static uint64_t stride(uint64_t usual, uint64_t small)
{
	const char *text = getenv("FLIP_STRIDE");
	return text ? strtoull(text, NULL, 10) : getenv("KAPPA_TEST_SMALL") ? small : usual;
}

static void flip_bits(struct tally *t)
{
	struct regions r;
	uint64_t bits = t->run->disk->inode[t->file.inode].cached->size_bytes * 8,
	         step = stride(11, 509);
	regions_init(&r, &t->file);
	for (uint64_t bit = 0; bit < bits; bit += step) {
		struct sim_disk *d = sim_disk_clone(t->run->disk);
		sim_disk_flip(d, t->file.inode, bit);
		try_one(t, d, flip_wants, regions_at(&r, bit / 8), "bit", bit);
	}
	regions_release(&r);
}

static void change_length(struct tally *t)
{
	uint64_t size = t->run->disk->inode[t->file.inode].cached->size_bytes,
	         step = stride(7, 401);
	struct regions r;
	regions_init(&r, &t->file);
	for (uint64_t len = 0; len < size; len += step) {
		struct sim_disk *d = sim_disk_clone(t->run->disk);
		struct sim_op op = {.kind = SIM_OP_TRUNCATE, .inode = t->file.inode, .pos = len};
		assert_int_equal(sim_disk_apply(d, &op), 0);
		try_one(t, d, cut_wants, regions_at(&r, len), "cut to length", len);
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
			try_one(t, d, longer_wants, region,
			    garbage ? "garbage behind it:" : "zeros behind it:", more);
		}
	}
	regions_release(&r);
}

/* Every file below `dir`. */
static void each_file(
    struct tally *t, uint32_t dir, const char *dir_name, void (*fn)(struct tally *t))
{
	const struct sim_names *names = &t->run->disk->inode[dir].names;
	for (size_t i = 0; i < names->count; i++) {
		uint32_t inode = names->entry[i].inode;
		if (t->run->disk->inode[inode].kind == SIM_DIRECTORY) {
			each_file(t, inode, names->entry[i].name, fn);
			continue;
		}
		t->file = (struct region_file){.disk = t->run->disk,
		    .inode = inode,
		    .dir = dir,
		    .dir_name = dir_name,
		    .name = names->entry[i].name,
		    .checkpoint = covered,
		    .since = strcmp(dir_name, "a-0") == 0   ? since[0]
		             : strcmp(dir_name, "a-1") == 0 ? since[1]
		                                            : UINT64_MAX};
		fn(t);
	}
}

static void sweep(const struct run_script *script, void (*fn)(struct tally *t))
{
	static struct tally t;
	struct run_script played = *script;
	if (getenv("FLIP_LARGE"))
		played.journal_bytes = 256 * KIB;
	struct run *run = run_play(&played, 1);
	struct told none = {.last = ""};
	char verdict[160];
	double started = sweep_clock();
	t = (struct tally){.run = run, .clean = script == &clean_script};
	sim_disk_close_all(run->disk);
	struct sim_disk *as_it_is = sim_disk_clone(run->disk);
	judge(run, as_it_is, &none, verdict, sizeof(verdict));
	sim_disk_free(as_it_is);
	t.usual = told;
	each_file(&t, SIM_ROOT, "", fn);
	printf("%s: %llu changes, %.1f CPU-s\n", script->name, (unsigned long long)t.all,
	    sweep_clock() - started);
	for (int i = 0; i < t.seen_count; i++)
		printf("  %8llu %-32s %s\n", (unsigned long long)t.seen[i].count, t.seen[i].region,
		    t.seen[i].verdict);
	run_free(run);
	assert_int_equal(t.failures, 0);
	if (stride(0, 0) == 1 && fn == flip_bits)
		assert_int_equal(lines_not_met(&t, flip_wants), 0);
	if (stride(0, 0) == 1 && fn == change_length)
		assert_int_equal(lines_not_met(&t, cut_wants) + lines_not_met(&t, longer_wants), 0);
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
