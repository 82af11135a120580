/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Producers. An idempotent one keeps up to `window` batches under way in one connection and, when
 * anything goes wrong, opens another and sends all of them again, in order, until each has been
 * acknowledged: so do Kafka's clients. The other kinds send a batch once: with acks it may be lost
 * when no answer came, without acks always.
 */
#include "test/lib/xmalloc.h"
#include "test/sim/world.h"

#include <stdio.h>

enum { TARGETS_MAX = 8, WINDOW_MAX = 5, BATCHES_PER_LIFE = 40, BATCH_BYTES = 8 << 20 };
enum {
	CORRUPT_MESSAGE = 2,
	UNKNOWN_TOPIC = 3,
	AGAIN = 7,
	OUT_OF_ORDER = 45,
	STORAGE = 56,
	UNKNOWN_TOPIC_ID = 100
};

enum kind { IDEMPOTENT, PLAIN, SILENT };
static const char *const kind_names[] = {"idempotent", "plain", "acks=0"};

/* A partition that this producer writes to, with its own sequence. */
struct target {
	uint32_t topic;
	int32_t partition;
	int32_t sequence;
	uint32_t stream, number;
	bool dead; /* damaged */
};

struct flight {
	struct wire_call call;
	struct producer *p;
	bool sent;
	uint32_t batch;
	uint32_t target;
	int32_t sequence;
	int64_t time_ms;
};

struct producer {
	struct world *w;
	char name[16];
	enum kind kind;
	struct wire wire;
	struct loop_timer tick;
	struct wire_call init;
	bool initialising;
	int64_t id;
	int16_t epoch;
	unsigned window;
	int64_t patience_ns;
	struct target target[TARGETS_MAX];
	uint32_t target_count;
	struct flight *flight[WINDOW_MAX]; /* the oldest first */
	unsigned flights;
	unsigned left; /* batches to begin in this life */
};

static void produced(struct wire_call *call);

static void again(struct producer *p, int64_t ns)
{
	if (!p->w->stopping)
		loop_timer_set(p->w->loop, &p->tick, loop_now_ns(p->w->loop) + ns);
}

static int64_t pace(struct producer *p)
{
	return 1 + (int64_t)below(p->w, (uint64_t)p->w->plan.pace_ns);
}

/* ---- batches --------------------------------------------------------------------------------- */

static void drop_flight(struct producer *p, struct flight *f)
{
	unsigned i = 0;
	while (i < p->flights && p->flight[i] != f)
		i++;
	ASSERT(i < p->flights && !f->sent);
	p->flights--;
	memmove(p->flight + i, p->flight + i + 1, (p->flights - i) * sizeof(*p->flight));
	free(f);
}

/* Its topic is being deleted: what was not acknowledged never will be. */
static void drop_unsent_of(struct producer *p, uint32_t topic)
{
	for (unsigned i = p->flights; i-- > 0;) {
		struct flight *f = p->flight[i];
		if (!f->sent && p->target[f->target].topic == topic)
			drop_flight(p, f);
	}
}

/*
 * Its partition is damaged: what was not acknowledged never will be. What is under way is dropped
 * when its answer comes; until then nothing new is sent there, nor ever after.
 */
static void drop_target(struct producer *p, uint32_t target)
{
	p->target[target].dead = true;
	for (unsigned i = p->flights; i-- > 0;)
		if (!p->flight[i]->sent && p->flight[i]->target == target)
			drop_flight(p, p->flight[i]);
}

/* A partition to write to; false when there is none. */
static bool pick_target(struct producer *p, uint32_t *ret_target)
{
	struct world *w = p->w;
	struct model *m = &w->model;
	if (m->topic_count == 0)
		return false;
	uint32_t topic = (uint32_t)below(w, m->topic_count);
	const struct model_topic *t = &m->topic[topic];
	/* who counts its batches would be told of the hole that a loss leaves */
	if (t->delete_sent || (p->kind == IDEMPOTENT && world_is_lazy(w, t->name)))
		return false;
	int32_t partition = (int32_t)below(w, (uint64_t)t->partitions);
	for (uint32_t i = 0; i < p->target_count; i++) {
		if (p->target[i].topic == topic && p->target[i].partition == partition) {
			*ret_target = i;
			return !p->target[i].dead;
		}
	}
	if (p->target_count == TARGETS_MAX)
		return false;
	p->target[p->target_count] = (struct target){.topic = topic, .partition = partition};
	if (p->kind == IDEMPOTENT)
		p->target[p->target_count].stream = ++m->stream_count;
	*ret_target = p->target_count++;
	return true;
}

