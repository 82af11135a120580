/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One SELECT in the making, between its clauses (bind_select.c, bind_target.c, bind_group.c,
 * bind_order.c). */
#include "processor/sql/bind.h"

struct target {
	struct expr *expr; /* over `in`, or over the aggregate's output once it is there */
	struct str name;
	int32_t location;
	bool junk; /* only ORDER BY or DISTINCT ON asks for it */
};
struct order_item {
	uint32_t target;
	bool descending;
	bool nulls_first;
	int32_t location;
};
struct select {
	const PgQuery__SelectStmt *tree;
	struct rel in;
	struct agg_list *aggs;
	struct target *targets;
	uint32_t target_count, target_capacity;
	uint32_t visible_count; /* junk follows */
	struct expr **groups;
	uint32_t group_count;
	struct expr *having;
	struct order_item *order;
	uint32_t order_count;
	uint32_t *distinct_on; /* targets */
	uint32_t distinct_on_count;
	bool distinct;
};

/* ---- bind_target.c --------------------------------------------------------------------------- */
MUST_USE enum err select_targets(struct binder *b, struct select *s);
/* The target that an ORDER BY or DISTINCT ON item means: a name of the list, an ordinal, or an
 * expression (added as junk). */
MUST_USE enum err select_find_target(struct binder *b, struct select *s, const PgQuery__Node *n,
    const char *clause, uint32_t *ret_target);
/* GROUP BY: a name of the input first, then one of the list, an ordinal, or an expression. */
MUST_USE enum err select_group_expr(
    struct binder *b, struct select *s, const PgQuery__Node *n, struct expr **ret_expr);

/* ---- bind_group.c ---------------------------------------------------------------------------- */
MUST_USE enum err select_groups(struct binder *b, struct select *s);
/* Puts the aggregation into s->in and rewrites targets and HAVING over its output. */
MUST_USE enum err select_aggregate(struct binder *b, struct select *s);
/* Values of the type can be told apart by their bytes: jsonb cannot. */
MUST_USE enum err check_key_type(
    struct binder *b, struct type type, int32_t location, const char *what);

/* ---- bind_order.c ---------------------------------------------------------------------------- */
MUST_USE enum err select_order(struct binder *b, struct select *s);
MUST_USE enum err select_distinct_on(struct binder *b, struct select *s);
/* DISTINCT, DISTINCT ON, ORDER BY, LIMIT over the projected targets. */
MUST_USE enum err select_tail(struct binder *b, struct select *s, struct rel *rel);
