/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dump of a segment, of its index and of its producer snapshot.
 *
 * Behind a frame header that does not verify nothing in the segment says where the next frame is,
 * and a magic found by searching could be a client's bytes: the index beside the file tells, else
 * the dump ends there.
 */
#include "log/dump.h"
#include "log/frame.h"
#include "log/index.h"
#include "log/producer.h"
#include "log/segment.h"

/* ---- segment --------------------------------------------------------------------------------- */

struct segment_dump {
	struct dump *d;
	struct segment_walk walk;
	uint64_t file_bytes;
	uint64_t previous_link;
	bool link_known;   /* the frame before this one was read */
	uint32_t next_pos; /* where it ended: padding may lie between */
	uint64_t frames;
};

static enum err dump_segment_header(
    struct dump *d, const struct segment_header *h, uint64_t file_bytes)
{
	dump_begin(d, "segment");
	dump_u64(d, "version", h->format_version);
	dump_str(d, "topic", h->topic_name);
	dump_uuid(d, "topic_id", h->topic_id);
	dump_i64(d, "partition", h->partition);
	dump_i64(d, "base_offset", h->base_offset);
	dump_u64(d, "first_sequence", h->first_sequence);
	dump_u64(d, "epoch", h->epoch);
	dump_u64(d, "generation", h->generation);
	dump_hash(d, "previous_link", h->previous_link);
	dump_u64(d, "bytes", file_bytes);
	const struct segment_rewrite *r = &h->rewrite;
	if (h->format_version >= SEGMENT_VERSION_REWRITTEN) {
		dump_i64(d, "end_offset", r->end_offset);
		dump_u64(d, "last_sequence", r->last_sequence);
		dump_hash(d, "end_link", r->end_link);
		dump_i64(d, "clean_end", r->clean_end);
		dump_u64(d, "original_bytes", r->original_bytes);
		dump_i64(d, "written_ns", r->written_ns);
		dump_str(d, "codec",
		    str_of(r->codec == SEGMENT_AS_SENT ? "producer" : batch_codec_name(r->codec)));
	}
	return dump_end(d);
}

static enum err dump_hole(struct segment_dump *s, const struct frame *f, struct bytes body)
{
	struct frame_hole hole;
	TRY(frame_hole_decode(f, body, &hole));
	dump_begin(s->d, "hole");
	dump_u64(s->d, "first_sequence", hole.first_sequence);
	dump_u64(s->d, "last_sequence", f->sequence);
	dump_u64(s->d, "batches", hole.batches);
	return dump_end(s->d);
}

static enum err dump_frame(struct segment_dump *s, const struct frame *f, uint32_t pos)
{
	struct dump *d = s->d;
	dump_begin(d, "frame");
	dump_u64(d, "pos", pos);
	dump_u64(d, "length", f->length);
	dump_u64(d, "flags", f->flags);
	dump_u64(d, "sequence", f->sequence);
	dump_i64(d, "base_offset", f->base_offset);
	dump_i64(d, "last_offset", f->base_offset + (int64_t)f->last_offset_delta);
	dump_u64(d, "principal", f->principal);
	dump_u64(d, "epoch", f->server_epoch);
	dump_i64(d, "append_time_ns", f->append_time_ns);
	dump_u64(d, "durable", f->durable_when_written);
	dump_hash(d, "link", f->link);
	return dump_end(d);
}

