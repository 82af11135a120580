/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A Kafka client's connection over the simulated network, driven by the server's own loop: requests
 * encoded by the project's codec, any number under way. Each call ends once: with its response, or
 * with NULL when the connection was lost.
 */
#include "broker/kafka/codec.h"
#include "test/lib/sim_io.h"

struct world;
struct wire;

struct wire_call {
	struct list_node node;
	struct wire *wire;
	int16_t key, version;
	int32_t id;
	int64_t sent_ns;
	void *response; /* until `done` returns; NULL: lost */
	void (*done)(struct wire_call *call);
};

struct wire {
	struct world *w;
	const char *name;
	int fd; /* -1 = none */
	bool closing, sending, receiving, garbage_sent;
	struct io_req send, recv;
	struct iovec send_iov, recv_iov;
	struct writer out, busy, in;
	uint8_t chunk[8192];
	struct list calls;
	int32_t last_id;
	struct arena arena;
	struct mail fail; /* calls of a lost connection, in the next turn */
	bool failing;
	void (*down)(struct wire *wire); /* the connection is gone, its calls have ended */
};
void wire_init(struct wire *wire, struct world *w, const char *name, void (*down)(struct wire *));
void wire_release(struct wire *wire);
/* False: nobody listens. */
bool wire_open(struct wire *wire);
/* Starts to close; `down` is called later. No-op when there is nothing. */
void wire_close(struct wire *wire);
/* Closed, and nothing under way. */
bool wire_is_idle(const struct wire *wire);
static inline bool wire_is_open(const struct wire *wire)
{
	return wire->fd >= 0 && !wire->closing;
}
/* Takes the call until `done`. A lost connection ends it too. */
void wire_send(struct wire *wire, struct wire_call *call, const void *body);
/* A request that is not answered (acks = 0). */
void wire_send_unanswered(struct wire *wire, int16_t key, int16_t version, const void *body);
void wire_send_raw(struct wire *wire, struct bytes bytes);
