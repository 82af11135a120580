/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/io_fixture.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

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

static unsigned fallback_lines;

static void count_fallback(void *ctx, const char *line)
{
	(void)ctx;
	fallback_lines += strstr(line, "event=io_fallback backend=threads") != NULL &&
	    strstr(line, "EPERM") != NULL;
}

/* As the default profile of container engines does: io_uring_setup is EPERM from here on. */
static void refuse_io_uring(void)
{
	struct sock_filter code[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(*code), code};
	ASSERT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	ASSERT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static void where_io_uring_is_refused_auto_says_so_once_and_takes_threads(void **state)
{
	(void)state;
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		struct io *io = NULL;
		refuse_io_uring();
		diag_set_sink(count_fallback, NULL);
		ASSERT(io_new("uring", &io) == ERR_UNSUPPORTED && !io);
		err_clear();
		ASSERT(io_new("auto", &io) == ERR_OK);
		ASSERT(strcmp(io_name(io), "threads") == 0);
		ASSERT(fallback_lines == 1 && err_chain()[0] == '\0');
		io_free(io);
		_exit(0);
	}
	int status = -1;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_backend_without_memory_is_not_made),
	    cmocka_unit_test(where_io_uring_is_refused_auto_says_so_once_and_takes_threads),
	    cmocka_unit_test(an_unknown_backend_is_refused_by_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
