/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a directory, reading it from end to end, letting each producer come again. What came of
 * it is
 *
 *   same            every record is there with its bytes, every transaction as it was
 *   same, blocked   and yet a partition is DAMAGED: produce is refused
 *   lost            records are missing in a partition that says so; the rest is right
 *   refused: NAME   the start is
 *   older           the newest rounds are gone and nothing else: as if the directory had been
 *                   copied before them. One copy cannot tell: only for a cut journal after a kill
 *   SILENT          anything else: never wanted
 */
#include "test/crash/flip.h"

#include "log/batch.h"
#include "log/checksum.h"
#include "test/crash/sweep.h"
#include "test/lib/log_fixture.h"
#include "test/lib/xmalloc.h"

#include <stdio.h>
#include <stdlib.h>

enum verdict { SAME, BLOCKED, LOST, OLDER, SILENT };
static const char *const verdict_names[] = {[SAME] = "same",
    [BLOCKED] = "same, blocked",
    [LOST] = "lost",
    [OLDER] = "older",
    [SILENT] = "SILENT"};
enum { GOT_MAX = 512 };

struct got_batch {
	int topic, partition;
	int64_t offset;
	uint64_t hash;
	int tag;                 /* of the run's batches; 0 = none of them */
	int64_t max_ms, by_time; /* what a search by that time finds; the reference only */
};
struct got_partition {
	bool damaged; /* and says so */
	int64_t stable_end;
	uint64_t shown; /* which batches a reader of committed data is shown */
};
struct got {
	struct got_batch batch[GOT_MAX]; /* by topic, partition, offset */
	size_t count;
	struct got_partition partition[RUN_TOPICS_MAX][RUN_PARTITIONS_MAX];
	bool wrong; /* not a batch, twice, out of order */
	bool topic_gone, failed, damaged;
};
struct flip_reference {
	const struct run *run;
	struct got got;
	unsigned nth, turn; /* batches looked for alone: i % nth == turn % nth */
};

/* ---- reading --------------------------------------------------------------------------------- */

static void set_true(struct log_read *req)
{
	*(bool *)req->user = true;
}

static void read_at(struct run_world *w, struct log_partition *p, int64_t at, size_t max_bytes,
    bool committed, struct log_read *ret)
{
	bool done = false;
	*ret = (struct log_read){.partition = p,
	    .offset = at,
	    .max_bytes = max_bytes,
	    .read_committed = committed,
	    .user = &done,
	    .done = set_true};
	log_read(w->log, ret);
	for (int i = 0; !done && i < 1000; i++)
		assert_ok(loop_step(w->loop, 10 * MS_NS));
	assert_true(done);
}

static int tag_of(const struct run *run, int topic, int partition, int64_t offset)
{
	for (int tag = 1; tag <= run->batch_count; tag++) {
		const struct run_batch *b = &run->batches[tag];
		if (b->topic == topic && b->partition == partition && b->offset == offset)
			return tag;
	}
	return 0;
}

static void see(
    const struct run *run, struct got *got, int topic, int partition, struct bytes batch)
{
	struct batch_header h;
	const struct got_batch *last = got->count > 0 ? &got->batch[got->count - 1] : NULL;
	if (batch_header_read(batch, &h) != ERR_OK ||
	    (last && last->topic == topic && last->partition == partition &&
	        last->offset >= h.base_offset)) {
		got->wrong = true;
		return;
	}
	ASSERT(got->count < GOT_MAX);
	got->batch[got->count++] = (struct got_batch){.topic = topic,
	    .partition = partition,
	    .offset = h.base_offset,
	    .hash = checksum64(batch.ptr, batch.len, 0),
	    .max_ms = h.max_timestamp_ms,
	    .tag = tag_of(run, topic, partition, h.base_offset)};
}

