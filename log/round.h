/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Commit rounds: group commit without timers. Two rounds take turns: one is in flight, the other collects.
 *
 *   IDLE        empty
 *   COLLECTING  appends are checked, stamped and copied into the entry buffer      round_admit
 *   WRITING     journal entry and segment writes are in the air                     round_start
 *   FLUSHING    the entry is written, its fdatasync runs                            round_entry_written
 *   done        both the flush and all segment writes have returned: ends move, requests are answered, the other
 *               round starts                                                        round_complete
 *
 * An append that must wait (next segment, descriptor, producer state, room in the round or the journal) stays in `waiting`; those behind
 * it pass unless they share a partition with it. A set (one log_append call) goes into one round, whole.
 *
 * Invariants
 *   R1 sequences and offsets are given in the order of admission; a partition's frames are contiguous in its segment
 *   R2 nothing of a round is visible before all of it is durable (but topics that opted out)
 *   R3 one round in flight: the journal's last entry is the only one that can be torn
 *   R4 no round starts unless its bytes are within the space budget: a full disk is met before the journal is written
 */
#include "log/log.h"

struct segment;

enum round_state { ROUND_IDLE, ROUND_COLLECTING, ROUND_WRITING, ROUND_FLUSHING };
enum { ROUND_FRAMES_MAX = 8192 };

/* One frame of a round. */
struct round_frame {
	struct log_append *req;
	struct round_stretch *stretch;
	uint32_t at;  /* in the entry buffer */
	uint32_t len; /* header and batch */
	uint32_t pos; /* in the segment */
	uint32_t records;
	uint64_t sequence;
	uint64_t frame_hash;
	uint64_t link;
	int64_t base_offset;
	int64_t append_ns;
	int64_t max_timestamp_ms;
};
/* The frames of one partition in a round: contiguous in its segment. */
struct round_stretch {
	struct list_node node;
	struct round *round;
	struct log_partition *partition;
	struct segment *segment;
	uint32_t from, to;   /* positions in the segment */
	size_t frames;
	struct io_req io;
	struct iovec *iov;
	int iov_count, iov_capacity;
	int iov_done;        /* written so far (IO_IOV_MAX at a time) */
};
struct round {
	struct rounds *rounds;
	enum round_state state;
	uint8_t *buf;        /* the entry, aligned */
	size_t capacity, used;
	struct round_frame *frames;
	size_t frame_count, frame_capacity;
	struct list stretches;
	struct list duplicates; /* struct log_append: answered with this round */
	unsigned writes;     /* segment writes in the air */
	bool entry_durable;
	uint64_t number;
	uint64_t entry_len;
	uint64_t first_sequence, last_sequence;
	int64_t started_ns;
	int64_t last_append_ns;
	int fd;
	uint64_t pos;
	struct io_req io;
	struct iovec iov;
};
struct rounds {
	struct log *log;
	struct round round[2];
	unsigned collecting; /* index */
	bool busy;           /* the other one is in flight */
	struct mail start;   /* deferred to the end of the turn */
	bool start_posted;
	struct list waiting; /* struct log_append, sets adjacent */
	uint64_t pass;
	uint64_t next_sequence;
	size_t accepted_bytes; /* not yet durable, against append_queue_bytes */
	int64_t clock_ns;      /* append time given last */
	int64_t boot_anchor_ns; /* wall clock minus boot time, when last believed */
	/* space (R4) */
	bool no_space;
	bool space_checking;
	int64_t space_bytes;   /* what may still be written before the next check */
	struct pool_job space_job;
	uint64_t space_free, space_total;
	enum err space_err;
	struct loop_timer space_timer;
	struct loop_timer mark_timer;
	bool mark_due;         /* D not restated since the last round */
	struct list retry;     /* struct round_stretch: the disk was full */
	struct list finished;  /* struct log_append: done is due */
	struct mail finish;
	bool finish_posted;
};
MUST_USE enum err rounds_init(struct rounds *rs, struct log *log);
void rounds_release(struct rounds *rs);
/* Something that kept appends waiting has ended: look again. */
void rounds_kick(struct rounds *rs);
/* Ends everything that is queued with `err`. */
void rounds_abort(struct rounds *rs, enum err err);
/* True when nothing is queued or in flight. */
bool rounds_idle(const struct rounds *rs);
/* Answers `req` later in this turn. */
void rounds_answer(struct rounds *rs, struct log_append *req, enum err err);
