/* SPDX-License-Identifier: Apache-2.0 */
/* Recovery, its steps in order. See recovery.h. */
#include "log/recovery.h"
#include "log/engine.h"
#include "log/journal_where.h"
#include "log/partition_drop.h"
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

/* ---- verdicts -------------------------------------------------------------------------------- */

void recovery_verdict(enum err verdict, const char *where, ...)
{
	char text[512], name[32];
	va_list args;
	size_t i = 0;
	va_start(args, where);
	vsnprintf(text, sizeof(text), where, args);
	va_end(args);
	for (const char *n = err_name(verdict); *n && i + 1 < sizeof(name); n++)
		name[i++] = (char)tolower((unsigned char)*n);
	name[i] = '\0';
	bool grave = verdict == ERR_DAMAGED || verdict == ERR_LOST_SUFFIX ||
	             verdict == ERR_JOURNAL_ROT || verdict == ERR_MISSING_SEGMENT ||
	             verdict == ERR_OVERLAP;
	diag(grave ? DIAG_ERROR : DIAG_WARN, name, "%s", text);
	switch ((int)verdict) {
	case ERR_REPAIRED:
		metric_add(METRIC_REPAIRED_FRAMES, 1);
		break;
	case ERR_REBUILT:
		metric_add(METRIC_REBUILT_FILES, 1);
		break;
	default:
		metric_add(METRIC_RECOVERY_VERDICTS, 1);
		break;
	}
}

static void segment_unread(void *ctx, uint64_t pos, uint64_t len)
{
	const struct segment *s = ctx;
	(void)len;
	partition_unread(s->partition, s, (uint32_t)pos, ERR_IO);
}

void recovery_around(struct segment *s, struct around *ret)
{
	*ret = (struct around){segment_unread, s};
}

static void copy_unread(void *ctx, uint64_t pos, uint64_t len)
{
	(void)ctx;
	metric_add(METRIC_READ_ERRORS, 1);
	diag(DIAG_WARN, "quarantine_unread", "pos=%llu bytes=%llu what=\"zeros instead\"",
	    (unsigned long long)pos, (unsigned long long)len);
}

enum err recovery_copy_range(struct io *io, int from, int to, uint64_t pos, uint64_t end)
{
	static const struct around around = {copy_unread, NULL};
	uint8_t *buf = mem_alloc(MIB);
	if (!buf)
		return ERR_NOMEM;
	enum err e = ERR_OK;
	uint64_t out = 0;
	while (pos < end && e == ERR_OK) {
		size_t want = end - pos < MIB ? (size_t)(end - pos) : MIB, got = 0;
		const struct around_read at = {io, from, pos};
		e = around_pread(&around, &at, buf, want, &got);
		if (e == ERR_OK && got == 0)
			break;
		if (e == ERR_OK)
			e = io_pwrite(io, to, buf, got, out);
		pos += got;
		out += got;
	}
	mem_free(buf);
	return e;
}

enum err recovery_quarantine(
    struct recovery *r, const char *name, int fd, uint64_t pos, uint64_t end)
{
	struct log *log = r->log;
	char dir[LOG_PATH_MAX], path[LOG_PATH_MAX];
	int to;
	TRY(engine_path(log, dir, "quarantine"));
	TRY(io_mkdir_all(log->io, dir));
	TRY(engine_path(log, path, "quarantine/%s-epoch%u", name, r->epoch));
	TRY(io_open(log->io, path, IO_CREATE, &to));
	enum err e = recovery_copy_range(log->io, fd, to, pos, end);
	if (e == ERR_OK)
		e = io_fsync(log->io, to);
	enum err closed = io_close(log->io, to);
	TRY(e);
	TRY(closed);
	metric_add(METRIC_TORN_BYTES, end - pos);
	return io_fsync_dir(log->io, dir);
}

/* ---- step 1: the checkpoint record ----------------------------------------------------------- */

struct recovery_row *recovery_row(const struct recovery *r, struct partition_key key)
{
	return map_get(&r->rows, bytes_of(&key, sizeof(key)));
}

enum err recovery_row_put(struct recovery *r, const struct recovery_row *row)
{
	struct recovery_row *copy = recovery_row(r, row->key);
	if (copy) {
		*copy = *row;
		return ERR_OK;
	}
	copy = mem_alloc(sizeof(*copy));
	if (!copy)
		return ERR_NOMEM;
	*copy = *row;
	enum err e = map_put(&r->rows, bytes_of(&copy->key, sizeof(copy->key)), copy);
	if (e != ERR_OK)
		mem_free(copy);
	return e;
}

