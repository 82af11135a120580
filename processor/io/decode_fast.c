/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers, times and text of most documents, see decode_fast.h. */
#include "processor/io/decode_fast.h"

enum { DIGITS_MAX = 18 /* more may not fit int64 */ };

static bool is_digit(char ch)
{
	return ch >= '0' && ch <= '9';
}

/* ---- integers -------------------------------------------------------------------------------- */

/* Eight digits at once: pairs, then fours, then all, each step one multiplication. */
static inline uint64_t eight_digits(uint64_t v)
{
	v &= 0x0f0f0f0f0f0f0f0f;
	v = (v * 10 + (v >> 8)) & 0x00ff00ff00ff00ff;
	v = (v * 100 + (v >> 16)) & 0x0000ffff0000ffff;
	return (v * 10000 + (v >> 32)) & 0xffffffff;
}

/* `text` is known to be [-]digits, at most 18 of them. */
static inline int64_t digits_value(struct str text)
{
	const uint8_t *at = (const uint8_t *)text.ptr, *end = at + text.len;
	bool negative = *at == '-';
	uint64_t value = 0;
	at += negative;
	size_t len = (size_t)(end - at);
	if (len > 8 && len <= 16) {
		/* the last eight, and those before them with zeros in front */
		uint64_t head = get_u64_le(at) & 0x0f0f0f0f0f0f0f0f;
		value = eight_digits(head << 8 * (16 - len)) * 100000000 +
		        eight_digits(get_u64_le(end - 8));
		at = end;
	}
	for (; at < end; at++)
		value = value * 10 + (*at - (uint64_t)'0');
	return negative ? -(int64_t)value : (int64_t)value;
}

bool decode_integer(struct str text, int64_t *ret_value)
{
	size_t sign = text.len > 0 && text.ptr[0] == '-';
	if (text.len == sign || text.len - sign > DIGITS_MAX)
		return false;
	for (size_t i = sign; i < text.len; i++)
		if (!is_digit(text.ptr[i]))
			return false;
	*ret_value = digits_value(text);
	return true;
}

static inline bool value_integer(const struct json_value *v, int64_t *ret_value)
{
	if (v->kind != JSON_NUMBER)
		return v->kind == JSON_STRING && !v->escaped && decode_integer(v->text, ret_value);
	if (!v->integer || v->text.len > DIGITS_MAX)
		return false;
	*ret_value = digits_value(v->text);
	return true;
}

/* ---- numerics -------------------------------------------------------------------------------- */

static inline const char *add_digits(const char *at, const char *end, int64_t *mantissa)
{
	for (; at < end && is_digit(*at); at++)
		*mantissa = *mantissa * 10 + (*at - '0');
	return at;
}

/* [-]digits[.digits] of at most 18 digits in all, whose scale needs no rounding. */
static inline bool fast_numeric(struct str s, struct type type, struct numeric *ret_numeric)
{
	const char *at = s.ptr, *end = s.ptr + s.len;
	bool negative = s.len > 0 && *at == '-';
	const char *first = at + negative;
	int64_t mantissa = 0;
	if (end - first > DIGITS_MAX)
		return false;
	at = add_digits(first, end, &mantissa);
	int32_t whole = (int32_t)(at - first), scale = 0;
	if (at < end && *at == '.') {
		at = add_digits(at + 1, end, &mantissa);
		scale = (int32_t)(at - first) - whole - 1;
		if (scale == 0)
			return false;
	}
	if (at != end || whole == 0)
		return false;
	if (type.precision != 0) {
		/* digits left of the point must fit p - s, or the input function says why not */
		if (scale > type.scale || whole > type.precision - type.scale ||
		    whole + type.scale > DIGITS_MAX)
			return false;
		for (; scale < type.scale; scale++)
			mantissa *= 10;
	}
	*ret_numeric = (struct numeric){negative ? -mantissa : mantissa, scale};
	return true;
}

/* ---- times ----------------------------------------------------------------------------------- */

static bool two_digits(const char *p, int *ret_value)
{
	if (!is_digit(p[0]) || !is_digit(p[1]))
		return false;
	*ret_value = (p[0] - '0') * 10 + (p[1] - '0');
	return true;
}

/* Days since 1970-01-01 of a date in 1970..9999 that exists; -1 otherwise. */
static int64_t fast_days(const char *p)
{
	static const int16_t before[12] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
	static const int8_t days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int century, rest, month, day;
	if (p[4] != '-' || p[7] != '-' || !two_digits(p, &century) || !two_digits(p + 2, &rest) ||
	    !two_digits(p + 5, &month) || !two_digits(p + 8, &day))
		return -1;
	int year = century * 100 + rest;
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	if (year < 1970 || month < 1 || month > 12 || day < 1 ||
	    day > days[month - 1] + (month == 2 && leap))
		return -1;
	int64_t before_year = year - 1;
	int64_t leaps =
	    before_year / 4 - before_year / 100 + before_year / 400 - 477; /* since 1970 */
	return (int64_t)(year - 1970) * 365 + leaps + before[month - 1] + (month > 2 && leap) +
	       day - 1;
}

