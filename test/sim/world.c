/* SPDX-License-Identifier: Apache-2.0 */
/* One seed: what is drawn, the lives of the server one after the other, and the last one. */
#include "test/sim/world.h"
#include "log/base/diag.h"
#include "log/base/metrics.h"
#include "test/lib/xmalloc.h"
#include "test/sim/campaign.h"
#include "test/sim/mutant.h"

#include <errno.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FINISH_S = 120 /* virtual: by then all is acknowledged, read and answered */ };

static struct world *the_world; /* one per process: for violated() and diag lines */
static bool more_rot;

void world_rot_more(bool more)
{
	more_rot = more;
}

bool world_rots_more(void)
{
	return more_rot;
}

int64_t world_now_ns(const struct world *w)
{
	return w->io ? io_clock_ns(w->io, IO_CLOCK_MONOTONIC) : 0;
}

static void hash_line(struct world *w, const char *who, const char *text)
{
	uint64_t at[2] = {w->history, (uint64_t)world_now_ns(w)};
	w->history = hash_bytes(at, sizeof(at), (uint64_t)w->life);
	w->history = hash_bytes(who, strlen(who), w->history);
	w->history = hash_bytes(text, strlen(text), w->history);
}

void trace(struct world *w, const char *who, const char *fmt, ...)
{
	va_list args;
	char text[1200];
	if (!w->trace && !w->hashing)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (w->trace)
		printf("%d %12.6f %-8s %s\n", w->life, (double)world_now_ns(w) / 1e9, who, text);
	if (w->hashing)
		hash_line(w, who, text);
}

void violated(const char *rule, const char *fmt, ...)
{
	va_list args;
	char text[1000];
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (the_world && the_world->trace) {
		trace(the_world, "RULE", "%s: %s", rule, text);
		fflush(stdout);
	}
	campaign_verdict(rule, text);
	_exit(CAMPAIGN_VIOLATED);
}

static void diag_line(void *ctx, const char *line)
{
	struct world *w = ctx;
	const char *level = strstr(line, "level=");
	if (!w->hashing) /* how many are told depends on the time of the day */
		trace(w, "diag", "%s", level ? level : line);
}

void world_turn(struct world *w, int64_t timeout_ns)
{
	enum err e = loop_step(w->loop, timeout_ns);
	w->steps++;
	if (e != ERR_OK)
		violated("hang", "a turn of the loop: %s: %s", err_name(e), err_chain());
	if (w->plan.lazy > 0 && !sim_io_is_dead(w->io))
		audit_flushed(w);
	if (w->proc && below(w, w->plan.worker_lag) == 0)
		(void)proc_step(w->proc);
	err_clear();
}

/* ---- what is drawn --------------------------------------------------------------------------- */

static uint64_t up_to(struct world *w, uint64_t max)
{
	return 1 + below(w, max);
}

/* A known-bad server is looked for where it is bad: there is some of that in each seed. */
static void draw_for_mutant(struct world_plan *p)
{
	switch ((int)mutant_used()) {
	case MUTANT_DROPS_NEWEST:
	case MUTANT_KEEPS_OLD:
		p->keyed = 6;
		p->lazy = p->expires = p->rots = 0;
		p->tombstones_ms %= 200;
		break;
	case MUTANT_EXPIRES_MORE:
		p->expires = 6;
		p->lazy = p->keyed = p->rots = 0;
		break;
	case MUTANT_SCRUB_BLIND:
	case MUTANT_FSCK_BLIND:
		p->rots = 6;
		p->lazy = p->keyed = p->expires = 0;
		p->record_bytes_max = 600; /* for a short journal */
		break;
	case MUTANT_CONFIG_LOST:
		p->alters = 10;
		break;
	case MUTANT_SCAN_BLIND:
		p->keyed = p->rots = 6;
		p->lazy = p->expires = 0;
		p->record_bytes_max = 600;
		break;
	case MUTANT_JOURNAL_BLIND:
		p->journal_rots = true;
		break;
	case MUTANT_HOLE_UNTOLD:
		p->rots = 1;
		p->views = true;
		p->record_bytes_max = 600;
		break;
	}
}

