/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Fuzz targets: each takes any bytes, and neither crashes, hangs, nor takes more memory than it
 * may. `make fuzz T=NAME SECONDS=n` lets clang's libFuzzer look for inputs (fuzz_main.c);
 * replay_test.c runs those that are kept in test/fuzz/corpus, and small changes of them.
 */
#include "log/base/base.h"

struct fuzz_target {
	const char *name;
	void (*run)(struct bytes in);
	/* Writes first inputs, one emit each; NULL: none. */
	void (*seeds)(void (*emit)(void *ctx, struct bytes in), void *ctx);
	unsigned changes; /* of each kept input in replay_test: fewer where a run is slow */
};
extern const struct fuzz_target fuzz_targets[];
extern const size_t fuzz_target_count;
const struct fuzz_target *fuzz_target_find(const char *name);

/* libFuzzer looks at its clock by a signal, which ends calls that wait: these go on. */
struct sockaddr;
void fuzz_connect(int fd, const struct sockaddr *to, size_t len);
/* Reads until the server has closed, as it must soon after our end: requests that wait are given up
 * then. */
void fuzz_drain(int fd);

#define FUZZ_TARGET(name)                                                                          \
	void name##_fuzz(struct bytes in);                                                         \
	void name##_seeds(void (*emit)(void *ctx, struct bytes in), void *ctx)
FUZZ_TARGET(decoder);
FUZZ_TARGET(batch);
FUZZ_TARGET(log);
FUZZ_TARGET(sql);
FUZZ_TARGET(json);
FUZZ_TARGET(http);
FUZZ_TARGET(native);
FUZZ_TARGET(scram);
FUZZ_TARGET(jwt);
FUZZ_TARGET(tls);
