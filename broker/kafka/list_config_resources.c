/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ListConfigResources: what has a configuration here: topics, this broker, and groups that have set
 * something. Version 0 asks for subscriptions to client metrics only, which do not exist.
 */
#include "broker/kafka/handlers.h"
#include "broker/settings/settings.h"
#include <inttypes.h>

enum {
	KNOWN = RESOURCE_TOPIC | RESOURCE_BROKER | RESOURCE_BROKER_LOGGER |
	        RESOURCE_CLIENT_METRICS | RESOURCE_GROUP
};

/* The types asked for as bits, which their numbers are; 0: one of them is not known. */
static unsigned types_asked(const struct request *req)
{
	const struct list_config_resources_request *body = req->body;
	unsigned types = 0;
	if (req->version == 0)
		return RESOURCE_CLIENT_METRICS;
	if (body->resource_types.count == 0)
		return KNOWN;
	for (uint32_t i = 0; i < body->resource_types.count; i++) {
		int8_t type = body->resource_types.at[i];
		if (type <= 0 || !(KNOWN & type) || (type & (type - 1)))
			return 0;
		types |= (unsigned)type;
	}
	return types;
}

static void list_one(struct list_config_resources_response *r, int8_t type, struct str name)
{
	struct list_config_resources_response_resource *out =
	    &r->config_resources.at[r->config_resources.count++];
	out->resource_type = type;
	out->resource_name = name;
}

static void list_all(struct request *req, unsigned types, const struct nodes *nodes)
{
	struct list_config_resources_response *r = req->response;
	const struct log_topic *t;
	struct str group;
	size_t cursor = 0;
	while ((types & RESOURCE_TOPIC) && (t = log_topic_next(req->log, &cursor)))
		list_one(r, RESOURCE_TOPIC, t->name);
	for (uint32_t i = 0; (types & RESOURCE_BROKER) && i < nodes->count; i++)
		list_one(r, RESOURCE_BROKER, request_text(req, "%" PRId32, nodes->at[i].id));
	cursor = 0;
	while (
	    (types & RESOURCE_GROUP) && settings_next_group(req->broker->settings, &cursor, &group))
		list_one(r, RESOURCE_GROUP, group);
}

void handle_list_config_resources(struct request *req)
{
	struct list_config_resources_response *r = req->response;
	unsigned types = types_asked(req);
	struct nodes nodes;
	if (types == 0) {
		r->error_code = err_kafka(ERR_UNSUPPORTED_VERSION);
		request_answer(req);
		return;
	}
	bool ok = request_nodes(req, &nodes);
	size_t count = log_topic_count(req->log) + req->broker->settings->at.count;
	if (ok)
		r->config_resources.at = request_new(
		    req, &list_config_resources_response_resource_shape, count + nodes.count);
	if (!ok || !r->config_resources.at) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	list_all(req, types, &nodes);
	request_answer(req);
}
