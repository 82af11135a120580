/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON value -> SQL value, see decode_value.h. Each fast path accepts a subset of what the input
 * function accepts, with the same result, and leaves the rest to it.
 */
#include "processor/io/decode_value.h"

static bool is_digit(char ch)
{
	return ch >= '0' && ch <= '9';
}

/* [-]digits, at most 18 of them: no overflow is possible. */
static bool fast_integer(struct str s, int64_t *ret_value)
{
	size_t i = s.len > 0 && s.ptr[0] == '-';
	if (s.len == i || s.len - i > 18)
		return false;
	bool negative = i == 1;
	int64_t value = 0;
	for (; i < s.len; i++) {
		unsigned digit = (unsigned)(unsigned char)s.ptr[i] - '0';
		if (digit > 9)
			return false;
		value = value * 10 + digit;
	}
	*ret_value = negative ? -value : value;
	return true;
}

static bool integer_fits(enum type_id id, int64_t v)
{
	if (id == TYPE_INT4)
		return v >= INT32_MIN && v <= INT32_MAX;
	return id == TYPE_INT8 || (v >= INT16_MIN && v <= INT16_MAX);
}

/* [-]digits[.digits] of at most 18 digits in all, whose scale needs no rounding. */
static bool fast_numeric(struct str s, struct type type, struct numeric *ret_numeric)
{
	size_t i = s.len > 0 && s.ptr[0] == '-';
	bool negative = i == 1;
	int64_t mantissa = 0;
	int32_t digits = 0, scale = 0;
	bool point = false;
	for (; i < s.len; i++) {
		if (s.ptr[i] == '.' && !point && digits > 0) {
			point = true;
			continue;
		}
		if (!is_digit(s.ptr[i]) || ++digits > 18)
			return false;
		mantissa = mantissa * 10 + (s.ptr[i] - '0');
		scale += point;
	}
	if (digits == 0 || (point && scale == 0) || (type.precision != 0 && scale > type.scale))
		return false;
	if (type.precision != 0) {
		/* integer digits left of the point must fit p - s, or the input function says why
		 * not */
		if (digits - scale > type.precision - type.scale ||
		    type.scale - scale + digits > 18)
			return false;
		for (; scale < type.scale; scale++)
			mantissa *= 10;
	}
	*ret_numeric = (struct numeric){negative ? -mantissa : mantissa, scale};
	return true;
}

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

enum err decode_unix_time(struct str text, int64_t unit_us, int64_t *ret_us)
{
	int64_t value, us;
	if (fast_integer(text, &value)) {
		if (__builtin_mul_overflow(value, unit_us, &us) || us == INT64_MIN ||
		    us == INT64_MAX)
			return err_note(ERR_NUMERIC_OVERFLOW,
			    "'" STR_FMT "' is out of range for a time", STR_ARG(text));
		*ret_us = us;
		return ERR_OK;
	}
	/* through numeric, exactly: at most 6 decimals count, the rest is rounded */
	struct datum d;
	TRY(datum_from_text(NULL, (struct type){TYPE_NUMERIC, 0, 0}, text, &d));
	int128 scaled = d.num.mantissa, divisor = 1;
	for (int32_t i = 0; i < d.num.scale; i++)
		divisor *= 10;
	if (__builtin_mul_overflow(scaled, (int128)unit_us, &scaled))
		return err_note(ERR_NUMERIC_OVERFLOW, "'" STR_FMT "' is out of range for a time",
		    STR_ARG(text));
	int128 quotient = scaled / divisor, rest = scaled % divisor;
	rest = rest < 0 ? -rest : rest;
	if (rest >= divisor - rest)
		quotient += scaled < 0 ? -1 : 1;
	if (quotient <= INT64_MIN || quotient >= INT64_MAX)
		return err_note(ERR_NUMERIC_OVERFLOW, "'" STR_FMT "' is out of range for a time",
		    STR_ARG(text));
	*ret_us = (int64_t)quotient;
	return ERR_OK;
}

