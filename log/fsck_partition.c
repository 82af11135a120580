/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsck of the partitions: each segment frame by frame, its index entry by entry, its snapshot.
 *
 * A place that does not verify is judged by what is known of it: behind the end that checkpoint and
 * journal give it is TORN_TAIL; where the journal has the frame it is REPAIRED by the next start;
 * else DAMAGED, and the walk goes on behind it if the frame's header or the index says where that
 * is.
 */
#include "log/engine.h"
#include "log/fsck.h"
#include "log/generation.h"
#include <stdio.h>
#include <stdlib.h>

struct chain {
	struct fsck *f;
	struct partition_key key;
	const char *dir;
	const struct fsck_end *end; /* NULL: nothing is known, all is taken */
	struct writer buf;          /* a frame out of the journal */
	int64_t log_start;          /* by the catalog; what lies below may be there or not */
	/* what the next frame must follow */
	int64_t next_offset; /* -1 = not known */
	uint64_t link, sequence;
	bool link_known;
	bool first;    /* no segment was read yet */
	bool unwanted; /* by the sink */
	/* the segment that is read */
	int64_t base;
	struct segment_header header;
	struct segment_walk walk;
	uint64_t file_bytes;
	uint32_t pos; /* of the next frame */
	bool damaged;
	bool sealed;                     /* it is not the last */
	bool lost;                       /* its end, and it was told */
	bool from_journal;               /* the frame that is taken */
	uint32_t images_from, images_to; /* where the journal has images of its blocks */
	/* its index */
	struct bytes index; /* the file, len 0 = none */
	size_t index_at;
	struct index_header index_header;
	bool index_bad, index_unread;
	bool index_aside; /* not to be had: a start moves it away */
	int64_t max_ms;
	uint64_t entries;
	struct fsck_unread unread;
};

#define AT_FMT    "partition=%s segment=%lld pos=%u"
#define AT_ARG(c) (c)->dir, (long long)(c)->base, (c)->pos

/* ---- index ----------------------------------------------------------------------------------- */

static void index_drop(struct chain *c)
{
	mem_free((void *)(uintptr_t)c->index.ptr);
	c->index = (struct bytes){NULL, 0};
}

static enum err index_load(struct chain *c, const char *log_path, bool sealed)
{
	char path[LOG_PATH_MAX];
	size_t len = strlen(log_path);
	memcpy(path, log_path, len + 1);
	memcpy(path + len - 4, ".idx", 4);
	c->index_bad = c->index_unread = c->index_aside = false;
	c->index_at = INDEX_HEADER_BYTES;
	c->entries = 0;
	c->max_ms = -1;
	enum err err = fsck_read_file(c->f->io, path, SEGMENT_BYTES_MAX, &c->index);
	if (err == ERR_NOT_FOUND) {
		err_clear();
		if (sealed)
			fsck_find(c->f, ERR_REBUILT,
			    "partition=%s segment=%lld file=idx reason=\"missing\"", c->dir,
			    (long long)c->base);
		return ERR_OK;
	}
	c->index_unread = err == ERR_IO;
	c->index_aside = err != ERR_OK;
	if (err != ERR_OK && around_stops(err))
		return err; /* whatever else it is: it is made again */
	bool good = c->index.len >= INDEX_HEADER_BYTES &&
	            index_header_decode(c->index.ptr, &c->index_header) == ERR_OK &&
	            c->index_header.base_offset == c->base &&
	            c->index_header.generation == c->header.generation;
	if (!good)
		c->index_bad = true;
	err_clear();
	return ERR_OK;
}

/* The entry of the frame at c->pos must be the next one. body: NULL when it cannot be trusted. */
static void index_check(struct chain *c, const struct frame *frame, const struct batch_header *body)
{
	uint8_t want[INDEX_ENTRY_BYTES];
	c->entries++;
	if (body && body->count > 0 && body->max_timestamp_ms > c->max_ms)
		c->max_ms = body->max_timestamp_ms;
	if (c->index_bad || c->index_at + INDEX_ENTRY_BYTES > c->index.len)
		return;
	struct index_entry have = index_entry_decode(c->index.ptr + c->index_at);
	if (!body)
		c->max_ms = have.max_timestamp_ms;
	const struct index_entry e = {
	    .base_offset = frame->base_offset,
	    .pos = c->pos,
	    .len = FRAME_HEADER_BYTES + frame->length,
	    .max_timestamp_ms = c->max_ms,
	    .sequence = frame->sequence,
	};
	index_entry_encode(&e, want);
	c->index_bad = memcmp(want, c->index.ptr + c->index_at, sizeof(want)) != 0;
	c->index_at += INDEX_ENTRY_BYTES;
}

