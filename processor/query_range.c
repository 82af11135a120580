/* SPDX-License-Identifier: Apache-2.0 */
/* Key ranges of queries, see query_range.h. */
#include "processor/query_range.h"

enum { RANGE_KEY_BYTES_MAX = 1 << 20 };

void key_range_init(struct key_range *r)
{
	*r = (struct key_range){0};
	writer_init(&r->from, RANGE_KEY_BYTES_MAX);
	writer_init(&r->to, RANGE_KEY_BYTES_MAX);
}

void key_range_release(struct key_range *r)
{
	writer_release(&r->from);
	writer_release(&r->to);
}

/* The filter whose input is `source`; NULL when there is none. */
static const struct plan *filter_over(const struct plan *p, const struct plan *source)
{
	if (p->kind == PLAN_FILTER && p->input_count == 1 && p->inputs[0] == source)
		return p;
	for (uint32_t i = 0; i < p->input_count; i++) {
		const struct plan *found = filter_over(p->inputs[i], source);
		if (found)
			return found;
	}
	return NULL;
}

/* The constant that `e` demands of the column; NULL when it demands none. */
static const struct expr *demanded(const struct expr *e, uint32_t column, enum type_id type)
{
	if (e->kind == EXPR_AND) {
		for (uint32_t i = 0; i < e->arg_count; i++) {
			const struct expr *found = demanded(e->args[i], column, type);
			if (found)
				return found;
		}
		return NULL;
	}
	if (e->kind != EXPR_CALL || e->arg_count != 2 || !e->func ||
	    strcmp(e->func->name, "=") != 0)
		return NULL;
	for (int i = 0; i < 2; i++) {
		const struct expr *a = e->args[i], *b = e->args[1 - i];
		if (a->kind == EXPR_COLUMN && a->column == column && b->kind == EXPR_CONST &&
		    !b->value.null && a->type.id == type && b->type.id == type)
			return b;
	}
	return NULL;
}

/* The end of the range of keys that start with `from`. */
static void range_end(struct key_range *r)
{
	size_t len = r->from.len;
	while (len > 0 && r->from.ptr[len - 1] == 0xff)
		len--;
	if (len == 0)
		return;
	write_bytes(&r->to, bytes_slice(writer_bytes(&r->from), 0, len));
	if (r->to.err)
		return;
	r->to.ptr[len - 1]++;
	r->has_end = true;
}

enum err key_range_find(struct key_range *r, const struct view_plan *plan,
    const struct plan *source, const struct view_plan *view)
{
	const struct plan *filter = filter_over(plan->root, source);
	if (!filter)
		return ERR_OK;
	for (uint32_t i = 0; i < view->key_count && view->keys[i] < view->visible_count; i++) {
		enum type_id type = source->columns[view->keys[i]].type.id;
		const struct expr *e = demanded(filter->predicate, view->keys[i], type);
		if (!e)
			break;
		key_encode(&r->from, type, e->value);
		r->bounded = true;
	}
	if (r->bounded)
		range_end(r);
	return r->from.err ? r->from.err : r->to.err;
}
