/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * replay: bounded runs, rebuilds beside the live version, diff, promote, rollback, lineage. Built
 * on processor's versions and snapshots; it adds no second code path for history: a rebuild is a
 * version whose worker reads from the start. Threads: any except the loop's; functions may block.
 */
#include "processor/processor.h"

struct replay;
MUST_USE enum err replay_open(struct proc *proc, struct log *log, struct replay **ret_replay);
void replay_close(struct replay *r);

/* Executes any statement of the dialect: what proc_execute takes, and CALL rebuild(view, version
 * =>, from_offset =>), ALTER MATERIALIZED VIEW v SET (active_version = n), SELECT ... FROM
 * diff(...). */
MUST_USE enum err replay_execute(struct replay *r, const struct sql_statement *s,
    const struct proc_execute *how, const struct proc_sink *sink, struct sql_error *ret_error);

/* from: an OFFSETSPEC start (start, N, @TIME, ...; ptr NULL = start). Times are append times. */
struct replay_rebuild {
	struct str view;
	struct str sql; /* CREATE MATERIALIZED VIEW ... */
	struct str from;
	struct str principal;
	int32_t version; /* result */
	struct sql_error error;
};
/* Returns once the rebuild is started. ERR_EXISTS, ERR_REFUSED (two rebuilds), SQL errors. */
MUST_USE enum err replay_rebuild(struct replay *r, struct replay_rebuild *req);
/* Waits until the version's lag is at most lag_ns: ERR_TIMEOUT. progress (may be NULL) is called
 * about once a second. */
MUST_USE enum err replay_wait(struct replay *r, struct str view, int32_t version, int64_t lag_ns,
    int64_t timeout_ns, enum err (*progress)(void *ctx, const struct proc_version_status *s),
    void *ctx);

struct replay_diff_counts {
	uint64_t sequence, added, removed, changed, same;
};
struct replay_diff {
	struct str view;
	int32_t a, b;
	struct str key;       /* ptr NULL = all rows */
	bool different_input; /* compare although the inputs differ (else ERR_DIFFERENT_INPUT) */
	bool with_same;       /* SQL diff(): `same` rows too */
	int64_t timeout_ns;   /* 0 = 30 s */
	struct replay_diff_counts counts; /* result */
};
/* Columns: change, key columns, then NAME_v<a>, NAME_v<b> per other column (interface.md). Streams
 * in key order. */
MUST_USE enum err replay_diff(
    struct replay *r, struct replay_diff *req, const struct proc_sink *sink);

/* keep_ns: how long the version before stays fed for a rollback; -1 = 24 h, 0 = dropped at once.
 * ERR_REFUSED when not ready. */
MUST_USE enum err replay_promote(
    struct replay *r, struct str view, int32_t version, int64_t keep_ns, struct str reason);
/* ERR_REFUSED for a second rollback without a promote between. *ret_version: now active. */
MUST_USE enum err replay_rollback(
    struct replay *r, struct str view, struct str reason, int32_t *ret_version);

/* Writes the one JSON object of explain-row into out. ERR_NOT_FOUND when there is no such row. */
MUST_USE enum err replay_explain_row(struct replay *r, struct str view, int32_t version,
    struct str key, uint64_t limit, struct writer *out);
