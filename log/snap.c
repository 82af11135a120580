/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The .snap file: producer state as of an offset. A cache with a checksum: one that does not verify
 * is ignored and the state is taken from the log.
 *
 *   header        magic u32 | version u16 | 0 u16 | topic id 16 | partition u32 | 0 u32 |
 *                 offset i64 | count u64 | body XXH3 u64 | header XXH3 u64 (at 56)
 *   version 3     sequence u64 of the last batch before the offset
 *   producer      id i64 | last ns i64 | epoch u16 | batches u16 | 0 u32, then per batch:
 *                 first u32 | last u32 | base offset i64 | sequence u64 | append time ms i64;
 *                 least recently used first
 *   version 2, 3  transactions: open u32 | aborted u32, then per open one: producer id i64 |
 *                 first offset i64 | first sequence u64 | started ns i64 | epoch u16 | 6 zeros;
 *                 per aborted one: producer id i64 | first offset i64 | offset of its marker i64 |
 *                 stable offset i64
 */
#include "log/producer.h"
#define XXH_INLINE_ALL
#include <xxhash.h>

#define SNAP_SEED UINT64_C(0x706e73617070616b) /* "kappasnp" */
enum { SNAP_HASH = SNAP_HEADER_BYTES - 8, SNAP_PRODUCER_BYTES = 24, SNAP_BATCH_BYTES = 32 };
#define SNAP_BYTES_MAX                                                                             \
	(SNAP_HEADER_BYTES + 8 +                                                                   \
	    (size_t)PRODUCERS_MAX *                                                                \
	        (SNAP_PRODUCER_BYTES + PRODUCER_BATCHES_KEPT * SNAP_BATCH_BYTES) +                 \
	    8 + (size_t)TXN_OPEN_MAX * TXN_SNAP_OPEN_BYTES +                                       \
	    (size_t)TXN_ABORTED_MAX * TXN_SNAP_ABORTED_BYTES)

static void encode_producer(const struct producer *p, struct writer *out)
{
	write_u64_le(out, (uint64_t)p->id);
	write_u64_le(out, (uint64_t)p->last_ns);
	write_u16_le(out, (uint16_t)p->epoch);
	write_u16_le(out, p->count);
	write_u32_le(out, 0);
	for (unsigned i = 0; i < p->count; i++) {
		const struct producer_batch *b = &p->batch[i];
		write_u32_le(out, (uint32_t)b->first_sequence);
		write_u32_le(out, (uint32_t)b->last_sequence);
		write_u64_le(out, (uint64_t)b->base_offset);
		write_u64_le(out, b->sequence);
		write_u64_le(out, (uint64_t)b->append_time_ms);
	}
}

enum err snap_encode(const struct producers *ps, const struct txns *txns,
    const struct snap_header *h, struct writer *out)
{
	ASSERT(h->version == SNAP_VERSION);
	size_t at = out->len;
	uint64_t count = 0;
	if (!writer_reserve(out, SNAP_HEADER_BYTES))
		return out->err;
	write_u64_le(out, h->sequence);
	LIST_EACH (&ps->lru, n, next) {
		const struct producer *p = CONTAINER_OF(n, struct producer, lru);
		if (p->epoch < 0)
			continue; /* made room for, but never accepted */
		encode_producer(p, out);
		count++;
	}
	txns_encode(txns, out);
	TRY(out->err);
	uint8_t *head = out->ptr + at;
	size_t body = out->len - at - SNAP_HEADER_BYTES;
	memset(head, 0, SNAP_HEADER_BYTES);
	put_u32_le(head, SNAP_MAGIC);
	put_u16_le(head + 4, h->version);
	memcpy(head + 8, h->topic_id.b, sizeof(h->topic_id.b));
	put_u32_le(head + 24, (uint32_t)h->partition);
	put_u64_le(head + 32, (uint64_t)h->offset);
	put_u64_le(head + 40, count);
	put_u64_le(head + 48, XXH3_64bits_withSeed(head + SNAP_HEADER_BYTES, body, SNAP_SEED));
	put_u64_le(head + SNAP_HASH, XXH3_64bits_withSeed(head, SNAP_HASH, SNAP_SEED));
	return ERR_OK;
}

