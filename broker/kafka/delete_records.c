/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DeleteRecords: moves the start of partitions up, -1 to their high watermark. Each partition is
 * answered when its new start is durable (log.h:log_trim); the segments go afterwards.
 */
#include "broker/kafka/handlers.h"

struct delete_records;
struct trim {
	struct log_trim log;
	struct delete_records *owner;
	struct delete_records_response_partition *out;
};
struct delete_records {
	struct request *req;
	uint32_t pending, count;
	struct trim *trim;
};

static void answer(struct trim *t, enum err err, int64_t low_watermark)
{
	t->out->error_code = err_kafka(err);
	t->out->low_watermark = err == ERR_OK ? low_watermark : -1;
	err_clear();
}

static void finish_one(struct delete_records *d)
{
	ASSERT(d->pending > 0);
	if (--d->pending == 0)
		request_answer(d->req);
}

static void on_trimmed(struct log_trim *log)
{
	struct trim *t = CONTAINER_OF(log, struct trim, log);
	struct delete_records *d = t->owner;
	answer(t, log->err, log->log_start);
	log_partition_unref(log->partition);
	finish_one(d);
}

static bool prepare_topic(struct delete_records *d, const struct delete_records_request_topic *from,
    struct delete_records_response_topic *out, struct trim *trim)
{
	enum err err = ERR_OK;
	const struct log_topic *topic =
	    topic_named(d->req, from->name, (struct log_uuid){{0}}, &err);
	out->name = from->name;
	out->partitions.count = from->partitions.count;
	out->partitions.at =
	    request_new(d->req, &delete_records_response_partition_shape, from->partitions.count);
	if (!out->partitions.at)
		return false;
	for (uint32_t i = 0; i < from->partitions.count; i++) {
		struct trim *t = &trim[i];
		int32_t index = from->partitions.at[i].partition_index;
		struct log_partition *p =
		    topic ? log_partition_find(d->req->log, topic, index) : NULL;
		t->owner = d;
		t->out = &out->partitions.at[i];
		t->out->partition_index = index;
		if (p) {
			log_partition_ref(p);
			t->log = (struct log_trim){.partition = p,
			    .offset = from->partitions.at[i].offset,
			    .done = on_trimmed};
		} else {
			answer(t, topic ? ERR_UNKNOWN_TOPIC : err, -1);
		}
	}
	return true;
}

/* Taken back when there is no memory for the whole answer: nothing has been asked for yet. */
static void let_go(struct delete_records *d)
{
	for (uint32_t i = 0; d->trim && i < d->count; i++) {
		if (d->trim[i].log.partition)
			log_partition_unref(d->trim[i].log.partition);
	}
}

static void start(struct delete_records *d)
{
	d->pending = 1;
	for (uint32_t i = 0; i < d->count; i++)
		d->pending += d->trim[i].log.partition != NULL;
	for (uint32_t i = 0; i < d->count; i++) {
		if (d->trim[i].log.partition)
			log_trim(d->req->log, &d->trim[i].log);
	}
	finish_one(d);
}

void handle_delete_records(struct request *req)
{
	const struct delete_records_request *body = req->body;
	struct delete_records_response *r = req->response;
	struct delete_records *d = request_alloc(req, sizeof(*d));
	uint32_t at = 0;
	bool ok = d != NULL;
	if (ok) {
		d->req = req;
		for (uint32_t i = 0; i < body->topics.count; i++)
			d->count += body->topics.at[i].partitions.count;
		d->trim = request_alloc(req, d->count * sizeof(*d->trim));
	}
	r->topics.at = request_new(req, &delete_records_response_topic_shape, body->topics.count);
	r->topics.count = body->topics.count;
	ok = ok && d->trim && r->topics.at;
	for (uint32_t i = 0; ok && i < body->topics.count; i++) {
		ok = prepare_topic(d, &body->topics.at[i], &r->topics.at[i], d->trim + at);
		at += body->topics.at[i].partitions.count;
	}
	if (ok) {
		start(d);
		return;
	}
	if (d)
		let_go(d);
	request_fail(req, ERR_LIMIT);
}
