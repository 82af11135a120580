/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes that Kafka's own classes (kafka-clients 4.3.1) have written, two of each message and
 * version: made by test/conform/codec_test.sh. The file is data.
 */
#include "test/lib/codec_lines.h"
#include "test/lib/test.h"

static void the_bytes_of_kafka_s_own_classes_are_read_and_written_again(void **state)
{
	(void)state;
	struct codec_lines l = {0};
	struct io *io;
	struct bytes text;
	assert_int_equal(io_new("threads", &io), ERR_OK);
	assert_int_equal(io_read_file(io, "test/golden/kafka/codec.txt", 8 * MIB, &text), ERR_OK);
	codec_lines_verify(&l, bytes_str(text));
	assert_int_equal(l.different, 0);
	assert_true(l.same > 900);
	mem_free((void *)(uintptr_t)text.ptr);
	io_free(io);
}

/* A file that is made differently would be noticed. */
static void a_changed_byte_is_noticed(void **state)
{
	(void)state;
	struct codec_lines l = {0};
	codec_lines_verify(&l, STR("Heartbeat response 0 0000\n"));
	assert_int_equal(l.same, 1);
	codec_lines_verify(&l, STR("Heartbeat response 0 000000\n"));
	codec_lines_verify(&l, STR("Heartbeat response 0 00\n"));
	codec_lines_verify(&l, STR("Heartbeat response 4 000000000000\n"));
	codec_lines_verify(&l, STR("Heartbeat response x 0000\n"));
	codec_lines_verify(&l, STR("Nothing response 0 0000\n"));
	assert_int_equal(l.same, 1);
	assert_int_equal(l.different, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_bytes_of_kafka_s_own_classes_are_read_and_written_again),
	    cmocka_unit_test(a_changed_byte_is_noticed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
