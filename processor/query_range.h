/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Key equality pushed down: from the WHERE right above a view's rows, the range of encoded keys
 * that can pass it. Only column = constant over a prefix of the view's key columns counts;
 * everything else is left to the filter, which stays in place. Pure.
 */
#include "processor/sql/plan.h"

struct key_range {
	struct writer from, to;
	bool bounded, has_end;
};
void key_range_init(struct key_range *r);
void key_range_release(struct key_range *r);
/* `source`: the PLAN_ROWS node within `plan`; `view`: the plan of the view version it reads. */
MUST_USE enum err key_range_find(struct key_range *r, const struct view_plan *plan,
    const struct plan *source, const struct view_plan *view);
static inline struct bytes key_range_from(const struct key_range *r)
{
	return r->bounded ? writer_bytes(&r->from) : (struct bytes){NULL, 0};
}
static inline struct bytes key_range_to(const struct key_range *r)
{
	return r->has_end ? writer_bytes(&r->to) : (struct bytes){NULL, 0};
}
