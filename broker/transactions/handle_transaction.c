/* SPDX-License-Identifier: Apache-2.0 */
/* InitProducerId with a transactional id, AddPartitionsToTxn, AddOffsetsToTxn, EndTxn. */
#include "broker/auth/access.h"
#include "handlers.h"

struct request_op *request_op_new(struct request *req, enum transaction_want want,
    struct transaction_writer by, void (*done)(struct transaction_op *op))
{
	struct request_op *r = request_alloc(req, sizeof(*r));
	if (!r) {
		request_fail(req, ERR_LIMIT);
		return NULL;
	}
	r->req = req;
	r->op.want = want;
	r->op.by = by;
	r->op.done = done;
	return r;
}

int16_t transaction_wire_error(enum err e, bool knows_fenced)
{
	if (e == ERR_PRODUCER_FENCED && !knows_fenced)
		e = ERR_INVALID_PRODUCER_EPOCH;
	return err_kafka(groups_wire_error(e));
}

/* ---- InitProducerId -------------------------------------------------------------------------- */

static void on_init(struct transaction_op *op)
{
	struct request *req = request_op_of(op)->req;
	struct init_producer_id_response *r = req->response;
	r->error_code = transaction_wire_error(op->err, req->version >= 4);
	r->producer_id = op->err == ERR_OK ? op->producer_id : -1;
	r->producer_epoch = op->err == ERR_OK ? op->epoch : -1;
	request_answer(req);
}

static enum err check_init(const struct request *req)
{
	const struct init_producer_id_request *body = req->body;
	int32_t max_ms = req->broker->transactions->options.timeout_max_ms;
	if (body->transactional_id.len == 0 ||
	    (body->producer_id < 0) != (body->producer_epoch < 0))
		return ERR_INVALID_REQUEST;
	if (body->transaction_timeout_ms <= 0 || body->transaction_timeout_ms > max_ms)
		return ERR_TXN_TIMEOUT;
	return access_transactional_id(req, body->transactional_id);
}

void handle_init_transaction(struct request *req)
{
	const struct init_producer_id_request *body = req->body;
	struct init_producer_id_response *r = req->response;
	struct transaction_writer by = {
	    body->transactional_id, body->producer_id, body->producer_epoch};
	enum err e = check_init(req);
	if (e != ERR_OK) {
		r->error_code = err_kafka(e);
		r->producer_epoch = -1;
		request_answer(req);
		return;
	}
	struct request_op *x = request_op_new(req, TRANSACTION_INIT, by, on_init);
	if (!x)
		return;
	x->op.timeout_ms = body->transaction_timeout_ms;
	transaction_start(req->broker->transactions, &x->op);
}

/* ---- AddPartitionsToTxn ---------------------------------------------------------------------- */

/* Lays out the answer with `error` for every partition. */
static bool fill_results(struct request *req, int16_t error)
{
	const struct add_partitions_to_txn_request *body = req->body;
	struct add_partitions_to_txn_response *r = req->response;
	uint32_t count = body->topics.count;
	r->results_by_topic.at =
	    request_new(req, &add_partitions_to_txn_response_topic_shape, count);
	if (!r->results_by_topic.at)
		return false;
	r->results_by_topic.count = count;
	for (uint32_t i = 0; i < count; i++) {
		const struct add_partitions_to_txn_request_topic *in = &body->topics.at[i];
		struct add_partitions_to_txn_response_topic *out = &r->results_by_topic.at[i];
		out->name = in->name;
		out->results_by_partition.count = in->partitions.count;
		out->results_by_partition.at = request_new(
		    req, &add_partitions_to_txn_response_partition_shape, in->partitions.count);
		if (!out->results_by_partition.at)
			return false;
		for (uint32_t p = 0; p < in->partitions.count; p++) {
			out->results_by_partition.at[p].partition_index = in->partitions.at[p];
			out->results_by_partition.at[p].partition_error_code = error;
		}
	}
	return true;
}

static void answer_all(struct request *req, int16_t error)
{
	if (fill_results(req, error))
		request_answer(req);
	else
		request_fail(req, ERR_LIMIT);
}

static void on_added(struct transaction_op *op)
{
	struct request *req = request_op_of(op)->req;
	answer_all(req, transaction_wire_error(op->err, req->version >= 2));
}

static enum err check_part(const struct request *req, struct str name, int32_t partition)
{
	const struct log_topic *t = log_topic_find(req->log, name);
	TRY(access_topic(req, name));
	if (!t || partition < 0 || partition >= t->partition_count)
		return ERR_UNKNOWN_TOPIC;
	return t->internal ? ERR_TOPIC_DENIED : ERR_OK;
}

