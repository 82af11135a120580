/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Registry: tables and view versions in memory, bound, as the definitions topic says
 * (definition.h). Entries are never freed before registry_release: plans point to tables, and later
 * versions inline the SQL of dropped ones, so what is dropped is only marked. Names keep their
 * meaning: a version is bound with the tables and view versions that its record names, whatever the
 * names mean now. Thread: any, under the owner's mutex, except registry_bind_*, which may run
 * without it: one DDL statement at a time changes the registry, and it is the one that binds.
 */
#include "processor/definition.h"
#include "processor/sql/sql.h"

struct run;
struct reg_table {
	struct list_node node;
	struct arena arena;
	struct str name;
	struct table *table;
	struct definition def;
	bool dropped;
};
struct reg_view {
	struct list_node node;
	struct arena arena;
	struct str name;
	struct list versions;     /* in order of creation */
	int32_t active, previous; /* 0 = none */
	int64_t keep_until_ms;
};
struct reg_version {
	struct list_node node;
	struct reg_view *view;
	struct arena arena;
	struct registry *registry;
	struct definition def;
	struct sql_script script; /* of def.text; the plan points into it */
	bool parsed;
	struct view_plan *plan;     /* NULL: it could not be bound, see problem */
	struct sql_catalog catalog; /* what the names in its SQL meant */
	uint64_t input_hash;
	bool dropped;
	bool ended; /* of a view that was dropped as a whole: its numbers count no more */
	char problem[200];
	struct run *run; /* at a worker; NULL = not started, or dropped */
};
struct registry {
	struct list tables;
	struct list views;
	struct mutex *mutex;
	struct sql_catalog catalog; /* names as they are now */
};

void registry_init(struct registry *r, struct mutex *mutex);
void registry_release(struct registry *r);
/* Not dropped; NULL when there is none. */
struct reg_table *registry_table(struct registry *r, struct str name);
struct reg_view *registry_view(struct registry *r, struct str name);
/* version 0 = active. NULL when there is none. */
struct reg_version *registry_version(struct registry *r, struct str view, int32_t version);
/* All of a view, dropped ones skipped; start with after = NULL. */
struct reg_version *registry_next_version(struct reg_view *view, struct reg_version *after);
/* The smallest number above all versions since the view was created. */
int32_t registry_free_version(const struct reg_view *view);
/* A version, not dropped, that reads the table or the view version; NULL when there is none. */
struct reg_version *registry_reader_of(struct registry *r, const struct plan_read *read);
/* The nearest known name, ptr NULL = none is near. */
struct str registry_nearest(struct registry *r, struct str name);

/* Take a definition in: `d` lives in `arena`, which is taken over. The SQL is bound (tables: ERR of
 * the binder; versions: with a problem instead). An existing entry of that name is replaced by
 * marking it dropped. */
MUST_USE enum err registry_add_table(struct registry *r, const struct definition *d,
    struct arena *arena, struct reg_table **ret_table);
MUST_USE enum err registry_add_version(struct registry *r, const struct definition *d,
    struct arena *arena, struct reg_version **ret_version);
void registry_drop_table(struct registry *r, struct str name);
void registry_drop_version(struct registry *r, struct str view, int32_t version);
MUST_USE enum err registry_set_active(struct registry *r, const struct definition *d);
/* Fills what the binder needs to know of a version. ERR_REFUSED when it could not be bound itself.
 */
MUST_USE enum err registry_view_info(const struct reg_version *v, struct sql_view_info *ret_info);
