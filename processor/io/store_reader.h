/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Readers of a view file: a read-only connection with one open transaction, so everything it
 * returns stands at one checkpoint, whatever the writer does meanwhile. An open reader keeps the
 * write-ahead log from being trimmed: close it soon. One thread at a time; may be handed from one
 * to another.
 */
#include "processor/io/store.h"

struct store_reader;
/* Pins the last checkpoint. ERR_AGAIN: the writer has not made the file yet. */
MUST_USE enum err store_reader_open(
    const struct store_spec *spec, struct store_reader **ret_reader);
void store_reader_close(struct store_reader *r); /* takes NULL */
const struct store_head *store_reader_head(const struct store_reader *r);
/* Makes a call in progress, and every later one, end with ERR_CANCELLED. Any thread. */
void store_reader_interrupt(struct store_reader *r);

struct store_row {
	struct bytes key;
	const struct datum *values; /* visible columns */
	uint64_t first_sequence, last_sequence;
	int64_t record_count;
};
/* Rows with from <= key < to in key order; ptr NULL = no bound. The bounds are copied. */
MUST_USE enum err store_rows_begin(struct store_reader *r, struct bytes from, struct bytes to);
/* ERR_EOF after the last. Valid until the next call. */
MUST_USE enum err store_rows_next(struct store_reader *r, struct store_row *ret_row);
/* ERR_NOT_FOUND. Ends a walk in progress. */
MUST_USE enum err store_rows_find(
    struct store_reader *r, struct bytes key, struct store_row *ret_row);

struct store_dead_letter {
	uint64_t sequence;
	uint32_t pos;
	struct str topic;
	int32_t partition;
	int64_t offset;
	struct str op, reason, message;
	int64_t time_us;
	struct bytes key, value;
};
/* In (sequence, pos) order. fn's error ends the walk and is returned. */
MUST_USE enum err store_dead_letters(struct store_reader *r,
    enum err (*fn)(void *ctx, const struct store_dead_letter *d), void *ctx);
/* Number of dead letters per reason. */
MUST_USE enum err store_dead_letter_counts(
    struct store_reader *r, void (*fn)(void *ctx, struct str reason, uint64_t count), void *ctx);
