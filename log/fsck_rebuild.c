/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsck --rebuild-journal: a new journal and checkpoint record for a directory whose own are gone,
 * out of what the frames say of themselves. Every frame that verifies stays, and what only a
 * readable part of the old journal has is put into its segment. Known afterwards:
 *
 *   at least   D is no less than the greatest advisory mark of any frame
 *   at most    the last sequence is that of the last frame that verifies
 *
 * Not known, and said so: whether the frames between the two were acknowledged (they stay), whether
 * acknowledged ones behind the ends are gone, which producer ids were given out since (1000 are
 * passed over). The old files go to quarantine/.
 *
 * It may be cut short anywhere. In order: frames and their names are durable; the new record,
 * beside the old one and above it; the old files go; the new journal's files. In between a start is
 * refused, or finds the new record beside the whole old journal, which it covers.
 */
#include "log/fsck.h"
#include "log/producer.h"
#include "log/offline.h"
#include "log/recovery.h"
#include <stdio.h>
#include <stdlib.h>

enum { REBUILD_PRODUCER_IDS = 1000 };
/* More entries than a journal has: what could not be read of the old one is covered, too. */
#define REBUILD_NUMBERS ((uint64_t)1 << 32)

struct rebuild {
	struct fsck *f;
	struct offline_record record;
	struct checkpoint_row row; /* of the partition that is read; log_end 0 = nothing yet */
	struct txns txns;          /* its open ones */
	uint64_t marked, sequence, producer_ids;
	int64_t append_ns;
	uint32_t epoch;
	uint64_t repaired;
	int64_t kept_as; /* in the names of what goes to quarantine/ */
	/* sequences above `marked`, as far as that is known: few, a mark is a round or two behind
	 */
	uint64_t *above;
	size_t above_count, above_capacity;
};

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* ---- sequences above the mark ---------------------------------------------------------------- */

static int sequence_order(const void *a, const void *b)
{
	uint64_t x, y;
	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x < y ? -1 : x > y;
}

static void above_prune(struct rebuild *r)
{
	size_t kept = 0;
	for (size_t i = 0; i < r->above_count; i++)
		if (r->above[i] > r->marked)
			r->above[kept++] = r->above[i];
	r->above_count = kept;
}

static enum err above_add(struct rebuild *r, uint64_t sequence)
{
	if (sequence <= r->marked)
		return ERR_OK;
	if (r->above_count == r->above_capacity)
		above_prune(r);
	if (r->above_count >= r->above_capacity / 2) {
		size_t capacity = r->above_capacity ? r->above_capacity * 2 : 1024;
		uint64_t *grown = mem_realloc(r->above, capacity * sizeof(*grown));
		if (!grown)
			return ERR_NOMEM;
		r->above = grown;
		r->above_capacity = capacity;
	}
	r->above[r->above_count++] = sequence;
	return ERR_OK;
}

static void gap_add(struct rebuild *r, uint64_t first, uint64_t last)
{
	struct checkpoint_header *h = &r->record.record.header;
	if (first <= last && h->gap_count < CHECKPOINT_GAPS_MAX)
		r->record.record.gaps[h->gap_count++] = (struct checkpoint_gap){first, last};
}

/* What the old record names and the catalog may not yet, in [from, to]. */
static void old_gaps(struct rebuild *r, uint64_t from, uint64_t to)
{
	const struct checkpoint_record *old = &r->f->record;
	for (uint32_t i = 0; i < old->header.gap_count; i++) {
		const struct checkpoint_gap *g = &old->gaps[i];
		gap_add(r, larger(g->first, from), g->last < to ? g->last : to);
	}
}

/* Sequences that nobody has, between those that are there: burnt, by name. */
static uint64_t name_gaps(struct rebuild *r)
{
	uint64_t expect = r->marked + 1, missing = 0;
	above_prune(r);
	if (r->above_count > 0)
		qsort(r->above, r->above_count, sizeof(*r->above), sequence_order);
	old_gaps(r, 0, r->marked);
	for (size_t i = 0; i < r->above_count; expect = r->above[i++] + 1) {
		if (r->above[i] <= expect)
			continue;
		missing += r->above[i] - expect;
		gap_add(r, expect, r->above[i] - 1);
	}
	old_gaps(r, expect, UINT64_MAX);
	return missing;
}

/* ---- the walk -------------------------------------------------------------------------------- */

