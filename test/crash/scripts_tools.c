/* SPDX-License-Identifier: Apache-2.0 */
/* Scripts about changes of topics, lookups, the scrubber and programs on a directory at rest. */
#include "log/scrub.h"
#include "test/crash/run.h"

static const char *const small[] = {"segment.bytes=5200", NULL};

static void fill(struct run *r, int topic, int partitions, int rounds)
{
	for (int i = 0; i < rounds; i++) {
		run_append_keys(r, topic, i % partitions, i % 2 ? "abcdefgh" : "ab");
		run_append(r, topic, i % partitions, 1, 300);
		run_drain(r);
	}
}

/* A topic changes while it is written: its segments, then its partitions. */
void script_alters(struct run *r)
{
	int a = run_topic_create(r, "a", 1, small), b = run_topic_create(r, "b", 2, NULL);
	fill(r, a, 1, 3);
	run_alter(r, a, 9000);
	run_append(r, b, 1, 1, 200);
	run_grow(r, a, 3);
	fill(r, a, 3, 4);
	run_rest(r, 1200 * MS_NS);
	run_alter(r, a, 5000);
	run_append(r, a, 2, 1, 4000);
	run_append(r, a, 2, 1, 4000);
	run_drain(r);
	run_kill(r);
	run_start(r);
	run_grow(r, b, 3);
	run_append(r, b, 2, 1, 50);
	run_alter(r, b, 7000);
	run_drain(r);
	run_stop(r);
	run_start(r);
	fill(r, a, 3, 2);
}

/* Each batch is found, in segments whose index is in memory, on the disk, and gone. */
void script_lookups(struct run *r)
{
	int a = run_topic_create(r, "a", 1, small);
	fill(r, a, 1, 7);
	run_lookups(r, a, 0);
	run_rest(r, 1200 * MS_NS);
	run_lookups(r, a, 0);
	run_kill(r);
	run_start(r);
	run_lookups(r, a, 0);
	fill(r, a, 1, 2);
	run_stop(r);
	run_start(r);
	run_lookups(r, a, 0);
}

/* The scrubber comes by while there is work, again and again. */
void script_scrubs(struct run *r)
{
	int a = run_topic_create(r, "a", 2, small);
	fill(r, a, 2, 6);
	run_rest(r, 1500 * MS_NS);
	fill(r, a, 2, 2);
	run_rest(r, 800 * MS_NS);
	while (scrub_busy(r->log->scrub)) /* what it found is told */
		run_turns(r, 1);
	run_kill(r);
	run_start(r);
	run_rest(r, 800 * MS_NS);
	fill(r, a, 2, 1);
}

/* After a clean stop, and after a kill with a journal that has work to do. */
static void at_rest(struct run *r, void (*tool)(struct run *r))
{
	int a = run_topic_create(r, "a", 2, small), b = run_topic_create(r, "b", 1, NULL);
	fill(r, a, 2, 6);
	run_append_txn(r, 0, b, 0, "ab");
	run_append_from(r, b, 0, 7, 0);
	run_drain(r);
	run_txn_end(r, 0, false);
	run_drain(r);
	run_stop(r);
	tool(r);
	run_start(r);
	fill(r, a, 2, 2);
	run_append(r, b, 0, 1, 1500);
	run_drain(r);
	run_kill(r);
	tool(r);
	run_start(r);
	run_append(r, b, 0, 1, 50);
	run_drain(r);
}

void script_fscks(struct run *r)
{
	at_rest(r, run_fsck);
}

void script_salvages(struct run *r)
{
	at_rest(r, run_salvage);
}

/* A journal that is lost after a clean stop: everything is in the segments. */
void script_rebuilds(struct run *r)
{
	int a = run_topic_create(r, "a", 2, small);
	fill(r, a, 2, 6);
	run_append_txn(r, 0, a, 0, "ab");
	run_append_from(r, a, 1, 7, 0);
	run_drain(r);
	run_stop(r);
	run_rebuild(r);
	run_start(r);
	run_txn_end(r, 0, true);
	fill(r, a, 2, 2);
	run_stop(r);
	run_rebuild(r);
	run_start(r);
	fill(r, a, 2, 1);
}

void script_exports(struct run *r)
{
	int a = run_topic_create(r, "a", 2, small);
	fill(r, a, 2, 6);
	run_stop(r);
	run_export(r, a);
	run_start(r);
	run_append_txn(r, 0, a, 0, "ab");
	run_txn_end(r, 0, false);
	fill(r, a, 2, 1);
	run_stop(r);
	run_export(r, a);
	run_start(r);
}

/* Two topics come from Kafka, beside one that is there. */
void script_imports(struct run *r)
{
	int a = run_topic_create(r, "a", 1, small);
	fill(r, a, 1, 2);
	run_stop(r);
	int k = run_import(r, "k", 4, 200);
	run_append(r, k, 0, 1, 80);
	run_append(r, a, 0, 1, 80);
	run_drain(r);
	run_stop(r);
	int l = run_import(r, "l", 3, 500);
	run_append(r, l, 0, 1, 80);
	run_drain(r);
	run_kill(r);
	run_start(r);
	run_append(r, k, 0, 1, 80);
	run_drain(r);
}
