/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CreateTopics, DeleteTopics, CreatePartitions: each topic of a request is one durable change of
 * the catalog; the request is answered when the last of them is done. Replication factors above 1
 * are accepted, because clients ask for 3 by habit; what is reported back is 1 (nodes.c).
 */
#include "broker/auth/access.h"
#include "broker/groups/groups.h"
#include "broker/kafka/handlers.h"
#include "broker/quotas/quotas.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* One change under way, and what its request waits for. */
struct topic_change {
	struct log_topic_req topic;
	struct topic_changes *owner;
	bool asked;         /* false: refused before it got to the log */
	int32_t partitions; /* that come or go */
	struct str message;
};
struct topic_changes {
	struct request *req;
	uint32_t pending;
	uint32_t count;
	struct topic_change *change;
	void (*finish)(struct topic_changes *changes);
};

static struct topic_changes *changes_new(
    struct request *req, uint32_t count, void (*finish)(struct topic_changes *changes))
{
	struct topic_changes *c = request_alloc(req, sizeof(*c));
	if (!c)
		return NULL;
	c->req = req;
	c->count = count;
	c->finish = finish;
	c->change = request_alloc(req, count * sizeof(*c->change));
	return c->change ? c : NULL;
}

/* Settles one change without the log. */
static void PRINTF(3, 4) refuse(struct topic_change *change, enum err err, const char *fmt, ...);

static void refuse(struct topic_change *change, enum err err, const char *fmt, ...)
{
	char text[200];
	va_list ap;
	va_start(ap, fmt);
	int len = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	change->topic.err = err;
	if (len > 0)
		change->message = request_text(change->owner->req, "%s", text);
}

static void on_change(struct log_topic_req *topic)
{
	struct topic_change *change = CONTAINER_OF(topic, struct topic_change, topic);
	struct topic_changes *c = change->owner;
	if (topic->err != ERR_OK)
		change->message = topic->message[0]
		                      ? request_text(c->req, "%s", topic->message)
		                      : request_text(c->req, "%s", err_text(topic->err));
	ASSERT(c->pending > 0);
	if (--c->pending == 0)
		c->finish(c);
}

/* Who is over his quota is refused from version `strict_from` on (KIP-599), and waits before. */
static void charge(struct topic_change *change, int16_t strict_from)
{
	struct request *req = change->owner->req;
	if (change->topic.validate_only)
		return;
	if (req->version >= strict_from && !request_charge(req, QUOTA_MUTATION, 0))
		refuse(change, ERR_THROTTLED,
		    "controller_mutation_rate is exceeded: try again in %d ms", req->throttle_ms);
	else
		(void)request_charge(req, QUOTA_MUTATION, change->partitions);
}

/* Sends what was not refused to the log. */
static void changes_submit(struct topic_changes *c, int16_t strict_from)
{
	c->pending = 1;
	for (uint32_t i = 0; i < c->count; i++) {
		struct topic_change *change = &c->change[i];
		if (change->topic.err == ERR_OK)
			charge(change, strict_from);
		change->asked = change->topic.err == ERR_OK;
		c->pending += change->asked;
	}
	for (uint32_t i = 0; i < c->count; i++) {
		if (!c->change[i].asked)
			continue;
		c->change[i].topic.done = on_change;
		log_topic_submit(c->req->log, &c->change[i].topic);
	}
	if (--c->pending == 0)
		c->finish(c);
}

/* ---- finding names that occur twice ---------------------------------------------------------- */

struct named {
	struct str name;
	uint32_t index;
};

static int by_name(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	return bytes_compare(str_bytes(x->name), str_bytes(y->name));
}

/* Refuses every change whose name another one of the request has too. False: no memory. */
static bool refuse_twins(struct topic_changes *c)
{
	struct named *names = request_alloc(c->req, c->count * sizeof(*names));
	if (!names)
		return false;
	for (uint32_t i = 0; i < c->count; i++)
		names[i] = (struct named){c->change[i].topic.name, i};
	qsort(names, c->count, sizeof(*names), by_name);
	for (uint32_t i = 0; i < c->count; i++) {
		bool twin = (i > 0 && str_equal(names[i].name, names[i - 1].name)) ||
		            (i + 1 < c->count && str_equal(names[i].name, names[i + 1].name));
		if (twin && names[i].name.ptr)
			refuse(&c->change[names[i].index], ERR_INVALID_REQUEST,
			    "the request names topic '" STR_FMT "' more than once",
			    STR_ARG(names[i].name));
	}
	return true;
}

