/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A catalog in memory for tests of the SQL front end: runs CREATE TABLE and CREATE MATERIALIZED
 * VIEW, answers the binder. */
#include "processor/sql/sql.h"

enum { FIXTURE_TABLES_MAX = 16, FIXTURE_VIEWS_MAX = 64 };
struct sql_fixture {
	struct arena arena;
	struct sql_catalog catalog;
	struct table *tables[FIXTURE_TABLES_MAX];
	uint32_t table_count;
	struct fixture_view {
		struct sql_view_info info;
		struct view_plan *plan;
		bool active;
	} views[FIXTURE_VIEWS_MAX];
	uint32_t view_count;
};
void sql_fixture_init(struct sql_fixture *f);
void sql_fixture_release(struct sql_fixture *f);
/* Parses and binds every statement; CREATEs go into the catalog. *ret_plan (may be NULL) is the
 * last query's or view's. */
enum err sql_fixture_try(struct sql_fixture *f, struct str sql, struct view_plan **ret_plan,
    struct sql_error *ret_error);
/* The same; a refusal fails the test and prints why. */
struct view_plan *sql_fixture_run(struct sql_fixture *f, const char *sql);
/* plan_print as text in the fixture's arena. */
const char *sql_fixture_print(struct sql_fixture *f, const struct view_plan *plan);
/* The relations of test/golden/sql/refused.tsv and plans.tsv: table orders; views rpm (versions 1
 * and 2), big, once. */
void sql_fixture_schema(struct sql_fixture *f);
/* What a test can see of a plan besides its nodes: "columns: a text, b bigint | _offset bigint; key
 * 2; append-only; ..." */
const char *sql_fixture_summary(struct sql_fixture *f, const struct view_plan *plan);
