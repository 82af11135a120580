/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the bodies of SQL functions share. A body computes the rows that are active and not yet NULL
 * in `out` (for a strict function the NULLs of the arguments are already there); the other rows'
 * values are never read. A row fails by func_fail and becomes NULL. When all arguments are constant
 * the evaluator calls with a batch of one row.
 */
#include "processor/op/expr.h"

static inline bool func_todo(const struct eval *ev, const struct vec *out, uint32_t row)
{
	return (!ev->active || ev->active[row]) && !(out->null && out->null[row]);
}
#define EACH_ROW(ev, out, row)                                                                     \
	for (uint32_t row = 0; row < (ev)->count; row++)                                           \
		if (func_todo(ev, out, row))

/* Makes the row NULL. */
void func_null(struct eval *ev, struct vec *out, uint32_t row);
/* Records the row's error. */
void func_note(struct eval *ev, uint32_t row, enum err err, const char *fmt, ...) PRINTF(4, 5);
/* Records the error and makes the row NULL. */
#define func_fail(ev, out, row, err, ...)                                                          \
	(func_null(ev, out, row), func_note(ev, row, err, __VA_ARGS__))
/* The usual message for a code: overflow, division by zero. */
void func_fail_code(struct eval *ev, struct vec *out, uint32_t row, enum err err);
/* From the batch's arena; NULL after setting ev->fatal. */
void *func_alloc(struct eval *ev, size_t len);
/*
 * How long a row's text result may be: four times its arguments and 64 KiB (I8), whatever else is
 * in the batch, so that which records are refused does not depend on batches.
 */
#define FUNC_TEXT_FREE  (64 * KIB)
#define FUNC_TEXT_TIMES ((size_t)4)
#define FUNC_TEXT_MAX   (64 * MIB)
size_t func_text_limit(const struct expr *call, const struct vec *args, uint32_t row);
/* A copy of the writer's bytes in the arena; the writer is cleared. Its error makes the row fail
 * (LIMIT) or the batch. */
struct str func_take(struct eval *ev, struct vec *out, uint32_t row, struct writer *w);

static inline int64_t arg_i(const struct vec *v, uint32_t row)
{
	return v->i[vec_row(v, row)];
}
static inline double arg_f(const struct vec *v, uint32_t row)
{
	return v->f[vec_row(v, row)];
}
static inline struct numeric arg_num(const struct vec *v, uint32_t row)
{
	return v->num[vec_row(v, row)];
}
static inline struct str arg_s(const struct vec *v, uint32_t row)
{
	return v->s[vec_row(v, row)];
}
static inline struct interval arg_iv(const struct vec *v, uint32_t row)
{
	return v->iv[vec_row(v, row)];
}

/* A relabelling cast: the evaluator hands the argument through. */
void func_same(struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out);
