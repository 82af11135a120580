/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/test.h"

#include "log/base/base.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

static char lines[200][9000];
static size_t line_count;

static void keep(void *ctx, const char *line)
{
	(void)ctx;
	assert_true(line_count < 200);
	snprintf(lines[line_count++], sizeof(lines[0]), "%s", line);
}

static int set_up(void **state)
{
	(void)state;
	line_count = 0;
	diag_set_sink(keep, NULL);
	diag_set_level(DIAG_INFO);
	diag_set_json(false);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	diag_set_sink(NULL, NULL);
	diag_set_json(false);
	return 0;
}

static void a_line_is_logfmt_with_time_level_and_event(void **state)
{
	(void)state;
	diag(DIAG_WARN, "segment_roll", "topic=%s partition=%d", "orders", 3);
	assert_int_equal(line_count, 1);
	int year, month, day, hour, minute, second, ms, end = 0;
	int got = sscanf(lines[0],
	    "ts=%d-%d-%dT%d:%d:%d.%dZ level=warn event=segment_roll topic=orders partition=3%n",
	    &year, &month, &day, &hour, &minute, &second, &ms, &end);
	assert_int_equal(got, 7);
	assert_int_equal(lines[0][end], '\0');
	diag(DIAG_INFO, "bare", "%s", "");
	assert_non_null(strstr(lines[1], " event=bare"));
	assert_int_equal(lines[1][strlen(lines[1]) - 1], 'e');
}

static void levels_below_the_set_one_are_silent(void **state)
{
	(void)state;
	diag(DIAG_DEBUG, "quiet", "a=1");
	assert_int_equal(line_count, 0);
	diag_set_level(DIAG_DEBUG);
	diag(DIAG_DEBUG, "quiet", "a=1");
	assert_int_equal(line_count, 1);
	diag_set_level(DIAG_ERROR);
	diag(DIAG_WARN, "quiet", "a=1");
	assert_int_equal(line_count, 1);
}

static void json_has_the_same_pairs_with_numbers_and_escapes(void **state)
{
	(void)state;
	char quoted[64];
	diag_set_json(true);
	diag(DIAG_INFO, "x", "n=-12 ok=true name=%s bare=a.b/c empty= odd={} flag",
	    diag_quote(quoted, sizeof(quoted), STR("say \"hi\"\n")));
	const char *tail = strstr(lines[0], "\"level\"");
	assert_non_null(tail);
	assert_string_equal(tail,
	    "\"level\":\"info\",\"event\":\"x\",\"n\":-12,\"ok\":true,\"name\":\"say "
	    "\\\"hi\\\"\\n\","
	    "\"bare\":\"a.b/c\",\"empty\":true,\"odd\":\"{}\",\"flag\":true}");
}

static void hostile_text_stays_one_line_and_sends_nothing_to_the_terminal(void **state)
{
	(void)state;
	char buf[256];
	diag_quote(buf, sizeof(buf), STR("a\nts=fake \x1b[31m \xC2\x9B \xFF end"));
	assert_string_equal(buf, "\"a\\nts=fake \\u001b[31m \\u009b \\ufffd end\"");
	diag(DIAG_INFO, "raw", "text=a\nb\x1b[0m\x7F");
	for (const char *p = lines[0]; *p; p++)
		assert_true(*p >= ' ' && *p != 0x7F);
}

static void quoting_is_done_where_needed_and_fits_any_buffer(void **state)
{
	(void)state;
	char buf[64];
	assert_string_equal(diag_quote(buf, sizeof(buf), STR("orders-1.log")), "orders-1.log");
	assert_string_equal(diag_quote(buf, sizeof(buf), STR("")), "\"\"");
	assert_string_equal(diag_quote(buf, sizeof(buf), STR("two words")), "\"two words\"");
	assert_string_equal(diag_quote(buf, sizeof(buf), STR("a=b")), "\"a=b\"");
	/* text that would turn into a number or a word of JSON */
	assert_string_equal(diag_quote(buf, sizeof(buf), STR("123")), "\"123\"");
	assert_string_equal(diag_quote(buf, sizeof(buf), STR("true")), "\"true\"");
	assert_string_equal(
	    diag_quote(buf, sizeof(buf), STR("\xC3\xA9t\xC3\xA9")), "\"\xC3\xA9t\xC3\xA9\"");
	for (size_t len = 0; len < 20; len++) {
		memset(buf, '!', sizeof(buf));
		(void)diag_quote(buf, len, STR("\xC3\xA9\x01 a long text"));
		for (size_t i = len; i < sizeof(buf); i++)
			assert_int_equal(buf[i], '!');
		if (len > 0)
			assert_true(memchr(buf, '\0', len) != NULL);
		if (len >= 3)
			assert_true(
			    buf[0] == '"' && buf[strlen(buf) - 1] == '"' && strlen(buf) >= 2);
	}
}

/* False: it was not over within the second in which it began. */
static bool flood(void)
{
	struct timespec begin, end;
	line_count = 0;
	do { /* early in a second */
		clock_gettime(CLOCK_MONOTONIC, &begin);
		usleep(1000);
	} while (begin.tv_nsec > 300000000);
	for (int i = 0; i < 100; i++) {
		diag(DIAG_INFO, "flood", "i=%d", i);
		if (i % 50 == 0)
			diag(DIAG_INFO, "other", "i=%d", i);
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	return end.tv_sec == begin.tv_sec;
}

static void a_flood_is_cut_to_ten_lines_a_second_and_counted(void **state)
{
	(void)state;
	for (int tries = 60; !flood(); tries--) {
		assert_true(tries > 0);
		sleep(2);
		diag(DIAG_INFO, "later", "a=0"); /* tells what was suppressed */
		sleep(2);
	}
	assert_int_equal(line_count, 12);
	sleep(1);
	diag(DIAG_INFO, "later", "a=1");
	assert_int_equal(line_count, 14);
	assert_non_null(strstr(lines[12], "event=flood suppressed=90"));
	assert_non_null(strstr(lines[13], "event=later"));
}

static void a_line_too_long_is_still_well_formed(void **state)
{
	(void)state;
	static char huge[20000];
	memset(huge, '"', sizeof(huge) - 1);
	diag_set_json(true);
	diag(DIAG_INFO, "huge", "a=%s", huge);
	diag(DIAG_INFO, "huge", "a=x%s", huge);
	assert_int_equal(line_count, 2);
	for (size_t i = 0; i < 2; i++) {
		size_t len = strlen(lines[i]);
		assert_true(len < 8192);
		assert_int_equal(lines[i][0], '{');
		assert_int_equal(lines[i][len - 1], '}');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
	        a_line_is_logfmt_with_time_level_and_event, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(levels_below_the_set_one_are_silent, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
	        json_has_the_same_pairs_with_numbers_and_escapes, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
	        hostile_text_stays_one_line_and_sends_nothing_to_the_terminal, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
	        quoting_is_done_where_needed_and_fits_any_buffer, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
	        a_flood_is_cut_to_ten_lines_a_second_and_counted, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
	        a_line_too_long_is_still_well_formed, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
