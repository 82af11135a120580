/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsck --salvage OUT: every frame that verifies goes into a new directory that a server can open;
 * the source is only read. It is the walk of fsck with a sink:
 *
 *   partition      OUT/topics/<dir> begins at the offset its first file is named after
 *   segment        a new one there too, with a new secret, one generation up
 *   frame          copied with its sequence and times; what was lost before it becomes a HOLE
 *   partition_end  what is lost up to the known end becomes a HOLE, so no offset is used again;
 *                  the snapshots of producers that verify are copied
 *   finish         journal; all of it durable; checkpoint record; then the catalog of OUT gets a
 *                  GAP row for each hole, a new leader epoch, and the topics whose rows are lost
 *                                                                             salvage_catalog.c
 *
 * OUT has a file `unfinished` from before the first byte until everything is durable: neither a
 * server nor a tool takes it so. What lies behind the end that journal and checkpoint give was
 * never acknowledged: not copied. Views, indexes of the source and its configuration stay where
 * they are: they are made again.
 */
#include "log/salvage.h"
#include "log/producer.h"
#include "log/engine.h"
#include <stdio.h>

/* Offsets that are skipped when the end of what was lost is not known. */
#define SALVAGE_UNKNOWN_OFFSETS ((int64_t)1 << 20)

/* ---- holes ----------------------------------------------------------------------------------- */

static enum err note_hole(struct salvage *s, const struct offline_hole *hole)
{
	if (s->hole_count == s->hole_capacity) {
		size_t capacity = s->hole_capacity ? s->hole_capacity * 2 : 64;
		struct salvage_hole *grown = mem_realloc(s->holes, capacity * sizeof(*grown));
		if (!grown)
			return ERR_NOMEM;
		s->holes = grown;
		s->hole_capacity = capacity;
	}
	s->holes[s->hole_count++] = (struct salvage_hole){s->part.key, s->part.next_offset, *hole};
	return ERR_OK;
}

/* [next_offset, to) is lost; `before` is the sequence of what comes then. */
static enum err lose(struct salvage *s, int64_t to, uint64_t before)
{
	struct offline_part *part = &s->part;
	struct offline_hole hole = {
	    .to_offset = to,
	    .first_sequence = part->last_sequence + 1,
	    .last_sequence = before - 1,
	    .batches = s->lost_batches ? s->lost_batches : 1,
	};
	ASSERT(to > part->next_offset && before > part->last_sequence + 1);
	fsck_find(s->f, ERR_GAP,
	    "partition=%s first_offset=%lld last_offset=%lld first_sequence=%llu "
	    "last_sequence=%llu batches_at_least=%llu",
	    s->dir, (long long)part->next_offset, (long long)to - 1,
	    (unsigned long long)hole.first_sequence, (unsigned long long)hole.last_sequence,
	    (unsigned long long)hole.batches);
	s->lost_offsets += to - part->next_offset;
	TRY(note_hole(s, &hole));
	s->lost_batches = 0;
	s->lost_from = part->next_offset;
	return offline_part_hole(part, hole);
}

/* ---- frames ---------------------------------------------------------------------------------- */

static enum err skip(struct salvage *s, const struct fsck_seen *seen, const char *why)
{
	s->skipped++;
	fsck_find(s->f, ERR_OVERLAP,
	    "partition=%s segment=%lld pos=%u first_offset=%lld action=skipped reason=\"%s\"",
	    seen->dir, (long long)seen->segment, seen->pos, (long long)seen->frame->base_offset,
	    why);
	return ERR_OK;
}

/* A hole of the source's own: compaction named it, or an earlier salvage. */
static enum err copy_hole(struct salvage *s, const struct fsck_seen *seen)
{
	const struct frame *f = seen->frame;
	struct frame_hole body;
	if (frame_hole_decode(f, seen->body, &body) != ERR_OK ||
	    body.first_sequence <= s->part.last_sequence)
		return skip(s, seen, "a hole of sequences that are there");
	return offline_part_hole(
	    &s->part, (struct offline_hole){f->base_offset + (int64_t)f->last_offset_delta + 1,
	                  body.first_sequence, f->sequence, body.batches});
}

