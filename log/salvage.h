/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* log_salvage from inside: salvage.c tells the whole of it. */
#include "log/fsck.h"
#include "log/offline.h"

enum { SALVAGE_PRODUCER_IDS = 1000 /* passed over: reserved, perhaps given out */ };

struct salvage_hole {
	struct partition_key key;
	int64_t from;
	struct offline_hole hole;
};
struct salvage {
	const char *out;
	char topics[LOG_PATH_MAX]; /* OUT/topics */
	uint64_t journal_bytes;
	struct offline_sync sync; /* of OUT */
	struct fsck *f;
	/* the partition that is copied */
	const char *dir;
	int64_t lowest;
	bool open;
	struct offline_part part;
	uint64_t lost_batches; /* frames seen since the last good one whose body is bad */
	int64_t lost_from;     /* where the last hole of it begins, -1 = none */
	/* of all */
	struct offline_record record;
	struct salvage_hole *holes;
	size_t hole_count, hole_capacity;
	uint64_t frames, bytes, repaired, skipped, lost_partitions;
	int64_t lost_offsets;
	uint64_t sequence, producer_ids;
	int64_t append_ns;
	uint32_t epoch;
};
/* The rows of OUT's catalog, put by OUT's own log: it is opened for it, which is also the proof. */
MUST_USE enum err salvage_catalog(struct salvage *s, struct fsck *f);
