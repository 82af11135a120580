/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Can the enumeration fail? Each known-bad build of the log (mutants.txt) is run as crash_main and
 * must be caught: by a broken promise, an assertion or a start that fails, within as many states as
 * a second of CPU time enumerates on a machine of today. The good build, run longer, is not.
 */
#include "test/lib/test.h"

#include "log/base/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NAME_LEN = 64, MUTANTS_MAX = 64 };
static char here[4096]; /* the folder of this program */

/* Runs a program for so many states at most; its status, and the milliseconds it took. */
static int run(const char *path, const char *states, const char *script, double *ret_ms)
{
	struct rusage usage;
	int status = 0;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		/* what it says is of no interest */
		if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
			_exit(126);
		execl(path, path, states, "0", "1", script, (char *)NULL);
		_exit(127);
	}
	assert_true(pid > 0);
	assert_int_equal(wait4(pid, &status, 0, &usage), pid);
	*ret_ms = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3 +
	          (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e3;
	return status;
}

/* 1: a promise is broken after a cut; 255: already while the script was played (fail_msg). */
static bool is_caught(int status)
{
	return (WIFEXITED(status) && (WEXITSTATUS(status) == 1 || WEXITSTATUS(status) == 255)) ||
	       (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void each_known_bad_build_is_caught(void **state)
{
	char line[512], name[NAME_LEN], script[NAME_LEN], path[8192];
	int count = 0, failed = 0;
	FILE *table = fopen("test/crash/mutants.txt", "r");
	(void)state;
	assert_non_null(table);
	while (fgets(line, sizeof(line), table)) {
		double ms;
		int words = sscanf(line, "mutant %63s %*s %63s", name, script);
		if (words < 1)
			continue;
		snprintf(path, sizeof(path), "%s/../../mutant/%s/crash", here, name);
		int status = run(path, "10000", words > 1 ? script : NULL, &ms);
		bool caught = is_caught(status);
		printf("%-56s %s in %.0f ms\n", name,
		    caught              ? "caught"
		    : WIFEXITED(status) ? "NOT CAUGHT"
		                        : "DIED",
		    ms);
		failed += !caught;
		count++;
	}
	fclose(table);
	assert_true(count >= 10);
	assert_int_equal(failed, 0);
}

static void the_good_build_is_not(void **state)
{
	char path[8192];
	double ms;
	(void)state;
	snprintf(path, sizeof(path), "%s/crash_main", here);
	assert_int_equal(run(path, "25000", NULL, &ms), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_known_bad_build_is_caught),
	    cmocka_unit_test(the_good_build_is_not),
	};
	(void)argc;
	snprintf(here, sizeof(here), "%s", argv[0]);
	char *slash = strrchr(here, '/');
	if (slash)
		*slash = '\0';
	return cmocka_run_group_tests_name("crash_mutants", tests, NULL, NULL);
}
