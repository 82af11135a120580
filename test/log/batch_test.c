/* SPDX-License-Identifier: Apache-2.0 */
#include "log/batch.h"
#include "test/lib/vector.h"
#include <stdio.h>

/* Three records made by kafka-python 2.0.2: headers, null key, null value, empty key, times out of
 * order. */
static const char FOREIGN[] =
    "0000000000000000 00000056 00000000 02 69be48c0 0000 00000002 0000018bcfe56800"
    "0000018bcfe5687b ffffffffffffffff ffff ffffffff 00000003"
    "26000000046b31047631040468310278046832010c001302010000"
    "1200f601040001020000";

static const struct batch_rules RULES = {
    .max_bytes = 1 << 20,
    .decompressed_max = 16 << 20,
    .zstd_allowed = true,
};

static const struct bytes NULL_BYTES = {NULL, 0};

/* Puts the right CRC under bytes that a test has changed. */
static void seal(struct writer *w)
{
	put_u32_be(w->ptr + 17, crc32c(bytes_slice(writer_bytes(w), 21, w->len)));
}

static struct writer foreign(void)
{
	struct writer w;
	writer_init(&w, 1000);
	test_hex(FOREIGN, &w);
	return w;
}

static enum err check_with(const struct writer *w, struct batch_rules rules, int32_t *ret_bad)
{
	int32_t bad = 99;
	uint8_t *copy = test_exact_copy(writer_bytes(w));
	enum err err = batch_check(bytes_of(copy, w->len), &rules, &bad);
	assert_int_not_equal(bad, 99);
	if (err == ERR_OK)
		assert_int_equal(bad, -1);
	if (ret_bad)
		*ret_bad = bad;
	err_clear();
	mem_free(copy);
	return err;
}

static enum err check(const struct writer *w)
{
	return check_with(w, RULES, NULL);
}

/* A batch of `count` records made by the builder. */
static struct writer build(int codec, int count)
{
	struct batch_builder b;
	struct writer w;
	writer_init(&w, MIB);
	batch_builder_init(&b, codec);
	for (int i = 0; i < count; i++) {
		char key[32];
		int len = snprintf(key, sizeof(key), "key-%d", i);
		struct log_row header = {bytes_of("h", 1), i % 2 ? NULL_BYTES : bytes_of("v", 1)};
		assert_int_equal(
		    batch_builder_add(&b, 1000 + (i * 7) % 100, bytes_of(key, (size_t)len),
		        bytes_of("a value that repeats itself", 27), &header, (size_t)i % 3 == 0),
		    ERR_OK);
	}
	assert_int_equal(batch_builder_finish(&b, &w), ERR_OK);
	batch_builder_release(&b);
	return w;
}

static void a_foreign_batch_passes_and_reads_as_it_was_made(void **state)
{
	(void)state;
	struct writer w = foreign();
	struct record_iter it;
	struct record r;
	struct str name;
	struct bytes value;
	assert_int_equal(check(&w), ERR_OK);
	batch_stamp(w.ptr, 5000, 3);
	assert_int_equal(check(&w), ERR_OK);
	assert_int_equal(record_iter_open(&it, writer_bytes(&w), NULL, 0), ERR_OK);
	assert_int_equal(it.header.leader_epoch, 3);

	assert_int_equal(record_iter_next(&it, &r), ERR_OK);
	assert_int_equal(r.offset, 5000);
	assert_int_equal(r.timestamp_ms, 1700000000000);
	assert_true(
	    bytes_equal(r.key, bytes_of("k1", 2)) && bytes_equal(r.value, bytes_of("v1", 2)));
	assert_int_equal(r.header_count, 2);
	struct reader headers = reader_of(r.headers);
	assert_int_equal(read_varint32(&headers), 2);
	assert_int_equal(record_header_next(&headers, &name, &value), ERR_OK);
	assert_true(str_equal(name, STR("h1")) && bytes_equal(value, bytes_of("x", 1)));
	assert_int_equal(record_header_next(&headers, &name, &value), ERR_OK);
	assert_true(str_equal(name, STR("h2")) && value.ptr == NULL);
	assert_int_equal(record_header_next(&headers, &name, &value), ERR_EOF);

	assert_int_equal(record_iter_next(&it, &r), ERR_OK);
	assert_int_equal(r.timestamp_ms, 1699999999990);
	assert_null(r.key.ptr);
	assert_true(r.value.ptr && r.value.len == 0);
	assert_int_equal(record_iter_next(&it, &r), ERR_OK);
	assert_int_equal(r.offset, 5002);
	assert_true(r.key.ptr && r.key.len == 0);
	assert_null(r.value.ptr);
	assert_int_equal(record_iter_next(&it, &r), ERR_EOF);
	assert_int_equal(record_iter_next(&it, &r), ERR_EOF);
	writer_release(&w);
}

