/* SPDX-License-Identifier: Apache-2.0 */
/* Making, comparing, renumbering and folding bound expressions. */
#include "processor/sql/bind.h"

struct expr *expr_new(
    struct binder *b, enum expr_kind kind, struct type type, uint32_t arg_count, int32_t location)
{
	struct expr *e = bind_alloc(b, 1, sizeof *e);
	struct expr **args = bind_alloc(b, arg_count, sizeof(struct expr *));
	if (!e || !args)
		return NULL;
	e->kind = kind;
	e->type = type;
	e->args = args;
	e->arg_count = arg_count;
	e->location = location;
	return e;
}

struct expr *expr_column(struct binder *b, uint32_t column, struct type type, int32_t location)
{
	struct expr *e = expr_new(b, EXPR_COLUMN, type, 0, location);
	if (e)
		e->column = column;
	return e;
}

struct expr *expr_const(struct binder *b, struct type type, struct datum value, int32_t location)
{
	struct expr *e = expr_new(b, EXPR_CONST, type, 0, location);
	if (e)
		e->value = value;
	return e;
}

struct expr *expr_null(struct binder *b, struct type type, int32_t location)
{
	return expr_const(b, type, (struct datum){.null = true}, location);
}

static bool const_equal(const struct expr *a, const struct expr *b)
{
	if (a->value.null || b->value.null)
		return a->value.null == b->value.null;
	if (a->type.id == TYPE_UNKNOWN)
		return str_equal(a->value.s, b->value.s);
	/* 1.0 and 1.00 compare equal but print differently */
	if (a->type.id == TYPE_NUMERIC && a->value.num.scale != b->value.num.scale)
		return false;
	if (a->type.id == TYPE_INTERVAL)
		return a->value.iv.us == b->value.iv.us && a->value.iv.days == b->value.iv.days &&
		       a->value.iv.months == b->value.iv.months;
	return datum_compare(a->type.id, a->value, b->value) == 0;
}

bool expr_equal(const struct expr *a, const struct expr *b)
{
	if (a->kind != b->kind || !type_equal(a->type, b->type) || a->arg_count != b->arg_count)
		return false;
	if (a->kind == EXPR_COLUMN)
		return a->column == b->column;
	if (a->kind == EXPR_CONST)
		return const_equal(a, b);
	if (a->func != b->func)
		return false;
	for (uint32_t i = 0; i < a->arg_count; i++)
		if (!expr_equal(a->args[i], b->args[i]))
			return false;
	return true;
}

bool expr_has_columns(const struct expr *e)
{
	if (e->kind == EXPR_COLUMN)
		return true;
	for (uint32_t i = 0; i < e->arg_count; i++)
		if (expr_has_columns(e->args[i]))
			return true;
	return false;
}

/* Nodes of the tree, but no more than `limit` are counted. */
static size_t expr_size(const struct expr *e, size_t limit)
{
	size_t size = 1;
	for (uint32_t i = 0; i < e->arg_count && size < limit; i++)
		size += expr_size(e->args[i], limit - size);
	return size;
}

enum err expr_copies_ok(struct binder *b, const struct expr *e, size_t copies)
{
	if (copies <= 1 || expr_size(e, BIND_COPIES_MAX) * copies <= BIND_COPIES_MAX)
		return ERR_OK;
	bind_hint(b, "compute the operand in a subquery");
	return bind_fail(
	    b, e->location, ERR_LIMIT, "the operand is too large to be repeated %zu times", copies);
}

struct expr *expr_remap(struct arena *arena, const struct expr *e, const uint32_t *map)
{
	struct expr *copy = arena_alloc(arena, sizeof *copy);
	if (!copy)
		return NULL;
	*copy = *e;
	if (e->kind == EXPR_COLUMN)
		copy->column = map[e->column];
	if (e->arg_count == 0)
		return copy;
	copy->args = arena_alloc(arena, e->arg_count * sizeof(struct expr *));
	if (!copy->args)
		return NULL;
	for (uint32_t i = 0; i < e->arg_count; i++) {
		copy->args[i] = expr_remap(arena, e->args[i], map);
		if (!copy->args[i])
			return NULL;
	}
	return copy;
}

