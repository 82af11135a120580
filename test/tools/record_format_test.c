/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/test.h"
#include "tools/record_format.h"

static void the_forms_of_the_manual_are_accepted(void **state)
{
	static const char *const good[] = {"", "%v\\n", "%t %p %o %k %v %s %S %h %d %%",
	    "%d{strftime[%Y-%m-%dT%H:%M:%SZ]} %o\\n", "%d{strftime[%Y]}%d{strftime[%m]}", "\\\\n",
	    "{strftime[%o]}", "%d {x}"};
	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		err_clear();
		print_message("%s\n", good[i]);
		assert_int_equal(record_format_check(good[i]), ERR_OK);
	}
}

static void everything_else_is_refused(void **state)
{
	static const char *const bad[] = {"%", "%Y", "\\", "\\q", "%d{%Y}", "%d{strftime[%Y}",
	    "%d{strftime[%Y]", "%d{strftime[%Y]}%Y", "%d{strftime[%Y]}%"};
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		err_clear();
		print_message("%s\n", bad[i]);
		assert_int_equal(record_format_check(bad[i]), ERR_INVALID);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_forms_of_the_manual_are_accepted),
	    cmocka_unit_test(everything_else_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