/* ---- CreateTopics ---------------------------------------------------------------------------- */

static int by_number(const void *a, const void *b)
{
	int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
	return (x > y) - (x < y);
}

static bool has_twins(int32_t *numbers, uint32_t count)
{
	bool twins = false;
	if (count > 0)
		qsort(numbers, count, sizeof(*numbers), by_number);
	for (uint32_t i = 1; i < count; i++)
		twins |= numbers[i] == numbers[i - 1];
	return twins;
}

/* Explicit assignments say how many partitions there are; which brokers is of no consequence. */
static enum err assigned_count(
    struct request *req, const struct create_topics_request_topic *t, int32_t *ret_count)
{
	uint32_t n = t->assignments.count;
	int32_t *partitions = request_alloc(req, n * sizeof(*partitions));
	if (!partitions)
		return ERR_LIMIT;
	for (uint32_t i = 0; i < n; i++) {
		const struct create_topics_request_assignment *a = &t->assignments.at[i];
		partitions[i] = a->partition_index;
		if (a->partition_index < 0 || a->partition_index >= (int32_t)n ||
		    a->broker_ids.count == 0)
			return err_note(ERR_INVALID_ASSIGNMENT,
			    "the assignment is not one of partitions 0 to n-1");
		TRY(request_check_brokers(req, a->broker_ids.at, a->broker_ids.count));
		if (has_twins(a->broker_ids.at, a->broker_ids.count))
			return err_note(ERR_INVALID_ASSIGNMENT,
			    "the assignment of partition %d names a broker twice",
			    a->partition_index);
	}
	if (has_twins(partitions, n))
		return err_note(
		    ERR_INVALID_ASSIGNMENT, "the assignment names a partition more than once");
	*ret_count = (int32_t)n;
	return ERR_OK;
}

static bool take_configs(struct topic_change *change, const struct create_topics_request_topic *t)
{
	struct str(*pairs)[2] =
	    request_alloc(change->owner->req, t->configs.count * sizeof(*pairs));
	size_t n = 0;
	if (!pairs)
		return false;
	for (uint32_t i = 0; i < t->configs.count; i++) {
		if (!t->configs.at[i].value.ptr) /* null: the default */
			continue;
		pairs[n][0] = t->configs.at[i].name;
		pairs[n++][1] = t->configs.at[i].value;
	}
	change->topic.configs = (const struct str(*)[2])pairs;
	change->topic.config_count = n;
	return true;
}

static void prepare_create(struct topic_change *change, const struct create_topics_request_topic *t)
{
	const struct create_topics_request *body = change->owner->req->body;
	const struct broker *b = change->owner->req->broker;
	enum err err;
	int32_t count = t->num_partitions;
	change->topic.op = LOG_TOPIC_CREATE;
	change->topic.validate_only = body->validate_only;
	if (t->assignments.count > 0) {
		if (t->num_partitions != -1 || t->replication_factor != -1)
			refuse(change, ERR_INVALID_REQUEST,
			    "partition count and replication factor must be -1 beside an "
			    "assignment");
		else if ((err = assigned_count(change->owner->req, t, &count)) != ERR_OK)
			refuse(change, err, "%s", err_chain());
	} else if (t->replication_factor == 0 || t->replication_factor < -1) {
		refuse(change, ERR_INVALID_REPLICATION, "replication factor %d",
		    t->replication_factor);
	} else if (b->options.test_brokers &&
	           t->replication_factor > (int32_t)request_node_count(change->owner->req)) {
		refuse(change, ERR_INVALID_REPLICATION, "replication factor %d of %u brokers",
		    t->replication_factor, request_node_count(change->owner->req));
	}
	if (count == -1)
		count = b->options.default_partitions;
	change->topic.partition_count = change->partitions = count;
	const struct request *req = change->owner->req;
	if (access_cluster(req) != ERR_OK && access_topic(req, t->name) != ERR_OK)
		refuse(change, ERR_TOPIC_DENIED, "%s", err_text(ERR_TOPIC_DENIED));
	if (change->topic.err == ERR_OK && !take_configs(change, t))
		refuse(change, ERR_LIMIT, "too many configurations");
}

