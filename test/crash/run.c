/* SPDX-License-Identifier: Apache-2.0 */
/* Playing scripts. See run.h. */
#include "test/crash/run.h"

#include "log/batch.h"
#include "test/lib/log_fixture.h"
#include "test/crash/told.h"
#include "test/lib/xmalloc.h"

#include <stdarg.h>
#include <stdio.h>

#define RUN_TABLE STR("__kappa_rows")
enum { PROBES = 10 };

/* ---- the table ------------------------------------------------------------------------------- */

static enum err row_apply(
    void *ctx, int32_t partition, struct bytes key, struct bytes value, int64_t timestamp_ms)
{
	int64_t *rows = ctx;
	uint64_t k, v = 0;
	(void)timestamp_ms;
	if (partition != 0 || !str_to_u64(bytes_str(key), &k) || k >= RUN_KEYS)
		return ERR_CORRUPT;
	if (value.ptr && (value.len < 12 || !str_to_u64(str_from(value.ptr, 12), &v)))
		return ERR_CORRUPT;
	rows[k] = (int64_t)v;
	return ERR_OK;
}

static void row_text(char *text, size_t len, int64_t value)
{
	memset(text, '.', len);
	int n = snprintf(text, len, "%012lld", (long long)value);
	text[n] = '.';
}

static void row_snapshot(void *ctx, int32_t partition,
    void (*emit)(void *emit_ctx, struct bytes key, struct bytes value), void *emit_ctx)
{
	const int64_t *rows = ctx;
	char key[8], text[400];
	(void)partition;
	for (int k = 0; k < RUN_KEYS; k++) {
		if (rows[k] == 0)
			continue;
		int n = snprintf(key, sizeof(key), "%d", k);
		row_text(text, sizeof(text), rows[k]);
		emit(emit_ctx, bytes_of(key, (size_t)n), bytes_of(text, sizeof(text)));
	}
}

static const struct log_table_ops row_ops = {row_apply, row_snapshot};

/* ---- worlds ---------------------------------------------------------------------------------- */

enum err run_world_start(const struct run *run, struct run_world *w)
{
	enum err e = loop_new(w->io, 0, &w->loop);
	memset(w->rows, 0, sizeof(w->rows));
	if (e == ERR_OK)
		e = log_open(w->loop, &run->options, &w->log);
	if (e == ERR_OK && run->with_table)
		e = log_table_open(w->log, RUN_TABLE, 1, &row_ops, w->rows, &w->table);
	return e;
}

void run_world_stop(struct run_world *w)
{
	log_table_close(w->table);
	log_close(w->log);
	loop_free(w->loop);
	w->table = NULL;
	w->log = NULL;
	w->loop = NULL;
}

enum err run_world_open(
    const struct run *run, struct sim_disk *disk, bool record, struct run_world *w)
{
	struct sim_options o = run->sim;
	*w = (struct run_world){.io = NULL};
	o.record = record;
	TRY(sim_io_new(disk, &o, &w->io));
	enum err e = run_world_start(run, w);
	if (e != ERR_OK)
		run_world_kill(w);
	return e;
}

void run_world_kill(struct run_world *w)
{
	told_deaf = true;
	if (w->io)
		sim_io_unplug(w->io);
	run_world_stop(w);
	if (w->io)
		io_free(w->io);
	told_deaf = false;
	*w = (struct run_world){.io = NULL};
}

/* ---- what fails ------------------------------------------------------------------------------ */

void run_problem(struct run *r, const char *fmt, ...)
{
	va_list args;
	char text[sizeof(r->problem)];
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (!r->faulty)
		fail_msg("%s", text);
	if (!r->problem[0])
		memcpy(r->problem, text, sizeof(text));
}

/* What a failed call may be answered with: never that the data are bad. */
static bool excusable(enum err e)
{
	return e == ERR_IO || e == ERR_NOSPACE || e == ERR_NOMEM || e == ERR_AGAIN ||
	       e == ERR_CLOSED || e == ERR_UNKNOWN_TOPIC || e == ERR_LIMIT;
}