/* The position of the first frame behind `pos` by the index; ERR_NOT_FOUND when it cannot tell. */
static enum err next_by_index(const struct segment_dump *s, uint32_t pos, uint32_t *ret_pos)
{
	struct dump *d = s->d;
	struct bytes file;
	size_t len = strlen(d->path);
	if (len < 4 || strcmp(d->path + len - 4, ".log") != 0)
		return ERR_NOT_FOUND;
	char *path = mem_strdup(str_of(d->path));
	if (!path)
		return ERR_NOMEM;
	memcpy(path + len - 4, ".idx", 4);
	enum err err = io_read_file(d->io, path, SEGMENT_BYTES_MAX, &file);
	mem_free(path);
	if (err != ERR_OK)
		return ERR_NOT_FOUND;
	uint32_t best = UINT32_MAX;
	for (size_t at = INDEX_HEADER_BYTES; at + INDEX_ENTRY_BYTES <= file.len;
	     at += INDEX_ENTRY_BYTES) {
		struct index_entry e = index_entry_decode(file.ptr + at);
		if (e.pos > pos && e.pos < best && e.pos <= s->file_bytes - FRAME_HEADER_BYTES)
			best = e.pos;
	}
	mem_free((void *)(uintptr_t)file.ptr);
	if (best == UINT32_MAX)
		return ERR_NOT_FOUND;
	*ret_pos = best;
	return ERR_OK;
}

/* True when only zeros follow: room that was allocated ahead, not damage. */
static enum err only_zeros(const struct segment_dump *s, uint32_t pos, bool *ret_zeros)
{
	uint8_t buf[4096];
	uint64_t at = pos;
	size_t len;
	do {
		TRY(io_pread(s->d->io, s->walk.fd, buf, sizeof(buf), at, &len));
		for (size_t i = 0; i < len; i++)
			if (buf[i] != 0) {
				*ret_zeros = false;
				return ERR_OK;
			}
		at += len;
	} while (len == sizeof(buf));
	*ret_zeros = true;
	return ERR_OK;
}

/* A header at `pos` does not verify. *ret_more: the walk goes on elsewhere. */
static enum err dump_bad_header(struct segment_dump *s, uint32_t pos, bool *ret_more)
{
	bool zeros;
	uint32_t next;
	*ret_more = false;
	TRY(only_zeros(s, pos, &zeros));
	if (zeros) {
		dump_begin(s->d, "room");
		dump_u64(s->d, "pos", pos);
		dump_u64(s->d, "bytes", s->file_bytes - pos);
		return dump_end(s->d);
	}
	TRY(dump_damage(s->d, pos, ERR_CORRUPT));
	s->link_known = false;
	enum err err = next_by_index(s, pos, &next);
	if (err == ERR_NOT_FOUND)
		return ERR_OK;
	TRY(err);
	segment_walk_range(&s->walk, next, (uint32_t)s->file_bytes);
	*ret_more = true;
	return ERR_OK;
}

/* A frame was read, perhaps with a bad body. */
static enum err dump_good_header(
    struct segment_dump *s, const struct frame *f, uint32_t pos, enum err body)
{
	TRY(dump_frame(s, f, pos));
	s->frames++;
	if (body != ERR_OK)
		TRY(dump_damage(s->d, pos, body));
	bool adjacent = s->link_known && pos == s->next_pos;
	if (adjacent && frame_check_link(f, s->walk.seed, s->previous_link) != ERR_OK)
		TRY(dump_damage(s->d, pos, ERR_CORRUPT));
	s->previous_link = f->link;
	s->link_known = true;
	s->next_pos = pos + FRAME_HEADER_BYTES + f->length;
	return ERR_OK;
}

static enum err dump_frames(struct segment_dump *s)
{
	for (;;) {
		struct frame f = {0}; /* version 0: its header was not read */
		struct bytes batch = {NULL, 0};
		uint32_t pos = 0;
		err_clear();
		enum err err = segment_walk_next(&s->walk, &f, &pos, &batch);
		if (err == ERR_EOF)
			return ERR_OK;
		if (err != ERR_OK && err != ERR_CORRUPT)
			return err;
		if (f.version == 0) {
			bool more;
			TRY(dump_bad_header(s, s->walk.pos, &more));
			if (!more)
				return ERR_OK;
			continue;
		}
		if ((f.flags & FRAME_PAD) && err == ERR_OK)
			continue;
		TRY(dump_good_header(s, &f, pos, err));
		bool hole = f.flags & FRAME_HOLE;
		enum err deep = ERR_OK;
		if (err == ERR_OK)
			deep = hole ? dump_hole(s, &f, batch) : dump_batch(s->d, batch);
		if (deep == ERR_CORRUPT)
			deep = dump_damage(s->d, pos, deep);
		if (deep == ERR_CORRUPT_MESSAGE || deep == ERR_LIMIT)
			deep = dump_damage(s->d, pos, deep);
		TRY(deep);
	}
}

