/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a recovered log from end to end, and going on with it. See outcome.h. */
#include "log/catalog_change.h"
#include "log/catalog_row.h"
#include "test/crash/reading.h"
#include "test/lib/log_fixture.h"
#include "test/lib/xmalloc.h"

#include <stdarg.h>
#include <stdio.h>

void reading_problem(struct reading *rd, const char *fmt, ...)
{
	va_list args;
	if (rd->o->problem[0])
		return; /* the first one */
	va_start(args, fmt);
	vsnprintf(rd->o->problem, sizeof(rd->o->problem), fmt, args);
	va_end(args);
}

bool reading_until(struct reading *rd, const bool *done)
{
	for (int i = 0; !*done && i < 10000; i++) {
		if (loop_step(rd->w->loop, 10 * MS_NS) != ERR_OK)
			break;
	}
	if (!*done)
		reading_problem(rd, "a request is not answered");
	return *done;
}

/* ---- records --------------------------------------------------------------------------------- */

/* All but base offset and leader epoch is as it was sent. */
static bool same_bytes(const struct run_batch *b, struct bytes batch)
{
	return batch.len == b->len && memcmp(batch.ptr + 8, b->bytes + 8, 4) == 0 &&
	       memcmp(batch.ptr + 16, b->bytes + 16, b->len - 16) == 0;
}

/* Where batches are written anew their records count, and of a compacted topic some may be gone. */
static bool as_sent(struct reading *rd, int tag, struct bytes batch)
{
	const struct run_batch *b = &rd->run->batches[tag];
	const struct run_topic *t = &rd->run->topics[b->topic];
	unsigned all = (1U << strlen(b->keys)) - 1;
	rd->o->kept[tag] = (uint8_t)all;
	if (!t->rewritten || !b->keys[0] || b->marker != RUN_DATA)
		return (t->compacted && b->marker != RUN_DATA) || same_bytes(b, batch);
	unsigned kept = reading_records(rd, tag, batch);
	rd->o->kept[tag] = (uint8_t)kept;
	return kept == all || t->compacted;
}

static void see_batch(
    struct reading *rd, int topic, int partition, int64_t offset, struct bytes batch)
{
	int tag = reading_tag(rd, topic, partition, batch);
	const struct run_batch *b = &rd->run->batches[tag];
	if (tag == 0 || b->topic != topic || b->partition != partition || !as_sent(rd, tag, batch))
		reading_problem(rd, "%d-%d offset %lld: a batch that was not sent (tag %d)", topic,
		    partition, (long long)offset, tag);
	else if (outcome_has(rd->o, tag))
		reading_problem(rd, "batch %d twice", tag);
	else if (b->acked != RUN_NEVER && b->offset != offset)
		reading_problem(rd, "batch %d at offset %lld, answered %lld", tag,
		    (long long)offset, (long long)b->offset);
	else
		rd->o->present[tag / 64] |= UINT64_C(1) << (tag % 64);
}

struct get {
	struct log_read req;
	bool done;
};

static void get_done(struct log_read *req)
{
	CONTAINER_OF(req, struct get, req)->done = true;
}

/* What is gone from the beginning is gone by a row. */
static void check_start(struct reading *rd, int topic, int p, const struct log_partition *part)
{
	const struct row_name name = {
	    .kind = ROW_PARTITION, .id = part->key.topic_id, .partition = part->key.partition};
	const struct catalog_kept *kept = catalog_kept(rd->w->log->catalog, &name);
	int64_t start = 0;
	uint32_t leader_epoch;
	if (kept && partition_row_parse(kept->value, &start, &leader_epoch) != ERR_OK)
		reading_problem(rd, "%d-%d: its row does not parse", topic, p);
	if (part->log_start > start)
		reading_problem(rd, "%d-%d begins at %lld, its row says %lld", topic, p,
		    (long long)part->log_start, (long long)start);
}

