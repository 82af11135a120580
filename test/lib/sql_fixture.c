/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/sql_fixture.h"

#include "test/lib/test.h"

static enum err find_table(void *ctx, struct str name, const struct table **ret_table)
{
	struct sql_fixture *f = ctx;
	for (uint32_t i = 0; i < f->table_count; i++)
		if (str_equal(f->tables[i]->name, name)) {
			*ret_table = f->tables[i];
			return ERR_OK;
		}
	return ERR_NOT_FOUND;
}

static enum err find_view(
    void *ctx, struct str name, int32_t version, struct sql_view_info *ret_info)
{
	struct sql_fixture *f = ctx;
	for (uint32_t i = 0; i < f->view_count; i++) {
		const struct fixture_view *v = &f->views[i];
		if (str_equal(v->info.name, name) &&
		    (version ? v->info.version == version : v->active)) {
			*ret_info = v->info;
			return ERR_OK;
		}
	}
	return ERR_NOT_FOUND;
}

/* The first name that starts with the same letter. */
static struct str find_nearest(void *ctx, struct str name)
{
	struct sql_fixture *f = ctx;
	for (uint32_t i = 0; i < f->table_count; i++)
		if (name.len && f->tables[i]->name.ptr[0] == name.ptr[0])
			return f->tables[i]->name;
	return (struct str){NULL, 0};
}

void sql_fixture_init(struct sql_fixture *f)
{
	memset(f, 0, sizeof *f);
	arena_init(&f->arena, 256 * MIB);
	f->catalog = (struct sql_catalog){f, find_table, find_view, find_nearest};
}

void sql_fixture_release(struct sql_fixture *f)
{
	arena_release(&f->arena);
}

static void add_view(struct sql_fixture *f, const struct sql_statement *s, struct view_plan *plan)
{
	assert_true(f->view_count < FIXTURE_VIEWS_MAX);
	struct fixture_view *v = &f->views[f->view_count++];
	v->plan = plan;
	v->info.name = arena_copy_str(&f->arena, s->name);
	v->info.version = s->version ? s->version : 1;
	v->info.sql = arena_copy_str(&f->arena, s->text);
	v->info.columns = plan->root->columns;
	v->info.column_count = plan->visible_count;
	v->info.keys_visible = plan->keys_visible;
	v->info.keys = plan->keys;
	v->info.key_count = plan->keys_visible ? plan->key_count : 0;
	memcpy(v->info.identity, plan->identity, sizeof v->info.identity);
	v->active = v->info.version == 1;
}

static enum err run_one(struct sql_fixture *f, const struct sql_statement *s,
    struct view_plan **ret_plan, struct sql_error *ret_error)
{
	if (s->kind == SQL_CREATE_TABLE) {
		assert_true(f->table_count < FIXTURE_TABLES_MAX);
		TRY(sql_bind_table(
		    s, &f->catalog, &f->arena, &f->tables[f->table_count], ret_error));
		f->table_count++;
	} else if (s->kind == SQL_CREATE_VIEW) {
		TRY(sql_bind_view(s, &f->catalog, &f->arena, ret_plan, ret_error));
		add_view(f, s, *ret_plan);
	} else if (s->kind == SQL_QUERY || s->kind == SQL_EXPLAIN || s->kind == SQL_DIFF) {
		TRY(sql_bind_query(s, &f->catalog, &f->arena, ret_plan, ret_error));
	}
	return ERR_OK;
}

enum err sql_fixture_try(
    struct sql_fixture *f, struct str sql, struct view_plan **ret_plan, struct sql_error *ret_error)
{
	struct sql_script script;
	struct view_plan *plan = NULL;
	TRY(sql_parse(sql, &script, ret_error));
	enum err err = ERR_OK;
	for (uint32_t i = 0; i < script.count && err == ERR_OK; i++)
		err = run_one(f, &script.statements[i], &plan, ret_error);
	sql_script_release(&script); /* before the plan is looked at: it must not need the tree */
	if (err == ERR_OK && ret_plan)
		*ret_plan = plan;
	return err;
}

