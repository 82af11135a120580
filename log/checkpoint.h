/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Checkpoints: segments written since the last one are flushed on the pool, every 5 s or 64 MiB,
 * then the checkpoint record says up to which journal entry everything is in its segment, and that
 * journal space is free.
 *
 * The record is one of three files, <journal>/checkpoint-0 to -2, written in place in turn (no
 * space is needed on a full disk). Three, because after a stop that was not clean the newest may be
 * whole in the page cache only: the one before it stays until a newer one is durable. Besides the
 * number it holds what recovery must know of partitions whose frames have left the journal: where
 * each one ends. That is how a lost suffix is noticed.
 *
 * A checkpoint begins between two rounds, so that each round is wholly before or behind it
 * (round.h, R5).
 *
 * States: IDLE -> FLUSHING (segments and indexes, pool) -> RECORDING (the record, pool) -> IDLE
 */
#include "log/log.h"

enum {
	CHECKPOINT_MAGIC = 0x504b504b /* "KPKP" */,
	CHECKPOINT_VERSION = 1,
	CHECKPOINT_SLOTS = 3,
	CHECKPOINT_HEADER_BYTES = 128,
	CHECKPOINT_ROW_BYTES = 64,
	CHECKPOINT_GAP_BYTES = 16
};

struct checkpoint_header {
	uint16_t version;
	bool clean; /* written by a clean stop, after the CLEAN entry */
	uint32_t epoch;
	uint64_t counter;      /* the highest of the good records is the one */
	uint64_t number;       /* journal entry up to which segments are durable */
	uint32_t journal_file; /* where the entry behind it begins */
	uint64_t journal_pos;
	uint64_t sequence; /* D at `number` */
	uint64_t producer_ids;
	uint64_t lazy_bound;
	int64_t last_append_ns;
	int64_t written_ns;
	uint64_t row_count;
	uint32_t gap_count;
};
/* Sequences that were burnt: kept in the record until the catalog has named them. */
struct checkpoint_gap {
	uint64_t first, last;
};
enum { CHECKPOINT_GAPS_MAX = 64 };
struct checkpoint_row {
	struct log_uuid topic_id;
	int32_t partition;
	int64_t log_end;      /* exclusive */
	int64_t segment;      /* base offset of the last segment */
	uint32_t segment_end; /* its size */
	uint64_t last_sequence;
	uint64_t last_link;
	uint64_t transactions; /* 0: never had any; else 1 + its last stable offset */
};
void checkpoint_row_encode(const struct checkpoint_row *r, uint8_t *out); /* CHECKPOINT_ROW_BYTES */
void checkpoint_gap_encode(
    const struct checkpoint_gap *gap, uint8_t *out); /* CHECKPOINT_GAP_BYTES */
/* Writes the header of a record whose rows, then gaps are in place behind it; `len` is the whole
 * record. */
void checkpoint_header_encode(const struct checkpoint_header *h, uint8_t *record, size_t len);
struct checkpoint_record {
	struct checkpoint_header header;
	struct checkpoint_row *rows; /* heap */
	struct checkpoint_gap gaps[CHECKPOINT_GAPS_MAX];
};
/* [any thread] Reads one file. ERR_NOT_FOUND, ERR_CORRUPT, ERR_NEWER_FORMAT; ERR_NO_JOURNAL: what
 * is there is no file, and no record can be written there. */
MUST_USE enum err checkpoint_read(
    struct io *io, const char *path, struct checkpoint_record *ret_record);
void checkpoint_record_release(struct checkpoint_record *r);
const char *checkpoint_file_name(unsigned slot, char *buf); /* "checkpoint-0"; buf of 16 bytes */

struct checkpoint_flush; /* one pool job */
struct checkpointer {
	struct log *log;
	enum checkpoint_state { CHECKPOINT_IDLE, CHECKPOINT_FLUSHING, CHECKPOINT_RECORDING } state;
	struct loop_timer timer;
	struct loop_timer spare_timer; /* gives back what the indexes had in memory */
	struct list dirty;             /* struct segment */
	size_t dirty_count;
	uint64_t dirty_bytes;       /* since the last checkpoint began */
	bool wanted;                /* another one right after this */
	uint64_t counter;           /* of the newest record */
	uint64_t recorded_sequence; /* D when the newest record was begun */
	uint64_t started_number;    /* of the newest checkpoint begun: replay may begin behind it */
	struct checkpoint_header header; /* of the one under way */
	struct writer record;
	unsigned jobs; /* flushes out */
	enum err err;
	int64_t started_ns;
	struct list flushing; /* struct segment */
	struct pool_job job;  /* the record's */
	bool clean;
	bool recorded_clean; /* the newest record says so */
	bool retreated;      /* some segment could not be flushed now: no record */
	bool unnamed;        /* a record was put into a file whose name may not be durable */
	bool no_room; /* the last record met a full disk: appends wait, no try before retry_ns */
	int64_t retry_ns;
};
void checkpointer_init(struct checkpointer *c, struct log *log);
void checkpointer_release(struct checkpointer *c);
/*
 * Room for the records of a journal on a disk of its own, so that nobody else can take it: they are
 * written over in place. Before the journal's files, at each start. ERR_NOSPACE.
 */
MUST_USE enum err checkpoint_reserve(struct log *log, uint64_t rows);
/* Starts one, unless a round is in flight (then between it and the next) or one is under way (then
 * another follows). */
void checkpoint_start(struct checkpointer *c);
/* No round is in flight now: starts what is wanted. */
void checkpoint_between(struct checkpointer *c);
/* What index files will take of the disk for what is dirty now. */
uint64_t checkpoint_growth(const struct checkpointer *c);
/* A round wrote `len` bytes to `s`. */
struct segment;
void checkpoint_dirty(struct checkpointer *c, struct segment *s, uint64_t len);
/* Its file goes, or is gone: it is not flushed. */
void checkpoint_forget(struct checkpointer *c, struct segment *s);
/* `s` is sealed and was not dirty: its index is to be sealed with the next checkpoint. */
void checkpoint_seal(struct checkpointer *c, struct segment *s);
/* `s` is dirty and in no list (recovery held it back): its index, if that lacks something, is
 * written with the next checkpoint. */
void checkpoint_take_back(struct checkpointer *c, struct segment *s);
/* Blocks (turns the loop) until everything is flushed and recorded; start-up and stop. */
MUST_USE enum err checkpoint_finish(struct checkpointer *c, bool clean);
