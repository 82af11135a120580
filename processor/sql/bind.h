/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the files of the front end share: the binder, relations in the making, and the steps from
 * parse tree to plan.
 *
 * A relation (struct rel) is a plan node with what the node does not know: which columns a name can
 * reach, which columns identify a row (keys), and which ones complete an order (seq, pos). Columns
 * that no name reaches are carried along as COL_INTERNAL and dropped in plan_finish.c when nothing
 * needed them.
 *
 * Every string that gets into a plan is copied to the binder's arena: parse trees die before plans.
 */
#include "processor/sql/sql.h"
#include <pg_query/pg_query.pb-c.h>

enum {
	SQL_TEXT_MAX = 64 * 1024, /* bytes of one text given to sql_parse */
	BIND_DEPTH_MAX = 250,     /* of expressions, and of queries in queries */
	BIND_NODES_MAX = 2000,    /* plan nodes of one statement, after inlining */
	BIND_SOURCES_MAX = 64,
	BIND_INLINE_MAX = 16, /* views that read views that read views ... */
	BIND_AGGS_MAX = 512,  /* aggregates of one SELECT */
	BIND_COPIES_MAX =
	    20000, /* nodes of expressions that are written once and evaluated several times */
	/* While a grouped SELECT is bound, EXPR_COLUMN from here on stands for aggregate number
	   column - COLUMN_AGG. */
	COLUMN_AGG = 1 << 30,
};

enum bind_mode {
	BIND_VIEW,    /* over topics; views are inlined */
	BIND_QUERY,   /* over rows of views */
	BIND_EXPLAIN, /* a query that may also read topics */
};

enum col_visibility {
	COL_VISIBLE,  /* part of * */
	COL_HIDDEN,   /* by name only: _offset and its like */
	COL_INTERNAL, /* carried for keys and order */
};
enum col_role {
	ROLE_NONE,
	ROLE_EVENT_TIME,
	ROLE_WINDOW_START,
	ROLE_WINDOW_END,
};
struct rel_column {
	struct str name;
	struct type type;
	enum col_visibility visibility;
	enum col_role role;
	int32_t location; /* of the expression in the select list, 0 = unknown */
	const struct expr
	    *literal; /* an untyped literal in an arm of a UNION: its type is still open */
};
struct rel {
	struct plan *plan;
	struct rel_column *columns; /* one per column of the plan */
	struct str alias;           /* ptr NULL = none */
	uint32_t *keys;             /* columns that identify a row */
	uint32_t key_count;
	int32_t seq, pos; /* columns of _sequence and _pos, -1 = none */
	bool seq_unique;  /* (seq, pos) differ in all rows */
};

/* A name of a WITH clause. Bound anew at each use. */
struct cte {
	struct str name;
	const PgQuery__CommonTableExpr *tree;
	struct cte *outer; /* those visible to it */
	bool used;
};

/* Counts over a whole statement, inlined views included. */
struct bind_totals {
	uint32_t nodes;
	uint32_t sources;
};

struct binder {
	struct arena *arena;
	const struct sql_catalog *catalog;
	struct sql_error *error;
	struct str input; /* what locations count in */
	enum bind_mode mode;
	struct cte *ctes;   /* innermost first */
	bool open_literals; /* the next SELECT is an arm of a UNION */
	uint32_t depth;
	uint32_t inline_depth;
	struct bind_totals *totals;
	struct plan_read *reads; /* BIND_SOURCES_MAX */
	uint32_t read_count;
	const struct sql_view_info *diff; /* QUERY over diff(): the two versions */
};

/* What an expression may use. */
struct scope {
	const struct rel *rel; /* NULL = no columns */
	struct agg_list *aggs; /* where aggregates go; NULL = they are refused here */
	const char *clause;    /* "WHERE", for messages */
	uint32_t conditional; /* inside branches that may not be taken: errors in constants wait for
	                         run time */
};
struct agg_list {
	struct agg *aggs;
	struct str *names;
	uint32_t count, capacity;
};

