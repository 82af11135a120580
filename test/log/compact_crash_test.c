/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compaction under power cuts and against a model, on the simulated disk.
 *
 *   each operation   a compaction is recorded; the disk is cut after each of its operations, in
 * every way that the disk's fault model has for what is not durable (sampled where there are many).
 * What a consumer makes of the log (newest value of each key) is the same after each, fsck finds
 * nothing worse than what a start puts right, and another compaction brings it to the same end.
 *   model            random puts, tombstones, aborted and committed transactions, compactions,
 * restarts, cuts in the middle; after each a reader sees the newest value of each key and no key
 * that was deleted
 *
 * KAPPA_TEST_SEED repeats one seed, KAPPA_TEST_RUNS says how many are tried.
 */
#include "log/catalog.h"
#include "log/catalog_change.h"
#include "log/compact.h"
#include "log/engine.h"
#include "test/lib/keyed_log.h"
#include "test/lib/seed.h"
#include <stdio.h>
#include <stdlib.h>

#define assert_ok(expr) assert_int_equal((expr), ERR_OK)
enum { KEYS = 12 };

static void quiet(void *ctx, const char *line)
{
	(void)ctx;
	(void)line;
}

/* ---- each operation --------------------------------------------------------------------------- */

struct expected {
	char value[KEYS][64]; /* "" = none */
	int64_t log_end;
	uint64_t states;
	uint64_t seed;
	size_t op;
};

static void key_name(char *buf, size_t len, int key)
{
	snprintf(buf, len, "k%d", key);
}

static void expect(struct keyed_log *k, struct expected *e)
{
	struct keyed_rows rows;
	keyed_read(k, "t", &rows);
	for (int i = 0; i < KEYS; i++) {
		char key[16];
		key_name(key, sizeof(key), i);
		const char *value = keyed_value(&rows, key);
		snprintf(e->value[i], sizeof(e->value[i]), "%s", value ? value : "");
	}
	e->log_end = keyed_partition(k, "t")->log_end;
	keyed_rows_release(&rows);
}

static void check_same(struct keyed_log *k, const struct expected *e)
{
	struct expected now = {0};
	expect(k, &now);
	assert_int_equal(now.log_end, e->log_end);
	for (int i = 0; i < KEYS; i++)
		assert_string_equal(now.value[i], e->value[i]);
	struct log_status st;
	log_status(k->log, &st);
	assert_int_equal(st.damaged_partitions, 0);
}

static bool check_crash(void *ctx, struct sim_disk *after)
{
	struct expected *e = ctx;
	struct keyed_log k;
	e->states++;
	keyed_init_disk(&k, sim_disk_clone(after), e->seed);
	keyed_fsck(&k, NULL, 0);
	keyed_open(&k);
	check_same(&k, e);
	if (e->states % 7 == 0) { /* the rest of it, and nothing is left over */
		keyed_compact(&k);
		check_same(&k, e);
		struct io_names names;
		keyed_sleep(&k, S_NS);
		assert_ok(io_list(k.io, "/data/topics/t-0", &names));
		for (size_t i = 0; i < names.count; i++)
			assert_null(strstr(names.name[i], ".new"));
		io_names_release(&names);
		keyed_close(&k);
		keyed_fsck(&k, NULL, 0);
	}
	keyed_release(&k);
	return true;
}

static void fill(struct keyed_log *k)
{
	const char *const configs[] = {
	    "cleanup.policy=compact", "min.cleanable.dirty.ratio=0", NULL};
	char key[16], value[16];
	keyed_create(k, "t", 5000, configs);
	for (int i = 0; i < 90; i++) {
		/* the first ones are the only ones of their keys */
		key_name(key, sizeof(key), i < 4 ? KEYS - 1 - i : (i * 7) % (KEYS - 4));
		snprintf(value, sizeof(value), "v%d", i);
		keyed_put(k, "t", key, i % 9 == 8 ? NULL : value);
	}
	keyed_sleep(k, 100 * MS_NS);
	topic_of(keyed_partition(k, "t")->topic)->pub.config.segment_bytes = 7000;
}

