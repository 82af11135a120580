/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RecordBatch v2: the header, the whole check of a produced batch, and the stamps of the log.
 *
 * The check is the only gate between a client's bytes and the log: what it lets pass can be read by
 * every consumer, counted by its header and found by its timestamps. The order is that of trust:
 * lengths, magic, CRC (so that what follows is what the client meant), header fields, then each
 * record. The CRC starts at the attributes: base offset, leader epoch, magic and length lie outside
 * and may be stamped without touching it.
 */
#include "log/batch.h"

/* Where the fields stand. */
enum {
	AT_BASE_OFFSET = 0,
	AT_LENGTH = 8,
	AT_LEADER_EPOCH = 12,
	AT_MAGIC = 16,
	AT_CRC = 17,
	AT_ATTRIBUTES = 21,
	AT_LAST_DELTA = 23,
	AT_BASE_TIMESTAMP = 27,
	AT_MAX_TIMESTAMP = 35,
	AT_PRODUCER_ID = 43,
	AT_PRODUCER_EPOCH = 51,
	AT_BASE_SEQUENCE = 53,
	AT_COUNT = 57,
	LENGTH_EXCLUDES = 12, /* base offset and length itself */
	MAGIC = 2,
};
_Static_assert(AT_COUNT + 4 == BATCH_HEADER_BYTES, "header of RecordBatch v2");

static const char *const codec_names[BATCH_CODECS] = {"none", "gzip", "snappy", "lz4", "zstd"};

const char *batch_codec_name(int codec)
{
	return codec >= 0 && codec < BATCH_CODECS ? codec_names[codec] : "unknown";
}

bool batch_codec_by_name(struct str name, int *ret_codec)
{
	for (int i = 0; i < BATCH_CODECS; i++)
		if (str_equal(name, str_of(codec_names[i]))) {
			*ret_codec = i;
			return true;
		}
	if (!str_equal(name, STR("uncompressed"))) /* Kafka's word in compression.type */
		return false;
	*ret_codec = BATCH_NONE;
	return true;
}

/* Reads the fields of at least BATCH_HEADER_BYTES bytes, whatever they are. */
static struct batch_header header_fields(const uint8_t *p)
{
	return (struct batch_header){
	    .base_offset = (int64_t)get_u64_be(p + AT_BASE_OFFSET),
	    .length = (int32_t)get_u32_be(p + AT_LENGTH),
	    .leader_epoch = (int32_t)get_u32_be(p + AT_LEADER_EPOCH),
	    .magic = (int8_t)p[AT_MAGIC],
	    .crc = get_u32_be(p + AT_CRC),
	    .attributes = (int16_t)get_u16_be(p + AT_ATTRIBUTES),
	    .last_offset_delta = (int32_t)get_u32_be(p + AT_LAST_DELTA),
	    .base_timestamp_ms = (int64_t)get_u64_be(p + AT_BASE_TIMESTAMP),
	    .max_timestamp_ms = (int64_t)get_u64_be(p + AT_MAX_TIMESTAMP),
	    .producer_id = (int64_t)get_u64_be(p + AT_PRODUCER_ID),
	    .producer_epoch = (int16_t)get_u16_be(p + AT_PRODUCER_EPOCH),
	    .base_sequence = (int32_t)get_u32_be(p + AT_BASE_SEQUENCE),
	    .count = (int32_t)get_u32_be(p + AT_COUNT),
	};
}

enum err batch_header_read(struct bytes b, struct batch_header *ret_header)
{
	if (b.len < BATCH_HEADER_BYTES)
		return err_note(
		    ERR_CORRUPT_MESSAGE, "record batch: %zu bytes are no header", b.len);
	struct batch_header h = header_fields(b.ptr);
	if (h.magic != MAGIC)
		return err_note(ERR_CORRUPT_MESSAGE, "record batch: magic %d", h.magic);
	if (h.length < BATCH_HEADER_BYTES - LENGTH_EXCLUDES ||
	    (size_t)h.length > b.len - LENGTH_EXCLUDES)
		return err_note(
		    ERR_CORRUPT_MESSAGE, "record batch: length %d in %zu bytes", h.length, b.len);
	*ret_header = h;
	return ERR_OK;
}

struct batch_header batch_peek(const uint8_t *header)
{
	return header_fields(header);
}

bool batch_check_is_inline(struct bytes b)
{
	if (b.len < BATCH_HEADER_BYTES)
		return true; /* refused at once */
	bool plain = (b.ptr[AT_ATTRIBUTES + 1] & BATCH_ATTR_CODEC) == BATCH_NONE;
	return plain && b.len <= INLINE_CHECK_BYTES;
}

/* ---- check ----------------------------------------------------------------------------------- */

