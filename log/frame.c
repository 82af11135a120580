/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segment header and frame header, byte for byte as in log/FORMAT.md.
 *
 * Invariants
 *   F1  Every bit of a segment header is under its checksum, the zeros behind the name too.
 *   F2  Every bit of a frame is under a checksum seeded by the segment's secret: the header's
 *       covers the body's, so with a good header `length` can be trusted even when the body is bad.
 *   F3  link = H(previous link, header up to D, body checksum): a frame that verifies by itself but
 *       stands where another was written (a misdirected or lost write) does not link.
 *
 * A checksum says "this is what was written", never "this is sensible": structure is checked after
 * it, and both failures are ERR_CORRUPT. Only a right checksum makes an unknown version or flag
 * believable (NEWER_FORMAT).
 */
#include "log/frame.h"
#include "log/batch.h"
#include "log/checksum.h"
#define XXH_INLINE_ALL
#include <xxhash.h>

#define SEGMENT_MAGIC     UINT64_C(0x474553415050414b) /* "KAPPASEG" read little-endian */
#define SEGMENT_SEED      SEGMENT_MAGIC
#define FRAME_SEED_HEADER UINT64_C(0x726468617070616b) /* "kappahdr" */
#define FRAME_SEED_BODY   UINT64_C(0x796462617070616b) /* "kappabdy" */

/* Where the fields of a segment header stand. */
enum {
	SEG_MAGIC = 0,
	SEG_VERSION = 8,
	SEG_HEADER_BYTES = 10,
	SEG_PARTITION = 12,
	SEG_TOPIC_ID = 16,
	SEG_SEED = 32,
	SEG_BASE_OFFSET = 48,
	SEG_FIRST_SEQUENCE = 56,
	SEG_PREVIOUS_LINK = 64,
	SEG_EPOCH = 72,
	SEG_GENERATION = 76,
	SEG_NAME_LEN = 80,
	SEG_NAME = 82,
	/* format version 2 */
	SEG_END_OFFSET = 1024,
	SEG_LAST_SEQUENCE = 1032,
	SEG_END_LINK = 1040,
	SEG_CLEAN_END = 1048,
	SEG_ORIGINAL_BYTES = 1056,
	SEG_WRITTEN = 1064,
	SEG_CODEC = 1072,
	SEG_REWRITE_END = 1074,
	SEG_HASH = 4088,
};
/* Where the fields of a frame header stand. */
enum {
	FRM_MAGIC = 0,
	FRM_VERSION = 4,
	FRM_FLAGS = 6,
	FRM_LENGTH = 8,
	FRM_PRINCIPAL = 12,
	FRM_SEQUENCE = 16,
	FRM_BASE_OFFSET = 24,
	FRM_LAST_DELTA = 32,
	FRM_EPOCH = 36,
	FRM_APPEND_TIME = 40,
	FRM_DURABLE = 48,
	FRM_LINK = 56,
	FRM_BODY_HASH = 64,
	FRM_HEADER_HASH = 72,
};
_Static_assert(SEG_NAME + TOPIC_NAME_MAX <= SEG_END_OFFSET, "the name fits");
_Static_assert(SEG_HASH + 8 == SEGMENT_HEADER_BYTES, "the checksum ends the header");
_Static_assert(FRM_HEADER_HASH + 8 == FRAME_HEADER_BYTES, "the checksum ends the header");

/* ---- segment header -------------------------------------------------------------------------- */

static void rewrite_encode(const struct segment_rewrite *r, uint8_t *out)
{
	put_u64_le(out + SEG_END_OFFSET, (uint64_t)r->end_offset);
	put_u64_le(out + SEG_LAST_SEQUENCE, r->last_sequence);
	put_u64_le(out + SEG_END_LINK, r->end_link);
	put_u64_le(out + SEG_CLEAN_END, (uint64_t)r->clean_end);
	put_u64_le(out + SEG_ORIGINAL_BYTES, r->original_bytes);
	put_u64_le(out + SEG_WRITTEN, (uint64_t)r->written_ns);
	put_u16_le(out + SEG_CODEC, r->codec);
}

