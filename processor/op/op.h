/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Operators: a bound plan made into machines that turn batches of source rows into changes of
 * output rows.
 *
 * One op_tree belongs to one view version or one query, and to one thread. The caller (the worker
 * of the version) pushes decoded batches in sequence order, flushes, and at a checkpoint lets the
 * tree write its state:
 *
 *     op_build -> { op_push* -> op_flush -> sink }* -> op_flush -> op_checkpoint -> COMMIT -> ...
 * -> op_free
 *
 * Invariants
 *   O1  after op_flush the sink has seen the changes that make its rows equal to the query over
 *       everything accepted so far; how pushes were cut into batches and when flushes fell changes
 *       nothing (I4, I5).
 *   O2  memory is a cache: an entry is evicted only when the store holds the same bytes. Everything
 *       that changed since the last op_checkpoint is in memory, so lookups may answer from the last
 *       committed checkpoint.
 *   O3  a record whose processing fails leaves no trace in state or sink. Errors below all state
 *       drop the row on the spot; where op_needs_records says so the caller brackets each record,
 *       and a failed one is undone.
 *   O4  an error returned by a function here (ERR_NOMEM, an error of the store or the sink) is not
 *       a bad record: the tree is then good for op_free only, and is built again from the last
 *       checkpoint.
 */
#include "processor/sql/plan.h"

struct op_tree;

/* ---- where state lives ----------------------------------------------------------------------- */

/* Keys are key_encode bytes and compare with memcmp; values are opaque, versioned bytes. Both are
 * borrowed for the call. */
typedef enum err (*op_scan_fn)(void *ctx, struct bytes key, struct bytes value);

/*
 * State tables are numbered: id < plan->state_count holds the entries of the stateful node with
 * that state_id (one per group or key); id + plan->state_count holds its parts (members of DISTINCT
 * sets and of multisets; key = entry key, slot byte, value). The table op_row_state() names is not
 * written by put and delete: its bytes travel with the rows (op_change.state), and lookup and scan
 * on it must answer with the state column of the row under that key.
 */
struct op_store {
	void *ctx;
	/* The value under `key`, valid until the next call; ERR_NOT_FOUND. */
	enum err (*lookup)(void *ctx, uint32_t state_id, struct bytes key, struct bytes *ret_value);
	/* Calls fn for each pair whose key starts with `prefix`, in key order; fn's error ends the
	 * scan and is returned. */
	enum err (*scan)(
	    void *ctx, uint32_t state_id, struct bytes prefix, op_scan_fn fn, void *fn_ctx);
	/* Only from op_checkpoint; per state_id in ascending key order, state_ids ascending. */
	enum err (*put)(void *ctx, uint32_t state_id, struct bytes key, struct bytes value);
	enum err (*del)(void *ctx, uint32_t state_id, struct bytes key);
};

/* ---- what comes out -------------------------------------------------------------------------- */

/*
 * The records a row was made of: sequences of the first and last one, and how many. A row of
 * DISTINCT ON or DISTINCT comes from the record that was chosen. Exact over append-only input. Over
 * input that retracts, the count is exact and the sequences are bounds that depend on where flushes
 * fell: keep them out of hashes. Zero where rows come from no record.
 */
struct op_lineage {
	uint64_t first_sequence;
	uint64_t last_sequence;
	uint64_t record_count;
};
struct op_change {
	bool deleted;  /* else: insert or replace */
	bool inserted; /* the sink's rows have no such key at this point: a view counts its rows by
	                  it */
	uint32_t row;  /* in `rows`: the new values; of a deleted row only the key columns count */
	struct bytes
	    key; /* key_encode of view_plan.keys; empty for a one-row result and for queries */
	struct op_lineage lineage;
	struct bytes state; /* to be kept with the row when op_row_state() >= 0; else ptr NULL */
};
struct op_error {
	const struct origin *origin; /* of the record; NULL when it has none (queries) */
	const char *op;              /* "filter", "project", "aggregate", ... */
	enum err err; /* BAD_VALUE, NUMERIC_OVERFLOW, DIVISION_BY_ZERO, MATCH_LIMIT, ... */
	const char *message;
};

