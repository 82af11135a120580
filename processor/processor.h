/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * processor: derives views from the log in SQL. Statements in, views kept up to date by workers
 * that read the log in sequence order, rows and queries out. One SQLite file per view version holds
 * rows, operator state, dead letters and positions, changed in one transaction per checkpoint (I4);
 * so a view is a pure function of (log prefix, logic) (I5).
 *
 * Threads: all functions are for any thread except the loop's, and may block, unless marked.
 * Definitions (tables, view versions, which version is active) are records of the history topic
 * `__kappa_views`: the in-memory catalog is a view of it.
 */
#include "processor/op/vec.h"
#include "processor/sql/sql.h"

struct proc;

struct proc_options {
	struct log *log;
	struct io *io;
	const char *data_dir;     /* views live in <data_dir>/views */
	unsigned workers;         /* threads; 0 = sim: proc_step drives everything */
	int64_t checkpoint_ns;    /* a checkpoint is taken when this old; 0 = 1 s */
	uint32_t checkpoint_keys; /* or at this many dirty keys; 0 = 100,000 */
	uint32_t batch_rows; /* rows per operator batch; 0 = 2048; results do not depend on it */
	size_t state_bytes;  /* memory for operator state, all views; 0 = 1 GiB */
	int64_t query_timeout_ns; /* 0 = 30 s */
	uint64_t query_rows_max;  /* 0 = 10,000,000 */
};
/* Loads definitions, opens the view files (a file ahead of the log or failing its check is
 * discarded and rebuilt: VIEW_AHEAD, with an event), starts workers. Call on the thread that starts
 * the server, before serving. */
MUST_USE enum err proc_open(const struct proc_options *options, struct proc **ret_proc);
/* Takes a last checkpoint of every version and joins the workers. */
void proc_close(struct proc *proc);
/* For those who wait for a version: sleeps, or, where there are no worker threads, turns the
 * versions once. */
void proc_pause(struct proc *proc, int64_t ns);
/* Sim and tests: turns every version as far as the log allows; true when something moved. */
bool proc_step(struct proc *proc);

/* ---- changes of rows ------------------------------------------------------------------------- */

struct proc_column;
/* A row that a checkpoint of a live version has written; borrowed during the call. */
struct proc_change {
	struct str view;
	int32_t version;
	struct str key; /* as proc_snapshot_parse_key reads it */
	const struct proc_column *columns;
	uint32_t column_count;
	const struct datum *values; /* of the columns; NULL: there is no such row any more */
	uint64_t sequence;          /* of the checkpoint: the view is as of here */
	uint64_t previous;          /* of the checkpoint before it that changed rows */
	uint64_t index, count;      /* of the checkpoint's changes, in the order of keys */
};
/*
 * Tells every change of every live version while `wanted`: the last value of each key in a
 * checkpoint, not what it had in between. Whoever misses one sees it by index, count and previous,
 * and reads the rows again. Both functions run on a worker's thread, which waits for them: they
 * must not block, nor call into proc. One watcher at a time, NULL ends it; after proc_set_watch
 * nobody is in the former one's functions.
 */
struct proc_watch {
	void *ctx;
	bool (*wanted)(void *ctx);
	void (*change)(void *ctx, const struct proc_change *c);
};
void proc_set_watch(struct proc *proc, const struct proc_watch *watch);

/* ---- results --------------------------------------------------------------------------------- */

struct proc_column {
	struct str name;
	struct type type;
};
/* Receives a statement's result. Any function returning an error ends the statement with it. */
struct proc_sink {
	void *ctx;
	enum err (*columns)(void *ctx, const struct proc_column *columns, uint32_t count);
	enum err (*row)(void *ctx, const struct datum *values,
	    uint32_t count);                             /* values borrowed during the call */
	enum err (*message)(void *ctx, struct str text); /* "CREATE MATERIALIZED VIEW", notices */
};

/* ---- statements ------------------------------------------------------------------------------ */

struct proc_execute {
	bool execute_plans; /* do what loses data (DROP) instead of printing the plan: interface.md
	                       "danger" */
	struct str principal;
};
/*
 * Executes one statement of a parsed script: CREATE TABLE, CREATE MATERIALIZED VIEW (version 1, or
 * WITH (version = n)), DROP, SELECT, EXPLAIN. Statements that belong to replay (CALL, diff(),
 * active_version) give ERR_UNSUPPORTED: replay.h has the entry that takes them all. Errors:
 * *ret_error has line and column for SQL errors; ERR_REFUSED = a plan was printed as messages and
 * needs execute_plans.
 */
MUST_USE enum err proc_execute(struct proc *proc, const struct sql_statement *s,
    const struct proc_execute *how, const struct proc_sink *sink, struct sql_error *ret_error);
/* SELECT over view rows, with one view pinned to a version (0 = active). sql.ptr NULL = SELECT *
 * FROM view. */
MUST_USE enum err proc_query(struct proc *proc, struct str view, int32_t version, struct str sql,
    const struct proc_sink *sink, struct sql_error *ret_error);
