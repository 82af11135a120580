/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The journal: four files in <data>/journal, written with zeros once and then in turn. Each commit
 * round is one entry, aligned to 4 KiB, so that it can be written with O_DIRECT.
 *
 * File    header block (4 KiB, written once: magic, version, file number, secret, size), then
 * entries from 4096 on Entry   header (128 bytes) | frames, one after the other | tails | items (64
 * bytes each) | zeros up to 4 KiB kinds: ROUND; MARK restates D 100 ms after the last round; CLEAN
 * ends a clean stop; COPY is the entry before it once more: recovery writes it, because the last
 * entry may be whole in the page cache only
 *
 * Numbers: every entry has the next number, for ever, over all files. So a stale entry of an
 * earlier lap is never taken for a current one (its number is lower), and the end is where the next
 * number does not follow. One entry is in flight at a time: only the last entry can be torn.
 *
 * Invariants
 *   J1 an entry is overwritten only after the checkpoint record covers its number
 *   J2 an entry's header, items and bytes are under checksums seeded by the journal's secret:
 *      client data can never be taken for an entry
 *   J3 entries are written only inside the part of a file that is already filled (no size change
 *      at a flush)
 *   J4 behind each entry there is room for its copy, so that recovery never meets a full journal
 */
#include "log/around.h"
#include "log/frame.h"

enum {
	JOURNAL_FILES = 4,
	JOURNAL_BLOCK = 4096,
	JOURNAL_ENTRY_HEADER_BYTES = 128,
	JOURNAL_ITEM_BYTES = 64,
	JOURNAL_MAGIC = 0x4c4a504b /* "KPJL" */,
	JOURNAL_ENTRY_MAGIC = 0x4e45504b /* "KPEN" */,
	JOURNAL_VERSION = 1,
};
#define JOURNAL_ROUND_BYTES_MAX                                                                    \
	(4 * MIB) /* a round of several appends; a larger append goes alone */

struct journal_header {
	uint16_t version;
	uint32_t file;       /* 0..3 */
	uint64_t file_bytes; /* full size */
	uint8_t secret[16];  /* the same in all four */
};
void journal_header_encode(const struct journal_header *h, uint8_t *out); /* JOURNAL_BLOCK bytes */
MUST_USE enum err journal_header_decode(const uint8_t *in, struct journal_header *ret_header);

enum journal_kind { JOURNAL_ROUND = 1, JOURNAL_MARK = 2, JOURNAL_CLEAN = 3, JOURNAL_COPY = 4 };
struct journal_entry {
	uint16_t version;
	uint16_t kind;
	uint32_t length;   /* whole entry, multiple of JOURNAL_BLOCK */
	uint32_t used;     /* without the zeros at the end */
	uint32_t items_at; /* from the entry's start */
	uint32_t item_count;
	uint32_t epoch;
	uint64_t number;
	uint64_t first_sequence,
	    last_sequence;          /* of its frames; last = D after it, also without frames */
	uint64_t checkpoint_number; /* segments hold everything up to this entry */
	uint64_t producer_ids;      /* all below are reserved */
	uint64_t
	    lazy_bound; /* sequences below may have been told before they were durable; 0 = none */
	int64_t written_ns; /* wall clock */
	uint64_t items_hash, body_hash, header_hash;
};
/* TAIL: the bytes of a segment's last block before the entry's first frame in it (round.h, R5);
 * they come before all frames. */
enum journal_item_kind { JOURNAL_FRAME = 1, JOURNAL_TAIL = 2 };
struct journal_item {
	uint16_t kind;
	uint16_t flags; /* of the frame: FRAME_DIRECT: its bytes are not here */
	struct log_uuid topic_id;
	int32_t partition;
	int64_t segment;   /* base offset */
	uint32_t pos, len; /* in the segment; header and batch */
	uint32_t at;       /* of its bytes, from the entry's start */
	uint64_t sequence;
	uint64_t frame_hash; /* the frame's header_hash; TAIL: 0, as sequence */
};
struct journal_seed {
	uint64_t header, body;
};
struct journal_seed journal_seed_of(const uint8_t secret[16]);
void journal_item_encode(const struct journal_item *item, uint8_t *out);
struct journal_item journal_item_decode(const uint8_t *in);
/* Sets the three hashes of `e` over `buf` (length bytes: frames and items in place) and writes the
 * header. */
void journal_entry_seal(struct journal_entry *e, struct journal_seed seed, uint8_t *buf);
/* Header only: ERR_CORRUPT when it is none (structure, checksum, longer than `room`),
 * ERR_NEWER_FORMAT. */
MUST_USE enum err journal_entry_decode(
    const uint8_t *in, struct journal_seed seed, uint64_t room, struct journal_entry *ret_entry);
/* The rest of it: ERR_CORRUPT; *ret_items_good tells whether at least the items can be trusted. */
MUST_USE enum err journal_entry_check(const struct journal_entry *e, struct journal_seed seed,
    const uint8_t *buf, bool *ret_items_good);

