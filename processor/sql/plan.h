/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Plans: what the binder makes of a statement. A tree of nodes over sources, in one arena;
 * immutable, shared by threads. Views and queries use the same nodes; a query's sources are rows of
 * views (PLAN_ROWS), a view's are topics (PLAN_SOURCE) because a view read by a view is inlined.
 */
#include "processor/op/expr.h"

/* ---- tables: the contract of a topic --------------------------------------------------------- */

enum sql_format { FORMAT_JSON };
struct table_column {
	struct str name;
	bool quoted; /* written with quotes: matches its JSON key exactly */
	struct type type;
	struct str path; /* OPTIONS (path '$.a.b'); ptr NULL = by name */
	int64_t unit_us; /* OPTIONS (unit 's'|'ms'|'us'): numbers into timestamptz; 0 = none */
	bool not_null;
	struct expr *generated; /* over the table's decoded columns; NULL = decoded */
};
/* Hidden columns follow the declared ones, in this order, in the column space of a source. */
enum hidden_column {
	HIDDEN_TOPIC,       /* _topic text */
	HIDDEN_PARTITION,   /* _partition integer */
	HIDDEN_OFFSET,      /* _offset bigint */
	HIDDEN_TIMESTAMP,   /* _timestamp timestamptz */
	HIDDEN_KEY,         /* _key text */
	HIDDEN_KEY_BYTES,   /* _key_bytes bytea */
	HIDDEN_HEADERS,     /* _headers jsonb */
	HIDDEN_INGEST_TIME, /* _ingest_time timestamptz: append time */
	HIDDEN_SEQUENCE,    /* _sequence bigint */
	HIDDEN_POS,         /* _pos integer */
	HIDDEN_COUNT
};
struct table {
	struct str name;
	struct str topic;
	struct log_uuid topic_id; /* zero until it is resolved at CREATE */
	enum sql_format format;
	struct table_column *columns;
	uint32_t column_count;
	struct expr **checks; /* CHECK constraints over the declared columns */
	uint32_t check_count;
	int32_t event_time; /* column index, -1 = none */
	int64_t watermark_delay_us;
	int64_t idle_timeout_us;
	int64_t max_ahead_us;
	struct str dlq_topic; /* ptr NULL = none */
	struct str sql;       /* the CREATE TABLE as written */
	uint8_t identity[32]; /* SHA-256, see sql.h */
};

/* ---- nodes ----------------------------------------------------------------------------------- */

struct plan_column {
	struct str name;
	struct type type;
};
struct plan_columns {
	struct plan_column *columns;
	uint32_t count;
};
enum plan_kind {
	PLAN_SOURCE, /* records of a table's topic, decoded: declared columns, then hidden ones */
	PLAN_ROWS,   /* rows of a view version: its visible columns, or of a diff of two (queries
	                only) */
	PLAN_VALUES, /* constant rows (SELECT without FROM: one row, no columns) */
	PLAN_FILTER,
	PLAN_PROJECT,
	PLAN_AGGREGATE,   /* output: group columns, then aggregates */
	PLAN_DISTINCT_ON, /* one row per key, the first by `order`; output: the input's columns */
	PLAN_DISTINCT,    /* all columns; output: the input's columns */
	PLAN_UNION_ALL,
	PLAN_SORT,  /* queries only */
	PLAN_LIMIT, /* queries only */
};
struct plan_order {
	uint32_t column;
	bool descending;
	bool nulls_first;
};
struct plan {
	enum plan_kind kind;
	struct plan_column *columns; /* output */
	uint32_t column_count;
	struct plan **inputs;
	uint32_t input_count;
	bool append_only;  /* never retracts: derived through the plan */
	bool stateful;     /* this node keeps state between batches */
	uint32_t state_id; /* number of this node among the stateful ones, in plan order; names its
	                      state table */
	/* SOURCE */
	const struct table *table;
	uint32_t source_id;     /* number among the plan's sources */
	uint8_t *column_needed; /* per column (declared + hidden): is it read above? All declared
	                           ones are still checked. DISTINCT_ON: per column, else NULL */
	/* ROWS */
	struct str view;
	int32_t version;
	int32_t diff_version; /* 0 = plain rows; else rows of diff(view, version, diff_version), see
	                         sql_diff_columns */
	/* FILTER */
	struct expr *predicate;
	/* PROJECT: one expression per output column. VALUES: row_count * column_count constants */
	struct expr **exprs;
	uint32_t row_count;
	/* AGGREGATE: group columns are input columns (a project below computes them). No group
	 * columns: one row, also when empty. */
	uint32_t *keys; /* AGGREGATE, DISTINCT_ON: key columns of the input */
	uint32_t key_count;
	struct agg *aggs;
	uint32_t agg_count;
	/* DISTINCT_ON, SORT: always a total order on sources (_sequence, _pos appended by the
	 * binder) */
	struct plan_order *order;
	uint32_t order_count;
	/* LIMIT: -1 = none */
	int64_t limit, offset;
};

/* A name that the statement's own text reads (not those inside the views it names). With the
 * version it was bound to, this is what must be kept so that the same text means the same later. */
struct plan_read {
	struct str name;
	bool is_table;
	int32_t version; /* of a view */
	uint8_t identity[32];
};

/* A whole view or query. */
struct view_plan {
	struct arena *arena;
	struct plan
	    *root; /* visible columns first; for views further hidden key columns may follow */
	uint32_t visible_count; /* of root's columns */
	uint32_t *keys;         /* columns of root that identify an output row */
	uint32_t key_count;     /* 0 for a one-row result */
	bool keys_visible; /* all key columns are visible (diff pairs by key, else as multisets) */
	struct plan **sources; /* PLAN_SOURCE or PLAN_ROWS nodes, by source_id */
	uint32_t source_count;
	struct plan_read *reads; /* each name once, in the order of the text */
	uint32_t read_count;
	uint32_t state_count;
	bool fails_above_state; /* an expression that can fail stands above a stateful node: records
	                           go one at a time */
	int32_t window_end;     /* root column that is window_end, -1 = none */
	uint8_t identity[32];   /* SHA-256 over parse tree (locations zeroed) and the identities of
	                           what it reads */
};
