/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CREATE TABLE -> the contract of a topic. Columns are bound first, then GENERATED expressions
 * (over decoded columns only) and CHECKs (over all declared columns), then options, which may name
 * columns.
 */
#include "processor/sql/sql_lex.h"
#include "processor/sql/sql_parse.h"

#include <stdio.h>

#define IDLE_TIMEOUT_DEFAULT_US (INT64_C(30) * 1000000)
#define MAX_AHEAD_DEFAULT_US    (INT64_C(86400) * 1000000)

struct table_bind {
	const PgQuery__CreateStmt *tree;
	struct table *table;
	struct rel rel;                  /* the declared columns, for expressions */
	const PgQuery__Node **checks;    /* raw CHECK expressions */
	const PgQuery__Node **generated; /* raw expression per column, NULL = decoded */
};

/* ---- columns --------------------------------------------------------------------------------- */

/* A quoted name matches its JSON key exactly. The tree does not tell; the text does. */
static bool is_quoted(const struct binder *b, int32_t location)
{
	size_t at = location < 0 ? b->input.len : (size_t)location;
	if (at + 2 < b->input.len && (b->input.ptr[at] == 'u' || b->input.ptr[at] == 'U') &&
	    b->input.ptr[at + 1] == '&')
		at += 2;
	return at < b->input.len && b->input.ptr[at] == '"';
}

/* $.a.b: names of members, joined by dots. */
static enum err check_path(struct binder *b, struct str path, int32_t location)
{
	bool ok = path.len > 2 && path.ptr[0] == '$' && path.ptr[1] == '.';
	for (size_t i = 1; i < path.len && ok; i++) {
		bool dot = path.ptr[i] == '.';
		ok = !strchr("[]\"'*", path.ptr[i]) &&
		     !(dot && (i + 1 == path.len || path.ptr[i + 1] == '.'));
	}
	if (ok)
		return ERR_OK;
	bind_hint(b, "write '$.outer.inner': names joined by dots");
	return bind_fail(
	    b, location, ERR_SQL_UNSUPPORTED, "path \"%.*s\" is not supported", STR_ARG(path));
}

static enum err column_unit(
    struct binder *b, struct table_column *c, struct str value, int32_t location)
{
	static const struct {
		const char *name;
		int64_t us;
	} units[] = {{"s", 1000000}, {"ms", 1000}, {"us", 1}};
	if (c->type.id != TYPE_TIMESTAMPTZ && c->type.id != TYPE_TIMESTAMP)
		return bind_fail(
		    b, location, ERR_SQL_TYPE, "option \"unit\" is for timestamp columns");
	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		if (str_equal(value, str_of(units[i].name))) {
			c->unit_us = units[i].us;
			return ERR_OK;
		}
	return bind_fail(
	    b, location, ERR_SQL_NAME, "unit is 's', 'ms' or 'us', not \"%.*s\"", STR_ARG(value));
}

static enum err column_options(
    struct binder *b, const PgQuery__ColumnDef *d, struct table_column *c)
{
	for (size_t i = 0; i < d->n_fdwoptions; i++) {
		const PgQuery__DefElem *o = d->fdwoptions[i]->def_elem;
		struct str value = {NULL, 0};
		TRY(tree_option(b, o, &value));
		if (strcmp(o->defname, "path") == 0) {
			TRY(check_path(b, value, o->location));
			c->path = value;
		} else if (strcmp(o->defname, "unit") == 0) {
			TRY(column_unit(b, c, value, o->location));
		} else {
			bind_hint(b, "a column has the options path and unit");
			return bind_fail(
			    b, o->location, ERR_SQL_NAME, "unknown option \"%s\"", o->defname);
		}
	}
	return ERR_OK;
}

