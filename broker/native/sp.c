/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/native/sp.h"

enum { IPC_MESSAGE = 1, LENGTH_BYTES = 8, WORD = 4, LAST_WORD = 0x80 };

void *sp_greeting(enum sp_protocol protocol)
{
	static uint8_t pub[SP_GREETING_BYTES] = {0, 'S', 'P', 0, 0, SP_PUB, 0, 0},
	               sub[SP_GREETING_BYTES] = {0, 'S', 'P', 0, 0, SP_SUB, 0, 0},
	               req[SP_GREETING_BYTES] = {0, 'S', 'P', 0, 0, SP_REQ, 0, 0},
	               rep[SP_GREETING_BYTES] = {0, 'S', 'P', 0, 0, SP_REP, 0, 0};
	switch (protocol) {
	case SP_PUB:
		return pub;
	case SP_SUB:
		return sub;
	case SP_REQ:
		return req;
	case SP_REP:
	default:
		return rep;
	}
}

bool sp_greeting_is(struct bytes in, enum sp_protocol protocol)
{
	const uint8_t want[SP_GREETING_BYTES] = {0, 'S', 'P', 0, 0, (uint8_t)protocol, 0, 0};
	ASSERT(in.len >= sizeof(want));
	return memcmp(in.ptr, want, sizeof(want)) == 0;
}

static size_t prefix_bytes(enum sp_framing framing)
{
	ASSERT(framing != SP_NONE);
	return framing == SP_IPC ? 1 + LENGTH_BYTES : LENGTH_BYTES;
}

size_t sp_length_put(uint8_t *at, enum sp_framing framing, uint64_t len)
{
	size_t prefix = prefix_bytes(framing);
	at[0] = IPC_MESSAGE;
	put_u64_be(at + prefix - LENGTH_BYTES, len);
	return prefix;
}

enum err sp_head_read(enum sp_framing framing, struct bytes in, size_t *ret_head, uint64_t *ret_len,
    struct sp_trace *ret_trace)
{
	size_t at = prefix_bytes(framing);
	struct sp_trace trace = {.count = 0};
	if (in.len < at)
		return ERR_AGAIN;
	if (framing == SP_IPC && in.ptr[0] != IPC_MESSAGE)
		return ERR_INVALID_REQUEST;
	uint64_t len = get_u64_be(in.ptr + at - LENGTH_BYTES);
	for (bool last = false; !last; at += WORD, len -= WORD) {
		if (len < WORD || trace.count == SP_HOPS_MAX)
			return ERR_INVALID_REQUEST;
		if (in.len - at < WORD)
			return ERR_AGAIN;
		memcpy(trace.words + trace.count * WORD, in.ptr + at, WORD);
		trace.count++;
		last = (in.ptr[at] & LAST_WORD) != 0;
	}
	*ret_head = at;
	*ret_len = len;
	*ret_trace = trace;
	return ERR_OK;
}

void sp_head_write(struct writer *w, enum sp_framing framing, const struct sp_trace *trace)
{
	uint8_t prefix[SP_LENGTH_BYTES_MAX];
	ASSERT(trace->count <= SP_HOPS_MAX);
	write_bytes(w, bytes_of(prefix, sp_length_put(prefix, framing, 0)));
	write_bytes(w, bytes_of(trace->words, (size_t)trace->count * WORD));
}

void sp_head_patch(struct writer *w, enum sp_framing framing, size_t total)
{
	size_t prefix = prefix_bytes(framing);
	ASSERT(total >= prefix && total - prefix <= UINT32_MAX);
	writer_patch_u32_be(w, prefix - 4, (uint32_t)(total - prefix));
}
