/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Decoder: records of a topic -> rows of the table on it, as typed column vectors. A field means
 * what (doc ->> 'field')::type means in PostgreSQL with TimeZone = UTC; a jsonb column is the JSON
 * value itself.
 *
 * The table is the contract: every declared column of every record is read and checked (type, NOT
 * NULL, CHECK, generated columns, event time and max_ahead), whether the plan above reads it or
 * not. A record that breaks it is refused, with a reason, and never becomes a row: accepted +
 * refused = all.
 *
 *     decoder_new -> { decoder_begin -> decoder_add* -> decoder_finish -> op_push }* ->
 * decoder_free
 *
 * Column buffers belong to the decoder and are used again by each batch; text points into the
 * records' own bytes, which must stay until the batch has been used. Refusals: decoder_add and
 * decoder_finish call `refuse` once per record. Thread: the version's worker.
 */
#include "log/batch.h"
#include "processor/sql/plan.h"

/* One record with what the log knows of it. */
struct decode_input {
	struct record record;
	uint64_t sequence;
	uint32_t pos; /* index in its batch */
	int32_t partition;
	int64_t append_time_ns;
};
typedef enum err (*decode_refuse_fn)(
    void *ctx, const struct decode_input *in, enum err reason, const char *message);

struct decoder;
struct decoder_options {
	const struct table *table;    /* borrowed */
	const uint8_t *column_needed; /* as in struct plan; borrowed */
	uint32_t source_id;
	struct str topic;  /* value of _topic; borrowed */
	uint32_t capacity; /* rows per batch, at most BATCH_ROWS_MAX */
	decode_refuse_fn refuse;
	void *refuse_ctx;
};
MUST_USE enum err decoder_new(const struct decoder_options *options, struct decoder **ret_decoder);
void decoder_free(struct decoder *d); /* takes NULL */

void decoder_begin(struct decoder *d);
/* Rows so far. */
uint32_t decoder_count(const struct decoder *d);
/* At most `capacity` between begin and finish. Errors are fatal (ERR_NOMEM, or what refuse
 * returned), never a bad record. */
MUST_USE enum err decoder_add(struct decoder *d, const struct decode_input *in);
/* Evaluates generated columns and checks; the batch holds what was accepted, until the next
 * decoder_begin. */
MUST_USE enum err decoder_finish(struct decoder *d, struct batch *ret_batch);
/* The record a row of the last batch came from, by its origin; NULL when there is none. Until the
 * next decoder_begin. */
const struct decode_input *decoder_input(const struct decoder *d, uint64_t sequence, uint32_t pos);
