/* SPDX-License-Identifier: Apache-2.0 */
/* Splitting and classifying statements, CREATE TABLE, predicates, and text that means harm. */
#include "processor/sql/sql_lex.h"
#include "test/lib/sql_fixture.h"
#include "test/lib/test.h"

#include "log/base/thread.h"

/* ---- statements --------------------------------------------------------------------- */

static struct sql_script parsed(const char *sql)
{
	struct sql_script s;
	struct sql_error e;
	if (sql_parse(str_of(sql), &s, &e) != ERR_OK)
		fail_msg("%s\n%d:%d: %s (%s)", sql, e.line, e.column, e.message, e.hint);
	return s;
}

static bool is(struct str s, const char *text)
{
	return str_equal(s, str_of(text));
}

static void a_script_is_split_into_its_statements(void **state)
{
	(void)state;
	const char *text =
	    " -- first\n SELECT 1 ;\n\n/* second; */ DROP TABLE IF EXISTS \"T;1\" ;;"
	    "CALL rebuild('v', version => 2, from_offset => 'start', dry => true, n => -1.50)";
	struct sql_script s = parsed(text);
	assert_int_equal(s.count, 3);
	assert_int_equal(s.statements[0].kind, SQL_QUERY);
	assert_true(is(s.statements[0].text, "SELECT 1"));
	assert_ptr_equal(s.statements[0].text.ptr, text + s.statements[0].start);
	assert_int_equal(s.statements[1].kind, SQL_DROP);
	assert_true(is(s.statements[1].text, "DROP TABLE IF EXISTS \"T;1\""));
	assert_true(s.statements[1].drop_table && s.statements[1].if_exists &&
	            is(s.statements[1].name, "T;1"));
	const struct sql_statement *call = &s.statements[2];
	assert_int_equal(call->kind, SQL_CALL);
	assert_int_equal(call->arg_count, 5);
	assert_true(
	    is(call->name, "rebuild") && !call->args[0].name.ptr && is(call->args[0].value.s, "v"));
	assert_true(is(call->args[1].name, "version") && call->args[1].type.id == TYPE_INT4 &&
	            call->args[1].value.i == 2);
	assert_true(is(call->args[2].name, "from_offset") && call->args[2].type.id == TYPE_TEXT);
	assert_true(call->args[3].type.id == TYPE_BOOL && call->args[3].value.b);
	assert_true(
	    call->args[4].type.id == TYPE_NUMERIC && call->args[4].value.num.mantissa == -150);
	sql_script_release(&s);
}

static void views_and_versions_are_classified(void **state)
{
	(void)state;
	struct sql_script s = parsed(
	    "CREATE MATERIALIZED VIEW IF NOT EXISTS v WITH (emit = update, version = 3, late = "
	    "'update',"
	    " append_only = true, n = 5) AS SELECT 1 WITH NO DATA;"
	    "ALTER MATERIALIZED VIEW v SET (active_version = 2);"
	    "DROP MATERIALIZED VIEW v; SHOW TABLES; EXPLAIN (FORMAT json, STATE) SELECT 1;"
	    "SELECT * FROM diff('v', 1, 2) AS d WHERE change <> 'same'; CREATE TABLE t (a int)");
	const struct sql_statement *v = &s.statements[0];
	assert_int_equal(s.count, 7);
	assert_true(v->kind == SQL_CREATE_VIEW && v->if_not_exists && !v->with_data &&
	            v->version == 3 && is(v->name, "v"));
	assert_int_equal(v->option_count, 4);
	assert_true(is(v->options[0].name, "emit") && is(v->options[0].value, "update"));
	assert_true(is(v->options[1].name, "late") && is(v->options[2].value, "true") &&
	            is(v->options[3].value, "5"));
	assert_true(s.statements[1].kind == SQL_ALTER_VIEW && s.statements[1].version == 2);
	assert_true(s.statements[2].kind == SQL_DROP && !s.statements[2].drop_table &&
	            !s.statements[2].if_exists);
	assert_int_equal(s.statements[3].kind, SQL_SHOW_TABLES);
	assert_true(s.statements[4].kind == SQL_EXPLAIN && s.statements[4].option_count == 2);
	assert_true(is(s.statements[4].options[0].name, "format") &&
	            is(s.statements[4].options[0].value, "json"));
	assert_true(s.statements[5].kind == SQL_DIFF && is(s.statements[5].name, "v") &&
	            s.statements[5].arg_count == 3);
	assert_true(s.statements[6].kind == SQL_CREATE_TABLE && s.statements[6].with_data);
	sql_script_release(&s);
}