static void read_partition(struct reading *rd, int topic, int p, struct log_partition *part)
{
	struct log_partition_status st;
	log_partition_status(part, &st);
	rd->o->start[topic][p] = st.log_start;
	check_start(rd, topic, p, part);
	rd->o->end[topic][p] = st.visible_end;
	if (st.damaged || st.durable_end != st.visible_end || st.log_start > st.visible_end)
		reading_problem(rd, "%d-%d: damaged %d, start %lld, durable %lld, visible %lld",
		    topic, p, st.damaged, (long long)st.log_start, (long long)st.durable_end,
		    (long long)st.visible_end);
	for (int64_t at = st.log_start; at < st.visible_end && !rd->o->problem[0];) {
		struct get g = {
		    .req = {
		        .partition = part, .offset = at, .max_bytes = 64 * KIB, .done = get_done}};
		log_read(rd->w->log, &g.req);
		if (!reading_until(rd, &g.done))
			return;
		if (g.req.err != ERR_OK || g.req.batch_count == 0)
			reading_problem(rd, "%d-%d offset %lld: %s, %zu batches", topic, p,
			    (long long)at, err_name(g.req.err), g.req.batch_count);
		for (size_t i = 0; g.req.err == ERR_OK && i < g.req.batch_count; i++) {
			struct batch_header h;
			bool good = batch_header_read(g.req.batches[i], &h) == ERR_OK;
			/* only a log start may lie inside a batch, and only compaction takes some
			 */
			bool after = good && h.base_offset > at &&
			             rd->run->topics[topic].compacted &&
			             h.base_offset < st.visible_end;
			if (!good || (h.base_offset < at && at != st.log_start) ||
			    (h.base_offset > at && !after)) {
				reading_problem(rd, "%d-%d: offset %lld does not follow", topic, p,
				    (long long)at);
				break;
			}
			see_batch(rd, topic, p, h.base_offset, g.req.batches[i]);
			at = h.base_offset + h.last_offset_delta + 1;
		}
		log_read_release(&g.req);
	}
}

int reading_topic(const struct run *r, struct log_uuid id)
{
	for (int i = 0; i < r->topic_count; i++) {
		if (r->topics[i].created != RUN_NEVER && log_uuid_equal(r->topics[i].id, id))
			return i;
	}
	return -1;
}

static void read_topics(struct reading *rd)
{
	const struct log_topic *t;
	size_t cursor = 0;
	while ((t = log_topic_next(rd->w->log, &cursor)) && !rd->o->problem[0]) {
		int i = reading_topic(rd->run, t->id);
		if (t->internal)
			continue;
		if (i < 0 || (rd->run->topics[i].partitions != t->partition_count &&
		                 rd->run->topics[i].grow_from != t->partition_count)) {
			reading_problem(
			    rd, "topic " STR_FMT " was not asked for", STR_ARG(t->name));
			return;
		}
		rd->o->there[i] = true;
		rd->o->partitions[i] = t->partition_count;
		rd->o->segment_bytes[i] = t->config.segment_bytes;
		for (int p = 0; p < t->partition_count; p++)
			read_partition(rd, i, p, log_partition_find(rd->w->log, t, p));
	}
}

/* ---- sequences ------------------------------------------------------------------------------- */

static void add_gap(struct outcome *o, uint64_t first, uint64_t last)
{
	int i = o->gap_count++;
	for (; i > 0 && o->gaps[i - 1].first > first; i--)
		o->gaps[i] = o->gaps[i - 1];
	o->gaps[i] = (struct checkpoint_gap){first, last};
}

