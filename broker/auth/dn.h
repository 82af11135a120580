/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A certificate's subject as text, in the form in which Kafka names principals: RFC 2253 as Java's
 * X500Principal writes it. The last name first, "CN=client,OU=x,O=y,C=US"; keywords CN, C, L, ST,
 * O, OU, STREET, DC, UID, else the dotted number and the value in hexadecimal ("#0c05...").
 */
#include "log/base/base.h"
#include <openssl/x509.h>

/* Appends. INVALID: a value that is no text; LIMIT, NOMEM of the writer. */
MUST_USE enum err dn_write(struct writer *w, const X509_NAME *name);
