/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and closing the engine, and what its parts share. See engine.h for the order. */
#include "log/engine.h"
#include "log/journal_where.h"
#include "log/partition_drop.h"
#include "log/recovery.h"
#include "log/scan.h"
#include "log/scrub.h"
#include <stdarg.h>
#include <stdio.h>

#define CHECKPOINT_BYTES_DEFAULT ((uint64_t)64 << 20)
#define CHECKPOINT_NS_DEFAULT    (5 * S_NS)
#define APPEND_QUEUE_DEFAULT     (64 * MIB)
#define COMPACT_MAP_DEFAULT      (32 * MIB)
#define OPEN_FILES_DEFAULT       ((size_t)512)
#define STOP_NO_SPACE_NS         (5 * S_NS) /* how long a stop waits for room on a full disk */
#define ENGINE_JOURNAL_MIN       (64 * KIB)
enum { PRODUCER_ID_BLOCK = 1000 };

enum err engine_path(const struct log *log, char *buf, const char *fmt, ...)
{
	va_list args;
	int n = snprintf(buf, LOG_PATH_MAX, "%s/", log->data_dir);
	if (n < 0 || n >= LOG_PATH_MAX)
		return err_note(ERR_LIMIT, "data directory: path too long");
	va_start(args, fmt);
	int m = vsnprintf(buf + n, (size_t)(LOG_PATH_MAX - n), fmt, args);
	va_end(args);
	return m >= 0 && n + m < LOG_PATH_MAX
	           ? ERR_OK
	           : err_note(ERR_LIMIT, "path too long under %s", log->data_dir);
}

/* ---- opening --------------------------------------------------------------------------------- */

static void options_resolve(struct log_options *o)
{
	if (o->journal_bytes == 0)
		o->journal_bytes = JOURNAL_BYTES_DEFAULT;
	if (o->journal_bytes < ENGINE_JOURNAL_MIN)
		o->journal_bytes = ENGINE_JOURNAL_MIN;
	if (o->checkpoint_bytes == 0)
		o->checkpoint_bytes = CHECKPOINT_BYTES_DEFAULT;
	if (o->checkpoint_bytes > o->journal_bytes / JOURNAL_FILES)
		o->checkpoint_bytes =
		    o->journal_bytes / JOURNAL_FILES; /* so that the next file is free in time */
	if (o->checkpoint_ns == 0)
		o->checkpoint_ns = CHECKPOINT_NS_DEFAULT;
	if (o->append_queue_bytes == 0)
		o->append_queue_bytes = APPEND_QUEUE_DEFAULT;
	if (o->direct_bytes == 0)
		o->direct_bytes = ROUND_DIRECT_BYTES;
	if (o->compact_map_bytes == 0)
		o->compact_map_bytes = COMPACT_MAP_DEFAULT;
	if (o->compact_producers == 0)
		o->compact_producers = PRODUCERS_MAX;
	if (o->open_files_max == 0)
		o->open_files_max = OPEN_FILES_DEFAULT;
}

static enum err open_journal_directory(struct log *log)
{
	struct journal_where where;
	enum err e = journal_where_take(log->io, log->data_dir, log->options.journal_dir, &where);
	log->journal_lock = where.lock;
	TRY(e);
	log->journal_outside = where.outside;
	log->journal_dir = mem_strdup(str_of(where.dir));
	log->options.journal_dir = log->journal_dir;
	return log->journal_dir ? ERR_OK : ERR_NOMEM;
}

static enum err open_directories(struct log *log)
{
	char path[LOG_PATH_MAX];
	TRY(io_mkdir_all(log->io, log->data_dir));
	TRY(dirlock_take(log->io, log->data_dir, DIRLOCK_WRITE, &log->lock));
	if (!log->options.unfinished)
		TRY(dirlock_finished(log->io, log->data_dir));
	TRY(engine_path(log, path, "topics"));
	TRY(io_mkdir_all(log->io, path));
	return open_journal_directory(log);
}

static enum err engine_new(
    struct loop *loop, const struct log_options *options, struct log **ret_log)
{
	struct log *log = mem_calloc(1, sizeof(*log));
	if (!log)
		return ERR_NOMEM;
	*ret_log = log; /* released by the caller, however far it got */
	log->loop = loop;
	log->io = loop_io(loop);
	log->options = *options;
	log->lock = log->journal_lock = DIRLOCK_NONE;
	options_resolve(&log->options);
	map_init(&log->partitions);
	list_init(&log->scrub_queue);
	map_init(&log->directories);
	list_init(&log->scans);
	list_init(&log->txn_partitions);
	list_init(&log->dropping);
	list_init(&log->firing);
	list_init(&log->producer_id_waiting);
	list_init(&log->producer_id_done);
	for (unsigned i = 0; i < JOURNAL_FILES; i++)
		log->journal.files[i].fd = -1;
	log->data_dir = mem_strdup(str_of(options->data_dir));
	if (!log->data_dir)
		return ERR_NOMEM;
	log->options.data_dir = log->data_dir;
	descriptors_init(&log->descriptors, log, log->options.open_files_max);
	tail_init(&log->tail);
	behind_init(&log->behind, log);
	ahead_init(&log->ahead, log);
	checkpointer_init(&log->checkpointer, log);
	clock_init(&log->clock, log);
	return rounds_init(&log->rounds, log);
}

