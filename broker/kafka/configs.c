/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DescribeConfigs: every configuration of a topic or of this server, with its origin. The topic's
 * come from the log's table; the server's are what it was started with.
 */
#include "broker/auth/access.h"
#include "broker/kafka/handlers.h"
#include <stdarg.h>
#include <stdio.h>

/* Kafka's ConfigDef.Type as DescribeConfigs numbers it. */
static int8_t type_code(const char *type)
{
	static const struct {
		const char *name;
		int8_t code;
	} codes[] = {
	    {"boolean", 1}, {"string", 2}, {"int", 3}, {"long", 5}, {"double", 6}, {"list", 7}};
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		if (strcmp(codes[i].name, type) == 0)
			return codes[i].code;
	}
	return 0;
}

static bool is_asked(const struct describe_configs_request_resource *resource, struct str key)
{
	if (!resource->configuration_keys.at || resource->configuration_keys.count == 0)
		return true;
	for (uint32_t i = 0; i < resource->configuration_keys.count; i++) {
		if (str_equal(resource->configuration_keys.at[i], key))
			return true;
	}
	return false;
}

/* One configuration to report. */
struct setting {
	const char *key, *type, *doc;
	const char *value;
	int8_t source;
	bool read_only;
};

static bool add(
    struct request *req, struct describe_configs_response_result *out, const struct setting *s)
{
	const struct describe_configs_request *body = req->body;
	struct describe_configs_response_config *c = &out->configs.at[out->configs.count++];
	c->name = request_text(req, "%s", s->key);
	c->value = request_text(req, "%s", s->value);
	c->read_only = s->read_only;
	c->config_source = s->source;
	c->config_type = type_code(s->type);
	if (body->include_documentation)
		c->documentation = request_text(req, "%s", s->doc);
	c->synonyms.at = request_new(req, &describe_configs_response_synonym_shape, 1);
	if (!c->synonyms.at || !c->value.ptr)
		return false;
	if (body->include_synonyms) {
		c->synonyms.count = 1;
		c->synonyms.at[0].name = c->name;
		c->synonyms.at[0].value = c->value;
		c->synonyms.at[0].source = s->source;
	}
	return true;
}

static bool fill_topic(struct request *req,
    const struct describe_configs_request_resource *resource, const struct log_topic *t,
    struct describe_configs_response_result *out)
{
	struct log_config_entry entry;
	size_t count = 0;
	while (log_topic_config_entry(count, &entry))
		count++;
	out->configs.at = request_new(req, &describe_configs_response_config_shape, count);
	for (size_t i = 0; out->configs.at && i < count && log_topic_config_entry(i, &entry); i++) {
		char value[256];
		bool is_set = false;
		if (!is_asked(resource, str_of(entry.key)))
			continue;
		if (log_topic_config_get(t, str_of(entry.key), value, sizeof(value), &is_set) !=
		    ERR_OK)
			continue;
		struct setting s = {.key = entry.key,
		    .type = entry.type,
		    .doc = entry.doc,
		    .value = value,
		    .source = is_set ? CONFIG_SOURCE_TOPIC : CONFIG_SOURCE_DEFAULT};
		if (!add(req, out, &s))
			return false;
	}
	return out->configs.at != NULL;
}

/* ---- the server's ---------------------------------------------------------------------------- */

/* Kafka's broker key for the default of a topic's key; the others have the same name. */
static const char *default_key(const char *topic_key)
{
	static const char *const names[][2] = {
	    {"cleanup.policy", "log.cleanup.policy"},
	    {"delete.retention.ms", "log.cleaner.delete.retention.ms"},
	    {"flush.messages", "log.flush.interval.messages"},
	    {"flush.ms", "log.flush.interval.ms"},
	    {"max.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms"},
	    {"max.message.bytes", "message.max.bytes"},
	    {"message.timestamp.type", "log.message.timestamp.type"},
	    {"min.cleanable.dirty.ratio", "log.cleaner.min.cleanable.ratio"},
	    {"min.compaction.lag.ms", "log.cleaner.min.compaction.lag.ms"},
	    {"retention.bytes", "log.retention.bytes"},
	    {"retention.ms", "log.retention.ms"},
	    {"segment.bytes", "log.segment.bytes"},
	    {"segment.ms", "log.roll.ms"},
	};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i][0], topic_key) == 0)
			return names[i][1];
	}
	return topic_key;
}

enum { BROKER_SETTINGS_MAX = 64 };

struct broker_settings {
	struct setting at[BROKER_SETTINGS_MAX];
	char text[BROKER_SETTINGS_MAX][300];
	size_t count;
};

static void PRINTF(5, 6) setting(struct broker_settings *all, const char *key, const char *type,
    const char *doc, const char *fmt, ...)
{
	va_list ap;
	ASSERT(all->count < BROKER_SETTINGS_MAX);
	va_start(ap, fmt);
	vsnprintf(all->text[all->count], sizeof(all->text[0]), fmt, ap);
	va_end(ap);
	all->at[all->count] = (struct setting){.key = key,
	    .type = type,
	    .doc = doc,
	    .value = all->text[all->count],
	    .source = CONFIG_SOURCE_BROKER,
	    .read_only = true};
	all->count++;
}

