/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Floating point as text: the shortest digits that read back as the same value, laid out as
 * PostgreSQL 12 and later do. */
#include "processor/op/vec.h"

enum { FLOAT_TEXT_MAX = 32 };
/* Returns the length; not NUL-terminated. `buf` has FLOAT_TEXT_MAX bytes. */
size_t float8_to_text(char *buf, double f);
size_t float4_to_text(char *buf, float f);
/* Blanks around; NaN, Infinity, inf. ERR_BAD_VALUE; ERR_NUMERIC_OVERFLOW when a finite number is
 * too large or too small. */
MUST_USE enum err float8_from_text(struct str text, double *ret_value);
MUST_USE enum err float4_from_text(struct str text, double *ret_value);
