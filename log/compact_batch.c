/* SPDX-License-Identifier: Apache-2.0 */
/* See compact_batch.h. */
#include "log/compact_batch.h"

/* Where the fields stand that change. */
enum {
	AT_LENGTH = 8,
	AT_CRC = 17,
	AT_ATTRIBUTES = 21,
	AT_BASE_TIMESTAMP = 27,
	AT_MAX_TIMESTAMP = 35,
	AT_COUNT = 57,
	LENGTH_EXCLUDES = 12
};
/* What is kept from one batch to the next: as much as topics take that were given no larger
 * max.message.bytes. More is had for one batch, and given back with it. */
#define KEPT_MAX ((size_t)BATCH_BYTES_DEFAULT * DECOMPRESS_RATIO_MAX)
/* Length, attributes and timestamp of a record, as varints: what stands before the rest of it. */
#define RECORD_HEAD_MAX 16

void batch_rewriter_init(struct batch_rewriter *w)
{
	/* a new base makes records longer */
	writer_init(&w->plain, 2 * BATCH_PLAIN_MAX);
	writer_init(&w->out, SIZE_MAX);
}

static void writer_trim(struct writer *w)
{
	size_t limit = w->limit;
	if (w->capacity <= KEPT_MAX)
		return;
	writer_release(w);
	writer_init(w, limit);
}

void batch_rewriter_trim(struct batch_rewriter *w)
{
	writer_trim(&w->plain);
	writer_trim(&w->out);
}

/* Gives back what is behind the bytes that there are: not kept while the new batch is made. */
static void writer_fit(struct writer *w)
{
	if (w->capacity - w->len <= KEPT_MAX || w->len == 0)
		return;
	uint8_t *fitted = mem_realloc(w->ptr, w->len);
	if (!fitted)
		return;
	w->ptr = fitted;
	w->capacity = w->len;
}

void batch_rewriter_release(struct batch_rewriter *w)
{
	writer_release(&w->plain);
	writer_release(&w->out);
}

/* A walk over a batch's records with what is known of them. */
struct sift {
	struct record_iter it;
	const struct batch_change *change;
	struct batch_counts counts;
	int64_t max_ms;
	bool tombstone; /* one is kept */
};

/* The next record and its bytes, length included; ERR_EOF. */
static enum err sift_next(struct sift *s, struct record *ret_record, struct bytes *ret_raw)
{
	size_t from = s->it.records.pos;
	TRY(record_iter_next(&s->it, ret_record));
	*ret_raw = bytes_of(s->it.records.ptr + from, s->it.records.pos - from);
	return ERR_OK;
}

static bool sift_keeps(struct sift *s, const struct record *r)
{
	return !s->change->keep || s->change->keep(s->change->ctx, r);
}

/*
 * Leaves in w->plain what is kept, counts all. There the records of a compressed batch stand
 * already and those kept move to the front, never onto one that is still to be read; the others are
 * copied out of the batch.
 */
static enum err sift_records(struct batch_rewriter *w, struct sift *s)
{
	struct record r;
	struct bytes raw;
	enum err e;
	bool inside = batch_codec(&s->it.header) != BATCH_NONE;
	size_t kept = 0;
	s->max_ms = -1;
	if (!inside)
		writer_clear(&w->plain);
	while ((e = sift_next(s, &r, &raw)) == ERR_OK) {
		s->counts.records++;
		if (!sift_keeps(s, &r))
			continue;
		if (s->counts.kept++ == 0 || r.timestamp_ms > s->max_ms)
			s->max_ms = r.timestamp_ms;
		s->tombstone |= !r.value.ptr;
		if (inside)
			memmove(w->plain.ptr + kept, raw.ptr, raw.len);
		else
			write_bytes(&w->plain, raw);
		kept += raw.len;
	}
	TRY(w->plain.err);
	if (inside)
		w->plain.len = kept;
	return e == ERR_EOF ? ERR_OK : e;
}

