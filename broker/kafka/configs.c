/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DescribeConfigs: every configuration of a topic, of this server or of a group, with its origin.
 * The topic's come from the log's table; the server's are what it was started with, or has been set
 * since; a group's are its own or the server's.
 */
#include "broker/auth/access.h"
#include "broker/groups/groups.h"
#include "broker/kafka/handlers.h"
#include "broker/settings/settings.h"
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

enum { LAYERS_MAX = 3 };
/* One configuration to report: what says so first, and what would say so without it. */
struct shown {
	const char *key, *type, *doc;
	struct {
		struct str value;
		int8_t source;
	} layer[LAYERS_MAX];
	const char *last_key; /* under which the last layer says so; NULL = key */
	uint32_t layers;
	bool read_only;
};

static void shown_add(struct shown *s, struct str value, int8_t source)
{
	if (!value.ptr)
		return;
	ASSERT(s->layers < LAYERS_MAX);
	s->layer[s->layers].value = value;
	s->layer[s->layers++].source = source;
}

static bool add(
    struct request *req, struct describe_configs_response_result *out, const struct shown *s)
{
	const struct describe_configs_request *body = req->body;
	struct describe_configs_response_config *c = &out->configs.at[out->configs.count++];
	c->name = request_text(req, "%s", s->key);
	c->value = request_text(req, STR_FMT, STR_ARG(s->layer[0].value));
	c->read_only = s->read_only;
	c->config_source = s->layer[0].source;
	c->config_type = type_code(s->type);
	if (body->include_documentation)
		c->documentation = request_text(req, "%s", s->doc);
	c->synonyms.at = request_new(req, &describe_configs_response_synonym_shape, LAYERS_MAX);
	if (!c->synonyms.at || !c->value.ptr)
		return false;
	for (uint32_t i = 0; body->include_synonyms && i < s->layers; i++) {
		struct describe_configs_response_synonym *to = &c->synonyms.at[c->synonyms.count++];
		bool other = s->last_key && i + 1 == s->layers;
		to->name = other ? str_of(s->last_key) : c->name;
		to->value = request_text(req, STR_FMT, STR_ARG(s->layer[i].value));
		to->source = s->layer[i].source;
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
		struct shown s = {.key = entry.key, .type = entry.type, .doc = entry.doc};
		shown_add(&s, str_of(value), is_set ? CONFIG_SOURCE_TOPIC : CONFIG_SOURCE_DEFAULT);
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

enum { BROKER_SETTINGS_MAX = 80 };

struct broker_settings {
	struct shown at[BROKER_SETTINGS_MAX];
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
	all->at[all->count] =
	    (struct shown){.key = key, .type = type, .doc = doc, .read_only = true};
	shown_add(&all->at[all->count], str_of(all->text[all->count]), CONFIG_SOURCE_BROKER);
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

static void group_settings(const struct broker *b, struct broker_settings *all)
{
	const struct groups *g = b->groups;
	setting(all, "group.initial.rebalance.delay.ms", "int",
	    "How long a new group waits for members.", "%d", g->limits.initial_delay_ms);
	setting(all, "group.min.session.timeout.ms", "int",
	    "Shortest session of a member of the classic protocol.", "%d",
	    g->limits.session_min_ms);
	setting(all, "group.max.session.timeout.ms", "int",
	    "Longest session of a member of the classic protocol.", "%d", g->limits.session_max_ms);
	setting(all, "group.max.size", "int", "Members of a group.", "%zu", g->limits.members_max);
	setting(all, "group.consumer.session.timeout.ms", "int",
	    "After which silence a member of the consumer protocol is gone.", "%d",
	    g->consumer_limits.session_timeout_ms);
	setting(all, "group.consumer.min.session.timeout.ms", "int", "Least that a group may set.",
	    "%d", b->settings->session.min);
	setting(all, "group.consumer.max.session.timeout.ms", "int", "Most that a group may set.",
	    "%d", b->settings->session.max);
	setting(all, "group.consumer.heartbeat.interval.ms", "int",
	    "How often members of the consumer protocol report.", "%d",
	    g->consumer_limits.heartbeat_interval_ms);
	setting(all, "group.consumer.min.heartbeat.interval.ms", "int",
	    "Least that a group may set.", "%d", b->settings->heartbeat.min);
	setting(all, "group.consumer.max.heartbeat.interval.ms", "int",
	    "Most that a group may set.", "%d", b->settings->heartbeat.max);
	setting(all, "group.consumer.max.size", "int",
	    "Members of a group of the consumer protocol.", "%zu", g->consumer_limits.members_max);
	setting(all, "group.consumer.migration.policy", "string",
	    "Changes of protocol that groups with members make.", "%s",
	    group_migration_name(g->options.migration));
	setting(all, "group.consumer.assignors", "list", "What the server assigns by.",
	    "uniform,range");
	setting(all, "group.coordinator.rebalance.protocols", "list",
	    "Protocols of groups that are served.", "classic,consumer");
	setting(all, "offsets.retention.minutes", "int",
	    "How long an empty group keeps its offsets.", "%lld",
	    (long long)(g->options.offsets_retention_ms / 60000));
	setting(all, "offsets.retention.check.interval.ms", "long", "How often that is looked at.",
	    "%lld", (long long)g->options.check_interval_ms);
	setting(all, "offset.metadata.max.bytes", "int", "Longest metadata of an offset.", "%d",
	    OFFSET_METADATA_MAX);
	setting(all, "offsets.topic.num.partitions", "int", "Partitions of __consumer_offsets.",
	    "%d", OFFSETS_PARTITIONS);
}

static void connection_settings(const struct broker_options *o, struct broker_settings *all)
{
	setting(all, "socket.request.max.bytes", "int", "Longest request.", "%zu",
	    o->request_bytes_max);
	setting(all, "fetch.max.bytes", "int",
	    "Longest answer to a fetch, apart from a first batch.", "%zu", o->fetch_bytes_max);
	setting(all, "max.incremental.fetch.session.cache.slots", "int",
	    "Fetch sessions that are remembered.", "%u", o->fetch_sessions_max);
	setting(all, "max.connections", "int", "Connections at a time.", "%u", o->connections_max);
	setting(all, "max.connections.per.ip", "int", "Of them from one address.", "%u",
	    o->connections_per_ip_max);
	setting(all, "connections.max.idle.ms", "long",
	    "Idle connections are closed after this time.", "%lld",
	    (long long)(o->idle_ns / MS_NS));
	setting(all, "connections.max.reauth.ms", "long",
	    "How long an authentication holds; 0: for ever.", "%lld",
	    (long long)(o->sasl.session_ns / MS_NS));
	setting(all, "connection.failed.authentication.delay.ms", "int",
	    "How long a client that could not prove who it is waits for the answer.", "%lld",
	    (long long)(o->sasl.refusal_delay_ns / MS_NS));
}

/* What stands before the configuration file: all->at has that as its only layer. */
static void overlay(const struct settings *s, struct broker_settings *all)
{
	const struct setting_owner broker = {.scope = SETTING_BROKER},
	                           brokers = {.scope = SETTING_BROKERS};
	for (size_t i = 0; i < all->count; i++) {
		enum setting_id id;
		struct shown *at = &all->at[i];
		if (!setting_find(str_of(at->key), false, &id))
			continue;
		at->layers = 0;
		at->read_only = false;
		shown_add(at, settings_own(s, id, &broker), CONFIG_SOURCE_SET_BROKER);
		shown_add(at, settings_own(s, id, &brokers), CONFIG_SOURCE_SET_BROKERS);
		shown_add(at, str_of(s->fixed[id]), CONFIG_SOURCE_BROKER);
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
	setting(
	    all, "log.dirs", "string", "Data directory.", "%s", o->data_dir ? o->data_dir : "data");
	setting(all, "num.partitions", "int", "Partitions of topics created without a count.", "%d",
	    o->default_partitions);
	setting(all, "auto.create.topics.enable", "boolean",
	    "Whether asking for a topic creates it.", "%s", o->no_auto_create ? "false" : "true");
	setting(all, "default.replication.factor", "int", "There is one copy.", "1");
	setting(all, "min.insync.replicas", "int", "There is one copy.", "1");
	setting(all, "offsets.topic.replication.factor", "int", "There is one copy.", "1");
	setting(all, "transaction.state.log.replication.factor", "int", "There is one copy.", "1");
	setting(all, "delete.topic.enable", "boolean", "Whether topics can be deleted.", "true");
	setting(all, "transaction.max.timeout.ms", "int",
	    "Longest time that a client may give its transactions.", "%d",
	    o->transaction_timeout_max_ms);
	connection_settings(o, all);
	group_settings(req->broker, all);
	setting(all, "log.cleaner.backoff.ms", "long",
	    "How long compaction rests when it has found nothing to do.", "15000");
	default_settings(req->log, all);
	overlay(req->broker->settings, all);
}

bool broker_setting_exists(const struct request *req, struct str key)
{
	struct broker_settings all;
	bool found = false;
	broker_settings(req, &all);
	for (size_t i = 0; i < all.count; i++)
		found |= str_equal(str_of(all.at[i].key), key);
	return found;
}

/* Without a name: only what has been set for all brokers. */
static bool is_for(const struct describe_configs_request_resource *resource, struct shown *s)
{
	if (resource->resource_name.len > 0)
		return true;
	uint32_t i = 0;
	while (i < s->layers && s->layer[i].source != CONFIG_SOURCE_SET_BROKERS)
		i++;
	if (i == s->layers)
		return false;
	s->layer[0] = s->layer[i];
	s->layers = 1;
	return true;
}

static bool fill_broker(struct request *req,
    const struct describe_configs_request_resource *resource,
    struct describe_configs_response_result *out)
{
	struct broker_settings all;
	broker_settings(req, &all);
	out->configs.at = request_new(req, &describe_configs_response_config_shape, all.count);
	for (size_t i = 0; out->configs.at && i < all.count; i++) {
		if (is_asked(resource, str_of(all.at[i].key)) && is_for(resource, &all.at[i]) &&
		    !add(req, out, &all.at[i]))
			return false;
	}
	return out->configs.at != NULL;
}

/* ---- a group's ------------------------------------------------------------------------------- */

/* It need not be there: what is set for a name holds for the group that will have it. */
static bool fill_group(struct request *req,
    const struct describe_configs_request_resource *resource,
    struct describe_configs_response_result *out)
{
	const struct broker *b = req->broker;
	const struct setting_owner owner = {
	    .scope = SETTING_GROUP, .group = resource->resource_name};
	out->configs.at = request_new(req, &describe_configs_response_config_shape, SETTING_COUNT);
	for (enum setting_id id = 0; out->configs.at && id < SETTING_COUNT; id++) {
		const struct setting_def *d = setting_def(id);
		char standard[24];
		if (!d->group || !is_asked(resource, str_of(d->key)))
			continue;
		snprintf(standard, sizeof(standard), "%d",
		    id == SETTING_GROUP_SESSION ? b->groups->consumer_limits.session_timeout_ms
		                                : b->groups->consumer_limits.heartbeat_interval_ms);
		struct shown s = {.key = d->key,
		    .type = setting_type(id),
		    .doc = d->doc,
		    .last_key = id == SETTING_GROUP_SESSION
		                    ? "group.consumer.session.timeout.ms"
		                    : "group.consumer.heartbeat.interval.ms"};
		shown_add(&s, settings_own(b->settings, id, &owner), CONFIG_SOURCE_GROUP);
		shown_add(&s, str_of(standard), CONFIG_SOURCE_DEFAULT);
		if (!add(req, out, &s))
			return false;
	}
	return out->configs.at != NULL;
}

/* ---- the request ----------------------------------------------------------------------------- */

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
	} else if (resource->resource_type == RESOURCE_GROUP) {
		err = access_group(req, resource->resource_name);
		if (err == ERR_OK && resource->resource_name.len > 0 &&
		    resource->resource_name.len <= SETTING_GROUP_MAX)
			return fill_group(req, resource, out);
		if (err == ERR_OK)
			err = err_note(ERR_INVALID_REQUEST, "a group has a name");
	} else if ((err = access_cluster(req)) != ERR_OK) {
		/* said below */
	} else if (resource->resource_type == RESOURCE_BROKER) {
		if (request_names_broker(req, resource->resource_name))
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