/* The catalog for binding, for replay and for --where. */
const struct sql_catalog *proc_sql_catalog(struct proc *proc);
/*
 * Runs a bound query. Rows of PLAN_ROWS come from the last checkpoint of the view version they
 * name, or, where `rows` is given and the source has a diff_version, from `rows`, which calls
 * `take` (its errors end it) with one datum per column.
 */
typedef enum err (*proc_take_row)(void *take_ctx, const struct datum *values, uint32_t count);
struct proc_rows {
	void *ctx;
	enum err (*rows)(void *ctx, const struct plan *source, proc_take_row take, void *take_ctx);
};
MUST_USE enum err proc_run_plan(struct proc *proc, const struct view_plan *plan,
    const struct proc_rows *rows, const struct proc_sink *sink);
/* The plan of an EXPLAIN as messages. */
MUST_USE enum err proc_explain_plan(const struct view_plan *plan, const struct proc_sink *sink);

/* ---- view versions --------------------------------------------------------------------------- */

enum proc_version_state {
	PROC_REBUILDING, /* reading history */
	PROC_READY,      /* has reached the live end once */
	PROC_SOURCE_GONE,
	PROC_FAILED, /* its file or thread failed: reason in the status; others go on */
};
const char *proc_state_name(enum proc_version_state s); /* "rebuilding", "ready", ... */
struct proc_version_status {
	char view[256];
	int32_t version;
	bool active;
	enum proc_version_state state;
	char reason[200];
	uint64_t rows, dead_letters, records; /* records: accepted */
	uint64_t
	    position; /* sequence up to which everything has been applied, at the last checkpoint */
	uint64_t stable;          /* S_stable of the log at the time of asking */
	int64_t position_time_ns; /* append time at the position */
	int64_t lag_ns; /* append time of the newest durable record minus that of the position */
	uint64_t input_done, input_total; /* bytes, for progress */
	double rate;                      /* records/s over the last second while rebuilding */
	uint8_t logic[32];
	uint64_t first_sequence; /* of its recorded input: the first it may read */
	bool from_start;         /* false: made with --from */
	uint64_t input_hash; /* hash of the recorded input (topic ids, partitions, from offsets, log
	                        starts at creation) */
};
/* ERR_NOT_FOUND (chain: which view or version, nearest name). version 0 = active. */
MUST_USE enum err proc_version_status(
    struct proc *proc, struct str view, int32_t version, struct proc_version_status *ret_status);
/* All versions of all views, by name and version. Calls fn for each; stops at the first error,
 * which it returns. */
MUST_USE enum err proc_versions(
    struct proc *proc, enum err (*fn)(void *ctx, const struct proc_version_status *s), void *ctx);
/* The CREATE statement as written; into buf as NUL-terminated text. */
MUST_USE enum err proc_version_sql(
    struct proc *proc, struct str view, int32_t version, struct writer *ret_sql);

/* Where a version starts to read: one offset for each (source topic, partition), or everything. */
struct proc_input {
	bool from_start;
	struct log_scan_source
	    *from; /* when !from_start; partitions not named are read from their start */
	size_t from_count;
	struct str principal;
};
/* The topics a version (or a CREATE statement not yet executed) reads. */
MUST_USE enum err proc_sources(struct proc *proc, const struct sql_statement *s,
    struct arena *arena, struct log_uuid **ret_topics, size_t *ret_count,
    struct sql_error *ret_error);
/*
 * Creates a version beside the live one and starts reading. version 0 = next free. A version that
 * was created WITH NO DATA is started by this, with the same statement. ERR_EXISTS: number taken;
 * ERR_REFUSED: another rebuild of this view is running.
 */
MUST_USE enum err proc_version_create(struct proc *proc, const struct sql_statement *s,
    int32_t version, const struct proc_input *input, int32_t *ret_version,
    struct sql_error *ret_error);
MUST_USE enum err proc_version_drop(struct proc *proc, struct str view, int32_t version);
struct proc_activation {
	struct str view;
	int32_t version;
	int64_t keep_ns; /* how long the version before stays fed; 0 = dropped at once, < 0 = for
	                    ever */
	struct str reason, principal;
	bool rollback; /* afterwards there is no version to go back to, and none is dropped */
};
/* One durable record: readers see it between statements. ERR_REFUSED when the version is not there
 * yet (WITH NO DATA, failed). */
MUST_USE enum err proc_set_active(struct proc *proc, const struct proc_activation *a);
/* The version that was active before the last promote; ERR_REFUSED when there is none to go back
 * to. */
MUST_USE enum err proc_previous_active(struct proc *proc, struct str view, int32_t *ret_version);

/* ---- snapshots: rows at one sequence --------------------------------------------------------- */

/* A consistent read-only picture of a version's rows at its last checkpoint. */
struct proc_snapshot;
/*
 * Barrier: brings each of the versions to a checkpoint at exactly `sequence` (0 = the current
 * S_stable) and opens a snapshot of each, while they go on. ERR_TIMEOUT when a version is more than
 * timeout_ns away.
 */
MUST_USE enum err proc_snapshot_at(struct proc *proc, struct str view, const int32_t *versions,
    size_t count, uint64_t sequence, int64_t timeout_ns, struct proc_snapshot **ret_snapshots);
