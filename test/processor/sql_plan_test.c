/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statements against their plans (test/golden/sql/plans.tsv: statement, plan, properties) and
 * against their refusals (refused.tsv: statement, code, line:column, message, hint), over the
 * relations of sql_fixture_schema.
 */
#include "test/lib/golden.h"
#include "test/lib/sql_fixture.h"
#include "test/lib/test.h"

static int check_plan(struct sql_fixture *f, const struct golden_row *row)
{
	struct sql_error error;
	struct view_plan *plan = NULL;
	enum err err = sql_fixture_try(f, row->fields[0], &plan, &error);
	if (err != ERR_OK) {
		print_error("line %u: %.*s\n  refused at %d:%d: %s\n", row->line,
		    STR_ARG(row->fields[0]), error.line, error.column, error.message);
		return 1;
	}
	char *got = arena_printf(
	    &f->arena, "%s%s", sql_fixture_print(f, plan), sql_fixture_summary(f, plan));
	if (str_equal(str_of(got), row->fields[1]))
		return 0;
	print_error("line %u: %.*s\n%s--- expected\n%.*s", row->line, STR_ARG(row->fields[0]), got,
	    STR_ARG(row->fields[1]));
	return 1;
}

static int check_refusal(struct sql_fixture *f, const struct golden_row *row)
{
	struct sql_error e;
	struct view_plan *plan = NULL;
	enum err err = sql_fixture_try(f, row->fields[0], &plan, &e);
	if (err == ERR_OK) {
		print_error("line %u: %.*s\n  was accepted\n", row->line, STR_ARG(row->fields[0]));
		return 1;
	}
	char *at = arena_printf(&f->arena, "%d:%d", e.line, e.column);
	if (err == e.err && str_equal(row->fields[1], str_of(err_name(err))) &&
	    str_equal(row->fields[2], str_of(at)) && str_equal(row->fields[3], str_of(e.message)) &&
	    str_equal(row->fields[4], str_of(e.hint)))
		return 0;
	print_error("line %u: %.*s\n  gave %s %s %s (%s)\n", row->line, STR_ARG(row->fields[0]),
	    err_name(err), at, e.message, e.hint);
	return 1;
}

/* Every row on a fresh schema. */
static int check_file(
    const char *path, int (*check)(struct sql_fixture *, const struct golden_row *), int *ret_rows)
{
	struct golden g;
	struct golden_row row;
	int wrong = 0;
	golden_open(&g, path);
	for (*ret_rows = 0; golden_next(&g, &row); (*ret_rows)++) {
		struct sql_fixture f;
		sql_fixture_init(&f);
		sql_fixture_schema(&f);
		wrong += check(&f, &row);
		sql_fixture_release(&f);
	}
	golden_close(&g);
	return wrong;
}

static void statements_bind_to_the_plans_on_file(void **state)
{
	(void)state;
	int rows = 0;
	assert_int_equal(check_file("test/golden/sql/plans.tsv", check_plan, &rows), 0);
	assert_true(rows >= 60);
}

static void refusals_name_place_reason_and_remedy(void **state)
{
	(void)state;
	int rows = 0;
	assert_int_equal(check_file("test/golden/sql/refused.tsv", check_refusal, &rows), 0);
	assert_true(rows >= 250);
}

static uint8_t *identity(struct sql_fixture *f, const char *sql)
{
	return sql_fixture_run(f, sql)->identity;
}

static void identity_ignores_how_the_text_is_written(void **state)
{
	(void)state;
	struct sql_fixture f;
	sql_fixture_init(&f);
	sql_fixture_schema(&f);
	uint8_t *a = identity(
	    &f, "CREATE MATERIALIZED VIEW a AS SELECT id, amount FROM orders WHERE amount > 1000");
	uint8_t *b = identity(&f,
	    "create  materialized view if not exists b with (version = 7, emit = update) as -- x\n"
	    "select ID,\n amount /* y */ from \"orders\" where (amount) > 1000 with no data");
	assert_memory_equal(a, b, 32);
	sql_fixture_release(&f);
}