static enum err salvage_frame(void *ctx, const struct fsck_seen *seen)
{
	struct salvage *s = ctx;
	struct offline_part *part = &s->part;
	const struct frame *f = seen->frame;
	if (f->server_epoch > s->epoch)
		s->epoch = f->server_epoch;
	if (!seen->whole) {
		s->lost_batches++;
		return ERR_OK;
	}
	if (f->base_offset < part->next_offset || f->sequence <= part->last_sequence)
		return skip(s, seen, "its offsets or its sequence are there already");
	if (f->base_offset > part->next_offset) {
		if (f->sequence <= part->last_sequence + 1)
			return skip(s, seen, "its sequence leaves no room for what is missing");
		TRY(lose(s, f->base_offset, f->sequence));
	}
	s->lost_batches = 0;
	if (f->sequence > s->sequence)
		s->sequence = f->sequence;
	if (f->append_time_ns > s->append_ns)
		s->append_ns = f->append_time_ns;
	if (f->flags & FRAME_HOLE)
		return copy_hole(s, seen);
	struct batch_header h;
	TRY(batch_header_read(seen->body, &h));
	producer_id_used(&s->producer_ids, h.producer_id);
	s->repaired += seen->from_journal ? 1 : 0;
	return offline_part_frame(part, f, seen->body);
}

/* ---- partitions ------------------------------------------------------------------------------ */

static enum err salvage_partition(void *ctx, struct fsck *f, const char *dir, int64_t lowest)
{
	struct salvage *s = ctx;
	s->f = f;
	s->dir = dir;
	s->lowest = lowest;
	s->open = false;
	s->lost_batches = 0;
	s->lost_from = -1;
	return ERR_OK;
}

static enum err salvage_segment(
    void *ctx, struct fsck *f, const char *dir, const struct segment_header *h)
{
	(void)f;
	struct salvage *s = ctx;
	const struct partition_key key = {h->topic_id, h->partition};
	if (h->epoch > s->epoch)
		s->epoch = h->epoch;
	if (!s->open) {
		TRY(offline_part_open(
		    &s->part, s->f->io, s->topics, dir, key, h->topic_name, s->lowest));
		s->open = true;
	}
	s->part.generation = h->generation + 1;
	s->part.epoch = h->epoch;
	s->part.roll = true;
	return ERR_OK;
}

/* What the end is known to be, -1 when it is not. */
static int64_t known_end(const struct fsck_end *end)
{
	return end ? end->log_end : -1;
}

static enum err lose_end(struct salvage *s, const struct fsck_end *end, bool reached)
{
	struct offline_part *part = &s->part;
	int64_t to = known_end(end);
	if (!end || reached)
		return ERR_OK;
	if (to < 0)
		to = part->next_offset + SALVAGE_UNKNOWN_OFFSETS;
	if (to <= part->next_offset)
		return ERR_OK;
	if (known_end(end) < 0)
		fsck_find(s->f, ERR_LOST_SUFFIX,
		    "partition=%s from=%lld reason=\"how many records is not known\" "
		    "action=\"offsets up to %lld are not used again\"",
		    s->dir, (long long)part->next_offset, (long long)to - 1);
	return lose(s, to, end->last_sequence + 1);
}

/* Those that began before a hole and have no end: it may have been in there. */
static void tell_unended(struct salvage *s)
{
	LIST_EACH (&s->part.txns.open, n, next) {
		const struct txn_open *t = CONTAINER_OF(n, struct txn_open, node);
		if (t->first_offset < s->lost_from)
			fsck_find(s->f, ERR_GAP,
			    "partition=%s what=transaction producer_id=%lld first_offset=%lld "
			    "reason=\"its end may be lost; readers of committed data wait here "
			    "until "
			    "it is aborted\"",
			    s->dir, (long long)t->producer_id, (long long)t->first_offset);
	}
}

/* ---- snapshots ------------------------------------------------------------------------------- */

