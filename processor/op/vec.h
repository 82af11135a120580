/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Values: SQL types, scalars, column vectors and batches of rows. Everything a batch points to
 * lives in its arena (or in longer-lived memory) until the batch is cleared. One thread at a time.
 */
#include "log/log.h"

enum type_id {
	TYPE_UNKNOWN, /* an untyped literal or NULL before coercion; never in a bound plan's output
	               */
	TYPE_BOOL,
	TYPE_INT2,
	TYPE_INT4,
	TYPE_INT8,
	TYPE_FLOAT4,
	TYPE_FLOAT8,
	TYPE_NUMERIC,
	TYPE_TEXT, /* also varchar(n), char is refused */
	TYPE_BYTEA,
	TYPE_DATE,        /* days since 1970-01-01 */
	TYPE_TIMESTAMP,   /* microseconds since 1970-01-01 00:00, no zone */
	TYPE_TIMESTAMPTZ, /* microseconds since 1970-01-01 00:00 UTC */
	TYPE_INTERVAL,
	TYPE_UUID,
	TYPE_JSONB, /* kept as the JSON text it was; operators see its meaning */
	TYPE_COUNT
};
struct type {
	enum type_id id;
	int16_t precision; /* numeric(p,s): p; 0 = unconstrained. varchar(n): n */
	int16_t scale;
};
/* Those whose values are int64_t in a column. */
static inline bool type_is_whole(enum type_id t)
{
	return t == TYPE_INT2 || t == TYPE_INT4 || t == TYPE_INT8 || t == TYPE_DATE ||
	       t == TYPE_TIMESTAMP || t == TYPE_TIMESTAMPTZ;
}
const char *type_name(enum type_id id); /* PostgreSQL's: "bigint", "timestamp with time zone" */
bool type_equal(struct type a, struct type b);
/* ±infinity of date and timestamps as in PostgreSQL: the extreme values of int64. */
#define TIME_NEG_INFINITY INT64_MIN
#define TIME_POS_INFINITY INT64_MAX

__extension__ typedef __int128 int128;
__extension__ typedef unsigned __int128 uint128;

/* value = mantissa / 10^scale, |mantissa| < 10^38, 0 <= scale <= 38. scale is the display scale of
 * PostgreSQL. No NaN. */
struct numeric {
	int128 mantissa;
	int32_t scale;
};
struct interval {
	int64_t us;
	int32_t days;
	int32_t months;
};

/* One scalar. Which member is used follows from the type: b, i (ints, date, timestamps), f, num, s
 * (text, bytea, jsonb), iv, uuid. */
struct datum {
	bool null;
	union {
		bool b;
		int64_t i;
		double f;
		struct numeric num;
		struct str s;
		struct interval iv;
		uint8_t uuid[16];
	};
};

/* A column that nobody reads has data NULL and must not be touched; the value of a NULL row is
 * unspecified. */
struct vec {
	struct type type;
	uint8_t *null; /* 1 = NULL, per row; NULL pointer = no nulls */
	union {
		void *data;
		uint8_t *b;
		int64_t *i;
		double *f; /* float4 values are rounded to float */
		struct numeric *num;
		struct str *s;
		struct interval *iv;
		uint8_t (*uuid)[16];
	};
	bool constant; /* one value for all rows, at index 0 */
};
static inline uint32_t vec_row(const struct vec *v, uint32_t row)
{
	return v->constant ? 0 : row;
}
static inline bool vec_is_null(const struct vec *v, uint32_t row)
{
	return v->null && v->null[vec_row(v, row)];
}
size_t type_width(enum type_id id); /* bytes per element in vec.data */

/* Where a row came from, for dead letters and hidden columns. Rows derived by aggregation have
 * none. */
struct origin {
	uint32_t source; /* index of the plan's source */
	int32_t partition;
	int64_t offset;
	uint64_t sequence;
	uint32_t pos; /* index in its batch */
};

enum { BATCH_ROWS_MAX = 4096 };
struct batch {
	uint32_t count;
	uint32_t column_count;
	struct vec *cols;
	int32_t *weight;       /* +1 added, -1 retracted, per row; NULL = all +1 */
	struct origin *origin; /* NULL when the rows come from no record */
	struct arena *arena;
};
/* Columns of the given types with room for `count` rows; nulls absent. ERR_NOMEM. */
MUST_USE enum err batch_init(struct batch *b, struct arena *arena, const struct type *types,
    uint32_t column_count, uint32_t count);
MUST_USE enum err vec_init(struct vec *v, struct arena *arena, struct type type, uint32_t count);
struct datum vec_get(const struct vec *v, uint32_t row);
/* Stores a scalar; needs v->null for a NULL (vec_init_nulls). */
void vec_set(struct vec *v, uint32_t row, struct datum d);
MUST_USE enum err vec_init_nulls(struct vec *v, struct arena *arena, uint32_t count);
/* Keeps the rows named in `rows` (ascending), in place; all columns, weights and origins. */
void batch_keep(struct batch *b, const uint32_t *rows, uint32_t count);

/* Order of two non-null values of one type: <0, 0, >0. text, bytea, jsonb by bytes; NaN is greatest
 * and equal to itself; intervals by 30-day months and 24-hour days, as PostgreSQL. */
int datum_compare(enum type_id type, struct datum a, struct datum b);
/* Copies what the datum points to into the arena. */
MUST_USE enum err datum_copy(
    struct arena *a, enum type_id type, struct datum in, struct datum *ret_datum);

/* ---- keys: values as order-preserving bytes (memcmp order = SQL order, NULLs last) ----------- */
/* Appends one value to the key. DESC callers invert. Equal values (1.0 and 1.00) give equal bytes.
 */
void key_encode(struct writer *w, enum type_id type, struct datum d);
/* The same into memory that has key_bound() bytes; returns the end. */
enum { KEY_FIXED_MAX = 19 };
size_t key_bound(enum type_id type, struct datum d);
uint8_t *key_put(uint8_t *to, enum type_id type, struct datum d);
/* Reads one value back; text and bytea are unescaped into the arena. A numeric comes back
 * normalised. */
MUST_USE enum err key_decode(
    struct reader *r, struct arena *a, enum type_id type, struct datum *ret_datum);
/* State bytes: compact, exact (keeps a numeric's display scale), not ordered. */
void datum_write(struct writer *w, enum type_id type, struct datum d);
MUST_USE enum err datum_read(
    struct reader *r, enum type_id type, struct datum *ret_datum); /* borrows from r */
/* The same between a column and bytes: key_encode, datum_write, datum_read of one row. */
void vec_write_key(struct writer *w, const struct vec *v, uint32_t row);
void vec_write(struct writer *w, const struct vec *v, uint32_t row);
MUST_USE enum err vec_read(struct reader *r, struct vec *v, uint32_t row);

/* ---- text ------------------------------------------------------------------------------------ */
/*
 * The value as PostgreSQL prints it (TimeZone UTC, IntervalStyle postgres, bytea hex,
 * extra_float_digits 1), and the reverse (the type's input function; numeric(p,s) rounds,
 * varchar(n) checks). Errors: BAD_VALUE, NUMERIC_OVERFLOW.
 */
void datum_to_text(struct writer *w, enum type_id type, struct datum d);
MUST_USE enum err datum_from_text(
    struct arena *a, struct type type, struct str text, struct datum *ret_datum);
