/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes to a whole server at a listener with TLS: it answers or closes, whatever comes. The first
 * byte says how the input is used:
 *   bit 0   the client speaks TLS (OpenSSL's); else the rest goes out as it is
 *   bit 1   TLS 1.2, else 1.3
 *   bit 2   the client has a certificate, which the server asks for
 * With TLS the second byte is a count of changes to what the client sends, three bytes each (u16 at
 * which byte, u8 to exclusive-or it with); the rest is what it says once it is connected.
 */
#include "test/fuzz/fuzz.h"
#include "test/lib/tempdir.h"
#include "broker/broker.h"
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SPEAKS = 1, OLD = 2, SHOWS = 4, CHANGES_MAX = 16, PAUSE_MS = 30 };

static struct {
	struct io *io;
	struct loop *loop;
	struct log *log;
	struct broker *broker;
	struct thread thread;
	char *dir;
	char both[300];
	SSL_CTX *client, *shows;
} server;

/* ---- the server ------------------------------------------------------------------------------ */

/* A key and a certificate that signs itself, in one file. */
static void write_certificate(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	ASSERT(key && x && X509_set_version(x, 2) == 1);
	ASSERT(ASN1_INTEGER_set(X509_get_serialNumber(x), 1) == 1);
	ASSERT(X509_gmtime_adj(X509_getm_notBefore(x), -3600) &&
	       X509_gmtime_adj(X509_getm_notAfter(x), 24 * 3600));
	X509_NAME *name = X509_get_subject_name(x);
	ASSERT(X509_NAME_add_entry_by_txt(
	           name, "CN", MBSTRING_ASC, (const unsigned char *)"ann", -1, -1, 0) == 1);
	ASSERT(X509_set_issuer_name(x, name) == 1 && X509_set_pubkey(x, key) == 1);
	ASSERT(X509_sign(x, key, EVP_sha256()) > 0);
	FILE *f = fopen(server.both, "w");
	ASSERT(f && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1);
	ASSERT(PEM_write_X509(f, x) == 1 && fclose(f) == 0);
	X509_free(x);
	EVP_PKEY_free(key);
}

static SSL_CTX *client_new(bool shows)
{
	SSL_CTX *c = SSL_CTX_new(TLS_client_method());
	ASSERT(c);
	if (shows)
		ASSERT(SSL_CTX_use_certificate_file(c, server.both, SSL_FILETYPE_PEM) == 1 &&
		       SSL_CTX_use_PrivateKey_file(c, server.both, SSL_FILETYPE_PEM) == 1);
	return c;
}

static void run(void *arg)
{
	(void)arg;
	ASSERT(loop_run(server.loop) == ERR_OK);
}

static void end(void)
{
	loop_stop(server.loop);
	thread_join(&server.thread);
	loop_own(server.loop);
	broker_close(server.broker);
	log_close(server.log);
	loop_free(server.loop);
	io_free(server.io);
	SSL_CTX_free(server.client);
	SSL_CTX_free(server.shows);
	tempdir_remove(server.dir);
}

static void open_server(void)
{
	server.dir = tempdir_new();
	snprintf(server.both, sizeof(server.both), "%s/both.pem", server.dir);
	write_certificate();
	struct log_options lo = {.data_dir = server.dir, .journal_bytes = JOURNAL_BYTES_MIN};
	struct broker_listener l = {.protocol = BROKER_SSL};
	struct broker_options bo = {.listeners = &l,
	    .listener_count = 1,
	    .no_auto_create = true,
	    .tls = {.certificate_path = server.both,
	        .key_path = server.both,
	        .authorities_path = server.both,
	        .client_auth = BROKER_CLIENT_AUTH_REQUESTED,
	        .name_rules = "RULE:^CN=(a.*)$/$1/U,DEFAULT"}};
	diag_set_level(DIAG_ERROR);
	ASSERT(io_new("threads", &server.io) == ERR_OK);
	ASSERT(loop_new(server.io, 1, &server.loop) == ERR_OK);
	ASSERT(log_open(server.loop, &lo, &server.log) == ERR_OK);
	ASSERT(broker_open(server.loop, server.log, &bo, &server.broker) == ERR_OK);
	loop_disown(server.loop);
	ASSERT(thread_start(&server.thread, "fuzz-server", run, NULL) == ERR_OK);
	server.client = client_new(false);
	server.shows = client_new(true);
	atexit(end);
}

static int dial(void)
{
	struct sockaddr_in sa = {
	    .sin_family = AF_INET, .sin_port = htons(broker_port(server.broker, 0))};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ASSERT(fd >= 0);
	fuzz_connect(fd, (struct sockaddr *)&sa, sizeof(sa));
	return fd;
}

/* ---- the client ------------------------------------------------------------------------------ */

struct client {
	int fd;
	SSL *ssl;
	BIO *in, *out;
	struct bytes changes;
	size_t sent;
};