enum err dump_segment(struct dump *d, int fd)
{
	char name[TOPIC_NAME_MAX + 1];
	struct segment_header h;
	struct io_stat stat;
	TRY(io_fstat(d->io, fd, &stat));
	TRY(segment_file_header(d->io, fd, name, &h));
	TRY(dump_segment_header(d, &h, stat.size_bytes));
	if (stat.size_bytes > SEGMENT_BYTES_MAX)
		return err_note(
		    ERR_CORRUPT, "segment of %llu bytes", (unsigned long long)stat.size_bytes);
	struct segment_dump s = {
	    .d = d,
	    .file_bytes = stat.size_bytes,
	    .previous_link = h.previous_link,
	    .link_known = true,
	    .next_pos = SEGMENT_HEADER_BYTES,
	};
	segment_walk_init(&s.walk, d->io, fd, frame_seed_of(h.seed), 0);
	s.walk.check_body = true;
	s.walk.holes = true;
	s.walk.want_pads = true; /* only what is wrong with them is shown */
	segment_walk_range(&s.walk, SEGMENT_HEADER_BYTES, (uint32_t)stat.size_bytes);
	enum err err = dump_frames(&s);
	segment_walk_release(&s.walk);
	TRY(err);
	dump_begin(d, "end");
	dump_u64(d, "frames", s.frames);
	dump_u64(d, "damage", d->damage);
	return dump_end(d);
}

/* ---- index ----------------------------------------------------------------------------------- */

static enum err dump_index_entries(struct dump *d, struct bytes file)
{
	for (size_t at = INDEX_HEADER_BYTES; at + INDEX_ENTRY_BYTES <= file.len;
	     at += INDEX_ENTRY_BYTES) {
		struct index_entry e = index_entry_decode(file.ptr + at);
		dump_begin(d, "entry");
		dump_u64(d, "number", (at - INDEX_HEADER_BYTES) / INDEX_ENTRY_BYTES);
		dump_i64(d, "base_offset", e.base_offset);
		dump_u64(d, "pos", e.pos);
		dump_u64(d, "len", e.len);
		dump_i64(d, "max_timestamp", e.max_timestamp_ms);
		dump_u64(d, "sequence", e.sequence);
		TRY(dump_end(d));
	}
	return ERR_OK;
}

/* A sealed index says how many entries it has and what their checksum is. */
static enum err dump_index_seal(
    struct dump *d, int fd, const struct index_header *h, size_t file_len)
{
	uint64_t hash;
	if (h->count != (file_len - INDEX_HEADER_BYTES) / INDEX_ENTRY_BYTES) {
		err_note(ERR_CORRUPT, "%llu entries announced", (unsigned long long)h->count);
		return dump_damage(d, 0, ERR_CORRUPT);
	}
	TRY(index_file_hash(d->io, fd, h->count, &hash));
	if (hash == h->entries_hash)
		return ERR_OK;
	err_note(ERR_CORRUPT, "checksum of the entries does not verify");
	return dump_damage(d, INDEX_HEADER_BYTES, ERR_CORRUPT);
}

static enum err dump_index_file(struct dump *d, int fd, struct bytes file)
{
	struct index_header h;
	if (file.len < INDEX_HEADER_BYTES)
		return err_note(ERR_CORRUPT, "index of %zu bytes", file.len);
	TRY(index_header_decode(file.ptr, &h));
	dump_begin(d, "index");
	dump_u64(d, "version", h.version);
	dump_bool(d, "sealed", h.flags & INDEX_SEALED);
	dump_i64(d, "base_offset", h.base_offset);
	dump_u64(d, "count", h.count);
	dump_u64(d, "segment_bytes", h.segment_bytes);
	dump_i64(d, "last_append_ns", h.last_append_ns);
	dump_i64(d, "end_offset", h.end_offset);
	dump_hash(d, "entries_hash", h.entries_hash);
	TRY(dump_end(d));
	if (h.flags & INDEX_SEALED)
		TRY(dump_index_seal(d, fd, &h, file.len));
	return dump_index_entries(d, file);
}