static void read_gaps(struct reading *rd)
{
	struct catalog_kept *kept;
	size_t cursor = 0;
	while ((kept = map_next(&rd->w->log->catalog->rows, &cursor))) {
		struct row_name name = row_name_parse(kept->key);
		unsigned long long first = 0, last = 0;
		char text[160];
		if (name.kind != ROW_GAP || rd->o->gap_count == OUTCOME_GAPS_MAX)
			continue;
		snprintf(text, sizeof(text), "%.*s", (int)kept->value.len,
		    (const char *)kept->value.ptr);
		const char *f = strstr(text, "first_sequence="),
		           *l = strstr(text, "last_sequence=");
		if (!f || !l || sscanf(f, "first_sequence=%llu", &first) != 1 ||
		    sscanf(l, "last_sequence=%llu", &last) != 1)
			reading_problem(rd, "gap row without sequences: %s", text);
		add_gap(rd->o, first, last);
	}
}

/* Trimmed, or of a topic that is deleted. */
static bool rightly_gone(const struct reading *rd, uint64_t sequence)
{
	for (int tag = 1; tag <= rd->run->batch_count; tag++) {
		const struct run_batch *b = &rd->run->batches[tag];
		if (rd->run->faulty && b->acked == RUN_NEVER && !outcome_has(rd->o, tag) &&
		    (!rd->o->there[b->topic] || rd->o->start[b->topic][b->partition] > 0))
			return true; /* it may have been written, and its sequence was not told */
		if (b->acked == RUN_NEVER || b->sequence != sequence || outcome_has(rd->o, tag))
			continue;
		return !rd->o->there[b->topic] ||
		       b->offset + b->count <= rd->o->start[b->topic][b->partition];
	}
	return false;
}

/* A hole of compaction, a marker, a batch that was aborted: what a scan passes over. */
static bool passed_over(const struct reading *rd, uint64_t sequence)
{
	const struct reading_frame *f = reading_frame_of(rd, sequence);
	if (!f)
		return false;
	enum reading_fate fate = f->tag > 0 ? reading_fate(rd, f->tag) : READING_SHOWN;
	return f->tag == 0 || fate == READING_MARKER || fate == READING_ABORTED;
}

/* The first sequence from `next` to `end` that nothing accounts for. */
static uint64_t skip_named(
    const struct reading *rd, uint64_t next, uint64_t end, uint64_t internal_first)
{
	while (next < end) {
		uint64_t before = next;
		for (int i = 0; i < rd->o->gap_count; i++) {
			if (next >= rd->o->gaps[i].first && next <= rd->o->gaps[i].last)
				next = rd->o->gaps[i].last + 1;
		}
		if (next < end &&
		    (next < internal_first || passed_over(rd, next) || rightly_gone(rd, next)))
			next++;
		if (next == before)
			break;
	}
	return next;
}

struct first {
	uint64_t sequence; /* at or behind log_start */
};

static enum err first_found(void *ctx, const struct frame *frame, struct bytes batch)
{
	(void)batch;
	((struct first *)ctx)->sequence = frame->sequence;
	return ERR_CANCELLED; /* one is enough */
}

/* Sequences below the first one left in a table that was trimmed by its snapshots are rightly gone.
 */
static uint64_t internal_first(const struct run_world *w)
{
	const struct log_topic *t;
	uint64_t most = 0;
	size_t cursor = 0;
	while ((t = log_topic_next(w->log, &cursor))) {
		struct log_partition *p = log_partition_find(w->log, t, 0);
		struct first first = {w->log->durable_sequence + 1};
		if (!t->internal || p->log_start == 0)
			continue;
		enum err e = partition_walk(p, p->log_start, first_found, &first);
		if (e != ERR_OK && e != ERR_CANCELLED)
			continue; /* the scan says it */
		if (first.sequence > most)
			most = first.sequence;
	}
	return most;
}

