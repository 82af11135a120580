/* SPDX-License-Identifier: Apache-2.0 */
/* Recompression of sealed segments, on the simulated disk. */
#include "log/catalog.h"
#include "log/engine.h"
#include "test/lib/keyed_log.h"
#include <stdio.h>
#include <stdlib.h>

#define assert_ok(expr) assert_int_equal((expr), ERR_OK)
enum { BATCHES = 12, RECORDS = 20 };
static struct keyed_log k;
static char said[8192];

static void collect(void *ctx, const char *line)
{
	(void)ctx;
	if (strstr(line, "recompressed"))
		strncat(said, line, sizeof(said) - strlen(said) - 1);
}

static int setup(void **state)
{
	(void)state;
	said[0] = '\0';
	return keyed_setup(&k, 5, collect);
}

static int teardown(void **state)
{
	(void)state;
	return keyed_teardown(&k);
}

/* Records that compress well, in batches of the codec; the last in an active segment. */
static void fill(const char *compression, int codec)
{
	const char *const configs[] = {compression, NULL};
	keyed_create(&k, "t", 1 << 20, configs);
	for (int b = 0; b < BATCHES; b++) {
		struct keyed_record r[RECORDS];
		char value[RECORDS][48];
		for (int i = 0; i < RECORDS; i++) {
			snprintf(
			    value[i], sizeof(value[i]), "a value that is always the same %d", i);
			r[i] = (struct keyed_record){
			    i % 3 ? "key" : NULL, value[i], 1000 + b * 50 + i};
		}
		struct keyed_how how = KEYED_PLAIN;
		how.codec = codec;
		keyed_append(&k, "t", r, RECORDS, &how);
	}
	partition_roll_soon(keyed_partition(&k, "t"));
	keyed_put(&k, "t", "last", "x");
}

static char *text(void)
{
	return strdup(keyed_read_text(&k));
}

static void sealed_segments_get_the_topics_codec(void **state)
{
	(void)state;
	static const char *const config[] = {"compression.type=gzip", "compression.type=snappy",
	    "compression.type=lz4", "compression.type=zstd"};
	static const int codec[] = {BATCH_GZIP, BATCH_SNAPPY, BATCH_LZ4, BATCH_ZSTD};
	int turn = *(const int *)*state;
	fill(config[turn], BATCH_NONE);
	char *before = text();
	struct log_partition *p = keyed_partition(&k, "t");
	uint64_t bytes = partition_segment(p, 0)->size, all = p->size_bytes;
	keyed_compact(&k);
	char *after = text();
	assert_string_equal(before, after);
	assert_int_equal(
	    k.rows.codecs, 1 << codec[turn] | 1 << BATCH_NONE); /* the last is active */
	struct log_segment_status st;
	assert_true(log_segment_status(p, 0, &st));
	assert_int_equal(st.generation, 1);
	assert_int_equal(st.original_bytes, bytes);
	assert_true(st.size_bytes - SEGMENT_HEADER_BYTES < (bytes - SEGMENT_HEADER_BYTES) / 2);
	assert_int_equal(st.codec, codec[turn]);
	assert_false(st.compacted);
	assert_int_equal(p->size_bytes, all - bytes + st.size_bytes);
	char want[128];
	snprintf(want, sizeof(want), "bytes_before=%llu bytes_after=%llu",
	    (unsigned long long)bytes, (unsigned long long)st.size_bytes);
	assert_non_null(strstr(said, want));
	/* once */
	keyed_compact(&k);
	assert_int_equal(partition_segment(p, 0)->generation, 1);
	keyed_close(&k);
	keyed_fsck(&k, NULL, 0);
	keyed_open(&k);
	keyed_compact(&k);
	free(after);
	after = text();
	assert_string_equal(before, after);
	assert_int_equal(partition_segment(keyed_partition(&k, "t"), 0)->generation, 1);
	free(before);
	free(after);
}

static void what_is_right_already_is_not_written_again(void **state)
{
	(void)state;
	fill("compression.type=zstd", BATCH_ZSTD);
	keyed_compact(&k);
	assert_int_equal(partition_segment(keyed_partition(&k, "t"), 0)->generation, 0);
	assert_string_equal(said, "");
}

static void a_producers_choice_is_left_alone(void **state)
{
	(void)state;
	fill("compression.type=producer", BATCH_GZIP);
	keyed_compact(&k);
	assert_int_equal(partition_segment(keyed_partition(&k, "t"), 0)->generation, 0);
	keyed_read_text(&k);
	assert_int_equal(k.rows.codecs, 1 << BATCH_GZIP | 1 << BATCH_NONE);
}

static void nothing_is_made_larger(void **state)
{
	(void)state;
	const char *const configs[] = {"compression.type=gzip", NULL};
	keyed_create(&k, "t", 1 << 20, configs);
	for (int i = 0; i < 5; i++)
		keyed_put(&k, "t", "k", "x"); /* a gzip stream of it is longer */
	partition_roll_soon(keyed_partition(&k, "t"));
	keyed_put(&k, "t", "k", "x");
	uint64_t bytes = partition_segment(keyed_partition(&k, "t"), 0)->size;
	keyed_compact(&k);
	assert_int_equal(partition_segment(keyed_partition(&k, "t"), 0)->size, bytes);
	keyed_read_text(&k);
	assert_int_equal(k.rows.codecs, 1 << BATCH_NONE);
}

int main(void)
{
	static int turn[] = {0, 1, 2, 3};
#define CODEC(i)                                                                                   \
	cmocka_unit_test_prestate_setup_teardown(                                                  \
	    sealed_segments_get_the_topics_codec, setup, teardown, &turn[i])
	const struct CMUnitTest tests[] = {
	    CODEC(0),
	    CODEC(1),
	    CODEC(2),
	    CODEC(3),
	    cmocka_unit_test_setup_teardown(
	        what_is_right_already_is_not_written_again, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_producers_choice_is_left_alone, setup, teardown),
	    cmocka_unit_test_setup_teardown(nothing_is_made_larger, setup, teardown),
	};
	return cmocka_run_group_tests_name("recompress", tests, NULL, NULL);
}
