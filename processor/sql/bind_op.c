/* SPDX-License-Identifier: Apache-2.0 */
/* Operators: what the grammar calls A_Expr. BETWEEN becomes comparisons; IN, IS DISTINCT FROM and
 * NULLIF have their own kinds. */
#include "processor/sql/bind.h"

static enum err operator_name(struct binder *b, const PgQuery__AExpr *x, struct str *ret_name)
{
	*ret_name = tree_name(x->n_name, x->name);
	if (ret_name->ptr)
		return ERR_OK;
	return bind_fail(
	    b, x->location, ERR_SQL_UNSUPPORTED, "there are no schemas: write the bare operator");
}

static struct overload op_of(struct str name, int32_t location)
{
	return (struct overload){
	    .name = name, .arg_count = 2, .is_operator = true, .location = location};
}

static enum err bind_unary(struct binder *b, const struct scope *s, const PgQuery__AExpr *x,
    struct str name, struct expr **ret_expr)
{
	struct expr *arg = NULL;
	struct overload o = {
	    .name = name, .arg_count = 1, .is_operator = true, .location = x->location};
	TRY(bind_expr(b, s, x->rexpr, &arg));
	if (str_equal(name, STR("+")) && arg->type.id == TYPE_UNKNOWN)
		TRY(coerce(b, s, &arg, type_of(TYPE_FLOAT8), levels_implicit()));
	if (str_equal(name, STR("+")) && type_category(arg->type.id) == 'N') {
		*ret_expr = arg;
		return ERR_OK;
	}
	return bind_func(b, s, &o, &arg, ret_expr);
}

static bool is_equality(struct str name, bool *ret_not)
{
	*ret_not = str_equal(name, STR("<>"));
	return *ret_not || str_equal(name, STR("="));
}

static enum err bind_plain(
    struct binder *b, const struct scope *s, const PgQuery__AExpr *x, struct expr **ret_expr)
{
	struct str name = {NULL, 0};
	struct expr *args[2] = {NULL, NULL};
	TRY(operator_name(b, x, &name));
	if (!x->lexpr)
		return bind_unary(b, s, x, name, ret_expr);
	if (x->lexpr->node_case == PG_QUERY__NODE__NODE_ROW_EXPR)
		return bind_not_yet(b, x->location, "row comparisons are");
	TRY(bind_expr(b, s, x->lexpr, &args[0]));
	TRY(bind_expr(b, s, x->rexpr, &args[1]));
	struct overload o = op_of(name, x->location);
	return bind_func(b, s, &o, args, ret_expr);
}

/* ---- comparisons with names ------------------------------------------------------------------ */

static enum err negate(struct binder *b, const struct scope *s, bool negated, struct expr **e)
{
	if (!negated)
		return ERR_OK;
	struct expr *not = expr_new(b, EXPR_NOT, type_of(TYPE_BOOL), 1, (*e)->location);
	if (!not )
		return bind_nomem(b);
	not ->args[0] = *e;
	return expr_done(b, s, not, e);
}

static enum err join_bool(struct binder *b, const struct scope *s, enum expr_kind kind,
    struct expr *args[2], struct expr **ret_expr)
{
	struct expr *e = expr_new(b, kind, type_of(TYPE_BOOL), 2, args[0]->location);
	if (!e)
		return bind_nomem(b);
	e->args[0] = args[0];
	e->args[1] = args[1];
	return expr_done(b, s, e, ret_expr);
}

/* low <= x AND x <= high */
static enum err between(struct binder *b, const struct scope *s, struct expr *parts[3],
    int32_t location, struct expr **ret_expr)
{
	struct expr *halves[2] = {NULL, NULL};
	struct expr *low[2] = {parts[0], parts[1]}, *high[2] = {parts[0], parts[2]};
	struct overload at_least = op_of(STR(">="), location), at_most = op_of(STR("<="), location);
	TRY(bind_func(b, s, &at_least, low, &halves[0]));
	TRY(bind_func(b, s, &at_most, high, &halves[1]));
	return join_bool(b, s, EXPR_AND, halves, ret_expr);
}

