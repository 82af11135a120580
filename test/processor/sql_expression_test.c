/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which overload, which casts, which type: constant expressions against PostgreSQL's answers,
 * test/golden/sql/expressions.tsv (expression, pg_typeof, text of the value; ERROR where PostgreSQL
 * refuses).
 */
#include "test/lib/golden.h"
#include "test/lib/sql_fixture.h"
#include "test/lib/test.h"

static struct str answer(struct arena *a, const struct view_plan *plan)
{
	const struct expr *e = plan->root->exprs[0];
	struct writer w;
	assert_int_equal(plan->root->kind, PLAN_PROJECT);
	assert_int_equal(e->kind, EXPR_CONST); /* all of them fold */
	writer_init(&w, MIB);
	bool varchar = e->type.id == TYPE_TEXT && e->type.precision > 0;
	write_printf(&w, "%s\t", varchar ? "character varying" : type_name(e->type.id));
	if (e->value.null)
		write_cstr(&w, "<NULL>");
	else if (e->type.id == TYPE_BOOL)
		write_cstr(&w,
		    e->value.b ? "true" : "false"); /* the cast to text, not the output function */
	else
		datum_to_text(&w, e->type.id, e->value);
	assert_int_equal(w.err, ERR_OK);
	struct str s = arena_copy_str(a, bytes_str(writer_bytes(&w)));
	writer_release(&w);
	return s;
}

static int check(const struct golden_row *row)
{
	struct sql_fixture f;
	struct sql_error error;
	struct view_plan *plan = NULL;
	sql_fixture_init(&f);
	char *sql = arena_printf(&f.arena, "SELECT %.*s", STR_ARG(row->fields[0]));
	char *want =
	    arena_printf(&f.arena, "%.*s\t%.*s", STR_ARG(row->fields[1]), STR_ARG(row->fields[2]));
	enum err err = sql_fixture_try(&f, str_of(sql), &plan, &error);
	struct str got = err == ERR_OK ? answer(&f.arena, plan) : STR("ERROR\t");
	int wrong = !str_equal(got, str_of(want));
	if (wrong)
		print_error("line %u: %s\n  gave %.*s (%s), PostgreSQL %s\n", row->line, sql,
		    STR_ARG(got), err == ERR_OK ? "" : error.message, want);
	sql_fixture_release(&f);
	return wrong;
}

static void constant_expressions_have_postgresqls_types_and_values(void **state)
{
	(void)state;
	struct golden g;
	struct golden_row row;
	int wrong = 0, rows = 0;
	golden_open(&g, "test/golden/sql/expressions.tsv");
	for (; golden_next(&g, &row); rows++)
		wrong += check(&row);
	golden_close(&g);
	assert_true(rows > 2000);
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(constant_expressions_have_postgresqls_types_and_values),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