static void identity_differs_for_different_logic(void **state)
{
	(void)state;
	static const char *const logic[] = {
	    "CREATE MATERIALIZED VIEW v AS SELECT id, amount FROM orders WHERE amount > 1000",
	    "CREATE MATERIALIZED VIEW v AS SELECT id, amount FROM orders WHERE amount > 5000",
	    "CREATE MATERIALIZED VIEW v AS SELECT id, amount FROM orders WHERE amount >= 1000",
	    "CREATE MATERIALIZED VIEW v AS SELECT id, amount AS x FROM orders WHERE amount > 1000",
	    "CREATE MATERIALIZED VIEW v (y) AS SELECT id, amount FROM orders WHERE amount > 1000",
	    "CREATE MATERIALIZED VIEW v AS SELECT id, amount FROM orders WHERE NOT amount > 1000",
	    "CREATE MATERIALIZED VIEW v AS SELECT id, amount FROM orders",
	    "CREATE MATERIALIZED VIEW v AS SELECT id, 'a' AS amount FROM orders",
	    "CREATE MATERIALIZED VIEW v AS SELECT id, '' AS amount FROM orders",
	    "CREATE MATERIALIZED VIEW v AS SELECT id, NULL AS amount FROM orders",
	    "CREATE MATERIALIZED VIEW v AS SELECT id, 0 AS amount FROM orders",
	    "CREATE MATERIALIZED VIEW v AS SELECT id, false AS amount FROM orders",
	    "CREATE MATERIALIZED VIEW v AS SELECT id, true AS amount FROM orders",
	    "CREATE MATERIALIZED VIEW v AS SELECT product, revenue FROM rpm",
	};
	enum { COUNT = sizeof logic / sizeof *logic };
	uint8_t *ids[COUNT];
	struct sql_fixture f;
	sql_fixture_init(&f);
	sql_fixture_schema(&f);
	for (size_t i = 0; i < COUNT; i++) {
		ids[i] = identity(&f, logic[i]);
		for (size_t k = 0; k < i; k++)
			if (memcmp(ids[i], ids[k], 32) == 0)
				fail_msg("same identity:\n%s\n%s", logic[i], logic[k]);
	}
	sql_fixture_release(&f);
}

/* The same text over another version of the view it reads, or another contract of the table. */
static void identity_covers_what_is_read(void **state)
{
	(void)state;
	const char *sql = "CREATE MATERIALIZED VIEW v AS SELECT product, revenue FROM rpm";
	uint8_t before[32];
	struct sql_fixture f;
	sql_fixture_init(&f);
	sql_fixture_schema(&f);
	memcpy(before, identity(&f, sql), 32);
	f.views[0].active = false; /* rpm 1 */
	f.views[1].active = true;  /* rpm 2 */
	struct view_plan *plan = sql_fixture_run(&f, sql);
	assert_int_not_equal(memcmp(before, plan->identity, 32), 0);
	assert_int_equal(plan->read_count, 1);
	assert_int_equal(plan->reads[0].version, 2);
	sql_fixture_release(&f);
}

/* A view's SQL names other views without version: the catalog that comes with it says which. */
static enum err version_one(
    void *ctx, struct str name, int32_t version, struct sql_view_info *ret_info)
{
	struct sql_fixture *f = ctx;
	return f->catalog.view(f, name, version ? version : 1, ret_info);
}

static void an_inlined_view_keeps_the_versions_it_was_made_over(void **state)
{
	(void)state;
	struct sql_fixture f;
	sql_fixture_init(&f);
	sql_fixture_schema(&f);
	sql_fixture_run(&f, "CREATE MATERIALIZED VIEW mid AS SELECT product, revenue FROM rpm");
	struct sql_catalog pinned = f.catalog;
	pinned.view = version_one;
	f.views[f.view_count - 1].info.catalog = &pinned;
	f.views[0].active = false;
	f.views[1].active = true;
	const char *sql = "CREATE MATERIALIZED VIEW top AS SELECT product, max(revenue) AS best "
	                  "FROM mid GROUP BY product";
	const char *plan = sql_fixture_print(&f, sql_fixture_run(&f, sql));
	assert_non_null(strstr(plan, "Aggregate sum(amount) by"));
	assert_null(strstr(plan, "FILTER"));
	f.views[f.view_count - 2].info.catalog = NULL;
	plan = sql_fixture_print(&f, sql_fixture_run(&f, sql));
	assert_non_null(strstr(plan, "FILTER"));
	sql_fixture_release(&f);
}

static void views_that_read_views_are_inlined_to_a_limit(void **state)
{
	(void)state;
	struct sql_fixture f;
	struct sql_error error;
	enum err err = ERR_OK;
	sql_fixture_init(&f);
	sql_fixture_schema(&f);
	sql_fixture_run(&f, "CREATE MATERIALIZED VIEW v0 AS SELECT id FROM orders");
	for (int i = 1; i < 40 && err == ERR_OK; i++) {
		char *sql = arena_printf(
		    &f.arena, "CREATE MATERIALIZED VIEW v%d AS SELECT id FROM v%d", i, i - 1);
		err = sql_fixture_try(&f, str_of(sql), NULL, &error);
	}
	assert_int_equal(err, ERR_LIMIT);
	sql_fixture_release(&f);
}