void run_answer(struct run *r, enum err e, const char *what)
{
	if (e == ERR_OK || r->killing)
		return;
	r->refused++;
	r->error = e;
	if (!r->faulty || !excusable(e))
		run_problem(r, "%s: %s: %s", what, err_name(e), err_chain());
	err_clear();
}

void run_own_begin(struct run *r)
{
	r->allocations += mem_fail_count();
	mem_fail_at(0);
}

void run_own_end(struct run *r)
{
	bool ahead = r->fault.allocation > r->allocations;
	mem_fail_at(ahead ? r->fault.allocation - r->allocations : 0);
}

/* The fault of the run goes on in a new life. */
static void arm(struct run *r)
{
	struct sim_fault f = r->fault.call;
	if (f.nth > r->calls) {
		f.nth -= r->calls;
		sim_io_fault(r->io, f);
	}
}

static void disarm(struct run *r)
{
	r->calls += sim_io_calls(r->io, r->fault.call.calls);
	r->hits += sim_io_fault_hits(r->io);
	if (sim_io_fault_hits(r->io) > 0)
		r->struck = sim_io_fault_call(r->io);
}

/* ---- lives of the server that is recorded ---------------------------------------------------- */

size_t run_now(const struct run *r)
{
	return r->life_ops[r->life_count - 1] + sim_io_op_count(r->io);
}

static void see_end(struct run *r, int topic, int partition, bool stable, int64_t end)
{
	for (int i = r->end_count; i-- > 0;) {
		const struct run_end *e = &r->ends[i];
		if (e->topic == topic && e->partition == partition && e->stable == stable) {
			if (e->end >= end)
				return;
			break;
		}
	}
	ASSERT(r->end_count < RUN_ENDS_MAX);
	r->ends[r->end_count++] = (struct run_end){topic, partition, stable, run_now(r), end};
}

/* Batches below a flush are kept, whatever the topic promised. */
static void keep_below(struct run *r, int topic, int partition, int64_t end)
{
	for (int tag = 1; tag <= r->batch_count; tag++) {
		struct run_batch *b = &r->batches[tag];
		if (b->topic == topic && b->partition == partition && b->kept_from == RUN_NEVER &&
		    b->acked != RUN_NEVER && !b->in_doubt && b->offset + b->count <= end)
			b->kept_from = run_now(r);
	}
}

/* What a reader or a watcher could learn now. */
static void look(struct run *r)
{
	struct log_status st;
	log_status(r->log, &st);
	see_end(r, RUN_D, 0, false, (int64_t)st.durable_sequence);
	see_end(r, RUN_EPOCH, 0, false, st.server_epoch);
	for (int t = 0; t < r->topic_count; t++) {
		const struct run_topic *topic = &r->topics[t];
		const struct log_topic *found =
		    topic->created == RUN_NEVER ? NULL : log_topic_by_id(r->log, topic->id);
		for (int p = 0; found && p < topic->partitions; p++) {
			struct log_partition_status ps;
			log_partition_status(log_partition_find(r->log, found, p), &ps);
			/* of a topic that opted out: what is behind the last flush may go */
			int64_t end = topic->lazy ? ps.durable_end : ps.visible_end;
			if (topic->lazy)
				keep_below(r, t, p, end);
			int64_t stable = ps.stable_end < end ? ps.stable_end : end;
			if (end > 0)
				see_end(r, t, p, false, end);
			if (stable > 0)
				see_end(r, t, p, true, stable);
		}
	}
}

void run_turns(struct run *r, int turns)
{
	while (turns-- > 0) {
		run_answer(r, loop_step(r->loop, 10 * MS_NS), "turn");
		look(r);
	}
}

/* A server that has given up ends, and is started again. */
void run_revive(struct run *r)
{
	if (!r->faulty || !r->log->failed)
		return;
	r->refused++;
	run_kill(r);
	run_start(r);
}

void run_settle(struct run *r)
{
	for (int i = 0; r->pending > 0; i++) {
		run_turns(r, 1);
		ASSERT(i < 10000);
	}
	run_revive(r);
}

void run_drain(struct run *r)
{
	run_settle(r);
	if (r->faulty)
		run_commits_again(r);
}

void run_rest(struct run *r, int64_t ns)
{
	int64_t until = io_clock_ns(r->io, IO_CLOCK_MONOTONIC) + ns;
	while (io_clock_ns(r->io, IO_CLOCK_MONOTONIC) < until)
		run_turns(r, 1);
}

