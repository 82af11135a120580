/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The framing of the scalability protocols, as nng and nanomsg speak them: pure functions of bytes.
 *
 *   greeting    00 'S' 'P' 00 | protocol u16 | 00 00         each side, first
 *   message     over tcp: length u64; over ipc: 01, length u64. Then `length` bytes
 *   REQ, REP    a message begins with the trace: words of 4 bytes, of which the last has its high
 *               bit set (the request's id; words before it come from devices in between). The reply
 *               begins with the same words.
 *   PUB         a message begins with its topic; SUB chooses by prefix, on its own side
 *
 * All integers are big-endian. From the specifications sp-tcp-mapping-01 and
 * sp-request-reply-01, and Debian's nng 1.5.2 as the peer of the tests.
 */
#include "log/base/base.h"

enum sp_framing { SP_NONE, SP_TCP, SP_IPC };
enum sp_protocol { SP_PUB = 0x20, SP_SUB = 0x21, SP_REQ = 0x30, SP_REP = 0x31 };
enum {
	SP_GREETING_BYTES = 8,
	SP_HOPS_MAX = 8, /* words of a trace: nng's default limit */
	SP_LENGTH_BYTES_MAX = 9,
	SP_HEAD_BYTES_MAX = SP_LENGTH_BYTES_MAX + 4 * SP_HOPS_MAX,
};

struct sp_trace {
	uint8_t count; /* words */
	uint8_t words[4 * SP_HOPS_MAX];
};

/* What this side says first; static memory that nobody writes to, for an iovec. */
void *sp_greeting(enum sp_protocol protocol);
/* `in` has at least SP_GREETING_BYTES. */
bool sp_greeting_is(struct bytes in, enum sp_protocol protocol);

/*
 * Reads what stands before a request: length and trace. *ret_head: their bytes; *ret_len: those of
 * the request. AGAIN: more bytes are needed; INVALID_REQUEST: this is no message of REQ.
 */
MUST_USE enum err sp_head_read(enum sp_framing framing, struct bytes in, size_t *ret_head,
    uint64_t *ret_len, struct sp_trace *ret_trace);
/* The same for a reply, with a length of 0 until sp_head_patch knows all bytes, head included. */
void sp_head_write(struct writer *w, enum sp_framing framing, const struct sp_trace *trace);
void sp_head_patch(struct writer *w, enum sp_framing framing, size_t total);
/* The length before a message of `len` bytes; returns how many of SP_LENGTH_BYTES_MAX it took. */
size_t sp_length_put(uint8_t *at, enum sp_framing framing, uint64_t len);
