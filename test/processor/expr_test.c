/* SPDX-License-Identifier: Apache-2.0 */
/* The forms that are not calls: three-valued logic, branches that are not taken, errors that stay
 * in their row. */
#include "processor/op/expr.h"
#include "test/lib/test.h"

enum { ROWS = 9 };
static struct arena arena;
static struct row_errors errors;
static struct batch batch;

/* Columns: 0 and 1 booleans in all nine combinations of true, false, NULL; 2 integers 0..8; 3
 * integers with NULL at row 4. */
static int setup(void **state)
{
	(void)state;
	static const struct type types[] = {
	    {.id = TYPE_BOOL}, {.id = TYPE_BOOL}, {.id = TYPE_INT8}, {.id = TYPE_INT8}};
	arena_init(&arena, 16 * MIB);
	errors = (struct row_errors){0};
	if (batch_init(&batch, &arena, types, 4, ROWS) != ERR_OK)
		return 1;
	for (uint32_t c = 0; c < 4; c++)
		if (vec_init_nulls(&batch.cols[c], &arena, ROWS) != ERR_OK)
			return 1;
	for (uint32_t r = 0; r < ROWS; r++) {
		vec_set(&batch.cols[0], r, (struct datum){.null = r / 3 == 2, .b = r / 3 == 0});
		vec_set(&batch.cols[1], r, (struct datum){.null = r % 3 == 2, .b = r % 3 == 0});
		vec_set(&batch.cols[2], r, (struct datum){.i = r});
		vec_set(&batch.cols[3], r, (struct datum){.null = r == 4, .i = (int64_t)r * 10});
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	row_errors_release(&errors);
	arena_release(&arena);
	return 0;
}

static struct expr column(uint32_t c)
{
	return (struct expr){.kind = EXPR_COLUMN, .type = batch.cols[c].type, .column = c};
}

static struct expr number(int64_t v)
{
	return (struct expr){.kind = EXPR_CONST, .type = {.id = TYPE_INT8}, .value = {.i = v}};
}

static const struct func *int8_func(const char *name)
{
	for (size_t i = 0; i < func_table_count; i++)
		if (strcmp(func_table[i].name, name) == 0 && func_table[i].arg_count == 2 &&
		    func_table[i].args[0] == TYPE_INT8 && func_table[i].args[1] == TYPE_INT8)
			return &func_table[i];
	fail_msg("no %s", name);
	return NULL;
}

static struct expr form(enum expr_kind kind, enum type_id type, struct expr **args, uint32_t count)
{
	struct expr e = {
	    .kind = kind, .type = {.id = type}, .args = args, .arg_count = count, .can_fail = true};
	return e;
}

static struct vec evaluate(const struct expr *e)
{
	struct vec v;
	struct eval ev = {.arena = &arena, .errors = &errors, .count = ROWS};
	assert_int_equal(expr_eval(&ev, e, &batch, &v), ERR_OK);
	return v;
}

/* 't', 'f' or 'n' per row. */
static void assert_bools(const struct expr *e, const char *want)
{
	struct vec v = evaluate(e);
	for (uint32_t r = 0; r < ROWS; r++) {
		struct datum d = vec_get(&v, r);
		char got = d.null ? 'n' : d.b ? 't' : 'f';
		if (got != want[r])
			fail_msg("row %u: %c, want %c", r, got, want[r]);
	}
}

static void logic_is_three_valued(void **state)
{
	(void)state;
	struct expr a = column(0), b = column(1), *args[] = {&a, &b};
	struct expr e = form(EXPR_AND, TYPE_BOOL, args, 2);
	assert_bools(&e, "tfnfffnfn");
	e = form(EXPR_OR, TYPE_BOOL, args, 2);
	assert_bools(&e, "ttttfntnn");
	e = form(EXPR_NOT, TYPE_BOOL, args, 1);
	assert_bools(&e, "fffttt"
	                 "nnn");
	e = form(EXPR_IS_NULL, TYPE_BOOL, args, 1);
	assert_bools(&e, "ffffff"
	                 "ttt");
	e = form(EXPR_IS_TRUE, TYPE_BOOL, args, 1);
	assert_bools(&e, "tttffffff");
	e = form(EXPR_DISTINCT, TYPE_BOOL, args, 2);
	assert_bools(&e, "fttt"
	                 "ftttf");
}

static void and_does_not_evaluate_what_is_decided(void **state)
{
	(void)state;
	/* c2 <> 0 AND 10 / c2 > 2 : row 0 must not divide */
	struct expr c2 = column(2), zero = number(0), ten = number(10), two = number(2);
	struct expr *ne_args[] = {&c2, &zero}, *div_args[] = {&ten, &c2};
	struct expr ne = form(EXPR_CALL, TYPE_BOOL, ne_args, 2),
	            div = form(EXPR_CALL, TYPE_INT8, div_args, 2);
	ne.func = int8_func("<>");
	div.func = int8_func("/");
	struct expr *gt_args[] = {&div, &two}, gt = form(EXPR_CALL, TYPE_BOOL, gt_args, 2);
	gt.func = int8_func(">");
	struct expr *and_args[] = {&ne, &gt}, and = form(EXPR_AND, TYPE_BOOL, and_args, 2);
	assert_bools(&and, "ftttff"
	                   "fff");
	assert_int_equal(errors.count, 0);
	/* the other way round only row 0 fails */
	struct expr *swapped[] = {&gt, &ne};
	and.args = swapped;
	(void)evaluate(&and);
	assert_int_equal(errors.count, 1);
	assert_int_equal(errors.errors[0].row, 0);
	assert_int_equal(errors.errors[0].err, ERR_DIVISION_BY_ZERO);
}

static void case_takes_the_first_true_branch_and_evaluates_no_other(void **state)
{
	(void)state;
	/* CASE WHEN c2 = 0 THEN -1 WHEN 8 / c2 = 4 THEN 44 ELSE c3 END */
	struct expr c2 = column(2), c3 = column(3), zero = number(0), eight = number(8),
	            four = number(4), minus = number(-1), result = number(44);
	struct expr *eq0_args[] = {&c2, &zero}, *div_args[] = {&eight, &c2};
	struct expr eq0 = form(EXPR_CALL, TYPE_BOOL, eq0_args, 2),
	            div = form(EXPR_CALL, TYPE_INT8, div_args, 2);
	eq0.func = int8_func("=");
	div.func = int8_func("/");
	struct expr *eq4_args[] = {&div, &four}, eq4 = form(EXPR_CALL, TYPE_BOOL, eq4_args, 2);
	eq4.func = int8_func("=");
	struct expr *args[] = {&eq0, &minus, &eq4, &result, &c3},
	            e = form(EXPR_CASE, TYPE_INT8, args, 5);
	struct vec v = evaluate(&e);
	static const int64_t want[ROWS] = {-1, 10, 44, 30, 0, 50, 60, 70, 80};
	for (uint32_t r = 0; r < ROWS; r++) {
		struct datum d = vec_get(&v, r);
		assert_int_equal(d.null, r == 4);
		if (!d.null)
			assert_int_equal(d.i, want[r]);
	}
	assert_int_equal(errors.count, 0);
}

static void coalesce_nullif_and_extremes(void **state)
{
	(void)state;
	struct expr c2 = column(2), c3 = column(3), *args[] = {&c3, &c2};
	struct expr e = form(EXPR_COALESCE, TYPE_INT8, args, 2);
	struct vec v = evaluate(&e);
	assert_int_equal(vec_get(&v, 4).i, 4);
	assert_int_equal(vec_get(&v, 5).i, 50);
	e = form(EXPR_NULLIF, TYPE_INT8, args, 2);
	e.func = int8_func("=");
	v = evaluate(&e);
	assert_true(vec_get(&v, 0).null && vec_get(&v, 4).null);
	assert_int_equal(vec_get(&v, 1).i, 10);
	e = form(EXPR_GREATEST, TYPE_INT8, args, 2);
	v = evaluate(&e);
	assert_int_equal(vec_get(&v, 4).i, 4);
	assert_int_equal(vec_get(&v, 3).i, 30);
	e = form(EXPR_LEAST, TYPE_INT8, args, 2);
	v = evaluate(&e);
	assert_int_equal(vec_get(&v, 3).i, 3);
}

static void in_is_unknown_when_a_null_could_match(void **state)
{
	(void)state;
	struct expr c2 = column(2), c3 = column(3), three = number(3), five = number(5),
	            null = number(0);
	null.value = (struct datum){.null = true};
	struct expr *args[] = {&c2, &five, &three, &c3, &null};
	struct expr e = form(EXPR_IN, TYPE_BOOL, args, 4);
	assert_bools(&e, "tff"
	                 "t"
	                 "n"
	                 "tfff");
	e = form(EXPR_IN, TYPE_BOOL, args, 5);
	assert_bools(&e, "tnn"
	                 "t"
	                 "n"
	                 "tnnn");
}

static void overflow_is_an_error_of_its_row_only(void **state)
{
	(void)state;
	struct expr c2 = column(2), big = number(INT64_MAX - 3), *args[] = {&c2, &big},
	            e = form(EXPR_CALL, TYPE_INT8, args, 2);
	e.func = int8_func("+");
	struct vec v = evaluate(&e);
	assert_int_equal(errors.count, ROWS - 4);
	for (uint32_t i = 0; i < errors.count; i++) {
		assert_int_equal(errors.errors[i].row, 4 + i);
		assert_int_equal(errors.errors[i].err, ERR_NUMERIC_OVERFLOW);
	}
	assert_int_equal(vec_get(&v, 3).i, INT64_MAX);
}

static void keeping_rows_moves_shared_columns_once(void **state)
{
	(void)state;
	batch.cols[3] = batch.cols[2]; /* a projection that names a column twice */
	static const uint32_t rows[] = {1, 4, 8};
	batch_keep(&batch, rows, 3);
	assert_int_equal(batch.count, 3);
	for (uint32_t c = 2; c < 4; c++)
		for (uint32_t r = 0; r < 3; r++)
			assert_int_equal(vec_get(&batch.cols[c], r).i, rows[r]);
}

static void running_out_of_memory_ends_the_batch_and_leaks_nothing(void **state)
{
	(void)state;
	struct expr c2 = column(2), big = number(INT64_MAX - 3), *args[] = {&c2, &big},
	            e = form(EXPR_CALL, TYPE_INT8, args, 2);
	e.func = int8_func("+");
	for (uint64_t nth = 1; nth < 10; nth++) {
		struct arena small;
		struct row_errors own = {0};
		struct vec v;
		arena_init(&small, MIB);
		struct eval ev = {.arena = &small, .errors = &own, .count = ROWS};
		mem_fail_at(nth);
		enum err err = expr_eval(&ev, &e, &batch, &v);
		bool failed = mem_fail_count() >= nth;
		mem_fail_at(0);
		assert_int_equal(err, failed ? ERR_NOMEM : ERR_OK);
		row_errors_release(&own);
		arena_release(&small);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(logic_is_three_valued, setup, teardown),
	    cmocka_unit_test_setup_teardown(and_does_not_evaluate_what_is_decided, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        case_takes_the_first_true_branch_and_evaluates_no_other, setup, teardown),
	    cmocka_unit_test_setup_teardown(coalesce_nullif_and_extremes, setup, teardown),
	    cmocka_unit_test_setup_teardown(in_is_unknown_when_a_null_could_match, setup, teardown),
	    cmocka_unit_test_setup_teardown(overflow_is_an_error_of_its_row_only, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        keeping_rows_moves_shared_columns_once, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        running_out_of_memory_ends_the_batch_and_leaks_nothing, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
