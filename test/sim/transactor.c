/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Producers with a transactional id. Each writes transactions of a few batches into partitions of
 * t0 and ends them; what was lost on the way is sent again, or the producer begins anew with
 * InitProducerId, which aborts what is open. Two may share an id, and a timeout may be short: then
 * each may find itself fenced.
 *
 *   INIT -> IDLE -> ADD -> PRODUCE -> (ADD | END) -> IDLE      fenced, or at will: -> INIT
 *   ADD -> END where no more partitions fit into it
 */
#include "test/lib/xmalloc.h"
#include "test/sim/world.h"

#include <stdio.h>

enum { TXNS_PER_LIFE = 8, BATCH_BYTES = 8 << 20, TIMEOUT_LONG_MS = 600000 };
enum { CORRUPT_MESSAGE = 2, AGAIN = 7, POLICY = 44, STORAGE = 56, CONCURRENT = 51, FENCED = 90 };

enum phase { INIT, IDLE, ADD, PRODUCE, END };

struct transactor {
	struct world *w;
	char name[16], id_text[8];
	bool shared; /* somebody else has this id */
	int32_t timeout_ms;
	struct wire wire;
	struct loop_timer tick;
	struct wire_call call;
	bool busy;
	enum phase phase;
	int64_t id;
	int16_t epoch;
	int32_t next[MODEL_PARTITIONS_MAX]; /* sequences of this epoch */
	/* the transaction */
	uint32_t txn;
	unsigned batches_left;
	int32_t partition;
	unsigned parts; /* bit n: t0-n is in it, or may be */
	unsigned sends; /* of the batch */
	uint32_t batch; /* 0: the next is not made yet */
	int64_t time_ms;
	bool commit;
	unsigned left; /* transactions to begin in this life */
};

static void again(struct transactor *t, int64_t ns)
{
	if (!t->w->stopping)
		loop_timer_set(t->w->loop, &t->tick, loop_now_ns(t->w->loop) + ns);
}

static int64_t pace(struct transactor *t)
{
	return 1 + (int64_t)below(t->w, (uint64_t)t->w->plan.pace_ns);
}

static void ask(struct transactor *t, int16_t key, int16_t version, const void *body,
    void (*done)(struct wire_call *))
{
	t->busy = true;
	t->call = (struct wire_call){.key = key, .version = version, .done = done};
	wire_send(&t->wire, &t->call, body);
}

/* NULL: the connection was lost; nobody knows. */
static struct transactor *answered(struct wire_call *call)
{
	struct transactor *t = CONTAINER_OF(call, struct transactor, call);
	t->busy = false;
	if (!call->response && chance(t->w, 20))
		t->phase = INIT; /* this client was started anew */
	again(t, pace(t));
	return t;
}

/* May somebody else have ended what it has begun? */
static bool may_be_fenced(const struct transactor *t)
{
	return t->shared || t->timeout_ms < TIMEOUT_LONG_MS || t->w->plan.clock_jumps;
}

static bool is_fencing(int16_t code)
{
	return code == 45 || code == 47 || code == 48 || code == 49 || code == 59 ||
	       code == FENCED || code == 120;
}

/* True: it may be tried again. */
static bool retriable(struct transactor *t, const char *what, int16_t code)
{
	struct world *w = t->w;
	bool trouble = w->faulty || w->scarce;
	trace(w, t->name, "%s: error %d", what, code);
	if (code == AGAIN || code == CONCURRENT || (code >= 14 && code <= 16))
		return true;
	if ((code == STORAGE || code == CORRUPT_MESSAGE) && trouble)
		return true;
	if (!is_fencing(code) || (!may_be_fenced(t) && !trouble))
		violated("refused", "%s, id %s epoch %d, transaction %u: %s: error %d", t->name,
		    t->id_text, t->epoch, t->txn, what, code);
	t->phase = INIT;
	return false;
}

/* ---- steps of a transaction ------------------------------------------------------------------ */

static void initialised(struct wire_call *call)
{
	struct transactor *t = answered(call);
	const struct init_producer_id_response *r = call->response;
	if (!r)
		return;
	if (r->error_code != 0) {
		(void)retriable(t, "InitProducerId", r->error_code);
		t->phase = INIT;
		return;
	}
	if (r->producer_id == t->id && r->producer_epoch <= t->epoch)
		violated("producer", "%s: epoch %d of producer %lld follows %d", t->name,
		    r->producer_epoch, (long long)t->id, t->epoch);
	t->id = r->producer_id;
	t->epoch = r->producer_epoch;
	t->txn = t->batch = 0;
	t->phase = IDLE;
	memset(t->next, 0, sizeof(t->next));
	trace(t->w, t->name, "is producer %lld, epoch %d", (long long)t->id, t->epoch);
}

