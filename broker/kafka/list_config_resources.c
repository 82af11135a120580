/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ListConfigResources: what has a configuration here, topics and this broker. Version 0 asks for
 * subscriptions to client metrics only, which do not exist.
 */
#include "broker/kafka/handlers.h"
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

void handle_list_config_resources(struct request *req)
{
	struct list_config_resources_response *r = req->response;
	unsigned types = types_asked(req);
	size_t cursor = 0, count = log_topic_count(req->log);
	struct nodes nodes;
	if (types == 0) {
		r->error_code = err_kafka(ERR_UNSUPPORTED_VERSION);
		request_answer(req);
		return;
	}
	if (!request_nodes(req, &nodes) ||
	    !(r->config_resources.at = request_new(
	          req, &list_config_resources_response_resource_shape, count + nodes.count))) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	struct list_config_resources_response_resource *out = r->config_resources.at;
	if (types & RESOURCE_TOPIC) {
		const struct log_topic *t;
		while ((t = log_topic_next(req->log, &cursor)) != NULL) {
			out->resource_type = RESOURCE_TOPIC;
			out++->resource_name = t->name;
		}
	}
	for (uint32_t i = 0; (types & RESOURCE_BROKER) && i < nodes.count; i++) {
		out->resource_type = RESOURCE_BROKER;
		out++->resource_name = request_text(req, "%" PRId32, nodes.at[i].id);
	}
	r->config_resources.count = (uint32_t)(out - r->config_resources.at);
	request_answer(req);
}
