/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Segment header and frame header: their bytes, and nothing else (log/FORMAT.md is the
 * specification). Both are little-endian. A frame is this header and then one Kafka RecordBatch v2.
 */
#include "log/log.h"

enum {
	FRAME_MAGIC = 0x4d46504b /* "KPFM" */,
	FRAME_VERSION = 1,
	FRAME_VERSION_HOLE = 2,
	SEGMENT_VERSION = 1,
	SEGMENT_VERSION_REWRITTEN = 2 /* a generation above 0 that says what it stands for */
};
enum frame_flags {
	FRAME_DIRECT = 1, /* bytes only in the segment, not in the journal */
	FRAME_PAD = 2,    /* no batch: zeros up to an alignment; takes no sequence and no offset */
	FRAME_HOLE = 4, /* no batch: stands where compaction removed some, see struct frame_hole */
	FRAME_FLAGS = 7,
};

/*
 * What a segment of format version 2 says of itself: compaction or recompression has written it in
 * the place of one or more files.
 */
struct segment_rewrite {
	int64_t end_offset;      /* exclusive: with base offset, what it stands for */
	uint64_t last_sequence;  /* of the last batch that it stands for */
	uint64_t end_link;       /* what the next segment has as previous link */
	int64_t clean_end;       /* compaction has dealt with the offsets below; 0 = never */
	uint64_t original_bytes; /* of its batches as they were sent */
	int64_t written_ns;
	uint16_t codec; /* SEGMENT_AS_SENT or the enum batch_codec that batches were made into */
};
enum { SEGMENT_AS_SENT = 0xffff };

struct segment_header {
	uint16_t format_version;
	struct log_uuid topic_id;
	struct str topic_name; /* decode: points into the given buffer */
	int32_t partition;
	uint8_t seed[16]; /* secret: never sent */
	int64_t base_offset;
	uint64_t first_sequence;
	uint32_t epoch;
	uint32_t generation;
	uint64_t previous_link; /* link of the last frame of the previous segment, 0 = none */
	struct segment_rewrite rewrite; /* format version 2, else zeros */
};
/* Writes exactly SEGMENT_HEADER_BYTES. */
void segment_header_encode(const struct segment_header *h, uint8_t *out);
/* ERR_CORRUPT (checksum, structure), ERR_NEWER_FORMAT. `in` has SEGMENT_HEADER_BYTES. */
MUST_USE enum err segment_header_decode(const uint8_t *in, struct segment_header *ret_header);

struct frame {
	uint16_t version;
	uint16_t flags;
	uint32_t length; /* batch bytes; PAD: bytes of padding after the header */
	uint32_t principal;
	uint64_t sequence;
	int64_t base_offset;
	uint32_t last_offset_delta;
	uint32_t server_epoch;
	int64_t append_time_ns;
	uint64_t durable_when_written; /* D, advisory */
	uint64_t
	    link; /* hash of the previous frame's header checksum and this body: see FORMAT.md */
	uint64_t body_hash;
	uint64_t header_hash;
};
/*
 * The body of a HOLE frame. The frame itself has what the removed batches had: base offset of the
 * first, the last offset delta over all, and of the last one sequence, epoch and append time.
 */
struct frame_hole {
	uint64_t first_sequence;
	uint64_t batches; /* of this partition from there to the frame's own sequence */
};
enum { FRAME_HOLE_BYTES = 16 };
void frame_hole_encode(const struct frame_hole *hole, uint8_t *out);
/* ERR_CORRUPT. `body` has been verified. */
MUST_USE enum err frame_hole_decode(
    const struct frame *f, struct bytes body, struct frame_hole *ret_hole);
struct frame_seed {
	uint64_t header, body; /* derived from the segment's secret once, see frame_seed_of */
};
struct frame_seed frame_seed_of(const uint8_t secret[16]);
/* Fills body_hash, link (from previous_link) and header_hash, and writes FRAME_HEADER_BYTES. */
void frame_encode(struct frame *f, struct frame_seed seed, uint64_t previous_link,
    struct bytes body, uint8_t *out);
/* Decodes and verifies the header only. ERR_CORRUPT, ERR_NEWER_FORMAT. */
MUST_USE enum err frame_decode(const uint8_t *in, struct frame_seed seed, struct frame *ret_frame);
/* Verifies the body against a decoded header, and the link against the previous frame's. */
MUST_USE enum err frame_check_body(
    const struct frame *f, struct frame_seed seed, struct bytes body);
MUST_USE enum err frame_check_link(
    const struct frame *f, struct frame_seed seed, uint64_t previous_link);
