/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/test.h"

#include "log/base/base.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static void each_code_has_a_name_a_text_and_a_way_back(void **state)
{
	(void)state;
	for (int i = 0; i < ERR_COUNT; i++) {
		enum err back = ERR_COUNT;
		assert_true(strlen(err_name((enum err)i)) > 0);
		assert_true(strlen(err_text((enum err)i)) > 0);
		assert_true(err_by_name(err_name((enum err)i), &back));
		assert_int_equal(back, i);
		assert_true(err_http((enum err)i) >= 200 && err_http((enum err)i) < 600);
		assert_true(err_kafka((enum err)i) >= -1);
		enum err told = err_from_kafka(err_kafka((enum err)i));
		assert_true(told == ERR_SYS || err_kafka(told) == err_kafka((enum err)i));
	}
	assert_int_equal(ERR_OK, 0);
	assert_int_equal(err_kafka(ERR_OFFSET_OUT_OF_RANGE), 1);
	assert_int_equal(err_http(ERR_NOT_FOUND), 404);
	assert_true(err_retriable(ERR_NOSPACE));
	assert_false(err_retriable(ERR_CORRUPT_MESSAGE));
}

static void codes_are_found_in_any_case_and_with_their_prefix(void **state)
{
	(void)state;
	enum err e = ERR_COUNT;
	assert_true(err_by_name("err_not_found", &e));
	assert_int_equal(e, ERR_NOT_FOUND);
	assert_true(err_by_name("Torn_Round", &e));
	assert_int_equal(e, ERR_TORN_ROUND);
	assert_false(err_by_name("NO_SUCH_CODE", &e));
	assert_false(err_by_name("", &e));
	assert_false(err_by_name("ERR_", &e));
	assert_int_equal(e, ERR_TORN_ROUND);
}

static void a_kafka_code_is_what_a_client_can_make_of_it(void **state)
{
	(void)state;
	assert_int_equal(err_from_kafka(0), ERR_OK);
	assert_int_equal(err_from_kafka(2), ERR_CORRUPT_MESSAGE);
	assert_int_equal(err_from_kafka(10), ERR_MESSAGE_TOO_LARGE);
	assert_int_equal(err_from_kafka(-1), ERR_SYS);
	assert_int_equal(err_from_kafka(32000), ERR_SYS);
}

static void codes_out_of_range_are_harmless(void **state)
{
	(void)state;
	assert_string_equal(err_name(ERR_COUNT), "UNKNOWN");
	assert_int_equal(err_kafka((enum err)9999), -1);
	assert_int_equal(err_http((enum err)9999), 500);
	assert_false(err_retriable((enum err)9999));
}

static void the_chain_reads_from_the_cause_outwards(void **state)
{
	(void)state;
	err_clear();
	assert_string_equal(err_chain(), "");
	assert_int_equal(err_note(ERR_IO, "read pos %d", 7), ERR_IO);
	assert_int_equal(err_note(ERR_IO, "segment %s", "00.log"), ERR_IO);
	assert_string_equal(err_chain(), "read pos 7: segment 00.log");
	err_clear();
	assert_string_equal(err_chain(), "");
}

static void a_probe_can_be_forgotten(void **state)
{
	(void)state;
	err_clear();
	(void)err_note(ERR_IO, "kept");
	size_t mark = err_mark();
	(void)err_note(ERR_NOT_FOUND, "probe");
	err_rewind(mark);
	assert_string_equal(err_chain(), "kept");
	err_clear();
	err_rewind(mark);
	assert_string_equal(err_chain(), "");
}

static void a_chain_never_cleared_keeps_the_newest_notes(void **state)
{
	(void)state;
	err_clear();
	char last[32];
	for (int i = 0; i < 10000; i++) {
		snprintf(last, sizeof(last), "note number %d", i);
		(void)err_note(ERR_IO, "%s", last);
		const char *chain = err_chain();
		size_t len = strlen(chain);
		assert_true(len < 2048);
		assert_string_equal(chain + len - strlen(last), last);
		assert_int_equal(strncmp(chain, "note number", 11), 0);
	}
	static char huge[5000];
	memset(huge, 'x', sizeof(huge) - 1);
	(void)err_note(ERR_IO, "%s", huge);
	assert_true(strlen(err_chain()) < 2048);
	err_clear();
}

static void a_system_error_names_its_errno(void **state)
{
	(void)state;
	err_clear();
	errno = ENOSPC;
	assert_int_equal(err_sys("write %s", "x.log"), ERR_NOSPACE);
	assert_string_equal(err_chain(), "write x.log: No space left on device (ENOSPC)");
	err_clear();
	errno = 0;
	assert_int_equal(err_sys("nothing"), ERR_SYS);
	err_clear();
	static const struct {
		int sys;
		enum err err;
	} cases[] = {{0, ERR_OK}, {ENOENT, ERR_NOT_FOUND}, {EEXIST, ERR_EXISTS}, {EIO, ERR_IO},
	    {ENOMEM, ERR_NOMEM}, {EADDRINUSE, ERR_ADDRESS_IN_USE}, {ECANCELED, ERR_CANCELLED},
	    {EPIPE, ERR_CLOSED}, {ECONNRESET, ERR_CLOSED}, {EACCES, ERR_PERMISSION},
	    {12345, ERR_SYS}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(err_from_errno(cases[i].sys), cases[i].err);
}

static void note_elsewhere(void *arg)
{
	(void)arg;
	ASSERT(err_chain()[0] == '\0');
	(void)err_note(ERR_IO, "another thread's");
}

static void chains_of_threads_are_apart(void **state)
{
	(void)state;
	err_clear();
	(void)err_note(ERR_IO, "mine");
	struct thread t = {0};
	assert_int_equal(thread_start(&t, "noter", note_elsewhere, NULL), ERR_OK);
	thread_join(&t);
	assert_string_equal(err_chain(), "mine");
	err_clear();
}

static void a_failed_assertion_aborts_and_says_where(void **state)
{
	(void)state;
	int pipe_fds[2];
	assert_int_equal(pipe(pipe_fds), 0);
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		dup2(pipe_fds[1], STDERR_FILENO);
		signal(SIGABRT, SIG_DFL);
		ASSERT(1 + 1 == 3);
		_exit(0);
	}
	close(pipe_fds[1]);
	char said[512] = {0};
	ssize_t n = read(pipe_fds[0], said, sizeof(said) - 1);
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(pipe_fds[0]);
	assert_true(n > 0);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_non_null(strstr(said, "err_test.c"));
	assert_non_null(strstr(said, "1 + 1 == 3"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_code_has_a_name_a_text_and_a_way_back),
	    cmocka_unit_test(codes_are_found_in_any_case_and_with_their_prefix),
	    cmocka_unit_test(a_kafka_code_is_what_a_client_can_make_of_it),
	    cmocka_unit_test(codes_out_of_range_are_harmless),
	    cmocka_unit_test(the_chain_reads_from_the_cause_outwards),
	    cmocka_unit_test(a_probe_can_be_forgotten),
	    cmocka_unit_test(a_chain_never_cleared_keeps_the_newest_notes),
	    cmocka_unit_test(a_system_error_names_its_errno),
	    cmocka_unit_test(chains_of_threads_are_apart),
	    cmocka_unit_test(a_failed_assertion_aborts_and_says_where),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
