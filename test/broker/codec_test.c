/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table-driven codec: every message in every version survives a round trip, known bytes are
 * known bytes, and hostile bytes are refused within the memory they justify.
 */
#include "test/lib/test.h"
#include "test/lib/kafka_random.h"
#include "test/lib/seed.h"
#include "broker/kafka/codec.h"
#include <stdio.h>
#include <stdlib.h>

/* ---- random messages ------------------------------------------------------------------------- */

static struct prng rng;

static void fill(struct msg_form form, void *message, struct arena *arena)
{
	struct kafka_random k = {.rng = &rng, .arena = arena};
	kafka_random_fill(&k, form, message);
}

static struct bytes encode(struct msg_form form, const void *message, struct msg_out *out)
{
	msg_out_init(out, MIB);
	out->copy = true;
	assert_int_equal(msg_encode(form, message, out), ERR_OK);
	return writer_bytes(&out->w);
}

typedef void (*form_fn)(struct msg_form form, const char *name);
static void each_form(form_fn fn)
{
	for (size_t i = 0; i < msg_api_count; i++) {
		const struct msg_api *api = &msg_apis[i];
		for (int16_t v = api->min; v <= api->max; v++) {
			fn(msg_request_form(api, v), api->name);
			if (api->response)
				fn(msg_response_form(api, v), api->name);
		}
	}
}

/* ---- round trips ----------------------------------------------------------------------------- */

static void round_trip(struct msg_form form, const char *name)
{
	for (int i = 0; i < 60; i++) {
		struct arena arena, decoded;
		struct msg_out out, again;
		arena_init(&arena, 64 * MIB);
		void *message = arena_alloc(&arena, form.shape->size),
		     *back = arena_alloc(&arena, form.shape->size);
		fill(form, message, &arena);
		struct bytes wire = encode(form, message, &out);
		arena_init(&decoded, 64 * MIB);
		struct reader r = reader_of(wire);
		enum err err = msg_decode(form, &r, &decoded, back);
		if (err != ERR_OK || reader_left(&r) > 0 || !msg_equal(form, message, back)) {
			struct writer text;
			writer_init(&text, MIB);
			msg_print(form, message, &text);
			fail_msg("%s %s version %d: %s %s: %.*s", name, form.shape->name,
			    form.version, err_name(err), err_chain(), (int)text.len,
			    (char *)text.ptr);
		}
		struct bytes wire_again = encode(form, back, &again);
		assert_true(bytes_equal(wire, wire_again));
		msg_out_release(&out);
		msg_out_release(&again);
		arena_release(&arena);
		arena_release(&decoded);
	}
}

static void every_message_in_every_version_survives_a_round_trip(void **state)
{
	(void)state;
	each_form(round_trip);
}

static void difference_in_any_field_is_seen(void **state)
{
	(void)state;
	const struct msg_api *api = msg_api_find(API_PRODUCE);
	struct msg_form form = msg_request_form(api, 9);
	struct produce_request_partition p[2] = {{7, bytes_of("abc", 3)}, {7, bytes_of("abd", 3)}};
	struct produce_request_topic t[2] = {{.name = STR("t"), .partition_data = {&p[0], 1}},
	    {.name = STR("t"), .partition_data = {&p[1], 1}}};
	struct produce_request a = {.acks = -1, .topic_data = {&t[0], 1}}, b = a;
	assert_true(msg_equal(form, &a, &b));
	b.topic_data.at = &t[1];
	assert_false(msg_equal(form, &a, &b));
	b = a;
	b.transactional_id = STR("");
	assert_false(msg_equal(form, &a, &b));
}

/* ---- known bytes ----------------------------------------------------------------------------- */

static void assert_hex(struct bytes b, const char *hex)
{
	char got[1024];
	for (size_t i = 0; i < b.len && 2 * i + 2 < sizeof(got); i++)
		snprintf(got + 2 * i, 3, "%02x", b.ptr[i]);
	assert_string_equal(got, hex);
}