static void the_builder_makes_the_same_bytes(void **state)
{
	(void)state;
	struct writer want = foreign(), got;
	struct batch_builder b;
	struct log_row two[] = {
	    {bytes_of("h1", 2), bytes_of("x", 1)}, {bytes_of("h2", 2), NULL_BYTES}};
	struct log_row one[] = {{bytes_of("", 0), bytes_of("b", 1)}};
	one[0].value.len = 0;
	writer_init(&got, 1000);
	batch_builder_init(&b, BATCH_NONE);
	assert_int_equal(batch_builder_finish(&b, &got), ERR_INVALID);
	assert_int_equal(
	    batch_builder_add(&b, 1700000000000, bytes_of("k1", 2), bytes_of("v1", 2), two, 2),
	    ERR_OK);
	assert_int_equal(
	    batch_builder_add(&b, 1699999999990, NULL_BYTES, bytes_of("", 0), NULL, 0), ERR_OK);
	assert_int_equal(
	    batch_builder_add(&b, 1700000000123, bytes_of("", 0), NULL_BYTES, one, 1), ERR_OK);
	assert_int_equal(batch_builder_finish(&b, &got), ERR_OK);
	assert_true(bytes_equal(writer_bytes(&got), writer_bytes(&want)));
	batch_builder_clear(&b);
	assert_int_equal(b.count, 0);
	err_clear();
	batch_builder_release(&b);
	writer_release(&want);
	writer_release(&got);
}

