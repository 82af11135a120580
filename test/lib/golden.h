/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Reads the tab-separated files of test/golden/sql: fields with \t, \n and \\ escaped. Fails the
 * test when it cannot. */
#include "processor/op/vec.h"

enum { GOLDEN_FIELDS_MAX = 20 };
struct golden {
	struct arena arena;
	struct str rest;
	unsigned line;
};
struct golden_row {
	unsigned line;
	unsigned count;
	struct str fields[GOLDEN_FIELDS_MAX];
};
void golden_open(struct golden *g, const char *path);
bool golden_next(struct golden *g, struct golden_row *ret_row);
void golden_close(struct golden *g);
/* "numeric(12,2)", "timestamptz", "bigint", ...: PostgreSQL's names and short forms. */
struct type golden_type(struct str name);
