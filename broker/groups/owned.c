/* SPDX-License-Identifier: Apache-2.0 */
#include "owned.h"
#include <stdlib.h>

enum err owned_check(const struct log *log, size_t topics, size_t partitions)
{
	if (topics > log_topic_count(log) + CONSUMER_TOPICS_MAX)
		return err_note(ERR_INVALID_REQUEST, "partitions of %zu topics", topics);
	if (partitions > CONSUMER_PARTITIONS_MAX)
		return err_note(ERR_INVALID_REQUEST, "%zu partitions", partitions);
	return ERR_OK;
}

/* Those that are not there at the end. */
static int by_topic(const void *a, const void *b)
{
	const struct owned_topic *x = a, *y = b;
	if (!x->topic || !y->topic)
		return !x->topic - !y->topic;
	return memcmp(x->topic->id.b, y->topic->id.b, sizeof(x->topic->id.b));
}

static int by_part(const void *a, const void *b)
{
	return consumer_part_order(a, b);
}

/* *ret_count: of those that are there. */
static enum err sort_topics(struct owned_topic *topics, size_t *ret_count)
{
	size_t count = 0;
	if (*ret_count)
		qsort(topics, *ret_count, sizeof(*topics), by_topic);
	for (; count < *ret_count && topics[count].topic; count++) {
		const struct log_topic *topic = topics[count].topic;
		if (count > 0 && topics[count - 1].topic == topic)
			return err_note(ERR_INVALID_REQUEST, "a topic twice");
		if (topics[count].count > (uint32_t)topic->partition_count)
			return err_note(ERR_INVALID_REQUEST, "%u partitions of a topic of %d",
			    topics[count].count, topic->partition_count);
	}
	*ret_count = count;
	return ERR_OK;
}

static void add_topic(struct consumer_parts *set, const struct owned_topic *from)
{
	for (uint32_t i = 0; i < from->count; i++) {
		int32_t partition = from->partitions[i];
		if (partition >= 0 && partition < from->topic->partition_count)
			set->at[set->count++] = (struct consumer_part){
			    .topic = from->topic->id, .partition = partition};
	}
}

static void sort_parts(struct consumer_parts *set)
{
	size_t kept = 0;
	if (set->count)
		qsort(set->at, set->count, sizeof(*set->at), by_part);
	for (size_t i = 0; i < set->count; i++) {
		if (kept == 0 || consumer_part_order(&set->at[kept - 1], &set->at[i]) != 0)
			set->at[kept++] = set->at[i];
	}
	set->count = kept;
}

enum err owned_parts(const struct log *log, struct owned_topic *topics, size_t count,
    struct arena *arena, struct consumer_parts *ret_parts)
{
	struct consumer_parts set = {0};
	size_t total = 0;
	for (size_t i = 0; i < count; i++)
		total += topics[i].count;
	TRY(owned_check(log, count, total));
	TRY(sort_topics(topics, &count));
	set.at = arena_alloc(arena, (total + 1) * sizeof(*set.at));
	if (!set.at)
		return ERR_NOMEM;
	for (size_t i = 0; i < count; i++)
		add_topic(&set, &topics[i]);
	sort_parts(&set);
	*ret_parts = set;
	return ERR_OK;
}