static void a_cut_at_each_operation_of_a_compaction_loses_nothing(void **state)
{
	(void)state;
	struct keyed_log k;
	struct expected e = {.seed = test_seed(11)};
	const struct sim_crash_plan plan = {.exhaustive_max = 5, .random_count = 3, .seed = e.seed};
	if (!getenv("KAPPA_TEST_VERBOSE"))
		diag_set_sink(quiet, NULL);
	keyed_init(&k, e.seed, true);
	fill(&k);
	expect(&k, &e);
	size_t from = sim_io_op_count(k.io);
	keyed_compact(&k);
	keyed_sleep(&k, S_NS); /* the old files are unlinked */
	size_t to = sim_io_op_count(k.io);
	size_t stride = getenv("KAPPA_TEST_SMALL") ? 9 : 1;
	check_same(&k, &e);
	struct log_partition *p = keyed_partition(&k, "t");
	assert_int_equal(partition_segment(p, 0)->generation, 1);
	assert_in_range(p->segment_count, 3, 7);
	struct sim_disk *disk = sim_disk_new(0);
	for (size_t i = 0; i < to; i++) {
		e.op = i;
		if (i >= from && (i - from) % stride == 0)
			sim_disk_each_crash(disk, &plan, check_crash, &e);
		assert_int_equal(sim_disk_apply(disk, sim_io_op(k.io, i)), 0);
	}
	sim_disk_each_crash(disk, &plan, check_crash, &e);
	sim_disk_free(disk);
	keyed_release(&k);
	diag_set_sink(NULL, NULL);
	printf("%zu operations, %llu states\n", to - from, (unsigned long long)e.states);
	assert_true(to - from > 30);
}

/* ---- model ------------------------------------------------------------------------------------ */

struct model {
	struct keyed_log k;
	struct prng prng;
	uint64_t seed;
	int64_t value[KEYS]; /* 0 = none or deleted */
	int64_t next;
	int32_t sequence[3]; /* of producers 1 to 2 */
	int64_t ends;        /* of the log */
	unsigned compactions;
};

static uint64_t below(struct model *m, uint64_t bound)
{
	return prng_below(&m->prng, bound);
}

static void model_put(struct model *m)
{
	struct keyed_record r[4];
	char key[4][16], value[4][64];
	size_t count = 1 + below(m, 4);
	struct keyed_how how = KEYED_PLAIN;
	int kind = (int)below(m, 5); /* 0 aborted, 1 committed, 2 idempotent */
	int producer = 1 + (int)below(m, 2);
	if (kind < 3)
		how = (struct keyed_how){.producer_id = producer,
		    .sequence = m->sequence[producer],
		    .attributes = kind < 2 ? BATCH_ATTR_TRANSACTIONAL : 0};
	how.codec = (int)below(m, BATCH_CODECS);
	for (size_t i = 0; i < count; i++) {
		int at = (int)below(m, KEYS);
		bool tombstone = below(m, 4) == 0;
		key_name(key[i], sizeof(key[i]), at);
		snprintf(value[i], sizeof(value[i]), "%lld", (long long)++m->next);
		r[i] = (struct keyed_record){key[i], tombstone ? NULL : value[i], 0};
		if (kind != 0)
			m->value[at] = tombstone ? 0 : m->next;
	}
	keyed_append(&m->k, "t", r, count, &how);
	if (kind < 3)
		m->sequence[producer] += (int32_t)count;
	if (kind < 2)
		keyed_marker(&m->k, "t", producer, 0, kind == 1);
	m->ends = keyed_partition(&m->k, "t")->log_end;
}

/* Aborted records are in the log until compaction takes them: a reader of committed ones skips
 * them, this one knows which values were never committed. */
static void model_check(struct model *m, bool compacted)
{
	struct keyed_rows rows;
	struct log_partition *p = keyed_partition(&m->k, "t");
	keyed_read(&m->k, "t", &rows);
	assert_int_equal(p->log_end, m->ends);
	for (int i = 0; i < KEYS && compacted; i++) {
		char key[16];
		key_name(key, sizeof(key), i);
		const char *value = keyed_value(&rows, key);
		if ((value ? atoll(value) : 0) != m->value[i])
			fail_msg("seed %llu: %s is %s, not %lld: %s", (unsigned long long)m->seed,
			    key, value ? value : "gone", (long long)m->value[i], keyed_text(&rows));
	}
	keyed_rows_release(&rows);
	struct log_status st;
	log_status(m->k.log, &st);
	assert_int_equal(st.damaged_partitions, 0);
}

