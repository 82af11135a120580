/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A Kafka client for benchmarks: Produce 7 and Fetch 10 straight on a blocking socket, so that no
 * client library's threads, queues and batching are in the measured path. Works against any broker.
 * One thread.
 */
#include "log/base/base.h"

struct wire {
	int fd;
	int32_t correlation;
	struct writer out;
	uint8_t *in;
	size_t in_capacity;
};

/* address: "HOST:PORT". ERR_CONNECT. */
MUST_USE enum err wire_open(struct wire *w, const char *address);
void wire_close(struct wire *w);
/* Sends one RecordBatch; the answer is read by wire_produced, in order. acks: -1, 0 (no answer)
 * or 1. */
MUST_USE enum err wire_produce(
    struct wire *w, const char *topic, int32_t partition, int16_t acks, struct bytes batch);
MUST_USE enum err wire_produced(struct wire *w, int64_t *ret_offset);
struct wire_fetched {
	struct bytes records; /* whole batches; valid until the next call */
	int64_t high_watermark;
};
struct wire_place {
	const char *topic;
	int32_t partition;
	int64_t offset;
};
MUST_USE enum err wire_fetch(struct wire *w, const struct wire_place *from, int32_t max_bytes,
    struct wire_fetched *ret_fetched);
