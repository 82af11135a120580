/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/tempdir.h"

#include "log/base/err.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

char *tempdir_new(void)
{
	char *path = strdup("/tmp/kappa-test-XXXXXX");
	ASSERT(path && mkdtemp(path));
	return path;
}

char *tempdir_copy(const char *from)
{
	char *to = tempdir_new();
	int status;
	pid_t pid = fork();
	ASSERT(pid >= 0);
	if (pid == 0) {
		execlp("cp", "cp", "-rT", from, to, (char *)NULL);
		_exit(127);
	}
	ASSERT(waitpid(pid, &status, 0) == pid && status == 0);
	return to;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

void tempdir_remove(char *path)
{
	if (!path)
		return;
	ASSERT(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
	free(path);
}
