/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Produce: check each partition's batch, give it to the log, answer when it is as durable as its
 * topic says.
 *
 * A request goes CHECKING (small batches at once, others on the service pool; from version 12 on
 * its partitions are added to the transaction meanwhile, KIP-890) -> READY -> (its turn) APPENDING
 * -> answered. The bytes stay in the request's frame all the time; the log copies them once, into
 * its round.
 *
 * Invariants:
 *   P1  the produce requests of one connection are given to the log in the order they came,
 *       whatever their checks took: an idempotent producer's sequence depends on it.
 *   P2  at most append_bytes_max bytes are with the log at a time (one request may be larger); the
 *       rest wait in append_waiting, in order.
 *   P3  whether a transactional batch may be written is asked when it is given to the log: the end
 *       of the transaction comes wholly before it or behind it.
 */
#include "broker/auth/access.h"
#include "broker/kafka/handlers.h"
#include "broker/quotas/quotas.h"
#include "broker/transactions/transactions.h"
#include "log/batch.h"
#include <stdio.h>

enum { MESSAGE_MAX = 160, KEYLESS_MAX = 100000 /* reported of one batch */ };

struct produce_part {
	struct produce *owner;
	struct bytes batch;
	struct produce_response_partition *out;
	struct log_uuid topic_id;
	struct batch_rules rules;
	enum err err;
	bool looked_into; /* its header is a batch's: the batch itself was checked */
	bool transactional;
	struct transaction_writer writer; /* of a transactional batch */
	int32_t bad_record;               /* -1 = none */
	struct writer keyless; /* u32 each: records without a key where there must be one */
	char message[MESSAGE_MAX];
	struct pool_job check;
	struct log_append append;
};

struct produce {
	struct request *req;
	struct list_node node;    /* conn->produces, until given to the log */
	struct list_node waiting; /* broker->append_waiting */
	uint32_t count;
	uint32_t checks;  /* on the pool */
	uint32_t pending; /* with the log */
	size_t bytes;
	struct produce_part *part;
	struct transaction_op joining;
	struct transaction_part *joined; /* the partitions that it adds */
};

static void conn_produce(struct conn *c);

/* ---- answer ---------------------------------------------------------------------------------- */

/* Which records are at fault: a client gives up these and may send the others again. */
static void fill_record_errors(struct request *req, struct produce_part *part)
{
	struct produce_response_partition *out = part->out;
	size_t keyless = part->keyless.len / sizeof(uint32_t);
	size_t each = sizeof(*out->record_errors.at) + 2 * out->error_message.len;
	size_t count = keyless ? keyless : part->bad_record >= 0;
	if (count > 1 && !answers_fit(req->conn, count * each))
		count = 1; /* the batch is refused all the same */
	out->record_errors.at = request_new(req, &produce_response_record_error_shape, count);
	if (!out->record_errors.at)
		return;
	out->record_errors.count = (uint32_t)count;
	for (size_t i = 0; i < count; i++) {
		struct produce_response_record_error *e = &out->record_errors.at[i];
		e->batch_index = part->bad_record;
		if (keyless)
			e->batch_index = (int32_t)get_u32_be(part->keyless.ptr + 4 * i);
		e->batch_index_error_message = out->error_message;
	}
}

/* As Kafka: told with what is wrong with the records, not with what is wrong beside them. */
static void fill_log_start(const struct request *req, struct produce_part *part)
{
	const struct log_topic *t = log_topic_by_id(req->log, part->topic_id);
	struct log_partition *p = t ? log_partition_find(req->log, t, part->out->index) : NULL;
	struct log_partition_status s;
	int code = part->out->error_code;
	if (!p || !part->looked_into || err_retriable(part->err) ||
	    code == err_kafka(ERR_CORRUPT_MESSAGE) || code == err_kafka(ERR_MESSAGE_TOO_LARGE) ||
	    code == err_kafka(ERR_IO))
		return;
	log_partition_status(p, &s);
	part->out->log_start_offset = s.log_start;
}

