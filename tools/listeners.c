/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/listeners.h"
#include <arpa/inet.h>
#include <strings.h>

enum { TEXT_MAX = 4096 };

/* ---- lists ----------------------------------------------------------------------------------- */

bool list_next(struct str *rest, char *buf, size_t len)
{
	size_t n = 0, from = 0;
	if (rest->len == 0)
		return false;
	while (n < rest->len && rest->ptr[n] != ',')
		n++;
	while (from < n && rest->ptr[from] == ' ')
		from++;
	size_t to = n;
	while (to > from && rest->ptr[to - 1] == ' ')
		to--;
	snprintf(buf, len, "%.*s", (int)(to - from), rest->ptr + from);
	*rest = str_from(rest->ptr + n + (n < rest->len), rest->len - n - (n < rest->len));
	return true;
}

static bool protocol_named(const char *name, enum broker_protocol *ret_protocol)
{
	for (int p = BROKER_PLAINTEXT; p <= BROKER_SASL_SSL; p++) {
		if (strcmp(name, broker_protocol_name((enum broker_protocol)p)) != 0)
			continue;
		*ret_protocol = (enum broker_protocol)p;
		return true;
	}
	return false;
}

/* listener.security.protocol.map=NAME:PROTOCOL,... before the protocols' own names. */
static enum err protocol_of(
    const struct config *c, const char *name, enum broker_protocol *ret_protocol)
{
	char item[TEXT_MAX];
	struct str rest = str_of(config_get(c, CONFIG_PROTOCOL_MAP));
	while (list_next(&rest, item, sizeof item)) {
		char *colon = strchr(item, ':');
		enum broker_protocol p;
		if (!colon || !protocol_named(colon + 1, &p))
			return err_note(ERR_INVALID_CONFIG,
			    "listener.security.protocol.map: %s: NAME:PROTOCOL is expected, "
			    "PROTOCOL "
			    "one of PLAINTEXT, SSL, SASL_PLAINTEXT and SASL_SSL",
			    item);
		*colon = 0;
		if (strcmp(item, name) != 0)
			continue;
		*ret_protocol = p;
		return ERR_OK;
	}
	if (protocol_named(name, ret_protocol))
		return ERR_OK;
	return err_note(ERR_INVALID_CONFIG,
	    "listener %s: PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL, or a name that "
	    "listener.security.protocol.map has",
	    name);
}

/* "NAME" of "NAME://...", "" where there is none. */
static enum err take_name(const char *item, char *name, size_t len)
{
	const char *end = strstr(item, "://");
	size_t n = end ? (size_t)(end - item) : 0;
	if (n >= len || (end && n == 0))
		return err_note(ERR_INVALID_CONFIG, "%s: NAME://HOST:PORT is expected", item);
	memcpy(name, item, n);
	name[n] = 0;
	return ERR_OK;
}

/* ---- reading --------------------------------------------------------------------------------- */

static enum err add_listener(const struct config *c, struct listeners *l, const char *item)
{
	if (l->count == BROKER_LISTENERS_MAX)
		return err_note(ERR_INVALID_CONFIG, "more than %d listeners", BROKER_LISTENERS_MAX);
	size_t i = l->count;
	l->at[i] = (struct broker_listener){0};
	TRY(take_name(item, l->name[i], sizeof l->name[i]));
	if (!l->name[i][0])
		snprintf(l->name[i], sizeof l->name[i], "PLAINTEXT");
	for (size_t k = 0; k < i; k++)
		if (strcmp(l->name[k], l->name[i]) == 0)
			return err_note(ERR_INVALID_CONFIG,
			    "two listeners named %s: listener.security.protocol.map can name them "
			    "apart",
			    l->name[i]);
	TRY(protocol_of(c, l->name[i], &l->at[i].protocol));
	TRY(config_address(item, l->host[i], sizeof l->host[i], &l->at[i].port));
	l->at[i].host = l->host[i];
	l->count++;
	return ERR_OK;
}

