/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first batch of a partition at or after a sequence: the segment by its first sequence, the
 * batch by the index. What comes out of an index file is checked against the frame it points to;
 * where they disagree the segment's frames are walked instead. All on the pool, but for frames
 * whose entries are still in memory.
 */
#include "log/engine.h"
#include "log/lookup.h"
#include "log/partition_drop.h"

struct find_op {
	struct pool_job job;
	struct log *log;
	struct log_find_sequence *req;
	struct segment *segment; /* held */
	struct lookup lookup;
	struct mail answer;
	char *path;
	uint32_t end; /* of the segment's bytes that are sure to be in its file */
};

static void find_answered(struct mail *mail)
{
	struct find_op *op = CONTAINER_OF(mail, struct find_op, answer);
	struct log_find_sequence *req = op->req;
	struct log_partition *p = req->partition;
	if (op->segment)
		segment_unhold(op->segment);
	op->log->reads_active--;
	mem_free(op->path);
	mem_free(op);
	req->done(req);
	partition_unref(p);
}

static void find_answer(struct find_op *op, enum err err)
{
	op->req->err = err;
	op->answer.run = find_answered;
	loop_defer(op->log->loop, &op->answer);
}

static void found(struct find_op *op, int64_t offset, uint64_t sequence)
{
	if (offset >= op->req->partition->visible_end)
		return; /* not yet for anybody to see */
	op->req->offset = offset;
	op->req->found_sequence = sequence;
}

/* ---- an entry out of the file is checked ----------------------------------------------------- */

static enum err walk_to(struct find_op *op, int fd)
{
	struct segment_walk w;
	struct frame f;
	struct bytes batch;
	uint32_t pos;
	segment_walk_init(&w, op->log->io, fd, op->segment->seed, 0);
	w.check_body = false;
	segment_walk_range(&w, SEGMENT_HEADER_BYTES, op->end);
	enum err err;
	do
		err = segment_walk_next(&w, &f, &pos, &batch);
	while (err == ERR_OK && f.sequence < op->req->sequence);
	segment_walk_release(&w);
	TRY(err);
	op->lookup.entry.base_offset = f.base_offset;
	op->lookup.entry.sequence = f.sequence;
	return ERR_OK;
}

static enum err check_entry(struct find_op *op, int fd)
{
	const struct index_entry *e = &op->lookup.entry;
	uint8_t raw[FRAME_HEADER_BYTES];
	struct frame f;
	enum err err = io_pread_all(op->log->io, fd, raw, sizeof(raw), e->pos);
	if (err == ERR_OK)
		err = frame_decode(raw, op->segment->seed, &f);
	if (err == ERR_OK && f.sequence == e->sequence && f.base_offset == e->base_offset)
		return ERR_OK;
	diag(DIAG_WARN, "index_entry", "path=%s pos=%u action=walk", op->path, e->pos);
	err_clear();
	return walk_to(op, fd);
}

static void check_run(struct pool_job *job)
{
	struct find_op *op = CONTAINER_OF(job, struct find_op, job);
	int fd;
	err_clear();
	enum err err = io_open(op->log->io, op->path, IO_READONLY, &fd);
	if (err == ERR_OK) {
		err = check_entry(op, fd);
		enum err closed = io_close(op->log->io, fd);
		err = err == ERR_OK ? closed : err;
	}
	op->req->err = err;
}

static void check_done(struct pool_job *job)
{
	struct find_op *op = CONTAINER_OF(job, struct find_op, job);
	const struct index_entry *e = &op->lookup.entry;
	enum err err = op->req->err;
	if (err == ERR_OK)
		found(op, e->base_offset, e->sequence);
	find_answer(op, err == ERR_EOF ? ERR_OK : err);
}

static enum err check_start(struct find_op *op)
{
	char path[LOG_PATH_MAX], name[SEGMENT_NAME_BYTES];
	struct segment *s = op->segment;
	TRY(partition_path(s->partition, segment_file_name(s, ".log", name), path));
	op->path = mem_strdup(str_of(path));
	if (!op->path)
		return ERR_NOMEM;
	op->end = s->durable_size;
	op->job = (struct pool_job){.run = check_run, .done = check_done};
	return pool_submit(op->log->loop, &op->job);
}

/* ---- the lookup ------------------------------------------------------------------------------ */

static void find_in(struct find_op *op, struct segment *s);

static void located(struct lookup *l)
{
	struct find_op *op = CONTAINER_OF(l, struct find_op, lookup);
	struct segment *s = op->segment;
	enum err err = l->err;
	if (err == ERR_OK && l->number < s->index.file_count) {
		err = check_start(op);
		if (err == ERR_OK)
			return;
	} else if (err == ERR_OK) {
		found(op, l->entry.base_offset, l->entry.sequence); /* this server's own memory */
	} else if (err == ERR_NOT_FOUND) {
		/* it ends before that sequence: the next one begins behind it */
		const struct log_partition *p = s->partition;
		bool more = !s->gone && s->node.next != &p->segments.head;
		struct segment *next =
		    more ? CONTAINER_OF(s->node.next, struct segment, node) : NULL;
		op->segment = NULL;
		if (next)
			find_in(op, next);
		segment_unhold(s);
		if (next)
			return;
		err = ERR_OK;
	}
	find_answer(op, err);
}

static void find_in(struct find_op *op, struct segment *s)
{
	struct index_probe probe = {INDEX_BY_SEQUENCE, op->req->sequence};
	s->holds++;
	op->segment = s;
	if (lookup_start(&op->lookup, s, probe, located))
		located(&op->lookup);
}

void log_find_sequence(struct log *log, struct log_find_sequence *req)
{
	struct log_partition *p = req->partition;
	loop_assert_owner(log->loop);
	ASSERT(p->log == log && req->done);
	req->err = ERR_OK;
	req->offset = -1;
	req->found_sequence = 0;
	struct find_op *op = mem_calloc(1, sizeof(*op));
	if (!op) {
		req->err = ERR_NOMEM;
		req->done(req);
		return;
	}
	partition_ref(p);
	op->log = log;
	op->req = req;
	log->reads_active++;
	if (p->state != PARTITION_OPEN) {
		find_answer(op, ERR_UNKNOWN_TOPIC);
		return;
	}
	struct segment *s = partition_segment_of_sequence(p, req->sequence);
	if (s)
		find_in(op, s);
	else
		find_answer(op, ERR_OK);
}
