/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decimal arithmetic in 128 bits with 256-bit intermediates. The scale of each result is the one
 * PostgreSQL 15 documents and shows: sums the larger scale, products the sum of scales, quotients
 * at least 16 significant digits counted in its base-10000 digits (div_scale). A result is built at
 * its scale exactly, then checked against 38 digits.
 */
#include "processor/op/numeric.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { SIG_DIGITS = 16, BASE_DIGITS = 4 };

static const uint64_t pow10_low[20] = {1u, 10u, 100u, 1000u, 10000u, 100000u, 1000000u, 10000000u,
    100000000u, 1000000000u, 10000000000u, 100000000000u, 1000000000000u, 10000000000000u,
    100000000000000u, 1000000000000000u, 10000000000000000u, 100000000000000000u,
    1000000000000000000u, 10000000000000000000u};

uint128 numeric_pow10(int exponent)
{
	ASSERT(exponent >= 0 && exponent <= NUMERIC_DIGITS_MAX);
	return exponent < 20 ? pow10_low[exponent]
	                     : (uint128)pow10_low[19] * pow10_low[exponent - 19];
}

int numeric_digits(uint128 m)
{
	if (m == 0)
		return 0;
	uint64_t hi = (uint64_t)(m >> 64);
	int bits = hi ? 128 - __builtin_clzll(hi) : 64 - __builtin_clzll((uint64_t)m);
	int guess = (bits - 1) * 1233 >> 12; /* floor((bits - 1) * log10(2)) */
	if (guess >= NUMERIC_DIGITS_MAX)
		return m >= numeric_pow10(NUMERIC_DIGITS_MAX) ? NUMERIC_DIGITS_MAX + 1
		                                              : NUMERIC_DIGITS_MAX;
	return m >= numeric_pow10(guess)
	           ? guess + (guess < NUMERIC_DIGITS_MAX && m >= numeric_pow10(guess + 1) ? 2 : 1)
	           : guess;
}

static uint128 magnitude(struct numeric n)
{
	return n.mantissa < 0 ? -(uint128)n.mantissa : (uint128)n.mantissa;
}

/* ---- 256 bits -------------------------------------------------------------------------------- */

struct u256 u256_mul(uint128 a, uint128 b)
{
	uint64_t a0 = (uint64_t)a, a1 = (uint64_t)(a >> 64), b0 = (uint64_t)b,
	         b1 = (uint64_t)(b >> 64);
	uint128 low = (uint128)a0 * b0, mid1 = (uint128)a1 * b0, mid2 = (uint128)a0 * b1;
	uint128 mid = (low >> 64) + (uint64_t)mid1 + (uint64_t)mid2;
	struct u256 r;
	r.lo = (mid << 64) | (uint64_t)low;
	r.hi = (uint128)a1 * b1 + (mid1 >> 64) + (mid2 >> 64) + (mid >> 64);
	return r;
}

/* One bit per step: only reached when the dividend does not fit 128 bits. rest < d stays below
 * 2^127. */
static uint128 divide_bits(uint128 rest, uint128 low, uint128 d, uint128 *ret_rest)
{
	uint128 q = 0;
	for (int i = 127; i >= 0; i--) {
		bool carry = rest >> 127;
		rest = (rest << 1) | ((low >> i) & 1);
		q <<= 1;
		if (carry || rest >= d) {
			rest -= d;
			q |= 1;
		}
	}
	*ret_rest = rest;
	return q;
}

struct u256 u256_div(struct u256 a, uint128 d, uint128 *ret_rest)
{
	ASSERT(d > 0);
	struct u256 q = {a.hi / d, 0};
	uint128 rest = a.hi % d;
	if (rest == 0) {
		q.lo = a.lo / d;
		*ret_rest = a.lo % d;
	} else {
		q.lo = divide_bits(rest, a.lo, d, ret_rest);
	}
	return q;
}

/* ---- building results ------------------------------------------------------------------------ */

static enum err finish(bool negative, uint128 m, int scale, struct numeric *ret)
{
	if (m >= numeric_pow10(NUMERIC_DIGITS_MAX) || scale > NUMERIC_DIGITS_MAX)
		return ERR_NUMERIC_OVERFLOW;
	ASSERT(scale >= 0);
	*ret = (struct numeric){negative ? -(int128)m : (int128)m, scale};
	return ERR_OK;
}

