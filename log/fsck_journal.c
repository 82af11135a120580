/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsck of the checkpoint record and the journal. Only the entry with the highest number may be
 * torn; a bad or missing one below it is rot. Frames behind the checkpoint are remembered: where
 * they are missing in a segment, the next start puts them back.
 */
#include "log/engine.h"
#include "log/fsck.h"
#include <stdio.h>
#include <stdlib.h>

struct entries {
	struct entry_seen {
		uint64_t number;
		uint64_t first, last; /* sequences */
		unsigned file;
		uint64_t pos;
		bool good;
		bool copy;
		bool round;
	} * entry;
	size_t count, capacity;
};

/* ---- ends ------------------------------------------------------------------------------------ */

struct fsck_end *fsck_end_of(const struct fsck *f, struct partition_key key)
{
	return map_get(&f->ends, bytes_of(&key, sizeof(key)));
}

static enum err end_for(struct fsck *f, struct partition_key key, struct fsck_end **ret_end)
{
	struct fsck_end *end = fsck_end_of(f, key);
	if (!end) {
		end = mem_calloc(1, sizeof(*end));
		if (!end)
			return ERR_NOMEM;
		end->key = key;
		enum err err = map_put(&f->ends, bytes_of(&end->key, sizeof(end->key)), end);
		if (err != ERR_OK) {
			mem_free(end);
			return err;
		}
	}
	*ret_end = end;
	return ERR_OK;
}

/* ---- the checkpoint record ------------------------------------------------------------------- */

static enum err read_slot(struct fsck *f, unsigned slot)
{
	char path[LOG_PATH_MAX], name[16];
	struct checkpoint_record r;
	TRY(fsck_journal_path(f, path, checkpoint_file_name(slot, name)));
	enum err err;
	int tries = 0;
	do
		err = checkpoint_read(f->io, path, &r);
	while (around_again(path, err, tries++));
	if (err == ERR_IO || err == ERR_NO_JOURNAL) { /* it may have been the newer one */
		fsck_find(f, ERR_NO_JOURNAL, "what=checkpoint file=journal/%s reason=\"%s\"", name,
		    err == ERR_IO ? FSCK_UNREAD : err_chain());
		f->ends_unknown = true;
		err_clear();
		return ERR_OK;
	}
	if (err == ERR_NEWER_FORMAT)
		fsck_find(f, err, "file=journal/%s", name);
	if (err != ERR_OK && err != ERR_NOT_FOUND && err != ERR_CORRUPT)
		return err;
	if (err != ERR_OK) {
		err_clear(); /* torn while it was written: the other one holds */
		return ERR_OK;
	}
	if (f->record_found && f->record.header.counter > r.header.counter) {
		checkpoint_record_release(&r);
		return ERR_OK;
	}
	checkpoint_record_release(&f->record);
	f->record = r;
	f->record_found = true;
	return ERR_OK;
}

static enum err read_record(struct fsck *f)
{
	for (unsigned slot = 0; slot < CHECKPOINT_SLOTS; slot++)
		TRY(read_slot(f, slot));
	for (uint64_t i = 0; f->record_found && i < f->record.header.row_count; i++) {
		const struct checkpoint_row *row = &f->record.rows[i];
		struct fsck_end *end;
		TRY(end_for(f, (struct partition_key){row->topic_id, row->partition}, &end));
		end->log_end = row->log_end;
		end->segment = row->segment;
		end->segment_end = row->segment_end;
		end->last_sequence = row->last_sequence;
	}
	return ERR_OK;
}

/* ---- frames ---------------------------------------------------------------------------------- */

static int frame_order(const void *a, const void *b)
{
	const struct fsck_frame *x = a, *y = b;
	int order = memcmp(&x->key, &y->key, sizeof(x->key));
	if (order != 0)
		return order;
	if (x->segment != y->segment)
		return x->segment < y->segment ? -1 : 1;
	if (x->pos != y->pos)
		return x->pos < y->pos ? -1 : 1;
	return x->number < y->number ? 1 : x->number > y->number ? -1 : 0; /* the latest first */
}

const struct fsck_frame *fsck_frame_at(
    const struct fsck *f, struct partition_key key, int64_t segment, uint32_t pos)
{
	struct fsck_frame want = {.key = key, .segment = segment, .pos = pos, .number = UINT64_MAX};
	size_t low = 0, high = f->frame_count;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (frame_order(&f->frames[mid], &want) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == f->frame_count)
		return NULL;
	const struct fsck_frame *found = &f->frames[low];
	bool same = memcmp(&found->key, &key, sizeof(key)) == 0 && found->segment == segment &&
	            found->pos == pos;
	return same ? found : NULL;
}

