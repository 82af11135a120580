/* SPDX-License-Identifier: Apache-2.0 */
/* XXH3 for processors with AVX2: the Makefile builds this file alone with -mavx2. See checksum.h.
 */
#include "log/checksum.h"
#if defined(__x86_64__)
#define XXH_INLINE_ALL
#include <xxhash.h>
#if !defined(__AVX2__)
#error "build this file with -mavx2"
#endif

uint64_t checksum64_avx2(const void *bytes, size_t len, uint64_t seed)
{
	return XXH3_64bits_withSeed(bytes, len, seed);
}
#endif
