/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expressions: columns, literals, casts, boolean logic, CASE and its like. Operators are in
 * bind_op.c, functions in bind_call.c. A bound expression may still be of type unknown (an untyped
 * literal); who uses it coerces it.
 */
#include "processor/sql/bind.h"

/* ---- columns --------------------------------------------------------------------------------- */

int32_t rel_find(const struct rel *rel, struct str name)
{
	int32_t found = -1;
	for (uint32_t i = 0; i < rel->plan->column_count; i++) {
		const struct rel_column *c = &rel->columns[i];
		if (c->visibility == COL_INTERNAL || !str_equal(c->name, name))
			continue;
		if (found >= 0)
			return -2;
		found = (int32_t)i;
	}
	return found;
}

enum err bind_no_column(struct binder *b, const struct rel *rel, struct str name, int32_t location)
{
	struct nearest n;
	nearest_init(&n, name);
	for (uint32_t i = 0; rel && i < rel->plan->column_count; i++)
		if (rel->columns[i].visibility != COL_INTERNAL)
			nearest_offer(&n, rel->columns[i].name);
	if (n.best.ptr)
		bind_hint(b, "did you mean %.*s?", STR_ARG(n.best));
	return bind_fail(
	    b, location, ERR_SQL_NAME, "column \"%.*s\" does not exist", STR_ARG(name));
}

/* a, or t.a; more parts would be schemas or fields of rows. */
static enum err column_name(
    struct binder *b, const struct scope *s, const PgQuery__ColumnRef *x, struct str *ret_name)
{
	const PgQuery__Node *last = x->fields[x->n_fields - 1];
	if (last->node_case != PG_QUERY__NODE__NODE_STRING)
		return bind_fail(b, x->location, ERR_SQL_SYNTAX, "* is not allowed here");
	if (x->n_fields > 2)
		return bind_fail(b, x->location, ERR_SQL_UNSUPPORTED,
		    "there are no schemas: write table.column");
	struct str first = tree_string(x->fields[0]);
	if (x->n_fields == 2 &&
	    (!s->rel || !s->rel->alias.ptr || !str_equal(first, s->rel->alias))) {
		if (s->rel && s->rel->alias.ptr)
			bind_hint(b, "did you mean %.*s?", STR_ARG(s->rel->alias));
		return bind_fail(b, x->location, ERR_SQL_NAME,
		    "missing FROM-clause entry for table \"%.*s\"", STR_ARG(first));
	}
	*ret_name = tree_string(last);
	return ERR_OK;
}

enum err bind_column(
    struct binder *b, const struct scope *s, const PgQuery__ColumnRef *x, struct expr **ret_expr)
{
	struct str name = {NULL, 0};
	TRY(column_name(b, s, x, &name));
	int32_t index = s->rel ? rel_find(s->rel, name) : -1;
	if (index == -2)
		return bind_fail(b, x->location, ERR_SQL_AMBIGUOUS,
		    "column reference \"%.*s\" is ambiguous", STR_ARG(name));
	if (index < 0 && s->rel && x->n_fields == 1 && s->rel->alias.ptr &&
	    str_equal(name, s->rel->alias))
		return bind_not_yet(b, x->location, "whole rows as values are");
	if (index < 0)
		return bind_no_column(b, s->rel, name, x->location);
	*ret_expr = expr_column(b, (uint32_t)index, s->rel->columns[index].type, x->location);
	return *ret_expr ? ERR_OK : bind_nomem(b);
}

/* ---- literals -------------------------------------------------------------------------------- */

static enum err const_done(
    struct binder *b, enum type_id id, struct datum d, int32_t location, struct expr **ret_expr)
{
	*ret_expr = expr_const(b, type_of(id), d, location);
	return *ret_expr ? ERR_OK : bind_nomem(b);
}

/* Digits that fit no integer, or a fraction: integer, bigint or numeric by size, as PostgreSQL. */
static enum err bind_number(
    struct binder *b, struct str text, int32_t location, struct expr **ret_expr)
{
	int64_t i = 0;
	struct datum d = {.null = false};
	if (str_to_i64(text, &i)) {
		d.i = i;
		return const_done(b, i >= INT32_MIN && i <= INT32_MAX ? TYPE_INT4 : TYPE_INT8, d,
		    location, ret_expr);
	}
	enum err err = datum_from_text(b->arena, type_of(TYPE_NUMERIC), text, &d);
	if (err != ERR_OK)
		return bind_fail(
		    b, location, err, "numeric literal \"%.*s\" is out of range", STR_ARG(text));
	return const_done(b, TYPE_NUMERIC, d, location, ret_expr);
}