struct op_env {
	void *ctx;
	/*
	 * Changes of output rows, in batches of at most BATCH_ROWS_MAX; all of root's columns,
	 * visible ones first. The same key may come again in a later call, and then replaces the
	 * earlier change. Everything is borrowed for the call. For a query: its rows in order, none
	 * deleted, no keys.
	 */
	enum err (*sink)(
	    void *ctx, const struct batch *rows, const struct op_change *changes, uint32_t count);
	/* A record is refused: called once per record. In a query the error comes back from op_push
	 * or op_flush instead. */
	void (*error)(void *ctx, const struct op_error *error);
	const struct op_store *store; /* NULL: state lives in memory only */
	bool store_empty; /* a new view: nothing can be found in the store, so nothing is looked up
	                   */
	bool query;       /* rows instead of changes; one op_flush, at the end */
	size_t memory_bytes; /* of state; beyond it clean entries are evicted. Without a store:
	                        ERR_LIMIT. 0 = unlimited */
};

/* ---- life cycle ------------------------------------------------------------------------------ */

/*
 * Borrows `plan`, `env` and env->store until op_free. ERR_NOMEM; ERR_SQL_UNSUPPORTED with a note
 * for what has no operator (a float sum over an input that retracts). Reads nothing from the store
 * yet.
 */
MUST_USE enum err op_build(
    const struct view_plan *plan, const struct op_env *env, struct op_tree **ret_tree);
void op_free(struct op_tree *t);

/*
 * Optional, right after op_build over a store that is not empty: reads state until memory_bytes are
 * used. When everything fitted, later misses ask the store no more.
 */
MUST_USE enum err op_load(struct op_tree *t);

/*
 * Rows of source `source_id` (columns as plan->sources[source_id]; a column nobody reads may have
 * data NULL; origin set for topics; weight NULL or +-1 per row). The batch is consumed: its columns
 * may be changed. Its memory is not used after return, inside a record not after op_end_record.
 */
MUST_USE enum err op_push(struct op_tree *t, uint32_t source_id, struct batch *batch);
/* Sends what changed since the last flush to the sink. The first flush of a view over no records
 * emits the row of an aggregate without GROUP BY. */
MUST_USE enum err op_flush(struct op_tree *t);
/* A query with LIMIT has all its rows: pushing more is pointless. */
bool op_done(const struct op_tree *t);

/*
 * True when records must go one at a time, each as
 *     op_begin_record, op_push (one record, to each source that reads its topic), op_end_record
 * because something that can fail stands above state, or several sources read one topic.
 * op_end_record flushes; when the record failed anywhere, env.error has been called once, all state
 * is as before op_begin_record, the sink has seen nothing, and *ret_accepted is false.
 * op_abort_record undoes it on the caller's wish. Outside a view that needs it the bracket works as
 * well, only slower.
 */
bool op_needs_records(const struct op_tree *t);
void op_begin_record(struct op_tree *t);
MUST_USE enum err op_end_record(struct op_tree *t, bool *ret_accepted);
MUST_USE enum err op_abort_record(struct op_tree *t);

/* ---- checkpoints and memory ------------------------------------------------------------------ */

/*
 * After op_flush, inside the caller's transaction: put and del for every entry that changed since
 * the last one. All entries then count as clean, so the transaction (with the rows the sink was
 * given) must be readable before the next op_push; if it fails, free the tree. Evicts down to
 * memory_bytes.
 */
MUST_USE enum err op_checkpoint(struct op_tree *t);
/* The state_id whose bytes are kept with the output rows, or -1: the topmost stateful node when
 * only projections stand above it and its key is the rows' key. */
int32_t op_row_state(const struct op_tree *t);

struct op_stats {
	uint64_t entries; /* in memory */
	uint64_t dirty;   /* changed since the last checkpoint: entries and parts */
	uint64_t memory_bytes;
	uint64_t lookups; /* asked of the store so far */
	uint64_t evicted; /* so far */
};
/* Sums over all stateful nodes. */
void op_stats(const struct op_tree *t, struct op_stats *ret_stats);
/* Of one node (EXPLAIN (STATE)). */
void op_state_stats(const struct op_tree *t, uint32_t state_id, struct op_stats *ret_stats);
