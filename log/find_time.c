/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first record at or after a time: the index names the batch (its running maximum passes the
 * time there first), the batch is read, and its records are walked on the pool, where it may be
 * decompressed.
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
	struct mail answer;
	size_t decompressed_max;
};

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

static enum err walk_records(struct find_op *op)
{
	struct log_find_time *req = op->req;
	struct record_iter it;
	struct record rec;
	struct writer scratch;
	writer_init(&scratch, op->decompressed_max);
	enum err e = record_iter_open(&it, req->read.batches[0], &scratch, op->decompressed_max);
	while (e == ERR_OK && (e = record_iter_next(&it, &rec)) == ERR_OK) {
		if (rec.timestamp_ms < req->timestamp_ms || rec.offset < req->read.log_start)
			continue;
		req->offset = rec.offset;
		req->found_ms = rec.timestamp_ms;
		break;
	}
	writer_release(&scratch);
	return e == ERR_EOF ? ERR_OK : e;
}

static void records_run(struct pool_job *job)
{
	struct find_op *op = CONTAINER_OF(job, struct find_op, job);
	err_clear();
	op->req->err = walk_records(op);
}

static void records_done(struct pool_job *job)
{
	struct find_op *op = CONTAINER_OF(job, struct find_op, job);
	find_answer(op, op->req->err);
}

static void batch_read(struct log_read *read)
{
	struct log_find_time *req = CONTAINER_OF(read, struct log_find_time, read);
	struct find_op *op = read->user;
	if (read->err != ERR_OK || read->batch_count == 0) {
		find_answer(op, read->err);
		return;
	}
	op->job = (struct pool_job){.run = records_run, .done = records_done};
	enum err e = pool_submit(op->log->loop, &op->job);
	if (e != ERR_OK)
		find_answer(op, e);
	ASSERT(req == op->req);
}

static void found(struct lookup *l)
{
	struct find_op *op = CONTAINER_OF(l, struct find_op, lookup);
	struct log_find_time *req = op->req;
	struct segment *s = op->segment;
	enum err e = l->err;
	int64_t offset = l->entry.base_offset;
	segment_unhold(s);
	op->segment = NULL;
	if (e != ERR_OK) {
		find_answer(op, e == ERR_NOT_FOUND ? ERR_OK : e);
		return;
	}
	if (offset < req->partition->log_start)
		offset = req->partition->log_start;
	req->read = (struct log_read){.partition = req->partition,
	    .offset = offset,
	    .max_bytes = 1,
	    .user = op,
	    .done = batch_read};
	log_read(op->log, &req->read);
}

static void find_segment(struct find_op *op)
{
	struct log_find_time *req = op->req;
	struct segment *s = partition_segment_of_time(req->partition, req->timestamp_ms);
	if (!s) {
		find_answer(op, ERR_OK);
		return;
	}
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
	log->reads_active++;
	op->decompressed_max = BATCH_BYTES_MAX;
	if (p->topic)
		op->decompressed_max =
		    (size_t)p->topic->config.max_message_bytes * DECOMPRESS_RATIO_MAX;
	if (p->state != PARTITION_OPEN) {
		find_answer(op, ERR_UNKNOWN_TOPIC);
		return;
	}
	find_segment(op);
}
