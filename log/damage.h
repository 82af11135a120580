/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What is known to be damaged in a partition, kept over restarts: a file `damaged` in its
 * directory, one line for each place (FORMAT.md). Recovery does not read what is sealed and
 * indexed, so what the scrubber, a fetch or an earlier recovery found there would be forgotten, and
 * records taken again behind it.
 *
 * A list of where to look, no verdict: each start reads the frames at these places. One that does
 * not verify makes the partition DAMAGED again; one that does (put back from a backup, read by a
 * disk that has recovered) or whose segment is gone leaves the list. Without any the file goes. A
 * list that does not verify makes the partition DAMAGED at each start until a place was found.
 *
 *   noted    partition_damaged: a place more in memory, `unsaved`            damage_note
 *   saved    the file is written on the pool, whole; a failure is said, and   damage_save
 *            tried again with the next finding and at a stop                  damage_stop
 *   mended   the journal had the frame: the place leaves, and with the last   damage_mended
 *            one DAMAGED ends, unless a start has found something, or a load
 *            of producers has passed over something
 *   checked  at the next start                                                damage_check
 */
#include "log/base/base.h"

struct log_partition;
struct recovery;

/* Places beyond these are not kept: the scrubber finds them when the others are put right. */
enum { DAMAGE_PLACES_MAX = 1024 };

struct damage {
	struct damage_place {
		int64_t segment; /* its base offset */
		uint32_t pos;
	} * place;
	size_t count, capacity;
	bool found;   /* recovery: there is a file */
	bool lasting; /* not all of it is in the list, or it is more than a frame: until a start */
	bool unsaved; /* the file does not say what this does */
	bool saving;
};
/* The name of the file. */
#define DAMAGE_FILE "damaged"

/* A place that does not verify; twice is once. */
void damage_note(struct log_partition *p, int64_t segment, uint32_t pos);
/* The frame at this place was bad, and is written anew: it need not have been noted. */
void damage_mended(struct log_partition *p, int64_t segment, uint32_t pos);
/* Begins to write the file of an open partition, if it has to be written. */
void damage_save(struct log_partition *p);
/* The same, blocking: at a stop, with nothing under way. */
void damage_stop(struct log_partition *p);
void damage_release(struct damage *d);
/* Start: what the file says, looked at. ERR_NOMEM, and errors of the disk that are not about one
 * place. */
MUST_USE enum err damage_check(struct recovery *r, struct log_partition *p);