static void initialise(struct transactor *t)
{
	struct init_producer_id_request body;
	msg_init(&init_producer_id_request_shape, &body);
	body.transactional_id = str_of(t->id_text);
	body.transaction_timeout_ms = t->timeout_ms;
	if (t->txn > 0)
		model_txn_abandoned(&t->w->model, t->txn);
	ask(t, API_INIT_PRODUCER_ID, (int16_t)below(t->w, 5), &body, initialised);
}

static void pick_partition(struct transactor *t)
{
	const struct model_topic *topic = &t->w->model.topic[model_topic_named(&t->w->model, "t0")];
	t->partition = (int32_t)below(t->w, (uint64_t)topic->partitions);
}

static void begin(struct transactor *t)
{
	if (t->left == 0 || model_topic_named(&t->w->model, "t0") == UINT32_MAX)
		return;
	t->left--;
	t->txn = model_txn_new(&t->w->model, !may_be_fenced(t));
	t->batches_left = 1 + (unsigned)below(t->w, 4);
	t->parts = 0;
	t->commit = chance(t->w, 65);
	t->batch = 0;
	t->phase = ADD;
	pick_partition(t);
	trace(t->w, t->name, "begins transaction %u", t->txn);
}

/*
 * A transaction is as large as what its end writes at once, which is a matter of the journal: a
 * short one takes two partitions or three.
 */
static bool is_full(const struct transactor *t)
{
	size_t most = log_commit_max(t->w->log) / 2, count = 0;
	for (unsigned i = 0; i < MODEL_PARTITIONS_MAX; i++)
		count += t->parts >> i & 1;
	return count >= most;
}

static void added(struct wire_call *call)
{
	struct transactor *t = answered(call);
	const struct add_partitions_to_txn_response *r = call->response;
	if (!r || t->phase == INIT)
		return;
	int16_t code = r->results_by_topic.at[0].results_by_partition.at[0].partition_error_code;
	unsigned part = 1u << t->partition;
	if (code == 0 && !(t->parts & part) && is_full(t))
		violated("refused", "%s: transaction %u has more partitions than its end may write",
		    t->name, t->txn);
	if (code == 0) {
		t->parts |= part;
		t->phase = PRODUCE;
	} else if (code == POLICY && !(t->parts & part) && is_full(t)) {
		trace(t->w, t->name, "transaction %u is full", t->txn);
		t->phase = END;
	} else {
		(void)retriable(t, "AddPartitionsToTxn", code);
	}
}

static void add(struct transactor *t)
{
	struct add_partitions_to_txn_request_topic one = {STR("t0"), {&t->partition, 1}};
	struct add_partitions_to_txn_request body = {.transactional_id = str_of(t->id_text),
	    .producer_id = t->id,
	    .producer_epoch = t->epoch,
	    .topics = {&one, 1}};
	ask(t, API_ADD_PARTITIONS_TO_TXN, (int16_t)below(t->w, 4), &body, added);
}

static void produced(struct wire_call *call)
{
	struct transactor *t = answered(call);
	const struct produce_response *r = call->response;
	if (!r || t->phase == INIT)
		return;
	const struct produce_response_partition *part =
	    &r->responses.at[0].partition_responses.at[0];
	if (part->error_code == CORRUPT_MESSAGE &&
	    model_has_rot(&t->w->model, model_topic_named(&t->w->model, "t0"), t->partition)) {
		trace(t->w, t->name, "gives up batch %u: t0-%d is damaged", t->batch, t->partition);
		t->batch = 0;
		t->commit = false;
		/* stored by an earlier try, its sequence is taken: only another epoch goes on */
		t->phase = t->sends > 1 ? INIT : END;
		return;
	}
	if (part->error_code != 0) {
		(void)retriable(t, "Produce", part->error_code);
		return;
	}
	trace(t->w, t->name, "batch %u is acknowledged at %lld", t->batch,
	    (long long)part->base_offset);
	model_acked(&t->w->model, t->batch, part->base_offset);
	t->w->batches_acked++;
	t->next[t->partition] += t->w->model.batch[t->batch].count;
	t->batch = 0;
	t->phase = --t->batches_left > 0 ? ADD : END;
	if (t->phase == ADD)
		pick_partition(t);
}

