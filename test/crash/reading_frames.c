/* SPDX-License-Identifier: Apache-2.0 */
/* Batches by what is in them, and frames as they are in the files. See reading.h. */
#include "test/crash/reading.h"

#include <ctype.h>
#include <stdio.h>

/* ---- which batch ----------------------------------------------------------------------------- */

static int marker_tag(const struct reading *rd, int topic, int partition, struct bytes batch)
{
	struct batch_marker m;
	if (!batch_marker_read(batch, &m))
		return 0;
	for (int tag = 1; tag <= rd->run->batch_count; tag++) {
		const struct run_batch *b = &rd->run->batches[tag];
		if (b->marker == (m.commit ? RUN_COMMIT : RUN_ABORT) && b->topic == topic &&
		    b->partition == partition && b->producer == m.producer_id &&
		    b->producer_epoch == m.producer_epoch)
			return tag;
	}
	return 0;
}

/* Compaction has taken all its records. */
static int emptied_tag(
    const struct reading *rd, int topic, int partition, const struct batch_header *h)
{
	for (int tag = 1; tag <= rd->run->batch_count; tag++) {
		const struct run_batch *b = &rd->run->batches[tag];
		if (b->topic == topic && b->partition == partition && b->producer >= 0 &&
		    b->producer == h->producer_id && b->producer_epoch == h->producer_epoch &&
		    b->producer_sequence == h->base_sequence && b->keys[0])
			return tag;
	}
	return 0;
}

static int record_tag(const struct record *rec)
{
	uint64_t tag = 0;
	struct str name;
	struct bytes value;
	struct reader headers = reader_of(rec->headers);
	if (rec->header_count == 0)
		return str_to_u64(bytes_str(rec->key), &tag) && tag <= RUN_BATCHES_MAX ? (int)tag
		                                                                       : 0;
	(void)read_varint32(&headers); /* how many */
	if (record_header_next(&headers, &name, &value) != ERR_OK ||
	    !str_to_u64(bytes_str(value), &tag) || tag > RUN_BATCHES_MAX)
		return 0;
	return (int)tag;
}

int reading_tag(struct reading *rd, int topic, int partition, struct bytes batch)
{
	struct batch_header h;
	struct record_iter it;
	struct record rec;
	if (batch_header_read(batch, &h) != ERR_OK)
		return 0;
	if (h.attributes & BATCH_ATTR_CONTROL)
		return marker_tag(rd, topic, partition, batch);
	if (h.count == 0)
		return emptied_tag(rd, topic, partition, &h);
	if (record_iter_open(&it, batch, &rd->scratch, MIB) != ERR_OK ||
	    record_iter_next(&it, &rec) != ERR_OK)
		return 0;
	int tag = record_tag(&rec);
	return tag <= rd->run->batch_count ? tag : 0;
}

/* ---- which of its records -------------------------------------------------------------------- */

static bool record_as_sent(
    const struct run_batch *b, int tag, int64_t base, const struct record *rec)
{
	char value[32];
	int64_t i = rec->offset - base;
	if (i < 0 || i >= b->count || record_tag(rec) != tag || rec->timestamp_ms != 1000 + tag)
		return false;
	char key = b->keys[i];
	if (rec->key.len != 1 || rec->key.ptr[0] != tolower((unsigned char)key))
		return false;
	if (isupper((unsigned char)key))
		return !rec->value.ptr;
	int n = snprintf(value, sizeof(value), "value %c of %d", key, tag);
	return rec->value.len > (size_t)n && memcmp(rec->value.ptr, value, (size_t)n + 1) == 0;
}

unsigned reading_records(struct reading *rd, int tag, struct bytes batch)
{
	const struct run_batch *b = &rd->run->batches[tag];
	struct record_iter it;
	struct record rec;
	unsigned kept = 0;
	enum err e = record_iter_open(&it, batch, &rd->scratch, MIB);
	if (e == ERR_OK &&
	    (it.header.last_offset_delta != b->count - 1 || it.header.producer_id != b->producer ||
	        it.header.base_sequence != b->producer_sequence))
		e = ERR_CORRUPT;
	while (e == ERR_OK && (e = record_iter_next(&it, &rec)) == ERR_OK) {
		if (!record_as_sent(b, tag, it.header.base_offset, &rec))
			e = ERR_CORRUPT;
		else
			kept |= 1U << (rec.offset - it.header.base_offset);
	}
	if (e != ERR_EOF)
		reading_problem(rd, "batch %d is not as it was sent: %s", tag, err_name(e));
	return kept;
}

