/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A segment: one file of frames behind a 4 KiB header, and its index. States:
 *
 *   ACTIVE   the last of its partition: rounds append to it      segment_create, recovery
 *   SEALED   never written again                                 segment_seal, at the roll
 *            compaction and recompression put a new generation in its place, another file
 *   GONE     unlinked as soon as no lease and no read holds it   partition_trim, partition_delete
 *
 * `size` moves when a round is complete: bytes below it are in the file, verified by their
 * checksums, and for synced topics durable. Owner: its partition.
 */
#include "log/around.h"
#include "log/descriptor.h"
#include "log/index.h"

struct log;
struct log_partition;

struct segment {
	struct list_node node; /* in the partition, by base offset */
	struct log_partition *partition;
	int64_t base_offset;
	int64_t end_offset;      /* exclusive, visible */
	uint64_t first_sequence; /* of its first frame or a lower bound */
	uint64_t last_sequence;  /* of its last visible frame; 0 = empty */
	uint32_t size;           /* exclusive end of visible bytes */
	uint32_t epoch, generation;
	uint32_t file_generation;       /* the one in its file names; 0: names without */
	struct segment_rewrite rewrite; /* what its header says of it, generation > 0 */
	uint8_t secret[16];
	struct frame_seed seed;
	uint64_t previous_link; /* of its header */
	uint64_t last_link;     /* of its last visible frame, else the header's previous_link */
	/* the same for what is durable: behind it only for topics that opted out */
	uint32_t durable_size;
	uint64_t durable_sequence, durable_link;
	int64_t last_append_ns; /* of its last visible frame; 0 = empty */
	int64_t noted_ns;       /* loop time of that append, or when it was found */
	uint64_t tail_number; /* journal entry with the newest image of its last block (round.h) */
	int64_t created_ns;   /* wall clock: segment.ms counts from here */
	struct index index;
	struct descriptor file;       /* through the page cache */
	struct descriptor direct;     /* past it: DIRECT frames */
	struct descriptor index_file; /* for lookups */
	uint64_t direct_round;        /* number of the last one that flushed it for DIRECT frames */
	struct index_checking *checking; /* index_check.c: its index file is being checked */
	unsigned holds;                  /* leases and reads in flight */
	unsigned frames_pending;         /* stamped, their round not complete */
	bool keep_snap;    /* gone, but its snapshot stays: another generation has its base */
	int codec_seen;    /* recompress.c: 1 + the codec that none of its batches lacks */
	bool index_sealed; /* its file says so */
	bool
	    index_replaced; /* index_file may be of the file that was there before: index_check.c */
	bool read_direct;   /* somebody has read it past the page cache: read.c */
	bool sealed;
	bool gone;
	bool replayed; /* recovery: the journal has frames of it */
	bool bad_end; /* recovery: its last bytes do not verify, and no index says what they were */
	bool dirty;   /* written since its last flush: `file` is pinned */
	struct list_node dirty_node;
	struct list_node behind_node; /* behind.h */
	uint32_t behind_from;         /* pages from here on were not handed to the disk */
	uint32_t behind_counted;      /* of them, in rest_bytes */
};

/*
 * File names: 20 digits of base offset and a suffix (".log", ".idx", ".snap"); .log and .idx of a
 * later generation carry its number: "00000000000000000042.g3.log".
 */
enum { SEGMENT_NAME_BYTES = 48 };
const char *segment_name(int64_t base_offset, const char *suffix, char *buf);
const char *segment_name_of(
    int64_t base_offset, uint32_t generation, const char *suffix, char *buf);
/* Of this segment's own files. */
const char *segment_file_name(const struct segment *s, const char *suffix, char *buf);
/* Parses "00000000000000000042.log"; false for anything else. */
bool segment_name_parse(const char *name, const char *suffix, int64_t *ret_base_offset);
/* The same, or with a generation in it (0 when there is none). */
bool segment_name_parse_of(
    const char *name, const char *suffix, int64_t *ret_base_offset, uint32_t *ret_generation);

/* [any thread] Creates dir/<base>.log with its header, durably (file, then directory); on failure
 * the name is free again as far as possible, and a file without frames that such a failure has left
 * is replaced. ERR_EXISTS, ERR_NOSPACE, ERR_IO. */
MUST_USE enum err segment_file_create(
    struct io *io, const char *dir, const struct segment_header *header);
/* [any thread] Removes a file that was made for a roll which failed: the log goes on without it. */
void segment_file_leave(struct io *io, const char *path);
/* [any thread] Reads and checks the header of an open segment file. The name goes into name_buf
 * (TOPIC_NAME_MAX + 1). */
MUST_USE enum err segment_file_header(
    struct io *io, int fd, char *name_buf, struct segment_header *ret_header);

MUST_USE enum err segment_new(
    struct log_partition *p, const struct segment_header *header, struct segment **ret_segment);
void segment_free(struct segment *s);

/* ---- reading frames one after the other, blocking: recovery, scan, dump, fsck, tables -------- */

/*
 * Walks the frames of an open segment file from `pos` to `end` with large reads. Each frame's
 * header, and with check_body its body, is verified. PAD and HOLE frames are passed over unless
 * they are asked for; padding then whatever its bytes are. [any thread, one at a time]
 */
struct segment_walk {
	struct io *io;
	int fd;
	struct frame_seed seed;
	uint32_t pos, end; /* of the next frame; exclusive bound (file size when reading a closed
	                      directory) */
	bool check_body;
	bool holes;     /* HOLE frames are returned too, with their body as the batch */
	bool want_pads; /* padding is returned like a frame */
	bool
	    bad_header; /* after ERR_CORRUPT: it is the header at `pos`, and nothing was returned */
	uint8_t *buf;
	size_t capacity, len; /* bytes of the file from buf_pos on */
	uint32_t buf_pos;
	size_t read_bytes;           /* size of a read */
	const struct around *around; /* NULL: what cannot be read is the error of the walk */
};
/* read_bytes 0 = 1 MiB. */
void segment_walk_init(
    struct segment_walk *w, struct io *io, int fd, struct frame_seed seed, size_t read_bytes);
void segment_walk_release(struct segment_walk *w);
/* Moves to another position (of the same file) or, with segment_walk_file, another file, keeping
 * the buffer. */
void segment_walk_range(struct segment_walk *w, uint32_t pos, uint32_t end);
void segment_walk_file(struct segment_walk *w, int fd, struct frame_seed seed);
/*
 * The frame at w->pos. ERR_EOF at `end`. ERR_CORRUPT: header (bad_header is set, nothing is
 * returned, and pos is that of the bad frame: behind what was passed over) or body (the frame and
 * its pos are returned and pos moves behind it, since the length can be trusted). The batch is
 * valid until the next call.
 */
MUST_USE enum err segment_walk_next(
    struct segment_walk *w, struct frame *ret_frame, uint32_t *ret_pos, struct bytes *ret_batch);
/*
 * Is the open file the segment with that secret? Who reads what he opened by name may have another
 * one: a topic was deleted, and one of its name made (who writes: partition_name_hold).
 * ERR_NOT_FOUND: it is not; errors of reading and of the header. [any thread]
 */
MUST_USE enum err segment_check_file(struct io *io, int fd, struct frame_seed seed);
/*
 * Does the frame at `pos` of an open segment file hold `offset`? Only then an index that says so is
 * believed: its entries ascend, and a flipped bit in one of them leads a search to another. False
 * also when that cannot be read. [any thread]
 */
bool segment_frame_holds(
    struct io *io, int fd, struct frame_seed seed, uint32_t pos, int64_t offset);
