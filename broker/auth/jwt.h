/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Bearer tokens: JSON Web Tokens (RFC 7519) signed by RS256 or ES256 with a key of a JWKS file (RFC
 * 7517), and what has to hold for their claims. Signatures by OpenSSL.
 *
 * Invariants
 *   J1 the key decides the algorithm, the token has only to agree: `none`, HS256 with a public key
 *      as its secret, and an EC signature under an RSA key are refused before anything is computed
 *   J2 a claim that is asked for and missing, twice as long as allowed, or of another kind, is a
 *      refusal
 *   J3 no keys, no tokens: a set without a usable key is not opened
 *
 * Thread: jwks_new any; jwks_free and jwt_verify the loop's.
 */
#include "log/base/base.h"

enum { JWKS_KEYS_MAX = 32, JWT_BYTES_MAX = 16384, JWT_USER_MAX = 255 };

/* ---- keys ------------------------------------------------------------------------------------ */
struct jwks;
/* Blocks. INVALID_CONFIG with the file and what is wrong with it. */
MUST_USE enum err jwks_new(struct io *io, const char *path, struct jwks **ret_keys);
void jwks_free(struct jwks *keys);
/* EVP_PKEY of that id; without one (ptr NULL) the only one there is for `algorithm`. NULL: none. */
struct evp_pkey_st *jwks_find(const struct jwks *keys, struct str id, struct str algorithm);

/* ---- tokens ---------------------------------------------------------------------------------- */
struct jwt_rules {
	const char *issuer;         /* iss */
	const char *audience;       /* one of these, with commas between, is in aud */
	const char *user_claim;     /* "sub" */
	const char *scope_claim;    /* "scope" */
	const char *required_scope; /* words that are all in it; NULL: none */
	int64_t skew_s;             /* clocks may differ by this */
};
struct jwt {
	char user[JWT_USER_MAX + 1];
	int64_t expires_s; /* the skew included */
};
/* UNAUTHORIZED with a note, NOMEM. */
MUST_USE enum err jwt_verify(const struct jwks *keys, const struct jwt_rules *rules,
    struct str token, int64_t now_s, struct jwt *ret_jwt);
/* Base64 for URLs without padding (RFC 4648); false: it is none, or longer than `len`. */
bool jwt_decode(struct str text, uint8_t *buf, size_t len, size_t *ret_len);
