/* SPDX-License-Identifier: Apache-2.0 */
/* AND, OR, CASE, COALESCE, IS DISTINCT FROM, NULLIF, GREATEST, LEAST and IN. */
#include "processor/op/expr_parts.h"
#include "processor/op/func.h"

#include <stdlib.h>

/* A mask of the active rows that may be narrowed. */
static uint8_t *mask_new(struct eval *ev)
{
	uint8_t *mask = func_alloc(ev, ev->count ? ev->count : 1);
	if (!mask)
		return NULL;
	if (ev->active)
		memcpy(mask, ev->active, ev->count);
	else
		memset(mask, 1, ev->count);
	return mask;
}

static enum err eval_masked(struct eval *ev, const uint8_t *mask, const struct expr *e,
    const struct batch *in, struct vec *ret_vec)
{
	const uint8_t *outer = ev->active;
	ev->active = mask;
	enum err err = expr_eval(ev, e, in, ret_vec);
	ev->active = outer;
	return err;
}

/* ---- AND, OR --------------------------------------------------------------------------------- */

/* Folds one argument in. `decider` is the value that settles the result: false for AND, true for
 * OR. */
static void fold(const struct vec *arg, bool decider, uint32_t count, struct vec *out)
{
	if (!arg->null && !out->null) {
		for (uint32_t r = 0; r < count; r++) {
			uint8_t b = arg->b[vec_row(arg, r)] != 0;
			out->b[r] = decider ? out->b[r] | b : out->b[r] & b;
		}
		return;
	}
	for (uint32_t r = 0; r < count; r++) {
		bool null = vec_is_null(arg, r), decided = !out->null[r] && out->b[r] == decider;
		if (decided)
			continue;
		if (null) {
			out->null[r] = 1;
		} else if ((arg->b[vec_row(arg, r)] != 0) == decider) {
			out->b[r] = decider;
			out->null[r] = 0;
		}
	}
}

enum err expr_logic(
    struct eval *ev, const struct expr *e, const struct batch *in, struct vec *ret_vec)
{
	bool decider = e->kind == EXPR_OR;
	struct vec out;
	uint8_t *mask = NULL;
	if ((ev->fatal = vec_init(&out, ev->arena, e->type, ev->count)) != ERR_OK)
		return ev->fatal;
	memset(out.b, !decider, ev->count);
	for (uint32_t a = 0; a < e->arg_count; a++) {
		struct vec arg;
		if (a > 0 && e->args[a]->can_fail) {
			if (!mask && !(mask = mask_new(ev)))
				return ev->fatal;
			for (uint32_t r = 0; r < ev->count; r++)
				mask[r] &= (out.null && out.null[r]) || out.b[r] != decider;
		}
		TRY(eval_masked(
		    ev, a > 0 && e->args[a]->can_fail ? mask : ev->active, e->args[a], in, &arg));
		if (arg.null && (ev->fatal = vec_init_nulls(&out, ev->arena, ev->count)) != ERR_OK)
			return ev->fatal;
		fold(&arg, decider, ev->count, &out);
	}
	*ret_vec = out;
	return ERR_OK;
}

/* ---- CASE, COALESCE -------------------------------------------------------------------------- */

static void copy_value(struct vec *out, const struct vec *from, uint32_t row)
{
	size_t width = type_width(out->type.id);
	memcpy((uint8_t *)out->data + row * width,
	    (const uint8_t *)from->data + vec_row(from, row) * width, width);
}

/* Takes `from` for the rows of `rows`; the null array exists. */
static void take_rows(struct vec *out, const struct vec *from, const uint8_t *rows, uint32_t count)
{
	for (uint32_t r = 0; r < count; r++) {
		if (!rows[r])
			continue;
		out->null[r] = vec_is_null(from, r);
		if (!out->null[r])
			copy_value(out, from, r);
	}
}

/* Moves the rows whose condition holds from `left` to `now`; true when there are any. */
static bool split_rows(const struct vec *condition, uint8_t *left, uint8_t *now, uint32_t count)
{
	bool any = false;
	for (uint32_t r = 0; r < count; r++) {
		now[r] =
		    left[r] && !vec_is_null(condition, r) && condition->b[vec_row(condition, r)];
		left[r] &= !now[r];
		any |= now[r];
	}
	return any;
}

