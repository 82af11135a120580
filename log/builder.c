/* SPDX-License-Identifier: Apache-2.0 */
/* Builds RecordBatch v2: what the server writes itself (internal topics, markers), and tests. */
#include "log/batch.h"

enum { MAGIC = 2, CRC_AT = 17, CRC_FROM = 21, LENGTH_AT = 8, LENGTH_EXCLUDES = 12 };

void batch_builder_init(struct batch_builder *b, int codec)
{
	ASSERT(codec >= 0 && codec < BATCH_CODECS);
	*b = (struct batch_builder){
	    .codec = codec,
	    .producer_id = -1,
	    .producer_epoch = -1,
	    .base_sequence = -1,
	    .base_timestamp_ms = -1,
	    .max_timestamp_ms = -1,
	};
	writer_init(&b->records, BATCH_BYTES_MAX - BATCH_HEADER_BYTES);
}

void batch_builder_release(struct batch_builder *b)
{
	writer_release(&b->records);
}

void batch_builder_clear(struct batch_builder *b)
{
	writer_clear(&b->records);
	b->count = 0;
	b->base_timestamp_ms = -1;
	b->max_timestamp_ms = -1;
}

static size_t nullable_len(struct bytes b)
{
	return b.ptr ? varint_len((int64_t)b.len) + b.len : varint_len(-1);
}

static void write_nullable(struct writer *w, struct bytes b)
{
	write_varint64(w, b.ptr ? (int64_t)b.len : -1);
	if (b.ptr)
		write_bytes(w, b);
}

enum err batch_builder_add(struct batch_builder *b, int64_t timestamp_ms, struct bytes key,
    struct bytes value, const struct log_row *headers, size_t header_count)
{
	int64_t delta;
	size_t before = b->records.len;
	int64_t base_ms = b->count == 0 ? timestamp_ms : b->base_timestamp_ms;
	if (b->count == INT32_MAX)
		return err_note(ERR_LIMIT, "%d records in a batch", b->count);
	if (__builtin_sub_overflow(timestamp_ms, base_ms, &delta))
		return err_note(ERR_INVALID, "timestamps of a batch too far from each other");
	size_t len = 1 + varint_len(delta) + varint_len(b->count) + nullable_len(key) +
	             nullable_len(value) + varint_len((int64_t)header_count);
	for (size_t i = 0; i < header_count; i++)
		len += nullable_len(headers[i].key) + nullable_len(headers[i].value);
	if (len > INT32_MAX)
		return err_note(ERR_LIMIT, "record of %zu bytes", len);

	struct writer *w = &b->records;
	write_varint64(w, (int64_t)len);
	size_t from = w->len;
	write_u8(w, 0);
	write_varint64(w, delta);
	write_varint64(w, b->count);
	write_nullable(w, key);
	write_nullable(w, value);
	write_varint64(w, (int64_t)header_count);
	for (size_t i = 0; i < header_count; i++) {
		ASSERT(headers[i].key.ptr);
		write_nullable(w, headers[i].key);
		write_nullable(w, headers[i].value);
	}
	if (w->err != ERR_OK) {
		enum err err = w->err;
		w->len = before; /* the records before this one are still good */
		w->err = ERR_OK;
		return err_note(err, "record batch would be too large");
	}
	ASSERT(w->len - from == len);
	b->base_timestamp_ms = base_ms;
	if (b->count == 0 || timestamp_ms > b->max_timestamp_ms)
		b->max_timestamp_ms = timestamp_ms;
	b->count++;
	return ERR_OK;
}

enum err batch_builder_finish(struct batch_builder *b, struct writer *out)
{
	if (b->count == 0)
		return err_note(ERR_INVALID, "a record batch needs a record");
	size_t start = out->len;
	write_u64_be(out, 0);
	write_u32_be(out, 0); /* length, below */
	write_u32_be(out, 0);
	write_u8(out, MAGIC);
	write_u32_be(out, 0); /* CRC, below */
	write_u16_be(out, (uint16_t)((b->attributes & ~BATCH_ATTR_CODEC) | b->codec));
	write_u32_be(out, (uint32_t)(b->count - 1));
	write_u64_be(out, (uint64_t)b->base_timestamp_ms);
	write_u64_be(out, (uint64_t)b->max_timestamp_ms);
	write_u64_be(out, (uint64_t)b->producer_id);
	write_u16_be(out, (uint16_t)b->producer_epoch);
	write_u32_be(out, (uint32_t)b->base_sequence);
	write_u32_be(out, (uint32_t)b->count);
	if (out->err != ERR_OK)
		return out->err;
	ASSERT(out->len - start == BATCH_HEADER_BYTES);
	enum err err = codec_compress(b->codec, writer_bytes(&b->records), out);
	if (err != ERR_OK) {
		out->len = start;
		return err;
	}
	size_t len = out->len - start;
	writer_patch_u32_be(out, start + LENGTH_AT, (uint32_t)(len - LENGTH_EXCLUDES));
	writer_patch_u32_be(
	    out, start + CRC_AT, crc32c(bytes_slice(writer_bytes(out), start + CRC_FROM, len)));
	return ERR_OK;
}
