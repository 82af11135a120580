/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The scrubber: reads the whole log again and again at a bounded rate and verifies every frame, so
 * that rot is found while the journal, a backup or the source may still have the bytes.
 *
 *   IDLE     waits: between two pieces as long as the rate wants, between two passes SCRUB_REST
 *   READING  one piece (about 1 MiB) of one segment is read and checked on the service pool
 *
 * The loop only says which piece is next, from where it was and never from the start again, at most
 * 256 partitions and segments in a turn, and takes the finding: a frame that the journal still has
 * was rewritten (REPAIRED); any other makes its partition DAMAGED, as recovery and reads do, and
 * the scrub goes on behind it. So does a place that the disk does not read three times. Segments
 * are read past the page cache where the file system allows it: what the cache has says nothing of
 * the disk. A file <data>/scrub keeps the time of the last whole pass over a restart.
 */
#include "log/segment.h"

struct scrub;
/* options.scrub_bytes_per_second 0: nothing is done, *ret_scrub is NULL. */
MUST_USE enum err scrub_start(struct log *log, struct scrub **ret_scrub);
/* No further piece. The one under way ends by itself: scrub_busy until then. NULL is allowed. */
void scrub_stop(struct scrub *scrub);
/* The number of the pass that is under way, or the next; 0 without a scrubber. */
uint32_t scrub_pass(const struct scrub *scrub);
bool scrub_busy(const struct scrub *scrub);
/* Partitions and segments looked at for what to read next: so far, and the most of one turn. */
struct scrub_looks {
	uint64_t all;
	unsigned most;
};
struct scrub_looks scrub_looks(const struct scrub *scrub);
void scrub_free(struct scrub *scrub);

/* ---- one piece, on the pool: scrub_read.c ---------------------------------------------------- */

enum scrub_finding { SCRUB_GOOD, SCRUB_REPAIRED, SCRUB_DAMAGED };
struct scrub_piece {
	struct io *io;
	const char *journal_dir;
	char path[4096 /* LOG_PATH_MAX */]; /* of the segment, with .log */
	struct log_uuid topic_id;
	int32_t partition;
	int64_t base_offset;
	struct frame_seed seed;
	uint32_t pos, end; /* frames are read from pos, none from end on */
	bool cached;       /* written not long ago: through the page cache where that has it */
	/* results */
	enum err err; /* of looking at it; the rest is not told then */
	bool unread;  /* it was the disk that did not read */
	enum scrub_finding finding;
	uint32_t bad_pos;
	char why[128];
	uint32_t next_pos; /* where the next piece begins; end = done */
	uint64_t bytes;    /* read, the journal's too */
};
void scrub_read(struct scrub_piece *piece);
/* The frame at bad_pos does not verify: SCRUB_REPAIRED when the journal had it and it is written
 * and flushed, next_pos is behind it then; else SCRUB_DAMAGED. */
void scrub_mend(struct scrub_piece *piece);
/* Where the first frame behind bad_pos is, as the index says; `end` when nobody knows. */
uint32_t scrub_index_behind(const struct scrub_piece *piece);
