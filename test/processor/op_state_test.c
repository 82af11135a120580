/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State under stress: random additions and retractions against recomputation, records that are
 * undone, sums that overflow, memory that runs out.
 */
#include "processor/op/numeric.h"
#include "test/lib/op_fixture.h"
#include "test/lib/sql_fixture.h"
#include "test/lib/test.h"

#include <stdio.h>
#include <stdlib.h>

static const char table_sql[] = "CREATE TABLE t (k bigint, c text, x integer, n numeric(10,2), u "
                                "numeric, b boolean, f double precision, w text)"
                                " WITH (topic = 't');";
enum { COLUMNS = 8, ROWS = 1500 };

static uint64_t test_seed(void)
{
	const char *given = getenv("KAPPA_TEST_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 10) : 7;
	printf("KAPPA_TEST_SEED=%lu\n", seed);
	return seed;
}

static struct datum text_of(struct arena *a, struct prng *p, unsigned kinds)
{
	uint64_t v = prng_below(p, kinds + 1);
	struct datum d = {.null = v == kinds};
	if (!d.null)
		d.s = str_of(arena_printf(a, "%.*s%lu", (int)(v % 5), "aabbc", v));
	return d;
}

static struct op_input random_row(struct arena *a, struct prng *p, uint64_t sequence)
{
	struct datum *v = arena_calloc(a, COLUMNS, sizeof *v);
	assert_non_null(v);
	v[0].i = (int64_t)prng_below(p, 40);
	v[1] = text_of(a, p, 6);
	v[2] = (struct datum){.null = prng_below(p, 9) == 0, .i = (int64_t)prng_below(p, 15) - 7};
	v[3] = (struct datum){
	    .null = prng_below(p, 9) == 0, .num = {(int128)prng_below(p, 4000) - 2000, 2}};
	v[4] = (struct datum){.null = prng_below(p, 9) == 0,
	    .num = {(int128)prng_below(p, 90000), (int32_t)prng_below(p, 5)}};
	v[5] = (struct datum){.null = prng_below(p, 9) == 0, .b = prng_below(p, 3) == 0};
	v[6] = (struct datum){.null = prng_below(p, 9) == 0, .f = (double)prng_below(p, 100) / 4};
	v[7] = text_of(a, p, 30);
	return (struct op_input){0, sequence, 0, 1, v};
}

static struct view_plan *bind(struct sql_fixture *sf, const char *sql)
{
	sql_fixture_init(sf);
	sql_fixture_run(sf, table_sql);
	return sql_fixture_run(
	    sf, arena_printf(&sf->arena, "CREATE MATERIALIZED VIEW v AS %s", sql));
}

/* ---- retraction ------------------------------------------------------------------------ */

/* As if the source were one that takes rows back: no node may count on additions only. */
static void allow_retraction(struct plan *p)
{
	p->append_only = false;
	for (uint32_t i = 0; i < p->input_count; i++)
		allow_retraction(p->inputs[i]);
}

static const char *const retracting_views[] = {
    "SELECT c, count(*) AS a, count(x) AS b, sum(x) AS d, avg(x) AS e, min(x) AS f, max(x) AS g "
    "FROM t GROUP BY c",
    "SELECT c, sum(n) AS a, avg(n) AS b, min(n) AS d, max(n) AS e, sum(u) AS f, avg(u) AS g FROM t "
    "GROUP BY c",
    "SELECT c, b, bool_and(b) AS x, bool_or(b) AS y, count(*) FILTER (WHERE x > 0) AS z, sum(n) "
    "FILTER (WHERE b) AS q"
    " FROM t GROUP BY c, b",
    "SELECT c, count(DISTINCT x) AS a, sum(DISTINCT x) AS b, avg(DISTINCT x) AS d, count(DISTINCT "
    "w) AS e FROM t GROUP BY c",
    "SELECT min(w) AS a, max(w) AS b, min(f) AS d, max(f) AS e, count(*) AS g, max(x) AS h FROM t",
    "SELECT c, min(w) AS a, max(w) AS b FROM t GROUP BY c HAVING count(*) > 50",
    "SELECT DISTINCT c, x FROM t",
    "SELECT DISTINCT ON (c) c, x, w, k FROM t WHERE x > -5 ORDER BY c, x DESC, w, _sequence, _pos",
    "SELECT DISTINCT ON (k) k, c, w FROM t ORDER BY k, _sequence, _pos",
    "SELECT c, count(*) AS a, max(w) AS b, sum(n) AS d FROM (SELECT DISTINCT ON (k) k, c, w, n "
    "FROM t ORDER BY k, _sequence DESC,"
    " _pos DESC) AS q GROUP BY c",
    "SELECT a, count(*) AS b, min(c) AS d, max(m) AS e FROM (SELECT c, count(*) / 10 AS a, max(n) "
    "AS m FROM t GROUP BY c) AS q"
    " GROUP BY a",
    "SELECT k, c FROM t WHERE b UNION ALL SELECT x, w FROM t WHERE NOT b",
};

/* Adds random rows and takes some of them back later; what is left at the end is in `left`. */
struct history {
	struct op_input events[2 * ROWS];
	struct op_input left[ROWS];
	uint32_t event_count, left_count;
};

static void make_history(struct history *h, struct arena *a, struct prng *p)
{
	h->event_count = h->left_count = 0;
	for (uint64_t sequence = 1; sequence <= ROWS; sequence++) {
		if (h->left_count > 0 && prng_below(p, 5) < 2) {
			uint64_t which = prng_below(p, h->left_count);
			struct op_input gone = h->left[which];
			gone.weight = -1;
			h->events[h->event_count++] = gone;
			memmove(&h->left[which], &h->left[which + 1],
			    (h->left_count - which - 1) * sizeof *h->left);
			h->left_count--;
			continue;
		}
		h->left[h->left_count] = random_row(a, p, sequence);
		h->events[h->event_count++] = h->left[h->left_count++];
	}
}

static void push_to_all(struct op_fixture *f, const struct op_input *rows, uint32_t count)
{
	for (uint32_t s = 0; s < f->plan->source_count; s++) {
		struct op_input copy[64];
		assert_true(count <= 64);
		memcpy(copy, rows, count * sizeof *copy);
		for (uint32_t i = 0; i < count; i++)
			copy[i].source = s;
		op_fixture_push(f, copy, count);
	}
}

static void check_retraction(const char *sql, struct prng *p, size_t memory_bytes)
{
	struct sql_fixture sf;
	struct op_fixture a, b;
	static struct history h;
	struct view_plan *plan = bind(&sf, sql);
	make_history(&h, &sf.arena, p);
	/* recomputed: only what is left, added once */
	op_fixture_init(&b, plan, 0);
	for (uint32_t at = 0; at < h.left_count; at += 50)
		push_to_all(&b, &h.left[at], h.left_count - at < 50 ? h.left_count - at : 50);
	op_fixture_checkpoint(&b);
	allow_retraction(plan->root);
	op_fixture_init(&a, plan, memory_bytes);
	for (uint32_t at = 0; at < h.event_count;) {
		uint32_t n = 1 + (uint32_t)prng_below(p, 30);
		n = n < h.event_count - at ? n : h.event_count - at;
		push_to_all(&a, &h.events[at], n);
		at += n;
		if (prng_below(p, 3) == 0)
			op_fixture_flush(&a);
		if (prng_below(p, 5) == 0)
			op_fixture_checkpoint(&a);
		if (prng_below(p, 12) == 0) {
			op_fixture_checkpoint(&a);
			op_fixture_restart(&a, prng_below(p, 2) == 0);
		}
	}
	op_fixture_checkpoint(&a);
	const char *got = op_fixture_rows(&a), *want = op_fixture_rows(&b);
	if (strcmp(got, want) != 0)
		fail_msg("%s\n--- gave\n%s--- recomputed\n%s", sql, got, want);
	op_fixture_release(&a);
	op_fixture_release(&b);
	sql_fixture_release(&sf);
}

static void rows_after_retractions_are_those_of_a_recomputation(void **state)
{
	(void)state;
	struct prng p;
	prng_init(&p, test_seed());
	for (size_t i = 0; i < sizeof retracting_views / sizeof *retracting_views; i++) {
		check_retraction(retracting_views[i], &p, 0);
		check_retraction(retracting_views[i], &p, 1);
		check_retraction(retracting_views[i], &p, 8000);
	}
}

static void nothing_is_left_when_everything_was_taken_back(void **state)
{
	(void)state;
	struct prng p;
	prng_init(&p, test_seed());
	for (size_t i = 0; i < sizeof retracting_views / sizeof *retracting_views; i++) {
		struct sql_fixture sf;
		struct op_fixture f;
		struct op_input rows[40];
		struct view_plan *plan = bind(&sf, retracting_views[i]);
		allow_retraction(plan->root);
		op_fixture_init(&f, plan, 0);
		for (uint32_t r = 0; r < 40; r++)
			rows[r] = random_row(&sf.arena, &p, r + 1);
		push_to_all(&f, rows, 40);
		op_fixture_checkpoint(&f);
		for (uint32_t r = 0; r < 40; r++)
			rows[r].weight = -1;
		push_to_all(&f, rows, 40);
		op_fixture_checkpoint(&f);
		/* only the one row of an aggregate without GROUP BY */
		assert_int_equal(f.rows.count, plan->key_count == 0);
		assert_int_equal(f.committed.count, plan->key_count == 0);
		struct op_stats stats;
		op_stats(f.tree, &stats);
		assert_int_equal(f.tables.count, 0);
		assert_int_equal(stats.entries, plan->key_count == 0);
		op_fixture_release(&f);
		sql_fixture_release(&sf);
	}
}

/* ---- records that fail --------------------------------------------------------------------- */

static const char *const failing_views[] = {
    "SELECT c, 100 / sum(x) AS a, count(*) AS n FROM t GROUP BY c",
    "SELECT c, 100 / (max(x) - min(x) - 3) AS a, count(DISTINCT w) AS n, max(w) AS m FROM (SELECT "
    "DISTINCT ON (k) k, c, x, w FROM t"
    " ORDER BY k, _sequence DESC, _pos DESC) AS q GROUP BY c",
    "SELECT c, sum(1 / (y - 3)) AS a FROM (SELECT k, c, count(*) AS y FROM t GROUP BY k, c) AS q "
    "GROUP BY c",
    "SELECT DISTINCT ON (c) c, 10 / x AS y, w FROM (SELECT DISTINCT ON (k) k, c, x, w FROM t ORDER "
    "BY k, _sequence DESC, _pos DESC)"
    " AS q ORDER BY c, y DESC, w",
    "SELECT k, 7 / x AS y FROM t WHERE b UNION ALL SELECT k, 8 / (x - 1) FROM t WHERE x > 0",
    "SELECT DISTINCT 12 / (s - 1) AS y FROM (SELECT c, sum(x) AS s FROM t GROUP BY c) AS q",
};

static void kv_assert_same(const struct kv_map *a, const struct kv_map *b)
{
	assert_int_equal(a->count, b->count);
	for (size_t i = 0; i < a->count; i++) {
		assert_int_equal(a->items[i].table, b->items[i].table);
		assert_true(bytes_equal(a->items[i].key, b->items[i].key));
		assert_true(bytes_equal(a->items[i].value, b->items[i].value));
	}
}

/* One record to every source; true when it was accepted. */
static bool push_record(struct op_fixture *f, const struct op_input *row)
{
	uint32_t before = f->errors;
	struct op_input copy = *row;
	if (!op_needs_records(f->tree)) {
		op_fixture_push(f, &copy, 1);
		return f->errors == before;
	}
	bool accepted = false;
	op_begin_record(f->tree);
	for (copy.source = 0; copy.source < f->plan->source_count; copy.source++)
		assert_int_equal(op_fixture_push_raw(f, &copy, 1), ERR_OK);
	assert_int_equal(op_end_record(f->tree, &accepted), ERR_OK);
	assert_int_equal(f->errors - before, !accepted);
	return accepted;
}

static void a_failed_record_leaves_rows_and_state_as_if_it_had_not_been(void **state)
{
	(void)state;
	struct prng p;
	prng_init(&p, test_seed());
	for (size_t i = 0; i < sizeof failing_views / sizeof *failing_views; i++) {
		struct sql_fixture sf;
		struct op_fixture all, good;
		struct view_plan *plan = bind(&sf, failing_views[i]);
		uint32_t refused = 0;
		op_fixture_init(&all, plan, i % 2 ? 1 : 0);
		op_fixture_init(&good, plan, 0);
		assert_true(op_needs_records(all.tree));
		for (uint64_t r = 1; r <= 600; r++) {
			struct op_input row = random_row(&sf.arena, &p, r);
			if (push_record(&all, &row))
				assert_true(push_record(&good, &row));
			else
				refused++;
			if (prng_below(&p, 20) == 0)
				op_fixture_checkpoint(&all);
			if (prng_below(&p, 90) == 0) {
				op_fixture_checkpoint(&all);
				op_fixture_restart(&all, false);
			}
		}
		op_fixture_checkpoint(&all);
		op_fixture_checkpoint(&good);
		if (refused == 0 || refused > 500)
			fail_msg("%u refused by %s", refused, failing_views[i]);
		assert_string_equal(op_fixture_rows(&all), op_fixture_rows(&good));
		kv_assert_same(&all.committed, &good.committed);
		kv_assert_same(&all.tables, &good.tables);
		op_fixture_release(&all);
		op_fixture_release(&good);
		sql_fixture_release(&sf);
	}
}

static void an_aborted_record_is_undone_too(void **state)
{
	(void)state;
	struct sql_fixture sf;
	struct op_fixture f;
	struct prng p;
	prng_init(&p, test_seed());
	op_fixture_init(&f, bind(&sf, "SELECT c, count(*) AS n, max(w) AS m FROM t GROUP BY c"), 0);
	struct op_input row = random_row(&sf.arena, &p, 1);
	op_begin_record(f.tree);
	assert_int_equal(op_fixture_push_raw(&f, &row, 1), ERR_OK);
	assert_int_equal(op_abort_record(f.tree), ERR_OK);
	op_fixture_checkpoint(&f);
	assert_int_equal(f.rows.count + f.committed.count, 0);
	op_fixture_push(&f, &row, 1);
	op_fixture_checkpoint(&f);
	assert_int_equal(f.rows.count, 1);
	op_fixture_release(&f);
	sql_fixture_release(&sf);
}

static void an_error_below_state_drops_its_row_only(void **state)
{
	(void)state;
	struct sql_fixture sf;
	struct op_fixture f;
	struct prng p;
	uint32_t zeros = 0, rows = 300;
	prng_init(&p, test_seed());
	op_fixture_init(&f, bind(&sf, "SELECT sum(10 / x) AS s, count(*) AS n FROM t"), 0);
	assert_false(op_needs_records(f.tree));
	struct op_input all[300];
	for (uint32_t r = 0; r < rows; r++) {
		all[r] = random_row(&sf.arena, &p, r + 1);
		zeros += !all[r].values[2].null && all[r].values[2].i == 0;
	}
	op_fixture_push(&f, all, rows);
	op_fixture_checkpoint(&f);
	assert_true(zeros > 5);
	assert_int_equal(f.errors, zeros);
	assert_int_equal(f.last_error, ERR_DIVISION_BY_ZERO);
	assert_non_null(strstr(op_fixture_rows(&f), arena_printf(&f.arena, "|%u\n", rows - zeros)));
	op_fixture_release(&f);
	sql_fixture_release(&sf);
}

/* ---- overflow ------------------------------------------------------------------------------- */

static void a_record_that_overflows_a_sum_is_refused_and_only_that(void **state)
{
	(void)state;
	struct sql_fixture sf;
	struct op_fixture f;
	struct datum values[5][COLUMNS] = {0};
	struct op_input rows[5];
	const int128 most = (int128)numeric_pow10(NUMERIC_DIGITS_MAX) - 1;
	const int128 units[5] = {most - 10, 10, 1, -5, 5};
	op_fixture_init(
	    &f, bind(&sf, "SELECT sum(u) AS s, count(*) AS n, count(DISTINCT k) AS d FROM t"), 0);
	assert_false(op_needs_records(f.tree));
	for (uint32_t r = 0; r < 5; r++) {
		values[r][0].i = r;
		values[r][4].num.mantissa = units[r];
		rows[r] = (struct op_input){0, r + 1, 0, 1, values[r]};
	}
	/* most-10, +10 = most: fits; +1 overflows; -5 and +5 fit */
	op_fixture_push(&f, rows, 5);
	op_fixture_checkpoint(&f);
	assert_int_equal(f.errors, 1);
	assert_int_equal(f.last_error, ERR_NUMERIC_OVERFLOW);
	assert_string_equal(op_fixture_rows(&f), "99999999999999999999999999999999999999|4|4\n");
	op_fixture_release(&f);
	sql_fixture_release(&sf);
}

static void float_sums_overflow_as_errors(void **state)
{
	(void)state;
	struct sql_fixture sf;
	struct op_fixture f;
	struct datum values[3][COLUMNS] = {0};
	struct op_input rows[3];
	op_fixture_init(&f, bind(&sf, "SELECT sum(f) AS s, count(*) AS n FROM t"), 0);
	for (uint32_t r = 0; r < 3; r++) {
		values[r][6].f = r == 2 ? -1e308 : 1e308;
		rows[r] = (struct op_input){0, r + 1, 0, 1, values[r]};
	}
	op_fixture_push(&f, rows, 3);
	op_fixture_checkpoint(&f);
	assert_int_equal(f.errors, 1);
	assert_string_equal(op_fixture_rows(&f), "0|2\n");
	op_fixture_release(&f);
	sql_fixture_release(&sf);
}

static void float_sums_over_retraction_are_refused(void **state)
{
	(void)state;
	struct sql_fixture sf;
	struct op_tree *tree = NULL;
	struct op_env env = {.query = false};
	struct view_plan *plan = bind(&sf, "SELECT c, sum(f) AS s FROM t GROUP BY c");
	allow_retraction(plan->root);
	assert_int_equal(op_build(plan, &env, &tree), ERR_SQL_UNSUPPORTED);
	err_clear();
	sql_fixture_release(&sf);
}

/* ---- memory ------------------------------------------------------------------------------------ */

static enum err ignore_rows(
    void *ctx, const struct batch *rows, const struct op_change *changes, uint32_t count)
{
	(void)ctx;
	(void)rows;
	(void)changes;
	(void)count;
	return ERR_OK;
}

static enum err run_once(
    const struct view_plan *plan, const struct op_env *env, struct batch *batches, uint32_t count)
{
	struct op_tree *tree = NULL;
	enum err err = op_build(plan, env, &tree);
	for (uint32_t i = 0; i < count && err == ERR_OK; i++) {
		struct batch b = batches[i];
		err = op_push(tree, 0, &b);
	}
	if (err == ERR_OK)
		err = op_flush(tree);
	op_free(tree);
	return err;
}

static void running_out_of_memory_anywhere_is_an_error_without_leaks(void **state)
{
	(void)state;
	static const char *const views[] = {
	    "SELECT c, sum(u) AS a, min(w) AS b, count(DISTINCT x) AS d, max(n) AS e FROM t GROUP "
	    "BY c",
	    "SELECT c, max(w) AS m, count(*) AS n FROM (SELECT DISTINCT ON (k) k, c, w FROM t "
	    "ORDER BY k, _sequence DESC, _pos DESC) AS q"
	    " GROUP BY c",
	    "SELECT k, upper(c) AS u FROM t WHERE w LIKE '%b%'",
	};
	struct prng p;
	prng_init(&p, test_seed());
	for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
		struct sql_fixture sf;
		struct op_fixture f;
		struct view_plan *plan = bind(&sf, views[i]);
		struct op_env env = {.sink = ignore_rows};
		struct op_input rows[40];
		struct batch batches[2];
		for (uint32_t r = 0; r < 40; r++)
			rows[r] = random_row(&sf.arena, &p, r + 1);
		op_fixture_init(&f, plan, 0);
		batches[0] = op_fixture_batch(&f, &sf.arena, rows, 20);
		batches[1] = op_fixture_batch(&f, &sf.arena, rows + 20, 20);
		uint64_t nth = 1;
		for (bool failed = true; failed; nth++) {
			mem_fail_at(nth);
			enum err err = run_once(plan, &env, batches, 2);
			failed = mem_fail_count() >= nth;
			mem_fail_at(0);
			assert_int_equal(err, failed ? ERR_NOMEM : ERR_OK);
			err_clear();
		}
		assert_true(nth > 5);
		op_fixture_release(&f);
		sql_fixture_release(&sf);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rows_after_retractions_are_those_of_a_recomputation),
	    cmocka_unit_test(nothing_is_left_when_everything_was_taken_back),
	    cmocka_unit_test(a_failed_record_leaves_rows_and_state_as_if_it_had_not_been),
	    cmocka_unit_test(an_aborted_record_is_undone_too),
	    cmocka_unit_test(an_error_below_state_drops_its_row_only),
	    cmocka_unit_test(a_record_that_overflows_a_sum_is_refused_and_only_that),
	    cmocka_unit_test(float_sums_overflow_as_errors),
	    cmocka_unit_test(float_sums_over_retraction_are_refused),
	    cmocka_unit_test(running_out_of_memory_anywhere_is_an_error_without_leaks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