static void fill_error(struct request *req, struct produce_part *part)
{
	struct produce_response_partition *out = part->out;
	out->error_code = err_kafka(part->err);
	/* what Kafka has no code for (no memory, a file in the way) is over some time: a producer
	 * that is told UNKNOWN_SERVER_ERROR would give its batch up, as it is to do with one that
	 * does not decompress */
	if (out->error_code == -1 && part->err != ERR_UNDECODABLE)
		out->error_code = err_kafka(ERR_IO);
	out->base_offset = -1;
	fill_log_start(req, part);
	out->error_message = request_text(
	    req, "%s%s%s", err_text(part->err), part->message[0] ? ": " : "", part->message);
	fill_record_errors(req, part);
}

static void finish(struct produce *p)
{
	struct request *req = p->req;
	const struct produce_request *body = req->body;
	enum err err = ERR_OK;
	for (uint32_t i = 0; i < p->count; i++) {
		struct produce_part *part = &p->part[i];
		if (part->err != ERR_OK) {
			err = part->err;
			fill_error(req, part);
			continue;
		}
		part->out->base_offset = part->append.base_offset;
		part->out->log_append_time_ms = part->append.append_time_ms;
		part->out->log_start_offset = part->append.log_start;
	}
	(void)request_charge(req, QUOTA_PRODUCE, (double)req->frame_len);
	if (body->acks != 0) {
		request_answer(req);
		return;
	}
	/* the only way to tell such a producer that something is wrong */
	if (err != ERR_OK)
		conn_close(req->conn, ERR_OK, "a batch sent with acks=0 was refused");
	request_end_silently(req);
}

/* ---- append ---------------------------------------------------------------------------------- */

/* What is said about a batch is part of the answer: the chain belongs to the thread that checked.
 */
static void keep_message(struct produce_part *part)
{
	snprintf(part->message, sizeof(part->message), "%s", err_chain());
	err_clear();
}

/* There may be room with the log now. */
static void wake_waiting(struct broker *b)
{
	struct list_node *first;
	while ((first = list_first(&b->append_waiting))) {
		conn_produce(CONTAINER_OF(first, struct produce, waiting)->req->conn);
		if (list_first(&b->append_waiting) == first)
			break;
	}
}

static void on_appended(struct log_append *append)
{
	struct produce_part *part = CONTAINER_OF(append, struct produce_part, append);
	struct produce *p = part->owner;
	struct broker *b = p->req->broker;
	part->err = append->err;
	if (part->err != ERR_OK)
		keep_message(part);
	ASSERT(b->append_bytes >= append->batch_len);
	b->append_bytes -= append->batch_len;
	ASSERT(p->pending > 0);
	if (--p->pending == 0)
		finish(p);
	wake_waiting(b);
}

/* May this batch be written now (P3)? */
static enum err check_writer(const struct produce_part *part, struct str topic)
{
	const struct request *req = part->owner->req;
	if (!part->transactional)
		return ERR_OK;
	enum err e = transactions_may_write(
	    req->broker->transactions, &part->writer, topic, part->out->index);
	if (e == ERR_PRODUCER_FENCED)
		return ERR_INVALID_PRODUCER_EPOCH;
	return e == ERR_INVALID_TXN_STATE && req->version >= 11 ? ERR_TXN_ABORTABLE : e;
}

static void append_part(struct produce_part *part)
{
	struct request *req = part->owner->req;
	const struct log_topic *t = log_topic_by_id(req->log, part->topic_id);
	struct log_partition *partition =
	    t ? log_partition_find(req->log, t, part->out->index) : NULL;
	if (!partition) {
		part->err = ERR_UNKNOWN_TOPIC; /* deleted while its batch was checked */
		return;
	}
	err_clear();
	part->err = check_writer(part, t->name);
	if (part->err != ERR_OK) {
		keep_message(part);
		return;
	}
	part->append = (struct log_append){
	    .partition = partition,
	    /* the frame is ours and mutable; only decoding makes it const */
	    .batch = (uint8_t *)(uintptr_t)part->batch.ptr,
	    .batch_len = part->batch.len,
	    .principal = req->principal,
	    /* KIP-890: a transaction of these clients has an epoch of its own */
	    .from_zero = part->transactional && req->version >= 12,
	    .done = on_appended,
	};
	part->owner->pending++;
	req->broker->append_bytes += part->batch.len;
	struct log_append *one = &part->append;
	log_append(req->log, &one, 1, false);
}

