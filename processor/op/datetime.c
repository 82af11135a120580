/* SPDX-License-Identifier: Apache-2.0 */
#include "processor/op/datetime.h"

#include "processor/op/numeric.h"

#include <strings.h>

/* ---- calendar -------------------------------------------------------------------------------- */

/* Years are counted from March, so the leap day is the last of its year; 400 years are an era of
 * 146,097 days. */
enum { ERA_DAYS = 146097, EPOCH_SHIFT = 719468 /* days from 0000-03-01 to 1970-01-01 */ };

int64_t days_from_civil(int64_t year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = floor_div(y, 400), in_era = y - era * 400;
	int64_t in_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
	return era * ERA_DAYS + in_era * 365 + in_era / 4 - in_era / 100 + in_year - EPOCH_SHIFT;
}

struct civil civil_of_days(int64_t days)
{
	int64_t shifted = days + EPOCH_SHIFT, era = floor_div(shifted, ERA_DAYS);
	int64_t in_era = shifted - era * ERA_DAYS;
	int64_t year_in_era =
	    (in_era - in_era / 1460 + in_era / 36524 - in_era / (ERA_DAYS - 1)) / 365;
	int64_t in_year = in_era - (365 * year_in_era + year_in_era / 4 - year_in_era / 100);
	int64_t march_month = (5 * in_year + 2) / 153;
	struct civil c = {0};
	c.day = (int)(in_year - (153 * march_month + 2) / 5 + 1);
	c.month = (int)(march_month < 10 ? march_month + 3 : march_month - 9);
	c.year = year_in_era + era * 400 + (c.month <= 2);
	return c;
}

struct civil civil_of_timestamp(int64_t us)
{
	int64_t days = floor_div(us, US_PER_DAY), in_day = us - days * US_PER_DAY;
	struct civil c = civil_of_days(days);
	c.hour = (int)(in_day / US_PER_HOUR);
	c.minute = (int)(in_day / US_PER_MINUTE % 60);
	c.second = (int)(in_day / US_PER_SECOND % 60);
	c.us = (int)(in_day % US_PER_SECOND);
	return c;
}

