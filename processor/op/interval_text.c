/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intervals as text. Output is IntervalStyle postgres. Input: numbers with units in any order, a
 * clock time (the number before it counts days), year-month, all with signs, `ago`; or ISO 8601
 * with designators.
 */
#include "processor/op/datetime.h"

#include <math.h>
#include <stdlib.h>
#include <strings.h>

/* ---- output ---------------------------------------------------------------------------------- */

static void put_part(
    struct writer *w, int64_t value, const char *unit, bool *first, bool *after_negative)
{
	if (value == 0)
		return;
	write_printf(w, "%s%s%ld %s%s", *first ? "" : " ", *after_negative && value > 0 ? "+" : "",
	    value, unit, value != 1 ? "s" : "");
	*after_negative = value < 0;
	*first = false;
}

void interval_to_text(struct writer *w, struct interval iv)
{
	bool first = true, after_negative = false;
	put_part(w, iv.months / 12, "year", &first, &after_negative);
	put_part(w, iv.months % 12, "mon", &first, &after_negative);
	put_part(w, iv.days, "day", &first, &after_negative);
	if (!first && iv.us == 0)
		return;
	uint64_t us = iv.us < 0 ? -(uint64_t)iv.us : (uint64_t)iv.us;
	write_printf(w, "%s%s%02lu:%02lu:%02lu", first ? "" : " ",
	    iv.us < 0        ? "-"
	    : after_negative ? "+"
	                     : "",
	    us / (uint64_t)US_PER_HOUR, us / (uint64_t)US_PER_MINUTE % 60, us / 1000000 % 60);
	unsigned fraction = (unsigned)(us % 1000000);
	if (fraction == 0)
		return;
	char digits[8] = {'.'};
	int len = 7;
	for (int i = 6; i > 0; i--, fraction /= 10)
		digits[i] = (char)('0' + fraction % 10);
	while (digits[len - 1] == '0')
		len--;
	write_str(w, str_from(digits, (size_t)len));
}

/* ---- input ----------------------------------------------------------------------------------- */

enum unit {
	UNIT_NONE,
	UNIT_US,
	UNIT_MS,
	UNIT_SECOND,
	UNIT_MINUTE,
	UNIT_HOUR,
	UNIT_DAY,
	UNIT_WEEK,
	UNIT_MONTH,
	UNIT_YEAR,
	UNIT_DECADE,
	UNIT_CENTURY,
	UNIT_MILLENNIUM,
	UNIT_AGO,
	UNIT_COUNT
};
static const char *const unit_names[UNIT_COUNT] = {
    [UNIT_NONE] = "",
    [UNIT_US] = "us usec usecs usecond useconds microsecond microseconds",
    [UNIT_MS] = "ms msec msecs msecond mseconds millisecond milliseconds",
    [UNIT_SECOND] = "s sec second seconds secs",
    [UNIT_MINUTE] = "m min mins minute minutes",
    [UNIT_HOUR] = "h hour hours hr hrs",
    [UNIT_DAY] = "d day days",
    [UNIT_WEEK] = "w week weeks",
    [UNIT_MONTH] = "mon mons month months",
    [UNIT_YEAR] = "y year years yr yrs",
    [UNIT_DECADE] = "dec decade decades decs",
    [UNIT_CENTURY] = "c cent centuries century",
    [UNIT_MILLENNIUM] = "mil millennia millennium mils",
    [UNIT_AGO] = "ago",
};

static enum unit unit_by_name(struct str word)
{
	for (int u = UNIT_US; u < UNIT_COUNT; u++)
		for (const char *at = unit_names[u]; *at;) {
			size_t len = strcspn(at, " ");
			if (len == word.len && strncasecmp(at, word.ptr, len) == 0)
				return (enum unit)u;
			at += len + strspn(at + len, " ");
		}
	return UNIT_NONE;
}

struct parse {
	const char *at, *end;
	int128 us, days, months;
	unsigned seen; /* units that occurred, one bit each: none may come twice */
	bool ago;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}
static bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
static void skip_blanks(struct parse *p)
{
	while (p->at < p->end && (*p->at == ' ' || (*p->at >= '\t' && *p->at <= '\r')))
		p->at++;
}

