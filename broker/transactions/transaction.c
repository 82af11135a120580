/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of one transaction: who may do what in which state, and what it becomes. */
#include "transactions.h"
#include <stdlib.h>

const char *transaction_state_name(enum transaction_state state)
{
	static const char *const names[] = {
	    "Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort"};
	ASSERT(state <= TRANSACTION_COMPLETE_ABORT);
	return names[state];
}

static int by_topic_and_partition(const void *a, const void *b)
{
	const struct transaction_part *x = a, *y = b;
	int order = bytes_compare(str_bytes(x->topic), str_bytes(y->topic));
	return order ? order : (x->partition > y->partition) - (x->partition < y->partition);
}

bool transaction_has(const struct transaction *t, struct str topic, int32_t partition)
{
	struct transaction_part key = {topic, partition};
	return t->row.part_count > 0 && bsearch(&key, t->row.parts, t->row.part_count, sizeof(key),
	                                    by_topic_and_partition) != NULL;
}

enum err transaction_check(const struct transaction *t, int64_t producer_id, int16_t epoch)
{
	if (!t || !t->stored || t->row.producer_id != producer_id)
		return err_note(ERR_PRODUCER_ID_MAPPING, "producer %lld", (long long)producer_id);
	if (t->row.epoch != epoch)
		return err_note(ERR_PRODUCER_FENCED, "producer %lld has epoch %d, not %d",
		    (long long)producer_id, t->row.epoch, epoch);
	return ERR_OK;
}

enum err transactions_may_write(const struct transactions *ts, const struct transaction_writer *w,
    struct str topic, int32_t partition)
{
	const struct transaction *t = transaction_find(ts, w->id);
	TRY(transaction_check(t, w->producer_id, w->epoch));
	if (t->row.state != TRANSACTION_ONGOING || t->ending ||
	    !transaction_has(t, topic, partition))
		return err_note(ERR_INVALID_TXN_STATE,
		    STR_FMT "-%d is not in an ongoing transaction of the producer", STR_ARG(topic),
		    partition);
	return ERR_OK;
}

/* ---- InitProducerId -------------------------------------------------------------------------- */

static void init_with_id(struct transaction_op *op, int64_t producer_id, int16_t epoch)
{
	const struct transaction_row *row = &op->t->row;
	int64_t now_ms = transactions_wall_ms(op->t->all);
	bool rotated = op->t->stored && producer_id != row->producer_id;
	op->next = (struct transaction_row){
	    .producer_id = producer_id,
	    .previous_id = rotated ? row->producer_id : -1,
	    .epoch = epoch,
	    .timeout_ms = op->timeout_ms,
	    .state = TRANSACTION_EMPTY,
	    .update_ms = now_ms,
	    .start_ms = -1,
	};
	op->next_last_epoch = op->by.producer_id >= 0 ? op->by.epoch : -1;
	transaction_write(op, false);
}

static void on_new_id(struct log_producer_id_req *req)
{
	struct transaction_op *op = CONTAINER_OF(req, struct transaction_op, new_id);
	if (req->err != ERR_OK)
		transaction_op_end(op, req->err);
	else
		init_with_id(op, req->producer_id, 0);
}

static void init_bump(struct transaction_op *op)
{
	const struct transaction *t = op->t;
	if (!t->stored || t->row.epoch >= TRANSACTION_EPOCH_MAX) {
		op->new_id.done = on_new_id;
		log_producer_id(t->all->log, &op->new_id);
		return;
	}
	init_with_id(op, t->row.producer_id, (int16_t)(t->row.epoch + 1));
}

/* What a producer says of itself must be true, or have been before a bump it did not hear of: who
 * goes on under the new epoch did hear. */
static enum err init_check(const struct transaction_op *op, bool *ret_again)
{
	const struct transaction *t = op->t;
	const struct transaction_writer *by = &op->by;
	*ret_again = false;
	if (by->producer_id < 0 || !t->stored)
		return ERR_OK;
	bool current = by->producer_id == t->row.producer_id;
	bool rotated = by->producer_id == t->row.previous_id && by->epoch >= TRANSACTION_EPOCH_MAX;
	*ret_again = (current || rotated) && t->last_epoch >= 0 && by->epoch == t->last_epoch &&
	             t->row.state != TRANSACTION_ONGOING;
	if (*ret_again || (current && by->epoch == t->row.epoch))
		return ERR_OK;
	return err_note(ERR_PRODUCER_FENCED, "producer %lld epoch %d: it is %lld epoch %d now",
	    (long long)by->producer_id, by->epoch, (long long)t->row.producer_id, t->row.epoch);
}

static void fence(struct transaction_op *op);

static void init_run(struct transaction_op *op)
{
	bool again;
	enum err e = init_check(op, &again);
	if (e != ERR_OK || again) {
		transaction_op_end(op, e);
	} else if (op->t->row.state == TRANSACTION_ONGOING) {
		op->then_init = true;
		fence(op);
	} else {
		init_bump(op);
	}
}

