/* SPDX-License-Identifier: Apache-2.0 */
/*
 * + - * / % and friends. Integers live in int64 whatever their SQL width: the result is computed
 * with an overflow check and held against the width's range. The common case, no overflow in the
 * batch, runs without a branch per row; only when something overflowed are the rows looked at one
 * by one, and then only the active ones count.
 */
#include "processor/op/func_list.h"
#include "processor/op/numeric.h"

#include <math.h>

/* ---- integers -------------------------------------------------------------------------------- */

static bool in_range(enum type_id type, int64_t v)
{
	return type == TYPE_INT8 || (type == TYPE_INT4 ? v == (int32_t)v : v == (int16_t)v);
}

static void out_of_range(struct eval *ev, struct vec *out, uint32_t row)
{
	func_fail(ev, out, row, ERR_NUMERIC_OVERFLOW, "%s out of range", type_name(out->type.id));
}

#define INT_ARITH(name, type_id, builtin)                                                          \
	void func_##name(                                                                          \
	    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)     \
	{                                                                                          \
		(void)call;                                                                        \
		const int64_t *a = args[0].i, *b = args[1].i;                                      \
		size_t step_a = !args[0].constant, step_b = !args[1].constant;                     \
		bool bad = false;                                                                  \
		for (uint32_t r = 0; r < ev->count; r++) {                                         \
			bad |= builtin(a[r * step_a], b[r * step_b], &out->i[r]);                  \
			bad |= !in_range(type_id, out->i[r]);                                      \
		}                                                                                  \
		if (!bad)                                                                          \
			return;                                                                    \
		EACH_ROW (ev, out, r)                                                              \
			if (builtin(a[r * step_a], b[r * step_b], &out->i[r]) ||                   \
			    !in_range(type_id, out->i[r]))                                         \
				out_of_range(ev, out, r);                                          \
	}
