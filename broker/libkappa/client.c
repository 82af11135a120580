/* SPDX-License-Identifier: Apache-2.0 */
/* A handle: requests and their replies, by id. */
#include "broker/libkappa/client.h"
#include <stdarg.h>
#include <stdio.h>

enum { TRACE_BYTES = 4 };
static const uint32_t LAST_WORD = (uint32_t)1 << 31;

int kappa_fail(struct kappa *k, int code, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(k->message, sizeof(k->message), fmt, ap);
	va_end(ap);
	return code;
}

int kappa_fail_err(struct kappa *k, enum err err, const char *what)
{
	int code = err == ERR_NOMEM ? KAPPA_NOMEM : KAPPA_PROTOCOL;
	kappa_fail(k, code, "%s: %s", what, *err_chain() ? err_chain() : err_text(err));
	err_clear();
	return code;
}

static const char *text_of(int code)
{
	static const char *const texts[] = {"", "bad argument", "out of memory",
	    "no connection, or it was closed by the server", "no answer in time",
	    "not an answer of this protocol", "records do not verify"};
	size_t i = (size_t)-code;
	return code < 0 && i < sizeof(texts) / sizeof(texts[0]) ? texts[i] : "error";
}

int kappa_open(const char *url, int timeout_ms, struct kappa **ret_kappa)
{
	if (!url || timeout_ms <= 0)
		return KAPPA_INVALID;
	struct kappa *k = mem_calloc(1, sizeof(*k));
	if (!k)
		return KAPPA_NOMEM;
	k->timeout_ms = timeout_ms;
	writer_init(&k->reply, WIRE_MESSAGE_MAX);
	arena_init(&k->arena, WIRE_MESSAGE_MAX);
	int rc = wire_open(&k->wire, url, SP_REQ, SP_REP, wire_now_ms() + timeout_ms);
	if (rc != 0) {
		kappa_close(k);
		return rc;
	}
	*ret_kappa = k;
	return 0;
}

void kappa_close(struct kappa *k)
{
	if (!k)
		return;
	wire_close(&k->wire);
	writer_release(&k->reply);
	arena_release(&k->arena);
	mem_free(k);
}

const char *kappa_message(const struct kappa *k)
{
	return k->message;
}

/* Replies to requests that were given up are passed over. */
static int exchange(struct kappa *k, struct bytes request, int wait_ms, struct bytes *ret_reply)
{
	int64_t deadline = wire_now_ms() + k->timeout_ms + wait_ms;
	uint8_t id[TRACE_BYTES];
	if (k->wire.fd < 0)
		return KAPPA_CONNECT;
	put_u32_be(id, ++k->request_id | LAST_WORD);
	const struct bytes pieces[] = {bytes_of(id, sizeof(id)), request};
	int rc = wire_send(&k->wire, pieces, 2, deadline);
	if (rc != 0) /* part of a message may be out */
		wire_close(&k->wire);
	while (rc == 0) {
		rc = wire_receive(&k->wire, &k->reply, deadline);
		if (rc == KAPPA_TIMEOUT && k->reply.len == 0)
			return rc;
		if (rc == 0 && k->reply.len < TRACE_BYTES)
			rc = KAPPA_PROTOCOL;
		if (rc != 0)
			wire_close(&k->wire);
		else if (memcmp(k->reply.ptr, id, sizeof(id)) == 0)
			break;
	}
	if (rc == 0)
		*ret_reply = bytes_of(k->reply.ptr + TRACE_BYTES, k->reply.len - TRACE_BYTES);
	return rc;
}

int kappa_call(
    struct kappa *k, const void *request, size_t len, const void **ret_reply, size_t *ret_reply_len)
{
	struct bytes reply;
	if (!request || len < 8)
		return kappa_fail(k, KAPPA_INVALID, "a request has at least 8 bytes");
	int rc = exchange(k, bytes_of(request, len), 0, &reply);
	if (rc != 0)
		return kappa_fail(k, rc, "%s", text_of(rc));
	*ret_reply = reply.ptr;
	*ret_reply_len = reply.len;
	return 0;
}

/* ---- by the message table -------------------------------------------------------------------- */

static enum err write_request(
    const struct msg_api *api, int16_t version, const void *body, struct msg_out *out)
{
	struct msg_form form = msg_request_form(api, version);
	write_u16_be(&out->w, (uint16_t)api->key);
	write_u16_be(&out->w, (uint16_t)version);
	write_u32_be(&out->w, 0);
	write_u16_be(&out->w, 8);
	write_cstr(&out->w, "libkappa");
	if (form.flexible)
		write_u8(&out->w, 0);
	return msg_encode(form, body, out);
}

static int read_response(struct kappa *k, const struct msg_api *api, int16_t version,
    struct bytes reply, void **ret_body)
{
	struct msg_form form = msg_response_form(api, version);
	struct reader r = reader_of(reply);
	void *body = arena_calloc(&k->arena, 1, api->response->size);
	if (!body)
		return kappa_fail(k, KAPPA_NOMEM, "%s", text_of(KAPPA_NOMEM));
	(void)read_i32_be(&r);
	if (form.flexible && read_u8(&r) != 0)
		return kappa_fail(k, KAPPA_PROTOCOL, "%s: unexpected tags", api->name);
	enum err err = msg_decode(form, &r, &k->arena, body);
	if (err != ERR_OK)
		return kappa_fail_err(k, err, api->name);
	*ret_body = body;
	return 0;
}

int kappa_ask(
    struct kappa *k, int16_t key, int16_t version, const void *body, int wait_ms, void **ret_body)
{
	const struct msg_api *api = msg_api_find(key);
	struct msg_out out;
	struct bytes reply;
	arena_clear(&k->arena);
	msg_out_init(&out, WIRE_MESSAGE_MAX);
	out.copy = true;
	enum err err = write_request(api, version, body, &out);
	if (err != ERR_OK) {
		msg_out_release(&out);
		return kappa_fail_err(k, err, api->name);
	}
	int rc = exchange(k, writer_bytes(&out.w), wait_ms, &reply);
	msg_out_release(&out);
	if (rc != 0)
		return kappa_fail(k, rc, "%s: %s", api->name, text_of(rc));
	return read_response(k, api, version, reply, ret_body);
}
