/* SPDX-License-Identifier: Apache-2.0 */
/* See checksum.h. */
#include "log/checksum.h"
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { AVX2_FROM = 1024 /* below, the call costs more than it saves */ };

uint64_t checksum64_plain(const void *bytes, size_t len, uint64_t seed)
{
	return XXH3_64bits_withSeed(bytes, len, seed);
}

uint64_t checksum64(const void *bytes, size_t len, uint64_t seed)
{
#if defined(__x86_64__)
	if (len >= AVX2_FROM && __builtin_cpu_supports("avx2"))
		return checksum64_avx2(bytes, len, seed);
#endif
	return checksum64_plain(bytes, len, seed);
}
