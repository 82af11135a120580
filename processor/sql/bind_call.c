/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Function calls: scalar functions by overload, aggregates into the scope's list, and the refusals
 * that protect determinism. The grammar's special forms (EXTRACT, SUBSTRING .. FROM, POSITION,
 * TRIM, OVERLAY, AT TIME ZONE) arrive as calls.
 */
#include "processor/sql/bind.h"

#include <stdio.h>

static bool is_one_of(struct str name, const char *const *names)
{
	for (; *names; names++)
		if (str_equal(name, str_of(*names)))
			return true;
	return false;
}

/* Functions whose answer depends on when, where or by whom they are called. */
static enum err refuse_volatile(struct binder *b, const PgQuery__FuncCall *x, struct str name)
{
	static const char *const clocks[] = {"now", "clock_timestamp", "statement_timestamp",
	    "transaction_timestamp", "timeofday", "age_now", "pg_sleep", NULL};
	static const char *const dice[] = {"random", "setseed", "gen_random_uuid",
	    "uuid_generate_v4", "nextval", "currval", "txid_current", NULL};
	if (is_one_of(name, clocks)) {
		bind_hint(b, "use _ingest_time, the time when the record was appended");
		return bind_fail(b, x->location, ERR_SQL_UNSUPPORTED,
		    "%.*s() is refused: the same records must always give the same rows",
		    STR_ARG(name));
	}
	if (is_one_of(name, dice)) {
		bind_hint(b, "derive it from the record: _sequence and _pos are unique, "
		             "_ingest_time is its time");
		return bind_fail(b, x->location, ERR_SQL_UNSUPPORTED,
		    "%.*s() is refused: the same records must always give the same rows",
		    STR_ARG(name));
	}
	return ERR_OK;
}

static enum err refuse_known(struct binder *b, const PgQuery__FuncCall *x, struct str name)
{
	static const char *const windows[] = {
	    "tumble", "hop", "cumulate", "session", "as_of", "at", "diff", "lineage", NULL};
	static const char *const aggregates[] = {"string_agg", "array_agg", "json_agg", "jsonb_agg",
	    "stddev", "stddev_pop", "stddev_samp", "variance", "var_pop", "var_samp",
	    "approx_count_distinct", "approx_percentile", "percentile_cont", "percentile_disc",
	    "mode", "first", "last", "every", "bit_and", "bit_or", "corr", NULL};
	static const char *const ranking[] = {"row_number", "rank", "dense_rank", "lag", "lead",
	    "ntile", "first_value", "last_value", "nth_value", "percent_rank", "cume_dist", NULL};
	char what[96];
	if (is_one_of(name, ranking))
		return bind_not_yet(b, x->location, "window functions (OVER) are");
	if (is_one_of(name, windows)) {
		bind_hint(b, "write it after FROM");
		return bind_fail(b, x->location, ERR_SQL_UNSUPPORTED, "%.*s() is a table function",
		    STR_ARG(name));
	}
	if (!is_one_of(name, aggregates))
		return ERR_OK;
	snprintf(what, sizeof what, "aggregate %.*s is", STR_ARG(name));
	return bind_not_yet(b, x->location, what);
}

/* ---- aggregates ------------------------------------------------------------------------------ */

static enum err agg_arg(
    struct binder *b, const struct scope *inner, const PgQuery__FuncCall *x, struct agg *a)
{
	char buf[64];
	struct str name = tree_name(x->n_funcname, x->funcname);
	if (x->n_args != 1)
		return bind_fail(
		    b, x->location, ERR_SQL_TYPE, "%.*s takes one argument", STR_ARG(name));
	TRY(bind_expr(b, inner, x->args[0], &a->arg));
	TRY(coerce_unknown(b, inner, &a->arg));
	if (!agg_result_type(a->kind, a->arg->type, &a->type)) {
		bind_hint(b, "add a cast");
		return bind_fail(b, x->location, ERR_SQL_TYPE, "function does not exist: %.*s(%s)",
		    STR_ARG(name), type_text(a->arg->type, buf));
	}
	if (a->distinct && a->arg->type.id == TYPE_JSONB)
		return bind_fail(
		    b, x->location, ERR_SQL_TYPE, "DISTINCT over jsonb is not supported");
	return ERR_OK;
}