static void every_flipped_bit_under_the_crc_is_refused(void **state)
{
	(void)state;
	struct writer w = foreign();
	for (size_t bit = 0; bit < w.len * 8; bit++) {
		bool stamped =
		    bit / 8 < 8 || (bit / 8 >= 12 && bit / 8 < 16); /* base offset, leader epoch */
		w.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(check(&w) == ERR_OK, stamped);
		w.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	writer_release(&w);
}

static void every_truncation_and_extension_is_refused(void **state)
{
	(void)state;
	struct writer w = foreign();
	size_t len = w.len;
	for (w.len = 0; w.len < len; w.len++)
		assert_int_equal(check(&w), ERR_CORRUPT_MESSAGE);
	write_u8(&w, 0);
	assert_int_equal(check(&w), ERR_INVALID_RECORD);
	writer_release(&w);
}

/* Every byte of the records set to every value, under a right CRC: accepted only if it reads back
 * whole. */
static void every_changed_byte_under_a_right_crc_is_judged_by_the_walk(void **state)
{
	(void)state;
	int accepted = 0;
	struct writer w = foreign();
	for (size_t at = 61; at < w.len; at++)
		for (unsigned v = 0; v < 256; v++) {
			uint8_t was = w.ptr[at];
			w.ptr[at] = (uint8_t)v;
			seal(&w);
			enum err err = check(&w);
			assert_true(err == ERR_OK || err == ERR_INVALID_RECORD);
			accepted += err == ERR_OK;
			w.ptr[at] = was;
		}
	/* contents of keys and values, times below the maximum, record attributes, nulls; not
	 * lengths and counts */
	assert_in_range(accepted, 1000, 8000);
	writer_release(&w);
}

struct field_case {
	size_t at;
	const char *hex;
	enum err want;
};

static void illegal_header_fields_are_named(void **state)
{
	(void)state;
	static const struct field_case cases[] = {
	    {16, "00", ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT},
	    {16, "01", ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT},
	    {16, "03", ERR_CORRUPT_MESSAGE},
	    {8, "00000055", ERR_INVALID_RECORD},
	    {8, "00000057", ERR_CORRUPT_MESSAGE},
	    {8, "ffffffff", ERR_CORRUPT_MESSAGE},
	    {8, "7fffffff", ERR_CORRUPT_MESSAGE},
	    {8, "00000030", ERR_CORRUPT_MESSAGE},
	    {21, "0005", ERR_UNSUPPORTED_COMPRESSION},
	    {21, "0007", ERR_UNSUPPORTED_COMPRESSION},
	    {21, "0008", ERR_INVALID_TIMESTAMP},
	    {21, "0010", ERR_INVALID_RECORD}, /* transactional without producer */
	    {21, "0020", ERR_INVALID_RECORD}, /* control */
	    {21, "0040", ERR_INVALID_RECORD},
	    {21, "8000", ERR_INVALID_RECORD},
	    {21, "0001", ERR_UNDECODABLE}, /* says gzip, is not */
	    {21, "0002", ERR_UNDECODABLE},
	    {21, "0003", ERR_UNDECODABLE},
	    {21, "0004", ERR_UNDECODABLE},
	    {23, "00000001", ERR_INVALID_RECORD}, /* last offset delta */
	    {23, "ffffffff", ERR_INVALID_RECORD},
	    {57, "00000002", ERR_INVALID_RECORD}, /* count */
	    {57, "00000000", ERR_INVALID_RECORD},
	    {57, "7fffffff", ERR_INVALID_RECORD},
	    {23,
	        "7ffffffe 0000018bcfe56800 0000018bcfe5687b ffffffffffffffff ffff ffffffff "
	        "7fffffff",
	        ERR_INVALID_RECORD}, /* count and delta agree on 2^31 - 1 records */
	    {23,
	        "00000001 0000018bcfe56800 0000018bcfe5687b ffffffffffffffff ffff ffffffff "
	        "00000002",
	        ERR_INVALID_RECORD},                      /* one record too many */
	    {27, "7fffffffffffffff", ERR_INVALID_RECORD}, /* base timestamp + delta overflows */
	    {35, "0000018bcfe5687a", ERR_INVALID_RECORD}, /* max timestamp */
	    {43, "0000000000000001", ERR_INVALID_RECORD}, /* producer without epoch */
	    {43, "0000000000000001 0000 ffffffff", ERR_INVALID_RECORD},
	    {43, "0000000000000001 0000 00000000", ERR_OK},
	    {43, "fffffffffffffffe", ERR_INVALID_RECORD},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct writer w = foreign(), field;
		writer_init(&field, 100);
		test_hex(cases[i].hex, &field);
		memcpy(w.ptr + cases[i].at, field.ptr, field.len);
		seal(&w);
		enum err err = check(&w);
		if (err != cases[i].want)
			print_message("case %zu: %s\n", i, err_name(err));
		assert_int_equal(err, cases[i].want);
		writer_release(&w);
		writer_release(&field);
	}
}

static void the_topics_rules_are_applied(void **state)
{
	(void)state;
	int32_t bad;
	struct batch_rules rules = RULES;
	struct writer w = foreign(), z = build(BATCH_ZSTD, 20);
	rules.max_bytes = (uint32_t)w.len;
	assert_int_equal(check_with(&w, rules, NULL), ERR_OK);
	rules.max_bytes--;
	assert_int_equal(check_with(&w, rules, NULL), ERR_MESSAGE_TOO_LARGE);
	rules = RULES;
	rules.keys_required = true;
	assert_int_equal(check_with(&w, rules, &bad), ERR_INVALID_RECORD);
	assert_int_equal(bad, 1);
	assert_int_equal(check_with(&z, rules, NULL), ERR_OK);
	rules.zstd_allowed = false;
	assert_int_equal(check_with(&z, rules, NULL), ERR_UNSUPPORTED_COMPRESSION);
	rules = RULES;
	rules.earliest_ms = 1699999999990; /* the records: 0, -10, 123 */
	rules.latest_ms = 1700000000123;
	assert_int_equal(check_with(&w, rules, NULL), ERR_OK);
	rules.latest_ms--;
	assert_int_equal(check_with(&w, rules, &bad), ERR_INVALID_TIMESTAMP);
	rules.latest_ms++;
	rules.earliest_ms++;
	assert_int_equal(check_with(&w, rules, &bad), ERR_INVALID_TIMESTAMP);
	rules = RULES;
	assert_int_equal(batch_plain_max(100), 1600);
	assert_int_equal(batch_plain_max(BATCH_BYTES_MAX), BATCH_PLAIN_MAX);
	rules.decompressed_max = 200;
	assert_int_equal(check_with(&z, rules, NULL), ERR_MESSAGE_TOO_LARGE);
	writer_release(&w);
	writer_release(&z);
}

static void the_server_may_write_control_batches(void **state)
{
	(void)state;
	struct batch_rules rules = RULES;
	struct writer w;
	struct batch_builder b;
	writer_init(&w, 1000);
	batch_builder_init(&b, BATCH_NONE);
	b.producer_id = 7;
	b.producer_epoch = 1;
	b.attributes = BATCH_ATTR_TRANSACTIONAL | BATCH_ATTR_CONTROL;
	assert_int_equal(
	    batch_builder_add(&b, 5, bytes_of("\0\0\0\1", 4), bytes_of("\0\0\0\0\0\0", 6), NULL, 0),
	    ERR_OK);
	assert_int_equal(batch_builder_finish(&b, &w), ERR_OK);
	assert_int_equal(check(&w), ERR_INVALID_RECORD);
	rules.internal = true;
	assert_int_equal(check_with(&w, rules, NULL), ERR_OK);
	batch_builder_release(&b);
	writer_release(&w);
}

static void a_wrong_max_timestamp_is_put_right_on_produce(void **state)
{
	(void)state;
	int32_t bad;
	for (int codec = 0; codec < BATCH_CODECS; codec++) {
		struct writer w = build(codec, 50), want = build(codec, 50);
		memset(w.ptr + 35, 0, 8);
		seal(&w);
		assert_int_equal(check(&w), ERR_INVALID_RECORD);
		assert_int_equal(batch_check_mend(w.ptr, w.len, &RULES, &bad), ERR_OK);
		assert_true(bytes_equal(writer_bytes(&w), writer_bytes(&want)));
		/* a batch whose CRC is wrong is not made right */
		memset(w.ptr + 35, 0, 8);
		assert_int_equal(batch_check_mend(w.ptr, w.len, &RULES, &bad), ERR_CORRUPT_MESSAGE);
		err_clear();
		writer_release(&w);
		writer_release(&want);
	}
}

static void append_time_replaces_every_records_time(void **state)
{
	(void)state;
	struct batch_rules rules = RULES;
	rules.internal = true;
	for (int codec = 0; codec < BATCH_CODECS; codec++) {
		struct writer w = build(codec, 300), scratch;
		struct record_iter it;
		struct record r;
		writer_init(&scratch, MIB);
		batch_stamp_append_time(w.ptr, w.len, 1234567890123);
		assert_int_equal(check_with(&w, rules, NULL), ERR_OK);
		assert_int_equal(record_iter_open(&it, writer_bytes(&w), &scratch, MIB), ERR_OK);
		for (int i = 0; i < 300; i++) {
			assert_int_equal(record_iter_next(&it, &r), ERR_OK);
			assert_int_equal(r.timestamp_ms, 1234567890123);
		}
		assert_int_equal(record_iter_next(&it, &r), ERR_EOF);
		writer_release(&scratch);
		writer_release(&w);
	}
}

static void a_compacted_batch_keeps_its_gaps(void **state)
{
	(void)state;
	/* offsets 10 and 14 of a batch that once had 5 records, last offset delta 4, count 2 */
	struct writer w = foreign();
	struct record_iter it;
	struct record r;
	w.len = 61;
	test_hex("0c 00 00 00 01 01 00  0c 00 00 08 01 01 00", &w);
	put_u32_be(w.ptr + 8, (uint32_t)w.len - 12);
	put_u32_be(w.ptr + 23, 4);
	put_u32_be(w.ptr + 57, 2);
	seal(&w);
	batch_stamp(w.ptr, 10, 0);
	assert_int_equal(record_iter_open(&it, writer_bytes(&w), NULL, 0), ERR_OK);
	assert_int_equal(record_iter_next(&it, &r), ERR_OK);
	assert_int_equal(r.offset, 10);
	assert_int_equal(record_iter_next(&it, &r), ERR_OK);
	assert_int_equal(r.offset, 14);
	assert_int_equal(record_iter_next(&it, &r), ERR_EOF);
	assert_int_equal(check(&w), ERR_INVALID_RECORD); /* a producer may not send one */
	writer_release(&w);
}

/* As record_iter_pass, by record_iter_next alone. */
static void pass_slowly(struct record_iter *it, const struct record_wants *wants, int64_t *max_ms)
{
	struct record r;
	while (it->next_index < it->header.count) {
		struct record_iter before = *it;
		bool good = record_iter_next(it, &r) == ERR_OK &&
		            r.offset == it->header.base_offset + before.next_index &&
		            (r.timestamp_ms == -1 || (r.timestamp_ms >= wants->earliest_ms &&
		                                         r.timestamp_ms <= wants->latest_ms)) &&
		            (r.key.ptr || !wants->keys);
		if (!good) {
			*it = before;
			break;
		}
		*max_ms = r.timestamp_ms > *max_ms ? r.timestamp_ms : *max_ms;
	}
	err_clear();
}

static void assert_passes_alike(struct bytes batch, const struct record_wants *wants)
{
	struct record_iter fast, slow;
	struct writer scratch;
	int64_t fast_ms = INT64_MIN, slow_ms = INT64_MIN;
	uint8_t *copy = test_exact_copy(batch);
	writer_init(&scratch, MIB);
	assert_int_equal(record_iter_open(&fast, bytes_of(copy, batch.len), &scratch, MIB), ERR_OK);
	slow = fast;
	record_iter_pass(&fast, wants, &fast_ms);
	pass_slowly(&slow, wants, &slow_ms);
	assert_int_equal(fast.next_index, slow.next_index);
	assert_int_equal(fast.records.pos, slow.records.pos);
	assert_int_equal(fast_ms, slow_ms);
	writer_release(&scratch);
	mem_free(copy);
}

/* Keys and values of every length class, null too; now and then headers, times before and after. */
static struct writer build_mixed(struct prng *prng)
{
	static uint8_t data[20000];
	static const size_t most[] = {2, 20, 70, 300, sizeof(data)};
	const struct log_row header = {bytes_of("name", 4), NULL_BYTES};
	size_t longest = most[prng_below(prng, 5)];
	struct batch_builder b;
	struct writer w;
	batch_builder_init(&b, BATCH_NONE);
	writer_init(&w, 4 * MIB);
	for (uint64_t i = 0, count = 1 + prng_below(prng, longest > 1000 ? 20 : 300); i < count;
	     i++) {
		int64_t ms =
		    1700000000000 + (int64_t)prng_below(prng, longest * 9) - (longest < 50);
		struct bytes key = bytes_of(data, prng_below(prng, longest)),
		             value = bytes_of(data, prng_below(prng, longest));
		assert_int_equal(batch_builder_add(&b, ms, prng_below(prng, 3) ? key : NULL_BYTES,
		                     prng_below(prng, 9) ? value : NULL_BYTES, &header,
		                     prng_below(prng, 20) == 0),
		    ERR_OK);
	}
	assert_int_equal(batch_builder_finish(&b, &w), ERR_OK);
	batch_builder_release(&b);
	return w;
}

static void the_quick_pass_says_what_the_walk_says(void **state)
{
	(void)state;
	struct prng prng;
	prng_init(&prng, test_seed(11));
	for (int round = 0; round < 150; round++) {
		struct writer w = build_mixed(&prng);
		struct record_wants wants = {round % 3 == 0, INT64_MIN, INT64_MAX};
		if (round % 4 == 0)
			wants.latest_ms = 1700000000100;
		if (round % 5 == 0)
			put_u16_be(w.ptr + 21, BATCH_ATTR_APPEND_TIME);
		if (round % 7 == 0) /* the last offset does not fit */
			put_u64_be(w.ptr, (uint64_t)INT64_MAX - 3);
		assert_passes_alike(writer_bytes(&w), &wants);
		for (int i = 0; i < 60; i++) {
			size_t at =
			    BATCH_HEADER_BYTES + prng_below(&prng, w.len - BATCH_HEADER_BYTES);
			uint8_t was = w.ptr[at];
			w.ptr[at] =
			    (uint8_t)(prng_below(&prng, 2) ? prng_u64(&prng)
			                                   : was ^ (1U << prng_below(&prng, 8)));
			assert_passes_alike(writer_bytes(&w), &wants);
			w.ptr[at] = was;
		}
		writer_release(&w);
	}
}

static void oversized_counts_inside_a_record_allocate_nothing(void **state)
{
	(void)state;
	static const char *const records[] = {
	    "10 00 00 00 01 01 feffffff0f",           /* 2^31 - 1 headers */
	    "10 00 00 00 feffffff0f 00 00",           /* key of 2^31 - 1 bytes */
	    "10 00 00 00 01 feffffff0f 00",           /* value */
	    "0c 00 00 00 01 01 01",                   /* -1 headers */
	    "0c 00 00 00 03 01 00",                   /* key length -2 */
	    "0e 00 00 00 01 01 02 01",                /* header with a null key */
	    "18 00 ffffffffffffffffff7f 00 01 01 00", /* time delta of 70 bits */
	    "feffffff0f 00 00 00 01 01 00",           /* record of 2^31 - 1 bytes */
	    "0a 00 00 00 01 01 00",                   /* one byte too short */
	    "0e 00 00 00 01 01 00",                   /* one byte too long */
	};
	for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
		struct writer w = foreign();
		w.len = 61;
		test_hex(records[i], &w);
		put_u32_be(w.ptr + 8, (uint32_t)w.len - 12);
		put_u32_be(w.ptr + 23, 0);
		put_u64_be(w.ptr + 35, get_u64_be(w.ptr + 27));
		put_u32_be(w.ptr + 57, 1);
		seal(&w);
		mem_fail_at(UINT64_MAX);
		assert_int_equal(check(&w), ERR_INVALID_RECORD);
		assert_in_range(mem_fail_count(), 0, 1); /* the test's own copy */
		mem_fail_at(0);
		writer_release(&w);
	}
}

