/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TxnOffsetCommit: what a group will have committed when the transaction commits. Version 5 adds
 * the group to the transaction by itself (KIP-890); before it AddOffsetsToTxn must have.
 */
#include "broker/auth/access.h"
#include "handlers.h"

static bool lay_out(struct request *req)
{
	const struct txn_offset_commit_request *body = req->body;
	struct txn_offset_commit_response *r = req->response;
	uint32_t count = body->topics.count;
	r->topics.at = request_new(req, &txn_offset_commit_response_topic_shape, count);
	if (!r->topics.at)
		return false;
	r->topics.count = count;
	for (uint32_t i = 0; i < count; i++) {
		const struct txn_offset_commit_request_topic *in = &body->topics.at[i];
		struct txn_offset_commit_response_topic *out = &r->topics.at[i];
		out->name = in->name;
		out->partitions.count = in->partitions.count;
		out->partitions.at = request_new(
		    req, &txn_offset_commit_response_partition_shape, in->partitions.count);
		if (!out->partitions.at)
			return false;
		for (uint32_t p = 0; p < in->partitions.count; p++)
			out->partitions.at[p].partition_index =
			    in->partitions.at[p].partition_index;
	}
	return true;
}

/* The error of every partition that has none of its own. */
static void answer(struct request *req, int16_t error)
{
	struct txn_offset_commit_response *r = req->response;
	for (uint32_t i = 0; i < r->topics.count; i++)
		for (uint32_t p = 0; p < r->topics.at[i].partitions.count; p++)
			if (r->topics.at[i].partitions.at[p].error_code == 0)
				r->topics.at[i].partitions.at[p].error_code = error;
	request_answer(req);
}

static void on_done(struct transaction_op *op)
{
	struct request *req = request_op_of(op)->req;
	const struct txn_offset_commit_request *body = req->body;
	struct group_entry *e = entry_find(req->broker->groups, body->group_id);
	ASSERT(e);
	e->puts--;
	entry_settle(e);
	answer(req, transaction_wire_error(op->err, false));
}

static enum err check_partition(
    const struct request *req, struct str name, const struct txn_offset_commit_request_partition *p)
{
	const struct log_topic *t = log_topic_find(req->log, name);
	TRY(access_topic(req, name));
	if (!t || p->partition_index < 0 || p->partition_index >= t->partition_count)
		return ERR_UNKNOWN_TOPIC;
	return p->committed_metadata.len > OFFSET_METADATA_MAX ? ERR_OFFSET_METADATA_TOO_LARGE
	                                                       : ERR_OK;
}

/* As Kafka: producers know no other error for it. */
static enum err producers_word(enum err err)
{
	return err == ERR_STALE_MEMBER_EPOCH
	           ? err_note(ERR_ILLEGAL_GENERATION, "the member is at another epoch")
	           : err;
}

/* Those that can be committed, in *ret_all; a partition that is not the member's (NULL: nobody's,
 * all are good) refuses the others, too. ILLEGAL_GENERATION, NOMEM. */
static enum err collect(struct request *req, const struct consumer_member *m,
    struct pending_offsets_value_offset **ret_all, size_t *ret_count)
{
	const struct txn_offset_commit_request *body = req->body;
	struct txn_offset_commit_response *r = req->response;
	int64_t now_ms = transactions_wall_ms(req->broker->transactions);
	size_t count = 0, n = 0;
	for (uint32_t i = 0; i < body->topics.count; i++)
		count += body->topics.at[i].partitions.count;
	struct pending_offsets_value_offset *all = request_alloc(req, (count + 1) * sizeof(*all));
	if (!all)
		return ERR_NOMEM;
	for (uint32_t i = 0; i < body->topics.count; i++) {
		const struct txn_offset_commit_request_topic *t = &body->topics.at[i];
		for (uint32_t k = 0; k < t->partitions.count; k++) {
			const struct txn_offset_commit_request_partition *p = &t->partitions.at[k];
			enum err e = check_partition(req, t->name, p);
			r->topics.at[i].partitions.at[k].error_code = err_kafka(e);
			if (e != ERR_OK)
				continue;
			struct log_uuid id = log_topic_find(req->log, t->name)->id;
			if (m)
				TRY(producers_word(consumer_may_commit(
				    m, body->generation_id, id, p->partition_index)));
			all[n++] = (struct pending_offsets_value_offset){.topic = t->name,
			    .partition = p->partition_index,
			    .offset = p->committed_offset,
			    .leader_epoch = p->committed_leader_epoch,
			    .metadata = p->committed_metadata.ptr ? p->committed_metadata : STR(""),
			    .commit_timestamp = now_ms,
			    .topic_id = id};
		}
	}
	*ret_count = n;
	*ret_all = all;
	return ERR_OK;
}

/* A producer that says which member it is must be one; *ret_member is one of a consumer group. */
static enum err check_member(const struct request *req, const struct consumer_member **ret_member)
{
	const struct txn_offset_commit_request *body = req->body;
	struct groups *g = req->broker->groups;
	if (body->transactional_id.len == 0)
		return ERR_INVALID_REQUEST;
	if (body->group_id.len == 0 || body->group_id.len > GROUP_ID_MAX ||
	    !str_is_utf8(body->group_id))
		return ERR_INVALID_GROUP;
	TRY(access_transactional_id(req, body->transactional_id));
	TRY(access_group(req, body->group_id));
	bool member = body->generation_id >= 0 || body->member_id.len > 0 ||
	              body->group_instance_id.ptr != NULL;
	if (!member)
		return ERR_OK;
	struct group_entry *e = entry_find(g, body->group_id);
	if (!e) /* a client that manages its partitions itself may say a name */
		return body->generation_id < 0 ? ERR_OK : ERR_ILLEGAL_GENERATION;
	struct commit_claim claim = {
	    .member_id = body->member_id,
	    .instance_id = body->group_instance_id,
	    .epoch = body->generation_id,
	    .in_transaction = true,
	};
	return producers_word(entry_may_commit(e, &claim, ret_member));
}

void handle_txn_offset_commit(struct request *req)
{
	const struct txn_offset_commit_request *body = req->body;
	struct transaction_writer by = {
	    body->transactional_id, body->producer_id, body->producer_epoch};
	size_t count = 0;
	if (!lay_out(req)) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	const struct consumer_member *member = NULL;
	struct pending_offsets_value_offset *all = NULL;
	enum err e = check_member(req, &member);
	if (e == ERR_OK)
		e = collect(req, member, &all, &count);
	if (e == ERR_NOMEM) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	if (e != ERR_OK || count == 0) {
		answer(req, transaction_wire_error(e, false));
		return;
	}
	/* the group stays until it is known whether something of it is pending */
	struct group_entry *entry = NULL;
	e = entry_make(req->broker->groups, body->group_id, &entry);
	if (e != ERR_OK) {
		answer(req, transaction_wire_error(e, false));
		return;
	}
	struct request_op *x = request_op_new(req, TRANSACTION_ADD, by, on_done);
	if (!x) {
		entry_settle(entry);
		return;
	}
	entry->puts++;
	x->op.group = body->group_id;
	x->op.offsets = all;
	x->op.offset_count = count;
	x->op.version_2 = req->version >= 5;
	transaction_start(req->broker->transactions, &x->op);
}
