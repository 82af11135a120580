/* SPDX-License-Identifier: Apache-2.0 */
/* A partition's life, its segments and what others may know of it. See partition.h for the states.
 */
#include "log/partition.h"
#include "log/catalog.h"
#include "log/engine.h"
#include "log/gap.h"
#include "log/partition_drop.h"
#include "log/recovery.h"
#include "log/scrub.h"
#include <stdio.h>

/* ---- life ------------------------------------------------------------------------------------ */

static struct bytes partition_map_key(const struct partition_key *key)
{
	return bytes_of(key, sizeof(*key));
}

static void partition_free(struct log_partition *p)
{
	struct list_node *n;
	ASSERT(p->refs == 0 && p->tasks == 0 && p->queued == 0);
	while (list_pop_front(&p->waiters))
		;
	while (list_pop_front(&p->watches))
		;
	while ((n = list_pop_front(&p->segments))) {
		struct segment *s = CONTAINER_OF(n, struct segment, node);
		checkpoint_forget(&p->log->checkpointer, s); /* recovery wrote to what the catalog
		                                                knows as deleted */
		segment_free(s);
	}
	list_remove(&p->txn_node);
	producers_release(&p->producers);
	refusals_release(&p->refusals);
	segment_order_release(&p->order);
	txns_release(&p->txns);
	damage_release(&p->damage);
	if (p->replay)
		writer_release(&p->replay->buf);
	mem_free(p->replay);
	mem_free(p->dir);
	mem_free(p);
}

void partition_ref(struct log_partition *p)
{
	p->refs++;
}

void partition_unref(struct log_partition *p)
{
	ASSERT(p->refs > 0);
	if (--p->refs == 0)
		partition_free(p);
}

void log_partition_ref(struct log_partition *p)
{
	loop_assert_owner(p->log->loop);
	partition_ref(p);
}

void log_partition_unref(struct log_partition *p)
{
	loop_assert_owner(p->log->loop);
	partition_unref(p);
}

static enum err partition_register(struct log_partition *p)
{
	struct log *log = p->log;
	if (map_get(&log->directories, str_bytes(str_of(p->dir))))
		return err_note(ERR_EXISTS, "directory %s holds another topic's data", p->dir);
	TRY(map_put(&log->partitions, partition_map_key(&p->key), p));
	enum err e = map_put(&log->directories, str_bytes(str_of(p->dir)), p);
	if (e != ERR_OK)
		map_remove(&log->partitions, partition_map_key(&p->key));
	else
		list_push_front(&log->scrub_queue, &p->scrub_node);
	return e;
}

void partition_unregister(struct log_partition *p)
{
	list_remove(&p->scrub_node);
	if (partition_by_key(p->log, p->key) == p)
		map_remove(&p->log->partitions, partition_map_key(&p->key));
	if (map_get(&p->log->directories, str_bytes(str_of(p->dir))) == p)
		map_remove(&p->log->directories, str_bytes(str_of(p->dir)));
}

enum err partition_new(
    struct log *log, struct partition_key key, struct str dir, struct log_partition **ret_p)
{
	struct log_partition *p = mem_calloc(1, sizeof(*p));
	if (!p)
		return ERR_NOMEM;
	p->key = key;
	p->log = log;
	p->refs = 1;
	p->max_timestamp_ms = p->max_timestamp_offset = -1;
	list_init(&p->segments);
	list_init(&p->waiters);
	list_init(&p->watches);
	list_init(&p->load_waiting);
	list_node_init(&p->txn_node);
	list_node_init(&p->scrub_node);
	producers_init(&p->producers);
	refusals_init(&p->refusals);
	txns_init(&p->txns);
	p->dir = mem_strdup(dir);
	enum err e = p->dir ? partition_register(p) : ERR_NOMEM;
	if (e != ERR_OK) {
		partition_unref(p);
		return e;
	}
	*ret_p = p;
	return ERR_OK;
}

void partition_close(struct log_partition *p)
{
	partition_unregister(p);
	p->topic = NULL;
	p->state = PARTITION_DELETED;
	partition_unref(p);
}

/* ---- opening --------------------------------------------------------------------------------- */

static enum err partition_dir_name(
    const struct log_topic *topic, int32_t partition, char *buf, size_t len)
{
	int n = snprintf(buf, len, STR_FMT "-%d", STR_ARG(topic->name), partition);
	return n > 0 && (size_t)n < len ? ERR_OK : err_note(ERR_LIMIT, "topic name too long");
}

