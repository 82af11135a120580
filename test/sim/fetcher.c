/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Consumers without a group: each reads one partition after the other from its start to its end, in
 * fetches of all sizes, and shows the model every batch and every high watermark.
 */
#include "test/lib/xmalloc.h"
#include "test/sim/world.h"

#include <stdio.h>

enum {
	OFFSET_OUT_OF_RANGE = 1,
	CORRUPT_MESSAGE = 2,
	UNKNOWN_TOPIC = 3,
	AGAIN = 7,
	STORAGE = 56,
	UNKNOWN_TOPIC_ID = 100
};

struct fetcher {
	struct world *w;
	char name[16];
	struct wire wire;
	struct loop_timer tick;
	struct wire_call call;
	bool busy, has_partition;
	uint32_t topic;
	int32_t partition;
	int64_t offset, asked_offset, watermark_before, stable_before;
	bool committed; /* asked for committed data */
	/* the last life: partitions read to their end, in order */
	uint32_t done_topic;
	int32_t done_partition;
	bool done;
};

static void again(struct fetcher *c, int64_t ns)
{
	if (!c->w->stopping)
		loop_timer_set(c->w->loop, &c->tick, loop_now_ns(c->w->loop) + ns);
}

static int64_t pace(struct fetcher *c)
{
	return 1 + (int64_t)below(c->w, (uint64_t)c->w->plan.pace_ns);
}

static const struct model_partition *model_of(const struct fetcher *c)
{
	return &c->w->model.topic[c->topic].partition[c->partition];
}

/* In the last life one after the other, before at random. */
static void pick(struct fetcher *c)
{
	struct world *w = c->w;
	const struct model *m = &w->model;
	c->has_partition = false;
	if (w->last_life) {
		while (c->done_topic < m->topic_count && m->topic[c->done_topic].deleted)
			c->done_topic++;
		c->done = c->done_topic >= m->topic_count;
		if (c->done)
			return;
		c->topic = c->done_topic;
		c->partition = c->done_partition;
		if (++c->done_partition >= m->topic[c->topic].partitions) {
			c->done_partition = 0;
			c->done_topic++;
		}
	} else {
		if (m->topic_count == 0)
			return;
		c->topic = (uint32_t)below(w, m->topic_count);
		if (m->topic[c->topic].deleted)
			return;
		c->partition = (int32_t)below(w, (uint64_t)m->topic[c->topic].partitions);
	}
	c->has_partition = true;
	c->offset = model_of(c)->start;
	if (!w->last_life && chance(w, 50))
		c->offset = (int64_t)below(w, (uint64_t)model_of(c)->high_watermark + 1);
}

/* Retention was faster: from where the partition begins now, if that is behind what was asked for.
 */
static bool restart(struct fetcher *c)
{
	const struct model_topic *t = &c->w->model.topic[c->topic];
	const struct log_topic *topic = log_topic_by_id(c->w->log, t->id);
	struct log_partition_status st;
	if (!topic)
		return false;
	log_partition_status(log_partition_find(c->w->log, topic, c->partition), &st);
	if (st.log_start <= c->asked_offset)
		return false;
	model_start(&c->w->model, c->topic, c->partition, st.log_start);
	c->offset = st.log_start;
	return true;
}

static void fetched_error(struct fetcher *c, const struct fetch_response_partition *p)
{
	struct world *w = c->w;
	const struct model_topic *t = &w->model.topic[c->topic];
	int16_t code = p->error_code;
	bool gone = (code == UNKNOWN_TOPIC || code == UNKNOWN_TOPIC_ID) && t->delete_sent;
	bool trimmed = code == OFFSET_OUT_OF_RANGE && c->asked_offset < model_of(c)->start_asked;
	bool trouble = (w->faulty || w->scarce) && code != OFFSET_OUT_OF_RANGE;
	const struct model_rot *rot = NULL;
	if (code == OFFSET_OUT_OF_RANGE && t->expires && restart(c))
		return;
	if (code == CORRUPT_MESSAGE)
		rot = t->keyed /* what lies before it may be gone */
		          ? model_rot_behind(&w->model, c->topic, c->partition, c->asked_offset)
		          : model_rot_at(&w->model, c->topic, c->partition, c->asked_offset);
	if (rot) { /* what a client has to do about it */
		c->offset = rot->end;
		return;
	}
	if (!gone && !trimmed && !trouble && code != AGAIN)
		violated("refused", "%s: fetch %s-%d from %lld: error %d", c->name, t->name,
		    c->partition, (long long)c->asked_offset, code);
	if (trimmed)
		c->offset = c->offset < p->log_start_offset ? p->log_start_offset : c->offset + 1;
	else
		c->has_partition = false;
}

