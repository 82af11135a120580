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

void batch_builder_server_codec(struct batch_builder *b)
{
	bool worth = b->records.len >= SERVER_LZ4_BYTES && b->records.len <= SERVER_LZ4_BYTES_MAX;
	b->codec = worth ? BATCH_LZ4 : BATCH_NONE;
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

/* ---- markers --------------------------------------------------------------------------------- */

/* Kafka's ControlRecordType: the key is version i16, type i16; the value version i16, epoch i32. */
enum { MARKER_ABORT = 0, MARKER_COMMIT = 1, MARKER_KEY_BYTES = 4, MARKER_VALUE_BYTES = 6 };

enum err batch_marker_build(const struct batch_marker *m, int64_t timestamp_ms, struct writer *out)
{
	struct batch_builder b;
	uint8_t key[MARKER_KEY_BYTES] = {0}, value[MARKER_VALUE_BYTES] = {0};
	ASSERT(m->producer_id >= 0 && m->producer_epoch >= 0);
	put_u16_be(key + 2, m->commit ? MARKER_COMMIT : MARKER_ABORT);
	put_u32_be(value + 2, (uint32_t)m->coordinator_epoch);
	batch_builder_init(&b, BATCH_NONE);
	b.producer_id = m->producer_id;
	b.producer_epoch = m->producer_epoch;
	b.attributes = BATCH_ATTR_TRANSACTIONAL | BATCH_ATTR_CONTROL;
	enum err err = batch_builder_add(
	    &b, timestamp_ms, bytes_of(key, sizeof(key)), bytes_of(value, sizeof(value)), NULL, 0);
	if (err == ERR_OK)
		err = batch_builder_finish(&b, out);
	batch_builder_release(&b);
	return err;
}

bool batch_marker_read(struct bytes batch, struct batch_marker *ret_marker)
{
	struct batch_header h;
	struct record_iter it;
	struct record r;
	bool found = batch_header_read(batch, &h) == ERR_OK && batch_codec(&h) == BATCH_NONE &&
	             (h.attributes & BATCH_ATTR_CONTROL) && h.producer_id >= 0 &&
	             record_iter_open(&it, batch, NULL, 0) == ERR_OK &&
	             record_iter_next(&it, &r) == ERR_OK && r.key.len >= MARKER_KEY_BYTES &&
	             r.value.len >= MARKER_VALUE_BYTES;
	uint16_t type = found ? get_u16_be(r.key.ptr + 2) : MARKER_ABORT;
	if (!found || type > MARKER_COMMIT) {
		err_clear();
		return false;
	}
	*ret_marker = (struct batch_marker){
	    .producer_id = h.producer_id,
	    .producer_epoch = h.producer_epoch,
	    .commit = type == MARKER_COMMIT,
	    .coordinator_epoch = (int32_t)get_u32_be(r.value.ptr + 2),
	};
	return true;
}
