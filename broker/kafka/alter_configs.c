/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AlterConfigs (the whole set of a resource's keys) and IncrementalAlterConfigs (set, delete,
 * append to and subtract from lists). Both end in one LOG_TOPIC_SET_CONFIG per topic, and in one
 * batch of rows of __kappa_settings per broker or group.
 */
#include "broker/auth/access.h"
#include "broker/kafka/handlers.h"
#include "broker/settings/settings.h"
#include <stdlib.h>

struct alter {
	int8_t type;
	struct str name;
	struct log_topic_req topic;
	struct alters *owner;
	struct str (*pairs)[2];
	size_t count, capacity;
	bool has_rows; /* of a broker's or a group's settings, in `put` */
	struct log_table_put put;
	bool unknown; /* a key among them is: the log will refuse it, what follows is not looked at
	               */
	uint64_t named; /* known keys that the request has: a bit each */
	struct str message;
};
struct alters {
	struct request *req;
	uint32_t pending;
	uint32_t count;
	struct alter *alter;
};

static void refuse(struct alter *a, enum err err)
{
	a->topic.err = err;
	a->message = request_error_text(a->owner->req, err);
	err_clear();
}

/* ---- the new set ----------------------------------------------------------------------------- */

static struct str *pair_value(struct alter *a, struct str key)
{
	for (size_t i = 0; i < a->count; i++) {
		if (str_equal(a->pairs[i][0], key))
			return &a->pairs[i][1];
	}
	return NULL;
}

static bool find_key(struct str key, size_t *ret_index, struct log_config_entry *ret_entry)
{
	for (size_t i = 0; log_topic_config_entry(i, ret_entry); i++) {
		*ret_index = i;
		if (str_equal(str_of(ret_entry->key), key))
			return true;
	}
	return false;
}

static bool is_known(struct str key)
{
	struct log_config_entry entry;
	size_t index;
	return find_key(key, &index, &entry);
}

/* A key is changed once. */
static enum err name_once(struct alter *a, struct str key)
{
	struct log_config_entry entry;
	size_t index;
	if (!find_key(key, &index, &entry))
		return ERR_OK;
	ASSERT(index < 64);
	uint64_t bit = 1UL << index;
	if (a->named & bit)
		return err_note(ERR_INVALID_REQUEST, STR_FMT " is given twice", STR_ARG(key));
	a->named |= bit;
	return ERR_OK;
}

/* So there are never more pairs than keys, and one. */
static void pair_set(struct alter *a, struct str key, struct str value)
{
	struct str *there = pair_value(a, key);
	if (a->unknown)
		return;
	a->unknown = !there && !is_known(key);
	if (there) {
		*there = value;
		return;
	}
	ASSERT(a->count < a->capacity);
	a->pairs[a->count][0] = key;
	a->pairs[a->count++][1] = value;
}

static void pair_delete(struct alter *a, struct str key)
{
	if (a->unknown)
		return;
	for (size_t i = 0; i < a->count; i++) {
		if (!str_equal(a->pairs[i][0], key))
			continue;
		memmove(&a->pairs[i], &a->pairs[i + 1], (a->count - i - 1) * sizeof(a->pairs[0]));
		a->count--;
		return;
	}
}

static bool is_list(struct str key)
{
	struct log_config_entry entry;
	size_t index;
	return find_key(key, &index, &entry) && strcmp(entry.type, "list") == 0;
}

static enum err change_list(struct alter *a, const struct log_topic *t,
    const struct incremental_alter_configs_request_config *c)
{
	char value[1024];
	bool is_set;
	struct str *there = pair_value(a, c->name), list, edited;
	if (!is_list(c->name))
		return err_note(ERR_INVALID_CONFIG, STR_FMT " is not a list", STR_ARG(c->name));
	if (there) {
		list = *there;
	} else {
		TRY(log_topic_config_get(t, c->name, value, sizeof(value), &is_set));
		list = str_of(value);
	}
	TRY(config_list_edit(
	    a->owner->req, list, c->value, c->config_operation == SETTING_APPEND, &edited));
	pair_set(a, c->name, edited);
	return ERR_OK;
}

