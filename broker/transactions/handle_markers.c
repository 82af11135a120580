/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WriteTxnMarkers, which here is an administrator's: abort what a producer has open. Where the
 * coordinator knows the transaction the whole of it is aborted, under a new epoch, if the marker
 * has its epoch and names a partition of it: one of a transaction that is over must not end the
 * next. An open one that no coordinator knows (its data came from elsewhere) is ended in the
 * partitions that are named.
 */
#include "broker/auth/access.h"
#include "handlers.h"
#include "log/batch.h"

struct mark_part {
	struct mark *owner;
	struct write_txn_markers_response_partition *out;
	struct str topic;
	struct log_partition *partition;
	struct log_append append;
	uint8_t batch[BATCH_MARKER_BYTES];
};
struct mark {
	struct transaction_op op;
	struct marks *all;
	const struct write_txn_markers_request_marker *in;
	struct write_txn_markers_response_marker *out;
	struct mark_part *part;
	uint32_t count;
};
struct marks {
	struct request *req;
	uint32_t pending;
};

static void mark_done(struct marks *all)
{
	ASSERT(all->pending > 0);
	if (--all->pending == 0)
		request_answer(all->req);
}

static struct transaction *open_one(const struct transactions *ts, int64_t producer_id)
{
	LIST_EACH (&ts->ongoing, n, next) {
		struct transaction *t = CONTAINER_OF(n, struct transaction, ongoing);
		if (t->row.producer_id == producer_id)
			return t;
	}
	return NULL;
}

/* Of those that may be marked. */
static void refuse(struct mark *m, enum err e)
{
	for (uint32_t i = 0; i < m->count; i++)
		if (m->part[i].out->error_code == 0)
			m->part[i].out->error_code = err_kafka(e);
}

static void on_fenced(struct transaction_op *op)
{
	struct mark *m = CONTAINER_OF(op, struct mark, op);
	refuse(m, groups_wire_error(op->err));
	mark_done(m->all);
}

static void on_appended(struct log_append *append)
{
	struct mark_part *part = CONTAINER_OF(append, struct mark_part, append);
	part->out->error_code = err_kafka(append->err);
	mark_done(part->owner->all);
}

static void append_marker(struct mark_part *part)
{
	const struct mark *m = part->owner;
	struct request *req = m->all->req;
	struct batch_marker marker = {.producer_id = m->in->producer_id,
	    .producer_epoch = m->in->producer_epoch,
	    .commit = m->in->transaction_result,
	    .coordinator_epoch = m->in->coordinator_epoch};
	struct writer out;
	writer_init(&out, sizeof(part->batch));
	enum err e =
	    batch_marker_build(&marker, transactions_wall_ms(req->broker->transactions), &out);
	if (e == ERR_OK)
		memcpy(part->batch, out.ptr, out.len);
	part->append = (struct log_append){.partition = part->partition,
	    .batch = part->batch,
	    .batch_len = out.len,
	    .internal = true,
	    .done = on_appended};
	writer_release(&out);
	if (e != ERR_OK) {
		part->out->error_code = err_kafka(e);
		return;
	}
	struct log_append *one = &part->append;
	m->all->pending++;
	log_append(req->log, &one, 1, false);
}

static enum err check(const struct mark *m, struct mark_part *part, struct str name)
{
	const struct request *req = m->all->req;
	const struct log_topic *t = log_topic_find(req->log, name);
	TRY(access_cluster(req));
	part->partition = t ? log_partition_find(req->log, t, part->out->partition_index) : NULL;
	if (!part->partition)
		return ERR_UNKNOWN_TOPIC;
	if (t->internal)
		return ERR_INVALID_TOPIC;
	return m->in->producer_id < 0 || m->in->producer_epoch < 0 ? ERR_INVALID_PRODUCER_EPOCH
	                                                           : ERR_OK;
}

static bool names_any_of(const struct mark *m, const struct transaction *t)
{
	for (uint32_t i = 0; i < m->count; i++) {
		const struct write_txn_markers_response_partition *out = m->part[i].out;
		if (out->error_code == 0 &&
		    transaction_has(t, m->part[i].topic, out->partition_index))
			return true;
	}
	return false;
}

static void mark_start(struct mark *m)
{
	struct transactions *ts = m->all->req->broker->transactions;
	struct transaction *t = open_one(ts, m->in->producer_id);
	if (t && m->in->producer_epoch != t->row.epoch) {
		refuse(m, ERR_INVALID_PRODUCER_EPOCH);
		return;
	}
	if (t && m->in->transaction_result) {
		refuse(m, ERR_INVALID_TXN_STATE);
		return;
	}
	if (t && names_any_of(m, t)) {
		m->op.want = TRANSACTION_FENCE;
		m->op.timeout_ms = -1;
		m->op.by =
		    (struct transaction_writer){t->id, t->row.producer_id, m->in->producer_epoch};
		m->op.done = on_fenced;
		m->all->pending++;
		transaction_start(ts, &m->op);
		return;
	}
	for (uint32_t i = 0; i < m->count; i++)
		if (m->part[i].out->error_code == 0)
			append_marker(&m->part[i]);
}

static bool fill_marker(struct mark *m)
{
	struct request *req = m->all->req;
	uint32_t topics = m->in->topics.count, n = 0;
	m->out->producer_id = m->in->producer_id;
	m->out->topics.at = request_new(req, &write_txn_markers_response_topic_shape, topics);
	for (uint32_t i = 0; i < topics; i++)
		m->count += m->in->topics.at[i].partition_indexes.count;
	m->part = request_alloc(req, (m->count + 1) * sizeof(*m->part));
	if (!m->out->topics.at || !m->part)
		return false;
	m->out->topics.count = topics;
	for (uint32_t i = 0; i < topics; i++) {
		const struct write_txn_markers_request_topic *in = &m->in->topics.at[i];
		struct write_txn_markers_response_topic *out = &m->out->topics.at[i];
		out->name = in->name;
		out->partitions.at = request_new(
		    req, &write_txn_markers_response_partition_shape, in->partition_indexes.count);
		if (!out->partitions.at)
			return false;
		out->partitions.count = in->partition_indexes.count;
		for (uint32_t p = 0; p < out->partitions.count; p++) {
			struct mark_part *part = &m->part[n++];
			part->owner = m;
			part->topic = in->name;
			part->out = &out->partitions.at[p];
			part->out->partition_index = in->partition_indexes.at[p];
			part->out->error_code = err_kafka(check(m, part, in->name));
		}
	}
	return true;
}

void handle_write_txn_markers(struct request *req)
{
	const struct write_txn_markers_request *body = req->body;
	struct write_txn_markers_response *r = req->response;
	uint32_t count = body->markers.count;
	struct marks *all = request_alloc(req, sizeof(*all));
	struct mark *mark = request_alloc(req, (count + 1) * sizeof(*mark));
	r->markers.at = request_new(req, &write_txn_markers_response_marker_shape, count);
	bool ok = all && mark && r->markers.at;
	for (uint32_t i = 0; ok && i < count; i++) {
		mark[i].all = all;
		mark[i].in = &body->markers.at[i];
		mark[i].out = &r->markers.at[i];
		all->req = req;
		ok = fill_marker(&mark[i]);
	}
	if (!ok) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	r->markers.count = count;
	all->req = req;
	all->pending = 1;
	for (uint32_t i = 0; i < count && access_cluster(req) == ERR_OK; i++)
		mark_start(&mark[i]);
	mark_done(all);
}