static void an_empty_text_has_no_statements(void **state)
{
	(void)state;
	static const char *const texts[] = {"", " ", ";", " ;; -- x", "/* a /* b */ c */", "\n\t"};
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct sql_script s = parsed(texts[i]);
		assert_int_equal(s.count, 0);
		sql_script_release(&s);
	}
	struct sql_script s;
	struct sql_error e;
	assert_int_equal(sql_parse((struct str){NULL, 0}, &s, &e), ERR_OK);
	sql_script_release(&s);
}

/* ---- tables ------------------------------------------------------------------------- */

static void a_table_is_the_contract_of_its_topic(void **state)
{
	(void)state;
	struct sql_fixture f;
	sql_fixture_init(&f);
	sql_fixture_run(&f,
	    "CREATE TABLE orders (id bigint NOT NULL, \"Product\" varchar(20) NOT NULL,"
	    " amount numeric(12,2) NOT NULL CHECK (amount >= 0),"
	    " created_ms bigint OPTIONS (path '$.meta.created') NULL, at timestamptz OPTIONS (unit "
	    "'ms', path '$.t'),"
	    " ts timestamptz GENERATED ALWAYS AS (to_timestamp(created_ms / 1000.0)) STORED,"
	    " CONSTRAINT sane CHECK (id > 0 AND ts IS NOT NULL))"
	    " WITH (topic = 'Orders.v1', format = json, event_time = ts, watermark_delay = '5 s',"
	    " idle_timeout = '1 min', max_ahead = '2 days', on_error = dlq, dlq = 'orders.dlq')");
	const struct table *t = f.tables[0];
	assert_true(
	    is(t->name, "orders") && is(t->topic, "Orders.v1") && is(t->dlq_topic, "orders.dlq"));
	assert_int_equal(t->column_count, 6);
	assert_int_equal(t->check_count, 2);
	assert_int_equal(t->event_time, 5);
	assert_int_equal(t->watermark_delay_us, 5000000);
	assert_int_equal(t->idle_timeout_us, 60000000);
	assert_int_equal(t->max_ahead_us, INT64_C(172800000000));
	const struct table_column *c = t->columns;
	assert_true(c[0].not_null && !c[0].quoted && c[0].type.id == TYPE_INT8 && !c[0].path.ptr &&
	            !c[0].generated);
	assert_true(c[1].quoted && is(c[1].name, "Product") && c[1].type.id == TYPE_TEXT &&
	            c[1].type.precision == 20);
	assert_true(
	    c[2].type.id == TYPE_NUMERIC && c[2].type.precision == 12 && c[2].type.scale == 2);
	assert_true(!c[3].not_null && is(c[3].path, "$.meta.created") && c[3].unit_us == 0);
	assert_true(c[4].unit_us == 1000 && is(c[4].path, "$.t"));
	assert_true(c[5].generated && c[5].generated->type.id == TYPE_TIMESTAMPTZ &&
	            c[5].generated->can_fail);
	assert_int_equal(t->checks[0]->type.id, TYPE_BOOL);
	assert_int_equal(t->checks[1]->kind, EXPR_AND);
	sql_fixture_release(&f);
}

static void a_table_has_defaults(void **state)
{
	(void)state;
	struct sql_fixture f;
	sql_fixture_init(&f);
	sql_fixture_run(&f, "CREATE TABLE t (a text)");
	const struct table *t = f.tables[0];
	assert_true(
	    is(t->topic, "t") && !t->dlq_topic.ptr && is(t->sql, "CREATE TABLE t (a text)"));
	assert_int_equal(t->event_time, -1);
	assert_int_equal(t->watermark_delay_us, 0);
	assert_int_equal(t->idle_timeout_us, 30000000);
	assert_int_equal(t->max_ahead_us, INT64_C(86400000000));
	sql_fixture_release(&f);
}

