/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/vector.h"

static unsigned nibble(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	ASSERT(c >= 'a' && c <= 'f');
	return (unsigned)(c - 'a') + 10;
}

void test_hex(const char *hex, struct writer *out)
{
	for (; *hex; hex++) {
		if (*hex == ' ')
			continue;
		ASSERT(hex[1]);
		write_u8(out, (uint8_t)(nibble(hex[0]) << 4 | nibble(hex[1])));
		hex++;
	}
	ASSERT(out->err == ERR_OK);
}

void test_text(struct prng *prng, size_t len, struct writer *out)
{
	static const char *const words[] = {
	    "order", "shipped", "{\"id\":", "2024-01-01", ",", " ", "null"};
	size_t end = out->len + len;
	while (out->len < end) {
		if (prng_below(prng, 8) == 0)
			write_u8(out, (uint8_t)prng_u64(prng));
		else
			write_cstr(out, words[prng_below(prng, sizeof(words) / sizeof(words[0]))]);
	}
	ASSERT(out->err == ERR_OK);
	out->len = end;
}

uint8_t *test_exact_copy(struct bytes b)
{
	uint8_t *copy = mem_alloc(b.len > 0 ? b.len : 1);
	ASSERT(copy);
	if (b.len > 0)
		memcpy(copy, b.ptr, b.len);
	return copy;
}
