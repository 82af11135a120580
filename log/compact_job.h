/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One rewriting of a partition's sealed segments, from inside: what the loop plans
 * (compact_plan.c), the pool works off in steps (compact_survey.c, compact_clean.c) and the loop
 * puts in place (compact_swap.c). Driver: compact.c. Recompression is the same without survey and
 * map.
 *
 *   SURVEY  all inputs, headers: producers, transactions; how far the rest may go (limit)
 *   MAP     from the first offset that no compaction has seen: the newest offset of each key
 *   CLEAN   group by group: a new generation is written, made durable, named; then the loop swaps
 * it in and the next group follows
 *
 * Between two steps the job is the loop's, within one the pool's. Inputs are held: neither
 * retention nor a deletion takes their files away; they are sealed, so their bytes never change.
 *
 * Invariants
 *   K1 a record goes only if a later one of its key stays, it is a tombstone whose time is over,
 * its transaction was aborted, or it has no key; all other records keep offset, time and bytes K2
 * no offset and no sequence is given again: what goes is named by a HOLE or stays as a batch
 *      without records
 *   K3 groups are put in place oldest first, so at any moment a key's older records are gone before
 *      its tombstone is
 *   K4 nothing is rewritten whose frames the journal might put back: a checkpoint record that names
 * a later segment is durable first
 */
#include "log/compact_batch.h"
#include "log/compact_map.h"
#include "log/compact_write.h"
#include "log/partition.h"

struct compact_input {
	struct segment *segment; /* held */
	int64_t base_offset, end_offset, clean_end;
	uint64_t first_sequence, last_sequence, end_link, original_bytes;
	uint32_t size, generation, file_generation;
	struct frame_seed seed;
	int64_t created_ns;
	bool swapped; /* a new generation stands for it */
};

enum {
	COMPACT_OPEN_MAX = PRODUCERS_MAX, /* transactions at once */
	COMPACT_ABORTED_MAX = 1 << 20
};
/*
 * What duplicates of a producer are known by. At most options.compact_producers: the one that has
 * been silent for longest makes room, and of those that are not held (any more) nothing goes that
 * may be needed: their batches and markers stay, emptied, for as long as a producer is remembered.
 */
struct compact_producer {
	int64_t id;            /* first: the map's key */
	struct list_node node; /* compact_job.silent */
	int64_t last_ns;
	int16_t epoch;
	uint8_t count;
	uint64_t kept[PRODUCER_BATCHES_KEPT]; /* sequences of its last batches, oldest first */
	uint64_t last_control;
	bool partial; /* it may have been held before: of its batches before these nothing is known
	               */
};
/* A transaction that is open at the place where the phase is. */
struct compact_open {
	int64_t id;            /* first: the map's key */
	int64_t first;         /* SURVEY: its first batch */
	int64_t aborted_until; /* MAP, CLEAN: its batches below are of an aborted transaction; 0 */
	bool seen;             /* CLEAN: a batch of it was met */
};
struct compact_aborted {
	int64_t producer_id, first, until; /* offsets: first batch, marker */
};

enum compact_kind { COMPACT_KEYS, COMPACT_CODEC };
enum compact_phase { COMPACT_SURVEY, COMPACT_MAP, COMPACT_CLEAN, COMPACT_DONE };

struct compact_stats {
	uint64_t bytes_before, bytes_after; /* of the segments that were replaced, their new ones */
	uint64_t batches, batches_gone;
	struct batch_counts records;
	unsigned segments_before, segments_after;
	int64_t started_ns;
};

struct compact_job {
	enum compact_kind kind;
	struct log_partition *p; /* referenced */
	struct io *io;
	char dir[4096];
	char topic_name[TOPIC_NAME_MAX + 1];
	size_t topic_name_len;
	/* the topic's configuration, as it was when this was planned */
	int codec; /* -1 = as sent */
	uint64_t segment_bytes;
	int64_t delete_retention_ms;
	int64_t now_ns;   /* what ages are judged by */
	int64_t later_ns; /* what delete horizons are counted from; see clock.h */
	size_t map_bytes;
	uint32_t epoch; /* of the server */

	struct compact_input *inputs;
	size_t input_count;
	int64_t first_dirty;
	int64_t limit; /* offsets from here on are left alone */