static struct segment_rewrite rewrite_decode(const uint8_t *in)
{
	return (struct segment_rewrite){
	    .end_offset = (int64_t)get_u64_le(in + SEG_END_OFFSET),
	    .last_sequence = get_u64_le(in + SEG_LAST_SEQUENCE),
	    .end_link = get_u64_le(in + SEG_END_LINK),
	    .clean_end = (int64_t)get_u64_le(in + SEG_CLEAN_END),
	    .original_bytes = get_u64_le(in + SEG_ORIGINAL_BYTES),
	    .written_ns = (int64_t)get_u64_le(in + SEG_WRITTEN),
	    .codec = get_u16_le(in + SEG_CODEC),
	};
}

void segment_header_encode(const struct segment_header *h, uint8_t *out)
{
	ASSERT(h->topic_name.len <= TOPIC_NAME_MAX);
	ASSERT(h->partition >= 0 && h->base_offset >= 0);
	memset(out, 0, SEGMENT_HEADER_BYTES);
	put_u64_le(out + SEG_MAGIC, SEGMENT_MAGIC);
	put_u16_le(out + SEG_VERSION, h->format_version);
	put_u16_le(out + SEG_HEADER_BYTES, SEGMENT_HEADER_BYTES);
	put_u32_le(out + SEG_PARTITION, (uint32_t)h->partition);
	memcpy(out + SEG_TOPIC_ID, h->topic_id.b, sizeof(h->topic_id.b));
	memcpy(out + SEG_SEED, h->seed, sizeof(h->seed));
	put_u64_le(out + SEG_BASE_OFFSET, (uint64_t)h->base_offset);
	put_u64_le(out + SEG_FIRST_SEQUENCE, h->first_sequence);
	put_u64_le(out + SEG_PREVIOUS_LINK, h->previous_link);
	put_u32_le(out + SEG_EPOCH, h->epoch);
	put_u32_le(out + SEG_GENERATION, h->generation);
	put_u16_le(out + SEG_NAME_LEN, (uint16_t)h->topic_name.len);
	if (h->topic_name.len > 0)
		memcpy(out + SEG_NAME, h->topic_name.ptr, h->topic_name.len);
	if (h->format_version >= SEGMENT_VERSION_REWRITTEN)
		rewrite_encode(&h->rewrite, out);
	put_u64_le(out + SEG_HASH, checksum64(out, SEG_HASH, SEGMENT_SEED));
}

static enum err segment_header_check(const struct segment_header *h, const uint8_t *in)
{
	size_t name_end = SEG_NAME + h->topic_name.len;
	if (get_u16_le(in + SEG_HEADER_BYTES) != SEGMENT_HEADER_BYTES)
		return err_note(ERR_CORRUPT, "segment header: wrong header length");
	if (h->topic_name.len == 0 || h->topic_name.len > TOPIC_NAME_MAX)
		return err_note(
		    ERR_CORRUPT, "segment header: topic name of %zu bytes", h->topic_name.len);
	if (h->partition < 0 || h->base_offset < 0)
		return err_note(ERR_CORRUPT, "segment header: negative partition or base offset");
	bool rewritten = h->format_version >= SEGMENT_VERSION_REWRITTEN;
	size_t zero_end = rewritten ? SEG_END_OFFSET : SEG_HASH;
	if (!bytes_zero(bytes_of(in + name_end, zero_end - name_end)) ||
	    !bytes_zero(bytes_of(in + SEG_REWRITE_END, SEG_HASH - SEG_REWRITE_END)))
		return err_note(ERR_CORRUPT, "segment header: padding is not zero");
	const struct segment_rewrite *r = &h->rewrite;
	if (rewritten && (h->generation == 0 || r->end_offset < h->base_offset ||
	                     r->clean_end < 0 || r->clean_end > r->end_offset))
		return err_note(ERR_CORRUPT, "segment header: what it stands for is impossible");
	return ERR_OK;
}

