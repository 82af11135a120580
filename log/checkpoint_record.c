/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of the checkpoint record, little-endian:
 *
 *   header  magic u32 | version u16 | flags u16 (1 = clean) | epoch u32 | journal file u32 |
 * counter u64 | number u64 | journal pos u64 | sequence u64 | producer ids u64 | lazy bound u64 |
 * last append i64 | written i64 | row count u64 | gap count u32 | 20 zeros | XXH3 of all behind the
 * header u64 (at 112) | header XXH3 u64 (at 120) row     topic id 16 | partition u32 | segment end
 * u32 | log end i64 | segment i64 | last sequence u64 | last link u64 | transactions u64 (0 = never
 * any, else 1 + last stable offset) gap     first u64 | last u64, behind the rows
 */
#include "log/checkpoint.h"
#define XXH_INLINE_ALL
#include <xxhash.h>

#define CHECKPOINT_SEED UINT64_C(0x706b6361707061) /* "appackp" */
enum { CHECKPOINT_ROWS_HASH = 112, CHECKPOINT_HASH = 120, CHECKPOINT_FLAG_CLEAN = 1 };
#define CHECKPOINT_BYTES_MAX                                                                       \
	(CHECKPOINT_HEADER_BYTES + (size_t)2 * LOG_PARTITIONS_MAX * CHECKPOINT_ROW_BYTES)
_Static_assert(CHECKPOINT_HASH + 8 == CHECKPOINT_HEADER_BYTES, "the checksum ends the header");

const char *checkpoint_file_name(unsigned slot, char *buf)
{
	ASSERT(slot < CHECKPOINT_SLOTS);
	memcpy(buf, "checkpoint-", 11);
	buf[11] = (char)('0' + slot);
	buf[12] = '\0';
	return buf;
}

void checkpoint_row_encode(const struct checkpoint_row *r, uint8_t *out)
{
	memset(out, 0, CHECKPOINT_ROW_BYTES);
	memcpy(out, r->topic_id.b, sizeof(r->topic_id.b));
	put_u32_le(out + 16, (uint32_t)r->partition);
	put_u32_le(out + 20, r->segment_end);
	put_u64_le(out + 24, (uint64_t)r->log_end);
	put_u64_le(out + 32, (uint64_t)r->segment);
	put_u64_le(out + 40, r->last_sequence);
	put_u64_le(out + 48, r->last_link);
	put_u64_le(out + 56, r->transactions);
}

void checkpoint_gap_encode(const struct checkpoint_gap *gap, uint8_t *out)
{
	put_u64_le(out, gap->first);
	put_u64_le(out + 8, gap->last);
}

static struct checkpoint_row row_decode(const uint8_t *in)
{
	struct checkpoint_row r = {
	    .partition = (int32_t)get_u32_le(in + 16),
	    .segment_end = get_u32_le(in + 20),
	    .log_end = (int64_t)get_u64_le(in + 24),
	    .segment = (int64_t)get_u64_le(in + 32),
	    .last_sequence = get_u64_le(in + 40),
	    .last_link = get_u64_le(in + 48),
	    .transactions = get_u64_le(in + 56),
	};
	memcpy(r.topic_id.b, in, sizeof(r.topic_id.b));
	return r;
}

void checkpoint_header_encode(const struct checkpoint_header *h, uint8_t *record, size_t len)
{
	ASSERT(len == CHECKPOINT_HEADER_BYTES + h->row_count * CHECKPOINT_ROW_BYTES +
	                  h->gap_count * CHECKPOINT_GAP_BYTES);
	memset(record, 0, CHECKPOINT_HEADER_BYTES);
	put_u32_le(record, CHECKPOINT_MAGIC);
	put_u16_le(record + 4, h->version);
	put_u16_le(record + 6, h->clean ? CHECKPOINT_FLAG_CLEAN : 0);
	put_u32_le(record + 8, h->epoch);
	put_u32_le(record + 12, h->journal_file);
	put_u64_le(record + 16, h->counter);
	put_u64_le(record + 24, h->number);
	put_u64_le(record + 32, h->journal_pos);
	put_u64_le(record + 40, h->sequence);
	put_u64_le(record + 48, h->producer_ids);
	put_u64_le(record + 56, h->lazy_bound);
	put_u64_le(record + 64, (uint64_t)h->last_append_ns);
	put_u64_le(record + 72, (uint64_t)h->written_ns);
	put_u64_le(record + 80, h->row_count);
	put_u32_le(record + 88, h->gap_count);
	put_u64_le(
	    record + CHECKPOINT_ROWS_HASH, XXH3_64bits_withSeed(record + CHECKPOINT_HEADER_BYTES,
	                                       len - CHECKPOINT_HEADER_BYTES, CHECKPOINT_SEED));
	put_u64_le(record + CHECKPOINT_HASH,
	    XXH3_64bits_withSeed(record, CHECKPOINT_HASH, CHECKPOINT_SEED));
}