/* The first entry behind `pos`: where a walk can go on. */
static bool index_next(struct chain *c, uint32_t pos)
{
	if (c->index_bad)
		return false;
	/* positions ascend, and those before index_at were passed: of a region without one good
	 * frame each entry is looked at once */
	for (size_t at = c->index_at; at + INDEX_ENTRY_BYTES <= c->index.len;
	     at += INDEX_ENTRY_BYTES) {
		struct index_entry e = index_entry_decode(c->index.ptr + at);
		if (e.pos <= pos || e.pos >= c->file_bytes)
			continue;
		c->pos = e.pos;
		c->entries = (at - INDEX_HEADER_BYTES) / INDEX_ENTRY_BYTES;
		c->index_at = at;
		if (at > INDEX_HEADER_BYTES)
			c->max_ms = index_entry_decode(c->index.ptr + at - INDEX_ENTRY_BYTES)
			                .max_timestamp_ms;
		return true;
	}
	return false;
}

/* Of all entries; another one than the header's when they cannot be read. */
static enum err index_hash(struct chain *c, const char *path, uint64_t *ret_hash)
{
	enum err err;
	int fd, tries = 0;
	TRY(io_open(c->f->io, path, IO_READONLY, &fd));
	do
		err = index_file_hash(c->f->io, fd, c->index_header.count, ret_hash);
	while (around_again(path, err, tries++));
	enum err closed = io_close(c->f->io, fd);
	c->index_unread = err == ERR_IO;
	if (err == ERR_EOF || err == ERR_IO) {
		/* EOF: its header was durable, its last entries were not */
		err_clear();
		*ret_hash = ~c->index_header.entries_hash;
		return closed;
	}
	return err == ERR_OK ? closed : err;
}

static enum err index_finish(struct chain *c, const char *log_path)
{
	const struct index_header *h = &c->index_header;
	char path[LOG_PATH_MAX];
	size_t len = strlen(log_path);
	if (c->index.len == 0 && !c->index_unread && !c->index_aside)
		return ERR_OK;
	memcpy(path, log_path, len + 1);
	memcpy(path + len - 4, ".idx", 4);
	if (!c->index_bad && (h->flags & INDEX_SEALED) && !c->damaged) {
		uint64_t hash = 0;
		c->index_bad = h->count != c->entries || h->segment_bytes != c->file_bytes ||
		               (h->end_offset != 0 && h->end_offset != c->next_offset);
		if (!c->index_bad)
			TRY(index_hash(c, path, &hash));
		c->index_bad = c->index_bad || hash != h->entries_hash;
	}
	if (!c->index_bad)
		return ERR_OK;
	bool can = c->index_unread || !c->index_aside;
	bool remove = c->f->options.repair_caches && !c->damaged && can;
	fsck_find(c->f, ERR_REBUILT, "partition=%s segment=%lld file=idx reason=\"%s\" action=%s",
	    c->dir, (long long)c->base,
	    c->index_unread  ? FSCK_UNREAD
	    : c->index_aside ? "cannot be opened"
	                     : "does not match the segment",
	    remove ? "removed" : "next_start");
	return remove ? io_unlink(c->f->io, path) : ERR_OK;
}

static bool reads_all(const struct fsck *f)
{
	return f->sink && f->sink->reads_all;
}

/* ---- one frame ------------------------------------------------------------------------------- */

static void damaged(struct chain *c, const struct frame *frame, const char *why)
{
	c->damaged = true;
	if (frame)
		fsck_find(c->f, ERR_DAMAGED,
		    AT_FMT " bytes=%u first_offset=%lld last_offset=%lld reason=\"%s\"", AT_ARG(c),
		    frame->length, (long long)frame->base_offset,
		    (long long)(frame->base_offset + (int64_t)frame->last_offset_delta), why);
	else
		fsck_find(c->f, ERR_DAMAGED, AT_FMT " reason=\"%s\"", AT_ARG(c), why);
}

/* A hole: only compaction leaves one, and it names the sequences. */
static const char *hole_fault(const struct chain *c, const struct frame *frame, struct bytes body)
{
	struct frame_hole hole;
	if (c->header.generation == 0)
		return "a hole in a segment that was never compacted";
	if (frame_hole_decode(frame, body, &hole) != ERR_OK)
		return "a hole of impossible sequences";
	return hole.first_sequence <= c->sequence ? "a hole of sequences that are there" : NULL;
}

/* What a batch is to its frame. NULL when all holds. */
static const char *batch_fault(
    const struct frame *frame, struct bytes batch, struct batch_header *ret_header)
{
	if (batch_header_read(batch, ret_header) != ERR_OK)
		return "not a record batch";
	if (ret_header->base_offset != frame->base_offset ||
	    ret_header->last_offset_delta != (int32_t)frame->last_offset_delta)
		return "batch and frame differ in offsets";
	if (crc32c(bytes_slice(batch, 21, batch.len)) != ret_header->crc)
		return "CRC of the batch";
	return NULL;
}