static enum err bind_const(struct binder *b, const PgQuery__AConst *x, struct expr **ret_expr)
{
	struct datum d = {.null = x->isnull};
	if (x->isnull)
		return const_done(b, TYPE_UNKNOWN, d, x->location, ret_expr);
	switch (x->val_case) {
	case PG_QUERY__A__CONST__VAL_IVAL:
		d.i = x->ival->ival;
		return const_done(b, TYPE_INT4, d, x->location, ret_expr);
	case PG_QUERY__A__CONST__VAL_FVAL:
		return bind_number(b, str_of(x->fval->fval), x->location, ret_expr);
	case PG_QUERY__A__CONST__VAL_BOOLVAL:
		d.b = x->boolval->boolval != 0;
		return const_done(b, TYPE_BOOL, d, x->location, ret_expr);
	case PG_QUERY__A__CONST__VAL_SVAL:
		TRY(bind_copy(b, str_of(x->sval->sval), &d.s));
		return const_done(b, TYPE_UNKNOWN, d, x->location, ret_expr);
	case PG_QUERY__A__CONST__VAL_BSVAL:
	case PG_QUERY__A__CONST__VAL__NOT_SET:
	case _PG_QUERY__A__CONST__VAL__CASE_IS_INT_SIZE:
	default:
		return bind_fail(
		    b, x->location, ERR_SQL_UNSUPPORTED, "bit strings are not supported");
	}
}

static enum err bind_cast(
    struct binder *b, const struct scope *s, const PgQuery__TypeCast *x, struct expr **ret_expr)
{
	struct type type = {TYPE_UNKNOWN, 0, 0};
	TRY(bind_type(b, x->type_name, &type));
	TRY(bind_expr(b, s, x->arg, ret_expr));
	struct expr *e = *ret_expr;
	if (type.id == TYPE_INTERVAL && e->type.id == TYPE_UNKNOWN && !e->value.null)
		TRY(bind_interval_unit(b, x->type_name, &e->value.s));
	else if (type.id == TYPE_INTERVAL && x->type_name->n_typmods > 0)
		return bind_fail(
		    b, x->location, ERR_SQL_UNSUPPORTED, "interval fields need a literal");
	return coerce(b, s, ret_expr, type, levels_explicit());
}

/* ---- logic ----------------------------------------------------------------------------------- */

enum err bind_exprs(struct binder *b, const struct scope *s, size_t count,
    PgQuery__Node *const *nodes, struct expr ***ret_exprs)
{
	struct expr **exprs = bind_alloc(b, count, sizeof(struct expr *));
	if (!exprs)
		return bind_nomem(b);
	for (size_t i = 0; i < count; i++)
		TRY(bind_expr(b, s, nodes[i], &exprs[i]));
	*ret_exprs = exprs;
	return ERR_OK;
}

static enum err bind_bool(
    struct binder *b, const struct scope *s, const PgQuery__BoolExpr *x, struct expr **ret_expr)
{
	static const char *const words[] = {"AND", "OR", "NOT"};
	static const enum expr_kind kinds[] = {EXPR_AND, EXPR_OR, EXPR_NOT};
	int op = x->boolop == PG_QUERY__BOOL_EXPR_TYPE__AND_EXPR  ? 0
	         : x->boolop == PG_QUERY__BOOL_EXPR_TYPE__OR_EXPR ? 1
	                                                          : 2;
	struct expr *e =
	    expr_new(b, kinds[op], type_of(TYPE_BOOL), (uint32_t)x->n_args, x->location);
	if (!e)
		return bind_nomem(b);
	struct scope inner = *s;
	for (uint32_t i = 0; i < e->arg_count; i++) {
		TRY(bind_expr(b, &inner, x->args[i], &e->args[i]));
		TRY(coerce_boolean(b, &inner, &e->args[i], words[op]));
		inner.conditional =
		    s->conditional + (op < 2); /* the first operand is always evaluated */
	}
	return expr_done(b, s, e, ret_expr);
}

static enum err wrap(struct binder *b, const struct scope *s, enum expr_kind kind, struct expr *arg,
    struct expr **ret_expr)
{
	struct expr *e = expr_new(b, kind, type_of(TYPE_BOOL), 1, arg->location);
	if (!e)
		return bind_nomem(b);
	e->args[0] = arg;
	return expr_done(b, s, e, ret_expr);
}