/* Refused here and not by the log, and it will come again: what was sent behind it waits. */
static void note_refused(const struct produce_part *part)
{
	const struct request *req = part->owner->req;
	const struct log_topic *t = log_topic_by_id(req->log, part->topic_id);
	struct log_partition *partition =
	    t ? log_partition_find(req->log, t, part->out->index) : NULL;
	if (partition && err_retriable(part->err))
		log_append_refused(partition, part->batch, part->err);
}

static void submit(struct produce *p)
{
	p->pending = 1;
	for (uint32_t i = 0; i < p->count; i++) {
		struct produce_part *part = &p->part[i];
		if (part->err == ERR_OK)
			append_part(part);
		if (part->err != ERR_OK)
			note_refused(part);
	}
	if (--p->pending == 0)
		finish(p);
}

/* Gives the log what is ready, in order (P1), as far as it may take it (P2). */
static void conn_produce(struct conn *c)
{
	struct broker *b = c->broker;
	struct list_node *first;
	while ((first = list_first(&c->produces))) {
		struct produce *p = CONTAINER_OF(first, struct produce, node);
		if (p->checks > 0)
			return;
		bool full =
		    b->append_bytes > 0 && b->append_bytes + p->bytes > b->options.append_bytes_max;
		struct list_node *ahead = list_first(&b->append_waiting);
		if (p->bytes > 0 && (full || (ahead && ahead != &p->waiting))) {
			if (!list_linked(&p->waiting))
				list_push_back(&b->append_waiting, &p->waiting);
			return;
		}
		list_remove(&p->waiting);
		list_remove(&p->node);
		submit(p);
	}
}

/* ---- checks ---------------------------------------------------------------------------------- */

/* All keyless records, where batch_check stopped at the first. Any thread. */
static void find_keyless(struct produce_part *part)
{
	struct record_iter it;
	struct record r;
	struct writer scratch;
	writer_init(&scratch, part->rules.decompressed_max);
	enum err err = record_iter_open(&it, part->batch, &scratch, part->rules.decompressed_max);
	for (uint32_t i = 0; err == ERR_OK && i < KEYLESS_MAX; i++) {
		err = record_iter_next(&it, &r);
		if (err == ERR_OK && !r.key.ptr)
			write_u32_be(&part->keyless, i);
		if (part->keyless.err != ERR_OK)
			break;
	}
	writer_release(&scratch);
}

static void check(struct produce_part *part)
{
	/* the frame is ours and mutable: a wrong max timestamp is put right, as Kafka does */
	uint8_t *batch = (uint8_t *)(uintptr_t)part->batch.ptr;
	err_clear();
	part->err = batch_check_mend(batch, part->batch.len, &part->rules, &part->bad_record);
	if (part->err != ERR_OK)
		keep_message(part);
	if (part->err == ERR_INVALID_RECORD && part->rules.keys_required)
		find_keyless(part);
	err_clear();
}

static void check_run(struct pool_job *job)
{
	check(CONTAINER_OF(job, struct produce_part, check));
}

static void check_done(struct pool_job *job)
{
	struct produce *p = CONTAINER_OF(job, struct produce_part, check)->owner;
	ASSERT(p->checks > 0);
	if (--p->checks == 0)
		conn_produce(p->req->conn);
}

static void start_check(struct produce_part *part)
{
	if (batch_check_is_inline(part->batch)) {
		check(part);
		return;
	}
	part->check.run = check_run;
	part->check.done = check_done;
	part->owner->checks++;
	if (pool_submit(part->owner->req->loop, &part->check) == ERR_OK)
		return;
	part->owner->checks--;
	part->err = ERR_LIMIT;
	keep_message(part);
}

/* Timestamps of the clients' own may differ from now by so much. */
static void set_time_rules(struct produce_part *part, const struct log_topic_config *config)
{
	int64_t now_ms = loop_realtime_ns(part->owner->req->loop) / MS_NS;
	if (config->timestamp_type != LOG_TIME_CREATE || now_ms <= 0)
		return;
	bool any = config->timestamp_after_ms > INT64_MAX - now_ms;
	part->rules.latest_ms = any ? INT64_MAX : now_ms + config->timestamp_after_ms;
	part->rules.earliest_ms = now_ms - config->timestamp_before_ms;
}

