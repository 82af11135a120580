/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The space budget (R4). Appends are taken only as far as the last look at the file system found
 * room, less a reserve for metadata and index files; the next look happens on the pool before the
 * budget is used up. So a full disk is met as ERR_NOSPACE before anything is written. If others
 * fill the disk meanwhile, a segment write fails although its round is in the journal: the round
 * then waits, complete in memory and journal, until there is room again. Fetch and everything that
 * does not append goes on; looks every 100 ms end it by themselves.
 */
#include "log/engine.h"

#define SPACE_LOOK_NS  (100 * MS_NS)
#define SPACE_AGE_NS   S_NS /* others fill the disk too: no look is believed for longer */
#define SPACE_STEP_MAX ((int64_t)256 << 20) /* taken from one look at most: others write too */

uint64_t round_space_reserve(uint64_t total)
{
	uint64_t reserve = total / 16;
	return reserve < 64 * MIB ? reserve : 64 * MIB;
}

static void space_run(struct pool_job *job)
{
	struct rounds *rs = CONTAINER_OF(job, struct rounds, space_job);
	err_clear();
	rs->space_err = io_space(rs->log->io, rs->log->data_dir, &rs->space_free, &rs->space_total);
	if (rs->space_err != ERR_OK)
		diag(DIAG_ERROR, "space", "error=\"%s\"", err_chain());
}

static void space_retry(struct rounds *rs)
{
	struct list_node *n;
	while ((n = list_pop_front(&rs->retry)))
		round_submit_stretch(CONTAINER_OF(n, struct round_stretch, retry));
}

static void space_done(struct pool_job *job)
{
	struct rounds *rs = CONTAINER_OF(job, struct rounds, space_job);
	struct log *log = rs->log;
	uint64_t reserve = round_space_reserve(rs->space_total);

	rs->space_checking = false;
	rs->space_fresh = true;
	rs->space_bytes = 0;
	rs->space_spare = 0;
	if (rs->space_err == ERR_OK)
		rs->space_spare =
		    (int64_t)(rs->space_free < reserve ? rs->space_free : reserve) / 2;
	/* index files to come were paid for, but the look does not see them */
	reserve += checkpoint_growth(&log->checkpointer);
	if (rs->space_err == ERR_OK && rs->space_free > reserve) {
		uint64_t room = rs->space_free - reserve;
		rs->space_bytes = room < (uint64_t)SPACE_STEP_MAX ? (int64_t)room : SPACE_STEP_MAX;
	}
	rs->space_seen = rs->space_bytes;
	/* Appends come back when there is room for a full round, so that the state does not
	 * flicker. */
	bool enough = rs->space_bytes > (int64_t)(rs->no_space ? 2 * rs->round_bytes : 0) &&
	              !log->checkpointer.no_room;
	if (!list_empty(&rs->retry) && !log->failed)
		space_retry(rs);
	if (enough && rs->no_space) {
		rs->no_space = false;
		diag(DIAG_INFO, "space_found", "free=%llu", (unsigned long long)rs->space_free);
	}
	if (!enough) {
		rounds_space_lost(rs);
		return;
	}
	rounds_kick(rs);
}

static void space_look(struct rounds *rs)
{
	if (rs->space_checking)
		return;
	rs->space_fresh = false;
	rs->space_looked_ns = loop_now_ns(rs->log->loop);
	rs->space_job = (struct pool_job){.run = space_run, .done = space_done};
	if (pool_submit(rs->log->loop, &rs->space_job) == ERR_OK)
		rs->space_checking = true;
	else
		loop_timer_set(
		    rs->log->loop, &rs->space_timer, loop_now_ns(rs->log->loop) + SPACE_LOOK_NS);
}

static void space_due(struct loop_timer *timer)
{
	space_look(CONTAINER_OF(timer, struct rounds, space_timer));
}

void round_space_init(struct rounds *rs)
{
	loop_timer_init(&rs->space_timer, space_due);
}

/* From now on appends are refused, until a look finds room. */
static void space_refuse(struct rounds *rs)
{
	struct log *log = rs->log;
	if (!rs->no_space) {
		rs->no_space = true;
		rs->space_bytes = 0;
		diag(DIAG_ERROR, "no_space", "dir=%s", log->data_dir);
	}
	if (!log->closing || !list_empty(&rs->retry))
		loop_timer_set(log->loop, &rs->space_timer, loop_now_ns(log->loop) + SPACE_LOOK_NS);
}

void rounds_space_lost(struct rounds *rs)
{
	space_refuse(rs);
	rounds_abort(rs, ERR_NOSPACE);
}

enum err rounds_space_take(struct rounds *rs, size_t len, bool internal)
{
	if (rs->no_space && internal && (int64_t)len <= rs->space_spare) {
		rs->space_spare -= (int64_t)len;
		return ERR_OK;
	}
	if (rs->no_space)
		return ERR_NOSPACE;
	if ((int64_t)len <= rs->space_bytes) {
		rs->space_bytes -= (int64_t)len;
		rs->space_fresh = false;
		bool low =
		    rs->space_bytes < SPACE_STEP_MAX / 4 && rs->space_bytes < rs->space_seen / 4;
		if (low || loop_now_ns(rs->log->loop) - rs->space_looked_ns > SPACE_AGE_NS)
			space_look(rs);
		return ERR_OK;
	}
	if (!rs->space_fresh)
		space_look(rs);
	if (rs->space_checking)
		return ERR_AGAIN;
	space_refuse(rs); /* just looked: it does not fit */
	return ERR_NOSPACE;
}

enum err rounds_space_cache(struct rounds *rs, size_t len)
{
	bool young = loop_now_ns(rs->log->loop) - rs->space_looked_ns <= SPACE_AGE_NS;
	if (rs->no_space)
		return ERR_NOSPACE;
	if ((int64_t)len <= rs->space_bytes) {
		rs->space_bytes -= (int64_t)len;
		rs->space_fresh = false;
		return ERR_OK;
	}
	/* the last look did not find so much: who waits for the next one might wait for ever */
	if (young && !rs->space_checking && rs->space_seen < (int64_t)len)
		return ERR_NOSPACE;
	space_look(rs);
	return rs->space_checking ? ERR_AGAIN : ERR_NOSPACE;
}

void round_space_first(struct rounds *rs)
{
	space_run(&rs->space_job);
	space_done(&rs->space_job);
}

void rounds_space_charge(struct rounds *rs, size_t len)
{
	rs->space_bytes -= (int64_t)len;
	rs->space_fresh = false;
}