static void classic_version_has_the_bytes_of_the_specification(void **state)
{
	(void)state;
	struct produce_request_partition p = {3, bytes_of("\x01\x02", 2)};
	struct produce_request_topic t = {.name = STR("ab"), .partition_data = {&p, 1}};
	struct produce_request m = {.acks = -1, .timeout_ms = 1000, .topic_data = {&t, 1}};
	struct msg_out out;
	assert_hex(encode(msg_request_form(msg_api_find(API_PRODUCE), 3), &m, &out),
	    "ffff"
	    "ffff"
	    "000003e8"
	    "00000001"
	    "00026162"
	    "00000001"
	    "00000003"
	    "000000020102");
	msg_out_release(&out);
}

static void flexible_version_has_the_bytes_of_the_specification(void **state)
{
	(void)state;
	struct produce_request_partition p = {3, bytes_of("\x01\x02", 2)};
	struct produce_request_topic t = {.name = STR("ab"), .partition_data = {&p, 1}};
	struct produce_request m = {.acks = -1, .timeout_ms = 1000, .topic_data = {&t, 1}};
	struct msg_out out;
	assert_hex(encode(msg_request_form(msg_api_find(API_PRODUCE), 9), &m, &out), "00"
	                                                                             "ffff"
	                                                                             "000003e8"
	                                                                             "02"
	                                                                             "036162"
	                                                                             "02"
	                                                                             "00000003"
	                                                                             "030102"
	                                                                             "00"
	                                                                             "00"
	                                                                             "00");
	msg_out_release(&out);
}

static void tagged_fields_come_last_in_order_and_only_when_set(void **state)
{
	(void)state;
	const struct msg_api *api = msg_api_find(API_API_VERSIONS);
	struct api_versions_response m;
	struct msg_out out;
	msg_init(api->response, &m);
	assert_hex(encode(msg_response_form(api, 3), &m, &out), "0000"
	                                                        "01"
	                                                        "00000000"
	                                                        "00");
	msg_out_release(&out);
	m.finalized_features_epoch = 5;
	m.zk_migration_ready = true;
	assert_hex(encode(msg_response_form(api, 3), &m, &out), "0000"
	                                                        "01"
	                                                        "00000000"
	                                                        "02"
	                                                        "01080000000000000005"
	                                                        "030101");
	msg_out_release(&out);
}

static void slices_are_spliced_in_and_not_copied(void **state)
{
	(void)state;
	struct bytes parts[2] = {bytes_of("xyz", 3), bytes_of("12", 2)};
	struct fetch_response_partition p;
	struct fetch_response_topic t = {.topic = STR("t"), .partitions = {&p, 1}};
	struct fetch_response m = {.responses = {&t, 1}};
	const struct msg_api *api = msg_api_find(API_FETCH);
	struct msg_out out;
	msg_init(&fetch_response_partition_shape, &p);
	p.records = (struct msg_slices){parts, 2};
	msg_out_init(&out, MIB);
	assert_int_equal(msg_encode(msg_response_form(api, 4), &m, &out), ERR_OK);
	assert_int_equal(out.splice_count, 2);
	assert_ptr_equal(out.splices[0].bytes.ptr, parts[0].ptr);
	assert_int_equal(out.splices[0].at, out.w.len);
	assert_int_equal(msg_out_len(&out), out.w.len + 5);
	assert_int_equal(get_u32_be(out.w.ptr + out.w.len - 4), 5);
	msg_out_release(&out);
}

static void strings_too_long_for_their_length_are_refused(void **state)
{
	(void)state;
	char *name = calloc(1, 40000);
	struct heartbeat_request m = {.group_id = {name, 40000}, .member_id = STR("")};
	const struct msg_api *api = msg_api_find(API_HEARTBEAT);
	struct msg_out out;
	msg_out_init(&out, MIB);
	assert_int_equal(msg_encode(msg_request_form(api, 0), &m, &out), ERR_LIMIT);
	msg_out_release(&out);
	free(name);
}