struct numeric numeric_normalise(struct numeric n)
{
	while (n.scale > 0 && n.mantissa % 10 == 0) {
		n.mantissa /= 10;
		n.scale--;
	}
	return n;
}

int numeric_compare(struct numeric a, struct numeric b)
{
	if (a.scale == b.scale)
		return (a.mantissa > b.mantissa) - (a.mantissa < b.mantissa);
	bool a_neg = a.mantissa < 0, b_neg = b.mantissa < 0;
	if (a_neg != b_neg)
		return a_neg ? -1 : 1;
	int up = a.scale < b.scale ? b.scale - a.scale : 0,
	    up_b = a.scale > b.scale ? a.scale - b.scale : 0;
	struct u256 x = u256_mul(magnitude(a), numeric_pow10(up));
	struct u256 y = u256_mul(magnitude(b), numeric_pow10(up_b));
	int c = x.hi != y.hi ? (x.hi > y.hi ? 1 : -1) : (x.lo > y.lo) - (x.lo < y.lo);
	return a_neg ? -c : c;
}

/* Mantissa of `n` at a larger scale; false when it does not fit. */
static bool rescale_up(struct numeric n, int scale, int128 *ret_mantissa)
{
	if (scale == n.scale) {
		*ret_mantissa = n.mantissa;
		return true;
	}
	struct u256 m = u256_mul(magnitude(n), numeric_pow10(scale - n.scale));
	if (m.hi != 0 || m.lo >= numeric_pow10(NUMERIC_DIGITS_MAX))
		return false;
	*ret_mantissa = n.mantissa < 0 ? -(int128)m.lo : (int128)m.lo;
	return true;
}

enum err numeric_add(struct numeric a, struct numeric b, struct numeric *ret_sum)
{
	int scale = a.scale > b.scale ? a.scale : b.scale;
	int128 x, y;
	if (!rescale_up(a, scale, &x) || !rescale_up(b, scale, &y))
		return ERR_NUMERIC_OVERFLOW;
	/* |x|, |y| < 10^38, so the sum is below 2 * 10^38 and would wrap: add magnitudes as
	 * unsigned */
	if ((x < 0) == (y < 0)) {
		uint128 m = (x < 0 ? -(uint128)x : (uint128)x) + (y < 0 ? -(uint128)y : (uint128)y);
		return finish(x < 0, m, scale, ret_sum);
	}
	*ret_sum = (struct numeric){x + y, scale};
	return ERR_OK;
}

enum err numeric_sub(struct numeric a, struct numeric b, struct numeric *ret_difference)
{
	b.mantissa = -b.mantissa;
	return numeric_add(a, b, ret_difference);
}

enum err numeric_mul(struct numeric a, struct numeric b, struct numeric *ret_product)
{
	if (a.mantissa == (int64_t)a.mantissa && b.mantissa == (int64_t)b.mantissa &&
	    a.scale + b.scale <= NUMERIC_DIGITS_MAX) {
		/* at most 2^126, which is below 10^38 */
		*ret_product = (struct numeric){a.mantissa * b.mantissa, a.scale + b.scale};
		return ERR_OK;
	}
	struct u256 m = u256_mul(magnitude(a), magnitude(b));
	if (m.hi != 0)
		return ERR_NUMERIC_OVERFLOW;
	return finish((a.mantissa < 0) != (b.mantissa < 0), m.lo, a.scale + b.scale, ret_product);
}

/* ---- division -------------------------------------------------------------------------------- */

/* Weight and value of the first base-10000 digit that is not zero; both 0 for zero. */
static void first_digit(struct numeric n, int *ret_weight, int *ret_digit)
{
	uint128 m = magnitude(n);
	*ret_weight = *ret_digit = 0;
	if (m == 0)
		return;
	int digits = numeric_digits(m), before_point = digits - n.scale;
	int weight = before_point > 0 ? (before_point - 1) / BASE_DIGITS
	                              : -((BASE_DIGITS - before_point) / BASE_DIGITS);
	int in_first = before_point - weight * BASE_DIGITS;
	ASSERT(in_first >= 1 && in_first <= BASE_DIGITS);
	*ret_weight = weight;
	*ret_digit = (int)(digits >= in_first ? m / numeric_pow10(digits - in_first)
	                                      : m * numeric_pow10(in_first - digits));
}

