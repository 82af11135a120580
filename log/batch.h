/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Kafka RecordBatch v2 (magic 2): header fields, validation, records, codecs, and a builder for
 * what the server writes itself. Big-endian; offsets of the 61-byte header from Kafka's
 * DefaultRecordBatch. Pure functions of bytes: any thread.
 */
#include "log/log.h"

enum { BATCH_HEADER_BYTES = 61 };
enum batch_codec {
	BATCH_NONE = 0,
	BATCH_GZIP = 1,
	BATCH_SNAPPY = 2,
	BATCH_LZ4 = 3,
	BATCH_ZSTD = 4,
	BATCH_CODECS
};
const char *batch_codec_name(int codec); /* "none", "gzip", ... */
bool batch_codec_by_name(struct str name, int *ret_codec);

enum batch_attributes {
	BATCH_ATTR_CODEC = 7,
	BATCH_ATTR_APPEND_TIME = 8,
	BATCH_ATTR_TRANSACTIONAL = 16,
	BATCH_ATTR_CONTROL = 32,
	BATCH_ATTR_DELETE_HORIZON = 64,
};

struct batch_header {
	int64_t base_offset;
	int32_t length; /* of everything after this field: total - 12 */
	int32_t leader_epoch;
	int8_t magic;
	uint32_t crc;
	int16_t attributes;
	int32_t last_offset_delta;
	int64_t base_timestamp_ms, max_timestamp_ms;
	int64_t producer_id;
	int16_t producer_epoch;
	int32_t base_sequence;
	int32_t count;
};
static inline int batch_codec(const struct batch_header *h)
{
	return h->attributes & BATCH_ATTR_CODEC;
}
/*
 * Reads the header of the first batch in `b`; ERR_CORRUPT_MESSAGE when it cannot be one (length,
 * magic). Does not check the CRC.
 */
MUST_USE enum err batch_header_read(struct bytes b, struct batch_header *ret_header);
uint32_t crc32c(struct bytes b); /* Castagnoli; the best way this processor has */
/* Continues a CRC: crc32c(a || b) = crc32c_extend(crc32c(a), b). */
uint32_t crc32c_extend(uint32_t crc, struct bytes b);
/*
 * The CRC of a message of which some bytes have changed, without reading the rest: `change` is old
 * XOR new of those bytes, `after` (at most 4 GiB) how many bytes follow them. A CRC that was wrong
 * stays wrong.
 */
uint32_t crc32c_mend(uint32_t crc, struct bytes change, size_t after);
/* Tests: how CRCs are computed, at most; the way it is then, for this processor may not have that
 * one. Before any other thread uses a CRC. */
enum crc32c_way { CRC32C_TABLES, CRC32C_LANES /* SSE4.2 */, CRC32C_FOLD /* VPCLMULQDQ, AVX-512 */ };
enum crc32c_way crc32c_use(enum crc32c_way most);

/* What a batch's first BATCH_HEADER_BYTES say; nothing is checked. */
struct batch_header batch_peek(const uint8_t *header);

/* What a check needs to know of the topic and the request. */
struct batch_rules {
	uint32_t max_bytes;      /* of the RecordBatch, ERR_MESSAGE_TOO_LARGE */
	size_t decompressed_max; /* hard output cap */
	bool keys_required;      /* compacted topic: ERR_INVALID_RECORD for a keyless record */
	bool internal;           /* control batches allowed */
	bool zstd_allowed;       /* Produce >= 7; else ERR_UNSUPPORTED_COMPRESSION */
	/* ERR_INVALID_TIMESTAMP for a record that has a timestamp outside; latest 0 = any is good
	 */
	int64_t earliest_ms, latest_ms;
};
/* True when a check is cheap enough for the loop (uncompressed and at most INLINE_CHECK_BYTES). */
bool batch_check_is_inline(struct bytes b);
/*
 * The whole of one produced batch: exactly one RecordBatch v2 in `b`, CRC-32C right, attributes
 * legal, codec known, count = last_offset_delta + 1 >= 1, every record well-formed after
 * (streaming, capped) decompression, offset deltas 0..n-1, max timestamp right. *ret_bad_record:
 * index of the record at fault, or -1. Errors: CORRUPT_MESSAGE, INVALID_RECORD, MESSAGE_TOO_LARGE,
 * INVALID_TIMESTAMP, UNSUPPORTED_COMPRESSION, UNSUPPORTED_FOR_MESSAGE_FORMAT, NOMEM.
 */
MUST_USE enum err batch_check(
    struct bytes b, const struct batch_rules *rules, int32_t *ret_bad_record);
/*
 * The same for a batch that will be stored: a max timestamp that is not that of the latest record
 * is not refused but put right, CRC included, as Kafka's broker does (older clients leave it 0).
 * This is the one to call on produce.
 */
