/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A server without doors for tests of views: log, processor and replay in a fresh directory;
 * statements as text, results as CSV. On a real backend the loop runs on a thread of its own and
 * views have workers; on a given (simulated) backend everything is one thread, and waiting turns
 * it. Failures are cmocka failures of the calling thread.
 */
#include "replay/replay.h"
#include "test/lib/test.h"

struct view_fixture {
	char *dir; /* tempdir_new; NULL for a given io */
	const char *backend;
	struct proc_options options; /* workers, checkpoints, batch sizes: set before view_start */
	struct log_options log_options; /* the same; the directory is the fixture's */
	struct io *io;
	bool given_io;
	struct loop *loop;
	struct log *log;
	struct proc *proc;
	struct replay *replay;
	struct thread thread;
	struct gate ready;
	enum err err;
	char why[800];
	struct writer out;      /* result of the last view_sql */
	struct writer messages; /* its messages, a line each */
	char data_dir[256];
};
/* backend "threads" or "uring". Starts in a new directory, or in the one of an earlier start that
 * was stopped. */
void view_start(struct view_fixture *f, const char *backend);
/* On one thread, over an io of the caller's: `data_dir` is a path there. */
void view_start_on(struct view_fixture *f, struct io *io, const char *data_dir);
MUST_USE enum err view_try_start_on(struct view_fixture *f, struct io *io, const char *data_dir);
void view_stop(struct view_fixture *f);
/* Stops if need be, and removes the directory. */
void view_remove(struct view_fixture *f);

void view_create_topic(struct view_fixture *f, const char *name, int32_t partitions);
void view_add_partitions(struct view_fixture *f, const char *name, int32_t total);
void view_delete_topic(struct view_fixture *f, const char *name);
/* Produces the next `count` reports in batches of 1..batch_max, to partitions drawn from the
 * generator. */
struct quakes;
void view_produce_quakes(
    struct view_fixture *f, struct quakes *q, size_t count, int32_t partitions, size_t batch_max);
/* One batch of `count` JSON documents (a NULL one is a null value). Waits until it is durable. */
void view_produce(struct view_fixture *f, const char *topic, int32_t partition,
    const char *const *values, size_t count);
MUST_USE enum err view_try_produce(struct view_fixture *f, const char *topic, int32_t partition,
    const char *const *values, size_t count);

/* Executes statements (with execute_plans); each must succeed. Returns the CSV of the last one that
 * has a result. */
const char *view_sql(struct view_fixture *f, const char *sql);
/* The error of the first that fails; f->why says why. */
enum err view_try_sql(struct view_fixture *f, const char *sql);
/* Waits until the version (0 = active) has applied everything that is durable now, and checkpointed
 * it. */
void view_catch_up(struct view_fixture *f, const char *view, int32_t version);
/* SELECT * FROM view as CSV, pinned to a version. */
const char *view_rows(struct view_fixture *f, const char *view, int32_t version);
struct proc_version_status view_status(struct view_fixture *f, const char *view, int32_t version);
/* Root over the rows of a version at a barrier, as 64 hexadecimal digits into buf[65]. */
const char *view_root(struct view_fixture *f, const char *view, int32_t version, char *buf);
