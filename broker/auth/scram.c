/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SCRAM, the server's side. See scram.h.
 *
 *   client first  n,[a=authzid],n=user,r=nonce[,extensions]
 *   server first  r=nonce+ours,s=salt,i=iterations
 *   client final  c=biws,r=nonce,p=proof           (biws: base64 of the "n,," above)
 *   server final  v=signature
 *
 * AuthMessage is the client's first message without its "n,," head, the server's first, and the
 * client's final without its proof, with commas between.
 */
#include "broker/auth/scram.h"
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

static const EVP_MD *digest_of(enum scram_mechanism mechanism)
{
	return mechanism == SCRAM_SHA_512 ? EVP_sha512() : EVP_sha256();
}

size_t scram_key_len(enum scram_mechanism mechanism)
{
	return mechanism == SCRAM_SHA_512 ? 64 : 32;
}

const char *scram_name(enum scram_mechanism mechanism)
{
	return mechanism == SCRAM_SHA_512 ? "SCRAM-SHA-512" : "SCRAM-SHA-256";
}

/* ---- keys ------------------------------------------------------------------------------------ */

static enum err mac(enum scram_mechanism m, const uint8_t *key, struct bytes text, uint8_t *ret_mac)
{
	unsigned len = 0;
	if (!HMAC(digest_of(m), key, (int)scram_key_len(m), text.ptr, text.len, ret_mac, &len))
		return err_note(ERR_SYS, "HMAC failed");
	ASSERT(len == scram_key_len(m));
	return ERR_OK;
}

static enum err hash(enum scram_mechanism m, const uint8_t *key, uint8_t *ret_hash)
{
	unsigned len = 0;
	if (!EVP_Digest(key, scram_key_len(m), ret_hash, &len, digest_of(m), NULL))
		return err_note(ERR_SYS, "hash failed");
	return ERR_OK;
}

enum err scram_derive(struct scram_credential *c, struct bytes salted_password)
{
	uint8_t client_key[SCRAM_KEY_MAX];
	if (salted_password.len != scram_key_len(c->mechanism))
		return err_note(ERR_INVALID, "a salted password of %zu bytes, %zu are needed",
		    salted_password.len, scram_key_len(c->mechanism));
	enum err err =
	    mac(c->mechanism, salted_password.ptr, str_bytes(STR("Client Key")), client_key);
	if (err == ERR_OK)
		err = hash(c->mechanism, client_key, c->stored_key);
	if (err == ERR_OK)
		err = mac(
		    c->mechanism, salted_password.ptr, str_bytes(STR("Server Key")), c->server_key);
	OPENSSL_cleanse(client_key, sizeof(client_key));
	return err;
}

enum err scram_derive_password(struct scram_credential *c, struct str password)
{
	uint8_t salted[SCRAM_KEY_MAX];
	size_t len = scram_key_len(c->mechanism);
	ASSERT(c->salt_len <= SCRAM_SALT_MAX && c->iterations <= SCRAM_ITERATIONS_MAX);
	if (!PKCS5_PBKDF2_HMAC(password.ptr, (int)password.len, c->salt, (int)c->salt_len,
	        (int)c->iterations, digest_of(c->mechanism), (int)len, salted))
		return err_note(ERR_SYS, "PBKDF2 failed");
	enum err err = scram_derive(c, bytes_of(salted, len));
	OPENSSL_cleanse(salted, sizeof(salted));
	return err;
}

bool scram_verify_password(const struct scram_credential *c, struct str password)
{
	struct scram_credential mine = *c;
	enum err err = scram_derive_password(&mine, password);
	bool same = err == ERR_OK &&
	            CRYPTO_memcmp(mine.stored_key, c->stored_key, scram_key_len(c->mechanism)) == 0;
	OPENSSL_cleanse(&mine, sizeof(mine));
	err_clear();
	return same;
}

/* ---- reading messages ------------------------------------------------------------------------ */

static enum err malformed(const char *what)
{
	return err_note(ERR_UNAUTHORIZED, "SCRAM: %s", what);
}