static int div_scale(struct numeric a, struct numeric b)
{
	int weight_a, weight_b, digit_a, digit_b;
	first_digit(a, &weight_a, &digit_a);
	first_digit(b, &weight_b, &digit_b);
	int weight = weight_a - weight_b - (digit_a <= digit_b);
	int scale = SIG_DIGITS - weight * BASE_DIGITS;
	if (scale < a.scale)
		scale = a.scale;
	if (scale < b.scale)
		scale = b.scale;
	return scale < 0 ? 0 : scale > NUMERIC_DIGITS_MAX ? NUMERIC_DIGITS_MAX : scale;
}

/* |a| / |b| at `scale`, truncated; *ret_up tells whether rounding half away adds one. */
static enum err divide(struct numeric a, struct numeric b, int scale, uint128 *ret_q, bool *ret_up)
{
	uint128 d = magnitude(b), rest;
	int shift = scale + b.scale - a.scale; /* >= 0 for every caller: scale >= a.scale */
	ASSERT(shift >= 0 && shift <= 2 * NUMERIC_DIGITS_MAX);
	int first = shift > NUMERIC_DIGITS_MAX ? NUMERIC_DIGITS_MAX : shift, second = shift - first;
	struct u256 q = u256_div(u256_mul(magnitude(a), numeric_pow10(first)), d, &rest);
	if (second > 0) {
		struct u256 low = u256_div(u256_mul(rest, numeric_pow10(second)), d, &rest);
		if (q.hi != 0)
			return ERR_NUMERIC_OVERFLOW;
		q = u256_mul(q.lo, numeric_pow10(second));
		ASSERT(low.hi == 0); /* rest < d, so this part has at most `second` digits */
		if (q.hi != 0 || __builtin_add_overflow(q.lo, low.lo, &q.lo))
			return ERR_NUMERIC_OVERFLOW;
	}
	if (q.hi != 0)
		return ERR_NUMERIC_OVERFLOW;
	*ret_q = q.lo;
	*ret_up = rest >= d - rest;
	return ERR_OK;
}

enum err numeric_div(struct numeric a, struct numeric b, struct numeric *ret_quotient)
{
	if (b.mantissa == 0)
		return ERR_DIVISION_BY_ZERO;
	int scale = div_scale(a, b);
	uint128 q;
	bool up;
	TRY(divide(a, b, scale, &q, &up));
	if (q >= numeric_pow10(NUMERIC_DIGITS_MAX))
		return ERR_NUMERIC_OVERFLOW;
	return finish((a.mantissa < 0) != (b.mantissa < 0), q + up, scale, ret_quotient);
}

enum err numeric_div_trunc(struct numeric a, struct numeric b, struct numeric *ret_quotient)
{
	if (b.mantissa == 0)
		return ERR_DIVISION_BY_ZERO;
	uint128 q;
	bool up;
	TRY(divide(a, b, a.scale, &q, &up));
	return finish(
	    (a.mantissa < 0) != (b.mantissa < 0), q / numeric_pow10(a.scale), 0, ret_quotient);
}

enum err numeric_mod(struct numeric a, struct numeric b, struct numeric *ret_rest)
{
	if (b.mantissa == 0)
		return ERR_DIVISION_BY_ZERO;
	int scale = a.scale > b.scale ? a.scale : b.scale;
	int128 x, y;
	if (rescale_up(a, scale, &x) && rescale_up(b, scale, &y)) {
		*ret_rest = (struct numeric){x % y, scale};
		return ERR_OK;
	}
	/* a huge number against one with many decimals */
	struct u256 wide = u256_mul(magnitude(a), numeric_pow10(scale - a.scale));
	struct u256 by = u256_mul(magnitude(b), numeric_pow10(scale - b.scale));
	uint128 rest;
	if (by.hi != 0)
		rest = wide.lo; /* then a has the larger scale, so wide.hi == 0 and |a| < |b| */
	else
		(void)u256_div(wide, by.lo, &rest);
	return finish(a.mantissa < 0, rest, scale, ret_rest);
}

/* ---- rounding -------------------------------------------------------------------------------- */