static enum err bind_null_test(
    struct binder *b, const struct scope *s, const PgQuery__NullTest *x, struct expr **ret_expr)
{
	struct expr *arg = NULL;
	TRY(bind_expr(b, s, x->arg, &arg));
	TRY(coerce_unknown(b, s, &arg));
	TRY(wrap(b, s, EXPR_IS_NULL, arg, ret_expr));
	if (x->nulltesttype == PG_QUERY__NULL_TEST_TYPE__IS_NOT_NULL)
		return wrap(b, s, EXPR_NOT, *ret_expr, ret_expr);
	return ERR_OK;
}

static enum err bind_bool_test(
    struct binder *b, const struct scope *s, const PgQuery__BooleanTest *x, struct expr **ret_expr)
{
	struct expr *arg = NULL;
	PgQuery__BoolTestType t = x->booltesttype;
	bool is_false =
	    t == PG_QUERY__BOOL_TEST_TYPE__IS_FALSE || t == PG_QUERY__BOOL_TEST_TYPE__IS_NOT_FALSE;
	bool is_null = t == PG_QUERY__BOOL_TEST_TYPE__IS_UNKNOWN ||
	               t == PG_QUERY__BOOL_TEST_TYPE__IS_NOT_UNKNOWN;
	bool negated = t == PG_QUERY__BOOL_TEST_TYPE__IS_NOT_TRUE ||
	               t == PG_QUERY__BOOL_TEST_TYPE__IS_NOT_FALSE ||
	               t == PG_QUERY__BOOL_TEST_TYPE__IS_NOT_UNKNOWN;
	TRY(bind_expr(b, s, x->arg, &arg));
	TRY(coerce_boolean(b, s, &arg, "IS TRUE, IS FALSE or IS UNKNOWN"));
	if (is_false)
		TRY(wrap(b, s, EXPR_NOT, arg, &arg));
	TRY(wrap(b, s, is_null ? EXPR_IS_NULL : EXPR_IS_TRUE, arg, ret_expr));
	return negated ? wrap(b, s, EXPR_NOT, *ret_expr, ret_expr) : ERR_OK;
}

/* ---- choices --------------------------------------------------------------------------------- */

/* Binds the condition of one arm: a boolean, or `subject = value` in the short form. */
static enum err case_when(struct binder *b, const struct scope *s, const PgQuery__CaseWhen *w,
    struct expr *subject, struct expr **ret_expr)
{
	TRY(bind_expr(b, s, w->expr, ret_expr));
	if (!subject)
		return coerce_boolean(b, s, ret_expr, "CASE/WHEN");
	struct expr *args[2] = {subject, *ret_expr};
	struct overload o = {
	    .name = STR("="), .arg_count = 2, .is_operator = true, .location = w->location};
	return bind_func(b, s, &o, args, ret_expr);
}

static enum err case_results(struct binder *b, const struct scope *s, struct expr *e)
{
	uint32_t arms = e->arg_count / 2, count = 0;
	struct expr **results = bind_alloc(b, arms + 1, sizeof(struct expr *));
	if (!results)
		return bind_nomem(b);
	results[count++] = e->args[e->arg_count - 1]; /* PostgreSQL asks ELSE first */
	for (uint32_t i = 0; i < arms; i++)
		results[count++] = e->args[2 * i + 1];
	TRY(common_type(b, results, count, "CASE", &e->type));
	for (uint32_t i = 0; i < arms; i++)
		TRY(coerce(b, s, &e->args[2 * i + 1], e->type, levels_implicit()));
	return coerce(b, s, &e->args[e->arg_count - 1], e->type, levels_implicit());
}

static enum err bind_case(
    struct binder *b, const struct scope *s, const PgQuery__CaseExpr *x, struct expr **ret_expr)
{
	struct scope inner = *s;
	struct expr *subject = NULL;
	struct expr *e =
	    expr_new(b, EXPR_CASE, type_of(TYPE_UNKNOWN), (uint32_t)x->n_args * 2 + 1, x->location);
	if (!e)
		return bind_nomem(b);
	if (x->arg) {
		TRY(bind_expr(b, s, x->arg, &subject));
		TRY(coerce_unknown(b, s, &subject));
		TRY(expr_copies_ok(b, subject, x->n_args));
	}
	for (uint32_t i = 0; i < x->n_args; i++) {
		const PgQuery__CaseWhen *w = x->args[i]->case_when;
		inner.conditional = s->conditional + (i > 0);
		TRY(case_when(b, &inner, w, subject, &e->args[2 * i]));
		inner.conditional = s->conditional + 1;
		TRY(bind_expr(b, &inner, w->result, &e->args[2 * i + 1]));
	}
	struct expr **last = &e->args[e->arg_count - 1];
	if (x->defresult)
		TRY(bind_expr(b, &inner, x->defresult, last));
	else
		*last = expr_null(b, type_of(TYPE_UNKNOWN), x->location);
	if (!*last)
		return bind_nomem(b);
	TRY(case_results(b, &inner, e));
	return expr_done(b, s, e, ret_expr);
}