/* What links the frame to the one before it, and its batch to the frame. NULL when all holds. */
static const char *frame_fault(const struct chain *c, const struct frame *frame, struct bytes batch,
    struct batch_header *ret_header)
{
	const char *fault = frame->flags & FRAME_HOLE ? hole_fault(c, frame, batch)
	                                              : batch_fault(frame, batch, ret_header);
	if (fault)
		return fault;
	if (c->link_known && frame_check_link(frame, c->walk.seed, c->link) != ERR_OK)
		return "does not follow the frame before it";
	if (c->next_offset >= 0 && frame->base_offset != c->next_offset)
		return "offsets are not contiguous";
	if (frame->sequence <= c->sequence)
		return "sequence does not ascend";
	return NULL;
}

static void step(struct chain *c, const struct frame *frame)
{
	c->pos += FRAME_HEADER_BYTES + frame->length;
	c->link = frame->link;
	c->link_known = true;
	if (frame->flags & FRAME_PAD)
		return;
	c->next_offset = frame->base_offset + (int64_t)frame->last_offset_delta + 1;
	c->sequence = frame->sequence;
}

/* Padding whose checksums verify: it has a place in the chain, nothing else. */
static void take_pad(struct chain *c, const struct frame *frame)
{
	if (c->link_known && frame_check_link(frame, c->walk.seed, c->link) != ERR_OK)
		damaged(c, NULL, "padding does not follow the frame before it");
	err_clear();
	step(c, frame);
}

/* Shows a frame to the sink. `body` is empty where it does not verify. */
static enum err show(
    struct chain *c, const struct frame *frame, struct bytes body, const char *fault)
{
	const struct fsck_sink *sink = c->f->sink;
	struct batch_header h;
	if (!sink || !sink->frame)
		return ERR_OK;
	bool hole = (frame->flags & FRAME_HOLE) != 0;
	struct fsck_seen seen = {
	    .dir = c->dir,
	    .key = c->key,
	    .segment = c->base,
	    .pos = c->pos,
	    .frame = frame,
	    .body = body,
	    .fault = fault,
	    .whole = body.len > 0 && (!fault || hole || batch_fault(frame, body, &h) == NULL),
	    .from_journal = c->from_journal,
	    .raw = c->from_journal ? writer_bytes(&c->buf) : (struct bytes){NULL, 0},
	};
	err_clear();
	return sink->frame(sink->ctx, &seen);
}

/* Its sequences, among those of all partitions. */
static enum err account(struct chain *c, const struct frame *frame, struct bytes body)
{
	struct frame_hole hole;
	if (!(frame->flags & FRAME_HOLE))
		return fsck_sequence(c->f, c->dir, frame->sequence);
	if (frame_hole_decode(frame, body, &hole) == ERR_OK)
		return fsck_sequence_hole(c->f, hole.first_sequence, frame->sequence, hole.batches);
	err_clear(); /* told as a fault */
	return ERR_OK;
}

/* A frame whose checksums verify. */
static enum err take(struct chain *c, const struct frame *frame, struct bytes batch)
{
	if (frame->flags & FRAME_PAD) {
		take_pad(c, frame);
		return ERR_OK;
	}
	struct batch_header h = {0}; /* of a hole: no records */
	const char *fault = frame_fault(c, frame, batch, &h);
	err_clear();
	if (fault)
		damaged(c, frame, fault);
	TRY(show(c, frame, batch, fault));
	TRY(account(c, frame, batch));
	index_check(c, frame, fault ? NULL : &h);
	step(c, frame);
	c->f->frames_read++;
	c->f->bytes += batch.len;
	if (!fault && !(frame->flags & FRAME_HOLE) &&
	    log_uuid_equal(c->key.topic_id, CATALOG_TOPIC_ID))
		return fsck_catalog_batch(c->f, batch);
	return ERR_OK;
}

/* `len` bytes at c->pos into c->buf: the file's, with the journal's images over them. */
static enum err read_with_images(struct chain *c, size_t len, bool *ret_any)
{
	const struct fsck_image place = {
	    .key = c->key, .segment = c->base, .pos = c->pos, .len = (uint32_t)len};
	size_t have;
	writer_clear(&c->buf);
	uint8_t *at = writer_reserve(&c->buf, len);
	if (!at)
		return c->buf.err;
	memset(at, 0, len);
	const struct around_read from = {c->f->io, c->walk.fd, c->pos};
	TRY(around_pread(&c->unread.around, &from, at, len, &have));
	*ret_any = false;
	if (c->pos + (uint64_t)len <= c->images_from)
		return ERR_OK;
	return fsck_overlay(c->f, &place, at, ret_any);
}

