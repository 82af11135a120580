/* SPDX-License-Identifier: Apache-2.0 */
/* Rounding and mathematics over double precision and numeric. Domain errors as PostgreSQL's. */
#include "processor/op/func_list.h"
#include "processor/op/numeric.h"

#include <errno.h>
#include <math.h>

#define PI 3.14159265358979323846

/* ---- double precision: total functions ------------------------------------------------------- */

static double sign_of(double a)
{
	return a > 0 ? 1 : a < 0 ? -1 : 0;
}

#define FLOAT_TOTAL(name, expression)                                                              \
	void func_##name(                                                                          \
	    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)     \
	{                                                                                          \
		(void)call;                                                                        \
		EACH_ROW (ev, out, r) {                                                            \
			double a = arg_f(&args[0], r);                                             \
			out->f[r] = expression;                                                    \
		}                                                                                  \
	}
FLOAT_TOTAL(float_ceil, ceil(a))
FLOAT_TOTAL(float_floor, floor(a))
FLOAT_TOTAL(float_round, rint(a))
FLOAT_TOTAL(float_trunc, trunc(a))
FLOAT_TOTAL(float_sign, sign_of(a))

void func_float_pi(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	(void)call;
	(void)args;
	EACH_ROW (ev, out, r)
		out->f[r] = PI;
}

/* ---- double precision: functions with a domain ----------------------------------------------- */

enum { INFINITY_OK = 1, ZERO_OK = 2 };
static void store(struct eval *ev, struct vec *out, uint32_t row, double v, int allowed)
{
	if (isinf(v) && !(allowed & INFINITY_OK))
		func_fail(ev, out, row, ERR_NUMERIC_OVERFLOW, "value out of range: overflow");
	else if (v == 0 && !(allowed & ZERO_OK))
		func_fail(ev, out, row, ERR_NUMERIC_OVERFLOW, "value out of range: underflow");
	else
		out->f[row] = v;
}

/* `outside` names the condition under which the argument has no value. */
#define FLOAT_DOMAIN(name, outside, message, expression, zero_ok)                                  \
	void func_##name(                                                                          \
	    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)     \
	{                                                                                          \
		(void)call;                                                                        \
		EACH_ROW (ev, out, r) {                                                            \
			double a = arg_f(&args[0], r);                                             \
			if (outside)                                                               \
				func_fail(ev, out, r, ERR_BAD_VALUE, message);                     \
			else                                                                       \
				store(ev, out, r, expression,                                      \
				    (isinf(a) ? INFINITY_OK : 0) | ((zero_ok) ? ZERO_OK : 0));     \
		}                                                                                  \
	}
FLOAT_DOMAIN(float_sqrt, a < 0, "cannot take square root of a negative number", sqrt(a), true)
FLOAT_DOMAIN(float_cbrt, false, "input is out of range", cbrt(a), true)
FLOAT_DOMAIN(float_exp, false, "input is out of range", exp(a), isinf(a))
FLOAT_DOMAIN(float_ln, a <= 0, "cannot take logarithm of zero or a negative number", log(a), true)
FLOAT_DOMAIN(
    float_log10, a <= 0, "cannot take logarithm of zero or a negative number", log10(a), true)
FLOAT_DOMAIN(float_sin, isinf(a), "input is out of range", sin(a), true)
FLOAT_DOMAIN(float_cos, isinf(a), "input is out of range", cos(a), true)
FLOAT_DOMAIN(float_tan, isinf(a), "input is out of range", tan(a), true)
FLOAT_DOMAIN(float_asin, a<-1 || a> 1, "input is out of range", asin(a), true)
FLOAT_DOMAIN(float_acos, a<-1 || a> 1, "input is out of range", acos(a), true)
FLOAT_DOMAIN(float_atan, false, "input is out of range", atan(a), true)
FLOAT_DOMAIN(float_tanh, false, "input is out of range", tanh(a), true)
FLOAT_DOMAIN(float_degrees, false, "input is out of range", a / (PI / 180), true)
FLOAT_DOMAIN(float_radians, false, "input is out of range", a *(PI / 180), true)