struct view_plan *sql_fixture_run(struct sql_fixture *f, const char *sql)
{
	struct sql_error error;
	struct view_plan *plan = NULL;
	enum err err = sql_fixture_try(f, str_of(sql), &plan, &error);
	if (err != ERR_OK)
		fail_msg(
		    "%s\n%d:%d: %s (%s)", sql, error.line, error.column, error.message, error.hint);
	return plan;
}

const char *sql_fixture_print(struct sql_fixture *f, const struct view_plan *plan)
{
	struct writer w;
	writer_init(&w, MIB);
	plan_print(&w, plan);
	assert_int_equal(w.err, ERR_OK);
	const char *text = arena_cstr(&f->arena, bytes_str(writer_bytes(&w)));
	writer_release(&w);
	assert_non_null(text);
	return text;
}

void sql_fixture_schema(struct sql_fixture *f)
{
	sql_fixture_run(f,
	    "CREATE TABLE orders (id bigint NOT NULL, product text NOT NULL, amount numeric(12,2) "
	    "NOT NULL,"
	    " created_ms bigint, ts timestamptz, note jsonb, price double precision, paid boolean)"
	    " WITH (topic = 'orders', event_time = ts);"
	    "CREATE MATERIALIZED VIEW rpm AS SELECT window_start, product, sum(amount) AS revenue,"
	    " count(*) AS orders FROM tumble(orders, ts, interval '1 minute') GROUP BY "
	    "window_start, product;"
	    "CREATE MATERIALIZED VIEW rpm WITH (version = 2) AS SELECT window_start, product,"
	    " sum(amount) FILTER (WHERE paid) AS revenue, count(*) AS orders, max(amount) AS top"
	    " FROM tumble(orders, ts, interval '1 minute') GROUP BY window_start, product;"
	    "CREATE MATERIALIZED VIEW big AS SELECT id, product, amount * 2 AS double FROM orders"
	    " WHERE amount > 10 AND product LIKE 'a%';"
	    "CREATE MATERIALIZED VIEW once AS SELECT DISTINCT ON (id) id, product, amount, ts, "
	    "price"
	    " FROM orders ORDER BY id, _sequence, _pos;");
}

const char *sql_fixture_summary(struct sql_fixture *f, const struct view_plan *plan)
{
	struct writer w;
	writer_init(&w, MIB);
	write_cstr(&w, "columns:");
	for (uint32_t i = 0; i < plan->root->column_count; i++) {
		const struct plan_column *c = &plan->root->columns[i];
		write_cstr(&w, i == plan->visible_count ? " |" : "");
		write_printf(
		    &w, "%s %.*s %s", i ? "," : "", STR_ARG(c->name), type_name(c->type.id));
		if (c->type.precision)
			write_printf(&w, "(%d,%d)", c->type.precision, c->type.scale);
	}
	write_cstr(&w, "; key");
	for (uint32_t i = 0; i < plan->key_count; i++)
		write_printf(&w, " %u", plan->keys[i]);
	write_cstr(&w, plan->keys_visible ? " visible" : "");
	write_cstr(&w, plan->root->append_only ? "; append-only" : "");
	write_cstr(&w, plan->fails_above_state ? "; fails above state" : "");
	if (plan->window_end >= 0)
		write_printf(&w, "; window_end %d", plan->window_end);
	write_cstr(&w, "; reads");
	for (uint32_t i = 0; i < plan->read_count; i++)
		write_printf(&w, "%s %.*s %d", i ? "," : "", STR_ARG(plan->reads[i].name),
		    plan->reads[i].version);
	write_cstr(&w, "\n");
	assert_int_equal(w.err, ERR_OK);
	const char *text = arena_cstr(&f->arena, bytes_str(writer_bytes(&w)));
	writer_release(&w);
	assert_non_null(text);
	return text;
}
