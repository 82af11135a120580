/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wrappers. `__wrap_f` stands for f in every other file that calls it, `__real_f` is the
 * product's.
 */
#include "test/sim/mutant.h"
#include "log/catalog.h"
#include "log/compact_map.h"
#include "log/engine.h"
#include "log/fsck.h"
#include "log/producer.h"
#include "log/scrub.h"
#include "log/table.h"
#include "log/txn.h"
#include "log/recovery.h"
#include "log/journal.h"
#include "processor/feed.h"
#include "processor/version_parts.h"
#include "test/lib/xmalloc.h"

#include <stdarg.h>
#include <stdio.h>

static enum mutant current;

void mutant_use(enum mutant m)
{
	current = m;
}

enum mutant mutant_used(void)
{
	return current;
}

const char *mutant_name(enum mutant m)
{
	static const char *const names[MUTANT_COUNT] = {
	    [MUTANT_NONE] = "none",
	    [MUTANT_NO_FLUSH] = "the journal is not flushed",
	    [MUTANT_NO_REPLAY] = "recovery passes over a round",
	    [MUTANT_TWICE_IN_VIEW] = "a view takes a batch twice",
	    [MUTANT_NO_DUPLICATES] = "a retry is stored again",
	    [MUTANT_EARLY_WATERMARK] = "what is not durable is shown",
	    [MUTANT_SCAN_SKIPS] = "a scan leaves out a batch",
	    [MUTANT_FORGETS_COMMIT] = "an offset commit is not stored",
	    [MUTANT_ABORT_COMMITS] = "an abort is taken for a commit",
	    [MUTANT_OPEN_IS_SHOWN] = "an open transaction holds nobody back",
	    [MUTANT_LEAVES_OPEN] = "the end of a transaction forgets a partition",
	    [MUTANT_DROPS_NEWEST] = "compaction takes the newest record of a key",
	    [MUTANT_KEEPS_OLD] = "compaction takes a tombstone before what it hides",
	    [MUTANT_EXPIRES_MORE] = "retention takes one segment too many",
	    [MUTANT_SCRUB_BLIND] = "the scrubber passes over damage",
	    [MUTANT_GAP_UNNAMED] = "a burnt sequence is not named",
	    [MUTANT_FSCK_BLIND] = "fsck passes over damage",
	    [MUTANT_CONFIG_LOST] = "a change of configuration is not made",
	    [MUTANT_SCAN_BLIND] = "a scan passes over what has rotted",
	    [MUTANT_JOURNAL_BLIND] = "the checksums of journal entries are not judged",
	    [MUTANT_HOLE_UNTOLD] = "a view passes over what has rotted",
	};
	return names[m];
}

/* ---- wrappers -------------------------------------------------------------------------------- */

enum err __real_recovery_frame(
    struct recovery *r, const struct journal_found *f, const struct journal_item *item);
enum err __wrap_recovery_frame(
    struct recovery *r, const struct journal_found *f, const struct journal_item *item);
enum err __wrap_recovery_frame(
    struct recovery *r, const struct journal_found *f, const struct journal_item *item)
{
	bool skip = current == MUTANT_NO_REPLAY && f->entry.number % 4 == 0;
	return skip ? ERR_OK : __real_recovery_frame(r, f, item);
}

enum err __real_feed_batch(struct feed *f, const struct log_batch_view *b, int64_t from_offset);
enum err __wrap_feed_batch(struct feed *f, const struct log_batch_view *b, int64_t from_offset);
enum err __wrap_feed_batch(struct feed *f, const struct log_batch_view *b, int64_t from_offset)
{
	if (current == MUTANT_TWICE_IN_VIEW && b->sequence % 16 == 0)
		TRY(__real_feed_batch(f, b, from_offset));
	return __real_feed_batch(f, b, from_offset);
}

enum err __real_producers_check(
    struct producers *ps, const struct batch_header *h, struct producer_batch *ret_original);
enum err __wrap_producers_check(
    struct producers *ps, const struct batch_header *h, struct producer_batch *ret_original);
