/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the bytes of a data directory's files are, by name: header fields and their zeros, frames,
 * padding, journal entries old and new... so that a sweep over all bits can say which verdict it
 * wants for which bytes. The file is read by the program's own decoders, before any harm is done to
 * it.
 */
#include "test/lib/sim_disk.h"

struct region {
	uint64_t from, to;
	const char *name;
};
struct regions {
	struct region *region; /* in order, without holes, up to the end of the file */
	size_t count, capacity;
	const char *const *behind; /* what is added: zeros, garbage */
};
/*
 * checkpoint: number of the last journal entry that the newest record covers. since: where in the
 * active segment the frames begin that a start takes from the journal.
 */
struct region_file {
	const struct sim_disk *disk;
	uint32_t inode, dir;
	const char *dir_name, *name;
	uint64_t checkpoint, since;
};
void regions_init(struct regions *r, const struct region_file *file);
void regions_release(struct regions *r);
const char *regions_at(const struct regions *r, uint64_t pos);
/* Of bytes that somebody has put behind the end of the file. */
const char *regions_behind(const struct regions *r, bool garbage);
