/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One JSON value -> one SQL value of a declared column: the rules of SQL.md "Decoding". Fast paths
 * for the common spellings of integers, numerics and timestamps; every other one goes through the
 * type's input function, so they cannot disagree with a cast (test/processor/decode_test.c compares
 * them).
 */
#include "log/base/json.h"
#include "processor/sql/plan.h"

/* ERR_BAD_VALUE or ERR_NUMERIC_OVERFLOW with a note; ERR_NOMEM. Text results point into the
 * document or `arena`. */
MUST_USE enum err decode_value(const struct table_column *c, const struct json_value *v,
    struct arena *arena, struct datum *ret_datum);
/* The common spellings, straight into row `row` of the column's vector (data NULL: only checked).
 * False: ask decode_value. */
bool decode_fast(
    const struct table_column *c, const struct json_value *v, struct vec *vec, uint32_t row);
/* Decimal seconds, milliseconds, ...: `text` (a JSON number) times unit_us, rounded half away from
 * zero to microseconds. */
MUST_USE enum err decode_unix_time(struct str text, int64_t unit_us, int64_t *ret_us);
