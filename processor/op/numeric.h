/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Exact decimals: int128 mantissa, up to 38 digits, with PostgreSQL's result scales (numeric.c of
 * PostgreSQL 15 says where they come from). What does not fit 38 digits is ERR_NUMERIC_OVERFLOW,
 * never a wrong value; a quotient or root is rounded at 38 decimals at the latest. No allocation;
 * results untouched on failure. Any thread.
 */
#include "processor/op/vec.h"

uint128 numeric_pow10(int exponent); /* 0..38 */
int numeric_digits(uint128 m);       /* decimal digits of m; 0 for 0 */
int numeric_compare(struct numeric a, struct numeric b);
static inline struct numeric numeric_of_i64(int64_t v)
{
	return (struct numeric){v, 0};
}
/* Without trailing zeros after the point. */
struct numeric numeric_normalise(struct numeric n);

MUST_USE enum err numeric_add(struct numeric a, struct numeric b, struct numeric *ret_sum);
MUST_USE enum err numeric_sub(struct numeric a, struct numeric b, struct numeric *ret_difference);
MUST_USE enum err numeric_mul(struct numeric a, struct numeric b, struct numeric *ret_product);
/* ERR_DIVISION_BY_ZERO. The scale is PostgreSQL's select_div_scale: at least 16 significant digits.
 */
MUST_USE enum err numeric_div(struct numeric a, struct numeric b, struct numeric *ret_quotient);
MUST_USE enum err numeric_div_trunc(
    struct numeric a, struct numeric b, struct numeric *ret_quotient);
MUST_USE enum err numeric_mod(struct numeric a, struct numeric b, struct numeric *ret_rest);
/* Half away from zero, at `scale` decimals; negative scales round before the point, the result's
 * scale is then 0. */
MUST_USE enum err numeric_round(struct numeric a, int64_t scale, struct numeric *ret_rounded);
struct numeric numeric_trunc(struct numeric a, int64_t scale);
MUST_USE enum err numeric_ceil(struct numeric a, struct numeric *ret_ceil);
MUST_USE enum err numeric_floor(struct numeric a, struct numeric *ret_floor);
/* numeric(p,s): rounds to s, ERR_NUMERIC_OVERFLOW beyond p digits. precision 0 = unconstrained. */
MUST_USE enum err numeric_apply_typmod(
    struct numeric a, struct type type, struct numeric *ret_numeric);

/* ERR_NUMERIC_OVERFLOW outside [min, max]; rounds half away from zero. */
MUST_USE enum err numeric_to_i64(struct numeric a, int64_t min, int64_t max, int64_t *ret_value);
double numeric_to_double(struct numeric a);
/* As PostgreSQL: through 15 (double) or 6 (float) significant digits. ERR_BAD_VALUE for NaN and
 * infinities. */
MUST_USE enum err numeric_of_double(double f, bool is_float4, struct numeric *ret_numeric);

/* Functions beyond arithmetic (numeric_math.c); scales as PostgreSQL's numeric versions. */
MUST_USE enum err numeric_sqrt(struct numeric a, struct numeric *ret_root);
MUST_USE enum err numeric_exp(struct numeric a, struct numeric *ret_exp);
MUST_USE enum err numeric_ln(struct numeric a, struct numeric *ret_ln);
MUST_USE enum err numeric_log(struct numeric base, struct numeric a, struct numeric *ret_log);
MUST_USE enum err numeric_power(struct numeric a, struct numeric b, struct numeric *ret_power);

void numeric_to_text(struct writer *w, struct numeric n);
/* Digits with an optional sign, point and exponent, blanks around; rounded half away from zero to
 * numeric(p,s). ERR_BAD_VALUE, ERR_NUMERIC_OVERFLOW: beyond p digits, or beyond 38, also behind the
 * point. */
MUST_USE enum err numeric_from_text(struct str text, struct type type, struct numeric *ret_numeric);
/* 256-bit helpers shared with numeric_math.c. */
struct u256 {
	uint128 hi, lo;
};
struct u256 u256_mul(uint128 a, uint128 b);
/* a / d with remainder; quotient may need 256 bits. d > 0. */
struct u256 u256_div(struct u256 a, uint128 d, uint128 *ret_rest);