static enum err change_one(struct alter *a, const struct log_topic *t,
    const struct incremental_alter_configs_request_config *c)
{
	if (a->unknown)
		return ERR_OK;
	TRY(name_once(a, c->name));
	if (c->config_operation == SETTING_DELETE) {
		pair_delete(a, c->name);
		return ERR_OK;
	}
	if (!c->value.ptr)
		return err_note(ERR_INVALID_REQUEST, "no value for " STR_FMT, STR_ARG(c->name));
	if (c->config_operation == SETTING_SET) {
		pair_set(a, c->name, c->value);
		return ERR_OK;
	}
	if (c->config_operation == SETTING_APPEND || c->config_operation == SETTING_SUBTRACT)
		return change_list(a, t, c);
	return err_note(ERR_INVALID_REQUEST, "unknown operation %d", c->config_operation);
}

/* ---- both requests --------------------------------------------------------------------------- */

static int by_resource(const void *a, const void *b)
{
	const struct alter *x = *(struct alter *const *)a, *y = *(struct alter *const *)b;
	return x->type != y->type ? x->type - y->type
	                          : bytes_compare(str_bytes(x->name), str_bytes(y->name));
}

/* A resource is changed once: refuses all that name the same. False: no memory. */
static bool refuse_twins(struct alters *all)
{
	struct alter **sorted = request_alloc(all->req, all->count * sizeof(struct alter *));
	if (!sorted)
		return false;
	for (uint32_t i = 0; i < all->count; i++)
		sorted[i] = &all->alter[i];
	qsort(sorted, all->count, sizeof(struct alter *), by_resource);
	for (uint32_t i = 0; i < all->count; i++) {
		bool twin = (i > 0 && by_resource(&sorted[i], &sorted[i - 1]) == 0) ||
		            (i + 1 < all->count && by_resource(&sorted[i], &sorted[i + 1]) == 0);
		if (twin)
			refuse(sorted[i], err_note(ERR_INVALID_REQUEST,
			                      "the request names the resource more than once"));
	}
	return true;
}

/* The topic to change, with room for `extra` keys beside those it has; NULL: refused. */
static const struct log_topic *target(struct alter *a, struct str name, size_t extra)
{
	struct request *req = a->owner->req;
	enum err err = ERR_OK;
	a->topic.op = LOG_TOPIC_SET_CONFIG;
	a->topic.name = name;
	a->topic.done = NULL;
	const struct log_topic *t = topic_named(req, name, (struct log_uuid){{0}}, &err);
	if (t && t->internal)
		err = err_note(ERR_POLICY_VIOLATION, "internal topics cannot be changed");
	if (err == ERR_OK) {
		a->capacity = t->set_config_count + extra;
		a->pairs = request_alloc(req, a->capacity * sizeof(*a->pairs));
		err = a->pairs ? ERR_OK : ERR_LIMIT;
	}
	if (err != ERR_OK)
		refuse(a, err);
	return err == ERR_OK ? t : NULL;
}

/* What the topic has set belongs to the topic: copied, as it may change before the log gets to it.
 */
static enum err copy_set(struct alter *a, const struct log_topic *t)
{
	struct arena *arena = &a->owner->req->arena;
	for (size_t i = 0; i < t->set_config_count; i++) {
		a->pairs[i][0] = arena_copy_str(arena, t->set_configs[i][0]);
		a->pairs[i][1] = arena_copy_str(arena, t->set_configs[i][1]);
		if (!a->pairs[i][0].ptr || !a->pairs[i][1].ptr)
			return ERR_LIMIT;
	}
	a->count = t->set_config_count;
	return ERR_OK;
}

