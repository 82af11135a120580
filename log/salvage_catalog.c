/* SPDX-License-Identifier: Apache-2.0 */
/* The last step of a salvage: what the catalog of the new directory must know. See salvage.h. */
#include "log/engine.h"
#include "log/salvage.h"
#include <stdio.h>

enum { SALVAGE_GAP_ROWS_MAX = 10000 /* the HOLE frames name all of them */ };

/* ---- topics whose rows are lost -------------------------------------------------------------- */

static bool catalog_has_holes(const struct salvage *s)
{
	for (size_t i = 0; i < s->hole_count; i++)
		if (log_uuid_equal(s->holes[i].key.topic_id, CATALOG_TOPIC_ID))
			return true;
	return !s->f->catalog_read;
}

struct adopting {
	struct salvage *s;
	struct fsck *f;
	uint32_t topics;
};

/* The name of a topic, out of the directory that was copied. */
static bool topic_name_of(const char *dir, struct str *ret_name)
{
	const char *dash = strrchr(dir, '-');
	if (!dash || dash == dir)
		return false;
	*ret_name = str_from(dir, (size_t)(dash - dir));
	return log_topic_name_check(*ret_name) == ERR_OK;
}

/* One row per topic: the partitions up to the greatest that was found. */
static enum err adopt_topic(struct adopting *a, struct log *log, const struct log_partition *found)
{
	struct offline_topic topic = {.id = found->key.topic_id};
	const struct log_partition *p;
	size_t cursor = 0;
	if (!topic_name_of(found->dir, &topic.name)) {
		err_clear();
		return ERR_OK;
	}
	if (log_topic_find(log, topic.name)) {
		fsck_find(a->f, ERR_ORPHAN,
		    "partition=%s reason=\"a topic of that name has another id\"", found->dir);
		return ERR_OK;
	}
	while ((p = partition_found_next(log, &cursor))) {
		if (!log_uuid_equal(p->key.topic_id, topic.id))
			continue;
		if (p->key.partition < found->key.partition)
			return ERR_OK; /* done with that one, or will be */
		if (p->key.partition >= topic.partitions)
			topic.partitions = p->key.partition + 1;
	}
	fsck_find(a->f, ERR_ORPHAN, "topic=" STR_FMT " partitions=%d action=adopted",
	    STR_ARG(topic.name), topic.partitions);
	a->topics++;
	return offline_put_topic(log, &topic);
}

static enum err adopt_found(void *ctx, struct log *log)
{
	struct adopting *a = ctx;
	struct log_partition *p;
	size_t cursor = 0;
	while ((p = partition_found_next(log, &cursor)))
		TRY(adopt_topic(a, log, p));
	return ERR_OK;
}

/* ---- gaps ------------------------------------------------------------------------------------ */

static enum err put_gap(struct log *log, const struct salvage_hole *h)
{
	const struct log_partition *p = catalog_partition(log, h->key.topic_id, h->key.partition);
	if (!p)
		return ERR_OK; /* an orphan, or deleted */
	return offline_put_partition(log,
	    &(struct catalog_partition_row){.topic_id = h->key.topic_id,
	        .partition = h->key.partition,
	        .log_start = p->log_start,
	        .leader_epoch = p->leader_epoch + 1, /* the same for all holes of one salvage */
	        .gap = true,
	        .gap_from = h->from,
	        .gap_to = h->hole.to_offset,
	        .gap_first_sequence = h->hole.first_sequence,
	        .gap_last_sequence = h->hole.last_sequence});
}

/* A partition of which nothing was left: its next record follows the last one that there was. */
static enum err put_lost(struct salvage *s, struct log *log, const struct fsck_end *end)
{
	const struct log_partition *p =
	    catalog_partition(log, end->key.topic_id, end->key.partition);
	if (!p || end->log_end == 0 || offline_record_row(&s->record, end->key))
		return ERR_OK;
	int64_t to = end->log_end > 0 ? end->log_end : (int64_t)1 << 20;
	s->lost_partitions++;
	s->lost_offsets += to - p->log_start;
	fsck_find(s->f, ERR_GAP, "partition=%s first_offset=%lld last_offset=%lld what=all", p->dir,
	    (long long)p->log_start, (long long)to - 1);
	return offline_put_partition(
	    log, &(struct catalog_partition_row){.topic_id = end->key.topic_id,
	             .partition = end->key.partition,
	             .log_start = to,
	             .leader_epoch = p->leader_epoch + 1,
	             .gap = true,
	             .gap_from = p->log_start,
	             .gap_to = to});
}

static enum err put_gaps(void *ctx, struct log *log)
{
	struct salvage *s = ctx;
	size_t cursor = 0;
	const struct fsck_end *end;
	for (size_t i = 0; i < s->hole_count && i < SALVAGE_GAP_ROWS_MAX; i++)
		TRY(put_gap(log, &s->holes[i]));
	while ((end = map_next(&s->f->ends, &cursor)))
		TRY(put_lost(s, log, end));
	return ERR_OK;
}

enum err salvage_catalog(struct salvage *s, struct fsck *f)
{
	const struct offline_open open = {.io = f->io, .data_dir = s->out, .unfinished = true};
	struct adopting a = {.s = s, .f = f};
	s->f = f;
	if (catalog_has_holes(s))
		TRY(offline_with_log(&open, adopt_found, &a));
	return offline_with_log(&open, put_gaps, s);
}
