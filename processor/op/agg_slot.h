/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The native state of one aggregate of one group: a fixed part inside the group's entry. All-zero
 * is the state of no rows. Retraction subtracts exactly; min and max of an input that retracts keep
 * an ordered multiset of their values.
 */
#include "processor/op/bag.h"
#include "processor/op/datetime.h"
#include "processor/op/expr.h"
#include "processor/op/numeric.h"

enum slot_kind {
	SLOT_COUNT,   /* int64 */
	SLOT_SUM_INT, /* sum, avg of integers */
	SLOT_SUM_NUMERIC,
	SLOT_SUM_FLOAT, /* append-only input; sum(real) rounds to float at each step, as PostgreSQL
	                 */
	SLOT_SUM_INTERVAL,
	SLOT_EXTREME_INT, /* min, max of what is an int64 */
	SLOT_EXTREME,     /* of any other type */
	SLOT_BOOL,
};
struct slot_count {
	int64_t n;
};
struct slot_sum_int {
	int128 sum;
	int64_t n;
};
struct slot_sum_numeric {
	int128 sum; /* at `scale`; below 10^38 */
	int64_t n;
	int32_t scale;     /* the largest of the values that are in */
	int64_t *by_scale; /* values per scale 0..38, where the input retracts and scales differ;
	                      NULL = none yet */
};
struct slot_sum_float {
	double sum;
	int64_t n;
};
struct slot_sum_interval {
	struct interval sum;
	int64_t n;
};
struct slot_extreme_int {
	int64_t value;
	int64_t has;
	struct bag bag; /* all values, where the input retracts */
	int64_t loaded; /* bag is complete */
};
struct slot_extreme {
	struct datum value; /* text is owned */
	int64_t has;
	struct bag bag;
	int64_t loaded;
};
struct slot_bool {
	int64_t trues, falses;
};

struct agg_slot {
	const struct agg *agg;
	enum slot_kind kind;
	enum type_id arg; /* type of the argument; UNKNOWN for count(*) */
	uint32_t offset;  /* in the group's state */
	uint8_t part;     /* slot byte of its keys in the parts table; 0 = none */
	bool retracts;
	bool keeps_bag; /* min, max over retracting input */
	bool tracks_scales;
	bool can_fail; /* an addition may overflow */
};
/* Fills everything but offset and part. ERR_SQL_UNSUPPORTED. */
MUST_USE enum err agg_slot_init(struct agg_slot *s, const struct agg *agg, bool retracts);
size_t agg_slot_width(const struct agg_slot *s); /* multiple of 16 */

/* One value that goes in (weight > 0) or out. */
struct agg_value {
	struct datum value;
	int32_t weight;
	bool try; /* change nothing, only say whether it would overflow */
};
/* ERR_NUMERIC_OVERFLOW; ERR_NOMEM; ERR_CORRUPT when something is taken out that is not in. Extremes
 * with a bag: agg_slot_from_bag instead. */
MUST_USE enum err agg_slot_add(
    const struct agg_slot *s, void *state, struct slab *slab, const struct agg_value *v);
/* Rows [from, end) of a batch for one aggregate, and the group of each. */
struct entry;
struct slot_rows {
	struct entry **entries;
	const struct vec *v;   /* the argument */
	const uint8_t *use;    /* rows that count: filter true, argument not NULL; NULL = all */
	const int32_t *weight; /* NULL = all +1 */
	uint32_t from, end;
};
/* Can nothing overflow? */
bool agg_slot_safe(const struct agg_slot *s, const struct slot_rows *rows);
/* Adds them, after agg_slot_safe, for kinds that have a fast loop; false: the caller goes row by
 * row. */
bool agg_slot_add_rows(const struct agg_slot *s, const struct slot_rows *rows);

/* Key of a value in the bag, and back. Values that are equal but print differently (1.0, 1.00) are
 * kept apart. */
void agg_bag_key(struct writer *w, enum type_id type, struct datum d);
/* Sets min or max from its bag. */
MUST_USE enum err agg_slot_from_bag(const struct agg_slot *s, void *state, struct slab *slab);
struct bag *agg_slot_bag(const struct agg_slot *s, void *state, int64_t **ret_loaded);

/* The result; text borrows from the state. */
struct datum agg_slot_result(const struct agg_slot *s, const void *state);
void agg_slot_write(const struct agg_slot *s, const void *state, struct writer *w);
MUST_USE enum err agg_slot_read(
    const struct agg_slot *s, void *state, struct slab *slab, struct reader *r);
/* Frees what it holds. reset makes it the state of no rows, but for its multiset. */
void agg_slot_release(const struct agg_slot *s, void *state, struct slab *slab);
void agg_slot_reset(const struct agg_slot *s, void *state, struct slab *slab);
