/* SPDX-License-Identifier: Apache-2.0 */
/* Comparison operators, one loop per representation. Those over fixed-width values compute every
 * row, active or not: it cannot fail and the compiler may vectorise it. */
#include "processor/op/datetime.h"
#include "processor/op/func_list.h"
#include "processor/op/numeric.h"

/* Values at data[row], or at data[0] throughout when constant. */
#define FIXED_COMPARE(name, ctype, member, op)                                                     \
	void func_##name(                                                                          \
	    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)     \
	{                                                                                          \
		(void)call;                                                                        \
		const ctype *a = args[0].member, *b = args[1].member;                              \
		uint8_t *to = out->b;                                                              \
		if (args[1].constant) {                                                            \
			ctype k = b[0];                                                            \
			for (uint32_t r = 0; r < ev->count; r++)                                   \
				to[r] = a[r] op k;                                                 \
		} else if (args[0].constant) {                                                     \
			ctype k = a[0];                                                            \
			for (uint32_t r = 0; r < ev->count; r++)                                   \
				to[r] = k op b[r];                                                 \
		} else {                                                                           \
			for (uint32_t r = 0; r < ev->count; r++)                                   \
				to[r] = a[r] op b[r];                                              \
		}                                                                                  \
	}

FIXED_COMPARE(i64_eq, int64_t, i, ==)
FIXED_COMPARE(i64_ne, int64_t, i, !=)
FIXED_COMPARE(i64_lt, int64_t, i, <)
FIXED_COMPARE(i64_le, int64_t, i, <=)
FIXED_COMPARE(i64_gt, int64_t, i, >)
FIXED_COMPARE(i64_ge, int64_t, i, >=)
FIXED_COMPARE(bool_eq, uint8_t, b, ==)
FIXED_COMPARE(bool_ne, uint8_t, b, !=)
FIXED_COMPARE(bool_lt, uint8_t, b, <)
FIXED_COMPARE(bool_le, uint8_t, b, <=)
FIXED_COMPARE(bool_gt, uint8_t, b, >)
FIXED_COMPARE(bool_ge, uint8_t, b, >=)

/* The order in which NaN is the greatest and equal to itself. */
static int float_order(double a, double b)
{
	if (a < b)
		return -1;
	if (a > b)
		return 1;
	if (a == b)
		return 0;
	return (a != a) - (b != b);
}

static int text_order(struct str a, struct str b)
{
	return bytes_compare(str_bytes(a), str_bytes(b));
}

#define ROW_COMPARE(name, order, arg, op)                                                          \
	void func_##name(                                                                          \
	    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)     \
	{                                                                                          \
		(void)call;                                                                        \
		EACH_ROW (ev, out, r)                                                              \
			out->b[r] = order(arg(&args[0], r), arg(&args[1], r)) op 0;                \
	}
#define ROW_COMPARES(name, order, arg)                                                             \
	ROW_COMPARE(name##_eq, order, arg, ==)                                                     \
	ROW_COMPARE(name##_ne, order, arg, !=)                                                     \
	ROW_COMPARE(name##_lt, order, arg, <)                                                      \
	ROW_COMPARE(name##_le, order, arg, <=)                                                     \
	ROW_COMPARE(name##_gt, order, arg, >)                                                      \
	ROW_COMPARE(name##_ge, order, arg, >=)

static const uint8_t *arg_uuid(const struct vec *v, uint32_t row)
{
	return v->uuid[vec_row(v, row)];
}
static int uuid_order(const uint8_t *a, const uint8_t *b)
{
	return memcmp(a, b, 16);
}

ROW_COMPARES(f64, float_order, arg_f)
ROW_COMPARES(numeric, numeric_compare, arg_num)
ROW_COMPARES(interval, interval_compare, arg_iv)
ROW_COMPARES(uuid, uuid_order, arg_uuid)
ROW_COMPARE(text_lt, text_order, arg_s, <)
ROW_COMPARE(text_le, text_order, arg_s, <=)
ROW_COMPARE(text_gt, text_order, arg_s, >)
ROW_COMPARE(text_ge, text_order, arg_s, >=)

/* Equality needs no order: lengths differ most often. */
static void text_equality(struct eval *ev, const struct vec *args, struct vec *out, bool equal)
{
	EACH_ROW (ev, out, r)
		out->b[r] = str_equal(arg_s(&args[0], r), arg_s(&args[1], r)) == equal;
}

void func_text_eq(struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	(void)call;
	text_equality(ev, args, out, true);
}

void func_text_ne(struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out)
{
	(void)call;
	text_equality(ev, args, out, false);
}