/* As a Kafka client filters what it has fetched: a sum over the offsets that it shows. */
static uint64_t shown_of(const struct log_read *req)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < req->batch_count; i++) {
		struct batch_header h;
		bool hidden = false;
		if (batch_header_read(req->batches[i], &h) != ERR_OK)
			continue;
		for (size_t a = 0; a < req->aborted_count; a++) {
			const struct log_aborted *x = &req->aborted[a];
			hidden |= x->producer_id == h.producer_id && x->first_offset >= 0 &&
			          x->first_offset <= h.base_offset;
		}
		if (h.attributes & BATCH_ATTR_CONTROL) {
			for (size_t a = 0; a < req->aborted_count; a++) {
				struct log_aborted *x = &req->aborted[a];
				if (x->producer_id == h.producer_id &&
				    x->first_offset <= h.base_offset)
					x->first_offset = -1; /* its marker */
			}
		} else if (h.count > 0 && !((h.attributes & BATCH_ATTR_TRANSACTIONAL) && hidden)) {
			sum += (uint64_t)(h.base_offset + 1) * UINT64_C(0x9e3779b97f4a7c15);
		}
	}
	return sum;
}

static void read_partition(const struct run *run, struct run_world *w, int topic, int partition,
    struct log_partition *p, struct got *got)
{
	struct got_partition *gp = &got->partition[topic][partition];
	struct log_partition_status st;
	struct log_read req;
	log_partition_status(p, &st);
	gp->damaged = st.damaged;
	for (int64_t at = st.log_start; at < st.visible_end;) {
		read_at(w, p, at, 64 * KIB, false, &req);
		if (req.err != ERR_OK || req.batch_count == 0) {
			gp->damaged = true;
			at++; /* a client goes on behind what it cannot have */
		} else {
			for (size_t i = 0; i < req.batch_count; i++)
				see(run, got, topic, partition, req.batches[i]);
			got->wrong |= req.next_offset <= at;
			at = req.next_offset > at ? req.next_offset : at + 1;
		}
		log_read_release(&req);
	}
	log_partition_status(p, &st);
	gp->damaged |= st.damaged;
	gp->stable_end = st.stable_end;
	for (int64_t at = st.log_start; at < st.stable_end && !gp->damaged;) {
		read_at(w, p, at, 64 * KIB, true, &req);
		gp->shown += shown_of(&req);
		gp->damaged |= req.err != ERR_OK;
		at = req.batch_count > 0 && req.next_offset > at ? req.next_offset : st.stable_end;
		log_read_release(&req);
	}
}

static void read_all(const struct run *run, struct run_world *w, struct got *got)
{
	*got = (struct got){.count = 0};
	for (int t = 0; t < run->topic_count; t++) {
		const struct log_topic *topic = log_topic_by_id(w->log, run->topics[t].id);
		got->topic_gone |= !topic;
		for (int p = 0; topic && p < topic->partition_count; p++) {
			read_partition(run, w, t, p, log_partition_find(w->log, topic, p), got);
			got->damaged |= got->partition[t][p].damaged;
		}
	}
	got->damaged |= w->log->damaged_partitions > 0;
	got->failed = w->log->failed;
}

static char silent_because[100];

static bool wrong(const char *what, int topic, int partition, int64_t at)
{
	snprintf(silent_because, sizeof(silent_because), " (%s %d-%d at %lld)", what, topic,
	    partition, (long long)at);
	return false;
}

/* ---- one by one: by offset and by time, in no order ------------------------------------------- */

static struct log_partition *partition_of(
    const struct run *run, struct run_world *w, const struct got_batch *b)
{
	const struct log_topic *t = log_topic_by_id(w->log, run->topics[b->topic].id);
	return log_partition_find(w->log, t, b->partition);
}

static bool at_offset(struct run_world *w, struct log_partition *p, const struct got_batch *b)
{
	struct log_read req;
	read_at(w, p, b->offset, 1, false, &req);
	bool good = req.err == ERR_OK && req.batch_count > 0 &&
	            checksum64(req.batches[0].ptr, req.batches[0].len, 0) == b->hash;
	log_read_release(&req);
	return good;
}

static void time_done(struct log_find_time *req)
{
	*(bool *)req->user = true;
}