static bool is_leap(int64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

int days_in_month(int64_t year, int month)
{
	static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	ASSERT(month >= 1 && month <= 12);
	return days[month - 1] + (month == 2 && is_leap(year));
}

/* 0 = Sunday */
static int day_of_week(int64_t days)
{
	return (int)(days - floor_div(days + 4, 7) * 7 + 4);
}

/* The Monday of the ISO week 1 of `year`: the week of January 4th. */
static int64_t iso_year_start(int64_t year)
{
	int64_t fourth = days_from_civil(year, 1, 4);
	return fourth - (day_of_week(fourth) + 6) % 7;
}

static int64_t iso_year_of(int64_t days, int64_t year)
{
	if (days < iso_year_start(year))
		return year - 1;
	return days >= iso_year_start(year + 1) ? year + 1 : year;
}

/* ---- arithmetic ------------------------------------------------------------------------------ */

enum err timestamp_add(int64_t us, struct interval iv, int64_t *ret_us)
{
	if (time_is_infinite(us)) {
		*ret_us = us;
		return ERR_OK;
	}
	int64_t days = floor_div(us, US_PER_DAY), in_day = us - days * US_PER_DAY;
	if (iv.months != 0) {
		struct civil c = civil_of_days(days);
		int64_t month = c.year * 12 + c.month - 1 + iv.months;
		int64_t year = floor_div(month, 12);
		int in_year = (int)(month - year * 12) + 1, last = days_in_month(year, in_year);
		days = days_from_civil(year, in_year, c.day < last ? c.day : last);
	}
	int128 sum = (int128)(days + iv.days) * US_PER_DAY + in_day + iv.us;
	if (sum < TIMESTAMP_MIN || sum >= TIMESTAMP_END)
		return ERR_NUMERIC_OVERFLOW;
	*ret_us = (int64_t)sum;
	return ERR_OK;
}

enum err timestamp_sub(int64_t a, int64_t b, struct interval *ret_interval)
{
	struct interval iv = {0};
	if (time_is_infinite(a) || time_is_infinite(b) || __builtin_sub_overflow(a, b, &iv.us))
		return ERR_NUMERIC_OVERFLOW;
	return interval_justify_hours(iv, ret_interval);
}

enum err timestamp_age(int64_t a, int64_t b, struct interval *ret_interval)
{
	if (time_is_infinite(a) || time_is_infinite(b))
		return ERR_NUMERIC_OVERFLOW;
	bool swap = a < b;
	struct civil x = civil_of_timestamp(swap ? b : a), y = civil_of_timestamp(swap ? a : b);
	/* days are borrowed from the month of the earlier date, whichever argument it is */
	struct civil early = y;
	int64_t us = ((x.hour - y.hour) * 60 + x.minute - y.minute) * US_PER_MINUTE +
	             (x.second - y.second) * US_PER_SECOND + x.us - y.us;
	int64_t months = (x.year - y.year) * 12 + x.month - y.month;
	int days = x.day - y.day;
	if (us < 0) {
		us += US_PER_DAY;
		days--;
	}
	if (days < 0) {
		days += days_in_month(early.year, early.month);
		months--;
	}
	struct interval iv = {us, days, (int32_t)months};
	if (swap)
		return interval_negate(iv, ret_interval);
	*ret_interval = iv;
	return ERR_OK;
}

enum err timestamp_bin(struct interval stride, int64_t us, int64_t origin, int64_t *ret_us)
{
	int64_t step;
	if (time_is_infinite(us)) {
		*ret_us = us;
		return ERR_OK;
	}
	if (stride.months != 0 || time_is_infinite(origin))
		return ERR_BAD_VALUE;
	if (__builtin_mul_overflow((int64_t)stride.days, US_PER_DAY, &step) ||
	    __builtin_add_overflow(step, stride.us, &step))
		return ERR_NUMERIC_OVERFLOW;
	if (step <= 0)
		return ERR_BAD_VALUE;
	int64_t distance;
	int128 start;
	if (!__builtin_sub_overflow(us, origin, &distance)) {
		int64_t rest = distance % step;
		start = (int128)us - rest - (rest < 0 ? step : 0);
	} else { /* centuries apart */
		int128 rest = ((int128)us - origin) % step;
		start = us - rest - (rest < 0 ? step : 0);
	}
	if (start < TIMESTAMP_MIN)
		return ERR_NUMERIC_OVERFLOW;
	*ret_us = (int64_t)start;
	return ERR_OK;
}

/* ---- fields ---------------------------------------------------------------------------------- */

enum time_field time_field_by_name(struct str name)
{
	static const struct {
		const char *name;
		enum time_field field;
	} names[] = {{"microseconds", FIELD_MICROSECONDS}, {"microsecond", FIELD_MICROSECONDS},
	    {"us", FIELD_MICROSECONDS}, {"usec", FIELD_MICROSECONDS}, {"usecs", FIELD_MICROSECONDS},
	    {"milliseconds", FIELD_MILLISECONDS}, {"millisecond", FIELD_MILLISECONDS},
	    {"ms", FIELD_MILLISECONDS}, {"msec", FIELD_MILLISECONDS}, {"msecs", FIELD_MILLISECONDS},
	    {"second", FIELD_SECOND}, {"seconds", FIELD_SECOND}, {"s", FIELD_SECOND},
	    {"sec", FIELD_SECOND}, {"secs", FIELD_SECOND}, {"minute", FIELD_MINUTE},
	    {"minutes", FIELD_MINUTE}, {"m", FIELD_MINUTE}, {"min", FIELD_MINUTE},
	    {"mins", FIELD_MINUTE}, {"hour", FIELD_HOUR}, {"hours", FIELD_HOUR}, {"h", FIELD_HOUR},
	    {"hr", FIELD_HOUR}, {"hrs", FIELD_HOUR}, {"day", FIELD_DAY}, {"days", FIELD_DAY},
	    {"d", FIELD_DAY}, {"week", FIELD_WEEK}, {"weeks", FIELD_WEEK}, {"w", FIELD_WEEK},
	    {"month", FIELD_MONTH}, {"months", FIELD_MONTH}, {"mon", FIELD_MONTH},
	    {"mons", FIELD_MONTH}, {"quarter", FIELD_QUARTER}, {"qtr", FIELD_QUARTER},
	    {"year", FIELD_YEAR}, {"years", FIELD_YEAR}, {"y", FIELD_YEAR}, {"yr", FIELD_YEAR},
	    {"yrs", FIELD_YEAR}, {"decade", FIELD_DECADE}, {"decades", FIELD_DECADE},
	    {"dec", FIELD_DECADE}, {"decs", FIELD_DECADE}, {"century", FIELD_CENTURY},
	    {"centuries", FIELD_CENTURY}, {"c", FIELD_CENTURY}, {"cent", FIELD_CENTURY},
	    {"millennium", FIELD_MILLENNIUM}, {"millennia", FIELD_MILLENNIUM},
	    {"mil", FIELD_MILLENNIUM}, {"mils", FIELD_MILLENNIUM}, {"isoyear", FIELD_ISOYEAR},
	    {"dow", FIELD_DOW}, {"isodow", FIELD_ISODOW}, {"doy", FIELD_DOY},
	    {"epoch", FIELD_EPOCH}, {"julian", FIELD_JULIAN}, {"jd", FIELD_JULIAN},
	    {"j", FIELD_JULIAN}, {"timezone", FIELD_TIMEZONE},
	    {"timezone_hour", FIELD_TIMEZONE_HOUR}, {"timezone_minute", FIELD_TIMEZONE_MINUTE}};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strlen(names[i].name) == name.len &&
		    strncasecmp(names[i].name, name.ptr, name.len) == 0)
			return names[i].field;
	return FIELD_NONE;
}