static struct flight *new_flight(struct producer *p)
{
	struct world *w = p->w;
	uint32_t number;
	if (!pick_target(p, &number))
		return NULL;
	struct target *t = &p->target[number];
	struct model_batch b = {.topic = t->topic,
	    .partition = t->partition,
	    .count = 1 + (int32_t)below(w, (uint64_t)w->plan.records_max),
	    .stream = t->stream,
	    .number = ++t->number,
	    .codec = chance(w, 70) ? BATCH_NONE : (int)below(w, BATCH_CODECS),
	    .sent_ns = loop_realtime_ns(w->loop)};
	struct flight *f = xcalloc(1, sizeof(*f));
	f->p = p;
	f->batch = model_batch_new(&w->model, b);
	f->target = number;
	f->sequence = t->sequence;
	f->time_ms = loop_realtime_ns(w->loop) / MS_NS;
	t->sequence += b.count;
	p->flight[p->flights++] = f;
	return f;
}

static void send_flight(struct producer *p, struct flight *f)
{
	struct world *w = p->w;
	const struct target *t = &p->target[f->target];
	const struct model_topic *topic = &w->model.topic[t->topic];
	struct model_producer producer = {p->id, p->epoch, f->sequence, false};
	struct writer bytes;
	writer_init(&bytes, BATCH_BYTES);
	model_encode(
	    &w->model, f->batch, p->kind == IDEMPOTENT ? &producer : NULL, f->time_ms, &bytes);
	/* by name only where no namesake can be meant */
	bool by_id = strcmp(topic->name, "t0") != 0 || chance(w, 50);
	struct produce_request_partition part = {t->partition, writer_bytes(&bytes)};
	struct produce_request_topic data = {
	    .name = str_of(topic->name), .topic_id = topic->id, .partition_data = {&part, 1}};
	struct produce_request body = {
	    .acks = p->kind == SILENT ? 0 : -1, .timeout_ms = 5000, .topic_data = {&data, 1}};
	int16_t version = by_id ? 13 : (int16_t)(7 + below(w, 6));
	trace(w, p->name, "sends batch %u to %s-%d: %d records, sequence %d", f->batch, topic->name,
	    t->partition, w->model.batch[f->batch].count, f->sequence);
	if (p->kind == SILENT) {
		wire_send_unanswered(&p->wire, API_PRODUCE, version, &body);
		drop_flight(p, f);
	} else {
		f->sent = true;
		f->call =
		    (struct wire_call){.key = API_PRODUCE, .version = version, .done = produced};
		wire_send(&p->wire, &f->call, &body);
	}
	writer_release(&bytes);
}

/* ---- answers --------------------------------------------------------------------------------- */

static bool is_oldest_of_target(const struct producer *p, const struct flight *f)
{
	for (unsigned i = 0; p->flight[i] != f; i++)
		if (p->flight[i]->target == f->target)
			return false;
	return true;
}

static void refused(struct producer *p, struct flight *f, int16_t code)
{
	struct world *w = p->w;
	const struct model_topic *t = &w->model.topic[p->target[f->target].topic];
	trace(w, p->name, "batch %u is refused: error %d", f->batch, code);
	if ((code == UNKNOWN_TOPIC || code == UNKNOWN_TOPIC_ID) && t->delete_sent) {
		drop_flight(p, f);
		return;
	}
	if (p->target[f->target].dead) {
		drop_flight(p, f);
		return;
	}
	if (code == CORRUPT_MESSAGE &&
	    model_has_rot(&w->model, p->target[f->target].topic, p->target[f->target].partition)) {
		drop_target(p, f->target); /* nothing is taken there any more */
		return;
	}
	bool troubled = w->faulty || w->scarce;
	/* a read that failed makes its partition damaged until the next start */
	bool legal = code == AGAIN || ((code == STORAGE || code == CORRUPT_MESSAGE) && troubled);
	if (code == OUT_OF_ORDER)
		legal = p->kind == IDEMPOTENT && !is_oldest_of_target(p, f);
	if (!legal)
		violated(code >= OUT_OF_ORDER && code <= 47 ? "idempotence" : "refused",
		    "%s: batch %u for %s-%d, sequence %d: error %d", p->name, f->batch, t->name,
		    p->target[f->target].partition, f->sequence, code);
	if (p->kind == PLAIN)
		drop_flight(p, f);
	else
		wire_close(&p->wire);
}

static void produced(struct wire_call *call)
{
	struct flight *f = CONTAINER_OF(call, struct flight, call);
	struct producer *p = f->p;
	const struct produce_response *r = call->response;
	f->sent = false;
	if (!r) {
		/* nobody knows; who can tell duplicates sends it again */
		if (p->kind == PLAIN)
			drop_flight(p, f);
		return;
	}
	if (r->responses.count != 1 || r->responses.at[0].partition_responses.count != 1)
		violated("answers", "%s: an answer for another request", p->name);
	const struct produce_response_partition *part =
	    &r->responses.at[0].partition_responses.at[0];
	if (part->error_code != 0) {
		refused(p, f, part->error_code);
		return;
	}
	trace(p->w, p->name, "batch %u is acknowledged at %lld", f->batch,
	    (long long)part->base_offset);
	model_acked(&p->w->model, f->batch, part->base_offset);
	p->w->batches_acked++;
	drop_flight(p, f);
	again(p, pace(p));
}

