/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Types by name, and getting a value from one type to another: PostgreSQL's coerce_type,
 * select_common_type and its rule that an untyped literal becomes what its place needs.
 */
#include "processor/sql/bind.h"

#include <stdio.h>

unsigned levels_implicit(void)
{
	return FUNC_CAST_IMPLICIT;
}

unsigned levels_assignment(void)
{
	return FUNC_CAST_IMPLICIT | FUNC_CAST_ASSIGNMENT;
}

unsigned levels_explicit(void)
{
	return FUNC_CAST_IMPLICIT | FUNC_CAST_ASSIGNMENT | FUNC_CAST_EXPLICIT;
}

/* ---- names ----------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	enum type_id id;
} type_names[] = {
    {"bool", TYPE_BOOL},
    {"boolean", TYPE_BOOL},
    {"int2", TYPE_INT2},
    {"smallint", TYPE_INT2},
    {"int4", TYPE_INT4},
    {"int", TYPE_INT4},
    {"integer", TYPE_INT4},
    {"int8", TYPE_INT8},
    {"bigint", TYPE_INT8},
    {"float4", TYPE_FLOAT4},
    {"real", TYPE_FLOAT4},
    {"float8", TYPE_FLOAT8},
    {"numeric", TYPE_NUMERIC},
    {"decimal", TYPE_NUMERIC},
    {"text", TYPE_TEXT},
    {"varchar", TYPE_TEXT},
    {"bytea", TYPE_BYTEA},
    {"date", TYPE_DATE},
    {"timestamp", TYPE_TIMESTAMP},
    {"timestamptz", TYPE_TIMESTAMPTZ},
    {"interval", TYPE_INTERVAL},
    {"uuid", TYPE_UUID},
    {"jsonb", TYPE_JSONB},
};

static const struct {
	const char *name, *hint;
} refused_types[] = {
    {"bpchar", "use text or varchar(n)"},
    {"char", "use text or varchar(n)"},
    {"json", "use jsonb"},
    {"serial", "use integer"},
    {"bigserial", "use bigint"},
    {"serial4", "use integer"},
    {"serial8", "use bigint"},
    {"time", "use interval or text"},
    {"timetz", "use timestamptz"},
    {"money", "use numeric"},
    {"xml", "use text"},
    {"bit", "use bytea"},
    {"varbit", "use bytea"},
    {"name", "use text"},
    {"inet", "use text"},
    {"oid", "use bigint"},
    {"string", "use text"},
    {"double", "use double precision"},
    {"datetime", "use timestamp or timestamptz"},
    {"bytes", "use bytea"},
    {"long", "use bigint"},
};

bool type_by_name(struct str name, enum type_id *ret_id)
{
	for (size_t i = 0; i < sizeof type_names / sizeof *type_names; i++)
		if (str_equal(name, str_of(type_names[i].name))) {
			*ret_id = type_names[i].id;
			return true;
		}
	return false;
}

const char *type_text(struct type t, char buf[64])
{
	if (t.id == TYPE_UNKNOWN)
		snprintf(buf, 64, "unknown");
	else if (t.id == TYPE_NUMERIC && t.precision > 0)
		snprintf(buf, 64, "numeric(%d,%d)", t.precision, t.scale);
	else if (t.id == TYPE_TEXT && t.precision > 0)
		snprintf(buf, 64, "character varying(%d)", t.precision);
	else
		snprintf(buf, 64, "%s", type_name(t.id));
	return buf;
}

static enum err unknown_type(struct binder *b, const PgQuery__TypeName *t, struct str name)
{
	struct nearest n;
	nearest_init(&n, name);
	for (size_t i = 0; i < sizeof type_names / sizeof *type_names; i++)
		nearest_offer(&n, str_of(type_names[i].name));
	if (n.best.ptr)
		bind_hint(b, "did you mean %.*s?", STR_ARG(n.best));
	for (size_t i = 0; i < sizeof refused_types / sizeof *refused_types; i++)
		if (str_equal(name, str_of(refused_types[i].name))) {
			memset(b->error->hint, 0, sizeof b->error->hint);
			bind_hint(b, "%s", refused_types[i].hint);
			return bind_fail(b, t->location, ERR_SQL_UNSUPPORTED,
			    "type %.*s is not supported", STR_ARG(name));
		}
	return bind_fail(
	    b, t->location, ERR_SQL_NAME, "type \"%.*s\" does not exist", STR_ARG(name));
}

/* ---- modifiers ------------------------------------------------------------------------------- */

