/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * outcome_read from inside: reading a recovered log in every way there is. Frames as they are on
 * the disk (reading_frames.c), batches and sequences as readers and scans get them
 * (outcome_read.c), what readers of committed data see (reading_txn.c).
 */
#include "log/batch.h"
#include "test/crash/outcome.h"

enum { READING_FRAMES_MAX = 1024 };
/* A frame of a user's topic; or a hole, where compaction took some. */
struct reading_frame {
	int topic, partition;
	int64_t offset, last_offset;
	uint64_t first_sequence, sequence;
	int tag; /* 0: a hole */
};
struct reading {
	const struct run *run;
	struct run_world *w;
	struct outcome *o;
	struct reading_frame frames[READING_FRAMES_MAX];
	int frame_count;
	struct writer scratch; /* records of compressed batches */
};
/* The first one stands. */
void reading_problem(struct reading *rd, const char *fmt, ...) PRINTF(2, 3);
/* Turns the loop; false with a problem when there is no answer. */
bool reading_until(struct reading *rd, const bool *done);
/* Which topic of the run this is; -1 = none. */
int reading_topic(const struct run *r, struct log_uuid id);

/* Which batch of the run this is; 0 = none. */
int reading_tag(struct reading *rd, int topic, int partition, struct bytes batch);
/* Which records of batch `tag` there are, bit by bit, all as they were sent; 0 with a problem. */
unsigned reading_records(struct reading *rd, int tag, struct bytes batch);
/* Walks over the files of all user topics: offsets are dense, holes counted. */
void reading_frames(struct reading *rd);
/* The frame that holds or names a sequence; NULL. */
const struct reading_frame *reading_frame_of(const struct reading *rd, uint64_t sequence);

enum reading_fate { READING_SHOWN, READING_ABORTED, READING_OPEN, READING_MARKER };
/* What a reader of committed data makes of a batch that is there. */
enum reading_fate reading_fate(const struct reading *rd, int tag);
/* Last stable offset, aborted transactions, what is shown below it. Needs frames. */
void reading_committed(struct reading *rd, int topic, int partition, struct log_partition *part);
/* S_stable as it must be. */
uint64_t reading_stable(const struct reading *rd);
