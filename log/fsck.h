/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * log_fsck from inside: what a start would find, without changing anything but caches. In order:
 *
 *   fsck_journal     checkpoint record and journal: what each partition must have, and the frames
 *                    that a start would put back                              fsck_journal.c
 *   fsck_partitions  every segment, frame by frame, with its index and snapshot   fsck_partition.c
 *   fsck_catalog     topics: what has no data, and what data has no topic         fsck_catalog.c
 *   fsck_sequences   over all partitions: given once, and every hole named   fsck_sequence.c
 *   fsck_quarantine  what earlier starts cut and kept                              fsck_report.c
 *
 * Salvage, the new journal and the adoption of orphans are the same walk with a sink that is shown
 * every frame and does more with it.
 *
 * Where the disk does not read the walk goes on behind it: each range is a line of its own, frames
 * in it are DAMAGED, and where record or journal are concerned no end is believed in
 * (fsck_unread.c).
 *
 * Each finding is one line `verdict=NAME ...`, NAME from err.def. What is served after the next
 * start (REBUILT, REPAIRED, TORN_*) leaves the result good.
 */
#include "log/batch.h"
#include "log/catalog_row.h"
#include "log/checkpoint.h"
#include "log/journal.h"
#include "log/journal_where.h"
#include "log/partition.h"

struct fsck;

/* A frame in the journal that its segment may lack. */
struct fsck_frame {
	struct partition_key key;
	int64_t segment;
	uint32_t pos, len;
	uint64_t sequence;
	bool direct; /* its bytes are not in the journal */
	uint64_t frame_hash;
	unsigned file; /* where they are */
	uint64_t file_pos;
	uint64_t number; /* of its entry: a later one at the same place wins */
};
/*
 * The last block of a segment as it was before an entry's frames: a power cut may have spoiled it.
 */
struct fsck_image {
	struct partition_key key;
	int64_t segment;
	uint32_t pos, len;
	unsigned file;
	uint64_t file_pos;
	uint64_t number;
};
/* Where a partition must at least end, by checkpoint and journal. */
struct fsck_end {
	struct partition_key key;
	int64_t log_end; /* exclusive; -1 = not known (a direct frame) */
	int64_t segment;
	uint32_t segment_end;
	uint64_t last_sequence;
	bool found; /* its directory is there */
};
struct fsck_topic {
	struct log_uuid id;
	int32_t partitions;
	bool trash;
	char name[TOPIC_NAME_MAX + 1];
};

/* A frame as the walk found it. */
struct fsck_seen {
	const char *dir;
	struct partition_key key;
	int64_t segment;
	uint32_t pos;
	const struct frame *frame;
	struct bytes raw;  /* from_journal: the frame with its header */
	struct bytes body; /* of a HOLE too; empty when it does not verify */
	const char *fault; /* why it is DAMAGED, NULL = it is not */
	bool whole;        /* every checksum verifies; a fault is one of place or order */
	bool from_journal; /* REPAIRED: it is not in the segment like this */
};
/* Who wants to see what the walk sees; any member may be NULL. In order of partition and offset. */
struct fsck_sink {
	void *ctx;
	/* before anything is read, the locks are held */
	enum err (*begin)(void *ctx, struct fsck *f);
	/* record and journal have been read */
	enum err (*journal)(void *ctx, struct fsck *f);
	/*
	 * Is this partition to be walked over? Then nothing else of the directory is judged, and
	 * only what is not served is told. The catalog comes first.
	 */
	enum err (*wants)(void *ctx, struct fsck *f, struct partition_key key, bool *ret_wanted);
	/* lowest: base offset of the first segment by its file name */
	enum err (*partition)(void *ctx, struct fsck *f, const char *dir, int64_t lowest);
	/* its header verifies and frames of it follow */
	enum err (*segment)(
	    void *ctx, struct fsck *f, const char *dir, const struct segment_header *h);
	enum err (*frame)(void *ctx, const struct fsck_seen *seen);
	/* pos: behind the last frame that the walk reached, in the last segment */
	enum err (*partition_end)(
	    void *ctx, struct fsck *f, const char *dir, const struct fsck_end *end);
	/* after everything, the lock still held */
	enum err (*finish)(void *ctx, struct fsck *f);
	bool ends_unknown; /* take every frame that verifies: nothing is torn */
	bool only_reads;   /* nothing is written: others may read, too */
	bool reads_all;    /* what cannot be read of a partition is the end of the walk */
};