/* The transactions that the answer calls aborted, as a client follows them. */
struct aborted {
	const struct fetch_response_partition *p;
	uint8_t state[256]; /* 0: before it, 1: in it, 2: its marker was met */
};

/* Is this batch passed over by who wants committed data? */
static bool passes_over(struct aborted *x, struct bytes batch, const struct batch_header *h)
{
	struct batch_marker m;
	bool found = false, marker = batch_marker_read(batch, &m);
	for (uint32_t i = 0; i < x->p->aborted_transactions.count && i < sizeof(x->state); i++) {
		const struct fetch_response_aborted *a = &x->p->aborted_transactions.at[i];
		if (a->producer_id != h->producer_id || x->state[i] == 2)
			continue;
		if (a->first_offset <= h->base_offset + h->last_offset_delta)
			x->state[i] = 1;
		if (x->state[i] == 1 && marker && !m.commit)
			x->state[i] = 2;
		found |= x->state[i] == 1;
	}
	return found && (h->attributes & BATCH_ATTR_TRANSACTIONAL);
}

static void take_committed(struct fetcher *c, struct aborted *x, uint32_t number,
    struct bytes batch, const struct batch_header *h)
{
	bool over = passes_over(x, batch, h);
	if (h->base_offset + h->last_offset_delta >= x->p->last_stable_offset)
		violated("stable", "%s: asked for committed data, got offset %lld, stable is %lld",
		    c->name, (long long)h->base_offset, (long long)x->p->last_stable_offset);
	if (number == 0)
		return; /* a marker */
	if (over)
		model_aborted_seen(&c->w->model, number);
	else
		model_committed_seen(&c->w->model, number);
}

/* Batches lie next to each other, the first holds what was asked for. */
static void take_records(struct fetcher *c, const struct fetch_response_partition *p)
{
	struct world *w = c->w;
	struct aborted x = {.p = p};
	uint32_t number;
	for (uint32_t i = 0; i < p->records.count; i++) {
		struct bytes all = p->records.at[i];
		struct batch_header h;
		while (all.len > 0) {
			if (batch_header_read(all, &h) != ERR_OK || all.len < (size_t)h.length + 12)
				break; /* a batch cut off at the end is a client's to drop */
			if (h.base_offset > c->offset && !w->model.topic[c->topic].keyed)
				violated("dense", "%s: asked for %lld, got a batch at %lld",
				    c->name, (long long)c->offset, (long long)h.base_offset);
			size_t len = (size_t)h.length + 12;
			struct bytes batch = bytes_slice(all, 0, len);
			int64_t end = model_seen(&w->model, c->topic, c->partition, batch, &number);
			if (c->committed)
				take_committed(c, &x, number, batch, &h);
			if (end > p->high_watermark)
				violated("watermark", "%s: records up to %lld, watermark %lld",
				    c->name, (long long)end, (long long)p->high_watermark);
			w->records_seen += (uint64_t)h.count;
			c->offset = end > c->offset ? end : c->offset;
			all = bytes_slice(all, len, all.len);
		}
	}
}

static void fetched(struct wire_call *call)
{
	struct fetcher *c = CONTAINER_OF(call, struct fetcher, call);
	const struct fetch_response *r = call->response;
	struct world *w = c->w;
	c->busy = false;
	if (!r)
		return;
	again(c, pace(c));
	if (r->error_code != 0 || r->responses.count != 1 ||
	    r->responses.at[0].partitions.count != 1)
		violated("answers", "%s: fetch: error %d, %u topics", c->name, r->error_code,
		    r->responses.count);
	const struct fetch_response_partition *p = &r->responses.at[0].partitions.at[0];
	if (p->error_code != 0) {
		fetched_error(c, p);
		return;
	}
	model_watermark(&w->model, c->topic, c->partition, c->watermark_before, p->high_watermark);
	if (p->last_stable_offset >= 0)
		model_stable(
		    &w->model, c->topic, c->partition, c->stable_before, p->last_stable_offset);
	model_start(&w->model, c->topic, c->partition, p->log_start_offset);
	int64_t from = c->offset;
	take_records(c, p);
	trace(w, c->name, "read %s-%d from %lld to %lld of %lld", w->model.topic[c->topic].name,
	    c->partition, (long long)from, (long long)c->offset, (long long)p->high_watermark);
	if (c->offset >= p->high_watermark && (w->last_life || chance(w, 30)))
		c->has_partition = false;
}