/* One RecordBatch v2 and nothing else; the CRC right. */
static enum err check_frame(
    struct bytes b, const struct batch_rules *rules, struct batch_header *ret_header)
{
	if (b.len > rules->max_bytes)
		return err_note(ERR_MESSAGE_TOO_LARGE,
		    "batch of %zu bytes, max.message.bytes is %u", b.len, rules->max_bytes);
	if (b.len > AT_MAGIC && b.ptr[AT_MAGIC] < MAGIC)
		return err_note(ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT,
		    "message format %u: only record batches (magic 2) are stored", b.ptr[AT_MAGIC]);
	struct batch_header h;
	TRY(batch_header_read(b, &h));
	if ((size_t)h.length + LENGTH_EXCLUDES != b.len)
		return err_note(ERR_INVALID_RECORD, "more than one record batch for a partition");
	uint32_t crc = crc32c(bytes_slice(b, AT_ATTRIBUTES, b.len));
	if (crc != h.crc)
		return err_note(
		    ERR_CORRUPT_MESSAGE, "record batch: CRC %08x, its bytes have %08x", h.crc, crc);
	*ret_header = h;
	return ERR_OK;
}

static enum err check_attributes(const struct batch_header *h, const struct batch_rules *rules)
{
	unsigned known = BATCH_ATTR_CODEC | BATCH_ATTR_APPEND_TIME | BATCH_ATTR_TRANSACTIONAL |
	                 BATCH_ATTR_CONTROL | (rules->internal ? BATCH_ATTR_DELETE_HORIZON : 0u);
	if ((unsigned)(uint16_t)h->attributes & ~known)
		return err_note(
		    ERR_INVALID_RECORD, "attributes 0x%04x", (unsigned)(uint16_t)h->attributes);
	if (batch_codec(h) >= BATCH_CODECS)
		return err_note(ERR_UNSUPPORTED_COMPRESSION, "codec %d", batch_codec(h));
	if (batch_codec(h) == BATCH_ZSTD && !rules->zstd_allowed)
		return err_note(ERR_UNSUPPORTED_COMPRESSION, "zstd needs Produce version 7");
	if (rules->internal)
		return ERR_OK;
	if (h->attributes & BATCH_ATTR_CONTROL)
		return err_note(ERR_INVALID_RECORD, "clients cannot write control batches");
	if (h->attributes & BATCH_ATTR_APPEND_TIME)
		return err_note(ERR_INVALID_TIMESTAMP, "clients cannot set the append time");
	return ERR_OK;
}

static enum err check_fields(const struct batch_header *h)
{
	if (h->count < 1 || h->last_offset_delta != h->count - 1)
		return err_note(ERR_INVALID_RECORD, "%d records, but last offset delta %d",
		    h->count, h->last_offset_delta);
	if (h->producer_id < -1 || h->producer_epoch < -1 || h->base_sequence < -1)
		return err_note(ERR_INVALID_RECORD, "producer id, epoch or sequence below -1");
	bool control = h->attributes & BATCH_ATTR_CONTROL;
	if (h->producer_id >= 0 && (h->producer_epoch < 0 || (h->base_sequence < 0 && !control)))
		return err_note(ERR_INVALID_RECORD, "producer id without epoch or sequence");
	if (h->producer_id < 0 && (h->attributes & BATCH_ATTR_TRANSACTIONAL))
		return err_note(ERR_INVALID_RECORD, "transactional batch without a producer id");
	return ERR_OK;
}

/* -1 is no timestamp. */
static enum err check_timestamp(int64_t ms, int32_t index, const struct batch_rules *rules)
{
	if (rules->latest_ms == 0 || ms == -1 ||
	    (ms >= rules->earliest_ms && ms <= rules->latest_ms))
		return ERR_OK;
	return err_note(ERR_INVALID_TIMESTAMP,
	    "record %d has timestamp %lld, from %lld to %lld are taken", index, (long long)ms,
	    (long long)rules->earliest_ms, (long long)rules->latest_ms);
}