/* Rot in every second seed at least, also of t0 beside transactions; many topics are compacted. */
static void draw_more_rot(struct world *w)
{
	struct world_plan *p = &w->plan;
	if (p->transactors == 0 && chance(w, 50))
		p->transactors = (int)up_to(w, WORLD_TRANSACTORS_MAX);
	for (unsigned t = 1; t < WORLD_TOPICS; t++)
		if (!((p->lazy | p->expires) >> t & 1) && chance(w, 50))
			p->keyed |= 1u << t;
	if (chance(w, 75))
		p->rots |= p->keyed | (unsigned)chance(w, 60);
	if (chance(w, 80))
		p->record_bytes_max = 600;
}

/* What the topics t1 and t2 are: mostly plain. */
static void draw_topics(struct world *w)
{
	struct world_plan *p = &w->plan;
	for (unsigned t = 1; t < WORLD_TOPICS; t++) {
		uint64_t dice = below(w, 100);
		if (p->lazy >> t & 1)
			continue;
		p->keyed |= (unsigned)(dice < 20) << t;
		p->expires |= (unsigned)(dice >= 20 && dice < 36) << t;
		p->rots |= (unsigned)(dice >= 36 && dice < 50) << t;
	}
	/* t0; not with transactions: what a start without a snapshot takes for aborted, because a
	 * frame that cannot be read may have been a marker, is not in the model */
	p->rots |= chance(w, 15) && p->transactors == 0;
	if (chance(w, 30))
		p->rots |= p->keyed;
	if (more_rot)
		draw_more_rot(w);
	for (unsigned t = 0; t < WORLD_TOPICS; t++)
		p->codec[t] = chance(w, 15) && !(p->expires >> t & 1)
		                  ? 1 + (int)below(w, BATCH_CODECS - 1)
		                  : 0;
	p->tombstones_ms = chance(w, 50) ? (int64_t)below(w, 200) : 86400000;
	uint64_t limit = below(w, 3); /* by time, by size, both */
	p->retention_ms = limit == 1 ? -1 : 10 + (int64_t)below(w, chance(w, 50) ? 100 : 1000);
	p->retention_bytes = limit == 0 ? -1 : (int64_t)(8 * KIB + below(w, 200 * KIB));
	p->alters = chance(w, 30) ? 10 : 0;
	p->caches_rot = chance(w, 30);
	prng_init(&w->journal_prng, w->seed ^ 0x6a6f75726e616cull);
	/* beside other rot nobody can tell whose loss is told */
	p->journal_rots = prng_below(&w->journal_prng, 100) < 25 && p->rots == 0;
	draw_for_mutant(p);
	p->keeper = p->keyed || p->expires || p->rots || p->codec[0] || p->codec[1] ||
	            p->codec[2] || chance(w, 10);
	/* what the journal has is repaired out of it, and a seed does not fill a long one */
	p->journal_bytes = JOURNAL_BYTES_MIN;
	if (p->rots > 0 && p->record_bytes_max <= 600 && (mutant_used() || chance(w, 70)))
		p->journal_bytes = 256 * KIB << below(w, 3);
	if (p->keeper && p->segment_bytes > 64 * KIB)
		p->segment_bytes = 4 * KIB << below(w, 5);
}

