/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Scans: reading partitions in sequence order from a worker thread. Two halves that meet only in
 * loop_call:
 *
 *   worker (scan.c)       each source walks its leased slice with large reads and verifies it; a
 * heap merges the heads loop (scan_lease.c)   leases: a held segment, the durable end of its bytes,
 * where to begin; D
 *
 * A refresh gives every source its durable end, and the scan the S_stable that belongs to it
 * (`covered`), in one call: D, or what is before the oldest transaction open in one of the sources.
 * Up to there nothing is missing from the slices, so the merge is complete; a source whose segment
 * ends before asks for the next one. Heads behind it wait. What is aborted is known up to there
 * too, and passed over when it comes to the top.
 *
 * Invariants
 *   C1  a segment that a source reads is held; its bytes below `end` never change
 *   C2  every frame of a source with sequence <= covered lies in its slice or in a later segment
 *       known to be there (`more`)
 *   C3  heads in the heap are verified or known to be damaged; their sequences ascend per source
 */
#include "log/partition.h"

struct scan_source {
	/* worker's */
	struct log_uuid topic_id;
	int32_t partition;
	uint32_t number;     /* in the scan */
	int64_t next_offset; /* of the next batch to come; at the start: inside it perhaps */
	int fd;              /* -1 = closed */
	struct segment_walk walk;
	bool located;       /* walk.pos is where next_offset is */
	struct frame frame; /* the head */
	struct bytes batch;
	/* The head is a hole: frame has its offsets and its sequence, or a lower bound of that when
	 * neither the frame nor the index tells. */
	bool damaged;
	bool in_heap; /* it has a head there */
	/* the lease: set by the loop inside loop_call */
	struct log_partition *p; /* referenced */
	struct segment *segment; /* held */
	int64_t base_offset, end_offset;
	int64_t
	    missing_to; /* the next segment begins here, behind end_offset; 0: nothing is missing */
	uint64_t first_sequence; /* of the segment, or a lower bound */
	uint32_t end;            /* durable bytes */
	struct frame_seed seed;
	bool more;    /* the partition goes on in a later segment */
	enum err err; /* SOURCE_GONE, OFFSET_OUT_OF_RANGE */
	/* aborted transactions that ended at or behind the head: a copy, complete up to `covered`
	 */
	struct txn_aborted *aborted;
	size_t aborted_count, aborted_capacity;
	int64_t aborted_to; /* offset of the last marker copied, -1 = none */
	/* where next_offset is, as far as the index in memory knows */
	bool in_file; /* look among the first file_count entries of the index file */
	uint64_t file_count;
	uint32_t pos;
	char path[512]; /* of the segment, without suffix; "" = too long */
};

struct log_scan {
	struct log *log;
	struct list_node node; /* loop's: log->scans */
	struct scan_source *sources;
	size_t count;
	struct scan_source **heap;
	size_t heap_count;
	struct scan_source *returned; /* its head was returned: advance it first */
	uint64_t covered;             /* S_stable of the sources at the last refresh */
	size_t loaded;                /* sources whose head was looked for since */
	enum err err;                 /* SOURCE_GONE, OFFSET_OUT_OF_RANGE: for good */
	uint64_t stable;              /* everything up to here has been returned */
	uint64_t last;                /* sequence returned last */
	uint64_t limit;
	size_t read_bytes;
	bool frugal; /* many sources: none keeps buffer and descriptor while it has nothing */
	/* both */
	struct mutex mutex;
	struct cond cond;
	uint64_t told; /* S_stable of the sources as last told */
	bool woken;
};

/* [loop] Leases for all sources: references at the first time, ends and S_stable at each. */
void scan_lease_open(void *scan);
/* [loop] Starts loading the aborted transactions of the next source that needs it. */
struct scan_load {
	struct log *log;
	const struct log_scan_source *source;
	struct log_producers_load wait;
	struct gate gate;
};
void scan_load_start(void *load);
void scan_lease_refresh(void *scan);
void scan_lease_close(void *scan);
/* [loop] The disk has failed a read of a source: counted and told. */
void scan_lease_unread(void *source);
/* [loop] The next segment of one source. */
void scan_lease_next(void *source);
/* [loop] D has moved: scans that wait look again. */
void scans_wake(struct log *log);

/* The index entry with a number, in memory; ERR_AGAIN: in the file. */
struct scan_entry {
	struct segment *segment;
	uint64_t number;
	struct index_entry entry;
	uint64_t file_count, count;
	enum err err;
};
void scan_entry_get(void *entry);
/* [loop] The index file of a held segment was wrong. */
void scan_index_doubt(void *segment);
