/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/topic_admin.h"

enum { ERRSTR = 512 };

/* ---- topics ---------------------------------------------------------------------------------- */

static const rd_kafka_topic_result_t **topics_of(rd_kafka_event_t *event, size_t *ret_count)
{
	switch (rd_kafka_event_type(event)) {
	case RD_KAFKA_EVENT_CREATETOPICS_RESULT:
		return rd_kafka_CreateTopics_result_topics(
		    rd_kafka_event_CreateTopics_result(event), ret_count);
	case RD_KAFKA_EVENT_DELETETOPICS_RESULT:
		return rd_kafka_DeleteTopics_result_topics(
		    rd_kafka_event_DeleteTopics_result(event), ret_count);
	default:
		return rd_kafka_CreatePartitions_result_topics(
		    rd_kafka_event_CreatePartitions_result(event), ret_count);
	}
}

/* Takes the queue; the first topic that failed is the answer. */
static enum err topics_end(rd_kafka_queue_t *queue, rd_kafka_event_type_t type)
{
	rd_kafka_event_t *event = NULL;
	enum err e = kclient_admin_wait(queue, type, &event);
	if (e == ERR_OK) {
		size_t count;
		const rd_kafka_topic_result_t **results = topics_of(event, &count);
		for (size_t i = 0; e == ERR_OK && i < count; i++) {
			rd_kafka_resp_err_t code = rd_kafka_topic_result_error(results[i]);
			if (code)
				e = kclient_err(
				    code, rd_kafka_topic_result_error_string(results[i]));
		}
		rd_kafka_event_destroy(event);
	}
	rd_kafka_queue_destroy(queue);
	return e;
}

enum err topic_admin_create(rd_kafka_t *rk, rd_kafka_NewTopic_t *topic)
{
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	rd_kafka_CreateTopics(rk, &topic, 1, NULL, queue);
	return topics_end(queue, RD_KAFKA_EVENT_CREATETOPICS_RESULT);
}

enum err topic_admin_delete(rd_kafka_t *rk, const char *name)
{
	rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(name);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	rd_kafka_DeleteTopics(rk, &topic, 1, NULL, queue);
	enum err e = topics_end(queue, RD_KAFKA_EVENT_DELETETOPICS_RESULT);
	rd_kafka_DeleteTopic_destroy(topic);
	return e;
}

enum err topic_admin_grow(rd_kafka_t *rk, const char *name, int count)
{
	char text[ERRSTR];
	rd_kafka_NewPartitions_t *parts =
	    rd_kafka_NewPartitions_new(name, (size_t)count, text, sizeof text);
	if (!parts)
		return err_note(ERR_INVALID, "%s", text);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	rd_kafka_CreatePartitions(rk, &parts, 1, NULL, queue);
	enum err e = topics_end(queue, RD_KAFKA_EVENT_CREATEPARTITIONS_RESULT);
	rd_kafka_NewPartitions_destroy(parts);
	return e;
}

/* ---- configuration --------------------------------------------------------------------------- */

static enum err first_error(const rd_kafka_ConfigResource_t **resources, size_t count)
{
	if (count != 1)
		return err_note(ERR_BAD_VALUE, "the broker answered about %zu resources", count);
	rd_kafka_resp_err_t code = rd_kafka_ConfigResource_error(resources[0]);
	return code ? kclient_err(code, rd_kafka_ConfigResource_error_string(resources[0]))
	            : ERR_OK;
}

enum err topic_configs_read(rd_kafka_t *rk, const char *name, struct topic_configs *ret_configs)
{
	rd_kafka_ConfigResource_t *wanted =
	    rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	struct topic_configs c = {0};
	rd_kafka_DescribeConfigs(rk, &wanted, 1, NULL, queue);
	enum err e = kclient_admin_wait(queue, RD_KAFKA_EVENT_DESCRIBECONFIGS_RESULT, &c.event);
	if (e == ERR_OK) {
		size_t n = 0;
		const rd_kafka_ConfigResource_t **r = rd_kafka_DescribeConfigs_result_resources(
		    rd_kafka_event_DescribeConfigs_result(c.event), &n);
		e = first_error(r, n);
		if (e == ERR_OK)
			c.entries = rd_kafka_ConfigResource_configs(r[0], &c.count);
	}
	rd_kafka_queue_destroy(queue);
	rd_kafka_ConfigResource_destroy(wanted);
	if (e == ERR_OK)
		*ret_configs = c;
	else
		topic_configs_release(&c);
	return e;
}

void topic_configs_release(struct topic_configs *configs)
{
	if (configs->event)
		rd_kafka_event_destroy(configs->event);
	*configs = (struct topic_configs){0};
}

const rd_kafka_ConfigEntry_t *topic_configs_find(const struct topic_configs *c, struct str key)
{
	for (size_t i = 0; i < c->count; i++)
		if (str_equal(str_of(rd_kafka_ConfigEntry_name(c->entries[i])), key))
			return c->entries[i];
	return NULL;
}

enum err topic_configs_write(rd_kafka_t *rk, rd_kafka_ConfigResource_t *wanted)
{
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	rd_kafka_event_t *event = NULL;
	rd_kafka_AlterConfigs(rk, &wanted, 1, NULL, queue);
	enum err e = kclient_admin_wait(queue, RD_KAFKA_EVENT_ALTERCONFIGS_RESULT, &event);
	if (e == ERR_OK) {
		size_t n = 0;
		const rd_kafka_ConfigResource_t **r = rd_kafka_AlterConfigs_result_resources(
		    rd_kafka_event_AlterConfigs_result(event), &n);
		e = first_error(r, n);
		rd_kafka_event_destroy(event);
	}
	rd_kafka_queue_destroy(queue);
	return e;
}