/* ---- sql_error.c: refusals ------------------------------------------------------------------- */
/* Fills the error with the line and column of byte position `location` (-1 = none) and returns
 * `err`. The first one stays. */
enum err bind_fail(struct binder *b, int32_t location, enum err err, const char *fmt, ...)
    PRINTF(4, 5);
/* What to do instead; before the bind_fail it belongs to. */
void bind_hint(struct binder *b, const char *fmt, ...) PRINTF(2, 3);
enum err bind_nomem(struct binder *b);
/* "X is not there yet" (ERR_NOT_YET). */
enum err bind_not_yet(struct binder *b, int32_t location, const char *what);
void sql_error_at(struct sql_error *e, struct str input, int32_t location);
/* Of `names`, the one nearest to `name` by edit distance, or ptr NULL when none is near. */
struct nearest {
	struct str name;
	struct str best;
	uint32_t distance;
};
void nearest_init(struct nearest *n, struct str name);
void nearest_offer(struct nearest *n, struct str candidate);

/* ---- sql_tree.c: the parse tree -------------------------------------------------------------- */
/* Text of a String node, ptr NULL for others. */
struct str tree_string(const PgQuery__Node *n);
/* The last of a list of names (a.b.c), without pg_catalog; ptr NULL when it is qualified by
 * anything else. */
struct str tree_name(size_t count, PgQuery__Node *const *names);
/* Where the node begins: its own location, else the smallest below it; -1 = unknown. */
int32_t tree_location(const ProtobufCMessage *m);
int32_t node_location(const PgQuery__Node *n);
/* SHA-256 over the tree without its locations, then over `extra`. ERR_NOMEM. */
struct tree_hash;
MUST_USE enum err tree_hash_new(struct tree_hash **ret_hash);
void tree_hash_add(struct tree_hash *h, const ProtobufCMessage *m);
void tree_hash_add_bytes(struct tree_hash *h, struct bytes b);
void tree_hash_finish(struct tree_hash *h, uint8_t ret_digest[32]); /* frees */
/* The value of an option (k = v) as text; ERR_SQL_TYPE for lists and the like. */
MUST_USE enum err tree_option(struct binder *b, const PgQuery__DefElem *d, struct str *ret_value);

/* ---- plan_new.c: making nodes ---------------------------------------------------------------- */
MUST_USE enum err plan_new(
    struct binder *b, enum plan_kind kind, uint32_t column_count, struct plan **ret_plan);
/* A node over one input with the same columns. */
MUST_USE enum err plan_over(
    struct binder *b, enum plan_kind kind, struct plan *input, struct plan **ret_plan);
/* Is there a topic below? Over rows of views nothing is ever taken back. */
bool plan_reads_topic(const struct plan *p);
void *bind_alloc(struct binder *b, size_t count, size_t len); /* zeroed; NULL on failure */
/* Makes room for one more of `count` items of `len` bytes in *items, doubling. */
MUST_USE enum err bind_grow(
    struct binder *b, void *items, uint32_t count, uint32_t *capacity, size_t len);
MUST_USE enum err bind_copy(struct binder *b, struct str s, struct str *ret_copy);
MUST_USE enum err rel_filter(struct binder *b, struct rel *rel, struct expr *predicate);
/* Copies the columns, so that names and visibilities can be changed. */
MUST_USE enum err rel_columns_copy(struct binder *b, struct rel *rel);

/* A projection in the making: expressions with names over an input. */
struct project {
	struct expr **exprs;
	struct rel_column *columns;
	uint32_t count;
	uint32_t capacity;
};
MUST_USE enum err project_add(
    struct binder *b, struct project *p, struct expr *e, struct rel_column column);
/* Finds or adds input column `column` of `rel`; as COL_INTERNAL when added. */
MUST_USE enum err project_column(struct binder *b, struct project *p, const struct rel *rel,
    uint32_t column, uint32_t *ret_index);
/* Carries keys, seq and pos of `in` along and makes the node. */
MUST_USE enum err project_finish(
    struct binder *b, struct project *p, const struct rel *in, struct rel *ret_rel);

