/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Inside of `kappa serve`: where broker, processor and replay meet. They do not know each other. */
#include "broker/broker.h"
#include "broker/http.h"
#include "replay/replay.h"
#include "tools/config.h"
#include "tools/security.h"

struct serve_feed;
struct serve {
	struct config config;
	struct listeners listeners;
	char data_dir[4096];
	struct io *io;
	struct loop *loop;
	struct log *log;
	struct proc *proc;
	struct replay *replay;
	struct http *http;
	struct broker *broker;
	struct serve_feed *feed;
	struct thread loop_thread;
	char kafka_address[300];
};
/* /v1/sql, /v1/views..., /v1/dlq...: handlers over processor and replay. */
MUST_USE enum err serve_view_routes(struct serve *s);
/* Feeds of the native door (serve_feed.c); the loop runs between the two. */
MUST_USE enum err serve_feed_open(struct serve *s);
void serve_feed_close(struct serve *s);