static enum err refuse_constraint(struct binder *b, const PgQuery__Constraint *k)
{
	static const struct {
		PgQuery__ConstrType type;
		enum err err;
		const char *message, *hint;
	} refused[] = {
	    {PG_QUERY__CONSTR_TYPE__CONSTR_PRIMARY, ERR_NOT_YET,
	        "PRIMARY KEY (upsert tables) is not there yet",
	        "without it the table is an append stream; SELECT DISTINCT ON keeps one row per "
	        "key"},
	    {PG_QUERY__CONSTR_TYPE__CONSTR_UNIQUE, ERR_NOT_YET, "UNIQUE is not there yet",
	        "SELECT DISTINCT ON keeps one row per key"},
	    {PG_QUERY__CONSTR_TYPE__CONSTR_DEFAULT, ERR_SQL_UNSUPPORTED, "DEFAULT is not supported",
	        "use COALESCE in the view"},
	    {PG_QUERY__CONSTR_TYPE__CONSTR_FOREIGN, ERR_SQL_UNSUPPORTED,
	        "foreign keys are not supported", ""},
	    {PG_QUERY__CONSTR_TYPE__CONSTR_IDENTITY, ERR_SQL_UNSUPPORTED,
	        "identity columns are not supported", "_offset numbers the records of a partition"},
	};
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		if (refused[i].type != k->contype)
			continue;
		bind_hint(b, "%s", refused[i].hint);
		return bind_fail(b, k->location, refused[i].err, "%s", refused[i].message);
	}
	return bind_fail(b, k->location, ERR_SQL_UNSUPPORTED, "this constraint is not supported");
}

static enum err add_constraint(
    struct binder *b, struct table_bind *t, const PgQuery__Constraint *k, int32_t column)
{
	struct table_column *c = column < 0 ? NULL : &t->table->columns[column];
	if (k->contype == PG_QUERY__CONSTR_TYPE__CONSTR_CHECK) {
		t->checks[t->table->check_count++] = k->raw_expr;
		return ERR_OK;
	}
	if (c && k->contype == PG_QUERY__CONSTR_TYPE__CONSTR_NULL)
		return ERR_OK;
	if (c && k->contype == PG_QUERY__CONSTR_TYPE__CONSTR_NOTNULL) {
		c->not_null = true;
		return ERR_OK;
	}
	if (c && k->contype == PG_QUERY__CONSTR_TYPE__CONSTR_GENERATED && k->raw_expr) {
		if (t->generated[column])
			return bind_fail(b, k->location, ERR_SQL_SYNTAX,
			    "multiple generation clauses for column \"%.*s\"", STR_ARG(c->name));
		t->generated[column] = k->raw_expr;
		return ERR_OK;
	}
	return refuse_constraint(b, k);
}

static bool is_hidden_name(struct str name)
{
	static const char *const names[] = {"_topic", "_partition", "_offset", "_timestamp", "_key",
	    "_key_bytes", "_headers", "_ingest_time", "_sequence", "_pos"};
	_Static_assert(sizeof names / sizeof *names == HIDDEN_COUNT, "one name per hidden column");
	for (size_t i = 0; i < HIDDEN_COUNT; i++)
		if (str_equal(name, str_of(names[i])))
			return true;
	return false;
}

static enum err add_column(struct binder *b, struct table_bind *t, const PgQuery__ColumnDef *d)
{
	int32_t index = (int32_t)t->table->column_count;
	struct table_column *c = &t->table->columns[index];
	TRY(bind_copy(b, str_of(d->colname), &c->name));
	if (is_hidden_name(c->name))
		return bind_fail(b, d->location, ERR_SQL_NAME,
		    "\"%s\" is the name of a hidden column", d->colname);
	for (int32_t i = 0; i < index; i++)
		if (str_equal(t->table->columns[i].name, c->name))
			return bind_fail(b, d->location, ERR_SQL_AMBIGUOUS,
			    "column \"%s\" specified more than once", d->colname);
	if (d->coll_clause || *d->storage || *d->compression)
		return bind_fail(b, d->location, ERR_SQL_UNSUPPORTED,
		    "COLLATE, STORAGE and COMPRESSION are not supported");
	TRY(bind_type(b, d->type_name, &c->type));
	c->quoted = is_quoted(b, d->location);
	t->table->column_count++;
	TRY(column_options(b, d, c));
	for (size_t i = 0; i < d->n_constraints; i++)
		TRY(add_constraint(b, t, d->constraints[i]->constraint, index));
	if (t->generated[index] && (c->path.ptr || c->unit_us))
		return bind_fail(b, d->location, ERR_SQL_SYNTAX,
		    "a generated column is not read from the record: no OPTIONS");
	return ERR_OK;
}

