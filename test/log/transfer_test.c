/* SPDX-License-Identifier: Apache-2.0 */
#include "log/frame.h"
#include "test/lib/log_files.h"
#include "test/lib/log_lines.h"
#include "test/lib/tempdir.h"
#include <stdio.h>
#include <stdlib.h>

/*
 * test/golden/kafka/golden-0 is a partition that Kafka 4.3.1 wrote (test/conform/kafka_segments.py
 * --golden): 300 records in five codecs, a committed and an aborted transaction of 5 records each,
 * two segments. Each test imports it or a harmed copy.
 */
#define GOLDEN "test/golden/kafka/golden-0"
#define FIRST  "golden-0/00000000000000000000"
#define SECOND "golden-0/00000000000000000305"
enum { GOLDEN_END = 312, GOLDEN_BATCHES = 35 };

static struct log_server server;
static struct log_files kafka;

static enum err import(const char *as)
{
	const struct log_import_options options = {.as = as, .journal_bytes = JOURNAL_BYTES_MIN};
	log_lines_clear();
	return log_import(server.io, kafka.dir, server.dir, &options, log_lines_collect, NULL);
}

static enum err export(const char *out) {
	const struct log_export_options options = {.partition = -1}; log_lines_clear(); err_clear();
	return log_export(server.io, server.dir, "golden", log_files_path(&kafka, out), &options,
	    log_lines_collect, NULL);
}

static struct bytes content(const char *path)
{
	struct bytes b;
	assert_int_equal(io_read_file(server.io, path, MIB, &b), ERR_OK);
	return b;
}

static void drop(struct bytes b)
{
	mem_free((void *)(uintptr_t)b.ptr);
}

static void write_file(const char *name, struct bytes b)
{
	assert_int_equal(io_write_file(server.io, log_files_path(&kafka, name), b), ERR_OK);
}

static void copy_partition(const char *as)
{
	struct io_names names;
	assert_int_equal(io_mkdir(server.io, log_files_path(&kafka, as)), ERR_OK);
	assert_int_equal(io_list(server.io, GOLDEN, &names), ERR_OK);
	for (size_t i = 0; i < names.count; i++) {
		char from[300], to[300];
		snprintf(from, sizeof(from), GOLDEN "/%s", names.name[i]);
		snprintf(to, sizeof(to), "%s/%s", as, names.name[i]);
		struct bytes b = content(from);
		write_file(to, b);
		drop(b);
	}
	io_names_release(&names);
}

static int setup(void **state)
{
	(void)state;
	log_server_init(&server);
	log_server_close(&server);
	kafka = (struct log_files){server.io, tempdir_new()};
	copy_partition("golden-0");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	log_server_release(&server);
	tempdir_remove((char *)(uintptr_t)kafka.dir);
	err_clear();
	return 0;
}

static void same_file(const char *a, const char *b)
{
	struct bytes x = content(a), y = content(b);
	if (x.len != y.len || memcmp(x.ptr, y.ptr, x.len) != 0)
		fail_msg("%s and %s differ", a, b);
	drop(x);
	drop(y);
}

static void read_done(struct log_read *read)
{
	*(bool *)read->user = true;
}

/* How many aborted transactions a reader of committed data is told of. */
static size_t aborted_behind(const char *topic, int64_t offset)
{
	bool done = false;
	struct log_read read = {
	    .partition = log_partition_find(server.log, log_server_topic(&server, topic), 0),
	    .offset = offset,
	    .max_bytes = MIB,
	    .read_committed = true,
	    .user = &done,
	    .done = read_done};
	log_read(server.log, &read);
	while (!done)
		log_server_turn(&server);
	assert_int_equal(read.err, ERR_OK);
	size_t count = read.aborted_count;
	log_read_release(&read);
	return count;
}

