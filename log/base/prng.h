/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Seeded pseudo-random numbers (xoshiro256**, seeded by splitmix64; Blackman and Vigna 2018): the
 * same seed gives the same numbers on every machine. Not for secrets: those come from io_random.
 */
#include <stdint.h>

struct prng {
	uint64_t s[4];
};
void prng_init(struct prng *p, uint64_t seed);
uint64_t prng_u64(struct prng *p);
/* Uniform in [0, bound), bound > 0. */
uint64_t prng_below(struct prng *p, uint64_t bound);