static enum err table_elements(struct binder *b, struct table_bind *t)
{
	const PgQuery__CreateStmt *x = t->tree;
	for (size_t i = 0; i < x->n_table_elts; i++) {
		const PgQuery__Node *n = x->table_elts[i];
		if (n->node_case == PG_QUERY__NODE__NODE_COLUMN_DEF)
			TRY(add_column(b, t, n->column_def));
		else if (n->node_case == PG_QUERY__NODE__NODE_CONSTRAINT)
			TRY(add_constraint(b, t, n->constraint, -1));
		else
			return bind_fail(b, node_location(n), ERR_SQL_UNSUPPORTED,
			    "LIKE is not supported in CREATE TABLE");
	}
	if (t->table->column_count == 0)
		return bind_fail(b, x->relation->location, ERR_SQL_SYNTAX, "a table needs columns");
	return ERR_OK;
}

/* ---- expressions ----------------------------------------------------------------------------- */

/* The declared columns as a relation. */
static enum err table_rel(struct binder *b, struct table_bind *t)
{
	struct rel *rel = &t->rel;
	memset(rel, 0, sizeof *rel);
	rel->seq = rel->pos = -1;
	TRY(plan_new(b, PLAN_SOURCE, t->table->column_count, &rel->plan));
	rel->columns = bind_alloc(b, t->table->column_count, sizeof *rel->columns);
	if (!rel->columns)
		return bind_nomem(b);
	for (uint32_t i = 0; i < t->table->column_count; i++)
		rel->columns[i] = (struct rel_column){
		    .name = t->table->columns[i].name, .type = t->table->columns[i].type};
	rel->alias = t->table->name;
	return ERR_OK;
}

static enum err bind_generated(struct binder *b, struct table_bind *t, uint32_t column)
{
	struct scope s = {.rel = &t->rel, .clause = "a GENERATED expression"};
	struct table_column *c = &t->table->columns[column];
	uint8_t *reads = bind_alloc(b, t->table->column_count, 1);
	struct expr *e = NULL;
	char buf[2][64];
	if (!reads)
		return bind_nomem(b);
	TRY(bind_expr(b, &s, t->generated[column], &e));
	expr_mark(e, reads);
	for (uint32_t i = 0; i < t->table->column_count; i++)
		if (reads[i] && t->generated[i])
			return bind_fail(b, node_location(t->generated[column]),
			    ERR_SQL_UNSUPPORTED,
			    "a generated column cannot use another one (\"%.*s\")",
			    STR_ARG(t->table->columns[i].name));
	if (e->type.id != TYPE_UNKNOWN && e->type.id != c->type.id &&
	    !func_cast(e->type.id, c->type.id, levels_assignment()))
		return bind_fail(b, node_location(t->generated[column]), ERR_SQL_TYPE,
		    "column \"%.*s\" is of type %s but its expression is of type %s",
		    STR_ARG(c->name), type_text(c->type, buf[0]), type_text(e->type, buf[1]));
	TRY(coerce(b, &s, &e, c->type, levels_assignment()));
	c->generated = e;
	return ERR_OK;
}

static enum err table_exprs(struct binder *b, struct table_bind *t)
{
	struct scope s = {.rel = &t->rel, .clause = "CHECK"};
	struct table *table = t->table;
	TRY(table_rel(b, t));
	for (uint32_t i = 0; i < table->column_count; i++)
		if (t->generated[i])
			TRY(bind_generated(b, t, i));
	table->checks = bind_alloc(b, table->check_count, sizeof(struct expr *));
	if (!table->checks)
		return bind_nomem(b);
	for (uint32_t i = 0; i < table->check_count; i++)
		TRY(bind_condition(b, &s, t->checks[i], &table->checks[i]));
	return ERR_OK;
}

/* ---- options --------------------------------------------------------------------------------- */

static enum err topic_name(struct binder *b, struct str name, int32_t location)
{
	bool ok = name.len > 0 && name.len <= TOPIC_NAME_MAX && !str_equal(name, STR(".")) &&
	          !str_equal(name, STR(".."));
	for (size_t i = 0; i < name.len && ok; i++) {
		char c = name.ptr[i];
		ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		     strchr("._-", c);
	}
	if (ok)
		return ERR_OK;
	bind_hint(b, "letters, digits, dot, underscore and hyphen, at most %d", TOPIC_NAME_MAX);
	return bind_fail(
	    b, location, ERR_INVALID_TOPIC, "\"%.*s\" is no topic name", STR_ARG(name));
}

static enum err option_event_time(
    struct binder *b, struct table_bind *t, struct str name, int32_t location)
{
	int32_t index = rel_find(&t->rel, name);
	char buf[64];
	if (index < 0)
		return bind_no_column(b, &t->rel, name, location);
	struct type type = t->table->columns[index].type;
	if (type.id != TYPE_TIMESTAMPTZ && type.id != TYPE_TIMESTAMP)
		return bind_fail(b, location, ERR_SQL_TYPE,
		    "event_time needs a timestamp column, not %s", type_text(type, buf));
	t->table->event_time = index;
	return ERR_OK;
}