/* COALESCE, GREATEST, LEAST: n arguments of one type. */
static enum err bind_list(struct binder *b, const struct scope *s, struct expr *e,
    PgQuery__Node *const *args, const char *what)
{
	struct scope inner = *s;
	for (uint32_t i = 0; i < e->arg_count; i++) {
		inner.conditional = s->conditional + (e->kind == EXPR_COALESCE && i > 0);
		TRY(bind_expr(b, &inner, args[i], &e->args[i]));
	}
	TRY(common_type(b, e->args, e->arg_count, what, &e->type));
	for (uint32_t i = 0; i < e->arg_count; i++) {
		inner.conditional = s->conditional + (e->kind == EXPR_COALESCE && i > 0);
		TRY(coerce(b, &inner, &e->args[i], e->type, levels_implicit()));
	}
	return ERR_OK;
}

static enum err bind_coalesce(
    struct binder *b, const struct scope *s, const PgQuery__CoalesceExpr *x, struct expr **ret_expr)
{
	struct expr *e =
	    expr_new(b, EXPR_COALESCE, type_of(TYPE_UNKNOWN), (uint32_t)x->n_args, x->location);
	if (!e)
		return bind_nomem(b);
	TRY(bind_list(b, s, e, x->args, "COALESCE"));
	return expr_done(b, s, e, ret_expr);
}

static enum err bind_min_max(
    struct binder *b, const struct scope *s, const PgQuery__MinMaxExpr *x, struct expr **ret_expr)
{
	bool greatest = x->op == PG_QUERY__MIN_MAX_OP__IS_GREATEST;
	struct expr *e = expr_new(b, greatest ? EXPR_GREATEST : EXPR_LEAST, type_of(TYPE_UNKNOWN),
	    (uint32_t)x->n_args, x->location);
	if (!e)
		return bind_nomem(b);
	TRY(bind_list(b, s, e, x->args, greatest ? "GREATEST" : "LEAST"));
	if (e->type.id == TYPE_JSONB)
		return bind_fail(
		    b, x->location, ERR_SQL_TYPE, "values of type jsonb cannot be ordered");
	return expr_done(b, s, e, ret_expr);
}

/* ---- dispatch -------------------------------------------------------------------------------- */

static enum err refuse_sublink(struct binder *b, const PgQuery__SubLink *x)
{
	if (x->sub_link_type == PG_QUERY__SUB_LINK_TYPE__ANY_SUBLINK)
		return bind_not_yet(b, x->location, "IN and ANY over a subquery are");
	if (x->sub_link_type == PG_QUERY__SUB_LINK_TYPE__EXISTS_SUBLINK)
		return bind_not_yet(b, x->location, "EXISTS is");
	return bind_not_yet(b, x->location, "subqueries in expressions are");
}

static enum err refuse_now(struct binder *b, const PgQuery__SQLValueFunction *x)
{
	if (x->op >= PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_CURRENT_ROLE)
		return bind_fail(
		    b, x->location, ERR_SQL_UNSUPPORTED, "there are no users and schemas in SQL");
	bind_hint(b, "use _ingest_time, the time when the record was appended");
	return bind_fail(b, x->location, ERR_SQL_UNSUPPORTED,
	    "the current time is refused: the same records must always give the same rows");
}

