/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The evaluator: one column vector per expression node. What must not be evaluated for a row (a
 * branch of CASE that is not taken, the rest of a decided AND) is switched off by the active mask;
 * the mask costs, so it is only narrowed for parts that can fail. Values of inactive rows are
 * unspecified and never read.
 */
#include "processor/op/expr.h"

#include "processor/op/expr_parts.h"
#include "processor/op/func.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- row errors ------------------------------------------------------------------------------ */

void row_errors_release(struct row_errors *e)
{
	mem_free(e->errors);
	*e = (struct row_errors){0};
}

static struct row_error *row_error_new(struct row_errors *e, uint32_t row)
{
	for (uint32_t i = 0; i < e->count; i++)
		if (e->errors[i].row == row)
			return NULL;
	if (e->count == e->capacity) {
		uint32_t capacity = e->capacity ? e->capacity * 2 : 16;
		struct row_error *grown = mem_realloc(e->errors, capacity * sizeof *grown);
		if (!grown) {
			e->no_memory = true;
			return NULL;
		}
		e->errors = grown;
		e->capacity = capacity;
	}
	return &e->errors[e->count++];
}

static void row_error_vadd(
    struct row_errors *e, uint32_t row, enum err err, const char *fmt, va_list ap)
{
	struct row_error *error = row_error_new(e, row);
	if (!error)
		return;
	error->row = row;
	error->err = err;
	vsnprintf(error->message, sizeof error->message, fmt, ap);
	/* it may quote a value, cut anywhere: what is printed later must be text */
	struct str message = str_of(error->message);
	if (!str_is_utf8(message))
		for (size_t i = 0; i < message.len; i++)
			if ((unsigned char)error->message[i] >= 0x80)
				error->message[i] = '?';
}

void row_error_add(struct row_errors *e, uint32_t row, enum err err, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	row_error_vadd(e, row, err, fmt, ap);
	va_end(ap);
}

void func_null(struct eval *ev, struct vec *out, uint32_t row)
{
	if (vec_init_nulls(out, ev->arena, ev->count) != ERR_OK)
		ev->fatal = ERR_NOMEM;
	else
		out->null[row] = 1;
}

void func_note(struct eval *ev, uint32_t row, enum err err, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	row_error_vadd(ev->errors, row, err, fmt, ap);
	va_end(ap);
	if (ev->errors->no_memory)
		ev->fatal = ERR_NOMEM;
}

void func_fail_code(struct eval *ev, struct vec *out, uint32_t row, enum err err)
{
	if (err == ERR_NOMEM)
		ev->fatal = err;
	func_fail(ev, out, row, err, "%s: %s", type_name(out->type.id), err_text(err));
}

size_t func_text_limit(const struct expr *call, const struct vec *args, uint32_t row)
{
	size_t limit = FUNC_TEXT_FREE;
	for (uint32_t a = 0; a < call->arg_count; a++) {
		enum type_id id = args[a].type.id;
		bool slice =
		    id == TYPE_TEXT || id == TYPE_BYTEA || id == TYPE_JSONB || id == TYPE_UNKNOWN;
		if (slice && !vec_is_null(&args[a], row))
			limit += FUNC_TEXT_TIMES * arg_s(&args[a], row).len;
	}
	return limit < FUNC_TEXT_MAX ? limit : FUNC_TEXT_MAX;
}

void *func_alloc(struct eval *ev, size_t len)
{
	void *ptr = arena_alloc(ev->arena, len);
	if (!ptr)
		ev->fatal = ERR_NOMEM;
	return ptr;
}

struct str func_take(struct eval *ev, struct vec *out, uint32_t row, struct writer *w)
{
	struct str s = {"", 0};
	if (w->err == ERR_LIMIT) {
		func_fail(ev, out, row, ERR_LIMIT, "text would be longer than %zu bytes", w->limit);
	} else if (w->err != ERR_OK) {
		ev->fatal = w->err;
	} else {
		s = bytes_str(arena_copy(ev->arena, writer_bytes(w)));
		if (!s.ptr)
			ev->fatal = ERR_NOMEM;
	}
	writer_clear(w);
	w->err = ERR_OK;
	return s;
}

void func_same(struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	(void)ev;
	*out = args[0];
	out->type = call->type;
}

/* ---- calls ----------------------------------------------------------------------------------- */

/* NULLs of the arguments are NULLs of the result. */
static enum err merge_nulls(
    struct eval *ev, const struct vec *args, uint32_t arg_count, struct vec *out)
{
	for (uint32_t a = 0; a < arg_count; a++) {
		const struct vec *arg = &args[a];
		if (!arg->null || (arg->constant && !arg->null[0]))
			continue;
		TRY(vec_init_nulls(out, ev->arena, ev->count));
		if (arg->constant)
			memset(out->null, 1, ev->count);
		else
			for (uint32_t r = 0; r < ev->count; r++)
				out->null[r] |= arg->null[r];
	}
	return ERR_OK;
}

enum err expr_call(
    struct eval *ev, const struct expr *e, const struct vec *args, struct vec *ret_vec)
{
	struct vec out;
	if (e->func->eval == func_same) {
		func_same(ev, e, args, ret_vec);
		return ERR_OK;
	}
	if ((ev->fatal = vec_init(&out, ev->arena, e->type, ev->count)) != ERR_OK)
		return ev->fatal;
	if (!(e->func->flags & FUNC_NOT_STRICT))
		ev->fatal = merge_nulls(ev, args, e->arg_count, &out);
	if (ev->fatal == ERR_OK)
		e->func->eval(ev, e, args, &out);
	if (ev->fatal == ERR_OK)
		*ret_vec = out;
	return ev->fatal;
}