/* A record's bytes in parts: before the rest stand length, attributes and timestamp delta. */
struct parts {
	uint8_t attributes;
	int64_t delta_ms;
	struct bytes rest;
};

/* The record at r->pos, which was read before. Moves behind it. */
static struct parts parts_next(struct reader *r)
{
	struct parts p;
	size_t len = (size_t)read_varint32(r), from = r->pos;
	p.attributes = read_u8(r);
	p.delta_ms = read_varint64(r);
	p.rest = read_bytes(r, len - (r->pos - from));
	ASSERT(!r->bad);
	return p;
}

/* What stands before p->rest when the base is `shift_ms` later; the length of it. */
static size_t parts_head(const struct parts *p, int64_t shift_ms, uint8_t out[RECORD_HEAD_MAX])
{
	struct writer w = {.ptr = out, .capacity = RECORD_HEAD_MAX, .limit = RECORD_HEAD_MAX};
	int64_t delta = p->delta_ms - shift_ms;
	write_varint64(&w, (int64_t)(1 + varint_len(delta) + p->rest.len));
	write_u8(&w, p->attributes);
	write_varint64(&w, delta);
	ASSERT(w.err == ERR_OK && w.ptr == out);
	return w.len;
}

/* How far the records of w->plain must move back so that none written anew from the front reaches
 * one that is still to be read. */
static size_t shift_room(const struct batch_rewriter *w, const struct sift *s, int64_t shift_ms)
{
	struct reader r = reader_of(writer_bytes(&w->plain));
	uint8_t head[RECORD_HEAD_MAX];
	size_t written = 0, room = 0;
	for (uint64_t i = 0; i < s->counts.kept; i++) {
		struct parts p = parts_next(&r);
		written += parts_head(&p, shift_ms, head) + p.rest.len;
		if (written > r.pos && written - r.pos > room)
			room = written - r.pos;
	}
	return room;
}

/* The records of w->plain once more in the same place, with timestamps from a new base. */
static enum err shift_base(struct batch_rewriter *w, const struct sift *s, int64_t shift_ms)
{
	size_t len = w->plain.len, room = shift_room(w, s, shift_ms);
	uint8_t head[RECORD_HEAD_MAX];
	if (room > 0 && !writer_reserve(&w->plain, room))
		return w->plain.err;
	uint8_t *out = w->plain.ptr;
	memmove(out + room, out, len);
	struct reader r = reader_of(bytes_of(out + room, len));
	for (uint64_t i = 0; i < s->counts.kept; i++) {
		struct parts p = parts_next(&r);
		size_t before = parts_head(&p, shift_ms, head);
		ASSERT(out + before + p.rest.len <= r.ptr + r.pos);
		memmove(out + before, p.rest.ptr, p.rest.len);
		memcpy(out, head, before);
		out += before + p.rest.len;
	}
	w->plain.len = (size_t)(out - w->plain.ptr);
	return ERR_OK;
}

/* Header fields as the batch has them, then what changed; what is in w->plain compressed with
 * `codec`. */
static enum err write_batch(
    struct batch_rewriter *w, struct bytes batch, const struct sift *s, int codec)
{
	uint8_t *head;
	writer_clear(&w->out);
	write_bytes(&w->out, bytes_slice(batch, 0, BATCH_HEADER_BYTES));
	if (s->counts.kept > 0)
		TRY(codec_compress(codec, writer_bytes(&w->plain), &w->out));
	TRY(w->out.err);
	head = w->out.ptr;
	unsigned attributes = get_u16_be(head + AT_ATTRIBUTES);
	attributes = (attributes & ~(unsigned)BATCH_ATTR_CODEC) | (unsigned)codec;
	put_u16_be(head + AT_ATTRIBUTES, (uint16_t)attributes);
	put_u32_be(head + AT_LENGTH, (uint32_t)(w->out.len - LENGTH_EXCLUDES));
	put_u32_be(head + AT_COUNT, (uint32_t)s->counts.kept);
	if (s->counts.kept > 0 && !(attributes & BATCH_ATTR_APPEND_TIME))
		put_u64_be(head + AT_MAX_TIMESTAMP, (uint64_t)s->max_ms);
	return ERR_OK;
}