/* The frame at c->pos with the help of an image of the segment's last block; ERR_NOT_FOUND. */
static enum err image_frame(struct chain *c, struct frame *ret_frame)
{
	bool any, more;
	struct frame frame;
	if (c->pos >= c->images_to)
		return ERR_NOT_FOUND;
	TRY(read_with_images(c, FRAME_HEADER_BYTES, &any));
	if (frame_decode(c->buf.ptr, c->walk.seed, &frame) != ERR_OK)
		return ERR_NOT_FOUND;
	TRY(read_with_images(c, FRAME_HEADER_BYTES + (size_t)frame.length, &more));
	struct bytes body = bytes_slice(writer_bytes(&c->buf), FRAME_HEADER_BYTES, frame.length);
	if ((!any && !more) || frame_check_body(&frame, c->walk.seed, body) != ERR_OK)
		return ERR_NOT_FOUND;
	*ret_frame = frame;
	return ERR_OK;
}

/* The frame at c->pos from the journal; ERR_NOT_FOUND. */
static enum err take_from_journal(struct chain *c)
{
	const struct fsck_frame *place = fsck_frame_at(c->f, c->key, c->base, c->pos);
	struct frame frame;
	enum err err = ERR_NOT_FOUND;
	if (place)
		err = fsck_journal_frame(c->f, place, c->walk.seed, &c->buf);
	if (err == ERR_OK)
		err = frame_decode(c->buf.ptr, c->walk.seed, &frame);
	if (err == ERR_NOT_FOUND)
		err = image_frame(c, &frame);
	err_clear();
	if (err != ERR_OK)
		return err;
	fsck_find(c->f, ERR_REPAIRED, AT_FMT " bytes=%u sequence=%llu from=%s", AT_ARG(c),
	    FRAME_HEADER_BYTES + frame.length, (unsigned long long)frame.sequence,
	    place ? "frame" : "image");
	c->from_journal = true;
	err = take(c, &frame, bytes_slice(writer_bytes(&c->buf), FRAME_HEADER_BYTES, frame.length));
	c->from_journal = false;
	return err;
}

/* ---- one segment ----------------------------------------------------------------------------- */

/* True when c->pos is behind all that was ever acknowledged. */
static bool behind_end(const struct chain *c)
{
	if (!c->end)
		return false;
	return c->base > c->end->segment ||
	       (c->base == c->end->segment && c->pos >= c->end->segment_end);
}

static void tail_unread(void *ctx, uint64_t pos, uint64_t len)
{
	(void)pos;
	(void)len;
	*(bool *)ctx = true;
}

/* Room made ahead is zeros; what cannot be read may be anything, and was nobody's. */
static enum err tail(struct chain *c)
{
	uint8_t buf[4096];
	size_t len;
	bool unread = false;
	const struct around around = {tail_unread, &unread};
	for (uint64_t at = c->pos; at < c->file_bytes; at += len) {
		const struct around_read from = {c->f->io, c->walk.fd, at};
		TRY(around_pread(&around, &from, buf, sizeof(buf), &len));
		size_t zero = 0;
		while (zero < len && buf[zero] == 0 && !unread)
			zero++;
		if (zero == len && len > 0)
			continue; /* room made ahead */
		fsck_find(c->f, ERR_TORN_TAIL, AT_FMT " bytes=%llu", AT_ARG(c),
		    (unsigned long long)(c->file_bytes - c->pos));
		return ERR_OK;
	}
	return ERR_OK;
}

/*
 * Nothing says where the partition ends, and in its last segment nothing that verifies follows:
 * this is the end. Zeros are room made ahead; of anything else it cannot be known whether somebody
 * was told of it.
 */
static bool unknown_end(struct chain *c, enum err *ret_err)
{
	uint32_t pos = c->pos;
	if (c->sealed || index_next(c, pos) ||
	    fsck_unread_has(&c->unread, pos, pos + FRAME_HEADER_BYTES)) {
		c->pos = pos;
		return false;
	}
	c->pos = pos;
	*ret_err = tail(c);
	c->file_bytes = pos;
	return true;
}

/* Where the walk goes on when only the checksum of a frame's header can say it. */
static enum err scan_next(struct chain *c, bool *ret_more)
{
	uint64_t end = c->file_bytes, pos;
	if (c->end && c->base == c->end->segment && c->end->segment_end < end)
		end = c->end->segment_end;
	const struct fsck_scan scan = {c->f->io, c->walk.fd, c->walk.seed, end, &c->unread.around};
	enum err err = fsck_next_frame(&scan, (uint64_t)c->pos + 1, &pos);
	*ret_more = err == ERR_OK;
	if (err == ERR_NOT_FOUND) {
		err_clear();
		return ERR_OK;
	}
	TRY(err);
	c->pos = (uint32_t)pos;
	c->index_at = c->index.len; /* it says nothing of what is behind */
	return ERR_OK;
}

