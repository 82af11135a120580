/* SPDX-License-Identifier: Apache-2.0 */
/* See checksum.h. */
#include "log/checksum.h"
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { WIDE_FROM = 1024 /* below, the call costs more than it saves */ };

#if defined(__x86_64__)
/* Processors that have AVX-512 and not this become slower by using it. */
static bool avx512_pays(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("vpclmulqdq");
}
#endif

uint64_t checksum64_plain(const void *bytes, size_t len, uint64_t seed)
{
	return XXH3_64bits_withSeed(bytes, len, seed);
}

uint64_t checksum64(const void *bytes, size_t len, uint64_t seed)
{
#if defined(__x86_64__)
	if (len >= WIDE_FROM && avx512_pays())
		return checksum64_avx512(bytes, len, seed);
	if (len >= WIDE_FROM && __builtin_cpu_supports("avx2"))
		return checksum64_avx2(bytes, len, seed);
#endif
	return checksum64_plain(bytes, len, seed);
}