/* The next attribute "x=value" of a comma-separated message; false at the end. */
static bool next_attribute(struct str *rest, char *ret_name, struct str *ret_value)
{
	size_t n = 0;
	while (n < rest->len && rest->ptr[n] != ',')
		n++;
	if (n < 2 || rest->ptr[1] != '=')
		return false;
	*ret_name = rest->ptr[0];
	*ret_value = str_from(rest->ptr + 2, n - 2);
	*rest = str_from(rest->ptr + n + (n < rest->len), rest->len - n - (n < rest->len));
	return true;
}

/* "=2C" is a comma and "=3D" an equals sign in names. */
static enum err decode_name(struct str s, char ret_name[SCRAM_USER_MAX + 1])
{
	size_t n = 0;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];
		if (c == '=') {
			struct str code = str_from(s.ptr + i, s.len - i < 3 ? s.len - i : 3);
			if (!str_equal(code, STR("=2C")) && !str_equal(code, STR("=3D")))
				return malformed("a user name with a bare =");
			c = s.ptr[i + 1] == '2' ? ',' : '=';
			i += 2;
		}
		if (n == SCRAM_USER_MAX || c == '\0')
			return malformed("a user name that nobody has");
		ret_name[n++] = c;
	}
	ret_name[n] = '\0';
	return n > 0 ? ERR_OK : malformed("no user name");
}

static bool is_nonce(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] < 0x21 || s.ptr[i] > 0x7e)
			return false;
	}
	return s.len > 0;
}

void scram_init(struct scram *s)
{
	memset(s, 0, sizeof(*s));
	writer_init(&s->text, SCRAM_TEXT_MAX);
}

void scram_release(struct scram *s)
{
	writer_release(&s->text);
	OPENSSL_cleanse(s, sizeof(*s));
}

/* The part before the bare message: "n," [a=name] ",". */
static enum err read_head(struct str *rest, struct str *ret_authzid)
{
	*ret_authzid = (struct str){NULL, 0};
	if (rest->len < 3 || rest->ptr[1] != ',')
		return malformed("the first message is malformed");
	if (rest->ptr[0] != 'n' && rest->ptr[0] != 'y')
		return malformed("channel binding is not supported");
	*rest = str_from(rest->ptr + 2, rest->len - 2);
	if (rest->ptr[0] == 'a') {
		char name;
		if (!next_attribute(rest, &name, ret_authzid))
			return malformed("the first message is malformed");
		return ERR_OK;
	}
	if (rest->ptr[0] != ',')
		return malformed("the first message is malformed");
	*rest = str_from(rest->ptr + 1, rest->len - 1);
	return ERR_OK;
}

enum err scram_first(struct scram *s, struct bytes message)
{
	struct str rest = bytes_str(message), authzid, user, nonce;
	char name, other[SCRAM_USER_MAX + 1];
	if (message.len > SCRAM_MESSAGE_MAX)
		return malformed("a first message that is too long");
	TRY(read_head(&rest, &authzid));
	struct str bare = rest;
	if (!next_attribute(&rest, &name, &user) || name != 'n')
		return malformed("no user name");
	TRY(decode_name(user, s->user));
	if (!next_attribute(&rest, &name, &nonce) || name != 'r' || !is_nonce(nonce))
		return malformed("no nonce");
	if (authzid.ptr) {
		TRY(decode_name(authzid, other));
		if (strcmp(other, s->user) != 0)
			return malformed("nobody may act for another user");
	}
	size_t head = message.len - bare.len;
	if (head > SCRAM_HEAD_MAX)
		return malformed("a first message that is too long");
	EVP_EncodeBlock((uint8_t *)s->binding, message.ptr, (int)head);
	write_str(&s->text, bare);
	s->client_nonce_at = (size_t)(nonce.ptr - bare.ptr);
	s->client_nonce_len = nonce.len;
	return s->text.err;
}

/* ---- base64 ---------------------------------------------------------------------------------- */

static void write_base64(struct writer *w, const uint8_t *from, size_t len)
{
	uint8_t text[4 * ((SCRAM_KEY_MAX + 2) / 3) + 1];
	ASSERT(len <= SCRAM_KEY_MAX);
	int n = EVP_EncodeBlock(text, from, (int)len);
	write_bytes(w, bytes_of(text, (size_t)n));
}

