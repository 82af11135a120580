/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Dates, timestamps and intervals: the proleptic Gregorian calendar, microseconds, UTC only. Ranges
 * and text forms are PostgreSQL's (TimeZone UTC, IntervalStyle postgres, DateStyle ISO). Counted
 * from 1970-01-01. Any thread.
 */
#include "processor/op/vec.h"

#define US_PER_SECOND ((int64_t)1000000)
#define US_PER_MINUTE (60 * US_PER_SECOND)
#define US_PER_HOUR   (60 * US_PER_MINUTE)
#define US_PER_DAY    (24 * US_PER_HOUR)
/* PostgreSQL's ranges, the end exclusive: dates from 4714-11-24 BC up to 5874898-06-01; timestamps
 * from the same day up to what int64 counts from 1970, 294247-01-10 (PostgreSQL, counting from
 * 2000, goes 30 years further). */
#define DATE_MIN      ((int64_t)-2440588)
#define DATE_END      ((int64_t)2145042906)
#define TIMESTAMP_MIN (DATE_MIN * US_PER_DAY)
#define TIMESTAMP_END INT64_MAX

/* Calendar fields; year 0 = 1 BC. */
struct civil {
	int64_t year;
	int month, day;
	int hour, minute, second, us;
};
int64_t days_from_civil(int64_t year, int month, int day);
struct civil civil_of_days(int64_t days);
struct civil civil_of_timestamp(int64_t us);
int days_in_month(int64_t year, int month);
static inline bool time_is_infinite(int64_t t)
{
	return t == TIME_NEG_INFINITY || t == TIME_POS_INFINITY;
}
static inline bool timestamp_in_range(int64_t us)
{
	return us >= TIMESTAMP_MIN && us < TIMESTAMP_END;
}
/* Floor division, for calendars before 1970. */
static inline int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

/* ---- intervals ------------------------------------------------------------------------------- */

/* Length in microseconds with 30-day months: the order of intervals. */
int128 interval_span(struct interval iv);
bool interval_of_span(int128 span, struct interval *ret_interval);
int interval_compare(struct interval a, struct interval b);
MUST_USE enum err interval_add(struct interval a, struct interval b, struct interval *ret_sum);
MUST_USE enum err interval_negate(struct interval a, struct interval *ret_interval);
/* Fractions of months go to days, of days to time, as PostgreSQL. ERR_NUMERIC_OVERFLOW,
 * ERR_DIVISION_BY_ZERO. */
MUST_USE enum err interval_mul(struct interval a, double factor, struct interval *ret_product);
MUST_USE enum err interval_div(struct interval a, double by, struct interval *ret_quotient);
/* 24 h -> day, 30 days -> month. */
MUST_USE enum err interval_justify_hours(struct interval a, struct interval *ret_interval);
MUST_USE enum err interval_justify_days(struct interval a, struct interval *ret_interval);
MUST_USE enum err interval_justify(struct interval a, struct interval *ret_interval);

/* ---- arithmetic ------------------------------------------------------------------------------ */

/* months, then days, then us; the day is clipped to the month's last. Infinite stays.
 * ERR_NUMERIC_OVERFLOW. */
MUST_USE enum err timestamp_add(int64_t us, struct interval iv, int64_t *ret_us);
/* Days and time, as timestamp - timestamp. */
MUST_USE enum err timestamp_sub(int64_t a, int64_t b, struct interval *ret_interval);
/* Years, months, days, time between, as age(a, b). */
MUST_USE enum err timestamp_age(int64_t a, int64_t b, struct interval *ret_interval);

/* Fields of extract, date_part and date_trunc. */
enum time_field {
	FIELD_MICROSECONDS,
	FIELD_MILLISECONDS,
	FIELD_SECOND,
	FIELD_MINUTE,
	FIELD_HOUR,
	FIELD_DAY,
	FIELD_WEEK,
	FIELD_MONTH,
	FIELD_QUARTER,
	FIELD_YEAR,
	FIELD_DECADE,
	FIELD_CENTURY,
	FIELD_MILLENNIUM,
	FIELD_ISOYEAR,
	FIELD_DOW,
	FIELD_ISODOW,
	FIELD_DOY,
	FIELD_EPOCH,
	FIELD_JULIAN,
	FIELD_TIMEZONE,
	FIELD_TIMEZONE_HOUR,
	FIELD_TIMEZONE_MINUTE,
	FIELD_NONE
};
/* PostgreSQL's spellings, any case; FIELD_NONE when unknown. */
enum time_field time_field_by_name(struct str name);
MUST_USE enum err timestamp_trunc(enum time_field field, int64_t us, int64_t *ret_us);
MUST_USE enum err interval_trunc(
    enum time_field field, struct interval iv, struct interval *ret_interval);
/* ERR_BAD_VALUE for a field the type does not have. Infinite times give a NULL for finite fields:
 * *ret_null. */
MUST_USE enum err timestamp_extract(enum time_field field, enum type_id type, int64_t us,
    struct numeric *ret_value, bool *ret_null);
MUST_USE enum err interval_extract(
    enum time_field field, struct interval iv, struct numeric *ret_value);
/* Start of the stride that holds `us`; strides count from `origin`. ERR_BAD_VALUE for months or a
 * stride <= 0. */
MUST_USE enum err timestamp_bin(
    struct interval stride, int64_t us, int64_t origin, int64_t *ret_us);

/* ---- text ------------------------------------------------------------------------------------ */

void date_to_text(struct writer *w, int64_t days);
void timestamp_to_text(struct writer *w, int64_t us, bool zone);
void interval_to_text(struct writer *w, struct interval iv);
/* ISO 8601 and PostgreSQL's own output: date, optional time, fraction, zone (Z, UTC,
 * +hh[:mm[:ss]]), BC; epoch, infinity. Words that mean now are refused. ERR_BAD_VALUE;
 * ERR_NUMERIC_OVERFLOW outside the type's range. */
MUST_USE enum err date_from_text(struct str text, int64_t *ret_days);
MUST_USE enum err timestamp_from_text(struct str text, bool zone, int64_t *ret_us);
/* '1 day 02:03:04', '1 year 2 mons', '1-2', '3 4:05', ISO 'P1DT2H', '@ 1 minute ago'; fractions of
 * any unit. */
MUST_USE enum err interval_from_text(struct str text, struct interval *ret_interval);
