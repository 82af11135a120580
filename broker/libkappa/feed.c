/* SPDX-License-Identifier: Apache-2.0 */
/* A subscription: every message comes, those of other topics are passed over here. */
#include "broker/libkappa/client.h"

struct kappa_feed {
	struct wire wire;
	struct writer message;
	char *prefix;
};

int kappa_subscribe(
    const char *url, const char *prefix, int timeout_ms, struct kappa_feed **ret_feed)
{
	if (!url || !prefix || timeout_ms <= 0)
		return KAPPA_INVALID;
	struct kappa_feed *f = mem_calloc(1, sizeof(*f));
	if (!f)
		return KAPPA_NOMEM;
	f->wire.fd = -1;
	writer_init(&f->message, WIRE_MESSAGE_MAX);
	f->prefix = mem_strdup(str_of(prefix));
	int rc = f->prefix ? wire_open(&f->wire, url, SP_SUB, SP_PUB, wire_now_ms() + timeout_ms)
	                   : KAPPA_NOMEM;
	if (rc != 0) {
		kappa_feed_close(f);
		return rc;
	}
	*ret_feed = f;
	return 0;
}

void kappa_feed_close(struct kappa_feed *f)
{
	if (!f)
		return;
	wire_close(&f->wire);
	writer_release(&f->message);
	mem_free(f->prefix);
	mem_free(f);
}

int kappa_feed_next(struct kappa_feed *f, int timeout_ms, struct kappa_event *ret_event)
{
	int64_t deadline = timeout_ms < 0 ? -1 : wire_now_ms() + timeout_ms;
	size_t len = strlen(f->prefix);
	if (f->wire.fd < 0)
		return KAPPA_CONNECT;
	for (;;) {
		int rc = wire_receive(&f->wire, &f->message, deadline);
		if (rc == KAPPA_TIMEOUT && f->message.len == 0)
			return rc;
		const uint8_t *zero = rc == 0 ? memchr(f->message.ptr, 0, f->message.len) : NULL;
		if (rc == 0 && !zero)
			rc = KAPPA_PROTOCOL;
		if (rc != 0) { /* in the middle of a message there is no way on */
			wire_close(&f->wire);
			return rc;
		}
		if (strncmp((const char *)f->message.ptr, f->prefix, len) != 0)
			continue;
		size_t topic = (size_t)(zero - f->message.ptr);
		*ret_event = (struct kappa_event){
		    (const char *)f->message.ptr, zero + 1, f->message.len - topic - 1};
		return 0;
	}
}
