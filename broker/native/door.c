/* SPDX-License-Identifier: Apache-2.0 */
/* The native door's addresses. Its connections are those of kafka/conn.c, in another framing. */
#include "broker/kafka/server.h"
#include <stdio.h>

/* Taken apart: `host` is a path or a loopback host. */
struct address {
	enum sp_framing framing;
	char host[256];
	uint16_t port;
};

static bool is_loopback(const char *host)
{
	return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 ||
	       strcmp(host, "localhost") == 0;
}

static enum err parse_tcp(const char *url, const char *from, struct address *a)
{
	const char *colon = strrchr(from, ':');
	uint64_t port;
	if (!colon || !str_to_u64(str_of(colon + 1), &port) || port > UINT16_MAX)
		return err_note(ERR_INVALID, "%s: tcp://HOST:PORT is expected", url);
	size_t len = (size_t)(colon - from);
	if (len >= 2 && from[0] == '[' && from[len - 1] == ']') {
		from++;
		len -= 2;
	}
	if (len >= sizeof(a->host))
		return err_note(ERR_INVALID, "%s: the host is too long", url);
	snprintf(a->host, sizeof(a->host), "%.*s", (int)len, from);
	a->framing = SP_TCP;
	a->port = (uint16_t)port;
	if (is_loopback(a->host))
		return ERR_OK;
	return err_note(ERR_REFUSED,
	    "%s: the native door is for clients on this machine: a loopback address", url);
}

static enum err parse(const char *url, struct address *a)
{
	*a = (struct address){.framing = SP_IPC};
	if (strncmp(url, "tcp://", 6) == 0)
		return parse_tcp(url, url + 6, a);
	if (strncmp(url, "ipc:///", 7) != 0)
		return err_note(
		    ERR_INVALID, "%s: ipc:///PATH or tcp://LOOPBACK:PORT is expected", url);
	if (strlen(url + 6) >= sizeof(a->host))
		return err_note(ERR_INVALID, "%s: the path is too long", url);
	snprintf(a->host, sizeof(a->host), "%s", url + 6);
	return ERR_OK;
}

/* The address with the port that was given. */
static char *bound(const struct listener *l)
{
	char text[300];
	const char *host = l->options.host;
	if (l->framing == SP_IPC)
		snprintf(text, sizeof(text), "ipc://%s", host);
	else
		snprintf(text, sizeof(text), strchr(host, ':') ? "tcp://[%s]:%u" : "tcp://%s:%u",
		    host, l->port);
	return mem_strdup(str_of(text));
}

static enum err add(struct broker *b, const char *url, enum broker_protocol protocol,
    struct listener **ret_listener, char **ret_url)
{
	struct address a;
	TRY(parse(url, &a));
	struct broker_listener from = {.protocol = protocol, .host = a.host, .port = a.port};
	TRY(listener_add(b, &from, a.framing, ret_listener));
	*ret_url = bound(*ret_listener);
	return *ret_url ? ERR_OK : ERR_NOMEM;
}

enum err native_open(struct broker *b, const struct broker_native *o)
{
	enum broker_protocol protocol = o->sasl ? BROKER_SASL_PLAINTEXT : BROKER_PLAINTEXT;
	struct listener *l;
	if (o->requests)
		TRY(add(b, o->requests, protocol, &l, &b->native_requests));
	if (!o->feeds)
		return ERR_OK;
	/* a subscriber cannot say who it is: the rights of the socket's file have to do */
	if (o->sasl && strncmp(o->feeds, "ipc:", 4) != 0)
		return err_note(ERR_REFUSED,
		    "%s: where clients have to say who they are, feeds are for ipc only", o->feeds);
	TRY(add(b, o->feeds, BROKER_PLAINTEXT, &l, &b->native_feeds));
	l->feed = true;
	return ERR_OK;
}

const char *broker_native_requests(const struct broker *b)
{
	return b->native_requests;
}

const char *broker_native_feeds(const struct broker *b)
{
	return b->native_feeds;
}
