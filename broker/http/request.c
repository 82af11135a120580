/* SPDX-License-Identifier: Apache-2.0 */
/* A request: its life and what a handler reads from it. */
#include "door.h"
#include <strings.h>

struct http_request *http_request_new(struct http *http, const char *target)
{
	struct http_request *r = mem_calloc(1, sizeof *r);
	if (!r)
		return NULL;
	r->target = mem_strdup(str_of(target));
	if (!r->target) {
		mem_free(r);
		return NULL;
	}
	r->http = http;
	r->refs = 1;
	list_node_init(&r->node);
	mutex_init(&r->mutex);
	cond_init(&r->room);
	arena_init(&r->arena, REQUEST_ARENA_BYTES);
	writer_init(&r->body, HTTP_BODY_DEFAULT);
	writer_init(&r->reply.body, 0);
	uri_parse(r);
	return r;
}

void http_request_unref(struct http_request *r)
{
	mutex_lock(&r->mutex);
	ASSERT(r->refs > 0);
	bool last = --r->refs == 0;
	mutex_unlock(&r->mutex);
	if (!last)
		return;
	reply_release(&r->reply);
	writer_release(&r->body);
	arena_release(&r->arena);
	cond_release(&r->room);
	mutex_release(&r->mutex);
	mem_free(r->target);
	mem_free(r);
}

struct str http_method(const struct http_request *r)
{
	return r->method;
}

struct str http_path(const struct http_request *r)
{
	return r->path;
}

struct str http_param(const struct http_request *r, const char *name)
{
	struct str wanted = str_of(name);
	if (str_equal(wanted, STR("*")))
		return r->rest;
	for (size_t i = 0; i < r->route->segment_count; i++) {
		if (str_equal(route_segment_name(r->route->segment[i]), wanted))
			return r->segment[i];
	}
	return (struct str){NULL, 0};
}

struct str http_query(const struct http_request *r, const char *name)
{
	for (size_t i = 0; i < r->query_count; i++) {
		if (str_equal(r->query[i][0], str_of(name)))
			return r->query[i][1];
	}
	return (struct str){NULL, 0};
}

enum err http_query_i64(
    const struct http_request *r, const char *name, int64_t min, int64_t max, int64_t *ret_value)
{
	struct str text = http_query(r, name);
	int64_t value;
	if (!text.ptr)
		return ERR_OK;
	if (!str_to_i64(text, &value) || value < min || value > max)
		return err_note(ERR_INVALID,
		    "query parameter %s must be a number from %lld to %lld", name, (long long)min,
		    (long long)max);
	*ret_value = value;
	return ERR_OK;
}

/* Copied: once a streamed answer is under way, the connection may end and take its header with it.
 */
struct str http_header(struct http_request *r, const char *name)
{
	struct str value = {NULL, 0};
	mutex_lock(&r->mutex);
	const char *text =
	    r->gone ? NULL : MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
	if (text)
		value = arena_copy_str(&r->arena, str_of(text));
	mutex_unlock(&r->mutex);
	return value;
}

struct bytes http_body(const struct http_request *r)
{
	return writer_bytes(&r->body);
}

bool http_cancelled(const struct http_request *r)
{
	return shared_load(&r->cancelled) != 0;
}