static enum err add_frame(struct fsck *f, const struct fsck_frame *frame)
{
	if (f->frame_count == f->frame_capacity) {
		size_t capacity = f->frame_capacity ? f->frame_capacity * 2 : 1024;
		struct fsck_frame *grown = mem_realloc(f->frames, capacity * sizeof(*grown));
		if (!grown)
			return ERR_NOMEM;
		f->frames = grown;
		f->frame_capacity = capacity;
	}
	f->frames[f->frame_count++] = *frame;
	return ERR_OK;
}

static enum err add_image(struct fsck *f, const struct fsck_image *image)
{
	if (f->image_count == f->image_capacity) {
		size_t capacity = f->image_capacity ? f->image_capacity * 2 : 64;
		struct fsck_image *grown = mem_realloc(f->images, capacity * sizeof(*grown));
		if (!grown)
			return ERR_NOMEM;
		f->images = grown;
		f->image_capacity = capacity;
	}
	f->images[f->image_count++] = *image;
	return ERR_OK;
}

static enum err take_item(
    struct fsck *f, unsigned file, const struct journal_found *found, uint32_t i)
{
	struct journal_item item = journal_found_item(found, i);
	const struct partition_key key = {item.topic_id, item.partition};
	const struct fsck_frame frame = {
	    .key = key,
	    .segment = item.segment,
	    .pos = item.pos,
	    .len = item.len,
	    .sequence = item.sequence,
	    .direct = item.flags & FRAME_DIRECT,
	    .frame_hash = item.frame_hash,
	    .file = file,
	    .file_pos = found->pos + item.at,
	    .number = found->entry.number,
	};
	const struct fsck_image image = {
	    key, item.segment, item.pos, item.len, file, frame.file_pos, frame.number};
	return item.kind == JOURNAL_TAIL ? add_image(f, &image) : add_frame(f, &frame);
}

static enum err take_entry(struct fsck *f, unsigned file, const struct journal_found *found)
{
	for (uint32_t i = 0; i < found->entry.item_count; i++)
		TRY(take_item(f, file, found, i));
	return ERR_OK;
}

static int image_order(const void *a, const void *b)
{
	const struct fsck_image *x = a, *y = b;
	return x->number < y->number ? -1 : x->number > y->number;
}

static void read_nothing(void *ctx, uint64_t pos, uint64_t len)
{
	(void)ctx;
	(void)pos;
	(void)len; /* zeros then, which do not verify */
}

static enum err read_journal(struct fsck *f, unsigned file, uint8_t *to, size_t len, uint64_t pos)
{
	static const struct around around = {read_nothing, NULL};
	const struct around_read from = {f->io, f->journal_fd[file], pos};
	size_t got;
	TRY(around_pread(&around, &from, to, len, &got));
	return got == len ? ERR_OK : err_note(ERR_EOF, "journal file %u became shorter", file);
}

void fsck_images_range(const struct fsck *f, struct partition_key key, int64_t segment,
    uint32_t *ret_from, uint32_t *ret_to)
{
	*ret_from = *ret_to = 0;
	for (size_t i = 0; i < f->image_count; i++) {
		const struct fsck_image *m = &f->images[i];
		if (m->segment != segment || memcmp(&m->key, &key, sizeof(key)) != 0)
			continue;
		if (*ret_to == 0 || m->pos < *ret_from)
			*ret_from = m->pos;
		if (m->pos + m->len > *ret_to)
			*ret_to = m->pos + m->len;
	}
}

enum err fsck_overlay(struct fsck *f, const struct fsck_image *place, uint8_t *buf, bool *ret_any)
{
	uint32_t place_end = place->pos + place->len;
	*ret_any = false;
	for (size_t i = 0; i < f->image_count; i++) {
		const struct fsck_image *m = &f->images[i];
		uint32_t from = m->pos > place->pos ? m->pos : place->pos;
		uint32_t to = m->pos + m->len < place_end ? m->pos + m->len : place_end;
		if (m->segment != place->segment ||
		    memcmp(&m->key, &place->key, sizeof(m->key)) != 0 || from >= to)
			continue;
		TRY(read_journal(f, m->file, buf + (from - place->pos), to - from,
		    m->file_pos + (from - m->pos)));
		*ret_any = true;
	}
	return ERR_OK;
}