/* A call over constants is computed once, unless it fails: then each active row has the error. */
static enum err call_constant(
    struct eval *ev, const struct expr *e, const struct vec *args, struct vec *ret_vec)
{
	struct row_errors errors = {0};
	struct eval once = {.arena = ev->arena, .errors = &errors, .count = 1};
	enum err err = expr_call(&once, e, args, ret_vec);
	bool failed = errors.count > 0;
	row_errors_release(&errors);
	if (err != ERR_OK)
		return ev->fatal = err;
	if (failed)
		return expr_call(ev, e, args, ret_vec);
	ret_vec->constant = true;
	return ERR_OK;
}

enum err expr_args(
    struct eval *ev, const struct expr *e, const struct batch *in, struct vec **ret_args)
{
	struct vec *args = func_alloc(ev, (e->arg_count ? e->arg_count : 1) * sizeof *args);
	if (!args)
		return ev->fatal;
	for (uint32_t a = 0; a < e->arg_count; a++)
		TRY(expr_eval(ev, e->args[a], in, &args[a]));
	*ret_args = args;
	return ERR_OK;
}

static enum err eval_call(
    struct eval *ev, const struct expr *e, const struct batch *in, struct vec *ret_vec)
{
	struct vec *args;
	bool constant = true;
	TRY(expr_args(ev, e, in, &args));
	for (uint32_t a = 0; a < e->arg_count; a++)
		constant &= args[a].constant;
	return constant ? call_constant(ev, e, args, ret_vec) : expr_call(ev, e, args, ret_vec);
}

/* ---- leaves ---------------------------------------------------------------------------------- */

static enum err eval_const(struct eval *ev, const struct expr *e, struct vec *ret_vec)
{
	struct vec v;
	if ((ev->fatal = vec_init(&v, ev->arena, e->type, 1)) != ERR_OK)
		return ev->fatal;
	v.constant = true;
	if (e->value.null && (ev->fatal = vec_init_nulls(&v, ev->arena, 1)) != ERR_OK)
		return ev->fatal;
	vec_set(&v, 0, e->value);
	*ret_vec = v;
	return ERR_OK;
}

static enum err eval_is_null(
    struct eval *ev, const struct expr *e, const struct batch *in, struct vec *ret_vec)
{
	struct vec arg, out;
	TRY(expr_eval(ev, e->args[0], in, &arg));
	if ((ev->fatal = vec_init(&out, ev->arena, e->type, ev->count)) != ERR_OK)
		return ev->fatal;
	for (uint32_t r = 0; r < ev->count; r++)
		out.b[r] = vec_is_null(&arg, r);
	*ret_vec = out;
	return ERR_OK;
}

static enum err eval_is_true(
    struct eval *ev, const struct expr *e, const struct batch *in, struct vec *ret_vec)
{
	struct vec arg, out;
	TRY(expr_eval(ev, e->args[0], in, &arg));
	if ((ev->fatal = vec_init(&out, ev->arena, e->type, ev->count)) != ERR_OK)
		return ev->fatal;
	for (uint32_t r = 0; r < ev->count; r++)
		out.b[r] = !vec_is_null(&arg, r) && arg.b[vec_row(&arg, r)];
	*ret_vec = out;
	return ERR_OK;
}

static enum err eval_not(
    struct eval *ev, const struct expr *e, const struct batch *in, struct vec *ret_vec)
{
	struct vec arg, out;
	TRY(expr_eval(ev, e->args[0], in, &arg));
	if ((ev->fatal = vec_init(&out, ev->arena, e->type, ev->count)) != ERR_OK ||
	    (ev->fatal = merge_nulls(ev, &arg, 1, &out)) != ERR_OK)
		return ev->fatal;
	for (uint32_t r = 0; r < ev->count; r++)
		out.b[r] = !arg.b[vec_row(&arg, r)];
	*ret_vec = out;
	return ERR_OK;
}

enum err expr_eval(
    struct eval *ev, const struct expr *e, const struct batch *in, struct vec *ret_vec)
{
	if (ev->fatal != ERR_OK)
		return ev->fatal;
	switch (e->kind) {
	case EXPR_COLUMN:
		ASSERT(e->column < in->column_count && in->cols[e->column].data);
		*ret_vec = in->cols[e->column];
		return ERR_OK;
	case EXPR_CONST:
		return eval_const(ev, e, ret_vec);
	case EXPR_CALL:
		return eval_call(ev, e, in, ret_vec);
	case EXPR_AND:
	case EXPR_OR:
		return expr_logic(ev, e, in, ret_vec);
	case EXPR_NOT:
		return eval_not(ev, e, in, ret_vec);
	case EXPR_IS_NULL:
		return eval_is_null(ev, e, in, ret_vec);
	case EXPR_IS_TRUE:
		return eval_is_true(ev, e, in, ret_vec);
	case EXPR_DISTINCT:
		return expr_distinct(ev, e, in, ret_vec);
	case EXPR_CASE:
	case EXPR_COALESCE:
		return expr_choose(ev, e, in, ret_vec);
	case EXPR_NULLIF:
		return expr_nullif(ev, e, in, ret_vec);
	case EXPR_GREATEST:
	case EXPR_LEAST:
		return expr_extreme(ev, e, in, ret_vec);
	case EXPR_IN:
		return expr_in(ev, e, in, ret_vec);
	}
	ASSERT(false);
	return ERR_BUG;
}