static enum err rebuild_journal(void *ctx, struct fsck *f)
{
	struct rebuild *r = ctx;
	bool whole = f->record_found;
	r->f = f;
	if (f->no_journal == ERR_REFUSED)
		return err_note(ERR_REFUSED, "%s: which journal is this log's must be clear first",
		    f->where.dir);
	for (unsigned i = 0; i < JOURNAL_FILES; i++)
		whole = whole && f->journal_fd[i] >= 0;
	whole = whole && !f->ends_unknown;
	if (whole)
		return err_note(
		    ERR_REFUSED, "%s: journal and checkpoint record can be read", f->data_dir);
	f->bad = false; /* that much is about to be put right */
	return ERR_OK;
}

static enum err rebuild_partition(void *ctx, struct fsck *f, const char *dir, int64_t lowest)
{
	struct rebuild *r = ctx;
	char path[LOG_PATH_MAX];
	(void)lowest;
	r->row = (struct checkpoint_row){0};
	txns_release(&r->txns);
	txns_init(&r->txns);
	TRY(fsck_path(f, path, "topics/%s", dir));
	return io_fsync_dir(f->io, path);
}

static enum err segment_path(
    const struct rebuild *r, const char *dir, const struct segment_header *h, char *buf)
{
	char name[SEGMENT_NAME_BYTES];
	TRY(fsck_path(r->f, buf, "topics/%s/%s", dir,
	    segment_name_of(h->base_offset, h->generation, ".log", name)));
	struct io_stat stat;
	enum err err = io_stat(r->f->io, buf, &stat);
	if (err != ERR_NOT_FOUND)
		return err;
	err_clear();
	return fsck_path(
	    r->f, buf, "topics/%s/%s", dir, segment_name(h->base_offset, ".log", name));
}

/* The new record says that it is all on disk. */
static enum err rebuild_segment(
    void *ctx, struct fsck *f, const char *dir, const struct segment_header *h)
{
	(void)f;
	struct rebuild *r = ctx;
	char path[LOG_PATH_MAX];
	int fd;
	if (h->epoch > r->epoch)
		r->epoch = h->epoch;
	r->row.topic_id = h->topic_id;
	r->row.partition = h->partition;
	r->row.log_end = h->base_offset;
	r->row.segment = h->base_offset;
	r->row.segment_end = SEGMENT_HEADER_BYTES;
	r->row.last_link = h->previous_link;
	TRY(segment_path(r, dir, h, path));
	TRY(io_open(r->f->io, path, 0, &fd));
	enum err err = io_fsync(r->f->io, fd);
	enum err closed = io_close(r->f->io, fd);
	return err == ERR_OK ? closed : err;
}

static enum err put_back(struct rebuild *r, const struct fsck_seen *seen)
{
	char path[LOG_PATH_MAX], name[SEGMENT_NAME_BYTES];
	int fd;
	TRY(fsck_path(
	    r->f, path, "topics/%s/%s", seen->dir, segment_name(seen->segment, ".log", name)));
	TRY(io_open(r->f->io, path, 0, &fd));
	enum err err = io_pwrite(r->f->io, fd, seen->raw.ptr, seen->raw.len, seen->pos);
	if (err == ERR_OK)
		err = io_fdatasync(r->f->io, fd);
	enum err closed = io_close(r->f->io, fd);
	r->repaired++;
	return err == ERR_OK ? closed : err;
}

static enum err rebuild_frame(void *ctx, const struct fsck_seen *seen)
{
	struct rebuild *r = ctx;
	const struct frame *f = seen->frame;
	struct batch_header h;
	if (seen->from_journal)
		TRY(put_back(r, seen));
	/* one that is DAMAGED lies below the end all the same */
	r->row.log_end = f->base_offset + (int64_t)f->last_offset_delta + 1;
	r->row.segment_end = seen->pos + FRAME_HEADER_BYTES + f->length;
	r->row.last_sequence = f->sequence;
	r->row.last_link = f->link;
	if (f->durable_when_written > r->marked)
		r->marked = f->durable_when_written;
	if (f->sequence > r->sequence)
		r->sequence = f->sequence;
	if (f->append_time_ns > r->append_ns)
		r->append_ns = f->append_time_ns;
	if (f->server_epoch > r->epoch)
		r->epoch = f->server_epoch;
	bool batch = seen->whole && !(f->flags & FRAME_HOLE);
	if (batch && batch_header_read(seen->body, &h) == ERR_OK)
		producer_id_used(&r->producer_ids, h.producer_id);
	if (batch)
		TRY(offline_txns_note(&r->txns, f, seen->body));
	return above_add(r, f->sequence);
}