static void draw(struct world *w)
{
	struct world_plan *p = &w->plan;
	p->lives = (int)up_to(w, 5);
	p->producers = (int)up_to(w, WORLD_PRODUCERS_MAX);
	p->consumers = (int)below(w, WORLD_CONSUMERS_MAX + 1);
	p->subscribers = chance(w, 60) ? (int)up_to(w, WORLD_SUBSCRIBERS_MAX) : 0;
	p->transactors = chance(w, 35) ? (int)up_to(w, WORLD_TRANSACTORS_MAX) : 0;
	p->transactors_share = chance(w, 30);
	p->lazy = chance(w, 30) ? (unsigned)below(w, 4) << 1 : 0;
	p->admin = true;
	p->stranger = chance(w, 30);
	p->views = chance(w, 60);
	p->deletions = chance(w, 30);
	p->trims = chance(w, 25);
	p->partitions_grow = chance(w, 30);
	p->life_ns = (int64_t)(20 + below(w, chance(w, 20) ? 3000 : 600)) * MS_NS;
	p->latency_max_ns = (int64_t)(50 + below(w, chance(w, 20) ? 20000 : 1500)) * US_NS;
	p->net_max_ns = (int64_t)(20 + below(w, chance(w, 20) ? 30000 : 1000)) * US_NS;
	p->writeback_ppm = chance(w, 50) ? (unsigned)below(w, 50000) : 0;
	p->short_ppm = chance(w, 50) ? (unsigned)below(w, 300000) : 0;
	if (p->lazy > 0 && chance(w, 60)) { /* told long before it is durable */
		p->latency_max_ns += 10 * MS_NS;
		p->net_max_ns = 100 * US_NS;
	}
	p->refuse_direct = chance(w, 25);
	p->break_percent = chance(w, 50) ? (unsigned)below(w, 4) : 0;
	p->stall_percent = chance(w, 30) ? (unsigned)below(w, 4) : 0;
	p->worker_lag = 1u << below(w, 7);
	p->faults = chance(w, 30) ? 70 : 0;
	p->capacity_bytes = chance(w, 10) ? (uint64_t)(9 + below(w, 4)) * MIB : 0;
	p->clock_jumps = chance(w, 20);
	p->small_queue = chance(w, 30);
	p->segment_bytes = 4 * KIB << below(w, 9);
	p->record_bytes_max = chance(w, 20) ? 20000 : 600;
	p->records_max = chance(w, 50) ? 4 : 40;
	p->pace_ns = (int64_t)(100 + below(w, chance(w, 30) ? 20000 : 3000)) * US_NS;
	draw_topics(w);
}

static void print_plan(struct world *w)
{
	const struct world_plan *p = &w->plan;
	trace(w, "plan",
	    "lives=%d of %lld ms, producers=%d transactors=%d consumers=%d members=%d views=%d "
	    "deletions=%d trims=%d grow=%d",
	    p->lives, (long long)(p->life_ns / MS_NS), p->producers, p->transactors, p->consumers,
	    p->subscribers, p->views, p->deletions, p->trims, p->partitions_grow);
	trace(w, "plan",
	    "disk <= %lld us, net <= %lld us, pace %lld us, lag %u, faults %u %%, capacity %llu, "
	    "segments %llu, direct %d",
	    (long long)(p->latency_max_ns / US_NS), (long long)(p->net_max_ns / US_NS),
	    (long long)(p->pace_ns / US_NS), p->worker_lag, p->faults,
	    (unsigned long long)p->capacity_bytes, (unsigned long long)p->segment_bytes,
	    !p->refuse_direct);
	trace(w, "plan",
	    "topics: lazy %x, keyed %x (tombstones %lld ms), expire %x (%lld ms, %lld bytes), rot "
	    "%x, caches rot %d, codecs %d %d %d, altered %u %%",
	    p->lazy, p->keyed, (long long)p->tombstones_ms, p->expires, (long long)p->retention_ms,
	    (long long)p->retention_bytes, p->rots, p->caches_rot, p->codec[0], p->codec[1],
	    p->codec[2], p->alters);
}

/* ---- actors ---------------------------------------------------------------------------------- */