enum err fsck_journal_frame(
    struct fsck *f, const struct fsck_frame *place, struct frame_seed seed, struct writer *out)
{
	struct frame frame;
	writer_clear(out);
	if (place->direct || place->len < FRAME_HEADER_BYTES)
		return ERR_NOT_FOUND;
	uint8_t *at = writer_reserve(out, place->len);
	if (!at)
		return out->err;
	TRY(read_journal(f, place->file, at, place->len, place->file_pos));
	bool good = frame_decode(at, seed, &frame) == ERR_OK &&
	            frame.length == place->len - FRAME_HEADER_BYTES &&
	            frame_check_body(
	                &frame, seed, bytes_of(at + FRAME_HEADER_BYTES, frame.length)) == ERR_OK;
	err_clear();
	return good ? ERR_OK : ERR_NOT_FOUND;
}

/* ---- entries --------------------------------------------------------------------------------- */

static enum err see(struct entries *es, struct entry_seen e)
{
	if (es->count == es->capacity) {
		size_t capacity = es->capacity ? es->capacity * 2 : 256;
		struct entry_seen *grown = mem_realloc(es->entry, capacity * sizeof(*grown));
		if (!grown)
			return ERR_NOMEM;
		es->entry = grown;
		es->capacity = capacity;
	}
	es->entry[es->count++] = e;
	return ERR_OK;
}

static enum err read_entries(
    struct fsck *f, struct journal_iter *it, unsigned file, struct entries *es)
{
	struct journal_found found;
	enum err err;
	uint64_t covered = f->record_found ? f->record.header.number : 0;
	while ((err = journal_iter_next(it, &found)) == ERR_OK) {
		if (found.entry.number > f->last_number)
			f->last_number = found.entry.number;
		if (found.entry.number <= covered)
			continue;
		TRY(see(
		    es, (struct entry_seen){found.entry.number, found.entry.first_sequence,
		            found.entry.last_sequence, file, found.pos, found.good,
		            found.entry.kind == JOURNAL_COPY, found.entry.kind == JOURNAL_ROUND}));
		if (found.good)
			TRY(take_entry(f, file, &found));
	}
	return err == ERR_EOF ? ERR_OK : err;
}

static enum err read_file(struct fsck *f, unsigned file, struct entries *es)
{
	char path[LOG_PATH_MAX], name[16];
	struct journal_iter it;
	TRY(fsck_journal_path(f, path, journal_file_name(file, name)));
	enum err err;
	int tries = 0;
	do
		err = journal_iter_open(&it, f->io, path, 0);
	while (around_again(path, err, tries++));
	if (err == ERR_NOT_FOUND || err == ERR_CORRUPT || err == ERR_NEWER_FORMAT ||
	    err == ERR_IO) {
		fsck_find(f, err == ERR_NEWER_FORMAT ? err : ERR_NO_JOURNAL,
		    "file=journal/%s reason=\"%s\"", name,
		    err == ERR_IO ? FSCK_UNREAD : err_chain());
		f->ends_unknown |= err == ERR_IO;
		err_clear();
		return ERR_OK;
	}
	TRY(err);
	struct fsck_unread unread;
	fsck_unread_init(&unread, f, ERR_JOURNAL_ROT, "file=journal/%s", name);
	it.around = &unread.around;
	it.check_from = f->record_found ? f->record.header.number + 1 : 0;
	err = read_entries(f, &it, file, es);
	f->ends_unknown |= unread.count > 0;
	fsck_unread_release(&unread);
	journal_iter_release(&it);
	TRY(err);
	return io_open(f->io, path, IO_READONLY, &f->journal_fd[file]);
}

static int entry_order(const void *a, const void *b)
{
	const struct entry_seen *x = a, *y = b;
	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	return (int)y->good - (int)x->good;
}

/* Only the last entry can be torn; when it is a copy, so can be the one it copies. */
static uint64_t first_torn(const struct entries *es)
{
	uint64_t from = UINT64_MAX;
	for (size_t i = es->count; i > 0 && !es->entry[i - 1].good; i--) {
		from = es->entry[i - 1].number;
		if (!es->entry[i - 1].copy)
			break;
	}
	return from;
}

