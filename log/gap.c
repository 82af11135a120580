/* SPDX-License-Identifier: Apache-2.0 */
/* See gap.h. */
#include "log/gap.h"
#include "log/catalog_change.h"
#include "log/engine.h"
#include "log/recovery.h"

struct naming {
	struct catalog_partition_row row;
	struct log_partition *partition; /* of many: see below */
	bool done;
};

static void row_done(struct catalog_partition_row *row)
{
	CONTAINER_OF(row, struct naming, row)->done = true;
}

static enum err row_put(struct log *log, struct catalog_partition_row row)
{
	struct naming n = {.row = row};
	n.row.done = row_done;
	catalog_put_partition(log, &n.row);
	while (!n.done)
		TRY(loop_step(log->loop, 10 * MS_NS));
	return n.row.err;
}

/* The hole itself, under the catalog's own partition: it belongs to no partition alone. */
static enum err name_gap(struct log *log, const struct checkpoint_gap *gap)
{
	const struct log_partition *p = catalog_partition(log, CATALOG_TOPIC_ID, 0);
	ASSERT(p);
	return row_put(log, (struct catalog_partition_row){.topic_id = CATALOG_TOPIC_ID,
	                        .log_start = p->log_start,
	                        .leader_epoch = p->leader_epoch,
	                        .gap = true,
	                        .gap_from = (int64_t)gap->first,
	                        .gap_to = (int64_t)gap->first,
	                        .gap_first_sequence = gap->first,
	                        .gap_last_sequence = gap->last});
}

bool gap_is_named(const struct log *log, struct partition_key key, int64_t from, int64_t to)
{
	const struct row_name name = {
	    .kind = ROW_GAP, .id = key.topic_id, .partition = key.partition, .from = from};
	const struct catalog_kept *kept = log->catalog ? catalog_kept(log->catalog, &name) : NULL;
	int64_t named;
	if (!kept || gap_row_to(kept->value, &named) != ERR_OK)
		return false;
	return named >= to;
}

/* Records of this partition that a client may have seen are gone. */
static enum err name_lost(
    struct log *log, struct log_partition *p, const struct checkpoint_gap *gap)
{
	struct catalog_partition_row row = {.topic_id = p->key.topic_id,
	    .partition = p->key.partition,
	    .log_start = p->log_start,
	    .leader_epoch = p->leader_epoch + 1,
	    .gap = true,
	    .gap_from = p->lost_suffix ? p->lost_from : p->log_end,
	    .gap_to = p->lost_suffix ? p->lost_end : p->log_end};
	if (p->lost_suffix) {
		row.gap_first_sequence = p->lost_sequence;
		row.gap_last_sequence = p->lost_to_sequence;
	} else if (gap) {
		row.gap_first_sequence = gap->first;
		row.gap_last_sequence = gap->last;
	}
	if (p->lost_suffix) {
		char dir[LOG_PATH_MAX];
		TRY(engine_path(log, dir, "topics/%s", p->dir));
		TRY(recovery_forget(log->io, dir, p->lost_from));
	}
	TRY(row_put(log, row));
	p->leader_epoch++;
	if (p->lost_suffix)
		diag(DIAG_WARN, "lost_suffix_accepted",
		    "partition=%s from=%lld to=%lld leader_epoch=%u reason=\"%s\"", p->dir,
		    (long long)p->lost_from, (long long)p->lost_end, p->leader_epoch,
		    log->options.accept_lost_suffix);
	p->lost_suffix = false;
	return ERR_OK;
}

/* ---- topics that do not wait for the disk ---------------------------------------------------- */

/*
 * The partitions whose last records nobody waited for, each with what is burnt: as many rows at
 * once as go into one batch of the catalog. One without a segment never had a record: its first
 * segment is made durable before it takes any.
 */
struct burnt {
	struct log *log;
	const struct checkpoint_gap *gap;
	bool out;      /* they are the catalog's */
	bool accepted; /* an end that was given up was named */
	size_t count;
	struct naming of[CATALOG_ROWS_MAX];
};

static enum err burnt_put(struct burnt *b)
{
	b->out = true;
	for (size_t i = 0; i < b->count; i++)
		catalog_put_partition(b->log, &b->of[i].row);
	for (size_t i = 0; i < b->count; i++)
		while (!b->of[i].done)
			TRY(loop_step(b->log->loop, 10 * MS_NS));
	b->out = false;
	for (size_t i = 0; i < b->count; i++) {
		TRY(b->of[i].row.err);
		b->of[i].partition->leader_epoch++;
	}
	b->count = 0;
	return ERR_OK;
}

static enum err burnt_add(struct burnt *b, struct log_partition *p)
{
	if (b->count == CATALOG_ROWS_MAX)
		TRY(burnt_put(b));
	b->of[b->count++] = (struct naming){
	    .partition = p,
	    .row = {.topic_id = p->key.topic_id,
	        .partition = p->key.partition,
	        .log_start = p->log_start,
	        .leader_epoch = p->leader_epoch + 1,
	        .gap = true,
	        .gap_from = p->log_end,
	        .gap_to = p->log_end,
	        .gap_first_sequence = b->gap->first,
	        .gap_last_sequence = b->gap->last,
	        .done = row_done},
	};
	return ERR_OK;
}

static enum err name_topic(struct log *log, const struct log_topic *topic, struct burnt *b)
{
	bool lazy = topic->config.durability != LOG_DURABILITY_FSYNC;
	for (int32_t i = 0; i < topic->partition_count; i++) {
		struct log_partition *p = log_partition_find(log, topic, i);
		if (p && p->lost_suffix) {
			b->accepted = true;
			TRY(name_lost(log, p, b->gap));
		} else if (p && lazy && b->gap && partition_active(p)) {
			TRY(burnt_add(b, p));
		}
	}
	return ERR_OK;
}

static enum err name_partitions(struct log *log, struct burnt *b)
{
	const struct log_topic *topic;
	size_t cursor = 0;
	while ((topic = log_topic_next(log, &cursor)))
		TRY(name_topic(log, topic, b));
	return burnt_put(b);
}

enum err gaps_name(struct log *log)
{
	struct burnt *b = mem_calloc(1, sizeof(*b));
	if (!b)
		return ERR_NOMEM;
	b->log = log;
	b->gap = log->gap_count > 0 ? &log->gaps[log->gap_count - 1] : NULL;
	enum err err = name_partitions(log, b);
	bool accepted = b->accepted;
	if (!b->out) /* else the loop does not turn any more */
		mem_free(b);
	TRY(err);
	uint32_t count = log->gap_count;
	for (uint32_t i = 0; i < count; i++)
		TRY(name_gap(log, &log->gaps[i]));
	log->gap_count = 0; /* the next record leaves them out */
	/* lives that end before it comes must not fill the list: each adds one at most */
	return accepted || count >= CHECKPOINT_GAPS_MAX / 2
	           ? checkpoint_finish(&log->checkpointer, false)
	           : ERR_OK;
}