static void seal_batch(struct batch_rewriter *w)
{
	struct bytes all = writer_bytes(&w->out);
	put_u32_be(w->out.ptr + AT_CRC, crc32c(bytes_slice(all, AT_ATTRIBUTES, all.len)));
}

/* Is a horizon to be set, and how far does the base move? */
static bool horizon_due(const struct sift *s, int64_t *ret_shift_ms)
{
	int64_t horizon, last;
	const struct batch_header *h = &s->it.header;
	if (s->change->horizon_ms < 0 || batch_delete_horizon(h, &horizon))
		return false;
	if (!s->tombstone && !s->change->force_horizon)
		return false;
	return !__builtin_sub_overflow(s->change->horizon_ms, h->base_timestamp_ms, ret_shift_ms) &&
	       !__builtin_sub_overflow(s->max_ms, *ret_shift_ms, &last) &&
	       *ret_shift_ms > INT64_MIN / 4 && *ret_shift_ms < INT64_MAX / 4;
}

enum err batch_rewrite(struct batch_rewriter *w, struct bytes batch,
    const struct batch_change *change, enum batch_outcome *ret_outcome, struct batch_counts *counts)
{
	struct sift s = {.change = change};
	int64_t shift_ms;
	TRY(record_iter_open(&s.it, batch, &w->plain, BATCH_PLAIN_MAX));
	TRY(sift_records(w, &s));
	writer_fit(&w->plain);
	int codec = batch_codec(&s.it.header);
	int wanted = change->codec >= 0 ? change->codec : codec;
	if (wanted == BATCH_NONE && w->plain.len > BATCH_BYTES_MAX - BATCH_HEADER_BYTES)
		wanted = codec;
	bool horizon = s.counts.kept > 0 && horizon_due(&s, &shift_ms);
	bool fewer = s.counts.kept < s.counts.records;
	counts->records += s.counts.records;
	counts->kept += s.counts.kept;
	*ret_outcome = s.counts.kept == 0 ? BATCH_EMPTY : BATCH_SAME;
	if (s.counts.kept == 0 || (!fewer && !horizon && wanted == codec))
		return ERR_OK;
	if (horizon)
		TRY(shift_base(w, &s, shift_ms));
	TRY(write_batch(w, batch, &s, wanted));
	if (!fewer && !horizon && w->out.len >= batch.len)
		return ERR_OK; /* recompressing it gains nothing */
	if (w->out.len > BATCH_BYTES_MAX && wanted != codec)
		TRY(write_batch(w, batch, &s, codec));
	if (w->out.len > BATCH_BYTES_MAX)
		return ERR_OK; /* the other codec's luck: it stays whole */
	if (horizon) {
		uint8_t *head = w->out.ptr;
		unsigned attributes = get_u16_be(head + AT_ATTRIBUTES);
		put_u16_be(
		    head + AT_ATTRIBUTES, (uint16_t)(attributes | BATCH_ATTR_DELETE_HORIZON));
		put_u64_be(head + AT_BASE_TIMESTAMP, (uint64_t)change->horizon_ms);
	}
	seal_batch(w);
	*ret_outcome = BATCH_CHANGED;
	return ERR_OK;
}

enum err batch_empty(struct batch_rewriter *w, struct bytes batch)
{
	struct sift s = {0};
	TRY(batch_header_read(batch, &s.it.header));
	TRY(write_batch(w, batch, &s, BATCH_NONE));
	unsigned attributes = get_u16_be(w->out.ptr + AT_ATTRIBUTES);
	put_u16_be(w->out.ptr + AT_ATTRIBUTES,
	    (uint16_t)(attributes & ~(unsigned)BATCH_ATTR_DELETE_HORIZON));
	put_u64_be(w->out.ptr + AT_BASE_TIMESTAMP, (uint64_t)s.it.header.max_timestamp_ms);
	seal_batch(w);
	return ERR_OK;
}