/* Walks over all records; *bad_record is kept at the current one. */
static enum err check_records(struct record_iter *it, const struct batch_rules *rules,
    int32_t *bad_record, int64_t *ret_max_ms)
{
	int64_t max_ms = INT64_MIN;
	bool keys_required = rules->keys_required && !(it->header.attributes & BATCH_ATTR_CONTROL);
	bool any_time = rules->latest_ms == 0;
	struct record_wants wants = {.keys = keys_required,
	    .earliest_ms = any_time ? INT64_MIN : rules->earliest_ms,
	    .latest_ms = any_time ? INT64_MAX : rules->latest_ms};
	record_iter_pass(it, &wants, &max_ms);
	/* the rest, if any: the first of them is at fault */
	for (int32_t i = it->next_index; i < it->header.count; i++) {
		struct record r;
		*bad_record = i;
		if (record_iter_next(it, &r) != ERR_OK)
			return err_note(ERR_INVALID_RECORD, "record %d of %d is malformed", i,
			    it->header.count);
		if (r.offset != it->header.base_offset + i)
			return err_note(ERR_INVALID_RECORD, "record %d has offset delta %lld", i,
			    (long long)(r.offset - it->header.base_offset));
		if (keys_required && !r.key.ptr)
			return err_note(
			    ERR_INVALID_RECORD, "record %d has no key, the topic is compacted", i);
		if (r.timestamp_ms > max_ms)
			max_ms = r.timestamp_ms;
		TRY(check_timestamp(r.timestamp_ms, i, rules));
	}
	*bad_record = -1;
	if (reader_left(&it->records) != 0)
		return err_note(ERR_INVALID_RECORD, "%zu bytes behind the last record",
		    reader_left(&it->records));
	*ret_max_ms = max_ms;
	return ERR_OK;
}

static enum err check_all(
    struct bytes b, const struct batch_rules *rules, int32_t *bad_record, int64_t *ret_max_ms)
{
	struct batch_header h = {0};
	*bad_record = -1;
	TRY(check_frame(b, rules, &h));
	TRY(check_attributes(&h, rules));
	TRY(check_fields(&h));
	struct writer scratch;
	writer_init(&scratch, rules->decompressed_max);
	struct record_iter it;
	enum err err = record_iter_open(&it, b, &scratch, rules->decompressed_max);
	if (err == ERR_OK)
		err = check_records(&it, rules, bad_record, ret_max_ms);
	else if (err == ERR_LIMIT)
		err = err_note(ERR_MESSAGE_TOO_LARGE, "records over the limit of decompression");
	else if (err == ERR_CORRUPT_MESSAGE)
		err = err_note(ERR_UNDECODABLE, "codec %d", batch_codec(&h));
	writer_release(&scratch);
	return err;
}

enum err batch_check(struct bytes b, const struct batch_rules *rules, int32_t *ret_bad_record)
{
	int64_t max_ms;
	TRY(check_all(b, rules, ret_bad_record, &max_ms));
	int64_t stated = (int64_t)get_u64_be(b.ptr + AT_MAX_TIMESTAMP);
	if (stated != max_ms)
		return err_note(ERR_INVALID_RECORD,
		    "max timestamp %lld, but the latest record has %lld", (long long)stated,
		    (long long)max_ms);
	return ERR_OK;
}

/* ---- stamps ---------------------------------------------------------------------------------- */

/* Puts new attributes and max timestamp and mends the CRC over the bytes between. */
static void rewrite(uint8_t *batch, size_t len, uint16_t attributes, int64_t max_ms)
{
	enum { SPAN = AT_MAX_TIMESTAMP + 8 - AT_ATTRIBUTES };
	uint8_t change[SPAN];
	ASSERT(len >= BATCH_HEADER_BYTES && len - LENGTH_EXCLUDES == get_u32_be(batch + AT_LENGTH));
	memcpy(change, batch + AT_ATTRIBUTES, SPAN);
	put_u16_be(batch + AT_ATTRIBUTES, attributes);
	put_u64_be(batch + AT_MAX_TIMESTAMP, (uint64_t)max_ms);
	for (size_t i = 0; i < SPAN; i++)
		change[i] ^= batch[AT_ATTRIBUTES + i];
	uint32_t crc = get_u32_be(batch + AT_CRC);
	crc = crc32c_mend(crc, bytes_of(change, SPAN), len - AT_ATTRIBUTES - SPAN);
	put_u32_be(batch + AT_CRC, crc);
}

enum err batch_check_mend(
    uint8_t *batch, size_t len, const struct batch_rules *rules, int32_t *ret_bad_record)
{
	int64_t max_ms;
	TRY(check_all(bytes_of(batch, len), rules, ret_bad_record, &max_ms));
	if ((int64_t)get_u64_be(batch + AT_MAX_TIMESTAMP) != max_ms)
		rewrite(batch, len, get_u16_be(batch + AT_ATTRIBUTES), max_ms);
	return ERR_OK;
}

void batch_stamp(uint8_t *batch, int64_t base_offset, int32_t leader_epoch)
{
	ASSERT(base_offset >= 0 && leader_epoch >= 0);
	put_u64_be(batch + AT_BASE_OFFSET, (uint64_t)base_offset);
	put_u32_be(batch + AT_LEADER_EPOCH, (uint32_t)leader_epoch);
}

void batch_stamp_append_time(uint8_t *batch, size_t len, int64_t append_time_ms)
{
	uint16_t attributes = get_u16_be(batch + AT_ATTRIBUTES) | BATCH_ATTR_APPEND_TIME;
	rewrite(batch, len, attributes, append_time_ms);
}