/* The configuration a topic got, for version 5 and up. */
static bool fill_configs(
    struct request *req, const struct log_topic *t, struct create_topics_response_topic *out)
{
	struct log_config_entry entry;
	size_t count = 0;
	while (log_topic_config_entry(count, &entry))
		count++;
	out->configs.at = request_new(req, &create_topics_response_config_shape, count);
	if (!out->configs.at)
		return false;
	for (size_t i = 0; i < count && log_topic_config_entry(i, &entry); i++) {
		struct create_topics_response_config *c = &out->configs.at[out->configs.count];
		char value[256];
		bool is_set = false;
		if (log_topic_config_get(t, str_of(entry.key), value, sizeof(value), &is_set) !=
		    ERR_OK)
			continue;
		c->name = str_of(entry.key);
		c->value = request_text(req, "%s", value);
		c->config_source = is_set ? CONFIG_SOURCE_TOPIC : CONFIG_SOURCE_DEFAULT;
		out->configs.count++;
	}
	return true;
}

static void finish_create(struct topic_changes *c)
{
	struct create_topics_response *r = c->req->response;
	const struct create_topics_request *body = c->req->body;
	r->topics.at = request_new(c->req, &create_topics_response_topic_shape, c->count);
	if (!r->topics.at) {
		request_fail(c->req, ERR_LIMIT);
		return;
	}
	r->topics.count = c->count;
	for (uint32_t i = 0; i < c->count; i++) {
		const struct topic_change *change = &c->change[i];
		struct create_topics_response_topic *out = &r->topics.at[i];
		out->name = change->topic.name;
		out->error_code = err_kafka(change->topic.err);
		out->error_message = change->message;
		if (change->topic.err != ERR_OK)
			continue;
		out->topic_id = change->topic.ret_id;
		out->num_partitions = change->topic.partition_count;
		out->replication_factor = (int16_t)request_node_count(c->req);
		const struct log_topic *t =
		    body->validate_only ? NULL : log_topic_find(c->req->log, out->name);
		if (t && !fill_configs(c->req, t, out)) {
			request_fail(c->req, ERR_LIMIT);
			return;
		}
		if (!out->configs.at)
			out->configs.at =
			    request_new(c->req, &create_topics_response_config_shape, 0);
	}
	request_answer(c->req);
}

void handle_create_topics(struct request *req)
{
	const struct create_topics_request *body = req->body;
	struct topic_changes *c = changes_new(req, body->topics.count, finish_create);
	if (!c) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	for (uint32_t i = 0; i < c->count; i++) {
		c->change[i].owner = c;
		c->change[i].topic.name = body->topics.at[i].name;
		prepare_create(&c->change[i], &body->topics.at[i]);
	}
	if (!refuse_twins(c)) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	changes_submit(c, 6);
}

/* ---- DeleteTopics ---------------------------------------------------------------------------- */

static struct delete_topics_request_topic delete_target(const struct request *req, uint32_t i)
{
	const struct delete_topics_request *body = req->body;
	if (req->version >= 6)
		return body->topics.at[i];
	return (struct delete_topics_request_topic){.name = body->topic_names.at[i]};
}

static void prepare_delete(struct topic_change *change, struct delete_topics_request_topic target)
{
	struct request *req = change->owner->req;
	enum err err = ERR_OK;
	change->topic.op = LOG_TOPIC_DELETE;
	change->topic.name = target.name;
	if (target.name.ptr && !log_uuid_is_zero(target.topic_id)) {
		refuse(
		    change, ERR_INVALID_REQUEST, "a topic is named by name or by id, not by both");
		return;
	}
	const struct log_topic *t = topic_named(req, target.name, target.topic_id, &err);
	if (!t) {
		refuse(change, err, "%s", err_text(err));
		return;
	}
	/* the topic's own string may go before the answer is built */
	change->topic.name = arena_copy_str(&req->arena, t->name);
	change->topic.ret_id = t->id;
	change->partitions = t->partition_count;
	if (t->internal)
		refuse(change, ERR_POLICY_VIOLATION, "internal topics cannot be deleted");
	else if (!change->topic.name.ptr)
		refuse(change, ERR_LIMIT, "%s", err_text(ERR_LIMIT));
}