static void life_end(struct run *r)
{
	log_table_close(r->table);
	log_close(r->log);
	loop_free(r->loop);
	r->table = NULL;
	r->log = NULL;
	r->loop = NULL;
	ASSERT(r->pending == 0);
	disarm(r);
}

static void descriptors_closed(struct run *r, const char *what)
{
	if (sim_io_open_count(r->io) > 0)
		run_problem(r, "%s: %zu descriptors are left open", what, sim_io_open_count(r->io));
}

static void io_begin(struct run *r)
{
	struct sim_options o = r->sim;
	ASSERT(!r->log && r->life_count < RUN_LIVES_MAX);
	o.record = !r->faulty;
	o.seed = prng_u64(&r->prng);
	r->life_ops[r->life_count] = r->life_count > 0 ? run_now(r) : 0;
	assert_ok(sim_io_new(r->disk, &o, &r->io));
	r->lives[r->life_count++] = r->io;
}

static bool life_begin(struct run *r)
{
	io_begin(r);
	arm(r);
	enum err e = loop_new(r->io, 0, &r->loop);
	if (e == ERR_OK)
		e = log_open(r->loop, &r->options, &r->log);
	memset(r->rows, 0, sizeof(r->rows));
	if (e == ERR_OK && r->with_table)
		e = log_table_open(r->log, RUN_TABLE, 1, &row_ops, r->rows, &r->table);
	if (e == ERR_OK)
		return true;
	run_answer(r, e, "start");
	life_end(r);
	descriptors_closed(r, "start");
	return false;
}

enum err run_tool(
    struct run *r, const char *what, enum err (*tool)(struct run *r, void *ctx), void *ctx)
{
	ASSERT(!r->log);
	io_begin(r);
	arm(r);
	enum err e = tool(r, ctx);
	disarm(r);
	descriptors_closed(r, what);
	return e;
}

void run_prepare(struct run *r, void (*prepare)(struct run *r, void *ctx), void *ctx)
{
	ASSERT(!r->log);
	run_own_begin(r);
	io_begin(r);
	prepare(r, ctx);
	r->calls += sim_io_calls(r->io, r->fault.call.calls);
	run_own_end(r);
}

void run_start(struct run *r)
{
	/* one start fails at most: what failed does not fail again */
	if (!life_begin(r) && !(r->faulty && life_begin(r)))
		fail_msg("start: %s", r->problem);
}

void run_stop(struct run *r)
{
	run_drain(r);
	life_end(r);
	descriptors_closed(r, "stop");
	for (int t = 0; t < r->topic_count; t++) {
		for (int p = 0; p < r->topics[t].partitions; p++)
			keep_below(r, t, p, INT64_MAX);
	}
}

void run_kill(struct run *r)
{
	r->killing = told_deaf = true;
	sim_io_unplug(r->io);
	life_end(r);
	r->killing = told_deaf = false;
	for (int tag = 1; tag <= r->batch_count; tag++) {
		struct run_batch *b = &r->batches[tag];
		b->in_doubt |= b->kept_from == RUN_NEVER;
	}
}

static void ops_collect(struct run *r)
{
	r->op_count = run_now(r);
	r->ops = xmalloc(r->op_count * sizeof(*r->ops));
	size_t n = 0;
	for (int i = 0; i < r->life_count; i++) {
		for (size_t k = 0; k < sim_io_op_count(r->lives[i]); k++)
			r->ops[n++] = sim_io_op(r->lives[i], k);
	}
	ASSERT(n == r->op_count);
}

static struct run *run_new(const struct run_script *script, uint64_t seed)
{
	struct run *r = xcalloc(1, sizeof(*r));
	r->seed = seed;
	prng_init(&r->prng, seed);
	map_set_seed(seed);
	r->disk = sim_disk_new(0);
	r->compact_asked = RUN_NEVER;
	r->with_table = script->table;
	r->sim = (struct sim_options){.seed = seed,
	    .latency_min_ns = script->quick ? 0 : 10 * US_NS,
	    .latency_max_ns = script->quick ? 1 : 300 * US_NS,
	    .refuse_direct = script->refuse_direct};
	r->options = (struct log_options){.data_dir = "/d",
	    .journal_bytes = script->journal_bytes ? script->journal_bytes : 64 * KIB,
	    .checkpoint_ns = S_NS,
	    .open_files_max = script->open_files_max,
	    .scrub_bytes_per_second = script->scrub ? MIB : 0,
	    .scrub_rest_ns = 200 * MS_NS,
	    .direct_bytes = script->direct_bytes,
	    .journal_dir = script->journal_dir};
	return r;
}