const char *world_who_is_not_done(const struct world *w)
{
	static char text[32];
	snprintf(text, sizeof(text), "admin");
	for (int i = 0; i < w->plan.producers; i++)
		if (!producer_is_done(w->producers[i]))
			snprintf(text, sizeof(text), "producer %d", i);
	for (int i = 0; i < w->plan.transactors; i++)
		if (!transactor_is_done(w->transactors[i]))
			snprintf(text, sizeof(text), "transactor %d", i);
	for (int i = 0; i < w->plan.consumers; i++)
		if (!fetcher_is_done(w->consumers[i]))
			snprintf(text, sizeof(text), "consumer %d", i);
	for (int i = 0; i < w->plan.subscribers; i++)
		if (!subscriber_is_done(w->subscribers[i]))
			snprintf(text, sizeof(text), "member %d", i);
	return text;
}

static void make_actors(struct world *w)
{
	admin_new(w);
	for (int i = 0; i < w->plan.producers; i++)
		producer_new(w, i);
	for (int i = 0; i < w->plan.transactors; i++)
		transactor_new(w, i);
	for (int i = 0; i < w->plan.consumers; i++)
		fetcher_new(w, i);
	for (int i = 0; i < w->plan.subscribers; i++)
		subscriber_new(w, i);
	if (w->plan.views)
		views_new(w);
}

static void start_actors(struct world *w)
{
	w->stopping = false;
	admin_start(w->admin);
	for (int i = 0; i < w->plan.producers; i++)
		producer_start(w->producers[i]);
	for (int i = 0; i < w->plan.transactors; i++)
		transactor_start(w->transactors[i]);
	for (int i = 0; i < w->plan.consumers; i++)
		fetcher_start(w->consumers[i]);
	for (int i = 0; i < w->plan.subscribers; i++)
		subscriber_start(w->subscribers[i]);
}

static bool idle(struct world *w, bool (*admin)(const struct admin *),
    bool (*producer)(const struct producer *), bool (*transactor)(const struct transactor *),
    bool (*consumer)(const struct fetcher *), bool (*member)(const struct subscriber *))
{
	bool all = admin(w->admin);
	for (int i = 0; i < w->plan.producers; i++)
		all &= producer(w->producers[i]);
	for (int i = 0; i < w->plan.transactors; i++)
		all &= transactor(w->transactors[i]);
	for (int i = 0; i < w->plan.consumers; i++)
		all &= consumer(w->consumers[i]);
	for (int i = 0; i < w->plan.subscribers; i++)
		all &= member(w->subscribers[i]);
	return all;
}

/* Every call was answered, or its connection is closed. */
static void stop_actors(struct world *w)
{
	w->stopping = true;
	admin_stop(w->admin);
	for (int i = 0; i < w->plan.producers; i++)
		producer_stop(w->producers[i]);
	for (int i = 0; i < w->plan.transactors; i++)
		transactor_stop(w->transactors[i]);
	for (int i = 0; i < w->plan.consumers; i++)
		fetcher_stop(w->consumers[i]);
	for (int i = 0; i < w->plan.subscribers; i++)
		subscriber_stop(w->subscribers[i]);
	int64_t end = world_now_ns(w) + FINISH_S * S_NS;
	while (!idle(w, admin_is_resting, producer_is_resting, transactor_is_resting,
	    fetcher_is_resting, subscriber_is_resting)) {
		world_turn(w, 10 * MS_NS);
		if (world_now_ns(w) > end)
			violated("leak", "a connection is not closed %d s after its end", FINISH_S);
	}
}

static void free_actors(struct world *w)
{
	admin_free(w->admin);
	for (int i = 0; i < w->plan.producers; i++)
		producer_free(w->producers[i]);
	for (int i = 0; i < w->plan.transactors; i++)
		transactor_free(w->transactors[i]);
	for (int i = 0; i < w->plan.consumers; i++)
		fetcher_free(w->consumers[i]);
	for (int i = 0; i < w->plan.subscribers; i++)
		subscriber_free(w->subscribers[i]);
	views_free(w->views);
}

/* ---- one life -------------------------------------------------------------------------------- */

