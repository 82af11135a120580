/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bearer tokens and files of keys. The first byte says what the rest is: a whole token, claims or a
 * header that are then signed rightly, or a JWKS file. A token that nobody has signed and that
 * passes is a break-in; one that is signed has to say who, until when, by whom and for whom.
 */
#include "test/fuzz/fuzz.h"
#include "test/lib/tempdir.h"
#include "broker/auth/jwt.h"
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

enum { TOKEN, CLAIMS, HEADER, KEYS, KINDS };
enum { NOW_S = 1800000000, TEXT_MAX = 32768 };

static struct {
	struct io *io;
	char *dir;
	char path[300];
	EVP_PKEY *key;
	struct jwks *keys;
} all;

static const struct jwt_rules rules = {.issuer = "https://issuer",
    .audience = "kafka,other",
    .user_claim = "sub",
    .scope_claim = "scope",
    .required_scope = "read",
    .skew_s = 30};

/* ---- keys ------------------------------------------------------------------------------------ */

static size_t encode(struct bytes in, char *out)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	size_t n = 0;
	for (size_t i = 0; i < in.len; i += 3) {
		uint32_t v = 0;
		size_t left = in.len - i < 3 ? in.len - i : 3;
		for (size_t k = 0; k < 3; k++)
			v = v << 8 | (k < left ? in.ptr[i + k] : 0);
		for (size_t k = 0; k <= left; k++)
			out[n++] = digits[v >> (18 - 6 * k) & 63];
	}
	out[n] = 0;
	return n;
}

static enum err read_keys(struct bytes text, struct jwks **ret_keys)
{
	FILE *f = fopen(all.path, "wb");
	ASSERT(f && fwrite(text.ptr, 1, text.len, f) == text.len && fclose(f) == 0);
	return jwks_new(all.io, all.path, ret_keys);
}

static void end(void)
{
	jwks_free(all.keys);
	EVP_PKEY_free(all.key);
	io_free(all.io);
	tempdir_remove(all.dir);
}

static void open_all(void)
{
	uint8_t point[65];
	size_t len = 0;
	char x[64], y[64], text[400];
	all.dir = tempdir_new();
	snprintf(all.path, sizeof(all.path), "%s/keys.json", all.dir);
	ASSERT(io_new("threads", &all.io) == ERR_OK);
	all.key = EVP_EC_gen("P-256");
	ASSERT(all.key &&
	       EVP_PKEY_get_octet_string_param(all.key, "pub", point, sizeof(point), &len) == 1);
	ASSERT(len == sizeof(point) && point[0] == 4);
	encode(bytes_of(point + 1, 32), x);
	encode(bytes_of(point + 33, 32), y);
	int n = snprintf(text, sizeof(text),
	    "{\"keys\":[{\"kty\":\"EC\",\"kid\":\"k\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\"}]"
	    "}",
	    x, y);
	ASSERT(read_keys(bytes_of(text, (size_t)n), &all.keys) == ERR_OK);
	atexit(end);
}

/* ---- tokens ---------------------------------------------------------------------------------- */

/* The two numbers of an ECDSA signature, as JWT has them. */
static void sign(struct str text, uint8_t raw[64])
{
	uint8_t der[100];
	size_t len = sizeof(der);
	const uint8_t *at = der;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	ASSERT(ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, all.key) == 1);
	ASSERT(EVP_DigestSign(ctx, der, &len, (const uint8_t *)text.ptr, text.len) == 1);
	EVP_MD_CTX_free(ctx);
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)len);
	ASSERT(sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, 32) == 32);
	ASSERT(BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + 32, 32) == 32);
	ECDSA_SIG_free(sig);
}

static bool has(struct bytes in, struct str part)
{
	return part.len > 0 && memmem(in.ptr, in.len, part.ptr, part.len) != NULL;
}

