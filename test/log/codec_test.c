/* SPDX-License-Identifier: Apache-2.0 */
#include "log/batch.h"
#include "test/lib/vector.h"

static const char TEXT[] = "hello hello hello hello";
enum { TEXT_LEN = sizeof(TEXT) - 1 };

/* TEXT by foreign tools (gzip, lz4 1.9.4, zstd 1.5.4), by hand for snappy. */
static const struct vector {
	int codec;
	const char *hex;
} vectors[] = {
    {BATCH_GZIP, "1f8b0800000000000203cb48cdc9c957c8402701e3513d8d17000000"},
    /* two members, the first empty */
    {BATCH_GZIP, "1f8b080000000000000303000000000000000000"
                 "1f8b0800000000000203cb48cdc9c957c8402701e3513d8d17000000"},
    /* length 23, literal "hello " (tag (6-1)<<2), copy of 17 bytes from 6 back (2-byte offset:
       (17-1)<<2 | 2) */
    {BATCH_SNAPPY, "17 14 68656c6c6f20 42 0600"},
    /* one literal */
    {BATCH_SNAPPY, "17 58 68656c6c6f2068656c6c6f2068656c6c6f2068656c6c6f"},
    /* xerial: blocks "hello " and the rest */
    {BATCH_SNAPPY, "82534e4150505900 00000001 00000001 00000008 06 14 68656c6c6f20"
                   "00000013 11 40 68656c6c6f2068656c6c6f2068656c6c6f"},
    {BATCH_LZ4, "04224d186440a70f0000006868656c6c6f2006005068656c6c6f00000000f26b940b"},
    {BATCH_ZSTD, "28b52ffd04586500003068656c6c6f200100994b11175eae0d"},
};

static void foreign_streams_are_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct writer in, out;
		writer_init(&in, 1000);
		writer_init(&out, 1000);
		test_hex(vectors[i].hex, &in);
		assert_int_equal(
		    codec_decompress(vectors[i].codec, writer_bytes(&in), TEXT_LEN, &out), ERR_OK);
		assert_int_equal(out.len, TEXT_LEN);
		assert_memory_equal(out.ptr, TEXT, TEXT_LEN);
		writer_release(&in);
		writer_release(&out);
	}
}

static void every_truncation_is_an_error(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct writer in, out;
		writer_init(&in, 1000);
		writer_init(&out, 1000);
		test_hex(vectors[i].hex, &in);
		for (size_t len = 0; len < in.len; len++) {
			uint8_t *cut = test_exact_copy(bytes_of(in.ptr, len));
			enum err err =
			    codec_decompress(vectors[i].codec, bytes_of(cut, len), 1000, &out);
			/* framing ends at any block and gzip at any member: the walk over records
			 * finds those */
			bool whole_part = err == ERR_OK && out.len < TEXT_LEN;
			assert_true(err == ERR_CORRUPT_MESSAGE || whole_part);
			if (err != ERR_OK)
				assert_int_equal(out.len, 0);
			writer_clear(&out);
			mem_free(cut);
		}
		writer_release(&in);
		writer_release(&out);
	}
	err_clear();
}

static void trailing_bytes_are_an_error(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct writer in, out;
		writer_init(&in, 1000);
		writer_init(&out, 1000);
		test_hex(vectors[i].hex, &in);
		write_u8(&in, 1);
		assert_int_equal(codec_decompress(vectors[i].codec, writer_bytes(&in), 1000, &out),
		    ERR_CORRUPT_MESSAGE);
		writer_release(&in);
		writer_release(&out);
	}
	err_clear();
}

static void what_is_compressed_comes_back(void **state)
{
	(void)state;
	struct prng prng;
	prng_init(&prng, test_seed(4));
	for (int codec = 0; codec < BATCH_CODECS; codec++)
		for (size_t len = 1; len < 700000; len = len * 3 + prng_below(&prng, 7)) {
			struct writer text, packed, out;
			writer_init(&text, len + 64);
			writer_init(&packed, 2 * MIB);
			writer_init(&out, len);
			test_text(&prng, len, &text);
			assert_int_equal(
			    codec_compress(codec, writer_bytes(&text), &packed), ERR_OK);
			assert_int_equal(
			    codec_decompress(codec, writer_bytes(&packed), len, &out), ERR_OK);
			assert_true(bytes_equal(writer_bytes(&out), writer_bytes(&text)));
			/* one byte less of cap is an error that leaves nothing behind */
			writer_clear(&out);
			assert_int_equal(
			    codec_decompress(codec, writer_bytes(&packed), len - 1, &out),
			    ERR_LIMIT);
			assert_int_equal(out.len, 0);
			writer_release(&text);
			writer_release(&packed);
			writer_release(&out);
		}
	err_clear();
}

