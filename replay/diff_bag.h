/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Two multisets of rows in memory, compared. Rows are equal when their values are (1.0 = 1.00, NaN
 * = NaN, NULL = NULL). At most DIFF_BAG_BYTES_MAX; beyond it ERR_LIMIT.
 */
#include "processor/processor.h"

#define DIFF_BAG_BYTES_MAX (1 * GIB)

enum diff_change { DIFF_ADDED, DIFF_REMOVED, DIFF_SAME };
struct bag_entry;
struct diff_bag {
	struct arena arena;
	struct map map;
	struct bag_entry *first; /* all entries, newest first */
	size_t count;
	const struct plan_column *columns;
	uint32_t column_count;
	struct writer row;
};
void diff_bag_init(struct diff_bag *b, const struct plan_column *columns, uint32_t column_count);
void diff_bag_release(struct diff_bag *b);
/* A row of version a (side 0) or b (side 1). */
MUST_USE enum err diff_bag_add(struct diff_bag *b, int side, const struct datum *values);
/* Each row once per occurrence, in the order of its columns: what both have first, then what only
 * one has. */
MUST_USE enum err diff_bag_walk(struct diff_bag *b,
    enum err (*fn)(void *ctx, enum diff_change change, const struct datum *values, uint32_t count),
    void *ctx);
