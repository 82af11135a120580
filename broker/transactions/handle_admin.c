/* SPDX-License-Identifier: Apache-2.0 */
/* DescribeTransactions, DescribeProducers. */
#include "broker/auth/access.h"
#include "handlers.h"

/* ---- DescribeTransactions -------------------------------------------------------------------- */

static bool fill_parts(struct request *req, const struct transaction *t,
    struct describe_transactions_response_transaction *out)
{
	size_t topics = 0;
	for (size_t i = 0; i < t->row.part_count; i++)
		topics += i == 0 || !str_equal(t->row.parts[i].topic, t->row.parts[i - 1].topic);
	int32_t *ids = request_alloc(req, (t->row.part_count + 1) * sizeof(*ids));
	out->topics.at = request_new(req, &describe_transactions_response_topic_shape, topics);
	if (!ids || !out->topics.at)
		return false;
	struct describe_transactions_response_topic *at = out->topics.at - 1;
	for (size_t i = 0; i < t->row.part_count; i++) {
		ids[i] = t->row.parts[i].partition;
		if (!access_allows(req, ACL_DESCRIBE, ACL_TOPIC, t->row.parts[i].topic))
			continue;
		if (at < out->topics.at || !str_equal(at->topic, t->row.parts[i].topic)) {
			at++;
			/* the answer is encoded at once: the transaction stays till then */
			at->topic = t->row.parts[i].topic;
			at->partitions.at = &ids[i];
		}
		at->partitions.count++;
	}
	out->topics.count = (uint32_t)(at + 1 - out->topics.at);
	return true;
}

static bool fill_transaction(
    struct request *req, struct str id, struct describe_transactions_response_transaction *out)
{
	const struct transaction *t = transaction_find(req->broker->transactions, id);
	out->transactional_id = id;
	out->transaction_state = STR("");
	enum err e = access_transactional_id(req, id);
	if (e == ERR_OK && (!t || !t->stored))
		e = ERR_TXN_NOT_FOUND;
	if (e != ERR_OK) {
		out->error_code = err_kafka(e);
		out->topics.at = request_new(req, &describe_transactions_response_topic_shape, 0);
		return out->topics.at != NULL;
	}
	out->transaction_state = str_of(transaction_state_name(t->row.state));
	out->transaction_timeout_ms = t->row.timeout_ms;
	out->transaction_start_time_ms = t->row.state == TRANSACTION_ONGOING ? t->row.start_ms : -1;
	out->producer_id = t->row.producer_id;
	out->producer_epoch = t->row.epoch;
	return fill_parts(req, t, out);
}

void handle_describe_transactions(struct request *req)
{
	const struct describe_transactions_request *body = req->body;
	struct describe_transactions_response *r = req->response;
	uint32_t count = body->transactional_ids.count;
	r->transaction_states.at =
	    request_new(req, &describe_transactions_response_transaction_shape, count);
	bool ok = r->transaction_states.at != NULL;
	r->transaction_states.count = ok ? count : 0;
	for (uint32_t i = 0; ok && i < count; i++)
		ok = fill_transaction(
		    req, body->transactional_ids.at[i], &r->transaction_states.at[i]);
	if (ok)
		request_answer(req);
	else
		request_fail(req, ERR_LIMIT);
}

/* ---- DescribeProducers ----------------------------------------------------------------------- */

struct describe_part {
	struct log_producers_load load;
	struct describe *owner;
	struct describe_producers_response_partition *out;
	struct log_partition *partition; /* referenced while it loads */
};
struct describe {
	struct request *req;
	uint32_t pending;
	bool failed;
};

static void fill_producers(struct describe_part *part)
{
	struct request *req = part->owner->req;
	struct describe_producers_response_partition *out = part->out;
	struct log_producer p;
	size_t cursor = 0, count = 0;
	while (log_producer_next(part->partition, &cursor, &p))
		count++;
	out->active_producers.at =
	    request_new(req, &describe_producers_response_producer_shape, count);
	if (!out->active_producers.at) {
		part->owner->failed = true;
		return;
	}
	for (cursor = 0; out->active_producers.count < count &&
	                 log_producer_next(part->partition, &cursor, &p);) {
		struct log_txn txn = {.first_offset = -1};
		bool open = log_txn_open(part->partition, p.producer_id, &txn);
		out->active_producers.at[out->active_producers.count++] =
		    (struct describe_producers_response_producer){.producer_id = p.producer_id,
		        .producer_epoch = p.producer_epoch,
		        .last_sequence = p.last_sequence,
		        .last_timestamp = p.last_ns / MS_NS,
		        .coordinator_epoch = 0,
		        .current_txn_start_offset = open ? txn.first_offset : -1};
	}
}

static void part_done(struct describe *d)
{
	ASSERT(d->pending > 0);
	if (--d->pending > 0)
		return;
	if (d->failed)
		request_fail(d->req, ERR_LIMIT);
	else
		request_answer(d->req);
}

static void on_loaded(struct log_producers_load *load)
{
	struct describe_part *part = CONTAINER_OF(load, struct describe_part, load);
	if (load->err == ERR_OK)
		fill_producers(part);
	else
		part->out->error_code = err_kafka(load->err);
	log_partition_unref(part->partition);
	part_done(part->owner);
}

static void describe_partition(struct describe *d, struct describe_part *part, struct str name)
{
	const struct log_topic *t = log_topic_find(d->req->log, name);
	part->owner = d;
	enum err denied = access_topic(d->req, name);
	if (denied != ERR_OK) {
		part->out->error_code = err_kafka(denied);
		return;
	}
	part->partition = t ? log_partition_find(d->req->log, t, part->out->partition_index) : NULL;
	if (!part->partition) {
		part->out->error_code = err_kafka(ERR_UNKNOWN_TOPIC);
		return;
	}
	part->load.done = on_loaded;
	log_partition_ref(part->partition);
	d->pending++;
	if (!log_producers_load(part->partition, &part->load))
		return;
	part->load.err = ERR_OK;
	on_loaded(&part->load);
}

static bool describe_topic(struct describe *d, const struct describe_producers_request_topic *in,
    struct describe_producers_response_topic *out)
{
	uint32_t count = in->partition_indexes.count;
	struct describe_part *parts = request_alloc(d->req, (count + 1) * sizeof(*parts));
	out->name = in->name;
	out->partitions.at =
	    request_new(d->req, &describe_producers_response_partition_shape, count);
	if (!parts || !out->partitions.at)
		return false;
	out->partitions.count = count;
	for (uint32_t i = 0; i < count && !d->failed; i++) {
		parts[i].out = &out->partitions.at[i];
		parts[i].out->partition_index = in->partition_indexes.at[i];
		describe_partition(d, &parts[i], in->name);
	}
	return true;
}

void handle_describe_producers(struct request *req)
{
	const struct describe_producers_request *body = req->body;
	struct describe_producers_response *r = req->response;
	struct describe *d = request_alloc(req, sizeof(*d));
	uint32_t count = body->topics.count;
	r->topics.at = request_new(req, &describe_producers_response_topic_shape, count);
	if (!d || !r->topics.at) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	d->req = req;
	d->pending = 1;
	for (uint32_t i = 0; i < count && !d->failed; i++) {
		d->failed |= !describe_topic(d, &body->topics.at[i], &r->topics.at[i]);
		r->topics.count++;
	}
	part_done(d);
}