static void a_bomb_costs_no_more_than_the_cap(void **state)
{
	(void)state;
	struct writer zeros, packed, out;
	writer_init(&zeros, 32 * MIB);
	assert_non_null(writer_reserve(&zeros, 32 * MIB));
	memset(zeros.ptr, 0, zeros.len);
	for (int codec = 1; codec < BATCH_CODECS; codec++) {
		writer_init(&packed, 40 * MIB);
		writer_init(&out, SIZE_MAX);
		assert_int_equal(codec_compress(codec, writer_bytes(&zeros), &packed), ERR_OK);
		assert_true(packed.len < zeros.len / 15);
		assert_int_equal(
		    codec_decompress(codec, writer_bytes(&packed), MIB, &out), ERR_LIMIT);
		assert_true(out.capacity <= 2 * MIB);
		writer_release(&packed);
		writer_release(&out);
	}
	writer_release(&zeros);
	err_clear();
}

static void a_claimed_length_allocates_nothing(void **state)
{
	(void)state;
	/* snappy that claims 2^32 - 1 bytes; lz4 and zstd headers that claim 2^60 and 2^40 */
	static const struct vector liars[] = {
	    {BATCH_SNAPPY, "ffffffff0f 00 61"},
	    {BATCH_SNAPPY, "80 80 40 00 61"},
	    {BATCH_ZSTD, "28b52ffd e0 0000000000000100"},
	    {BATCH_LZ4, "04224d18 6c40 0000000000000010 00"},
	};
	for (size_t i = 0; i < sizeof(liars) / sizeof(liars[0]); i++) {
		struct writer in, out;
		writer_init(&in, 1000);
		writer_init(&out, SIZE_MAX);
		test_hex(liars[i].hex, &in);
		assert_int_not_equal(
		    codec_decompress(liars[i].codec, writer_bytes(&in), 16 * MIB, &out), ERR_OK);
		assert_true(out.capacity <= 64 * KIB);
		writer_release(&in);
		writer_release(&out);
	}
	err_clear();
}

static void mutated_streams_never_harm(void **state)
{
	(void)state;
	struct prng prng;
	prng_init(&prng, test_seed(5));
	struct writer text, packed, out;
	writer_init(&text, 4096);
	writer_init(&packed, 64 * KIB);
	writer_init(&out, 64 * KIB);
	for (int round = 0; round < 4000; round++) {
		int codec = 1 + (int)prng_below(&prng, BATCH_CODECS - 1);
		writer_clear(&text);
		writer_clear(&packed);
		writer_clear(&out);
		test_text(&prng, 1 + prng_below(&prng, 2000), &text);
		assert_int_equal(codec_compress(codec, writer_bytes(&text), &packed), ERR_OK);
		for (size_t n = 1 + prng_below(&prng, 4); n > 0; n--)
			packed.ptr[prng_below(&prng, packed.len)] ^=
			    (uint8_t)(1u << prng_below(&prng, 8));
		uint8_t *copy = test_exact_copy(writer_bytes(&packed));
		enum err err = codec_decompress(codec, bytes_of(copy, packed.len), 8000, &out);
		assert_true(err == ERR_OK || err == ERR_CORRUPT_MESSAGE || err == ERR_LIMIT);
		assert_true(out.len <= 8000);
		err_clear();
		mem_free(copy);
	}
	writer_release(&text);
	writer_release(&packed);
	writer_release(&out);
}

static void an_unknown_codec_is_refused(void **state)
{
	(void)state;
	struct writer out;
	writer_init(&out, 100);
	for (int codec = -1; codec <= BATCH_CODECS; codec += BATCH_CODECS + 1) {
		assert_int_equal(codec_decompress(codec, bytes_of("x", 1), 10, &out),
		    ERR_UNSUPPORTED_COMPRESSION);
		assert_int_equal(
		    codec_compress(codec, bytes_of("x", 1), &out), ERR_UNSUPPORTED_COMPRESSION);
	}
	err_clear();
	writer_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(foreign_streams_are_read),
	    cmocka_unit_test(every_truncation_is_an_error),
	    cmocka_unit_test(trailing_bytes_are_an_error),
	    cmocka_unit_test(what_is_compressed_comes_back),
	    cmocka_unit_test(a_bomb_costs_no_more_than_the_cap),
	    cmocka_unit_test(a_claimed_length_allocates_nothing),
	    cmocka_unit_test(mutated_streams_never_harm),
	    cmocka_unit_test(an_unknown_codec_is_refused),
	};
	return cmocka_run_group_tests_name("codec", tests, NULL, NULL);
}
