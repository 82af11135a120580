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

enum { HEADER_ENTRY_MIN = 2 }; /* an empty key and a null value: one byte of length each */

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

/* `count` entries that end exactly at the end of the record. */
static bool headers_are_good(struct reader r, int32_t count)
{
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

/* Reads one record; false when it is malformed. */
static bool record_read(struct record_iter *it, struct record *ret_record)
{
	const struct batch_header *h = &it->header;
	int32_t len = read_varint32(&it->records);
	if (len < 0)
		return false;
	struct reader r = reader_of(read_bytes(&it->records, (size_t)len));
	if (it->records.bad)
		return false;
	read_skip(&r, 1); /* attributes of a record: none defined */
	int64_t time_delta = read_varint64(&r);
	int32_t offset_delta = read_varint32(&r);
	struct record rec = {.key = read_nullable(&r), .value = read_nullable(&r)};
	size_t headers_at = r.pos;
	rec.header_count = read_varint32(&r);
	if (r.bad || !headers_are_good(r, rec.header_count))
		return false;
	if (offset_delta < 0 || offset_delta > h->last_offset_delta)
		return false;
	if (__builtin_add_overflow(h->base_offset, offset_delta, &rec.offset) ||
	    __builtin_add_overflow(h->base_timestamp_ms, time_delta, &rec.timestamp_ms))
		return false;
	if (h->attributes & BATCH_ATTR_APPEND_TIME)
		rec.timestamp_ms = h->max_timestamp_ms;
	rec.headers = bytes_of(r.ptr + headers_at, r.len - headers_at);
	*ret_record = rec;
	return true;
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