static enum err choose_case(
    struct eval *ev, const struct expr *e, const struct batch *in, uint8_t *left, struct vec *out)
{
	uint8_t *now = func_alloc(ev, ev->count ? ev->count : 1);
	if (!now)
		return ev->fatal;
	struct vec v;
	for (uint32_t a = 0; a + 1 < e->arg_count; a += 2) {
		TRY(eval_masked(ev, left, e->args[a], in, &v));
		if (!split_rows(&v, left, now, ev->count))
			continue;
		TRY(eval_masked(ev, now, e->args[a + 1], in, &v));
		take_rows(out, &v, now, ev->count);
	}
	TRY(eval_masked(ev, left, e->args[e->arg_count - 1], in, &v));
	take_rows(out, &v, left, ev->count);
	return ERR_OK;
}

static enum err choose_first(
    struct eval *ev, const struct expr *e, const struct batch *in, uint8_t *left, struct vec *out)
{
	memset(out->null, 1, ev->count);
	for (uint32_t a = 0; a < e->arg_count; a++) {
		struct vec v;
		TRY(eval_masked(ev, left, e->args[a], in, &v));
		take_rows(out, &v, left, ev->count);
		bool any = false;
		for (uint32_t r = 0; r < ev->count; r++) {
			left[r] &= out->null[r];
			any |= left[r];
		}
		if (!any)
			break;
	}
	return ERR_OK;
}

enum err expr_choose(
    struct eval *ev, const struct expr *e, const struct batch *in, struct vec *ret_vec)
{
	struct vec out;
	uint8_t *left = mask_new(ev);
	if (!left)
		return ev->fatal;
	if ((ev->fatal = vec_init(&out, ev->arena, e->type, ev->count)) != ERR_OK ||
	    (ev->fatal = vec_init_nulls(&out, ev->arena, ev->count)) != ERR_OK)
		return ev->fatal;
	TRY(e->kind == EXPR_CASE ? choose_case(ev, e, in, left, &out)
	                         : choose_first(ev, e, in, left, &out));
	*ret_vec = out;
	return ERR_OK;
}

/* ---- comparisons that are not calls ---------------------------------------------------------- */

static int compare_rows(const struct vec *a, const struct vec *b, uint32_t row)
{
	return datum_compare(a->type.id, vec_get(a, row), vec_get(b, row));
}

static bool is_active(const struct eval *ev, uint32_t row)
{
	return !ev->active || ev->active[row];
}

enum err expr_distinct(
    struct eval *ev, const struct expr *e, const struct batch *in, struct vec *ret_vec)
{
	struct vec *args, out;
	TRY(expr_args(ev, e, in, &args));
	if ((ev->fatal = vec_init(&out, ev->arena, e->type, ev->count)) != ERR_OK)
		return ev->fatal;
	for (uint32_t r = 0; r < ev->count; r++) {
		bool a = vec_is_null(&args[0], r), b = vec_is_null(&args[1], r);
		out.b[r] =
		    a || b ? a != b : is_active(ev, r) && compare_rows(&args[0], &args[1], r) != 0;
	}
	*ret_vec = out;
	return ERR_OK;
}

enum err expr_nullif(
    struct eval *ev, const struct expr *e, const struct batch *in, struct vec *ret_vec)
{
	struct vec *args, equal, out;
	struct expr compare = *e;
	TRY(expr_args(ev, e, in, &args));
	compare.kind = EXPR_CALL;
	compare.type = (struct type){.id = TYPE_BOOL};
	compare.arg_count = 2;
	TRY(expr_call(ev, &compare, args, &equal));
	if ((ev->fatal = vec_init(&out, ev->arena, e->type, ev->count)) != ERR_OK ||
	    (ev->fatal = vec_init_nulls(&out, ev->arena, ev->count)) != ERR_OK)
		return ev->fatal;
	for (uint32_t r = 0; r < ev->count; r++) {
		out.null[r] = vec_is_null(&args[0], r) ||
		              (is_active(ev, r) && !vec_is_null(&equal, r) && equal.b[r]);
		if (!out.null[r])
			copy_value(&out, &args[0], r);
	}
	*ret_vec = out;
	return ERR_OK;
}