/* Where PostgreSQL lets infinity through. */
#define FLOAT_OPEN(name, outside, expression)                                                      \
	void func_##name(                                                                          \
	    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)     \
	{                                                                                          \
		(void)call;                                                                        \
		EACH_ROW (ev, out, r) {                                                            \
			double a = arg_f(&args[0], r);                                             \
			if (outside)                                                               \
				func_fail(ev, out, r, ERR_BAD_VALUE, "input is out of range");     \
			else                                                                       \
				out->f[r] = expression;                                            \
		}                                                                                  \
	}
FLOAT_OPEN(float_cot, isinf(a), 1 / tan(a))
FLOAT_OPEN(float_sinh, false, sinh(a))
FLOAT_OPEN(float_cosh, false, cosh(a))

void func_float_atan2(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	(void)call;
	EACH_ROW (ev, out, r)
		out->f[r] = atan2(arg_f(&args[0], r), arg_f(&args[1], r));
}

void func_float_power(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	(void)call;
	EACH_ROW (ev, out, r) {
		double a = arg_f(&args[0], r), b = arg_f(&args[1], r);
		if (a == 0 && b < 0) {
			func_fail(ev, out, r, ERR_BAD_VALUE,
			    "zero raised to a negative power is undefined");
		} else if (a < 0 && !isinf(b) && !isnan(b) && floor(b) != b) {
			func_fail(ev, out, r, ERR_BAD_VALUE,
			    "a negative number raised to a non-integer power yields a complex "
			    "result");
		} else {
			bool infinite = isinf(a) || isinf(b);
			store(ev, out, r, pow(a, b),
			    (infinite ? INFINITY_OK : 0) | (infinite || a == 0 ? ZERO_OK : 0));
		}
	}
}

/* ---- numeric --------------------------------------------------------------------------------- */

typedef enum err (*numeric_function)(struct numeric a, struct numeric *ret);

static void numeric_apply(
    struct eval *ev, const struct vec *args, struct vec *out, numeric_function f)
{
	EACH_ROW (ev, out, r) {
		enum err e = f(arg_num(&args[0], r), &out->num[r]);
		if (e != ERR_OK)
			func_fail_code(ev, out, r, e);
	}
}

static enum err round_whole(struct numeric a, struct numeric *ret)
{
	return numeric_round(a, 0, ret);
}
static enum err trunc_whole(struct numeric a, struct numeric *ret)
{
	*ret = numeric_trunc(a, 0);
	return ERR_OK;
}
static enum err log_ten(struct numeric a, struct numeric *ret)
{
	return numeric_log(numeric_of_i64(10), a, ret);
}

#define NUMERIC_BODY(name, function)                                                               \
	void func_##name(                                                                          \
	    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)     \
	{                                                                                          \
		(void)call;                                                                        \
		numeric_apply(ev, args, out, function);                                            \
	}
NUMERIC_BODY(numeric_ceil, numeric_ceil)
NUMERIC_BODY(numeric_floor, numeric_floor)
NUMERIC_BODY(numeric_round, round_whole)
NUMERIC_BODY(numeric_trunc, trunc_whole)
NUMERIC_BODY(numeric_sqrt, numeric_sqrt)
NUMERIC_BODY(numeric_exp, numeric_exp)
NUMERIC_BODY(numeric_ln, numeric_ln)
NUMERIC_BODY(numeric_log10, log_ten)

void func_numeric_round_to(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	(void)call;
	EACH_ROW (ev, out, r) {
		enum err e = numeric_round(arg_num(&args[0], r), arg_i(&args[1], r), &out->num[r]);
		if (e != ERR_OK)
			func_fail_code(ev, out, r, e);
	}
}

void func_numeric_trunc_to(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	(void)call;
	EACH_ROW (ev, out, r)
		out->num[r] = numeric_trunc(arg_num(&args[0], r), arg_i(&args[1], r));
}

void func_numeric_sign(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	(void)call;
	EACH_ROW (ev, out, r) {
		int128 m = arg_num(&args[0], r).mantissa;
		out->num[r] = numeric_of_i64((m > 0) - (m < 0));
	}
}

void func_numeric_scale(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	(void)call;
	EACH_ROW (ev, out, r)
		out->i[r] = arg_num(&args[0], r).scale;
}

void func_numeric_trim_scale(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	(void)call;
	EACH_ROW (ev, out, r)
		out->num[r] = numeric_normalise(arg_num(&args[0], r));
}