/* What topics have that do not say otherwise; those that have a broker's key above are there. */
static void default_settings(const struct log *log, struct broker_settings *all)
{
	struct log_config_entry entry;
	char value[256];
	for (size_t i = 0; log_topic_config_entry(i, &entry); i++) {
		bool there = false;
		for (size_t k = 0; k < all->count; k++)
			there |= strcmp(all->at[k].key, entry.key) == 0;
		if (!there &&
		    log_default_config_get(log, str_of(entry.key), value, sizeof(value)) == ERR_OK)
			setting(all, default_key(entry.key), entry.type, entry.doc, "%s", value);
	}
}

static void broker_settings(const struct request *req, struct broker_settings *all)
{
	const struct broker_options *o = &req->broker->options;
	struct endpoint here = request_endpoint(req);
	all->count = 0;
	setting(all, "broker.id", "int", "Id of this server.", "%d", request_node(req));
	setting(all, "node.id", "int", "Id of this server.", "%d", request_node(req));
	const struct listener *l = conn_listener(req->conn);
	const char *protocol = broker_protocol_name(l->options.protocol);
	setting(all, "listeners", "list", "Where it listens for such clients.", "%s://%s:%u",
	    protocol, l->options.host, l->port);
	setting(all, "advertised.listeners", "list", "Where such clients reach it.",
	    "%s://" STR_FMT ":%d", protocol, STR_ARG(here.host), here.port);
	setting(all, "num.partitions", "int", "Partitions of topics created without a count.", "%d",
	    o->default_partitions);
	setting(all, "auto.create.topics.enable", "boolean",
	    "Whether asking for a topic creates it.", "%s", o->no_auto_create ? "false" : "true");
	setting(all, "default.replication.factor", "int", "There is one copy.", "1");
	setting(all, "min.insync.replicas", "int", "There is one copy.", "1");
	setting(all, "offsets.topic.replication.factor", "int", "There is one copy.", "1");
	setting(all, "delete.topic.enable", "boolean", "Whether topics can be deleted.", "true");
	setting(all, "socket.request.max.bytes", "int", "Longest request.", "%zu",
	    o->request_bytes_max);
	setting(all, "fetch.max.bytes", "int",
	    "Longest answer to a fetch, apart from a first batch.", "%zu", o->fetch_bytes_max);
	setting(all, "max.connections", "int", "Connections at a time.", "%u", o->connections_max);
	setting(all, "connections.max.idle.ms", "long",
	    "Idle connections are closed after this time.", "%lld",
	    (long long)(o->idle_ns / MS_NS));
	default_settings(req->log, all);
}

static bool fill_broker(struct request *req,
    const struct describe_configs_request_resource *resource,
    struct describe_configs_response_result *out)
{
	struct broker_settings all;
	broker_settings(req, &all);
	out->configs.at = request_new(req, &describe_configs_response_config_shape, all.count);
	for (size_t i = 0; out->configs.at && i < all.count; i++) {
		if (is_asked(resource, str_of(all.at[i].key)) && !add(req, out, &all.at[i]))
			return false;
	}
	return out->configs.at != NULL;
}

static bool names_a_broker(const struct request *req, struct str name)
{
	int64_t id, first = req->broker->options.node_id;
	return name.len == 0 || (str_to_i64(name, &id) && id >= first &&
	                            id < first + (int64_t)request_node_count(req));
}

/* False: no memory. */
static bool fill(struct request *req, const struct describe_configs_request_resource *resource,
    struct describe_configs_response_result *out)
{
	enum err err = ERR_OK;
	out->resource_type = resource->resource_type;
	out->resource_name = resource->resource_name;
	if (resource->resource_type == RESOURCE_TOPIC) {
		const struct log_topic *t =
		    topic_named(req, resource->resource_name, (struct log_uuid){{0}}, &err);
		if (t)
			return fill_topic(req, resource, t, out);
	} else if ((err = access_cluster(req)) != ERR_OK) {
		/* said below */
	} else if (resource->resource_type == RESOURCE_BROKER) {
		if (names_a_broker(req, resource->resource_name))
			return fill_broker(req, resource, out);
		err = err_note(ERR_INVALID_REQUEST, "broker " STR_FMT " is not there",
		    STR_ARG(resource->resource_name));
	} else {
		err = err_note(ERR_INVALID_REQUEST, "resource type %d has no configuration here",
		    resource->resource_type);
	}
	out->error_code = err_kafka(err);
	out->error_message = request_error_text(req, err);
	err_clear();
	return true;
}

void handle_describe_configs(struct request *req)
{
	const struct describe_configs_request *body = req->body;
	struct describe_configs_response *r = req->response;
	uint32_t count = body->resources.count;
	r->results.at = request_new(req, &describe_configs_response_result_shape, count);
	bool ok = r->results.at != NULL;
	for (uint32_t i = 0; ok && i < count; i++) {
		ok = fill(req, &body->resources.at[i], &r->results.at[i]);
		r->results.count = i + 1;
	}
	if (ok)
		request_answer(req);
	else
		request_fail(req, ERR_LIMIT);
}