/* No directory was found. It may have been lost: the checkpoint record knows. */
static enum err partition_open_new(struct log *log, const struct log_topic *topic,
    struct partition_key key, struct log_partition **ret)
{
	char dir[TOPIC_NAME_MAX + 16];
	TRY(partition_dir_name(topic, key.partition, dir, sizeof(dir)));
	TRY(recovery_check_absent(log, key, dir));
	TRY(partition_new(log, key, str_of(dir), ret));
	(*ret)->producers.loaded = true;
	const struct recovery_row *row = log->recovery ? recovery_row(log->recovery, key) : NULL;
	if (row && row->log_end > 0)
		partition_lose(*ret, row->log_end, row->last_sequence);
	return ERR_OK;
}

void partition_lose(struct log_partition *p, int64_t to, uint64_t last_sequence)
{
	const struct segment *s = partition_durable_segment(p);
	uint64_t first = 1;
	if (s)
		first = s->durable_sequence > 0 ? s->durable_sequence + 1 : s->first_sequence;
	ASSERT(to >= p->log_end);
	p->lost_suffix = true;
	p->lost_from = p->log_end;
	p->lost_end = to;
	p->lost_sequence = first <= last_sequence ? first : 0;
	p->lost_to_sequence = first <= last_sequence ? last_sequence : 0;
}

/*
 * The log start is behind the end, and was put when there were records up to it. So they are gone,
 * and perhaps others behind, which nothing else may know. What comes next has the log start's
 * offset, in a segment of its own.
 */
static enum err partition_open_short(struct log_partition *p, int64_t log_start)
{
	struct segment *active = partition_active(p);
	const struct log_options *options = &p->log->options;
	bool known = p->lost_suffix || !active || active->bad_end ||
	             gap_is_named(p->log, p->key, p->log_end, log_start);
	if (!known) {
		recovery_verdict(ERR_LOST_SUFFIX, "partition=%s log_start=%lld found=%lld", p->dir,
		    (long long)log_start, (long long)p->log_end);
		if (!options->accept_lost_suffix)
			return err_note(ERR_LOST_SUFFIX,
			    "%s ends at offset %lld, before its log start %lld; "
			    "" LOG_LOST_SUFFIX_HELP,
			    p->dir, (long long)p->log_end, (long long)log_start);
		partition_lose(p, log_start, 0);
	}
	if (p->lost_suffix && !active)
		p->lost_from = log_start; /* before that, all was deleted */
	if (p->lost_suffix && p->lost_end < log_start)
		p->lost_end = log_start;
	if (active && active->bad_end)
		active->end_offset = log_start; /* its last frames do not verify: DAMAGED */
	p->log_end = p->visible_end = p->durable_end = log_start;
	p->roll_soon = active != NULL;
	return ERR_OK;
}

enum err partition_open(struct log *log, const struct log_topic *topic, int32_t partition,
    int64_t log_start, uint32_t leader_epoch, struct log_partition **ret_partition)
{
	struct partition_key key = {.topic_id = topic->id, .partition = partition};
	struct log_partition *p = partition_by_key(log, key);

	loop_assert_owner(log->loop);
	ASSERT(partition >= 0 && log_start >= 0);
	if (p) {
		ASSERT(p->state == PARTITION_FOUND);
		if (p->verdict != ERR_OK)
			return err_note(p->verdict, "partition %s%s", p->dir,
			    p->verdict == ERR_LOST_SUFFIX
			        ? " ends before what was acknowledged; " LOG_LOST_SUFFIX_HELP
			        : "");
	} else {
		TRY(partition_open_new(log, topic, key, &p));
	}
	if (log_start > p->log_end)
		TRY(partition_open_short(p, log_start));
	p->topic = topic;
	p->leader_epoch = leader_epoch;
	p->state = PARTITION_OPEN;
	if (p->damaged)
		log->damaged_partitions++;
	partition_skip(p, log_start);
	/* where the catalog itself begins is said by its rows, which are read later */
	bool catalog = log_uuid_equal(topic->id, CATALOG_TOPIC_ID);
	enum err e = recovery_check_segments(p, catalog ? INT64_MAX : log_start);
	if (e != ERR_OK) {
		p->state = PARTITION_FOUND;
		p->topic = NULL;
		return e;
	}
	if (log_start > p->log_start)
		p->log_start = log_start;
	if (p->max_timestamp_offset < p->log_start && p->max_timestamp_ms >= 0)
		partition_latest(p);
	if (txns_oldest(&p->txns))
		list_push_back(&log->txn_partitions, &p->txn_node);
	/* ends, links and sequences are as they are without what recovery found bad */
	p->damage.lasting = p->damaged;
	damage_save(p);
	*ret_partition = p;
	return ERR_OK;
}

struct log_partition *partition_by_key(const struct log *log, struct partition_key key)
{
	return map_get(&log->partitions, partition_map_key(&key));
}