/*
 * The place at c->pos does not verify; `frame` when at least its header does. *ret_more: go on at
 * c->pos.
 */
static enum err bad_place(struct chain *c, const struct frame *frame, bool *ret_more)
{
	*ret_more = true;
	enum err err = take_from_journal(c);
	if (err != ERR_NOT_FOUND)
		return err;
	if (frame && (frame->flags & FRAME_PAD)) {
		damaged(c, NULL, "padding is not zero");
		c->pos += FRAME_HEADER_BYTES + frame->length;
		c->link_known = false;
		return ERR_OK;
	}
	if (frame) {
		bool unread = fsck_unread_has(
		    &c->unread, c->pos, (uint64_t)c->pos + FRAME_HEADER_BYTES + frame->length);
		const char *fault = unread ? FSCK_UNREAD : "body checksum does not verify";
		damaged(c, frame, fault);
		TRY(show(c, frame, (struct bytes){NULL, 0}, fault));
		TRY(fsck_sequence(c->f, c->dir, frame->sequence));
		index_check(c, frame, NULL);
		step(c, frame);
		return ERR_OK;
	}
	if (!c->end && unknown_end(c, &err))
		return err;
	bool unread = fsck_unread_has(&c->unread, c->pos, (uint64_t)c->pos + FRAME_HEADER_BYTES);
	damaged(c, NULL, unread ? FSCK_UNREAD : "frame header does not verify");
	c->link_known = false;
	c->next_offset = -1;
	*ret_more = index_next(c, c->pos);
	return *ret_more ? ERR_OK : scan_next(c, ret_more);
}

static enum err read_frames(struct chain *c)
{
	while (c->pos < c->file_bytes && !behind_end(c)) {
		struct frame frame = {0}; /* version 0: its header was not read */
		struct bytes batch;
		uint32_t pos = c->pos;
		bool more;
		segment_walk_range(&c->walk, c->pos, (uint32_t)c->file_bytes);
		enum err err = segment_walk_next(&c->walk, &frame, &pos, &batch);
		if (err == ERR_NEWER_FORMAT) {
			fsck_find(c->f, err, AT_FMT " reason=\"%s\"", AT_ARG(c), err_chain());
			return err;
		}
		err_clear();
		if (err == ERR_EOF)
			return ERR_OK;
		if (err != ERR_OK && err != ERR_CORRUPT)
			return err;
		if (frame.version == 0)
			pos = c->walk.pos;
		c->pos = pos;
		if (err == ERR_OK) {
			TRY(take(c, &frame, batch));
			continue;
		}
		TRY(bad_place(c, frame.version == 0 ? NULL : &frame, &more));
		if (!more)
			return ERR_OK;
	}
	return ERR_OK;
}

/* Every frame that verifies counts: what the ends are cannot be known. */
static bool takes_all(const struct fsck *f)
{
	return f->ends_unknown || (f->sink && f->sink->ends_unknown);
}

/* Frames that never came into the file, as far as the journal has them. */
static enum err read_missing(struct chain *c)
{
	enum err err = ERR_OK;
	bool unknown = takes_all(c->f);
	while ((c->end || unknown) && !behind_end(c) && err == ERR_OK)
		err = take_from_journal(c);
	if (err != ERR_NOT_FOUND)
		return err;
	if (!c->end)
		return ERR_OK;
	c->lost = c->base == c->end->segment;
	if (c->lost)
		fsck_find(c->f, c->damaged ? ERR_DAMAGED : ERR_LOST_SUFFIX,
		    AT_FMT " end=%u reason=\"ends too early\"", AT_ARG(c), c->end->segment_end);
	return ERR_OK; /* an earlier segment: the join with the next one tells */
}

static void check_join(struct chain *c, const struct segment_header *h)
{
	bool known = !c->first && c->next_offset >= 0;
	if (known && h->base_offset > c->next_offset && h->base_offset > c->log_start)
		fsck_find(c->f, ERR_MISSING_SEGMENT, "partition=%s from=%lld to=%lld", c->dir,
		    (long long)c->next_offset, (long long)h->base_offset - 1);
	if (known && h->base_offset < c->next_offset)
		fsck_find(c->f, ERR_OVERLAP, "partition=%s segment=%lld end_before=%lld", c->dir,
		    (long long)h->base_offset, (long long)c->next_offset);
	if (known && h->base_offset == c->next_offset && c->link_known &&
	    (h->generation == 0 || h->format_version >= SEGMENT_VERSION_REWRITTEN) &&
	    h->previous_link != c->link)
		fsck_find(c->f, ERR_DAMAGED,
		    "partition=%s segment=%lld reason=\"does not follow the segment before it\"",
		    c->dir, (long long)h->base_offset);
	c->first = false;
	c->next_offset = h->base_offset;
	c->link = h->previous_link;
	c->link_known = true;
}

