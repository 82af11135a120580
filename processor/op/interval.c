/* SPDX-License-Identifier: Apache-2.0 */
/* Intervals: months, days and microseconds that are only mixed where SQL says so. Rounding steps
 * follow PostgreSQL 15. */
#include "processor/op/datetime.h"
#include "processor/op/numeric.h"

#include <math.h>

enum { DAYS_PER_MONTH = 30 };
#define US_PER_MONTH ((int128)DAYS_PER_MONTH * US_PER_DAY)

int128 interval_span(struct interval iv)
{
	return iv.months * US_PER_MONTH + (int128)iv.days * US_PER_DAY + iv.us;
}

bool interval_of_span(int128 span, struct interval *ret_interval)
{
	int128 months = span / US_PER_MONTH, rest = span % US_PER_MONTH;
	if (months != (int32_t)months)
		return false;
	*ret_interval = (struct interval){
	    (int64_t)(rest % US_PER_DAY), (int32_t)(rest / US_PER_DAY), (int32_t)months};
	return true;
}

int interval_compare(struct interval a, struct interval b)
{
	int128 x = interval_span(a), y = interval_span(b);
	return (x > y) - (x < y);
}

enum err interval_add(struct interval a, struct interval b, struct interval *ret_sum)
{
	struct interval r;
	if (__builtin_add_overflow(a.months, b.months, &r.months) ||
	    __builtin_add_overflow(a.days, b.days, &r.days) ||
	    __builtin_add_overflow(a.us, b.us, &r.us))
		return ERR_NUMERIC_OVERFLOW;
	*ret_sum = r;
	return ERR_OK;
}

enum err interval_negate(struct interval a, struct interval *ret_interval)
{
	struct interval r;
	if (__builtin_sub_overflow(0, a.months, &r.months) ||
	    __builtin_sub_overflow(0, a.days, &r.days) ||
	    __builtin_sub_overflow((int64_t)0, a.us, &r.us))
		return ERR_NUMERIC_OVERFLOW;
	*ret_interval = r;
	return ERR_OK;
}

static double round_us(double seconds)
{
	return rint(seconds * 1e6) / 1e6;
}

static bool to_int32(double f, int32_t *ret)
{
	if (!(f >= INT32_MIN && f <= INT32_MAX))
		return false;
	*ret = (int32_t)f;
	return true;
}

/* The scaled parts as real numbers: what is cut from months moves to days, from days to time. */
static enum err cascade(double months, double days, double us, struct interval *ret)
{
	struct interval r;
	if (!to_int32(months, &r.months) || !to_int32(days, &r.days))
		return ERR_NUMERIC_OVERFLOW;
	double month_rest = round_us((months - r.months) * DAYS_PER_MONTH);
	double seconds = round_us((days - r.days + month_rest - (int)month_rest) * 86400.0);
	int whole_days = (int)month_rest;
	if (fabs(seconds) >= 86400.0) {
		whole_days += (int)(seconds / 86400.0);
		seconds -= (int)(seconds / 86400.0) * 86400.0;
	}
	us = rint(us + seconds * 1e6);
	if (__builtin_add_overflow(r.days, whole_days, &r.days) || !(us >= -0x1p63 && us < 0x1p63))
		return ERR_NUMERIC_OVERFLOW;
	r.us = (int64_t)us;
	*ret = r;
	return ERR_OK;
}

enum err interval_mul(struct interval a, double factor, struct interval *ret_product)
{
	return cascade(a.months * factor, a.days * factor, (double)a.us * factor, ret_product);
}

enum err interval_div(struct interval a, double by, struct interval *ret_quotient)
{
	if (by == 0)
		return ERR_DIVISION_BY_ZERO;
	return cascade(a.months / by, a.days / by, (double)a.us / by, ret_quotient);
}

/* Moves one unit so that a smaller field has not the opposite sign of the larger one. */
static void agree_time(struct interval *r)
{
	if (r->days > 0 && r->us < 0) {
		r->us += US_PER_DAY;
		r->days--;
	} else if (r->days < 0 && r->us > 0) {
		r->us -= US_PER_DAY;
		r->days++;
	}
}

