/* SPDX-License-Identifier: Apache-2.0 */
#include "log/base/json_write.h"
#include "log/base/base.h"
#include "test/lib/seed.h"
#include "test/lib/test.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static struct writer out;
static struct json_writer j;

static int start(void **state)
{
	(void)state;
	writer_init(&out, MIB);
	json_write_init(&j, &out);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	writer_release(&out);
	return 0;
}

static void expect(const char *text)
{
	assert_int_equal(out.err, ERR_OK);
	write_u8(&out, 0);
	assert_string_equal((const char *)out.ptr, text);
	writer_clear(&out);
	json_write_init(&j, &out);
}

static void nested_containers_get_their_commas(void **state)
{
	(void)state;
	json_object_begin(&j);
	json_key_str(&j, "a", STR("x"));
	json_key(&j, STR("list"));
	json_array_begin(&j);
	json_i64(&j, INT64_MIN);
	json_u64(&j, UINT64_MAX);
	json_array_begin(&j);
	json_array_end(&j);
	json_object_begin(&j);
	json_object_end(&j);
	json_null(&j);
	json_array_end(&j);
	json_key_bool(&j, "t", true);
	json_key(&j, STR("raw"));
	json_raw(&j, STR("[1, 2]"));
	assert_false(json_write_done(&j));
	json_object_end(&j);
	assert_true(json_write_done(&j));
	expect("{\"a\":\"x\",\"list\":[-9223372036854775808,18446744073709551615,[],{},null],"
	       "\"t\":true,\"raw\":[1, 2]}");
}

static void control_characters_and_quotes_are_escaped(void **state)
{
	(void)state;
	json_str(&j, str_from("\"\\\n\r\t\0\x1f\x7f/", 9));
	expect("\"\\\"\\\\\\n\\r\\t\\u0000\\u001f\\u007f/\"");
	json_str(&j, (struct str){NULL, 0});
	expect("null");
	json_str(&j, STR(""));
	expect("\"\"");
}

static void what_is_not_utf8_becomes_the_replacement_character(void **state)
{
	(void)state;
	static const struct {
		const char *in, *expected;
	} cases[] = {
	    {"gr\xc3\xbc\xc3\x9f", "\"gr\xc3\xbc\xc3\x9f\""},
	    {"\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xe2\x82\xac\xf0\x9f\x98\x80\""},
	    {"a\xff"
	     "b",
	        "\"a\xef\xbf\xbd"
	        "b\""},
	    {"\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\""},                 /* overlong */
	    {"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, /* surrogate */
	    {"\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
	    {"\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\""}, /* cut */
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		json_str(&j, str_of(cases[i].in));
		expect(cases[i].expected);
	}
}

static void any_bytes_give_valid_utf8(void **state)
{
	(void)state;
	struct prng prng;
	prng_init(&prng, test_seed(20250301));
	for (int round = 0; round < 20000; round++) {
		uint8_t raw[24];
		size_t len = prng_below(&prng, sizeof raw + 1);
		for (size_t i = 0; i < len;
		     i++) /* lead and continuation bytes more often than by chance */
			raw[i] = (uint8_t)(prng_below(&prng, 2) ? prng_u64(&prng)
			                                        : 0x80 | prng_below(&prng, 128));
		json_str(&j, str_from(raw, len));
		assert_true(str_is_utf8(bytes_str(writer_bytes(&out))));
		for (size_t i = 0; i < out.len; i++)
			assert_true(out.ptr[i] >= 0x20);
		bool valid = str_is_utf8(str_from(raw, len));
		bool replaced = memmem(out.ptr, out.len, "\xef\xbf\xbd", 3) != NULL;
		if (!memmem(raw, len, "\xef\xbf\xbd", 3))
			assert_int_equal(valid, !replaced);
		writer_clear(&out);
		json_write_init(&j, &out);
	}
}

static void doubles_are_the_shortest_that_read_back(void **state)
{
	(void)state;
	json_double(&j, 0.1);
	expect("0.1");
	json_double(&j, 1.0 / 3);
	expect("0.3333333333333333");
	json_double(&j, 5e-324);
	expect("5e-324");
	json_double(&j, 0.1 + 0.2);
	expect("0.30000000000000004");
	json_double(&j, (double)NAN);
	expect("\"NaN\"");
	json_double(&j, -(double)INFINITY);
	expect("\"-Infinity\"");
}

static void binary_is_base64_or_hex(void **state)
{
	(void)state;
	static const char *const expected[] = {
	    "\"\"", "\"Zg==\"", "\"Zm8=\"", "\"Zm9v\"", "\"Zm9vYg==\""};
	for (size_t len = 0; len < 5; len++) { /* RFC 4648 section 10 */
		json_base64(&j, bytes_of("foob", len));
		expect(expected[len]);
	}
	json_hex(&j, bytes_of("\x00\xff\x1a", 3));
	expect("\"00ff1a\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(nested_containers_get_their_commas, start, stop),
	    cmocka_unit_test_setup_teardown(control_characters_and_quotes_are_escaped, start, stop),
	    cmocka_unit_test_setup_teardown(
	        what_is_not_utf8_becomes_the_replacement_character, start, stop),
	    cmocka_unit_test_setup_teardown(any_bytes_give_valid_utf8, start, stop),
	    cmocka_unit_test_setup_teardown(doubles_are_the_shortest_that_read_back, start, stop),
	    cmocka_unit_test_setup_teardown(binary_is_base64_or_hex, start, stop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