enum err segment_header_decode(const uint8_t *in, struct segment_header *ret_header)
{
	struct segment_header h = {
	    .format_version = get_u16_le(in + SEG_VERSION),
	    .partition = (int32_t)get_u32_le(in + SEG_PARTITION),
	    .base_offset = (int64_t)get_u64_le(in + SEG_BASE_OFFSET),
	    .first_sequence = get_u64_le(in + SEG_FIRST_SEQUENCE),
	    .previous_link = get_u64_le(in + SEG_PREVIOUS_LINK),
	    .epoch = get_u32_le(in + SEG_EPOCH),
	    .generation = get_u32_le(in + SEG_GENERATION),
	    .topic_name = str_from(in + SEG_NAME, get_u16_le(in + SEG_NAME_LEN)),
	};
	if (get_u64_le(in + SEG_MAGIC) != SEGMENT_MAGIC)
		return err_note(ERR_CORRUPT, "segment header: not a segment file");
	if (checksum64(in, SEG_HASH, SEGMENT_SEED) != get_u64_le(in + SEG_HASH))
		return err_note(ERR_CORRUPT, "segment header: checksum does not verify");
	if (h.format_version > SEGMENT_VERSION_REWRITTEN)
		return err_note(ERR_NEWER_FORMAT, "segment format %u, this program reads up to %u",
		    h.format_version, SEGMENT_VERSION_REWRITTEN);
	if (h.format_version == 0)
		return err_note(ERR_CORRUPT, "segment header: format version 0");
	memcpy(h.topic_id.b, in + SEG_TOPIC_ID, sizeof(h.topic_id.b));
	memcpy(h.seed, in + SEG_SEED, sizeof(h.seed));
	if (h.format_version >= SEGMENT_VERSION_REWRITTEN)
		h.rewrite = rewrite_decode(in);
	TRY(segment_header_check(&h, in));
	*ret_header = h;
	return ERR_OK;
}

/* ---- frame ----------------------------------------------------------------------------------- */

struct frame_seed frame_seed_of(const uint8_t secret[16])
{
	return (struct frame_seed){
	    .header = XXH3_64bits_withSeed(secret, 16, FRAME_SEED_HEADER),
	    .body = XXH3_64bits_withSeed(secret, 16, FRAME_SEED_BODY),
	};
}

/* `header` holds the encoded fields up to D. */
static uint64_t link_hash(
    const uint8_t *header, struct frame_seed seed, uint64_t previous, uint64_t body)
{
	uint8_t in[8 + FRM_LINK + 8];
	put_u64_le(in, previous);
	memcpy(in + 8, header, FRM_LINK);
	put_u64_le(in + 8 + FRM_LINK, body);
	return XXH3_64bits_withSeed(in, sizeof(in), seed.header);
}

/* The fields that the caller of frame_encode sets. */
static void encode_fields(const struct frame *f, uint8_t *out)
{
	put_u32_le(out + FRM_MAGIC, FRAME_MAGIC);
	put_u16_le(out + FRM_VERSION, f->version);
	put_u16_le(out + FRM_FLAGS, f->flags);
	put_u32_le(out + FRM_LENGTH, f->length);
	put_u32_le(out + FRM_PRINCIPAL, f->principal);
	put_u64_le(out + FRM_SEQUENCE, f->sequence);
	put_u64_le(out + FRM_BASE_OFFSET, (uint64_t)f->base_offset);
	put_u32_le(out + FRM_LAST_DELTA, f->last_offset_delta);
	put_u32_le(out + FRM_EPOCH, f->server_epoch);
	put_u64_le(out + FRM_APPEND_TIME, (uint64_t)f->append_time_ns);
	put_u64_le(out + FRM_DURABLE, f->durable_when_written);
}

/* What must hold besides the checksums; the same on the way in and out. NULL when it holds. */
static const char *frame_fault(const struct frame *f)
{
	bool hole = (f->flags & FRAME_HOLE) != 0;
	if (hole && (f->flags != FRAME_HOLE || f->length != FRAME_HOLE_BYTES))
		return "a hole is no other frame";
	if ((f->version == FRAME_VERSION_HOLE) != hole)
		return "version of another kind of frame";
	if (f->base_offset < 0 || f->last_offset_delta > INT32_MAX)
		return "offset out of range";
	if (f->base_offset > INT64_MAX - 1 - (int64_t)f->last_offset_delta)
		return "offset overflows";
	if (f->flags & FRAME_PAD)
		return f->length > SEGMENT_BYTES_MAX ? "padding too long" : NULL;
	if (f->sequence == 0)
		return "sequence 0";
	if (hole)
		return NULL;
	if (f->length < BATCH_HEADER_BYTES || f->length > BATCH_BYTES_MAX)
		return "length out of range";
	return NULL;
}