/*
 * date_trunc to a day or less of a time that is in range stays in range (the range begins at
 * midnight), and the unit was checked when it was folded: such a call may stand above state without
 * records going one at a time.
 */
static bool is_safe_date_trunc(const struct expr *e)
{
	static const char *const units[] = {
	    "microseconds", "milliseconds", "second", "minute", "hour", "day"};
	if (strcmp(e->func->name, "date_trunc") != 0 || e->arg_count != 2 ||
	    e->args[0]->kind != EXPR_CONST || e->args[0]->value.null)
		return false;
	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		if (str_equal(e->args[0]->value.s, str_of(units[i])))
			return true;
	return false;
}

/* The function itself, apart from its arguments. */
static bool call_can_fail(const struct expr *e)
{
	return e->func && (e->func->flags & FUNC_CAN_FAIL) && !is_safe_date_trunc(e);
}

struct expr *expr_substitute(struct arena *arena, const struct expr *e, struct expr *const *columns)
{
	if (e->kind == EXPR_COLUMN)
		return columns[e->column];
	struct expr *copy = arena_alloc(arena, sizeof *copy);
	if (!copy)
		return NULL;
	*copy = *e;
	if (e->arg_count == 0)
		return copy;
	copy->args = arena_alloc(arena, e->arg_count * sizeof(struct expr *));
	if (!copy->args)
		return NULL;
	copy->can_fail = call_can_fail(e);
	for (uint32_t i = 0; i < e->arg_count; i++) {
		copy->args[i] = expr_substitute(arena, e->args[i], columns);
		if (!copy->args[i])
			return NULL;
		copy->can_fail |= copy->args[i]->can_fail;
	}
	return copy;
}

void expr_count(const struct expr *e, uint32_t *uses)
{
	if (e->kind == EXPR_COLUMN)
		uses[e->column]++;
	for (uint32_t i = 0; i < e->arg_count; i++)
		expr_count(e->args[i], uses);
}

void expr_mark(const struct expr *e, uint8_t *needed)
{
	if (e->kind == EXPR_COLUMN)
		needed[e->column] = 1;
	for (uint32_t i = 0; i < e->arg_count; i++)
		expr_mark(e->args[i], needed);
}

/* ---- folding --------------------------------------------------------------------------------- */

static enum err fold_failed(
    struct binder *b, const struct scope *s, struct expr *e, const struct row_errors *errors)
{
	if (s && s->conditional > 0)
		return ERR_OK; /* the branch may never be taken: the row that takes it fails */
	return bind_fail(b, e->location, errors->errors[0].err, "%s", errors->errors[0].message);
}

static enum err fold(
    struct binder *b, const struct scope *s, struct expr *e, struct expr **ret_expr)
{
	struct row_errors errors = {0};
	struct batch row = {.count = 1, .arena = b->arena};
	struct eval ev = {.arena = b->arena, .errors = &errors, .count = 1};
	struct vec v = {.type = e->type};
	enum err err = expr_eval(&ev, e, &row, &v);
	struct datum value = {.null = true};
	if (err == ERR_OK && errors.count == 0)
		err = datum_copy(b->arena, e->type.id, vec_get(&v, 0), &value);
	if (err != ERR_OK) {
		row_errors_release(&errors);
		return bind_nomem(b);
	}
	if (errors.count > 0) {
		err = fold_failed(b, s, e, &errors);
		row_errors_release(&errors);
		return err;
	}
	row_errors_release(&errors);
	*ret_expr = expr_const(b, e->type, value, e->location);
	return *ret_expr ? ERR_OK : bind_nomem(b);
}

/* A constant part of a branch that failed to fold keeps its call; what stands above it is tried
 * again, for its branch may not be the one taken. */
enum err expr_done(struct binder *b, const struct scope *s, struct expr *e, struct expr **ret_expr)
{
	e->can_fail = call_can_fail(e);
	for (uint32_t i = 0; i < e->arg_count; i++)
		e->can_fail |= e->args[i]->can_fail;
	*ret_expr = e;
	if (e->kind == EXPR_COLUMN || e->kind == EXPR_CONST || expr_has_columns(e))
		return ERR_OK;
	return fold(b, s, e, ret_expr);
}