/* Partitions that cannot be added, by name; the others were not attempted then. */
static bool some_refused(struct request *req)
{
	struct add_partitions_to_txn_response *r = req->response;
	bool refused = false;
	for (uint32_t i = 0; i < r->results_by_topic.count; i++) {
		struct add_partitions_to_txn_response_topic *t = &r->results_by_topic.at[i];
		for (uint32_t p = 0; p < t->results_by_partition.count; p++) {
			enum err e =
			    check_part(req, t->name, t->results_by_partition.at[p].partition_index);
			refused |= e != ERR_OK;
			if (e != ERR_OK)
				t->results_by_partition.at[p].partition_error_code = err_kafka(e);
		}
	}
	return refused;
}

void handle_add_partitions_to_txn(struct request *req)
{
	const struct add_partitions_to_txn_request *body = req->body;
	struct transaction_writer by = {
	    body->transactional_id, body->producer_id, body->producer_epoch};
	size_t count = 0, n = 0;
	if (body->transactional_id.len == 0) {
		answer_all(req, err_kafka(ERR_INVALID_REQUEST));
		return;
	}
	enum err denied = access_transactional_id(req, body->transactional_id);
	if (denied != ERR_OK) {
		answer_all(req, err_kafka(denied));
		return;
	}
	if (!fill_results(req, err_kafka(ERR_NOT_ATTEMPTED))) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	if (some_refused(req)) {
		request_answer(req);
		return;
	}
	for (uint32_t i = 0; i < body->topics.count; i++)
		count += body->topics.at[i].partitions.count;
	struct transaction_part *parts = request_alloc(req, (count + 1) * sizeof(*parts));
	struct request_op *x = parts ? request_op_new(req, TRANSACTION_ADD, by, on_added) : NULL;
	if (!x) {
		if (!parts)
			request_fail(req, ERR_LIMIT);
		return;
	}
	for (uint32_t i = 0; i < body->topics.count; i++)
		for (uint32_t p = 0; p < body->topics.at[i].partitions.count; p++)
			parts[n++] = (struct transaction_part){
			    body->topics.at[i].name, body->topics.at[i].partitions.at[p]};
	x->op.parts = parts;
	x->op.part_count = count;
	transaction_start(req->broker->transactions, &x->op);
}

/* ---- AddOffsetsToTxn ------------------------------------------------------------------------- */

static void on_offsets_added(struct transaction_op *op)
{
	struct request *req = request_op_of(op)->req;
	struct add_offsets_to_txn_response *r = req->response;
	r->error_code = transaction_wire_error(op->err, req->version >= 2);
	request_answer(req);
}

void handle_add_offsets_to_txn(struct request *req)
{
	const struct add_offsets_to_txn_request *body = req->body;
	struct add_offsets_to_txn_response *r = req->response;
	struct transaction_writer by = {
	    body->transactional_id, body->producer_id, body->producer_epoch};
	if (body->transactional_id.len == 0 || body->group_id.len > GROUP_ID_MAX) {
		r->error_code = err_kafka(
		    body->transactional_id.len == 0 ? ERR_INVALID_REQUEST : ERR_INVALID_GROUP);
		request_answer(req);
		return;
	}
	enum err denied = access_group(req, body->group_id);
	if (denied != ERR_OK) {
		r->error_code = err_kafka(denied);
		request_answer(req);
		return;
	}
	struct request_op *x = request_op_new(req, TRANSACTION_ADD, by, on_offsets_added);
	if (!x)
		return;
	x->op.group = body->group_id;
	transaction_start(req->broker->transactions, &x->op);
}

/* ---- EndTxn ---------------------------------------------------------------------------------- */

static void on_ended(struct transaction_op *op)
{
	struct request *req = request_op_of(op)->req;
	struct end_txn_response *r = req->response;
	r->error_code = transaction_wire_error(op->err, req->version >= 2);
	if (op->err == ERR_OK) {
		r->producer_id = op->producer_id;
		r->producer_epoch = op->epoch;
	}
	request_answer(req);
}

void handle_end_txn(struct request *req)
{
	const struct end_txn_request *body = req->body;
	struct end_txn_response *r = req->response;
	struct transaction_writer by = {
	    body->transactional_id, body->producer_id, body->producer_epoch};
	if (body->transactional_id.len == 0) {
		r->error_code = err_kafka(ERR_INVALID_REQUEST);
		request_answer(req);
		return;
	}
	struct request_op *x = request_op_new(req, TRANSACTION_END, by, on_ended);
	if (!x)
		return;
	x->op.commit = body->committed;
	x->op.version_2 = req->version >= 5;
	transaction_start(req->broker->transactions, &x->op);
}