static enum err new_io(struct world *w)
{
	struct sim_options o = {.seed = prng_u64(&w->prng),
	    .latency_min_ns = 5 * US_NS,
	    .latency_max_ns = w->plan.latency_max_ns,
	    .net_min_ns = 5 * US_NS,
	    .net_max_ns = w->plan.net_max_ns,
	    .short_ppm = w->plan.short_ppm,
	    .writeback_ppm = w->last_life ? 0 : w->plan.writeback_ppm,
	    .refuse_direct = w->plan.refuse_direct,
	    .flush_lies = mutant_used() == MUTANT_NO_FLUSH};
	w->scarce = !w->last_life && w->plan.capacity_bytes > 0;
	w->disk->capacity_bytes = w->scarce ? w->plan.capacity_bytes : 0;
	o.realtime_ns = w->realtime_ns;
	return sim_io_new(w->disk, &o, &w->io);
}

/* At a call drawn so that each order of magnitude is as likely: the early ones are recovery's. */
static void plan_end(struct world *w, enum world_end end)
{
	uint64_t calls = 1 + below(w, (uint64_t)64 << below(w, 10));
	if (end == END_CLEAN)
		return;
	trace(w, "fate", "%s at call %llu", end == END_KILL ? "kill" : "power cut",
	    (unsigned long long)calls);
	w->falls_by_kill = end == END_KILL;
	sim_io_fall_at(w->io, calls, end == END_KILL, prng_u64(&w->prng));
}

static void plan_fault(struct world *w)
{
	static const struct {
		unsigned calls;
		int sys_errno;
		const char *name;
	} faults[] = {{SIM_CALL_READ, EIO, "read EIO"}, {SIM_CALL_WRITE, EIO, "write EIO"},
	    {SIM_CALL_SYNC, EIO, "sync EIO"}, {SIM_CALL_WRITE, ENOSPC, "write ENOSPC"},
	    {SIM_CALL_OPEN, EIO, "open EIO"}, {SIM_CALL_OPEN, ENOSPC, "open ENOSPC"},
	    {SIM_CALL_NAMES, EIO, "names EIO"}, {SIM_CALL_SYNC_DIR, EIO, "directory sync EIO"},
	    {SIM_CALL_ALLOCATE, ENOSPC, "allocate ENOSPC"},
	    {SIM_CALL_ACCEPT, EMFILE, "accept EMFILE"}, {SIM_CALL_RECV, ECONNRESET, "recv reset"},
	    {SIM_CALL_SEND, EPIPE, "send EPIPE"}};
	size_t i = below(w, sizeof(faults) / sizeof(*faults));
	struct sim_fault f = {.calls = faults[i].calls,
	    .nth = 1 + below(w, (uint64_t)4 << below(w, 9)),
	    .count = 1 + below(w, 3),
	    .sys_errno = faults[i].sys_errno};
	trace(w, "fate", "%s at call %llu of its kind, %llu times", faults[i].name,
	    (unsigned long long)f.nth, (unsigned long long)f.count);
	sim_io_fault(w->io, f);
	w->faulty = true;
}

static bool has_failed(struct world *w)
{
	struct log_status st;
	log_status(w->log, &st);
	return st.failed;
}

/* Somebody removes something else: what waits for room goes on. */
static void make_room(struct loop_timer *timer)
{
	struct world *w = CONTAINER_OF(timer, struct world, room);
	w->disk->capacity_bytes = 0;
	trace(w, "fate", "there is room on the disk");
}

static void live(struct world *w)
{
	int64_t end = world_now_ns(w) + w->plan.life_ns;
	loop_timer_init(&w->room, make_room);
	if (w->scarce)
		loop_timer_set(w->loop, &w->room, end + 100 * MS_NS);
	start_actors(w);
	while (world_now_ns(w) < end && !sim_io_is_dead(w->io) && !has_failed(w)) {
		world_turn(w, MS_NS);
		if (!sim_io_is_dead(w->io) && !has_failed(w))
			keeper_step(w);
		if (w->views && !sim_io_is_dead(w->io) && !has_failed(w))
			views_step(w);
		if (w->plan.clock_jumps && below(w, 400) == 0)
			sim_io_jump_clock(w->io, ((int64_t)below(w, 7200) - 3600) * S_NS);
	}
}

