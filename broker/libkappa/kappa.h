/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * libkappa: a small client of kappa's native door, for programs on the same machine. It needs this
 * header and libkappa.a (link with -llz4 -lzstd -lz -lsnappy); example.c beside it shows all of it.
 *
 *   struct kappa *k;
 *   int64_t offset;
 *   struct kappa_record hello = {.value = "hello", .value_len = 5};
 *   if (kappa_open("ipc:///var/lib/kappa/kappa.ipc", 5000, &k) != 0)
 *           ...
 *   if (kappa_produce(k, "greetings", 0, &hello, 1, &offset) != 0)
 *           fprintf(stderr, "%s\n", kappa_message(k));
 *   kappa_close(k);
 *
 * Addresses are those of endpoints.json in the server's data directory: "ipc" for kappa_open,
 * "feed" for kappa_subscribe; ipc:///PATH or tcp://HOST:PORT.
 *
 * Results: 0; a positive number is an error code of the Kafka protocol, answered by the server; a
 * negative one is a KAPPA_ code from here. Calls wait for their answer. A handle belongs to one
 * thread at a time. A call that failed with KAPPA_CONNECT or KAPPA_PROTOCOL leaves a handle with
 * which nothing but kappa_close works. A produce that failed with KAPPA_TIMEOUT or KAPPA_CONNECT
 * may or may not be in the log.
 */
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	KAPPA_INVALID = -1,  /* an argument */
	KAPPA_NOMEM = -2,    /* no memory */
	KAPPA_CONNECT = -3,  /* nobody is there, or has gone */
	KAPPA_TIMEOUT = -4,  /* no answer in time */
	KAPPA_PROTOCOL = -5, /* what came is no answer */
	KAPPA_CORRUPT = -6,  /* records do not verify */
};

struct kappa;

/*
 * Connects to the door at `url`. timeout_ms: how long this and each later call may wait, besides
 * what the call itself asks the server to wait. KAPPA_INVALID, KAPPA_CONNECT, KAPPA_TIMEOUT,
 * KAPPA_NOMEM.
 */
int kappa_open(const char *url, int timeout_ms, struct kappa **ret_kappa);
void kappa_close(struct kappa *k); /* NULL is allowed */
/* What the last failed call has to say: one line, valid until the next call. */
const char *kappa_message(const struct kappa *k);

/*
 * Any request of the Kafka protocol: header and body, without length prefix; the reply likewise,
 * valid until the next call. Bytes 4 to 7, the correlation id, are the caller's.
 */
int kappa_call(struct kappa *k, const void *request, size_t len, const void **ret_reply,
    size_t *ret_reply_len);

/* Creates a topic and waits until it is durable; Kafka's 36 when it is there already. */
int kappa_topic_create(struct kappa *k, const char *topic, int32_t partitions);

struct kappa_record {
	const void *key; /* NULL: null */
	size_t key_len;
	const void *value; /* NULL: null */
	size_t value_len;
	int64_t timestamp_ms; /* produce: 0 = now */
	int64_t offset;       /* consume */
};

/*
 * Appends the records as one batch, which is there whole or not at all, and waits until it is
 * durable. *ret_offset: that of the first. Kafka's 10 when it is larger than the topic allows.
 */
int kappa_produce(struct kappa *k, const char *topic, int32_t partition,
    const struct kappa_record *records, size_t count, int64_t *ret_offset);

/* The first offset that there is, and the one that the next record will get. */
int kappa_offsets(
    struct kappa *k, const char *topic, int32_t partition, int64_t *ret_start, int64_t *ret_end);

struct kappa_consume {
	const char *topic;
	int32_t partition;
	int64_t offset;    /* of the first record wanted; afterwards: of the next one */
	int32_t wait_ms;   /* for a first record, when there is none yet */
	int32_t max_bytes; /* 0 = 1 MiB; a single batch may be larger */
};
/*
 * Fetches once and calls `take` for each record in order, with memory valid during the call;
 * records of aborted transactions are left out. Another value than 0 from `take` ends it with that
 * value, and c->offset is then behind the record it refused. Kafka's 1 when the offset is not
 * there.
 */
int kappa_consume(struct kappa *k, struct kappa_consume *c,
    int (*take)(void *ctx, const struct kappa_record *record), void *ctx);

/* ---- feeds ----------------------------------------------------------------------------------- */

struct kappa_feed;
struct kappa_event {
	const char *topic; /* "view/orders_per_day/1/...", NUL-terminated */
	const void *payload;
	size_t payload_len;
};
/* Subscribes to the topics that begin with `prefix`; "" is all. Errors as of kappa_open. */
int kappa_subscribe(
    const char *url, const char *prefix, int timeout_ms, struct kappa_feed **ret_feed);
/*
 * The next event, valid until the next call. KAPPA_TIMEOUT after timeout_ms without one (< 0: waits
 * for ever). A feed is no log: who reads too slowly misses events.
 */
int kappa_feed_next(struct kappa_feed *f, int timeout_ms, struct kappa_event *ret_event);
void kappa_feed_close(struct kappa_feed *f); /* NULL is allowed */

#ifdef __cplusplus
}
#endif
