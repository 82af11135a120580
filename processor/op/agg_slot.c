/* SPDX-License-Identifier: Apache-2.0 */
#include "processor/op/agg_slot.h"

#include <math.h>

static bool is_integer(enum type_id t)
{
	return t == TYPE_INT2 || t == TYPE_INT4 || t == TYPE_INT8;
}
static bool is_int64(enum type_id t)
{
	return is_integer(t) || t == TYPE_DATE || t == TYPE_TIMESTAMP || t == TYPE_TIMESTAMPTZ;
}
static bool is_float(enum type_id t)
{
	return t == TYPE_FLOAT4 || t == TYPE_FLOAT8;
}
static bool is_slice(enum type_id t)
{
	return t == TYPE_TEXT || t == TYPE_BYTEA || t == TYPE_JSONB;
}

/* ---- which kind ------------------------------------------------------------------------------ */

static enum err init_sum(struct agg_slot *s, const struct agg *agg)
{
	struct type arg = agg->arg->type;
	if (is_integer(arg.id)) {
		s->kind = SLOT_SUM_INT;
		s->can_fail = agg->type.id == TYPE_INT8;
	} else if (arg.id == TYPE_NUMERIC) {
		s->kind = SLOT_SUM_NUMERIC;
		s->can_fail = true;
		s->tracks_scales = s->retracts && arg.precision == 0;
	} else if (is_float(arg.id)) {
		if (s->retracts)
			return err_note(ERR_SQL_UNSUPPORTED,
			    "sum and avg of real or double precision over input that retracts are "
			    "not exact: cast to numeric");
		s->kind = SLOT_SUM_FLOAT;
		s->can_fail = true;
	} else {
		ASSERT(arg.id == TYPE_INTERVAL);
		s->kind = SLOT_SUM_INTERVAL;
		s->can_fail = true;
	}
	return ERR_OK;
}

enum err agg_slot_init(struct agg_slot *s, const struct agg *agg, bool retracts)
{
	*s = (struct agg_slot){
	    .agg = agg, .arg = agg->arg ? agg->arg->type.id : TYPE_UNKNOWN, .retracts = retracts};
	switch (agg->kind) {
	case AGG_COUNT_STAR:
	case AGG_COUNT:
		s->kind = SLOT_COUNT;
		break;
	case AGG_SUM:
	case AGG_AVG:
		return init_sum(s, agg);
	case AGG_MIN:
	case AGG_MAX:
		s->kind = is_int64(s->arg) ? SLOT_EXTREME_INT : SLOT_EXTREME;
		s->keeps_bag = retracts;
		break;
	case AGG_BOOL_AND:
	case AGG_BOOL_OR:
		s->kind = SLOT_BOOL;
		break;
	}
	return ERR_OK;
}

size_t agg_slot_width(const struct agg_slot *s)
{
	static const size_t width[] = {[SLOT_COUNT] = sizeof(struct slot_count),
	    [SLOT_SUM_INT] = sizeof(struct slot_sum_int),
	    [SLOT_SUM_NUMERIC] = sizeof(struct slot_sum_numeric),
	    [SLOT_SUM_FLOAT] = sizeof(struct slot_sum_float),
	    [SLOT_SUM_INTERVAL] = sizeof(struct slot_sum_interval),
	    [SLOT_EXTREME_INT] = sizeof(struct slot_extreme_int),
	    [SLOT_EXTREME] = sizeof(struct slot_extreme),
	    [SLOT_BOOL] = sizeof(struct slot_bool)};
	/* without retraction an int64 extreme is its value and whether there is one */
	size_t bytes = s->kind == SLOT_EXTREME_INT && !s->keeps_bag
	                   ? offsetof(struct slot_extreme_int, bag)
	                   : width[s->kind];
	return (bytes + 15) & ~(size_t)15;
}

/* ---- adding one value ------------------------------------------------------------------------ */

static enum err add_int(
    const struct agg_slot *s, struct slot_sum_int *state, int64_t v, int32_t weight, bool try)
{
	int128 sum = state->sum + (int128)v * weight;
	if (s->can_fail && sum != (int64_t)sum)
		return ERR_NUMERIC_OVERFLOW;
	if (try)
		return ERR_OK;
	state->sum = sum;
	state->n += weight;
	return ERR_OK;
}

/* Moves the sum to another scale; it gets smaller only when no value with more decimals is left, so
 * nothing is cut off. */
static enum err rescale(struct numeric *sum, int32_t scale)
{
	if (scale >= sum->scale)
		return numeric_round(*sum, scale, sum);
	ASSERT(sum->mantissa % (int128)numeric_pow10(sum->scale - scale) == 0);
	*sum = numeric_trunc(*sum, scale);
	return ERR_OK;
}

static enum err note_scale(
    struct slot_sum_numeric *state, struct slab *slab, int32_t scale, int32_t weight)
{
	const size_t len = (NUMERIC_DIGITS_MAX + 1) * sizeof *state->by_scale;
	if (!state->by_scale) {
		state->by_scale = slab_alloc(slab, len);
		if (!state->by_scale)
			return ERR_NOMEM;
		memset(state->by_scale, 0, len);
	}
	state->by_scale[scale] += weight;
	return state->by_scale[scale] < 0
	           ? err_note(ERR_CORRUPT, "a value is taken out of a sum it is not in")
	           : ERR_OK;
}

