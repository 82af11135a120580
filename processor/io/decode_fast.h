/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The common spellings of integers, numerics, timestamps and text, straight from a document into
 * column vectors. Each accepts a subset of what the type's input function accepts, with the same
 * result, and leaves the rest to it (decode_value.h).
 */
#include "log/base/json.h"
#include "processor/sql/plan.h"

enum decode_way {
	DECODE_SLOW, /* no common spelling: each value goes through decode_value */
	DECODE_TEXT,
	DECODE_INTEGER,
	DECODE_NUMERIC,
	DECODE_TIME,
};
/* One decoded column: how its values are taken and where they go. */
struct decode_slot {
	enum decode_way way;
	bool not_null;
	struct type type;
	int64_t min, max; /* of integers */
	int64_t unit_us;  /* of numbers as times; 0: refused */
	struct vec *vec;  /* data NULL: only checked */
	uint8_t *nulls;   /* per row, 0 until a NULL comes; NULL where data is */
	bool *has_nulls;
};

/* `vec`, `nulls` and `has_nulls` are borrowed for the life of the slot. */
struct decode_slot decode_slot_of(
    const struct table_column *c, struct vec *vec, uint8_t *nulls, bool *has_nulls);
/*
 * Takes values[i] into row `row` of slots[i] for i in [from, count). Returns the first i that is
 * not of a common spelling, or is NULL where there must be none, and took nothing of it; else
 * count.
 */
uint32_t decode_fast(const struct decode_slot *slots, const struct json_value *values,
    uint32_t from, uint32_t count, uint32_t row);

/* [-]digits, at most 18 of them. False: perhaps another spelling. */
bool decode_integer(struct str text, int64_t *ret_value);
/* The fast paths over text, as a scalar of an integer, numeric or timestamp type. */
bool decode_text(struct type type, struct str text, struct datum *ret_datum);