/* True when `text` is the base64 of `want` bytes, and of nothing else. */
static bool read_base64(struct str text, uint8_t *ret_bytes, size_t want)
{
	uint8_t decoded[3 * ((SCRAM_KEY_MAX + 2) / 3)], again[4 * ((SCRAM_KEY_MAX + 2) / 3) + 1];
	if (text.len != 4 * ((want + 2) / 3))
		return false;
	int n = EVP_DecodeBlock(decoded, (const uint8_t *)text.ptr, (int)text.len);
	if (n < (int)want)
		return false;
	int len = EVP_EncodeBlock(again, decoded, (int)want);
	memcpy(ret_bytes, decoded, want);
	return len == (int)text.len && memcmp(again, text.ptr, text.len) == 0;
}

/* ---- challenge and proof --------------------------------------------------------------------- */

enum err scram_challenge(struct scram *s, const struct scram_credential *credential,
    struct str nonce, struct writer *out)
{
	struct writer *w = &s->text;
	ASSERT(is_nonce(nonce) && s->client_nonce_len > 0);
	s->credential = *credential;
	write_u8(w, ',');
	size_t from = w->len;
	write_cstr(w, "r=");
	s->nonce_at = w->len;
	s->nonce_len = s->client_nonce_len + nonce.len;
	uint8_t *both = writer_reserve(w, s->nonce_len);
	if (!both)
		return w->err;
	memcpy(both, w->ptr + s->client_nonce_at, s->client_nonce_len);
	memcpy(both + s->client_nonce_len, nonce.ptr, nonce.len);
	write_cstr(w, ",s=");
	write_base64(w, credential->salt, credential->salt_len);
	write_printf(w, ",i=%u", credential->iterations);
	TRY(w->err);
	write_bytes(out, bytes_of(w->ptr + from, w->len - from));
	return out->err;
}

static bool ends_with(struct str s, struct bytes end)
{
	return s.len >= end.len && memcmp(s.ptr + s.len - end.len, end.ptr, end.len) == 0;
}

/* Takes the final message apart and completes AuthMessage. */
static enum err read_final(struct scram *s, struct str message, uint8_t proof[SCRAM_KEY_MAX])
{
	struct str rest = message, binding, nonce, value = {NULL, 0};
	char name;
	if (!next_attribute(&rest, &name, &binding) || name != 'c' ||
	    !str_equal(binding, str_of(s->binding)))
		return malformed("the final message has another head than the first");
	if (!next_attribute(&rest, &name, &nonce) || name != 'r' ||
	    !ends_with(nonce, bytes_of(s->text.ptr + s->nonce_at, s->nonce_len)))
		return malformed("the nonce is not that of the challenge");
	do {
		if (!next_attribute(&rest, &name, &value))
			return malformed("no proof");
	} while (name != 'p');
	if (rest.len > 0 || !read_base64(value, proof, scram_key_len(s->credential.mechanism)))
		return malformed("the proof is malformed");
	write_u8(&s->text, ',');
	write_str(&s->text, str_from(message.ptr, message.len - value.len - 3));
	return s->text.err;
}

static enum err check_proof(const struct scram *s, const uint8_t *proof)
{
	const struct scram_credential *c = &s->credential;
	uint8_t signature[SCRAM_KEY_MAX], client_key[SCRAM_KEY_MAX], stored[SCRAM_KEY_MAX];
	size_t len = scram_key_len(c->mechanism);
	TRY(mac(c->mechanism, c->stored_key, writer_bytes(&s->text), signature));
	for (size_t i = 0; i < len; i++)
		client_key[i] = proof[i] ^ signature[i];
	TRY(hash(c->mechanism, client_key, stored));
	bool same = CRYPTO_memcmp(stored, c->stored_key, len) == 0;
	OPENSSL_cleanse(client_key, sizeof(client_key));
	return same ? ERR_OK : malformed("wrong user or password");
}

enum err scram_final(struct scram *s, struct bytes message, struct writer *out)
{
	uint8_t proof[SCRAM_KEY_MAX], signature[SCRAM_KEY_MAX];
	const struct scram_credential *c = &s->credential;
	ASSERT(s->nonce_len > 0);
	if (message.len > SCRAM_MESSAGE_MAX)
		return malformed("a final message that is too long");
	TRY(read_final(s, bytes_str(message), proof));
	TRY(check_proof(s, proof));
	TRY(mac(c->mechanism, c->server_key, writer_bytes(&s->text), signature));
	write_cstr(out, "v=");
	write_base64(out, signature, scram_key_len(c->mechanism));
	return out->err;
}
