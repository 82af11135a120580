/* SPDX-License-Identifier: Apache-2.0 */
/* A plan as text for EXPLAIN: one line per node, inputs below, two spaces in. */
#include "processor/sql/bind.h"

/* Expressions name the columns of the node below; deep ones are cut. */
enum { PRINT_DEPTH_MAX = 40 };

static void print_expr(
    struct writer *w, const struct expr *e, const struct plan *in, uint32_t depth);

static void print_args(struct writer *w, const struct expr *e, const struct plan *in,
    uint32_t depth, const char *between)
{
	for (uint32_t i = 0; i < e->arg_count; i++) {
		if (i > 0)
			write_cstr(w, between);
		print_expr(w, e->args[i], in, depth + 1);
	}
}

static void print_const(struct writer *w, const struct expr *e)
{
	char buf[64];
	bool bare = e->type.id >= TYPE_INT2 && e->type.id <= TYPE_NUMERIC;
	if (e->value.null) {
		write_cstr(w, "NULL");
	} else if (e->type.id == TYPE_BOOL) {
		write_cstr(w, e->value.b ? "true" : "false");
	} else if (bare) {
		datum_to_text(w, e->type.id, e->value);
	} else {
		write_u8(w, '\'');
		datum_to_text(w, e->type.id, e->value);
		write_u8(w, '\'');
		if (e->type.id != TYPE_TEXT)
			write_printf(w, "::%s", type_text(type_of(e->type.id), buf));
	}
}

static void print_case(
    struct writer *w, const struct expr *e, const struct plan *in, uint32_t depth)
{
	write_cstr(w, "CASE");
	for (uint32_t i = 0; i + 1 < e->arg_count; i += 2) {
		write_cstr(w, " WHEN ");
		print_expr(w, e->args[i], in, depth + 1);
		write_cstr(w, " THEN ");
		print_expr(w, e->args[i + 1], in, depth + 1);
	}
	write_cstr(w, " ELSE ");
	print_expr(w, e->args[e->arg_count - 1], in, depth + 1);
	write_cstr(w, " END");
}

static void print_call(
    struct writer *w, const struct expr *e, const struct plan *in, uint32_t depth)
{
	const char *name = e->func->name;
	char buf[64];
	bool word = (name[0] >= 'a' && name[0] <= 'z') || name[0] == '_';
	if (strcmp(name, "cast") == 0) {
		print_args(w, e, in, depth, "");
		write_printf(w, "::%s", type_text(e->type, buf));
	} else if (!word && e->arg_count == 2) {
		write_u8(w, '(');
		print_expr(w, e->args[0], in, depth + 1);
		write_printf(w, " %s ", name);
		print_expr(w, e->args[1], in, depth + 1);
		write_u8(w, ')');
	} else {
		write_printf(w, "%s(", name);
		print_args(w, e, in, depth, ", ");
		write_u8(w, ')');
	}
}

static void print_wrapped(
    struct writer *w, const struct expr *e, const struct plan *in, uint32_t depth)
{
	static const struct {
		const char *before, *between, *after;
	} forms[] = {
	    [EXPR_AND] = {"(", " AND ", ")"},
	    [EXPR_OR] = {"(", " OR ", ")"},
	    [EXPR_NOT] = {"NOT (", "", ")"},
	    [EXPR_IS_NULL] = {"(", "", " IS NULL)"},
	    [EXPR_IS_TRUE] = {"(", "", " IS TRUE)"},
	    [EXPR_DISTINCT] = {"(", " IS DISTINCT FROM ", ")"},
	    [EXPR_COALESCE] = {"COALESCE(", ", ", ")"},
	    [EXPR_NULLIF] = {"NULLIF(", ", ", ")"},
	    [EXPR_GREATEST] = {"GREATEST(", ", ", ")"},
	    [EXPR_LEAST] = {"LEAST(", ", ", ")"},
	    [EXPR_IN] = {"IN(", ", ", ")"},
	};
	write_cstr(w, forms[e->kind].before);
	print_args(w, e, in, depth, forms[e->kind].between);
	write_cstr(w, forms[e->kind].after);
}

static void print_expr(
    struct writer *w, const struct expr *e, const struct plan *in, uint32_t depth)
{
	if (depth > PRINT_DEPTH_MAX)
		write_cstr(w, "...");
	else if (e->kind == EXPR_COLUMN)
		write_str(w, in->columns[e->column].name);
	else if (e->kind == EXPR_CONST)
		print_const(w, e);
	else if (e->kind == EXPR_CASE)
		print_case(w, e, in, depth);
	else if (e->kind == EXPR_CALL)
		print_call(w, e, in, depth);
	else
		print_wrapped(w, e, in, depth);
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static void print_columns(
    struct writer *w, const struct plan *in, const uint32_t *columns, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		write_cstr(w, i ? ", " : "");
		write_str(w, in->columns[columns[i]].name);
	}
}