MUST_USE enum err batch_check_mend(
    uint8_t *batch, size_t len, const struct batch_rules *rules, int32_t *ret_bad_record);
/* Stamps the log's fields in place (all outside the CRC). */
void batch_stamp(uint8_t *batch, int64_t base_offset, int32_t leader_epoch);
/* Sets LogAppendTime and max timestamp and mends the CRC. */
void batch_stamp_append_time(uint8_t *batch, size_t len, int64_t append_time_ms);

/* ---- records --------------------------------------------------------------------------------- */
struct record {
	int64_t offset;
	int64_t timestamp_ms; /* effective: append time where the batch says so */
	struct bytes key;     /* ptr NULL = null */
	struct bytes value;   /* ptr NULL = null */
	struct bytes headers; /* raw: count varint, then entries; see record_header_next */
	int32_t header_count;
};
/*
 * Iterates over a batch's records. Compressed batches are decompressed into `scratch` first (reused
 * between batches, at most decompressed_max bytes). Slices point into the batch or scratch.
 */
struct record_iter {
	struct batch_header header;
	struct reader records;
	int32_t next_index;
};
MUST_USE enum err record_iter_open(
    struct record_iter *it, struct bytes batch, struct writer *scratch, size_t decompressed_max);
/* ERR_EOF after the last record; ERR_CORRUPT_MESSAGE when malformed. */
MUST_USE enum err record_iter_next(struct record_iter *it, struct record *ret_record);
/*
 * Passes over records that are as they should be: well-formed, in their place, and as `wants` says.
 * Stops before the first that is not, or at the end; next_index says where. *max_ms is raised to
 * their latest timestamp.
 */
struct record_wants {
	bool keys;                      /* each has one */
	int64_t earliest_ms, latest_ms; /* of timestamps other than -1 */
};
void record_iter_pass(struct record_iter *it, const struct record_wants *wants, int64_t *max_ms);
/*
 * Header entries of a record: reader over record.headers positioned after the count. value.ptr NULL
 * = null.
 */
MUST_USE enum err record_header_next(
    struct reader *headers, struct str *ret_key, struct bytes *ret_value);

/* What a batch decompresses to at most: 16 times max.message.bytes, and never more than this. */
#define BATCH_PLAIN_MAX (256 * MIB)
static inline size_t batch_plain_max(size_t max_message_bytes)
{
	size_t most = max_message_bytes * DECOMPRESS_RATIO_MAX;
	return most < BATCH_PLAIN_MAX ? most : BATCH_PLAIN_MAX;
}

/* ---- codecs ---------------------------------------------------------------------------------- */
/*
 * Appends to out, never more than `cap` bytes (ERR_LIMIT -> the caller's MESSAGE_TOO_LARGE). LZ4:
 * frame format; snappy: raw and xerial-framed.
 */
MUST_USE enum err codec_decompress(int codec, struct bytes in, size_t cap, struct writer *out);
MUST_USE enum err codec_compress(int codec, struct bytes in, struct writer *out);

/* ---- builder: what the server writes itself, and tests --------------------------------------- */
struct batch_builder {
	struct writer records;
	int codec;
	int64_t base_timestamp_ms, max_timestamp_ms;
	int64_t producer_id;
	int16_t producer_epoch;
	int32_t base_sequence;
	int16_t attributes; /* besides the codec */
	int32_t count;
};
void batch_builder_init(struct batch_builder *b, int codec);
void batch_builder_release(struct batch_builder *b);
void batch_builder_clear(struct batch_builder *b);
/* headers: count pairs (name, value). Timestamps may be in any order. */
MUST_USE enum err batch_builder_add(struct batch_builder *b, int64_t timestamp_ms, struct bytes key,
    struct bytes value, const struct log_row *headers, size_t header_count);
/*
 * The codec of what the server writes itself: LZ4 from SERVER_LZ4_BYTES of records on, if they are
 * not so many that the loop would feel it.
 */
enum { SERVER_LZ4_BYTES = 1024, SERVER_LZ4_BYTES_MAX = 512 * 1024 };
void batch_builder_server_codec(struct batch_builder *b);
/* Appends the finished batch (offset 0, CRC right) to out. ERR_INVALID when empty. */
MUST_USE enum err batch_builder_finish(struct batch_builder *b, struct writer *out);

/* ---- markers: the control batches that end a transaction ------------------------------------- */
struct batch_marker {
	int64_t producer_id;
	int16_t producer_epoch;
	bool commit; /* else abort */
	int32_t coordinator_epoch;
};
enum { BATCH_MARKER_BYTES = 128 /* at most */ };
/* Appends one to out. NOMEM. */
MUST_USE enum err batch_marker_build(
    const struct batch_marker *m, int64_t timestamp_ms, struct writer *out);
/* False when the batch is no marker. */
bool batch_marker_read(struct bytes batch, struct batch_marker *ret_marker);
