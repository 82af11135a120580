/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workloads whose cuts are enumerated. Small on purpose: a state costs what its recovery costs,
 * and the states worth having differ in order and kind of operations, not in their number.
 */
#include "test/crash/run.h"

/* Rounds of one and of several partitions, side by side; marks and checkpoints between. */
static void appends(struct run *r)
{
	int a = run_topic_create(r, "a", 2, NULL), b = run_topic_create(r, "b", 1, NULL);
	run_append(r, a, 0, 1, 40);
	run_drain(r);
	for (int i = 0; i < 3; i++) {
		run_append(r, a, i % 2, 1 + i, 60);
		run_append(r, b, 0, 1, 300);
		run_turns(r, 1);
	}
	run_drain(r);
	run_rest(r, 1200 * MS_NS); /* a mark, then a checkpoint */
	for (int i = 0; i < 3; i++) {
		run_append(r, a, 1, 2, 100);
		run_append(r, b, 0, 1, 10);
		run_drain(r);
	}
}

static void sets(struct run *r)
{
	int a = run_topic_create(r, "a", 2, NULL), b = run_topic_create(r, "b", 2, NULL);
	const int abab[] = {a, b, a, b};
	for (int i = 0; i < 4; i++) {
		run_append_set(r, abab, 2 + i % 3, 30 + (size_t)i * 200);
		run_append(r, a, 0, 1, 20);
		if (i % 2)
			run_drain(r);
		else
			run_turns(r, 2);
	}
	run_drain(r);
	run_rest(r, 1200 * MS_NS);
	run_append_set(r, abab, 4, 700);
	run_drain(r);
}

/* The journal goes round: an entry overwrites what a checkpoint has freed. */
static void laps(struct run *r)
{
	int a = run_topic_create(r, "a", 1, NULL);
	for (int i = 0; i < 16; i++) {
		run_append(r, a, 0, 1, 200);
		run_append(r, a, 0, 1, 100);
		if (i % 3 == 0)
			run_append(r, a, 0, 1, 2500);
		run_drain(r);
	}
}

static const char *const tiny_segments[] = {"segment.bytes=5200", NULL};

static void rolls(struct run *r)
{
	int a = run_topic_create(r, "a", 2, tiny_segments);
	for (int i = 0; i < 10; i++) {
		run_append(r, a, i % 2, 1 + i % 2, 280);
		run_append(r, a, 0, 1, 60);
		if (i % 3 == 0)
			run_drain(r);
		else
			run_turns(r, 2);
		if (i == 6)
			run_rest(r, 1200 * MS_NS);
	}
	run_drain(r);
}

static void trims(struct run *r)
{
	int a = run_topic_create(r, "a", 1, tiny_segments);
	for (int i = 0; i < 9; i++) {
		run_append(r, a, 0, 2, 200);
		run_drain(r);
		if (i == 3)
			run_trim(r, a, 0, 3); /* inside a segment */
		if (i == 6)
			run_trim(r, a, 0, 9);
	}
	run_drain(r);
	run_rest(r, 1200 * MS_NS);
	run_trim(r, a, 0, 18); /* everything */
	run_drain(r);
	run_append(r, a, 0, 1, 50);
	run_drain(r);
	run_kill(r);
	run_start(r);
	run_append(r, a, 0, 1, 50);
	run_drain(r);
}

/* Topics come, go, and come again under the name of one that is gone. */
static void topics(struct run *r)
{
	int a = run_topic_create(r, "a", 2, NULL), b = run_topic_create(r, "b", 1, tiny_segments);
	run_append(r, a, 0, 1, 100);
	run_append(r, b, 0, 1, 600);
	run_drain(r);
	run_append(r, b, 0, 1, 900);
	run_append(r, a, 1, 1, 100);
	run_topic_delete_start(r, a);
	run_drain(r);
	int c = run_topic_create(r, "a", 1, NULL);
	run_append(r, c, 0, 1, 50);
	run_rest(r, 300 * MS_NS);
	run_topic_delete(r, b);
	run_append(r, c, 0, 2, 50);
	run_drain(r);
	run_kill(r);
	run_start(r);
	int d = run_topic_create(r, "b", 1, NULL);
	run_append(r, d, 0, 1, 50);
	run_append(r, c, 0, 1, 50);
	run_drain(r);
}

/* A table whose snapshots let old segments go. */
static void tables(struct run *r)
{
	int64_t value = 0;
	for (int i = 0; i < 16; i++) {
		run_put(r, i % RUN_KEYS, i % 5 == 4 ? 0 : ++value);
		if (i % 4 == 3) {
			run_drain(r);
			run_roll_table(r);
		} else {
			run_turns(r, 1);
		}
	}
	run_drain(r);
	run_rest(r, 1200 * MS_NS);
	run_put(r, 0, ++value);
	run_drain(r);
}

