/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/test.h"
#include "log/base/offsetspec.h"
#include "log/base/limits.h"
#include <stdio.h>

#define NOW_MS ((int64_t)1740830400000) /* 2025-03-01T12:00:00Z */

struct expectation {
	const char *text;
	struct offset_spec spec;
};

static void expect_spec(const struct expectation *e)
{
	struct offset_spec spec;
	err_clear();
	enum err err = offset_spec_parse(str_of(e->text), NOW_MS, &spec);
	if (err != ERR_OK)
		fail_msg("%s: %s", e->text, err_chain());
	if (spec.from.kind != e->spec.from.kind || spec.from.value != e->spec.from.value ||
	    spec.to.kind != e->spec.to.kind || spec.to.value != e->spec.to.value)
		fail_msg("%s: got from %d %lld to %d %lld", e->text, (int)spec.from.kind,
		    (long long)spec.from.value, (int)spec.to.kind, (long long)spec.to.value);
}

static void every_form_of_the_grammar_is_read(void **state)
{
	(void)state;
	static const struct expectation table[] = {
	    {"start", {{OFFSET_START, 0}, {OFFSET_NONE, 0}}},
	    {"beginning", {{OFFSET_START, 0}, {OFFSET_NONE, 0}}},
	    {"end", {{OFFSET_END, 0}, {OFFSET_NONE, 0}}},
	    {"stored", {{OFFSET_STORED, 0}, {OFFSET_NONE, 0}}},
	    {"0", {{OFFSET_AT, 0}, {OFFSET_NONE, 0}}},
	    {"42", {{OFFSET_AT, 42}, {OFFSET_NONE, 0}}},
	    {"-10", {{OFFSET_BEFORE_END, 10}, {OFFSET_NONE, 0}}},
	    {"+7", {{OFFSET_AFTER_START, 7}, {OFFSET_NONE, 0}}},
	    {":end", {{OFFSET_NONE, 0}, {OFFSET_END, 0}}},
	    {"3:9", {{OFFSET_AT, 3}, {OFFSET_AT, 9}}},
	    {"3:", {{OFFSET_AT, 3}, {OFFSET_NONE, 0}}},
	    {"start:end", {{OFFSET_START, 0}, {OFFSET_END, 0}}},
	    {"-5:end", {{OFFSET_BEFORE_END, 5}, {OFFSET_END, 0}}},
	    {"@1740830400000", {{OFFSET_TIME, NOW_MS}, {OFFSET_NONE, 0}}},
	    {"@2025-03-01T12:00:00Z", {{OFFSET_TIME, NOW_MS}, {OFFSET_NONE, 0}}},
	    {"@2025-03-01T12:00Z", {{OFFSET_TIME, NOW_MS}, {OFFSET_NONE, 0}}},
	    {"@2025-03-01T13:00:00+01:00", {{OFFSET_TIME, NOW_MS}, {OFFSET_NONE, 0}}},
	    {"@2025-03-01 06:30:00-05:30", {{OFFSET_TIME, NOW_MS}, {OFFSET_NONE, 0}}},
	    {"@2025-03-01T12:00:00.2509Z", {{OFFSET_TIME, NOW_MS + 250}, {OFFSET_NONE, 0}}},
	    {"@2025-03-01T12:00:00Z:2025-03-01T12:00:01Z",
	        {{OFFSET_TIME, NOW_MS}, {OFFSET_TIME, NOW_MS + 1000}}},
	    {"@2025-03-01T13:00:00+01:00:@2025-03-01T12:00:01Z",
	        {{OFFSET_TIME, NOW_MS}, {OFFSET_TIME, NOW_MS + 1000}}},
	    {"@-1h:end", {{OFFSET_TIME, NOW_MS - 3600000}, {OFFSET_END, 0}}},
	    {"@-2h:-1h30m", {{OFFSET_TIME, NOW_MS - 7200000}, {OFFSET_TIME, NOW_MS - 5400000}}},
	    {":@2025-03-01T12:00:00Z", {{OFFSET_NONE, 0}, {OFFSET_TIME, NOW_MS}}},
	    {"10:@-1m", {{OFFSET_AT, 10}, {OFFSET_TIME, NOW_MS - 60000}}},
	    {"s@1000", {{OFFSET_TIME, 1000}, {OFFSET_NONE, 0}}},
	    {"e@2000", {{OFFSET_NONE, 0}, {OFFSET_TIME, 2000}}},
	    {"9223372036854775807", {{OFFSET_AT, INT64_MAX}, {OFFSET_NONE, 0}}},
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		expect_spec(&table[i]);
}

static void what_is_not_in_the_grammar_is_refused_and_leaves_the_result_alone(void **state)
{
	(void)state;
	static const char *const bad[] = {"", ":", "x", "starts", "1x", "--1", "+", "-", "@", "@x",
	    "@-", "@-1y", "@-1", "1:2:3", "start:end:", "s@", "s@x", "s@1:2", "9223372036854775808",
	    "@2025-02-29T00:00:00Z", "@2025-13-01T00:00:00Z", "@2025-03-01T24:00:00Z",
	    "@2025-03-01T12:00:00+1:00", "@2025-03-01T12:00:00.Z", "@999999999999w", "end end",
	    " 1"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct offset_spec spec = {{OFFSET_STORED, 77}, {OFFSET_STORED, 78}};
		err_clear();
		if (offset_spec_parse(str_of(bad[i]), NOW_MS, &spec) != ERR_INVALID)
			fail_msg("'%s' was accepted", bad[i]);
		assert_int_equal(spec.from.value, 77);
		assert_int_equal(spec.to.value, 78);
		assert_true(strlen(err_chain()) > 0);
	}
}

static void a_time_without_a_zone_is_an_error_that_says_so(void **state)
{
	(void)state;
	static const char *const bad[] = {
	    "@2025-03-01T12:00:00", "@2025-03-01T12:00", "@2025-03-01T12:00:00:end"};
	struct offset_spec spec;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		err_clear();
		assert_int_equal(offset_spec_parse(str_of(bad[i]), NOW_MS, &spec), ERR_INVALID);
		assert_non_null(strstr(err_chain(), "zone"));
	}
	err_clear();
	assert_int_equal(offset_spec_parse(STR("@2025-03-01"), NOW_MS, &spec), ERR_INVALID);
	assert_non_null(strstr(err_chain(), "zone"));
}

