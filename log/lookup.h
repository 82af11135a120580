/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Finding an index entry of a segment from the loop, by time or sequence once its file was checked:
 * at once when it is in memory or in what the page cache has of the open index file, else on the
 * pool. Caller-owned, `done` exactly once when lookup_start returned false.
 */
#include "log/index_check.h"
#include "log/segment.h"

struct lookup {
	struct pool_job job;
	struct descriptor_pin pin;
	struct index_wait check;
	struct segment *segment; /* held by the caller until done */
	struct index_probe probe;
	uint64_t file_count;
	char *path;
	enum err err; /* ERR_OK, NOT_FOUND, IO, NOMEM, CORRUPT */
	struct index_entry entry;
	uint64_t number;
	void (*done)(struct lookup *l);
};
/* True: l->err and l->entry are there now. */
bool lookup_start(
    struct lookup *l, struct segment *s, struct index_probe probe, void (*done)(struct lookup *l));