static enum err decode_header(struct bytes file, struct snap_header *ret)
{
	if (file.len < SNAP_HEADER_BYTES || get_u32_le(file.ptr) != SNAP_MAGIC)
		return err_note(ERR_CORRUPT, "snapshot: not a snapshot file");
	if (get_u64_le(file.ptr + SNAP_HASH) !=
	    XXH3_64bits_withSeed(file.ptr, SNAP_HASH, SNAP_SEED))
		return err_note(ERR_CORRUPT, "snapshot: header checksum does not verify");
	struct snap_header h = {
	    .version = get_u16_le(file.ptr + 4),
	    .partition = (int32_t)get_u32_le(file.ptr + 24),
	    .offset = (int64_t)get_u64_le(file.ptr + 32),
	    .count = get_u64_le(file.ptr + 40),
	};
	memcpy(h.topic_id.b, file.ptr + 8, sizeof(h.topic_id.b));
	if (h.version > SNAP_VERSION)
		return err_note(ERR_NEWER_FORMAT, "snapshot format %u, this program reads up to %u",
		    h.version, SNAP_VERSION);
	if (h.offset < 0 || h.count > PRODUCERS_MAX || h.version == 0 ||
	    !bytes_zero(bytes_of(file.ptr + 6, 2)) || !bytes_zero(bytes_of(file.ptr + 28, 4)))
		return err_note(ERR_CORRUPT, "snapshot: impossible values");
	*ret = h;
	return ERR_OK;
}

static enum err decode_producer(struct reader *r, struct producers *ps)
{
	int64_t id = (int64_t)read_u64_le(r);
	int64_t last_ns = (int64_t)read_u64_le(r);
	int16_t epoch = (int16_t)read_u16_le(r);
	unsigned count = read_u16_le(r);
	uint32_t zero = read_u32_le(r);
	if (r->bad || zero != 0 || id < 0 || epoch < 0 || count > PRODUCER_BATCHES_KEPT)
		return err_note(ERR_CORRUPT, "snapshot: impossible producer");
	struct producer *p = NULL;
	if (ps) {
		TRY(producers_reserve(ps, id));
		p = producers_find(ps, id);
		p->last_ns = last_ns;
		p->epoch = epoch;
		p->count = (uint8_t)count;
	}
	for (unsigned i = 0; i < count; i++) {
		struct producer_batch b = {
		    .first_sequence = (int32_t)read_u32_le(r),
		    .last_sequence = (int32_t)read_u32_le(r),
		};
		b.base_offset = (int64_t)read_u64_le(r);
		b.sequence = read_u64_le(r);
		b.append_time_ms = (int64_t)read_u64_le(r);
		if (p)
			p->batch[i] = b;
	}
	return r->bad ? err_note(ERR_CORRUPT, "snapshot: cut short") : ERR_OK;
}

enum err snap_decode(
    struct bytes file, struct producers *ps, struct txns *txns, struct snap_header *ret_header)
{
	struct snap_header h;
	TRY(decode_header(file, &h));
	struct bytes body = bytes_slice(file, SNAP_HEADER_BYTES, file.len);
	if (get_u64_le(file.ptr + 48) != XXH3_64bits_withSeed(body.ptr, body.len, SNAP_SEED))
		return err_note(ERR_CORRUPT, "snapshot: checksum does not verify");
	struct reader r = reader_of(body);
	if (h.version >= 3)
		h.sequence = read_u64_le(&r);
	for (uint64_t i = 0; i < h.count; i++)
		TRY(decode_producer(&r, ps));
	if (h.version >= 2)
		TRY(txns_decode(&r, txns));
	if (reader_left(&r) != 0)
		return err_note(ERR_CORRUPT, "snapshot: bytes behind the last entry");
	*ret_header = h;
	return ERR_OK;
}

size_t snap_bytes(const struct producers *ps, const struct txns *txns)
{
	return SNAP_HEADER_BYTES +
	       ps->count *
	           (SNAP_PRODUCER_BYTES + PRODUCER_BATCHES_KEPT * (size_t)SNAP_BATCH_BYTES) +
	       8 + txns->by_id.count * TXN_SNAP_OPEN_BYTES +
	       txns->aborted_count * TXN_SNAP_ABORTED_BYTES;
}

size_t snap_bytes_max(void)
{
	return SNAP_BYTES_MAX;
}
