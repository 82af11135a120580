/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/seed.h"

#include "log/base/bytes.h"

#include <stdio.h>
#include <stdlib.h>

uint64_t test_seed(uint64_t fallback)
{
	uint64_t seed = fallback;
	const char *env = getenv("KAPPA_TEST_SEED");
	if (env && !str_to_u64(str_of(env), &seed)) {
		fprintf(stderr, "KAPPA_TEST_SEED=%s is not a number\n", env);
		abort();
	}
	printf("KAPPA_TEST_SEED=%llu\n", (unsigned long long)seed);
	fflush(stdout);
	return seed;
}
