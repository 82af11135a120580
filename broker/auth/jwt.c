/* SPDX-License-Identifier: Apache-2.0 */
/* One bearer token: header.claims.signature, each in base64 for URLs. See jwt.h. */
#include "broker/auth/jwt.h"
#include "log/base/json.h"
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>

enum { SIGNATURE_MAX = 1024, ES256_BYTES = 64, LIST_MAX = 16, CLAIM_MAX = 64 };

static enum err refused(const char *what)
{
	return err_note(ERR_UNAUTHORIZED, "token: %s", what);
}

/* ---- signature ------------------------------------------------------------------------------- */

/* ES256 signatures are two numbers; OpenSSL wants them in DER. */
static bool to_der(const uint8_t *raw, size_t len, uint8_t *der, size_t *ret_len)
{
	if (len != ES256_BYTES)
		return false;
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(raw, 32, NULL), *s = BN_bin2bn(raw + 32, 32, NULL);
	if (!sig || !r || !s || ECDSA_SIG_set0(sig, r, s) != 1) {
		ECDSA_SIG_free(sig);
		BN_free(r);
		BN_free(s);
		return false;
	}
	int n = i2d_ECDSA_SIG(sig, NULL);
	bool fits = n > 0 && n <= SIGNATURE_MAX;
	if (fits)
		*ret_len = (size_t)i2d_ECDSA_SIG(sig, &der);
	ECDSA_SIG_free(sig);
	return fits;
}

static enum err check_signature(EVP_PKEY *key, bool ec, struct str text, struct str signature)
{
	uint8_t raw[SIGNATURE_MAX], der[SIGNATURE_MAX];
	size_t len = 0;
	const uint8_t *sig = raw;
	if (!jwt_decode(signature, raw, sizeof(raw), &len))
		return refused("the signature is malformed");
	if (ec) {
		if (!to_der(raw, len, der, &len))
			return refused("the signature is malformed");
		sig = der;
	}
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
	            EVP_DigestVerify(ctx, sig, len, (const unsigned char *)text.ptr, text.len) == 1;
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return good ? ERR_OK : refused("the signature is not that of the key");
}

/* ---- header ---------------------------------------------------------------------------------- */

static enum err scan(
    const struct json_path_spec *specs, size_t count, struct str doc, struct json_value *values)
{
	struct json_paths *paths;
	TRY(json_paths_new(specs, count, &paths));
	enum err err = json_scan(paths, doc, values);
	json_paths_free(paths);
	return err == ERR_OK || err == ERR_NOMEM ? err : refused("not a JSON object");
}

static enum err check_header(
    const struct jwks *keys, struct str header, EVP_PKEY **ret_key, bool *ret_ec)
{
	static const struct json_path_spec specs[] = {{.path = {"alg", 3}, .exact_case = true},
	    {.path = {"kid", 3}, .exact_case = true}, {.path = {"crit", 4}, .exact_case = true}};
	struct json_value v[3];
	TRY(scan(specs, 3, header, v));
	if (v[2].kind != JSON_ABSENT)
		return refused("a critical header that is not understood");
	if (v[0].kind != JSON_STRING || v[0].escaped ||
	    (!str_equal(v[0].text, STR("RS256")) && !str_equal(v[0].text, STR("ES256"))))
		return refused("an algorithm that is not RS256 or ES256");
	if (v[1].kind != JSON_ABSENT && (v[1].kind != JSON_STRING || v[1].escaped))
		return refused("a key id that nobody has");
	*ret_ec = str_equal(v[0].text, STR("ES256"));
	*ret_key = jwks_find(
	    keys, v[1].kind == JSON_STRING ? v[1].text : (struct str){NULL, 0}, v[0].text);
	return *ret_key ? ERR_OK : refused("no such key");
}

/* ---- claims ---------------------------------------------------------------------------------- */

/* NumericDate: seconds, perhaps with a fraction. */
static bool seconds(struct json_value v, int64_t *ret_s)
{
	size_t n = 0;
	if (v.kind != JSON_NUMBER)
		return false;
	while (n < v.text.len && v.text.ptr[n] != '.')
		n++;
	return str_to_i64(str_from(v.text.ptr, n), ret_s) && *ret_s > 0 &&
	       *ret_s < INT32_MAX * 100LL;
}

/* Whether `word` is one of `list`, whose items `separator` parts. */
static bool has_word(struct str list, char separator, struct str word)
{
	while (list.len > 0) {
		size_t n = 0;
		while (n < list.len && list.ptr[n] != separator)
			n++;
		if (word.len > 0 && str_equal(str_from(list.ptr, n), word))
			return true;
		list = str_from(list.ptr + n + (n < list.len), list.len - n - (n < list.len));
	}
	return false;
}

/* A claim that is a string or an array of strings: those of it. */
struct words {
	struct str at[LIST_MAX];
	size_t count;
};