/* ---- adding partitions and offsets ----------------------------------------------------------- */

/* The transaction's parts and the op's, in order, each once. NOMEM. */
static enum err merge_parts(struct transaction_op *op, bool fresh)
{
	const struct transaction_row *row = &op->t->row;
	size_t old = fresh ? 0 : row->part_count, n = 0;
	size_t count = old + op->part_count + (op->group.ptr != NULL);
	struct transaction_part *parts = mem_alloc((count + 1) * sizeof(*parts));
	if (!parts)
		return ERR_NOMEM;
	if (old > 0)
		memcpy(parts, row->parts, old * sizeof(*parts));
	if (op->part_count > 0)
		memcpy(parts + old, op->parts, op->part_count * sizeof(*parts));
	if (op->group.ptr)
		parts[count - 1] = (struct transaction_part){
		    STR("__consumer_offsets"), groups_partition(op->group)};
	qsort(parts, count, sizeof(*parts), by_topic_and_partition);
	for (size_t i = 0; i < count; i++)
		if (n == 0 || by_topic_and_partition(&parts[n - 1], &parts[i]) != 0)
			parts[n++] = parts[i];
	op->next_parts = parts;
	op->next.parts = parts;
	op->next.part_count = n;
	return ERR_OK;
}

static enum err add_prepare(struct transaction_op *op, bool *ret_nothing)
{
	const struct transaction *t = op->t;
	bool fresh = t->row.state != TRANSACTION_ONGOING;
	int64_t now_ms = transactions_wall_ms(t->all);
	TRY(transaction_check(t, op->by.producer_id, op->by.epoch));
	if (op->offsets && !op->version_2 &&
	    (fresh || !transaction_has(t, STR("__consumer_offsets"), groups_partition(op->group))))
		return err_note(
		    ERR_INVALID_TXN_STATE, "the group was not added to the transaction");
	op->next = t->row;
	TRY(merge_parts(op, fresh));
	if (op->next.part_count > t->all->parts_max)
		return err_note(ERR_POLICY_VIOLATION, "a transaction over more than %zu partitions",
		    t->all->parts_max);
	*ret_nothing = !fresh && op->next.part_count == t->row.part_count && !op->offsets;
	op->next.state = TRANSACTION_ONGOING;
	op->next.update_ms = now_ms;
	op->next.start_ms = fresh ? now_ms : t->row.start_ms;
	op->next.client_version = op->version_2 ? 2 : fresh ? 1 : t->row.client_version;
	op->next_last_epoch = t->last_epoch;
	return ERR_OK;
}

static void add_run(struct transaction_op *op)
{
	bool nothing = false;
	enum err e = add_prepare(op, &nothing);
	if (e != ERR_OK || nothing)
		transaction_op_end(op, e);
	else
		transaction_write(op, false);
}

/* ---- ending ---------------------------------------------------------------------------------- */

static void end_with_id(struct transaction_op *op, int64_t producer_id, int16_t epoch)
{
	const struct transaction_row *row = &op->t->row;
	op->next = *row;
	op->next.previous_id = producer_id != row->producer_id ? row->producer_id : -1;
	op->next.producer_id = producer_id;
	op->next.epoch = epoch;
	op->next.state = op->commit ? TRANSACTION_COMPLETE_COMMIT : TRANSACTION_COMPLETE_ABORT;
	op->next.update_ms = transactions_wall_ms(op->t->all);
	op->next.client_version = op->version_2 ? 2 : row->client_version;
	op->next.parts = NULL;
	op->next.part_count = 0;
	bool bumped = producer_id != row->producer_id || epoch != row->epoch;
	op->next_last_epoch = bumped ? row->epoch : -1; /* its producer may not hear of it */
	op->t->ending = true;
	transaction_write(op, true);
}

static void fence(struct transaction_op *op)
{
	int16_t epoch = op->t->row.epoch;
	op->commit = false;
	op->marker_epoch = epoch < INT16_MAX ? (int16_t)(epoch + 1) : epoch;
	end_with_id(op, op->t->row.producer_id, op->marker_epoch);
}

static void on_end_id(struct log_producer_id_req *req)
{
	struct transaction_op *op = CONTAINER_OF(req, struct transaction_op, new_id);
	if (req->err != ERR_OK)
		transaction_op_end(op, req->err);
	else
		end_with_id(op, req->producer_id, 0);
}

static void end_now(struct transaction_op *op)
{
	const struct transaction_row *row = &op->t->row;
	op->marker_epoch = op->version_2 ? (int16_t)(row->epoch + 1) : row->epoch;
	if (!op->version_2) {
		end_with_id(op, row->producer_id, row->epoch);
		return;
	}
	if (row->epoch < TRANSACTION_EPOCH_MAX) {
		end_with_id(op, row->producer_id, op->marker_epoch);
		return;
	}
	op->t->ending = true;
	op->new_id.done = on_end_id;
	log_producer_id(op->t->all->log, &op->new_id);
}

