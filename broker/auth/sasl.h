/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Saying who one is: the conversation on a connection of a listener with SASL (SaslHandshake 0-1,
 * SaslAuthenticate 0-2, or bare tokens behind SaslHandshake 0), and again while it lives (KIP-368).
 *
 *   NEW         not admitted, no conversation      ApiVersions and SaslHandshake are served
 *   CHOSEN      handle_sasl_handshake              only tokens are
 *   CHALLENGED  SCRAM: our first message is out    only tokens are
 *   DECIDING    a token is being checked, or the answer to a bad one waits: nothing is read
 *   ADMITTED    sasl_admit                         everything is, until the session ends
 *   GONE        the answer to a bad token is out: the connection closes
 *
 * Invariants
 *   S1 whatever goes wrong on the way (memory, a full queue, OpenSSL) ends in GONE, never ADMITTED
 *   S2 a refusal says nothing about why, and comes at the same time after the token whatever the
 *      reason, so that nobody learns which users there are
 *   S3 passwords and proofs do not outlive the decision, and are not said in diag lines
 *
 * Thread: the loop's; PBKDF2 for PLAIN runs in the crypto queue.
 */
#include "broker/kafka/request.h"

struct sasl; /* one conversation: conn->sasl */

/* Whether such a request may be served now; UNAUTHORIZED with a note: the connection has to go. */
MUST_USE enum err sasl_admits(const struct conn *c, int16_t api_key);
/* The next frame is a bare token: sasl_token takes it instead of request_dispatch. */
bool sasl_expects_token(const struct conn *c);
void sasl_token(struct request *req);
/* Nothing may be read now. */
bool sasl_decides(const struct conn *c);
/* Its password is being verified, or waits for that: not yet refused. */
bool sasl_verifies(const struct conn *c);
/* With the connection; nothing of it is under way. */
void sasl_free(struct sasl *s);

void handle_sasl_handshake(struct request *req);
void handle_sasl_authenticate(struct request *req);
