/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files in test/golden/log pin the format of log/FORMAT.md: what this program writes today is
 * what is there, and what is there reads back and is written again byte for byte. A change of a
 * golden file is a change of the format: it needs a new version number, and the old file stays.
 * A whole directory with every form: test/replay/golden_dir_test.c.
 *
 * KAPPA_GOLDEN_WRITE=1 writes the files (make golden).
 */
#include "log/batch.h"
#include "log/checkpoint.h"
#include "log/frame.h"
#include "log/index.h"
#include "log/journal.h"
#include "log/producer.h"
#include "test/lib/vector.h"
#include <stdio.h>
#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define GOLDEN_DIR "test/golden/log/"
enum { FRAMES = 3, PADDING = 48 };
static const struct bytes NONE = {NULL, 0};
static const struct log_uuid TOPIC_ID = {{0x0b, 0x1a, 0x2c, 0x3d, 0x4e, 0x5f, 0x46, 0x07, 0x98,
    0x19, 0x2a, 0x3b, 0x4c, 0x5d, 0x6e, 0x7f}};

/* Where the frames of the segment came to lie. */
struct placed {
	struct frame frame;
	uint32_t pos;
	int64_t max_ms;
};
static struct placed placed[FRAMES];

/* ---- what is pinned ---- */

static void add(struct batch_builder *b, int64_t ms, const char *key, const char *value)
{
	struct bytes k = key ? str_bytes(str_of(key)) : NONE,
	             v = value ? str_bytes(str_of(value)) : NONE;
	struct log_row header = {bytes_of("trace", 5), bytes_of("7f", 2)};
	assert_int_equal(batch_builder_add(b, ms, k, v, &header, key && value), ERR_OK);
}

/* Batch number `i`: plain; of an idempotent producer; and one that was sent with gzip. */
static void make_batch(int i, struct writer *out)
{
	/* gzip of the records of batch 2, as some zlib made it: stored as it was sent */
	static const char gzip[] = "1f8b08000000000002035362606060ca662a63e22a294a4c4e65314f03009c"
	                           "a55a2d12000000";
	struct batch_builder b;
	size_t from = out->len;
	batch_builder_init(&b, BATCH_NONE);
	if (i == 0) {
		add(&b, 1740830400000, "order-1", "{\"amount\":5}");
		add(&b, 1740830399000, "order-2", NULL);
		add(&b, 1740830400500, NULL, "no key");
	} else if (i == 1) {
		b.producer_id = 4000;
		b.producer_epoch = 1;
		b.base_sequence = 17;
		add(&b, 1740830401000, "order-3", "{\"amount\":7}");
	} else {
		add(&b, 1740830402000, "k", "v");
	}
	assert_int_equal(batch_builder_finish(&b, out), ERR_OK);
	batch_builder_release(&b);
	if (i == 2) {
		out->len = from + BATCH_HEADER_BYTES;
		test_hex(gzip, out);
		put_u32_be(out->ptr + from + 8, (uint32_t)(out->len - from - 12));
		put_u16_be(out->ptr + from + 21, BATCH_GZIP);
		put_u32_be(out->ptr + from + 17,
		    crc32c(bytes_slice(writer_bytes(out), from + 21, out->len)));
	}
}

static struct segment_header golden_header(void)
{
	struct segment_header h = {
	    .format_version = SEGMENT_VERSION,
	    .topic_id = TOPIC_ID,
	    .topic_name = STR("golden.orders"),
	    .partition = 3,
	    .base_offset = 1000,
	    .first_sequence = 42,
	    .epoch = 2,
	    .previous_link = 0x1122334455667788,
	};
	for (uint8_t i = 0; i < 16; i++)
		h.seed[i] = (uint8_t)(0xa0 + i);
	return h;
}

static void put_frame(struct writer *out, struct frame *f, uint64_t *link, struct bytes batch)
{
	struct segment_header h = golden_header();
	uint8_t *at = writer_reserve(out, FRAME_HEADER_BYTES);
	assert_non_null(at);
	frame_encode(f, frame_seed_of(h.seed), *link, batch, at);
	*link = f->link;
	write_bytes(out, batch);
}

