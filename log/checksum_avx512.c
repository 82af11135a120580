/* SPDX-License-Identifier: Apache-2.0 */
/* XXH3 for processors with AVX-512: the Makefile builds this file alone with -mavx512f. See
 * checksum.h. */
#include "log/checksum.h"
#if defined(__x86_64__)
#define XXH_INLINE_ALL
#include <xxhash.h>
#if !defined(__AVX512F__)
#error "build this file with -mavx512f"
#endif

uint64_t checksum64_avx512(const void *bytes, size_t len, uint64_t seed)
{
	return XXH3_64bits_withSeed(bytes, len, seed);
}
#endif