static bool agg_equal(const struct agg *a, const struct agg *b)
{
	if (a->kind != b->kind || a->distinct != b->distinct || !a->arg != !b->arg ||
	    !a->filter != !b->filter)
		return false;
	return (!a->arg || expr_equal(a->arg, b->arg)) &&
	       (!a->filter || expr_equal(a->filter, b->filter));
}

static enum err agg_add(struct binder *b, struct agg_list *list, const struct agg *a,
    const PgQuery__FuncCall *x, struct expr **ret_expr)
{
	uint32_t i = 0;
	while (i < list->count && !agg_equal(&list->aggs[i], a))
		i++;
	if (i == BIND_AGGS_MAX)
		return bind_fail(
		    b, x->location, ERR_LIMIT, "more than %d aggregates", BIND_AGGS_MAX);
	if (i == list->count) {
		uint32_t capacity = list->capacity;
		TRY(bind_grow(b, &list->names, i, &capacity, sizeof *list->names));
		TRY(bind_grow(b, &list->aggs, i, &list->capacity, sizeof *list->aggs));
		TRY(bind_copy(b, tree_name(x->n_funcname, x->funcname), &list->names[i]));
		list->aggs[list->count++] = *a;
	}
	*ret_expr = expr_column(b, COLUMN_AGG + i, a->type, x->location);
	return *ret_expr ? ERR_OK : bind_nomem(b);
}

static enum err bind_agg(struct binder *b, const struct scope *s, const PgQuery__FuncCall *x,
    enum agg_kind kind, struct expr **ret_expr)
{
	struct agg a = {.kind = kind, .distinct = x->agg_distinct != 0, .type = type_of(TYPE_INT8)};
	struct scope inner = {.rel = s->rel, .clause = "an aggregate's argument"};
	if (!s->aggs)
		return bind_fail(b, x->location, ERR_SQL_SYNTAX,
		    "aggregate functions are not allowed in %s", s->clause);
	if (x->agg_within_group)
		return bind_not_yet(b, x->location, "WITHIN GROUP is");
	if (x->n_agg_order > 0)
		return bind_not_yet(b, x->location, "ORDER BY in an aggregate is");
	if (x->agg_star) {
		if (kind != AGG_COUNT)
			return bind_fail(b, x->location, ERR_SQL_SYNTAX, "only count takes *");
		a.kind = AGG_COUNT_STAR;
	} else {
		TRY(agg_arg(b, &inner, x, &a));
	}
	inner.clause = "FILTER";
	if (x->agg_filter)
		TRY(bind_condition(b, &inner, x->agg_filter, &a.filter));
	bool floats = a.arg && (a.arg->type.id == TYPE_FLOAT4 || a.arg->type.id == TYPE_FLOAT8);
	bool adds = kind == AGG_SUM || kind == AGG_AVG;
	if (adds && floats && !s->rel->plan->append_only) {
		bind_hint(b, "cast the argument to numeric");
		return bind_fail(b, x->location, ERR_SQL_UNSUPPORTED,
		    "sum and avg of real or double precision need append-only input: taking values "
		    "back out is not exact");
	}
	return agg_add(b, s->aggs, &a, x, ret_expr);
}

/* ---- special forms --------------------------------------------------------------------------- */

static bool is_utc(const struct expr *zone)
{
	static const char *const names[] = {
	    "UTC", "utc", "Etc/UTC", "GMT", "Z", "+00", "+00:00", NULL};
	bool literal = zone->kind == EXPR_CONST && !zone->value.null;
	return literal && (zone->type.id == TYPE_UNKNOWN || zone->type.id == TYPE_TEXT) &&
	       is_one_of(zone->value.s, names);
}

/* x AT TIME ZONE 'UTC': with TimeZone = UTC these are the plain casts between the two timestamp
 * types. */
