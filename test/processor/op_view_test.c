/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole views over 400 fixed rows against PostgreSQL's answers (test/golden/sql/rows.tsv,
 * views.tsv), however the rows are cut into batches, whenever flushes, checkpoints and restarts
 * come, and however little memory there is.
 */
#include "test/lib/golden.h"
#include "test/lib/op_fixture.h"
#include "test/lib/sql_fixture.h"
#include "test/lib/test.h"

#include <stdio.h>
#include <stdlib.h>

static const char orders_sql[] = "CREATE TABLE orders (id bigint, product text, region text, "
                                 "amount numeric(12,2), units integer, price double precision,"
                                 " rate real, paid boolean, day date, ts timestamptz, span "
                                 "interval, ratio numeric, tag uuid) WITH (topic = 'orders');";
enum { COLUMNS = 13, ROWS_MAX = 500 };
static struct op_input inputs[ROWS_MAX];
static uint32_t input_count;
static struct golden rows_file;

static int read_rows(void **state)
{
	(void)state;
	static const char *const types[COLUMNS] = {"bigint", "text", "text", "numeric(12,2)",
	    "integer", "double precision", "real", "boolean", "date", "timestamptz", "interval",
	    "numeric", "uuid"};
	struct golden_row row;
	golden_open(&rows_file, "test/golden/sql/rows.tsv");
	for (input_count = 0; golden_next(&rows_file, &row); input_count++) {
		struct datum *values = arena_calloc(&rows_file.arena, COLUMNS, sizeof *values);
		for (unsigned c = 0; c < COLUMNS; c++) {
			values[c].null = str_equal(row.fields[c], STR("~"));
			if (!values[c].null &&
			    datum_from_text(&rows_file.arena, golden_type(str_of(types[c])),
			        row.fields[c], &values[c]) != ERR_OK)
				return 1;
		}
		inputs[input_count] = (struct op_input){0, input_count + 1, 0, 1, values};
	}
	return input_count == 400 ? 0 : 1;
}

static int free_rows(void **state)
{
	(void)state;
	golden_close(&rows_file);
	return 0;
}

