/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input of a running version: which partitions it reads, from where, and the scan over them. The
 * catalog's own partition is the scan's last source: a batch there says that a topic may have got
 * partitions, before the first record in them.
 */
#include "log/catalog.h"
#include "processor/version_parts.h"

/* Catalog records re-read at each opening, so that none falls between a look at the topics and the
 * scan. */
enum { CATALOG_REWIND = 64 };

static struct version_part *find_part(
    struct version *v, struct log_uuid topic_id, int32_t partition)
{
	for (size_t i = 0; i < v->part_count; i++)
		if (v->parts[i].partition == partition &&
		    log_uuid_equal(v->parts[i].topic_id, topic_id))
			return &v->parts[i];
	return NULL;
}

static enum err add_part(
    struct version *v, struct log_uuid topic_id, int32_t partition, int64_t next_offset)
{
	struct version_part *p = find_part(v, topic_id, partition);
	if (p) {
		p->next_offset = next_offset;
		return ERR_OK;
	}
	if (v->part_count == v->part_capacity) {
		size_t capacity = v->part_capacity ? v->part_capacity * 2 : 16;
		struct version_part *parts = mem_realloc(v->parts, capacity * sizeof(*parts));
		if (!parts)
			return ERR_NOMEM;
		v->parts = parts;
		v->part_capacity = capacity;
	}
	v->parts[v->part_count++] = (struct version_part){
	    .topic_id = topic_id, .partition = partition, .next_offset = next_offset};
	return ERR_OK;
}

static enum err load_position(void *ctx, const struct store_position *p)
{
	return add_part(ctx, p->topic_id, p->partition, p->next_offset);
}

enum err input_load(struct version *v)
{
	for (size_t i = 0; i < v->spec.part_count; i++) {
		const struct definition_part *p = &v->spec.parts[i];
		TRY(add_part(
		    v, p->topic_id, p->partition, p->from > p->log_start ? p->from : p->log_start));
	}
	return store_positions(v->store, load_position, v);
}

/* ---- a look at the topics, on the log's loop ------------------------------------------------- */

struct look {
	struct version *v;
	enum err err;
	uint64_t durable_sequence;
	int64_t catalog_from;
	bool has_catalog;
};

static enum err look_at_topic(struct version *v, struct log_uuid topic_id)
{
	const struct log_topic *topic = log_topic_by_id(v->spec.log, topic_id);
	char id[UUID_TEXT_BYTES];
	if (!topic)
		return err_note(
		    ERR_SOURCE_GONE, "the topic with id %s was deleted", uuid_format(topic_id, id));
	for (int32_t i = 0; i < topic->partition_count; i++)
		if (!find_part(v, topic_id, i))
			TRY(add_part(v, topic_id, i, 0));
	return ERR_OK;
}

static void look_at_topics(void *arg)
{
	struct look *look = arg;
	struct version *v = look->v;
	const struct log *log = v->spec.log;
	struct log_status st;
	log_status(log, &st);
	look->durable_sequence = st.durable_sequence;
	for (uint32_t i = 0; i < v->spec.plan->source_count && look->err == ERR_OK; i++)
		look->err = look_at_topic(v, v->spec.plan->sources[i]->table->topic_id);
	const struct log_topic *catalog = log_topic_by_id(log, CATALOG_TOPIC_ID);
	const struct log_partition *p = catalog ? log_partition_find(log, catalog, 0) : NULL;
	look->has_catalog = p != NULL;
	if (!p)
		return;
	struct log_partition_status ps;
	log_partition_status(p, &ps);
	look->catalog_from = ps.durable_end - CATALOG_REWIND;
	if (look->catalog_from < ps.log_start)
		look->catalog_from = ps.log_start;
}

/* The chain of an error is the thread's own: what was noted on the loop is said again here. */
static enum err look(struct version *v, struct look *look)
{
	*look = (struct look){.v = v};
	loop_call(log_loop(v->spec.log), look_at_topics, look);
	if (look->err == ERR_SOURCE_GONE)
		return err_note(ERR_SOURCE_GONE, "a topic that the view reads was deleted");
	return look->err;
}

enum err input_open(struct version *v)
{
	struct look found;
	size_t known = v->part_count;
	TRY(look(v, &found));
	if (v->scan && v->part_count == known)
		return ERR_OK;
	if (v->view.head.sequence > found.durable_sequence)
		return err_note(ERR_VIEW_AHEAD,
		    "the view stands at sequence %llu, the log ends at %llu",
		    (unsigned long long)v->view.head.sequence,
		    (unsigned long long)found.durable_sequence);
	log_scan_close(v->scan);
	v->scan = NULL;
	struct log_scan_source *sources = mem_calloc(v->part_count + 1, sizeof(*sources));
	if (!sources)
		return ERR_NOMEM;
	for (size_t i = 0; i < v->part_count; i++)
		sources[i] = (struct log_scan_source){.topic_id = v->parts[i].topic_id,
		    .partition = v->parts[i].partition,
		    .from_offset = v->parts[i].next_offset};
	sources[v->part_count] = (struct log_scan_source){
	    .topic_id = CATALOG_TOPIC_ID, .partition = 0, .from_offset = found.catalog_from};
	enum err err =
	    log_scan_open(v->spec.log, sources, v->part_count + found.has_catalog, &v->scan);
	mem_free(sources);
	if (err == ERR_OK && v->barrier && !v->barrier->hold)
		log_scan_limit(v->scan, v->barrier->sequence);
	return err;
}

struct version_part *input_part(struct version *v, uint32_t source)
{
	return source < v->part_count ? &v->parts[source] : NULL;
}