/* The end of a later generation must be the one that its header says. */
static void check_rewrite(struct chain *c)
{
	const struct segment_rewrite *r = &c->header.rewrite;
	if (c->header.format_version < SEGMENT_VERSION_REWRITTEN)
		return;
	bool known = c->next_offset >= 0 && !c->damaged;
	if (known && (c->next_offset != r->end_offset || c->sequence != r->last_sequence))
		fsck_find(c->f, ERR_DAMAGED,
		    "partition=%s segment=%lld reason=\"ends at offset %lld sequence %llu, its "
		    "header "
		    "says %lld and %llu\"",
		    c->dir, (long long)c->base, (long long)c->next_offset,
		    (unsigned long long)c->sequence, (long long)r->end_offset,
		    (unsigned long long)r->last_sequence);
	c->link = r->end_link;
}

static enum err read_segment(
    struct chain *c, int fd, const char *path, const struct segment_header *h, bool sealed)
{
	struct io_stat stat;
	TRY(io_fstat(c->f->io, fd, &stat));
	c->f->segments++;
	bool goes_on = !sealed && !c->first && h->base_offset == c->next_offset &&
	               stat.size_bytes == SEGMENT_HEADER_BYTES;
	if (c->end && h->base_offset > c->end->segment && goes_on)
		return ERR_OK; /* a roll that nothing has followed yet: the log goes on in it */
	if (c->end && h->base_offset > c->end->segment) {
		fsck_find(c->f, ERR_TORN_TAIL, "partition=%s segment=%lld what=unborn bytes=%llu",
		    c->dir, (long long)h->base_offset, (unsigned long long)stat.size_bytes);
		return ERR_OK; /* nothing in it was ever acknowledged */
	}
	bool passed_by = !c->first && h->base_offset < c->next_offset;
	if (passed_by && stat.size_bytes <= SEGMENT_HEADER_BYTES) {
		fsck_find(c->f, ERR_TORN_TAIL, "partition=%s segment=%lld what=unborn bytes=%llu",
		    c->dir, (long long)h->base_offset, (unsigned long long)stat.size_bytes);
		return ERR_OK; /* made for a roll that failed */
	}
	check_join(c, h);
	c->header = *h;
	c->base = h->base_offset;
	c->file_bytes = stat.size_bytes < SEGMENT_BYTES_MAX ? stat.size_bytes : SEGMENT_BYTES_MAX;
	c->pos = SEGMENT_HEADER_BYTES;
	c->damaged = false;
	c->sealed = sealed;
	if (c->f->sink && c->f->sink->segment)
		TRY(c->f->sink->segment(c->f->sink->ctx, c->f, c->dir, h));
	TRY(index_load(c, path, sealed));
	segment_walk_init(&c->walk, c->f->io, fd, frame_seed_of(h->seed), 0);
	c->walk.check_body = true;
	c->walk.holes = true;
	c->walk.want_pads = true;
	c->walk.around = reads_all(c->f) ? NULL : &c->unread.around;
	fsck_unread_init(
	    &c->unread, c->f, ERR_DAMAGED, "partition=%s segment=%lld", c->dir, (long long)c->base);
	if (c->end && c->base == c->end->segment)
		c->unread.limit = c->end->segment_end;
	fsck_images_range(c->f, c->key, c->base, &c->images_from, &c->images_to);
	enum err err = read_frames(c);
	if (err == ERR_OK && behind_end(c))
		err = tail(c);
	if (err == ERR_OK)
		err = read_missing(c);
	segment_walk_release(&c->walk);
	c->damaged |= c->unread.count > 0;
	fsck_unread_release(&c->unread);
	check_rewrite(c);
	if (err == ERR_OK)
		err = index_finish(c, path);
	index_drop(c);
	fsck_progress(c->f, stat.size_bytes);
	return err;
}

static enum err check_snap(
    struct fsck *f, const char *dir, const char *name, struct partition_key key)
{
	char path[LOG_PATH_MAX];
	struct bytes file;
	struct snap_header h = {0};
	TRY(fsck_path(f, path, "topics/%s/%s", dir, name));
	enum err read = fsck_read_file(f->io, path, snap_bytes_max(), &file), err = read;
	if (err == ERR_OK) {
		err = snap_decode(file, NULL, NULL, &h);
		mem_free((void *)(uintptr_t)file.ptr);
	} else if (around_stops(err)) {
		return err;
	}
	if (read == ERR_NOT_FOUND) { /* a rebuild took it away */
		err_clear();
		return ERR_OK;
	}
	bool good = err == ERR_OK && log_uuid_equal(h.topic_id, key.topic_id) &&
	            h.partition == key.partition;
	if (good || err == ERR_NEWER_FORMAT)
		return err;
	bool remove = f->options.repair_caches && (read == ERR_OK || read == ERR_IO);
	fsck_find(f, ERR_REBUILT, "partition=%s file=%s reason=\"%s\" action=%s", dir, name,
	    err == ERR_OK   ? "of another partition"
	    : err == ERR_IO ? FSCK_UNREAD
	                    : err_chain(),
	    remove ? "removed" : "next_start");
	err_clear();
	return remove ? io_unlink(f->io, path) : ERR_OK;
}

