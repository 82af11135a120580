/* SPDX-License-Identifier: Apache-2.0 */
#include "test/fuzz/fuzz.h"
#include "test/lib/patience.h"
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

const struct fuzz_target fuzz_targets[] = {
    {"decoder", decoder_fuzz, decoder_seeds, 20},
    {"batch", batch_fuzz, batch_seeds, 300},
    {"log", log_fuzz, log_seeds, 300},
    {"sql", sql_fuzz, sql_seeds, 6},
    {"json", json_fuzz, json_seeds, 300},
    {"http", http_fuzz, http_seeds, 2},
    {"native", native_fuzz, native_seeds, 2},
    {"scram", scram_fuzz, scram_seeds, 300},
    {"jwt", jwt_fuzz, jwt_seeds, 40},
    {"tls", tls_fuzz, tls_seeds, 2},
};
const size_t fuzz_target_count = sizeof(fuzz_targets) / sizeof(fuzz_targets[0]);

const struct fuzz_target *fuzz_target_find(const char *name)
{
	for (size_t i = 0; i < fuzz_target_count; i++) {
		if (strcmp(fuzz_targets[i].name, name) == 0)
			return &fuzz_targets[i];
	}
	return NULL;
}

void fuzz_connect(int fd, const struct sockaddr *to, size_t len)
{
	int rc;
	while ((rc = connect(fd, to, (socklen_t)len)) != 0 && errno == EINTR)
		;
	ASSERT(rc == 0);
}

void fuzz_drain(int fd)
{
	char answer[4096];
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int n;
	while ((n = poll(&p, 1, PATIENCE_MS)) > 0 || (n < 0 && errno == EINTR)) {
		if (n > 0 && recv(fd, answer, sizeof(answer), 0) <= 0)
			return;
	}
	ASSERT(!"the server has neither answered nor closed");
}