/* First year of the period of `length` years; periods of 100 and 1000 begin with year 1, decades
 * with year 0. */
static int64_t period_start(enum time_field field, int64_t year)
{
	switch ((int)field) {
	case FIELD_DECADE:
		return floor_div(year, 10) * 10;
	case FIELD_CENTURY:
		return floor_div(year - 1, 100) * 100 + 1;
	case FIELD_MILLENNIUM:
		return floor_div(year - 1, 1000) * 1000 + 1;
	default:
		return year;
	}
}

static int64_t trunc_days(enum time_field field, int64_t days)
{
	if (field == FIELD_DAY)
		return days;
	if (field == FIELD_WEEK)
		return days - (day_of_week(days) + 6) % 7;
	struct civil c = civil_of_days(days);
	if (field == FIELD_MONTH)
		return days_from_civil(c.year, c.month, 1);
	if (field == FIELD_QUARTER)
		return days_from_civil(c.year, (c.month - 1) / 3 * 3 + 1, 1);
	return days_from_civil(period_start(field, c.year), 1, 1);
}

static int64_t field_us(enum time_field field)
{
	static const int64_t us[] = {[FIELD_MICROSECONDS] = 1,
	    [FIELD_MILLISECONDS] = 1000,
	    [FIELD_SECOND] = US_PER_SECOND,
	    [FIELD_MINUTE] = US_PER_MINUTE,
	    [FIELD_HOUR] = US_PER_HOUR};
	ASSERT(field <= FIELD_HOUR);
	return us[field];
}

enum err timestamp_trunc(enum time_field field, int64_t us, int64_t *ret_us)
{
	if (time_is_infinite(us)) { /* whatever the field, as PostgreSQL */
		*ret_us = us;
		return ERR_OK;
	}
	if (field > FIELD_MILLENNIUM)
		return ERR_BAD_VALUE;
	if (field <= FIELD_HOUR) {
		int64_t unit = field_us(field);
		*ret_us = floor_div(us, unit) * unit;
		return ERR_OK;
	}
	int64_t start = trunc_days(field, floor_div(us, US_PER_DAY));
	if (start < DATE_MIN)
		return ERR_NUMERIC_OVERFLOW;
	*ret_us = start * US_PER_DAY;
	return ERR_OK;
}

enum err interval_trunc(enum time_field field, struct interval iv, struct interval *ret_interval)
{
	if (field > FIELD_MILLENNIUM || field == FIELD_WEEK)
		return ERR_BAD_VALUE;
	if (field <= FIELD_HOUR) {
		iv.us -= iv.us % field_us(field);
	} else {
		static const int months[] = {[FIELD_DAY] = 1,
		    [FIELD_MONTH] = 1,
		    [FIELD_QUARTER] = 3,
		    [FIELD_YEAR] = 12,
		    [FIELD_DECADE] = 120,
		    [FIELD_CENTURY] = 1200,
		    [FIELD_MILLENNIUM] = 12000};
		iv.us = 0;
		if (field != FIELD_DAY)
			iv.days = 0;
		iv.months -= iv.months % months[field];
	}
	*ret_interval = iv;
	return ERR_OK;
}

