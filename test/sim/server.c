/* SPDX-License-Identifier: Apache-2.0 */
/* One life of the server: the rooms opened as `kappa serve` opens them, with limits drawn anew. */
#include "test/sim/world.h"

static enum err open_log(struct world *w)
{
	struct log_options o = {.data_dir = "/data",
	    .journal_bytes = w->plan.journal_bytes,
	    .checkpoint_bytes = chance(w, 50) ? 0 : 16 * KIB << below(w, 8),
	    .checkpoint_ns = chance(w, 30) ? 0 : (int64_t)(5 + below(w, 500)) * MS_NS,
	    .append_queue_bytes = w->plan.small_queue ? 16 * MIB : 0,
	    .open_files_max = chance(w, 50) ? 0 : 8 + below(w, 32)};
	if (w->plan.rots > 0 || (w->plan.keeper && chance(w, 30))) {
		o.scrub_bytes_per_second = MIB << below(w, 6);
		o.scrub_rest_ns = (int64_t)(10 + below(w, 200)) * MS_NS;
	}
	return log_open(w->loop, &o, &w->log);
}

static enum err open_views(struct world *w)
{
	struct proc_options o = {.log = w->log,
	    .io = w->io,
	    .data_dir = "/data",
	    .checkpoint_ns = (int64_t)(1 + below(w, 300)) * MS_NS,
	    .checkpoint_keys = chance(w, 50) ? 0 : 1 + (uint32_t)below(w, 20),
	    .batch_rows = chance(w, 30) ? 0 : 1 + (uint32_t)below(w, 64)};
	TRY(proc_open(&o, &w->proc));
	return replay_open(w->proc, w->log, &w->replay);
}

static enum err open_broker(struct world *w)
{
	struct broker_options o = {.data_dir = "/data",
	    .no_auto_create = true,
	    .group_initial_delay_ms = chance(w, 50) ? -1 : 20,
	    .group_session_min_ms = 10,
	    .append_bytes_max = w->plan.small_queue ? 64 * KIB : 0, /* less than the log's queue */
	    .fetch_bytes_max = chance(w, 70) ? 0 : 4 * KIB,
	    .answer_budget_bytes = chance(w, 70) ? 0 : 64 * KIB};
	TRY(broker_open(w->loop, w->log, &o, &w->broker));
	w->port = broker_port(w->broker, 0);
	return ERR_OK;
}

void server_close(struct world *w)
{
	broker_close(w->broker);
	replay_close(w->replay);
	proc_close(w->proc);
	log_close(w->log);
	loop_free(w->loop);
	w->broker = NULL;
	w->replay = NULL;
	w->proc = NULL;
	w->log = NULL;
	w->loop = NULL;
	size_t open = sim_io_open_count(w->io);
	if (open > 0)
		violated("leak", "%zu descriptors are open after the server has closed", open);
}

enum err server_open(struct world *w)
{
	err_clear();
	enum err e = loop_new(w->io, 0, &w->loop);
	if (e == ERR_OK)
		e = open_log(w);
	if (e == ERR_OK)
		e = open_views(w);
	if (e == ERR_OK)
		e = open_broker(w);
	if (e != ERR_OK)
		server_close(w);
	return e;
}
