/* SPDX-License-Identifier: Apache-2.0 */
/* Which statement is it? What no statement of the dialect is, is refused here, with what to write
 * instead. */
#include "processor/sql/sql_lex.h"
#include "processor/sql/sql_parse.h"

/* A table's or view's name. Schemas do not exist. */
static enum err relation_name(struct binder *b, const PgQuery__RangeVar *r, struct str *ret_name)
{
	if (*r->schemaname || *r->catalogname) {
		bind_hint(b, "write \"%s\" without a schema", r->relname);
		return bind_fail(b, r->location, ERR_SQL_UNSUPPORTED, "there are no schemas");
	}
	if (strcmp(r->relpersistence, "p") != 0)
		return bind_fail(b, r->location, ERR_SQL_UNSUPPORTED,
		    "there are no temporary or unlogged relations");
	return bind_copy(b, str_of(r->relname), ret_name);
}

static enum err options_of(
    struct binder *b, struct sql_statement *s, size_t count, PgQuery__Node *const *nodes)
{
	s->options = bind_alloc(b, count, sizeof *s->options);
	if (!s->options)
		return bind_nomem(b);
	for (size_t i = 0; i < count; i++) {
		const PgQuery__DefElem *d = nodes[i]->def_elem;
		struct sql_option *o = &s->options[s->option_count];
		o->location = d->location;
		if (d->defnamespace && *d->defnamespace)
			return bind_fail(b, d->location, ERR_SQL_UNSUPPORTED,
			    "unknown option \"%s.%s\"", d->defnamespace, d->defname);
		TRY(bind_copy(b, str_of(d->defname), &o->name));
		TRY(tree_option(b, d, &o->value));
		for (uint32_t k = 0; k < s->option_count; k++)
			if (str_equal(s->options[k].name, o->name))
				return bind_fail(b, d->location, ERR_SQL_SYNTAX,
				    "option \"%s\" is given twice", d->defname);
		s->option_count++;
	}
	return ERR_OK;
}

static enum err version_of(struct binder *b, const struct sql_option *o, int32_t *ret_version)
{
	int64_t v = 0;
	if (!str_to_i64(o->value, &v) || v < 1 || v > INT32_MAX)
		return bind_fail(b, o->location, ERR_SQL_TYPE,
		    "%.*s must be a number from 1 on, not \"%.*s\"", STR_ARG(o->name),
		    STR_ARG(o->value));
	*ret_version = (int32_t)v;
	return ERR_OK;
}

/* Takes the option `name` out of the list. */
static enum err take_version(struct binder *b, struct sql_statement *s, struct str name)
{
	for (uint32_t i = 0; i < s->option_count; i++) {
		if (!str_equal(s->options[i].name, name))
			continue;
		TRY(version_of(b, &s->options[i], &s->version));
		s->option_count--;
		memmove(&s->options[i], &s->options[i + 1],
		    (s->option_count - i) * sizeof s->options[0]);
		return ERR_OK;
	}
	return ERR_OK;
}

static enum err classify_create_table(
    struct binder *b, const PgQuery__CreateStmt *x, struct sql_statement *s)
{
	s->kind = SQL_CREATE_TABLE;
	s->if_not_exists = x->if_not_exists;
	return relation_name(b, x->relation, &s->name);
}

static enum err classify_create_view(
    struct binder *b, const PgQuery__CreateTableAsStmt *x, struct sql_statement *s)
{
	if (x->objtype != PG_QUERY__OBJECT_TYPE__OBJECT_MATVIEW) {
		bind_hint(b, "write CREATE MATERIALIZED VIEW name AS SELECT ...");
		return bind_fail(
		    b, s->start, ERR_SQL_UNSUPPORTED, "CREATE TABLE AS is not supported");
	}
	s->kind = SQL_CREATE_VIEW;
	s->if_not_exists = x->if_not_exists;
	s->with_data = !x->into->skip_data;
	TRY(relation_name(b, x->into->rel, &s->name));
	if (*x->into->access_method || *x->into->table_space_name)
		return bind_fail(b, x->into->rel->location, ERR_SQL_UNSUPPORTED,
		    "USING and TABLESPACE are not supported");
	TRY(options_of(b, s, x->into->n_options, x->into->options));
	return take_version(b, s, STR("version"));
}