static void what_kafka_wrote_comes_back_byte_for_byte(void **state)
{
	(void)state;
	static const char *const same[] = {"00000000000000000000.log", "00000000000000000305.log",
	    "00000000000000000305.txnindex", "00000000000000000312.snapshot",
	    "00000000000000000305.index"};
	assert_int_equal(import(NULL), ERR_OK);
	log_lines_say("partition=golden-0 action=imported ");
	log_lines_say(" log_start=0 log_end=312");
	log_lines_say("action=imported topic=golden partitions=1 ");
	assert_int_equal(export("out"), ERR_OK);
	for (size_t i = 0; i < 3; i++) {
		char a[300], b[300];
		snprintf(a, sizeof(a), GOLDEN "/%s", same[i]);
		snprintf(b, sizeof(b), "out/golden-0/%s", same[i]);
		same_file(a, log_files_path(&kafka, b));
	}
	struct bytes theirs = content(GOLDEN "/partition.metadata"),
	             ours = content(log_files_path(&kafka, "out/golden-0/partition.metadata"));
	assert_memory_equal(theirs.ptr, ours.ptr, ours.len); /* the topic keeps its id */
	drop(theirs);
	drop(ours);
	assert_int_equal(export("out"), ERR_EXISTS);
	assert_int_equal(import(NULL), ERR_TOPIC_EXISTS);
	assert_int_equal(import("second"), ERR_OK);
	log_server_open(&server);
	assert_int_equal(log_server_status(&server, "golden", 0).log_end, GOLDEN_END);
	assert_int_equal(log_server_status(&server, "second", 0).log_end, GOLDEN_END);
	assert_string_equal(log_server_read(&server, "golden", 0, 304), "True 4");
	assert_int_equal(aborted_behind("golden", 305), 1);
	assert_int_equal(log_server_append(&server, "golden", 0, "ours"), GOLDEN_END);
	assert_int_equal(import("third"), ERR_LOCKED);
	log_server_restart(&server);
	assert_string_equal(log_server_read(&server, "golden", 0, GOLDEN_END), "ours");
	log_server_close(&server);
	const struct log_fsck_options options = {0};
	log_lines_clear();
	assert_int_equal(
	    log_fsck(server.io, server.dir, &options, log_lines_collect, NULL), ERR_OK);
	log_lines_say(" findings=0");
}

static void a_torn_end_is_told_and_the_rest_is_taken(void **state)
{
	(void)state;
	uint64_t size = log_files_size(&kafka, SECOND ".log");
	log_files_resize(&kafka, SECOND ".log", size - 1);
	assert_int_equal(import(NULL), ERR_OK);
	log_lines_say("verdict=TORN_TAIL partition=golden-0 pos=");
	log_lines_say("reason=\"cut off\"");
	log_server_open(&server);
	assert_true(log_server_status(&server, "golden", 0).log_end < GOLDEN_END);
}

static void room_made_ahead_is_no_torn_end(void **state)
{
	(void)state;
	log_files_resize(&kafka, SECOND ".log", 100000);
	assert_int_equal(import(NULL), ERR_OK);
	log_lines_say_not("TORN_TAIL");
	log_lines_say("log_end=312");
}

static void damage_before_the_end_imports_nothing(void **state)
{
	(void)state;
	log_files_flip(&kafka, FIRST ".log", 3000, 1);
	assert_int_equal(import(NULL), ERR_CORRUPT);
	log_files_flip(&kafka, FIRST ".log", 3000, 1);
	assert_int_equal(import(NULL), ERR_OK); /* it left nothing in the way */
}

/* Where batch number n of the first segment begins, in a copy of it. */
static uint8_t *batch_at(uint8_t *log, int n)
{
	while (n-- > 0)
		log += get_u32_be(log + 8) + (size_t)12;
	return log;
}