static void make_segment(struct writer *out)
{
	struct segment_header h = golden_header();
	uint64_t link = h.previous_link;
	int64_t offset = h.base_offset;
	static const uint8_t zeros[PADDING];
	segment_header_encode(&h, writer_reserve(out, SEGMENT_HEADER_BYTES));
	for (int i = 0; i < FRAMES; i++) {
		struct writer batch;
		struct batch_header bh;
		writer_init(&batch, MIB);
		make_batch(i, &batch);
		batch_stamp(batch.ptr, offset, 5);
		assert_int_equal(batch_header_read(writer_bytes(&batch), &bh), ERR_OK);
		struct frame f = {
		    .version = FRAME_VERSION,
		    .length = (uint32_t)batch.len,
		    .principal = i == 1 ? 9 : 0,
		    .sequence = 42 + (uint64_t)i * 3,
		    .base_offset = offset,
		    .last_offset_delta = (uint32_t)bh.last_offset_delta,
		    .server_epoch = 2,
		    .append_time_ns = 1740830400000000000 + i * 1000000001,
		    .durable_when_written = 41,
		};
		placed[i].pos = (uint32_t)out->len;
		put_frame(out, &f, &link, writer_bytes(&batch));
		placed[i].frame = f;
		placed[i].max_ms = bh.max_timestamp_ms;
		offset += bh.count;
		writer_release(&batch);
		if (i != 1)
			continue;
		struct frame pad =
		    f; /* padding has the place of the next record, and no sequence of its own */
		pad.flags = FRAME_PAD;
		pad.length = PADDING;
		pad.base_offset = offset;
		pad.last_offset_delta = 0;
		put_frame(out, &pad, &link, NONE);
		write_bytes(out, bytes_of(zeros, PADDING));
	}
	assert_int_equal(out->err, ERR_OK);
}

static void make_index(struct writer *out)
{
	struct writer segment;
	writer_init(&segment, MIB);
	make_segment(&segment);
	writer_reserve(out, INDEX_HEADER_BYTES);
	for (int i = 0; i < FRAMES; i++) {
		struct index_entry e = {
		    .base_offset = placed[i].frame.base_offset,
		    .pos = placed[i].pos,
		    .len = FRAME_HEADER_BYTES + placed[i].frame.length,
		    .max_timestamp_ms = placed[i].max_ms,
		    .sequence = placed[i].frame.sequence,
		};
		index_entry_encode(&e, writer_reserve(out, INDEX_ENTRY_BYTES));
	}
	struct index_header h = {
	    .version = INDEX_VERSION,
	    .flags = INDEX_SEALED,
	    .base_offset = 1000,
	    .count = FRAMES,
	    .segment_bytes = (uint32_t)segment.len,
	    .last_append_ns = placed[FRAMES - 1].frame.append_time_ns,
	    .entries_hash = XXH3_64bits_withSeed(out->ptr + INDEX_HEADER_BYTES,
	        (size_t)FRAMES * INDEX_ENTRY_BYTES, UINT64_C(0x786469617070616b)),
	    .end_offset = placed[FRAMES - 1].frame.base_offset +
	                  (int64_t)placed[FRAMES - 1].frame.last_offset_delta + 1,
	};
	index_header_encode(&h, out->ptr);
	writer_release(&segment);
}

static void make_snap(struct writer *out)
{
	struct producers ps;
	struct txns txns;
	struct batch_marker aborted = {.producer_id = 4000, .producer_epoch = 1};
	struct snap_header h = {.version = SNAP_VERSION,
	    .topic_id = TOPIC_ID,
	    .partition = 3,
	    .offset = 1005,
	    .sequence = 45};
	producers_init(&ps);
	txns_init(&txns);
	for (int64_t id = 4000; id < 4002; id++) {
		struct batch_header b = {
		    .base_offset = id - 2997,
		    .producer_id = id,
		    .producer_epoch = 1,
		    .base_sequence = 17,
		    .count = 1,
		    .attributes = BATCH_ATTR_TRANSACTIONAL,
		};
		assert_int_equal(producers_reserve(&ps, id), ERR_OK);
		producers_note(&ps, &b, 45, 1740830401000000001, 1740830401000);
		assert_int_equal(txns_promise(&txns, id), ERR_OK);
		txns_note(&txns, &b, (uint64_t)id - 3955, 1740830401000000001);
	}
	assert_true(txns_end(&txns, &aborted, 1005));
	assert_int_equal(snap_encode(&ps, &txns, &h, out), ERR_OK);
	producers_release(&ps);
	txns_release(&txns);
}

