/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Bound expressions: typed trees that the SQL binder makes and that are evaluated over batches.
 * Immutable after binding; they live in the plan's arena and may be shared by threads.
 *
 * Errors are per row: a row whose expression fails (cast, overflow, division by zero, match limit)
 * is recorded in struct row_errors and its value is NULL; the operator drops it from the batch and
 * the record becomes a dead letter. Only rows with active[row] != 0 are evaluated (`active` NULL =
 * all), so CASE, COALESCE, AND and OR raise no error in branches that are not taken.
 */
#include "processor/op/vec.h"

enum expr_kind {
	EXPR_COLUMN, /* input column `column` */
	EXPR_CONST,  /* `value` */
	EXPR_CALL,   /* func over args: operators, functions and casts alike */
	EXPR_AND,    /* n args, three-valued */
	EXPR_OR,
	EXPR_NOT,
	EXPR_IS_NULL,  /* never NULL; IS NOT NULL = NOT IS_NULL */
	EXPR_IS_TRUE,  /* IS TRUE; IS FALSE = IS_TRUE(NOT x); IS UNKNOWN = IS_NULL */
	EXPR_DISTINCT, /* IS DISTINCT FROM */
	EXPR_CASE,     /* args: when1, then1, when2, then2, ..., else (a NULL const when absent) */
	EXPR_COALESCE, /* n args of one type */
	EXPR_NULLIF,   /* a, b, and `func` the equality */
	EXPR_GREATEST,
	EXPR_LEAST,
	EXPR_IN, /* args[0] in (args[1..]), all of one type, three-valued */
};

struct func;
struct expr {
	enum expr_kind kind;
	struct type type;
	bool can_fail; /* this or any part of it can raise a row error */
	uint32_t column;
	struct datum value;
	const struct func *func;
	struct expr **args;
	uint32_t arg_count;
	int32_t location; /* byte position in the statement, -1 = none */
};

struct row_error {
	uint32_t row;
	enum err err;
	char message[120];
};
/* At most one error per row is kept: the first. */
struct row_errors {
	struct row_error *errors;
	uint32_t count;
	uint32_t capacity;
	bool no_memory; /* an error could not be kept: the batch cannot be evaluated */
};
void row_errors_release(struct row_errors *e);
/* Records an error for `row`; later ones for the same row are ignored. */
void row_error_add(struct row_errors *e, uint32_t row, enum err err, const char *fmt, ...)
    PRINTF(4, 5);

struct eval {
	struct arena *arena; /* temporaries and results */
	struct row_errors *errors;
	uint32_t count;        /* rows of the batch */
	const uint8_t *active; /* NULL = all */
	enum err fatal;        /* ERR_NOMEM: the batch cannot be evaluated; nothing else is fatal */
};
/* Evaluates over `in`; *ret_vec may alias an input column. Returns ev->fatal. */
MUST_USE enum err expr_eval(
    struct eval *ev, const struct expr *e, const struct batch *in, struct vec *ret_vec);

/* ---- functions ------------------------------------------------------------------------------- */

enum func_flags {
	FUNC_CAN_FAIL = 1,
	FUNC_NOT_STRICT = 2, /* sees NULLs itself; otherwise NULL in -> NULL out without a call */
	FUNC_VARIADIC = 4,   /* the last argument type repeats (concat, ...) */
	FUNC_CAST_IMPLICIT = 8,    /* a cast usable anywhere */
	FUNC_CAST_ASSIGNMENT = 16, /* only when storing into a column */
	FUNC_CAST_EXPLICIT = 32,   /* only CAST(x AS t) */
};
enum { FUNC_ARGS_MAX = 6 };

/*
 * One overload. Operators are functions named by their symbol ("+", "<", "->>", "~~" for LIKE,
 * "!~~", "~~*", "!~~*", "~",
 * "!~", "~*", "!~*"); unary minus is "-" with one argument; casts are named "cast" with one
 * argument and the target as result. Several overloads differ only in argument types; resolution
 * (exact, then implicit casts) is the binder's. An argument type of TYPE_UNKNOWN takes any type as
 * it is (concat); an untyped literal becomes text there. The path of #> and #>> is text, '{a,b,0}'.
 */
struct func {
	const char *name;
	enum type_id args[FUNC_ARGS_MAX];
	uint8_t arg_count;
	enum type_id result;
	uint8_t flags;
	void (*eval)(
	    struct eval *ev, const struct expr *call, const struct vec *args, struct vec *out);
};
/* The table of all overloads, in one array. */
extern const struct func func_table[];
extern const size_t func_table_count;
/* Cast between two types at any of the given levels (FUNC_CAST_ bits), or NULL. Applying a typmod
 * (numeric(p,s), varchar(n)) is the cast from a type to itself with call->type's precision and
 * scale. */
const struct func *func_cast(enum type_id from, enum type_id to, unsigned levels);

/* ---- aggregates ------------------------------------------------------------------------------ */

enum agg_kind {
	AGG_COUNT_STAR,
	AGG_COUNT,
	AGG_SUM,
	AGG_AVG,
	AGG_MIN,
	AGG_MAX,
	AGG_BOOL_AND,
	AGG_BOOL_OR,
};
struct agg {
	enum agg_kind kind;
	struct expr *arg;    /* NULL for count(*) */
	struct expr *filter; /* NULL = all rows */
	bool distinct;       /* count and sum, avg DISTINCT */
	struct type type;    /* of the result, PostgreSQL's rules */
};
/* Result type of `kind` over `arg`; false when there is no such aggregate for that type. */
bool agg_result_type(enum agg_kind kind, struct type arg, struct type *ret_type);
bool agg_by_name(struct str name, enum agg_kind *ret_kind);
