/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DISTINCT, DISTINCT ON, ORDER BY, LIMIT. Any order is completed to a total one: over records by
 * (_sequence, _pos), else by the key of the rows. So the first row of a group is always the same
 * row.
 */
#include "processor/sql/bind_select.h"

static enum err order_item(struct binder *b, const PgQuery__SortBy *x, struct order_item *o)
{
	if (x->sortby_dir == PG_QUERY__SORT_BY_DIR__SORTBY_USING)
		return bind_fail(b, x->location > 0 ? x->location : node_location(x->node),
		    ERR_SQL_UNSUPPORTED, "ORDER BY .. USING is not supported");
	o->descending = x->sortby_dir == PG_QUERY__SORT_BY_DIR__SORTBY_DESC;
	o->nulls_first = o->descending;
	if (x->sortby_nulls == PG_QUERY__SORT_BY_NULLS__SORTBY_NULLS_FIRST)
		o->nulls_first = true;
	else if (x->sortby_nulls == PG_QUERY__SORT_BY_NULLS__SORTBY_NULLS_LAST)
		o->nulls_first = false;
	o->location = node_location(x->node);
	return ERR_OK;
}

enum err select_order(struct binder *b, struct select *s)
{
	const PgQuery__SelectStmt *x = s->tree;
	s->order = bind_alloc(b, x->n_sort_clause, sizeof *s->order);
	if (!s->order)
		return bind_nomem(b);
	for (size_t i = 0; i < x->n_sort_clause; i++) {
		const PgQuery__SortBy *by = x->sort_clause[i]->sort_by;
		struct order_item *o = &s->order[s->order_count];
		TRY(order_item(b, by, o));
		TRY(select_find_target(b, s, by->node, "ORDER BY", &o->target));
		TRY(check_key_type(b, s->targets[o->target].expr->type, o->location, "ORDER BY"));
		bool known = false;
		for (uint32_t k = 0; k < s->order_count && !known; k++)
			known = s->order[k].target == o->target;
		s->order_count += !known;
	}
	return ERR_OK;
}

static bool is_distinct_on(const struct select *s, uint32_t target)
{
	for (uint32_t i = 0; i < s->distinct_on_count; i++)
		if (s->distinct_on[i] == target)
			return true;
	return false;
}

/* PostgreSQL: all of ORDER BY's leading items must be DISTINCT ON's, until those are used up. */
static enum err match_order(struct binder *b, const struct select *s)
{
	uint32_t covered = 0;
	for (uint32_t i = 0; i < s->order_count; i++) {
		if (is_distinct_on(s, s->order[i].target)) {
			covered++;
			continue;
		}
		if (covered < s->distinct_on_count)
			return bind_fail(b, s->order[i].location, ERR_SQL_SYNTAX,
			    "SELECT DISTINCT ON expressions must match initial ORDER BY "
			    "expressions");
	}
	return ERR_OK;
}

