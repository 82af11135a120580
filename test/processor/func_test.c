/* SPDX-License-Identifier: Apache-2.0 */
/* Every function, operator and cast against PostgreSQL's answers in test/golden/sql/functions.tsv,
 * over constants and over columns. */
#include "processor/op/expr.h"
#include "test/lib/golden.h"
#include "test/lib/test.h"

#include <stdio.h>

enum { ROWS = 4, IDLE_ROW = 2 };

static const struct func *find(struct str name, const struct type *args, unsigned arg_count)
{
	for (size_t i = 0; i < func_table_count; i++) {
		const struct func *f = &func_table[i];
		bool variadic = f->flags & FUNC_VARIADIC;
		if (!str_equal(name, str_of(f->name)) ||
		    (variadic ? arg_count < f->arg_count : arg_count != f->arg_count))
			continue;
		bool same = true;
		for (unsigned a = 0; a < arg_count; a++) {
			enum type_id want = f->args[a < f->arg_count ? a : f->arg_count - 1u];
			same &= want == args[a].id || want == TYPE_UNKNOWN;
		}
		if (same)
			return f;
	}
	return NULL;
}

/* One row of the file as a bound call. */
struct call {
	struct expr expr;
	struct expr args[8];
	struct expr *arg_ptrs[8];
	struct type types[8];
	struct expr inner,
	    *inner_ptr; /* a cast to numeric(p,s) is one to numeric and one that rounds */
};

static void bind_cast(struct call *c, struct type target)
{
	const unsigned all = FUNC_CAST_IMPLICIT | FUNC_CAST_ASSIGNMENT | FUNC_CAST_EXPLICIT;
	c->expr.type = target;
	c->expr.func = func_cast(c->types[0].id, target.id, all);
	if (!c->expr.func || c->types[0].id == target.id || target.precision == 0)
		return;
	c->inner = c->expr;
	c->inner.type.precision = c->inner.type.scale = 0;
	c->inner_ptr = &c->inner;
	c->expr.func = func_cast(target.id, target.id, all);
	c->expr.args = &c->inner_ptr;
}

static bool bind(struct golden *g, const struct golden_row *row, struct call *c)
{
	struct str name = row->fields[0];
	bool cast = name.len > 5 && memcmp(name.ptr, "cast:", 5) == 0;
	*c = (struct call){.expr = {.kind = EXPR_CALL, .args = c->arg_ptrs}};
	c->expr.arg_count = (row->count - 3) / 2;
	for (unsigned a = 0; a < c->expr.arg_count; a++) {
		struct str text = row->fields[4 + 2 * a];
		c->types[a] = golden_type(row->fields[3 + 2 * a]);
		c->args[a] = (struct expr){.kind = EXPR_CONST, .type = c->types[a]};
		c->arg_ptrs[a] = &c->args[a];
		if (str_equal(text, STR("NULL")))
			c->args[a].value.null = true;
		else
			assert_int_equal(
			    datum_from_text(&g->arena, c->types[a], text, &c->args[a].value),
			    ERR_OK);
	}
	if (cast) {
		bind_cast(c, golden_type(str_from(name.ptr + 5, name.len - 5)));
		if (!c->expr.func && c->types[0].id == c->expr.type.id)
			return false; /* a cast to itself is no call */
	} else {
		c->expr.func = find(name, c->types, c->expr.arg_count);
		c->expr.type.id = c->expr.func ? c->expr.func->result : TYPE_UNKNOWN;
	}
	if (!c->expr.func)
		fail_msg("line %u: no overload of %.*s", row->line, STR_ARG(name));
	c->expr.can_fail = c->expr.func->flags & FUNC_CAN_FAIL;
	return true;
}

