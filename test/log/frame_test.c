/* SPDX-License-Identifier: Apache-2.0 */
#include "log/batch.h"
#include "log/checksum.h"
#include "log/frame.h"
#include "test/lib/vector.h"
#include <stdlib.h>

static struct segment_header example_header(void)
{
	return (struct segment_header){
	    .format_version = SEGMENT_VERSION,
	    .topic_id = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
	    .topic_name = STR("orders"),
	    .partition = 7,
	    .seed = {9, 9, 9, 9, 8, 8, 8, 8, 7, 7, 7, 7, 6, 6, 6, 6},
	    .base_offset = 123456789012,
	    .first_sequence = 42,
	    .epoch = 3,
	    .generation = 2,
	    .previous_link = 0xfeedfacecafebeef,
	};
}

static const uint8_t BODY[100] = {1, 2, 3, 4, 5};

static struct frame example_frame(void)
{
	return (struct frame){
	    .version = FRAME_VERSION,
	    .length = sizeof(BODY),
	    .principal = 5,
	    .sequence = 42,
	    .base_offset = 1000,
	    .last_offset_delta = 9,
	    .server_epoch = 3,
	    .append_time_ns = 1700000000000000000,
	    .durable_when_written = 41,
	};
}

static void a_segment_header_comes_back_as_it_was_written(void **state)
{
	(void)state;
	uint8_t out[SEGMENT_HEADER_BYTES], again[SEGMENT_HEADER_BYTES];
	struct segment_header h = example_header(), back;
	segment_header_encode(&h, out);
	assert_int_equal(segment_header_decode(out, &back), ERR_OK);
	assert_true(str_equal(back.topic_name, h.topic_name));
	assert_true(log_uuid_equal(back.topic_id, h.topic_id));
	assert_int_equal(back.base_offset, h.base_offset);
	assert_int_equal(back.partition, 7);
	assert_int_equal(back.first_sequence, 42);
	assert_int_equal(back.epoch, 3);
	assert_int_equal(back.generation, 2);
	assert_true(back.previous_link == h.previous_link);
	segment_header_encode(&back, again);
	assert_memory_equal(out, again, sizeof(out));
}