static enum err bind_between(
    struct binder *b, const struct scope *s, const PgQuery__AExpr *x, struct expr **ret_expr)
{
	struct expr *parts[3] = {NULL, NULL, NULL}, *ways[2] = {NULL, NULL};
	PgQuery__AExprKind k = x->kind;
	bool negated = k == PG_QUERY__A__EXPR__KIND__AEXPR_NOT_BETWEEN ||
	               k == PG_QUERY__A__EXPR__KIND__AEXPR_NOT_BETWEEN_SYM;
	bool symmetric = k == PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN_SYM ||
	                 k == PG_QUERY__A__EXPR__KIND__AEXPR_NOT_BETWEEN_SYM;
	ASSERT(x->rexpr->node_case == PG_QUERY__NODE__NODE_LIST && x->rexpr->list->n_items == 2);
	TRY(bind_expr(b, s, x->lexpr, &parts[0]));
	TRY(bind_expr(b, s, x->rexpr->list->items[0], &parts[1]));
	TRY(bind_expr(b, s, x->rexpr->list->items[1], &parts[2]));
	TRY(expr_copies_ok(b, parts[0], symmetric ? 4 : 2));
	if (!symmetric) {
		TRY(between(b, s, parts, x->location, ret_expr));
		return negate(b, s, negated, ret_expr);
	}
	struct expr *swapped[3] = {parts[0], parts[2], parts[1]};
	TRY(expr_copies_ok(b, parts[1], 2));
	TRY(expr_copies_ok(b, parts[2], 2));
	TRY(between(b, s, parts, x->location, &ways[0]));
	TRY(between(b, s, swapped, x->location, &ways[1]));
	TRY(join_bool(b, s, EXPR_OR, ways, ret_expr));
	return negate(b, s, negated, ret_expr);
}

/* The types must have an equality, and the argument list one type. */
static enum err check_equality(struct binder *b, struct type type, int32_t location)
{
	const struct expr side = {.kind = EXPR_COLUMN, .type = type_of(type.id)};
	const struct expr *const sides[2] = {&side, &side};
	const struct overload o = {STR("="), sides, 2, true, location};
	const struct func *f = NULL;
	return overload_find(b, &o, &f);
}

static enum err bind_in(
    struct binder *b, const struct scope *s, const PgQuery__AExpr *x, struct expr **ret_expr)
{
	struct str name = {NULL, 0};
	bool negated = false;
	TRY(operator_name(b, x, &name));
	ASSERT(is_equality(name, &negated));
	if (x->rexpr->node_case != PG_QUERY__NODE__NODE_LIST)
		return bind_not_yet(b, x->location, "IN over a subquery is");
	const PgQuery__List *list = x->rexpr->list;
	struct expr *e =
	    expr_new(b, EXPR_IN, type_of(TYPE_BOOL), (uint32_t)list->n_items + 1, x->location);
	struct type type = {TYPE_UNKNOWN, 0, 0};
	if (!e)
		return bind_nomem(b);
	TRY(bind_expr(b, s, x->lexpr, &e->args[0]));
	for (uint32_t i = 1; i < e->arg_count; i++)
		TRY(bind_expr(b, s, list->items[i - 1], &e->args[i]));
	TRY(common_type(b, e->args, e->arg_count, "IN", &type));
	TRY(check_equality(b, type, x->location));
	for (uint32_t i = 0; i < e->arg_count; i++)
		TRY(coerce(b, s, &e->args[i], type_of(type.id), levels_implicit()));
	TRY(expr_done(b, s, e, ret_expr));
	return negate(b, s, negated, ret_expr);
}

static enum err bind_distinct(
    struct binder *b, const struct scope *s, const PgQuery__AExpr *x, struct expr **ret_expr)
{
	struct expr *e = expr_new(b, EXPR_DISTINCT, type_of(TYPE_BOOL), 2, x->location);
	struct type type = {TYPE_UNKNOWN, 0, 0};
	if (!e)
		return bind_nomem(b);
	TRY(bind_expr(b, s, x->lexpr, &e->args[0]));
	TRY(bind_expr(b, s, x->rexpr, &e->args[1]));
	TRY(common_type(b, e->args, 2, "IS DISTINCT FROM", &type));
	TRY(check_equality(b, type, x->location));
	for (uint32_t i = 0; i < 2; i++)
		TRY(coerce(b, s, &e->args[i], type_of(type.id), levels_implicit()));
	TRY(expr_done(b, s, e, ret_expr));
	return negate(b, s, x->kind == PG_QUERY__A__EXPR__KIND__AEXPR_NOT_DISTINCT, ret_expr);
}

