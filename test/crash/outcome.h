/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What a recovery made of a cut disk, and whether it keeps what the run had promised.
 *
 * Many cuts end in few outcomes. outcome_print is the fingerprint of everything that a recovered
 * log can answer from: ends, segments, their bytes, indexes in memory and on disk, topics, rows. So
 * the reads through log_read and log_scan, and the appends that follow, are made once per
 * fingerprint (and for a sample of the rest); outcome_check compares with the promises of each cut.
 */
#include "test/crash/run.h"

enum { OUTCOME_GAPS_MAX = 16 };
_Static_assert(RUN_RECORDS_MAX <= 8, "struct outcome: a byte of records per batch");
struct outcome {
	uint64_t content; /* what can be read: fingerprint */
	uint64_t caches;  /* indexes and the like */
	uint64_t durable_sequence;
	uint32_t epoch;
	uint64_t present[(RUN_BATCHES_MAX + 64) / 64]; /* by tag */
	uint8_t kept[RUN_BATCHES_MAX + 1];             /* by tag: which records, of a keyed batch */
	bool there[RUN_TOPICS_MAX];
	int partitions[RUN_TOPICS_MAX];
	uint64_t segment_bytes[RUN_TOPICS_MAX];
	int64_t start[RUN_TOPICS_MAX][RUN_PARTITIONS_MAX], end[RUN_TOPICS_MAX][RUN_PARTITIONS_MAX];
	int64_t stable[RUN_TOPICS_MAX][RUN_PARTITIONS_MAX]; /* last stable offset */
	int64_t rows[RUN_KEYS];
	struct checkpoint_gap gaps[OUTCOME_GAPS_MAX];
	int gap_count;
	char problem[256]; /* wrong whatever was promised; empty = nothing */
};

/* Only the two fingerprints. */
void outcome_print(const struct run *run, const struct run_world *world, struct outcome *ret);
/* Everything by reading; then appends go on. Changes the disk of the world. */
void outcome_read(const struct run *run, struct run_world *world, struct outcome *ret);
/* Against what was promised when `cut` operations had been done; false with a text. */
bool outcome_check(
    const struct run *run, const struct outcome *o, size_t cut, char *why, size_t why_len);
/* Newest values of keys, tombstones: what compaction may take (K1, K3); outcome_keys.c. */
bool outcome_check_keys(
    const struct run *run, const struct outcome *o, size_t cut, char *why, size_t why_len);
static inline bool outcome_has(const struct outcome *o, int tag)
{
	return o->present[tag / 64] >> (tag % 64) & 1;
}
