/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/test.h"
#include "tools/cli.h"

static struct cli given(const char *name, const char *value)
{
	static const struct command command = {.noun = "test", .args = ""};
	struct cli cli = {.command = &command, .given_count = 1};
	cli.given[0].name = name;
	cli.given[0].value = value;
	return cli;
}

/* An option that hides another, or a letter with two meanings, could never be given. */
static void no_command_says_an_option_twice(void **state)
{
	(void)state;
	for (const struct command *c = command_table; c->noun; c++)
		for (const struct cli_option *a = c->options; a && a->name; a++)
			for (const struct cli_option *b = a + 1; b->name; b++) {
				if (strcmp(a->name, b->name) == 0 ||
				    (a->letter && a->letter == b->letter))
					fail_msg("%s %s: --%s and --%s", c->noun,
					    c->verb ? c->verb : "", a->name, b->name);
			}
}

static void every_command_can_be_reached(void **state)
{
	(void)state;
	for (const struct command *c = command_table; c->noun; c++) {
		assert_non_null(c->run);
		assert_true(c->help && *c->help);
		assert_true(c->max_args < 0 || c->max_args >= c->min_args);
		/* a noun alone takes every word behind it: its verbs must stand before it */
		for (const struct command *d = command_table; d < c; d++)
			if (strcmp(d->noun, c->noun) == 0 && !d->verb)
				fail_msg("%s hides %s %s", d->noun, c->noun,
				    c->verb ? c->verb : "(again)");
	}
}

static void numbers_take_suffixes_and_refuse_the_rest(void **state)
{
	static const struct {
		const char *text;
		int64_t value; /* -1 = refused */
	} table[] = {{"1", 1}, {"2k", 2000}, {"3Ki", 3072}, {"1Gi", 1 << 30}, {"0", -1}, {"-1", -1},
	    {"", -1}, {"x", -1}, {"1x", -1}, {"1.5", -1}, {"9223372036854775807", INT64_MAX},
	    {"9223372036854775808", -1}, {"9223372036854775807k", -1}};
	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct cli cli = given("count", table[i].text);
		int64_t value = -1;
		bool ok = cli_number(&cli, "count", 1, &value);
		if (ok != (table[i].value >= 0) || value != table[i].value)
			fail_msg("%s: %d, %lld", table[i].text, ok, (long long)value);
	}
}

static void the_exit_code_follows_from_the_error(void **state)
{
	(void)state;
	assert_int_equal(exit_of(ERR_OK), EXIT_OK);
	assert_int_equal(exit_of(ERR_CONNECT), EXIT_CONNECT);
	assert_int_equal(exit_of(ERR_TIMEOUT), EXIT_CONNECT);
	assert_int_equal(exit_of(ERR_UNKNOWN_TOPIC), EXIT_NOT_FOUND);
	assert_int_equal(exit_of(ERR_NON_EMPTY_GROUP), EXIT_REFUSED);
	assert_int_equal(exit_of(ERR_LOCKED), EXIT_REFUSED);
	assert_int_equal(exit_of(ERR_DAMAGED), EXIT_CORRUPT);
	assert_int_equal(exit_of(ERR_INVALID), EXIT_USAGE);
	assert_int_equal(exit_of(ERR_IO), EXIT_FAILED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(no_command_says_an_option_twice),
	    cmocka_unit_test(every_command_can_be_reached),
	    cmocka_unit_test(numbers_take_suffixes_and_refuse_the_rest),
	    cmocka_unit_test(the_exit_code_follows_from_the_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