enum err dump_index(struct dump *d, int fd)
{
	struct bytes file;
	TRY(io_read_file(d->io, d->path, SEGMENT_BYTES_MAX, &file));
	enum err err = dump_index_file(d, fd, file);
	mem_free((void *)(uintptr_t)file.ptr);
	return err;
}

/* ---- producer snapshot ----------------------------------------------------------------------- */

static enum err dump_producer(struct dump *d, const struct producer *p)
{
	for (uint8_t i = 0; i < p->count; i++) {
		const struct producer_batch *b = &p->batch[i];
		dump_begin(d, "producer");
		dump_i64(d, "producer_id", p->id);
		dump_i64(d, "epoch", p->epoch);
		dump_i64(d, "first_sequence", b->first_sequence);
		dump_i64(d, "last_sequence", b->last_sequence);
		dump_i64(d, "base_offset", b->base_offset);
		dump_u64(d, "sequence", b->sequence);
		dump_i64(d, "append_time_ms", b->append_time_ms);
		dump_i64(d, "last_ns", p->last_ns);
		TRY(dump_end(d));
	}
	return ERR_OK;
}

static enum err dump_open(struct dump *d, const struct txn_open *o)
{
	dump_begin(d, "open_transaction");
	dump_i64(d, "producer_id", o->producer_id);
	dump_i64(d, "epoch", o->epoch);
	dump_i64(d, "first_offset", o->first_offset);
	dump_u64(d, "first_sequence", o->first_sequence);
	dump_i64(d, "started_ns", o->started_ns);
	return dump_end(d);
}

static enum err dump_aborted(struct dump *d, const struct txn_aborted *a)
{
	dump_begin(d, "aborted_transaction");
	dump_i64(d, "producer_id", a->producer_id);
	dump_i64(d, "first_offset", a->first_offset);
	dump_i64(d, "last_offset", a->last_offset);
	dump_i64(d, "stable_offset", a->stable_offset);
	return dump_end(d);
}

static enum err dump_snap_file(
    struct dump *d, struct bytes file, struct producers *ps, struct txns *txns)
{
	struct snap_header h;
	TRY(snap_decode(file, ps, txns, &h));
	dump_begin(d, "snap");
	dump_u64(d, "version", h.version);
	dump_uuid(d, "topic_id", h.topic_id);
	dump_i64(d, "partition", h.partition);
	dump_i64(d, "offset", h.offset);
	if (h.version >= 3)
		dump_u64(d, "sequence", h.sequence);
	dump_u64(d, "producers", h.count);
	TRY(dump_end(d));
	for (struct list_node *n = ps->lru.head.next; n != &ps->lru.head; n = n->next)
		TRY(dump_producer(d, CONTAINER_OF(n, struct producer, lru)));
	LIST_EACH (&txns->open, n, next)
		TRY(dump_open(d, CONTAINER_OF(n, struct txn_open, node)));
	for (size_t i = 0; i < txns->aborted_count; i++)
		TRY(dump_aborted(d, &txns->aborted[i]));
	return ERR_OK;
}

enum err dump_snap(struct dump *d)
{
	struct bytes file;
	struct producers ps;
	struct txns txns;
	TRY(io_read_file(d->io, d->path, SEGMENT_BYTES_MAX, &file));
	producers_init(&ps);
	txns_init(&txns);
	enum err err = dump_snap_file(d, file, &ps, &txns);
	producers_release(&ps);
	txns_release(&txns);
	mem_free((void *)(uintptr_t)file.ptr);
	return err;
}