static enum err classify_drop(struct binder *b, const PgQuery__DropStmt *x, struct sql_statement *s)
{
	s->kind = SQL_DROP;
	s->drop_table = x->remove_type == PG_QUERY__OBJECT_TYPE__OBJECT_TABLE;
	s->if_exists = x->missing_ok;
	if (!s->drop_table && x->remove_type != PG_QUERY__OBJECT_TYPE__OBJECT_MATVIEW) {
		bind_hint(b, "DROP TABLE and DROP MATERIALIZED VIEW exist");
		return bind_fail(b, s->start, ERR_SQL_UNSUPPORTED, "this DROP is not supported");
	}
	if (x->behavior == PG_QUERY__DROP_BEHAVIOR__DROP_CASCADE) {
		bind_hint(b, "drop the views that read it first");
		return bind_fail(b, lex_find(b->input, (size_t)s->start, "cascade"),
		    ERR_SQL_UNSUPPORTED, "CASCADE is not supported");
	}
	if (x->n_objects != 1 || x->objects[0]->node_case != PG_QUERY__NODE__NODE_LIST)
		return bind_fail(b, s->start, ERR_SQL_UNSUPPORTED, "DROP takes one name");
	const PgQuery__List *names = x->objects[0]->list;
	if (names->n_items != 1)
		return bind_fail(b, s->start, ERR_SQL_UNSUPPORTED, "there are no schemas");
	return bind_copy(b, tree_string(names->items[0]), &s->name);
}

static enum err classify_alter(
    struct binder *b, const PgQuery__AlterTableStmt *x, struct sql_statement *s)
{
	bool is_view = x->objtype == PG_QUERY__OBJECT_TYPE__OBJECT_MATVIEW;
	bool is_set =
	    x->n_cmds == 1 && x->cmds[0]->node_case == PG_QUERY__NODE__NODE_ALTER_TABLE_CMD &&
	    x->cmds[0]->alter_table_cmd->subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_SetRelOptions;
	bind_hint(b, "ALTER MATERIALIZED VIEW name SET (active_version = n) exists");
	if (!is_view || !is_set)
		return bind_fail(b, s->start, ERR_SQL_UNSUPPORTED, "this ALTER is not supported");
	s->kind = SQL_ALTER_VIEW;
	s->if_exists = x->missing_ok;
	TRY(relation_name(b, x->relation, &s->name));
	const PgQuery__Node *def = x->cmds[0]->alter_table_cmd->def;
	if (!def || def->node_case != PG_QUERY__NODE__NODE_LIST)
		return bind_fail(b, s->start, ERR_SQL_UNSUPPORTED, "this ALTER is not supported");
	TRY(options_of(b, s, def->list->n_items, def->list->items));
	TRY(take_version(b, s, STR("active_version")));
	if (s->option_count > 0)
		return bind_fail(b, s->options[0].location, ERR_SQL_NAME, "unknown option \"%.*s\"",
		    STR_ARG(s->options[0].name));
	if (s->version == 0)
		return bind_fail(b, s->start, ERR_SQL_SYNTAX, "active_version is missing");
	memset(b->error->hint, 0, sizeof b->error->hint);
	return ERR_OK;
}

/* Arguments must be constants. */
static enum err args_of(struct binder *b, const PgQuery__FuncCall *x, struct sql_statement *s)
{
	s->args = bind_alloc(b, x->n_args, sizeof *s->args);
	if (!s->args)
		return bind_nomem(b);
	for (size_t i = 0; i < x->n_args; i++) {
		const PgQuery__Node *value = x->args[i];
		struct sql_arg *a = &s->args[s->arg_count++];
		if (value->node_case == PG_QUERY__NODE__NODE_NAMED_ARG_EXPR) {
			TRY(bind_copy(b, str_of(value->named_arg_expr->name), &a->name));
			value = value->named_arg_expr->arg;
		}
		struct expr *e = NULL;
		TRY(bind_constant(b, value, "an argument of a call", &e));
		a->value = e->value;
		a->type = e->type;
	}
	return ERR_OK;
}

static enum err classify_call(struct binder *b, const PgQuery__CallStmt *x, struct sql_statement *s)
{
	const PgQuery__FuncCall *f = x->funccall;
	struct str name = tree_name(f->n_funcname, f->funcname);
	if (!name.ptr)
		return bind_fail(b, f->location, ERR_SQL_UNSUPPORTED, "there are no schemas");
	if (f->agg_star || f->agg_distinct || f->func_variadic || f->over || f->n_agg_order ||
	    f->agg_filter)
		return bind_fail(b, f->location, ERR_SQL_SYNTAX, "CALL takes plain arguments");
	s->kind = SQL_CALL;
	TRY(bind_copy(b, name, &s->name));
	return args_of(b, f, s);
}