static enum err judge(struct fsck *f, struct entries *es)
{
	uint64_t sequence = f->record_found ? f->record.header.sequence : 0;
	uint64_t expect = f->record_found && !f->ends_unknown ? f->record.header.number + 1 : 0;
	if (es->count > 0)
		qsort(es->entry, es->count, sizeof(es->entry[0]), entry_order);
	uint64_t torn_from = first_torn(es);
	for (size_t i = 0; i < es->count; i++) {
		const struct entry_seen *e = &es->entry[i];
		if (i > 0 && e->number == es->entry[i - 1].number)
			continue; /* a stale copy */
		if (e->number == expect + 1 && e->good && e->copy)
			expect = e->number; /* what it copies was never durable */
		if (expect != 0 && e->number > expect) {
			fsck_find(f, ERR_JOURNAL_ROT, "from=%llu to=%llu what=missing",
			    (unsigned long long)expect, (unsigned long long)e->number - 1);
			TRY(fsck_sequence_rotten(f, sequence + 1, e->first - 1));
		}
		expect = e->number + 1;
		if (e->last > sequence && (e->good || e->number < torn_from))
			sequence = e->last;
		if (!e->good && e->number < torn_from)
			TRY(fsck_sequence_rotten(f, e->first, e->last));
		if (e->good)
			continue;
		fsck_find(f, e->number >= torn_from ? ERR_TORN_ROUND : ERR_JOURNAL_ROT,
		    "number=%llu file=%u pos=%llu", (unsigned long long)e->number, e->file,
		    (unsigned long long)e->pos);
	}
	return ERR_OK;
}

/* Moves the ends of partitions to behind the frames of the journal. */
static enum err move_ends(struct fsck *f)
{
	for (size_t i = 0; i < f->frame_count; i++) {
		const struct fsck_frame *frame = &f->frames[i];
		struct fsck_end *end;
		TRY(end_for(f, frame->key, &end));
		bool further =
		    frame->segment > end->segment ||
		    (frame->segment == end->segment && frame->pos + frame->len > end->segment_end);
		if (!further)
			continue;
		end->segment = frame->segment;
		end->segment_end = frame->pos + frame->len;
		end->last_sequence = frame->sequence;
		end->log_end = -1;
	}
	return ERR_OK;
}

/* The last entry may be whole while its DIRECT frames are not. */
static enum err judge_direct(struct fsck *f, struct entries *es)
{
	struct entry_seen *last = NULL;
	bool holds = true;
	for (size_t i = 0; i < es->count; i++) {
		struct entry_seen *e = &es->entry[i];
		if (!last || e->number > last->number || (e->number == last->number && e->good))
			last = e;
	}
	if (last && last->good && last->round)
		TRY(fsck_direct(f, last->number, &holds));
	if (!holds)
		last->good = false;
	return ERR_OK;
}

/* Without a record a start goes on only where nothing was ever written: the first one. */
static enum err judge_no_record(struct fsck *f, bool *ret_unused)
{
	*ret_unused = false;
	if (f->record_found)
		return ERR_OK;
	if (!f->ends_unknown)
		TRY(journal_where_unused(f->io, f->data_dir, f->where.dir, ret_unused));
	if (*ret_unused)
		fsck_find(f, ERR_OK, "what=journal reason=\"nothing was ever written here\"");
	else
		fsck_find(
		    f, ERR_NO_JOURNAL, "what=checkpoint reason=\"no good checkpoint record\"");
	return ERR_OK;
}

enum err fsck_journal(struct fsck *f)
{
	struct entries es = {0};
	bool unused;
	TRY(read_record(f));
	TRY(judge_no_record(f, &unused));
	if (unused)
		return ERR_OK;
	enum err err = ERR_OK;
	for (unsigned file = 0; file < JOURNAL_FILES && err == ERR_OK; file++)
		err = read_file(f, file, &es);
	if (err == ERR_OK)
		err = judge_direct(f, &es);
	if (err == ERR_OK)
		err = judge(f, &es);
	if (err == ERR_OK) {
		if (f->frame_count > 0)
			qsort(f->frames, f->frame_count, sizeof(f->frames[0]), frame_order);
		if (f->image_count > 0)
			qsort(f->images, f->image_count, sizeof(f->images[0]), image_order);
		err = move_ends(f);
		if (f->record_found && !f->record.header.clean)
			fsck_find(f, ERR_DISTRUST, "frames=%zu", f->frame_count);
	}
	mem_free(es.entry);
	return err;
}