/* PostgreSQL compares these without casting, so NULLIF keeps the type of its first operand. */
static bool compare_uncast(enum type_id a, enum type_id b)
{
	bool ints = a >= TYPE_INT2 && a <= TYPE_INT8 && b >= TYPE_INT2 && b <= TYPE_INT8;
	bool floats =
	    (a == TYPE_FLOAT4 && type_category(b) == 'N') || (a == TYPE_FLOAT8 && b == TYPE_FLOAT4);
	return ints || floats || (type_category(a) == 'D' && type_category(b) == 'D');
}

/* CASE WHEN equal THEN NULL ELSE value END */
static enum err nullif_case(struct binder *b, const struct scope *s, struct expr *equal,
    struct expr *value, struct expr **ret_expr)
{
	struct expr *e = expr_new(b, EXPR_CASE, value->type, 3, value->location);
	TRY(expr_copies_ok(b, value, 2));
	if (!e)
		return bind_nomem(b);
	e->args[0] = equal;
	e->args[1] = expr_null(b, value->type, value->location);
	e->args[2] = value;
	return e->args[1] ? expr_done(b, s, e, ret_expr) : bind_nomem(b);
}

/* The result is the first operand, in the type that the comparison gave it. */
static enum err bind_nullif(
    struct binder *b, const struct scope *s, const PgQuery__AExpr *x, struct expr **ret_expr)
{
	struct expr *args[2] = {NULL, NULL};
	TRY(bind_expr(b, s, x->lexpr, &args[0]));
	TRY(bind_expr(b, s, x->rexpr, &args[1]));
	struct overload o = {STR("="), (const struct expr *const *)args, 2, true, x->location};
	const struct func *f = NULL;
	struct expr *value = args[0], *equal = NULL;
	TRY(overload_find(b, &o, &f));
	if (value->type.id != f->args[0] && compare_uncast(value->type.id, args[1]->type.id)) {
		TRY(bind_func(b, s, &o, args, &equal));
		return nullif_case(b, s, equal, value, ret_expr);
	}
	for (uint32_t i = 0; i < 2; i++)
		TRY(coerce(b, s, &args[i], type_of(f->args[i]), levels_implicit()));
	struct expr *e = expr_new(b, EXPR_NULLIF, args[0]->type, 2, x->location);
	if (!e)
		return bind_nomem(b);
	e->func = f;
	e->args[0] = args[0];
	e->args[1] = args[1];
	return expr_done(b, s, e, ret_expr);
}

enum err bind_op(
    struct binder *b, const struct scope *s, const PgQuery__AExpr *x, struct expr **ret_expr)
{
	switch (x->kind) {
	case PG_QUERY__A__EXPR__KIND__AEXPR_OP:
	case PG_QUERY__A__EXPR__KIND__AEXPR_LIKE: /* the tree names the operators: ~~, !~~, ~~*,
	                                             !~~* */
	case PG_QUERY__A__EXPR__KIND__AEXPR_ILIKE:
		return bind_plain(b, s, x, ret_expr);
	case PG_QUERY__A__EXPR__KIND__AEXPR_IN:
		return bind_in(b, s, x, ret_expr);
	case PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN:
	case PG_QUERY__A__EXPR__KIND__AEXPR_NOT_BETWEEN:
	case PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN_SYM:
	case PG_QUERY__A__EXPR__KIND__AEXPR_NOT_BETWEEN_SYM:
		return bind_between(b, s, x, ret_expr);
	case PG_QUERY__A__EXPR__KIND__AEXPR_DISTINCT:
	case PG_QUERY__A__EXPR__KIND__AEXPR_NOT_DISTINCT:
		return bind_distinct(b, s, x, ret_expr);
	case PG_QUERY__A__EXPR__KIND__AEXPR_NULLIF:
		return bind_nullif(b, s, x, ret_expr);
	case PG_QUERY__A__EXPR__KIND__AEXPR_OP_ANY:
	case PG_QUERY__A__EXPR__KIND__AEXPR_OP_ALL:
		bind_hint(b, "write x IN (a, b, c)");
		return bind_not_yet(b, x->location, "ANY and ALL are");
	case PG_QUERY__A__EXPR__KIND__AEXPR_SIMILAR:
		bind_hint(b, "use LIKE or a regular expression: x ~ 'pattern'");
		return bind_fail(
		    b, x->location, ERR_SQL_UNSUPPORTED, "SIMILAR TO is not supported");
	case PG_QUERY__A__EXPR__KIND__A_EXPR_KIND_UNDEFINED:
	case _PG_QUERY__A__EXPR__KIND_IS_INT_SIZE:
	default:
		return bind_fail(
		    b, x->location, ERR_SQL_UNSUPPORTED, "this operator is not supported");
	}
}
