/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The route table. Patterns are compared segment by segment; of all that match, the one that is
 * more literal at the first difference wins, so "/v1/topics/records" and "/v1/topics/{topic}" may
 * stand side by side. Routes are added while the door serves and live until it closes: the table is
 * read under http.mutex, an entry without it.
 */
#include "door.h"
#include <stdio.h>

void route_free(struct route *route)
{
	if (!route)
		return;
	mem_free((void *)(uintptr_t)route->def.method);
	mem_free((void *)(uintptr_t)route->def.pattern);
	mem_free(route);
}

struct str route_segment_name(struct str segment)
{
	if (segment.len < 3 || segment.ptr[0] != '{' || segment.ptr[segment.len - 1] != '}')
		return (struct str){NULL, 0};
	return str_from(segment.ptr + 1, segment.len - 2);
}

/* ---- adding ---------------------------------------------------------------------------------- */

static enum err split_pattern(struct route *route)
{
	const char *p = route->def.pattern;
	if (p[0] != '/')
		return err_note(ERR_INVALID, "route pattern %s does not begin with a slash", p);
	size_t params = 0;
	while (*p == '/') {
		size_t len = strcspn(p + 1, "/");
		struct str segment = str_from(p + 1, len);
		if (route->rest || route->segment_count == ROUTE_SEGMENTS_MAX)
			return err_note(ERR_INVALID,
			    "route pattern %s is too long or goes on after *", route->def.pattern);
		route->segment[route->segment_count++] = segment;
		route->rest = str_equal(segment, STR("*"));
		params += route_segment_name(segment).ptr != NULL;
		p += 1 + len;
	}
	if (params > HTTP_PARAMS_MAX)
		return err_note(
		    ERR_INVALID, "route pattern %s has too many parameters", route->def.pattern);
	return ERR_OK;
}

static bool method_is_known(const char *method)
{
	static const char *const known[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		if (strcmp(method, known[i]) == 0)
			return true;
	}
	return false;
}

static enum err route_new(const struct http_route *def, struct route **ret_route)
{
	if (!method_is_known(def->method) || !def->handler)
		return err_note(ERR_INVALID, "route %s %s", def->method, def->pattern);
	struct route *route = mem_calloc(1, sizeof *route);
	if (!route)
		return ERR_NOMEM;
	route->def = *def;
	route->def.method = mem_strdup(str_of(def->method));
	route->def.pattern = mem_strdup(str_of(def->pattern));
	if (route->def.body_max == 0)
		route->def.body_max = HTTP_BODY_DEFAULT;
	enum err e = route->def.method && route->def.pattern ? split_pattern(route) : ERR_NOMEM;
	if (e != ERR_OK) {
		route_free(route);
		return e;
	}
	*ret_route = route;
	return ERR_OK;
}

enum err http_route(struct http *http, const struct http_route *def)
{
	struct route *route = NULL;
	TRY(route_new(def, &route));
	enum err e = ERR_OK;
	mutex_lock(&http->mutex);
	LIST_EACH (&http->routes, node, tmp) {
		struct route *other = CONTAINER_OF(node, struct route, node);
		if (strcmp(other->def.method, def->method) == 0 &&
		    strcmp(other->def.pattern, def->pattern) == 0)
			e = ERR_EXISTS;
	}
	if (e == ERR_OK)
		list_push_back(&http->routes, &route->node);
	mutex_unlock(&http->mutex);
	if (e == ERR_OK)
		return ERR_OK;
	route_free(route);
	return err_note(e, "route %s %s", def->method, def->pattern);
}

/* ---- matching -------------------------------------------------------------------------------- */

enum segment_kind { SEGMENT_REST, SEGMENT_NAME, SEGMENT_LITERAL };

static enum segment_kind kind_of(const struct route *route, size_t i)
{
	if (route->rest && i + 1 >= route->segment_count)
		return SEGMENT_REST;
	return route_segment_name(route->segment[i]).ptr ? SEGMENT_NAME : SEGMENT_LITERAL;
}

static bool matches(const struct route *route, const struct http_request *r)
{
	size_t fixed = route->segment_count - (route->rest ? 1 : 0);
	if (r->segment_count < route->segment_count || (!route->rest && r->segment_count != fixed))
		return false;
	for (size_t i = 0; i < fixed; i++) {
		bool ok = kind_of(route, i) == SEGMENT_NAME
		              ? r->segment[i].len > 0
		              : str_equal(route->segment[i], r->segment[i]);
		if (!ok)
			return false;
	}
	return true;
}

/* Both match the same path. */
static bool more_literal(const struct route *a, const struct route *b)
{
	size_t n = a->segment_count < b->segment_count ? a->segment_count : b->segment_count;
	for (size_t i = 0; i < n; i++) {
		if (kind_of(a, i) != kind_of(b, i))
			return kind_of(a, i) > kind_of(b, i);
	}
	return a->segment_count > b->segment_count;
}

/* What "*" stands for, decoded, segments joined by '/' again. */
static struct str rest_of(struct http_request *r, const struct route *route)
{
	size_t from = route->segment_count - 1, len = 0;
	for (size_t i = from; i < r->segment_count; i++)
		len += r->segment[i].len + 1;
	char *text = arena_alloc(&r->arena, len + 1);
	if (!text)
		return (struct str){NULL, 0};
	size_t at = 0;
	for (size_t i = from; i < r->segment_count; i++) {
		if (i > from)
			text[at++] = '/';
		memcpy(text + at, r->segment[i].ptr, r->segment[i].len);
		at += r->segment[i].len;
	}
	return str_from(text, at);
}

static void add_allowed(char *allow, size_t allow_len, const char *method)
{
	if (strstr(allow, method))
		return;
	size_t at = strlen(allow);
	snprintf(allow + at, allow_len - at, "%s%s%s", at ? ", " : "", method,
	    strcmp(method, "GET") == 0 ? ", HEAD" : "");
}

enum route_match route_match(
    struct http *http, struct http_request *r, char *allow, size_t allow_len)
{
	const struct route *best = NULL;
	allow[0] = '\0';
	mutex_lock(&http->mutex);
	LIST_EACH (&http->routes, node, tmp) {
		const struct route *route = CONTAINER_OF(node, struct route, node);
		if (!matches(route, r))
			continue;
		if (!str_equal(str_of(route->def.method), r->method))
			add_allowed(allow, allow_len, route->def.method);
		else if (!best || more_literal(route, best))
			best = route;
	}
	mutex_unlock(&http->mutex);
	if (!best)
		return allow[0] ? ROUTE_NO_METHOD : ROUTE_NO_PATH;
	r->route = best;
	r->rest = best->rest ? rest_of(r, best) : (struct str){NULL, 0};
	return ROUTE_FOUND;
}