struct log_partition *partition_found_next(struct log *log, size_t *cursor)
{
	struct log_partition *p;
	while ((p = map_next(&log->partitions, cursor)))
		if (p->state == PARTITION_FOUND)
			return p;
	return NULL;
}

/* ---- segments -------------------------------------------------------------------------------- */

enum err partition_path(const struct log_partition *p, const char *name, char *buf)
{
	return engine_path(p->log, buf, "topics/%s/%s", p->dir, name);
}

struct segment *partition_segment(const struct log_partition *p, size_t index)
{
	LIST_EACH (&p->segments, n, next)
		if (index-- == 0)
			return CONTAINER_OF(n, struct segment, node);
	return NULL;
}

struct segment *partition_durable_segment(const struct log_partition *p)
{
	for (struct list_node *n = p->segments.head.prev; n != &p->segments.head; n = n->prev) {
		struct segment *s = CONTAINER_OF(n, struct segment, node);
		if (s->durable_size > SEGMENT_HEADER_BYTES)
			return s;
	}
	/* nothing durable at all: where the first frame will be, whatever was rolled meanwhile */
	struct list_node *oldest = list_first(&p->segments);
	return oldest ? CONTAINER_OF(oldest, struct segment, node) : NULL;
}

void partition_roll_soon(struct log_partition *p)
{
	p->roll_soon = true;
}

void partition_unread(struct log_partition *p, const struct segment *s, uint32_t pos, enum err why)
{
	metric_add(METRIC_READ_ERRORS, 1);
	diag(DIAG_ERROR, "read", "partition=%s segment=%lld pos=%u error=%s", p->dir,
	    (long long)s->base_offset, pos, err_name(why));
	p->unread_pass = scrub_pass(p->log->scrub);
	p->log->unread_partitions += !p->unread;
	p->unread = true;
}

void partition_read_again(struct log_partition *p)
{
	ASSERT(p->log->unread_partitions >= p->unread);
	p->log->unread_partitions -= p->unread;
	p->unread = false;
}

void partition_damaged(
    struct log_partition *p, const struct segment *s, uint32_t pos, const char *what)
{
	if (p->state == PARTITION_DELETED)
		return; /* what was read was perhaps another's */
	metric_add(METRIC_DAMAGED_FRAMES, 1);
	diag(DIAG_ERROR, "damaged", "partition=%s segment=%lld pos=%u what=\"%s\"", p->dir,
	    (long long)s->base_offset, pos, what);
	damage_note(p, s->base_offset, pos);
	if (p->damaged)
		return;
	p->damaged = true;
	if (p->state == PARTITION_OPEN)
		p->log->damaged_partitions++;
}

void partition_undamaged(struct log_partition *p)
{
	if (!p->damaged)
		return;
	p->damaged = false;
	if (p->state == PARTITION_OPEN) {
		ASSERT(p->log->damaged_partitions > 0);
		p->log->damaged_partitions--;
	}
}

/* ---- what others may know -------------------------------------------------------------------- */

void log_partition_status(const struct log_partition *p, struct log_partition_status *ret_status)
{
	*ret_status = (struct log_partition_status){
	    .topic = p->topic,
	    .partition = p->key.partition,
	    .log_start = p->log_start,
	    .visible_end = p->visible_end,
	    .durable_end = p->durable_end,
	    .stable_end = partition_stable_end(p),
	    .log_end = p->log_end,
	    .leader_epoch = p->leader_epoch,
	    .max_timestamp_ms = p->max_timestamp_ms,
	    .max_timestamp_offset = p->max_timestamp_offset,
	    .size_bytes = p->size_bytes,
	    .segment_count = p->segment_count,
	    .damaged = p->damaged,
	};
}

bool log_segment_status(
    const struct log_partition *p, size_t index, struct log_segment_status *ret_status)
{
	const struct segment *s = partition_segment(p, index);
	if (!s)
		return false;
	*ret_status = (struct log_segment_status){
	    .base_offset = s->base_offset,
	    .end_offset = s->end_offset,
	    .first_sequence = s->first_sequence,
	    .size_bytes = s->size,
	    .max_timestamp_ms = s->index.max_timestamp_ms,
	    .generation = s->generation,
	    .original_bytes = s->rewrite.end_offset ? s->rewrite.original_bytes : s->size,
	    .compacted = s->rewrite.end_offset > 0 && s->rewrite.clean_end >= s->end_offset,
	    .codec = s->rewrite.end_offset > 0 && s->rewrite.codec != SEGMENT_AS_SENT
	                 ? s->rewrite.codec
	                 : -1,
	};
	return true;
}