static enum err read_words(struct str claims, const char *claim, struct words *ret_words)
{
	struct json_path_spec specs[LIST_MAX + 1];
	struct json_value v[LIST_MAX + 1];
	char paths[LIST_MAX + 1][CLAIM_MAX + 16];
	ret_words->count = 0;
	for (int i = 0; i <= LIST_MAX; i++) {
		char index[8] = "";
		if (i > 0)
			snprintf(index, sizeof(index), "[%d]", i - 1);
		snprintf(paths[i], sizeof(paths[i]), "$.\"%s\"%s", claim, index);
		specs[i] = (struct json_path_spec){
		    .path = str_of(paths[i]), .is_path = true, .exact_case = true};
	}
	TRY(scan(specs, LIST_MAX + 1, claims, v));
	bool list = v[0].kind == JSON_ARRAY;
	for (int i = list; i <= (list ? LIST_MAX : 0); i++) {
		if (v[i].kind == JSON_STRING && !v[i].escaped)
			ret_words->at[ret_words->count++] = v[i].text;
	}
	return ERR_OK;
}

static enum err check_audience(const struct jwt_rules *rules, struct str claims)
{
	struct words words;
	TRY(read_words(claims, "aud", &words));
	for (size_t i = 0; i < words.count; i++) {
		if (has_word(str_of(rules->audience), ',', words.at[i]))
			return ERR_OK;
	}
	return refused("it is for another audience");
}

static enum err check_scope(const struct jwt_rules *rules, struct str claims)
{
	struct words words;
	struct str rest = str_of(rules->required_scope);
	TRY(read_words(claims, rules->scope_claim, &words));
	while (rest.len > 0) {
		size_t n = 0;
		bool found = false;
		while (n < rest.len && rest.ptr[n] != ' ')
			n++;
		for (size_t i = 0; i < words.count && !found; i++)
			found = has_word(words.at[i], ' ', str_from(rest.ptr, n));
		if (n > 0 && !found)
			return refused("a scope is missing");
		rest = str_from(rest.ptr + n + (n < rest.len), rest.len - n - (n < rest.len));
	}
	return ERR_OK;
}

static enum err check_times(
    const struct json_value *exp, const struct jwt_rules *rules, int64_t now_s, struct jwt *jwt)
{
	int64_t s;
	if (!seconds(exp[0], &s))
		return refused("it does not say when it ends");
	if (now_s >= s + rules->skew_s)
		return refused("it has ended");
	jwt->expires_s = s + rules->skew_s;
	for (int i = 1; i < 3; i++) { /* nbf, iat */
		if (exp[i].kind == JSON_ABSENT)
			continue;
		if (!seconds(exp[i], &s))
			return refused("a time that is none");
		if (now_s + rules->skew_s < s)
			return refused("it is not valid yet");
	}
	return ERR_OK;
}

static enum err take_user(struct json_value v, struct jwt *jwt)
{
	if (v.kind != JSON_STRING || v.escaped || v.text.len == 0 || v.text.len > JWT_USER_MAX ||
	    !str_is_utf8(v.text))
		return refused("it does not say whose it is");
	for (size_t i = 0; i < v.text.len; i++) {
		if ((uint8_t)v.text.ptr[i] < 0x20 || v.text.ptr[i] == 0x7f)
			return refused("a user with a control character");
	}
	snprintf(jwt->user, sizeof(jwt->user), STR_FMT, STR_ARG(v.text));
	return ERR_OK;
}

static enum err check_claims(
    const struct jwt_rules *rules, struct str claims, int64_t now_s, struct jwt *jwt)
{
	const struct json_path_spec specs[] = {{.path = {"exp", 3}, .exact_case = true},
	    {.path = {"nbf", 3}, .exact_case = true}, {.path = {"iat", 3}, .exact_case = true},
	    {.path = {"iss", 3}, .exact_case = true},
	    {.path = str_of(rules->user_claim), .exact_case = true}};
	struct json_value v[5];
	TRY(scan(specs, 5, claims, v));
	TRY(check_times(v, rules, now_s, jwt));
	if (v[3].kind != JSON_STRING || v[3].escaped ||
	    !str_equal(v[3].text, str_of(rules->issuer)))
		return refused("it is by another issuer");
	TRY(check_audience(rules, claims));
	if (rules->required_scope)
		TRY(check_scope(rules, claims));
	return take_user(v[4], jwt);
}

/* ---- the whole ------------------------------------------------------------------------------- */

enum err jwt_verify(const struct jwks *keys, const struct jwt_rules *rules, struct str token,
    int64_t now_s, struct jwt *ret_jwt)
{
	uint8_t json[JWT_BYTES_MAX];
	size_t dot[2] = {0, 0}, dots = 0, len = 0;
	struct jwt jwt = {.expires_s = 0};
	EVP_PKEY *key = NULL;
	bool ec = false;
	if (token.len > JWT_BYTES_MAX)
		return refused("it is too long");
	for (size_t i = 0; i < token.len; i++) {
		if (token.ptr[i] == '.' && dots++ < 2)
			dot[dots - 1] = i;
	}
	if (dots != 2)
		return refused("it does not have three parts");
	if (!jwt_decode(str_from(token.ptr, dot[0]), json, sizeof(json), &len))
		return refused("the header is malformed");
	TRY(check_header(keys, str_from(json, len), &key, &ec));
	TRY(check_signature(key, ec, str_from(token.ptr, dot[1]),
	    str_from(token.ptr + dot[1] + 1, token.len - dot[1] - 1)));
	if (!jwt_decode(
	        str_from(token.ptr + dot[0] + 1, dot[1] - dot[0] - 1), json, sizeof(json), &len))
		return refused("the claims are malformed");
	TRY(check_claims(rules, str_from(json, len), now_s, &jwt));
	*ret_jwt = jwt;
	return ERR_OK;
}