/* The value's text as ->> gives it. */
static enum err value_text(const struct json_value *v, struct arena *arena, struct str *ret_text)
{
	if (v->kind == JSON_STRING)
		return json_unescape(arena, *v, ret_text);
	if ((v->kind == JSON_OBJECT || v->kind == JSON_ARRAY) && !str_is_utf8(v->text))
		return err_note(ERR_BAD_VALUE, "the JSON text is not valid UTF-8");
	*ret_text = v->text;
	return ERR_OK;
}

/* A jsonb column keeps the value as it was written, quotes included. */
static enum err decode_jsonb(
    const struct json_value *v, struct arena *arena, struct datum *ret_datum)
{
	struct str text;
	TRY(value_text(v, arena, &text));
	if (v->kind == JSON_STRING)
		text = str_from(v->text.ptr - 1, v->text.len + 2);
	*ret_datum = (struct datum){.s = text};
	return ERR_OK;
}

/* The fast paths over text, as a scalar. */
static bool decode_text_fast(struct type type, struct str text, struct datum *ret_datum)
{
	int64_t i;
	if (type.id == TYPE_NUMERIC) {
		struct numeric n;
		if (!fast_numeric(text, type, &n))
			return false;
		*ret_datum = (struct datum){.num = n};
		return true;
	}
	bool found = false;
	if (type.id == TYPE_INT8 || type.id == TYPE_INT4 || type.id == TYPE_INT2)
		found = fast_integer(text, &i) && integer_fits(type.id, i);
	else if (type.id == TYPE_TIMESTAMPTZ || type.id == TYPE_TIMESTAMP)
		found = fast_timestamp(text, &i);
	if (found)
		*ret_datum = (struct datum){.i = i};
	return found;
}

static bool into_int(struct vec *vec, uint32_t row, int64_t i)
{
	if (vec->data)
		vec->i[row] = i;
	return true;
}

bool decode_fast(
    const struct table_column *c, const struct json_value *v, struct vec *vec, uint32_t row)
{
	int64_t i;
	struct numeric n;
	if (v->escaped || (v->kind != JSON_NUMBER && v->kind != JSON_STRING))
		return false;
	switch ((int)c->type.id) {
	case TYPE_TEXT:
		if (c->type.precision != 0 || v->kind != JSON_STRING || !str_is_utf8(v->text))
			return false;
		if (vec->data)
			vec->s[row] = v->text;
		return true;
	case TYPE_INT8:
	case TYPE_INT4:
	case TYPE_INT2:
		return fast_integer(v->text, &i) && integer_fits(c->type.id, i) &&
		       into_int(vec, row, i);
	case TYPE_NUMERIC:
		if (!fast_numeric(v->text, c->type, &n))
			return false;
		if (vec->data)
			vec->num[row] = n;
		return true;
	case TYPE_TIMESTAMPTZ:
	case TYPE_TIMESTAMP:
		if (v->kind == JSON_STRING)
			return fast_timestamp(v->text, &i) && into_int(vec, row, i);
		return c->unit_us != 0 && v->text.len <= 15 && fast_integer(v->text, &i) &&
		       !__builtin_mul_overflow(i, c->unit_us, &i) && into_int(vec, row, i);
	default:
		return false;
	}
}

enum err decode_value(const struct table_column *c, const struct json_value *v, struct arena *arena,
    struct datum *ret_datum)
{
	if (v->kind == JSON_ABSENT || v->kind == JSON_NULL) {
		*ret_datum = (struct datum){.null = true};
		return ERR_OK;
	}
	if (c->type.id == TYPE_JSONB)
		return decode_jsonb(v, arena, ret_datum);
	if (c->unit_us != 0 && v->kind == JSON_NUMBER) {
		int64_t us;
		TRY(decode_unix_time(v->text, c->unit_us, &us));
		*ret_datum = (struct datum){.i = us};
		return ERR_OK;
	}
	struct str text;
	TRY(value_text(v, arena, &text));
	if (c->type.id == TYPE_TEXT && c->type.precision == 0) {
		*ret_datum = (struct datum){.s = text};
		return ERR_OK;
	}
	if (decode_text_fast(c->type, text, ret_datum))
		return ERR_OK;
	return datum_from_text(arena, c->type, text, ret_datum);
}
