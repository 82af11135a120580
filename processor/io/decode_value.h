/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One JSON value -> one SQL value of a declared column: the rules of SQL.md "Decoding". The common
 * spellings are taken by decode_fast.h; every other one goes through the type's input function, so
 * they cannot disagree with a cast (test/processor/decode_test.c compares them).
 */
#include "log/base/json.h"
#include "processor/sql/plan.h"

/* ERR_BAD_VALUE or ERR_NUMERIC_OVERFLOW with a note; ERR_NOMEM. Text results point into the
 * document or `arena`. */
MUST_USE enum err decode_value(const struct table_column *c, const struct json_value *v,
    struct arena *arena, struct datum *ret_datum);
/* Decimal seconds, milliseconds, ...: `text` (a JSON number) times unit_us, rounded half away from
 * zero to microseconds. */
MUST_USE enum err decode_unix_time(struct str text, int64_t unit_us, int64_t *ret_us);
