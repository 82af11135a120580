/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Inside the operators: one struct op per plan node that does something, in an array where inputs
 * stand before their consumers; each pushes into the one above it. A stateful operator takes rows
 * in, and only in its flush sends changes on: for each changed key the row that downstream has
 * (weight -1) directly followed by the new one (+1).
 */
#include "processor/op/op.h"
#include "processor/op/state_table.h"

/* Rows on their way. What it points to lives until the push returns, in a record until the record
 * ends. */
struct delta {
	struct batch b;
	struct op_lineage *lineage; /* per row; NULL: each row is its record (b.origin) */
	/* only from the operator whose state travels with the rows; then no weights: */
	struct bytes *state; /* ptr NULL = the row is gone */
	bool *inserted;
	struct bytes *key;
	uint32_t capacity; /* of one that an operator makes */
};
/* Keeps the rows named in `rows` (ascending). */
void delta_keep(struct delta *d, const uint32_t *rows, uint32_t count);
static inline int32_t delta_weight(const struct delta *d, uint32_t row)
{
	return d->b.weight ? d->b.weight[row] : 1;
}
struct op_lineage delta_lineage(const struct delta *d, uint32_t row);

struct op {
	struct op_tree *tree;
	const struct plan *plan; /* NULL for the sink */
	const char *name;
	struct op *out;
	struct arena arena; /* rows this operator makes in its flush */
	enum err (*push)(struct op *op, struct delta *d);
	enum err (*flush)(struct op *op); /* NULL: nothing is kept */
	void (*free)(struct op *op);
	struct state_table *tables[2]; /* entries, parts; NULL = none */
};

struct op_tree {
	const struct view_plan *plan;
	const struct op_env *env;
	struct op **ops; /* inputs first, the sink last */
	uint32_t op_count;
	struct state_table **tables; /* by state number: entries, then parts; NULL = none */
	uint32_t table_count;
	struct op **sources;  /* by source_id: who takes its rows */
	struct arena scratch; /* rows of the push in progress */
	int32_t row_state;
	bool needs_records;
	bool done; /* a LIMIT is full */
	/* the record in progress */
	bool recording;
	bool record_failed;
	struct origin record; /* of its first row */
	bool has_record_origin;
	struct row_errors errors; /* reused by every evaluation */
};

/* Reports a failed row: the caller drops it. In a query it is the error that ends it. */
MUST_USE enum err op_row_error(struct op *op, const struct delta *d, const struct row_error *error);
/* Reports all of tree->errors and drops their rows; then clears them. */
MUST_USE enum err op_drop_failed(struct op *op, struct delta *d);
/* Evaluates into *ret_vec over d's rows; errors gather in tree->errors. */
MUST_USE enum err op_eval(struct op *op, const struct expr *e, struct delta *d,
    const uint8_t *active, struct vec *ret_vec);
/* Makes an empty delta for about `rows` rows of the op's output (BATCH_ROWS_MAX at most, room for
 * two at least), with weights, lineage and null arrays. */
MUST_USE enum err op_delta_new(struct op *op, uint64_t rows, struct delta *ret_delta);
/* Makes it one that carries state instead of weights. */
MUST_USE enum err op_delta_with_state(struct op *op, struct delta *d);
/* Sends it when there is no room for two more rows, or at the end; then starts anew. */
MUST_USE enum err op_delta_send(struct op *op, struct delta *d, bool end);
void op_init(struct op *op, struct op_tree *t, const struct plan *plan, const char *name);

/* One constructor per kind; they read op->plan only. */
MUST_USE enum err op_filter_new(struct op_tree *t, const struct plan *plan, struct op **ret_op);
MUST_USE enum err op_project_new(struct op_tree *t, const struct plan *plan, struct op **ret_op);
MUST_USE enum err op_union_new(struct op_tree *t, const struct plan *plan, struct op **ret_op);
MUST_USE enum err op_values_new(struct op_tree *t, const struct plan *plan, struct op **ret_op);
MUST_USE enum err op_sort_new(struct op_tree *t, const struct plan *plan, struct op **ret_op);
MUST_USE enum err op_limit_new(struct op_tree *t, const struct plan *plan, struct op **ret_op);
/* Also DISTINCT: a group by all columns without aggregates. */
MUST_USE enum err op_aggregate_new(struct op_tree *t, const struct plan *plan, struct op **ret_op);
MUST_USE enum err op_distinct_on_new(
    struct op_tree *t, const struct plan *plan, struct op **ret_op);
MUST_USE enum err op_sink_new(struct op_tree *t, struct op **ret_op);
/* End of a record: hands over what was held, or forgets it. */
MUST_USE enum err op_sink_end(struct op *op, bool accepted);

/* Does the aggregate node refuse rows (overflow) that the binder cannot see? */
bool op_aggregate_can_fail(const struct plan *plan);
