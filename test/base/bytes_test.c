/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/test.h"

#include "log/base/base.h"

static void a_slice_is_clipped_to_its_source(void **state)
{
	(void)state;
	struct bytes b = bytes_of("abcdef", 6);
	assert_true(bytes_equal(bytes_slice(b, 2, 3), bytes_of("cde", 3)));
	assert_int_equal(bytes_slice(b, 4, 100).len, 2);
	assert_int_equal(bytes_slice(b, 7, 1).len, 0);
	assert_int_equal(bytes_slice(b, SIZE_MAX, SIZE_MAX).len, 0);
	assert_null(bytes_slice(bytes_of(NULL, 0), 0, 9).ptr);
}

static void bytes_order_is_memcmp_and_shorter_first(void **state)
{
	(void)state;
	struct bytes a = bytes_of("ab", 2), b = bytes_of("abc", 3), c = bytes_of("\xff", 1);
	assert_true(bytes_compare(a, b) < 0);
	assert_true(bytes_compare(b, a) > 0);
	assert_true(bytes_compare(b, c) < 0);
	assert_int_equal(bytes_compare(a, a), 0);
	assert_true(bytes_compare(bytes_of(NULL, 0), a) < 0);
	assert_true(bytes_equal(bytes_of(NULL, 0), bytes_of("", 0)));
}