static enum err engine_start(struct log *log)
{
	TRY(loop_step(log->loop, 0)); /* this thread owns the loop; its clocks are set */
	TRY(open_directories(log));
	TRY(recovery_run(log));
	log->recovered = true;
	round_space_first(&log->rounds);
	journal_fill(&log->journal);
	return ERR_OK;
}

enum err engine_open(struct loop *loop, const struct log_options *options, struct log **ret_log)
{
	struct log *log = NULL;
	ASSERT(options->data_dir);
	enum err e = engine_new(loop, options, &log);
	if (e == ERR_OK)
		e = engine_start(log);
	if (e != ERR_OK) {
		engine_close(log);
		return e;
	}
	*ret_log = log;
	return ERR_OK;
}

void engine_serve(struct log *log)
{
	struct log_partition *p;
	size_t cursor = 0;
	loop_assert_owner(log->loop);
	while ((p = partition_found_next(log, &cursor)))
		recovery_verdict(ERR_ORPHAN, "directory=%s log_start=%lld log_end=%lld", p->dir,
		    (long long)p->log_start, (long long)p->log_end);
	recovery_free(log->recovery);
	log->recovery = NULL;
	trash_start(log);
	index_sweep(log);
	if (scrub_start(log, &log->scrub) != ERR_OK)
		diag(DIAG_WARN, "scrub", "what=\"not started: out of memory\"");
}

/* ---- closing --------------------------------------------------------------------------------- */

static bool partitions_quiet(const struct log *log)
{
	struct log_partition *p;
	size_t cursor = 0;
	while ((p = map_next(&log->partitions, &cursor)))
		if (p->tasks != 0 || p->deleting)
			return false;
	return true;
}

/* Nothing of ours is with the pool, the I/O seam or in a deferred mail. */
static bool engine_quiet(const struct log *log)
{
	return rounds_idle(&log->rounds) && !log->rounds.space_checking &&
	       !log->rounds.start_posted && !log->rounds.finish_posted &&
	       !log->rounds.more_posted && !log->journal.filling && log->drops == 0 &&
	       log->descriptors.closing == 0 && log->reads_active == 0 && log->behind.out == 0 &&
	       !scrub_busy(log->scrub) && !log->reads_first && !log->fire_posted &&
	       !log->ids_posted && partitions_quiet(log);
}

static enum err engine_drain(struct log *log)
{
	int64_t started = io_clock_ns(log->io, IO_CLOCK_MONOTONIC);
	while (!engine_quiet(log)) {
		TRY(loop_step(log->loop, 10 * MS_NS));
		if (io_clock_ns(log->io, IO_CLOCK_MONOTONIC) - started > STOP_NO_SPACE_NS)
			rounds_give_up(&log->rounds);
	}
	return ERR_OK;
}

static enum err stop_clean(struct log *log)
{
	struct log_partition *p;
	size_t cursor = 0;
	while ((p = map_next(&log->partitions, &cursor))) {
		partition_snap(p);
		damage_stop(p);
	}
	TRY(rounds_write_clean(&log->rounds));
	return checkpoint_finish(&log->checkpointer, true);
}

void engine_stop(struct log *log)
{
	if (!log->rounds.log || log->stopped)
		return;
	log->closing = true;
	ahead_stop(&log->ahead);
	scrub_stop(log->scrub);
	rounds_abort(&log->rounds, ERR_CLOSED);
	producer_ids_abort(log);
	enum err e = engine_drain(log);
	bool served = log->recovered && !log->recovery; /* recovery_free: engine_serve */
	if (e == ERR_OK && served && !log->failed)
		e = stop_clean(log);
	while (log->checkpointer.state != CHECKPOINT_IDLE &&
	       loop_step(log->loop, 10 * MS_NS) == ERR_OK)
		;
	enum err drained = engine_drain(log); /* what the failure left in the air */
	e = e == ERR_OK ? drained : e;
	if (e != ERR_OK)
		diag(DIAG_ERROR, "stop",
		    "error=%s what=\"no clean stop: the next start reads the journal\"",
		    err_name(e));
	log->stopped = true;
}

