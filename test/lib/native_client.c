/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/native_client.h"
#include "test/lib/kafka_random.h"
#include "test/lib/test.h"
#include <nng/protocol/reqrep0/req.h>
#include <sys/socket.h>

void native_connect(struct native_client *n, const char *url)
{
	int rv = nng_req0_open(&n->socket);
	assert_int_equal(rv, 0);
	n->open = true;
	/* a request that was sent is never sent again by itself */
	assert_int_equal(
	    nng_socket_set_ms(n->socket, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE), 0);
	assert_int_equal(nng_socket_set_size(n->socket, NNG_OPT_RECVMAXSZ, 0), 0);
	rv = nng_dial(n->socket, url, NULL, 0);
	if (rv != 0)
		fail_msg("%s: %s", url, nng_strerror(rv));
}

void native_disconnect(struct native_client *n)
{
	if (n->open)
		nng_close(n->socket);
	n->open = false;
}

bool native_call(struct native_client *n, struct bytes frame, int timeout_ms, struct arena *arena,
    struct bytes *ret_reply)
{
	nng_msg *msg;
	assert_int_equal(nng_msg_alloc(&msg, 0), 0);
	assert_int_equal(nng_msg_append(msg, frame.ptr, frame.len), 0);
	assert_int_equal(nng_socket_set_ms(n->socket, NNG_OPT_RECVTIMEO, timeout_ms), 0);
	assert_int_equal(nng_socket_set_ms(n->socket, NNG_OPT_SENDTIMEO, timeout_ms), 0);
	if (nng_sendmsg(n->socket, msg, 0) != 0) {
		nng_msg_free(msg);
		return false;
	}
	if (nng_recvmsg(n->socket, &msg, 0) != 0)
		return false;
	*ret_reply = arena_copy(arena, bytes_of(nng_msg_body(msg), nng_msg_len(msg)));
	nng_msg_free(msg);
	return true;
}

static bool receive_raw(struct kafka_client *c, uint8_t *at, size_t len)
{
	while (len > 0) {
		ssize_t n = recv(c->fd, at, len, 0);
		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

bool kafka_call_raw(
    struct kafka_client *c, struct bytes frame, int timeout_ms, struct bytes *ret_reply)
{
	uint8_t prefix[4];
	put_u32_be(prefix, (uint32_t)frame.len);
	kafka_send_raw(c, bytes_of(prefix, sizeof(prefix)));
	kafka_send_raw(c, frame);
	if (!kafka_readable(c, timeout_ms) || !receive_raw(c, prefix, sizeof(prefix)))
		return false;
	uint32_t len = get_u32_be(prefix);
	uint8_t *at = arena_alloc(&c->arena, len);
	assert_non_null(at);
	if (!receive_raw(c, at, len))
		return false;
	*ret_reply = bytes_of(at, len);
	return true;
}

struct bytes random_frame(const struct dispatch_row *row, int16_t version, struct prng *rng,
    struct arena *arena, struct bytes batch)
{
	static const struct str names[] = {{"t", 1}, {"u", 1}, {"__kappa_catalog", 15}, {"", 0},
	    {"1", 1}, {"retention.ms", 12}, {"cleanup.policy", 14}, {"compact", 7}, {"a b", 3}};
	const struct msg_api *api = msg_api_find(row->key);
	struct msg_form form = msg_request_form(api, version);
	struct kafka_random k = {.rng = rng,
	    .arena = arena,
	    .names = names,
	    .name_count = sizeof(names) / sizeof(names[0]),
	    .records = &batch,
	    .records_count = 1,
	    .tame = true};
	void *body = arena_calloc(arena, 1, api->request->size);
	struct msg_out out;
	kafka_random_fill(&k, form, body);
	if (row->key == API_FETCH)
		((struct fetch_request *)body)->max_wait_ms = 0;
	msg_out_init(&out, MIB);
	out.copy = true;
	write_u16_be(&out.w, (uint16_t)row->key);
	write_u16_be(&out.w, (uint16_t)version);
	write_u32_be(&out.w, 1);
	write_u16_be(&out.w, 0xffff);
	if (form.flexible)
		write_u8(&out.w, 0);
	assert_int_equal(msg_encode(form, body, &out), ERR_OK);
	struct bytes wire = arena_copy(arena, writer_bytes(&out.w));
	msg_out_release(&out);
	return wire;
}
