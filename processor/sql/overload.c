/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which overload does a call mean? PostgreSQL's rules (its manual, "Type Conversion"), in its
 * order: 1  an exact match; for an operator with one untyped literal, one that takes the other
 * operand's type on both sides 2  drop those whose arguments cannot be reached by implicit casts
 * (an untyped literal reaches everything) 3  keep those with the most exact matches 4  keep those
 * that take preferred types in the most places where a cast is needed 5  for untyped literals: a
 * category that all agree on, strings first; then its preferred type if any has it 6  if all typed
 * arguments are of one type, assume it for the literals too
 */
#include "processor/sql/bind.h"

#include <stdio.h>

enum { CANDIDATES_MAX = 128, CALL_ARGS_MAX = 100 };

struct candidates {
	const struct func *f[CANDIDATES_MAX];
	uint32_t count;
};

enum type_id overload_arg(const struct func *f, uint32_t index)
{
	ASSERT(f->arg_count > 0 && f->arg_count <= FUNC_ARGS_MAX);
	return f->args[index < f->arg_count ? index : f->arg_count - 1u];
}

static bool arity_fits(const struct func *f, uint32_t count)
{
	if (f->flags & FUNC_VARIADIC)
		return f->arg_count > 0 && count + 1 >= f->arg_count && count > 0;
	return f->arg_count == count;
}

/*
 * PostgreSQL has operators between real and double precision, which make real with any other number
 * double precision. This table has only those of one type: a real beside another number counts as
 * double precision.
 */
static enum type_id arg_type(const struct overload *o, uint32_t i)
{
	enum type_id t = o->args[i]->type.id;
	if (!o->is_operator || o->arg_count != 2 || t != TYPE_FLOAT4)
		return t;
	enum type_id other = o->args[1 - i]->type.id;
	return other != TYPE_FLOAT4 && type_category(other) == 'N' ? TYPE_FLOAT8 : t;
}

static uint32_t exact_count(const struct overload *o, const struct func *f)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < o->arg_count; i++)
		n += arg_type(o, i) == overload_arg(f, i);
	return n;
}

static uint32_t preferred_count(const struct overload *o, const struct func *f)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < o->arg_count; i++) {
		enum type_id have = arg_type(o, i), want = overload_arg(f, i);
		n += have != TYPE_UNKNOWN && (have == want || type_preferred(want));
	}
	return n;
}

/* An argument of type unknown takes any type as it is. */
static bool takes_any(const struct func *f, uint32_t index)
{
	return overload_arg(f, index) == TYPE_UNKNOWN;
}

static bool reachable(const struct overload *o, const struct func *f)
{
	for (uint32_t i = 0; i < o->arg_count; i++)
		if (!takes_any(f, i) && !can_coerce(arg_type(o, i), overload_arg(f, i)))
			return false;
	return true;
}

/* All of that name; *ret_named says whether any has it, whatever its arguments. */
static void gather(const struct overload *o, struct candidates *c, bool *ret_named)
{
	for (size_t i = 0; i < func_table_count; i++) {
		const struct func *f = &func_table[i];
		if (!str_equal(o->name, str_of(f->name)))
			continue;
		*ret_named = true;
		if (!arity_fits(f, o->arg_count) || !reachable(o, f))
			continue;
		ASSERT(c->count < CANDIDATES_MAX);
		c->f[c->count++] = f;
	}
}

/* Keeps those with the highest score. */
static void keep_best(const struct overload *o, struct candidates *c,
    uint32_t (*score)(const struct overload *, const struct func *))
{
	uint32_t best = 0, kept = 0;
	for (uint32_t i = 0; i < c->count; i++) {
		uint32_t s = score(o, c->f[i]);
		if (s > best) {
			best = s;
			kept = 0;
		}
		if (s == best)
			c->f[kept++] = c->f[i];
	}
	c->count = kept;
}