/* ---- what cannot be read: fsck_unread.c ------------------------------------------------------ */

#define FSCK_UNREAD "cannot be read"
struct fsck_range {
	uint64_t from, to;
};
/* Of one file. Each range is a finding of `verdict`, once. */
struct fsck_unread {
	struct around around; /* for those who read the file */
	struct fsck *f;
	enum err verdict;
	char what[TOPIC_NAME_MAX + 64]; /* "file=..." */
	uint64_t limit;                 /* what is behind it is nobody's loss */
	uint64_t told;
	struct fsck_range *range;
	size_t count, capacity;
};
void fsck_unread_init(struct fsck_unread *unread, struct fsck *f, enum err verdict, const char *fmt,
    ...) PRINTF(4, 5);
void fsck_unread_release(struct fsck_unread *unread);
/* As io_read_file. */
MUST_USE enum err fsck_read_file(
    struct io *io, const char *path, size_t limit, struct bytes *ret_content);
bool fsck_unread_has(const struct fsck_unread *unread, uint64_t from, uint64_t to);
/*
 * The first place of a segment file from `from` on where a frame header verifies: where to go on
 * when no index tells. ERR_NOT_FOUND, ERR_IO, ERR_NOMEM.
 */
struct fsck_scan {
	struct io *io;
	int fd;
	struct frame_seed seed;
	uint64_t end;
	const struct around *around;
};
MUST_USE enum err fsck_next_frame(const struct fsck_scan *scan, uint64_t from, uint64_t *ret_pos);

/* Which sequences somebody has, over all partitions. */
struct fsck_sequences {
	struct checkpoint_gap *rotten; /* what bad journal entries had */
	size_t rotten_count, rotten_capacity;
	uint64_t **chunks; /* a bit each; NULL = nobody has any of these */
	size_t chunk_count;
	uint64_t count, last, twice, beyond;
	struct checkpoint_gap *holes; /* what HOLE frames and gaps name */
	size_t hole_count, hole_capacity;
	uint64_t named; /* batches that these say are gone; of a hole that salvage or import made,
	                   at least */
	bool deleted;   /* records or topics were, so holes need no name */
};

struct fsck {
	struct io *io;
	const char *data_dir;
	struct log_fsck_options options;
	log_print print;
	void *ctx;
	const struct fsck_sink *sink; /* NULL = only look */
	struct journal_where where;   /* the journal's directory */
	enum err no_journal;          /* why it is not looked at; ERR_OK = it is */
	struct writer line;
	bool bad;          /* something is not served */
	bool lossy;        /* ... and it is said what */
	bool ends_unknown; /* record or journal could not be read whole: nothing is judged torn */
	uint64_t bytes_done, bytes_total; /* of segment files */
	uint64_t partitions, segments, frames_read, bytes, findings;
	/* journal */
	struct checkpoint_record record;
	bool record_found;
	uint64_t last_number;      /* of the entries that could be read */
	struct fsck_frame *frames; /* sorted by key, segment, pos */
	size_t frame_count, frame_capacity;
	struct fsck_image *images; /* sorted by number */
	size_t image_count, image_capacity;
	struct map ends; /* struct fsck_end by key */
	int journal_fd[JOURNAL_FILES];
	/* catalog */
	struct map topics; /* struct fsck_topic by id, those in trash too */
	struct map rows;   /* struct fsck_row by key */
	bool catalog_read;
	struct fsck_sequences sequences;
	/* partitions whose directories are there */
	struct fsck_found {
		struct partition_key key;
		char *dir;
	} * found;
	size_t found_count, found_capacity;
};
struct fsck_row {
	struct bytes key, value;
	uint8_t data[];
};

/*
 * Takes the directory's lock, checks everything, calls the sink. ERR_LOCKED, ERR_NOT_FOUND;
 * ERR_CORRUPT when not everything is served (with a sink: ERR_OK, its `finish` decides).
 */
MUST_USE enum err fsck_walk(struct io *io, const char *data_dir,
    const struct log_fsck_options *options, const struct fsck_sink *sink, log_print print,
    void *ctx);