/* Year numbers as people write them: there is no year 0. */
static int64_t written_year(int64_t year)
{
	return year > 0 ? year : year - 1;
}

static int64_t extract_date(enum time_field field, int64_t days)
{
	struct civil c = civil_of_days(days);
	switch ((int)field) {
	case FIELD_DAY:
		return c.day;
	case FIELD_WEEK:
		return (days - iso_year_start(iso_year_of(days, c.year))) / 7 + 1;
	case FIELD_MONTH:
		return c.month;
	case FIELD_QUARTER:
		return (c.month - 1) / 3 + 1;
	case FIELD_YEAR:
		return written_year(c.year);
	case FIELD_DECADE:
		return floor_div(c.year, 10);
	case FIELD_CENTURY:
		return c.year > 0 ? (c.year + 99) / 100 : -((99 - (c.year - 1)) / 100);
	case FIELD_MILLENNIUM:
		return c.year > 0 ? (c.year + 999) / 1000 : -((999 - (c.year - 1)) / 1000);
	case FIELD_ISOYEAR:
		return written_year(iso_year_of(days, c.year));
	case FIELD_DOW:
		return day_of_week(days);
	case FIELD_ISODOW:
		return (day_of_week(days) + 6) % 7 + 1;
	default:
		ASSERT(field == FIELD_DOY);
		return days - days_from_civil(c.year, 1, 1) + 1;
	}
}

static bool field_is_monotonic(enum time_field field)
{
	return (field >= FIELD_YEAR && field <= FIELD_ISOYEAR) || field == FIELD_EPOCH ||
	       field == FIELD_JULIAN;
}

static bool type_has_field(enum type_id type, enum time_field field)
{
	if (field == FIELD_NONE)
		return false;
	if (field >= FIELD_TIMEZONE)
		return type == TYPE_TIMESTAMPTZ;
	return type != TYPE_DATE || field >= FIELD_DAY;
}

static enum err extract_julian(int64_t days, int64_t in_day, struct numeric *ret_value)
{
	struct numeric part;
	TRY(numeric_div(numeric_of_i64(in_day), numeric_of_i64(US_PER_DAY), &part));
	return numeric_add(numeric_of_i64(days - DATE_MIN), part, ret_value);
}

enum err timestamp_extract(
    enum time_field field, enum type_id type, int64_t us, struct numeric *ret_value, bool *ret_null)
{
	*ret_null = time_is_infinite(us);
	if (!type_has_field(type, field) &&
	    !(*ret_null && type == TYPE_TIMESTAMP && field != FIELD_NONE))
		return ERR_BAD_VALUE;
	if (*ret_null) /* PostgreSQL gives infinity for the fields that grow; numeric here has none
	                */
		return field_is_monotonic(field) ? ERR_NUMERIC_OVERFLOW : ERR_OK;
	bool is_date = type == TYPE_DATE;
	int64_t days = is_date ? us : floor_div(us, US_PER_DAY),
	        in_day = is_date ? 0 : us - days * US_PER_DAY;
	int64_t in_minute = in_day % US_PER_MINUTE;
	switch ((int)field) {
	case FIELD_MICROSECONDS:
		*ret_value = numeric_of_i64(in_minute);
		break;
	case FIELD_MILLISECONDS:
		*ret_value = (struct numeric){in_minute, 3};
		break;
	case FIELD_SECOND:
		*ret_value = (struct numeric){in_minute, 6};
		break;
	case FIELD_MINUTE:
		*ret_value = numeric_of_i64(in_day / US_PER_MINUTE % 60);
		break;
	case FIELD_HOUR:
		*ret_value = numeric_of_i64(in_day / US_PER_HOUR);
		break;
	case FIELD_EPOCH:
		*ret_value = is_date ? numeric_of_i64(days * 86400) : (struct numeric){us, 6};
		break;
	case FIELD_JULIAN:
		if (!is_date)
			return extract_julian(days, in_day, ret_value);
		*ret_value = numeric_of_i64(days - DATE_MIN);
		break;
	case FIELD_TIMEZONE:
	case FIELD_TIMEZONE_HOUR:
	case FIELD_TIMEZONE_MINUTE:
		*ret_value = numeric_of_i64(0);
		break;
	default:
		*ret_value = numeric_of_i64(extract_date(field, days));
	}
	return ERR_OK;
}
