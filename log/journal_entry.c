/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of the journal: file header, entry header, items; and the walk over a file's entries. All
 * numbers are little-endian. Positions (log/FORMAT.md has the same tables):
 *
 *   file header   magic u32 | version u16 | 0 u16 | file u32 | 0 u32 | file bytes u64 | secret 16 |
 * zeros | XXH3 u64 at 4088 entry header  magic u32 | version u16 | kind u16 | length u32 | used u32
 * | items at u32 | item count u32 | epoch u32 | 0 u32 | number u64 | first, last sequence u64 |
 * checkpoint number u64 | producer ids u64 | written i64 | lazy bound u64 | 16 zeros | items XXH3
 * u64 | body XXH3 u64 (all behind the header, zeros included) | header XXH3 u64 item          kind
 * u16 | flags u16 | partition u32 | topic id 16 | segment i64 | pos u32 | len u32 | at u32 | 0 u32
 * | sequence u64 | frame's header XXH3 u64
 */
#include "log/checksum.h"
#include "log/journal.h"
#define XXH_INLINE_ALL
#include <xxhash.h>

#define JOURNAL_FILE_SEED   UINT64_C(0x6c6e726a6170706b) /* "kppajrnl" */
#define JOURNAL_SEED_HEADER UINT64_C(0x7264686a6170706b)
#define JOURNAL_SEED_BODY   UINT64_C(0x7964626a6170706b)

enum {
	FILE_HASH = JOURNAL_BLOCK - 8,
	ENTRY_ITEMS_HASH = 104,
	ENTRY_BODY_HASH = 112,
	ENTRY_HASH = 120
};
_Static_assert(ENTRY_HASH + 8 == JOURNAL_ENTRY_HEADER_BYTES, "the checksum ends the header");

/* ---- file header ----------------------------------------------------------------------------- */

void journal_header_encode(const struct journal_header *h, uint8_t *out)
{
	ASSERT(h->file < JOURNAL_FILES);
	memset(out, 0, JOURNAL_BLOCK);
	put_u32_le(out, JOURNAL_MAGIC);
	put_u16_le(out + 4, h->version);
	put_u32_le(out + 8, h->file);
	put_u64_le(out + 16, h->file_bytes);
	memcpy(out + 24, h->secret, sizeof(h->secret));
	put_u64_le(out + FILE_HASH, checksum64(out, FILE_HASH, JOURNAL_FILE_SEED));
}

enum err journal_header_decode(const uint8_t *in, struct journal_header *ret_header)
{
	struct journal_header h = {
	    .version = get_u16_le(in + 4),
	    .file = get_u32_le(in + 8),
	    .file_bytes = get_u64_le(in + 16),
	};
	if (get_u32_le(in) != JOURNAL_MAGIC)
		return err_note(ERR_CORRUPT, "journal header: not a journal file");
	if (get_u64_le(in + FILE_HASH) != checksum64(in, FILE_HASH, JOURNAL_FILE_SEED))
		return err_note(ERR_CORRUPT, "journal header: checksum does not verify");
	if (h.version > JOURNAL_VERSION)
		return err_note(ERR_NEWER_FORMAT, "journal format %u, this program reads up to %u",
		    h.version, JOURNAL_VERSION);
	if (h.version == 0 || h.file >= JOURNAL_FILES || h.file_bytes % JOURNAL_BLOCK != 0)
		return err_note(ERR_CORRUPT, "journal header: impossible values");
	if (!bytes_zero(bytes_of(in + 6, 2)) || !bytes_zero(bytes_of(in + 12, 4)) ||
	    !bytes_zero(bytes_of(in + 40, FILE_HASH - 40)))
		return err_note(ERR_CORRUPT, "journal header: reserved bytes are not zero");
	memcpy(h.secret, in + 24, sizeof(h.secret));
	*ret_header = h;
	return ERR_OK;
}

struct journal_seed journal_seed_of(const uint8_t secret[16])
{
	return (struct journal_seed){
	    .header = XXH3_64bits_withSeed(secret, 16, JOURNAL_SEED_HEADER),
	    .body = XXH3_64bits_withSeed(secret, 16, JOURNAL_SEED_BODY),
	};
}

const char *journal_file_name(unsigned file, char *buf)
{
	ASSERT(file < JOURNAL_FILES);
	memcpy(buf, "journal-", 8);
	buf[8] = (char)('0' + file);
	buf[9] = '\0';
	return buf;
}

