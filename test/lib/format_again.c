/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/format_again.h"

#include "log/batch.h"
#include "log/checkpoint.h"
#include "log/frame.h"
#include "log/index.h"
#include "log/journal.h"
#include "log/producer.h"
#include "test/lib/test.h"

#include <stdio.h>
#include <string.h>

#define OK(expr) assert_int_equal((expr), ERR_OK)
static const struct bytes NONE = {NULL, 0};

static void same(const char *path, size_t at, const uint8_t *now, const uint8_t *was, size_t len)
{
	if (memcmp(now, was, len) != 0)
		fail_msg("%s: what is at %zu is written differently today", path, at);
}

/* ---- segments -------------------------------------------------------------------------------- */

static void count_batch(struct bytes body, struct format_forms *forms)
{
	struct batch_header h;
	OK(batch_header_read(body, &h));
	forms->empty_batches += h.count == 0;
	forms->markers += (h.attributes & BATCH_ATTR_CONTROL) != 0;
	forms->horizons += (h.attributes & BATCH_ATTR_DELETE_HORIZON) != 0;
	forms->compressed += batch_codec(&h) != BATCH_NONE;
}

static void frame_again(const char *path, struct bytes file, size_t at, struct frame_seed seed,
    uint64_t *link, struct format_forms *forms)
{
	uint8_t again[FRAME_HEADER_BYTES], hole_bytes[FRAME_HOLE_BYTES];
	struct frame f;
	struct frame_hole hole;
	if (frame_decode(file.ptr + at, seed, &f) != ERR_OK)
		fail_msg("%s: no frame at %zu: %s", path, at, err_chain());
	struct bytes body = bytes_slice(file, at + FRAME_HEADER_BYTES, f.length);
	bool pad = (f.flags & FRAME_PAD) != 0;
	enum err err = frame_check_body(&f, seed, body);
	if (err == ERR_OK)
		err = frame_check_link(&f, seed, *link);
	if (err != ERR_OK)
		fail_msg("%s: frame at %zu: %s", path, at, err_chain());
	struct frame now = f;
	frame_encode(&now, seed, *link, pad ? NONE : body, again);
	same(path, at, again, file.ptr + at, sizeof(again));
	*link = f.link;
	forms->frames++;
	forms->direct += (f.flags & FRAME_DIRECT) != 0;
	forms->pads += pad;
	if (f.flags & FRAME_HOLE) {
		OK(frame_hole_decode(&f, body, &hole));
		frame_hole_encode(&hole, hole_bytes);
		same(path, at + FRAME_HEADER_BYTES, hole_bytes, body.ptr, body.len);
		forms->holes++;
	} else if (!pad) {
		count_batch(body, forms);
	}
}

static void segment_again(const char *path, struct bytes file, struct format_forms *forms)
{
	uint8_t again[SEGMENT_HEADER_BYTES];
	struct segment_header h;
	struct frame f;
	assert_true(file.len >= SEGMENT_HEADER_BYTES);
	OK(segment_header_decode(file.ptr, &h));
	segment_header_encode(&h, again);
	same(path, 0, again, file.ptr, sizeof(again));
	forms->segments++;
	forms->rewritten += h.format_version == SEGMENT_VERSION_REWRITTEN;
	forms->recompressed +=
	    h.format_version == SEGMENT_VERSION_REWRITTEN && h.rewrite.codec != SEGMENT_AS_SENT;
	struct frame_seed seed = frame_seed_of(h.seed);
	uint64_t link = h.previous_link;
	for (size_t at = SEGMENT_HEADER_BYTES; at < file.len;) {
		if (bytes_zero(bytes_slice(file, at, file.len)))
			break; /* room made ahead */
		frame_again(path, file, at, seed, &link, forms);
		OK(frame_decode(file.ptr + at, seed, &f));
		at += FRAME_HEADER_BYTES + f.length;
	}
}

/* ---- caches ---------------------------------------------------------------------------------- */

static void index_again(const char *path, struct bytes file, struct format_forms *forms)
{
	uint8_t again[INDEX_HEADER_BYTES];
	struct index_header h;
	assert_true(file.len >= INDEX_HEADER_BYTES);
	OK(index_header_decode(file.ptr, &h));
	index_header_encode(&h, again);
	same(path, 0, again, file.ptr, sizeof(again));
	for (size_t at = INDEX_HEADER_BYTES; at < file.len; at += INDEX_ENTRY_BYTES) {
		struct index_entry e = index_entry_decode(file.ptr + at);
		index_entry_encode(&e, again);
		same(path, at, again, file.ptr + at, INDEX_ENTRY_BYTES);
	}
	if (h.flags & INDEX_SEALED)
		assert_int_equal(h.entries_hash,
		    index_bytes_hash(bytes_slice(file, INDEX_HEADER_BYTES, file.len)));
	forms->indexes++;
	forms->sealed += (h.flags & INDEX_SEALED) != 0;
}

