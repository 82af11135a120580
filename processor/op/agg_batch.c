/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Aggregates over whole batches. First a look whether anything could overflow: the largest value of
 * the batch times its rows, against what each touched group has left; only if so do rows go one at
 * a time. Then one tight loop per aggregate.
 */
#include "processor/op/agg_slot.h"
#include "processor/op/state_table.h"

#include <float.h>
#include <math.h>

static inline void *at(const struct agg_slot *s, struct entry *e)
{
	return (uint8_t *)entry_state(e) + s->offset;
}
static inline bool in_use(const uint8_t *use, uint32_t row)
{
	return !use || use[row];
}
static inline int32_t weight_at(const int32_t *weight, uint32_t row)
{
	return weight ? weight[row] : 1;
}

/* ---- can nothing overflow? ------------------------------------------------------- */

static bool safe_int(const struct agg_slot *s, struct entry **entries, const struct vec *v,
    const uint8_t *use, uint32_t count)
{
	size_t step = !v->constant;
	uint64_t largest = 0;
	for (uint32_t r = 0; r < count; r++) {
		int64_t x = in_use(use, r) ? v->i[r * step] : 0;
		uint64_t size = x < 0 ? -(uint64_t)x : (uint64_t)x;
		largest = size > largest ? size : largest;
	}
	int128 left = (int128)INT64_MAX - (int128)largest * count;
	for (uint32_t r = 0; r < count; r++) {
		int128 sum = ((struct slot_sum_int *)at(s, entries[r]))->sum;
		if (sum > left || -sum > left)
			return false;
	}
	return true;
}

/* All of the batch at one scale, which is also each group's unless the group is new. */
static bool safe_numeric(const struct agg_slot *s, struct entry **entries, const struct vec *v,
    const uint8_t *use, uint32_t count)
{
	size_t step = !v->constant;
	int128 largest = 0, limit = (int128)numeric_pow10(NUMERIC_DIGITS_MAX);
	int32_t scale = -1;
	for (uint32_t r = 0; r < count; r++) {
		if (!in_use(use, r))
			continue;
		struct numeric n = v->num[r * step];
		int128 size = n.mantissa < 0 ? -n.mantissa : n.mantissa;
		largest = size > largest ? size : largest;
		if (scale >= 0 && n.scale != scale)
			return false;
		scale = n.scale;
	}
	if (s->tracks_scales || largest >= limit / (2 * BATCH_ROWS_MAX))
		return false;
	for (uint32_t r = 0; r < count; r++) {
		const struct slot_sum_numeric *state = at(s, entries[r]);
		int128 size = state->sum < 0 ? -state->sum : state->sum;
		if (size >= limit / 2 || (state->n > 0 && state->scale != scale && scale >= 0))
			return false;
	}
	return true;
}

static bool safe_float(const struct agg_slot *s, struct entry **entries, const struct vec *v,
    const uint8_t *use, uint32_t count)
{
	double limit =
	    (s->agg->type.id == TYPE_FLOAT4 ? (double)FLT_MAX : DBL_MAX) / (2 * BATCH_ROWS_MAX + 2);
	for (uint32_t r = 0; r < count; r++) {
		double x = in_use(use, r) ? v->f[vec_row(v, r)] : 0;
		if (!(fabs(x) < limit) ||
		    !(fabs(((struct slot_sum_float *)at(s, entries[r]))->sum) < limit))
			return false;
	}
	return true;
}

bool agg_slot_safe(const struct agg_slot *s, struct entry **entries, const struct vec *v,
    const uint8_t *use, const int32_t *weight, uint32_t count)
{
	(void)weight; /* +-1: the bound holds for both */
	if (!s->can_fail)
		return true;
	if (s->kind == SLOT_SUM_INT)
		return safe_int(s, entries, v, use, count);
	if (s->kind == SLOT_SUM_NUMERIC)
		return safe_numeric(s, entries, v, use, count);
	return s->kind == SLOT_SUM_FLOAT && safe_float(s, entries, v, use, count);
}

/* ---- adding ---------------------------------------------------------------------- */

static void add_counts(const struct agg_slot *s, struct entry **entries, const uint8_t *use,
    const int32_t *weight, uint32_t count)
{
	for (uint32_t r = 0; r < count; r++)
		((struct slot_count *)at(s, entries[r]))->n +=
		    in_use(use, r) ? weight_at(weight, r) : 0;
}

static void add_ints(const struct agg_slot *s, struct entry **entries, const struct vec *v,
    const uint8_t *use, const int32_t *weight, uint32_t count)
{
	size_t step = !v->constant;
	for (uint32_t r = 0; r < count; r++) {
		if (!in_use(use, r))
			continue;
		struct slot_sum_int *state = at(s, entries[r]);
		int32_t w = weight_at(weight, r);
		state->sum += (int128)v->i[r * step] * w;
		state->n += w;
	}
}

static void add_numerics(const struct agg_slot *s, struct entry **entries, const struct vec *v,
    const uint8_t *use, const int32_t *weight, uint32_t count)
{
	size_t step = !v->constant;
	for (uint32_t r = 0; r < count; r++) {
		if (!in_use(use, r))
			continue;
		struct slot_sum_numeric *state = at(s, entries[r]);
		const struct numeric *n = &v->num[r * step];
		int32_t w = weight_at(weight, r);
		state->sum += w < 0 ? -n->mantissa : n->mantissa;
		state->n += w;
		state->scale = state->n == 0 ? 0 : n->scale;
	}
}

static void add_floats(const struct agg_slot *s, struct entry **entries, const struct vec *v,
    const uint8_t *use, uint32_t count)
{
	bool as_float = s->agg->type.id == TYPE_FLOAT4;
	for (uint32_t r = 0; r < count; r++) {
		if (!in_use(use, r))
			continue;
		struct slot_sum_float *state = at(s, entries[r]);
		double x = v->f[vec_row(v, r)], sum = state->n == 0 ? x : state->sum + x;
		state->sum = as_float ? (double)(float)sum : sum;
		state->n++;
	}
}

static void add_extremes(const struct agg_slot *s, struct entry **entries, const struct vec *v,
    const uint8_t *use, uint32_t count)
{
	size_t step = !v->constant;
	bool max = s->agg->kind == AGG_MAX;
	for (uint32_t r = 0; r < count; r++) {
		if (!in_use(use, r))
			continue;
		struct slot_extreme_int *state = at(s, entries[r]);
		int64_t x = v->i[r * step];
		bool better = max ? x > state->value : x < state->value;
		if (better || !state->has)
			state->value = x;
		state->has = 1;
	}
}

bool agg_slot_add_batch(const struct agg_slot *s, struct entry **entries, const struct vec *v,
    const uint8_t *use, const int32_t *weight, uint32_t count)
{
	switch (s->kind) {
	case SLOT_COUNT:
		add_counts(s, entries, use, weight, count);
		return true;
	case SLOT_SUM_INT:
		add_ints(s, entries, v, use, weight, count);
		return true;
	case SLOT_SUM_NUMERIC:
		if (s->tracks_scales)
			return false;
		add_numerics(s, entries, v, use, weight, count);
		return true;
	case SLOT_SUM_FLOAT:
		add_floats(s, entries, v, use, count);
		return true;
	case SLOT_EXTREME_INT:
		if (s->keeps_bag)
			return false;
		add_extremes(s, entries, v, use, count);
		return true;
	case SLOT_SUM_INTERVAL:
	case SLOT_EXTREME:
	case SLOT_BOOL:
		break;
	}
	return false;
}
