/* SPDX-License-Identifier: Apache-2.0 */
/* Public keys out of a JWKS file. See jwt.h. */
#include "broker/auth/jwt.h"
#include "log/base/json.h"
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdio.h>

enum { FILE_MAX = 1024 * 1024, NUMBER_MAX = 1024, ID_MAX = 255, RSA_BITS_MIN = 2048 };
enum { RSA_BITS_MAX = 8192, P256_BYTES = 32 };

struct jwks {
	size_t count;
	struct jwk {
		char id[ID_MAX + 1];
		bool has_id;
		struct str algorithm;
		EVP_PKEY *key;
	} at[JWKS_KEYS_MAX];
};

bool jwt_decode(struct str text, uint8_t *buf, size_t len, size_t *ret_len)
{
	static const char alphabet[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint32_t bits = 0;
	size_t n = 0, have = 0;
	if (text.len % 4 == 1)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		const char *at = text.ptr[i] ? strchr(alphabet, text.ptr[i]) : NULL;
		if (!at)
			return false;
		bits = bits << 6 | (uint32_t)(at - alphabet);
		have += 6;
		if (have < 8)
			continue;
		have -= 8;
		if (n == len)
			return false;
		buf[n++] = (uint8_t)(bits >> have);
	}
	*ret_len = n;
	return (bits & ((1u << have) - 1)) == 0; /* one spelling only */
}

/* ---- one key --------------------------------------------------------------------------------- */

enum { KTY, KID, USE, ALG, MODULUS, EXPONENT, CURVE, X, Y, FIELDS };

static bool number(struct json_value v, uint8_t *buf, size_t *ret_len)
{
	return v.kind == JSON_STRING && !v.escaped && jwt_decode(v.text, buf, NUMBER_MAX, ret_len);
}

static EVP_PKEY *make_key(const char *type, OSSL_PARAM_BLD *build)
{
	EVP_PKEY *key = NULL;
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	return key;
}

static EVP_PKEY *rsa_key(const struct json_value *v)
{
	uint8_t n[NUMBER_MAX], e[NUMBER_MAX];
	size_t n_len, e_len;
	if (!number(v[MODULUS], n, &n_len) || !number(v[EXPONENT], e, &e_len))
		return NULL;
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	BIGNUM *modulus = BN_bin2bn(n, (int)n_len, NULL),
	       *exponent = BN_bin2bn(e, (int)e_len, NULL);
	EVP_PKEY *key = NULL;
	if (build && modulus && exponent &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent) == 1)
		key = make_key("RSA", build);
	OSSL_PARAM_BLD_free(build);
	BN_free(modulus);
	BN_free(exponent);
	int bits = key ? EVP_PKEY_get_bits(key) : 0;
	if (bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX)
		return key;
	EVP_PKEY_free(key);
	return NULL;
}

static EVP_PKEY *ec_key(const struct json_value *v)
{
	uint8_t x[NUMBER_MAX], y[NUMBER_MAX], point[1 + 2 * P256_BYTES] = {4}; /* not compressed */
	size_t x_len, y_len;
	if (v[CURVE].kind != JSON_STRING || !str_equal(v[CURVE].text, STR("P-256")) ||
	    !number(v[X], x, &x_len) || !number(v[Y], y, &y_len) || x_len != P256_BYTES ||
	    y_len != P256_BYTES)
		return NULL;
	memcpy(point + 1, x, P256_BYTES);
	memcpy(point + 1 + P256_BYTES, y, P256_BYTES);
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	EVP_PKEY *key = NULL;
	if (build &&
	    OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) == 1 &&
	    OSSL_PARAM_BLD_push_octet_string(
	        build, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)) == 1)
		key = make_key("EC", build);
	OSSL_PARAM_BLD_free(build);
	return key;
}

static bool is(struct json_value v, const char *text)
{
	return v.kind == JSON_STRING && str_equal(v.text, str_of(text));
}

