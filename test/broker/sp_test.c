/* SPDX-License-Identifier: Apache-2.0 */
/* The native door's framing, byte by byte. */
#include "test/lib/test.h"
#include "broker/native/sp.h"

static const uint8_t ipc[] = {
    1, 0, 0, 0, 0, 0, 0, 0, 14, 0, 0, 0, 7, 0x80, 0, 0, 9, 'r', 'e', 'q', 'u', 'e', 's'};

static void a_head_is_read_over_ipc_and_tcp(void **state)
{
	(void)state;
	for (int tcp = 0; tcp < 2; tcp++) {
		struct sp_trace t;
		size_t head;
		uint64_t len;
		struct bytes in = bytes_of(ipc + tcp, sizeof(ipc) - (size_t)tcp);
		assert_int_equal(sp_head_read(tcp ? SP_TCP : SP_IPC, in, &head, &len, &t), ERR_OK);
		assert_int_equal(head, 17 - tcp);
		assert_int_equal(len, 6);
		assert_int_equal(t.count, 2);
		assert_memory_equal(t.words, ipc + 9, 8);
	}
}

static void a_head_that_is_cut_waits_for_more(void **state)
{
	(void)state;
	for (size_t n = 0; n < 17; n++) {
		struct sp_trace t;
		size_t head;
		uint64_t len;
		assert_int_equal(
		    sp_head_read(SP_IPC, bytes_of(ipc, n), &head, &len, &t), ERR_AGAIN);
	}
}

static void what_is_no_message_of_req_is_refused(void **state)
{
	(void)state;
	uint8_t in[SP_HEAD_BYTES_MAX + 8] = {1, 0, 0, 0, 0, 0, 0, 0, 100};
	struct sp_trace t;
	size_t head;
	uint64_t len;
	/* no last word among the first eight */
	assert_int_equal(
	    sp_head_read(SP_IPC, bytes_of(in, sizeof(in)), &head, &len, &t), ERR_INVALID_REQUEST);
	in[9 + 4 * 7] = 0x80;
	assert_int_equal(sp_head_read(SP_IPC, bytes_of(in, sizeof(in)), &head, &len, &t), ERR_OK);
	assert_int_equal(t.count, 8);
	/* a message shorter than its trace */
	in[8] = 31;
	assert_int_equal(
	    sp_head_read(SP_IPC, bytes_of(in, sizeof(in)), &head, &len, &t), ERR_INVALID_REQUEST);
	in[8] = 0;
	assert_int_equal(
	    sp_head_read(SP_IPC, bytes_of(in, sizeof(in)), &head, &len, &t), ERR_INVALID_REQUEST);
	/* another kind of message */
	in[0] = 2;
	assert_int_equal(
	    sp_head_read(SP_IPC, bytes_of(in, sizeof(in)), &head, &len, &t), ERR_INVALID_REQUEST);
}

static void a_reply_carries_its_request_s_trace(void **state)
{
	(void)state;
	for (int tcp = 0; tcp < 2; tcp++) {
		enum sp_framing framing = tcp ? SP_TCP : SP_IPC;
		struct sp_trace t;
		size_t head;
		uint64_t len;
		struct writer w;
		struct bytes in = bytes_of(ipc + tcp, sizeof(ipc) - (size_t)tcp);
		writer_init(&w, 100);
		assert_int_equal(sp_head_read(framing, in, &head, &len, &t), ERR_OK);
		sp_head_write(&w, framing, &t);
		write_cstr(&w, "reques");
		sp_head_patch(&w, framing, w.len);
		assert_int_equal(w.len, in.len);
		assert_memory_equal(w.ptr, in.ptr, in.len);
		writer_release(&w);
	}
}

static void greetings_name_both_protocols(void **state)
{
	(void)state;
	static const uint8_t rep[] = {0, 'S', 'P', 0, 0, 0x31, 0, 0};
	assert_memory_equal(sp_greeting(SP_REP), rep, sizeof(rep));
	assert_true(sp_greeting_is(bytes_of(rep, sizeof(rep)), SP_REP));
	assert_false(sp_greeting_is(bytes_of(rep, sizeof(rep)), SP_REQ));
	for (size_t i = 0; i < sizeof(rep); i++) {
		uint8_t bent[sizeof(rep)];
		memcpy(bent, rep, sizeof(rep));
		bent[i] ^= 4;
		assert_false(sp_greeting_is(bytes_of(bent, sizeof(bent)), SP_REP));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_head_is_read_over_ipc_and_tcp),
	    cmocka_unit_test(a_head_that_is_cut_waits_for_more),
	    cmocka_unit_test(what_is_no_message_of_req_is_refused),
	    cmocka_unit_test(a_reply_carries_its_request_s_trace),
	    cmocka_unit_test(greetings_name_both_protocols),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