/* ---- hostile bytes --------------------------------------------------------------------------- */

static enum err decode(struct msg_form form, struct bytes wire, size_t *ret_used)
{
	struct arena arena;
	arena_init(&arena, msg_arena_limit(wire.len));
	void *message = malloc(form.shape->size);
	struct reader r = reader_of(wire);
	enum err err = msg_decode(form, &r, &arena, message);
	if (err == ERR_OK && reader_left(&r) > 0)
		err = ERR_INVALID_REQUEST;
	assert_true(arena.used_bytes <= msg_arena_limit(wire.len));
	if (ret_used)
		*ret_used = arena.used_bytes;
	arena_release(&arena);
	free(message);
	return err;
}

static void truncate_everywhere(struct msg_form form, const char *name)
{
	struct arena arena;
	struct msg_out out;
	arena_init(&arena, 64 * MIB);
	void *message = arena_alloc(&arena, form.shape->size);
	fill(form, message, &arena);
	struct bytes wire = encode(form, message, &out);
	for (size_t len = 0; len < wire.len; len++) {
		/* an exact copy on the heap, so that a sanitizer sees a read past the end */
		uint8_t *cut = malloc(len ? len : 1);
		memcpy(cut, wire.ptr, len);
		if (decode(form, bytes_of(cut, len), NULL) == ERR_OK)
			fail_msg("%s %s v%d: %zu of %zu bytes were taken", name, form.shape->name,
			    form.version, len, wire.len);
		free(cut);
	}
	msg_out_release(&out);
	arena_release(&arena);
}

static void every_truncation_is_refused(void **state)
{
	(void)state;
	each_form(truncate_everywhere);
}

static void mutate(struct msg_form form, const char *name)
{
	struct arena arena;
	struct msg_out out;
	(void)name;
	arena_init(&arena, 64 * MIB);
	void *message = arena_alloc(&arena, form.shape->size);
	fill(form, message, &arena);
	struct bytes wire = encode(form, message, &out);
	for (int i = 0; i < 200 && wire.len > 0; i++) {
		uint8_t *copy = malloc(wire.len);
		memcpy(copy, wire.ptr, wire.len);
		for (uint64_t n = 1 + prng_below(&rng, 4); n > 0; n--)
			copy[prng_below(&rng, wire.len)] =
			    (uint8_t)(prng_below(&rng, 2) ? 0xff : prng_u64(&rng));
		enum err err = decode(form, bytes_of(copy, wire.len), NULL);
		assert_true(err == ERR_OK || err == ERR_INVALID_REQUEST || err == ERR_LIMIT);
		free(copy);
	}
	msg_out_release(&out);
	arena_release(&arena);
}

static void flipped_bytes_never_do_more_than_be_refused(void **state)
{
	(void)state;
	each_form(mutate);
}

static void count_that_the_bytes_cannot_hold_is_refused_before_allocating(void **state)
{
	(void)state;
	struct bytes classic = bytes_of("\xff\xff\xff\xff\x00\x00\x00\x01\x7f\xff\xff\xff", 12);
	struct bytes flexible = bytes_of("\x00\xff\xff\x00\x00\x00\x01\xff\xff\xff\xff\x0f", 12);
	size_t used;
	const struct msg_api *api = msg_api_find(API_PRODUCE);
	assert_int_equal(decode(msg_request_form(api, 3), classic, &used), ERR_INVALID_REQUEST);
	assert_int_equal(used, 0);
	assert_int_equal(decode(msg_request_form(api, 9), flexible, &used), ERR_INVALID_REQUEST);
	assert_int_equal(used, 0);
}

