/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files behind replay.h share. */
#include "log/base/offsetspec.h"
#include "log/catalog.h"
#include "replay/replay.h"

#define REPLAY_TOPIC           "__kappa_replay"
#define REPLAY_KEEP_DEFAULT_NS (24 * 3600 * S_NS)

struct replay {
	struct proc *proc;
	struct log *log;
	struct io *io;
	struct log_table *history;
};
/* One record of the history topic: what was asked for, by whom, why. Its loss must not undo what
 * was done: an error is only told. */
struct replay_event {
	const char *event; /* "rebuild", "promote", "rollback" */
	struct str view;
	int32_t version, before;
	struct str principal, reason, from;
};
void replay_record(struct replay *r, const struct replay_event *e);
int64_t replay_now_ms(const struct replay *r);

/* ---- diff (diff.c) --------------------------------------------------------------------------- */
/* The rows of a diff, without the place for a sink's column names: `take` gets one datum per
 * column. */
struct diff_rows {
	struct replay *replay;
	struct replay_diff *req;
	proc_take_row take;
	void *take_ctx;
	enum err (*columns)(void *ctx, const struct plan_columns *columns); /* may be NULL */
	void *columns_ctx;
};
MUST_USE enum err diff_run(struct diff_rows *d);

/* ---- statements ------------------------------------------------------------------------------ */
MUST_USE enum err replay_call(struct replay *r, const struct sql_statement *s,
    const struct proc_execute *how, const struct proc_sink *sink, struct sql_error *ret_error);
/* Where each partition of the topics starts; offsets in `arena`. */
MUST_USE enum err replay_resolve_from(struct replay *r, struct str from,
    const struct log_uuid *topics, size_t count, struct arena *arena, struct proc_input *ret_input);