/* Finds the partition and what its topic demands of batches. */
static enum err prepare(struct produce_part *part, const struct log_topic *t, enum err topic_err)
{
	const struct request *req = part->owner->req;
	const struct produce_request *body = req->body;
	if (body->acks < -1 || body->acks > 1)
		return ERR_INVALID_REQUIRED_ACKS;
	if (!t)
		return topic_err;
	if (t->internal)
		return err_note(ERR_INVALID_TOPIC, "clients cannot write to internal topics");
	if (!log_partition_find(req->log, t, part->out->index))
		return ERR_UNKNOWN_TOPIC;
	if (body->transactional_id.ptr)
		TRY(access_transactional_id(req, body->transactional_id));
	if (part->batch.len == 0)
		return err_note(ERR_INVALID_RECORD, "there is no batch");
	part->topic_id = t->id;
	part->rules = (struct batch_rules){
	    .max_bytes = t->config.max_message_bytes,
	    .decompressed_max = batch_plain_max(t->config.max_message_bytes),
	    .keys_required = (t->config.cleanup & LOG_CLEANUP_COMPACT) != 0,
	    .zstd_allowed = req->version >= 7,
	};
	set_time_rules(part, &t->config);
	return ERR_OK;
}

/* Who writes a transactional batch: the request names the transaction, the batch its producer. */
static enum err read_writer(struct produce_part *part)
{
	const struct produce_request *body = part->owner->req->body;
	struct batch_header h;
	/* as in Kafka: sent again it would be the same, a wrong CRC might not */
	if (batch_header_read(part->batch, &h) != ERR_OK)
		return err_note(ERR_INVALID_RECORD, "this is no record batch (magic 2)");
	part->looked_into = true;
	if (h.base_offset != 0)
		return err_note(ERR_INVALID_RECORD, "the base offset of a new batch is 0, not %lld",
		    (long long)h.base_offset);
	part->transactional = (h.attributes & BATCH_ATTR_TRANSACTIONAL) != 0;
	if (!part->transactional)
		return ERR_OK;
	if (!body->transactional_id.ptr)
		return err_note(ERR_INVALID_TXN_STATE,
		    "a transactional batch in a request without a transactional id");
	part->writer =
	    (struct transaction_writer){body->transactional_id, h.producer_id, h.producer_epoch};
	return ERR_OK;
}

/* ---- joining the transaction (version 12 and later) ------------------------------------------ */

static bool must_join(const struct produce_part *part, struct str topic)
{
	const struct transactions *ts = part->owner->req->broker->transactions;
	const struct transaction *t = transaction_find(ts, part->writer.id);
	return part->err == ERR_OK && part->transactional && t &&
	       (t->row.state != TRANSACTION_ONGOING ||
	           !transaction_has(t, topic, part->out->index));
}

static void on_joined(struct transaction_op *op)
{
	struct produce *p = CONTAINER_OF(op, struct produce, joining);
	for (uint32_t i = 0; op->err != ERR_OK && i < p->count; i++) {
		struct produce_part *part = &p->part[i];
		if (!part->transactional || part->err != ERR_OK)
			continue;
		part->err = op->err == ERR_PRODUCER_FENCED ? ERR_INVALID_PRODUCER_EPOCH
		                                           : groups_wire_error(op->err);
	}
	ASSERT(p->checks > 0);
	if (--p->checks == 0)
		conn_produce(p->req->conn);
}