/* Rule 1 for operators: `x = '5'` means x's own type on both sides. */
static const struct func *same_type_match(const struct overload *o, const struct candidates *c)
{
	if (!o->is_operator || o->arg_count != 2)
		return NULL;
	enum type_id left = arg_type(o, 0), right = arg_type(o, 1);
	if ((left == TYPE_UNKNOWN) == (right == TYPE_UNKNOWN))
		return NULL;
	enum type_id known = left == TYPE_UNKNOWN ? right : left;
	for (uint32_t i = 0; i < c->count; i++)
		if (overload_arg(c->f[i], 0) == known && overload_arg(c->f[i], 1) == known)
			return c->f[i];
	return NULL;
}

/* Rule 5 for one argument: the category to use there, or 0 when the candidates disagree. */
static char literal_category(const struct candidates *c, uint32_t arg, bool *ret_preferred)
{
	char category = 0;
	bool mixed = false, preferred = false;
	for (uint32_t i = 0; i < c->count; i++) {
		enum type_id t = overload_arg(c->f[i], arg);
		char its = type_category(t);
		if (its == 'S') {
			preferred = (category == 'S' && preferred) || type_preferred(t);
			category = 'S';
			mixed = false;
		} else if (category == 0) {
			category = its;
			preferred = type_preferred(t);
		} else if (category == its) {
			preferred |= type_preferred(t);
		} else if (category != 'S') {
			mixed = true;
		}
	}
	*ret_preferred = preferred;
	return mixed ? 0 : category;
}

static bool literals_fit(
    const struct overload *o, const struct func *f, const char *category, const bool *preferred)
{
	for (uint32_t i = 0; i < o->arg_count; i++) {
		enum type_id t = overload_arg(f, i);
		if (arg_type(o, i) != TYPE_UNKNOWN)
			continue;
		if (type_category(t) != category[i] || (preferred[i] && !type_preferred(t)))
			return false;
	}
	return true;
}

static void keep_literal_categories(const struct overload *o, struct candidates *c)
{
	char category[CALL_ARGS_MAX] = {0};
	bool preferred[CALL_ARGS_MAX] = {false};
	for (uint32_t i = 0; i < o->arg_count; i++) {
		if (arg_type(o, i) != TYPE_UNKNOWN)
			continue;
		category[i] = literal_category(c, i, &preferred[i]);
		if (!category[i])
			return;
	}
	struct candidates kept = {.count = 0};
	for (uint32_t i = 0; i < c->count; i++)
		if (literals_fit(o, c->f[i], category, preferred))
			kept.f[kept.count++] = c->f[i];
	if (kept.count > 0)
		*c = kept;
}

/* Rule 6. */
static const struct func *assume_one_type(const struct overload *o, const struct candidates *c)
{
	enum type_id known = TYPE_UNKNOWN;
	for (uint32_t i = 0; i < o->arg_count; i++) {
		enum type_id t = arg_type(o, i);
		if (t == TYPE_UNKNOWN)
			continue;
		if (known != TYPE_UNKNOWN && known != t)
			return NULL;
		known = t;
	}
	const struct func *found = NULL;
	for (uint32_t k = 0; k < c->count && known != TYPE_UNKNOWN; k++) {
		bool fits = true;
		for (uint32_t i = 0; i < o->arg_count; i++)
			fits = fits && can_coerce(known, overload_arg(c->f[k], i));
		if (fits && found)
			return NULL;
		if (fits)
			found = c->f[k];
	}
	return found;
}

static const struct func *select_one(const struct overload *o, struct candidates *c)
{
	for (uint32_t i = 0; i < c->count; i++)
		if (exact_count(o, c->f[i]) == o->arg_count)
			return c->f[i];
	const struct func *f = same_type_match(o, c);
	if (f || c->count == 1)
		return f ? f : c->f[0];
	keep_best(o, c, exact_count);
	if (c->count > 1)
		keep_best(o, c, preferred_count);
	if (c->count == 1)
		return c->f[0];
	keep_literal_categories(o, c);
	return c->count == 1 ? c->f[0] : assume_one_type(o, c);
}