enum err expr_extreme(
    struct eval *ev, const struct expr *e, const struct batch *in, struct vec *ret_vec)
{
	struct vec *args, out;
	int want = e->kind == EXPR_GREATEST ? 1 : -1;
	TRY(expr_args(ev, e, in, &args));
	if ((ev->fatal = vec_init(&out, ev->arena, e->type, ev->count)) != ERR_OK ||
	    (ev->fatal = vec_init_nulls(&out, ev->arena, ev->count)) != ERR_OK)
		return ev->fatal;
	memset(out.null, 1, ev->count);
	for (uint32_t r = 0; r < ev->count; r++) {
		const struct vec *best = NULL;
		for (uint32_t a = 0; a < e->arg_count && is_active(ev, r); a++)
			if (!vec_is_null(&args[a], r) &&
			    (!best || compare_rows(&args[a], best, r) * want > 0))
				best = &args[a];
		out.null[r] = best == NULL;
		if (best)
			copy_value(&out, best, r);
	}
	*ret_vec = out;
	return ERR_OK;
}

/* ---- IN -------------------------------------------------------------------------------------- */

struct in_list {
	enum type_id type;
	struct datum *sorted;
	uint32_t count;
	bool has_null;
};

static int compare_datums(const void *a, const void *b, void *ctx)
{
	return datum_compare(
	    *(enum type_id *)ctx, *(const struct datum *)a, *(const struct datum *)b);
}

static bool in_list_has(const struct in_list *list, struct datum d)
{
	uint32_t from = 0, to = list->count;
	while (from < to) {
		uint32_t mid = from + (to - from) / 2;
		int c = datum_compare(list->type, d, list->sorted[mid]);
		if (c == 0)
			return true;
		if (c < 0)
			to = mid;
		else
			from = mid + 1;
	}
	return false;
}

/* The constant members, sorted; the others are compared one by one. */
static enum err in_list_init(
    struct eval *ev, const struct expr *e, const struct vec *args, struct in_list *list)
{
	*list = (struct in_list){.type = args[0].type.id};
	list->sorted = func_alloc(ev, e->arg_count * sizeof *list->sorted);
	if (!list->sorted)
		return ev->fatal;
	for (uint32_t a = 1; a < e->arg_count; a++) {
		if (!args[a].constant)
			continue;
		struct datum d = vec_get(&args[a], 0);
		if (d.null)
			list->has_null = true;
		else
			list->sorted[list->count++] = d;
	}
	qsort_r(list->sorted, list->count, sizeof *list->sorted, compare_datums, &list->type);
	return ERR_OK;
}

enum err expr_in(struct eval *ev, const struct expr *e, const struct batch *in, struct vec *ret_vec)
{
	struct vec *args, out;
	struct in_list list;
	TRY(expr_args(ev, e, in, &args));
	TRY(in_list_init(ev, e, args, &list));
	if ((ev->fatal = vec_init(&out, ev->arena, e->type, ev->count)) != ERR_OK ||
	    (ev->fatal = vec_init_nulls(&out, ev->arena, ev->count)) != ERR_OK)
		return ev->fatal;
	for (uint32_t r = 0; r < ev->count; r++) {
		bool unknown = list.has_null, found = false;
		out.null[r] = vec_is_null(&args[0], r);
		if (out.null[r] || !is_active(ev, r))
			continue;
		found = in_list_has(&list, vec_get(&args[0], r));
		for (uint32_t a = 1; a < e->arg_count && !found; a++) {
			if (args[a].constant)
				continue;
			if (vec_is_null(&args[a], r))
				unknown = true;
			else
				found = compare_rows(&args[0], &args[a], r) == 0;
		}
		out.b[r] = found;
		out.null[r] = !found && unknown;
	}
	*ret_vec = out;
	return ERR_OK;
}