/* A snapshot says what nothing else does of producers whose records were deleted. */
static enum err copy_snap(struct salvage *s, const char *name, int64_t base)
{
	char from[LOG_PATH_MAX], to[LOG_PATH_MAX + TOPIC_NAME_MAX], segment[SEGMENT_NAME_BYTES];
	struct snap_header h;
	struct bytes file;
	struct io_stat stat;
	snprintf(to, sizeof(to), "%s/%s", s->part.dir, segment_name(base, ".log", segment));
	enum err there = io_stat(s->f->io, to, &stat);
	if (there == ERR_NOT_FOUND) {
		err_clear(); /* no segment begins here: nobody would read it */
		return ERR_OK;
	}
	TRY(there);
	snprintf(to, sizeof(to), "%s/%s", s->part.dir, name);
	TRY(fsck_path(s->f, from, "topics/%s/%s", s->dir, name));
	enum err read = fsck_read_file(s->f->io, from, snap_bytes_max(), &file);
	if (read == ERR_IO) {
		err_clear(); /* the walk has told */
		return ERR_OK;
	}
	TRY(read);
	bool good = snap_decode(file, NULL, NULL, &h) == ERR_OK &&
	            log_uuid_equal(h.topic_id, s->part.key.topic_id) &&
	            h.partition == s->part.key.partition && h.offset <= s->part.next_offset;
	err_clear(); /* the walk has told of a bad one */
	enum err err = good ? io_put_file(s->f->io, to, file) : ERR_OK;
	mem_free((void *)(uintptr_t)file.ptr);
	return err;
}

static enum err copy_snaps(struct salvage *s)
{
	char path[LOG_PATH_MAX];
	struct io_names names;
	int64_t base;
	TRY(fsck_path(s->f, path, "topics/%s", s->dir));
	TRY(io_list(s->f->io, path, &names));
	enum err err = ERR_OK;
	for (size_t i = 0; i < names.count && err == ERR_OK; i++)
		if (segment_name_parse(names.name[i], ".snap", &base))
			err = copy_snap(s, names.name[i], base);
	io_names_release(&names);
	return err;
}

