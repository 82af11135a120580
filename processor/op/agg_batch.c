/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Aggregates over many rows at once. First a look whether anything could overflow: the largest
 * value times the rows, against what each touched group has left; only if so do rows go one at a
 * time. Then one tight loop per aggregate.
 */
#include "processor/op/agg_slot.h"
#include "processor/op/state_table.h"

#include <float.h>
#include <math.h>

#define EACH(rows, r) for (uint32_t r = (rows)->from; r < (rows)->end; r++)

static inline void *at(const struct agg_slot *s, const struct slot_rows *rows, uint32_t r)
{
	return (uint8_t *)entry_state(rows->entries[r]) + s->offset;
}
static inline bool in_use(const struct slot_rows *rows, uint32_t r)
{
	return !rows->use || rows->use[r];
}
static inline int32_t weight_at(const struct slot_rows *rows, uint32_t r)
{
	return rows->weight ? rows->weight[r] : 1;
}

/* ---- can nothing overflow? ------------------------------------------------------------------- */

static bool safe_int(const struct agg_slot *s, const struct slot_rows *rows)
{
	size_t step = !rows->v->constant;
	uint64_t largest = 0;
	EACH (rows, r) {
		int64_t x = in_use(rows, r) ? rows->v->i[r * step] : 0;
		uint64_t size = x < 0 ? -(uint64_t)x : (uint64_t)x;
		largest = size > largest ? size : largest;
	}
	int128 left = (int128)INT64_MAX - (int128)largest * (rows->end - rows->from);
	bool safe = true;
	EACH (rows, r) {
		int128 sum = ((const struct slot_sum_int *)at(s, rows, r))->sum;
		safe &= sum <= left && -sum <= left;
	}
	return safe;
}

/* All at one scale, which is also each group's unless the group is new. */
static bool safe_numeric(const struct agg_slot *s, const struct slot_rows *rows)
{
	size_t step = !rows->v->constant;
	int128 largest = 0, limit = (int128)numeric_pow10(NUMERIC_DIGITS_MAX);
	int32_t scale = -1;
	EACH (rows, r) {
		if (!in_use(rows, r))
			continue;
		struct numeric n = rows->v->num[r * step];
		int128 size = n.mantissa < 0 ? -n.mantissa : n.mantissa;
		largest = size > largest ? size : largest;
		if (scale >= 0 && n.scale != scale)
			return false;
		scale = n.scale;
	}
	if (s->tracks_scales || largest >= limit / (2 * BATCH_ROWS_MAX))
		return false;
	EACH (rows, r) {
		const struct slot_sum_numeric *state = at(s, rows, r);
		int128 size = state->sum < 0 ? -state->sum : state->sum;
		if (size >= limit / 2 || (state->n > 0 && state->scale != scale && scale >= 0))
			return false;
	}
	return true;
}

static bool safe_float(const struct agg_slot *s, const struct slot_rows *rows)
{
	double limit =
	    (s->agg->type.id == TYPE_FLOAT4 ? (double)FLT_MAX : DBL_MAX) / (2 * BATCH_ROWS_MAX + 2);
	EACH (rows, r) {
		double x = in_use(rows, r) ? rows->v->f[vec_row(rows->v, r)] : 0;
		double sum = ((const struct slot_sum_float *)at(s, rows, r))->sum;
		if (!(fabs(x) < limit) || !(fabs(sum) < limit))
			return false;
	}
	return true;
}

bool agg_slot_safe(const struct agg_slot *s, const struct slot_rows *rows)
{
	if (!s->can_fail)
		return true;
	if (s->kind == SLOT_SUM_INT)
		return safe_int(s, rows);
	if (s->kind == SLOT_SUM_NUMERIC)
		return safe_numeric(s, rows);
	return s->kind == SLOT_SUM_FLOAT && safe_float(s, rows);
}

/* ---- adding ---------------------------------------------------------------------------------- */

static void add_counts(const struct agg_slot *s, const struct slot_rows *rows)
{
	EACH (rows, r)
		((struct slot_count *)at(s, rows, r))->n +=
		    in_use(rows, r) ? weight_at(rows, r) : 0;
}

static void add_ints(const struct agg_slot *s, const struct slot_rows *rows)
{
	size_t step = !rows->v->constant;
	EACH (rows, r) {
		if (!in_use(rows, r))
			continue;
		struct slot_sum_int *state = at(s, rows, r);
		int32_t w = weight_at(rows, r);
		state->sum += (int128)rows->v->i[r * step] * w;
		state->n += w;
	}
}

static void add_numerics(const struct agg_slot *s, const struct slot_rows *rows)
{
	size_t step = !rows->v->constant;
	EACH (rows, r) {
		if (!in_use(rows, r))
			continue;
		struct slot_sum_numeric *state = at(s, rows, r);
		const struct numeric *n = &rows->v->num[r * step];
		int32_t w = weight_at(rows, r);
		state->sum += w < 0 ? -n->mantissa : n->mantissa;
		state->n += w;
		state->scale = state->n == 0 ? 0 : n->scale;
	}
}

static void add_floats(const struct agg_slot *s, const struct slot_rows *rows)
{
	bool as_float = s->agg->type.id == TYPE_FLOAT4;
	EACH (rows, r) {
		if (!in_use(rows, r))
			continue;
		struct slot_sum_float *state = at(s, rows, r);
		double x = rows->v->f[vec_row(rows->v, r)],
		       sum = state->n == 0 ? x : state->sum + x;
		state->sum = as_float ? (double)(float)sum : sum;
		state->n++;
	}
}

static void add_extremes(const struct agg_slot *s, const struct slot_rows *rows)
{
	size_t step = !rows->v->constant;
	bool max = s->agg->kind == AGG_MAX;
	EACH (rows, r) {
		if (!in_use(rows, r))
			continue;
		struct slot_extreme_int *state = at(s, rows, r);
		int64_t x = rows->v->i[r * step];
		bool better = max ? x > state->value : x < state->value;
		if (better || !state->has)
			state->value = x;
		state->has = 1;
	}
}

bool agg_slot_add_rows(const struct agg_slot *s, const struct slot_rows *rows)
{
	if (s->keeps_bag || s->tracks_scales)
		return false;
	switch (s->kind) {
	case SLOT_COUNT:
		add_counts(s, rows);
		return true;
	case SLOT_SUM_INT:
		add_ints(s, rows);
		return true;
	case SLOT_SUM_NUMERIC:
		add_numerics(s, rows);
		return true;
	case SLOT_SUM_FLOAT:
		add_floats(s, rows);
		return true;
	case SLOT_EXTREME_INT:
		add_extremes(s, rows);
		return true;
	case SLOT_SUM_INTERVAL:
	case SLOT_EXTREME:
	case SLOT_BOOL:
		break;
	}
	return false;
}