/* A part of a month in days and time of day. */
static void add_day_fraction(struct parse *p, double fraction, double days_per_unit)
{
	double days = fraction * days_per_unit;
	p->days += (int64_t)days;
	p->us += (int64_t)rint((days - (double)(int64_t)days) * (double)US_PER_DAY);
}

static bool add_unit(struct parse *p, enum unit unit, int64_t value, double fraction)
{
	static const int64_t us[] = {[UNIT_US] = 1,
	    [UNIT_MS] = 1000,
	    [UNIT_SECOND] = US_PER_SECOND,
	    [UNIT_MINUTE] = US_PER_MINUTE,
	    [UNIT_HOUR] = US_PER_HOUR};
	static const int months[] = {[UNIT_YEAR] = 12,
	    [UNIT_DECADE] = 120,
	    [UNIT_CENTURY] = 1200,
	    [UNIT_MILLENNIUM] = 12000};
	if (p->seen & 1u << unit)
		return false;
	p->seen |= 1u << unit;
	if (unit <= UNIT_HOUR) {
		p->us += (int128)value * us[unit] + (int64_t)rint(fraction * (double)us[unit]);
	} else if (unit == UNIT_DAY || unit == UNIT_WEEK) {
		p->days += (int128)value * (unit == UNIT_WEEK ? 7 : 1);
		add_day_fraction(p, fraction, unit == UNIT_WEEK ? 7 : 1);
	} else if (unit == UNIT_MONTH) {
		p->months += value;
		add_day_fraction(p, fraction, 30);
	} else {
		p->months += (int128)value * months[unit] + (int64_t)rint(fraction * months[unit]);
	}
	return true;
}

static bool take_int(struct parse *p, int64_t *ret)
{
	int64_t v = 0;
	const char *from = p->at;
	for (; p->at < p->end && is_digit(*p->at); p->at++)
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, *p->at - '0', &v))
			return false;
	*ret = v;
	return p->at > from;
}

/* ".25" -> 0.25; zero when there is no point. */
static bool take_fraction(struct parse *p, double *ret)
{
	*ret = 0;
	if (p->at == p->end || *p->at != '.')
		return true;
	char buf[40] = "0.";
	size_t len = 2;
	for (p->at++; p->at < p->end && is_digit(*p->at); p->at++)
		if (len < sizeof buf - 1)
			buf[len++] = *p->at;
	*ret = strtod(buf, NULL);
	return true;
}

/* After "h:": minutes, optional seconds; "m:s.f" when the second field has a fraction. */
static bool take_clock(struct parse *p, int64_t first, int sign)
{
	int64_t second_field, seconds = 0, hours = first, minutes;
	double fraction = 0;
	p->at++;
	if (!take_int(p, &second_field))
		return false;
	minutes = second_field;
	if (p->at < p->end && *p->at == '.') {
		hours = 0;
		minutes = first;
		seconds = second_field;
	} else if (p->at < p->end && *p->at == ':') {
		p->at++;
		if (!take_int(p, &seconds))
			return false;
	}
	if (!take_fraction(p, &fraction) || minutes > 59 || seconds > 60)
		return false;
	const unsigned clock = 1u << UNIT_SECOND | 1u << UNIT_MINUTE | 1u << UNIT_HOUR;
	if (p->seen & clock)
		return false;
	p->seen |= clock;
	int128 us = (int128)hours * US_PER_HOUR + minutes * US_PER_MINUTE + seconds * US_PER_SECOND;
	p->us += sign * (us + (int64_t)rint(fraction * 1e6));
	return true;
}

/* The unit of the number just read: a word; days when a clock time follows; else seconds, and then
 * nothing more. */
static enum unit take_unit(struct parse *p)
{
	skip_blanks(p);
	const char *from = p->at;
	while (p->at < p->end && is_alpha(*p->at))
		p->at++;
	if (p->at > from)
		return unit_by_name(str_from(from, (size_t)(p->at - from)));
	const char *look = p->at;
	if (look < p->end && (*look == '-' || *look == '+'))
		look++;
	while (look < p->end && is_digit(*look))
		look++;
	if (look < p->end && *look == ':')
		return UNIT_DAY;
	return p->at == p->end ? UNIT_SECOND : UNIT_NONE;
}

