/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tumble(rel, col, size): the relation with window_start and window_end. Windows are [start, end),
 * aligned to the epoch, so both are plain expressions over the row: date_bin(size, col, epoch), and
 * in a second projection that plus the size.
 */
#include "processor/sql/bind.h"

struct window_args {
	const PgQuery__Node *rel, *col, *size;
};

static enum err named_arg(
    struct binder *b, const PgQuery__NamedArgExpr *a, struct window_args *args)
{
	const PgQuery__Node **slot = NULL;
	if (strcmp(a->name, "rel") == 0)
		slot = &args->rel;
	else if (strcmp(a->name, "col") == 0)
		slot = &args->col;
	else if (strcmp(a->name, "size") == 0)
		slot = &args->size;
	if (slot && !*slot) {
		*slot = a->arg;
		return ERR_OK;
	}
	bind_hint(b, "the arguments of tumble are rel, col and size");
	return bind_fail(b, a->location, slot ? ERR_SQL_SYNTAX : ERR_SQL_NAME,
	    slot ? "argument \"%s\" is given twice" : "tumble has no argument \"%s\"", a->name);
}

static enum err window_args(struct binder *b, const PgQuery__FuncCall *x, struct window_args *args)
{
	for (size_t i = 0; i < x->n_args && i < 3; i++) {
		const PgQuery__Node *n = x->args[i];
		if (n->node_case == PG_QUERY__NODE__NODE_NAMED_ARG_EXPR)
			TRY(named_arg(b, n->named_arg_expr, args));
		else if (i == 0)
			args->rel = n;
		else if (i == 1)
			args->col = n;
		else
			args->size = n;
	}
	if (x->n_args == 3 && args->rel && args->col && args->size)
		return ERR_OK;
	bind_hint(b, "write tumble(relation, column, interval '1 minute')");
	return bind_fail(
	    b, x->location, ERR_SQL_TYPE, "tumble takes a relation, a column and an interval");
}

/* A relation's name parses as a column's. */
static enum err window_rel(struct binder *b, const PgQuery__Node *n, struct rel *ret_rel)
{
	int32_t at = node_location(n);
	if (n->node_case == PG_QUERY__NODE__NODE_COLUMN_REF && n->column_ref->n_fields == 1 &&
	    tree_string(n->column_ref->fields[0]).ptr)
		return bind_name(b, tree_string(n->column_ref->fields[0]), at, ret_rel);
	if (n->node_case == PG_QUERY__NODE__NODE_SUB_LINK &&
	    n->sub_link->sub_link_type == PG_QUERY__SUB_LINK_TYPE__EXPR_SUBLINK)
		return bind_select(b, n->sub_link->subselect->select_stmt, ret_rel);
	bind_hint(b, "write tumble(relation, column, interval '1 minute')");
	return bind_fail(
	    b, at, ERR_SQL_TYPE, "the first argument of tumble is a relation or a subquery");
}

static enum err window_size(struct binder *b, const PgQuery__Node *n, struct expr **ret_size)
{
	struct expr *e = NULL;
	TRY(bind_constant(b, n, "the size of a window", &e));
	if (e->type.id == TYPE_TEXT) {
		e->type = type_of(TYPE_UNKNOWN);
		TRY(coerce(b, NULL, &e, type_of(TYPE_INTERVAL), levels_implicit()));
	}
	if (e->type.id != TYPE_INTERVAL || e->value.null)
		return bind_fail(
		    b, node_location(n), ERR_SQL_TYPE, "the size of a window is an interval");
	int64_t us = 0;
	bool overflow =
	    __builtin_mul_overflow((int64_t)e->value.iv.days, INT64_C(86400000000), &us) ||
	    __builtin_add_overflow(us, e->value.iv.us, &us);
	if (overflow || us <= 0 || e->value.iv.months != 0) {
		if (e->value.iv.months != 0)
			bind_hint(b, "months and years have no fixed length; write days");
		return bind_fail(b, node_location(n), ERR_SQL_TYPE,
		    "the size of a window is a fixed, positive interval");
	}
	e->value.iv = (struct interval){.us = us};
	*ret_size = e;
	return ERR_OK;
}