static enum err rebuild_partition_end(
    void *ctx, struct fsck *f, const char *dir, const struct fsck_end *end)
{
	(void)f;
	struct rebuild *r = ctx;
	(void)end;
	if (r->row.segment_end == 0)
		return ERR_OK; /* nothing in it says what it is */
	struct partition_key key = {r->row.topic_id, r->row.partition};
	r->row.transactions = offline_txns_row(&r->txns, r->row.log_end);
	const struct fsck_end *known = fsck_end_of(r->f, key);
	if (known && known->log_end > r->row.log_end) {
		/* an old record knew more: the next start refuses, as it must */
		fsck_find(r->f, ERR_LOST_SUFFIX, "partition=%s log_end=%lld found=%lld", dir,
		    (long long)known->log_end, (long long)r->row.log_end);
		r->row.log_end = known->log_end;
		r->row.segment = known->segment;
		r->row.segment_end = known->segment_end;
		r->row.last_sequence = known->last_sequence;
	}
	char path[LOG_PATH_MAX];
	TRY(fsck_path(r->f, path, "topics/%s", dir));
	TRY(recovery_forget(r->f->io, path, r->row.log_end));
	return offline_record_put(&r->record, &r->row);
}

/* ---- the end --------------------------------------------------------------------------------- */

/* A rename cannot leave a file system: the bytes are copied, and durable before the file goes. */
static enum err move_file(struct fsck *f, const char *from, const char *to)
{
	struct io_stat stat;
	int in, out;
	if (!f->where.outside)
		return io_rename(f->io, from, to);
	TRY(io_stat(f->io, from, &stat));
	TRY(io_open(f->io, from, IO_READONLY, &in));
	enum err err = io_open(f->io, to, IO_CREATE, &out);
	if (err == ERR_OK) {
		err = recovery_copy_range(f->io, in, out, 0, stat.size_bytes);
		if (err == ERR_OK)
			err = io_fsync(f->io, out);
		enum err closed = io_close(f->io, out);
		err = err == ERR_OK ? closed : err;
	}
	enum err closed = io_close(f->io, in);
	TRY(err);
	TRY(closed);
	return io_unlink(f->io, from);
}

static bool is_journal(const char *name)
{
	return strncmp(name, "journal-", 8) == 0;
}

static bool is_record(const char *name)
{
	return strncmp(name, "checkpoint-", 11) == 0;
}

static enum err keep_file(struct rebuild *r, const char *name)
{
	struct fsck *f = r->f;
	char from[LOG_PATH_MAX], to[LOG_PATH_MAX];
	TRY(fsck_journal_path(f, from, name));
	TRY(fsck_path(f, to, "quarantine/journal-%lld-%s", (long long)r->kept_as, name));
	return move_file(f, from, to);
}

/* A number that no file in quarantine/ has: one that was kept before is never replaced. */
static enum err keep_begin(struct rebuild *r)
{
	struct fsck *f = r->f;
	char path[LOG_PATH_MAX], prefix[40];
	struct io_names names;
	bool taken = true;
	TRY(fsck_path(f, path, "quarantine"));
	TRY(io_mkdir_all(f->io, path));
	TRY(io_list(f->io, path, &names));
	r->kept_as = io_clock_ns(f->io, IO_CLOCK_REALTIME) / S_NS - 1;
	while (taken) {
		r->kept_as++;
		taken = false;
		int n = snprintf(prefix, sizeof(prefix), "journal-%lld-", (long long)r->kept_as);
		for (size_t i = 0; i < names.count; i++)
			taken |= strncmp(names.name[i], prefix, (size_t)n) == 0;
	}
	io_names_release(&names);
	return ERR_OK;
}

/* All but the record that is called `record`; both directories are durable then. */
static enum err keep_old(struct rebuild *r, const char *record)
{
	struct fsck *f = r->f;
	char to[LOG_PATH_MAX];
	struct io_names names;
	TRY(io_list(f->io, f->where.dir, &names));
	enum err err = ERR_OK;
	for (size_t i = 0; i < names.count && err == ERR_OK; i++)
		if (is_journal(names.name[i]) ||
		    (is_record(names.name[i]) && strcmp(names.name[i], record) != 0))
			err = keep_file(r, names.name[i]);
	io_names_release(&names);
	TRY(err);
	TRY(fsck_path(f, to, "quarantine"));
	TRY(io_fsync_dir(f->io, to));
	return io_fsync_dir(f->io, f->where.dir);
}

/*
 * The new record is there before anything that was is gone: it has all that the old one knew, and
 * whoever is cut short is followed by another rebuild that finds the one or the other. Its place is
 * never the old one's; its counter is above those of records that cannot be read.
 */
static enum err record_first(struct rebuild *r, const char **ret_name, char *name)
{
	struct fsck *f = r->f;
	struct checkpoint_header *h = &r->record.record.header;
	char path[LOG_PATH_MAX];
	struct io_stat stat;
	h->counter = f->record.header.counter + CHECKPOINT_SLOTS;
	*ret_name = checkpoint_file_name((unsigned)(h->counter % CHECKPOINT_SLOTS), name);
	TRY(fsck_journal_path(f, path, *ret_name));
	enum err err = io_stat(f->io, path, &stat);
	if (err == ERR_OK)
		err = keep_file(r, *ret_name);
	else if (err == ERR_NOT_FOUND) {
		err_clear();
		err = ERR_OK;
	}
	TRY(err);
	return offline_record_write(f->io, f->where.dir, &r->record);
}

