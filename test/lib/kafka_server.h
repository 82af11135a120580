/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A whole broker for tests: I/O backend, loop, log and Kafka door in a fresh temporary directory,
 * the loop on its own thread; and a hand-made client that speaks through the message table.
 * Failures are cmocka failures of the calling (main) thread.
 */
#include "broker/broker.h"
#include "broker/kafka/codec.h"

struct kafka_server {
	char *dir; /* tempdir_new */
	const char *backend;
	struct broker_options options;
	struct io *io;
	struct loop *loop;
	struct log *log;
	struct broker *broker;
	struct thread thread;
	struct gate ready;
	enum err err;
	char why[256];
	uint16_t port;
};
/* NULL options = defaults. Starts in a new directory, or in the one of an earlier start that was
 * stopped. */
void kafka_server_start(
    struct kafka_server *s, const char *backend, const struct broker_options *options);
void kafka_server_stop(struct kafka_server *s);
/* What its loop's thread has had of a processor so far. */
int64_t kafka_server_busy_ns(const struct kafka_server *s);
/* Stops if need be, and removes the directory. */
void kafka_server_remove(struct kafka_server *s);
/* A partition is damaged, as a read would find it, or no longer. */
void kafka_server_damage(
    struct kafka_server *s, const char *topic, int32_t partition, bool damaged);

struct kafka_client {
	int fd;
	int32_t correlation_id; /* of the last request sent */
	int32_t received_id;    /* of the last response */
	struct arena arena;     /* responses; cleared by kafka_client_clear */
};
void kafka_connect(struct kafka_client *c, const struct kafka_server *s);
/* The same with little room for what it has not read. */
void kafka_connect_small(struct kafka_client *c, const struct kafka_server *s);
void kafka_disconnect(struct kafka_client *c);
void kafka_client_clear(struct kafka_client *c);
void kafka_send_raw(struct kafka_client *c, struct bytes b);
void kafka_receive_raw(struct kafka_client *c, uint8_t *at, size_t len);
void kafka_send(struct kafka_client *c, int16_t key, int16_t version, const void *body);
/* The next response, which must be one of this kind; lives until kafka_client_clear. */
void *kafka_receive(struct kafka_client *c, int16_t key, int16_t version);
void *kafka_call(struct kafka_client *c, int16_t key, int16_t version, const void *body);
/* True when the server has closed the connection (waits as long as patience.h says); false when bytes come. */
bool kafka_is_closed(struct kafka_client *c);
/* Bytes that can be read now, waiting up to `timeout_ms` for the first. */
bool kafka_readable(struct kafka_client *c, int timeout_ms);
