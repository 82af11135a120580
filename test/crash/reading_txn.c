/* SPDX-License-Identifier: Apache-2.0 */
/* Transactions, as readers of committed data see them. See reading.h. */
#include "test/crash/reading.h"

enum reading_fate reading_fate(const struct reading *rd, int tag)
{
	const struct run_batch *b = &rd->run->batches[tag];
	if (b->marker != RUN_DATA)
		return READING_MARKER;
	if (!b->transactional)
		return READING_SHOWN;
	if (b->ended_by == 0 || !outcome_has(rd->o, b->ended_by))
		return READING_OPEN;
	return rd->run->batches[b->ended_by].marker == RUN_COMMIT ? READING_SHOWN : READING_ABORTED;
}

uint64_t reading_stable(const struct reading *rd)
{
	uint64_t stable = rd->w->log->durable_sequence;
	for (int i = 0; i < rd->frame_count; i++) {
		const struct reading_frame *f = &rd->frames[i];
		if (f->tag > 0 && reading_fate(rd, f->tag) == READING_OPEN && f->sequence <= stable)
			stable = f->sequence - 1;
	}
	return stable;
}

/* ---- one answer ------------------------------------------------------------------------------ */

struct get {
	struct log_read req;
	bool done;
};

static void get_done(struct log_read *req)
{
	CONTAINER_OF(req, struct get, req)->done = true;
}

enum { ABORTED_MAX = 64 };
struct filter {
	bool begun[ABORTED_MAX];
};

/* As a client does it: is this batch passed over? */
static bool filtered(struct filter *x, struct log_read *r, struct bytes batch)
{
	struct batch_header h;
	struct batch_marker m;
	bool aborted = false;
	if (batch_header_read(batch, &h) != ERR_OK || r->aborted_count > ABORTED_MAX)
		return false;
	for (size_t i = 0; i < r->aborted_count; i++) {
		x->begun[i] |= r->aborted[i].first_offset <= h.base_offset + h.last_offset_delta;
		aborted |= x->begun[i] && r->aborted[i].producer_id == h.producer_id;
	}
	if (!batch_marker_read(batch, &m))
		return aborted && (h.attributes & BATCH_ATTR_TRANSACTIONAL);
	for (size_t i = 0; i < r->aborted_count && !m.commit; i++) {
		if (x->begun[i] && r->aborted[i].producer_id == m.producer_id)
			r->aborted[i].producer_id = -2; /* it is over */
	}
	return true;
}

/* ---- a partition ----------------------------------------------------------------------------- */

static int64_t stable_end(
    const struct reading *rd, int topic, int partition, const struct log_partition *part)
{
	int64_t end = part->visible_end;
	for (int i = 0; i < rd->frame_count; i++) {
		const struct reading_frame *f = &rd->frames[i];
		if (f->topic == topic && f->partition == partition && f->tag > 0 &&
		    reading_fate(rd, f->tag) == READING_OPEN && f->offset < end)
			end = f->offset;
	}
	return end > part->log_start ? end : part->log_start;
}

static void show(struct reading *rd, int topic, int partition, struct log_read *r, uint64_t *shown)
{
	struct filter x = {{false}};
	for (size_t i = 0; i < r->batch_count; i++) {
		struct batch_header h = batch_peek(r->batches[i].ptr);
		if (filtered(&x, r, r->batches[i]))
			continue;
		for (int f = 0; f < rd->frame_count; f++) {
			const struct reading_frame *frame = &rd->frames[f];
			if (frame->topic == topic && frame->partition == partition &&
			    frame->tag > 0 && frame->offset == h.base_offset)
				shown[f / 64] |= UINT64_C(1) << (f % 64);
		}
	}
}

/* X5: of an aborted transaction that the partition knows, the marker is there. */
static void check_aborted(
    struct reading *rd, int topic, int partition, const struct log_partition *part)
{
	for (size_t i = 0; i < part->txns.aborted_count && !rd->o->problem[0]; i++) {
		const struct txn_aborted *a = &part->txns.aborted[i];
		bool there = false;
		for (int k = 0; k < rd->frame_count && !there; k++) {
			const struct reading_frame *f = &rd->frames[k];
			there = f->topic == topic && f->partition == partition && f->tag > 0 &&
			        f->offset == a->last_offset;
		}
		if (!there)
			reading_problem(rd,
			    "%d-%d: an aborted transaction without a marker at %lld", topic,
			    partition, (long long)a->last_offset);
	}
}

void reading_committed(struct reading *rd, int topic, int partition, struct log_partition *part)
{
	uint64_t shown[READING_FRAMES_MAX / 64] = {0};
	int64_t end = stable_end(rd, topic, partition, part);
	rd->o->stable[topic][partition] = end;
	for (int64_t at = part->log_start; at < end && !rd->o->problem[0];) {
		struct get g = {.req = {.partition = part,
		                    .offset = at,
		                    .max_bytes = 64 * KIB,
		                    .read_committed = true,
		                    .done = get_done}};
		log_read(rd->w->log, &g.req);
		if (!reading_until(rd, &g.done))
			return;
		if (g.req.err != ERR_OK || g.req.stable_end != end || g.req.next_offset <= at ||
		    g.req.next_offset > end)
			reading_problem(rd,
			    "%d-%d committed from %lld: %s, to %lld, stable %lld not %lld", topic,
			    partition, (long long)at, err_name(g.req.err),
			    (long long)g.req.next_offset, (long long)g.req.stable_end,
			    (long long)end);
		else
			show(rd, topic, partition, &g.req, shown);
		at = g.req.next_offset;
		log_read_release(&g.req);
	}
	check_aborted(rd, topic, partition, part);
	for (int i = 0; i < rd->frame_count && !rd->o->problem[0]; i++) {
		const struct reading_frame *f = &rd->frames[i];
		if (f->topic != topic || f->partition != partition || f->tag == 0 ||
		    f->last_offset < part->log_start)
			continue;
		bool want = f->offset < end && reading_fate(rd, f->tag) == READING_SHOWN;
		if ((shown[i / 64] >> (i % 64) & 1) != want)
			reading_problem(rd, "%d-%d: batch %d is %s readers of committed data",
			    topic, partition, f->tag, want ? "kept from" : "shown to");
	}
}