enum err select_distinct_on(struct binder *b, struct select *s)
{
	const PgQuery__SelectStmt *x = s->tree;
	if (x->n_distinct_clause == 0)
		return ERR_OK;
	if (x->n_distinct_clause == 1 &&
	    x->distinct_clause[0]->node_case == PG_QUERY__NODE__NODE__NOT_SET) {
		s->distinct = true;
		return ERR_OK;
	}
	s->distinct_on = bind_alloc(b, x->n_distinct_clause, sizeof *s->distinct_on);
	if (!s->distinct_on)
		return bind_nomem(b);
	for (size_t i = 0; i < x->n_distinct_clause; i++) {
		uint32_t target = 0;
		int32_t at = node_location(x->distinct_clause[i]);
		TRY(select_find_target(b, s, x->distinct_clause[i], "DISTINCT ON", &target));
		TRY(check_key_type(b, s->targets[target].expr->type, at, "DISTINCT ON"));
		if (!is_distinct_on(s, target))
			s->distinct_on[s->distinct_on_count++] = target;
	}
	return match_order(b, s);
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static void order_add(struct plan *p, uint32_t column)
{
	for (uint32_t i = 0; i < p->order_count; i++)
		if (p->order[i].column == column)
			return;
	for (uint32_t i = 0; i < p->key_count; i++)
		if (p->keys[i] == column)
			return;
	p->order[p->order_count++] = (struct plan_order){column, false, false};
}

/* Room for the items and everything that completes them. */
static enum err order_alloc(struct binder *b, struct plan *p, uint32_t items, const struct rel *rel)
{
	p->order = bind_alloc(b, items + rel->key_count + 2, sizeof *p->order);
	return p->order ? ERR_OK : bind_nomem(b);
}

static void order_complete(struct plan *p, const struct rel *rel)
{
	if (rel->seq >= 0) {
		order_add(p, (uint32_t)rel->seq);
		order_add(p, (uint32_t)rel->pos);
	}
	for (uint32_t i = 0; i < rel->key_count && !(rel->seq >= 0 && rel->seq_unique); i++)
		order_add(p, rel->keys[i]);
}

/* First come, first kept: what is chosen never changes. */
static bool first_wins(const struct plan *p, const struct rel *rel)
{
	return rel->seq >= 0 && p->order_count >= 2 && p->order[0].column == (uint32_t)rel->seq &&
	       !p->order[0].descending && p->order[1].column == (uint32_t)rel->pos &&
	       !p->order[1].descending;
}

static enum err distinct_on_node(struct binder *b, const struct select *s, struct rel *rel)
{
	struct plan *p = NULL;
	TRY(plan_over(b, PLAN_DISTINCT_ON, rel->plan, &p));
	p->keys = bind_alloc(b, s->distinct_on_count, sizeof *p->keys);
	if (!p->keys)
		return bind_nomem(b);
	memcpy(p->keys, s->distinct_on, s->distinct_on_count * sizeof *p->keys);
	p->key_count = s->distinct_on_count;
	TRY(order_alloc(b, p, s->order_count, rel));
	for (uint32_t i = 0; i < s->order_count; i++) {
		const struct order_item *o = &s->order[i];
		if (!is_distinct_on(s, o->target)) /* the same for all rows of a key */
			p->order[p->order_count++] =
			    (struct plan_order){o->target, o->descending, o->nulls_first};
	}
	order_complete(p, rel);
	p->stateful = true;
	p->append_only = rel->plan->append_only && (first_wins(p, rel) || !plan_reads_topic(p));
	rel->plan = p;
	rel->keys = p->keys;
	rel->key_count = p->key_count;
	return ERR_OK;
}

enum err rel_distinct(struct binder *b, struct rel *rel)
{
	struct plan *p = NULL;
	uint32_t count = rel->plan->column_count;
	for (uint32_t i = 0; i < count; i++) {
		ASSERT(rel->columns[i].visibility == COL_VISIBLE);
		int32_t at = rel->columns[i].location;
		TRY(check_key_type(b, rel->columns[i].type, at > 0 ? at : -1, "SELECT DISTINCT"));
	}
	TRY(plan_over(b, PLAN_DISTINCT, rel->plan, &p));
	p->stateful = true;
	rel->plan = p;
	rel->seq = rel->pos = -1;
	rel->keys = bind_alloc(b, count, sizeof *rel->keys);
	if (!rel->keys)
		return bind_nomem(b);
	for (uint32_t i = 0; i < count; i++)
		rel->keys[i] = i;
	rel->key_count = count;
	return ERR_OK;
}

static enum err sort_node(
    struct binder *b, const struct order_item *items, uint32_t count, struct rel *rel)
{
	struct plan *p = NULL;
	if (count == 0)
		return ERR_OK;
	if (b->mode != BIND_QUERY && b->mode != BIND_EXPLAIN) {
		bind_hint(b, "a view is a set of rows; write ORDER BY in the query that reads it");
		return bind_fail(
		    b, items[0].location, ERR_SQL_UNSUPPORTED, "ORDER BY is not allowed in a view");
	}
	TRY(plan_over(b, PLAN_SORT, rel->plan, &p));
	TRY(order_alloc(b, p, count, rel));
	for (uint32_t i = 0; i < count; i++)
		p->order[p->order_count++] =
		    (struct plan_order){items[i].target, items[i].descending, items[i].nulls_first};
	order_complete(p, rel);
	rel->plan = p;
	return ERR_OK;
}

/* ---- LIMIT ----------------------------------------------------------------------------------- */

static enum err limit_value(
    struct binder *b, const PgQuery__Node *n, const char *what, int64_t *ret_value)
{
	struct expr *e = NULL;
	if (!n || (n->node_case == PG_QUERY__NODE__NODE_A_CONST &&
	              n->a_const->isnull)) /* LIMIT ALL, LIMIT NULL */
		return ERR_OK;
	TRY(bind_constant(b, n, what, &e));
	if (e->type.id == TYPE_TEXT)
		e->type = type_of(TYPE_UNKNOWN); /* LIMIT '10' */
	TRY(coerce(b, NULL, &e, type_of(TYPE_INT8), levels_assignment()));
	if (e->value.null)
		return ERR_OK;
	if (e->value.i < 0)
		return bind_fail(
		    b, node_location(n), ERR_SQL_TYPE, "%s must not be negative", what);
	*ret_value = e->value.i;
	return ERR_OK;
}

static enum err limit_node(struct binder *b, const PgQuery__SelectStmt *x, struct rel *rel)
{
	struct plan *p = NULL;
	if (!x->limit_count && !x->limit_offset)
		return ERR_OK;
	int32_t at = node_location(x->limit_count ? x->limit_count : x->limit_offset);
	if (b->mode == BIND_VIEW) {
		bind_hint(b, "write LIMIT in the query that reads the view");
		return bind_fail(
		    b, at, ERR_SQL_UNSUPPORTED, "LIMIT and OFFSET are not allowed in a view");
	}
	if (x->limit_option == PG_QUERY__LIMIT_OPTION__LIMIT_OPTION_WITH_TIES)
		return bind_not_yet(b, at, "WITH TIES is");
	TRY(plan_over(b, PLAN_LIMIT, rel->plan, &p));
	TRY(limit_value(b, x->limit_count, "LIMIT", &p->limit));
	TRY(limit_value(b, x->limit_offset, "OFFSET", &p->offset));
	if (p->limit >= 0 || p->offset > 0) /* LIMIT ALL is none */
		rel->plan = p;
	return ERR_OK;
}

enum err select_tail(struct binder *b, struct select *s, struct rel *rel)
{
	if (s->distinct_on_count > 0) {
		TRY(distinct_on_node(b, s, rel));
		if (b->mode != BIND_VIEW)
			TRY(sort_node(b, s->order, s->order_count, rel));
	} else {
		if (s->distinct)
			TRY(rel_distinct(b, rel));
		TRY(sort_node(b, s->order, s->order_count, rel));
	}
	return limit_node(b, s->tree, rel);
}

/* ---- over a set operation -------------------------------------------------------------------- */

static enum err tail_column(
    struct binder *b, const struct rel *rel, const PgQuery__Node *n, uint32_t *ret_column)
{
	int32_t found = -1;
	int32_t at = node_location(n);
	if (n->node_case == PG_QUERY__NODE__NODE_COLUMN_REF && n->column_ref->n_fields == 1) {
		struct str name = tree_string(n->column_ref->fields[0]);
		found = name.ptr ? rel_find(rel, name) : -1;
		if (found == -2)
			return bind_fail(b, at, ERR_SQL_AMBIGUOUS, "ORDER BY \"%.*s\" is ambiguous",
			    STR_ARG(name));
		if (found < 0)
			return bind_no_column(b, rel, name, at);
	} else if (n->node_case == PG_QUERY__NODE__NODE_A_CONST && !n->a_const->isnull &&
	           n->a_const->val_case == PG_QUERY__A__CONST__VAL_IVAL) {
		found = n->a_const->ival->ival - 1;
		if (found < 0 || (uint32_t)found >= rel->plan->column_count ||
		    rel->columns[found].visibility != COL_VISIBLE)
			return bind_fail(b, at, ERR_SQL_NAME,
			    "ORDER BY position %d is not in select list", n->a_const->ival->ival);
	} else {
		bind_hint(b,
		    "only names and positions of its columns can be used; wrap it in a subquery");
		return bind_fail(b, at, ERR_SQL_UNSUPPORTED,
		    "ORDER BY of a UNION or VALUES takes no expressions");
	}
	*ret_column = (uint32_t)found;
	return ERR_OK;
}

enum err bind_tail(struct binder *b, const PgQuery__SelectStmt *x, struct rel *rel)
{
	struct order_item *items = bind_alloc(b, x->n_sort_clause, sizeof *items);
	if (!items)
		return bind_nomem(b);
	for (size_t i = 0; i < x->n_sort_clause; i++) {
		const PgQuery__SortBy *by = x->sort_clause[i]->sort_by;
		TRY(order_item(b, by, &items[i]));
		TRY(tail_column(b, rel, by->node, &items[i].target));
		TRY(check_key_type(
		    b, rel->columns[items[i].target].type, items[i].location, "ORDER BY"));
	}
	TRY(sort_node(b, items, (uint32_t)x->n_sort_clause, rel));
	return limit_node(b, x, rel);
}