enum err interval_justify_hours(struct interval a, struct interval *ret_interval)
{
	struct interval r = a;
	r.us %= US_PER_DAY;
	if (__builtin_add_overflow(r.days, (int32_t)(a.us / US_PER_DAY), &r.days))
		return ERR_NUMERIC_OVERFLOW;
	agree_time(&r);
	*ret_interval = r;
	return ERR_OK;
}

enum err interval_justify_days(struct interval a, struct interval *ret_interval)
{
	struct interval r = a;
	r.days %= DAYS_PER_MONTH;
	if (__builtin_add_overflow(r.months, a.days / DAYS_PER_MONTH, &r.months))
		return ERR_NUMERIC_OVERFLOW;
	if (r.months > 0 && r.days < 0) {
		r.days += DAYS_PER_MONTH;
		r.months--;
	} else if (r.months < 0 && r.days > 0) {
		r.days -= DAYS_PER_MONTH;
		r.months++;
	}
	*ret_interval = r;
	return ERR_OK;
}

enum err interval_justify(struct interval a, struct interval *ret_interval)
{
	struct interval r = a;
	int64_t days = a.days + a.us / US_PER_DAY, months = a.months + days / DAYS_PER_MONTH;
	r.us %= US_PER_DAY;
	r.days = (int32_t)(days % DAYS_PER_MONTH);
	if (months != (int32_t)months)
		return ERR_NUMERIC_OVERFLOW;
	r.months = (int32_t)months;
	if (r.months > 0 && (r.days < 0 || (r.days == 0 && r.us < 0))) {
		r.days += DAYS_PER_MONTH;
		r.months--;
	} else if (r.months < 0 && (r.days > 0 || (r.days == 0 && r.us > 0))) {
		r.days -= DAYS_PER_MONTH;
		r.months++;
	}
	agree_time(&r);
	*ret_interval = r;
	return ERR_OK;
}

enum err interval_extract(enum time_field field, struct interval iv, struct numeric *ret_value)
{
	int64_t years = iv.months / 12, in_minute = iv.us % US_PER_MINUTE;
	switch ((int)field) {
	case FIELD_MICROSECONDS:
		*ret_value = numeric_of_i64(in_minute);
		return ERR_OK;
	case FIELD_MILLISECONDS:
		*ret_value = (struct numeric){in_minute, 3};
		return ERR_OK;
	case FIELD_SECOND:
		*ret_value = (struct numeric){in_minute, 6};
		return ERR_OK;
	case FIELD_MINUTE:
		*ret_value = numeric_of_i64(iv.us / US_PER_MINUTE % 60);
		return ERR_OK;
	case FIELD_HOUR:
		*ret_value = numeric_of_i64(iv.us / US_PER_HOUR);
		return ERR_OK;
	case FIELD_DAY:
		*ret_value = numeric_of_i64(iv.days);
		return ERR_OK;
	case FIELD_MONTH:
		*ret_value = numeric_of_i64(iv.months % 12);
		return ERR_OK;
	case FIELD_QUARTER:
		*ret_value = numeric_of_i64(iv.months % 12 / 3 + 1);
		return ERR_OK;
	case FIELD_YEAR:
		*ret_value = numeric_of_i64(years);
		return ERR_OK;
	case FIELD_DECADE:
		*ret_value = numeric_of_i64(years / 10);
		return ERR_OK;
	case FIELD_CENTURY:
		*ret_value = numeric_of_i64(years / 100);
		return ERR_OK;
	case FIELD_MILLENNIUM:
		*ret_value = numeric_of_i64(years / 1000);
		return ERR_OK;
	case FIELD_EPOCH: {
		/* years of 365.25 days, the months beside them of 30 */
		int128 quarter_days =
		    (int128)years * 1461 + (iv.months % 12 * DAYS_PER_MONTH + (int128)iv.days) * 4;
		*ret_value = (struct numeric){quarter_days * (US_PER_DAY / 4) + iv.us, 6};
		return ERR_OK;
	}
	default:
		return ERR_BAD_VALUE;
	}
}
