/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Writing a data directory that nobody serves: what fsck --salvage, fsck --rebuild-journal,
 * fsck --adopt and import have in common. Blocking, any one thread.
 *
 *   segments          frames into the files of one partition, contiguous in offset; what is not
 *                     there is a HOLE frame                                     offline_part.c
 *   journal, record   empty journal files and a checkpoint record: a clean stop  offline_record.c
 *   catalog           rows, put by a log that is opened for it                   offline_catalog.c
 *
 * Order, so that a power cut leaves something that can be judged: segments and their names are
 * durable before the record that knows of them, the record before the catalog's rows.
 */
#include "log/catalog.h"
#include "log/engine.h"

/* ---- durability ------------------------------------------------------------------------------ */

/*
 * A new directory is worth nothing half written, so its files are not flushed one by one, but all
 * at once, before the one that makes it valid. Opened before the first of them is written, so that
 * no error of a write is missed.
 */
struct offline_sync {
	struct io *io;
	int fd; /* -1 = not open */
};
/* `dir` is there. */
MUST_USE enum err offline_sync_open(struct offline_sync *sync, struct io *io, const char *dir);
MUST_USE enum err offline_sync_all(const struct offline_sync *sync);
void offline_sync_close(struct offline_sync *sync);

/* ---- segments -------------------------------------------------------------------------------- */

struct offline_part {
	struct io *io;
	char dir[LOG_PATH_MAX]; /* of the partition, made by offline_part_open */
	struct partition_key key;
	char topic[TOPIC_NAME_MAX + 1];
	uint32_t epoch;      /* server epoch in segment headers and HOLE frames */
	uint32_t generation; /* of the segments that begin; above 0, so no server appends to them */
	/* where the next frame goes */
	int64_t next_offset;
	uint64_t last_sequence; /* of the last frame, 0 = none */
	uint64_t link;
	int64_t append_ns; /* of the last frame; never goes back */
	/* the segment that is written; fd -1 = none */
	int fd;
	bool roll; /* set by the caller: what comes next goes into a new segment */
	int64_t base;
	uint32_t base_generation;
	uint32_t pos;
	struct frame_seed seed;
	struct writer buf;  /* the file's bytes from buf_pos on */
	size_t write_bytes; /* at a time; the caller may set less */
	uint32_t buf_pos;
	struct index index;
	struct txns txns; /* those that are open at next_offset */
	/* what was written */
	uint64_t frames, holes, bytes;
	int64_t hole_offsets;
};
/*
 * Makes `dir`/`name` (ERR_EXISTS), of which nothing is durable before offline_sync_all. The first
 * frame or hole begins at start_offset. topic_name is copied.
 */
MUST_USE enum err offline_part_open(struct offline_part *part, struct io *io, const char *dir,
    const char *name, struct partition_key key, struct str topic_name, int64_t start_offset);
/*
 * Appends one batch with the frame fields of `meta` (sequence, append time, principal, D, epoch;
 * links and checksums are made anew). Its base offset is next_offset, its sequence above the last.
 */
MUST_USE enum err offline_part_frame(
    struct offline_part *part, const struct frame *meta, struct bytes batch);
/*
 * HOLE frames over [next_offset, to_offset): at least `batches` batches with sequences from
 * first_sequence to last_sequence were there.
 */
struct offline_hole {
	int64_t to_offset;
	uint64_t first_sequence, last_sequence, batches;
};
MUST_USE enum err offline_part_hole(struct offline_part *part, struct offline_hole hole);
/*
 * All written, nothing durable; *ret_row is the partition's row of a checkpoint record, log_end 0
 * when empty.
 */
MUST_USE enum err offline_part_close(struct offline_part *part, struct checkpoint_row *ret_row);
/* After close, or to give up (the files stay). */
void offline_part_release(struct offline_part *part);

/* A frame's batch, for the transactions that are open behind it. ERR_NOMEM. */
MUST_USE enum err offline_txns_note(struct txns *txns, const struct frame *f, struct bytes batch);
/* What the checkpoint record's row says of them (FORMAT.md). */
uint64_t offline_txns_row(const struct txns *txns, int64_t end);

/* ---- journal and record ---------------------------------------------------------------------- */

/* Rows of a record that grow; header.row_count is set when it is written. */
struct offline_record {
	struct checkpoint_record record;
	size_t capacity;
};
void offline_record_release(struct offline_record *r);
MUST_USE enum err offline_record_put(struct offline_record *r, const struct checkpoint_row *row);
struct checkpoint_row *offline_record_row(struct offline_record *r, struct partition_key key);
/* The newest good record of a journal's directory. ERR_NOT_FOUND. */
MUST_USE enum err offline_record_read(
    struct io *io, const char *journal_dir, struct offline_record *ret_record);
/* Writes it, counter + 1, into its slot, durably. */
MUST_USE enum err offline_record_write(
    struct io *io, const char *journal_dir, struct offline_record *r);
/* Empty journal files in a directory, which is made if missing; bytes = of all four. */
MUST_USE enum err offline_journal_make(struct io *io, const char *journal_dir, uint64_t bytes);

/* ---- catalog --------------------------------------------------------------------------------- */

/* Opens the log of a data directory for `fn` on a loop of its own, and stops it cleanly. */
struct offline_open {
	const char *journal_dir; /* as of log_options */
	struct io *io;
	const char *data_dir;
	uint64_t journal_bytes;         /* when it is made; 0 = default */
	const char *accept_lost_suffix; /* as of log_options */
	bool unfinished;                /* the same */
};
MUST_USE enum err offline_with_log(
    const struct offline_open *open, enum err (*fn)(void *ctx, struct log *log), void *ctx);
/* A topic's row as it shall be; known after the next start. configs: as of log_topic_req. */
struct offline_topic {
	struct str name;
	struct log_uuid id;
	int32_t partitions;
	const struct str (*configs)[2];
	size_t config_count;
};
MUST_USE enum err offline_put_topic(struct log *log, const struct offline_topic *topic);
/* Log start and leader epoch of a partition whose topic has no row yet: known with it. */
MUST_USE enum err offline_put_early(struct log *log, const struct catalog_partition_row *row);
/* One row about a partition that the log has, waiting for it; sets row->done. */
MUST_USE enum err offline_put_partition(struct log *log, const struct catalog_partition_row *row);
