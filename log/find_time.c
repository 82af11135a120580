/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first record at or after a time: the index names the batch (its running maximum passes the
 * time there first), the batch is read, and its records are walked on the pool, where it may be
 * decompressed. It may have no such record: the one that made the maximum may be below the log
 * start, or gone by compaction. Then what follows is read, as far as the maxima of the segments
 * leave room for one.
 */
#include "log/batch.h"
#include "log/engine.h"
#include "log/lookup.h"
#include "log/partition_drop.h"

struct find_op {
	struct pool_job job;
	struct log *log;
	struct log_find_time *req;
	struct segment *segment; /* held while looking up */
	struct lookup lookup;
	struct index_wait check;
	struct mail answer;
	size_t decompressed_max;
	int64_t next;   /* no record before it is the one */
	int64_t looked; /* base of the segment whose index was asked last, -1 = none */
};

enum { FIND_READ_BYTES = 1024 * 1024 /* at once, of what follows */ };

static void find_segment(struct find_op *op);

static void find_answered(struct mail *mail)
{
	struct find_op *op = CONTAINER_OF(mail, struct find_op, answer);
	struct log_find_time *req = op->req;
	struct log_partition *p = req->partition;
	struct log *log = op->log;
	log_read_release(&req->read);
	mem_free(op);
	log->reads_active--;
	req->done(req);
	partition_unref(p);
}

static void find_answer(struct find_op *op, enum err err)
{
	op->req->err = err;
	op->answer.run = find_answered;
	loop_defer(op->log->loop, &op->answer);
}

/* ERR_OK with the record in the answer, or ERR_EOF. */
static enum err walk_batch(struct find_op *op, struct bytes batch, struct writer *scratch)
{
	struct log_find_time *req = op->req;
	struct record_iter it;
	struct record rec;
	TRY(record_iter_open(&it, batch, scratch, op->decompressed_max));
	for (;;) {
		TRY(record_iter_next(&it, &rec));
		if (rec.timestamp_ms < req->timestamp_ms || rec.offset < req->read.log_start)
			continue;
		req->offset = rec.offset;
		req->found_ms = rec.timestamp_ms;
		return ERR_OK;
	}
}

static enum err walk_batches(struct find_op *op)
{
	const struct log_read *read = &op->req->read;
	struct writer scratch;
	enum err e = ERR_EOF;
	writer_init(&scratch, op->decompressed_max);
	for (size_t i = 0; e == ERR_EOF && i < read->batch_count; i++) {
		struct batch_header h;
		e = batch_header_read(read->batches[i], &h);
		if (e == ERR_OK && h.max_timestamp_ms < op->req->timestamp_ms)
			e = ERR_EOF;
		else if (e == ERR_OK)
			e = walk_batch(op, read->batches[i], &scratch);
	}
	writer_release(&scratch);
	return e;
}

static void records_run(struct pool_job *job)
{
	struct find_op *op = CONTAINER_OF(job, struct find_op, job);
	err_clear();
	op->req->err = walk_batches(op);
}

static void records_done(struct pool_job *job)
{
	struct find_op *op = CONTAINER_OF(job, struct find_op, job);
	struct log_read *read = &op->req->read;
	if (op->req->err != ERR_EOF) {
		find_answer(op, op->req->err);
		return;
	}
	op->req->err = ERR_OK;
	op->next = read->next_offset;
	log_read_release(read);
	find_segment(op);
}

static void batch_read(struct log_read *read)
{
	struct log_find_time *req = CONTAINER_OF(read, struct log_find_time, read);
	struct find_op *op = read->user;
	ASSERT(req == op->req);
	if (read->err == ERR_OFFSET_OUT_OF_RANGE && read->offset < req->partition->log_start) {
		op->next = req->partition->log_start; /* it was deleted meanwhile */
		find_segment(op);
		return;
	}
	if (read->err != ERR_OK || read->batch_count == 0) {
		find_answer(op, read->err);
		return;
	}
	op->job = (struct pool_job){.run = records_run, .done = records_done};
	enum err e = pool_submit(op->log->loop, &op->job);
	if (e != ERR_OK)
		find_answer(op, e);
}

static void find_read(struct find_op *op, size_t max_bytes)
{
	struct log_find_time *req = op->req;
	if (op->next < req->partition->log_start)
		op->next = req->partition->log_start;
	req->read = (struct log_read){.partition = req->partition,
	    .offset = op->next,
	    .max_bytes = max_bytes,
	    .user = op,
	    .done = batch_read};
	log_read(op->log, &req->read);
}