	enum compact_phase phase;
	struct map producers; /* struct compact_producer */
	struct list silent;   /* the same, longest first */
	size_t producers_max;
	bool forgotten;  /* there are more than were held */
	struct map open; /* struct compact_open */
	struct compact_aborted *aborted;
	size_t aborted_count, aborted_capacity, aborted_at;
	struct compact_map keys;

	/* where the phase is */
	size_t input;
	int fd; /* -1 = the next input is not open */
	struct segment_walk walk;
	uint32_t pos;            /* of its last frame, also of one that does not verify */
	size_t group, group_end; /* inputs of the group being written */
	struct segment_out out;
	struct batch_rewriter rewriter;
	int64_t *gone; /* offsets of the abort markers that the group leaves out; ascending */
	size_t gone_count, gone_capacity;
	bool finished;       /* a group is whole and named: the loop swaps it in */
	uint64_t step_bytes; /* read by the last step */

	struct compact_stats stats;
	enum err err;
};

/* ---- the pool's: each does a bounded piece; ERR_EOF: the phase is over ----------------------- */
enum { COMPACT_STEP_BYTES = 4 * 1024 * 1024 };
MUST_USE enum err compact_survey_step(struct compact_job *j);
MUST_USE enum err compact_map_step(struct compact_job *j);
MUST_USE enum err compact_clean_step(struct compact_job *j);

/* ---- shared by the phases -------------------------------------------------------------------- */
/* The next frame of the inputs, holes included; moves from one input to the next. ERR_EOF: behind
 * input `end`. Fails with ERR_CORRUPT on a frame that does not verify. */
MUST_USE enum err compact_next(
    struct compact_job *j, size_t end, struct frame *ret_frame, struct bytes *ret_batch);
void compact_rewind(struct compact_job *j, size_t input);
struct compact_producer *compact_producer(const struct compact_job *j, int64_t id);
/* The open transaction of a producer; with `make` begun if there is none. ERR_LIMIT, ERR_NOMEM. */
MUST_USE enum err compact_open(
    struct compact_job *j, int64_t id, bool make, struct compact_open **ret);
/* A marker ends it. */
void compact_open_end(struct compact_job *j, int64_t id);
/* Is this transactional batch of a transaction that was aborted? In ascending order of offsets.
 * ERR_LIMIT, ERR_NOMEM. */
MUST_USE enum err compact_aborted(
    struct compact_job *j, const struct batch_header *h, bool *ret_aborted);
/* Before a new pass over compact_aborted. */
void compact_aborted_rewind(struct compact_job *j);

/* ---- the loop's ------------------------------------------------------------------------------ */
struct compact_plan {
	enum compact_kind kind;
	struct log_partition *p;
	struct segment *segment; /* COMPACT_CODEC: the one */
	double urgency;          /* the dirtiest first; COMPACT_CODEC: 0 */
};
/* Whether segments of this partition may be rewritten at all. */
bool compact_may_rewrite(const struct log_partition *p);
/* The segment behind `after` (NULL: the first) if it may be rewritten now: sealed, durable, and not
 * the last with frames. NULL: neither it nor any behind it. */
struct segment *compact_settled(const struct log_partition *p, const struct segment *after);
/* What there is to do in a partition at `now_ns`; false = nothing. */
bool compact_plan_keys(struct log_partition *p, int64_t now_ns, struct compact_plan *ret_plan);
/* The sequence that a checkpoint record must have covered (K4) before the plan may begin. */
uint64_t compact_plan_sequence(const struct log_partition *p);
/* Takes holds and references. ERR_NOT_FOUND: there is nothing to do any more. */
MUST_USE enum err compact_job_new(
    const struct compact_plan *plan, int64_t now_ns, struct compact_job **ret_job);
/* Lets go of everything. Files that were not finished are gone already (compact_job_abandon). */
void compact_job_free(struct compact_job *j);
/* [pool] Closes and unlinks what is open. */
void compact_job_abandon(struct compact_job *j);
/* Puts the finished group in the place of its inputs. ERR_NOMEM; ERR_AGAIN: the partition rolls. */
MUST_USE enum err compact_swap(struct compact_job *j);