#define INT_ARITHS(name, type_id)                                                                  \
	INT_ARITH(name##_add, type_id, __builtin_add_overflow)                                     \
	INT_ARITH(name##_sub, type_id, __builtin_sub_overflow)                                     \
	INT_ARITH(name##_mul, type_id, __builtin_mul_overflow)
INT_ARITHS(int2, TYPE_INT2)
INT_ARITHS(int4, TYPE_INT4)
INT_ARITHS(int8, TYPE_INT8)

static void int_divide(struct eval *ev, const struct vec *args, struct vec *out, bool rest)
{
	EACH_ROW (ev, out, r) {
		int64_t a = arg_i(&args[0], r), b = arg_i(&args[1], r);
		if (b == 0) {
			func_fail(ev, out, r, ERR_DIVISION_BY_ZERO, "division by zero");
		} else if (b == -1) {
			/* the one quotient that overflows is -lowest */
			if (rest)
				out->i[r] = 0;
			else if (__builtin_sub_overflow((int64_t)0, a, &out->i[r]) ||
			         !in_range(out->type.id, out->i[r]))
				out_of_range(ev, out, r);
		} else {
			out->i[r] = rest ? a % b : a / b;
		}
	}
}

static void int_negate(struct eval *ev, const struct vec *args, struct vec *out, bool always)
{
	EACH_ROW (ev, out, r) {
		int64_t a = arg_i(&args[0], r);
		if (a >= 0 && !always)
			out->i[r] = a;
		else if (__builtin_sub_overflow((int64_t)0, a, &out->i[r]) ||
		         !in_range(out->type.id, out->i[r]))
			out_of_range(ev, out, r);
	}
}

/* Shifts wrap inside the type's width; the count is taken modulo the width, as the hardware
 * PostgreSQL runs on does. */
static void int_shift(struct eval *ev, const struct vec *args, struct vec *out, bool left)
{
	int width = out->type.id == TYPE_INT8 ? 64 : 32;
	EACH_ROW (ev, out, r) {
		int64_t a = arg_i(&args[0], r);
		unsigned by = (unsigned)arg_i(&args[1], r) & (unsigned)(width - 1);
		int64_t v = left ? (int64_t)((uint64_t)a << by) : a >> by;
		out->i[r] = out->type.id == TYPE_INT8   ? v
		            : out->type.id == TYPE_INT4 ? (int32_t)v
		                                        : (int16_t)v;
	}
}

#define BODY_WITH(name, function, arg)                                                             \
	void func_##name(                                                                          \
	    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)     \
	{                                                                                          \
		(void)call;                                                                        \
		function(ev, args, out, arg);                                                      \
	}
#define INT_BODIES(name)                                                                           \
	BODY_WITH(name##_div, int_divide, false)                                                   \
	BODY_WITH(name##_mod, int_divide, true)                                                    \
	BODY_WITH(name##_neg, int_negate, true)                                                    \
	BODY_WITH(name##_abs, int_negate, false)                                                   \
	BODY_WITH(name##_shl, int_shift, true)                                                     \
	BODY_WITH(name##_shr, int_shift, false)
INT_BODIES(int2)
INT_BODIES(int4)
INT_BODIES(int8)

static uint64_t absolute(int64_t v)
{
	return v < 0 ? -(uint64_t)v : (uint64_t)v;
}

static uint64_t gcd(uint64_t a, uint64_t b)
{
	while (b != 0) {
		uint64_t rest = a % b;
		a = b;
		b = rest;
	}
	return a;
}

static void int_gcd(struct eval *ev, const struct vec *args, struct vec *out, bool multiple)
{
	EACH_ROW (ev, out, r) {
		uint64_t a = absolute(arg_i(&args[0], r)), b = absolute(arg_i(&args[1], r)),
		         g = gcd(a, b), v = g;
		bool wide = multiple && g != 0 && __builtin_mul_overflow(a / g, b, &v);
		if (wide || v > INT64_MAX || !in_range(out->type.id, (int64_t)v))
			out_of_range(ev, out, r);
		else
			out->i[r] = (int64_t)v;
	}
}
BODY_WITH(int4_gcd, int_gcd, false)
BODY_WITH(int8_gcd, int_gcd, false)
BODY_WITH(int4_lcm, int_gcd, true)
BODY_WITH(int8_lcm, int_gcd, true)

#define INT_BITS(name, op)                                                                         \
	void func_##name(                                                                          \
	    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)     \
	{                                                                                          \
		(void)call;                                                                        \
		EACH_ROW (ev, out, r)                                                              \
			out->i[r] = arg_i(&args[0], r) op arg_i(&args[1], r);                      \
	}
INT_BITS(int_and, &)
INT_BITS(int_or, |)
INT_BITS(int_xor, ^)

void func_int_not(struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	(void)call;
	EACH_ROW (ev, out, r)
		out->i[r] = ~arg_i(&args[0], r);
}

/* ---- real, double precision ------------------------------------------------------------------ */

enum float_op { FLOAT_ADD, FLOAT_SUB, FLOAT_MUL, FLOAT_DIV };

static double float_compute(enum float_op op, double a, double b, bool is_float4)
{
	double v = op == FLOAT_ADD   ? a + b
	           : op == FLOAT_SUB ? a - b
	           : op == FLOAT_MUL ? a * b
	                             : a / b;
	/* the result of two floats in double is exact enough to round once more without harm
	 * (Figueroa 1995) */
	return is_float4 ? (double)(float)v : v;
}

static void float_arith(struct eval *ev, const struct vec *args, struct vec *out, enum float_op op)
{
	bool is_float4 = out->type.id == TYPE_FLOAT4;
	EACH_ROW (ev, out, r) {
		double a = arg_f(&args[0], r), b = arg_f(&args[1], r);
		if (op == FLOAT_DIV && b == 0 && !isnan(a)) {
			func_fail(ev, out, r, ERR_DIVISION_BY_ZERO, "division by zero");
			continue;
		}
		double v = float_compute(op, a, b, is_float4);
		bool overflow = isinf(v) && !isinf(a) && (op == FLOAT_DIV || !isinf(b));
		bool underflow = v == 0 && ((op == FLOAT_MUL && a != 0 && b != 0) ||
		                               (op == FLOAT_DIV && a != 0 && !isinf(b)));
		if (overflow || underflow)
			func_fail(ev, out, r, ERR_NUMERIC_OVERFLOW, "value out of range: %s",
			    overflow ? "overflow" : "underflow");
		else
			out->f[r] = v;
	}
}
BODY_WITH(float4_add, float_arith, FLOAT_ADD)
BODY_WITH(float4_sub, float_arith, FLOAT_SUB)
BODY_WITH(float4_mul, float_arith, FLOAT_MUL)
BODY_WITH(float4_div, float_arith, FLOAT_DIV)
BODY_WITH(float8_add, float_arith, FLOAT_ADD)
BODY_WITH(float8_sub, float_arith, FLOAT_SUB)
BODY_WITH(float8_mul, float_arith, FLOAT_MUL)
BODY_WITH(float8_div, float_arith, FLOAT_DIV)

void func_float_neg(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	(void)call;
	EACH_ROW (ev, out, r)
		out->f[r] = -arg_f(&args[0], r);
}

void func_float_abs(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	(void)call;
	EACH_ROW (ev, out, r)
		out->f[r] = fabs(arg_f(&args[0], r));
}

/* ---- numeric --------------------------------------------------------------------------------- */

typedef enum err (*numeric_op)(struct numeric a, struct numeric b, struct numeric *ret);

static void numeric_arith(struct eval *ev, const struct vec *args, struct vec *out, numeric_op op)
{
	EACH_ROW (ev, out, r) {
		enum err e = op(arg_num(&args[0], r), arg_num(&args[1], r), &out->num[r]);
		if (e != ERR_OK)
			func_fail_code(ev, out, r, e);
	}
}
BODY_WITH(numeric_add, numeric_arith, numeric_add)
BODY_WITH(numeric_sub, numeric_arith, numeric_sub)
BODY_WITH(numeric_mul, numeric_arith, numeric_mul)
BODY_WITH(numeric_div, numeric_arith, numeric_div)
BODY_WITH(numeric_mod, numeric_arith, numeric_mod)
BODY_WITH(numeric_div_whole, numeric_arith, numeric_div_trunc)
BODY_WITH(numeric_log, numeric_arith, numeric_log)
BODY_WITH(numeric_power, numeric_arith, numeric_power)

void func_numeric_neg(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	(void)call;
	EACH_ROW (ev, out, r) {
		struct numeric n = arg_num(&args[0], r);
		out->num[r] = (struct numeric){-n.mantissa, n.scale};
	}
}

void func_numeric_abs(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	(void)call;
	EACH_ROW (ev, out, r) {
		struct numeric n = arg_num(&args[0], r);
		out->num[r] = (struct numeric){n.mantissa < 0 ? -n.mantissa : n.mantissa, n.scale};
	}
}