static enum err unknown_option(struct binder *b, const PgQuery__DefElem *d)
{
	static const char *const known[] = {"topic", "format", "event_time", "watermark_delay",
	    "idle_timeout", "max_ahead", "on_error", "dlq"};
	static const char *const later[] = {
	    "envelope", "freshness", "completeness", "enforce", "retention"};
	struct nearest n;
	char what[64];
	nearest_init(&n, str_of(d->defname));
	for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
		nearest_offer(&n, str_of(later[i]));
		if (strcmp(d->defname, later[i]) != 0)
			continue;
		snprintf(what, sizeof what, "option %s is", later[i]);
		return bind_not_yet(b, d->location, what);
	}
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		nearest_offer(&n, str_of(known[i]));
	if (n.best.ptr)
		bind_hint(b, "did you mean %.*s?", STR_ARG(n.best));
	return bind_fail(b, d->location, ERR_SQL_NAME, "unknown option \"%s\"", d->defname);
}

static enum err option_word(struct binder *b, const PgQuery__DefElem *d, struct str value,
    const char *now, const char *const *later)
{
	char what[64];
	if (str_equal(value, str_of(now)))
		return ERR_OK;
	for (; *later; later++) {
		if (!str_equal(value, str_of(*later)))
			continue;
		snprintf(what, sizeof what, "%s = %s is", d->defname, *later);
		return bind_not_yet(b, d->location, what);
	}
	return bind_fail(b, d->location, ERR_SQL_NAME, "unknown value \"%.*s\" of option \"%s\"",
	    STR_ARG(value), d->defname);
}

static enum err table_option(struct binder *b, struct table_bind *t, const PgQuery__DefElem *d)
{
	static const char *const formats_later[] = {"avro", "protobuf", "csv", NULL},
	                         *const none_later[] = {NULL};
	struct table *table = t->table;
	struct str value = {NULL, 0};
	const char *name = d->defname;
	if (d->defnamespace && *d->defnamespace)
		return bind_fail(b, d->location, ERR_SQL_NAME, "unknown option \"%s.%s\"",
		    d->defnamespace, name);
	TRY(tree_option(b, d, &value));
	if (strcmp(name, "topic") == 0) {
		table->topic = value;
		return topic_name(b, value, d->location);
	}
	if (strcmp(name, "dlq") == 0) {
		table->dlq_topic = value;
		return topic_name(b, value, d->location);
	}
	if (strcmp(name, "format") == 0)
		return option_word(b, d, value, "json", formats_later);
	if (strcmp(name, "on_error") == 0)
		return option_word(b, d, value, "dlq", none_later);
	if (strcmp(name, "event_time") == 0)
		return option_event_time(b, t, value, d->location);
	if (strcmp(name, "watermark_delay") == 0)
		return literal_interval_us(b, value, d->location, &table->watermark_delay_us);
	if (strcmp(name, "idle_timeout") == 0)
		return literal_interval_us(b, value, d->location, &table->idle_timeout_us);
	if (strcmp(name, "max_ahead") == 0)
		return literal_interval_us(b, value, d->location, &table->max_ahead_us);
	return unknown_option(b, d);
}