static enum err add_numeric(const struct agg_slot *s, struct slot_sum_numeric *state,
    struct slab *slab, const struct agg_value *v)
{
	struct numeric sum = {state->sum, state->scale}, part = v->value.num;
	if (v->weight < 0)
		part.mantissa = -part.mantissa;
	TRY(numeric_add(sum, part, &sum));
	if (v->try)
		return ERR_OK;
	state->n += v->weight;
	if (s->tracks_scales) {
		TRY(note_scale(state, slab, part.scale, v->weight));
		int32_t largest = NUMERIC_DIGITS_MAX;
		while (largest > 0 && state->by_scale[largest] == 0)
			largest--;
		TRY(rescale(&sum, largest));
	}
	if (state->n == 0)
		sum = (struct numeric){0, 0};
	state->sum = sum.mantissa;
	state->scale = sum.scale;
	return ERR_OK;
}

static enum err add_float(
    const struct agg_slot *s, struct slot_sum_float *state, double v, bool try)
{
	/* sum(real) adds floats; avg(real) and everything else adds doubles */
	bool as_float = s->agg->type.id == TYPE_FLOAT4;
	double sum = state->n == 0 ? v
	             : as_float    ? (double)(float)(state->sum + v)
	                           : state->sum + v;
	if (isinf(sum) && !isinf(state->sum) && !isinf(v))
		return ERR_NUMERIC_OVERFLOW;
	if (try)
		return ERR_OK;
	state->sum = sum;
	state->n++;
	return ERR_OK;
}

static enum err add_interval(
    struct slot_sum_interval *state, struct interval v, int32_t weight, bool try)
{
	struct interval sum = v;
	if (weight < 0)
		TRY(interval_negate(v, &sum));
	TRY(interval_add(state->sum, sum, &sum));
	if (try)
		return ERR_OK;
	state->sum = sum;
	state->n += weight;
	return ERR_OK;
}

static enum err own_datum(const struct agg_slot *s, struct slab *slab, struct datum *d)
{
	if (!is_slice(s->arg) || d->s.len == 0) {
		if (is_slice(s->arg))
			d->s.ptr = "";
		return ERR_OK;
	}
	char *copy = slab_alloc(slab, d->s.len);
	if (!copy)
		return ERR_NOMEM;
	memcpy(copy, d->s.ptr, d->s.len);
	d->s.ptr = copy;
	return ERR_OK;
}

static void disown_datum(const struct agg_slot *s, struct slab *slab, struct slot_extreme *state)
{
	if (state->has && is_slice(s->arg) && state->value.s.len > 0)
		slab_free(slab, (void *)(uintptr_t)state->value.s.ptr, state->value.s.len);
	state->has = 0;
}

static enum err set_extreme(
    const struct agg_slot *s, struct slot_extreme *state, struct slab *slab, struct datum d)
{
	TRY(own_datum(s, slab, &d));
	disown_datum(s, slab, state);
	state->value = d;
	state->has = 1;
	return ERR_OK;
}

/* Of equal values the later one stays, as in PostgreSQL: it may print differently. */
static enum err add_extreme(const struct agg_slot *s, void *at, struct slab *slab, struct datum d)
{
	int want = s->agg->kind == AGG_MAX ? 1 : -1;
	if (s->kind == SLOT_EXTREME_INT) {
		struct slot_extreme_int *state = at;
		if (!state->has || (want > 0 ? d.i > state->value : d.i < state->value))
			state->value = d.i;
		state->has = 1;
		return ERR_OK;
	}
	struct slot_extreme *state = at;
	if (state->has && datum_compare(s->arg, d, state->value) * want < 0)
		return ERR_OK;
	return set_extreme(s, state, slab, d);
}

enum err agg_slot_add(
    const struct agg_slot *s, void *state, struct slab *slab, const struct agg_value *v)
{
	switch (s->kind) {
	case SLOT_COUNT:
		((struct slot_count *)state)->n += v->try ? 0 : v->weight;
		return ERR_OK;
	case SLOT_SUM_INT:
		return add_int(s, state, v->value.i, v->weight, v->try);
	case SLOT_SUM_NUMERIC:
		return add_numeric(s, state, slab, v);
	case SLOT_SUM_FLOAT:
		return add_float(s, state, v->value.f, v->try);
	case SLOT_SUM_INTERVAL:
		return add_interval(state, v->value.iv, v->weight, v->try);
	case SLOT_EXTREME_INT:
	case SLOT_EXTREME:
		ASSERT(!s->keeps_bag && v->weight > 0);
		return v->try ? ERR_OK : add_extreme(s, state, slab, v->value);
	case SLOT_BOOL:
		break;
	}
	struct slot_bool *b = state;
	if (!v->try)
		*(v->value.b ? &b->trues : &b->falses) += v->weight;
	return ERR_OK;
}