/* ---- items ----------------------------------------------------------------------------------- */

void journal_item_encode(const struct journal_item *item, uint8_t *out)
{
	put_u16_le(out, item->kind);
	put_u16_le(out + 2, item->flags);
	put_u32_le(out + 4, (uint32_t)item->partition);
	memcpy(out + 8, item->topic_id.b, sizeof(item->topic_id.b));
	put_u64_le(out + 24, (uint64_t)item->segment);
	put_u32_le(out + 32, item->pos);
	put_u32_le(out + 36, item->len);
	put_u32_le(out + 40, item->at);
	put_u32_le(out + 44, 0);
	put_u64_le(out + 48, item->sequence);
	put_u64_le(out + 56, item->frame_hash);
}

struct journal_item journal_item_decode(const uint8_t *in)
{
	struct journal_item item = {
	    .kind = get_u16_le(in),
	    .flags = get_u16_le(in + 2),
	    .partition = (int32_t)get_u32_le(in + 4),
	    .segment = (int64_t)get_u64_le(in + 24),
	    .pos = get_u32_le(in + 32),
	    .len = get_u32_le(in + 36),
	    .at = get_u32_le(in + 40),
	    .sequence = get_u64_le(in + 48),
	    .frame_hash = get_u64_le(in + 56),
	};
	memcpy(item.topic_id.b, in + 8, sizeof(item.topic_id.b));
	return item;
}

/* ---- entries --------------------------------------------------------------------------------- */

static void entry_encode(const struct journal_entry *e, uint8_t *out)
{
	memset(out, 0, JOURNAL_ENTRY_HEADER_BYTES);
	put_u32_le(out, JOURNAL_ENTRY_MAGIC);
	put_u16_le(out + 4, e->version);
	put_u16_le(out + 6, e->kind);
	put_u32_le(out + 8, e->length);
	put_u32_le(out + 12, e->used);
	put_u32_le(out + 16, e->items_at);
	put_u32_le(out + 20, e->item_count);
	put_u32_le(out + 24, e->epoch);
	put_u64_le(out + 32, e->number);
	put_u64_le(out + 40, e->first_sequence);
	put_u64_le(out + 48, e->last_sequence);
	put_u64_le(out + 56, e->checkpoint_number);
	put_u64_le(out + 64, e->producer_ids);
	put_u64_le(out + 72, (uint64_t)e->written_ns);
	put_u64_le(out + 80, e->lazy_bound);
	put_u64_le(out + ENTRY_ITEMS_HASH, e->items_hash);
	put_u64_le(out + ENTRY_BODY_HASH, e->body_hash);
}

/* What must hold besides the checksums, on the way in and out. NULL when it holds. */
static const char *entry_fault(const struct journal_entry *e)
{
	if (e->kind < JOURNAL_ROUND)
		return "kind 0";
	if (e->length % JOURNAL_BLOCK != 0 || e->used > e->length ||
	    e->length - e->used >= JOURNAL_BLOCK)
		return "length and use disagree";
	if (e->items_at < JOURNAL_ENTRY_HEADER_BYTES || e->items_at > e->used)
		return "items outside the entry";
	if (e->item_count != (e->used - e->items_at) / JOURNAL_ITEM_BYTES ||
	    (e->used - e->items_at) % JOURNAL_ITEM_BYTES != 0)
		return "item count and use disagree";
	if (e->number == 0)
		return "number 0";
	return NULL;
}

void journal_entry_seal(struct journal_entry *e, struct journal_seed seed, uint8_t *buf)
{
	ASSERT(e->kind <= JOURNAL_COPY && entry_fault(e) == NULL);
	memset(buf + e->used, 0, e->length - e->used);
	e->items_hash = checksum64(buf + e->items_at, e->used - e->items_at, seed.body);
	e->body_hash = checksum64(
	    buf + JOURNAL_ENTRY_HEADER_BYTES, e->length - JOURNAL_ENTRY_HEADER_BYTES, seed.body);
	entry_encode(e, buf);
	e->header_hash = XXH3_64bits_withSeed(buf, ENTRY_HASH, seed.header);
	put_u64_le(buf + ENTRY_HASH, e->header_hash);
}

static bool entry_zeros(const uint8_t *in)
{
	return bytes_zero(bytes_of(in + 28, 4)) && bytes_zero(bytes_of(in + 88, 16));
}

