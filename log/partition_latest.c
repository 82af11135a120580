/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The greatest timestamp of a partition, when the record that had it may be gone. The maxima of
 * segments that are wholly behind the log start are in their indexes. That of the segment in which
 * it lies may be of a record that was deleted: its batches from the log start on are read, a piece
 * at a time, and those with a greater maximum than what was found so far are walked on the pool.
 */
#include "log/batch.h"
#include "log/engine.h"
#include "log/lookup.h"
#include "log/partition_drop.h"

/* ---- which batch of a segment ---------------------------------------------------------------- */

struct latest {
	struct lookup lookup;
	struct log_partition *p; /* referenced */
	struct segment *segment; /* held */
	int64_t max_ms;
};

static void latest_found(struct lookup *l)
{
	struct latest *x = CONTAINER_OF(l, struct latest, lookup);
	struct log_partition *p = x->p;
	if (l->err == ERR_OK && p->max_timestamp_ms == x->max_ms)
		p->max_timestamp_offset = l->entry.base_offset;
	segment_unhold(x->segment);
	p->log->reads_active--;
	partition_unref(p);
	mem_free(x);
}

static void latest_look(struct log_partition *p, struct segment *s)
{
	struct latest *x = mem_calloc(1, sizeof(*x));
	if (!x)
		return; /* the segment's beginning must do */
	*x = (struct latest){.p = p, .segment = s, .max_ms = p->max_timestamp_ms};
	partition_ref(p);
	s->holds++;
	p->log->reads_active++;
	struct index_probe probe = {INDEX_BY_TIMESTAMP, (uint64_t)x->max_ms};
	if (lookup_start(&x->lookup, s, probe, latest_found))
		latest_found(&x->lookup);
}

/* ---- a segment from the log start on --------------------------------------------------------- */

enum { LATEST_READ_BYTES = 1024 * 1024 };

struct latest_walk {
	struct pool_job job;
	struct log_read read;
	struct log *log;
	struct log_partition *p; /* referenced */
	int64_t end;             /* of the segment */
	int64_t max_ms, offset;  /* the first batch with the greatest so far */
	size_t decompressed_max;
	enum err err;
};

static void walk_end(struct latest_walk *w, enum err err)
{
	struct log_partition *p = w->p;
	bool moved = err == ERR_OFFSET_OUT_OF_RANGE || (w->max_ms >= 0 && w->offset < p->log_start);
	bool more = w->max_ms > p->max_timestamp_ms ||
	            (w->max_ms == p->max_timestamp_ms && w->offset < p->max_timestamp_offset);
	if (err != ERR_OK && err != ERR_OFFSET_OUT_OF_RANGE && p->state == PARTITION_OPEN)
		diag(DIAG_WARN, "latest", "partition=%s error=%s", p->dir, err_name(err));
	if (!moved && more) {
		p->max_timestamp_ms = w->max_ms;
		p->max_timestamp_offset = w->offset;
	}
	if (moved && p->state == PARTITION_OPEN)
		partition_latest(p); /* the log start is behind it now */
	w->log->reads_active--;
	partition_unref(p);
	mem_free(w);
}

static enum err walk_batch(struct latest_walk *w, struct bytes batch, struct writer *scratch)
{
	struct record_iter it;
	struct record rec;
	enum err e = record_iter_open(&it, batch, scratch, w->decompressed_max);
	while (e == ERR_OK && (e = record_iter_next(&it, &rec)) == ERR_OK) {
		if (rec.offset < w->read.log_start || rec.timestamp_ms <= w->max_ms)
			continue;
		w->max_ms = rec.timestamp_ms;
		w->offset = rec.offset;
	}
	return e == ERR_EOF ? ERR_OK : e;
}

static void walk_run(struct pool_job *job)
{
	struct latest_walk *w = CONTAINER_OF(job, struct latest_walk, job);
	struct writer scratch;
	err_clear();
	writer_init(&scratch, w->decompressed_max);
	w->err = ERR_OK;
	for (size_t i = 0; w->err == ERR_OK && i < w->read.batch_count; i++) {
		struct batch_header h;
		w->err = batch_header_read(w->read.batches[i], &h);
		if (w->err == ERR_OK && h.count > 0 && h.max_timestamp_ms > w->max_ms)
			w->err = walk_batch(w, w->read.batches[i], &scratch);
	}
	writer_release(&scratch);
}

static void walk_read(struct latest_walk *w, int64_t offset);

static void walk_done(struct pool_job *job)
{
	struct latest_walk *w = CONTAINER_OF(job, struct latest_walk, job);
	int64_t next = w->read.next_offset;
	log_read_release(&w->read);
	if (w->err != ERR_OK || next >= w->end)
		walk_end(w, w->err);
	else
		walk_read(w, next);
}

static void walk_was_read(struct log_read *read)
{
	struct latest_walk *w = read->user;
	enum err e = read->err;
	if (e == ERR_OK && read->batch_count > 0) {
		w->job = (struct pool_job){.run = walk_run, .done = walk_done};
		e = pool_submit(w->log->loop, &w->job);
		if (e == ERR_OK)
			return;
	}
	log_read_release(read);
	walk_end(w, e);
}

static void walk_read(struct latest_walk *w, int64_t offset)
{
	w->read = (struct log_read){.partition = w->p,
	    .offset = offset,
	    .max_bytes = LATEST_READ_BYTES,
	    .user = w,
	    .done = walk_was_read};
	log_read(w->log, &w->read);
}

static void walk_start(struct log_partition *p, const struct segment *s)
{
	struct latest_walk *w = mem_calloc(1, sizeof(*w));
	if (!w)
		return;
	*w = (struct latest_walk){.log = p->log,
	    .p = p,
	    .end = s->end_offset,
	    .max_ms = -1,
	    .offset = -1,
	    .decompressed_max = BATCH_BYTES_MAX};
	if (p->topic)
		w->decompressed_max = batch_plain_max(p->topic->config.max_message_bytes);
	partition_ref(p);
	p->log->reads_active++;
	walk_read(w, p->log_start);
}

void partition_latest(struct log_partition *p)
{
	struct segment *at = NULL, *part = NULL;
	loop_assert_owner(p->log->loop);
	p->max_timestamp_ms = p->max_timestamp_offset = -1;
	LIST_EACH (&p->segments, n, next) {
		struct segment *s = CONTAINER_OF(n, struct segment, node);
		if (s->end_offset <= p->log_start)
			continue;
		if (s->base_offset < p->log_start) {
			part = s;
		} else if (s->index.max_timestamp_ms > p->max_timestamp_ms) {
			p->max_timestamp_ms = s->index.max_timestamp_ms;
			at = s;
		}
	}
	if (at) {
		p->max_timestamp_offset = at->base_offset;
		latest_look(p, at);
	}
	if (part && part->index.max_timestamp_ms >= p->max_timestamp_ms &&
	    p->state == PARTITION_OPEN && !p->log->closing)
		walk_start(p, part);
}