static void read_sequences(struct reading *rd)
{
	struct log_scan_source sources[64];
	const struct log_topic *t;
	struct log_scan *scan;
	struct log_batch_view v;
	uint64_t stable = 0, next = 1, from_tables = internal_first(rd->w);
	size_t cursor = 0, n = 0;
	enum err e;
	while ((t = log_topic_next(rd->w->log, &cursor))) {
		for (int32_t i = 0; i < t->partition_count && n < 64; i++)
			sources[n++] = (struct log_scan_source){
			    t->id, i, log_partition_find(rd->w->log, t, i)->log_start};
	}
	e = log_scan_open(rd->w->log, sources, n, &scan);
	if (e != ERR_OK) {
		reading_problem(rd, "scan: %s %s", err_name(e), err_chain());
		return;
	}
	while ((e = log_scan_next(scan, &v, &stable)) == ERR_OK && !rd->o->problem[0]) {
		uint64_t hole = skip_named(rd, next, v.sequence, from_tables);
		if (hole != v.sequence)
			reading_problem(rd, "sequence %llu is nowhere (next is %llu)",
			    (unsigned long long)hole, (unsigned long long)v.sequence);
		next = v.sequence + 1;
		int topic = reading_topic(rd->run, v.topic_id);
		int tag = topic < 0 ? 0 : reading_tag(rd, topic, v.partition, v.batch);
		if (tag > 0 && reading_fate(rd, tag) != READING_SHOWN)
			reading_problem(rd, "a scan shows batch %d", tag);
		const struct run_batch *b = &rd->run->batches[tag];
		if (tag > 0 && b->acked != RUN_NEVER && b->sequence != v.sequence)
			reading_problem(rd, "batch %d has sequence %llu, answered %llu", tag,
			    (unsigned long long)v.sequence, (unsigned long long)b->sequence);
	}
	if (e != ERR_AGAIN && !rd->o->problem[0])
		reading_problem(rd, "scan: %s %s", err_name(e), err_chain());
	next = skip_named(rd, next, stable + 1, from_tables);
	uint64_t want = reading_stable(rd);
	if (!rd->o->problem[0] && (next != stable + 1 || stable != want))
		reading_problem(rd,
		    "scan ends before sequence %llu, at %llu, S_stable must be %llu",
		    (unsigned long long)next, (unsigned long long)stable, (unsigned long long)want);
	log_scan_close(scan);
}

/* Its topic is deleted, or compaction may have taken it. */
static bool gone_since(const struct reading *rd, int tag)
{
	int topic = rd->run->batches[tag].topic;
	return !rd->o->there[topic] || rd->run->topics[topic].compacted;
}

/* What is written in one round is there in whole or not at all. */
static void check_sets(struct reading *rd)
{
	const struct run *r = rd->run;
	for (int i = 0; i < r->put_count; i++) {
		const struct run_put *p = &r->puts[i];
		for (int a = 1; a <= r->batch_count && p->set > 0; a++) {
			/* rows of transactions count upwards */
			if (r->batches[a].set == p->set && !gone_since(rd, a) &&
			    outcome_has(rd->o, a) != (rd->o->rows[p->key] >= p->value))
				reading_problem(rd,
				    "row %d is %lld, marker %d of transaction %lld is %sthere",
				    p->key, (long long)rd->o->rows[p->key], a, (long long)p->value,
				    outcome_has(rd->o, a) ? "" : "not ");
		}
	}
	for (int a = 1; a <= r->batch_count; a++) {
		for (int b = a + 1; b <= r->batch_count && r->batches[a].set > 0; b++) {
			if (r->batches[b].set == r->batches[a].set && !gone_since(rd, a) &&
			    !gone_since(rd, b) && outcome_has(rd->o, a) != outcome_has(rd->o, b))
				reading_problem(rd, "set %d is there in part: batches %d and %d",
				    r->batches[a].set, a, b);
		}
	}
}

/* ---- going on -------------------------------------------------------------------------------- */

struct send {
	struct log_append req;
	bool done;
};

static void send_done(struct log_append *req)
{
	CONTAINER_OF(req, struct send, req)->done = true;
}

static bool send(struct reading *rd, struct send *s, const uint8_t *bytes, size_t len)
{
	s->done = false;
	s->req.done = send_done;
	s->req.batch = xmalloc(len);
	s->req.batch_len = len;
	memcpy(s->req.batch, bytes, len);
	struct log_append *req = &s->req;
	log_append(rd->w->log, &req, 1, false);
	bool done = reading_until(rd, &s->done);
	free(s->req.batch);
	return done;
}

