/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records of one RecordBatch v2:
 *
 *   length varint | attributes i8 | timestamp delta varlong | offset delta varint
 *   | key length varint, key | value length varint, value
 *   | header count varint | { key length varint, key, value length varint, value }...
 *
 * All varints zigzag. -1 is null (key, value, header value). A record is good when it ends exactly
 * where its length says. Slices point into the batch, or into the scratch of decompression.
 */
#include "log/batch.h"

enum {
	HEADER_ENTRY_MIN = 2, /* an empty key and a null value: one byte of length each */
	PLAIN_NUMBER = 3,     /* bytes of a number, record_plain */
	PLAIN_BYTES = 16      /* of a record: what comes before its key is there */
};

static struct bytes not_null(struct bytes b)
{
	return b.ptr ? b : bytes_of("", 0);
}

/* A length, -1 for null, and that many bytes. */
static inline struct bytes read_nullable(struct reader *r)
{
	int32_t len = read_varint32(r);
	if (len == -1)
		return (struct bytes){NULL, 0};
	if (len < 0) {
		r->bad = true;
		return (struct bytes){NULL, 0};
	}
	return not_null(read_bytes(r, (size_t)len));
}

enum err record_header_next(struct reader *headers, struct str *ret_key, struct bytes *ret_value)
{
	if (!headers->bad && reader_left(headers) == 0)
		return ERR_EOF;
	struct bytes key = read_nullable(headers);
	struct bytes value = read_nullable(headers);
	if (headers->bad || !key.ptr)
		return err_note(ERR_CORRUPT_MESSAGE, "record header is malformed");
	*ret_key = bytes_str(key);
	*ret_value = value;
	return ERR_OK;
}

/* `count` entries, which end exactly at the end of the record. `headers` begins with the count. */
static bool headers_are_good(struct bytes headers, int32_t count)
{
	struct reader r = reader_of(headers);
	(void)read_varint32(&r);
	if (count < 0 || (size_t)count > reader_left(&r) / HEADER_ENTRY_MIN)
		return false;
	for (int32_t i = 0; i < count; i++) {
		struct str key;
		struct bytes value;
		if (record_header_next(&r, &key, &value) != ERR_OK)
			return false;
	}
	return reader_left(&r) == 0;
}

/*
 * The walk over the fields of a record is the innermost loop of every view: position and bytes stay
 * in registers (nothing takes their address but what is inlined).
 */
#define INLINE static inline __attribute__((always_inline))

INLINE bool take_varint(struct bytes b, size_t *at, int64_t *ret_value)
{
	struct uvarint v = uvarint_at(b.ptr + *at, b.len - *at);
	*at += v.len;
	*ret_value = zigzag_decode(v.value);
	return v.len > 0;
}

/* As take_varint, but of at most 5 bytes and 32 bits. */
INLINE bool take_varint32(struct bytes b, size_t *at, int64_t *ret_value)
{
	size_t from = *at;
	return take_varint(b, at, ret_value) && *at - from <= 5 && *ret_value >= INT32_MIN &&
	       *ret_value <= INT32_MAX;
}

/* A length, -1 for null, and that many bytes. */
INLINE bool take_nullable(struct bytes b, size_t *at, struct bytes *ret_value)
{
	int64_t len;
	if (!take_varint32(b, at, &len) || len < -1 || len > (int64_t)(b.len - *at))
		return false;
	*ret_value = (struct bytes){len < 0 ? NULL : b.ptr + *at, len < 0 ? 0 : (size_t)len};
	*at += ret_value->len;
	return true;
}

/* One record's bytes, without its length; false when they are malformed. */
INLINE bool record_parse(const struct batch_header *h, struct bytes b, struct record *ret_record)
{
	int64_t time_delta, offset_delta, header_count;
	struct record rec;
	size_t at = 1; /* attributes of a record: none defined */
	if (b.len < 1 || !take_varint(b, &at, &time_delta) || !take_varint32(b, &at, &offset_delta))
		return false;
	if (!take_nullable(b, &at, &rec.key) || !take_nullable(b, &at, &rec.value))
		return false;
	size_t headers_at = at;
	if (!take_varint32(b, &at, &header_count))
		return false;
	rec.headers = bytes_of(b.ptr + headers_at, b.len - headers_at);
	rec.header_count = (int32_t)header_count;
	bool good =
	    header_count == 0 ? at == b.len : headers_are_good(rec.headers, rec.header_count);
	if (!good || offset_delta < 0 || offset_delta > h->last_offset_delta)
		return false;
	if (__builtin_add_overflow(h->base_offset, offset_delta, &rec.offset) ||
	    __builtin_add_overflow(h->base_timestamp_ms, time_delta, &rec.timestamp_ms))
		return false;
	if (h->attributes & BATCH_ATTR_APPEND_TIME)
		rec.timestamp_ms = h->max_timestamp_ms;
	*ret_record = rec;
	return true;
}

/* The record at the start of `rest`, with its length; *ret_len is both. False: it is malformed. */
INLINE bool record_at(
    const struct batch_header *h, struct bytes rest, size_t *ret_len, struct record *ret_record)
{
	size_t at = 0;
	int64_t len;
	if (!take_varint32(rest, &at, &len) || len < 0 || len > (int64_t)(rest.len - at))
		return false;
	*ret_len = at + (size_t)len;
	return record_parse(h, bytes_of(rest.ptr + at, (size_t)len), ret_record);
}