static enum err salvage_partition_end(
    void *ctx, struct fsck *f, const char *dir, const struct fsck_end *end)
{
	(void)f;
	struct salvage *s = ctx;
	struct checkpoint_row row;
	if (!s->open)
		return ERR_OK; /* nothing in it says what it is */
	bool reached = end && s->part.last_sequence >= end->last_sequence;
	enum err err = lose_end(s, end, reached);
	if (err == ERR_OK)
		err = copy_snaps(s);
	if (err == ERR_OK)
		err = offline_part_close(&s->part, &row);
	if (err == ERR_OK && row.log_end > 0)
		err = offline_record_put(&s->record, &row);
	tell_unended(s);
	s->frames += s->part.frames;
	s->bytes += s->part.bytes;
	if (err == ERR_OK)
		fsck_find(s->f, ERR_OK,
		    "partition=%s action=copied frames=%llu bytes=%llu holes=%llu log_start=%lld "
		    "log_end=%lld",
		    dir, (unsigned long long)s->part.frames, (unsigned long long)s->part.bytes,
		    (unsigned long long)s->part.holes, (long long)s->lowest,
		    (long long)s->part.next_offset);
	offline_part_release(&s->part);
	s->open = false;
	return err;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static enum err write_record(struct salvage *s, struct fsck *f)
{
	const struct checkpoint_header *old = &f->record.header; /* zeros when there is none */
	struct checkpoint_header *h = &s->record.record.header;
	uint64_t sequence = larger(s->sequence, old->sequence);
	size_t cursor = 0;
	const struct fsck_end *end;
	while ((end = map_next(&f->ends, &cursor)))
		sequence = larger(sequence, end->last_sequence);
	uint32_t epoch = (uint32_t)larger(s->epoch, old->epoch);
	h->clean = true;
	h->epoch = epoch;
	h->number = larger(old->number, 1);
	h->journal_pos = JOURNAL_BLOCK;
	h->sequence = larger(sequence, old->lazy_bound ? old->lazy_bound - 1 : 0);
	h->producer_ids = larger(s->producer_ids, old->producer_ids) + SALVAGE_PRODUCER_IDS;
	h->last_append_ns = s->append_ns > old->last_append_ns ? s->append_ns : old->last_append_ns;
	char journal[LOG_PATH_MAX];
	int n = snprintf(journal, sizeof(journal), "%s/journal", s->out);
	if (n < 0 || (size_t)n >= sizeof(journal))
		return err_note(ERR_LIMIT, "%s: path too long", s->out);
	TRY(offline_journal_make(f->io, journal, s->journal_bytes));
	TRY(offline_sync_all(&s->sync)); /* then the record that knows of it */
	return offline_record_write(f->io, journal, &s->record);
}

static enum err salvage_finish(void *ctx, struct fsck *f)
{
	struct salvage *s = ctx;
	TRY(write_record(s, f));
	TRY(salvage_catalog(s, f));
	TRY(dirlock_finish(f->io, s->out));
	fsck_find(f, ERR_OK,
	    "action=salvaged out=\"%s\" frames=%llu bytes=%llu from_journal=%llu holes=%zu "
	    "lost_offsets=%lld skipped=%llu",
	    s->out, (unsigned long long)s->frames, (unsigned long long)s->bytes,
	    (unsigned long long)s->repaired, s->hole_count, (long long)s->lost_offsets,
	    (unsigned long long)s->skipped);
	return ERR_OK;
}

/* OUT must be new or empty, and not inside of what is read. */
static enum err make_out(void *ctx, struct fsck *f)
{
	struct salvage *s = ctx;
	struct io *io = f->io;
	char below[IO_PATH_MAX];
	struct io_names names;
	bool in;
	TRY(io_path_below(io, s->out, f->data_dir, &in, below));
	if (in)
		return err_note(ERR_INVALID, "%s lies in the directory that is read", s->out);
	TRY(io_mkdir_all(io, s->out));
	TRY(io_list(io, s->out, &names));
	size_t count = names.count;
	io_names_release(&names);
	if (count > 0)
		return err_note(ERR_EXISTS, "%s is not empty", s->out);
	TRY(dirlock_unfinished(io, s->out, "a salvage"));
	TRY(offline_sync_open(&s->sync, io, s->out));
	int n = snprintf(s->topics, sizeof(s->topics), "%s/topics", s->out);
	if (n < 0 || (size_t)n >= sizeof(s->topics))
		return err_note(ERR_LIMIT, "%s: path too long", s->out);
	return io_mkdir_all(io, s->topics);
}

enum err log_salvage(struct io *io, const char *data_dir, const char *out_dir,
    const struct log_fsck_options *options, log_print print, void *ctx,
    struct log_salvage_result *ret_result)
{
	struct salvage *s = mem_calloc(1, sizeof(*s));
	if (!s)
		return ERR_NOMEM;
	s->out = out_dir;
	s->journal_bytes = options->journal_bytes;
	const struct fsck_sink sink = {
	    .ctx = s,
	    .only_reads = true,
	    .begin = make_out,
	    .partition = salvage_partition,
	    .segment = salvage_segment,
	    .frame = salvage_frame,
	    .partition_end = salvage_partition_end,
	    .finish = salvage_finish,
	};
	struct log_fsck_options plain = *options;
	plain.repair_caches = false; /* the source is only read */
	enum err err = fsck_walk(io, data_dir, &plain, &sink, print, ctx);
	if (s->open)
		offline_part_release(&s->part);
	offline_sync_close(&s->sync);
	if (err == ERR_OK)
		*ret_result = (struct log_salvage_result){
		    .frames = s->frames,
		    .bytes = s->bytes,
		    .holes = s->hole_count + s->lost_partitions,
		    .lost_offsets = s->lost_offsets,
		    .skipped = s->skipped,
		};
	offline_record_release(&s->record);
	mem_free(s->holes);
	mem_free(s);
	return err;
}
