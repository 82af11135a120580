/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statements through the front end: split, classified, bound against a catalog with a table and
 * views, and the plan printed. A refusal has a place inside the text and a reason.
 */
#include "test/fuzz/fuzz.h"
#include "test/lib/sql_fixture.h"

enum { TEXT_MAX = 4096, STATEMENTS_MAX = 8 };

static struct sql_fixture *fixture(void)
{
	static struct sql_fixture f;
	if (!f.catalog.table) {
		sql_fixture_init(&f);
		sql_fixture_schema(&f);
	}
	return &f;
}

static void bind(const struct sql_statement *s, struct arena *arena)
{
	const struct sql_catalog *catalog = &fixture()->catalog;
	struct view_plan *plan = NULL;
	struct table *table;
	struct sql_error error = {0};
	enum err err = ERR_OK;
	if (s->kind == SQL_CREATE_TABLE)
		err = sql_bind_table(s, catalog, arena, &table, &error);
	else if (s->kind == SQL_CREATE_VIEW)
		err = sql_bind_view(s, catalog, arena, &plan, &error);
	else if (s->kind == SQL_QUERY || s->kind == SQL_EXPLAIN || s->kind == SQL_DIFF)
		err = sql_bind_query(s, catalog, arena, &plan, &error);
	ASSERT(err == ERR_OK || error.message[0] || *err_chain());
	if (err != ERR_OK || !plan)
		return;
	struct writer w;
	writer_init(&w, 16 * MIB);
	plan_print(&w, plan);
	writer_release(&w);
}

void sql_fuzz(struct bytes in)
{
	struct sql_script script;
	struct sql_error error = {0};
	struct arena arena;
	struct expr *e;
	struct str text = bytes_str(bytes_slice(in, 0, in.len < TEXT_MAX ? in.len : TEXT_MAX));
	arena_init(&arena, 64 * MIB);
	err_clear();
	if (sql_parse(text, &script, &error) == ERR_OK) {
		for (uint32_t i = 0; i < script.count && i < STATEMENTS_MAX; i++)
			bind(&script.statements[i], &arena);
		sql_script_release(&script);
	} else {
		ASSERT(error.message[0] || *err_chain());
	}
	err_clear();
	enum err err = sql_bind_predicate(text, fixture()->tables[0], &arena, &e, &error);
	(void)err;
	err_clear();
	arena_release(&arena);
}

void sql_seeds(void (*emit)(void *ctx, struct bytes in), void *ctx)
{
	const struct str seeds[] = {STR("SELECT product, sum(amount) FROM orders WHERE paid "
	                                "GROUP BY product HAVING count(*) > 1"),
	    STR("CREATE TABLE t (a int NOT NULL, b jsonb, CHECK (a > 0)) WITH (topic = 't', "
	        "event_time = a)"),
	    STR("CREATE MATERIALIZED VIEW v WITH (version = 3) AS SELECT id, max(price) AS p FROM "
	        "orders "
	        "GROUP BY id"),
	    STR("EXPLAIN SELECT * FROM rpm ORDER BY revenue DESC NULLS LAST LIMIT 3 OFFSET 1"),
	    STR("SELECT * FROM diff('rpm', 1, 2) WHERE change = 'added'"),
	    STR("DROP MATERIALIZED VIEW IF EXISTS rpm; ALTER MATERIALIZED VIEW rpm SET "
	        "(active_version = 2)"),
	    STR("CALL rebuild('rpm', 2)"),
	    STR("amount > 10 AND note->>'x' LIKE 'a%' OR ts < now()"),
	    STR("SELECT CASE WHEN id IN (1,2) THEN date_trunc('day', ts) END, "
	        "coalesce(note#>>'{a,b}', 'x') || product, cast(price AS numeric(5,1)) FROM "
	        "orders")};
	for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++)
		emit(ctx, str_bytes(seeds[i]));
}