enum err __wrap_producers_check(
    struct producers *ps, const struct batch_header *h, struct producer_batch *ret_original)
{
	enum err e = __real_producers_check(ps, h, ret_original);
	if (current != MUTANT_NO_DUPLICATES || e != ERR_EXISTS)
		return e;
	err_clear();
	return producers_reserve(ps, h->producer_id);
}

void __real_log_partition_status(
    const struct log_partition *p, struct log_partition_status *ret_status);
void __wrap_log_partition_status(
    const struct log_partition *p, struct log_partition_status *ret_status);
void __wrap_log_partition_status(
    const struct log_partition *p, struct log_partition_status *ret_status)
{
	__real_log_partition_status(p, ret_status);
	if (current == MUTANT_EARLY_WATERMARK)
		ret_status->visible_end = ret_status->stable_end = ret_status->log_end;
}

enum err __real_log_scan_next(
    struct log_scan *scan, struct log_batch_view *ret_view, uint64_t *ret_stable);
enum err __wrap_log_scan_next(
    struct log_scan *scan, struct log_batch_view *ret_view, uint64_t *ret_stable);
enum err __wrap_log_scan_next(
    struct log_scan *scan, struct log_batch_view *ret_view, uint64_t *ret_stable)
{
	enum err e = __real_log_scan_next(scan, ret_view, ret_stable);
	bool skip = (current == MUTANT_SCAN_SKIPS && e == ERR_OK && ret_view->sequence % 32 == 0) ||
	            (current == MUTANT_SCAN_BLIND && e == ERR_CORRUPT);
	return skip ? __real_log_scan_next(scan, ret_view, ret_stable) : e;
}

struct forgotten {
	struct mail mail;
	struct log_table_put *put;
};

static void forget(struct mail *mail)
{
	struct forgotten *f = CONTAINER_OF(mail, struct forgotten, mail);
	struct log_table_put *put = f->put;
	free(f);
	put->err = ERR_OK;
	put->done(put);
}

/* Keys of offsets begin with the version 0 or 1, those of groups with 2. */
static bool is_offset(const struct log_row *row)
{
	return row->key.len > 2 && row->key.ptr[0] == 0 && row->key.ptr[1] <= 1 && row->value.ptr;
}

void __real_log_table_put(struct log_table *table, struct log_table_put *put);
void __wrap_log_table_put(struct log_table *table, struct log_table_put *put);
void __wrap_log_table_put(struct log_table *table, struct log_table_put *put)
{
	if (current != MUTANT_FORGETS_COMMIT || !is_offset(&put->rows[0])) {
		__real_log_table_put(table, put);
		return;
	}
	struct forgotten *f = xcalloc(1, sizeof(*f));
	f->mail.run = forget;
	f->put = put;
	loop_defer(table->log->loop, &f->mail);
}

bool __real_txns_end(struct txns *t, const struct batch_marker *m, int64_t offset);
bool __wrap_txns_end(struct txns *t, const struct batch_marker *m, int64_t offset);
bool __wrap_txns_end(struct txns *t, const struct batch_marker *m, int64_t offset)
{
	struct batch_marker other = *m;
	other.commit |= current == MUTANT_ABORT_COMMITS;
	return __real_txns_end(t, &other, offset);
}

int64_t __real_txns_stable_end(const struct txns *t, int64_t end);
int64_t __wrap_txns_stable_end(const struct txns *t, int64_t end);
int64_t __wrap_txns_stable_end(const struct txns *t, int64_t end)
{
	return current == MUTANT_OPEN_IS_SHOWN ? end : __real_txns_stable_end(t, end);
}

void __real_log_commit(struct log *log, struct log_commit *c);
void __wrap_log_commit(struct log *log, struct log_commit *c);
void __wrap_log_commit(struct log *log, struct log_commit *c)
{
	if (current == MUTANT_LEAVES_OPEN && c->append_count > 1)
		c->append_count--;
	__real_log_commit(log, c);
}

