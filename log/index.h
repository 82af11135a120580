/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The dense index of one segment: one 32-byte entry per frame (HOLE too), in a file beside it. A
 * cache: what it says of an offset counts only if the frame it points to has the offset, what it
 * says of a time or a sequence only when the file was checked (index_check.h). A missing or bad
 * file is rebuilt from the segment.
 *
 *   file    index header (64 bytes), then entries; written by the checkpointer, never by the loop
 *   memory  entries since the last checkpoint (`fresh`), and those a checkpoint is writing
 * (`writing`)
 *
 * Order: entries ascend in base offset, pos, sequence; max_timestamp_ms is a running maximum.
 */
#include "log/frame.h"
#include "log/index_run.h"

enum { INDEX_MAGIC = 0x58494b4b /* "KKIX" */, INDEX_VERSION = 1, INDEX_HEADER_BYTES = 64 };
enum index_flags { INDEX_SEALED = 1 /* count, size and hash are final */ };

struct index_header {
	uint16_t version;
	uint16_t flags;
	int64_t base_offset;
	uint64_t count;         /* entries, when sealed */
	uint32_t segment_bytes; /* size of the segment, when sealed */
	uint32_t generation;    /* of the segment it belongs to */
	int64_t last_append_ns; /* append time of its last frame, when sealed */
	uint64_t entries_hash;  /* XXH3-64 of all entries, when sealed */
	int64_t end_offset;     /* exclusive, of its last frame, when sealed; 0 = not said */
};
void index_header_encode(const struct index_header *h, uint8_t *out);
MUST_USE enum err index_header_decode(
    const uint8_t *in, struct index_header *ret_header); /* CORRUPT, NEWER_FORMAT */

void index_entry_encode(const struct index_entry *e, uint8_t *out);
struct index_entry index_entry_decode(const uint8_t *in);

struct index {
	uint64_t file_count;      /* entries in the file that hold */
	struct index_run writing; /* being written by a checkpoint: after file_count */
	struct index_run fresh;   /* after those */
	size_t promised;          /* entries that index_push may still bring without failing */
	int64_t max_timestamp_ms; /* of the last entry, -1 when empty */
	/* the sum of the first `summed` entries of the file, as this process wrote or checked them:
	 * a seal vouches for those, not for what the file says by then */
	uint64_t sum, summed;
	bool trusted; /* the file was written or checked by this process: index_check.h */
	bool bad;     /* it does not hold, and its frames do not either */
	struct index_spare *spare; /* NULL: memory comes from the system and goes back to it */
};
/* `spare` outlives it; may be NULL. */
void index_init(struct index *x, struct index_spare *spare);
void index_release(struct index *x);
static inline uint64_t index_count(const struct index *x)
{
	return x->file_count + x->writing.count + x->fresh.count;
}
/* Makes room so that one more index_push cannot fail: each push needs one promise. */
MUST_USE enum err index_promise(struct index *x);
void index_push(struct index *x, struct index_entry e);
/* Moves `fresh` to `writing`; false when there is nothing to write or no memory. What a failed
 * attempt left in `writing` goes first. */
bool index_write_begin(struct index *x);
/* The maximum of the file's entries is `max_ms`: raises those behind them. False: not all of them,
 * because a checkpoint is writing some. */
MUST_USE bool index_raise(struct index *x, int64_t max_ms);
/* After the file has them (ok), or puts them back before `fresh`. */
void index_write_end(struct index *x, bool ok);
/* [any thread] Appends `run` to the open index file behind `file_count` entries, without flushing.
 * *sum, of those before, goes on over it. */
MUST_USE enum err index_write(
    struct io *io, int fd, uint64_t file_count, const struct index_run *run, uint64_t *sum);
/* [any thread] The sum of the first `count` entries of an open index file, 0 for none. */
MUST_USE enum err index_file_sum(struct io *io, int fd, uint64_t count, uint64_t *ret_sum);

/* [any thread] XXH3-64 of the first `count` entries of an open index file, as in its sealed header.
 */
MUST_USE enum err index_file_hash(struct io *io, int fd, uint64_t count, uint64_t *ret_hash);
/* The same of entries in memory. */
uint64_t index_bytes_hash(struct bytes entries);

enum index_key { INDEX_BY_OFFSET, INDEX_BY_TIMESTAMP, INDEX_BY_SEQUENCE };
/*
 * What a search looks for: by offset, the last entry with base_offset <= key; by timestamp, the
 * first with max_timestamp_ms >= key; by sequence, the first with sequence >= key.
 */
struct index_probe {
	enum index_key by;
	uint64_t key; /* offsets and timestamps cast */
};
/*
 * Searches the entries in memory. ERR_OK with the entry and its number; ERR_NOT_FOUND: no such
 * entry in the whole index; ERR_AGAIN: it is in the file, among the first file_count.
 */
MUST_USE enum err index_find_memory(const struct index *x, struct index_probe probe,
    struct index_entry *ret_entry, uint64_t *ret_number);
/* Entry `number` of the whole index, which is in memory: file_count <= number < index_count. */
const struct index_entry *index_memory_entry(const struct index *x, uint64_t number);
/* [any thread] Searches the first `count` entries of an open index file. ERR_NOT_FOUND, ERR_IO. */
MUST_USE enum err index_find_file(struct io *io, int fd, uint64_t count, struct index_probe probe,
    struct index_entry *ret_entry, uint64_t *ret_number);
/* The same as far as the page cache has it, without waiting: ERR_AGAIN. The loop may call it. */
MUST_USE enum err index_find_now(struct io *io, int fd, uint64_t count, struct index_probe probe,
    struct index_entry *ret_entry, uint64_t *ret_number);
