/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * TLS 1.2 and 1.3 by OpenSSL, over buffers in memory: nothing here touches a socket. The connection
 * puts received bytes in (tls_space, tls_received), takes plain ones out (tls_read), gives plain
 * ones (tls_write) and sends what tls_take returns.
 *
 *   HANDSHAKE --(tls_handshake, again and again: in the crypto queue)--> OPEN --> ENDED
 *       \--> FAILED (an alert for the client is in the output)
 *
 * Bounds: received bytes not yet taken TLS_IN_MAX, and OpenSSL's own buffers, which it gives back
 * between records. Renegotiation, compression and early data are off. Tickets are given only where
 * no client certificates are asked for: each handshake verifies the certificate.
 *
 * Thread: the loop's, except tls_handshake, during which nothing else may be called.
 */
#include "broker/broker.h"

#define TLS_IN_MIN  ((size_t)2 * KIB)  /* of an idle connection */
#define TLS_IN_MAX  ((size_t)64 * KIB) /* while much comes in */
#define TLS_OUT_MAX ((size_t)1 * MIB)

/* ---- key, certificates, rules: for all connections of a broker ------------------------------- */
struct tls_server;
/*
 * Reads the files. Blocks; any thread. INVALID_CONFIG with a note that names the file and what is
 * wrong with it.
 */
MUST_USE enum err tls_server_new(
    struct io *io, const struct broker_tls_options *options, struct tls_server **ret_server);
/* Connections that use it live on. NULL is allowed. */
void tls_server_free(struct tls_server *server);

/* ---- one connection -------------------------------------------------------------------------- */
enum tls_state { TLS_HANDSHAKE, TLS_OPEN, TLS_ENDED, TLS_FAILED };
struct tls;
/* `ask`: for the client's certificate, as the options say. NOMEM. */
MUST_USE enum err tls_new(struct tls_server *server, bool ask, struct tls **ret_tls);
void tls_free(struct tls *t);
enum tls_state tls_state(const struct tls *t);

/* Where received bytes go; only when tls_read or tls_handshake wanted more. len 0: no memory. */
struct iovec tls_space(struct tls *t);
void tls_received(struct tls *t, size_t len);
/* Goes on with the handshake as far as the bytes go. [any thread] */
void tls_handshake(struct tls *t);
/* There are received bytes that nobody has looked at. */
bool tls_has_input(const struct tls *t);
/* Plain bytes; 0: none are there, receive more (or look at the state). */
size_t tls_read(struct tls *t, void *buf, size_t len);
/* Encrypts all of it, into memory. NOMEM, LIMIT, CLOSED. */
MUST_USE enum err tls_write(struct tls *t, struct bytes plain);
/* Says to the client that nothing more comes. */
void tls_shutdown(struct tls *t);
/* Bytes to be sent, and their end: taken by the caller, mem_free. NULL: none. */
uint8_t *tls_take(struct tls *t, size_t *ret_len);
size_t tls_pending(const struct tls *t);

/* After the handshake: appends the name that the rules give the subject of the client's
 * certificate; false: it sent none. UNAUTHORIZED: they give it none. */
MUST_USE enum err tls_peer(const struct tls *t, struct writer *w, bool *ret_sent);
/* What went wrong, for the operator. */
const char *tls_failure(const struct tls *t);
/* "TLSv1.3" */
const char *tls_version(const struct tls *t);