/* ---- reading a journal file: recovery, dump, fsck -------------------------------------------- */

/*
 * Steps over a file in blocks, so that entries behind a bad one are found too. Reads it in large
 * pieces. The bodies of entries with a number below check_from (stale ones) are not looked at.
 */
struct journal_iter {
	struct io *io;
	int fd;
	struct journal_header header;
	struct journal_seed seed;
	uint64_t file_bytes; /* as long as the file is */
	uint64_t check_from; /* set after opening; 0 = check all */
	uint64_t pos;        /* of the next candidate */
	uint8_t *buf;        /* window on the file from buf_pos on */
	size_t capacity, len;
	uint64_t buf_pos;
	const struct around *around; /* set after opening; NULL = what cannot be read is an error */
};
struct journal_found {
	struct journal_entry entry;
	uint64_t pos;       /* in the file */
	const uint8_t *buf; /* entry.length bytes until the next call; NULL when stale or cut off by
	                       the end of the file */
	bool good;          /* header, items and bytes verify */
	bool items_good;    /* the items verify */
};
/* ERR_NOT_FOUND, ERR_CORRUPT, ERR_NEWER_FORMAT, ERR_IO. from: position to start at (0 = first
 * entry). */
MUST_USE enum err journal_iter_open(
    struct journal_iter *it, struct io *io, const char *path, uint64_t from);
void journal_iter_release(struct journal_iter *it);
/* Entries with a good header in file order, stale ones of earlier laps too. ERR_EOF at the end,
 * ERR_IO, ERR_NOMEM, ERR_NEWER_FORMAT. */
MUST_USE enum err journal_iter_next(struct journal_iter *it, struct journal_found *ret_found);
/* The entry at `pos` (for a second pass). ERR_NOT_FOUND when there is no good header. */
MUST_USE enum err journal_iter_at(
    struct journal_iter *it, uint64_t pos, struct journal_found *ret_found);
struct journal_item journal_found_item(const struct journal_found *f, uint32_t index);
const char *journal_file_name(unsigned file, char *buf); /* "journal-0"; buf of 16 bytes */

/* ---- writing --------------------------------------------------------------------------------- */

struct journal_file {
	int fd;
	uint64_t filled;      /* written with zeros or entries up to here; may be used */
	uint64_t limit;       /* file_bytes, less when it could not be filled */
	uint64_t last_number; /* of the newest entry in it, 0 = none */
};
struct journal {
	struct log *log;
	struct journal_file files[JOURNAL_FILES];
	uint64_t file_bytes;
	uint8_t secret[16];
	struct journal_seed seed;
	bool direct;      /* files are open with O_DIRECT */
	unsigned current; /* file */
	uint64_t pos;     /* of the next entry in it */
	uint64_t next_number;
	uint64_t checkpoint_number; /* entries up to here may be overwritten */
	struct pool_job fill;       /* writes zeros ahead */
	bool filling;
	unsigned fill_file;
	uint64_t fill_from, fill_to;
	uint64_t fill_write; /* bytes of one of its writes */
	enum err fill_err;
};
/*
 * Creates the files (only the head of the first is filled) or opens them; recovery sets the
 * position. Blocks. ERR_NOSPACE: they would not fit beside what is kept free.
 */
MUST_USE enum err journal_create(struct journal *j, struct log *log, uint64_t bytes);
MUST_USE enum err journal_open(struct journal *j, struct log *log);
void journal_close(struct journal *j);
/*
 * How many bytes of journal fit into a file system: `bytes`, or half of it, and so on; 0 = not even
 * JOURNAL_BYTES_MIN.
 */
MUST_USE enum err journal_fitting(
    struct io *io, const char *journal_dir, uint64_t bytes, uint64_t *ret_bytes);
/*
 * A start that finds the disk full: cuts files behind ends[], where their last entry that is needed
 * ends, so that there is room again. What is cut is filled again when there is plenty. Blocks.
 */
MUST_USE enum err journal_give_back(struct journal *j, const uint64_t ends[JOURNAL_FILES]);
/*
 * Where an entry of `len` bytes goes. ERR_AGAIN: not now, a checkpoint (*ret_checkpoint) or the
 * filling must come first.
 */
MUST_USE enum err journal_place(
    struct journal *j, uint64_t len, int *ret_fd, uint64_t *ret_pos, bool *ret_checkpoint);
/* Where the copy of the last entry goes (recovery): behind j->pos, which the caller has set to its
 * end. J4 keeps it free; ERR_AGAIN otherwise. */
MUST_USE enum err journal_place_copy(
    const struct journal *j, uint64_t len, unsigned *ret_file, uint64_t *ret_pos);
/* The entry `number` of `len` bytes at the place given by journal_place is durable. */
void journal_placed(struct journal *j, uint64_t len, uint64_t number);
/* Starts filling ahead on the pool if needed. */
void journal_fill(struct journal *j);
/* The longest entry that can ever be written. */
uint64_t journal_entry_max(const struct journal *j);