static void a_table_identity_is_its_contract(void **state)
{
	(void)state;
	struct sql_fixture f;
	sql_fixture_init(&f);
	sql_fixture_run(&f, "CREATE TABLE t (a text) WITH (topic = x)");
	sql_fixture_run(&f, "create table if not exists T(\n a TEXT -- x\n) with (watermark_delay "
	                    "= '0 s', topic='x')");
	sql_fixture_run(&f, "CREATE TABLE t (\"a\" text) WITH (topic = x)");
	sql_fixture_run(&f, "CREATE TABLE t (a text) WITH (topic = y)");
	sql_fixture_run(&f, "CREATE TABLE t (a text NOT NULL) WITH (topic = x)");
	for (uint32_t i = 1; i < f.table_count; i++)
		assert_int_equal(
		    memcmp(f.tables[0]->identity, f.tables[i]->identity, 32) == 0, i == 1);
	sql_fixture_release(&f);
}

/* ---- predicates --------------------------------------------------------------------- */

static enum err predicate(
    struct sql_fixture *f, const char *text, struct expr **ret_expr, struct sql_error *e)
{
	return sql_bind_predicate(
	    str_of(text), f->table_count ? f->tables[0] : NULL, &f->arena, ret_expr, e);
}

static void predicates_read_columns_of_the_source(void **state)
{
	(void)state;
	struct sql_fixture f;
	struct sql_error e;
	struct expr *x = NULL;
	sql_fixture_init(&f);
	assert_int_equal(predicate(&f, "_partition = 3 AND _key LIKE 'a%'", &x, &e), ERR_OK);
	assert_int_equal(x->args[0]->args[0]->column, HIDDEN_PARTITION);
	sql_fixture_schema(&f);
	assert_int_equal(predicate(&f, "amount > 100 -- not much", &x, &e), ERR_OK);
	assert_int_equal(x->args[0]->column, 2);
	assert_int_equal(predicate(&f, "(_offset < 5) or (paid)", &x, &e), ERR_OK);
	assert_int_equal(x->args[0]->args[0]->column, 8 + HIDDEN_OFFSET);
	sql_fixture_release(&f);
}

static void refused_predicates_point_into_their_own_text(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum err err;
		int line, column;
	} bad[] = {
	    {"nope > 1", ERR_SQL_NAME, 1, 1},
	    {"amount > 1 AND\n nope", ERR_SQL_NAME, 2, 2},
	    {"amount", ERR_SQL_TYPE, 1, 1},
	    {"amount >", ERR_SQL_SYNTAX, 1, 9},
	    {"", ERR_SQL_SYNTAX, 1, 1},
	    {"true) OR (true", ERR_SQL_SYNTAX, 1, 5},
	    {"true); DROP TABLE x; SELECT (1", ERR_SQL_SYNTAX, 1, 5},
	    {"true; SELECT 1", ERR_SQL_SYNTAX, 1, 5},
	    {"count(*) > 1", ERR_SQL_SYNTAX, 1, 1},
	    {"now() > ts", ERR_SQL_UNSUPPORTED, 1, 1},
	    {"SELECT true", ERR_NOT_YET, 1, 0},
	    {"'abc", ERR_SQL_SYNTAX, 1, 1},
	    {"true GROUP BY 1", ERR_SQL_SYNTAX, 1, 6},
	    {"true /* x", ERR_SQL_SYNTAX, 1, 6},
	};
	struct sql_fixture f;
	sql_fixture_init(&f);
	sql_fixture_schema(&f);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct sql_error e;
		struct expr *x = NULL;
		enum err err = predicate(&f, bad[i].text, &x, &e);
		if (err != bad[i].err || e.line != bad[i].line ||
		    (bad[i].column && e.column != bad[i].column))
			fail_msg("%s: %s %d:%d %s", bad[i].text, err_name(err), e.line, e.column,
			    e.message);
		assert_null(x);
	}
	sql_fixture_release(&f);
}

/* ---- harm --------------------------------------------------------------------------- */

/* One schema for many texts: what they created is forgotten, and now and then all of it. */
static struct harm {
	struct sql_fixture f;
	uint32_t tables, views, tries;
} harm;

static void harm_init(void)
{
	sql_fixture_init(&harm.f);
	sql_fixture_schema(&harm.f);
	harm.tables = harm.f.table_count;
	harm.views = harm.f.view_count;
	harm.tries = 0;
}