/* What the client has to send, with the changes. */
static void flush(struct client *c)
{
	uint8_t piece[4096];
	int n;
	while ((n = BIO_read(c->out, piece, sizeof(piece))) > 0) {
		for (size_t i = 0; i + 3 <= c->changes.len; i += 3) {
			size_t at = get_u16_be(c->changes.ptr + i);
			if (at >= c->sent && at < c->sent + (size_t)n)
				piece[at - c->sent] ^= c->changes.ptr[i + 2];
		}
		c->sent += (size_t)n;
		ssize_t rc = send(c->fd, piece, (size_t)n, MSG_NOSIGNAL);
		(void)rc; /* the server may have closed: that is a right answer */
	}
}

/* Something has come, within a little while; false: nothing, or its end. */
static bool receive(struct client *c)
{
	uint8_t piece[4096];
	struct pollfd p = {.fd = c->fd, .events = POLLIN};
	if (poll(&p, 1, PAUSE_MS) <= 0)
		return false;
	ssize_t n = recv(c->fd, piece, sizeof(piece), 0);
	return n > 0 && BIO_write(c->in, piece, (int)n) == n;
}

static void speak(int fd, uint8_t mode, struct bytes changes, struct bytes plain)
{
	struct client c = {.fd = fd, .changes = changes};
	c.ssl = SSL_new(mode & SHOWS ? server.shows : server.client);
	c.in = BIO_new(BIO_s_mem());
	c.out = BIO_new(BIO_s_mem());
	ASSERT(c.ssl && c.in && c.out);
	BIO_set_mem_eof_return(c.in, -1);
	SSL_set_bio(c.ssl, c.in, c.out);
	SSL_set_connect_state(c.ssl);
	if (mode & OLD)
		SSL_set_max_proto_version(c.ssl, TLS1_2_VERSION);
	int rc;
	do {
		rc = SSL_do_handshake(c.ssl);
		flush(&c);
	} while (rc != 1 && SSL_get_error(c.ssl, rc) == SSL_ERROR_WANT_READ && receive(&c));
	if (rc == 1 && plain.len > 0)
		(void)SSL_write(c.ssl, plain.ptr, (int)plain.len);
	flush(&c);
	ERR_clear_error();
	SSL_free(c.ssl);
}

void tls_fuzz(struct bytes in)
{
	if (!server.loop)
		open_server();
	if (in.len == 0)
		return;
	uint8_t mode = in.ptr[0];
	int fd = dial();
	if ((mode & SPEAKS) && in.len >= 2) {
		size_t changes = 3 * (size_t)(in.ptr[1] % (CHANGES_MAX + 1));
		struct bytes rest = bytes_slice(in, 2, in.len);
		changes = changes < rest.len ? changes : rest.len;
		speak(fd, mode, bytes_slice(rest, 0, changes),
		    bytes_slice(rest, changes, rest.len - changes));
	} else {
		ssize_t rc = send(fd, in.ptr + 1, in.len - 1, MSG_NOSIGNAL);
		(void)rc;
	}
	shutdown(fd, SHUT_WR);
	fuzz_drain(fd);
	close(fd);
}

/* The first bytes of a client, as OpenSSL has them. */
static void emit_hello(void (*emit)(void *ctx, struct bytes in), void *ctx, int version)
{
	uint8_t hello[2048] = {0};
	SSL_CTX *c = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(c);
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	ASSERT(ssl && in && out);
	SSL_set_bio(ssl, in, out);
	SSL_set_max_proto_version(ssl, version);
	SSL_set_connect_state(ssl);
	(void)SSL_do_handshake(ssl);
	int n = BIO_read(out, hello + 1, sizeof(hello) - 1);
	ASSERT(n > 0);
	emit(ctx, bytes_of(hello, (size_t)n + 1));
	SSL_free(ssl);
	SSL_CTX_free(c);
}

void tls_seeds(void (*emit)(void *ctx, struct bytes in), void *ctx)
{
	const struct str seeds[] = {
	    /* ApiVersions, twice at once; Metadata of all topics; a length without its bytes */
	    STR("\1\0\0\0\0\x0a\0\x12\0\0\0\0\0\7\xff\xff\0\0\0\x0a\0\x12\0\0\0\0\0\x08\xff\xff"),
	    STR("\3\0\0\0\0\x0e\0\3\0\1\0\0\0\7\xff\xff\xff\xff\xff\xff"),
	    STR("\5\0\0\0\xff\xff\0"), STR("\7\0"),
	    /* changes in the hello, in the middle of the handshake, in the records after it */
	    STR("\1\2\0\5\1\0\x30\x80"), STR("\5\1\2\0\1hello"), STR("\3\1\0\xd0\xff"),
	    STR("\7\3\1\x20\1\2\x20\1\3\x20\1rest"),
	    /* no TLS at all */
	    STR("\0GET / HTTP/1.1\r\n\r\n"), STR("\0\0\0\0\x0a\0\x12\0\0\0\0\0\7\xff\xff"),
	    STR("\0\x15\3\3\0\2\2\x28"), STR("\0\x16\3\1\xff\xff\1\0\0\0")};
	for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++)
		emit(ctx, str_bytes(seeds[i]));
	emit_hello(emit, ctx, TLS1_2_VERSION);
	emit_hello(emit, ctx, TLS1_3_VERSION);
}