static void produce(struct transactor *t)
{
	struct world *w = t->w;
	struct model *m = &w->model;
	struct model_producer producer = {t->id, t->epoch, t->next[t->partition], true};
	struct writer bytes;
	if (t->batch == 0) {
		struct model_batch b = {.topic = model_topic_named(m, "t0"),
		    .partition = t->partition,
		    .count = 1 + (int32_t)below(w, (uint64_t)w->plan.records_max),
		    .codec = chance(w, 70) ? BATCH_NONE : (int)below(w, BATCH_CODECS),
		    .txn = t->txn};
		t->batch = model_batch_new(m, b);
		t->sends = 0;
		t->time_ms = loop_realtime_ns(w->loop) / MS_NS;
	}
	writer_init(&bytes, BATCH_BYTES);
	model_encode(m, t->batch, &producer, t->time_ms, &bytes);
	struct produce_request_partition part = {t->partition, writer_bytes(&bytes)};
	struct produce_request_topic data = {.name = STR("t0"), .partition_data = {&part, 1}};
	struct produce_request body = {.transactional_id = str_of(t->id_text),
	    .acks = -1,
	    .timeout_ms = 5000,
	    .topic_data = {&data, 1}};
	trace(w, t->name, "sends batch %u to t0-%d: sequence %d", t->batch, t->partition,
	    producer.sequence);
	t->sends++;
	ask(t, API_PRODUCE, (int16_t)(7 + below(w, 5)), &body, produced);
	writer_release(&bytes);
}

static void ended(struct wire_call *call)
{
	struct transactor *t = answered(call);
	const struct end_txn_response *r = call->response;
	if (!r || t->phase == INIT)
		return;
	if (r->error_code != 0) {
		(void)retriable(t, "EndTxn", r->error_code);
		return;
	}
	trace(t->w, t->name, "transaction %u is %s", t->txn, t->commit ? "committed" : "aborted");
	if (t->commit)
		model_txn_committed(&t->w->model, t->txn);
	t->txn = 0;
	t->phase = IDLE;
}

static void end(struct transactor *t)
{
	struct end_txn_request body = {.transactional_id = str_of(t->id_text),
	    .producer_id = t->id,
	    .producer_epoch = t->epoch,
	    .committed = t->commit};
	model_txn_ending(&t->w->model, t->txn, t->commit);
	ask(t, API_END_TXN, (int16_t)below(t->w, 5), &body, ended);
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void act(struct transactor *t)
{
	if (!t->w->last_life && chance(t->w, 1))
		t->phase = INIT;
	switch (t->phase) {
	case INIT:
		initialise(t);
		break;
	case IDLE:
		begin(t);
		break;
	case ADD:
		add(t);
		break;
	case PRODUCE:
		produce(t);
		break;
	case END:
		end(t);
		break;
	}
}

static void step(struct loop_timer *timer)
{
	struct transactor *t = CONTAINER_OF(timer, struct transactor, tick);
	struct world *w = t->w;
	if (w->stopping)
		return;
	again(t, pace(t) + MS_NS / 4);
	if (wire_is_idle(&t->wire) && !wire_open(&t->wire))
		return;
	if (!wire_is_open(&t->wire))
		return;
	if (!t->busy)
		act(t);
	if (!w->last_life && chance(w, w->plan.break_percent))
		sim_io_break(w->io, t->wire.fd);
	else if (!w->last_life && chance(w, w->plan.stall_percent))
		sim_io_stall(w->io, t->wire.fd, (int64_t)below(w, 300) * MS_NS);
}

static void down(struct wire *wire)
{
	struct transactor *t = CONTAINER_OF(wire, struct transactor, wire);
	again(t, pace(t));
}

/* ---- life cycle ------------------------------------------------------------------------------ */

void transactor_new(struct world *w, int number)
{
	struct transactor *t = xcalloc(1, sizeof(*t));
	t->w = w;
	t->id = t->epoch = -1;
	t->shared = w->plan.transactors_share && w->plan.transactors > 1;
	t->timeout_ms = chance(w, 25) ? 20 + (int32_t)below(w, 400) : TIMEOUT_LONG_MS;
	snprintf(t->name, sizeof(t->name), "txn%d", number);
	snprintf(t->id_text, sizeof(t->id_text), "x%d", t->shared ? 0 : number);
	wire_init(&t->wire, w, t->name, down);
	w->transactors[number] = t;
	trace(w, t->name, "id %s, timeout %d ms", t->id_text, t->timeout_ms);
}

void transactor_start(struct transactor *t)
{
	loop_timer_init(&t->tick, step);
	t->left = t->w->last_life ? 0 : TXNS_PER_LIFE;
	again(t, pace(t));
}

void transactor_stop(struct transactor *t)
{
	loop_timer_cancel(t->w->loop, &t->tick);
	wire_close(&t->wire);
}

bool transactor_is_resting(const struct transactor *t)
{
	return wire_is_idle(&t->wire);
}

bool transactor_is_done(const struct transactor *t)
{
	return t->phase == IDLE && t->left == 0 && !t->busy;
}

void transactor_free(struct transactor *t)
{
	wire_release(&t->wire);
	free(t);
}
