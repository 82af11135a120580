/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Roots, powers and logarithms of numeric. Square roots are exact integers. The others run in
 * 113-bit floating point (about 33 digits), which is rounded to PostgreSQL's result scale: 16
 * significant digits, or the argument's scale when that is larger; a result that needs more than 32
 * digits is an overflow. The scale formulas are those of PostgreSQL 15's numeric.c, stated here in
 * decimal terms.
 */
#include "processor/op/numeric.h"

#include <math.h>

__extension__ typedef __float128 quad;

enum { SIG_DIGITS = 16, QUAD_DIGITS = 32 };

static uint128 magnitude(struct numeric n)
{
	return n.mantissa < 0 ? -(uint128)n.mantissa : (uint128)n.mantissa;
}

/* Weight of the first digit in base 10000. */
static int weight_of(struct numeric n)
{
	int before_point = numeric_digits(magnitude(n)) - n.scale;
	return before_point > 0 ? (before_point - 1) / 4 : -((4 - before_point) / 4);
}

static int clip_scale(double scale, int at_least)
{
	if (scale < at_least)
		scale = at_least;
	return scale < 0 ? 0 : scale > NUMERIC_DIGITS_MAX ? NUMERIC_DIGITS_MAX : (int)scale;
}

/* ---- 113-bit floating point ------------------------------------------------------------------ */

static quad quad_pow10(int exponent)
{
	return (quad)numeric_pow10(exponent);
}

static quad quad_of(struct numeric n)
{
	return (quad)n.mantissa / quad_pow10(n.scale);
}

static enum err of_quad(quad v, int scale, struct numeric *ret)
{
	quad shifted = v * quad_pow10(scale), size = shifted < 0 ? -shifted : shifted;
	if (!(size < quad_pow10(QUAD_DIGITS)))
		return ERR_NUMERIC_OVERFLOW; /* its last digits would be made up */
	uint128 m = (uint128)size;
	m += size - (quad)m >= (quad)0.5;
	*ret = (struct numeric){shifted < 0 ? -(int128)m : (int128)m, scale};
	return ERR_OK;
}

static quad quad_ln2(void)
{
	return (quad)0x1.62e42fefa39efp-1 + (quad)0x1.abc9e3b39803fp-56 +
	       (quad)0x1.7b57a079a1934p-111;
}

static quad scale_by_two(quad v, int exponent)
{
	for (; exponent > 0; exponent -= exponent > 60 ? 60 : exponent)
		v *= (quad)((uint64_t)1 << (exponent > 60 ? 60 : exponent));
	for (; exponent < 0; exponent += exponent < -60 ? 60 : -exponent)
		v /= (quad)((uint64_t)1 << (exponent < -60 ? 60 : -exponent));
	return v;
}

/* e^(n ln2 + r) = 2^n (e^(r/16))^16, with a Taylor series for the small rest. */
static quad quad_exp(quad x)
{
	int n = (int)lrint((double)(x / quad_ln2()));
	quad r = (x - (quad)n * quad_ln2()) / 16, term = 1, sum = 1;
	for (int i = 1; i <= 22; i++) {
		term = term * r / i;
		sum += term;
	}
	for (int i = 0; i < 4; i++)
		sum *= sum;
	return scale_by_two(sum, n);
}

/* One Halley step from the double-precision logarithm triples its digits. x > 0 and within double's
 * range. */
static quad quad_ln(quad x)
{
	int exponent;
	if (x == 1)
		return 0; /* exactly, or logarithms to base 1 would have a value */
	(void)frexp((double)x, &exponent);
	quad m = scale_by_two(x, -exponent), y = (quad)log((double)m);
	for (int i = 0; i < 2; i++) {
		quad e = quad_exp(y);
		y += 2 * (m - e) / (m + e);
	}
	return y + (quad)exponent * quad_ln2();
}

static quad quad_power(quad base, int64_t exponent)
{
	uint64_t n = exponent < 0 ? -(uint64_t)exponent : (uint64_t)exponent;
	quad result = 1;
	for (; n > 0; n >>= 1) {
		if (n & 1)
			result *= base;
		base *= base;
	}
	return exponent < 0 ? 1 / result : result;
}

/* ---- square root ----------------------------------------------------------------------------- */

static bool u256_less(struct u256 a, struct u256 b)
{
	return a.hi != b.hi ? a.hi < b.hi : a.lo < b.lo;
}

/* a * b, false when it does not fit. */
static bool u256_scale(struct u256 a, uint128 b, struct u256 *ret)
{
	struct u256 low = u256_mul(a.lo, b), high = u256_mul(a.hi, b);
	if (high.hi != 0 || __builtin_add_overflow(low.hi, high.lo, &low.hi))
		return false;
	*ret = low;
	return true;
}

enum err numeric_sqrt(struct numeric a, struct numeric *ret_root)
{
	if (a.mantissa < 0)
		return ERR_BAD_VALUE;
	int weight = a.mantissa == 0 ? 0 : weight_of(a);
	int before = (weight + 1) * 4 / 2; /* digits in front of the root's point */
	int scale = clip_scale(SIG_DIGITS - (before - 1), a.scale);
	/* root at `scale` = integer root of a * 10^(2 * scale) */
	int shift = 2 * scale - a.scale,
	    first = shift > NUMERIC_DIGITS_MAX ? NUMERIC_DIGITS_MAX : shift;
	struct u256 n = u256_mul(magnitude(a), numeric_pow10(first));
	if (!u256_scale(n, numeric_pow10(shift - first), &n))
		return ERR_NUMERIC_OVERFLOW;
	uint128 root = 0;
	for (int bit = 126; bit >= 0; bit--) {
		uint128 next = root | (uint128)1 << bit;
		if (!u256_less(n, u256_mul(next, next)))
			root = next;
	}
	/* half and more rounds up: n > root^2 + root */
	struct u256 middle = u256_mul(root, root + 1);
	root += u256_less(middle, n);
	if (root >= numeric_pow10(NUMERIC_DIGITS_MAX))
		return ERR_NUMERIC_OVERFLOW;
	*ret_root = (struct numeric){(int128)root, scale};
	return ERR_OK;
}