/* A snapshot at the version's last checkpoint, without a barrier. ERR_AGAIN: it has none yet. */
MUST_USE enum err proc_snapshot_last(
    struct proc *proc, struct str view, int32_t version, struct proc_snapshot **ret_snapshot);
void proc_snapshot_close(struct proc_snapshot *s); /* takes NULL */
uint64_t proc_snapshot_sequence(const struct proc_snapshot *s);
uint64_t proc_snapshot_input_hash(const struct proc_snapshot *s);
/* Visible columns, then the key's columns by index among them. */
void proc_snapshot_columns(const struct proc_snapshot *s, const struct proc_column **ret_columns,
    uint32_t *ret_count, const uint32_t **ret_keys, uint32_t *ret_key_count,
    bool *ret_keys_visible);
struct proc_row {
	struct bytes key;                       /* encoded, memcmp order = key order */
	const struct datum *values;             /* visible columns */
	uint64_t first_sequence, last_sequence; /* of the records behind the row */
	int64_t record_count;
};
/* Rows in key order; ERR_EOF after the last. Row contents are valid until the next call. */
MUST_USE enum err proc_snapshot_next(struct proc_snapshot *s, struct proc_row *ret_row);
/* The one row with that encoded key; ERR_NOT_FOUND. */
MUST_USE enum err proc_snapshot_find(
    struct proc_snapshot *s, struct bytes key, struct proc_row *ret_row);
/* XXH3-128-free root: SHA-256 over all rows in key order (names, types, values), to compare runs
 * (I5). */
MUST_USE enum err proc_snapshot_root(struct proc_snapshot *s, uint8_t ret_root[32]);
/* Parses "col=value[,col=value]" or a bare value into the version's encoded key. ERR_INVALID with a
 * reason. */
MUST_USE enum err proc_snapshot_parse_key(
    struct proc_snapshot *s, struct str text, struct writer *ret_key);

/* ---- lineage --------------------------------------------------------------------------------- */

struct proc_input_record {
	struct str topic;
	int32_t partition;
	int64_t offset;
	uint64_t sequence;
	int64_t timestamp_ms;
	int effect; /* +1: the record added to the row, -1: it took something away */
	struct bytes value;
};
/*
 * Re-runs the logic of the snapshot's version over the part of its input, up to the snapshot, that
 * can matter for the row with this key, and calls fn for each record that contributed, in sequence
 * order, at most `limit`; *ret_total counts all. ERR_NOT_FOUND when the snapshot has no such row.
 * Runs on the caller's thread.
 */
MUST_USE enum err proc_explain_row(struct proc *proc, struct proc_snapshot *at, struct bytes key,
    uint64_t limit, enum err (*fn)(void *ctx, const struct proc_input_record *r), void *ctx,
    uint64_t *ret_total);

/* ---- dead letters ---------------------------------------------------------------------------- */

struct proc_dead_letter {
	struct str topic;
	int32_t partition;
	int64_t offset;
	uint64_t sequence;
	int32_t version;
	struct str op; /* where: "decode", "filter", "aggregate", ... */
	enum err reason;
	struct str message;
	int64_t time_us;    /* append time of the record */
	struct bytes key;   /* ptr NULL = null */
	struct bytes value; /* ptr NULL = null */
};
/* In (sequence, pos) order, from the active version (version 0) or a given one. id =
 * "topic/partition/offset"; ptr NULL = all. */
MUST_USE enum err proc_dead_letters(struct proc *proc, struct str view, int32_t version,
    struct str id, uint64_t limit, enum err (*fn)(void *ctx, const struct proc_dead_letter *d),
    void *ctx);

/* ---- result text (interface.md "Outputs that programs read") --------------------------------- */

/* One value as in --csv (without quoting; NULL writes nothing) or as a JSON value. */
void proc_write_csv_field(struct writer *w, struct type type, struct datum d);
void proc_write_json_value(struct writer *w, struct type type, struct datum d);
/* One line each, with its line end. */
void proc_write_csv_header(struct writer *w, const struct proc_column *columns, uint32_t count);
void proc_write_csv_row(struct writer *w, const struct proc_column *columns,
    const struct datum *values, uint32_t count);
void proc_write_json_row(struct writer *w, const struct proc_column *columns,
    const struct datum *values, uint32_t count);

enum proc_format { PROC_CSV, PROC_JSON, PROC_TABLE };
/*
 * A sink that writes a result as text: CSV with a header line, one JSON object per line, or an
 * aligned table with a count of rows (held in memory until proc_text_finish, at most 64 MiB:
 * ERR_LIMIT). Messages are left to the caller: sink.message is NULL. `write` gets chunks of text
 * and may fail, which ends the statement.
 */
struct proc_text;
MUST_USE enum err proc_text_new(enum proc_format format,
    enum err (*write)(void *ctx, struct str text), void *ctx, struct proc_text **ret_text);
void proc_text_free(struct proc_text *t); /* takes NULL */
const struct proc_sink *proc_text_sink(struct proc_text *t);
/* Writes what is still held. */
MUST_USE enum err proc_text_finish(struct proc_text *t);