/* Topics that opted out: what was told and lost is named, and its sequences are not given again. */
static void lazies(struct run *r)
{
	static const char *const none[] = {"kappa.durability=none", NULL};
	static const char *const interval[] = {"kappa.durability=interval", NULL};
	int n = run_topic_create(r, "n", 1, none), i = run_topic_create(r, "i", 1, interval);
	int f = run_topic_create(r, "f", 1, NULL);
	for (int k = 0; k < 4; k++) {
		run_append(r, n, 0, 1, 80);
		run_append(r, i, 0, 2, 40);
		run_turns(r, 2);
		run_append(r, f, 0, 1, 200);
		run_turns(r, 1);
	}
	run_drain(r);
	run_append(r, n, 0, 1, 300);
	run_turns(r, 1);
	run_kill(r);
	run_start(r);
	run_append(r, n, 0, 1, 80);
	run_append(r, f, 0, 1, 80);
	run_drain(r);
	run_rest(r, 1200 * MS_NS);
	run_append(r, i, 0, 1, 80);
	run_drain(r);
}

static void producers(struct run *r)
{
	int a = run_topic_create(r, "a", 1, tiny_segments);
	int last = 0;
	for (int32_t i = 0; i < 6; i++) {
		run_append_from(r, a, 0, 7, i);
		run_append_from(r, a, 0, 8, i);
		run_append(r, a, 0, 1, 250);
		last = r->batch_count - 1;
		run_drain(r);
		if (i == 3)
			run_append_again(r, last);
	}
	run_stop(r); /* writes snapshots */
	run_start(r);
	run_append_again(r, last);
	run_append_from(r, a, 0, 8, 6);
	run_drain(r);
	run_kill(r);
	run_start(r);
	run_append_from(r, a, 0, 8, 7);
	run_drain(r);
}

/* Starts of all kinds, each of them cut short at every operation too. */
static void starts(struct run *r)
{
	int a = run_topic_create(r, "a", 2, NULL);
	run_append(r, a, 0, 1, 100);
	run_drain(r);
	run_stop(r);
	run_start(r); /* clean, nothing new */
	run_stop(r);
	run_start(r);
	run_append(r, a, 1, 1, 1200);
	run_drain(r);
	run_append(r, a, 0, 1, 100);
	run_turns(r, 1);
	run_kill(r); /* in mid-air */
	run_start(r);
	run_kill(r); /* nothing was written between two starts */
	run_start(r);
	run_append(r, a, 0, 1, 100);
	run_drain(r);
	run_stop(r);
}

/* Much at once, few checkpoints: many sectors in doubt. */
static void bursts(struct run *r)
{
	int a = run_topic_create(r, "a", 2, NULL), b = run_topic_create(r, "b", 1, NULL);
	for (int round = 0; round < 5; round++) {
		run_append(r, a, 0, 1, 1500);
		run_append(r, a, 1, 1, 900);
		run_append(r, b, 0, 4, 150);
		run_append(r, a, 0, 1, 400);
		if (round != 1)
			run_drain(r);
		else
			run_turns(r, 3);
	}
	run_drain(r);
}

/* Fewer descriptors than partitions. */
static void descriptors(struct run *r)
{
	int a = run_topic_create(r, "a", 4, NULL);
	for (int i = 0; i < 10; i++) {
		run_append(r, a, i % 4, 1, 120);
		if (i % 2)
			run_drain(r);
	}
	run_drain(r);
	run_kill(r);
	run_start(r);
	for (int i = 0; i < 4; i++)
		run_append(r, a, i, 1, 50);
	run_drain(r);
}

/* Large batches go to their segment alone, past the page cache, and the journal only names them. */
static void directs(struct run *r)
{
	int a = run_topic_create(r, "a", 2, NULL), b = run_topic_create(r, "b", 1, NULL);
	const int ab[] = {a, b};
	run_append(r, a, 0, 1, 1500);
	run_drain(r);
	for (int i = 0; i < 3; i++) {
		run_append(r, a, 0, 1, 1200); /* DIRECT */
		run_append(r, a, 1, 1, 60);
		run_append(r, b, 0, 1, i == 1 ? 2500 : 90);
		run_turns(r, 2);
	}
	run_drain(r);
	run_rest(r, 1200 * MS_NS);
	run_append(r, a, 0, 1, 100);
	run_append_set(r, ab, 2, 1300);
	run_turns(r, 3);
	run_kill(r); /* perhaps in the middle of it */
	run_start(r);
	run_append(r, a, 0, 1, 1100);
	run_drain(r);
}