/* One entry at the end of `out`; items for frames [0, count). */
static void put_entry(
    struct writer *out, struct journal_entry *e, const struct writer *segment, uint32_t count)
{
	struct journal_header h;
	struct journal_item item[FRAMES];
	size_t from = out->len;
	assert_int_equal(journal_header_decode(out->ptr, &h), ERR_OK);
	writer_reserve(out, JOURNAL_ENTRY_HEADER_BYTES);
	for (uint32_t i = 0; i < count; i++) {
		const struct frame *f = &placed[i].frame;
		item[i] = (struct journal_item){
		    .kind = JOURNAL_FRAME,
		    .topic_id = TOPIC_ID,
		    .partition = 3,
		    .segment = 1000,
		    .pos = placed[i].pos,
		    .len = FRAME_HEADER_BYTES + f->length,
		    .at = (uint32_t)(out->len - from),
		    .sequence = f->sequence,
		    .frame_hash = f->header_hash,
		};
		write_bytes(out, bytes_slice(writer_bytes(segment), item[i].pos, item[i].len));
	}
	e->items_at = (uint32_t)(out->len - from);
	e->item_count = count;
	for (uint32_t i = 0; i < count; i++)
		journal_item_encode(&item[i], writer_reserve(out, JOURNAL_ITEM_BYTES));
	e->used = (uint32_t)(out->len - from);
	e->length = (e->used + JOURNAL_BLOCK - 1) / JOURNAL_BLOCK * JOURNAL_BLOCK;
	writer_reserve(out, e->length - e->used);
	journal_entry_seal(e, journal_seed_of(h.secret), out->ptr + from);
}

static void make_journal(struct writer *out)
{
	struct writer segment;
	struct journal_header h = {
	    .version = JOURNAL_VERSION, .file = 0, .file_bytes = (uint64_t)1 << 20};
	writer_init(&segment, MIB);
	make_segment(&segment);
	for (uint8_t i = 0; i < 16; i++)
		h.secret[i] = (uint8_t)(0xc0 + i);
	journal_header_encode(&h, writer_reserve(out, JOURNAL_BLOCK));
	struct journal_entry round = {
	    .version = JOURNAL_VERSION,
	    .kind = JOURNAL_ROUND,
	    .epoch = 2,
	    .number = 7,
	    .first_sequence = 42,
	    .last_sequence = 45,
	    .checkpoint_number = 6,
	    .producer_ids = 5000,
	    .written_ns = 1740830401000000500,
	};
	put_entry(out, &round, &segment, 2);
	struct journal_entry clean = round;
	clean.kind = JOURNAL_CLEAN;
	clean.number = 8;
	clean.first_sequence = 0;
	clean.written_ns++;
	put_entry(out, &clean, &segment, 0);
	writer_release(&segment);
}

static void make_checkpoint(struct writer *out)
{
	struct writer segment;
	writer_init(&segment, MIB);
	make_segment(&segment);
	struct checkpoint_header h = {
	    .version = CHECKPOINT_VERSION,
	    .clean = true,
	    .epoch = 2,
	    .counter = 12,
	    .number = 8,
	    .journal_file = 0,
	    .journal_pos = 12288,
	    .sequence = 48,
	    .producer_ids = 5000,
	    .last_append_ns = placed[2].frame.append_time_ns,
	    .written_ns = 1740830403000000000,
	    .row_count = 1,
	};
	struct checkpoint_row row = {
	    .topic_id = TOPIC_ID,
	    .partition = 3,
	    .log_end = 1005,
	    .segment = 1000,
	    .segment_end = (uint32_t)segment.len,
	    .last_sequence = 48,
	    .last_link = placed[2].frame.link,
	};
	writer_reserve(out, CHECKPOINT_HEADER_BYTES);
	checkpoint_row_encode(&row, writer_reserve(out, CHECKPOINT_ROW_BYTES));
	checkpoint_header_encode(&h, out->ptr, out->len);
	writer_release(&segment);
}

