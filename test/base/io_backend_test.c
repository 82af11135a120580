/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/io_fixture.h"

static void a_backend_without_memory_is_not_made(void **state)
{
	(void)state;
	static const char *const names[] = {"threads", "uring"};
	for (size_t i = 0; i < 2; i++) {
		unsigned failed = 0;
		enum err e;
		for (uint64_t nth = 1;; nth++) {
			struct io *io = NULL;
			mem_fail_at(nth);
			e = io_new(names[i], &io);
			mem_fail_at(0);
			if (e != ERR_NOMEM) {
				io_free(io);
				break;
			}
			assert_null(io);
			failed++;
		}
		assert_true(e == ERR_OK || e == ERR_UNSUPPORTED);
		assert_true(failed > 0);
	}
	err_clear();
}

static void an_unknown_backend_is_refused_by_name(void **state)
{
	(void)state;
	struct io *io = NULL;
	err_clear();
	assert_int_equal(io_new("aio", &io), ERR_INVALID);
	assert_non_null(strstr(err_chain(), "aio"));
	assert_null(io);
	err_clear();
	assert_ok(io_new("auto", &io));
	assert_true(strcmp(io_name(io), "uring") == 0 || strcmp(io_name(io), "threads") == 0);
	io_free(io);
	io_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_backend_without_memory_is_not_made),
	    cmocka_unit_test(an_unknown_backend_is_refused_by_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