static void every_flipped_bit_of_a_segment_header_is_noticed(void **state)
{
	(void)state;
	uint8_t out[SEGMENT_HEADER_BYTES];
	struct segment_header h = example_header(), back;
	segment_header_encode(&h, out);
	for (size_t bit = 0; bit < sizeof(out) * 8; bit++) {
		out[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(segment_header_decode(out, &back), ERR_CORRUPT);
		err_clear();
		out[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

static void a_newer_segment_is_told_from_a_corrupt_one(void **state)
{
	(void)state;
	uint8_t out[SEGMENT_HEADER_BYTES];
	struct segment_header h = example_header(), back;
	h.format_version = SEGMENT_VERSION_REWRITTEN + 1;
	segment_header_encode(&h, out);
	assert_int_equal(segment_header_decode(out, &back), ERR_NEWER_FORMAT);
	h.format_version = 0;
	segment_header_encode(&h, out);
	assert_int_equal(segment_header_decode(out, &back), ERR_CORRUPT);
	err_clear();
}

static void a_frame_comes_back_as_it_was_written(void **state)
{
	(void)state;
	uint8_t out[FRAME_HEADER_BYTES], again[FRAME_HEADER_BYTES];
	struct segment_header h = example_header();
	struct frame_seed seed = frame_seed_of(h.seed);
	struct frame f = example_frame(), back;
	frame_encode(&f, seed, 77, bytes_of(BODY, sizeof(BODY)), out);
	assert_int_equal(frame_decode(out, seed, &back), ERR_OK);
	assert_int_equal(back.length, sizeof(BODY));
	assert_int_equal(back.sequence, 42);
	assert_int_equal(back.base_offset, 1000);
	assert_int_equal(back.last_offset_delta, 9);
	assert_int_equal(back.append_time_ns, f.append_time_ns);
	assert_int_equal(back.durable_when_written, 41);
	assert_true(back.link == f.link);
	assert_int_equal(frame_check_body(&back, seed, bytes_of(BODY, sizeof(BODY))), ERR_OK);
	assert_int_equal(frame_check_link(&back, seed, 77), ERR_OK);
	assert_int_equal(frame_check_link(&back, seed, 78), ERR_CORRUPT);
	frame_encode(&back, seed, 77, bytes_of(BODY, sizeof(BODY)), again);
	assert_memory_equal(out, again, sizeof(out));
	err_clear();
}

static void every_flipped_bit_of_a_frame_is_noticed(void **state)
{
	(void)state;
	uint8_t out[FRAME_HEADER_BYTES], body[sizeof(BODY)];
	struct segment_header h = example_header();
	struct frame_seed seed = frame_seed_of(h.seed);
	struct frame f = example_frame(), back;
	frame_encode(&f, seed, 77, bytes_of(BODY, sizeof(BODY)), out);
	for (size_t bit = 0; bit < sizeof(out) * 8; bit++) {
		out[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(frame_decode(out, seed, &back), ERR_CORRUPT);
		err_clear();
		out[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_int_equal(frame_decode(out, seed, &back), ERR_OK);
	memcpy(body, BODY, sizeof(body));
	for (size_t bit = 0; bit < sizeof(body) * 8; bit++) {
		body[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(
		    frame_check_body(&back, seed, bytes_of(body, sizeof(body))), ERR_CORRUPT);
		err_clear();
		body[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

static void a_frame_of_another_segment_does_not_verify(void **state)
{
	(void)state;
	uint8_t out[FRAME_HEADER_BYTES], other[16] = {1};
	struct segment_header h = example_header();
	struct frame f = example_frame(), back;
	frame_encode(&f, frame_seed_of(h.seed), 0, bytes_of(BODY, sizeof(BODY)), out);
	assert_int_equal(frame_decode(out, frame_seed_of(other), &back), ERR_CORRUPT);
	err_clear();
}

static void two_frames_that_changed_places_do_not_link(void **state)
{
	(void)state;
	uint8_t out[FRAME_HEADER_BYTES];
	struct segment_header h = example_header();
	struct frame_seed seed = frame_seed_of(h.seed);
	struct frame a = example_frame(), b = example_frame();
	b.sequence++;
	b.base_offset += 10;
	frame_encode(&a, seed, 5, bytes_of(BODY, sizeof(BODY)), out);
	frame_encode(&b, seed, a.link, bytes_of(BODY, sizeof(BODY)), out);
	assert_int_equal(frame_check_link(&b, seed, a.link), ERR_OK);
	assert_int_equal(frame_check_link(&b, seed, 5), ERR_CORRUPT);
	assert_int_equal(frame_check_link(&a, seed, b.link), ERR_CORRUPT);
	err_clear();
}

static void padding_is_zeros_under_a_checksummed_header(void **state)
{
	(void)state;
	uint8_t out[FRAME_HEADER_BYTES], zeros[64] = {0};
	struct segment_header h = example_header();
	struct frame_seed seed = frame_seed_of(h.seed);
	struct frame f = example_frame(), back;
	f.flags = FRAME_PAD;
	f.length = sizeof(zeros);
	frame_encode(&f, seed, 0, (struct bytes){NULL, 0}, out);
	assert_int_equal(frame_decode(out, seed, &back), ERR_OK);
	assert_int_equal(frame_check_body(&back, seed, bytes_of(zeros, sizeof(zeros))), ERR_OK);
	zeros[63] = 1;
	assert_int_equal(
	    frame_check_body(&back, seed, bytes_of(zeros, sizeof(zeros))), ERR_CORRUPT);
	err_clear();
}

static struct segment_header rewritten_header(void)
{
	struct segment_header h = example_header();
	h.format_version = SEGMENT_VERSION_REWRITTEN;
	h.rewrite = (struct segment_rewrite){
	    .end_offset = h.base_offset + 500,
	    .last_sequence = 99,
	    .end_link = 0x1234,
	    .clean_end = h.base_offset + 500,
	    .original_bytes = 1 << 20,
	    .written_ns = 1700000000000000000,
	    .codec = SEGMENT_AS_SENT,
	};
	return h;
}

static void a_later_generation_says_what_it_stands_for(void **state)
{
	(void)state;
	uint8_t out[SEGMENT_HEADER_BYTES], again[SEGMENT_HEADER_BYTES];
	struct segment_header h = rewritten_header(), back;
	segment_header_encode(&h, out);
	assert_int_equal(segment_header_decode(out, &back), ERR_OK);
	segment_header_encode(&back, again); /* not memcmp of structs: they have holes */
	assert_memory_equal(again, out, sizeof(out));
	for (size_t bit = 0; bit < sizeof(out) * 8; bit++) {
		out[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(segment_header_decode(out, &back), ERR_CORRUPT);
		err_clear();
		out[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	h.rewrite.end_offset = h.base_offset - 1;
	segment_header_encode(&h, out);
	assert_int_equal(segment_header_decode(out, &back), ERR_CORRUPT);
	h = rewritten_header();
	h.rewrite.clean_end = h.rewrite.end_offset + 1;
	segment_header_encode(&h, out);
	assert_int_equal(segment_header_decode(out, &back), ERR_CORRUPT);
	h = rewritten_header();
	h.generation = 0;
	segment_header_encode(&h, out);
	assert_int_equal(segment_header_decode(out, &back), ERR_CORRUPT);
	err_clear();
}

static void a_hole_names_the_batches_that_are_gone(void **state)
{
	(void)state;
	uint8_t out[FRAME_HEADER_BYTES], body[FRAME_HOLE_BYTES];
	struct segment_header h = rewritten_header();
	struct frame_seed seed = frame_seed_of(h.seed);
	struct frame f = example_frame(), back;
	struct frame_hole hole = {.first_sequence = 30, .batches = 4}, read;
	f.version = FRAME_VERSION_HOLE;
	f.flags = FRAME_HOLE;
	f.length = FRAME_HOLE_BYTES;
	frame_hole_encode(&hole, body);
	frame_encode(&f, seed, 7, bytes_of(body, sizeof(body)), out);
	assert_int_equal(frame_decode(out, seed, &back), ERR_OK);
	assert_int_equal(frame_check_body(&back, seed, bytes_of(body, sizeof(body))), ERR_OK);
	assert_int_equal(frame_check_link(&back, seed, 7), ERR_OK);
	assert_int_equal(frame_hole_decode(&back, bytes_of(body, sizeof(body)), &read), ERR_OK);
	assert_int_equal(read.first_sequence, 30);
	assert_int_equal(read.batches, 4);
	/* what it says must be possible: 42 is the last */
	static const struct frame_hole bad[] = {{43, 1}, {30, 0}, {30, 14}, {0, 1}};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		frame_hole_encode(&bad[i], body);
		assert_int_equal(
		    frame_hole_decode(&back, bytes_of(body, sizeof(body)), &read), ERR_CORRUPT);
	}
	err_clear();
}

static void assert_checksums(const uint8_t *b, size_t len, uint64_t seed)
{
	uint64_t want = checksum64_plain(b, len, seed);
	assert_true(checksum64(b, len, seed) == want);
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx2"))
		assert_true(checksum64_avx2(b, len, seed) == want);
	if (__builtin_cpu_supports("avx512f"))
		assert_true(checksum64_avx512(b, len, seed) == want);
#endif
}

static void checksums_are_the_same_however_wide(void **state)
{
	(void)state;
	enum { BYTES = 20000 };
	uint8_t *b = malloc(BYTES);
	for (size_t i = 0; i < BYTES; i++)
		b[i] = (uint8_t)(i * 131 + (i >> 7));
	for (size_t len = 0; len < BYTES; len += 1 + len / 9)
		for (size_t from = 0; from < 3 && from + len <= BYTES; from++)
			assert_checksums(b + from, len, len * 77);
	free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(checksums_are_the_same_however_wide),
	    cmocka_unit_test(a_segment_header_comes_back_as_it_was_written),
	    cmocka_unit_test(every_flipped_bit_of_a_segment_header_is_noticed),
	    cmocka_unit_test(a_newer_segment_is_told_from_a_corrupt_one),
	    cmocka_unit_test(a_frame_comes_back_as_it_was_written),
	    cmocka_unit_test(every_flipped_bit_of_a_frame_is_noticed),
	    cmocka_unit_test(a_frame_of_another_segment_does_not_verify),
	    cmocka_unit_test(two_frames_that_changed_places_do_not_link),
	    cmocka_unit_test(padding_is_zeros_under_a_checksummed_header),
	    cmocka_unit_test(a_later_generation_says_what_it_stands_for),
	    cmocka_unit_test(a_hole_names_the_batches_that_are_gone),
	};
	return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