/* Whose settings they are, and may the client change them? */
static enum err owner_of(
    const struct request *req, int8_t type, struct str name, struct setting_owner *ret_owner)
{
	*ret_owner = (struct setting_owner){.scope = SETTING_GROUP, .group = name};
	if (type == RESOURCE_GROUP) {
		TRY(access_group(req, name));
		if (name.len > 0 && name.len <= SETTING_GROUP_MAX && str_is_utf8(name))
			return ERR_OK;
		return err_note(ERR_INVALID_REQUEST, "a group has a name");
	}
	TRY(access_cluster(req));
	if (type != RESOURCE_BROKER)
		return err_note(
		    ERR_INVALID_REQUEST, "resource type %d cannot be changed here", type);
	if (!request_names_broker(req, name))
		return err_note(
		    ERR_INVALID_REQUEST, "broker " STR_FMT " is not there", STR_ARG(name));
	ret_owner->scope = name.len ? SETTING_BROKER : SETTING_BROKERS;
	return ERR_OK;
}

/* The change of a broker or a group, as rows. */
static void settings_target(
    struct alter *a, int8_t type, struct str name, struct setting_change *change)
{
	struct request *req = a->owner->req;
	struct setting_rows rows = {.count = 0};
	enum err err = owner_of(req, type, name, &change->owner);
	if (err == ERR_OK)
		err = setting_change_rows(req, change, &rows);
	if (err != ERR_OK) {
		refuse(a, err);
		return;
	}
	a->has_rows = true;
	a->put = (struct log_table_put){.rows = rows.rows, .row_count = rows.count};
}

static void finish(struct alters *all)
{
	struct request *req = all->req;
	struct alter_configs_response *r = req->response;
	r->responses.at = request_new(req, &alter_configs_response_resource_shape, all->count);
	if (!r->responses.at) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	r->responses.count = all->count;
	for (uint32_t i = 0; i < all->count; i++) {
		struct alter_configs_response_resource *out = &r->responses.at[i];
		out->error_code = err_kafka(all->alter[i].topic.err);
		out->error_message = all->alter[i].message;
		out->resource_type = all->alter[i].type;
		out->resource_name = all->alter[i].name;
	}
	request_answer(req);
}
/* Both responses are the same on the wire and in memory. */
_Static_assert(
    sizeof(struct alter_configs_response) == sizeof(struct incremental_alter_configs_response) &&
        sizeof(struct alter_configs_response_resource) ==
            sizeof(struct incremental_alter_configs_response_resource),
    "one function fills both");

static void on_altered(struct log_topic_req *topic)
{
	struct alter *a = CONTAINER_OF(topic, struct alter, topic);
	if (topic->err != ERR_OK)
		a->message = request_text(
		    a->owner->req, "%s", topic->message[0] ? topic->message : err_text(topic->err));
	ASSERT(a->owner->pending > 0);
	if (--a->owner->pending == 0)
		finish(a->owner);
}

static void on_set(struct log_table_put *put)
{
	struct alter *a = CONTAINER_OF(put, struct alter, put);
	if (put->err != ERR_OK)
		refuse(a, put->err);
	ASSERT(a->owner->pending > 0);
	if (--a->owner->pending == 0)
		finish(a->owner);
}

static void submit_topic(struct alters *all, struct alter *a, bool validate_only)
{
	a->topic.configs = (const struct str(*)[2])a->pairs;
	a->topic.config_count = a->count;
	a->topic.validate_only = validate_only;
	a->topic.done = on_altered;
	all->pending++;
	log_topic_submit(all->req->log, &a->topic);
}

static void submit_rows(struct alters *all, struct alter *a, bool validate_only)
{
	if (validate_only || a->put.row_count == 0)
		return;
	a->put.done = on_set;
	all->pending++;
	log_table_put(all->req->broker->settings->table, &a->put);
}

