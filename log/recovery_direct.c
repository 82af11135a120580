/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DIRECT frames during recovery: their bytes are in the segment alone, and what the journal has of
 * them is their place and checksum. An acknowledged round's DIRECT frames were durable before it
 * was acknowledged, so for every entry but the last they stand where it says, or the disk lost them
 * (DAMAGED). The last entry may be there while they are not: then the round was never acknowledged,
 * and all of it goes (TORN_ROUND). When they are there it may still be in the page cache only (a
 * flush that failed leaves clean pages that no later flush writes), so they are written again; and
 * because writing over the only copy could spoil it, the COPY of the entry carries their bytes
 * first.
 */
#include "log/batch.h"
#include "log/engine.h"
#include "log/recovery.h"

static enum err body_check(struct recovery *r, struct segment *s, int fd,
    const struct journal_item *item, const struct frame *f)
{
	uint8_t *body = mem_alloc(f->length + 1); /* + 1: padding may be empty */
	if (!body)
		return ERR_NOMEM;
	enum err e =
	    io_pread_all(r->log->io, fd, body, f->length, item->pos + (uint64_t)FRAME_HEADER_BYTES);
	if (e == ERR_OK)
		e = frame_check_body(f, s->seed, bytes_of(body, f->length));
	mem_free(body);
	return e == ERR_EOF ? err_note(ERR_CORRUPT, "the segment ends in the frame") : e;
}

enum err recovery_direct_frame(struct recovery *r, struct segment *s,
    const struct journal_item *item, bool deep, struct frame *ret_frame,
    struct batch_header *ret_batch)
{
	uint8_t raw[FRAME_HEADER_BYTES + BATCH_HEADER_BYTES];
	size_t got;
	struct frame f;
	int fd;
	TRY(recovery_open(r, s, &fd));
	TRY(io_pread(r->log->io, fd, raw, sizeof(raw), item->pos, &got));
	if (got < FRAME_HEADER_BYTES)
		return err_note(ERR_CORRUPT, "the segment ends before the frame at %u", item->pos);
	TRY(frame_decode(raw, s->seed, &f));
	bool pad = (f.flags & FRAME_PAD) != 0;
	if (f.header_hash != item->frame_hash || FRAME_HEADER_BYTES + f.length != item->len ||
	    (!pad && got < sizeof(raw)))
		return err_note(ERR_CORRUPT, "another frame stands at %u", item->pos);
	if (deep)
		TRY(body_check(r, s, fd, item, &f));
	*ret_batch = (struct batch_header){0};
	if (!pad)
		*ret_batch = batch_peek(raw + FRAME_HEADER_BYTES);
	*ret_frame = f;
	return ERR_OK;
}

/* The segment an item's DIRECT frame is in; NULL: not DIRECT, or the segment is lost, not torn. */
static struct segment *direct_segment(struct recovery *r, const struct journal_item *item)
{
	struct partition_key key = {item->topic_id, item->partition};
	struct log_partition *p = partition_by_key(r->log, key);
	if (!(item->flags & FRAME_DIRECT) || !p)
		return NULL;
	return recovery_segment(p, item->segment);
}

enum err recovery_direct_ahead(struct recovery *r, const struct journal_found *found)
{
	const struct segment *open = NULL;
	enum err e = ERR_OK;
	int fd = -1;
	for (uint32_t i = 0; i < found->entry.item_count && e == ERR_OK; i++) {
		struct journal_item item = journal_found_item(found, i);
		const struct segment *s = direct_segment(r, &item);
		char path[LOG_PATH_MAX], name[SEGMENT_NAME_BYTES];
		if (!s)
			continue;
		if (s != open && fd >= 0)
			e = io_close(r->log->io, fd);
		if (s != open && e == ERR_OK)
			e = partition_path(s->partition, segment_file_name(s, ".log", name), path);
		if (s != open && e == ERR_OK)
			e = io_open(r->log->io, path, IO_READONLY, &fd);
		open = s;
		if (e == ERR_OK)
			io_prefetch(r->log->io, fd, item.pos, IO_DIRECT_ALIGN);
	}
	enum err closed = open && e == ERR_OK ? io_close(r->log->io, fd) : ERR_OK;
	return e == ERR_OK ? closed : e;
}

enum err recovery_direct_last(struct recovery *r, const struct journal_found *found)
{
	for (uint32_t i = 0; i < found->entry.item_count; i++) {
		struct journal_item item = journal_found_item(found, i);
		struct segment *s = direct_segment(r, &item);
		struct frame f;
		struct batch_header ignored;
		if (s)
			TRY(recovery_direct_frame(r, s, &item, true, &f, &ignored));
	}
	return ERR_OK;
}

/* ---- the copy -------------------------------------------------------------------------------- */

uint32_t recovery_copy_more(const struct journal_found *found)
{
	uint64_t more = 0;
	for (uint32_t i = 0; i < found->entry.item_count; i++) {
		struct journal_item item = journal_found_item(found, i);
		more += (item.flags & FRAME_DIRECT) ? item.len : 0;
	}
	more = (more + JOURNAL_BLOCK - 1) / JOURNAL_BLOCK * JOURNAL_BLOCK;
	return more < UINT32_MAX / 2 ? (uint32_t)more
	                             : UINT32_MAX / 2; /* no journal has room then */
}

enum err recovery_copy(
    struct recovery *r, const struct journal_found *found, uint8_t *out, struct journal_entry *ret)
{
	struct journal_entry e = found->entry;
	uint32_t at = e.items_at;
	uint8_t *items = mem_alloc((size_t)e.item_count * JOURNAL_ITEM_BYTES + 1);
	if (!items)
		return ERR_NOMEM;
	memcpy(out, found->buf, e.items_at);
	enum err err = ERR_OK;
	for (uint32_t i = 0; i < e.item_count && err == ERR_OK; i++) {
		struct journal_item item = journal_found_item(found, i);
		struct segment *s = direct_segment(r, &item);
		int fd;
		if (s) {
			err = recovery_open(r, s, &fd);
			if (err == ERR_OK)
				err = io_pread_all(r->log->io, fd, out + at, item.len, item.pos);
			item.flags &= (uint16_t)~FRAME_DIRECT;
			item.at = at;
			at += item.len;
		}
		journal_item_encode(&item, items + (size_t)i * JOURNAL_ITEM_BYTES);
	}
	memcpy(out + at, items, (size_t)e.item_count * JOURNAL_ITEM_BYTES);
	mem_free(items);
	e.kind = JOURNAL_COPY;
	e.items_at = at;
	e.used = at + e.item_count * JOURNAL_ITEM_BYTES;
	e.length = (e.used + JOURNAL_BLOCK - 1) / JOURNAL_BLOCK * JOURNAL_BLOCK;
	*ret = e;
	return err;
}