/* Reads one record; false when it is malformed. */
static bool record_read(struct record_iter *it, struct record *ret_record)
{
	struct bytes rest = {it->records.ptr + it->records.pos, reader_left(&it->records)};
	size_t len;
	if (!record_at(&it->header, rest, &len, ret_record))
		return false;
	it->records.pos += len;
	return true;
}

/* A timestamp of -1 is none. */
INLINE bool record_wanted(const struct record *r, const struct record_wants *wants)
{
	bool timely = r->timestamp_ms >= wants->earliest_ms && r->timestamp_ms <= wants->latest_ms;
	return (timely || r->timestamp_ms == -1) && (r->key.ptr || !wants->keys);
}

/* A varint of up to three bytes, all of them there. */
INLINE bool plain_number(const uint8_t **p, uint32_t *ret_value)
{
	const uint8_t *at = *p;
	uint32_t v = at[0];
	if (v >= 0x80) {
		v = (v & 0x7F) | (uint32_t)at[1] << 7;
		if (at[1] >= 0x80) {
			v = (v & 0x3FFF) | (uint32_t)at[2] << 14;
			if (at[2] >= 0x80)
				return false;
			at++;
		}
		at++;
	}
	*p = at + 1;
	*ret_value = v;
	return true;
}

/* Passes over a key or a value; `stop` is behind the record, which has a number after it. */
INLINE bool plain_nullable(const uint8_t **p, const uint8_t *stop, bool *ret_null)
{
	uint32_t v;
	if (stop - *p < PLAIN_NUMBER || !plain_number(p, &v) || ((v & 1) && v != 1) ||
	    v / 2 > stop - *p)
		return false;
	*ret_null = v == 1;
	*p += v / 2; /* null: nothing */
	return true;
}

/*
 * The record with index `i` in the form that nearly all have: numbers of three bytes at most, the
 * offset that follows, no headers. True only when record_at says the same; a quarter of its work.
 */
INLINE bool record_plain(const struct batch_header *h, struct bytes rest, int32_t i,
    size_t *ret_len, struct record *ret_record)
{
	const uint8_t *p = rest.ptr;
	uint32_t len, time, offset;
	int64_t at_ms, at_offset;
	bool no_key, no_value;
	if (rest.len < PLAIN_BYTES || !plain_number(&p, &len) || (len & 1) ||
	    len / 2 > rest.len - (size_t)(p - rest.ptr) || len / 2 < PLAIN_BYTES)
		return false;
	const uint8_t *stop = p + len / 2;
	p++; /* attributes of a record: none defined */
	if (!plain_number(&p, &time) || !plain_number(&p, &offset) || offset != 2 * (uint32_t)i ||
	    i > h->last_offset_delta || !plain_nullable(&p, stop, &no_key) ||
	    !plain_nullable(&p, stop, &no_value) || p + 1 != stop || *p != 0)
		return false;
	if (__builtin_add_overflow(h->base_offset, i, &at_offset) ||
	    __builtin_add_overflow(h->base_timestamp_ms, zigzag_decode(time), &at_ms))
		return false;
	if (h->attributes & BATCH_ATTR_APPEND_TIME)
		at_ms = h->max_timestamp_ms;
	ret_record->offset = at_offset;
	ret_record->timestamp_ms = at_ms;
	ret_record->key = (struct bytes){no_key ? NULL : rest.ptr, 0}; /* that there is one */
	*ret_len = (size_t)(stop - rest.ptr);
	return true;
}

void record_iter_pass(struct record_iter *it, const struct record_wants *wants, int64_t *max_ms)
{
	const struct record_wants want = *wants;
	const struct batch_header h = it->header;
	struct bytes rest = {it->records.ptr + it->records.pos, reader_left(&it->records)};
	int64_t latest = *max_ms;
	int32_t i = it->next_index;
	for (; i < h.count; i++) {
		struct record r;
		size_t len;
		if (!record_plain(&h, rest, i, &len, &r) &&
		    (!record_at(&h, rest, &len, &r) || r.offset != h.base_offset + i))
			break;
		if (!record_wanted(&r, &want))
			break;
		latest = r.timestamp_ms > latest ? r.timestamp_ms : latest;
		rest.ptr += len;
		rest.len -= len;
	}
	it->records.pos = it->records.len - rest.len;
	it->next_index = i;
	*max_ms = latest;
}

enum err record_iter_open(
    struct record_iter *it, struct bytes batch, struct writer *scratch, size_t decompressed_max)
{
	struct batch_header h;
	TRY(batch_header_read(batch, &h));
	struct bytes records =
	    bytes_slice(batch, BATCH_HEADER_BYTES, (size_t)h.length + 12 - BATCH_HEADER_BYTES);
	if (batch_codec(&h) != BATCH_NONE) {
		writer_clear(scratch);
		TRY(codec_decompress(batch_codec(&h), records, decompressed_max, scratch));
		records = writer_bytes(scratch);
		if (!records.ptr) /* nothing came out: positions need something to count from */
			records = bytes_slice(batch, 0, 0);
	}
	*it = (struct record_iter){.header = h, .records = reader_of(records)};
	return ERR_OK;
}

enum err record_iter_next(struct record_iter *it, struct record *ret_record)
{
	if (it->next_index >= it->header.count) {
		if (reader_left(&it->records) != 0 || it->records.bad)
			return err_note(ERR_CORRUPT_MESSAGE, "bytes behind the last record");
		return ERR_EOF;
	}
	if (!record_read(it, ret_record)) {
		it->records.bad = true;
		return err_note(ERR_CORRUPT_MESSAGE, "record %d is malformed", it->next_index);
	}
	it->next_index++;
	return ERR_OK;
}
