/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes whose checksums hold and whose values are impossible, of each form that log/FORMAT.md has:
 * made by a later version, another program or somebody who knows the format. A right checksum says
 * that this was written, never that it is sensible, so each decoder says what is wrong, and
 * believes a version.
 */
#include "log/checkpoint.h"
#include "log/frame.h"
#include "log/index.h"
#include "log/journal.h"
#include "log/producer.h"
#include "test/lib/tempdir.h"
#include "test/lib/vector.h"
#include <stdio.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { BYTES_MAX = 8192, ITEM_AT = JOURNAL_ENTRY_HEADER_BYTES + 512 };
static const uint8_t SECRET[16] = {5, 5, 5, 5};

/* One field of a good one is set to `value`; the error's text must have `says`. */
struct forgery {
	size_t at, bytes;
	uint64_t value;
	enum err want;
	const char *says;
};

struct form {
	size_t (*make)(uint8_t *buf);               /* a good one; its length */
	void (*seal)(uint8_t *buf, size_t len);     /* its checksums anew */
	enum err (*read)(uint8_t *buf, size_t len); /* with its decoder */
};

static uint64_t hash(const uint8_t *b, size_t len, uint64_t seed)
{
	return XXH3_64bits_withSeed(b, len, seed);
}

static uint64_t secret_seed(uint64_t seed)
{
	return hash(SECRET, sizeof(SECRET), seed);
}

