/* SPDX-License-Identifier: Apache-2.0 */
/* Casts. Between a type and text they are the type's input and output functions; a boolean casts to
 * 'true' and 'false'. */
#include "processor/op/datetime.h"
#include "processor/op/func_list.h"
#include "processor/op/json_text.h"
#include "processor/op/numeric.h"

#include <math.h>

static void out_of_range(struct eval *ev, struct vec *out, uint32_t row)
{
	func_fail(ev, out, row, ERR_NUMERIC_OVERFLOW, "%s out of range", type_name(out->type.id));
}

static void int_range(enum type_id type, int64_t *min, int64_t *max)
{
	*min = type == TYPE_INT2 ? INT16_MIN : type == TYPE_INT4 ? INT32_MIN : INT64_MIN;
	*max = type == TYPE_INT2 ? INT16_MAX : type == TYPE_INT4 ? INT32_MAX : INT64_MAX;
}

/* ---- numbers --------------------------------------------------------------------------------- */

void func_int_to_int(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	int64_t min, max;
	int_range(call->type.id, &min, &max);
	EACH_ROW (ev, out, r) {
		out->i[r] = arg_i(&args[0], r);
		if (out->i[r] < min || out->i[r] > max)
			out_of_range(ev, out, r);
	}
}

void func_int_to_float4(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	(void)call;
	EACH_ROW (ev, out, r)
		out->f[r] = (double)(float)arg_i(&args[0], r);
}

void func_int_to_float8(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	(void)call;
	EACH_ROW (ev, out, r)
		out->f[r] = (double)arg_i(&args[0], r);
}

void func_int_to_numeric(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	(void)call;
	EACH_ROW (ev, out, r)
		out->num[r] = numeric_of_i64(arg_i(&args[0], r));
}

void func_float_to_int(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	int64_t min, max;
	int_range(call->type.id, &min, &max);
	/* -2^63 and 2^63 are exact; min - 0.5 and such are decided after rounding half to even */
	EACH_ROW (ev, out, r) {
		double v = rint(arg_f(&args[0], r));
		if (!(v >= -0x1p63 && v < 0x1p63) || (int64_t)v < min || (int64_t)v > max)
			out_of_range(ev, out, r);
		else
			out->i[r] = (int64_t)v;
	}
}

void func_float8_to_float4(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	(void)call;
	EACH_ROW (ev, out, r) {
		double v = arg_f(&args[0], r);
		float f = (float)v;
		if ((isinf(f) && !isinf(v)) || (f == 0 && v != 0))
			func_fail(ev, out, r, ERR_NUMERIC_OVERFLOW, "value out of range: %s",
			    f == 0 ? "underflow" : "overflow");
		else
			out->f[r] = (double)f;
	}
}

void func_float_to_numeric(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	EACH_ROW (ev, out, r) {
		enum err e = numeric_of_double(
		    arg_f(&args[0], r), args[0].type.id == TYPE_FLOAT4, &out->num[r]);
		if (e == ERR_OK)
			e = numeric_apply_typmod(out->num[r], call->type, &out->num[r]);
		if (e != ERR_OK)
			func_fail_code(ev, out, r, e);
	}
}

void func_numeric_to_int(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	int64_t min, max;
	int_range(call->type.id, &min, &max);
	EACH_ROW (ev, out, r)
		if (numeric_to_i64(arg_num(&args[0], r), min, max, &out->i[r]) != ERR_OK)
			out_of_range(ev, out, r);
}

void func_numeric_to_float8(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	(void)call;
	EACH_ROW (ev, out, r)
		out->f[r] = numeric_to_double(arg_num(&args[0], r));
}

void func_numeric_to_float4(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	(void)call;
	/* through text, so that it is rounded once; 38 digits are below the largest float, tiny
	 * ones become an error as there */
	EACH_ROW (ev, out, r) {
		struct writer w;
		struct datum d;
		writer_init(&w, KIB);
		numeric_to_text(&w, arg_num(&args[0], r));
		enum err e = datum_from_text(
		    ev->arena, (struct type){.id = TYPE_FLOAT4}, bytes_str(writer_bytes(&w)), &d);
		if (w.err != ERR_OK)
			ev->fatal = w.err;
		writer_release(&w);
		if (e != ERR_OK)
			func_fail_code(ev, out, r, e);
		else
			out->f[r] = d.f;
	}
}

void func_numeric_typmod(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	EACH_ROW (ev, out, r)
		if (numeric_apply_typmod(arg_num(&args[0], r), call->type, &out->num[r]) != ERR_OK)
			func_fail(ev, out, r, ERR_NUMERIC_OVERFLOW,
			    "numeric field overflow: precision %d, scale %d", call->type.precision,
			    call->type.scale);
}