static void utf8_accepts_what_rfc_3629_lists_and_nothing_else(void **state)
{
	(void)state;
	static const char *const good[] = {"", "plain ascii of some length", "\xC2\x80", "\xDF\xBF",
	    "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80", "\xEF\xBF\xBF", "\xF0\x90\x80\x80",
	    "\xF4\x8F\xBF\xBF", "abcdefgh\xE2\x82\xAC", "\xE2\x82\xAC""abcdefghijkl"};
	static const char *const bad[] = {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC2",
	    "\xC2" "A",
	    "\xE0\x9F\xBF", "\xED\xA0\x80", "\xED\xBF\xBF", "\xE2\x82", "\xE2\x82" "A",
	    "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xF0\x90\x80", "\xFF",
	    "abcdefgh\xFE", "abcdefg\x80"};
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_true(str_is_utf8(str_of(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(str_is_utf8(str_of(bad[i])));
	assert_true(str_is_utf8(str_from("a\0b", 3)));
}

/* An encoder that knows nothing of the decoder's table. */
static size_t encode(uint32_t c, uint8_t *out)
{
	if (c < 0x80) {
		out[0] = (uint8_t)c;
		return 1;
	}
	size_t len = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	for (size_t i = len - 1; i > 0; i--, c >>= 6)
		out[i] = (uint8_t)(0x80 | (c & 0x3F));
	out[0] = (uint8_t)((0xF00 >> len) | c);
	return len;
}

static void utf8_verdict_is_right_for_each_code_point(void **state)
{
	(void)state;
	for (uint32_t c = 0; c < 0x120000; c++) {
		uint8_t buf[4];
		size_t len = encode(c, buf);
		bool expected = c < 0xD800 || (c > 0xDFFF && c <= 0x10FFFF);
		assert_int_equal(str_is_utf8(str_from(buf, len)), expected);
		if (len > 1)
			assert_false(str_is_utf8(str_from(buf, len - 1)));
	}
}

static void integers_parse_whole_or_not_at_all(void **state)
{
	(void)state;
	int64_t i = 7;
	uint64_t u = 7;
	assert_true(str_to_i64(STR("-9223372036854775808"), &i));
	assert_true(i == INT64_MIN);
	assert_true(str_to_i64(STR("9223372036854775807"), &i));
	assert_true(i == INT64_MAX);
	assert_true(str_to_u64(STR("18446744073709551615"), &u));
	assert_true(u == UINT64_MAX);
	i = 7;
	u = 7;
	static const char *const bad[] = {"", "-", "+1", " 1", "1 ", "1x", "0x1", "--1",
	    "9223372036854775808", "-9223372036854775809", "99999999999999999999", "1.0"};
	for (size_t n = 0; n < sizeof(bad) / sizeof(*bad); n++)
		assert_false(str_to_i64(str_of(bad[n]), &i));
	assert_false(str_to_u64(STR("18446744073709551616"), &u));
	assert_false(str_to_u64(STR("-1"), &u));
	assert_true(i == 7 && u == 7);
}

static void what_is_written_reads_back(void **state)
{
	(void)state;
	struct writer w;
	writer_init(&w, 1000);
	write_u8(&w, 0xAB);
	write_u16_be(&w, 0x0102);
	write_u32_be(&w, 0x01020304);
	write_u64_be(&w, 0x0102030405060708);
	write_u16_le(&w, 0x0102);
	write_u32_le(&w, 0x01020304);
	write_u64_le(&w, 0x0102030405060708);
	write_varint64(&w, -1);
	write_uvarint64(&w, 300);
	write_str(&w, STR("text"));
	write_cstr(&w, "!");
	write_printf(&w, "%d-%s", 42, "x");
	assert_int_equal(w.err, ERR_OK);
	static const uint8_t start[] = {0xAB, 1, 2, 1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8, 2, 1, 4, 3,
	    2, 1};
	assert_memory_equal(w.ptr, start, sizeof(start));
	struct reader r = reader_of(writer_bytes(&w));
	assert_int_equal(read_u8(&r), 0xAB);
	assert_int_equal(read_u16_be(&r), 0x0102);
	assert_int_equal(read_u32_be(&r), 0x01020304);
	assert_true(read_u64_be(&r) == 0x0102030405060708);
	assert_int_equal(read_u16_le(&r), 0x0102);
	assert_int_equal(read_u32_le(&r), 0x01020304);
	assert_true(read_u64_le(&r) == 0x0102030405060708);
	assert_int_equal(read_varint64(&r), -1);
	assert_int_equal(read_uvarint64(&r), 300);
	assert_true(bytes_equal(read_bytes(&r, 9), bytes_of("text!42-x", 9)));
	assert_int_equal(reader_left(&r), 0);
	assert_false(r.bad);
	writer_release(&w);
}

static void a_reader_past_its_end_stays_bad(void **state)
{
	(void)state;
	struct reader r = reader_of(bytes_of("abc", 3));
	assert_int_equal(read_u32_be(&r), 0);
	assert_true(r.bad);
	assert_int_equal(read_u8(&r), 0);
	assert_int_equal(read_bytes(&r, 0).len, 0);
	assert_int_equal(reader_left(&r), 0);
	r = reader_of(bytes_of("abc", 3));
	read_skip(&r, SIZE_MAX);
	assert_true(r.bad);
	r = reader_of(bytes_of(NULL, 0));
	assert_int_equal(read_bytes(&r, 0).len, 0);
	assert_false(r.bad);
	assert_int_equal(read_uvarint32(&r), 0);
	assert_true(r.bad);
}

static bool uvarint_ok(const char *bytes, size_t len, unsigned bits, uint64_t *ret_value)
{
	struct reader r = reader_of(bytes_of(bytes, len));
	*ret_value = bits == 32 ? read_uvarint32(&r) : read_uvarint64(&r);
	/* by value it is the same, in a heap copy that has nothing behind it */
	uint8_t *copy = mem_alloc(len + 1);
	assert_non_null(copy);
	memcpy(copy + 1, bytes, len);
	struct uvarint same = uvarint_at(copy + 1, len);
	mem_free(copy);
	if (bits == 64) {
		assert_int_equal(same.len, r.bad ? 0 : r.pos);
		assert_int_equal(same.value, *ret_value);
	}
	return !r.bad && r.pos == len;
}

static void varints_hold_their_widest_value_and_refuse_more(void **state)
{
	(void)state;
	uint64_t v;
	assert_true(uvarint_ok("\xFF\xFF\xFF\xFF\x0F", 5, 32, &v));
	assert_true(v == UINT32_MAX);
	assert_false(uvarint_ok("\xFF\xFF\xFF\xFF\x1F", 5, 32, &v));
	assert_false(uvarint_ok("\x80\x80\x80\x80\x80\x00", 6, 32, &v));
	assert_true(uvarint_ok("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 10, 64, &v));
	assert_true(v == UINT64_MAX);
	assert_false(uvarint_ok("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x03", 10, 64, &v));
	assert_false(uvarint_ok("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 11, 64, &v));
	assert_false(uvarint_ok("\x80", 1, 64, &v));
	/* longer than needed: Kafka accepts it */
	assert_true(uvarint_ok("\x81\x00", 2, 32, &v));
	assert_int_equal(v, 1);
}

static void varints_round_trip_at_each_width(void **state)
{
	(void)state;
	for (int shift = 0; shift < 64; shift++) {
		for (int delta = -1; delta <= 1; delta++) {
			uint64_t u = ((uint64_t)1 << shift) + (uint64_t)delta;
			struct writer w;
			writer_init(&w, 64);
			write_uvarint64(&w, u);
			assert_int_equal(w.len, uvarint_len(u));
			write_varint64(&w, (int64_t)u);
			assert_int_equal(w.len, uvarint_len(u) + varint_len((int64_t)u));
			struct reader r = reader_of(writer_bytes(&w));
			assert_true(read_uvarint64(&r) == u);
			assert_true(read_varint64(&r) == (int64_t)u);
			assert_true(!r.bad && reader_left(&r) == 0);
			writer_release(&w);
		}
	}
	struct writer w;
	writer_init(&w, 64);
	write_varint64(&w, INT32_MIN);
	write_varint64(&w, INT32_MAX);
	struct reader r = reader_of(writer_bytes(&w));
	assert_int_equal(read_varint32(&r), INT32_MIN);
	assert_int_equal(read_varint32(&r), INT32_MAX);
	writer_release(&w);
}

static void a_writer_stops_at_its_limit_and_stays_stopped(void **state)
{
	(void)state;
	struct writer w;
	writer_init(&w, 10);
	write_cstr(&w, "12345678");
	write_u32_be(&w, 1);
	assert_int_equal(w.err, ERR_LIMIT);
	write_u8(&w, 1);
	write_printf(&w, "%d", 1);
	assert_int_equal(w.len, 8);
	size_t len = 99;
	assert_null(writer_take(&w, &len));
	assert_int_equal(len, 99);
	writer_clear(&w);
	write_cstr(&w, "1234567890");
	assert_int_equal(w.err, ERR_OK);
	assert_int_equal(w.len, 10);
	assert_null(writer_reserve(&w, SIZE_MAX));
	assert_int_equal(w.err, ERR_LIMIT);
	writer_release(&w);
	writer_release(&w);
}

static void a_writer_without_memory_says_so(void **state)
{
	(void)state;
	struct writer w;
	writer_init(&w, 1 << 20);
	write_cstr(&w, "kept");
	mem_fail_at(1);
	assert_null(writer_reserve(&w, 1000));
	mem_fail_at(0);
	assert_int_equal(w.err, ERR_NOMEM);
	write_cstr(&w, "lost");
	assert_true(bytes_equal(writer_bytes(&w), bytes_of("kept", 4)));
	writer_release(&w);
}

static void a_long_printf_is_whole(void **state)
{
	(void)state;
	struct writer w;
	writer_init(&w, 10000);
	write_printf(&w, "%0500d|", 7);
	write_cstr(&w, "end");
	assert_int_equal(w.len, 504);
	assert_memory_equal(w.ptr + 498, "07|end", 6);
	writer_release(&w);
}

static void a_patch_overwrites_in_place_and_take_hands_over(void **state)
{
	(void)state;
	struct writer w;
	writer_init(&w, 100);
	write_u32_be(&w, 0);
	write_cstr(&w, "body");
	writer_patch_u32_be(&w, 0, 4);
	size_t len = 0;
	uint8_t *taken = writer_take(&w, &len);
	assert_int_equal(len, 8);
	assert_memory_equal(taken, "\0\0\0\4body", 8);
	assert_null(w.ptr);
	mem_free(taken);
	assert_null(writer_take(&w, &len));
	assert_int_equal(len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_slice_is_clipped_to_its_source),
	    cmocka_unit_test(bytes_order_is_memcmp_and_shorter_first),
	    cmocka_unit_test(utf8_accepts_what_rfc_3629_lists_and_nothing_else),
	    cmocka_unit_test(utf8_verdict_is_right_for_each_code_point),
	    cmocka_unit_test(integers_parse_whole_or_not_at_all),
	    cmocka_unit_test(what_is_written_reads_back),
	    cmocka_unit_test(a_reader_past_its_end_stays_bad),
	    cmocka_unit_test(varints_hold_their_widest_value_and_refuse_more),
	    cmocka_unit_test(varints_round_trip_at_each_width),
	    cmocka_unit_test(a_writer_stops_at_its_limit_and_stays_stopped),
	    cmocka_unit_test(a_writer_without_memory_says_so),
	    cmocka_unit_test(a_long_printf_is_whole),
	    cmocka_unit_test(a_patch_overwrites_in_place_and_take_hands_over),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