static enum err try_text(struct str text, struct sql_error *e)
{
	if (harm.tries == 100)
		sql_fixture_release(&harm.f);
	if (harm.tries == 100 || harm.tries == 0)
		harm_init();
	harm.tries++;
	enum err err = sql_fixture_try(&harm.f, text, NULL, e);
	harm.f.table_count = harm.tables;
	harm.f.view_count = harm.views;
	return err;
}

static int release_harm(void **state)
{
	(void)state;
	if (harm.tries > 0)
		sql_fixture_release(&harm.f);
	return 0;
}

static void repeat(struct writer *w, const char *text, size_t times)
{
	for (size_t i = 0; i < times; i++)
		write_cstr(w, text);
}

/* What a thread with the usual stack must survive, whatever it answers. */
static void deep_and_long_text_is_refused_on_any_thread(void *arg)
{
	static const struct {
		const char *before, *unit, *after;
	} forms[] = {
	    {"SELECT ", "(", "1"},
	    {"SELECT 1", "+1", ""},
	    {"SELECT ", "NOT ", "true"},
	    {"SELECT ", "- ", "1"},
	    {"SELECT 1", "::int", ""},
	    {"SELECT 1", " IS NULL", ""},
	    {"SELECT ", "CASE WHEN ", "1"},
	    {"SELECT ", "f(", "1"},
	    {"SELECT 1", " UNION ALL SELECT 1", ""},
	    {"SELECT 1,2", " UNION ALL SELECT 1,2", ""},
	    {"SELECT * FROM a", " JOIN a ON b AND c", ""},
	    {"SELECT * FROM ", "(SELECT * FROM ", "x"},
	    {"SELECT a", " BETWEEN 1 AND NOT b", ""},
	    {"SELECT a", "||a", ""},
	    {"SELECT ", "[", "1"},
	    {"SELECT a", "[1]", ""},
	    {"SELECT 1", ",1", ""},
	    {"SELECT true", " AND true", ""},
	    {"SELECT x", ".x", ""},
	    {"SELECT ", "/*", "1"},
	    {"SELECT ", "$a$ ", ""},
	    {"SELECT ", "'' ", ""},
	    {"SELECT E'a'\n", "'\\''\n", ""},
	    {"", "SELECT 1;", ""},
	    {"SELECT ", "array[", "1"},
	    {"SELECT * FROM x WHERE a IN (1", ",1", ")"},
	    {"WITH a AS ", "(WITH a AS ", "1"},
	    {"SELECT true", " OR a = b AND NOT c", ""},
	    {"SELECT 1", " COLLATE \"C\"", ""},
	    {"SELECT CASE 1", " WHEN 1 THEN 1", " END"},
	    {"SELECT 1", " AT TIME ZONE 'UTC'", ""},
	};
	static const size_t times[] = {100, 240, 1000, 10000, 200000};
	int *done = arg;
	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
		for (size_t k = 0; k < sizeof times / sizeof *times; k++) {
			struct writer w;
			struct sql_error e;
			writer_init(&w, 8 * MIB);
			write_cstr(&w, forms[i].before);
			repeat(&w, forms[i].unit, times[k]);
			write_cstr(&w, forms[i].after);
			(void)!try_text(bytes_str(writer_bytes(&w)), &e);
			writer_release(&w);
			++*done;
		}
}

static void deep_and_long_text_is_survived(void **state)
{
	(void)state;
	struct thread t = {.started = false};
	int done = 0;
	assert_int_equal(
	    thread_start(&t, "deep", deep_and_long_text_is_refused_on_any_thread, &done), ERR_OK);
	thread_join(&t);
	assert_int_equal(done, 31 * 5);
}

static void limits_say_where_and_which(void **state)
{
	(void)state;
	struct writer w;
	struct sql_error e;
	writer_init(&w, 8 * MIB);
	write_cstr(&w, "SELECT 1,\n");
	repeat(&w, "(", 10000);
	assert_int_equal(try_text(bytes_str(writer_bytes(&w)), &e), ERR_LIMIT);
	assert_true(e.line == 2 && e.column == 201);
	repeat(&w, " ", 1 << 20);
	assert_int_equal(try_text(bytes_str(writer_bytes(&w)), &e), ERR_LIMIT);
	assert_non_null(strstr(e.message, "the limit is 65536"));
	writer_clear(&w);
	write_cstr(&w, "SELECT 1 ");
	repeat(&w, "+ 1 ", 260);
	assert_int_equal(try_text(bytes_str(writer_bytes(&w)), &e), ERR_LIMIT);
	assert_int_equal(e.line, 1);
	writer_release(&w);
}