/* The last life: what was begun comes to its end, and everything is looked at. */
static void live_to_the_end(struct world *w)
{
	int64_t end = world_now_ns(w) + FINISH_S * S_NS;
	start_actors(w);
	while (!idle(w, admin_is_done, producer_is_done, transactor_is_done, fetcher_is_done,
	    subscriber_is_done)) {
		world_turn(w, MS_NS);
		if (world_now_ns(w) > end)
			violated("progress", "%s is not done %d s after the last fault",
			    world_who_is_not_done(w), FINISH_S);
	}
	struct log_txn open;
	if (log_txn_oldest(w->log, &open))
		violated("hanging", "a transaction of producer %lld in partition %d stays open",
		    (long long)open.producer_id, open.partition);
	keeper_settle(w);
	if (w->views)
		views_finish(w);
}

static void check_stall(void)
{
	int64_t ns = metric_max_ns(METRIC_LOOP_STALL);
	if (ns > MS_NS)
		violated("stall", "a turn of the loop waited for %lld us", (long long)(ns / US_NS));
}

/* A server that gave up is restarted like a killed one: the page cache is still there. */
static void take_disk(struct world *w, enum world_end end)
{
	struct sim_disk *after = sim_io_fallen(w->io);
	bool fell = after != NULL;
	if (!after && end != END_CLEAN)
		after = end == END_KILL ? sim_io_kill(w->io, prng_u64(&w->prng))
		                        : sim_io_cut_power(w->io, prng_u64(&w->prng));
	if (!after)
		return;
	w->cuts++;
	w->unclean = true;
	trace(w, "fate", "%s", fell ? "fell at the planned call" : "ended");
	sim_disk_free(w->disk_after);
	w->disk_after = after;
}

static void close_life(struct world *w)
{
	w->realtime_ns = io_clock_ns(w->io, IO_CLOCK_REALTIME) + S_NS;
	io_free(w->io);
	w->io = NULL;
	if (w->disk_after) {
		sim_disk_free(w->disk);
		w->disk = w->disk_after;
		w->disk_after = NULL;
	}
	disk_tell(w);
	check_stall();
}

static void serve(struct world *w, enum world_end end, bool dead)
{
	w->served = true;
	audit_losses(w);
	if (w->last_life)
		keeper_finish(w); /* before anybody else reads what is bad */
	if (!dead && !w->faulty) {
		audit_log(w);
		if (w->views)
			views_audit(w);
	}
	if (w->last_life)
		live_to_the_end(w);
	else
		live(w);
	bool failed = !sim_io_is_dead(w->io) && has_failed(w);
	if (failed && !w->faulty && !w->scarce)
		violated("failed", "the log gave up, and no call had failed");
	take_disk(w, failed ? END_KILL : end);
	stop_actors(w);
	loop_timer_cancel(w->loop, &w->room);
	if (!sim_io_is_dead(w->io) && !w->faulty)
		audit_log(w);
	if (end == END_CLEAN && !w->last_life && chance(w, 40)) {
		uint64_t calls = 1 + below(w, 60);
		w->falls_by_kill = chance(w, 30);
		sim_io_fall_at(w->io, calls, w->falls_by_kill, prng_u64(&w->prng));
	}
	server_close(w);
}

