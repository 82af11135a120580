/* SPDX-License-Identifier: Apache-2.0 */
#include "log/batch.h"
#include "test/lib/vector.h"

/* The definition, one bit at a time. */
static uint32_t crc_by_definition(struct bytes b)
{
	uint32_t crc = UINT32_MAX;
	for (size_t i = 0; i < b.len; i++) {
		crc ^= b.ptr[i];
		for (int bit = 0; bit < 8; bit++)
			crc = (crc & 1) ? (crc >> 1) ^ UINT32_C(0x82F63B78) : crc >> 1;
	}
	return ~crc;
}

static struct writer random_bytes(uint64_t seed, size_t len)
{
	struct prng prng;
	struct writer w;
	prng_init(&prng, seed);
	writer_init(&w, len);
	for (size_t i = 0; i < len; i++)
		write_u8(&w, (uint8_t)prng_u64(&prng));
	assert_int_equal(w.err, ERR_OK);
	return w;
}

static void the_vectors_of_rfc_3720_hold(void **state)
{
	(void)state;
	uint8_t b[32];
	for (int way = CRC32C_TABLES; way <= CRC32C_FOLD; way++) {
		(void)crc32c_use(way);
		assert_int_equal(crc32c(bytes_of("123456789", 9)), 0xE3069283);
		assert_int_equal(crc32c(bytes_of("", 0)), 0);
		memset(b, 0, sizeof(b));
		assert_int_equal(crc32c(bytes_of(b, 32)), 0x8A9136AA);
		memset(b, 0xff, sizeof(b));
		assert_int_equal(crc32c(bytes_of(b, 32)), 0x62A8AB43);
		for (uint8_t i = 0; i < 32; i++)
			b[i] = i;
		assert_int_equal(crc32c(bytes_of(b, 32)), 0x46DD794E);
	}
}

static void every_length_and_alignment_agrees_with_the_definition(void **state)
{
	(void)state;
	struct writer w = random_bytes(test_seed(1), 30000);
	for (size_t len = 0; len < w.len - 16; len += len < 1400 ? 1 : 997) {
		struct bytes b = bytes_slice(writer_bytes(&w), len % 9, len);
		uint32_t want = crc_by_definition(b);
		for (int way = CRC32C_TABLES; way <= CRC32C_FOLD; way++) {
			(void)crc32c_use(way);
			assert_int_equal(crc32c(b), want);
		}
	}
	writer_release(&w);
}

static void extending_is_the_crc_of_the_whole(void **state)
{
	(void)state;
	struct writer w = random_bytes(test_seed(2), 20000);
	uint32_t whole = crc32c(writer_bytes(&w));
	for (size_t cut = 0; cut <= w.len; cut += 613) {
		uint32_t head = crc32c(bytes_slice(writer_bytes(&w), 0, cut));
		assert_int_equal(
		    crc32c_extend(head, bytes_slice(writer_bytes(&w), cut, w.len)), whole);
	}
	writer_release(&w);
}

static void mending_equals_computing_again(void **state)
{
	(void)state;
	struct prng prng;
	struct writer w = random_bytes(test_seed(3), 5000);
	prng_init(&prng, 3);
	for (int round = 0; round < 500; round++) {
		uint8_t change[24];
		size_t at = prng_below(&prng, w.len - sizeof(change)),
		       len = prng_below(&prng, sizeof(change));
		uint32_t crc = crc32c(writer_bytes(&w));
		for (size_t i = 0; i < len; i++) {
			change[i] = (uint8_t)prng_u64(&prng);
			w.ptr[at + i] ^= change[i];
		}
		assert_int_equal(crc32c_mend(crc, bytes_of(change, len), w.len - at - len),
		    crc32c(writer_bytes(&w)));
	}
	writer_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_vectors_of_rfc_3720_hold),
	    cmocka_unit_test(every_length_and_alignment_agrees_with_the_definition),
	    cmocka_unit_test(extending_is_the_crc_of_the_whole),
	    cmocka_unit_test(mending_equals_computing_again),
	};
	return cmocka_run_group_tests_name("crc32c", tests, NULL, NULL);
}