static enum err window_col(
    struct binder *b, const struct rel *rel, const PgQuery__Node *n, struct expr **ret_col)
{
	struct scope s = {.rel = rel, .clause = "tumble"};
	char buf[64];
	if (n->node_case != PG_QUERY__NODE__NODE_COLUMN_REF)
		return bind_fail(
		    b, node_location(n), ERR_SQL_TYPE, "the second argument of tumble is a column");
	TRY(bind_column(b, &s, n->column_ref, ret_col));
	enum type_id id = (*ret_col)->type.id;
	if (id == TYPE_TIMESTAMPTZ || id == TYPE_TIMESTAMP)
		return ERR_OK;
	return bind_fail(b, node_location(n), ERR_SQL_TYPE,
	    "tumble needs a timestamp column, not %s", type_text((*ret_col)->type, buf));
}

static enum err window_start(
    struct binder *b, struct expr *col, struct expr *size, struct expr **ret_expr)
{
	struct scope s = {.clause = "tumble"};
	struct expr *epoch =
	    expr_const(b, type_of(col->type.id), (struct datum){.i = 0}, col->location);
	struct expr *args[3] = {size, col, epoch};
	struct overload o = {.name = STR("date_bin"), .arg_count = 3, .location = col->location};
	return epoch ? bind_func(b, &s, &o, args, ret_expr) : bind_nomem(b);
}

static enum err window_end(
    struct binder *b, const struct rel *rel, struct expr *size, struct expr **ret_expr)
{
	struct scope s = {.clause = "tumble"};
	uint32_t start = rel->plan->column_count - 1;
	struct expr *args[2] = {
	    expr_column(b, start, rel->columns[start].type, size->location), size};
	struct overload o = {
	    .name = STR("+"), .arg_count = 2, .is_operator = true, .location = size->location};
	return args[0] ? bind_func(b, &s, &o, args, ret_expr) : bind_nomem(b);
}

/* All columns of `in` at their places, then one more. */
static enum err window_add(struct binder *b, const struct rel *in, struct expr *bound,
    struct str name, struct rel *ret_rel)
{
	struct project p = {.count = 0};
	struct rel_column column = {.name = name};
	column.role = in->columns[in->plan->column_count - 1].role == ROLE_WINDOW_START
	                  ? ROLE_WINDOW_END
	                  : ROLE_WINDOW_START;
	for (uint32_t i = 0; i < in->plan->column_count; i++) {
		struct expr *e = expr_column(b, i, in->columns[i].type, -1);
		if (!e)
			return bind_nomem(b);
		TRY(project_add(b, &p, e, in->columns[i]));
	}
	TRY(project_add(b, &p, bound, column));
	return project_finish(b, &p, in, ret_rel);
}

enum err bind_window(struct binder *b, const PgQuery__FuncCall *x, struct rel *ret_rel)
{
	struct window_args args = {NULL, NULL, NULL};
	struct rel in = {.plan = NULL}, with_start;
	struct expr *size = NULL, *col = NULL, *bound = NULL;
	TRY(window_args(b, x, &args));
	TRY(window_rel(b, args.rel, &in));
	TRY(window_col(b, &in, args.col, &col));
	TRY(window_size(b, args.size, &size));
	if (rel_find(&in, STR("window_start")) != -1 || rel_find(&in, STR("window_end")) != -1)
		return bind_fail(b, x->location, ERR_SQL_AMBIGUOUS,
		    "the relation already has a column window_start or window_end");
	TRY(window_start(b, col, size, &bound));
	TRY(window_add(b, &in, bound, STR("window_start"), &with_start));
	TRY(window_end(b, &with_start, size, &bound));
	return window_add(b, &with_start, bound, STR("window_end"), ret_rel);
}