struct run *run_play(const struct run_script *script, uint64_t seed)
{
	struct run *r = run_new(script, seed);
	run_start(r);
	script->play(r);
	if (r->log)
		run_kill(r);
	ops_collect(r);
	return r;
}

/* Whatever has failed: soon every partition takes appends again. */
static void probe(struct run *r)
{
	for (int t = 0; t < r->topic_count; t++) {
		for (int p = 0; p < r->topics[t].partitions; p++) {
			for (int i = 0; r->topics[t].delete_asked == RUN_NEVER; i++) {
				int tag = run_append(r, t, p, 1, 20);
				run_drain(r);
				if (r->batches[tag].acked != RUN_NEVER)
					break;
				if (i == PROBES)
					run_problem(r, "%d-%d takes no appends any more: %s", t, p,
					    err_name(r->error));
				if (i == PROBES)
					return;
				run_rest(r, S_NS);
			}
		}
	}
}

struct run *run_play_faulty(
    const struct run_script *script, uint64_t seed, const struct run_fault *fault)
{
	struct run *r = run_new(script, seed);
	r->faulty = true;
	r->fault = *fault;
	run_own_end(r);
	run_start(r);
	script->play(r);
	if (!r->log)
		run_start(r);
	run_drain(r);
	run_own_begin(r);
	r->fault.allocation = 0;
	probe(r);
	return r;
}

void run_free(struct run *r)
{
	if (!r)
		return;
	for (int i = 0; i < r->life_count; i++)
		io_free(r->lives[i]);
	for (int i = 1; i <= r->batch_count; i++)
		mem_free(r->batches[i].bytes);
	sim_disk_free(r->disk);
	free(r->ops);
	free(r);
}

/* ---- topics ---------------------------------------------------------------------------------- */

static void create_done(struct log_topic_req *req)
{
	struct run_topic *t = CONTAINER_OF(req, struct run_topic, req);
	t->run->pending--;
	if (req->err != ERR_OK)
		return;
	t->created = run_now(t->run);
	t->id = req->ret_id;
}

static void delete_done(struct log_topic_req *req)
{
	struct run_topic *t = CONTAINER_OF(req, struct run_topic, req);
	t->run->pending--;
	if (req->err == ERR_OK)
		t->deleted = run_now(t->run);
}

/* Asks, and when it is refused for something that has failed, once more. */
static void topic_ask(struct run_topic *t)
{
	struct run *r = t->run;
	for (int tries = 0; tries < 2; tries++) {
		r->pending++;
		t->req.err = ERR_OK;
		log_topic_submit(r->log, &t->req);
		run_drain(r);
		if (t->req.err == ERR_OK || tries == 1)
			break;
		run_answer(r, t->req.err, t->name);
		run_rest(r, S_NS);
	}
}

/* A deletion that was refused comes before the next topic of the name. */
static void delete_leftover(struct run *r, const char *name)
{
	for (int i = 0; r->faulty && i < r->topic_count; i++) {
		struct run_topic *t = &r->topics[i];
		if (strcmp(t->name, name) == 0 && t->delete_asked != RUN_NEVER &&
		    t->deleted == RUN_NEVER)
			run_topic_delete(r, i);
	}
}

