/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer's entry; KAPPA_FUZZ names the target. See `make fuzz`. */
#include "test/fuzz/fuzz.h"
#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const struct fuzz_target *target;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *name = getenv("KAPPA_FUZZ");
	(void)argc;
	(void)argv;
	target = name ? fuzz_target_find(name) : NULL;
	ASSERT(target);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	target->run(bytes_of(data, len));
	return 0;
}