/* ---- errors ---------------------------------------------------------------------------------- */

/* "sum(text)" or "text + integer". */
static void signature(const struct overload *o, char *out, size_t size)
{
	char buf[64];
	size_t len = 0;
	if (o->is_operator && o->arg_count == 1) {
		snprintf(out, size, "%.*s %s", STR_ARG(o->name), type_text(o->args[0]->type, buf));
		return;
	}
	if (!o->is_operator)
		len = (size_t)snprintf(out, size, "%.*s(", STR_ARG(o->name));
	for (uint32_t i = 0; i < o->arg_count && len < size; i++) {
		if (i > 0 && o->is_operator)
			len += (size_t)snprintf(out + len, size - len, " %.*s ", STR_ARG(o->name));
		else if (i > 0)
			len += (size_t)snprintf(out + len, size - len, ", ");
		if (len < size)
			len += (size_t)snprintf(
			    out + len, size - len, "%s", type_text(o->args[i]->type, buf));
	}
	if (!o->is_operator && len < size)
		snprintf(out + len, size - len, ")");
}

static enum err no_overload(struct binder *b, const struct overload *o, bool named, bool several)
{
	char what[160];
	const char *noun = o->is_operator ? "operator" : "function";
	signature(o, what, sizeof what);
	if (several) {
		bind_hint(b, "add casts");
		return bind_fail(
		    b, o->location, ERR_SQL_AMBIGUOUS, "%s %s is not unique", noun, what);
	}
	if (named) {
		bind_hint(b, "no %s of that name takes these types; add casts", noun);
		return bind_fail(b, o->location, ERR_SQL_TYPE, "%s does not exist: %s", noun, what);
	}
	struct nearest n;
	nearest_init(&n, o->name);
	for (size_t i = 0; i < func_table_count && !o->is_operator; i++)
		if (strcmp(func_table[i].name, "cast") != 0)
			nearest_offer(&n, str_of(func_table[i].name));
	static const char *const aggregates[] = {"count", "sum", "min", "max", "avg", "bool_and",
	    "bool_or", "coalesce", "nullif", "greatest", "least"};
	for (size_t i = 0; i < sizeof aggregates / sizeof *aggregates && !o->is_operator; i++)
		nearest_offer(&n, str_of(aggregates[i]));
	if (n.best.ptr)
		bind_hint(b, "did you mean %.*s?", STR_ARG(n.best));
	return bind_fail(b, o->location, ERR_SQL_NAME, "%s does not exist: %s", noun, what);
}

enum err overload_find(struct binder *b, const struct overload *o, const struct func **ret_func)
{
	struct candidates c = {.count = 0};
	bool named = false;
	if (o->arg_count > CALL_ARGS_MAX)
		return bind_fail(
		    b, o->location, ERR_LIMIT, "more than %d arguments", CALL_ARGS_MAX);
	gather(o, &c, &named);
	if (c.count == 0)
		return no_overload(b, o, named, false);
	const struct func *f = select_one(o, &c);
	if (!f)
		return no_overload(b, o, named, true);
	*ret_func = f;
	return ERR_OK;
}

enum err bind_func(struct binder *b, const struct scope *s, struct overload *o, struct expr **args,
    struct expr **ret_expr)
{
	const struct func *f = NULL;
	o->args = (const struct expr *const *)args;
	TRY(overload_find(b, o, &f));
	struct expr *call = expr_new(b, EXPR_CALL, type_of(f->result), o->arg_count, o->location);
	if (!call)
		return bind_nomem(b);
	call->func = f;
	for (uint32_t i = 0; i < o->arg_count; i++) {
		if (takes_any(f, i))
			TRY(coerce_unknown(b, s, &args[i]));
		else
			TRY(coerce(b, s, &args[i], type_of(overload_arg(f, i)), levels_implicit()));
		call->args[i] = args[i];
	}
	TRY(bind_probe(b, s, call));
	return expr_done(b, s, call, ret_expr);
}