/* YYYY-MM-DDTHH:MM:SS[.f{1,6}][Z], the spelling of most JSON producers. */
static bool fast_timestamp(struct str s, int64_t *ret_us)
{
	int hour, minute, second;
	if (s.len < 19 || s.len > 27 || (s.ptr[10] != 'T' && s.ptr[10] != ' ') ||
	    s.ptr[13] != ':' || s.ptr[16] != ':')
		return false;
	int64_t days = fast_days(s.ptr);
	if (days < 0 || !two_digits(s.ptr + 11, &hour) || !two_digits(s.ptr + 14, &minute) ||
	    !two_digits(s.ptr + 17, &second) || hour > 23 || minute > 59 || second > 59)
		return false;
	size_t len = s.ptr[s.len - 1] == 'Z' ? s.len - 1 : s.len;
	int64_t fraction = 0, weight = 100000;
	if (len > 19) {
		if (s.ptr[19] != '.' || len == 20 || len > 26)
			return false;
		for (size_t i = 20; i < len; i++, weight /= 10) {
			if (!is_digit(s.ptr[i]))
				return false;
			fraction += (s.ptr[i] - '0') * weight;
		}
	}
	*ret_us = (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000000 + fraction;
	return true;
}

static inline bool value_time(
    const struct decode_slot *slot, const struct json_value *v, int64_t *ret_us)
{
	if (v->kind == JSON_STRING)
		return !v->escaped && fast_timestamp(v->text, ret_us);
	return v->kind == JSON_NUMBER && slot->unit_us != 0 && v->text.len <= 15 &&
	       value_integer(v, ret_us) && !__builtin_mul_overflow(*ret_us, slot->unit_us, ret_us);
}

/* ---- rows ------------------------------------------------------------------------------------ */

struct decode_slot decode_slot_of(
    const struct table_column *c, struct vec *vec, uint8_t *nulls, bool *has_nulls)
{
	struct decode_slot slot = {.way = DECODE_SLOW,
	    .not_null = c->not_null,
	    .type = c->type,
	    .min = c->type.id == TYPE_INT2   ? INT16_MIN
	           : c->type.id == TYPE_INT4 ? INT32_MIN
	                                     : INT64_MIN,
	    .max = c->type.id == TYPE_INT2   ? INT16_MAX
	           : c->type.id == TYPE_INT4 ? INT32_MAX
	                                     : INT64_MAX,
	    .unit_us = c->unit_us,
	    .vec = vec,
	    .nulls = nulls,
	    .has_nulls = has_nulls};
	enum type_id id = c->type.id;
	if (id == TYPE_TEXT && c->type.precision == 0)
		slot.way = DECODE_TEXT;
	else if (id == TYPE_INT8 || id == TYPE_INT4 || id == TYPE_INT2)
		slot.way = DECODE_INTEGER;
	else if (id == TYPE_NUMERIC)
		slot.way = DECODE_NUMERIC;
	else if (id == TYPE_TIMESTAMP || id == TYPE_TIMESTAMPTZ)
		slot.way = DECODE_TIME;
	return slot;
}

static inline bool take_text(
    const struct decode_slot *slot, const struct json_value *v, uint32_t row)
{
	if (v->kind != JSON_STRING || v->escaped || (!v->ascii && !str_is_utf8(v->text)))
		return false;
	if (slot->vec->data)
		slot->vec->s[row] = v->text;
	return true;
}

static inline bool take_numeric(
    const struct decode_slot *slot, const struct json_value *v, uint32_t row)
{
	struct numeric n;
	if ((v->kind != JSON_NUMBER && v->kind != JSON_STRING) || v->escaped ||
	    !fast_numeric(v->text, slot->type, &n))
		return false;
	if (slot->vec->data)
		slot->vec->num[row] = n;
	return true;
}

static bool take_null(const struct decode_slot *slot, uint32_t row)
{
	if (slot->not_null)
		return false;
	if (slot->nulls)
		slot->nulls[row] = 1;
	*slot->has_nulls = true;
	return true;
}

static inline bool take_value(
    const struct decode_slot *slot, const struct json_value *v, uint32_t row)
{
	int64_t i;
	bool found = false;
	if (v->kind == JSON_ABSENT || v->kind == JSON_NULL)
		return take_null(slot, row);
	switch (slot->way) {
	case DECODE_SLOW:
		return false;
	case DECODE_TEXT:
		return take_text(slot, v, row);
	case DECODE_NUMERIC:
		return take_numeric(slot, v, row);
	case DECODE_INTEGER:
		found = value_integer(v, &i) && i >= slot->min && i <= slot->max;
		break;
	case DECODE_TIME:
		found = value_time(slot, v, &i);
		break;
	}
	if (found && slot->vec->data)
		slot->vec->i[row] = i;
	return found;
}

uint32_t decode_fast(const struct decode_slot *slots, const struct json_value *values,
    uint32_t from, uint32_t count, uint32_t row)
{
	uint32_t i = from;
	while (i < count && take_value(&slots[i], &values[i], row))
		i++;
	return i;
}

bool decode_text(struct type type, struct str text, struct datum *ret_datum)
{
	int64_t i = 0;
	bool found = false;
	if (type.id == TYPE_NUMERIC) {
		struct numeric n;
		if (!fast_numeric(text, type, &n))
			return false;
		*ret_datum = (struct datum){.num = n};
		return true;
	}
	if (type.id == TYPE_INT8)
		found = decode_integer(text, &i);
	else if (type.id == TYPE_INT4)
		found = decode_integer(text, &i) && i >= INT32_MIN && i <= INT32_MAX;
	else if (type.id == TYPE_INT2)
		found = decode_integer(text, &i) && i >= INT16_MIN && i <= INT16_MAX;
	else if (type.id == TYPE_TIMESTAMPTZ || type.id == TYPE_TIMESTAMP)
		found = fast_timestamp(text, &i);
	if (found)
		*ret_datum = (struct datum){.i = i};
	return found;
}