static void found(struct lookup *l)
{
	struct find_op *op = CONTAINER_OF(l, struct find_op, lookup);
	struct segment *s = op->segment;
	enum err e = l->err;
	op->segment = NULL;
	if (e == ERR_OK &&
	    (l->entry.base_offset < s->base_offset || l->entry.base_offset >= s->end_offset)) {
		index_doubt(s); /* it rotted since it was checked: checked again, then searched */
		segment_unhold(s);
		find_segment(op);
		return;
	}
	op->looked = s->base_offset;
	if (e == ERR_OK && l->entry.base_offset > op->next)
		op->next = l->entry.base_offset;
	if (e == ERR_NOT_FOUND) /* a later maximum was that of a frame that is not visible yet */
		op->next = s->end_offset;
	segment_unhold(s);
	if (e == ERR_OK)
		find_read(op, 1);
	else if (e == ERR_NOT_FOUND)
		find_segment(op);
	else
		find_answer(op, e);
}

/* The first segment from op->next on that may have the record; NULL. */
static struct segment *segment_next(const struct find_op *op)
{
	struct log_partition *p = op->req->partition;
	struct segment *s = partition_segment_of_time(p, op->req->timestamp_ms);
	if (!s || s->end_offset > op->next)
		return s;
	for (struct list_node *n = s->node.next; n != &p->segments.head; n = n->next) {
		s = CONTAINER_OF(n, struct segment, node);
		if (s->end_offset > op->next && s->index.max_timestamp_ms >= op->req->timestamp_ms)
			return s;
	}
	return NULL;
}

static void index_checked(struct index_wait *w)
{
	struct find_op *op = CONTAINER_OF(w, struct find_op, check);
	struct segment *s = op->segment;
	op->segment = NULL;
	segment_unhold(s);
	if (w->err == ERR_OK || w->err == ERR_CORRUPT)
		find_segment(op); /* CORRUPT: it is passed over, but where the time may be in it */
	else
		find_answer(op, w->err);
}

/* The maximum of a segment, too, is what its index says. False: to be waited for. */
static bool indexes_checked(struct find_op *op)
{
	struct segment *s;
	while ((s = partition_index_unchecked(op->req->partition))) {
		op->check.done = index_checked;
		s->holds++;
		op->segment = s;
		if (!index_verify(s, &op->check))
			return false;
		op->segment = NULL;
		segment_unhold(s);
		if (op->check.err != ERR_OK && op->check.err != ERR_CORRUPT) {
			find_answer(op, op->check.err);
			return false;
		}
	}
	return true;
}

static void find_segment(struct find_op *op)
{
	struct log_find_time *req = op->req;
	if (!indexes_checked(op))
		return;
	if (req->latest)
		req->timestamp_ms = req->partition->max_timestamp_ms;
	if (req->latest && req->timestamp_ms < 0) {
		find_answer(op, ERR_OK);
		return;
	}
	struct segment *s = segment_next(op);
	if (!s || op->next >= req->partition->visible_end) {
		find_answer(op, ERR_OK);
		return;
	}
	if (s->base_offset == op->looked) {
		find_read(op, FIND_READ_BYTES);
		return;
	}
	if (op->next < s->base_offset)
		op->next = s->base_offset;
	s->holds++;
	op->segment = s;
	struct index_probe probe = {INDEX_BY_TIMESTAMP, (uint64_t)req->timestamp_ms};
	if (lookup_start(&op->lookup, s, probe, found))
		found(&op->lookup);
}

/* Without memory for an operation: the answer goes through a read that answers at once (its offset
 * is out of range). */
static void find_nomem(struct log_read *read)
{
	struct log_find_time *req = CONTAINER_OF(read, struct log_find_time, read);
	req->err = ERR_NOMEM;
	req->done(req);
}

void log_find_time(struct log *log, struct log_find_time *req)
{
	struct log_partition *p = req->partition;
	loop_assert_owner(log->loop);
	ASSERT(p->log == log && req->done);
	req->err = ERR_OK;
	req->offset = req->found_ms = -1;
	req->read = (struct log_read){0};
	struct find_op *op = mem_calloc(1, sizeof(*op));
	if (!op) {
		req->read =
		    (struct log_read){.partition = p, .offset = p->log_end + 1, .done = find_nomem};
		log_read(log, &req->read);
		return;
	}
	partition_ref(p);
	op->log = log;
	op->req = req;
	op->next = p->log_start;
	op->looked = -1;
	log->reads_active++;
	op->decompressed_max = BATCH_BYTES_MAX;
	if (p->topic)
		op->decompressed_max = batch_plain_max(p->topic->config.max_message_bytes);
	if (p->state != PARTITION_OPEN) {
		find_answer(op, ERR_UNKNOWN_TOPIC);
		return;
	}
	find_segment(op);
}