static enum err add_advertised(struct listeners *l, const char *item)
{
	char name[64];
	size_t i = 0;
	TRY(take_name(item, name, sizeof name));
	if (!name[0] && l->count > 1)
		return err_note(ERR_INVALID_CONFIG,
		    "advertised.listeners: %s: of which listener? NAME://HOST:PORT", item);
	while (name[0] && i < l->count && strcmp(l->name[i], name) != 0)
		i++;
	if (i == l->count)
		return err_note(
		    ERR_INVALID_CONFIG, "advertised.listeners: there is no listener %s", name);
	TRY(config_address(
	    item, l->advertised[i], sizeof l->advertised[i], &l->at[i].advertised_port));
	l->at[i].advertised_host = l->advertised[i];
	return ERR_OK;
}

/* A key of a listener that is not there would have no effect. */
static enum err check_listener_keys(const struct config *c, const struct listeners *l)
{
	for (size_t k = 0; k < c->listener_key_count; k++) {
		size_t i = 0;
		while (i < l->count && strcasecmp(l->name[i], c->listener_keys[k].listener) != 0)
			i++;
		if (i == l->count)
			return err_note(ERR_INVALID_CONFIG,
			    "listener.name.%s.%s: there is no such listener",
			    c->listener_keys[k].listener, config_name(c->listener_keys[k].key));
		if (!broker_protocol_tls(l->at[i].protocol))
			return err_note(ERR_INVALID_CONFIG,
			    "listener.name.%s.%s: that listener has no TLS",
			    c->listener_keys[k].listener, config_name(c->listener_keys[k].key));
	}
	return ERR_OK;
}

enum err listeners_parse(const struct config *c, struct listeners *l)
{
	char item[TEXT_MAX];
	struct str rest = str_of(config_get(c, CONFIG_LISTENERS));
	l->count = 0;
	while (list_next(&rest, item, sizeof item))
		TRY(add_listener(c, l, item));
	if (l->count == 0)
		return err_note(ERR_INVALID_CONFIG, "listeners: there is none");
	TRY(check_listener_keys(c, l));
	rest = str_of(config_get(c, CONFIG_ADVERTISED));
	while (list_next(&rest, item, sizeof item))
		TRY(add_advertised(l, item));
	return ERR_OK;
}

/* ---- exposure -------------------------------------------------------------------------------- */

bool host_is_loopback(const char *host)
{
	struct in_addr v4;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return strcmp(host, "::1") == 0 || strcmp(host, "localhost") == 0;
}

/* Whether everybody who comes in there has said who he is. */
static bool asks(const struct config *c, const struct listeners *l, size_t i)
{
	enum broker_protocol p = l->at[i].protocol;
	const char *auth = config_get_of(c, l->name[i], CONFIG_SSL_CLIENT_AUTH);
	return broker_protocol_sasl(p) || (p == BROKER_SSL && strcmp(auth, "required") == 0);
}

enum err listeners_check_exposure(const struct config *c, const struct listeners *l)
{
	for (size_t i = 0; i < l->count; i++) {
		if (host_is_loopback(l->host[i]) || asks(c, l, i))
			continue;
		if (config_bool(c, CONFIG_INSECURE_LISTEN)) {
			diag(DIAG_WARN, "insecure_listen", "listener=%s host=%s what=\"%s\"",
			    l->name[i], l->host[i],
			    "whoever reaches it comes in without saying who he is");
			continue;
		}
		return err_note(ERR_REFUSED,
		    "%s is not a loopback address, and clients of %s need not say who they are: "
		    "use SASL_SSL (or SASL_PLAINTEXT) and `kappa user create`, or SSL with "
		    "ssl.client.auth=required; --insecure-listen lets everybody in",
		    l->host[i], l->name[i]);
	}
	return ERR_OK;
}

void listeners_address(const struct listeners *l, size_t index, char *buf, size_t len)
{
	const char *host = l->host[index];
	snprintf(buf, len, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, l->at[index].port);
}
