/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * `listeners`, `advertised.listeners` and `listener.security.protocol.map` as Kafka writes them:
 *   listeners=SASL_SSL://0.0.0.0:9093,PLAINTEXT://127.0.0.1:9092
 * A bare HOST:PORT is PLAINTEXT. Advertised addresses belong to listeners by name; a bare one to
 * the only listener. Unlike Kafka's, a missing host is 127.0.0.1, not every address.
 */
#include "broker/broker.h"
#include "tools/config.h"

struct listeners {
	struct broker_listener at[BROKER_LISTENERS_MAX]; /* strings in `host`, `advertised` */
	size_t count;
	char name[BROKER_LISTENERS_MAX][64];
	char host[BROKER_LISTENERS_MAX][256], advertised[BROKER_LISTENERS_MAX][256];
	struct broker_tls_options tls[BROKER_LISTENERS_MAX]; /* strings in the configuration */
};
/* The next of "a,b,c" without the spaces around it; false at the end. */
bool list_next(struct str *rest, char *buf, size_t len);
/* INVALID_CONFIG, with what to write instead on the chain. at[].tls is left to security_options. */
MUST_USE enum err listeners_parse(const struct config *c, struct listeners *ret_listeners);
/* REFUSED when somebody from elsewhere could come in without saying who he is. */
MUST_USE enum err listeners_check_exposure(const struct config *c, const struct listeners *l);
bool host_is_loopback(const char *host);
/* "HOST:PORT" of one of them. */
void listeners_address(const struct listeners *l, size_t index, char *buf, size_t len);