static void finish_delete(struct topic_changes *c)
{
	struct delete_topics_response *r = c->req->response;
	r->responses.at = request_new(c->req, &delete_topics_response_topic_shape, c->count);
	if (!r->responses.at) {
		request_fail(c->req, ERR_LIMIT);
		return;
	}
	r->responses.count = c->count;
	for (uint32_t i = 0; i < c->count; i++) {
		const struct topic_change *change = &c->change[i];
		struct delete_topics_request_topic target = delete_target(c->req, i);
		struct delete_topics_response_topic *out = &r->responses.at[i];
		bool ok = change->topic.err == ERR_OK;
		if (ok)
			groups_topic_deleted(c->req->broker->groups);
		out->name = ok ? change->topic.name : target.name;
		out->topic_id = ok ? change->topic.ret_id : target.topic_id;
		out->error_code = err_kafka(change->topic.err);
		out->error_message = change->message;
	}
	request_answer(c->req);
}

void handle_delete_topics(struct request *req)
{
	const struct delete_topics_request *body = req->body;
	uint32_t count = req->version >= 6 ? body->topics.count : body->topic_names.count;
	struct topic_changes *c = changes_new(req, count, finish_delete);
	if (!c) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	for (uint32_t i = 0; i < count; i++) {
		c->change[i].owner = c;
		prepare_delete(&c->change[i], delete_target(req, i));
	}
	if (!refuse_twins(c)) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	changes_submit(c, 5);
}

/* ---- CreatePartitions ------------------------------------------------------------------------ */

static void prepare_partitions(
    struct topic_change *change, const struct create_partitions_request_topic *t)
{
	struct request *req = change->owner->req;
	const struct create_partitions_request *body = req->body;
	enum err err = ERR_OK;
	change->topic.op = LOG_TOPIC_ADD_PARTITIONS;
	change->topic.name = t->name;
	change->topic.partition_count = t->count;
	change->topic.validate_only = body->validate_only;
	const struct log_topic *topic = topic_named(req, t->name, (struct log_uuid){{0}}, &err);
	if (!topic)
		refuse(change, err, "%s", err_text(err));
	else if (topic->internal)
		refuse(change, ERR_POLICY_VIOLATION, "partitions of internal topics are fixed");
	else if (t->count <= topic->partition_count)
		refuse(change, ERR_INVALID_PARTITIONS,
		    "the topic has %d partitions, %d were asked for", topic->partition_count,
		    t->count);
	else if (t->assignments.at &&
	         (int64_t)t->assignments.count != t->count - topic->partition_count)
		refuse(change, ERR_INVALID_REQUEST, "%d partitions are new but %u are assigned",
		    t->count - topic->partition_count, t->assignments.count);
	else
		change->partitions = t->count - topic->partition_count;
	for (uint32_t i = 0; change->topic.err == ERR_OK && i < t->assignments.count; i++) {
		err = request_check_brokers(
		    req, t->assignments.at[i].broker_ids.at, t->assignments.at[i].broker_ids.count);
		if (err != ERR_OK)
			refuse(change, err, "%s", err_chain());
	}
}

static void finish_partitions(struct topic_changes *c)
{
	struct create_partitions_response *r = c->req->response;
	r->results.at = request_new(c->req, &create_partitions_response_result_shape, c->count);
	if (!r->results.at) {
		request_fail(c->req, ERR_LIMIT);
		return;
	}
	r->results.count = c->count;
	for (uint32_t i = 0; i < c->count; i++) {
		r->results.at[i].name = c->change[i].topic.name;
		r->results.at[i].error_code = err_kafka(c->change[i].topic.err);
		r->results.at[i].error_message = c->change[i].message;
	}
	request_answer(c->req);
}

void handle_create_partitions(struct request *req)
{
	const struct create_partitions_request *body = req->body;
	struct topic_changes *c = changes_new(req, body->topics.count, finish_partitions);
	if (!c) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	for (uint32_t i = 0; i < c->count; i++) {
		c->change[i].owner = c;
		prepare_partitions(&c->change[i], &body->topics.at[i]);
	}
	if (!refuse_twins(c)) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	changes_submit(c, 3);
}
