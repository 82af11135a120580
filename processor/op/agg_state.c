/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State bytes of aggregates, exact. Per slot:
 *   count     varint n                        sum of integers   varint n, wide sum
 *   numeric   varint n, u8 scale, wide sum; with counts per scale: u8 scales, then (u8 scale,
 * varint count) each float     varint n, double                interval          varint n, varints
 * months, days, us extreme   a datum, NULL = none            boolean           varint trues, varint
 * falses wide = u8 sign, uvarint low 64, uvarint high 64. A multiset is not here but in the parts
 * table.
 */
#include "processor/op/agg_slot.h"

static void write_wide(struct writer *w, int128 v)
{
	uint128 m = v < 0 ? -(uint128)v : (uint128)v;
	write_u8(w, v < 0);
	write_uvarint64(w, (uint64_t)m);
	write_uvarint64(w, (uint64_t)(m >> 64));
}

static int128 read_wide(struct reader *r)
{
	bool negative = read_u8(r) != 0;
	uint128 m = read_uvarint64(r);
	m |= (uint128)read_uvarint64(r) << 64;
	if (m >> 127)
		r->bad = true;
	return r->bad ? 0 : negative ? -(int128)m : (int128)m;
}

static void write_numeric_sum(
    const struct agg_slot *s, const struct slot_sum_numeric *n, struct writer *w)
{
	write_varint64(w, n->n);
	write_u8(w, (uint8_t)n->scale);
	write_wide(w, n->sum);
	if (!s->tracks_scales)
		return;
	uint8_t scales = 0;
	for (int i = 0; n->by_scale && i <= NUMERIC_DIGITS_MAX; i++)
		scales = (uint8_t)(scales + (n->by_scale[i] != 0));
	write_u8(w, scales);
	for (int i = 0; n->by_scale && i <= NUMERIC_DIGITS_MAX; i++) {
		if (n->by_scale[i] == 0)
			continue;
		write_u8(w, (uint8_t)i);
		write_varint64(w, n->by_scale[i]);
	}
}

static enum err read_numeric_sum(
    const struct agg_slot *s, struct slot_sum_numeric *n, struct slab *slab, struct reader *r)
{
	const size_t len = (NUMERIC_DIGITS_MAX + 1) * sizeof *n->by_scale;
	n->n = read_varint64(r);
	n->scale = read_u8(r);
	n->sum = read_wide(r);
	r->bad |= n->scale > NUMERIC_DIGITS_MAX;
	uint8_t scales = s->tracks_scales ? read_u8(r) : 0;
	if (r->bad || scales == 0)
		return ERR_OK;
	n->by_scale = slab_alloc(slab, len);
	if (!n->by_scale)
		return ERR_NOMEM;
	memset(n->by_scale, 0, len);
	for (; scales > 0 && !r->bad; scales--) {
		uint8_t scale = read_u8(r);
		int64_t count = read_varint64(r);
		if (scale > NUMERIC_DIGITS_MAX)
			r->bad = true;
		else
			n->by_scale[scale] = count;
	}
	return ERR_OK;
}

void agg_slot_write(const struct agg_slot *s, const void *state, struct writer *w)
{
	switch (s->kind) {
	case SLOT_COUNT:
		write_varint64(w, ((const struct slot_count *)state)->n);
		break;
	case SLOT_SUM_INT:
		write_varint64(w, ((const struct slot_sum_int *)state)->n);
		write_wide(w, ((const struct slot_sum_int *)state)->sum);
		break;
	case SLOT_SUM_NUMERIC:
		write_numeric_sum(s, state, w);
		break;
	case SLOT_SUM_FLOAT:
		write_varint64(w, ((const struct slot_sum_float *)state)->n);
		datum_write(w, TYPE_FLOAT8,
		    (struct datum){.f = ((const struct slot_sum_float *)state)->sum});
		break;
	case SLOT_SUM_INTERVAL:
		write_varint64(w, ((const struct slot_sum_interval *)state)->n);
		datum_write(w, TYPE_INTERVAL,
		    (struct datum){.iv = ((const struct slot_sum_interval *)state)->sum});
		break;
	case SLOT_EXTREME_INT:
	case SLOT_EXTREME:
		datum_write(w, s->arg, agg_slot_result(s, state));
		break;
	case SLOT_BOOL:
		write_varint64(w, ((const struct slot_bool *)state)->trues);
		write_varint64(w, ((const struct slot_bool *)state)->falses);
		break;
	}
}

