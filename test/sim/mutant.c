/* SPDX-License-Identifier: Apache-2.0 */
#include "test/sim/mutant.h"

static enum mutant current;

void mutant_use(enum mutant m)
{
	current = m;
}

const char *mutant_name(enum mutant m)
{
	return m == current ? "none" : "?";
}