static void direct_rolls(struct run *r)
{
	static const char *const segments[] = {"segment.bytes=20000", NULL};
	int a = run_topic_create(r, "a", 1, segments);
	for (int i = 0; i < 6; i++) {
		run_append(r, a, 0, 1, 1000 + (size_t)i * 300);
		run_append(r, a, 0, 1, 100);
		run_drain(r);
	}
	run_trim(r, a, 0, 5);
	run_drain(r);
}

/* Turns until a checkpoint is under way, or none is any more. */
static void await_checkpoint(struct run *r, bool busy)
{
	for (int i = 0;
	     i < 2000 && !r->log->failed && (r->log->checkpointer.state != CHECKPOINT_IDLE) != busy;
	     i++)
		run_turns(r, 1);
}

/*
 * Who does not wait for the disk is told and shown something while the checkpoint's record is made,
 * or when nothing is in the journal behind it. (Batches that are DIRECT end at a block: the next
 * one needs no image of it, and so does not wait for the round either.)
 */
static void lazy_checkpoints(struct run *r)
{
	static const char *const none[] = {"kappa.durability=none", NULL};
	int n = run_topic_create(r, "n", 1, none);
	int f[] = {run_topic_create(r, "f", 4, NULL), run_topic_create(r, "g", 4, NULL)};
	for (int i = 0; i < 6; i++) {
		run_append(r, n, 0, 1, 1200);
		for (int k = 0; k < 8; k++)
			run_append(r, f[k % 2], k / 2, 1, 40);
		run_drain(r);
		await_checkpoint(r, true);
		if (i % 2)
			await_checkpoint(r, false);
		for (int k = 0; k < 12 && (k == 0 || r->log->checkpointer.state); k++) {
			run_append(r, n, 0, 1, 1100);
			run_turns(r, 1);
		}
		run_drain(r);
	}
}

/* ---- segments written anew ------------------------------------------------------------------- */

static const char *const compacted[] = {"cleanup.policy=compact", "segment.bytes=5000",
    "min.cleanable.dirty.ratio=0", "delete.retention.ms=0", NULL};

/* Old generations go when the new one is durable; a second pass takes tombstones and merges. */
static void compactions(struct run *r)
{
	static const char *const keys[] = {"ab", "c", "aB", "cd", "e", "aC", "b", "dE", "f", "a"};
	int a = run_topic_create(r, "a", 1, compacted), b = run_topic_create(r, "b", 1, NULL);
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		run_append_keys(r, a, 0, keys[i]);
		run_append_keys(r, a, 0, keys[(i * 7 + 3) % 10]);
		if (i % 3 == 2)
			run_append(r, b, 0, 1, 200);
		run_drain(r);
	}
	run_compact(r);
	run_append_keys(r, a, 0, "ag");
	run_append(r, b, 0, 1, 60);
	run_append_keys(r, a, 0, "bcdeaf");
	run_append_keys(r, a, 0, "bcdeaf");
	run_drain(r);
	run_compact(r);
	run_kill(r);
	run_start(r);
	run_append_keys(r, a, 0, "c");
	run_drain(r);
	run_compact(r);
}

/* Appends, a trim and a kill while a new generation is written. */
static void compacting(struct run *r)
{
	static const char *const both[] = {"cleanup.policy=compact,delete", "segment.bytes=4900",
	    "min.cleanable.dirty.ratio=0", "delete.retention.ms=0", NULL};
	int a = run_topic_create(r, "a", 1, both);
	for (int i = 0; i < 9; i++) {
		run_append_keys(r, a, 0, i % 2 ? "abC" : "acdb");
		run_drain(r);
	}
	run_rest(r, 1200 * MS_NS); /* a checkpoint: the compaction begins at once */
	run_compact_start(r);
	for (int i = 0; i < 6; i++) {
		run_append_keys(r, a, 0, "ad");
		run_turns(r, 2);
		if (i == 2)
			run_trim(r, a, 0, 5);
	}
	run_drain(r);
	run_compact(r);
	run_compact_start(r);
	run_append_keys(r, a, 0, "b");
	run_turns(r, 6);
	run_kill(r);
	run_start(r);
	run_append_keys(r, a, 0, "e");
	run_drain(r);
}

