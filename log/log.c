/* SPDX-License-Identifier: Apache-2.0 */
/* The public face of the log as a whole: open, close, status, who wants to hear of D. */
#include "log/catalog.h"
#include "log/engine.h"
#include "log/gap.h"

enum err log_open(struct loop *loop, const struct log_options *options, struct log **ret_log)
{
	struct log *log;
	TRY(engine_open(loop, options, &log));
	enum err e = catalog_open(log);
	if (e == ERR_OK)
		e = gaps_name(log);
	if (e != ERR_OK) {
		engine_stop(log);
		catalog_close(log);
		engine_close(log);
		return e;
	}
	engine_serve(log);
	*ret_log = log;
	return ERR_OK;
}

void log_close(struct log *log)
{
	if (!log)
		return;
	loop_assert_owner(log->loop);
	engine_stop(log);
	catalog_close(log);
	engine_close(log);
}

void log_give_up(struct log *log)
{
	loop_assert_owner(log->loop);
	if (!log->rounds.no_space)
		return;
	if (!log->failed)
		engine_fail(log, ERR_NOSPACE, "a stop that found no room on the disk");
	rounds_give_up(&log->rounds); /* again, if a write was on its way when it was asked first */
}

struct loop *log_loop(const struct log *log)
{
	return log->loop;
}

enum err log_space(const struct log *log, uint64_t *ret_free, uint64_t *ret_total)
{
	return io_space(log->io, log->data_dir, ret_free, ret_total);
}

void log_status(const struct log *log, struct log_status *ret_status)
{
	*ret_status = (struct log_status){
	    .durable_sequence = log->durable_sequence,
	    .stable_sequence = engine_stable(log),
	    .next_sequence = log->rounds.next_sequence,
	    .server_epoch = log->epoch,
	    .last_append_time_ns = log->last_append_time_ns,
	    .failed = log->failed,
	    .no_space = log->rounds.no_space,
	    .damaged_partitions = log->damaged_partitions,
	    .unread_partitions = log->unread_partitions,
	};
}

int64_t log_time_ns(struct log *log)
{
	loop_assert_owner(log->loop);
	return clock_append(&log->clock);
}

int64_t log_judging_time_ns(struct log *log)
{
	loop_assert_owner(log->loop);
	return clock_judging(&log->clock);
}

void log_watch_stable(struct log *log, void (*fn)(void *ctx, uint64_t stable_sequence), void *ctx)
{
	loop_assert_owner(log->loop);
	for (int i = 0; i < LOG_WATCHERS_MAX; i++) {
		if (log->watchers[i].fn)
			continue;
		log->watchers[i] = (struct log_watcher){fn, ctx};
		return;
	}
	ASSERT(!"more than LOG_WATCHERS_MAX watchers");
}

void log_unwatch_stable(struct log *log, void *ctx)
{
	loop_assert_owner(log->loop);
	for (int i = 0; i < LOG_WATCHERS_MAX; i++)
		if (log->watchers[i].ctx == ctx)
			log->watchers[i] = (struct log_watcher){0};
}