void func_bool_to_int(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	(void)call;
	EACH_ROW (ev, out, r)
		out->i[r] = args[0].b[vec_row(&args[0], r)];
}

void func_int_to_bool(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	(void)call;
	EACH_ROW (ev, out, r)
		out->b[r] = arg_i(&args[0], r) != 0;
}

/* ---- dates ----------------------------------------------------------------------------------- */

void func_date_to_time(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	(void)call;
	EACH_ROW (ev, out, r) {
		int64_t days = arg_i(&args[0], r);
		if (time_is_infinite(days))
			out->i[r] = days;
		else if (__builtin_mul_overflow(days, US_PER_DAY, &out->i[r]) ||
		         !timestamp_in_range(out->i[r]))
			out_of_range(ev, out, r);
	}
}

void func_time_to_date(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	(void)call;
	EACH_ROW (ev, out, r) {
		int64_t us = arg_i(&args[0], r);
		out->i[r] = time_is_infinite(us) ? us : floor_div(us, US_PER_DAY);
	}
}

/* ---- text ------------------------------------------------------------------------------------ */

void func_any_to_text(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	struct writer w;
	writer_init(&w, FUNC_TEXT_MAX);
	EACH_ROW (ev, out, r) {
		struct datum d = vec_get(&args[0], r);
		if (args[0].type.id == TYPE_BOOL)
			write_cstr(&w, d.b ? "true" : "false");
		else
			datum_to_text(&w, args[0].type.id, d);
		out->s[r] = func_take(ev, out, r, &w);
	}
	writer_release(&w);
	if (call->type.precision > 0 && ev->fatal == ERR_OK)
		func_text_typmod(ev, call, out, out);
}

/* CAST(x AS varchar(n)) cuts; storing into a column checks (datum_from_text). */
void func_text_typmod(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	EACH_ROW (ev, out, r) {
		struct str s = arg_s(&args[0], r);
		size_t chars = 0, i = 0;
		for (; call->type.precision > 0 && i < s.len; i++)
			if (((unsigned char)s.ptr[i] & 0xc0) != 0x80 &&
			    chars++ == (size_t)call->type.precision)
				break;
		out->s[r] = call->type.precision > 0 ? str_from(s.ptr, i) : s;
	}
}

static void read_failed(struct eval *ev, struct vec *out, uint32_t row, enum err e, struct str text)
{
	if (e == ERR_NOMEM)
		ev->fatal = e;
	else if (e == ERR_NUMERIC_OVERFLOW)
		func_fail(ev, out, row, e, "\"%.*s\" is out of range for type %s",
		    (int)(text.len > 60 ? 60 : text.len), text.ptr, type_name(out->type.id));
	else
		func_fail(ev, out, row, e, "invalid input syntax for type %s: \"%.*s\"",
		    type_name(out->type.id), (int)(text.len > 60 ? 60 : text.len), text.ptr);
}

void func_text_to_any(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	EACH_ROW (ev, out, r) {
		struct datum d;
		enum err e = datum_from_text(ev->arena, call->type, arg_s(&args[0], r), &d);
		if (e == ERR_OK)
			vec_set(out, r, d);
		else
			read_failed(ev, out, r, e, arg_s(&args[0], r));
	}
}

void func_json_to_text(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	(void)ev;
	(void)call;
	EACH_ROW (ev, out, r)
		out->s[r] = arg_s(&args[0], r);
}

/* Only a JSON boolean casts to boolean, only a number to a number; integers round as numeric does.
 */
void func_json_to_scalar(
    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	struct type numeric = {.id = TYPE_NUMERIC}, target = call->type;
	bool is_int = target.id == TYPE_INT2 || target.id == TYPE_INT4 || target.id == TYPE_INT8;
	int64_t min, max;
	int_range(target.id, &min, &max);
	EACH_ROW (ev, out, r) {
		struct str s = arg_s(&args[0], r);
		enum json_text_kind kind = json_text_kind(s), want = target.id == TYPE_BOOL
		                                                         ? JSON_TEXT_BOOL
		                                                         : JSON_TEXT_NUMBER;
		struct datum d = {.null = false};
		if (kind != want) {
			func_fail(ev, out, r, ERR_BAD_VALUE,
			    "cannot cast this jsonb value to type %s", type_name(target.id));
			continue;
		}
		enum err e = datum_from_text(ev->arena, is_int ? numeric : target, s, &d);
		if (e == ERR_OK && is_int)
			e = numeric_to_i64(d.num, min, max, &d.i);
		if (e == ERR_OK)
			vec_set(out, r, d);
		else
			read_failed(ev, out, r, e, s);
	}
}