/* Keys of other kinds, for other uses, and symmetric ones are passed over. */
static void add_key(struct jwks *keys, const struct json_value *v)
{
	struct jwk *k = &keys->at[keys->count];
	bool rsa = is(v[KTY], "RSA"), ec = is(v[KTY], "EC");
	k->algorithm = rsa ? STR("RS256") : STR("ES256");
	if ((!rsa && !ec) || (v[USE].kind != JSON_ABSENT && !is(v[USE], "sig")) ||
	    (v[ALG].kind != JSON_ABSENT &&
	        (v[ALG].kind != JSON_STRING || !str_equal(v[ALG].text, k->algorithm))))
		return;
	if (v[KID].kind != JSON_ABSENT &&
	    (v[KID].kind != JSON_STRING || v[KID].escaped || v[KID].text.len > ID_MAX))
		return;
	k->has_id = v[KID].kind == JSON_STRING;
	snprintf(k->id, sizeof(k->id), STR_FMT, STR_ARG(v[KID].text));
	k->key = rsa ? rsa_key(v) : ec_key(v);
	ERR_clear_error();
	if (k->key)
		keys->count++;
}

/* ---- the file -------------------------------------------------------------------------------- */

/* False: there is no such element. */
static enum err scan_key(struct str doc, int index, struct json_value *v)
{
	static const char *const names[FIELDS] = {
	    "kty", "kid", "use", "alg", "n", "e", "crv", "x", "y"};
	struct json_path_spec specs[FIELDS];
	char paths[FIELDS][32];
	struct json_paths *compiled;
	for (int i = 0; i < FIELDS; i++) {
		snprintf(paths[i], sizeof(paths[i]), "$.keys[%d].%s", index, names[i]);
		specs[i] = (struct json_path_spec){
		    .path = str_of(paths[i]), .is_path = true, .exact_case = true};
	}
	TRY(json_paths_new(specs, FIELDS, &compiled));
	enum err err = json_scan(compiled, doc, v);
	json_paths_free(compiled);
	return err;
}

enum err jwks_new(struct io *io, const char *path, struct jwks **ret_keys)
{
	struct bytes content;
	struct jwks *keys = mem_calloc(1, sizeof(*keys));
	if (!keys)
		return ERR_NOMEM;
	enum err err = io_read_file(io, path, FILE_MAX, &content);
	if (err != ERR_OK) {
		mem_free(keys);
		return err_note(ERR_INVALID_CONFIG, "cannot read %s", path);
	}
	for (int i = 0; i < JWKS_KEYS_MAX && err == ERR_OK; i++) {
		struct json_value v[FIELDS];
		err = scan_key(bytes_str(content), i, v);
		if (err == ERR_OK)
			add_key(keys, v);
	}
	mem_free((void *)(uintptr_t)content.ptr);
	if (err == ERR_OK && keys->count > 0) {
		*ret_keys = keys;
		return ERR_OK;
	}
	jwks_free(keys);
	return err_note(ERR_INVALID_CONFIG,
	    "%s: no key for RS256 (RSA of %d bits or more) or ES256 (P-256)", path, RSA_BITS_MIN);
}

void jwks_free(struct jwks *keys)
{
	for (size_t i = 0; keys && i < keys->count; i++)
		EVP_PKEY_free(keys->at[i].key);
	mem_free(keys);
}

struct evp_pkey_st *jwks_find(const struct jwks *keys, struct str id, struct str algorithm)
{
	EVP_PKEY *found = NULL;
	for (size_t i = 0; i < keys->count; i++) {
		const struct jwk *k = &keys->at[i];
		if (!str_equal(k->algorithm, algorithm))
			continue;
		if (id.ptr && (!k->has_id || !str_equal(str_of(k->id), id)))
			continue;
		if (found)
			return NULL; /* which? */
		found = k->key;
	}
	return found;
}
