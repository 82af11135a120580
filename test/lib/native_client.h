/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One client of the native door, straight on nng, and random requests as they go on the wire.
 * Failures are cmocka failures.
 */
#include "test/lib/kafka_server.h"
#include "broker/kafka/request.h"
#include <nng/nng.h>

struct native_client {
	nng_socket socket;
	bool open;
};
void native_connect(struct native_client *n, const char *url);
void native_disconnect(struct native_client *n);
/* `frame` without length prefix; the reply in the arena. False: the server closed the pipe, or
 * nothing came for `timeout_ms`. */
bool native_call(struct native_client *n, struct bytes frame, int timeout_ms, struct arena *arena,
    struct bytes *ret_reply);

/* The same over TCP; false likewise. `frame` is without length prefix, and so is the reply. */
bool kafka_call_raw(
    struct kafka_client *c, struct bytes frame, int timeout_ms, struct bytes *ret_reply);

/* A random request of this row and version, without length prefix, in the arena. */
struct prng;
struct bytes random_frame(const struct dispatch_row *row, int16_t version, struct prng *rng,
    struct arena *arena, struct bytes batch);