static void initialised(struct wire_call *call)
{
	struct producer *p = CONTAINER_OF(call, struct producer, init);
	const struct init_producer_id_response *r = call->response;
	p->initialising = false;
	if (!r)
		return;
	if (r->error_code == 0) {
		p->id = r->producer_id;
		p->epoch = r->producer_epoch;
		model_producer_id(&p->w->model, p->id);
		trace(p->w, p->name, "is producer %lld", (long long)p->id);
	} else if (!p->w->faulty && !p->w->scarce && r->error_code != AGAIN) {
		violated("refused", "%s: InitProducerId: error %d", p->name, r->error_code);
	}
	again(p, pace(p));
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void initialise(struct producer *p)
{
	struct init_producer_id_request body;
	msg_init(&init_producer_id_request_shape, &body);
	body.transaction_timeout_ms = 60000;
	p->initialising = true;
	p->init = (struct wire_call){
	    .key = API_INIT_PRODUCER_ID, .version = (int16_t)below(p->w, 5), .done = initialised};
	wire_send(&p->wire, &p->init, &body);
}

static bool has_waited_too_long(const struct producer *p)
{
	int64_t now = loop_now_ns(p->w->loop);
	return !p->w->last_life && p->flights > 0 && p->flight[0]->sent &&
	       now - p->flight[0]->call.sent_ns > p->patience_ns;
}

static void disturb(struct producer *p)
{
	struct world *w = p->w;
	if (has_waited_too_long(p)) {
		trace(w, p->name, "waited too long");
		wire_close(&p->wire);
	} else if (!w->last_life && chance(w, w->plan.break_percent)) {
		trace(w, p->name, "loses its connection");
		sim_io_break(w->io, p->wire.fd);
	} else if (!w->last_life && chance(w, w->plan.stall_percent)) {
		trace(w, p->name, "is cut off for a while");
		sim_io_stall(w->io, p->wire.fd, (int64_t)below(w, 300) * MS_NS);
	}
}

static void send_what_waits(struct producer *p)
{
	for (unsigned i = 0; i < p->flights;) {
		struct flight *f = p->flight[i];
		uint32_t topic = p->target[f->target].topic;
		if (!f->sent && p->w->model.topic[topic].deleted) {
			drop_unsent_of(p, topic);
			i = 0;
			continue;
		}
		if (!f->sent)
			send_flight(p, f);
		i++;
	}
}

static void step(struct loop_timer *timer)
{
	struct producer *p = CONTAINER_OF(timer, struct producer, tick);
	if (p->w->stopping)
		return;
	again(p, pace(p) + MS_NS / 4);
	if (wire_is_idle(&p->wire) && !wire_open(&p->wire))
		return;
	if (!wire_is_open(&p->wire))
		return;
	if (p->kind == IDEMPOTENT && p->id < 0) {
		if (!p->initialising)
			initialise(p);
		return;
	}
	send_what_waits(p);
	if (p->flights < p->window && p->left > 0) {
		struct flight *f = new_flight(p);
		p->left -= f != NULL;
		if (f)
			send_flight(p, f);
	}
	disturb(p);
}

static void down(struct wire *wire)
{
	struct producer *p = CONTAINER_OF(wire, struct producer, wire);
	again(p, pace(p));
}

/* ---- life cycle ------------------------------------------------------------------------------ */

void producer_new(struct world *w, int number)
{
	struct producer *p = xcalloc(1, sizeof(*p));
	p->w = w;
	p->id = -1;
	p->kind = chance(w, 60) ? IDEMPOTENT : chance(w, 60) ? PLAIN : SILENT;
	p->window = 1 + (unsigned)below(w, WINDOW_MAX);
	p->patience_ns = (int64_t)(5 + below(w, 500)) * MS_NS;
	snprintf(p->name, sizeof(p->name), "prod%d", number);
	wire_init(&p->wire, w, p->name, down);
	w->producers[number] = p;
	trace(w, p->name, "%s, window %u", kind_names[p->kind], p->window);
}

void producer_start(struct producer *p)
{
	loop_timer_init(&p->tick, step);
	p->left = p->w->last_life ? 0 : BATCHES_PER_LIFE;
	again(p, pace(p));
}

void producer_stop(struct producer *p)
{
	loop_timer_cancel(p->w->loop, &p->tick);
	wire_close(&p->wire);
}

bool producer_is_resting(const struct producer *p)
{
	return wire_is_idle(&p->wire);
}

bool producer_is_done(const struct producer *p)
{
	return p->flights == 0 && p->left == 0 && !p->initialising;
}

void producer_free(struct producer *p)
{
	while (p->flights > 0)
		free(p->flight[--p->flights]);
	wire_release(&p->wire);
	free(p);
}