static enum err table_options(struct binder *b, struct table_bind *t)
{
	const PgQuery__CreateStmt *x = t->tree;
	struct table *table = t->table;
	for (size_t i = 0; i < x->n_options; i++) {
		const PgQuery__DefElem *d = x->options[i]->def_elem;
		for (size_t k = 0; k < i; k++)
			if (strcmp(x->options[k]->def_elem->defname, d->defname) == 0)
				return bind_fail(b, d->location, ERR_SQL_SYNTAX,
				    "option \"%s\" is given twice", d->defname);
		TRY(table_option(b, t, d));
	}
	if (!table->topic.ptr) {
		table->topic = table->name;
		TRY(topic_name(b, table->topic, x->relation->location));
	}
	if (table->dlq_topic.ptr && str_equal(table->dlq_topic, table->topic))
		return bind_fail(b, x->relation->location, ERR_SQL_SYNTAX,
		    "the dead letters cannot go to the topic itself");
	return ERR_OK;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static enum err refuse_forms(struct binder *b, const PgQuery__CreateStmt *x)
{
	int32_t at = x->relation->location;
	if (x->of_typename)
		return bind_not_yet(b, x->of_typename->location, "CREATE TABLE OF a type is");
	if (x->n_inh_relations || x->partbound || x->partspec)
		return bind_fail(
		    b, at, ERR_SQL_UNSUPPORTED, "inheritance and partitions are not supported");
	if (*x->tablespacename || *x->access_method)
		return bind_fail(
		    b, at, ERR_SQL_UNSUPPORTED, "USING and TABLESPACE are not supported");
	return ERR_OK;
}

static void hash_i64(struct tree_hash *h, int64_t v)
{
	uint8_t buf[8];
	put_u64_le(buf, (uint64_t)v);
	tree_hash_add_bytes(h, bytes_of(buf, sizeof buf));
}

/* By meaning, not as written: topic = x and topic = 'x', and whatever order, are the same. */
static void hash_options(struct tree_hash *h, const struct table *t)
{
	tree_hash_add_bytes(h, str_bytes(t->topic));
	tree_hash_add_bytes(h, str_bytes(t->dlq_topic));
	hash_i64(h, t->format);
	hash_i64(h, t->event_time);
	hash_i64(h, t->watermark_delay_us);
	hash_i64(h, t->idle_timeout_us);
	hash_i64(h, t->max_ahead_us);
}

static enum err identify_table(struct binder *b, const struct table_bind *t)
{
	struct tree_hash *h = NULL;
	if (tree_hash_new(&h) != ERR_OK)
		return bind_nomem(b);
	tree_hash_add(h, &t->tree->relation->base);
	for (size_t i = 0; i < t->tree->n_table_elts; i++)
		tree_hash_add(h, &t->tree->table_elts[i]->base);
	hash_options(h, t->table);
	for (uint32_t i = 0; i < t->table->column_count;
	     i++) /* decides which JSON key is read; the tree has lost it */
		tree_hash_add_bytes(h, bytes_of(t->table->columns[i].quoted ? "q" : "u", 1));
	tree_hash_finish(h, t->table->identity);
	return ERR_OK;
}

static enum err bind_table(
    struct binder *b, const struct sql_statement *s, struct table **ret_table)
{
	struct table_bind t = {.tree = ((const PgQuery__Node *)s->tree)->create_stmt};
	size_t room = t.tree->n_table_elts, checks = room;
	TRY(refuse_forms(b, t.tree));
	if (room > VIEW_COLUMNS_MAX)
		return bind_fail(b, s->start, ERR_LIMIT, "more than %d columns", VIEW_COLUMNS_MAX);
	for (size_t i = 0; i < room; i++)
		if (t.tree->table_elts[i]->node_case == PG_QUERY__NODE__NODE_COLUMN_DEF)
			checks += t.tree->table_elts[i]->column_def->n_constraints;
	t.table = bind_alloc(b, 1, sizeof *t.table);
	t.generated = bind_alloc(b, room, sizeof *t.generated);
	t.checks = bind_alloc(b, checks, sizeof *t.checks);
	if (!t.table || !t.generated || !t.checks)
		return bind_nomem(b);
	t.table->columns = bind_alloc(b, room, sizeof *t.table->columns);
	if (!t.table->columns)
		return bind_nomem(b);
	t.table->event_time = -1;
	t.table->idle_timeout_us = IDLE_TIMEOUT_DEFAULT_US;
	t.table->max_ahead_us = MAX_AHEAD_DEFAULT_US;
	TRY(bind_copy(b, s->name, &t.table->name));
	TRY(bind_copy(b, s->text, &t.table->sql));
	TRY(table_elements(b, &t));
	TRY(table_exprs(b, &t));
	TRY(table_options(b, &t));
	TRY(identify_table(b, &t));
	*ret_table = t.table;
	return ERR_OK;
}

enum err sql_bind_table(const struct sql_statement *s, const struct sql_catalog *catalog,
    struct arena *arena, struct table **ret_table, struct sql_error *ret_error)
{
	struct bind_totals totals = {0, 0};
	struct binder b = {
	    .arena = arena, .catalog = catalog, .error = ret_error, .totals = &totals};
	ASSERT(s->kind == SQL_CREATE_TABLE);
	memset(ret_error, 0, sizeof *ret_error);
	b.input = str_from(s->text.ptr - s->start, (size_t)s->start + s->text.len);
	return bind_table(&b, s, ret_table);
}