/* Sealed segments get another codec; nothing is taken. */
static void recompressions(struct run *r)
{
	static const char *const lz4[] = {"compression.type=lz4", "segment.bytes=5600", NULL};
	int a = run_topic_create(r, "a", 1, lz4);
	for (int i = 0; i < 6; i++) {
		run_append_keys(r, a, 0, "abcdefgh");
		run_append(r, a, 0, 1, 30);
		run_drain(r);
	}
	run_compact(r);
	run_trim(r, a, 0, 10);
	run_append_keys(r, a, 0, "abcdefgh");
	run_drain(r);
	run_kill(r);
	run_start(r);
	run_append_keys(r, a, 0, "a");
	run_drain(r);
	run_compact(r);
}

/* ---- transactions ---------------------------------------------------------------------------- */

/* Markers into all partitions and the row about them in one round; some end at once, some later. */
static void transactions(struct run *r)
{
	int a = run_topic_create(r, "a", 2, NULL), b = run_topic_create(r, "b", 1, tiny_segments);
	run_append_txn(r, 0, a, 0, "ab");
	run_append_txn(r, 0, b, 0, "c");
	run_append_txn(r, 1, a, 0, "d");
	run_append(r, a, 0, 1, 50);
	run_drain(r);
	run_txn_end(r, 0, true);
	run_turns(r, 1);
	run_append_txn(r, 1, b, 0, "e"); /* perhaps in the round of the markers */
	run_txn_end(r, 1, false);
	run_drain(r);
	run_append_txn(r, 0, a, 1, "f");
	run_append_txn(r, 1, a, 1, "g");
	run_append_txn(r, 2, b, 0, "hijklm");
	run_txn_end(r, 1, true); /* in the round of its data */
	run_drain(r);
	run_rest(r, 1200 * MS_NS); /* what is open is in the checkpoint record */
	run_append_txn(r, 0, b, 0, "n");
	run_drain(r);
	run_kill(r); /* two are open */
	run_start(r);
	run_append(r, b, 0, 1, 40);
	run_txn_end(r, 2, false);
	run_drain(r);
	run_txn_end(r, 0, true);
	run_append_txn(r, 2, a, 1, "o");
	run_drain(r);
	run_stop(r); /* one is open; snapshots know who was aborted */
	run_start(r);
	run_txn_end(r, 2, true);
	run_drain(r);
}

/* Aborted records and markers of a compacted topic; what is open stops the compaction. */
static void compacted_transactions(struct run *r)
{
	int a = run_topic_create(r, "a", 1, compacted);
	for (int i = 0; i < 4; i++) {
		run_append_txn(r, 0, a, 0, "ab");
		run_append_txn(r, 1, a, 0, "ac");
		run_append_keys(r, a, 0, "d");
		run_txn_end(r, 0, i % 2);
		run_txn_end(r, 1, !(i % 2));
		run_drain(r);
	}
	run_append_txn(r, 2, a, 0, "a");
	run_drain(r);
	for (int i = 0; i < 5; i++) {
		run_append_keys(r, a, 0, "bd");
		run_append_keys(r, a, 0, "bD");
		run_drain(r);
	}
	run_compact(r); /* up to the open one */
	run_txn_end(r, 2, false);
	run_append_keys(r, a, 0, "e");
	run_drain(r);
	run_rest(r, 1200 * MS_NS);
	run_kill(r);
	run_start(r);
	run_append_keys(r, a, 0, "bdbd");
	run_append_keys(r, a, 0, "bdbd");
	run_drain(r);
	run_compact(r);
}

/* ---- taking away ----------------------------------------------------------------------------- */

/* A pass of retention by size and one by time, with a trim between. */
static void retention(struct run *r)
{
	static const char *const small[] = {
	    "segment.bytes=5000", "retention.bytes=11000", "retention.ms=3000", NULL};
	int a = run_topic_create(r, "a", 1, small);
	for (int i = 0; i < 12; i++) {
		run_append(r, a, 0, 2, 160);
		run_drain(r);
	}
	run_retain(r, a, 0);
	run_append(r, a, 0, 1, 100);
	run_trim(r, a, 0, 21);
	run_drain(r);
	run_rest(r, 3500 * MS_NS);
	run_append(r, a, 0, 1, 100);
	run_drain(r);
	run_retain(r, a, 0);
	run_kill(r);
	run_start(r);
	run_append(r, a, 0, 1, 100);
	run_drain(r);
	run_retain(r, a, 0);
}

/* Directories go to the trash and are emptied behind; a transaction and a compaction go with them.
 */