/* ---- multisets of extremes ------------------------------------------------------------------- */

static bool prints_one_way(enum type_id t)
{
	return !is_float(t) && t != TYPE_NUMERIC && t != TYPE_INTERVAL;
}

void agg_bag_key(struct writer *w, enum type_id type, struct datum d)
{
	key_encode(w, type, d);
	if (!prints_one_way(type))
		datum_write(w, type, d);
}

struct bag *agg_slot_bag(const struct agg_slot *s, void *state, int64_t **ret_loaded)
{
	ASSERT(s->keeps_bag);
	struct slot_extreme_int *i = state;
	struct slot_extreme *x = state;
	*ret_loaded = s->kind == SLOT_EXTREME_INT ? &i->loaded : &x->loaded;
	return s->kind == SLOT_EXTREME_INT ? &i->bag : &x->bag;
}

static enum err bag_value(
    const struct agg_slot *s, struct arena *a, const struct bag_node *n, struct datum *ret)
{
	struct reader r = reader_of(bag_key(n));
	TRY(key_decode(&r, a, s->arg, ret));
	return prints_one_way(s->arg) ? ERR_OK : datum_read(&r, s->arg, ret);
}

enum err agg_slot_from_bag(const struct agg_slot *s, void *state, struct slab *slab)
{
	int64_t *loaded;
	struct bag *bag = agg_slot_bag(s, state, &loaded);
	const struct bag_node *n = s->agg->kind == AGG_MAX ? bag_last(bag) : bag_first(bag);
	struct datum d = {.null = true};
	struct arena a;
	arena_init(&a, SIZE_MAX);
	enum err err = n ? bag_value(s, &a, n, &d) : ERR_OK;
	if (err == ERR_OK && s->kind == SLOT_EXTREME_INT) {
		struct slot_extreme_int *i = state;
		i->has = !d.null;
		i->value = d.null ? 0 : d.i;
	} else if (err == ERR_OK && d.null) {
		disown_datum(s, slab, state);
	} else if (err == ERR_OK) {
		err = set_extreme(s, state, slab, d);
	}
	arena_release(&a);
	return err;
}

/* ---- result ---------------------------------------------------------------------------------- */

static struct datum avg_of(struct numeric sum, int64_t n)
{
	struct datum d = {.null = n == 0};
	/* never overflows: the quotient's digits are those of the sum, or its scale is made for 16
	 * significant ones */
	if (n != 0 && numeric_div(sum, numeric_of_i64(n), &d.num) != ERR_OK)
		d.null = true;
	return d;
}

static struct datum sum_int_result(const struct agg_slot *s, const struct slot_sum_int *state)
{
	struct datum d = {.null = state->n == 0};
	struct numeric sum = {state->sum, 0};
	if (s->agg->kind == AGG_AVG)
		return avg_of(sum, state->n);
	if (s->agg->type.id == TYPE_INT8)
		d.i = (int64_t)state->sum;
	else
		d.num = sum;
	return d;
}

static struct datum sum_interval_result(
    const struct agg_slot *s, const struct slot_sum_interval *state)
{
	struct datum d = {.null = state->n == 0, .iv = state->sum};
	if (!d.null && s->agg->kind == AGG_AVG &&
	    interval_div(state->sum, (double)state->n, &d.iv) != ERR_OK)
		d.null = true; /* a quotient by n >= 1 fits */
	return d;
}

static struct datum bool_result(const struct agg_slot *s, const struct slot_bool *state)
{
	struct datum d = {.null = state->trues + state->falses == 0};
	if (!d.null)
		d.b = s->agg->kind == AGG_BOOL_AND ? state->falses == 0 : state->trues > 0;
	return d;
}

struct datum agg_slot_result(const struct agg_slot *s, const void *state)
{
	struct datum d = {.null = true};
	switch (s->kind) {
	case SLOT_COUNT:
		return (struct datum){.i = ((const struct slot_count *)state)->n};
	case SLOT_SUM_INT:
		return sum_int_result(s, state);
	case SLOT_SUM_NUMERIC: {
		const struct slot_sum_numeric *n = state;
		struct numeric sum = {n->sum, n->scale};
		return s->agg->kind == AGG_AVG ? avg_of(sum, n->n)
		                               : (struct datum){.null = n->n == 0, .num = sum};
	}
	case SLOT_SUM_FLOAT: {
		const struct slot_sum_float *f = state;
		double v = s->agg->kind == AGG_AVG && f->n > 0 ? f->sum / (double)f->n : f->sum;
		return (struct datum){.null = f->n == 0, .f = v};
	}
	case SLOT_SUM_INTERVAL:
		return sum_interval_result(s, state);
	case SLOT_EXTREME_INT: {
		const struct slot_extreme_int *x = state;
		return (struct datum){.null = !x->has, .i = x->value};
	}
	case SLOT_EXTREME: {
		const struct slot_extreme *x = state;
		return x->has ? x->value : d;
	}
	case SLOT_BOOL:
		break;
	}
	return bool_result(s, state);
}
