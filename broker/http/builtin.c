/* SPDX-License-Identifier: Apache-2.0 */
/* The routes every door has: is it alive, does it serve, and its figures. */
#include "door.h"

enum { METRICS_BYTES_MAX = 64 * 1024 * 1024 };

static enum err get_health(void *ctx, struct http_request *request, struct http_reply *reply)
{
	struct http *http = ctx;
	(void)request;
	mutex_lock(&http->mutex);
	enum err (*check)(void *) = http->health;
	void *check_ctx = http->health_ctx;
	mutex_unlock(&http->mutex);
	if (check) {
		enum err err = check(check_ctx);
		if (err != ERR_OK)
			return err_note(ERR_UNHEALTHY, "%s", err_text(err));
	}
	return http_reply_body(
	    reply, 200, "application/json", str_bytes(STR("{\"status\":\"ok\"}\n")));
}

static enum err get_ready(void *ctx, struct http_request *request, struct http_reply *reply)
{
	const struct http *http = ctx;
	(void)request;
	if (!shared_load(&http->ready))
		return err_note(ERR_NOT_READY, "recovery is running");
	return http_reply_body(
	    reply, 200, "application/json", str_bytes(STR("{\"status\":\"ready\"}\n")));
}

static enum err get_metrics(void *ctx, struct http_request *request, struct http_reply *reply)
{
	struct writer w;
	(void)ctx;
	(void)request;
	writer_init(&w, METRICS_BYTES_MAX);
	metrics_write(&w);
	enum err e = http_reply_take(reply, 200, "text/plain; version=0.0.4; charset=utf-8", &w);
	writer_release(&w);
	return e;
}

enum err builtin_routes(struct http *http)
{
	const struct http_route routes[] = {
	    {.method = "GET",
	        .pattern = "/health",
	        .handler = get_health,
	        .ctx = http,
	        .inline_ = true},
	    {.method = "GET",
	        .pattern = "/ready",
	        .handler = get_ready,
	        .ctx = http,
	        .inline_ = true},
	    {.method = "GET", .pattern = "/metrics", .handler = get_metrics},
	};
	for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
		TRY(http_route(http, &routes[i]));
	return ERR_OK;
}
