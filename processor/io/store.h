/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Store: the SQLite file of one view version. It holds the rows, the state of the operators, dead
 * letters and the positions in the input, and one transaction per checkpoint changes them all (I4):
 * whatever is found after a crash is the view over exactly the input that `head` and `positions`
 * name.
 *
 *   meta(name, value)                 what the file is: view, version, logic, input, format
 *   head(...)                         one row: number and place of the last checkpoint, counts
 *   positions(topic, partition, next_offset)
 *   rows(_key, <visible columns>, _first_sequence, _last_sequence, _record_count, _state)
 *   state_<n>(bound, page)            operator state, see op.h, in pages, see state_file.h
 *   dead_letters(sequence, pos, topic, partition, offset, operator, reason, message, time, key,
 * value); pos: index in the batch; of one that the log has lost 2^31 and a number of its own
 *
 * One writer (the worker of the version), any number of readers (reader.h), also other SQLite
 * programs. The write-ahead log is trimmed by the writer between commits, never by SQLite itself.
 * A file that cannot be trusted (checksum, structure, another logic) is ERR_CORRUPT: the owner
 * removes it and builds the version again from the log.
 */
#include "processor/io/dirty.h"
#include "processor/io/vfs.h"
#include "processor/op/op.h"
#include <sqlite3.h>

enum { STORE_FORMAT = 2, STORE_WAL_BYTES = 32 << 20 };

/* What the file must be; all borrowed until store_close. */
struct store_spec {
	struct vfs *vfs;
	struct io *io;
	const char *path;
	struct str view;
	int32_t version;
	const uint8_t *logic; /* 32 bytes */
	uint64_t input_hash;
	const struct plan_column *columns; /* visible */
	uint32_t column_count;
	uint32_t state_count; /* plan->state_count */
	size_t cache_bytes;   /* page cache; 0 = 16 MiB */
};
/* Place and counts of a checkpoint. */
struct store_head {
	uint64_t checkpoint; /* number, +1 per transaction; 0 = nothing yet */
	uint64_t sequence;   /* everything up to here has been applied */
	int64_t time_ns;     /* append time at that place */
	uint64_t records;    /* accepted */
	uint64_t dead_letters;
	uint64_t rows;
	uint64_t input_bytes;
	bool ready; /* has reached the live end once */
};
struct store_position {
	struct log_uuid topic_id;
	int32_t partition;
	int64_t next_offset;
};

struct store;
/*
 * Opens or creates the file. Every page is checked first. ERR_CORRUPT: not to be trusted;
 * ERR_NEWER_FORMAT; ERR_IO, ERR_NOSPACE.
 */
MUST_USE enum err store_open(const struct store_spec *spec, struct store **ret_store);
/* Rolls back what is open. Takes NULL. */
void store_close(struct store *s);
/* Removes the file of a closed store with all that belongs to it. Missing files are no error. */
MUST_USE enum err store_remove(struct io *io, const char *path);

const struct store_head *store_head(const struct store *s);
MUST_USE enum err store_positions(
    struct store *s, enum err (*fn)(void *ctx, const struct store_position *p), void *ctx);
/* For op_build. Lookups outside a transaction see the last checkpoint. */
const struct op_store *store_ops(struct store *s);
/* After op_build and before the first transaction: creates missing tables. row_state =
 * op_row_state(). */
MUST_USE enum err store_prepare(struct store *s, int32_t row_state);

/* ---- one transaction ------------------------------------------------------------------------- */
MUST_USE enum err store_begin(struct store *s);
/* Rows in `d`, sorted: cells of the visible columns, first and last sequence, record count, state.
 */
MUST_USE enum err store_put_rows(struct store *s, struct dirty *d);
/* Dead letters in `d`: key = store_dead_letter_key, cells of the columns behind pos. */
MUST_USE enum err store_put_dead_letters(struct store *s, struct dirty *d);
MUST_USE enum err store_put_position(struct store *s, const struct store_position *p);
/* The head's checkpoint number is set here. After a failure: store_rollback. */
MUST_USE enum err store_commit(struct store *s, const struct store_head *head);
void store_rollback(struct store *s);

/* synchronous = FULL (each commit is durable) or NORMAL (the log can recompute what a power cut
 * takes). */
MUST_USE enum err store_set_durable(struct store *s, bool full);
/* Copies the write-ahead log into the database when it is longer than `bytes` (0 = always).
 * *ret_pinned: a reader holds it. */
MUST_USE enum err store_trim(struct store *s, size_t bytes, bool *ret_pinned);

/* Key of a dead letter's entry in a struct dirty. */
enum { STORE_DEAD_LETTER_KEY = 12 };
void store_dead_letter_key(uint8_t key[STORE_DEAD_LETTER_KEY], uint64_t sequence, uint32_t pos);

/* ---- shared with reader.c -------------------------------------------------------------------- */
/* Names of the visible columns as they stand in `rows`, quoted and unique without regard to case,
 * with a comma between. */
MUST_USE enum err store_column_list(
    struct writer *w, const struct plan_column *columns, uint32_t count);
/* Error of an SQLite call on `db`, with a note. ERR_OK for SQLITE_OK, ROW and DONE. */
enum err store_error(sqlite3 *db, int rc, const char *what);
MUST_USE enum err store_read_head(sqlite3 *db, struct store_head *ret_head);