static uint64_t test_seed(void)
{
	const char *given = getenv("KAPPA_TEST_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 10) : 1;
	printf("KAPPA_TEST_SEED=%lu\n", seed);
	return seed;
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Lines of `text` sorted, without a last newline. */
static char *sorted_lines(struct arena *a, const char *text)
{
	char *copy = arena_cstr(a, str_of(text)), *lines[2000], *save = NULL;
	size_t n = 0, len = 0;
	for (char *l = strtok_r(copy, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
		lines[n++] = l;
	qsort(lines, n, sizeof *lines, compare_lines);
	char *out = arena_calloc(a, strlen(text) + 2, 1);
	for (size_t i = 0; i < n; i++)
		len += (size_t)snprintf(
		    out + len, strlen(text) + 2 - len, "%s%s", i ? "\n" : "", lines[i]);
	return out;
}

/* How a run goes. */
struct run {
	uint32_t batch; /* rows per push at most */
	uint32_t flush_one_in, checkpoint_one_in,
	    restart_one_in; /* chances after a push; 0 = never */
	size_t memory_bytes;
};

static bool chance(struct prng *p, uint32_t one_in)
{
	return one_in > 0 && prng_below(p, one_in) == 0;
}

/* The same rows to every source of the plan, as a runtime does whose sources share a topic. */
static void feed(struct op_fixture *f, struct prng *p, const struct run *run)
{
	uint32_t sources = f->plan->source_count;
	for (uint32_t at = 0; at < input_count;) {
		uint32_t n = 1 + (uint32_t)prng_below(p, run->batch);
		n = n < input_count - at ? n : input_count - at;
		for (uint32_t s = 0; s < sources; s++) {
			struct op_input part[ROWS_MAX];
			memcpy(part, &inputs[at], n * sizeof *part);
			for (uint32_t i = 0; i < n; i++)
				part[i].source = s;
			op_fixture_push(f, part, n);
		}
		at += n;
		if (chance(p, run->flush_one_in))
			op_fixture_flush(f);
		if (chance(p, run->checkpoint_one_in))
			op_fixture_checkpoint(f);
		if (chance(p, run->restart_one_in)) {
			op_fixture_checkpoint(f);
			op_fixture_restart(f, chance(p, 2));
		}
	}
	op_fixture_checkpoint(f);
}

static char *run_view(
    struct arena *a, const char *sql, struct prng *p, const struct run *run, bool lineage)
{
	struct sql_fixture sf;
	struct op_fixture f;
	sql_fixture_init(&sf);
	sql_fixture_run(&sf, orders_sql);
	struct view_plan *plan =
	    sql_fixture_run(&sf, arena_printf(a, "CREATE MATERIALIZED VIEW v AS %s", sql));
	op_fixture_init(&f, plan, run->memory_bytes);
	f.with_lineage = lineage;
	feed(&f, p, run);
	assert_int_equal(f.errors, 0);
	struct op_stats stats;
	op_stats(f.tree, &stats);
	assert_int_equal(stats.dirty, 0);
	char *rows = sorted_lines(a, op_fixture_rows(&f));
	op_fixture_release(&f);
	sql_fixture_release(&sf);
	return rows;
}

static void check_views(const struct run *run, const char *what)
{
	struct golden g;
	struct golden_row row;
	struct prng p;
	int wrong = 0, views = 0;
	prng_init(&p, test_seed());
	golden_open(&g, "test/golden/sql/views.tsv");
	for (; golden_next(&g, &row); views++) {
		const char *want = arena_cstr(&g.arena, row.fields[1]);
		char *got = run_view(&g.arena, arena_cstr(&g.arena, row.fields[0]), &p, run, false);
		if (strcmp(got, want) == 0)
			continue;
		print_error("%s: %.*s\n--- gave\n%s\n--- PostgreSQL\n%s\n", what,
		    STR_ARG(row.fields[0]), got, want);
		wrong++;
	}
	golden_close(&g);
	assert_true(views > 25);
	assert_int_equal(wrong, 0);
}

static void views_hold_what_postgresql_answers(void **state)
{
	(void)state;
	check_views(&(struct run){.batch = 400}, "one batch");
}

static void cutting_rows_into_batches_changes_nothing(void **state)
{
	(void)state;
	check_views(&(struct run){.batch = 1, .flush_one_in = 1}, "row by row");
	check_views(&(struct run){.batch = 37, .flush_one_in = 3}, "random batches and flushes");
}

static void checkpoints_restarts_and_little_memory_change_nothing(void **state)
{
	(void)state;
	check_views(
	    &(struct run){.batch = 20, .flush_one_in = 4, .checkpoint_one_in = 2}, "checkpoints");
	check_views(
	    &(struct run){
	        .batch = 20, .flush_one_in = 4, .checkpoint_one_in = 3, .restart_one_in = 3},
	    "restarts");
	check_views(
	    &(struct run){
	        .batch = 20, .flush_one_in = 2, .checkpoint_one_in = 1, .memory_bytes = 1},
	    "no memory");
	check_views(
	    &(struct run){
	        .batch = 9, .checkpoint_one_in = 2, .restart_one_in = 5, .memory_bytes = 9000},
	    "little memory");
}

static void lineage_of_append_only_views_is_exact(void **state)
{
	(void)state;
	static const char *const views[] = {
	    "SELECT product, count(*) AS n FROM orders GROUP BY product",
	    "SELECT id FROM orders WHERE paid",
	    "SELECT DISTINCT ON (id) id, product FROM orders ORDER BY id, _sequence DESC, _pos "
	    "DESC",
	    "SELECT DISTINCT product FROM orders",
	};
	struct prng p;
	struct arena a;
	arena_init(&a, 64 * MIB);
	prng_init(&p, test_seed());
	for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
		char *whole = run_view(&a, views[i], &p, &(struct run){.batch = 400}, true);
		char *parts = run_view(&a, views[i], &p,
		    &(struct run){.batch = 11,
		        .flush_one_in = 3,
		        .checkpoint_one_in = 3,
		        .restart_one_in = 4,
		        .memory_bytes = 1},
		    true);
		assert_string_equal(whole, parts);
		if (i == 0)
			assert_non_null(strstr(whole, "kiwi|"));
	}
	arena_release(&a);
}

/* ---- queries -------------------------------------------------------------------- */

static char *run_query(struct arena *a, const char *sql, uint32_t batch)
{
	struct sql_fixture sf;
	struct op_fixture f;
	sql_fixture_init(&sf);
	sql_fixture_run(&sf, orders_sql);
	sql_fixture_run(&sf, "CREATE MATERIALIZED VIEW orders_view AS SELECT * FROM orders");
	struct view_plan *plan = sql_fixture_run(&sf, sql);
	op_fixture_query(&f, plan);
	for (uint32_t s = 0; s < plan->source_count; s++)
		for (uint32_t at = 0; at < input_count && !op_done(f.tree); at += batch) {
			uint32_t n = input_count - at < batch ? input_count - at : batch;
			struct op_input part[ROWS_MAX];
			memcpy(part, &inputs[at], n * sizeof *part);
			part[0].source = s;
			op_fixture_push(&f, part, n);
		}
	op_fixture_flush(&f);
	char *text = arena_cstr(a, bytes_str(writer_bytes(&f.output)));
	size_t len = strlen(text);
	if (len > 0)
		text[len - 1] = '\0';
	op_fixture_release(&f);
	sql_fixture_release(&sf);
	return text;
}

static void queries_answer_as_postgresql_does_in_order(void **state)
{
	(void)state;
	struct golden g;
	struct golden_row row;
	int queries = 0;
	golden_open(&g, "test/golden/sql/queries.tsv");
	for (; golden_next(&g, &row); queries++) {
		const char *sql = arena_cstr(&g.arena, row.fields[0]);
		const char *want = arena_cstr(&g.arena, row.fields[1]);
		for (uint32_t batch = 7; batch <= 400; batch += 393) {
			char *got = run_query(&g.arena, sql, batch);
			if (strcmp(got, want) != 0)
				fail_msg("%s\n--- gave\n%s\n--- PostgreSQL\n%s", sql, got, want);
		}
	}
	golden_close(&g);
	assert_true(queries > 10);
}

static void a_query_that_fails_says_why(void **state)
{
	(void)state;
	struct sql_fixture sf;
	struct op_fixture f;
	sql_fixture_init(&sf);
	sql_fixture_run(&sf, orders_sql);
	sql_fixture_run(&sf, "CREATE MATERIALIZED VIEW orders_view AS SELECT * FROM orders");
	op_fixture_query(&f, sql_fixture_run(&sf, "SELECT id / (id - id) FROM orders_view"));
	err_clear();
	assert_int_equal(op_fixture_try_push(&f, inputs, 5), ERR_DIVISION_BY_ZERO);
	assert_non_null(strstr(err_chain(), "division by zero"));
	err_clear();
	op_fixture_release(&f);
	sql_fixture_release(&sf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(views_hold_what_postgresql_answers),
	    cmocka_unit_test(cutting_rows_into_batches_changes_nothing),
	    cmocka_unit_test(checkpoints_restarts_and_little_memory_change_nothing),
	    cmocka_unit_test(lineage_of_append_only_views_is_exact),
	    cmocka_unit_test(queries_answer_as_postgresql_does_in_order),
	    cmocka_unit_test(a_query_that_fails_says_why),
	};
	return cmocka_run_group_tests(tests, read_rows, free_rows);
}