/* Batches that are whole and say what cannot be; with the next ones behind them. */
static void impossible_batches_import_nothing(void **state)
{
	static const struct {
		size_t at, bytes;
		uint64_t value;
		const char *says;
	} each[] = {
	    {0, 8, 0, "its offset does not ascend"},
	    {0, 8, INT64_MAX - 1, "its offsets pass 2^62"},
	    {23, 4, UINT32_MAX, "negative offset delta or count"},
	    {57, 4, UINT32_MAX, "negative offset delta or count"},
	    {8, 4, 10, "not a record batch"},
	    {8, 4, UINT32_MAX, "not a record batch"},
	    {16, 1, 3, "not a record batch"},
	};
	struct bytes log = content(GOLDEN "/00000000000000000000.log");
	uint8_t *copy = mem_alloc(log.len);
	(void)state;
	for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
		memcpy(copy, log.ptr, log.len);
		uint8_t *b = batch_at(copy, 2);
		size_t len = get_u32_be(b + 8) + (size_t)12;
		for (size_t k = 0; k < each[i].bytes; k++)
			b[each[i].at + k] = (uint8_t)(each[i].value >> 8 * (each[i].bytes - 1 - k));
		put_u32_be(b + 17, crc32c(bytes_of(b + 21, len - 21)));
		write_file(FIRST ".log", bytes_of(copy, log.len));
		assert_int_equal(import(NULL), ERR_CORRUPT);
		if (!strstr(err_chain(), each[i].says))
			fail_msg("%s, not %s", err_chain(), each[i].says);
	}
	mem_free(copy);
	drop(log);
}

/* A bad batch with good ones behind it was not being written when the broker ended. */
static void damage_in_the_last_segment_is_no_torn_end(void **state)
{
	(void)state;
	log_files_flip(&kafka, SECOND ".log", 70, 1);
	assert_int_equal(import(NULL), ERR_CORRUPT);
	assert_non_null(strstr(err_chain(), "its CRC does not verify"));
	log_files_flip(&kafka, SECOND ".log", 70, 1);
	log_files_flip(&kafka, SECOND ".log", log_files_size(&kafka, SECOND ".log") - 2, 1);
	assert_int_equal(import(NULL), ERR_OK);
	log_lines_say("verdict=TORN_TAIL partition=golden-0 pos=");
	log_lines_say("reason=\"its CRC does not verify\"");
}

/* One batch of a right CRC with `bytes` bytes of `value` at `at`, as all of the file. */
static void write_batch(const char *file, size_t at, size_t bytes, uint64_t value)
{
	struct bytes log = content(GOLDEN "/00000000000000000000.log");
	uint8_t *b = (uint8_t *)(uintptr_t)log.ptr;
	size_t len = get_u32_be(b + 8) + (size_t)12;
	for (size_t k = 0; k < bytes; k++)
		b[at + k] = (uint8_t)(value >> 8 * (bytes - 1 - k));
	put_u32_be(b + 17, crc32c(bytes_of(b + 21, len - 21)));
	write_file(file, bytes_of(b, len));
	drop(log);
}