/* The answer to an earlier EndTxn did not arrive: is this the same again? */
static bool is_retry(const struct transaction_op *op)
{
	const struct transaction_row *row = &op->t->row;
	if (row->client_version != 2)
		return false;
	if (op->by.producer_id == row->producer_id)
		return op->by.epoch == row->epoch - 1;
	return op->by.producer_id == row->previous_id && row->epoch == 0 &&
	       op->by.epoch == TRANSACTION_EPOCH_MAX;
}

/* ERR_OK with *ret_go false: it has ended that way already. */
static enum err end_decide(const struct transaction_op *op, bool *ret_go)
{
	const struct transaction *t = op->t;
	enum transaction_state state = t->row.state;
	bool complete = state == TRANSACTION_COMPLETE_COMMIT || state == TRANSACTION_COMPLETE_ABORT;
	bool same =
	    state == (op->commit ? TRANSACTION_COMPLETE_COMMIT : TRANSACTION_COMPLETE_ABORT);
	bool retry = t->stored && op->version_2 && complete && is_retry(op);
	*ret_go = false;
	if (!retry)
		TRY(transaction_check(t, op->by.producer_id, op->by.epoch));
	*ret_go = state == TRANSACTION_ONGOING ||
	          (op->version_2 && !retry && !op->commit); /* an empty abort */
	bool done = complete && same && (retry || !op->version_2);
	if (*ret_go || done)
		return ERR_OK;
	return err_note(ERR_INVALID_TXN_STATE, "cannot %s: the transaction is %s",
	    op->commit ? "commit" : "abort", transaction_state_name(state));
}

static void end_run(struct transaction_op *op)
{
	bool go;
	enum err e = end_decide(op, &go);
	if (go)
		end_now(op);
	else
		transaction_op_end(op, e);
}

/* For a time-out: the transaction may have ended while this waited. */
static void fence_run(struct transaction_op *op)
{
	const struct transaction_row *row = &op->t->row;
	bool mine = row->producer_id == op->by.producer_id && row->epoch == op->by.epoch;
	if (mine && row->state == TRANSACTION_ONGOING &&
	    (op->timeout_ms < 0 || transaction_is_due(op->t)))
		fence(op);
	else
		transaction_op_end(op, ERR_OK);
}

/* ---- turns (N2) ------------------------------------------------------------------------------ */

static void op_run(struct transaction_op *op)
{
	err_clear();
	switch (op->want) {
	case TRANSACTION_INIT:
		init_run(op);
		break;
	case TRANSACTION_ADD:
		add_run(op);
		break;
	case TRANSACTION_END:
		end_run(op);
		break;
	case TRANSACTION_FENCE:
		fence_run(op);
		break;
	}
}

static void turn(struct mail *mail)
{
	struct transactions *ts = CONTAINER_OF(mail, struct transactions, turn);
	struct list now;
	struct list_node *n;
	ts->turn_posted = false;
	list_init(&now);
	while ((n = list_pop_front(&ts->ready)))
		list_push_back(&now, n);
	while ((n = list_pop_front(&now))) {
		struct transaction_op *op = CONTAINER_OF(n, struct transaction_op, node);
		if (op->t && op->err == ERR_OK)
			op_run(op);
		else
			transaction_op_end(op, op->err);
	}
}

static void make_ready(struct transactions *ts, struct transaction_op *op)
{
	list_push_back(&ts->ready, &op->node);
	if (ts->turn_posted)
		return;
	ts->turn_posted = true;
	ts->turn.run = turn;
	loop_defer(ts->loop, &ts->turn);
}

void transaction_enqueue(struct transactions *ts, struct transaction *t, struct transaction_op *op)
{
	list_node_init(&op->node);
	op->t = t;
	op->producer_id = op->epoch = -1;
	op->next_parts = NULL;
	op->then_init = false;
	ts->changes++;
	if (t && t->busy) {
		list_push_back(&t->waiting, &op->node);
		return;
	}
	if (t)
		t->busy = true;
	make_ready(ts, op);
}

void transaction_op_end(struct transaction_op *op, enum err err)
{
	struct transaction *t = op->t;
	mem_free(op->next_parts);
	op->next_parts = NULL;
	if (t)
		t->ending = false;
	if (err == ERR_OK && op->then_init) {
		op->then_init = false;
		init_bump(op);
		return;
	}
	op->err = err;
	if (t && err == ERR_OK) {
		op->producer_id = t->row.producer_id;
		op->epoch = t->row.epoch;
	}
	struct list_node *next = t ? list_pop_front(&t->waiting) : NULL;
	if (next)
		make_ready(t->all, CONTAINER_OF(next, struct transaction_op, node));
	else if (t)
		t->busy = false;
	struct transactions *ts = op->all;
	op->done(op);
	ts->changes--;
	if (t)
		transaction_settle(t);
}
