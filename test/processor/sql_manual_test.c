/* SPDX-License-Identifier: Apache-2.0 */
/* processor/SQL.md does what it says: its examples run, its refusals are refused, the functions it
 * lists exist. */
#include "test/lib/golden.h"
#include "test/lib/sql_fixture.h"
#include "test/lib/test.h"

struct manual {
	struct golden file; /* for reading it whole */
	struct str rest;
};

static void open_manual(struct manual *m)
{
	golden_open(&m->file, "processor/SQL.md");
	m->rest = m->file.rest;
}

/* The text between `begin` and `end`, after which reading goes on; ptr NULL when there is no
 * further one. */
static struct str next_between(struct manual *m, const char *begin, const char *end)
{
	const char *at = memmem(m->rest.ptr, m->rest.len, begin, strlen(begin));
	if (!at)
		return (struct str){NULL, 0};
	at += strlen(begin);
	size_t left = (size_t)(m->rest.ptr + m->rest.len - at);
	const char *stop = memmem(at, left, end, strlen(end));
	if (!stop)
		fail_msg("SQL.md: no %s after %s", end, begin);
	m->rest = str_from(stop, (size_t)(m->rest.ptr + m->rest.len - stop));
	return str_from(at, (size_t)(stop - at));
}

static void run_statement(struct sql_fixture *f, struct str text, bool refused)
{
	struct sql_error e;
	enum err err = sql_fixture_try(f, text, NULL, &e);
	if ((err != ERR_OK) != refused)
		fail_msg("SQL.md: %.*s\n%s %d:%d %s", STR_ARG(text), err_name(err), e.line,
		    e.column, err == ERR_OK ? "was accepted" : e.message);
}

static uint32_t run_block(struct sql_fixture *f, struct str block, bool refused)
{
	struct sql_script script;
	struct sql_error e;
	if (sql_parse(block, &script, &e) != ERR_OK) {
		/* a refusal by the parser stops a script: then the block must hold one statement */
		assert_true(refused);
		return 1;
	}
	uint32_t count = script.count;
	for (uint32_t i = 0; i < script.count; i++)
		run_statement(f, script.statements[i].text, refused);
	sql_script_release(&script);
	return count;
}

static void the_examples_of_the_manual_run(void **state)
{
	(void)state;
	struct manual m;
	struct sql_fixture f;
	uint32_t accepted = 0, refused = 0;
	open_manual(&m);
	sql_fixture_init(&f);
	for (;;) {
		struct str block = next_between(&m, "\n```sql", "\n```\n");
		if (!block.ptr)
			break;
		bool bad = block.len > 8 && memcmp(block.ptr, " refused", 8) == 0;
		struct str sql = bad ? str_from(block.ptr + 8, block.len - 8) : block;
		*(bad ? &refused : &accepted) += run_block(&f, sql, bad);
	}
	assert_true(accepted >= 20 && refused >= 6);
	sql_fixture_release(&f);
	golden_close(&m.file);
}

static bool is_function(struct str name)
{
	for (size_t i = 0; i < func_table_count; i++)
		if (str_equal(name, str_of(func_table[i].name)))
			return true;
	return false;
}

static void the_functions_of_the_manual_exist(void **state)
{
	(void)state;
	struct manual m;
	uint32_t count = 0;
	open_manual(&m);
	m.rest = next_between(&m, "<!-- functions -->", "<!-- end -->");
	for (;; count++) {
		struct str name = next_between(&m, "`", "`");
		if (!name.ptr)
			break;
		if (!is_function(name))
			fail_msg("SQL.md lists %.*s, which does not exist", STR_ARG(name));
		m.rest = str_from(m.rest.ptr + 1, m.rest.len - 1);
	}
	assert_true(count > 80);
	golden_close(&m.file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_examples_of_the_manual_run),
	    cmocka_unit_test(the_functions_of_the_manual_exist),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