/* The result of row 0 as text: NULL, ERROR, or the value as a cast to text has it. */
static struct str shown(
    struct arena *a, const struct vec *v, const struct row_errors *errors, uint32_t row)
{
	for (uint32_t i = 0; i < errors->count; i++)
		if (errors->errors[i].row == row)
			return STR("ERROR");
	struct datum d = vec_get(v, row);
	if (d.null)
		return STR("NULL");
	if (v->type.id == TYPE_BOOL)
		return d.b ? STR("true") : STR("false");
	struct writer w;
	writer_init(&w, 64 * MIB);
	datum_to_text(&w, v->type.id, d);
	struct str s = arena_copy_str(a, bytes_str(writer_bytes(&w)));
	writer_release(&w);
	return s;
}

/* jsonb is kept as it was spelled: blanks do not count. */
static bool same_text(enum type_id type, struct str a, struct str b)
{
	if (type != TYPE_JSONB)
		return str_equal(a, b);
	size_t i = 0, k = 0;
	for (;;) {
		while (i < a.len && a.ptr[i] == ' ')
			i++;
		while (k < b.len && b.ptr[k] == ' ')
			k++;
		if (i == a.len || k == b.len)
			return i == a.len && k == b.len;
		if (a.ptr[i++] != b.ptr[k++])
			return false;
	}
}

/* Turns the constants into columns of ROWS equal values. */
static void make_columns(struct arena *a, struct call *c, struct batch *b)
{
	assert_int_equal(batch_init(b, a, c->types, c->expr.arg_count, ROWS), ERR_OK);
	for (uint32_t i = 0; i < c->expr.arg_count; i++) {
		struct datum d = c->args[i].value;
		if (d.null)
			assert_int_equal(vec_init_nulls(&b->cols[i], a, ROWS), ERR_OK);
		for (uint32_t r = 0; r < ROWS; r++)
			vec_set(&b->cols[i], r, d);
		c->args[i] = (struct expr){.kind = EXPR_COLUMN, .type = c->types[i], .column = i};
	}
}

static unsigned check_row(struct golden *g, const struct golden_row *row)
{
	struct call c;
	struct vec v;
	struct batch none = {.count = ROWS}, columns;
	struct row_errors errors = {0};
	uint8_t active[ROWS] = {1, 1, 1, 1};
	if (!bind(g, row, &c))
		return 0;
	active[IDLE_ROW] = 0;
	struct eval ev = {.arena = &g->arena, .errors = &errors, .count = ROWS, .active = active};
	assert_int_equal(expr_eval(&ev, &c.expr, &none, &v), ERR_OK);
	struct str constant = shown(&g->arena, &v, &errors, 0), want = row->fields[2];
	row_errors_release(&errors);
	make_columns(&g->arena, &c, &columns);
	ev.errors = &errors;
	assert_int_equal(expr_eval(&ev, &c.expr, &columns, &v), ERR_OK);
	struct str column = shown(&g->arena, &v, &errors, 3);
	for (uint32_t i = 0; i < errors.count; i++)
		assert_int_not_equal(errors.errors[i].row, IDLE_ROW);
	const char *message = errors.count > 0 ? errors.errors[0].message : "";
	if (str_equal(row->fields[1], STR("ERROR")))
		want = STR("ERROR");
	unsigned wrong =
	    !same_text(c.expr.type.id, constant, want) + !same_text(c.expr.type.id, column, want);
	if (wrong > 0) {
		printf("line %u: %.*s(", row->line, STR_ARG(row->fields[0]));
		for (unsigned i = 3; i < row->count; i++)
			printf("%s%.*s", i > 3 ? ", " : "", STR_ARG(row->fields[i]));
		printf(") = %.*s / %.*s %s, PostgreSQL %.*s\n", STR_ARG(constant), STR_ARG(column),
		    message, STR_ARG(want));
	}
	row_errors_release(&errors);
	return wrong > 0;
}

static void functions_answer_as_postgresql_does(void **state)
{
	(void)state;
	struct golden g;
	struct golden_row row;
	unsigned wrong = 0, rows = 0;
	golden_open(&g, "test/golden/sql/functions.tsv");
	for (; golden_next(&g, &row); rows++)
		wrong += check_row(&g, &row);
	golden_close(&g);
	assert_true(rows > 20000);
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(functions_answer_as_postgresql_does),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