static void snap_again(const char *path, struct bytes file, struct format_forms *forms)
{
	struct producers ps;
	struct txns txns;
	struct snap_header h;
	struct writer again;
	producers_init(&ps);
	txns_init(&txns);
	writer_init(&again, MIB);
	OK(snap_decode(file, &ps, &txns, &h));
	if (h.version == SNAP_VERSION) { /* older ones are only read */
		OK(snap_encode(&ps, &txns, &h, &again));
		assert_int_equal(again.len, file.len);
		same(path, 0, again.ptr, file.ptr, file.len);
	}
	forms->snaps++;
	LIST_EACH (&txns.open, n, next)
		forms->open_txns++;
	forms->aborted_txns += (unsigned)txns.aborted_count;
	producers_release(&ps);
	txns_release(&txns);
	writer_release(&again);
}

/* ---- the journal ----------------------------------------------------------------------------- */

static void entry_again(const char *path, struct bytes file, size_t at, struct journal_seed seed,
    const struct journal_entry *e, struct format_forms *forms)
{
	struct journal_entry now = *e;
	uint8_t *again = mem_alloc(e->length);
	assert_non_null(again);
	memcpy(again, file.ptr + at, e->length);
	for (uint32_t i = 0; i < e->item_count; i++) {
		size_t item_at = e->items_at + (size_t)i * JOURNAL_ITEM_BYTES;
		struct journal_item item = journal_item_decode(again + item_at);
		journal_item_encode(&item, again + item_at);
		forms->tails += item.kind == JOURNAL_TAIL;
		forms->direct_items += (item.flags & FRAME_DIRECT) != 0;
	}
	memset(again, 0, JOURNAL_ENTRY_HEADER_BYTES);
	journal_entry_seal(&now, seed, again);
	same(path, at, again, file.ptr + at, e->length);
	mem_free(again);
	unsigned *const kind[] = {[JOURNAL_ROUND] = &forms->rounds,
	    [JOURNAL_MARK] = &forms->marks,
	    [JOURNAL_CLEAN] = &forms->cleans,
	    [JOURNAL_COPY] = &forms->copies};
	++*kind[e->kind];
}

/* Entries of this lap and of earlier ones; what is left of one that was written over is passed. */
static void journal_again(const char *path, struct bytes file, struct format_forms *forms)
{
	uint8_t again[JOURNAL_BLOCK];
	struct journal_header h;
	struct journal_entry e;
	bool items_good;
	assert_true(file.len >= JOURNAL_BLOCK);
	OK(journal_header_decode(file.ptr, &h));
	journal_header_encode(&h, again);
	same(path, 0, again, file.ptr, sizeof(again));
	struct journal_seed seed = journal_seed_of(h.secret);
	for (size_t at = JOURNAL_BLOCK; at + JOURNAL_BLOCK <= file.len; at += JOURNAL_BLOCK) {
		if (journal_entry_decode(file.ptr + at, seed, file.len - at, &e) != ERR_OK ||
		    journal_entry_check(&e, seed, file.ptr + at, &items_good) != ERR_OK)
			continue;
		entry_again(path, file, at, seed, &e, forms);
		at += e.length - JOURNAL_BLOCK;
	}
	err_clear();
}

static void checkpoint_again(
    struct io *io, const char *path, struct bytes file, struct format_forms *forms)
{
	struct checkpoint_record r;
	struct writer again;
	OK(checkpoint_read(io, path, &r));
	writer_init(&again, MIB);
	(void)writer_reserve(&again, CHECKPOINT_HEADER_BYTES);
	for (uint64_t i = 0; i < r.header.row_count; i++)
		checkpoint_row_encode(&r.rows[i], writer_reserve(&again, CHECKPOINT_ROW_BYTES));
	for (uint32_t i = 0; i < r.header.gap_count; i++)
		checkpoint_gap_encode(&r.gaps[i], writer_reserve(&again, CHECKPOINT_GAP_BYTES));
	checkpoint_header_encode(&r.header, again.ptr, again.len);
	assert_true(again.len <= file.len); /* a longer record may have been there before */
	same(path, 0, again.ptr, file.ptr, again.len);
	forms->records++;
	forms->gaps += r.header.gap_count;
	checkpoint_record_release(&r);
	writer_release(&again);
}

/* ---- files ----------------------------------------------------------------------------------- */

bool format_again(struct io *io, const char *path, struct bytes content, struct format_forms *forms)
{
	const char *name = strrchr(path, '/');
	size_t len = strlen(path);
	name = name ? name + 1 : path;
	if (strstr(path, "quarantine/")) /* pieces of files */
		return false;
	if (strncmp(name, "journal-", 8) == 0)
		journal_again(path, content, forms);
	else if (strncmp(name, "checkpoint-", 11) == 0)
		checkpoint_again(io, path, content, forms);
	else if (len > 4 && strcmp(path + len - 4, ".log") == 0)
		segment_again(path, content, forms);
	else if (len > 4 && strcmp(path + len - 4, ".idx") == 0)
		index_again(path, content, forms);
	else if (len > 5 && strcmp(path + len - 5, ".snap") == 0)
		snap_again(path, content, forms);
	else
		return false;
	return true;
}
