/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OffsetForLeaderEpoch: where did the records of a leader epoch end? Consumers ask after an epoch
 * was bumped, to learn whether records they have seen are gone (KIP-320). Epochs are stamped into
 * the batches and never fall with the offset, so the answer is found by bisection over the
 * partition, one batch per step.
 */
#include "broker/kafka/handlers.h"
#include "log/batch.h"

struct epoch_search {
	struct log_read read;
	struct epochs *owner;
	struct offset_for_leader_epoch_response_partition *out;
	struct log_uuid topic_id;
	int32_t epoch;     /* asked for */
	int32_t found;     /* epoch of the batch that ends at `low` */
	int64_t low, high; /* batches before low are of `epoch` or older, the one at high is newer
	                      (or the end) */
	bool asked;
};
struct epochs {
	struct request *req;
	uint32_t pending;
	uint32_t count;
	struct epoch_search *search;
};

static void next(struct epoch_search *s);

static void end(struct epoch_search *s, enum err err)
{
	s->out->error_code = err_kafka(err);
	s->out->leader_epoch = err == ERR_OK ? s->found : -1;
	s->out->end_offset = err == ERR_OK ? s->high : -1;
	err_clear();
	ASSERT(s->owner->pending > 0);
	if (--s->owner->pending == 0)
		request_answer(s->owner->req);
}

static void on_read(struct log_read *read)
{
	struct epoch_search *s = CONTAINER_OF(read, struct epoch_search, read);
	struct batch_header h;
	enum err err = read->err;
	if (err == ERR_OK && read->batch_count == 0)
		err = ERR_CORRUPT; /* below the end there is something */
	if (err == ERR_OK)
		err = batch_header_read(read->batches[0], &h);
	log_read_release(read);
	if (err != ERR_OK) {
		end(s, err);
		return;
	}
	if (h.leader_epoch <= s->epoch) {
		s->low = h.base_offset + h.last_offset_delta + 1;
		s->found = h.leader_epoch;
	} else {
		s->high = h.base_offset > s->low ? h.base_offset : s->low;
	}
	next(s);
}

static void next(struct epoch_search *s)
{
	struct request *req = s->owner->req;
	const struct log_topic *t = log_topic_by_id(req->log, s->topic_id);
	struct log_partition *p = t ? log_partition_find(req->log, t, s->out->partition) : NULL;
	if (!p) {
		end(s, ERR_UNKNOWN_TOPIC);
		return;
	}
	if (s->low >= s->high) {
		end(s, ERR_OK);
		return;
	}
	s->read = (struct log_read){.partition = p,
	    .offset = s->low + (s->high - s->low) / 2,
	    .max_bytes = 1,
	    .done = on_read};
	log_read(req->log, &s->read);
}

static enum err look(struct epoch_search *s, const struct log_topic *t,
    const struct offset_for_leader_epoch_request_partition *in)
{
	struct log_partition_status st;
	struct log_partition *p = log_partition_find(s->owner->req->log, t, in->partition);
	if (!p)
		return ERR_UNKNOWN_TOPIC;
	log_partition_status(p, &st);
	int32_t now = (int32_t)st.leader_epoch;
	if (in->current_leader_epoch >= 0 && in->current_leader_epoch != now)
		return in->current_leader_epoch < now ? ERR_FENCED_LEADER_EPOCH
		                                      : ERR_UNKNOWN_LEADER_EPOCH;
	if (in->leader_epoch > now || in->leader_epoch < 0)
		return ERR_OK; /* -1 and -1: nothing is known of it */
	if (in->leader_epoch == now) {
		s->out->leader_epoch = now;
		s->out->end_offset = st.visible_end;
		return ERR_OK;
	}
	s->topic_id = t->id;
	s->epoch = s->found = in->leader_epoch;
	s->low = st.log_start;
	s->high = st.visible_end;
	s->asked = true;
	return ERR_OK;
}

static bool look_topic(struct epochs *e, const struct offset_for_leader_epoch_request_topic *in,
    struct offset_for_leader_epoch_response_topic *out, struct epoch_search *search)
{
	enum err topic_err = ERR_OK;
	const struct log_topic *t =
	    topic_named(e->req, in->topic, (struct log_uuid){{0}}, &topic_err);
	out->topic = in->topic;
	out->partitions.count = in->partitions.count;
	out->partitions.at = request_new(
	    e->req, &offset_for_leader_epoch_response_partition_shape, in->partitions.count);
	if (!out->partitions.at)
		return false;
	for (uint32_t i = 0; i < in->partitions.count; i++) {
		search[i].owner = e;
		search[i].out = &out->partitions.at[i];
		search[i].out->partition = in->partitions.at[i].partition;
		enum err err = t ? look(&search[i], t, &in->partitions.at[i]) : topic_err;
		search[i].out->error_code = err_kafka(err);
	}
	return true;
}

void handle_offset_for_leader_epoch(struct request *req)
{
	const struct offset_for_leader_epoch_request *body = req->body;
	struct offset_for_leader_epoch_response *r = req->response;
	struct epochs *e = request_alloc(req, sizeof(*e));
	uint32_t at = 0;
	bool ok = e != NULL;
	if (ok) {
		e->req = req;
		for (uint32_t i = 0; i < body->topics.count; i++)
			e->count += body->topics.at[i].partitions.count;
		e->search = request_alloc(req, e->count * sizeof(*e->search));
	}
	r->topics.at =
	    request_new(req, &offset_for_leader_epoch_response_topic_shape, body->topics.count);
	r->topics.count = body->topics.count;
	ok = ok && e->search && r->topics.at;
	for (uint32_t i = 0; ok && i < body->topics.count; i++) {
		ok = look_topic(e, &body->topics.at[i], &r->topics.at[i], e->search + at);
		at += body->topics.at[i].partitions.count;
	}
	if (!ok) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	e->pending = 1;
	for (uint32_t i = 0; i < e->count; i++)
		e->pending += e->search[i].asked;
	for (uint32_t i = 0; i < e->count; i++) {
		if (e->search[i].asked)
			next(&e->search[i]);
	}
	if (--e->pending == 0)
		request_answer(req);
}