/* One finding: `verdict=NAME ` and the rest in logfmt. Marks the result as bad where it is. */
void fsck_find(struct fsck *f, enum err verdict, const char *fmt, ...) PRINTF(3, 4);
/* "<data>/..." into buf of LOG_PATH_MAX. */
MUST_USE enum err fsck_path(const struct fsck *f, char *buf, const char *fmt, ...) PRINTF(3, 4);

/* A file of the journal's directory into buf of LOG_PATH_MAX. */
/* The directories below topics/; none where that is gone, so each partition is found to be lost. */
MUST_USE enum err fsck_list_topics(const struct fsck *f, struct io_names *ret_names);
MUST_USE enum err fsck_journal_path(const struct fsck *f, char *buf, const char *name);
MUST_USE enum err fsck_journal(struct fsck *f);
/*
 * The frame that the journal has for this place: header and batch in `out`, verified.
 * ERR_NOT_FOUND.
 */
MUST_USE enum err fsck_journal_frame(
    struct fsck *f, const struct fsck_frame *place, struct frame_seed seed, struct writer *out);
/* Where the journal's images of blocks of a segment lie; both 0 when there are none. */
void fsck_images_range(const struct fsck *f, struct partition_key key, int64_t segment,
    uint32_t *ret_from, uint32_t *ret_to);
/*
 * Puts what the journal's images have of [pos, pos + len) of a segment over `buf`. *ret_any: there
 * was something.
 */
MUST_USE enum err fsck_overlay(
    struct fsck *f, const struct fsck_image *place, uint8_t *buf, bool *ret_any);
/* The journal's entry for a place, NULL when it has none. */
const struct fsck_frame *fsck_frame_at(
    const struct fsck *f, struct partition_key key, int64_t segment, uint32_t pos);
/*
 * Do the DIRECT frames of entry `number`, the last one, verify in their segments? If not, its round
 * was never acknowledged: what was taken from it is forgotten.
 */
MUST_USE enum err fsck_direct(struct fsck *f, uint64_t number, bool *ret_holds);
struct fsck_end *fsck_end_of(const struct fsck *f, struct partition_key key);

MUST_USE enum err fsck_partitions(struct fsck *f);
/* A batch has this sequence. ERR_NOMEM. */
MUST_USE enum err fsck_sequence(struct fsck *f, const char *dir, uint64_t sequence);
/* A bad entry of the journal had these: LOST_SUFFIX when nothing has them. ERR_NOMEM. */
MUST_USE enum err fsck_sequence_rotten(struct fsck *f, uint64_t first, uint64_t last);
/* Something names `batches` of these as gone. ERR_NOMEM. */
MUST_USE enum err fsck_sequence_hole(
    struct fsck *f, uint64_t first, uint64_t last, uint64_t batches);
/* After partitions and catalog: what nobody has, and what somebody has twice. */
MUST_USE enum err fsck_sequences(struct fsck *f);
void fsck_sequences_release(struct fsck *f);
/* `len` more bytes of segments are done. */
void fsck_progress(struct fsck *f, uint64_t len);
/* The size of all segment files, for progress: what cannot be listed is told by the walk. */
void fsck_measure(struct fsck *f);
/* A line of another tool, in fsck's form. */
struct fsck_teller {
	bool json;
	log_print print; /* NULL = nobody listens */
	void *ctx;
};
void fsck_tell(const struct fsck_teller *to, enum err verdict, const char *fmt, ...) PRINTF(3, 4);
/* One line per file in quarantine/. */
MUST_USE enum err fsck_quarantine(struct fsck *f);
/* Writes a line of logfmt as a JSON object. */
void fsck_json(struct writer *out, struct str logfmt);
/* A frame of a partition was read (`batch` verified): the catalog's are taken as rows. */
MUST_USE enum err fsck_catalog_batch(struct fsck *f, struct bytes batch);
/* log_start of a partition by the rows read so far, 0 when they do not say. ERR_NOMEM. */
MUST_USE enum err fsck_log_start(
    const struct fsck *f, struct partition_key key, int64_t *ret_log_start);
/* Does a row read so far say that the offsets [from, to) are gone? ERR_NOMEM. */
MUST_USE enum err fsck_gap_named(
    const struct fsck *f, struct partition_key key, struct fsck_range offsets, bool *ret_named);
MUST_USE enum err fsck_catalog(struct fsck *f);
void fsck_catalog_release(struct fsck *f);