static void small_segments(struct model *m)
{
	topic_of(keyed_partition(&m->k, "t")->topic)->pub.config.segment_bytes = 1500;
	m->k.log->options.compact_map_bytes = below(m, 2) ? 64 * 24 : 32 * MIB;
	m->k.log->options.compact_producers = below(m, 2) ? 2 : PRODUCERS_MAX;
}

static void model_cut(struct model *m, bool whole)
{
	uint64_t seed = prng_u64(&m->prng);
	struct keyed_log after;
	struct sim_disk *disk =
	    whole ? sim_io_cut_power(m->k.io, seed) : sim_io_kill(m->k.io, seed);
	keyed_release(&m->k);
	keyed_init_disk(&after, disk, seed);
	m->k = after;
	keyed_fsck(&m->k, NULL, 0);
	keyed_open(&m->k);
	small_segments(m);
}

/* All that is there has been rolled and compacted: aborted records are gone. */
static void model_settle(struct model *m)
{
	partition_roll_soon(keyed_partition(&m->k, "t"));
	const struct keyed_record r = {"end", "x", 0};
	keyed_append(&m->k, "t", &r, 1, &KEYED_PLAIN);
	m->ends = keyed_partition(&m->k, "t")->log_end;
	keyed_sleep(&m->k, 301 * S_NS);
	keyed_compact(&m->k);
	m->compactions++;
}

static void model_step(struct model *m)
{
	struct compactor *c = m->k.log->catalog->compactor;
	switch (below(m, 40)) {
	case 0:
		keyed_close(&m->k);
		keyed_fsck(&m->k, NULL, 0);
		keyed_open(&m->k);
		small_segments(m);
		model_check(m, false);
		break;
	case 1:
	case 2: /* in the middle of a compaction */
		keyed_sleep(&m->k, (int64_t)below(m, 100) * MS_NS);
		compactor_run(c);
		for (uint64_t turns = below(m, 60); turns > 0; turns--)
			assert_ok(loop_step(m->k.loop, 0));
		model_cut(m, below(m, 3) > 0);
		model_check(m, false);
		break;
	case 3:
		compactor_run(c); /* beside what follows */
		break;
	case 4:
		keyed_sleep(&m->k, (int64_t)below(m, 3000) * MS_NS);
		break;
	default:
		model_put(m);
	}
}

static void model_run(struct model *m, uint64_t seed)
{
	const char *const configs[] = {"cleanup.policy=compact", "min.cleanable.dirty.ratio=0",
	    "delete.retention.ms=1000", NULL};
	memset(m, 0, sizeof(*m));
	m->seed = seed;
	prng_init(&m->prng, seed);
	map_set_seed(seed);
	keyed_init(&m->k, seed, false);
	keyed_create(&m->k, "t", 1500, configs);
	for (int round = 0; round < 3; round++) {
		for (uint64_t steps = 20 + below(m, 60); steps > 0; steps--)
			model_step(m);
		model_settle(m);
		model_check(m, true);
	}
	keyed_close(&m->k);
	keyed_fsck(&m->k, NULL, 0);
	keyed_open(&m->k);
	model_check(m, true);
	keyed_release(&m->k);
}

static void readers_see_the_newest_of_each_key_whatever_happens(void **state)
{
	(void)state;
	const char *runs = getenv("KAPPA_TEST_RUNS");
	uint64_t seed = test_seed(1), count = getenv("KAPPA_TEST_SMALL") ? 8 : 40;
	count = runs ? strtoull(runs, NULL, 10) : count;
	struct model *m = calloc(1, sizeof(*m));
	assert_non_null(m);
	if (!getenv("KAPPA_TEST_VERBOSE"))
		diag_set_sink(quiet, NULL);
	for (uint64_t i = 0; i < count; i++) {
		if (getenv("KAPPA_TEST_VERBOSE"))
			printf("seed %llu\n", (unsigned long long)(seed + i));
		model_run(m, seed + i);
	}
	diag_set_sink(NULL, NULL);
	free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_cut_at_each_operation_of_a_compaction_loses_nothing),
	    cmocka_unit_test(readers_see_the_newest_of_each_key_whatever_happens),
	};
	return cmocka_run_group_tests_name("compact_crash", tests, NULL, NULL);
}
