/* SPDX-License-Identifier: Apache-2.0 */
/* Date and time operators and functions. Infinite dates and timestamps absorb what is added to
 * them. */
#include "processor/op/datetime.h"
#include "processor/op/func_list.h"
#include "processor/op/numeric.h"

#include <math.h>

#define BODY(name)                                                                                 \
	void func_##name(                                                                          \
	    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)

static void out_of_range(struct eval *ev, struct vec *out, uint32_t row)
{
	func_fail(ev, out, row, ERR_NUMERIC_OVERFLOW, "%s out of range", type_name(out->type.id));
}

/* ---- dates ----------------------------------------------------------------------------------- */

static void date_move(
    struct eval *ev, const struct vec *dates, const struct vec *days, struct vec *out, int sign)
{
	EACH_ROW (ev, out, r) {
		int64_t date = arg_i(dates, r);
		out->i[r] = time_is_infinite(date) ? date : date + sign * arg_i(days, r);
		if (!time_is_infinite(date) && (out->i[r] < DATE_MIN || out->i[r] >= DATE_END))
			out_of_range(ev, out, r);
	}
}

BODY(date_add_days)
{
	(void)call;
	date_move(ev, &args[0], &args[1], out, 1);
}

BODY(days_add_date)
{
	(void)call;
	date_move(ev, &args[1], &args[0], out, 1);
}

BODY(date_sub_days)
{
	(void)call;
	date_move(ev, &args[0], &args[1], out, -1);
}

BODY(date_sub)
{
	(void)call;
	EACH_ROW (ev, out, r) {
		int64_t a = arg_i(&args[0], r), b = arg_i(&args[1], r);
		if (time_is_infinite(a) || time_is_infinite(b))
			func_fail(
			    ev, out, r, ERR_NUMERIC_OVERFLOW, "cannot subtract infinite dates");
		else
			out->i[r] = a - b;
	}
}

/* ---- timestamp + interval -------------------------------------------------------------------- */

static void time_move(struct eval *ev, const struct vec *times, const struct vec *intervals,
    struct vec *out, bool back)
{
	bool dates = times->type.id == TYPE_DATE;
	EACH_ROW (ev, out, r) {
		int64_t us = arg_i(times, r);
		struct interval iv = arg_iv(intervals, r);
		enum err e = ERR_OK;
		if (dates && !time_is_infinite(us) && __builtin_mul_overflow(us, US_PER_DAY, &us))
			e = ERR_NUMERIC_OVERFLOW;
		if (e == ERR_OK && back)
			e = interval_negate(iv, &iv);
		if (e == ERR_OK)
			e = timestamp_add(us, iv, &out->i[r]);
		if (e != ERR_OK)
			out_of_range(ev, out, r);
	}
}

#define TIME_MOVE(name, times, intervals, back)                                                    \
	BODY(name)                                                                                 \
	{                                                                                          \
		(void)call;                                                                        \
		time_move(ev, &args[times], &args[intervals], out, back);                          \
	}
TIME_MOVE(date_add_interval, 0, 1, false)
TIME_MOVE(date_sub_interval, 0, 1, true)
TIME_MOVE(interval_add_date, 1, 0, false)
TIME_MOVE(time_add_interval, 0, 1, false)
TIME_MOVE(time_sub_interval, 0, 1, true)
TIME_MOVE(interval_add_time, 1, 0, false)

BODY(time_sub)
{
	(void)call;
	EACH_ROW (ev, out, r)
		if (timestamp_sub(arg_i(&args[0], r), arg_i(&args[1], r), &out->iv[r]) != ERR_OK)
			func_fail(
			    ev, out, r, ERR_NUMERIC_OVERFLOW, "cannot subtract these timestamps");
}

BODY(time_age)
{
	(void)call;
	EACH_ROW (ev, out, r)
		if (timestamp_age(arg_i(&args[0], r), arg_i(&args[1], r), &out->iv[r]) != ERR_OK)
			func_fail(
			    ev, out, r, ERR_NUMERIC_OVERFLOW, "cannot subtract these timestamps");
}

BODY(date_bin)
{
	(void)call;
	EACH_ROW (ev, out, r) {
		enum err e = timestamp_bin(
		    arg_iv(&args[0], r), arg_i(&args[1], r), arg_i(&args[2], r), &out->i[r]);
		if (e == ERR_BAD_VALUE)
			func_fail(ev, out, r, e,
			    "date_bin needs a stride above zero without months or years, and a "
			    "finite origin");
		else if (e != ERR_OK)
			out_of_range(ev, out, r);
	}
}

BODY(isfinite)
{
	(void)call;
	EACH_ROW (ev, out, r)
		out->b[r] = !time_is_infinite(arg_i(&args[0], r));
}