static bool take_item(struct parse *p)
{
	int sign = 1;
	int64_t value = 0;
	double fraction;
	bool has_sign = *p->at == '-' || *p->at == '+';
	if (has_sign) {
		sign = *p->at++ == '-' ? -1 : 1;
		skip_blanks(p);
	}
	const char *from = p->at;
	bool whole = take_int(p, &value);
	if (whole && p->at < p->end && *p->at == ':')
		return take_clock(p, value, sign);
	if (whole && p->at + 1 < p->end && *p->at == '-' && is_digit(p->at[1])) {
		int64_t months;
		p->at++;
		if (!take_int(p, &months) || months > 11 || value > INT32_MAX)
			return false;
		bool ends = p->at == p->end || *p->at == ' '; /* 2025-03-01 is a date */
		return ends && add_unit(p, UNIT_MONTH, sign * (value * 12 + months), 0);
	}
	if (!take_fraction(p, &fraction) || p->at == from ||
	    (!whole && (has_sign || p->at == from + 1)))
		return false;
	enum unit unit = take_unit(p);
	if (unit == UNIT_NONE || unit == UNIT_AGO)
		return false;
	return add_unit(p, unit, sign * value, sign * fraction);
}

static bool take_words(struct parse *p)
{
	bool any = false;
	for (skip_blanks(p); p->at < p->end; skip_blanks(p)) {
		if (*p->at == '@') {
			p->at++;
		} else if (is_alpha(*p->at)) {
			const char *from = p->at;
			while (p->at < p->end && is_alpha(*p->at))
				p->at++;
			if (!any || p->ago ||
			    unit_by_name(str_from(from, (size_t)(p->at - from))) != UNIT_AGO)
				return false;
			p->ago = true;
		} else if (p->ago || !take_item(p)) {
			return false;
		} else {
			any = true;
		}
	}
	return any;
}

/* P[n]Y[n]M[n]W[n]DT[n]H[n]M[n]S */
static bool take_iso(struct parse *p)
{
	bool in_time = false, any = false;
	for (p->at++; p->at < p->end; any = true) {
		if (*p->at == 'T' && !in_time) {
			in_time = true;
			p->at++;
			if (p->at == p->end)
				return true; /* PostgreSQL reads "PT" as nothing */
		}
		int sign = *p->at == '-' ? -1 : 1;
		if (*p->at == '-' || *p->at == '+')
			p->at++;
		int64_t value;
		double fraction;
		if (!take_int(p, &value) || !take_fraction(p, &fraction) || p->at == p->end)
			return false;
		static const char date_units[] = "YMWD", time_units[] = "HMS";
		static const enum unit dates[] = {UNIT_YEAR, UNIT_MONTH, UNIT_WEEK, UNIT_DAY};
		static const enum unit times[] = {UNIT_HOUR, UNIT_MINUTE, UNIT_SECOND};
		const char *found =
		    *p->at ? strchr(in_time ? time_units : date_units, *p->at) : NULL;
		if (!found)
			return false;
		p->at++;
		enum unit unit = in_time ? times[found - time_units] : dates[found - date_units];
		if (!add_unit(p, unit, sign * value, sign * fraction))
			return false;
	}
	return any;
}

enum err interval_from_text(struct str text, struct interval *ret_interval)
{
	struct parse p = {.at = text.ptr, .end = text.ptr + text.len};
	skip_blanks(&p);
	while (p.end > p.at && (p.end[-1] == ' ' || (p.end[-1] >= '\t' && p.end[-1] <= '\r')))
		p.end--;
	if (p.at == p.end || !(*p.at == 'P' ? take_iso(&p) : take_words(&p)))
		return ERR_BAD_VALUE;
	if (p.ago) {
		p.us = -p.us;
		p.days = -p.days;
		p.months = -p.months;
	}
	if (p.us != (int64_t)p.us || p.days != (int32_t)p.days || p.months != (int32_t)p.months)
		return ERR_NUMERIC_OVERFLOW;
	*ret_interval = (struct interval){(int64_t)p.us, (int32_t)p.days, (int32_t)p.months};
	return ERR_OK;
}