static void run_life(struct world *w)
{
	uint64_t dice = below(w, 100);
	enum world_end end = w->last_life || dice < 20 ? END_CLEAN
	                     : dice < 75               ? END_POWER
	                                               : END_KILL;
	if (new_io(w) != ERR_OK)
		violated("bug", "no io");
	w->faulty = false;
	plan_end(w, end);
	if (!w->last_life && below(w, 100) < w->plan.faults)
		plan_fault(w);
	trace(w, "life", "begins");
	uint64_t unread = metric_value(METRIC_READ_ERRORS);
	enum err e = server_open(w);
	bool dead = sim_io_is_dead(w->io);
	trace(w, "life", "open: %s %s", err_name(e), e ? err_chain() : "");
	w->over = journal_rot_told(w, e, dead);
	if (e != ERR_OK && !dead && !w->faulty && !w->scarce && !w->over)
		violated("recovery", "the server does not open: %s: %s", err_name(e), err_chain());
	if (e == ERR_OK && ((metric_value(METRIC_READ_ERRORS) > unread && w->faulty) || w->over)) {
		/* health is red and names what is not served: it is started again */
		take_disk(w, end);
		server_close(w);
	} else if (e == ERR_OK) {
		serve(w, end, dead);
	} else {
		take_disk(w, end == END_CLEAN ? END_KILL : end);
	}
	/* a stop may be cut short, too */
	struct sim_disk *late = sim_io_fallen(w->io);
	if (late) {
		sim_disk_free(w->disk_after);
		w->disk_after = late;
		w->unclean = true;
		w->cuts++;
	}
	close_life(w);
}

/* The disk between two lives. */
static void between(struct world *w, bool stopped)
{
	if (w->plan.rots > 0 && !w->last_life && chance(w, 60))
		keeper_rot(w);
	for (int i = 0; w->plan.caches_rot && i < 4; i++)
		keeper_rot_cache(w);
	if (w->plan.journal_rots && !w->last_life)
		journal_rot(w);
	if (w->over || w->journal_unread || (w->journal_bad && w->unclean))
		return; /* fsck tells of it, too; what, depends */
	if (w->served && (stopped || chance(w, 15)))
		disk_check(w, stopped);
}

static void live_last(struct world *w)
{
	w->last_life = true;
	run_life(w); /* all comes to its end */
	between(w, true);
	if (w->over)
		return;
	w->life++;
	w->last_life = true;
	w->reopened = true;
	run_life(w); /* and is the same after another start */
}

void world_run(
    uint64_t seed, enum world_trace how, char *report, size_t report_len, uint64_t *ret_history)
{
	struct world *w = xcalloc(1, sizeof(*w));
	w->seed = seed;
	w->trace = how == TRACE_PRINT;
	w->hashing = how == TRACE_HASH;
	the_world = w;
	prng_init(&w->prng, seed);
	map_set_seed(seed);        /* the order of maps is the seed's, too */
	(void)sqlite3_test_control(/* so are the salts of view files' write-ahead logs */
	    SQLITE_TESTCTRL_PRNG_SEED, (int)(seed % INT_MAX) + 1, (sqlite3 *)NULL);
	diag_set_sink(diag_line, w);
	draw(w);
	print_plan(w);
	model_init(&w->model, seed, w->plan.record_bytes_max);
	w->model.keyed = w->plan.keyed;
	w->model.expires = w->plan.expires;
	w->model.tombstones_expire = w->plan.tombstones_ms < 1000;
	w->disk = sim_disk_new(w->plan.capacity_bytes);
	make_actors(w);
	for (w->life = 1; w->life <= w->plan.lives && !w->over; w->life++) {
		run_life(w);
		between(w, false);
	}
	if (!w->over)
		live_last(w);
	if (w->hashing)
		*ret_history = w->history;
	snprintf(report, report_len,
	    "acked=%llu records=%llu commits=%llu checkpoints=%llu cuts=%llu calls=%llu turns=%llu",
	    (unsigned long long)w->batches_acked, (unsigned long long)w->records_seen,
	    (unsigned long long)w->commits_acked, (unsigned long long)w->checkpoints_checked,
	    (unsigned long long)w->cuts, (unsigned long long)w->calls,
	    (unsigned long long)w->steps);
	free_actors(w);
	sim_disk_free(w->disk);
	model_release(&w->model);
	diag_set_sink(NULL, NULL);
	free(w);
}