static bool typmod_int(const PgQuery__Node *n, int32_t *ret_value)
{
	if (!n || n->node_case != PG_QUERY__NODE__NODE_A_CONST)
		return false;
	const PgQuery__AConst *c = n->a_const;
	if (c->isnull || c->val_case != PG_QUERY__A__CONST__VAL_IVAL)
		return false;
	*ret_value = c->ival->ival;
	return true;
}

static enum err numeric_modifiers(struct binder *b, const PgQuery__TypeName *t, struct type *type)
{
	int32_t precision = 0, scale = 0;
	bool ok = t->n_typmods <= 2 && typmod_int(t->typmods[0], &precision);
	ok = ok && (t->n_typmods == 1 || typmod_int(t->typmods[1], &scale));
	if (!ok || precision < 1 || precision > NUMERIC_DIGITS_MAX || scale < 0 ||
	    scale > precision)
		return bind_fail(b, t->location, ERR_SQL_TYPE,
		    "numeric(p, s) needs 1 <= p <= %d and 0 <= s <= p", NUMERIC_DIGITS_MAX);
	type->precision = (int16_t)precision;
	type->scale = (int16_t)scale;
	return ERR_OK;
}

static enum err modifiers(
    struct binder *b, const PgQuery__TypeName *t, struct str name, struct type *type)
{
	int32_t n = 0;
	if (t->n_typmods == 0)
		return ERR_OK;
	if (type->id == TYPE_NUMERIC)
		return numeric_modifiers(b, t, type);
	bool one = t->n_typmods == 1 && typmod_int(t->typmods[0], &n);
	if (type->id == TYPE_TEXT && str_equal(name, STR("varchar")) && one && n >= 1 &&
	    n <= INT16_MAX) {
		type->precision = (int16_t)n;
		return ERR_OK;
	}
	if ((type->id == TYPE_TIMESTAMP || type->id == TYPE_TIMESTAMPTZ) && one && n == 6)
		return ERR_OK; /* what they have anyway */
	if (type->id == TYPE_INTERVAL)
		return ERR_OK; /* its fields: bind_interval_unit */
	return bind_fail(b, t->location, ERR_SQL_UNSUPPORTED,
	    "type %.*s does not take these modifiers", STR_ARG(name));
}

enum err bind_type(struct binder *b, const PgQuery__TypeName *t, struct type *ret_type)
{
	struct str name = tree_name(t->n_names, t->names);
	struct type type = {TYPE_UNKNOWN, 0, 0};
	if (t->n_array_bounds > 0)
		return bind_not_yet(b, t->location, "arrays are");
	if (t->setof || t->pct_type)
		return bind_fail(
		    b, t->location, ERR_SQL_UNSUPPORTED, "SETOF and %%TYPE are not supported");
	if (!name.ptr)
		return bind_fail(
		    b, t->location, ERR_SQL_NAME, "type does not exist: there are no schemas");
	if (!type_by_name(name, &type.id))
		return unknown_type(b, t, name);
	TRY(modifiers(b, t, name, &type));
	*ret_type = type;
	return ERR_OK;
}

/* The grammar gives the fields as PostgreSQL's bit mask. */
enum err bind_interval_unit(struct binder *b, const PgQuery__TypeName *t, struct str *text)
{
	static const struct {
		int32_t bit;
		const char *unit;
	} units[] = {
	    {2, "year"}, {1, "month"}, {3, "day"}, {10, "hour"}, {11, "minute"}, {12, "second"}};
	int32_t mask = 0;
	if (t->n_typmods == 0 ||
	    (typmod_int(t->typmods[0], &mask) && mask == 0x7fff && t->n_typmods == 1))
		return ERR_OK;
	for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
		int64_t ignored = 0;
		if (mask != 1 << units[i].bit || t->n_typmods != 1 || !str_to_i64(*text, &ignored))
			continue;
		char *with_unit = arena_printf(b->arena, "%.*s %s", STR_ARG(*text), units[i].unit);
		*text = str_of(with_unit);
		return with_unit ? ERR_OK : bind_nomem(b);
	}
	bind_hint(b, "write INTERVAL '90 minutes'");
	return bind_fail(
	    b, t->location, ERR_SQL_UNSUPPORTED, "these interval fields are not supported");
}

