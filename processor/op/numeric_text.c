/* SPDX-License-Identifier: Apache-2.0 */
/* Decimals as text, as PostgreSQL's numeric_in and numeric_out. */
#include "processor/op/numeric.h"

void numeric_to_text(struct writer *w, struct numeric n)
{
	char buf[NUMERIC_DIGITS_MAX + 4];
	char *end = buf + sizeof buf, *at = end;
	uint128 m = n.mantissa < 0 ? -(uint128)n.mantissa : (uint128)n.mantissa;
	int printed = 0;
	while (m > UINT64_MAX) {
		*--at = (char)('0' + (int)(m % 10));
		m /= 10;
		if (++printed == n.scale)
			*--at = '.';
	}
	uint64_t low = (uint64_t)m;
	while (low > 0 || printed <= n.scale) {
		*--at = (char)('0' + (int)(low % 10));
		low /= 10;
		if (++printed == n.scale)
			*--at = '.';
	}
	if (n.mantissa < 0)
		*--at = '-';
	ASSERT(at >= buf);
	write_str(w, str_from(at, (size_t)(end - at)));
}

/* A number taken apart: digits before and after the point, the power of ten. */
struct spelling {
	bool negative;
	struct str whole, fraction;
	int64_t exponent;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct str take_digits(struct str *s)
{
	struct str digits = {s->ptr, 0};
	while (digits.len < s->len && is_digit(s->ptr[digits.len]))
		digits.len++;
	*s = str_from(s->ptr + digits.len, s->len - digits.len);
	return digits;
}

static bool take_char(struct str *s, char a, char b)
{
	if (s->len == 0 || (s->ptr[0] != a && s->ptr[0] != b))
		return false;
	*s = str_from(s->ptr + 1, s->len - 1);
	return true;
}

static bool take_exponent(struct str *s, int64_t *ret_exponent)
{
	if (!take_char(s, 'e', 'E'))
		return true;
	bool negative = take_char(s, '-', '-');
	if (!negative)
		take_char(s, '+', '+');
	struct str digits = take_digits(s);
	int64_t e = 0;
	if (digits.len == 0)
		return false;
	for (size_t i = 0; i < digits.len && e < 1000000; i++)
		e = e * 10 + (digits.ptr[i] - '0');
	*ret_exponent = negative ? -e : e;
	return true;
}

static bool spell(struct str s, struct spelling *ret)
{
	while (s.len > 0 && is_blank(s.ptr[0]))
		s = str_from(s.ptr + 1, s.len - 1);
	while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
		s.len--;
	struct spelling n = {0};
	n.negative = take_char(&s, '-', '-');
	if (!n.negative)
		take_char(&s, '+', '+');
	n.whole = take_digits(&s);
	if (take_char(&s, '.', '.'))
		n.fraction = take_digits(&s);
	if (n.whole.len + n.fraction.len == 0 || !take_exponent(&s, &n.exponent) || s.len > 0)
		return false;
	*ret = n;
	return true;
}

/* Numbers as most documents have them: at most 18 digits, no exponent, blanks or rounding. */
static bool from_text_short(struct str s, struct type type, struct numeric *ret)
{
	size_t i = 0, point = s.len;
	bool negative = s.len > 0 && s.ptr[0] == '-';
	uint64_t m = 0;
	if (s.len > 19)
		return false;
	for (i = negative; i < s.len; i++) {
		if (is_digit(s.ptr[i]))
			m = m * 10 + (uint64_t)(s.ptr[i] - '0');
		else if (s.ptr[i] == '.' && point == s.len)
			point = i;
		else
			return false;
	}
	int scale = point == s.len ? 0 : (int)(s.len - point - 1);
	size_t digits = s.len - negative - (point < s.len);
	if (digits == 0 || digits > 18)
		return false;
	if (type.precision != 0) {
		int up = type.scale - scale;
		if (up < 0 || (int)digits + up > type.precision || (int)digits + up > 18)
			return false;
		m *= (uint64_t)numeric_pow10(up);
		scale = type.scale;
	}
	*ret = (struct numeric){negative ? -(int128)m : (int128)m, scale};
	return true;
}

/* The mantissa of `n` at `scale` decimals: digit i of whole+fraction stands for 10^(top - i). */
static enum err mantissa_at(const struct spelling *n, int64_t scale, uint128 *ret_mantissa)
{
	size_t count = n->whole.len + n->fraction.len;
	int64_t top = (int64_t)n->whole.len - 1 + n->exponent;
	uint128 m = 0, max = numeric_pow10(NUMERIC_DIGITS_MAX - 1);
	int64_t place = top;
	for (size_t i = 0; i < count && place >= -scale - 1; i++, place--) {
		char c = i < n->whole.len ? n->whole.ptr[i] : n->fraction.ptr[i - n->whole.len];
		unsigned digit = (unsigned)(c - '0');
		if (place == -scale - 1) {
			m += digit >= 5;
			break;
		}
		if (m >= max)
			return ERR_NUMERIC_OVERFLOW;
		m = m * 10 + digit;
	}
	/* digits that were not spelled: 1e5 */
	for (; m > 0 && place >= -scale; place--) {
		if (m >= max)
			return ERR_NUMERIC_OVERFLOW;
		m *= 10;
	}
	*ret_mantissa = m;
	return ERR_OK;
}

enum err numeric_from_text(struct str text, struct type type, struct numeric *ret_numeric)
{
	if (from_text_short(text, type, ret_numeric))
		return ERR_OK;
	struct spelling n;
	if (!spell(text, &n))
		return ERR_BAD_VALUE;
	int64_t scale = type.precision != 0 ? type.scale : (int64_t)n.fraction.len - n.exponent;
	if (scale < 0)
		scale = 0;
	if (scale > NUMERIC_DIGITS_MAX)
		return ERR_NUMERIC_OVERFLOW;
	uint128 m;
	TRY(mantissa_at(&n, scale, &m));
	int precision = type.precision != 0 ? type.precision : NUMERIC_DIGITS_MAX;
	if (m >= numeric_pow10(precision))
		return ERR_NUMERIC_OVERFLOW;
	*ret_numeric = (struct numeric){n.negative ? -(int128)m : (int128)m, (int32_t)scale};
	return ERR_OK;
}