static void array_of_empty_strings_stays_within_four_times_its_bytes(void **state)
{
	(void)state;
	/* DescribeGroups v5: a megabyte of empty compact strings would need 16 MiB of slices */
	struct writer w;
	writer_init(&w, 4 * MIB);
	write_uvarint64(&w, MIB + 1);
	memset(writer_reserve(&w, MIB), 1, MIB);
	write_u8(&w, 0);
	write_u8(&w, 0);
	size_t used;
	const struct msg_api *api = msg_api_find(API_DESCRIBE_GROUPS);
	assert_int_equal(decode(msg_request_form(api, 5), writer_bytes(&w), &used), ERR_LIMIT);
	assert_true(used <= msg_arena_limit(w.len));
	writer_release(&w);
}

static void twenty_million_tags_are_refused_at_once(void **state)
{
	(void)state;
	struct writer w;
	writer_init(&w, 64 * MIB);
	write_cstr(&w, "\x01\x01"); /* ApiVersions v3: two empty strings, then the tagged section */
	write_uvarint64(&w, 20000000);
	memset(writer_reserve(&w, 40000000), 0, 40000000);
	size_t used;
	struct msg_form form = msg_request_form(msg_api_find(API_API_VERSIONS), 3);
	assert_int_equal(decode(form, writer_bytes(&w), &used), ERR_INVALID_REQUEST);
	assert_int_equal(used, 0);
	writer_clear(&w);
	write_cstr(&w, "\x01\x01");
	write_uvarint64(&w, KAFKA_UNKNOWN_TAGS_MAX + 1);
	for (unsigned i = 0; i <= KAFKA_UNKNOWN_TAGS_MAX; i++) {
		write_uvarint64(&w, 100 + i);
		write_u8(&w, 0);
	}
	assert_int_equal(decode(form, writer_bytes(&w), NULL), ERR_LIMIT);
	writer_release(&w);
}

static void unknown_tags_up_to_the_limit_are_stepped_over(void **state)
{
	(void)state;
	struct writer w;
	writer_init(&w, MIB);
	write_cstr(&w, "\x02"
	               "a"
	               "\x02"
	               "b");
	write_uvarint64(&w, KAFKA_UNKNOWN_TAGS_MAX);
	for (unsigned i = 0; i < KAFKA_UNKNOWN_TAGS_MAX; i++) {
		write_uvarint64(&w, i);
		write_uvarint64(&w, 2);
		write_cstr(&w, "zz");
	}
	struct msg_form form = msg_request_form(msg_api_find(API_API_VERSIONS), 4);
	assert_int_equal(decode(form, writer_bytes(&w), NULL), ERR_OK);
	writer_release(&w);
}

static void tags_out_of_order_or_of_a_wrong_size_are_refused(void **state)
{
	(void)state;
	struct msg_form form = msg_request_form(msg_api_find(API_API_VERSIONS), 3);
	assert_int_equal(
	    decode(form, bytes_of("\x01\x01\x02\x05\x00\x05\x00", 7), NULL), ERR_INVALID_REQUEST);
	assert_int_equal(
	    decode(form, bytes_of("\x01\x01\x02\x05\x00\x04\x00", 7), NULL), ERR_INVALID_REQUEST);
	assert_int_equal(
	    decode(form, bytes_of("\x01\x01\x01\x05\x09\x00", 6), NULL), ERR_INVALID_REQUEST);
	/* a known tag (ApiVersions response, finalized_features_epoch) with one byte too many */
	form = msg_response_form(msg_api_find(API_API_VERSIONS), 3);
	assert_int_equal(
	    decode(form, bytes_of("\0\0\x01\0\0\0\0\x01\x01\x09\0\0\0\0\0\0\0\x05\0", 19), NULL),
	    ERR_INVALID_REQUEST);
}