/* Found by fuzzing: with a new scratch buffer there was no memory at all to count positions from.
 */
static void a_batch_that_decompresses_to_nothing_is_malformed(void **state)
{
	(void)state;
	for (int codec = BATCH_GZIP; codec < BATCH_CODECS; codec++) {
		struct writer w = foreign(), scratch;
		struct record_iter it;
		struct record r;
		w.len = BATCH_HEADER_BYTES;
		assert_int_equal(codec_compress(codec, bytes_of("", 0), &w), ERR_OK);
		put_u32_be(w.ptr + 8, (uint32_t)w.len - 12);
		put_u16_be(w.ptr + 21, (uint16_t)codec);
		put_u32_be(w.ptr + 23, 0);
		put_u32_be(w.ptr + 57, 1);
		seal(&w);
		writer_init(&scratch, KIB);
		assert_int_equal(record_iter_open(&it, writer_bytes(&w), &scratch, KIB), ERR_OK);
		assert_non_null(it.records.ptr);
		assert_int_equal(record_iter_next(&it, &r), ERR_CORRUPT_MESSAGE);
		assert_int_equal(check(&w), ERR_INVALID_RECORD);
		writer_release(&scratch);
		writer_release(&w);
	}
}

static void built_batches_pass_and_mutated_ones_never_harm(void **state)
{
	(void)state;
	struct prng prng;
	prng_init(&prng, test_seed(6));
	for (int round = 0; round < 3000; round++) {
		struct writer w =
		    build((int)prng_below(&prng, BATCH_CODECS), 1 + (int)prng_below(&prng, 40));
		assert_int_equal(check(&w), ERR_OK);
		for (size_t n = 1 + prng_below(&prng, 3); n > 0; n--)
			w.ptr[prng_below(&prng, w.len)] = (uint8_t)prng_u64(&prng);
		seal(&w); /* the attacker computes the CRC too */
		enum err err = check(&w);
		if (err == ERR_OK) {
			struct record_iter it;
			struct record r;
			struct writer scratch;
			writer_init(&scratch, MIB);
			assert_int_equal(
			    record_iter_open(&it, writer_bytes(&w), &scratch, MIB), ERR_OK);
			for (int32_t i = 0; i < it.header.count; i++)
				assert_int_equal(record_iter_next(&it, &r), ERR_OK);
			assert_int_equal(record_iter_next(&it, &r), ERR_EOF);
			writer_release(&scratch);
		}
		writer_release(&w);
	}
}

