/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A file of the log read by the program's decoders and written again by its encoders: the same
 * bytes, or the test fails. So a change of what is written shows on files that are kept, whoever
 * made them.
 */
#include "log/base/io.h"

/* What has been met, of everything that log/FORMAT.md has. */
struct format_forms {
	unsigned segments, rewritten, recompressed; /* format version 2; with a codec */
	unsigned frames, direct, pads, holes;
	unsigned empty_batches, markers, horizons, compressed;
	unsigned indexes, sealed;
	unsigned snaps, open_txns, aborted_txns;
	unsigned rounds, marks, cleans, copies, tails, direct_items;
	unsigned records, gaps; /* checkpoint records; burnt ranges in them */
};
/* False: a file of another kind. `io`: where `path`, the file's place, can be read. */
bool format_again(
    struct io *io, const char *path, struct bytes content, struct format_forms *forms);
