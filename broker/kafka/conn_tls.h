/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * TLS under a connection: what conn.c calls where the bytes on the wire are not the plain ones. The
 * handshake's arithmetic runs in the crypto queue; meanwhile (conn_tls_busy) nothing of the
 * connection's TLS may be touched. Thread: the loop's.
 */
#include "broker/kafka/server.h"

/* Of one send: encrypted in one go. */
#define CONN_TLS_SEND_BYTES ((size_t)256 * KIB)

/* NOMEM. */
MUST_USE enum err conn_tls_open(struct conn *c);
void conn_tls_free(struct conn_tls *t);
bool conn_tls_busy(const struct conn *c);
/* The connection closes: a handshake that has not begun is taken back. */
void conn_tls_close(struct conn *c);
/* Decrypts what has come, hands requests on, receives more. */
void conn_tls_receive(struct conn *c);
/* There is something to send that is no answer. */
bool conn_tls_pending(const struct conn *c);
/*
 * Replaces `count` plain pieces by one that is encrypted (*ret_count 0: nothing is to be sent),
 * which stays until conn_tls_sent.
 */
MUST_USE enum err conn_tls_seal(struct conn *c, struct iovec *iov, int count, int *ret_count);
void conn_tls_sent(struct conn *c);
/* The last answer is out: true when the end has been said to the client too. */
bool conn_tls_finished(struct conn *c);