static void put(uint8_t *at, size_t bytes, uint64_t value)
{
	for (size_t i = 0; i < bytes; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

static void each_is_refused(const struct form *form, const struct forgery *forgeries, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint8_t buf[BYTES_MAX] = {0};
		const struct forgery *f = &forgeries[i];
		size_t len = form->make(buf);
		form->seal(buf, len);
		assert_int_equal(form->read(buf, len), ERR_OK);
		put(buf + f->at, f->bytes, f->value);
		assert_int_not_equal(form->read(buf, len), ERR_OK); /* its checksum does not hold */
		err_clear();
		form->seal(buf, len);
		enum err e = form->read(buf, len);
		if (e != f->want || !strstr(err_chain(), f->says))
			fail_msg("%zu bytes at %zu: %s (%s), not %s (%s)", f->bytes, f->at,
			    err_name(e), err_chain(), err_name(f->want), f->says);
		err_clear();
	}
}
#define EACH_IS_REFUSED(form, list) each_is_refused(&(form), list, sizeof(list) / sizeof((list)[0]))

/* ---- segment header -------------------------------------------------------------------------- */

static size_t segment_make_version(uint8_t *buf, uint16_t version)
{
	struct segment_header h = {.format_version = version,
	    .topic_name = STR("orders"),
	    .partition = 7,
	    .base_offset = 100,
	    .first_sequence = 42,
	    .generation = 2,
	    .rewrite = {.end_offset = 200, .last_sequence = 80, .clean_end = 150}};
	segment_header_encode(&h, buf);
	return SEGMENT_HEADER_BYTES;
}

static size_t segment_make(uint8_t *buf)
{
	return segment_make_version(buf, SEGMENT_VERSION);
}

static size_t rewritten_make(uint8_t *buf)
{
	return segment_make_version(buf, SEGMENT_VERSION_REWRITTEN);
}

static void segment_seal(uint8_t *buf, size_t len)
{
	put(buf + len - 8, 8, hash(buf, len - 8, UINT64_C(0x474553415050414b)));
}

static enum err segment_read(uint8_t *buf, size_t len)
{
	struct segment_header h;
	(void)len;
	return segment_header_decode(buf, &h);
}

static void an_impossible_segment_header_is_refused(void **state)
{
	static const struct form first = {segment_make, segment_seal, segment_read},
	                         rewritten = {rewritten_make, segment_seal, segment_read};
	static const struct forgery any[] = {
	    {8, 2, 3, ERR_NEWER_FORMAT, "segment format 3"},
	    {8, 2, 0, ERR_CORRUPT, "format version 0"},
	    {10, 2, 4095, ERR_CORRUPT, "wrong header length"},
	    {80, 2, 0, ERR_CORRUPT, "topic name of 0 bytes"},
	    {80, 2, 250, ERR_CORRUPT, "topic name of 250 bytes"},
	    {80, 2, 5, ERR_CORRUPT, "padding is not zero"},
	    {12, 4, UINT32_MAX, ERR_CORRUPT, "negative partition"},
	    {48, 8, UINT64_MAX, ERR_CORRUPT, "base offset"},
	    {4080, 1, 1, ERR_CORRUPT, "padding is not zero"},
	};
	static const struct forgery forms[] = {
	    {1080, 1, 1, ERR_CORRUPT, "padding is not zero"},
	    {1000, 1, 1, ERR_CORRUPT, "padding is not zero"},
	    {76, 4, 0, ERR_CORRUPT, "what it stands for"},
	    {1024, 8, 99, ERR_CORRUPT, "what it stands for"},
	    {1048, 8, UINT64_MAX, ERR_CORRUPT, "what it stands for"},
	    {1048, 8, 201, ERR_CORRUPT, "what it stands for"},
	};
	(void)state;
	EACH_IS_REFUSED(first, any);
	EACH_IS_REFUSED(rewritten, any);
	EACH_IS_REFUSED(rewritten, forms);
}

/* ---- frame ----------------------------------------------------------------------------------- */

static size_t frame_make_of(uint8_t *buf, uint16_t flags)
{
	uint8_t body[100] = {1};
	bool hole = flags == FRAME_HOLE;
	struct frame f = {.version = hole ? FRAME_VERSION_HOLE : FRAME_VERSION,
	    .flags = flags,
	    .length = hole ? FRAME_HOLE_BYTES : sizeof(body),
	    .sequence = 42,
	    .base_offset = 1000,
	    .last_offset_delta = 9};
	frame_encode(
	    &f, frame_seed_of(SECRET), 77, bytes_of(body, flags == FRAME_PAD ? 0 : f.length), buf);
	return FRAME_HEADER_BYTES;
}

static size_t frame_make(uint8_t *buf)
{
	return frame_make_of(buf, 0);
}

static size_t pad_make(uint8_t *buf)
{
	return frame_make_of(buf, FRAME_PAD);
}

static size_t hole_make(uint8_t *buf)
{
	return frame_make_of(buf, FRAME_HOLE);
}

static void frame_seal(uint8_t *buf, size_t len)
{
	put(buf + len - 8, 8, hash(buf, len - 8, secret_seed(UINT64_C(0x726468617070616b))));
}

static enum err frame_read(uint8_t *buf, size_t len)
{
	struct frame f;
	(void)len;
	return frame_decode(buf, frame_seed_of(SECRET), &f);
}

static void an_impossible_frame_header_is_refused(void **state)
{
	static const struct form frame = {frame_make, frame_seal, frame_read},
	                         pad = {pad_make, frame_seal, frame_read},
	                         hole = {hole_make, frame_seal, frame_read};
	static const struct forgery any[] = {
	    {4, 2, 3, ERR_NEWER_FORMAT, "frame version 3"},
	    {4, 2, 0, ERR_CORRUPT, "version 0"},
	    {6, 2, 0x4000, ERR_NEWER_FORMAT, "flags 16384"},
	    {24, 8, UINT64_MAX, ERR_CORRUPT, "offset out of range"},
	    {32, 4, UINT32_MAX, ERR_CORRUPT, "offset out of range"},
	    {24, 8, INT64_MAX - 5, ERR_CORRUPT, "offset overflows"},
	};
	static const struct forgery frames[] = {
	    {4, 2, FRAME_VERSION_HOLE, ERR_CORRUPT, "version of another kind"},
	    {6, 2, FRAME_HOLE, ERR_CORRUPT, "a hole is no other frame"},
	    {6, 2, FRAME_HOLE | FRAME_PAD, ERR_CORRUPT, "a hole is no other frame"},
	    {8, 4, 10, ERR_CORRUPT, "length out of range"},
	    {8, 4, BATCH_BYTES_MAX + 1, ERR_CORRUPT, "length out of range"},
	    {16, 8, 0, ERR_CORRUPT, "sequence 0"},
	};
	static const struct forgery pads[] = {
	    {8, 4, UINT32_MAX, ERR_CORRUPT, "padding too long"},
	};
	static const struct forgery holes[] = {
	    {8, 4, FRAME_HOLE_BYTES + 1, ERR_CORRUPT, "a hole is no other frame"},
	    {4, 2, FRAME_VERSION, ERR_CORRUPT, "version of another kind"},
	    {16, 8, 0, ERR_CORRUPT, "sequence 0"},
	};
	(void)state;
	EACH_IS_REFUSED(frame, any);
	EACH_IS_REFUSED(pad, any);
	EACH_IS_REFUSED(hole, any);
	EACH_IS_REFUSED(frame, frames);
	EACH_IS_REFUSED(pad, pads);
	EACH_IS_REFUSED(hole, holes);
}

/* A body of another length than its header says, and padding that is not zero. */
static void a_frames_body_is_what_its_header_says(void **state)
{
	uint8_t header[FRAME_HEADER_BYTES], body[100] = {1};
	struct frame_seed seed = frame_seed_of(SECRET);
	struct frame f;
	(void)state;
	frame_make(header);
	assert_int_equal(frame_decode(header, seed, &f), ERR_OK);
	assert_int_equal(frame_check_body(&f, seed, bytes_of(body, 100)), ERR_OK);
	assert_int_equal(frame_check_body(&f, seed, bytes_of(body, 99)), ERR_CORRUPT);
	assert_non_null(strstr(err_chain(), "99 bytes instead of 100"));
	pad_make(header);
	assert_int_equal(frame_decode(header, seed, &f), ERR_OK);
	assert_int_equal(frame_check_body(&f, seed, bytes_of(body, 100)), ERR_CORRUPT);
	body[0] = 0;
	assert_int_equal(frame_check_body(&f, seed, bytes_of(body, 100)), ERR_OK);
	err_clear();
}

/* ---- journal --------------------------------------------------------------------------------- */

static size_t file_make(uint8_t *buf)
{
	struct journal_header h = {.version = JOURNAL_VERSION, .file = 2, .file_bytes = MIB};
	memcpy(h.secret, SECRET, sizeof(SECRET));
	journal_header_encode(&h, buf);
	return JOURNAL_BLOCK;
}

static void file_seal(uint8_t *buf, size_t len)
{
	put(buf + len - 8, 8, hash(buf, len - 8, UINT64_C(0x6c6e726a6170706b)));
}

static enum err file_read(uint8_t *buf, size_t len)
{
	struct journal_header h;
	(void)len;
	return journal_header_decode(buf, &h);
}

static void an_impossible_journal_file_is_refused(void **state)
{
	static const struct form file = {file_make, file_seal, file_read};
	static const struct forgery list[] = {
	    {4, 2, 2, ERR_NEWER_FORMAT, "journal format 2"},
	    {4, 2, 0, ERR_CORRUPT, "impossible values"},
	    {8, 4, JOURNAL_FILES, ERR_CORRUPT, "impossible values"},
	    {16, 8, MIB + 1, ERR_CORRUPT, "impossible values"},
	    {6, 2, 1, ERR_CORRUPT, "reserved bytes"},
	    {12, 4, 1, ERR_CORRUPT, "reserved bytes"},
	    {40, 1, 1, ERR_CORRUPT, "reserved bytes"},
	    {4087, 1, 1, ERR_CORRUPT, "reserved bytes"},
	};
	(void)state;
	EACH_IS_REFUSED(file, list);
}

/* One frame of 512 bytes and one tail of none, in one block. */
static size_t entry_make(uint8_t *buf)
{
	struct journal_entry e = {.version = JOURNAL_VERSION,
	    .kind = JOURNAL_ROUND,
	    .length = JOURNAL_BLOCK,
	    .used = ITEM_AT + 2 * JOURNAL_ITEM_BYTES,
	    .items_at = ITEM_AT,
	    .item_count = 2,
	    .number = 9,
	    .first_sequence = 3,
	    .last_sequence = 3};
	struct journal_item item = {.kind = JOURNAL_FRAME,
	    .pos = SEGMENT_HEADER_BYTES,
	    .len = 512,
	    .at = JOURNAL_ENTRY_HEADER_BYTES,
	    .sequence = 3};
	journal_item_encode(&item, buf + ITEM_AT);
	item.kind = JOURNAL_TAIL;
	item.len = 0;
	journal_item_encode(&item, buf + ITEM_AT + JOURNAL_ITEM_BYTES);
	journal_entry_seal(&e, journal_seed_of(SECRET), buf);
	return JOURNAL_BLOCK;
}

static void entry_seal(uint8_t *buf, size_t len)
{
	struct journal_seed seed = journal_seed_of(SECRET);
	put(buf + 104, 8, hash(buf + ITEM_AT, 2 * JOURNAL_ITEM_BYTES, seed.body));
	put(buf + 112, 8,
	    hash(buf + JOURNAL_ENTRY_HEADER_BYTES, len - JOURNAL_ENTRY_HEADER_BYTES, seed.body));
	put(buf + 120, 8, hash(buf, 120, seed.header));
}

static enum err entry_read(uint8_t *buf, size_t len)
{
	struct journal_entry e;
	bool items_good;
	TRY(journal_entry_decode(buf, journal_seed_of(SECRET), len, &e));
	enum err err = journal_entry_check(&e, journal_seed_of(SECRET), buf, &items_good);
	assert_true(items_good == (err == ERR_OK));
	return err;
}

static void an_impossible_journal_entry_is_refused(void **state)
{
	static const struct form entry = {entry_make, entry_seal, entry_read};
	static const struct forgery list[] = {
	    {4, 2, 2, ERR_NEWER_FORMAT, "version 2"},
	    {4, 2, 0, ERR_CORRUPT, "version 0"},
	    {6, 2, 5, ERR_NEWER_FORMAT, "of kind 5"},
	    {6, 2, 0, ERR_CORRUPT, "kind 0"},
	    {8, 4, JOURNAL_BLOCK + 1, ERR_CORRUPT, "length and use"},
	    {8, 4, 3 * JOURNAL_BLOCK, ERR_CORRUPT, "length and use"},
	    {12, 4, JOURNAL_BLOCK + 1, ERR_CORRUPT, "length and use"},
	    {16, 4, 127, ERR_CORRUPT, "items outside"},
	    {16, 4, ITEM_AT + 129, ERR_CORRUPT, "items outside"},
	    {20, 4, 3, ERR_CORRUPT, "item count"},
	    {12, 4, ITEM_AT + 129, ERR_CORRUPT, "item count"},
	    {32, 8, 0, ERR_CORRUPT, "number 0"},
	    {28, 4, 1, ERR_CORRUPT, "reserved bytes"},
	    {88, 1, 1, ERR_CORRUPT, "reserved bytes"},
	    {103, 1, 1, ERR_CORRUPT, "reserved bytes"},
	};
	static const struct forgery items[] = {
	    {ITEM_AT, 2, 3, ERR_CORRUPT, "impossible item"},
	    {ITEM_AT + 2, 2, 0x4000, ERR_CORRUPT, "impossible item"},
	    {ITEM_AT + 4, 4, UINT32_MAX, ERR_CORRUPT, "impossible item"},
	    {ITEM_AT + 24, 8, UINT64_MAX, ERR_CORRUPT, "impossible item"},
	    {ITEM_AT + 32, 4, SEGMENT_HEADER_BYTES - 1, ERR_CORRUPT, "impossible item"},
	    {ITEM_AT + 36, 4, FRAME_HEADER_BYTES - 1, ERR_CORRUPT, "impossible item"},
	    {ITEM_AT + 36, 4, 513, ERR_CORRUPT, "impossible item"},
	    {ITEM_AT + 40, 4, JOURNAL_ENTRY_HEADER_BYTES - 1, ERR_CORRUPT, "impossible item"},
	    {ITEM_AT + 40, 4, ITEM_AT + 1, ERR_CORRUPT, "impossible item"},
	    {ITEM_AT + 44, 4, 1, ERR_CORRUPT, "impossible item"},
	};
	(void)state;
	EACH_IS_REFUSED(entry, list);
	EACH_IS_REFUSED(entry, items);
}

static void an_entry_is_not_longer_than_its_file(void **state)
{
	uint8_t buf[JOURNAL_BLOCK] = {0};
	struct journal_entry e;
	(void)state;
	entry_make(buf);
	assert_int_equal(
	    journal_entry_decode(buf, journal_seed_of(SECRET), JOURNAL_BLOCK - 1, &e), ERR_CORRUPT);
	assert_non_null(strstr(err_chain(), "longer than its file"));
	err_clear();
}

/* ---- checkpoint record ----------------------------------------------------------------------- */

static size_t record_make(uint8_t *buf)
{
	struct checkpoint_header h = {.version = CHECKPOINT_VERSION,
	    .counter = 4,
	    .number = 9,
	    .row_count = 1,
	    .gap_count = 1};
	struct checkpoint_row row = {.log_end = 10, .last_sequence = 8};
	struct checkpoint_gap gap = {3, 4};
	size_t len = CHECKPOINT_HEADER_BYTES + CHECKPOINT_ROW_BYTES + CHECKPOINT_GAP_BYTES;
	checkpoint_row_encode(&row, buf + CHECKPOINT_HEADER_BYTES);
	checkpoint_gap_encode(&gap, buf + CHECKPOINT_HEADER_BYTES + CHECKPOINT_ROW_BYTES);
	checkpoint_header_encode(&h, buf, len);
	return len;
}

static void record_seal(uint8_t *buf, size_t len)
{
	const uint64_t seed = UINT64_C(0x706b6361707061);
	put(buf + 112, 8, hash(buf + CHECKPOINT_HEADER_BYTES, len - CHECKPOINT_HEADER_BYTES, seed));
	put(buf + 120, 8, hash(buf, 120, seed));
}

static struct io *io;
static char *dir;

static enum err record_read(uint8_t *buf, size_t len)
{
	struct checkpoint_record r;
	char path[256];
	snprintf(path, sizeof(path), "%s/checkpoint-0", dir);
	assert_int_equal(io_write_file(io, path, bytes_of(buf, len)), ERR_OK);
	enum err e = checkpoint_read(io, path, &r);
	if (e == ERR_OK) {
		assert_int_equal(r.rows[0].log_end, 10);
		assert_int_equal(r.gaps[0].last, 4);
		checkpoint_record_release(&r);
	}
	return e;
}

static void an_impossible_checkpoint_record_is_refused(void **state)
{
	static const struct form record = {record_make, record_seal, record_read};
	static const struct forgery list[] = {
	    {4, 2, 2, ERR_NEWER_FORMAT, "checkpoint format 2"},
	    {4, 2, 0, ERR_CORRUPT, "version 0"},
	    {6, 2, 2, ERR_NEWER_FORMAT, "checkpoint flags 2"},
	    {80, 8, UINT64_MAX, ERR_CORRUPT, "cut short"},
	    {80, 8, 2, ERR_CORRUPT, "cut short"},
	    {88, 4, CHECKPOINT_GAPS_MAX + 1, ERR_CORRUPT, "cut short"},
	    {88, 4, 2, ERR_CORRUPT, "cut short"},
	    {92, 1, 1, ERR_CORRUPT, "reserved bytes"},
	    {111, 1, 1, ERR_CORRUPT, "reserved bytes"},
	};
	(void)state;
	EACH_IS_REFUSED(record, list);
}

/* ---- index and snapshot ---------------------------------------------------------------------- */

static size_t index_make(uint8_t *buf)
{
	struct index_header h = {
	    .version = INDEX_VERSION, .flags = INDEX_SEALED, .base_offset = 10, .count = 3};
	index_header_encode(&h, buf);
	return INDEX_HEADER_BYTES;
}

static void index_seal(uint8_t *buf, size_t len)
{
	put(buf + len - 8, 8, hash(buf, len - 8, UINT64_C(0x786469617070616b)));
}

static enum err index_read(uint8_t *buf, size_t len)
{
	struct index_header h;
	(void)len;
	return index_header_decode(buf, &h);
}

static void an_impossible_index_is_refused(void **state)
{
	static const struct form index = {index_make, index_seal, index_read};
	static const struct forgery list[] = {
	    {4, 2, 2, ERR_NEWER_FORMAT, "index format 2"},
	    {4, 2, 0, ERR_CORRUPT, "version 0"},
	    {6, 2, 2, ERR_NEWER_FORMAT, "index flags 2"},
	};
	(void)state;
	EACH_IS_REFUSED(index, list);
}

/* Where the parts of the snapshot stand: one producer with one batch, two open, two aborted ones.
 */
enum {
	SNAP_PRODUCER = SNAP_HEADER_BYTES + 8, /* behind the sequence */
	SNAP_COUNTS = SNAP_PRODUCER + 24 + 32,
	SNAP_OPEN = SNAP_COUNTS + 8,
	SNAP_ABORTED = SNAP_OPEN + 2 * TXN_SNAP_OPEN_BYTES,
	SNAP_END = SNAP_ABORTED + 2 * TXN_SNAP_ABORTED_BYTES
};

static size_t snap_make(uint8_t *buf)
{
	put(buf, 4, SNAP_MAGIC);
	put(buf + 4, 2, SNAP_VERSION);
	put(buf + 24, 4, 1);
	put(buf + 32, 8, 100);
	put(buf + 40, 8, 1);
	put(buf + SNAP_PRODUCER, 8, 7);
	put(buf + SNAP_PRODUCER + 18, 2, 1);
	put(buf + SNAP_COUNTS, 4, 2);
	put(buf + SNAP_COUNTS + 4, 4, 2);
	for (size_t i = 0; i < 2; i++) {
		uint8_t *open = buf + SNAP_OPEN + i * TXN_SNAP_OPEN_BYTES,
		        *aborted = buf + SNAP_ABORTED + i * TXN_SNAP_ABORTED_BYTES;
		put(open, 8, 7 + i);
		put(open + 8, 8, 50 + i);
		put(open + 16, 8, 90 + i);
		put(aborted, 8, 7 + i);
		put(aborted + 8, 8, 10 * i);
		put(aborted + 16, 8, 10 * i + 5);
		put(aborted + 24, 8, 10 * i);
	}
	return SNAP_END;
}

static void snap_seal(uint8_t *buf, size_t len)
{
	const uint64_t seed = UINT64_C(0x706e73617070616b);
	put(buf + 48, 8, hash(buf + SNAP_HEADER_BYTES, len - SNAP_HEADER_BYTES, seed));
	put(buf + 56, 8, hash(buf, 56, seed));
}

static enum err snap_read(uint8_t *buf, size_t len)
{
	struct producers ps;
	struct txns txns;
	struct snap_header h;
	producers_init(&ps);
	txns_init(&txns);
	enum err e = snap_decode(bytes_of(buf, len), &ps, &txns, &h);
	/* without a place for it the same is said, but for what only the place can tell */
	enum err dry = snap_decode(bytes_of(buf, len), NULL, NULL, &h);
	assert_true(dry == e || strstr(err_chain(), "two transactions"));
	if (e == ERR_OK) {
		assert_int_equal(txns.aborted_count, 2);
		assert_int_equal(ps.count, 1);
	}
	producers_release(&ps);
	txns_release(&txns);
	return e;
}

static void an_impossible_snapshot_is_refused(void **state)
{
	static const struct form snap = {snap_make, snap_seal, snap_read};
	static const struct forgery list[] = {
	    {4, 2, 4, ERR_NEWER_FORMAT, "snapshot format 4"},
	    {4, 2, 0, ERR_CORRUPT, "impossible values"},
	    {6, 2, 1, ERR_CORRUPT, "impossible values"},
	    {28, 4, 1, ERR_CORRUPT, "impossible values"},
	    {32, 8, UINT64_MAX, ERR_CORRUPT, "impossible values"},
	    {40, 8, UINT64_MAX, ERR_CORRUPT, "impossible values"},
	    {40, 8, 2, ERR_CORRUPT, "impossible"},
	    {4, 2, 1, ERR_CORRUPT, "snapshot"},
	    {4, 2, 2, ERR_CORRUPT, "snapshot"},
	    {SNAP_PRODUCER, 8, UINT64_MAX, ERR_CORRUPT, "impossible producer"},
	    {SNAP_PRODUCER + 16, 2, 0xffff, ERR_CORRUPT, "impossible producer"},
	    {SNAP_PRODUCER + 18, 2, 6, ERR_CORRUPT, "impossible producer"},
	    {SNAP_PRODUCER + 20, 4, 1, ERR_CORRUPT, "impossible producer"},
	    {SNAP_COUNTS, 4, TXN_OPEN_MAX + 1, ERR_CORRUPT, "impossible counts"},
	    {SNAP_COUNTS + 4, 4, TXN_ABORTED_MAX + 1, ERR_CORRUPT, "impossible counts"},
	    {SNAP_COUNTS + 4, 4, 3, ERR_CORRUPT, "impossible aborted"},
	    {SNAP_COUNTS + 4, 4, 1, ERR_CORRUPT, "bytes behind the last entry"},
	    {SNAP_OPEN, 8, UINT64_MAX, ERR_CORRUPT, "impossible open"},
	    {SNAP_OPEN + 34, 1, 1, ERR_CORRUPT, "impossible open"},
	    {SNAP_OPEN + 8, 8, 51, ERR_CORRUPT, "impossible open"},
	    {SNAP_OPEN, 8, 8, ERR_CORRUPT, "two transactions"},
	    {SNAP_ABORTED, 8, UINT64_MAX, ERR_CORRUPT, "impossible aborted"},
	    {SNAP_ABORTED + 8, 8, UINT64_MAX, ERR_CORRUPT, "impossible aborted"},
	    {SNAP_ABORTED + 8, 8, 6, ERR_CORRUPT, "impossible aborted"},
	    {SNAP_ABORTED + 16, 8, 16, ERR_CORRUPT, "impossible aborted"},
	};
	(void)state;
	EACH_IS_REFUSED(snap, list);
}

static int group_setup(void **state)
{
	(void)state;
	dir = tempdir_new();
	return io_new("threads", &io) == ERR_OK ? 0 : -1;
}

static int group_teardown(void **state)
{
	(void)state;
	io_free(io);
	tempdir_remove(dir);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_impossible_segment_header_is_refused),
	    cmocka_unit_test(an_impossible_frame_header_is_refused),
	    cmocka_unit_test(a_frames_body_is_what_its_header_says),
	    cmocka_unit_test(an_impossible_journal_file_is_refused),
	    cmocka_unit_test(an_impossible_journal_entry_is_refused),
	    cmocka_unit_test(an_entry_is_not_longer_than_its_file),
	    cmocka_unit_test(an_impossible_checkpoint_record_is_refused),
	    cmocka_unit_test(an_impossible_index_is_refused),
	    cmocka_unit_test(an_impossible_snapshot_is_refused),
	};
	return cmocka_run_group_tests_name("forged", tests, group_setup, group_teardown);
}