/* ---- coercion -------------------------------------------------------------------------------- */

/* An untyped literal read as `type`: once, at bind time. */
static enum err coerce_literal(struct binder *b, struct expr **e, struct type type)
{
	const struct expr *from = *e;
	struct datum value = {.null = true};
	if (!from->value.null) {
		enum err err = datum_from_text(b->arena, type, from->value.s, &value);
		if (err == ERR_NOMEM)
			return bind_nomem(b);
		char buf[64];
		if (err == ERR_NUMERIC_OVERFLOW)
			return bind_fail(b, from->location, err,
			    "\"%.*s\" is out of range for type %s", STR_ARG(from->value.s),
			    type_text(type, buf));
		if (err != ERR_OK)
			return bind_fail(b, from->location, err,
			    "invalid input syntax for type %s: \"%.*s\"", type_text(type, buf),
			    STR_ARG(from->value.s));
	}
	*e = expr_const(b, type, value, from->location);
	return *e ? ERR_OK : bind_nomem(b);
}

static enum err cast_call(struct binder *b, const struct scope *s, struct expr **e,
    const struct func *f, struct type type)
{
	struct expr *call = expr_new(b, EXPR_CALL, type, 1, (*e)->location);
	if (!call)
		return bind_nomem(b);
	call->func = f;
	call->args[0] = *e;
	return expr_done(b, s, call, e);
}

enum err coerce(
    struct binder *b, const struct scope *s, struct expr **e, struct type type, unsigned levels)
{
	struct type from = (*e)->type;
	char buf[2][64];
	if (from.id == TYPE_UNKNOWN && type.id == TYPE_TEXT && type.precision > 0)
		TRY(coerce_literal(b, e, type_of(TYPE_TEXT))); /* cut below, as a cast does */
	else if (from.id == TYPE_UNKNOWN)
		return coerce_literal(b, e, type);
	from = (*e)->type;
	if (type_equal(from, type))
		return ERR_OK;
	const struct func *f = NULL;
	if (from.id != type.id) {
		f = func_cast(from.id, type.id, levels);
		if (!f)
			return bind_fail(b, (*e)->location, ERR_SQL_TYPE,
			    "cannot cast type %s to %s", type_text(from, buf[0]),
			    type_text(type, buf[1]));
		TRY(cast_call(b, s, e, f, type_of(type.id)));
	}
	if (type.precision == 0) /* numeric(12,2) where plain numeric is wanted: it is one */
		return ERR_OK;
	f = func_cast(type.id, type.id, levels_explicit());
	ASSERT(f);
	return cast_call(b, s, e, f, type);
}

bool can_coerce(enum type_id from, enum type_id to)
{
	return from == to || from == TYPE_UNKNOWN || func_cast(from, to, levels_implicit()) != NULL;
}

enum err coerce_boolean(struct binder *b, const struct scope *s, struct expr **e, const char *what)
{
	char buf[64];
	if ((*e)->type.id != TYPE_UNKNOWN && (*e)->type.id != TYPE_BOOL)
		return bind_fail(b, (*e)->location, ERR_SQL_TYPE,
		    "argument of %s must be type boolean, not type %s", what,
		    type_text((*e)->type, buf));
	return coerce(b, s, e, type_of(TYPE_BOOL), levels_implicit());
}

enum err coerce_unknown(struct binder *b, const struct scope *s, struct expr **e)
{
	return (*e)->type.id == TYPE_UNKNOWN
	           ? coerce(b, s, e, type_of(TYPE_TEXT), levels_implicit())
	           : ERR_OK;
}

/* ---- common type ----------------------------------------------------------------------------- */

enum {
	CATEGORY_BOOL = 'B',
	CATEGORY_NUMBER = 'N',
	CATEGORY_STRING = 'S',
	CATEGORY_TIME = 'D',
	CATEGORY_SPAN = 'T'
};

