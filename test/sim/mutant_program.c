/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linked with the wrappers of mutant.h, the kappa program itself is one of the known-bad servers:
 * KAPPA_MUTANT holds the name of which (mutant_name). For tests with real clients.
 */
#include "test/sim/mutant.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((constructor)) static void choose(void)
{
	const char *wanted = getenv("KAPPA_MUTANT");
	if (!wanted)
		return;
	for (int m = MUTANT_NONE; m < MUTANT_COUNT; m++) {
		if (strcmp(wanted, mutant_name((enum mutant)m)) == 0) {
			mutant_use((enum mutant)m);
			return;
		}
	}
	fprintf(stderr, "KAPPA_MUTANT: no mutant is called \"%s\"\n", wanted);
	exit(2);
}
