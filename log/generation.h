/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Which files of a partition's directory count. A new generation of a segment is a file of its own:
 *
 *   <base>.g<N>.log.new, .idx.new   being written; nothing refers to it
 *   <base>.g<N>.log, .idx           whole and durable before it gets this name; it stands for the
 *                                   offsets from its base to the end that its header says
 *
 * From the moment it has its name every other file whose base lies in that range is superseded. The
 * old files are unlinked when nothing reads them any more, so a crash may leave both: the new one
 * counts, and the start unlinks the others. Pure function of names and headers.
 */
#include "log/segment.h"

struct generation_file {
	size_t name; /* index into the names */
	int64_t base_offset;
	uint32_t generation; /* by its name */
	int64_t
	    end_offset; /* what it stands for; 0 = only itself (generation 0, or a bad header) */
	bool superseded;
};
struct generations {
	struct generation_file *files; /* the .log files, in the order of their names */
	size_t count;
};
/*
 * Sorts out the .log files among `names` of the directory `dir`. Reads only the headers of files
 * with a generation in their name. [any thread]
 */
MUST_USE enum err generations_read(
    struct io *io, const char *dir, const struct io_names *names, struct generations *ret);
void generations_release(struct generations *g);
/*
 * Unlinks what is superseded, what was never finished, and indexes without a segment; *ret_any:
 * there was something, list the directory again. Start-up, before anything reads it.
 */
MUST_USE enum err generations_clean(
    struct io *io, const char *dir, const struct io_names *names, bool *ret_any);
/* True for what a crash left of a generation that was being written. */
bool generation_unfinished(const char *name);