/* Its producer has another epoch by now. */
static bool ended(const struct reading *rd, const struct run_batch *b)
{
	return b->ended_by > 0 && outcome_has(rd->o, b->ended_by);
}

/* The last batch of each producer in each partition, sent again, is known. */
static void send_again(struct reading *rd)
{
	for (int tag = rd->run->batch_count; tag > 0 && !rd->o->problem[0]; tag--) {
		const struct run_batch *b = &rd->run->batches[tag];
		if (b->producer < 0 || !outcome_has(rd->o, tag) || b->acked == RUN_NEVER ||
		    b->marker != RUN_DATA || ended(rd, b))
			continue;
		const struct log_topic *t =
		    log_topic_by_id(rd->w->log, rd->run->topics[b->topic].id);
		struct send s = {
		    .req = {.partition = log_partition_find(rd->w->log, t, b->partition)}};
		if (!send(rd, &s, b->bytes, b->len))
			return;
		if (s.req.err != ERR_OK || !s.req.duplicate || s.req.base_offset != b->offset)
			reading_problem(rd,
			    "batch %d again: %s, duplicate %d, offset %lld, was %lld", tag,
			    err_name(s.req.err), s.req.duplicate, (long long)s.req.base_offset,
			    (long long)b->offset);
		return;
	}
}

/* The log takes more, at the offset that follows. */
static void send_more(struct reading *rd)
{
	size_t len;
	uint8_t *batch = log_batch_new(1000, 1, 40, &len);
	for (int i = 0; i < rd->run->topic_count && !rd->o->problem[0]; i++) {
		if (!rd->o->there[i])
			continue;
		const struct log_topic *t = log_topic_by_id(rd->w->log, rd->run->topics[i].id);
		for (int p = 0; p < t->partition_count && !rd->o->problem[0]; p++) {
			struct send s = {
			    .req = {.partition = log_partition_find(rd->w->log, t, p)}};
			uint64_t before = rd->w->log->rounds.next_sequence;
			if (send(rd, &s, batch, len) &&
			    (s.req.err != ERR_OK || s.req.base_offset != rd->o->end[i][p] ||
			        s.req.sequence != before))
				reading_problem(rd,
				    "next append to %d-%d: %s offset %lld sequence %llu", i, p,
				    err_name(s.req.err), (long long)s.req.base_offset,
				    (unsigned long long)s.req.sequence);
		}
	}
	mem_free(batch);
}

/* ---- what is left over ----------------------------------------------------------------------- */

static bool is_known_dir(const struct reading *rd, const char *dir)
{
	const struct log_topic *t;
	size_t cursor = 0;
	while ((t = log_topic_next(rd->w->log, &cursor))) {
		for (int p = 0; p < t->partition_count; p++) {
			if (strcmp(log_partition_find(rd->w->log, t, p)->dir, dir) == 0)
				return true;
		}
	}
	return false;
}

static bool list_dir(struct reading *rd, const char *path, struct io_names *ret)
{
	enum err e = io_list(rd->w->io, path, ret);
	err_clear();
	if (e != ERR_OK && e != ERR_NOT_FOUND)
		reading_problem(rd, "%s: %s", path, err_name(e));
	return e == ERR_OK;
}