static void deletions(struct run *r)
{
	int a = run_topic_create(r, "a", 3, tiny_segments);
	int b = run_topic_create(r, "b", 1, compacted), c = run_topic_create(r, "c", 1, NULL);
	for (int i = 0; i < 8; i++) {
		run_append(r, a, i % 3, 1, 500);
		run_append_keys(r, b, 0, "abab");
		run_drain(r);
	}
	run_append_txn(r, 0, a, 1, "a");
	run_append(r, c, 0, 1, 50);
	run_drain(r);
	run_topic_delete_start(r, a);
	run_turns(r, 4);
	run_kill(r); /* in the middle of it */
	run_start(r);
	run_rest(r, 50 * MS_NS);
	run_compact_start(r);
	run_turns(r, 5);
	run_topic_delete(r, b);
	int d = run_topic_create(r, "b", 2, NULL);
	run_append(r, d, 1, 1, 50);
	run_append(r, c, 0, 1, 50);
	run_drain(r);
}

/*
 * What opted out beside what did not, over several lives: a flush keeps it, a clean stop keeps it,
 * a cut takes what is behind the last flush and says so.
 */
static void lazy_lives(struct run *r)
{
	static const char *const none[] = {"kappa.durability=none", "segment.bytes=5200", NULL};
	static const char *const interval[] = {"kappa.durability=interval", NULL};
	int n = run_topic_create(r, "n", 2, none), i = run_topic_create(r, "i", 1, interval);
	int f = run_topic_create(r, "f", 1, NULL);
	for (int life = 0; life < 4; life++) {
		for (int k = 0; k < 3; k++) {
			run_append(r, n, k % 2, 1, 300);
			run_append_txn(r, 0, i, 0, "a");
			run_append(r, k == 1 ? f : n, 0, 1, 30);
			run_turns(r, 2);
		}
		run_txn_end(r, 0, life % 2);
		if (life % 2) {
			run_drain(r);
			run_stop(r);
		} else {
			run_drain(r);
			run_append(r, n, 0, 1, 300);
			run_turns(r, 1);
			run_kill(r);
		}
		run_start(r);
	}
	run_append(r, f, 0, 1, 30);
	run_drain(r);
}

/* Those that differ most come first. */
const struct run_script run_scripts[] = {
    {.name = "appends", .play = appends},
    {.name = "directs", .play = directs, .direct_bytes = 1000, .journal_bytes = 512 * KIB},
    {.name = "lazies", .play = lazies},
    {.name = "compactions", .play = compactions, .rare = true},
    {.name = "transactions",
        .play = transactions,
        .rare = true,
        .table = true,
        .journal_bytes = 128 * KIB},
    {.name = "retention", .play = retention, .rare = true},
    {.name = "trims", .play = trims},
    {.name = "starts", .play = starts},
    {.name = "lazy_lives",
        .play = lazy_lives,
        .rare = true,
        .table = true,
        .journal_bytes = 128 * KIB},
    {.name = "deletions", .play = deletions, .rare = true},
    {.name = "recompressions", .play = recompressions, .rare = true},
    {.name = "compacted_transactions", .play = compacted_transactions, .rare = true},
    {.name = "compacting", .play = compacting, .rare = true},
    {.name = "laps", .play = laps},
    {.name = "rolls", .play = rolls},
    {.name = "topics", .play = topics},
    {.name = "tables", .play = tables, .table = true},
    {.name = "producers", .play = producers},
    {.name = "sets", .play = sets, .journal_bytes = 128 * KIB, .refuse_direct = true},
    {.name = "bursts", .play = bursts, .journal_bytes = 128 * KIB},
    {.name = "direct_rolls",
        .play = direct_rolls,
        .direct_bytes = 1000,
        .journal_bytes = 256 * KIB},
    {.name = "lazy_checkpoints",
        .play = lazy_checkpoints,
        .rare = true,
        .quick = true,
        .direct_bytes = 1000,
        .journal_bytes = 512 * KIB},
    {.name = "descriptors", .play = descriptors, .open_files_max = 2},
    {.name = "imports", .play = script_imports, .rare = true},
    {.name = "alters", .play = script_alters, .rare = true},
    {.name = "scrubs", .play = script_scrubs, .rare = true, .scrub = true},
    {.name = "lookups", .play = script_lookups, .cutless = true},
    {.name = "fscks", .play = script_fscks, .cutless = true},
    {.name = "salvages", .play = script_salvages, .cutless = true},
    {.name = "rebuilds", .play = script_rebuilds, .cutless = true},
    {.name = "exports", .play = script_exports, .cutless = true},
};
const size_t run_script_count = sizeof(run_scripts) / sizeof(*run_scripts);
