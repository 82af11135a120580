/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The CLI's side of kappa's HTTP door, over libcurl. Paths are under cli_http(); writes carry the
 * token, found by --data, KAPPA_TOKEN, or the state file that `serve` left for this user. Problem
 * documents become errors with their code and detail on the chain. One thread: the command's.
 */
#include "tools/cli.h"

/* Called with each piece of the body as it comes; false ends the transfer. */
typedef bool (*http_body)(void *ctx, struct bytes piece);

struct http_call {
	const char *method;      /* "GET", "POST", "DELETE" */
	char path[16384];        /* "/v1/views/x?..." */
	struct str content_type; /* of body; ptr NULL = JSON */
	struct bytes body;       /* len 0 = none */
	http_body on_body;
	void *ctx;
	int64_t timeout_ms; /* 0 = 30 s; < 0 = none (streams) */
};
/* ERR_CONNECT, ERR_TIMEOUT, or the code of the problem document. */
MUST_USE enum err http_do(const struct cli *cli, struct http_call *call);
/* The whole answer into `out`. */
MUST_USE enum err http_get(const struct cli *cli, struct writer *out, const char *fmt, ...)
    PRINTF(3, 4);
/* Percent-encodes a path or query component into buf; ERR_LIMIT. */
MUST_USE enum err http_encode(char *buf, size_t len, struct str component);

/* Facts about a topic that the Kafka protocol of librdkafka 2.0 does not tell. Absent: id "", bytes
 * -1. */
struct topic_facts {
	const char *name;
	char id[37]; /* a UUID in its usual text form */
	int partitions;
	int64_t bytes;
};
/*
 * Asks only where the HTTP door surely belongs to the same server: --http or KAPPA_HTTP given, or
 * no other broker named. Never fails: no answer, no facts.
 */
void http_topic_facts(const struct cli *cli, const char *topic, struct topic_facts *ret_facts);
/* The JSON array of segments. */
MUST_USE enum err http_topic_segments(const struct cli *cli, const char *topic, struct writer *out);
