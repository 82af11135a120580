/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Where a log's journal is: in <data>/journal, or by configuration in a directory of its own,
 * perhaps on another disk. Then two small text files tie the two together:
 *
 *   <data>/journal.location   dir=PATH and id=UUID: where it is
 *   <journal>/owner           id=UUID and data=PATH: whose it is
 *
 * The owner is durable before the location, the location before the journal's first file. So a data
 * directory with a location has a journal, and one that is not there (a disk that is not mounted)
 * or that is another log's is refused, never made anew. Offline tools find it without
 * configuration.
 */
#include "log/engine.h"

struct journal_where {
	char dir[LOG_PATH_MAX];
	bool outside;        /* not <data>/journal */
	struct log_uuid id;  /* of the two files, zero = there are none */
	struct dirlock lock; /* of a directory outside, while it is used */
};

/*
 * For a start: checks `configured` (NULL = where the location says, else <data>/journal), makes
 * what a first start needs, takes the lock of a directory outside. A journal that was moved to
 * where the configuration says is taken from there. ERR_NO_JOURNAL: it is not there; ERR_REFUSED:
 * it is another log's, or there are two; ERR_LOCKED; ERR_INVALID: not an absolute path;
 * ERR_INVALID_CONFIG: in the data directory, and not <data>/journal.
 */
MUST_USE enum err journal_where_take(
    struct io *io, const char *data_dir, const char *configured, struct journal_where *ret);
/* For offline tools: the lock of a directory outside that journal_where_find has found. */
MUST_USE enum err journal_where_lock(struct io *io, struct journal_where *w, enum dirlock_use use);
void journal_where_release(struct io *io, struct journal_where *w);
/*
 * For offline tools, reads only: where the location says, else `configured` (may be NULL) if
 * <data>/journal is not there. ERR_NO_JOURNAL, ERR_REFUSED as above, with *ret filled in as far as
 * it is known; ERR_IO, ERR_NOMEM, ERR_LIMIT.
 */
MUST_USE enum err journal_where_find(
    struct io *io, const char *data_dir, const char *configured, struct journal_where *ret);
/*
 * Reads only: no directory of a partition and no entry of a journal is there, so no start has come
 * as far as its first append. A start and fsck ask where there is no checkpoint record.
 */
MUST_USE enum err journal_where_unused(
    struct io *io, const char *data_dir, const char *journal_dir, bool *ret_unused);
/* Both files again, for a journal that is made anew where journal_where_find has said. */
MUST_USE enum err journal_where_note(struct io *io, const char *data_dir, struct journal_where *w);
