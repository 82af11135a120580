/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * SCRAM-SHA-256 and SCRAM-SHA-512 (RFC 5802, 7677), the server's side, as a pure state machine over
 * byte strings; and the credentials it works on. OpenSSL does the hashing. A credential never holds
 * the password nor what a client could log in with.
 *
 * Two deviations, both Kafka's: the final nonce has to end in ours, not to equal it, because
 * librdkafka before 2.6.1 doubles its own part; and channel binding is not offered.
 */
#include "log/base/base.h"

enum scram_mechanism { SCRAM_SHA_256 = 1, SCRAM_SHA_512 = 2 }; /* as Kafka numbers them */
enum {
	SCRAM_KEY_MAX = 64,
	SCRAM_SALT_MAX = 64,
	SCRAM_SALT_BYTES = 16, /* of those made here */
	SCRAM_ITERATIONS_MIN = 4096,
	SCRAM_ITERATIONS_MAX = 16384,
	SCRAM_USER_MAX = 255,
	SCRAM_MESSAGE_MAX = 4096,
	SCRAM_HEAD_MAX = 3 * SCRAM_USER_MAX + 5,
	SCRAM_BINDING_MAX = 4 * ((SCRAM_HEAD_MAX + 2) / 3) + 1,
	SCRAM_TEXT_MAX = 3 * SCRAM_MESSAGE_MAX,
};

struct scram_credential {
	enum scram_mechanism mechanism;
	uint32_t iterations;
	size_t salt_len;
	uint8_t salt[SCRAM_SALT_MAX];
	uint8_t stored_key[SCRAM_KEY_MAX], server_key[SCRAM_KEY_MAX]; /* scram_key_len bytes */
};
size_t scram_key_len(enum scram_mechanism mechanism);
/* "SCRAM-SHA-256" */
const char *scram_name(enum scram_mechanism mechanism);
/* Keys from the salted password (scram_key_len bytes); the rest of *c is given. SYS. [any thread]
 */
MUST_USE enum err scram_derive(struct scram_credential *c, struct bytes salted_password);
/* The same from the password: PBKDF2, some milliseconds. [any thread] */
MUST_USE enum err scram_derive_password(struct scram_credential *c, struct str password);
/* Whether the password is that of `c`; takes as long whatever it is. [any thread] */
bool scram_verify_password(const struct scram_credential *c, struct str password);

/*
 * One exchange:  scram_first (client's first message) -> the caller finds the credential of
 * `user`, or invents one -> scram_challenge -> scram_final -> done. Any error ends it.
 */
struct scram {
	struct scram_credential credential;
	char user[SCRAM_USER_MAX + 1];
	char binding[SCRAM_BINDING_MAX]; /* what "c=" has to be: base64 of the first message's head
	                                  */
	struct writer text;              /* AuthMessage as it grows: bare first, challenge */
	size_t nonce_at, nonce_len;      /* in `text`: the whole nonce, the client's and ours */
	size_t client_nonce_at, client_nonce_len;
};
void scram_init(struct scram *s);
void scram_release(struct scram *s);
/* UNAUTHORIZED with a note, here and below. */
MUST_USE enum err scram_first(struct scram *s, struct bytes message);
/* `nonce`: printable, without comma. Appends the server's first message to `out`. */
MUST_USE enum err scram_challenge(struct scram *s, const struct scram_credential *credential,
    struct str nonce, struct writer *out);
MUST_USE enum err scram_final(struct scram *s, struct bytes message, struct writer *out);
