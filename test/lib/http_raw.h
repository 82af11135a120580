/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A raw HTTP client for tests: exactly the bytes given go out, what comes back is kept whole.
 * Blocking, 20 s at most per call. Buffers are the heap's, released by http_raw_release.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_raw_reply {
	int status; /* of the last header read; 0 = the connection ended without an answer */
	char *head; /* status line and header lines, NUL-terminated */
	char *body; /* chunked coding removed, NUL-terminated */
	size_t body_len;
	bool complete; /* the body ended as its header announced; false = cut */
};

int http_raw_connect(uint16_t port);                       /* asserts on failure */
void http_raw_send(int fd, const char *bytes, size_t len); /* a reset by the peer is not an error */
/* Reads one answer; bytes behind it stay in the socket. head_only: the answer to a HEAD. */
void http_raw_read(int fd, bool head_only, struct http_raw_reply *ret_reply);
void http_raw_release(struct http_raw_reply *reply);
/* Connects, sends, reads one answer, closes. `request` is a printf format. */
struct http_raw_reply http_raw(uint16_t port, const char *request, ...)
    __attribute__((format(printf, 2, 3)));
/* The value of a header (without leading spaces) copied into buf, or NULL. */
const char *http_raw_header(
    const struct http_raw_reply *reply, const char *name, char *buf, size_t len);
