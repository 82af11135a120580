/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * XXH3-64 with a seed, as FORMAT.md means it, for bytes in bulk: bodies of frames and journal
 * entries. With AVX-512 or AVX2 where the processor has it (three times and twice the speed of the
 * SSE2 that x86-64 is built for); the same sums everywhere. [any thread]
 */
#include "log/base/base.h"

uint64_t checksum64(const void *bytes, size_t len, uint64_t seed);
/* For tests: neither. */
uint64_t checksum64_plain(const void *bytes, size_t len, uint64_t seed);
#if defined(__x86_64__)
/* checksum_avx2.c, built with -mavx2: only where the processor has it. */
uint64_t checksum64_avx2(const void *bytes, size_t len, uint64_t seed);
/* checksum_avx512.c, the same with -mavx512f. */
uint64_t checksum64_avx512(const void *bytes, size_t len, uint64_t seed);
#endif