int run_topic_create(struct run *r, const char *name, int partitions, const char *const *configs)
{
	delete_leftover(r, name);
	ASSERT(r->topic_count < RUN_TOPICS_MAX && partitions <= RUN_PARTITIONS_MAX);
	struct run_topic *t = &r->topics[r->topic_count];
	*t = (struct run_topic){.partitions = partitions,
	    .create_asked = run_now(r),
	    .created = RUN_NEVER,
	    .delete_asked = RUN_NEVER,
	    .deleted = RUN_NEVER,
	    .run = r};
	snprintf(t->name, sizeof(t->name), "%s", name);
	t->req = (struct log_topic_req){.op = LOG_TOPIC_CREATE,
	    .name = str_of(t->name),
	    .partition_count = partitions,
	    .configs = (const struct str(*)[2])t->pairs,
	    .done = create_done};
	for (; configs && configs[t->req.config_count]; t->req.config_count++) {
		ASSERT(t->req.config_count < RUN_CONFIGS_MAX);
		char *text = t->config[t->req.config_count];
		snprintf(text, sizeof(t->config[0]), "%s", configs[t->req.config_count]);
		const char *equals = strchr(text, '=');
		ASSERT(equals);
		t->pairs[t->req.config_count][0] = str_from(text, (size_t)(equals - text));
		t->pairs[t->req.config_count][1] = str_of(equals + 1);
		t->lazy |= strncmp(text, "kappa.durability=", 17) == 0 && !strstr(text, "fsync");
		t->compacted |=
		    strncmp(text, "cleanup.policy=", 15) == 0 && strstr(text, "compact");
		t->rewritten |= t->compacted || strncmp(text, "compression.type=", 17) == 0;
	}
	topic_ask(t);
	if (t->req.err == ERR_TOPIC_EXISTS && r->refused > 0) { /* the first try was not in vain */
		const struct log_topic *found = log_topic_find(r->log, t->req.name);
		t->id = found->id;
		t->created = run_now(r);
	} else if (t->req.err != ERR_OK) {
		run_problem(r, "create %s: %s %s", name, err_name(t->req.err), t->req.message);
	}
	return r->topic_count++;
}

void run_topic_delete_start(struct run *r, int topic)
{
	struct run_topic *t = &r->topics[topic];
	t->delete_asked = run_now(r);
	t->req = (struct log_topic_req){
	    .op = LOG_TOPIC_DELETE, .name = str_of(t->name), .done = delete_done};
	r->pending++;
	log_topic_submit(r->log, &t->req);
}

void run_topic_delete(struct run *r, int topic)
{
	run_topic_delete_start(r, topic);
	run_drain(r);
	struct run_topic *t = &r->topics[topic];
	if (t->req.err == ERR_OK)
		return;
	run_answer(r, t->req.err, t->name);
	topic_ask(t);
	if (t->req.err == ERR_UNKNOWN_TOPIC) /* the first try was not in vain */
		t->deleted = run_now(r);
	else if (t->req.err != ERR_OK)
		run_problem(r, "delete %s: %s", t->name, err_name(t->req.err));
}

static void change_done(struct log_topic_req *req)
{
	CONTAINER_OF(req, struct run_topic, req)->run->pending--;
}

static struct run_alter *alter_new(struct run *r, int topic, uint64_t segment_bytes)
{
	ASSERT(r->alter_count < RUN_ALTERS_MAX);
	struct run_alter *a = &r->alters[r->alter_count++];
	*a = (struct run_alter){topic, segment_bytes, run_now(r), RUN_NEVER};
	return a;
}

void run_alter(struct run *r, int topic, uint64_t segment_bytes)
{
	struct run_topic *t = &r->topics[topic];
	char text[24];
	if (!t->altered) {
		struct run_alter *first =
		    alter_new(r, topic, log_topic_by_id(r->log, t->id)->config.segment_bytes);
		first->asked = first->done = t->created;
		t->altered = true;
	}
	struct run_alter *a = alter_new(r, topic, segment_bytes);
	int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)segment_bytes);
	t->pairs[0][0] = STR("segment.bytes");
	t->pairs[0][1] = str_from(text, (size_t)n);
	t->req = (struct log_topic_req){.op = LOG_TOPIC_SET_CONFIG,
	    .name = str_of(t->name),
	    .configs = (const struct str(*)[2])t->pairs,
	    .config_count = 1,
	    .done = change_done};
	topic_ask(t);
	if (t->req.err == ERR_OK)
		a->done = run_now(r);
	else
		run_problem(r, "alter %s: %s %s", t->name, err_name(t->req.err), t->req.message);
}