static void a_check_without_memory_says_so(void **state)
{
	(void)state;
	struct writer w = build(BATCH_LZ4, 100);
	int32_t bad;
	mem_fail_at(1);
	enum err err = batch_check(writer_bytes(&w), &RULES, &bad);
	mem_fail_at(0);
	assert_int_equal(err, ERR_NOMEM);
	err_clear();
	writer_release(&w);
}

static void codec_names_are_kafkas(void **state)
{
	(void)state;
	int codec = -1;
	for (int i = 0; i < BATCH_CODECS; i++) {
		assert_true(batch_codec_by_name(str_of(batch_codec_name(i)), &codec));
		assert_int_equal(codec, i);
	}
	assert_true(batch_codec_by_name(STR("uncompressed"), &codec));
	assert_int_equal(codec, BATCH_NONE);
	assert_false(batch_codec_by_name(STR("producer"), &codec));
	assert_string_equal(batch_codec_name(9), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_foreign_batch_passes_and_reads_as_it_was_made),
	    cmocka_unit_test(the_builder_makes_the_same_bytes),
	    cmocka_unit_test(every_flipped_bit_under_the_crc_is_refused),
	    cmocka_unit_test(every_truncation_and_extension_is_refused),
	    cmocka_unit_test(every_changed_byte_under_a_right_crc_is_judged_by_the_walk),
	    cmocka_unit_test(illegal_header_fields_are_named),
	    cmocka_unit_test(the_topics_rules_are_applied),
	    cmocka_unit_test(the_server_may_write_control_batches),
	    cmocka_unit_test(a_wrong_max_timestamp_is_put_right_on_produce),
	    cmocka_unit_test(append_time_replaces_every_records_time),
	    cmocka_unit_test(a_compacted_batch_keeps_its_gaps),
	    cmocka_unit_test(the_quick_pass_says_what_the_walk_says),
	    cmocka_unit_test(oversized_counts_inside_a_record_allocate_nothing),
	    cmocka_unit_test(a_batch_that_decompresses_to_nothing_is_malformed),
	    cmocka_unit_test(built_batches_pass_and_mutated_ones_never_harm),
	    cmocka_unit_test(a_check_without_memory_says_so),
	    cmocka_unit_test(codec_names_are_kafkas),
	};
	return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}
