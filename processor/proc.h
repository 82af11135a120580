/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the files behind processor.h share.
 *
 * Locks, in this order:
 *   ddl      one statement changes definitions at a time; held over log writes and worker calls
 *   barriers one barrier at a time; held until it is reached
 *   files    files of versions are opened by readers, or taken away; held while SQLite opens one
 *   mutex    registry and what runs publish; never held while anything blocks
 * A run stays valid while any of them is held: it is freed under all four.
 */
#include "processor/worker.h"

struct proc {
	struct proc_options options;
	struct worker_env env;
	struct vfs *vfs;
	char *views_dir;
	struct log_table *table;
	struct list loading; /* definitions of log_table_open, until they are taken in */
	bool loaded;
	struct mutex mutex;
	struct cond changed;
	struct mutex ddl, files;
	struct mutex barriers;
	struct registry registry;
	struct worker **workers;
	unsigned worker_count;
	struct thread keeper; /* drops versions whose keep window is over */
	struct gate keeper_stop, keeper_done;
	bool watching;
};

/* ---- definitions (proc_ddl.c) ---------------------------------------------------------------- */
/* Makes rows durable; with an active record when `active` is given. */
MUST_USE enum err proc_put_definition(
    struct proc *p, const struct definition *d, const struct definition *active);
MUST_USE enum err proc_put_tombstone(struct proc *p, const struct definition *d);
MUST_USE enum err proc_start_run(struct proc *p, struct reg_version *v);
/* Under ddl: tombstone, stop, file away. */
MUST_USE enum err proc_drop_version_locked(struct proc *p, struct reg_version *v);
/* Statements of proc_execute, under ddl. */
MUST_USE enum err proc_create_table(struct proc *p, const struct sql_statement *s,
    const struct proc_execute *how, const struct proc_sink *sink, struct sql_error *ret_error);
MUST_USE enum err proc_create_view(struct proc *p, const struct sql_statement *s,
    const struct proc_execute *how, const struct proc_sink *sink, struct sql_error *ret_error);
MUST_USE enum err proc_drop(struct proc *p, const struct sql_statement *s,
    const struct proc_execute *how, const struct proc_sink *sink);
MUST_USE enum err proc_select(struct proc *p, const struct sql_statement *s,
    const struct proc_sink *sink, struct sql_error *ret_error);
void proc_link_current(struct proc *p, const struct reg_view *view);
/* Drops versions whose keep window is over; under no lock. */
void proc_keep_check(struct proc *p);
int64_t proc_now_ms(const struct proc *p);

/* ---- finding --------------------------------------------------------------------------------- */
/* ERR_NOT_FOUND with the nearest name. Under mutex. */
MUST_USE enum err proc_find_version(
    struct proc *p, struct str view, int32_t version, struct reg_version **ret_version);
/*
 * After a start versions are opened one by one. Until then nobody knows whether one is still
 * reading history, or whether its file can be trusted: a file torn by a crash, or ahead of the log,
 * is removed when its version is opened. Waits until all of a view are known; ERR_AGAIN after 10 s.
 */
MUST_USE enum err proc_wait_known(struct proc *p, struct str view);
/* A reader at the last checkpoint of a version. ERR_AGAIN: it has none yet, or is not known yet. */
MUST_USE enum err proc_open_reader(struct proc *p, struct str view, int32_t version,
    struct reg_version **ret_version, struct store_reader **ret_reader);
/* The version a snapshot is of. */
const struct reg_version *proc_snapshot_def(const struct proc_snapshot *s);
/* Statement errors without a place in the text. */
enum err proc_sql_error(struct sql_error *e, enum err err);
enum err proc_message(const struct proc_sink *sink, const char *fmt, ...) PRINTF(2, 3);
void proc_collect_metrics(void *ctx, struct writer *out);