enum err numeric_round(struct numeric a, int64_t scale, struct numeric *ret_rounded)
{
	if (scale >= a.scale) {
		int target = scale > NUMERIC_DIGITS_MAX ? NUMERIC_DIGITS_MAX : (int)scale;
		int128 m;
		if (!rescale_up(a, target, &m))
			return ERR_NUMERIC_OVERFLOW;
		*ret_rounded = (struct numeric){m, target};
		return ERR_OK;
	}
	int64_t drop = a.scale - scale;
	uint128 m = magnitude(a);
	if (drop > NUMERIC_DIGITS_MAX) {
		*ret_rounded = (struct numeric){0, scale > 0 ? (int)scale : 0};
		return ERR_OK;
	}
	uint128 unit = numeric_pow10((int)drop), rest = m % unit;
	m = m / unit + (rest >= unit - rest);
	if (scale >= 0)
		return finish(a.mantissa < 0, m, (int)scale, ret_rounded);
	struct u256 wide = -scale > NUMERIC_DIGITS_MAX ? (struct u256){0, 0}
	                                               : u256_mul(m, numeric_pow10((int)-scale));
	if (wide.hi != 0)
		return ERR_NUMERIC_OVERFLOW;
	return finish(a.mantissa < 0, wide.lo, 0, ret_rounded);
}

struct numeric numeric_trunc(struct numeric a, int64_t scale)
{
	if (scale >= a.scale) {
		struct numeric padded;
		return numeric_round(a, scale, &padded) == ERR_OK ? padded : a;
	}
	int64_t drop = a.scale - scale;
	if (drop > NUMERIC_DIGITS_MAX)
		return (struct numeric){0, scale > 0 ? (int)scale : 0};
	int128 unit = (int128)numeric_pow10((int)drop);
	if (scale >= 0)
		return (struct numeric){a.mantissa / unit, (int)scale};
	/* -scale <= drop <= 38, and truncating never makes it larger than it was */
	return (struct numeric){a.mantissa / unit * (int128)numeric_pow10((int)-scale), 0};
}

/* Integer part, moved one away from zero when something was cut and `away` says so. */
static enum err integral(
    struct numeric a, bool away_positive, bool away_negative, struct numeric *ret)
{
	int128 unit = (int128)numeric_pow10(a.scale), m = a.mantissa / unit,
	       rest = a.mantissa % unit;
	if (rest > 0 && away_positive)
		m++;
	if (rest < 0 && away_negative)
		m--;
	*ret = (struct numeric){m, 0};
	return ERR_OK;
}

enum err numeric_ceil(struct numeric a, struct numeric *ret_ceil)
{
	return integral(a, true, false, ret_ceil);
}

enum err numeric_floor(struct numeric a, struct numeric *ret_floor)
{
	return integral(a, false, true, ret_floor);
}

enum err numeric_apply_typmod(struct numeric a, struct type type, struct numeric *ret_numeric)
{
	if (type.precision == 0) {
		*ret_numeric = a;
		return ERR_OK;
	}
	struct numeric n;
	TRY(numeric_round(a, type.scale, &n));
	if (magnitude(n) >= numeric_pow10(type.precision))
		return ERR_NUMERIC_OVERFLOW;
	*ret_numeric = n;
	return ERR_OK;
}

/* ---- other number types ---------------------------------------------------------------------- */

enum err numeric_to_i64(struct numeric a, int64_t min, int64_t max, int64_t *ret_value)
{
	struct numeric n;
	TRY(numeric_round(a, 0, &n));
	if (n.mantissa < min || n.mantissa > max)
		return ERR_NUMERIC_OVERFLOW;
	*ret_value = (int64_t)n.mantissa;
	return ERR_OK;
}

double numeric_to_double(struct numeric a)
{
	static const double exact[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
	uint128 m = magnitude(a);
	/* both exact as doubles, so the one rounding is that of the division */
	if (m < ((uint128)1 << 53) && a.scale <= 22)
		return (double)(int64_t)a.mantissa / exact[a.scale];
	char text[64];
	uint64_t parts[3] = {(uint64_t)(m / numeric_pow10(38 - 4)),
	    (uint64_t)(m / numeric_pow10(17) % numeric_pow10(17)),
	    (uint64_t)(m % numeric_pow10(17))};
	snprintf(text, sizeof text, "%s%lu%017lu%017lue-%d", a.mantissa < 0 ? "-" : "", parts[0],
	    parts[1], parts[2], a.scale);
	return strtod(text, NULL);
}

enum err numeric_of_double(double f, bool is_float4, struct numeric *ret_numeric)
{
	if (isnan(f) || isinf(f))
		return ERR_BAD_VALUE;
	char text[48];
	int len = snprintf(text, sizeof text, "%.*g", is_float4 ? 6 : 15, f);
	return numeric_from_text(
	    str_from(text, (size_t)len), (struct type){.id = TYPE_NUMERIC}, ret_numeric);
}