/* ---- reading and writing again ---- */

static struct bytes file(const char *name)
{
	struct writer w;
	char path[200];
	snprintf(path, sizeof(path), GOLDEN_DIR "%s", name);
	FILE *f = fopen(path, "rb");
	if (!f)
		fail_msg("%s is missing", path);
	writer_init(&w, MIB);
	for (int c; (c = fgetc(f)) != EOF;)
		write_u8(&w, (uint8_t)c);
	fclose(f);
	size_t len;
	uint8_t *ptr = writer_take(&w, &len);
	return bytes_of(ptr, len);
}

static void file_release(struct bytes b)
{
	mem_free((void *)(uintptr_t)b.ptr);
}

static void expect(const char *name, void (*make)(struct writer *out))
{
	struct writer w;
	char path[200];
	writer_init(&w, MIB);
	make(&w);
	assert_int_equal(w.err, ERR_OK);
	if (getenv("KAPPA_GOLDEN_WRITE")) {
		snprintf(path, sizeof(path), GOLDEN_DIR "%s", name);
		FILE *f = fopen(path, "wb");
		assert_non_null(f);
		assert_int_equal(fwrite(w.ptr, 1, w.len, f), w.len);
		fclose(f);
	}
	struct bytes golden = file(name);
	assert_int_equal(golden.len, w.len);
	assert_memory_equal(golden.ptr, w.ptr, w.len);
	file_release(golden);
	writer_release(&w);
}

static void this_program_writes_the_golden_files(void **state)
{
	(void)state;
	expect("segment.log", make_segment);
	expect("segment.idx", make_index);
	expect("segment.snap", make_snap);
	expect("journal-0", make_journal);
	expect("checkpoint-0", make_checkpoint);
}

static void the_golden_segment_reads_back_byte_for_byte(void **state)
{
	(void)state;
	uint8_t again[SEGMENT_HEADER_BYTES];
	struct bytes golden = file("segment.log");
	struct segment_header h;
	assert_int_equal(segment_header_decode(golden.ptr, &h), ERR_OK);
	segment_header_encode(&h, again);
	assert_memory_equal(again, golden.ptr, sizeof(again));
	struct frame_seed seed = frame_seed_of(h.seed);
	uint64_t link = h.previous_link;
	int64_t offset = h.base_offset, records = 0;
	for (size_t pos = SEGMENT_HEADER_BYTES; pos < golden.len;) {
		struct frame f;
		assert_int_equal(frame_decode(golden.ptr + pos, seed, &f), ERR_OK);
		struct bytes body = bytes_slice(golden, pos + FRAME_HEADER_BYTES, f.length);
		bool pad = f.flags & FRAME_PAD;
		assert_int_equal(frame_check_body(&f, seed, body), ERR_OK);
		assert_int_equal(frame_check_link(&f, seed, link), ERR_OK);
		assert_int_equal(f.base_offset, offset);
		frame_encode(&f, seed, link, pad ? NONE : body, again);
		assert_memory_equal(again, golden.ptr + pos, FRAME_HEADER_BYTES);
		link = f.link;
		pos += FRAME_HEADER_BYTES + f.length;
		if (pad)
			continue;
		struct batch_rules rules = {
		    .max_bytes = MIB, .decompressed_max = MIB, .zstd_allowed = true};
		int32_t bad;
		assert_int_equal(batch_check(body, &rules, &bad), ERR_OK);
		struct batch_header bh;
		assert_int_equal(batch_header_read(body, &bh), ERR_OK);
		offset += bh.count;
		records += bh.count;
	}
	assert_int_equal(records, 5);
	file_release(golden);
}