void run_grow(struct run *r, int topic, int partitions)
{
	struct run_topic *t = &r->topics[topic];
	ASSERT(t->partitions < partitions && partitions <= RUN_PARTITIONS_MAX);
	t->grow_from = t->partitions;
	t->grow_asked = run_now(r);
	t->grown = RUN_NEVER;
	t->req = (struct log_topic_req){.op = LOG_TOPIC_ADD_PARTITIONS,
	    .name = str_of(t->name),
	    .partition_count = partitions,
	    .done = change_done};
	topic_ask(t);
	const struct log_topic *found = log_topic_by_id(r->log, t->id);
	if (t->req.err != ERR_OK &&
	    !(r->refused > 0 && found && found->partition_count == partitions))
		run_problem(r, "grow %s: %s %s", t->name, err_name(t->req.err), t->req.message);
	t->grown = run_now(r);
	t->partitions = partitions;
}

/* ---- appends --------------------------------------------------------------------------------- */

static bool follows_a_lost_one(const struct run_batch *b)
{
	const struct run *r = b->run;
	for (const struct run_batch *a = &r->batches[1]; r->faulty && a < b; a++) {
		if (a->topic == b->topic && a->partition == b->partition &&
		    a->producer == b->producer && a->acked == RUN_NEVER)
			return true;
	}
	return false;
}

static void append_done(struct log_append *req)
{
	struct run_batch *b = CONTAINER_OF(req, struct run_batch, req);
	b->run->pending--;
	if (req->err != ERR_OK) {
		/* a topic that is being deleted may refuse, a batch that follows a lost one too */
		if (b->run->topics[b->topic].delete_asked == RUN_NEVER &&
		    !(req->err == ERR_OUT_OF_ORDER_SEQUENCE && follows_a_lost_one(b)) &&
		    !(req->err == ERR_CANCELLED && b->set > 0 && b->run->faulty))
			run_answer(b->run, req->err, "append");
		return;
	}
	b->acked = run_now(b->run);
	b->offset = req->base_offset;
	b->sequence = req->sequence;
}

struct run_batch *run_batch_new(struct run *r, int topic, int partition, int count)
{
	ASSERT(r->batch_count < RUN_BATCHES_MAX);
	struct run_batch *b = &r->batches[++r->batch_count];
	const struct log_topic *t = log_topic_by_id(r->log, r->topics[topic].id);
	ASSERT(t);
	*b = (struct run_batch){.run = r,
	    .topic = topic,
	    .partition = partition,
	    .count = count,
	    .sent = run_now(r),
	    .acked = RUN_NEVER,
	    .kept_from = RUN_NEVER,
	    .offset = -1,
	    .producer = -1,
	    .producer_sequence = -1};
	b->req = (struct log_append){
	    .partition = log_partition_find(r->log, t, partition), .done = append_done};
	return b;
}

void run_batch_send(struct run *r, struct run_batch *b)
{
	struct log_append *req = &b->req;
	b->req.batch = b->bytes;
	b->req.batch_len = b->len;
	r->pending++;
	log_append(r->log, &req, 1, false);
}

int run_append(struct run *r, int topic, int partition, int count, size_t value_len)
{
	struct run_batch *b = run_batch_new(r, topic, partition, count);
	run_own_begin(r);
	b->bytes = log_batch_new((uint64_t)r->batch_count, count, value_len, &b->len);
	run_own_end(r);
	run_batch_send(r, b);
	return r->batch_count;
}

void run_append_from(struct run *r, int topic, int partition, int64_t producer, int32_t sequence)
{
	struct run_batch *b = run_batch_new(r, topic, partition, 1);
	b->producer = producer;
	b->producer_sequence = sequence;
	run_own_begin(r);
	b->bytes = log_batch_from(producer, 0, sequence, (uint64_t)r->batch_count, 1, &b->len);
	run_own_end(r);
	run_batch_send(r, b);
}

