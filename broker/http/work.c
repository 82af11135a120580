/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Worker threads, started when a request finds none idle, up to HTTP_WORKERS_MAX; and the sweeper,
 * which once a second cuts connections that are too slow with their request and tells handlers
 * whose client has gone. The queue needs no limit of its own: a connection has at most one request
 * in it.
 */
#include "door.h"
#include <poll.h>
#include <sys/socket.h>

static void run_handler(struct http_request *r)
{
	const struct http_route *def = &r->route->def;
	int64_t start = io_clock_ns(r->http->io, IO_CLOCK_MONOTONIC);
	err_clear();
	enum err e =
	    shared_load(&r->cancelled) ? ERR_CANCELLED : def->handler(def->ctx, r, &r->reply);
	metric_observe_ns(
	    METRIC_HTTP_REQUEST, io_clock_ns(r->http->io, IO_CLOCK_MONOTONIC) - start);
	reply_finish(r, e);
}

static void worker_main(void *arg)
{
	struct http *http = arg;
	mutex_lock(&http->mutex);
	for (;;) {
		struct list_node *node = list_pop_front(&http->queue);
		if (!node && http->closing)
			break;
		if (!node) {
			http->idle_workers++;
			cond_wait(&http->work, &http->mutex);
			http->idle_workers--;
			continue;
		}
		http->queued--;
		mutex_unlock(&http->mutex);
		struct http_request *r = CONTAINER_OF(node, struct http_request, node);
		run_handler(r);
		http_request_unref(r);
		mutex_lock(&http->mutex);
	}
	mutex_unlock(&http->mutex);
}

/* Under http.mutex. Failing to start one more is no error while there are others. */
static void worker_add(struct http *http)
{
	if (http->worker_count == HTTP_WORKERS_MAX || http->closing)
		return;
	struct thread *t = &http->worker[http->worker_count];
	if (thread_start(t, "kappa-http", worker_main, http) == ERR_OK)
		http->worker_count++;
	else
		diag(DIAG_WARN, "http_worker", "state=not_started workers=%zu", http->worker_count);
}

bool work_submit(struct http_request *r)
{
	struct http *http = r->http;
	mutex_lock(&http->mutex);
	bool open = !http->closing;
	if (open) {
		mutex_lock(&r->mutex);
		r->suspended = true;
		r->refs++;
		MHD_suspend_connection(r->connection);
		mutex_unlock(&r->mutex);
		list_push_back(&http->queue, &r->node);
		if (++http->queued > http->idle_workers)
			worker_add(http);
		cond_signal(&http->work);
	}
	mutex_unlock(&http->mutex);
	return open;
}

/* ---- sweeper --------------------------------------------------------------------------------- */

static void cancel(struct http_request *r)
{
	shared_store(&r->cancelled, 1);
	mutex_lock(&r->mutex);
	cond_signal(&r->room);
	mutex_unlock(&r->mutex);
}

static bool peer_is_gone(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLRDHUP};
	return poll(&p, 1, 0) == 1 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

static void sweep(struct http *http)
{
	int64_t now = io_clock_ns(http->io, IO_CLOCK_MONOTONIC);
	LIST_EACH (&http->connections, node, tmp) {
		struct http_connection *c = CONTAINER_OF(node, struct http_connection, node);
		int64_t age = now - c->since_ns;
		if (c->request && (http->closing || peer_is_gone(c->fd)))
			cancel(c->request);
		if ((c->phase == PHASE_HEAD && age > HTTP_HEAD_TIMEOUT_S * S_NS) ||
		    (c->phase == PHASE_BODY && age > HTTP_BODY_TIMEOUT_S * S_NS))
			shutdown(c->fd, SHUT_RDWR); /* the event thread sees the end and closes */
	}
}

static void sweeper_main(void *arg)
{
	struct http *http = arg;
	mutex_lock(&http->mutex);
	while (!http->closing) {
		cond_wait_for(&http->tick, &http->mutex, S_NS);
		sweep(http);
	}
	mutex_unlock(&http->mutex);
}

enum err work_open(struct http *http)
{
	mutex_lock(&http->mutex);
	worker_add(http);
	bool started = http->worker_count > 0;
	mutex_unlock(&http->mutex);
	if (!started)
		return err_note(ERR_SYS, "cannot start a thread for HTTP requests");
	return thread_start(&http->sweeper, "kappa-httpsweep", sweeper_main, http);
}

void work_close(struct http *http)
{
	mutex_lock(&http->mutex);
	http->closing = true;
	cond_broadcast(&http->work);
	cond_signal(&http->tick);
	sweep(http);
	mutex_unlock(&http->mutex);
	thread_join(&http->sweeper);
	for (size_t i = 0; i < http->worker_count; i++)
		thread_join(&http->worker[i]);
}