static void the_golden_index_and_snapshot_read_back(void **state)
{
	(void)state;
	uint8_t again[INDEX_HEADER_BYTES];
	struct bytes idx = file("segment.idx"), snap = file("segment.snap");
	struct index_header h;
	assert_int_equal(index_header_decode(idx.ptr, &h), ERR_OK);
	index_header_encode(&h, again);
	assert_memory_equal(again, idx.ptr, INDEX_HEADER_BYTES);
	assert_int_equal(h.count, FRAMES);
	for (size_t at = INDEX_HEADER_BYTES; at < idx.len; at += INDEX_ENTRY_BYTES) {
		struct index_entry e = index_entry_decode(idx.ptr + at);
		index_entry_encode(&e, again);
		assert_memory_equal(again, idx.ptr + at, INDEX_ENTRY_BYTES);
	}
	struct producers ps;
	struct txns txns;
	struct snap_header sh;
	struct writer w;
	producers_init(&ps);
	txns_init(&txns);
	writer_init(&w, MIB);
	assert_int_equal(snap_decode(snap, &ps, &txns, &sh), ERR_OK);
	assert_int_equal(sh.offset, 1005);
	assert_int_equal(sh.count, 2);
	assert_int_equal(snap_encode(&ps, &txns, &sh, &w), ERR_OK);
	assert_true(bytes_equal(writer_bytes(&w), snap));
	producers_release(&ps);
	txns_release(&txns);
	writer_release(&w);
	file_release(idx);
	file_release(snap);
}

static void a_snapshot_without_transactions_is_still_read(void **state)
{
	(void)state;
	struct producers ps;
	struct txns txns;
	struct snap_header h;
	struct bytes snap = file("segment.v1.snap");
	producers_init(&ps);
	txns_init(&txns);
	assert_int_equal(snap_decode(snap, &ps, &txns, &h), ERR_OK);
	assert_int_equal(h.version, 1);
	assert_int_equal(ps.count, 2);
	assert_false(txns.used);
	producers_release(&ps);
	txns_release(&txns);
	file_release(snap);
}

static void a_snapshot_without_a_sequence_is_still_read(void **state)
{
	(void)state;
	struct producers ps;
	struct txns txns;
	struct snap_header h;
	struct bytes snap = file("segment.v2.snap");
	producers_init(&ps);
	txns_init(&txns);
	assert_int_equal(snap_decode(snap, &ps, &txns, &h), ERR_OK);
	assert_int_equal(h.version, 2);
	assert_int_equal(h.sequence, 0);
	assert_int_equal(ps.count, 2);
	assert_int_equal(txns.aborted_count, 1);
	producers_release(&ps);
	txns_release(&txns);
	file_release(snap);
}

static void the_golden_journal_reads_back_byte_for_byte(void **state)
{
	(void)state;
	struct bytes golden = file("journal-0");
	struct journal_header h;
	struct writer again;
	size_t entries = 0;
	writer_init(&again, MIB);
	assert_int_equal(journal_header_decode(golden.ptr, &h), ERR_OK);
	journal_header_encode(&h, writer_reserve(&again, JOURNAL_BLOCK));
	struct journal_seed seed = journal_seed_of(h.secret);
	while (again.len < golden.len) {
		struct journal_entry e;
		bool items_good;
		const uint8_t *at = golden.ptr + again.len;
		assert_int_equal(
		    journal_entry_decode(at, seed, golden.len - again.len, &e), ERR_OK);
		assert_int_equal(journal_entry_check(&e, seed, at, &items_good), ERR_OK);
		uint8_t *out = writer_reserve(&again, e.length);
		memcpy(out, at, e.length);
		for (uint32_t i = 0; i < e.item_count; i++) {
			struct journal_item item =
			    journal_item_decode(at + e.items_at + i * JOURNAL_ITEM_BYTES);
			journal_item_encode(&item, out + e.items_at + i * JOURNAL_ITEM_BYTES);
		}
		memset(out, 0, JOURNAL_ENTRY_HEADER_BYTES);
		journal_entry_seal(&e, seed, out);
		entries++;
	}
	assert_int_equal(entries, 2);
	assert_true(bytes_equal(writer_bytes(&again), golden));
	writer_release(&again);
	file_release(golden);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(this_program_writes_the_golden_files),
	    cmocka_unit_test(the_golden_segment_reads_back_byte_for_byte),
	    cmocka_unit_test(the_golden_index_and_snapshot_read_back),
	    cmocka_unit_test(a_snapshot_without_transactions_is_still_read),
	    cmocka_unit_test(a_snapshot_without_a_sequence_is_still_read),
	    cmocka_unit_test(the_golden_journal_reads_back_byte_for_byte),
	};
	return cmocka_run_group_tests_name("golden", tests, NULL, NULL);
}