/* ---- one partition --------------------------------------------------------------------------- */

static enum err note_found(struct fsck *f, struct partition_key key, const char *dir)
{
	if (f->found_count == f->found_capacity) {
		size_t capacity = f->found_capacity ? f->found_capacity * 2 : 64;
		struct fsck_found *grown = mem_realloc(f->found, capacity * sizeof(*grown));
		if (!grown)
			return ERR_NOMEM;
		f->found = grown;
		f->found_capacity = capacity;
	}
	char *name = mem_strdup(str_of(dir));
	if (!name)
		return ERR_NOMEM;
	f->found[f->found_count++] = (struct fsck_found){key, name};
	struct fsck_end *end = fsck_end_of(f, key);
	if (end)
		end->found = true;
	return ERR_OK;
}

static enum err adopt(struct chain *c, const struct segment_header *h)
{
	c->key = (struct partition_key){h->topic_id, h->partition};
	c->end = fsck_end_of(c->f, c->key);
	TRY(fsck_log_start(c->f, c->key, &c->log_start));
	c->f->sequences.deleted |= c->log_start > 0;
	static const struct fsck_end nothing;
	if (takes_all(c->f))
		c->end = NULL;
	else if (!c->end && c->f->record_found)
		c->end = &nothing; /* checkpoint and journal know of no frame: all is torn */
	c->f->partitions++;
	const struct fsck_sink *sink = c->f->sink;
	bool wanted = true;
	if (sink && sink->wants)
		TRY(sink->wants(sink->ctx, c->f, c->key, &wanted));
	c->unwanted = !wanted;
	return note_found(c->f, c->key, c->dir);
}

/* A crash while the last segment was created: a start takes it away. */
static enum err is_unborn(
    struct chain *c, int fd, const struct generation_file *file, bool sealed, bool *ret_unborn)
{
	struct io_stat stat;
	TRY(io_fstat(c->f->io, fd, &stat));
	*ret_unborn = !sealed && file->generation == 0 && stat.size_bytes <= SEGMENT_HEADER_BYTES;
	return ERR_OK;
}

/* *ret_fd -1: it does not open. */
static enum err open_segment(
    struct io *io, const char *path, char *topic, int *ret_fd, struct segment_header *ret_header)
{
	enum err err;
	int tries = 0;
	*ret_fd = -1;
	do {
		err = *ret_fd < 0 ? io_open(io, path, IO_READONLY, ret_fd) : ERR_OK;
		if (err == ERR_OK)
			err = segment_file_header(io, *ret_fd, topic, ret_header);
	} while (around_again(path, err, tries++));
	return err;
}

/* One .log file of a partition's directory. */
static enum err check_file(
    struct chain *c, const char *name, const struct generation_file *file, bool sealed)
{
	int64_t base = file->base_offset;
	char path[LOG_PATH_MAX], topic[TOPIC_NAME_MAX + 1];
	struct segment_header h;
	int fd;
	TRY(fsck_path(c->f, path, "topics/%s/%s", c->dir, name));
	enum err err = open_segment(c->f->io, path, topic, &fd, &h);
	const char *fault = err == ERR_CORRUPT ? err_chain() : NULL;
	if (err == ERR_IO && !reads_all(c->f))
		fault = FSCK_UNREAD;
	if (err == ERR_PERMISSION || err == ERR_NOT_FOUND || err == ERR_INVALID)
		fault = "cannot be opened"; /* a link that leads nowhere, or in a circle */
	if (err == ERR_OK && h.base_offset != base)
		fault = "the header has another base offset";
	if (err == ERR_OK && file->generation > 0 && h.generation != file->generation)
		fault = "the header has another generation";
	if (err == ERR_OK && !c->first &&
	    (!log_uuid_equal(h.topic_id, c->key.topic_id) || h.partition != c->key.partition))
		fault = "the header is of another partition";
	bool unborn = false;
	if (fault)
		err = fd >= 0 ? is_unborn(c, fd, file, sealed, &unborn) : ERR_OK;
	if (unborn) {
		fsck_find(c->f, ERR_TORN_TAIL, "partition=%s segment=%lld what=unborn", c->dir,
		    (long long)base);
	} else if (fault && err == ERR_OK) {
		fsck_find(c->f, ERR_DAMAGED, "partition=%s segment=%lld reason=\"%s\"", c->dir,
		    (long long)base, fault);
		c->next_offset = -1;
		c->link_known = false;
		err = ERR_OK;
	} else if (err == ERR_OK) {
		err = c->first ? adopt(c, &h) : ERR_OK;
		if (err == ERR_OK && !c->unwanted)
			err = read_segment(c, fd, path, &h, sealed);
	}
	enum err closed = fd >= 0 ? io_close(c->f->io, fd) : ERR_OK;
	return err == ERR_OK ? closed : err;
}