enum err journal_entry_decode(
    const uint8_t *in, struct journal_seed seed, uint64_t room, struct journal_entry *ret_entry)
{
	struct journal_entry e = {
	    .version = get_u16_le(in + 4),
	    .kind = get_u16_le(in + 6),
	    .length = get_u32_le(in + 8),
	    .used = get_u32_le(in + 12),
	    .items_at = get_u32_le(in + 16),
	    .item_count = get_u32_le(in + 20),
	    .epoch = get_u32_le(in + 24),
	    .number = get_u64_le(in + 32),
	    .first_sequence = get_u64_le(in + 40),
	    .last_sequence = get_u64_le(in + 48),
	    .checkpoint_number = get_u64_le(in + 56),
	    .producer_ids = get_u64_le(in + 64),
	    .written_ns = (int64_t)get_u64_le(in + 72),
	    .lazy_bound = get_u64_le(in + 80),
	    .items_hash = get_u64_le(in + ENTRY_ITEMS_HASH),
	    .body_hash = get_u64_le(in + ENTRY_BODY_HASH),
	    .header_hash = get_u64_le(in + ENTRY_HASH),
	};
	if (get_u32_le(in) != JOURNAL_ENTRY_MAGIC)
		return ERR_CORRUPT; /* the common case of a search: no note */
	if (XXH3_64bits_withSeed(in, ENTRY_HASH, seed.header) != e.header_hash)
		return ERR_CORRUPT;
	if (e.version > JOURNAL_VERSION)
		return err_note(ERR_NEWER_FORMAT,
		    "journal entry version %u, this program reads up to %u", e.version,
		    JOURNAL_VERSION);
	if (e.kind > JOURNAL_COPY)
		return err_note(ERR_NEWER_FORMAT,
		    "journal entry %llu is of kind %u, this program knows %u",
		    (unsigned long long)e.number, e.kind, JOURNAL_COPY);
	const char *fault = e.version == 0 ? "version 0" : entry_fault(&e);
	if (!fault && !entry_zeros(in))
		fault = "reserved bytes are not zero";
	if (fault)
		return err_note(
		    ERR_CORRUPT, "journal entry %llu: %s", (unsigned long long)e.number, fault);
	if (e.length > room)
		return err_note(ERR_CORRUPT, "journal entry %llu: longer than its file",
		    (unsigned long long)e.number);
	*ret_entry = e;
	return ERR_OK;
}

/* Frames must lie between the header and the items. */
static bool items_sane(const struct journal_entry *e, const uint8_t *buf)
{
	for (uint32_t i = 0; i < e->item_count; i++) {
		const uint8_t *in = buf + e->items_at + (size_t)i * JOURNAL_ITEM_BYTES;
		struct journal_item item = journal_item_decode(in);
		if (get_u32_le(in + 44) != 0 || (item.flags & ~FRAME_FLAGS))
			return false;
		if ((item.kind != JOURNAL_FRAME && item.kind != JOURNAL_TAIL) ||
		    item.partition < 0 || item.segment < 0)
			return false;
		if (item.pos < SEGMENT_HEADER_BYTES ||
		    (item.kind == JOURNAL_FRAME && item.len < FRAME_HEADER_BYTES))
			return false;
		if (!(item.flags & FRAME_DIRECT) &&
		    (item.at < JOURNAL_ENTRY_HEADER_BYTES || item.at > e->items_at ||
		        item.len > e->items_at - item.at))
			return false;
	}
	return true;
}

enum err journal_entry_check(const struct journal_entry *e, struct journal_seed seed,
    const uint8_t *buf, bool *ret_items_good)
{
	uint64_t items = checksum64(buf + e->items_at, e->used - e->items_at, seed.body);
	bool items_hold = items == e->items_hash, items_good = items_hold && items_sane(e, buf);
	uint64_t body = checksum64(
	    buf + JOURNAL_ENTRY_HEADER_BYTES, e->length - JOURNAL_ENTRY_HEADER_BYTES, seed.body);
	*ret_items_good = items_good;
	if (!items_good || body != e->body_hash)
		return err_note(ERR_CORRUPT, "journal entry %llu: %s",
		    (unsigned long long)e->number,
		    items_hold && !items_good ? "an impossible item" : "checksum does not verify");
	return ERR_OK;
}

struct journal_item journal_found_item(const struct journal_found *f, uint32_t index)
{
	ASSERT(f->items_good && f->buf && index < f->entry.item_count);
	return journal_item_decode(f->buf + f->entry.items_at + (size_t)index * JOURNAL_ITEM_BYTES);
}
