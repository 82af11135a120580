/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Feed: batches of the log -> rows of the plan's sources -> operators. Rows of several small
 * batches are gathered into one operator batch, those of a large one are cut; results depend on
 * neither (I5).
 *
 * Every record given to feed_batch is either accepted or handed to `dead` exactly once, and by
 * feed_flush at the latest. Where the tree asks for it (op_needs_records), or one topic feeds
 * several sources, records go one at a time. Thread: that of its tree.
 */
#include "processor/io/decode.h"
#include "processor/op/op.h"

struct feed_dead {
	struct log_uuid topic_id;
	struct str topic;
	const struct decode_input *in;
	const char *op; /* "decode", "filter", ... */
	enum err reason;
	const char *message;
};
struct feed_options {
	const struct view_plan *plan;
	struct op_tree *tree;
	uint32_t batch_rows; /* 1..BATCH_ROWS_MAX */
	bool one_by_one;     /* bracket each record, whatever the tree says: lineage */
	enum err (*dead)(void *ctx, const struct feed_dead *d);
	/* one_by_one: after each record */
	enum err (*record)(
	    void *ctx, const struct decode_input *in, struct str topic, bool accepted);
	void *ctx;
};
struct feed;
MUST_USE enum err feed_new(const struct feed_options *options, struct feed **ret_feed);
void feed_free(struct feed *f); /* takes NULL */
/* All records of the batch from from_offset on. The batch's bytes need not stay. */
MUST_USE enum err feed_batch(struct feed *f, const struct log_batch_view *b, int64_t from_offset);
/* Pushes what is gathered. */
MUST_USE enum err feed_flush(struct feed *f);
/* To be called by the tree's env.error. An error of `dead` comes back from the feed's call in
 * progress. */
void feed_refused(struct feed *f, const struct op_error *e);
/* Records taken so far, the dead ones included. */
uint64_t feed_records(const struct feed *f);