void run_append_set(struct run *r, const int *topics, int n, size_t value_len)
{
	struct log_append *reqs[8];
	ASSERT(n <= 8);
	r->set_count++;
	for (int i = 0; i < n; i++) {
		int t = topics[i];
		struct run_batch *b = run_batch_new(r, t, i % r->topics[t].partitions, 1);
		b->set = r->set_count;
		run_own_begin(r);
		b->bytes = log_batch_new((uint64_t)r->batch_count, 1, value_len, &b->len);
		run_own_end(r);
		b->req.batch = b->bytes;
		b->req.batch_len = b->len;
		reqs[i] = &b->req;
		r->pending++;
	}
	log_append(r->log, reqs, (size_t)n, true);
}

struct again {
	struct log_append req;
	bool done;
};

static void again_done(struct log_append *req)
{
	CONTAINER_OF(req, struct again, req)->done = true;
}

void run_append_again(struct run *r, int tag)
{
	const struct run_batch *b = &r->batches[tag];
	if (b->acked == RUN_NEVER)
		return;
	struct again a = {.req = {.done = again_done, .batch_len = b->len}};
	const struct log_topic *t = log_topic_by_id(r->log, r->topics[b->topic].id);
	struct log_append *req = &a.req;
	a.req.partition = log_partition_find(r->log, t, b->partition);
	a.req.batch = xmalloc(b->len);
	memcpy(a.req.batch, b->bytes, b->len);
	log_append(r->log, &req, 1, false);
	while (!a.done)
		run_turns(r, 1);
	run_answer(r, a.req.err, "append again");
	if (a.req.err == ERR_OK && (!a.req.duplicate || a.req.base_offset != b->offset))
		run_problem(r, "batch %d again: duplicate %d, offset %lld, was %lld", tag,
		    a.req.duplicate, (long long)a.req.base_offset, (long long)b->offset);
	free(a.req.batch);
	run_revive(r);
}

/* ---- trims and rows -------------------------------------------------------------------------- */

static void trim_done(struct log_trim *req)
{
	struct run_trim *t = CONTAINER_OF(req, struct run_trim, req);
	t->run->pending--;
	if (req->err == ERR_OK)
		t->done = run_now(t->run);
	else if (req->err != ERR_OFFSET_OUT_OF_RANGE || t->run->refused == 0)
		run_answer(t->run, req->err, "trim");
}

void run_trim(struct run *r, int topic, int partition, int64_t offset)
{
	ASSERT(r->trim_count < RUN_TRIMS_MAX);
	struct run_trim *t = &r->trims[r->trim_count++];
	const struct log_topic *found = log_topic_by_id(r->log, r->topics[topic].id);
	*t = (struct run_trim){.run = r,
	    .topic = topic,
	    .partition = partition,
	    .offset = offset,
	    .asked = run_now(r),
	    .done = RUN_NEVER};
	t->req = (struct log_trim){.partition = log_partition_find(r->log, found, partition),
	    .offset = offset,
	    .done = trim_done};
	r->pending++;
	log_trim(r->log, &t->req);
}

static void put_done(struct log_table_put *put)
{
	struct run_put *p = CONTAINER_OF(put, struct run_put, put);
	p->run->pending--;
	if (put->err == ERR_OK)
		p->done = run_now(p->run);
	run_answer(p->run, put->err, "put");
}

struct run_put *run_put_new(struct run *r, int key, int64_t value)
{
	ASSERT(r->put_count < RUN_PUTS_MAX && key < RUN_KEYS);
	struct run_put *p = &r->puts[r->put_count++];
	*p = (struct run_put){
	    .run = r, .key = key, .value = value, .asked = run_now(r), .done = RUN_NEVER};
	int n = snprintf(p->key_text, sizeof(p->key_text), "%d", key);
	row_text(p->text, sizeof(p->text), value);
	p->row.key = bytes_of(p->key_text, (size_t)n);
	p->row.value = value ? bytes_of(p->text, sizeof(p->text)) : (struct bytes){NULL, 0};
	return p;
}

void run_put(struct run *r, int key, int64_t value)
{
	struct run_put *p = run_put_new(r, key, value);
	p->put = (struct log_table_put){.rows = &p->row, .row_count = 1, .done = put_done};
	r->pending++;
	log_table_put(r->table, &p->put);
}

void run_roll_table(struct run *r)
{
	const struct log_topic *t = log_topic_find(r->log, RUN_TABLE);
	ASSERT(t);
	partition_roll_soon(log_partition_find(r->log, t, 0));
}