BODY(isfinite_interval)
{
	(void)call;
	(void)args;
	EACH_ROW (ev, out, r)
		out->b[r] = true;
}

/* ---- fields ---------------------------------------------------------------------------------- */

static void bad_field(
    struct eval *ev, struct vec *out, uint32_t row, struct str name, enum type_id type)
{
	func_fail(ev, out, row, ERR_BAD_VALUE,
	    "unit \"%.*s\" not known or not supported for type %s",
	    (int)(name.len > 30 ? 30 : name.len), name.ptr, type_name(type));
}

/* The field of a row: most often the same constant for all. */
struct field_memo {
	struct str name;
	enum time_field field;
};
static enum time_field field_at(struct field_memo *memo, const struct vec *names, uint32_t row)
{
	struct str name = arg_s(names, row);
	if (name.ptr != memo->name.ptr || name.len != memo->name.len)
		*memo = (struct field_memo){name, time_field_by_name(name)};
	return memo->field;
}

/* A time zone as third argument must be UTC: the server knows no other. */
static bool zone_is_utc(const struct expr *call, const struct vec *args, uint32_t row)
{
	return call->arg_count < 3 || str_equal(arg_s(&args[2], row), STR("UTC")) ||
	       str_equal(arg_s(&args[2], row), STR("utc"));
}

BODY(time_trunc)
{
	struct field_memo memo = {{NULL, 0}, FIELD_NONE};
	EACH_ROW (ev, out, r) {
		enum err e =
		    timestamp_trunc(field_at(&memo, &args[0], r), arg_i(&args[1], r), &out->i[r]);
		if (!zone_is_utc(call, args, r))
			func_fail(ev, out, r, ERR_BAD_VALUE, "the only time zone is UTC");
		else if (e == ERR_BAD_VALUE)
			bad_field(ev, out, r, memo.name, args[1].type.id);
		else if (e != ERR_OK)
			out_of_range(ev, out, r);
	}
}

BODY(interval_trunc)
{
	(void)call;
	struct field_memo memo = {{NULL, 0}, FIELD_NONE};
	EACH_ROW (ev, out, r)
		if (interval_trunc(
		        field_at(&memo, &args[0], r), arg_iv(&args[1], r), &out->iv[r]) != ERR_OK)
			bad_field(ev, out, r, memo.name, TYPE_INTERVAL);
}

/* date_part('epoch', interval): summed in floating point, in this order. */
static double interval_seconds(struct interval iv)
{
	double s = (double)iv.us / 1e6;
	int years = iv.months / 12;
	s += 365.25 * 86400 * years;
	s += 30.0 * 86400 * (iv.months % 12);
	return s + 86400.0 * iv.days;
}

static void extract(struct eval *ev, const struct vec *args, struct vec *out)
{
	struct field_memo memo = {{NULL, 0}, FIELD_NONE};
	bool as_float = out->type.id == TYPE_FLOAT8, interval = args[1].type.id == TYPE_INTERVAL;
	EACH_ROW (ev, out, r) {
		struct numeric n = {0, 0};
		bool null = false;
		enum time_field field = field_at(&memo, &args[0], r);
		enum err e = interval ? interval_extract(field, arg_iv(&args[1], r), &n)
		                      : timestamp_extract(
		                            field, args[1].type.id, arg_i(&args[1], r), &n, &null);
		if (e == ERR_BAD_VALUE)
			bad_field(ev, out, r, memo.name, args[1].type.id);
		else if (as_float && field == FIELD_EPOCH && interval)
			out->f[r] = interval_seconds(arg_iv(&args[1], r));
		else if (e != ERR_OK && as_float)
			out->f[r] = arg_i(&args[1], r) < 0 ? -INFINITY : INFINITY;
		else if (e != ERR_OK)
			func_fail(ev, out, r, e, "infinity has no numeric value");
		else if (null)
			func_null(ev, out, r);
		else if (as_float)
			out->f[r] = numeric_to_double(n);
		else
			out->num[r] = n;
	}
}

#define EXTRACT(name)                                                                              \
	BODY(name)                                                                                 \
	{                                                                                          \
		(void)call;                                                                        \
		extract(ev, args, out);                                                            \
	}
EXTRACT(time_extract)
EXTRACT(time_part)
EXTRACT(interval_extract)
EXTRACT(interval_part)

/* ---- intervals ------------------------------------------------------------------------------- */

BODY(interval_add)
{
	(void)call;
	EACH_ROW (ev, out, r)
		if (interval_add(arg_iv(&args[0], r), arg_iv(&args[1], r), &out->iv[r]) != ERR_OK)
			out_of_range(ev, out, r);
}