static void fetch(struct fetcher *c)
{
	struct world *w = c->w;
	const struct model_topic *t = &w->model.topic[c->topic];
	struct fetch_request_partition p;
	struct fetch_request_topic topic = {
	    .topic = str_of(t->name), .topic_id = t->id, .partitions = {&p, 1}};
	struct fetch_request body;
	msg_init(&fetch_request_partition_shape, &p);
	msg_init(&fetch_request_shape, &body);
	p.partition = c->partition;
	p.fetch_offset = c->asked_offset = c->offset;
	p.partition_max_bytes = chance(w, 50) ? 1 << 20 : 1 + (int32_t)below(w, 3000);
	body.max_wait_ms = w->last_life ? 5 : (int32_t)below(w, 200);
	body.min_bytes = chance(w, 70) ? 1 : 1 + (int32_t)below(w, 5000);
	body.max_bytes = chance(w, 50) ? 1 << 24 : 1 + (int32_t)below(w, 9000);
	body.isolation_level = (int8_t)below(w, 2);
	c->committed = body.isolation_level == 1;
	c->stable_before = model_of(c)->stable;
	body.replica_id = -1;
	body.topics.at = &topic;
	body.topics.count = 1;
	bool by_id = strcmp(t->name, "t0") != 0 || chance(w, 50);
	/* versions below 10 are not given zstd, which producers here use */
	int16_t version = (int16_t)(by_id ? 13 + below(w, 6) : 10 + below(w, 3));
	c->watermark_before = model_of(c)->high_watermark;
	trace(w, c->name,
	    "asks for %s-%d from %lld: version %d, %d of %d bytes, at least %d in %d ms", t->name,
	    c->partition, (long long)c->offset, version, p.partition_max_bytes, body.max_bytes,
	    body.min_bytes, body.max_wait_ms);
	c->busy = true;
	c->call = (struct wire_call){.key = API_FETCH, .version = version, .done = fetched};
	wire_send(&c->wire, &c->call, &body);
}

static void step(struct loop_timer *timer)
{
	struct fetcher *c = CONTAINER_OF(timer, struct fetcher, tick);
	struct world *w = c->w;
	if (w->stopping || c->done)
		return;
	again(c, pace(c) + MS_NS / 4);
	if (wire_is_idle(&c->wire) && !wire_open(&c->wire))
		return;
	if (!wire_is_open(&c->wire))
		return;
	if (!c->busy && !c->has_partition)
		pick(c);
	if (!c->busy && c->has_partition)
		fetch(c);
	if (!w->last_life && chance(w, w->plan.break_percent))
		sim_io_break(w->io, c->wire.fd);
	else if (!w->last_life && chance(w, w->plan.stall_percent))
		sim_io_stall(w->io, c->wire.fd, (int64_t)below(w, 300) * MS_NS);
}

static void down(struct wire *wire)
{
	struct fetcher *c = CONTAINER_OF(wire, struct fetcher, wire);
	again(c, pace(c));
}

void fetcher_new(struct world *w, int number)
{
	struct fetcher *c = xcalloc(1, sizeof(*c));
	c->w = w;
	snprintf(c->name, sizeof(c->name), "cons%d", number);
	wire_init(&c->wire, w, c->name, down);
	w->consumers[number] = c;
}

void fetcher_start(struct fetcher *c)
{
	loop_timer_init(&c->tick, step);
	c->has_partition = c->done = false;
	c->done_topic = 0;
	c->done_partition = 0;
	again(c, pace(c));
}

void fetcher_stop(struct fetcher *c)
{
	loop_timer_cancel(c->w->loop, &c->tick);
	wire_close(&c->wire);
}

bool fetcher_is_resting(const struct fetcher *c)
{
	return wire_is_idle(&c->wire);
}

bool fetcher_is_done(const struct fetcher *c)
{
	return c->done && !c->busy;
}

void fetcher_free(struct fetcher *c)
{
	wire_release(&c->wire);
	free(c);
}