/* A start empties the trash and unlinks what was superseded or not finished. */
static void check_leftovers(struct reading *rd)
{
	struct io_names dirs, files;
	struct io_stat st;
	bool importing = io_stat(rd->w->io, "/d/import", &st) == ERR_OK; /* the next import's */
	err_clear();
	for (int i = 0; rd->w->log->drops > 0 && i < 10000; i++) {
		if (loop_step(rd->w->loop, 10 * MS_NS) != ERR_OK)
			break;
	}
	if (list_dir(rd, "/d/trash", &dirs)) {
		if (dirs.count > 0)
			reading_problem(rd, "trash/%s is left", dirs.name[0]);
		io_names_release(&dirs);
	}
	if (!list_dir(rd, "/d/topics", &dirs))
		return;
	for (size_t i = 0; i < dirs.count; i++) {
		char path[256];
		snprintf(path, sizeof(path), "/d/topics/%s", dirs.name[i]);
		if (!list_dir(rd, path, &files))
			continue;
		if (files.count > 0 && !importing && !is_known_dir(rd, dirs.name[i]))
			reading_problem(rd, "%s is nobody's", path);
		for (size_t f = 0; f < files.count; f++) {
			if (strstr(files.name[f], ".new"))
				reading_problem(rd, "%s/%s is left", path, files.name[f]);
		}
		io_names_release(&files);
	}
	io_names_release(&dirs);
}

/* An import that was cut off is made again, and comes to its end. */
static void import_again(struct reading *rd)
{
	const struct run_topic *t = NULL;
	struct io_stat st;
	enum err left = io_stat(rd->w->io, "/d/import", &st);
	err_clear();
	for (int i = 0; i < rd->run->topic_count; i++) {
		char path[32];
		snprintf(path, sizeof(path), "/k-%s", rd->run->topics[i].name);
		if (rd->run->topics[i].imported > 0 && io_stat(rd->w->io, path, &st) == ERR_OK)
			t = &rd->run->topics[i];
		err_clear();
	}
	if (left != ERR_OK || !t)
		return;
	run_world_stop(rd->w);
	enum err e = run_import_once(rd->run, rd->w->io, t->name);
	if (e != ERR_OK && e != ERR_TOPIC_EXISTS)
		reading_problem(rd, "import again: %s %s", err_name(e), err_chain());
	err_clear();
	if (io_stat(rd->w->io, "/d/import", &st) == ERR_OK)
		reading_problem(rd, "/d/import is left");
	err_clear();
	e = run_world_start(rd->run, rd->w);
	const struct log_topic *found =
	    e == ERR_OK ? log_topic_find(rd->w->log, str_of(t->name)) : NULL;
	struct log_partition_status ps = {.visible_end = -1};
	if (found)
		log_partition_status(log_partition_find(rd->w->log, found, 0), &ps);
	if (ps.visible_end < t->imported || rd->w->log->damaged_partitions > 0)
		reading_problem(rd, "%s, imported again, ends at %lld: %s %s", t->name,
		    (long long)ps.visible_end, err_name(e), err_chain());
	check_leftovers(rd);
}

static void read_all(struct reading *rd)
{
	const struct log_topic *t;
	size_t cursor = 0;
	read_topics(rd);
	read_gaps(rd);
	if (!rd->o->problem[0])
		reading_frames(rd);
	while (!rd->o->problem[0] && (t = log_topic_next(rd->w->log, &cursor))) {
		int topic = reading_topic(rd->run, t->id);
		for (int p = 0; topic >= 0 && p < t->partition_count; p++)
			reading_committed(rd, topic, p, log_partition_find(rd->w->log, t, p));
	}
	if (!rd->o->problem[0])
		read_sequences(rd);
	check_sets(rd);
}

void outcome_read(const struct run *run, struct run_world *w, struct outcome *o)
{
	struct reading rd = {run, w, o, .frame_count = 0};
	outcome_print(run, w, o);
	memcpy(o->rows, w->rows, sizeof(o->rows));
	writer_init(&rd.scratch, MIB);
	if (w->log->damaged_partitions > 0 || w->log->failed)
		reading_problem(&rd, "damaged partitions: %u, failed: %d",
		    w->log->damaged_partitions, w->log->failed);
	read_all(&rd);
	if (!o->problem[0])
		check_leftovers(&rd);
	if (!o->problem[0])
		send_again(&rd);
	if (!o->problem[0])
		send_more(&rd);
	if (!o->problem[0])
		import_again(&rd);
	writer_release(&rd.scratch);
}
