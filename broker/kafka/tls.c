/* SPDX-License-Identifier: Apache-2.0 */
/* One TLS connection over memory. See tls.h; the server's side of it is in tls_server.c. */
#include "broker/kafka/tls.h"
#include "broker/auth/dn.h"
#include "broker/auth/name_rules.h"
#include "broker/kafka/tls_server.h"
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>

struct tls {
	struct tls_server *server;
	SSL *ssl;
	enum tls_state state;
	uint8_t *in;
	size_t in_pos, in_len, in_capacity;
	bool in_was_full; /* more is likely to come: a larger buffer */
	struct writer out;
	char failure[160];
};

/* ---- OpenSSL's view of the buffers ----------------------------------------------------------- */

static int bio_read(BIO *bio, char *buf, int len)
{
	struct tls *t = BIO_get_data(bio);
	size_t left = t->in_len - t->in_pos, take = len < 0 ? 0 : (size_t)len;
	BIO_clear_retry_flags(bio);
	if (left == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	take = take < left ? take : left;
	memcpy(buf, t->in + t->in_pos, take);
	t->in_pos += take;
	return (int)take;
}

static int bio_write(BIO *bio, const char *buf, int len)
{
	struct tls *t = BIO_get_data(bio);
	BIO_clear_retry_flags(bio);
	write_bytes(&t->out, bytes_of(buf, len < 0 ? 0 : (size_t)len));
	return t->out.err == ERR_OK ? len : -1;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	(void)bio;
	(void)num;
	(void)ptr;
	return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

BIO_METHOD *tls_bio_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "kappa");
	if (m && BIO_meth_set_read(m, bio_read) && BIO_meth_set_write(m, bio_write) &&
	    BIO_meth_set_ctrl(m, bio_ctrl))
		return m;
	BIO_meth_free(m);
	return NULL;
}

/* ---- life cycle ------------------------------------------------------------------------------ */

enum err tls_new(struct tls_server *server, bool ask, struct tls **ret_tls)
{
	struct tls *t = mem_calloc(1, sizeof(*t));
	if (!t)
		return ERR_NOMEM;
	t->server = server;
	server->refs++;
	writer_init(&t->out, TLS_OUT_MAX);
	t->ssl = SSL_new(server->ctx);
	BIO *bio = BIO_new(server->method);
	if (!t->ssl || !bio) {
		BIO_free(bio);
		tls_free(t);
		ERR_clear_error();
		return ERR_NOMEM;
	}
	BIO_set_data(bio, t);
	BIO_set_init(bio, 1);
	SSL_set_bio(t->ssl, bio, bio);
	if (!ask)
		SSL_set_verify(t->ssl, SSL_VERIFY_NONE, NULL);
	SSL_set_accept_state(t->ssl);
	*ret_tls = t;
	return ERR_OK;
}

void tls_free(struct tls *t)
{
	if (!t)
		return;
	SSL_free(t->ssl);
	tls_server_free(t->server);
	writer_release(&t->out);
	mem_free(t->in);
	mem_free(t);
}

enum tls_state tls_state(const struct tls *t)
{
	return t->state;
}

const char *tls_failure(const struct tls *t)
{
	return t->failure;
}

const char *tls_version(const struct tls *t)
{
	return SSL_get_version(t->ssl);
}

/* ---- input ----------------------------------------------------------------------------------- */

struct iovec tls_space(struct tls *t)
{
	size_t want = t->in_was_full ? TLS_IN_MAX : TLS_IN_MIN;
	ASSERT(t->in_pos == t->in_len);
	t->in_pos = t->in_len = 0;
	if (t->in_capacity != want) {
		mem_free(t->in);
		t->in = mem_alloc(want);
		t->in_capacity = t->in ? want : 0;
	}
	return (struct iovec){t->in, t->in_capacity};
}

void tls_received(struct tls *t, size_t len)
{
	ASSERT(t->in_len == 0 && len <= t->in_capacity);
	t->in_len = len;
	t->in_was_full = len == t->in_capacity || (t->in_was_full && len >= TLS_IN_MIN);
}