/* FROM diff('view', a, b), alone. NULL = another query. */
static const PgQuery__FuncCall *diff_call(const PgQuery__SelectStmt *x)
{
	if (x->n_from_clause != 1 ||
	    x->from_clause[0]->node_case != PG_QUERY__NODE__NODE_RANGE_FUNCTION)
		return NULL;
	const PgQuery__RangeFunction *r = x->from_clause[0]->range_function;
	if (r->n_functions != 1 || r->functions[0]->node_case != PG_QUERY__NODE__NODE_LIST)
		return NULL;
	const PgQuery__List *l = r->functions[0]->list;
	if (l->n_items < 1 || !l->items[0] ||
	    l->items[0]->node_case != PG_QUERY__NODE__NODE_FUNC_CALL)
		return NULL;
	const PgQuery__FuncCall *f = l->items[0]->func_call;
	return str_equal(tree_name(f->n_funcname, f->funcname), STR("diff")) ? f : NULL;
}

static enum err classify_diff(struct binder *b, const PgQuery__FuncCall *f, struct sql_statement *s)
{
	s->kind = SQL_DIFF;
	TRY(args_of(b, f, s));
	bool ok = s->arg_count == 3 && !s->args[0].value.null && s->args[0].type.id == TYPE_TEXT;
	for (uint32_t i = 0; i < s->arg_count && ok; i++)
		ok = !s->args[i].name.ptr && !s->args[i].value.null &&
		     (i == 0 || s->args[i].type.id == TYPE_INT4);
	if (!ok || s->args[1].value.i < 1 || s->args[2].value.i < 1 ||
	    s->args[1].value.i == s->args[2].value.i) {
		bind_hint(b, "write diff('view', 1, 2)");
		return bind_fail(b, f->location, ERR_SQL_TYPE,
		    "diff() takes a view's name and two of its versions");
	}
	s->name = s->args[0].value.s;
	return ERR_OK;
}

static enum err classify_select(
    struct binder *b, const PgQuery__SelectStmt *x, struct sql_statement *s)
{
	if (x->into_clause) {
		bind_hint(b, "write CREATE MATERIALIZED VIEW name AS SELECT ...");
		return bind_fail(b, tree_location(&x->into_clause->base), ERR_SQL_UNSUPPORTED,
		    "SELECT INTO is not supported");
	}
	const PgQuery__FuncCall *diff = diff_call(x);
	if (diff)
		return classify_diff(b, diff, s);
	s->kind = SQL_QUERY;
	return ERR_OK;
}

static enum err classify_explain(
    struct binder *b, const PgQuery__ExplainStmt *x, struct sql_statement *s)
{
	s->kind = SQL_EXPLAIN;
	if (x->query->node_case != PG_QUERY__NODE__NODE_SELECT_STMT) {
		bind_hint(b, "write EXPLAIN SELECT ...");
		return bind_fail(b, s->start, ERR_SQL_UNSUPPORTED, "EXPLAIN takes a SELECT");
	}
	return options_of(b, s, x->n_options, x->options);
}

/* SHOW TABLES is what people type; the grammar has it as a setting's name. */
static enum err classify_show(
    struct binder *b, const PgQuery__VariableShowStmt *x, struct sql_statement *s)
{
	s->kind = SQL_SHOW_TABLES;
	if (strcmp(x->name, "tables") == 0)
		return ERR_OK;
	bind_hint(b, "SHOW TABLES exists");
	return bind_fail(b, s->start, ERR_SQL_UNSUPPORTED, "there are no settings to show");
}