int64_t __real_compact_map_get(const struct compact_map *m, struct bytes key);
int64_t __wrap_compact_map_get(const struct compact_map *m, struct bytes key);
int64_t __wrap_compact_map_get(const struct compact_map *m, struct bytes key)
{
	int64_t newest = __real_compact_map_get(m, key);
	if (current == MUTANT_DROPS_NEWEST && newest % 4 == 0)
		return newest + 1;
	return current == MUTANT_KEEPS_OLD ? -1 : newest;
}

/* By retention and by nobody else: what DeleteRecords asks for is no end of a segment, mostly. */
void __real_catalog_put_partition(struct log *log, struct catalog_partition_row *row);
void __wrap_catalog_put_partition(struct log *log, struct catalog_partition_row *row);
void __wrap_catalog_put_partition(struct log *log, struct catalog_partition_row *row)
{
	const struct log_partition *p = catalog_partition(log, row->topic_id, row->partition);
	bool moves = current == MUTANT_EXPIRES_MORE && p && row->log_start > p->log_start;
	for (size_t i = 0; moves; i++) {
		const struct segment *s = partition_segment(p, i);
		if (!s || !s->sealed)
			break;
		if (s->base_offset != row->log_start)
			continue;
		row->log_start = s->end_offset;
		break;
	}
	__real_catalog_put_partition(log, row);
}

void __real_scrub_read(struct scrub_piece *piece);
void __wrap_scrub_read(struct scrub_piece *piece);
void __wrap_scrub_read(struct scrub_piece *piece)
{
	__real_scrub_read(piece);
	if (current == MUTANT_SCRUB_BLIND && piece->finding == SCRUB_DAMAGED)
		piece->finding = SCRUB_GOOD;
}

void __real_gap_row_write(struct writer *w, const struct catalog_partition_row *row);
void __wrap_gap_row_write(struct writer *w, const struct catalog_partition_row *row);
void __wrap_gap_row_write(struct writer *w, const struct catalog_partition_row *row)
{
	struct catalog_partition_row other = *row;
	other.gap_first_sequence += current == MUTANT_GAP_UNNAMED;
	__real_gap_row_write(w, &other);
}

void __real_fsck_find(struct fsck *f, enum err verdict, const char *fmt, ...) PRINTF(3, 4);
void __wrap_fsck_find(struct fsck *f, enum err verdict, const char *fmt, ...) PRINTF(3, 4);
void __wrap_fsck_find(struct fsck *f, enum err verdict, const char *fmt, ...)
{
	char text[1024];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (current != MUTANT_FSCK_BLIND || verdict != ERR_DAMAGED)
		__real_fsck_find(f, verdict, "%s", text);
}

void __real_log_topic_submit(struct log *log, struct log_topic_req *req);
void __wrap_log_topic_submit(struct log *log, struct log_topic_req *req);
void __wrap_log_topic_submit(struct log *log, struct log_topic_req *req)
{
	req->validate_only |= current == MUTANT_CONFIG_LOST && req->op == LOG_TOPIC_SET_CONFIG;
	__real_log_topic_submit(log, req);
}

enum err __real_version_dead(void *ctx, const struct feed_dead *d);
enum err __wrap_version_dead(void *ctx, const struct feed_dead *d);
enum err __wrap_version_dead(void *ctx, const struct feed_dead *d)
{
	bool untold = current == MUTANT_HOLE_UNTOLD && d->reason == ERR_DAMAGED;
	return untold ? ERR_OK : __real_version_dead(ctx, d);
}

enum err __real_journal_entry_check(const struct journal_entry *e, struct journal_seed seed,
    const uint8_t *buf, bool *ret_items_good);
enum err __wrap_journal_entry_check(const struct journal_entry *e, struct journal_seed seed,
    const uint8_t *buf, bool *ret_items_good);
enum err __wrap_journal_entry_check(const struct journal_entry *e, struct journal_seed seed,
    const uint8_t *buf, bool *ret_items_good)
{
	enum err err = __real_journal_entry_check(e, seed, buf, ret_items_good);
	if (current != MUTANT_JOURNAL_BLIND || err == ERR_OK)
		return err;
	err_clear();
	*ret_items_good = true;
	return ERR_OK;
}
