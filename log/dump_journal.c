/* SPDX-License-Identifier: Apache-2.0 */
/* Dump of a journal file and of a checkpoint record. */
#include "log/checkpoint.h"
#include "log/dump.h"
#include "log/journal.h"

static const char *kind_name(uint16_t kind)
{
	switch (kind) {
	case JOURNAL_ROUND:
		return "round";
	case JOURNAL_MARK:
		return "mark";
	case JOURNAL_CLEAN:
		return "clean";
	case JOURNAL_COPY:
		return "copy";
	default:
		return "unknown";
	}
}

static enum err dump_item(struct dump *d, const struct journal_found *f, uint32_t index)
{
	struct journal_item item = journal_found_item(f, index);
	bool tail = item.kind == JOURNAL_TAIL;
	dump_begin(d, tail ? "tail" : "item");
	dump_u64(d, "number", f->entry.number);
	dump_uuid(d, "topic_id", item.topic_id);
	dump_i64(d, "partition", item.partition);
	dump_i64(d, "segment", item.segment);
	dump_u64(d, "pos", item.pos);
	dump_u64(d, "len", item.len);
	dump_u64(d, "at", item.at);
	dump_u64(d, "sequence", item.sequence);
	dump_bool(d, "direct", item.flags & FRAME_DIRECT);
	dump_bool(d, "pad", item.flags & FRAME_PAD);
	dump_hash(d, "frame_hash", item.frame_hash);
	TRY(dump_end(d));
	bool inside = !(item.flags & FRAME_DIRECT) && item.len > FRAME_HEADER_BYTES &&
	              item.at <= f->entry.length && item.len <= f->entry.length - item.at;
	if (!inside || tail || (item.flags & (FRAME_PAD | FRAME_HOLE)) || !f->good)
		return ERR_OK;
	return dump_batch(
	    d, bytes_of(f->buf + item.at + FRAME_HEADER_BYTES, item.len - FRAME_HEADER_BYTES));
}

static enum err dump_entry(struct dump *d, const struct journal_found *f)
{
	const struct journal_entry *e = &f->entry;
	dump_begin(d, "journal_entry");
	dump_u64(d, "pos", f->pos);
	dump_str(d, "entry", str_of(kind_name(e->kind)));
	dump_u64(d, "number", e->number);
	dump_u64(d, "length", e->length);
	dump_u64(d, "epoch", e->epoch);
	dump_u64(d, "items", e->item_count);
	dump_u64(d, "first_sequence", e->first_sequence);
	dump_u64(d, "last_sequence", e->last_sequence);
	dump_u64(d, "checkpoint_number", e->checkpoint_number);
	dump_u64(d, "producer_ids", e->producer_ids);
	dump_u64(d, "lazy_bound", e->lazy_bound);
	dump_i64(d, "written_ns", e->written_ns);
	dump_bool(d, "good", f->good);
	TRY(dump_end(d));
	if (!f->good) {
		err_note(ERR_CORRUPT, "journal entry %llu: %s", (unsigned long long)e->number,
		    f->buf ? "its bytes do not verify" : "cut off by the end of the file");
		TRY(dump_damage(d, f->pos, ERR_CORRUPT));
	}
	if (!f->buf || !f->items_good)
		return ERR_OK;
	for (uint32_t i = 0; i < e->item_count; i++)
		TRY(dump_item(d, f, i));
	return ERR_OK;
}

static enum err dump_entries(struct dump *d, struct journal_iter *it)
{
	dump_begin(d, "journal");
	dump_u64(d, "version", it->header.version);
	dump_u64(d, "file", it->header.file);
	dump_u64(d, "bytes", it->header.file_bytes);
	TRY(dump_end(d));
	for (;;) {
		struct journal_found f;
		enum err err = journal_iter_next(it, &f);
		if (err == ERR_EOF)
			return ERR_OK;
		TRY(err);
		TRY(dump_entry(d, &f));
	}
}

enum err dump_journal(struct dump *d)
{
	struct journal_iter it;
	TRY(journal_iter_open(&it, d->io, d->path, 0));
	enum err err = dump_entries(d, &it);
	journal_iter_release(&it);
	return err;
}

/* ---- checkpoint ------------------------------------------------------------------------------ */

static enum err dump_rows(struct dump *d, const struct checkpoint_record *r)
{
	const struct checkpoint_header *h = &r->header;
	dump_begin(d, "checkpoint");
	dump_u64(d, "version", h->version);
	dump_bool(d, "clean", h->clean);
	dump_u64(d, "epoch", h->epoch);
	dump_u64(d, "counter", h->counter);
	dump_u64(d, "number", h->number);
	dump_u64(d, "journal_file", h->journal_file);
	dump_u64(d, "journal_pos", h->journal_pos);
	dump_u64(d, "sequence", h->sequence);
	dump_u64(d, "producer_ids", h->producer_ids);
	dump_u64(d, "lazy_bound", h->lazy_bound);
	dump_i64(d, "written_ns", h->written_ns);
	dump_u64(d, "partitions", h->row_count);
	dump_u64(d, "gaps", h->gap_count);
	TRY(dump_end(d));
	for (uint32_t i = 0; i < h->gap_count; i++) {
		dump_begin(d, "gap");
		dump_u64(d, "first_sequence", r->gaps[i].first);
		dump_u64(d, "last_sequence", r->gaps[i].last);
		TRY(dump_end(d));
	}
	for (uint64_t i = 0; i < h->row_count; i++) {
		const struct checkpoint_row *row = &r->rows[i];
		dump_begin(d, "partition");
		dump_uuid(d, "topic_id", row->topic_id);
		dump_i64(d, "partition", row->partition);
		dump_i64(d, "log_end", row->log_end);
		dump_i64(d, "segment", row->segment);
		dump_u64(d, "segment_end", row->segment_end);
		dump_u64(d, "last_sequence", row->last_sequence);
		dump_hash(d, "last_link", row->last_link);
		TRY(dump_end(d));
	}
	return ERR_OK;
}

enum err dump_checkpoint(struct dump *d)
{
	struct checkpoint_record r;
	TRY(checkpoint_read(d->io, d->path, &r));
	enum err err = dump_rows(d, &r);
	checkpoint_record_release(&r);
	return err;
}