static enum err refuse_statement(
    struct binder *b, const PgQuery__Node *n, const struct sql_statement *s)
{
	static const struct {
		PgQuery__Node__NodeCase kind;
		enum err err;
		const char *message, *hint;
	} known[] = {
	    {PG_QUERY__NODE__NODE_VIEW_STMT, ERR_NOT_YET, "CREATE VIEW is not there yet",
	        "write CREATE MATERIALIZED VIEW"},
	    {PG_QUERY__NODE__NODE_CREATE_FOREIGN_SERVER_STMT, ERR_NOT_YET,
	        "CREATE SERVER is not there yet", ""},
	    {PG_QUERY__NODE__NODE_CREATE_FOREIGN_TABLE_STMT, ERR_NOT_YET,
	        "CREATE FOREIGN TABLE is not there yet", ""},
	    {PG_QUERY__NODE__NODE_IMPORT_FOREIGN_SCHEMA_STMT, ERR_NOT_YET,
	        "IMPORT FOREIGN SCHEMA is not there yet", ""},
	    {PG_QUERY__NODE__NODE_CREATE_PUBLICATION_STMT, ERR_NOT_YET,
	        "CREATE PUBLICATION is not there yet", ""},
	    {PG_QUERY__NODE__NODE_COMPOSITE_TYPE_STMT, ERR_NOT_YET, "CREATE TYPE is not there yet",
	        ""},
	    {PG_QUERY__NODE__NODE_CREATE_FUNCTION_STMT, ERR_NOT_YET,
	        "CREATE FUNCTION is not there yet", ""},
	    {PG_QUERY__NODE__NODE_INSERT_STMT, ERR_SQL_UNSUPPORTED, "INSERT is not supported",
	        "records come in through the topic: kappa produce"},
	    {PG_QUERY__NODE__NODE_UPDATE_STMT, ERR_SQL_UNSUPPORTED, "UPDATE is not supported",
	        "the log is append-only"},
	    {PG_QUERY__NODE__NODE_DELETE_STMT, ERR_SQL_UNSUPPORTED, "DELETE is not supported",
	        "the log is append-only"},
	    {PG_QUERY__NODE__NODE_MERGE_STMT, ERR_SQL_UNSUPPORTED, "MERGE is not supported",
	        "the log is append-only"},
	    {PG_QUERY__NODE__NODE_COPY_STMT, ERR_SQL_UNSUPPORTED, "COPY is not supported",
	        "see kappa import and export"},
	    {PG_QUERY__NODE__NODE_REFRESH_MAT_VIEW_STMT, ERR_SQL_UNSUPPORTED,
	        "REFRESH is not needed",
	        "views are kept up to date; CALL rebuild('view') computes one again"},
	    {PG_QUERY__NODE__NODE_TRANSACTION_STMT, ERR_SQL_UNSUPPORTED,
	        "there are no transactions in SQL", ""},
	    {PG_QUERY__NODE__NODE_INDEX_STMT, ERR_SQL_UNSUPPORTED, "there are no indexes", ""},
	    {PG_QUERY__NODE__NODE_RENAME_STMT, ERR_SQL_UNSUPPORTED, "RENAME is not supported", ""},
	};
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		if (known[i].kind != n->node_case)
			continue;
		bind_hint(b, "%s", known[i].hint);
		return bind_fail(b, s->start, known[i].err, "%s", known[i].message);
	}
	bind_hint(b, "see SQL.md for what there is");
	return bind_fail(b, s->start, ERR_SQL_UNSUPPORTED, "this statement is not supported");
}

static enum err classify_node(struct binder *b, const PgQuery__Node *n, struct sql_statement *s)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wswitch-enum" /* 240 kinds of nodes */
	switch (n->node_case) {
	case PG_QUERY__NODE__NODE_CREATE_STMT:
		return classify_create_table(b, n->create_stmt, s);
	case PG_QUERY__NODE__NODE_CREATE_TABLE_AS_STMT:
		return classify_create_view(b, n->create_table_as_stmt, s);
	case PG_QUERY__NODE__NODE_DROP_STMT:
		return classify_drop(b, n->drop_stmt, s);
	case PG_QUERY__NODE__NODE_ALTER_TABLE_STMT:
		return classify_alter(b, n->alter_table_stmt, s);
	case PG_QUERY__NODE__NODE_CALL_STMT:
		return classify_call(b, n->call_stmt, s);
	case PG_QUERY__NODE__NODE_SELECT_STMT:
		return classify_select(b, n->select_stmt, s);
	case PG_QUERY__NODE__NODE_EXPLAIN_STMT:
		return classify_explain(b, n->explain_stmt, s);
	case PG_QUERY__NODE__NODE_VARIABLE_SHOW_STMT:
		return classify_show(b, n->variable_show_stmt, s);
	default:
		return refuse_statement(b, n, s);
	}
#pragma GCC diagnostic pop
}

enum err sql_classify(struct binder *b, const PgQuery__Node *n, struct sql_statement *s)
{
	s->tree = (void *)(uintptr_t)n;
	s->with_data = true;
	return classify_node(b, n, s);
}