/* ---- expr_new.c: making and comparing expressions -------------------------------------------- */
struct expr *expr_new(
    struct binder *b, enum expr_kind kind, struct type type, uint32_t arg_count, int32_t location);
struct expr *expr_column(struct binder *b, uint32_t column, struct type type, int32_t location);
struct expr *expr_const(struct binder *b, struct type type, struct datum value, int32_t location);
struct expr *expr_null(struct binder *b, struct type type, int32_t location);
bool expr_equal(const struct expr *a, const struct expr *b);
bool expr_has_columns(const struct expr *e);
/* Refuses when `copies` of the expression would make more than BIND_COPIES_MAX nodes: BETWEEN and
 * CASE x WHEN repeat an operand, and nested ones would double it at each level. */
MUST_USE enum err expr_copies_ok(struct binder *b, const struct expr *e, size_t copies);
/* Folds a call over constants; sets can_fail. Errors point at the expression, unless
 * scope->conditional. */
MUST_USE enum err expr_done(
    struct binder *b, const struct scope *s, struct expr *e, struct expr **ret_expr);
/* A copy in which columns are renumbered by map[column]. NULL = no memory. */
struct expr *expr_remap(struct arena *arena, const struct expr *e, const uint32_t *map);
/* A copy in which each column is replaced by an expression over another input. NULL = no memory. */
struct expr *expr_substitute(
    struct arena *arena, const struct expr *e, struct expr *const *columns);
/* Adds how often each column is used. */
void expr_count(const struct expr *e, uint32_t *uses);
/* Marks the columns that the expression reads. */
void expr_mark(const struct expr *e, uint8_t *needed);

/* ---- bind_type.c: types and coercion --------------------------------------------------------- */
static inline struct type type_of(enum type_id id)
{
	return (struct type){id, 0, 0};
}
MUST_USE enum err bind_type(struct binder *b, const PgQuery__TypeName *t, struct type *ret_type);
/* A literal of INTERVAL '10' SECOND and the like: `text` with the unit its type name demands. */
MUST_USE enum err bind_interval_unit(
    struct binder *b, const PgQuery__TypeName *t, struct str *text);
/* To `type` by casts of the levels (FUNC_CAST_); an unknown literal is read as `type`.
 * ERR_SQL_TYPE. */
MUST_USE enum err coerce(
    struct binder *b, const struct scope *s, struct expr **e, struct type type, unsigned levels);
bool can_coerce(enum type_id from, enum type_id to); /* implicitly */
char type_category(enum type_id id); /* PostgreSQL's letters: N numbers, S strings, D times, ... */
bool type_preferred(enum type_id id);
/* PostgreSQL's select_common_type: for CASE, COALESCE, IN, UNION, VALUES. `what` names it in
 * errors. */
MUST_USE enum err common_type(
    struct binder *b, struct expr **exprs, uint32_t count, const char *what, struct type *ret_type);
MUST_USE enum err coerce_boolean(
    struct binder *b, const struct scope *s, struct expr **e, const char *what);
/* Unknown becomes text. */
MUST_USE enum err coerce_unknown(struct binder *b, const struct scope *s, struct expr **e);
MUST_USE enum err literal_interval_us(
    struct binder *b, struct str text, int32_t location, int64_t *ret_us);
const char *type_text(struct type t, char buf[64]); /* with its modifiers */
bool type_by_name(struct str name, enum type_id *ret_id);
unsigned levels_implicit(void);
unsigned levels_assignment(void);
unsigned levels_explicit(void);

/* ---- overload.c ------------------------------------------------------------------------------ */
/* The overload for the argument types, or an error that lists what is wrong. `is_operator` shapes
 * the message. */
struct overload {
	struct str name;
	const struct expr *const *args;
	uint32_t arg_count;
	bool is_operator;
	int32_t location;
};
MUST_USE enum err overload_find(
    struct binder *b, const struct overload *o, const struct func **ret_func);
enum type_id overload_arg(const struct func *f, uint32_t index);
/* Resolves, coerces, builds, folds. */
MUST_USE enum err bind_func(struct binder *b, const struct scope *s, struct overload *o,
    struct expr **args, struct expr **ret_expr);