/* While files are missing, or there is no record, every start is refused. */
static enum err replace(struct rebuild *r)
{
	struct fsck *f = r->f;
	char path[LOG_PATH_MAX], name[16];
	const char *record;
	TRY(fsck_path(f, path, "topics"));
	TRY(io_mkdir_all(f->io, path));
	TRY(io_fsync_dir(f->io, path));
	TRY(io_mkdir_all(f->io, f->where.dir));
	if (f->where.lock.dir_fd < 0) /* it was not there, or not to be read */
		TRY(journal_where_lock(f->io, &f->where, DIRLOCK_WRITE));
	TRY(journal_where_note(f->io, f->data_dir, &f->where));
	TRY(keep_begin(r));
	TRY(record_first(r, &record, name));
	TRY(keep_old(r, record));
	return offline_journal_make(f->io, f->where.dir, f->options.journal_bytes);
}

static void say(struct rebuild *r, uint64_t missing)
{
	struct fsck *f = r->f;
	const struct checkpoint_header *h = &r->record.record.header;
	fsck_find(f, ERR_OK,
	    "action=rebuilt what=journal durable_at_least=%llu last_sequence=%llu partitions=%llu "
	    "from_journal=%llu",
	    (unsigned long long)r->marked, (unsigned long long)h->sequence,
	    (unsigned long long)h->row_count, (unsigned long long)r->repaired);
	if (r->above_count > 0)
		fsck_find(f, ERR_OK,
		    "unknown=acknowledged frames=%zu above_sequence=%llu reason=\"frames above "
		    "the "
		    "mark verify and stay; whether somebody was told of them cannot be known\"",
		    r->above_count, (unsigned long long)r->marked);
	if (missing > 0)
		fsck_find(f, ERR_GAP,
		    "sequences=%llu above_sequence=%llu reason=\"nobody has them; whether they "
		    "were "
		    "acknowledged cannot be known\"",
		    (unsigned long long)missing, (unsigned long long)r->marked);
	fsck_find(f, ERR_OK,
	    "unknown=lost_suffix reason=\"whether records behind the ends found were "
	    "acknowledged and are gone cannot be known\"");
	fsck_find(f, ERR_OK,
	    "unknown=producer_ids next=%llu reason=\"ids given out and never used in a record "
	    "cannot be known\"",
	    (unsigned long long)h->producer_ids);
}

static enum err rebuild_finish(void *ctx, struct fsck *f)
{
	struct rebuild *r = ctx;
	const struct checkpoint_header *old = &f->record.header; /* zeros when there is none */
	struct checkpoint_header *h = &r->record.record.header;
	uint64_t missing = name_gaps(r);
	h->epoch = (uint32_t)larger(r->epoch, old->epoch);
	h->number = larger(old->number, f->last_number) + REBUILD_NUMBERS;
	h->journal_pos = JOURNAL_BLOCK;
	h->sequence = larger(larger(r->sequence, r->marked), old->sequence);
	if (old->lazy_bound > 0)
		h->sequence = larger(h->sequence, old->lazy_bound - 1);
	h->producer_ids = larger(r->producer_ids, old->producer_ids) + REBUILD_PRODUCER_IDS;
	h->last_append_ns = r->append_ns > old->last_append_ns ? r->append_ns : old->last_append_ns;
	h->clean = true;
	TRY(replace(r));
	say(r, missing);
	return f->bad ? err_note(ERR_CORRUPT, "%s: not everything is served", f->data_dir) : ERR_OK;
}

enum err log_rebuild_journal(struct io *io, const char *data_dir,
    const struct log_fsck_options *options, log_print print, void *ctx)
{
	struct rebuild r = {0};
	const struct fsck_sink sink = {
	    .ctx = &r,
	    .journal = rebuild_journal,
	    .partition = rebuild_partition,
	    .segment = rebuild_segment,
	    .frame = rebuild_frame,
	    .partition_end = rebuild_partition_end,
	    .finish = rebuild_finish,
	    .ends_unknown = true,
	    .reads_all = true, /* the new record leaves out what was not seen */
	};
	txns_init(&r.txns);
	enum err err = fsck_walk(io, data_dir, options, &sink, print, ctx);
	txns_release(&r.txns);
	offline_record_release(&r.record);
	mem_free(r.above);
	return err;
}