BODY(interval_sub)
{
	(void)call;
	EACH_ROW (ev, out, r) {
		struct interval minus;
		if (interval_negate(arg_iv(&args[1], r), &minus) != ERR_OK ||
		    interval_add(arg_iv(&args[0], r), minus, &out->iv[r]) != ERR_OK)
			out_of_range(ev, out, r);
	}
}

#define INTERVAL_UNARY(name, function)                                                             \
	BODY(name)                                                                                 \
	{                                                                                          \
		(void)call;                                                                        \
		EACH_ROW (ev, out, r)                                                              \
			if (function(arg_iv(&args[0], r), &out->iv[r]) != ERR_OK)                  \
				out_of_range(ev, out, r);                                          \
	}
INTERVAL_UNARY(interval_neg, interval_negate)
INTERVAL_UNARY(justify_hours, interval_justify_hours)
INTERVAL_UNARY(justify_days, interval_justify_days)
INTERVAL_UNARY(justify_interval, interval_justify)

static void scale(struct eval *ev, const struct vec *intervals, const struct vec *factors,
    struct vec *out, bool divide)
{
	EACH_ROW (ev, out, r) {
		struct interval iv = arg_iv(intervals, r);
		double f = arg_f(factors, r);
		enum err e =
		    divide ? interval_div(iv, f, &out->iv[r]) : interval_mul(iv, f, &out->iv[r]);
		if (e == ERR_DIVISION_BY_ZERO)
			func_fail(ev, out, r, e, "division by zero");
		else if (e != ERR_OK)
			out_of_range(ev, out, r);
	}
}

BODY(interval_mul)
{
	(void)call;
	scale(ev, &args[0], &args[1], out, false);
}

BODY(mul_interval)
{
	(void)call;
	scale(ev, &args[1], &args[0], out, false);
}

BODY(interval_div)
{
	(void)call;
	scale(ev, &args[0], &args[1], out, true);
}

/* ---- making timestamps ----------------------------------------------------------------------- */

/* Seconds since 1970. PostgreSQL moves to its own epoch before it scales and rounds, and the last
 * digit depends on that. */
#define PG_EPOCH_SECONDS ((int64_t)946684800)

BODY(to_timestamp)
{
	(void)call;
	EACH_ROW (ev, out, r) {
		double s = arg_f(&args[0], r), us = rint((s - (double)PG_EPOCH_SECONDS) * 1e6);
		if (isinf(s))
			out->i[r] = s < 0 ? TIME_NEG_INFINITY : TIME_POS_INFINITY;
		else if (!(us >= -0x1p62 && us < 0x1p63) ||
		         __builtin_add_overflow(
		             (int64_t)us, PG_EPOCH_SECONDS * US_PER_SECOND, &out->i[r]) ||
		         !timestamp_in_range(out->i[r]))
			func_fail(
			    ev, out, r, ERR_NUMERIC_OVERFLOW, "timestamp out of range: %g", s);
	}
}

/* Negative years are BC; there is no year 0. */
static bool make_day(const struct vec *args, uint32_t row, int64_t *ret_days)
{
	int64_t year = arg_i(&args[0], row), month = arg_i(&args[1], row),
	        day = arg_i(&args[2], row);
	if (year == 0 || month < 1 || month > 12)
		return false;
	year += year < 0;
	if (day < 1 || day > days_in_month(year, (int)month))
		return false;
	*ret_days = days_from_civil(year, (int)month, (int)day);
	return *ret_days >= DATE_MIN && *ret_days < DATE_END;
}

BODY(make_date)
{
	(void)call;
	EACH_ROW (ev, out, r)
		if (!make_day(args, r, &out->i[r]))
			func_fail(ev, out, r, ERR_BAD_VALUE, "date field value out of range");
}

BODY(make_timestamp)
{
	(void)call;
	EACH_ROW (ev, out, r) {
		int64_t days = 0, hour = arg_i(&args[3], r), minute = arg_i(&args[4], r);
		double second = arg_f(&args[5], r);
		bool ok = make_day(args, r, &days) && hour >= 0 && minute >= 0 && minute < 60 &&
		          second >= 0 && second <= 60;
		ok = ok && (hour < 24 || (hour == 24 && minute == 0 && second == 0));
		int128 us = (int128)days * US_PER_DAY + hour * US_PER_HOUR + minute * US_PER_MINUTE;
		us += ok ? (int64_t)rint(second * 1e6) : 0;
		if (!ok || us < TIMESTAMP_MIN || us >= TIMESTAMP_END)
			func_fail(ev, out, r, ERR_BAD_VALUE, "timestamp field value out of range");
		else
			out->i[r] = (int64_t)us;
	}
}
