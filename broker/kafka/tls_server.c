/* SPDX-License-Identifier: Apache-2.0 */
/* Key, certificates and rules of TLS, read from PEM files. See tls.h. */
#include "broker/kafka/tls_server.h"
#include "broker/auth/name_rules.h"
#include <openssl/err.h>
#include <openssl/pem.h>

enum { PEM_MAX = 4 * 1024 * 1024, CLIENT_CHAIN_MAX = 32 * 1024, CLIENT_CHAIN_DEPTH = 8 };

/* ---- reading --------------------------------------------------------------------------------- */

/* What OpenSSL says, behind what was done to which file. */
static enum err refused(const char *what, const char *path)
{
	unsigned long code = ERR_peek_last_error();
	const char *text = code ? ERR_reason_error_string(code) : NULL;
	ERR_clear_error();
	return err_note(
	    ERR_INVALID_CONFIG, "%s: %s: %s", path, what, text ? text : "nothing of the kind");
}

/* The file as a BIO over memory that *ret_content holds. */
static enum err open_pem(struct io *io, const char *path, struct bytes *ret_content, BIO **ret_bio)
{
	enum err err = io_read_file(io, path, PEM_MAX, ret_content);
	if (err != ERR_OK)
		return err_note(ERR_INVALID_CONFIG, "cannot read %s", path);
	*ret_bio = BIO_new_mem_buf(ret_content->ptr, (int)ret_content->len);
	if (*ret_bio)
		return ERR_OK;
	mem_free((void *)(uintptr_t)ret_content->ptr);
	return ERR_NOMEM;
}

static void close_pem(struct bytes content, BIO *bio)
{
	BIO_free(bio);
	OPENSSL_cleanse((void *)(uintptr_t)content.ptr, content.len);
	mem_free((void *)(uintptr_t)content.ptr);
}

static int give_password(char *buf, int size, int rwflag, void *ctx)
{
	const char *password = ctx;
	(void)rwflag;
	int len = password ? (int)strlen(password) : 0;
	if (len == 0 || len > size)
		return -1; /* never asks at the terminal */
	memcpy(buf, password, (size_t)len);
	return len;
}

static enum err use_key(SSL_CTX *ctx, BIO *bio, const struct broker_tls_options *o)
{
	void *password = (void *)(uintptr_t)o->key_password;
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, give_password, password);
	if (!key)
		return refused("private key", o->key_path);
	int ok = SSL_CTX_use_PrivateKey(ctx, key);
	EVP_PKEY_free(key);
	return ok == 1 ? ERR_OK : refused("private key", o->key_path);
}

/* The server's certificate first, then those up to the root. */
static enum err use_chain(SSL_CTX *ctx, BIO *bio, const char *path)
{
	X509 *cert = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL);
	if (!cert)
		return refused("certificate", path);
	int ok = SSL_CTX_use_certificate(ctx, cert);
	X509_free(cert);
	if (ok != 1)
		return refused("certificate", path);
	while ((cert = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		if (SSL_CTX_add0_chain_cert(ctx, cert) == 1)
			continue;
		X509_free(cert);
		return refused("certificate chain", path);
	}
	ERR_clear_error(); /* the end of the file */
	return ERR_OK;
}

/* Those whose signature makes a client's certificate good. */
static enum err use_authorities(SSL_CTX *ctx, BIO *bio, const char *path)
{
	size_t count = 0;
	X509 *cert;
	while ((cert = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL))) {
		int ok = X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), cert) == 1 &&
		         SSL_CTX_add_client_CA(ctx, cert) == 1;
		X509_free(cert);
		if (!ok)
			return refused("authority", path);
		count++;
	}
	if (count == 0)
		return refused("authority", path);
	ERR_clear_error();
	return ERR_OK;
}

static enum err read_files(struct io *io, SSL_CTX *ctx, const struct broker_tls_options *o)
{
	struct bytes content;
	BIO *bio;
	TRY(open_pem(io, o->certificate_path, &content, &bio));
	enum err err = use_chain(ctx, bio, o->certificate_path);
	close_pem(content, bio);
	TRY(err);
	TRY(open_pem(io, o->key_path, &content, &bio));
	err = use_key(ctx, bio, o);
	close_pem(content, bio);
	TRY(err);
	if (SSL_CTX_check_private_key(ctx) != 1)
		return refused("the key is not that of the certificate", o->key_path);
	if (!o->authorities_path)
		return ERR_OK;
	TRY(open_pem(io, o->authorities_path, &content, &bio));
	err = use_authorities(ctx, bio, o->authorities_path);
	close_pem(content, bio);
	return err;
}

/* ---- rules ----------------------------------------------------------------------------------- */

static bool set_rules(SSL_CTX *ctx, const struct broker_tls_options *o)
{
	int verify = o->client_auth == BROKER_CLIENT_AUTH_NONE ? SSL_VERIFY_NONE : SSL_VERIFY_PEER;
	uint64_t options = SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION;
	if (o->client_auth == BROKER_CLIENT_AUTH_REQUIRED)
		verify |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	if (verify != SSL_VERIFY_NONE)
		options |= SSL_OP_NO_TICKET;
	SSL_CTX_set_options(ctx, options);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
	                          SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_verify(ctx, verify, NULL);
	SSL_CTX_set_verify_depth(ctx, CLIENT_CHAIN_DEPTH);
	SSL_CTX_set_max_cert_list(ctx, CLIENT_CHAIN_MAX);
	return SSL_CTX_set_num_tickets(ctx, verify == SSL_VERIFY_NONE ? 1 : 0) == 1 &&
	       SSL_CTX_set_min_proto_version(ctx, o->only_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION) ==
	           1 &&
	       SSL_CTX_set_max_proto_version(ctx, o->only_1_2 ? TLS1_2_VERSION : TLS1_3_VERSION) ==
	           1 &&
	       SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1 &&
	       SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"kappa", 5) == 1;
}

void tls_server_free(struct tls_server *s)
{
	if (!s || --s->refs > 0)
		return;
	SSL_CTX_free(s->ctx);
	name_rules_free(s->rules);
	BIO_meth_free(s->method);
	mem_free(s);
}

enum err tls_server_new(
    struct io *io, const struct broker_tls_options *o, struct tls_server **ret_server)
{
	struct tls_server *s = mem_calloc(1, sizeof(*s));
	if (!s)
		return ERR_NOMEM;
	s->refs = 1;
	s->method = tls_bio_method();
	s->ctx = SSL_CTX_new(TLS_server_method());
	enum err err = s->method && s->ctx ? ERR_OK : ERR_NOMEM;
	if (err == ERR_OK && !set_rules(s->ctx, o))
		err = refused("rules of TLS", o->certificate_path);
	if (err == ERR_OK)
		err = read_files(io, s->ctx, o);
	if (err == ERR_OK && o->name_rules)
		err = name_rules_new(str_of(o->name_rules), &s->rules);
	if (err != ERR_OK) {
		tls_server_free(s);
		return err;
	}
	*ret_server = s;
	return ERR_OK;
}