static void print_order(struct writer *w, const struct plan *p)
{
	for (uint32_t i = 0; i < p->order_count; i++) {
		const struct plan_order *o = &p->order[i];
		write_cstr(w, i ? ", " : "");
		write_str(w, p->columns[o->column].name);
		write_cstr(w, o->descending ? " DESC" : "");
		if (o->nulls_first != o->descending)
			write_cstr(w, o->nulls_first ? " NULLS FIRST" : " NULLS LAST");
	}
}

static void print_source(struct writer *w, const struct plan *p)
{
	const char *between = "";
	if (p->kind == PLAN_SOURCE)
		write_printf(w, "Source %.*s (topic %.*s): ", STR_ARG(p->table->name),
		    STR_ARG(p->table->topic));
	else if (p->diff_version)
		write_printf(w, "Diff %.*s versions %d and %d: ", STR_ARG(p->view), p->version,
		    p->diff_version);
	else
		write_printf(w, "Rows %.*s version %d: ", STR_ARG(p->view), p->version);
	for (uint32_t i = 0; i < p->column_count; i++) {
		if (!p->column_needed[i])
			continue;
		write_cstr(w, between);
		write_str(w, p->columns[i].name);
		between = ", ";
	}
}

static void print_project(struct writer *w, const struct plan *p)
{
	write_cstr(w, "Project ");
	for (uint32_t i = 0; i < p->column_count; i++) {
		const struct expr *e = p->exprs[i];
		write_cstr(w, i ? ", " : "");
		print_expr(w, e, p->inputs[0], 0);
		if (e->kind != EXPR_COLUMN ||
		    !str_equal(p->inputs[0]->columns[e->column].name, p->columns[i].name))
			write_printf(w, " AS %.*s", STR_ARG(p->columns[i].name));
	}
}

static void print_agg(struct writer *w, const struct agg *a, const struct plan *in)
{
	static const char *const names[] = {
	    [AGG_COUNT_STAR] = "count",
	    [AGG_COUNT] = "count",
	    [AGG_SUM] = "sum",
	    [AGG_AVG] = "avg",
	    [AGG_MIN] = "min",
	    [AGG_MAX] = "max",
	    [AGG_BOOL_AND] = "bool_and",
	    [AGG_BOOL_OR] = "bool_or",
	};
	write_printf(w, "%s(%s", names[a->kind], a->distinct ? "DISTINCT " : "");
	if (a->arg)
		print_expr(w, a->arg, in, 0);
	else
		write_u8(w, '*');
	write_u8(w, ')');
	if (!a->filter)
		return;
	write_cstr(w, " FILTER ");
	print_expr(w, a->filter, in, 0);
}

static void print_aggregate(struct writer *w, const struct plan *p)
{
	write_cstr(w, "Aggregate ");
	for (uint32_t i = 0; i < p->agg_count; i++) {
		write_cstr(w, i ? ", " : "");
		print_agg(w, &p->aggs[i], p->inputs[0]);
	}
	if (p->key_count > 0) {
		write_cstr(w, p->agg_count ? " by " : "by ");
		print_columns(w, p->inputs[0], p->keys, p->key_count);
	}
}

static void print_limit(struct writer *w, const struct plan *p)
{
	write_cstr(w, "Limit");
	if (p->limit >= 0)
		write_printf(w, " %lld", (long long)p->limit);
	if (p->offset > 0)
		write_printf(w, " offset %lld", (long long)p->offset);
}

static void print_node(struct writer *w, const struct plan *p)
{
	switch (p->kind) {
	case PLAN_SOURCE:
	case PLAN_ROWS:
		print_source(w, p);
		break;
	case PLAN_VALUES:
		write_printf(w, "Values %u %s", p->row_count, p->row_count == 1 ? "row" : "rows");
		break;
	case PLAN_FILTER:
		write_cstr(w, "Filter ");
		print_expr(w, p->predicate, p->inputs[0], 0);
		break;
	case PLAN_PROJECT:
		print_project(w, p);
		break;
	case PLAN_AGGREGATE:
		print_aggregate(w, p);
		break;
	case PLAN_DISTINCT_ON:
		write_cstr(w, "Distinct on ");
		print_columns(w, p->inputs[0], p->keys, p->key_count);
		write_cstr(w, p->order_count ? " first by " : "");
		print_order(w, p);
		break;
	case PLAN_DISTINCT:
		write_cstr(w, "Distinct");
		break;
	case PLAN_UNION_ALL:
		write_cstr(w, "Union all");
		break;
	case PLAN_SORT:
		write_cstr(w, "Sort ");
		print_order(w, p);
		break;
	case PLAN_LIMIT:
		print_limit(w, p);
		break;
	}
}

static void print_tree(struct writer *w, const struct plan *p, uint32_t depth)
{
	for (uint32_t i = 0; i < depth; i++)
		write_cstr(w, "  ");
	print_node(w, p);
	if (p->stateful)
		write_printf(
		    w, " [state %u%s]", p->state_id, p->append_only ? ", append-only" : "");
	write_u8(w, '\n');
	for (uint32_t i = 0; i < p->input_count; i++)
		print_tree(w, p->inputs[i], depth + 1);
}

void plan_print(struct writer *out, const struct view_plan *plan)
{
	print_tree(out, plan->root, 0);
}
