/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DescribeTopicPartitions: Metadata in pages, in order of name (KIP-966). A page ends after
 * response_partition_limit partitions with a cursor: the topic and partition to go on with.
 */
#include "broker/auth/access.h"
#include "broker/kafka/handlers.h"
#include <stdlib.h>

enum { PAGE_PARTITIONS_MAX = 2000 }; /* Kafka: max.request.partition.size.limit */

static int by_name(const void *a, const void *b)
{
	const struct str *x = a, *y = b;
	return bytes_compare(str_bytes(*x), str_bytes(*y));
}

/* The names asked for, or all, sorted and each once. NULL: no memory. */
static struct str *sorted_names(struct request *req, size_t *ret_count)
{
	const struct describe_topic_partitions_request *body = req->body;
	size_t count = body->topics.count ? body->topics.count : log_topic_count(req->log);
	struct str *names = request_alloc(req, count * sizeof(*names));
	size_t n = 0, cursor = 0, distinct = 0;
	const struct log_topic *t;
	if (!names)
		return NULL;
	for (; n < body->topics.count; n++)
		names[n] = body->topics.at[n].name;
	while (body->topics.count == 0 && n < count && (t = log_topic_next(req->log, &cursor))) {
		if (access_topic(req, t->name) == ERR_OK)
			names[n++] = t->name;
	}
	qsort(names, n, sizeof(*names), by_name);
	for (size_t i = 0; i < n; i++) {
		if (distinct == 0 || !str_equal(names[distinct - 1], names[i]))
			names[distinct++] = names[i];
	}
	*ret_count = distinct;
	return names;
}

static bool fill_partitions(struct request *req, const struct log_topic *t, int32_t from,
    int32_t to, struct describe_topic_partitions_response_topic *out)
{
	struct nodes nodes;
	size_t count = (size_t)(to - from);
	out->partitions.at =
	    request_new(req, &describe_topic_partitions_response_partition_shape, count);
	if (!out->partitions.at || !request_nodes(req, &nodes))
		return false;
	out->partitions.count = (uint32_t)count;
	for (uint32_t i = 0; i < count; i++) {
		struct describe_topic_partitions_response_partition *p = &out->partitions.at[i];
		struct log_partition *partition =
		    log_partition_find(req->log, t, from + (int32_t)i);
		struct log_partition_status s = {0};
		if (partition)
			log_partition_status(partition, &s);
		p->partition_index = from + (int32_t)i;
		p->replica_nodes.at = p->isr_nodes.at = nodes_copies(&nodes, t, from + (int32_t)i);
		p->replica_nodes.count = p->isr_nodes.count = nodes.count;
		p->leader_id = p->replica_nodes.at[0];
		p->leader_epoch = (int32_t)s.leader_epoch;
		/* nullable, but Java's admin client does not expect null */
		p->eligible_leader_replicas.at = p->last_known_elr.at = nodes.ring;
	}
	return true;
}

static bool set_cursor(struct request *req, struct str topic, int32_t partition)
{
	struct describe_topic_partitions_response *r = req->response;
	r->next_cursor = request_new(req, &describe_topic_partitions_response_cursor_shape, 1);
	if (!r->next_cursor)
		return false;
	r->next_cursor->topic_name = topic;
	r->next_cursor->partition_index = partition;
	return true;
}

/* One topic from partition `from` on, at most *room partitions of it. False: no memory. */
static bool fill_topic(struct request *req, struct str name, int32_t from, int32_t *room)
{
	struct describe_topic_partitions_response *r = req->response;
	struct describe_topic_partitions_response_topic *out = &r->topics.at[r->topics.count++];
	enum err err = ERR_OK;
	const struct log_topic *t = topic_named(req, name, (struct log_uuid){{0}}, &err);
	out->name = name;
	if (!t) {
		out->error_code = err_kafka(err);
		return true;
	}
	out->topic_id = t->id;
	out->is_internal = t->internal;
	out->topic_authorized_operations =
	    access_operations(req, ACL_TOPIC, t->name, OPERATIONS_TOPIC);
	if (from > t->partition_count)
		from = 0;
	int32_t to = t->partition_count;
	if (to - from > *room)
		to = from + *room;
	*room -= to - from;
	if (to < t->partition_count && !set_cursor(req, name, to))
		return false;
	return fill_partitions(req, t, from, to, out);
}

static bool fill(struct request *req)
{
	const struct describe_topic_partitions_request *body = req->body;
	struct describe_topic_partitions_response *r = req->response;
	struct str start = body->cursor ? body->cursor->topic_name : (struct str){NULL, 0};
	int32_t room = body->response_partition_limit;
	size_t count = 0;
	struct str *names = sorted_names(req, &count);
	if (room > PAGE_PARTITIONS_MAX)
		room = PAGE_PARTITIONS_MAX;
	r->topics.at = request_new(req, &describe_topic_partitions_response_topic_shape, count);
	if (!names || !r->topics.at)
		return false;
	for (size_t i = 0; i < count && !r->next_cursor; i++) {
		int order = start.ptr ? by_name(&names[i], &start) : 1;
		if (order < 0)
			continue;
		if (room == 0)
			return set_cursor(req, names[i], 0);
		if (!fill_topic(
		        req, names[i], order == 0 ? body->cursor->partition_index : 0, &room))
			return false;
	}
	return true;
}

/* There is no place for an error but with the topics. */
static bool fill_refused(struct request *req, enum err err)
{
	const struct describe_topic_partitions_request *body = req->body;
	struct describe_topic_partitions_response *r = req->response;
	uint32_t count = body->topics.count;
	r->topics.at = request_new(req, &describe_topic_partitions_response_topic_shape, count);
	if (!r->topics.at)
		return false;
	r->topics.count = count;
	for (uint32_t i = 0; i < count; i++) {
		r->topics.at[i].name = body->topics.at[i].name;
		r->topics.at[i].error_code = err_kafka(err);
	}
	return true;
}

void handle_describe_topic_partitions(struct request *req)
{
	const struct describe_topic_partitions_request *body = req->body;
	bool good = body->response_partition_limit > 0 &&
	            !(body->cursor && body->cursor->partition_index < 0);
	if (good ? fill(req) : fill_refused(req, ERR_INVALID_REQUEST))
		request_answer(req);
	else
		request_fail(req, ERR_LIMIT);
}