/* It was written to its end, so nothing of it may be left out, though nothing is behind it. */
static void a_whole_batch_is_no_torn_end(void **state)
{
	static const struct {
		size_t at, bytes;
		uint64_t value;
		const char *says;
	} each[] = {
	    {0, 8, 300, "00000000000000000305.log at 0: its offset does not ascend"},
	    {0, 8, OFFSET_END_MAX, "at 0: its offsets pass 2^62"},
	    {23, 4, UINT32_MAX, "at 0: negative offset delta or count"},
	    {16, 1, 3, "at 0: not a record batch"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
		write_batch(SECOND ".log", each[i].at, each[i].bytes, each[i].value);
		assert_int_equal(import(NULL), ERR_CORRUPT);
		if (!strstr(err_chain(), each[i].says))
			fail_msg("%s, not %s", err_chain(), each[i].says);
	}
	log_files_unlink(&kafka, FIRST ".log"); /* the only file, before its name */
	write_batch(SECOND ".log", 0, 8, 50);
	assert_int_equal(import(NULL), ERR_CORRUPT);
	write_batch(SECOND ".log", 0, 8, 305);
	assert_int_equal(import(NULL), ERR_OK);
	log_lines_say(" batches=1 ");
}

/* Where a length is bad the next batch is looked for byte by byte. */
static void a_bad_length_is_no_torn_end(void **state)
{
	(void)state;
	log_files_flip(&kafka, SECOND ".log", 11, 1);
	assert_int_equal(import(NULL), ERR_CORRUPT);
	assert_non_null(strstr(err_chain(), "00000000000000000305.log at 0: "));
	log_files_flip(&kafka, SECOND ".log", 8, 4); /* 64 MiB more, there are none: cut off */
	assert_int_equal(import(NULL), ERR_CORRUPT);
	log_files_resize(&kafka, SECOND ".log", 70 * MIB);
	assert_int_equal(import(NULL), ERR_MESSAGE_TOO_LARGE);
	assert_non_null(strstr(err_chain(), "00000000000000000305.log at 0: a batch of 671"));
}

static enum err import_of(const char *directory, const struct log_import_options *options)
{
	char path[300];
	snprintf(path, sizeof(path), "%s%s", kafka.dir, directory);
	log_lines_clear();
	return log_import(server.io, path, server.dir, options, log_lines_collect, NULL);
}

/* Its name says which partition it is; a topic has those before it, too. */
static void one_partitions_directory_may_be_named(void **state)
{
	struct log_import_options options = {.journal_bytes = JOURNAL_BYTES_MIN};
	char from[300], to[300];
	(void)state;
	snprintf(from, sizeof(from), "%s/golden-0", kafka.dir);
	snprintf(to, sizeof(to), "%s/golden", kafka.dir);
	assert_int_equal(io_rename(server.io, from, to), ERR_OK);
	assert_int_equal(import_of("/golden", &options), ERR_INVALID);
	assert_non_null(strstr(err_chain(), "is not named TOPIC-PARTITION"));
	snprintf(from, sizeof(from), "%s/golden-2", kafka.dir);
	assert_int_equal(io_rename(server.io, to, from), ERR_OK);
	assert_int_equal(import_of("/golden-2//", &options), ERR_OK);
	log_server_open(&server);
	assert_int_equal(log_server_topic(&server, "golden")->partition_count, 3);
	assert_int_equal(log_server_status(&server, "golden", 2).log_end, GOLDEN_END);
	assert_int_equal(log_server_status(&server, "golden", 0).log_end, 0);
	assert_int_equal(log_server_append(&server, "golden", 0, "first"), 0);
}

/* Sequences are given in the order of the batches' times, over all partitions of a topic. */
static void partitions_of_a_topic_come_together(void **state)
{
	(void)state;
	copy_partition("golden-1");
	copy_partition("golden-2");
	assert_int_equal(import(NULL), ERR_OK);
	log_lines_say("action=imported topic=golden partitions=3 ");
	assert_int_equal(export("out"), ERR_OK);
	for (int p = 0; p < 3; p++) {
		char path[300];
		snprintf(path, sizeof(path), "out/golden-%d/00000000000000000000.log", p);
		same_file(GOLDEN "/00000000000000000000.log", log_files_path(&kafka, path));
	}
	const struct log_fsck_options options = {0};
	log_lines_clear();
	assert_int_equal(
	    log_fsck(server.io, server.dir, &options, log_lines_collect, NULL), ERR_OK);
	log_lines_say(" findings=0");
}

static void one_of_several_topics_may_be_chosen(void **state)
{
	struct log_import_options options = {.as = "new", .journal_bytes = JOURNAL_BYTES_MIN};
	(void)state;
	copy_partition("other-0");
	copy_partition("__consumer_offsets-0");
	log_files_unlink(&kafka, "other-0/partition.metadata"); /* or it has golden's id */
	write_file("cleaner-offset-checkpoint", bytes_of("0\n0\n", 4));
	options.topic = "other";
	assert_int_equal(import_of("", &options), ERR_OK);
	static const char *const not_there[] = {
	    "nobody", "__consumer_offsets", "__cluster_metadata", "__share_group_state"};
	copy_partition("__cluster_metadata-0");
	copy_partition("__share_group_state-0");
	for (int i = 0; i < 4; i++) {
		options.topic = not_there[i];
		assert_int_equal(import_of("", &options), ERR_NOT_FOUND);
	}
	options = (struct log_import_options){.as = "bad/name", .topic = "golden"};
	assert_int_equal(import_of("", &options), ERR_INVALID_TOPIC);
	options = (struct log_import_options){.as = "both"};
	assert_int_equal(import_of("", &options), ERR_INVALID);
	assert_non_null(strstr(err_chain(), "several topics"));
	log_server_open(&server);
	assert_null(log_server_topic(&server, "both")); /* not one of them */
	assert_int_equal(log_server_status(&server, "new", 0).log_end, GOLDEN_END);
	assert_null(log_server_topic(&server, "other"));
	assert_null(log_server_topic(&server, "__consumer_offsets"));
}

/* One batch of which `spoil` spoils the records, with the CRC that such bytes have. */
static enum err import_spoiled(int codec, void (*spoil)(struct bytes batch))
{
	struct batch_builder b;
	struct writer w;
	batch_builder_init(&b, codec);
	writer_init(&w, KIB);
	for (int i = 0; i < 3; i++)
		assert_int_equal(batch_builder_add(&b, 1, str_bytes(STR("key")),
		                     str_bytes(STR("value")), NULL, 0),
		    ERR_OK);
	assert_int_equal(batch_builder_finish(&b, &w), ERR_OK);
	spoil(writer_bytes(&w));
	put_u32_be(w.ptr + 17, crc32c(bytes_of(w.ptr + 21, w.len - 21)));
	log_files_unlink(&kafka, SECOND ".log");
	write_file(FIRST ".log", writer_bytes(&w));
	writer_release(&w);
	batch_builder_release(&b);
	return import(NULL);
}

static void record_too_long(struct bytes batch)
{
	((uint8_t *)(uintptr_t)batch.ptr)[BATCH_HEADER_BYTES] = 100;
}

static void record_twice(struct bytes batch)
{
	uint8_t *first = (uint8_t *)(uintptr_t)batch.ptr + BATCH_HEADER_BYTES;
	size_t len = (batch.len - BATCH_HEADER_BYTES) / 3;
	memcpy(first + len, first, len); /* the second has the offset of the first */
}

static void one_record_fewer(struct bytes batch)
{
	put_u32_be((uint8_t *)(uintptr_t)batch.ptr + 57, 2);
}

static void no_lz4(struct bytes batch)
{
	memset((uint8_t *)(uintptr_t)batch.ptr + BATCH_HEADER_BYTES, 0x55,
	    batch.len - BATCH_HEADER_BYTES);
}

/* No reader could pass it: the end of the file is not taken for torn, since the CRC is right. */
static void a_batch_whose_records_cannot_be_read_is_refused(void **state)
{
	static void (*const spoil[])(struct bytes) = {
	    record_too_long, record_twice, one_record_fewer, no_lz4};
	(void)state;
	for (int i = 0; i < 4; i++) {
		if (i > 0)
			write_file(SECOND ".log", bytes_of("", 0));
		assert_int_equal(
		    import_spoiled(spoil[i] == no_lz4 ? BATCH_LZ4 : BATCH_NONE, spoil[i]),
		    ERR_CORRUPT);
		assert_non_null(strstr(err_chain(), "at 0: the batch of offset 0 cannot be read"));
	}
}

/* It was cut to 249 bytes, and the topic had another name than was asked for. */
static void a_name_that_is_too_long_is_refused(void **state)
{
	char name[TOPIC_NAME_MAX + 2];
	(void)state;
	memset(name, 'x', sizeof(name));
	name[TOPIC_NAME_MAX + 1] = '\0';
	assert_int_equal(import(name), ERR_INVALID_TOPIC);
	name[TOPIC_NAME_MAX] = '\0';
	assert_int_equal(import(name), ERR_OK);
}

static void old_message_formats_are_refused(void **state)
{
	(void)state;
	log_files_flip(&kafka, FIRST ".log", 16, 3); /* magic 2 becomes 1 */
	assert_int_equal(import(NULL), ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT);
	assert_non_null(strstr(err_chain(), "message format 1"));
}

/* The first batch's bytes again, as offset `base`. */
static void offsets_that_kafka_compacted_away_are_holes(void **state)
{
	(void)state;
	struct bytes log = content(GOLDEN "/00000000000000000000.log");
	size_t len = get_u32_be(log.ptr + 8) + (size_t)12;
	uint8_t *two = mem_alloc(2 * len);
	assert_non_null(two);
	memcpy(two, log.ptr, len);
	memcpy(two + len, log.ptr, len);
	put_u64_be(two, 5);
	put_u64_be(two + len, UINT64_C(6000000000)); /* more than one HOLE frame reaches */
	log_files_unlink(&kafka, SECOND ".log");
	write_file(FIRST ".log", bytes_of(two, 2 * len));
	assert_int_equal(import(NULL), ERR_OK);
	log_lines_say(" holes=2 log_start=0 ");
	assert_int_equal(export("out"), ERR_OK);
	log_server_open(&server);
	assert_true(log_server_read(&server, "golden", 0, 6000000000));
	assert_true(log_server_append(&server, "golden", 0, "next") > 6000000000);
	mem_free(two);
	drop(log);
}

/* An empty segment far away would be 2^32 frames of holes. */
static void a_hole_that_no_compaction_leaves_is_refused(void **state)
{
	(void)state;
	log_files_unlink(&kafka, SECOND ".log");
	write_file("golden-0/02305843009213693952.log", bytes_of("", 0));
	assert_int_equal(import(NULL), ERR_LIMIT);
	assert_non_null(strstr(err_chain(), "no compaction leaves such a hole"));
}

/* There would be none for the next append, which ended the server. */
static void offsets_behind_which_none_are_left_are_refused(void **state)
{
	(void)state;
	log_files_unlink(&kafka, FIRST ".log");
	log_files_unlink(&kafka, SECOND ".log");
	write_file("golden-0/09223372036854775807.log", bytes_of("", 0));
	assert_int_equal(import(NULL), ERR_LIMIT);
	assert_non_null(strstr(err_chain(), "golden-0/09223372036854775807.log: the offsets of a"));
	log_files_unlink(&kafka, "golden-0/09223372036854775807.log");
	write_file("golden-0/04611686018427387904.log", bytes_of("", 0));
	assert_int_equal(import(NULL), ERR_OK);
	log_server_open(&server);
	assert_int_equal(log_server_append(&server, "golden", 0, "last"), OFFSET_END_MAX);
	assert_int_equal(
	    log_server_try_append(&server, "golden", 0, "more", NULL), ERR_POLICY_VIOLATION);
}

static bool id_given;

static void id_done(struct log_producer_id_req *req)
{
	(void)req;
	id_given = true;
}

/* The ids that the server gives out stay positive, whatever a batch claims. */
static void a_producer_id_that_no_server_gave_is_not_counted(void **state)
{
	(void)state;
	struct log_producer_id_req req = {.done = id_done};
	struct bytes log = content(GOLDEN "/00000000000000000000.log");
	size_t len = get_u32_be(log.ptr + 8) + (size_t)12;
	uint8_t *one = mem_alloc(len);
	memcpy(one, log.ptr, len);
	put_u64_be(one + 43, INT64_MAX);
	put_u16_be(one + 51, 0);
	put_u32_be(one + 53, 0);
	put_u32_be(one + 17, crc32c(bytes_of(one + 21, len - 21)));
	log_files_unlink(&kafka, SECOND ".log");
	write_file(FIRST ".log", bytes_of(one, len));
	assert_int_equal(import(NULL), ERR_OK);
	log_server_open(&server);
	id_given = false;
	log_producer_id(server.log, &req);
	while (!id_given)
		log_server_turn(&server);
	assert_int_equal(req.err, ERR_OK);
	assert_in_range(req.producer_id, 0, 1 << 20);
	mem_free(one);
	drop(log);
}

static void what_is_no_kafka_directory_is_refused(void **state)
{
	(void)state;
	const struct log_import_options options = {0};
	assert_int_equal(
	    log_import(server.io, "/usr", server.dir, &options, log_lines_collect, NULL),
	    ERR_NOT_FOUND);
	assert_int_equal(
	    log_import(server.io, "/nowhere", server.dir, &options, log_lines_collect, NULL),
	    ERR_NOT_FOUND);
	assert_int_equal(export("out"), ERR_UNKNOWN_TOPIC);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
static void left(const char *name, const char *text)
{
	char path[4200];
	snprintf(path, sizeof(path), "%s/%s", server.dir, name);
	assert_int_equal(io_write_file(server.io, path, bytes_of(text, strlen(text))), ERR_OK);
}

static void left_directory(const char *name)
{
	char path[4200];
	snprintf(path, sizeof(path), "%s/%s", server.dir, name);
	assert_int_equal(io_mkdir_all(server.io, path), ERR_OK);
}

/* All moments of it are cut and failed at in test/crash (scripts.c: imports). */
static void what_an_interrupted_import_left_is_taken_away(void **state)
{
	(void)state;
	struct log_files data = {server.io, server.dir};
	left_directory("import/golden-0");
	left("import/golden-0/00000000000000000000.log", "half a segment");
	assert_int_equal(import(NULL), ERR_OK);
	assert_false(log_files_exist(&data, "import"));
	log_server_open(&server);
	assert_int_equal(log_server_status(&server, "golden", 0).visible_end, GOLDEN_END);
	log_server_close(&server);
	left_directory("import"); /* it had come to its end but for the directory */
	assert_int_equal(import(NULL), ERR_TOPIC_EXISTS);
	assert_false(log_files_exist(&data, "import"));
}

static void what_is_no_imports_own_is_left_alone(void **state)
{
	(void)state;
	struct log_files data = {server.io, server.dir};
	left_directory("import/mine-0");
	left("import/mine-0/notes.txt", "not a segment");
	assert_int_equal(import(NULL), ERR_EXISTS);
	assert_non_null(strstr(err_chain(), "is not of an import: remove it"));
	assert_true(log_files_exist(&data, "import/mine-0/notes.txt"));
	log_files_unlink(&data, "import/mine-0/notes.txt");
	assert_int_equal(import(NULL), ERR_OK);
	assert_false(log_files_exist(&data, "import"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(what_kafka_wrote_comes_back_byte_for_byte),
	    TEST(a_torn_end_is_told_and_the_rest_is_taken),
	    TEST(room_made_ahead_is_no_torn_end),
	    TEST(damage_before_the_end_imports_nothing),
	    TEST(impossible_batches_import_nothing),
	    TEST(damage_in_the_last_segment_is_no_torn_end),
	    TEST(a_whole_batch_is_no_torn_end),
	    TEST(a_bad_length_is_no_torn_end),
	    TEST(one_partitions_directory_may_be_named),
	    TEST(partitions_of_a_topic_come_together),
	    TEST(one_of_several_topics_may_be_chosen),
	    TEST(a_batch_whose_records_cannot_be_read_is_refused),
	    TEST(a_name_that_is_too_long_is_refused),
	    TEST(old_message_formats_are_refused),
	    TEST(offsets_that_kafka_compacted_away_are_holes),
	    TEST(a_hole_that_no_compaction_leaves_is_refused),
	    TEST(offsets_behind_which_none_are_left_are_refused),
	    TEST(a_producer_id_that_no_server_gave_is_not_counted),
	    TEST(what_is_no_kafka_directory_is_refused),
	    TEST(what_an_interrupted_import_left_is_taken_away),
	    TEST(what_is_no_imports_own_is_left_alone),
	};
	diag_set_level(DIAG_ERROR);
	return cmocka_run_group_tests_name("transfer", tests, NULL, NULL);
}