static enum err read_extreme(
    const struct agg_slot *s, void *state, struct slab *slab, struct reader *r)
{
	struct datum d;
	TRY(datum_read(r, s->arg, &d));
	if (d.null)
		return ERR_OK;
	if (s->kind == SLOT_EXTREME_INT) {
		struct slot_extreme_int *x = state;
		x->value = d.i;
		x->has = 1;
		return ERR_OK;
	}
	struct slot_extreme *x = state;
	struct str text = d.s;
	bool slice = type_width(s->arg) == sizeof(struct str) && s->arg != TYPE_INTERVAL &&
	             s->arg != TYPE_UUID;
	if (slice) {
		char *copy = text.len > 0 ? slab_alloc(slab, text.len) : NULL;
		if (text.len > 0 && !copy)
			return ERR_NOMEM;
		if (copy)
			memcpy(copy, text.ptr, text.len);
		d.s = str_from(copy ? copy : "", text.len);
	}
	x->value = d;
	x->has = 1;
	return ERR_OK;
}

enum err agg_slot_read(const struct agg_slot *s, void *state, struct slab *slab, struct reader *r)
{
	struct datum d = {.null = true};
	switch (s->kind) {
	case SLOT_COUNT:
		((struct slot_count *)state)->n = read_varint64(r);
		break;
	case SLOT_SUM_INT:
		((struct slot_sum_int *)state)->n = read_varint64(r);
		((struct slot_sum_int *)state)->sum = read_wide(r);
		break;
	case SLOT_SUM_NUMERIC:
		return read_numeric_sum(s, state, slab, r);
	case SLOT_SUM_FLOAT:
		((struct slot_sum_float *)state)->n = read_varint64(r);
		TRY(datum_read(r, TYPE_FLOAT8, &d));
		((struct slot_sum_float *)state)->sum = d.f;
		break;
	case SLOT_SUM_INTERVAL:
		((struct slot_sum_interval *)state)->n = read_varint64(r);
		TRY(datum_read(r, TYPE_INTERVAL, &d));
		((struct slot_sum_interval *)state)->sum = d.iv;
		break;
	case SLOT_EXTREME_INT:
	case SLOT_EXTREME:
		return read_extreme(s, state, slab, r);
	case SLOT_BOOL:
		((struct slot_bool *)state)->trues = read_varint64(r);
		((struct slot_bool *)state)->falses = read_varint64(r);
		break;
	}
	return ERR_OK;
}

static void release_values(const struct agg_slot *s, void *state, struct slab *slab)
{
	if (s->kind == SLOT_SUM_NUMERIC) {
		struct slot_sum_numeric *n = state;
		slab_free(slab, n->by_scale, (NUMERIC_DIGITS_MAX + 1) * sizeof *n->by_scale);
		n->by_scale = NULL;
	}
	if (s->kind == SLOT_EXTREME) {
		struct slot_extreme *x = state;
		bool slice = s->arg == TYPE_TEXT || s->arg == TYPE_BYTEA || s->arg == TYPE_JSONB;
		if (x->has && slice && x->value.s.len > 0)
			slab_free(slab, (void *)(uintptr_t)x->value.s.ptr, x->value.s.len);
		x->has = 0;
	}
}

void agg_slot_reset(const struct agg_slot *s, void *state, struct slab *slab)
{
	release_values(s, state, slab);
	if (s->kind == SLOT_EXTREME_INT)
		memset(state, 0, offsetof(struct slot_extreme_int, bag));
	else if (s->kind == SLOT_EXTREME)
		memset(state, 0, offsetof(struct slot_extreme, bag));
	else
		memset(state, 0, agg_slot_width(s));
}

void agg_slot_release(const struct agg_slot *s, void *state, struct slab *slab)
{
	int64_t *loaded;
	release_values(s, state, slab);
	if (s->keeps_bag)
		bag_release(agg_slot_bag(s, state, &loaded), slab);
}