/* Tries a call's constant arguments, see bind_probe.c. */
MUST_USE enum err bind_probe(struct binder *b, const struct scope *s, const struct expr *call);

/* ---- bind_expr.c, bind_op.c, bind_call.c ----------------------------------------------------- */
MUST_USE enum err bind_expr(
    struct binder *b, const struct scope *s, const PgQuery__Node *n, struct expr **ret_expr);
MUST_USE enum err bind_exprs(struct binder *b, const struct scope *s, size_t count,
    PgQuery__Node *const *nodes, struct expr ***ret_exprs);
MUST_USE enum err bind_op(
    struct binder *b, const struct scope *s, const PgQuery__AExpr *x, struct expr **ret_expr);
MUST_USE enum err bind_call(
    struct binder *b, const struct scope *s, const PgQuery__FuncCall *x, struct expr **ret_expr);
MUST_USE enum err bind_column(
    struct binder *b, const struct scope *s, const PgQuery__ColumnRef *x, struct expr **ret_expr);
/* Index of the column called `name` in rel, -1 = none, -2 = several. */
int32_t rel_find(const struct rel *rel, struct str name);
MUST_USE enum err bind_no_column(
    struct binder *b, const struct rel *rel, struct str name, int32_t location);
/* A boolean for WHERE, HAVING, CHECK, FILTER. */
MUST_USE enum err bind_condition(
    struct binder *b, const struct scope *s, const PgQuery__Node *n, struct expr **ret_expr);
/* A constant: literals, casts of them, functions of constants. */
MUST_USE enum err bind_constant(
    struct binder *b, const PgQuery__Node *n, const char *what, struct expr **ret_expr);

/* ---- bind_from.c, bind_select.c, ... : relations --------------------------------------------- */
MUST_USE enum err bind_select(struct binder *b, const PgQuery__SelectStmt *x, struct rel *ret_rel);
MUST_USE enum err bind_from(struct binder *b, const PgQuery__SelectStmt *x, struct rel *ret_rel);
MUST_USE enum err bind_name(
    struct binder *b, struct str name, int32_t location, struct rel *ret_rel);
MUST_USE enum err bind_window(struct binder *b, const PgQuery__FuncCall *x, struct rel *ret_rel);
MUST_USE enum err bind_source(struct binder *b, const struct table *t, struct rel *ret_rel);
MUST_USE enum err bind_union(struct binder *b, const PgQuery__SelectStmt *x, struct rel *ret_rel);
MUST_USE enum err bind_values(struct binder *b, const PgQuery__SelectStmt *x, struct rel *ret_rel);
/* Refuses in a view: its rows come from records. */
MUST_USE enum err bind_no_source(struct binder *b, int32_t location);
/* One row without columns. */
MUST_USE enum err bind_one_row(struct binder *b, struct rel *ret_rel);
/* ORDER BY, LIMIT and OFFSET over a finished set operation or VALUES: by names and ordinals of its
 * columns. */
MUST_USE enum err bind_tail(struct binder *b, const PgQuery__SelectStmt *x, struct rel *rel);
/* DISTINCT over all columns, which must be visible ones. */
MUST_USE enum err rel_distinct(struct binder *b, struct rel *rel);
/* Renames the first visible columns: t (a, b). */
MUST_USE enum err rel_rename(
    struct binder *b, struct rel *rel, size_t count, PgQuery__Node *const *names, int32_t location);
MUST_USE enum err bind_alias(
    struct binder *b, struct rel *rel, const PgQuery__Alias *alias, int32_t location);

/* The SELECT of a CREATE MATERIALIZED VIEW, with the view's own column names. */
MUST_USE enum err bind_view_rel(
    struct binder *b, const PgQuery__CreateTableAsStmt *x, struct rel *ret_rel);

/* ---- plan_finish.c --------------------------------------------------------------------------- */
/* Prunes, numbers and completes: the root gets the visible columns, then (views) the keys. */
MUST_USE enum err plan_finish(struct binder *b, const struct rel *rel, struct view_plan **ret_plan);
