/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Known-bad servers: each must be found by the simulation, or it proves nothing. */
enum mutant {
	MUTANT_NONE,
	MUTANT_COUNT,
};
void mutant_use(enum mutant m);
const char *mutant_name(enum mutant m);
