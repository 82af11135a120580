/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Runs the operators of a plan against a store and rows in memory that behave like the view file:
 * lookups see the last checkpoint only, what the sink was given becomes readable with it. Checks on
 * the way what op.h promises: keys ascend in a checkpoint, `inserted` and `deleted` agree with the
 * rows there are.
 */
#include "log/base/prng.h"
#include "processor/op/op.h"

struct kv {
	uint32_t table;
	struct bytes key, value; /* owned */
};
struct kv_map {
	struct kv *items; /* sorted by table, key */
	size_t count, capacity;
};
void kv_set(struct kv_map *m, uint32_t table, struct bytes key, struct bytes value);
bool kv_get(const struct kv_map *m, uint32_t table, struct bytes key, struct bytes *ret_value);
void kv_del(struct kv_map *m, uint32_t table, struct bytes key);
void kv_release(struct kv_map *m);

/* One source row. The fixture fills the hidden columns from sequence and pos. */
struct op_input {
	uint32_t source;
	uint64_t sequence;
	uint32_t pos;
	int32_t weight;
	const struct datum *values; /* the declared columns */
};

struct op_fixture {
	const struct view_plan *plan;
	struct op_env env;
	struct op_store store;
	struct op_tree *tree;
	struct kv_map rows;      /* key -> visible columns as text, lineage */
	struct kv_map states;    /* key -> hidden state, as of now */
	struct kv_map committed; /* states, as of the last checkpoint */
	struct kv_map tables;    /* op_store's, as of the last checkpoint */
	struct writer output;    /* query: rows as text in order */
	uint32_t errors;
	enum err last_error;
	char last_message[160];
	bool with_lineage; /* rows carry their lineage in the text */
	/* last put or del of the checkpoint in progress */
	bool in_checkpoint;
	uint32_t last_table;
	struct bytes last_key;
	struct arena arena;
	struct arena batches; /* pushed since the last op_fixture_push began */
};

/* memory_bytes 0 = unlimited. The store starts empty. */
void op_fixture_init(struct op_fixture *f, const struct view_plan *plan, size_t memory_bytes);
void op_fixture_query(struct op_fixture *f, const struct view_plan *plan);
void op_fixture_release(struct op_fixture *f);
/* Pushes one batch, all of one source; in records where the tree asks for it. Fails the test on a
 * fatal error. */
void op_fixture_push(struct op_fixture *f, const struct op_input *rows, uint32_t count);
/* Without a bracket of its own: for tests that make records themselves. */
enum err op_fixture_push_raw(struct op_fixture *f, const struct op_input *rows, uint32_t count);
struct batch op_fixture_batch(
    struct op_fixture *f, struct arena *a, const struct op_input *rows, uint32_t count);
enum err op_fixture_try_push(struct op_fixture *f, const struct op_input *rows, uint32_t count);
void op_fixture_flush(struct op_fixture *f);
enum err op_fixture_try_checkpoint(struct op_fixture *f);
void op_fixture_checkpoint(struct op_fixture *f); /* flushes first */
/* Throws the tree away and builds it again from the last checkpoint, which must be now. */
void op_fixture_restart(struct op_fixture *f, bool load);
/* All rows as text, sorted by key, one per line. In the fixture's arena. */
const char *op_fixture_rows(struct op_fixture *f);