void frame_encode(struct frame *f, struct frame_seed seed, uint64_t previous_link,
    struct bytes body, uint8_t *out)
{
	ASSERT((f->flags & ~FRAME_FLAGS) == 0 && frame_fault(f) == NULL);
	ASSERT(body.len == ((f->flags & FRAME_PAD) ? 0 : f->length));
	f->body_hash = checksum64(body.len > 0 ? body.ptr : out, body.len, seed.body);
	encode_fields(f, out);
	f->link = link_hash(out, seed, previous_link, f->body_hash);
	put_u64_le(out + FRM_LINK, f->link);
	put_u64_le(out + FRM_BODY_HASH, f->body_hash);
	f->header_hash = XXH3_64bits_withSeed(out, FRM_HEADER_HASH, seed.header);
	put_u64_le(out + FRM_HEADER_HASH, f->header_hash);
}

enum err frame_decode(const uint8_t *in, struct frame_seed seed, struct frame *ret_frame)
{
	struct frame f = {
	    .version = get_u16_le(in + FRM_VERSION),
	    .flags = get_u16_le(in + FRM_FLAGS),
	    .length = get_u32_le(in + FRM_LENGTH),
	    .principal = get_u32_le(in + FRM_PRINCIPAL),
	    .sequence = get_u64_le(in + FRM_SEQUENCE),
	    .base_offset = (int64_t)get_u64_le(in + FRM_BASE_OFFSET),
	    .last_offset_delta = get_u32_le(in + FRM_LAST_DELTA),
	    .server_epoch = get_u32_le(in + FRM_EPOCH),
	    .append_time_ns = (int64_t)get_u64_le(in + FRM_APPEND_TIME),
	    .durable_when_written = get_u64_le(in + FRM_DURABLE),
	    .link = get_u64_le(in + FRM_LINK),
	    .body_hash = get_u64_le(in + FRM_BODY_HASH),
	    .header_hash = get_u64_le(in + FRM_HEADER_HASH),
	};
	if (get_u32_le(in + FRM_MAGIC) != FRAME_MAGIC)
		return err_note(ERR_CORRUPT, "frame: no magic");
	if (XXH3_64bits_withSeed(in, FRM_HEADER_HASH, seed.header) != f.header_hash)
		return err_note(ERR_CORRUPT, "frame: header checksum does not verify");
	if (f.version > FRAME_VERSION_HOLE)
		return err_note(ERR_NEWER_FORMAT, "frame version %u, this program reads up to %u",
		    f.version, FRAME_VERSION_HOLE);
	if (f.flags & ~FRAME_FLAGS)
		return err_note(ERR_NEWER_FORMAT, "frame with flags %u, this program knows %u",
		    f.flags, FRAME_FLAGS);
	const char *fault = f.version == 0 ? "version 0" : frame_fault(&f);
	if (fault)
		return err_note(ERR_CORRUPT, "frame: %s", fault);
	*ret_frame = f;
	return ERR_OK;
}

void frame_hole_encode(const struct frame_hole *hole, uint8_t *out)
{
	put_u64_le(out, hole->first_sequence);
	put_u64_le(out + 8, hole->batches);
}

enum err frame_hole_decode(const struct frame *f, struct bytes body, struct frame_hole *ret_hole)
{
	ASSERT((f->flags & FRAME_HOLE) && body.len == FRAME_HOLE_BYTES);
	struct frame_hole h = {get_u64_le(body.ptr), get_u64_le(body.ptr + 8)};
	bool good = h.first_sequence > 0 && h.first_sequence <= f->sequence && h.batches > 0 &&
	            h.batches <= f->sequence - h.first_sequence + 1;
	if (!good)
		return err_note(ERR_CORRUPT, "frame: a hole of impossible sequences");
	*ret_hole = h;
	return ERR_OK;
}

enum err frame_check_body(const struct frame *f, struct frame_seed seed, struct bytes body)
{
	if (body.len != f->length)
		return err_note(
		    ERR_CORRUPT, "frame body: %zu bytes instead of %u", body.len, f->length);
	if (f->flags & FRAME_PAD) {
		if (!bytes_zero(body))
			return err_note(ERR_CORRUPT, "frame: padding is not zero");
		body.len = 0;
	}
	if (checksum64(body.ptr, body.len, seed.body) != f->body_hash)
		return err_note(ERR_CORRUPT, "frame body: checksum does not verify");
	return ERR_OK;
}

enum err frame_check_link(const struct frame *f, struct frame_seed seed, uint64_t previous_link)
{
	uint8_t header[FRM_LINK];
	encode_fields(f, header);
	if (link_hash(header, seed, previous_link, f->body_hash) != f->link)
		return err_note(ERR_CORRUPT, "frame: does not follow the frame before it (link)");
	return ERR_OK;
}