static enum err bind_zone(
    struct binder *b, const struct scope *s, const PgQuery__FuncCall *x, struct expr **ret_expr)
{
	struct expr *zone = NULL, *e = NULL;
	char buf[64];
	TRY(bind_expr(b, s, x->args[0], &zone));
	TRY(bind_expr(b, s, x->args[1], &e));
	if (!is_utc(zone))
		return bind_not_yet(b, x->location, "time zones other than UTC are");
	if (e->type.id == TYPE_UNKNOWN || e->type.id == TYPE_DATE)
		TRY(coerce(b, s, &e, type_of(TYPE_TIMESTAMPTZ), levels_implicit()));
	if (e->type.id != TYPE_TIMESTAMPTZ && e->type.id != TYPE_TIMESTAMP)
		return bind_fail(b, x->location, ERR_SQL_TYPE,
		    "AT TIME ZONE needs a timestamp, not %s", type_text(e->type, buf));
	*ret_expr = e;
	return coerce(b, s, ret_expr,
	    type_of(e->type.id == TYPE_TIMESTAMP ? TYPE_TIMESTAMPTZ : TYPE_TIMESTAMP),
	    levels_explicit());
}

/* int8(x), text(x): a type's name as a function of one argument is a cast. */
static bool is_cast_name(struct str name, enum type_id *ret_id)
{
	for (size_t i = 0; i < func_table_count; i++)
		if (str_equal(name, str_of(func_table[i].name)))
			return false;
	return type_by_name(name, ret_id);
}

/* substring(x SIMILAR 'a' ESCAPE '#') arrives as substring(x, 'a', '#'). */
static bool is_text_literal(const PgQuery__Node *n)
{
	return n->node_case == PG_QUERY__NODE__NODE_A_CONST &&
	       n->a_const->val_case == PG_QUERY__A__CONST__VAL_SVAL;
}

static enum err bind_scalar(struct binder *b, const struct scope *s, const PgQuery__FuncCall *x,
    struct str name, struct expr **ret_expr)
{
	struct expr **args = NULL;
	enum type_id target = TYPE_UNKNOWN;
	if (x->agg_star || x->agg_distinct || x->n_agg_order || x->agg_within_group ||
	    x->agg_filter)
		return bind_fail(
		    b, x->location, ERR_SQL_SYNTAX, "%.*s is not an aggregate", STR_ARG(name));
	if (x->func_variadic)
		return bind_not_yet(b, x->location, "VARIADIC is");
	if (str_equal(name, STR("timezone")) && x->n_args == 2)
		return bind_zone(b, s, x, ret_expr);
	if (str_equal(name, STR("substring")) && x->n_args == 3 && is_text_literal(x->args[1]) &&
	    is_text_literal(x->args[2]))
		return bind_fail(b, x->location, ERR_SQL_UNSUPPORTED,
		    "SIMILAR is not supported: use substring(x FROM 'pattern')");
	if (str_equal(name, STR("similar_to_escape")) || str_equal(name, STR("similar_escape")))
		return bind_fail(
		    b, x->location, ERR_SQL_UNSUPPORTED, "SIMILAR is not supported: use LIKE or ~");
	TRY(bind_exprs(b, s, x->n_args, x->args, &args));
	if (x->n_args == 1 && is_cast_name(name, &target)) {
		*ret_expr = args[0];
		return coerce(b, s, ret_expr, type_of(target), levels_explicit());
	}
	struct overload o = {
	    .name = name, .arg_count = (uint32_t)x->n_args, .location = x->location};
	return bind_func(b, s, &o, args, ret_expr);
}

enum err bind_call(
    struct binder *b, const struct scope *s, const PgQuery__FuncCall *x, struct expr **ret_expr)
{
	struct str name = tree_name(x->n_funcname, x->funcname);
	enum agg_kind kind = AGG_COUNT;
	if (!name.ptr)
		return bind_fail(
		    b, x->location, ERR_SQL_NAME, "function does not exist: there are no schemas");
	TRY(refuse_volatile(b, x, name));
	if (x->over)
		return bind_not_yet(b, x->location, "window functions (OVER) are");
	if (agg_by_name(name, &kind))
		return bind_agg(b, s, x, kind, ret_expr);
	TRY(refuse_known(b, x, name));
	return bind_scalar(b, s, x, name, ret_expr);
}
