/* SPDX-License-Identifier: Apache-2.0 */
/* See gap.h. */
#include "log/gap.h"
#include "log/catalog_change.h"
#include "log/engine.h"
#include "log/recovery.h"

struct naming {
	struct catalog_partition_row row;
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

static enum err name_topic(struct log *log, const struct log_topic *topic,
    const struct checkpoint_gap *gap, bool *accepted)
{
	bool lazy = topic->config.durability != LOG_DURABILITY_FSYNC;
	for (int32_t i = 0; i < topic->partition_count; i++) {
		struct log_partition *p = log_partition_find(log, topic, i);
		if (!p || !(p->lost_suffix || (lazy && gap)))
			continue;
		*accepted |= p->lost_suffix;
		TRY(name_lost(log, p, gap));
	}
	return ERR_OK;
}

enum err gaps_name(struct log *log)
{
	const struct checkpoint_gap *newest =
	    log->gap_count > 0 ? &log->gaps[log->gap_count - 1] : NULL;
	const struct log_topic *topic;
	size_t cursor = 0;
	bool accepted = false;
	while ((topic = log_topic_next(log, &cursor)))
		TRY(name_topic(log, topic, newest, &accepted));
	uint32_t count = log->gap_count;
	for (uint32_t i = 0; i < count; i++)
		TRY(name_gap(log, &log->gaps[i]));
	log->gap_count = 0; /* the next record leaves them out */
	/* lives that end before it comes must not fill the list: each adds one at most */
	return accepted || count >= CHECKPOINT_GAPS_MAX / 2
	           ? checkpoint_finish(&log->checkpointer, false)
	           : ERR_OK;
}