static enum err header_decode(struct bytes file, struct checkpoint_header *ret)
{
	const uint8_t *in = file.ptr;
	if (file.len < CHECKPOINT_HEADER_BYTES || get_u32_le(in) != CHECKPOINT_MAGIC)
		return err_note(ERR_CORRUPT, "not a checkpoint record");
	if (get_u64_le(in + CHECKPOINT_HASH) !=
	    XXH3_64bits_withSeed(in, CHECKPOINT_HASH, CHECKPOINT_SEED))
		return err_note(ERR_CORRUPT, "checkpoint: header checksum does not verify");
	struct checkpoint_header h = {
	    .version = get_u16_le(in + 4),
	    .clean = (get_u16_le(in + 6) & CHECKPOINT_FLAG_CLEAN) != 0,
	    .epoch = get_u32_le(in + 8),
	    .journal_file = get_u32_le(in + 12),
	    .counter = get_u64_le(in + 16),
	    .number = get_u64_le(in + 24),
	    .journal_pos = get_u64_le(in + 32),
	    .sequence = get_u64_le(in + 40),
	    .producer_ids = get_u64_le(in + 48),
	    .lazy_bound = get_u64_le(in + 56),
	    .last_append_ns = (int64_t)get_u64_le(in + 64),
	    .written_ns = (int64_t)get_u64_le(in + 72),
	    .row_count = get_u64_le(in + 80),
	    .gap_count = get_u32_le(in + 88),
	};
	if (h.version > CHECKPOINT_VERSION)
		return err_note(ERR_NEWER_FORMAT,
		    "checkpoint format %u, this program reads up to %u", h.version,
		    CHECKPOINT_VERSION);
	unsigned flags = get_u16_le(in + 6);
	if (flags & ~(unsigned)CHECKPOINT_FLAG_CLEAN)
		return err_note(ERR_NEWER_FORMAT, "checkpoint flags %u, this program knows %u",
		    flags, CHECKPOINT_FLAG_CLEAN);
	size_t left = file.len - CHECKPOINT_HEADER_BYTES;
	if (h.gap_count > CHECKPOINT_GAPS_MAX || h.row_count > left / CHECKPOINT_ROW_BYTES ||
	    h.gap_count > (left - h.row_count * CHECKPOINT_ROW_BYTES) / CHECKPOINT_GAP_BYTES)
		return err_note(ERR_CORRUPT, "checkpoint: cut short");
	if (h.version == 0 || !bytes_zero(bytes_of(in + 92, CHECKPOINT_ROWS_HASH - 92)))
		return err_note(ERR_CORRUPT, "checkpoint: version 0 or reserved bytes");
	*ret = h;
	return ERR_OK;
}

static enum err record_decode(struct bytes file, struct checkpoint_record *ret)
{
	struct checkpoint_record r = {0};
	TRY(header_decode(file, &r.header));
	const uint8_t *rows = file.ptr + CHECKPOINT_HEADER_BYTES;
	size_t rows_len = (size_t)r.header.row_count * CHECKPOINT_ROW_BYTES;
	size_t len = rows_len + (size_t)r.header.gap_count * CHECKPOINT_GAP_BYTES;
	if (get_u64_le(file.ptr + CHECKPOINT_ROWS_HASH) !=
	    XXH3_64bits_withSeed(rows, len, CHECKPOINT_SEED))
		return err_note(ERR_CORRUPT, "checkpoint: checksum of the rows does not verify");
	r.rows = mem_calloc((size_t)r.header.row_count + 1, sizeof(*r.rows));
	if (!r.rows)
		return ERR_NOMEM;
	for (uint64_t i = 0; i < r.header.row_count; i++)
		r.rows[i] = row_decode(rows + i * CHECKPOINT_ROW_BYTES);
	for (uint32_t i = 0; i < r.header.gap_count; i++) {
		const uint8_t *gap = rows + rows_len + (size_t)i * CHECKPOINT_GAP_BYTES;
		r.gaps[i] = (struct checkpoint_gap){get_u64_le(gap), get_u64_le(gap + 8)};
	}
	*ret = r;
	return ERR_OK;
}

enum err checkpoint_read(struct io *io, const char *path, struct checkpoint_record *ret_record)
{
	struct bytes file;
	struct io_stat st;
	enum err e = io_read_file(io, path, CHECKPOINT_BYTES_MAX, &file);
	if (e == ERR_CORRUPT) /* no file */
		return err_note(ERR_NO_JOURNAL, "%s: put a checkpoint record back there", path);
	if (e == ERR_LIMIT && io_stat(io, path, &st) == ERR_OK &&
	    st.size_bytes > CHECKPOINT_BYTES_MAX)
		return err_note(ERR_CORRUPT, "%s: no record is that long", path);
	TRY(e);
	e = record_decode(file, ret_record);
	mem_free((void *)(uintptr_t)file.ptr);
	return e == ERR_OK ? ERR_OK : err_note(e, "%s", path);
}

void checkpoint_record_release(struct checkpoint_record *r)
{
	mem_free(r->rows);
	*r = (struct checkpoint_record){0};
}