/* ---- exponential and logarithms -------------------------------------------------------------- */

#define LOG10_E 0.434294481903252

enum err numeric_exp(struct numeric a, struct numeric *ret_exp)
{
	double approx = numeric_to_double(a);
	if (approx > 90)
		return ERR_NUMERIC_OVERFLOW;
	int scale =
	    clip_scale(SIG_DIGITS - (int)(approx < -1000 ? -434 : approx * LOG10_E), a.scale);
	return of_quad(approx < -1000 ? (quad)0 : quad_exp(quad_of(a)), scale, ret_exp);
}

/* Decimal weight of ln(a), as estimate_ln_dweight. */
static int ln_weight(struct numeric a)
{
	if (a.mantissa <= 0)
		return 0;
	static const struct numeric low = {9, 1}, high = {11, 1};
	if (numeric_compare(a, low) >= 0 && numeric_compare(a, high) <= 0) {
		struct numeric x;
		if (numeric_sub(a, numeric_of_i64(1), &x) != ERR_OK || x.mantissa == 0)
			return 0;
		int weight = weight_of(x), before_point = numeric_digits(magnitude(x)) - x.scale;
		int in_first = before_point - weight * 4; /* digits of the first base-10000 digit */
		return weight * 4 + in_first - 1;
	}
	double ln = log(numeric_to_double(a));
	return (int)log10(fabs(ln));
}

enum err numeric_ln(struct numeric a, struct numeric *ret_ln)
{
	if (a.mantissa <= 0)
		return ERR_BAD_VALUE;
	return of_quad(quad_ln(quad_of(a)), clip_scale(SIG_DIGITS - ln_weight(a), a.scale), ret_ln);
}

enum err numeric_log(struct numeric base, struct numeric a, struct numeric *ret_log)
{
	if (base.mantissa <= 0 || a.mantissa <= 0)
		return ERR_BAD_VALUE;
	quad ln_base = quad_ln(quad_of(base));
	if (ln_base == 0)
		return ERR_DIVISION_BY_ZERO;
	int scale = SIG_DIGITS - (ln_weight(a) - ln_weight(base));
	scale = clip_scale(scale, base.scale > a.scale ? base.scale : a.scale);
	return of_quad(quad_ln(quad_of(a)) / ln_base, scale, ret_log);
}

/* ---- power ----------------------------------------------------------------------------------- */

/* A whole exponent: 16 decimals, whatever the weight. */
static enum err power_whole(struct numeric a, int64_t n, struct numeric *ret)
{
	if (a.mantissa == 0 && n < 0)
		return ERR_DIVISION_BY_ZERO;
	double weight = a.mantissa == 0 ? 0 : (double)n * log10(fabs(numeric_to_double(a)));
	int scale = clip_scale(SIG_DIGITS, a.scale);
	if (weight > NUMERIC_DIGITS_MAX)
		return ERR_NUMERIC_OVERFLOW;
	if (a.mantissa == 0) {
		*ret = (struct numeric){n == 0 ? (int128)numeric_pow10(scale) : 0, scale};
		return ERR_OK;
	}
	/* exact while the product fits, so that no digit depends on floating point */
	struct numeric product = numeric_of_i64(1);
	bool exact = n >= 0 && n <= 128;
	for (int64_t i = 0; exact && i < n; i++)
		exact = numeric_mul(product, a, &product) == ERR_OK;
	if (exact)
		return numeric_round(product, scale, ret);
	return of_quad(quad_power(quad_of(a), n), scale, ret);
}

enum err numeric_power(struct numeric a, struct numeric b, struct numeric *ret_power)
{
	int64_t whole;
	struct numeric whole_part = numeric_trunc(b, 0);
	bool is_whole = numeric_compare(whole_part, b) == 0;
	if (is_whole && numeric_to_i64(b, INT32_MIN, INT32_MAX, &whole) == ERR_OK)
		return power_whole(a, whole, ret_power);
	if (a.mantissa == 0) {
		if (b.mantissa < 0)
			return ERR_DIVISION_BY_ZERO;
		*ret_power = (struct numeric){0, SIG_DIGITS};
		return ERR_OK;
	}
	if (a.mantissa < 0 && !is_whole)
		return ERR_BAD_VALUE;
	quad ln = quad_ln((quad)magnitude(a) / quad_pow10(a.scale)) * quad_of(b);
	double weight = (double)ln * LOG10_E;
	if (weight > NUMERIC_DIGITS_MAX)
		return ERR_NUMERIC_OVERFLOW;
	int scale = clip_scale(SIG_DIGITS - (int)(weight < -1000 ? -1000 : weight),
	    a.scale > b.scale ? a.scale : b.scale);
	quad v = weight < -1000 ? (quad)0 : quad_exp(ln);
	bool odd = a.mantissa < 0 && whole_part.mantissa % 2 != 0;
	return of_quad(odd ? -v : v, scale, ret_power);
}