/* Each level of a BETWEEN repeats its operand: 2^40 nodes. */
static void operands_are_not_doubled_without_end(void **state)
{
	(void)state;
	struct writer w;
	struct sql_error e;
	writer_init(&w, MIB);
	write_cstr(&w, "SELECT ");
	repeat(&w, "(", 40);
	write_cstr(&w, "product = 'x'");
	repeat(&w, ") BETWEEN false AND true", 40);
	write_cstr(&w, " FROM rpm");
	assert_int_equal(try_text(bytes_str(writer_bytes(&w)), &e), ERR_LIMIT);
	writer_release(&w);
}

static void bytes_that_are_no_text_are_refused(void **state)
{
	(void)state;
	struct sql_error e;
	assert_int_equal(try_text(str_from("SELECT 1\0, 2", 12), &e), ERR_SQL_SYNTAX);
	assert_true(e.line == 1 && e.column == 9);
	assert_int_equal(try_text(str_of("SELECT 'ü\xff'"), &e), ERR_SQL_SYNTAX);
	assert_true(e.line == 1 && e.column == 10);
	assert_int_equal(try_text(str_of("SELECT\n'\xe2\x82'"), &e), ERR_SQL_SYNTAX);
	assert_true(e.line == 2 && e.column == 2);
	assert_int_equal(try_text(str_of("SELECT '\xed\xa0\x80'"), &e), ERR_SQL_SYNTAX);
	assert_int_equal(try_text(str_of("\xef\xbb\xbfSELECT 1"), &e), ERR_SQL_SYNTAX);
}

/* Cuts and single-byte changes of a statement that uses everything: no crash, no leak, an error
 * with a place or none. */
static void damaged_text_is_survived(void **state)
{
	(void)state;
	static const char text[] = "CREATE MATERIALIZED VIEW v (a, b) WITH (version = 2) AS WITH x "
	                           "AS (SELECT product AS p, sum(amount) FILTER"
	                           " (WHERE id BETWEEN 1 AND 5) AS s FROM tumble(orders, ts, "
	                           "interval '1 min') GROUP BY 1) SELECT p, CASE WHEN s"
	                           " > 1.5 THEN 'a' ELSE E'\\'b' END || $q$ x $q$ FROM x WHERE p "
	                           "IN ('a', U&\"b\") UNION ALL SELECT 'a', NULL"
	                           " FROM orders -- end";
	static const char put[] = "'\"()$;,*\\-/ \n[]e1.:";
	struct sql_error e;
	for (size_t i = 0; i < sizeof text; i++)
		(void)!try_text(str_from(text, i), &e);
	char copy[sizeof text];
	for (size_t i = 0; i < sizeof text - 1; i++)
		for (size_t k = 0; k < sizeof put - 1; k++) {
			memcpy(copy, text, sizeof text);
			copy[i] = put[k];
			(void)!try_text(str_from(copy, sizeof text - 1), &e);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_script_is_split_into_its_statements),
	    cmocka_unit_test(views_and_versions_are_classified),
	    cmocka_unit_test(an_empty_text_has_no_statements),
	    cmocka_unit_test(a_table_is_the_contract_of_its_topic),
	    cmocka_unit_test(a_table_has_defaults),
	    cmocka_unit_test(a_table_identity_is_its_contract),
	    cmocka_unit_test(predicates_read_columns_of_the_source),
	    cmocka_unit_test(refused_predicates_point_into_their_own_text),
	    cmocka_unit_test(deep_and_long_text_is_survived),
	    cmocka_unit_test(limits_say_where_and_which),
	    cmocka_unit_test(operands_are_not_doubled_without_end),
	    cmocka_unit_test(bytes_that_are_no_text_are_refused),
	    cmocka_unit_test(damaged_text_is_survived),
	};
	return cmocka_run_group_tests(tests, NULL, release_harm);
}