static void null_where_none_is_allowed_is_refused(void **state)
{
	(void)state;
	const struct msg_api *api = msg_api_find(API_METADATA);
	assert_int_equal(decode(msg_request_form(api, 0), bytes_of("\xff\xff\xff\xff", 4), NULL),
	    ERR_INVALID_REQUEST);
	assert_int_equal(
	    decode(msg_request_form(api, 1), bytes_of("\xff\xff\xff\xff", 4), NULL), ERR_OK);
	assert_int_equal(
	    decode(msg_request_form(api, 1), bytes_of("\x80\0\0\0", 4), NULL), ERR_INVALID_REQUEST);
	assert_int_equal(decode(msg_request_form(api, 1), bytes_of("\0\0\0\x01\xff\xff", 6), NULL),
	    ERR_INVALID_REQUEST);
}

static void empty_and_null_arrays_are_told_apart(void **state)
{
	(void)state;
	const struct msg_api *api = msg_api_find(API_METADATA);
	struct arena arena;
	struct metadata_request m;
	arena_init(&arena, MIB);
	struct reader r = reader_of(bytes_of("\xff\xff\xff\xff", 4));
	assert_int_equal(msg_decode(msg_request_form(api, 1), &r, &arena, &m), ERR_OK);
	assert_null(m.topics.at);
	r = reader_of(bytes_of("\0\0\0\0", 4));
	assert_int_equal(msg_decode(msg_request_form(api, 1), &r, &arena, &m), ERR_OK);
	assert_non_null(m.topics.at);
	assert_int_equal(m.topics.count, 0);
	assert_true(m.allow_auto_topic_creation); /* not in version 1: its default */
	arena_release(&arena);
}

static void messages_print_as_one_line_of_json(void **state)
{
	(void)state;
	struct produce_request_partition p = {3, bytes_of("\x01\x02", 2)};
	struct produce_request_topic t = {.name = STR("a\"\n\xff"), .partition_data = {&p, 1}};
	struct produce_request m = {.acks = -1, .timeout_ms = 5, .topic_data = {&t, 1}};
	struct writer w;
	writer_init(&w, MIB);
	msg_print(msg_request_form(msg_api_by_name("Produce"), 3), &m, &w);
	write_u8(&w, 0);
	assert_string_equal((char *)w.ptr,
	    "{\"transactional_id\":null,\"acks\":-1,\"timeout_ms\":5,\"topic_data\":[{\"name\":"
	    "\"a\\\"\\u000a\\u00ff\",\"partition_data\":[{\"index\":3,\"records\":{\"bytes\":2}}]}]"
	    "}");
	writer_release(&w);
}

int main(void)
{
	prng_init(&rng, test_seed(20250301));
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_message_in_every_version_survives_a_round_trip),
	    cmocka_unit_test(difference_in_any_field_is_seen),
	    cmocka_unit_test(classic_version_has_the_bytes_of_the_specification),
	    cmocka_unit_test(flexible_version_has_the_bytes_of_the_specification),
	    cmocka_unit_test(tagged_fields_come_last_in_order_and_only_when_set),
	    cmocka_unit_test(slices_are_spliced_in_and_not_copied),
	    cmocka_unit_test(strings_too_long_for_their_length_are_refused),
	    cmocka_unit_test(every_truncation_is_refused),
	    cmocka_unit_test(flipped_bytes_never_do_more_than_be_refused),
	    cmocka_unit_test(count_that_the_bytes_cannot_hold_is_refused_before_allocating),
	    cmocka_unit_test(array_of_empty_strings_stays_within_four_times_its_bytes),
	    cmocka_unit_test(twenty_million_tags_are_refused_at_once),
	    cmocka_unit_test(unknown_tags_up_to_the_limit_are_stepped_over),
	    cmocka_unit_test(tags_out_of_order_or_of_a_wrong_size_are_refused),
	    cmocka_unit_test(null_where_none_is_allowed_is_refused),
	    cmocka_unit_test(empty_and_null_arrays_are_told_apart),
	    cmocka_unit_test(messages_print_as_one_line_of_json),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
