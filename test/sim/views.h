/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Inside the simulated clients of views: statements (views.c) and what rows must be (view_model.c).
 */
#include "test/sim/world.h"

enum view_kind { VIEW_SUM, VIEW_ALL, VIEW_LAST, VIEW_RANGE };
enum { VIEW_VERSIONS_MAX = 128 };

struct view_list {
	struct proc_version_status version[VIEW_VERSIONS_MAX];
	size_t count;
};
/* The rows of a snapshot are what the records up to its sequence make. */
void view_compare(
    struct world *w, enum view_kind kind, int32_t version, struct proc_snapshot *snapshot);
/* A version that has read everything: accepted and dead records are all there are. */
void view_count(struct world *w, enum view_kind kind, const struct proc_version_status *s);
/* Do two versions miss the same batches, because they had rotted when they came to them? */
bool view_same_holes(struct world *w, enum view_kind kind, int32_t one, int32_t other);
const char *view_name(enum view_kind kind);