static int64_t at_time(struct run_world *w, struct log_partition *p, int64_t ms)
{
	bool done = false;
	struct log_find_time req = {
	    .partition = p, .timestamp_ms = ms, .user = &done, .done = time_done};
	log_find_time(w->log, &req);
	for (int i = 0; !done && i < 1000; i++)
		assert_ok(loop_step(w->loop, 10 * MS_NS));
	assert_true(done);
	return req.err == ERR_OK ? req.offset : -2;
}

/* And scanned from the middle on, as a view would. */
static bool scanned(struct run_world *w, const struct run *run, const struct run_batch *b)
{
	struct log_scan_source source = {run->topics[b->topic].id, b->partition, b->offset};
	struct log_batch_view v;
	struct log_scan *scan;
	uint64_t stable;
	if (log_scan_open(w->log, &source, 1, &scan) != ERR_OK)
		return false;
	enum err e = log_scan_next(scan, &v, &stable);
	bool good = e == ERR_OK && v.base_offset == b->offset && v.sequence == b->sequence;
	log_scan_close(scan);
	return good;
}

/* Where nothing was lost each batch is found by itself, and a time gives what it gave. */
static bool found_alone(
    const struct flip_reference *ref, struct run_world *w, const struct got *now)
{
	const struct run *run = ref->run;
	for (size_t i = ref->turn % ref->nth; i < ref->got.count; i += ref->nth) {
		const struct got_batch *b = &ref->got.batch[i * 7919 % ref->got.count];
		const struct run_batch *sent = &run->batches[b->tag];
		if (now->partition[b->topic][b->partition].damaged || b->tag == 0)
			continue;
		struct log_partition *p = partition_of(run, w, b);
		bool plain = !sent->transactional && sent->marker == RUN_DATA &&
		             !run->topics[b->topic].rewritten;
		if (!at_offset(w, p, b) || (plain && !scanned(w, run, sent)))
			return wrong("not found alone", b->topic, b->partition, b->offset);
		if (at_time(w, p, b->max_ms) != b->by_time)
			return wrong("not found by time", b->topic, b->partition, b->offset);
	}
	return true;
}

/* ---- producers ------------------------------------------------------------------------------- */

static void again_done(struct log_append *req)
{
	*(bool *)req->user = true;
}

/* Its last batch once more, which loads what the partition knows of it. */
static bool known_one(const struct run *run, struct run_world *w, const struct run_batch *b)
{
	bool done = false;
	const struct log_topic *t = log_topic_by_id(w->log, run->topics[b->topic].id);
	struct log_append req = {.partition = log_partition_find(w->log, t, b->partition),
	    .batch = xmalloc(b->len),
	    .batch_len = b->len,
	    .user = &done,
	    .done = again_done};
	memcpy(req.batch, b->bytes, b->len);
	log_append(w->log, &(struct log_append *){&req}, 1, false);
	for (int i = 0; !done && i < 1000; i++)
		assert_ok(loop_step(w->loop, 10 * MS_NS));
	assert_true(done);
	free(req.batch);
	return req.err == ERR_OK && req.duplicate && req.base_offset == b->offset;
}

static bool known_again(const struct run *run, struct run_world *w, const struct got *got)
{
	bool asked[RUN_TOPICS_MAX][RUN_PARTITIONS_MAX] = {{false}};
	for (size_t i = got->count; i-- > 0;) {
		const struct run_batch *b = &run->batches[got->batch[i].tag];
		if (got->batch[i].tag == 0 || b->producer < 0 || b->transactional ||
		    b->marker != RUN_DATA || asked[b->topic][b->partition] ||
		    got->partition[b->topic][b->partition].damaged)
			continue;
		asked[b->topic][b->partition] = true;
		if (!known_one(run, w, b))
			return wrong("not known again", b->topic, b->partition, b->offset);
	}
	return true;
}

/* ---- comparing ------------------------------------------------------------------------------- */

static int order(const struct got_batch *a, const struct got_batch *b)
{
	if (a->topic != b->topic)
		return a->topic - b->topic;
	if (a->partition != b->partition)
		return a->partition - b->partition;
	return a->offset < b->offset ? -1 : a->offset > b->offset;
}

struct missing {
	bool said;              /* in a partition that says so */
	uint64_t first, newest; /* sequences: the first that is gone without a word; there */
};