char type_category(enum type_id id)
{
	static const char categories[TYPE_COUNT] = {
	    [TYPE_UNKNOWN] = 'X',
	    [TYPE_BOOL] = CATEGORY_BOOL,
	    [TYPE_INT2] = CATEGORY_NUMBER,
	    [TYPE_INT4] = CATEGORY_NUMBER,
	    [TYPE_INT8] = CATEGORY_NUMBER,
	    [TYPE_FLOAT4] = CATEGORY_NUMBER,
	    [TYPE_FLOAT8] = CATEGORY_NUMBER,
	    [TYPE_NUMERIC] = CATEGORY_NUMBER,
	    [TYPE_TEXT] = CATEGORY_STRING,
	    [TYPE_BYTEA] = 'U',
	    [TYPE_DATE] = CATEGORY_TIME,
	    [TYPE_TIMESTAMP] = CATEGORY_TIME,
	    [TYPE_TIMESTAMPTZ] = CATEGORY_TIME,
	    [TYPE_INTERVAL] = CATEGORY_SPAN,
	    [TYPE_UUID] = 'U',
	    [TYPE_JSONB] = 'U',
	};
	return categories[id];
}

bool type_preferred(enum type_id id)
{
	return id == TYPE_BOOL || id == TYPE_FLOAT8 || id == TYPE_TEXT || id == TYPE_TIMESTAMPTZ ||
	       id == TYPE_INTERVAL;
}

enum err common_type(
    struct binder *b, struct expr **exprs, uint32_t count, const char *what, struct type *ret_type)
{
	struct type best = {TYPE_UNKNOWN, 0, 0};
	char buf[2][64];
	for (uint32_t i = 0; i < count; i++) {
		struct type t = exprs[i]->type;
		if (t.id == TYPE_UNKNOWN || type_equal(t, best))
			continue;
		if (best.id == TYPE_UNKNOWN) {
			best = t;
		} else if (t.id == best.id) {
			best = type_of(best.id); /* modifiers differ */
		} else if (type_category(t.id) != type_category(best.id)) {
			return bind_fail(b, exprs[i]->location, ERR_SQL_TYPE,
			    "%s types %s and %s cannot be matched", what, type_text(best, buf[0]),
			    type_text(t, buf[1]));
		} else if (!type_preferred(best.id) && can_coerce(best.id, t.id) &&
		           !can_coerce(t.id, best.id)) {
			best = type_of(t.id);
		} else {
			best = type_of(best.id);
		}
	}
	if (best.id == TYPE_UNKNOWN)
		best = type_of(TYPE_TEXT);
	for (uint32_t i = 0; i < count; i++)
		if (exprs[i]->type.id == TYPE_UNKNOWN)
			best = type_of(best.id); /* a literal has no modifiers */
	for (uint32_t i = 0; i < count; i++)
		if (!can_coerce(exprs[i]->type.id, best.id))
			return bind_fail(b, exprs[i]->location, ERR_SQL_TYPE,
			    "%s could not convert type %s to %s", what,
			    type_text(exprs[i]->type, buf[0]), type_text(best, buf[1]));
	*ret_type = best;
	return ERR_OK;
}

enum err literal_interval_us(struct binder *b, struct str text, int32_t location, int64_t *ret_us)
{
	struct datum d = {.null = true};
	enum err err = datum_from_text(b->arena, type_of(TYPE_INTERVAL), text, &d);
	if (err != ERR_OK)
		return bind_fail(b, location, err, "invalid interval: \"%.*s\"", STR_ARG(text));
	int64_t days = 0, us = 0;
	bool overflow = __builtin_mul_overflow((int64_t)d.iv.days, INT64_C(86400000000), &days) ||
	                __builtin_add_overflow(days, d.iv.us, &us);
	if (d.iv.months != 0 || overflow || us < 0) {
		if (d.iv.months != 0)
			bind_hint(b, "months and years have no fixed length; write days");
		return bind_fail(b, location, ERR_SQL_TYPE,
		    "\"%.*s\" is no fixed, non-negative interval", STR_ARG(text));
	}
	*ret_us = us;
	return ERR_OK;
}