/* Each WITH query doubles the one before: 2^30 sources. */
static void doubling_with_queries_are_refused(void **state)
{
	(void)state;
	struct sql_fixture f;
	struct sql_error error;
	struct writer w;
	sql_fixture_init(&f);
	sql_fixture_schema(&f);
	writer_init(&w, MIB);
	write_cstr(&w, "WITH c0 AS (SELECT product FROM rpm)");
	for (int i = 1; i < 30; i++)
		write_printf(&w, ", c%d AS (SELECT * FROM c%d UNION ALL SELECT * FROM c%d)", i,
		    i - 1, i - 1);
	write_cstr(&w, " SELECT * FROM c29");
	assert_int_equal(sql_fixture_try(&f, bytes_str(writer_bytes(&w)), NULL, &error), ERR_LIMIT);
	writer_release(&w);
	sql_fixture_release(&f);
}

/* More columns and aggregates than any list starts with, up to the limits and beyond. */
static void lists_grow_to_their_limits(void **state)
{
	(void)state;
	static const struct {
		uint32_t aggs;
		enum err err;
	} cases[] = {{1, ERR_OK}, {16, ERR_OK}, {17, ERR_OK}, {512, ERR_OK}, {513, ERR_LIMIT}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct sql_fixture f;
		struct sql_error error;
		struct view_plan *plan = NULL;
		struct writer w;
		sql_fixture_init(&f);
		sql_fixture_schema(&f);
		writer_init(&w, MIB);
		write_cstr(&w, "CREATE MATERIALIZED VIEW v AS SELECT product");
		for (uint32_t k = 0; k < cases[i].aggs; k++)
			write_printf(&w, ", sum(id + %u) AS s%u", k, k);
		write_cstr(&w, " FROM orders GROUP BY product");
		assert_int_equal(
		    sql_fixture_try(&f, bytes_str(writer_bytes(&w)), &plan, &error), cases[i].err);
		assert_true(!plan || plan->root->column_count == cases[i].aggs + 1);
		writer_release(&w);
		sql_fixture_release(&f);
	}
}

/* Whatever allocation fails: ERR_NOMEM, nothing kept. libpg_query's own allocations are its own
 * affair. */
static void running_out_of_memory_is_an_error(void **state)
{
	(void)state;
	const char *sql = "CREATE MATERIALIZED VIEW v AS WITH x AS (SELECT product, max(revenue) "
	                  "AS m FROM rpm GROUP BY 1"
	                  " HAVING count(*) > 1) SELECT upper(product) AS p, m::text || 'x' AS t "
	                  "FROM x WHERE m BETWEEN 1 AND 5"
	                  " UNION ALL SELECT product, note ->> 'a' FROM orders";
	enum err err = ERR_NOMEM;
	uint64_t n = 0;
	while (err == ERR_NOMEM) {
		struct sql_fixture f;
		struct sql_error error;
		struct sql_script script;
		struct view_plan *plan = NULL;
		struct arena arena; /* the statement's own, so that its blocks are asked for */
		sql_fixture_init(&f);
		sql_fixture_schema(&f);
		arena_init(&arena, 64 * MIB);
		mem_fail_at(++n);
		err = sql_parse(str_of(sql), &script, &error);
		if (err == ERR_OK) {
			err =
			    sql_bind_view(&script.statements[0], &f.catalog, &arena, &plan, &error);
			sql_script_release(&script);
		}
		mem_fail_at(0);
		assert_true((err == ERR_OK) == (plan != NULL));
		arena_release(&arena);
		sql_fixture_release(&f);
	}
	assert_int_equal(err, ERR_OK);
	assert_true(n > 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(statements_bind_to_the_plans_on_file),
	    cmocka_unit_test(refusals_name_place_reason_and_remedy),
	    cmocka_unit_test(identity_ignores_how_the_text_is_written),
	    cmocka_unit_test(identity_differs_for_different_logic),
	    cmocka_unit_test(identity_covers_what_is_read),
	    cmocka_unit_test(an_inlined_view_keeps_the_versions_it_was_made_over),
	    cmocka_unit_test(views_that_read_views_are_inlined_to_a_limit),
	    cmocka_unit_test(doubling_with_queries_are_refused),
	    cmocka_unit_test(lists_grow_to_their_limits),
	    cmocka_unit_test(running_out_of_memory_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
