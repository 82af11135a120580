/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What tls.c and tls_server.c share. */
#include "broker/kafka/tls.h"
#include <openssl/ssl.h>

struct tls_server {
	size_t refs; /* the broker's and its connections' [loop] */
	SSL_CTX *ctx;
	BIO_METHOD *method;
	struct name_rules *rules; /* NULL = the subject as it is */
};
/* Buffers of struct tls as OpenSSL reads and writes them; NULL: no memory. */
BIO_METHOD *tls_bio_method(void);