static void join(struct produce *p)
{
	struct request *req = p->req;
	const struct produce_part *first = NULL;
	p->joined = request_alloc(req, (p->count + 1) * sizeof(*p->joined));
	for (uint32_t i = 0; p->joined && i < p->count; i++) {
		const struct produce_part *part = &p->part[i];
		const struct log_topic *t =
		    part->transactional ? log_topic_by_id(req->log, part->topic_id) : NULL;
		if (!t || !must_join(part, t->name))
			continue;
		struct str name = request_text(req, STR_FMT, STR_ARG(t->name));
		if (!name.ptr)
			continue; /* it will be refused as not in the transaction */
		first = first ? first : part;
		p->joined[p->joining.part_count++] =
		    (struct transaction_part){name, part->out->index};
	}
	if (!first)
		return;
	p->joining.want = TRANSACTION_ADD;
	p->joining.by = first->writer;
	p->joining.parts = p->joined;
	p->joining.version_2 = true;
	p->joining.done = on_joined;
	p->checks++;
	transaction_start(req->broker->transactions, &p->joining);
}

static void add_part(struct produce_part *part, const struct log_topic *t, enum err topic_err)
{
	err_clear();
	part->bad_record = -1;
	/* as long as the batch: compressed records are smaller than what is said of them */
	size_t most = part->batch.len / sizeof(uint32_t);
	most = most < KEYLESS_MAX ? most : KEYLESS_MAX;
	writer_init(&part->keyless, most * sizeof(uint32_t));
	part->err = prepare(part, t, topic_err);
	if (part->err == ERR_OK)
		part->err = read_writer(part);
	if (part->err != ERR_OK) {
		keep_message(part);
		return;
	}
	part->owner->bytes += part->batch.len;
	start_check(part);
}

/* ---- request --------------------------------------------------------------------------------- */

static void on_release(struct request *req)
{
	struct produce *p = req->user;
	for (uint32_t i = 0; i < p->count; i++)
		writer_release(&p->part[i].keyless);
}

static uint32_t count_parts(const struct produce_request *body)
{
	size_t count = 0;
	for (uint32_t i = 0; i < body->topic_data.count; i++)
		count += body->topic_data.at[i].partition_data.count;
	ASSERT(count <= UINT32_MAX); /* each took bytes of the request */
	return (uint32_t)count;
}

/* Lays out the response like the request. */
static bool lay_out(struct request *req)
{
	const struct produce_request *body = req->body;
	struct produce_response *r = req->response;
	uint32_t count = body->topic_data.count;
	r->responses.at = request_new(req, &produce_response_topic_shape, count);
	if (!r->responses.at)
		return false;
	r->responses.count = count;
	for (uint32_t i = 0; i < count; i++) {
		const struct produce_request_topic *in = &body->topic_data.at[i];
		struct produce_response_topic *out = &r->responses.at[i];
		out->name = in->name;
		out->topic_id = in->topic_id;
		out->partition_responses.count = in->partition_data.count;
		out->partition_responses.at =
		    request_new(req, &produce_response_partition_shape, in->partition_data.count);
		if (!out->partition_responses.at)
			return false;
	}
	return true;
}

static void add_topic(struct produce *p, const struct produce_request_topic *in,
    struct produce_response_topic *out, struct produce_part *part)
{
	enum err err = ERR_OK;
	const struct log_topic *t = topic_named(p->req, in->name, in->topic_id, &err);
	for (uint32_t i = 0; i < in->partition_data.count; i++) {
		part[i].owner = p;
		part[i].batch = in->partition_data.at[i].records;
		part[i].out = &out->partition_responses.at[i];
		part[i].out->index = in->partition_data.at[i].index;
		add_part(&part[i], t, err);
	}
}

void handle_produce(struct request *req)
{
	const struct produce_request *body = req->body;
	struct produce_response *r = req->response;
	struct produce *p = request_alloc(req, sizeof(*p));
	uint32_t count = count_parts(body), at = 0;
	struct produce_part *parts = request_alloc(req, count * sizeof(*parts));
	if (!p || !parts || !lay_out(req)) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	p->req = req;
	p->count = count;
	p->part = parts;
	req->user = p;
	req->release = on_release;
	list_node_init(&p->node);
	list_node_init(&p->waiting);
	list_push_back(&req->conn->produces, &p->node);
	for (uint32_t i = 0; i < body->topic_data.count; i++) {
		add_topic(p, &body->topic_data.at[i], &r->responses.at[i], parts + at);
		at += body->topic_data.at[i].partition_data.count;
	}
	if (body->transactional_id.ptr && req->version >= 12)
		join(p);
	conn_produce(req->conn);
}