static void close_partitions(struct log *log)
{
	struct log_partition *p;
	size_t cursor = 0;
	while ((p = map_next(&log->partitions, &cursor)))
		partition_close(p);
}

void engine_close(struct log *log)
{
	if (!log)
		return;
	engine_stop(log);
	checkpointer_release(&log->checkpointer);
	/* what was dirty may have been the last of a segment that is gone: the pool closes and
	 * unlinks it */
	if (log->rounds.log && engine_drain(log) != ERR_OK)
		err_clear();
	scrub_free(log->scrub);
	close_partitions(log);
	recovery_free(log->recovery);
	rounds_release(&log->rounds);
	journal_close(&log->journal);
	map_release(&log->partitions);
	map_release(&log->directories);
	tail_release(&log->tail);
	index_spare_shrink(&log->index_spare, SIZE_MAX);
	dirlock_release(log->io, &log->lock);
	dirlock_release(log->io, &log->journal_lock);
	mem_free(log->journal_dir);
	mem_free(log->data_dir);
	mem_free(log);
}

/* ---- shared ---------------------------------------------------------------------------------- */

void engine_fail(struct log *log, enum err why, const char *what)
{
	if (log->failed)
		return;
	log->failed = true;
	diag(DIAG_ERROR, "log_failed", "what=\"%s\" error=%s chain=\"%s\"", what, err_name(why),
	    err_chain());
	rounds_fail(&log->rounds);
	producer_ids_abort(log);
}

void engine_durable(struct log *log, uint64_t sequence, int64_t append_time_ns)
{
	ASSERT(sequence > log->durable_sequence);
	log->durable_sequence = sequence;
	log->last_append_time_ns = append_time_ns;
	engine_announce(log);
}

uint64_t engine_stable(const struct log *log)
{
	uint64_t stable = log->durable_sequence;
	LIST_EACH (&log->txn_partitions, n, next) {
		const struct log_partition *p = CONTAINER_OF(n, struct log_partition, txn_node);
		stable = partition_stable_sequence(p, stable);
	}
	return stable;
}

void engine_announce(struct log *log)
{
	uint64_t stable = engine_stable(log);
	scans_wake(log);
	for (int i = 0; i < LOG_WATCHERS_MAX; i++)
		if (log->watchers[i].fn)
			log->watchers[i].fn(log->watchers[i].ctx, stable);
}

/* ---- producer ids ---------------------------------------------------------------------------- */

static void ids_give(struct mail *mail)
{
	struct log *log = CONTAINER_OF(mail, struct log, ids);
	struct list_node *n;
	log->ids_posted = false;
	while ((n = list_pop_front(&log->producer_id_done))) {
		struct log_producer_id_req *req = CONTAINER_OF(n, struct log_producer_id_req, node);
		req->done(req);
	}
}

static void id_answer(struct log *log, struct log_producer_id_req *req, enum err err)
{
	req->err = err;
	list_push_back(&log->producer_id_done, &req->node);
	if (log->ids_posted)
		return;
	log->ids_posted = true;
	log->ids.run = ids_give;
	loop_defer(log->loop, &log->ids);
}

void producer_ids_abort(struct log *log)
{
	struct list_node *n;
	while ((n = list_pop_front(&log->producer_id_waiting)))
		id_answer(log, CONTAINER_OF(n, struct log_producer_id_req, node),
		    log->failed ? ERR_IO : ERR_CLOSED);
}

bool engine_reserve_wanted(const struct log *log)
{
	return !list_empty(&log->producer_id_waiting);
}

uint64_t engine_reserve_bound(const struct log *log)
{
	return log->producer_id_reserved + (engine_reserve_wanted(log) ? PRODUCER_ID_BLOCK : 0);
}

void engine_reserved(struct log *log, uint64_t bound)
{
	struct list_node *n;
	log->producer_id_reserved = bound;
	while (log->producer_id_next < bound && (n = list_pop_front(&log->producer_id_waiting))) {
		struct log_producer_id_req *req = CONTAINER_OF(n, struct log_producer_id_req, node);
		req->producer_id = (int64_t)log->producer_id_next++;
		id_answer(log, req, ERR_OK);
	}
}

void log_producer_id(struct log *log, struct log_producer_id_req *req)
{
	loop_assert_owner(log->loop);
	req->producer_id = -1;
	list_node_init(&req->node);
	if (log->failed || log->closing) {
		id_answer(log, req, log->failed ? ERR_IO : ERR_CLOSED);
		return;
	}
	list_push_back(&log->producer_id_waiting, &req->node);
	if (log->producer_id_next < log->producer_id_reserved)
		engine_reserved(log, log->producer_id_reserved);
	else
		rounds_start_later(&log->rounds);
}