static enum err read_slot(struct recovery *r, unsigned slot)
{
	struct checkpoint_record record;
	char path[LOG_PATH_MAX], name[16];
	int n = snprintf(
	    path, sizeof(path), "%s/%s", r->log->journal_dir, checkpoint_file_name(slot, name));
	ASSERT(n > 0 && n < LOG_PATH_MAX);
	enum err e = checkpoint_read(r->log->io, path, &record);
	if (e == ERR_NOT_FOUND || e == ERR_CORRUPT) {
		err_clear();
		return ERR_OK; /* torn while it was written: another one holds */
	}
	TRY(e); /* one that cannot be read may be the newest */
	if (r->record_found && r->record.header.counter > record.header.counter) {
		checkpoint_record_release(&record);
		return ERR_OK;
	}
	checkpoint_record_release(&r->record);
	r->record = record;
	r->record_found = true;
	return ERR_OK;
}

static enum err read_record(struct recovery *r)
{
	for (unsigned slot = 0; slot < CHECKPOINT_SLOTS; slot++)
		TRY(read_slot(r, slot));
	if (!r->record_found)
		return ERR_OK;
	const struct checkpoint_header *h = &r->record.header;
	r->number = h->number;
	r->journal_file = h->journal_file;
	r->journal_pos = h->journal_pos;
	r->sequence = h->sequence;
	r->producer_ids = h->producer_ids;
	r->lazy_bound = h->lazy_bound;
	r->last_append_ns = h->last_append_ns;
	r->epoch = h->epoch;
	r->clean = h->clean;
	for (uint64_t i = 0; i < h->row_count; i++) {
		const struct checkpoint_row *c = &r->record.rows[i];
		struct recovery_row row = {.key = {c->topic_id, c->partition},
		    .log_end = c->log_end,
		    .segment = c->segment,
		    .segment_end = c->segment_end,
		    .last_sequence = c->last_sequence,
		    .last_link = c->last_link,
		    .transactions = c->transactions};
		TRY(recovery_row_put(r, &row));
	}
	return ERR_OK;
}

enum err recovery_check_absent(struct log *log, struct partition_key key, const char *dir)
{
	struct recovery *r = log->recovery;
	const struct recovery_row *row = r ? recovery_row(r, key) : NULL;
	if (!row || row->log_end == 0)
		return ERR_OK;
	recovery_verdict(ERR_LOST_SUFFIX, "partition=%s log_end=%lld found=nothing", dir,
	    (long long)row->log_end);
	if (log->options.accept_lost_suffix)
		return ERR_OK;
	return err_note(ERR_LOST_SUFFIX,
	    "%s had %lld records and its directory is gone; " LOG_LOST_SUFFIX_HELP, dir,
	    (long long)row->log_end);
}

/* ---- the end --------------------------------------------------------------------------------- */

static enum err settle_all(struct recovery *r)
{
	struct log_partition *p;
	size_t cursor = 0;
	while ((p = map_next(&r->log->partitions, &cursor)))
		TRY(recovery_settle(r, p));
	return ERR_OK;
}

static void adopt_state(struct recovery *r)
{
	struct log *log = r->log;
	uint64_t next = r->sequence + 1;
	log->gap_count = r->record.header.gap_count;
	memcpy(log->gaps, r->record.gaps, sizeof(r->record.gaps));
	if (!r->clean && r->lazy_bound > next) {
		/* Somebody may have been told sequences up to the bound: they are burnt, by name.
		 */
		recovery_verdict(ERR_GAP, "first_sequence=%llu last_sequence=%llu",
		    (unsigned long long)next, (unsigned long long)r->lazy_bound - 1);
		metric_add(METRIC_BURNT_SEQUENCES, r->lazy_bound - next);
		struct checkpoint_gap *before =
		    log->gap_count > 0 ? &log->gaps[log->gap_count - 1] : NULL;
		if (before && before->last + 1 == next) {
			next =
			    before->first; /* a start before this one that never came to serving */
			log->gap_count--;
		}
		log->gaps[log->gap_count++] = (struct checkpoint_gap){next, r->lazy_bound - 1};
		next = r->lazy_bound;
	}
	log->durable_sequence = next - 1;
	log->rounds.next_sequence = next;
	log->last_append_time_ns = r->last_append_ns;
	log->producer_id_next = log->producer_id_reserved = r->producer_ids;
	log->journal.next_number = r->number + 1;
	log->journal.checkpoint_number = r->record.header.number; /* 0: the first start */
	log->journal.current = r->journal_file;
	log->journal.pos = r->journal_pos;
	log->checkpointer.counter = r->record.header.counter;
	log->epoch = r->epoch + 1;
}

