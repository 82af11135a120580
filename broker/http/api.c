/* SPDX-License-Identifier: Apache-2.0 */
/* The Kafka door's own routes and metrics on the HTTP door. */
#include "broker/http/observe.h"

enum { BEAT_S = 1, BEAT_MISSED_S = 10 };

static void on_beat(struct loop_timer *timer)
{
	struct broker *b = CONTAINER_OF(timer, struct broker, health.beat);
	struct log_status status;
	log_status(b->log, &status);
	shared_store(&b->health.failed, status.failed);
	shared_store(&b->health.damaged, status.damaged_partitions);
	shared_store(&b->health.unread, status.unread_partitions);
	shared_store(&b->health.beat_ns, (uint64_t)loop_now_ns(b->loop));
	loop_timer_set(b->loop, timer, loop_now_ns(b->loop) + BEAT_S * S_NS);
}

static void beat_start(void *arg)
{
	struct broker *b = arg;
	loop_timer_init(&b->health.beat, on_beat);
	on_beat(&b->health.beat);
}

static void beat_stop(void *arg)
{
	struct broker *b = arg;
	loop_timer_cancel(b->loop, &b->health.beat);
}

/* On the event thread: it must not wait for a loop that may stand still. */
static enum err health(void *ctx)
{
	const struct broker *b = ctx;
	int64_t silent_ns =
	    io_clock_ns(b->io, IO_CLOCK_MONOTONIC) - (int64_t)shared_load(&b->health.beat_ns);
	uint64_t damaged = shared_load(&b->health.damaged);
	uint64_t unread = shared_load(&b->health.unread);
	if (shared_load(&b->health.failed))
		return err_note(ERR_IO, "the log has failed: nothing is acknowledged any more");
	if (silent_ns > BEAT_MISSED_S * S_NS)
		return err_note(ERR_TIMEOUT, "the log loop stands still for %lld s",
		    (long long)(silent_ns / S_NS));
	if (damaged > 0)
		return err_note(
		    ERR_DAMAGED, "%llu partitions are damaged", (unsigned long long)damaged);
	if (unread > 0)
		return err_note(ERR_IO, "the disk has failed reads of %llu partitions",
		    (unsigned long long)unread);
	return ERR_OK;
}

enum err broker_http_attach(struct broker *b, struct http *http)
{
	TRY(api_topics_routes(b, http));
	TRY(api_records_routes(b, http));
	TRY(api_groups_routes(b, http));
	TRY(api_reset_routes(b, http));
	TRY(api_users_routes(b, http));
	loop_call(b->loop, beat_start, b);
	http_set_health(http, health, b);
	metric_collector_add(exporter_collect, b);
	return ERR_OK;
}

void broker_http_detach(struct broker *b)
{
	metric_collector_remove(exporter_collect, b);
	loop_call(b->loop, beat_stop, b);
}
