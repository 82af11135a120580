/* SPDX-License-Identifier: Apache-2.0 */
/* Which aggregates there are, and their result types: PostgreSQL's. */
#include "processor/op/expr.h"

bool agg_by_name(struct str name, enum agg_kind *ret_kind)
{
	static const struct {
		const char *name;
		enum agg_kind kind;
	} names[] = {{"count", AGG_COUNT}, {"sum", AGG_SUM}, {"avg", AGG_AVG}, {"min", AGG_MIN},
	    {"max", AGG_MAX}, {"bool_and", AGG_BOOL_AND}, {"every", AGG_BOOL_AND},
	    {"bool_or", AGG_BOOL_OR}};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (str_equal(name, str_of(names[i].name))) {
			*ret_kind = names[i].kind;
			return true;
		}
	return false;
}

static enum type_id sum_type(enum type_id arg)
{
	switch ((int)arg) {
	case TYPE_INT2:
	case TYPE_INT4:
		return TYPE_INT8;
	case TYPE_INT8:
	case TYPE_NUMERIC:
		return TYPE_NUMERIC;
	case TYPE_FLOAT4:
	case TYPE_FLOAT8:
	case TYPE_INTERVAL:
		return arg;
	default:
		return TYPE_UNKNOWN;
	}
}

static enum type_id avg_type(enum type_id arg)
{
	switch ((int)arg) {
	case TYPE_INT2:
	case TYPE_INT4:
	case TYPE_INT8:
	case TYPE_NUMERIC:
		return TYPE_NUMERIC;
	case TYPE_FLOAT4:
	case TYPE_FLOAT8:
		return TYPE_FLOAT8;
	case TYPE_INTERVAL:
		return arg;
	default:
		return TYPE_UNKNOWN;
	}
}

static bool has_extremes(enum type_id arg)
{
	return arg != TYPE_BOOL && arg != TYPE_BYTEA && arg != TYPE_UUID && arg != TYPE_JSONB &&
	       arg != TYPE_UNKNOWN;
}

bool agg_result_type(enum agg_kind kind, struct type arg, struct type *ret_type)
{
	struct type result = {TYPE_INT8, 0, 0};
	switch (kind) {
	case AGG_COUNT_STAR:
	case AGG_COUNT:
		break;
	case AGG_SUM:
		result.id = sum_type(arg.id);
		break;
	case AGG_AVG:
		result.id = avg_type(arg.id);
		break;
	case AGG_MIN:
	case AGG_MAX:
		result = arg;
		result.id = has_extremes(arg.id) ? arg.id : TYPE_UNKNOWN;
		break;
	case AGG_BOOL_AND:
	case AGG_BOOL_OR:
		result.id = arg.id == TYPE_BOOL ? TYPE_BOOL : TYPE_UNKNOWN;
		break;
	}
	if (result.id == TYPE_UNKNOWN)
		return false;
	*ret_type = result;
	return true;
}