/* What else says how far the records went: the record, and the log start. */
static enum err check_end(struct chain *c)
{
	bool named;
	if (c->first || c->next_offset < 0 || c->lost)
		return ERR_OK;
	if (c->end && c->base < c->end->segment) {
		fsck_find(c->f, ERR_LOST_SUFFIX,
		    "partition=%s segment=%lld reason=\"the last segment is missing\"", c->dir,
		    (long long)c->end->segment);
		return ERR_OK;
	}
	bool recorded = c->end && c->end->log_end > c->log_start;
	int64_t want = recorded ? c->end->log_end : c->log_start;
	if (want <= c->next_offset || c->damaged)
		return ERR_OK;
	const struct fsck_range gone = {(uint64_t)c->next_offset, (uint64_t)want};
	TRY(fsck_gap_named(c->f, c->key, gone, &named));
	if (!named)
		fsck_find(c->f, ERR_LOST_SUFFIX, "partition=%s %s=%lld found=%lld", c->dir,
		    recorded ? "log_end" : "log_start", (long long)want, (long long)c->next_offset);
	return ERR_OK;
}

static enum err check_files(struct chain *c, const struct io_names *names)
{
	struct generations g;
	char path[LOG_PATH_MAX];
	int64_t base;
	TRY(fsck_path(c->f, path, "topics/%s", c->dir));
	TRY(generations_read(c->f->io, path, names, &g));
	const struct fsck_sink *sink = c->f->sink;
	enum err err = ERR_OK;
	c->f->sequences.deleted |= g.count > 0 && g.files[0].base_offset > 0;
	if (g.count > 0 && sink && sink->partition)
		err = sink->partition(sink->ctx, c->f, c->dir, g.files[0].base_offset);
	for (size_t i = 0; i < g.count && err == ERR_OK && !c->unwanted; i++)
		if (!g.files[i].superseded)
			err = check_file(
			    c, names->name[g.files[i].name], &g.files[i], i + 1 < g.count);
	if (err == ERR_OK && !c->unwanted)
		err = check_end(c);
	if (g.count > 0 && !c->unwanted && err == ERR_OK && sink && sink->partition_end)
		err = sink->partition_end(sink->ctx, c->f, c->dir, c->end);
	generations_release(&g);
	TRY(err);
	for (size_t i = 0; i < names->count && !c->first && !c->unwanted; i++)
		if (segment_name_parse(names->name[i], ".snap", &base))
			TRY(check_snap(c->f, c->dir, names->name[i], c->key));
	return ERR_OK;
}

static enum err check_directory(struct fsck *f, const char *dir)
{
	char path[LOG_PATH_MAX];
	struct io_stat stat;
	struct io_names names;
	struct chain c = {.f = f, .dir = dir, .next_offset = -1, .first = true};
	TRY(fsck_path(f, path, "topics/%s", dir));
	TRY(io_stat(f->io, path, &stat));
	if (!stat.is_directory)
		return ERR_OK;
	enum err listed;
	int tries = 0;
	do
		listed = io_list(f->io, path, &names);
	while (around_again(path, listed, tries++));
	if (listed == ERR_IO && !reads_all(f)) {
		fsck_find(f, ERR_DAMAGED, "partition=%s reason=\"" FSCK_UNREAD "\"", dir);
		err_clear();
		return ERR_OK;
	}
	TRY(listed);
	writer_init(&c.buf, BATCH_BYTES_MAX + FRAME_HEADER_BYTES);
	enum err err = check_files(&c, &names);
	index_drop(&c);
	writer_release(&c.buf);
	io_names_release(&names);
	return err;
}

/* The catalog first: it says where the others begin. */
enum err fsck_partitions(struct fsck *f)
{
	static const char first[] = CATALOG_TOPIC_NAME "-0";
	struct io_names dirs;
	TRY(fsck_list_topics(f, &dirs));
	enum err err = ERR_OK;
	for (int others = 0; others < 2; others++)
		for (size_t i = 0; i < dirs.count && err == ERR_OK; i++)
			if ((strcmp(dirs.name[i], first) != 0) == others)
				err = check_directory(f, dirs.name[i]);
	io_names_release(&dirs);
	return err;
}