/*
 * No checkpoint record: the first start, or one before it that did not come as far as its first
 * record, which is durable before the first append. Where there is more, the record was lost, and
 * with it where partitions ended: what was acknowledged and is gone could not be told.
 */
static enum err first_start(struct recovery *r)
{
	struct log *log = r->log;
	bool unused;
	TRY(journal_where_unused(log->io, log->data_dir, log->journal_dir, &unused));
	if (!unused)
		return err_note(ERR_NO_JOURNAL,
		    "%s has no good checkpoint record, and %s was written to: `kappa fsck "
		    "--rebuild-journal` makes one, and says what cannot be known without it",
		    log->journal_dir, log->data_dir);
	TRY(journal_create(&log->journal, log, log->options.journal_bytes));
	r->journal_pos = JOURNAL_BLOCK;
	return ERR_OK;
}

static void step_ended(struct recovery *r, enum recovery_step step)
{
	r->step_ns[step] = io_clock_ns(r->log->io, IO_CLOCK_MONOTONIC);
}

static long long step_ms(const struct recovery *r, enum recovery_step step)
{
	return (long long)((r->step_ns[step] - r->step_ns[step - 1]) / MS_NS);
}

static void report(const struct recovery *r)
{
	diag(DIAG_INFO, "recovered",
	    "scan_ms=%lld journal_ms=%lld settle_ms=%lld flush_ms=%lld record_ms=%lld "
	    "frames=%llu bytes=%llu epoch=%u",
	    step_ms(r, RECOVERY_SCANNED), step_ms(r, RECOVERY_REPLAYED),
	    step_ms(r, RECOVERY_SETTLED), step_ms(r, RECOVERY_FLUSHED),
	    step_ms(r, RECOVERY_RECORDED), (unsigned long long)r->frames,
	    (unsigned long long)r->bytes, r->log->epoch);
}

static enum err recover(struct recovery *r)
{
	struct log *log = r->log;
	step_ended(r, RECOVERY_BEGIN);
	TRY(read_record(r));
	TRY(recovery_scan(r));
	step_ended(r, RECOVERY_SCANNED);
	if (log->journal_outside)
		TRY(checkpoint_reserve(log, r->record.header.row_count));
	if (!r->record_found) {
		TRY(first_start(r));
	} else {
		TRY(journal_open(&log->journal, log));
		TRY(recovery_journal(r));
	}
	step_ended(r, RECOVERY_REPLAYED);
	TRY(settle_all(r));
	TRY(recovery_check_lost(r));
	step_ended(r, RECOVERY_SETTLED);
	TRY(recovery_flush_segments(r));
	step_ended(r, RECOVERY_FLUSHED);
	adopt_state(r);
	TRY(clock_start(&log->clock, r->last_append_ns));
	if (r->frames > 0)
		recovery_verdict(ERR_DISTRUST, "frames=%llu bytes=%llu",
		    (unsigned long long)r->frames, (unsigned long long)r->bytes);
	/* The new epoch, durable before the first append, and with it the end of this recovery. */
	TRY(checkpoint_finish(&log->checkpointer, false));
	TRY(rounds_write_mark(&log->rounds));
	step_ended(r, RECOVERY_RECORDED);
	report(r);
	return ERR_OK;
}

enum err recovery_run(struct log *log)
{
	struct recovery *r = mem_calloc(1, sizeof(*r));
	if (!r)
		return ERR_NOMEM;
	log->recovery = r;
	r->log = log;
	map_init(&r->rows);
	list_init(&r->flushed);
	enum err e = recover(r);
	recovery_flushed_return(r);
	if (e != ERR_OK) /* no checkpoint of what was not recovered */
		loop_timer_cancel(log->loop, &log->checkpointer.timer);
	return e;
}

void recovery_free(struct recovery *r)
{
	struct recovery_row *row;
	size_t cursor = 0;
	if (!r)
		return;
	while ((row = map_next(&r->rows, &cursor)))
		mem_free(row);
	map_release(&r->rows);
	checkpoint_record_release(&r->record);
	mem_free(r->lost);
	mem_free(r);
}