/* False: something is there that was not. */
static bool missing_of(const struct flip_reference *ref, const struct got *now, struct missing *ret)
{
	const struct got *was = &ref->got;
	size_t k = 0;
	*ret = (struct missing){.first = UINT64_MAX};
	for (size_t i = 0; i < was->count; i++) {
		const struct got_batch *b = &was->batch[i];
		uint64_t sequence = ref->run->batches[b->tag].sequence;
		int o = k < now->count ? order(&now->batch[k], b) : 1;
		if (o < 0 || (o == 0 && now->batch[k].hash != b->hash))
			return wrong(o ? "new" : "other bytes", now->batch[k].topic,
			    now->batch[k].partition, now->batch[k].offset);
		if (o == 0) {
			k++;
			ret->newest = sequence > ret->newest ? sequence : ret->newest;
		} else if (now->partition[b->topic][b->partition].damaged) {
			ret->said = true;
		} else if (sequence < ret->first) {
			ret->first = sequence;
			(void)wrong("gone", b->topic, b->partition, b->offset);
		}
	}
	return k == now->count || wrong("new", now->batch[k].topic, now->batch[k].partition, -1);
}

static bool transactions_same(const struct flip_reference *ref, const struct got *now)
{
	for (int t = 0; t < ref->run->topic_count; t++) {
		for (int p = 0; p < RUN_PARTITIONS_MAX; p++) {
			const struct got_partition *a = &ref->got.partition[t][p],
			                           *b = &now->partition[t][p];
			if (!b->damaged && (a->stable_end != b->stable_end || a->shown != b->shown))
				return wrong(
				    a->shown != b->shown ? "shown" : "stable", t, p, b->stable_end);
		}
	}
	return true;
}

static enum verdict compare(const struct flip_reference *ref, struct run_world *w)
{
	static struct got now;
	struct missing m;
	read_all(ref->run, w, &now);
	bool right = missing_of(ref, &now, &m) && !now.wrong && !now.failed;
	if (m.first != UINT64_MAX)
		return right && m.first > m.newest && !now.topic_gone ? OLDER : SILENT;
	if (!right || !transactions_same(ref, &now) || !found_alone(ref, w, &now) ||
	    !known_again(ref->run, w, &now) || w->log->failed)
		return SILENT;
	return m.said ? LOST : now.damaged ? BLOCKED : SAME;
}

struct flip_reference *flip_reference_new(const struct run *run)
{
	struct flip_reference *ref = xcalloc(1, sizeof(*ref));
	struct run_world w;
	struct sim_disk *d = sim_disk_clone(run->disk);
	ref->run = run;
	ref->nth = 1;
	assert_ok(run_world_open(run, d, false, &w));
	read_all(run, &w, &ref->got);
	assert_false(ref->got.wrong || ref->got.failed || ref->got.damaged || ref->got.topic_gone);
	for (size_t i = 0; i < ref->got.count; i++) {
		struct got_batch *b = &ref->got.batch[i];
		b->by_time = at_time(&w, partition_of(run, &w, b), b->max_ms);
		assert_true(b->by_time >= 0);
	}
	run_world_kill(&w);
	sim_disk_free(d);
	return ref;
}

void flip_reference_free(struct flip_reference *ref)
{
	free(ref);
}

void flip_look_for(struct flip_reference *ref, unsigned nth)
{
	ref->nth = nth;
}

void flip_judge(struct flip_reference *ref, struct sim_disk *d, const struct told *usual,
    char *text, size_t len)
{
	struct run_world w;
	ref->turn++;
	told_clear();
	sweep_alive();
	enum err e = run_world_open(ref->run, d, false, &w);
	if (e != ERR_OK) {
		snprintf(text, len, "refused: %s", err_name(e));
		err_clear();
		return;
	}
	enum verdict v = compare(ref, &w);
	run_world_kill(&w);
	int n = snprintf(text, len, "%s%s", verdict_names[v], v == SILENT ? silent_because : "");
	told_names(usual, text + n + 2, len - (size_t)n - 2);
	if (text[n + 2])
		memcpy(text + n, ": ", 2);
}