static enum err refuse_expr(struct binder *b, const PgQuery__Node *n)
{
	int32_t at = node_location(n);
	if (n->node_case == PG_QUERY__NODE__NODE_SUB_LINK)
		return refuse_sublink(b, n->sub_link);
	if (n->node_case == PG_QUERY__NODE__NODE_SQLVALUE_FUNCTION)
		return refuse_now(b, n->sqlvalue_function);
	if (n->node_case == PG_QUERY__NODE__NODE_A_ARRAY_EXPR)
		return bind_not_yet(b, at, "arrays are");
	if (n->node_case == PG_QUERY__NODE__NODE_A_INDIRECTION)
		return bind_not_yet(b, at, "fields of rows and elements of arrays are");
	if (n->node_case == PG_QUERY__NODE__NODE_ROW_EXPR)
		return bind_not_yet(b, at, "row values are");
	if (n->node_case == PG_QUERY__NODE__NODE_PARAM_REF)
		return bind_fail(b, at, ERR_SQL_UNSUPPORTED, "parameters are not supported");
	if (n->node_case == PG_QUERY__NODE__NODE_COLLATE_CLAUSE)
		return bind_fail(
		    b, at, ERR_SQL_UNSUPPORTED, "COLLATE is not supported: text compares by bytes");
	if (n->node_case == PG_QUERY__NODE__NODE_NAMED_ARG_EXPR)
		return bind_fail(
		    b, at, ERR_SQL_UNSUPPORTED, "this function takes no named arguments");
	if (n->node_case == PG_QUERY__NODE__NODE_SET_TO_DEFAULT)
		return bind_fail(b, at, ERR_SQL_SYNTAX, "DEFAULT is not allowed here");
	return bind_fail(b, at, ERR_SQL_UNSUPPORTED, "this expression is not supported");
}

static enum err dispatch(
    struct binder *b, const struct scope *s, const PgQuery__Node *n, struct expr **ret_expr)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wswitch-enum" /* 240 kinds of nodes */
	switch (n->node_case) {
	case PG_QUERY__NODE__NODE_COLUMN_REF:
		return bind_column(b, s, n->column_ref, ret_expr);
	case PG_QUERY__NODE__NODE_A_CONST:
		return bind_const(b, n->a_const, ret_expr);
	case PG_QUERY__NODE__NODE_TYPE_CAST:
		return bind_cast(b, s, n->type_cast, ret_expr);
	case PG_QUERY__NODE__NODE_A_EXPR:
		return bind_op(b, s, n->a_expr, ret_expr);
	case PG_QUERY__NODE__NODE_FUNC_CALL:
		return bind_call(b, s, n->func_call, ret_expr);
	case PG_QUERY__NODE__NODE_BOOL_EXPR:
		return bind_bool(b, s, n->bool_expr, ret_expr);
	case PG_QUERY__NODE__NODE_NULL_TEST:
		return bind_null_test(b, s, n->null_test, ret_expr);
	case PG_QUERY__NODE__NODE_BOOLEAN_TEST:
		return bind_bool_test(b, s, n->boolean_test, ret_expr);
	case PG_QUERY__NODE__NODE_CASE_EXPR:
		return bind_case(b, s, n->case_expr, ret_expr);
	case PG_QUERY__NODE__NODE_COALESCE_EXPR:
		return bind_coalesce(b, s, n->coalesce_expr, ret_expr);
	case PG_QUERY__NODE__NODE_MIN_MAX_EXPR:
		return bind_min_max(b, s, n->min_max_expr, ret_expr);
	default:
		return refuse_expr(b, n);
	}
#pragma GCC diagnostic pop
}

enum err bind_expr(
    struct binder *b, const struct scope *s, const PgQuery__Node *n, struct expr **ret_expr)
{
	if (b->depth >= BIND_DEPTH_MAX)
		return bind_fail(b, node_location(n), ERR_LIMIT,
		    "the expression nests deeper than %d", BIND_DEPTH_MAX);
	b->depth++;
	enum err err = dispatch(b, s, n, ret_expr);
	b->depth--;
	return err;
}

enum err bind_condition(
    struct binder *b, const struct scope *s, const PgQuery__Node *n, struct expr **ret_expr)
{
	struct expr *e = NULL;
	TRY(bind_expr(b, s, n, &e));
	TRY(coerce_boolean(b, s, &e, s->clause));
	*ret_expr = e;
	return ERR_OK;
}

enum err bind_constant(
    struct binder *b, const PgQuery__Node *n, const char *what, struct expr **ret_expr)
{
	struct scope s = {.clause = what};
	struct expr *e = NULL;
	if (n->node_case == PG_QUERY__NODE__NODE_COLUMN_REF)
		return bind_fail(b, node_location(n), ERR_SQL_TYPE, "%s must be a constant", what);
	TRY(bind_expr(b, &s, n, &e));
	TRY(coerce_unknown(b, &s, &e));
	if (e->kind != EXPR_CONST)
		return bind_fail(b, e->location, ERR_SQL_TYPE, "%s must be a constant", what);
	*ret_expr = e;
	return ERR_OK;
}