static void try_signed(struct bytes header, struct bytes claims)
{
	static char token[TEXT_MAX];
	uint8_t raw[64];
	struct jwt jwt = {.expires_s = 0};
	if (header.len + claims.len > TEXT_MAX / 2)
		return;
	size_t len = encode(header, token);
	token[len++] = '.';
	len += encode(claims, token + len);
	sign(str_from(token, len), raw);
	token[len++] = '.';
	len += encode(bytes_of(raw, 64), token + len);
	if (jwt_verify(all.keys, &rules, str_from(token, len), NOW_S, &jwt) != ERR_OK)
		return;
	ASSERT(has(header, STR("ES256")) && !has(header, STR("crit\"")));
	ASSERT(jwt.expires_s > NOW_S && strlen(jwt.user) > 0 && has(claims, str_of(jwt.user)));
	ASSERT(has(claims, STR("https://issuer")) && has(claims, STR("read")));
	ASSERT(has(claims, STR("kafka")) || has(claims, STR("other")));
}

static void try_keys(struct bytes text)
{
	struct jwks *keys;
	if (read_keys(text, &keys) != ERR_OK)
		return;
	(void)jwks_find(keys, STR("k"), STR("ES256"));
	(void)jwks_find(keys, (struct str){NULL, 0}, STR("RS256"));
	jwks_free(keys);
}

void jwt_fuzz(struct bytes in)
{
	struct jwt jwt;
	struct bytes rest = bytes_slice(in, 1, in.len);
	if (!all.io)
		open_all();
	if (in.len == 0)
		return;
	switch (in.ptr[0] % KINDS) {
	case TOKEN:
		ASSERT(jwt_verify(all.keys, &rules, bytes_str(rest), NOW_S, &jwt) != ERR_OK);
		break;
	case CLAIMS:
		try_signed(str_bytes(STR("{\"alg\":\"ES256\",\"kid\":\"k\"}")), rest);
		break;
	case HEADER:
		try_signed(
		    rest, str_bytes(STR("{\"sub\":\"ann\",\"iss\":\"https://issuer\",\"aud\":"
		                        "\"kafka\",\"scope\":\"read\",\"exp\":1900000000}")));
		break;
	default:
		try_keys(rest);
	}
	err_clear();
}

void jwt_seeds(void (*emit)(void *ctx, struct bytes in), void *ctx)
{
	const struct str seeds[] = {STR("\0eyJhbGciOiJFUzI1NiIsImtpZCI6ImsifQ.eyJzdWIiOiJhbm4ifQ."
	                                "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	                                "AAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
	    STR("\0eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ."), STR("\0a.b.c"), STR("\0.."),
	    STR("\1{\"sub\":\"ann\",\"iss\":\"https://issuer\",\"aud\":[\"x\",\"kafka\"],\"scope\":"
	        "\"read write\",\"exp\":1900000000,\"nbf\":1700000000,\"iat\":1.7e9}"),
	    STR("\1{\"sub\":\"\\u0061nn\",\"iss\":\"https://issuer\",\"aud\":\"other\",\"scope\":["
	        "\"read\"],\"exp\":1800000001.5}"),
	    STR("\1{\"sub\":{},\"sub\":\"b\",\"iss\":null,\"aud\":[[]],\"exp\":\"1\"}"),
	    STR("\2{\"alg\":\"ES256\"}"), STR("\2{\"alg\":\"HS256\",\"kid\":\"k\"}"),
	    STR("\2{\"alg\":\"none\",\"crit\":[\"exp\"]}"),
	    STR("\2{\"alg\":\"ES256\",\"kid\":\"k\",\"jwk\":{\"kty\":\"EC\"},\"jku\":\"http://"
	        "x\"}"),
	    STR("\3{\"keys\":[{\"kty\":\"EC\",\"kid\":\"k\",\"crv\":\"P-256\",\"use\":\"sig\","
	        "\"x\":"
	        "\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":"
	        "\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}"),
	    STR("\3{\"keys\":[{\"kty\":\"RSA\",\"alg\":\"RS256\",\"n\":\"AQAB\",\"e\":\"AQAB\"},{},"
	        "1]}"),
	    STR("\3{\"keys\":{}}"), STR("\3[]")};
	for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++)
		emit(ctx, str_bytes(seeds[i]));
}
