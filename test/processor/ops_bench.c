/* SPDX-License-Identifier: Apache-2.0 */
/* Rows per second of the operators, one thread, batches of 4,096 rows built beforehand: `make
 * bench-ops`. Prints, judges nothing. */
#include "log/base/prng.h"
#include "test/lib/sql_fixture.h"
#include "processor/op/op.h"
#include "test/lib/test.h"

#include <stdio.h>
#include <time.h>

enum { BATCHES = 128, ROWS = BATCH_ROWS_MAX, COLUMNS = 6 };
static const char table_sql[] = "CREATE TABLE t (k bigint, s text, x integer, n numeric(12,2), ts "
                                "timestamptz, u text) WITH (topic = 't');";

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* others may share the machine */
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static enum err ignore_rows(
    void *ctx, const struct batch *rows, const struct op_change *changes, uint32_t count)
{
	(void)rows;
	(void)changes;
	*(uint64_t *)ctx += count;
	return ERR_OK;
}

static void ignore_error(void *ctx, const struct op_error *e)
{
	(void)ctx;
	(void)e;
}

/* k < keys; s = one of min(keys, 1000) names; u = unique; ts advances 1 ms per row. */
static void fill(struct arena *a, const struct plan *source, uint64_t keys, struct batch *batches)
{
	struct prng p;
	uint64_t number = 0;
	struct type types[COLUMNS + HIDDEN_COUNT];
	prng_init(&p, 1);
	for (uint32_t c = 0; c < source->column_count; c++)
		types[c] = source->columns[c].type;
	for (uint32_t i = 0; i < BATCHES; i++) {
		struct batch *b = &batches[i];
		assert_int_equal(batch_init(b, a, types, source->column_count, ROWS), ERR_OK);
		b->origin = arena_calloc(a, ROWS, sizeof *b->origin);
		for (uint32_t r = 0; r < ROWS; r++, number++) {
			uint64_t k = prng_below(&p, keys);
			b->origin[r].sequence = number + 1;
			b->cols[0].i[r] = (int64_t)k;
			b->cols[1].s[r] = str_of(arena_printf(a, "product-%lu", k % 1000));
			b->cols[2].i[r] = (int64_t)prng_below(&p, 1000);
			b->cols[3].num[r] = (struct numeric){(int128)prng_below(&p, 100000), 2};
			b->cols[4].i[r] = 1740787200000000 + (int64_t)number * 1000;
			b->cols[5].s[r] = str_of(arena_printf(a, "payment-%lu", number));
			b->cols[COLUMNS + HIDDEN_SEQUENCE].i[r] = (int64_t)number + 1;
			b->cols[COLUMNS + HIDDEN_POS].i[r] = 0;
		}
	}
}

/* Operators may move rows inside the columns they are given, so columns go back and forth: a
 * filtered batch is another one in the next round, of the same length. */
static struct batch take(const struct batch *b, struct arena *a)
{
	struct batch c = *b;
	c.cols = arena_alloc(a, c.column_count * sizeof *c.cols);
	memcpy(c.cols, b->cols, c.column_count * sizeof *c.cols);
	return c;
}

static const char *only; /* run the cases whose name has this in it */

static void run(const char *name, const char *sql, uint64_t keys, uint32_t rounds)
{
	static struct batch batches[BATCHES];
	if (only && !strstr(name, only))
		return;
	struct sql_fixture sf;
	struct arena a, scratch;
	struct op_tree *tree;
	uint64_t changes = 0;
	struct op_env env = {.ctx = &changes, .sink = ignore_rows, .error = ignore_error};
	sql_fixture_init(&sf);
	sql_fixture_run(&sf, table_sql);
	struct view_plan *plan =
	    sql_fixture_run(&sf, arena_printf(&sf.arena, "CREATE MATERIALIZED VIEW v AS %s", sql));
	arena_init(&a, 4 * GIB);
	arena_init(&scratch, 1 * GIB);
	fill(&a, plan->sources[0], keys, batches);
	assert_int_equal(op_build(plan, &env, &tree), ERR_OK);
	double from = seconds();
	for (uint32_t round = 0; round < rounds; round++)
		for (uint32_t i = 0; i < BATCHES; i++) {
			struct batch b = take(&batches[i], &scratch);
			if (op_push(tree, 0, &b) != ERR_OK)
				fail_msg("%s", err_chain());
			arena_clear(&scratch);
		}
	double pushed = seconds();
	assert_int_equal(op_flush(tree), ERR_OK);
	double flushed = seconds();
	struct op_stats stats;
	op_stats(tree, &stats);
	double rows = (double)rounds * BATCHES * ROWS;
	printf("%-46s %7.1f M rows/s  %5.1f ns/row  flush %7.3f ms  %7lu changes  %6.1f MiB\n",
	    name, rows / (pushed - from) / 1e6, (pushed - from) * 1e9 / rows,
	    (flushed - pushed) * 1e3, changes, (double)stats.memory_bytes / (1 << 20));
	op_free(tree);
	arena_release(&a);
	arena_release(&scratch);
	sql_fixture_release(&sf);
}

int main(int argc, char **argv)
{
	only = argc > 1 ? argv[1] : NULL;
	run("count, sum by bigint, 1 K groups", "SELECT k, count(*), sum(x) FROM t GROUP BY k",
	    1000, 8);
	run("count, sum by bigint, 100 K groups", "SELECT k, count(*), sum(x) FROM t GROUP BY k",
	    100000, 80);
	run("count, sum by bigint, 1 M groups", "SELECT k, count(*), sum(x) FROM t GROUP BY k",
	    1000000, 4);
	run("count, sum by text, 1 K groups", "SELECT s, count(*), sum(x) FROM t GROUP BY s", 1000,
	    8);
	run("5 aggregates by text, numeric",
	    "SELECT s, count(*), sum(n), avg(n), min(x), max(ts) FROM t GROUP BY s", 1000, 4);
	run("revenue per product and minute",
	    "SELECT window_start, s, sum(n), count(*) FROM tumble(t, ts, interval '1 minute')"
	    " GROUP BY window_start, s",
	    1000, 4);
	run("count distinct, 1 K groups", "SELECT s, count(DISTINCT x) FROM t GROUP BY s", 1000, 4);
	run("distinct on unique text",
	    "SELECT DISTINCT ON (u) u, k, x FROM t ORDER BY u, _sequence, _pos", 1000, 1);
	run("distinct on bigint, mostly seen",
	    "SELECT DISTINCT ON (k) k, u, x FROM t ORDER BY k, _sequence, _pos", 10000, 4);
	run("filter keeps 1 in 100, project", "SELECT k, x * 2 + 1 AS y FROM t WHERE x < 10", 1000,
	    4);
	run("filter LIKE '%42%'", "SELECT k FROM t WHERE u LIKE '%4242%'", 1000, 4);
	run("filter regular expression", "SELECT k FROM t WHERE u ~ '42{2,}'", 1000, 1);
	run("project numeric", "SELECT k, n * 0.908 AS eur FROM t", 1000, 2);
	return 0;
}