/* ---- files ----------------------------------------------------------------------------------- */

struct walked {
	struct reading *rd;
	struct log_partition *part;
	int topic, partition;
	int64_t next; /* offset */
};

static void note(struct walked *x, const struct frame *f, struct bytes body)
{
	struct reading *rd = x->rd;
	struct frame_hole hole = {.first_sequence = f->sequence};
	int64_t last = f->base_offset + (int64_t)f->last_offset_delta;
	bool is_hole = (f->flags & FRAME_HOLE) != 0;
	if (f->base_offset >= x->part->visible_end)
		return;
	if (is_hole && frame_hole_decode(f, body, &hole) != ERR_OK)
		reading_problem(rd, "%d-%d: a hole that does not decode", x->topic, x->partition);
	if (x->next >= 0 && f->base_offset != x->next)
		reading_problem(rd, "%d-%d: frame at offset %lld, %lld follows", x->topic,
		    x->partition, (long long)f->base_offset, (long long)x->next);
	x->next = last + 1;
	ASSERT(rd->frame_count < READING_FRAMES_MAX);
	rd->frames[rd->frame_count++] = (struct reading_frame){.topic = x->topic,
	    .partition = x->partition,
	    .offset = f->base_offset,
	    .last_offset = last,
	    .first_sequence = hole.first_sequence,
	    .sequence = f->sequence,
	    .tag = is_hole ? 0 : reading_tag(rd, x->topic, x->partition, body)};
	for (int i = 0; i < rd->o->gap_count; i++) {
		if (f->sequence >= rd->o->gaps[i].first && f->sequence <= rd->o->gaps[i].last)
			reading_problem(rd, "%d-%d: sequence %llu is there and in a gap", x->topic,
			    x->partition, (unsigned long long)f->sequence);
	}
}

static enum err walk_segment(struct walked *x, const struct segment *s)
{
	char path[LOG_PATH_MAX], name[SEGMENT_NAME_BYTES];
	struct io *io = x->rd->w->io;
	struct segment_walk walk;
	struct frame f;
	struct bytes body;
	uint32_t pos;
	int fd;
	enum err e;
	if (s->size <= SEGMENT_HEADER_BYTES)
		return ERR_OK;
	TRY(partition_path(x->part, segment_file_name(s, ".log", name), path));
	TRY(io_open(io, path, IO_READONLY, &fd));
	segment_walk_init(&walk, io, fd, s->seed, 64 * KIB);
	segment_walk_range(&walk, SEGMENT_HEADER_BYTES, s->size);
	walk.holes = true;
	while ((e = segment_walk_next(&walk, &f, &pos, &body)) == ERR_OK)
		note(x, &f, body);
	segment_walk_release(&walk);
	enum err closed = io_close(io, fd);
	return e == ERR_EOF ? closed : e;
}

void reading_frames(struct reading *rd)
{
	const struct log_topic *t;
	size_t cursor = 0;
	while ((t = log_topic_next(rd->w->log, &cursor)) && !rd->o->problem[0]) {
		int topic = reading_topic(rd->run, t->id);
		for (int p = 0; topic >= 0 && p < t->partition_count; p++) {
			struct walked x = {.rd = rd,
			    .part = log_partition_find(rd->w->log, t, p),
			    .topic = topic,
			    .partition = p,
			    .next = -1};
			LIST_EACH (&x.part->segments, n, next) {
				enum err e =
				    walk_segment(&x, CONTAINER_OF(n, struct segment, node));
				if (e != ERR_OK)
					reading_problem(rd, "%d-%d: %s", topic, p, err_chain());
			}
		}
	}
}

const struct reading_frame *reading_frame_of(const struct reading *rd, uint64_t sequence)
{
	for (int i = 0; i < rd->frame_count; i++) {
		const struct reading_frame *f = &rd->frames[i];
		if (sequence >= f->first_sequence && sequence <= f->sequence)
			return f;
	}
	return NULL;
}
