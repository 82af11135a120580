/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics of topics and groups under the names of kafka_exporter, so that its dashboards work. Runs
 * on the scraping thread with copies.
 */
#include "broker/http/observe.h"
#include <stdio.h>

static void family(struct writer *out, const char *name, const char *help)
{
	write_printf(out, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name);
}

/* ---- topics ---------------------------------------------------------------------------------- */

typedef double (*part_value)(const struct log_partition_status *p);

static double part_end(const struct log_partition_status *p)
{
	return (double)p->visible_end;
}
static double part_durable(const struct log_partition_status *p)
{
	return (double)p->durable_end;
}
static double part_start(const struct log_partition_status *p)
{
	return (double)p->log_start;
}
static double part_bytes(const struct log_partition_status *p)
{
	return (double)p->size_bytes;
}

static void write_parts(
    struct writer *out, const char *name, const struct seen_topic *topics, part_value value)
{
	for (const struct seen_topic *t = topics; t; t = t->next) {
		for (int32_t i = 0; i < t->partition_count; i++) {
			char number[16];
			snprintf(number, sizeof(number), "%d", i);
			const struct str labels[][2] = {
			    {STR("partition"), str_of(number)}, {STR("topic"), t->name}};
			metrics_sample(out, name, labels, 2, value(&t->parts[i]));
		}
	}
}

/* Which topics are acknowledged before their records are on disk, for all to see. */
static void write_durability(struct writer *out, const struct seen_topic *topics)
{
	static const char *const names[] = {[LOG_DURABILITY_FSYNC] = "fsync",
	    [LOG_DURABILITY_INTERVAL] = "interval",
	    [LOG_DURABILITY_NONE] = "none"};
	family(out, "kappa_topic_durability",
	    "What an acknowledgement of the topic means, as a label");
	for (const struct seen_topic *t = topics; t; t = t->next) {
		const struct str labels[][2] = {
		    {STR("durability"), str_of(names[t->durability])}, {STR("topic"), t->name}};
		metrics_sample(out, "kappa_topic_durability", labels, 2, 1);
	}
}

static void write_topics(struct writer *out, const struct seen_topic *topics)
{
	write_durability(out, topics);
	family(out, "kafka_topic_partitions", "Number of partitions of a topic");
	for (const struct seen_topic *t = topics; t; t = t->next) {
		const struct str labels[][2] = {{STR("topic"), t->name}};
		metrics_sample(out, "kafka_topic_partitions", labels, 1, t->partition_count);
	}
	family(out, "kafka_topic_partition_current_offset", "Offset behind the newest record");
	write_parts(out, "kafka_topic_partition_current_offset", topics, part_end);
	family(out, "kappa_topic_partition_durable_offset",
	    "Offset behind the newest record that is on disk");
	write_parts(out, "kappa_topic_partition_durable_offset", topics, part_durable);
	family(out, "kafka_topic_partition_oldest_offset", "Offset of the oldest record");
	write_parts(out, "kafka_topic_partition_oldest_offset", topics, part_start);
	family(out, "kappa_topic_partition_bytes", "Bytes on disk");
	write_parts(out, "kappa_topic_partition_bytes", topics, part_bytes);
}

/* ---- groups ---------------------------------------------------------------------------------- */

/* False: no sample. */
typedef bool (*offset_value)(const struct seen_offset *o, double *ret_value);

static bool offset_committed(const struct seen_offset *o, double *ret_value)
{
	*ret_value = (double)o->committed;
	return o->committed >= 0;
}

static bool offset_lag(const struct seen_offset *o, double *ret_value)
{
	*ret_value = o->end > o->committed ? (double)(o->end - o->committed) : 0;
	return o->committed >= 0 && o->end >= 0;
}

static void write_offsets(
    struct writer *out, const char *name, const struct seen_group *groups, offset_value value)
{
	for (const struct seen_group *g = groups; g; g = g->next) {
		for (size_t i = 0; i < g->offset_count; i++) {
			const struct seen_offset *o = &g->offsets[i];
			char number[16];
			double v;
			snprintf(number, sizeof(number), "%d", o->partition);
			const struct str labels[][2] = {{STR("consumergroup"), g->name},
			    {STR("partition"), str_of(number)}, {STR("topic"), o->topic}};
			if (value(o, &v))
				metrics_sample(out, name, labels, 3, v);
		}
	}
}

/* One sample per group and topic; offsets are in order of topic. */
static void write_sums(
    struct writer *out, const char *name, const struct seen_group *groups, offset_value value)
{
	for (const struct seen_group *g = groups; g; g = g->next) {
		size_t i = 0;
		while (i < g->offset_count) {
			struct str topic = g->offsets[i].topic;
			double sum = 0, v;
			bool any = false;
			for (; i < g->offset_count && str_equal(g->offsets[i].topic, topic); i++) {
				if (!value(&g->offsets[i], &v))
					continue;
				sum += v;
				any = true;
			}
			const struct str labels[][2] = {
			    {STR("consumergroup"), g->name}, {STR("topic"), topic}};
			if (any)
				metrics_sample(out, name, labels, 2, sum);
		}
	}
}

static void write_groups(struct writer *out, const struct seen_group *groups)
{
	family(out, "kafka_consumergroup_members", "Members of a consumer group");
	for (const struct seen_group *g = groups; g; g = g->next) {
		const struct str labels[][2] = {{STR("consumergroup"), g->name}};
		metrics_sample(
		    out, "kafka_consumergroup_members", labels, 1, (double)g->member_count);
	}
	family(out, "kafka_consumergroup_current_offset", "Committed offset");
	write_offsets(out, "kafka_consumergroup_current_offset", groups, offset_committed);
	family(out, "kafka_consumergroup_current_offset_sum", "Committed offsets of a topic");
	write_sums(out, "kafka_consumergroup_current_offset_sum", groups, offset_committed);
	family(out, "kafka_consumergroup_lag", "Records behind the committed offset");
	write_offsets(out, "kafka_consumergroup_lag", groups, offset_lag);
	family(
	    out, "kafka_consumergroup_lag_sum", "Records behind the committed offsets of a topic");
	write_sums(out, "kafka_consumergroup_lag_sum", groups, offset_lag);
}

void exporter_collect(void *ctx, struct writer *out)
{
	const struct str all = {NULL, 0};
	struct arena arena;
	struct seen_topic *topics = NULL;
	struct seen_group *groups = NULL;
	arena_init(&arena, OBSERVE_BYTES_MAX);
	family(out, "kafka_brokers", "Number of brokers");
	metrics_sample(out, "kafka_brokers", NULL, 0, 1);
	if (observe_topics(ctx, all, &arena, &topics) == ERR_OK)
		write_topics(out, topics);
	if (observe_groups(ctx, all, &arena, &groups) == ERR_OK)
		write_groups(out, groups);
	arena_release(&arena);
}