static void submit(struct alters *all, bool validate_only)
{
	if (!refuse_twins(all)) {
		request_fail(all->req, ERR_LIMIT);
		return;
	}
	all->pending = 1;
	for (uint32_t i = 0; i < all->count; i++) {
		struct alter *a = &all->alter[i];
		if (a->topic.err != ERR_OK)
			continue;
		if (a->has_rows)
			submit_rows(all, a, validate_only);
		else
			submit_topic(all, a, validate_only);
	}
	if (--all->pending == 0)
		finish(all);
}

static struct alters *alters_new(struct request *req, uint32_t count)
{
	struct alters *all = request_alloc(req, sizeof(*all));
	if (!all)
		return NULL;
	all->req = req;
	all->count = count;
	all->alter = request_alloc(req, count * sizeof(*all->alter));
	for (uint32_t i = 0; all->alter && i < count; i++)
		all->alter[i].owner = all;
	return all->alter ? all : NULL;
}

static struct setting_op *ops_new(struct alter *a, size_t count)
{
	struct setting_op *ops = request_alloc(a->owner->req, count * sizeof(*ops));
	if (!ops)
		refuse(a, ERR_LIMIT);
	return ops;
}

static void replace_settings(struct alter *a, const struct alter_configs_request_resource *in)
{
	struct setting_op *ops = ops_new(a, in->configs.count);
	struct setting_change change = {.whole = true, .ops = ops, .op_count = in->configs.count};
	for (uint32_t i = 0; ops && i < in->configs.count; i++)
		ops[i] = (struct setting_op){in->configs.at[i].name, in->configs.at[i].value,
		    in->configs.at[i].value.ptr ? SETTING_SET : SETTING_DELETE};
	if (ops)
		settings_target(a, in->resource_type, in->resource_name, &change);
}

void handle_alter_configs(struct request *req)
{
	const struct alter_configs_request *body = req->body;
	struct alters *all = alters_new(req, body->resources.count);
	if (!all) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	for (uint32_t i = 0; i < all->count; i++) {
		const struct alter_configs_request_resource *in = &body->resources.at[i];
		struct alter *a = &all->alter[i];
		a->type = in->resource_type;
		a->name = in->resource_name;
		if (in->resource_type != RESOURCE_TOPIC)
			replace_settings(a, in);
		else if (target(a, in->resource_name, in->configs.count))
			for (uint32_t j = 0; j < in->configs.count; j++)
				if (in->configs.at[j].value.ptr)
					pair_set(
					    a, in->configs.at[j].name, in->configs.at[j].value);
	}
	submit(all, body->validate_only);
}

static void edit_settings(
    struct alter *a, const struct incremental_alter_configs_request_resource *in)
{
	struct setting_op *ops = ops_new(a, in->configs.count);
	struct setting_change change = {.ops = ops, .op_count = in->configs.count};
	for (uint32_t i = 0; ops && i < in->configs.count; i++)
		ops[i] = (struct setting_op){in->configs.at[i].name, in->configs.at[i].value,
		    in->configs.at[i].config_operation};
	if (ops)
		settings_target(a, in->resource_type, in->resource_name, &change);
}

static void edit_topic(struct alter *a, const struct incremental_alter_configs_request_resource *in)
{
	const struct log_topic *t = target(a, in->resource_name, in->configs.count);
	enum err err = t ? copy_set(a, t) : ERR_OK;
	for (uint32_t i = 0; t && err == ERR_OK && i < in->configs.count; i++)
		err = change_one(a, t, &in->configs.at[i]);
	if (err != ERR_OK)
		refuse(a, err);
}

void handle_incremental_alter_configs(struct request *req)
{
	const struct incremental_alter_configs_request *body = req->body;
	struct alters *all = alters_new(req, body->resources.count);
	if (!all) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	for (uint32_t i = 0; i < all->count; i++) {
		const struct incremental_alter_configs_request_resource *in =
		    &body->resources.at[i];
		struct alter *a = &all->alter[i];
		a->type = in->resource_type;
		a->name = in->resource_name;
		if (in->resource_type == RESOURCE_TOPIC)
			edit_topic(a, in);
		else
			edit_settings(a, in);
	}
	submit(all, body->validate_only);
}
