/* SPDX-License-Identifier: Apache-2.0 */
#include "prng.h"

#include "err.h"

static uint64_t splitmix64(uint64_t *state)
{
	uint64_t z = (*state += 0x9E3779B97F4A7C15u);
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
	return z ^ (z >> 31);
}

static uint64_t rotl(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

void prng_init(struct prng *p, uint64_t seed)
{
	for (int i = 0; i < 4; i++)
		p->s[i] = splitmix64(&seed);
}

uint64_t prng_u64(struct prng *p)
{
	uint64_t result = rotl(p->s[1] * 5, 7) * 9;
	uint64_t t = p->s[1] << 17;
	p->s[2] ^= p->s[0];
	p->s[3] ^= p->s[1];
	p->s[1] ^= p->s[2];
	p->s[0] ^= p->s[3];
	p->s[2] ^= t;
	p->s[3] = rotl(p->s[3], 45);
	return result;
}

uint64_t prng_below(struct prng *p, uint64_t bound)
{
	ASSERT(bound > 0);
	/* 2^64 mod bound values at the bottom would make the small remainders likelier */
	uint64_t reject = (0 - bound) % bound;
	uint64_t r;
	do {
		r = prng_u64(p);
	} while (r < reject);
	return r % bound;
}