static void a_place_is_not_a_range(void **state)
{
	(void)state;
	struct offset_point p;
	assert_int_equal(offset_point_parse(STR("@2025-03-01T12:00:00Z"), NOW_MS, &p), ERR_OK);
	assert_int_equal(p.kind, OFFSET_TIME);
	assert_int_equal(p.value, NOW_MS);
	assert_int_equal(offset_point_parse(STR("2025-03-01T12:00:00Z"), NOW_MS, &p), ERR_OK);
	assert_int_equal(p.value, NOW_MS);
	assert_int_equal(offset_point_parse(STR("-3"), NOW_MS, &p), ERR_OK);
	assert_int_equal(p.kind, OFFSET_BEFORE_END);
	assert_int_equal(p.value, 3);
	assert_int_equal(offset_point_parse(STR("s@5"), NOW_MS, &p), ERR_OK);
	assert_int_equal(p.value, 5);
	assert_int_equal(offset_point_parse(STR("3:4"), NOW_MS, &p), ERR_INVALID);
	assert_int_equal(offset_point_parse(STR(""), NOW_MS, &p), ERR_INVALID);
}

static void civil_dates_agree_with_a_count_of_days(void **state)
{
	(void)state;
	static const int days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int64_t day = 0;
	for (int year = 1970; year < 2105; year++)
		for (int month = 1; month <= 12; month++) {
			char text[40];
			int64_t ms;
			bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
			snprintf(text, sizeof(text), "%04d-%02d-01T00:00:00Z", year, month);
			assert_int_equal(time_parse(str_of(text), 0, &ms), ERR_OK);
			assert_int_equal(ms, day * 86400000);
			day += days[month - 1] + (month == 2 && leap);
		}
}

static void durations_add_up_their_parts(void **state)
{
	(void)state;
	int64_t ns;
	assert_int_equal(duration_parse(STR("1h30m"), &ns), ERR_OK);
	assert_int_equal(ns, 5400 * S_NS);
	assert_int_equal(duration_parse(STR("250ms"), &ns), ERR_OK);
	assert_int_equal(ns, 250 * MS_NS);
	assert_int_equal(duration_parse(STR("2w"), &ns), ERR_OK);
	assert_int_equal(ns, 14 * 86400 * S_NS);
	assert_int_equal(duration_parse(STR("0"), &ns), ERR_OK);
	assert_int_equal(ns, 0);
	static const char *const bad[] = {
	    "", "1", "h", "-1s", "1s ", "1 s", "99999999999999999999s", "9223372037s"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (duration_parse(str_of(bad[i]), &ns) != ERR_INVALID)
			fail_msg("'%s' was accepted", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_form_of_the_grammar_is_read),
	    cmocka_unit_test(what_is_not_in_the_grammar_is_refused_and_leaves_the_result_alone),
	    cmocka_unit_test(a_time_without_a_zone_is_an_error_that_says_so),
	    cmocka_unit_test(a_place_is_not_a_range),
	    cmocka_unit_test(civil_dates_agree_with_a_count_of_days),
	    cmocka_unit_test(durations_add_up_their_parts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
