/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Inside of libkappa: the connection under both kinds of handle. */
#include "broker/kafka/codec.h"
#include "broker/libkappa/kappa.h"
#include "broker/native/sp.h"

/* A blocking socket that has exchanged greetings. */
struct wire {
	int fd; /* -1: not connected */
	enum sp_framing framing;
};
/* A message that is longer is KAPPA_PROTOCOL. */
#define WIRE_MESSAGE_MAX (256 * MIB)

int64_t wire_now_ms(void);
int wire_open(struct wire *w, const char *url, enum sp_protocol mine, enum sp_protocol theirs,
    int64_t deadline_ms);
void wire_close(struct wire *w);
int wire_send(struct wire *w, const struct bytes *pieces, size_t count, int64_t deadline_ms);
/* The next message; `buffer` is cleared first. A deadline < 0 is none. */
int wire_receive(struct wire *w, struct writer *buffer, int64_t deadline_ms);

struct kappa {
	struct wire wire;
	int timeout_ms;
	uint32_t request_id;
	struct writer reply;
	struct arena arena; /* of one call */
	char message[256];
};
/* Notes why, and returns `code`. */
int kappa_fail(struct kappa *k, int code, const char *fmt, ...) PRINTF(3, 4);
/* Our error as the library's: the Kafka code where there is one. */
int kappa_fail_err(struct kappa *k, enum err err, const char *what);
/* One request by the message table; the response lives in k->arena until the next call. */
int kappa_ask(
    struct kappa *k, int16_t key, int16_t version, const void *body, int wait_ms, void **ret_body);
