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
/* What any batch that was accepted decompresses to at most. */
#define PLAIN_MAX (BATCH_BYTES_MAX * DECOMPRESS_RATIO_MAX)
/* What is kept from one batch to the next: as much as topics take that were given no larger
 * max.message.bytes. More is had for one batch, and given back with it. */
#define KEPT_MAX ((size_t)BATCH_BYTES_DEFAULT * DECOMPRESS_RATIO_MAX)

void batch_rewriter_init(struct batch_rewriter *w)
{
	writer_init(&w->plain, PLAIN_MAX);
	writer_init(&w->records, PLAIN_MAX);
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
	writer_trim(&w->records);
	writer_trim(&w->out);
}

void batch_rewriter_release(struct batch_rewriter *w)
{
	writer_release(&w->plain);
	writer_release(&w->records);
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

/* Copies what is kept to w->records, counts all. */
static enum err sift_copy(struct batch_rewriter *w, struct sift *s)
{
	struct record r;
	struct bytes raw;
	enum err e;
	s->max_ms = -1;
	while ((e = sift_next(s, &r, &raw)) == ERR_OK) {
		s->counts.records++;
		if (!sift_keeps(s, &r))
			continue;
		if (s->counts.kept++ == 0 || r.timestamp_ms > s->max_ms)
			s->max_ms = r.timestamp_ms;
		s->tombstone |= !r.value.ptr;
		write_bytes(&w->records, raw);
	}
	TRY(w->records.err);
	return e == ERR_EOF ? ERR_OK : e;
}

/* One record with its timestamp told from another base. */
static void write_shifted(
    struct writer *out, struct bytes raw, const struct batch_header *h, int64_t shift_ms)
{
	struct reader r = reader_of(raw);
	(void)read_varint32(&r); /* its length */
	uint8_t attributes = read_u8(&r);
	int64_t delta = read_varint64(&r) - shift_ms;
	struct bytes rest = bytes_slice(raw, r.pos, raw.len);
	ASSERT(!r.bad && h->magic == 2);
	write_varint64(out, (int64_t)(1 + varint_len(delta) + rest.len));
	write_u8(out, attributes);
	write_varint64(out, delta);
	write_bytes(out, rest);
}

/* The records of w->records once more, with timestamps from a new base. */
static enum err shift_base(struct batch_rewriter *w, struct sift *s, int64_t shift_ms)
{
	struct writer from = w->records;
	struct reader r = reader_of(writer_bytes(&from));
	writer_init(&w->records, PLAIN_MAX);
	for (uint64_t i = 0; i < s->counts.kept; i++) {
		size_t at = r.pos;
		int32_t len = read_varint32(&r);
		read_skip(&r, (size_t)len);
		ASSERT(!r.bad);
		write_shifted(
		    &w->records, bytes_of(r.ptr + at, r.pos - at), &s->it.header, shift_ms);
	}
	writer_release(&from);
	return w->records.err;
}

/* Header fields as the batch has them, then what changed; the records compressed with `codec`. */
static enum err write_batch(
    struct batch_rewriter *w, struct bytes batch, const struct sift *s, int codec)
{
	uint8_t *head;
	writer_clear(&w->out);
	write_bytes(&w->out, bytes_slice(batch, 0, BATCH_HEADER_BYTES));
	if (s->counts.kept > 0)
		TRY(codec_compress(codec, writer_bytes(&w->records), &w->out));
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
	writer_clear(&w->records);
	TRY(record_iter_open(&s.it, batch, &w->plain, PLAIN_MAX));
	TRY(sift_copy(w, &s));
	writer_trim(&w->plain); /* what is wanted of it is in w->records: never both and a third */
	int codec = batch_codec(&s.it.header);
	int wanted = change->codec >= 0 ? change->codec : codec;
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