bool tls_has_input(const struct tls *t)
{
	return t->in_pos < t->in_len;
}

/* Looks at why a call of OpenSSL did not do what it was asked. */
static void settle(struct tls *t, int rc)
{
	int why = SSL_get_error(t->ssl, rc);
	if (why == SSL_ERROR_WANT_READ)
		return;
	t->state = why == SSL_ERROR_ZERO_RETURN ? TLS_ENDED : TLS_FAILED;
	if (t->state == TLS_FAILED) {
		unsigned long code = ERR_peek_last_error();
		const char *text = code ? ERR_reason_error_string(code) : NULL;
		long verdict = SSL_get_verify_result(t->ssl);
		snprintf(t->failure, sizeof(t->failure), "%s%s%s", text ? text : "broken off",
		    verdict != X509_V_OK ? ": " : "",
		    verdict != X509_V_OK ? X509_verify_cert_error_string(verdict) : "");
	}
	ERR_clear_error();
}

void tls_handshake(struct tls *t)
{
	ASSERT(t->state == TLS_HANDSHAKE);
	ERR_clear_error();
	int rc = SSL_do_handshake(t->ssl);
	if (rc == 1)
		t->state = TLS_OPEN;
	else
		settle(t, rc);
}

size_t tls_read(struct tls *t, void *buf, size_t len)
{
	size_t got = 0;
	/* answers to key updates and the like wait for their turn too */
	if (t->state != TLS_OPEN || t->out.len > TLS_IN_MAX)
		return 0;
	ERR_clear_error();
	int rc = SSL_read_ex(t->ssl, buf, len, &got);
	if (rc != 1)
		settle(t, rc);
	return rc == 1 ? got : 0;
}

/* ---- output ---------------------------------------------------------------------------------- */

enum err tls_write(struct tls *t, struct bytes plain)
{
	if (t->state != TLS_OPEN)
		return ERR_CLOSED;
	while (plain.len > 0) {
		size_t done = 0;
		ERR_clear_error();
		int rc = SSL_write_ex(t->ssl, plain.ptr, plain.len, &done);
		if (rc != 1) {
			settle(t, rc);
			return t->out.err != ERR_OK ? t->out.err : ERR_CLOSED;
		}
		plain = bytes_slice(plain, done, plain.len);
	}
	return ERR_OK;
}

void tls_shutdown(struct tls *t)
{
	if (t->state != TLS_OPEN)
		return;
	(void)SSL_shutdown(t->ssl); /* it may be that the client has gone already */
	ERR_clear_error();
	t->state = TLS_ENDED;
}

uint8_t *tls_take(struct tls *t, size_t *ret_len)
{
	*ret_len = 0;
	return t->out.err == ERR_OK ? writer_take(&t->out, ret_len) : NULL;
}

size_t tls_pending(const struct tls *t)
{
	return t->out.err == ERR_OK ? t->out.len : 0;
}

/* ---- who it is ------------------------------------------------------------------------------- */

static enum err mapped(const struct tls *t, const X509_NAME *subject, struct writer *w)
{
	struct writer name;
	writer_init(&name, w->limit);
	enum err err = dn_write(&name, subject);
	if (err == ERR_OK)
		err = name_rules_apply(t->server->rules, bytes_str(writer_bytes(&name)), w);
	writer_release(&name);
	return err;
}

enum err tls_peer(const struct tls *t, struct writer *w, bool *ret_sent)
{
	const X509 *cert = SSL_get0_peer_certificate(t->ssl);
	*ret_sent = cert != NULL;
	if (!cert)
		return ERR_OK;
	if (SSL_get_verify_result(t->ssl) != X509_V_OK)
		return err_note(ERR_UNAUTHORIZED, "a certificate that was not verified");
	const X509_NAME *subject = X509_get_subject_name(cert);
	return t->server->rules ? mapped(t, subject, w) : dn_write(w, subject);
}
